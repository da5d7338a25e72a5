//! One connection through the proxy: two pumps, and how they end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::try_join;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::frames::{Direction, Frame, Frames, Message};
use super::{Action, End, Link, Mode, Point, Shared, State};

/// Passes on what `client` and the server say until one of them, or the test, ends it.
pub(super) async fn serve(shared: Arc<Shared>, client: TcpStream) {
    let Ok(server) = TcpStream::connect(&shared.target).await else { return };
    // A reset or a lack of speed is not what these tests are about.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let Ok(port) = server.local_addr().map(|address| address.port()) else { return };
    let link = Opened::new(shared.clone(), port);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut up = Pump::new(&link, Direction::Up, from_client, to_server);
    let mut down = Pump::new(&link, Direction::Down, from_server, to_client);
    let told = shared.wait(|state| (state.ended.0 > link.id).then_some(state.ended.1));
    let end = tokio::select! {
        ended = try_join(up.run(), down.run()) => ended.err(),
        end = told => Some(end),
    };
    match end {
        None | Some(End::Fin) => {}
        Some(End::Rst) => {
            let _ = (up.to.as_ref().set_zero_linger(), down.to.as_ref().set_zero_linger());
        }
        Some(End::HalfClose) => {
            let _ = down.to.shutdown().await;
            let _ = up.run().await;
        }
    }
}

/// A connection in the list of the open ones.
struct Opened {
    shared: Arc<Shared>,
    id: u64,
    client_gone: AtomicBool,
}

impl Opened {
    fn new(shared: Arc<Shared>, port: u16) -> Self {
        let id = shared.change(|state| {
            let id = state.next_link;
            state.next_link += 1;
            state.links.push(Link { id, port, open: true });
            id
        });
        Self { shared, id, client_gone: AtomicBool::new(false) }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.shared.change(|state| {
            if let Some(link) = state.links.iter_mut().find(|link| link.id == self.id) {
                link.open = false;
            }
        });
    }
}

/// One direction of a connection.
struct Pump<'a> {
    link: &'a Opened,
    direction: Direction,
    frames: Frames,
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
}

/// What becomes of a message.
enum Verdict {
    Pass,
    /// Passed, then the action.
    After(Action),
    /// Only so many bytes of it pass, then the action.
    Cut(usize, Action),
    /// Passed as the mode says once the action was taken.
    Before(Action),
}

impl<'a> Pump<'a> {
    fn new(link: &'a Opened, direction: Direction, from: OwnedReadHalf, to: OwnedWriteHalf) -> Self {
        let frames = Frames::new(link.shared.protocol, direction);
        Self { link, direction, frames, from, to }
    }

    /// Passes messages on until their sender has no more.
    async fn run(&mut self) -> Result<(), End> {
        loop {
            while let Some(frame) = self.frames.take() {
                self.pass(frame).await?;
            }
            match self.from.read_buf(self.frames.buffer()).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => return Err(End::Rst),
            }
        }
        let rest = self.frames.take_rest();
        self.write(&rest).await?;
        self.to.shutdown().await.map_err(|_| End::Fin)?;
        if self.direction == Direction::Up {
            self.link.client_gone.store(true, Ordering::SeqCst);
            self.link.shared.changed.notify_waiters();
        }
        Ok(())
    }

    async fn pass(&mut self, frame: Frame) -> Result<(), End> {
        let message = frame.message();
        let verdict = self.link.shared.lock().judge(&message, frame.bytes.len());
        match verdict {
            Verdict::Pass => self.send(&message, &frame.bytes, None).await,
            Verdict::After(action) => self.send(&message, &frame.bytes, Some(action)).await,
            Verdict::Cut(length, action) => self.send(&message, &frame.bytes[..length], Some(action)).await,
            Verdict::Before(action) => {
                self.act(action)?;
                self.send(&message, &frame.bytes, None).await
            }
        }
    }

    fn act(&self, action: Action) -> Result<(), End> {
        match action {
            Action::End(end) => Err(end),
            Action::Switch(mode) => {
                self.link.shared.change(|state| (state.mode, state.permits) = (mode, 0));
                Ok(())
            }
        }
    }

    /// Sends as the mode says, then acts. The mode is switched before the write, which is not held by it: whoever reads the bytes may set
    /// another one at once, which has to stay.
    async fn send(&mut self, message: &Message<'_>, bytes: &[u8], then: Option<Action>) -> Result<(), End> {
        let shared = &self.link.shared;
        let mode = Waiting { link: self.link, held: false }.pass(self.direction).await;
        if let Mode::Delay(time) = mode {
            tokio::time::sleep(time).await;
        }
        if let Some(action @ Action::Switch(_)) = then {
            self.act(action)?;
        }
        if mode != Mode::Blackhole {
            shared.lock().count(message, bytes.len());
            self.write_as(mode, bytes).await?;
        }
        match then {
            Some(action @ Action::End(_)) => self.act(action),
            Some(Action::Switch(_)) | None => Ok(()),
        }
    }

    async fn write_as(&mut self, mode: Mode, bytes: &[u8]) -> Result<(), End> {
        let Mode::Drip { bytes: piece, every } = mode else { return self.write(bytes).await };
        for piece in bytes.chunks(piece.max(1)) {
            self.write(piece).await?;
            if every == Duration::ZERO {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(every).await;
            }
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        let written: io::Result<()> = self.to.write_all(bytes).await;
        // Whoever should have got it has gone, and the other side learns it in the same way.
        written.map_err(|_| End::Rst)
    }
}

impl State {
    /// Looks whether this is where something was to happen.
    fn judge(&mut self, message: &Message<'_>, length: usize) -> Verdict {
        let Some((point, action)) = &mut self.armed else { return Verdict::Pass };
        let action = *action;
        let verdict = match point {
            Point::Message { is_it, before } if is_it(message) => {
                if *before {
                    Verdict::Before(action)
                } else {
                    Verdict::After(action)
                }
            }
            Point::Bytes { direction, left } if *direction == message.direction => {
                if length < *left {
                    *left -= length;
                    return Verdict::Pass;
                }
                Verdict::Cut(*left, action)
            }
            _ => return Verdict::Pass,
        };
        self.armed = None;
        verdict
    }

    fn count(&mut self, message: &Message<'_>, length: usize) {
        let traffic = &mut self.traffic;
        match message.direction {
            Direction::Up => traffic.bytes_up += length,
            Direction::Down => traffic.bytes_down += length,
        }
        let asked = matches!(traffic.messages.last(), Some((Direction::Up, _)));
        traffic.round_trips += usize::from(asked && message.direction == Direction::Down);
        traffic.messages.push((message.direction, message.tag));
    }
}

/// A message that waits for its turn, and is counted as held meanwhile.
struct Waiting<'a> {
    link: &'a Opened,
    held: bool,
}

impl Waiting<'_> {
    /// Waits until the message may pass; gives the mode it passes in.
    async fn pass(mut self, direction: Direction) -> Mode {
        let link = self.link;
        loop {
            let mode = link.shared.wait(|state| (state.mode != Mode::Stall).then_some(state.mode)).await;
            if mode != Mode::Hold || direction == Direction::Up {
                return mode;
            }
            if !self.held {
                self.held = true;
                link.shared.change(|state| state.held += 1);
            }
            let released = link.shared.wait(|state| {
                if state.mode != Mode::Hold {
                    return Some(false);
                }
                // Nobody is left to ask for what is held back for a client that has gone.
                if !link.client_gone.load(Ordering::SeqCst) {
                    state.permits = state.permits.checked_sub(1)?;
                }
                Some(true)
            });
            if released.await {
                return Mode::Pass;
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.held {
            self.link.shared.change(|state| state.held -= 1);
        }
    }
}
