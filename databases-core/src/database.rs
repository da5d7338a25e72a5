//! The pool as its users see it; the facade's `Database` wraps it.

use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::task::coop;

use crate::autocommit::{Leased, run_leased};
use crate::backend::{ExecResult, RowSink, ServerInfo};
use crate::checked::{Checked, check};
use crate::compose::Ident;
use crate::connection::Connection;
use crate::copy::{CopyIn, Target};
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::executor::{Call, ParamRows, RawExecutor};
use crate::now::{Done, run_at_once};
use crate::options::TransactionOptions;
use crate::params::IntoParams;
use crate::pool::{Checkout, Inner, PoolConfig, PoolStatus, Purpose};
use crate::query::{IntoQuery, Query};
use crate::run::{Place, stream_on};
use crate::session::{Handle, Session};
use crate::sql::Dialect;
use crate::stream::BatchStream;
use crate::transaction::{Transaction, run_closure, run_closure_with};

/// A pool of connections to one database. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

impl Pool {
    /// A pool that connects when it is first used. No I/O.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Url`](crate::ErrorKind::Url) for limits that contradict each other.
    pub fn new(config: PoolConfig) -> Result<Self> {
        Inner::new(config).map(Self)
    }

    /// Opens one connection, and `min_connections` in the background.
    ///
    /// # Errors
    ///
    /// Why no connection could be made.
    ///
    /// # Cancel safety
    ///
    /// A connection that was being opened for a dropped future goes to the next caller.
    pub async fn connect(&self) -> Result<()> {
        drop(self.0.acquire(Purpose::Connection).await?);
        self.0.refill_soon();
        Ok(())
    }

    /// Takes a connection for oneself.
    ///
    /// # Errors
    ///
    /// [`PoolTimeout`](crate::ErrorKind::PoolTimeout) after `acquire_timeout`, saying what was waited for; why no
    /// connection could be made; [`PoolClosed`](crate::ErrorKind::PoolClosed).
    ///
    /// # Cancel safety
    ///
    /// A dropped future passes its turn on to the next in the queue.
    pub async fn acquire(&self) -> Result<Connection> {
        Ok(Connection::new(self.0.acquire(Purpose::Connection).await?))
    }

    /// Takes a connection and opens a transaction.
    ///
    /// # Errors
    ///
    /// As [`Pool::acquire`], and what the server reports.
    ///
    /// # Cancel safety
    ///
    /// A transaction that a dropped future has opened is rolled back before anyone has the connection.
    pub async fn begin(&self) -> Result<Transaction> {
        self.begin_with(TransactionOptions::new()).await
    }

    /// Opens a transaction with options; see [`Pool::begin`].
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for an option that the backend cannot keep.
    pub async fn begin_with(&self, options: TransactionOptions) -> Result<Transaction> {
        let handle = self.base(Purpose::Transaction).await?;
        Ok(Transaction::new(handle.begin(&options).await?))
    }

    /// Runs `f` in a transaction: commits on `Ok`, rolls back on `Err` and on a panic.
    ///
    /// # Errors
    ///
    /// The closure's, or of BEGIN and COMMIT. If the rollback fails too, the closure's error is returned and the
    /// connection discarded.
    ///
    /// # Cancel safety
    ///
    /// Dropped before COMMIT is sent, it is rolled back; after that it is committed or rolled back.
    pub async fn transaction<T, E, F>(&self, f: F) -> Result<T, E>
    where
        E: From<Error>,
        F: AsyncFnOnce(&Transaction) -> Result<T, E>,
    {
        run_closure(self.begin().await?, f).await
    }

    /// Runs `f` in a transaction with options. With [`TransactionOptions::retry`] a clone of `f` runs again, in a new
    /// transaction, if the server ended the last one because of a conflict; never if it is not known whether COMMIT
    /// was done.
    ///
    /// # Errors
    ///
    /// The closure's of the last attempt, or of BEGIN and COMMIT.
    pub async fn transaction_with<T, E, F>(&self, options: TransactionOptions, f: F) -> Result<T, E>
    where
        E: From<Error>,
        F: AsyncFnOnce(&Transaction) -> Result<T, E> + Clone,
    {
        let begin = |options| -> BoxFuture<'_, _> { Box::pin(self.begin_with(options)) };
        run_closure_with(begin, options, f).await
    }

    /// Takes a connection and starts a `COPY … FROM STDIN` on it; see [`Connection::copy_in`].
    ///
    /// # Errors
    ///
    /// As [`Pool::acquire`] and [`Connection::copy_in`].
    ///
    /// # Cancel safety
    ///
    /// A dropped future copies nothing.
    pub async fn copy_in(&self, query: impl IntoQuery) -> Result<CopyIn> {
        self.0.can_copy()?;
        let query = query.into_query(self.dialect())?;
        self.0.template(&query, self.0.dialect(), Place::Pool)?;
        self.base(Purpose::Stream).await?.copy_in(query).await
    }

    /// Copies rows into `columns` of `table`, all or none; see [`Connection::copy_rows`].
    ///
    /// # Errors
    ///
    /// As [`Pool::acquire`] and [`Connection::copy_rows`].
    ///
    /// # Cancel safety
    ///
    /// After a dropped future all rows were copied or none.
    pub async fn copy_rows<R>(
        &self,
        table: impl Into<Ident>,
        columns: impl IntoIterator<Item: Into<String>>,
        rows: R,
    ) -> Result<u64>
    where
        R: IntoIterator<Item: IntoParams, IntoIter: Send> + Send,
    {
        self.0.can_copy()?;
        let target = Target::new(self.0.dialect(), table, columns)?;
        let mut rows = rows.into_iter().map(|row| row.into_params().into_owned()).peekable();
        if rows.peek().is_none() {
            self.0.check_open()?;
            return Ok(0);
        }
        self.base(Purpose::Statement).await?.copy_rows(&target, &mut rows).await
    }

    /// The backend's name.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.0.config.backend
    }

    /// What the pool was made of.
    #[must_use]
    pub fn config(&self) -> &PoolConfig {
        &self.0.config
    }

    /// What the server is.
    ///
    /// # Errors
    ///
    /// As [`Pool::acquire`], and what the server reports.
    pub async fn server_info(&self) -> Result<ServerInfo> {
        self.acquire().await?.server_info().await
    }

    /// How many connections there are and what they do. No I/O.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        self.0.status()
    }

    /// Whether the pool was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Closes the pool: nothing new starts, waiters fail, and connections in use are waited for, for at most
    /// `close_timeout`.
    ///
    /// # Errors
    ///
    /// [`PoolTimeout`](crate::ErrorKind::PoolTimeout) naming what still uses connections; they close when given back.
    ///
    /// # Cancel safety
    ///
    /// The pool is closed from the first poll on; a dropped future only stops waiting.
    pub async fn close(&self) -> Result<()> {
        self.0.close(self.0.options().close_timeout).await
    }

    /// Closes the pool without waiting for connections in use; they close when given back.
    pub async fn close_now(&self) {
        let _ = self.0.close(Duration::ZERO).await;
    }

    /// A statement that waits for its turn, for a connection, or for one to be put in order.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` keeps room for its arguments twice")]
    fn run_waiting<'f>(
        &'f self,
        call: Call<'f>,
        checked: Checked,
        sink: &'f mut (dyn RowSink + 'f),
    ) -> impl Future<Output = Result<ExecResult>> + Send + 'f {
        async move {
            if self.0.options().force_rollback {
                // Boxed, so that the way of the others stays short.
                return Box::pin(async { self.base(Purpose::Statement).await?.run(call, sink).await }).await;
            }
            breathe().await;
            let lease = self.0.check_out(Purpose::Statement, self.checkout_of(&checked, &call)).await?;
            let leased = Leased::new(lease, checked, call)?;
            run_leased(&self.0, leased, sink).await
        }
    }

    fn checkout_of(&self, checked: &Checked, call: &Call<'_>) -> Checkout {
        self.0.checkout_of(&checked.template, checked.is_kept(call) && !self.0.limits_of(call).are_set())
    }

    async fn base(&self, purpose: Purpose) -> Result<Handle> {
        Ok(Handle::base(Session::new(self.0.acquire(purpose).await?)))
    }
}

/// Lets others run, if this task has used up its time: where statements are done without waiting, nothing else would.
pub(crate) async fn breathe() {
    if !coop::has_budget_remaining() {
        coop::consume_budget().await;
    }
}

#[async_trait]
impl RawExecutor for Pool {
    fn dialect(&self) -> Dialect {
        self.0.dialect()
    }

    fn raw_run_at_once(&self, call: &mut Call<'_>, sink: &mut dyn RowSink) -> Option<Done> {
        run_at_once(&self.0, call, sink)
    }

    // As `async_trait` writes it. What needs no waiting is done before there is a future, which has only the rest in it: its box
    // is small, and little is moved about.
    fn raw_run<'a, 'c, 's, 'f>(
        &'a self,
        mut call: Call<'c>,
        sink: &'s mut dyn RowSink,
    ) -> Pin<Box<dyn Future<Output = Result<ExecResult>> + Send + 'f>>
    where
        'a: 'f,
        'c: 'f,
        's: 'f,
        Self: 'f,
    {
        let inner = &self.0;
        let checked = match check(inner, inner.dialect(), Place::Pool, &mut call) {
            Ok(checked) => checked,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        if !coop::has_budget_remaining() || inner.options().force_rollback {
            return Box::pin(self.run_waiting(call, checked, sink));
        }
        let Some(lease) = inner.check_out_at_once(Purpose::Statement, self.checkout_of(&checked, &call)) else {
            return Box::pin(self.run_waiting(call, checked, sink));
        };
        match Leased::new(lease, checked, call) {
            Ok(leased) => Box::pin(run_leased(inner, leased, sink)),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    async fn raw_run_many(&self, query: Query<'_>, rows: &mut ParamRows<'_>) -> Result<u64> {
        self.0.template(&query, self.0.dialect(), Place::Pool)?;
        // Nothing is sent, and no connection waited for, if there is nothing to do.
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            self.0.check_open()?;
            return Ok(0);
        }
        self.base(Purpose::Transaction).await?.run_many(query, &mut rows).await
    }

    async fn raw_run_script(&self, sql: &str) -> Result<()> {
        self.0.check_script(sql, self.0.dialect(), Place::Pool)?;
        let handle = self.base(Purpose::Statement).await?;
        handle.run_script(sql).await?;
        if handle.has_stray_transaction() {
            let message = "the script left a transaction open, which is rolled back: nobody could have committed it";
            return Err(Error::new(ErrorKind::TransactionEnded, message).with_effect(Effect::RolledBack));
        }
        Ok(())
    }

    fn raw_stream<'e>(&'e self, mut call: Call<'static>) -> BatchStream<'e> {
        let checked = check(&self.0, self.0.dialect(), Place::Pool, &mut call).map(drop);
        stream_on(
            async {
                checked?;
                self.base(Purpose::Stream).await
            },
            call,
        )
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("config", &self.0.config).field("status", &self.status()).finish()
    }
}
