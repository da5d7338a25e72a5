//! Opening a connection: our own socket, TLS over it, the guard around that, the driver on top.
//!
//! Nothing here outlives a dropped future: the driver's task is started last, and behind it nothing is awaited.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use databases_core::tls::TlsMode;
use databases_core::{Error, ErrorKind, Result};
use socket2::TcpKeepalive;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_postgres::CancelToken;
use tokio_postgres::config::{ChannelBinding, Config};
use zeroize::Zeroizing;

use crate::connection::PgConnection;
use crate::error;
use crate::guard::{Asked, Guard, GuardState, Limits, Refused};
use crate::options::{PgOptions, Place};
use crate::ready::AsItIs;
use crate::session::{Reason, Session};
use crate::tls;

/// A socket of either family, or TLS over one.
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
        self.ip().is_none_or(|ip| ip.to_canonical().is_loopback())
    }

    /// Nothing for a unix socket.
    fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }
}

async fn open_tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // These are for speed and for noticing a dead peer; a socket without them works.
    _ = socket.set_nodelay(true);
    _ = notice_a_dead_peer(&socket2::SockRef::from(&socket));
    socket.connect(address).await
}

/// While nothing is sent, the peer is asked after a minute, and given up half a minute later. What was sent must be
/// acknowledged within half a minute, which Linux alone can be told.
fn notice_a_dead_peer(socket: &socket2::SockRef<'_>) -> io::Result<()> {
    let probes = TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10));
    #[cfg(any(target_os = "linux", target_os = "macos", windows))]
    let probes = probes.with_retries(3);
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(30)))?;
    Ok(())
}

/// How one attempt to connect treats TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Never,
    IfOffered,
    Always,
}

/// The first attempt, and the one that may follow it on a new socket.
fn wishes(options: &PgOptions) -> (Wish, Option<Wish>) {
    if cfg!(not(feature = "tls")) || matches!(options.place, Place::Unix(_)) {
        return (Wish::Never, None);
    }
    match options.tls.mode() {
        TlsMode::Disable => (Wish::Never, None),
        TlsMode::Allow => (Wish::Never, Some(Wish::Always)),
        TlsMode::Prefer => (Wish::IfOffered, Some(Wish::Never)),
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => (Wish::Always, None),
    }
}

/// Opens a connection; also tells whether what it sends can be read on the way: no TLS, and another machine.
pub(crate) async fn connect(options: &PgOptions, password: Option<String>) -> Result<(PgConnection, bool)> {
    let password = password.map(Zeroizing::new);
    let password = password.as_ref().or(options.password.as_ref());
    let (first, second) = wishes(options);
    // Read even where it may turn out not to be needed: a file that is not there should not depend on the server.
    let client = match (first, second) {
        (Wish::Never, None) => None,
        _ => Some(tls::Client::load(&options.tls, &options.host).await?),
    };
    let error = match attempt(options, password, first, client.as_ref()).await {
        Err(error) if is_about_encryption(&error) => error,
        other => return other,
    };
    let Some(second) = second else { return Err(error) };
    attempt(options, password, second, client.as_ref()).await.map_err(|later| {
        // Neither way is open: the first answer is about the way that was wanted.
        if is_about_encryption(&later) { error } else { later }
    })
}

/// Whether the session might be had with TLS where this attempt was without, or the other way round: the handshake failed,
/// or the server refuses the user as it does where no line of pg_hba.conf fits (28000; a wrong password is another).
fn is_about_encryption(error: &Error) -> bool {
    error.kind() == ErrorKind::Tls || error.code() == Some("28000")
}

async fn attempt(
    options: &PgOptions,
    password: Option<&Zeroizing<String>>,
    wish: Wish,
    client: Option<&tls::Client>,
) -> Result<(PgConnection, bool)> {
    let (socket, address) = open(&options.place).await?;
    let (socket, client, end_point) = match (client, address.ip()) {
        (Some(client), Some(ip)) if wish != Wish::Never => match client.secure(socket, ip).await? {
            tls::Answer::Secured(stream, end_point) => (stream, Some(client.clone()), end_point),
            tls::Answer::Refused(socket) if wish == Wish::IfOffered => (socket, None, None),
            tls::Answer::Refused(_) => return Err(no_tls(options.tls.mode())),
        },
        _ => (socket, None, None),
    };
    let exposed = client.is_none() && !address.is_local();
    let state = GuardState::new();
    // Under a weaker mode whoever is on the way could have taken the server's place.
    let insisted = client.is_some() && options.tls.mode() >= TlsMode::Require;
    let allow_cleartext_password = options.limits.allow_cleartext_password || insisted;
    let password_bytes = password.map_or(0, |password| password.len());
    let limits = Limits { allow_cleartext_password, password_bytes, ..options.limits };
    let guard = Guard::new(socket, state.clone(), limits);
    let (driver, mut connection) = config(options, password)
        .connect_raw(guard, AsItIs { end_point, stays_open: false })
        .await
        .map_err(|error| connect_error(error, &state, options, password.is_some()))?;
    let session = Session::new(state);
    let cancel = Cancel { token: driver.cancel_token(), address, client };
    let ended = session.clone();
    let task = tokio::spawn(async move {
        // The reason must be known before the driver drops what waits for answers.
        let reason = match (&mut connection).await {
            Ok(()) => Reason { code: None, message: "it was closed on this side".to_owned() },
            Err(error) => error::reason(&error),
        };
        ended.set_reason(reason);
        ended.guard.close();
        drop(connection);
    });
    session.set_task(task.abort_handle());
    let connection = PgConnection::new(driver, session, cancel, task, options.statement_cache_size);
    Ok((connection, exposed))
}

fn no_tls(mode: TlsMode) -> Error {
    let error = Error::new(ErrorKind::Tls, "the server has no TLS");
    match mode {
        TlsMode::Allow => error,
        _ => error.with_hint("sslmode=prefer connects without it, where the network is trusted"),
    }
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

fn config(options: &PgOptions, password: Option<&Zeroizing<String>>) -> Config {
    let mut config = Config::new();
    AsItIs::configure(&mut config);
    config.user(&options.user).channel_binding(options.channel_binding);
    if !options.startup_options.is_empty() {
        config.options(&options.startup_options);
    }
    if let Some(database) = &options.database {
        config.dbname(database);
    }
    if let Some(name) = &options.application_name {
        config.application_name(name);
    }
    if let Some(password) = password {
        config.password(password.as_str());
    }
    config
}

fn connect_error(error: tokio_postgres::Error, state: &GuardState, options: &PgOptions, has_password: bool) -> Error {
    if let Some(refused) = state.refused() {
        let (message, hint) = match refused {
            Refused::Cleartext => (
                "the server asks for the password in clear text, which is not allowed",
                "sslmode=verify-full allows it, and allow_cleartext_password=true where the network is trusted",
            ),
            Refused::Computing => (
                "the server asks for a login by SCRAM that takes too much computing",
                "scram_iterations (4096) times the password's length has a limit: 7,000 bytes at 4096, 64 at 100,000",
            ),
        };
        return Error::new(ErrorKind::Authentication, message).with_hint(hint);
    }
    if let Some(server) = error.as_db_error() {
        // Nothing but names has been sent yet, so its words can repeat no value.
        let ours = error::from_server(server, Some(server.message()));
        let kind = match ours.kind() {
            ErrorKind::Authentication => ErrorKind::Authentication,
            // PgBouncer has one code for all that it refuses.
            _ if server.message().ends_with("authentication failed") => ErrorKind::Authentication,
            _ => ErrorKind::Connect,
        };
        let mut ours = ours.with_kind(kind).with_effect(databases_core::Effect::NotSent);
        if server.message().starts_with("unsupported startup parameter") {
            ours = ours.with_hint(
                "a pooler takes no `search_path` and `options` from the URL; ALTER ROLE … SET holds without them",
            );
        }
        // It has too many connections, or is starting or stopping.
        return if matches!(server.code().code(), "53300" | "57P03") { ours.with_passing() } else { ours };
    }
    // The driver gives a reason where it goes no further, and none for a message that it did not expect. Where nothing was asked
    // for, only a login that should have been bound can be refused by us.
    let asked = state.asked();
    let is_bound = options.channel_binding == ChannelBinding::Require;
    let is_refusal = asked.is_some() || (is_bound && !error::is_io(&error));
    if is_refusal && std::error::Error::source(&error).is_some() && !state.has_failed() {
        let message = match options.channel_binding {
            _ if asked == Some(Asked::Password) && !has_password => "the server asks for a password and there is none",
            ChannelBinding::Require => {
                "no way to log in that is bound to the TLS session, as channel_binding=require asks"
            }
            _ => "the server and this client agree on no way to log in",
        };
        return Error::new(ErrorKind::Authentication, message).with_source(error);
    }
    if error.is_closed() {
        return Error::new(ErrorKind::Connect, "the server closed the connection during the handshake");
    }
    let ours = Error::new(ErrorKind::Connect, "the handshake with the server failed");
    if error::is_io(&error)
        && let Some(io) = error::into_io(error)
    {
        return tls::tls_error(io).unwrap_or_else(|io| ours.with_source(io));
    }
    ours
}

/// What is needed to cancel the statement that a connection runs.
pub(crate) struct Cancel {
    token: CancelToken,
    address: Address,
    /// Where the connection uses TLS: the request holds the connection's secret.
    client: Option<tls::Client>,
}

impl Cancel {
    /// Asks the server to cancel, and waits until it has: a request that is still on its way would hit a later
    /// statement (the server closes the socket once it has signalled).
    pub(crate) async fn send(&self) -> io::Result<()> {
        let mut socket = self.address.open().await?;
        if let (Some(client), Some(ip)) = (&self.client, self.address.ip()) {
            socket = match client.secure(socket, ip).await.map_err(io::Error::other)? {
                tls::Answer::Secured(stream, _) => stream,
                tls::Answer::Refused(_) => return Err(io::Error::other("the server has no TLS any more")),
            };
        }
        self.token
            .cancel_query_raw(&mut socket, AsItIs { end_point: None, stays_open: true })
            .await
            .map_err(io::Error::other)?;
        let mut rest = [0; 64];
        loop {
            match socket.read(&mut rest).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if tls::is_end(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// A cancel that any task can send.
pub(crate) type SharedCancel = Arc<Cancel>;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_notices_a_dead_peer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = open_tcp(listener.local_addr().unwrap()).await.unwrap();
        let socket = socket2::SockRef::from(&stream);
        let seconds = Duration::from_secs;
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), seconds(60));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), seconds(10));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(seconds(30)));
    }
}
