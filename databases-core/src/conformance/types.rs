//! Round trips: the same Rust type in and out on every backend, exactly.

use std::fmt::Debug;

use super::{Fixture, fails};
use crate::database::Pool;
use crate::error::{ErrorKind, Result};
use crate::executor::Executor;
use crate::params;
use crate::types::{Date, DateTime, Decimal, Interval, JsonText, Time, Timestamp, Uuid};
use crate::value::{FromValue, IntoValue};

/// Writes each of `values` and NULL into a column of `column_type` and reads them back.
async fn round_trip<T>(f: &Fixture, column_type: &str, values: impl IntoIterator<Item = T>) -> Result<()>
where
    T: IntoValue + FromValue + Clone + PartialEq + Debug + Sync + 'static,
{
    let db = f.pool()?;
    let t = f.table("types");
    db.execute(format!("CREATE TABLE {t} (id {}, v {column_type})", f.types.i64), ()).await?;
    let insert = format!("INSERT INTO {t} (id, v) VALUES (:id, :v)");
    let select = format!("SELECT v FROM {t} WHERE id = :id");
    for (id, value) in (1_i64..).zip(values) {
        db.execute(&insert, params! { id, v: value.clone() }).await?;
        let read: T = db.fetch_val(&select, params! { id }).await?;
        assert_eq!(read, value, "in {column_type}");
        let optional: Option<T> = db.fetch_val(&select, params! { id }).await?;
        assert_eq!(optional, Some(value));
    }
    db.execute(&insert, params! { id: 0, v: None::<T> }).await?;
    assert_eq!(db.fetch_val::<Option<T>>(&select, params! { id: 0 }).await?, None);
    Ok(())
}

pub async fn bool_round_trips(f: &Fixture) -> Result<()> {
    round_trip(f, f.types.bool, [true, false]).await
}

pub async fn i16_round_trips(f: &Fixture) -> Result<()> {
    round_trip(f, f.types.i16, [0, -1, i16::MIN, i16::MAX]).await
}

pub async fn i32_round_trips(f: &Fixture) -> Result<()> {
    round_trip(f, f.types.i32, [0, -1, i32::MIN, i32::MAX]).await
}

pub async fn i64_round_trips(f: &Fixture) -> Result<()> {
    round_trip(f, f.types.i64, [0, -1, i64::MIN, i64::MAX, 1 << 53, (1 << 53) + 1]).await
}

pub async fn u64_round_trips_as_far_as_the_column_goes(f: &Fixture) -> Result<()> {
    round_trip(f, f.types.u64, [0, 1, i64::MAX as u64]).await?;
    let above = [i64::MAX as u64 + 1, u64::MAX];
    if f.kind() == crate::sql::DialectKind::Sqlite {
        let db = f.pool()?;
        fails(db.fetch_val::<u64>("SELECT :v", params! { v: u64::MAX }).await, ErrorKind::Encode);
        return Ok(());
    }
    round_trip(f, f.types.u64, above).await
}

pub async fn f32_round_trips(f: &Fixture) -> Result<()> {
    round_trip(f, f.types.f32, [0.0_f32, 0.1, -1.5, 16_777_216.0, 1e-10, 1.5e30]).await
}

pub async fn f64_round_trips(f: &Fixture) -> Result<()> {
    round_trip(f, f.types.f64, [0.0, 0.1, -2.5, 1e15, 1e16, 1.0 / 3.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324])
        .await
}

pub async fn negative_zero_is_zero_and_keeps_its_sign_on_postgresql(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.table("zero");
    db.execute(format!("CREATE TABLE {t} (v {})", f.types.f64), ()).await?;
    db.execute(format!("INSERT INTO {t} (v) VALUES (:v)"), params! { v: -0.0 }).await?;
    let read: f64 = db.fetch_val(format!("SELECT v FROM {t}"), ()).await?;
    assert_eq!(read, 0.0);
    // SQLite stores a REAL that is integral as an integer; MariaDB drops the sign, about MySQL nothing is claimed.
    if f.kind() != crate::sql::DialectKind::MySql || f.product(&db).await? == "MariaDB" {
        assert_eq!(read.is_sign_negative(), f.pick(true, false, false));
    }
    Ok(())
}

pub async fn nan_and_infinity_are_kept_or_refused(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.table("floats");
    db.execute(format!("CREATE TABLE {t} (v {})", f.types.f64), ()).await?;
    let insert = format!("INSERT INTO {t} (v) VALUES (:v)");
    let select = format!("SELECT v FROM {t}");
    for (value, kept) in [(f64::NAN, f.pick(true, false, false)), (f64::INFINITY, f.pick(true, false, true))] {
        let stored = db.execute(&insert, params! { v: value }).await;
        if kept {
            stored?;
            let read: f64 = db.fetch_val(&select, ()).await?;
            assert!(read == value || read.is_nan() && value.is_nan(), "{read}");
            db.execute(format!("DELETE FROM {t}"), ()).await?;
        } else {
            fails(stored, ErrorKind::Encode);
        }
    }
    Ok(())
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

pub async fn decimal_round_trips(f: &Fixture) -> Result<()> {
    let values = ["0", "1", "-1", "1.5", "0.1", "-0.001", "123456789.25", "99999999999999", "9007199254740993"];
    round_trip(f, f.types.decimal, values.map(decimal)).await
}

pub async fn a_decimal_of_many_digits_is_kept_or_refused(f: &Fixture) -> Result<()> {
    let value = decimal("1234567890123456789.012345678901234");
    let db = f.pool()?;
    let t = f.table("decimals");
    db.execute(format!("CREATE TABLE {t} (v {})", f.types.decimal), ()).await?;
    let stored = db.execute(format!("INSERT INTO {t} (v) VALUES (:v)"), params! { v: value.clone() }).await;
    if f.kind() == crate::sql::DialectKind::Sqlite {
        fails(stored, ErrorKind::Encode);
        assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await?, 0);
        return Ok(());
    }
    stored?;
    assert_eq!(db.fetch_val::<Decimal>(format!("SELECT v FROM {t}"), ()).await?, value);
    Ok(())
}

pub async fn decimals_as_text_on_sqlite_are_exact(f: &Fixture) -> Result<()> {
    if f.kind() != crate::sql::DialectKind::Sqlite || !f.capabilities().full_sql {
        f.not_claimed("the URL option `decimal`");
        return Ok(());
    }
    let db = f.pool_url(|url| Ok(url.with_option("decimal", "text")?))?;
    let t = f.table("decimals");
    db.execute(format!("CREATE TABLE {t} (v TEXT)"), ()).await?;
    let value = decimal("1234567890123456789.01234567890123456789");
    db.execute(format!("INSERT INTO {t} (v) VALUES (:v)"), params! { v: value.clone() }).await?;
    let read: Decimal = db.fetch_val(format!("SELECT v FROM {t}"), ()).await?;
    assert_eq!(read.to_string(), value.to_string());
    Ok(())
}

pub async fn text_round_trips(f: &Fixture) -> Result<()> {
    let long = "ä€🦀x".repeat(120_000);
    let values = [
        "",
        "a",
        "it's",
        "\"quoted\" `back` \\ \\' \\n",
        "💾 naïve Ω 漢字 \u{202e}",
        "line\r\n\ttab",
        " padded ",
        &long,
    ];
    round_trip(f, f.types.text, values.map(str::to_owned)).await
}

pub async fn text_with_a_nul_is_kept_or_refused(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let stored = db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, :v)"), params! { v: "a\0b" }).await;
    if f.kind() == crate::sql::DialectKind::Postgres {
        assert!(stored.is_err());
        assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await?, 1);
        return Ok(());
    }
    stored?;
    assert_eq!(db.fetch_val::<String>(format!("SELECT body FROM {t}"), ()).await?, "a\0b");
    Ok(())
}

pub async fn bytes_round_trip(f: &Fixture) -> Result<()> {
    let all: Vec<u8> = (0..=255).collect();
    round_trip(f, f.types.bytes, [vec![], vec![0], all.clone(), all.repeat(4_096)]).await
}

pub async fn date_round_trips(f: &Fixture) -> Result<()> {
    let date = |y, m, d| Date::from_ymd(y, m, d).expect("a date");
    round_trip(f, f.types.date, [date(1970, 1, 1), date(2024, 2, 29), date(1000, 1, 1), date(9999, 12, 31)]).await
}

pub async fn time_round_trips_with_microseconds(f: &Fixture) -> Result<()> {
    let time = |h, m, s, us| Time::from_hms_micro(h, m, s, us).expect("a time");
    round_trip(f, f.types.time, [time(0, 0, 0, 0), time(1, 2, 3, 4), time(12, 30, 0, 0), time(23, 59, 59, 999_999)])
        .await
}

fn datetime(text: &str) -> DateTime {
    text.parse().expect("a date and time")
}

pub async fn datetime_round_trips_with_microseconds(f: &Fixture) -> Result<()> {
    let values =
        ["1970-01-01 00:00:00", "2024-02-29 23:59:59.999999", "1815-06-18 11:35:00.000001", "9999-12-31 23:59:59"];
    round_trip(f, f.types.datetime, values.map(datetime)).await
}

pub async fn timestamp_round_trips_with_microseconds(f: &Fixture) -> Result<()> {
    let values = ["1970-01-02 00:00:00", "2024-02-29 23:59:59.999999", "2037-06-18 11:35:00.000001"];
    round_trip(f, f.types.timestamp, values.map(|text| datetime(text).assume_utc())).await
}

pub async fn a_timestamp_is_the_same_instant_in_sql(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let at: Timestamp = datetime("2024-02-29 23:59:59.5").assume_utc();
    let sql = f.pick(
        "SELECT CAST(extract(epoch FROM :at) * 1000 AS BIGINT)",
        "SELECT CAST(UNIX_TIMESTAMP(:at) * 1000 AS SIGNED)",
        "SELECT CAST(round(unixepoch(:at, 'subsec') * 1000) AS INTEGER)",
    );
    assert_eq!(db.fetch_val::<i64>(sql, params! { at }).await?, 1_709_251_199_500);
    Ok(())
}

pub async fn now_of_the_server_is_now(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let now: Timestamp = db.fetch_val("SELECT CURRENT_TIMESTAMP", ()).await?;
    let apart = now.unix_micros().expect("finite") - Timestamp::now().unix_micros().expect("finite");
    assert!(apart.abs() < 120_000_000, "{apart} µs apart: the session is not in UTC");
    Ok(())
}

pub async fn an_interval_in_a_text_column_reads_back(f: &Fixture) -> Result<()> {
    let spans = ["PT0S", "PT12H30M0.5S", "PT-0.000001S", "PT25H", "PT-838H-59M-59S"];
    let interval = |text: &str| text.parse::<Interval>().expect("an interval");
    round_trip(f, f.types.text, spans.map(interval)).await?;
    let of_days = ["P1D", "P1Y2M-3DT4H5M6.5S", "P-1M1DT-0.5S", "P-178956970Y-8M2147483647DT-2562047788H-54.775808S"];
    if f.kind() != crate::sql::DialectKind::MySql {
        return round_trip(f, f.types.text, of_days.map(interval)).await;
    }
    let db = f.pool()?;
    for text in of_days {
        let error = refused(f, &db, f.types.text, interval(text)).await?;
        assert!(
            error.kind() == ErrorKind::Encode && error.hint().is_some_and(|hint| hint.contains("text")),
            "{error:?}"
        );
    }
    // As the hint says.
    let t = f.table("spans");
    db.execute(format!("CREATE TABLE {t} (v {})", f.types.text), ()).await?;
    for text in of_days {
        db.execute(format!("INSERT INTO {t} (v) VALUES (:v)"), params! { v: interval(text).to_string() }).await?;
    }
    let read: Vec<(Interval,)> = db.fetch_all(format!("SELECT v FROM {t}"), ()).await?;
    assert!(of_days.iter().all(|text| read.contains(&(interval(text),))), "{read:?}");
    Ok(())
}

pub async fn uuid_round_trips(f: &Fixture) -> Result<()> {
    let uuid = |text: &str| text.parse::<Uuid>().expect("a uuid");
    let values = ["00000000-0000-0000-0000-000000000000", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"];
    round_trip(f, f.types.uuid, values.map(uuid)).await
}

pub async fn json_round_trips(f: &Fixture) -> Result<()> {
    // In a form that every server keeps: MySQL writes JSON anew, with a space behind each comma and colon.
    let values = [r#"{"a": [1, "two", null, true], "b": {"c": "it's \\ \"x\""}}"#, "[]", r#""text""#, "5"];
    round_trip(f, f.types.json, values.map(JsonText::new)).await
}

/// Inserts `value` into a column of `column_type`; it must fail and store nothing.
async fn refused(f: &Fixture, db: &Pool, column_type: &str, value: impl IntoValue + Send) -> Result<crate::Error> {
    let t = f.table("refused");
    db.execute(format!("CREATE TABLE {t} (v {column_type})"), ()).await?;
    let outcome = db.execute(format!("INSERT INTO {t} (v) VALUES (:v)"), crate::Params::new().with("v", value)).await;
    let error = outcome.expect_err("a value that does not fit is refused");
    assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await?, 0);
    Ok(error)
}

pub async fn a_number_out_of_range_is_an_error_and_nothing_is_stored(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    if f.kind() == crate::sql::DialectKind::Sqlite {
        // SQLite's columns take any integer; what does not fit is found when it is read.
        let t = f.table("wide");
        db.execute(format!("CREATE TABLE {t} (v {})", f.types.i16), ()).await?;
        db.execute(format!("INSERT INTO {t} (v) VALUES (:v)"), params! { v: 70_000 }).await?;
        fails(db.fetch_val::<i16>(format!("SELECT v FROM {t}"), ()).await, ErrorKind::Decode);
        return Ok(());
    }
    for (column_type, value) in [(f.types.i16, 40_000_i64), (f.types.i16, i64::MIN), (f.types.i32, 1 << 31)] {
        let error = refused(f, &db, column_type, value).await?;
        assert!(matches!(error.kind(), ErrorKind::Encode | ErrorKind::Database), "{error:?}");
        assert!(!error.to_string().contains(&value.to_string()), "{error}");
    }
    Ok(())
}

pub async fn a_value_of_the_wrong_sort_is_an_error_or_stored_as_it_is(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    if f.kind() == crate::sql::DialectKind::Sqlite {
        f.not_claimed("column types that refuse values");
        return Ok(());
    }
    refused(f, &db, f.types.i64, "not a number").await?;
    refused(f, &db, f.types.date, "not a date").await?;
    refused(f, &db, f.types.json, JsonText::new("{not json")).await?;
    Ok(())
}

pub async fn text_that_is_too_long_is_refused(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    if f.kind() == crate::sql::DialectKind::Sqlite {
        f.not_claimed("VARCHAR(n) with a limit");
        return Ok(());
    }
    refused(f, &db, f.types.short_text, "x".repeat(101)).await?;
    Ok(())
}
