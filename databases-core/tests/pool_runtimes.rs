//! The pool on runtimes that come and go, on the scripted backend and the real clock.

mod support;

use std::time::Duration;

use ::databases_core;
use databases_core::backend::Status;
use databases_core::{ErrorKind, Executor, Pool, PoolOptions};
use support::{Connect, Does, Fake, Gate, hold, poll_once, pool_of, pool_with, secs, settle_tasks, state};
use tokio::time::{sleep, timeout};

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Limits short enough to wait for.
fn short(max: usize) -> impl FnOnce(&mut PoolOptions) {
    move |options| {
        options.max_connections = Some(max);
        options.acquire_timeout = secs(5);
        (options.connect_timeout, options.close_timeout) = (millis(100), millis(100));
    }
}

#[test]
fn nothing_happens_before_the_first_use() {
    let fake = Fake::new();
    let pool = pool_with(&fake, |options| options.min_connections = 2, |_| ());
    assert_eq!(state(&pool), [0; 5]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let other = pool_with(&fake, |options| options.min_connections = 2, |_| ());
        settle_tasks().await;
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
        drop(other);
    });
    assert_eq!(fake.counts().attempts, 0);
}

#[derive(Clone, Copy, Debug)]
enum Leaves {
    Clean,
    DroppedTransaction,
    DroppedStatement,
    ChangedSession,
    DroppedWaiter,
    DroppedWhileConnecting,
    Expired,
}

fn runtime(multi: bool) -> tokio::runtime::Runtime {
    let mut builder =
        if multi { tokio::runtime::Builder::new_multi_thread() } else { tokio::runtime::Builder::new_current_thread() };
    builder.enable_all().worker_threads(2).build().unwrap()
}

async fn leave(fake: &Fake, pool: &Pool, what: Leaves) {
    match what {
        Leaves::Clean => drop(pool.execute("SELECT 1", ()).await.unwrap()),
        Leaves::DroppedTransaction => {
            let tx = pool.begin().await.unwrap();
            tx.execute("INSERT 1", ()).await.unwrap();
        }
        Leaves::DroppedStatement => {
            pool.execute("SELECT 1", ()).await.unwrap();
            let mut running = Box::pin(pool.execute("SELECT 2", ()));
            assert!(poll_once(&mut running).is_pending());
        }
        Leaves::ChangedSession => drop(pool.execute("FROB it", ()).await.unwrap()),
        Leaves::DroppedWaiter => {
            let _conn = pool.acquire().await.unwrap();
            let mut waiter = Box::pin(pool.acquire());
            assert!(poll_once(&mut waiter).is_pending());
        }
        Leaves::DroppedWhileConnecting => {
            let conn = pool.acquire().await.unwrap();
            fake.set_status(fake.counts().connects - 1, Status::Broken);
            drop(conn);
            // Another thread may have connected before this one looks.
            let _ = poll_once(&mut Box::pin(pool.acquire()));
        }
        Leaves::Expired => {
            let conn = pool.acquire().await.unwrap();
            sleep(Duration::from_millis(30)).await;
            drop(conn);
        }
    }
}

/// One after another, each runtime uses the pool and leaves something behind; it is dropped, or kept and never driven
/// again.
fn runtimes_take_turns(kept: bool) {
    use Leaves::*;
    std::thread::scope(|scope| {
        for bound in [false, true] {
            for multi in [[false, false, true], [false, true, false], [true, false, true]] {
                for what in [
                    Clean,
                    DroppedTransaction,
                    DroppedStatement,
                    ChangedSession,
                    DroppedWaiter,
                    DroppedWhileConnecting,
                    Expired,
                ] {
                    scope.spawn(move || take_turns(kept, bound, multi, what));
                }
            }
        }
    });
}

fn take_turns(kept: bool, bound: bool, multi: [bool; 3], what: Leaves) {
    let fake = Fake::new().runtime_bound(bound);
    let adjust = |options: &mut PoolOptions| {
        options.max_connections = Some(1);
        options.acquire_timeout = secs(600);
        options.connect_timeout = secs(1);
        options.close_timeout = secs(1);
        if let Leaves::Expired = what {
            options.max_lifetime = Duration::from_millis(20);
        }
    };
    let pool = pool_with(&fake, adjust, |_| ());
    let case = format!("{what:?}, bound: {bound}, multi: {multi:?}, kept: {kept}");
    let mut parked = Vec::new();
    for multi in multi {
        let runtime = runtime(multi);
        let before = std::time::Instant::now();
        runtime.block_on(async {
            let got = timeout(secs(1200), pool.execute("INSERT 'a'", ())).await;
            got.unwrap_or_else(|_| panic!("hangs: {case}")).unwrap_or_else(|error| panic!("{case}: {error}"));
            timeout(secs(1200), leave(&fake, &pool, what)).await.expect("hangs");
        });
        assert!(before.elapsed() < secs(450), "{case}: {:?}", before.elapsed());
        if kept { parked.push(runtime) } else { drop(runtime) }
    }
    // Driven again, the others find their places taken, and take nothing back.
    for runtime in &parked {
        runtime.block_on(async { sleep(Duration::from_millis(30)).await });
    }
    let status = pool.status();
    assert_eq!((status.in_use, status.connecting, status.waiting), (0, 0, 0), "{case}");
    if kept {
        assert_eq!((status.size, fake.live()), (status.idle, status.idle), "{case}");
    }
    let used = fake.counts().connects;
    assert!(!bound || used >= 3, "{case}: a foreign connection is replaced");
    assert_eq!(fake.violations(), [""; 0], "{case}");
    assert_eq!(fake.committed().iter().filter(|text| *text == "INSERT 'a'").count(), 3, "{case}");
    assert!(!fake.committed().contains(&"INSERT 1".to_owned()), "{case}");
}

#[test]
fn a_pool_outlives_the_runtimes_it_was_used_on() {
    runtimes_take_turns(false);
}

#[test]
fn a_pool_moves_on_from_a_runtime_that_is_no_longer_driven() {
    runtimes_take_turns(true);
}

#[test]
fn a_waiter_goes_on_when_the_runtime_that_was_connecting_is_dropped() {
    let fake = Fake::new();
    fake.next_connect(Connect::Hangs);
    let pool = pool_of(&fake, 1);
    let first = runtime(true);
    let doomed = first.spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.map(|_| ()) }
    });
    while fake.counts().attempts == 0 {
        std::thread::yield_now();
    }
    let second = runtime(true);
    let served = second.spawn({
        let pool = pool.clone();
        async move { pool.execute("SELECT 1", ()).await.map(|_| ()) }
    });
    while pool.status().waiting < 2 {
        std::thread::yield_now();
    }
    drop(first);
    drop(doomed);
    second.block_on(async { timeout(secs(5), served).await.expect("hangs").unwrap().unwrap() });
    assert_eq!((pool.status().size, pool.status().waiting), (1, 0));
}

#[test]
fn two_runtimes_that_live_side_by_side_keep_their_own_connections() {
    let fake = Fake::new().runtime_bound(true);
    let pool = pool_of(&fake, 4);
    let runtimes = [runtime(true), runtime(true)];
    for _ in 0..10 {
        for runtime in &runtimes {
            runtime.block_on(async { pool.execute("SELECT 1", ()).await.unwrap() });
        }
    }
    assert_eq!((fake.counts().connects, pool.status().size), (2, 2));
    // Where there is no room for two, the foreign one goes.
    let fake = Fake::new().runtime_bound(true);
    let pool = pool_of(&fake, 1);
    for _ in 0..3 {
        for runtime in &runtimes {
            runtime.block_on(async { pool.execute("SELECT 1", ()).await.unwrap() });
        }
    }
    assert_eq!((fake.counts().connects, fake.most_live(), fake.violations().len()), (6, 1, 0));
}

#[test]
fn an_idle_connection_serves_its_runtime_while_others_wait_for_another() {
    let fake = Fake::new().runtime_bound(true);
    let pool = pool_of(&fake, 2);
    let (first, second) = (runtime(true), runtime(true));
    first.block_on(async { pool.execute("SELECT 1", ()).await.unwrap() });
    fake.connect(Connect::Hangs);
    let waiting = second.spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.map(|_| ()) }
    });
    while pool.status().waiting == 0 {
        std::thread::yield_now();
    }
    first.block_on(async {
        timeout(secs(2), pool.execute("SELECT 2", ())).await.expect("it is idle").unwrap();
    });
    assert!(!waiting.is_finished());
}

#[test]
fn an_attempt_that_is_not_driven_holds_up_no_other() {
    let fake = Fake::new().runtime_bound(true);
    let pool = pool_with(&fake, short(2), |_| ());
    let (parked, other) = (runtime(false), runtime(false));
    parked.block_on(async {
        let _held = hold(&pool, 1).await;
        fake.connect(Connect::Fails(ErrorKind::Connect));
        // The attempt sleeps until its next turn.
        assert!(timeout(millis(50), pool.acquire()).await.is_err());
    });
    other.block_on(async {
        let back = fake.clone();
        tokio::spawn(async move {
            sleep(millis(300)).await;
            back.connect(Connect::Works);
        });
        let got = timeout(millis(800), pool.execute("SELECT 1", ())).await;
        got.expect("hangs").unwrap();
    });
}

#[test]
fn the_minimum_being_opened_on_a_runtime_that_is_not_driven_is_taken_over() {
    let fake = Fake::new().runtime_bound(true);
    let adjust = |options: &mut PoolOptions| {
        short(2)(options);
        options.min_connections = 2;
    };
    let pool = pool_with(&fake, adjust, |_| ());
    let (parked, other) = (runtime(false), runtime(false));
    parked.block_on(async {
        fake.next_connect(Connect::Works);
        fake.next_connect(Connect::Hangs);
        pool.connect().await.unwrap();
        settle_tasks().await;
    });
    assert_eq!((fake.counts().attempts, state(&pool)), (2, [2, 1, 0, 1, 0]));
    other.block_on(async { assert_eq!(hold(&pool, 2).await.len(), 2) });
    parked.block_on(async { sleep(millis(30)).await });
    assert!(pool.status().size <= 2 && fake.live() <= 2);
    assert_eq!(fake.violations(), [""; 0]);
}

#[test]
fn idle_connections_are_looked_after_on_another_runtime_when_one_is_not_driven() {
    let fake = Fake::new();
    let pool = pool_with(&fake, |options| options.idle_timeout = millis(200), |_| ());
    let (parked, other) = (runtime(false), runtime(false));
    parked.block_on(async { drop(hold(&pool, 3).await) });
    other.block_on(async {
        for _ in 0..10 {
            pool.execute("SELECT 1", ()).await.unwrap();
            sleep(millis(100)).await;
        }
    });
    assert_eq!(pool.status().size, 1);
}

#[test]
fn runtimes_that_end_together_with_waiters_on_all_are_no_endless_round() {
    let fake = Fake::new();
    fake.connect(Connect::Hangs);
    let pool = pool_with(&fake, short(1), |_| ());
    let mut runtimes = Vec::new();
    let mut waiters = Vec::new();
    for _ in 0..2 {
        let runtime = runtime(false);
        // Not a task of the runtime, so the end of the runtime is not its end.
        let mut waiter = Box::pin(pool.acquire());
        runtime.block_on(async {
            assert!(poll_once(&mut waiter).is_pending());
            settle_tasks().await;
        });
        waiters.push(waiter);
        runtimes.push(runtime);
    }
    drop(runtimes);
    assert_eq!(state(&pool), [0; 5]);
    fake.connect(Connect::Works);
    runtime(false).block_on(async {
        for waiter in waiters {
            let error = timeout(secs(1), waiter).await.expect("hangs").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connect);
        }
        timeout(secs(1), pool.execute("SELECT 1", ())).await.expect("hangs").unwrap();
    });
}

#[test]
fn the_only_connection_is_not_given_up_while_it_is_cleaned_elsewhere() {
    let fake = Fake::new().single();
    let gate = Gate::new();
    fake.on_times("ROLLBACK", 1, Does::Waits(gate.clone()));
    let adjust = |options: &mut PoolOptions| {
        options.acquire_timeout = millis(800);
        options.close_timeout = millis(100);
    };
    let pool = pool_with(&fake, adjust, |_| ());
    let (parked, other) = (runtime(false), runtime(false));
    parked.block_on(async {
        drop(pool.begin().await.unwrap());
        settle_tasks().await;
    });
    other.block_on(async {
        assert_eq!(pool.execute("SELECT 1", ()).await.unwrap_err().kind(), ErrorKind::PoolTimeout);
    });
    gate.open();
    parked.block_on(async { sleep(millis(30)).await });
    other.block_on(async { pool.execute("SELECT 2", ()).await.unwrap() });
    assert_eq!((fake.counts().connects, fake.counts().gone), (1, 0));
    assert_eq!(fake.violations(), [""; 0]);
}
