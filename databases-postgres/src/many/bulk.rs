//! Rows of one INSERT in chunks: large ones by COPY, others as `SELECT … FROM unnest(…)`, or VALUES of many rows where a type has
//! no array for it.
//!
//! A savepoint travels with each chunk. If the server refuses one, it is undone and its rows run one by one: an error is
//! about one row, and one INSERT may refuse what many would not (an upsert of its own row).

use std::fmt::Write as _;
use std::sync::Arc;

use databases_core::backend::Request;
use databases_core::sql::{Dialect, InsertItem, InsertRow, Template};
use databases_core::{Error, ErrorKind, Result};
use tokio_postgres::types::{Kind, Type};

use super::copy::{CopyWay, Fits, LEAST_VALUES};
use super::table::{self, IS_PLAIN};
use super::window::{Params, Window, sent};
use super::{Done, Feed};
use crate::cache::Prepared;
use crate::connection::{PgConnection, affected};
use crate::encode::{MAX_MESSAGE_BYTES, MAX_PARAMETERS, Ready, Rows};

/// The last one goes with the transaction or savepoint that the caller has opened for the batch.
const MARK: &str = "SAVEPOINT _databases_many";
const MARK_AGAIN: &str = "RELEASE SAVEPOINT _databases_many; SAVEPOINT _databases_many";
const UNDO: &str = "ROLLBACK TO SAVEPOINT _databases_many";

/// How many rows, and bytes of them, a chunk has at most.
const CHUNK_ROWS: usize = 10_000;
const CHUNK_BYTES: usize = 1 << 20;
/// How many rows of VALUES a statement has at most. Fewer are in powers of two, so that there are few texts.
const VALUES_ROWS: usize = 512;

/// One INSERT whose rows may be sent many at a time.
pub(super) struct Bulk<'a> {
    connection: &'a PgConnection,
    template: Arc<Template>,
    prepared: Arc<Prepared>,
    keep: bool,
    /// The statement that takes a column as an array.
    unnest: Option<Arc<Prepared>>,
    /// The question about the table, which goes with each chunk until one is done: its locks keep the table as it is.
    look: Option<Arc<Prepared>>,
    /// Whether there is a savepoint.
    marked: bool,
    /// The COPY that was found to be the same; the lock of the row before it keeps the table as it is.
    copy: Option<CopyWay>,
}

/// What the server says to a chunk.
enum Answer {
    Done(u64),
    /// Nothing of it was done.
    Undone,
}

impl<'a> Bulk<'a> {
    /// `None` if the rows of `request`, for which `prepared` stands, have to go one by one.
    pub(super) async fn of(
        connection: &'a PgConnection,
        request: &Request,
        prepared: &Arc<Prepared>,
    ) -> Result<Option<Self>> {
        let Some(row) = request.template.insert_row() else { return Ok(None) };
        if *row.sql() != request.sql || row.parameters() != prepared.params.len() {
            return Ok(None);
        }
        if prepared.table.is_plain() == Some(false) {
            return Ok(None);
        }
        let keep = request.prepared;
        let Some(look) = connection.prepare_ours(&IS_PLAIN.into(), vec![Type::TEXT], keep).await? else {
            prepared.table.set_plain(false);
            return Ok(None);
        };
        let (template, prepared) = (request.template.clone(), prepared.clone());
        let mut bulk =
            Self { connection, template, prepared, keep, unnest: None, look: Some(look), marked: false, copy: None };
        // Only a table that was plain is sent rows to before the answer is there.
        if bulk.prepared.table.is_plain().is_none() && !bulk.look_first(row).await? {
            return Ok(None);
        }
        bulk.unnest = bulk.prepare_unnest(row).await?;
        Ok(Some(bulk))
    }

    async fn look_first(&mut self, row: &InsertRow) -> Result<bool> {
        let answer = self.send(row, Vec::new(), None).await?;
        if matches!(answer, Answer::Undone) {
            self.prepared.table.set_plain(false);
        }
        Ok(matches!(answer, Answer::Done(_)))
    }

    /// The statement with an array for each parameter; `None` if one is of a type that has none, or none that unnests to it.
    async fn prepare_unnest(&self, row: &InsertRow) -> Result<Option<Arc<Prepared>>> {
        let params = &self.prepared.params;
        let has_array = |ty: &Type| match ty.kind() {
            Kind::Simple | Kind::Enum(_) | Kind::Range(_) | Kind::Multirange(_) => *ty != Type::UNKNOWN,
            _ => false,
        };
        if !params.iter().all(|param| has_array(&param.ty) && !param.codec.is_text()) {
            return Ok(None);
        }
        let types = params.iter().map(|param| &param.ty);
        let Some(sql) = unnest_text(row, types) else { return Ok(None) };
        let prepared = self.connection.prepare_ours(&sql.into(), Vec::new(), self.keep).await?;
        let suits = |prepared: &Arc<Prepared>| {
            prepared.params.len() == params.len()
                && prepared.params.iter().zip(params).all(|(array, param)| match array.ty.kind() {
                    Kind::Array(item) => *item == param.ty,
                    _ => false,
                })
        };
        Ok(prepared.filter(suits))
    }

    /// Runs `first` and the requests behind it that share its statement.
    pub(super) async fn run(mut self, first: Request, feed: &mut Feed<'_>, mut index: usize) -> Result<Done> {
        let template = self.template.clone();
        let row = template.insert_row().expect("a bulk is made of an INSERT of one row");
        let mut rows = Rows::new(self.prepared.params.len());
        // The server was told no types, so those of its columns are all that values have to fit.
        let plain = self.prepared.types.is_empty();
        let (mut done, mut request, mut more) = (0, first, Ok(true));
        loop {
            rows.clear();
            // A row that does not fit is told behind those before it, which may not either, or its statement is prepared again.
            let mut refused = false;
            while matches!(more, Ok(true)) {
                let full = rows.len() == CHUNK_ROWS || rows.bytes() >= CHUNK_BYTES;
                if full || !same_text(row, &request) {
                    break;
                }
                if plain && rows.push_plain(&request.args, &self.prepared.params) {
                    more = feed.next_into(&mut request, index + rows.len());
                    continue;
                }
                if !self.prepared.serves(&request.args) {
                    break;
                }
                if self.prepared.encode_row(&request.args, &self.connection.session, &mut rows).is_err() {
                    refused = true;
                    break;
                }
                more = feed.next_into(&mut request, index + rows.len());
            }
            done += self.run_chunk(row, &mut rows, index).await?;
            index += rows.len();
            if !more? {
                return Ok(Done { affected: done, index, next: None });
            }
            more = Ok(true);
            if refused || !same_text(row, &request) || !self.prepared.serves(&request.args) {
                return Ok(Done { affected: done, index, next: Some(request) });
            }
        }
    }

    async fn run_chunk(&mut self, row: &InsertRow, rows: &mut Rows, index: usize) -> Result<u64> {
        let one_by_one = rows.len() <= super::FEW_ROWS || rows.bytes() > MAX_MESSAGE_BYTES / 2;
        if one_by_one || self.prepared.table.is_plain() == Some(false) {
            return self.one_by_one(rows, index).await;
        }
        if rows.len() * self.prepared.params.len() >= LEAST_VALUES && rows.is_binary() {
            match self.copy(row, rows).await? {
                Some(Answer::Done(done)) => return Ok(done),
                Some(Answer::Undone) => return self.one_by_one(rows, index).await,
                None => {}
            }
        }
        let unnest = self.unnest.clone();
        let arrays = match &unnest {
            Some(unnest) => rows.arrays(&self.prepared.params).map(|arrays| vec![(unnest.clone(), arrays)]),
            None => None,
        };
        let statements = match arrays {
            Some(arrays) => Some(arrays),
            None => self.values(row, rows).await?,
        };
        if let Some(statements) = statements
            && let Answer::Done(done) = self.send(row, statements, None).await?
        {
            return Ok(done);
        }
        self.one_by_one(rows, index).await
    }

    /// Copies the rows; `None`, with nothing done, if they cannot go so. The first chunk's first goes by itself, see [`CopyWay`].
    async fn copy(&mut self, row: &InsertRow, rows: &Rows) -> Result<Option<Answer>> {
        let (mut iter, is_first, look) = (rows.iter(), self.copy.is_none(), self.look.clone());
        if is_first {
            if !self.prepared.table.may_copy() {
                return Ok(None);
            }
            let Some(fits) = Fits::of(self.connection, row, &self.prepared, self.keep).await? else {
                self.prepared.table.set_copied(false);
                return Ok(None);
            };
            let mut params = Vec::with_capacity(self.prepared.params.len());
            iter.next_into(&mut params);
            let first = vec![(self.prepared.clone(), params)];
            let mut into = None;
            let Answer::Done(_) = self.send(row, first, Some((&fits, &mut into))).await? else {
                return Ok(self.prepared.table.may_copy().then_some(Answer::Undone));
            };
            let way = CopyWay::of(self.connection, row, &into.unwrap_or_default(), self.keep).await?;
            let Some(way) = way else {
                self.prepared.table.set_copied(false);
                self.undo_first(look).await?;
                return Ok(None);
            };
            self.copy = Some(way);
        }
        let Some(way) = &self.copy else { return Ok(None) };
        let wanted = rows.len() - usize::from(is_first);
        let copied = way.run(self.connection, iter, (!is_first).then_some(MARK_AGAIN)).await;
        match copied {
            Ok(copied) if usize::try_from(copied) == Ok(wanted) => {
                return Ok(Some(Answer::Done(copied + u64::from(is_first))));
            }
            Err(error) if self.connection.session.is_over() || ends_all(&error) => return Err(error),
            _ => {}
        }
        if is_first {
            self.undo_first(look).await?;
        } else {
            self.connection.simple(UNDO).await?;
        }
        Ok(Some(Answer::Undone))
    }

    /// Undoes the first rows of all. That gives up their lock, so what was found of the table may change.
    async fn undo_first(&mut self, look: Option<Arc<Prepared>>) -> Result<()> {
        (self.copy, self.look) = (None, look);
        self.connection.simple(UNDO).await
    }

    /// Statements of VALUES for all rows; `None` if one cannot be prepared.
    async fn values<'r>(
        &self,
        row: &InsertRow,
        rows: &'r Rows,
    ) -> Result<Option<Vec<(Arc<Prepared>, Vec<Ready<'r>>)>>> {
        let most = (MAX_PARAMETERS / row.parameters()).clamp(1, VALUES_ROWS);
        let (mut statements, mut iter, mut left) = (Vec::new(), rows.iter(), rows.len());
        while left > 0 {
            let count = 1 << most.min(left).ilog2();
            let types =
                std::iter::repeat_n(&self.prepared.params, count).flatten().map(|param| param.ty.clone()).collect();
            let sql = row.repeated(count).into();
            let Some(prepared) = self.connection.prepare_ours(&sql, types, self.keep).await? else { return Ok(None) };
            let mut params = Vec::with_capacity(count * row.parameters());
            (0..count).for_each(|_| iter.next_into(&mut params));
            statements.push((prepared, params));
            left -= count;
        }
        Ok(Some(statements))
    }

    /// Sends `statements` behind a savepoint, and the question about the table with them; without any, only the question. The table that
    /// a COPY fits is asked for behind them, under their locks.
    async fn send(
        &mut self,
        row: &InsertRow,
        statements: Vec<(Arc<Prepared>, Vec<Ready<'_>>)>,
        copy: Option<(&Fits, &mut Option<String>)>,
    ) -> Result<Answer> {
        let session = &self.connection.session;
        let client = self.connection.client().await?;
        let mut op = session.op();
        op.sending();
        let (look, has_rows) = (self.look.clone(), !statements.is_empty());
        let mark = if std::mem::replace(&mut self.marked, true) { MARK_AGAIN } else { MARK };
        let marked = sent(client.batch_execute(mark)).await;
        let plain = match &look {
            Some(look) => Some(sent(table::is_plain(&client, look, row.table())).await),
            None => None,
        };
        let mut inserts = Vec::with_capacity(statements.len());
        for (prepared, params) in statements {
            let client = &client;
            inserts.push(sent(async move { client.execute_raw(&prepared.statement, params).await }).await);
        }
        let fits = match copy {
            Some((fits, into)) => Some((sent(fits.ask(&client)).await, into)),
            None => None,
        };
        // Every answer is read, whatever the ones before it are.
        let (mut done, mut is_plain) = (0, true);
        let mut failed = marked.await.err();
        if let Some(plain) = plain {
            match plain.await {
                Ok(plain) => is_plain = plain,
                Err(error) => failed = failed.or(Some(error)),
            }
            self.prepared.table.set_plain(is_plain && failed.is_none());
        }
        for insert in inserts {
            match insert.await {
                Ok(rows) => done += rows,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let mut is_taken = true;
        if let Some((fits, into)) = fits {
            match fits.await {
                Ok(table) => {
                    is_taken = table.is_some();
                    self.prepared.table.set_copied(is_taken);
                    *into = table;
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let outcome = match failed {
            None if is_plain && is_taken => Ok(Answer::Done(affected(self.template.verb(), done))),
            None => Ok(Answer::Undone),
            Some(error) => {
                let error = session.fail(error, None).await;
                if session.guard.is_closed() || ends_all(&error) { Err(error) } else { Ok(Answer::Undone) }
            }
        };
        let outcome = match outcome {
            Ok(Answer::Undone) => match client.batch_execute(UNDO).await {
                Ok(()) => Ok(Answer::Undone),
                Err(error) => Err(session.fail(error, Some(UNDO)).await),
            },
            outcome => outcome,
        };
        if has_rows && matches!(outcome, Ok(Answer::Done(_))) {
            self.look = None;
        }
        op.finish();
        outcome
    }

    async fn one_by_one(&self, rows: &Rows, index: usize) -> Result<u64> {
        let session = &self.connection.session;
        let client = self.connection.client().await?;
        let mut op = session.op();
        op.sending();
        let sql = self.template.insert_row().map(|row| row.sql().clone()).unwrap_or_default();
        let mut window = Window::new(&client, session, sql, index);
        let run = async {
            let mut iter = rows.iter();
            for _ in 0..rows.len() {
                let mut params = Vec::with_capacity(self.prepared.params.len());
                iter.next_into(&mut params);
                window.push(&self.prepared, Params::Borrowed(params)).await?;
            }
            window.drain().await
        };
        let outcome = run.await;
        op.finish();
        let (affected, stale) = (affected(self.template.verb(), window.rows), window.stale);
        drop(window);
        drop(client);
        if stale && let Some(row) = self.template.insert_row() {
            self.connection.forget(row.sql()).await;
        }
        outcome.map(|()| affected)
    }
}

/// Whether it would make no sense to run the rows one by one.
fn ends_all(error: &Error) -> bool {
    error.is_disconnected() || error.kind() == ErrorKind::Cancelled
}

/// Whether a request has the text of the rows.
fn same_text(row: &InsertRow, request: &Request) -> bool {
    Arc::ptr_eq(row.sql(), &request.sql) || *row.sql() == request.sql
}

/// The text that takes a column of each of `types` as an array; `None` if a value is no parameter, or a type has a name
/// that cannot be written.
fn unnest_text<'t>(row: &InsertRow, types: impl Iterator<Item = &'t Type>) -> Option<String> {
    let mut text = format!("{}SELECT ", row.head());
    for (at, item) in row.items().iter().enumerate() {
        let InsertItem::Parameter(index) = item else { return None };
        let comma = if at == 0 { "" } else { ", " };
        _ = write!(text, "{comma}_{}", index + 1);
    }
    text.push_str(" FROM unnest(");
    let mut names = String::new();
    for (index, ty) in types.enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        _ = write!(text, "{comma}${}::", index + 1);
        Dialect::POSTGRES.push_identifier(&mut text, ty.schema()).ok()?;
        text.push('.');
        Dialect::POSTGRES.push_identifier(&mut text, ty.name()).ok()?;
        text.push_str("[]");
        _ = write!(names, "{comma}_{}", index + 1);
    }
    _ = write!(text, ") AS _databases({names})");
    text.push_str(row.tail());
    Some(text)
}

#[cfg(test)]
mod tests {
    use databases_core::sql::scan;

    use super::*;

    #[test]
    fn columns_are_taken_as_arrays() {
        let text = |sql: &str, types: &[Type]| {
            let template = scan(sql, Dialect::POSTGRES).unwrap();
            unnest_text(template.insert_row().unwrap(), types.iter())
        };
        assert_eq!(
            text("INSERT INTO t (a, b, c) VALUES (:x, :y, :x) ON CONFLICT DO NOTHING", &[Type::INT8, Type::CHAR])
                .unwrap(),
            "INSERT INTO t (a, b, c) SELECT _1, _2, _1 FROM \
             unnest($1::\"pg_catalog\".\"int8\"[], $2::\"pg_catalog\".\"char\"[]) AS _databases(_1, _2) ON CONFLICT DO NOTHING"
        );
        assert_eq!(text("INSERT INTO t VALUES (:x, 1)", &[Type::INT8]), None);
    }
}
