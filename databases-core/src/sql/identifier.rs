//! Identifiers in SQL text: how they are quoted, and whether they stay what they are.

use std::ops::Range;

use super::dialect::{Dialect, DialectKind};
use super::error::{SqlError, SqlErrorKind, quote};
use super::lexer::{Kind, Lexer, is_word_byte};

impl Dialect {
    /// Appends `name` as one quoted identifier, with the quotes inside it doubled.
    ///
    /// The name is one part: a dot in it is a letter like any other.
    ///
    /// # Errors
    ///
    /// [`SqlErrorKind::Identifier`] if `name` is empty, holds a NUL or is longer than the server keeps; `out` is then
    /// unchanged. PostgreSQL keeps 63 bytes and would cut off the rest in silence
    /// (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html>), MySQL 64 characters
    /// (<https://dev.mysql.com/doc/refman/8.4/en/identifier-length.html>), SQLite sets no limit. MySQL has no letters beyond
    /// U+FFFF in names, and makes `?` of them (<https://dev.mysql.com/doc/refman/8.4/en/identifiers.html>).
    ///
    /// # Examples
    ///
    /// ```
    /// # use databases_core::sql::Dialect;
    /// let mut sql = String::from("SELECT * FROM ");
    /// Dialect::MYSQL.push_identifier(&mut sql, "odd`name")?;
    /// assert_eq!(sql, "SELECT * FROM `odd``name`");
    /// # Ok::<(), databases_core::sql::SqlError>(())
    /// ```
    pub fn push_identifier(self, out: &mut String, name: &str) -> Result<(), SqlError> {
        if name.is_empty() {
            return Err(SqlError::new(SqlErrorKind::Identifier, "an identifier is empty"));
        }
        if let Some(at) = name.bytes().position(|byte| byte == 0) {
            let message = format!("an identifier holds a NUL at byte {at}");
            return Err(SqlError::new(SqlErrorKind::Identifier, message));
        }
        self.check_length(name)?;
        if self.kind() == DialectKind::MySql
            && let Some((at, letter)) = name.char_indices().find(|(_, letter)| *letter > '\u{ffff}')
        {
            let letter = letter.escape_unicode();
            let message =
                format!("an identifier holds {letter} at byte {at}; MySQL has no letters beyond U+FFFF in names");
            return Err(SqlError::new(SqlErrorKind::Identifier, message));
        }
        // Backticks need no mode on MySQL; `"` is the standard, and the only quote of PostgreSQL.
        let mark = if self.kind() == DialectKind::MySql { '`' } else { '"' };
        out.reserve(name.len() + 2);
        out.push(mark);
        for letter in name.chars() {
            if letter == mark {
                out.push(mark);
            }
            out.push(letter);
        }
        out.push(mark);
        Ok(())
    }

    fn check_length(self, name: &str) -> Result<(), SqlError> {
        let (server, limit, unit, len) = match self.kind() {
            DialectKind::Postgres => ("PostgreSQL", 63, "bytes", name.len()),
            DialectKind::MySql => ("MySQL", 64, "characters", name.chars().count()),
            DialectKind::Sqlite => return Ok(()),
        };
        if len <= limit {
            return Ok(());
        }
        let start: String = name.chars().take(20).collect();
        let message =
            format!("the identifier that begins with {} has {len} {unit}; {server} keeps {limit}", quote(&start));
        Err(SqlError::new(SqlErrorKind::Identifier, message))
    }
}

/// The first of `spans`, quoted identifiers in order, that `dialect` does not read as just that.
///
/// A name in quotes is safe only where the text around it does not open a literal or comment, or prefix it.
pub(crate) fn find_loose_identifier(sql: &str, dialect: Dialect, spans: &[Range<usize>]) -> Option<SqlError> {
    let mut waiting = spans.iter().peekable();
    let mut lexer = Lexer::new(sql, dialect);
    while let Some(span) = waiting.peek() {
        // What is open at the end is told by the scanner, which points at its start.
        let token = lexer.next().ok()??;
        if token.end <= span.start {
            continue;
        }
        let itself = token.kind == Kind::Ident && token.start == span.start && token.end == span.end;
        if !itself || has_unicode_prefix(&sql[..span.start], dialect) {
            let error = SqlError::new(SqlErrorKind::Identifier, "an identifier stands in a literal or comment");
            let hint = "push it where a name can stand by itself".to_owned();
            return Some(error.at_span(sql, span.start, span.end).hinted(hint));
        }
        waiting.next();
    }
    None
}

/// Whether what follows `before` is a `U&"…"` of PostgreSQL, which reads backslashes.
fn has_unicode_prefix(before: &str, dialect: Dialect) -> bool {
    let Some(word) = before.strip_suffix("U&").or_else(|| before.strip_suffix("u&")) else { return false };
    dialect.kind() == DialectKind::Postgres && !word.bytes().next_back().is_some_and(is_word_byte)
}
