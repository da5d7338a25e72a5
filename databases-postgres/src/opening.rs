//! A transaction whose BEGIN has not been sent: it goes with the first thing that is sent in it.
//!
//! Until then the transaction is open for us and not for the server. What can fail before, preparing, fails outside of it;
//! that counts as a failure of the transaction all the same, as it would have been one.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use databases_core::{Effect, Error, ErrorKind, Result};
use futures_util::future::{join, maybe_done};
use tokio_postgres::Client;

use crate::connection::PgConnection;

type Driver<T> = std::result::Result<T, tokio_postgres::Error>;

/// What the wire does not know of a session's transaction.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// BEGIN waits to be sent.
    waits: AtomicBool,
    /// A statement of the transaction has failed, and the server took it for one outside of it.
    failed: AtomicBool,
    /// Held while it is queued.
    begin: Mutex<String>,
}

impl Opening {
    /// Keeps `begin` back.
    pub(crate) fn keep_back(&self, begin: String) {
        *self.lock() = begin;
        self.failed.store(false, SeqCst);
        self.waits.store(true, SeqCst);
    }

    pub(crate) fn waits(&self) -> bool {
        self.waits.load(SeqCst)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(SeqCst)
    }

    /// The transaction can only be rolled back.
    pub(crate) fn fail(&self) {
        self.failed.store(true, SeqCst);
    }

    /// The transaction is over for us; whether the server never heard of it.
    pub(crate) fn forget(&self) -> bool {
        self.failed.store(false, SeqCst);
        self.waits.swap(false, SeqCst)
    }

    /// The BEGIN that waits.
    fn begin(&self) -> Option<String> {
        self.waits().then(|| self.lock().clone())
    }

    /// Calls `queue`, which puts BEGIN into the driver's queue, unless somebody else has done so; whether it was called. Until
    /// BEGIN is there it counts as waiting, so that nobody queues a statement before it.
    fn send(&self, queue: impl FnOnce()) -> bool {
        let _begin = self.lock();
        let waits = self.waits();
        if waits {
            queue();
            self.waits.store(false, SeqCst);
        }
        waits
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.begin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PgConnection {
    /// Sends what `work` sends, behind the BEGIN that waits, if one does; its answer is not waited for in between.
    ///
    /// # Errors
    ///
    /// Why there is no transaction. The connection is given up then: what was sent with BEGIN has run outside of one.
    pub(crate) async fn in_transaction<T>(
        &self,
        client: &Client,
        work: impl Future<Output = Driver<T>>,
    ) -> Result<Driver<T>> {
        let Some(begin) = self.session.opening.begin() else { return Ok(work.await) };
        let mut begun = pin!(maybe_done(client.batch_execute(&begin)));
        let queued = poll_fn(|cx| {
            Poll::Ready(self.session.opening.send(|| {
                self.session.guard.expect_begin();
                // A future of the driver queues what it sends when it is first polled.
                _ = begun.as_mut().poll(cx);
            }))
        });
        if !queued.await {
            return Ok(work.await);
        }
        let ((), done) = join(begun.as_mut(), work).await;
        match begun.take_output().expect("a join is over when both are") {
            Ok(()) if !self.session.guard.expects_begin() => Ok(done),
            begun => Err(self.not_begun(begun, done.is_ok()).await),
        }
    }

    async fn not_begun(&self, begun: Driver<()>, has_run: bool) -> Error {
        let error = match begun {
            Err(error) => self.session.fail(error, None).await,
            Ok(()) => Error::new(ErrorKind::Internal, "the server has answered BEGIN with something else"),
        };
        if error.is_disconnected() {
            return error;
        }
        self.session.kill();
        let effect = if has_run { Effect::Unknown } else { Effect::RolledBack };
        error.context("the transaction was not opened, so its connection is given up").with_effect(effect)
    }

    /// Sends the BEGIN that waits, if one does, and waits for its answer.
    pub(crate) async fn open_transaction(&self) -> Result<()> {
        if !self.session.opening.waits() {
            return Ok(());
        }
        let client = self.client().await?;
        let mut op = self.session.op();
        op.sending();
        let opened = self.in_transaction(&client, std::future::ready(Ok(()))).await;
        op.finish();
        opened.map(drop)
    }
}
