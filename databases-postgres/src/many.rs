//! Many executions of one statement: in flight together, in order, with a bounded window.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use databases_core::backend::{Request, Requests};
use databases_core::{Error, Result};
use tokio_postgres::Client;

use crate::cache::Prepared;
use crate::connection::{PgConnection, affected};
use crate::encode::Encoded;
use crate::error;
use crate::session::Session;

/// How many executions are in flight at most.
const WINDOW: usize = 256;

type Execution<'a> = Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'a>>;

/// The executions in flight and what those before them have done.
struct InFlight<'a> {
    queue: VecDeque<Execution<'a>>,
    /// The index of the first in the queue.
    index: usize,
    rows: u64,
    session: &'a Session,
    sql: Arc<str>,
    /// Whether an error tells that the statement must be prepared anew.
    stale: bool,
}

impl<'a> InFlight<'a> {
    /// Sends `execution` now: a future of the driver sends when it is first polled.
    async fn push(&mut self, mut execution: Execution<'a>) {
        let first = poll_fn(|cx| Poll::Ready(execution.as_mut().poll(cx))).await;
        self.queue.push_back(match first {
            Poll::Pending => execution,
            Poll::Ready(result) => Box::pin(std::future::ready(result)),
        });
    }

    /// Waits for the oldest.
    async fn pop(&mut self) -> Result<()> {
        let Some(oldest) = self.queue.front_mut() else { return Ok(()) };
        let result = oldest.as_mut().await;
        self.queue.pop_front();
        match result {
            Ok(rows) => {
                self.rows += rows;
                self.index += 1;
                Ok(())
            }
            Err(error) => {
                self.stale = error::is_stale(&error);
                // The rest fails too, or is undone by the caller; its answers are read either way.
                while let Some(rest) = self.queue.front_mut() {
                    _ = rest.as_mut().await;
                    self.queue.pop_front();
                }
                Err(self.session.fail(error, Some(&self.sql)).await.with_batch_index(self.index))
            }
        }
    }

    async fn drain(&mut self) -> Result<()> {
        while !self.queue.is_empty() {
            self.pop().await?;
        }
        Ok(())
    }
}

/// Runs the requests in order; see [`databases_core::backend::BackendConnection::run_many`].
pub(crate) async fn run_many(connection: &PgConnection, requests: &mut dyn Requests) -> Result<u64> {
    let mut rows = 0;
    let mut index = 0;
    let mut next = pull(requests, index)?;
    // One round per statement text or set of types: preparing another waits until nothing is in flight, since the
    // driver reads its answer only behind theirs.
    while let Some(request) = next.take() {
        let (prepared, encoded) = connection.bind(&request).await.map_err(|error| at(error, index))?;
        let mut op = connection.session.op();
        let client = connection.client().await.map_err(|error| at(error, index))?;
        op.sending();
        let (session, sql) = (&*connection.session, request.sql.clone());
        let mut flight = InFlight { queue: VecDeque::new(), index, rows: 0, session, sql: sql.clone(), stale: false };
        let result = round(&client, &prepared, &mut flight, (request, encoded), requests).await;
        op.finish();
        rows += flight.rows;
        index = flight.index;
        let stale = flight.stale;
        drop(flight);
        drop(client);
        if stale {
            connection.forget(&sql).await;
        }
        next = result?;
    }
    Ok(rows)
}

/// Sends requests as long as they share the prepared statement; gives back the first that does not.
async fn round<'a>(
    client: &'a Client,
    prepared: &'a Arc<Prepared>,
    flight: &mut InFlight<'a>,
    first: (Request, Encoded),
    requests: &mut dyn Requests,
) -> Result<Option<Request>> {
    let (mut request, mut encoded) = first;
    let sql = request.sql.clone();
    loop {
        let index = flight.index + flight.queue.len();
        if flight.queue.len() == WINDOW {
            flight.pop().await?;
        }
        let verb = request.template.verb();
        flight
            .push(Box::pin(async move {
                let rows = client.execute_raw(&prepared.statement, encoded.iter()).await?;
                Ok(affected(verb, rows))
            }))
            .await;
        match pull(requests, index + 1) {
            Ok(Some(next)) if next.sql == sql && prepared.serves(&next.args) => {
                let Ok(bytes) = prepared.encode(&next.args, flight.session) else {
                    // An earlier row's error goes first. Then this one is told, or the statement prepared again.
                    flight.drain().await?;
                    return Ok(Some(next));
                };
                (request, encoded) = (next, bytes);
            }
            Ok(next) => {
                flight.drain().await?;
                return Ok(next);
            }
            Err(error) => {
                flight.drain().await?;
                return Err(error);
            }
        }
    }
}

fn pull(requests: &mut dyn Requests, index: usize) -> Result<Option<Request>> {
    requests.next().transpose().map_err(|error| at(error, index))
}

fn at(error: Error, index: usize) -> Error {
    match error.batch_index() {
        Some(_) => error,
        None => error.with_batch_index(index),
    }
}
