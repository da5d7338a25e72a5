//! One session with a server, shared by the handles that look into it.
//!
//! The session knows which transactions and savepoints its handles believe in; the backend knows the truth, read
//! from the wire. Every call compares the two first, and nothing is sent where they differ.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::Instrument as _;

use crate::backend::{BackendConnection, Status, TransactionCommand};
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::options::TransactionOptions;
use crate::pool::{Inner, Slot};

/// A session. Its connection goes back to the pool when the last handle is gone.
pub(crate) struct Session {
    pub(crate) inner: Arc<Inner>,
    pub(crate) conn: Arc<dyn BackendConnection>,
    /// None while `after_connect` runs, before the connection belongs to the pool.
    slot: Option<Slot>,
    state: Mutex<State>,
    /// Held while dropped transactions are rolled back.
    unwinding: tokio::sync::Mutex<()>,
}

struct State {
    /// The first is the connection itself, then the transaction, then its savepoints.
    levels: Vec<Level>,
    next_id: u64,
    /// Statements under way.
    in_flight: usize,
    /// Whether the last error from the server says that running the transaction again may succeed.
    retryable: bool,
}

struct Level {
    id: u64,
    phase: Phase,
    /// Its savepoint is known to be there. Not while it is opened, when there is nothing in it to undo, nor while it is
    /// released, when it does not matter to whoever dropped the future whether its work is kept.
    marked: bool,
    streaming: bool,
    over: Option<Over>,
}

/// Where a transaction or savepoint is between its opening and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// BEGIN, COMMIT or the like is under way, and somebody waits for it.
    Changing,
    Open,
    /// The handle is gone without commit or rollback: to be rolled back before anything else is sent.
    Dropped,
}

/// Why a handle may no longer be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// A statement's future was dropped.
    Abandoned,
    /// The server rolled back.
    RolledBack,
    /// The server committed.
    Committed,
}

impl Over {
    fn error(self) -> Error {
        let message = match self {
            Self::Abandoned => {
                "a statement of this transaction was dropped before it was done; the transaction can only be rolled back"
            }
            Self::RolledBack => "the server has ended this transaction and rolled it back",
            Self::Committed => "the server has committed this transaction by itself, as MySQL does at DDL",
        };
        Error::new(ErrorKind::TransactionEnded, message)
    }
}

impl Session {
    pub(crate) fn new(slot: Slot) -> Arc<Self> {
        Self::over(slot.inner().clone(), slot.conn().clone(), Some(slot))
    }

    /// A session on a connection that the pool has not got yet.
    pub(crate) fn over(inner: Arc<Inner>, conn: Arc<dyn BackendConnection>, slot: Option<Slot>) -> Arc<Self> {
        let base = Level { id: 0, phase: Phase::Open, marked: false, streaming: false, over: None };
        let state = State { levels: vec![base], next_id: 1, in_flight: 0, retryable: false };
        Arc::new(Self { inner, conn, slot, state: Mutex::new(state), unwinding: tokio::sync::Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session was changed in a way that the next user must not see.
    pub(crate) fn mark_dirty(&self) {
        if let Some(slot) = &self.slot {
            slot.mark_dirty();
        }
    }

    fn mark_discard(&self) {
        if let Some(slot) = &self.slot {
            slot.mark_discard();
        }
    }

    pub(crate) fn last_error_is_retryable(&self) -> bool {
        self.lock().retryable
    }

    /// Whether calls on the connection itself run inside a transaction that the user does not see.
    pub(crate) fn force_rollback(&self) -> bool {
        self.slot.is_some() && self.inner.options().force_rollback
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let open = {
            let state = self.lock();
            let marked = state.levels.iter().any(|level| level.marked);
            marked || (state.levels.len() > 1 && !self.force_rollback())
        };
        if let Some(slot) = &self.slot {
            slot.set_open(open);
        }
        if std::thread::panicking() {
            self.mark_discard();
        }
    }
}

/// A connection's or a transaction's view of its session.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) session: Arc<Session>,
    level: usize,
    id: u64,
    /// Of the transaction; none for the connection itself.
    pub(crate) span: tracing::Span,
}

impl Handle {
    /// The view of the connection itself.
    pub(crate) fn base(session: Arc<Session>) -> Self {
        Self { session, level: 0, id: 0, span: tracing::Span::none() }
    }

    pub(crate) fn in_transaction(&self) -> bool {
        self.level > 0
    }

    fn conn(&self) -> &dyn BackendConnection {
        &*self.session.conn
    }

    /// Checks that a statement may be sent, rolling back what was dropped before it.
    pub(crate) async fn enter(&self) -> Result<InFlight<'_>> {
        loop {
            let dropped_child = {
                let mut state = self.session.lock();
                self.check_level(&state)?;
                match state.levels.get(self.level + 1) {
                    Some(child) if child.phase == Phase::Dropped => true,
                    Some(_) => return Err(busy("a nested transaction is open on this handle")),
                    None if state.levels[self.level].streaming => {
                        return Err(busy("a stream is open on this handle"));
                    }
                    None => {
                        let status = self.conn().status();
                        let settled = !(status == Status::Busy && state.in_flight == 0 && self.level == 0);
                        if settled {
                            self.check_status(&mut state, status)?;
                            state.in_flight += 1;
                            return Ok(InFlight { handle: self, done: false });
                        }
                        false
                    }
                }
            };
            if dropped_child {
                self.session.unwind(self.level + 1).await?;
            } else {
                self.settle().await?;
            }
        }
    }

    fn check_level(&self, state: &State) -> Result<()> {
        // With an outer transaction goes everything inside it.
        if state.levels.iter().take(self.level).any(|outer| outer.phase == Phase::Dropped) {
            return Err(outer_is_over());
        }
        match state.levels.get(self.level) {
            Some(level) if level.id == self.id => level.over.map_or(Ok(()), |over| Err(over.error())),
            _ => Err(outer_is_over()),
        }
    }

    fn check_status(&self, state: &mut State, status: Status) -> Result<()> {
        match status {
            Status::Broken => Err(gone()),
            Status::Failed if self.level > 0 => Err(Error::new(
                ErrorKind::TransactionFailed,
                "an earlier statement of this transaction failed; nothing runs until it is rolled back",
            )
            .with_hint("run what may fail in a nested transaction: tx.begin()")),
            Status::Idle if self.level > 0 => {
                state.end_all(Over::RolledBack);
                Err(Over::RolledBack.error())
            }
            _ => Ok(()),
        }
    }

    /// Waits until nothing of a dropped call is under way.
    async fn settle(&self) -> Result<()> {
        self.session.settle().await
    }

    /// Compares what the session believes with what the server says once a statement is over.
    pub(crate) fn leave<T>(&self, in_flight: InFlight<'_>, result: Result<T>) -> Result<T> {
        let mut in_flight = in_flight;
        in_flight.done = true;
        drop(in_flight);
        let status = self.conn().status();
        let mut state = self.session.lock();
        if let Err(error) = &result {
            state.retryable = error.is_retryable();
            // A statement that could not be stopped is still under way: nothing may be sent behind it.
            if error.kind() == ErrorKind::StatementTimeout && status == Status::Busy && self.level > 0 {
                state.abandon(self.level);
            }
        }
        if self.level > 0 && status == Status::Idle && state.levels.len() > 1 {
            let over = if result.is_ok() { Over::Committed } else { Over::RolledBack };
            state.end_all(over);
            if result.is_ok() {
                return Err(over.error().with_effect(Effect::Applied));
            }
        }
        result
    }

    /// Remembers an error that came later than the call, as in the middle of a stream.
    pub(crate) fn note(&self, error: &Error) {
        self.session.lock().retryable = error.is_retryable();
    }

    /// Opens a transaction, or a savepoint inside one.
    pub(crate) async fn begin(&self, options: &TransactionOptions) -> Result<Self> {
        let in_flight = self.enter().await?;
        let level = self.level + 1;
        let command = if level == 1 && !self.session.force_rollback() {
            TransactionCommand::Begin(options.clone())
        } else {
            let plain = TransactionOptions { retries: 0, ..options.clone() } == TransactionOptions::new();
            if !plain {
                drop(in_flight.finished());
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "the options of a transaction belong to the outermost one; this one is nested",
                ));
            }
            TransactionCommand::Savepoint(level)
        };
        let nested = matches!(command, TransactionCommand::Savepoint(_));
        let id = {
            let mut state = self.session.lock();
            if state.in_flight > 1 {
                drop(state);
                drop(in_flight.finished());
                return Err(busy("a statement is under way on this handle"));
            }
            let id = state.next_id;
            state.next_id += 1;
            state.levels.push(Level { id, phase: Phase::Changing, marked: false, streaming: false, over: None });
            id
        };
        drop(in_flight.finished());
        let span = self.session.inner.transaction_span(nested, &self.span);
        let began = Self { session: self.session.clone(), level, id, span: span.clone() };
        let mut change = Change { handle: &began, then: Phase::Dropped };
        match self.conn().transaction(command).instrument(span).await {
            Ok(()) => {
                change.then = Phase::Open;
                drop(change);
                let mut state = self.session.lock();
                state.retryable = false;
                if let Some(level) = state.levels.get_mut(level) {
                    level.marked = true;
                }
                drop(state);
                Ok(began)
            }
            Err(error) => {
                drop(change);
                let mut state = self.session.lock();
                state.retryable = error.is_retryable();
                if self.conn().status() != Status::InTransaction || nested {
                    state.levels.truncate(level);
                }
                Err(error)
            }
        }
    }

    /// Commits, or releases the savepoint.
    pub(crate) async fn commit(&self) -> Result<()> {
        self.end(true).await
    }

    /// Rolls back.
    pub(crate) async fn rollback(&self) -> Result<()> {
        self.end(false).await
    }

    async fn end(&self, keep: bool) -> Result<()> {
        // From here on the handle counts as dropped: whatever happens, what is not committed is rolled back.
        let (failed, over) = {
            let mut state = self.session.lock();
            let child_open = state.levels.get(self.level + 1).is_some_and(|child| child.phase != Phase::Dropped);
            let Some(level) = state.levels.get_mut(self.level).filter(|level| level.id == self.id) else {
                return if keep { Err(outer_is_over()) } else { Ok(()) };
            };
            level.phase = Phase::Dropped;
            let streaming = level.streaming;
            let mut over = level.over;
            if child_open || streaming {
                let what = if child_open { "a nested transaction" } else { "a stream" };
                return Err(busy(&format!("{what} is still open, so everything is rolled back")));
            }
            let status = self.conn().status();
            if over.is_none() && status == Status::Idle {
                over = Some(Over::RolledBack);
            }
            if keep && over.is_none() && status == Status::Broken {
                return Err(gone());
            }
            if state.levels.iter().take(self.level).any(|outer| outer.phase == Phase::Dropped) {
                // It goes with its outer transaction.
                return if keep { Err(outer_is_over()) } else { Ok(()) };
            }
            (status == Status::Failed, over)
        };
        match over {
            Some(over @ (Over::RolledBack | Over::Committed)) => {
                self.session.lock().levels.truncate(self.level);
                if !keep && over == Over::RolledBack { Ok(()) } else { Err(over.error()) }
            }
            Some(over @ Over::Abandoned) if keep => Err(over.error()),
            _ if keep && failed => {
                self.session.unwind(self.level).await?;
                Err(Error::new(
                    ErrorKind::TransactionFailed,
                    "an earlier statement failed, so the transaction was rolled back and not committed",
                )
                .with_effect(Effect::RolledBack))
            }
            _ if keep => self.keep().await,
            _ => self.session.unwind(self.level).await,
        }
    }

    async fn keep(&self) -> Result<()> {
        // A child that was dropped is undone first.
        if self.session.lock().levels.len() > self.level + 1 {
            self.session.unwind(self.level + 1).await?;
        }
        let outermost = self.level == 1 && !self.session.force_rollback();
        let command = if outermost { TransactionCommand::Commit } else { TransactionCommand::Release(self.level) };
        // Nobody may roll it back while COMMIT is under way and waited for.
        self.set_phase(Phase::Changing);
        self.set_marked(false);
        let change = Change { handle: self, then: Phase::Dropped };
        let ended = self.conn().transaction(command).instrument(self.span.clone()).await;
        drop(change);
        let mut state = self.session.lock();
        match ended {
            Ok(()) => {
                state.levels.truncate(self.level);
                Ok(())
            }
            Err(error) => {
                state.retryable = error.is_retryable();
                drop(state);
                self.set_marked(true);
                if outermost && error.kind() == ErrorKind::Disconnected && error.effect() != Effect::NotSent {
                    return Err(error.with_kind(ErrorKind::CommitOutcomeUnknown).with_effect(Effect::Unknown));
                }
                Err(error)
            }
        }
    }

    /// The handle is gone without commit or rollback.
    pub(crate) fn abandon(&self) {
        self.set_phase(Phase::Dropped);
        if std::thread::panicking() {
            self.session.mark_discard();
        }
    }

    fn set_marked(&self, marked: bool) {
        let mut state = self.session.lock();
        if let Some(level) = state.levels.get_mut(self.level)
            && level.id == self.id
        {
            level.marked = marked;
        }
    }

    fn set_phase(&self, phase: Phase) {
        let mut state = self.session.lock();
        if let Some(level) = state.levels.get_mut(self.level)
            && level.id == self.id
        {
            level.phase = phase;
        }
    }

    pub(crate) fn set_streaming(&self, streaming: bool) {
        let mut state = self.session.lock();
        if let Some(level) = state.levels.get_mut(self.level)
            && level.id == self.id
        {
            level.streaming = streaming;
        }
    }
}

impl State {
    /// The transaction at `level` can only be rolled back.
    fn abandon(&mut self, level: usize) {
        for level in self.levels.iter_mut().skip(level) {
            level.over.get_or_insert(Over::Abandoned);
        }
    }

    fn end_all(&mut self, over: Over) {
        for level in &mut self.levels[1..] {
            level.over.get_or_insert(over);
        }
    }
}

impl Session {
    /// Waits until nothing of a dropped call is under way.
    async fn settle(&self) -> Result<()> {
        let grace = self.inner.options().close_timeout;
        let settled = tokio::time::timeout(grace, self.conn.settle()).await;
        if settled.is_err() || self.conn.status() == Status::Busy {
            self.mark_discard();
            let message = "an earlier statement, dropped before it was done, could not be stopped";
            return Err(Error::new(ErrorKind::Disconnected, message).with_effect(Effect::NotSent));
        }
        Ok(())
    }

    /// Rolls back the dropped transaction at `level` and all inside it.
    async fn unwind(&self, level: usize) -> Result<()> {
        let turn = self.unwinding.lock().await;
        let marked = match self.lock().levels.get(level) {
            Some(level) if level.phase == Phase::Dropped => level.marked,
            _ => return Ok(()), // Somebody else was faster.
        };
        if self.conn.status() == Status::Busy {
            self.settle().await?;
        }
        let undone = match self.conn.status() {
            Status::Broken => Err(gone()),
            Status::Idle => Ok(()),
            _ if level == 1 && !self.force_rollback() => self.conn.transaction(TransactionCommand::Rollback).await,
            _ if marked => self.conn.transaction(TransactionCommand::RollbackTo(level)).await,
            _ => Ok(()),
        };
        drop(turn);
        let mut state = self.lock();
        match undone {
            Ok(()) => state.levels.truncate(level),
            Err(_) => {
                // A broken connection tells by itself why nothing more can be sent.
                if self.conn.status() != Status::Broken {
                    state.end_all(Over::Abandoned);
                }
                drop(state);
                self.mark_discard();
            }
        }
        undone
    }
}

/// A statement that is under way. Dropped before it is done, it spoils the transaction it ran in.
pub(crate) struct InFlight<'a> {
    handle: &'a Handle,
    done: bool,
}

impl InFlight<'_> {
    fn finished(mut self) -> Self {
        self.done = true;
        self
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut state = self.handle.session.lock();
        state.in_flight -= 1;
        if !self.done && self.handle.level > 0 {
            state.abandon(self.handle.level);
        }
    }
}

/// A step that changes what a handle stands for; dropped before it is done, it leaves a dropped transaction.
struct Change<'a> {
    handle: &'a Handle,
    then: Phase,
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.handle.set_phase(self.then);
    }
}

fn outer_is_over() -> Error {
    Error::new(ErrorKind::TransactionEnded, "the transaction around this one is over, and this one with it")
}

fn gone() -> Error {
    Error::new(ErrorKind::Disconnected, "the connection is closed").with_effect(Effect::NotSent)
}

fn busy(why: &str) -> Error {
    Error::new(ErrorKind::Busy, why)
}
