//! Short reads at once: where a backend needs to wait for nothing, a statement takes no future beyond its caller's own.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::task::{coop, yield_now};
use tokio::time::Instant;

use crate::backend::{AtOnce, ExecResult, RowSink};
use crate::checked::check;
use crate::error::Result;
use crate::executor::Call;
use crate::limits::ResultLimits;
use crate::pool::{Inner, Purpose};
use crate::run::{Place, is_traced};
use crate::sql::StatementClass;

/// How long a read may take on its caller's thread, where any number of tasks may read in turn before others run.
const SHORT: Duration = Duration::from_micros(100);

/// And where one task alone does, which then lets the others run.
const LONG: Duration = Duration::from_micros(500);

/// What became of a statement that was run at once.
#[derive(Debug)]
pub struct Done {
    pub(crate) result: Result<ExecResult>,
    pub(crate) rest: Option<Rest>,
}

/// A task that has used its thread for long enough, until it has let others run. Meanwhile no read of its pool takes long
/// on the thread of its caller.
pub struct Rest(Arc<Inner>);

impl Rest {
    fn new(inner: &Arc<Inner>) -> Self {
        inner.resting.fetch_add(1, Relaxed);
        Self(inner.clone())
    }

    /// Lets others run. No connection is held meanwhile.
    pub(crate) async fn take(self) {
        yield_now().await;
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.0.resting.fetch_sub(1, Relaxed);
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rest")
    }
}

/// Runs a statement that reads on an idle connection. `None`: it did not run, and what is wrong with it is not told here.
pub(crate) fn run_at_once(inner: &Arc<Inner>, call: &mut Call<'_>, sink: &mut dyn RowSink) -> Option<Done> {
    if !inner.runs_at_once
        || !coop::has_budget_remaining()
        || is_traced()
        || inner.limits_of(call) != ResultLimits::default()
    {
        return None;
    }
    let checked = check(inner, inner.dialect(), Place::Pool, call).ok()?;
    if checked.template.class() != StatementClass::Read {
        return None;
    }
    let now = Instant::now();
    let mut borrowed = inner.borrow_idle(Purpose::Statement, now)?;
    let request = checked.arranged(call);
    let within = if inner.resting.load(Relaxed) == 0 { LONG } else { SHORT };
    let Some(ran) = borrowed.conn().run_at_once(&request, now.into_std(), within, sink) else {
        call.checked = Some(Box::new(request.into()));
        return None;
    };
    Some(match ran {
        Ok(AtOnce { result, ended, turn_is_over }) => {
            borrowed.ended_at(ended.into());
            Done { result: Ok(result), rest: turn_is_over.then(|| Rest::new(inner)) }
        }
        // How long it took is not told, and whoever tries until it works must let those run who could make it work.
        Err(error) => {
            Done { result: Err(error.located(&request.template, &request.sql)), rest: Some(Rest::new(inner)) }
        }
    })
}
