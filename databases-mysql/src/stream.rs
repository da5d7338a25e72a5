//! Rows a batch at a time: a task of ours reads, so that a stream that is dropped can be brought to its end.
//!
//! A stream that is dropped early leaves its connection, and an open transaction, usable: a short rest is read and
//! dropped; a long one, or a statement that goes on computing, is stopped by KILL QUERY and then read to its end.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use databases_core::backend::{Request, RowBatches};
use databases_core::{Effect, Error, Result, RowBatch};
use futures_util::future::{Either, select};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::batch::{Layout, Rows};
use crate::connection::{Operation, caught};
use crate::error;
use crate::session::{NextRow, Take};

/// Rows of the first batch, which is not to wait for long, and at most: each batch is twice the one before.
const FIRST_ROWS: usize = 64;
const MOST_ROWS: usize = 512;
/// Bytes of a batch, about.
const BYTES: usize = 64 * 1024;
/// Batches that wait to be taken.
const WAITING: usize = 2;
/// How long the next row may be waited for until those before it are handed on: the server sends rows some kilobytes at a time.
const PAUSE: Duration = Duration::from_millis(2);
/// How long the rest of a dropped stream is read before the server is told to stop.
const GRACE: Duration = Duration::from_millis(50);
/// How long the rest may take after that.
const DRAIN: Duration = Duration::from_secs(5);

/// Rows, or `None` at the end. A channel that just closes is a task that was lost, not a short result.
type Item = Result<Option<Arc<dyn RowBatch>>>;

/// Starts `request` and reads its rows in a task.
pub(crate) async fn open(operation: Operation, request: Request) -> Result<Box<dyn RowBatches>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let (ready, started) = oneshot::channel();
    tokio::spawn(serve(operation, request, sender, ready));
    match started.await {
        Ok(Ok(())) => Ok(Box::new(Batches { receiver: Some(receiver) })),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(lost()),
    }
}

/// The task has gone without a word: its runtime has.
fn lost() -> Error {
    error::disconnected("the runtime that served the connection has gone").with_effect(Effect::Unknown)
}

async fn serve(
    mut operation: Operation,
    request: Request,
    sender: mpsc::Sender<Item>,
    ready: oneshot::Sender<Result<()>>,
) {
    let line = operation.line().clone();
    let mut take = Send { sender: sender.clone(), ready: Some(ready), wants: true, rows: FIRST_ROWS };
    let mut dropped = false;
    let outcome = {
        let read = pin!(caught(operation.session().execute(request, &mut take)));
        match select(read, pin!(sender.closed())).await {
            Either::Left((outcome, _)) => Some(outcome),
            Either::Right(((), mut read)) => {
                dropped = true;
                match timeout(GRACE, &mut read).await {
                    Ok(outcome) => Some(outcome),
                    Err(_) => {
                        line.killer.kill().await;
                        timeout(DRAIN, &mut read).await.ok()
                    }
                }
            }
        }
    };
    // Without an outcome the operation is dropped unfinished, which gives the connection up.
    let Some(outcome) = outcome else { return };
    if dropped && outcome.is_ok() {
        // Takes the kill that came too late for the statement, and tells whether the transaction goes on.
        let asked = caught(operation.session().ask_state()).await;
        let _ = operation.end(asked.map(Ok));
        return;
    }
    match (operation.end(outcome), take.ready.take()) {
        (Err(error), Some(ready)) => drop(ready.send(Err(error))),
        (outcome, ready) => {
            if let Some(ready) = ready {
                let _ = ready.send(Ok(()));
            }
            let _ = sender.send(outcome.map(|_| None)).await;
        }
    }
}

/// Gives batches to the stream.
struct Send {
    sender: mpsc::Sender<Item>,
    ready: Option<oneshot::Sender<Result<()>>>,
    wants: bool,
    /// How many rows the next batch has at most.
    rows: usize,
}

impl Take for Send {
    fn wants(&self) -> bool {
        self.wants
    }

    fn is_full(&self, rows: usize, bytes: usize) -> bool {
        rows >= self.rows || bytes >= BYTES
    }

    // They are read elsewhere.
    fn row(&mut self, _: &Layout, _: &mysql_async::Row) -> bool {
        false
    }

    // Boxed: most rows are there already, and need neither this nor a clock.
    fn wait(
        &mut self,
        mut next: Pin<&mut (impl Future<Output = NextRow> + std::marker::Send)>,
        batch: &mut Option<Box<Rows>>,
    ) -> impl Future<Output = NextRow> + std::marker::Send {
        Box::pin(async move {
            if let Some(rows) = batch
                && !rows.is_empty()
            {
                if let Ok(row) = timeout(PAUSE, next.as_mut()).await {
                    return row;
                }
                let another = rows.another();
                self.take(Arc::new(std::mem::replace(&mut **rows, another))).await;
            }
            next.await
        })
    }

    async fn take(&mut self, batch: Arc<dyn RowBatch>) {
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(Ok(()));
        }
        self.rows = (2 * self.rows).min(MOST_ROWS);
        self.wants = self.sender.send(Ok(Some(batch))).await.is_ok();
    }
}

struct Batches {
    /// `None` after an error or the end.
    receiver: Option<mpsc::Receiver<Item>>,
}

#[async_trait]
impl RowBatches for Batches {
    async fn next(&mut self) -> Result<Option<Arc<dyn RowBatch>>> {
        let Some(receiver) = &mut self.receiver else { return Ok(None) };
        let item = receiver.recv().await.unwrap_or_else(|| Err(lost()));
        if !matches!(item, Ok(Some(_))) {
            self.receiver = None;
        }
        item
    }
}
