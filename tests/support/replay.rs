//! What a server said is recorded once, and said again, damaged, to as many connections as there are seeds.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Counts, in everything that a client has sent so far, how often it has asked for an answer.
pub(crate) type Asked = fn(&[u8]) -> usize;

/// What a server said after each time that it was asked; first what it said unasked.
pub(crate) type Session = Vec<Vec<u8>>;

/// Passes one connection on to `server`, and keeps what is said until the client hangs up.
pub(crate) async fn record(server: String, asked: Asked) -> (u16, Arc<Mutex<Session>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let session = Arc::new(Mutex::new(vec![Vec::new()]));
    let kept = session.clone();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(server).await.unwrap();
        let (mut sent, mut up, mut down) = (Vec::new(), vec![0; 65_536], vec![0; 65_536]);
        loop {
            tokio::select! {
                read = client.read(&mut up) => {
                    let Ok(n @ 1..) = read else { return };
                    sent.extend_from_slice(&up[..n]);
                    kept.lock().unwrap().resize(asked(&sent) + 1, Vec::new());
                    server.write_all(&up[..n]).await.unwrap();
                }
                read = server.read(&mut down) => {
                    let Ok(n @ 1..) = read else { return };
                    kept.lock().unwrap().last_mut().unwrap().extend_from_slice(&down[..n]);
                    client.write_all(&down[..n]).await.unwrap();
                }
            }
        }
    });
    (port, session)
}

/// Says `session` to the next connection, then hangs up. A client that has gone astray is not waited for.
pub(crate) async fn say(listener: &TcpListener, session: &Session, asked: Asked) {
    const ASTRAY: Duration = Duration::from_millis(20);
    let (mut client, _) = listener.accept().await.unwrap();
    let _ = client.set_nodelay(true);
    let (mut sent, mut bytes) = (Vec::new(), vec![0; 16_384]);
    for (turn, said) in session.iter().enumerate() {
        while asked(&sent) < turn {
            match tokio::time::timeout(ASTRAY, client.read(&mut bytes)).await {
                Ok(Ok(n @ 1..)) => sent.extend_from_slice(&bytes[..n]),
                Ok(_) => return,
                Err(_) => break,
            }
        }
        if client.write_all(said).await.is_err() {
            return;
        }
    }
    let _ = client.shutdown().await;
    while let Ok(Ok(1..)) = tokio::time::timeout(ASTRAY, client.read(&mut bytes)).await {}
}

/// Numbers that only look random: the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or_default() % n.max(1)
    }
}

/// Damages one to four places of `session`.
pub(crate) fn damage(session: &mut Session, random: &mut Random) {
    const NASTY: &[u8] = &[0, 1, 0x7f, 0x80, 0xfb, 0xfc, 0xfd, 0xfe, 0xff];
    for _ in 0..=random.below(3) {
        let turn = random.below(session.len());
        let other = session[random.below(session.len())].clone();
        let said = &mut session[turn];
        if said.is_empty() {
            continue;
        }
        let at = random.below(said.len());
        match random.below(8) {
            0 => said[at] ^= 1 << random.below(8),
            1 => said[at] = NASTY[random.below(NASTY.len())],
            2 => said[at] = u8::try_from(random.below(256)).unwrap_or_default(),
            3 => said.truncate(at),
            4 => drop(said.drain(at..(at + 1 + random.below(8)).min(said.len()))),
            5 => {
                let more: Vec<u8> = (0..=random.below(8)).map(|_| NASTY[random.below(NASTY.len())]).collect();
                said.splice(at..at, more);
            }
            6 => drop(said.splice(at..at, other)),
            // A length, or a count, that says anything.
            _ => {
                let number = u32::try_from(random.below(usize::MAX)).unwrap_or(u32::MAX).to_be_bytes();
                let end = (at + 4).min(said.len());
                said[at..end].copy_from_slice(&number[..end - at]);
            }
        }
    }
}
