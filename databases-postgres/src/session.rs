//! What is under way on one connection, and why it ended if it has.
//!
//! The guard sees what reached the socket; what still waits in the driver's queue it cannot see. So every call of ours
//! is an [`Op`]: one that is dropped in the middle makes the session [`Status::Busy`] until something that was queued
//! behind it has been answered.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use databases_core::backend::Status;
use databases_core::{Effect, Error, ErrorKind};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::error;
use crate::guard::GuardState;
use crate::opening::Opening;

/// How long an error waits for the driver's task to say why the connection ended.
const REASON_WAIT: Duration = Duration::from_secs(1);

/// The state that a connection, its streams and its tasks share.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) guard: Arc<GuardState>,
    pub(crate) opening: Opening,
    /// Prepares, and COPYs that are to begin, which go on when their caller is dropped.
    preparing: AtomicUsize,
    /// How many calls were dropped in the middle, and how many of those are known to be over.
    abandoned: AtomicU64,
    settled: AtomicU64,
    prepared: Notify,
    /// The driver may take an answer for that of another call.
    out_of_step: AtomicBool,
    /// Why the connection ended.
    reason: Mutex<Option<Reason>>,
    task: OnceLock<AbortHandle>,
}

/// Why a connection ended: SQLSTATE and message.
#[derive(Clone, Debug)]
pub(crate) struct Reason {
    pub(crate) code: Option<String>,
    pub(crate) message: String,
}

impl Session {
    pub(crate) fn new(guard: Arc<GuardState>) -> Arc<Self> {
        Arc::new(Self {
            guard,
            opening: Opening::default(),
            preparing: AtomicUsize::new(0),
            abandoned: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            prepared: Notify::new(),
            out_of_step: AtomicBool::new(false),
            reason: Mutex::new(None),
            task: OnceLock::new(),
        })
    }

    pub(crate) fn status(&self) -> Status {
        if self.guard.is_closed() {
            return Status::Broken;
        }
        // In this order: BEGIN waits until it is queued by a call that is under way, and a dropped call counts as abandoned before
        // it stops counting as under way.
        let begin_waits = self.opening.waits();
        let busy = self.guard.calls.load(SeqCst) > 0
            || self.preparing.load(SeqCst) > 0
            || !self.is_settled()
            || self.guard.is_working();
        match self.guard.transaction_status() {
            _ if busy => Status::Busy,
            b'I' if !begin_waits => Status::Idle,
            b'I' | b'T' if self.opening.has_failed() => Status::Failed,
            b'I' | b'T' => Status::InTransaction,
            b'E' => Status::Failed,
            // Before the first ReadyForQuery, or a byte that no server sends.
            _ => Status::Broken,
        }
    }

    /// Whether all dropped calls are known to be over.
    pub(crate) fn is_settled(&self) -> bool {
        self.abandoned.load(SeqCst) == self.settled.load(SeqCst)
    }

    /// Whether the last ReadyForQuery was outside a transaction.
    pub(crate) fn outside_transaction(&self) -> bool {
        self.guard.transaction_status() == b'I'
    }

    /// Notes the driver's task, so that a connection that cannot go on can be ended.
    pub(crate) fn set_task(&self, task: AbortHandle) {
        _ = self.task.set(task);
    }

    /// Ends the connection at once.
    pub(crate) fn kill(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
        self.guard.close();
    }

    /// Notes why the connection ended; the first reason stays.
    pub(crate) fn set_reason(&self, reason: Reason) {
        let mut slot = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(reason);
    }

    fn reason(&self) -> Option<Reason> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a call.
    pub(crate) fn op(self: &Arc<Self>) -> Op {
        Op::new(self.clone())
    }

    /// Starts a call that does not outlive the caller's use of the session.
    pub(crate) fn short_op(&self) -> Op<&Self> {
        Op::new(self)
    }

    /// Notes that something may be under way that we do not know of.
    pub(crate) fn abandon(&self) {
        self.abandoned.fetch_add(1, SeqCst);
    }

    /// Notes that the driver may take an answer for that of another call: nothing may be sent any more.
    pub(crate) fn lose_step(&self, message: &str) {
        self.set_reason(Reason { code: None, message: message.to_owned() });
        self.out_of_step.store(true, SeqCst);
    }

    pub(crate) fn is_out_of_step(&self) -> bool {
        self.out_of_step.load(SeqCst)
    }

    /// Whether nothing can be sent any more.
    pub(crate) fn is_over(&self) -> bool {
        self.guard.is_closed() || self.is_out_of_step()
    }

    /// Starts a prepare.
    pub(crate) fn preparing(self: &Arc<Self>) -> Preparing {
        self.preparing.fetch_add(1, SeqCst);
        Preparing(self.clone())
    }

    /// Waits until no prepare is under way; `false` if there was none.
    pub(crate) async fn prepared(&self) -> bool {
        let mut waited = false;
        loop {
            let prepared = self.prepared.notified();
            if self.preparing.load(SeqCst) == 0 || self.guard.is_closed() {
                return waited;
            }
            waited = true;
            prepared.await;
        }
    }

    /// The error of a call on a connection that was already over.
    pub(crate) fn gone(&self) -> Error {
        self.disconnected().with_effect(Effect::NotSent)
    }

    fn disconnected(&self) -> Error {
        match self.reason() {
            Some(Reason { code: Some(code), message }) => {
                let message = format!("the connection broke: {message}");
                Error::new(ErrorKind::Disconnected, message).with_code(code)
            }
            Some(Reason { code: None, message }) => {
                Error::new(ErrorKind::Disconnected, format!("the connection broke: {message}"))
            }
            None => Error::new(ErrorKind::Disconnected, "the connection is closed"),
        }
    }

    /// Turns an error of the driver into ours, once the session's state is known again; `sql` is what was sent.
    pub(crate) async fn fail(&self, error: tokio_postgres::Error, sql: Option<&str>) -> Error {
        if let Some(server) = error.as_db_error() {
            if error::is_fatal(server) {
                // No ReadyForQuery follows: the server closes the connection.
                self.set_reason(error::reason(&error));
                self.guard.close();
            } else {
                self.guard.error_answered().await;
            }
            return error::from_server(server, sql);
        }
        // The guard is the first to know of an end; what the driver cannot read is none.
        if error.is_closed() || (error::is_io(&error) && self.guard.is_closed()) {
            _ = tokio::time::timeout(REASON_WAIT, self.guard.closed()).await;
            self.guard.close();
            self.set_reason(error::reason(&error));
            let ours = self.disconnected();
            return match error::into_io(error) {
                Some(io) => ours.with_source(io),
                None => ours,
            };
        }
        let copying = self.guard.is_copying_in();
        // The driver and the server no longer agree on what is being answered.
        self.set_reason(error::reason(&error));
        let given_up = self.give_up(&error.to_string());
        if copying {
            return Error::new(
                ErrorKind::Unsupported,
                "COPY FROM STDIN waits for data, which this call has none of; the connection was closed",
            )
            .with_hint("copy_in() and copy_rows() send data")
            .with_effect(Effect::RolledBack);
        }
        given_up
    }

    /// Ends the connection because of what the server sent.
    pub(crate) fn give_up(&self, why: &str) -> Error {
        self.set_reason(Reason { code: None, message: why.to_owned() });
        self.kill();
        Error::new(ErrorKind::Disconnected, format!("the connection was given up: {why}"))
    }
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Op<S: Deref<Target = Session> = Arc<Session>> {
    session: S,
    epoch: u64,
    sent: bool,
    done: bool,
}

impl<S: Deref<Target = Session>> Op<S> {
    fn new(session: S) -> Self {
        session.guard.calls.fetch_add(1, SeqCst);
        let epoch = session.abandoned.load(SeqCst);
        Self { session, epoch, sent: false, done: false }
    }

    /// Something may be queued from here on.
    pub(crate) fn sending(&mut self) {
        self.sent = true;
    }

    /// The call has got its whole answer, so everything queued before it has too.
    pub(crate) fn finish(mut self) {
        self.done = true;
        if self.sent && self.session.settled.load(SeqCst) < self.epoch {
            self.session.settled.fetch_max(self.epoch, SeqCst);
        }
    }
}

impl<S: Deref<Target = Session>> Drop for Op<S> {
    fn drop(&mut self) {
        if self.sent && !self.done {
            self.session.abandon();
        }
        self.session.guard.calls.fetch_sub(1, SeqCst);
    }
}

/// A prepare under way.
#[derive(Debug)]
pub(crate) struct Preparing(Arc<Session>);

impl Drop for Preparing {
    fn drop(&mut self) {
        self.0.preparing.fetch_sub(1, SeqCst);
        self.0.prepared.notify_waiters();
    }
}
