//! How long a task that wakes every millisecond waits for its turn while SQLite reads on the threads of its callers: at most
//! 20 ms is promised. Prints the worst delay of each workload, on a current_thread and on a multi_thread runtime, and ends
//! with an error if one is longer. How late a ticker is beside nothing is what the machine adds.
//!
//! `cargo run --release --manifest-path benchmarks/Cargo.toml --bin ticker -- [--json FILE] [FOLDER]`
//!
//! FOLDER, the temporary one unless it is named, must be on a disk: a file that was just opened is read from there.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
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

/// What is promised.
const LIMIT: Duration = Duration::from_millis(20);

/// The worst delays on one runtime.
struct Delays {
    runtime: &'static str,
    delays: Vec<(&'static str, Duration)>,
}

impl Delays {
    /// Runs `work`, and prints the longest time that a ticker beside it was late.
    async fn beside(&mut self, name: &'static str, work: impl Future<Output = Result<()>>) -> Result<()> {
        let worst = longest_delay(work).await?;
        println!("  {:>8.2} ms   {name}: {}", millis(worst), verdict(worst));
        self.delays.push((name, worst));
        Ok(())
    }
}

fn verdict(delay: Duration) -> &'static str {
    if delay <= LIMIT { "reached" } else { "MISSED" }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

async fn longest_delay(work: impl Future<Output = Result<()>>) -> Result<Duration> {
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
    result.map(|()| worst)
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

/// Takes the pages of a file out of the system's cache, so that the next read of each is one of the disk.
fn evict(file: &Path) {
    let mut dd = Command::new("dd");
    dd.arg(format!("of={}", file.display())).args(["oflag=nocache", "conv=notrunc,fdatasync", "count=0"]);
    if !dd.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("  NOT COLD: there is no `dd` with oflag=nocache, that of GNU coreutils");
    }
}

/// How many bytes this process has read from disks, where the system tells.
fn read_from_disk() -> Option<u64> {
    let counts = std::fs::read_to_string("/proc/self/io").ok()?;
    counts.lines().find_map(|line| line.strip_prefix("read_bytes: ")?.parse().ok())
}

/// Reads of a file that is only on its disk.
async fn cold_reads(url: &str, file: &Path, delays: &mut Delays) -> Result<()> {
    let size = std::fs::metadata(file).map_or(0, |file| file.len());
    evict(file);
    let before = read_from_disk();
    let cold = async {
        let db = Database::connect(url).await?;
        for id in (0..ROWS).step_by(97) {
            db.fetch_one::<(String,)>(BY_ID, params! { id }).await?;
        }
        db.close().await
    };
    delays.beside("a file that was just opened", cold).await?;
    match before.zip(read_from_disk()) {
        Some((before, after)) if after - before >= size / 2 => {
            println!("               of its {size} bytes {} came from the disk", after - before);
        }
        Some(_) => println!("               NOT COLD: {} is not on a disk", file.display()),
        None => println!("               the system does not tell whether it came from the disk"),
    }
    Ok(())
}

async fn workloads(file: &Path, delays: &mut Delays) -> Result<()> {
    let nothing = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    };
    let alone = longest_delay(nothing).await?;
    let busy = if alone > LIMIT / 4 { ": the machine is too busy to tell" } else { "" };
    println!("  {:>8.2} ms   nothing{busy}", millis(alone));
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
        delays.beside(name, work).await?;
    }
    delays.beside("64 tasks of cheap reads", cheap_reads(&db)).await?;
    delays.beside("64 tasks of 1,000 rows", long_reads(&db)).await?;
    // All of the log goes into the file, which alone is opened then.
    let (busy, _, _) = db.acquire().await?.fetch_one::<(i64, i64, i64)>("PRAGMA wal_checkpoint(TRUNCATE)", ()).await?;
    assert_eq!(busy, 0, "nobody else uses the file");
    db.close().await?;
    cold_reads(&url, file, delays).await
}

/// The delays as JSON. No name has a sign that would have to be escaped.
fn json(all: &[Delays]) -> String {
    let lines = all.iter().flat_map(|Delays { runtime, delays }| {
        delays.iter().map(move |(name, delay)| {
            let (millis, verdict) = (millis(*delay), verdict(*delay));
            format!(
                r#"  {{"runtime": "{runtime}", "work": "{name}", "worst_ms": {millis:.2}, "verdict": "{verdict}"}}"#
            )
        })
    });
    format!("[\n{}\n]\n", lines.collect::<Vec<_>>().join(",\n"))
}

fn main() -> Result<ExitCode> {
    let (mut place, mut report) = (std::env::temp_dir(), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match &*argument {
            "--json" => report = Some(PathBuf::from(arguments.next().expect("--json names a file"))),
            _ => place = std::path::absolute(argument).expect("a folder"),
        }
    }
    let folder = place.join(format!("databases-ticker-{}", std::process::id()));
    let mut all = Vec::new();
    for (name, mut builder) in
        [("current_thread", Builder::new_current_thread()), ("multi_thread", Builder::new_multi_thread())]
    {
        println!("{name}, at most {} ms", LIMIT.as_millis());
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let runtime = builder.enable_all().build().expect("a runtime can be built");
        let mut delays = Delays { runtime: name, delays: Vec::new() };
        let done = runtime.block_on(workloads(&folder.join("ticker.db"), &mut delays));
        let _ = std::fs::remove_dir_all(&folder);
        done?;
        all.push(delays);
    }
    if let Some(report) = report {
        std::fs::write(report, json(&all)).expect("the report can be written");
    }
    let late = all.iter().flat_map(|one| &one.delays).filter(|(_, delay)| *delay > LIMIT).count();
    println!("{late} missed");
    Ok(if late == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
