//! `TransactionOptions::retry` on the conflicts that servers report.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use databases::{Database, ErrorKind, Executor as _, Isolation, Result, Transaction, TransactionOptions, params};
use tokio::sync::Mutex;

use crate::{fails, run, shared};

/// A table of two accounts with nothing in them; it goes with the test.
async fn accounts(db: &Database, name: &str) -> Result<String> {
    let table = format!("faults_{name}_{}", std::process::id());
    db.execute(format!("DROP TABLE IF EXISTS {table}"), ()).await?;
    db.execute(format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)"), ()).await?;
    db.execute(format!("INSERT INTO {table} (id, n) VALUES (1, 0), (2, 0)"), ()).await?;
    Ok(table)
}

async fn add(db: &impl databases::Executor, table: &str, id: i64) -> Result<()> {
    db.execute(format!("UPDATE {table} SET n = n + 1 WHERE id = :id"), params! { id }).await.map(drop)
}

async fn sum(db: &impl databases::Executor, table: &str) -> Result<i64> {
    // MySQL sums integers as decimals.
    db.fetch_val(format!("SELECT CAST(sum(n) AS {}) FROM {table}", integer(table)), ()).await
}

/// The integer of a cast: MySQL has a name of its own.
fn integer(table: &str) -> &'static str {
    if table.contains("mysql") { "SIGNED" } else { "BIGINT" }
}

/// Runs `f` with one retry: it must fail the first time, with a conflict, and work the second time.
async fn runs_twice(db: &Database, options: TransactionOptions, f: impl AsyncFn(&Transaction, u32) -> Result<()>) {
    let (f, attempts) = (&f, &AtomicU32::new(0));
    let outcome = db.transaction_with(options.retry(1), async |tx| f(tx, attempts.fetch_add(1, Relaxed)).await).await;
    outcome.expect("the second attempt works");
    assert_eq!(attempts.load(Relaxed), 2, "one conflict, one repetition");
}

#[test]
fn a_serialization_failure_of_a_statement_runs_again_on_postgres() {
    let Some(db) = shared("postgres") else { return };
    run(async {
        let table = accounts(&db, "statement").await?;
        let options = || TransactionOptions::new().isolation(Isolation::RepeatableRead);
        runs_twice(&db, options(), async |tx, attempt| {
            sum(tx, &table).await?;
            if attempt == 0 {
                add(&db, &table, 1).await?;
                let error = fails(add(tx, &table, 1).await, ErrorKind::SerializationFailure);
                assert_eq!(error.code(), Some("40001"));
                return Err(error);
            }
            add(tx, &table, 1).await
        })
        .await;
        assert_eq!(sum(&db, &table).await?, 2);
        db.execute(format!("DROP TABLE {table}"), ()).await.map(drop)
    });
}

#[test]
fn a_serialization_failure_at_commit_runs_again_on_postgres() {
    let Some(db) = shared("postgres") else { return };
    run(async {
        let table = accounts(&db, "commit").await?;
        let options = || TransactionOptions::new().isolation(Isolation::Serializable);
        // Each reads what the other writes. The one that commits last is refused, and not before it commits.
        let skewed = async |tx: &Transaction| {
            let other = db.begin_with(options()).await?;
            sum(tx, &table).await?;
            sum(&other, &table).await?;
            add(tx, &table, 1).await?;
            add(&other, &table, 2).await?;
            other.commit().await
        };
        let tx = db.begin_with(options()).await?;
        skewed(&tx).await?;
        let error = fails(tx.commit().await, ErrorKind::SerializationFailure);
        assert_eq!((error.code(), error.is_retryable()), (Some("40001"), true));
        assert_eq!(sum(&db, &table).await?, 1);
        runs_twice(
            &db,
            options(),
            async |tx, attempt| if attempt == 0 { skewed(tx).await } else { add(tx, &table, 1).await },
        )
        .await;
        assert_eq!(sum(&db, &table).await?, 3, "what the first attempt wrote is gone");
        db.execute(format!("DROP TABLE {table}"), ()).await.map(drop)
    });
}

/// Both lock a row and then want the other's; the server ends ours. `yields` makes it so, before anything else.
async fn deadlock(
    db: &Database,
    table: &str,
    code: &str,
    yields: impl AsyncFn(&Transaction, &Transaction) -> Result<()>,
) {
    runs_twice(db, TransactionOptions::new(), async |tx, attempt| {
        if attempt > 0 {
            return add(tx, table, 1).await;
        }
        let other = db.begin().await?;
        yields(tx, &other).await?;
        add(tx, table, 1).await?;
        add(&other, table, 2).await?;
        let (theirs, ours) = tokio::join!(add(&other, table, 1), async {
            // The other waits by now.
            tokio::time::sleep(Duration::from_millis(200)).await;
            add(tx, table, 2).await
        });
        theirs?;
        other.commit().await?;
        let error = fails(ours, ErrorKind::Deadlock);
        assert_eq!((error.code(), error.is_retryable()), (Some(code), true));
        Err(error)
    })
    .await;
}

#[test]
fn a_deadlock_runs_again_on_postgres() {
    let Some(db) = shared("postgres") else { return };
    run(async {
        let table = accounts(&db, "deadlock").await?;
        // The server ends whoever looks for a deadlock first.
        deadlock(&db, &table, "40P01", async |ours, other| {
            ours.execute("SET LOCAL deadlock_timeout = '10ms'", ()).await?;
            other.execute("SET LOCAL deadlock_timeout = '1min'", ()).await.map(drop)
        })
        .await;
        assert_eq!(sum(&db, &table).await?, 3);
        db.execute(format!("DROP TABLE {table}"), ()).await.map(drop)
    });
}

#[test]
fn a_deadlock_runs_again_on_mysql() {
    let Some(db) = shared("mysql") else { return };
    run(async {
        let table = accounts(&db, "deadlock_mysql").await?;
        // The server ends whoever has changed less.
        deadlock(&db, &table, "1213", async |_, other| {
            let rows = (10..60_i64).map(|id| params! { id });
            let insert = format!("INSERT INTO {table} (id, n) VALUES (:id, 0)");
            other.execute_many(insert, rows).await.map(drop)
        })
        .await;
        assert_eq!(sum(&db, &table).await?, 3);
        db.execute(format!("DROP TABLE {table}"), ()).await.map(drop)
    });
}

/// A row that another transaction has locked until our second attempt. What the first attempt wrote before is undone,
/// or the second could not write it again.
async fn locked(db: &Database, table: &str, code: &str, impatient: &str) -> Result<()> {
    let holder = Mutex::new(Some(db.begin().await?));
    add(holder.lock().await.as_ref().expect("just begun"), table, 1).await?;
    runs_twice(db, TransactionOptions::new(), async |tx, attempt| {
        tx.execute(format!("INSERT INTO {table} (id, n) VALUES (3, 10)"), ()).await?;
        if attempt > 0 {
            let holder = holder.lock().await.take().expect("ended once");
            holder.commit().await?;
            return add(tx, table, 1).await;
        }
        let wait = impatient.replace("{table}", table);
        let outcome = async {
            for statement in wait.split(';') {
                tx.execute(statement, ()).await?;
            }
            Ok(())
        };
        let error = fails(outcome.await, ErrorKind::LockTimeout);
        assert_eq!((error.code(), error.is_retryable()), (Some(code), true));
        Err(error)
    })
    .await;
    assert_eq!(sum(db, table).await?, 12);
    db.execute(format!("DROP TABLE {table}"), ()).await.map(drop)
}

#[test]
fn a_lock_timeout_rolls_back_and_runs_again_on_postgres() {
    let Some(db) = shared("postgres") else { return };
    run(async {
        let table = accounts(&db, "lock").await?;
        let update = "SET LOCAL lock_timeout = '20ms'; UPDATE {table} SET n = 5 WHERE id = 1";
        locked(&db, &table, "55P03", update).await
    });
}

#[test]
fn a_lock_timeout_rolls_back_and_runs_again_on_mysql() {
    let Some(db) = shared("mysql") else { return };
    run(async {
        let table = accounts(&db, "lock_mysql").await?;
        // Without a wait both servers say 1205 or its sibling; MySQL gives NOWAIT a number of its own.
        let is_mariadb = db.server_info().await?.product.contains("MariaDB");
        let code = if is_mariadb { "1205" } else { "3572" };
        locked(&db, &table, code, "SELECT n FROM {table} WHERE id = 1 FOR UPDATE NOWAIT").await
    });
}

#[test]
fn an_overtaken_snapshot_runs_again_on_sqlite() {
    run(async {
        let folder = std::env::temp_dir().join(format!("faults_snapshot_{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let url = format!("sqlite:///{}", folder.join("test.db").display());
        let (db, other) = (Database::connect(&*url).await?, Database::connect(&*url).await?);
        let table = accounts(&db, "snapshot").await?;
        runs_twice(&db, TransactionOptions::new().deferred(), async |tx, attempt| {
            sum(tx, &table).await?;
            if attempt == 0 {
                add(&other, &table, 1).await?;
                let error = fails(add(tx, &table, 1).await, ErrorKind::SerializationFailure);
                // SQLITE_BUSY_SNAPSHOT
                assert_eq!(error.code(), Some("517"));
                return Err(error);
            }
            add(tx, &table, 1).await
        })
        .await;
        assert_eq!(sum(&db, &table).await?, 2);
        db.close().await?;
        other.close().await?;
        std::fs::remove_dir_all(&folder).expect("it is ours");
        Ok(())
    });
}

#[test]
fn a_statement_that_was_killed_leaves_its_transaction_on_mysql() {
    let Some(db) = shared("mysql") else { return };
    run(async {
        let table = accounts(&db, "kill_mysql").await?;
        let tx = db.begin().await?;
        add(&tx, &table, 1).await?;
        let id: i64 = tx.fetch_val("SELECT CAST(CONNECTION_ID() AS SIGNED)", ()).await?;
        let slow = "SELECT count(*) FROM information_schema.collations a, information_schema.collations b, \
                    information_schema.collations c";
        let (slow, ()) = tokio::join!(tx.fetch_val::<i64>(slow, ()), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            db.execute(format!("KILL QUERY {id}"), ()).await.expect("it is there");
        });
        assert_eq!(fails(slow, ErrorKind::Cancelled).code(), Some("1317"));
        add(&tx, &table, 1).await?;
        tx.commit().await?;
        assert_eq!(sum(&db, &table).await?, 2);
        db.execute(format!("DROP TABLE {table}"), ()).await.map(drop)
    });
}

/// A table that another session changes while a transaction has a statement prepared for it.
#[test]
fn a_plan_that_is_out_of_date_in_a_transaction_says_what_to_do_on_postgres() {
    let Some(db) = shared("postgres") else { return };
    run(async {
        let table = accounts(&db, "plan").await?;
        let select = format!("SELECT * FROM {table} WHERE id = :id");
        let conn = db.acquire().await?;
        let width = async |row: Result<databases::Row>| row.map(|row| row.len());
        let read = async |conn: &databases::Connection| width(conn.fetch_one(&select, params! { id: 1 }).await).await;
        assert_eq!(read(&conn).await?, 2);
        // In autocommit nobody sees it.
        db.execute(format!("ALTER TABLE {table} ADD COLUMN more TEXT"), ()).await?;
        assert_eq!(read(&conn).await?, 3);
        db.execute(format!("ALTER TABLE {table} DROP COLUMN more"), ()).await?;
        let tx = conn.begin().await?;
        let error = fails(width(tx.fetch_one(&select, params! { id: 1 }).await).await, ErrorKind::Database);
        assert_eq!(error.code(), Some("0A000"));
        assert!(error.hint().is_some_and(|hint| hint.contains("transaction again")), "{error:?}");
        tx.rollback().await?;
        let tx = conn.begin().await?;
        assert_eq!(width(tx.fetch_one(&select, params! { id: 1 }).await).await?, 2);
        tx.commit().await?;
        drop(conn);
        db.execute(format!("DROP TABLE {table}"), ()).await.map(drop)
    });
}
