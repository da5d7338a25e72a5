//! The driver's options for TLS.
//!
//! The driver does the handshake, inside MySQL's own: it sends a message without names, waits for the end of the handshake and
//! only then sends the login. It makes rustls's configuration itself, with the crypto provider that is the default of the
//! process; so ours is made that default if there is none. Without one rustls panics where several are compiled in.

use std::io;

use databases_core::tls::rustls::crypto::CryptoProvider;
use databases_core::tls::rustls::pki_types::ServerName;
use databases_core::tls::{TlsMode, TlsOptions, Verify, provider};
use databases_core::{Error, ErrorKind, Result};
use mysql_async::{ClientIdentity, OptsBuilder, SslOpts, TlsError};

pub(crate) use databases_core::tls::tls_error;

/// The name that a certificate is compared with where its name does not matter. The driver (mysql_async 0.37) then lets an
/// error pass whose text has the words `NotValidForName`. rustls (0.23) has other words by now and so every certificate for
/// another name would be refused; but the error, which only follows once everything else about the certificate was found
/// good, repeats the name that was expected. If either changes, such certificates are refused again and never more than those.
const ANY_NAME: &str = "NotValidForName.invalid";

/// How to set up TLS.
pub(crate) struct Client {
    opts: SslOpts,
    insisted: bool,
}

impl Client {
    /// Reads the certificates for connections to `host`.
    pub(crate) async fn load(options: &TlsOptions, host: &str) -> Result<Self> {
        let files = options.load().await?;
        // Whatever is wrong with the files is said here, in better words than the driver's.
        files.client_config()?;
        if CryptoProvider::get_default().is_none() {
            // Somebody else may have been faster, which is as good.
            _ = provider().install_default();
        }
        let roots = files.roots().iter().map(|root| root.to_vec().into()).collect();
        let identity = files
            .identity()
            .map(|(certificates, key)| ClientIdentity::new(certificates.to_vec().into(), key.to_vec().into()));
        let opts = SslOpts::default().with_root_certs(roots).with_client_identity(identity);
        let opts = match files.verify() {
            // The driver wants some authority even where it asks none: so its own stay.
            Verify::Nothing => opts
                .with_danger_accept_invalid_certs(true)
                .with_danger_tls_hostname_override(ServerName::try_from(host).is_err().then_some(ANY_NAME)),
            Verify::Chain => opts
                .with_disable_built_in_roots(true)
                .with_danger_skip_domain_validation(true)
                .with_danger_tls_hostname_override(Some(ANY_NAME)),
            Verify::ChainAndName => opts.with_disable_built_in_roots(true),
        };
        Ok(Self { opts, insisted: options.mode() >= TlsMode::Require })
    }

    pub(crate) fn apply(self, builder: OptsBuilder) -> OptsBuilder {
        let builder = builder.ssl_opts(self.opts);
        // Under a weaker mode whoever is on the way could have taken the server's place, and ask for the password.
        if self.insisted { builder.enable_cleartext_plugin(true) } else { builder }
    }
}

/// The error of a handshake as the driver gives it.
pub(crate) fn driver_error(error: TlsError) -> Error {
    match error {
        TlsError::Tls(fault) => tls_error(io::Error::other(fault)).unwrap_or_else(|error| unknown().with_source(error)),
        TlsError::InvalidDnsName(fault) => {
            Error::new(ErrorKind::Tls, "no certificate can be for the host in the URL").with_source(fault)
        }
        fault => unknown().with_source(fault),
    }
}

fn unknown() -> Error {
    Error::new(ErrorKind::Tls, "TLS with the server failed")
}
