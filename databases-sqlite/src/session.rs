//! What lives on the worker: the connection, what it was set to, and the permit while it is in a transaction.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use databases_core::backend::{Status, TransactionCommand};
use databases_core::{Error, ErrorKind, Isolation, LockMode, Result, TransactionOptions};
use hashlink::LruCache;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, InterruptHandle, OpenFlags};

use crate::error::{About, Stage, from_sqlite};
use crate::here::Turn;
use crate::inserts::Inserts;
use crate::known::Known;
use crate::options::{Config, Decimals, Mode};
use crate::permit::Held;
use crate::watch::{INSTRUCTIONS_PER_LOOK, Watch};

/// What the other side must know of the session, true whenever no job runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) status: Status,
    pub(crate) has_permit: bool,
    pub(crate) read_only: bool,
}

impl Default for State {
    fn default() -> Self {
        Self { status: Status::Busy, has_permit: false, read_only: false }
    }
}

/// What was learnt by opening.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) max_parameters: usize,
}

/// The worker's side of a connection.
pub(crate) struct Session {
    // The connection goes before the permit: what is open on it is rolled back while the permit is still held.
    pub(crate) connection: Option<Connection>,
    /// What was learnt of the texts that are kept prepared.
    pub(crate) known: LruCache<Arc<str>, Known>,
    pub(crate) inserts: Arc<Inserts>,
    pub(crate) held: Option<Held>,
    /// In a read-only transaction: what `PRAGMA query_only` was before.
    read_only: Option<bool>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) config: Arc<Config>,
    handle: Option<InterruptHandle>,
    corrupt: bool,
    /// Its user had it, who may have added functions that take any time.
    pub(crate) was_lent: bool,
    /// The largest value that SQLite allows, while the threads of its callers use the session and allow less.
    pub(crate) length_limit: Option<i32>,
    /// How long it is used by the threads of its callers.
    pub(crate) turn: Turn,
    /// A text may have left something behind that another session lacks, such as an attached database.
    pub(crate) altered: bool,
    /// The version of the schema, and whether it has constraints that are checked at COMMIT.
    pub(crate) deferring: Option<(i64, bool)>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl Session {
    /// Opens the database and sets the session up.
    pub(crate) fn open(config: &Arc<Config>, watch: &Arc<Watch>) -> Result<(Self, Facts)> {
        let connection = open_file(config)?;
        let mut session = Self {
            connection: Some(connection),
            known: LruCache::new(config.statement_cache_size.max(1)),
            inserts: Arc::default(),
            held: None,
            read_only: None,
            watch: Arc::clone(watch),
            config: Arc::clone(config),
            handle: None,
            corrupt: false,
            was_lent: false,
            length_limit: None,
            turn: Turn::default(),
            altered: false,
            deferring: None,
        };
        session.take_over().map_err(|error| from_sqlite(error, Stage::Open, About::default()))?;
        set_up(session.connection(), config, watch)?;
        let limit = session.connection().limit(Limit::SQLITE_LIMIT_VARIABLE_NUMBER);
        let limit = limit.map_err(|error| from_sqlite(error, Stage::Open, About::default()))?;
        let max_parameters = usize::try_from(limit).unwrap_or_default();
        Ok((session, Facts { max_parameters }))
    }

    /// The connection.
    pub(crate) fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("the connection is only away while `lend` runs")
    }

    /// Sets the hooks; again after the connection was lent, since they may have been replaced.
    fn take_over(&mut self) -> rusqlite::Result<()> {
        let connection = self.connection.as_mut().expect("the connection is only away while `lend` runs");
        let watch = Arc::clone(&self.watch);
        connection.progress_handler(INSTRUCTIONS_PER_LOOK, Some(move || watch.must_stop()))?;
        let watch = Arc::clone(&self.watch);
        let timeout = self.config.busy_timeout;
        let mut start = Instant::now();
        connection.busy_handler(Some(move |count| {
            if count == 0 {
                start = Instant::now();
            }
            wait_for_lock(count, timeout.saturating_sub(start.elapsed()), &watch)
        }))?;
        connection.set_prepared_statement_cache_capacity(self.config.statement_cache_size);
        self.handle = Some(connection.get_interrupt_handle());
        self.set_update_hook(true)
    }

    fn set_update_hook(&mut self, on: bool) -> rusqlite::Result<()> {
        let connection = self.connection.as_mut().expect("the connection is only away while `lend` runs");
        let inserts = Arc::clone(&self.inserts);
        let hook = move |action, _: &str, table: &str, rowid| inserts.saw(action, table, rowid);
        connection.update_hook(on.then_some(hook))
    }

    /// Whether the ids of rows that are inserted are looked for, which costs a call for each row.
    pub(crate) fn watch_inserts(&mut self, on: bool) {
        self.corrupt |= self.set_update_hook(on).is_err();
    }

    /// Lends the connection to `borrow`, which gives it back unless it was lost on the way.
    pub(crate) fn lend(&mut self, borrow: impl FnOnce(Connection) -> Option<Connection>) {
        let Some(connection) = self.connection.take() else { return };
        self.connection = borrow(connection);
        if self.connection.is_some() {
            self.known.clear();
            self.was_lent = true;
            self.corrupt |= self.take_over().is_err();
        }
    }

    /// Restores what a transaction had set, once it is over. Runs after each job.
    pub(crate) fn after_job(&mut self) {
        let Some(connection) = &self.connection else { return };
        if !connection.is_autocommit() {
            if let Some(held) = &self.held {
                held.describe("a transaction");
            }
            return;
        }
        if let Some(before) = self.read_only.take() {
            // A pragma without I/O; if it fails all the same, the session is not what it says.
            self.watch.begin();
            self.corrupt |= connection.pragma_update(None, "query_only", before).is_err();
        }
        self.held = None;
    }

    /// Closes the connection, and with it what is open on it.
    pub(crate) fn close(self) {
        // An interrupt that came too late would stop the checkpoint of the last connection; any statement clears it.
        if let Some(connection) = &self.connection {
            let _ = connection.execute_batch(if connection.is_autocommit() { "SELECT 1" } else { "ROLLBACK" });
        }
    }

    /// What the session is doing, now that no job runs.
    pub(crate) fn state(&self) -> State {
        let status = match &self.connection {
            Some(_) if self.corrupt => Status::Broken,
            Some(connection) if connection.is_autocommit() => Status::Idle,
            Some(_) => Status::InTransaction,
            None => Status::Broken,
        };
        State { status, has_permit: self.held.is_some(), read_only: self.read_only.is_some() }
    }

    /// The handle that stops a statement, if it is another one than before.
    pub(crate) fn new_interrupt_handle(&mut self) -> Option<InterruptHandle> {
        self.handle.take()
    }

    /// Whether the running job was dropped by its caller.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.watch.is_cancelled()
    }

    /// Whether a write must not run now, since it is not its turn.
    pub(crate) fn lacks_permit(&self) -> bool {
        self.config.guards_writes() && self.held.is_none() && self.read_only.is_none()
    }

    pub(crate) fn keeps_statements(&self) -> bool {
        self.config.statement_cache_size > 0
    }

    pub(crate) fn decimals(&self) -> Decimals {
        self.config.decimals
    }

    /// Translates an error, and remembers if the file is damaged.
    pub(crate) fn error(&mut self, error: rusqlite::Error, stage: Stage, about: About<'_>) -> Error {
        let error = from_sqlite(error, stage, about);
        // A damaged full-text index (267) is damage inside one table: the session goes on.
        if error.kind() == ErrorKind::Corrupt && error.code() != Some("267") {
            self.corrupt = true;
        }
        error
    }

    /// Translates an error of a statement of our own.
    pub(crate) fn translate(&mut self, error: rusqlite::Error) -> Error {
        self.error(error, Stage::Run, About::default())
    }

    /// The session is not what it should be: it is not used again.
    pub(crate) fn mark_corrupt(&mut self) {
        self.corrupt = true;
    }

    /// Runs a text of our own, about which SQLite says nothing that is not in it.
    pub(crate) fn simple(&mut self, sql: &str) -> Result<()> {
        let result = self.connection().execute_batch(sql);
        result.map_err(|error| self.error(error, Stage::Prepare, About { sql, table: None }))
    }

    /// Takes a step of a transaction. `permit` goes with a BEGIN that may write; `false`: it is not its turn.
    pub(crate) fn transaction(&mut self, command: &TransactionCommand, permit: Option<Held>) -> Result<bool> {
        if matches!(command, TransactionCommand::Begin(_)) && !self.connection().is_autocommit() {
            return Err(already_open());
        }
        if permit.is_some() {
            self.held = permit;
        }
        if let TransactionCommand::Begin(options) = command
            && takes_lock(options)
            && self.lacks_permit()
        {
            return Ok(false);
        }
        self.take_step(command).map(|()| true)
    }

    fn take_step(&mut self, command: &TransactionCommand) -> Result<()> {
        let is_open = !self.connection().is_autocommit();
        match command {
            TransactionCommand::Begin(options) => self.begin(options),
            TransactionCommand::Rollback if !is_open => Ok(()),
            TransactionCommand::Rollback => self.simple("ROLLBACK"),
            // SAVEPOINT would open a transaction, and COMMIT of nothing is not a commit.
            _ if !is_open => Err(Error::new(ErrorKind::TransactionEnded, "no transaction is open: SQLite ended it")
                .with_hint("SQLite rolls the whole transaction back when the disk is full or a write is interrupted")),
            TransactionCommand::Commit => self.simple("COMMIT"),
            TransactionCommand::Savepoint(number) => {
                self.simple(&format!("SAVEPOINT {}", TransactionCommand::savepoint_name(*number)))
            }
            TransactionCommand::Release(number) => {
                self.simple(&format!("RELEASE {}", TransactionCommand::savepoint_name(*number)))
            }
            TransactionCommand::RollbackTo(number) => {
                self.simple(&format!("ROLLBACK TO {}", TransactionCommand::savepoint_name(*number)))
            }
        }
    }

    fn begin(&mut self, options: &TransactionOptions) -> Result<()> {
        let sql = if takes_lock(options) { "BEGIN IMMEDIATE" } else { "BEGIN DEFERRED" };
        if options.is_read_only() {
            let before = self.connection().pragma_query_value(None, "query_only", |row| row.get(0));
            let before = before.map_err(|error| self.translate(error))?;
            // From here on `after_job` sets it back.
            self.read_only = Some(before);
            self.simple("PRAGMA query_only = ON")?;
        }
        self.simple(sql)?;
        if self.is_cancelled() {
            // Nobody is there to use the transaction.
            self.watch.begin();
            self.simple("ROLLBACK")?;
        }
        Ok(())
    }
}

/// The error of a BEGIN inside of a transaction, which a text may have opened.
pub(crate) fn already_open() -> Error {
    Error::new(ErrorKind::Busy, "a transaction is already open on this connection")
}

/// Whether a transaction takes the write lock when it begins.
pub(crate) fn takes_lock(options: &TransactionOptions) -> bool {
    !options.is_read_only() && options.get_lock_mode() != Some(LockMode::Deferred)
}

/// Refuses what SQLite cannot keep. The other side asks this, before it waits for a permit.
pub(crate) fn check_options(options: &TransactionOptions) -> Result<()> {
    let refuse = |message: &str| Err(Error::new(ErrorKind::Unsupported, message));
    match options.get_isolation() {
        None | Some(Isolation::Serializable) => {}
        Some(other) => {
            return refuse(&format!(
                "SQLite has no isolation level {}: its transactions are always SERIALIZABLE; ask for that or for none",
                other.as_sql()
            ));
        }
    }
    if options.is_deferrable() {
        return refuse("SQLite has no DEFERRABLE transactions; its read-only ones never wait, so leave it out");
    }
    if options.is_read_only() && options.get_lock_mode() == Some(LockMode::Immediate) {
        return refuse("a read-only transaction takes no write lock; leave out either read_only or immediate");
    }
    Ok(())
}

/// Sleeps a little, as SQLite's own handler does, but notices that the job was dropped.
fn wait_for_lock(count: i32, left: Duration, watch: &Watch) -> bool {
    const MILLIS: [u64; 8] = [1, 2, 5, 10, 15, 20, 25, 50];
    if left.is_zero() || watch.is_cancelled() || watch.is_here() {
        return false;
    }
    let index = usize::try_from(count).unwrap_or_default().min(MILLIS.len() - 1);
    thread::sleep(Duration::from_millis(MILLIS[index]).min(left));
    true
}

fn open_file(config: &Config) -> Result<Connection> {
    let Some(path) = &config.path else {
        return Connection::open_in_memory_with_flags(
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(|error| from_sqlite(error, Stage::Open, About::default()));
    };
    let access = match config.mode {
        Mode::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Mode::ReadWrite => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Mode::Create => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    // The path is absolute, so it is never taken for a URI.
    Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(|error| {
        let error = from_sqlite(error, Stage::Open, About::default());
        if error.kind() != ErrorKind::Connect {
            return error;
        }
        let hint = match config.mode {
            _ if path.is_dir() => "it is a directory",
            _ if path.parent().is_some_and(|parent| !parent.is_dir()) => "its directory does not exist",
            Mode::ReadOnly | Mode::ReadWrite if !path.exists() => "the file does not exist; mode=rwc creates it",
            _ => "see whether this user may read and write the file and its directory",
        };
        error.context(format_args!("the database file {} cannot be opened", path.display())).with_hint(hint)
    })
}

/// The settings of every session, in one pass.
fn set_up(connection: &Connection, config: &Config, watch: &Watch) -> Result<()> {
    let named = |error: Error| match &config.path {
        Some(path) => error.context(format_args!("the database file {}", path.display())),
        None => error,
    };
    let run = || -> Result<(), rusqlite::Error> {
        // Reads the header, and so finds out what is no database.
        connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
        Ok(())
    };
    run().map_err(|error| named(from_sqlite(error, Stage::Open, About::default())))?;
    if let Some(mode) = config.journal_mode {
        // Before DEFENSIVE, which does not let the journal be switched off.
        set_journal_mode(connection, config, mode, watch).map_err(named)?;
    }
    let settings = || -> Result<(), rusqlite::Error> {
        for (setting, on) in [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
            (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
            (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, config.foreign_keys),
        ] {
            connection.set_db_config(setting, on)?;
        }
        connection.pragma_update(None, "synchronous", config.synchronous)?;
        if let Some(size) = config.cache_size {
            connection.pragma_update(None, "cache_size", size)?;
        }
        Ok(())
    };
    settings().map_err(|error| named(from_sqlite(error, Stage::Open, About::default())))
}

/// Sets the journal mode unless it is that already. Changing it needs the file alone, and SQLite does not always wait.
fn set_journal_mode(connection: &Connection, config: &Config, mode: &str, watch: &Watch) -> Result<()> {
    let _one_at_a_time = config.opening.lock().unwrap_or_else(PoisonError::into_inner);
    let read = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0));
    let now = read("PRAGMA journal_mode").map_err(|error| from_sqlite(error, Stage::Open, About::default()))?;
    // The modes without WAL are a matter of the connection, not of the file, but for `delete`, the default.
    if now.eq_ignore_ascii_case(mode) {
        return Ok(());
    }
    let start = Instant::now();
    loop {
        match read(&format!("PRAGMA journal_mode = {mode}")) {
            Ok(now) if now.eq_ignore_ascii_case(mode) => return Ok(()),
            Ok(now) => {
                let message = format!("journal_mode={mode} is not possible, it stays {now}");
                return Err(Error::new(ErrorKind::Connect, message)
                    .with_hint("another journal_mode= in the URL; WAL needs a local file system"));
            }
            Err(error) => {
                let error = from_sqlite(error, Stage::Open, About::default());
                let over = start.elapsed() >= config.busy_timeout || watch.is_cancelled();
                if error.kind() != ErrorKind::LockTimeout || over {
                    let error = match error.kind() {
                        ErrorKind::ReadOnly => error.with_hint("mode=ro opens what cannot be written"),
                        _ => error,
                    };
                    return Err(error.context(format_args!("journal_mode={mode} cannot be set")));
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
