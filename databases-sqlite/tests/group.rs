//! Group commit as callers of a pool see it. What happens inside a group is tested beside the code.

mod common;

use std::time::Duration;

use common::{TempDir, on_both};
use databases_core::url::DatabaseUrl;
use databases_core::{ErrorKind, Executor, Pool, PoolConfig, params, sql};
use databases_sqlite::Sqlite;
use tokio::task::JoinSet;

const INSERT: &str = "INSERT INTO t (task, number) VALUES (:task, :number)";

async fn open(url: &str) -> Pool {
    let url: DatabaseUrl = url.parse().unwrap();
    let db = Pool::new(PoolConfig::from_url(&Sqlite, &url, |_| ()).unwrap()).unwrap();
    db.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, task INT, number INT UNIQUE)", ()).await.unwrap();
    db
}

#[test]
fn many_tasks_insert_together_and_each_keeps_its_order_and_its_result() {
    on_both(|| async {
        for options in ["?synchronous=off", "?synchronous=off&group_commit=off", "?synchronous=off&max_connections=2"] {
            let dir = TempDir::new();
            let db = open(&dir.url(options)).await;
            let mut tasks = JoinSet::new();
            for task in 0..64i64 {
                let db = db.clone();
                tasks.spawn(async move {
                    for i in 0..20 {
                        let number = task * 100 + i;
                        let done = db.execute(INSERT, params! { task, number }).await.unwrap();
                        let id = done.last_insert_id().unwrap();
                        let here = "SELECT task, number FROM t WHERE id = :id";
                        assert_eq!(db.fetch_one::<(i64, i64)>(here, params! { id }).await.unwrap(), (task, number));
                        let twice = db.execute(INSERT, params! { task, number }).await.unwrap_err();
                        assert_eq!(twice.kind(), ErrorKind::UniqueViolation);
                    }
                });
            }
            while let Some(task) = tasks.join_next().await {
                task.unwrap();
            }
            let unordered =
                "SELECT count(*) FROM t AS a JOIN t AS b ON a.task = b.task AND a.id < b.id AND a.number > b.number";
            assert_eq!(db.fetch_val::<i64>(unordered, ()).await.unwrap(), 0);
            assert_eq!(db.fetch_val::<i64>("SELECT count(*) FROM t", ()).await.unwrap(), 1280);
            db.close().await.unwrap();
        }
    });
}

#[test]
fn transactions_groups_and_acquired_connections_take_turns() {
    on_both(|| async {
        let dir = TempDir::new();
        let db = open(&dir.url("?synchronous=off")).await;
        let mut tasks = JoinSet::new();
        for task in 0..24i64 {
            let db = db.clone();
            tasks.spawn(async move {
                for i in 0..10 {
                    let number = task * 100 + i;
                    match task % 3 {
                        0 => drop(db.execute(INSERT, params! { task, number }).await.unwrap()),
                        1 => {
                            let tx = db.begin().await.unwrap();
                            tx.execute(INSERT, params! { task, number }).await.unwrap();
                            tx.commit().await.unwrap();
                        }
                        _ => drop(db.acquire().await.unwrap().execute(INSERT, params! { task, number }).await.unwrap()),
                    }
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        assert_eq!(db.fetch_val::<i64>("SELECT count(*) FROM t", ()).await.unwrap(), 240);
        db.close().await.unwrap();
    });
}

#[test]
fn a_statement_that_is_stopped_or_dropped_takes_no_other_along() {
    on_both(|| async {
        let dir = TempDir::new();
        let db = open(&dir.url("?synchronous=off&max_connections=3")).await;
        // Quick with 0, and then without an end.
        let rows = "INSERT INTO t (task, number) SELECT -1, -i FROM (WITH RECURSIVE n(i) AS
            (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :n) SELECT i FROM n WHERE :n > 0)";
        let held = [db.acquire().await.unwrap(), db.acquire().await.unwrap(), db.acquire().await.unwrap()];
        for conn in &held {
            conn.execute(rows, params! { n: 0 }).await.unwrap();
            conn.execute("DELETE FROM t", ()).await.unwrap();
        }
        drop(held);
        for round in 0..10i64 {
            let tx = db.begin().await.unwrap();
            let mut tasks = JoinSet::new();
            for i in 0..16 {
                let db = db.clone();
                tasks.spawn(async move {
                    db.execute(INSERT, params! { task: i, number: round * 100 + i }).await.unwrap();
                });
            }
            let (timed, aborted) = (db.clone(), db.clone());
            let endless = params! { n: i64::MAX };
            let stopped = tokio::spawn({
                let endless = endless.clone();
                async move { timed.execute(sql(rows).timeout(Duration::from_millis(60)), endless).await }
            });
            let dropped = tokio::spawn(async move { aborted.execute(rows, endless).await });
            tokio::time::sleep(Duration::from_millis(5)).await;
            tx.commit().await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            dropped.abort();
            assert_eq!(stopped.await.unwrap().unwrap_err().kind(), ErrorKind::StatementTimeout);
            while let Some(task) = tasks.join_next().await {
                task.unwrap();
            }
            let _ = dropped.await;
        }
        assert_eq!(db.fetch_val::<i64>("SELECT count(*) FROM t", ()).await.unwrap(), 160);
        assert_eq!(db.fetch_val::<i64>("SELECT count(*) FROM t WHERE task < 0", ()).await.unwrap(), 0);
        db.close().await.unwrap();
    });
}
