//! What a URL says about where and how to connect, checked before any I/O.
//!
//! Holds the password, so nothing here derives `Debug`; the driver's own options print it (mysql_async 0.37).

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use databases_core::backend::Target;
use databases_core::tls::{TlsMode, TlsOptions};
use databases_core::url::{DatabaseUrl, UrlError, UrlOptions};
use databases_core::{Error, ErrorKind, Result};
use mysql_async::{Opts, OptsBuilder};
use zeroize::Zeroizing;

use crate::error;
use crate::tls;

/// The URL keys of this backend.
pub(crate) const KEYS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "allow_cleartext_password",
    "charset",
    "socket",
    "zero_dates",
];

const DEFAULT_PORT: u16 = 3306;
const SSL_MODES: &str = "`disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`";
/// What sockets are called in the directories that distributions and mysqld itself use.
const SOCKET_NAMES: [&str; 3] = ["mysqld.sock", "mysql.sock", "mariadb.sock"];
const KEEPALIVE: Duration = Duration::from_secs(60);
/// The most that the protocol allows. What the server takes is asked at connect and checked by us, because a server
/// answers a packet that is too large by closing the connection.
const MAX_PACKET: usize = 1 << 30;

/// Where the server is.
#[derive(Clone)]
pub(crate) enum Place {
    Tcp { host: String, port: u16 },
    Socket(PathBuf),
}

/// What a date with a zero month or day is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ZeroDates {
    Error,
    Null,
}

/// Everything needed to connect, but the addresses.
#[derive(Clone)]
pub(crate) struct Options {
    place: Place,
    user: Option<String>,
    password: Option<Zeroizing<String>>,
    database: Option<String>,
    pub(crate) tls: TlsOptions,
    allow_cleartext_password: bool,
    pub(crate) statement_cache_size: usize,
    pub(crate) zero_dates: ZeroDates,
}

impl Options {
    /// Takes the parts of `url` and this backend's options.
    pub(crate) fn new(url: &DatabaseUrl, options: &mut UrlOptions, statement_cache_size: usize) -> Result<Self> {
        let mode = take_ssl_mode(options)?;
        let tls = TlsOptions::read_with(mode, options)?;
        if cfg!(not(feature = "tls")) {
            tls.without_tls()?;
        }
        if let Some(charset) = options.take_str("charset")
            && !charset.eq_ignore_ascii_case("utf8mb4")
        {
            return Err(UrlError::bad_value("charset", &charset, "utf8mb4, which every session has").into());
        }
        Ok(Self {
            place: place(url, options.take_str("socket"))?,
            user: url.username().map(str::to_owned),
            password: url.password().map(|password| Zeroizing::new(password.to_owned())),
            database: url.database().map(str::to_owned),
            tls,
            allow_cleartext_password: options.take_bool("allow_cleartext_password")?.unwrap_or(false),
            statement_cache_size,
            zero_dates: match options.take_enum("zero_dates", &["error", "null"])? {
                Some("null") => ZeroDates::Null,
                _ => ZeroDates::Error,
            },
        })
    }

    /// Where the connections go, without secrets.
    pub(crate) fn target(&self, system: &'static str) -> Target {
        let (address, port) = match &self.place {
            Place::Tcp { host, port } => (host.clone(), Some(*port)),
            Place::Socket(path) => (path.display().to_string(), None),
        };
        Target { system, namespace: self.database.clone().unwrap_or_default(), address, port }
    }

    /// Where the server is, for errors: host and port, or the socket.
    pub(crate) fn at(&self) -> String {
        match &self.place {
            Place::Tcp { host, port } => at(host, *port),
            Place::Socket(path) => path.display().to_string(),
        }
    }

    /// Whether the server is reached without a network that TLS could be used on.
    pub(crate) fn is_socket(&self) -> bool {
        matches!(self.place, Place::Socket(_))
    }

    /// The host, as a certificate would name it; nothing for a socket.
    pub(crate) fn host(&self) -> &str {
        match &self.place {
            Place::Tcp { host, .. } => host,
            Place::Socket(_) => "",
        }
    }

    /// Whether what is sent without TLS can be read on the way.
    pub(crate) fn is_over_network(&self) -> bool {
        !self.is_socket() && !is_local(self.host())
    }

    /// Resolves the host and makes the driver's options; `password` replaces the URL's, and `client` sets up TLS.
    pub(crate) async fn resolve(&self, password: Option<String>, client: Option<tls::Client>) -> Result<Opts> {
        let builder = OptsBuilder::default()
            .user(self.user.clone())
            .pass(password.or_else(|| self.password.as_deref().cloned()))
            .db_name(self.database.clone())
            // Otherwise the driver asks for `@@socket` and logs in again at that path on this machine.
            .prefer_socket(false)
            // Ours is used; the driver's would close statements that we hold.
            .stmt_cache_size(0)
            .client_found_rows(true)
            .enable_cleartext_plugin(self.allow_cleartext_password)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(KEEPALIVE))
            // Given here, the driver does not ask the server for them.
            .max_allowed_packet(Some(MAX_PACKET))
            .wait_timeout(Some(28_800));
        let builder = match &self.place {
            Place::Socket(path) => builder.socket(Some(socket_file(path)?)),
            Place::Tcp { host, port } => {
                let addresses = resolve(host, *port).await?;
                builder.ip_or_hostname(host.clone()).tcp_port(*port).resolved_ips(Some(addresses))
            }
        };
        Ok(match client {
            Some(client) => client.apply(builder),
            None => builder,
        }
        .into())
    }
}

/// The mode by libpq's name or by MySQL's own.
fn take_ssl_mode(options: &mut UrlOptions) -> Result<Option<TlsMode>> {
    let mut mode = None;
    for key in ["sslmode", "ssl-mode"] {
        if let Some(value) = options.take_str(key) {
            if mode.is_some() {
                return Err(Error::new(ErrorKind::Url, "both `sslmode` and `ssl-mode` are given; leave one out"));
            }
            mode = Some((key, value));
        }
    }
    let Some((key, value)) = mode else { return Ok(None) };
    let mode = match value.to_ascii_lowercase().replace('_', "-").as_str() {
        "disabled" => Some(TlsMode::Disable),
        "preferred" => Some(TlsMode::Prefer),
        "required" => Some(TlsMode::Require),
        "verify-identity" => Some(TlsMode::VerifyFull),
        name => TlsMode::from_name(name),
    };
    mode.map(Some).ok_or_else(|| UrlError::bad_value(key, &value, SSL_MODES).into())
}

fn place(url: &DatabaseUrl, socket: Option<String>) -> Result<Place> {
    let host = match url.hosts() {
        [] => None,
        [host] => Some(host),
        _ => return Err(Error::new(ErrorKind::Unsupported, "connecting to one of several hosts is not supported yet")),
    };
    match (host, socket) {
        (host, Some(path)) => {
            if host.is_some_and(|host| !is_local(host.name())) {
                let message = "option `socket` is a path on this machine, but the URL names another host";
                return Err(Error::new(ErrorKind::Url, message));
            }
            if !path.starts_with('/') {
                return Err(UrlError::bad_value("socket", &path, "an absolute path").into());
            }
            Ok(Place::Socket(path.into()))
        }
        (Some(host), None) => Ok(match host.socket_dir() {
            Some(directory) => Place::Socket(directory.into()),
            None => Place::Tcp { host: host.name().to_owned(), port: host.port().unwrap_or(DEFAULT_PORT) },
        }),
        (None, None) => Ok(Place::Tcp { host: "127.0.0.1".to_owned(), port: DEFAULT_PORT }),
    }
}

fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.starts_with('/')
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn at(host: &str, port: u16) -> String {
    let host = host.escape_debug();
    if host.clone().any(|c| c == ':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let fault = || error::unreachable(&format!("{}: the host name has no address", at(host, port)));
    let found = tokio::net::lookup_host((host, port)).await.map_err(|source| fault().with_source(source))?;
    let addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    if addresses.is_empty() { Err(fault()) } else { Ok(addresses) }
}

/// The socket itself, where `path` is its directory.
fn socket_file(path: &Path) -> Result<String> {
    let file = if path.is_dir() {
        SOCKET_NAMES.iter().map(|name| path.join(name)).find(|file| file.exists()).ok_or_else(|| {
            let message = format!("the directory {} holds no {}", path.display(), SOCKET_NAMES.join(", "));
            Error::new(ErrorKind::Connect, message)
        })?
    } else {
        path.to_owned()
    };
    file.into_os_string().into_string().map_err(|_| Error::new(ErrorKind::Url, "the path of the socket is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Options> {
        let url: DatabaseUrl = text.parse()?;
        let mut options = UrlOptions::new(&url);
        let read = Options::new(&url, &mut options, 10)?;
        options.finish(KEYS)?;
        Ok(read)
    }

    #[test]
    fn modes_have_the_names_of_libpq_and_of_mysql() {
        use TlsMode::*;
        for (name, mode) in [
            ("disable", Disable),
            ("DISABLED", Disable),
            ("allow", Allow),
            ("PREFERRED", Prefer),
            #[cfg(feature = "tls")]
            ("require", Require),
            #[cfg(feature = "tls")]
            ("REQUIRED", Require),
            #[cfg(feature = "tls")]
            ("VERIFY_CA", VerifyCa),
            #[cfg(feature = "tls")]
            ("verify_full", VerifyFull),
            #[cfg(feature = "tls")]
            ("VERIFY_IDENTITY", VerifyFull),
        ] {
            for key in ["sslmode", "ssl-mode"] {
                assert_eq!(options(&format!("mysql://h/d?{key}={name}")).ok().unwrap().tls.mode(), mode, "{name}");
            }
        }
        assert_eq!(options("mysql://h/d").ok().unwrap().tls.mode(), Prefer);
        assert_eq!(options("mysql://h/d?sslmode=yes").err().unwrap().kind(), ErrorKind::Url);
        assert_eq!(options("mysql://h/d?sslmode=allow&ssl-mode=allow").err().unwrap().kind(), ErrorKind::Url);
        assert_eq!(options("mysql://h/d?ssl-mode=REQUIRED&sslrootcert=system").err().unwrap().kind(), ErrorKind::Url);
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_that_is_insisted_on_fails_closed() {
        for mode in ["require", "REQUIRED", "verify-ca", "verify_full", "VERIFY_IDENTITY"] {
            let error = options(&format!("mysql://h/d?sslmode={mode}")).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{mode}");
        }
    }

    #[test]
    fn only_one_charset_and_one_host_are_taken() {
        assert!(options("mysql://h/d?charset=utf8mb4").is_ok());
        assert_eq!(options("mysql://h/d?charset=latin1").err().unwrap().kind(), ErrorKind::Url);
        assert_eq!(options("mysql://a,b/d").err().unwrap().kind(), ErrorKind::Unsupported);
        assert_eq!(options("mysql://db.example/d?socket=/run/x.sock").err().unwrap().kind(), ErrorKind::Url);
        assert_eq!(options("mysql://localhost/d?socket=x.sock").err().unwrap().kind(), ErrorKind::Url);
    }

    #[test]
    fn zero_dates_are_errors_unless_null_is_asked_for() {
        assert_eq!(options("mysql://h/d").unwrap().zero_dates, ZeroDates::Error);
        assert_eq!(options("mysql://h/d?zero_dates=error").unwrap().zero_dates, ZeroDates::Error);
        assert_eq!(options("mysql://h/d?zero_dates=null").unwrap().zero_dates, ZeroDates::Null);
        let error = options("mysql://h/d?zero_dates=NULL").err().unwrap();
        assert!(error.kind() == ErrorKind::Url && error.to_string().contains("`null`"), "{error}");
    }

    #[test]
    fn the_target_names_the_place_and_a_network_is_told_from_this_machine() {
        let there = options("mariadb://u:p@db.example/app").unwrap();
        assert_eq!(there.target("mysql").address, "db.example");
        assert_eq!(there.target("mysql").port, Some(3306));
        assert_eq!(there.at(), "db.example:3306");
        assert_eq!(options("mysql://u:p@[::1]:7/d").unwrap().at(), "[::1]:7");
        assert!(there.is_over_network());
        for here in ["mysql:///d", "mysql://localhost/d", "mysql://127.3.2.1/d", "mysql://[::1]/d", "mysql://%2Frun/d"]
        {
            assert!(!options(here).unwrap().is_over_network(), "{here}");
        }
    }
}
