//! The thread of a connection, and its queue.
//!
//! The session is in the queue while nobody uses it. The thread takes it out for a job, or for a short read the calling
//! thread, if no job runs or waits.
//!
//! A job is stopped only as itself: the queue's lock is held while a job becomes the running one, while it stops being
//! it, and while a dropped call looks whether its own job is running and interrupts it. So an interrupt can hit no other.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{fmt, thread};

use databases_core::backend::Status;
use databases_core::{Effect, Error, ErrorKind, Result};
use rusqlite::InterruptHandle;
use tokio::sync::{Notify, oneshot};

use crate::options::Config;
use crate::session::{Facts, Session, State};
use crate::watch::Watch;

/// What is left of a job when the session's state is known: handing over the result.
pub(crate) type Deliver = Box<dyn FnOnce() + Send>;

/// How a job takes part in the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Whether it may be stopped half-way when its call is dropped.
    pub(crate) interruptible: bool,
    /// Whether the write permit travels with it.
    pub(crate) carries_permit: bool,
}

struct Job {
    id: u64,
    manner: Manner,
    run: Box<dyn FnOnce(&mut Session) -> Deliver + Send>,
}

/// One side of the connection: the calls. Dropping it ends the thread.
pub(crate) struct Worker {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// The status, as the queue says: who only asks for it takes no lock.
    status: AtomicU8,
    /// A job has come, the queue is closing, or the session is back then.
    work: Condvar,
    /// No job is left, or the thread has ended.
    idle: Notify,
    /// Tells the running job to stop.
    watch: Arc<Watch>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    running: Option<(u64, Manner)>,
    last_id: u64,
    closing: bool,
    broken: bool,
    /// The thread has closed the connection.
    ended: bool,
    interrupt: Option<InterruptHandle>,
    state: State,
    /// The session, unless somebody uses it or the database is not open.
    session: Option<Box<Session>>,
    /// Whether somebody else than the thread uses the session.
    is_lent: bool,
    /// How many wait for `idle`.
    waiting: usize,
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.ended || (self.running.is_none() && self.jobs.is_empty())
    }

    fn status(&self) -> Status {
        if self.broken || self.closing || self.ended {
            Status::Broken
        } else if !self.is_idle() {
            Status::Busy
        } else {
            self.state.status
        }
    }
}

/// The queue in use. What it says of the status is known to all once it is left.
struct Locked<'a> {
    queue: MutexGuard<'a, Queue>,
    status: &'a AtomicU8,
}

impl Deref for Locked<'_> {
    type Target = Queue;
    fn deref(&self) -> &Queue {
        &self.queue
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.status.store(self.queue.status() as u8, Ordering::Release);
    }
}

impl Shared {
    fn lock(&self) -> Locked<'_> {
        Locked { queue: self.raw(), status: &self.status }
    }

    fn raw(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> Status {
        const ALL: [Status; 5] = [Status::Idle, Status::InTransaction, Status::Failed, Status::Busy, Status::Broken];
        let status = self.status.load(Ordering::Acquire);
        ALL.into_iter().find(|one| *one as u8 == status).unwrap_or(Status::Broken)
    }

    /// Takes the job out of the queue, or stops it if it is the one running.
    fn abandon(&self, id: u64) {
        let mut queue = self.lock();
        let position = queue.jobs.iter().position(|job| job.id == id);
        // Dropped without the lock: a job may hold anything.
        let job = position.and_then(|position| queue.jobs.remove(position));
        if let Some((running, manner)) = queue.running
            && running == id
            && manner.interruptible
        {
            self.watch.cancel();
            if let Some(interrupt) = &queue.interrupt {
                interrupt.interrupt();
            }
        }
        let told = queue.is_idle() && queue.waiting > 0;
        drop(queue);
        drop(job);
        if told {
            self.idle.notify_waiters();
        }
    }

    /// The next job, and the session to run it.
    fn next(&self) -> Option<(Job, Box<Session>)> {
        // The status stays as it is: with a job in the queue it is busy.
        let mut queue = self.raw();
        loop {
            if queue.closing {
                return None;
            }
            if !queue.jobs.is_empty()
                && let Some(session) = queue.session.take()
            {
                let job = queue.jobs.pop_front()?;
                queue.running = Some((job.id, job.manner));
                self.watch.begin();
                return Some((job, session));
            }
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The session is back; whether the thread has nothing to do with it.
    fn finished(&self, mut session: Box<Session>) -> bool {
        let (state, interrupt) = (session.state(), session.new_interrupt_handle());
        let mut queue = self.lock();
        queue.broken |= state.status == Status::Broken;
        queue.state = state;
        if interrupt.is_some() {
            queue.interrupt = interrupt;
        }
        self.give_back(queue, session)
    }

    /// As `finished`, for a session whose state is what it was.
    fn give_back(&self, mut queue: Locked<'_>, session: Box<Session>) -> bool {
        queue.session = Some(session);
        queue.is_lent = false;
        queue.running = None;
        let idle = queue.jobs.is_empty();
        let (told, rests) = (idle && queue.waiting > 0, idle && !queue.closing);
        drop(queue);
        if told {
            self.idle.notify_waiters();
        }
        rests
    }

    /// The session, to be closed; waits for it while it is lent.
    fn take_session(&self) -> Option<Box<Session>> {
        let mut queue = self.raw();
        while queue.is_lent {
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.session.take()
    }

    /// No job runs any more. What waits for a reply learns by its channel.
    fn stop(&self) {
        let mut queue = self.lock();
        queue.broken |= !queue.closing;
        queue.closing = true;
        queue.running = None;
        queue.interrupt = None;
        let jobs = std::mem::take(&mut queue.jobs);
        drop(queue);
        drop(jobs);
        self.idle.notify_waiters();
    }

    fn ended(&self) {
        self.lock().ended = true;
        self.idle.notify_waiters();
    }
}

impl Worker {
    /// Starts a thread and opens the database on it.
    pub(crate) async fn open(config: Arc<Config>) -> Result<(Self, Facts)> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            status: AtomicU8::new(Status::Busy as u8),
            work: Condvar::new(),
            idle: Notify::new(),
            watch: Arc::default(),
        });
        let worker = Self { shared: Arc::clone(&shared) };
        let (reply, opened) = oneshot::channel();
        thread::Builder::new()
            .name("databases-sqlite".to_owned())
            .spawn(move || serve(&shared, &config, reply))
            .map_err(|error| {
                Error::new(ErrorKind::Connect, "no thread could be started for the connection").with_source(error)
            })?;
        match opened.await {
            Ok(facts) => Ok((worker, facts?)),
            Err(_) => {
                Err(Error::new(ErrorKind::Internal, "opening the database panicked").with_effect(Effect::NotSent))
            }
        }
    }

    /// Puts a job in the queue. Dropping the ticket takes it out again, or stops it.
    pub(crate) fn submit(
        &self,
        manner: Manner,
        run: impl FnOnce(&mut Session) -> Deliver + Send + 'static,
    ) -> Result<Ticket> {
        let mut queue = self.shared.lock();
        if queue.closing || queue.ended {
            return Err(closed());
        }
        queue.last_id += 1;
        let id = queue.last_id;
        queue.jobs.push_back(Job { id, manner, run: Box::new(run) });
        drop(queue);
        self.shared.work.notify_one();
        Ok(Ticket { shared: Arc::clone(&self.shared), id: Some(id) })
    }

    /// Runs `f` on the thread and waits for its result.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        manner: Manner,
        f: impl FnOnce(&mut Session) -> T + Send + 'static,
    ) -> Result<T> {
        let (reply, result) = oneshot::channel();
        let _ticket = self.submit(manner, move |session| {
            let value = f(session);
            Box::new(move || drop(reply.send(value)))
        })?;
        result.await.map_err(|_| self.lost())
    }

    /// Runs `f` on the thread of the caller, if no job runs or waits. It must be short, and wait for nothing; and it says
    /// whether the session's state may be another one now.
    pub(crate) fn run_here<T>(&self, f: impl FnOnce(&mut Session) -> (T, bool)) -> Option<T> {
        let mut queue = self.shared.lock();
        if queue.closing || queue.broken || !queue.is_idle() || queue.ended {
            return None;
        }
        let session = queue.session.take()?;
        queue.is_lent = true;
        queue.last_id += 1;
        queue.running = Some((queue.last_id, Manner { interruptible: true, carries_permit: false }));
        self.shared.watch.begin();
        drop(queue);
        let mut turn = Turn { shared: &self.shared, session: Some(session) };
        let (value, is_changed) = f(turn.session.as_mut().expect("it is there until the turn is over"));
        turn.over(is_changed);
        Some(value)
    }

    /// How many jobs there were, reads on the threads of callers included.
    #[cfg(test)]
    pub(crate) fn jobs(&self) -> u64 {
        self.shared.lock().last_id
    }

    pub(crate) fn status(&self) -> Status {
        self.shared.status()
    }

    /// Whether the session has the write permit, or will have before a job that is submitted now.
    pub(crate) fn has_permit(&self) -> bool {
        let queue = self.shared.lock();
        queue.state.has_permit
            || queue.running.is_some_and(|(_, manner)| manner.carries_permit)
            || queue.jobs.iter().any(|job| job.manner.carries_permit)
    }

    /// Whether the session is in a read-only transaction.
    pub(crate) fn is_read_only(&self) -> bool {
        self.shared.lock().state.read_only
    }

    /// Waits until no job is left.
    pub(crate) async fn idle(&self) {
        self.wait(Queue::is_idle).await;
    }

    /// Closes the connection and waits until the thread is done with it.
    pub(crate) async fn close(&self) {
        self.begin_close();
        self.wait(|queue| queue.ended).await;
    }

    /// The error of a call whose job never replied.
    pub(crate) fn lost(&self) -> Error {
        let mut queue = self.shared.lock();
        if queue.closing && !queue.broken {
            return closed();
        }
        queue.broken = true;
        Error::new(ErrorKind::Internal, "the thread of the connection ended in the middle of the statement")
    }

    async fn wait(&self, done: impl Fn(&Queue) -> bool) {
        self.shared.lock().waiting += 1;
        let _one = Waiting(&self.shared);
        loop {
            let notified = self.shared.idle.notified();
            let mut notified = std::pin::pin!(notified);
            notified.as_mut().enable();
            if done(&self.shared.lock()) {
                return;
            }
            notified.await;
        }
    }

    fn begin_close(&self) {
        let mut queue = self.shared.lock();
        queue.closing = true;
        // No handle yet: the database is still being opened, and nobody wants it any more.
        let stop = queue.running.map_or(queue.interrupt.is_none(), |(_, manner)| manner.interruptible);
        if stop {
            self.shared.watch.cancel();
            if let Some(interrupt) = &queue.interrupt {
                interrupt.interrupt();
            }
        }
        drop(queue);
        self.shared.work.notify_one();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.begin_close();
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("status", &self.status()).finish_non_exhaustive()
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Disconnected, "the connection is closed").with_effect(Effect::NotSent)
}

/// One who waits for `idle`.
struct Waiting<'a>(&'a Shared);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

/// The turn of a caller's thread. Dropped by a panic, it breaks the connection.
struct Turn<'a> {
    shared: &'a Shared,
    session: Option<Box<Session>>,
}

impl Turn<'_> {
    fn over(mut self, is_changed: bool) {
        let Some(session) = self.session.take() else { return };
        let shared = self.shared;
        let rests = if is_changed { shared.finished(session) } else { shared.give_back(shared.lock(), session) };
        if !rests {
            shared.work.notify_one();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        let mut queue = self.shared.lock();
        queue.session = Some(session);
        queue.is_lent = false;
        queue.running = None;
        queue.broken = true;
        queue.closing = true;
        drop(queue);
        self.shared.work.notify_one();
    }
}

/// A job under way. Dropping it withdraws the job, unless it is done.
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    id: Option<u64>,
}

impl Ticket {
    /// Takes the job out of the queue, or stops it if it runs.
    pub(crate) fn cancel(&mut self) {
        if let Some(id) = self.id.take() {
            self.shared.abandon(id);
        }
    }
}

impl Ticket {
    /// Leaves the job to itself.
    pub(crate) fn disarm(&mut self) {
        self.id = None;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The life of the thread.
fn serve(shared: &Shared, config: &Arc<Config>, reply: oneshot::Sender<Result<Facts>>) {
    // A panic drops the reply, which its waiter notices.
    let opened = catch_unwind(AssertUnwindSafe(|| Session::open(config, &shared.watch)));
    if let Ok(opened) = opened {
        match opened {
            Ok((session, facts)) => {
                shared.finished(Box::new(session));
                let _ = reply.send(Ok(facts));
                work(shared);
                shared.stop();
                // Closing rolls back, and may checkpoint. The driver panics if SQLite refuses.
                let session = shared.take_session();
                let _ = catch_unwind(AssertUnwindSafe(move || session.map(|session| session.close())));
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }
    shared.stop();
    shared.ended();
}

fn work(shared: &Shared) {
    while let Some((job, mut session)) = shared.next() {
        let done = catch_unwind(AssertUnwindSafe(|| {
            session.return_to_worker();
            let deliver = (job.run)(&mut session);
            session.after_job();
            deliver
        }));
        // After a panic nothing is known of the session: the connection is closed, which rolls back.
        let Ok(deliver) = done else {
            shared.raw().session = Some(session);
            return;
        };
        shared.finished(session);
        deliver();
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
