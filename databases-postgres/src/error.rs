//! The driver's errors in our words.
//!
//! Text that repeats values goes to [`Error::detail`] and nowhere else: the driver's error is never kept as a source,
//! because it prints DETAIL.

use std::io;

use databases_core::{Effect, Error, ErrorKind, NativePosition};
use tokio_postgres::error::{DbError, ErrorPosition, Severity};

use crate::session::Reason;

/// The kind of an SQLSTATE, see <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn kind(code: &str, message: &str) -> ErrorKind {
    match code {
        "23505" => ErrorKind::UniqueViolation,
        "23503" => ErrorKind::ForeignKeyViolation,
        "23502" => ErrorKind::NotNullViolation,
        "23514" => ErrorKind::CheckViolation,
        "23P01" => ErrorKind::ExclusionViolation,
        "42601" => ErrorKind::Syntax,
        "42P01" => ErrorKind::UndefinedTable,
        "42703" => ErrorKind::UndefinedColumn,
        "42883" => ErrorKind::UndefinedFunction,
        "42501" => ErrorKind::PermissionDenied,
        "40001" => ErrorKind::SerializationFailure,
        "40P01" => ErrorKind::Deadlock,
        "55P03" => ErrorKind::LockTimeout,
        // One code for both; the message of a cancel names the user in every version.
        "57014" if message.contains("statement timeout") => ErrorKind::StatementTimeout,
        "57014" => ErrorKind::Cancelled,
        "25P02" => ErrorKind::TransactionFailed,
        "25006" => ErrorKind::ReadOnly,
        "25P03" | "57P05" | "57P01" | "57P02" | "57P04" => ErrorKind::Disconnected,
        "57P03" | "53300" | "3D000" => ErrorKind::Connect,
        "53100" => ErrorKind::StorageFull,
        "54000" | "54001" | "54011" | "54023" => ErrorKind::LimitExceeded,
        "0A000" => ErrorKind::Unsupported,
        "XX001" | "XX002" => ErrorKind::Corrupt,
        _ => match code.get(..2) {
            Some("28") => ErrorKind::Authentication,
            Some("08") => ErrorKind::Disconnected,
            _ => ErrorKind::Database,
        },
    }
}

/// Whether the server closes the connection behind this error.
pub(crate) fn is_fatal(error: &DbError) -> bool {
    matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

/// An error that the server reported.
pub(crate) fn from_server(error: &DbError) -> Error {
    let code = error.code().code();
    let kind = kind(code, error.message());
    let message = printable(code, error.message());
    let repeats_values = message != error.message();
    let effect = match kind {
        ErrorKind::Disconnected => Effect::Unknown,
        ErrorKind::Connect | ErrorKind::Authentication => Effect::NotSent,
        _ => Effect::RolledBack,
    };
    let mut ours = Error::new(kind, message).with_effect(effect).with_code(code);
    if let Some(name) = error.constraint() {
        ours = ours.with_constraint(name);
    }
    if let Some(name) = error.table() {
        ours = ours.with_table(name);
    }
    let columns = match (error.column(), error.detail()) {
        (Some(column), _) => vec![column.to_owned()],
        (None, Some(detail)) if matches!(code, "23505" | "23503" | "23P01") => key_columns(detail),
        _ => Vec::new(),
    };
    if !columns.is_empty() {
        ours = ours.with_columns(columns);
    }
    let detail = match (repeats_values, error.detail()) {
        (true, Some(detail)) => Some(format!("{}\n{detail}", error.message())),
        (true, None) => Some(error.message().to_owned()),
        (false, detail) => detail.map(str::to_owned),
    };
    if let Some(detail) = detail {
        ours = ours.with_detail(detail);
    }
    if let Some(ErrorPosition::Original(ordinal)) = error.position() {
        ours = ours.with_native_position(NativePosition::Character(*ordinal as usize));
    }
    match error.hint() {
        Some(hint) => ours.with_hint(hint),
        None => ours,
    }
}

/// The message without values. Class 22 quotes them: `invalid input syntax for type integer: "abc"`.
///
/// Everything from the first quote to the last goes, since a value may hold quotes itself.
fn printable(code: &str, message: &str) -> String {
    const QUOTES: &[char] = &['"', '«', '»', '„', '“', '”', '『', '』', '‘', '’', '\''];
    if !code.starts_with("22") {
        return message.to_owned();
    }
    let first = message.find(QUOTES);
    let last = message.rfind(QUOTES);
    match (first, last) {
        (Some(first), Some(last)) if first < last => {
            let rest = message[last..].chars().next().map_or(0, char::len_utf8);
            format!("{}\"…\"{}", &message[..first], &message[last + rest..])
        }
        _ => message.to_owned(),
    }
}

/// The names in `Key (a, "B c")=(1, 2) already exists.` and its translations; never the values.
fn key_columns(detail: &str) -> Vec<String> {
    let Some((names, _)) = detail.split_once('(').and_then(|(_, rest)| rest.split_once(")=(")) else {
        return Vec::new();
    };
    let mut columns = vec![String::new()];
    let (mut depth, mut quoted) = (0_u32, false);
    let mut letters = names.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                push(&mut columns, '"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted && depth == 0 => {
                letters.next_if_eq(&' ');
                columns.push(String::new());
            }
            _ => {
                match letter {
                    '(' if !quoted => depth += 1,
                    ')' if !quoted => depth = depth.saturating_sub(1),
                    _ => {}
                }
                push(&mut columns, letter);
            }
        }
    }
    columns
}

fn push(columns: &mut [String], letter: char) {
    if let Some(last) = columns.last_mut() {
        last.push(letter);
    }
}

/// Whether the socket failed, or the guard refused what came.
pub(crate) fn is_io(error: &tokio_postgres::Error) -> bool {
    error.to_string() == "error communicating with the server"
}

/// The error of the socket, which holds no value.
pub(crate) fn into_io(error: tokio_postgres::Error) -> Option<io::Error> {
    error.into_source()?.downcast::<io::Error>().ok().map(|error| *error)
}

/// Whether the statement's plan or name is no longer what the server has.
pub(crate) fn is_stale(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| match error.code().code() {
        // The last three: columns have other types than those that the parameters were given when it was prepared.
        "26000" | "42804" | "42883" | "42846" => true,
        // One code for much; the routine has the same name in every language of messages.
        "0A000" => {
            error.routine() == Some("RevalidateCachedQuery")
                || error.message() == "cached plan must not change result type"
        }
        _ => false,
    })
}

/// Why a connection ended.
pub(crate) fn reason(error: &tokio_postgres::Error) -> Reason {
    if let Some(server) = error.as_db_error() {
        let code = server.code().code();
        return Reason { code: Some(code.to_owned()), message: printable(code, server.message()) };
    }
    let message = match std::error::Error::source(error) {
        Some(source) if is_io(error) => source.to_string(),
        _ if error.is_closed() => "the server closed it".to_owned(),
        _ => error.to_string(),
    };
    Reason { code: None, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_class_22_lose_their_values() {
        for (message, shown) in [
            ("invalid input syntax for type integer: \"abc\"", "invalid input syntax for type integer: \"…\""),
            ("value \"99\" is out of range for type integer", "value \"…\" is out of range for type integer"),
            ("invalid input syntax for type date: \"a\"b: c\"", "invalid input syntax for type date: \"…\""),
            ("ungültige Eingabe für Typ integer: »abc«", "ungültige Eingabe für Typ integer: \"…\""),
            ("division by zero", "division by zero"),
        ] {
            assert_eq!(printable("22P02", message), shown);
        }
        assert_eq!(printable("42P01", "relation \"t\" does not exist"), "relation \"t\" does not exist");
    }

    #[test]
    fn key_columns_are_names_and_never_values() {
        for (detail, names) in [
            ("Key (email)=(a@b) already exists.", &["email"] as &[&str]),
            ("Key (a, b)=(1, 2) already exists.", &["a", "b"]),
            ("Key (\"A, \"\"b\", c)=(1, 2) already exists.", &["A, \"b", "c"]),
            ("Key (lower(a), b)=(x)=(y, 2) already exists.", &["lower(a)", "b"]),
            ("Schlüssel »(a)=(1)« existiert bereits.", &["a"]),
            ("Failing row contains (1, secret).", &[]),
        ] {
            assert_eq!(key_columns(detail), names, "{detail}");
        }
    }

    #[test]
    fn kinds_follow_the_sqlstate() {
        for (code, expected) in [
            ("23505", ErrorKind::UniqueViolation),
            ("28P01", ErrorKind::Authentication),
            ("08006", ErrorKind::Disconnected),
            ("57014", ErrorKind::Cancelled),
            ("22012", ErrorKind::Database),
            ("XX001", ErrorKind::Corrupt),
            ("", ErrorKind::Database),
            ("2", ErrorKind::Database),
        ] {
            assert_eq!(kind(code, "canceling statement due to user request"), expected, "{code}");
        }
        let timeout = "canceling statement due to statement timeout";
        assert_eq!(kind("57014", timeout), ErrorKind::StatementTimeout);
    }
}
