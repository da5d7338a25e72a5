//! What a statement does, as far as its text tells.

/// What running a statement can change; decides what a pool must do before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatementClass {
    /// Only reads, and takes no row locks.
    Read,
    /// Changes rows, takes locks until the transaction ends, or sends a notification.
    Write,
    /// Changes the schema or how it is stored.
    Ddl,
    /// Leaves something behind in the session: settings, temporary tables, session locks, cursors, prepared statements.
    Session,
    /// Begins, ends or shapes a transaction.
    TxControl,
    /// Not recognised, empty, or several statements of different classes: treat as [`StatementClass::Session`].
    Unknown,
}

/// The word that says what a statement is; for `WITH …` the word behind the common table expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// `SELECT`
    Select,
    /// `INSERT`
    Insert,
    /// `UPDATE`
    Update,
    /// `DELETE`
    Delete,
    /// `MERGE`
    Merge,
    /// `REPLACE`
    Replace,
    /// `COPY`
    Copy,
    /// `VALUES`
    Values,
    /// `TABLE`
    Table,
    /// `CREATE`
    Create,
    /// `ALTER`
    Alter,
    /// `DROP`
    Drop,
    /// `TRUNCATE`
    Truncate,
    /// `CALL`
    Call,
    /// `EXPLAIN`, `DESCRIBE`, and MariaDB's `ANALYZE` of a statement
    Explain,
    /// `SET`
    Set,
    /// `PRAGMA`
    Pragma,
    /// `SHOW`
    Show,
    /// `BEGIN`, `START TRANSACTION`
    Begin,
    /// `COMMIT`, `END`
    Commit,
    /// `ROLLBACK`, `ABORT`
    Rollback,
    /// `SAVEPOINT`
    Savepoint,
    /// `RELEASE`
    Release,
    /// Anything else
    Other,
}

impl Verb {
    /// The verb in upper case, as OpenTelemetry's `db.operation.name` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Merge => "MERGE",
            Self::Replace => "REPLACE",
            Self::Copy => "COPY",
            Self::Values => "VALUES",
            Self::Table => "TABLE",
            Self::Create => "CREATE",
            Self::Alter => "ALTER",
            Self::Drop => "DROP",
            Self::Truncate => "TRUNCATE",
            Self::Call => "CALL",
            Self::Explain => "EXPLAIN",
            Self::Set => "SET",
            Self::Pragma => "PRAGMA",
            Self::Show => "SHOW",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Rollback => "ROLLBACK",
            Self::Savepoint => "SAVEPOINT",
            Self::Release => "RELEASE",
            Self::Other => "OTHER",
        }
    }
}
