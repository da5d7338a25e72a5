//! A stream between the socket and the driver that knows what the session is doing.
//!
//! It hops from message header to message header in both directions and copies no payload but that of rows: what the frontend
//! asked to be answered (Sync, Query) is counted against the server's ReadyForQuery, whose status byte and the command
//! tags before it are the only proof of what a transaction is. It also refuses what a client must not accept: messages
//! above a size, and a request for the password in clear text. It changes three things: the startup message gets the settings
//! of every session of ours, some results are asked for in other formats (see [`crate::formats`]), and rows that come together
//! are put into one message (see [`crate::pack`]).
//!
//! Message formats: <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::formats::{Formats, Rewriter};
pub(crate) use crate::login::{Asked, Limits, Refused};
use crate::login::{asked, refused};
use crate::naming::Naming;
use crate::pack::{Packed, Packer, Watcher};
use crate::walker::{Walker, check_len};

/// What the wire has told so far. Written by the [`Guard`], read by everybody.
#[derive(Debug)]
pub(crate) struct GuardState {
    closed: AtomicBool,
    /// It was closed by the server or by an error of the socket.
    failed: AtomicBool,
    /// The status byte of the last ReadyForQuery; 0 before the first.
    status: AtomicU8,
    /// Groups of messages that do work, written and not yet answered by ReadyForQuery.
    working: AtomicUsize,
    /// Calls under way, whether or not anything of theirs was written yet.
    pub(crate) calls: AtomicUsize,
    /// An ErrorResponse was read and its ReadyForQuery was not.
    in_error: AtomicBool,
    /// The server waits for the data of COPY … FROM STDIN.
    copy_in: AtomicBool,
    /// A BEGIN of ours was queued and is not answered.
    beginning: AtomicBool,
    commits: AtomicU64,
    rollbacks: AtomicU64,
    deallocations: AtomicU64,
    standard_strings: AtomicBool,
    refused: OnceLock<Refused>,
    /// The kind of the server's last request for authentication; 0 if it is content.
    asked: AtomicU32,
    server_version: Mutex<String>,
    /// What the driver calls the statements that it prepares.
    pub(crate) naming: Naming,
    /// Statements with columns in text.
    pub(crate) formats: Formats,
    /// Statements whose rows come packed.
    pub(crate) packed: Packed,
    changed: Notify,
}

impl GuardState {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            closed: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            status: AtomicU8::new(0),
            working: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            in_error: AtomicBool::new(false),
            copy_in: AtomicBool::new(false),
            beginning: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            rollbacks: AtomicU64::new(0),
            deallocations: AtomicU64::new(0),
            standard_strings: AtomicBool::new(true),
            refused: OnceLock::new(),
            asked: AtomicU32::new(0),
            server_version: Mutex::new(String::new()),
            naming: Naming::default(),
            formats: Formats::default(),
            packed: Packed::default(),
            changed: Notify::new(),
        })
    }

    /// The status byte of the last ReadyForQuery: `I`, `T` or `E`; 0 before the first.
    pub(crate) fn transaction_status(&self) -> u8 {
        self.status.load(SeqCst)
    }

    /// Whether work was written that the server has not finished.
    pub(crate) fn is_working(&self) -> bool {
        self.working.load(SeqCst) > 0 || self.copy_in.load(SeqCst)
    }

    /// Whether the server waits for COPY data.
    pub(crate) fn is_copying_in(&self) -> bool {
        self.copy_in.load(SeqCst)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// Marks the connection as over.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
        self.changed.notify_waiters();
    }

    /// Marks the connection as over, and not by our side.
    fn fail(&self) {
        self.failed.store(true, SeqCst);
        self.close();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(SeqCst)
    }

    /// Notes that a BEGIN is queued.
    pub(crate) fn expect_begin(&self) {
        self.beginning.store(true, SeqCst);
    }

    /// Whether the BEGIN that was queued has not been answered with its tag.
    pub(crate) fn expects_begin(&self) -> bool {
        self.beginning.load(SeqCst)
    }

    /// Waits until the BEGIN that was queued is answered, or the connection is over.
    pub(crate) async fn begun(&self) {
        self.wait(|| !self.expects_begin()).await;
    }

    /// How many COMMIT and how many ROLLBACK the server has answered with these tags.
    pub(crate) fn endings(&self) -> (u64, u64) {
        (self.commits.load(SeqCst), self.rollbacks.load(SeqCst))
    }

    /// How many times all prepared statements of the session were dropped by a statement.
    pub(crate) fn deallocations(&self) -> u64 {
        self.deallocations.load(SeqCst)
    }

    pub(crate) fn standard_strings(&self) -> bool {
        self.standard_strings.load(SeqCst)
    }

    /// What the server wanted for the login and did not get.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused.get().copied()
    }

    /// What the server wants for the login; `None` if nothing, or nothing more.
    pub(crate) fn asked(&self) -> Option<Asked> {
        asked(self.asked.load(SeqCst))
    }

    pub(crate) fn server_version(&self) -> String {
        self.server_version.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the ReadyForQuery behind an error was read, or the connection is over.
    pub(crate) async fn error_answered(&self) {
        self.wait(|| !self.in_error.load(SeqCst)).await;
    }

    /// Waits until the connection is over.
    pub(crate) async fn closed(&self) {
        self.wait(|| false).await;
    }

    async fn wait(&self, done: impl Fn() -> bool) {
        loop {
            let changed = self.changed.notified();
            if done() || self.is_closed() {
                return;
            }
            changed.await;
        }
    }
}

/// What a ReadyForQuery will answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    /// Only closes statements, or is an empty Sync: changes nothing that anybody waits for.
    Housekeeping,
    /// Parse, Bind, Execute … Sync.
    Extended,
    /// The same of a statement whose rows come packed.
    Packed,
    /// Query.
    Simple,
}

/// The walkers of both directions and what they have found; apart from the stream, for the tests.
#[derive(Debug)]
struct Watch {
    state: Arc<GuardState>,
    limits: Limits,
    server: Walker,
    client: Walker,
    /// What was written and is not answered yet, in order.
    groups: VecDeque<Group>,
    /// Whether work was written since the last Sync.
    work: bool,
    /// Whether that was a statement whose rows come packed.
    packs: bool,
    /// How many of the groups are.
    packed: usize,
}

impl Watch {
    fn new(state: Arc<GuardState>, limits: Limits) -> Self {
        Self {
            state,
            limits,
            server: Walker::new(false),
            client: Walker::new(true),
            groups: VecDeque::new(),
            work: false,
            packs: false,
            packed: 0,
        }
    }

    /// Whether packed rows may come.
    fn expects_packed(&self) -> bool {
        self.packs || self.packed > 0
    }

    fn wrote(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self { state, client, groups, work, packs, packed, .. } = self;
        client.walk(bytes, usize::MAX, |tag, body| {
            match tag {
                b'B' => {
                    *work = true;
                    // Behind the name of the portal.
                    *packs |= body.split(|&byte| byte == 0).nth(1).is_some_and(|name| state.packed.contains(name));
                }
                b'P' => {
                    *work = true;
                    state.naming.parsed(body);
                }
                b'E' => *work = true,
                // The server ignores Sync while it waits for COPY data.
                b'S' if !state.is_copying_in() => {
                    let group = match (*packs, *work) {
                        (true, _) => Group::Packed,
                        (false, true) => Group::Extended,
                        (false, false) => Group::Housekeeping,
                    };
                    push(state, groups, group);
                    *packed += usize::from(*packs);
                    (*work, *packs) = (false, false);
                }
                b'Q' => push(state, groups, Group::Simple),
                b'C' => {
                    if let Some(statement) = body.strip_prefix(b"S") {
                        state.formats.remove(text(statement));
                        state.packed.remove(text(statement));
                    }
                }
                b'c' | b'f' if state.copy_in.swap(false, SeqCst) => *work = true,
                _ => {}
            }
            Ok(())
        })
    }

    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self { state, limits, server, groups, work, packed, .. } = self;
        server.walk(bytes, limits.max_message_bytes, |tag, body| {
            match tag {
                b'Z' => {
                    let group = groups.pop_front();
                    *packed -= usize::from(group == Some(Group::Packed));
                    if group.is_some_and(|group| group != Group::Housekeeping) {
                        state.working.fetch_sub(1, SeqCst);
                    }
                    state.status.store(body.first().copied().unwrap_or(0), SeqCst);
                    if state.in_error.load(SeqCst) && state.in_error.swap(false, SeqCst) {
                        state.changed.notify_waiters();
                    }
                }
                b'C' => match text(body) {
                    b"BEGIN" if state.beginning.swap(false, SeqCst) => state.changed.notify_waiters(),
                    b"COMMIT" => _ = state.commits.fetch_add(1, SeqCst),
                    b"ROLLBACK" => _ = state.rollbacks.fetch_add(1, SeqCst),
                    b"DISCARD ALL" | b"DEALLOCATE ALL" => {
                        state.deallocations.fetch_add(1, SeqCst);
                    }
                    _ => {}
                },
                b'E' => {
                    state.in_error.store(true, SeqCst);
                    if state.copy_in.swap(false, SeqCst) {
                        *work = true;
                    }
                }
                b'G' => {
                    state.copy_in.store(true, SeqCst);
                    // The Sync that followed the Execute is among those that the server ignores now.
                    if let Some(group @ (Group::Extended | Group::Packed)) = groups.front() {
                        *packed -= usize::from(*group == Group::Packed);
                        groups.pop_front();
                        state.working.fetch_sub(1, SeqCst);
                    }
                }
                b'S' => parameter(state, body),
                b'R' => {
                    let kind = body.first_chunk().map_or(0, |kind| u32::from_be_bytes(*kind));
                    // That the login is over is seen before the driver has looked at what came with it.
                    if kind != 0 {
                        state.asked.store(kind, SeqCst);
                    }
                    if let Some(refused) = refused(body, limits) {
                        _ = state.refused.set(refused);
                        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the login is refused"));
                    }
                }
                _ => {}
            }
            Ok(())
        })
    }
}

impl Watcher for Watch {
    fn passed(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.read(bytes)
    }

    fn missing(&self) -> usize {
        self.server.missing()
    }

    fn packs(&self) -> bool {
        // Rows may come before the Sync behind their statement was written.
        self.groups.front().map_or(self.packs, |group| *group == Group::Packed)
    }

    fn check(&self, len: usize) -> io::Result<()> {
        check_len(len, self.limits.max_message_bytes)
    }
}

fn push(state: &GuardState, groups: &mut VecDeque<Group>, group: Group) {
    groups.push_back(group);
    if group != Group::Housekeeping {
        state.working.fetch_add(1, SeqCst);
    }
}

/// The bytes up to the NUL.
fn text(body: &[u8]) -> &[u8] {
    body.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn parameter(state: &GuardState, body: &[u8]) {
    let mut parts = body.split(|&byte| byte == 0);
    match (parts.next(), parts.next()) {
        (Some(b"standard_conforming_strings"), Some(value)) => {
            state.standard_strings.store(value != b"off", SeqCst);
        }
        (Some(b"server_version"), Some(value)) => {
            let mut version = state.server_version.lock().unwrap_or_else(PoisonError::into_inner);
            *version = String::from_utf8_lossy(value).into_owned();
        }
        _ => {}
    }
}

/// The stream that the driver is given.
pub(crate) struct Guard<S> {
    inner: S,
    watch: Watch,
    rewriter: Rewriter,
    packer: Packer,
    /// The startup message, until it is whole.
    startup: Vec<u8>,
    /// What was rewritten and is to be written, from `written` on.
    out: Vec<u8>,
    written: usize,
    /// The last write was put off.
    has_waited: bool,
}

/// What every session of ours is in. Each is a parameter of the startup message, which comes after what the parameter
/// `options` says, and which a pooler before the server keeps for its client, as it does not keep `options`.
const SETTINGS: &[u8] = b"TimeZone\0UTC\0DateStyle\0ISO\0";

/// The startup message with the session's settings: length, version, names and values, a NUL.
fn with_settings(mut message: Vec<u8>) -> io::Result<Vec<u8>> {
    let unlike = || io::Error::new(io::ErrorKind::InvalidData, "the driver's startup message has another form");
    message.pop().filter(|last| *last == 0).ok_or_else(unlike)?;
    message.extend_from_slice(SETTINGS);
    message.push(0);
    let len = u32::try_from(message.len()).map_err(|_| unlike())?;
    message.first_chunk_mut().ok_or_else(unlike).map(|field| *field = len.to_be_bytes())?;
    Ok(message)
}

/// So many calls on a connection send what they have together; as soon as there is as much, it is sent.
const MANY_CALLS: usize = 4;
const ENOUGH_BYTES: usize = 2 << 10;

/// How much is rewritten at once.
const REWRITE_BYTES: usize = 64 << 10;

impl<S> Guard<S> {
    pub(crate) fn new(inner: S, state: Arc<GuardState>, limits: Limits) -> Self {
        Self {
            inner,
            watch: Watch::new(state, limits),
            rewriter: Rewriter::default(),
            packer: Packer::default(),
            startup: Vec::new(),
            out: Vec::new(),
            written: 0,
            has_waited: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let room = buf.remaining();
        let result = if this.watch.expects_packed() || !this.packer.is_empty() {
            ready!(this.packer.poll_read(cx, &mut this.inner, &mut this.watch, buf))
        } else {
            let read = ready!(Pin::new(&mut this.inner).poll_read(cx, buf));
            read.and_then(|()| this.watch.read(&buf.filled()[before..]))
        };
        if result.is_err() || (room > 0 && buf.filled().len() == before) {
            this.watch.state.fail();
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> Guard<S> {
    /// Writes what was rewritten.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_write_some(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_out(cx))?;
        if self.watch.client.is_at_startup() {
            let taken = &buf[..buf.len().min(self.watch.client.missing())];
            self.startup.extend_from_slice(taken);
            self.watch.wrote(taken)?;
            if !self.watch.client.is_at_startup() {
                self.out = with_settings(std::mem::take(&mut self.startup))?;
            }
            return Poll::Ready(Ok(taken.len()));
        }
        let between = self.rewriter.is_between_messages();
        let buf = if between && self.watch.state.formats.is_empty() {
            buf
        } else if between && self.watch.client.missing() > 0 {
            // This message began before there was anything to rewrite.
            &buf[..buf.len().min(self.watch.client.missing())]
        } else {
            let buf = &buf[..buf.len().min(REWRITE_BYTES)];
            self.rewriter.rewrite(buf, &self.watch.state.formats, &mut self.out)?;
            self.watch.wrote(buf)?;
            return match self.poll_out(cx) {
                // The bytes are taken over; the rest is written by the next call, which may be a flush.
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(buf.len())),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            };
        };
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        Poll::Ready(self.watch.wrote(&buf[..written]).map(|()| written))
    }

    /// Whether `bytes` are to be written in the next turn of the driver's task. Each caller that is awake wakes that task as soon
    /// as it has sent something, and a write for each of them would cost more than all else: the others that are awake come
    /// before the next turn, and what they send goes with this.
    fn waits_for_more(&mut self, bytes: &[u8]) -> bool {
        self.has_waited =
            !self.has_waited && bytes.len() < ENOUGH_BYTES && self.watch.state.calls.load(SeqCst) >= MANY_CALLS;
        self.has_waited
    }

    /// Notes an error as the end.
    fn closing<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|_| self.watch.state.fail())
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.waits_for_more(buf) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let result = ready!(self.poll_write_some(cx, buf));
        Poll::Ready(self.closing(result))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(self.poll_out(cx));
        self.closing(result)?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(self.poll_out(cx));
        self.closing(result)?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S> Drop for Guard<S> {
    fn drop(&mut self) {
        self.watch.state.close();
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
