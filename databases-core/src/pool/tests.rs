//! Shared checkout, which nothing outside the pool can reach yet. All else is tested through the public API.

use std::sync::Arc;

// The scripted backend names this crate as its other users do.
extern crate self as databases_core;
#[path = "../../tests/support/mod.rs"]
mod support;
pub(super) mod threads;

use support::{Fake, settle_tasks, within};
use tokio::time::{Duration, timeout};

use super::{Checkout, Inner, PoolConfig, Purpose, Slot};
use crate::options::PoolOptions;

fn pool_of(fake: &Fake, max: usize) -> Arc<Inner> {
    let mut options = PoolOptions::default();
    (options.max_connections, options.acquire_timeout) = (Some(max), Duration::from_secs(2));
    Inner::new(PoolConfig::new("fake", Arc::new(fake.clone()), options)).unwrap()
}

async fn shared(pool: &Arc<Inner>, depth: usize) -> Option<Arc<Slot>> {
    within(pool.check_out(Purpose::Statement, Checkout::Shared { depth })).await.ok()
}

async fn alone(pool: &Arc<Inner>) -> Arc<Slot> {
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
    assert!(!Arc::ptr_eq(&first, &second));
    drop(second);
    assert_eq!(state(&pool), [2, 1, 1, 0]);
    let second = shared(&pool, 8).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    // Now they are, the least used first.
    let third = shared(&pool, 8).await.unwrap();
    let fourth = shared(&pool, 8).await.unwrap();
    assert!(!Arc::ptr_eq(&third, &fourth));
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
    assert!(Arc::ptr_eq(&lane, &joined));
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
