//! The driver's connection and what is known of the server's session, used by one operation at a time.
//!
//! The state comes from the status flags of the last OK packet. Two traps of the driver (mysql_async 0.37): the answer
//! to a prepare is read as an OK packet too, so the flags count only after a statement was run; an error packet has
//! no flags, so after an error that may have ended a transaction the server is asked.

mod columns;
mod many;
mod read;

use std::sync::Arc;

use databases_core::backend::{ExecResult, Request, ServerInfo, placeholder_mismatch};
use databases_core::sql::{Dialect, StatementClass, Template, Verb, split_script};
use databases_core::{Effect, Error, ErrorKind, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Statement, Value};

use crate::batch::Layout;
use crate::cache::{Prepared, StatementCache, shield};
use crate::keys::{Keys, Target};
use crate::options::{Options, ZeroDates};
use crate::shared::Shared;
use crate::text::{gives_one_result, hides_id, inserted_table, may_begin, names_sql_mode};
use crate::{error, packet, types};
use read::{Answer, read};
pub(crate) use read::{NextRow, Take};

/// Sets the session up and tells what it is, in one round trip. Every word is ours.
///
/// Without `autocommit = 1`, a server whose default is off would drop what `execute` reported as done.
const SETUP: &str = "SET NAMES utf8mb4, time_zone = '+00:00', autocommit = 1, \
                     sql_mode = CONCAT_WS(',', NULLIF(@@sql_mode, ''), 'STRICT_TRANS_TABLES', 'NO_ENGINE_SUBSTITUTION'); \
                     SELECT @@sql_mode, @@max_allowed_packet, VERSION(), @@version_comment";
const ASK_MODE: &str = "SELECT @@sql_mode";
/// The cheapest statement whose answer is an OK packet with flags.
const ASK_STATE: &str = "DO 0";

/// Rows of a batch: enough to spread its cost, few enough for a sink that stops early.
pub(crate) const BATCH_ROWS: usize = 1024;
/// Statements with more bytes of values than this are not run again where the server has forgotten them.
const SPARE_BYTES: usize = 64 * 1024;

/// Why a statement failed: in the driver or the server, or before anything was sent.
enum Fault {
    Driver(mysql_async::Error),
    /// In the driver or the server, before the statement was told to run.
    NotRun(mysql_async::Error),
    Ours(Error),
}

impl From<mysql_async::Error> for Fault {
    fn from(error: mysql_async::Error) -> Self {
        Self::Driver(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

/// The driver's connection with its prepared statements.
pub(crate) struct Session {
    /// `None` once closed.
    conn: Option<Conn>,
    cache: StatementCache,
    keys: Keys,
    shared: Arc<Shared>,
    max_packet: u64,
    /// MySQL, and not MariaDB: it fixes a parameter's type at its first value (see [`Prepared::fits`]).
    is_mysql: bool,
    /// The session was in other hands, so that its state must be asked for first.
    stale: bool,
    zero_dates: ZeroDates,
    texts: many::Texts,
}

impl Session {
    /// Takes a fresh connection and gives it the session defaults.
    pub(crate) async fn open(
        conn: Conn,
        options: &Options,
        shared: Arc<Shared>,
    ) -> mysql_async::Result<(Self, ServerInfo)> {
        let (cache, keys) = (StatementCache::new(options.statement_cache_size), Keys::new());
        let conn = Some(conn);
        let mut session = Self {
            conn,
            cache,
            keys,
            shared,
            max_packet: u64::MAX,
            is_mysql: true,
            stale: false,
            zero_dates: options.zero_dates,
            texts: many::Texts::default(),
        };
        let info = session.set_up().await?;
        Ok((session, info))
    }

    async fn set_up(&mut self) -> mysql_async::Result<ServerInfo> {
        let row = self.ask(SETUP).await?;
        let text = |index: usize| match row.as_ref().and_then(|row| row.as_ref(index)) {
            Some(Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        };
        self.shared.set_mode(&text(0));
        self.max_packet = text(1).parse().unwrap_or(u64::MAX);
        let (version, comment) = (text(2), text(3));
        let is_mariadb = [&version, &comment].iter().any(|text| text.to_ascii_lowercase().contains("mariadb"));
        self.is_mysql = !is_mariadb;
        Ok(ServerInfo::new(if is_mariadb { "MariaDB" } else { "MySQL" }, version))
    }

    /// Runs our own text and gives the one row of its last result.
    async fn ask(&mut self, sql: &'static str) -> mysql_async::Result<Option<mysql_async::Row>> {
        let mut last = None;
        {
            let mut result = self.conn()?.query_iter(sql).await?;
            while result.columns().is_some() {
                while let Some(row) = result.next().await? {
                    last = Some(row);
                }
            }
            result.drop_result().await?;
        }
        self.observe();
        Ok(last)
    }

    fn conn(&mut self) -> mysql_async::Result<&mut Conn> {
        self.conn.as_mut().ok_or_else(|| mysql_async::DriverError::ConnectionClosed.into())
    }

    /// The driver's connection, for `native`.
    pub(crate) fn driver(&self) -> Option<&Conn> {
        self.conn.as_ref()
    }

    /// The driver's connection, for `native`.
    pub(crate) fn driver_mut(&mut self) -> Option<&mut Conn> {
        self.conn.as_mut()
    }

    /// Takes the driver's connection out, to close it.
    pub(crate) fn take(&mut self) -> Option<Conn> {
        self.conn.take()
    }

    /// Whether the driver has given the connection up.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.conn.as_ref().is_none_or(Conn::is_disconnected)
    }

    /// Reads the flags of the last OK packet. Only after a statement was run, never after a prepare.
    fn observe(&mut self) {
        if let Some(ok) = self.conn.as_ref().and_then(Conn::last_ok_packet) {
            self.shared.observe(ok.status_flags());
        }
    }

    // What every statement goes through is written as functions that give a future, and what hardly any goes through is boxed: an
    // `async fn` keeps room for its arguments twice, and the allocator is slow beyond a kilobyte.

    /// Runs a statement and gives its rows to `take`.
    pub(crate) fn execute(
        &mut self,
        request: Request,
        take: &mut impl Take,
    ) -> impl Future<Output = Result<ExecResult>> + Send {
        let Request { sql, args, template, prepared, .. } = request;
        let values = types::bind(args, self.is_mysql);
        self.execute_values(sql, values, template, prepared, take)
    }

    /// Runs a statement with `values` and gives its rows to `take`.
    fn execute_values(
        &mut self,
        sql: Arc<str>,
        values: Result<Vec<Value>>,
        template: Arc<Template>,
        prepared: bool,
        take: &mut impl Take,
    ) -> impl Future<Output = Result<ExecResult>> + Send {
        let sized = values.and_then(|values| packet::check(self.max_packet, &sql, &values).map(|()| values));
        self.execute_checked(sql, sized, true, template, prepared, take)
    }

    #[expect(clippy::manual_async_fn, reason = "an `async fn` keeps room for its arguments twice")]
    /// Runs a statement whose size is known to do; with `again`, its values are kept for a second attempt, unless they are large.
    fn execute_checked(
        &mut self,
        sql: Arc<str>,
        values: Result<Vec<Value>>,
        again: bool,
        template: Arc<Template>,
        prepared: bool,
        take: &mut impl Take,
    ) -> impl Future<Output = Result<ExecResult>> + Send {
        async move {
            let values = values?;
            if self.stale {
                Box::pin(self.refresh_if_stale()).await?;
            }
            self.keys.watch(template.class(), &sql);
            let spare = if again { spare(&values) } else { None };
            let mut answer = self.attempt(&sql, values, &template, prepared, take).await;
            // Nothing ran, so it is prepared again; a transaction is still as it was.
            if let (Err(Fault::Driver(fault)), Some(values)) = (&answer, spare)
                && error::is_forgotten(fault)
            {
                answer = Box::pin(self.attempt(&sql, values, &template, prepared, take)).await;
            }
            let result = match answer {
                Ok(answer) => {
                    self.observe();
                    self.result(&sql, &template, &answer)
                }
                Err(fault) => return Err(Box::pin(self.explain(fault, &template)).await),
            };
            if !matches!(template.class(), StatementClass::Read | StatementClass::Write) && names_sql_mode(&sql) {
                Box::pin(self.refresh()).await?;
            }
            Ok(result)
        }
    }

    /// The error of a statement that failed, and what became of the transaction.
    async fn explain(&mut self, fault: Fault, template: &Template) -> Error {
        let target = Target::of(template);
        let error = self.fail(fault, may_begin(template), target.as_ref()).await;
        if self.is_mysql && template.has_returning() && error.kind() == ErrorKind::Syntax {
            let hint = "MySQL has no RETURNING: use last_insert_id, or select the row";
            return error.with_kind(ErrorKind::Unsupported).with_hint(hint);
        }
        match target {
            Some(target) if error.kind() == ErrorKind::UniqueViolation => self.name_columns(error, &target).await,
            _ => error,
        }
    }

    fn attempt(
        &mut self,
        sql: &Arc<str>,
        values: Vec<Value>,
        template: &Template,
        prepared: bool,
        take: &mut impl Take,
    ) -> impl Future<Output = Result<Answer, Fault>> + Send {
        let (keep, zero_dates) = (prepared && self.cache.is_enabled(), self.zero_dates);
        async move {
            let found = self.statement(sql, &values, keep);
            let (statement, mut layout) = match found {
                Some(found) => found,
                None => match Box::pin(self.prepare(sql, &values, keep)).await {
                    Ok(statement) => (statement, None),
                    Err(Fault::NotRun(fault))
                        if error::server_code(&fault) == Some(error::NOT_PREPARABLE)
                            && values.is_empty()
                            && template.statements() == 1 =>
                    {
                        return Box::pin(self.unprepared(sql, take)).await;
                    }
                    Err(fault) => return Err(fault),
                },
            };
            let theirs = usize::from(statement.num_params());
            if theirs != values.len() {
                if !keep {
                    self.conn()?.close(statement).await?;
                }
                return Err(placeholder_mismatch(values.len(), theirs).into());
            }
            let known = layout.clone();
            let inserted = inserted_table(template);
            let begun = self.conn()?.exec_iter(&statement, Params::Positional(values)).await.map_err(begun);
            let answer = match begun {
                Ok(result) => {
                    read(result, &mut layout, zero_dates, inserted.as_deref(), take).await.map_err(Fault::Driver)
                }
                Err(fault) => Err(fault),
            };
            let gone = match &answer {
                Err(Fault::Driver(fault)) => error::server_code(fault),
                _ => None,
            };
            if answer.as_ref().is_err_and(|fault| matches!(fault, Fault::Driver(fault) if error::is_forgotten(fault))) {
                self.cache.remove(sql);
            }
            // The value may have changed its parameter's type for good (see `Prepared::fits`).
            if self.is_mysql && gone == Some(error::OUT_OF_RANGE) && keep && self.cache.remove(sql).is_some() {
                self.conn()?.close(statement.clone()).await?;
            }
            if !keep {
                if !self.is_disconnected() {
                    self.conn()?.close(statement).await?;
                }
            } else if let Some(layout) = layout
                && known.is_none_or(|known| !Arc::ptr_eq(&known, &layout))
                && let Some(prepared) = self.cache.get(sql)
            {
                prepared.layout = Some(layout);
            }
            answer
        }
    }

    /// Runs what the server does not prepare.
    async fn unprepared(&mut self, sql: &str, take: &mut impl Take) -> Result<Answer, Fault> {
        let zero_dates = self.zero_dates;
        let result = self.conn()?.query_iter(sql).await.map_err(begun)?;
        Ok(read(result, &mut None, zero_dates, None, take).await?)
    }

    /// The prepared statement of `sql` and the columns of its last result, if it is kept and does for `values`.
    fn statement(&mut self, sql: &str, values: &[Value], keep: bool) -> Option<(Statement, Option<Arc<Layout>>)> {
        let prepared = if keep { self.cache.get(sql)? } else { return None };
        let fits = !self.is_mysql || prepared.fits(values);
        fits.then(|| (prepared.statement.clone(), prepared.layout.clone()))
    }

    /// Prepares `sql`, in place of what was kept of it.
    async fn prepare(&mut self, sql: &Arc<str>, values: &[Value], keep: bool) -> Result<Statement, Fault> {
        if keep && let Some(statement) = self.cache.remove(sql) {
            self.conn()?.close(statement).await.map_err(Fault::NotRun)?;
        }
        let text = shield(sql)?;
        let statement = self.conn()?.prep(text.as_bytes()).await.map_err(Fault::NotRun)?;
        if keep {
            let prepared = Prepared::new(statement.clone(), values);
            if let Some(evicted) = self.cache.insert(sql.clone(), prepared) {
                self.conn()?.close(evicted).await.map_err(Fault::NotRun)?;
            }
        }
        Ok(statement)
    }

    fn result(&self, sql: &str, template: &Template, answer: &Answer) -> ExecResult {
        let verb = template.verb();
        if !matches!(verb, Verb::Insert | Verb::Update | Verb::Delete | Verb::Replace) {
            return ExecResult::default();
        }
        let Some(ok) = self.conn.as_ref().and_then(Conn::last_ok_packet) else { return ExecResult::default() };
        if let Some(rows) = answer.rows {
            // RETURNING (MariaDB): the packet behind the rows has no count and no id, so the id is the one of the row.
            let id = match &answer.counted {
                Some(Value::Int(id)) if rows == 1 => Some(*id),
                Some(Value::UInt(id)) if rows == 1 => i64::try_from(*id).ok(),
                _ => None,
            };
            return ExecResult::new(rows, id.filter(|id| *id > 0));
        }
        let one = matches!(verb, Verb::Insert | Verb::Replace) && ok.affected_rows() == 1 && !hides_id(sql);
        let id = if one { ok.last_insert_id().filter(|id| *id != 0) } else { None };
        ExecResult::new(ok.affected_rows(), id.and_then(|id| i64::try_from(id).ok()))
    }

    /// Turns `fault` into an error, and finds out what became of the transaction.
    async fn fail(&mut self, fault: Fault, may_begin: bool, target: Option<&Target>) -> Error {
        let about = error::About { is_mariadb: !self.is_mysql, target };
        let error = match fault {
            Fault::Ours(error) => return error,
            Fault::Driver(fault) => error::statement_about(fault, about),
            Fault::NotRun(fault) => {
                let error = error::statement_about(fault, about);
                if error.is_disconnected() { error.with_effect(Effect::NotSent) } else { error }
            }
        };
        if error.is_disconnected() || self.is_disconnected() {
            self.shared.break_off();
            return error;
        }
        let open = self.shared.in_transaction() || !self.shared.commits_by_itself();
        if open || may_begin {
            self.ask_state().await;
        }
        error
    }

    /// Asks the server whether a transaction is open; a connection that cannot say is broken.
    pub(crate) async fn ask_state(&mut self) {
        // A KILL QUERY that came late ends this instead of somebody's statement.
        for _ in 0..2 {
            match self.ask(ASK_STATE).await {
                Ok(_) => return,
                Err(fault) if error::server_code(&fault) == Some(error::INTERRUPTED) => {}
                Err(_) => break,
            }
        }
        self.shared.break_off();
    }

    /// The session was in other hands.
    pub(crate) fn set_stale(&mut self) {
        self.stale = true;
        self.keys.forget();
    }

    pub(crate) async fn refresh_if_stale(&mut self) -> Result<()> {
        if !self.stale {
            return Ok(());
        }
        // Nothing else was sent yet.
        self.refresh().await.map_err(|error| error.with_effect(Effect::NotSent))
    }

    /// Asks for the state and the modes.
    pub(crate) async fn refresh(&mut self) -> Result<()> {
        let row = match self.ask(ASK_MODE).await {
            Ok(row) => row,
            Err(fault) => {
                // Not knowing how the server reads a text, we must not send one.
                self.shared.break_off();
                return Err(error::statement(fault).with_kind(ErrorKind::Disconnected));
            }
        };
        if let Some(Value::Bytes(mode)) = row.as_ref().and_then(|row| row.as_ref(0)) {
            self.shared.set_mode(&String::from_utf8_lossy(mode));
        }
        self.stale = false;
        Ok(())
    }

    /// Runs a text of ours in the text protocol.
    pub(crate) async fn command(&mut self, sql: &str) -> Result<()> {
        self.refresh_if_stale().await?;
        let outcome = match self.conn() {
            Ok(conn) => conn.query_drop(sql).await.map_err(begun),
            Err(fault) => Err(Fault::NotRun(fault)),
        };
        match outcome {
            Ok(()) => {
                self.observe();
                Ok(())
            }
            Err(fault) => Err(self.fail(fault, true, None).await),
        }
    }

    /// Runs a script; the server takes it apart.
    pub(crate) async fn script(&mut self, sql: &str) -> Result<()> {
        packet::check(self.max_packet, sql, &[])?;
        self.refresh_if_stale().await?;
        self.keys.watch_any(sql);
        let mut done = 0;
        match self.run_script(sql, &mut done).await {
            // A script may do anything to the session.
            Ok(()) => self.refresh().await,
            Err(fault) => {
                let error = self.fail(fault, true, None).await;
                let is_told = counts_statements(sql, self.shared.dialect(), done);
                let error = if is_told { error.with_batch_index(done) } else { error };
                if !self.shared.is_broken() && names_sql_mode(sql) {
                    self.refresh().await?;
                }
                Err(error)
            }
        }
    }

    async fn run_script(&mut self, sql: &str, done: &mut usize) -> Result<(), Fault> {
        let mut result = self.conn()?.query_iter(sql).await.map_err(begun)?;
        while result.columns().is_some() {
            while result.next().await?.is_some() {}
            *done += 1;
        }
        // The error of a later statement comes here.
        Ok(result.drop_result().await?)
    }

    /// Undoes what the session was told; `false` if the server is too old for it.
    pub(crate) async fn reset(&mut self) -> Result<bool> {
        let mut reset = async || {
            let done = self.conn()?.reset().await?;
            self.cache.clear();
            self.keys.reset();
            self.stale = false;
            if done {
                self.set_up().await?;
            }
            Ok(done)
        };
        let outcome: mysql_async::Result<bool> = reset().await;
        outcome.map_err(|fault| {
            self.shared.break_off();
            error::statement(fault)
        })
    }

    pub(crate) async fn ping(&mut self) -> Result<()> {
        let outcome = match self.conn() {
            Ok(conn) => conn.ping().await,
            Err(fault) => Err(fault),
        };
        outcome.map_err(|fault| {
            self.shared.break_off();
            error::statement(fault).with_effect(Effect::NotSent)
        })
    }

    /// Closes all statements that are kept, so that nobody can take their ids for other ones.
    pub(crate) async fn close_statements(&mut self) -> Result<()> {
        for statement in self.cache.drain() {
            let outcome = match self.conn() {
                Ok(conn) => conn.close(statement).await,
                Err(fault) => Err(fault),
            };
            outcome.map_err(error::statement)?;
        }
        Ok(())
    }
}

/// Whether `results` that came from a script are those of as many statements, so that the next one failed. What calls
/// others gives any number of them.
fn counts_statements(script: &str, dialect: Dialect, results: usize) -> bool {
    split_script(script, dialect)
        .is_ok_and(|statements| statements.iter().take(results).all(|one| gives_one_result(one)))
}

/// A copy of values for a second attempt, which is hardly ever made: large ones are not copied for it.
fn spare(values: &[Value]) -> Option<Vec<Value>> {
    let bytes = |value: &Value| if let Value::Bytes(bytes) = value { bytes.len() } else { 0 };
    (values.iter().map(bytes).sum::<usize>() <= SPARE_BYTES).then(|| values.to_vec())
}

/// The fault of a request that was being sent, or its answer read.
fn begun(fault: mysql_async::Error) -> Fault {
    if error::is_unsent(&fault) { Fault::NotRun(fault) } else { Fault::Driver(fault) }
}
