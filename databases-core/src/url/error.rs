//! What is wrong with a URL, said without quoting any part that can hold a secret.

use std::{borrow::Cow, error, fmt};

/// How much of a bad value an error quotes.
const QUOTED_CHARS: usize = 40;

/// What shows in place of a secret.
pub(super) const REDACTED: &str = "***";

/// Why a text is not a database URL, or why an option of one cannot be used.
///
/// Says what is wrong and what would be right. It may name an option's key; it never holds a password, the value of an
/// option that looks secret ([`is_secret_key`]), or a part of the URL into which a misplaced `:`, `@`, `/` or `?` can have
/// moved a piece of the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError {
    message: Cow<'static, str>,
}

impl UrlError {
    /// Makes an error that says `message`: lower case, no full stop, no secret.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into() }
    }

    /// Makes the error for option `key`, whose `value` is not what was `expected`, such as `"a whole number"`.
    ///
    /// Quotes the value, shortened and with control characters escaped, unless the key looks secret.
    pub fn bad_value(key: &str, value: &str, expected: impl fmt::Display) -> Self {
        if is_secret_key(key) {
            return Self::new(format!("option `{key}` has a value that cannot be used; expected {expected}"));
        }
        let shown: String = value.chars().take(QUOTED_CHARS).collect();
        let more = if shown.len() < value.len() { "…" } else { "" };
        let shown = shown.escape_debug();
        Self::new(format!("option `{key}` cannot be `{shown}{more}`; expected {expected}"))
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for UrlError {}

/// Tells whether the value of option `key` is to be kept out of logs and errors.
///
/// Rather one too many: `passfile` counts as secret, though its value is only a path.
pub fn is_secret_key(key: &str) -> bool {
    // `pas`: also where it is misspelt.
    const PARTS: [&str; 6] = ["pas", "pwd", "secret", "token", "credential", "private"];
    const NAMES: [&str; 3] = ["key", "hexkey", "apikey"];
    let key = key.to_ascii_lowercase();
    PARTS.iter().any(|part| key.contains(part))
        || NAMES.contains(&key.as_str())
        || key.ends_with("_key")
        || key.ends_with("-key")
}
