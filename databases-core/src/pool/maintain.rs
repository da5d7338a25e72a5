//! What happens in the background: cleaning, idle and lifetime limits, the minimum. Nothing runs before first use,
//! and nothing keeps a pool alive that nobody holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::slot::{Place, Slot};
use super::state::Member;
use super::{Inner, clean};

/// How often idle connections are looked at, at the most.
const ROUND: Duration = Duration::from_secs(30);

impl Inner {
    /// Cleans a connection on its own runtime and then releases it; closes it if that fails.
    pub(super) fn tidy_then_release(self: &Arc<Self>, member: Member) {
        let runtime = member.runtime.clone().expect("only runtime-bound connections are cleaned apart");
        let inner = self.clone();
        let grace = self.options().close_timeout;
        // If the runtime is gone the task is dropped unpolled, and the connection with it.
        let tidy = Tidy { inner: self.clone(), member: Some(member) };
        runtime.spawn(async move {
            let mut tidy = tidy;
            let member = tidy.member.as_mut().expect("taken only below");
            let cleaned = timeout(grace, clean(&inner, &*member.conn, member.open, member.dirty)).await;
            if let Ok(Ok(())) = cleaned {
                (member.open, member.dirty) = (false, false);
                let member = tidy.member.take().expect("taken only here");
                inner.release(member, false);
            }
        });
    }

    /// Cleans the idle connections that are not clean, unless somebody takes them first.
    pub(super) fn tidy_idle(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let weak = Arc::downgrade(self);
        runtime.spawn(async move {
            let Some(inner) = weak.upgrade() else { return };
            let member = {
                let mut state = inner.lock();
                let base = inner.base_status();
                let found = state.idle.iter().position(|member| !member.is_clean(base));
                found.map(|at| state.idle.remove(at))
            };
            let Some(member) = member else { return };
            // A slot, so that the connection is not lost if this task is.
            let mut slot = Slot::new(inner.clone(), member);
            let member = slot.member.as_mut().expect("a slot has its connection until it is dropped");
            let grace = inner.options().close_timeout;
            match timeout(grace, clean(&inner, &*member.conn, member.open, member.dirty)).await {
                Ok(Ok(())) => (member.open, member.dirty) = (false, false),
                _ => slot.mark_discard(),
            }
            // A single connection that cannot be cleaned would come back here for ever.
            let stuck = !slot.member.as_ref().is_some_and(|member| member.is_clean(inner.base_status()));
            if stuck {
                let member = slot.member.take().expect("a slot has its connection until it is dropped");
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

struct Tidy {
    inner: Arc<Inner>,
    member: Option<Member>,
}

impl Drop for Tidy {
    fn drop(&mut self) {
        if let Some(member) = self.member.take() {
            self.inner.retire(member);
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
