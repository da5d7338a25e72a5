//! One autocommit statement on a connection of the pool, alone or beside others: the hot path, for which no session is made.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::{ExecResult, Flow, LiveSink, Request, RowSink};
use crate::checked::Checked;
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::executor::Call;
use crate::limits::ResultLimits;
use crate::pool::{Checkout, Inner, Lease, Purpose};
use crate::row::{RowBatch, RowRef};
use crate::run::{Bounds, Place, changes_session, in_turn, is_traced};
use crate::value::Value;

/// A statement and the connection that it is to run on.
pub(crate) struct Leased {
    lease: Lease,
    request: Request,
    timeout: Option<Duration>,
    limits: ResultLimits,
}

impl Leased {
    pub(crate) fn new(lease: Lease, checked: Checked, call: Call<'_>) -> Result<Self> {
        let inner = lease.slot().inner();
        let (timeout, limits) = (inner.timeout_of(&call.query), inner.limits_of(&call));
        let mut request = checked.request(inner, lease.slot().conn().dialect(), Place::Pool, call)?;
        request.pooled = true;
        Ok(Self { lease, request, timeout, limits })
    }
}

/// Runs one statement, and remembers whether it was quick. If its connection turns out to be lost before anything was
/// sent, it runs on another one.
///
/// Not an `async fn`, which would keep the room for its arguments beside that for what is made of them.
pub(crate) fn run_leased<'a>(
    inner: &'a Arc<Inner>,
    leased: Leased,
    sink: &'a mut (dyn RowSink + '_),
) -> impl Future<Output = Result<ExecResult>> + Send {
    let Leased { mut lease, request, timeout, limits } = leased;
    if changes_session(request.template.class()) {
        lease.slot().mark_dirty();
    }
    let spare = Spare::of(inner, &request);
    let is_timed = inner.is_timed(&request.template);
    async move {
        // A lane knows the time itself.
        let started = (is_timed && !lease.is_shared()).then(Instant::now);
        let mut counted = Counted { sink: &mut *sink, rows: 0 };
        let conn = &**lease.slot().conn();
        let result = if timeout.is_some() || limits.are_set() || is_traced() {
            // Boxed, so that the way without stays short.
            Box::pin(run_bounded(&lease, request, timeout, limits, &mut counted)).await
        } else if let Some(since) = lease.behind_since() {
            in_turn(&lease, since, conn.run(request, &mut counted)).await
        } else {
            conn.run(request, &mut counted).await
        };
        let rows = counted.rows;
        // An answer, and be it an error, has come in its turn; what was given up has not.
        let answered = result.as_ref().map_or_else(|error| error.code().is_some(), |_| true);
        if is_timed
            && answered
            && let Some(took) = lease.finish().or_else(|| started.map(|started| started.elapsed()))
        {
            Inner::note_run(&spare.request.template, took, rows);
        }
        match result {
            Err(error) if spare.is_whole && was_never_sent(&error) => {
                drop(lease);
                let error = error.located(&spare.request.template, &spare.request.sql);
                Box::pin(run_again(inner, spare.request, timeout, limits, sink, error)).await
            }
            result => result.map_err(|error| error.located(&spare.request.template, &spare.request.sql)),
        }
    }
}

async fn run_bounded(
    lease: &Lease,
    request: Request,
    timeout: Option<Duration>,
    limits: ResultLimits,
    sink: &mut dyn RowSink,
) -> Result<ExecResult> {
    let bounds = Bounds::leased(lease, &request.template, timeout);
    bounds.run(limits.run(&**lease.slot().conn(), request, sink)).await
}

/// Runs `request`, which was not sent because of `error`, on a connection of its own.
async fn run_again(
    inner: &Arc<Inner>,
    request: Request,
    timeout: Option<Duration>,
    limits: ResultLimits,
    sink: &mut dyn RowSink,
    error: Error,
) -> Result<ExecResult> {
    let lease = inner.check_out(Purpose::Statement, Checkout::Exclusive).await?;
    // The text was rewritten for a session that reads literals otherwise.
    if lease.slot().conn().dialect() != request.template.dialect() {
        return Err(error);
    }
    if changes_session(request.template.class()) {
        lease.slot().mark_dirty();
    }
    let (template, native) = (request.template.clone(), request.sql.clone());
    let result = run_bounded(&lease, request, timeout, limits, sink).await;
    result.map_err(|error| error.located(&template, &native))
}

/// The connection was lost before the statement was sent, so that it cannot have run.
fn was_never_sent(error: &Error) -> bool {
    error.kind() == ErrorKind::Disconnected && error.effect() == Effect::NotSent
}

/// What is kept of a request while it runs: its texts, and its values where they may be needed again.
struct Spare {
    request: Request,
    is_whole: bool,
}

impl Spare {
    /// With the values only where the connection may be lost, and where copying them does not take long.
    fn of(inner: &Inner, request: &Request) -> Self {
        let is_whole =
            inner.config.connector.capabilities().runtime_bound && request.args.iter().all(|arg| is_light(&arg.value));
        let args = if is_whole { request.args.clone() } else { Vec::new() };
        let (sql, template) = (request.sql.clone(), request.template.clone());
        Self { request: Request { sql, args, template, ..*request }, is_whole }
    }
}

fn is_light(value: &Value) -> bool {
    const MOST_BYTES: usize = 4096;
    match value {
        Value::Text(text) => text.len() <= MOST_BYTES,
        Value::Bytes(bytes) => bytes.len() <= MOST_BYTES,
        Value::Json(_) | Value::Array(_) | Value::Other(_) => false,
        _ => true,
    }
}

/// Counts rows on their way.
struct Counted<'a> {
    sink: &'a mut dyn RowSink,
    rows: usize,
}

impl RowSink for Counted<'_> {
    fn batch(&mut self, batch: Arc<dyn RowBatch>) -> Result<Flow> {
        self.rows += batch.len();
        self.sink.batch(batch)
    }

    fn live(&mut self) -> Option<&mut dyn LiveSink> {
        if self.sink.live().is_some() { Some(self) } else { None }
    }
}

impl LiveSink for Counted<'_> {
    fn row(&mut self, row: RowRef<'_>) -> Result<Flow> {
        self.rows += 1;
        match self.sink.live() {
            Some(sink) => sink.row(row),
            None => Ok(Flow::Stop),
        }
    }

    fn restart(&mut self) {
        self.rows = 0;
        if let Some(sink) = self.sink.live() {
            sink.restart();
        }
    }

    fn expect(&mut self, rows: usize) {
        if let Some(sink) = self.sink.live() {
            sink.expect(rows);
        }
    }
}
