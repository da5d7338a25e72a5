//! Reading a URL's options by type, once each, and refusing what is left over.

use std::{fmt, str::FromStr, time::Duration};

use super::{DatabaseUrl, UrlError, error::REDACTED, is_secret_key};

/// Longest duration an option can give: 10 years. A clock that overflows panics; this one cannot.
const MAX_DURATION: Duration = Duration::from_secs(87_600 * 60 * 60);

/// What others call our options.
const ALIASES: &[(&str, &str)] = &[
    ("poolsize", "max_connections"),
    ("poolmax", "max_connections"),
    ("maxsize", "max_connections"),
    ("maxpoolsize", "max_connections"),
    ("connectionlimit", "max_connections"),
    ("poolmin", "min_connections"),
    ("minsize", "min_connections"),
    ("minpoolsize", "min_connections"),
    ("minidle", "min_connections"),
    ("pooltimeout", "acquire_timeout"),
    ("poolrecycle", "max_lifetime"),
    ("connectiontimeout", "connect_timeout"),
    ("logintimeout", "connect_timeout"),
    ("commandtimeout", "statement_timeout"),
    ("socket", "host"),
    ("unixsock", "host"),
    ("unixsocket", "host"),
    ("ssl", "sslmode"),
    ("tls", "sslmode"),
    ("usessl", "sslmode"),
    ("requiressl", "sslmode"),
    ("sslca", "sslrootcert"),
    ("appname", "application_name"),
];

/// The options of a URL that nobody has read yet.
///
/// A backend takes each option it knows, in the type it needs, and ends with [`finish`](Self::finish), which refuses what
/// is left: an option that is silently dropped is how `sslmode=verify-full` becomes no TLS at all.
///
/// Every `take_…` answers `None` for an option that the URL does not have. Debug redacts secrets.
///
/// # Examples
///
/// ```
/// use databases_core::url::{DatabaseUrl, UrlOptions};
/// # fn main() -> Result<(), databases_core::url::UrlError> {
/// let url: DatabaseUrl = "postgres://localhost/app?sslmode=require&poolsize=5".parse()?;
/// let mut options = UrlOptions::new(&url);
/// assert_eq!(options.take_enum("sslmode", &["disable", "require"])?, Some("require"));
/// assert_eq!(options.take_u32("max_connections")?, None);
/// let error = options.finish(&["sslmode", "max_connections"]).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "unknown option `poolsize`; did you mean `max_connections`? known options: `sslmode`, `max_connections`"
/// );
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct UrlOptions {
    left: Vec<(String, String)>,
}

impl UrlOptions {
    /// Copies the options of `url`.
    pub fn new(url: &DatabaseUrl) -> Self {
        Self { left: url.options.clone() }
    }

    /// Takes option `key` as text.
    pub fn take_str(&mut self, key: &str) -> Option<String> {
        let index = self.left.iter().position(|(k, _)| k == key)?;
        Some(self.left.remove(index).1)
    }

    /// Takes option `key` as what `read` makes of it; `expected` names the accepted forms, for the error.
    ///
    /// # Errors
    ///
    /// [`UrlError::bad_value`] if `read` answers `None`.
    pub fn take_with<T>(
        &mut self,
        key: &str,
        expected: impl fmt::Display,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, UrlError> {
        let Some(value) = self.take_str(key) else {
            return Ok(None);
        };
        match read(&value) {
            Some(read) => Ok(Some(read)),
            None => Err(UrlError::bad_value(key, &value, expected)),
        }
    }

    /// Takes option `key` as a switch: true, on, 1, yes or false, off, 0, no, in any case.
    ///
    /// # Errors
    ///
    /// If the value is another word.
    pub fn take_bool(&mut self, key: &str) -> Result<Option<bool>, UrlError> {
        const EXPECTED: &str = "true, on, 1, yes, false, off, 0 or no";
        self.take_with(key, EXPECTED, |value| match value.to_ascii_lowercase().as_str() {
            "true" | "on" | "1" | "yes" => Some(true),
            "false" | "off" | "0" | "no" => Some(false),
            _ => None,
        })
    }

    /// Takes option `key` as a whole number of 32 bits.
    ///
    /// # Errors
    ///
    /// If the value is anything but digits, or too large.
    pub fn take_u32(&mut self, key: &str) -> Result<Option<u32>, UrlError> {
        self.take_number(key, u32::MAX)
    }

    /// Takes option `key` as a whole number of 64 bits.
    ///
    /// # Errors
    ///
    /// If the value is anything but digits, or too large.
    pub fn take_u64(&mut self, key: &str) -> Result<Option<u64>, UrlError> {
        self.take_number(key, u64::MAX)
    }

    /// Takes option `key` as a whole number that can be a size in memory.
    ///
    /// # Errors
    ///
    /// If the value is anything but digits, or too large.
    pub fn take_usize(&mut self, key: &str) -> Result<Option<usize>, UrlError> {
        self.take_number(key, usize::MAX)
    }

    /// Takes option `key` as a time of up to 10 years: `5` and `5s` are seconds; the other suffixes are `ms`, `m`, `h`.
    ///
    /// # Errors
    ///
    /// If the value is written in any other way, or longer.
    pub fn take_duration(&mut self, key: &str) -> Result<Option<Duration>, UrlError> {
        const EXPECTED: &str =
            "whole seconds or a whole number with ms, s, m or h, such as 30, 500ms or 5m, up to 87600h";
        self.take_with(key, EXPECTED, duration)
    }

    /// Takes option `key` as one of `names`, spelled exactly so.
    ///
    /// # Errors
    ///
    /// If the value is none of `names`.
    pub fn take_enum<'a>(&mut self, key: &str, names: &[&'a str]) -> Result<Option<&'a str>, UrlError> {
        self.take_with(key, format_args!("one of {}", list(names)), |value| {
            names.iter().copied().find(|name| *name == value)
        })
    }

    /// Ends the reading; `known` is every key that could have been taken.
    ///
    /// # Errors
    ///
    /// If an option is left over: names it, the known key it may have been meant for, and all known keys.
    pub fn finish(self, known: &[&str]) -> Result<(), UrlError> {
        let Some((key, _)) = self.left.first() else {
            return Ok(());
        };
        if known.contains(&key.as_str()) {
            return Err(UrlError::new(format!("option `{key}` has no effect in this URL; leave it out")));
        }
        if is_secret_key(key) {
            let message = format!("unknown option `{key}`; a password stands before the host: user:password@host");
            return Err(UrlError::new(message));
        }
        let meant = nearest(key, known).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let known = match known {
            [] => "there are no options here".to_owned(),
            known => format!("known options: {}", list(known)),
        };
        Err(UrlError::new(format!("unknown option `{key}`; {meant}{known}")))
    }

    fn take_number<T: FromStr + fmt::Display>(&mut self, key: &str, max: T) -> Result<Option<T>, UrlError> {
        self.take_with(key, format_args!("a whole number from 0 to {max}"), |value| digits(value)?.parse().ok())
    }
}

impl fmt::Debug for UrlOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.left.iter().map(|(key, value)| match is_secret_key(key) {
            true => (key, REDACTED),
            false => (key, value.as_str()),
        });
        f.debug_map().entries(shown).finish()
    }
}

/// `text`, unless it has anything but digits: `from_str` alone would take `+5`.
fn digits(text: &str) -> Option<&str> {
    text.bytes().all(|b| b.is_ascii_digit()).then_some(text)
}

fn duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "" | "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(60 * 60)?),
        _ => return None,
    };
    (duration <= MAX_DURATION).then_some(duration)
}

fn list(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// The known key that `key` was most likely meant for: another library's name for it, a slip of the pen, a part of it.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |name: &str| name.replace(['_', '-', '.'], "");
    let key = plain(key);
    let alias = ALIASES.iter().find(|(other, _)| *other == key);
    if let Some((_, ours)) = alias
        && let Some(found) = known.iter().find(|name| *name == ours)
    {
        return Some(found);
    }
    // Two slips in a word of three letters make another word.
    let close = |name: &str| {
        let distance = edit_distance(&key, name);
        (distance <= 2 && distance * 2 < key.len()).then_some(distance)
    };
    let slip =
        known.iter().filter_map(|name| Some((close(&plain(name))?, *name))).min_by_key(|(distance, _)| *distance);
    if let Some((_, name)) = slip {
        return Some(name);
    }
    known.iter().copied().find(|name| {
        let name = plain(name);
        (key.len() >= 3 && name.contains(&key)) || (name.len() >= 3 && key.contains(&name))
    })
}

/// How many letters to insert, delete or replace to get from `a` to `b` (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    // Row by row: `row[j]` is the distance from what was read of `a` to the first `j` bytes of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let replaced = diagonal + usize::from(x != y);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
