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
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use databases_core::backend::{Request, Requests};
use databases_core::sql::{InsertItem, InsertRow, Template};
use databases_core::{Arg, Error, ErrorKind, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value};

use super::Session;
use crate::connection::TakeAll;
use crate::kept::Kept;
use crate::keys::{LookUp, Target, unquoted};
use crate::packet;
use crate::tables::Table;
use crate::types;

/// How many rows a statement has at most. Batches are of round numbers more often than not.
const MOST_ROWS: usize = 1000;
/// How many parameters the protocol counts.
const MOST_PARAMETERS: usize = 65_535;
/// How many bytes of values, or of text, a statement of several rows has at most.
const MOST_BYTES: u64 = 1 << 20;
/// So few rows are not worth a statement of their own, and a look at the table.
const FEW_ROWS: usize = 8;

/// The texts for several rows of the INSERT that was sent last, by how many rows they are for.
#[derive(Default)]
pub(crate) struct Texts {
    row: Option<Arc<str>>,
    several: HashMap<usize, Arc<str>>,
    /// How many rows were left over the last time, which are fewer than a statement has at most.
    rest: usize,
}

impl Texts {
    /// More than the powers of two up to [`MOST_ROWS`], that number, and what was left over.
    const MOST_TEXTS: usize = 16;

    fn of(&mut self, row: &InsertRow, count: usize) -> Arc<str> {
        self.begin(row);
        // Batches whose rows are not all alike are left over in any number.
        if self.several.len() >= Self::MOST_TEXTS && !self.several.contains_key(&count) {
            self.several.clear();
        }
        self.several.entry(count).or_insert_with(|| row.repeated(count).into()).clone()
    }

    fn begin(&mut self, row: &InsertRow) {
        if self.row.as_ref().is_none_or(|last| !same(last, row.sql())) {
            *self = Self { row: Some(row.sql().clone()), ..Self::default() };
        }
    }

    /// How many of `rest` rows go together: all, where as many were left over the last time, since a text for them is used
    /// again then; else a power of two, of which there are few texts.
    fn share(&mut self, row: &InsertRow, rest: usize) -> usize {
        self.begin(row);
        let last = std::mem::replace(&mut self.rest, rest);
        if last == rest {
            return rest;
        }
        if !last.is_power_of_two() {
            self.several.remove(&last);
        }
        1 << rest.ilog2()
    }
}

/// Rows that were pulled and are not sent yet: the values of one behind those of the other.
#[derive(Default)]
struct Pending {
    rows: usize,
    values: Vec<Value>,
    /// How many bytes the values take in a packet at most.
    bytes: u64,
}

impl Pending {
    /// Takes the values of one more row; none if one of them has no form.
    fn push(&mut self, args: Vec<Arg>, is_mysql: bool) -> Result<()> {
        // Type, length, and the longest value that has none.
        const MOST_OVERHEAD: u64 = 13 + 3;
        let before = self.values.len();
        for (index, arg) in args.into_iter().enumerate() {
            let value = match types::bind_one(arg.value, index, is_mysql) {
                Ok(value) => value,
                Err(error) => {
                    self.values.truncate(before);
                    return Err(error);
                }
            };
            self.bytes += MOST_OVERHEAD;
            if let Value::Bytes(bytes) = &value {
                self.bytes += bytes.len() as u64;
            }
            self.values.push(value);
        }
        self.rows += 1;
        Ok(())
    }
}

/// Requests with the text of one INSERT.
struct Feed<'a> {
    requests: &'a mut dyn Requests,
    row: &'a InsertRow,
    is_mysql: bool,
    most_rows: usize,
    most_bytes: u64,
    /// The request behind those that were pulled, if that worked and there is one.
    request: Request,
    more: Result<bool>,
    /// The index of that request.
    index: usize,
    /// How many values there were the last time.
    last_values: usize,
    /// What was pulled while the server was at work.
    ahead: Option<Pending>,
}

impl Feed<'_> {
    /// The next rows, as many as are sent together at most.
    fn pull(&mut self) -> Pending {
        if let Some(ahead) = self.ahead.take() {
            return ahead;
        }
        let mut pending = Pending { values: Vec::with_capacity(self.last_values), ..Pending::default() };
        // What ends the batch, the text or a row that is no value of the server's, is told behind the rows before it.
        while self.goes_on() && pending.rows < self.most_rows && pending.bytes < self.most_bytes {
            let args = std::mem::take(&mut self.request.args);
            if let Err(error) = pending.push(args, self.is_mysql) {
                self.more = Err(error.with_batch_index(self.index));
                break;
            }
            self.index += 1;
            let next = self.requests.next_into(&mut self.request).transpose();
            self.more = next.map(|next| next.is_some()).map_err(|error| at(error, self.index));
        }
        self.last_values = pending.values.len();
        pending
    }

    /// Whether there is a request of the same text.
    fn goes_on(&self) -> bool {
        matches!(self.more, Ok(true)) && is_of(self.row, &self.request)
    }
}

/// How one INSERT is sent for several rows.
struct Bulk<'a> {
    row: &'a InsertRow,
    template: Arc<Template>,
    prepared: bool,
    /// Whether the table has an AUTO_INCREMENT column.
    has_ids: bool,
    /// The parameter of that column.
    counted: Option<usize>,
    most_rows: usize,
}

impl Session {
    /// Runs the requests in order; see [`databases_core::backend::BackendConnection::run_many`].
    pub(crate) async fn run_many(&mut self, requests: &mut dyn Requests) -> Result<u64> {
        let (mut sum, mut index) = (0, 0);
        let mut next = pull(requests, index)?;
        while let Some(request) = next.take() {
            let template = request.template.clone();
            let row = template.insert_row().filter(|row| is_of(row, &request));
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
        let mut bulk = Bulk { row, template, prepared, has_ids: false, counted: None, most_rows };
        let mut feed = Feed {
            requests,
            row,
            is_mysql: self.is_mysql,
            most_rows,
            most_bytes,
            request: first,
            more: Ok(true),
            index,
            last_values: 0,
            ahead: None,
        };
        let (mut affected, mut is_plain) = (0, None);
        loop {
            let pending = feed.pull();
            let rows = pending.rows;
            if rows > FEW_ROWS && is_plain.is_none() {
                is_plain = Some(self.is_plain(&mut bulk).await?);
            }
            affected += if is_plain == Some(true) && rows > FEW_ROWS {
                self.send_pending(&bulk, pending, index, &mut feed).await?
            } else {
                self.one_by_one(&bulk, pending.values, index).await?
            };
            index += rows;
            if feed.ahead.is_none() && !feed.goes_on() {
                let next = feed.more?.then_some(feed.request);
                return Ok(Done { affected, index, next });
            }
        }
    }

    /// Sends rows, many in a statement.
    async fn send_pending(
        &mut self,
        bulk: &Bulk<'_>,
        pending: Pending,
        mut index: usize,
        feed: &mut Feed<'_>,
    ) -> Result<u64> {
        let mut affected = 0;
        let is_small = pending.bytes < feed.most_bytes;
        let counts = bulk.cut(&pending, bulk.last_id(&pending, feed), &mut self.texts);
        // The driver does not give back what it has sent.
        let kept = Kept::copy_of(&pending.values);
        let (mut rest, mut done) = (pending.values, 0);
        for count in counts {
            let behind = rest.split_off(count * bulk.row.parameters());
            let values = std::mem::replace(&mut rest, behind);
            let spare = kept.copies(done);
            done += values.len();
            affected += self.send_rows(bulk, values, spare, is_small, index, feed).await?;
            index += count;
        }
        Ok(affected)
    }

    /// Sends the `values` of rows, which `spare` begins with too, in one statement, and pulls others while the server is at it.
    async fn send_rows(
        &mut self,
        bulk: &Bulk<'_>,
        values: Vec<Value>,
        spare: impl Iterator<Item = Value> + Send,
        is_small: bool,
        index: usize,
        feed: &mut Feed<'_>,
    ) -> Result<u64> {
        let (len, count) = (values.len(), values.len() / bulk.row.parameters());
        if count == 1 {
            return self.one_by_one(bulk, values, index).await;
        }
        let text = self.texts.of(bulk.row, count);
        if !is_small && packet::check(self.max_packet, &text, &values).is_err() {
            return self.one_by_one(bulk, values, index).await;
        }
        let done = {
            let (template, mut take) = (bulk.template.clone(), TakeAll::new(None));
            let mut run = pin!(self.execute_checked(text, Ok(values), false, template, bulk.prepared, &mut take));
            let begun = poll_fn(|cx| Poll::Ready(run.as_mut().poll(cx))).await;
            let goes_well = !matches!(begun, Poll::Ready(Err(_)));
            if goes_well && feed.ahead.is_none() && feed.goes_on() {
                feed.ahead = Some(feed.pull());
            }
            match begun {
                Poll::Ready(done) => done,
                Poll::Pending => run.await,
            }
        };
        match done {
            Ok(done) => Ok(done.rows_affected()),
            // The transaction is over, or somebody wants it to be.
            Err(error) if error.kind() == ErrorKind::Cancelled || !self.shared.in_transaction() => Err(error),
            Err(error) if error.is_disconnected() || self.shared.is_broken() => Err(error),
            Err(_) => self.one_by_one(bulk, spare.take(len), index).await,
        }
    }

    async fn one_by_one(
        &mut self,
        bulk: &Bulk<'_>,
        values: impl IntoIterator<Item = Value, IntoIter: Send>,
        mut index: usize,
    ) -> Result<u64> {
        let mut affected = 0;
        let mut values = values.into_iter();
        loop {
            let row: Vec<Value> = values.by_ref().take(bulk.row.parameters()).collect();
            if row.is_empty() {
                return Ok(affected);
            }
            let (sql, template) = (bulk.row.sql().clone(), bulk.template.clone());
            let done = self.execute_values(sql, Ok(row), template, bulk.prepared, &mut TakeAll::new(None)).await;
            affected += done.map_err(|error| at(error, index))?.rows_affected();
            index += 1;
        }
    }

    /// Whether several rows in one statement are what they are one by one; notes the AUTO_INCREMENT column.
    async fn is_plain(&mut self, bulk: &mut Bulk<'_>) -> Result<bool> {
        self.refresh_if_stale().await?;
        let Some(target) = Target::of(&bulk.template) else { return Ok(false) };
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
    /// How many rows go into each statement, the one of the index `last_id` into one of its own.
    fn cut(&self, pending: &Pending, last_id: Option<usize>, texts: &mut Texts) -> Vec<usize> {
        let brings_id: Vec<bool> = match self.counted {
            Some(_) => pending.values.chunks(self.row.parameters()).map(|row| self.brings_id(row)).collect(),
            None => vec![false; pending.rows],
        };
        let (mut counts, mut done) = (Vec::new(), 0);
        for alike in brings_id.chunk_by(|one, other| one == other) {
            let end = done + alike.len();
            let mut whole = true;
            while done < end {
                let ends_alone = last_id == Some(end - 1) && end - done > 1;
                let together = end - done - usize::from(ends_alone);
                let count = if together >= self.most_rows {
                    self.most_rows
                } else if std::mem::take(&mut whole) && together > 1 {
                    texts.share(self.row, together)
                } else {
                    1 << together.ilog2()
                };
                counts.push(count);
                done += count;
            }
        }
        counts
    }

    /// Which row is the last that wants an id, unless the next request wants one too.
    fn last_id(&self, pending: &Pending, feed: &Feed<'_>) -> Option<usize> {
        let wants_id = |next: &Request| {
            self.counted.is_none_or(|index| next.args.get(index).is_some_and(|arg| arg.value.is_null()))
        };
        if !self.has_ids || (feed.goes_on() && wants_id(&feed.request)) {
            return None;
        }
        pending.values.chunks(self.row.parameters()).rposition(|row| !self.brings_id(row))
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

/// Whether a request is a row of this INSERT.
fn is_of(row: &InsertRow, request: &Request) -> bool {
    same(row.sql(), &request.sql) && request.args.len() == row.parameters()
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
