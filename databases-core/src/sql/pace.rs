//! How long the runs of a text took.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What a slow run counts; a quick one takes back 1. One in so many is what may be slow.
const SLOW_RUN: u32 = 256;
/// From here on a text is slow; a new one is, until its first run was quick.
const SLOW: u32 = 2 * SLOW_RUN;
/// However many were slow, a text is quick again after so many that were not.
const MOST: u32 = 8 * SLOW_RUN;

/// Whether the runs of a text are quick, but for one here and there on a busy machine.
#[derive(Debug)]
pub(crate) struct Pace(AtomicU32);

impl Default for Pace {
    fn default() -> Self {
        Self(AtomicU32::new(SLOW))
    }
}

impl Pace {
    pub(crate) fn is_quick(&self) -> bool {
        self.0.load(Relaxed) < SLOW
    }

    /// A run is over. Of runs that end together one may be missed, which does no harm.
    pub(crate) fn note(&self, quick: bool) {
        let now = self.0.load(Relaxed);
        if !quick {
            self.0.store((now + SLOW_RUN).min(MOST), Relaxed);
        } else if now > 0 {
            self.0.store(now - 1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quick_if_few_of_its_runs_are_slow() {
        let pace = Pace::default();
        assert!(!pace.is_quick(), "not run yet");
        pace.note(true);
        assert!(pace.is_quick());
        (0..1000).for_each(|_| pace.note(true));
        pace.note(false);
        assert!(pace.is_quick(), "one in a thousand");
        pace.note(false);
        assert!(!pace.is_quick());
        (0..100).for_each(|_| pace.note(false));
        (0..MOST).for_each(|_| pace.note(true));
        assert!(pace.is_quick(), "it is not held against it for ever");
        for run in 0..10_000 {
            pace.note(run % 100 != 0);
        }
        assert!(!pace.is_quick(), "one in a hundred");
    }
}
