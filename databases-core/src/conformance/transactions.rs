//! Transactions: what is kept, what is undone, and by whom.

use futures_util::FutureExt as _;

use super::{Fixture, fails};
use crate::database::Pool;
use crate::error::{Error, ErrorKind, Result};
use crate::executor::{Executor, RawExecutor};
use crate::params;
use crate::sql::DialectKind;
use crate::transaction::Transaction;

pub(super) async fn insert(db: &(impl Executor + ?Sized), t: &str, id: i64) -> Result<()> {
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (:id, 'x')"), params! { id }).await?;
    Ok(())
}

pub(super) async fn ids(db: &(impl Executor + ?Sized), t: &str) -> Result<Vec<i64>> {
    let rows: Vec<(i64,)> = db.fetch_all(format!("SELECT id FROM {t} ORDER BY id"), ()).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

pub async fn commit_keeps_and_rollback_undoes(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let tx = db.begin().await?;
    insert(&tx, &t, 1).await?;
    assert_eq!(ids(&tx, &t).await?, [1]);
    tx.commit().await?;
    let tx = db.begin().await?;
    insert(&tx, &t, 2).await?;
    tx.execute(format!("UPDATE {t} SET id = 9 WHERE id = 1"), ()).await?;
    tx.execute(format!("DELETE FROM {t} WHERE id = 2"), ()).await?;
    tx.rollback().await?;
    assert_eq!(ids(&db, &t).await?, [1]);
    Ok(())
}

pub async fn a_dropped_transaction_is_rolled_back_before_reuse(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    let tx = db.begin().await?;
    insert(&tx, &t, 1).await?;
    drop(tx);
    assert_eq!(ids(&db, &t).await?, [0_i64; 0]);
    let conn = db.acquire().await?;
    let tx = conn.begin().await?;
    insert(&tx, &t, 2).await?;
    drop(tx);
    insert(&conn, &t, 3).await?;
    assert_eq!(ids(&conn, &t).await?, [3], "the next statement is outside of the dropped transaction");
    Ok(())
}

pub async fn an_empty_transaction_commits(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    db.begin().await?.commit().await?;
    db.begin().await?.rollback().await?;
    drop(db.begin().await?);
    assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await?, 1);
    Ok(())
}

pub async fn others_do_not_see_what_is_not_committed(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    insert(&db, &t, 1).await?;
    let tx = db.begin().await?;
    insert(&tx, &t, 2).await?;
    assert_eq!(ids(&db, &t).await?, [1], "on another connection");
    tx.commit().await?;
    assert_eq!(ids(&db, &t).await?, [1, 2]);
    Ok(())
}

pub async fn a_closure_commits_on_ok_and_rolls_back_on_err(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    let got = db
        .transaction(async |tx| {
            insert(tx, &t, 1).await?;
            Ok::<_, Error>(7)
        })
        .await?;
    assert_eq!(got, 7);

    #[derive(Debug)]
    enum Mine {
        Refused,
        Database,
    }
    impl From<Error> for Mine {
        fn from(_: Error) -> Self {
            Self::Database
        }
    }
    let outcome: Result<(), Mine> = db
        .transaction(async |tx| {
            insert(tx, &t, 2).await?;
            Err(Mine::Refused)
        })
        .await;
    assert!(matches!(outcome, Err(Mine::Refused)), "{outcome:?}");
    assert_eq!(ids(&db, &t).await?, [1]);
    Ok(())
}

pub async fn a_closure_that_panics_is_rolled_back(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    let work = db.transaction(async |tx| -> Result<()> {
        insert(tx, &t, 1).await?;
        panic!("a panic in a closure, which the case expects");
    });
    let panicked = std::panic::AssertUnwindSafe(work).catch_unwind().await;
    assert!(panicked.is_err(), "the panic goes on to the caller");
    if f.single_connection() && db.fetch_val::<i64>("SELECT 1", ()).await.is_ok() {
        assert_eq!(ids(&db, &t).await?, [0_i64; 0], "the only connection is kept, and rolled back");
        return Ok(());
    }
    assert_eq!(ids(&db, &t).await?, [0_i64; 0]);
    Ok(())
}

pub async fn closures_run_in_spawned_tasks_with_what_they_capture(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let task = {
        let (db, t) = (db.clone(), t.clone());
        tokio::spawn(async move {
            let names = vec![1_i64, 2, 3];
            db.transaction(async |tx| {
                for id in &names {
                    insert(tx, &t, *id).await?;
                }
                Ok::<_, Error>(names.len())
            })
            .await
        })
    };
    assert_eq!(task.await.expect("no panic")?, 3);
    assert_eq!(ids(&db, &t).await?, [1, 2, 3]);
    Ok(())
}

pub async fn a_transaction_is_passed_on_as_an_executor(f: &Fixture) -> Result<()> {
    async fn generic(db: &impl Executor, t: &str) -> Result<()> {
        insert(db, t, 1).await
    }
    async fn dynamic(db: &dyn RawExecutor, t: &str) -> Result<()> {
        insert(db, t, 2).await
    }
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.transaction(async |tx| {
        generic(tx, &t).await?;
        dynamic(tx, &t).await
    })
    .await?;
    let tx = db.begin().await?;
    let moved: Result<Transaction> = tokio::spawn({
        let t = t.clone();
        async move {
            generic(&tx, &t).await?;
            dynamic(&tx, &t).await?;
            Ok(tx)
        }
    })
    .await
    .expect("no panic");
    moved?.rollback().await?;
    assert_eq!(ids(&db, &t).await?, [1, 2]);
    Ok(())
}

pub async fn statements_of_one_transaction_may_be_joined(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let tx = db.begin().await?;
    let value = |n: i64| tx.fetch_val::<i64>("SELECT :n", params! { n });
    for _ in 0..3 {
        let (a, b, c, d) = tokio::join!(value(1), insert(&tx, &t, 5), value(2), value(3));
        b?;
        assert_eq!((a?, c?, d?), (1, 2, 3), "each future has its own answer");
    }
    tx.commit().await?;
    assert_eq!(ids(&db, &t).await?, [5, 5, 5]);
    Ok(())
}

pub async fn statements_of_one_connection_may_be_joined(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let conn = db.acquire().await?;
    let value = |n: i64| conn.fetch_val::<i64>("SELECT :n", params! { n });
    let wrong = conn.fetch_val::<i64>("SELECT nothing_of_this_name", ());
    let (a, b, c) = tokio::join!(value(1), wrong, value(3));
    assert_eq!((a?, c?), (1, 3), "an error is that statement's own");
    fails(b, ErrorKind::UndefinedColumn);
    assert_eq!(value(4).await?, 4);
    Ok(())
}

pub async fn an_error_fails_the_transaction_on_postgresql_and_undoes_one_statement_elsewhere(
    f: &Fixture,
) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    let keyed = f.keyed(&db).await?;
    let tx = db.begin().await?;
    insert(&tx, &t, 1).await?;
    let doubled = format!("INSERT INTO {keyed} (id, n) VALUES (1, 1), (2, 1), (1, 1)");
    fails(tx.execute(doubled, ()).await, ErrorKind::UniqueViolation);
    if f.capabilities().error_fails_transaction {
        let error = fails(insert(&tx, &t, 2).await, ErrorKind::TransactionFailed);
        assert_eq!(error.effect(), crate::Effect::NotSent);
        fails(tx.fetch_val::<i64>("SELECT 1", ()).await, ErrorKind::TransactionFailed);
        fails(tx.commit().await, ErrorKind::TransactionFailed);
        assert_eq!(ids(&db, &t).await?, [0_i64; 0]);
    } else {
        insert(&tx, &t, 2).await?;
        tx.commit().await?;
        assert_eq!(ids(&db, &t).await?, [1, 2]);
        assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {keyed}"), ()).await?, 0, "not half of it");
    }
    Ok(())
}

pub async fn an_error_in_a_nested_transaction_is_undone_alone_everywhere(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let tx = db.begin().await?;
    insert(&tx, &t, 1).await?;
    let inner = tx.begin().await?;
    insert(&inner, &t, 2).await?;
    fails(inner.execute(format!("INSERT INTO {t}_missing (id) VALUES (1)"), ()).await, ErrorKind::UndefinedTable);
    inner.rollback().await?;
    insert(&tx, &t, 3).await?;
    tx.commit().await?;
    assert_eq!(ids(&db, &t).await?, [1, 3]);
    Ok(())
}

/// A parent and a child whose foreign key is looked at when the transaction commits.
async fn deferred(f: &Fixture, db: &Pool) -> Result<String> {
    let (parent, child) = (f.keyed(db).await?, f.table("child"));
    let i64 = f.types.i64;
    db.execute(
        format!(
            "CREATE TABLE {child} (id {i64} PRIMARY KEY, parent {i64} REFERENCES {parent} (id) DEFERRABLE INITIALLY DEFERRED)"
        ),
        (),
    )
    .await?;
    Ok(child)
}

pub async fn a_deferred_constraint_that_fails_at_commit_is_an_error_and_rolls_back(f: &Fixture) -> Result<()> {
    if f.kind() == DialectKind::MySql {
        f.not_claimed("deferred constraints");
        return Ok(());
    }
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let child = deferred(f, &db).await?;
    let tx = db.begin().await?;
    tx.execute(format!("INSERT INTO {child} (id, parent) VALUES (1, 99)"), ()).await?;
    fails(tx.commit().await, ErrorKind::ForeignKeyViolation);
    assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {child}"), ()).await?, 0);
    let closure =
        db.transaction(async |tx| tx.execute(format!("INSERT INTO {child} (id, parent) VALUES (1, 99)"), ()).await);
    fails(closure.await, ErrorKind::ForeignKeyViolation);
    assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {child}"), ()).await?, 0);
    Ok(())
}

pub async fn ddl_is_part_of_the_transaction_or_ends_it(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    let made = f.table("made");
    let tx = db.begin().await?;
    insert(&tx, &t, 1).await?;
    let created = tx.execute(format!("CREATE TABLE {made} (id {})", f.types.i64), ()).await;
    if f.capabilities().transactional_ddl {
        created?;
        tx.rollback().await?;
        fails(db.execute(format!("SELECT id FROM {made}"), ()).await, ErrorKind::UndefinedTable);
        assert_eq!(ids(&db, &t).await?, [0_i64; 0]);
    } else {
        // The server has committed by itself: nothing more is sent, and the handle says why.
        fails(created, ErrorKind::TransactionEnded);
        fails(insert(&tx, &t, 2).await, ErrorKind::TransactionEnded);
        fails(tx.commit().await, ErrorKind::TransactionEnded);
        assert_eq!(ids(&db, &t).await?, [1]);
        db.execute(format!("SELECT id FROM {made}"), ()).await?;
    }
    Ok(())
}
