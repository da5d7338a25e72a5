//! Types of other crates through a whole database: bound, stored in the column that is natural for them, and read back.
//!
//! On SQLite in memory and on each server of `TEST_DATABASE_URLS` whose backend is compiled in; every feature brings its
//! own file. What each type takes and refuses is tested in core, without a database.

#![allow(dead_code, reason = "not every feature needs every helper")]

#[cfg(feature = "bigdecimal")]
#[path = "interop/bigdecimal.rs"]
mod bigdecimal;
#[cfg(feature = "query-builder")]
#[path = "interop/built.rs"]
mod built;
#[cfg(feature = "chrono")]
#[path = "interop/chrono.rs"]
mod chrono;
#[cfg(feature = "ipnet")]
#[path = "interop/ipnet.rs"]
mod ipnet;
#[cfg(feature = "jiff")]
#[path = "interop/jiff.rs"]
mod jiff;
#[cfg(feature = "json")]
#[path = "interop/json.rs"]
mod json;
#[path = "interop/net.rs"]
mod net;
#[cfg(all(
    feature = "bigdecimal",
    feature = "chrono",
    feature = "ipnet",
    feature = "jiff",
    feature = "postgres",
    feature = "rust_decimal",
    feature = "time",
    feature = "uuid"
))]
#[path = "interop/refusals.rs"]
mod refusals;
#[cfg(feature = "rust_decimal")]
#[path = "interop/rust_decimal.rs"]
mod rust_decimal;
#[cfg(feature = "serde")]
#[path = "interop/serde.rs"]
mod serde;
#[cfg(feature = "time")]
#[path = "interop/time.rs"]
mod time;
#[cfg(feature = "uuid")]
#[path = "interop/uuid.rs"]
mod uuid;

use std::fmt::Debug;

use databases::{Connection, Database, Effect, ErrorKind, Executor, FromValue, IntoValue, Result, params};

/// The type of a column on each backend; `None` where a backend cannot store such values.
#[derive(Clone, Copy)]
struct Column {
    postgres: Option<&'static str>,
    mysql: Option<&'static str>,
    sqlite: Option<&'static str>,
}

impl Column {
    const fn new(postgres: &'static str, mysql: &'static str, sqlite: &'static str) -> Self {
        Self { postgres: Some(postgres), mysql: Some(mysql), sqlite: Some(sqlite) }
    }

    fn on(self, backend: &str) -> Option<&'static str> {
        match backend {
            "postgres" => self.postgres,
            "mysql" => self.mysql,
            "sqlite" => self.sqlite,
            other => panic!("no column type for {other}"),
        }
    }
}

const DATE: Column = Column::new("date", "DATE", "DATE");
const TIME: Column = Column::new("time", "TIME(6)", "TIME");
const DATETIME: Column = Column::new("timestamp", "DATETIME(6)", "DATETIME");
const TIMESTAMP: Column = Column::new("timestamptz", "TIMESTAMP(6) NULL", "TIMESTAMP");

/// One connection to each database there is, and the name of its backend.
async fn connections() -> Result<Vec<(&'static str, Connection)>> {
    let urls = std::env::var("TEST_DATABASE_URLS").unwrap_or_default();
    let servers = urls.split(',').filter(|url| {
        let scheme = url.split(':').next();
        (cfg!(feature = "postgres") && matches!(scheme, Some("postgres" | "postgresql")))
            || (cfg!(feature = "mysql") && matches!(scheme, Some("mysql" | "mariadb")))
    });
    let mut found = Vec::new();
    for url in std::iter::once("sqlite::memory:").chain(servers) {
        let db = Database::connect(url).await?;
        found.push((db.backend(), db.acquire().await?));
    }
    Ok(found)
}

/// Stores each value, and NULL, in a column of its type and reads them back.
async fn assert_kept<T>(column: Column, values: impl IntoIterator<Item = T>) -> Result<()>
where
    T: IntoValue + FromValue + Clone + PartialEq + Debug + Sync,
{
    let values: Vec<Option<T>> = values.into_iter().map(Some).chain([None]).collect();
    for (backend, db) in connections().await? {
        let Some(column) = column.on(backend) else { continue };
        db.execute(format!("CREATE TEMPORARY TABLE kept (id INTEGER, value {column})"), ()).await?;
        let insert = "INSERT INTO kept (id, value) VALUES (:id, :value)";
        for (id, value) in values.iter().enumerate() {
            db.execute(insert, params! { id: id as i64, value: value }).await?;
        }
        let rows =
            values.iter().enumerate().map(|(id, value)| params! { id: (values.len() + id) as i64, value: value });
        db.execute_many(insert, rows).await?;
        let read: Vec<(Option<T>,)> = db.fetch_all("SELECT value FROM kept ORDER BY id", ()).await?;
        for (index, (read,)) in read.iter().enumerate() {
            assert_eq!(*read, values[index % values.len()], "{column} on {backend}");
        }
        assert_eq!(read.len(), values.len() * 2);
        // A NULL knows its type, and a value is found by itself.
        let nulls = "SELECT count(*) FROM kept WHERE :value IS NULL AND value IS NULL";
        assert_eq!(db.fetch_val::<i64>(nulls, params! { value: None::<T> }).await?, 2, "{column} on {backend}");
        db.execute("DROP TABLE kept", ()).await?;
    }
    Ok(())
}

/// Stores a literal in a column and returns the message with which it is refused as a `T`.
async fn refusals<T: FromValue>(column: Column, literal: &str) -> Result<Vec<String>> {
    let mut messages = Vec::new();
    for (backend, db) in connections().await? {
        let Some(column) = column.on(backend) else { continue };
        db.execute(format!("CREATE TEMPORARY TABLE refused (value {column})"), ()).await?;
        db.execute(format!("INSERT INTO refused VALUES ({literal})"), ()).await?;
        let error = db.fetch_val::<T>("SELECT value FROM refused", ()).await.map(drop).expect_err("it does not fit");
        assert_eq!(error.kind(), ErrorKind::Decode);
        let said = error.to_string();
        assert!(said.starts_with("column `value`"), "{said}");
        messages.push(said);
        db.execute("DROP TABLE refused", ()).await?;
    }
    assert!(!messages.is_empty() || std::env::var("TEST_DATABASE_URLS").is_err());
    Ok(messages)
}

/// Asserts that no database takes `value` for a parameter, wherever it stands.
async fn assert_refused(value: impl IntoValue + Clone + Send) -> Result<()> {
    for (_, db) in connections().await? {
        for sql in ["SELECT :value", "SELECT 1 WHERE 1 IN (:value)", "SELECT 1 WHERE '' = :value"] {
            let result: Result<Vec<databases::Row>> = db.fetch_all(sql, params! { value: value.clone() }).await;
            let error = result.map(drop).expect_err("no backend takes it");
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Encode, Effect::NotSent), "{sql}: {error}");
            let said = error.to_string();
            let reason = said.strip_prefix("the parameter `value`: a").expect("it names the parameter and the class");
            assert!(reason.contains(" cannot be written as types::"), "{said}");
        }
    }
    Ok(())
}
