use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use databases::{Executor, Result, params};

use super::{Column, DATE, DATETIME, TIME, TIMESTAMP, assert_kept, assert_refused, refusals};

fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

#[tokio::test]
async fn values_are_kept() -> Result<()> {
    let time = |second, micro| NaiveTime::from_hms_micro_opt(23, 59, second, micro).unwrap();
    assert_kept(DATE, [day(1000, 1, 1), day(1970, 1, 1), day(2024, 2, 29), day(9999, 12, 31)]).await?;
    assert_kept(TIME, [NaiveTime::MIN, time(0, 1), time(59, 999_999)]).await?;
    assert_kept(DATETIME, [day(1000, 1, 1).and_time(NaiveTime::MIN), day(9999, 12, 31).and_time(time(59, 999_999))])
        .await?;
    assert_kept(
        TIMESTAMP,
        [
            day(1970, 1, 2).and_time(time(1, 1)).and_utc(),
            day(2024, 2, 29).and_time(NaiveTime::MIN).and_utc(),
            day(2037, 12, 31).and_time(time(59, 999_999)).and_utc(),
        ],
    )
    .await
}

#[tokio::test]
async fn an_offset_is_used_up() -> Result<()> {
    let there = FixedOffset::east_opt(19_800).unwrap().with_ymd_and_hms(2024, 1, 2, 3, 4, 5).unwrap();
    for (backend, db) in super::connections().await? {
        let column = TIMESTAMP.on(backend).expect("every backend has timestamps");
        db.execute(format!("CREATE TEMPORARY TABLE zoned (value {column})"), ()).await?;
        db.execute("INSERT INTO zoned VALUES (:there)", params! { there }).await?;
        let back: DateTime<Utc> = db.fetch_val("SELECT value FROM zoned", ()).await?;
        assert_eq!(back, there);
        db.execute("DROP TABLE zoned", ()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_does_not_fit_is_an_error_that_names_column_and_class() -> Result<()> {
    let only_postgres = |name| Column { postgres: Some(name), mysql: None, sqlite: None };
    for message in refusals::<DateTime<Utc>>(only_postgres("timestamptz"), "'infinity'").await? {
        assert!(message.contains("`value`"), "{message}");
        assert!(message.ends_with("an infinite timestamp cannot be read as chrono::DateTime<Utc>"), "{message}");
    }
    for message in refusals::<NaiveDateTime>(only_postgres("timestamp"), "'294276-12-31'").await? {
        assert!(message.ends_with("a timestamp after the year 262142 cannot be read as chrono::NaiveDateTime"));
    }
    for message in refusals::<NaiveTime>(TIME, "'24:00:00'").await? {
        assert!(message.ends_with("a time of 24:00 cannot be read as chrono::NaiveTime"), "{message}");
    }
    for message in refusals::<NaiveDate>(Column::new("text", "TEXT", "TEXT"), "'2024-02-30'").await? {
        assert!(message.ends_with("this text does not have the form of chrono::NaiveDate"), "{message}");
    }
    let leap = NaiveTime::from_hms_nano_opt(23, 59, 59, 1_500_000_000).unwrap();
    assert_refused(leap).await?;
    assert_refused(day(2016, 12, 31).and_time(leap).and_utc()).await?;
    assert_refused(day(-5000, 1, 1)).await
}
