//! What the pool's lock guards. No I/O, no waiting, no callback.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tokio::runtime::{Handle, Id};
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};

use super::Grant;
use super::lanes::{Lane, Sharing};
use super::slot::Open;
use crate::backend::{BackendConnection, Status};
use crate::error::{Error, Result};

/// Between two attempts to reach a server that is away, and up to a quarter more.
pub(super) const BACKOFF: Duration = Duration::from_millis(200);

/// Part of it is left to chance, so that many programs do not come back to a server in step.
fn next_attempt(now: Instant) -> Instant {
    now + BACKOFF + super::connect::jitter(BACKOFF / 4)
}

/// What a connection was taken for; named in timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Statement,
    Connection,
    Transaction,
    Stream,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Statement => "a statement",
            Self::Connection => "an acquired connection",
            Self::Transaction => "a transaction",
            Self::Stream => "an open stream",
        }
    }
}

/// An open connection, with what the pool knows of it. Boxed where it goes from hand to hand.
pub(super) struct Member {
    pub(super) conn: Arc<dyn BackendConnection>,
    pub(super) key: Key,
    pub(super) expires: Option<Instant>,
    pub(super) idle_since: Instant,
    /// The only runtime that it works on, if there is one.
    pub(super) home: Option<Handle>,
    /// What a user left open.
    pub(super) open: Option<Open>,
    /// Session state was changed.
    pub(super) dirty: bool,
    /// How many connections had been lost when this one was last known to work: if more were since, it is asked.
    pub(super) losses: u64,
}

impl Member {
    /// Whether the next user can have it as it is; `status` is the connection's, `base` that of an untouched one.
    pub(super) fn is_clean(&self, status: Status, base: Status) -> bool {
        self.open.is_none() && !self.dirty && status == base
    }

    pub(super) fn is_here(&self) -> bool {
        self.home.as_ref().is_none_or(|home| Handle::try_current().is_ok_and(|here| here.id() == home.id()))
    }
}

pub(super) struct Waiter {
    pub(super) sender: oneshot::Sender<Result<Grant>>,
    pub(super) purpose: Purpose,
    /// Connections are opened on the runtime of somebody who waits for one.
    pub(super) runtime: Handle,
    /// How it would share a connection, if it would.
    pub(super) sharing: Option<Sharing>,
}

/// A place among `max_connections`. Whoever has the key has the place, until it is free again or was taken back.
#[derive(Clone, Copy)]
pub(super) struct Key {
    index: usize,
    epoch: u32,
}

#[derive(Clone, Copy)]
pub(super) enum Use {
    Free,
    Idle,
    Held(Purpose, Instant),
    /// In the hands of a task on runtime `home`; taken back if it is not done when it is due, because then nobody
    /// drives that runtime any more.
    Task {
        home: Id,
        due: Instant,
        work: Work,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Opening,
    Cleaning,
    Closing,
}

struct Entry {
    /// How often the place was given back.
    epoch: u32,
    now: Use,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) closed: bool,
    /// Last in, first out.
    #[expect(clippy::vec_box, reason = "each use of a connection moves it out and in again")]
    pub(super) idle: Vec<Box<Member>>,
    /// First in, first out; the key is the ticket.
    pub(super) waiters: BTreeMap<u64, Waiter>,
    pub(super) next_ticket: u64,
    places: Vec<Entry>,
    /// Whether a connection was ever made: an absent server is then waited for.
    pub(super) ever_connected: bool,
    pub(super) last_connect_error: Option<String>,
    /// The last attempt has found that the server is away for now.
    pub(super) away: bool,
    /// A connection was lost since the last one was opened: the server may be away.
    pub(super) lost: bool,
    /// While the server is or may be away, no attempt is made before this.
    next_attempt: Option<Instant>,
    /// Connections that several use, the oldest first.
    pub(super) lanes: Vec<Lane>,
    /// Which task looks after idle connections, and when the next sign of it is due.
    pub(super) keeper: u64,
    pub(super) keeper_due: Option<Instant>,
}

impl State {
    /// Takes a free place.
    pub(super) fn reserve(&mut self, now: Use) -> Key {
        let index = self.places.iter().position(|place| matches!(place.now, Use::Free)).unwrap_or_else(|| {
            self.places.push(Entry { epoch: 0, now: Use::Free });
            self.places.len() - 1
        });
        self.places[index].now = now;
        Key { index, epoch: self.places[index].epoch }
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.places[key.index].epoch == key.epoch
    }

    /// Says what the place is used for from now on; `false` if it was taken back.
    pub(super) fn set(&mut self, key: Key, now: Use) -> bool {
        let ours = self.has(key);
        if ours {
            self.places[key.index].now = now;
        }
        ours
    }

    /// Gives the place back; `false` if it was taken back before.
    pub(super) fn free(&mut self, key: Key) -> bool {
        let ours = self.set(key, Use::Free);
        if ours {
            self.places[key.index].epoch = key.epoch.wrapping_add(1);
        }
        ours
    }

    pub(super) fn count(&self, counts: impl Fn(&Use) -> bool) -> usize {
        self.places.iter().filter(|place| counts(&place.now)).count()
    }

    /// Connections that are open, being opened or being closed.
    pub(super) fn size(&self) -> usize {
        self.count(|now| !matches!(now, Use::Free))
    }

    /// The runtimes on which connections are being opened, once for each connection.
    pub(super) fn attempts(&self) -> Vec<Id> {
        let opening = |place: &Entry| match place.now {
            Use::Task { home, work: Work::Opening, .. } => Some(home),
            _ => None,
        };
        self.places.iter().filter_map(opening).collect()
    }

    pub(super) fn connecting(&self) -> usize {
        self.attempts().len()
    }

    /// Frees the places of tasks that are overdue on runtimes other than `here`, cleaning ones only if `cleaning`.
    pub(super) fn take_back(&mut self, here: Id, now: Instant, cleaning: bool) -> bool {
        let mut any = false;
        for place in &mut self.places {
            if let Use::Task { home, due, work } = place.now
                && home != here
                && due <= now
                && (cleaning || work != Work::Cleaning)
            {
                *place = Entry { epoch: place.epoch.wrapping_add(1), now: Use::Free };
                any = true;
            }
        }
        any
    }

    /// When the next task is overdue.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        let due = |place: &Entry| if let Use::Task { due, .. } = place.now { Some(due) } else { None };
        self.places.iter().filter_map(due).filter(|due| *due > now).min()
    }

    /// Whether an attempt to connect may be made now: while a server is away, only one at a time may.
    pub(super) fn turn(&mut self, now: Instant) -> Result<(), Instant> {
        match self.next_attempt {
            Some(at) if (self.away || self.lost) && now < at => Err(at),
            _ => {
                self.next_attempt = Some(next_attempt(now));
                Ok(())
            }
        }
    }

    /// The server has answered: attempts need not wait for each other.
    pub(super) fn attempt_worked(&mut self) {
        (self.ever_connected, self.away, self.lost) = (true, false, false);
        (self.last_connect_error, self.next_attempt) = (None, None);
    }

    /// Remembers why no connection was opened, and whether the server is `away` for now.
    pub(super) fn attempt_failed(&mut self, error: &Error, away: bool, now: Instant) {
        (self.last_connect_error, self.away) = (Some(error.to_string()), away);
        self.lost &= away;
        if self.next_attempt.is_none_or(|at| at <= now) {
            self.next_attempt = Some(next_attempt(now));
        }
    }

    /// "2 by a transaction, 1 by an open stream; the longest for 12.5 s by a transaction".
    pub(super) fn describe_holders(&self, now: Instant) -> String {
        let held = || {
            self.places.iter().filter_map(|place| match place.now {
                Use::Held(purpose, since) => Some((purpose, since)),
                _ => None,
            })
        };
        let mut text = String::new();
        for purpose in [Purpose::Statement, Purpose::Connection, Purpose::Transaction, Purpose::Stream] {
            let count = held().filter(|(held, _)| *held == purpose).count();
            if count > 0 {
                let comma = if text.is_empty() { "" } else { ", " };
                let _ = write!(text, "{comma}{count} by {}", purpose.name());
            }
        }
        if let Some((purpose, since)) = held().min_by_key(|(_, since)| *since) {
            let held = now.saturating_duration_since(since).as_secs_f64();
            let _ = write!(text, "; the longest for {held:.1} s by {}", purpose.name());
        }
        if text.is_empty() { "none in use".into() } else { text }
    }
}
