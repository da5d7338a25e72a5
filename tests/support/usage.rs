//! What this process uses of the machine.

use std::time::{Duration, Instant};

/// Open files and threads; zeros where there is no `/proc`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    files: usize,
    threads: usize,
}

impl Usage {
    pub(crate) fn now() -> Self {
        let entries = |path| std::fs::read_dir(path).map_or(0, Iterator::count);
        Self { files: entries("/proc/self/fd"), threads: entries("/proc/self/task") }
    }

    pub(crate) fn is_within(&self, before: &Self) -> bool {
        self.files <= before.files && self.threads <= before.threads
    }
}

/// Looks until what is seen is as wanted, or the time is over; gives what was seen last.
pub(crate) fn within<T>(limit: Duration, mut look: impl FnMut() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let end = Instant::now() + limit;
    loop {
        let seen = look();
        if wanted(&seen) || Instant::now() > end {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
