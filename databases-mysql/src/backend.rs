//! The backend and its connector: from a URL to connections.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use databases_core::backend::{Backend, BackendConnection, Capabilities, ConnectContext, Connector, Target};
use databases_core::sql::Dialect;
use databases_core::tls::TlsMode;
use databases_core::url::{DatabaseUrl, UrlOptions};
use databases_core::{PoolOptions, Result};

use crate::connect::{NoTls, connect};
use crate::options::{KEYS, Options};

/// MySQL and MariaDB, over `mysql_async`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MySql;

impl Backend for MySql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["mysql", "mariadb"]
    }

    fn drivers(&self) -> &'static [&'static str] {
        &["mysql_async"]
    }

    fn connector(&self, url: &DatabaseUrl, options: &mut UrlOptions, pool: &PoolOptions) -> Result<Arc<dyn Connector>> {
        let is_mariadb = url.scheme() == "mariadb";
        let options = Options::new(url, options, pool.statement_cache_size)?;
        let target = options.target(if is_mariadb { "mariadb" } else { "mysql" });
        Ok(Arc::new(MySqlConnector {
            options,
            target,
            is_mariadb: AtomicBool::new(is_mariadb),
            no_tls: NoTls::default(),
            warned: AtomicBool::new(false),
        }))
    }

    fn options(&self) -> &'static [&'static str] {
        KEYS
    }
}

/// Opens connections to one server.
struct MySqlConnector {
    // Holds the password.
    options: Options,
    target: Target,
    /// As the scheme says, until a server has said so itself.
    is_mariadb: AtomicBool,
    no_tls: NoTls,
    /// One warning about plain text per connector is enough.
    warned: AtomicBool,
}

impl fmt::Debug for MySqlConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlConnector").field("target", &self.target).finish_non_exhaustive()
    }
}

#[async_trait]
impl Connector for MySqlConnector {
    fn dialect(&self) -> Dialect {
        Dialect::MYSQL
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::NONE;
        capabilities.full_sql = true;
        capabilities.transactions = true;
        capabilities.savepoints = true;
        // MySQL has no RETURNING.
        capabilities.returning = self.is_mariadb.load(Ordering::Relaxed);
        capabilities.last_insert_id = true;
        capabilities.isolation_levels = true;
        capabilities.read_only_transactions = true;
        capabilities.runtime_bound = true;
        capabilities
    }

    fn single_connection(&self) -> bool {
        false
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn connect(&self, context: ConnectContext) -> Result<Arc<dyn BackendConnection>> {
        let (connection, encrypted) = connect(&self.options, context.password, &self.no_tls).await?;
        self.is_mariadb.store(connection.info().product == "MariaDB", Ordering::Relaxed);
        let exposed = !encrypted && self.options.is_over_network() && self.options.tls.mode() != TlsMode::Disable;
        if exposed && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                server.address = self.target.address.as_str(),
                "the session is not encrypted; sslmode=require insists on TLS, sslmode=disable says that this is meant"
            );
        }
        Ok(Arc::new(connection))
    }
}
