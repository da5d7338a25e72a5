//! A server that answers one statement with bytes that the driver panics at.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A result of one column, and where a row or the end should be a packet without a byte, which the driver panics at.
pub(crate) const HOSTILE: &[u8] = b"\x01\x00\x00\x01\x01\
    \x17\x00\x00\x02\x03def\x00\x00\x00\x01x\x00\x0c\x21\x00\x00\x01\x00\x00\xfd\x00\x00\x00\x00\x00\
    \x00\x00\x00\x03";

/// Passes connections on to `server`, but answers a client with [`HOSTILE`] that sends a text with `marked` to be run, or
/// prepares and executes it.
pub(crate) async fn hostile(server: String, marked: &'static str, said: Arc<AtomicUsize>) -> u16 {
    hostile_with(server, marked, HOSTILE, said).await
}

/// The same with an answer of the caller's.
pub(crate) async fn hostile_with(
    server: String,
    marked: &'static str,
    answer: &'static [u8],
    said: Arc<AtomicUsize>,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(pass_on(client, server, marked, answer, said.clone()));
        }
    });
    port
}

async fn pass_on(mut client: TcpStream, mut server: TcpStream, marked: &str, answer: &[u8], said: Arc<AtomicUsize>) {
    const QUERY: u8 = 3;
    const PREPARE: u8 = 22;
    const EXECUTE: u8 = 23;
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let (mut prepared, mut answered) = (false, false);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(n @ 1..) = read else { return };
                let has_mark = String::from_utf8_lossy(&up[..n]).contains(marked);
                let command = up[..n].get(4).copied();
                prepared |= command == Some(PREPARE) && has_mark;
                if !answered && (command == Some(EXECUTE) && prepared || command == Some(QUERY) && has_mark) {
                    answered = true;
                    said.fetch_add(1, SeqCst);
                    client.write_all(answer).await.unwrap();
                }
                server.write_all(&up[..n]).await.unwrap();
            }
            read = server.read(&mut down) => {
                let Ok(n @ 1..) = read else { return };
                if !answered && client.write_all(&down[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}
