//! One session with a server: operations in order, and what becomes of those that are dropped.
//!
//! An operation holds the session's lock from its first byte to its last answer. A future that is dropped in between
//! leaves the driver somewhere in the protocol: the connection is then broken for good, and a task of ours stops the
//! statement at the server before it lets the socket go.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use databases_core::backend::{
    BackendConnection, ExecResult, Flow, NativeConnection, Request, Requests, RowBatches, RowSink, ServerInfo, Status,
    TransactionCommand,
};
use databases_core::sql::{Dialect, split_script};
use databases_core::{Effect, Error, ErrorKind, Result, RowBatch, RowRef, TransactionOptions};
use futures_util::FutureExt;
use futures_util::future::CatchUnwind;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use crate::batch::{Layout, Live, Rows};
use crate::error;
use crate::options::Options;
use crate::session::{BATCH_ROWS, NextRow, Session, Take};
use crate::shared::Shared;
use crate::stream;

/// `work` on the driver, whose panic is `Err`: it panics at some answers that no server gives.
///
/// The connection is somewhere in the protocol then, as behind a call that was dropped (see [`Operation::end`]).
pub(crate) fn caught<F: Future>(work: F) -> CatchUnwind<AssertUnwindSafe<F>> {
    AssertUnwindSafe(work).catch_unwind()
}

/// How long a side connection may take to stop a statement.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Stops the statement of a connection at the server, over another connection.
pub(crate) struct Killer {
    // Holds the password.
    opts: Opts,
    id: u32,
}

impl Killer {
    /// Stops whatever the connection runs. Best effort, bounded.
    pub(crate) async fn kill(&self) {
        let stop = async {
            let mut side = Conn::new(self.opts.clone()).await?;
            let outcome = side.query_drop(format!("KILL QUERY {}", self.id)).await;
            side.disconnect().await?;
            outcome
        };
        match tokio::time::timeout(KILL_TIMEOUT, caught(stop)).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(fault))) => {
                let code = error::server_code(&fault);
                tracing::debug!(
                    connection_id = self.id,
                    ?code,
                    "a dropped statement could not be stopped at the server"
                );
            }
            Ok(Err(_)) | Err(_) => {
                tracing::debug!(connection_id = self.id, "stopping a dropped statement took too long or failed");
            }
        }
    }
}

/// A session, its state without waiting, and how to stop it.
pub(crate) struct Line {
    session: Arc<Mutex<Session>>,
    shared: Arc<Shared>,
    pub(crate) killer: Killer,
}

/// The use of a session from start to end. Dropped before [`Operation::finish`], it takes the connection with it.
pub(crate) struct Operation {
    line: Arc<Line>,
    session: Option<OwnedMutexGuard<Session>>,
    finished: bool,
}

impl Operation {
    async fn begin(line: &Arc<Line>) -> Result<Self> {
        let session = line.session.clone().lock_owned().await;
        if line.shared.is_broken() {
            return Err(error::disconnected("the connection is not usable any more"));
        }
        line.shared.enter();
        Ok(Self { line: line.clone(), session: Some(session), finished: false })
    }

    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    pub(crate) fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("an operation holds its session until it is dropped")
    }

    /// Every answer was read: the connection may be used again, unless the driver gave it up.
    pub(crate) fn finish(mut self) {
        if self.session().is_disconnected() {
            self.line.shared.break_off();
        }
        self.finished = true;
    }

    /// Ends with what became of the work on the session. After a panic it is dropped unfinished.
    pub(crate) fn end<T>(self, outcome: std::thread::Result<Result<T>>) -> Result<T> {
        let outcome = outcome.map_err(|_| error::unreadable(None))?;
        self.finish();
        outcome
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else { return };
        if self.finished {
            // Before the lock is free: who waits for it, as settle() does, then sees what the session is.
            self.line.shared.leave();
            drop(session);
            return;
        }
        self.line.shared.break_off();
        let line = self.line.clone();
        let stop = async move {
            // The socket stays open meanwhile, so that the id cannot become another's.
            line.killer.kill().await;
            if let Some(conn) = session.take() {
                sever(conn);
            }
            drop(session);
            line.shared.leave();
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(stop)),
            // Nobody is left to run anything: the socket closes with the connection.
            Err(_) => drop(stop),
        }
    }
}

/// Drops a connection that is somewhere in the protocol. The driver would read its results to the end first; a call
/// that was begun and dropped makes it close the socket instead.
fn sever(mut conn: Conn) {
    let _ = caught(conn.ping()).now_or_never();
}

/// Tells the connection when the runtime that serves its socket has gone.
struct Sentinel(Arc<Shared>);

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.0.break_off();
    }
}

/// One connection to MySQL or MariaDB.
pub(crate) struct Connection {
    line: Arc<Line>,
    info: ServerInfo,
    /// Dropped with the connection, which ends the sentinel's task.
    _alive: oneshot::Sender<()>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The driver's types print the password.
        f.debug_struct("Connection")
            .field("id", &self.line.killer.id)
            .field("server", &self.info)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects with `opts`, which is `options` with the addresses, and sets the session up.
    pub(crate) async fn open(opts: Opts, options: &Options) -> Result<Self> {
        let at = options.at();
        let shared = Arc::new(Shared::default());
        let open = async {
            let conn = Conn::new(opts.clone()).await?;
            let id = conn.id();
            Session::open(conn, options, shared.clone()).await.map(|(session, info)| (session, info, id))
        };
        let opened = caught(open).await.map_err(|_| error::unreadable(Some(&at)))?;
        let (session, info, id) = opened.map_err(|fault| error::connect(fault, &at))?;
        let killer = Killer { opts, id };
        let (alive, gone) = oneshot::channel::<()>();
        let sentinel = Sentinel(shared.clone());
        tokio::spawn(async move {
            let _sentinel = sentinel;
            let _ = gone.await;
        });
        let line = Arc::new(Line { session: Arc::new(Mutex::new(session)), shared, killer });
        Ok(Self { line, info, _alive: alive })
    }

    /// What the server is.
    pub(crate) fn info(&self) -> &ServerInfo {
        &self.info
    }

    async fn begin(&self) -> Result<Operation> {
        Operation::begin(&self.line).await
    }

    async fn command(&self, sql: &str) -> Result<()> {
        let mut operation = self.begin().await?;
        let outcome = caught(operation.session().command(sql)).await;
        operation.end(outcome)
    }

    async fn start(&self, options: &TransactionOptions) -> Result<()> {
        if options.is_deferrable() {
            return Err(Error::new(ErrorKind::Unsupported, "MySQL has no deferrable transactions"));
        }
        if options.get_lock_mode().is_some() {
            return Err(Error::new(ErrorKind::Unsupported, "MySQL has no immediate or deferred transactions"));
        }
        let mut operation = self.begin().await?;
        if self.line.shared.in_transaction() {
            operation.finish();
            // START TRANSACTION would commit it.
            return Err(Error::new(ErrorKind::Busy, "a transaction is already open on this connection"));
        }
        let mut sql = String::new();
        if let Some(isolation) = options.get_isolation() {
            sql = format!("SET TRANSACTION ISOLATION LEVEL {}; ", isolation.as_sql());
        }
        sql.push_str(if options.is_read_only() { "START TRANSACTION READ ONLY" } else { "START TRANSACTION" });
        let outcome = caught(operation.session().command(&sql)).await;
        operation.end(outcome)?;
        self.expect_transaction(true, "START TRANSACTION")
    }

    async fn commit(&self) -> Result<()> {
        let mut operation = self.begin().await?;
        if !self.line.shared.in_transaction() {
            operation.finish();
            return Err(Error::new(ErrorKind::TransactionEnded, "the server had already ended the transaction"));
        }
        // Whatever `completion_type` says.
        let outcome = caught(operation.session().command("COMMIT AND NO CHAIN NO RELEASE")).await;
        operation.end(outcome).map_err(|error| {
            if error.kind() == ErrorKind::Disconnected && error.effect() != Effect::NotSent {
                error.with_kind(ErrorKind::CommitOutcomeUnknown).with_effect(Effect::Unknown).context("COMMIT")
            } else {
                error
            }
        })?;
        self.expect_transaction(false, "COMMIT")
    }

    async fn rollback(&self) -> Result<()> {
        let mut operation = self.begin().await?;
        if !self.line.shared.in_transaction() {
            operation.finish();
            return Ok(());
        }
        let outcome = caught(operation.session().command("ROLLBACK AND NO CHAIN NO RELEASE")).await;
        operation.end(outcome)?;
        self.expect_transaction(false, "ROLLBACK")
    }

    /// Compares what the server says with what was asked of it; a session that does otherwise is not to be used.
    fn expect_transaction(&self, open: bool, command: &str) -> Result<()> {
        if self.line.shared.in_transaction() == open {
            return Ok(());
        }
        self.line.shared.break_off();
        let state = if open { "no transaction" } else { "a transaction still open" };
        Err(Error::new(ErrorKind::Internal, format!("the server reports {state} after {command}")))
    }

    async fn in_transaction(&self, sql: String) -> Result<()> {
        if !self.line.shared.in_transaction() {
            return Err(Error::new(ErrorKind::TransactionEnded, "the server had already ended the transaction"));
        }
        self.command(&sql).await
    }
}

#[async_trait]
impl BackendConnection for Connection {
    fn status(&self) -> Status {
        self.line.shared.status()
    }

    fn dialect(&self) -> Dialect {
        self.line.shared.dialect()
    }

    // As `async_trait` writes it, but without room for the arguments twice.
    fn run<'a, 's, 'f>(
        &'a self,
        request: Request,
        sink: &'s mut dyn RowSink,
    ) -> Pin<Box<dyn Future<Output = Result<ExecResult>> + Send + 'f>>
    where
        'a: 'f,
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let mut operation = self.begin().await?;
            let mut take = TakeAll::new(request.wants_rows.then_some(sink));
            let outcome = caught(operation.session().execute(request, &mut take)).await;
            let outcome = match outcome {
                // Not the driver's panic: what is made of rows is the caller's.
                Err(panic) if take.in_sink => resume_unwind(panic),
                outcome => operation.end(outcome),
            };
            take.end(outcome)
        })
    }

    async fn run_many(&self, requests: &mut dyn Requests) -> Result<u64> {
        let mut operation = self.begin().await?;
        let mut requests = Pulled { requests, in_rows: false };
        match caught(operation.session().run_many(&mut requests)).await {
            // Not the driver's panic: rows are made by the caller.
            Err(panic) if requests.in_rows => resume_unwind(panic),
            outcome => operation.end(outcome),
        }
    }

    async fn run_script(&self, sql: &str) -> Result<()> {
        // The server takes an empty statement for a syntax error. What our scanner cannot read it refuses better.
        let statements = split_script(sql, self.dialect());
        let sql = statements.map_or_else(
            |_| sql.to_owned(),
            |statements| statements.iter().map(|statement| statement.sql).collect::<Vec<_>>().join(";\n"),
        );
        if sql.is_empty() {
            return Ok(());
        }
        let mut operation = self.begin().await?;
        let outcome = caught(operation.session().script(&sql)).await;
        operation.end(outcome)
    }

    async fn open_stream(&self, request: Request) -> Result<Box<dyn RowBatches>> {
        stream::open(self.begin().await?, request).await
    }

    async fn transaction(&self, command: TransactionCommand) -> Result<()> {
        let name = TransactionCommand::savepoint_name;
        match command {
            TransactionCommand::Begin(options) => self.start(&options).await,
            TransactionCommand::Commit => self.commit().await,
            TransactionCommand::Rollback => self.rollback().await,
            TransactionCommand::Savepoint(number) => self.in_transaction(format!("SAVEPOINT {}", name(number))).await,
            TransactionCommand::Release(number) => {
                self.in_transaction(format!("RELEASE SAVEPOINT {}", name(number))).await
            }
            TransactionCommand::RollbackTo(number) => {
                self.in_transaction(format!("ROLLBACK TO SAVEPOINT {}", name(number))).await
            }
        }
    }

    async fn settle(&self) {
        // Whoever holds the session is a call that goes on, a stream's task, or the task that stops a dropped call.
        let mut session = self.line.session.clone().lock_owned().await;
        if !self.line.shared.is_broken() {
            self.line.shared.enter();
            let mut operation = Operation { line: self.line.clone(), session: Some(session), finished: false };
            // An error has broken the connection, which is how it is told.
            let outcome = caught(operation.session().refresh_if_stale()).await;
            let _ = operation.end(outcome);
        } else if let Some(conn) = session.take() {
            sever(conn);
        }
    }

    async fn reset(&self) -> Result<bool> {
        let mut operation = self.begin().await?;
        let outcome = caught(operation.session().reset()).await;
        operation.end(outcome)
    }

    async fn ping(&self) -> Result<()> {
        let mut operation = self.begin().await?;
        let outcome = caught(operation.session().ping()).await;
        operation.end(outcome)
    }

    async fn server_info(&self) -> Result<ServerInfo> {
        Ok(self.info.clone())
    }

    async fn native(&self) -> Result<Box<dyn NativeConnection + '_>> {
        let mut operation = self.begin().await?;
        match caught(operation.session().close_statements()).await {
            Ok(Ok(())) => Ok(Box::new(Native { operation: Some(operation) })),
            Ok(Err(error)) => {
                operation.finish();
                Err(error)
            }
            Err(_) => Err(error::unreadable(None)),
        }
    }

    fn native_type(&self) -> &'static str {
        "mysql_async::Conn"
    }

    async fn close(&self) {
        let mut session = self.line.session.clone().lock_owned().await;
        let was_broken = self.line.shared.is_broken();
        self.line.shared.break_off();
        let Some(conn) = session.take() else { return };
        if was_broken {
            sever(conn);
        } else {
            let _ = caught(conn.disconnect()).await;
        }
    }
}

/// Requests, and whether one is being made.
struct Pulled<'a> {
    requests: &'a mut dyn Requests,
    in_rows: bool,
}

impl Requests for Pulled<'_> {
    fn next(&mut self) -> Option<Result<Request>> {
        self.in_rows = true;
        let request = self.requests.next();
        self.in_rows = false;
        request
    }

    fn next_into(&mut self, request: &mut Request) -> Option<Result<()>> {
        self.in_rows = true;
        let next = self.requests.next_into(request);
        self.in_rows = false;
        next
    }
}

/// Takes rows into a sink, or drops them.
pub(crate) struct TakeAll<'a> {
    sink: Option<&'a mut dyn RowSink>,
    /// Whether the sink takes rows where they stand, which spares keeping them.
    live: bool,
    error: Option<Error>,
    /// Whether the sink has rows in hand, so that a panic is its own.
    in_sink: bool,
}

impl<'a> TakeAll<'a> {
    pub(crate) fn new(mut sink: Option<&'a mut dyn RowSink>) -> Self {
        let live = sink.as_mut().is_some_and(|sink| sink.live().is_some());
        Self { sink, live, error: None, in_sink: false }
    }

    /// What the sink said to rows that it was given.
    fn taken(&mut self, taken: Result<Flow>) {
        self.in_sink = false;
        match taken {
            Ok(Flow::Continue) => {}
            Ok(Flow::Stop) => self.sink = None,
            Err(error) => {
                self.sink = None;
                self.error = Some(error);
            }
        }
    }

    /// The sink's error counts only where the server has none.
    fn end(self, outcome: Result<ExecResult>) -> Result<ExecResult> {
        match self.error {
            Some(error) if outcome.is_ok() => Err(error),
            _ => outcome,
        }
    }
}

impl Take for TakeAll<'_> {
    fn wants(&self) -> bool {
        self.sink.is_some()
    }

    fn is_full(&self, rows: usize, _: usize) -> bool {
        rows >= BATCH_ROWS
    }

    fn row(&mut self, layout: &Layout, row: &mysql_async::Row) -> bool {
        if !self.live {
            return false;
        }
        let Some(sink) = self.sink.as_mut().and_then(|sink| sink.live()) else { return false };
        self.in_sink = true;
        let taken = sink.row(RowRef::live(layout.columns(), &Live { layout, row }));
        self.taken(taken);
        true
    }

    fn wait(
        &mut self,
        next: Pin<&mut (impl Future<Output = NextRow> + Send)>,
        _: &mut Option<Box<Rows>>,
    ) -> impl Future<Output = NextRow> + Send {
        next
    }

    async fn take(&mut self, batch: Arc<dyn RowBatch>) {
        let Some(sink) = &mut self.sink else { return };
        self.in_sink = true;
        let taken = sink.batch(batch);
        self.taken(taken);
    }
}

/// The driver's connection, lent. What is done to it is asked for afterwards.
struct Native {
    operation: Option<Operation>,
}

impl Native {
    const OPEN: &str = "the driver's connection is there while the session is not broken";
}

impl NativeConnection for Native {
    fn as_any(&self) -> &dyn Any {
        let session = self.operation.as_ref().and_then(|operation| operation.session.as_ref());
        session.and_then(|session| session.driver()).expect(Self::OPEN)
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        let session = self.operation.as_mut().and_then(|operation| operation.session.as_mut());
        session.and_then(|session| session.driver_mut()).expect(Self::OPEN)
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        let Some(mut operation) = self.operation.take() else { return };
        operation.session().set_stale();
        if operation.session().is_disconnected() {
            return operation.finish();
        }
        match Handle::try_current() {
            // The session is busy until its state is known again.
            Ok(runtime) => drop(runtime.spawn(async move {
                let outcome = caught(operation.session().refresh_if_stale()).await;
                let _ = operation.end(outcome);
            })),
            // The next call asks.
            Err(_) => operation.finish(),
        }
    }
}
