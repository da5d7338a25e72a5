//! Running statements on the worker.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use databases_core::backend::{ExecResult, Request, placeholder_mismatch};
use databases_core::sql::{StatementClass, Template, Verb};
use databases_core::{Column, Columns, Effect, Error, ErrorKind, Result};
use hashlink::LruCache;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::hooks::Action;
use rusqlite::{CachedStatement, Connection, Statement};
use tokio::sync::{mpsc, oneshot};

use crate::batch::{Batch, Limits};
use crate::error::{About, Stage, no_statement, several_statements, unquoted};
use crate::permit::Held;
use crate::session::Session;
use crate::types::to_sqlite;
use crate::worker::Deliver;

/// How many batches of a stream wait for their reader.
const BATCHES_AHEAD: usize = 2;

/// What becomes of a statement.
pub(crate) enum Outcome {
    /// It would write, and it is not its turn: nothing was done. Ask again with the permit.
    NeedsPermit(Request),
    /// It ran, or failed.
    Done(Result<Reply>),
}

/// What a statement gives.
pub(crate) struct Reply {
    /// The rows, or the first of them.
    pub(crate) batches: VecDeque<Arc<Batch>>,
    /// The rows that follow, if they did not fit.
    pub(crate) rest: Option<Rest>,
    /// What it did, if it is done.
    pub(crate) result: ExecResult,
}

/// The rows that follow, and how the statement ended.
pub(crate) struct Rest {
    pub(crate) batches: mpsc::Receiver<Arc<Batch>>,
    pub(crate) end: oneshot::Receiver<Result<()>>,
}

/// What rows became of a statement on the worker's side.
#[derive(Default)]
struct Rows {
    batches: VecDeque<Arc<Batch>>,
    current: Option<Batch>,
}

/// The worker's end of a [`Rest`].
struct Feed {
    batches: mpsc::Sender<Arc<Batch>>,
    end: oneshot::Sender<Result<()>>,
}

/// Which rows the running statement inserted into its own table. Only tables with a rowid call the hook.
#[derive(Default)]
pub(crate) struct Inserts {
    watching: AtomicBool,
    table: Mutex<String>,
    count: AtomicU64,
    first: AtomicI64,
    last: AtomicI64,
}

impl Inserts {
    /// The update hook.
    pub(crate) fn saw(&self, action: Action, table: &str, rowid: i64) {
        // All of this is on one thread; the atomics only make that plain to the compiler.
        if !self.watching.load(Ordering::Relaxed) || action != Action::SQLITE_INSERT {
            return;
        }
        if !self.table.lock().unwrap_or_else(PoisonError::into_inner).eq_ignore_ascii_case(table) {
            return;
        }
        if self.count.fetch_add(1, Ordering::Relaxed) == 0 {
            self.first.store(rowid, Ordering::Relaxed);
        }
        self.last.store(rowid, Ordering::Relaxed);
    }

    fn watch(&self, template: &Template) {
        let table = match template.verb() {
            Verb::Insert | Verb::Replace => template.target_table(),
            _ => None,
        };
        if let Some(table) = table {
            *self.table.lock().unwrap_or_else(PoisonError::into_inner) = unquoted(table);
            self.count.store(0, Ordering::Relaxed);
        }
        self.watching.store(table.is_some(), Ordering::Relaxed);
    }

    /// The id of the one row, if this statement inserted one row and that row has an id.
    ///
    /// `last_insert_rowid` alone keeps an earlier statement's id where a statement inserts nothing, updates by ON CONFLICT,
    /// or inserts into a table WITHOUT ROWID. A trigger's inserts are undone in it, but they call the hook: so both must
    /// agree.
    fn id(&self, connection: &Connection, changes: u64) -> Option<i64> {
        let seen = self.watching.load(Ordering::Relaxed) && self.count.load(Ordering::Relaxed) > 0;
        if !seen || changes != 1 {
            return None;
        }
        let id = connection.last_insert_rowid();
        (id == self.first.load(Ordering::Relaxed) || id == self.last.load(Ordering::Relaxed)).then_some(id)
    }

    fn stop(&self) {
        self.watching.store(false, Ordering::Relaxed);
    }
}

/// Whether statements of this text write for certain: asking first saves going to the worker twice.
pub(crate) fn surely_writes(class: StatementClass) -> bool {
    matches!(class, StatementClass::Write | StatementClass::Ddl)
}

/// A statement out of the cache or not.
enum Prepared<'c> {
    Cached(CachedStatement<'c>),
    Once(Statement<'c>),
}

impl<'c> Deref for Prepared<'c> {
    type Target = Statement<'c>;
    fn deref(&self) -> &Statement<'c> {
        match self {
            Self::Cached(statement) => statement,
            Self::Once(statement) => statement,
        }
    }
}

impl DerefMut for Prepared<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Cached(statement) => statement,
            Self::Once(statement) => statement,
        }
    }
}

/// An error, and when it arose if it is SQLite's.
enum Failure {
    Ours(Error),
    Sqlite(rusqlite::Error, Stage),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

fn preparing(error: rusqlite::Error) -> Failure {
    Failure::Sqlite(error, Stage::Prepare)
}

fn running(error: rusqlite::Error) -> Failure {
    Failure::Sqlite(error, Stage::Run)
}

fn prepare<'c>(connection: &'c Connection, request: &Request, keep: bool) -> Result<Prepared<'c>, Failure> {
    match request.template.statements() {
        0 => return Err(no_statement().into()),
        1 => {}
        _ => return Err(several_statements().into()),
    }
    let statement = if keep && request.prepared {
        connection.prepare_cached(&request.sql).map(Prepared::Cached)
    } else {
        connection.prepare(&request.sql).map(Prepared::Once)
    };
    let statement = statement.map_err(preparing)?;
    let placeholders = statement.parameter_count();
    if placeholders != request.args.len() {
        return Err(placeholder_mismatch(request.args.len(), placeholders).into());
    }
    Ok(statement)
}

/// The rows that `request` changed, by SQLite's count of direct changes. Only after it ran to its end: for a statement
/// of another kind the count is that of an earlier one.
fn rows_affected(connection: &Connection, request: &Request, statement: &Statement<'_>) -> u64 {
    match request.template.verb() {
        Verb::Insert | Verb::Update | Verb::Delete | Verb::Replace if !statement.readonly() => connection.changes(),
        _ => 0,
    }
}

impl Session {
    /// Runs one statement. Replies early if the rows of a statement that only reads do not fit `limits`.
    pub(crate) fn run(
        &mut self,
        request: Request,
        permit: Option<Held>,
        limits: Limits,
        reply: oneshot::Sender<Outcome>,
    ) -> Deliver {
        if permit.is_some() {
            self.held = permit;
        }
        let mut out = Output { reply: Some(reply), feed: None, rows: Rows::default(), limits };
        let ran = self.step_all(&request, &mut out);
        self.inserts.stop();
        let result = match ran {
            Ok(Some(result)) => Ok(result),
            Ok(None) => return out.needs_permit(request),
            Err(Failure::Ours(error)) => Err(error),
            Err(Failure::Sqlite(error, stage)) => Err(self.error(error, stage, about(&request))),
        };
        out.deliver(result)
    }

    /// `None`: it is not its turn.
    fn step_all(&mut self, request: &Request, out: &mut Output) -> Result<Option<ExecResult>, Failure> {
        let (lacks_permit, keep, decimals) = (self.lacks_permit(), self.keeps_statements(), self.decimals());
        let is_cancelled = || self.is_cancelled();
        let connection = self.connection();
        let mut statement = prepare(connection, request, keep)?;
        let reads = statement.readonly();
        if lacks_permit && (!reads || surely_writes(request.template.class())) {
            return Ok(None);
        }
        for (index, arg) in request.args.iter().enumerate() {
            let value = to_sqlite(&arg.value, decimals, index + 1)?;
            statement.raw_bind_parameter(index + 1, value).map_err(running)?;
        }
        self.inserts.watch(&request.template);
        let mut new_columns = None;
        let has_columns = statement.column_count() > 0;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(running)? {
            if is_cancelled() {
                return Err(cancelled().into());
            }
            if !request.wants_rows {
                continue;
            }
            if out.rows.current.is_none() {
                let columns = columns_of(row.as_ref(), self.columns.peek(&request.sql));
                new_columns = Some(Arc::clone(&columns));
                out.rows.current = Some(Batch::new(columns));
            }
            // Rows of RETURNING wait: the statement must not stay half done while somebody reads.
            if !out.push(row, reads)? {
                break;
            }
        }
        drop(rows);
        if has_columns && request.wants_rows && out.is_empty() {
            let columns = columns_of(&statement, self.columns.peek(&request.sql));
            new_columns = Some(Arc::clone(&columns));
            out.rows.current = Some(Batch::new(columns));
        }
        let affected = rows_affected(connection, request, &statement);
        let id = self.inserts.id(connection, affected);
        drop(statement);
        if let Some(columns) = new_columns
            && keep
            && request.prepared
        {
            remember(&mut self.columns, &request.sql, columns);
        }
        Ok(Some(ExecResult::new(affected, id)))
    }

    /// Runs statements that write, one after the other, and counts the rows. `None`: it is not their turn.
    ///
    /// The error carries its index in `requests`.
    pub(crate) fn run_many(&mut self, requests: &[Request], permit: Option<Held>) -> Result<Option<u64>> {
        if permit.is_some() {
            self.held = permit;
        }
        let mut total = 0;
        let mut index = 0;
        match self.many(requests, &mut index, &mut total) {
            Ok(true) => Ok(Some(total)),
            Ok(false) => Ok(None),
            Err(failure) => {
                let error = match failure {
                    Failure::Ours(error) => error,
                    Failure::Sqlite(error, stage) => {
                        self.error(error, stage, requests.get(index).map(about).unwrap_or_default())
                    }
                };
                Err(error.with_batch_index(index))
            }
        }
    }

    fn many(&self, requests: &[Request], index: &mut usize, total: &mut u64) -> Result<bool, Failure> {
        if self.lacks_permit() {
            return Ok(false);
        }
        let connection = self.connection();
        let mut open: Option<(&Arc<str>, Prepared<'_>)> = None;
        for (at, request) in requests.iter().enumerate() {
            *index = at;
            if self.is_cancelled() {
                return Err(cancelled().into());
            }
            if open.as_ref().is_none_or(|(sql, _)| !Arc::ptr_eq(sql, &request.sql) && ***sql != *request.sql) {
                // Back into the cache first, where the next one may evict it.
                drop(open.take());
                open = Some((&request.sql, prepare(connection, request, self.keeps_statements())?));
            }
            let Some((_, statement)) = &mut open else { continue };
            let placeholders = statement.parameter_count();
            if placeholders != request.args.len() {
                return Err(placeholder_mismatch(request.args.len(), placeholders).into());
            }
            for (index, arg) in request.args.iter().enumerate() {
                let value = to_sqlite(&arg.value, self.decimals(), index + 1)?;
                statement.raw_bind_parameter(index + 1, value).map_err(running)?;
            }
            let mut rows = statement.raw_query();
            while rows.next().map_err(running)?.is_some() {}
            drop(rows);
            *total += rows_affected(connection, request, statement);
        }
        Ok(true)
    }

    /// Runs a script. `false`: it is not its turn, and only statements that read have run.
    pub(crate) fn run_script(&mut self, sql: &str, permit: Option<Held>) -> Result<bool> {
        if permit.is_some() {
            self.held = permit;
        }
        let mut index = 0;
        match self.script(sql, &mut index) {
            Ok(done) => Ok(done),
            Err(Failure::Ours(error)) => Err(error.with_batch_index(index)),
            Err(Failure::Sqlite(error, stage)) => {
                Err(self.error(error, stage, About { sql, table: None }).with_batch_index(index))
            }
        }
    }

    fn script(&self, sql: &str, index: &mut usize) -> Result<bool, Failure> {
        let connection = self.connection();
        let mut statements = rusqlite::Batch::new(connection, sql);
        while let Some(mut statement) = statements.next().map_err(preparing)? {
            if self.is_cancelled() {
                return Err(cancelled().into());
            }
            if statement.parameter_count() > 0 {
                return Err(Error::new(ErrorKind::Parameters, "a script has no parameters")
                    .with_hint("execute runs one statement with parameters")
                    .with_effect(Effect::RolledBack)
                    .into());
            }
            if self.lacks_permit() && !statement.readonly() {
                return Ok(false);
            }
            let mut rows = statement.raw_query();
            while rows.next().map_err(running)?.is_some() {}
            drop(rows);
            *index += 1;
        }
        Ok(true)
    }
}

fn about(request: &Request) -> About<'_> {
    About { sql: &request.sql, table: request.template.target_table() }
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the call was dropped")
}

/// The columns of a statement that has been stepped: the kept ones if they are still right, which spares copies. They are
/// not if the schema changed since.
fn columns_of(statement: &Statement<'_>, kept: Option<&Arc<Columns>>) -> Arc<Columns> {
    let type_name = |column: &rusqlite::Column<'_>| column.decl_type().unwrap_or_default().to_owned();
    if let Some(kept) = kept
        && kept.len() == statement.column_count()
        && statement.columns().zip(kept.iter()).all(|(column, kept)| {
            column.name() == kept.name() && column.decl_type().unwrap_or_default() == kept.type_name()
        })
    {
        return Arc::clone(kept);
    }
    let columns = statement.columns().map(|column| Column::new(column.name(), type_name(&column)));
    Arc::new(Columns::new(columns.collect()))
}

fn remember(kept: &mut LruCache<Arc<str>, Arc<Columns>>, sql: &Arc<str>, columns: Arc<Columns>) {
    match kept.get_mut(sql) {
        Some(kept) => *kept = columns,
        None => drop(kept.insert(Arc::clone(sql), columns)),
    }
}

/// Where the rows of a statement go.
struct Output {
    reply: Option<oneshot::Sender<Outcome>>,
    feed: Option<Feed>,
    rows: Rows,
    limits: Limits,
}

impl Output {
    fn is_empty(&self) -> bool {
        self.rows.current.is_none() && self.rows.batches.is_empty() && self.feed.is_none()
    }

    /// Takes a row; `false` if nobody wants more.
    fn push(&mut self, row: &rusqlite::Row<'_>, may_hand_over: bool) -> Result<bool> {
        let Some(batch) = &mut self.rows.current else { return Ok(true) };
        batch.push(row)?;
        if !batch.is_full(self.limits) {
            return Ok(true);
        }
        let next = batch.next();
        let full = Arc::new(std::mem::replace(batch, next));
        if !may_hand_over {
            self.rows.batches.push_back(full);
            return Ok(true);
        }
        Ok(self.hand_over(full))
    }

    fn hand_over(&mut self, batch: Arc<Batch>) -> bool {
        if let Some(feed) = &self.feed {
            // Waits while the reader is behind; ends when it is gone.
            return feed.batches.blocking_send(batch).is_ok();
        }
        let Some(reply) = self.reply.take() else { return false };
        let (batches, receiver) = mpsc::channel(BATCHES_AHEAD);
        let (end, ended) = oneshot::channel();
        self.feed = Some(Feed { batches, end });
        let rest = Some(Rest { batches: receiver, end: ended });
        let reply_with = Reply { batches: VecDeque::from([batch]), rest, result: ExecResult::default() };
        reply.send(Outcome::Done(Ok(reply_with))).is_ok()
    }

    fn needs_permit(self, request: Request) -> Deliver {
        Box::new(move || {
            if let Some(reply) = self.reply {
                let _ = reply.send(Outcome::NeedsPermit(request));
            }
        })
    }

    /// Hands over what is left, once the session's state is known.
    fn deliver(mut self, result: Result<ExecResult>) -> Deliver {
        let last = self.rows.current.take().map(Arc::new);
        if let Some(Feed { batches, end }) = self.feed {
            if let Some(last) = last
                && result.is_ok()
            {
                let _ = batches.blocking_send(last);
            }
            drop(batches);
            return Box::new(move || drop(end.send(result.map(|_| ()))));
        }
        let mut rows = self.rows.batches;
        rows.extend(last);
        let reply = result.map(|result| Reply { batches: rows, rest: None, result });
        let sender = self.reply;
        Box::new(move || {
            if let Some(sender) = sender {
                let _ = sender.send(Outcome::Done(reply));
            }
        })
    }
}
