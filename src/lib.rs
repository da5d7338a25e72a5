#![doc = include_str!("../README.md")]
// Lengths and numbers are checked or converted by `From`; a cast that cannot go wrong says why.
#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss
    )
)]

mod builder;
mod database;
mod dispatch;

pub use builder::DatabaseBuilder;
pub use database::Database;
#[cfg(feature = "json")]
pub use databases_core::Json;
pub use databases_core::backend;
#[cfg(feature = "query-builder")]
pub use databases_core::sea_query;
pub use databases_core::types;
pub use databases_core::url::DatabaseUrl;
pub use databases_core::{
    Array, ArrayShape, Cells, Column, ColumnIndex, Columns, Connection, ConversionError, CopyIn, Effect, Error,
    ErrorKind, ExecResult, Executor, FromRow, FromValue, Ident, IntoParams, IntoQuery, IntoValue, Isolation, List,
    LockMode, Native, Other, Params, PoolStatus, Query, RawExecutor, Refused, Result, Row, RowStream, ServerInfo,
    Status, Transaction, TransactionOptions, TypeCodec, Value, ValueKind, ValueRef, ident, list, params, sql,
};
#[cfg(feature = "macros")]
pub use databases_macros::{FromRow, FromValue, IntoValue, Params};
#[cfg(feature = "mysql")]
pub use databases_mysql as mysql;
#[cfg(feature = "postgres")]
pub use databases_postgres as postgres;
#[cfg(feature = "sqlite")]
pub use databases_sqlite as sqlite;

/// What the derives expand to; not API.
#[doc(hidden)]
pub mod __private {
    pub use databases_core::__private::{Indices, record, record_field, record_fields};
    pub use databases_core::{Arg, Plan, RowRef, mismatch_as};
}
