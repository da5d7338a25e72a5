//! What bounds and shows a statement on its way: its timeout and its span.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument as _;

use crate::backend::BackendConnection;
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::pool::{Inner, Lease, after};
use crate::session::Handle;
use crate::sql::Template;

/// Whom the connection is shared with.
enum Others<'a> {
    /// Other statements of its handle and the handles around it.
    Handle(&'a Handle),
    /// Other statements of the pool.
    Lease(&'a Lease),
}

/// What bounds and shows a statement on its way.
pub(crate) struct Bounds<'a> {
    inner: &'a Inner,
    conn: &'a dyn BackendConnection,
    sharing: Others<'a>,
    timeout: Option<Duration>,
    span: tracing::Span,
    /// It waits for the statements before it, and was not sent.
    waiting: AtomicBool,
}

impl<'a> Bounds<'a> {
    /// Of a statement on a connection of the pool, which it may share.
    pub(crate) fn leased(lease: &'a Lease, template: &Template, timeout: Option<Duration>) -> Self {
        let (inner, conn) = (lease.slot().inner(), &**lease.slot().conn());
        let span = span(inner, &tracing::Span::none(), template);
        Self { inner, conn, sharing: Others::Lease(lease), timeout, span, waiting: AtomicBool::new(false) }
    }

    pub(crate) fn of(handle: &'a Handle, template: &Template, timeout: Option<Duration>) -> Self {
        let span = span(&handle.session.inner, &handle.span, template);
        Self::of_script(handle, span, timeout)
    }

    pub(super) fn of_script(handle: &'a Handle, span: tracing::Span, timeout: Option<Duration>) -> Self {
        let (inner, conn) = (&*handle.session.inner, &*handle.session.conn);
        Self { inner, conn, sharing: Others::Handle(handle), timeout, span, waiting: AtomicBool::new(false) }
    }

    /// Runs `work` under the span and for at most the timeout; a statement that takes longer is stopped at the server.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let behind = matches!(self.sharing, Others::Lease(lease) if lease.behind_since().is_some());
        if self.timeout.is_none() && self.span.is_disabled() && !behind {
            return work.await;
        }
        // Boxed, so that the way without either stays short.
        let work = Box::pin(self.in_time(work));
        if self.span.is_disabled() {
            return work.await;
        }
        let result = work.instrument(self.span.clone()).await;
        record(&self.span, &result);
        result
    }

    /// Waits for a turn, within [`run`](Self::run).
    pub(super) async fn wait<T>(&self, turn: impl Future<Output = Result<T>>) -> Result<T> {
        self.waiting.store(true, Relaxed);
        let turn = turn.await;
        self.waiting.store(false, Relaxed);
        turn
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let work = async {
            let lease = if let Others::Lease(lease) = self.sharing { Some(lease) } else { None };
            match lease.and_then(|lease| Some((lease, lease.behind_since()?))) {
                Some((lease, since)) => in_turn(lease, since, work).await,
                None => work.await,
            }
        };
        let Some(limit) = self.timeout else { return work.await };
        // The unfinished future is dropped before the connection is asked to settle.
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) if self.waiting.load(Relaxed) => Err(not_begun(&named(self.inner, limit))),
            Err(_) if self.is_alone() => Err(stopped(self.inner, self.conn, limit).await),
            Err(_) => Err(not_stopped(&named(self.inner, limit))),
        }
    }

    /// Whether what the server is at can be no other statement. Without pipelining the others wait for this one.
    fn is_alone(&self) -> bool {
        match self.sharing {
            Others::Handle(handle) => !self.inner.config.connector.capabilities().pipelining || handle.is_alone(),
            Others::Lease(lease) => lease.take_alone(),
        }
    }
}

/// Waits for the answers of those before it as long as for a connection.
pub(crate) async fn in_turn<T>(lease: &Lease, since: Instant, work: impl Future<Output = Result<T>>) -> Result<T> {
    let limit = lease.slot().inner().options().acquire_timeout;
    let mut work = std::pin::pin!(work);
    match tokio::time::timeout_at(after(since, limit), &mut work).await {
        Ok(result) => result,
        Err(_) if lease.is_first() => work.await,
        Err(_) => Err(not_reached(limit)),
    }
}

#[cold]
fn not_reached(limit: Duration) -> Error {
    let limit = crate::backend::in_seconds(limit);
    let message = format!(
        "no answer within acquire_timeout, {limit}: a statement before it on the connection that they share is \
         not done; it may run yet"
    );
    let hint = "lanes=off gives each statement a connection of its own";
    Error::new(ErrorKind::PoolTimeout, message).with_effect(Effect::Unknown).with_hint(hint)
}

/// Whether somebody may want the span of a statement.
pub(crate) fn is_traced() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

fn span(inner: &Inner, parent: &tracing::Span, template: &Template) -> tracing::Span {
    if is_traced() { parent.in_scope(|| inner.span(template.verb().as_str(), template)) } else { tracing::Span::none() }
}

fn record<T>(span: &tracing::Span, result: &Result<T>) {
    if let Err(error) = result {
        span.record("error.type", tracing::field::debug(error.kind()));
        if let Some(code) = error.code() {
            span.record("db.response.status_code", code);
        }
    }
}

/// The deadline by the name under which it was set.
fn named(inner: &Inner, limit: Duration) -> String {
    let is_default = inner.options().statement_timeout == Some(limit);
    let name = if is_default { "statement_timeout" } else { "its timeout" };
    format!("{name}, {}", crate::backend::in_seconds(limit))
}

fn not_begun(limit: &str) -> Error {
    let message = format!("the statements before it on its connection took longer than {limit}");
    Error::new(ErrorKind::StatementTimeout, message).with_effect(Effect::NotSent)
}

/// What would stop it could hit the others that are under way.
fn not_stopped(limit: &str) -> Error {
    let message = format!("the statement ran longer than {limit}; others use its connection, so it was not stopped");
    Error::new(ErrorKind::StatementTimeout, message)
}

/// Stops what is under way on `conn`, which took longer than `limit`.
pub(crate) async fn stopped(inner: &Inner, conn: &dyn BackendConnection, limit: Duration) -> Error {
    let _ = tokio::time::timeout(inner.options().close_timeout, conn.settle()).await;
    let message = format!("the statement ran longer than {}, and was stopped", named(inner, limit));
    Error::new(ErrorKind::StatementTimeout, message)
}
