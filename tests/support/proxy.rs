//! A TCP proxy that breaks connections when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};

/// What happens to a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Blow {
    /// FIN to both sides.
    Cut,
    /// RST to both sides.
    Reset,
    /// FIN after so many more bytes, in whichever direction.
    CutAfter(usize),
}

#[derive(Clone, Copy)]
struct Order {
    blow: Blow,
    /// One connection in so many is hit.
    one_in: usize,
    chance: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Gate {
    Open,
    /// What is read is passed on later.
    Stalled,
    /// As stalled, and who connects is reset.
    Refusing,
}

/// A proxy; its connections run on the runtime that made it.
pub(crate) struct Proxy {
    port: u16,
    gate: watch::Sender<Gate>,
    orders: broadcast::Sender<Order>,
}

impl Proxy {
    /// Listens on a free port and passes everything on to `target`.
    pub(crate) async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (gate, gated) = watch::channel(Gate::Open);
        let (orders, _) = broadcast::channel(64);
        let told = orders.clone();
        tokio::spawn(async move {
            let number = Arc::new(AtomicUsize::new(0));
            while let Ok((client, _)) = listener.accept().await {
                let (target, gated, orders) = (target.clone(), gated.clone(), told.subscribe());
                let number = number.fetch_add(1, Relaxed);
                tokio::spawn(async move {
                    let refused = *gated.borrow() == Gate::Refusing;
                    let server = if refused { None } else { TcpStream::connect(&target).await.ok() };
                    match server {
                        Some(server) => link(client, server, number, gated, orders).await,
                        None => drop(client.set_zero_linger()),
                    }
                });
            }
        });
        Self { port, gate, orders }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Strikes one connection in `one_in`; `chance` says which.
    pub(crate) fn strike(&self, blow: Blow, one_in: usize, chance: usize) {
        let _ = self.orders.send(Order { blow, one_in, chance });
    }

    /// Holds back all bytes.
    pub(crate) fn stall(&self) {
        self.gate.send_replace(Gate::Stalled);
    }

    /// Lets nobody in.
    pub(crate) fn refuse(&self) {
        self.gate.send_replace(Gate::Refusing);
    }

    /// Passes everything on again.
    pub(crate) fn open(&self) {
        self.gate.send_replace(Gate::Open);
    }
}

async fn link(
    mut client: TcpStream,
    mut server: TcpStream,
    number: usize,
    mut gate: watch::Receiver<Gate>,
    mut orders: broadcast::Receiver<Order>,
) {
    let (mut up, mut down) = (vec![0; 16_384], vec![0; 16_384]);
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut left = usize::MAX;
    while left > 0 {
        let (bytes, to) = tokio::select! {
            order = orders.recv() => {
                let Ok(order) = order else { continue };
                if (number + order.chance).is_multiple_of(order.one_in) {
                    match order.blow {
                        Blow::Cut => return,
                        Blow::Reset => return drop((client.set_zero_linger(), server.set_zero_linger())),
                        Blow::CutAfter(bytes) => left = bytes,
                    }
                }
                continue;
            }
            read = client.read(&mut up) => match read {
                Ok(n @ 1..) => (&up[..n.min(left)], &mut server),
                _ => return,
            },
            read = server.read(&mut down) => match read {
                Ok(n @ 1..) => (&down[..n.min(left)], &mut client),
                _ => return,
            },
        };
        if gate.wait_for(|gate| *gate != Gate::Stalled).await.is_err() || to.write_all(bytes).await.is_err() {
            return;
        }
        if left != usize::MAX {
            left -= bytes.len();
        }
    }
}
