//! Reads on the thread of their caller: nobody else waits for them. Which ones they are is tested beside the code.

mod common;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{TempDir, on_both};
use databases_core::url::DatabaseUrl;
use databases_core::{Executor, FromValue, Pool, PoolConfig, Result, Row, ValueRef, params};
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

/// Takes the pages of the database out of the system's cache, so that they are read from the disk again. Where there is no
/// `dd` of GNU, the file is only a new one to its connection.
fn evict(dir: &TempDir) {
    let file = format!("of={}", dir.file("test.db").display());
    let options = ["oflag=nocache", "conv=notrunc,fdatasync", "count=0"];
    let evicted = Command::new("dd").arg(file).args(options).stderr(Stdio::null()).status();
    if !evicted.is_ok_and(|status| status.success()) {
        println!("not evicted: the system's cache still has the file");
    }
}

/// Reads of every kind while a ticker ticks: the longest delay beside each.
async fn reads_of_every_kind(dir: &TempDir) -> Vec<(&'static str, Duration)> {
    let url: DatabaseUrl = dir.url("?synchronous=off").parse().unwrap();
    let open = || Pool::new(PoolConfig::from_url(&Sqlite, &url, |_| ()).unwrap()).unwrap();
    let db = open();
    db.execute("CREATE TABLE big (id INTEGER PRIMARY KEY, name TEXT, number INTEGER)", ()).await.unwrap();
    let rows = (0..50_000).map(|id| params! { id, name: format!("name {}", id * 7919 % 50_000), number: id % 100 });
    db.execute_many("INSERT INTO big VALUES (:id, :name, :number)", rows).await.unwrap();
    // Quick at first, so that each is tried here, and then not.
    let mut delays = Vec::new();
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
            delays.push((sql, delay.await));
        }
    }
    db.acquire().await.unwrap().fetch_one::<Row>("PRAGMA wal_checkpoint(TRUNCATE)", ()).await.unwrap();
    evict(dir);
    let cold = open();
    let delay = longest_delay(async {
        for id in (0..50_000).step_by(97) {
            cold.fetch_one::<(String,)>("SELECT name FROM big WHERE id = :id", params! { id }).await.unwrap();
        }
    });
    delays.push(("a file that was just opened", delay.await));
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
    delays.push(("64 tasks of cheap reads", delay.await));
    let delay = longest_delay(async {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..64 {
            let db = db.clone();
            tasks.spawn(async move {
                for i in 0..10 {
                    let from = (task * 10 + i) * 70;
                    let sql = "SELECT id, name, number FROM big WHERE id >= :from LIMIT 1000";
                    let rows = db.fetch_all::<(i64, String, i64)>(sql, params! { from }).await.unwrap();
                    assert_eq!((rows.len(), rows[0].0), (1000, from));
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
    });
    delays.push(("64 tasks of 1,000 rows", delay.await));
    delays
}

/// Ten times what is promised on a quiet machine.
const LONGEST: Duration = Duration::from_millis(200);

#[test]
fn nobody_waits_for_the_reads_of_others() {
    on_both(|| async {
        // A busy machine makes everybody wait now and then; reads that hold up others do so each time.
        let mut late = Vec::new();
        for round in 0..10 {
            let dir = TempDir::on_disk();
            let mut delays = reads_of_every_kind(&dir).await;
            delays.retain(|(what, delay)| *delay >= LONGEST && (round == 0 || late.contains(what)));
            if delays.is_empty() {
                return;
            }
            println!("late in round {round}: {delays:?}");
            late = delays.into_iter().map(|(what, _)| what).collect();
        }
        panic!("a ticker waits each time beside: {late:?}");
    });
}

/// How often another task has its turn beside 1,000 reads that fail.
async fn turns_beside_failing_reads(reader: &impl Executor) -> usize {
    let turns = Arc::new(AtomicUsize::new(0));
    let other = tokio::spawn({
        let turns = Arc::clone(&turns);
        async move {
            loop {
                turns.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    });
    let sql = "SELECT result FROM jobs WHERE id = 1";
    // So that it is known to be short.
    for _ in 0..100 {
        reader.fetch_val::<Option<String>>(sql, ()).await.unwrap();
    }
    let before = turns.load(Ordering::Relaxed);
    for _ in 0..1_000 {
        reader.fetch_val::<String>(sql, ()).await.unwrap_err();
    }
    other.abort();
    turns.load(Ordering::Relaxed) - before
}

#[test]
fn reads_that_fail_let_others_run() {
    on_both(|| async {
        let db = in_memory();
        db.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, result TEXT)", ()).await.unwrap();
        db.execute("INSERT INTO jobs VALUES (1, NULL)", ()).await.unwrap();
        let turns = turns_beside_failing_reads(&db).await;
        assert!(turns > 500, "{turns} turns beside 1,000 reads on the pool");
        let conn = db.acquire().await.unwrap();
        let turns = turns_beside_failing_reads(&conn).await;
        assert!(turns > 500, "{turns} turns beside 1,000 reads on a connection");
    });
}

fn in_memory() -> Pool {
    let url: DatabaseUrl = "sqlite::memory:".parse().unwrap();
    Pool::new(PoolConfig::from_url(&Sqlite, &url, |_| ()).unwrap()).unwrap()
}

async fn numbers(db: &Pool, count: i64) {
    db.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)", ()).await.unwrap();
    db.execute_many("INSERT INTO numbers VALUES (:n)", (0..count).map(|n| params! { n })).await.unwrap();
}

#[test]
fn rows_that_were_read_before_a_read_was_stopped_are_not_given_twice() {
    on_both(|| async {
        let db = in_memory();
        numbers(&db, 50_000).await;
        let sql = "SELECT n FROM numbers WHERE n < :end";
        for end in [3, 3, 3, 3, 50_000, 3, 3, 3, 3, 50_000] {
            let rows: Vec<(i64,)> = db.fetch_all(sql, params! { end }).await.unwrap();
            assert!(rows.iter().map(|row| row.0).eq(0..end), "{} rows for {end}", rows.len());
        }
    });
}

/// Cannot be read.
#[derive(Debug)]
struct Trap;

impl FromValue for Trap {
    fn from_value(_: ValueRef<'_>) -> Result<Self> {
        panic!("a type of the caller's panics")
    }
}

#[test]
fn a_panic_of_the_type_that_a_row_is_read_as_leaves_the_only_connection_as_it_was() {
    on_both(|| async {
        let db = in_memory();
        numbers(&db, 3).await;
        let sql = "SELECT n FROM numbers WHERE n = :n";
        for _ in 0..20 {
            assert_eq!(db.fetch_val::<i64>(sql, params! { n: 2 }).await.unwrap(), 2);
            let reader = db.clone();
            let read = tokio::spawn(async move { reader.fetch_val::<Trap>(sql, params! { n: 2 }).await });
            assert!(read.await.unwrap_err().is_panic());
        }
        assert_eq!(db.fetch_val::<i64>("SELECT count(*) FROM numbers", ()).await.unwrap(), 3);
    });
}
