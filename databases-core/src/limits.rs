//! How large a result may be that is collected as a whole: `max_rows` and `max_bytes`.

use std::sync::Arc;

use crate::backend::{BackendConnection, ExecResult, Flow, Request, RowSink};
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::row::RowBatch;
use crate::sql::StatementClass;

/// The largest result that `fetch_all` takes; `None` is without a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResultLimits {
    pub(crate) rows: Option<usize>,
    pub(crate) bytes: Option<usize>,
}

impl ResultLimits {
    /// These limits, and where there is none that of `default`.
    pub(crate) fn or(self, default: Self) -> Self {
        Self { rows: self.rows.or(default.rows), bytes: self.bytes.or(default.bytes) }
    }

    pub(crate) fn are_set(self) -> bool {
        self != Self::default()
    }

    /// Runs `request` on `conn`. A result that is larger than the limits is an error.
    ///
    /// A statement that only reads is then stopped as a stream is that was dropped; one that writes is finished, so that
    /// the error can say that it was.
    pub(crate) async fn run(
        self,
        conn: &dyn BackendConnection,
        request: Request,
        sink: &mut dyn RowSink,
    ) -> Result<ExecResult> {
        if self == Self::default() {
            return conn.run(request, sink).await;
        }
        let reads = request.template.class() == StatementClass::Read;
        let effect = if reads { Effect::RolledBack } else { Effect::Applied };
        let mut capped = Capped { sink, limits: self, rows: 0, bytes: 0, effect };
        if !reads {
            return conn.run(request, &mut capped).await;
        }
        let mut batches = conn.open_stream(request).await?;
        while let Some(batch) = batches.next().await? {
            if capped.batch(batch)? == Flow::Stop {
                break;
            }
        }
        Ok(ExecResult::default())
    }
}

/// A sink that refuses what is too large before it takes it.
struct Capped<'a> {
    sink: &'a mut dyn RowSink,
    limits: ResultLimits,
    rows: usize,
    bytes: usize,
    effect: Effect,
}

impl RowSink for Capped<'_> {
    fn batch(&mut self, batch: Arc<dyn RowBatch>) -> Result<Flow> {
        self.rows = self.rows.saturating_add(batch.len());
        if let Some(limit) = self.limits.rows
            && self.rows > limit
        {
            return Err(exceeded("rows", "max_rows", limit, self.effect));
        }
        if let Some(limit) = self.limits.bytes {
            self.bytes = self.bytes.saturating_add(size(&*batch));
            if self.bytes > limit {
                return Err(exceeded("bytes", "max_bytes", limit, self.effect));
            }
        }
        self.sink.batch(batch)
    }
}

/// What a cell counts that has no bytes of its own: a number that the driver has decoded, or NULL.
const CELL: usize = 8;

/// The bytes of all cells, as far as the driver keeps them.
fn size(batch: &dyn RowBatch) -> usize {
    let columns = batch.columns().len();
    let cells = (0..batch.len()).flat_map(|row| (0..columns).map(move |column| (row, column)));
    cells.map(|(row, column)| batch.raw(row, column).map_or(CELL, <[u8]>::len)).sum()
}

#[cold]
fn exceeded(what: &str, option: &str, limit: usize, effect: Effect) -> Error {
    Error::new(ErrorKind::LimitExceeded, format!("the result has more {what} than {option}, which is {limit}"))
        .with_hint(format!(
            "ask for less with LIMIT, read with iterate(), or raise {option} for this query with sql(..)"
        ))
        .with_effect(effect)
}
