//! This backend's own options, read from the URL.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use databases_core::url::{DatabaseUrl, UrlOptions};
use databases_core::{Error, ErrorKind, PoolOptions, Result};

/// The URL keys.
pub(crate) const KEYS: &[&str] = &[
    "mode",
    "journal_mode",
    "synchronous",
    "foreign_keys",
    "busy_timeout",
    "decimal",
    "cache_size",
    "inline_reads",
    "group_commit",
];

/// What may be done to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    ReadOnly,
    ReadWrite,
    Create,
}

/// What a decimal is bound as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decimals {
    /// INTEGER or REAL where that is exact, else an error.
    Number,
    /// TEXT.
    Text,
}

/// Everything that opening a connection needs; shared by the connections of a connector.
#[derive(Debug)]
pub(crate) struct Config {
    /// Absolute, so that a later change of the working directory opens no other file. `None`: in memory.
    pub(crate) path: Option<PathBuf>,
    pub(crate) mode: Mode,
    /// `None`: as it is.
    pub(crate) journal_mode: Option<&'static str>,
    pub(crate) synchronous: &'static str,
    pub(crate) foreign_keys: bool,
    pub(crate) busy_timeout: Duration,
    pub(crate) decimals: Decimals,
    /// As `PRAGMA cache_size`: pages, or KiB where negative.
    pub(crate) cache_size: Option<i32>,
    pub(crate) statement_cache_size: usize,
    /// Whether short reads run on the thread of their caller.
    pub(crate) inline_reads: bool,
    /// Whether writes that wait together share a transaction.
    pub(crate) group_commit: bool,
    pub(crate) acquire_timeout: Duration,
    /// Held while a connection looks at the journal mode and changes it: SQLite does not wait there by itself.
    pub(crate) opening: Mutex<()>,
}

impl Config {
    /// Takes this backend's options.
    pub(crate) fn take(url: &DatabaseUrl, options: &mut UrlOptions, pool: &PoolOptions) -> Result<Self> {
        let path = match url.path() {
            Some(path) => Some(absolute(path)?),
            None => None,
        };
        let mode = match options.take_enum("mode", &["ro", "rw", "rwc"])? {
            Some(_) if path.is_none() => return Err(no_effect("mode", "a database in memory")),
            Some("ro") => Mode::ReadOnly,
            Some("rw") => Mode::ReadWrite,
            _ => Mode::Create,
        };
        let journal_mode =
            options.take_enum("journal_mode", &["wal", "delete", "truncate", "persist", "memory", "off"])?;
        let journal_mode = match (journal_mode, &path, mode) {
            (Some(given), None, _) if !matches!(given, "memory" | "off") => {
                return Err(no_effect("journal_mode", "a database in memory"));
            }
            (Some(_), _, Mode::ReadOnly) => return Err(no_effect("journal_mode", "mode=ro")),
            (given, None, _) => given,
            (None, _, Mode::ReadOnly) => None,
            (given, Some(_), _) => given.or(Some("wal")),
        };
        Ok(Self {
            path,
            mode,
            journal_mode,
            synchronous: options.take_enum("synchronous", &["full", "normal", "off", "extra"])?.unwrap_or("full"),
            foreign_keys: options.take_bool("foreign_keys")?.unwrap_or(true),
            busy_timeout: options.take_duration("busy_timeout")?.unwrap_or(Duration::from_secs(5)),
            decimals: match options.take_enum("decimal", &["number", "text"])? {
                Some("text") => Decimals::Text,
                _ => Decimals::Number,
            },
            cache_size: options
                .take_with("cache_size", "a number of pages, or of KiB if negative", |value| value.parse().ok())?,
            statement_cache_size: pool.statement_cache_size,
            inline_reads: options.take_bool("inline_reads")?.unwrap_or(true),
            group_commit: options.take_bool("group_commit")?.unwrap_or(true),
            acquire_timeout: pool.acquire_timeout,
            opening: Mutex::new(()),
        })
    }

    pub(crate) fn is_memory(&self) -> bool {
        self.path.is_none()
    }

    /// Whether writes take turns: not where there is one connection, nor where none can write.
    pub(crate) fn guards_writes(&self) -> bool {
        !self.is_memory() && self.mode != Mode::ReadOnly
    }
}

fn absolute(path: &str) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        Error::new(
            ErrorKind::Url,
            format!("the path of the database, `{}`, cannot be made absolute", path.escape_debug()),
        )
        .with_source(error)
    })
}

fn no_effect(key: &str, with: &str) -> Error {
    Error::new(ErrorKind::Url, format!("option `{key}` has no effect with {with}; leave it out"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(url: &str) -> Result<Config> {
        let url: DatabaseUrl = url.parse()?;
        let mut options = UrlOptions::new(&url);
        let config = Config::take(&url, &mut options, &PoolOptions::default())?;
        options.finish(KEYS)?;
        Ok(config)
    }

    #[test]
    fn defaults_are_the_safe_ones() {
        let config = take("sqlite:a.db").unwrap();
        assert!(config.path.as_ref().unwrap().is_absolute());
        assert_eq!((config.mode, config.journal_mode, config.synchronous), (Mode::Create, Some("wal"), "full"));
        assert!(config.foreign_keys && config.guards_writes());
        let memory = take("sqlite::memory:").unwrap();
        assert_eq!((memory.journal_mode, memory.is_memory(), memory.guards_writes()), (None, true, false));
        let read_only = take("sqlite:a.db?mode=ro").unwrap();
        assert_eq!((read_only.journal_mode, read_only.guards_writes()), (None, false));
    }

    #[test]
    fn wrong_and_idle_options_are_errors() {
        for url in [
            "sqlite:a.db?mode=memory",
            "sqlite:a.db?journal_mode=WAL",
            "sqlite:a.db?synchronous=2",
            "sqlite:a.db?foreign_keys=maybe",
            "sqlite:a.db?busy_timeout=5sec",
            "sqlite:a.db?decimal=float",
            "sqlite:a.db?cache_size=big",
            "sqlite:a.db?inline_reads=always",
            "sqlite:a.db?group_commit=2",
            "sqlite:a.db?jounal_mode=wal",
            "sqlite::memory:?mode=ro",
            "sqlite::memory:?journal_mode=wal",
            "sqlite:a.db?mode=ro&journal_mode=wal",
        ] {
            assert_eq!(take(url).unwrap_err().kind(), ErrorKind::Url, "{url}");
        }
        assert_eq!(take("sqlite:a.db?cache_size=-2000").unwrap().cache_size, Some(-2000));
    }
}
