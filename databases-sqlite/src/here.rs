//! Short reads on the thread of their caller, which spares the way to the worker and back: ten times a short read.
//!
//! That thread drives other tasks too, so nothing here may take long. Only a text whose runs were short before is tried;
//! between two instructions of SQLite the time is looked at, and inside of one there is no large value and no function that
//! takes long all the same. A lock is not waited for. What does not end in time is stopped and runs again on the worker:
//! it has only read, and nobody has seen its rows. A task that does nothing but read is made to yield.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use databases_core::Result;
use databases_core::backend::{ExecResult, LiveSink, Request};
use rusqlite::ErrorCode;
use rusqlite::limits::Limit;
use tokio::task::coop;

use crate::batch::{Batch, Limits};
use crate::known::STOPPED;
use crate::session::Session;
use crate::statement::{Failure, Output};

/// What does not fit is for the worker.
const ROWS: Limits = Limits { rows: 4096, bytes: 512 << 10 };

/// The largest value and row, in bytes: what one instruction of SQLite takes time for.
const LARGEST: i32 = 64 << 10;

/// A read that takes longer is for the worker, where nobody else waits for it, unless its caller knows that no other task
/// reads on the same thread.
pub(crate) const SHORT: Duration = Duration::from_micros(100);

/// After so long the task that reads must let others run: a hundred tasks then have their turns within some milliseconds.
const TURN: Duration = Duration::from_micros(80);

/// So many reads are timed each by itself, once it is not certain that they are short.
const TIMED: u32 = 16;

/// What a read gave.
pub(crate) struct Here {
    pub(crate) batch: Option<Batch>,
    pub(crate) result: ExecResult,
    /// When it ended; if it was certainly short, when it began.
    pub(crate) ended: Instant,
    /// Whether this thread has read long enough for now.
    pub(crate) turn_is_over: bool,
}

/// What a read on the thread of its caller may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) now: Instant,
    pub(crate) within: Duration,
    /// Whether its end is looked at in any case.
    pub(crate) is_timed: bool,
}

/// For how long the threads of callers have used a session since one of them was told to let others run.
///
/// Reading the clock takes a good part of the shortest reads, so where one follows another the beginning of the next tells
/// how long the one before it took at the most.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    used: Duration,
    /// When the last read of this turn began.
    began: Option<Instant>,
    /// Its end was not looked at.
    is_open: bool,
    /// How many of the next reads are timed: something took long, and perhaps it was one of those.
    timed: u32,
}

impl Turn {
    /// A read begins; whether its end is to be looked at.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        match self.began.replace(now).map(|began| now.saturating_duration_since(began)) {
            Some(since) if since <= SHORT => self.used += if self.is_open { since } else { Duration::ZERO },
            Some(_) => self.timed = TIMED,
            None => {}
        }
        self.is_open = false;
        self.timed > 0
    }

    /// A read has ended, after `time` if that was looked at; whether others should run now.
    pub(crate) fn end(&mut self, time: Option<Duration>) -> bool {
        match time {
            Some(time) => {
                self.used += time;
                self.timed = self.timed.saturating_sub(1);
            }
            None => self.is_open = true,
        }
        let is_over = self.used >= TURN;
        if is_over {
            *self = Self { timed: self.timed, ..Self::default() };
        }
        is_over
    }
}

impl Session {
    /// Runs a statement that reads. `None`: it is for the worker. A panic is that of a type that rows are read as.
    pub(crate) fn run_here(
        &mut self,
        request: &Request,
        now: Instant,
        within: Duration,
        live: Option<&mut dyn LiveSink>,
    ) -> thread::Result<Option<Result<Here>>> {
        // Its user's own functions may take any time, and wait.
        if self.was_lent {
            return Ok(None);
        }
        if self.length_limit.is_none() {
            let Ok(largest) = self.connection().set_limit(Limit::SQLITE_LIMIT_LENGTH, LARGEST) else { return Ok(None) };
            self.length_limit = Some(largest);
        }
        let mut out = Output::here(ROWS, Budget { now, within, is_timed: self.turn.begin(now) }, live);
        // Nothing is left half done: the statement is reset on the way.
        let ran = catch_unwind(AssertUnwindSafe(|| self.step_all(request, &mut out)));
        self.watch.leave();
        Ok(self.ran_here(ran?, &mut out, now, request))
    }

    /// From here on it is the worker's again, where values may be as large as SQLite allows.
    pub(crate) fn return_to_worker(&mut self) {
        if let Some(largest) = self.length_limit.take() {
            let restored = self.connection().set_limit(Limit::SQLITE_LIMIT_LENGTH, largest);
            debug_assert!(restored.is_ok(), "what was the limit before is a limit");
        }
    }

    fn ran_here(
        &mut self,
        ran: Result<Option<ExecResult>, Failure>,
        out: &mut Output<'_>,
        now: Instant,
        request: &Request,
    ) -> Option<Result<Here>> {
        let failure = match ran {
            Ok(Some(result)) => {
                let turn_is_over = self.turn.end(out.time);
                let ended = out.time.map_or(now, |time| now + time);
                return Some(Ok(Here { ended, batch: out.take_batch(), result, turn_is_over }));
            }
            Ok(None) => {
                if out.overran {
                    self.slow_down(request);
                }
                return None;
            }
            Err(failure) => failure,
        };
        match code_of(&failure) {
            Some(ErrorCode::OperationInterrupted | ErrorCode::TooBig) => {
                out.restart();
                self.slow_down(request);
                None
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                out.restart();
                None
            }
            _ => {
                // A few errors, such as one of the disk, end the transaction.
                self.after_job();
                Some(Err(self.failed(failure, request)))
            }
        }
    }

    fn slow_down(&mut self, request: &Request) {
        if let Some(known) = self.known.get_mut(&*request.sql) {
            known.took(STOPPED);
        }
    }
}

fn code_of(failure: &Failure) -> Option<ErrorCode> {
    match failure {
        Failure::Sqlite(error, _) => error.sqlite_error_code(),
        Failure::Ours(_) => None,
    }
}

/// Uses up what the running task may do before it must let others run. The executor looks before the next statement, when
/// no connection is held; here nothing waits.
pub(crate) async fn use_up_turn() {
    poll_fn(|cx| {
        while coop::has_budget_remaining() {
            match coop::poll_proceed(cx) {
                Poll::Ready(unit) => unit.made_progress(),
                Poll::Pending => break,
            }
        }
        Poll::Ready(())
    })
    .await;
}
