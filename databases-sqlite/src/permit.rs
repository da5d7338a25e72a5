//! The write permit: one per file and `Database`, given in the order it was asked for.
//!
//! SQLite has one writer at a time and makes the others poll. Taking turns in here is fair and wakes at once; the lock of
//! SQLite then only has to keep other processes out.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use databases_core::{Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// A turn to write, one at a time.
#[derive(Debug)]
pub(crate) struct WritePermit {
    semaphore: Arc<Semaphore>,
    holder: Mutex<Option<Holder>>,
    timeout: Duration,
}

#[derive(Debug)]
struct Holder {
    what: &'static str,
    since: Instant,
}

/// When to stop waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    start: Instant,
    end: Instant,
}

impl WritePermit {
    /// A permit that is waited for at most `timeout`.
    pub(crate) fn new(timeout: Duration) -> Arc<Self> {
        Arc::new(Self { semaphore: Arc::new(Semaphore::new(1)), holder: Mutex::new(None), timeout })
    }

    /// The end of a wait that starts now.
    pub(crate) fn deadline(&self) -> Deadline {
        let start = Instant::now();
        // A timeout too long for the clock is as good as a century.
        let end = start.checked_add(self.timeout).unwrap_or(start + Duration::from_secs(100 * 365 * 86_400));
        Deadline { start, end }
    }

    /// Waits for the turn of `what`: `a transaction`, `an INSERT`.
    pub(crate) async fn acquire(self: &Arc<Self>, what: &'static str, deadline: Deadline) -> Result<Held> {
        // Without a timer where nobody is in the way. It passes nobody by: a permit that is given back while others wait
        // goes to the first of them.
        let permit = match Arc::clone(&self.semaphore).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => match self.before(deadline, Arc::clone(&self.semaphore).acquire_owned()).await? {
                Ok(permit) => permit,
                Err(_) => return Err(Error::new(ErrorKind::Internal, "the write permit was closed")),
            },
        };
        let held = Held { owner: Arc::clone(self), _permit: permit };
        held.describe(what);
        Ok(held)
    }

    /// Waits for `future`, which waits for the permit in some way, no longer than `deadline`.
    pub(crate) async fn before<F: Future>(&self, deadline: Deadline, future: F) -> Result<F::Output> {
        timeout_at(deadline.end, future).await.map_err(|_| self.timed_out(deadline))
    }

    fn timed_out(&self, deadline: Deadline) -> Error {
        let waited = Seconds(deadline.start.elapsed());
        let holder = match &*self.holder.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(holder) => format!("held by {} for {}", holder.what, Seconds(holder.since.elapsed())),
            None => "which went to others that had asked before".to_owned(),
        };
        Error::new(ErrorKind::PoolTimeout, format!("waited {waited} for the write permit of the database, {holder}"))
            .with_hint("SQLite has one writer at a time: keep writing transactions short, or raise acquire_timeout")
    }
}

/// The turn. Dropping it gives it to the next in line.
#[derive(Debug)]
pub(crate) struct Held {
    owner: Arc<WritePermit>,
    _permit: OwnedSemaphorePermit,
}

impl Held {
    /// Says what the permit is now used for; the time it is held goes on.
    pub(crate) fn describe(&self, what: &'static str) {
        let mut holder = self.owner.holder.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *holder {
            Some(holder) => holder.what = what,
            None => *holder = Some(Holder { what, since: Instant::now() }),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Before the semaphore's permit goes, so that the next holder's name stays.
        *self.owner.holder.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A time as people read it.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_given_in_order_and_a_waiter_that_leaves_is_passed_over() {
        let permit = WritePermit::new(Duration::from_secs(30));
        let first = permit.acquire("an INSERT", permit.deadline()).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for index in 0..20 {
            let (permit, order) = (Arc::clone(&permit), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let _turn = permit.acquire("an UPDATE", permit.deadline()).await.unwrap();
                order.lock().unwrap().push(index);
            }));
            tokio::task::yield_now().await;
        }
        tasks[3].abort();
        tasks[7].abort();
        drop(first);
        for task in tasks {
            let _ = task.await;
        }
        let expected: Vec<i32> = (0..20).filter(|index| ![3, 7].contains(index)).collect();
        assert_eq!(*order.lock().unwrap(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn the_timeout_says_how_long_and_what_holds_it() {
        let permit = WritePermit::new(Duration::from_secs(2));
        let held = permit.acquire("an INSERT", permit.deadline()).await.unwrap();
        held.describe("a transaction");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let error = permit.acquire("an UPDATE", permit.deadline()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PoolTimeout);
        assert_eq!(
            error.to_string(),
            "waited 2.0 s for the write permit of the database, held by a transaction for 3.0 s"
        );
        drop(held);
        permit.acquire("an UPDATE", permit.deadline()).await.unwrap();
    }
}
