//! TLS to the server: the request for it, the handshake, and what channel binding needs.
//!
//! The request is one message in plain text that the server answers with one byte. Exactly that byte is read: whatever
//! somebody on the way puts behind it is then taken for a part of the handshake, which fails, and never for an answer of the
//! server (CVE-2021-23222). Nothing else is sent before the handshake has ended.
//!
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>

mod end_point;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use databases_core::tls::rustls::pki_types::{IpAddr as CertificateIp, ServerName};
use databases_core::tls::{TlsOptions, Verify, handshake_error};
use databases_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::connect::Socket;
use end_point::server_end_point;

pub(crate) use databases_core::tls::tls_error;

/// Length and code of SSLRequest.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// What the server makes of the request.
pub(crate) enum Answer {
    /// TLS is set up; with the bytes that a login can be bound to, where the certificate's signature has a hash.
    Secured(Box<dyn Socket>, Option<Vec<u8>>),
    /// It has no TLS. The socket is as good as new.
    Refused(Box<dyn Socket>),
}

/// Sets up TLS the way the options say.
#[derive(Clone)]
pub(crate) struct Client {
    connector: TlsConnector,
    host: String,
    verify: Verify,
}

impl Client {
    /// Reads the certificates for connections to `host`.
    pub(crate) async fn load(options: &TlsOptions, host: &str) -> Result<Self> {
        let files = options.load().await?;
        let connector = TlsConnector::from(Arc::new(files.client_config()?));
        Ok(Self { connector, host: host.to_owned(), verify: files.verify() })
    }

    /// Asks the server for TLS on a new `socket` to `address`.
    pub(crate) async fn secure(&self, mut socket: Box<dyn Socket>, address: IpAddr) -> Result<Answer> {
        let name = self.server_name(address)?;
        let broken = |error| Error::new(ErrorKind::Tls, "the request for TLS was not answered").with_source(error);
        socket.write_all(&REQUEST).await.map_err(broken)?;
        socket.flush().await.map_err(broken)?;
        match socket.read_u8().await.map_err(broken)? {
            b'S' => {}
            b'N' => return Ok(Answer::Refused(socket)),
            // An error, whose text nobody vouches for.
            b'E' => return Err(Error::new(ErrorKind::Tls, "the server answered the request for TLS with an error")),
            _ => return Err(Error::new(ErrorKind::Tls, "what answers the request for TLS is no PostgreSQL")),
        }
        let stream = self.connector.connect(name, socket).await.map_err(handshake_error)?;
        let certificates = stream.get_ref().1.peer_certificates();
        let end_point = certificates.and_then(|chain| server_end_point(chain.first()?));
        Ok(Answer::Secured(Box::new(stream), end_point))
    }

    /// Whom the certificate must be for, and what the server is told that it is called. Where no name is checked, a host that
    /// no certificate could name does not matter.
    fn server_name(&self, address: IpAddr) -> Result<ServerName<'static>> {
        match ServerName::try_from(self.host.clone()) {
            Ok(name) => Ok(name),
            Err(_) if self.verify != Verify::ChainAndName => Ok(ServerName::IpAddress(CertificateIp::from(address))),
            Err(error) => {
                let message = format!("no certificate can be for the host {}", self.host.escape_debug());
                Err(Error::new(ErrorKind::Tls, message).with_source(error))
            }
        }
    }
}

/// A server that goes away without saying so by TLS has closed the socket all the same.
pub(crate) fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}
