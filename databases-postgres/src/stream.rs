//! Rows of a running statement, a batch at a time. Memory is bounded: the driver stops reading while nobody takes rows.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use databases_core::backend::RowBatches;
use databases_core::{Result, RowBatch};
use futures_util::TryStreamExt;
use tokio::sync::OwnedRwLockReadGuard;
use tokio_postgres::{Client, RowStream};

use crate::batch::{NO_ROWS, NoRows, PgBatch};
use crate::cache::Prepared;
use crate::session::{Op, Session};

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
        Self { running: Some(running), prepared, session, sql }
    }

    fn finish(&mut self) {
        if let Some(running) = self.running.take() {
            running.op.finish();
        }
    }
}

#[async_trait]
impl RowBatches for PgStream {
    async fn next(&mut self) -> Result<Option<Arc<dyn RowBatch>>> {
        let Some(running) = &mut self.running else { return Ok(None) };
        let error = match running.rows.try_next().await {
            Ok(Some(row)) => match PgBatch::of(&self.prepared.plan, row) {
                Ok(batch) => return Ok(Some(batch)),
                Err(NoRows) => self.session.give_up(NO_ROWS),
            },
            Ok(None) => {
                self.finish();
                return Ok(None);
            }
            Err(error) => self.session.fail(error, Some(&self.sql)).await,
        };
        self.finish();
        Err(error)
    }
}
