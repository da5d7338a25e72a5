//! [`DatabaseUrl`] to text, with its secrets or without.
//!
//! Every part is percent-encoded down to what can stand anywhere in a URL, so that [`parse`](super::parse) reads the same
//! parts back and other readers of URLs agree.

use std::fmt::{self, Write};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{DatabaseUrl, Host, Location, Server, error::REDACTED, is_secret_key};

/// All but what RFC 3986 calls unreserved: <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &PART.remove(b'/').remove(b':');
const VALUE: &AsciiSet = &PATH.remove(b',');

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrets {
    Shown,
    Redacted,
}

pub(super) fn write(out: &mut impl Write, url: &DatabaseUrl, secrets: Secrets) -> fmt::Result {
    out.write_str(&url.scheme)?;
    if let Some(driver) = &url.driver {
        write!(out, "+{driver}")?;
    }
    match &url.location {
        Location::Memory => out.write_str("::memory:")?,
        // Three slashes, then the path: right for relative, absolute and Windows paths.
        Location::File(path) => write!(out, ":///{}", utf8_percent_encode(path, PATH))?,
        Location::Server(server) => write_server(out, server, secrets)?,
    }
    let mut separator = '?';
    for (key, value) in &url.options {
        write!(out, "{separator}{key}=")?;
        if secrets == Secrets::Redacted && is_secret_key(key) {
            out.write_str(REDACTED)?;
        } else {
            write!(out, "{}", utf8_percent_encode(value, VALUE))?;
        }
        separator = '&';
    }
    Ok(())
}

fn write_server(out: &mut impl Write, server: &Server, secrets: Secrets) -> fmt::Result {
    out.write_str("://")?;
    if let Some(username) = &server.username {
        write!(out, "{}", utf8_percent_encode(username, PART))?;
    }
    if let Some(password) = &server.password {
        match secrets {
            Secrets::Shown => write!(out, ":{}", utf8_percent_encode(&password.0, PART))?,
            // An empty one as well: that it is empty is worth knowing to an attacker.
            Secrets::Redacted => write!(out, ":{REDACTED}")?,
        }
    }
    if server.username.is_some() || server.password.is_some() {
        out.write_char('@')?;
    }
    for (index, host) in server.hosts.iter().enumerate() {
        if index > 0 {
            out.write_char(',')?;
        }
        write_host(out, host)?;
    }
    if let Some(database) = &server.database {
        write!(out, "/{}", utf8_percent_encode(database, PATH))?;
    }
    Ok(())
}

pub(super) fn write_host(out: &mut impl Write, host: &Host) -> fmt::Result {
    if host.name.contains(':') && !host.name.starts_with('/') {
        write!(out, "[{}]", host.name.replace('%', "%25"))?;
    } else {
        write!(out, "{}", utf8_percent_encode(&host.name, PART))?;
    }
    match host.port {
        Some(port) => write!(out, ":{port}"),
        None => Ok(()),
    }
}
