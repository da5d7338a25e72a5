//! A script to its statements.

use super::blocks::Blocks;
use super::class::StatementClass;
use super::classify::Classifier;
use super::dialect::Dialect;
use super::error::SqlError;
use super::hint;
use super::lexer::{Kind, Lexer};
use super::template::{Recent, check_nul};

/// One statement of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptStatement<'a> {
    /// Its text as it stands in the script, from its first word to its last token: without the `;` and without the white
    /// space and comments around it.
    pub sql: &'a str,
    /// Where it begins in the script, in bytes.
    pub offset: usize,
    /// What running it can change.
    pub class: StatementClass,
}

/// Splits `sql` at each `;` outside of literals and comments. Statements with nothing in them are left out.
///
/// The bodies of triggers and routines stay whole: SQLite's `CREATE TRIGGER … BEGIN … END`, MySQL's compound statements,
/// PostgreSQL's `BEGIN ATOMIC … END`. Scripts have no parameters, so `:name` and `\:` mean nothing here. `DELIMITER` is a
/// command of the mysql client, not SQL, and is not understood.
///
/// # Errors
///
/// [`SqlErrorKind::NulByte`](super::SqlErrorKind::NulByte) and [`SqlErrorKind::Unterminated`](super::SqlErrorKind::Unterminated).
///
/// # Examples
///
/// ```
/// # use databases_core::sql::{split_script, Dialect, StatementClass};
/// let script = "CREATE TABLE t (a TEXT); -- one; two\nINSERT INTO t VALUES (';');";
/// let statements = split_script(script, Dialect::SQLITE)?;
/// assert_eq!(statements.len(), 2);
/// assert_eq!(statements[1].sql, "INSERT INTO t VALUES (';')");
/// assert_eq!(statements[1].class, StatementClass::Write);
/// # Ok::<(), databases_core::sql::SqlError>(())
/// ```
pub fn split_script(sql: &str, dialect: Dialect) -> Result<Vec<ScriptStatement<'_>>, SqlError> {
    check_nul(sql)?;
    let bytes = sql.as_bytes();
    let mut lexer = Lexer::new(sql, dialect);
    let mut blocks = Blocks::new(dialect.kind());
    let mut classifier = Classifier::new(dialect.kind());
    let mut recent = Recent::new();
    let mut span: Option<(usize, usize)> = None;
    // Whether the span holds more than the marks of an executable comment.
    let mut started = false;
    let mut statements = Vec::new();
    while let Some(token) = lexer.next().map_err(|open| hint::unterminated(sql, dialect, open))? {
        if token.kind == Kind::Comment {
            continue;
        }
        let marks = matches!(token.kind, Kind::ExecOpen | Kind::ExecClose);
        if !marks {
            let (token, before) = recent.take(bytes, token);
            if blocks.feed(token, before) {
                if let Some((start, end)) = span.take().filter(|_| started) {
                    let class = classifier.end_statement(bytes);
                    statements.push(ScriptStatement { sql: &sql[start..end], offset: start, class });
                }
                started = false;
                continue;
            }
            classifier.feed(bytes, token, before);
            started = true;
        }
        span = Some((span.map_or(token.start, |(start, _)| start), token.end));
    }
    if let Some((start, end)) = span.filter(|_| started) {
        let class = classifier.end_statement(bytes);
        statements.push(ScriptStatement { sql: &sql[start..end], offset: start, class });
    }
    Ok(statements)
}
