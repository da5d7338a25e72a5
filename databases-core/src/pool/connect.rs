//! Opening connections: in tasks for those who wait, with a deadline, and patiently while a known server is away.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use super::slot::{Place, SLACK};
use super::state::{Errand, Member, State};
use super::{Inner, closed, later};
use crate::backend::{BackendConnection, ConnectContext, Status, TransactionCommand};
use crate::connection::Connection;
use crate::error::{Error, ErrorKind, Result};
use crate::options::TransactionOptions;

/// Between two attempts to reach a server that is away.
const BACKOFF: Duration = Duration::from_millis(200);

impl Inner {
    /// Reserves a connection for each waiter that none is under way for; started with [`start`] once the lock is let
    /// go, because a runtime that is shutting down drops the task, and the task's drop takes the lock.
    #[must_use]
    pub(super) fn plan_connections(self: &Arc<Self>, state: &mut State) -> Vec<(Handle, Attempt)> {
        self.plan_elsewhere(state, None)
    }

    /// How long one turn of an attempt may take: the wait for its turn, and connecting.
    fn patience(&self) -> Duration {
        let turns = BACKOFF.saturating_mul(u32::try_from(self.max).unwrap_or(u32::MAX));
        self.options().connect_timeout.saturating_add(turns).saturating_add(SLACK)
    }

    /// Takes places back from tasks that are long overdue on runtimes other than `here`, which nobody drives any more.
    pub(super) fn take_back_overdue(self: &Arc<Self>, here: Id) {
        let planned = {
            let mut state = self.lock();
            let now = Instant::now();
            let is_lost = |errand: &Errand| errand.runtime != here && errand.overdue <= now;
            let overdue: Vec<_> =
                state.errands.iter().filter(|(_, errand)| is_lost(errand)).map(|(number, _)| *number).collect();
            if overdue.is_empty() {
                return;
            }
            for errand in overdue.iter().filter_map(|number| state.errands.remove(number)).collect::<Vec<_>>() {
                state.connecting -= usize::from(errand.connecting);
                state.give_back(errand.index);
            }
            self.plan_connections(&mut state)
        };
        start(planned);
        self.gone.notify_waiters();
    }

    /// The same, on any runtime but `not`, which is shutting down.
    fn plan_elsewhere(self: &Arc<Self>, state: &mut State, not: Option<Id>) -> Vec<(Handle, Attempt)> {
        let mut planned = Vec::new();
        while !state.closed && state.connecting < state.waiters.len() && state.size < self.max {
            let nth = state.connecting;
            let mut runtimes = state.waiters.values().map(|waiter| &waiter.runtime);
            let runtime = match not {
                None => runtimes.nth(nth),
                Some(not) => runtimes.find(|runtime| runtime.id() != not),
            };
            let Some(runtime) = runtime.cloned() else { break };
            state.size += 1;
            state.connecting += 1;
            let index = state.new_index();
            let overdue = later(self.patience());
            let errand = state.send_out(index, overdue, runtime.id(), true);
            let place = Some(Place::sent_out(self.clone(), index, errand));
            let attempt = Attempt { place, inner: self.clone(), runtime: runtime.id() };
            planned.push((runtime, attempt));
        }
        planned
    }

    /// Opens one connection; the error of a server that was there before is answered by trying again, for as long
    /// as `wanted` says.
    pub(super) async fn open_patiently(
        self: &Arc<Self>,
        wanted: impl Fn() -> bool,
    ) -> Result<(Arc<dyn BackendConnection>, Option<Handle>)> {
        loop {
            let error = match self.open().await {
                Ok(conn) => {
                    let mut state = self.lock();
                    (state.ever_connected, state.last_connect_error) = (true, None);
                    drop(state);
                    let bound = self.config.connector.capabilities().runtime_bound;
                    return Ok((conn, bound.then(Handle::current)));
                }
                Err(error) => error,
            };
            let patient = {
                let mut state = self.lock();
                state.last_connect_error = Some(error.to_string());
                state.ever_connected && !state.closed && is_transient(&error)
            };
            tracing::warn!(kind = ?error.kind(), %error, "no database connection could be opened");
            if !patient {
                return Err(error);
            }
            let turn = self.backoff.lock().await;
            // Once one attempt works the others need not wait.
            if self.lock().last_connect_error.is_some() {
                tokio::time::sleep(BACKOFF).await;
            }
            if !wanted() || self.is_closed() {
                return Err(error);
            }
            drop(turn);
        }
    }

    async fn open(self: &Arc<Self>) -> Result<Arc<dyn BackendConnection>> {
        let limit = self.options().connect_timeout;
        let opened = timeout(limit, async {
            let mut context = ConnectContext::default();
            if let Some(provider) = &self.config.password_provider {
                let password = provider().await.map_err(|error| error.context("the password provider failed"))?;
                context.password = Some(password);
            }
            let conn = self.config.connector.connect(context).await?;
            if let Some(hook) = &self.config.after_connect {
                let connection = Connection::for_hook(self.clone(), conn.clone());
                hook(&connection).await.map_err(|error| error.context("after_connect failed"))?;
                drop(connection);
                if conn.status() != Status::Idle {
                    conn.transaction(TransactionCommand::Rollback).await?;
                }
            }
            if self.options().force_rollback {
                conn.transaction(TransactionCommand::Begin(TransactionOptions::new())).await?;
            }
            Ok(conn)
        });
        opened.instrument(self.pool_span("connect")).await.unwrap_or_else(|_| {
            let target = self.config.connector.target();
            let limit = crate::backend::in_seconds(limit);
            let message = format!("connecting to {} took longer than connect_timeout, {limit}", target.address);
            Err(Error::new(ErrorKind::ConnectTimeout, message))
        })
    }

    /// A span of what is done for the pool and not for a statement.
    pub(super) fn pool_span(&self, operation: &'static str) -> tracing::Span {
        let target = self.config.connector.target();
        tracing::debug_span!(
            "pool",
            otel.name = operation,
            db.system.name = target.system,
            db.namespace = %target.namespace,
            server.address = %target.address,
            server.port = target.port,
        )
    }

    /// Makes a member of a new connection.
    pub(super) fn admit(
        self: &Arc<Self>,
        conn: Arc<dyn BackendConnection>,
        runtime: Option<Handle>,
        place: Place,
    ) -> Member {
        let now = Instant::now();
        let lifetime = self.options().max_lifetime;
        let expires = (!lifetime.is_zero() && !self.single).then(|| later(lifetime - jitter(lifetime / 10)));
        self.maintain();
        Member {
            conn,
            index: place.keep(),
            expires,
            idle_since: now,
            runtime,
            open: false,
            undoing: false,
            dirty: false,
            losses: self.losses.load(Relaxed),
        }
    }
}

pub(super) fn start(planned: Vec<(Handle, Attempt)>) {
    for (runtime, attempt) in planned {
        runtime.spawn(attempt.run());
    }
}

/// A connection being opened for whoever waits first when it is there.
pub(super) struct Attempt {
    inner: Arc<Inner>,
    place: Option<Place>,
    runtime: Id,
}

impl Attempt {
    async fn run(mut self) {
        let inner = self.inner.clone();
        let waited_for = inner.clone();
        let errand = self.place.as_ref().and_then(Place::errand);
        let wanted = move || {
            let mut state = waited_for.lock();
            let errand = errand.and_then(|number| state.errands.get_mut(&number));
            let ours = errand.map(|errand| errand.overdue = later(waited_for.patience())).is_some();
            ours && !state.waiters.is_empty()
        };
        let opened = inner.open_patiently(wanted).await;
        let mut place = self.place.take().expect("taken only here");
        if !place.come_back() {
            return;
        }
        match opened {
            Ok((conn, runtime)) => {
                let member = inner.admit(conn, runtime, place);
                inner.lock().connecting -= 1;
                inner.release(member, false);
                // After a failure nothing was begun for those who still wait; now the server answers.
                let planned = inner.plan_connections(&mut inner.lock());
                start(planned);
            }
            Err(error) => inner.attempt_failed(place, &error),
        }
    }
}

impl Inner {
    /// Tells the first waiter, or all if nothing else can serve them. No new attempt is begun: the next caller or the
    /// next connection that is given back does that, so a server that refuses everybody is not hammered.
    fn attempt_failed(self: &Arc<Self>, place: Place, error: &Error) {
        let mut failed = Vec::new();
        {
            let mut state = self.lock();
            state.connecting -= 1;
            if state.ever_connected && is_transient(error) {
                // Given up because nobody waited. Who came since is waited for with a new attempt.
                drop(state);
                return drop(place);
            }
            let hopeless = state.size == 1;
            while let Some((_, waiter)) = state.waiters.pop_first() {
                failed.push(waiter);
                if !hopeless {
                    break;
                }
            }
        }
        place.give_back_quietly();
        for waiter in failed {
            let _ = waiter.sender.send(Err(error.duplicate()));
        }
    }
}

impl Drop for Attempt {
    // The runtime was shut down while the connection was being opened, or the driver, hook or provider panicked.
    fn drop(&mut self) {
        let Some(mut place) = self.place.take() else { return };
        if !place.come_back() {
            return;
        }
        if std::thread::panicking() {
            let error = Error::new(ErrorKind::Internal, "a connection could not be opened: its task panicked");
            return self.inner.attempt_failed(place, &error);
        }
        self.inner.lock().connecting -= 1;
        place.give_back_quietly();
        // Planning for the same runtime would end here again.
        let planned = self.inner.plan_elsewhere(&mut self.inner.lock(), Some(self.runtime));
        start(planned);
    }
}

/// Whether a server that answers so may be there again soon.
fn is_transient(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Connect | ErrorKind::ConnectTimeout | ErrorKind::Disconnected)
}

/// Up to `most`, different from call to call, so that connections made together do not end together.
pub(crate) fn jitter(most: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0u8);
    let part = (random % 1000) as u32;
    most / 1000 * part
}

impl Inner {
    /// Refuses early what a closed pool cannot do.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed() { Err(closed()) } else { Ok(()) }
    }
}
