//! The caller's side of a connection: asks for turns, sends jobs to the worker, hands rows on.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use databases_core::backend::{
    AtOnce, BackendConnection, ExecResult, Flow, NativeConnection, Request, Requests, RowBatches, RowSink, ServerInfo,
    Status, TransactionCommand,
};
use databases_core::sql::{Dialect, StatementClass, Verb, split_script};
use databases_core::{Error, ErrorKind, Result, RowBatch};
use tokio::sync::oneshot::error::RecvError;
use tokio::sync::{Mutex, oneshot};

use crate::batch::{Batch, Limits};
use crate::bulk::{Bulk, Chunks};
use crate::group::Offers;
use crate::here::{Here, SHORT, use_up_turn};
use crate::options::Config;
use crate::permit::{Held, WritePermit};
use crate::session::{already_open, check_options, takes_lock};
use crate::statement::{Outcome, Reply, Rest, alters_session, may_run_here, surely_writes};
use crate::worker::{Manner, Ticket, Worker};

/// A result is handed over in one piece up to this size; beyond it the reader takes part in the pace.
const WHOLE: Limits = Limits { rows: 16_384, bytes: 4 << 20 };
/// The pieces of a stream.
const PIECE: Limits = Limits { rows: 512, bytes: 128 << 10 };

/// A session on a thread of its own.
pub(crate) struct SqliteConnection {
    pub(crate) worker: Worker,
    permit: Option<Arc<WritePermit>>,
    offers: Option<Arc<Offers>>,
    inline_reads: bool,
    /// Held while one call waits for the permit: another call of this session may then use the same one.
    asking: Mutex<()>,
    dialect: Dialect,
}

impl fmt::Debug for SqliteConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteConnection").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl SqliteConnection {
    /// Opens the database.
    pub(crate) async fn open(
        config: Arc<Config>,
        permit: Option<Arc<WritePermit>>,
        offers: Option<Arc<Offers>>,
    ) -> Result<Self> {
        let inline_reads = config.inline_reads;
        let (worker, facts) = Worker::open(config).await?;
        let dialect = Dialect::SQLITE.with_max_parameters(facts.max_parameters);
        Ok(Self { worker, permit, offers, inline_reads, asking: Mutex::new(()), dialect })
    }

    /// Calls `submit` when it is this session's turn to write, with the permit unless the session has it already.
    async fn in_turn<T>(&self, what: &'static str, submit: impl FnOnce(Option<Held>) -> T) -> Result<T> {
        let Some(permit) = &self.permit else { return Ok(submit(None)) };
        if self.worker.is_read_only() {
            return Ok(submit(None));
        }
        let deadline = permit.deadline();
        let _asking = match self.asking.try_lock() {
            Ok(asking) => asking,
            Err(_) => permit.before(deadline, self.asking.lock()).await?,
        };
        if self.worker.has_permit() {
            return Ok(submit(None));
        }
        Ok(submit(Some(permit.acquire(what, deadline).await?)))
    }

    /// Submits a statement, after waiting for its turn if it `writes`.
    async fn submit(
        &self,
        request: Request,
        limits: Limits,
        writes: bool,
    ) -> Result<(Ticket, oneshot::Receiver<Outcome>)> {
        let (reply, outcome) = oneshot::channel();
        let what = describe(request.template.verb());
        let submit = |permit: Option<Held>| {
            let manner = Manner { interruptible: true, carries_permit: permit.is_some() };
            self.worker.submit(manner, move |session| session.run(request, permit, limits, reply))
        };
        let ticket = if writes { self.in_turn(what, submit).await? } else { submit(None) };
        Ok((ticket?, outcome))
    }

    /// Runs a statement up to its first rows.
    async fn start(&self, mut request: Request, limits: Limits) -> Result<(Ticket, Reply)> {
        let mut writes = surely_writes(request.template.class());
        loop {
            let (ticket, outcome) = self.submit(request, limits, writes).await?;
            match outcome.await {
                Ok(Outcome::Done(reply)) => return Ok((ticket, reply?)),
                Ok(Outcome::NeedsPermit(again)) => {
                    request = again;
                    writes = true;
                }
                Err(_) => return Err(self.worker.lost()),
            }
        }
    }

    /// Runs a statement on this thread, if it is a short read and nothing of this session is under way.
    pub(crate) fn run_here(
        &self,
        request: &Request,
        now: Instant,
        within: Duration,
        sink: &mut dyn RowSink,
    ) -> Option<Result<Here>> {
        if !self.inline_reads || !may_run_here(&request.template) {
            return None;
        }
        let ran = self.worker.run_here(|session| {
            let ran = session.run_here(request, now, within, sink.live());
            // A read that ends well leaves the session as it was.
            let is_changed = !matches!(ran, Ok(None | Some(Ok(_))));
            (ran, is_changed)
        })?;
        let mut here = ran.unwrap_or_else(|panic| resume_unwind(panic))?;
        if let Ok(Here { batch, .. }) = &mut here
            && let Some(batch) = batch.take()
            && let Err(error) = sink.batch(Arc::new(batch))
        {
            return Some(Err(error));
        }
        Some(here)
    }

    /// Runs a statement together with those that wait for the permit too, on whichever connection has it first.
    async fn run_together(&self, request: Request, permit: &Arc<WritePermit>, offers: &Arc<Offers>) -> Result<Reply> {
        let what = describe(request.template.verb());
        let deadline = permit.deadline();
        let (offered, mut outcome) = offers.offer(request);
        let turn = {
            let mut turn = pin!(permit.acquire(what, deadline));
            poll_fn(|cx| match Pin::new(&mut outcome).poll(cx) {
                Poll::Ready(outcome) => Poll::Ready(Turn::Done(outcome)),
                Poll::Pending => turn.as_mut().poll(cx).map(Turn::Mine),
            })
            .await
        };
        let outcome = match turn {
            Turn::Done(outcome) => outcome,
            Turn::Mine(Ok(held)) => {
                let offers = Arc::clone(offers);
                let manner = Manner { interruptible: false, carries_permit: true };
                // It leads for others too, and is not taken back if this call is dropped.
                self.worker.submit(manner, move |session| session.lead(&offers, held))?.disarm();
                outcome.await
            }
            // Its turn was over before it could run, unless it runs by now.
            Turn::Mine(Err(error)) if offered.withdraw() => return Err(error),
            Turn::Mine(Err(_)) => outcome.await,
        };
        match outcome {
            Ok(Outcome::Done(reply)) => reply,
            Ok(Outcome::NeedsPermit(_)) => unreachable!("whoever leads has the permit"),
            Err(_) => {
                let message = "the thread that led the group of this statement ended in the middle of it";
                Err(Error::new(ErrorKind::Internal, message))
            }
        }
    }

    /// Runs a statement that writes, with others.
    async fn run_in_group(
        &self,
        request: Request,
        permit: &Arc<WritePermit>,
        offers: &Arc<Offers>,
        sink: &mut dyn RowSink,
    ) -> Result<ExecResult> {
        let reply = self.run_together(request, permit, offers).await?;
        for batch in reply.batches {
            if !matches!(sink.batch(batch)?, Flow::Continue) {
                break;
            }
        }
        Ok(reply.result)
    }

    /// Runs a short read on this thread, and what is none on a worker.
    async fn run_near(&self, request: Request, sink: &mut dyn RowSink) -> Result<ExecResult> {
        if let Some(here) = self.run_here(&request, Instant::now(), SHORT, sink) {
            // Whoever tries until it works must let those run who could make it work.
            if here.as_ref().map_or(true, |here| here.turn_is_over) {
                use_up_turn().await;
            }
            return here.map(|here| here.result);
        }
        // Boxed, so that the way of a short read stays short.
        Box::pin(self.run_away(request, sink)).await
    }

    /// Runs a statement on a worker.
    async fn run_away(&self, request: Request, sink: &mut dyn RowSink) -> Result<ExecResult> {
        let (mut ticket, mut reply) = self.start(request, WHOLE).await?;
        let mut fed = Ok(Flow::Continue);
        for batch in reply.batches {
            fed = sink.batch(batch);
            if !matches!(fed, Ok(Flow::Continue)) {
                break;
            }
        }
        if let Some(Rest { mut batches, end }) = reply.rest.take() {
            while matches!(fed, Ok(Flow::Continue))
                && let Some(batch) = batches.recv().await
            {
                fed = sink.batch(batch);
            }
            let stopped = !matches!(fed, Ok(Flow::Continue));
            drop(batches);
            if stopped {
                // Only a statement that reads is still under way here; nothing is lost by stopping it.
                ticket.cancel();
            }
            let ended = end.await.map_err(|_| self.worker.lost())?;
            if !stopped {
                ended?;
            }
        }
        fed.map(|_| reply.result)
    }

    /// Sends a chunk of `run_many` off, in its turn, behind those that are under way.
    async fn send_chunk(&self, under_way: &mut UnderWay, first: usize, rows: Arc<Bulk>) -> Result<()> {
        let (reply, result) = oneshot::channel();
        let (bulk, stopped) = (Arc::clone(&rows), Arc::clone(&under_way.stopped));
        let submit = |permit: Option<Held>| {
            let manner = Manner { interruptible: true, carries_permit: permit.is_some() };
            self.worker.submit(manner, move |session| {
                let done = if stopped.load(Relaxed) { Ok(None) } else { session.run_many(&bulk, permit) };
                drop(bulk);
                // Those behind it must not run.
                stopped.fetch_or(!matches!(done, Ok(Some(_))), Relaxed);
                Box::new(move || drop(reply.send(done)))
            })
        };
        let _ticket = self.in_turn("a batch of statements", submit).await??;
        under_way.chunks.push_back(Chunk { first, rows, _ticket, result });
        Ok(())
    }

    /// Waits for the chunk that was sent first, if there is one; gives the count of the rows it changed, and the chunk
    /// back.
    async fn finish_chunk(&self, under_way: &mut UnderWay) -> Result<Option<(u64, Option<Bulk>)>> {
        loop {
            let Some(mut chunk) = under_way.chunks.pop_front() else { return Ok(None) };
            match (&mut chunk.result).await {
                Ok(Ok(Some(total))) => return Ok(Some((total, Arc::into_inner(chunk.rows)))),
                Ok(Ok(None)) => {
                    // It was not its turn, so those behind it have not run either: they are sent again, in order.
                    let mut again = vec![chunk];
                    for mut behind in std::mem::take(&mut under_way.chunks) {
                        let _ = (&mut behind.result).await;
                        again.push(behind);
                    }
                    under_way.stopped.store(false, Relaxed);
                    for Chunk { first, rows, .. } in again {
                        self.send_chunk(under_way, first, rows).await?;
                    }
                }
                Ok(Err(error)) => return Err(shift(error, chunk.first)),
                Err(_) => return Err(self.worker.lost()),
            }
        }
    }
}

/// What came first for a statement on offer.
enum Turn {
    /// Somebody else ran it.
    Done(Result<Outcome, RecvError>),
    /// It has the permit, or waited too long.
    Mine(Result<Held>),
}

/// How many chunks are under way at a time: one runs, and the next waits, so that the worker never does.
const CHUNKS_AHEAD: usize = 2;

/// Chunks on their way, the first one first.
#[derive(Default)]
struct UnderWay {
    chunks: VecDeque<Chunk>,
    /// One has failed, or could not run: the worker runs none behind it.
    stopped: Arc<AtomicBool>,
}

/// Rows on their way.
struct Chunk {
    /// The index of its first row in the whole batch.
    first: usize,
    rows: Arc<Bulk>,
    _ticket: Ticket,
    result: oneshot::Receiver<Result<Option<u64>>>,
}

/// A statement as the holder of the permit.
fn describe(verb: Verb) -> &'static str {
    match verb {
        Verb::Insert => "an INSERT",
        Verb::Update => "an UPDATE",
        Verb::Delete => "a DELETE",
        Verb::Replace => "a REPLACE",
        Verb::Create => "a CREATE",
        Verb::Alter => "an ALTER",
        Verb::Drop => "a DROP",
        Verb::Pragma => "a PRAGMA",
        _ => "a statement",
    }
}

#[async_trait]
impl BackendConnection for SqliteConnection {
    fn status(&self) -> Status {
        self.worker.status()
    }

    fn dialect(&self) -> Dialect {
        self.dialect
    }

    // As `async_trait` writes it, but with a box of the size of the way that the statement goes.
    fn run<'a, 's, 'f>(
        &'a self,
        request: Request,
        sink: &'s mut dyn RowSink,
    ) -> Pin<Box<dyn Future<Output = Result<ExecResult>> + Send + 'f>>
    where
        'a: 'f,
        's: 'f,
        Self: 'f,
    {
        if self.inline_reads && may_run_here(&request.template) {
            return Box::pin(self.run_near(request, sink));
        }
        match (&self.permit, &self.offers) {
            (Some(permit), Some(offers)) if request.pooled && request.template.class() == StatementClass::Write => {
                Box::pin(self.run_in_group(request, permit, offers, sink))
            }
            _ => Box::pin(self.run_away(request, sink)),
        }
    }

    fn run_at_once(
        &self,
        request: &Request,
        now: Instant,
        within: Duration,
        sink: &mut dyn RowSink,
    ) -> Option<Result<AtOnce>> {
        let here = self.run_here(request, now, within, sink)?;
        Some(here.map(|here| AtOnce::new(here.result, here.ended, here.turn_is_over)))
    }

    async fn run_many(&self, requests: &mut dyn Requests) -> Result<u64> {
        let mut chunks = Chunks::new(requests);
        let mut total = 0;
        let mut under_way = UnderWay::default();
        loop {
            let first = chunks.taken;
            let (next, failed) = chunks.next();
            let is_last = next.is_none() || failed.is_some();
            if let Some(next) = next {
                // One that has failed may have ended the transaction, and with it the right to write: nothing waits for
                // that only to learn of the failure.
                let is_full = under_way.chunks.len() == CHUNKS_AHEAD || under_way.stopped.load(Relaxed);
                if is_full && let Some((count, done)) = self.finish_chunk(&mut under_way).await? {
                    total += count;
                    if let Some(done) = done {
                        chunks.recycle(done);
                    }
                }
                if let Err(error) = self.send_chunk(&mut under_way, first, Arc::new(next)).await {
                    // What comes first goes wrong first.
                    while self.finish_chunk(&mut under_way).await?.is_some() {}
                    return Err(error);
                }
            }
            if is_last {
                while let Some((count, _)) = self.finish_chunk(&mut under_way).await? {
                    total += count;
                }
                // What comes first goes wrong first.
                return match failed {
                    Some(error) => Err(error.with_batch_index(chunks.taken)),
                    None => Ok(total),
                };
            }
        }
    }

    async fn run_script(&self, sql: &str) -> Result<()> {
        // What the scanner cannot read, SQLite refuses better.
        let statements = split_script(sql, self.dialect);
        let any = |is_it: fn(StatementClass) -> bool| {
            statements.as_ref().map_or(true, |all| all.iter().any(|one| is_it(one.class)))
        };
        let alters = any(alters_session);
        let mut writes = any(|class| class != StatementClass::Read);
        loop {
            let (reply, result) = oneshot::channel();
            let sql = sql.to_owned();
            let submit = |permit: Option<Held>| {
                let manner = Manner { interruptible: true, carries_permit: permit.is_some() };
                self.worker.submit(manner, move |session| {
                    let done = session.run_script(&sql, alters, permit);
                    Box::new(move || drop(reply.send(done)))
                })
            };
            let _ticket = if writes { self.in_turn("a script", submit).await? } else { submit(None) }?;
            if result.await.map_err(|_| self.worker.lost())?? {
                return Ok(());
            }
            writes = true;
        }
    }

    async fn open_stream(&self, request: Request) -> Result<Box<dyn RowBatches>> {
        let (ticket, reply) = self.start(request, PIECE).await?;
        Ok(Box::new(Stream { ready: reply.batches, rest: reply.rest, _ticket: ticket }))
    }

    async fn transaction(&self, command: TransactionCommand) -> Result<()> {
        let mut writes = false;
        if let TransactionCommand::Begin(options) = &command {
            check_options(options)?;
            if self.worker.status() == Status::InTransaction {
                // Before it waits for its turn.
                return Err(already_open());
            }
            writes = takes_lock(options);
        }
        // BEGIN may wait for others; what follows it is short, and is not stopped half-way.
        let interruptible = matches!(command, TransactionCommand::Begin(_));
        loop {
            let (reply, result) = oneshot::channel();
            let command = command.clone();
            let submit = |permit: Option<Held>| {
                let manner = Manner { interruptible, carries_permit: permit.is_some() };
                self.worker.submit(manner, move |session| {
                    let done = session.transaction(&command, permit);
                    Box::new(move || drop(reply.send(done)))
                })
            };
            let _ticket = if writes { self.in_turn("a transaction", submit).await? } else { submit(None) }?;
            if result.await.map_err(|_| self.worker.lost())?? {
                return Ok(());
            }
            writes = true;
        }
    }

    async fn settle(&self) {
        // What was dropped was taken out or stopped when it was dropped.
        self.worker.idle().await;
    }

    async fn reset(&self) -> Result<bool> {
        Ok(false)
    }

    async fn ping(&self) -> Result<()> {
        self.worker.call(Manner { interruptible: true, carries_permit: false }, |_| ()).await
    }

    async fn server_info(&self) -> Result<ServerInfo> {
        Ok(ServerInfo::new("SQLite", rusqlite::version()))
    }

    async fn native(&self) -> Result<Box<dyn NativeConnection + '_>> {
        let (lender, lent) = oneshot::channel();
        let manner = Manner { interruptible: false, carries_permit: false };
        let mut ticket = self.worker.submit(manner, move |session| {
            session.lend(|connection| {
                let (give_back, back) = mpsc::channel();
                // If nobody takes it, dropping it gives it back.
                drop(lender.send(Lent { connection: Some(connection), give_back }));
                back.recv().ok()
            });
            Box::new(|| ())
        })?;
        let lent = lent.await.map_err(|_| self.worker.lost())?;
        ticket.disarm();
        Ok(Box::new(lent))
    }

    fn native_type(&self) -> &'static str {
        "rusqlite::Connection"
    }

    async fn close(&self) {
        self.worker.close().await;
    }
}

/// Makes the index in a chunk one in the whole batch.
fn shift(error: Error, first: usize) -> Error {
    match error.batch_index() {
        Some(index) => error.with_batch_index(first + index),
        None => error,
    }
}

/// Rows of a statement under way.
struct Stream {
    ready: VecDeque<Arc<Batch>>,
    rest: Option<Rest>,
    /// Dropped after the channels; stops the statement.
    _ticket: Ticket,
}

#[async_trait]
impl RowBatches for Stream {
    async fn next(&mut self) -> Result<Option<Arc<dyn RowBatch>>> {
        if let Some(batch) = self.ready.pop_front() {
            return Ok(Some(batch));
        }
        let Some(rest) = &mut self.rest else { return Ok(None) };
        if let Some(batch) = rest.batches.recv().await {
            return Ok(Some(batch));
        }
        let ended = (&mut rest.end).await;
        self.rest = None;
        match ended {
            Ok(result) => result.map(|()| None),
            Err(_) => {
                Err(Error::new(ErrorKind::Internal, "the thread of the connection ended in the middle of the stream"))
            }
        }
    }
}

/// The connection away from its worker, which waits for it.
struct Lent {
    connection: Option<rusqlite::Connection>,
    give_back: mpsc::Sender<rusqlite::Connection>,
}

impl Lent {
    fn connection(&self) -> &rusqlite::Connection {
        self.connection.as_ref().expect("the connection goes back in drop only")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = self.give_back.send(connection);
        }
    }
}

impl NativeConnection for Lent {
    fn as_any(&self) -> &dyn Any {
        self.connection()
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self.connection.as_mut().expect("the connection goes back in drop only")
    }
}
