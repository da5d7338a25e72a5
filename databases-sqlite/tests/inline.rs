//! Reads on the thread of their caller: nobody else waits for them. Which ones they are is tested beside the code.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{TempDir, on_both};
use databases_core::url::DatabaseUrl;
use databases_core::{Executor, Pool, PoolConfig, Row, params};
use databases_sqlite::Sqlite;

/// The longest time that a task which wakes every millisecond had to wait for its turn.
async fn longest_delay(work: impl Future<Output = ()>) -> Duration {
    let done = Arc::new(AtomicBool::new(false));
    let ticker = tokio::spawn({
        let done = Arc::clone(&done);
        async move {
            let mut worst = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let start = Instant::now();
                tokio::time::sleep(Duration::from_millis(1)).await;
                worst = worst.max(start.elapsed().saturating_sub(Duration::from_millis(1)));
            }
            worst
        }
    });
    work.await;
    done.store(true, Ordering::Relaxed);
    ticker.await.unwrap()
}

/// Reads of every kind while a ticker ticks.
async fn reads_of_every_kind(url: &str) {
    let url: DatabaseUrl = url.parse().unwrap();
    let open = || Pool::new(PoolConfig::from_url(&Sqlite, &url, |_| ()).unwrap()).unwrap();
    let db = open();
    db.execute("CREATE TABLE big (id INTEGER PRIMARY KEY, name TEXT, number INTEGER)", ()).await.unwrap();
    let rows = (0..50_000).map(|id| params! { id, name: format!("name {}", id * 7919 % 50_000), number: id % 100 });
    db.execute_many("INSERT INTO big VALUES (:id, :name, :number)", rows).await.unwrap();
    // Quick at first, so that each is tried here, and then not.
    let growing = [
        "SELECT name FROM big WHERE id < :n ORDER BY name, number",
        "SELECT length(group_concat(name)) FROM big WHERE id < :n",
        "SELECT length(json_group_array(name)), sum(number) FROM big WHERE id < :n",
        "SELECT length(hex(zeroblob(:n * 400)))",
        "SELECT length(replace(hex(zeroblob(:n * 200)), '0', 'xy'))",
        "SELECT count(*) FROM big WHERE id < :n",
        "SELECT number, count(*), max(name) FROM big WHERE id < :n GROUP BY number",
    ];
    for sql in growing {
        for n in [1, 1, 1, 2, 50_000, 1, 50_000] {
            let delay = longest_delay(async {
                db.fetch_all::<Row>(sql, params! { n }).await.unwrap();
            });
            check(sql, delay.await);
        }
    }
    let cold = open();
    let delay = longest_delay(async {
        for id in (0..50_000).step_by(97) {
            cold.fetch_one::<(String,)>("SELECT name FROM big WHERE id = :id", params! { id }).await.unwrap();
        }
    });
    check("a file that was just opened", delay.await);
    let delay = longest_delay(async {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..64 {
            let db = db.clone();
            tasks.spawn(async move {
                for i in 0..1000 {
                    let id = (task * 1000 + i) % 50_000;
                    db.fetch_one::<(String,)>("SELECT name FROM big WHERE id = :id", params! { id }).await.unwrap();
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
    });
    check("64 tasks of cheap reads", delay.await);
}

fn check(what: &str, delay: Duration) {
    println!("{delay:>12.3?}  {what}");
    // Ten times what is promised on a quiet machine.
    assert!(delay < Duration::from_millis(200), "a ticker waited for {delay:?} beside: {what}");
}

#[test]
fn nobody_waits_for_the_reads_of_others() {
    on_both(|| async {
        let dir = TempDir::new();
        reads_of_every_kind(&dir.url("?synchronous=off")).await;
    });
}
