//! The backend and its connector: URL in, connections out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use async_trait::async_trait;
use databases_core::backend::{Backend, BackendConnection, Capabilities, ConnectContext, Connector, Target};
use databases_core::sql::Dialect;
use databases_core::tls::TlsMode;
use databases_core::url::{DatabaseUrl, UrlOptions};
use databases_core::{PoolOptions, Result};

use crate::connect::connect;
use crate::options::{NAMES, PgOptions};

/// The PostgreSQL backend: `postgres://` and `postgresql://`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postgres;

impl Backend for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["postgres", "postgresql"]
    }

    fn drivers(&self) -> &'static [&'static str] {
        &["tokio-postgres"]
    }

    fn connector(&self, url: &DatabaseUrl, options: &mut UrlOptions, pool: &PoolOptions) -> Result<Arc<dyn Connector>> {
        let options = PgOptions::read(url, options, pool)?;
        let target = Target {
            system: "postgresql",
            namespace: options.database.clone().unwrap_or_else(|| options.user.clone()),
            address: options.host.clone(),
            port: (!options.host.starts_with('/')).then_some(options.port),
        };
        Ok(Arc::new(PgConnector { options, target, warned: AtomicBool::new(false) }))
    }

    fn options(&self) -> &'static [&'static str] {
        NAMES
    }
}

/// Opens connections to one database. Its `Debug` shows the target only.
struct PgConnector {
    options: PgOptions,
    target: Target,
    /// One warning about plain text per connector is enough.
    warned: AtomicBool,
}

impl fmt::Debug for PgConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgConnector").field("target", &self.target).finish_non_exhaustive()
    }
}

#[async_trait]
impl Connector for PgConnector {
    fn dialect(&self) -> Dialect {
        Dialect::POSTGRES
    }

    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::NONE;
        can.full_sql = true;
        can.transactions = true;
        can.savepoints = true;
        can.error_fails_transaction = true;
        can.transactional_ddl = true;
        can.returning = true;
        can.arrays = true;
        can.pipelining = true;
        can.isolation_levels = true;
        can.read_only_transactions = true;
        can.deferrable = true;
        can.session_statements_on_database = true;
        can.runtime_bound = true;
        can.type_codecs = true;
        can.notices_close = true;
        can.shares_reads = true;
        can.shares_writes = true;
        can.copies = true;
        can
    }

    fn single_connection(&self) -> bool {
        false
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn connect(&self, context: ConnectContext) -> Result<Arc<dyn BackendConnection>> {
        let (mut connection, exposed) = connect(&self.options, context.password).await?;
        connection.codecs = context.types.codecs;
        if exposed && self.options.tls.mode() != TlsMode::Disable && !self.warned.swap(true, Relaxed) {
            tracing::warn!(
                server.address = self.target.address.as_str(),
                "the session is not encrypted; sslmode=require insists on TLS, sslmode=disable says that this is meant"
            );
        }
        connection.preload(&context.types.preload).await?;
        Ok(Arc::new(connection))
    }
}
