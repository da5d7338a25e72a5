//! Many executions of one statement: an INSERT of plain rows by COPY or as few statements of many rows, anything else in
//! flight together, in order.

mod bulk;
mod copy;
mod table;
mod window;

use std::collections::VecDeque;
use std::sync::Arc;

use databases_core::backend::{Request, Requests};
use databases_core::{Error, Result};

use crate::cache::Prepared;
use crate::connection::{PgConnection, affected};
use crate::encode::Encoded;

use bulk::Bulk;
pub(crate) use table::TableState;
use window::{Params, Window};

/// So few rows are not worth a look at their table.
const FEW_ROWS: usize = 8;

/// Requests, of which some may have been pulled ahead.
struct Feed<'a> {
    requests: &'a mut dyn Requests,
    ahead: VecDeque<Result<Request>>,
}

impl Feed<'_> {
    /// The request of this index.
    fn next(&mut self, index: usize) -> Result<Option<Request>> {
        let next = self.ahead.pop_front().or_else(|| self.requests.next());
        next.transpose().map_err(|error| at(error, index))
    }

    /// Puts the request of this index into the place of the one before it; `false` if there is none.
    fn next_into(&mut self, request: &mut Request, index: usize) -> Result<bool> {
        let next = match self.ahead.pop_front() {
            Some(next) => Some(next.map(|next| *request = next)),
            None => self.requests.next_into(request),
        };
        next.transpose().map(|next| next.is_some()).map_err(|error| at(error, index))
    }

    /// Whether there are more than `count`, without a mistake among them.
    fn has_more_than(&mut self, count: usize) -> bool {
        while self.ahead.len() <= count && !self.ahead.back().is_some_and(Result::is_err) {
            let Some(next) = self.requests.next() else { return false };
            self.ahead.push_back(next);
        }
        self.ahead.len() > count
    }
}

/// Runs the requests in order; see [`databases_core::backend::BackendConnection::run_many`].
pub(crate) async fn run_many(connection: &PgConnection, requests: &mut dyn Requests) -> Result<u64> {
    let mut feed = Feed { requests, ahead: VecDeque::new() };
    let (mut affected, mut index) = (0, 0);
    let mut next = feed.next(index)?;
    let mut is_left = false;
    // One round per statement text or set of types: preparing another waits until nothing is in flight, since the
    // driver reads its answer only behind theirs.
    while let Some(request) = next.take() {
        let (prepared, encoded) = connection.bind(&request).await.map_err(|error| at(error, index))?;
        let is_bulk = !is_left && feed.has_more_than(FEW_ROWS);
        let bulk = if is_bulk { Bulk::of(connection, &request, &prepared).await? } else { None };
        let done = match bulk {
            Some(bulk) => bulk.run(request, &mut feed, index).await?,
            None => round(connection, &prepared, (request, encoded), &mut feed, index).await?,
        };
        affected += done.affected;
        // What a bulk does not take goes by itself, or nothing would ever end this.
        is_left = done.index == index;
        index = done.index;
        next = done.next;
    }
    Ok(affected)
}

/// What became of some rows.
struct Done {
    affected: u64,
    /// The index of the row behind them.
    index: usize,
    /// That row, which was pulled already.
    next: Option<Request>,
}

/// Sends requests as long as they share the prepared statement.
async fn round(
    connection: &PgConnection,
    prepared: &Arc<Prepared>,
    first: (Request, Encoded),
    feed: &mut Feed<'_>,
    index: usize,
) -> Result<Done> {
    let mut op = connection.session.op();
    let client = connection.client().await.map_err(|error| at(error, index))?;
    op.sending();
    let verb = first.0.template.verb();
    let sql = first.0.sql.clone();
    let mut window = Window::new(&client, &connection.session, sql.clone(), index);
    let result = send(prepared, &mut window, first, feed, connection).await;
    op.finish();
    let (affected, index, stale) = (affected(verb, window.rows), window.index, window.stale);
    drop(window);
    drop(client);
    if stale {
        connection.forget(&sql).await;
    }
    Ok(Done { affected, index, next: result? })
}

/// Gives back the first request that does not share the prepared statement.
async fn send<'a>(
    prepared: &'a Prepared,
    window: &mut Window<'a>,
    first: (Request, Encoded),
    feed: &mut Feed<'_>,
    connection: &PgConnection,
) -> Result<Option<Request>> {
    let (request, mut encoded) = first;
    loop {
        window.push(prepared, Params::Owned(encoded)).await?;
        let index = window.next_index();
        let next = feed.next(index);
        let shared = match &next {
            Ok(Some(next)) if next.sql == request.sql && prepared.serves(&next.args) => {
                prepared.encode(&next.args, &connection.session).ok()
            }
            _ => None,
        };
        let Some(bytes) = shared else {
            // An earlier row's error goes first. Then that of this one is told, or its statement prepared again.
            window.drain().await?;
            return next;
        };
        encoded = bytes;
    }
}

/// The error of the row of this index, unless it has one already.
fn at(error: Error, index: usize) -> Error {
    match error.batch_index() {
        Some(_) => error,
        None => error.with_batch_index(index),
    }
}
