//! Running statements on the worker.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use databases_core::backend::{ExecResult, Flow, LiveSink, Request, placeholder_mismatch};
use databases_core::sql::{StatementClass, Template, Verb};
use databases_core::{Arg, Effect, Error, ErrorKind, Result, RowBatch, RowRef, Value};
use hashlink::LruCache;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{CachedStatement, Connection, Statement};
use tokio::sync::{mpsc, oneshot};

use crate::batch::{Batch, Limits, Live};
use crate::bulk::{Bulk, Run};
use crate::error::{About, Stage, no_statement, several_statements};
use crate::here::Budget;
use crate::known::{Known, STOPPED};
use crate::options::Decimals;
use crate::permit::Held;
use crate::session::Session;
use crate::types::to_sqlite;
use crate::worker::Deliver;

/// How many batches of a stream wait for their reader.
const BATCHES_AHEAD: usize = 2;

/// Rows that have come are handed over after so long, where the others take their time.
const PATIENCE: Duration = Duration::from_millis(10);

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

/// Whether statements of this text write for certain: asking first saves going to the worker twice.
pub(crate) fn surely_writes(class: StatementClass) -> bool {
    matches!(class, StatementClass::Write | StatementClass::Ddl)
}

/// Whether a statement may leave something behind in the session.
pub(crate) fn alters_session(class: StatementClass) -> bool {
    matches!(class, StatementClass::Session | StatementClass::Unknown)
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
pub(crate) enum Failure {
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

/// Prepares `sql`, which takes `args` values.
fn prepare<'c>(
    connection: &'c Connection,
    sql: &str,
    template: &Template,
    args: usize,
    keep: bool,
) -> Result<Prepared<'c>, Failure> {
    match template.statements() {
        0 => return Err(no_statement().into()),
        1 => {}
        _ => return Err(several_statements().into()),
    }
    let statement = if keep {
        connection.prepare_cached(sql).map(Prepared::Cached)
    } else {
        connection.prepare(sql).map(Prepared::Once)
    };
    let statement = statement.map_err(preparing)?;
    let placeholders = statement.parameter_count();
    if placeholders != args {
        return Err(placeholder_mismatch(args, placeholders).into());
    }
    Ok(statement)
}

/// Whether SQLite's count of direct changes is that of the rows that a run of the statement changed. For a statement of
/// another kind, and before the end of a run, it is that of an earlier one.
fn counts_rows(template: &Template, statement: &Statement<'_>) -> bool {
    matches!(template.verb(), Verb::Insert | Verb::Update | Verb::Delete | Verb::Replace) && !statement.readonly()
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
        let mut out = Output::new(Some(reply), limits);
        let ran = self.step_all(&request, &mut out);
        self.inserts.stop();
        let result = match ran {
            Ok(Some(result)) => Ok(result),
            Ok(None) => return out.needs_permit(request),
            Err(failure) => Err(self.failed(failure, &request)),
        };
        out.deliver(result)
    }

    /// The error of a failed statement.
    pub(crate) fn failed(&mut self, failure: Failure, request: &Request) -> Error {
        match failure {
            Failure::Ours(error) => error,
            Failure::Sqlite(error, stage) => self.error(error, stage, about(request)),
        }
    }

    /// `None`: it is not its turn, or not for its caller's thread.
    pub(crate) fn step_all(&mut self, request: &Request, out: &mut Output<'_>) -> Result<Option<ExecResult>, Failure> {
        self.altered |= alters_session(request.template.class());
        let (lacks_permit, decimals) = (self.lacks_permit(), self.decimals());
        let keep = self.keeps_statements() && request.prepared;
        let Self { connection, known, inserts, watch, .. } = self;
        let connection = connection.as_ref().expect("the connection is only away while `lend` runs");
        let before = if keep { find(known, &request.sql) } else { None };
        let start = match out.here {
            Some(Budget { now, within, .. }) => {
                if !before.as_ref().is_some_and(|known| known.is_short(within)) {
                    return Ok(None);
                }
                watch.enter(now, within);
                now
            }
            None => out.begun.unwrap_or_else(Instant::now),
        };
        if let (Some(sink), Some(known)) = (&mut out.live, &before) {
            sink.expect(known.rows());
        }
        out.handed = Some(start);
        let mut learnt = Learnt { before, new: None, seen: false };
        let mut statement = prepare(connection, &request.sql, &request.template, request.args.len(), keep)?;
        let reads = statement.readonly();
        if lacks_permit && (!reads || surely_writes(request.template.class())) {
            return Ok(None);
        }
        bind(&mut statement, &request.args, decimals)?;
        inserts.watch(&request.template);
        let has_columns = statement.column_count() > 0;
        let mut flow = Flow::Continue;
        let mut count = 0;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(running)? {
            if watch.is_cancelled() {
                return Err(cancelled().into());
            }
            count += 1;
            if !request.wants_rows {
                continue;
            }
            let columns = learnt.of(row.as_ref()).columns();
            if let Some(sink) = &mut out.live {
                // What nobody wants is run all the same: it may fail.
                if flow == Flow::Continue {
                    flow = sink.row(RowRef::live(columns, &Live(row)))?;
                }
                continue;
            }
            if out.rows.current.is_none() {
                out.rows.current = Some(Batch::new(Arc::clone(columns)));
            }
            // Rows of RETURNING wait: the statement must not stay half done while somebody reads.
            if !out.push(row, reads)? {
                break;
            }
        }
        drop(rows);
        if out.overran {
            return Ok(None);
        }
        let known = learnt.of(&statement);
        if has_columns && request.wants_rows && out.live.is_none() && out.is_empty() {
            out.rows.current = Some(Batch::new(Arc::clone(known.columns())));
        }
        let affected = if counts_rows(&request.template, &statement) { connection.changes() } else { 0 };
        let id = inserts.id(connection, affected);
        out.time = match out.here {
            // What SQLite has not looked at once was as short as it gets.
            Some(Budget { is_timed: false, .. }) if !watch.has_looked() => None,
            // A stream takes as long as its reader.
            _ => Some(if out.feed.is_some() { STOPPED } else { start.elapsed() }),
        };
        match out.time {
            Some(time) => known.took(time),
            None => known.was_quick(),
        }
        known.gave(count);
        if keep && reads && may_run_here(&request.template) {
            known.ask(connection, &request.sql);
        }
        drop(statement);
        if let Some(new) = learnt.new
            && keep
        {
            self.known.insert(Arc::clone(&request.sql), new);
        }
        Ok(Some(ExecResult::new(affected, id)))
    }

    /// Runs statements that write, one after the other, and counts the rows. `None`: it is not their turn.
    ///
    /// The error carries its index among these rows.
    pub(crate) fn run_many(&mut self, bulk: &Bulk, permit: Option<Held>) -> Result<Option<u64>> {
        if permit.is_some() {
            self.held = permit;
        }
        if self.lacks_permit() {
            return Ok(None);
        }
        // A call for each row, for ids that nobody asks for here.
        self.watch_inserts(false);
        let (mut total, mut index) = (0, 0);
        let mut left = &*bulk.args;
        let ran = bulk.runs.iter().try_for_each(|run| {
            let (args, rest) = left.split_at(run.rows * run.width);
            left = rest;
            self.many(run, args, bulk, &mut index, &mut total).map_err(|failure| (failure, run))
        });
        self.watch_inserts(true);
        match ran {
            Ok(()) => Ok(Some(total)),
            Err((failure, run)) => {
                let error = match failure {
                    Failure::Ours(error) => error,
                    Failure::Sqlite(error, stage) => {
                        self.error(error, stage, About { sql: &run.sql, table: bulk.template.target_table() })
                    }
                };
                Err(error.with_batch_index(index))
            }
        }
    }

    fn many(&self, run: &Run, args: &[Arg], bulk: &Bulk, index: &mut usize, total: &mut u64) -> Result<(), Failure> {
        let (connection, decimals) = (self.connection(), self.decimals());
        let keep = bulk.prepared && self.keeps_statements();
        let mut statement = prepare(connection, &run.sql, &bulk.template, run.width, keep)?;
        let counts = counts_rows(&bulk.template, &statement);
        for row in 0..run.rows {
            if self.is_cancelled() {
                return Err(cancelled().into());
            }
            bind(&mut statement, &args[row * run.width..][..run.width], decimals)?;
            let mut rows = statement.raw_query();
            while rows.next().map_err(running)?.is_some() {}
            drop(rows);
            if counts {
                *total += connection.changes();
            }
            *index += 1;
        }
        Ok(())
    }

    /// Runs a script, which may alter the session. `false`: it is not its turn, and only statements that read have run.
    pub(crate) fn run_script(&mut self, sql: &str, alters: bool, permit: Option<Held>) -> Result<bool> {
        self.altered |= alters;
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
        while let Some(mut statement) = statements.next().map_err(|error| preparing(in_script(error, sql)))? {
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

/// The error of a statement with its place in the whole script.
fn in_script(mut error: rusqlite::Error, script: &str) -> rusqlite::Error {
    // What SQLite was given is the script from this statement on.
    if let rusqlite::Error::SqlInputError { sql, offset, .. } = &mut error
        && let Ok(within) = usize::try_from(*offset)
    {
        *offset = i32::try_from(script.len() - sql.len() + within).unwrap_or(-1);
    }
    error
}

/// Whether a statement reads, and in a way whose instructions tell how long it takes.
pub(crate) fn may_run_here(template: &Template) -> bool {
    template.class() == StatementClass::Read && matches!(template.verb(), Verb::Select | Verb::Values)
}

fn bind(statement: &mut Statement<'_>, args: &[Arg], decimals: Decimals) -> Result<(), Failure> {
    for (ordinal, arg) in (1..).zip(args) {
        // What is most frequent first, and on the shortest way.
        let bound = match &arg.value {
            Value::Int(value) => statement.raw_bind_parameter(ordinal, *value),
            Value::Text(value) => statement.raw_bind_parameter(ordinal, &**value),
            value => statement.raw_bind_parameter(ordinal, to_sqlite(value, decimals, ordinal)?),
        };
        bound.map_err(running)?;
    }
    Ok(())
}

/// What is known of a text.
pub(crate) fn find<'k>(known: &'k mut LruCache<Arc<str>, Known>, sql: &Arc<str>) -> Option<&'k mut Known> {
    // The text of the last run needs no hash.
    let is_last = known.iter().next_back().is_some_and(|(last, _)| Arc::ptr_eq(last, sql));
    if is_last { known.iter_mut().next_back().map(|(_, known)| known) } else { known.get_mut(&**sql) }
}

/// What was known of a text before this run of it, or what this run tells.
struct Learnt<'k> {
    before: Option<&'k mut Known>,
    new: Option<Known>,
    /// Whether it was compared with this run.
    seen: bool,
}

impl Learnt<'_> {
    /// What is known now that the statement was stepped.
    fn of(&mut self, statement: &Statement<'_>) -> &mut Known {
        match &mut self.before {
            Some(known) => {
                if !self.seen {
                    known.see(statement);
                    self.seen = true;
                }
                known
            }
            None => self.new.get_or_insert_with(|| Known::new(statement)),
        }
    }
}

pub(crate) fn about(request: &Request) -> About<'_> {
    About { sql: &request.sql, table: request.template.target_table() }
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the call was dropped")
}

/// Where the rows of a statement go.
pub(crate) struct Output<'s> {
    reply: Option<oneshot::Sender<Outcome>>,
    feed: Option<Feed>,
    rows: Rows,
    limits: Limits,
    /// On the thread of the caller, who has so much time and takes at most one batch.
    here: Option<Budget>,
    /// When the statement began, if that was looked at before.
    pub(crate) begun: Option<Instant>,
    /// When rows were last handed over, or the statement began.
    handed: Option<Instant>,
    /// Takes the rows where they stand.
    live: Option<&'s mut dyn LiveSink>,
    /// And these were more.
    pub(crate) overran: bool,
    /// How long the statement took, if that was looked at.
    pub(crate) time: Option<Duration>,
}

impl<'s> Output<'s> {
    /// To somebody who waits for it. Without `reply` the rows are kept.
    pub(crate) fn new(reply: Option<oneshot::Sender<Outcome>>, limits: Limits) -> Self {
        Self {
            reply,
            feed: None,
            rows: Rows::default(),
            limits,
            here: None,
            begun: None,
            handed: None,
            live: None,
            overran: false,
            time: None,
        }
    }

    /// For a caller that waits for nothing: to `live`, or one batch within `limits`.
    pub(crate) fn here(limits: Limits, budget: Budget, live: Option<&'s mut dyn LiveSink>) -> Self {
        Self {
            reply: None,
            feed: None,
            rows: Rows::default(),
            limits,
            here: Some(budget),
            begun: None,
            handed: None,
            live,
            overran: false,
            time: None,
        }
    }

    /// The statement did not end, and begins anew elsewhere.
    pub(crate) fn restart(&mut self) {
        if let Some(sink) = &mut self.live {
            sink.restart();
        }
    }

    /// The only batch.
    pub(crate) fn take_batch(&mut self) -> Option<Batch> {
        self.rows.current.take()
    }

    /// What is handed over when the statement is done.
    pub(crate) fn into_reply(self, result: ExecResult) -> Reply {
        let mut batches = self.rows.batches;
        batches.extend(self.rows.current.map(Arc::new));
        Reply { batches, rest: None, result }
    }

    fn is_empty(&self) -> bool {
        self.rows.current.is_none() && self.rows.batches.is_empty() && self.feed.is_none()
    }

    /// Takes a row; `false` if nobody wants more.
    fn push(&mut self, row: &rusqlite::Row<'_>, may_hand_over: bool) -> Result<bool> {
        let Some(batch) = &mut self.rows.current else { return Ok(true) };
        batch.push(row)?;
        let hands_over = may_hand_over && (self.reply.is_some() || self.feed.is_some());
        // The clock is looked at now and then.
        let is_due = hands_over
            && batch.len().is_power_of_two()
            && self.handed.is_some_and(|handed| handed.elapsed() >= PATIENCE);
        if !is_due && !batch.is_full(self.limits) {
            return Ok(true);
        }
        if self.here.is_some() {
            self.overran = true;
            return Ok(false);
        }
        let next = batch.next();
        let full = Arc::new(std::mem::replace(batch, next));
        if !hands_over {
            self.rows.batches.push_back(full);
            return Ok(true);
        }
        let is_wanted = self.hand_over(full);
        self.handed = Some(Instant::now());
        Ok(is_wanted)
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
        if let Some(Feed { batches, end }) = self.feed {
            if let Some(last) = self.rows.current.take().map(Arc::new)
                && result.is_ok()
            {
                let _ = batches.blocking_send(last);
            }
            drop(batches);
            return Box::new(move || drop(end.send(result.map(|_| ()))));
        }
        let sender = self.reply.take();
        let reply = result.map(|result| self.into_reply(result));
        Box::new(move || {
            if let Some(sender) = sender {
                let _ = sender.send(Outcome::Done(reply));
            }
        })
    }
}
