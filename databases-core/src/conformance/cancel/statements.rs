//! Statements, on the pool, in a transaction and in a savepoint.

use futures_util::StreamExt as _;

use super::{Bench, Fixture};
use crate::conformance::transactions::{ids, insert};
use crate::database::Pool;
use crate::error::{ErrorKind, Result};
use crate::executor::{Executor, RawExecutor};
use crate::params;
use crate::transaction::Transaction;

/// What a statement may be written for.
struct Texts<'a> {
    table: &'a str,
    /// Differs from run to run, for texts that were never prepared.
    run: usize,
}

/// What becomes of the transaction that a dropped statement ran in.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// It can only be rolled back.
    Doomed,
    /// It may go on: the statement has undone itself, or was a stream that had been opened.
    Either,
}

/// Where a statement runs.
#[derive(Clone, Copy)]
enum On<'a> {
    Pool(&'a Pool),
    Transaction(&'a Transaction),
}

impl<'a> On<'a> {
    fn executor(self) -> &'a dyn RawExecutor {
        match self {
            Self::Pool(db) => db,
            Self::Transaction(tx) => tx,
        }
    }
}

/// Drops `statement` at every point, on the pool, in a transaction and in a savepoint.
async fn everywhere(
    f: &Fixture,
    what: &str,
    fate: Fate,
    images: &[&[i64]],
    statement: impl AsyncFn(&dyn RawExecutor, &Texts<'_>) -> Result<()>,
) -> Result<()> {
    everywhere_on(f, what, fate, images, async |on, texts| statement(on.executor(), texts).await).await
}

async fn everywhere_on(
    f: &Fixture,
    what: &str,
    fate: Fate,
    images: &[&[i64]],
    statement: impl AsyncFn(On<'_>, &Texts<'_>) -> Result<()>,
) -> Result<()> {
    let bench = Bench::new(f).await?;
    let texts = |setting: usize| Texts { table: &bench.table, run: setting * 1000 + bench.point.get() };
    bench
        .walk(what, images, async || {
            let done = bench.step(statement(On::Pool(&bench.db), &texts(0))).await;
            done.unwrap_or(Ok(()))
        })
        .await?;
    if f.capabilities().transactions {
        let what = format!("{what} in a transaction");
        bench.walk(&what, &[&[], &[100]], async || in_transaction(&bench, fate, &statement, &texts(1)).await).await?;
    }
    if f.capabilities().savepoints {
        let what = format!("{what} in a savepoint");
        bench.walk(&what, &[&[], &[100]], async || in_savepoint(&bench, fate, &statement, &texts(2)).await).await?;
    }
    Ok(())
}

/// The statement was dropped in the middle of its transaction, which goes on as if it had not been begun or not at all.
async fn in_transaction(
    bench: &Bench<'_>,
    fate: Fate,
    statement: &impl AsyncFn(On<'_>, &Texts<'_>) -> Result<()>,
    texts: &Texts<'_>,
) -> Result<()> {
    let t = &bench.table;
    let tx = bench.db.begin().await?;
    insert(&tx, t, 100).await?;
    if let Some(done) = bench.step(statement(On::Transaction(&tx), texts)).await {
        done?;
        tx.execute(format!("DELETE FROM {t} WHERE id <> 100"), ()).await?;
        return tx.commit().await;
    }
    if goes_on(bench, fate, &tx).await? {
        return tx.rollback().await;
    }
    match bench.point.get() % 3 {
        0 => drop(tx),
        1 => assert!(tx.commit().await.is_err(), "a doomed transaction is not committed"),
        // It is rolled back, or gone with its connection.
        _ => tx.rollback().await.or_else(disconnected)?,
    }
    Ok(())
}

/// Whether `tx` still runs statements, as it does if nothing was begun in it.
async fn goes_on(bench: &Bench<'_>, fate: Fate, tx: &Transaction) -> Result<bool> {
    let next = tx.fetch_val::<i64>("SELECT 1", ()).await;
    if bench.point.get() == 0 {
        next?;
        return Ok(true);
    }
    assert!(fate == Fate::Either || next.is_err(), "the transaction of a dropped statement goes on");
    let goes_on = next.is_ok();
    next.map(drop).or_else(disconnected)?;
    Ok(goes_on)
}

/// The statement was dropped in a savepoint: what was done around it is whole or gone.
async fn in_savepoint(
    bench: &Bench<'_>,
    fate: Fate,
    statement: &impl AsyncFn(On<'_>, &Texts<'_>) -> Result<()>,
    texts: &Texts<'_>,
) -> Result<()> {
    let t = &bench.table;
    let tx = bench.db.begin().await?;
    insert(&tx, t, 100).await?;
    let savepoint = tx.begin().await?;
    insert(&savepoint, t, 101).await?;
    if let Some(done) = bench.step(statement(On::Transaction(&savepoint), texts)).await {
        done?;
        savepoint.rollback().await?;
        assert_eq!(ids(&tx, t).await?, [100]);
        return tx.commit().await;
    }
    goes_on(bench, fate, &savepoint).await?;
    match bench.point.get() % 2 {
        0 => drop(savepoint),
        _ => savepoint.rollback().await.or_else(disconnected)?,
    }
    match ids(&tx, t).await {
        Ok(found) => {
            assert_eq!(found, [100], "what was done before the savepoint, and nothing else");
            if bench.point.get() == 0 { tx.rollback().await } else { tx.commit().await }
        }
        Err(error) => disconnected(error),
    }
}

/// On MySQL a dropped call takes its connection along, on SQLite an interrupted write its transaction.
pub(super) fn disconnected(error: crate::Error) -> Result<()> {
    match error.kind() {
        ErrorKind::Disconnected | ErrorKind::TransactionEnded => Ok(()),
        _ => Err(error),
    }
}

fn numbers(run: &Texts<'_>, what: &str) -> String {
    // A table's rows, so that it is no constant.
    format!("SELECT id {what} FROM (SELECT 1 AS id UNION ALL SELECT 2 UNION ALL SELECT 3) AS n /* {} */", run.run)
}

pub async fn a_dropped_execute_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    everywhere(f, "execute of a write", Fate::Doomed, &[&[], &[7]], async |db, texts| insert(db, texts.table, 7).await)
        .await?;
    everywhere(f, "execute of a read", Fate::Doomed, &[&[]], async |db, _| {
        db.execute("SELECT 1 AS a UNION ALL SELECT 2", ()).await.map(drop)
    })
    .await
}

pub async fn a_dropped_fetch_all_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    everywhere(f, "fetch_all", Fate::Doomed, &[&[]], async |db, texts| {
        let fixed = Texts { run: 0, ..*texts };
        let rows: Vec<(i64,)> = db.fetch_all(numbers(&fixed, ""), ()).await?;
        assert_eq!(rows.len(), 3);
        Ok(())
    })
    .await
}

pub async fn a_dropped_first_use_of_a_text_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    everywhere(f, "fetch_all, prepared anew", Fate::Doomed, &[&[]], async |db, texts| {
        let rows: Vec<(i64, i64)> = db.fetch_all(numbers(texts, ", :n AS n"), params! { n: 5 }).await?;
        assert_eq!(rows.len(), 3);
        Ok(())
    })
    .await
}

pub async fn a_dropped_statement_that_is_not_kept_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    everywhere(f, "fetch_all, not kept prepared", Fate::Doomed, &[&[]], async |db, texts| {
        let query = crate::query::sql(numbers(texts, "")).prepared(false);
        let rows: Vec<(i64,)> = db.fetch_all(query, ()).await?;
        assert_eq!(rows.len(), 3);
        Ok(())
    })
    .await
}

pub async fn a_dropped_fetch_one_val_or_optional_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    everywhere(f, "fetch_one", Fate::Doomed, &[&[]], async |db, _| {
        db.fetch_one::<(i64,)>("SELECT :n AS n", params! { n: 5 }).await.map(|(n,)| assert_eq!(n, 5))
    })
    .await?;
    everywhere(f, "fetch_val", Fate::Doomed, &[&[]], async |db, _| {
        db.fetch_val::<i64>("SELECT :n AS m", params! { n: 6 }).await.map(|n| assert_eq!(n, 6))
    })
    .await?;
    everywhere(f, "fetch_optional", Fate::Doomed, &[&[]], async |db, texts| {
        let sql = format!("SELECT id FROM {} WHERE id = :n", texts.table);
        db.fetch_optional::<(i64,)>(sql, params! { n: 5 }).await.map(|row| assert_eq!(row, None))
    })
    .await
}

pub async fn a_dropped_execute_many_is_done_for_all_rows_or_none(f: &Fixture) -> Result<()> {
    everywhere(f, "execute_many", Fate::Either, &[&[], &[1, 2, 3]], async |db, texts| {
        let sql = format!("INSERT INTO {} (id, body) VALUES (:id, 'many')", texts.table);
        db.execute_many(sql, (1..=3).map(|id| params! { id })).await.map(|rows| assert_eq!(rows, 3))
    })
    .await
}

pub async fn a_dropped_execute_script_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    // One after the other elsewhere.
    let images: &[&[i64]] = f.pick(&[&[], &[1, 2]], &[&[], &[1], &[1, 2]], &[&[], &[1], &[1, 2]]);
    everywhere(f, "execute_script", Fate::Doomed, images, async |db, Texts { table, .. }| {
        let insert = |id| format!("INSERT INTO {table} (id, body) VALUES ({id}, 'script')");
        db.execute_script(&format!("{}; SELECT 1; {}", insert(1), insert(2))).await
    })
    .await
}

pub async fn a_dropped_stream_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    everywhere(f, "iterate", Fate::Either, &[&[]], async |db, texts| {
        let fixed = Texts { run: 0, ..*texts };
        let mut rows = db.iterate::<(i64,)>(numbers(&fixed, "AS streamed"), ());
        let mut count = 0;
        while let Some(row) = rows.next().await {
            row?;
            count += 1;
        }
        assert_eq!(count, 3);
        Ok(())
    })
    .await
}

pub async fn a_dropped_copy_of_rows_is_done_for_all_or_none(f: &Fixture) -> Result<()> {
    everywhere_on(f, "copy_rows", Fate::Either, &[&[], &[1, 2, 3]], async |on, Texts { table, .. }| {
        let rows = (1..=3).map(|id| params! { id, body: "copied" });
        let copied = match on {
            On::Pool(db) => db.copy_rows(*table, ["id", "body"], rows).await,
            On::Transaction(tx) => tx.copy_rows(*table, ["id", "body"], rows).await,
        };
        copied.map(|rows| assert_eq!(rows, 3))
    })
    .await
}

pub async fn a_dropped_copy_of_bytes_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    everywhere_on(f, "copy_in", Fate::Doomed, &[&[], &[1, 2, 3]], async |on, Texts { table, .. }| {
        let sql = format!("COPY {table} (id, body) FROM STDIN");
        let mut copy = match on {
            On::Pool(db) => db.copy_in(sql).await?,
            On::Transaction(tx) => tx.copy_in(sql).await?,
        };
        copy.send("1\tcopied\n2\tcop").await?;
        copy.send("ied\n3\tcopied\n").await?;
        copy.finish().await.map(|rows| assert_eq!(rows, 3))
    })
    .await
}

pub async fn a_dropped_wait_for_a_lock_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    let bench = Bench::new(f).await?;
    let Some(observer) = &bench.observer else {
        f.not_claimed("waiting for another connection's lock");
        return Ok(());
    };
    let t = &bench.table;
    let update = format!("UPDATE {t} SET body = 'changed' WHERE id = 1");
    insert(observer, t, 1).await?;
    for round in 0..10 {
        let holder = observer.begin().await?;
        holder.execute(&update, ()).await?;
        let waits = std::time::Duration::from_millis(round * 3);
        let waiting = async {
            if round % 2 == 0 {
                bench.db.execute(&update, ()).await.map(drop)
            } else {
                let tx = bench.db.begin().await?;
                tx.execute(&update, ()).await.map(drop)
            }
        };
        assert!(tokio::time::timeout(waits, waiting).await.is_err(), "the lock is held by another");
        holder.rollback().await?;
        let place = format!("a wait of {waits:?} for a lock");
        bench.check(&bench.db, &place).await?;
        bench.check_data(&[&[1]], &place).await?;
    }
    println!("cancel: a wait for a lock on {}: 10 points", f.backend_name());
    Ok(())
}
