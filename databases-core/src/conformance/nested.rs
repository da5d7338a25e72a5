//! Nested transactions.

use super::transactions::{ids, insert};
use super::{Fixture, fails};
use crate::error::{Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::options::{Isolation, TransactionOptions};

pub async fn a_nested_commit_is_part_of_the_outer_transaction(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    for keep in [true, false] {
        let tx = db.begin().await?;
        insert(&tx, &t, 1).await?;
        let inner = tx.begin().await?;
        insert(&inner, &t, 2).await?;
        inner.commit().await?;
        insert(&tx, &t, 3).await?;
        if keep {
            tx.commit().await?
        } else {
            tx.rollback().await?
        }
        assert_eq!(ids(&db, &t).await?, [1, 2, 3]);
    }
    Ok(())
}

pub async fn a_nested_rollback_undoes_only_the_inner_part(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let tx = db.begin().await?;
    insert(&tx, &t, 1).await?;
    let inner = tx.begin().await?;
    insert(&inner, &t, 2).await?;
    inner.rollback().await?;
    let inner = tx.begin().await?;
    insert(&inner, &t, 3).await?;
    inner.commit().await?;
    tx.commit().await?;
    assert_eq!(ids(&db, &t).await?, [1, 3]);
    Ok(())
}

pub async fn a_dropped_nested_transaction_is_undone_before_the_next_statement(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let tx = db.begin().await?;
    let inner = tx.begin().await?;
    insert(&inner, &t, 1).await?;
    let innermost = inner.begin().await?;
    insert(&innermost, &t, 2).await?;
    drop(innermost);
    drop(inner);
    insert(&tx, &t, 3).await?;
    assert_eq!(ids(&tx, &t).await?, [3]);
    let inner = tx.begin().await?;
    insert(&inner, &t, 4).await?;
    fails(inner.execute("SELECT * FROM no_such_table", ()).await, ErrorKind::UndefinedTable);
    drop(inner);
    tx.commit().await?;
    assert_eq!(ids(&db, &t).await?, [3], "a child that was dropped last is undone by commit, whatever failed in it");
    Ok(())
}

pub async fn transactions_nest_deeply(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let mut open = vec![db.begin().await?];
    for depth in 0..8 {
        let last = &open[open.len() - 1];
        insert(last, &t, depth).await?;
        let next = last.begin().await?;
        open.push(next);
    }
    while let Some(tx) = open.pop() {
        if open.len() % 2 == 0 { tx.commit().await? } else { tx.rollback().await? }
    }
    // Level 1 was rolled back and with it all inside.
    assert_eq!(ids(&db, &t).await?, [0]);
    Ok(())
}

pub async fn closures_nest(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.transaction(async |tx| {
        insert(tx, &t, 1).await?;
        tx.transaction(async |inner| insert(inner, &t, 2).await).await?;
        let undone: Result<()> = tx
            .transaction(async |inner| {
                insert(inner, &t, 3).await?;
                Err(Error::new(ErrorKind::Internal, "the case's own error"))
            })
            .await;
        fails(undone, ErrorKind::Internal);
        insert(tx, &t, 4).await
    })
    .await?;
    assert_eq!(ids(&db, &t).await?, [1, 2, 4]);
    Ok(())
}

pub async fn an_open_child_makes_its_parent_busy(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let conn = db.acquire().await?;
    let tx = conn.begin().await?;
    fails(conn.execute("SELECT 1", ()).await, ErrorKind::Busy);
    let inner = tx.begin().await?;
    fails(insert(&tx, &t, 1).await, ErrorKind::Busy);
    fails(tx.begin().await, ErrorKind::Busy);
    insert(&inner, &t, 2).await?;
    inner.commit().await?;
    insert(&tx, &t, 3).await?;
    tx.commit().await?;
    assert_eq!(ids(&conn, &t).await?, [2, 3]);
    Ok(())
}

pub async fn commit_with_an_open_child_is_busy_and_rolls_back_everything(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    for commit in [true, false] {
        let tx = db.begin().await?;
        insert(&tx, &t, 1).await?;
        let inner = tx.begin().await?;
        insert(&inner, &t, 2).await?;
        fails(if commit { tx.commit().await } else { tx.rollback().await }, ErrorKind::Busy);
        // The child's handle is of no use any more, whichever way that is said.
        drop(inner);
        assert_eq!(ids(&db, &t).await?, [0_i64; 0]);
    }
    Ok(())
}

pub async fn options_belong_to_the_outermost_transaction(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let tx = db.begin().await?;
    let strict = TransactionOptions::new().isolation(Isolation::Serializable);
    fails(tx.begin_with(strict).await, ErrorKind::Unsupported);
    fails(tx.begin_with(TransactionOptions::new().read_only(true)).await, ErrorKind::Unsupported);
    let inner = tx.begin_with(TransactionOptions::new().retry(3)).await?;
    inner.commit().await?;
    assert_eq!(tx.fetch_val::<i64>("SELECT 1", ()).await?, 1);
    tx.commit().await
}

pub async fn a_statement_on_the_pool_is_outside_of_the_transaction(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let (a, b) = (f.notes(&db).await?, f.notes(&db).await?);
    let tx = db.begin().await?;
    assert_eq!(ids(&tx, &a).await?, [0_i64; 0]);
    if f.kind() == crate::sql::DialectKind::Sqlite {
        // One writer at a time: the pool's write waits for the transaction, and reads do not.
        assert_eq!(ids(&db, &b).await?, [0_i64; 0]);
        tx.rollback().await?;
    } else {
        insert(&db, &b, 1).await?;
        tx.rollback().await?;
        assert_eq!(ids(&db, &b).await?, [1]);
    }
    Ok(())
}
