//! One session with a server, shared by the handles that look into it.
//!
//! The session knows which transactions and savepoints its handles believe in; the backend knows the truth, read
//! from the wire. Every call compares the two first, and nothing is sent where they differ.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::Instrument as _;

use crate::backend::{BackendConnection, Status, TransactionCommand};
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::options::TransactionOptions;
use crate::pool::{Inner, Open, Slot};
use crate::sql::StatementClass;

mod over;

use over::{Over, busy, gone, outer_is_over};

/// A session. Its connection goes back to the pool when the last handle is gone.
pub(crate) struct Session {
    pub(crate) inner: Arc<Inner>,
    pub(crate) conn: Arc<dyn BackendConnection>,
    /// None while `after_connect` runs, before the connection belongs to the pool.
    slot: Option<Slot>,
    state: Mutex<State>,
    /// Held while dropped transactions are rolled back.
    unwinding: tokio::sync::Mutex<()>,
    /// Held while a statement runs; see [`Handle::turn`].
    turn: tokio::sync::Mutex<()>,
}

struct State {
    /// The first is the connection itself, then the transaction, then its savepoints.
    levels: Vec<Level>,
    /// Statements under way.
    in_flight: usize,
    /// The kind of the last error from the server, if running the transaction again may succeed.
    conflict: Option<ErrorKind>,
    /// The statement whose turn it is runs in a transaction that text has begun.
    in_text: bool,
    /// How many transactions that text has begun were ended by an error.
    texts_ended: u64,
}

struct Level {
    /// Unique in the pool; the number of its savepoint.
    id: u64,
    /// The handle is gone without commit or rollback: to be rolled back before anything else is sent.
    dropped: bool,
    /// Its savepoint is known to be there. Not while it is opened, when there is nothing in it to undo, nor while it is
    /// released, when it does not matter to whoever dropped the future whether its work is kept.
    marked: bool,
    streaming: bool,
    over: Option<Over>,
}

impl Level {
    fn new(id: u64) -> Self {
        Self { id, dropped: false, marked: false, streaming: false, over: None }
    }
}

impl Session {
    pub(crate) fn new(slot: Slot) -> Arc<Self> {
        Self::over(slot.inner().clone(), slot.conn().clone(), Some(slot))
    }

    /// A session on a connection that the pool has not got yet.
    pub(crate) fn over(inner: Arc<Inner>, conn: Arc<dyn BackendConnection>, slot: Option<Slot>) -> Arc<Self> {
        let state = State { levels: vec![Level::new(0)], in_flight: 0, conflict: None, in_text: false, texts_ended: 0 };
        let (unwinding, turn) = Default::default();
        Arc::new(Self { inner, conn, slot, state: Mutex::new(state), unwinding, turn })
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

    /// The kind of the last error from the server, if running the transaction again may succeed.
    pub(crate) fn last_conflict(&self) -> Option<ErrorKind> {
        self.lock().conflict
    }

    /// Whether calls on the connection itself run inside a transaction that the user does not see.
    pub(crate) fn force_rollback(&self) -> bool {
        self.slot.is_some() && self.inner.options().force_rollback
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let outermost = self.lock().levels.get(1).map(|level| Open { savepoint: level.id, marked: level.marked });
        if let (Some(slot), Some(open)) = (&self.slot, outermost) {
            slot.set_open(open);
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
                    Some(child) if child.dropped => true,
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

    /// Waits until the statements that others have under way are over, and checks again that one may be sent: where an error
    /// can end the transaction, what is queued behind it would be committed by itself.
    ///
    /// To be let go only after [`Handle::leave`].
    pub(crate) async fn turn(&self) -> Result<Option<tokio::sync::MutexGuard<'_, ()>>> {
        if self.session.inner.config.connector.capabilities().error_fails_transaction {
            return Ok(None);
        }
        let texts_ended = self.session.lock().texts_ended;
        let turn = self.session.turn.lock().await;
        // What is left of a dropped stream may end the transaction as well.
        if self.in_transaction() && self.conn().status() == Status::Busy {
            self.conn().settle().await;
        }
        let (mut state, status) = (self.session.lock(), self.conn().status());
        self.check_level(&state)?;
        self.check_status(&mut state, status)?;
        if state.texts_ended != texts_ended {
            return Err(Over::RolledBack.error());
        }
        state.in_text = !self.in_transaction() && status == Status::InTransaction;
        Ok(Some(turn))
    }

    fn check_level(&self, state: &State) -> Result<()> {
        // With an outer transaction goes everything inside it.
        if state.outer_is_dropped(self.level) {
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

    /// Compares what the session believes with what the server says once a statement of `class` is over.
    pub(crate) fn leave<T>(&self, in_flight: InFlight<'_>, class: StatementClass, result: Result<T>) -> Result<T> {
        in_flight.finish();
        let status = self.conn().status();
        let mut state = self.session.lock();
        if let Err(error) = &result {
            state.conflict = error.conflict();
            // A statement that could not be stopped is still under way: nothing may be sent behind it.
            let sent = error.effect() != Effect::NotSent;
            if error.kind() == ErrorKind::StatementTimeout && sent && status == Status::Busy && self.level > 0 {
                state.abandon(self.level);
            }
            if state.in_text && sent && status == Status::Idle {
                (state.in_text, state.texts_ended) = (false, state.texts_ended + 1);
            }
        }
        if self.level == 0 || status != Status::Idle || state.levels.len() == 1 {
            return result;
        }
        // MySQL commits before DDL, also before DDL that then fails; a conflict is what it rolls back for.
        let commits = !self.session.inner.config.connector.capabilities().transactional_ddl
            && !matches!(class, StatementClass::Read | StatementClass::Write);
        match result {
            Ok(_) => {
                state.end_all(Over::Committed);
                Err(Over::Committed.error().with_effect(Effect::Applied))
            }
            Err(error) => {
                state.end_all(if commits && !error.is_retryable() { Over::Committed } else { Over::RolledBack });
                Err(error)
            }
        }
    }

    /// Whether the call under way is the only one of the session.
    pub(crate) fn is_alone(&self) -> bool {
        self.session.lock().in_flight == 1
    }

    /// Remembers an error that came later than the call, as in the middle of a stream.
    pub(crate) fn note(&self, error: &Error) {
        self.session.lock().conflict = error.conflict();
    }

    /// Opens a transaction, or a savepoint inside one.
    pub(crate) async fn begin(&self, options: &TransactionOptions) -> Result<Self> {
        let in_flight = self.enter().await?;
        let opened = self.open_level(options);
        in_flight.finish();
        let (began, command, nested) = opened?;
        let mut undo = Undo::unless_disarmed(&began);
        let result = self.session.step(command).instrument(began.span.clone()).await;
        let mut state = self.session.lock();
        match &result {
            Ok(()) => {
                state.conflict = None;
                if let Some(level) = state.levels.get_mut(began.level) {
                    level.marked = true;
                }
                undo.disarm();
            }
            Err(error) => {
                state.conflict = error.conflict();
                // Where BEGIN may have worked all the same, it is undone before anything else.
                if nested || self.conn().status() == Status::Idle {
                    state.pop(&began);
                    undo.disarm();
                }
            }
        }
        drop(state);
        drop(undo);
        result.map(|()| began)
    }

    /// Puts a level on the stack; it is open once its command has worked.
    fn open_level(&self, options: &TransactionOptions) -> Result<(Self, TransactionCommand, bool)> {
        let level = self.level + 1;
        let nested = level > 1 || self.session.force_rollback();
        let plain = TransactionOptions { retries: 0, ..options.clone() } == TransactionOptions::new();
        if nested && !plain {
            let message = if level > 1 {
                "the options of a transaction belong to the outermost one; this one is nested"
            } else {
                "with force_rollback every transaction is nested in the one that is never committed, and takes no options"
            };
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let span = self.session.inner.transaction_span(nested, &self.span);
        let mut state = self.session.lock();
        if state.in_flight > 1 {
            return Err(busy("a statement is under way on this handle"));
        }
        let id = self.session.inner.next_level();
        let command =
            if nested { TransactionCommand::Savepoint(id) } else { TransactionCommand::Begin(options.clone()) };
        state.levels.push(Level::new(id));
        Ok((Self { session: self.session.clone(), level, id, span }, command, nested))
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
        // Whatever happens from here on, what is not committed is rolled back.
        let mut undo = Undo::unless_disarmed(self);
        let over = {
            let state = self.session.lock();
            let Some(level) = state.levels.get(self.level).filter(|level| level.id == self.id) else {
                return if keep { Err(outer_is_over()) } else { Ok(()) };
            };
            let child_open = state.levels.get(self.level + 1).is_some_and(|child| !child.dropped);
            if child_open || level.streaming {
                let what = if child_open { "a nested transaction" } else { "a stream" };
                return Err(busy(&format!("{what} is still open, so this transaction is rolled back")));
            }
            let status = self.conn().status();
            let over = level.over.or((status == Status::Idle).then_some(Over::RolledBack));
            if keep && over.is_none() && status == Status::Broken {
                return Err(gone());
            }
            if state.outer_is_dropped(self.level) {
                // It goes with its outer transaction.
                return if keep { Err(outer_is_over()) } else { Ok(()) };
            }
            over
        };
        match over {
            Some(over @ (Over::RolledBack | Over::Committed)) => {
                undo.disarm();
                self.session.lock().pop(self);
                if !keep && over == Over::RolledBack { Ok(()) } else { Err(over.error()) }
            }
            Some(over @ Over::Abandoned) if keep => Err(over.error()),
            _ if keep => self.keep(undo).await,
            _ => {
                drop(undo);
                self.session.unwind(self.level).await
            }
        }
    }

    async fn keep(&self, mut undo: Undo<'_>) -> Result<()> {
        // A child that was dropped is undone first, and with it the failure of a statement in it.
        self.session.unwind(self.level + 1).await?;
        if self.conn().status() == Status::Failed {
            drop(undo);
            self.session.unwind(self.level).await?;
            return Err(Error::new(
                ErrorKind::TransactionFailed,
                "an earlier statement failed, so the transaction was rolled back and not committed",
            )
            .with_effect(Effect::RolledBack));
        }
        let outermost = self.level == 1 && !self.session.force_rollback();
        let command = if outermost { TransactionCommand::Commit } else { TransactionCommand::Release(self.id) };
        self.set(|level| level.marked = false);
        let ended = self.session.step(command).instrument(self.span.clone()).await;
        let Err(error) = ended else {
            self.session.lock().pop(self);
            undo.disarm();
            return Ok(());
        };
        self.session.lock().conflict = error.conflict();
        self.set(|level| level.marked = true);
        if outermost && error.kind() == ErrorKind::Disconnected && error.effect() != Effect::NotSent {
            return Err(error.with_kind(ErrorKind::CommitOutcomeUnknown).with_effect(Effect::Unknown));
        }
        Err(error)
    }

    /// The handle is gone without commit or rollback.
    pub(crate) fn abandon(&self) {
        self.set(|level| level.dropped = true);
        if std::thread::panicking() {
            self.session.mark_discard();
        }
    }

    /// A call was given up, and what became of it is not known: a transaction can only be rolled back.
    pub(crate) fn doom(&self) {
        let mut state = self.session.lock();
        if self.in_transaction() && state.levels.get(self.level).is_some_and(|level| level.id == self.id) {
            state.abandon(self.level);
        }
    }

    pub(crate) fn set_streaming(&self, streaming: bool) {
        self.set(|level| level.streaming = streaming);
    }

    /// Changes the handle's level, if it is still there.
    fn set(&self, change: impl FnOnce(&mut Level)) {
        let mut state = self.session.lock();
        if let Some(level) = state.levels.get_mut(self.level).filter(|level| level.id == self.id) {
            change(level);
        }
    }
}

impl State {
    /// Takes the handle's level off the stack, and all inside it, if it is still there.
    fn pop(&mut self, handle: &Handle) {
        if self.levels.get(handle.level).is_some_and(|level| level.id == handle.id) {
            self.levels.truncate(handle.level);
        }
    }

    fn outer_is_dropped(&self, level: usize) -> bool {
        self.levels.iter().take(level).any(|outer| outer.dropped)
    }

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

    /// Takes a step of a transaction. Rolling back is our own wait and bounded by `close_timeout`, everything else by
    /// `statement_timeout`, if there is one. A step without an answer costs the connection.
    async fn step(&self, command: TransactionCommand) -> Result<()> {
        let options = self.inner.options();
        let undoing = matches!(command, TransactionCommand::Rollback | TransactionCommand::RollbackTo(_));
        let commit = command == TransactionCommand::Commit;
        let limit = if undoing { Some(options.close_timeout) } else { options.statement_timeout };
        let work = self.conn.transaction(command);
        let Some(limit) = limit else { return work.await };
        if let Ok(result) = tokio::time::timeout(limit, work).await {
            return result;
        }
        self.mark_discard();
        let limit = crate::backend::in_seconds(limit);
        Err(if commit {
            let message = format!("COMMIT was not answered within statement_timeout, {limit}: it may have been done");
            Error::new(ErrorKind::CommitOutcomeUnknown, message)
        } else if undoing {
            let message =
                format!("ROLLBACK was not answered within close_timeout, {limit}: the connection is given up");
            Error::new(ErrorKind::Disconnected, message)
        } else {
            let message = format!("a step of a transaction was not answered within statement_timeout, {limit}");
            Error::new(ErrorKind::StatementTimeout, message)
        })
    }

    /// Rolls back the transaction at `level`, if it was dropped, and all inside it.
    async fn unwind(&self, level: usize) -> Result<()> {
        let _turn = self.unwinding.lock().await;
        let (marked, savepoint) = match self.lock().levels.get(level) {
            Some(level) if level.dropped => (level.marked, level.id),
            _ => return Ok(()), // Nothing to undo, or somebody else was faster.
        };
        if self.conn.status() == Status::Busy {
            self.settle().await?;
        }
        let undone = match self.conn.status() {
            Status::Broken => Err(gone()),
            Status::Idle => Ok(()),
            _ if level == 1 && !self.force_rollback() => self.step(TransactionCommand::Rollback).await,
            _ if marked => self.undo_savepoint(level, savepoint).await,
            _ => Ok(()),
        };
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

    /// Until it is known that all was undone the savepoint stays, so that a future dropped half-way can be followed by
    /// another; nothing else is sent in between.
    async fn undo_savepoint(&self, level: usize, savepoint: u64) -> Result<()> {
        self.step(TransactionCommand::RollbackTo(savepoint)).await?;
        if let Some(level) = self.lock().levels.get_mut(level) {
            level.marked = false;
        }
        self.step(TransactionCommand::Release(savepoint)).await
    }
}

/// A statement that is under way. Dropped before it is done, it spoils the transaction it ran in.
pub(crate) struct InFlight<'a> {
    handle: &'a Handle,
    done: bool,
}

impl InFlight<'_> {
    /// The statement is over, or was never sent.
    pub(crate) fn finish(mut self) {
        self.done = true;
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut state = self.handle.session.lock();
        state.in_flight -= 1;
        if !self.done && self.handle.level > 0 {
            state.abandon(self.handle.level);
        }
        drop(state);
        if !self.done && std::thread::panicking() {
            self.handle.session.mark_discard();
        }
    }
}

/// Leaves a dropped transaction behind, unless it is disarmed: for steps that may be dropped half-way.
struct Undo<'a> {
    handle: &'a Handle,
    armed: bool,
}

impl<'a> Undo<'a> {
    fn unless_disarmed(handle: &'a Handle) -> Self {
        Self { handle, armed: true }
    }

    fn disarm(&mut self) {
        self.armed = false;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.handle.set(|level| level.dropped = true);
        }
    }
}
