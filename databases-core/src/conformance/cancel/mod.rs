//! Every operation is dropped at every point where it may wait, and leaves nothing behind.
//!
//! A walk runs one operation again and again and drops its future at point 0, 1, 2, … until it is done before it
//! gets there. The proxy holds each message of the server back and lets one pass at a time, so the points are states
//! of the protocol and not luck: before the first poll; behind each poll, when the driver has sent nothing yet, because
//! the runtime has one thread; when the answer is held back; behind each message that woke nobody; between a wake and its
//! poll. On SQLite, which has no messages, they are the states of a job: not begun, queued or
//! running, done, and done without its caller knowing (see `gate`). Behind each drop a pool of one connection is asked eight things (see `checks`).

mod checks;
mod connections;
mod forced;
mod gate;
mod statements;
mod transactions;

pub use connections::*;
pub use forced::*;
pub use statements::*;
pub use transactions::*;

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

pub(super) use checks::{at_server, eventually};
use gate::Gated;

use super::Fixture;
use super::proxy::{Mode, Proxy};
use crate::database::Pool;
use crate::error::Result;
use crate::executor::Executor;
use crate::options::PoolOptions;
use crate::pool::PoolConfig;

/// How long an operation may stand still when nothing is held back from it.
const STALLED: Duration = Duration::from_secs(10);
/// How long a message may take to the operation that waits for it, until it counts as one that wakes nobody.
const ARRIVAL: Duration = Duration::from_micros(500);
/// A job of SQLite is begun by then, and seldom done.
const BEGUN: Duration = Duration::from_micros(20);
/// The points of the shortest exchange with a server: before it, behind the first poll, and when the answer is there.
const EXCHANGE: usize = 3;
/// More points than any operation here has: a walk that does not end is a fault of its own.
const MOST_POINTS: usize = 400;
/// How many statements are kept prepared: few, so that what is kept too long is seen.
const STATEMENTS: usize = 8;

/// What the operations of one case run on.
struct Bench<'f> {
    f: &'f Fixture,
    /// `None` where there is no server to stand before.
    proxy: Option<Proxy>,
    /// One connection, through the proxy.
    db: Pool,
    /// Who looks from outside, past the proxy; `None` where there is only one connection.
    observer: Option<Pool>,
    /// `(id, body)`; empty before each run.
    table: String,
    /// What the settings of a session are.
    settings: String,
    /// Where the operation is dropped.
    point: Cell<usize>,
    /// Whether it was done before.
    done: Cell<bool>,
}

impl<'f> Bench<'f> {
    async fn new(f: &'f Fixture) -> Result<Self> {
        let proxy = f.proxy().await?;
        let db = pool_of_one(f, proxy.as_ref(), |_| {})?;
        let observer =
            if f.single_connection() { None } else { Some(f.pool_with(|options| options.max_connections = Some(1))?) };
        let table = f.notes(observer.as_ref().unwrap_or(&db)).await?;
        let settings = checks::settings(f, &db).await?;
        let (point, done) = (Cell::new(0), Cell::new(false));
        Ok(Self { f, proxy, db, observer, table, settings, point, done })
    }

    /// A further pool of one connection through the proxy, not yet connected.
    fn pool(&self, hooks: impl FnOnce(&mut PoolConfig)) -> Result<Pool> {
        pool_of_one(self.f, self.proxy.as_ref(), hooks)
    }

    /// Runs `operation`, which drops a future with [`Bench::step`], until that future is done before its point comes.
    ///
    /// The table then holds the first of `images` if the future was never polled, the last if it was done, else any.
    async fn walk(&self, what: &str, images: &[&[i64]], operation: impl AsyncFn() -> Result<()>) -> Result<()> {
        self.points(what, EXCHANGE, async |place| {
            operation().await?;
            let images = match (self.point.get(), self.done.get()) {
                (_, true) => &images[images.len() - 1..],
                (0, _) => &images[..1],
                _ => images,
            };
            self.check(&self.db, place).await?;
            self.check_data(images, place).await?;
            let observer = self.observer.as_ref().unwrap_or(&self.db);
            observer.execute(format!("DELETE FROM {}", self.table), ()).await.map(drop)
        })
        .await
    }

    /// Runs `round`, which drops a future with [`Bench::step`] and checks what is left, for one point after the other;
    /// `fewest` is how many there must be.
    async fn points(&self, what: &str, fewest: usize, round: impl AsyncFn(&str) -> Result<()>) -> Result<()> {
        for point in 0..MOST_POINTS {
            self.point.set(point);
            self.done.set(false);
            let place = format!("{what}, point {point}");
            round(&place).await.map_err(|error| error.context(&place))?;
            if self.done.get() {
                assert!(point >= fewest, "{what}: only {point} points, so this proves nothing");
                // For a table made of the output.
                println!("cancel: {what} on {}: {point} points", self.f.backend_name());
                return Ok(());
            }
        }
        panic!("{what}: not done after {MOST_POINTS} points");
    }

    /// Polls `future` up to this run's point and drops it there; its output if it is done before.
    async fn step<F: Future>(&self, future: F) -> Option<F::Output> {
        let hold = |mode| self.proxy.iter().for_each(|proxy| proxy.set(mode));
        hold(Mode::Hold);
        let output = self.poll_to_point(future).await;
        // What the drop has left to do is not held up.
        hold(Mode::Pass);
        self.done.set(output.is_some());
        output
    }

    async fn poll_to_point<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut left = self.point.get();
        // Whether this is the point.
        let mut is_here = move || {
            let here = left == 0;
            left = left.saturating_sub(1);
            here
        };
        if is_here() {
            drop(future);
            return None;
        }
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(output);
            }
            if is_here() {
                return None;
            }
            match &self.proxy {
                Some(proxy) => {
                    // What was asked has come to the server, and the answer is on its way.
                    let mut is_woken = self.woken_or(&woken, proxy.holding()).await;
                    while !is_woken {
                        if is_here() {
                            return None;
                        }
                        is_woken = self.woken_or(&woken, proxy.holding()).await || {
                            proxy.release();
                            timeout(ARRIVAL, woken.0.notified()).await.is_ok()
                        };
                    }
                }
                None => {
                    std::thread::sleep(BEGUN);
                    if is_here() {
                        return None;
                    }
                    timeout(STALLED, woken.0.notified()).await.expect("the operation goes on by itself");
                }
            }
            if is_here() {
                return None;
            }
        }
    }

    /// Waits until the operation is woken or `event` comes; whether it was woken.
    async fn woken_or(&self, woken: &Woken, event: impl Future<Output = ()>) -> bool {
        let first = async {
            tokio::select! {
                biased;
                () = woken.0.notified() => true,
                () = event => false,
            }
        };
        timeout(STALLED, first).await.expect("the operation is woken, or is answered")
    }
}

fn pool_of_one(f: &Fixture, proxy: Option<&Proxy>, hooks: impl FnOnce(&mut PoolConfig)) -> Result<Pool> {
    let url = match proxy {
        Some(proxy) => proxy.url(f.url())?,
        None => f.url().clone(),
    };
    let limits = |options: &mut PoolOptions| {
        (options.max_connections, options.statement_cache_size) = (Some(1), STATEMENTS);
    };
    let gated = |config: &mut PoolConfig| {
        if proxy.is_none() {
            config.connector = Arc::new(Gated(config.connector.clone()));
        }
        hooks(config);
    };
    f.pool_config(&url, limits, gated)
}

/// Tells that the future wants to be polled.
#[derive(Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}
