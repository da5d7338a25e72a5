//! Values of other crates inside sea-query's statements.

use std::fmt::Debug;

use databases::sea_query::{Nullable, Query, Value};
use databases::{Executor, FromValue, Result};

use super::{Column, connections};

/// Stores `value` and a NULL of its type with a built statement and reads them back.
async fn assert_built<T>(column: Column, value: T) -> Result<()>
where
    T: Into<Value> + Nullable + FromValue + Clone + PartialEq + Debug,
{
    for (backend, db) in connections().await? {
        let Some(column) = column.on(backend) else { continue };
        db.execute(format!("CREATE TEMPORARY TABLE built (id INTEGER, value {column})"), ()).await?;
        let insert = Query::insert()
            .into_table("built")
            .columns(["id", "value"])
            .values_panic([1.into(), value.clone().into().into()])
            .values_panic([2.into(), T::null().into()])
            .take();
        db.execute(insert, ()).await?;
        let read: Vec<(Option<T>,)> = db.fetch_all("SELECT value FROM built ORDER BY id", ()).await?;
        assert_eq!(read, [(Some(value.clone()),), (None,)], "{column} on {backend}");
        db.execute("DROP TABLE built", ()).await?;
    }
    Ok(())
}

#[cfg(feature = "chrono")]
#[tokio::test]
async fn chronos_values_are_bound() -> Result<()> {
    use chrono::{FixedOffset, Local, NaiveDate, TimeZone, Utc};
    let day = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
    let at = day.and_hms_micro_opt(23, 59, 58, 123_456).unwrap();
    assert_built(super::DATE, day).await?;
    assert_built(super::TIME, at.time()).await?;
    assert_built(super::DATETIME, at).await?;
    assert_built(super::TIMESTAMP, at.and_utc()).await?;
    // With another zone they are only bound: what is read is an instant.
    let there = FixedOffset::east_opt(19_800).unwrap().from_utc_datetime(&at);
    for value in [Value::from(there), Value::from(Local.from_utc_datetime(&at))] {
        let select = Query::select().expr(databases::sea_query::Expr::val(value)).take();
        for (backend, db) in connections().await? {
            assert_eq!(db.fetch_val::<chrono::DateTime<Utc>>(&select, ()).await?, at.and_utc(), "{backend}");
        }
    }
    Ok(())
}

#[cfg(feature = "time")]
#[tokio::test]
async fn times_values_are_bound() -> Result<()> {
    use time::{Date, Month, PrimitiveDateTime, Time};
    let day = Date::from_calendar_date(2024, Month::February, 29).unwrap();
    let time = Time::from_hms_micro(23, 59, 58, 123_456).unwrap();
    let at = PrimitiveDateTime::new(day, time);
    assert_built(super::DATE, day).await?;
    assert_built(super::TIME, time).await?;
    assert_built(super::DATETIME, at).await?;
    assert_built(super::TIMESTAMP, at.assume_utc()).await
}

#[cfg(feature = "jiff")]
#[tokio::test]
async fn jiffs_values_are_bound() -> Result<()> {
    let at = jiff::civil::date(2024, 2, 29).at(23, 59, 58, 123_456_000);
    assert_built(super::DATE, at.date()).await?;
    assert_built(super::TIME, at.time()).await?;
    assert_built(super::DATETIME, at).await?;
    assert_built(super::TIMESTAMP, at.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp()).await
}

#[cfg(feature = "uuid")]
#[tokio::test]
async fn uuids_are_bound() -> Result<()> {
    assert_built(Column::new("uuid", "CHAR(36)", "TEXT"), uuid::Uuid::from_u128(0x1234_5678_9abc)).await
}

#[cfg(feature = "rust_decimal")]
#[tokio::test]
async fn rust_decimals_are_bound() -> Result<()> {
    assert_built(Column::new("numeric", "DECIMAL(20, 3)", "NUMERIC"), rust_decimal::Decimal::new(-1_234_567, 3)).await
}

#[cfg(feature = "bigdecimal")]
#[tokio::test]
async fn big_decimals_are_bound() -> Result<()> {
    let value: bigdecimal::BigDecimal = "-1234.567".parse().unwrap();
    assert_built(Column::new("numeric", "DECIMAL(20, 3)", "NUMERIC"), value).await
}

#[cfg(feature = "json")]
#[tokio::test]
async fn json_is_bound() -> Result<()> {
    assert_built(Column::new("jsonb", "JSON", "TEXT"), serde_json::json!({"a": [1, null, "b"]})).await
}
