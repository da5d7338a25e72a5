//! How long the runs of a text took.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Not run yet, or a while after it was slow.
const UNKNOWN: u64 = 0;
const QUICK: u64 = 1;

/// How long a slow run is held against its text.
const PENALTY: Duration = Duration::from_secs(1);

/// Whether the runs of a text were quick of late. A slow one counts for a second, in milliseconds of the pool's own clock.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU64);

impl Pace {
    pub(crate) fn is_quick(&self) -> bool {
        self.0.load(Relaxed) == QUICK
    }

    /// A run ended at `now`.
    pub(crate) fn note(&self, quick: bool, now: Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX / 2);
        let before = self.0.load(Relaxed);
        if !quick {
            self.0.store((QUICK + 1 + now).saturating_add(PENALTY.as_millis() as u64), Relaxed);
        } else if before == UNKNOWN || (before > QUICK && before <= QUICK + 1 + now) {
            self.0.store(QUICK, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_run_is_held_against_a_text_for_a_second() {
        let at = Duration::from_millis;
        let pace = Pace::default();
        assert!(!pace.is_quick());
        pace.note(true, at(0));
        assert!(pace.is_quick());
        pace.note(false, at(10));
        for now in [10, 500, 1009] {
            pace.note(true, at(now));
            assert!(!pace.is_quick(), "{now}");
        }
        pace.note(true, at(1010));
        assert!(pace.is_quick());
    }
}
