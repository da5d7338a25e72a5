//! The derives as their users write them, on SQLite in memory: every attribute, generics, and what their errors say.
//!
//! What is refused at compile time is the matter of the unit tests of `databases-macros`.
#![cfg(all(feature = "sqlite", feature = "macros"))]

#[path = "derive/bare.rs"]
mod bare;
#[path = "derive/columns.rs"]
mod columns;
#[cfg(feature = "json")]
#[path = "derive/json.rs"]
mod json;
#[path = "derive/parameters.rs"]
mod parameters;
#[path = "derive/values.rs"]
mod values;

use databases::{Database, Error, ErrorKind, Executor, FromRow, Result};

async fn memory() -> Result<Database> {
    Database::connect("sqlite::memory:").await
}

/// Reads the first row of `sql`.
async fn read<T: FromRow>(sql: &str) -> Result<T> {
    memory().await?.fetch_one(sql, ()).await
}

/// The decode error that reading the first row of `sql` gives.
async fn error<T: FromRow>(sql: &str) -> Error {
    let error = read::<T>(sql).await.map(drop).expect_err("the row does not fit");
    assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
    error
}
