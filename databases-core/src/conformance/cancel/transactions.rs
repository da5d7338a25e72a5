//! What begins and ends transactions and savepoints.

use super::statements::disconnected;
use super::{Bench, Fixture};
use crate::conformance::transactions::{ids, insert};
use crate::connection::Connection;
use crate::error::Result;
use crate::executor::Executor;
use crate::options::TransactionOptions;

pub async fn a_dropped_begin_leaves_nothing_open(f: &Fixture) -> Result<()> {
    let bench = Bench::new(f).await?;
    let (db, t) = (&bench.db, &bench.table);
    // With a statement, because that is what a backend may send BEGIN with.
    let begins = async || {
        let tx = db.begin().await?;
        insert(&tx, t, 1).await?;
        Ok::<_, crate::Error>(tx)
    };
    bench
        .walk("begin", &[&[]], async || {
            let Some(tx) = bench.step(begins()).await else { return Ok(()) };
            tx?.rollback().await
        })
        .await?;
    let reads = async || {
        let tx = db.begin_with(TransactionOptions::new().read_only(true)).await?;
        ids(&tx, t).await?;
        Ok::<_, crate::Error>(tx)
    };
    bench
        .walk("begin_with", &[&[]], async || {
            let Some(tx) = bench.step(reads()).await else { return Ok(()) };
            tx?.rollback().await
        })
        .await?;
    bench
        .walk("begin on a connection", &[&[], &[1]], async || {
            let conn = db.acquire().await?;
            let begins = async {
                let tx = conn.begin().await?;
                insert(&tx, t, 1).await?;
                Ok::<_, crate::Error>(tx)
            };
            match bench.step(begins).await {
                Some(tx) => tx?.commit().await,
                None if bench.point.get() > 0 => kept(&bench, conn, 1).await,
                None => Ok(()),
            }
        })
        .await
}

/// What comes next on the connection is outside of the transaction that nobody has any more, and so is kept.
async fn kept(bench: &Bench<'_>, conn: Connection, id: i64) -> Result<()> {
    if let Err(error) = insert(&conn, &bench.table, id).await {
        return disconnected(error);
    }
    drop(conn);
    assert_eq!(ids(&bench.db, &bench.table).await?, [id], "a statement that has worked is kept");
    Ok(())
}

pub async fn a_dropped_commit_has_committed_or_rolled_back(f: &Fixture) -> Result<()> {
    let bench = Bench::new(f).await?;
    let (db, t) = (&bench.db, &bench.table);
    bench
        .walk("commit", &[&[], &[1]], async || {
            let tx = db.begin().await?;
            insert(&tx, t, 1).await?;
            bench.step(tx.commit()).await.unwrap_or(Ok(()))
        })
        .await?;
    bench
        .walk("commit on a connection", &[&[], &[1]], async || {
            let conn = db.acquire().await?;
            let tx = conn.begin().await?;
            insert(&tx, t, 1).await?;
            if let Some(done) = bench.step(tx.commit()).await {
                return done;
            }
            let found = match ids(&conn, t).await {
                Ok(found) => found,
                Err(error) => return disconnected(error),
            };
            drop(conn);
            assert_eq!(ids(db, t).await?, found, "what was read is committed");
            Ok(())
        })
        .await
}

pub async fn a_dropped_rollback_rolls_back(f: &Fixture) -> Result<()> {
    let bench = Bench::new(f).await?;
    let (db, t) = (&bench.db, &bench.table);
    bench
        .walk("rollback", &[&[]], async || {
            let tx = db.begin().await?;
            insert(&tx, t, 1).await?;
            bench.step(tx.rollback()).await.unwrap_or(Ok(()))
        })
        .await?;
    bench
        .walk("rollback on a connection", &[&[], &[2]], async || {
            let conn = db.acquire().await?;
            let tx = conn.begin().await?;
            insert(&tx, t, 1).await?;
            match bench.step(tx.rollback()).await {
                Some(done) => {
                    done?;
                    insert(&conn, t, 2).await
                }
                None if bench.point.get() > 0 => kept(&bench, conn, 2).await,
                None => Ok(()),
            }
        })
        .await
}

pub async fn a_dropped_step_of_a_savepoint_leaves_its_transaction_whole_or_gone(f: &Fixture) -> Result<()> {
    let bench = Bench::new(f).await?;
    let (db, t) = (&bench.db, &bench.table);
    bench
        .walk("begin of a savepoint", &[&[], &[1]], async || {
            let tx = db.begin().await?;
            insert(&tx, t, 1).await?;
            let Some(savepoint) = bench.step(tx.begin()).await else { return whole_or_gone(&bench, tx, &[&[1]]).await };
            let savepoint = savepoint?;
            insert(&savepoint, t, 2).await?;
            savepoint.rollback().await?;
            tx.commit().await
        })
        .await?;
    bench
        .walk("commit of a savepoint", &[&[], &[1], &[1, 2]], async || {
            let tx = db.begin().await?;
            insert(&tx, t, 1).await?;
            let savepoint = tx.begin().await?;
            insert(&savepoint, t, 2).await?;
            if let Some(done) = bench.step(savepoint.commit()).await {
                done?;
                return tx.commit().await;
            }
            whole_or_gone(&bench, tx, &[&[1], &[1, 2]]).await
        })
        .await?;
    bench
        .walk("rollback of a savepoint", &[&[], &[1]], async || {
            let tx = db.begin().await?;
            insert(&tx, t, 1).await?;
            let savepoint = tx.begin().await?;
            insert(&savepoint, t, 2).await?;
            if let Some(done) = bench.step(savepoint.rollback()).await {
                done?;
                return tx.commit().await;
            }
            whole_or_gone(&bench, tx, &[&[1]]).await
        })
        .await
}

/// Behind a dropped step of a savepoint the transaction around it goes on, with one of `images`, or is gone.
async fn whole_or_gone(bench: &Bench<'_>, tx: crate::Transaction, images: &[&[i64]]) -> Result<()> {
    match ids(&tx, &bench.table).await {
        Ok(found) => assert!(images.iter().any(|image| **image == found), "{found:?} is none of {images:?}"),
        Err(error) => return disconnected(error),
    }
    if bench.point.get() == 0 { tx.rollback().await } else { tx.commit().await }
}

pub async fn a_dropped_transaction_closure_has_committed_or_rolled_back(f: &Fixture) -> Result<()> {
    let bench = Bench::new(f).await?;
    let (db, t) = (&bench.db, &bench.table);
    bench
        .walk("transaction of a closure", &[&[], &[1, 2]], async || {
            let work = db.transaction(async |tx| {
                insert(tx, t, 1).await?;
                tx.transaction(async |tx| insert(tx, t, 2).await).await
            });
            bench.step(work).await.unwrap_or(Ok(()))
        })
        .await?;
    bench
        .walk("transaction of a closure that fails", &[&[]], async || {
            let work = db.transaction(async |tx| {
                insert(tx, t, 1).await?;
                Err::<(), _>(crate::Error::new(crate::ErrorKind::NoRows, "on purpose"))
            });
            if let Some(done) = bench.step(work).await {
                assert_eq!(done.map_err(|error| error.kind()), Err(crate::ErrorKind::NoRows));
            }
            Ok(())
        })
        .await
}

pub async fn a_transaction_dropped_between_its_statements_is_rolled_back(f: &Fixture) -> Result<()> {
    let bench = Bench::new(f).await?;
    let (db, t) = (&bench.db, &bench.table);
    // The clean-up itself is dropped on the way: the next call on the connection begins it.
    bench
        .walk("the first call behind a dropped transaction", &[&[]], async || {
            let conn = db.acquire().await?;
            let tx = conn.begin().await?;
            insert(&tx, t, 1).await?;
            drop(tx);
            let read = conn.fetch_val::<i64>("SELECT 1", ());
            if let Some(read) = bench.step(read).await {
                read?;
            }
            Ok(())
        })
        .await
}
