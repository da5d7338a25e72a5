//! The entry: a URL to a connector, a connector to connections.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use databases_core::backend::{Backend, BackendConnection, Capabilities, ConnectContext, Connector, Target};
use databases_core::sql::Dialect;
use databases_core::url::{DatabaseUrl, UrlOptions};
use databases_core::{PoolOptions, Result};

use crate::connection::SqliteConnection;
use crate::group::Offers;
use crate::options::{Config, KEYS};
use crate::permit::WritePermit;

/// SQLite, for URLs like `sqlite:notes.db`, `sqlite:////var/lib/notes.db` and `sqlite::memory:`.
///
/// Its own options in the URL:
///
/// | Option | Values | Default |
/// |---|---|---|
/// | `mode` | `ro`: nothing is written or created, `rw`: the file must exist, `rwc` | `rwc` |
/// | `journal_mode` | `wal`, `delete`, `truncate`, `persist`, `memory`, `off` | `wal` |
/// | `synchronous` | `full`, `normal` (survives a crash of the process, not a power cut), `off`, `extra` | `full` |
/// | `foreign_keys` | `on`, `off` | `on` |
/// | `busy_timeout` | how long other processes are waited for, such as `500ms` | `5s` |
/// | `decimal` | `number`: INTEGER or REAL, exactly or not at all; `text`: for columns declared TEXT | `number` |
/// | `cache_size` | a number of pages, or of KiB if negative | SQLite's |
/// | `inline_reads` | `on`: short reads run on the thread of their caller, `off`: everything runs on worker threads | `on` |
/// | `group_commit` | `on`: autocommit writes that wait together share one transaction, `off`: each has its own | `on` |
///
/// `mode` and `journal_mode=wal` have no effect in memory and are an error there. A relative path is looked up once, when
/// the `Database` is made, and not again if the working directory changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sqlite;

impl Backend for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["sqlite"]
    }

    fn drivers(&self) -> &'static [&'static str] {
        &["rusqlite"]
    }

    fn connector(&self, url: &DatabaseUrl, options: &mut UrlOptions, pool: &PoolOptions) -> Result<Arc<dyn Connector>> {
        let config = Config::take(url, options, pool)?;
        Ok(Arc::new(SqliteConnector::new(config)))
    }

    fn options(&self) -> &'static [&'static str] {
        KEYS
    }
}

/// Opens connections to one file, or the one connection to a database in memory.
struct SqliteConnector {
    config: Arc<Config>,
    /// The one turn to write; `None` where nobody else can be writing, or nobody can.
    permit: Option<Arc<WritePermit>>,
    /// Writes that wait for it together; `None` where each has its own transaction.
    offers: Option<Arc<Offers>>,
    target: Target,
}

impl SqliteConnector {
    fn new(config: Config) -> Self {
        let namespace = match &config.path {
            Some(path) => path.display().to_string(),
            None => ":memory:".to_owned(),
        };
        Self {
            offers: (config.group_commit && config.guards_writes()).then(Arc::default),
            permit: config.guards_writes().then(|| WritePermit::new(config.acquire_timeout)),
            target: Target { system: "sqlite", namespace, ..Target::default() },
            config: Arc::new(config),
        }
    }
}

impl fmt::Debug for SqliteConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteConnector").field("config", &self.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl Connector for SqliteConnector {
    fn dialect(&self) -> Dialect {
        Dialect::SQLITE
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::NONE;
        capabilities.full_sql = true;
        capabilities.transactions = true;
        capabilities.savepoints = true;
        capabilities.transactional_ddl = true;
        capabilities.returning = true;
        capabilities.last_insert_id = true;
        // Of the levels only Serializable: SQLite has no other.
        capabilities.isolation_levels = false;
        capabilities.read_only_transactions = true;
        capabilities.immediate = true;
        capabilities.session_statements_on_database = false;
        // There is nobody else who could close it.
        capabilities.notices_close = true;
        capabilities.shares_writes = self.offers.is_some();
        capabilities.runs_at_once = self.config.inline_reads;
        capabilities
    }

    fn single_connection(&self) -> bool {
        self.config.is_memory()
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn connect(&self, _: ConnectContext) -> Result<Arc<dyn BackendConnection>> {
        let connection =
            SqliteConnection::open(Arc::clone(&self.config), self.permit.clone(), self.offers.clone()).await?;
        tracing::debug!(file = self.target.namespace.as_str(), "opened a SQLite database");
        Ok(Arc::new(connection))
    }
}
