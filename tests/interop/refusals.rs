//! Every class of values of PostgreSQL that a type of another crate cannot hold, through a row of a real server: an error
//! that names the column and the class, and never the nearest value that would fit.

use databases::{Connection, ErrorKind, Executor, FromValue, Result, Row};

use super::connections;

/// A type by the name that its errors give it, and how a cell is read as it.
type Reader = (&'static str, fn(&Row) -> Result<()>);

/// Reads `literal` as each type, with what each says of it. The row itself and the cell as text stay readable.
async fn refused(db: &Connection, literal: &str, readers: &[Reader], class: &str) -> Result<()> {
    let sql = format!("SELECT 1 AS before, {literal} AS cell, {literal}::text AS behind");
    let row: Row = db.fetch_one(sql, ()).await?;
    for (wanted, read) in readers {
        let error = read(&row).expect_err("it does not fit");
        let said = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Decode, "{literal}: {said}");
        assert!(said.starts_with("column `cell` ("), "{literal}: {said}");
        assert!(said.ends_with(&format!("{class} cannot be read as {wanted}")), "{literal}: {said}");
        assert_eq!(row.get::<i32>("before")?, 1);
        assert!(!row.get::<String>("behind")?.is_empty());
    }
    Ok(())
}

fn read<T: FromValue>(row: &Row) -> Result<()> {
    row.get::<T>("cell").map(drop)
}

async fn servers() -> Result<Vec<Connection>> {
    let found = connections().await?;
    Ok(found.into_iter().filter(|(backend, _)| *backend == "postgres").map(|(_, db)| db).collect())
}

#[tokio::test]
async fn dates_and_times_beyond_a_crates_own() -> Result<()> {
    const DATES: [Reader; 3] = [
        ("chrono::NaiveDate", read::<chrono::NaiveDate>),
        ("time::Date", read::<time::Date>),
        ("jiff::civil::Date", read::<jiff::civil::Date>),
    ];
    const TIMES: [Reader; 3] = [
        ("chrono::NaiveTime", read::<chrono::NaiveTime>),
        ("time::Time", read::<time::Time>),
        ("jiff::civil::Time", read::<jiff::civil::Time>),
    ];
    const DATETIMES: [Reader; 3] = [
        ("chrono::NaiveDateTime", read::<chrono::NaiveDateTime>),
        ("time::PrimitiveDateTime", read::<time::PrimitiveDateTime>),
        ("jiff::civil::DateTime", read::<jiff::civil::DateTime>),
    ];
    const TIMESTAMPS: [Reader; 3] = [
        ("chrono::DateTime<Utc>", read::<chrono::DateTime<chrono::Utc>>),
        ("time::OffsetDateTime", read::<time::OffsetDateTime>),
        ("jiff::Timestamp", read::<jiff::Timestamp>),
    ];
    for db in servers().await? {
        for sign in ["", "-"] {
            refused(&db, &format!("'{sign}infinity'::date"), &DATES, "an infinite date").await?;
            refused(&db, &format!("'{sign}infinity'::timestamp"), &DATETIMES, "an infinite timestamp").await?;
            refused(&db, &format!("'{sign}infinity'::timestamptz"), &TIMESTAMPS, "an infinite timestamp").await?;
        }
        refused(&db, "'24:00'::time", &TIMES, "a time of 24:00").await?;
        for (index, years) in
            ["after the year 262142", "beyond that crate's years", "after the year 9999"].iter().enumerate()
        {
            let one = index..=index;
            let class = |what: &str| format!("{what} {years}");
            refused(&db, "'5874897-12-31'::date", &DATES[one.clone()], &class("a date")).await?;
            let last = "'294276-12-31 23:59:59.999999'";
            refused(&db, &format!("{last}::timestamp"), &DATETIMES[one.clone()], &class("a timestamp")).await?;
            refused(&db, &format!("{last}::timestamptz"), &TIMESTAMPS[one], &class("a timestamp")).await?;
        }
        let span: [Reader; 1] = [("jiff::Span", read::<jiff::Span>)];
        refused(&db, "'1 month -1 day'::interval", &span, "an interval of parts with different signs").await?;
        refused(&db, "'178000000 years'::interval", &span, "an interval of more than about 20,000 years").await?;
    }
    Ok(())
}

#[tokio::test]
async fn numbers_beyond_a_crates_own() -> Result<()> {
    let small: Reader = ("rust_decimal::Decimal", read::<rust_decimal::Decimal>);
    let big: Reader = ("bigdecimal::BigDecimal", read::<bigdecimal::BigDecimal>);
    for db in servers().await? {
        refused(&db, "'NaN'::numeric", &[small, big], "NaN").await?;
        for sign in ["", "-"] {
            refused(&db, &format!("'{sign}Infinity'::numeric"), &[small, big], "an infinite decimal").await?;
            for digits in ["123456789012345678901234567890", "0.12345678901234567890123456789", "1e131071"] {
                let literal = format!("'{sign}{digits}'::numeric");
                refused(&db, &literal, &[small], "a decimal of too many digits").await?;
            }
        }
        let row: Row = db.fetch_one("SELECT '123456789012345678901234567890.5'::numeric AS cell", ()).await?;
        assert_eq!(row.get::<bigdecimal::BigDecimal>("cell")?.to_string(), "123456789012345678901234567890.5");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_uuid_and_no_network_of_the_family() -> Result<()> {
    for db in servers().await? {
        refused(&db, "'::1'::inet", &[("ipnet::Ipv4Net", read::<ipnet::Ipv4Net>)], "an IPv6 network").await?;
        refused(&db, "'10.0.0.0/8'::cidr", &[("ipnet::Ipv6Net", read::<ipnet::Ipv6Net>)], "an IPv4 network").await?;
        refused(&db, "1", &[("uuid::Uuid", read::<uuid::Uuid>)], "an integer").await?;
        refused(&db, "'\\x00'::bytea", &[("uuid::Uuid", read::<uuid::Uuid>)], "bytes").await?;
        let row: Row = db.fetch_one("SELECT 'x'::text AS cell", ()).await?;
        for read in [read::<uuid::Uuid>, read::<ipnet::IpNet>] {
            let error = read(&row).expect_err("it is neither");
            let said = error.to_string();
            assert!(said.starts_with("column `cell` (text): this text does not have the form of "), "{said}");
        }
    }
    Ok(())
}
