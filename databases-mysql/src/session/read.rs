//! From the driver's rows to whoever takes them.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use databases_core::RowBatch;
use mysql_async::prelude::Protocol;
use mysql_async::{QueryResult, Value};

use crate::batch::{Layout, Rows};
use crate::options::ZeroDates;

/// The next row, or the end.
pub(crate) type NextRow = mysql_async::Result<Option<mysql_async::Row>>;

/// Takes rows as they are read.
pub(crate) trait Take: Send {
    /// Whether rows are still wanted. Those that are not are read and dropped.
    fn wants(&self) -> bool;
    /// Whether a batch of this size is to be given now.
    fn is_full(&self, rows: usize, bytes: usize) -> bool;
    /// Takes a row where it stands; `false` if it is to be part of a batch.
    fn row(&mut self, layout: &Layout, row: &mysql_async::Row) -> bool;
    /// Waits for the next row, which is not there yet. Who hands rows on gives those of `batch` away before a pause.
    fn wait(
        &mut self,
        next: Pin<&mut (impl Future<Output = NextRow> + Send)>,
        batch: &mut Option<Box<Rows>>,
    ) -> impl Future<Output = NextRow> + Send;
    /// Takes a batch; at least once for a result that has columns.
    fn take(&mut self, batch: Arc<dyn RowBatch>) -> impl Future<Output = ()> + Send;
}

/// What a statement answered.
pub(super) struct Answer {
    /// How many rows were read; `None` if the result has no columns.
    pub(super) rows: Option<u64>,
    /// What the first row has in the AUTO_INCREMENT column of the table, if that column was asked for.
    pub(super) counted: Option<Value>,
}

/// Reads a result to its end: the first one with columns is taken, others (of CALL) are dropped.
#[expect(clippy::manual_async_fn, reason = "an `async fn` keeps room for its arguments twice")]
pub(super) fn read<P: Protocol>(
    mut result: QueryResult<'_, 'static, P>,
    layout: &mut Option<Arc<Layout>>,
    zero_dates: ZeroDates,
    inserted: Option<&str>,
    take: &mut impl Take,
) -> impl Future<Output = mysql_async::Result<Answer>> + Send {
    async move {
        let (mut rows, mut counted) = (None, None);
        while let Some(columns) = result.columns() {
            if columns.is_empty() || rows.is_some() {
                while result.next().await?.is_some() {}
                continue;
            }
            let layout = match layout {
                Some(layout) if layout.fits(&columns) => layout.clone(),
                _ => layout.insert(Arc::new(Layout::new(columns, zero_dates))).clone(),
            };
            let id = inserted.and_then(|table| layout.counted(table));
            let mut count = 0;
            // Boxed, because most rows are read where they stand.
            let mut batch: Option<Box<Rows>> = None;
            loop {
                let mut next = pin!(result.next());
                let next = match poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await {
                    Poll::Ready(next) => next,
                    Poll::Pending => take.wait(next, &mut batch).await,
                };
                let Some(row) = next? else { break };
                count += 1;
                if count == 1 {
                    counted = id.and_then(|id| row.as_ref(id)).cloned();
                }
                if !take.wants() || take.row(&layout, &row) {
                    continue;
                }
                let rows = batch.get_or_insert_with(|| Box::new(Rows::new(layout.clone())));
                rows.push(row);
                if take.is_full(rows.len(), rows.bytes()) {
                    let another = rows.another();
                    take.take(Arc::new(std::mem::replace(&mut **rows, another))).await;
                }
            }
            let rest = batch.map(|rows| *rows).filter(|rows| !rows.is_empty());
            if take.wants() && (count == 0 || rest.is_some()) {
                take.take(Arc::new(rest.unwrap_or_else(|| Rows::new(layout)))).await;
            }
            rows = Some(count);
        }
        // The error of a later result comes here.
        result.next().await?;
        Ok(Answer { rows, counted })
    }
}
