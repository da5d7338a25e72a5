//! Many executions of one statement: several rows in one INSERT where that means the same, else one by one.
//!
//! The server takes the rows of one INSERT in turn, with their triggers and foreign keys, so it means the same as one
//! INSERT for each but for four things, which are looked after here:
//!
//! - Without strict mode, or beyond the first row into a table that knows no transactions, values are bent to fit where
//!   a single row is an error.
//! - Ids are taken for all rows before the first, so rows that bring their id are not mixed with rows that want one.
//! - `LAST_INSERT_ID()` is then the id of the first of the rows, so the last row that wants an id goes alone. (Where that
//!   row of an upsert is there already, it stays the first id of a statement before it.)
//! - An error is about the whole statement. InnoDB has undone it then, and its rows run again one by one to find the one
//!   that it is about.
//!
//! <https://dev.mysql.com/doc/refman/9.4/en/insert.html>, <https://dev.mysql.com/doc/refman/9.4/en/innodb-auto-increment-handling.html>

use std::collections::HashMap;
use std::sync::Arc;

use databases_core::backend::{Request, Requests};
use databases_core::sql::{InsertItem, InsertRow, Template};
use databases_core::{Error, ErrorKind, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value};

use super::Session;
use crate::connection::TakeAll;
use crate::keys::{LookUp, Target, unquoted};
use crate::tables::Table;
use crate::types;

/// How many rows a statement has at most.
const MOST_ROWS: usize = 1024;
/// How many parameters the protocol counts.
const MOST_PARAMETERS: usize = 65_535;
/// How many bytes of values, or of text, a statement of several rows has at most.
const MOST_BYTES: u64 = 1 << 20;
/// So few rows are not worth a statement of their own, and a look at the table.
const FEW_ROWS: usize = 8;

/// Rows that were pulled and are not sent yet.
#[derive(Default)]
struct Pending {
    rows: Vec<Vec<Value>>,
    bytes: u64,
}

/// How one INSERT is sent for several rows.
struct Bulk<'a> {
    row: &'a InsertRow,
    /// Whether the table has an AUTO_INCREMENT column.
    has_ids: bool,
    /// The parameter of that column.
    counted: Option<usize>,
    most_rows: usize,
    texts: HashMap<usize, Arc<str>>,
}

impl Session {
    /// Runs the requests in order; see [`databases_core::backend::BackendConnection::run_many`].
    pub(crate) async fn run_many(&mut self, requests: &mut dyn Requests) -> Result<u64> {
        let (mut sum, mut index) = (0, 0);
        let mut next = pull(requests, index)?;
        while let Some(request) = next.take() {
            let template = request.template.clone();
            let row = template.insert_row().filter(|row| same(row.sql(), &request.sql));
            match row {
                Some(row) => {
                    let done = self.run_rows(row, request, requests, index).await?;
                    sum += done.affected;
                    index = done.index;
                    next = done.next;
                }
                None => {
                    let done = self.execute(request, &mut TakeAll::new(None)).await;
                    sum += done.map_err(|error| at(error, index))?.rows_affected();
                    index += 1;
                    next = pull(requests, index)?;
                }
            }
        }
        Ok(sum)
    }

    /// Runs `first` and the requests behind it that have the same text.
    async fn run_rows(
        &mut self,
        row: &InsertRow,
        first: Request,
        requests: &mut dyn Requests,
        mut index: usize,
    ) -> Result<Done> {
        let (template, prepared) = (first.template.clone(), first.prepared);
        let most_bytes = (self.max_packet / 2).min(MOST_BYTES);
        let texts = usize::try_from(most_bytes).unwrap_or(usize::MAX).saturating_sub(row.sql().len()) / row.row_bytes();
        let most_rows = (MOST_PARAMETERS / row.parameters()).min(texts).clamp(1, MOST_ROWS);
        let mut bulk = Bulk { row, has_ids: false, counted: None, most_rows, texts: HashMap::new() };
        let (mut affected, mut is_plain) = (0, None);
        let mut next = Ok(Some(first));
        loop {
            // What ends the batch, the text or a row that is no value of the server's, is told behind the rows before it.
            let mut pending = Pending::default();
            while let Ok(Some(request)) = &mut next {
                if pending.rows.len() == bulk.most_rows || !same(row.sql(), &request.sql) {
                    break;
                }
                match types::bind(std::mem::take(&mut request.args), self.is_mysql) {
                    Ok(values) => {
                        let bytes: u64 = values.iter().map(|value| value.bin_len() + 3).sum();
                        pending.bytes += bytes;
                        pending.rows.push(values);
                    }
                    Err(error) => {
                        next = Err(error.with_batch_index(index + pending.rows.len()));
                        break;
                    }
                }
                next = pull(requests, index + pending.rows.len());
                if pending.bytes >= most_bytes {
                    break;
                }
            }
            let rows = pending.rows.len();
            if rows > FEW_ROWS && is_plain.is_none() {
                is_plain = Some(self.is_plain(&template, &mut bulk).await?);
            }
            affected += if is_plain == Some(true) && rows > FEW_ROWS {
                let last_id = bulk.last_id(&pending.rows, &next).map(|last| index + last);
                self.send_pending(&mut bulk, &template, prepared, pending, index, last_id).await?
            } else {
                self.one_by_one(&bulk, &template, prepared, pending.rows, index).await?
            };
            index += rows;
            match next {
                Ok(Some(ref request)) if same(row.sql(), &request.sql) => {}
                next => return Ok(Done { affected, index, next: next? }),
            }
        }
    }

    /// Sends rows, many in a statement but for that of the index `last_id`.
    async fn send_pending(
        &mut self,
        bulk: &mut Bulk<'_>,
        template: &Arc<Template>,
        prepared: bool,
        pending: Pending,
        mut index: usize,
        last_id: Option<usize>,
    ) -> Result<u64> {
        let mut affected = 0;
        let mut rows = pending.rows.into_iter().peekable();
        while let Some(first) = rows.peek() {
            let brings_id = bulk.brings_id(first);
            let mut alike = Vec::new();
            while let Some(row) = rows.next_if(|row| bulk.brings_id(row) == brings_id) {
                alike.push(row);
            }
            while !alike.is_empty() {
                let ends_alone = last_id == Some(index + alike.len() - 1) && alike.len() > 1;
                let together = alike.len() - usize::from(ends_alone);
                let count = if together >= bulk.most_rows { bulk.most_rows } else { 1 << together.ilog2() };
                let rest = alike.split_off(count);
                affected += self.send_rows(bulk, template, prepared, alike, index).await?;
                index += count;
                alike = rest;
            }
        }
        Ok(affected)
    }

    /// Sends `rows` in one statement.
    async fn send_rows(
        &mut self,
        bulk: &mut Bulk<'_>,
        template: &Arc<Template>,
        prepared: bool,
        rows: Vec<Vec<Value>>,
        index: usize,
    ) -> Result<u64> {
        if let [_] = &*rows {
            return self.one_by_one(bulk, template, prepared, rows, index).await;
        }
        let (row, count) = (bulk.row, rows.len());
        let text = bulk.texts.entry(count).or_insert_with(|| row.repeated(count).into()).clone();
        let values = rows.iter().flatten().cloned().collect();
        let done = self.execute_values(text, values, template.clone(), prepared, &mut TakeAll::new(None)).await;
        match done {
            Ok(done) => Ok(done.rows_affected()),
            // The transaction is over, or somebody wants it to be.
            Err(error) if error.kind() == ErrorKind::Cancelled || !self.shared.in_transaction() => Err(error),
            Err(error) if error.is_disconnected() || self.shared.is_broken() => Err(error),
            Err(_) => self.one_by_one(bulk, template, prepared, rows, index).await,
        }
    }

    async fn one_by_one(
        &mut self,
        bulk: &Bulk<'_>,
        template: &Arc<Template>,
        prepared: bool,
        rows: Vec<Vec<Value>>,
        index: usize,
    ) -> Result<u64> {
        let mut affected = 0;
        for (offset, values) in rows.into_iter().enumerate() {
            let (sql, template) = (bulk.row.sql().clone(), template.clone());
            let done = self.execute_values(sql, values, template, prepared, &mut TakeAll::new(None)).await;
            affected += done.map_err(|error| at(error, index + offset))?.rows_affected();
        }
        Ok(affected)
    }

    /// Whether several rows in one statement are what they are one by one; notes the AUTO_INCREMENT column.
    async fn is_plain(&mut self, template: &Template, bulk: &mut Bulk<'_>) -> Result<bool> {
        self.refresh_if_stale().await?;
        let Some(target) = Target::of(template) else { return Ok(false) };
        if !self.shared.is_strict() || !self.keys.is_told(&target.table) {
            return Ok(false);
        }
        let table = match self.keys.tables.get(&target) {
            Some(table) => table,
            None => {
                let table = self.look_at(&target).await;
                self.keys.tables.insert(target, table.clone());
                table
            }
        };
        let Some(table) = table else { return Ok(false) };
        bulk.has_ids = table.counted.is_some();
        let place = table.counted.and_then(|(name, index)| match bulk.row.columns() {
            Some(mut columns) => columns.position(|column| unquoted(column).eq_ignore_ascii_case(&name)),
            None => Some(index),
        });
        bulk.counted = place.and_then(|place| match bulk.row.items().get(place) {
            Some(InsertItem::Parameter(index)) => Some(*index),
            _ => None,
        });
        Ok(true)
    }

    /// Asks for the table's engine and AUTO_INCREMENT column; `None` if it is not one of InnoDB, or cannot be told.
    async fn look_at(&mut self, target: &Target) -> Option<Table> {
        match self.ask_table(target).await {
            Ok(table) => {
                self.observe();
                table
            }
            Err(fault) => {
                self.give_up_looking(&fault).await;
                None
            }
        }
    }

    async fn ask_table(&mut self, target: &Target) -> mysql_async::Result<Option<Table>> {
        let sql = LookUp::bounded(
            self.is_mysql,
            "engine, (SELECT column_name FROM information_schema.columns WHERE table_schema = COALESCE(?, DATABASE()) \
             AND table_name = ? AND extra LIKE '%auto_increment%'), \
             (SELECT ordinal_position FROM information_schema.columns WHERE table_schema = COALESCE(?, DATABASE()) \
             AND table_name = ? AND extra LIKE '%auto_increment%') \
             FROM information_schema.tables WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? LIMIT 2",
        );
        let place = [target.schema.as_deref().map_or(Value::NULL, Value::from), target.table.as_str().into()];
        let conn = self.conn()?;
        let statement = conn.prep(sql).await?;
        let params = Params::Positional([&place[..], &place, &place].concat());
        let rows = conn.exec::<mysql_async::Row, _, _>(&statement, params).await;
        if rows.is_ok() || !conn.is_disconnected() {
            conn.close(statement).await?;
        }
        let rows = rows?;
        // Two, where letter case tells tables apart.
        let [row] = &*rows else { return Ok(None) };
        let text = |index: usize| row.get_opt::<String, _>(index).and_then(std::result::Result::ok);
        if text(0).is_none_or(|engine| !engine.eq_ignore_ascii_case("InnoDB")) {
            return Ok(None);
        }
        let position = row.get_opt::<usize, _>(2).and_then(std::result::Result::ok);
        Ok(Some(Table { counted: text(1).zip(position.and_then(|position| position.checked_sub(1))) }))
    }
}

/// What became of some rows.
struct Done {
    affected: u64,
    /// The index of the row behind them, which was pulled already if there is one.
    index: usize,
    next: Option<Request>,
}

impl Bulk<'_> {
    /// The index of the last row that wants an id, unless the `next` one wants one too.
    fn last_id(&self, rows: &[Vec<Value>], next: &Result<Option<Request>>) -> Option<usize> {
        let goes_on = match next {
            Ok(Some(next)) if same(self.row.sql(), &next.sql) => {
                self.counted.is_none_or(|index| next.args.get(index).is_some_and(|arg| arg.value.is_null()))
            }
            _ => false,
        };
        if !self.has_ids || goes_on { None } else { rows.iter().rposition(|row| !self.brings_id(row)) }
    }

    /// Whether a row says which id it gets.
    fn brings_id(&self, row: &[Value]) -> bool {
        match self.counted.and_then(|index| row.get(index)) {
            None | Some(Value::NULL) => false,
            Some(Value::Int(id)) => *id != 0,
            Some(Value::UInt(id)) => *id != 0,
            Some(Value::Bytes(text)) => text.iter().any(|digit| matches!(digit, b'1'..=b'9')),
            Some(_) => true,
        }
    }
}

/// Whether two texts are one.
fn same(a: &Arc<str>, b: &Arc<str>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

fn pull(requests: &mut dyn Requests, index: usize) -> Result<Option<Request>> {
    requests.next().transpose().map_err(|error| at(error, index))
}

fn at(error: Error, index: usize) -> Error {
    if error.batch_index().is_none() { error.with_batch_index(index) } else { error }
}
