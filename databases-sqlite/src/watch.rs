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
/// The clock is read at one look of so many, and not at the first: most reads are over by then.
const LOOKS_PER_TIME: u32 = 4;

/// Shared by a session, whose handlers look at it, and by those who stop its jobs.
#[derive(Debug)]
pub(crate) struct Watch {
    cancelled: AtomicBool,
    /// How long the read on its caller's thread should take, in microseconds; 0 on the worker.
    within: AtomicU32,
    /// How many looks are left to it.
    looks: AtomicU32,
    /// When it must stop, in nanoseconds after `start`.
    deadline: AtomicU64,
    start: Instant,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            cancelled: AtomicBool::new(false),
            within: AtomicU32::new(0),
            looks: AtomicU32::new(0),
            deadline: AtomicU64::new(0),
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

    /// From `now` on the connection is used by its caller's thread, which should take no longer than `within`, until
    /// [`Watch::leave`].
    pub(crate) fn enter(&self, now: Instant, within: Duration) {
        let micros = u32::try_from(nanos(within) / 1000).unwrap_or(u32::MAX).max(1);
        self.looks.store(looks_within(micros), Relaxed);
        let longest = u64::from(micros).saturating_mul(1000 * TIMES_OF_WITHIN);
        self.deadline.store(nanos(now.saturating_duration_since(self.start)).saturating_add(longest), Relaxed);
        self.within.store(micros, Relaxed);
    }

    pub(crate) fn leave(&self) {
        self.within.store(0, Relaxed);
    }

    /// Whether nothing may be waited for.
    pub(crate) fn is_here(&self) -> bool {
        self.within.load(Relaxed) != 0
    }

    /// Whether SQLite has looked since [`Watch::enter`], as it does at the latest after some hundred instructions.
    pub(crate) fn has_looked(&self) -> bool {
        self.looks.load(Relaxed) != looks_within(self.within.load(Relaxed))
    }

    /// The progress handler: whether the statement must stop.
    pub(crate) fn must_stop(&self) -> bool {
        self.is_cancelled() || (self.is_here() && self.is_late())
    }

    // No other thread is here meanwhile, so the count needs no step that cannot be divided.
    fn is_late(&self) -> bool {
        let looks = self.looks.load(Relaxed);
        self.looks.store(looks.saturating_sub(1), Relaxed);
        if looks % LOOKS_PER_TIME != LOOKS_PER_TIME - 1 {
            return looks == 0;
        }
        nanos(self.start.elapsed()) > self.deadline.load(Relaxed)
    }
}

fn looks_within(micros: u32) -> u32 {
    micros.saturating_mul(LOOKS_PER_MICROSECOND)
}

/// In 64 bits, which hold centuries: those of 128 are divided slowly.
fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}
