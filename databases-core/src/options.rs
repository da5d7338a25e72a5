//! Options of the pool and of transactions: one name each, the same in the URL and in the builder.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::url::UrlOptions;

/// Limits and times of a pool. Each field is a URL key of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolOptions {
    /// How many connections are kept open even when idle. Default 0.
    pub min_connections: usize,
    /// How many connections there are at most, counting those being opened and closed. Default 10.
    pub max_connections: Option<usize>,
    /// How long an acquire waits, connecting included. Default 30 s.
    pub acquire_timeout: Duration,
    /// How long one attempt to connect may take, the whole handshake included. Default 10 s.
    pub connect_timeout: Duration,
    /// How long a connection above `min_connections` stays open unused. Default 10 min; zero: for ever.
    pub idle_timeout: Duration,
    /// How old a connection becomes, less up to a tenth of jitter. Default 30 min; zero: for ever.
    pub max_lifetime: Duration,
    /// How long `close()` waits for connections that are in use, and a connection for its good-bye. Default 5 s.
    pub close_timeout: Duration,
    /// How long a statement may run, by our clock; `None` without a bound. Default `None`.
    pub statement_timeout: Option<Duration>,
    /// How many rows the result of a `fetch_all` may have; `None` without a bound. Default `None`.
    ///
    /// A larger one is [`ErrorKind::LimitExceeded`], and its statement is stopped. Zero allows an empty result only.
    pub max_rows: Option<usize>,
    /// How many bytes the cells of a `fetch_all` may have; `None` without a bound. Default `None`.
    ///
    /// What counts are the bytes of [`Row::get_raw`](crate::Row::get_raw), and 8 for a cell that has none: NULL, and a
    /// number on SQLite and MySQL. A result is refused by the batch, so that little more is ever in memory.
    pub max_bytes: Option<usize>,
    /// How many prepared statements a connection keeps. Default 256; zero: none.
    pub statement_cache_size: usize,
    /// Whether short statements of several callers may share a connection when there are more callers than connections,
    /// where the backend sends them together (PostgreSQL). Default true.
    pub lanes: bool,
    /// One connection in one transaction that is never committed, for tests. Default false.
    pub force_rollback: bool,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            min_connections: 0,
            max_connections: None,
            acquire_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
            max_lifetime: Duration::from_secs(1800),
            close_timeout: Duration::from_secs(5),
            statement_timeout: None,
            max_rows: None,
            max_bytes: None,
            statement_cache_size: 256,
            lanes: true,
            force_rollback: false,
        }
    }
}

impl PoolOptions {
    /// The URL keys.
    pub const KEYS: &'static [&'static str] = &[
        "min_connections",
        "max_connections",
        "acquire_timeout",
        "connect_timeout",
        "idle_timeout",
        "max_lifetime",
        "close_timeout",
        "statement_timeout",
        "max_rows",
        "max_bytes",
        "statement_cache_size",
        "lanes",
        "force_rollback",
    ];

    /// Takes the options of the pool out of a URL's; those that it does not have keep their default.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Url`] naming the key and the form it wants.
    pub fn take(options: &mut UrlOptions) -> Result<Self> {
        let default = Self::default();
        Ok(Self {
            min_connections: options.take_usize("min_connections")?.unwrap_or(default.min_connections),
            max_connections: options.take_usize("max_connections")?,
            acquire_timeout: options.take_duration("acquire_timeout")?.unwrap_or(default.acquire_timeout),
            connect_timeout: options.take_duration("connect_timeout")?.unwrap_or(default.connect_timeout),
            idle_timeout: options.take_duration("idle_timeout")?.unwrap_or(default.idle_timeout),
            max_lifetime: options.take_duration("max_lifetime")?.unwrap_or(default.max_lifetime),
            close_timeout: options.take_duration("close_timeout")?.unwrap_or(default.close_timeout),
            statement_timeout: options.take_duration("statement_timeout")?,
            max_rows: options.take_usize("max_rows")?,
            max_bytes: options.take_usize("max_bytes")?,
            statement_cache_size: options.take_usize("statement_cache_size")?.unwrap_or(default.statement_cache_size),
            lanes: options.take_bool("lanes")?.unwrap_or(default.lanes),
            force_rollback: options.take_bool("force_rollback")?.unwrap_or(default.force_rollback),
        })
    }

    /// The most connections of a pool of these options, over a connector that has only one or any number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Url`] for limits that contradict each other.
    pub fn limit(&self, single_connection: bool) -> Result<usize> {
        let single = single_connection || self.force_rollback;
        let max = self.max_connections.unwrap_or(if single { 1 } else { 10 });
        let wrong = |message: String| Err(Error::new(ErrorKind::Url, message));
        if max == 0 {
            return wrong("max_connections must be at least 1".into());
        }
        if self.min_connections > max {
            return wrong(format!("min_connections is {} and max_connections only {max}", self.min_connections));
        }
        if single && max > 1 {
            let why = if single_connection {
                "an in-memory database has exactly one connection"
            } else {
                "force_rollback has exactly one connection"
            };
            return wrong(format!("max_connections is {max}, but {why}"));
        }
        Ok(max)
    }
}

/// How strictly concurrent transactions are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// May see what others have not committed (PostgreSQL: as `ReadCommitted`).
    ReadUncommitted,
    /// Sees what others have committed.
    ReadCommitted,
    /// Sees the state at its first statement.
    RepeatableRead,
    /// As if transactions ran one after the other. What SQLite always does.
    Serializable,
}

impl Isolation {
    /// The level in SQL.
    #[must_use]
    pub fn as_sql(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "READ UNCOMMITTED",
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }
}

/// When a SQLite transaction takes the write lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LockMode {
    /// At BEGIN: the transaction cannot fail later because somebody else wrote. The default.
    Immediate,
    /// At the first write.
    Deferred,
}

/// How a transaction is opened. An option that a backend cannot keep is an error.
///
/// # Examples
///
/// ```
/// use databases_core::{Isolation, TransactionOptions};
/// let options = TransactionOptions::new().isolation(Isolation::Serializable).read_only(true).retry(3);
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionOptions {
    pub(crate) isolation: Option<Isolation>,
    pub(crate) read_only: bool,
    pub(crate) deferrable: bool,
    pub(crate) lock_mode: Option<LockMode>,
    pub(crate) retries: u32,
}

impl TransactionOptions {
    /// The server's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The isolation level; the server's default otherwise.
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// Refuses writes.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// PostgreSQL: a serializable read-only transaction that waits for a moment when it cannot fail.
    #[must_use]
    pub fn deferrable(mut self, deferrable: bool) -> Self {
        self.deferrable = deferrable;
        self
    }

    /// SQLite: takes the write lock at BEGIN (the default of a transaction that may write).
    #[must_use]
    pub fn immediate(mut self) -> Self {
        self.lock_mode = Some(LockMode::Immediate);
        self
    }

    /// SQLite: takes the write lock at the first write. What `transaction_with` runs again, because another writer was
    /// faster, takes it at BEGIN.
    #[must_use]
    pub fn deferred(mut self) -> Self {
        self.lock_mode = Some(LockMode::Deferred);
        self
    }

    /// `transaction_with` runs a clone of the closure up to `retries` more times after an error that says that
    /// running again may succeed. `begin_with` ignores it.
    #[must_use]
    pub fn retry(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// What the next attempt is opened with. A deferred transaction whose snapshot was overtaken by another writer would be
    /// overtaken by the next one just as well.
    pub(crate) fn begin_again(&mut self, conflict: ErrorKind) {
        let is_overtaken = conflict == ErrorKind::SerializationFailure && !self.read_only;
        if is_overtaken && self.lock_mode == Some(LockMode::Deferred) {
            self.lock_mode = Some(LockMode::Immediate);
        }
    }

    /// The isolation level asked for.
    #[must_use]
    pub fn get_isolation(&self) -> Option<Isolation> {
        self.isolation
    }

    /// Whether writes are refused.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether the transaction may wait for a safe moment.
    #[must_use]
    pub fn is_deferrable(&self) -> bool {
        self.deferrable
    }

    /// When the write lock is taken.
    #[must_use]
    pub fn get_lock_mode(&self) -> Option<LockMode> {
        self.lock_mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_begun_again_takes_no_lock_that_it_refuses() {
        let again = |mut options: TransactionOptions, conflict| {
            options.begin_again(conflict);
            options.get_lock_mode()
        };
        let (options, overtaken) = (TransactionOptions::new, ErrorKind::SerializationFailure);
        assert_eq!(again(options(), overtaken), None);
        assert_eq!(again(options().deferred(), overtaken), Some(LockMode::Immediate));
        assert_eq!(again(options().deferred(), ErrorKind::LockTimeout), Some(LockMode::Deferred));
        assert_eq!(again(options().deferred().read_only(true), overtaken), Some(LockMode::Deferred));
    }

    #[test]
    fn limits_that_contradict_each_other_are_errors() {
        let with = |min, max, force_rollback| PoolOptions {
            min_connections: min,
            max_connections: max,
            force_rollback,
            ..PoolOptions::default()
        };
        assert_eq!(with(0, None, false).limit(false).unwrap(), 10);
        assert_eq!(with(0, None, false).limit(true).unwrap(), 1);
        assert_eq!(with(0, None, true).limit(false).unwrap(), 1);
        for (options, single) in [
            (with(0, Some(0), false), false),
            (with(3, Some(2), false), false),
            (with(0, Some(2), false), true),
            (with(0, Some(2), true), false),
        ] {
            assert_eq!(options.limit(single).unwrap_err().kind(), ErrorKind::Url);
        }
    }
}
