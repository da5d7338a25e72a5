//! What went wrong with TLS, in words that say what to do.

use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::{Error, ErrorKind};

/// The error of a handshake that failed with `error`.
#[must_use]
pub fn handshake_error(error: io::Error) -> Error {
    tls_error(error).unwrap_or_else(|error| {
        Error::new(ErrorKind::Tls, "the connection broke during the TLS handshake").with_source(error)
    })
}

/// The error of a socket over TLS, if it was TLS that failed. Servers refuse a client's certificate only once the handshake
/// is over on this side.
///
/// # Errors
///
/// `error` itself, if it is the socket's.
pub fn tls_error(error: io::Error) -> Result<Error, io::Error> {
    let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else { return Err(error) };
    let (message, hint) = describe(fault);
    let ours = Error::new(ErrorKind::Tls, message).with_source(error);
    Ok(match hint {
        Some(hint) => ours.with_hint(hint),
        None => ours,
    })
}

fn describe(error: &TlsError) -> (String, Option<&'static str>) {
    use AlertDescription as Alert;
    const KNOWN_AUTHORITY: &str = "sslrootcert names a file with the certificate of the server's authority";
    const OLD_FORM: &str =
        "only certificates of X.509 version 3 are taken, and none that is an authority's serves a server";
    match error {
        TlsError::InvalidCertificate(fault) => match fault {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                (wrong_name(fault), None)
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ("the server's certificate has expired".to_owned(), None)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ("the server's certificate is not valid yet".to_owned(), None)
            }
            CertificateError::UnknownIssuer => {
                ("the server's certificate is signed by no authority that is known".to_owned(), Some(KNOWN_AUTHORITY))
            }
            CertificateError::Other(_) => ("the server's certificate cannot be used".to_owned(), Some(OLD_FORM)),
            _ => ("the server's certificate is not valid".to_owned(), None),
        },
        TlsError::AlertReceived(Alert::CertificateRequired | Alert::NoCertificate) => {
            ("the server asks for a client certificate".to_owned(), Some("sslcert and sslkey name the files"))
        }
        TlsError::AlertReceived(
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied,
        ) => ("the server refused the client certificate".to_owned(), None),
        TlsError::AlertReceived(Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity)
        | TlsError::PeerIncompatible(_) => {
            ("the server and this client have no version or cipher of TLS in common".to_owned(), None)
        }
        _ => ("TLS with the server failed".to_owned(), None),
    }
}

/// Names the host and what the certificate is for, as far as it says.
fn wrong_name(fault: &CertificateError) -> String {
    let CertificateError::NotValidForNameContext { expected, presented } = fault else {
        return "the server's certificate is for another host".to_owned();
    };
    let host = expected.to_str();
    match presented.as_slice() {
        [] => format!("the server's certificate names no host in its subjectAltName, so it is not for {host}"),
        names => {
            let names: Vec<_> = names.iter().map(|name| bare(name).escape_debug().to_string()).collect();
            format!("the server's certificate is not for {host} but for {}", names.join(", "))
        }
    }
}

/// `DnsName("db.example")`, as rustls shows it, without what is around it.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}
