//! Text to [`DatabaseUrl`].
//!
//! The parts are taken apart before they are decoded. Where a password with an unescaped `/` or `?` could be read as
//! something else, parsing fails: a guess would send half a password to the wrong host. Errors quote nothing but option
//! keys, which have a narrow syntax, and a SQLite path in which nothing looks like `user:password@host`.

use std::{collections::HashSet, net::Ipv6Addr};

use percent_encoding::percent_decode_str;

use super::{DatabaseUrl, Host, Location, Secret, Server, UrlError};

const MAX_KEY_BYTES: usize = 64;

pub(super) fn parse(text: &str) -> Result<DatabaseUrl, UrlError> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(UrlError::new(
            "the URL holds whitespace or a control character; write a space as %20, and look for a line break at its end",
        ));
    }
    let (scheme, driver, rest) = split_scheme(text)?;
    // The first `?`, even if it is one in a password: `server` refuses that, as an `@` must then follow.
    let (body, query) = match rest.split_once('?') {
        Some((body, query)) => (body, Some(query)),
        None => (rest, None),
    };
    let location = if scheme == "sqlite" {
        no_fragment(body)?;
        sqlite(body)?
    } else {
        Location::Server(server(body, query.unwrap_or_default())?)
    };
    let options = query.map_or(Ok(Vec::new()), options)?;
    Ok(DatabaseUrl { scheme, driver, location, options })
}

/// Takes `scheme+driver:` off.
fn split_scheme(text: &str) -> Result<(String, Option<String>, &str), UrlError> {
    const EXPECTED: &str = "expected a URL that begins like `postgres://`, `mysql://` or `sqlite:`";
    let (head, rest) = text.split_once(':').ok_or_else(|| UrlError::new(EXPECTED))?;
    let (scheme, driver) = match head.split_once('+') {
        Some((scheme, driver)) => (scheme, Some(driver)),
        None => (head, None),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(allowed) {
        return Err(UrlError::new(EXPECTED));
    }
    // `_` is in no scheme, but in the names of drivers.
    if driver.is_some_and(|d| d.is_empty() || !d.chars().all(|c| allowed(c) || c == '_')) {
        return Err(UrlError::new("a driver's name is letters, digits, `-`, `.` or `_`, as in `postgres+driver://`"));
    }
    Ok((scheme.to_ascii_lowercase(), driver.map(str::to_ascii_lowercase), rest))
}

fn server(body: &str, query: &str) -> Result<Server, UrlError> {
    let Some(body) = body.strip_prefix("//") else {
        return Err(UrlError::new(
            "expected `://` after the scheme, as in `postgres://user@host/database`; only `sqlite:` goes without",
        ));
    };
    let (authority, path) = body.split_once('/').unwrap_or((body, ""));
    // `u:1/w@h/db` would otherwise be host `u`, port 1; `u:a@b?c=@h/db` would send password `a` to host `b`.
    if path.contains('@') || query.contains('@') {
        return Err(UrlError::new(
            "an unescaped `@` after the first `/` or `?`: percent-encode `/` in the password as %2F and `?` as %3F, \
             and an `@` that belongs to the database or an option as %40",
        ));
    }
    no_fragment(path)?;
    // The last `@`, as a password may have one of its own and a host may not.
    let (userinfo, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (username, password) = match userinfo.split_once(':') {
        Some((username, password)) => (username, Some(password)),
        None => (userinfo, None),
    };
    let username = decode(username, "the user name")?;
    let password = password.map(|p| decode(p, "the password")).transpose()?;
    let database = decode(path, "the database")?;
    Ok(Server {
        username: Some(username).filter(|u| !u.is_empty()),
        password: password.map(|password| Secret(password.into())),
        hosts: match hosts {
            "" => Vec::new(),
            hosts => hosts.split(',').map(host).collect::<Result<_, _>>()?,
        },
        database: Some(database).filter(|d| !d.is_empty()),
    })
}

fn host(text: &str) -> Result<Host, UrlError> {
    let (name, port) = match text.strip_prefix('[') {
        Some(text) => {
            let Some((name, after)) = text.split_once(']') else {
                return Err(UrlError::new("a `[` without `]` around an IPv6 address"));
            };
            // Brackets are for IPv6 only: `host_name` then sees a `:` and checks the address.
            let port = match after {
                "" => None,
                after => after.strip_prefix(':'),
            };
            if !name.contains(':') || (port.is_none() && !after.is_empty()) {
                return Err(bad_ipv6());
            }
            (name, port)
        }
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(bad_ipv6()),
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let name = decode(name, "a host")?;
    host_name(&name)?;
    Ok(Host { name, port: port.map(port_number).transpose()? })
}

fn port_number(text: &str) -> Result<u16, UrlError> {
    // `u16::from_str` alone would also take `+5432`.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits => nonzero_port(port),
        _ => Err(bad_port()),
    }
}

pub(super) fn nonzero_port(port: u16) -> Result<u16, UrlError> {
    if port == 0 { Err(bad_port()) } else { Ok(port) }
}

fn bad_port() -> UrlError {
    UrlError::new(
        "the text after a host's `:` is not a port from 1 to 65535; \
         if it is a password, write `user:password@host`",
    )
}

fn bad_ipv6() -> UrlError {
    UrlError::new(
        "expected one `:` in a host, before its port; \
         an IPv6 address goes in brackets, as in `[::1]:5432`, a zone after %25",
    )
}

/// Checks a decoded host: a name, an address, or the directory of a unix socket.
pub(super) fn host_name(name: &str) -> Result<(), UrlError> {
    if name.is_empty() {
        return Err(UrlError::new(
            "a host is empty; write `host1:5432,host2:5432`, or no host and no port for the default",
        ));
    }
    if name.contains(char::is_control) {
        return Err(UrlError::new("a host holds a control character"));
    }
    if name.starts_with('/') {
        return Ok(());
    }
    let plain = |c: char| match c {
        '-' | '.' | '_' => true,
        c => !(c.is_ascii_punctuation() || c.is_whitespace()),
    };
    if name.contains(':') {
        let (address, zone) = name.split_once('%').unwrap_or((name, "0"));
        let zone_ok = !zone.is_empty() && zone.is_ascii() && zone.chars().all(plain);
        return match address.parse::<Ipv6Addr>() {
            Ok(_) if zone_ok => Ok(()),
            _ => Err(bad_ipv6()),
        };
    }
    if name.chars().all(plain) {
        return Ok(());
    }
    Err(UrlError::new(
        "a host holds a character that no host name has; the directory of a unix socket begins with %2F, \
         and a `@` comes between password and host",
    ))
}

fn sqlite(body: &str) -> Result<Location, UrlError> {
    let Some(rest) = body.strip_prefix("//") else {
        return sqlite_path(decode(body, "the path")?);
    };
    if rest.is_empty() {
        return Ok(Location::Memory);
    }
    match rest.strip_prefix('/') {
        Some(path) => sqlite_path(decode(path, "the path")?),
        None if rest == ":memory:" => Ok(Location::Memory),
        None => Err(sqlite_with_host(rest)),
    }
}

/// The error for `sqlite://rel/f.db`, where other URLs have a host.
fn sqlite_with_host(rest: &str) -> UrlError {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    // Quoted only if it cannot be `user:password@host`.
    let path = if rest.len() <= 100 && rest.chars().all(harmless) { rest } else { "path" };
    UrlError::new(format!(
        "a sqlite URL has no host; write `sqlite:{path}` or `sqlite:///{path}` for a relative path, \
         `sqlite:////{path}` for an absolute one"
    ))
}

/// Checks a decoded path.
pub(super) fn sqlite_path(path: String) -> Result<Location, UrlError> {
    match path.as_str() {
        "" => Err(UrlError::new(
            "the sqlite path is empty; write `sqlite:name.db` for a file or `sqlite::memory:` for a database in memory",
        )),
        ":memory:" => Ok(Location::Memory),
        // SQLite keeps such names for itself; what is behind `:memory` is mostly a slip, and would be a file of that name.
        path if path.starts_with(':') => Err(UrlError::new(
            "a sqlite path cannot begin with `:`; write `sqlite::memory:` for a database in memory, with options after `?`, \
             or `sqlite:./:name` for a file of that name",
        )),
        // SQLite may be compiled to read such a name as a URI of its own, whose parameters nobody would check.
        path if path.starts_with("file:") => Err(UrlError::new(
            "a sqlite path cannot begin with `file:`; write `sqlite:name.db`, with options after `?`, \
             or `sqlite:./file:name` for a file of that name",
        )),
        _ => Ok(Location::File(path)),
    }
}

fn options(query: &str) -> Result<Vec<(String, String)>, UrlError> {
    no_fragment(query)?;
    if query.is_empty() {
        return Ok(Vec::new());
    }
    let mut seen = HashSet::new();
    let mut options = Vec::new();
    for (index, pair) in query.split('&').enumerate() {
        let ordinal = index + 1;
        let Some((key, value)) = pair.split_once('=') else {
            return Err(UrlError::new(format!(
                "option {ordinal} has no `=`; options are written `?key=value&key=value`, and a `?` elsewhere as %3F"
            )));
        };
        option_key(key).map_err(|error| UrlError::new(format!("option {ordinal}: {error}")))?;
        if !seen.insert(key) {
            return Err(UrlError::new(format!("option `{key}` is given more than once; give it once")));
        }
        // `+` stays `+`: reading it as a space belongs to HTML forms.
        let value = decode(value, &format!("the value of option `{key}`"))?;
        options.push((key.to_owned(), value));
    }
    Ok(options)
}

/// Checks an option's key, without quoting it: what fails here can be a piece of a password.
pub(super) fn option_key(key: &str) -> Result<(), UrlError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b);
    if (1..=MAX_KEY_BYTES).contains(&key.len()) && key.bytes().all(allowed) {
        return Ok(());
    }
    Err(UrlError::new(format!("a key is 1 to {MAX_KEY_BYTES} lower-case letters, digits, `_`, `-` or `.`")))
}

fn no_fragment(text: &str) -> Result<(), UrlError> {
    if text.contains('#') {
        // Other readers of URLs would drop all that follows.
        return Err(UrlError::new("a database URL has no `#fragment`; write a literal `#` as %23"));
    }
    Ok(())
}

fn decode(text: &str, part: &str) -> Result<String, UrlError> {
    let bytes = text.as_bytes();
    let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    for (at, _) in text.match_indices('%') {
        if !(is_hex(at + 1) && is_hex(at + 2)) {
            return Err(UrlError::new(format!(
                "{part} has a `%` without two hexadecimal digits after it; write a literal `%` as %25"
            )));
        }
    }
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| UrlError::new(format!("{part} is not UTF-8 once its percent escapes are decoded")))?;
    no_nul(&decoded, part)?;
    Ok(decoded.into_owned())
}

pub(super) fn no_nul(text: &str, part: &str) -> Result<(), UrlError> {
    if text.contains('\0') {
        return Err(UrlError::new(format!("{part} holds a NUL character, which no server accepts")));
    }
    Ok(())
}
