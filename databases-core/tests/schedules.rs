//! The pool under every order of events, and under random ones.
//!
//! A schedule is a list of events: a caller comes, is polled, goes away while it waits, gives its connection back; an
//! attempt to connect ends; the pool's own tasks run; the pool is closed. A caller is polled only once it was woken, so a
//! wake that is lost shows as a caller that waits when nothing else can happen. With few callers all schedules are
//! run, depth first, each from the start on a pool of its own; with more of them, random ones: `DATABASES_SCHEDULES` says
//! how many, and `DATABASES_SCHEDULE_SEED` where to begin.
//!
//! The clock stands still unless an attempt is repeated, so nothing is served by a timeout.
//!
//! An event is never interrupted here. Threads that meet within one are in the pool's own tests (`pool/tests/threads.rs`).

mod support;

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ::databases_core;
use databases_core::backend::Status;
use databases_core::{Connection, ErrorKind, Pool, Result};
use futures_util::FutureExt as _;
use support::{Choice, Connect, Driver, Fake, Random, Search, Word, hold, pool_with, setting, state};

/// Longer than any schedule, on its own clock.
const NEVER: Duration = Duration::from_secs(3600);
/// After this an attempt to connect is repeated.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug)]
enum Event {
    Comes,
    IsPolled(usize),
    GoesAway(usize),
    GivesBack(usize),
    GivesBackBroken(usize),
    GivesBackChanged(usize),
    Connects,
    IsRefused(ErrorKind),
    TasksRun,
    Closes,
}

/// What may happen.
#[derive(Clone, Copy)]
struct Plan {
    callers: usize,
    connections: usize,
    refusals: &'static [ErrorKind],
    broken: bool,
    changed: bool,
    closes: bool,
}

const PLAIN: Plan = Plan {
    callers: 3,
    connections: 1,
    refusals: &[ErrorKind::Authentication],
    broken: false,
    changed: false,
    closes: false,
};

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// A future that is polled by hand.
struct Call<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    woken: Arc<Flag>,
}

impl<T> Call<T> {
    fn new(future: impl Future<Output = T> + 'static) -> Self {
        Self { future: Box::pin(future), woken: Arc::default() }
    }

    fn is_woken(&self) -> bool {
        self.woken.0.load(Relaxed)
    }

    fn poll(&mut self) -> Poll<T> {
        self.woken.0.store(false, Relaxed);
        self.future.as_mut().poll(&mut Context::from_waker(&Waker::from(self.woken.clone())))
    }
}

enum Caller {
    /// `answered`: it was handed a connection or an error, or took what was idle; it is not in the queue.
    Waits {
        call: Call<Result<Connection>>,
        answered: bool,
    },
    Holds(Connection),
    Gone,
}

struct World {
    plan: Plan,
    fake: Fake,
    pool: Pool,
    word: Word,
    /// In the order they came.
    callers: Vec<Caller>,
    closing: Option<Call<Result<()>>>,
    closed: bool,
    /// Whether tasks of the pool may have something to do.
    tasks: bool,
    said: usize,
    refused: bool,
    story: Vec<Event>,
    name: String,
}

impl World {
    fn new(plan: Plan, name: &str) -> Self {
        let (fake, word) = (Fake::new(), Word::new());
        fake.connect(Connect::Told(word.clone()));
        let pool = pool_with(
            &fake,
            |options| {
                options.max_connections = Some(plan.connections);
                (options.acquire_timeout, options.connect_timeout, options.close_timeout) = (NEVER, NEVER, NEVER);
            },
            |_| (),
        );
        let (callers, story) = Default::default();
        let (closing, closed, tasks, said, refused) = (None, false, false, 0, false);
        Self { plan, fake, pool, word, callers, closing, closed, tasks, said, refused, story, name: name.into() }
    }

    fn sound(&self, sound: bool, what: impl Debug) {
        assert!(sound, "{}: {what:?}; {:?} after {:?}", self.name, self.pool.status(), self.story);
    }

    /// What can happen now. Callers are alike, so they come in one order.
    fn possible(&self) -> Vec<Event> {
        let mut events = Vec::new();
        if self.callers.len() < self.plan.callers {
            events.push(Event::Comes);
        }
        let mut leavers = Vec::new();
        for (at, caller) in self.callers.iter().enumerate() {
            match caller {
                Caller::Waits { call, .. } => {
                    if call.is_woken() {
                        events.push(Event::IsPolled(at));
                    }
                    leavers.push(Event::GoesAway(at));
                }
                Caller::Holds(_) => {
                    events.push(Event::GivesBack(at));
                    events.extend(self.plan.broken.then_some(Event::GivesBackBroken(at)));
                    events.extend(self.plan.changed.then_some(Event::GivesBackChanged(at)));
                }
                Caller::Gone => {}
            }
        }
        // The task that connects has nothing to do until it is told, so it runs when it is.
        if self.pool.status().connecting > 0 {
            events.push(Event::Connects);
            events.extend(self.plan.refusals.iter().copied().map(Event::IsRefused));
        }
        if self.tasks {
            events.push(Event::TasksRun);
        }
        let waits = events.is_empty() && !leavers.is_empty();
        self.sound(!waits, "somebody waits for ever");
        if self.plan.closes && !self.closed {
            events.push(Event::Closes);
        }
        events.extend(leavers);
        events
    }

    async fn tasks_run(&mut self) {
        self.tasks = false;
        for _ in 0..12 {
            tokio::task::yield_now().await;
        }
    }

    async fn tell(&mut self, word: std::result::Result<(), ErrorKind>) {
        self.tasks_run().await;
        if self.fake.counts().attempts > self.said {
            self.said += 1;
            self.refused |= word.is_err();
            self.word.say(word);
        } else {
            tokio::time::advance(PAUSE).await; // It waits to be repeated.
        }
        self.tasks_run().await;
    }

    fn poll(&mut self, at: usize) {
        let Caller::Waits { call, .. } = &mut self.callers[at] else { unreachable!("it waits") };
        let Poll::Ready(result) = call.poll() else { return };
        self.callers[at] = match result {
            Ok(conn) => Caller::Holds(conn),
            Err(error) => {
                let kind = error.kind();
                let expected = (self.closed && kind == ErrorKind::PoolClosed)
                    || (self.refused && self.plan.refusals.contains(&kind));
                self.sound(expected, error);
                Caller::Gone
            }
        };
    }

    fn give_back(&mut self, at: usize, broken: bool, changed: bool) {
        let caller = std::mem::replace(&mut self.callers[at], Caller::Gone);
        let Caller::Holds(mut conn) = caller else { unreachable!("it holds one") };
        if broken || changed {
            // Whoever borrows the driver's connection may have changed the session.
            let number = conn.native::<Driver>().now_or_never().expect("no I/O").expect("it works").number;
            if broken {
                self.fake.set_status(number, Status::Broken);
            }
        }
    }

    async fn happen(&mut self, event: Event) {
        self.story.push(event);
        self.sound(self.story.len() < 1_000, "it goes on for ever");
        self.tasks = self.plan.broken || self.plan.changed || self.plan.closes;
        match event {
            Event::Comes => {
                let pool = self.pool.clone();
                let call = Call::new(async move { pool.acquire().await });
                let waiting = self.pool.status().waiting;
                let at = self.callers.len();
                self.callers.push(Caller::Waits { call, answered: false });
                self.poll(at);
                let queued = self.pool.status().waiting > waiting;
                if let Caller::Waits { answered, .. } = &mut self.callers[at] {
                    *answered = !queued;
                }
            }
            Event::IsPolled(at) => self.poll(at),
            Event::GoesAway(at) => self.callers[at] = Caller::Gone,
            Event::GivesBack(at) => self.give_back(at, false, false),
            Event::GivesBackBroken(at) => self.give_back(at, true, false),
            Event::GivesBackChanged(at) => self.give_back(at, false, true),
            Event::Connects => self.tell(Ok(())).await,
            Event::IsRefused(kind) => self.tell(Err(kind)).await,
            Event::TasksRun => self.tasks_run().await,
            Event::Closes => {
                let pool = self.pool.clone();
                let mut call = Call::new(async move { pool.close().await });
                self.closed = true;
                if call.poll().is_pending() {
                    self.closing = Some(call);
                }
            }
        }
        self.look();
    }

    /// What holds at all times.
    fn look(&mut self) {
        let mut queue = 0;
        let mut overtaken = false;
        for caller in &mut self.callers {
            match caller {
                Caller::Waits { call, answered } if !*answered => {
                    *answered = call.is_woken();
                    overtaken |= *answered && queue > 0;
                    queue += usize::from(!*answered);
                }
                // Somebody who came later was served at once.
                Caller::Holds(_) if matches!(self.story.last(), Some(Event::Comes)) => overtaken |= queue > 0,
                _ => {}
            }
        }
        self.sound(!overtaken, "somebody was overtaken");
        let status = self.pool.status();
        self.sound(status.waiting == queue, "not everybody in the queue waits, or the other way round");
        self.sound(status.waiting == 0 || status.idle == 0, "somebody waits beside an idle connection");
        let most = status.size.max(self.fake.most_live());
        self.sound(most <= self.plan.connections, "more connections than max_connections");
        let held = self.callers.iter().filter(|caller| matches!(caller, Caller::Holds(_))).count();
        self.sound(status.in_use >= held, "somebody holds what is not in use");
        let violations = self.fake.violations();
        self.sound(violations.is_empty(), violations);
    }

    /// When nothing can happen any more, every place is free or idle and can be used.
    async fn end(mut self) {
        self.tasks_run().await;
        let [size, idle, rest @ ..] = state(&self.pool);
        self.sound((size, rest) == (idle, [0; 3]), "a place was lost");
        self.sound(size == self.fake.live(), "a connection was forgotten");
        if self.closed {
            self.sound(size == 0, "a connection outlived the pool");
            let closed = self.closing.take().is_none_or(|mut call| call.is_woken() && call.poll().is_ready());
            return self.sound(closed, "nobody told that all are closed");
        }
        self.fake.connect(Connect::Works);
        drop(hold(&self.pool, self.plan.connections).await);
    }
}

/// Runs one schedule.
fn run(plan: Plan, choice: &mut impl Choice, name: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("no I/O").block_on(async {
        let mut world = World::new(plan, name);
        loop {
            let possible = world.possible();
            if possible.is_empty() {
                break;
            }
            let event = possible[choice.below(possible.len())];
            world.happen(event).await;
        }
        world.end().await;
    });
}

/// Runs all schedules of `plan`, which are at least so many.
fn all(plan: Plan, at_least: usize) {
    let mut search = Search::default();
    let mut schedules = 1;
    run(plan, &mut search, "search");
    while search.turn() {
        run(plan, &mut search, "search");
        schedules += 1;
    }
    assert!(schedules >= at_least, "only {schedules} schedules");
}

#[test]
fn every_schedule_of_three_callers_on_one_connection() {
    all(Plan { refusals: &[ErrorKind::Authentication, ErrorKind::Connect], ..PLAIN }, 9_000);
}

#[test]
fn every_schedule_of_three_callers_on_two_connections() {
    all(Plan { connections: 2, ..PLAIN }, 19_000);
}

#[test]
fn every_schedule_with_a_close() {
    all(Plan { callers: 2, closes: true, ..PLAIN }, 11_000);
}

#[test]
fn every_schedule_with_connections_that_break() {
    all(Plan { callers: 2, connections: 2, broken: true, ..PLAIN }, 11_000);
}

#[test]
fn every_schedule_with_sessions_that_were_changed() {
    all(Plan { callers: 2, connections: 2, refusals: &[], changed: true, ..PLAIN }, 7_000);
}

#[test]
#[ignore = "half a minute"]
fn every_schedule_of_four_callers() {
    all(Plan { callers: 4, ..PLAIN }, 98_000);
}

#[test]
#[ignore = "half a minute"]
fn every_schedule_of_three_callers_with_connections_that_break() {
    all(Plan { refusals: &[], broken: true, ..PLAIN }, 107_000);
}

#[test]
fn random_schedules_of_many_callers() {
    let first = setting("DATABASES_SCHEDULE_SEED", 0);
    for seed in first..first + setting("DATABASES_SCHEDULES", 4_000) {
        let mut random = Random::new(seed);
        let refusals = [&[][..], &[ErrorKind::Authentication], &[ErrorKind::Connect, ErrorKind::Authentication]];
        let plan = Plan {
            callers: 3 + random.below(8),
            connections: 1 + random.below(3),
            refusals: refusals[random.below(refusals.len())],
            broken: random.percent(50),
            changed: random.percent(50),
            closes: random.percent(20),
        };
        run(plan, &mut random, &format!("seed {seed}"));
    }
}
