//! What stands between a client and its server in the tests of TLS, and what is said of it.

use std::io;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};

use databases_core::{Error, ErrorKind};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

/// What is expected of the six modes that verify nothing, and of the four that do.
pub(crate) fn with(weak: [&'static str; 6], strong: [&'static str; 4]) -> [&'static str; 10] {
    let mut all = [""; 10];
    all[..6].copy_from_slice(&weak);
    all[6..].copy_from_slice(&strong);
    all
}

/// Why a session was not opened, in a word for the table; `None` for what no row of it is about.
pub(crate) fn told(error: &Error) -> Option<&'static str> {
    Some(match (error.kind(), error.to_string().as_str()) {
        (ErrorKind::Tls, "the server has no TLS") => "no TLS",
        (ErrorKind::Tls, "the server's certificate has expired") => "expired",
        (ErrorKind::Tls, "the server's certificate is signed by no authority that is known") => "unknown",
        (ErrorKind::Tls, "the server's certificate is not for localhost but for db.example") => "wrong name",
        (ErrorKind::Tls, "the server's certificate is not for 127.0.0.1 but for db.example") => "wrong name",
        (ErrorKind::Tls, text) if text.starts_with("the server's certificate names no host") => "no name",
        (ErrorKind::Authentication, _) => "refused",
        _ => return None,
    })
}

/// Passes everything on to `target`, and hangs up after so many bytes of its answers.
pub(crate) async fn cutter(target: String, bytes: u64) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await?;
        let (from_server, mut to_server) = TcpStream::connect(&target).await?.into_split();
        let (mut from_client, mut to_client) = client.into_split();
        let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        tokio::io::copy(&mut from_server.take(bytes), &mut to_client).await?;
        up.abort();
        Ok::<(), io::Error>(())
    });
    port
}

/// Passes everything that comes to `host` on to `target`.
pub(crate) async fn passing_on(host: &str, target: String) -> u16 {
    let listener = TcpListener::bind((host, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&target).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    port
}

/// An address of this machine that is not the loopback's, to stand for another host; `None` after a message where there is none.
pub(crate) fn another_host() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent to the address given here.
    let Ok(()) = socket.connect("192.0.2.1:9") else {
        eprintln!("left out: this machine has no network");
        return None;
    };
    Some(socket.local_addr().unwrap().ip().to_string())
}

/// What is traced, as text.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// Captures what this thread traces, until the guard goes.
    pub(crate) fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let captured = Self::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        (captured, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
