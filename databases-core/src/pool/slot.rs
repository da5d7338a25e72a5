//! A connection in somebody's hands; it goes back when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::runtime::Id;
use tokio::time::{Duration, Instant};

use super::connect::start;
use super::state::Member;
use super::{Inner, later};
use crate::backend::{BackendConnection, Status};

/// What a background task may take beyond its own limit before its runtime counts as no longer driven.
pub(super) const SLACK: Duration = Duration::from_secs(1);

/// A connection that is checked out. Shared checkouts are clones of one `Arc<Slot>`.
pub(crate) struct Slot {
    pub(super) inner: Arc<Inner>,
    /// Gone only while the slot is dropped or handed on.
    pub(super) member: Option<Member>,
    dirty: AtomicBool,
    discard: AtomicBool,
    open: AtomicBool,
}

impl Slot {
    pub(super) fn new(inner: Arc<Inner>, member: Member) -> Self {
        Self {
            inner,
            member: Some(member),
            dirty: AtomicBool::new(false),
            discard: AtomicBool::new(false),
            open: AtomicBool::new(false),
        }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(crate) fn conn(&self) -> &Arc<dyn BackendConnection> {
        &self.member.as_ref().expect("a slot has its connection until it is dropped").conn
    }

    /// The session was changed: reset before anyone else has it.
    pub(crate) fn mark_dirty(&self) {
        self.dirty.store(true, Relaxed);
    }

    /// The session may be in any state: never to be used again.
    pub(crate) fn mark_discard(&self) {
        self.discard.store(true, Relaxed);
    }

    /// Whether savepoints of the user are open (force_rollback).
    pub(crate) fn set_open(&self, open: bool) {
        self.open.store(open, Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(mut member) = self.member.take() else { return };
        member.open |= self.open.load(Relaxed);
        member.dirty |= self.dirty.load(Relaxed) && !self.inner.single;
        // What a panic interrupted may have left the session in any state.
        let discard = (self.discard.load(Relaxed) || std::thread::panicking()) && !self.inner.single;
        self.inner.release(member, discard);
    }
}

impl Inner {
    /// The status of a connection that nobody has touched.
    pub(super) fn base_status(&self) -> Status {
        if self.options().force_rollback { Status::InTransaction } else { Status::Idle }
    }

    /// Takes a connection back: to the first waiter, to the idle ones, or out of the pool.
    pub(super) fn release(self: &Arc<Self>, mut member: Member, discard: bool) {
        let now = Instant::now();
        let broken = member.conn.status() == Status::Broken;
        let expired = !self.single && member.expires.is_some_and(|at| at <= now);
        if discard || broken || expired || self.is_closed() {
            if broken {
                self.losses.fetch_add(1, Relaxed);
            }
            self.retire(member);
            return;
        }
        member.idle_since = now;
        let clean = member.is_clean(self.base_status());
        let home = member.runtime.clone();
        self.hand_over(member);
        if !clean {
            self.tidy_idle(home);
        }
    }

    /// Gives a connection to the first waiter that still waits, or puts it with the idle ones.
    pub(super) fn hand_over(self: &Arc<Self>, mut member: Member) {
        loop {
            let waiter = {
                let mut state = self.lock();
                state.holders[member.index] = None;
                if state.closed {
                    drop(state);
                    return self.retire(member);
                }
                match state.waiters.pop_first() {
                    Some((_, waiter)) => {
                        state.holders[member.index] = Some((waiter.purpose, Instant::now()));
                        waiter
                    }
                    None => {
                        state.idle.push(member);
                        return;
                    }
                }
            };
            match waiter.sender.send(Ok(Slot::new(self.clone(), member))) {
                Ok(()) => return,
                Err(Ok(mut slot)) => {
                    // The waiter has gone; the loop, and not the slot's drop, passes the turn on.
                    member = slot.member.take().expect("a slot that nobody saw has its connection");
                }
                Err(Err(_)) => unreachable!("a slot was sent"),
            }
        }
    }

    /// Takes a connection out of the pool and closes it; its place is free once it is closed.
    pub(super) fn retire(self: &Arc<Self>, member: Member) {
        self.lock().holders[member.index] = None;
        let mut place = Place::of(self.clone(), member.index);
        let here = tokio::runtime::Handle::try_current();
        match here {
            Ok(here) if member.runtime.as_ref().is_none_or(|home| home.id() == here.id()) => {
                let grace = self.options().close_timeout;
                place.send_out(here.id(), grace);
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

    /// Whether a connection was lost since this one was last known to work.
    pub(super) fn is_suspect(&self, member: &Member) -> bool {
        !self.single && member.losses != self.losses.load(Relaxed)
    }
}

/// A place among `max_connections`, given back when dropped.
pub(super) struct Place {
    inner: Arc<Inner>,
    index: usize,
    kept: bool,
    /// With a background task: the number of its errand.
    errand: Option<u64>,
}

impl Place {
    pub(super) fn of(inner: Arc<Inner>, index: usize) -> Self {
        Self { inner, index, kept: false, errand: None }
    }

    /// The place goes with a task on `runtime` that should take `time` at the most.
    pub(super) fn send_out(&mut self, runtime: Id, time: Duration) {
        let overdue = later(time.saturating_add(SLACK));
        self.errand = Some(self.inner.lock().send_out(self.index, overdue, runtime, false));
    }

    /// A place that went with a task from the start.
    pub(super) fn sent_out(inner: Arc<Inner>, index: usize, errand: u64) -> Self {
        Self { inner, index, kept: false, errand: Some(errand) }
    }

    pub(super) fn errand(&self) -> Option<u64> {
        self.errand
    }

    /// Back from its task; `false` if it was taken away meanwhile and belongs to others now.
    pub(super) fn come_back(&mut self) -> bool {
        let Some(number) = self.errand.take() else { return true };
        let ours = self.inner.lock().errands.remove(&number).is_some();
        self.kept |= !ours;
        ours
    }

    /// Gives the place back without opening another connection in it.
    pub(super) fn give_back_quietly(mut self) {
        self.kept = true;
        self.inner.lock().give_back(self.index);
        self.inner.gone.notify_waiters();
    }

    /// The place is its connection's from here on.
    pub(super) fn keep(mut self) -> usize {
        self.kept = true;
        self.index
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.kept || !self.come_back() {
            return;
        }
        let planned = {
            let mut state = self.inner.lock();
            state.give_back(self.index);
            self.inner.plan_connections(&mut state)
        };
        start(planned);
        self.inner.gone.notify_waiters();
    }
}
