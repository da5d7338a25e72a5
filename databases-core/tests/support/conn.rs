//! A session with the fake server.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::runtime::{Handle, Id};

use super::batch::Numbers;
use super::databases_core;
use super::{Does, Fake};
use databases_core::backend::{
    BackendConnection, ExecResult, NativeConnection, Request, Requests, RowBatches, RowSink, ServerInfo, Status,
    TransactionCommand,
};
use databases_core::sql::Dialect;
use databases_core::{Effect, Error, ErrorKind, Result, RowBatch, Value};

/// The driver's own connection, as `native` lends it.
#[derive(Debug, Default)]
pub(crate) struct Driver {
    pub(crate) touched: bool,
    /// Counted from 0, in the order they were opened.
    pub(crate) number: usize,
}

#[derive(Debug)]
pub(super) struct FakeConnection(pub(super) Arc<Conn>);

impl Drop for FakeConnection {
    fn drop(&mut self) {
        self.0.leave();
    }
}

pub(super) struct Conn {
    fake: Fake,
    number: usize,
    home: Option<Id>,
    session: Mutex<Session>,
}

#[derive(Debug)]
struct Session {
    status: Status,
    /// A call was dropped before it was done.
    unsettled: bool,
    cut: bool,
    gone: bool,
    said_good_bye: bool,
    /// The writes of the open transaction; each savepoint remembers how many there were.
    writes: Vec<String>,
    savepoints: Vec<(usize, usize)>,
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A call under way; dropped before it is done, it leaves the session Busy.
struct UnderWay<'a> {
    conn: &'a Conn,
    done: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.conn.session().unsettled = true;
        }
    }
}

impl Conn {
    pub(super) fn new(fake: Fake, number: usize, home: Option<Id>) -> Self {
        let session = Session {
            status: Status::Idle,
            unsettled: false,
            cut: false,
            gone: false,
            said_good_bye: false,
            writes: Vec::new(),
            savepoints: Vec::new(),
        };
        Self { fake, number, home, session: Mutex::new(session) }
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn cut(&self) {
        self.session().cut = true;
    }

    pub(super) fn set_status(&self, status: Status) {
        self.session().become_(status);
    }

    fn leave(&self) {
        if !std::mem::replace(&mut self.session().gone, true) {
            let mut script = self.fake.script();
            script.live -= 1;
            script.counts.gone += 1;
        }
    }

    fn violation(&self, what: &str) {
        let what = format!("connection {}: {what}", self.number);
        self.fake.script().violations.push(what);
    }

    fn check(&self, what: &str) -> Result<()> {
        let lost = || Err(Error::new(ErrorKind::Disconnected, "the fake connection is lost"));
        if self.home.is_some_and(|home| Handle::current().id() != home) {
            self.violation(&format!("`{what}` from a foreign runtime"));
            return lost();
        }
        if self.session().said_good_bye {
            self.violation(&format!("`{what}` after the good-bye"));
            return lost();
        }
        if self.session().status == Status::Broken {
            return lost().map_err(|error: Error| error.with_effect(Effect::NotSent));
        }
        if self.session().cut {
            self.session().status = Status::Broken;
            return lost();
        }
        if self.session().unsettled {
            self.violation(&format!("`{what}` while an earlier call is unsettled"));
        }
        Ok(())
    }

    /// One round trip. Suspends once before and once after the server has done it.
    async fn step(&self, text: &str) -> Result<i64> {
        self.check(text)?;
        {
            let mut script = self.fake.script();
            script.counts.statements += 1;
            script.logs[self.number].push(text.into());
        }
        let mut under_way = UnderWay { conn: self, done: false };
        tokio::task::yield_now().await;
        let done = self.apply(text).await;
        tokio::task::yield_now().await;
        under_way.done = true;
        done
    }

    async fn apply(&self, text: &str) -> Result<i64> {
        let says = |kind| Err(Error::new(kind, format!("the fake server says {kind:?} to `{text}`")));
        if self.session().cut {
            self.session().status = Status::Broken;
            return says(ErrorKind::Disconnected);
        }
        let mut rows = i64::from(text.starts_with("SELECT"));
        let rule = self.fake.rule_for(text);
        match &rule {
            Some(Does::Waits(gate)) => gate.pass().await,
            Some(Does::Takes(time)) => tokio::time::sleep(*time).await,
            Some(Does::Fails(kind, status)) => {
                if let Some(status) = status {
                    self.session().become_(*status);
                }
                return says(*kind);
            }
            Some(Does::FailsUnsent(kind)) => {
                return says(*kind).map_err(|error: Error| error.with_effect(Effect::NotSent));
            }
            Some(Does::Rows(count) | Does::RowsThenFails(count, _)) => rows = *count,
            Some(Does::Leaves(_)) | None => {}
        }
        let (done, committed) = self.session().obey(text);
        self.fake.script().committed.extend(committed);
        if done.is_err() {
            return says(done.expect_err("checked"));
        }
        if let Some(Does::Leaves(status)) = rule {
            let mut session = self.session();
            // What was open is committed by the server, as MySQL does at DDL.
            let writes = if status == Status::Idle { std::mem::take(&mut session.writes) } else { Vec::new() };
            session.become_(status);
            drop(session);
            self.fake.script().committed.extend(writes);
        }
        Ok(rows)
    }
}

impl Session {
    fn become_(&mut self, status: Status) {
        self.status = status;
        if matches!(status, Status::Idle | Status::Broken) {
            self.writes.clear();
            self.savepoints.clear();
        }
    }

    /// What a server does with `text`; also gives the writes that are committed by it.
    fn obey(&mut self, text: &str) -> (Result<(), ErrorKind>, Vec<String>) {
        let mut words = text.split(' ');
        let number = text.rsplit(' ').next().and_then(|word| word.parse::<usize>().ok()).unwrap_or_default();
        let in_transaction = self.status != Status::Idle;
        let failed = self.status == Status::Failed;
        let fails = |kind| (Err(kind), Vec::new());
        match (words.next().unwrap_or_default(), in_transaction) {
            ("BEGIN", true) | ("SAVEPOINT" | "RELEASE", false) => return fails(ErrorKind::Database),
            ("BEGIN", false) => self.status = Status::InTransaction,
            ("COMMIT", _) => {
                let writes = std::mem::take(&mut self.writes);
                self.become_(Status::Idle);
                return if failed { fails(ErrorKind::TransactionFailed) } else { (Ok(()), writes) };
            }
            ("SAVEPOINT", true) if !failed => self.savepoints.push((number, self.writes.len())),
            ("RELEASE", true) if !failed => match self.savepoints.iter().position(|(name, _)| *name == number) {
                Some(at) => self.savepoints.truncate(at),
                None => return fails(ErrorKind::Database),
            },
            ("ROLLBACK", _) if text.starts_with("ROLLBACK TO") => {
                let Some(at) = self.savepoints.iter().position(|(name, _)| *name == number) else {
                    return fails(ErrorKind::Database);
                };
                let (_, writes) = self.savepoints[at];
                self.savepoints.truncate(at + 1);
                self.writes.truncate(writes);
                self.status = Status::InTransaction;
            }
            ("ROLLBACK", _) => self.become_(Status::Idle),
            _ if failed => return fails(ErrorKind::TransactionFailed),
            ("INSERT", true) => self.writes.push(text.into()),
            ("INSERT", false) => return (Ok(()), vec![text.into()]),
            _ => {}
        }
        (Ok(()), Vec::new())
    }
}

fn text_of(request: &Request) -> String {
    let mut text = request.sql.to_string();
    for (at, arg) in request.args.iter().enumerate() {
        let value = match &arg.value {
            Value::Int(int) => int.to_string(),
            other => format!("{other:?}"),
        };
        text = text.replacen(&format!("?{}", at + 1), &value, 1);
    }
    text
}

#[async_trait]
impl BackendConnection for FakeConnection {
    fn status(&self) -> Status {
        let session = self.0.session();
        if session.unsettled && session.status != Status::Broken { Status::Busy } else { session.status }
    }

    fn dialect(&self) -> Dialect {
        Dialect::SQLITE
    }

    async fn run(&self, request: Request, sink: &mut dyn RowSink) -> Result<ExecResult> {
        let text = text_of(&request);
        let rows = self.0.step(&text).await?;
        if rows > 0 {
            sink.batch(Arc::new(Numbers::new((1..=rows).collect())))?;
        }
        Ok(ExecResult::new(u64::from(text.starts_with("INSERT")), None))
    }

    async fn run_many(&self, requests: &mut dyn Requests) -> Result<u64> {
        let mut affected = 0;
        let mut index = 0;
        while let Some(request) = requests.next() {
            let at = |error: Error| error.with_batch_index(index);
            self.0.step(&text_of(&request.map_err(at)?)).await.map_err(at)?;
            affected += 1;
            index += 1;
        }
        Ok(affected)
    }

    async fn run_script(&self, sql: &str) -> Result<()> {
        for (index, text) in sql.split(';').map(str::trim).filter(|text| !text.is_empty()).enumerate() {
            self.0.step(text).await.map_err(|error| error.with_batch_index(index))?;
        }
        Ok(())
    }

    async fn open_stream(&self, request: Request) -> Result<Box<dyn RowBatches>> {
        let text = text_of(&request);
        let rule = self.0.fake.script().rules.iter().find(|rule| text.starts_with(&rule.starts)).cloned();
        let fails = match rule.map(|rule| rule.does) {
            Some(Does::RowsThenFails(_, kind)) => Some(kind),
            _ => None,
        };
        let left = self.0.step(&text).await?;
        Ok(Box::new(Stream { conn: self.0.clone(), next: 1, last: left, fails, ended: false }))
    }

    async fn transaction(&self, command: TransactionCommand) -> Result<()> {
        let text = match command {
            TransactionCommand::Begin(options) if options.is_read_only() => "BEGIN READ ONLY".into(),
            TransactionCommand::Begin(_) => "BEGIN".into(),
            TransactionCommand::Commit => "COMMIT".into(),
            TransactionCommand::Rollback => "ROLLBACK".into(),
            TransactionCommand::Savepoint(number) => format!("SAVEPOINT {number}"),
            TransactionCommand::Release(number) => format!("RELEASE {number}"),
            TransactionCommand::RollbackTo(number) => format!("ROLLBACK TO {number}"),
        };
        self.0.step(&text).await.map(|_| ())
    }

    async fn settle(&self) {
        let (hangs, leaves) = {
            let mut script = self.0.fake.script();
            script.counts.settles += 1;
            (script.settle_hangs, script.settle_leaves)
        };
        tokio::task::yield_now().await;
        if hangs {
            std::future::pending::<()>().await;
        }
        let mut session = self.0.session();
        if std::mem::take(&mut session.unsettled)
            && session.status == Status::InTransaction
            && let Some(status) = leaves
        {
            session.become_(status);
        }
    }

    async fn reset(&self) -> Result<bool> {
        self.0.check("reset")?;
        let works = {
            let mut script = self.0.fake.script();
            script.counts.resets += 1;
            script.reset_works
        };
        tokio::task::yield_now().await;
        Ok(works)
    }

    async fn ping(&self) -> Result<()> {
        let takes = {
            let mut script = self.0.fake.script();
            script.counts.pings += 1;
            script.ping_takes
        };
        self.0.check("ping")?;
        let mut under_way = UnderWay { conn: &self.0, done: false };
        tokio::time::sleep(takes).await;
        under_way.done = true;
        Ok(())
    }

    async fn server_info(&self) -> Result<ServerInfo> {
        self.0.step("INFO").await?;
        Ok(ServerInfo::new("Fake", "1"))
    }

    async fn native(&self) -> Result<Box<dyn NativeConnection + '_>> {
        self.0.check("native")?;
        Ok(Box::new(Lent(Driver { touched: false, number: self.0.number })))
    }

    fn native_type(&self) -> &'static str {
        "support::Driver"
    }

    async fn close(&self) {
        let takes = {
            let mut script = self.0.fake.script();
            script.counts.closes += 1;
            script.close_takes
        };
        self.0.session().said_good_bye = true;
        tokio::time::sleep(takes).await;
        self.0.leave();
    }
}

struct Lent(Driver);

impl NativeConnection for Lent {
    fn as_any(&self) -> &dyn Any {
        &self.0
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        &mut self.0
    }
}

/// Rows two at a time.
struct Stream {
    conn: Arc<Conn>,
    next: i64,
    last: i64,
    fails: Option<ErrorKind>,
    ended: bool,
}

#[async_trait]
impl RowBatches for Stream {
    async fn next(&mut self) -> Result<Option<Arc<dyn RowBatch>>> {
        tokio::task::yield_now().await;
        if self.next > self.last {
            self.ended = true;
            return match self.fails {
                Some(kind) => Err(Error::new(kind, format!("the fake server says {kind:?} in a stream"))),
                None => Ok(None),
            };
        }
        let end = self.last.min(self.next + 1);
        let rows = (self.next..=end).collect();
        self.next = end + 1;
        Ok(Some(Arc::new(Numbers::new(rows))))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.ended && self.conn.fake.script().dropped_stream_is_busy {
            self.conn.session().unsettled = true;
        }
    }
}
