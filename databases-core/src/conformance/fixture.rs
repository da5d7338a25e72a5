//! What a case is given: a database of one backend, and the words that differ between backends.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Need;
use super::proxy::{Protocol, Proxy};
use crate::backend::{Backend, Capabilities};
use crate::database::Pool;
use crate::error::Result;
use crate::executor::{Executor, RawExecutor};
use crate::options::PoolOptions;
use crate::pool::PoolConfig;
use crate::sql::DialectKind;
use crate::url::DatabaseUrl;

/// Where the databases of a backend are.
#[derive(Clone, Debug)]
pub struct Source {
    backend: Arc<dyn Backend>,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    /// The URLs of `TEST_DATABASE_URLS` with one of the backend's schemes.
    Environment,
    /// This URL.
    Url(String),
    /// A new file for each case; the text goes before the path.
    File(String),
}

impl Source {
    /// The servers that `TEST_DATABASE_URLS` names.
    #[must_use]
    pub fn from_env(backend: impl Backend) -> Self {
        Self { backend: Arc::new(backend), place: Place::Environment }
    }

    /// The database at `url`: each pool that is made may be a database of its own.
    #[must_use]
    pub fn url(backend: impl Backend, url: impl Into<String>) -> Self {
        Self { backend: Arc::new(backend), place: Place::Url(url.into()) }
    }

    /// A new file for each case: `scheme:` and the path.
    #[must_use]
    pub fn new_file(backend: impl Backend, scheme: &str) -> Self {
        Self { backend: Arc::new(backend), place: Place::File(format!("{scheme}:///")) }
    }

    /// The backend's name.
    #[must_use]
    pub fn backend_name(&self) -> &'static str {
        self.backend.name()
    }

    /// The URLs; `None` is made for each case.
    pub(super) fn urls(&self) -> Vec<Option<String>> {
        match &self.place {
            Place::File(_) => vec![None],
            Place::Url(url) => vec![Some(url.clone())],
            Place::Environment => {
                let is_ours = |url: &&str| {
                    let scheme = url.split([':', '+']).next().unwrap_or_default();
                    self.backend.schemes().contains(&scheme)
                };
                let all = std::env::var("TEST_DATABASE_URLS").unwrap_or_default();
                all.split(',').map(str::trim).filter(is_ours).map(|url| Some(url.to_owned())).collect()
            }
        }
    }
}

pub(super) fn is_required(backend: &str) -> bool {
    std::env::var("TEST_REQUIRE_BACKENDS").unwrap_or_default().split(',').any(|name| name.trim() == backend)
}

/// Says `message` once, past the capture of test output: what is left out is seen without asking.
pub(super) fn say(message: &str) {
    use std::io::Write as _;
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.iter().any(|earlier| earlier == message) {
        let _ = writeln!(std::io::stderr(), "conformance: {message}");
        said.push(message.to_owned());
    }
}

/// Makes names that no other case, process or run has.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// One database for one case.
pub struct Fixture {
    backend: Arc<dyn Backend>,
    url: DatabaseUrl,
    /// Column types, in this backend's words.
    pub types: &'static Types,
    capabilities: Capabilities,
    single_connection: bool,
    kind: DialectKind,
    made: Mutex<Made>,
    folder: Option<Folder>,
}

/// What the case made, to be taken away at its end.
#[derive(Default)]
struct Made {
    tables: Vec<String>,
    pools: Vec<Pool>,
}

impl Fixture {
    pub(super) fn new(source: &Source, url: Option<&str>) -> Result<Self> {
        let (text, folder) = match (&source.place, url) {
            (Place::File(scheme), _) => {
                let folder = Folder::new();
                (format!("{scheme}{}", folder.0.join("test.db").display()), Some(folder))
            }
            (_, url) => (url.unwrap_or_default().to_owned(), None),
        };
        let url: DatabaseUrl = text.parse()?;
        let connector = PoolConfig::from_url(&*source.backend, &url, |_| {})?.connector;
        let kind = connector.dialect().kind();
        Ok(Self {
            backend: source.backend.clone(),
            types: Types::of(kind),
            capabilities: connector.capabilities(),
            single_connection: connector.single_connection(),
            kind,
            url,
            made: Mutex::default(),
            folder,
        })
    }

    /// The backend's name.
    #[must_use]
    pub fn backend_name(&self) -> &'static str {
        self.backend.name()
    }

    /// What the backend claims.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    pub(super) fn has(&self, need: Need) -> bool {
        match need {
            Need::FullSql => self.capabilities.full_sql,
            Need::Transactions => self.capabilities.transactions,
            Need::Savepoints => self.capabilities.savepoints,
            Need::Copies => self.capabilities.copies,
            Need::TwoConnections => !self.single_connection,
            Need::OneThread => true,
        }
    }

    /// The family of servers, for what differs between them.
    #[must_use]
    pub fn kind(&self) -> DialectKind {
        self.kind
    }

    /// Whether there is only one connection, which keeps its state.
    #[must_use]
    pub fn single_connection(&self) -> bool {
        self.single_connection
    }

    /// Says on a test's output that a claim is not made, instead of leaving it out in silence.
    pub(crate) fn not_claimed(&self, what: &str) {
        say(&format!("not claimed by {}: {what}", self.backend_name()));
    }

    /// One of three texts, by the family.
    #[must_use]
    pub fn pick<T>(&self, postgres: T, mysql: T, sqlite: T) -> T {
        match self.kind {
            DialectKind::Postgres => postgres,
            DialectKind::MySql => mysql,
            DialectKind::Sqlite => sqlite,
        }
    }

    /// A new pool with the options of the URL.
    ///
    /// # Errors
    ///
    /// As [`Pool::new`].
    pub fn pool(&self) -> Result<Pool> {
        self.pool_with(|_| {})
    }

    /// A new pool with other options.
    ///
    /// # Errors
    ///
    /// As [`Pool::new`].
    pub fn pool_with(&self, adjust: impl FnOnce(&mut PoolOptions)) -> Result<Pool> {
        self.pool_config(&self.url, adjust, |_| {})
    }

    /// A new pool at a URL made of the fixture's.
    ///
    /// # Errors
    ///
    /// As [`Pool::new`].
    pub fn pool_url(&self, change: impl FnOnce(&DatabaseUrl) -> Result<DatabaseUrl>) -> Result<Pool> {
        self.pool_config(&change(&self.url)?, |_| {}, |_| {})
    }

    pub(crate) fn pool_config(
        &self,
        url: &DatabaseUrl,
        adjust: impl FnOnce(&mut PoolOptions),
        hooks: impl FnOnce(&mut PoolConfig),
    ) -> Result<Pool> {
        let mut config = PoolConfig::from_url(&*self.backend, url, adjust)?;
        hooks(&mut config);
        let pool = Pool::new(config)?;
        self.made().pools.push(pool.clone());
        Ok(pool)
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// A proxy in front of the server; `None` where there is no server that listens on TCP.
    ///
    /// # Errors
    ///
    /// As [`Proxy::start`].
    pub async fn proxy(&self) -> Result<Option<Proxy>> {
        let protocol = match self.kind {
            DialectKind::Sqlite => return Ok(None),
            DialectKind::Postgres => Protocol::Postgres,
            DialectKind::MySql => Protocol::MySql,
        };
        if self.url.host().is_none_or(|host| host.starts_with('/')) {
            self.not_claimed("what a proxy does to connections, which are no TCP");
            return Ok(None);
        }
        Proxy::start(&self.url, protocol).await.map(Some)
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of the pools made so far, so that a case can drop the last handle of one.
    pub(crate) fn forget_pools(&self) {
        self.made().pools.clear();
    }

    /// A name for a table that nobody else has; the table is dropped at the end.
    #[must_use]
    pub fn table(&self, label: &str) -> String {
        let name = format!("cf_{}_{label}", unique());
        self.made().tables.push(name.clone());
        name
    }

    /// Creates a table `(id, body)` of whole numbers and texts, without keys, which simple backends have too.
    ///
    /// # Errors
    ///
    /// What the server reports.
    pub async fn notes(&self, db: &(impl Executor + ?Sized)) -> Result<String> {
        let table = self.table("notes");
        let Types { i64, text, .. } = self.types;
        db.execute(format!("CREATE TABLE {table} (id {i64}, body {text})"), ()).await?;
        Ok(table)
    }

    /// Creates a table `(id, n)` whose `id` is unique.
    ///
    /// # Errors
    ///
    /// What the server reports.
    pub async fn keyed(&self, db: &(impl Executor + ?Sized)) -> Result<String> {
        let table = self.table("keyed");
        let i64 = self.types.i64;
        db.execute(format!("CREATE TABLE {table} (id {i64} PRIMARY KEY, n {i64})"), ()).await?;
        Ok(table)
    }

    /// A query that gives `expression` after about `seconds`.
    #[must_use]
    pub fn slow(&self, expression: &str, seconds: f64) -> String {
        match self.kind {
            DialectKind::Postgres => format!("SELECT {expression} FROM pg_sleep({seconds})"),
            DialectKind::MySql => format!("SELECT {expression} FROM (SELECT SLEEP({seconds}) AS slept) AS s"),
            DialectKind::Sqlite => {
                // About a million steps a second in a debug build of SQLite, and more in others.
                let steps = (seconds * 1_500_000.0).round();
                format!(
                    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {steps:.0}) \
                     SELECT {expression} FROM (SELECT count(*) FROM c)"
                )
            }
        }
    }

    /// A query that runs for minutes unless it is stopped.
    #[must_use]
    pub fn endless(&self) -> String {
        self.slow("1", 300.0)
    }

    /// Where the case ran, without secrets.
    pub(super) fn describe(&self) -> String {
        self.url.to_string()
    }

    pub(super) async fn clean_up(&self) {
        let Made { tables, pools } = std::mem::take(&mut *self.made());
        for pool in pools {
            pool.close_now().await;
        }
        if self.folder.is_some() || self.single_connection || tables.is_empty() {
            return; // The database goes as a whole.
        }
        let Ok(pool) = self.pool_with(|options| options.max_connections = Some(1)) else { return };
        for table in tables.iter().rev() {
            if let Err(error) = pool.execute(format!("DROP TABLE IF EXISTS {table}"), ()).await {
                eprintln!("{table} is left behind: {error}");
            }
        }
        let _ = pool.close().await;
    }

    /// The server's product, such as `MariaDB`.
    ///
    /// # Errors
    ///
    /// As [`Pool::acquire`].
    pub async fn product(&self, pool: &Pool) -> Result<String> {
        Ok(pool.server_info().await?.product)
    }

    /// `name` as a quoted identifier.
    #[must_use]
    pub fn quoted(&self, pool: &Pool, name: &str) -> String {
        let mut out = String::new();
        pool.dialect().push_identifier(&mut out, name).expect("the names in the suite are sound");
        out
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A folder that goes when the case is over.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("databases_cf_{}", unique()));
        std::fs::create_dir_all(&path).expect("the temporary folder can be written");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Column types in the words of one family of servers, so that a case writes its CREATE TABLE once.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the type of a column that holds what its name says")]
#[non_exhaustive]
pub struct Types {
    pub bool: &'static str,
    pub i16: &'static str,
    pub i32: &'static str,
    pub i64: &'static str,
    /// Holds whole numbers above `i64::MAX`; on SQLite nothing does.
    pub u64: &'static str,
    pub f32: &'static str,
    pub f64: &'static str,
    /// At least 20 digits before the point and 10 after it, where the server counts digits.
    pub decimal: &'static str,
    pub text: &'static str,
    /// Text of at most 100 characters, which can be a key everywhere.
    pub short_text: &'static str,
    pub bytes: &'static str,
    pub date: &'static str,
    pub time: &'static str,
    pub datetime: &'static str,
    pub timestamp: &'static str,
    pub uuid: &'static str,
    pub json: &'static str,
    /// A primary key that the server counts up.
    pub key: &'static str,
}

impl Types {
    fn of(kind: DialectKind) -> &'static Self {
        match kind {
            DialectKind::Postgres => &Self {
                bool: "BOOLEAN",
                i16: "SMALLINT",
                i32: "INTEGER",
                i64: "BIGINT",
                u64: "NUMERIC(20)",
                f32: "REAL",
                f64: "DOUBLE PRECISION",
                decimal: "NUMERIC(40, 15)",
                text: "TEXT",
                short_text: "VARCHAR(100)",
                bytes: "BYTEA",
                date: "DATE",
                time: "TIME",
                datetime: "TIMESTAMP",
                timestamp: "TIMESTAMPTZ",
                uuid: "UUID",
                json: "JSON",
                key: "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
            },
            DialectKind::MySql => &Self {
                bool: "BOOLEAN",
                i16: "SMALLINT",
                i32: "INTEGER",
                i64: "BIGINT",
                u64: "BIGINT UNSIGNED",
                f32: "FLOAT",
                f64: "DOUBLE",
                decimal: "DECIMAL(40, 15)",
                text: "LONGTEXT",
                short_text: "VARCHAR(100)",
                bytes: "LONGBLOB",
                date: "DATE",
                time: "TIME(6)",
                datetime: "DATETIME(6)",
                timestamp: "TIMESTAMP(6) NULL",
                uuid: "CHAR(36)",
                json: "JSON",
                key: "BIGINT AUTO_INCREMENT PRIMARY KEY",
            },
            DialectKind::Sqlite => &Self {
                bool: "BOOLEAN",
                i16: "SMALLINT",
                i32: "INTEGER",
                i64: "BIGINT",
                u64: "BIGINT",
                f32: "REAL",
                f64: "REAL",
                decimal: "NUMERIC",
                text: "TEXT",
                short_text: "VARCHAR(100)",
                bytes: "BLOB",
                date: "DATE",
                time: "TIME",
                datetime: "DATETIME",
                timestamp: "TIMESTAMP",
                uuid: "TEXT",
                json: "TEXT",
                key: "INTEGER PRIMARY KEY",
            },
        }
    }
}
