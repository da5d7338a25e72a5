//! What differs between the servers' SQL, as plain data.

/// A family of servers that read SQL alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DialectKind {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
    /// SQLite.
    Sqlite,
}

/// A family and the session modes that change how it reads a text.
///
/// Two connections with equal dialects read every text alike, so templates are cached per dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dialect {
    kind: DialectKind,
    standard_conforming_strings: bool,
    no_backslash_escapes: bool,
    ansi_quotes: bool,
    max_parameters: usize,
}

impl Dialect {
    /// PostgreSQL as it starts: standard strings, 65535 arguments.
    pub const POSTGRES: Self = Self::new(DialectKind::Postgres, 65_535);
    /// MySQL and MariaDB as they start: backslash escapes, `"` is a string, 65535 arguments.
    pub const MYSQL: Self = Self::new(DialectKind::MySql, 65_535);
    /// SQLite as it is built: 32766 arguments.
    pub const SQLITE: Self = Self::new(DialectKind::Sqlite, 32_766);

    const fn new(kind: DialectKind, max_parameters: usize) -> Self {
        Self {
            kind,
            standard_conforming_strings: true,
            no_backslash_escapes: false,
            ansi_quotes: false,
            max_parameters,
        }
    }

    /// The family.
    pub const fn kind(self) -> DialectKind {
        self.kind
    }

    /// PostgreSQL's `standard_conforming_strings`: off makes a backslash special in every string.
    #[must_use]
    pub const fn with_standard_conforming_strings(mut self, on: bool) -> Self {
        self.standard_conforming_strings = on;
        self
    }

    /// MySQL's `NO_BACKSLASH_ESCAPES`: on makes a backslash plain in strings.
    #[must_use]
    pub const fn with_no_backslash_escapes(mut self, on: bool) -> Self {
        self.no_backslash_escapes = on;
        self
    }

    /// MySQL's `ANSI_QUOTES`: on makes `"…"` an identifier.
    #[must_use]
    pub const fn with_ansi_quotes(mut self, on: bool) -> Self {
        self.ansi_quotes = on;
        self
    }

    /// Sets how many arguments one statement may have; SQLite has a limit per connection.
    #[must_use]
    pub const fn with_max_parameters(mut self, n: usize) -> Self {
        self.max_parameters = n;
        self
    }

    /// How many arguments one statement may have.
    pub const fn max_parameters(self) -> usize {
        self.max_parameters
    }

    pub(super) const fn standard_conforming_strings(self) -> bool {
        self.standard_conforming_strings
    }

    pub(super) const fn no_backslash_escapes(self) -> bool {
        self.no_backslash_escapes
    }

    pub(super) const fn ansi_quotes(self) -> bool {
        self.ansi_quotes
    }
}
