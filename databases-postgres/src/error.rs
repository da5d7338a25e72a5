//! The driver's errors in our words.
//!
//! Text that repeats values goes to [`Error::detail`] and nowhere else: the driver's error is never kept as a source,
//! because it prints DETAIL.

use std::io;

use databases_core::sql::StatementClass;
use databases_core::{Effect, Error, ErrorKind, NativePosition};
use tokio_postgres::error::{DbError, ErrorPosition, Severity};

use crate::session::Reason;

/// The kind of an SQLSTATE, see <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn kind(code: &str, message: &str) -> ErrorKind {
    match code {
        "23505" => ErrorKind::UniqueViolation,
        // The second is RESTRICT, of PostgreSQL 18.
        "23503" | "23001" => ErrorKind::ForeignKeyViolation,
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

/// An error that the server reported about `sql`, the text that was sent.
pub(crate) fn from_server(error: &DbError, sql: Option<&str>) -> Error {
    let code = error.code().code();
    let kind = if is_changed_result(error) { ErrorKind::Database } else { kind(code, error.message()) };
    let known = Known::of(error, sql);
    let hidden = is_of_a_function(error);
    let message = if hidden { of_a_function(kind).to_owned() } else { printable(code, error.message(), &known) };
    let hint = error.hint().filter(|hint| !hidden && known.all_in(hint));
    let effect = match kind {
        ErrorKind::Disconnected => Effect::Unknown,
        ErrorKind::Connect | ErrorKind::Authentication => Effect::NotSent,
        _ => Effect::RolledBack,
    };
    let untold = [
        (message != error.message()).then(|| error.message()),
        error.detail(),
        error.hint().filter(|_| hint.is_none()),
    ];
    let detail: Vec<_> = untold.into_iter().flatten().collect();
    let mut ours = Error::new(kind, message).with_effect(effect).with_code(code);
    if !detail.is_empty() {
        ours = ours.with_detail(detail.join("\n"));
    }
    if let Some(name) = error.constraint() {
        ours = ours.with_constraint(name);
    }
    let (table, columns) = if hidden { (None, Vec::new()) } else { names(error, kind, &known) };
    if let Some(name) = error.table().map(str::to_owned).or(table) {
        ours = ours.with_table(name);
    }
    let columns = error.column().map_or(columns, |column| vec![column.to_owned()]);
    if !columns.is_empty() {
        ours = ours.with_columns(columns);
    }
    if let Some(ErrorPosition::Original(ordinal)) = error.position() {
        ours = ours.with_native_position(NativePosition::Character(*ordinal as usize));
    }
    match hint {
        Some(hint) => ours.with_hint(hint),
        // Outside of a transaction this is prepared again and nobody sees it.
        None if is_changed_result(error) => ours
            .with_hint("a table was changed since the statement was prepared: roll back and run the transaction again"),
        None if error.routine() == Some("record_recv") => ours
            .with_hint("a type was changed since the statement was prepared: roll back and run the transaction again"),
        None => ours,
    }
}

/// Whether the error arose in the body of a function, so that its words may be anything.
fn is_of_a_function(error: &DbError) -> bool {
    // What sends these words is C, whatever function called it: RAISE cannot pretend to be it.
    const CONSTRAINTS: &[&str] = &[
        "_bt_check_unique",
        "check_exclusion_or_unique_constraint",
        "ri_ReportViolation",
        "ExecConstraints",
        "ReportNotNullViolationError",
        "ExecPartitionCheckEmitError",
        "ExecFindPartition",
        "ExecEvalConstraintNotNull",
        "ExecEvalConstraintCheck",
        "domain_check_input",
    ];
    // Contexts of other things; in another language they count as a function's, which hides more.
    const OTHERS: &[&str] =
        &["unnamed portal ", "extended query with parameters", "while ", "parallel worker", "COPY ", "JSON data, "];
    if error.code().code() == "P0001" {
        return true;
    }
    let Some(context) = error.where_() else { return false };
    // A place in the text that was sent: a mistake in a CREATE FUNCTION. Within a body the server says `Internal`.
    !matches!(error.position(), Some(ErrorPosition::Original(_)))
        && !error.routine().is_some_and(|routine| CONSTRAINTS.contains(&routine))
        && !context.lines().all(|line| OTHERS.iter().any(|other| line.starts_with(other)))
}

/// What is said instead of the words of a function.
fn of_a_function(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::SerializationFailure => "could not serialize access, in a function of the database",
        ErrorKind::Deadlock => "deadlock detected, in a function of the database",
        ErrorKind::LockTimeout => "waiting for a lock took too long, in a function of the database",
        ErrorKind::StatementTimeout => "canceling statement due to statement timeout, in a function of the database",
        ErrorKind::Cancelled => "canceling statement, in a function of the database",
        _ => "an error raised by a function of the database",
    }
}

/// What a message may quote, since no value has told it.
struct Known<'a> {
    /// The error has a place in the text: it arose while that was parsed, before there were values.
    all: bool,
    sql: &'a str,
    /// As the server writes names that are not quoted.
    folded: String,
    fields: [Option<&'a str>; 5],
}

impl<'a> Known<'a> {
    fn of(error: &'a DbError, sql: Option<&'a str>) -> Self {
        let placed = matches!(error.position(), Some(ErrorPosition::Original(_)));
        let fields = [error.table(), error.column(), error.constraint(), error.datatype(), error.schema()];
        Self { all: placed && error.code().code().starts_with("42"), ..Self::new(sql.unwrap_or_default(), fields) }
    }

    fn new(sql: &'a str, fields: [Option<&'a str>; 5]) -> Self {
        Self { all: false, sql, folded: sql.to_ascii_lowercase(), fields }
    }

    /// Whether `name`, or each part of it between dots, is in the text as a whole word or named by a field.
    fn has(&self, name: &str) -> bool {
        let told =
            |part: &str| self.fields.contains(&Some(part)) || has_word(self.sql, part) || has_word(&self.folded, part);
        name.contains(char::is_alphanumeric)
            && (told(name) || name.split('.').all(|part| !part.is_empty() && told(part)))
    }

    /// Whether all that `text` quotes is known.
    fn all_in(&self, text: &str) -> bool {
        self.all || pieces(text).is_some_and(|pieces| pieces.iter().all(|piece| self.has(piece)))
    }
}

/// Whether `text` holds `word` with no letter, digit, `_` or `$` of a longer one next to it: `1` is not in `$1`.
fn has_word(text: &str, word: &str) -> bool {
    let in_word = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '$');
    let ends = |edge: Option<char>, beyond: Option<char>| !(edge.is_some_and(in_word) && beyond.is_some_and(in_word));
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            let (before, after) = (text[..at].chars().next_back(), text[at + word.len()..].chars().next());
            ends(word.chars().next(), before) && ends(word.chars().next_back(), after)
        })
}

/// Where there are quotes of any language; not the apostrophe of `n'existe`.
fn quotes(text: &str) -> impl Iterator<Item = (usize, char)> {
    const QUOTES: &[char] = &['"', '«', '»', '„', '“', '”', '『', '』', '‘', '’', '\''];
    text.match_indices(QUOTES).filter_map(|(at, quote)| {
        let quote = quote.chars().next()?;
        let is_letter = |letter: Option<char>| letter.is_some_and(char::is_alphabetic);
        let apostrophe = matches!(quote, '\'' | '’')
            && is_letter(text[..at].chars().next_back())
            && is_letter(text[at + quote.len_utf8()..].chars().next());
        (!apostrophe).then_some((at, quote))
    })
}

/// What `text` quotes; `None` if the quotes do not pair.
fn pieces(text: &str) -> Option<Vec<&str>> {
    let mut pieces = Vec::new();
    let mut quotes = quotes(text);
    while let Some((open, quote)) = quotes.next() {
        let (close, other) = quotes.next()?;
        let pair = (quote == other && matches!(quote, '"' | '\''))
            || matches!(
                (quote, other),
                ('«', '»') | ('»', '«') | ('„', '“' | '”') | ('“', '”') | ('『', '』') | ('‘', '’')
            );
        if !pair {
            return None;
        }
        // French has no-break spaces within.
        pieces.push(text[open + quote.len_utf8()..close].trim());
    }
    Some(pieces)
}

/// The message without values. Class 22 quotes them: `invalid input syntax for type integer: "abc"`. So do others, where
/// a value is a name: `relation "abc" does not exist`.
///
/// Everything from the first quote to the last goes, since a value may hold quotes itself.
fn printable(code: &str, message: &str, known: &Known<'_>) -> String {
    if !code.starts_with("22") && known.all_in(message) {
        // A few give such a name without quotes: `operator does not exist: abc`, `improper relation name (…): a.b.c.d`.
        if !known.all
            && matches!(code, "0A000" | "42601" | "42602" | "42883" | "42704")
            && let Some((before, tail)) = message.split_once(": ")
            && quotes(tail).next().is_none()
            && !known.has(tail)
        {
            return format!("{before}: …");
        }
        return message.to_owned();
    }
    match (quotes(message).next(), quotes(message).last()) {
        (Some((first, _)), Some((last, quote))) if first < last => {
            format!("{}\"…\"{}", &message[..first], &message[last + quote.len_utf8()..])
        }
        // It does not even pair.
        (Some((first, _)), _) if !code.starts_with("22") => format!("{}\"…\"", &message[..first]),
        _ => message.to_owned(),
    }
}

/// The table and the columns that have no fields of their own in the server's answer.
fn names(error: &DbError, kind: ErrorKind, known: &Known<'_>) -> (Option<String>, Vec<String>) {
    let message = error.message();
    match kind {
        ErrorKind::UndefinedTable => (undefined_table(message, known), Vec::new()),
        ErrorKind::UndefinedColumn => undefined_column(message, known),
        ErrorKind::UniqueViolation | ErrorKind::ExclusionViolation => {
            (None, error.detail().map(key_columns).unwrap_or_default())
        }
        ErrorKind::ForeignKeyViolation if is_of_referencing(message, error.table()) => {
            (None, error.detail().map(key_columns).unwrap_or_default())
        }
        _ => (None, Vec::new()),
    }
}

/// Whether the row that was refused is of `table`, which refers. `table` is that one also where a row of the other table
/// could not go, and then the columns are the other's: `update or delete on table "p" violates … "fk" on table "t"`.
fn is_of_referencing(message: &str, table: Option<&str>) -> bool {
    matches!(pieces(message).as_deref(), Some([first, _]) if Some(*first) == table)
}

/// The name in `relation "s.x" does not exist`.
fn undefined_table(message: &str, known: &Known<'_>) -> Option<String> {
    let pieces = pieces(message)?;
    let [name] = pieces.as_slice() else { return None };
    if !known.has(name) {
        return None;
    }
    let unqualified = match name.rsplit_once('.') {
        Some((_, last)) if !known.sql.contains(&format!("\"{name}\"")) => last,
        _ => name,
    };
    Some(unqualified.to_owned())
}

/// The names in `column "x" does not exist`, `column "x" of relation "y" does not exist` and `column t.x does not exist`.
fn undefined_column(message: &str, known: &Known<'_>) -> (Option<String>, Vec<String>) {
    let column = |name: &str| if known.has(name) { vec![name.to_owned()] } else { Vec::new() };
    match pieces(message).as_deref() {
        Some([name]) => (None, column(name)),
        // Other languages may say the table first.
        Some([name, table]) if *message == format!("column \"{name}\" of relation \"{table}\" does not exist") => {
            (known.has(table).then(|| (*table).to_owned()), column(name))
        }
        Some([]) => {
            let words = message.strip_prefix("column ").and_then(|rest| rest.strip_suffix(" does not exist"));
            let name = words.and_then(|words| words.rsplit_once('.'));
            (None, name.map(|(_, name)| column(name)).unwrap_or_default())
        }
        _ => (None, Vec::new()),
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

/// Whether the socket failed, the guard refused what came, or the driver could not read it.
pub(crate) fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<io::Error>())
}

/// The error of the socket, which holds no value.
pub(crate) fn into_io(error: tokio_postgres::Error) -> Option<io::Error> {
    error.into_source()?.downcast::<io::Error>().ok().map(|error| *error)
}

/// Whether the error came out of the body of something that may have committed before: CALL and DO outside of a transaction.
pub(crate) fn may_follow_commit(error: &tokio_postgres::Error, class: StatementClass) -> bool {
    class == StatementClass::Unknown && error.as_db_error().is_some_and(|error| error.where_().is_some())
}

/// Whether the statement's plan or name is no longer what the server has.
pub(crate) fn is_stale(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| match error.code().code() {
        // The last three: columns have other types than those that the parameters were given when it was prepared.
        "26000" | "42804" | "42883" | "42846" => true,
        // A type was dropped. The server does not translate what it takes for its own mistake.
        "XX000" => error.message().starts_with("cache lookup failed for type "),
        _ => is_changed_result(error),
    })
}

/// Whether the server could not read a text as the type that its parameter had when the statement was prepared.
pub(crate) fn is_misread(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| matches!(code.code(), "22P02" | "22007" | "22008"))
}

/// Whether the columns of a prepared statement's result are no longer what they were. One code for much; the routine has
/// the same name in every language of messages.
fn is_changed_result(error: &DbError) -> bool {
    error.code().code() == "0A000"
        && (error.routine() == Some("RevalidateCachedQuery")
            || error.message() == "cached plan must not change result type")
}

/// Why a connection ended.
pub(crate) fn reason(error: &tokio_postgres::Error) -> Reason {
    if let Some(server) = error.as_db_error() {
        let code = server.code().code();
        let message = printable(code, server.message(), &Known::of(server, None));
        return Reason { code: Some(code.to_owned()), message };
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
            assert_eq!(printable("22P02", message, &known("SELECT abc, a")), shown);
        }
    }

    fn known(sql: &str) -> Known<'_> {
        Known::new(sql, [Some("t_pkey"), Some("t"), None, None, Some("public")])
    }

    #[test]
    fn messages_quote_only_what_is_known() {
        let sql = "SELECT Users.x, $1 FROM Users, s.y, \"B C\" WHERE m = 'n'";
        for same in [
            "relation \"users\" does not exist",
            "relation \"s.y\" does not exist",
            "relation \"public.t\" violates \"t_pkey\"",
            "la relation « users » n'existe pas",
            "Relation »B C« existiert nicht",
            "column users.x does not exist",
            "deadlock detected",
        ] {
            assert_eq!(printable("42P01", same, &known(sql)), same);
        }
        for (message, shown) in [
            ("relation \"user\" does not exist", "relation \"…\" does not exist"),
            ("relation \"1\" does not exist", "relation \"…\" does not exist"),
            ("relation \"\" does not exist", "relation \"…\" does not exist"),
            ("relation \".\" does not exist", "relation \"…\" does not exist"),
            ("relation \"\"secret\"\" does not exist", "relation \"…\" does not exist"),
            ("relation \"s.secret\" does not exist", "relation \"…\" does not exist"),
            ("relation \"users\" secret\" does not exist", "relation \"…\" does not exist"),
            ("relation \"users\" secret \"z\" does not exist", "relation \"…\" does not exist"),
            ("relation \"secret", "relation \"…\""),
            ("la relation « secret » n'existe pas", "la relation \"…\" n'existe pas"),
        ] {
            assert_eq!(printable("42P01", message, &known(sql)), shown);
        }
        assert_eq!(printable("42883", "operator does not exist: +++", &known(sql)), "operator does not exist: …");
    }

    #[test]
    fn names_are_parsed_where_they_are_in_the_text() {
        let sql = "SELECT Nope, t.x FROM S.Users, \"d.e\"";
        for (message, name) in [
            ("relation \"users\" does not exist", Some("users")),
            ("relation \"s.users\" does not exist", Some("users")),
            ("relation \"d.e\" does not exist", Some("d.e")),
            ("relation \"secret\" does not exist", None),
        ] {
            assert_eq!(undefined_table(message, &known(sql)).as_deref(), name, "{message}");
        }
        for (message, table, columns) in [
            ("column \"nope\" does not exist", None, &["nope"] as &[&str]),
            ("Spalte »nope« existiert nicht", None, &["nope"]),
            ("column t.x does not exist", None, &["x"]),
            ("column \"nope\" of relation \"users\" does not exist", Some("users"), &["nope"]),
            ("column \"secret\" does not exist", None, &[]),
        ] {
            let found = undefined_column(message, &known(sql));
            assert_eq!(
                (found.0.as_deref(), &*found.1),
                (table, &*columns.iter().map(|&c| c.to_owned()).collect::<Vec<_>>())
            );
        }
    }

    #[test]
    fn the_side_of_a_foreign_key_is_told() {
        let insert = "insert or update on table \"t\" violates foreign key constraint \"fk\"";
        let delete =
            |on| format!("update or delete on table \"{on}\" violates foreign key constraint \"fk\" on table \"t\"");
        assert!(is_of_referencing(insert, Some("t")));
        assert!(!is_of_referencing(&delete("p"), Some("t")));
        assert!(!is_of_referencing(&delete("t"), Some("t")));
        assert!(!is_of_referencing("removing partition \"p1\" violates foreign key constraint \"fk\"", Some("t")));
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
