//! The one error type, and what a caller may decide from it.
//!
//! An error never holds a parameter value or a password in what it prints: text that a server sent and that may
//! repeat values is kept apart and reached only through [`Error::detail`].

use std::error::Error as StdError;
use std::fmt;

use crate::sql::{Dialect, ScriptStatement, Template, place, split_script};

/// The result of everything that talks to a database.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. Match on it to decide what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A unique or primary key constraint refused a row.
    UniqueViolation,
    /// A foreign key constraint refused a row.
    ForeignKeyViolation,
    /// NULL where the column allows none.
    NotNullViolation,
    /// A check constraint refused a row.
    CheckViolation,
    /// An exclusion constraint refused a row (PostgreSQL).
    ExclusionViolation,
    /// The server could not parse the statement.
    Syntax,
    /// The statement names a table that is not there.
    UndefinedTable,
    /// The statement names a column that is not there.
    UndefinedColumn,
    /// The statement calls a function that is not there, or not with these types.
    UndefinedFunction,
    /// The user may not do this.
    PermissionDenied,
    /// The server refused the login.
    Authentication,
    /// Concurrent transactions conflict; running the transaction again may succeed.
    SerializationFailure,
    /// The server broke a deadlock by ending this transaction.
    Deadlock,
    /// Waiting for a lock took too long.
    LockTimeout,
    /// The statement ran longer than its timeout.
    StatementTimeout,
    /// The statement was cancelled by somebody else.
    Cancelled,
    /// The connection broke. [`Error::effect`] says whether the statement may have run.
    Disconnected,
    /// The connection broke while COMMIT was under way: the transaction may or may not be committed.
    CommitOutcomeUnknown,
    /// An earlier statement failed, so the server refuses everything up to the rollback (PostgreSQL).
    TransactionFailed,
    /// The transaction is over: the server ended it, or this handle may no longer be used.
    TransactionEnded,
    /// The handle is in use by an open stream or an open nested transaction.
    Busy,
    /// A write to something that is read-only.
    ReadOnly,
    /// The disk, or another limit of the storage, is full.
    StorageFull,
    /// The database file is damaged or is no database.
    Corrupt,
    /// Connecting took longer than `connect_timeout`.
    ConnectTimeout,
    /// No connection could be made.
    Connect,
    /// TLS could not be agreed on.
    Tls,
    /// No connection became free within `acquire_timeout`.
    PoolTimeout,
    /// The database was closed.
    PoolClosed,
    /// The result is empty where one row was asked for.
    NoRows,
    /// A cell does not fit the Rust type asked for.
    Decode,
    /// A parameter value does not fit the server's type.
    Encode,
    /// The SQL text and the parameters given do not match.
    Parameters,
    /// The URL or an option in it is wrong.
    Url,
    /// This backend, this server or this build cannot do it.
    Unsupported,
    /// A limit of this crate or of the server was passed.
    LimitExceeded,
    /// Any other error that the server reported.
    Database,
    /// A fault of this crate or its driver.
    Internal,
}

/// Where a server sees a mistake, in the text that was sent to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NativePosition {
    /// A byte, counted from 0.
    Byte(usize),
    /// A character, counted from 1, as PostgreSQL does.
    Character(usize),
    /// Where this text begins, which runs to the end of the statement or is cut, as MySQL says. No place if the
    /// statement has it more than once.
    Near(String),
}

/// What a failed statement has done to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Nothing reached the server.
    NotSent,
    /// The server ran it and undid it.
    RolledBack,
    /// The server ran it; the error arose on our side.
    Applied,
    /// It may or may not have run.
    Unknown,
}

/// Why a call failed.
///
/// `Display` states this layer only; [`source`](StdError::source) has the rest.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    effect: Effect,
    message: String,
    code: Option<String>,
    constraint: Option<String>,
    table: Option<String>,
    columns: Vec<String>,
    detail: Option<String>,
    hint: Option<String>,
    batch_index: Option<usize>,
    native_position: Option<NativePosition>,
    line_col: Option<(usize, usize)>,
    passing: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

const _: () = assert!(size_of::<Error>() == size_of::<usize>()); // `Result<Row, Error>` stays small.

impl Error {
    /// An error of `kind` with `message`: lower case, no full stop, no parameter value.
    ///
    /// Its effect follows from the kind; [`Error::with_effect`] states another.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        use ErrorKind::*;
        let effect = match kind {
            Disconnected | CommitOutcomeUnknown | StatementTimeout | Internal => Effect::Unknown,
            NoRows | Decode => Effect::Applied,
            ConnectTimeout | Connect | Tls | PoolTimeout | PoolClosed | Encode | Parameters | Url | Unsupported
            | LimitExceeded | Busy | TransactionFailed | TransactionEnded | Authentication => Effect::NotSent,
            _ => Effect::RolledBack,
        };
        Self(Box::new(Inner {
            kind,
            effect,
            message: message.into(),
            code: None,
            constraint: None,
            table: None,
            columns: Vec::new(),
            detail: None,
            hint: None,
            batch_index: None,
            native_position: None,
            line_col: None,
            passing: false,
            source: None,
        }))
    }

    /// States another effect than the kind implies.
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.0.effect = effect;
        self
    }

    /// Adds the SQLSTATE or the native code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Adds the name of the constraint that refused the row.
    #[must_use]
    pub fn with_constraint(mut self, name: impl Into<String>) -> Self {
        self.0.constraint = Some(name.into());
        self
    }

    /// Adds the table that the error is about.
    #[must_use]
    pub fn with_table(mut self, name: impl Into<String>) -> Self {
        self.0.table = Some(name.into());
        self
    }

    /// Adds the columns that the error is about.
    #[must_use]
    pub fn with_columns<I: IntoIterator<Item = S>, S: Into<String>>(mut self, names: I) -> Self {
        self.0.columns = names.into_iter().map(Into::into).collect();
        self
    }

    /// Adds the server's own words, which may repeat values and are therefore never printed.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds which item of a batch or script failed, counted from 0.
    #[must_use]
    pub fn with_batch_index(mut self, index: usize) -> Self {
        self.0.batch_index = Some(index);
        self
    }

    /// Adds where in the text that it was sent the server sees the mistake.
    #[must_use]
    pub fn with_native_position(mut self, position: NativePosition) -> Self {
        self.0.native_position = Some(position);
        self
    }

    /// Says in the words of the user's text what a backend said of `native`, which was sent: a parameter by its name, and
    /// the server's position.
    pub(crate) fn located(mut self, template: &Template, native: &str) -> Self {
        if self.0.kind == ErrorKind::Encode
            && let Some((ordinal, why)) =
                self.0.message.strip_prefix("parameter ").and_then(|rest| rest.split_once(": "))
            && let Ok(ordinal) = ordinal.trim_start_matches('$').parse()
            && let Some(name) = template.parameter_name(native, ordinal)
        {
            self.0.message = format!("parameter `{}`: {why}", name.escape_debug());
        }
        let at = match self.0.native_position.take() {
            None => return self,
            Some(NativePosition::Byte(at)) => Some(at),
            Some(NativePosition::Near(text)) if text.is_empty() => None,
            Some(NativePosition::Near(text)) => {
                let mut found = native.match_indices(&text).map(|(at, _)| at);
                found.next().filter(|_| found.next().is_none())
            }
            Some(NativePosition::Character(ordinal)) => byte_of(native, ordinal),
        };
        if let Some(at) = at.and_then(|at| template.locate(native, at)) {
            let (line_col, shown) = template.place(at);
            self.0.line_col = Some(line_col);
            self.0.message.push_str(&shown);
        }
        self
    }

    /// Says where in `script` a backend saw the mistake: the place that the server gave, or else the statement that failed,
    /// and then without its text, which holds values.
    pub(crate) fn located_in_script(mut self, script: &str, dialect: Dialect) -> Self {
        let position = self.0.native_position.take();
        // What cannot be split was refused before.
        let statements = split_script(script, dialect).unwrap_or_default();
        let span = |statement: &ScriptStatement<'_>| statement.offset..=statement.offset + statement.sql.len();
        let failed = self.0.batch_index.and_then(|index| statements.get(index));
        let at = match position {
            Some(NativePosition::Byte(at)) => Some(at),
            Some(NativePosition::Character(ordinal)) => byte_of(script, ordinal),
            Some(NativePosition::Near(text)) if !text.is_empty() => failed.and_then(|failed| {
                // It goes on behind the statement, where the server may have left white space out.
                let goes_on = |rest: &str| rest.is_empty() || rest.trim_start().starts_with(';');
                let is_near = |here: &str| here.starts_with(&text) || text.strip_prefix(here).is_some_and(goes_on);
                let mut found = failed.sql.char_indices().filter(|(at, _)| is_near(&failed.sql[*at..]));
                let found = found.next().filter(|_| found.next().is_none());
                found.map(|(at, _)| failed.offset + at)
            }),
            _ => None,
        };
        if let Some(at) = at.filter(|at| script.is_char_boundary(*at)) {
            // PostgreSQL reads the whole script before it runs the first statement.
            let holds = |statement: &ScriptStatement<'_>| span(statement).contains(&at);
            self.0.batch_index = statements.iter().position(holds).or(self.0.batch_index);
            let (line_col, shown) = place(script, at);
            self.0.line_col = Some(line_col);
            self.0.message.push_str(&shown);
        } else if let Some(failed) = failed {
            let (line_col, _) = place(script, failed.offset);
            self.0.line_col = Some(line_col);
            let (line, column) = line_col;
            self.0.message.push_str(&format!(", in the statement at {line}:{column} of the script"));
        }
        self
    }

    /// Names the column that a backend calls a parameter, of rows that are copied into `columns`.
    pub(crate) fn of_column(mut self, columns: &[String]) -> Self {
        if self.0.kind == ErrorKind::Encode
            && let Some((ordinal, why)) =
                self.0.message.strip_prefix("parameter $").and_then(|rest| rest.split_once(": "))
            && let Ok(ordinal) = ordinal.parse::<usize>()
            && let Some(name) = ordinal.checked_sub(1).and_then(|index| columns.get(index))
        {
            self.0.message = format!("column `{}`: {why}", name.escape_debug());
        }
        self.0.native_position = None;
        self
    }

    /// Adds the error below this one. It must not print parameter values or secrets.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts `context` and a colon before the message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// The same error as another kind, its code, names and source kept.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Says of a connection that the server refused that it will take one later, as when it is starting or has too many:
    /// the pool tries again for as long as somebody waits.
    #[must_use]
    pub fn with_passing(mut self) -> Self {
        self.0.passing = true;
        self
    }

    /// Whether the server will take a connection later.
    pub(crate) fn is_passing(&self) -> bool {
        self.0.passing
    }

    /// A copy for another waiter: all but the source.
    pub(crate) fn duplicate(&self) -> Self {
        let inner = &*self.0;
        Self(Box::new(Inner {
            kind: inner.kind,
            effect: inner.effect,
            message: inner.message.clone(),
            code: inner.code.clone(),
            constraint: inner.constraint.clone(),
            table: inner.table.clone(),
            columns: inner.columns.clone(),
            detail: inner.detail.clone(),
            hint: inner.hint.clone(),
            batch_index: inner.batch_index,
            native_position: inner.native_position.clone(),
            line_col: inner.line_col,
            passing: inner.passing,
            source: None,
        }))
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The SQLSTATE (PostgreSQL), the error number (MySQL) or the extended result code (SQLite).
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The constraint that refused the row, where the server names it.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        self.0.constraint.as_deref()
    }

    /// The table that the error is about, where the server names it.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.0.table.as_deref()
    }

    /// The columns that the error is about, where the server names them.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.0.columns
    }

    /// The server's own words. **May repeat values of rows and parameters**, so it is in no `Display` and no `Debug`.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Which row of `execute_many`, or which statement of `execute_script`, failed, counted from 0.
    #[must_use]
    pub fn batch_index(&self) -> Option<usize> {
        self.0.batch_index
    }

    /// Line and column of the mistake in the SQL text as it was given, counted in characters from 1, where the server
    /// or our scanner says; for a script at least those of the statement that failed.
    #[must_use]
    pub fn line_col(&self) -> Option<(usize, usize)> {
        self.0.line_col
    }

    /// What the failed statement has done to the database.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// Whether running the whole transaction again may succeed. Never true after an unknown commit.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::SerializationFailure | ErrorKind::Deadlock | ErrorKind::LockTimeout)
    }

    /// Its kind, if it [is retryable](Self::is_retryable).
    pub(crate) fn conflict(&self) -> Option<ErrorKind> {
        self.is_retryable().then_some(self.0.kind)
    }

    /// Whether the connection is gone.
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Disconnected | ErrorKind::CommitOutcomeUnknown)
    }
}

impl fmt::Display for Error {
    // Says this layer only. Reporters walk `source()`; repeating it here prints it twice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &inner.kind).field("message", &inner.message).field("effect", &inner.effect);
        let options =
            [("code", &inner.code), ("constraint", &inner.constraint), ("table", &inner.table), ("hint", &inner.hint)];
        for (name, value) in options {
            if let Some(value) = value {
                debug.field(name, value);
            }
        }
        if !inner.columns.is_empty() {
            debug.field("columns", &inner.columns);
        }
        if let Some(index) = inner.batch_index {
            debug.field("batch_index", &index);
        }
        if let Some(source) = &inner.source {
            debug.field("source", &format_args!("{source}"));
        }
        debug.finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Where the character `ordinal` of `text` begins, counted from 1; its end counts as one.
fn byte_of(text: &str, ordinal: usize) -> Option<usize> {
    let mut starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    starts.nth(ordinal.checked_sub(1)?)
}

impl From<crate::sql::SqlError> for Error {
    fn from(error: crate::sql::SqlError) -> Self {
        let kind = match error.kind() {
            crate::sql::SqlErrorKind::TooMany => ErrorKind::LimitExceeded,
            _ => ErrorKind::Parameters,
        };
        let hint = error.hint().map(str::to_owned);
        let line_col = error.line_col();
        let mut error = Self::new(kind, error.to_string());
        error.0.line_col = line_col;
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl From<crate::url::UrlError> for Error {
    fn from(error: crate::url::UrlError) -> Self {
        Self::new(ErrorKind::Url, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detail_is_reachable_but_never_printed() {
        let error = Error::new(ErrorKind::UniqueViolation, "duplicate key")
            .with_detail("Key (email)=(secret@example.org) already exists")
            .with_constraint("users_email_key");
        assert_eq!(error.detail(), Some("Key (email)=(secret@example.org) already exists"));
        for text in [format!("{error}"), format!("{error:?}"), format!("{error:#?}")] {
            assert!(!text.contains("secret@"), "{text}");
        }
    }
}
