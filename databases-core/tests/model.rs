//! Random calls against a model of pool and transactions that fits on two pages.
//!
//! Users share a pool on the scripted backend; they begin, nest, write, fail, commit, roll back, drop and stream in any order, and
//! connections are cut meanwhile. After each call the model and the crate must agree on its result, on what is committed,
//! on every session's status and on the pool's counts. `DATABASES_MODEL_CASES` says how many cases are run, and
//! `DATABASES_MODEL_SEED` where to begin.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use ::databases_core;
use databases_core::backend::Status;
use databases_core::{Connection, ErrorKind, Executor, Pool, RawExecutor, Result, RowStream, Transaction};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use support::{Does, Fake, Random, pool_with, setting, state, within};

const STEPS: usize = 50;
const USERS: usize = 3;
const CONNECTIONS: usize = 2;
/// Rows of a stream, and how many come before one fails.
const ROWS: i64 = 5;
const HALF: i64 = 3;

type Outcome<T = ()> = std::result::Result<T, ErrorKind>;

// ---- the model --------------------------------------------------------------------------------------------------

/// A transaction or savepoint, as its handle knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Level {
    /// 0 is the connection itself.
    depth: usize,
    id: usize,
}

const BASE: Level = Level { depth: 0, id: 0 };

#[derive(Debug)]
struct Open {
    id: usize,
    /// Writes of the transaction before it.
    before: usize,
    dropped: bool,
    /// The server has rolled it back.
    ended: bool,
}

#[derive(Debug)]
struct Session {
    status: Status,
    /// The next thing that is sent fails.
    cut: bool,
    /// The depth that a stream is open at.
    streams: Option<usize>,
    /// The transaction, and its savepoints.
    open: Vec<Open>,
    writes: Vec<String>,
    /// How many connections had been lost when it was last known to work.
    losses: usize,
}

impl Session {
    fn new(losses: usize) -> Self {
        Self { status: Status::Idle, cut: false, streams: None, open: Vec::new(), writes: Vec::new(), losses }
    }

    fn find(&self, level: Level) -> Option<usize> {
        let at = level.depth.checked_sub(1)?;
        self.open.get(at).is_some_and(|open| open.id == level.id).then_some(at)
    }

    fn outer_is_dropped(&self, level: Level) -> bool {
        self.open.iter().take(level.depth.saturating_sub(1)).any(|outer| outer.dropped)
    }

    /// Something is sent.
    fn send(&mut self) -> Outcome {
        if self.cut || self.status == Status::Broken {
            self.status = Status::Broken;
            return Err(ErrorKind::Disconnected);
        }
        Ok(())
    }

    /// What must hold before a statement runs at `level`.
    fn enter(&mut self, level: Level) -> Outcome {
        if level != BASE {
            let ended = self.find(level).is_none_or(|at| self.open[at].dropped || self.open[at].ended);
            if ended || self.outer_is_dropped(level) {
                return Err(ErrorKind::TransactionEnded);
            }
        }
        match self.open.get(level.depth) {
            Some(child) if child.dropped => self.undo(level.depth)?,
            Some(_) => return Err(ErrorKind::Busy),
            None if self.streams == Some(level.depth) => return Err(ErrorKind::Busy),
            None => {}
        }
        match self.status {
            Status::Broken => Err(ErrorKind::Disconnected),
            Status::Failed => Err(ErrorKind::TransactionFailed),
            _ => Ok(()),
        }
    }

    /// Rolls back what is open from `at` on.
    fn undo(&mut self, at: usize) -> Outcome {
        if self.status != Status::Idle {
            self.send()?;
            self.status = if at == 0 { Status::Idle } else { Status::InTransaction };
            self.writes.truncate(self.open[at].before);
        }
        self.open.truncate(at);
        Ok(())
    }

    fn execute(&mut self, level: Level, statement: &Statement, committed: &mut Vec<String>) -> Outcome {
        self.enter(level)?;
        self.send()?;
        match statement {
            Statement::Writes(text) if level == BASE => committed.push(text.clone()),
            Statement::Writes(text) => self.writes.push(text.clone()),
            Statement::Fails => return Err(ErrorKind::CheckViolation),
            Statement::Spoils => {
                self.status = Status::Failed;
                return Err(ErrorKind::CheckViolation);
            }
            Statement::Conflicts => {
                self.status = Status::Idle;
                self.writes.clear();
                self.open.iter_mut().for_each(|open| open.ended = true);
                return Err(ErrorKind::Deadlock);
            }
        }
        Ok(())
    }

    fn begin(&mut self, level: Level, id: usize) -> Outcome<Level> {
        self.enter(level)?;
        self.send()?;
        self.status = Status::InTransaction;
        self.open.push(Open { id, before: self.writes.len(), dropped: false, ended: false });
        Ok(Level { depth: level.depth + 1, id })
    }

    fn commit(&mut self, level: Level, committed: &mut Vec<String>) -> Outcome {
        let at = self.find(level).ok_or(ErrorKind::TransactionEnded)?;
        // Unless it works, it counts as dropped.
        self.open[at].dropped = true;
        let child = self.open.get(at + 1).map(|child| child.dropped);
        if child == Some(false) {
            return Err(ErrorKind::Busy);
        }
        if self.open[at].ended {
            self.open.truncate(at);
            return Err(ErrorKind::TransactionEnded);
        }
        if self.status == Status::Broken {
            return Err(ErrorKind::Disconnected);
        }
        if self.outer_is_dropped(level) {
            return Err(ErrorKind::TransactionEnded);
        }
        if child == Some(true) {
            self.undo(at + 1)?;
        }
        if self.status == Status::Failed {
            self.undo(at)?;
            return Err(ErrorKind::TransactionFailed);
        }
        if at > 0 {
            self.send()?;
        } else {
            self.send().map_err(|_| ErrorKind::CommitOutcomeUnknown)?;
            self.status = Status::Idle;
            committed.append(&mut self.writes);
        }
        self.open.truncate(at);
        Ok(())
    }

    fn rollback(&mut self, level: Level) -> Outcome {
        let Some(at) = self.find(level) else { return Ok(()) };
        self.open[at].dropped = true;
        if self.open.get(at + 1).is_some_and(|child| !child.dropped) {
            return Err(ErrorKind::Busy);
        }
        if self.outer_is_dropped(level) {
            return Ok(());
        }
        self.undo(at)
    }

    fn drop_handle(&mut self, level: Level) {
        if let Some(at) = self.find(level) {
            self.open[at].dropped = true;
        }
    }
}

/// The pool, and what the database holds.
#[derive(Default)]
struct Model {
    idle: Vec<Session>,
    /// Each user's.
    held: [Option<Session>; USERS],
    losses: usize,
    committed: Vec<String>,
}

impl Model {
    fn acquire(&mut self) -> Outcome<Session> {
        let mut session = match self.idle.pop() {
            Some(session) => session,
            None if self.held.iter().flatten().count() == CONNECTIONS => return Err(ErrorKind::PoolTimeout),
            None => Session::new(self.losses),
        };
        // After a loss the others are asked before use.
        if session.losses != self.losses {
            session.losses = self.losses;
            if session.cut {
                session = Session::new(self.losses);
            }
        }
        Ok(session)
    }

    fn release(&mut self, mut session: Session) {
        let left = std::mem::take(&mut session.open);
        if !left.is_empty() && session.status != Status::Broken {
            // Cleaned in the background.
            let asked = session.status != Status::Idle || session.losses != self.losses;
            if asked && session.send().is_ok() {
                session.status = Status::Idle;
                session.writes.clear();
            }
            session.losses = self.losses;
        }
        if session.status == Status::Broken {
            self.losses += 1;
        } else {
            self.idle.push(session);
        }
    }
}

// ---- the crate beside it ----------------------------------------------------------------------------------------

enum Statement {
    Writes(String),
    Fails,
    /// It fails, and nothing else runs in the transaction.
    Spoils,
    /// The server rolls the transaction back.
    Conflicts,
}

impl Statement {
    fn text(&self) -> &str {
        match self {
            Self::Writes(text) => text,
            Self::Fails => "INSERT 'nothing'",
            Self::Spoils => "INSERT 'trouble'",
            Self::Conflicts => "INSERT 'conflict'",
        }
    }
}

/// Who has a connection, by whichever handles are left.
struct User {
    base: Option<Connection>,
    open: Vec<(Transaction, Level)>,
}

impl User {
    fn handles(&self) -> usize {
        usize::from(self.base.is_some()) + self.open.len()
    }

    /// The transactions come first.
    fn handle(&self, nth: usize) -> (&dyn RawExecutor, Level) {
        match (self.open.get(nth), &self.base) {
            (Some((transaction, level)), _) => (transaction, *level),
            (None, Some(base)) => (base, BASE),
            (None, None) => unreachable!("a user has a handle"),
        }
    }
}

struct World {
    seed: u64,
    random: Random,
    fake: Fake,
    pool: Pool,
    /// Whether an error spoils the transaction, as in PostgreSQL.
    spoils: bool,
    model: Model,
    /// None for those who have no connection, and while a stream borrows it.
    users: [Option<User>; USERS],
    steps: usize,
    numbers: usize,
    story: Vec<String>,
    /// How the model said that calls end.
    seen: BTreeSet<String>,
}

fn kind<T>(result: Result<T>) -> Outcome<T> {
    result.map_err(|error| error.kind())
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let spoils = random.percent(50);
        let fake = Fake::new().error_fails_transaction(spoils);
        fake.on("INSERT 'nothing'", Does::Fails(ErrorKind::CheckViolation, None));
        fake.on("INSERT 'trouble'", Does::Fails(ErrorKind::CheckViolation, Some(Status::Failed)));
        fake.on("INSERT 'conflict'", Does::Fails(ErrorKind::Deadlock, Some(Status::Idle)));
        fake.on("SELECT 'rows'", Does::Rows(ROWS));
        fake.on("SELECT 'half'", Does::RowsThenFails(HALF, ErrorKind::Database));
        let pool = pool_with(
            &fake,
            |options| {
                options.max_connections = Some(CONNECTIONS);
                options.acquire_timeout = Duration::from_millis(5);
            },
            |_| (),
        );
        let (model, users, steps, numbers, story, seen) = Default::default();
        Self { seed, random, fake, pool, spoils, model, users, steps, numbers, story, seen }
    }

    fn number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers
    }

    /// On how a call ended.
    fn end_alike(&mut self, what: &str, found: Option<ErrorKind>, expected: Option<ErrorKind>) {
        self.agree(what, &found, &expected);
        self.seen.insert(expected.map_or(what.into(), |kind| format!("{what}: {kind:?}")));
    }

    fn agree<T: PartialEq + std::fmt::Debug>(&self, what: &str, found: &T, expected: &T) {
        assert_eq!(found, expected, "{what}, seed {}: {:#?}", self.seed, self.story);
    }

    fn statement(&mut self, level: Level) -> Statement {
        match self.random.below(10) {
            0..2 if self.spoils && level != BASE => Statement::Spoils,
            0..2 => Statement::Fails,
            2 if level != BASE => Statement::Conflicts,
            _ => Statement::Writes(format!("INSERT {}", self.number())),
        }
    }

    /// A statement on a handle of user `at`.
    async fn execute(&mut self, at: usize, on: &dyn RawExecutor, level: Level) {
        let statement = self.statement(level);
        self.story.push(format!("user {at}, {level:?}: {}", statement.text()));
        let found = kind(within(on.execute(statement.text(), ())).await.map(drop));
        let Model { held, committed, .. } = &mut self.model;
        let expected = session(held, at).execute(level, &statement, committed);
        self.end_alike("execute", found.err(), expected.err());
    }

    /// Takes one step, or several inside a stream.
    fn step(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.steps += 1;
            let at = self.random.below(USERS);
            match self.random.below(20) {
                0 => self.cut(),
                1 | 2 => self.execute_on_pool().await,
                _ => match self.users[at].take() {
                    Some(user) => self.call(at, user).await,
                    None if self.model.held[at].is_none() => self.come(at).await,
                    None => {} // A stream of this user is being read.
                },
            }
            // As many as the longest cleaning takes; the counts that are compared next would tell.
            for _ in 0..16 {
                tokio::task::yield_now().await;
            }
            self.compare();
        })
    }

    fn compare(&self) {
        self.agree("committed", &self.fake.committed(), &self.model.committed);
        let (held, idle) = (self.model.held.iter().flatten().count(), self.model.idle.len());
        self.agree("size, idle, in use, connecting, waiting", &state(&self.pool), &[held + idle, idle, held, 0, 0]);
        self.agree("violations", &self.fake.violations(), &Vec::new());
        for (user, session) in self.users.iter().zip(&self.model.held) {
            if let (Some(User { base: Some(base), .. }), Some(session)) = (user, session) {
                self.agree("status", &base.status(), &session.status);
            }
        }
    }

    fn cut(&mut self) {
        self.story.push("all connections are cut".into());
        self.fake.cut_all();
        let Model { idle, held, .. } = &mut self.model;
        idle.iter_mut().chain(held.iter_mut().flatten()).for_each(|session| session.cut = true);
    }

    async fn execute_on_pool(&mut self) {
        let statement = self.statement(BASE);
        self.story.push(format!("pool `{}`", statement.text()));
        let found = kind(within(self.pool.execute(statement.text(), ())).await.map(drop));
        let expected = self.model.acquire().and_then(|mut session| {
            let done = session.execute(BASE, &statement, &mut self.model.committed);
            self.model.release(session);
            done
        });
        self.end_alike("execute on the pool", found.err(), expected.err());
    }

    /// A user takes a connection, or begins at once.
    async fn come(&mut self, at: usize) {
        let mut user = User { base: None, open: Vec::new() };
        let mut session = self.model.acquire();
        if self.random.percent(50) {
            self.story.push(format!("user {at} acquires"));
            let found = kind(within(self.pool.acquire()).await.map(|conn| user.base = Some(conn)));
            self.end_alike("acquire", found.err(), session.as_ref().err().copied());
        } else {
            self.story.push(format!("user {at} begins"));
            let id = self.number();
            let expected = session.as_mut().map_err(|kind| *kind).and_then(|session| session.begin(BASE, id));
            let found = kind(within(self.pool.begin()).await);
            self.end_alike("begin", found.as_ref().err().copied(), expected.err());
            user.open.extend(found.ok().zip(expected.ok()));
        }
        self.model.held[at] = session.ok();
        self.put_back(at, user);
    }

    /// The last handle takes the connection back to the pool.
    fn put_back(&mut self, at: usize, user: User) {
        if user.handles() > 0 {
            self.users[at] = Some(user);
        } else if let Some(session) = self.model.held[at].take() {
            self.model.release(session);
        }
    }

    /// A call on one of the user's handles.
    async fn call(&mut self, at: usize, mut user: User) {
        let nth = self.random.below(user.handles());
        let (on, level) = user.handle(nth);
        match self.random.below(10) {
            0..4 => self.execute(at, on, level).await,
            4..7 => self.begin(at, &mut user, nth).await,
            7 => self.stream(at, &user, nth).await,
            _ => self.end(at, &mut user, nth).await,
        }
        self.put_back(at, user);
    }

    async fn begin(&mut self, at: usize, user: &mut User, nth: usize) {
        let id = self.number();
        let level = user.handle(nth).1;
        self.story.push(format!("user {at}, {level:?}: begins {id}"));
        let found = match (user.open.get(nth), &user.base) {
            (Some((transaction, _)), _) => within(transaction.begin()).await,
            (None, base) => within(base.as_ref().expect("a user has a handle").begin()).await,
        };
        let found = kind(found);
        let expected = session(&mut self.model.held, at).begin(level, id);
        self.end_alike("begin", found.as_ref().err().copied(), expected.err());
        user.open.extend(found.ok().zip(expected.ok()));
    }

    /// Commits, rolls back or drops.
    async fn end(&mut self, at: usize, user: &mut User, nth: usize) {
        if nth == user.open.len() {
            self.story.push(format!("user {at} drops the connection"));
            user.base = None;
            return;
        }
        let (transaction, level) = user.open.remove(nth);
        let Model { held, committed, .. } = &mut self.model;
        let session = session(held, at);
        let (what, found, expected) = match self.random.below(4) {
            0 => {
                drop(transaction);
                session.drop_handle(level);
                ("drop", Ok(()), Ok(()))
            }
            1 => ("rollback", kind(within(transaction.rollback()).await), session.rollback(level)),
            _ => ("commit", kind(within(transaction.commit()).await), session.commit(level, committed)),
        };
        self.story.push(format!("user {at}, {level:?}: {what}"));
        self.end_alike(what, found.err(), expected.err());
    }

    /// Reads a stream, wholly or not, while other things happen.
    async fn stream(&mut self, at: usize, user: &User, nth: usize) {
        let (on, level) = user.handle(nth);
        let half = self.random.percent(30);
        let (text, rows) = if half { ("SELECT 'half'", HALF) } else { ("SELECT 'rows'", ROWS) };
        self.story.push(format!("user {at}, {level:?}: opens {text}"));
        let mut stream: RowStream<'_, (i64,)> = on.iterate(text, ());
        let mut read = 0;
        while self.random.percent(85) {
            match self.random.below(4) {
                0 => self.step().await,
                1 => {
                    let (other, its) = user.handle(self.random.below(user.handles()));
                    // Before it is read from, a stream is not open: what begins then is in its way.
                    self.execute(at, other, its).await;
                }
                _ => {
                    let found = within(stream.next()).await.map(|row| kind(row.map(|(n,)| n)));
                    let session = session(&mut self.model.held, at);
                    let opened = match read {
                        0 => session.enter(level).and_then(|()| session.send()),
                        _ => Ok(()),
                    };
                    self.story.push(format!("user {at}, {level:?}: next row"));
                    let expected = match opened {
                        Err(kind) => Some(Err(kind)),
                        Ok(()) if read < rows => Some(Ok(read + 1)),
                        Ok(()) => half.then_some(Err(ErrorKind::Database)),
                    };
                    session.streams = matches!(expected, Some(Ok(_))).then_some(level.depth);
                    self.agree("next row", &found, &expected);
                    let ended = expected
                        .map_or("end".into(), |row| row.map_or_else(|kind| format!("{kind:?}"), |_| "row".into()));
                    self.seen.insert(format!("stream: {ended}"));
                    if !matches!(expected, Some(Ok(_))) {
                        break;
                    }
                    read += 1;
                }
            }
        }
        drop(stream);
        session(&mut self.model.held, at).streams = None;
    }
}

fn session(held: &mut [Option<Session>; USERS], at: usize) -> &mut Session {
    held[at].as_mut().expect("whoever has a handle has a session")
}

/// What the cases together must have met, so that they do not become empty.
const MET: &[&str] = &[
    "acquire: PoolTimeout",
    "begin: Busy",
    "begin: Disconnected",
    "begin: PoolTimeout",
    "begin: TransactionEnded",
    "begin: TransactionFailed",
    "commit",
    "commit: Busy",
    "commit: CommitOutcomeUnknown",
    "commit: Disconnected",
    "commit: TransactionEnded",
    "commit: TransactionFailed",
    "execute",
    "execute on the pool",
    "execute on the pool: Disconnected",
    "execute: Busy",
    "execute: CheckViolation",
    "execute: Deadlock",
    "execute: Disconnected",
    "execute: TransactionEnded",
    "execute: TransactionFailed",
    "rollback",
    "rollback: Busy",
    "rollback: Disconnected",
    "stream: Busy",
    "stream: Database",
    "stream: Disconnected",
    "stream: TransactionEnded",
    "stream: TransactionFailed",
    "stream: end",
    "stream: row",
];

#[test]
fn the_model_and_the_crate_agree() {
    let first = setting("DATABASES_MODEL_SEED", 0);
    let cases = setting("DATABASES_MODEL_CASES", 5_000);
    let mut seen = BTreeSet::new();
    for seed in first..first + cases {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        seen.extend(runtime.expect("no I/O").block_on(async {
            let mut world = World::new(seed);
            while world.steps < STEPS {
                world.step().await;
            }
            world.seen
        }));
    }
    let missed: Vec<_> = MET.iter().filter(|met| !seen.contains(**met)).collect();
    assert!(cases < 1_000 || missed.is_empty(), "never met: {missed:?}, but only {seen:?}");
}
