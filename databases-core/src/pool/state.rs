//! What the pool's lock guards. No I/O, no waiting, no callback.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Weak};

use tokio::runtime::{Handle, Id};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::slot::Slot;
use crate::backend::{BackendConnection, Status};
use crate::error::Result;

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

/// An open connection, with what the pool knows of it.
pub(super) struct Member {
    pub(super) conn: Arc<dyn BackendConnection>,
    /// Its place in `State::holders`.
    pub(super) index: usize,
    pub(super) expires: Option<Instant>,
    pub(super) idle_since: Instant,
    pub(super) runtime: Option<Handle>,
    /// Savepoints of a user may be open.
    pub(super) open: bool,
    /// Undoing them was begun.
    pub(super) undoing: bool,
    /// Session state was changed.
    pub(super) dirty: bool,
    /// How many connections had been lost when this one was last known to work: if more were since, it is asked.
    pub(super) losses: u64,
}

impl Member {
    /// Whether the next user can have it as it is.
    pub(super) fn is_clean(&self, base: Status) -> bool {
        !self.open && !self.dirty && self.conn.status() == base
    }
}

pub(super) struct Waiter {
    pub(super) sender: oneshot::Sender<Result<Slot>>,
    pub(super) purpose: Purpose,
    /// Connections are opened on the runtime of somebody who waits for one.
    pub(super) runtime: Handle,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) closed: bool,
    /// Last in, first out.
    pub(super) idle: Vec<Member>,
    /// First in, first out; the key is the ticket.
    pub(super) waiters: BTreeMap<u64, Waiter>,
    pub(super) next_ticket: u64,
    /// Connections that are open, being opened or being closed.
    pub(super) size: usize,
    pub(super) connecting: usize,
    /// Whether a connection was ever made: an absent server is then waited for.
    pub(super) ever_connected: bool,
    pub(super) last_connect_error: Option<String>,
    /// Who has which connection since when, by `Member::index`.
    pub(super) holders: Vec<Option<(Purpose, Instant)>>,
    pub(super) free_indexes: Vec<usize>,
    pub(super) lanes: Vec<Weak<Slot>>,
    pub(super) maintained: bool,
    /// Places in the hands of background tasks, by a number of their own.
    pub(super) errands: BTreeMap<u64, Errand>,
}

/// A place in the hands of a background task, taken back if the task's runtime is no longer driven.
pub(super) struct Errand {
    pub(super) index: usize,
    pub(super) overdue: Instant,
    pub(super) runtime: Id,
    /// Whether it opens a connection for those who wait.
    pub(super) connecting: bool,
}

impl State {
    pub(super) fn new_index(&mut self) -> usize {
        self.free_indexes.pop().unwrap_or_else(|| {
            self.holders.push(None);
            self.holders.len() - 1
        })
    }

    /// A place goes out with a task on `runtime`, which should be done by `overdue`.
    pub(super) fn send_out(&mut self, index: usize, overdue: Instant, runtime: Id, connecting: bool) -> u64 {
        let number = self.next_ticket;
        self.next_ticket += 1;
        self.errands.insert(number, Errand { index, overdue, runtime, connecting });
        number
    }

    pub(super) fn give_back(&mut self, index: usize) {
        self.holders[index] = None;
        self.free_indexes.push(index);
        self.size -= 1;
    }

    /// "2 by a transaction, 1 by an open stream; the longest for 12.5 s by a transaction".
    pub(super) fn describe_holders(&self, now: Instant) -> String {
        let mut text = String::new();
        for purpose in [Purpose::Statement, Purpose::Connection, Purpose::Transaction, Purpose::Stream] {
            let count = self.holders.iter().flatten().filter(|(held, _)| *held == purpose).count();
            if count > 0 {
                let comma = if text.is_empty() { "" } else { ", " };
                let _ = write!(text, "{comma}{count} by {}", purpose.name());
            }
        }
        if let Some((purpose, since)) = self.holders.iter().flatten().min_by_key(|(_, since)| *since) {
            let held = now.saturating_duration_since(*since).as_secs_f64();
            let _ = write!(text, "; the longest for {held:.1} s by {}", purpose.name());
        }
        if text.is_empty() { "none in use".into() } else { text }
    }
}
