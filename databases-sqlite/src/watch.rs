//! What the handlers of a connection look at while SQLite works: whether to stop, and how long it may take.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

/// How many instructions SQLite runs before it looks whether to stop. An interrupt alone gets lost if it comes between
/// two statements of one job.
pub(crate) const INSTRUCTIONS_PER_LOOK: i32 = 100;

/// A read on the thread of its caller stops after so many looks for each of its microseconds, wherever time stands still.
const LOOKS_PER_MICROSECOND: u32 = 2;
/// And after so many times the time that it should take, of which a cold file takes most.
const TIMES_OF_WITHIN: u64 = 3;

/// Shared by a session, whose handlers look at it, and by those who stop its jobs.
#[derive(Debug)]
pub(crate) struct Watch {
    cancelled: AtomicBool,
    /// When the read on its caller's thread must stop, in nanoseconds after `start`; 0 on the worker.
    deadline: AtomicU64,
    /// How many looks are left.
    looks: AtomicU32,
    start: Instant,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            cancelled: AtomicBool::new(false),
            deadline: AtomicU64::new(0),
            looks: AtomicU32::new(0),
            start: Instant::now(),
        }
    }
}

impl Watch {
    /// Another job begins, which nobody has told to stop.
    pub(crate) fn begin(&self) {
        self.cancelled.store(false, Relaxed);
    }

    /// The running job is to stop.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Relaxed)
    }

    /// From now on the connection is used by its caller's thread, which should take no longer than `within`, until
    /// [`Watch::leave`].
    pub(crate) fn enter(&self, now: Instant, within: Duration) {
        let within = nanos(within);
        let deadline =
            nanos(now.saturating_duration_since(self.start)).saturating_add(within.saturating_mul(TIMES_OF_WITHIN));
        let micros = u32::try_from(within / 1000).unwrap_or(u32::MAX);
        self.looks.store(micros.saturating_mul(LOOKS_PER_MICROSECOND), Relaxed);
        self.deadline.store(deadline, Relaxed);
    }

    pub(crate) fn leave(&self) {
        self.deadline.store(0, Relaxed);
    }

    /// Whether nothing may be waited for.
    pub(crate) fn is_here(&self) -> bool {
        self.deadline.load(Relaxed) != 0
    }

    /// The progress handler: whether the statement must stop.
    pub(crate) fn must_stop(&self) -> bool {
        if self.is_cancelled() {
            return true;
        }
        let deadline = self.deadline.load(Relaxed);
        deadline != 0 && (self.looks.fetch_sub(1, Relaxed) == 0 || nanos(self.start.elapsed()) > deadline)
    }
}

/// In 64 bits, which hold centuries: those of 128 are divided slowly.
fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}
