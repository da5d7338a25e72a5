//! Groups without a race: what is offered is known, and so is who leads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use databases_core::backend::{ExecResult, Request};
use databases_core::sql::{Dialect, scan};
use databases_core::url::{DatabaseUrl, UrlOptions};
use databases_core::{ErrorKind, Params, PoolOptions, Result, Row, RowBatch};
use tokio::sync::oneshot;

use crate::group::{Offered, Offers};
use crate::options::Config;
use crate::permit::WritePermit;
use crate::session::Session;
use crate::statement::{Outcome, Reply};

/// A session on a file, and how many commits there were.
struct Leader {
    session: Session,
    commits: Arc<AtomicU64>,
    /// So many of the next commits are refused.
    refused: Arc<AtomicU64>,
    permit: Arc<WritePermit>,
    offers: Arc<Offers>,
    path: std::path::PathBuf,
}

impl Drop for Leader {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.path.display()));
        }
    }
}

fn request(sql: &str) -> Request {
    let template = Arc::new(scan(sql, Dialect::SQLITE).unwrap());
    let (sql, args) = Params::new().bind(&template, false).unwrap();
    Request::new(sql, args, template)
}

type Call = (Offered, oneshot::Receiver<Outcome>);

impl Leader {
    fn new(schema: &str) -> Self {
        Self::with(schema, "")
    }

    fn with(schema: &str, options: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("databases-sqlite-group-{}-{number}.db", std::process::id()));
        let url: DatabaseUrl = format!("sqlite:///{}?synchronous=off{options}", path.display()).parse().unwrap();
        let config = Config::take(&url, &mut UrlOptions::new(&url), &PoolOptions::default()).unwrap();
        let (mut session, _) = Session::open(&Arc::new(config), &Arc::default()).unwrap();
        session.connection().execute_batch(schema).unwrap();
        let commits = Arc::new(AtomicU64::new(0));
        let refused = Arc::new(AtomicU64::new(0));
        let (counted, left) = (Arc::clone(&commits), Arc::clone(&refused));
        let count = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        session.connection.as_mut().unwrap().commit_hook(Some(count)).unwrap();
        let permit = WritePermit::new(Duration::from_secs(1));
        Self { session, commits, refused, permit, offers: Arc::default(), path }
    }

    /// Groups are not closed by time, so a machine that is busy makes no other ones.
    fn never_mind_the_time(&mut self) {
        Arc::get_mut(&mut self.offers).unwrap().bounds.time = Duration::from_secs(3600);
    }

    fn offer(&self, sql: &str) -> Call {
        self.offers.offer(request(sql))
    }

    /// Leads one group.
    async fn lead(&mut self) {
        let held = self.permit.acquire("an INSERT", self.permit.deadline()).await.unwrap();
        let deliver = self.session.lead(&self.offers, held);
        self.session.after_job();
        deliver();
        assert!(self.session.connection().is_autocommit() && self.session.held.is_none());
    }

    /// Leads until nothing is on offer; each call's result.
    async fn run(&mut self, calls: Vec<Call>) -> Vec<Result<Reply>> {
        let mut results = Vec::new();
        for (offered, mut outcome) in calls {
            loop {
                match outcome.try_recv() {
                    Ok(Outcome::Done(result)) => {
                        results.push(result);
                        break;
                    }
                    Ok(Outcome::NeedsPermit(_)) => panic!("it had the permit"),
                    Err(_) => self.lead().await,
                }
            }
            drop(offered);
        }
        results
    }

    async fn run_texts(&mut self, texts: &[&str]) -> Vec<Result<Reply>> {
        let calls = texts.iter().map(|sql| self.offer(sql)).collect();
        self.run(calls).await
    }

    /// Leads until nothing is on offer; how many calls were answered each time.
    async fn groups(&mut self, mut calls: Vec<Call>) -> Vec<usize> {
        let mut groups = Vec::new();
        while !calls.is_empty() {
            self.lead().await;
            let before = calls.len();
            calls.retain_mut(|(_, outcome)| match outcome.try_recv() {
                Ok(Outcome::Done(result)) => {
                    result.unwrap();
                    false
                }
                _ => true,
            });
            groups.push(before - calls.len());
        }
        groups
    }

    /// Runs each text alone, so that it is known to be quick; what it does is undone.
    async fn learn(&mut self, texts: &[&str]) {
        for sql in texts {
            self.session.connection().execute_batch("BEGIN").unwrap();
            let mut out = crate::statement::Output::new(None, crate::batch::Limits { rows: 100, bytes: 1 << 20 });
            self.session.held = Some(self.permit.acquire("an INSERT", self.permit.deadline()).await.unwrap());
            let _ = self.session.step_all(&request(sql), &mut out);
            if !self.session.connection().is_autocommit() {
                self.session.connection().execute_batch("ROLLBACK").unwrap();
            }
            self.session.after_job();
        }
        self.commits.store(0, Ordering::Relaxed);
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn content(&self) -> Vec<String> {
        let mut statement =
            self.session.connection().prepare("SELECT id || ':' || coalesce(v, '') FROM t ORDER BY id").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }
}

/// What can be compared of a result.
fn summary(result: &Result<Reply>) -> Result<(ExecResult, Vec<i64>), (ErrorKind, String)> {
    match result {
        Ok(reply) => {
            let rows = reply.batches.iter().flat_map(|batch| {
                let batch: Arc<dyn RowBatch> = batch.clone();
                (0..batch.len()).map(move |row| Row::new(Arc::clone(&batch), row).get::<i64>(0).unwrap())
            });
            Ok((reply.result, rows.collect()))
        }
        Err(error) => Err((error.kind(), error.to_string())),
    }
}

const SCHEMA: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE NOT NULL CHECK (v <> 'bad'));
    CREATE TRIGGER r BEFORE INSERT ON t WHEN new.v = 'rollback' BEGIN SELECT RAISE(ROLLBACK, 'no'); END;
    CREATE TRIGGER a BEFORE INSERT ON t WHEN new.v = 'abort' BEGIN SELECT RAISE(ABORT, 'no'); END;
    CREATE TRIGGER f BEFORE INSERT ON t WHEN new.v = 'fail' BEGIN SELECT RAISE(FAIL, 'no'); END;
    CREATE TRIGGER i BEFORE INSERT ON t WHEN new.v = 'ignore' BEGIN SELECT RAISE(IGNORE); END;";

#[tokio::test]
async fn quick_statements_share_one_commit_and_each_has_its_own_result() {
    let mut leader = Leader::new(SCHEMA);
    leader.never_mind_the_time();
    let texts = ["INSERT INTO t (v) VALUES (hex(randomblob(8)))", "INSERT INTO t (v) VALUES (random()) RETURNING id"];
    leader.learn(&texts).await;
    let texts: Vec<&str> = texts.into_iter().cycle().take(100).collect();
    let results = leader.run_texts(&texts).await;
    for (result, id) in results.iter().zip(1..) {
        let (done, rows) = summary(result).unwrap();
        assert_eq!((done.rows_affected(), done.last_insert_id()), (1, Some(id)));
        assert_eq!(rows, if id % 2 == 0 { vec![id] } else { vec![] });
    }
    assert_eq!(leader.commits(), 1);
    assert_eq!(leader.content().len(), 100);
}

#[tokio::test]
async fn a_group_has_128_statements_at_the_most() {
    let mut leader = Leader::new(SCHEMA);
    assert_eq!(leader.offers.bounds.statements, 128);
    leader.never_mind_the_time();
    let sql = "INSERT INTO t (v) VALUES (hex(randomblob(8)))";
    leader.learn(&[sql]).await;
    let calls = (0..300).map(|_| leader.offer(sql)).collect();
    assert_eq!(leader.groups(calls).await, [128, 128, 44]);
    assert_eq!(leader.commits(), 3);
    assert_eq!(leader.content().len(), 300);
}

#[tokio::test]
async fn a_group_is_closed_after_a_millisecond() {
    let mut leader = Leader::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)");
    let limit = leader.offers.bounds.time;
    assert_eq!(limit, Duration::from_millis(1));
    // A statement that takes at least a seventh of it.
    let mut rows = 100;
    let (sql, least) = loop {
        let sql = format!(
            "INSERT INTO t (v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {rows}) SELECT sum(i) FROM n"
        );
        let least = (0..20).map(|_| {
            let start = Instant::now();
            leader.session.connection().prepare_cached(&sql).unwrap().execute([]).unwrap();
            start.elapsed()
        });
        match least.min().unwrap() {
            least if least >= limit / 7 => break (sql, least),
            _ => rows += rows / 2,
        }
    };
    leader.session.connection().execute_batch("DELETE FROM t").unwrap();
    leader.learn(&[&sql]).await;
    let calls = (0..64).map(|_| leader.offer(&sql)).collect();
    let groups = leader.groups(calls).await;
    // Each takes `least`, which has a commit in it, so by a quarter or so; the one with which the time is over belongs to the group.
    let most = 4 * usize::try_from(limit.as_nanos() / least.as_nanos()).unwrap() + 1;
    assert!(groups.iter().all(|group| *group <= most), "{groups:?}, {least:?} for one, so at most {most}");
    assert_eq!(u64::try_from(groups.len()).unwrap(), leader.commits());
    assert_eq!(leader.content().len(), 64);
}

#[tokio::test]
async fn statements_whose_commit_fails_run_again_one_by_one() {
    let texts = [
        "INSERT INTO t (v) VALUES ('one') RETURNING id",
        "INSERT INTO t (v) VALUES ('two') RETURNING id",
        "INSERT INTO t (v) VALUES ('one') RETURNING id",
        "UPDATE t SET v = v || '!' WHERE id >= 1 RETURNING id",
        "INSERT INTO t (v) VALUES ('five') RETURNING id",
    ];
    // How many commits are refused: that of the group, and those of the first statements by themselves.
    for refused in 0..=3 {
        let mut leader = Leader::new(SCHEMA);
        leader.never_mind_the_time();
        leader.learn(&texts).await;
        leader.refused.store(refused, Ordering::Relaxed);
        let results = leader.run_texts(&texts).await;
        let told: Vec<_> = results
            .iter()
            .map(|result| summary(result).map(|(done, ids)| (done.rows_affected(), ids)).map_err(|(kind, _)| kind))
            .collect();
        let commit = || Err(ErrorKind::Database);
        let (expected, content): (Vec<_>, &[&str]) = match refused {
            0 | 1 => (
                vec![
                    Ok((1, vec![1])),
                    Ok((1, vec![2])),
                    Err(ErrorKind::UniqueViolation),
                    Ok((2, vec![1, 2])),
                    Ok((1, vec![3])),
                ],
                &["1:one!", "2:two!", "3:five"],
            ),
            2 => (
                vec![commit(), Ok((1, vec![1])), Ok((1, vec![2])), Ok((2, vec![1, 2])), Ok((1, vec![3]))],
                &["1:two!", "2:one!", "3:five"],
            ),
            _ => {
                (vec![commit(), commit(), Ok((1, vec![1])), Ok((1, vec![1])), Ok((1, vec![2]))], &["1:one!", "2:five"])
            }
        };
        assert_eq!(told, expected, "{refused} commits refused");
        assert_eq!(leader.content(), content, "{refused} commits refused");
    }
}

#[tokio::test]
async fn statements_of_a_commit_that_leaves_the_transaction_open_run_again_one_by_one() {
    let mut leader = Leader::with(SCHEMA, "&journal_mode=delete&busy_timeout=10ms");
    let texts = ["INSERT INTO t (v) VALUES ('a') RETURNING id", "INSERT INTO t (v) VALUES ('b')"];
    leader.never_mind_the_time();
    leader.learn(&texts).await;
    // Without a WAL nobody can commit beside a reader; BEGIN IMMEDIATE and the statements themselves can be beside it.
    let reader = rusqlite::Connection::open(&leader.path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM t;").unwrap();
    let results = leader.run_texts(&texts).await;
    let kinds: Vec<_> = results.iter().map(|result| result.as_ref().err().map(databases_core::Error::kind)).collect();
    assert_eq!(kinds, [Some(ErrorKind::LockTimeout), Some(ErrorKind::LockTimeout)]);
    assert!(leader.content().is_empty());
    reader.execute_batch("COMMIT").unwrap();
    let results = leader.run_texts(&texts).await;
    assert_eq!(summary(&results[0]).unwrap().1, [1]);
    assert!(results[1].is_ok());
    assert_eq!(leader.content(), ["1:a", "2:b"]);
}

#[tokio::test]
async fn nobody_is_told_before_the_commit() {
    let mut leader = Leader::new(SCHEMA);
    let sql = "INSERT INTO t (v) VALUES (random()) RETURNING id";
    leader.learn(&[sql]).await;
    let mut calls: Vec<Call> = (0..5).map(|_| leader.offer(sql)).collect();
    let held = leader.permit.acquire("an INSERT", leader.permit.deadline()).await.unwrap();
    let deliver = leader.session.lead(&leader.offers, held);
    assert!(leader.session.connection().is_autocommit());
    for (_, outcome) in &mut calls {
        assert!(outcome.try_recv().is_err());
    }
    deliver();
    for (_, outcome) in &mut calls {
        assert!(matches!(outcome.try_recv(), Ok(Outcome::Done(Ok(_)))));
    }
}

#[tokio::test]
async fn a_group_means_what_its_statements_mean_one_by_one() {
    let troubles = [
        "INSERT INTO t VALUES (10, 'ten')",
        "INSERT OR ROLLBACK INTO t VALUES (10, 'again')",
        "INSERT OR FAIL INTO t VALUES (20, 'w'), (10, 'again'), (21, 'never')",
        "INSERT OR IGNORE INTO t VALUES (10, 'ignored'), (22, 'x')",
        "INSERT OR REPLACE INTO t VALUES (10, 'replaced')",
        "INSERT INTO t VALUES (11, 'rollback')",
        "INSERT INTO t VALUES (12, 'abort')",
        "INSERT INTO t VALUES (13, 'aa'), (14, 'fail'), (15, 'bb')",
        "INSERT INTO t VALUES (16, 'ignore')",
        "INSERT INTO t VALUES (17, NULL)",
        "INSERT INTO t VALUES (18, 'bad')",
        "INSERT INTO t VALUES (19, 'ten')",
        "INSERT INTO t (v) VALUES ('a'), ('b') RETURNING id",
        "UPDATE t SET v = v || '!' WHERE id >= 10",
        "DELETE FROM t WHERE v LIKE 'a%' RETURNING id",
        "INSERT INTO nowhere VALUES (1)",
        "INSERT INTO t VALUES (1)",
    ];
    // Every order of kinds: each trouble comes first, in the middle and last.
    for turn in 0..troubles.len() {
        let mut texts = troubles.to_vec();
        texts.rotate_left(turn);
        let (mut together, mut alone) = (Leader::new(SCHEMA), Leader::new(SCHEMA));
        together.learn(&texts).await;
        let results = together.run_texts(&texts).await;
        let mut expected = Vec::new();
        for sql in &texts {
            expected.extend(alone.run_texts(&[sql]).await);
        }
        for ((sql, result), expected) in texts.iter().zip(&results).zip(&expected) {
            assert_eq!(summary(result), summary(expected), "{sql}, turn {turn}");
        }
        assert_eq!(together.content(), alone.content(), "turn {turn}");
    }
}

#[tokio::test]
async fn constraints_checked_at_commit_judge_each_statement_alone() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
        CREATE TABLE child (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED);";
    let mut leader = Leader::new(schema);
    let texts =
        ["INSERT INTO child VALUES (1, 5)", "INSERT INTO t VALUES (5, 'five')", "INSERT INTO child VALUES (2, 5)"];
    leader.learn(&texts).await;
    let results = leader.run_texts(&texts).await;
    assert_eq!(results[0].as_ref().err().unwrap().kind(), ErrorKind::ForeignKeyViolation);
    assert!(results[1].is_ok() && results[2].is_ok());
    // Such a table may come later.
    let mut leader = Leader::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)");
    leader.never_mind_the_time();
    let first = ["INSERT INTO t VALUES (1, 'one')", "INSERT INTO t VALUES (2, 'two')"];
    leader.learn(&first).await;
    assert!(leader.run_texts(&first).await.iter().all(Result::is_ok));
    assert_eq!(leader.commits(), 1);
    leader.session.connection().execute_batch("DROP TABLE t").unwrap();
    leader.session.connection().execute_batch(schema).unwrap();
    leader.learn(&texts).await;
    let results = leader.run_texts(&texts).await;
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, true]);
}

#[tokio::test]
async fn a_call_that_is_dropped_takes_nobody_along() {
    let endless = "INSERT INTO t SELECT i, 'n' || i FROM
        (WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < (SELECT 100 + 1e9 * count(*) FROM slow))
        SELECT i FROM n)";
    let mut leader = Leader::new(SCHEMA);
    leader.session.connection().execute_batch("CREATE TABLE slow (a)").unwrap();
    let (first, last) = ("INSERT INTO t VALUES (1, 'first')", "INSERT INTO t VALUES (2, 'last')");
    leader.learn(&[first, last, endless]).await;
    leader.session.connection().execute_batch("INSERT INTO slow VALUES (1)").unwrap();
    // Before it runs: it never does.
    let dropped = leader.offer("INSERT INTO t VALUES (50, 'dropped')");
    drop(dropped);
    // While it runs: the transaction is gone, and the others run again.
    let calls = vec![leader.offer(first), leader.offer(last)];
    let stopped = leader.offer(endless);
    let behind = leader.offer("INSERT INTO t VALUES (3, 'behind')");
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        drop(stopped);
    });
    let start = Instant::now();
    let results = leader.run(calls).await;
    stopper.join().unwrap();
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(results.iter().all(Result::is_ok));
    assert!(leader.run(vec![behind]).await[0].is_ok());
    assert_eq!(leader.content(), ["1:first", "2:last", "3:behind"]);
    // Nobody is there at all.
    drop(leader.offer(first));
    leader.lead().await;
    assert_eq!(leader.content().len(), 3);
}

#[tokio::test]
async fn a_full_disk_fails_those_that_need_room_and_no_others() {
    let mut leader = Leader::new(SCHEMA);
    let (small, large) = ("INSERT INTO t (v) VALUES (random())", "INSERT INTO t (v) VALUES (hex(zeroblob(100000)))");
    leader.learn(&[small, large]).await;
    leader.session.connection().pragma_update(None, "max_page_count", 12).unwrap();
    let results = leader.run_texts(&[small, small, large, small]).await;
    let kinds: Vec<_> = results.iter().map(|result| result.as_ref().err().map(databases_core::Error::kind)).collect();
    assert_eq!(kinds, [None, None, Some(ErrorKind::StorageFull), None]);
    assert_eq!(leader.content().len(), 3);
}

#[tokio::test]
async fn a_text_that_is_new_slow_or_in_an_altered_session_runs_alone() {
    let sql = "INSERT INTO t (v) VALUES (random())";
    let mut leader = Leader::new(SCHEMA);
    leader.never_mind_the_time();
    leader.run_texts(&[sql, sql, sql]).await;
    assert_eq!(leader.commits(), 2, "the first is new, the other two share");
    leader.session.known.get_mut(sql).unwrap().took(2 * leader.offers.bounds.time);
    leader.commits.store(0, Ordering::Relaxed);
    leader.run_texts(&[sql, sql]).await;
    assert_eq!(leader.commits(), 2);
    let mut leader = Leader::new(SCHEMA);
    leader.never_mind_the_time();
    leader.learn(&[sql]).await;
    leader.session.altered = true;
    leader.run_texts(&[sql, sql]).await;
    assert_eq!(leader.commits(), 2);
}
