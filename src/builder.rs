//! Options of a database beyond its URL.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use databases_core::backend::Backend;
use databases_core::url::DatabaseUrl;
use databases_core::{
    AfterConnect, Connection, Error, PasswordProvider, Pool, PoolConfig, PoolOptions, Result, TypeCodec, TypeOptions,
};
use futures_core::future::BoxFuture;

use crate::database::Database;
use crate::dispatch::backend_for;

type Adjust = Box<dyn FnOnce(&mut PoolOptions) + Send>;

/// Sets the options of a [`Database`]. Made by [`Database::builder`].
///
/// An option beats the URL's. Wrong values are reported by [`connect`](Self::connect) and
/// [`connect_lazy`](Self::connect_lazy).
///
/// # Examples
///
/// ```
/// # use databases::{Database, Executor};
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> databases::Result<()> {
/// let db = Database::builder("sqlite::memory:")
///     .acquire_timeout(Duration::from_secs(3))
///     .after_connect(|conn| Box::pin(async move {
///         conn.execute("CREATE TEMP TABLE scratch (n INTEGER)", ()).await?;
///         Ok(())
///     }))
///     .connect()
///     .await?;
/// # db.fetch_val::<i64>("SELECT count(*) FROM scratch", ()).await?;
/// # Ok(()) }
/// ```
#[must_use = "a builder does nothing until connect() or connect_lazy()"]
pub struct DatabaseBuilder {
    url: Result<DatabaseUrl>,
    backends: Vec<Arc<dyn Backend>>,
    adjust: Vec<Adjust>,
    after_connect: Option<AfterConnect>,
    password_provider: Option<PasswordProvider>,
    types: TypeOptions,
}

impl DatabaseBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url: url.parse().map_err(Error::from),
            backends: Vec::new(),
            adjust: Vec::new(),
            after_connect: None,
            password_provider: None,
            types: TypeOptions::default(),
        }
    }

    fn adjust(mut self, adjust: impl FnOnce(&mut PoolOptions) + Send + 'static) -> Self {
        self.adjust.push(Box::new(adjust));
        self
    }

    fn change_url(mut self, change: impl FnOnce(&DatabaseUrl) -> Result<DatabaseUrl>) -> Self {
        self.url = self.url.and_then(|url| change(&url));
        self
    }

    /// How many connections are kept open even when idle. Default 0.
    pub fn min_connections(self, n: usize) -> Self {
        self.adjust(move |options| options.min_connections = n)
    }

    /// How many connections there are at most. Default 10; an in-memory SQLite database has exactly one.
    pub fn max_connections(self, n: usize) -> Self {
        self.adjust(move |options| options.max_connections = Some(n))
    }

    /// How long an acquire waits, connecting included. Default 30 s.
    pub fn acquire_timeout(self, timeout: Duration) -> Self {
        self.adjust(move |options| options.acquire_timeout = timeout)
    }

    /// How long one attempt to connect may take, the whole handshake included. Default 10 s.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.adjust(move |options| options.connect_timeout = timeout)
    }

    /// How long a connection above `min_connections` stays open unused. Default 10 min; zero: for ever.
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        self.adjust(move |options| options.idle_timeout = timeout)
    }

    /// How old a connection becomes, less up to a tenth of jitter. Default 30 min; zero: for ever.
    pub fn max_lifetime(self, lifetime: Duration) -> Self {
        self.adjust(move |options| options.max_lifetime = lifetime)
    }

    /// How long [`Database::close`] waits for connections in use. Default 5 s.
    pub fn close_timeout(self, timeout: Duration) -> Self {
        self.adjust(move |options| options.close_timeout = timeout)
    }

    /// How long a statement may run; it is then stopped at the server. Default: without a bound.
    pub fn statement_timeout(self, timeout: Duration) -> Self {
        self.adjust(move |options| options.statement_timeout = Some(timeout))
    }

    /// How many rows the result of a `fetch_all` may have; more are
    /// [`LimitExceeded`](databases_core::ErrorKind::LimitExceeded). Default: without a bound.
    pub fn max_rows(self, n: usize) -> Self {
        self.adjust(move |options| options.max_rows = Some(n))
    }

    /// How many bytes the cells of a `fetch_all` may have, as [`PoolOptions::max_bytes`] counts them; more are
    /// [`LimitExceeded`](databases_core::ErrorKind::LimitExceeded). Default: without a bound.
    pub fn max_bytes(self, n: usize) -> Self {
        self.adjust(move |options| options.max_bytes = Some(n))
    }

    /// How many prepared statements each connection keeps. Default 256; zero: none.
    pub fn statement_cache_size(self, n: usize) -> Self {
        self.adjust(move |options| options.statement_cache_size = n)
    }

    /// Whether short statements of several callers may share a connection when there are more callers than connections
    /// (PostgreSQL). Default true.
    pub fn lanes(self, on: bool) -> Self {
        self.adjust(move |options| options.lanes = on)
    }

    /// One connection in one transaction that is never committed: what a test does is gone with the `Database`.
    ///
    /// `begin`, `acquire` and `iterate` have the connection in turn; each call outside a transaction runs in a
    /// savepoint, so that an error undoes no more than in autocommit.
    pub fn force_rollback(self, on: bool) -> Self {
        self.adjust(move |options| options.force_rollback = on)
    }

    /// Sets any option of the URL by its name, as in `option("journal_mode", "delete")`.
    pub fn option(self, key: &str, value: impl Into<String>) -> Self {
        self.change_url(|url| Ok(url.without_option(key).with_option(key, value)?))
    }

    /// The user name.
    pub fn username(self, username: impl Into<String>) -> Self {
        self.change_url(|url| Ok(url.with_username(username)?))
    }

    /// The password, as it is: nothing to encode.
    pub fn password(self, password: impl Into<String>) -> Self {
        self.change_url(|url| Ok(url.with_password(password)?))
    }

    /// Adds a backend for its schemes; it goes before those that are compiled in.
    pub fn backend(mut self, backend: impl Backend) -> Self {
        self.backends.push(Arc::new(backend));
        self
    }

    /// Runs `f` on every new connection before anyone has it: session settings, temporary tables.
    ///
    /// An error closes the connection and is what the caller gets. With a hook, a connection whose session was changed
    /// is closed and not reset.
    pub fn after_connect<F>(mut self, f: F) -> Self
    where
        F: for<'a> Fn(&'a Connection) -> BoxFuture<'a, Result<()>> + Send + Sync + 'static,
    {
        self.after_connect = Some(Arc::new(f));
        self
    }

    /// Asks `f` for the password of each attempt to connect: tokens that expire.
    pub fn password_provider<F, Fut>(mut self, f: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String>> + Send + 'static,
    {
        self.password_provider = Some(Arc::new(move || Box::pin(f())));
        self
    }

    /// Reads and writes the values of the type `name`, as the server's catalogue calls it, by `codec` (PostgreSQL).
    ///
    /// Without a codec the values of a type of an extension are read and bound as the server's text of them.
    pub fn codec(mut self, name: impl Into<String>, codec: impl TypeCodec) -> Self {
        self.types.codecs.insert(name, codec);
        self
    }

    /// Looks these types up when a connection is opened and not when a statement first needs them (PostgreSQL): enums,
    /// domains, composites, types of extensions; names as in SQL, `mood` or `app.mood`.
    pub fn preload_types(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.types.preload.extend(names.into_iter().map(Into::into));
        self
    }

    /// Makes the database and opens its first connection.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Url`](crate::ErrorKind::Url) for a wrong URL or option,
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a backend that is not compiled in, and why no
    /// connection could be made.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves nothing behind.
    pub async fn connect(self) -> Result<Database> {
        let database = self.connect_lazy()?;
        database.pool().connect().await?;
        Ok(database)
    }

    /// Makes the database; the first use connects. No I/O.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), less those of connecting.
    pub fn connect_lazy(self) -> Result<Database> {
        let url = self.url?;
        let backend = backend_for(&url, &self.backends)?;
        let mut config = PoolConfig::from_url(&*backend, &url, |options| {
            for adjust in self.adjust {
                adjust(options);
            }
        })?;
        config.after_connect = self.after_connect;
        config.password_provider = self.password_provider;
        config.types = self.types;
        Ok(Database::new(Pool::new(config)?, url))
    }
}

impl fmt::Debug for DatabaseBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseBuilder").field("url", &self.url).finish_non_exhaustive()
    }
}
