//! Executions of one statement in flight together, in order, with a bounded window.

use std::collections::VecDeque;
use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use databases_core::Result;
use tokio_postgres::Client;

use crate::cache::Prepared;
use crate::encode::{Encoded, Ready};
use crate::error;
use crate::session::Session;

/// How many executions are in flight at most.
const WINDOW: usize = 256;

/// What was sent, and its answer.
pub(super) type Sent<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Sends now: a future of the driver sends when it is first polled.
pub(super) async fn sent<'f, T: Send + 'f>(future: impl Future<Output = T> + Send + 'f) -> Sent<'f, T> {
    let mut future: Sent<'f, T> = Box::pin(future);
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Pending => future,
        Poll::Ready(answer) => Box::pin(ready(answer)),
    }
}

/// The parameters of one execution.
pub(super) enum Params<'a> {
    Owned(Encoded),
    Borrowed(Vec<Ready<'a>>),
}

/// The executions in flight and what those before them have done.
pub(super) struct Window<'a> {
    queue: VecDeque<Sent<'a, Result<u64, tokio_postgres::Error>>>,
    /// The index of the first in the queue.
    pub(super) index: usize,
    pub(super) rows: u64,
    client: &'a Client,
    session: &'a Session,
    sql: Arc<str>,
    /// Whether an error tells that the statement must be prepared anew.
    pub(super) stale: bool,
}

impl<'a> Window<'a> {
    pub(super) fn new(client: &'a Client, session: &'a Session, sql: Arc<str>, index: usize) -> Self {
        Self { queue: VecDeque::new(), index, rows: 0, client, session, sql, stale: false }
    }

    /// The index of the next.
    pub(super) fn next_index(&self) -> usize {
        self.index + self.queue.len()
    }

    /// Sends one more execution of `prepared`, once there is room for it.
    pub(super) async fn push(&mut self, prepared: &'a Prepared, params: Params<'a>) -> Result<()> {
        if self.queue.len() == WINDOW {
            self.pop().await?;
        }
        let client = self.client;
        let execution = async move {
            match params {
                Params::Owned(encoded) => client.execute_raw(&prepared.statement, encoded.iter()).await,
                Params::Borrowed(params) => client.execute_raw(&prepared.statement, params).await,
            }
        };
        self.queue.push_back(sent(execution).await);
        Ok(())
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

    /// Waits for all.
    pub(super) async fn drain(&mut self) -> Result<()> {
        while !self.queue.is_empty() {
            self.pop().await?;
        }
        Ok(())
    }
}
