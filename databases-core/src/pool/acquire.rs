//! Taking a connection.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, timeout_at};
use tracing::Instrument as _;

use super::connect::start;
use super::slot::{Place, SLACK, Slot};
use super::state::{Member, Purpose, State, Waiter};
use super::{Checkout, Inner, clean, closed, later};
use crate::backend::Status;
use crate::error::{Error, ErrorKind, Result};

/// A connection that was idle for longer is asked whether it is still there.
const PING_AFTER: Duration = Duration::from_secs(30);

impl Inner {
    /// Takes a connection; waits for at most `acquire_timeout`, connecting included.
    pub(crate) async fn acquire(self: &Arc<Self>, purpose: Purpose) -> Result<Slot> {
        let now = Instant::now();
        let deadline = later(self.options().acquire_timeout);
        let (taken, planned) = {
            let mut state = self.lock();
            if state.closed {
                return Err(closed());
            }
            // Nobody overtakes those who wait.
            let member = if state.waiters.is_empty() { state.idle.pop() } else { None };
            match member {
                Some(member) => {
                    state.holders[member.index] = Some((purpose, now));
                    (Ok(Slot::new(self.clone(), member)), Vec::new())
                }
                None => {
                    let waiting = self.queue(&mut state, purpose)?;
                    (Err(waiting), self.plan_connections(&mut state))
                }
            }
        };
        start(planned);
        let slot = match taken {
            Ok(slot) => slot,
            Err(waiting) => waiting.wait(deadline).instrument(self.pool_span("acquire")).await?,
        };
        if self.is_ready(&slot, now) { Ok(slot) } else { self.make_ready(slot, purpose, deadline).await }
    }

    /// Takes a connection alone or together with others.
    pub(crate) async fn check_out(self: &Arc<Self>, purpose: Purpose, checkout: Checkout) -> Result<Arc<Slot>> {
        let Checkout::Shared { depth } = checkout else {
            return self.acquire(purpose).await.map(Arc::new);
        };
        if let Some(lane) = self.join_lane(depth) {
            return Ok(lane);
        }
        let slot = Arc::new(self.acquire(purpose).await?);
        let mut state = self.lock();
        state.lanes.retain(|lane| lane.strong_count() > 0);
        state.lanes.push(Arc::downgrade(&slot));
        drop(state);
        Ok(slot)
    }

    /// A connection that others use too, unless one is idle or somebody waits for one alone.
    fn join_lane(&self, depth: usize) -> Option<Arc<Slot>> {
        let state = self.lock();
        if !state.idle.is_empty() || !state.waiters.is_empty() || state.size < self.max {
            return None;
        }
        let lane = state
            .lanes
            .iter()
            .filter(|lane| (1..depth).contains(&lane.strong_count()))
            .min_by_key(|lane| lane.strong_count())?;
        // The lock is let go before the lane can be dropped: dropping a slot takes it.
        let lane = lane.upgrade();
        drop(state);
        lane
    }

    fn queue(self: &Arc<Self>, state: &mut State, purpose: Purpose) -> Result<Waiting> {
        let runtime = Handle::try_current().map_err(|_| {
            Error::new(ErrorKind::Unsupported, "connections are opened on a tokio runtime; there is none here")
        })?;
        let (sender, receiver) = oneshot::channel();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiters.insert(ticket, Waiter { sender, purpose, runtime });
        Ok(Waiting { inner: self.clone(), ticket, receiver })
    }

    fn is_ready(&self, slot: &Slot, now: Instant) -> bool {
        let member = slot.member.as_ref().expect("a slot has its connection until it is dropped");
        member.is_clean(self.base_status())
            && !self.is_suspect(member)
            && (self.single || now.saturating_duration_since(member.idle_since) < PING_AFTER)
            && is_here(member)
    }

    /// Cleans or asks the connection, or opens another in its place.
    async fn make_ready(self: &Arc<Self>, mut slot: Slot, purpose: Purpose, deadline: Instant) -> Result<Slot> {
        let member = slot.member.as_mut().expect("a slot has its connection until it is dropped");
        if is_here(member) && member.conn.status() != Status::Broken {
            // Dropped half-way, the slot takes the connection back as it is, to be cleaned by the next.
            let until = deadline.min(later(self.options().close_timeout));
            let again = std::mem::replace(&mut member.undoing, member.open);
            let losses = self.losses.load(Relaxed);
            let works = timeout_at(until, self.check(member, again)).await;
            if let Ok(true) = works {
                (member.open, member.undoing, member.dirty, member.losses) = (false, false, false, losses);
                return Ok(slot);
            }
        }
        let member = slot.member.take().expect("a slot has its connection until it is dropped");
        let place = Place::of(self.clone(), member.index);
        drop(member);
        self.replace(place, purpose, deadline).await
    }

    /// Whether the connection works and is clean now.
    async fn check(&self, member: &Member, again: bool) -> bool {
        if clean(self, &*member.conn, member.open, again, member.dirty).await.is_err() {
            return false;
        }
        let silent = !self.single && member.idle_since.elapsed() >= PING_AFTER;
        !(self.is_suspect(member) || silent) || member.conn.ping().await.is_ok()
    }

    /// Opens a connection in a place that is already ours.
    async fn replace(self: &Arc<Self>, place: Place, purpose: Purpose, deadline: Instant) -> Result<Slot> {
        match timeout_at(deadline, self.open_patiently(|| true)).await {
            Ok(Ok((conn, runtime))) => {
                let member = self.admit(conn, runtime, place);
                self.lock().holders[member.index] = Some((purpose, Instant::now()));
                Ok(Slot::new(self.clone(), member))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(self.timed_out("a new connection was being opened")),
        }
    }

    #[cold]
    pub(super) fn timed_out(&self, doing: &str) -> Error {
        let state = self.lock();
        let waited = crate::backend::in_seconds(self.options().acquire_timeout);
        let mut message = format!(
            "no connection within {waited}: {doing}; {} of {} connections open, {}, {} waiting",
            state.size,
            self.max,
            state.describe_holders(Instant::now()),
            state.waiters.len(),
        );
        if let Some(error) = &state.last_connect_error {
            message.push_str("; the last attempt to connect failed: ");
            message.push_str(error);
        }
        Error::new(ErrorKind::PoolTimeout, message).with_hint(
            "acquire_timeout and max_connections set the limits; an open stream or transaction holds its connection",
        )
    }
}

pub(super) fn is_here(member: &Member) -> bool {
    match &member.runtime {
        None => true,
        Some(home) => Handle::try_current().is_ok_and(|here| here.id() == home.id()),
    }
}

struct Waiting {
    inner: Arc<Inner>,
    ticket: u64,
    receiver: oneshot::Receiver<Result<Slot>>,
}

impl Waiting {
    async fn wait(mut self, deadline: Instant) -> Result<Slot> {
        let options = self.inner.options();
        let round = options.connect_timeout.max(options.close_timeout).saturating_add(SLACK);
        loop {
            let until = deadline.min(later(round));
            match timeout_at(until, &mut self.receiver).await {
                Ok(Ok(granted)) => return granted,
                Ok(Err(_)) => return Err(closed()),
                Err(_) => self.inner.take_back_overdue(Handle::current().id()),
            }
            if until == deadline {
                let connecting = self.inner.lock().connecting > 0;
                let doing = if connecting { "new connections were being opened" } else { "all were in use" };
                return Err(self.inner.timed_out(doing));
            }
        }
    }
}

impl Drop for Waiting {
    // A slot that was sent and not received is dropped with the receiver, which passes the turn on.
    fn drop(&mut self) {
        self.inner.lock().waiters.remove(&self.ticket);
    }
}
