//! One session: statements in, rows out.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use databases_core::backend::{
    BackendConnection, CopyRows, CopySink, CopyTarget, ExecResult, NativeConnection, Request, Requests, RowBatches,
    RowSink, ServerInfo, Status, TransactionCommand,
};
use databases_core::sql::{Dialect, Verb};
use databases_core::{Codecs, Effect, Error, ErrorKind, Result};
use futures_util::TryStreamExt;
use tokio::sync::{OwnedRwLockReadGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::cache::{Prepared, Statements};
use crate::connect::{Cancel, SharedCancel};
use crate::copy;
use crate::encode::{Encoded, MAX_MESSAGE_BYTES, Param, check_length};
use crate::error;
use crate::session::Session;
use crate::stream::PgStream;
use crate::work::Work;

/// How long a dropped statement may take to end by itself before it is cancelled, and the longest pause between cancels.
const CANCEL_AFTER: Duration = Duration::from_millis(2);
const CANCEL_EVERY: Duration = Duration::from_millis(250);
/// How long a connection that is thrown away while it is busy may take to tell the server.
const DISCARD_WAIT: Duration = Duration::from_secs(5);

/// What `DISCARD ALL` does, but for `DEALLOCATE ALL`: the driver keeps statements of its own that look types up, and so
/// do we. The settings of the startup message may be a pooler's, which RESET ALL does not go back to. Statements that SQL text has
/// prepared are named by the last part.
/// <https://www.postgresql.org/docs/current/sql-discard.html>
const RESET: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; \
    SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; UNLISTEN *; \
    SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES; \
    SELECT 'DEALLOCATE ' || pg_catalog.quote_ident(name) FROM pg_catalog.pg_prepared_statements WHERE from_sql";

/// The client; `None` once closed. Statements share it, `native()` and `close()` have it alone.
pub(crate) type SharedClient = Arc<RwLock<Option<Client>>>;

/// A session with a server.
pub(crate) struct PgConnection {
    pub(crate) client: SharedClient,
    pub(crate) session: Arc<Session>,
    pub(crate) statements: Arc<Statements>,
    pub(crate) deallocations_seen: AtomicU64,
    pub(crate) codecs: Codecs,
    /// Whether a row has shown that a type is no longer what the driver keeps of it.
    pub(crate) types_changed: Arc<AtomicBool>,
    cancel: SharedCancel,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for PgConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgConnection").field("status", &self.session.status()).finish_non_exhaustive()
    }
}

impl PgConnection {
    pub(crate) fn new(
        client: Client,
        session: Arc<Session>,
        cancel: Cancel,
        task: JoinHandle<()>,
        statement_cache_size: usize,
    ) -> Self {
        Self {
            client: Arc::new(RwLock::new(Some(client))),
            session,
            statements: Arc::new(Statements::new(statement_cache_size)),
            deallocations_seen: AtomicU64::new(0),
            codecs: Codecs::default(),
            types_changed: Arc::default(),
            cancel: Arc::new(cancel),
            task: Mutex::new(Some(task)),
        }
    }

    /// The client, shared with other statements.
    pub(crate) async fn client(&self) -> Result<RwLockReadGuard<'_, Client>> {
        match self.client.try_read() {
            Ok(client) => self.open_client(client),
            Err(_) => self.open_client(self.client.read().await),
        }
    }

    fn open_client<'a>(&self, client: RwLockReadGuard<'a, Option<Client>>) -> Result<RwLockReadGuard<'a, Client>> {
        if self.session.is_over() {
            return Err(self.session.gone());
        }
        RwLockReadGuard::try_map(client, Option::as_ref).map_err(|_| self.session.gone())
    }

    pub(crate) async fn client_owned(&self) -> Result<OwnedRwLockReadGuard<Option<Client>, Client>> {
        let client = self.client.clone().read_owned().await;
        if self.session.is_over() {
            return Err(self.session.gone());
        }
        OwnedRwLockReadGuard::try_map(client, Option::as_ref).map_err(|_| self.session.gone())
    }

    async fn client_alone(&self) -> Result<RwLockWriteGuard<'_, Option<Client>>> {
        let client = self.client.write().await;
        if self.session.is_over() || client.is_none() {
            return Err(self.session.gone());
        }
        Ok(client)
    }

    /// Runs statements of ours by the simple protocol.
    pub(crate) async fn simple(&self, sql: &str) -> Result<()> {
        let client = self.client().await?;
        let mut op = self.session.op();
        op.sending();
        let result = match self.in_transaction(&client, client.batch_execute(sql)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.session.fail(error, Some(sql)).await),
            Err(error) => Err(error),
        };
        op.finish();
        result
    }

    /// The statement and its encoded arguments.
    pub(crate) async fn bind(&self, request: &Request) -> Result<(Arc<Prepared>, Encoded)> {
        check(request)?;
        let before_begin = self.session.opening.waits();
        let bound = self.bind_known(request).await;
        if before_begin && bound.as_ref().is_err_and(|error| error.code().is_some()) {
            self.session.opening.fail();
        }
        bound
    }

    /// The same where nothing has to be asked or waited for. `None`: what is wrong with it is not told here.
    fn bind_at_once(&self, request: &Request) -> Option<(Arc<Prepared>, Encoded)> {
        if !request.prepared || request.template.verb() == Verb::Copy || request.sql.len() > MAX_MESSAGE_BYTES {
            return None;
        }
        let prepared = self.known(&request.sql, &request.args)?;
        let encoded = prepared.encode(&request.args, &self.session).ok()?;
        if !prepared.has_fitted.load(Relaxed) {
            prepared.has_fitted.store(true, Relaxed);
        }
        Some((prepared, encoded))
    }

    /// The same for a text that is not known yet, which may be run at once.
    async fn bind_or_run(&self, request: &Request) -> Result<ControlFlow<ExecResult, (Arc<Prepared>, Encoded)>> {
        if let Some(types) = self.runs_unprepared(request)
            && let Some(done) = self.run_unprepared(request, types).await?
        {
            return Ok(ControlFlow::Break(done));
        }
        self.bind(request).await.map(ControlFlow::Continue)
    }

    async fn bind_known(&self, request: &Request) -> Result<(Arc<Prepared>, Encoded)> {
        let mut tried = false;
        loop {
            let prepared = self.prepare(&request.sql, &request.args, request.prepared).await?;
            let error = match prepared.encode(&request.args, &self.session) {
                Ok(encoded) => {
                    prepared.has_fitted.store(true, Relaxed);
                    return Ok((prepared, encoded));
                }
                Err(error) => error,
            };
            if error.kind() != ErrorKind::Encode {
                return Err(error);
            }
            // Columns and composite types may be others by now than when they were looked up. What never fitted is not kept
            // either.
            self.forget(&request.sql).await;
            if tried || !(prepared.has_fitted.load(Relaxed) || prepared.params.iter().any(Param::is_looked_up)) {
                return Err(error);
            }
            tried = true;
        }
    }

    /// Whether `error` is about a plan that the server has thrown away, and running again cannot do harm.
    async fn may_retry(&self, request: &Request, encoded: &Encoded, error: &tokio_postgres::Error) -> bool {
        let is_cured = error::is_stale(error) || (encoded.has_text() && error::is_misread(error));
        if !is_cured || error::may_follow_commit(error, request.template.class()) {
            return false;
        }
        self.session.guard.error_answered().await;
        self.forget(&request.sql).await;
        self.session.outside_transaction()
    }

    /// Turns the error of a statement into ours.
    pub(crate) async fn fail(&self, error: tokio_postgres::Error, request: &Request) -> Error {
        let may_be_done = error::may_follow_commit(&error, request.template.class());
        let error = self.session.fail(error, Some(&request.sql)).await;
        if may_be_done && self.session.outside_transaction() { error.with_effect(Effect::Unknown) } else { error }
    }

    /// Prepares `sql` anew the next time, and looks the types up again: a composite type may have been changed as well.
    pub(crate) async fn forget(&self, sql: &str) {
        self.statements.remove_all(sql);
        self.forget_types().await;
    }

    pub(crate) async fn forget_types(&self) {
        if let Ok(client) = self.client().await {
            client.clear_type_cache();
        }
    }

    /// Returns when everything that was queued before has been answered.
    pub(crate) async fn fence(&self) {
        while !self.session.guard.is_closed() {
            let Ok(client) = self.client().await else { return };
            let mut op = self.session.op();
            op.sending();
            let beginning = self.session.guard.expects_begin();
            let result = client.check_connection().await;
            drop(client);
            if let Err(error) = result {
                _ = self.session.fail(error, None).await;
            } else if beginning && self.session.guard.expects_begin() {
                // BEGIN has failed, and nobody is there any more to take the error.
                self.session.kill();
            }
            op.finish();
            // A COPY that began by itself may have been dropped behind this.
            if !self.session.prepared().await && self.session.is_settled() {
                return;
            }
        }
    }
}

/// Runs statements by the simple protocol and counts those that have ended.
async fn run_all(client: &Client, sql: &str, done: &mut usize) -> Result<(), tokio_postgres::Error> {
    let mut messages = std::pin::pin!(client.simple_query_raw(sql).await?);
    while let Some(message) = messages.try_next().await? {
        if let SimpleQueryMessage::CommandComplete(_) = message {
            *done += 1;
        }
    }
    Ok(())
}

/// What can be told before anything is sent.
pub(crate) fn check(request: &Request) -> Result<()> {
    check_length("statement", &request.sql, MAX_MESSAGE_BYTES)?;
    if request.template.verb() == Verb::Copy && copy::direction(&request.sql).is_some() {
        return Err(Error::new(ErrorKind::Unsupported, "COPY from STDIN or to STDOUT is no statement for this method")
            .with_hint("copy_in() and copy_rows() send data; native::<tokio_postgres::Client>() has copy_out"));
    }
    Ok(())
}

/// The rows affected, where the verb has any.
pub(crate) fn affected(verb: Verb, rows: u64) -> u64 {
    match verb {
        Verb::Insert | Verb::Update | Verb::Delete | Verb::Merge | Verb::Copy => rows,
        _ => 0,
    }
}

#[async_trait]
impl BackendConnection for PgConnection {
    fn status(&self) -> Status {
        self.session.status()
    }

    fn dialect(&self) -> Dialect {
        Dialect::POSTGRES.with_standard_conforming_strings(self.session.guard.standard_strings())
    }

    // What is hardly ever waited for is boxed: the size of this future is paid for by every statement.
    async fn run(&self, request: Request, sink: &mut dyn RowSink) -> Result<ExecResult> {
        let mut retried = false;
        loop {
            let (prepared, encoded) = match self.bind_at_once(&request) {
                Some(bound) => bound,
                None => match Box::pin(self.bind_or_run(&request)).await? {
                    ControlFlow::Continue(bound) => bound,
                    ControlFlow::Break(done) => return Ok(done),
                },
            };
            let client = match self.client.try_read() {
                Ok(client) => self.open_client(client)?,
                Err(_) => Box::pin(self.client()).await?,
            };
            // Whether the sink has had rows, which must not come twice.
            let mut given = false;
            let mut op = self.session.short_op();
            op.sending();
            let work = Work {
                client: &client,
                prepared: &prepared,
                session: &self.session,
                encoded: &encoded,
                wants_rows: request.wants_rows,
            };
            let result = if self.session.opening.waits() {
                match Box::pin(self.in_transaction(&client, work.run(sink, &mut given))).await {
                    Ok(result) => result,
                    Err(error) => {
                        op.finish();
                        return Err(error);
                    }
                }
            } else {
                work.run(sink, &mut given).await
            };
            drop(client);
            let error = match result {
                Ok((rows, outcome)) => {
                    op.finish();
                    outcome?;
                    return Ok(ExecResult::new(affected(request.template.verb(), rows), None));
                }
                Err(error) => error,
            };
            if !retried && !given && Box::pin(self.may_retry(&request, &encoded, &error)).await {
                op.finish();
                retried = true;
                continue;
            }
            let error = Box::pin(self.fail(error, &request)).await;
            op.finish();
            return Err(error);
        }
    }

    async fn run_many(&self, requests: &mut dyn Requests) -> Result<u64> {
        self.open_transaction().await?;
        crate::many::run_many(self, requests).await
    }

    async fn run_script(&self, sql: &str) -> Result<()> {
        if sql.contains('\0') {
            return Err(Error::new(ErrorKind::Parameters, "the script holds a NUL"));
        }
        check_length("script", sql, MAX_MESSAGE_BYTES)?;
        let client = self.client().await?;
        let mut op = self.session.op();
        op.sending();
        let mut done = 0;
        let result = match self.in_transaction(&client, run_all(&client, sql, &mut done)).await {
            Ok(Ok(())) => Ok(()),
            Err(error) => Err(error),
            Ok(Err(error)) => Err(self.session.fail(error, Some(sql)).await.with_batch_index(done)),
        };
        op.finish();
        result
    }

    async fn open_stream(&self, request: Request) -> Result<Box<dyn RowBatches>> {
        let mut retried = false;
        loop {
            let (prepared, encoded) = self.bind(&request).await?;
            let client = self.client_owned().await?;
            let mut op = self.session.op();
            op.sending();
            let opened = self.in_transaction(&client, client.query_raw(&prepared.statement, encoded.iter())).await;
            let error = match opened {
                Ok(Ok(rows)) => {
                    let session = self.session.clone();
                    return Ok(Box::new(PgStream::new(rows, prepared, op, client, session, request.sql)));
                }
                Ok(Err(error)) => error,
                Err(error) => {
                    op.finish();
                    return Err(error);
                }
            };
            drop(client);
            if !retried && self.may_retry(&request, &encoded, &error).await {
                op.finish();
                retried = true;
                continue;
            }
            let error = self.fail(error, &request).await;
            op.finish();
            return Err(error);
        }
    }

    async fn copy_in(&self, request: Request) -> Result<Box<dyn CopySink>> {
        self.open_transaction().await?;
        copy::copy_in(self, request).await
    }

    async fn copy_rows(&self, target: &CopyTarget, rows: &mut dyn CopyRows) -> Result<u64> {
        self.open_transaction().await?;
        copy::copy_rows(self, target, rows).await
    }

    async fn transaction(&self, command: TransactionCommand) -> Result<()> {
        self.step(command).await
    }

    async fn settle(&self) {
        if matches!(self.status(), Status::Idle | Status::InTransaction | Status::Failed) {
            return;
        }
        if self.session.is_out_of_step() {
            _ = self.cancel.send().await;
            return self.session.kill();
        }
        let mut cancelled = false;
        let mut pause = CANCEL_AFTER;
        let mut fence = std::pin::pin!(self.fence());
        while tokio::time::timeout(pause, &mut fence).await.is_err() {
            if self.session.guard.is_closed() {
                return;
            }
            // Were BEGIN cancelled, what was sent with it would be committed by itself.
            if self.session.guard.expects_begin() {
                continue;
            }
            // If the server cannot be reached for it, the statement ends by itself or the caller's deadline does.
            _ = self.cancel.send().await;
            cancelled = true;
            pause = (pause * 5).min(CANCEL_EVERY);
        }
        if cancelled {
            // The signal of the last cancel is taken by now, or by this.
            self.fence().await;
        }
    }

    async fn reset(&self) -> Result<bool> {
        if self.status() != Status::Idle || self.session.guard.deallocations() > 0 {
            return Ok(false);
        }
        let client = self.client().await?;
        let mut op = self.session.op();
        op.sending();
        let result = client.simple_query(RESET).await;
        let result = match result {
            Ok(messages) => Ok(messages),
            Err(error) => Err(self.session.fail(error, Some(RESET)).await),
        };
        op.finish();
        drop(client);
        let mut deallocate = String::new();
        for message in result? {
            if let SimpleQueryMessage::Row(row) = message
                && let Ok(Some(command)) = row.try_get(0)
                && command.starts_with("DEALLOCATE ")
            {
                deallocate.push_str(command);
                deallocate.push(';');
            }
        }
        if !deallocate.is_empty() {
            self.simple(&deallocate).await?;
        }
        self.statements.clear();
        Ok(true)
    }

    async fn ping(&self) -> Result<()> {
        self.simple("").await
    }

    async fn server_info(&self) -> Result<ServerInfo> {
        Ok(ServerInfo::new("PostgreSQL", self.session.guard.server_version()))
    }

    async fn native(&self) -> Result<Box<dyn NativeConnection + '_>> {
        self.open_transaction().await?;
        let client = self.client_alone().await?;
        Ok(Box::new(Native { client, session: &self.session }))
    }

    fn native_type(&self) -> &'static str {
        "tokio_postgres::Client"
    }

    async fn close(&self) {
        // Without its client the driver sends Terminate and ends.
        drop(self.client.write().await.take());
        // Also if this future goes no further.
        self.session.guard.close();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            _ = (&mut AbortOnDrop(task).0).await;
        }
    }
}

impl Drop for PgConnection {
    fn drop(&mut self) {
        let status = self.session.status();
        if status == Status::Broken {
            return;
        }
        let (cancel, session) = (self.cancel.clone(), self.session.clone());
        let farewell = async move {
            let said = async {
                if status == Status::Busy {
                    // Without a word the server would go on with the statement that nobody waits for. What was sent with BEGIN
                    // must not outlive a BEGIN that is cancelled.
                    session.guard.begun().await;
                    _ = cancel.send().await;
                } else {
                    // The driver says good-bye once its client is dropped.
                    session.guard.closed().await;
                }
            };
            _ = tokio::time::timeout(DISCARD_WAIT, said).await;
            session.kill();
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(farewell)),
            Err(_) => self.session.kill(),
        }
    }
}

/// Ends the driver's task if nobody waits for its end any more.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The driver's client, lent.
struct Native<'a> {
    client: RwLockWriteGuard<'a, Option<Client>>,
    session: &'a Session,
}

const LENT: &str = "the client is there as long as it is lent";

impl NativeConnection for Native<'_> {
    fn as_any(&self) -> &dyn std::any::Any {
        self.client.as_ref().expect(LENT)
    }

    fn as_any_mut(&mut self) -> &mut dyn std::any::Any {
        self.client.as_mut().expect(LENT)
    }
}

impl Drop for Native<'_> {
    fn drop(&mut self) {
        // Futures on the client may have been dropped: only a settled session is known.
        self.session.abandon();
    }
}

/// The effect of a call that the connection broke under.
pub(crate) fn was_sent(error: &Error) -> bool {
    error.effect() != Effect::NotSent
}
