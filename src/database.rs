//! The database behind a URL.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use databases_core::backend::RowSink;
use databases_core::sql::Dialect;
use databases_core::url::DatabaseUrl;
use databases_core::{
    BatchStream, Call, Connection, CopyIn, Error, ExecResult, Ident, IntoParams, IntoQuery, ParamRows, Pool,
    PoolStatus, Query, RawExecutor, Result, ServerInfo, Transaction, TransactionOptions,
};

use crate::builder::DatabaseBuilder;

/// A database behind a URL: a pool of connections, and every method to run SQL ([`Executor`](crate::Executor)).
///
/// Cheap to clone; clones share the connections. Dropping the last one closes them.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    url: Arc<DatabaseUrl>,
}

impl Database {
    pub(crate) fn new(pool: Pool, url: DatabaseUrl) -> Self {
        Self { pool, url: Arc::new(url) }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Connects: `postgres://…`, `mysql://…`, `mariadb://…`, `sqlite:file.db`, `sqlite::memory:`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Url`](crate::ErrorKind::Url) for a wrong URL, [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported)
    /// for a backend that is not compiled in, and why no connection could be made.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves nothing behind.
    ///
    /// # Examples
    ///
    /// ```
    /// # use databases::{Database, Executor};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> databases::Result<()> {
    /// let db = Database::connect("sqlite::memory:").await?;
    /// assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await?, 1);
    /// # Ok(()) }
    /// ```
    pub async fn connect(url: impl Into<String>) -> Result<Self> {
        Self::builder(url).connect().await
    }

    /// Options beyond the URL.
    pub fn builder(url: impl Into<String>) -> DatabaseBuilder {
        DatabaseBuilder::new(url.into())
    }

    /// The URL. Prints without secrets.
    #[must_use]
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// The backend's name: `postgres`, `mysql`, `sqlite`.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.pool.backend()
    }

    /// The server's product and version.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and what the server reports.
    pub async fn server_info(&self) -> Result<ServerInfo> {
        self.pool.server_info().await
    }

    /// How many connections there are and what they do. No I/O.
    #[must_use]
    pub fn pool_status(&self) -> PoolStatus {
        self.pool.status()
    }

    /// Takes a connection for oneself; it goes back when it is dropped.
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
        self.pool.acquire().await
    }

    /// Opens a transaction on a connection of its own. Dropped without commit it is rolled back before anyone uses the
    /// connection again.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and what the server reports.
    ///
    /// # Cancel safety
    ///
    /// A transaction that a dropped future has opened is rolled back before anyone has the connection.
    pub async fn begin(&self) -> Result<Transaction> {
        self.pool.begin().await
    }

    /// Opens a transaction with options; see [`begin`](Self::begin).
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for an option that the backend cannot keep.
    pub async fn begin_with(&self, options: TransactionOptions) -> Result<Transaction> {
        self.pool.begin_with(options).await
    }

    /// Runs `f` in a transaction: commits on `Ok`, rolls back on `Err` and on a panic.
    ///
    /// The closure passes its `tx` on; statements on the `Database` itself run outside the transaction.
    ///
    /// # Errors
    ///
    /// The closure's, or of BEGIN and COMMIT. If the rollback fails too, the closure's error is returned and the
    /// connection discarded.
    ///
    /// # Cancel safety
    ///
    /// Dropped before COMMIT is sent, it is rolled back; after that it is committed or rolled back.
    ///
    /// # Examples
    ///
    /// ```
    /// # use databases::{params, Database, Executor};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> databases::Result<()> {
    /// # let db = Database::connect("sqlite::memory:").await?;
    /// db.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER)", ()).await?;
    /// db.transaction(async |tx| {
    ///     tx.execute("INSERT INTO accounts(balance) VALUES (:n)", params! { n: 5 }).await?;
    ///     tx.execute("UPDATE accounts SET balance = balance - :n", params! { n: 1 }).await
    /// })
    /// .await?;
    /// assert_eq!(db.fetch_val::<i64>("SELECT balance FROM accounts", ()).await?, 4);
    /// # Ok(()) }
    /// ```
    pub async fn transaction<T, E, F>(&self, f: F) -> Result<T, E>
    where
        E: From<Error>,
        F: AsyncFnOnce(&Transaction) -> Result<T, E>,
    {
        self.pool.transaction(f).await
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
        self.pool.transaction_with(options, f).await
    }

    /// Takes a connection and starts a `COPY … FROM STDIN` on it; see [`Connection::copy_in`].
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire) and [`Connection::copy_in`].
    ///
    /// # Cancel safety
    ///
    /// A dropped future copies nothing.
    pub async fn copy_in(&self, query: impl IntoQuery) -> Result<CopyIn> {
        self.pool.copy_in(query).await
    }

    /// Copies rows into `columns` of `table`, all or none; see [`Connection::copy_rows`].
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire) and [`Connection::copy_rows`].
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
        self.pool.copy_rows(table, columns, rows).await
    }

    /// Whether the database was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }

    /// Closes the database: nothing new starts, waiters fail, and connections in use are waited for, for at most
    /// `close_timeout` (5 s).
    ///
    /// # Errors
    ///
    /// [`PoolTimeout`](crate::ErrorKind::PoolTimeout) naming what still uses connections; they close when given back.
    ///
    /// # Cancel safety
    ///
    /// The database is closed from the first poll on; a dropped future only stops waiting.
    pub async fn close(&self) -> Result<()> {
        self.pool.close().await
    }

    /// Closes the database without waiting for connections in use; they close when given back.
    pub async fn close_now(&self) {
        self.pool.close_now().await;
    }
}

#[async_trait]
impl RawExecutor for Database {
    fn dialect(&self) -> Dialect {
        self.pool.dialect()
    }

    fn raw_run_at_once(&self, call: &mut Call<'_>, sink: &mut dyn RowSink) -> Option<databases_core::Done> {
        self.pool.raw_run_at_once(call, sink)
    }

    // As `async_trait` writes it, but without a second box around the pool's future: every statement comes through here.
    fn raw_run<'a, 'c, 's, 'f>(
        &'a self,
        call: Call<'c>,
        sink: &'s mut dyn RowSink,
    ) -> Pin<Box<dyn Future<Output = Result<ExecResult>> + Send + 'f>>
    where
        'a: 'f,
        'c: 'f,
        's: 'f,
        Self: 'f,
    {
        self.pool.raw_run(call, sink)
    }

    async fn raw_run_many(&self, query: Query<'_>, rows: &mut ParamRows<'_>) -> Result<u64> {
        self.pool.raw_run_many(query, rows).await
    }

    async fn raw_run_script(&self, sql: &str) -> Result<()> {
        self.pool.raw_run_script(sql).await
    }

    fn raw_stream<'e>(&'e self, call: Call<'static>) -> BatchStream<'e> {
        self.pool.raw_stream(call)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("url", &self.url).field("status", &self.pool_status()).finish()
    }
}
