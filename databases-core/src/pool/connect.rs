//! Opening connections: in tasks for those who wait, with a deadline, and patiently while a known server is away.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::slot::Place;
use super::state::{Member, State};
use super::{Inner, closed};
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
        let mut planned = Vec::new();
        while !state.closed && state.connecting < state.waiters.len() && state.size < self.max {
            let nth = state.connecting;
            let Some(runtime) = state.waiters.values().nth(nth).map(|waiter| waiter.runtime.clone()) else { break };
            state.size += 1;
            state.connecting += 1;
            let index = state.new_index();
            planned.push((runtime, Attempt { place: Some(Place::of(self.clone(), index)), inner: self.clone() }));
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
                    self.lock().ever_connected = true;
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
            tokio::time::sleep(BACKOFF).await;
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
        opened.await.unwrap_or_else(|_| {
            let target = self.config.connector.target();
            let limit = crate::backend::in_seconds(limit);
            let message = format!("connecting to {} took longer than connect_timeout, {limit}", target.address);
            Err(Error::new(ErrorKind::ConnectTimeout, message))
        })
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
        let expires = (!lifetime.is_zero() && !self.single).then(|| now + lifetime - jitter(lifetime / 10));
        self.maintain();
        Member {
            conn,
            index: place.keep(),
            expires,
            idle_since: now,
            runtime,
            open: false,
            dirty: false,
            suspect: false,
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
}

impl Attempt {
    async fn run(mut self) {
        let inner = self.inner.clone();
        let waited_for = inner.clone();
        let opened = inner.open_patiently(move || !waited_for.lock().waiters.is_empty()).await;
        let place = self.place.take().expect("taken only here");
        match opened {
            Ok((conn, runtime)) => {
                let member = inner.admit(conn, runtime, place);
                inner.lock().connecting -= 1;
                inner.release(member, false);
            }
            Err(error) => {
                let failed = {
                    let mut state = inner.lock();
                    state.connecting -= 1;
                    // Waiters go on waiting if somebody else may still serve them.
                    let hopeless = state.size - 1 == state.connecting && state.connecting == 0;
                    if hopeless { std::mem::take(&mut state.waiters) } else { Default::default() }
                };
                for waiter in failed.into_values() {
                    let _ = waiter.sender.send(Err(error.duplicate()));
                }
                drop(place);
            }
        }
    }
}

impl Drop for Attempt {
    // The runtime was shut down while the connection was being opened.
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.inner.lock().connecting -= 1;
            // Planning anew would choose the same runtime again.
            place.give_back_quietly();
        }
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
    #[expect(clippy::cast_possible_truncation, reason = "a remainder below 1000")]
    let part = (random % 1000) as u32;
    most * part / 1000
}

impl Inner {
    /// Refuses early what a closed pool cannot do.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed() { Err(closed()) } else { Ok(()) }
    }
}
