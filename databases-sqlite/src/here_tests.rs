//! Which reads run on the thread of their caller, and what they give.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use databases_core::backend::{BackendConnection, ExecResult, Flow, Request, RowSink, Status, TransactionCommand};
use databases_core::sql::{Dialect, scan};
use databases_core::url::{DatabaseUrl, UrlOptions};
use databases_core::{Params, PoolOptions, Result, Row, RowBatch, TransactionOptions, params};

use crate::connection::SqliteConnection;
use crate::here::{Here, SHORT, Turn};
use crate::options::Config;
use crate::permit::WritePermit;

const COUNT: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT :n) SELECT count(*), sum(i) FROM n";

/// A file that is removed when dropped.
struct File(std::path::PathBuf);

impl File {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("databases-sqlite-here-{}-{number}.db", std::process::id())))
    }

    fn url(&self, options: &str) -> String {
        format!("sqlite:///{}{options}", self.0.display())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.0.display()));
        }
    }
}

#[derive(Default)]
struct Collect(Vec<Row>);

impl RowSink for Collect {
    fn batch(&mut self, batch: Arc<dyn RowBatch>) -> Result<Flow> {
        self.0.extend((0..batch.len()).map(|index| Row::new(Arc::clone(&batch), index)));
        Ok(Flow::Continue)
    }
}

fn request(sql: &str, params: Params<'_>) -> Request {
    let template = Arc::new(scan(sql, Dialect::SQLITE).unwrap());
    let (sql, args) = params.bind(&template, false).unwrap();
    Request::new(sql, args, template)
}

struct Db(SqliteConnection);

impl Db {
    fn here(&self, sql: &str, params: Params<'_>) -> Option<Result<Here>> {
        self.0.run_here(&request(sql, params), Instant::now(), SHORT, &mut Collect::default())
    }

    async fn exec_with(&self, sql: &str, params: Params<'_>) -> Result<ExecResult> {
        self.0.run(request(sql, params), &mut Collect::default()).await
    }

    async fn exec(&self, sql: &str) -> Result<ExecResult> {
        self.exec_with(sql, params! {}).await
    }

    async fn rows_with(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
        let mut sink = Collect::default();
        self.0.run(request(sql, params), &mut sink).await?;
        Ok(sink.0)
    }

    async fn int(&self, sql: &str) -> i64 {
        self.rows_with(sql, params! {}).await.unwrap()[0].get(0).unwrap()
    }

    async fn step(&self, command: TransactionCommand) {
        self.0.transaction(command).await.unwrap();
    }

    async fn begin(&self) {
        self.step(TransactionCommand::Begin(TransactionOptions::new())).await;
    }
}

/// Whether the read runs here; where not, it runs on the worker.
async fn runs_here(db: &Db, sql: &str, params: Params<'_>) -> bool {
    match db.here(sql, params.clone()) {
        Some(here) => {
            here.unwrap();
            true
        }
        None => {
            db.rows_with(sql, params).await.unwrap();
            false
        }
    }
}

/// Runs the text until it may run here. A busy machine may make a short run long, now and then.
async fn learn(db: &Db, sql: &str, params: Params<'_>) {
    for _ in 0..2000 {
        if runs_here(db, sql, params.clone()).await {
            return;
        }
    }
    panic!("`{sql}` always went to the worker");
}

async fn connect(url: &str) -> Db {
    let url: DatabaseUrl = url.parse().unwrap();
    let config = Config::take(&url, &mut UrlOptions::new(&url), &PoolOptions::default()).unwrap();
    let permit = config.guards_writes().then(|| WritePermit::new(config.acquire_timeout));
    Db(SqliteConnection::open(Arc::new(config), permit, None).await.unwrap())
}

async fn with_table(url: &str) -> Db {
    let db = connect(url).await;
    db.0.run_script("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)").await.unwrap();
    for id in 0..100 {
        db.exec_with("INSERT INTO t VALUES (:id, :name)", params! { id, name: format!("name {id}") }).await.unwrap();
    }
    db
}

#[test]
fn reads_that_follow_each_other_are_timed_by_the_next_one_and_behind_a_gap_each_by_itself() {
    let (mut turn, mut now) = (Turn::default(), Instant::now());
    let micros = Duration::from_micros;
    for _ in 0..8 {
        assert!(!turn.begin(now) && !turn.end(None));
        now += micros(10);
    }
    assert!(!turn.begin(now) && turn.end(None), "the eight before it took 80 us");
    now += Duration::from_secs(1);
    assert!(!turn.begin(now) && !turn.end(None), "others have run meanwhile");
    now += micros(101);
    for _ in 0..16 {
        assert!(turn.begin(now) && !turn.end(Some(micros(4))), "one of them may have taken long");
        now += micros(5);
    }
    assert!(!turn.begin(now) && turn.end(Some(micros(16))), "64 us of those before it, and 16 that SQLite saw");
}

#[tokio::test]
async fn a_short_read_runs_here_from_its_second_run_on() {
    let file = File::new();
    for url in ["sqlite::memory:".to_owned(), file.url("")] {
        let db = with_table(&url).await;
        let sql = "SELECT name FROM t WHERE id = :id";
        assert!(!runs_here(&db, sql, params! { id: 1 }).await, "the first run tells how long it takes");
        learn(&db, sql, params! { id: 1 }).await;
        // Also in a transaction, where it sees what was written.
        db.begin().await;
        db.exec("UPDATE t SET name = 'new' WHERE id = 7").await.unwrap();
        learn(&db, sql, params! { id: 7 }).await;
        let rows = db.rows_with(sql, params! { id: 7 }).await.unwrap();
        assert_eq!(rows[0].get::<String>(0).unwrap(), "new");
        assert_eq!(db.0.status(), Status::InTransaction);
        db.step(TransactionCommand::Rollback).await;
        assert_eq!(db.0.status(), Status::Idle);
    }
}

#[tokio::test]
async fn writes_and_what_is_no_plain_read_run_on_the_worker() {
    let db = with_table("sqlite::memory:").await;
    for sql in [
        "INSERT INTO t (name) VALUES ('x')",
        "UPDATE t SET name = 'y' WHERE id = 1",
        "DELETE FROM t WHERE id = 2 RETURNING name",
        "PRAGMA user_version",
        "EXPLAIN SELECT 1",
        // One instruction each, whatever they meet.
        "SELECT count(*) FROM t",
        "SELECT value FROM json_each('[1, 2]')",
        "SELECT name FROM t WHERE name LIKE '%9%'",
        "SELECT replace(name, 'a', 'b') FROM t WHERE id = 3",
    ] {
        for _ in 0..5 {
            assert!(!runs_here(&db, sql, params! {}).await, "{sql}");
        }
    }
}

#[tokio::test]
async fn a_read_that_takes_longer_than_before_goes_to_the_worker_and_gives_all_rows_once() {
    let db = with_table("sqlite::memory:").await;
    learn(&db, COUNT, params! { n: 3 }).await;
    let rows = db.rows_with(COUNT, params! { n: 300_000 }).await.unwrap();
    assert_eq!(rows[0].get::<i64>(1).unwrap(), 45_000_150_000);
    assert!(!runs_here(&db, COUNT, params! { n: 3 }).await, "it is known to take long");
    // It is forgotten, since it takes less from now on.
    learn(&db, COUNT, params! { n: 3 }).await;

    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT :n) SELECT i FROM n";
    learn(&db, many, params! { n: 3 }).await;
    let rows = db.rows_with(many, params! { n: 100_000 }).await.unwrap();
    assert!(rows.iter().zip(1..).all(|(row, i)| row.get::<i64>(0).unwrap() == i));
    assert_eq!(rows.len(), 100_000);
    // In a transaction nothing is lost by it.
    db.begin().await;
    db.exec("INSERT INTO t (name) VALUES ('kept')").await.unwrap();
    learn(&db, COUNT, params! { n: 3 }).await;
    db.rows_with(COUNT, params! { n: 300_000 }).await.unwrap();
    assert_eq!(db.0.status(), Status::InTransaction);
    db.step(TransactionCommand::Commit).await;
    assert_eq!(db.int("SELECT count(*) FROM t").await, 101);
}

#[tokio::test]
async fn large_values_go_to_the_worker() {
    let db = with_table("sqlite::memory:").await;
    for sql in ["SELECT length(hex(zeroblob(:n)))", "SELECT length(zeroblob(:n)), upper('x')", "SELECT randomblob(:n)"]
    {
        learn(&db, sql, params! { n: 10 }).await;
        assert!(!runs_here(&db, sql, params! { n: 5_000_000 }).await, "{sql}");
    }
    let sql = "SELECT length(:text)";
    learn(&db, sql, params! { text: "short" }).await;
    let long = "long ".repeat(100_000);
    assert!(db.here(sql, params! { text: &long }).is_none());
    assert_eq!(db.rows_with(sql, params! { text: long }).await.unwrap()[0].get::<i64>(0).unwrap(), 500_000);
    // What was allowed before is allowed again.
    assert_eq!(db.int("SELECT length(zeroblob(100000000))").await, 100_000_000);
}

#[tokio::test]
async fn errors_and_new_columns_are_those_of_the_worker() {
    let db = with_table("sqlite::memory:").await;
    learn(&db, "SELECT abs(:n)", params! { n: 1 }).await;
    let error = db.rows_with("SELECT abs(:n)", params! { n: i64::MIN }).await.unwrap_err();
    assert_eq!(error.to_string(), "integer overflow");
    assert_eq!(db.0.status(), Status::Idle);
    learn(&db, "SELECT * FROM t WHERE id = :id", params! { id: 1 }).await;
    db.exec("ALTER TABLE t RENAME COLUMN name TO title").await.unwrap();
    db.exec("ALTER TABLE t ADD COLUMN extra INTEGER DEFAULT 5").await.unwrap();
    for _ in 0..3 {
        let rows = db.rows_with("SELECT * FROM t WHERE id = :id", params! { id: 1 }).await.unwrap();
        let names: Vec<_> = rows[0].columns().iter().map(|column| column.name().to_owned()).collect();
        assert_eq!(names, ["id", "title", "extra"]);
        assert_eq!(rows[0].get::<i64>("extra").unwrap(), 5);
    }
    db.exec("DROP TABLE t").await.unwrap();
    assert!(db.rows_with("SELECT * FROM t WHERE id = :id", params! { id: 1 }).await.is_err());
}

#[tokio::test]
async fn a_lock_is_waited_for_on_the_worker() {
    let file = File::new();
    let db = with_table(&file.url("?journal_mode=delete&busy_timeout=10s")).await;
    let sql = "SELECT name FROM t WHERE id = :id";
    learn(&db, sql, params! { id: 1 }).await;
    let other = rusqlite::Connection::open(&file.0).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let start = Instant::now();
    assert!(db.here(sql, params! { id: 1 }).is_none());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let release = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        other.execute_batch("COMMIT").unwrap();
    });
    assert_eq!(db.rows_with(sql, params! { id: 1 }).await.unwrap().len(), 1);
    release.join().unwrap();
}

#[tokio::test]
async fn nothing_runs_here_beside_a_stream_behind_a_job_with_functions_of_the_user_or_if_switched_off() {
    let db = with_table("sqlite::memory:").await;
    let sql = "SELECT name FROM t WHERE id = 1";
    learn(&db, sql, params! {}).await;
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i FROM n";
    let mut stream = db.0.open_stream(request(many, params! {})).await.unwrap();
    assert!(db.here(sql, params! {}).is_none());
    while stream.next().await.unwrap().is_some() {}
    learn(&db, sql, params! {}).await;
    drop(db.0.native().await.unwrap());
    for _ in 0..5 {
        assert!(!runs_here(&db, sql, params! {}).await);
    }
    let file = File::new();
    let off = with_table(&file.url("?inline_reads=off")).await;
    for _ in 0..5 {
        assert!(!runs_here(&off, sql, params! {}).await);
    }
}

#[tokio::test]
async fn a_dropped_read_and_a_closed_connection_leave_nothing_behind() {
    let db = with_table("sqlite::memory:").await;
    learn(&db, COUNT, params! { n: 3 }).await;
    for polls in 0..4 {
        let mut read = Box::pin(db.rows_with(COUNT, params! { n: 100_000_000 }));
        for _ in 0..polls {
            let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(read.as_mut().poll(cx))).await;
            assert!(poll.is_pending());
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        drop(read);
        db.0.settle().await;
        assert_eq!(db.0.status(), Status::Idle);
        learn(&db, COUNT, params! { n: 3 }).await;
    }
    db.0.close().await;
    assert!(db.rows_with(COUNT, params! { n: 3 }).await.is_err());
    assert_eq!(db.0.status(), Status::Broken);
}
