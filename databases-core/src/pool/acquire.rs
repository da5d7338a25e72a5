//! Taking a connection.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::runtime::{Handle, Id};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument as _;

use super::connect::start;
use super::slot::{Borrowed, Place, Slot};
use super::state::{Key, Member, Purpose, State, Use, Waiter, Work};
use super::{Grant, Inner, Sharing, after, clean, closed, later};
use crate::backend::Status;
use crate::error::{Error, ErrorKind, Result};

enum Taken<'a> {
    Slot(Slot),
    Waiting(Waiting<'a>),
}

impl Inner {
    /// Takes a connection; waits for at most `acquire_timeout`, connecting included.
    pub(crate) async fn acquire(self: &Arc<Self>, purpose: Purpose) -> Result<Slot> {
        match self.acquire_as(purpose, None, Instant::now()).await? {
            Grant::Slot(slot) => Ok(slot),
            Grant::Lease(_) => unreachable!("only who would share is given a lease"),
        }
    }

    /// Takes a connection, or a place on one if that comes first and the caller would share.
    pub(super) async fn acquire_as(
        self: &Arc<Self>,
        purpose: Purpose,
        sharing: Option<Sharing>,
        now: Instant,
    ) -> Result<Grant> {
        let deadline = after(now, self.options().acquire_timeout);
        let mut now = now;
        loop {
            let taken = self.take(purpose, sharing, now)?;
            let slot = match taken {
                Taken::Slot(slot) => slot,
                Taken::Waiting(mut waiting) => {
                    let span = Some(self.pool_span("acquire")).filter(|span| !span.is_disabled());
                    let granted = match span {
                        Some(span) => Box::pin(waiting.wait(now, deadline).instrument(span)).await,
                        None => waiting.wait(now, deadline).await,
                    };
                    now = Instant::now();
                    match granted? {
                        Grant::Slot(slot) => slot,
                        lease @ Grant::Lease(_) => return Ok(lease),
                    }
                }
            };
            if slot.member().is_here() && self.is_ready(slot.member(), now) {
                return Ok(Grant::Slot(slot));
            }
            // Boxed, so that the way of those who only wait stays short.
            if let Some(slot) = Box::pin(self.make_ready(slot, purpose, deadline)).await? {
                return Ok(Grant::Slot(slot));
            }
            now = Instant::now();
        }
    }

    /// The idle connection that was used last, if nothing is to be done before it is used.
    pub(crate) fn take_idle(self: &Arc<Self>, purpose: Purpose, now: Instant) -> Option<Slot> {
        self.borrow_idle(purpose, now).map(Borrowed::into_slot)
    }

    /// The same, for a user who gives it back before anything else happens.
    pub(crate) fn borrow_idle(self: &Arc<Self>, purpose: Purpose, now: Instant) -> Option<Borrowed<'_>> {
        let mut state = self.lock();
        if state.closed || state.keeper_due.is_some_and(|due| due <= now) {
            return None;
        }
        // The last one only: what is with those that were idle for longer is found out the slow way.
        let member = state.idle.pop_if(|member| member.is_here() && self.is_fresh(member, now))?;
        state.set(member.key, Use::Held(purpose, now));
        drop(state);
        // One that is not clean is cleaned when it is dropped.
        let borrowed = Borrowed::new(self, member, now);
        self.is_ready(borrowed.member(), now).then_some(borrowed)
    }

    /// Takes the idle connection that was used last and works here, or queues.
    fn take(self: &Arc<Self>, purpose: Purpose, sharing: Option<Sharing>, now: Instant) -> Result<Taken<'_>> {
        let (taken, planned, keeper_is_late) = {
            let mut state = self.lock();
            if state.closed {
                return Err(closed());
            }
            let keeper_is_late = state.keeper_due.is_some_and(|due| due <= now);
            // This overtakes nobody: whoever waits could not use any of those that are idle.
            if let Some(at) = state.idle.iter().rposition(|member| member.is_here()) {
                let member = state.idle.remove(at);
                state.set(member.key, Use::Held(purpose, now));
                (Taken::Slot(Slot::new(self.clone(), member)), Vec::new(), keeper_is_late)
            } else {
                let here = current_runtime()?;
                state.take_back(here.id(), now, self.replaceable());
                let (ticket, receiver) = queue(&mut state, here, purpose, sharing);
                let planned = self.plan_connections(&mut state);
                let waiting = Waiting { inner: self, ticket: Some(ticket), receiver, due: state.next_due(now) };
                (Taken::Waiting(waiting), planned, keeper_is_late)
            }
        };
        start(planned);
        if keeper_is_late {
            self.maintain();
        }
        Ok(taken)
    }

    /// Whether the connection can be used as it is, if it can be used here.
    fn is_ready(&self, member: &Member, now: Instant) -> bool {
        self.is_fresh(member, now) && member.is_clean(member.conn.status(), self.base_status())
    }

    /// Whether it need not be asked if it is still there.
    fn is_fresh(&self, member: &Member, now: Instant) -> bool {
        !self.is_suspect(member) && (self.single || now.saturating_duration_since(member.idle_since) < self.ping_after)
    }

    /// Cleans or asks the connection, or opens another in its place; `None` if the place was lost meanwhile.
    async fn make_ready(self: &Arc<Self>, slot: Slot, purpose: Purpose, deadline: Instant) -> Result<Option<Slot>> {
        let member = slot.member();
        if !member.is_here() || member.conn.status() == Status::Broken {
            return self.replace(slot, false, purpose, deadline).await.map(Some);
        }
        let runtime = current_runtime()?;
        let key = member.key;
        self.start_cleaning(key, runtime.id());
        // A task has the slot, and not this future: our deadline is not the connection's.
        let cleaned = match timeout_at(deadline, runtime.spawn(self.clone().put_in_order(slot))).await {
            Ok(cleaned) => cleaned,
            Err(_) => return Err(self.timed_out("it was being cleaned")),
        };
        let (slot, result) = cleaned.map_err(|lost| {
            let what = if lost.is_panic() { "its task panicked" } else { "its runtime was shut down" };
            Error::new(ErrorKind::Internal, format!("a connection could not be cleaned: {what}"))
        })?;
        if !self.lock().set(key, Use::Held(purpose, Instant::now())) {
            return Ok(None);
        }
        match result {
            Ok(()) => Ok(Some(slot)),
            Err(error) if self.single && slot.conn().status() != Status::Broken => {
                Err(error.context("the only connection could not be cleaned and is kept"))
            }
            Err(error) => {
                let stuck = error.kind() == ErrorKind::PoolTimeout;
                self.replace(slot, stuck, purpose, deadline).await.map(Some)
            }
        }
    }

    pub(super) fn start_cleaning(&self, key: Key, here: Id) {
        let cleaning = self.task(here, self.options().close_timeout, Work::Cleaning);
        self.lock().set(key, cleaning);
    }

    /// Cleans the connection and sees whether it works, for `close_timeout` at the most. Unless the caller says
    /// otherwise, one that could not be put in order is discarded, or kept as it is if it is the only one.
    pub(super) async fn put_in_order(self: Arc<Self>, mut slot: Slot) -> (Slot, Result<()>) {
        slot.mark_discard();
        let limit = self.options().close_timeout;
        let losses = self.losses.load(Relaxed);
        let member = slot.member.as_mut().expect("a slot has its connection until it is dropped");
        let result = match timeout(limit, self.check(member)).await {
            Ok(result) => result,
            Err(_) => {
                let limit = crate::backend::in_seconds(limit);
                Err(Error::new(ErrorKind::PoolTimeout, format!("cleaning it took longer than close_timeout, {limit}")))
            }
        };
        if result.is_ok() {
            (member.open, member.dirty, member.losses) = (None, false, losses);
            slot.keep();
        }
        (slot, result)
    }

    /// Whether the connection works and is clean now.
    async fn check(&self, member: &Member) -> Result<()> {
        clean(self, &*member.conn, member.open, member.dirty).await?;
        let silent = !self.single && member.idle_since.elapsed() >= self.ping_after;
        if self.is_suspect(member) || silent { member.conn.ping().await } else { Ok(()) }
    }

    /// Opens a connection in place of another, which is closed before.
    async fn replace(
        self: &Arc<Self>,
        mut slot: Slot,
        stuck: bool,
        purpose: Purpose,
        deadline: Instant,
    ) -> Result<Slot> {
        let place = Place::of(self.clone(), slot.member().key);
        let member = slot.member.take().expect("a slot has its connection until it is dropped");
        let broken = member.conn.status() == Status::Broken;
        self.lock().lost |= broken;
        if !stuck && member.is_here() && !broken {
            let until = deadline.min(later(self.options().close_timeout));
            let _ = timeout_at(until, member.conn.close()).await;
        }
        drop(member);
        match timeout_at(deadline, self.open_patiently(|| true)).await {
            Ok(Ok((conn, home))) => {
                let member = self.admit(conn, home, place);
                self.lock().set(member.key, Use::Held(purpose, Instant::now()));
                Ok(Slot::new(self.clone(), member))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(self.timed_out("a new connection was being opened")),
        }
    }

    #[cold]
    pub(super) fn timed_out(&self, doing: &str) -> Error {
        let state = self.lock();
        let waited = crate::backend::in_seconds(self.options().acquire_timeout);
        let mut message = format!(
            "no connection within {waited}: {doing}; {} of {} connections open, {}, {} waiting",
            state.size(),
            self.max,
            state.describe_holders(Instant::now()),
            state.waiters.len(),
        );
        if let Some(error) = &state.last_connect_error {
            message.push_str("; the last attempt to connect failed: ");
            message.push_str(error);
        }
        Error::new(ErrorKind::PoolTimeout, message).with_hint(
            "acquire_timeout and max_connections set the limits; an open stream or transaction holds its connection",
        )
    }
}

fn current_runtime() -> Result<Handle> {
    Handle::try_current().map_err(|_| {
        Error::new(ErrorKind::Unsupported, "connections are opened on a tokio runtime; there is none here")
    })
}

fn queue(
    state: &mut State,
    runtime: Handle,
    purpose: Purpose,
    sharing: Option<Sharing>,
) -> (u64, oneshot::Receiver<Result<Grant>>) {
    let (sender, receiver) = oneshot::channel();
    let ticket = state.next_ticket;
    state.next_ticket += 1;
    state.waiters.insert(ticket, Waiter { sender, purpose, runtime, sharing });
    (ticket, receiver)
}

struct Waiting<'a> {
    inner: &'a Arc<Inner>,
    /// `None` once it is no longer in the queue.
    ticket: Option<u64>,
    receiver: oneshot::Receiver<Result<Grant>>,
    /// When the next task of the pool is overdue.
    due: Option<Instant>,
}

impl Waiting<'_> {
    async fn wait(&mut self, mut now: Instant, deadline: Instant) -> Result<Grant> {
        loop {
            // Those who work for us may be on a runtime that is no longer driven.
            let round = self.due.unwrap_or_else(|| after(now, self.inner.patience()));
            let until = deadline.min(round);
            match timeout_at(until, &mut self.receiver).await {
                Ok(answer) => {
                    // Whoever answers has taken the waiter out of the queue.
                    self.ticket = None;
                    return answer.unwrap_or_else(|_| Err(closed()));
                }
                Err(_) => self.inner.take_back_overdue(Handle::current().id()),
            }
            if until == deadline {
                let connecting = self.inner.lock().connecting() > 0;
                let doing = if connecting { "new connections were being opened" } else { "all were in use" };
                return Err(self.inner.timed_out(doing));
            }
            now = Instant::now();
            self.due = self.inner.lock().next_due(now);
        }
    }
}

impl Drop for Waiting<'_> {
    // A slot that was sent and not received is dropped with the receiver, which passes the turn on.
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.inner.lock().waiters.remove(&ticket);
        }
    }
}
