//! Shared checkout, which nothing outside the pool can reach yet. All else is tested through the public API.

use std::collections::VecDeque;
use std::sync::Arc;

// The scripted backend names this crate as its other users do.
extern crate self as databases_core;
#[path = "../../tests/support/mod.rs"]
mod support;
pub(super) mod threads;

use support::{Fake, settle_tasks, within};
use tokio::time::{Duration, timeout};

use super::lanes::Kind;
use super::{Checkout, Inner, Lease, PoolConfig, Purpose, Sharing};
use crate::options::PoolOptions;

fn pool_of(fake: &Fake, max: usize) -> Arc<Inner> {
    let mut options = PoolOptions::default();
    (options.max_connections, options.acquire_timeout) = (Some(max), Duration::from_secs(2));
    Inner::new(PoolConfig::new("fake", Arc::new(fake.clone()), options)).unwrap()
}

async fn shared(pool: &Arc<Inner>, depth: usize) -> Option<Lease> {
    share(pool, Sharing { kind: Kind::Writes, depth, width: usize::MAX, in_order: false }).await
}

async fn share(pool: &Arc<Inner>, sharing: Sharing) -> Option<Lease> {
    within(pool.check_out(Purpose::Statement, Checkout::Shared(sharing))).await.ok()
}

fn same(one: &Lease, other: &Lease) -> bool {
    std::ptr::eq(one.slot(), other.slot())
}

async fn alone(pool: &Arc<Inner>) -> Lease {
    within(pool.check_out(Purpose::Connection, Checkout::Exclusive)).await.unwrap()
}

/// size, idle, in use, waiting
fn state(pool: &Inner) -> [usize; 4] {
    let status = pool.status();
    [status.size, status.idle, status.in_use, status.waiting]
}

#[tokio::test(start_paused = true)]
async fn a_shared_checkout_takes_its_own_connection_as_long_as_there_is_one() {
    let fake = Fake::new();
    let pool = pool_of(&fake, 2);
    let first = shared(&pool, 8).await.unwrap();
    // One more can be opened, and later one is idle: neither is shared.
    let second = shared(&pool, 8).await.unwrap();
    assert!(!same(&first, &second));
    drop(second);
    assert_eq!(state(&pool), [2, 1, 1, 0]);
    let second = shared(&pool, 8).await.unwrap();
    assert!(!same(&first, &second));
    // Now they are, the least used first.
    let third = shared(&pool, 8).await.unwrap();
    let fourth = shared(&pool, 8).await.unwrap();
    assert!(!same(&third, &fourth));
    assert_eq!(state(&pool), [2, 0, 2, 0]);
    drop((first, second));
    assert_eq!(state(&pool), [2, 0, 2, 0], "given back when the last user drops it");
    drop((third, fourth));
    assert_eq!(state(&pool), [2, 2, 0, 0]);
    assert_eq!(fake.counts().connects, 2);
}

#[tokio::test(start_paused = true)]
async fn the_depth_of_a_lane_is_bounded() {
    let pool = pool_of(&Fake::new(), 1);
    let users = [shared(&pool, 3).await.unwrap(), shared(&pool, 3).await.unwrap(), shared(&pool, 3).await.unwrap()];
    assert!(shared(&pool, 3).await.is_none(), "the fourth waits for a connection, and times out");
    drop(users);
    assert_eq!(state(&pool), [1, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_has_ended_does_not_hide_another() {
    let pool = pool_of(&Fake::new(), 2);
    let ended = shared(&pool, 4).await.unwrap();
    let lane = shared(&pool, 4).await.unwrap();
    drop(ended);
    let _alone = alone(&pool).await;
    let joined = timeout(Duration::from_millis(1), shared(&pool, 4)).await.expect("nothing to wait for").unwrap();
    assert!(same(&lane, &joined));
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_checkout_is_never_joined() {
    let pool = pool_of(&Fake::new(), 1);
    let held = alone(&pool).await;
    assert!(shared(&pool, 8).await.is_none());
    drop(held);
    assert!(shared(&pool, 8).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_exclusive_checkout_closes_the_lane_to_newcomers() {
    let pool = pool_of(&Fake::new(), 1);
    let first = shared(&pool, 8).await.unwrap();
    let second = shared(&pool, 8).await.unwrap();
    let exclusive = tokio::spawn({
        let pool = pool.clone();
        async move { alone(&pool).await }
    });
    settle_tasks().await;
    assert_eq!(pool.status().waiting, 1);
    let newcomer = tokio::spawn({
        let pool = pool.clone();
        async move { shared(&pool, 8).await.unwrap() }
    });
    settle_tasks().await;
    assert_eq!(pool.status().waiting, 2);
    drop(first);
    settle_tasks().await;
    assert!(!exclusive.is_finished());
    drop(second);
    let held = within(exclusive).await.unwrap();
    assert!(!newcomer.is_finished());
    drop(held);
    within(newcomer).await.unwrap();
    assert_eq!(state(&pool), [1, 1, 0, 0]);
}

const READS: Sharing = Sharing { kind: Kind::Reads, depth: 8, width: 2, in_order: true };
const WRITES: Sharing = Sharing { kind: Kind::Writes, width: usize::MAX, ..READS };

/// What takes a place in the queue, or one at once.
fn queued(pool: &Arc<Inner>, sharing: Sharing) -> tokio::task::JoinHandle<Option<Lease>> {
    let pool = pool.clone();
    tokio::spawn(async move { share(&pool, sharing).await })
}

#[tokio::test(start_paused = true)]
async fn few_lanes_are_used_once_there_are_more_callers_than_connections() {
    let pool = pool_of(&Fake::new(), 4);
    let mut first = Vec::new();
    for _ in 0..4 {
        first.push(share(&pool, READS).await.unwrap());
    }
    assert_eq!(state(&pool), [4, 0, 4, 0], "each has a connection of its own as long as there is one");
    let mut more = Vec::new();
    for _ in 0..4 {
        more.push(share(&pool, READS).await.unwrap());
    }
    for (at, lease) in more.iter().enumerate() {
        assert!(same(lease, &first[at % 2]), "{at}: the first two lanes are filled, in turn");
    }
    // The others are free now, and those who share would take them all.
    first.truncate(2);
    assert_eq!(state(&pool), [4, 2, 2, 0]);
    let lease = share(&pool, READS).await.unwrap();
    assert!(same(&lease, &first[0]) || same(&lease, &first[1]));
    drop((lease, more));
    let lease = share(&pool, READS).await.unwrap();
    assert!(!same(&lease, &first[0]) && !same(&lease, &first[1]), "fewer callers than connections");
}

#[tokio::test(start_paused = true)]
async fn reads_and_writes_are_on_lanes_of_their_own() {
    let pool = pool_of(&Fake::new(), 2);
    let (read, write) = (share(&pool, READS).await.unwrap(), share(&pool, WRITES).await.unwrap());
    let (reads, writes) = (share(&pool, READS).await.unwrap(), share(&pool, WRITES).await.unwrap());
    assert!(same(&read, &reads) && same(&write, &writes) && !same(&read, &write));
}

#[tokio::test(start_paused = true)]
async fn a_lane_whose_first_is_late_takes_no_more() {
    let pool = pool_of(&Fake::new(), 1);
    let (mut first, second) = (share(&pool, READS).await.unwrap(), share(&pool, READS).await.unwrap());
    assert!(first.behind_since().is_none() && second.behind_since().is_some() && !second.is_first());
    tokio::time::advance(super::lanes::SLOW * 2).await;
    let waits = queued(&pool, READS);
    settle_tasks().await;
    assert_eq!(pool.status().waiting, 1);
    assert_eq!(first.finish(), Some(super::lanes::SLOW * 2));
    assert!(second.is_first());
    let third = within(waits).await.unwrap().unwrap();
    assert!(same(&second, &third), "it goes on with the next");
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_is_not_over() {
    let pool = pool_of(&Fake::new(), 1);
    let (first, mut second) = (share(&pool, READS).await.unwrap(), share(&pool, READS).await.unwrap());
    drop(first);
    assert!(!second.is_first(), "the server is busy with it");
    tokio::time::advance(super::lanes::SLOW * 2).await;
    let waits = queued(&pool, READS);
    settle_tasks().await;
    assert_eq!(pool.status().waiting, 1);
    second.finish();
    drop(second);
    within(waits).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lane_takes_no_more_than_is_soon_done() {
    let pool = pool_of(&Fake::new(), 1);
    let deep = Sharing { depth: 100, ..READS };
    let mut leases = Vec::new();
    for _ in 0..30 {
        leases.push(share(&pool, deep).await.unwrap());
    }
    // One every 100 µs: what is left now would take longer than a millisecond.
    for mut lease in leases.drain(..12) {
        tokio::time::advance(Duration::from_micros(100)).await;
        lease.finish();
    }
    let waits = queued(&pool, deep);
    settle_tasks().await;
    assert_eq!(pool.status().waiting, 1);
    for mut lease in leases.drain(..8) {
        tokio::time::advance(Duration::from_micros(100)).await;
        lease.finish();
    }
    within(waits).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_late_answer_does_not_close_a_new_lane() {
    let pool = pool_of(&Fake::new(), 1);
    let deep = Sharing { depth: 100, ..READS };
    let mut leases = Vec::new();
    for _ in 0..30 {
        leases.push(share(&pool, deep).await.unwrap());
    }
    leases.remove(0).finish();
    tokio::time::advance(Duration::from_micros(200)).await;
    leases.remove(0).finish();
    assert!(pool.check_out_at_once(Purpose::Statement, Checkout::Shared(deep)).is_some());
}

#[tokio::test(start_paused = true)]
async fn answers_that_come_together_do_not_close_a_lane() {
    let pool = pool_of(&Fake::new(), 1);
    let deep = Sharing { depth: 100, ..READS };
    let mut leases = VecDeque::new();
    for _ in 0..30 {
        leases.push_back(share(&pool, deep).await.unwrap());
    }
    // Half a millisecond for all of them, all of which is the first one's.
    for _ in 0..20 {
        tokio::time::advance(Duration::from_micros(500)).await;
        for _ in 0..30 {
            leases.pop_front().unwrap().finish();
            let next = pool.check_out_at_once(Purpose::Statement, Checkout::Shared(deep));
            leases.push_back(next.expect("the lane takes one more"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_stops_a_statement_has_its_connection_alone() {
    let pool = pool_of(&Fake::new(), 1);
    let (first, second) = (share(&pool, READS).await.unwrap(), share(&pool, READS).await.unwrap());
    assert!(!first.take_alone() && !second.take_alone());
    drop(second);
    assert!(first.take_alone());
    let waits = queued(&pool, READS);
    settle_tasks().await;
    assert_eq!(pool.status().waiting, 1, "nobody joins any more");
    drop(first);
    within(waits).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_alone_is_served_before_those_who_would_share() {
    let pool = pool_of(&Fake::new(), 1);
    let (first, second) = (share(&pool, READS).await.unwrap(), share(&pool, READS).await.unwrap());
    let exclusive = tokio::spawn({
        let pool = pool.clone();
        async move { alone(&pool).await }
    });
    settle_tasks().await;
    let sharers = [queued(&pool, READS), queued(&pool, READS), queued(&pool, READS)];
    settle_tasks().await;
    assert_eq!(pool.status().waiting, 4, "the lane is closed to newcomers");
    drop(first);
    settle_tasks().await;
    assert_eq!(pool.status().waiting, 4);
    drop(second);
    let held = within(exclusive).await.unwrap();
    assert_eq!(pool.status().waiting, 3);
    drop(held);
    let mut leases = Vec::new();
    for waiter in sharers {
        leases.push(within(waiter).await.unwrap().unwrap());
    }
    assert!(same(&leases[0], &leases[1]) && same(&leases[0], &leases[2]), "and they share again");
    drop(leases);
    assert_eq!(state(&pool), [1, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn waiters_that_go_away_leave_no_seat_taken() {
    let pool = pool_of(&Fake::new(), 1);
    let (mut first, second) = (share(&pool, READS).await.unwrap(), share(&pool, READS).await.unwrap());
    tokio::time::advance(super::lanes::SLOW * 2).await;
    let waiters: Vec<_> = (0..3).map(|_| queued(&pool, READS)).collect();
    settle_tasks().await;
    first.finish();
    // Seated, and gone before they know.
    waiters.iter().for_each(|waiter| waiter.abort());
    settle_tasks().await;
    drop((first, second));
    settle_tasks().await;
    assert_eq!(state(&pool), [1, 1, 0, 0]);
    assert!(pool.lock().lanes.is_empty());
}

#[test]
fn only_short_plain_statements_share() {
    let fake = Fake::new().in_order_lanes();
    let pool = pool_of(&fake, 1);
    let checkout = |sql: &str, runs: &[u64]| {
        let template = crate::sql::scan(sql, pool.dialect()).unwrap();
        runs.iter().for_each(|millis| Inner::note_run(&template, Duration::from_millis(*millis), 1));
        matches!(pool.checkout_of(&template, true), Checkout::Shared(_))
    };
    for sql in ["SELECT 1", "WITH a AS (SELECT 1) SELECT * FROM a", "INSERT INTO t VALUES (:a)", "DELETE FROM t"] {
        assert!(checkout(sql, &[1]), "{sql}");
        assert!(!checkout(sql, &[]), "{sql}: never run");
        assert!(!checkout(sql, &[1, 50]), "{sql}: it was slow");
        assert!(!checkout(sql, &[50, 1]), "{sql}: it was slow of late");
        assert!(checkout(sql, &[&[1; 600][..], &[50]].concat()), "{sql}: one run may be slow");
        let template = crate::sql::scan(sql, pool.dialect()).unwrap();
        Inner::note_run(&template, Duration::ZERO, 1);
        let whole = |whole| matches!(pool.checkout_of(&template, whole), Checkout::Shared(_));
        assert!(whole(true) && !whole(false), "{sql}: left unprepared, or with limits");
    }
    for sql in [
        "SELECT * FROM t FOR UPDATE",
        "SELECT * FROM t FOR SHARE",
        "SELECT set_config('a.b', 'c', false)",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT nextval('s')",
        "CREATE TEMP TABLE t (a int)",
        "CREATE TABLE t (a int)",
        "SET a = 1",
        "LISTEN a",
        "CALL a()",
        "COPY t FROM '/a'",
    ] {
        assert!(!checkout(sql, &[1]), "{sql}");
    }
    let template = crate::sql::scan("SELECT 1", pool.dialect()).unwrap();
    Inner::note_run(&template, Duration::ZERO, 1_000_000);
    assert!(matches!(pool.checkout_of(&template, true), Checkout::Exclusive), "a large result");
}
