//! Statements of the query builder as queries.
//!
//! A built statement takes the same path as text: our writer puts a reserved `:name` where sea-query would put a
//! placeholder, so that `:name`s in custom expressions work beside built values.

mod probe;
mod schema;
#[cfg(test)]
mod tests;
mod value;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sea_query::{QueryBuilder, SqlWriter};

use crate::error::{Effect, Error, ErrorKind, Result};
use crate::params::Params;
use crate::query::{IntoQuery, Query, sql};
use crate::sql::{Dialect, DialectKind};

/// Writes a statement with `:_databases_1`, `:_databases_2`, … for its values.
struct NamedWriter {
    sql: String,
    params: Params<'static>,
    prefix: &'static str,
    refused: Option<Error>,
}

impl NamedWriter {
    fn new() -> Self {
        Self { sql: String::new(), params: Params::new(), prefix: "_databases_", refused: None }
    }

    /// For a RETURNING that is written by itself, with names of its own.
    fn for_returning() -> Self {
        Self { prefix: "_databases_returning_", ..Self::new() }
    }

    fn push_text(&mut self, text: &str) {
        self.sql.push_str(text);
    }

    /// Appends what `other` has written.
    fn append(&mut self, other: Self) {
        self.sql.push_str(&other.sql);
        self.params.extend(other.params);
        self.refused = self.refused.take().or(other.refused);
    }

    fn finish(self) -> Result<Query<'static>> {
        match self.refused {
            Some(refused) => Err(refused),
            None => {
                let mut query = sql(self.sql);
                query.more().built = self.params;
                Ok(query)
            }
        }
    }
}

impl fmt::Write for NamedWriter {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.sql.push_str(s);
        Ok(())
    }
}

// sea-query wants its writers to be `ToString`.
impl fmt::Display for NamedWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sql)
    }
}

impl SqlWriter for NamedWriter {
    fn push_param<T: QueryBuilder>(&mut self, value: sea_query::Value, _: &T) {
        let name = format!("{}{}", self.prefix, self.params.len() + 1);
        // A name directly behind a word or closing bracket would be text.
        if !self.sql.ends_with([' ', '(', ',', '[', '=', '<', '>', '+', '-', '*', '/', '\n']) {
            self.sql.push(' ');
        }
        self.sql.push(':');
        self.sql.push_str(&name);
        match value::convert(value) {
            Ok(arg) => self.params.push_arg(name, arg),
            Err(error) => self.refused = Some(error),
        }
    }

    fn as_writer(&mut self) -> &mut dyn fmt::Write {
        self
    }
}

fn name_of(dialect: Dialect) -> &'static str {
    match dialect.kind() {
        DialectKind::Postgres => "PostgreSQL",
        DialectKind::MySql => "MySQL",
        DialectKind::Sqlite => "SQLite",
    }
}

/// The error for `what`, which the query builder has no words for in `dialect`.
#[cold]
fn unsupported(dialect: Dialect, what: &str) -> Error {
    let message = format!("the query builder cannot write {what} for {}", name_of(dialect));
    Error::new(ErrorKind::Unsupported, message).with_effect(Effect::NotSent)
}

/// Runs `write`, which calls sea-query; a panic there is an error.
///
/// sea-query has no other way to say that it cannot write a statement, and hides most of what statements hold, so that
/// not everything can be looked for beforehand: what can be is refused by [`probe`] and [`schema`], without a panic and
/// its message on stderr. The rest is an ALTER TABLE that SQLite does not have, a WITH that lacks its parts, an alias
/// on a table that is changed, and MySQL's DROP INDEX IF EXISTS; with `panic = "abort"` these end the process. Its
/// messages name parts of SQL, never a value.
fn guarded<T>(dialect: Dialect, write: impl FnOnce() -> Result<T>) -> Result<T> {
    // A statement is only read, and a writer is dropped with the panic.
    catch_unwind(AssertUnwindSafe(write)).unwrap_or_else(|panic| {
        let why = message_of(&*panic);
        Err(unsupported(dialect, &format!("this statement ({why})")))
    })
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why")
}

/// Writes with the builder of `dialect`.
macro_rules! write_for {
    ($dialect:expr, $builder:ident => $write:expr) => {
        match $dialect.kind() {
            $crate::sql::DialectKind::Postgres => {
                let $builder = sea_query::PostgresQueryBuilder;
                $write
            }
            $crate::sql::DialectKind::MySql => {
                let $builder = sea_query::MysqlQueryBuilder;
                $write
            }
            $crate::sql::DialectKind::Sqlite => {
                let $builder = sea_query::SqliteQueryBuilder;
                $write
            }
        }
    };
}
use write_for;

/// A statement that can be written.
trait Build {
    fn written(&self, dialect: Dialect) -> Result<Query<'static>>;
}

/// Writes a statement that has values; `returning` says whether MariaDB gives rows for its kind.
///
/// Only a connection tells MariaDB from MySQL, whose backend calls a RETURNING unsupported, in a text as in this.
fn built<S: sea_query::QueryStatementBuilder>(
    statement: &S,
    dialect: Dialect,
    returning: bool,
) -> Result<Query<'static>> {
    guarded(dialect, || {
        let clause = probe::probe(statement, dialect)?;
        if clause.is_some() && !returning {
            let error = unsupported(dialect, "a RETURNING of this statement");
            return Err(error.with_hint("MariaDB has it for INSERT and DELETE, MySQL not at all"));
        }
        let mut writer = NamedWriter::new();
        write_for!(dialect, builder => statement.build_collect_any_into(&builder, &mut writer));
        if let Some(clause) = clause {
            writer.append(clause);
        }
        writer.finish()
    })
}

macro_rules! builds {
    ($returning:literal: $($type:ident),+) => {$(
        impl Build for sea_query::$type {
            fn written(&self, dialect: Dialect) -> Result<Query<'static>> {
                built(self, dialect, $returning)
            }
        }
    )+};
}

builds!(true: InsertStatement, DeleteStatement);
builds!(false: SelectStatement, UpdateStatement, WithQuery);

impl Build for sea_query::ExplainStatement {
    fn written(&self, dialect: Dialect) -> Result<Query<'static>> {
        guarded(dialect, || {
            let mut writer = NamedWriter::new();
            write_for!(dialect, builder => self.build_collect_into(builder, &mut writer));
            writer.finish()
        })
    }
}

impl Build for sea_query::QueryStatement {
    fn written(&self, dialect: Dialect) -> Result<Query<'static>> {
        match self {
            Self::Select(statement) => statement.written(dialect),
            Self::Insert(statement) => statement.written(dialect),
            Self::Update(statement) => statement.written(dialect),
            Self::Delete(statement) => statement.written(dialect),
        }
    }
}

impl Build for sea_query::SubQueryStatement {
    fn written(&self, dialect: Dialect) -> Result<Query<'static>> {
        match self {
            Self::SelectStatement(statement) => statement.written(dialect),
            Self::InsertStatement(statement) => statement.written(dialect),
            Self::UpdateStatement(statement) => statement.written(dialect),
            Self::DeleteStatement(statement) => statement.written(dialect),
            Self::WithStatement(statement) => statement.written(dialect),
        }
    }
}

macro_rules! queries {
    ($($type:ty),+ $(,)?) => {$(
        impl IntoQuery for $type {
            fn into_query<'q>(self, dialect: Dialect) -> Result<Query<'q>> {
                self.written(dialect)
            }
        }

        impl IntoQuery for &$type {
            fn into_query<'q>(self, dialect: Dialect) -> Result<Query<'q>> where Self: 'q {
                self.written(dialect)
            }
        }

        impl IntoQuery for &mut $type {
            fn into_query<'q>(self, dialect: Dialect) -> Result<Query<'q>> where Self: 'q {
                self.written(dialect)
            }
        }
    )+};
}

queries! {
    sea_query::SelectStatement, sea_query::InsertStatement, sea_query::UpdateStatement, sea_query::DeleteStatement,
    sea_query::WithQuery, sea_query::ExplainStatement, sea_query::QueryStatement, sea_query::SubQueryStatement,
    sea_query::TableCreateStatement, sea_query::TableAlterStatement, sea_query::TableDropStatement,
    sea_query::TableRenameStatement, sea_query::TableTruncateStatement, sea_query::TableStatement,
    sea_query::IndexCreateStatement, sea_query::IndexDropStatement, sea_query::IndexStatement,
    sea_query::ForeignKeyCreateStatement, sea_query::ForeignKeyDropStatement, sea_query::ForeignKeyStatement,
    sea_query::SchemaStatement,
    sea_query::extension::postgres::TypeCreateStatement, sea_query::extension::postgres::TypeAlterStatement,
    sea_query::extension::postgres::TypeDropStatement, sea_query::extension::postgres::ExtensionCreateStatement,
    sea_query::extension::postgres::ExtensionDropStatement,
}
