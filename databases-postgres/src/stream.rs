//! Rows of a running statement, a batch at a time. Memory is bounded: the driver stops reading while nobody takes rows.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use databases_core::backend::RowBatches;
use databases_core::{Result, RowBatch};
use futures_util::Stream;
use tokio::sync::OwnedRwLockReadGuard;
use tokio_postgres::{Client, Row, RowStream};

use crate::batch::PgBatch;
use crate::cache::Prepared;
use crate::session::{Op, Session};

const BATCH_ROWS: usize = 128;
const BATCH_BYTES: usize = 64 << 10;

/// What keeps the statement under way; given up at its end.
struct Running {
    rows: Pin<Box<RowStream>>,
    op: Op,
    /// Keeps `native()` and `close()` waiting.
    _client: OwnedRwLockReadGuard<Option<Client>, Client>,
}

/// The rows of a statement. Dropped early, its rest is read by the driver and thrown away; the session is busy until
/// it is settled.
pub(crate) struct PgStream {
    running: Option<Running>,
    /// An error that came behind rows which have been handed out.
    failed: Option<tokio_postgres::Error>,
    prepared: Arc<Prepared>,
    session: Arc<Session>,
    sql: Arc<str>,
}

impl PgStream {
    pub(crate) fn new(
        rows: RowStream,
        prepared: Arc<Prepared>,
        op: Op,
        client: OwnedRwLockReadGuard<Option<Client>, Client>,
        session: Arc<Session>,
        sql: Arc<str>,
    ) -> Self {
        let running = Running { rows: Box::pin(rows), op, _client: client };
        Self { running: Some(running), failed: None, prepared, session, sql }
    }
}

/// What was ready: some rows, and whether the end or an error came behind them.
struct Taken {
    rows: Vec<Row>,
    end: Option<Result<(), tokio_postgres::Error>>,
}

/// Takes what is ready, waiting for at least one row or the end.
fn poll_take(rows: &mut Pin<Box<RowStream>>, cx: &mut Context<'_>) -> Poll<Taken> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    loop {
        let end = match rows.as_mut().poll_next(cx) {
            Poll::Ready(Some(Ok(row))) => {
                bytes += row.raw_size_bytes();
                taken.push(row);
                if taken.len() < BATCH_ROWS && bytes < BATCH_BYTES {
                    continue;
                }
                None
            }
            Poll::Ready(Some(Err(error))) => Some(Err(error)),
            Poll::Ready(None) => Some(Ok(())),
            Poll::Pending if taken.is_empty() => return Poll::Pending,
            Poll::Pending => None,
        };
        return Poll::Ready(Taken { rows: taken, end });
    }
}

#[async_trait]
impl RowBatches for PgStream {
    async fn next(&mut self) -> Result<Option<Arc<dyn RowBatch>>> {
        if self.failed.is_none() {
            let Some(running) = &mut self.running else { return Ok(None) };
            let taken = poll_fn(|cx| poll_take(&mut running.rows, cx)).await;
            match taken.end {
                Some(Ok(())) => {
                    if let Some(running) = self.running.take() {
                        running.op.finish();
                    }
                }
                Some(Err(error)) => self.failed = Some(error),
                None => {}
            }
            if !taken.rows.is_empty() {
                return Ok(Some(PgBatch::new(self.prepared.plan.clone(), taken.rows)));
            }
        }
        let Some(error) = self.failed.take() else { return Ok(None) };
        let error = self.session.fail(error, Some(&self.sql)).await;
        if let Some(running) = self.running.take() {
            running.op.finish();
        }
        Err(error)
    }
}
