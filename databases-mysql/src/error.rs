//! Errors of the server and of the driver in the words of this crate.
//!
//! The server's messages repeat values (`Duplicate entry 'x' for key …`), so they go to `detail`, which is never
//! printed; what is printed is our own text, with the names that we read out of the message. Driver errors may hold
//! options with a password in them: of those only what is known to be harmless is shown.
//!
//! Numbers: <https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html>,
//! <https://mariadb.com/kb/en/mariadb-error-code-reference/>.

use databases_core::{Effect, Error, ErrorKind, NativePosition};
use mysql_async::{DriverError, IoError, LocalInfileError, ServerError};

use crate::keys::Target;
use crate::tls;

/// The statement cannot be prepared; the text protocol may run it.
pub(crate) const NOT_PREPARABLE: u16 = 1295;
/// A number is out of its column's range.
pub(crate) const OUT_OF_RANGE: u16 = 1264;
/// The server does not know the statement's id: nothing ran.
const UNKNOWN_STATEMENT: u16 = 1243;
/// The statement must be prepared again: nothing ran.
const NEEDS_PREPARE: u16 = 1615;
/// KILL QUERY ended the statement.
pub(crate) const INTERRUPTED: u16 = 1317;

/// The server closed a connection that was idle for longer than `wait_timeout` (MySQL).
const IDLE_TOO_LONG: u16 = 4031;

/// The number of a server error.
pub(crate) fn server_code(error: &mysql_async::Error) -> Option<u16> {
    match error {
        mysql_async::Error::Server(server) => Some(server.code),
        _ => None,
    }
}

/// What helps to read a message.
#[derive(Clone, Copy, Default)]
pub(crate) struct About<'a> {
    /// It never puts a table before a key, so that a dot is part of the name.
    pub(crate) is_mariadb: bool,
    /// What the statement changes.
    pub(crate) target: Option<&'a Target>,
}

/// Whether the server no longer has the prepared statement; nothing ran.
pub(crate) fn is_forgotten(error: &mysql_async::Error) -> bool {
    matches!(server_code(error), Some(UNKNOWN_STATEMENT | NEEDS_PREPARE))
}

/// The error of a statement on an open connection.
pub(crate) fn statement(error: mysql_async::Error) -> Error {
    statement_about(error, About::default())
}

/// The error of a statement of which something is known.
pub(crate) fn statement_about(error: mysql_async::Error, about: About<'_>) -> Error {
    match error {
        mysql_async::Error::Server(server) => from_server(&server, about),
        other => from_driver(other, None),
    }
}

/// Whether the request cannot have reached the server whole, and so did not run.
///
/// Only writing fails with a broken pipe, and then a part of the packet was not taken. What fails in another way may
/// have been read by the server.
pub(crate) fn is_unsent(error: &mysql_async::Error) -> bool {
    match error {
        mysql_async::Error::Io(IoError::Io(source)) => source.kind() == std::io::ErrorKind::BrokenPipe,
        // The server hung up before, since the connection was idle for too long.
        mysql_async::Error::Server(server) => server.code == IDLE_TOO_LONG,
        _ => false,
    }
}

/// The error of an attempt to connect to the server `at` a host and port, or a socket.
pub(crate) fn connect(error: mysql_async::Error, at: &str) -> Error {
    match error {
        mysql_async::Error::Server(server) => {
            let error = from_server(&server, About::default());
            let kind = match server.code {
                // The login was in order, and the database is not this user's.
                1044 => ErrorKind::PermissionDenied,
                // In a handshake 1045 is the login, and whatever else the server says is why it takes no session.
                1045 | 1524 | 1698 | 1820 | 1862 | 3118 | 3159 | 4151 => ErrorKind::Authentication,
                _ => ErrorKind::Connect,
            };
            let mut error = error.with_kind(kind).with_effect(Effect::NotSent);
            if kind == ErrorKind::PermissionDenied {
                error =
                    error.with_hint("the login itself worked: the user lacks a GRANT, or another database was meant");
            }
            // It has too many connections, or is stopping.
            if matches!(server.code, 1040 | 1053 | 1203) { error.with_passing() } else { error }
        }
        other => from_driver(other, Some(at)).with_effect(Effect::NotSent),
    }
}

/// The connection is not usable any more.
pub(crate) fn disconnected(message: &str) -> Error {
    Error::new(ErrorKind::Disconnected, message).with_effect(Effect::NotSent)
}

/// The driver panicked at what the server sent, while it connected to the server `at` a place or later.
pub(crate) fn unreadable(at: Option<&str>) -> Error {
    match at {
        Some(at) => Error::new(ErrorKind::Connect, format!("the driver cannot read the answer of the server at {at}")),
        None => Error::new(
            ErrorKind::Disconnected,
            "the driver cannot read the server's answer; the connection is given up",
        ),
    }
}

/// `at` is where an attempt to connect went.
fn from_driver(error: mysql_async::Error, at: Option<&str>) -> Error {
    use mysql_async::Error as Driver;
    match error {
        Driver::Io(IoError::Io(source)) => match at {
            Some(at) => tls::tls_error(source).unwrap_or_else(|source| unreachable(at).with_source(source)),
            None => Error::new(ErrorKind::Disconnected, "the connection to the server broke").with_source(source),
        },
        #[cfg(feature = "tls")]
        Driver::Io(IoError::Tls(fault)) => tls::driver_error(fault),
        Driver::Driver(driver) => from_driver_error(&driver, at),
        // Options and URLs could be in there; we make neither an `Other` nor a `Url`.
        _ => Error::new(ErrorKind::Internal, "the driver failed in a way that it should not"),
    }
}

/// No connection to the server `at` a place.
pub(crate) fn unreachable(at: &str) -> Error {
    Error::new(ErrorKind::Connect, format!("the server cannot be reached at {at}"))
}

fn from_driver_error(error: &DriverError, at: Option<&str>) -> Error {
    let io_kind = if at.is_some() { ErrorKind::Connect } else { ErrorKind::Disconnected };
    let of = |kind, message: &str| Error::new(kind, message);
    match error {
        DriverError::ConnectionClosed => at.map_or_else(|| of(io_kind, "the connection is closed"), unreachable),
        DriverError::PacketOutOfOrder | DriverError::UnexpectedPacket { .. } => {
            let who = at.map_or_else(|| "the server".to_owned(), |at| format!("the server at {at}"));
            of(io_kind, &format!("{who} sent something that the protocol does not allow"))
        }
        DriverError::PacketTooLarge => {
            of(ErrorKind::LimitExceeded, "a packet is larger than the protocol allows").with_effect(Effect::Unknown)
        }
        DriverError::UnknownAuthPlugin { name } => {
            let message =
                format!("the server asks for the authentication `{}`, which is not known", name.escape_debug());
            of(ErrorKind::Authentication, &message)
        }
        DriverError::MysqlOldPasswordDisabled => {
            of(ErrorKind::Authentication, "the server asks for the old, insecure password authentication")
        }
        DriverError::CleartextPluginDisabled => {
            of(ErrorKind::Authentication, "the server asks for the password in clear text, which is not allowed")
                .with_hint(
                    "sslmode=verify-full allows it, and allow_cleartext_password=true where the network is trusted",
                )
        }
        DriverError::NoClientSslFlagFromServer => of(ErrorKind::Tls, "the server has no TLS")
            .with_hint("sslmode=prefer connects without it, where the network is trusted"),
        DriverError::CantParseServerVersion { .. } => of(io_kind, "the server's version cannot be read"),
        DriverError::LocalInfile(LocalInfileError::NoHandler) => {
            of(ErrorKind::Unsupported, "LOAD DATA LOCAL is not supported: it lets a server read files of this machine")
                .with_effect(Effect::Unknown)
        }
        DriverError::StmtParamsNumberExceedsLimit { supplied } => {
            of(ErrorKind::LimitExceeded, &format!("{supplied} parameters are more than the 65535 of one statement"))
        }
        _ => of(ErrorKind::Internal, "the driver failed in a way that it should not"),
    }
}

/// The error that the server sent.
fn from_server(server: &ServerError, about: About<'_>) -> Error {
    let kind = kind_of(server.code);
    let said = Said::read(server.code, &server.message, about);
    let message = text(kind, server, &said);
    let is_said = message == server.message;
    let mut error = Error::new(kind, message).with_code(server.code.to_string());
    if !is_said {
        error = error.with_detail(server.message.clone());
    }
    if let Some(near) = near(server) {
        error = error.with_native_position(NativePosition::Near(near.to_owned()));
    }
    if let Some(constraint) = said.constraint {
        error = error.with_constraint(constraint);
    }
    if let Some(table) = said.table {
        error = error.with_table(table);
    }
    if !said.columns.is_empty() {
        error = error.with_columns(said.columns);
    }
    error
}

/// The rest of the statement that a syntax error quotes.
fn near(server: &ServerError) -> Option<&str> {
    let (_, rest) = server.message.split_once("near '").filter(|_| matches!(server.code, 1064 | 1149))?;
    rest.rsplit_once("' at line ").map(|(near, _)| near)
}

fn kind_of(code: u16) -> ErrorKind {
    match code {
        1022 | 1062 | 1169 | 1586 | 1859 => ErrorKind::UniqueViolation,
        1216 | 1217 | 1451 | 1452 | 1557 | 1761 | 1762 => ErrorKind::ForeignKeyViolation,
        1048 | 1364 | 1566 => ErrorKind::NotNullViolation,
        3819 | 4025 => ErrorKind::CheckViolation,
        1064 | 1149 => ErrorKind::Syntax,
        1051 | 1109 | 1146 => ErrorKind::UndefinedTable,
        1054 | 1072 | 1247 => ErrorKind::UndefinedColumn,
        1128 | 1305 | 1630 => ErrorKind::UndefinedFunction,
        1045 | 1524 | 1698 | 1862 | 3118 => ErrorKind::Authentication,
        1044 | 1095 | 1142 | 1143 | 1227 | 1370 | 1410 => ErrorKind::PermissionDenied,
        1213 | 1614 => ErrorKind::Deadlock,
        // MariaDB: the record changed since it was last read (innodb_snapshot_isolation).
        1020 => ErrorKind::SerializationFailure,
        1205 | 3572 => ErrorKind::LockTimeout,
        1969 | 3024 => ErrorKind::StatementTimeout,
        INTERRUPTED => ErrorKind::Cancelled,
        1040 | 1049 | 1129 | 1130 | 1203 | 1226 => ErrorKind::Connect,
        1290 | 1792 | 1836 => ErrorKind::ReadOnly,
        1021 | 1114 => ErrorKind::StorageFull,
        1053 | 1077 | 1079 | 1152 | 1158..=1161 | 1184 | 1927 | 2006 | 2013 | 3169 | 4031 => ErrorKind::Disconnected,
        1153 | 1301 | 1390 => ErrorKind::LimitExceeded,
        1034 | 1194 | 1712 => ErrorKind::Corrupt,
        1235 | NOT_PREPARABLE => ErrorKind::Unsupported,
        _ => ErrorKind::Database,
    }
}

/// Our own words: no value of a row or a parameter is in them.
fn text(kind: ErrorKind, server: &ServerError, said: &Said) -> String {
    let named = |what: &str, name: &Option<String>| match name {
        Some(name) => format!("{what} `{}`", name.escape_debug()),
        None => what.to_owned(),
    };
    let of_columns = |what: &str| match said.columns.as_slice() {
        [] => what.to_owned(),
        columns => format!("{what} in column `{}`", columns.join("`, `")),
    };
    match kind {
        ErrorKind::UniqueViolation => named("duplicate entry for key", &said.key),
        ErrorKind::ForeignKeyViolation if matches!(server.code, 1217 | 1451) => {
            named("a row is still referred to: foreign key", &said.constraint)
        }
        ErrorKind::ForeignKeyViolation => named("a row refers to one that is not there: foreign key", &said.constraint),
        ErrorKind::NotNullViolation if server.code == 1364 => of_columns("no value and no default"),
        ErrorKind::NotNullViolation => of_columns("NULL is not allowed"),
        ErrorKind::CheckViolation => named("a row fails the check", &said.constraint),
        // It repeats the user's own SQL text, which holds no parameter; literals there are the user's to show.
        ErrorKind::Syntax => shorten(&server.message),
        ErrorKind::UndefinedTable => named("no such table", &said.table),
        ErrorKind::UndefinedColumn => match said.columns.first() {
            Some(column) => format!("no such column `{}`", column.escape_debug()),
            None => "no such column".to_owned(),
        },
        ErrorKind::UndefinedFunction => named("no such function", &said.key),
        ErrorKind::Authentication => "the server refused the login".to_owned(),
        ErrorKind::PermissionDenied if server.code == 1044 => {
            "permission denied: the user has no right on the database".to_owned()
        }
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::Deadlock => "the server broke a deadlock by ending this transaction".to_owned(),
        ErrorKind::SerializationFailure => "a row changed since this transaction read it".to_owned(),
        ErrorKind::LockTimeout => "waiting for a lock took too long".to_owned(),
        ErrorKind::StatementTimeout => "the statement ran longer than the server's limit".to_owned(),
        ErrorKind::Cancelled => "the statement was cancelled".to_owned(),
        ErrorKind::ReadOnly => "a write to something that is read-only".to_owned(),
        ErrorKind::StorageFull => "the server's storage is full".to_owned(),
        ErrorKind::Disconnected => "the server ended the connection".to_owned(),
        ErrorKind::Connect => match server.code {
            1049 => named("no such database", &said.key),
            1040 | 1203 | 1226 => "the server has too many connections".to_owned(),
            _ => "the server takes no connection".to_owned(),
        },
        _ => {
            let what = describe(server.code);
            of_columns(what.unwrap_or("the server refused the statement"))
                + &if what.is_some() {
                    String::new()
                } else {
                    format!(" (error {}, SQLSTATE {})", server.code, server.state)
                }
        }
    }
}

/// Errors without a kind of their own whose message repeats a value.
fn describe(code: u16) -> Option<&'static str> {
    Some(match code {
        1153 => "a packet is larger than the server's max_allowed_packet",
        1264 => "a number is out of range",
        1265 => "a value would be truncated",
        1292 | 1411 => "a value does not have the form of its type",
        1366 => "a value does not fit the type",
        1367 | 1525 => "a value is not valid for its type",
        1390 => "the statement has too many placeholders",
        1406 => "a value is too long",
        1365 => "division by zero",
        1690 => "a number is out of range in an expression",
        1295 => "the server cannot prepare this statement",
        1136 => "the number of columns and of values differ",
        1050 => "the table is already there",
        1007 => "the database is already there",
        1060 => "a column name is given twice",
        1061 => "a key name is given twice",
        1052 => "a column name is ambiguous",
        1242 => "a subquery gave more than one row",
        3140 => "text is not valid JSON",
        _ => return None,
    })
}

/// The names in a server's message.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    constraint: Option<String>,
    table: Option<String>,
    columns: Vec<String>,
    /// The key, function or database, as it is shown.
    key: Option<String>,
}

impl Said {
    fn read(code: u16, message: &str, about: About<'_>) -> Self {
        let mut said = Self::default();
        let target = || about.target.map(|target| target.table.clone());
        match code {
            1022 | 1062 | 1169 | 1586 | 1859 => said.read_duplicate(message, about),
            1451 | 1452 => said.read_foreign_key(message),
            // Column 'c' cannot be null; Field 'c' doesn't have a default value
            1048 | 1364 => {
                said.columns.extend(first_quoted(message));
                said.table = target();
            }
            // Check constraint 'c' is violated. / CONSTRAINT `c` failed for `db`.`t`
            3819 => {
                said.constraint = first_quoted(message);
                said.table = target();
            }
            4025 => said.read_check(message),
            // Table 'db.t' doesn't exist; Unknown table 'db.t'
            1051 | 1109 | 1146 => said.table = first_quoted(message).map(|name| last_part(&name)),
            // Unknown column 'c' in 'field list'
            1054 | 1072 | 1247 => said.columns.extend(first_quoted(message).map(|name| last_part(&name))),
            1049 | 1128 | 1305 | 1630 => {
                // FUNCTION db.f does not exist; Function 'f' is not defined
                said.key = first_quoted(message).or_else(|| message.split(' ').nth(1).map(str::to_owned));
            }
            // Incorrect integer value: 'x' for column `db`.`t`.`c` at row 1; Data too long for column 'c' at row 1.
            // The value comes first and may hold anything, these words included: the last ones count.
            1264 | 1265 | 1292 | 1366 | 1406 => said.read_column(message),
            _ => {}
        }
        said
    }

    /// `Duplicate entry 'x' for key 'users.email'` (MySQL 8.0.19), `… for key 'email'` (MariaDB, MySQL 5.7).
    fn read_duplicate(&mut self, message: &str, about: About<'_>) {
        let Some((_, key)) = message.rsplit_once(" for key ") else { return };
        let key = unquote(key.trim_end());
        // Both names may hold dots, too.
        let of_target = about.target.and_then(|target| {
            let name = key.strip_prefix(&*target.table)?.strip_prefix('.')?;
            Some((&*target.table, name))
        });
        let parts = if about.is_mariadb { None } else { of_target.or_else(|| key.split_once('.')) };
        match parts {
            Some((table, name)) => {
                self.table = Some(table.to_owned());
                self.constraint = Some(name.to_owned());
            }
            None => self.constraint = Some(key.to_owned()),
        }
        self.key = Some(key.to_owned());
    }

    /// `CONSTRAINT `c` failed for `db`.`t``, with `t.n` for the check of the column `n`.
    fn read_check(&mut self, message: &str) {
        let mut names = backticked(message);
        self.constraint = names.next();
        self.table = names.last();
        let (Some(name), Some(table)) = (&self.constraint, &self.table) else { return };
        if let Some(column) = name.strip_prefix(&**table).and_then(|rest| rest.strip_prefix('.')) {
            self.columns = vec![column.to_owned()];
            self.constraint = Some(column.to_owned());
        }
    }

    /// `… fails (`db`.`child`, CONSTRAINT `fk` FOREIGN KEY (`a`, `b`) REFERENCES `parent` (`x`, `y`) …)`.
    fn read_foreign_key(&mut self, message: &str) {
        let Some((_, rest)) = message.split_once(" constraint fails (") else { return };
        let Some((table, rest)) = rest.split_once(", CONSTRAINT ") else { return };
        self.table = backticked(table).last();
        self.constraint = backticked(rest).next();
        let columns = rest.split_once("FOREIGN KEY (").and_then(|(_, rest)| rest.split_once(')'));
        if let Some((columns, _)) = columns {
            self.columns = backticked(columns).collect();
        }
    }

    fn read_column(&mut self, message: &str) {
        let Some((_, rest)) = message.rsplit_once(" for column ") else {
            // Out of range value for column 'c' at row 1; Data truncated for column 'c' at row 1
            return;
        };
        let name = rest.rsplit_once(" at row ").map_or(rest, |(name, _)| name).trim();
        let parts: Vec<String> = backticked(name).collect();
        if let [.., table, column] = parts.as_slice() {
            self.table = Some(table.clone());
            self.columns = vec![column.clone()];
        } else if name.starts_with('`') {
            self.columns = parts;
        } else {
            self.columns = vec![unquote(name).to_owned()];
        }
    }
}

/// The first text in single quotes.
fn first_quoted(message: &str) -> Option<String> {
    let (_, rest) = message.split_once('\'')?;
    rest.split_once('\'').map(|(name, _)| name.to_owned())
}

fn unquote(text: &str) -> &str {
    text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(text)
}

/// What stands in backticks, with doubled ones made single.
fn backticked(text: &str) -> impl Iterator<Item = String> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find('`')? + 1;
        let mut name = String::new();
        let mut tail = &rest[start..];
        loop {
            let end = tail.find('`')?;
            name.push_str(&tail[..end]);
            tail = &tail[end + 1..];
            match tail.strip_prefix('`') {
                Some(more) => {
                    name.push('`');
                    tail = more;
                }
                None => break,
            }
        }
        rest = tail;
        Some(name)
    })
}

fn last_part(name: &str) -> String {
    name.rsplit('.').next().unwrap_or(name).to_owned()
}

/// At most as much of a message as a server makes of one (`MYSQL_ERRMSG_SIZE`).
fn shorten(message: &str) -> String {
    const LONGEST: usize = 512;
    match message.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests;
