//! Statements that are stopped: by a timeout, or because nobody waits for them any more.

use std::time::{Duration, Instant};

use super::transactions::{ids, insert};
use super::{Fixture, fails};
use crate::error::{Effect, ErrorKind, Result};
use crate::executor::Executor;
use crate::params;
use crate::query::sql;

/// Long enough for a loaded machine, and far from the length of an endless statement.
const SOON: Duration = Duration::from_secs(15);

pub async fn a_statement_that_is_too_slow_is_stopped_and_the_pool_works_on(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let started = Instant::now();
    let slow = sql(f.endless()).timeout(Duration::from_millis(200));
    let error = fails(db.fetch_val::<i64>(slow, ()).await, ErrorKind::StatementTimeout);
    assert_eq!(error.to_string(), "the statement ran longer than its timeout, 0.2 s, and was stopped");
    for n in 0..20 {
        assert_eq!(db.fetch_val::<i64>("SELECT :n", params! { n }).await?, n, "the next statements are unharmed");
    }
    assert!(started.elapsed() < SOON);
    Ok(())
}

pub async fn the_statement_timeout_of_the_pool_is_the_default(f: &Fixture) -> Result<()> {
    let db = f.pool_url(|url| {
        Ok(url.with_option("statement_timeout", "0.2s").or_else(|_| url.with_option("statement_timeout", "0.2"))?)
    });
    let db = match db {
        Ok(db) => db,
        Err(_) => f.pool_with(|options| options.statement_timeout = Some(Duration::from_millis(200)))?,
    };
    let error = fails(db.fetch_val::<i64>(f.endless(), ()).await, ErrorKind::StatementTimeout);
    assert_eq!(error.to_string(), "the statement ran longer than statement_timeout, 0.2 s, and was stopped");
    let longer = sql(f.slow("1", 0.4)).timeout(Duration::from_secs(30));
    assert_eq!(db.fetch_val::<i64>(longer, ()).await?, 1, "a statement's own timeout goes before");
    assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await?, 1);
    Ok(())
}

pub async fn a_timeout_in_a_transaction_leaves_it_to_be_rolled_back(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    let tx = db.begin().await?;
    insert(&tx, &t, 1).await?;
    let slow = sql(f.endless()).timeout(Duration::from_millis(200));
    fails(tx.fetch_val::<i64>(slow, ()).await, ErrorKind::StatementTimeout);
    let ended = tx.rollback().await;
    if f.kind() == crate::sql::DialectKind::MySql {
        // The driver cannot go on behind a call that was dropped: the connection is gone, and the server rolls back.
        fails(ended, ErrorKind::Disconnected);
    } else {
        ended?;
    }
    assert_eq!(ids(&db, &t).await?, [0_i64; 0]);
    Ok(())
}

pub async fn a_dropped_statement_leaves_a_clean_pool_of_one(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let started = Instant::now();
    for round in 0..3 {
        let slow = f.endless();
        let dropped = tokio::time::timeout(Duration::from_millis(100), db.fetch_val::<i64>(&slow, ())).await;
        assert!(dropped.is_err(), "it was still running");
        for n in 0..10 {
            let n = round * 10 + n;
            assert_eq!(db.fetch_val::<i64>("SELECT :n", params! { n }).await?, n, "no answer of another statement");
        }
        assert_eq!((db.status().size, db.status().in_use), (1, 0));
    }
    assert!(started.elapsed() < SOON * 2);
    Ok(())
}

pub async fn a_statement_dropped_in_a_transaction_dooms_it(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    let tx = db.begin().await?;
    insert(&tx, &t, 1).await?;
    let slow = f.endless();
    let dropped = tokio::time::timeout(Duration::from_millis(100), tx.fetch_val::<i64>(&slow, ())).await;
    assert!(dropped.is_err());
    fails(insert(&tx, &t, 2).await, ErrorKind::TransactionEnded);
    fails(tx.commit().await, ErrorKind::TransactionEnded);
    assert_eq!(ids(&db, &t).await?, [0_i64; 0]);
    Ok(())
}

pub async fn a_dropped_transaction_future_leaves_nothing_open(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    let slow = f.endless();
    let work = db.transaction(async |tx| {
        insert(tx, &t, 1).await?;
        tx.fetch_val::<i64>(&slow, ()).await
    });
    assert!(tokio::time::timeout(Duration::from_millis(200), work).await.is_err());
    assert_eq!(ids(&db, &t).await?, [0_i64; 0]);
    insert(&db, &t, 2).await?;
    assert_eq!(ids(&db, &t).await?, [2]);
    Ok(())
}

pub async fn futures_dropped_at_random_leave_no_wrong_answer(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(if f.single_connection() { 1 } else { 4 }))?;
    let tasks: Vec<_> = (0..20_u64)
        .map(|task| {
            let db = db.clone();
            tokio::spawn(async move {
                for n in 0..50_u64 {
                    let n = (task * 50 + n) as i64;
                    let micros = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54; // 0 to 1023
                    let read = db.fetch_val::<i64>("SELECT :n", params! { n });
                    if let Ok(read) = tokio::time::timeout(Duration::from_micros(micros * 3), read).await {
                        assert_eq!(read?, n);
                    }
                }
                Ok::<_, crate::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic")?;
    }
    assert_eq!(db.fetch_val::<i64>("SELECT 7", ()).await?, 7);
    super::pool::settles(&db).await;
    Ok(())
}

/// A statement whose time is over while those before it run: they are not stopped in its place.
pub async fn a_timeout_that_ends_while_others_run_hits_none_of_them(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.keyed(&db).await?;
    let (first, second) = (f.slow("1", 5.0), format!("INSERT INTO {t} (id, n) VALUES (1, 1)"));
    let late = async |on: &dyn crate::RawExecutor| {
        // By then the first one runs.
        tokio::time::sleep(Duration::from_millis(200)).await;
        on.execute(sql(&second).timeout(Duration::from_millis(50)), ()).await
    };

    let conn = db.acquire().await?;
    let (slow, late_on_conn) = tokio::join!(conn.fetch_val::<i64>(&first, ()), late(&conn));
    let tx = conn.begin().await?;
    let (slow_in_tx, late_in_tx) = tokio::join!(tx.fetch_val::<i64>(&first, ()), late(&tx));
    assert_eq!((slow?, slow_in_tx?), (1, 1));
    for late in [late_on_conn, late_in_tx] {
        let effect = fails(late, ErrorKind::StatementTimeout).effect();
        assert_eq!(effect, if f.capabilities().pipelining { Effect::Unknown } else { Effect::NotSent });
    }
    if f.capabilities().pipelining {
        tx.rollback().await?;
    } else {
        // Nothing has happened to it.
        tx.commit().await?;
        assert_eq!(conn.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await?, 0);
    }
    assert_eq!(conn.fetch_val::<i64>("SELECT 1", ()).await?, 1);
    Ok(())
}
