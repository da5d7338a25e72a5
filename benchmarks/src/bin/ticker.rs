//! How long a task that wakes every millisecond waits for its turn while SQLite reads on the threads of its callers: at most
//! 20 ms is promised. Prints the worst delay of each workload, on a current_thread and on a multi_thread runtime.
//!
//! `cargo run --release --manifest-path benchmarks/Cargo.toml --bin ticker`

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use databases::{Database, Executor, Result, Row, params};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

const ROWS: i64 = 50_000;
const TASKS: i64 = 64;
const BY_ID: &str = "SELECT name FROM big WHERE id = :id";
const THOUSAND: &str = "SELECT id, name, number FROM big WHERE id >= :from LIMIT 1000";

/// Runs `work`, and prints the longest time that a ticker beside it was late.
async fn beside(name: &str, work: impl Future<Output = Result<()>>) -> Result<()> {
    const TICK: Duration = Duration::from_millis(1);
    let done = Arc::new(AtomicBool::new(false));
    let ticker = tokio::spawn({
        let done = done.clone();
        async move {
            let mut worst = Duration::ZERO;
            while !done.load(Relaxed) {
                let start = Instant::now();
                tokio::time::sleep(TICK).await;
                worst = worst.max(start.elapsed().saturating_sub(TICK));
            }
            worst
        }
    });
    let result = work.await;
    done.store(true, Relaxed);
    let worst = ticker.await.expect("the ticker does not panic");
    println!("  {:>8.2} ms   {name}", worst.as_secs_f64() * 1e3);
    result
}

async fn finish(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(task) = tasks.join_next().await {
        task.expect("no task panics")?;
    }
    Ok(())
}

async fn cheap_reads(db: &Database) -> Result<()> {
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let db = db.clone();
        tasks.spawn(async move {
            for i in 0..2000 {
                let id = (task * 2000 + i) % ROWS;
                db.fetch_one::<(String,)>(BY_ID, params! { id }).await?;
            }
            Ok(())
        });
    }
    finish(tasks).await
}

async fn long_reads(db: &Database) -> Result<()> {
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let db = db.clone();
        tasks.spawn(async move {
            for i in 0..50 {
                let from = (task * 50 + i) * 1000 % ROWS;
                db.fetch_all::<(i64, String, i64)>(THOUSAND, params! { from }).await?;
            }
            Ok(())
        });
    }
    finish(tasks).await
}

async fn workloads(file: &Path) -> Result<()> {
    let url = format!("sqlite:///{}?synchronous=off", file.display());
    let db = Database::connect(&url).await?;
    db.execute("CREATE TABLE big (id INTEGER PRIMARY KEY, name TEXT, number INTEGER)", ()).await?;
    let rows = (0..ROWS).map(|id| params! { id, name: format!("name {}", id * 7919 % ROWS), number: id % 100 });
    db.execute_many("INSERT INTO big VALUES (:id, :name, :number)", rows).await?;
    // Quick at first, so that each is tried on its caller's thread, and then not.
    for (name, sql) in [
        ("sort", "SELECT name FROM big WHERE id < :n ORDER BY name, number"),
        ("group_concat", "SELECT length(group_concat(name)) FROM big WHERE id < :n"),
        ("json aggregate", "SELECT length(json_group_array(name)), sum(number) FROM big WHERE id < :n"),
        ("hex of 20 MB", "SELECT length(hex(zeroblob(:n * 400)))"),
        ("replace in 20 MB", "SELECT length(replace(hex(zeroblob(:n * 200)), '0', 'xy'))"),
        ("count of a table", "SELECT count(*) FROM big WHERE id < :n"),
        ("group by", "SELECT number, count(*), max(name) FROM big WHERE id < :n GROUP BY number"),
    ] {
        let work = async {
            for n in [1, 1, 1, 2, ROWS, 1, ROWS, 1, 1, ROWS] {
                db.fetch_all::<Row>(sql, params! { n }).await?;
            }
            Ok(())
        };
        beside(name, work).await?;
    }
    let cold = async {
        let db = Database::connect(&url).await?;
        for id in (0..ROWS).step_by(97) {
            db.fetch_one::<(String,)>(BY_ID, params! { id }).await?;
        }
        db.close().await
    };
    beside("a file that was just opened", cold).await?;
    beside("64 tasks of cheap reads", cheap_reads(&db)).await?;
    beside("64 tasks of 1,000 rows", long_reads(&db)).await?;
    db.close().await
}

fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("databases-ticker-{}", std::process::id()));
    for (name, mut builder) in
        [("current_thread", Builder::new_current_thread()), ("multi_thread", Builder::new_multi_thread())]
    {
        println!("{name}");
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let runtime = builder.enable_all().build().expect("a runtime can be built");
        let done = runtime.block_on(workloads(&folder.join("ticker.db")));
        let _ = std::fs::remove_dir_all(&folder);
        done?;
    }
    Ok(())
}
