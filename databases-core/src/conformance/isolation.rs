//! Transaction options, and conflicts between transactions.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Barrier;

use super::{Fixture, fails};
use crate::error::{Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::options::{Isolation, TransactionOptions};
use crate::params;
use crate::query::sql;
use crate::sql::DialectKind;

pub async fn isolation_levels_are_kept_or_refused(f: &Fixture) -> Result<()> {
    use Isolation::*;
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.keyed(&db).await?;
    for level in [ReadUncommitted, ReadCommitted, RepeatableRead, Serializable] {
        let begun = db.begin_with(TransactionOptions::new().isolation(level)).await;
        // SQLite is always serializable, so that level alone is one that it can keep.
        if f.capabilities().isolation_levels || (level == Serializable && begun.is_ok()) {
            let tx = begun?;
            if f.kind() == DialectKind::Postgres {
                let shown: String = tx.fetch_val("SHOW transaction_isolation", ()).await?;
                assert_eq!(shown, level.as_sql().to_lowercase());
            }
            tx.execute(format!("INSERT INTO {t} (id, n) VALUES (:n, 0)"), params! { n: level as i64 }).await?;
            tx.commit().await?;
        } else {
            fails(begun, ErrorKind::Unsupported);
            assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await?, 1);
        }
    }
    // The level was that of one transaction.
    if f.kind() == DialectKind::Postgres {
        assert_eq!(db.fetch_val::<String>("SHOW transaction_isolation", ()).await?, "read committed");
    }
    Ok(())
}

pub async fn repeatable_read_sees_one_state(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    let level = if f.capabilities().isolation_levels { Isolation::RepeatableRead } else { Isolation::Serializable };
    let options = TransactionOptions::new().isolation(level).read_only(f.capabilities().read_only_transactions);
    let tx = db.begin_with(options).await?;
    let count = format!("SELECT count(*) FROM {t}");
    assert_eq!(tx.fetch_val::<i64>(&count, ()).await?, 0);
    db.execute(format!("INSERT INTO {t} (id, n) VALUES (1, 1)"), ()).await?;
    assert_eq!(tx.fetch_val::<i64>(&count, ()).await?, 0);
    tx.commit().await?;
    assert_eq!(db.fetch_val::<i64>(&count, ()).await?, 1);
    Ok(())
}

pub async fn a_read_only_transaction_refuses_writes(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.keyed(&db).await?;
    let begun = db.begin_with(TransactionOptions::new().read_only(true)).await;
    if !f.capabilities().read_only_transactions {
        fails(begun, ErrorKind::Unsupported);
        return Ok(());
    }
    let tx = begun?;
    assert_eq!(tx.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await?, 0);
    let insert = format!("INSERT INTO {t} (id, n) VALUES (1, 1)");
    fails(tx.execute(&insert, ()).await, ErrorKind::ReadOnly);
    tx.rollback().await?;
    // The next user may write.
    db.execute(&insert, ()).await?;
    let tx = db.begin().await?;
    tx.execute(format!("DELETE FROM {t}"), ()).await?;
    tx.commit().await
}

pub async fn deferrable_is_kept_or_refused(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let options = TransactionOptions::new().isolation(Isolation::Serializable).read_only(true).deferrable(true);
    let begun = db.begin_with(options).await;
    if f.capabilities().deferrable {
        let tx = begun?;
        assert_eq!(tx.fetch_val::<String>("SHOW transaction_deferrable", ()).await?, "on");
        tx.commit().await
    } else {
        fails(begun, ErrorKind::Unsupported);
        Ok(())
    }
}

pub async fn immediate_and_deferred_are_kept_or_refused(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.keyed(&db).await?;
    for (id, options) in [(1, TransactionOptions::new().immediate()), (2, TransactionOptions::new().deferred())] {
        let begun = db.begin_with(options).await;
        if f.capabilities().immediate {
            let tx = begun?;
            tx.execute(format!("INSERT INTO {t} (id, n) VALUES (:id, 1)"), params! { id }).await?;
            tx.commit().await?;
        } else {
            fails(begun, ErrorKind::Unsupported);
        }
    }
    assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await?, 1);
    Ok(())
}

/// Two transactions that write the same two rows in opposite order: one of them must give way, and runs again.
pub async fn a_transaction_that_lost_a_conflict_runs_again(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, n) VALUES (1, 0), (2, 0)"), ()).await?;
    let meeting = Barrier::new(2);
    let attempts = AtomicU32::new(0);
    let run = async |first: i64, second: i64| {
        let tries = AtomicU32::new(0);
        let work = async |tx: &crate::Transaction| {
            attempts.fetch_add(1, Ordering::Relaxed);
            let update = format!("UPDATE {t} SET n = n + 1 WHERE id = :id");
            tx.execute(&update, params! { id: first }).await?;
            if tries.fetch_add(1, Ordering::Relaxed) == 0 {
                // Both have written before either goes on; where one waits for the other to begin, not for long.
                let _ = tokio::time::timeout(Duration::from_millis(300), meeting.wait()).await;
            }
            tx.execute(&update, params! { id: second }).await
        };
        db.transaction_with(TransactionOptions::new().retry(20), work).await
    };
    let (one, two) = tokio::join!(run(1, 2), run(2, 1));
    one?;
    two?;
    let rows: Vec<(i64,)> = db.fetch_all(format!("SELECT n FROM {t}"), ()).await?;
    assert_eq!(rows, [(2,), (2,)], "each transaction is there once");
    // SQLite lets writers in one by one, so nobody loses.
    assert!(attempts.load(Ordering::Relaxed) >= f.pick(3, 3, 2));
    Ok(())
}

/// Where somebody writes all the time, one that takes the write lock late would lose every time.
pub async fn a_deferred_transaction_that_lost_takes_the_lock_at_once(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, n) VALUES (1, 0), (2, 0)"), ()).await?;
    let update = |id: i64| (format!("UPDATE {t} SET n = n + 1 WHERE id = :id"), params! { id });
    let attempts = AtomicU32::new(0);
    let work = async |tx: &crate::Transaction| -> Result<()> {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed);
        tx.fetch_val::<i64>(format!("SELECT n FROM {t} WHERE id = 1"), ()).await?;
        let (sql, params) = update(2);
        // The second time it would wait for this transaction.
        let patience = if attempt == 0 { Duration::from_secs(30) } else { Duration::from_millis(300) };
        let _ = tokio::time::timeout(patience, db.execute(sql, params)).await;
        let (sql, params) = update(1);
        tx.execute(sql, params).await?;
        Ok(())
    };
    let done = db.transaction_with(TransactionOptions::new().deferred().retry(1), &work).await;
    if !f.capabilities().immediate {
        fails(done, ErrorKind::Unsupported);
        return Ok(());
    }
    done?;
    let rows: Vec<(i64,)> = db.fetch_all(format!("SELECT n FROM {t} ORDER BY id"), ()).await?;
    assert_eq!((attempts.into_inner(), rows), (2, vec![(1,), (1,)]));
    Ok(())
}

pub async fn a_conflict_without_retry_is_a_retryable_error(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, n) VALUES (1, 0), (2, 0)"), ()).await?;
    let options = || match f.kind() {
        // The reader's snapshot is overtaken by the other writer.
        DialectKind::Sqlite => TransactionOptions::new().deferred(),
        _ => TransactionOptions::new().isolation(Isolation::RepeatableRead),
    };
    let (a, b) = (db.begin_with(options()).await?, db.begin_with(options()).await?);
    let read = format!("SELECT n FROM {t} WHERE id = 1");
    let update = |id: i64| (format!("UPDATE {t} SET n = n + 1 WHERE id = :id"), params! { id });
    a.fetch_val::<i64>(&read, ()).await?;
    b.fetch_val::<i64>(&read, ()).await?;
    let failed: Error = if f.kind() == DialectKind::MySql {
        // InnoDB's repeatable read lets the second writer win; a deadlock is a conflict everywhere.
        let ((sql, params), (sql2, params2)) = (update(1), update(2));
        a.execute(sql, params).await?;
        b.execute(sql2, params2).await?;
        let ((sql, params), (sql2, params2)) = (update(2), update(1));
        let (one, two) = tokio::join!(a.execute(sql, params), b.execute(sql2, params2));
        one.err().or(two.err()).expect("one of the two is ended")
    } else {
        let (sql, params) = update(1);
        a.execute(sql, params).await?;
        a.commit().await?;
        let (sql, params) = update(1);
        b.execute(sql, params).await.expect_err("the row was changed since it was read")
    };
    assert!(matches!(failed.kind(), ErrorKind::SerializationFailure | ErrorKind::Deadlock), "{failed:?}");
    assert!(failed.is_retryable());
    Ok(())
}

pub async fn an_error_that_is_no_conflict_is_not_retried(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    let attempts = AtomicU32::new(0);
    let work = async |tx: &crate::Transaction| -> Result<()> {
        attempts.fetch_add(1, Ordering::Relaxed);
        tx.execute(format!("INSERT INTO {t} (id, n) VALUES (1, 1), (1, 2)"), ()).await?;
        Ok(())
    };
    fails(db.transaction_with(TransactionOptions::new().retry(5), &work).await, ErrorKind::UniqueViolation);
    assert_eq!(attempts.into_inner(), 1);
    let attempts = AtomicU32::new(0);
    let work = async |_: &crate::Transaction| -> Result<()> {
        attempts.fetch_add(1, Ordering::Relaxed);
        Err(Error::new(ErrorKind::Deadlock, "made up by the closure, not by the server"))
    };
    fails(db.transaction_with(TransactionOptions::new().retry(5), &work).await, ErrorKind::Deadlock);
    assert_eq!(attempts.into_inner(), 1, "only what the server said counts");
    Ok(())
}

/// What is sent behind the statement at which the server ends the transaction must not be committed on its own.
pub async fn nothing_joined_to_the_end_of_a_transaction_is_kept(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, n) VALUES (1, 0), (2, 0)"), ()).await?;
    let update = |id: i64| (format!("UPDATE {t} SET n = n + 1 WHERE id = :id"), params! { id });
    let insert = |id: i64| (format!("INSERT INTO {t} (id, n) VALUES (:id, 0)"), params! { id });
    let mut kept = vec![(1_i64,), (2,)];
    if f.kind() == DialectKind::Sqlite {
        // An interrupted write ends the transaction.
        let tx = db.begin().await?;
        let many = f.slow("count(*) + 100, 0", 30.0);
        let long = sql(format!("INSERT INTO {t} (id, n) {many}")).timeout(Duration::from_millis(100));
        let (text, params) = insert(3);
        let (stopped, beside) = tokio::join!(tx.execute(long, ()), tx.execute(text, params));
        fails(stopped, ErrorKind::StatementTimeout);
        fails(beside, ErrorKind::TransactionEnded);
        fails(tx.commit().await, ErrorKind::TransactionEnded);
    } else {
        let (a, b) = (db.begin().await?, db.begin().await?);
        for (tx, id) in [(&a, 1), (&b, 2)] {
            let (text, params) = update(id);
            tx.execute(text, params).await?;
        }
        // Each waits for the other, and the server ends one of them.
        let join = async |tx: &crate::Transaction, locked: i64, new: i64| {
            let ((locked, which), (new, values)) = (update(locked), insert(new));
            tokio::join!(tx.execute(locked, which), tx.execute(new, values))
        };
        let (of_a, of_b) = tokio::join!(join(&a, 2, 3), join(&b, 1, 4));
        assert!(of_a.0.is_ok() != of_b.0.is_ok(), "one of two gives way: {of_a:?}, {of_b:?}");
        for (tx, (first, second), id) in [(a, of_a, 3), (b, of_b, 4)] {
            match first {
                Ok(_) => {
                    second?;
                    tx.commit().await?;
                    kept.push((id,));
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Deadlock);
                    // Where it came first it was done, and then undone with the transaction.
                    if let Err(error) = second {
                        let told = [ErrorKind::TransactionEnded, ErrorKind::TransactionFailed];
                        assert!(told.contains(&error.kind()), "{error:?}");
                    }
                    tx.commit().await.expect_err("the transaction is over");
                }
            }
        }
    }
    assert_eq!(db.fetch_all::<(i64,)>(format!("SELECT id FROM {t} ORDER BY id"), ()).await?, kept);
    Ok(())
}

/// The same where text has begun the transaction, on an acquired connection.
pub async fn nothing_joined_to_the_end_of_a_transaction_that_text_began_is_kept(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, n) VALUES (1, 0), (2, 0)"), ()).await?;
    let update = |id: i64| (format!("UPDATE {t} SET n = n + 1 WHERE id = :id"), params! { id });
    let insert = |id: i64| (format!("INSERT INTO {t} (id, n) VALUES (:id, 0)"), params! { id });
    let mut kept = vec![(1_i64,), (2,)];
    if f.kind() == DialectKind::Sqlite {
        let conn = db.acquire().await?;
        conn.execute("BEGIN", ()).await?;
        let many = f.slow("count(*) + 100, 0", 30.0);
        let long = sql(format!("INSERT INTO {t} (id, n) {many}")).timeout(Duration::from_millis(100));
        let (text, params) = insert(3);
        let (stopped, beside) = tokio::join!(conn.execute(long, ()), conn.execute(text, params));
        fails(stopped, ErrorKind::StatementTimeout);
        fails(beside, ErrorKind::TransactionEnded);
        // The caller has been told, so this is meant to be by itself.
        let (text, params) = insert(4);
        conn.execute(text, params).await?;
        kept.push((4,));
    } else {
        let (a, b) = (db.acquire().await?, db.acquire().await?);
        for (conn, id) in [(&a, 1), (&b, 2)] {
            conn.execute("BEGIN", ()).await?;
            let (text, params) = update(id);
            conn.execute(text, params).await?;
        }
        let join = async |conn: &crate::Connection, locked: i64, new: i64| {
            let ((locked, which), (new, values)) = (update(locked), insert(new));
            let is_begun = Cell::new(false);
            let first = async {
                let done = conn.execute(locked, which).await;
                (done, is_begun.get())
            };
            let second = async {
                is_begun.set(true);
                conn.execute(new, values).await
            };
            let ((first, is_joined), second) = tokio::join!(first, second);
            (first, second, is_joined)
        };
        let (of_a, of_b) = tokio::join!(join(&a, 2, 3), join(&b, 1, 4));
        assert!(of_a.0.is_ok() != of_b.0.is_ok(), "one of two gives way: {of_a:?}, {of_b:?}");
        for (conn, (first, second, is_joined), id) in [(a, of_a, 3), (b, of_b, 4)] {
            match first {
                Ok(_) => {
                    second?;
                    conn.execute("COMMIT", ()).await?;
                    kept.push((id,));
                }
                // The answer was there at the first look, so the second was begun when the first was over: by itself.
                Err(_) if !is_joined => {
                    second?;
                    kept.push((id,));
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Deadlock);
                    // Where it came first it was done, and then undone with the transaction.
                    if let Err(error) = second {
                        let told = [ErrorKind::TransactionEnded, ErrorKind::TransactionFailed];
                        assert!(told.contains(&error.kind()), "{error:?}");
                    }
                    conn.execute("ROLLBACK", ()).await?;
                }
            }
        }
    }
    assert_eq!(db.fetch_all::<(i64,)>(format!("SELECT id FROM {t} ORDER BY id"), ()).await?, kept);
    Ok(())
}
