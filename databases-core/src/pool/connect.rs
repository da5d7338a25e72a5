//! Opening connections: in tasks for those who wait, with a deadline, and patiently while a known server is away.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument as _;

use super::slot::{Place, SLACK};
use super::state::{BACKOFF, Key, Member, State, Use, Waiter, Work};
use super::{Inner, closed, later};
use crate::backend::{BackendConnection, ConnectContext, Status, TransactionCommand};
use crate::connection::Connection;
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::options::TransactionOptions;

impl Inner {
    /// Reserves a connection for each waiter that none is under way for on its runtime; started with [`start`] once the lock is let
    /// go, because a runtime that is shutting down drops the task, and the task's drop takes the lock.
    #[must_use]
    pub(super) fn plan_connections(self: &Arc<Self>, state: &mut State) -> Vec<(Handle, Attempt)> {
        if state.closed {
            return Vec::new();
        }
        let room = self.max.saturating_sub(state.size()) + state.idle.len();
        if room == 0 {
            return Vec::new();
        }
        let mut under_way = state.attempts();
        let mut has_none = |waiter: &&Waiter| {
            let on_its_runtime = under_way.iter().position(|home| *home == waiter.runtime.id());
            on_its_runtime.map(|at| under_way.swap_remove(at)).is_none()
        };
        let waiters = state.waiters.values().filter(&mut has_none).take(room);
        let runtimes: Vec<_> = waiters.map(|waiter| waiter.runtime.clone()).collect();
        let mut plan = |runtime: Handle| {
            let opening = self.opening(runtime.id());
            let (key, weeded) = if state.size() < self.max {
                (state.reserve(opening), None)
            } else {
                // Somebody waits and it is idle: it belongs to another runtime. The oldest goes.
                let weeded = state.idle.remove(0);
                state.set(weeded.key, opening);
                (weeded.key, Some(weeded))
            };
            let place = Some((Place::of(self.clone(), key), key));
            let attempt = Attempt { weeded, place, inner: self.clone(), runtime: runtime.id() };
            (runtime, attempt)
        };
        runtimes.into_iter().map(&mut plan).collect()
    }

    /// How long an attempt may take until its next sign of life: connecting, and closing what came to nothing.
    pub(super) fn patience(&self) -> Duration {
        self.options().connect_timeout.saturating_add(self.options().close_timeout).saturating_add(BACKOFF + SLACK)
    }

    /// The use of a place by a task on `home` that opens a connection.
    pub(super) fn opening(&self, home: Id) -> Use {
        self.task(home, self.patience(), Work::Opening)
    }

    /// Whether a connection may be given up while it is cleaned. The only one, if it works anywhere, is not given up for
    /// a new and empty one.
    pub(super) fn replaceable(&self) -> bool {
        !self.single || self.config.connector.capabilities().runtime_bound
    }

    /// Takes places back from tasks that are long overdue on runtimes other than `here`, which nobody drives any more.
    pub(super) fn take_back_overdue(self: &Arc<Self>, here: Id) {
        let planned = {
            let mut state = self.lock();
            if !state.take_back(here, Instant::now(), self.replaceable()) {
                return;
            }
            self.plan_connections(&mut state)
        };
        start(planned);
        self.gone.notify_waiters();
    }

    /// Opens one connection; a server that is away is waited for by trying again, for as long as `wanted` says.
    pub(super) async fn open_patiently(self: &Arc<Self>, wanted: impl Fn() -> bool) -> Result<Opened> {
        let mut last = None;
        loop {
            if !self.turn(&wanted).await {
                return Err(last.unwrap_or_else(|| self.still_away()));
            }
            match self.open_once().await {
                Err(error) if self.waits_out(&self.lock(), &error) => last = Some(error),
                other => return other,
            }
        }
    }

    /// One attempt to connect, and what it tells of the server.
    pub(super) async fn open_once(self: &Arc<Self>) -> Result<Opened> {
        let error = match self.open().await {
            Ok(conn) => {
                self.lock().attempt_worked();
                self.answered.notify_waiters();
                let bound = self.config.connector.capabilities().runtime_bound;
                return Ok((conn, bound.then(Handle::current)));
            }
            Err(error) => error,
        };
        // As text and not as it is displayed: so what a server has put into it is escaped.
        let told = error.to_string();
        tracing::warn!(kind = ?error.kind(), error = told.as_str(), "no database connection could be opened");
        let mut state = self.lock();
        let away = self.waits_out(&state, &error);
        state.attempt_failed(&error, away, Instant::now());
        drop(state);
        if !away {
            self.answered.notify_waiters();
        }
        Err(error)
    }

    /// Whether to try again after `error`: the server was there before and may soon be so again, or says itself that it will.
    fn waits_out(&self, state: &State, error: &Error) -> bool {
        let passes = error.is_passing() || (state.ever_connected && is_transient(error));
        passes && !self.single && !state.closed
    }

    /// Waits until an attempt may be made: at once, unless the server is away or a connection was just lost, or else one
    /// at a time until one works. Nobody holds anything meanwhile, so a runtime that is not driven holds up none of the others.
    async fn turn(&self, wanted: &impl Fn() -> bool) -> bool {
        loop {
            let answered = self.answered.notified();
            let Err(next) = self.lock().turn(Instant::now()) else { return true };
            let _ = timeout_at(next, answered).await;
            if !wanted() || self.is_closed() {
                return false;
            }
        }
    }

    /// The error of an attempt that was given up before its turn came.
    fn still_away(&self) -> Error {
        let last = self.lock().last_connect_error.clone();
        Error::new(ErrorKind::Connect, last.unwrap_or_else(|| "no connection was opened".to_owned())).with_passing()
    }

    async fn open(self: &Arc<Self>) -> Result<Arc<dyn BackendConnection>> {
        if self.single && self.lock().ever_connected {
            return Err(self.lost());
        }
        let limit = self.options().connect_timeout;
        let mut opened = None;
        let result = timeout(limit, self.open_into(&mut opened)).instrument(self.pool_span("connect")).await;
        let error = match (result, opened.take()) {
            (Ok(Ok(())), Some(conn)) => return Ok(conn),
            (Ok(result), conn) => {
                self.close_failed(conn).await;
                result.expect_err("a connection that was opened is there")
            }
            (Err(_), conn) => {
                self.close_failed(conn).await;
                let target = self.config.connector.target();
                let name = if target.address.is_empty() { &target.namespace } else { &target.address };
                let limit = crate::backend::in_seconds(limit);
                let message = format!("connecting to {name} took longer than connect_timeout, {limit}");
                Error::new(ErrorKind::ConnectTimeout, message)
            }
        };
        Err(error)
    }

    async fn open_into(self: &Arc<Self>, opened: &mut Option<Arc<dyn BackendConnection>>) -> Result<()> {
        let mut context = ConnectContext { password: None, types: self.config.types.clone() };
        if let Some(provider) = &self.config.password_provider {
            let password = provider().await.map_err(|error| error.context("the password provider failed"))?;
            context.password = Some(password);
        }
        let conn = &*opened.insert(self.config.connector.connect(context).await?);
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
        Ok(())
    }

    /// Closes a connection that was opened and cannot be used, before its place is used for another.
    async fn close_failed(&self, conn: Option<Arc<dyn BackendConnection>>) {
        if let Some(conn) = conn
            && conn.status() != Status::Broken
        {
            let _ = timeout(self.options().close_timeout, conn.close()).await;
        }
    }

    /// The only connection is gone, and with it what it held: another one would begin from nothing, unnoticed.
    fn lost(&self) -> Error {
        let error = if self.options().force_rollback {
            let message =
                "the connection of force_rollback is gone, and all that was done with it: make a new Database";
            Error::new(ErrorKind::TransactionEnded, message)
        } else {
            Error::new(ErrorKind::PoolClosed, "the in-memory database is gone with its connection: make a new Database")
        };
        error.with_effect(Effect::NotSent)
    }

    /// A span of what is done for the pool and not for a statement.
    pub(super) fn pool_span(&self, operation: &'static str) -> tracing::Span {
        let target = self.config.connector.target();
        tracing::debug_span!(
            "pool",
            otel.name = operation,
            db.system.name = target.system,
            db.namespace = target.namespace.as_str(),
            server.address = target.address.as_str(),
            server.port = target.port,
        )
    }

    /// Makes a member of a new connection.
    pub(super) fn admit(
        self: &Arc<Self>,
        conn: Arc<dyn BackendConnection>,
        home: Option<Handle>,
        place: Place,
    ) -> Box<Member> {
        let lifetime = self.options().max_lifetime;
        let expires = (!lifetime.is_zero() && !self.single).then(|| later(lifetime - jitter(lifetime / 10)));
        self.maintain();
        Box::new(Member {
            conn,
            key: place.keep(),
            expires,
            idle_since: Instant::now(),
            home,
            open: None,
            dirty: false,
            losses: self.losses.load(Relaxed),
        })
    }

    /// A connection was opened for whoever waits first. After a failure nothing was begun for those who still wait;
    /// now the server answers.
    pub(super) fn arrived(self: &Arc<Self>, conn: Arc<dyn BackendConnection>, home: Option<Handle>, place: Place) {
        let member = self.admit(conn, home, place);
        if member.conn.status() == Status::Broken {
            self.release(member, false, Instant::now());
        } else {
            // Whatever its age: with a lifetime that is shorter than connecting takes, nobody would ever be served.
            self.hand_over(member, Instant::now());
        }
        let planned = self.plan_connections(&mut self.lock());
        start(planned);
    }
}

/// A new connection, and the only runtime that it works on, if there is one.
pub(super) type Opened = (Arc<dyn BackendConnection>, Option<Handle>);

pub(super) fn start(planned: Vec<(Handle, Attempt)>) {
    for (runtime, mut attempt) in planned {
        attempt.weeded = None; // Dropped: it cannot be closed on another runtime than its own.
        runtime.spawn(attempt.run());
    }
}

/// A connection being opened for whoever waits first when it is there.
pub(super) struct Attempt {
    inner: Arc<Inner>,
    /// The connection whose place it is.
    weeded: Option<Box<Member>>,
    place: Option<(Place, Key)>,
    runtime: Id,
}

impl Attempt {
    async fn run(mut self) {
        let inner = self.inner.clone();
        let key = self.place.as_ref().expect("taken below").1;
        let wanted = || {
            let opening = inner.opening(self.runtime);
            let mut state = inner.lock();
            state.set(key, opening) && !state.waiters.is_empty()
        };
        let opened = inner.open_patiently(wanted).await;
        let (place, _) = self.place.take().expect("taken only here");
        match opened {
            Ok((conn, home)) => inner.arrived(conn, home, place),
            Err(error) => inner.attempt_failed(place, key, &error),
        }
    }
}

impl Inner {
    /// Tells the first waiter, or all if nothing else can serve them. No new attempt is begun: the next caller or the
    /// next connection that is given back does that, so a server that refuses everybody is not hammered.
    fn attempt_failed(self: &Arc<Self>, place: Place, key: Key, error: &Error) {
        let mut failed = Vec::new();
        {
            let mut state = self.lock();
            // Given up because nobody waited: who came since is waited for with a new attempt.
            let given_up = error.is_passing() || (state.ever_connected && is_transient(error));
            if given_up || !state.has(key) {
                drop(state);
                return drop(place);
            }
            // What is idle while somebody waits serves nobody.
            let hopeless = state.count(|now| !matches!(now, Use::Free | Use::Idle)) == 1;
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

    /// Nobody is left on a runtime that was shut down. Were its waiters kept, attempts would be begun for them there,
    /// and end at once, for ever.
    fn fail_waiters_on(&self, runtime: Id) {
        let failed: Vec<_> = {
            let waiters = &mut self.lock().waiters;
            let there = waiters.iter().filter(|(_, waiter)| waiter.runtime.id() == runtime);
            let tickets: Vec<_> = there.map(|(ticket, _)| *ticket).collect();
            tickets.iter().filter_map(|ticket| waiters.remove(ticket)).collect()
        };
        for waiter in failed {
            let message = "the runtime was shut down while a connection was being opened on it";
            let _ = waiter.sender.send(Err(Error::new(ErrorKind::Connect, message)));
        }
    }
}

impl Drop for Attempt {
    // The runtime was shut down while the connection was being opened, or the driver, hook or provider panicked.
    fn drop(&mut self) {
        let Some((place, key)) = self.place.take() else { return };
        if std::thread::panicking() {
            let error = Error::new(ErrorKind::Internal, "a connection could not be opened: its task panicked");
            return self.inner.attempt_failed(place, key, &error);
        }
        self.inner.fail_waiters_on(self.runtime);
        drop(place);
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
