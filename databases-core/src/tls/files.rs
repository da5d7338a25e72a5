//! The certificates and the key that the options name, read and made into rustls's configuration.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::verifier::Verifier;
use super::{Roots, TlsOptions, Verify};
use crate::{Error, ErrorKind, Result};

/// The crypto provider of every configuration made here.
#[must_use]
pub fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// What the files of [`TlsOptions`] hold, and how the server's certificate is checked. Debug shows no key.
pub struct TlsFiles {
    verify: Verify,
    roots: Vec<CertificateDer<'static>>,
    identity: Option<Identity>,
}

/// A certificate and its key, as they were read.
struct Identity {
    certificates: Vec<u8>,
    key: Vec<u8>,
}

impl TlsOptions {
    /// Reads the files, if there are any, on a thread that may block.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tls`] if a file cannot be read or does not hold what it should, or if the system has no root
    /// certificates and they are needed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed; a read that has begun goes on to its end.
    pub async fn load(&self) -> Result<TlsFiles> {
        if self.verify() == Verify::Nothing && self.identity.is_none() {
            return TlsFiles::read(self); // Nothing to read.
        }
        let options = self.clone();
        let read = tokio::task::spawn_blocking(move || TlsFiles::read(&options)).await;
        read.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the certificates were not read to the end")))
    }
}

impl TlsFiles {
    fn read(options: &TlsOptions) -> Result<Self> {
        let verify = options.verify();
        let roots = match &options.roots {
            _ if verify == Verify::Nothing => Vec::new(),
            Some(Roots::File(path)) => roots_of_file(path)?,
            Some(Roots::System) | None => roots_of_system()?,
        };
        let identity = match &options.identity {
            Some((certificate, key)) => {
                Some(Identity { certificates: read("sslcert", certificate)?, key: read("sslkey", key)? })
            }
            None => None,
        };
        Ok(Self { verify, roots, identity })
    }

    /// What is checked of the server's certificate.
    #[must_use]
    pub fn verify(&self) -> Verify {
        self.verify
    }

    /// The certificates of the trusted authorities; none where nothing is checked.
    #[must_use]
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// The client's certificates and key in PEM, for a driver that reads them itself. The second is a secret.
    #[must_use]
    pub fn identity(&self) -> Option<(&[u8], &[u8])> {
        self.identity.as_ref().map(|identity| (&*identity.certificates, &*identity.key))
    }

    /// The configuration of a client that does with TLS what the options say.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tls`] if the client's certificate or key cannot be used, or do not belong together.
    pub fn client_config(&self) -> Result<ClientConfig> {
        let provider = provider();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.roots.iter().cloned());
        let verifier = Verifier { verify: self.verify, roots, algorithms: provider.signature_verification_algorithms };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(ErrorKind::Internal, "TLS cannot be set up").with_source(error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let Some(identity) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let certificates = certificates("sslcert", &identity.certificates)?;
        let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|error| {
            let message = match error {
                pem::Error::NoItemsFound => "sslkey: the file holds no private key in PEM that is not encrypted",
                _ => "sslkey: the file cannot be read as PEM",
            };
            Error::new(ErrorKind::Tls, message)
        })?;
        builder.with_client_auth_cert(certificates, key).map_err(|error| {
            let message = match error {
                rustls::Error::InconsistentKeys(_) => "the key of sslkey is not the one of the certificate of sslcert",
                _ => "the certificate of sslcert or the key of sslkey cannot be used",
            };
            Error::new(ErrorKind::Tls, message).with_source(error)
        })
    }
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsFiles")
            .field("verify", &self.verify)
            .field("roots", &self.roots.len())
            .field("identity", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        let message = format!("{option}: the file {} cannot be read", path.display());
        Error::new(ErrorKind::Tls, message).with_source(error)
    })
}

/// The certificates in `text`; an error if there is none.
fn certificates(option: &str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let fault = |what: &str| Error::new(ErrorKind::Tls, format!("{option}: the file {what}"));
    let found: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| fault("cannot be read as PEM").with_source(error))?;
    if found.is_empty() { Err(fault("holds no certificate in PEM")) } else { Ok(found) }
}

fn roots_of_file(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = certificates("sslrootcert", &read("sslrootcert", path)?)?;
    let mut store = RootCertStore::empty();
    for certificate in &found {
        store.add(certificate.clone()).map_err(|error| {
            let message = format!("sslrootcert: a certificate in {} cannot be used", path.display());
            Error::new(ErrorKind::Tls, message).with_source(error)
        })?;
    }
    Ok(found)
}

/// The operating system's; some of those may be of a form that rustls does not take, which is nobody's fault here.
fn roots_of_system() -> Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    let usable = |certificate: &CertificateDer<'static>| RootCertStore::empty().add(certificate.clone()).is_ok();
    let roots: Vec<_> = found.certs.into_iter().filter(usable).collect();
    if !roots.is_empty() {
        return Ok(roots);
    }
    let error = Error::new(ErrorKind::Tls, "the system has no root certificates to check the server's with")
        .with_hint("sslrootcert names a file that has the one of the server's authority");
    Err(match found.errors.into_iter().next() {
        Some(source) => error.with_source(source),
        None => error,
    })
}
