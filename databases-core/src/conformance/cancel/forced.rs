//! Calls inside the transaction of force_rollback, whose one connection must survive them, or, where a dropped call costs it
//! (MySQL), be missed by every call that follows.

use std::cell::Cell;

use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::checks::SOON;
use super::{Bench, EXCHANGE, Fixture};
use crate::conformance::fails;
use crate::conformance::transactions::{ids, insert};
use crate::database::Pool;
use crate::error::{Effect, ErrorKind, Result};
use crate::executor::Executor;
use crate::params;
use crate::sql::DialectKind;

/// The least id of the rows that one round leaves for the next ones to find.
const KEPT: i64 = 1000;

/// Drops what `operation` steps through at every point, and says what is left.
async fn walk(
    bench: &Bench<'_>,
    db: Option<&Pool>,
    what: &str,
    images: &[&[i64]],
    operation: impl AsyncFn(&Pool) -> Result<()>,
) -> Result<()> {
    let what = format!("{what} with force_rollback");
    match db {
        Some(db) => walk_on(bench, db, &what, images, operation).await,
        None => walk_anew(bench, &what, images, operation).await,
    }
}

/// The connection works behind each drop, outside of any savepoint of a caller, and the table holds one of `images`.
async fn walk_on(
    bench: &Bench<'_>,
    db: &Pool,
    what: &str,
    images: &[&[i64]],
    operation: impl AsyncFn(&Pool) -> Result<()>,
) -> Result<()> {
    let t = &bench.table;
    bench
        .points(what, EXCHANGE, async |place| {
            operation(db).await?;
            assert_eq!(
                still_works(bench, db, images, place).await?,
                bench.point.get(),
                "{place}: what was done before is kept"
            );
            db.execute(format!("DELETE FROM {t} WHERE id < {KEPT}"), ()).await?;
            insert(db, t, KEPT).await
        })
        .await?;
    db.execute(format!("DELETE FROM {t}"), ()).await.map(drop)
}

/// Behind each drop the connection works, or every call says that it is gone with what was done; a new one begins at each
/// point.
async fn walk_anew(
    bench: &Bench<'_>,
    what: &str,
    images: &[&[i64]],
    operation: impl AsyncFn(&Pool) -> Result<()>,
) -> Result<()> {
    let (t, lost) = (&bench.table, Cell::new(0));
    bench
        .points(what, EXCHANGE, async |place| {
            let db = &forced(bench)?;
            insert(db, t, KEPT).await?;
            operation(db).await?;
            let next = timeout(SOON, db.fetch_val::<i64>("SELECT 1", ())).await;
            if next.unwrap_or_else(|_| panic!("{place}: stuck")).is_ok() {
                assert_eq!(still_works(bench, db, images, place).await?, 1, "{place}: what was done before is kept");
            } else {
                assert!(!bench.done.get(), "{place}: nothing was dropped");
                lost.set(lost.get() + 1);
                is_missed(db, t).await;
            }
            db.close().await?;
            let observer = bench.observer.as_ref().expect("a server has room for two");
            assert_eq!(ids(observer, t).await?, [0_i64; 0], "{place}: nothing is kept");
            bench.check_outside(place).await
        })
        .await?;
    assert!(lost.get() > 0, "{what}: no drop has cost the connection, so this proves nothing");
    Ok(())
}

/// Asserts that the table holds one of `images` and statements get their own answers; how many rows the rounds have left.
async fn still_works(bench: &Bench<'_>, db: &Pool, images: &[&[i64]], place: &str) -> Result<usize> {
    let found = timeout(SOON, ids(db, &bench.table)).await.unwrap_or_else(|_| panic!("{place}: stuck"))?;
    let (found, kept): (Vec<i64>, Vec<i64>) = found.into_iter().partition(|id| *id < KEPT);
    let expected = if bench.done.get() { &images[images.len() - 1..] } else { images };
    assert!(expected.iter().any(|image| **image == found), "{place}: {found:?} is none of {expected:?}");
    for n in 1..=5 {
        assert_eq!(db.fetch_val::<i64>("SELECT :n", params! { n }).await?, n, "{place}");
    }
    Ok(kept.len())
}

/// Asserts that no call begins again from nothing.
async fn is_missed(db: &Pool, t: &str) {
    let mut stream = db.iterate::<(i64,)>("SELECT 1", ());
    let streamed = stream.next().await.unwrap_or(Ok((0,))).map(drop);
    drop(stream);
    let rows = [params! { id: 1 }];
    let calls = [
        insert(db, t, 1).await,
        streamed,
        db.execute_many(format!("INSERT INTO {t} (id, body) VALUES (:id, 'many')"), rows).await.map(drop),
        db.begin().await.map(drop),
        db.acquire().await.map(drop),
        insert(db, t, 1).await,
    ];
    for outcome in calls {
        let error = fails(outcome, ErrorKind::TransactionEnded);
        assert!(error.to_string().contains("the connection of force_rollback is gone"), "{error}");
        assert_eq!(error.effect(), Effect::NotSent, "{error:?}");
    }
}

fn forced(bench: &Bench<'_>) -> Result<Pool> {
    bench.pool(|config| config.options.force_rollback = true)
}

pub async fn a_call_dropped_with_force_rollback_leaves_the_connection_usable_or_missed(f: &Fixture) -> Result<()> {
    let bench = Bench::new(f).await?;
    let shared = if f.kind() == DialectKind::MySql { None } else { Some(forced(&bench)?) };
    let (db, t) = (shared.as_ref(), &bench.table);
    // An in-memory database is one of its own for each pool.
    if let (Some(db), true) = (db, f.single_connection()) {
        let types = f.types;
        let create = format!("CREATE TABLE {t} (id {}, body {})", types.i64, types.text);
        db.execute(create, ()).await?;
    }
    walk(&bench, db, "execute", &[&[], &[1]], async |db| bench.step(insert(db, t, 1)).await.unwrap_or(Ok(()))).await?;
    walk(&bench, db, "execute_many", &[&[], &[1, 2]], async |db| {
        let sql = format!("INSERT INTO {t} (id, body) VALUES (:id, 'many')");
        let many = db.execute_many(sql, (1..=2).map(|id| params! { id }));
        bench.step(many).await.unwrap_or(Ok(0)).map(drop)
    })
    .await?;
    walk(&bench, db, "iterate", &[&[]], async |db| {
        let read = async {
            let mut rows = db.iterate::<(i64,)>("SELECT 1 UNION ALL SELECT 2", ());
            while let Some(row) = rows.next().await {
                row?;
            }
            Ok(())
        };
        bench.step(read).await.unwrap_or(Ok(()))
    })
    .await?;
    walk(&bench, db, "begin", &[&[]], async |db| {
        let Some(tx) = bench.step(db.begin()).await else { return Ok(()) };
        insert(&tx?, t, 1).await
    })
    .await?;
    walk(&bench, db, "commit", &[&[], &[1]], async |db| {
        let tx = db.begin().await?;
        insert(&tx, t, 1).await?;
        bench.step(tx.commit()).await.unwrap_or(Ok(()))
    })
    .await?;
    walk(&bench, db, "rollback", &[&[]], async |db| {
        let tx = db.begin().await?;
        insert(&tx, t, 1).await?;
        bench.step(tx.rollback()).await.unwrap_or(Ok(()))
    })
    .await
}
