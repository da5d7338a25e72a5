//! Threads that meet in the pool, in every order with few preemptions.
//!
//! In tests the pool's lock is the one below. Before it is taken and after it is let go a thread may lose its turn to
//! another; only one ever runs. All that threads share in the pool is behind this lock, but for three: the waiters' channels, whose
//! every use stands between two such points; `losses`, which only decides whether a connection is asked before use; and `levels`, a
//! counter. So this is what loom would do, which cannot be used here: under its cfg tokio has neither timers nor a
//! runtime to spawn on.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::{Arc, Condvar, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::FutureExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Duration;

use super::support::{Choice as _, Driver, Fake, Search};
use super::{Purpose, alone, pool_of, state};
use crate::backend::Status;
use crate::error::ErrorKind;
use crate::pool::{Inner, Slot};

#[derive(Default)]
pub(in crate::pool) struct Mutex<T>(std::sync::Mutex<T>);

pub(in crate::pool) struct MutexGuard<'a, T>(Option<std::sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    /// As that of std; never poisoned.
    pub(in crate::pool) fn lock(&self) -> Result<MutexGuard<'_, T>, PoisonError<MutexGuard<'_, T>>> {
        point();
        Ok(MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner))))
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("held until it is dropped")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("held until it is dropped")
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.0 = None;
        point();
    }
}

thread_local! {
    /// The turns that this thread waits for, if it takes part in a schedule.
    static PLAYER: RefCell<Option<(Arc<Turns>, usize)>> = const { RefCell::new(None) };
}

/// Another thread may go on here.
fn point() {
    let player = PLAYER.with(|player| player.borrow().clone());
    if let Some((turns, me)) = player
        && !std::thread::panicking()
    {
        turns.pass(me, Life::Ready);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Life {
    Ready,
    Asleep,
    Over,
}

struct Turns {
    table: std::sync::Mutex<Table>,
    changed: Condvar,
}

struct Table {
    now: usize,
    lives: Vec<Life>,
    woken: Vec<bool>,
    /// How often a thread that could go on may still lose its turn.
    preemptions: usize,
    search: Search,
    /// Whether the schedule gives the pool's tasks work before its end.
    tasks: bool,
    stuck: bool,
}

impl Turns {
    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the turn of `me` and waits for the next.
    fn pass(&self, me: usize, mut life: Life) {
        let mut table = self.table();
        if life == Life::Asleep && std::mem::take(&mut table.woken[me]) {
            life = Life::Ready;
        }
        table.lives[me] = life;
        // The last thread runs the pool's tasks. What the others do may give it work, and it ends after them.
        let driver = table.lives.len() - 1;
        let over = table.lives[..driver].iter().all(|life| *life == Life::Over);
        if table.lives[driver] == Life::Asleep && (over || (table.tasks && me != driver)) {
            table.lives[driver] = Life::Ready;
        }
        let lives = &table.lives;
        let others = (0..lives.len()).filter(|other| *other != me && lives[*other] == Life::Ready);
        let ready: Vec<_> = (life == Life::Ready).then_some(me).into_iter().chain(others).collect();
        table.now = match ready[..] {
            [] => {
                table.stuck |= !over;
                me
            }
            [first, ..] if first == me && table.preemptions == 0 => me,
            _ => ready[table.search.below(ready.len())],
        };
        table.preemptions -= usize::from(life == Life::Ready && table.now != me);
        self.changed.notify_all();
        while life != Life::Over && table.now != me && !table.stuck {
            table = self.changed.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn others_are_over(&self) -> bool {
        let table = self.table();
        table.lives[..table.lives.len() - 1].iter().all(|life| *life == Life::Over)
    }

    fn is_stuck(&self) -> bool {
        self.table().stuck
    }
}

/// One thread's part in a schedule.
struct Player(Arc<Turns>, usize);

impl Player {
    fn sits_down(turns: Arc<Turns>, me: usize) -> Self {
        let mut table = turns.table();
        while table.now != me {
            table = turns.changed.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
        drop(table);
        PLAYER.set(Some((turns.clone(), me)));
        Self(turns, me)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        PLAYER.set(None);
        self.0.pass(self.1, Life::Over);
    }
}

struct Bell(Arc<Turns>, usize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let mut table = self.0.table();
        if table.lives[self.1] == Life::Asleep {
            table.lives[self.1] = Life::Ready;
        } else {
            table.woken[self.1] = true;
        }
    }
}

/// What a thread does.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Takes a connection and gives it back.
    Uses,
    /// The same, and the connection is broken when it comes back.
    Breaks,
    /// Goes away if it would have to wait.
    GoesAway,
    Closes,
}

impl Part {
    fn play(self, player: &Player, fake: &Fake, pool: &Arc<Inner>) {
        let Player(turns, me) = player;
        let waker = Waker::from(Arc::new(Bell(turns.clone(), *me)));
        let mut context = Context::from_waker(&waker);
        if let Self::Closes = self {
            let mut closing = pin!(pool.close(Duration::from_secs(3600)));
            while closing.as_mut().poll(&mut context).is_pending() && !turns.is_stuck() {
                turns.pass(*me, Life::Asleep);
            }
            return;
        }
        let mut call = Box::pin(pool.acquire(Purpose::Connection));
        let slot: Slot = loop {
            match call.as_mut().poll(&mut context) {
                Poll::Ready(Ok(slot)) => break slot,
                Poll::Ready(Err(error)) => return assert_eq!(error.kind(), ErrorKind::PoolClosed),
                Poll::Pending if matches!(self, Self::GoesAway) || turns.is_stuck() => return,
                Poll::Pending => turns.pass(*me, Life::Asleep),
            }
        };
        drop(call);
        if let Self::Breaks = self {
            let lent = slot.conn().native().now_or_never().expect("no I/O").expect("it works");
            let driver: &Driver = lent.as_any().downcast_ref().expect("the fake driver");
            fake.set_status(driver.number, Status::Broken);
        }
        drop(slot);
    }
}

/// What the threads do, on how many connections, and whether these are open and idle before.
#[derive(Clone, Copy)]
struct Plan {
    parts: [Part; 3],
    connections: usize,
    warm: bool,
    preemptions: usize,
}

async fn tasks_run() {
    for _ in 0..12 {
        tokio::task::yield_now().await;
    }
}

impl Plan {
    fn has(&self, wanted: fn(&Part) -> bool) -> bool {
        self.parts.iter().any(wanted)
    }

    /// Runs one schedule; gives the search back.
    fn run(&self, mut search: Search) -> Search {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("no I/O");
        let fake = Fake::new();
        let pool = pool_of(&fake, self.connections);
        if self.warm {
            runtime.block_on(async {
                let mut held = Vec::new();
                for _ in 0..self.connections {
                    held.push(alone(&pool).await);
                }
            });
        }
        let players = self.parts.len() + 1;
        let mut lives = vec![Life::Ready; players];
        lives[players - 1] = Life::Asleep;
        let table = Table {
            now: search.below(self.parts.len()),
            lives,
            woken: vec![false; players],
            preemptions: self.preemptions,
            search,
            tasks: !self.warm || self.has(|part| matches!(part, Part::Breaks | Part::Closes)),
            stuck: false,
        };
        let turns = Arc::new(Turns { table: std::sync::Mutex::new(table), changed: Condvar::new() });
        std::thread::scope(|scope| {
            for (me, part) in self.parts.into_iter().enumerate() {
                let (turns, runtime, fake, pool) = (turns.clone(), &runtime, &fake, &pool);
                scope.spawn(move || {
                    let _inside = runtime.enter();
                    part.play(&Player::sits_down(turns, me), fake, pool);
                });
            }
            drive(&runtime, &Player::sits_down(turns.clone(), self.parts.len()));
        });
        let mut table = turns.table();
        assert!(!table.stuck, "somebody waits for ever: {:?} of {:?}", state(&pool), self.parts);
        self.check(&runtime, &fake, &pool);
        std::mem::take(&mut table.search)
    }

    fn check(&self, runtime: &Runtime, fake: &Fake, pool: &Arc<Inner>) {
        runtime.block_on(async {
            tasks_run().await;
            let [size, idle, in_use, waiting] = state(pool);
            assert_eq!((size, in_use, waiting), (idle, 0, 0), "a place was lost: {:?}", self.parts);
            assert_eq!(fake.live(), size);
            assert!(fake.most_live() <= self.connections);
            assert_eq!(fake.violations(), [""; 0]);
            if self.has(|part| matches!(part, Part::Closes)) {
                return assert_eq!(size, 0);
            }
            let mut held = Vec::new();
            for _ in 0..self.connections {
                held.push(alone(pool).await);
            }
        });
    }

    /// Runs all schedules, which are at least so many.
    fn all(&self, at_least: usize) {
        let mut search = self.run(Search::default());
        let mut schedules = 1;
        while search.turn() {
            search = self.run(search);
            schedules += 1;
        }
        assert!(schedules >= at_least, "only {schedules} schedules");
    }
}

/// Runs the pool's tasks whenever they may have work.
fn drive(runtime: &Runtime, player: &Player) {
    let Player(turns, me) = player;
    loop {
        let over = turns.others_are_over();
        runtime.block_on(tasks_run());
        if over || turns.is_stuck() {
            return;
        }
        turns.pass(*me, Life::Asleep);
    }
}

#[test]
fn three_threads_share_one_connection() {
    Plan { parts: [Part::Uses; 3], connections: 1, warm: true, preemptions: 3 }.all(3_100);
}

#[test]
fn a_thread_that_goes_away_passes_its_turn_on() {
    Plan { parts: [Part::Uses, Part::GoesAway, Part::Uses], connections: 1, warm: true, preemptions: 3 }.all(3_500);
}

#[test]
fn a_connection_opened_for_one_thread_serves_the_others() {
    Plan { parts: [Part::Uses, Part::GoesAway, Part::Uses], connections: 1, warm: false, preemptions: 1 }.all(6_600);
}

#[test]
fn a_connection_that_breaks_in_one_thread_leaves_its_place_to_the_others() {
    Plan { parts: [Part::Breaks, Part::Uses, Part::GoesAway], connections: 1, warm: true, preemptions: 1 }.all(1_500);
}

#[test]
fn a_close_meets_callers() {
    Plan { parts: [Part::Uses, Part::Closes, Part::Uses], connections: 1, warm: true, preemptions: 1 }.all(2_700);
}
