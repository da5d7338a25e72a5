//! The two traits that everything which runs SQL has: one that is dyn-safe, and one with the methods people call.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::backend::{ExecResult, Flow, LiveSink, RowSink};
use crate::checked::Checked;
use crate::error::{Error, ErrorKind, Result};
use crate::from_row::{FromRow, Plan};
use crate::now::Done;
use crate::params::{IntoParams, Params};
use crate::query::{IntoQuery, Query};
use crate::row::{Row, RowBatch, RowRef};
use crate::sql::Dialect;
use crate::stream::{BatchStream, RowStream};
use crate::value::FromValue;

/// One statement with its parameters, on its way to a connection.
#[derive(Debug)]
pub struct Call<'q> {
    pub(crate) query: Query<'q>,
    pub(crate) params: Params<'q>,
    pub(crate) wants_rows: bool,
    /// Whether the whole result is kept, so that `max_rows` and `max_bytes` bound it.
    pub(crate) collects: bool,
    /// The parameters, if they were found to match before.
    pub(crate) checked: Option<Box<Checked>>,
}

impl<'q> Call<'q> {
    /// A call whose rows are read.
    ///
    /// # Errors
    ///
    /// What [`IntoQuery::into_query`] reports.
    pub fn new<Q: IntoQuery + 'q, P: IntoParams + 'q>(dialect: Dialect, query: Q, params: P) -> Result<Self> {
        let mut query = query.into_query(dialect)?;
        let mut params = params.into_params();
        if let Some(built) = query.take_built() {
            params.extend(built);
        }
        Ok(Self { query, params, wants_rows: true, collects: false, checked: None })
    }

    /// The same call with text of its own.
    #[must_use]
    pub fn into_owned(self) -> Call<'static> {
        Call { query: self.query.into_owned(), params: self.params.into_owned(), ..self }
    }
}

/// The rows of parameters of an `execute_many`, pulled as they are sent.
pub type ParamRows<'a> = dyn Iterator<Item = Params<'static>> + Send + 'a;

/// Runs SQL: one request in, rows into a sink.
///
/// Dyn-safe; [`Executor`] has the methods for callers. `Database`, [`Connection`](crate::Connection) and
/// [`Transaction`](crate::Transaction) implement it, and a `&dyn RawExecutor` has all methods of `Executor`.
#[async_trait]
pub trait RawExecutor: Send + Sync {
    /// The dialect that statements are written for.
    fn dialect(&self) -> Dialect;

    /// Runs one statement that reads, if nothing has to be waited for. `None`: it did not run.
    #[doc(hidden)]
    fn raw_run_at_once(&self, call: &mut Call<'_>, sink: &mut dyn RowSink) -> Option<Done> {
        let _ = (call, sink);
        None
    }

    /// Runs one statement.
    #[doc(hidden)]
    async fn raw_run(&self, call: Call<'_>, sink: &mut dyn RowSink) -> Result<ExecResult>;

    /// Runs one statement for each row of parameters, all or none.
    #[doc(hidden)]
    async fn raw_run_many(&self, query: Query<'_>, rows: &mut ParamRows<'_>) -> Result<u64>;

    /// Runs a script.
    #[doc(hidden)]
    async fn raw_run_script(&self, sql: &str) -> Result<()>;

    /// Starts a stream at its first poll.
    #[doc(hidden)]
    fn raw_stream<'e>(&'e self, call: Call<'static>) -> BatchStream<'e>;
}

// `&dyn RawExecutor` is how a library takes any executor without a type parameter.
const _: Option<&dyn RawExecutor> = None;

/// Runs SQL and gives typed rows. In scope, every [`RawExecutor`] has it.
///
/// A query is `&str`, `String`, [`sql`](crate::sql())`(..)` with options, or a sea-query statement; parameters are `()`,
/// [`params!`](crate::params!), a `#[derive(Params)]` struct, a map or pairs.
///
/// # Errors
///
/// Of every method: [`ErrorKind::Parameters`] if a `:name` has no value or a value no `:name`, before anything is
/// sent; what the server reports; [`ErrorKind::Disconnected`]; on a `Database` also [`ErrorKind::PoolTimeout`]; on a
/// handle with an open stream or child [`ErrorKind::Busy`]; in a failed transaction [`ErrorKind::TransactionFailed`].
///
/// # Cancel safety
///
/// Of every method: a dropped future leaves the pool clean. An autocommit statement has run or not, never half; inside a
/// transaction the handle is of no more use than to be rolled back.
pub trait Executor: RawExecutor {
    /// Runs `query`; its rows, if any, are skipped.
    fn execute(
        &self,
        query: impl IntoQuery,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<ExecResult>> + Send {
        async move {
            let mut call = Call::new(self.dialect(), query, params)?;
            call.wants_rows = false;
            self.raw_run(call, &mut Skip).await
        }
    }

    /// Runs `query` once for each row of parameters, all or none, and returns how many rows were affected.
    ///
    /// In a transaction a savepoint is put around it. Rows are pulled as they are sent. Nothing is sent for no rows.
    fn execute_many<R>(&self, query: impl IntoQuery, rows: R) -> impl Future<Output = Result<u64>> + Send
    where
        R: IntoIterator<Item: IntoParams, IntoIter: Send> + Send,
    {
        async move {
            let query = query.into_query(self.dialect())?;
            let mut rows = rows.into_iter().map(|row| row.into_params().into_owned());
            self.raw_run_many(query, &mut rows).await
        }
    }

    /// Runs several statements without parameters.
    ///
    /// PostgreSQL runs all or none, unless the script has its own BEGIN and COMMIT. SQLite and MySQL run one after the
    /// other and stop at the first error. The error carries the [index](Error::batch_index) of its statement and where that
    /// [stands](Error::line_col) in the script; on MySQL not behind a CALL, EXECUTE or compound statement, whose results
    /// cannot be told from those of others.
    fn execute_script(&self, script: &str) -> impl Future<Output = Result<()>> + Send {
        async move { self.raw_run_script(script).await }
    }

    /// All rows.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LimitExceeded`] if there are more than the option `max_rows`, or their cells have more bytes than
    /// `max_bytes`; [`sql`](crate::sql())`(..)` sets either for one query. A statement that only reads is stopped;
    /// another has done its work, as [`Error::effect`] says. In a transaction on PostgreSQL, stopping it may fail the
    /// transaction, as an error of the server does.
    fn fetch_all<T: FromRow>(
        &self,
        query: impl IntoQuery,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<Vec<T>>> + Send {
        async move {
            let mut call = Call::new(self.dialect(), query, params)?;
            call.collects = true;
            let mut sink = Collect::new();
            start(self, call, &mut sink).end().await?;
            Ok(sink.into_rows())
        }
    }

    /// The first row.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoRows`] if there is none.
    fn fetch_one<T: FromRow>(
        &self,
        query: impl IntoQuery,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<T>> + Send {
        async move {
            let call = Call::new(self.dialect(), query, params)?;
            let mut sink = First(None);
            start(self, call, &mut sink).end().await?;
            sink.0.ok_or_else(no_rows)
        }
    }

    /// The first row, or `None` if there is none.
    fn fetch_optional<T: FromRow>(
        &self,
        query: impl IntoQuery,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<Option<T>>> + Send {
        async move {
            let call = Call::new(self.dialect(), query, params)?;
            let mut sink = First(None);
            start(self, call, &mut sink).end().await?;
            Ok(sink.0)
        }
    }

    /// The first column of the first row. NULL needs an `Option`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoRows`] if there is no row.
    fn fetch_val<V: FromValue>(
        &self,
        query: impl IntoQuery,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<V>> + Send {
        async move { Ok(self.fetch_one::<(V,)>(query, params).await?.0) }
    }

    /// The first column of the first row; `None` only if there is no row.
    fn fetch_optional_val<V: FromValue>(
        &self,
        query: impl IntoQuery,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<Option<V>>> + Send {
        async move { Ok(self.fetch_optional::<(V,)>(query, params).await?.map(|(value,)| value)) }
    }

    /// The rows one by one, in bounded memory. Nothing is sent before the first poll.
    ///
    /// The stream holds its connection until its end or its drop; on a `Connection` or `Transaction` every other call is
    /// [`ErrorKind::Busy`] until then.
    fn iterate<'e, T: FromRow + 'e>(&'e self, query: impl IntoQuery, params: impl IntoParams) -> RowStream<'e, T> {
        match Call::new(self.dialect(), query, params) {
            Ok(call) => RowStream::new(self.raw_stream(call.into_owned())),
            Err(error) => RowStream::failed(error),
        }
    }
}

impl<E: RawExecutor + ?Sized> Executor for E {}

#[cold]
fn no_rows() -> Error {
    Error::new(ErrorKind::NoRows, "the query returned no row")
}

/// Takes no rows.
pub(crate) struct Skip;

impl RowSink for Skip {
    fn batch(&mut self, _: Arc<dyn RowBatch>) -> Result<Flow> {
        Ok(Flow::Stop)
    }
}

/// A statement that is run for its rows.
enum Started<'f> {
    Done(Done),
    Waiting(BoxFuture<'f, Result<ExecResult>>),
}

/// Runs a statement for its rows: at once if that is possible, which spares the boxes of what may wait.
// Not a future of its own, into which the call would be moved.
#[inline]
fn start<'f, E: RawExecutor + ?Sized>(
    executor: &'f E,
    mut call: Call<'f>,
    sink: &'f mut (dyn RowSink + 'f),
) -> Started<'f> {
    match executor.raw_run_at_once(&mut call, sink) {
        Some(done) => Started::Done(done),
        None => Started::Waiting(executor.raw_run(call, sink)),
    }
}

impl Started<'_> {
    async fn end(self) -> Result<ExecResult> {
        match self {
            Self::Done(Done { result, rest }) => {
                if let Some(rest) = rest {
                    rest.take().await;
                }
                result
            }
            Self::Waiting(running) => running.await,
        }
    }
}

/// Collects all rows.
struct Collect<T> {
    rows: Vec<T>,
    plan: Plan,
}

impl<T> Collect<T> {
    fn new() -> Self {
        Self { rows: Vec::new(), plan: Plan::default() }
    }

    fn into_rows(mut self) -> Vec<T> {
        // As much room to spare as where they were not expected.
        if self.rows.capacity() / 2 > self.rows.len() {
            self.rows.shrink_to_fit();
        }
        self.rows
    }
}

impl<T: FromRow> RowSink for Collect<T> {
    fn batch(&mut self, batch: Arc<dyn RowBatch>) -> Result<Flow> {
        let count = batch.len();
        self.rows.reserve(count);
        Row::for_first(batch, count, |row| {
            self.rows.push(T::from_row_planned(RowRef::kept(row), &mut self.plan)?);
            Ok(())
        })?;
        Ok(Flow::Continue)
    }

    fn live(&mut self) -> Option<&mut dyn LiveSink> {
        if T::READS_LIVE { Some(self) } else { None }
    }
}

impl<T: FromRow> LiveSink for Collect<T> {
    fn row(&mut self, row: RowRef<'_>) -> Result<Flow> {
        self.rows.push(T::from_row_planned(row, &mut self.plan)?);
        Ok(Flow::Continue)
    }

    fn restart(&mut self) {
        // The columns may be others the next time.
        *self = Self::new();
    }

    fn expect(&mut self, rows: usize) {
        const MOST_BYTES: usize = 256 << 10;
        self.rows.reserve(rows.min(MOST_BYTES / size_of::<T>().max(1)));
    }
}

/// Takes the first row.
struct First<T>(Option<T>);

impl<T: FromRow> RowSink for First<T> {
    fn batch(&mut self, batch: Arc<dyn RowBatch>) -> Result<Flow> {
        let wanted = batch.len().min(1);
        Row::for_first(batch, wanted, |row| self.row(RowRef::kept(row)).map(drop))?;
        Ok(if self.0.is_none() { Flow::Continue } else { Flow::Stop })
    }

    fn live(&mut self) -> Option<&mut dyn LiveSink> {
        if T::READS_LIVE { Some(self) } else { None }
    }
}

impl<T: FromRow> LiveSink for First<T> {
    fn row(&mut self, row: RowRef<'_>) -> Result<Flow> {
        self.0 = Some(T::from_row_planned(row, &mut Plan::default())?);
        Ok(Flow::Stop)
    }

    fn restart(&mut self) {
        self.0 = None;
    }
}
