//! A scripted backend: a tiny server that keeps transactions, writes down what it was sent, and misbehaves on request.
//!
//! It also watches the rules that no user of a connection may break (see [`Fake::violations`]): nothing is sent while an
//! earlier, dropped call is unsettled, nothing after the good-bye, and nothing from a runtime that is not the home of a
//! runtime-bound connection.

#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

mod batch;
mod conn;
mod random;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::databases_core;
use databases_core::backend::{BackendConnection, Capabilities, ConnectContext, Connector, Status, Target};
use databases_core::sql::Dialect;
use databases_core::{Error, ErrorKind, Result};

pub(crate) use conn::Driver;
use conn::{Conn, FakeConnection};
pub(crate) use random::{Choice, Random, Search, setting};

/// What the next attempt to connect does.
#[derive(Clone, Debug)]
pub(crate) enum Connect {
    Works,
    /// Takes its time and works.
    Takes(Duration),
    Fails(ErrorKind),
    /// Takes nobody for now.
    IsFull,
    Hangs,
    Panics,
    /// Waits for a word of the test.
    Told(Word),
}

/// What the test says to attempts to connect, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Word(Arc<Words>);

#[derive(Debug)]
struct Words {
    said: Semaphore,
    words: Mutex<VecDeque<Result<(), ErrorKind>>>,
}

impl Word {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Words { said: Semaphore::new(0), words: Mutex::default() }))
    }

    /// To the attempt that has waited for the longest.
    pub(crate) fn say(&self, word: Result<(), ErrorKind>) {
        let Words { said, words } = &*self.0;
        words.lock().expect("nothing panics under it").push_back(word);
        said.add_permits(1);
    }

    async fn hear(&self) -> Result<(), ErrorKind> {
        let Words { said, words } = &*self.0;
        said.acquire().await.expect("never closed").forget();
        words.lock().expect("nothing panics under it").pop_front().expect("a permit for each word")
    }
}

/// What a statement does that starts with the text of its rule.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    /// Waits until the gate lets one through.
    Waits(Gate),
    /// Takes its time.
    Takes(Duration),
    /// Fails; the session is then in the given state, or where it was.
    Fails(ErrorKind, Option<Status>),
    /// Fails and says that nothing was sent.
    FailsUnsent(ErrorKind),
    /// Works, and leaves the session in this state.
    Leaves(Status),
    /// Gives so many rows.
    Rows(i64),
    /// Fails after so many rows.
    RowsThenFails(i64, ErrorKind),
}

/// A gate that statements wait at.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(crate) fn open(&self) {
        self.0.add_permits(1_000_000);
    }

    pub(crate) fn let_through(&self, count: usize) {
        self.0.add_permits(count);
    }

    async fn pass(&self) {
        self.0.acquire().await.expect("never closed").forget();
    }
}

#[derive(Clone, Debug)]
struct Rule {
    starts: String,
    does: Does,
    left: usize,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Attempts to connect.
    pub(crate) attempts: usize,
    /// Connections made.
    pub(crate) connects: usize,
    /// Good-byes.
    pub(crate) closes: usize,
    /// Connections that are gone, with a good-bye or without.
    pub(crate) gone: usize,
    pub(crate) pings: usize,
    pub(crate) resets: usize,
    pub(crate) settles: usize,
    pub(crate) statements: usize,
}

struct Script {
    capabilities: Capabilities,
    single: bool,
    /// What `reset` answers.
    reset_works: bool,
    ping_takes: Duration,
    close_takes: Duration,
    /// `settle` never ends.
    settle_hangs: bool,
    /// What settling does to a session that is in a transaction (PostgreSQL: a cancel makes it Failed).
    settle_leaves: Option<Status>,
    /// A stream that is dropped early leaves the session Busy until it is settled.
    dropped_stream_is_busy: bool,
    connect: Connect,
    next_connects: VecDeque<Connect>,
    rules: Vec<Rule>,
    counts: Counts,
    /// Open connections and attempts under way, and the most there ever were.
    live: usize,
    most_live: usize,
    attempts_at: Vec<Instant>,
    passwords: Vec<Option<String>>,
    /// What each connection was sent, in the order they were opened.
    logs: Vec<Vec<String>>,
    conns: Vec<Arc<Conn>>,
    /// The writes that are committed, in order.
    committed: Vec<String>,
    violations: Vec<String>,
}

/// The server and the control handle to it.
#[derive(Clone)]
pub(crate) struct Fake(Arc<Shared>);

struct Shared {
    script: Mutex<Script>,
    target: Target,
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Fake {
    pub(crate) fn new() -> Self {
        let mut capabilities = Capabilities::NONE;
        (capabilities.transactions, capabilities.savepoints) = (true, true);
        (capabilities.transactional_ddl, capabilities.error_fails_transaction) = (true, true);
        capabilities.notices_close = true;
        let script = Script {
            capabilities,
            single: false,
            reset_works: true,
            ping_takes: Duration::ZERO,
            close_takes: Duration::ZERO,
            settle_hangs: false,
            settle_leaves: None,
            dropped_stream_is_busy: false,
            connect: Connect::Works,
            next_connects: VecDeque::new(),
            rules: Vec::new(),
            counts: Counts::default(),
            live: 0,
            most_live: 0,
            attempts_at: Vec::new(),
            passwords: Vec::new(),
            logs: Vec::new(),
            conns: Vec::new(),
            committed: Vec::new(),
            violations: Vec::new(),
        };
        let target = Target { system: "fake", namespace: "db".into(), address: "fake.example".into(), port: None };
        Self(Arc::new(Shared { script: Mutex::new(script), target }))
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.script.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn runtime_bound(self, on: bool) -> Self {
        self.script().capabilities.runtime_bound = on;
        self
    }

    /// Short reads are tried at once; none is done.
    pub(crate) fn runs_at_once(self) -> Self {
        self.script().capabilities.runs_at_once = true;
        self
    }

    pub(crate) fn notices_close(self, on: bool) -> Self {
        self.script().capabilities.notices_close = on;
        self
    }

    pub(crate) fn transactional_ddl(self, on: bool) -> Self {
        self.script().capabilities.transactional_ddl = on;
        self
    }

    pub(crate) fn error_fails_transaction(self, on: bool) -> Self {
        self.script().capabilities.error_fails_transaction = on;
        self
    }

    /// Short statements share connections.
    pub(crate) fn in_order_lanes(self) -> Self {
        let capabilities = &mut self.script().capabilities;
        (capabilities.pipelining, capabilities.shares_reads, capabilities.shares_writes) = (true, true, true);
        self.clone()
    }

    pub(crate) fn single(self) -> Self {
        self.script().single = true;
        self
    }

    pub(crate) fn no_reset(self) -> Self {
        self.script().reset_works = false;
        self
    }

    /// Of every attempt from now on.
    pub(crate) fn connect(&self, how: Connect) {
        self.script().connect = how;
    }

    /// Of the next attempt that has none yet.
    pub(crate) fn next_connect(&self, how: Connect) {
        self.script().next_connects.push_back(how);
    }

    /// Of every statement that starts so.
    pub(crate) fn on(&self, starts: &str, does: Does) {
        self.on_times(starts, usize::MAX, does);
    }

    /// Of the next `times` statements that start so; earlier rules go first.
    pub(crate) fn on_times(&self, starts: &str, times: usize, does: Does) {
        self.script().rules.push(Rule { starts: starts.into(), does, left: times });
    }

    pub(crate) fn forget_rules(&self) {
        self.script().rules.clear();
    }

    pub(crate) fn close_takes(&self, time: Duration) {
        self.script().close_takes = time;
    }

    pub(crate) fn ping_takes(&self, time: Duration) {
        self.script().ping_takes = time;
    }

    pub(crate) fn settle_hangs(&self, hangs: bool) {
        self.script().settle_hangs = hangs;
    }

    pub(crate) fn settle_leaves(&self, status: Status) {
        self.script().settle_leaves = Some(status);
    }

    pub(crate) fn dropped_stream_is_busy(&self) {
        self.script().dropped_stream_is_busy = true;
    }

    /// The connection is lost and nobody has noticed: the next call on it fails.
    pub(crate) fn cut(&self, conn: usize) {
        let conn = self.script().conns[conn].clone();
        conn.cut();
    }

    pub(crate) fn cut_all(&self) {
        let conns = self.script().conns.clone();
        for conn in conns {
            conn.cut();
        }
    }

    pub(crate) fn set_status(&self, conn: usize, status: Status) {
        let conn = self.script().conns[conn].clone();
        conn.set_status(status);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.script().counts
    }

    pub(crate) fn live(&self) -> usize {
        self.script().live
    }

    pub(crate) fn most_live(&self) -> usize {
        self.script().most_live
    }

    pub(crate) fn attempts_at(&self) -> Vec<Instant> {
        self.script().attempts_at.clone()
    }

    pub(crate) fn passwords(&self) -> Vec<Option<String>> {
        self.script().passwords.clone()
    }

    /// What the connection was sent.
    pub(crate) fn log(&self, conn: usize) -> Vec<String> {
        self.script().logs.get(conn).cloned().unwrap_or_default()
    }

    pub(crate) fn forget_log(&self) {
        for log in &mut self.script().logs {
            log.clear();
        }
    }

    pub(crate) fn committed(&self) -> Vec<String> {
        self.script().committed.clone()
    }

    /// What no user of a connection may do, and somebody did.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.script().violations.clone()
    }

    fn rule_for(&self, text: &str) -> Option<Does> {
        let mut script = self.script();
        let rule = script.rules.iter_mut().find(|rule| rule.left > 0 && text.starts_with(&rule.starts))?;
        rule.left -= 1;
        Some(rule.does.clone())
    }
}

/// Gives back what an attempt counts for if it comes to nothing.
struct Attempt(Option<Fake>);

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(fake) = self.0.take() {
            fake.script().live -= 1;
        }
    }
}

#[async_trait]
impl Connector for Fake {
    fn dialect(&self) -> Dialect {
        Dialect::SQLITE
    }

    fn capabilities(&self) -> Capabilities {
        self.script().capabilities
    }

    fn single_connection(&self) -> bool {
        self.script().single
    }

    fn target(&self) -> &Target {
        &self.0.target
    }

    async fn connect(&self, context: ConnectContext) -> Result<Arc<dyn BackendConnection>> {
        let how = {
            let mut script = self.script();
            script.counts.attempts += 1;
            script.live += 1;
            script.most_live = script.most_live.max(script.live);
            script.attempts_at.push(Instant::now());
            script.passwords.push(context.password);
            script.next_connects.pop_front().unwrap_or_else(|| script.connect.clone())
        };
        let mut attempt = Attempt(Some(self.clone()));
        tokio::task::yield_now().await;
        match how {
            Connect::Works => {}
            Connect::Takes(time) => tokio::time::sleep(time).await,
            Connect::Fails(kind) => return Err(Error::new(kind, format!("the fake server says {kind:?}"))),
            Connect::IsFull => {
                return Err(Error::new(ErrorKind::Connect, "the fake server has too many").with_passing());
            }
            Connect::Hangs => std::future::pending().await,
            Connect::Panics => panic!("the fake driver panics"),
            Connect::Told(word) => {
                word.hear().await.map_err(|kind| Error::new(kind, format!("the fake server says {kind:?}")))?;
            }
        }
        attempt.0 = None; // The connection counts for it now.
        let home = self.capabilities().runtime_bound.then(|| Handle::current().id());
        let mut script = self.script();
        script.counts.connects += 1;
        script.logs.push(Vec::new());
        let conn = Arc::new(Conn::new(self.clone(), script.logs.len() - 1, home));
        script.conns.push(conn.clone());
        Ok(Arc::new(FakeConnection(conn)))
    }
}

/// The result of `future`, which must come within ten minutes: on a paused clock that is at once, so that a test that
/// hangs fails.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(600), future).await.expect("hangs")
}

/// Lets every task that can go on do so.
pub(crate) async fn settle_tasks() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// A pool over `fake`.
pub(crate) fn pool_with(
    fake: &Fake,
    adjust: impl FnOnce(&mut databases_core::PoolOptions),
    configure: impl FnOnce(&mut databases_core::PoolConfig),
) -> databases_core::Pool {
    let mut options = databases_core::PoolOptions::default();
    adjust(&mut options);
    let mut config = databases_core::PoolConfig::new("fake", Arc::new(fake.clone()), options);
    configure(&mut config);
    databases_core::Pool::new(config).expect("sound options")
}

/// A pool of `max` connections over `fake`.
pub(crate) fn pool_of(fake: &Fake, max: usize) -> databases_core::Pool {
    pool_with(fake, |options| options.max_connections = Some(max), |_| ())
}

pub(crate) const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn poll_once<F: Future + ?Sized>(future: &mut std::pin::Pin<Box<F>>) -> std::task::Poll<F::Output> {
    future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

/// size, idle, in use, connecting, waiting
pub(crate) fn state(pool: &databases_core::Pool) -> [usize; 5] {
    let status = pool.status();
    [status.size, status.idle, status.in_use, status.connecting, status.waiting]
}

pub(crate) async fn hold(pool: &databases_core::Pool, count: usize) -> Vec<databases_core::Connection> {
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(within(pool.acquire()).await.unwrap());
    }
    held
}
