//! Statements of the query builder as queries.
//!
//! A built statement takes the same path as text: our writer puts a reserved `:name` where sea-query would put a
//! placeholder, so that `:name`s in custom expressions work beside built values.

use std::fmt::Write;

use sea_query::{MysqlQueryBuilder, PostgresQueryBuilder, QueryBuilder, SqlWriter, SqliteQueryBuilder};

use crate::error::{Error, ErrorKind, Result};
use crate::params::Params;
use crate::query::{IntoQuery, Query, sql};
use crate::sql::{Dialect, DialectKind, scan};
use crate::value::Value;

/// Writes a statement with `:_databases_1`, `:_databases_2`, … for its values.
#[derive(Default)]
struct NamedWriter {
    sql: String,
    params: Params<'static>,
    refused: Option<Error>,
}

impl Write for NamedWriter {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.sql.push_str(s);
        Ok(())
    }
}

// sea-query wants its writers to be `ToString`.
impl std::fmt::Display for NamedWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sql)
    }
}

impl SqlWriter for NamedWriter {
    fn push_param<T: QueryBuilder>(&mut self, value: sea_query::Value, _: &T) {
        let name = format!("_databases_{}", self.params.len() + 1);
        // A name directly behind a word or closing bracket would be text.
        if !self.sql.ends_with([' ', '(', ',', '[', '=', '<', '>', '+', '-', '*', '/', '\n']) {
            self.sql.push(' ');
        }
        self.sql.push(':');
        self.sql.push_str(&name);
        match convert(value) {
            Ok(push) => push(&mut self.params, name),
            Err(error) => self.refused = Some(error),
        }
    }

    fn as_writer(&mut self) -> &mut dyn Write {
        self
    }
}

type Push = Box<dyn FnOnce(&mut Params<'static>, String)>;

/// Keeps the type of a NULL, which the server may need.
fn convert(value: sea_query::Value) -> Result<Push> {
    use sea_query::Value as Sea;

    fn typed<T: crate::value::IntoValue + 'static>(value: Option<T>) -> Result<Push> {
        Ok(Box::new(move |params, name| params.push(name, value)))
    }

    match value {
        Sea::Bool(v) => typed(v),
        Sea::TinyInt(v) => typed(v),
        Sea::SmallInt(v) => typed(v),
        Sea::Int(v) => typed(v),
        Sea::BigInt(v) => typed(v),
        Sea::TinyUnsigned(v) => typed(v.map(i16::from)),
        Sea::SmallUnsigned(v) => typed(v),
        Sea::Unsigned(v) => typed(v),
        Sea::BigUnsigned(v) => typed(v),
        Sea::Float(v) => typed(v),
        Sea::Double(v) => typed(v),
        Sea::String(v) => typed(v),
        Sea::Char(v) => typed(v),
        Sea::Bytes(v) => typed(v),
        Sea::Enum(sea_query::OptionEnum::Some(v)) => typed(Some(Value::Text(v.value.into_owned()))),
        Sea::Enum(sea_query::OptionEnum::None(_)) => typed(None::<Value>),
        // Other crates in the build may switch on more of sea-query's types.
        #[allow(unreachable_patterns)]
        other => {
            let debug = format!("{other:?}");
            let variant = debug.split('(').next().unwrap_or_default().to_owned();
            let message =
                format!("a built statement holds a value of sea-query's type {variant}, which cannot be bound");
            Err(Error::new(ErrorKind::Encode, message).with_hint(
                "put `:name` into the statement with Expr::cust(\":name\") and pass the value as a parameter",
            ))
        }
    }
}

/// Writes `statement` as `dialect` wants it.
macro_rules! write_for {
    ($dialect:expr, $statement:expr, $writer:expr) => {
        match $dialect.kind() {
            DialectKind::Postgres => $statement.build_collect_any_into(&PostgresQueryBuilder, $writer),
            DialectKind::MySql => $statement.build_collect_any_into(&MysqlQueryBuilder, $writer),
            DialectKind::Sqlite => $statement.build_collect_any_into(&SqliteQueryBuilder, $writer),
        }
    };
}

fn finish(writer: NamedWriter) -> Result<Query<'static>> {
    if let Some(refused) = writer.refused {
        return Err(refused);
    }
    let mut query = sql(writer.sql);
    query.built = writer.params;
    Ok(query)
}

fn built<S: sea_query::QueryStatementBuilder>(statement: &S, dialect: Dialect) -> Result<Query<'static>> {
    if dialect.kind() == DialectKind::MySql {
        refuse_lost_returning(statement)?;
    }
    let mut writer = NamedWriter::default();
    write_for!(dialect, statement, &mut writer);
    finish(writer)
}

/// sea-query's writer for MySQL leaves RETURNING out without a word; a caller would wait for rows in vain.
fn refuse_lost_returning<S: sea_query::QueryStatementBuilder>(statement: &S) -> Result<()> {
    let mut writer = NamedWriter::default();
    statement.build_collect_any_into(&SqliteQueryBuilder, &mut writer);
    let returning = scan(&writer.sql, Dialect::SQLITE).is_ok_and(|template| template.has_returning());
    if returning {
        return Err(Error::new(ErrorKind::Unsupported, "the query builder cannot write RETURNING for MySQL")
            .with_hint("use last_insert_id(), or on MariaDB write the statement as text"));
    }
    Ok(())
}

fn schema<S: sea_query::SchemaStatementBuilder>(statement: &S, dialect: Dialect) -> Result<Query<'static>> {
    Ok(sql(match dialect.kind() {
        DialectKind::Postgres => statement.build(PostgresQueryBuilder),
        DialectKind::MySql => statement.build(MysqlQueryBuilder),
        DialectKind::Sqlite => statement.build(SqliteQueryBuilder),
    }))
}

macro_rules! queries {
    ($build:ident: $($type:ident),+) => {$(
        impl IntoQuery for sea_query::$type {
            fn into_query<'q>(self, dialect: Dialect) -> Result<Query<'q>> {
                $build(&self, dialect)
            }
        }

        impl IntoQuery for &sea_query::$type {
            fn into_query<'q>(self, dialect: Dialect) -> Result<Query<'q>> where Self: 'q {
                $build(self, dialect)
            }
        }

        impl IntoQuery for &mut sea_query::$type {
            fn into_query<'q>(self, dialect: Dialect) -> Result<Query<'q>> where Self: 'q {
                $build(self, dialect)
            }
        }
    )+};
}

queries!(built: SelectStatement, InsertStatement, UpdateStatement, DeleteStatement, WithQuery);
queries!(schema: TableCreateStatement, TableAlterStatement, TableDropStatement, TableRenameStatement,
    TableTruncateStatement, IndexCreateStatement, IndexDropStatement, ForeignKeyCreateStatement,
    ForeignKeyDropStatement);

#[cfg(test)]
mod tests {
    use sea_query::{Expr, ExprTrait, Query as Build};

    use super::*;

    fn insert() -> sea_query::InsertStatement {
        Build::insert().into_table("t").columns(["a", "b"]).values_panic([1.into(), "x".into()]).to_owned()
    }

    #[test]
    fn values_become_named_parameters() {
        let query = insert().into_query(Dialect::POSTGRES).unwrap();
        assert_eq!(query.text(), r#"INSERT INTO "t" ("a", "b") VALUES (:_databases_1, :_databases_2)"#);
        assert_eq!(query.built.names().collect::<Vec<_>>(), ["_databases_1", "_databases_2"]);
    }

    #[test]
    fn names_in_custom_expressions_stay() {
        let select = Build::select()
            .column("a")
            .from("t")
            .and_where(Expr::col("a").gt(5))
            .and_where(Expr::cust("b = :name"))
            .to_owned();
        let query = (&select).into_query(Dialect::SQLITE).unwrap();
        assert_eq!(query.text(), r#"SELECT "a" FROM "t" WHERE "a" > :_databases_1 AND (b = :name)"#);
    }

    #[test]
    fn a_returning_that_mysql_would_lose_is_an_error() {
        let mut insert = insert();
        assert!((&insert).into_query(Dialect::MYSQL).is_ok());
        insert.returning_all();
        assert_eq!((&mut insert).into_query(Dialect::MYSQL).unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(insert.into_query(Dialect::SQLITE).unwrap().text().ends_with("RETURNING *"));
    }
}
