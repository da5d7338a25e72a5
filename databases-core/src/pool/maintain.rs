//! What happens in the background: cleaning, idle and lifetime limits, the minimum. Nothing runs before first use,
//! and nothing keeps a pool alive that nobody holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::acquire::is_here;
use super::slot::Place;
use super::{Inner, clean};

/// How often idle connections are looked at, at the most.
const ROUND: Duration = Duration::from_secs(30);

impl Inner {
    /// Cleans an idle connection that is not clean, on its own runtime, unless somebody takes it first.
    pub(super) fn tidy_idle(self: &Arc<Self>, home: Option<Handle>) {
        let Some(runtime) = home.or_else(|| Handle::try_current().ok()) else { return };
        let weak = Arc::downgrade(self);
        runtime.spawn(async move {
            let Some(inner) = weak.upgrade() else { return };
            let member = {
                let mut state = inner.lock();
                let base = inner.base_status();
                let found = state.idle.iter().position(|member| !member.is_clean(base) && is_here(member));
                found.map(|at| state.idle.remove(at))
            };
            let Some(mut member) = member else { return };
            let grace = inner.options().close_timeout;
            // If this task is lost, so is the connection, but not its place.
            let mut place = Place::of(inner.clone(), member.index);
            place.send_out(Handle::current().id(), grace);
            let again = std::mem::replace(&mut member.undoing, member.open);
            let cleaned = timeout(grace, clean(&inner, &*member.conn, member.open, again, member.dirty)).await;
            if !place.come_back() {
                return;
            }
            place.keep();
            if let Ok(Ok(())) = cleaned {
                (member.open, member.undoing, member.dirty) = (false, false, false);
                inner.release(member, false);
            } else {
                inner.retire(member);
            }
        });
    }

    /// Starts the task that looks after idle connections, if it does not run.
    pub(super) fn maintain(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.single || std::mem::replace(&mut self.lock().maintained, true) {
            return;
        }
        let shortest = [self.options().idle_timeout, self.options().max_lifetime]
            .into_iter()
            .filter(|limit| !limit.is_zero())
            .min()
            .unwrap_or(ROUND);
        let round = (shortest / 4).clamp(Duration::from_millis(50), ROUND);
        let running = Running(Arc::downgrade(self));
        runtime.spawn(async move {
            let running = running;
            loop {
                tokio::time::sleep(round).await;
                let Some(inner) = running.0.upgrade() else { return };
                if inner.is_closed() {
                    return;
                }
                inner.reap();
                inner.refill().await;
            }
        });
    }

    /// Closes what is too old, and what is idle for too long above the minimum.
    fn reap(self: &Arc<Self>) {
        let now = Instant::now();
        let idle_limit = self.options().idle_timeout;
        let mut over = Vec::new();
        {
            let mut state = self.lock();
            let mut spare = state.size.saturating_sub(self.options().min_connections);
            // The oldest stand first.
            let mut at = 0;
            while at < state.idle.len() {
                let member = &state.idle[at];
                let expired = member.expires.is_some_and(|end| end <= now);
                let unused = !idle_limit.is_zero() && now.duration_since(member.idle_since) >= idle_limit;
                if expired || (unused && spare > 0) {
                    spare = spare.saturating_sub(1);
                    over.push(state.idle.remove(at));
                } else {
                    at += 1;
                }
            }
        }
        for member in over {
            self.retire(member);
        }
    }

    /// Opens connections up to the minimum.
    pub(super) async fn refill(self: &Arc<Self>) {
        loop {
            let place = {
                let mut state = self.lock();
                if state.closed || state.size >= self.options().min_connections || !state.waiters.is_empty() {
                    return;
                }
                state.size += 1;
                let index = state.new_index();
                Place::of(self.clone(), index)
            };
            match self.open_patiently(|| false).await {
                Ok((conn, runtime)) => {
                    let member = self.admit(conn, runtime, place);
                    self.release(member, false);
                }
                Err(_) => return,
            }
        }
    }

    /// Refills at once, in the background.
    pub(crate) fn refill_soon(self: &Arc<Self>) {
        if self.options().min_connections > 0
            && let Ok(runtime) = Handle::try_current()
        {
            let weak = Arc::downgrade(self);
            runtime.spawn(async move {
                if let Some(inner) = weak.upgrade() {
                    inner.refill().await;
                }
            });
        }
    }
}

/// Lets another runtime start the task again when this one is gone.
struct Running(std::sync::Weak<Inner>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.lock().maintained = false;
        }
    }
}
