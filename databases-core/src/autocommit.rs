//! One autocommit statement on a connection of the pool, alone or beside others: the hot path, for which no session is made.

use std::sync::Arc;

use tokio::time::Instant;

use crate::backend::{ExecResult, Flow, LiveSink, RowSink};
use crate::checked::Checked;
use crate::error::Result;
use crate::executor::Call;
use crate::pool::{Inner, Lease};
use crate::row::{RowBatch, RowRef};
use crate::run::{Bounds, Place, changes_session};

/// Runs one statement, and remembers whether it was quick.
pub(crate) async fn run_on_lease(
    mut lease: Lease,
    checked: Checked,
    call: Call<'_>,
    sink: &mut dyn RowSink,
) -> Result<ExecResult> {
    let inner = lease.slot().inner();
    let timeout = inner.timeout_of(&call.query);
    let limits = inner.limits_of(&call);
    let conn = &**lease.slot().conn();
    let mut request = checked.request(inner, conn.dialect(), Place::Pool, call)?;
    request.pooled = true;
    if changes_session(request.template.class()) {
        lease.slot().mark_dirty();
    }
    let (template, native) = (request.template.clone(), request.sql.clone());
    let bounds = Bounds::leased(&lease, &template, timeout);
    let timed = inner.is_timed(&template).then(Instant::now);
    let mut sink = Counted { sink, rows: 0 };
    let result = bounds.run(limits.run(conn, request, &mut sink)).await;
    drop(bounds);
    let rows = sink.rows;
    // An answer, and be it an error, has come in its turn; what was given up has not.
    let answered = result.as_ref().map_or_else(|error| error.code().is_some(), |_| true);
    if let Some(started) = timed.filter(|_| answered) {
        let took = lease.finish().unwrap_or_else(|| started.elapsed());
        Inner::note_run(&template, took, rows);
    }
    result.map_err(|error| error.located(&template, &native))
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
}
