//! Processes on one core.

use std::fs;

use harness::Result;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// While it lives, this process, the processes it starts, and a server with those that it starts are on one core.
pub(crate) struct Pinned {
    before: CpuSet,
    server: Option<i32>,
}

impl Pinned {
    /// `server` is none where there is no server, or where it is not ours to move.
    pub(crate) fn new(server: Option<i32>) -> Result<Self> {
        let before = sched_getaffinity(None)?;
        // The last core: the first is where most systems handle interrupts.
        let last = (0..CpuSet::MAX_CPU).rev().find(|core| before.is_set(*core)).ok_or("there is no core")?;
        let mut one = CpuSet::new();
        one.set(last);
        let pinned = Self { before, server };
        pinned.set(&one)?;
        Ok(pinned)
    }

    fn set(&self, cores: &CpuSet) -> Result<()> {
        sched_setaffinity(None, cores)?;
        let Some(server) = self.server else { return Ok(()) };
        // Threads that exist are moved one by one; new ones, and new processes, are where the one that starts them is.
        for thread in fs::read_dir(format!("/proc/{server}/task"))? {
            let thread = thread?.file_name().to_string_lossy().parse()?;
            // One that has ended meanwhile need not be moved.
            let _ = sched_setaffinity(Pid::from_raw(thread), cores);
        }
        Ok(())
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Err(error) = self.set(&self.before) {
            eprintln!("bench: still on one core: {error}");
        }
    }
}
