//! A connection in somebody's hands; it goes back when it is dropped.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Handle, Id};
use tokio::time::{Duration, Instant};

use super::connect::start;
use super::state::{Key, Member, Use, Work};
use super::{Grant, Inner, later};
use crate::backend::{BackendConnection, Status};

/// What a background task may take beyond its own limit before its runtime counts as no longer driven.
pub(super) const SLACK: Duration = Duration::from_millis(500);

/// The outermost transaction or savepoint of a user that was not ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    /// The number of its savepoint, if it is one (force_rollback).
    pub(crate) savepoint: u64,
    /// The savepoint is known to be there, and there may be something to undo.
    pub(crate) marked: bool,
}

/// A connection that is checked out.
pub(crate) struct Slot {
    pub(super) inner: Arc<Inner>,
    /// Gone only while the slot is dropped or handed on.
    pub(super) member: Option<Box<Member>>,
    dirty: AtomicBool,
    discard: AtomicBool,
    open: Mutex<Option<Open>>,
}

impl Slot {
    pub(super) fn new(inner: Arc<Inner>, member: Box<Member>) -> Self {
        Self {
            inner,
            member: Some(member),
            dirty: AtomicBool::new(false),
            discard: AtomicBool::new(false),
            open: Mutex::default(),
        }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(crate) fn conn(&self) -> &Arc<dyn BackendConnection> {
        &self.member().conn
    }

    pub(super) fn member(&self) -> &Member {
        self.member.as_ref().expect("a slot has its connection until it is dropped")
    }

    /// The session was changed: reset before anyone else has it.
    pub(crate) fn mark_dirty(&self) {
        self.dirty.store(true, Relaxed);
    }

    /// The session may be in any state: never to be used again.
    pub(crate) fn mark_discard(&self) {
        self.discard.store(true, Relaxed);
    }

    /// It was put in order after all.
    pub(super) fn keep(&self) {
        self.discard.store(false, Relaxed);
    }

    /// A transaction or savepoint of the user was not ended.
    pub(crate) fn set_open(&self, open: Open) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(open);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(mut member) = self.member.take() else { return };
        let single = self.inner.single;
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        member.open = member.open.or(open);
        member.dirty |= *self.dirty.get_mut() && !single;
        // What a panic interrupted may have left the session in any state.
        let discard = *self.discard.get_mut() || (std::thread::panicking() && !single);
        self.inner.release(member, discard, Instant::now());
    }
}

/// A connection that is used at once and for a moment: nobody marks it, and the time is that of its user.
pub(crate) struct Borrowed<'a> {
    inner: &'a Arc<Inner>,
    /// Gone only while it is dropped or handed on.
    member: Option<Box<Member>>,
    ended: Instant,
}

impl<'a> Borrowed<'a> {
    pub(super) fn new(inner: &'a Arc<Inner>, member: Box<Member>, now: Instant) -> Self {
        Self { inner, member: Some(member), ended: now }
    }

    pub(super) fn member(&self) -> &Member {
        self.member.as_ref().expect("it has its connection until it is dropped")
    }

    pub(crate) fn conn(&self) -> &dyn BackendConnection {
        &*self.member().conn
    }

    /// It is given back now, and this is the time.
    pub(crate) fn ended_at(&mut self, now: Instant) {
        self.ended = now;
    }

    pub(super) fn into_slot(mut self) -> Slot {
        let member = self.member.take().expect("it has its connection until it is dropped");
        Slot::new(self.inner.clone(), member)
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let Some(member) = self.member.take() else { return };
        // As of a slot.
        let discard = std::thread::panicking() && !self.inner.single;
        self.inner.release(member, discard, self.ended);
    }
}

impl Inner {
    /// The status of a connection that nobody has touched.
    pub(super) fn base_status(&self) -> Status {
        if self.options().force_rollback { Status::InTransaction } else { Status::Idle }
    }

    /// Takes a connection back: to the first waiter, to the idle ones, or out of the pool. The only connection stays as
    /// long as it works; one that could not be put in order is left to whoever takes it next.
    pub(super) fn release(self: &Arc<Self>, mut member: Box<Member>, discard: bool, now: Instant) {
        let status = member.conn.status();
        let expired = !self.single && member.expires.is_some_and(|at| at <= now);
        if status == Status::Broken {
            self.losses.fetch_add(1, Relaxed);
            self.lock().lost = true;
        }
        if status == Status::Broken || expired || (discard && !self.single) {
            return self.retire(member);
        }
        member.idle_since = now;
        if discard || member.is_clean(status, self.base_status()) {
            return self.hand_over(member, now);
        }
        let home = member.home.clone();
        self.hand_over(member, now);
        self.tidy_idle(home);
    }

    /// Gives a connection to the first waiter that still waits, or puts it with the idle ones.
    pub(super) fn hand_over(self: &Arc<Self>, mut member: Box<Member>, now: Instant) {
        loop {
            let waiter = {
                let mut state = self.lock();
                if state.closed || !state.has(member.key) {
                    drop(state);
                    return self.retire(member);
                }
                let Some((_, waiter)) = state.waiters.pop_first() else {
                    state.set(member.key, Use::Idle);
                    state.idle.push(member);
                    return;
                };
                state.set(member.key, Use::Held(waiter.purpose, now));
                waiter
            };
            match waiter.sender.send(Ok(Grant::Slot(Slot::new(self.clone(), member)))) {
                Ok(()) => return,
                Err(Ok(Grant::Slot(mut slot))) => {
                    // The waiter has gone; the loop, and not the slot's drop, passes the turn on.
                    member = slot.member.take().expect("a slot that nobody saw has its connection");
                }
                Err(_) => unreachable!("a slot was sent"),
            }
        }
    }

    /// Takes a connection out of the pool and closes it; its place is free once it is closed.
    pub(super) fn retire(self: &Arc<Self>, member: Box<Member>) {
        let place = Place::of(self.clone(), member.key);
        match Handle::try_current() {
            Ok(here) if member.is_here() => {
                let grace = self.options().close_timeout;
                let closing = self.task(here.id(), grace, Work::Closing);
                self.lock().set(member.key, closing);
                here.spawn(async move {
                    let _ = tokio::time::timeout(grace, member.conn.close()).await;
                    drop(member);
                    drop(place);
                });
            }
            // Elsewhere its socket cannot be driven: dropping it is all that can be done.
            _ => {
                drop(member);
                drop(place);
            }
        }
    }

    /// The use of a place by a task on `home` that takes `time` at the most.
    pub(super) fn task(&self, home: Id, time: Duration, work: Work) -> Use {
        Use::Task { home, due: later(time.saturating_add(SLACK)), work }
    }

    /// Whether a connection was lost since this one was last known to work.
    pub(super) fn is_suspect(&self, member: &Member) -> bool {
        !self.single && member.losses != self.losses.load(Relaxed)
    }
}

/// A place among `max_connections`, given back when dropped.
pub(super) struct Place {
    inner: Arc<Inner>,
    /// Gone only once the place is its connection's.
    key: Option<Key>,
}

impl Place {
    pub(super) fn of(inner: Arc<Inner>, key: Key) -> Self {
        Self { inner, key: Some(key) }
    }

    /// Gives the place back without opening another connection in it.
    pub(super) fn give_back_quietly(mut self) {
        if let Some(key) = self.key.take()
            && self.inner.lock().free(key)
        {
            self.inner.gone.notify_waiters();
        }
    }

    /// The place is its connection's from here on.
    pub(super) fn keep(mut self) -> Key {
        self.key.take().expect("kept only once")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let planned = {
            let mut state = self.inner.lock();
            if !state.free(key) {
                return;
            }
            self.inner.plan_connections(&mut state)
        };
        start(planned);
        self.inner.gone.notify_waiters();
    }
}
