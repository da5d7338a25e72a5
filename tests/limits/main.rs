//! Great numbers: of callers that wait, of different texts, of connections opened and closed. Nothing is left of them.
//!
//! Servers are those of `TEST_DATABASE_URLS`; what else runs there does not matter.

#[path = "../support/usage.rs"]
mod usage;

use std::alloc::System;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use databases::{Connection, Database, DatabaseBuilder, DatabaseUrl, Executor as _, params};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use usage::{Usage, within};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The bytes that Rust has allocated and not freed.
fn in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// One test of a process at a time, since they count what the process has.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // The harness starts the next test's thread behind the last one's end: not to be counted as ours.
    std::thread::sleep(Duration::from_millis(300));
    turn
}

/// A database of a test's own.
struct Place {
    url: String,
    /// The server's database that is dropped at the end, and the URL from which that is done.
    made: Option<(String, String)>,
    folder: Option<std::path::PathBuf>,
}

impl Place {
    fn sqlite() -> Self {
        let folder = std::env::temp_dir().join(name());
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let url = format!("sqlite:///{}", folder.join("limits.db").display());
        Self { url, made: None, folder: Some(folder) }
    }

    /// A new database on the first server of `scheme` in `TEST_DATABASE_URLS`; `None` after a message if there is none.
    fn server(scheme: &str) -> Option<Self> {
        let urls = std::env::var("TEST_DATABASE_URLS").unwrap_or_default();
        let Some(url) = urls.split(',').map(str::trim).find(|url| url.starts_with(scheme)) else {
            let required = std::env::var("TEST_REQUIRE_BACKENDS").unwrap_or_default();
            assert!(!required.contains(scheme), "TEST_REQUIRE_BACKENDS wants {scheme}; TEST_DATABASE_URLS has none");
            eprintln!("left out: TEST_DATABASE_URLS names no {scheme}");
            return None;
        };
        let name = name();
        runtime().block_on(async {
            let db = Database::connect(url).await.expect("the server can be reached");
            db.execute(format!("CREATE DATABASE {name}"), ()).await.expect("the user may make databases");
            db.close().await.expect("nobody uses it");
        });
        let parsed: DatabaseUrl = url.parse().expect("it was connected to");
        let own = parsed.with_database(&name).expect("a name without signs").expose();
        Some(Self { url: own, made: Some((url.to_owned(), name)), folder: None })
    }

    fn builder(&self) -> DatabaseBuilder {
        Database::builder(self.url.as_str()).acquire_timeout(Duration::from_secs(120))
    }

    /// How many sessions the server has in this database.
    fn sessions(&self) -> usize {
        let Some((url, name)) = &self.made else { return 0 };
        let count = if url.starts_with("postgres") {
            "SELECT count(*) FROM pg_stat_activity WHERE datname = :name"
        } else {
            "SELECT count(*) FROM information_schema.processlist WHERE db = :name"
        };
        runtime().block_on(async {
            let db = Database::connect(url.as_str()).await.expect("the server can be reached");
            let count: i64 = db.fetch_val(count, params! { name }).await.expect("sessions can be counted");
            db.close().await.expect("nobody uses it");
            usize::try_from(count).expect("it is a count")
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
        if let Some((url, name)) = &self.made {
            runtime().block_on(async {
                let Ok(db) = Database::connect(url.as_str()).await else { return };
                if let Err(error) = db.execute(format!("DROP DATABASE {name}"), ()).await {
                    eprintln!("{name} is left behind: {error}");
                }
                let _ = db.close().await;
            });
        }
    }
}

fn name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("limits_{}_{}", std::process::id(), COUNT.fetch_add(1, Relaxed))
}

fn runtime() -> tokio::runtime::Runtime {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.expect("a runtime can be started")
}

/// Runs `work` and asserts that nothing of it is left: no task, thread, open file, or session at the server.
fn leaves_nothing(place: &Place, work: impl AsyncFnOnce()) {
    let before = Usage::now();
    let runtime = runtime();
    runtime.block_on(work());
    let tasks = within(Duration::from_secs(5), || runtime.metrics().num_alive_tasks(), |tasks| *tasks == 0);
    assert_eq!(tasks, 0, "tasks are left");
    runtime.shutdown_timeout(Duration::from_secs(1));
    let usage = within(Duration::from_secs(5), Usage::now, |usage| usage.is_within(&before));
    assert!(usage.is_within(&before), "{before:?} before, {usage:?} after");
    let sessions = within(Duration::from_secs(5), || place.sessions(), |sessions| *sessions == 0);
    assert_eq!(sessions, 0, "sessions are left at the server");
}

/// Resident memory in KiB; 0 where there is no `/proc`.
fn memory() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    resident.unwrap_or_default() * 4
}

// ---- waiters ------------------------------------------------------------------------------------------------------

const WAITERS: usize = 10_000;
/// What one of them may take, its task included.
const BYTES_OF_A_WAITER: usize = 2 * 1024;

/// Half of them go away: half of those before anyone is served, the others among those who are.
fn waiters(place: Option<Place>) {
    let _turn = turn();
    let Some(place) = place else { return };
    leaves_nothing(&place, async || {
        let db = place.builder().max_connections(4).connect().await.expect("it can be connected to");
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(db.acquire().await.expect("one is free"));
        }
        let before = in_use();
        let waiters: Vec<_> = (0..WAITERS as i64)
            .map(|number| {
                let db = db.clone();
                tokio::spawn(async move {
                    let conn = db.acquire().await?;
                    // In a box: the size of this future is not the wait's.
                    let answer = Box::pin(conn.fetch_val::<i64>("SELECT :number", params! { number })).await?;
                    assert_eq!(answer, number);
                    Ok::<(), databases::Error>(())
                })
            })
            .collect();
        let waiting = |count| {
            let db = db.clone();
            async move {
                while db.pool_status().waiting != count {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        waiting(WAITERS).await;
        let waiter = (in_use() - before) / WAITERS;
        assert!(waiter < BYTES_OF_A_WAITER, "{waiter} bytes for each that waits");
        waiters.iter().step_by(4).for_each(|waiter| waiter.abort());
        waiting(WAITERS * 3 / 4).await;
        drop(held);
        for some in waiters[1..].chunks(400) {
            some.iter().step_by(4).for_each(|waiter| waiter.abort());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut served = 0;
        for (number, waiter) in waiters.into_iter().enumerate() {
            match waiter.await {
                Ok(answered) => {
                    answered.unwrap_or_else(|error: databases::Error| panic!("waiter {number}: {error:?}"));
                    served += 1;
                }
                Err(gone) => assert!(gone.is_cancelled() && number % 4 < 2, "waiter {number}: {gone}"),
            }
        }
        assert!((WAITERS / 2..=WAITERS * 3 / 4).contains(&served), "{served} were served");
        // The crowd has left nothing to go through: an acquire takes its microseconds, and never a tenth of a second.
        let mut quickest = Duration::MAX;
        for _ in 0..5 {
            let asked = Instant::now();
            let conn = db.acquire().await.expect("a connection is free");
            quickest = quickest.min(asked.elapsed());
            assert_eq!(conn.fetch_val::<i64>("SELECT 1", ()).await.expect("it works"), 1);
        }
        assert!(quickest < Duration::from_millis(100), "{quickest:?}");
        let left = in_use().saturating_sub(before);
        assert!(left < 512 * 1024, "{left} bytes are left of those who waited");
        println!("limits: {waiter} bytes for each that waits, {left} left, {quickest:?} to acquire");
        let status = db.pool_status();
        assert!(status.size <= 4 && status.waiting == 0 && status.in_use == 0, "{status:?}");
        db.close().await.expect("nobody uses it");
    });
}

#[test]
fn ten_thousand_waiters_are_served_or_go_on_sqlite() {
    waiters(Some(Place::sqlite()));
}

#[test]
fn ten_thousand_waiters_are_served_or_go_on_postgres() {
    waiters(Place::server("postgres"));
}

#[test]
fn ten_thousand_waiters_are_served_or_go_on_mysql() {
    waiters(Place::server("mysql"));
}

// ---- texts --------------------------------------------------------------------------------------------------------

const TEXTS: usize = 10_000;
const CACHE: usize = 50;

/// Ten thousand texts of 4 KiB, none twice.
fn texts(place: Option<Place>) {
    let _turn = turn();
    let Some(place) = place else { return };
    leaves_nothing(&place, async || {
        let builder = place.builder().max_connections(2).statement_cache_size(CACHE);
        let db = builder.connect().await.expect("it can be connected to");
        let mut after_warm_up = 0;
        for number in 0..TEXTS {
            if number == TEXTS / 5 {
                after_warm_up = memory();
            }
            let text = format!("SELECT {number} + :one /* {:x>4000} */", number);
            let answer: i64 = db.fetch_val(text, params! { one: 1 }).await.expect("a sum");
            assert_eq!(answer, number as i64 + 1);
        }
        // Kept, the texts alone would be 31 MiB.
        let grown = memory().saturating_sub(after_warm_up);
        assert!(grown < 12 * 1024, "{grown} KiB more than after the first fifth");
        let (one, two) = (db.acquire().await.expect("one is free"), db.acquire().await.expect("two are free"));
        for conn in [one, two] {
            let count = prepared_statements(&conn).await;
            assert!(count <= CACHE as i64 + 5, "{count} statements are prepared on one connection");
        }
        db.close().await.expect("nobody uses it");
    });
}

/// How many statements the session has prepared at the server; SQLite has no server.
async fn prepared_statements(conn: &Connection) -> i64 {
    match &*conn.server_info().await.expect("it says what it is").product {
        "PostgreSQL" => conn.fetch_val("SELECT count(*) FROM pg_prepared_statements", ()).await.expect("a count"),
        // The one way that MariaDB and MySQL share, whatever is set.
        "MariaDB" | "MySQL" => {
            let ask = "SHOW SESSION STATUS WHERE Variable_name IN ('Com_stmt_prepare', 'Com_stmt_close')";
            let counters: Vec<(String, i64)> = conn.fetch_all(ask, ()).await.expect("counters");
            assert_eq!(counters.len(), 2, "{counters:?}");
            counters.iter().map(|(name, count)| if name == "Com_stmt_close" { -count } else { *count }).sum()
        }
        _ => 0,
    }
}

#[test]
fn ten_thousand_texts_leave_memory_flat_on_sqlite() {
    texts(Some(Place::sqlite()));
}

#[test]
fn ten_thousand_texts_leave_memory_and_statements_flat_on_postgres() {
    texts(Place::server("postgres"));
}

#[test]
fn ten_thousand_texts_leave_memory_and_statements_flat_on_mysql() {
    texts(Place::server("mysql"));
}

// ---- connections --------------------------------------------------------------------------------------------------

/// How long the connections of one server may take, unless `DATABASES_LIMITS_CONNECTIONS` says how many are wanted.
const PATIENCE: Duration = Duration::from_secs(15);

/// A database after the other is opened, used, and closed or just dropped: `count` of them or as many as there is time
/// for, and 40 at least; with `DATABASES_LIMITS_CONNECTIONS=10000` in the environment so many, however long that takes.
fn connections(place: Option<Place>, count: usize) {
    let _turn = turn();
    let Some(place) = place else { return };
    let wanted = std::env::var("DATABASES_LIMITS_CONNECTIONS").ok();
    let wanted = wanted.map(|count| count.parse::<usize>().expect("DATABASES_LIMITS_CONNECTIONS is a number"));
    leaves_nothing(&place, async || {
        let (mut after_warm_up, mut done, began) = (0, 0, Instant::now());
        while done < wanted.unwrap_or(count) {
            if done == 20 {
                after_warm_up = memory();
            }
            if wanted.is_none() && done >= 40 && began.elapsed() > PATIENCE {
                break;
            }
            let db = place.builder().connect().await.expect("it can be connected to");
            assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await.expect("a number"), 1);
            if done % 4 > 0 {
                db.close().await.expect("nobody uses it");
            }
            done += 1;
        }
        let grown = memory().saturating_sub(after_warm_up);
        println!("limits: {done} opened and closed in {:?}, {grown} KiB more than after the first 20", began.elapsed());
        assert!(grown < 12 * 1024, "{grown} KiB more than after the first 20");
    });
}

#[test]
fn ten_thousand_databases_leave_nothing_on_sqlite() {
    let memory = Place { url: "sqlite::memory:".into(), made: None, folder: None };
    connections(Some(memory), 10_000);
}

#[test]
fn a_thousand_files_opened_and_closed_leave_nothing_on_sqlite() {
    connections(Some(Place::sqlite()), 1_000);
}

#[test]
fn a_thousand_connections_leave_nothing_on_postgres() {
    connections(Place::server("postgres"), 1_000);
}

#[test]
fn thousands_of_connections_leave_nothing_on_mysql() {
    connections(Place::server("mysql"), 5_000);
}

// ---- dropped statements -------------------------------------------------------------------------------------------

const DROPS: usize = 200;

/// A statement after the other is dropped while it runs: what stops it at the server is closed again.
fn drops(place: Option<Place>, endless: &str) {
    let _turn = turn();
    let Some(place) = place else { return };
    leaves_nothing(&place, async || {
        let db = place.builder().max_connections(2).connect().await.expect("it can be connected to");
        let mut after_warm_up = None;
        for number in 0..DROPS {
            if number == DROPS / 10 {
                after_warm_up = Some(settled(&db).await);
            }
            let dropped = tokio::time::timeout(Duration::from_millis(3), db.fetch_val::<i64>(endless, ())).await;
            assert!(dropped.is_err(), "it was still running");
            let answer: i64 =
                db.fetch_val("SELECT :number", params! { number: number as i64 }).await.expect("a number");
            assert_eq!(answer, number as i64);
        }
        let before = after_warm_up.expect("there was a tenth");
        let mut after = settled(&db).await;
        // Sockets are closed by tasks of their own, soon.
        for _ in 0..100 {
            if after.is_within(&before) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            after = settled(&db).await;
        }
        assert!(after.is_within(&before), "{before:?} after {} drops, {after:?} after {DROPS}", DROPS / 10);
        db.close().await.expect("nobody uses it");
    });
}

/// What is in use while both connections are open, and nothing else is.
async fn settled(db: &Database) -> Usage {
    let both = (db.acquire().await.expect("one is free"), db.acquire().await.expect("two are free"));
    for conn in [&both.0, &both.1] {
        conn.fetch_val::<i64>("SELECT 1", ()).await.expect("it works");
    }
    drop(both);
    tokio::time::sleep(Duration::from_millis(50)).await;
    Usage::now()
}

#[test]
fn dropped_statements_leave_no_file_open_on_sqlite() {
    let count = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c";
    drops(Some(Place::sqlite()), count);
}

#[test]
fn dropped_statements_leave_no_socket_open_on_postgres() {
    drops(Place::server("postgres"), "SELECT 1 FROM pg_sleep(60)");
}

#[test]
fn dropped_statements_leave_no_socket_open_on_mysql() {
    drops(Place::server("mysql"), "SELECT SLEEP(60)");
}
