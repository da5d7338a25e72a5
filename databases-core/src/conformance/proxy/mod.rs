//! A proxy in front of a server that does to a connection what networks do, at a point that the test chooses.
//!
//! It takes the bytes apart into messages, so that a test can cut a connection before a COMMIT, hold each answer back
//! until it is asked for, or count round trips. It listens on loopback, on the runtime that it was started on, and
//! goes with its last connection when it is dropped.
//!
//! ```text
//! let proxy = Proxy::start(url, Protocol::Postgres).await?;
//! let db = pool_at(proxy.url(url)?);
//! proxy.when(At::before(|m| m.direction == Direction::Up && m.holds("COMMIT")), Action::End(End::Rst));
//! ```

mod frames;
mod relay;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

pub use frames::{Direction, Message, Protocol};

use crate::error::{Error, ErrorKind, Result};
use crate::url::DatabaseUrl;

/// What becomes of messages. Switched while connections are open; a message that waits goes by the new mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// They pass.
    Pass,
    /// Each waits for so long.
    Delay(Duration),
    /// So many bytes at a time, with a pause behind each piece.
    Drip {
        /// The bytes of a piece.
        bytes: usize,
        /// The pause.
        every: Duration,
    },
    /// The server's wait for [`Proxy::release`]; the client's pass.
    Hold,
    /// Nothing passes in either direction, and nothing is lost.
    Stall,
    /// What is sent is gone.
    Blackhole,
}

impl Mode {
    /// Every byte by itself.
    pub const SLICE: Self = Self::Drip { bytes: 1, every: Duration::ZERO };
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides are closed in good order.
    Fin,
    /// Both sides are reset.
    Rst,
    /// The client is told that nothing more comes; what it sends still reaches the server.
    HalfClose,
}

/// What is done at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The connection ends.
    End(End),
    /// All connections go on in this mode.
    Switch(Mode),
}

type Matcher = Box<dyn Fn(&Message<'_>) -> bool + Send>;

/// A point of a connection.
pub struct At(Point);

enum Point {
    Bytes { direction: Direction, left: usize },
    Message { is_it: Matcher, before: bool },
}

impl At {
    /// Once `bytes` more bytes have gone that way.
    #[must_use]
    pub fn bytes(direction: Direction, bytes: usize) -> Self {
        Self(Point::Bytes { direction, left: bytes })
    }

    /// When a message comes that `is_it` picks, before it is passed on.
    #[must_use]
    pub fn before(is_it: impl Fn(&Message<'_>) -> bool + Send + 'static) -> Self {
        Self(Point::Message { is_it: Box::new(is_it), before: true })
    }

    /// When a message that `is_it` picks has been passed on.
    #[must_use]
    pub fn after(is_it: impl Fn(&Message<'_>) -> bool + Send + 'static) -> Self {
        Self(Point::Message { is_it: Box::new(is_it), before: false })
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Point::Bytes { direction, left } => write!(f, "At::bytes({direction:?}, {left})"),
            Point::Message { before: true, .. } => f.write_str("At::before(..)"),
            Point::Message { before: false, .. } => f.write_str("At::after(..)"),
        }
    }
}

/// What has passed since the proxy was started or the traffic taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Direction and tag of each message, in order.
    pub messages: Vec<(Direction, u8)>,
    /// Bytes to the server.
    pub bytes_up: usize,
    /// Bytes to the client.
    pub bytes_down: usize,
    /// How often the server answered something that the client had sent.
    pub round_trips: usize,
}

impl Traffic {
    /// How many messages with this tag went that way.
    #[must_use]
    pub fn count(&self, direction: Direction, tag: u8) -> usize {
        self.messages.iter().filter(|message| **message == (direction, tag)).count()
    }
}

/// One connection through the proxy.
#[derive(Debug)]
struct Link {
    id: u64,
    /// By which the server knows the connection.
    port: u16,
    open: bool,
}

struct State {
    mode: Mode,
    armed: Option<(Point, Action)>,
    /// Messages that may pass although they are held.
    permits: usize,
    held: usize,
    traffic: Traffic,
    links: Vec<Link>,
    next_link: u64,
    /// How the connections with lower ids than this one end.
    ended: (u64, End),
}

struct Shared {
    protocol: Protocol,
    /// Host and port of the server.
    target: String,
    state: Mutex<State>,
    changed: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and lets everybody look at it.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_waiters();
        changed
    }

    /// Waits until the state gives something.
    async fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.lock()) {
                return found;
            }
            changed.await;
        }
    }
}

/// The proxy. Dropping it cuts all connections and stops listening.
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of loopback for connections to the server of `url`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] if no port can be had; [`ErrorKind::Url`] if `url` names no host.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn start(url: &DatabaseUrl, protocol: Protocol) -> Result<Self> {
        let no_host = || Error::new(ErrorKind::Url, "the proxy stands before TCP servers only, and the URL names none");
        let host = url.host().filter(|host| !host.starts_with('/')).ok_or_else(no_host)?;
        let port = url.port().unwrap_or(match protocol {
            Protocol::Postgres => 5432,
            Protocol::MySql => 3306,
        });
        let no_port = |error| Error::new(ErrorKind::Connect, "no port for the proxy").with_source(error);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(no_port)?;
        let listens_at = listener.local_addr().map_err(no_port)?.port();
        let state = State {
            mode: Mode::Pass,
            armed: None,
            permits: 0,
            held: 0,
            traffic: Traffic::default(),
            links: Vec::new(),
            next_link: 0,
            ended: (0, End::Fin),
        };
        let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let shared = Arc::new(Shared { protocol, target, state: Mutex::new(state), changed: Notify::new() });
        let listening = tokio::spawn(listen(shared.clone(), listener));
        Ok(Self { shared, port: listens_at, listening })
    }

    /// `url` with the proxy in place of its server, and without TLS, which would hide the messages.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Url`] if `url` cannot be changed so.
    pub fn url(&self, url: &DatabaseUrl) -> Result<DatabaseUrl> {
        let url = ["sslmode", "ssl-mode"].iter().fold(url.clone(), |url, key| url.without_option(key));
        Ok(url.with_host("127.0.0.1")?.with_port(self.port)?.with_option("sslmode", "disable")?)
    }

    /// Switches the mode of all connections.
    pub fn set(&self, mode: Mode) {
        self.shared.change(|state| {
            state.mode = mode;
            state.permits = 0;
        });
    }

    /// Does `action` when a connection comes to `at`, once; replaces what was asked for before.
    pub fn when(&self, at: At, action: Action) {
        self.shared.lock().armed = Some((at.0, action));
    }

    /// Whether what was asked for by [`Proxy::when`] has happened, or was never asked for.
    #[must_use]
    pub fn has_fired(&self) -> bool {
        self.shared.lock().armed.is_none()
    }

    /// Ends all connections that are open now.
    pub fn end(&self, how: End) {
        self.shared.change(|state| state.ended = (state.next_link, how));
    }

    /// Waits until a message of the server is held back ([`Mode::Hold`]).
    pub async fn holding(&self) {
        self.shared.wait(|state| (state.held > state.permits).then_some(())).await;
    }

    /// Lets one held message pass.
    pub fn release(&self) {
        self.shared.change(|state| state.permits = (state.permits + 1).min(state.held));
    }

    /// What has passed; counted from nothing again.
    #[must_use]
    pub fn take_traffic(&self) -> Traffic {
        std::mem::take(&mut self.shared.lock().traffic)
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.lock().links.iter().filter(|link| link.open).count()
    }

    /// The ports by which the server knows the connections: those that are open, and those that were since
    /// [`Proxy::forget_closed`].
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.shared.lock().links.iter().map(|link| link.port).collect()
    }

    /// Forgets the ports of connections that have ended: the system gives them to others.
    pub fn forget_closed(&self) {
        self.shared.lock().links.retain(|link| link.open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("Proxy").field("mode", &state.mode).field("links", &state.links).finish_non_exhaustive()
    }
}

/// Takes connections. Those under way end with the set that holds them.
async fn listen(shared: Arc<Shared>, listener: TcpListener) {
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    links.spawn(relay::serve(shared.clone(), client));
                }
            }
            Some(_) = links.join_next() => {}
        }
    }
}
