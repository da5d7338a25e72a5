//! Calls inside the transaction of force_rollback, whose one connection must survive them.

use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::checks::SOON;
use super::{Bench, EXCHANGE, Fixture};
use crate::conformance::transactions::{ids, insert};
use crate::database::Pool;
use crate::error::Result;
use crate::executor::Executor;
use crate::params;
use crate::sql::DialectKind;

/// The least id of the rows that one round leaves for the next ones to find.
const KEPT: i64 = 1000;

/// Drops what `operation` steps through at every point; the connection then works, outside of any savepoint of a caller, and
/// the table holds one of `images`.
async fn walk(
    bench: &Bench<'_>,
    db: &Pool,
    what: &str,
    images: &[&[i64]],
    operation: impl AsyncFn() -> Result<()>,
) -> Result<()> {
    let t = &bench.table;
    let what = format!("{what} with force_rollback");
    bench
        .points(&what, EXCHANGE, async |place| {
            operation().await?;
            let mut found = timeout(SOON, ids(db, t)).await.unwrap_or_else(|_| panic!("{place}: stuck"))?;
            let kept = found.iter().filter(|id| **id >= KEPT).count();
            assert_eq!(kept, bench.point.get(), "{place}: what was done before is kept");
            found.retain(|id| *id < KEPT);
            let expected = if bench.done.get() { &images[images.len() - 1..] } else { images };
            assert!(expected.iter().any(|image| **image == found), "{place}: {found:?} is none of {expected:?}");
            for n in 1..=5 {
                assert_eq!(db.fetch_val::<i64>("SELECT :n", params! { n }).await?, n, "{place}");
            }
            db.execute(format!("DELETE FROM {t} WHERE id < {KEPT}"), ()).await?;
            insert(db, t, KEPT).await
        })
        .await?;
    db.execute(format!("DELETE FROM {t}"), ()).await.map(drop)
}

pub async fn a_call_dropped_with_force_rollback_leaves_the_connection_usable(f: &Fixture) -> Result<()> {
    let bench = Bench::new(f).await?;
    if f.kind() == DialectKind::MySql {
        f.not_claimed("a connection that survives a dropped call");
        return Ok(());
    }
    let forced = bench.pool(|config| config.options.force_rollback = true)?;
    // An in-memory database is one of its own for each pool.
    if f.single_connection() {
        let types = f.types;
        let create = format!("CREATE TABLE {} (id {}, body {})", bench.table, types.i64, types.text);
        forced.execute(create, ()).await?;
    }
    let (db, t) = (&forced, &bench.table);
    walk(&bench, db, "execute", &[&[], &[1]], async || bench.step(insert(db, t, 1)).await.unwrap_or(Ok(()))).await?;
    walk(&bench, db, "execute_many", &[&[], &[1, 2]], async || {
        let sql = format!("INSERT INTO {t} (id, body) VALUES (:id, 'many')");
        let many = db.execute_many(sql, (1..=2).map(|id| params! { id }));
        bench.step(many).await.unwrap_or(Ok(0)).map(drop)
    })
    .await?;
    walk(&bench, db, "iterate", &[&[]], async || {
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
    walk(&bench, db, "begin", &[&[]], async || {
        let Some(tx) = bench.step(db.begin()).await else { return Ok(()) };
        insert(&tx?, t, 1).await
    })
    .await?;
    walk(&bench, db, "commit", &[&[], &[1]], async || {
        let tx = db.begin().await?;
        insert(&tx, t, 1).await?;
        bench.step(tx.commit()).await.unwrap_or(Ok(()))
    })
    .await?;
    walk(&bench, db, "rollback", &[&[]], async || {
        let tx = db.begin().await?;
        insert(&tx, t, 1).await?;
        bench.step(tx.rollback()).await.unwrap_or(Ok(()))
    })
    .await
}
