//! One or two attempts to connect: with TLS and without, as the mode says.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use databases_core::tls::TlsMode;
use databases_core::{Error, ErrorKind, Result};

use crate::connection::Connection;
use crate::options::Options;
use crate::tls;

/// A server without TLS says so only once it was asked for a session, and logs the connection as aborted. So `prefer` asks
/// it no more often than this.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// When a server was last found to have no TLS that works.
#[derive(Debug, Default)]
pub(crate) struct NoTls(Mutex<Option<Instant>>);

impl NoTls {
    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_recent(&self) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() < ASK_AGAIN)
    }
}

/// A connection, and whether it uses TLS.
pub(crate) async fn connect(options: &Options, password: Option<String>, no_tls: &NoTls) -> Result<(Connection, bool)> {
    let mode = options.tls.mode();
    if cfg!(not(feature = "tls")) || mode == TlsMode::Disable || options.is_socket() {
        return Ok((attempt(options, password, None).await?, false));
    }
    // Read even where it may turn out not to be needed: a file that is not there should not depend on the server.
    let client = tls::Client::load(&options.tls, options.host()).await?;
    match mode {
        TlsMode::Disable | TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => {
            Ok((attempt(options, password, Some(client)).await?, true))
        }
        TlsMode::Allow => {
            let error = match attempt(options, password.clone(), None).await {
                // An account that needs TLS is refused like one with a wrong password.
                Err(error) if error.kind() == ErrorKind::Authentication => error,
                other => return Ok((other?, false)),
            };
            let second = attempt(options, password, Some(client)).await;
            Ok((second.map_err(|later| if later.kind() == ErrorKind::Tls { error } else { later })?, true))
        }
        TlsMode::Prefer => {
            let error = if no_tls.is_recent() {
                None
            } else {
                match attempt(options, password.clone(), Some(client)).await {
                    Err(error) if error.kind() == ErrorKind::Tls => Some(error),
                    other => return Ok((other?, true)),
                }
            };
            no_tls.note();
            let second = attempt(options, password, None).await;
            Ok((second.map_err(|later| error.filter(|_| needs_tls(&later)).unwrap_or(later))?, false))
        }
    }
}

/// Whether the server takes nobody without TLS (require_secure_transport).
fn needs_tls(error: &Error) -> bool {
    error.code() == Some("3159")
}

async fn attempt(options: &Options, password: Option<String>, client: Option<tls::Client>) -> Result<Connection> {
    let opts = options.resolve(password, client).await?;
    Connection::open(opts, options).await
}
