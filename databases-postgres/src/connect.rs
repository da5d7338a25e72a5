//! Opening a connection: our own socket, the guard around it, the driver on top.
//!
//! Nothing here outlives a dropped future: the driver's task is started last, and behind it nothing is awaited.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use databases_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_postgres::{CancelToken, Config, NoTls, config::SslMode};

use crate::connection::PgConnection;
use crate::error;
use crate::guard::{Guard, GuardState};
use crate::options::{PgOptions, Place};
use crate::session::{Reason, Session};

/// A socket of either family.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// The address that a connection was made to; a cancel request must go to the same server.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are no unix sockets"))]
    Unix(PathBuf),
}

impl Address {
    async fn open(&self) -> io::Result<Box<dyn Socket>> {
        match self {
            Self::Tcp(address) => Ok(Box::new(open_tcp(*address).await?)),
            #[cfg(unix)]
            Self::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
            #[cfg(not(unix))]
            Self::Unix(_) => Err(io::Error::from(io::ErrorKind::Unsupported)),
        }
    }

    fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

async fn open_tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Both are for speed and for noticing a dead peer; a socket without them works.
    _ = socket.set_nodelay(true);
    _ = socket.set_keepalive(true);
    socket.connect(address).await
}

/// Opens a connection; also tells whether the server is on this machine.
pub(crate) async fn connect(options: &PgOptions, password: Option<String>) -> Result<(PgConnection, bool)> {
    let (socket, address) = open(&options.place).await?;
    let local = address.is_local();
    let state = GuardState::new();
    let guard = Guard::new(socket, state.clone(), options.limits);
    let password = password.as_ref().or(options.password.as_ref());
    let config = config(options, password);
    let (client, mut connection) =
        config.connect_raw(guard, NoTls).await.map_err(|error| connect_error(error, &state, password.is_some()))?;
    let session = Session::new(state);
    let cancel = Cancel { token: client.cancel_token(), address };
    let driver = session.clone();
    let task = tokio::spawn(async move {
        // The reason must be known before the driver drops what waits for answers.
        let reason = match (&mut connection).await {
            Ok(()) => Reason { code: None, message: "it was closed on this side".to_owned() },
            Err(error) => error::reason(&error),
        };
        driver.set_reason(reason);
        driver.guard.close();
        drop(connection);
    });
    session.set_task(task.abort_handle());
    let connection = PgConnection::new(client, session, cancel, task, options.statement_cache_size);
    Ok((connection, local))
}

async fn open(place: &Place) -> Result<(Box<dyn Socket>, Address)> {
    let (addresses, shown) = match place {
        Place::Unix(path) => (vec![Address::Unix(path.clone())], path.display().to_string()),
        Place::Tcp(host, port) => {
            let shown = format!("{host}:{port}");
            let found = lookup_host((host.as_str(), *port)).await.map_err(|error| {
                Error::new(ErrorKind::Connect, format!("the host {host} is not known")).with_source(error)
            })?;
            (found.map(Address::Tcp).collect(), shown)
        }
    };
    let mut last = None;
    for address in addresses {
        match address.open().await {
            Ok(socket) => return Ok((socket, address)),
            Err(error) => last = Some(error),
        }
    }
    let error = Error::new(ErrorKind::Connect, format!("no connection to {shown}"));
    Err(match last {
        Some(source) => error.with_source(source),
        None => error,
    })
}

fn config(options: &PgOptions, password: Option<&String>) -> Config {
    let mut config = Config::new();
    config.ssl_mode(SslMode::Disable).user(&options.user).options(&options.startup_options);
    if let Some(database) = &options.database {
        config.dbname(database);
    }
    if let Some(name) = &options.application_name {
        config.application_name(name);
    }
    if let Some(password) = password {
        config.password(password);
    }
    config
}

fn connect_error(error: tokio_postgres::Error, state: &GuardState, has_password: bool) -> Error {
    if state.refused_cleartext() {
        return Error::new(
            ErrorKind::Authentication,
            "the server asks for the password in clear text, which is not allowed",
        )
        .with_hint("allow_cleartext_password=true in the URL allows it, where the network is trusted");
    }
    if let Some(server) = error.as_db_error() {
        // Nothing but names has been sent yet, so its words can repeat no value.
        let ours = error::from_server(server, Some(server.message()));
        let kind = match ours.kind() {
            ErrorKind::Authentication => ErrorKind::Authentication,
            _ => ErrorKind::Connect,
        };
        return ours.with_kind(kind).with_effect(databases_core::Effect::NotSent);
    }
    if !has_password && error.to_string() == "invalid configuration" {
        return Error::new(ErrorKind::Authentication, "the server asks for a password and there is none");
    }
    if error.to_string() == "authentication error" {
        return Error::new(ErrorKind::Authentication, "the server and this client agree on no way to log in")
            .with_source(error);
    }
    if error.is_closed() {
        return Error::new(ErrorKind::Connect, "the server closed the connection during the handshake");
    }
    let ours = Error::new(ErrorKind::Connect, "the handshake with the server failed");
    if error::is_io(&error)
        && let Some(io) = error::into_io(error)
    {
        return ours.with_source(io);
    }
    ours
}

/// What is needed to cancel the statement that a connection runs.
pub(crate) struct Cancel {
    token: CancelToken,
    address: Address,
}

impl Cancel {
    /// Asks the server to cancel, and waits until it has: a request that is still on its way would hit a later
    /// statement (the server closes the socket once it has signalled).
    pub(crate) async fn send(&self) -> io::Result<()> {
        let mut socket = self.address.open().await?;
        self.token.cancel_query_raw(&mut socket, NoTls).await.map_err(io::Error::other)?;
        let mut rest = [0; 64];
        while socket.read(&mut rest).await? > 0 {}
        Ok(())
    }
}

/// A cancel that any task can send.
pub(crate) type SharedCancel = Arc<Cancel>;
