//! Calls that are dropped, streams that are left, runtimes that end.

mod common;

use std::time::{Duration, Instant};

use common::{
    Connection, FromIter, TempDir, connect, connect_to, connector, connector_with, drop_after, on_both, request,
};
use databases_core::backend::{Status, TransactionCommand};
use databases_core::{PoolOptions, TransactionOptions, params};

const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
const ENDLESS_ROWS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";

async fn is_unharmed(db: &Connection) {
    let start = Instant::now();
    db.settle().await;
    assert!(start.elapsed() < Duration::from_secs(10), "settling took {:?}", start.elapsed());
    assert_ne!(db.status(), Status::Busy);
    assert_ne!(db.status(), Status::Broken);
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT count(*) FROM n";
    assert_eq!(db.int(sql).await.unwrap(), 20_000);
}

#[test]
fn a_running_query_that_is_dropped_is_stopped_and_the_next_one_unharmed() {
    on_both(|| async {
        let db = connect("sqlite::memory:").await.unwrap();
        for polls in 0..20 {
            assert!(drop_after(polls, db.rows(ENDLESS)).await.is_none());
            is_unharmed(&db).await;
            assert_eq!(db.status(), Status::Idle);
            // In a transaction, a query that is stopped leaves it open.
            db.begin().await.unwrap();
            drop_after(polls, db.rows(ENDLESS)).await;
            is_unharmed(&db).await;
            assert_eq!(db.status(), Status::InTransaction);
            db.rollback().await.unwrap();
        }
    });
}

#[test]
fn every_call_can_be_dropped_after_any_number_of_polls() {
    on_both(|| async {
        let dir = TempDir::new();
        let mut pool = PoolOptions::default();
        pool.acquire_timeout = Duration::from_secs(20);
        let connector = connector_with(&dir.url("?synchronous=off"), &pool).unwrap();
        let db = connect_to(&*connector).await.unwrap();
        let other = connect_to(&*connector).await.unwrap();
        db.exec("CREATE TABLE t (a)").await.unwrap();
        let begin = || TransactionCommand::Begin(TransactionOptions::new());
        for polls in 0..6 {
            for call in 0..9 {
                let before = other.int("SELECT count(*) FROM t").await.unwrap();
                match call {
                    0 => drop(drop_after(polls, db.exec("INSERT INTO t VALUES (1)")).await),
                    1 => drop(drop_after(polls, db.transaction(begin())).await),
                    2 => {
                        db.begin().await.unwrap();
                        db.exec("INSERT INTO t VALUES (1)").await.unwrap();
                        drop(drop_after(polls, db.commit()).await);
                    }
                    3 => {
                        db.begin().await.unwrap();
                        drop(drop_after(polls, db.rollback()).await);
                    }
                    4 => drop(drop_after(polls, db.run_script("INSERT INTO t VALUES (1); SELECT 1")).await),
                    5 => {
                        db.begin().await.unwrap();
                        let row = || request("INSERT INTO t VALUES (:a)", params! { a: 1 });
                        let mut rows = FromIter((0..2000).map(|_| Ok(row())));
                        drop(drop_after(polls, db.run_many(&mut rows)).await);
                    }
                    6 => drop(drop_after(polls, db.open_stream(request(ENDLESS_ROWS, params! {}))).await),
                    7 => drop(drop_after(polls, db.begin_with(TransactionOptions::new().read_only(true))).await),
                    _ => drop(drop_after(polls, connect_to(&*connector)).await),
                }
                is_unharmed(&db).await;
                db.rollback().await.unwrap();
                assert_eq!(db.status(), Status::Idle);
                // Nothing half, and the permit is free for others.
                let after = other.int("SELECT count(*) FROM t").await.unwrap();
                assert!(after == before || after == before + 1, "call {call}: {before} to {after}");
                other.exec("DELETE FROM t").await.unwrap();
                db.exec("INSERT INTO t VALUES (2)").await.unwrap();
            }
        }
    });
}

#[test]
fn a_waiter_for_the_permit_that_is_dropped_passes_its_turn_on() {
    on_both(|| async {
        let dir = TempDir::new();
        let connector = connector(&dir.url(""));
        let a = connect_to(&*connector).await.unwrap();
        let b = connect_to(&*connector).await.unwrap();
        let c = connect_to(&*connector).await.unwrap();
        a.exec("CREATE TABLE t (a)").await.unwrap();
        a.begin().await.unwrap();
        let waiting = tokio::spawn(async move { b.exec("INSERT INTO t VALUES (1)").await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let next = tokio::spawn(async move { c.exec("INSERT INTO t VALUES (2)").await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        waiting.abort();
        let _ = waiting.await;
        a.rollback().await.unwrap();
        next.await.unwrap().unwrap();
        assert_eq!(a.int("SELECT sum(a) FROM t").await.unwrap(), 2);
    });
}

#[test]
fn a_write_that_is_dropped_keeps_the_permit_until_it_is_over() {
    on_both(|| async {
        let dir = TempDir::new();
        let connector = connector(&dir.url(""));
        let a = connect_to(&*connector).await.unwrap();
        let b = connect_to(&*connector).await.unwrap();
        a.exec("CREATE TABLE t (a)").await.unwrap();
        let endless = format!("INSERT INTO t {ENDLESS_ROWS}");
        assert!(drop_after(10, a.exec(&endless)).await.is_none());
        b.exec("INSERT INTO t VALUES (0)").await.unwrap();
        is_unharmed(&a).await;
        assert_eq!(a.int("SELECT count(*) FROM t").await.unwrap(), 1);
        // An interrupted write takes its whole transaction along, and the status says so.
        a.begin().await.unwrap();
        assert!(drop_after(10, a.exec(&endless)).await.is_none());
        is_unharmed(&a).await;
        assert_eq!(a.status(), Status::Idle);
        b.exec("INSERT INTO t VALUES (0)").await.unwrap();
        // A connection that goes away in a transaction gives the permit back.
        a.begin().await.unwrap();
        drop(a);
        b.exec("INSERT INTO t VALUES (0)").await.unwrap();
        assert_eq!(b.int("SELECT count(*) FROM t").await.unwrap(), 3);
    });
}

#[test]
fn streams_give_all_rows_or_end_early_inside_a_transaction() {
    on_both(|| async {
        let dir = TempDir::new();
        let connector = connector(&dir.url(""));
        let db = connect_to(&*connector).await.unwrap();
        let other = connect_to(&*connector).await.unwrap();
        db.exec("CREATE TABLE t (a)").await.unwrap();
        let mut stream = db.open_stream(request(&format!("{ENDLESS_ROWS} LIMIT 10000"), params! {})).await.unwrap();
        let mut sum = 0;
        let mut batches = 0;
        while let Some(batch) = stream.next().await.unwrap() {
            assert!(batch.len() <= 512);
            batches += 1;
            sum += (0..batch.len())
                .map(|row| databases_core::Row::new(batch.clone(), row).get::<i64>(0).unwrap())
                .sum::<i64>();
        }
        assert_eq!(sum, 50_005_000);
        assert!(batches >= 20);
        assert!(stream.next().await.unwrap().is_none());

        db.begin().await.unwrap();
        db.exec("INSERT INTO t VALUES (1)").await.unwrap();
        for read in 0..6 {
            let mut stream = db.open_stream(request(ENDLESS_ROWS, params! {})).await.unwrap();
            for _ in 0..read {
                assert!(stream.next().await.unwrap().is_some());
            }
            // A stream that stands still is in nobody's way.
            assert_eq!(db.status(), Status::Busy);
            assert_eq!(other.int("SELECT count(*) FROM t").await.unwrap(), 0);
            drop(stream);
            is_unharmed(&db).await;
            assert_eq!(db.status(), Status::InTransaction);
        }
        db.commit().await.unwrap();
        assert_eq!(other.int("SELECT count(*) FROM t").await.unwrap(), 1);

        // The rows of a write wait until it is done, so a reader that stalls holds no permit.
        let insert = format!("INSERT INTO t {ENDLESS_ROWS} LIMIT 1000 RETURNING a");
        let mut stream = db.open_stream(request(&insert, params! {})).await.unwrap();
        assert_eq!(db.status(), Status::Idle);
        other.exec("INSERT INTO t VALUES (1)").await.unwrap();
        let mut rows = 0;
        while let Some(batch) = stream.next().await.unwrap() {
            rows += batch.len();
        }
        assert_eq!(rows, 1000);
        let broken = db.open_stream(request("SELECT * FROM nowhere", params! {})).await;
        assert!(broken.is_err());
        let late = format!("SELECT CASE WHEN i = 5000 THEN json('bad') ELSE i END FROM ({ENDLESS_ROWS})");
        let mut stream = db.open_stream(request(&late, params! {})).await.unwrap();
        let error = loop {
            match stream.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the error is missing"),
                Err(error) => break error,
            }
        };
        assert!(!error.to_string().contains("bad"), "{error}");
        assert_eq!(db.status(), Status::Idle);
    });
}

#[test]
fn a_connection_works_on_another_runtime_and_goes_away_outside_of_any() {
    let dir = TempDir::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let first = runtime();
    let connector = connector(&dir.url(""));
    let db = first.block_on(async {
        let db = connect_to(&*connector).await.unwrap();
        db.exec("CREATE TABLE t (a)").await.unwrap();
        db.begin().await.unwrap();
        db
    });
    drop(first);
    runtime().block_on(async {
        db.exec("INSERT INTO t VALUES (1)").await.unwrap();
        db.commit().await.unwrap();
        db.begin().await.unwrap();
        db.exec("INSERT INTO t VALUES (2)").await.unwrap();
    });
    drop(db);
    runtime().block_on(async {
        let db = connect_to(&*connector).await.unwrap();
        db.exec("INSERT INTO t VALUES (4)").await.unwrap();
        assert_eq!(db.int("SELECT sum(a) FROM t").await.unwrap(), 5);
        db.close().await;
    });
    // Closed for good: the last connection has taken the log back into the file.
    let deadline = Instant::now() + Duration::from_secs(10);
    while dir.file("test.db-wal").exists() {
        assert!(Instant::now() < deadline, "the log is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}
