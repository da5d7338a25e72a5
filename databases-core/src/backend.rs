//! What a backend implements. A third party writes one against this crate alone.
//!
//! Data flows one way: a URL makes a [`Connector`], the pool asks it for [`BackendConnection`]s, a connection takes
//! [`Request`]s and gives batches of rows. Transactions, savepoints, cancellation and reuse are decided by this
//! crate from [`BackendConnection::status`], which a backend must read from the wire and never guess.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

use crate::codec::TypeOptions;
use crate::error::{Error, Result};
use crate::options::{PoolOptions, TransactionOptions};
use crate::params::Arg;
use crate::row::{RowBatch, RowRef};
use crate::sql::{Dialect, Template};
use crate::url::{DatabaseUrl, UrlOptions};

/// A database family behind one or more URL schemes. Stateless.
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// The name: `postgres`, `mysql`, `sqlite`.
    fn name(&self) -> &'static str;

    /// The URL schemes, without `+driver`.
    fn schemes(&self) -> &'static [&'static str];

    /// The names accepted behind `+` in a scheme.
    fn drivers(&self) -> &'static [&'static str];

    /// Takes this backend's own options out of `options` and prepares to connect. No I/O.
    ///
    /// What is left in `options` afterwards is an error that the caller reports; [`Backend::options`] names what is
    /// known.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Url`](crate::ErrorKind::Url) for a part or option of the URL that is wrong.
    fn connector(&self, url: &DatabaseUrl, options: &mut UrlOptions, pool: &PoolOptions) -> Result<Arc<dyn Connector>>;

    /// The names of this backend's own options.
    fn options(&self) -> &'static [&'static str];
}

/// What a backend can do; the conformance suite leaves out only what is said here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The whole of SQL as the conformance suite writes it: joins, expressions, DDL with constraints. A backend
    /// without it still runs simple CREATE TABLE, INSERT, SELECT, UPDATE and DELETE.
    pub full_sql: bool,
    /// Transactions that roll back.
    pub transactions: bool,
    /// Savepoints.
    pub savepoints: bool,
    /// A failed statement makes the rest of its transaction fail (PostgreSQL).
    pub error_fails_transaction: bool,
    /// CREATE and DROP take part in transactions.
    pub transactional_ddl: bool,
    /// `INSERT … RETURNING`.
    pub returning: bool,
    /// `execute` gives the id of the inserted row.
    pub last_insert_id: bool,
    /// Array parameters.
    pub arrays: bool,
    /// Statements that run together on one connection are in flight together.
    pub pipelining: bool,
    /// Isolation levels can be chosen.
    pub isolation_levels: bool,
    /// A read-only transaction refuses writes.
    pub read_only_transactions: bool,
    /// `DEFERRABLE` transactions.
    pub deferrable: bool,
    /// `BEGIN IMMEDIATE` and `BEGIN DEFERRED`.
    pub immediate: bool,
    /// Statements of class Session may run on a `Database` (they then cost a reset); SQLite refuses them.
    pub session_statements_on_database: bool,
    /// A connection only works on the runtime that opened it.
    pub runtime_bound: bool,
    /// Types of extensions, by codecs.
    pub type_codecs: bool,
    /// [`BackendConnection::status`] says so when the server has closed a connection that nobody uses. Without it a
    /// connection that was idle for longer than a second is pinged before it is used, which costs a round trip.
    pub notices_close: bool,
    /// Autocommit statements of class Write that come from several callers may be under way on one connection at a time:
    /// the backend keeps them apart, and runs them together where that is faster.
    pub shares_writes: bool,
    /// The same for class Read. With [`Capabilities::pipelining`] answers come in order, and only what is short is shared.
    pub shares_reads: bool,
    /// Short reads are done by [`BackendConnection::run_at_once`]. All sessions then read literals alike.
    pub runs_at_once: bool,
    /// [`BackendConnection::copy_in`] and [`BackendConnection::copy_rows`].
    pub copies: bool,
}

impl Capabilities {
    /// A backend that claims nothing beyond simple statements.
    pub const NONE: Self = Self {
        full_sql: false,
        transactions: false,
        savepoints: false,
        error_fails_transaction: false,
        transactional_ddl: false,
        returning: false,
        last_insert_id: false,
        arrays: false,
        pipelining: false,
        isolation_levels: false,
        read_only_transactions: false,
        deferrable: false,
        immediate: false,
        session_statements_on_database: true,
        runtime_bound: false,
        type_codecs: false,
        notices_close: false,
        shares_writes: false,
        shares_reads: false,
        runs_at_once: false,
        copies: false,
    };
}

/// Opens connections to one database.
#[async_trait]
pub trait Connector: fmt::Debug + Send + Sync + 'static {
    /// The dialect of a fresh session; a connection may differ (see [`BackendConnection::dialect`]).
    fn dialect(&self) -> Dialect;

    /// What connections of this connector can do.
    fn capabilities(&self) -> Capabilities;

    /// Whether there is exactly one connection, which is never reaped, reset or discarded while it works
    /// (`sqlite::memory:`).
    fn single_connection(&self) -> bool;

    /// Where the connections go, for spans and errors. Holds no secret.
    fn target(&self) -> &Target;

    /// Opens a connection: the whole handshake and the session defaults. The caller holds the deadline.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`](crate::ErrorKind::Connect), `Authentication`, `Tls` and the like.
    async fn connect(&self, context: ConnectContext) -> Result<Arc<dyn BackendConnection>>;
}

/// What one attempt to connect is given.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ConnectContext {
    /// The password of this attempt, in place of the URL's (`password_provider`).
    pub password: Option<String>,
    /// Types beyond those that the backend knows.
    pub types: TypeOptions,
}

impl fmt::Debug for ConnectContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectContext")
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("types", &self.types)
            .finish()
    }
}

/// Where connections go, in the words of OpenTelemetry's database conventions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// `db.system.name`: `postgresql`, `mysql`, `mariadb`, `sqlite`.
    pub system: &'static str,
    /// `db.namespace`: the database.
    pub namespace: String,
    /// `server.address`: host, socket directory, or empty.
    pub address: String,
    /// `server.port`.
    pub port: Option<u16>,
}

/// What a session is doing, read from the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Outside a transaction.
    Idle,
    /// In a transaction.
    InTransaction,
    /// In a transaction that can only be rolled back (PostgreSQL).
    Failed,
    /// Statements are under way, so the state is not known yet.
    Busy,
    /// The connection cannot be used any more.
    Broken,
}

/// One statement to run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The text with native placeholders.
    pub sql: Arc<str>,
    /// The values, in the order of the placeholders.
    pub args: Vec<Arg>,
    /// What the scanner knows of the text.
    pub template: Arc<Template>,
    /// Whether the statement is kept prepared.
    pub prepared: bool,
    /// Whether the caller reads rows. Without, a backend may skip them.
    pub wants_rows: bool,
    /// Whether any connection of the pool would do: an autocommit statement of somebody who has not acquired one.
    pub pooled: bool,
}

impl Request {
    /// A statement that is kept prepared, whose rows are read, and which is for this very connection.
    #[must_use]
    pub fn new(sql: Arc<str>, args: Vec<Arg>, template: Arc<Template>) -> Self {
        Self { sql, args, template, prepared: true, wants_rows: true, pooled: false }
    }
}

/// What a statement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecResult {
    rows_affected: u64,
    last_insert_id: Option<i64>,
}

impl ExecResult {
    /// A result of `rows_affected` rows and perhaps the id of the one row that was inserted.
    #[must_use]
    pub fn new(rows_affected: u64, last_insert_id: Option<i64>) -> Self {
        Self { rows_affected, last_insert_id }
    }

    /// How many rows INSERT, UPDATE, DELETE, MERGE, REPLACE or COPY matched; 0 for every other statement.
    ///
    /// MySQL counts 2 for a row that `ON DUPLICATE KEY UPDATE` or REPLACE changed.
    #[must_use]
    pub fn rows_affected(&self) -> u64 {
        self.rows_affected
    }

    /// The id of the row, if exactly one was inserted into a table with a rowid (SQLite) or AUTO_INCREMENT (MySQL).
    /// `None` on PostgreSQL: use `RETURNING` with `fetch_val`.
    #[must_use]
    pub fn last_insert_id(&self) -> Option<i64> {
        self.last_insert_id
    }
}

/// Whether a sink wants more rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// The sink has what it needs; the backend may skip the rest, and still finishes the statement.
    Stop,
}

/// Takes the rows of a statement as they come.
pub trait RowSink: Send {
    /// Takes some rows; called at least once for a statement that returns rows, if only with an empty batch.
    ///
    /// # Errors
    ///
    /// A row that cannot be decoded. The backend finishes the statement and then returns this error.
    fn batch(&mut self, batch: Arc<dyn RowBatch>) -> Result<Flow>;

    /// The same sink for rows that are taken where they stand; `None` if it takes batches only.
    fn live(&mut self) -> Option<&mut dyn LiveSink> {
        None
    }
}

/// Takes the rows of a statement one by one, while the driver holds them: nothing is copied but what is read.
pub trait LiveSink {
    /// Takes a row.
    ///
    /// # Errors
    ///
    /// A row that cannot be decoded. The backend ends the statement and returns this error.
    fn row(&mut self, row: RowRef<'_>) -> Result<Flow>;

    /// Forgets the rows that it took: the statement, which only reads, begins anew.
    fn restart(&mut self);

    /// As many rows may be coming: a guess, from earlier runs.
    fn expect(&mut self, rows: usize) {
        let _ = rows;
    }
}

/// What a statement did that was run at once.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AtOnce {
    /// Its result.
    pub result: ExecResult,
    /// When it ended.
    pub ended: Instant,
    /// Whether this thread has been used for so long that other tasks should have it.
    pub turn_is_over: bool,
}

impl AtOnce {
    /// A result, when it was there, and whether others should have the thread.
    #[must_use]
    pub fn new(result: ExecResult, ended: Instant, turn_is_over: bool) -> Self {
        Self { result, ended, turn_is_over }
    }
}

/// The rows of a stream, a batch at a time. Dropping it ends the statement; the connection stays usable.
#[async_trait]
pub trait RowBatches: Send {
    /// The next rows; `None` at the end.
    ///
    /// # Errors
    ///
    /// What the server reported; the stream has ended then.
    async fn next(&mut self) -> Result<Option<Arc<dyn RowBatch>>>;
}

/// Requests that are pulled as they are sent.
pub trait Requests: Send {
    /// The next request; an error ends the batch.
    fn next(&mut self) -> Option<Result<Request>>;

    /// Puts the next request into the place of `request`, an earlier one of these: cheaper, as most rows differ in their
    /// values alone. After an error `request` is the earlier one, perhaps without its values.
    fn next_into(&mut self, request: &mut Request) -> Option<Result<()>> {
        let next = self.next()?;
        Some(next.map(|next| *request = next))
    }
}

/// Takes the data of a COPY. Dropped before it is finished, nothing is copied and the connection stays usable.
#[async_trait]
pub trait CopySink: Send {
    /// Sends some of it.
    ///
    /// # Errors
    ///
    /// What the server reported; the COPY is over then.
    async fn send(&mut self, data: Bytes) -> Result<()>;

    /// Ends it, and gives the rows copied.
    ///
    /// # Errors
    ///
    /// What the server reported.
    async fn finish(self: Box<Self>) -> Result<u64>;
}

/// Rows to copy, pulled as they are sent.
pub trait CopyRows: Send {
    /// The values of the next row, one for each column; an error ends the COPY.
    fn next(&mut self) -> Option<Result<Vec<Arg>>>;
}

/// Where rows are copied to, quoted for the dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyTarget {
    /// The table.
    pub table: String,
    /// The columns, with commas between them.
    pub columns: String,
}

/// A step of a transaction. A savepoint's number is never used twice on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionCommand {
    /// Opens a transaction.
    Begin(TransactionOptions),
    /// Commits it. An error if the server rolled back instead.
    Commit,
    /// Rolls it back. Does nothing if none is open.
    Rollback,
    /// Opens the savepoint of this number.
    Savepoint(u64),
    /// Keeps what was done since the savepoint, and forgets it.
    Release(u64),
    /// Undoes what was done since the savepoint, which stays: to do it again where its answer was not waited for changes
    /// nothing.
    RollbackTo(u64),
}

impl TransactionCommand {
    /// The name of the savepoint of `number`.
    #[must_use]
    pub fn savepoint_name(number: u64) -> String {
        format!("_databases_sp_{number}")
    }
}

/// What is known of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// `PostgreSQL`, `MySQL`, `MariaDB`, `SQLite`.
    pub product: String,
    /// The version as the server writes it.
    pub version: String,
}

impl ServerInfo {
    /// The product and its version.
    #[must_use]
    pub fn new(product: impl Into<String>, version: impl Into<String>) -> Self {
        Self { product: product.into(), version: version.into() }
    }
}

/// One session with a server.
///
/// Every method takes `&self`: statements of one transaction may be started together. A backend whose driver runs
/// one at a time puts them in order. A future that is dropped leaves the session either usable, or
/// [`Status::Busy`] until [`BackendConnection::settle`], or [`Status::Broken`]; never in a state it does not report.
#[async_trait]
pub trait BackendConnection: fmt::Debug + Send + Sync + 'static {
    /// The state of the session. No I/O.
    fn status(&self) -> Status;

    /// The dialect with this session's modes. No I/O.
    fn dialect(&self) -> Dialect;

    /// Runs one statement.
    ///
    /// # Errors
    ///
    /// What the server reported, or `Encode`, `Parameters` (the server counts other placeholders), `Disconnected`.
    async fn run(&self, request: Request, sink: &mut dyn RowSink) -> Result<ExecResult>;

    /// Runs a statement that only reads on this thread, if that waits for nothing and is known to take no longer than
    /// `within` from `now`, the time it is. `None`: it did not run, and `sink` is as it was. Asked only with
    /// [`Capabilities::runs_at_once`].
    fn run_at_once(
        &self,
        request: &Request,
        now: Instant,
        within: Duration,
        sink: &mut dyn RowSink,
    ) -> Option<Result<AtOnce>> {
        let _ = (request, now, within, sink);
        None
    }

    /// Runs statements one after the other and adds up the rows affected; stops at the first error, which carries
    /// its [`batch_index`](Error::batch_index). The caller has opened a transaction or savepoint.
    ///
    /// # Errors
    ///
    /// As [`BackendConnection::run`].
    async fn run_many(&self, requests: &mut dyn Requests) -> Result<u64>;

    /// Runs the statements of a script, without parameters.
    ///
    /// # Errors
    ///
    /// What the server reported, with the index of the statement, and with a position that counts from the beginning of
    /// the script; only [`NativePosition::Near`](crate::NativePosition::Near) is looked for in that statement.
    async fn run_script(&self, sql: &str) -> Result<()>;

    /// Starts a statement whose rows are read a batch at a time.
    ///
    /// # Errors
    ///
    /// As [`BackendConnection::run`].
    async fn open_stream(&self, request: Request) -> Result<Box<dyn RowBatches>>;

    /// Starts a statement that takes its data from the caller.
    ///
    /// # Errors
    ///
    /// `Unsupported` for any other statement, and where there is no such thing, as by default and without
    /// [`Capabilities::copies`]; else what the server reported.
    async fn copy_in(&self, request: Request) -> Result<Box<dyn CopySink>> {
        drop(request);
        Err(no_copy())
    }

    /// Copies rows into columns of a table, all or none if it succeeds or the transaction around it is rolled back.
    ///
    /// # Errors
    ///
    /// As [`BackendConnection::copy_in`]; the errors of `rows`, and `Encode` with the
    /// [`batch_index`](Error::batch_index) of the row.
    async fn copy_rows(&self, target: &CopyTarget, rows: &mut dyn CopyRows) -> Result<u64> {
        let _ = (target, rows);
        Err(no_copy())
    }

    /// Takes a step of a transaction. A backend may keep BEGIN back and send it with the first statement; from here on the
    /// status is [`Status::InTransaction`] all the same, and what BEGIN meets is told by that statement.
    ///
    /// # Errors
    ///
    /// `Unsupported` for an option that the backend cannot keep; else what the server reported.
    async fn transaction(&self, command: TransactionCommand) -> Result<()>;

    /// Waits until nothing of an earlier, dropped call is under way, stopping it at the server if need be.
    /// The caller holds the deadline; a connection that does not settle is discarded.
    async fn settle(&self);

    /// Undoes what the session was told: settings, temporary objects, prepared statements. `false` if this backend
    /// cannot, so that the connection must be closed.
    ///
    /// # Errors
    ///
    /// `Disconnected` and the like.
    async fn reset(&self) -> Result<bool>;

    /// Asks the server whether it is there.
    ///
    /// # Errors
    ///
    /// `Disconnected` and the like.
    async fn ping(&self) -> Result<()>;

    /// What the server is.
    ///
    /// # Errors
    ///
    /// `Disconnected` and the like.
    async fn server_info(&self) -> Result<ServerInfo>;

    /// Lends the driver's own connection, once no statement is under way.
    ///
    /// # Errors
    ///
    /// `Disconnected`.
    async fn native(&self) -> Result<Box<dyn NativeConnection + '_>>;

    /// The name of the type that [`BackendConnection::native`] lends.
    fn native_type(&self) -> &'static str;

    /// Says good-bye to the server. The caller holds the deadline.
    async fn close(&self);
}

/// The driver's own connection, lent; dropping it gives it back.
pub trait NativeConnection: Send {
    /// The connection.
    fn as_any(&self) -> &dyn Any;
    /// The connection.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

// Backends are chosen at run time, so the traits must stay dyn-compatible.
const _: Option<&dyn Backend> = None;
const _: Option<&dyn Connector> = None;
const _: Option<&dyn BackendConnection> = None;

pub(crate) fn no_copy() -> Error {
    Error::new(crate::ErrorKind::Unsupported, "only PostgreSQL takes data by COPY")
        .with_hint("execute_many sends many rows at a time")
        .with_effect(crate::Effect::NotSent)
}

/// The error of a statement that the server counts other placeholders in than our scanner.
#[must_use]
pub fn placeholder_mismatch(ours: usize, servers: usize) -> Error {
    Error::new(
        crate::ErrorKind::Parameters,
        format!("the statement has {ours} placeholders by our reading and {servers} by the server's"),
    )
    .with_hint("a session mode that changes how literals are read, or a fault of this crate's scanner")
    .with_effect(crate::Effect::NotSent)
}

/// A duration with a name, for errors.
pub(crate) fn in_seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
