//! Streams of rows.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::error::{Error, Result};
use crate::from_row::{FromRow, Plan};
use crate::row::{Row, RowBatch, RowRef};

/// Batches of rows, as executors give them.
pub type BatchStream<'e> = Pin<Box<dyn Stream<Item = Result<Arc<dyn RowBatch>>> + Send + 'e>>;

/// Rows one by one, in bounded memory. Made by [`Executor::iterate`](crate::Executor::iterate).
///
/// Dropping it early stops the statement; a transaction it ran in stays usable.
#[must_use = "a stream does nothing until it is polled"]
pub struct RowStream<'e, T> {
    source: Source<'e>,
    /// The next row of the batch that is read, and how many there are from it on.
    next: Option<(Row, usize)>,
    plan: Plan,
    row: std::marker::PhantomData<fn() -> T>,
}

enum Source<'e> {
    Batches(BatchStream<'e>),
    Failed(Option<Error>),
    Ended,
}

impl<'e, T> RowStream<'e, T> {
    pub(crate) fn new(batches: BatchStream<'e>) -> Self {
        Self::from_source(Source::Batches(batches))
    }

    pub(crate) fn failed(error: Error) -> Self {
        Self::from_source(Source::Failed(Some(error)))
    }

    fn from_source(source: Source<'e>) -> Self {
        Self { source, next: None, plan: Plan::default(), row: std::marker::PhantomData }
    }
}

impl<T: FromRow> Stream for RowStream<'_, T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some((row, left)) = &mut this.next {
                let read = T::from_row_planned(RowRef::kept(row), &mut this.plan);
                *left -= 1;
                if *left == 0 {
                    this.next = None;
                } else {
                    row.advance();
                }
                return Poll::Ready(Some(read));
            }
            let polled = match &mut this.source {
                Source::Batches(batches) => ready!(batches.as_mut().poll_next(cx)),
                Source::Failed(error) => error.take().map(Err),
                Source::Ended => None,
            };
            match polled {
                Some(Ok(batch)) => {
                    let len = batch.len();
                    this.next = (len > 0).then(|| (Row::new(batch, 0), len));
                }
                end => {
                    // The connection goes back now, and not when the stream is dropped.
                    this.source = Source::Ended;
                    return Poll::Ready(end.map(|result| Err(result.err().expect("batches are taken above"))));
                }
            }
        }
    }
}

impl<T> fmt::Debug for RowStream<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowStream").finish_non_exhaustive()
    }
}
