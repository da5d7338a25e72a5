//! Lanes: connections that several statements use at a time.
//!
//! A statement joins a lane where its callers would else wait for each other: connections are taken alone as long as there
//! are as many as callers. Where the answers come in the order of the statements, a slow one holds up those behind it; so
//! only texts whose runs were short share, a lane takes no more than is soon done, and none while its first is late.
//! Nobody overtakes a waiter: as long as one waits for a connection of its own, lanes take no newcomers and run dry.

use std::sync::{Arc, Weak};

use tokio::runtime::{Handle, Id};
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};

use super::slot::Slot;
use super::state::{Purpose, State};
use super::{Checkout, Grant, Inner};
use crate::backend::Status;
use crate::error::Result;
use crate::sql::{StatementClass, Template, Verb};

/// A run that took longer was slow; a lane whose first statement has been under way for longer takes no more.
pub(super) const SLOW: Duration = Duration::from_millis(5);
/// A lane takes no more when what waits on it would, by its pace, take longer.
const MOST_WORK: Duration = Duration::from_millis(1);
/// A result of more rows is for a connection of its own: while its caller does other things, what is behind it waits.
const MOST_ROWS: usize = 128;
/// So many statements may be under way on one connection.
const DEPTH: usize = 64;
/// How many writes may wait together where the backend groups them.
const GROUP: usize = 128;

/// Which statements may be on one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Reads,
    Writes,
}

/// How a statement shares its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sharing {
    pub(crate) kind: Kind,
    /// The most users of one connection.
    pub(crate) depth: usize,
    /// So many lanes are filled before there are more.
    pub(crate) width: usize,
    /// Whether answers come in the order of the statements.
    pub(crate) in_order: bool,
}

/// A connection with its users.
pub(super) struct Lane {
    id: u64,
    slot: Weak<Slot>,
    home: Option<Id>,
    expires: Option<Instant>,
    sharing: Sharing,
    /// Those that wait for an answer.
    users: usize,
    /// The number of the last that has joined, and of the last that is over. One that was given up is over when one
    /// behind it is.
    joined: u64,
    over: u64,
    /// Since when the first of those under way is the first.
    first_since: Instant,
    pace: Pace,
}

/// How long the server takes for one of many: the mean of the last ones.
///
/// Answers come many at a time, the first of them late and the others at once, so that one time alone says nothing.
struct Pace {
    sum: Duration,
    runs: u32,
}

impl Pace {
    /// So many that took no time come first, for the first time alone says as little.
    const NEW: Self = Self { sum: Duration::ZERO, runs: 8 };
    /// Once there are so many runs, they count half.
    const MOST_RUNS: u32 = 128;

    fn note(&mut self, took: Duration) {
        if self.runs == Self::MOST_RUNS {
            self.sum /= 2;
            self.runs /= 2;
        }
        self.sum += took;
        self.runs += 1;
    }

    /// Whether `users` statements take longer than `most`.
    fn is_over(&self, users: usize, most: Duration) -> bool {
        self.sum.saturating_mul(u32::try_from(users).unwrap_or(u32::MAX)) > most * self.runs
    }
}

impl Lane {
    fn takes(&self, want: Sharing, here: Option<Id>, now: Instant) -> bool {
        let fits = self.sharing.kind == want.kind
            && self.users < want.depth
            && self.home.is_none_or(|home| Some(home) == here)
            && self.expires.is_none_or(|end| now < end);
        let late = || self.over < self.joined && now.saturating_duration_since(self.first_since) > SLOW;
        let full = || self.pace.is_over(self.users, MOST_WORK);
        fits && !(want.in_order && (late() || full()))
    }

    /// One more user; `None` if the connection is on its way back.
    fn join(&mut self, now: Instant) -> Option<Lease> {
        let slot = self.slot.upgrade()?;
        if self.over == self.joined {
            self.first_since = now;
        }
        self.users += 1;
        self.joined += 1;
        let in_order = self.sharing.in_order;
        let behind = in_order && self.over + 1 < self.joined;
        let seat = Seat { lane: self.id, number: self.joined, since: now, behind, in_order };
        Some(Lease { slot, seat: Some(seat) })
    }

    /// Statement `seat` is over; how long it took by itself.
    fn finish(&mut self, seat: &Seat, now: Instant) -> Duration {
        let took = now.saturating_duration_since(self.first_since.max(seat.since));
        if seat.behind {
            self.pace.note(took);
        }
        self.over = self.over.max(seat.number);
        self.first_since = now;
        took
    }
}

/// A place on a lane.
#[derive(Clone, Copy, Debug)]
struct Seat {
    lane: u64,
    number: u64,
    since: Instant,
    /// Whether others were under way when it was taken, whose answers come first.
    behind: bool,
    in_order: bool,
}

/// A connection for one statement, alone or with others.
pub(crate) struct Lease {
    slot: Arc<Slot>,
    seat: Option<Seat>,
}

impl Lease {
    pub(super) fn alone(slot: Slot) -> Self {
        Self { slot: Arc::new(slot), seat: None }
    }

    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Whether others may use the connection.
    pub(crate) fn is_shared(&self) -> bool {
        self.seat.is_some()
    }

    /// Since when it waits, if answers for others come first.
    pub(crate) fn behind_since(&self) -> Option<Instant> {
        self.seat.filter(|seat| seat.behind).map(|seat| seat.since)
    }

    /// Whether no answer for another comes first any more.
    pub(crate) fn is_first(&self) -> bool {
        let Some(seat) = self.seat else { return true };
        let state = self.slot.inner().lock();
        state.lanes.iter().find(|lane| lane.id == seat.lane).is_none_or(|lane| lane.over + 1 >= seat.number)
    }

    /// Whether stopping the statement can hit nobody else: it is alone from here on, or the backend keeps them apart.
    pub(crate) fn take_alone(&self) -> bool {
        let Some(seat) = self.seat.filter(|seat| seat.in_order) else { return true };
        let lanes = &mut self.slot.inner().lock().lanes;
        let Some(at) = lanes.iter().position(|lane| lane.id == seat.lane) else { return true };
        let alone = lanes[at].users == 1;
        if alone {
            lanes.remove(at);
        }
        alone
    }

    /// The statement is over; how long it took by itself, if others may use the connection.
    pub(crate) fn finish(&mut self) -> Option<Duration> {
        let seat = self.seat.take()?;
        let inner = self.slot.inner();
        let now = Instant::now();
        let mut took = now.saturating_duration_since(seat.since);
        let grants = {
            let mut state = inner.lock();
            if let Some(lane) = state.lanes.iter_mut().find(|lane| lane.id == seat.lane) {
                took = lane.finish(&seat, now);
            }
            state.leave(seat);
            state.seat_waiters(now)
        };
        grant(grants);
        Some(took)
    }
}

impl Drop for Lease {
    // Given up: what it has sent is over once something behind it is.
    fn drop(&mut self) {
        let Some(seat) = self.seat.take() else { return };
        let grants = {
            let mut state = self.slot.inner().lock();
            state.leave(seat);
            state.seat_waiters(Instant::now())
        };
        grant(grants);
    }
}

type Grants = Vec<(oneshot::Sender<Result<Grant>>, Lease)>;

/// To be called without the lock: a lease that nobody takes is dropped here.
fn grant(grants: Grants) {
    for (sender, lease) in grants {
        drop(sender.send(Ok(Grant::Lease(lease))));
    }
}

impl State {
    fn leave(&mut self, seat: Seat) {
        if let Some(at) = self.lanes.iter().position(|lane| lane.id == seat.lane) {
            self.lanes[at].users -= 1;
            if self.lanes[at].users == 0 {
                self.lanes.remove(at);
            }
        }
    }

    /// Whether lanes are full enough to leave `spare` connections alone: those who share would take them all.
    fn is_crowded(&self, want: Sharing, spare: usize) -> bool {
        let lanes = self.lanes.iter().filter(|lane| lane.sharing.kind == want.kind).count();
        let sharing: usize = self.lanes.iter().map(|lane| lane.users - 1).sum();
        lanes >= want.width && sharing >= spare
    }

    /// A seat on the least used of the first lanes, or else on another.
    fn seat(&mut self, want: Sharing, here: Option<Id>, now: Instant) -> Option<Lease> {
        let (mut best, mut of_kind) = (None, 0);
        for (at, lane) in self.lanes.iter().enumerate().filter(|(_, lane)| lane.sharing.kind == want.kind) {
            let rank = (of_kind >= want.width, lane.users);
            of_kind += 1;
            if best.is_none_or(|(least, _)| rank < least) && lane.takes(want, here, now) {
                best = Some((rank, at));
            }
        }
        best.and_then(|(_, at)| self.lanes[at].join(now))
    }

    /// Seats for those who wait first and would share.
    fn seat_waiters(&mut self, now: Instant) -> Grants {
        let mut grants = Vec::new();
        while let Some(waiter) = self.waiters.first_entry() {
            let (sharing, here) = (waiter.get().sharing, waiter.get().runtime.id());
            let Some(lease) = sharing.and_then(|want| self.seat(want, Some(here), now)) else { break };
            let (_, waiter) = self.waiters.pop_first().expect("the first waiter is there");
            grants.push((waiter.sender, lease));
        }
        grants
    }
}

impl Inner {
    /// Takes a connection alone or together with others.
    pub(crate) async fn check_out(self: &Arc<Self>, purpose: Purpose, checkout: Checkout) -> Result<Lease> {
        let sharing = if let Checkout::Shared(want) = checkout { Some(want) } else { None };
        if sharing.is_some()
            && let Some(lease) = self.check_out_at_once(purpose, checkout)
        {
            return Ok(lease);
        }
        Ok(match (self.acquire_as(purpose, sharing, Instant::now()).await?, sharing) {
            (Grant::Lease(lease), _) => lease,
            (Grant::Slot(slot), Some(want)) => self.open_lane(slot, want, Instant::now()),
            (Grant::Slot(slot), None) => Lease::alone(slot),
        })
    }

    /// The same if nothing has to be waited for or looked into first.
    pub(crate) fn check_out_at_once(self: &Arc<Self>, purpose: Purpose, checkout: Checkout) -> Option<Lease> {
        let now = Instant::now();
        let Checkout::Shared(want) = checkout else { return self.take_idle(purpose, now).map(Lease::alone) };
        match self.join_lane(want, now) {
            // One that broke takes no newcomers, so that it is given back and replaced.
            Some(lease) => Some(lease).filter(|lease| lease.slot().conn().status() != Status::Broken),
            None => self.take_idle(purpose, now).map(|slot| self.open_lane(slot, want, now)),
        }
    }

    /// A connection that others use too, unless one is to be had alone or somebody waits for one.
    fn join_lane(&self, want: Sharing, now: Instant) -> Option<Lease> {
        let mut state = self.lock();
        if state.lanes.is_empty() || !state.waiters.is_empty() || state.closed {
            return None;
        }
        let spare = state.idle.len() + self.max.saturating_sub(state.size());
        if spare > 0 && !state.is_crowded(want, spare) {
            return None;
        }
        state.seat(want, Handle::try_current().ok().map(|here| here.id()), now)
    }

    /// Lets others join the user of `slot`.
    fn open_lane(&self, slot: Slot, want: Sharing, now: Instant) -> Lease {
        let (home, expires) = (slot.member().home.as_ref().map(Handle::id), slot.member().expires);
        let slot = Arc::new(slot);
        let id = self.next_level();
        let lane = Lane {
            id,
            slot: Arc::downgrade(&slot),
            home,
            expires,
            sharing: want,
            users: 1,
            joined: 1,
            over: 0,
            first_since: now,
            pace: Pace::NEW,
        };
        let grants = {
            let mut state = self.lock();
            state.lanes.push(lane);
            state.seat_waiters(now)
        };
        grant(grants);
        Lease { slot, seat: Some(Seat { lane: id, number: 1, since: now, behind: false, in_order: want.in_order }) }
    }

    /// How a statement that anybody's connection would do for takes it.
    pub(crate) fn checkout_of(&self, template: &Template, whole: bool) -> Checkout {
        match self.sharing_of(template) {
            Some(sharing) if !sharing.in_order || (whole && template.pace().is_quick()) => Checkout::Shared(sharing),
            _ => Checkout::Exclusive,
        }
    }

    fn sharing_of(&self, template: &Template) -> Option<Sharing> {
        let can = self.config.connector.capabilities();
        if !can.shares_reads && !can.shares_writes {
            return None;
        }
        let in_order = can.pipelining;
        let all =
            Sharing { kind: Kind::Writes, depth: if in_order { DEPTH } else { GROUP }, width: usize::MAX, in_order };
        let lanes = self.options().lanes || !in_order;
        match (template.class(), template.verb()) {
            (StatementClass::Read, Verb::Select | Verb::Values | Verb::Table) if can.shares_reads && lanes => {
                Some(Sharing { kind: Kind::Reads, width: self.cores, ..all })
            }
            // What only calls a function that writes may take locks of the session's, or wait for others.
            (StatementClass::Write, Verb::Insert | Verb::Update | Verb::Delete) if can.shares_writes && lanes => {
                Some(all)
            }
            (StatementClass::Write, _) if can.shares_writes && !in_order => Some(all),
            _ => None,
        }
    }

    /// Whether the time of a run of this text tells whether it may share a connection.
    pub(crate) fn is_timed(&self, template: &Template) -> bool {
        self.sharing_of(template).is_some_and(|sharing| sharing.in_order)
    }

    /// Remembers how a run went.
    pub(crate) fn note_run(template: &Template, took: Duration, rows: usize) {
        template.pace().note(took <= SLOW && rows <= MOST_ROWS);
    }
}
