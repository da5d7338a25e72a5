//! Prepared statements of one connection: a bounded LRU by native text, and how a text gets past the driver's lexer.

use std::borrow::Cow;
use std::sync::Arc;

use databases_core::{Error, ErrorKind, Result};
use hashlink::LruCache;
use mysql_async::{Statement, Value};
use mysql_common::named_params::ParsedNamedParams;

use crate::batch::Layout;

/// A prepared statement, and the columns of its last result.
pub(crate) struct Prepared {
    pub(crate) statement: Statement,
    pub(crate) layout: Option<Arc<Layout>>,
    /// What each parameter has been so far; `Unknown` while it was always NULL.
    types: Box<[ParameterType]>,
}

/// A parameter's type on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ParameterType {
    Unknown,
    Text,
    /// Text that is a number beyond DECIMAL, which the server takes for a double.
    LongNumber,
    Int,
    UInt,
    Float,
    DateTime,
    Time,
}

impl ParameterType {
    fn of(value: &Value) -> Self {
        match value {
            Value::NULL => Self::Unknown,
            Value::Bytes(bytes) if is_long_number(bytes) => Self::LongNumber,
            Value::Bytes(_) => Self::Text,
            Value::Int(_) => Self::Int,
            Value::UInt(_) => Self::UInt,
            Value::Float(_) | Value::Double(_) => Self::Float,
            Value::Date(..) => Self::DateTime,
            Value::Time(..) => Self::Time,
        }
    }
}

/// Whether `text` is a number that a DECIMAL of MySQL may not hold: by its digits, or perhaps by its exponent.
fn is_long_number(text: &[u8]) -> bool {
    const DECIMAL_DIGITS: usize = 65;
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.trim_ascii();
    let text = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let whole = digits(text);
    let fraction = text[whole..].strip_prefix(b".").map(digits);
    match text[whole + fraction.map_or(0, |fraction| fraction + 1)..] {
        _ if whole + fraction.unwrap_or(0) == 0 => false,
        [] => whole + fraction.unwrap_or(0) > DECIMAL_DIGITS,
        [b'e' | b'E', b'+' | b'-', ref exponent @ ..] | [b'e' | b'E', ref exponent @ ..] => {
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
        _ => false,
    }
}

impl Prepared {
    pub(crate) fn new(statement: Statement, values: &[Value]) -> Self {
        Self { statement, layout: None, types: values.iter().map(ParameterType::of).collect() }
    }

    /// Whether `values` have the types of those that the statement ran with before.
    ///
    /// MySQL since 8.0.22 gives a parameter the type of its first value and converts later ones to it, in silence: behind
    /// a float, the decimal 12345678901234567890.5 arrives as a float, and text as 0. A number as text that no DECIMAL holds
    /// makes a double of the parameter (9.7.4). Such a statement is prepared anew. NULL fixes no type. MariaDB takes each value as it comes.
    pub(crate) fn fits(&mut self, values: &[Value]) -> bool {
        self.types.len() == values.len()
            && self.types.iter_mut().zip(values).all(|(known, value)| {
                let now = ParameterType::of(value);
                if *known == ParameterType::Unknown {
                    *known = now;
                }
                now == ParameterType::Unknown || now == *known
            })
    }
}

/// Statements kept prepared. Who puts one in closes the one that falls out.
pub(crate) struct StatementCache {
    entries: LruCache<Arc<str>, Prepared>,
    capacity: usize,
}

impl StatementCache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: LruCache::new(capacity), capacity }
    }

    /// Whether it keeps anything at all.
    pub(crate) fn is_enabled(&self) -> bool {
        self.capacity > 0
    }

    pub(crate) fn get(&mut self, sql: &str) -> Option<&mut Prepared> {
        self.entries.get_mut(sql)
    }

    /// Keeps `prepared`; answers the statement to close.
    pub(crate) fn insert(&mut self, sql: Arc<str>, prepared: Prepared) -> Option<Statement> {
        let evicted = if self.entries.len() >= self.capacity { self.entries.remove_lru() } else { None };
        self.entries.insert(sql, prepared);
        evicted.map(|(_, prepared)| prepared.statement)
    }

    pub(crate) fn remove(&mut self, sql: &str) -> Option<Statement> {
        self.entries.remove(sql).map(|prepared| prepared.statement)
    }

    /// Forgets all, after a reset of the session closed them.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Takes all out, to close them.
    pub(crate) fn drain(&mut self) -> Vec<Statement> {
        let mut out = Vec::with_capacity(self.entries.len());
        while let Some((_, prepared)) = self.entries.remove_lru() {
            out.push(prepared.statement);
        }
        out
    }
}

/// Comments that the server skips and that leave the driver's lexer inside a comment, string or quoted name up to the
/// end of the text, or at least up to the next `*/` or quote.
///
/// The lexer misses the end of `/****/` (a star before the closing `*/`), and takes `--` and a control character for no
/// comment, where the server does.
const BLINDERS: [&str; 4] = ["/****/", "--\u{1}`\n", "--\u{1}'\n", "--\u{1}\"\n"];

/// `sql`, or the same with a comment before it, such that the driver sends it unchanged.
///
/// The driver reads every text that is to be prepared for `:name` once more, in its own way, and replaces what it
/// finds: `lbl:begin`, `'\' :x` under NO_BACKSLASH_ESCAPES, `/*! :x */`. There is no way around that lexer, so its own
/// gaps are used to keep it from looking, and its verdict is taken before anything is sent.
pub(crate) fn shield(sql: &str) -> Result<Cow<'_, str>> {
    if survives(sql) {
        return Ok(Cow::Borrowed(sql));
    }
    for blinder in BLINDERS {
        let text = format!("{blinder}{sql}");
        if survives(&text) {
            return Ok(Cow::Owned(text));
        }
    }
    Err(Error::new(ErrorKind::Unsupported, "the driver would take a `:` in this statement for a parameter of its own")
        .with_hint("put a space behind that `:`, or write the statement without comments behind it"))
}

/// Whether the driver leaves `sql` as it is.
fn survives(sql: &str) -> bool {
    // Without a colon it has nothing to find.
    !sql.contains(':')
        || ParsedNamedParams::parse(sql.as_bytes())
            .is_ok_and(|parsed| parsed.params().is_empty() && parsed.query() == sql.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_decimal_are_told_from_other_texts() {
        for text in ["1e100", "-1E+7", "0.5e-9", " 1e5 ", &"9".repeat(66), &format!("-0.{}", "1".repeat(65))] {
            assert!(is_long_number(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "e5",
            "1e",
            "1e5x",
            "1",
            "-1.5",
            "2024-02-29",
            "5e1ff0aa-0000",
            &"9".repeat(65),
            &"x".repeat(99),
        ] {
            assert!(!is_long_number(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn texts_that_the_driver_would_damage_get_a_comment_before_them() {
        for sql in [
            "lbl:begin end",
            r"SELECT '\', ':x'",
            "SELECT 1 --\u{1}:x",
            "SELECT /*! :x */ 1",
            "SELECT /*+ :x */ 1",
            r"SELECT 'a\\' :b",
            "SELECT ?, lbl:begin",
            "/* a */ lbl:begin /* b */ SELECT '`' */",
        ] {
            assert!(!survives(sql), "{sql}");
            let shielded = shield(sql).unwrap();
            assert!(shielded.ends_with(sql) && survives(&shielded), "{shielded}");
        }
    }

    #[test]
    fn other_texts_are_left_alone() {
        for sql in ["SELECT ?", "SELECT ':x', ?", "SELECT 1 -- :x", "SELECT `:x`", "SELECT 1:2", "SELECT @a := 1"] {
            assert!(matches!(shield(sql), Ok(Cow::Borrowed(text)) if text == sql), "{sql}");
        }
    }
}
