//! The pool: one for every backend.
//!
//! Waiters are served in the order they came; the connection used last is used first. A connection goes from the
//! hand that gives it back straight to the first waiter. A waiter that goes away passes its turn on, because what it
//! was handed is given back when it is dropped. Nothing here pings, resets or spawns on the way of a clean
//! connection; a connection that is not clean is cleaned by a task, in the background or for whoever takes it first.
//!
//! Connections of some drivers work only on the runtime that opened them. Such a connection is taken there if one is
//! idle; another is opened as long as there is room, and only then in place of a foreign one. The queue is one for all
//! runtimes: a connection that is handed to a waiter on another runtime is opened anew there.
//!
//! What tasks of the pool hold is taken back from runtimes that nobody drives any more. Two things stay: what a user
//! holds there, and the only connection of an in-memory database while it is cleaned there, which nothing can replace.

mod acquire;
mod connect;
mod lanes;
mod maintain;
mod slot;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
#[cfg(not(test))]
use std::sync::{Mutex, MutexGuard};

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio::time::{Duration, Instant};

use crate::backend::{Backend, BackendConnection, Connector};
use crate::codec::TypeOptions;
use crate::connection::Connection;
use crate::error::{Error, ErrorKind, Result};
use crate::options::PoolOptions;
use crate::sql::TemplateCache;
use crate::url::{DatabaseUrl, UrlOptions};

pub(crate) use connect::jitter;
pub(crate) use lanes::{Lease, Sharing};
pub(crate) use slot::{Open, Slot};
pub(crate) use state::Purpose;
use state::{State, Use};
#[cfg(test)]
use tests::threads::{Mutex, MutexGuard};

/// How long a connection may be idle before it is asked whether it is still there: where the driver notices a peer that has
/// closed it, and where it does not.
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_BLIND_AFTER: Duration = Duration::from_secs(1);

/// Runs on every new connection before anyone else has it.
pub type AfterConnect = Arc<dyn for<'a> Fn(&'a Connection) -> BoxFuture<'a, Result<()>> + Send + Sync>;

/// Gives the password for one attempt to connect.
pub type PasswordProvider = Arc<dyn Fn() -> BoxFuture<'static, Result<String>> + Send + Sync>;

/// What a pool is made of.
#[derive(Clone)]
#[non_exhaustive]
pub struct PoolConfig {
    /// The backend's name.
    pub backend: &'static str,
    /// Opens the connections.
    pub connector: Arc<dyn Connector>,
    /// Limits and times.
    pub options: PoolOptions,
    /// Runs on every new connection.
    pub after_connect: Option<AfterConnect>,
    /// Gives the password of each attempt to connect.
    pub password_provider: Option<PasswordProvider>,
    /// Types beyond those that the backend knows.
    pub types: TypeOptions,
}

impl PoolConfig {
    /// A pool over `connector`.
    #[must_use]
    pub fn new(backend: &'static str, connector: Arc<dyn Connector>, options: PoolOptions) -> Self {
        Self {
            backend,
            connector,
            options,
            after_connect: None,
            password_provider: None,
            types: TypeOptions::default(),
        }
    }

    /// A pool for `url` on `backend`; `adjust` changes the options of the pool that the URL gave. No I/O.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Url`] for an option that is unknown or has a wrong value, naming what would be right.
    pub fn from_url(backend: &dyn Backend, url: &DatabaseUrl, adjust: impl FnOnce(&mut PoolOptions)) -> Result<Self> {
        let mut options = UrlOptions::new(url);
        let mut pool = PoolOptions::take(&mut options)?;
        adjust(&mut pool);
        let connector = backend.connector(url, &mut options, &pool)?;
        options.finish(&[PoolOptions::KEYS, backend.options()].concat())?;
        pool.limit(connector.single_connection())?;
        Ok(Self::new(backend.name(), connector, pool))
    }
}

impl fmt::Debug for PoolConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolConfig")
            .field("backend", &self.backend)
            .field("target", self.connector.target())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// How the connections of a pool are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checkout {
    /// For one user alone.
    Exclusive,
    /// For several users at a time, none of which may leave a trace on the session.
    Shared(Sharing),
}

/// What a waiter is given.
pub(crate) enum Grant {
    /// A connection.
    Slot(Slot),
    /// A place on one that others use too; only for those who would share.
    Lease(Lease),
}

/// How many connections there are and what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatus {
    /// Open connections, those being opened and closed included. Never above `max_connections`.
    pub size: usize,
    /// Connections that wait for work.
    pub idle: usize,
    /// Connections that somebody uses.
    pub in_use: usize,
    /// Connections being opened.
    pub connecting: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
    /// The limit.
    pub max_connections: usize,
}

pub(crate) struct Inner {
    pub(crate) config: PoolConfig,
    pub(crate) cache: TemplateCache,
    max: usize,
    /// Exactly one connection, which keeps its state: an in-memory database, or force_rollback.
    single: bool,
    /// How many connections of those that are shared keep this machine busy.
    cores: usize,
    /// A connection that was idle for longer is asked whether it is still there.
    ping_after: Duration,
    state: Mutex<State>,
    /// How many connections were lost: those that were open then are asked before use.
    losses: AtomicU64,
    /// Short reads need no future of their own.
    pub(crate) runs_at_once: bool,
    /// How many tasks let others run after they have read for long.
    pub(crate) resting: AtomicUsize,
    /// The number of the last transaction or savepoint.
    levels: AtomicU64,
    /// Woken whenever a connection is gone, for `close`.
    gone: Notify,
    /// Woken whenever a connection was opened or refused for good, for attempts that wait for their turn.
    answered: Notify,
    /// Tells the task that looks after idle connections when the pool is closed, and by its drop when it is gone.
    over: watch::Sender<()>,
}

impl Inner {
    pub(crate) fn new(config: PoolConfig) -> Result<Arc<Self>> {
        let single = config.connector.single_connection() || config.options.force_rollback;
        let max = config.options.limit(config.connector.single_connection())?;
        let types = &config.types;
        let wants_types = !types.codecs.is_empty() || !types.preload.is_empty();
        if wants_types && !config.connector.capabilities().type_codecs {
            let message = format!("{} has no types beyond those that are known", config.backend);
            return Err(Error::new(ErrorKind::Unsupported, message)
                .with_hint("leave out codec() and preload_types(), or use them only where the URL says postgres"));
        }
        let notices_close = config.connector.capabilities().notices_close;
        let runs_at_once = config.connector.capabilities().runs_at_once && !config.options.force_rollback;
        Ok(Arc::new(Self {
            config,
            ping_after: if notices_close { PING_AFTER } else { PING_BLIND_AFTER },
            cache: TemplateCache::default(),
            max,
            single,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            state: Mutex::default(),
            losses: AtomicU64::new(0),
            runs_at_once,
            resting: AtomicUsize::new(0),
            levels: AtomicU64::new(0),
            gone: Notify::new(),
            answered: Notify::new(),
            over: watch::Sender::default(),
        }))
    }

    // No code that can panic runs under the lock, so a poisoned one still holds a sound state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn options(&self) -> &PoolOptions {
        &self.config.options
    }

    pub(crate) fn status(&self) -> PoolStatus {
        let state = self.lock();
        PoolStatus {
            size: state.size(),
            idle: state.idle.len(),
            in_use: state.count(|now| matches!(now, Use::Held(..))),
            connecting: state.connecting(),
            waiting: state.waiters.len(),
            max_connections: self.max,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Closes the pool: waiters fail, idle connections close, the rest close when given back.
    pub(crate) async fn close(self: &Arc<Self>, grace: Duration) -> Result<()> {
        let deadline = later(grace);
        let idle = {
            let mut state = self.lock();
            state.closed = true;
            state.waiters.clear(); // Dropping the senders tells the waiters.
            std::mem::take(&mut state.idle)
        };
        self.over.send_replace(());
        for member in idle {
            self.retire(member);
        }
        loop {
            let gone = self.gone.notified();
            let left = {
                let state = self.lock();
                if state.size() == 0 {
                    return Ok(());
                }
                let opening = match state.connecting() {
                    0 => String::new(),
                    count => format!(", {count} being opened"),
                };
                state.describe_holders(Instant::now()) + &opening
            };
            if tokio::time::timeout_at(deadline, gone).await.is_err() {
                let message = format!(
                    "closed, but after {} s some connections are still open ({left}); they close when given back",
                    grace.as_secs_f64()
                );
                return Err(Error::new(ErrorKind::PoolTimeout, message));
            }
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

/// The end of `duration` from now; for as good as ever if the clock does not reach that far.
fn later(duration: Duration) -> Instant {
    after(Instant::now(), duration)
}

pub(crate) fn after(now: Instant, duration: Duration) -> Instant {
    const EVER: Duration = Duration::from_secs(30 * 365 * 86_400);
    now.checked_add(duration).unwrap_or_else(|| now + EVER)
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::PoolClosed, "the database was closed")
}

/// Brings a connection back to where a fresh one is, or says that it cannot be.
///
/// `open` is what a user left open, and `dirty` says whether session state was changed.
async fn clean(inner: &Inner, conn: &dyn BackendConnection, open: Option<Open>, dirty: bool) -> Result<()> {
    use crate::backend::{Status, TransactionCommand};
    let broken = || Error::new(ErrorKind::Disconnected, "the connection broke while it was cleaned");
    if conn.status() == Status::Busy {
        conn.settle().await;
    }
    if inner.options().force_rollback {
        // A savepoint that is not marked is undone only where its opening or its release failed.
        if let Some(open) = open
            && (open.marked || conn.status() == Status::Failed)
            && conn.status() != Status::Broken
        {
            conn.transaction(TransactionCommand::RollbackTo(open.savepoint)).await?;
        }
        return if conn.status() == Status::InTransaction { Ok(()) } else { Err(broken()) };
    }
    if matches!(conn.status(), Status::InTransaction | Status::Failed) {
        conn.transaction(TransactionCommand::Rollback).await?;
    }
    if dirty && !inner.single && conn.status() == Status::Idle && (inner.has_hook() || !conn.reset().await?) {
        return Err(broken());
    }
    if conn.status() == Status::Idle { Ok(()) } else { Err(broken()) }
}

impl Inner {
    /// A number for a transaction or savepoint, from 1.
    pub(crate) fn next_level(&self) -> u64 {
        self.levels.fetch_add(1, Relaxed) + 1
    }

    // A reset would undo what the hook set up, so its connections are closed instead.
    fn has_hook(&self) -> bool {
        self.config.after_connect.is_some()
    }
}
