//! From a call to a request, and through a connection: what every executor does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;

use crate::backend::{ExecResult, Request, RowBatches, RowSink, Status};
use crate::checked::check;
use crate::connection::Connection;
use crate::database::breathe;
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::executor::{Call, ParamRows, RawExecutor};
use crate::limits::ResultLimits;
use crate::options::TransactionOptions;
use crate::pool::Inner;
use crate::query::Query;
use crate::row::RowBatch;
use crate::session::{Handle, InFlight};
use crate::sql::{Dialect, DialectKind, StatementClass, Template, Verb, scan, split_script};
use crate::stream::BatchStream;
use crate::transaction::Transaction;

mod bounds;

pub(crate) use bounds::{Bounds, in_turn, is_traced, stopped};

/// Where a statement is to run: decides what it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On any connection of the pool.
    Pool,
    /// On a connection of one's own.
    Connection,
    /// In a transaction.
    Transaction,
}

impl Inner {
    pub(crate) fn dialect(&self) -> Dialect {
        self.config.connector.dialect()
    }

    /// Scans `query` and refuses what may not run at `place`. Nothing is sent.
    pub(crate) fn template(&self, query: &Query<'_>, dialect: Dialect, place: Place) -> Result<Arc<Template>> {
        let template = self.cache.get_or_scan(&query.text, dialect)?;
        if template.statements() > 1 {
            return Err(Error::new(
                ErrorKind::Parameters,
                format!("one statement per call, and this text has {}", template.statements()),
            )
            .with_hint("run several with execute_script"));
        }
        if template.statements() == 0 {
            let message = "the text holds no statement";
            return Err(Error::new(ErrorKind::Syntax, message).with_effect(Effect::NotSent));
        }
        self.refuse(template.class(), place)?;
        self.refuse_on_pool(template.class(), template.verb(), dialect, place)?;
        Ok(template)
    }

    fn refuse(&self, class: StatementClass, place: Place) -> Result<()> {
        let force_rollback = self.options().force_rollback;
        match class {
            StatementClass::TxControl if force_rollback => refused(
                "with force_rollback the outer transaction is not the caller's: use begin(), commit() and rollback()",
            ),
            StatementClass::TxControl if place != Place::Connection => refused(
                "transaction control as text would not reach the transaction that is meant: \
                 use begin(), commit() and rollback(), or acquire() a connection",
            ),
            StatementClass::Ddl if force_rollback && !self.config.connector.capabilities().transactional_ddl => {
                refused("this server commits at DDL, so force_rollback could not undo anything before it")
            }
            _ => Ok(()),
        }
    }

    /// Refuses what would change whichever connection of the pool it meets: PRAGMA and ATTACH.
    fn refuse_on_pool(&self, class: StatementClass, verb: Verb, dialect: Dialect, place: Place) -> Result<()> {
        let changes_one = class == StatementClass::Session && matches!(verb, Verb::Pragma | Verb::Other);
        if changes_one && place == Place::Pool && dialect.kind() == DialectKind::Sqlite {
            return refused(
                "this may change the one connection that it meets: use an option of the URL or builder, \
                 after_connect, or acquire() a connection",
            );
        }
        Ok(())
    }

    /// Checks the statements of a script; gives the class that tells most about what it leaves behind.
    pub(crate) fn check_script(&self, script: &str, dialect: Dialect, place: Place) -> Result<StatementClass> {
        let mut worst = StatementClass::Write;
        for statement in split_script(script, dialect)? {
            // A script that begins and commits by itself runs on one connection, so it may do so on a pool.
            let asked = place;
            let place = if place == Place::Pool { Place::Connection } else { place };
            self.refuse(statement.class, place)?;
            if statement.class == StatementClass::Session {
                let verb = scan(statement.sql, dialect)?.verb();
                self.refuse_on_pool(statement.class, verb, dialect, asked)?;
            }
            if changes_session(statement.class) || (statement.class == StatementClass::Ddl && !changes_session(worst)) {
                worst = statement.class;
            }
        }
        Ok(worst)
    }

    pub(crate) fn timeout_of(&self, query: &Query<'_>) -> Option<Duration> {
        query.timeout.or(self.options().statement_timeout)
    }

    pub(crate) fn limits_of(&self, call: &Call<'_>) -> ResultLimits {
        if !call.collects {
            return ResultLimits::default();
        }
        let options = self.options();
        call.query.limits().or(ResultLimits { rows: options.max_rows, bytes: options.max_bytes })
    }

    /// A span that lasts as long as the transaction's handle.
    pub(crate) fn transaction_span(&self, nested: bool, parent: &tracing::Span) -> tracing::Span {
        let target = self.config.connector.target();
        parent.in_scope(|| {
            tracing::debug_span!(
                "transaction",
                otel.kind = "client",
                db.system.name = target.system,
                db.namespace = target.namespace.as_str(),
                server.address = target.address.as_str(),
                server.port = target.port,
                nested,
            )
        })
    }

    fn script_span(&self, script: &str) -> tracing::Span {
        let target = self.config.connector.target();
        tracing::debug_span!(
            "script",
            otel.kind = "client",
            db.system.name = target.system,
            db.namespace = target.namespace.as_str(),
            db.query.text = script,
            server.address = target.address.as_str(),
            server.port = target.port,
            db.response.status_code = tracing::field::Empty,
            error.type = tracing::field::Empty,
        )
    }

    fn span(&self, verb: &str, template: &Template) -> tracing::Span {
        let target = self.config.connector.target();
        let span = tracing::debug_span!(
            "statement",
            otel.name = %verb,
            otel.kind = "client",
            db.system.name = target.system,
            db.namespace = target.namespace.as_str(),
            db.operation.name = %verb,
            db.collection.name = tracing::field::Empty,
            db.query.text = template.sql(),
            server.address = target.address.as_str(),
            server.port = target.port,
            db.response.status_code = tracing::field::Empty,
            error.type = tracing::field::Empty,
        );
        if let Some(table) = template.target_table() {
            span.record("db.collection.name", table);
        }
        span
    }
}

fn refused<T>(why: &str) -> Result<T> {
    Err(Error::new(ErrorKind::Unsupported, why))
}

pub(crate) fn changes_session(class: StatementClass) -> bool {
    matches!(class, StatementClass::Session | StatementClass::Unknown | StatementClass::TxControl)
}

impl Handle {
    pub(crate) fn place(&self) -> Place {
        if self.in_transaction() { Place::Transaction } else { Place::Connection }
    }

    pub(crate) fn mark(&self, class: StatementClass) {
        if changes_session(class) {
            self.session.mark_dirty();
        }
    }

    pub(crate) async fn run(&self, call: Call<'_>, sink: &mut dyn RowSink) -> Result<ExecResult> {
        breathe().await;
        let inner = &self.session.inner;
        if !self.in_transaction() && self.session.force_rollback() {
            let savepoint = Transaction::new(self.begin(&TransactionOptions::new()).await?);
            let result = Box::pin(savepoint.handle.run(call, sink)).await;
            return settle_savepoint(savepoint, result).await;
        }
        let limits = inner.limits_of(&call);
        let mut turn = None; // Outlives `in_flight`, whose drop tells the others that they may not run.
        let (in_flight, request, timeout) = self.prepare(call).await?;
        let conn = &*self.session.conn;
        let (template, native) = (request.template.clone(), request.sql.clone());
        let bounds = Bounds::of(self, &template, timeout);
        let work = async {
            turn = bounds.wait(self.turn()).await?;
            limits.run(conn, request, sink).await
        };
        let result = bounds.run(work).await;
        if matches!(&result, Err(error) if error.kind() == ErrorKind::LimitExceeded) {
            self.stop_the_rest().await;
        }
        self.leave(in_flight, template.class(), result).map_err(|error| error.located(&template, &native))
    }

    /// Stops a statement whose rows nobody takes any more. Outside of a transaction the next call does it; in one, that
    /// call would wait behind the rows. Nothing is stopped beside other calls, which it could hit.
    async fn stop_the_rest(&self) {
        let conn = &*self.session.conn;
        if self.in_transaction() && conn.status() == Status::Busy && self.is_alone() {
            let limit = self.session.inner.options().close_timeout;
            let _ = tokio::time::timeout(limit, conn.settle()).await;
        }
    }

    /// Enters the session and binds the call in its dialect, which what is undone on entering may change.
    pub(crate) async fn prepare(&self, mut call: Call<'_>) -> Result<(InFlight<'_>, Request, Option<Duration>)> {
        let inner = &self.session.inner;
        let in_flight = self.enter().await?;
        let dialect = self.session.conn.dialect();
        let timeout = inner.timeout_of(&call.query);
        let request = check(inner, dialect, self.place(), &mut call)
            .and_then(|checked| checked.request(inner, dialect, self.place(), call));
        match request {
            Ok(request) => {
                self.mark(request.template.class());
                Ok((in_flight, request, timeout))
            }
            Err(error) => {
                in_flight.finish();
                Err(error)
            }
        }
    }

    pub(crate) async fn run_script(&self, script: &str) -> Result<()> {
        let inner = &self.session.inner;
        if !self.in_transaction() && self.session.force_rollback() {
            let savepoint = Transaction::new(self.begin(&TransactionOptions::new()).await?);
            let result = Box::pin(savepoint.handle.run_script(script)).await;
            return settle_savepoint(savepoint, result).await;
        }
        let conn = &*self.session.conn;
        let mut turn = None;
        let in_flight = self.enter().await?;
        let dialect = conn.dialect();
        let class = match inner.check_script(script, dialect, self.place()) {
            Ok(class) => class,
            Err(error) => {
                in_flight.finish();
                return Err(error);
            }
        };
        self.mark(class);
        let span = self.span.in_scope(|| inner.script_span(script));
        let bounds = Bounds::of_script(self, span, inner.options().statement_timeout);
        let work = async {
            turn = bounds.wait(self.turn()).await?;
            conn.run_script(script).await
        };
        let result = bounds.run(work).await;
        self.leave(in_flight, class, result).map_err(|error| error.located_in_script(script, dialect))
    }

    /// Whether something is open that no handle stands for: a transaction that text has begun.
    pub(crate) fn has_stray_transaction(&self) -> bool {
        let open = matches!(self.session.conn.status(), Status::InTransaction | Status::Failed);
        open && !self.in_transaction() && !self.session.force_rollback()
    }

    /// Opens a stream; while it is open the handle is busy.
    pub(crate) async fn open_stream(&self, call: Call<'static>) -> Result<OpenStream> {
        let mut turn = None;
        let (in_flight, request, timeout) = self.prepare(call).await?;
        self.set_streaming(true);
        let mut open = OpenStream { batches: None, handle: self.clone(), keep: None, timeout };
        let conn = &*self.session.conn;
        let (template, native) = (request.template.clone(), request.sql.clone());
        let bounds = Bounds::of(self, &template, timeout);
        let work = async {
            turn = bounds.wait(self.turn()).await?;
            conn.open_stream(request).await
        };
        let batches = bounds.run(work).await;
        let batches = self.leave(in_flight, template.class(), batches);
        open.batches = Some(batches.map_err(|error| error.located(&template, &native))?);
        Ok(open)
    }
}

/// Keeps what was done in `savepoint` or undoes it, as `result` says.
pub(crate) async fn settle_savepoint<T>(savepoint: Transaction, result: Result<T>) -> Result<T> {
    match result {
        Ok(value) => {
            savepoint.commit().await?;
            Ok(value)
        }
        Err(error) => {
            let _ = savepoint.rollback().await;
            Err(error)
        }
    }
}

/// A stream under way, and what it holds.
pub(crate) struct OpenStream {
    // Dropped first: the backend stops the statement before the connection goes back.
    batches: Option<Box<dyn RowBatches>>,
    handle: Handle,
    /// The savepoint that an autocommit stream runs in under force_rollback.
    keep: Option<Transaction>,
    /// How long each batch may be waited for.
    timeout: Option<Duration>,
}

impl OpenStream {
    async fn next(&mut self) -> Result<Option<Arc<dyn RowBatch>>> {
        let batches = self.batches.as_mut().expect("an open stream has batches");
        let Some(limit) = self.timeout else { return batches.next().await };
        let next = tokio::time::timeout(limit, batches.next()).await;
        match next {
            Ok(next) => next,
            Err(_) => {
                self.batches = None;
                let session = &self.handle.session;
                Err(stopped(&session.inner, &*session.conn, limit).await)
            }
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.batches = None;
        self.handle.set_streaming(false);
    }
}

/// Opens a stream with `open` at the first poll and gives its batches.
pub(crate) fn batches<'e, F>(open: F) -> BatchStream<'e>
where
    F: Future<Output = Result<OpenStream>> + Send + 'e,
{
    enum Step<F> {
        Open(F),
        Read(OpenStream),
    }
    Box::pin(stream::try_unfold(Step::Open(Box::pin(open)), async |step| {
        let mut open = match step {
            Step::Open(open) => open.await?,
            Step::Read(open) => open,
        };
        match open.next().await {
            Ok(Some(batch)) => Ok(Some((batch, Step::Read(open)))),
            Ok(None) => {
                open.batches = None;
                if let Some(savepoint) = open.keep.take() {
                    open.handle.set_streaming(false);
                    savepoint.commit().await?;
                }
                Ok(None)
            }
            Err(error) => {
                open.handle.note(&error);
                Err(error)
            }
        }
    }))
}

/// Streams on a connection of their own: the base of every `iterate`.
pub(crate) fn stream_on<'e>(
    handle: impl Future<Output = Result<Handle>> + Send + 'e,
    call: Call<'static>,
) -> BatchStream<'e> {
    batches(async move {
        let handle = handle.await?;
        if handle.in_transaction() || !handle.session.force_rollback() {
            return handle.open_stream(call).await;
        }
        let savepoint = Transaction::new(handle.begin(&TransactionOptions::new()).await?);
        let mut open = savepoint.handle.open_stream(call).await?;
        open.keep = Some(savepoint);
        Ok(open)
    })
}

macro_rules! executor_by_handle {
    ($type:ty) => {
        #[async_trait]
        impl RawExecutor for $type {
            fn dialect(&self) -> Dialect {
                self.handle.session.conn.dialect()
            }

            async fn raw_run(&self, call: Call<'_>, sink: &mut dyn RowSink) -> Result<ExecResult> {
                self.handle.run(call, sink).await
            }

            async fn raw_run_many(&self, query: Query<'_>, rows: &mut ParamRows<'_>) -> Result<u64> {
                self.handle.run_many(query, rows).await
            }

            async fn raw_run_script(&self, sql: &str) -> Result<()> {
                self.handle.run_script(sql).await
            }

            fn raw_stream<'e>(&'e self, call: Call<'static>) -> BatchStream<'e> {
                stream_on(std::future::ready(Ok(self.handle.clone())), call)
            }
        }
    };
}

// The two differ in what they may be asked, which their handle knows.
executor_by_handle!(Connection);
executor_by_handle!(Transaction);
