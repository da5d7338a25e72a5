//! Transactions and savepoints.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::error::{Error, Result};
use crate::options::TransactionOptions;
use crate::session::Handle;

/// A transaction, or inside another one a savepoint. Dropped without [`commit`](Transaction::commit) it is rolled
/// back before anyone uses the connection again.
pub struct Transaction {
    pub(crate) handle: Handle,
    ended: bool,
}

impl Transaction {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, ended: false }
    }

    /// Opens a nested transaction: a savepoint. Until it ends, every other call on this handle is
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    ///
    /// # Errors
    ///
    /// What the server reports.
    ///
    /// # Cancel safety
    ///
    /// A savepoint that a dropped future has opened is undone before the next statement.
    pub async fn begin(&self) -> Result<Self> {
        self.begin_with(TransactionOptions::new()).await
    }

    /// As [`Transaction::begin`]; options belong to the outermost transaction and are errors here.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for any option.
    pub async fn begin_with(&self, options: TransactionOptions) -> Result<Self> {
        Ok(Self::new(self.handle.begin(&options).await?))
    }

    /// Commits; for a nested transaction, keeps what it did as part of the outer one.
    ///
    /// # Errors
    ///
    /// [`TransactionFailed`](crate::ErrorKind::TransactionFailed) if an earlier statement failed and the server rolled
    /// back instead; [`TransactionEnded`](crate::ErrorKind::TransactionEnded) if the server ended it before;
    /// [`Busy`](crate::ErrorKind::Busy) while a child or stream is open, and everything is rolled back;
    /// [`CommitOutcomeUnknown`](crate::ErrorKind::CommitOutcomeUnknown) if the connection broke.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the transaction committed or rolled back.
    pub async fn commit(mut self) -> Result<()> {
        let ended = self.handle.commit().await;
        self.ended = ended.is_ok();
        ended
    }

    /// Rolls back; for a nested transaction, to where it began.
    ///
    /// # Errors
    ///
    /// [`Busy`](crate::ErrorKind::Busy) while a child or stream is open, and it is rolled back later; what the server
    /// reports.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the transaction rolled back, or to be rolled back before anything else.
    pub async fn rollback(mut self) -> Result<()> {
        let ended = self.handle.rollback().await;
        self.ended = ended.is_ok();
        ended
    }

    /// Runs `f` in a nested transaction: kept on `Ok`, undone on `Err` and on a panic.
    ///
    /// # Errors
    ///
    /// The closure's, or of the savepoint.
    pub async fn transaction<T, E, F>(&self, f: F) -> Result<T, E>
    where
        E: From<Error>,
        F: AsyncFnOnce(&Transaction) -> Result<T, E>,
    {
        run_closure(self.begin().await?, f).await
    }

    /// As [`Transaction::transaction`]. A conflict ends the outermost transaction, so nothing is retried here.
    ///
    /// # Errors
    ///
    /// The closure's, or of the savepoint.
    pub async fn transaction_with<T, E, F>(&self, options: TransactionOptions, f: F) -> Result<T, E>
    where
        E: From<Error>,
        F: AsyncFnOnce(&Transaction) -> Result<T, E> + Clone,
    {
        run_closure(self.begin_with(options).await?, f).await
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.ended {
            self.handle.abandon();
        }
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("status", &self.handle.session.conn.status()).finish_non_exhaustive()
    }
}

/// Runs `f` in `tx` and ends it. On a panic the drop of `tx` rolls back.
pub(crate) async fn run_closure<T, E, F>(tx: Transaction, f: F) -> Result<T, E>
where
    E: From<Error>,
    F: AsyncFnOnce(&Transaction) -> Result<T, E>,
{
    match f(&tx).await {
        Ok(value) => {
            tx.commit().await?;
            Ok(value)
        }
        Err(error) => {
            // If this fails too, the connection is discarded; the closure's error is the one that tells.
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}

/// Runs clones of `f`, each in a transaction of its own, until one commits, fails for good, or the retries are used up.
pub(crate) async fn run_closure_with<'a, T, E, F>(
    // Boxed: with an async closure here the future would not be Send when `f` captures references.
    begin: impl Fn(TransactionOptions) -> BoxFuture<'a, Result<Transaction>>,
    mut options: TransactionOptions,
    f: F,
) -> Result<T, E>
where
    E: From<Error>,
    F: AsyncFnOnce(&Transaction) -> Result<T, E> + Clone,
{
    let ours = |error: Error| {
        let conflict = error.conflict();
        (E::from(error), conflict)
    };
    let mut attempt = 0;
    loop {
        // What has failed, and the conflict that may be the reason.
        let (error, conflict) = match begin(options.clone()).await {
            Err(error) => ours(error),
            Ok(tx) => {
                let session = tx.handle.session.clone();
                match f.clone()(&tx).await {
                    Ok(value) => match tx.commit().await {
                        Ok(()) => return Ok(value),
                        Err(error) => ours(error),
                    },
                    Err(error) => {
                        let conflict = session.last_conflict();
                        let _ = tx.rollback().await;
                        (error, conflict)
                    }
                }
            }
        };
        match conflict {
            Some(conflict) if attempt < options.retries => options.begin_again(conflict),
            _ => return Err(error),
        }
        attempt += 1;
        tokio::time::sleep(backoff(attempt)).await;
    }
}

/// Doubles from 5 ms to 640 ms, with half of it left to chance, so that those in conflict do not meet again.
fn backoff(attempt: u32) -> Duration {
    let most = Duration::from_millis(5 << attempt.min(7));
    most / 2 + crate::pool::jitter(most / 2)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::backoff;

    #[test]
    fn a_backoff_doubles_up_to_a_limit_and_half_of_it_is_chance() {
        let ms = Duration::from_millis;
        for (attempt, least) in [(1, 5), (2, 10), (3, 20), (6, 160), (7, 320), (8, 320), (u32::MAX, 320)] {
            let (least, most) = (ms(least), ms(least) * 2);
            let drawn: Vec<Duration> = (0..200).map(|_| backoff(attempt)).collect();
            assert!(drawn.iter().all(|wait| (least..most).contains(wait)), "{attempt}: {drawn:?}");
            // Those in conflict are spread over all of it.
            let quarter = least / 4;
            for from in [least, least + quarter, least + quarter * 2, least + quarter * 3] {
                let hit = drawn.iter().any(|wait| (from..from + quarter).contains(wait));
                assert!(hit, "{attempt}: none of 200 in the quarter from {from:?}");
            }
        }
    }
}
