//! TLS, for backends whose servers are reached over a network.
//!
//! The options are libpq's, for every server: [`TlsOptions`] reads them, with or without the feature `tls`. With it,
//! [`TlsFiles`] holds the certificates that they name and makes rustls's configuration, in which the crypto provider is
//! given explicitly: the default of the process is neither asked for nor set here.
//!
//! | `sslmode` | TLS | What is checked |
//! |---|---|---|
//! | `disable` | never | |
//! | `allow` | if the server refuses the session without it | nothing |
//! | `prefer`, the default | if the server has it | nothing |
//! | `require` | always | nothing; with `sslrootcert` as `verify-ca` |
//! | `verify-ca` | always | the server's certificate is signed by a known authority, and valid today |
//! | `verify-full` | always | that, and that the certificate is for the host in the URL |
//!
//! `allow` and `prefer` keep nobody out: whoever controls the network can read along by pretending that the server has
//! no TLS. `require` without `sslrootcert` stops listeners only. Sessions over unix sockets never use TLS, whatever the mode.
//!
//! `sslrootcert` names a file with the certificates (PEM) of the authorities that are trusted, or is `system`: those of the
//! operating system. `system` is only for `verify-full`, which is then also the default. **Different from libpq**: without
//! `sslrootcert` the modes `verify-ca` and `verify-full` trust the system's authorities, where libpq looks for
//! `~/.postgresql/root.crt`; a file that is named and not there is always an error; a host is looked for in the certificate's
//! subjectAltName only, never in its common name.
//!
//! `sslcert` and `sslkey` name the files with this client's certificate, with what is between it and an authority, and with
//! its key (PEM; not encrypted). Files are read for each new connection, so renewed ones are taken up.

#[cfg(feature = "tls")]
mod fault;
#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod verifier;

use std::fmt;
use std::path::PathBuf;

#[cfg(feature = "tls")]
pub use fault::{handshake_error, tls_error};
#[cfg(feature = "tls")]
pub use files::{TlsFiles, provider};
#[cfg(feature = "tls")]
pub use rustls;

use crate::url::{UrlError, UrlOptions};
use crate::{Error, ErrorKind, Result};

/// How much TLS is asked for: libpq's `sslmode`, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// Without TLS; with it if the server refuses that.
    Allow,
    /// With TLS; without it if the server has none.
    #[default]
    Prefer,
    /// With TLS, to whoever answers.
    Require,
    /// With TLS, to a server whose certificate a known authority has signed.
    VerifyCa,
    /// With TLS, to a server whose certificate a known authority has signed for the host that was asked for.
    VerifyFull,
}

impl TlsMode {
    /// Every mode.
    pub const ALL: [Self; 6] =
        [Self::Disable, Self::Allow, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull];

    /// The mode called `name`, as libpq spells it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// The name, as libpq spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is checked of a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Nothing.
    Nothing,
    /// A known authority has signed it, and it is valid today.
    Chain,
    /// That, and it is for the host that was asked for.
    ChainAndName,
}

/// Whose signatures are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Roots {
    System,
    File(PathBuf),
}

/// The options of a URL that are about TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    mode: TlsMode,
    roots: Option<Roots>,
    /// The certificate and its key.
    identity: Option<(PathBuf, PathBuf)>,
}

impl TlsOptions {
    /// The names of the options that [`read`](Self::read) takes.
    pub const NAMES: [&'static str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

    /// Takes `sslmode`, `sslrootcert`, `sslcert` and `sslkey` out of `options`; reads no file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Url`] for a mode that is none, for `sslrootcert=system` with a weaker mode than `verify-full`, and for one
    /// of `sslcert` and `sslkey` without the other.
    pub fn read(options: &mut UrlOptions) -> Result<Self> {
        let names = TlsMode::ALL.map(TlsMode::name);
        let mode = options.take_enum("sslmode", &names)?.and_then(TlsMode::from_name);
        Self::read_with(mode, options)
    }

    /// As [`read`](Self::read), for a backend that has read the mode itself.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn read_with(mode: Option<TlsMode>, options: &mut UrlOptions) -> Result<Self> {
        let roots = options.take_str("sslrootcert").map(|value| match value.as_str() {
            "system" => Roots::System,
            _ => Roots::File(value.into()),
        });
        let mode = match (mode, &roots) {
            (Some(mode), Some(Roots::System)) if mode < TlsMode::VerifyFull => {
                // Anybody can have a certificate from one of those for a name of their own.
                let message = format!("sslrootcert=system needs sslmode=verify-full, not sslmode={mode}");
                return Err(UrlError::new(message).into());
            }
            (None, Some(Roots::System)) => TlsMode::VerifyFull,
            (mode, _) => mode.unwrap_or_default(),
        };
        let identity = match (options.take_str("sslcert"), options.take_str("sslkey")) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            (Some(_), None) => return Err(UrlError::new("`sslcert` needs `sslkey`, the file with its key").into()),
            (None, Some(_)) => {
                return Err(UrlError::new("`sslkey` needs `sslcert`, the file with its certificate").into());
            }
        };
        Ok(Self { mode, roots, identity })
    }

    /// How much TLS is asked for.
    #[must_use]
    pub fn mode(&self) -> TlsMode {
        self.mode
    }

    /// What is to be checked of the server's certificate where there is TLS.
    #[must_use]
    pub fn verify(&self) -> Verify {
        match self.mode {
            TlsMode::Disable | TlsMode::Allow | TlsMode::Prefer => Verify::Nothing,
            // <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-CERTIFICATES>
            TlsMode::Require if self.roots.is_none() => Verify::Nothing,
            TlsMode::Require | TlsMode::VerifyCa => Verify::Chain,
            TlsMode::VerifyFull => Verify::ChainAndName,
        }
    }

    /// Fails if the mode insists on TLS: for a backend that was built without it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`], naming the feature that is missing.
    pub fn without_tls(&self) -> Result<()> {
        if self.mode < TlsMode::Require {
            return Ok(());
        }
        let message = format!("sslmode={} needs TLS, and this build has none: its feature `tls` is off", self.mode);
        Err(Error::new(ErrorKind::Unsupported, message)
            .with_hint("sslmode=disable connects without TLS, where the network is trusted"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::DatabaseUrl;

    fn read(query: &str) -> Result<TlsOptions> {
        let url: DatabaseUrl = format!("postgres://h/d?{query}").parse()?;
        let mut options = UrlOptions::new(&url);
        let read = TlsOptions::read(&mut options)?;
        options.finish(&TlsOptions::NAMES)?;
        Ok(read)
    }

    #[test]
    fn modes_check_what_libpq_checks() -> Result<()> {
        use TlsMode::*;
        for (query, mode, verify) in [
            ("", Prefer, Verify::Nothing),
            ("sslmode=disable", Disable, Verify::Nothing),
            ("sslmode=allow&sslrootcert=ca.pem", Allow, Verify::Nothing),
            ("sslmode=prefer&sslrootcert=ca.pem", Prefer, Verify::Nothing),
            ("sslrootcert=ca.pem", Prefer, Verify::Nothing),
            ("sslmode=require", Require, Verify::Nothing),
            ("sslmode=require&sslrootcert=ca.pem", Require, Verify::Chain),
            ("sslmode=verify-ca", VerifyCa, Verify::Chain),
            ("sslmode=verify-full", VerifyFull, Verify::ChainAndName),
            ("sslmode=verify-full&sslrootcert=system", VerifyFull, Verify::ChainAndName),
            ("sslrootcert=system", VerifyFull, Verify::ChainAndName),
        ] {
            let read = read(query)?;
            assert_eq!((read.mode(), read.verify()), (mode, verify), "{query}");
        }
        Ok(())
    }

    #[test]
    fn what_would_be_weaker_than_it_looks_is_refused() {
        for query in [
            "sslmode=full",
            "sslmode=VERIFY-FULL",
            "sslmode=require&sslrootcert=system",
            "sslmode=verify-ca&sslrootcert=system",
            "sslmode=disable&sslrootcert=system",
            "sslcert=a.pem",
            "sslkey=a.key",
        ] {
            assert_eq!(read(query).unwrap_err().kind(), ErrorKind::Url, "{query}");
        }
    }

    #[test]
    fn without_tls_only_the_modes_that_insist_fail() {
        for mode in TlsMode::ALL {
            let outcome = TlsOptions { mode, ..TlsOptions::default() }.without_tls();
            match outcome {
                Ok(()) => assert!(mode <= TlsMode::Prefer),
                Err(error) => {
                    assert!(mode >= TlsMode::Require);
                    assert_eq!(error.kind(), ErrorKind::Unsupported);
                    assert!(error.to_string().contains("feature `tls`"), "{error}");
                }
            }
        }
    }
}
