//! SQLite's errors as ours: the kind by the extended result code, the names out of the message.
//!
//! What SQLite says while it prepares a statement repeats only the statement's text. What it says while the statement
//! runs can repeat values (`RAISE`, full-text queries, paths given to ATTACH), so that goes to the detail, which is
//! never printed, unless it has one of the forms that hold names alone and the names stand in the statement's text: a
//! full-text query, which is a value, has column names of its own.

use databases_core::{Effect, Error, ErrorKind, NativePosition};
use rusqlite::ffi;

/// When the error arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Opening the file and setting the session up.
    Open,
    /// Before the statement ran.
    Prepare,
    /// While it ran.
    Run,
}

/// What is known of the statement that failed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct About<'a> {
    /// Its text, or that of the script.
    pub(crate) sql: &'a str,
    /// The table that it changes, where its text tells.
    pub(crate) table: Option<&'a str>,
}

/// Translates `error`.
pub(crate) fn from_sqlite(error: rusqlite::Error, stage: Stage, about: About<'_>) -> Error {
    match error {
        rusqlite::Error::SqliteFailure(error, message) => from_code(error.extended_code, message, stage, about),
        rusqlite::Error::SqlInputError { error, msg, offset, .. } => {
            let error = from_code(error.extended_code, Some(msg), stage, about);
            match usize::try_from(offset) {
                Ok(offset) => error.with_native_position(NativePosition::Byte(offset)),
                Err(_) => error, // SQLite does not know.
            }
        }
        rusqlite::Error::MultipleStatement => several_statements(),
        rusqlite::Error::NulError(_) | rusqlite::Error::InvalidPath(_) => {
            Error::new(ErrorKind::Connect, "the path of the database holds a NUL or is not UTF-8")
        }
        other => Error::new(ErrorKind::Internal, "the driver refused a call").with_detail(other.to_string()),
    }
}

/// The error of a text with more than one statement.
pub(crate) fn several_statements() -> Error {
    Error::new(ErrorKind::Parameters, "the text holds more than one statement")
        .with_hint("execute_script runs several statements, without parameters")
}

/// The error of a text without a statement.
pub(crate) fn no_statement() -> Error {
    Error::new(ErrorKind::Syntax, "the text holds no statement")
}

fn from_code(code: i32, message: Option<String>, stage: Stage, about: About<'_>) -> Error {
    let message = message.unwrap_or_default();
    let (kind, said) = match code {
        ffi::SQLITE_ERROR => match read_names(&message) {
            Some(names) if stage != Stage::Run || names.stand_in(about.sql) => {
                return names.into_error().with_code(code.to_string());
            }
            _ if stage == Stage::Run && !holds_no_value(&message, about.sql) => (ErrorKind::Database, None),
            _ => (ErrorKind::Database, Some(message.as_str())),
        },
        _ => (kind_of(code, stage), None),
    };
    let mut error = match said {
        Some(said) => Error::new(kind, said),
        None => match name_constraint(kind, code, &message, about.table) {
            Some(named) => named,
            None => {
                let words = describe(code);
                // `datatype mismatch` is all that SQLite says, too.
                let is_said = message.is_empty() || words == message;
                let error = Error::new(kind, words);
                if is_said { error } else { error.with_detail(message.as_str()) }
            }
        },
    };
    if kind == ErrorKind::LockTimeout {
        error = error.with_hint("another process or connection holds the lock; busy_timeout says how long to wait");
    }
    if stage == Stage::Run && kind == ErrorKind::LimitExceeded {
        error = error.with_effect(Effect::RolledBack);
    }
    error.with_code(code.to_string())
}

/// Whether this is what SQLite says of a running statement in fixed words, or with a name out of its text.
fn holds_no_value(message: &str, sql: &str) -> bool {
    const SAID: [&str; 8] = [
        "integer overflow",
        "malformed JSON",
        "abort due to ROLLBACK",
        "cannot start a transaction within a transaction",
        "cannot commit - no transaction is active",
        "cannot rollback - no transaction is active",
        "cannot VACUUM from within a transaction",
        "cannot change into wal mode from within a transaction",
    ];
    SAID.contains(&message) || message.strip_prefix("no such savepoint: ").is_some_and(|name| stands_in(name, sql))
}

/// Whether `name` is in the text, not only as a part of a longer word.
fn stands_in(name: &str, sql: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$'));
    let (name, sql) = (name.to_ascii_lowercase(), sql.to_ascii_lowercase());
    !name.is_empty()
        && sql.match_indices(&name).any(|(at, _)| {
            let (before, behind) = (sql[..at].chars().next_back(), sql[at + name.len()..].chars().next());
            let runs_on = |outside, edge| is_word(outside) && is_word(edge);
            !runs_on(before, name.chars().next()) && !runs_on(behind, name.chars().next_back())
        })
}

fn kind_of(code: i32, stage: Stage) -> ErrorKind {
    match code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            return ErrorKind::UniqueViolation;
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => return ErrorKind::ForeignKeyViolation,
        ffi::SQLITE_CONSTRAINT_NOTNULL => return ErrorKind::NotNullViolation,
        ffi::SQLITE_CONSTRAINT_CHECK => return ErrorKind::CheckViolation,
        ffi::SQLITE_BUSY_SNAPSHOT => return ErrorKind::SerializationFailure,
        _ => {}
    }
    match code & 0xff {
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL => ErrorKind::LockTimeout,
        ffi::SQLITE_READONLY => ErrorKind::ReadOnly,
        ffi::SQLITE_FULL => ErrorKind::StorageFull,
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => ErrorKind::Corrupt,
        ffi::SQLITE_INTERRUPT => ErrorKind::Cancelled,
        ffi::SQLITE_PERM | ffi::SQLITE_AUTH => ErrorKind::PermissionDenied,
        ffi::SQLITE_TOOBIG => ErrorKind::LimitExceeded,
        // Later it is ATTACH, or the log of a session that has long been open.
        ffi::SQLITE_CANTOPEN if stage == Stage::Open => ErrorKind::Connect,
        ffi::SQLITE_MISUSE | ffi::SQLITE_RANGE | ffi::SQLITE_INTERNAL => ErrorKind::Internal,
        _ => ErrorKind::Database,
    }
}

/// What a code means, in words that hold no value.
fn describe(code: i32) -> String {
    let words = match code {
        ffi::SQLITE_CONSTRAINT_TRIGGER => "a trigger refused the change",
        ffi::SQLITE_CONSTRAINT_DATATYPE => "a value does not have the type of its STRICT column",
        ffi::SQLITE_BUSY_SNAPSHOT => "somebody else wrote after this transaction had read",
        _ => ffi::code_to_str(code),
    };
    words.to_owned()
}

/// Reads the names out of `UNIQUE constraint failed: t.a, t.b` and its like; `None` for every other form.
fn name_constraint(kind: ErrorKind, code: i32, message: &str, table: Option<&str>) -> Option<Error> {
    let error = || Error::new(kind, message);
    let named = message.split_once(" constraint failed: ").map(|(_, names)| names);
    match (code, named) {
        (ffi::SQLITE_CONSTRAINT_CHECK, Some(name)) => Some(with_table(error().with_constraint(name), table)),
        (
            ffi::SQLITE_CONSTRAINT_UNIQUE
            | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            | ffi::SQLITE_CONSTRAINT_ROWID
            | ffi::SQLITE_CONSTRAINT_NOTNULL,
            Some(names),
        ) => match names.strip_prefix("index '").and_then(|name| name.strip_suffix('\'')) {
            // An index on an expression.
            Some(index) => Some(with_table(error().with_constraint(index), table)),
            None => Some(with_columns(error(), names, table)),
        },
        (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, _) if message == "FOREIGN KEY constraint failed" => {
            Some(with_table(error(), table))
        }
        (ffi::SQLITE_CONSTRAINT_DATATYPE, _) if message.starts_with("cannot store ") => {
            message.rsplit_once(" column ").map(|(_, column)| with_columns(error(), column, table))
        }
        _ => None,
    }
}

/// `t.a, t.b`: a table and its columns. Names may hold dots; `known`, the statement's table, tells which is which.
fn with_columns(error: Error, names: &str, known: Option<&str>) -> Error {
    let known = known.map(unquoted);
    let mut table = None;
    let mut columns = Vec::new();
    for name in names.split(", ") {
        let behind = known.as_ref().and_then(|known| name.strip_prefix(known.as_str())?.strip_prefix('.'));
        match (behind, name.split_once('.')) {
            (Some(column), _) => {
                table = known.clone();
                columns.push(column);
            }
            (None, Some((of, column))) => {
                table = Some(of.to_owned());
                columns.push(column);
            }
            (None, None) => columns.push(name),
        }
    }
    let error = error.with_columns(columns);
    match table {
        Some(table) => error.with_table(table),
        None => error,
    }
}

fn with_table(error: Error, table: Option<&str>) -> Error {
    match table {
        Some(table) => error.with_table(unquoted(table)),
        None => error,
    }
}

/// The last part of a name as it stands in SQL, without its quotes.
pub(crate) fn unquoted(name: &str) -> String {
    let name = name.trim();
    let open = match name.chars().next_back() {
        Some(quote @ ('"' | '`' | '\'')) => quote,
        Some(']') => '[',
        _ => return name.rsplit('.').next().unwrap_or(name).trim().to_owned(),
    };
    // The opening quote is the one that an even number of quotes, or none, stands behind.
    let inner = &name[..name.len() - 1];
    let start = if open == '[' {
        inner.rfind('[')
    } else {
        let mut end = inner.len();
        loop {
            let Some(at) = inner[..end].rfind(open) else { break None };
            if inner[..at].ends_with(open) {
                end = at - 1;
            } else {
                break Some(at);
            }
        }
    };
    let inner = start.map_or(inner, |start| &inner[start + 1..]);
    if open == '[' { inner.to_owned() } else { inner.replace(&String::from_iter([open, open]), &open.to_string()) }
}

/// What an error of code 1 is about, read from its message; only forms that hold names and no values.
#[derive(Debug)]
struct Names<'a> {
    kind: ErrorKind,
    message: &'a str,
    /// What stands in the message beside SQLite's own words.
    said: &'a str,
    table: Option<&'a str>,
    column: Option<&'a str>,
}

impl Names<'_> {
    /// Whether the message says nothing that is not in the statement's text, but for the schema that SQLite adds.
    fn stand_in(&self, sql: &str) -> bool {
        let is_known = |name: &str| matches!(name, "main" | "temp") || stands_in(name, sql);
        match self.said.rsplit_once('.') {
            _ if self.said.is_empty() || stands_in(self.said, sql) => true,
            Some((before, name)) => stands_in(name, sql) && before.split('.').all(is_known),
            None => match (self.table, self.column) {
                // `table t has no column named c`
                (Some(table), Some(column)) => stands_in(table, sql) && stands_in(column, sql),
                _ => false,
            },
        }
    }

    fn into_error(self) -> Error {
        let mut error = Error::new(self.kind, self.message);
        if let Some(table) = self.table {
            error = error.with_table(table);
        }
        if let Some(column) = self.column {
            error = error.with_columns([column]);
        }
        error
    }
}

fn read_names(message: &str) -> Option<Names<'_>> {
    let names = |kind, said, table, column| Some(Names { kind, message, said, table, column });
    let after = |prefix| message.strip_prefix(prefix);
    let last = |name: &'_ str| name.rfind('.').map_or(0, |dot| dot + 1);
    if let Some(said) = after("no such table: ").or_else(|| after("no such view: ")) {
        // A view on a table that is gone: `no such table: main.t`.
        return names(ErrorKind::UndefinedTable, said, Some(&said[last(said)..]), None);
    }
    if let Some(said) = after("no such column: ") {
        let said = match said.strip_prefix('"') {
            // `no such column: "x" - should this be a string literal in single-quotes?`
            Some(quoted) => quoted.split('"').next().unwrap_or(quoted),
            None => said,
        };
        let (table, column) = match said.rsplit_once('.') {
            Some((table, column)) => (Some(&table[last(table)..]), column),
            None => (None, said),
        };
        return names(ErrorKind::UndefinedColumn, said, table, Some(column));
    }
    if let Some(said) = after("table ")
        && let Some((table, column)) = said.split_once(" has no column named ")
    {
        return names(ErrorKind::UndefinedColumn, said, Some(table), Some(column));
    }
    if let Some(said) = after("no such function: ").or_else(|| after("wrong number of arguments to function ")) {
        let said = said.strip_suffix("()").unwrap_or(said);
        return names(ErrorKind::UndefinedFunction, said, None, None);
    }
    if let Some(said) = after("near ").and_then(|said| said.strip_suffix(": syntax error")) {
        return names(ErrorKind::Syntax, unquote(said), None, None);
    }
    if let Some(said) = after("unrecognized token: ").or_else(|| after("syntax error ")) {
        return names(ErrorKind::Syntax, unquote(said), None, None);
    }
    if message == "incomplete input" { names(ErrorKind::Syntax, "", None, None) } else { None }
}

/// Without the quotes that SQLite puts around a token.
fn unquote(said: &str) -> &str {
    said.strip_prefix('"').and_then(|said| said.strip_suffix('"')).unwrap_or(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: i32, message: &str, stage: Stage) -> Error {
        from_code(code, Some(message.to_owned()), stage, About { sql: "", table: Some("\"other\".[t 1]") })
    }

    #[test]
    fn constraints_are_named() {
        for (code, message, kind, table, columns, constraint) in [
            (2067, "UNIQUE constraint failed: t.a, t.b", ErrorKind::UniqueViolation, "t", &["a", "b"][..], None),
            (2067, "UNIQUE constraint failed: index 'i'", ErrorKind::UniqueViolation, "t 1", &[], Some("i")),
            (1555, "UNIQUE constraint failed: t.id", ErrorKind::UniqueViolation, "t", &["id"], None),
            (1299, "NOT NULL constraint failed: t.c", ErrorKind::NotNullViolation, "t", &["c"], None),
            (275, "CHECK constraint failed: positive", ErrorKind::CheckViolation, "t 1", &[], Some("positive")),
            (787, "FOREIGN KEY constraint failed", ErrorKind::ForeignKeyViolation, "t 1", &[], None),
            (3091, "cannot store TEXT value in INTEGER column t.n", ErrorKind::Database, "t", &["n"], None),
            (1299, "NOT NULL constraint failed: t 1.a.b", ErrorKind::NotNullViolation, "t 1", &["a.b"], None),
        ] {
            let error = of(code, message, Stage::Run);
            assert_eq!(error.kind(), kind, "{message}");
            assert_eq!((error.table(), error.constraint()), (Some(table), constraint));
            assert_eq!(error.columns(), columns);
            assert_eq!(error.to_string(), message);
            assert_eq!(error.code(), Some(&*code.to_string()));
        }
    }

    #[test]
    fn undefined_names_are_told_apart() {
        for (message, kind, table, column) in [
            ("no such table: x", ErrorKind::UndefinedTable, Some("x"), None),
            ("no such table: main.x", ErrorKind::UndefinedTable, Some("x"), None),
            ("no such column: c", ErrorKind::UndefinedColumn, None, Some("c")),
            ("no such column: t.c", ErrorKind::UndefinedColumn, Some("t"), Some("c")),
            (
                "no such column: \"c\" - should this be a string literal in single-quotes?",
                ErrorKind::UndefinedColumn,
                None,
                Some("c"),
            ),
            ("table t has no column named c", ErrorKind::UndefinedColumn, Some("t"), Some("c")),
            ("no such function: f", ErrorKind::UndefinedFunction, None, None),
            ("near \"FROM\": syntax error", ErrorKind::Syntax, None, None),
            ("incomplete input", ErrorKind::Syntax, None, None),
            ("unrecognized token: \"#\"", ErrorKind::Syntax, None, None),
            ("table t already exists", ErrorKind::Database, None, None),
        ] {
            let error = of(1, message, Stage::Prepare);
            assert_eq!((error.kind(), error.table()), (kind, table), "{message}");
            assert_eq!(error.columns().first().map(String::as_str), column, "{message}");
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn what_may_repeat_a_value_is_only_in_the_detail() {
        for (code, message) in [
            (1, "fts5: syntax error near \"hunter2\""),
            (14, "unable to open database: /home/hunter2"),
            (1811, "hunter2 is not welcome"),
            (1, "malformed JSON: hunter2"),
            (1, "no such column: hunter2"),
            (1, "no such column: t.hunter2"),
            (1, "no such table: main.hunter2"),
            (1, "table hunter2 has no column named t"),
            (1, "no such function: hunter2"),
            (1, "near \"hunter2\": syntax error"),
            (1, "unrecognized token: \"hunter2\""),
            (1, "no such savepoint: hunter2"),
        ] {
            let error = of(code, message, Stage::Run);
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"));
            assert_eq!(error.detail(), Some(message));
            assert!(error.columns().is_empty() && error.table().is_none());
        }
    }

    #[test]
    fn the_detail_does_not_repeat_what_the_message_says() {
        for (code, message) in [(20, "datatype mismatch"), (5, "database is locked"), (20, "")] {
            let error = of(code, message, Stage::Run);
            assert!(error.to_string().contains(message) && error.detail().is_none(), "{error} {:?}", error.detail());
        }
    }

    #[test]
    fn what_stands_in_the_text_is_told_of_a_running_statement() {
        let of = |message: &str, sql| from_code(1, Some(message.to_owned()), Stage::Run, About { sql, table: None });
        for (message, sql, kind) in [
            ("no such table: main.t", "SELECT * FROM T", ErrorKind::UndefinedTable),
            ("no such table: aux.t", "SELECT * FROM aux.t", ErrorKind::UndefinedTable),
            ("no such column: t.c", "SELECT t.c FROM t", ErrorKind::UndefinedColumn),
            ("no such column: a b", "SELECT \"a b\" FROM t", ErrorKind::UndefinedColumn),
            ("table t has no column named c", "INSERT INTO t (c) VALUES (1)", ErrorKind::UndefinedColumn),
            ("no such function: f", "SELECT f(1)", ErrorKind::UndefinedFunction),
            ("wrong number of arguments to function f()", "SELECT f(1)", ErrorKind::UndefinedFunction),
            ("near \"(\": syntax error", "SELECT ((", ErrorKind::Syntax),
            ("no such savepoint: a", "RELEASE a", ErrorKind::Database),
        ] {
            let error = of(message, sql);
            assert_eq!((error.kind(), &*error.to_string()), (kind, message));
        }
        for (message, sql) in [
            ("no such column: pass", "SELECT password FROM t"),
            ("no such column: word", "SELECT password FROM t"),
            ("no such table: aux.t", "SELECT * FROM t"),
        ] {
            let error = of(message, sql);
            assert_eq!((error.kind(), error.detail()), (ErrorKind::Database, Some(message)));
            assert!(error.columns().is_empty() && error.table().is_none());
        }
    }

    #[test]
    fn codes_have_kinds() {
        for (code, kind) in [
            (5, ErrorKind::LockTimeout),
            (6, ErrorKind::LockTimeout),
            (261, ErrorKind::LockTimeout),
            (517, ErrorKind::SerializationFailure),
            (8, ErrorKind::ReadOnly),
            (9, ErrorKind::Cancelled),
            (11, ErrorKind::Corrupt),
            (13, ErrorKind::StorageFull),
            (14, ErrorKind::Database),
            (15, ErrorKind::LockTimeout),
            (18, ErrorKind::LimitExceeded),
            (23, ErrorKind::PermissionDenied),
            (26, ErrorKind::Corrupt),
            (2579, ErrorKind::UniqueViolation),
            (10, ErrorKind::Database),
        ] {
            assert_eq!(of(code, "", Stage::Run).kind(), kind, "{code}");
        }
        assert_eq!(of(14, "", Stage::Open).kind(), ErrorKind::Connect);
    }

    #[test]
    fn names_lose_their_quotes() {
        for (raw, name) in [
            ("t", "t"),
            ("main.t", "t"),
            ("\"a.b\"", "a.b"),
            ("main.\"a\"\"b\"", "a\"b"),
            ("[a].[b c]", "b c"),
            ("`x`", "x"),
            ("\"a\".t", "t"),
            ("\"\"", ""),
        ] {
            assert_eq!(unquoted(raw), name, "{raw}");
        }
    }
}
