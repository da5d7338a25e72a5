//! Transactions, streams and calls on a scripted backend: what is sent, in which order, and what is left behind.

mod support;

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::databases_core;
use databases_core::backend::Status;
use databases_core::{
    Connection, Effect, Error, ErrorKind, Executor, Params, Pool, RawExecutor, Result, Row, Transaction,
    TransactionOptions, sql,
};
use futures_util::{FutureExt as _, StreamExt as _};
use support::{Does, Fake, Gate, pool_of, pool_with, settle_tasks, within};
use tokio::time::{Instant, sleep, timeout};

const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn poll_once<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls at most `polls` times and drops the future; whether it was ready.
async fn drop_after<F: Future>(future: F, polls: usize) -> bool {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        if poll_once(&mut future).is_ready() {
            return true;
        }
        settle_tasks().await;
    }
    false
}

fn one() -> (Fake, Pool) {
    let fake = Fake::new();
    let pool = pool_of(&fake, 1);
    (fake, pool)
}

fn forced(fake: &Fake) -> Pool {
    pool_with(fake, |options| options.force_rollback = true, |_| ())
}

/// The next user gets a session outside any transaction; then what was sent.
async fn clean_log(fake: &Fake, pool: &Pool) -> Vec<String> {
    settle_tasks().await;
    within(pool.execute("SELECT 'next'", ())).await.unwrap();
    settle_tasks().await;
    let status = pool.status();
    assert_eq!((status.in_use, status.waiting, status.connecting, status.idle), (0, 0, 0, status.size));
    assert_eq!(fake.violations(), [""; 0]);
    let mut log = fake.log(fake.counts().connects - 1);
    assert_eq!(log.pop().as_deref(), Some("SELECT 'next'"));
    log
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

// ---- sequences --------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn what_failed_in_a_dropped_savepoint_does_not_spoil_the_commit_around_it() -> Result<()> {
    let (fake, pool) = one();
    fake.on("INSERT 'nothing'", Does::Fails(ErrorKind::CheckViolation, Some(Status::Failed)));
    let tx = within(pool.begin()).await?;
    within(tx.execute("INSERT 1", ())).await?;
    let inner = within(tx.begin()).await?;
    within(inner.execute("INSERT 2", ())).await?;
    assert_eq!(kind(within(inner.execute("INSERT 'nothing'", ())).await), ErrorKind::CheckViolation);
    drop(inner);
    within(tx.commit()).await?;
    assert_eq!(fake.committed(), ["INSERT 1"]);
    assert_eq!(fake.violations(), [""; 0]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn transactions_and_savepoints_are_sent_in_order() -> Result<()> {
    let (fake, pool) = one();
    let tx = within(pool.begin()).await?;
    within(tx.execute("INSERT 1", ())).await?;
    let inner = within(tx.begin()).await?;
    within(inner.execute("INSERT 2", ())).await?;
    let deepest = within(inner.begin()).await?;
    within(deepest.execute("INSERT 3", ())).await?;
    within(deepest.commit()).await?;
    within(inner.rollback()).await?;
    within(tx.execute("INSERT 4", ())).await?;
    within(tx.commit()).await?;
    assert_eq!(
        clean_log(&fake, &pool).await,
        [
            "BEGIN",
            "INSERT 1",
            "SAVEPOINT 2",
            "INSERT 2",
            "SAVEPOINT 3",
            "INSERT 3",
            "RELEASE 3",
            "ROLLBACK TO 2",
            "RELEASE 2",
            "INSERT 4",
            "COMMIT"
        ]
    );
    assert_eq!(fake.committed(), ["INSERT 1", "INSERT 4"]);
    fake.forget_log();
    let tx = within(pool.begin_with(TransactionOptions::new().read_only(true))).await?;
    let error = within(tx.begin_with(TransactionOptions::new().read_only(true))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    within(tx.begin_with(TransactionOptions::new().retry(3))).await?.commit().await?;
    within(tx.rollback()).await?;
    assert_eq!(clean_log(&fake, &pool).await, ["BEGIN READ ONLY", "SAVEPOINT 5", "RELEASE 5", "ROLLBACK"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_free_again_after_its_transaction() -> Result<()> {
    let (fake, pool) = one();
    let conn = within(pool.acquire()).await?;
    let tx = within(conn.begin()).await?;
    assert_eq!(conn.status(), Status::InTransaction);
    within(tx.commit()).await?;
    within(conn.execute("INSERT 1", ())).await?;
    drop(within(conn.begin()).await?);
    within(conn.execute("INSERT 2", ())).await?;
    drop(conn);
    assert_eq!(clean_log(&fake, &pool).await, ["BEGIN", "COMMIT", "INSERT 1", "BEGIN", "ROLLBACK", "INSERT 2"]);
    Ok(())
}

// ---- drops ------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_dropped_transaction_is_rolled_back_before_the_next_user() -> Result<()> {
    for bound in [false, true] {
        let fake = Fake::new().runtime_bound(bound);
        let pool = pool_of(&fake, 1);
        let tx = within(pool.begin()).await?;
        within(tx.execute("INSERT 1", ())).await?;
        drop(tx);
        // At once, quicker than the background; and to somebody who waits.
        within(pool.execute("INSERT 2", ())).await?;
        let tx = within(pool.begin()).await?;
        within(tx.execute("INSERT 3", ())).await?;
        let mut waiter = Box::pin(pool.execute("INSERT 4", ()));
        assert!(poll_once(&mut waiter).is_pending());
        drop(tx);
        within(waiter).await?;
        // And to nobody: in the background.
        drop(within(pool.begin()).await?);
        settle_tasks().await;
        assert_eq!(fake.log(0).last().unwrap(), "ROLLBACK");
        assert_eq!(fake.committed(), ["INSERT 2", "INSERT 4"]);
        assert_eq!((fake.counts().connects, fake.counts().resets), (1, 0));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_transaction_in_an_aborted_task_is_rolled_back() -> Result<()> {
    let (fake, pool) = one();
    fake.on("SELECT slow", Does::Waits(Gate::new()));
    let task = tokio::spawn({
        let pool = pool.clone();
        async move {
            let tx = pool.begin().await?;
            tx.execute("INSERT 1", ()).await?;
            tx.execute("SELECT slow", ()).await?;
            tx.commit().await
        }
    });
    settle_tasks().await;
    task.abort();
    assert!(within(task).await.unwrap_err().is_cancelled());
    assert_eq!(clean_log(&fake, &pool).await, ["BEGIN", "INSERT 1", "SELECT slow", "ROLLBACK"]);
    assert_eq!((fake.committed().len(), fake.counts().settles), (0, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_dropped_child_is_rolled_back_before_its_parents_next_statement() -> Result<()> {
    let (fake, pool) = one();
    let tx = within(pool.begin()).await?;
    let child = within(tx.begin()).await?;
    within(child.execute("INSERT 1", ())).await?;
    let grandchild = within(child.begin()).await?;
    drop(grandchild);
    drop(child);
    within(tx.execute("INSERT 2", ())).await?;
    drop(within(tx.begin()).await?);
    within(tx.commit()).await?;
    assert_eq!(
        clean_log(&fake, &pool).await,
        [
            "BEGIN",
            "SAVEPOINT 2",
            "INSERT 1",
            "SAVEPOINT 3",
            "ROLLBACK TO 2",
            "RELEASE 2",
            "INSERT 2",
            "SAVEPOINT 4",
            "ROLLBACK TO 4",
            "RELEASE 4",
            "COMMIT"
        ]
    );
    assert_eq!(fake.committed(), ["INSERT 2"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_child_is_over_when_its_parent_is() -> Result<()> {
    let (fake, pool) = one();
    let conn = within(pool.acquire()).await?;
    let tx = within(conn.begin()).await?;
    let child = within(tx.begin()).await?;
    drop(tx);
    assert_eq!(kind(within(child.execute("INSERT 1", ())).await), ErrorKind::TransactionEnded);
    assert_eq!(kind(within(child.commit()).await), ErrorKind::TransactionEnded);
    // The same after the connection has gone on.
    let tx = within(conn.begin()).await?;
    let child = within(tx.begin()).await?;
    drop(tx);
    within(conn.execute("INSERT 2", ())).await?;
    let next = within(conn.begin()).await?;
    let nested = within(next.begin()).await?;
    assert_eq!(kind(within(child.execute("INSERT 3", ())).await), ErrorKind::TransactionEnded);
    drop(child);
    within(nested.commit()).await?;
    within(next.commit()).await?;
    drop(conn);
    clean_log(&fake, &pool).await;
    assert_eq!(fake.committed(), ["INSERT 2"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_dropped_statement_dooms_its_transaction() -> Result<()> {
    for polls in 1..4 {
        for rolls_back in [false, true] {
            let (fake, pool) = one();
            let tx = within(pool.begin()).await?;
            within(tx.execute("INSERT 1", ())).await?;
            assert!(!drop_after(tx.execute("SELECT 1", ()), polls.min(2)).await);
            let sent = fake.log(0).len();
            assert_eq!(kind(within(tx.execute("INSERT 2", ())).await), ErrorKind::TransactionEnded);
            assert_eq!(kind(within(tx.begin()).await), ErrorKind::TransactionEnded);
            assert_eq!(fake.log(0).len(), sent, "nothing is sent");
            if rolls_back {
                within(tx.rollback()).await?;
            } else {
                assert_eq!(kind(within(tx.commit()).await), ErrorKind::TransactionEnded);
            }
            assert_eq!(clean_log(&fake, &pool).await.last().unwrap(), "ROLLBACK");
            assert_eq!((fake.committed().len(), fake.counts().connects), (0, 1));
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_dropped_statement_of_a_child_dooms_the_child_alone() -> Result<()> {
    let (fake, pool) = one();
    let tx = within(pool.begin()).await?;
    within(tx.execute("INSERT 1", ())).await?;
    let child = within(tx.begin()).await?;
    assert!(!drop_after(child.execute("INSERT 2", ()), 2).await);
    assert_eq!(kind(within(child.execute("INSERT 3", ())).await), ErrorKind::TransactionEnded);
    within(child.rollback()).await?;
    within(tx.execute("INSERT 4", ())).await?;
    within(tx.commit()).await?;
    clean_log(&fake, &pool).await;
    assert_eq!(fake.committed(), ["INSERT 1", "INSERT 4"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_begin_dropped_at_any_poll_leaves_nothing() -> Result<()> {
    for polls in 0..8 {
        let (fake, pool) = one();
        drop_after(pool.begin(), polls).await;
        clean_log(&fake, &pool).await;
        let conn = within(pool.acquire()).await?;
        drop_after(conn.begin(), polls).await;
        within(conn.execute("INSERT 1", ())).await?;
        assert_eq!(fake.committed(), ["INSERT 1"], "after {polls} polls");
        let tx = within(conn.begin()).await?;
        drop_after(tx.begin(), polls).await;
        within(tx.execute("INSERT 2", ())).await?;
        within(tx.commit()).await?;
        drop(conn);
        clean_log(&fake, &pool).await;
        assert_eq!(fake.committed(), ["INSERT 1", "INSERT 2"], "after {polls} polls");
        assert_eq!(fake.counts().connects, 1);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_dropped_commit_has_committed_or_rolled_back() -> Result<()> {
    for polls in 0..5 {
        let (fake, pool) = one();
        let conn = within(pool.acquire()).await?;
        let tx = within(conn.begin()).await?;
        within(tx.execute("INSERT 1", ())).await?;
        within(tx.execute("INSERT 2", ())).await?;
        drop_after(tx.commit(), polls).await;
        within(conn.execute("INSERT 3", ())).await?;
        let committed = fake.committed();
        assert!(committed == ["INSERT 3"] || committed == ["INSERT 1", "INSERT 2", "INSERT 3"], "{committed:?}");
        // A release that was dropped: the parent goes on with or without.
        let tx = within(conn.begin()).await?;
        let child = within(tx.begin()).await?;
        within(child.execute("INSERT 4", ())).await?;
        drop_after(child.commit(), polls).await;
        match within(tx.execute("INSERT 5", ())).await {
            Ok(_) => within(tx.commit()).await?,
            // The savepoint was released before it could be undone: the transaction cannot be told apart any more.
            Err(_) => assert!(within(tx.commit()).await.is_err()),
        }
        drop(conn);
        settle_tasks().await;
        within(pool.execute("SELECT 1", ())).await?;
        assert_eq!(fake.violations(), [""; 0]);
        let with = fake.committed().contains(&"INSERT 4".to_owned());
        assert!(!with || fake.committed().contains(&"INSERT 5".to_owned()), "half a transaction");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn every_call_dropped_at_any_poll_leaves_the_pool_clean() -> Result<()> {
    for polls in 0..12 {
        let (fake, pool) = one();
        let rows = || (1..4).map(|n| Params::new().with("n", n));
        drop_after(pool.execute("INSERT 1", ()), polls).await;
        drop_after(pool.fetch_all::<Row>("SELECT 1", ()), polls).await;
        drop_after(pool.fetch_val::<i64>("SELECT 1", ()), polls).await;
        drop_after(pool.execute_many("INSERT INTO t VALUES (:n)", rows()), polls).await;
        drop_after(pool.execute_script("SELECT 1; SELECT 2"), polls).await;
        drop_after(pool.acquire(), polls).await;
        drop_after(pool.server_info(), polls).await;
        drop_after(pool.transaction(async |tx| tx.execute("INSERT 2", ()).await.map(|_| ())), polls).await;
        drop_after(async { pool.iterate::<Row>("SELECT 1", ()).collect::<Vec<_>>().await }, polls).await;
        drop_after(
            async {
                let tx = pool.begin().await?;
                let child = tx.begin().await?;
                child.execute("INSERT 3", ()).await?;
                child.rollback().await?;
                tx.rollback().await
            },
            polls,
        )
        .await;
        clean_log(&fake, &pool).await;
        assert!(!fake.committed().contains(&"INSERT 3".to_owned()));
        assert_eq!((fake.counts().connects, fake.counts().resets), (1, 0), "after {polls} polls");
        let many = fake.committed().iter().filter(|text| text.starts_with("INSERT INTO")).count();
        assert!(many == 0 || many == 3, "{many} of 3 rows");
    }
    Ok(())
}

// ---- Busy -------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn an_open_child_or_stream_makes_its_handle_busy() -> Result<()> {
    let (fake, pool) = one();
    fake.on("SELECT many", Does::Rows(10));
    let conn = within(pool.acquire()).await?;
    let tx = within(conn.begin()).await?;
    let child = within(tx.begin()).await?;
    async fn all_busy(on: &impl Executor) {
        assert_eq!(kind(within(on.execute("SELECT 1", ())).await), ErrorKind::Busy);
        assert_eq!(kind(within(on.execute_script("SELECT 1")).await), ErrorKind::Busy);
        assert_eq!(kind(within(on.execute_many("SELECT 1", [()])).await), ErrorKind::Busy);
        assert_eq!(kind(within(on.iterate::<Row>("SELECT 1", ()).next()).await.unwrap()), ErrorKind::Busy);
    }
    let sent = fake.log(0).len();
    all_busy(&conn).await;
    all_busy(&tx).await;
    assert_eq!(kind(within(conn.begin()).await), ErrorKind::Busy);
    assert_eq!(kind(within(tx.begin()).await), ErrorKind::Busy);
    let mut stream = child.iterate::<Row>("SELECT many", ());
    within(stream.next()).await.unwrap()?;
    all_busy(&child).await;
    all_busy(&tx).await;
    assert_eq!(kind(within(child.begin()).await), ErrorKind::Busy);
    assert_eq!(fake.log(0).len(), sent + 1, "nothing is sent");
    drop(stream);
    within(child.execute("INSERT 1", ())).await?;
    within(child.commit()).await?;
    within(tx.commit()).await?;
    let mut stream = conn.iterate::<Row>("SELECT many", ());
    within(stream.next()).await.unwrap()?;
    all_busy(&conn).await;
    drop(stream);
    within(conn.execute("SELECT 1", ())).await?;
    assert_eq!(fake.committed(), ["INSERT 1"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn ending_a_transaction_with_an_open_child_is_busy_and_rolls_everything_back() -> Result<()> {
    for commits in [false, true] {
        let (fake, pool) = one();
        let tx = within(pool.begin()).await?;
        within(tx.execute("INSERT 1", ())).await?;
        let child = within(tx.begin()).await?;
        within(child.execute("INSERT 2", ())).await?;
        let ended = if commits { within(tx.commit()).await } else { within(tx.rollback()).await };
        assert_eq!(kind(ended), ErrorKind::Busy);
        assert_eq!(kind(within(child.execute("INSERT 3", ())).await), ErrorKind::TransactionEnded);
        assert_eq!(kind(within(child.commit()).await), ErrorKind::TransactionEnded);
        assert_eq!(clean_log(&fake, &pool).await, ["BEGIN", "INSERT 1", "SAVEPOINT 2", "INSERT 2", "ROLLBACK"]);
        assert_eq!(fake.committed(), [""; 0]);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn calls_beside_an_unfinished_begin_or_commit_are_busy() -> Result<()> {
    let (fake, pool) = one();
    let conn = within(pool.acquire()).await?;
    let (began, beside) = within(async { tokio::join!(conn.begin(), conn.execute("INSERT 1", ())) }).await;
    assert_eq!(kind(beside), ErrorKind::Busy);
    let tx = began?;
    within(tx.execute("INSERT 2", ())).await?;
    let (committed, beside) = within(async { tokio::join!(tx.commit(), conn.execute("INSERT 3", ())) }).await;
    committed?;
    assert_eq!(kind(beside), ErrorKind::Busy);
    // The other way round.
    let (done, began) = within(async { tokio::join!(conn.execute("INSERT 4", ()), conn.begin()) }).await;
    done?;
    assert_eq!(kind(began), ErrorKind::Busy);
    drop(conn);
    clean_log(&fake, &pool).await;
    assert_eq!(fake.committed(), ["INSERT 2", "INSERT 4"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn statements_of_one_transaction_may_be_joined() -> Result<()> {
    let (fake, pool) = one();
    let tx = within(pool.begin()).await?;
    let (a, b) = within(async { tokio::join!(tx.execute("INSERT 1", ()), tx.execute("INSERT 2", ())) }).await;
    a?;
    b?;
    within(tx.commit()).await?;
    clean_log(&fake, &pool).await;
    assert_eq!(fake.committed().len(), 2);
    Ok(())
}

// MySQL at a deadlock and SQLite at an interrupt: the session is back in autocommit.
#[tokio::test(start_paused = true)]
async fn what_is_joined_to_a_statement_that_ends_the_transaction_is_not_committed_alone() -> Result<()> {
    for dropped in [false, true] {
        let fake = Fake::new().error_fails_transaction(false);
        let pool = pool_of(&fake, 1);
        fake.on("INSERT bad", Does::Fails(ErrorKind::Deadlock, Some(Status::Idle)));
        let tx = within(pool.begin()).await?;
        within(tx.execute("INSERT 1", ())).await?;
        let mut bad = Box::pin(tx.execute("INSERT bad", ()));
        let mut beside = Box::pin(tx.execute("INSERT 2", ()));
        assert!(poll_once(&mut bad).is_pending() && poll_once(&mut beside).is_pending());
        if dropped {
            drop(bad);
        } else {
            assert_eq!(kind(within(bad).await), ErrorKind::Deadlock);
        }
        let error = within(beside).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::TransactionEnded, Effect::NotSent));
        assert_eq!(kind(within(tx.commit()).await), ErrorKind::TransactionEnded);
        clean_log(&fake, &pool).await;
        assert_eq!(fake.committed(), [""; 0]);
    }
    Ok(())
}

// ---- the server's view ------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_in_a_failed_transaction() -> Result<()> {
    let (fake, pool) = one();
    fake.on("INSERT bad", Does::Fails(ErrorKind::UniqueViolation, Some(Status::Failed)));
    let tx = within(pool.begin()).await?;
    within(tx.execute("INSERT 1", ())).await?;
    // In a child: its rollback makes the parent whole.
    let child = within(tx.begin()).await?;
    assert_eq!(kind(within(child.execute("INSERT bad", ())).await), ErrorKind::UniqueViolation);
    let sent = fake.log(0).len();
    let error = within(child.execute("INSERT 2", ())).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::TransactionFailed, Effect::NotSent));
    assert_eq!(kind(within(child.begin()).await), ErrorKind::TransactionFailed);
    assert_eq!(fake.log(0).len(), sent);
    within(child.rollback()).await?;
    within(tx.execute("INSERT 3", ())).await?;
    // A commit of a failed child undoes it, and says so.
    let child = within(tx.begin()).await?;
    assert_eq!(kind(within(child.execute("INSERT bad", ())).await), ErrorKind::UniqueViolation);
    let error = within(child.commit()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::TransactionFailed, Effect::RolledBack));
    within(tx.execute("INSERT 4", ())).await?;
    within(tx.commit()).await?;
    assert_eq!(fake.committed(), ["INSERT 1", "INSERT 3", "INSERT 4"]);
    // In the transaction itself.
    let tx = within(pool.begin()).await?;
    within(tx.execute("INSERT 5", ())).await?;
    assert_eq!(kind(within(tx.execute("INSERT bad", ())).await), ErrorKind::UniqueViolation);
    assert_eq!(kind(within(tx.commit()).await), ErrorKind::TransactionFailed);
    assert_eq!(clean_log(&fake, &pool).await.last().unwrap(), "ROLLBACK");
    assert_eq!(fake.committed().len(), 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_the_server_ended_is_over() -> Result<()> {
    for at_depth in [1, 2] {
        let (fake, pool) = one();
        fake.on("INSERT bad", Does::Fails(ErrorKind::Deadlock, Some(Status::Idle)));
        let conn = within(pool.acquire()).await?;
        let tx = within(conn.begin()).await?;
        within(tx.execute("INSERT 1", ())).await?;
        if at_depth == 1 {
            assert_eq!(kind(within(tx.execute("INSERT bad", ())).await), ErrorKind::Deadlock);
        } else {
            let child = within(tx.begin()).await?;
            assert_eq!(kind(within(child.execute("INSERT bad", ())).await), ErrorKind::Deadlock);
            let sent = fake.log(0).len();
            assert_eq!(kind(within(child.execute("INSERT 2", ())).await), ErrorKind::TransactionEnded);
            within(child.rollback()).await?;
            assert_eq!(fake.log(0).len(), sent);
        }
        let sent = fake.log(0).len();
        assert_eq!(kind(within(tx.execute("INSERT 3", ())).await), ErrorKind::TransactionEnded);
        assert_eq!(kind(within(tx.begin()).await), ErrorKind::TransactionEnded);
        if at_depth == 1 {
            assert_eq!(kind(within(tx.commit()).await), ErrorKind::TransactionEnded);
        } else {
            within(tx.rollback()).await?;
        }
        assert_eq!(fake.log(0).len(), sent, "nothing is sent");
        within(conn.execute("INSERT 4", ())).await?;
        drop(conn);
        clean_log(&fake, &pool).await;
        assert_eq!(fake.committed(), ["INSERT 4"]);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_implicit_commit_is_an_error_of_the_statement_that_did_it() -> Result<()> {
    for commits in [false, true] {
        let (fake, pool) = one();
        fake.on("CREATE", Does::Leaves(Status::Idle));
        let tx = within(pool.begin()).await?;
        within(tx.execute("INSERT 1", ())).await?;
        let error = within(tx.execute("CREATE TABLE t (a INT)", ())).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::TransactionEnded, Effect::Applied));
        assert!(error.to_string().contains("committed"), "{error}");
        let error = within(tx.execute("INSERT 2", ())).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::TransactionEnded, Effect::NotSent));
        // Neither is true any more: what was done stays done.
        let ended = if commits { within(tx.commit()).await } else { within(tx.rollback()).await };
        assert_eq!(kind(ended), ErrorKind::TransactionEnded);
        assert_eq!(clean_log(&fake, &pool).await, ["BEGIN", "INSERT 1", "CREATE TABLE t (a INT)"]);
        assert_eq!(fake.committed(), ["INSERT 1"]);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_is_lost_has_an_unknown_outcome() -> Result<()> {
    let (fake, pool) = one();
    let tx = within(pool.begin()).await?;
    within(tx.execute("INSERT 1", ())).await?;
    fake.on("COMMIT", Does::Fails(ErrorKind::Disconnected, Some(Status::Broken)));
    let error = within(tx.commit()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::CommitOutcomeUnknown, Effect::Unknown));
    assert!(!error.is_retryable() && error.is_disconnected());
    fake.forget_rules();
    // Lost before COMMIT was sent, the outcome is known.
    let tx = within(pool.begin()).await?;
    within(tx.execute("INSERT 1", ())).await?;
    fake.set_status(1, Status::Broken);
    let error = within(tx.commit()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Disconnected, Effect::NotSent));
    // A savepoint's release decides nothing.
    let tx = within(pool.begin()).await?;
    let child = within(tx.begin()).await?;
    fake.on("RELEASE", Does::Fails(ErrorKind::Disconnected, Some(Status::Broken)));
    assert_eq!(kind(within(child.commit()).await), ErrorKind::Disconnected);
    assert_eq!(kind(within(tx.execute("INSERT 2", ())).await), ErrorKind::Disconnected);
    assert_eq!(kind(within(tx.commit()).await), ErrorKind::Disconnected);
    assert_eq!((clean_log(&fake, &pool).await.len(), fake.counts().connects), (0, 4));
    assert_eq!(fake.committed(), [""; 0]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_rolls_back() -> Result<()> {
    for leaves in [Status::Idle, Status::InTransaction] {
        let (fake, pool) = one();
        fake.on_times("COMMIT", 1, Does::Fails(ErrorKind::SerializationFailure, Some(leaves)));
        let tx = within(pool.begin()).await?;
        within(tx.execute("INSERT 1", ())).await?;
        assert_eq!(kind(within(tx.commit()).await), ErrorKind::SerializationFailure);
        clean_log(&fake, &pool).await;
        assert_eq!(fake.committed(), [""; 0], "{leaves:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_fails_discards_the_connection() -> Result<()> {
    let (fake, pool) = one();
    fake.on_times("ROLLBACK", 1, Does::Fails(ErrorKind::Database, None));
    let tx = within(pool.begin()).await?;
    within(tx.execute("INSERT 1", ())).await?;
    assert_eq!(kind(within(tx.rollback()).await), ErrorKind::Database);
    clean_log(&fake, &pool).await;
    assert_eq!((fake.counts().connects, fake.counts().gone), (2, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_failed_begin_leaves_the_handle_usable() -> Result<()> {
    let (fake, pool) = one();
    fake.on_times("BEGIN", 2, Does::Fails(ErrorKind::LockTimeout, None));
    assert_eq!(kind(within(pool.begin()).await), ErrorKind::LockTimeout);
    let conn = within(pool.acquire()).await?;
    assert_eq!(kind(within(conn.begin()).await), ErrorKind::LockTimeout);
    within(conn.execute("INSERT 1", ())).await?;
    let tx = within(conn.begin()).await?;
    fake.on_times("SAVEPOINT", 1, Does::Fails(ErrorKind::Database, None));
    assert_eq!(kind(within(tx.begin()).await), ErrorKind::Database);
    within(tx.execute("INSERT 2", ())).await?;
    within(tx.commit()).await?;
    assert_eq!(fake.committed(), ["INSERT 1", "INSERT 2"]);
    Ok(())
}

// ---- transaction(closure) ---------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_closure_commits_on_ok_and_rolls_back_on_err() -> Result<()> {
    #[derive(Debug)]
    enum Mine {
        No,
        Db(ErrorKind),
    }
    impl From<Error> for Mine {
        fn from(error: Error) -> Self {
            Self::Db(error.kind())
        }
    }
    let (fake, pool) = one();
    let kept = within(pool.transaction(async |tx| {
        tx.execute("INSERT 1", ()).await?;
        tx.transaction(async |tx| tx.execute("INSERT 2", ()).await.map(|_| ())).await?;
        let undone: Result<(), Mine> = tx
            .transaction(async |tx| {
                tx.execute("INSERT 3", ()).await?;
                Err(Mine::No)
            })
            .await;
        assert!(matches!(undone, Err(Mine::No)));
        Ok::<_, Error>(7)
    }))
    .await?;
    assert_eq!(kept, 7);
    let undone: Result<(), Mine> = within(pool.transaction(async |tx| {
        tx.execute("INSERT 4", ()).await?;
        Err(Mine::No)
    }))
    .await;
    assert!(matches!(undone, Err(Mine::No)));
    // The closure's error, also if the rollback fails; the connection goes then.
    fake.on_times("ROLLBACK", 1, Does::Fails(ErrorKind::Database, None));
    let undone: Result<(), Mine> = within(pool.transaction(async |_| Err(Mine::No))).await;
    assert!(matches!(undone, Err(Mine::No)));
    settle_tasks().await;
    assert_eq!(fake.counts().gone, 1);
    // An error of BEGIN or COMMIT goes through `From`.
    fake.on_times("BEGIN", 1, Does::Fails(ErrorKind::ReadOnly, None));
    let began: Result<(), Mine> = within(pool.transaction(async |_| panic!("not reached"))).await;
    assert!(matches!(began, Err(Mine::Db(ErrorKind::ReadOnly))));
    fake.on_times("COMMIT", 1, Does::Fails(ErrorKind::StorageFull, Some(Status::Idle)));
    let ended: Result<(), Mine> = within(pool.transaction(async |_| Ok(()))).await;
    assert!(matches!(ended, Err(Mine::Db(ErrorKind::StorageFull))));
    clean_log(&fake, &pool).await;
    assert_eq!(fake.committed(), ["INSERT 1", "INSERT 2"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_closure_rolls_back_and_goes_on() -> Result<()> {
    let (fake, pool) = one();
    let task = tokio::spawn({
        let pool = pool.clone();
        async move {
            pool.transaction(async |tx| {
                tx.execute("INSERT 1", ()).await?;
                if tx.fetch_val::<i64>("SELECT 1", ()).await? == 1 {
                    panic!("in the closure");
                }
                Ok::<_, Error>(())
            })
            .await
        }
    });
    let panic = within(task).await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"in the closure"));
    clean_log(&fake, &pool).await;
    assert_eq!((fake.committed().len(), fake.counts().gone), (0, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn only_conflicts_are_retried_and_at_most_n_times() -> Result<()> {
    use ErrorKind::*;
    // What fails, how often, retries allowed: attempts made, and how it ends.
    let cases = [
        ("INSERT", SerializationFailure, Some(Status::Failed), 2, 3, 3, None),
        ("INSERT", Deadlock, Some(Status::Idle), 1, 3, 2, None),
        ("INSERT", SerializationFailure, Some(Status::Failed), 9, 3, 4, Some(SerializationFailure)),
        ("INSERT", SerializationFailure, Some(Status::Failed), 1, 0, 1, Some(SerializationFailure)),
        ("INSERT", UniqueViolation, Some(Status::Failed), 1, 3, 1, Some(UniqueViolation)),
        ("INSERT", Disconnected, Some(Status::Broken), 1, 3, 1, Some(Disconnected)),
        ("COMMIT", SerializationFailure, Some(Status::Idle), 2, 3, 3, None),
        ("COMMIT", SerializationFailure, Some(Status::Idle), 9, 2, 3, Some(SerializationFailure)),
        ("COMMIT", StorageFull, Some(Status::Idle), 1, 3, 1, Some(StorageFull)),
        ("COMMIT", Disconnected, Some(Status::Broken), 1, 3, 1, Some(CommitOutcomeUnknown)),
        ("BEGIN", LockTimeout, None, 2, 3, 1, None),
    ];
    for (what, fails, leaves, times, retries, attempts, ends) in cases {
        for on_connection in [false, true] {
            let case = format!("{what} {fails:?} {times} times, {retries} retries");
            let (fake, pool) = one();
            fake.on_times(what, times, Does::Fails(fails, leaves));
            let made = AtomicUsize::new(0);
            let options = TransactionOptions::new().retry(retries);
            let closure = async |tx: &Transaction| {
                made.fetch_add(1, SeqCst);
                tx.execute("INSERT 1", ()).await?;
                Ok::<_, Error>(made.load(SeqCst))
            };
            let got = if on_connection {
                let conn = within(pool.acquire()).await?;
                within(conn.transaction_with(options, closure)).await
            } else {
                within(pool.transaction_with(options, closure)).await
            };
            assert_eq!(got.map_err(|error| error.kind()), ends.map_or(Ok(attempts), Err), "{case}");
            assert_eq!(made.load(SeqCst), attempts, "{case}");
            fake.forget_rules();
            clean_log(&fake, &pool).await;
            assert_eq!(fake.committed().len(), usize::from(ends.is_none()), "{case}");
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_decided_by_the_last_error_of_the_session_and_not_by_the_closures() -> Result<()> {
    #[derive(Debug)]
    struct Opaque;
    impl From<Error> for Opaque {
        fn from(_: Error) -> Self {
            Self
        }
    }
    let (fake, pool) = one();
    let made = AtomicUsize::new(0);
    let run = async |text: &str| {
        made.store(0, SeqCst);
        within(pool.transaction_with(TransactionOptions::new().retry(2), async |tx| {
            made.fetch_add(1, SeqCst);
            if text.starts_with("SELECT") {
                let mut rows = tx.iterate::<Row>(text.to_owned(), ());
                while let Some(row) = rows.next().await {
                    row?;
                }
            } else {
                tx.execute(text.to_owned(), ()).await?;
            }
            Err::<(), _>(Opaque)
        }))
        .await
        .unwrap_err();
        made.load(SeqCst)
    };
    assert_eq!(run("INSERT fine").await, 1);
    fake.on("INSERT conflict", Does::Fails(ErrorKind::Deadlock, Some(Status::Idle)));
    assert_eq!(run("INSERT conflict").await, 3);
    fake.on("SELECT conflict", Does::RowsThenFails(1, ErrorKind::SerializationFailure));
    assert_eq!(run("SELECT conflict").await, 3, "an error in the middle of a stream counts as well");
    clean_log(&fake, &pool).await;
    Ok(())
}

// ---- many, scripts, text ----------------------------------------------------------------------------------------

fn numbers(rows: std::ops::Range<i64>) -> impl Iterator<Item = Params<'static>> + Send {
    rows.map(|n| Params::new().with("n", n))
}

#[tokio::test(start_paused = true)]
async fn execute_many_is_all_or_nothing() -> Result<()> {
    let (fake, pool) = one();
    let text = "INSERT INTO t VALUES (:n)";
    // For no rows, not even a connection.
    assert_eq!(within(pool.execute_many(text, numbers(0..0))).await?, 0);
    assert_eq!(fake.counts().attempts, 0);
    assert_eq!(within(pool.execute_many(text, numbers(1..3))).await?, 2);
    assert_eq!(
        clean_log(&fake, &pool).await,
        ["BEGIN", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)", "COMMIT"]
    );
    fake.forget_log();
    let tx = within(pool.begin()).await?;
    assert_eq!(within(tx.execute_many(text, numbers(0..0))).await?, 0);
    assert_eq!(within(tx.execute_many(text, numbers(3..4))).await?, 1);
    fake.on("INSERT INTO t VALUES (6)", Does::Fails(ErrorKind::UniqueViolation, Some(Status::Failed)));
    let error = within(tx.execute_many(text, numbers(5..8))).await.unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::UniqueViolation, Some(1)));
    within(tx.commit()).await?;
    assert_eq!(
        clean_log(&fake, &pool).await,
        [
            "BEGIN",
            "SAVEPOINT 3",
            "INSERT INTO t VALUES (3)",
            "RELEASE 3",
            "SAVEPOINT 4",
            "INSERT INTO t VALUES (5)",
            "INSERT INTO t VALUES (6)",
            "ROLLBACK TO 4",
            "RELEASE 4",
            "COMMIT"
        ]
    );
    let error = within(pool.execute_many(text, numbers(4..8))).await.unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::UniqueViolation, Some(2)));
    // A row whose names do not match, in the middle.
    let rows = [Params::new().with("n", 10), Params::new().with("m", 11)];
    assert_eq!(kind(within(pool.execute_many(text, rows)).await), ErrorKind::Parameters);
    clean_log(&fake, &pool).await;
    let committed: Vec<_> = (1..4).map(|n| format!("INSERT INTO t VALUES ({n})")).collect();
    assert_eq!(fake.committed(), committed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn rows_of_execute_many_are_pulled_as_they_are_sent() -> Result<()> {
    let (fake, pool) = one();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let rows = (0..5i64).map({
        let (fake, sent) = (fake.clone(), sent.clone());
        move |n| {
            sent.lock().unwrap().push(fake.log(0).iter().filter(|text| text.starts_with("INSERT")).count());
            Params::new().with("n", n)
        }
    });
    within(pool.execute_many("INSERT INTO t VALUES (:n)", rows)).await?;
    // The first row is looked at before BEGIN; each other one when all before it were sent.
    assert_eq!(*sent.lock().unwrap(), [0, 1, 2, 3, 4]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_script_runs_on_one_connection_and_stops_at_the_first_error() -> Result<()> {
    let (fake, pool) = one();
    within(pool.execute_script("INSERT 1; INSERT 2")).await?;
    fake.on("INSERT bad", Does::Fails(ErrorKind::Syntax, None));
    let error = within(pool.execute_script("INSERT 3; INSERT bad; INSERT 4")).await.unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::Syntax, Some(1)));
    // Its own transaction is its own affair; what it leaves open is rolled back, and that is told.
    within(pool.execute_script("BEGIN; INSERT 5; COMMIT")).await?;
    let error = within(pool.execute_script("BEGIN; INSERT 6")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::TransactionEnded, Effect::RolledBack));
    clean_log(&fake, &pool).await;
    assert_eq!(fake.committed(), ["INSERT 1", "INSERT 2", "INSERT 3", "INSERT 5"]);
    let tx = within(pool.begin()).await?;
    assert_eq!(kind(within(tx.execute_script("INSERT 7; COMMIT")).await), ErrorKind::Unsupported);
    within(tx.execute_script("INSERT 8; INSERT 9")).await?;
    within(tx.rollback()).await?;
    assert_eq!(fake.committed().len(), 4);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn transaction_control_as_text_is_for_connections_of_ones_own() -> Result<()> {
    let (fake, pool) = one();
    for text in ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "RELEASE a", "/* x */ END"] {
        let error = within(pool.execute(text, ())).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::NotSent), "{text}");
        assert!(error.to_string().contains("begin()"), "{error}");
        assert_eq!(kind(within(pool.iterate::<Row>(text, ()).next()).await.unwrap()), ErrorKind::Unsupported);
    }
    assert_eq!(fake.counts().attempts, 0);
    let tx = within(pool.begin()).await?;
    assert_eq!(kind(within(tx.execute("COMMIT", ())).await), ErrorKind::Unsupported);
    within(tx.rollback()).await?;
    let conn = within(pool.acquire()).await?;
    within(conn.execute("BEGIN", ())).await?;
    within(conn.execute("INSERT 1", ())).await?;
    within(conn.execute("COMMIT", ())).await?;
    within(conn.execute("BEGIN", ())).await?;
    within(conn.execute("INSERT 2", ())).await?;
    drop(conn);
    within(pool.execute("INSERT 3", ())).await?;
    clean_log(&fake, &pool).await;
    assert_eq!(fake.committed(), ["INSERT 1", "INSERT 3"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_found_before_anything_is_sent() -> Result<()> {
    let (fake, pool) = one();
    let unused = Params::new().with("n", 1);
    assert_eq!(kind(within(pool.execute("SELECT 1; SELECT 2", ())).await), ErrorKind::Parameters);
    assert_eq!(kind(within(pool.execute("SELECT :n", ())).await), ErrorKind::Parameters);
    assert_eq!(kind(within(pool.execute("SELECT 1", unused.clone())).await), ErrorKind::Parameters);
    assert_eq!(kind(within(pool.execute("PRAGMA foreign_keys = 0", ())).await), ErrorKind::Unsupported);
    let mut stream = pool.iterate::<Row>("SELECT :n", ());
    assert_eq!(kind(within(stream.next()).await.unwrap()), ErrorKind::Parameters);
    assert!(within(stream.next()).await.is_none());
    assert_eq!(fake.counts().attempts, 0);
    within(pool.execute(sql("SELECT 1").allow_unused(), unused)).await?;
    let tx = within(pool.begin()).await?;
    assert_eq!(kind(within(tx.execute("SELECT :n", ())).await), ErrorKind::Parameters);
    assert_eq!(kind(within(tx.execute("SELECT 1; SELECT 2", ())).await), ErrorKind::Parameters);
    within(tx.execute("INSERT 1", ())).await?;
    within(tx.commit()).await?;
    assert_eq!(fake.committed(), ["INSERT 1"]);
    Ok(())
}

// ---- force_rollback ---------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn force_rollback_keeps_everything_in_one_transaction_that_is_never_committed() -> Result<()> {
    let fake = Fake::new();
    fake.on("INSERT bad", Does::Fails(ErrorKind::UniqueViolation, Some(Status::Failed)));
    let pool = forced(&fake);
    within(pool.execute("INSERT 1", ())).await?;
    assert_eq!(kind(within(pool.execute("INSERT bad", ())).await), ErrorKind::UniqueViolation);
    assert_eq!(within(pool.fetch_val::<i64>("SELECT 1", ())).await?, 1);
    assert_eq!(
        fake.log(0),
        [
            "BEGIN",
            "SAVEPOINT 1",
            "INSERT 1",
            "RELEASE 1",
            "SAVEPOINT 2",
            "INSERT bad",
            "ROLLBACK TO 2",
            "RELEASE 2",
            "SAVEPOINT 3",
            "SELECT 1",
            "RELEASE 3"
        ]
    );
    fake.forget_log();
    // begin, acquire and iterate have it in turn.
    let tx = within(pool.begin()).await?;
    let mut waiter = Box::pin(pool.execute("INSERT 3", ()));
    assert!(poll_once(&mut waiter).is_pending());
    within(tx.execute("INSERT 2", ())).await?;
    within(tx.commit()).await?;
    within(waiter).await?;
    let tx = within(pool.begin()).await?;
    within(tx.execute("INSERT 4", ())).await?;
    drop(tx);
    let conn = within(pool.acquire()).await?;
    within(conn.execute("INSERT 5", ())).await?;
    assert_eq!(kind(within(conn.execute("INSERT bad", ())).await), ErrorKind::UniqueViolation);
    within(within(conn.begin()).await?.rollback()).await?;
    drop(conn);
    let rows: Vec<_> = within(pool.iterate::<Row>("SELECT 6", ()).collect()).await;
    assert_eq!(rows.len(), 1);
    drop(within(pool.iterate::<Row>("SELECT 7", ()).next()).await.unwrap()?);
    within(pool.execute_many("INSERT INTO t VALUES (:n)", numbers(8..9))).await?;
    within(pool.execute_script("INSERT 9; FROB it")).await?;
    settle_tasks().await;
    let log = fake.log(0);
    assert!(!log.iter().any(|text| matches!(&**text, "BEGIN" | "COMMIT" | "ROLLBACK")), "{log:?}");
    let counts = fake.counts();
    assert_eq!((counts.connects, counts.resets, counts.gone), (1, 0, 0));
    // Never committed.
    within(pool.close()).await?;
    assert_eq!((fake.counts().gone, fake.committed().len()), (1, 0));
    assert_eq!(fake.violations(), [""; 0]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn force_rollback_refuses_what_would_end_the_outer_transaction() -> Result<()> {
    for transactional in [false, true] {
        let fake = Fake::new().transactional_ddl(transactional);
        let pool = forced(&fake);
        let conn = within(pool.acquire()).await?;
        for text in ["BEGIN", "COMMIT", "ROLLBACK"] {
            assert_eq!(kind(within(conn.execute(text, ())).await), ErrorKind::Unsupported);
            let script = format!("INSERT 1; {text}");
            assert_eq!(kind(within(conn.execute_script(&script)).await), ErrorKind::Unsupported);
        }
        let ddl = within(conn.execute("CREATE TABLE t (a INT)", ())).await.map(|_| ()).map_err(|error| error.kind());
        assert_eq!(ddl, if transactional { Ok(()) } else { Err(ErrorKind::Unsupported) });
        drop(conn);
        for text in ["BEGIN", "COMMIT"] {
            assert_eq!(kind(within(pool.execute(text, ())).await), ErrorKind::Unsupported);
            assert_eq!(kind(within(pool.execute_script(&format!("INSERT 1; {text}"))).await), ErrorKind::Unsupported);
        }
        assert!(!fake.log(0).iter().any(|text| text.starts_with("INSERT") || text == "COMMIT"));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn force_rollback_survives_dropped_calls_and_failed_savepoints() -> Result<()> {
    for polls in 0..8 {
        let fake = Fake::new();
        let pool = forced(&fake);
        within(pool.execute("INSERT 0", ())).await?;
        drop_after(pool.execute("INSERT 1", ()), polls).await;
        drop_after(pool.begin(), polls).await;
        drop_after(pool.execute_many("INSERT INTO t VALUES (:n)", numbers(1..4)), polls).await;
        settle_tasks().await;
        fake.on_times("SAVEPOINT", 1, Does::Fails(ErrorKind::Database, None));
        assert_eq!(kind(within(pool.execute("INSERT 2", ())).await), ErrorKind::Database);
        within(pool.execute("INSERT 3", ())).await?;
        settle_tasks().await;
        assert_eq!(fake.counts().connects, 1, "after {polls} polls: {:?}", fake.log(0));
        assert_eq!((fake.committed().len(), fake.violations().len()), (0, 0));
    }
    Ok(())
}

// ---- timeouts ---------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_statement_that_takes_too_long_is_stopped() -> Result<()> {
    let fake = Fake::new();
    fake.on("SELECT slow", Does::Waits(Gate::new()));
    let pool = pool_with(
        &fake,
        |options| (options.max_connections, options.statement_timeout) = (Some(1), Some(secs(2))),
        |_| (),
    );
    let before = Instant::now();
    let error = within(pool.execute("SELECT slow", ())).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::StatementTimeout, Effect::Unknown));
    assert_eq!((before.elapsed(), fake.counts().settles), (secs(2), 1));
    assert!(error.to_string().contains("2 s"), "{error}");
    // The statement's own goes before the pool's.
    let before = Instant::now();
    assert_eq!(kind(within(pool.execute(sql("SELECT slow").timeout(secs(7)), ())).await), ErrorKind::StatementTimeout);
    assert_eq!(before.elapsed(), secs(7));
    assert_eq!(kind(within(pool.execute_many("SELECT slow :n", numbers(0..2))).await), ErrorKind::StatementTimeout);
    clean_log(&fake, &pool).await;
    assert_eq!(fake.counts().connects, 1);
    // In a transaction the session's state decides; here it goes on.
    let tx = within(pool.begin()).await?;
    within(tx.execute("INSERT 1", ())).await?;
    assert_eq!(kind(within(tx.execute("SELECT slow", ())).await), ErrorKind::StatementTimeout);
    within(tx.execute("INSERT 2", ())).await?;
    within(tx.commit()).await?;
    assert_eq!(fake.committed(), ["INSERT 1", "INSERT 2"]);
    // And as on PostgreSQL, where a cancel makes it fail.
    fake.settle_leaves(Status::Failed);
    let tx = within(pool.begin()).await?;
    assert_eq!(kind(within(tx.execute("SELECT slow", ())).await), ErrorKind::StatementTimeout);
    assert_eq!(kind(within(tx.execute("INSERT 3", ())).await), ErrorKind::TransactionFailed);
    drop(tx);
    clean_log(&fake, &pool).await;
    assert_eq!(fake.counts().connects, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_cannot_be_stopped_costs_its_connection() -> Result<()> {
    let (fake, pool) = one();
    fake.on("SELECT slow", Does::Waits(Gate::new()));
    fake.settle_hangs(true);
    let slow = || sql("SELECT slow").timeout(secs(1));
    let before = Instant::now();
    assert_eq!(kind(within(pool.execute(slow(), ())).await), ErrorKind::StatementTimeout);
    assert_eq!(before.elapsed(), secs(6), "its timeout, and close_timeout for stopping it");
    within(pool.execute("INSERT 1", ())).await?;
    assert_eq!(fake.counts().connects, 2);
    // In a transaction nothing is sent behind it.
    let tx = within(pool.begin()).await?;
    assert_eq!(kind(within(tx.execute(slow(), ())).await), ErrorKind::StatementTimeout);
    assert_eq!(kind(within(tx.execute("INSERT 2", ())).await), ErrorKind::TransactionEnded);
    assert!(within(tx.rollback()).await.is_err());
    clean_log(&fake, &pool).await;
    assert_eq!((fake.counts().connects, fake.committed()), (3, vec!["INSERT 1".to_owned()]));
    Ok(())
}

// ---- streams ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_stream_holds_its_connection_until_its_end_or_drop() -> Result<()> {
    for busy in [false, true] {
        let (fake, pool) = one();
        if busy {
            fake.dropped_stream_is_busy();
        }
        fake.on("SELECT many", Does::Rows(5));
        let mut stream = pool.iterate::<(i64,)>("SELECT many", ());
        assert_eq!(pool.status().in_use, 0, "nothing happens before the first poll");
        let mut got = Vec::new();
        while let Some(row) = within(stream.next()).await {
            got.push(row?.0);
            assert_eq!(pool.status().in_use, 1);
        }
        assert_eq!(got, [1, 2, 3, 4, 5]);
        assert_eq!(pool.status().in_use, 0, "its end gives the connection back");
        assert!(within(stream.next()).await.is_none());
        drop(stream);
        let mut stream = pool.iterate::<(i64,)>("SELECT many", ());
        within(stream.next()).await.unwrap()?;
        drop(stream);
        clean_log(&fake, &pool).await;
        // An error in the middle ends it.
        fake.on("SELECT some", Does::RowsThenFails(3, ErrorKind::Disconnected));
        let got: Vec<_> = within(pool.iterate::<(i64,)>("SELECT some", ()).collect()).await;
        assert_eq!((got.len(), got[3].as_ref().unwrap_err().kind()), (4, ErrorKind::Disconnected));
        fake.on("SELECT none", Does::Fails(ErrorKind::Syntax, None));
        let got: Vec<_> = within(pool.iterate::<(i64,)>("SELECT none", ()).collect()).await;
        assert_eq!((got.len(), got[0].as_ref().unwrap_err().kind()), (1, ErrorKind::Syntax));
        clean_log(&fake, &pool).await;
        assert_eq!(fake.counts().connects, 1);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_leaves_its_transaction_usable() -> Result<()> {
    let (fake, pool) = one();
    fake.on("SELECT many", Does::Rows(5));
    let tx = within(pool.begin()).await?;
    let mut stream = tx.iterate::<(i64,)>("SELECT many", ());
    within(stream.next()).await.unwrap()?;
    drop(stream);
    within(tx.execute("INSERT 1", ())).await?;
    let got: Vec<_> = within(tx.iterate::<(i64,)>("SELECT many", ()).collect()).await;
    assert_eq!(got.len(), 5);
    // A stream dropped while it is opened is a dropped statement.
    within(tx.execute("INSERT 2", ())).await?;
    within(tx.commit()).await?;
    assert_eq!(fake.committed(), ["INSERT 1", "INSERT 2"]);
    let tx = within(pool.begin()).await?;
    let mut stream = tx.iterate::<(i64,)>("SELECT many", ());
    assert!(!drop_after(stream.next(), 1).await);
    drop(stream);
    assert_eq!(kind(within(tx.execute("INSERT 3", ())).await), ErrorKind::TransactionEnded);
    within(tx.rollback()).await?;
    clean_log(&fake, &pool).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn another_call_beside_a_stream_on_a_pool_of_one_times_out_and_says_why() -> Result<()> {
    let (fake, pool) = one();
    fake.on("SELECT many", Does::Rows(5));
    let mut stream = pool.iterate::<Row>("SELECT many", ());
    within(stream.next()).await.unwrap()?;
    let before = Instant::now();
    let error = within(pool.execute("SELECT 1", ())).await.unwrap_err();
    assert_eq!((error.kind(), before.elapsed()), (ErrorKind::PoolTimeout, secs(30)));
    assert!(error.to_string().contains("an open stream"), "{error}");
    Ok(())
}

// ---- the shapes of the API --------------------------------------------------------------------------------------

async fn by_dyn(on: &dyn RawExecutor) -> Result<i64> {
    on.execute("INSERT 1", ()).await?;
    on.fetch_val("SELECT 1", ()).await
}

async fn by_impl(on: &impl Executor) -> Result<i64> {
    on.execute_many("INSERT INTO t VALUES (:n)", [Params::new().with("n", 1)]).await?;
    on.fetch_one::<(i64,)>("SELECT 1", ()).await.map(|(n,)| n)
}

#[tokio::test(start_paused = true)]
async fn every_executor_is_taken_by_dyn_and_by_impl() -> Result<()> {
    let (fake, pool) = one();
    assert_eq!((within(by_dyn(&pool)).await?, within(by_impl(&pool)).await?), (1, 1));
    let conn: Connection = within(pool.acquire()).await?;
    assert_eq!((within(by_dyn(&conn)).await?, within(by_impl(&conn)).await?), (1, 1));
    let tx: Transaction = within(conn.begin()).await?;
    assert_eq!((within(by_dyn(&tx)).await?, within(by_impl(&tx)).await?), (1, 1));
    within(tx.commit()).await?;
    assert_eq!(fake.committed().len(), 6);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_can_be_spawned() -> Result<()> {
    async fn all(on: impl Executor + 'static) -> Result<()> {
        let params = || Params::new().with("n", 1);
        on.execute("INSERT :n", params()).await?;
        on.execute_many("INSERT :n", [params()]).await?;
        on.execute_script("SELECT 1").await?;
        on.fetch_all::<Row>("SELECT :n", params()).await?;
        on.fetch_one::<(i64,)>("SELECT :n", params()).await?;
        on.fetch_optional::<Row>("SELECT :n", params()).await?;
        on.fetch_val::<i64>("SELECT :n", params()).await?;
        on.fetch_optional_val::<i64>("SELECT :n", params()).await?;
        let mut rows = on.iterate::<Row>("SELECT :n", params());
        while let Some(row) = rows.next().await {
            row?;
        }
        Ok(())
    }
    async fn spawned<T: Send + 'static>(future: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        timeout(secs(60), tokio::spawn(future)).await.expect("hangs").unwrap()
    }
    let (fake, pool) = one();
    spawned(all(pool.clone())).await?;
    spawned(all(pool.acquire().await?)).await?;
    spawned(all(pool.begin().await?)).await?;
    let owned = pool.clone();
    let count = spawned(async move {
        let text = String::from("INSERT 1");
        let seen = Mutex::new(0);
        let borrowed = (&text, &seen);
        let conn = owned.acquire().await?;
        conn.transaction(async |tx| {
            tx.execute(borrowed.0, ()).await?;
            tx.transaction(async |tx| {
                let executor: &dyn RawExecutor = tx;
                executor.execute(borrowed.0, ()).await?;
                *borrowed.1.lock().unwrap() += 1;
                by_impl(tx).await
            })
            .await
        })
        .await?;
        conn.transaction_with(TransactionOptions::new().retry(1), async |tx| by_dyn(tx).await).await?;
        drop(conn);
        owned.transaction_with(TransactionOptions::new().retry(1), async |tx| by_impl(tx).await).await?;
        owned.transaction(async |tx| tx.execute(borrowed.0, ()).await).await?;
        owned.server_info().await?;
        let count = *seen.lock().unwrap();
        Ok(count)
    })
    .await?;
    assert_eq!(count, 1);
    assert_eq!(fake.violations(), [""; 0]);
    sleep(Duration::from_millis(1)).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn ddl_that_commits_and_then_fails_is_not_called_rolled_back() -> Result<()> {
    let fake = Fake::new().transactional_ddl(false);
    let pool = pool_of(&fake, 1);
    for (text, may_be_rolled_back) in [("CREATE TABLE t (a)", false), ("INSERT 2", true)] {
        fake.on_times(text, 1, Does::Fails(ErrorKind::Database, Some(Status::Idle)));
        let tx = within(pool.begin()).await?;
        within(tx.execute("INSERT 1", ())).await?;
        assert_eq!(kind(within(tx.execute(text, ())).await), ErrorKind::Database);
        assert_eq!(kind(within(tx.execute("INSERT 3", ())).await), ErrorKind::TransactionEnded, "{text}");
        assert_eq!(within(tx.rollback()).await.is_ok(), may_be_rolled_back, "{text}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_statement_timeout_bounds_every_wait_for_the_server() -> Result<()> {
    let fake = Fake::new();
    let second = Duration::from_secs(1);
    let pool = pool_with(&fake, |options| options.statement_timeout = Some(second), |_| ());
    let gate = Gate::new();
    for stuck in ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "INSERT script", "SELECT stream"] {
        fake.on(stuck, Does::Waits(gate.clone()));
        let began = Instant::now();
        let error = match stuck {
            "BEGIN" => within(pool.begin()).await.unwrap_err(),
            "INSERT script" => within(pool.execute_script("INSERT script; INSERT x")).await.unwrap_err(),
            "SELECT stream" => within(pool.iterate::<Row>("SELECT stream", ()).next()).await.unwrap().unwrap_err(),
            _ => {
                let tx = within(pool.begin()).await?;
                match stuck {
                    "COMMIT" => within(tx.commit()).await.unwrap_err(),
                    "ROLLBACK" => within(tx.rollback()).await.unwrap_err(),
                    "SAVEPOINT" => within(tx.begin()).await.unwrap_err(),
                    _ => within(within(tx.begin()).await?.commit()).await.unwrap_err(),
                }
            }
        };
        let expected = match stuck {
            "COMMIT" => ErrorKind::CommitOutcomeUnknown,
            "ROLLBACK" => ErrorKind::Disconnected,
            _ => ErrorKind::StatementTimeout,
        };
        assert_eq!(error.kind(), expected, "{stuck}: {error}");
        assert!(began.elapsed() < second * 20, "{stuck}: {:?}", began.elapsed());
        fake.forget_rules();
        within(pool.execute("INSERT after", ())).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_rows_are_read_costs_the_connection_of_ones_own() -> Result<()> {
    struct Panics;
    impl databases_core::FromRow for Panics {
        fn from_row(_: &Row) -> Result<Self> {
            panic!("on purpose")
        }
    }
    let (fake, pool) = one();
    let conn = within(pool.acquire()).await?;
    let read = std::panic::AssertUnwindSafe(conn.fetch_all::<Panics>("SELECT 1", ())).catch_unwind();
    assert!(within(read).await.is_err());
    drop(conn);
    within(pool.execute("INSERT 1", ())).await?;
    assert_eq!(fake.counts().connects, 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_statement_runs_on_another_connection_only_if_it_was_never_sent() -> Result<()> {
    let fake = Fake::new().runtime_bound(true);
    let pool = pool_of(&fake, 2);
    let lost = ErrorKind::Disconnected;
    let update = "UPDATE t SET a = :a";
    for (times, works) in [(1, true), (2, false)] {
        fake.on_times("UPDATE", times, Does::FailsUnsent(lost));
        let outcome = within(pool.execute(update, databases_core::params! { a: "a value" })).await;
        assert_eq!(outcome.as_ref().err().map(Error::kind), (!works).then_some(lost), "{outcome:?}");
        fake.forget_rules();
    }
    fake.on_times("UPDATE", 1, Does::Fails(lost, Some(Status::Broken)));
    let error = within(pool.execute(update, databases_core::params! { a: 1 })).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (lost, Effect::Unknown));
    // Nor is what belongs to a transaction.
    let tx = within(pool.begin()).await?;
    fake.on_times("UPDATE", 1, Does::FailsUnsent(lost));
    assert_eq!(within(tx.execute(update, databases_core::params! { a: 1 })).await.unwrap_err().kind(), lost);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_was_tried_at_once_and_then_lost_runs_on_another_connection() -> Result<()> {
    let fake = Fake::new().runtime_bound(true).runs_at_once();
    let pool = pool_of(&fake, 2);
    let select = "SELECT :a";
    let params = || databases_core::params! { a: 1 };
    within(pool.fetch_val::<i64>(select, params())).await?;
    fake.on_times("SELECT", 1, Does::FailsUnsent(ErrorKind::Disconnected));
    within(pool.fetch_val::<i64>(select, params())).await?;
    fake.on_times("SELECT", 2, Does::FailsUnsent(ErrorKind::Disconnected));
    let error = within(pool.fetch_val::<i64>(select, params())).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Disconnected, Effect::NotSent), "{error:?}");
    Ok(())
}
