//! Statements that change the schema. They have no parameters: sea-query writes what values they hold as literals.

use sea_query::extension::postgres::{
    ExtensionCreateStatement, ExtensionDropStatement, TypeAlterStatement, TypeCreateStatement, TypeDropStatement,
};
use sea_query::{
    ColumnDef, ColumnType, ForeignKeyCreateStatement, ForeignKeyDropStatement, ForeignKeyStatement,
    IndexCreateStatement, IndexDropStatement, IndexStatement, PostgresQueryBuilder, SchemaStatement,
    SchemaStatementBuilder, TableAlterStatement, TableCreateStatement, TableDropStatement, TableRenameStatement,
    TableStatement, TableTruncateStatement,
};

use super::{Build, guarded, unsupported, write_for};
use crate::error::Result;
use crate::query::{Query, sql};
use crate::sql::Dialect;
use crate::sql::DialectKind::{MySql, Postgres, Sqlite};

fn schema(statement: &impl SchemaStatementBuilder, dialect: Dialect) -> Result<Query<'static>> {
    guarded(dialect, || Ok(sql(write_for!(dialect, builder => statement.build(builder)))))
}

macro_rules! builds {
    ($($type:ident),+) => {$(
        impl Build for $type {
            fn written(&self, dialect: Dialect) -> Result<Query<'static>> {
                schema(self, dialect)
            }
        }
    )+};
}

builds!(TableAlterStatement, TableDropStatement, TableRenameStatement, IndexDropStatement);

impl Build for TableCreateStatement {
    fn written(&self, dialect: Dialect) -> Result<Query<'static>> {
        self.get_columns().iter().try_for_each(|column| check_column(column, dialect))?;
        for index in self.get_indexes() {
            check_name(index.get_index_spec().get_name(), dialect)?;
        }
        for key in self.get_foreign_key_create_stmts() {
            check_name(key.get_foreign_key().get_name(), dialect)?;
        }
        schema(self, dialect)
    }
}

impl Build for TableTruncateStatement {
    fn written(&self, dialect: Dialect) -> Result<Query<'static>> {
        if dialect.kind() == Sqlite {
            return Err(unsupported(dialect, "TRUNCATE").with_hint("DELETE without a WHERE is as fast on SQLite"));
        }
        schema(self, dialect)
    }
}

impl Build for IndexCreateStatement {
    fn written(&self, dialect: Dialect) -> Result<Query<'static>> {
        check_name(self.get_index_spec().get_name(), dialect)?;
        schema(self, dialect)
    }
}

impl Build for ForeignKeyCreateStatement {
    fn written(&self, dialect: Dialect) -> Result<Query<'static>> {
        check_key_outside_of_table(dialect)?;
        check_name(self.get_foreign_key().get_name(), dialect)?;
        schema(self, dialect)
    }
}

impl Build for ForeignKeyDropStatement {
    fn written(&self, dialect: Dialect) -> Result<Query<'static>> {
        check_key_outside_of_table(dialect)?;
        schema(self, dialect)
    }
}

impl Build for TableStatement {
    fn written(&self, dialect: Dialect) -> Result<Query<'static>> {
        match self {
            Self::Create(statement) => statement.written(dialect),
            Self::Alter(statement) => statement.written(dialect),
            Self::Drop(statement) => statement.written(dialect),
            Self::Rename(statement) => statement.written(dialect),
            Self::Truncate(statement) => statement.written(dialect),
            _ => Err(unsupported(dialect, NEWER)),
        }
    }
}

impl Build for IndexStatement {
    fn written(&self, dialect: Dialect) -> Result<Query<'static>> {
        match self {
            Self::Create(statement) => statement.written(dialect),
            Self::Drop(statement) => statement.written(dialect),
            _ => Err(unsupported(dialect, NEWER)),
        }
    }
}

impl Build for ForeignKeyStatement {
    fn written(&self, dialect: Dialect) -> Result<Query<'static>> {
        match self {
            Self::Create(statement) => statement.written(dialect),
            Self::Drop(statement) => statement.written(dialect),
            _ => Err(unsupported(dialect, NEWER)),
        }
    }
}

impl Build for SchemaStatement {
    fn written(&self, dialect: Dialect) -> Result<Query<'static>> {
        match self {
            Self::TableStatement(statement) => statement.written(dialect),
            Self::IndexStatement(statement) => statement.written(dialect),
            Self::ForeignKeyStatement(statement) => statement.written(dialect),
            _ => Err(unsupported(dialect, NEWER)),
        }
    }
}

/// What a newer sea-query may bring.
const NEWER: &str = "a statement of a kind that this crate does not know";

macro_rules! only_postgres {
    ($what:literal: $($type:ident),+) => {$(
        impl Build for $type {
            fn written(&self, dialect: Dialect) -> Result<Query<'static>> {
                if dialect.kind() != Postgres {
                    return Err(unsupported(dialect, $what));
                }
                guarded(dialect, || Ok(sql(self.build_ref(&PostgresQueryBuilder))))
            }
        }
    )+};
}

only_postgres!("a type of its own": TypeCreateStatement, TypeAlterStatement, TypeDropStatement);
only_postgres!("an extension": ExtensionCreateStatement, ExtensionDropStatement);

fn check_key_outside_of_table(dialect: Dialect) -> Result<()> {
    if dialect.kind() == Sqlite {
        let error = unsupported(dialect, "a foreign key of a table that is there");
        return Err(error.with_hint("SQLite takes foreign keys where the table is created"));
    }
    Ok(())
}

/// sea-query puts names of indexes and constraints between quotes as they are.
fn check_name(name: Option<&str>, dialect: Dialect) -> Result<()> {
    let quote = if dialect.kind() == MySql { '`' } else { '"' };
    if name.is_some_and(|name| name.contains(quote)) {
        return Err(unsupported(dialect, &format!("a {quote} in the name of an index or constraint")));
    }
    Ok(())
}

/// Refuses the types at which sea-query panics or for which it writes none.
fn check_column(column: &ColumnDef, dialect: Dialect) -> Result<()> {
    let Some(of) = column.get_column_type() else { return Ok(()) };
    let there = match (of, dialect.kind()) {
        (ColumnType::Array(_) | ColumnType::Vector(_) | ColumnType::Cidr | ColumnType::Inet, kind)
        | (ColumnType::MacAddr | ColumnType::LTree | ColumnType::Interval(..), kind) => kind == Postgres,
        (ColumnType::Year, kind) => kind == MySql,
        (ColumnType::Bit(_) | ColumnType::VarBit(_), kind) => kind != Sqlite,
        _ => true,
    };
    if !there {
        return Err(unsupported(dialect, &format!("the type of the column `{}`", column.get_column_name())));
    }
    let counted = matches!(of, ColumnType::SmallInteger | ColumnType::Integer | ColumnType::BigInteger);
    if column.get_column_spec().auto_increment && dialect.kind() == Postgres && !counted {
        let what = format!("the auto-increment of the column `{}`", column.get_column_name());
        return Err(unsupported(dialect, &what).with_hint("PostgreSQL counts small_integer, integer and big_integer"));
    }
    Ok(())
}
