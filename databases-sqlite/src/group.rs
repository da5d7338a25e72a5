//! Group commit: statements that wait for the write permit together share one transaction.
//!
//! Every one of them offers itself here while it waits. Whoever has the permit first leads: its connection runs what is
//! offered, in order, and commits once. Nobody is told anything before that commit is done; then each has its own result.
//! If the transaction ends in any other way, its statements run again, one by one, as if they had never met. So a statement
//! that is offered needs nothing of the connection it came with, and whoever goes away leaves nobody without a leader: each
//! waits for the permit itself.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use databases_core::backend::Request;
use databases_core::{Error, Result};
use tokio::sync::oneshot;

use crate::batch::Limits;
use crate::known::Known;
use crate::permit::Held;
use crate::session::Session;
use crate::statement::{Outcome, Output, Reply, find};
use crate::watch::Watch;
use crate::worker::Deliver;

/// When a group is closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// It has so many statements,
    pub(crate) statements: usize,
    /// or has taken so long. A text that took longer by itself runs alone.
    pub(crate) time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { statements: 128, time: Duration::from_millis(1) }
    }
}

/// Rows of RETURNING are kept until the commit, so there is one piece of them.
const ALL: Limits = Limits { rows: 16_384, bytes: 4 << 20 };

/// Statements on offer, first come first served.
#[derive(Default)]
pub(crate) struct Offers {
    state: Mutex<State>,
    pub(crate) bounds: Bounds,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Offer>,
    last_id: u64,
    /// The one that runs, and what stops it. Only whoever has the permit runs any.
    running: Option<(u64, Arc<Watch>)>,
}

struct Offer {
    id: u64,
    request: Request,
    reply: oneshot::Sender<Outcome>,
}

impl Offer {
    /// Whether its caller has gone.
    fn is_dropped(&self) -> bool {
        self.reply.is_closed()
    }
}

impl Offers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers a statement. Dropping the ticket takes it back, or stops it.
    pub(crate) fn offer(self: &Arc<Self>, request: Request) -> (Offered, oneshot::Receiver<Outcome>) {
        let (reply, outcome) = oneshot::channel();
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        state.queue.push_back(Offer { id, request, reply });
        drop(state);
        (Offered { offers: Arc::clone(self), id }, outcome)
    }

    fn next(&self, watch: &Arc<Watch>, fits: impl FnOnce(&Request) -> bool) -> Option<Offer> {
        let mut state = self.lock();
        if !state.queue.front().is_some_and(|offer| fits(&offer.request)) {
            return None;
        }
        let offer = state.queue.pop_front()?;
        state.running = Some((offer.id, Arc::clone(watch)));
        watch.begin();
        Some(offer)
    }

    /// Makes one that has run already the running one again.
    fn again(&self, offer: &Offer, watch: &Arc<Watch>) {
        self.lock().running = Some((offer.id, Arc::clone(watch)));
        watch.begin();
    }

    /// Nobody is stopped from here on.
    fn over(&self, watch: &Watch) {
        self.lock().running = None;
        watch.begin();
    }
}

impl fmt::Debug for Offers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offers").field("waiting", &self.lock().queue.len()).finish_non_exhaustive()
    }
}

/// A statement on offer, or under way.
#[derive(Debug)]
pub(crate) struct Offered {
    offers: Arc<Offers>,
    id: u64,
}

impl Offered {
    /// Takes it back, if it does not run yet.
    pub(crate) fn withdraw(&self) -> bool {
        let mut state = self.offers.lock();
        // Numbers only grow towards the back.
        let found = state.queue.binary_search_by_key(&self.id, |offer| offer.id);
        let offer = found.ok().and_then(|at| state.queue.remove(at));
        // Dropped without the lock: it may hold anything.
        drop(state);
        offer.is_some()
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        if self.withdraw() {
            return;
        }
        let state = self.offers.lock();
        if let Some((running, watch)) = &state.running
            && *running == self.id
        {
            watch.cancel();
        }
    }
}

/// A statement of a group and what became of it, which nobody knows yet.
type Done = (Offer, Result<Reply>);

impl Session {
    /// Leads: runs what is on offer, for as long as a group lasts.
    pub(crate) fn lead(&mut self, offers: &Offers, permit: Held) -> Deliver {
        self.held = Some(permit);
        let watch = Arc::clone(&self.watch);
        let mut done = Vec::new();
        // Nobody waits any more if they all went away.
        if let Some(first) = offers.next(&watch, |_| true) {
            let together = self.joins(&first.request, offers) && offers.lock().queue.front().is_some();
            let first = if together { self.run_group(offers, first, &mut done) } else { vec![first] };
            for offer in first {
                self.run_alone(offers, offer, &mut done);
            }
            offers.over(&watch);
        }
        Box::new(move || {
            for (offer, result) in done {
                let _ = offer.reply.send(Outcome::Done(result));
            }
        })
    }

    /// Whether a statement is known to be quick, so that others may wait for it.
    fn joins(&mut self, request: &Request, offers: &Offers) -> bool {
        let is_quick = |known: &mut Known| known.pace() < offers.bounds.time;
        !self.altered && !self.was_lent && find(&mut self.known, &request.sql).is_some_and(is_quick)
    }

    fn run_alone(&mut self, offers: &Offers, offer: Offer, done: &mut Vec<Done>) {
        offers.again(&offer, &Arc::clone(&self.watch));
        // Looked at behind that: whoever goes away later finds it running.
        if !offer.is_dropped() {
            let (result, _) = self.run_offer(&offer.request, Instant::now());
            done.push((offer, result));
        }
    }

    /// Runs a statement from `begun` on, which is now; says when it ended, if it did well.
    fn run_offer(&mut self, request: &Request, begun: Instant) -> (Result<Reply>, Option<Instant>) {
        let mut out = Output::new(None, ALL);
        out.begun = Some(begun);
        let ran = self.step_all(request, &mut out);
        self.inserts.stop();
        match ran {
            Ok(Some(result)) => {
                let ended = begun + out.time.unwrap_or_default();
                (Ok(out.into_reply(result)), Some(ended))
            }
            Ok(None) => unreachable!("whoever leads has the permit"),
            Err(failure) => (Err(self.failed(failure, request)), None),
        }
    }

    /// Runs a group in one transaction. Gives back what must run again, in order, because there was no commit.
    fn run_group(&mut self, offers: &Offers, first: Offer, done: &mut Vec<Done>) -> Vec<Offer> {
        let watch = Arc::clone(&self.watch);
        match self.begin_group() {
            Ok(true) => {}
            Ok(false) | Err(_) => {
                self.end_group();
                return vec![first];
            }
        }
        let start = Instant::now();
        let mut group: Vec<Done> = Vec::new();
        let mut next = Some(first);
        // The end of one is the beginning of the next: each look at the clock takes its time.
        let mut now = start;
        while let Some(offer) = next {
            let (result, ended) = self.run_offer(&offer.request, now);
            now = ended.unwrap_or_else(Instant::now);
            group.push((offer, result));
            if self.connection().is_autocommit() {
                // Its error ended the transaction, or its caller went away.
                return group.into_iter().map(|(offer, _)| offer).collect();
            }
            let full = group.len() >= offers.bounds.statements || now - start >= offers.bounds.time;
            next = if full { None } else { offers.next(&watch, |request| self.joins(request, offers)) };
        }
        // The commit is everybody's: nobody stops it.
        offers.over(&watch);
        if self.simple("COMMIT").is_err() {
            self.end_group();
            return group.into_iter().map(|(offer, _)| offer).collect();
        }
        done.append(&mut group);
        Vec::new()
    }

    /// Opens the transaction of a group; `false` if there can be none: where constraints are checked at COMMIT, one
    /// statement could make good what another broke, which alone would have failed.
    fn begin_group(&mut self) -> Result<bool, Error> {
        self.simple("BEGIN IMMEDIATE")?;
        let version = self.connection().prepare_cached("PRAGMA schema_version");
        let version = version.and_then(|mut version| version.query_row([], |row| row.get::<_, i64>(0)));
        let version = version.map_err(|error| self.translate(error))?;
        if self.deferring.is_none_or(|(known, _)| known != version) {
            let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE sql LIKE '%deferred%')";
            let defers = self.connection().query_row(sql, [], |row| row.get::<_, bool>(0));
            self.deferring = Some((version, defers.map_err(|error| self.translate(error))?));
        }
        Ok(self.deferring.is_some_and(|(_, defers)| !defers))
    }

    /// Nothing of the group stays.
    fn end_group(&mut self) {
        self.watch.begin();
        if !self.connection().is_autocommit() && self.simple("ROLLBACK").is_err() {
            self.mark_corrupt();
        }
    }
}
