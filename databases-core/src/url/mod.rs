//! Database URLs: which backend, where it is, who asks, and with which options.
//!
//! | URL | means |
//! |---|---|
//! | `postgres://user:password@host:5432/database?key=value` | a server; every part after `//` may be left out |
//! | `mysql+driver://…` | the same, through a driver of that name |
//! | `postgres://host1:5432,[::1]:5433/database` | several hosts, IPv6 in brackets |
//! | `postgres://%2Fvar%2Frun%2Fpostgresql/database` | a unix socket: its directory, percent-encoded, as host |
//! | `sqlite::memory:`, `sqlite://:memory:`, `sqlite:///:memory:`, `sqlite://` | a SQLite database in memory |
//! | `sqlite:rel.db`, `sqlite:///rel.db` | a SQLite file, relative to the working directory |
//! | `sqlite:/abs.db`, `sqlite:////abs.db`, `sqlite:///C:/x.db` | a SQLite file, absolute |
//!
//! `?host=/directory` for a unix socket is an option like any other: the backend that knows it reads it.
//!
//! A password may hold an unescaped `@`, `#` or `:`. With an unescaped `/` or `?` the same text can mean something else,
//! so that is an error, and so is an unescaped `@` in the database or an option. No fragment exists; `+` is a plus.
//!
//! This module does not know which backends exist: any scheme parses, and only `sqlite` has a path in place of hosts. It
//! never shows a password: not in Display, not in Debug, not in an error. Only [`DatabaseUrl::expose`] and
//! [`DatabaseUrl::password`] do, and, for options that [look secret](is_secret_key), [`DatabaseUrl::option`],
//! [`DatabaseUrl::options`] and [`UrlOptions`].

mod error;
mod options;
mod parse;
mod text;

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use zeroize::Zeroizing;

use self::{error::REDACTED, text::Secrets};
pub use self::{
    error::{UrlError, is_secret_key},
    options::UrlOptions,
};

/// A database URL, taken apart and decoded.
///
/// Two URLs are equal if their parts are: `sqlite:a.db` equals `sqlite:///a.db`. Display and Debug show `***` for the
/// password and for options that [look secret](is_secret_key).
///
/// # Examples
///
/// ```
/// use databases_core::url::DatabaseUrl;
/// # fn main() -> Result<(), databases_core::url::UrlError> {
/// let url: DatabaseUrl = "postgres://app:p@ss#w@db.example/notes?sslmode=require".parse()?;
/// assert_eq!(url.password(), Some("p@ss#w"));
/// assert_eq!(url.host(), Some("db.example"));
///
/// // One database per test, on the same server.
/// let url = url.with_database("notes test")?;
/// assert_eq!(url.to_string(), "postgres://app:***@db.example/notes%20test?sslmode=require");
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    scheme: String,
    driver: Option<String>,
    location: Location,
    options: Vec<(String, String)>,
}

#[derive(Clone, PartialEq, Eq)]
enum Location {
    Server(Server),
    /// A SQLite file; never empty, never beginning with `:`.
    File(String),
    Memory,
}

/// What is absent is `None`, never empty; only the password can be empty.
#[derive(Clone, PartialEq, Eq)]
struct Server {
    username: Option<String>,
    password: Option<Secret>,
    hosts: Vec<Host>,
    database: Option<String>,
}

/// A text that Debug does not show, and that is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
struct Secret(Zeroizing<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// One host of a URL: a name, an address, or the directory of a unix socket; and its port, if given.
///
/// Displays as in a URL, with brackets around IPv6.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    name: String,
    port: Option<u16>,
}

impl Host {
    /// Makes a host from a decoded name. IPv6 may be in brackets.
    ///
    /// # Errors
    ///
    /// If the name is empty or none of name, address and absolute path; if the port is 0.
    pub fn new(name: impl Into<String>, port: Option<u16>) -> Result<Self, UrlError> {
        let mut name = name.into();
        if let Some(inner) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
            name = inner.to_owned();
        }
        parse::host_name(&name)?;
        let port = port.map(parse::nonzero_port).transpose()?;
        Ok(Self { name, port })
    }

    /// The name, decoded, without brackets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, if given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The directory of the unix socket, if the host is one: an absolute path.
    pub fn socket_dir(&self) -> Option<&str> {
        Some(self.name.as_str()).filter(|name| name.starts_with('/'))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_host(f, self)
    }
}

/// The parts.
impl DatabaseUrl {
    /// The scheme, in lower case, without `+driver`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The driver: `x` in `mysql+x://`, in lower case.
    pub fn driver(&self) -> Option<&str> {
        self.driver.as_deref()
    }

    /// The user name, decoded.
    pub fn username(&self) -> Option<&str> {
        self.server()?.username.as_deref()
    }

    /// The password, decoded. `Some("")` for `user:@host`. A secret: keep it out of logs.
    pub fn password(&self) -> Option<&str> {
        self.server()?.password.as_ref().map(|p| p.0.as_str())
    }

    /// The hosts, in the order given.
    pub fn hosts(&self) -> &[Host] {
        self.server().map_or(&[], |server| &server.hosts)
    }

    /// The name of the first host; IPv6 without brackets.
    pub fn host(&self) -> Option<&str> {
        self.hosts().first().map(Host::name)
    }

    /// The port of the first host.
    pub fn port(&self) -> Option<u16> {
        self.hosts().first()?.port()
    }

    /// The first host as the directory of a unix socket. Does not look at the option `host`.
    pub fn socket_dir(&self) -> Option<&str> {
        self.hosts().first()?.socket_dir()
    }

    /// The database, decoded, without the slash before it. With SQLite, the [`path`](Self::path).
    pub fn database(&self) -> Option<&str> {
        match &self.location {
            Location::Server(server) => server.database.as_deref(),
            Location::File(path) => Some(path),
            Location::Memory => None,
        }
    }

    /// Tells whether this is a SQLite database in memory.
    pub fn is_memory(&self) -> bool {
        self.location == Location::Memory
    }

    /// The path of a SQLite file, decoded.
    pub fn path(&self) -> Option<&str> {
        match &self.location {
            Location::File(path) => Some(path),
            Location::Server(_) | Location::Memory => None,
        }
    }

    /// The options, decoded, in the order given. No key comes twice.
    pub fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The value of option `key`. Keys are compared exactly.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// The whole URL, **password and secret options included**: for a driver or a child process, not for a log.
    ///
    /// Parses to an equal URL.
    pub fn expose(&self) -> String {
        let mut text = String::new();
        text::write(&mut text, self, Secrets::Shown).expect("writing to a String does not fail");
        text
    }

    fn server(&self) -> Option<&Server> {
        match &self.location {
            Location::Server(server) => Some(server),
            Location::File(_) | Location::Memory => None,
        }
    }
}

/// Changed copies. Values are given decoded.
impl DatabaseUrl {
    /// Replaces the user name; an empty one removes it.
    ///
    /// # Errors
    ///
    /// If this is a SQLite URL, or the name holds a NUL.
    pub fn with_username(&self, username: impl Into<String>) -> Result<Self, UrlError> {
        let username = username.into();
        parse::no_nul(&username, "the user name")?;
        self.change_server("user name", |server| {
            server.username = Some(username).filter(|u| !u.is_empty());
            Ok(())
        })
    }

    /// Replaces the password.
    ///
    /// # Errors
    ///
    /// If this is a SQLite URL, or the password holds a NUL.
    pub fn with_password(&self, password: impl Into<String>) -> Result<Self, UrlError> {
        let password = password.into();
        parse::no_nul(&password, "the password")?;
        self.change_server("password", |server| {
            server.password = Some(Secret(password.into()));
            Ok(())
        })
    }

    /// Removes the password.
    #[must_use]
    pub fn without_password(&self) -> Self {
        let mut url = self.clone();
        if let Location::Server(server) = &mut url.location {
            server.password = None;
        }
        url
    }

    /// Replaces all hosts by one, which keeps the port of the first.
    ///
    /// # Errors
    ///
    /// If this is a SQLite URL, or as [`Host::new`].
    pub fn with_host(&self, name: impl Into<String>) -> Result<Self, UrlError> {
        let host = Host::new(name, self.port())?;
        self.with_hosts([host])
    }

    /// Replaces all hosts.
    ///
    /// # Errors
    ///
    /// If this is a SQLite URL.
    pub fn with_hosts(&self, hosts: impl IntoIterator<Item = Host>) -> Result<Self, UrlError> {
        self.change_server("host", |server| {
            server.hosts = hosts.into_iter().collect();
            Ok(())
        })
    }

    /// Replaces the port of every host.
    ///
    /// # Errors
    ///
    /// If this is a SQLite URL, if there is no host, or if the port is 0.
    pub fn with_port(&self, port: u16) -> Result<Self, UrlError> {
        let port = parse::nonzero_port(port)?;
        self.change_server("port", |server| {
            if server.hosts.is_empty() {
                return Err(UrlError::new("a port needs a host; give a host first"));
            }
            for host in &mut server.hosts {
                host.port = Some(port);
            }
            Ok(())
        })
    }

    /// Replaces the database; an empty name removes it. With SQLite, replaces the path; `:memory:` is in memory.
    ///
    /// # Errors
    ///
    /// If the name holds a NUL; with SQLite, if the path is empty or begins with `file:` or, other than `:memory:`, with `:`.
    pub fn with_database(&self, database: impl Into<String>) -> Result<Self, UrlError> {
        let database = database.into();
        parse::no_nul(&database, "the database")?;
        let mut url = self.clone();
        match &mut url.location {
            Location::Server(server) => {
                server.database = Some(database).filter(|d| !d.is_empty());
            }
            location => *location = parse::sqlite_path(database)?,
        }
        Ok(url)
    }

    /// Sets option `key`, in its place if it is there, else after the others.
    ///
    /// # Errors
    ///
    /// If the key is not 1 to 64 lower-case letters, digits, `_`, `-` or `.`, or if the value holds a NUL.
    pub fn with_option(&self, key: &str, value: impl Into<String>) -> Result<Self, UrlError> {
        let value = value.into();
        parse::option_key(key)?;
        parse::no_nul(&value, "the value of an option")?;
        let mut url = self.clone();
        match url.options.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => url.options.push((key.to_owned(), value)),
        }
        Ok(url)
    }

    /// Removes option `key`, if it is there.
    #[must_use]
    pub fn without_option(&self, key: &str) -> Self {
        let mut url = self.clone();
        url.options.retain(|(k, _)| k != key);
        url
    }

    fn change_server(
        &self,
        part: &str,
        change: impl FnOnce(&mut Server) -> Result<(), UrlError>,
    ) -> Result<Self, UrlError> {
        let mut url = self.clone();
        let Location::Server(server) = &mut url.location else {
            return Err(UrlError::new(format!("a sqlite URL has no {part}; only its path and options can be set")));
        };
        change(server)?;
        Ok(url)
    }
}

impl FromStr for DatabaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        parse::parse(text)
    }
}

impl TryFrom<&str> for DatabaseUrl {
    type Error = UrlError;

    fn try_from(text: &str) -> Result<Self, UrlError> {
        text.parse()
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        text.parse()
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(f, self, Secrets::Redacted)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}
