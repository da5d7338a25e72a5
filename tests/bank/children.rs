//! Other processes: this test's own binary, run for one task.

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use databases::{Database, ErrorKind, Executor as _, Result};

use crate::book::{Book, GROUP};
use crate::random::Random;
use crate::transfers::{Mishap, Progress, Transfer};
use crate::{Kind, runtime};

const TASK: &str = "DATABASES_BANK_CHILD_TASK";
const FILE: &str = "DATABASES_BANK_CHILD_FILE";
/// The first id of a teller's transfers.
const FROM: &str = "DATABASES_BANK_CHILD_FROM";

/// A process at the same SQLite file.
pub(crate) struct Child {
    process: std::process::Child,
    /// A child that is told to finish does so at the end of its input.
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    pub(crate) fn start(task: &str, file: &Path) -> Self {
        Self::start_from(task, file, 0)
    }

    pub(crate) fn start_from(task: &str, file: &Path, from: i64) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a test knows its binary"));
        command.args(["--exact", "child", "--ignored", "--nocapture"]);
        command.env(TASK, task).env(FILE, file).env(FROM, from.to_string());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it can be run again");
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        Self { input: process.stdin.take(), process, lines }
    }

    pub(crate) fn expect_line(&mut self, wanted: &str) {
        while let Some(Ok(line)) = self.lines.next() {
            if line == wanted {
                return;
            }
        }
        panic!("a child ended before it said `{wanted}`");
    }

    /// What it has still to say, up to its end.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        self.lines.by_ref().map_while(Result::ok).collect()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it was not waited for");
        self.process.wait().expect("it was not waited for");
    }

    pub(crate) fn finish(&mut self) {
        self.input = None;
        let ended = self.process.wait().expect("it was not waited for");
        assert!(ended.success(), "a child failed");
    }
}

/// What a child does; not a test by itself.
pub(crate) fn child() {
    let variable = |name| std::env::var(name).unwrap_or_else(|_| panic!("run by the other tests, with {name} set"));
    let (task, file) = (variable(TASK), variable(FILE));
    let from = variable(FROM).parse().expect("a number");
    let done = runtime().block_on(async {
        let db = Database::builder(format!("sqlite:///{file}")).option("busy_timeout", "10s").connect().await?;
        match &*task {
            "teller" => tell(db, from).await,
            task => hold(&db, task).await,
        }
    });
    done.unwrap_or_else(|error| panic!("{task}: {error:?}"));
}

fn say(line: &str) {
    // Not `println!`, which the test harness may keep for itself.
    writeln!(std::io::stdout().lock(), "{line}").expect("somebody listens");
}

/// Holds a lock until the end of input.
async fn hold(db: &Database, task: &str) -> Result<()> {
    let conn = db.acquire().await?;
    match task {
        "write" => {
            conn.execute("BEGIN IMMEDIATE", ()).await?;
            conn.execute("UPDATE accounts SET balance = balance - 1000", ()).await?;
        }
        "checkpoint" => drop(conn.fetch_all::<(i64, i64, i64)>("PRAGMA wal_checkpoint(RESTART)", ()).await?),
        _ => {
            conn.execute("BEGIN", ()).await?;
            conn.fetch_val::<i64>("SELECT sum(balance) FROM accounts", ()).await?;
        }
    }
    say("ready");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("its input ends");
    if task != "checkpoint" {
        conn.execute("ROLLBACK", ()).await?;
    }
    Ok(())
}

/// Makes transfers and says which are done, until it is killed.
async fn tell(db: Database, from: i64) -> Result<()> {
    let (next, book) = (Arc::new(AtomicI64::new(from)), Arc::new(Book::default()));
    say("ready");
    let tellers: Vec<_> = (0..8)
        .map(|_| {
            let (db, next, book) = (db.clone(), next.clone(), book.clone());
            tokio::spawn(async move {
                loop {
                    let id = next.fetch_add(GROUP, Relaxed);
                    let transfer = Transfer::random(id, &mut Random::new(id as u64), Mishap::None);
                    let orders = transfer.orders;
                    say(&format!("made {id} {orders}"));
                    match transfer.make(&db, Kind::Sqlite, &book, &Progress::default()).await {
                        Ok(()) => say(&format!("done {id} {orders}")),
                        // A conflict, or the form in which a statement is dropped.
                        Err(error) if error.is_retryable() || error.kind() == ErrorKind::TransactionEnded => {}
                        Err(error) => break error,
                    }
                }
            })
        })
        .collect();
    let (ended, ..) = futures_util::future::select_all(tellers).await;
    Err(ended.expect("no teller panics"))
}
