//! The pool on a scripted backend, on a paused clock where time matters.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::databases_core;
use databases_core::backend::Status;
use databases_core::{Connection, Error, ErrorKind, Executor, FromRow, Pool, PoolConfig, PoolOptions, Result, Row};
use futures_util::StreamExt as _;
use support::{
    Connect, Does, Driver, Fake, Gate, hold, poll_once, pool_of, pool_with, secs, settle_tasks, state, within,
};
use tokio::time::{Instant, advance, sleep, timeout};

/// Which connection was sent `text`.
fn which(fake: &Fake, text: &str) -> Vec<usize> {
    (0..fake.counts().connects).filter(|conn| fake.log(*conn).iter().any(|sent| sent == text)).collect()
}

fn sound(fake: &Fake) {
    assert_eq!(fake.violations(), [""; 0]);
}

// ---- limits -----------------------------------------------------------------------------------------------------

#[test]
fn limits_that_contradict_each_other_are_errors() {
    let pool = |fake: Fake, min, max, force_rollback| {
        let mut options = PoolOptions::default();
        (options.min_connections, options.max_connections, options.force_rollback) = (min, max, force_rollback);
        Pool::new(PoolConfig::new("fake", Arc::new(fake), options)).map(|pool| pool.status().max_connections)
    };
    assert_eq!(pool(Fake::new(), 0, None, false).unwrap(), 10);
    assert_eq!(pool(Fake::new().single(), 0, None, false).unwrap(), 1);
    assert_eq!(pool(Fake::new(), 0, None, true).unwrap(), 1);
    for (fake, min, max, force) in [
        (Fake::new(), 0, Some(0), false),
        (Fake::new(), 3, Some(2), false),
        (Fake::new().single(), 0, Some(2), false),
        (Fake::new(), 0, Some(2), true),
    ] {
        assert_eq!(pool(fake, min, max, force).unwrap_err().kind(), ErrorKind::Url);
    }
}

#[tokio::test(start_paused = true)]
async fn never_more_than_max_connections_even_while_closing() {
    let fake = Fake::new().no_reset();
    fake.connect(Connect::Takes(Duration::from_millis(20)));
    fake.close_takes(Duration::from_millis(300));
    let pool = pool_of(&fake, 3);
    let tasks: Vec<_> = (0..60)
        .map(|nth| {
            let pool = pool.clone();
            tokio::spawn(async move {
                // Every second one leaves a connection that has to be closed.
                let text = if nth % 2 == 0 { "FROB it" } else { "SELECT 1" };
                pool.execute(text, ()).await.unwrap();
                assert!(pool.status().size <= 3);
            })
        })
        .collect();
    for task in tasks {
        within(task).await.unwrap();
    }
    assert!(fake.counts().connects > 10, "{:?}", fake.counts());
    assert_eq!(fake.most_live(), 3);
    sound(&fake);
}

// ---- the queue --------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_the_order_they_came_and_nobody_overtakes() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 1);
    let held = hold(&pool, 1).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..100)
        .map(|nth| {
            let (pool, order) = (pool.clone(), order.clone());
            tokio::spawn(async move {
                let conn = pool.acquire().await.unwrap();
                order.lock().unwrap().push(nth);
                drop(conn);
                // Comes back at once, and has to stand behind all others.
                drop(pool.acquire().await.unwrap());
                order.lock().unwrap().push(100 + nth);
            })
        })
        .collect();
    settle_tasks().await;
    assert_eq!(pool.status().waiting, 100);
    drop(held);
    for task in tasks {
        within(task).await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..200).collect::<Vec<_>>());
    assert_eq!(state(&pool), [1, 1, 0, 0, 0]);
    assert_eq!(fake.counts().connects, 1);
}

#[tokio::test(start_paused = true)]
async fn the_connection_used_last_is_used_first() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 3);
    let held = hold(&pool, 3).await;
    for (nth, conn) in held.iter().enumerate() {
        conn.execute(format!("SELECT {nth}"), ()).await.unwrap();
    }
    let mut held = held.into_iter();
    let (first, second, third) = (held.next().unwrap(), held.next().unwrap(), held.next().unwrap());
    drop(second);
    drop(first);
    drop(third);
    within(pool.execute("SELECT 'a'", ())).await.unwrap();
    assert_eq!(which(&fake, "SELECT 'a'"), which(&fake, "SELECT 2"));
    let _third = hold(&pool, 1).await;
    within(pool.execute("SELECT 'b'", ())).await.unwrap();
    assert_eq!(which(&fake, "SELECT 'b'"), which(&fake, "SELECT 0"));
}

#[tokio::test(start_paused = true)]
async fn a_released_connection_goes_straight_to_the_first_waiter() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 1);
    let held = hold(&pool, 1).await;
    let mut waiter = Box::pin(pool.acquire());
    assert!(poll_once(&mut waiter).is_pending());
    drop(held);
    // Nobody else can take it, though the waiter was not polled yet.
    assert_eq!(state(&pool), [1, 0, 1, 0, 0]);
    let mut late = Box::pin(pool.acquire());
    assert!(poll_once(&mut late).is_pending());
    let got = within(waiter).await.unwrap();
    assert!(poll_once(&mut late).is_pending());
    drop(got);
    within(late).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_waiter_dropped_after_it_was_handed_a_connection_passes_it_on() {
    // mysql_async's pool hangs here for ever; psycopg has the same test.
    let fake = Fake::new();
    let pool = pool_of(&fake, 1);
    let held = hold(&pool, 1).await;
    let mut a = Box::pin(pool.acquire());
    let mut b = Box::pin(pool.acquire());
    assert!(poll_once(&mut a).is_pending() && poll_once(&mut b).is_pending());
    drop(held);
    drop(a);
    drop(timeout(secs(1), b).await.expect("b gets what a was handed").unwrap());
    assert_eq!(state(&pool), [1, 1, 0, 0, 0]);
    assert_eq!(fake.counts().connects, 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_dropped_while_its_connection_is_opened_passes_it_on() {
    let fake = Fake::new();
    fake.connect(Connect::Takes(secs(1)));
    let pool = pool_of(&fake, 1);
    let mut a = Box::pin(pool.acquire());
    let mut b = Box::pin(pool.acquire());
    assert!(poll_once(&mut a).is_pending() && poll_once(&mut b).is_pending());
    drop(a);
    drop(timeout(secs(2), b).await.expect("b gets what was opened for a").unwrap());
    assert_eq!(fake.counts().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn cancelled_waiters_leave_no_trace() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 3);
    let held = hold(&pool, 3).await;
    let tasks: Vec<_> = (0..9)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { drop(pool.acquire().await) })
        })
        .collect();
    settle_tasks().await;
    assert_eq!(state(&pool), [3, 0, 3, 0, 9]);
    for task in tasks {
        task.abort();
        assert!(within(task).await.unwrap_err().is_cancelled());
    }
    assert_eq!(state(&pool), [3, 0, 3, 0, 0]);
    drop(held);
    assert_eq!(state(&pool), [3, 3, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_waiters_half_of_them_cancelled() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 4);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks: Vec<_> = (0..10_000)
        .map(|nth| {
            let (pool, order) = (pool.clone(), order.clone());
            tokio::spawn(async move {
                let conn = pool.acquire().await.unwrap();
                if nth % 2 == 0 {
                    order.lock().unwrap().push(nth);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
                drop(conn);
            })
        })
        .collect();
    settle_tasks().await;
    let mut seed = 1u64;
    for pair in (0..5_000).rev() {
        // Some before they are served, some after, in a scattered order.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        tasks[pair * 2 + 1].abort();
        if seed >> 60 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for task in tasks.drain(..).step_by(2) {
        within(task).await.unwrap();
    }
    settle_tasks().await;
    assert_eq!(state(&pool), [4, 4, 0, 0, 0]);
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 5_000);
    assert!(order.is_sorted(), "nobody overtakes");
    assert_eq!(fake.counts().connects, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancelling_on_many_threads_loses_no_connection() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 3);
    let tasks: Vec<_> = (0..2_000u64)
        .map(|nth| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let patience = Duration::from_micros(nth * 7919 % 3000);
                if let Ok(conn) = timeout(patience, pool.acquire()).await {
                    let conn = conn.unwrap();
                    if nth % 3 == 0 {
                        tokio::task::yield_now().await;
                    }
                    drop(conn);
                }
            })
        })
        .collect();
    for task in tasks {
        timeout(secs(60), task).await.expect("hangs").unwrap();
    }
    for _ in 0..500 {
        if pool.status().connecting == 0 {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    let status = pool.status();
    assert_eq!((status.in_use, status.waiting, status.connecting), (0, 0, 0));
    assert_eq!(status.size, status.idle);
    assert!(fake.most_live() <= 3);
    let held = timeout(secs(10), hold(&pool, 3)).await.expect("all three are there");
    drop(held);
    sound(&fake);
}

// ---- timeouts and connect errors --------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn an_acquire_timeout_says_who_holds_what_and_how_many_wait() {
    let fake = Fake::new();
    fake.on("SELECT many", Does::Rows(10));
    let pool =
        pool_with(&fake, |options| (options.max_connections, options.acquire_timeout) = (Some(3), secs(2)), |_| ());
    let _transaction = within(pool.begin()).await.unwrap();
    advance(secs(10)).await;
    let _connection = within(pool.acquire()).await.unwrap();
    let mut stream = pool.iterate::<Row>("SELECT many", ());
    within(stream.next()).await.unwrap().unwrap();
    let other = {
        let pool = pool.clone();
        tokio::spawn(async move { pool.execute("SELECT 1", ()).await.map(|_| ()) })
    };
    settle_tasks().await;
    let before = Instant::now();
    let error = within(pool.acquire()).await.unwrap_err();
    assert_eq!(before.elapsed(), secs(2));
    assert_eq!(error.kind(), ErrorKind::PoolTimeout);
    let text = error.to_string();
    for part in [
        "within 2 s",
        "all were in use",
        "3 of 3 connections open",
        "1 by an acquired connection",
        "1 by a transaction",
        "1 by an open stream",
        "the longest for 12.0 s by a transaction",
    ] {
        assert!(text.contains(part), "`{part}` in {text}");
    }
    assert!(text.contains("waiting") && !text.contains("connect failed"), "{text}");
    assert_eq!(within(other).await.unwrap().unwrap_err().kind(), ErrorKind::PoolTimeout);
    assert_eq!(pool.status().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn an_acquire_timeout_names_the_last_connect_error_until_a_connection_works() {
    let fake = Fake::new();
    let pool =
        pool_with(&fake, |options| (options.max_connections, options.acquire_timeout) = (Some(1), secs(2)), |_| ());
    within(pool.execute("SELECT 1", ())).await.unwrap();
    fake.connect(Connect::Fails(ErrorKind::Connect));
    fake.set_status(0, Status::Broken);
    let error = within(pool.execute("SELECT 1", ())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PoolTimeout);
    let text = error.to_string();
    assert!(text.contains("connection was being opened") || text.contains("connections were being opened"), "{text}");
    assert!(text.contains("the last attempt to connect failed: the fake server says Connect"), "{text}");
    // Later it works again, and the old error is no longer the reason for anything.
    fake.connect(Connect::Works);
    sleep(secs(1)).await;
    let _held = hold(&pool, 1).await;
    let text = within(pool.acquire()).await.unwrap_err().to_string();
    assert!(!text.contains("connect failed"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_reaches_the_caller_at_once_and_is_not_retried() {
    let fake = Fake::new();
    fake.connect(Connect::Fails(ErrorKind::Authentication));
    let pool = pool_of(&fake, 4);
    let before = Instant::now();
    let error = within(pool.execute("SELECT 1", ())).await.unwrap_err();
    assert_eq!((error.kind(), before.elapsed()), (ErrorKind::Authentication, Duration::ZERO));
    assert_eq!(fake.counts().attempts, 1);
    // Many callers at once: no more attempts than connections.
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.acquire().await.unwrap_err().kind() })
        })
        .collect();
    for task in tasks {
        assert_eq!(within(task).await.unwrap(), ErrorKind::Authentication);
    }
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert!(fake.counts().attempts <= 5, "{:?}", fake.counts());
    assert_eq!(state(&pool), [0; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_refused_once_a_connection_was_lost_reaches_all_callers_at_once() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 100);
    drop(hold(&pool, 20).await);
    fake.cut_all();
    fake.connect(Connect::Fails(ErrorKind::Authentication));
    let before = Instant::now();
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.execute("SELECT 1", ()).await.unwrap_err().kind() })
        })
        .collect();
    for task in tasks {
        let kind = within(task).await.unwrap();
        assert!(matches!(kind, ErrorKind::Authentication | ErrorKind::Disconnected), "{kind:?}");
    }
    for _ in 0..10 {
        assert_eq!(within(pool.acquire()).await.unwrap_err().kind(), ErrorKind::Authentication);
    }
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_beside_connections_in_use_is_not_retried_either() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 4);
    let held = hold(&pool, 1).await;
    fake.connect(Connect::Fails(ErrorKind::Authentication));
    let before = Instant::now();
    let error = within(pool.execute("SELECT 1", ())).await.unwrap_err();
    assert_eq!((error.kind(), before.elapsed()), (ErrorKind::Authentication, Duration::ZERO));
    assert_eq!(fake.counts().attempts, 2);
    drop(held);
    within(pool.execute("SELECT 1", ())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_never_there_is_not_waited_for() {
    let fake = Fake::new();
    fake.connect(Connect::Fails(ErrorKind::Connect));
    let pool = pool_of(&fake, 4);
    let before = Instant::now();
    assert_eq!(within(pool.connect()).await.unwrap_err().kind(), ErrorKind::Connect);
    assert_eq!((before.elapsed(), fake.counts().attempts), (Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_went_away_is_waited_for_with_few_attempts() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 10);
    drop(hold(&pool, 10).await);
    fake.cut_all();
    fake.connect(Connect::Fails(ErrorKind::Connect));
    // Somebody notices.
    assert_eq!(within(pool.execute("SELECT 1", ())).await.unwrap_err().kind(), ErrorKind::Disconnected);
    let (away, before) = (Instant::now(), fake.attempts_at().len());
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.execute("SELECT 2", ()).await.map(|_| ()) })
        })
        .collect();
    sleep(secs(20)).await;
    fake.connect(Connect::Works);
    let back = Instant::now();
    for task in tasks {
        within(task).await.unwrap().unwrap();
    }
    assert!(back.elapsed() < secs(1), "{:?}", back.elapsed());
    let attempts = &fake.attempts_at()[before..];
    for second in 0..20 {
        let (from, to) = (away + secs(second), away + secs(second + 1));
        let count = attempts.iter().filter(|at| **at >= from && **at < to).count();
        assert!((1..=5).contains(&count), "{count} attempts in second {second}");
    }
    sound(&fake);
}

#[tokio::test(start_paused = true)]
async fn callers_in_a_hurry_reach_a_server_that_is_away_no_more_often() {
    let fake = Fake::new();
    let brief =
        |options: &mut PoolOptions| (options.max_connections, options.acquire_timeout) = (Some(10), secs(1) / 20);
    let pool = pool_with(&fake, brief, |_| ());
    within(pool.execute("SELECT 1", ())).await.unwrap();
    fake.connect(Connect::Fails(ErrorKind::Connect));
    fake.set_status(0, Status::Broken);
    let (away, before) = (Instant::now(), fake.counts().attempts);
    while away.elapsed() < secs(10) {
        let error = within(pool.execute("SELECT 2", ())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PoolTimeout);
        assert!(error.to_string().contains("the fake server says Connect"), "{error}");
    }
    let attempts = fake.counts().attempts - before;
    assert!((30..=51).contains(&attempts), "{attempts} attempts in 10 s");
    fake.connect(Connect::Works);
    let back = Instant::now();
    while within(pool.execute("SELECT 3", ())).await.is_err() {
        assert!(back.elapsed() < secs(1), "{:?}", back.elapsed());
    }
    sound(&fake);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_full_is_waited_for_from_the_start() {
    let fake = Fake::new();
    fake.connect(Connect::IsFull);
    let pool =
        pool_with(&fake, |options| (options.max_connections, options.acquire_timeout) = (Some(2), secs(3)), |_| ());
    let before = Instant::now();
    let error = within(pool.execute("SELECT 1", ())).await.unwrap_err();
    assert_eq!((error.kind(), before.elapsed()), (ErrorKind::PoolTimeout, secs(3)));
    assert!(error.to_string().contains("the fake server has too many"), "{error}");
    let pool_too = pool.clone();
    let waiting = tokio::spawn(async move { pool_too.execute("SELECT 1", ()).await.map(|_| ()) });
    sleep(secs(1)).await;
    fake.connect(Connect::Works);
    let back = Instant::now();
    within(waiting).await.unwrap().unwrap();
    assert!(back.elapsed() < secs(1), "{:?}", back.elapsed());
    sound(&fake);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_driver_while_connecting_is_an_error() {
    let fake = Fake::new();
    fake.next_connect(Connect::Panics);
    let pool = pool_of(&fake, 1);
    let before = Instant::now();
    let error = within(pool.execute("SELECT 1", ())).await.unwrap_err();
    assert_eq!((error.kind(), before.elapsed()), (ErrorKind::Internal, Duration::ZERO));
    within(pool.execute("SELECT 1", ())).await.unwrap();
    assert_eq!(state(&pool), [1, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn connect_timeout_covers_password_handshake_and_hook() {
    for case in ["handshake", "hook", "password"] {
        let fake = Fake::new();
        fake.connect(if case == "handshake" { Connect::Hangs } else { Connect::Takes(secs(1)) });
        let pool = pool_with(
            &fake,
            |options| options.connect_timeout = secs(3),
            |config| match case {
                "hook" => config.after_connect = Some(Arc::new(|_| Box::pin(std::future::pending()))),
                "password" => config.password_provider = Some(Arc::new(|| Box::pin(std::future::pending()))),
                _ => {}
            },
        );
        let before = Instant::now();
        let error = within(pool.acquire()).await.unwrap_err();
        assert_eq!((error.kind(), before.elapsed()), (ErrorKind::ConnectTimeout, secs(3)), "{case}");
        assert_eq!(error.to_string(), "connecting to fake.example took longer than connect_timeout, 3 s");
        settle_tasks().await;
        assert_eq!((state(&pool), fake.live()), ([0; 5], 0), "{case}");
        assert_eq!(fake.counts().closes, usize::from(case == "hook"), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn times_without_end_are_no_panic() {
    let fake = Fake::new().no_reset();
    let pool = pool_with(
        &fake,
        |options| {
            options.max_connections = Some(1);
            for time in [
                &mut options.acquire_timeout,
                &mut options.connect_timeout,
                &mut options.idle_timeout,
                &mut options.max_lifetime,
                &mut options.close_timeout,
            ] {
                *time = Duration::MAX;
            }
            options.statement_timeout = Some(Duration::MAX);
        },
        |_| (),
    );
    drop(within(pool.begin()).await.unwrap());
    let held = hold(&pool, 1).await;
    let mut waiter = Box::pin(pool.execute("FROB it", ()));
    assert!(poll_once(&mut waiter).is_pending());
    drop(held);
    within(waiter).await.unwrap();
    within(pool.execute("SELECT 1", ())).await.unwrap();
    within(pool.close()).await.unwrap();
    sound(&fake);
}

// ---- time -------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn connections_end_within_their_lifetime_and_not_all_at_once() {
    let fake = Fake::new();
    let pool =
        pool_with(&fake, |options| (options.max_lifetime, options.idle_timeout) = (secs(1000), Duration::ZERO), |_| ());
    drop(hold(&pool, 10).await);
    sleep(secs(899)).await;
    assert_eq!(fake.counts().gone, 0);
    let mut ends = std::collections::BTreeSet::new();
    for _ in 0..150 {
        let gone = fake.counts().gone;
        sleep(secs(1)).await;
        if fake.counts().gone > gone {
            ends.insert(fake.counts().gone);
        }
    }
    assert_eq!(fake.counts().gone, 10);
    assert_eq!(fake.counts().closes, 10);
    assert!(ends.len() > 1, "not all at once");
}

#[tokio::test(start_paused = true)]
async fn a_connection_past_its_lifetime_is_closed_when_it_comes_back() {
    let fake = Fake::new();
    let pool = pool_with(&fake, |options| options.max_lifetime = secs(60), |_| ());
    let held = hold(&pool, 1).await;
    sleep(secs(300)).await;
    assert_eq!(fake.counts().gone, 0, "never while in use");
    drop(held);
    settle_tasks().await;
    assert_eq!((fake.counts().closes, state(&pool)), (1, [0; 5]));
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_down_to_the_minimum_and_the_minimum_is_refilled() {
    let fake = Fake::new();
    let pool = pool_with(
        &fake,
        |options| {
            options.min_connections = 2;
            options.idle_timeout = secs(10);
            options.max_lifetime = secs(10_000);
        },
        |_| (),
    );
    within(pool.connect()).await.unwrap();
    settle_tasks().await;
    assert_eq!(state(&pool), [2, 2, 0, 0, 0], "connect() fills up to the minimum");
    drop(hold(&pool, 5).await);
    assert_eq!(pool.status().size, 5);
    sleep(secs(9)).await;
    assert_eq!(pool.status().size, 5);
    sleep(secs(10)).await;
    assert_eq!(state(&pool), [2, 2, 0, 0, 0]);
    // Past their lifetime, they are replaced.
    sleep(secs(10_100)).await;
    assert_eq!(state(&pool), [2, 2, 0, 0, 0]);
    assert_eq!(fake.counts().connects, 7);
    // Lost, they are replaced without anybody asking.
    let held = hold(&pool, 2).await;
    fake.set_status(5, Status::Broken);
    fake.set_status(6, Status::Broken);
    drop(held);
    sleep(secs(30)).await;
    assert_eq!(state(&pool), [2, 2, 0, 0, 0]);
    assert_eq!(fake.counts().connects, 9);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_pinged_only_after_thirty_seconds_of_idling() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 1);
    for _ in 0..10 {
        within(pool.execute("SELECT 1", ())).await.unwrap();
        sleep(secs(29)).await;
    }
    assert_eq!(fake.counts().pings, 0);
    sleep(secs(2)).await;
    within(pool.execute("SELECT 1", ())).await.unwrap();
    within(pool.execute("SELECT 1", ())).await.unwrap();
    assert_eq!((fake.counts().pings, fake.counts().connects), (1, 1));
    // A waiter gets it without.
    let held = hold(&pool, 1).await;
    let mut waiter = Box::pin(pool.acquire());
    assert!(poll_once(&mut waiter).is_pending());
    drop(held);
    within(waiter).await.unwrap();
    assert_eq!(fake.counts().pings, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_driver_does_not_notice_a_close_is_pinged_after_a_second() {
    let fake = Fake::new().notices_close(false);
    let pool = pool_of(&fake, 1);
    for _ in 0..10 {
        within(pool.execute("SELECT 1", ())).await.unwrap();
        sleep(Duration::from_millis(900)).await;
    }
    assert_eq!(fake.counts().pings, 0);
    sleep(secs(1)).await;
    fake.cut(0);
    within(pool.execute("INSERT 2", ())).await.unwrap();
    assert_eq!((fake.counts().pings, fake.counts().connects), (1, 2));
    assert_eq!(which(&fake, "INSERT 2"), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_died_idle_is_replaced_unseen() {
    for hangs in [false, true] {
        let fake = Fake::new();
        let pool = pool_of(&fake, 1);
        within(pool.execute("SELECT 1", ())).await.unwrap();
        sleep(secs(31)).await;
        if hangs {
            fake.ping_takes(secs(3600))
        } else {
            fake.cut(0)
        }
        within(pool.execute("INSERT 2", ())).await.unwrap();
        assert_eq!((fake.counts().pings, fake.counts().connects), (1, 2));
        assert_eq!(fake.log(1), ["INSERT 2"]);
        assert_eq!((state(&pool), fake.most_live()), ([1, 1, 0, 0, 0], 1), "hangs: {hangs}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_connection_the_others_are_asked_before_use() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 3);
    let mut held = hold(&pool, 3).await;
    let in_use_meanwhile = held.pop().unwrap();
    drop(held);
    fake.cut(1);
    let error = within(pool.execute("SELECT 1", ())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert_eq!(fake.counts().pings, 0);
    // The idle one, dead as well, is found out before the statement is sent.
    fake.cut(0);
    within(pool.execute("INSERT 2", ())).await.unwrap();
    assert_eq!(fake.counts().pings, 1);
    assert_eq!(which(&fake, "INSERT 2"), [3]);
    // And so is the one that was in use meanwhile.
    fake.cut(2);
    drop(in_use_meanwhile);
    within(pool.execute("INSERT 3", ())).await.unwrap();
    assert_eq!(fake.counts().pings, 2);
    // Those opened since are not asked.
    within(pool.execute("INSERT 4", ())).await.unwrap();
    assert_eq!(fake.counts().pings, 2);
}

// ---- cleaning ---------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_session_is_reset_only_if_it_was_changed() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 1);
    for text in ["SELECT 1", "INSERT 1", "CREATE TABLE t (a INT)"] {
        within(pool.execute(text, ())).await.unwrap();
    }
    let tx = within(pool.begin()).await.unwrap();
    within(tx.commit()).await.unwrap();
    drop(within(pool.begin()).await.unwrap());
    settle_tasks().await;
    assert_eq!(fake.counts().resets, 0);
    // A class that is not known, on the pool and on a connection; a script; the driver itself.
    within(pool.execute("FROB it", ())).await.unwrap();
    settle_tasks().await;
    assert_eq!(fake.counts().resets, 1);
    let conn = within(pool.acquire()).await.unwrap();
    within(conn.execute("CREATE TEMP TABLE t (a INT)", ())).await.unwrap();
    drop(conn);
    settle_tasks().await;
    assert_eq!(fake.counts().resets, 2);
    within(pool.execute_script("SELECT 1; FROB it")).await.unwrap();
    settle_tasks().await;
    assert_eq!(fake.counts().resets, 3);
    let mut conn = within(pool.acquire()).await.unwrap();
    let wrong = within(conn.native::<String>()).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Unsupported);
    assert!(wrong.to_string().contains("support::Driver"), "{wrong}");
    within(conn.native::<Driver>()).await.unwrap().touched = true;
    drop(conn);
    // Nobody waits for the background: the next user resets it as well.
    within(pool.execute("SELECT 1", ())).await.unwrap();
    assert_eq!((fake.counts().resets, fake.counts().connects), (4, 1));
    sound(&fake);
}

#[tokio::test(start_paused = true)]
async fn a_changed_session_that_cannot_be_reset_is_closed() {
    for hook in [false, true] {
        let fake = if hook { Fake::new() } else { Fake::new().no_reset() };
        let pool = pool_with(
            &fake,
            |options| options.max_connections = Some(1),
            |config| {
                if hook {
                    config.after_connect = Some(Arc::new(|_| Box::pin(async { Ok(()) })));
                }
            },
        );
        within(pool.execute("FROB it", ())).await.unwrap();
        settle_tasks().await;
        assert_eq!((fake.counts().gone, state(&pool)), (1, [0; 5]), "hook: {hook}");
        // The next user, quicker than the background, gets a new one as well.
        within(pool.execute("FROB it", ())).await.unwrap();
        within(pool.execute("SELECT 1", ())).await.unwrap();
        assert_eq!((fake.counts().connects, fake.log(2)), (3, vec!["SELECT 1".to_owned()]));
        assert_eq!(fake.counts().resets, if hook { 0 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_statement_is_settled_before_the_next_user() {
    for bound in [false, true] {
        let fake = Fake::new().runtime_bound(bound);
        let pool = pool_of(&fake, 1);
        for polls in 0..6 {
            let mut running = Box::pin(pool.execute("INSERT 1", ()));
            for _ in 0..polls {
                if poll_once(&mut running).is_ready() {
                    break;
                }
                settle_tasks().await;
            }
            drop(running);
            within(pool.execute("SELECT 1", ())).await.unwrap();
        }
        settle_tasks().await;
        assert!(fake.counts().settles > 0);
        assert_eq!((state(&pool), fake.counts().connects), ([1, 1, 0, 0, 0], 1));
        sound(&fake);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_settle_is_replaced() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 1);
    fake.on("SELECT slow", Does::Waits(Gate::new()));
    fake.settle_hangs(true);
    let stuck = timeout(secs(1), pool.execute("SELECT slow", ())).await;
    assert!(stuck.is_err());
    let before = Instant::now();
    within(pool.execute("SELECT 1", ())).await.unwrap();
    assert!(before.elapsed() <= secs(10), "{:?}", before.elapsed());
    assert_eq!((fake.counts().connects, fake.most_live()), (2, 1));
}

/// A transaction that is dropped, and a caller who comes before its connection is cleaned.
async fn come_while_unclean(pool: &Pool) -> Result<()> {
    let tx = within(pool.begin()).await.unwrap();
    within(tx.execute("INSERT 1", ())).await.unwrap();
    drop(tx);
    within(pool.execute("SELECT 1", ())).await.map(|_| ())
}

#[tokio::test(start_paused = true)]
async fn cleaning_goes_on_when_whoever_waits_for_it_has_gone() {
    for (single, force) in [(false, false), (true, false), (false, true)] {
        for dropped in [false, true] {
            let fake = if single { Fake::new().single() } else { Fake::new() };
            fake.on("ROLLBACK", Does::Takes(secs(3)));
            let adjust = |options: &mut PoolOptions| {
                (options.max_connections, options.acquire_timeout) = (Some(1), secs(if dropped { 30 } else { 1 }));
                options.force_rollback = force;
            };
            let pool = pool_with(&fake, adjust, |_| ());
            if dropped {
                assert!(timeout(secs(1), come_while_unclean(&pool)).await.is_err());
            } else {
                let error = come_while_unclean(&pool).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::PoolTimeout);
                assert!(error.to_string().contains("it was being cleaned"), "{error}");
            }
            assert_eq!((pool.status().size, pool.status().idle), (1, 0));
            sleep(secs(3)).await;
            assert_eq!(state(&pool), [1, 1, 0, 0, 0]);
            within(pool.execute("SELECT 2", ())).await.unwrap();
            assert_eq!((fake.counts().connects, fake.counts().gone, fake.counts().settles), (1, 0, 0));
            sound(&fake);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_only_connection_is_kept_when_it_cannot_be_cleaned() {
    for force in [false, true] {
        let fake = if force { Fake::new() } else { Fake::new().single() };
        let pool = pool_with(&fake, |options| options.force_rollback = force, |_| ());
        // It takes longer than close_timeout, or fails.
        for does in [Does::Takes(secs(8)), Does::Fails(ErrorKind::Database, None)] {
            fake.on_times("ROLLBACK", 1, does);
            let error = come_while_unclean(&pool).await.unwrap_err();
            assert!(error.to_string().contains("could not be cleaned and is kept"), "{error}");
            sleep(secs(10)).await;
            assert_eq!(state(&pool), [1, 1, 0, 0, 0], "nobody cleans it over and over");
            within(pool.execute("SELECT 2", ())).await.unwrap();
            assert_eq!((fake.counts().connects, fake.counts().gone), (1, 0));
        }
        // In the background as well.
        fake.on_times("ROLLBACK", 1, Does::Takes(secs(8)));
        drop(within(pool.begin()).await.unwrap());
        sleep(secs(20)).await;
        within(pool.execute("SELECT 2", ())).await.unwrap();
        assert_eq!((fake.counts().connects, fake.counts().gone), (1, 0));
        assert_eq!(fake.committed(), [""; 0]);
        sound(&fake);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_before_another_is_opened_in_its_place() {
    let fake = Fake::new().no_reset();
    fake.close_takes(Duration::from_millis(300));
    let pool = pool_of(&fake, 1);
    within(pool.execute("FROB it", ())).await.unwrap();
    let before = Instant::now();
    within(pool.execute("SELECT 1", ())).await.unwrap();
    assert!(before.elapsed() >= Duration::from_millis(300));
    assert_eq!((fake.counts().closes, fake.counts().connects, fake.most_live()), (1, 2, 1));
}

struct Panics;

impl FromRow for Panics {
    fn from_row(_: &Row) -> Result<Self> {
        panic!("a row that panics")
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_borrowed_during_a_panic_is_discarded() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 1);
    for (nth, case) in ["connection", "transaction", "decoding", "stream"].into_iter().enumerate() {
        let task = tokio::spawn({
            let pool = pool.clone();
            async move {
                match case {
                    "connection" => {
                        let _conn = pool.acquire().await.unwrap();
                        panic!("while borrowed")
                    }
                    "transaction" => {
                        let _tx = pool.begin().await.unwrap();
                        panic!("while borrowed")
                    }
                    "decoding" => drop(pool.fetch_all::<Panics>("SELECT 1", ()).await),
                    _ => drop(pool.iterate::<Panics>("SELECT 1", ()).next().await),
                }
            }
        });
        assert!(within(task).await.unwrap_err().is_panic(), "{case}");
        settle_tasks().await;
        assert_eq!((fake.counts().gone, state(&pool)), (nth + 1, [0; 5]), "{case}");
    }
    within(pool.execute("SELECT 1", ())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_only_connection_is_kept_as_long_as_it_works() {
    let fake = Fake::new().single();
    let pool = pool_with(&fake, |options| options.max_lifetime = secs(60), |_| ());
    within(pool.execute("SELECT 1", ())).await.unwrap();
    sleep(secs(7200)).await;
    within(pool.execute("FROB it", ())).await.unwrap();
    settle_tasks().await;
    let task = tokio::spawn({
        let pool = pool.clone();
        async move {
            let tx = pool.begin().await.unwrap();
            tx.execute("INSERT 1", ()).await.unwrap();
            panic!("while borrowed")
        }
    });
    assert!(within(task).await.unwrap_err().is_panic());
    settle_tasks().await;
    within(pool.execute("SELECT 2", ())).await.unwrap();
    let counts = fake.counts();
    assert_eq!((counts.connects, counts.gone, counts.resets, counts.pings), (1, 0, 0, 0));
    assert_eq!(fake.log(0), ["SELECT 1", "FROB it", "BEGIN", "INSERT 1", "ROLLBACK", "SELECT 2"]);
    // Broken, it is not replaced by an empty one, as if nothing had happened.
    fake.set_status(0, Status::Broken);
    for _ in 0..2 {
        let error = within(pool.execute("SELECT 3", ())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PoolClosed, "{error}");
    }
    assert_eq!(fake.counts().connects, 1);
}

#[tokio::test(start_paused = true)]
async fn what_force_rollback_has_lost_is_told() {
    let fake = Fake::new();
    let pool = pool_with(&fake, |options| options.force_rollback = true, |_| ());
    within(pool.execute("INSERT 1", ())).await.unwrap();
    fake.set_status(0, Status::Broken);
    settle_tasks().await;
    for _ in 0..2 {
        let error = within(pool.execute("SELECT 1", ())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TransactionEnded, "{error}");
    }
    assert!(within(pool.begin()).await.is_err());
    assert_eq!(fake.counts().connects, 1);
}

// ---- hooks ------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn after_connect_runs_once_on_each_new_connection() {
    let fake = Fake::new();
    let pool = pool_with(
        &fake,
        |_| (),
        |config| {
            config.after_connect = Some(Arc::new(|conn: &Connection| {
                Box::pin(async move {
                    conn.execute("PRAGMA foo = 1", ()).await?;
                    // What it leaves open is nobody's.
                    conn.execute("BEGIN", ()).await.map(|_| ())
                })
            }));
        },
    );
    drop(hold(&pool, 2).await);
    within(pool.execute("SELECT 1", ())).await.unwrap();
    within(pool.execute("SELECT 1", ())).await.unwrap();
    assert_eq!(fake.counts().connects, 2);
    for conn in 0..2 {
        assert_eq!(fake.log(conn)[..3], ["PRAGMA foo = 1", "BEGIN", "ROLLBACK"]);
        assert!(!fake.log(conn)[3..].iter().any(|text| text.starts_with("PRAGMA")));
    }
    assert_eq!((fake.counts().resets, fake.counts().gone), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_after_connect_is_the_callers_and_closes_the_connection() {
    let fake = Fake::new();
    let pool = pool_with(
        &fake,
        |_| (),
        |config| {
            config.after_connect = Some(Arc::new(|conn: &Connection| {
                Box::pin(async move { conn.execute("PRAGMA foo = 1", ()).await.map(|_| ()) })
            }));
        },
    );
    fake.on_times("PRAGMA", 1, Does::Fails(ErrorKind::Syntax, None));
    let error = within(pool.execute("SELECT 1", ())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Syntax);
    assert!(error.to_string().starts_with("after_connect failed: "), "{error}");
    settle_tasks().await;
    assert_eq!((fake.counts().closes, fake.live(), state(&pool)), (1, 0, [0; 5]));
    within(pool.execute("SELECT 1", ())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_password_provider_is_asked_for_each_attempt() {
    let fake = Fake::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let pool = pool_with(
        &fake,
        |_| (),
        |config| {
            config.password_provider = Some(Arc::new(move || {
                let nth = counter.fetch_add(1, SeqCst);
                Box::pin(async move {
                    if nth == 2 {
                        return Err(Error::new(ErrorKind::Database, "no token"));
                    }
                    Ok(format!("token {nth}"))
                })
            }));
        },
    );
    fake.next_connect(Connect::Fails(ErrorKind::Authentication));
    assert_eq!(within(pool.acquire()).await.unwrap_err().kind(), ErrorKind::Authentication);
    let held = hold(&pool, 1).await;
    let error = within(pool.acquire()).await.unwrap_err();
    assert!(error.to_string().contains("the password provider failed: no token"), "{error}");
    assert!(!format!("{pool:?}").contains("token"));
    drop(held);
    assert_eq!(fake.passwords(), [Some("token 0".to_owned()), Some("token 1".to_owned())]);
    assert_eq!(asked.load(SeqCst), 3);
}

// ---- the end ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn close_fails_waiters_and_waits_for_those_in_use() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 2);
    let mut held = hold(&pool, 2).await;
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.map(|_| ()) }
    });
    settle_tasks().await;
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.close().await }
    });
    assert_eq!(within(waiter).await.unwrap().unwrap_err().kind(), ErrorKind::PoolClosed);
    assert_eq!(within(pool.execute("SELECT 1", ())).await.unwrap_err().kind(), ErrorKind::PoolClosed);
    assert_eq!(within(pool.begin()).await.unwrap_err().kind(), ErrorKind::PoolClosed);
    assert_eq!(
        within(pool.execute_many("INSERT 1", Vec::<()>::new())).await.unwrap_err().kind(),
        ErrorKind::PoolClosed
    );
    assert!(pool.is_closed());
    // Those in use go on working.
    within(held[0].execute("SELECT 2", ())).await.unwrap();
    sleep(secs(1)).await;
    held.pop();
    sleep(secs(1)).await;
    assert!(!closing.is_finished());
    held.pop();
    within(closing).await.unwrap().unwrap();
    assert_eq!((fake.counts().closes, state(&pool)), (2, [0; 5]));
    // Again: nothing to do.
    within(pool.close()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn close_gives_up_after_close_timeout_and_names_what_is_in_use() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 3);
    let tx = within(pool.begin()).await.unwrap();
    drop(hold(&pool, 1).await);
    let before = Instant::now();
    let error = within(pool.close()).await.unwrap_err();
    assert_eq!((error.kind(), before.elapsed()), (ErrorKind::PoolTimeout, secs(5)));
    assert!(error.to_string().contains("1 by a transaction"), "{error}");
    assert_eq!((fake.counts().closes, pool.status().size), (1, 1));
    within(tx.execute("INSERT 1", ())).await.unwrap();
    within(tx.commit()).await.unwrap();
    settle_tasks().await;
    assert_eq!((fake.counts().closes, pool.status().size), (2, 0));
    assert_eq!(fake.committed(), ["INSERT 1"]);
}

#[tokio::test(start_paused = true)]
async fn close_waits_for_connections_being_opened_and_says_so() {
    let fake = Fake::new();
    fake.connect(Connect::Hangs);
    let pool = pool_of(&fake, 3);
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.map(|_| ()) }
    });
    settle_tasks().await;
    let error = within(pool.close()).await.unwrap_err();
    assert!(error.to_string().contains("1 being opened"), "{error}");
    assert_eq!(within(waiter).await.unwrap().unwrap_err().kind(), ErrorKind::PoolClosed);
    sleep(secs(10)).await;
    assert_eq!((pool.status().size, fake.live()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn close_now_waits_for_nothing() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 2);
    let held = hold(&pool, 1).await;
    let before = Instant::now();
    within(pool.close_now()).await;
    assert!(before.elapsed() <= Duration::from_millis(1));
    assert!(pool.is_closed());
    drop(held);
    settle_tasks().await;
    assert_eq!((fake.counts().closes, state(&pool)), (1, [0; 5]));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_close_future_has_closed_the_pool() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 2);
    let held = hold(&pool, 1).await;
    let mut closing = Box::pin(pool.close());
    assert!(poll_once(&mut closing).is_pending());
    drop(closing);
    assert_eq!(within(pool.acquire()).await.unwrap_err().kind(), ErrorKind::PoolClosed);
    drop(held);
    settle_tasks().await;
    assert_eq!(fake.counts().gone, 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_takes_the_connections_with_it() {
    let fake = Fake::new();
    let pool = pool_with(&fake, |options| options.min_connections = 2, |_| ());
    within(pool.connect()).await.unwrap();
    settle_tasks().await;
    let clone = pool.clone();
    drop(pool);
    within(clone.execute("SELECT 1", ())).await.unwrap();
    assert_eq!(fake.counts().gone, 0);
    let held = hold(&clone, 1).await;
    drop(clone);
    sleep(secs(1)).await;
    assert_eq!(fake.counts().gone, 0, "a connection in use keeps its pool");
    within(held[0].execute("SELECT 1", ())).await.unwrap();
    drop(held);
    settle_tasks().await;
    assert_eq!((fake.counts().gone, fake.live()), (2, 0));
    sleep(secs(60)).await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pool_dropped_while_a_server_is_away_stops_trying() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 2);
    within(pool.execute("SELECT 1", ())).await.unwrap();
    fake.connect(Connect::Fails(ErrorKind::Connect));
    fake.set_status(0, Status::Broken);
    assert!(timeout(secs(1), pool.execute("SELECT 1", ())).await.is_err());
    drop(pool);
    sleep(secs(40)).await;
    let attempts = fake.counts().attempts;
    sleep(secs(40)).await;
    assert_eq!((fake.counts().attempts, fake.live()), (attempts, 0));
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_task_outlives_the_pool() -> Result<()> {
    for closed in [true, false] {
        let fake = Fake::new();
        let pool = pool_of(&fake, 2);
        within(pool.connect()).await?;
        let metrics = tokio::runtime::Handle::current().metrics();
        assert_ne!(metrics.num_alive_tasks(), 0, "something looks after idle connections");
        if closed {
            within(pool.close()).await?;
        } else {
            drop(pool);
        }
        settle_tasks().await;
        assert_eq!(metrics.num_alive_tasks(), 0);
    }
    Ok(())
}
