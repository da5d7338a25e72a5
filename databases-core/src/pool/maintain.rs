//! What happens in the background: cleaning, idle and lifetime limits, the minimum. Nothing runs before first use,
//! and nothing keeps a pool alive that nobody holds.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::slot::{Place, SLACK, Slot};
use super::{Inner, later};

/// How often idle connections are looked at, at the most.
const ROUND: Duration = Duration::from_secs(30);

impl Inner {
    /// Cleans an idle connection that is not clean, on its own runtime, unless somebody takes it first.
    pub(super) fn tidy_idle(self: &Arc<Self>, home: Option<Handle>) {
        let Some(runtime) = home.or_else(|| Handle::try_current().ok()) else { return };
        let weak = Arc::downgrade(self);
        runtime.spawn(async move {
            let Some(inner) = weak.upgrade() else { return };
            let base = inner.base_status();
            let member = {
                let mut state = inner.lock();
                let idle = &mut state.idle;
                let found = idle.iter().position(|one| !one.is_clean(one.conn.status(), base) && one.is_here());
                found.map(|at| state.idle.remove(at))
            };
            if let Some(member) = member {
                inner.start_cleaning(member.key, Handle::current().id());
                let slot = Slot::new(inner.clone(), member);
                drop(inner.put_in_order(slot).await);
            }
        });
    }

    /// Starts the task that looks after idle connections, unless one was seen lately.
    pub(super) fn maintain(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.single {
            return;
        }
        let shortest = [self.options().idle_timeout, self.options().max_lifetime]
            .into_iter()
            .filter(|limit| !limit.is_zero())
            .min()
            .unwrap_or(ROUND);
        let round = (shortest / 4).clamp(Duration::from_millis(50), ROUND);
        let number = {
            let mut state = self.lock();
            if state.keeper_due.is_some_and(|due| due > Instant::now()) {
                return;
            }
            state.keeper += 1;
            state.keeper_due = Some(later(round + SLACK));
            state.keeper
        };
        let keeper = Keeper { pool: Arc::downgrade(self), number };
        let mut over = self.over.subscribe();
        runtime.spawn(async move {
            let keeper = keeper;
            // It ends with the pool, and not a round later.
            while timeout(round, over.changed()).await.is_err() {
                let Some(inner) = keeper.pool.upgrade() else { return };
                {
                    let mut state = inner.lock();
                    if state.closed || state.keeper != keeper.number {
                        return;
                    }
                    state.keeper_due = Some(later(round + SLACK));
                }
                inner.reap();
                inner.refill_soon();
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
            let mut spare = state.size().saturating_sub(self.options().min_connections);
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
    async fn refill(self: &Arc<Self>) {
        let here = Handle::current().id();
        loop {
            let opening = self.opening(here);
            let place = {
                let mut state = self.lock();
                let enough = state.size() >= self.options().min_connections || !state.waiters.is_empty();
                if state.closed || enough || state.turn(Instant::now()).is_err() {
                    return;
                }
                Place::of(self.clone(), state.reserve(opening))
            };
            match self.open_once().await {
                Ok((conn, home)) => self.arrived(conn, home, place),
                Err(_) => return,
            }
        }
    }

    /// Opens connections up to the minimum, in the background.
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
struct Keeper {
    pool: Weak<Inner>,
    number: u64,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(inner) = self.pool.upgrade() {
            let mut state = inner.lock();
            if state.keeper == self.number {
                state.keeper_due = Some(Instant::now());
            }
        }
    }
}
