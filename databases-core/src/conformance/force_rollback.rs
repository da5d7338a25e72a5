//! `force_rollback`: one connection, one transaction around everything, and nothing of it stays.

use futures_util::StreamExt as _;

use super::transactions::{ids, insert};
use super::{Fixture, fails};
use crate::database::Pool;
use crate::error::{Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::params;

fn forced(f: &Fixture) -> Result<Pool> {
    f.pool_with(|options| options.force_rollback = true)
}

pub async fn forced_data_is_there_until_close_and_gone_afterwards(f: &Fixture) -> Result<()> {
    let outside = f.pool()?;
    let t = f.notes(&outside).await?;
    insert(&outside, &t, 1).await?;
    let db = forced(f)?;
    insert(&db, &t, 2).await?;
    let tx = db.begin().await?;
    insert(&tx, &t, 3).await?;
    tx.commit().await?;
    let rows = [4, 5].map(|id| params! { id });
    db.execute_many(format!("INSERT INTO {t} (id, body) VALUES (:id, 'y')"), rows).await?;
    assert_eq!(ids(&db, &t).await?, [1, 2, 3, 4, 5]);
    assert_eq!(ids(&outside, &t).await?, [1]);
    db.close().await?;
    assert_eq!(ids(&outside, &t).await?, [1]);
    Ok(())
}

pub async fn forced_data_is_gone_when_the_last_handle_drops(f: &Fixture) -> Result<()> {
    let outside = f.pool()?;
    let t = f.notes(&outside).await?;
    let db = f.pool_config(f.url(), |options| options.force_rollback = true, |_| {})?;
    insert(&db, &t, 2).await?;
    f.forget_pools();
    drop(db);
    // The write is possible only once the forced transaction is over.
    insert(&outside, &t, 3).await?;
    assert_eq!(ids(&outside, &t).await?, [3]);
    Ok(())
}

pub async fn forced_errors_undo_only_their_own_statement(f: &Fixture) -> Result<()> {
    let outside = f.pool()?;
    let t = f.keyed(&outside).await?;
    let db = forced(f)?;
    let insert = format!("INSERT INTO {t} (id, n) VALUES (:id, 0)");
    db.execute(&insert, params! { id: 1 }).await?;
    fails(db.execute(&insert, params! { id: 1 }).await, ErrorKind::UniqueViolation);
    fails(db.execute_many(&insert, [2, 3, 1].map(|id| params! { id })).await, ErrorKind::UniqueViolation);
    fails(db.fetch_val::<i64>(format!("SELECT no_such_column FROM {t}"), ()).await, ErrorKind::UndefinedColumn);
    db.execute(&insert, params! { id: 4 }).await?;
    assert_eq!(ids(&db, &t).await?, [1, 4]);
    Ok(())
}

pub async fn forced_transactions_commit_and_roll_back_inside(f: &Fixture) -> Result<()> {
    let outside = f.pool()?;
    let t = f.notes(&outside).await?;
    let db = forced(f)?;
    db.transaction(async |tx| insert(tx, &t, 1).await).await?;
    let undone: Result<()> = db
        .transaction(async |tx| {
            insert(tx, &t, 2).await?;
            tx.transaction(async |inner| insert(inner, &t, 3).await).await?;
            Err(Error::new(ErrorKind::Internal, "the case's own error"))
        })
        .await;
    fails(undone, ErrorKind::Internal);
    drop(db.begin().await?);
    let tx = db.begin().await?;
    insert(&tx, &t, 4).await?;
    drop(tx);
    let conn = db.acquire().await?;
    insert(&conn, &t, 5).await?;
    drop(conn);
    assert_eq!(ids(&db, &t).await?, [1, 5]);
    let sql = format!("SELECT id FROM {t} ORDER BY id");
    let streamed: Vec<Result<(i64,)>> = db.iterate::<(i64,)>(&sql, ()).collect().await;
    assert_eq!(streamed.into_iter().collect::<Result<Vec<_>>>()?, [(1,), (5,)]);
    let mut early = db.iterate::<(i64,)>(&sql, ());
    early.next().await.expect("a row")?;
    drop(early);
    assert_eq!(ids(&db, &t).await?, [1, 5]);
    Ok(())
}

pub async fn forced_calls_take_turns_on_one_connection(f: &Fixture) -> Result<()> {
    let outside = f.pool()?;
    let t = f.notes(&outside).await?;
    let db = forced(f)?;
    let tasks: Vec<_> = (0..20)
        .map(|id| {
            let (db, t) = (db.clone(), t.clone());
            tokio::spawn(async move {
                if id % 2 == 0 {
                    insert(&db, &t, id).await
                } else {
                    db.transaction(async |tx| insert(tx, &t, id).await).await
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic")?;
    }
    assert_eq!(ids(&db, &t).await?, (0..20).collect::<Vec<_>>());
    assert_eq!(db.status().size, 1);
    Ok(())
}

pub async fn forced_transaction_control_as_text_is_refused(f: &Fixture) -> Result<()> {
    let db = forced(f)?;
    fails(db.execute("COMMIT", ()).await, ErrorKind::Unsupported);
    fails(db.execute_script("SELECT 1; COMMIT").await, ErrorKind::Unsupported);
    let conn = db.acquire().await?;
    let error = fails(conn.execute("ROLLBACK", ()).await, ErrorKind::Unsupported);
    assert!(error.to_string().contains("force_rollback"), "{error}");
    Ok(())
}

pub async fn forced_ddl_is_undone_or_refused(f: &Fixture) -> Result<()> {
    let db = forced(f)?;
    let made = f.table("made");
    let created = db.execute(format!("CREATE TABLE {made} (id {})", f.types.i64), ()).await;
    if f.capabilities().transactional_ddl {
        created?;
        db.execute(format!("INSERT INTO {made} (id) VALUES (1)"), ()).await?;
        db.close().await?;
        fails(f.pool()?.execute(format!("SELECT id FROM {made}"), ()).await, ErrorKind::UndefinedTable);
    } else {
        fails(created, ErrorKind::Unsupported);
        db.close().await?;
        fails(f.pool()?.execute(format!("SELECT id FROM {made}"), ()).await, ErrorKind::UndefinedTable);
    }
    Ok(())
}
