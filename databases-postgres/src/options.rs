//! What a `postgres://` URL says, checked before anything is opened.

use std::path::PathBuf;

use databases_core::tls::{TlsMode, TlsOptions};
use databases_core::url::{DatabaseUrl, UrlError, UrlOptions};
use databases_core::{Error, ErrorKind, PoolOptions, Result};
use tokio_postgres::config::ChannelBinding;
use zeroize::Zeroizing;

use crate::guard::Limits;

/// The names of the options of this backend, besides those of the pool.
pub(crate) const NAMES: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "channel_binding",
    "application_name",
    "search_path",
    "options",
    "host",
    "allow_cleartext_password",
    "max_message_bytes",
];

const DEFAULT_PORT: u16 = 5432;
const DEFAULT_MAX_MESSAGE_BYTES: usize = 1 << 30;

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A name or an address, and a port.
    Tcp(String, u16),
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// Everything that [`connect`](crate::connect) needs to know.
#[derive(Clone)]
pub(crate) struct PgOptions {
    pub(crate) place: Place,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Option<Zeroizing<String>>,
    pub(crate) database: Option<String>,
    pub(crate) application_name: Option<String>,
    /// The startup parameter `options`.
    pub(crate) startup_options: String,
    pub(crate) tls: TlsOptions,
    pub(crate) channel_binding: ChannelBinding,
    pub(crate) limits: Limits,
    pub(crate) statement_cache_size: usize,
}

impl PgOptions {
    /// Reads `url` and takes this backend's options out of `options`.
    pub(crate) fn read(url: &DatabaseUrl, options: &mut UrlOptions, pool: &PoolOptions) -> Result<Self> {
        let tls = TlsOptions::read(options)?;
        if cfg!(not(feature = "tls")) {
            tls.without_tls()?;
        }
        let channel_binding = channel_binding(options, tls.mode())?;
        let (host, port) = host(url, options.take_str("host"))?;
        let user = match url.username().filter(|user| !user.is_empty()) {
            Some(user) => user.to_owned(),
            None => system_user()
                .ok_or_else(|| UrlError::new("the URL names no user, and neither does the environment (USER)"))?,
        };
        let place = if host.starts_with('/') {
            Place::Unix(PathBuf::from(&host).join(format!(".s.PGSQL.{port}")))
        } else {
            Place::Tcp(host.clone(), port)
        };
        let max_message_bytes = options.take_usize("max_message_bytes")?;
        let search_path = options.take_str("search_path");
        let startup_options = startup_options(options.take_str("options"), search_path.as_deref());
        let read = Self {
            place,
            host,
            port,
            user,
            password: url.password().map(|password| Zeroizing::new(password.to_owned())),
            database: url.database().filter(|name| !name.is_empty()).map(str::to_owned),
            application_name: options.take_str("application_name"),
            startup_options,
            tls,
            channel_binding,
            limits: Limits {
                max_message_bytes: max_message_bytes.unwrap_or(DEFAULT_MAX_MESSAGE_BYTES).max(1024),
                allow_cleartext_password: options.take_bool("allow_cleartext_password")?.unwrap_or(false),
                password_bytes: 0, // Known when it is used.
            },
            statement_cache_size: pool.statement_cache_size,
        };
        read.check_nul()?;
        Ok(read)
    }

    /// A NUL would end a startup parameter early and turn the rest into others.
    fn check_nul(&self) -> Result<()> {
        let texts =
            [Some(&self.user), self.database.as_ref(), self.application_name.as_ref(), Some(&self.startup_options)];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(UrlError::new("a NUL in the user, the database or an option").into());
        }
        Ok(())
    }
}

fn channel_binding(options: &mut UrlOptions, mode: TlsMode) -> Result<ChannelBinding> {
    Ok(match options.take_enum("channel_binding", &["disable", "prefer", "require"])? {
        Some("disable") => ChannelBinding::Disable,
        Some("require") if cfg!(not(feature = "tls")) || mode == TlsMode::Disable => {
            let message = "channel_binding=require needs TLS: the feature `tls`, and another sslmode than disable";
            return Err(UrlError::new(message).into());
        }
        Some("require") => ChannelBinding::Require,
        _ => ChannelBinding::Prefer,
    })
}

/// The one host of the URL, or of the option `host`, which libpq's users write for a socket directory.
fn host(url: &DatabaseUrl, option: Option<String>) -> Result<(String, u16)> {
    let several = |n: usize| {
        let message = format!("the URL names {n} hosts; connecting to more than one is not there yet");
        Err(Error::new(ErrorKind::Unsupported, message))
    };
    match (url.hosts(), option) {
        ([], None) => Ok(("localhost".to_owned(), DEFAULT_PORT)),
        ([], Some(host)) if host.contains(',') => several(host.split(',').count()),
        ([], Some(host)) => Ok((host, DEFAULT_PORT)),
        ([_, ..], Some(_)) => Err(UrlError::new("option `host` has no effect beside a host in the URL").into()),
        ([host], None) => Ok((host.name().to_owned(), host.port().unwrap_or(DEFAULT_PORT))),
        (hosts, None) => several(hosts.len()),
    }
}

/// The name of the user of this process, as libpq takes it where none is given.
fn system_user() -> Option<String> {
    ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
}

/// The user's, then the search path.
fn startup_options(user: Option<String>, search_path: Option<&str>) -> String {
    let mut options = user.unwrap_or_default();
    let Some(path) = search_path else { return options };
    if !options.is_empty() {
        options.push(' ');
    }
    options.push_str("-c search_path=");
    for letter in path.chars() {
        // <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-OPTIONS>
        if letter.is_ascii_whitespace() || letter == '\\' {
            options.push('\\');
        }
        options.push(letter);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<PgOptions> {
        let url: DatabaseUrl = url.parse().map_err(Error::from)?;
        let mut options = UrlOptions::new(&url);
        let read = PgOptions::read(&url, &mut options, &PoolOptions::default())?;
        options.finish(NAMES)?;
        Ok(read)
    }

    #[test]
    fn places_are_read() {
        for (url, place) in [
            ("postgres://u@h/d", Place::Tcp("h".into(), 5432)),
            ("postgres://u@h:7/d", Place::Tcp("h".into(), 7)),
            ("postgresql://u@[::1]:7/d", Place::Tcp("::1".into(), 7)),
            ("postgres://u@%2Frun%2Fpg:7/d", Place::Unix("/run/pg/.s.PGSQL.7".into())),
            ("postgres:///d?host=/run/pg", Place::Unix("/run/pg/.s.PGSQL.5432".into())),
        ] {
            // Where the URL has no user, the environment may have none either.
            match read(url) {
                Ok(read) => assert_eq!(read.place, place, "{url}"),
                Err(error) => assert!(error.to_string().contains("names no user"), "{url}: {error}"),
            }
        }
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for (url, kind) in [
            ("postgres://u@a,b/d", ErrorKind::Unsupported),
            #[cfg(not(feature = "tls"))]
            ("postgres://u@h/d?sslmode=require", ErrorKind::Unsupported),
            #[cfg(not(feature = "tls"))]
            ("postgres://u@h/d?channel_binding=require", ErrorKind::Url),
            ("postgres://u@h/d?sslmode=disable&channel_binding=require", ErrorKind::Url),
            ("postgres://u@h/d?sslrootcert=system&sslmode=prefer", ErrorKind::Url),
            ("postgres://u@h/d?sslcert=a.pem", ErrorKind::Url),
            ("postgres://u@h/d?sslmode=maybe", ErrorKind::Url),
            ("postgres://u@h/d?host=/run", ErrorKind::Url),
            ("postgres://u@h/d?application_name=a%00b", ErrorKind::Url),
        ] {
            assert_eq!(read(url).map(drop).unwrap_err().kind(), kind, "{url}");
        }
    }

    #[test]
    fn startup_options_end_with_the_search_path() {
        let with = |url| read(url).unwrap().startup_options;
        assert_eq!(with("postgres://u@h/d"), "");
        assert_eq!(
            with("postgres://u@h/d?search_path=a,%20%22b%22&options=-c%20jit%3Doff"),
            "-c jit=off -c search_path=a,\\ \"b\""
        );
    }
}
