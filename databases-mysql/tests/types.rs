//! Types on every server that is named: literals and bound values, at their ends and beyond.

mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::{Conn, execute, fetch_as, fetch_rows, setup};
use databases_core::types::{Date, DateTime, Decimal, Interval, JsonText, Range, Time, Timestamp, Uuid};
use databases_core::url::DatabaseUrl;
use databases_core::{Arg, Array, Effect, Error, ErrorKind, FromValue, IntoValue, Params, Result, Value};

fn none() -> Params<'static> {
    Params::new()
}

fn date(text: &str) -> Date {
    text.parse().expect("a date")
}

fn datetime(text: &str) -> DateTime {
    text.parse().expect("a date and time")
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

const HOUR: i64 = 3_600_000_000;
/// 838:59:59.
const LONGEST: i64 = 839 * HOUR - 1_000_000;

fn span(micros: i64) -> Interval {
    Interval::new(0, 0, micros)
}

/// One server of the matrix.
struct Server {
    conn: Conn,
    is_mariadb: bool,
}

impl Server {
    async fn all() -> Vec<Self> {
        let mut servers = Vec::new();
        for url in common::urls() {
            servers.push(Self::at(&url).await);
        }
        servers
    }

    async fn at(url: &DatabaseUrl) -> Self {
        let conn = common::connect_to(url).await.expect("the server takes a connection");
        let is_mariadb = conn.server_info().await.unwrap().product == "MariaDB";
        Self { conn, is_mariadb }
    }

    /// A cell of a column of `sql_type` that holds `literal`.
    async fn literal<T: FromValue>(&self, sql_type: &str, literal: &str) -> Result<T> {
        setup(
            &self.conn,
            &["DROP TEMPORARY TABLE IF EXISTS types", &format!("CREATE TEMPORARY TABLE types (v {sql_type})")],
        )
        .await;
        setup(&self.conn, &[&format!("INSERT INTO types VALUES ({literal})")]).await;
        fetch_as(&self.conn, "SELECT v FROM types", none()).await
    }

    async fn reads<T: FromValue + PartialEq>(&self, sql_type: &str, literal: &str, want: T) {
        match self.literal::<Option<T>>(sql_type, literal).await {
            Ok(got) => assert!(got == Some(want), "{sql_type} {literal} as {}", std::any::type_name::<T>()),
            Err(error) => panic!("{sql_type} {literal} as {}: {error:?}", std::any::type_name::<T>()),
        }
    }

    async fn refuses<T: FromValue>(&self, sql_type: &str, literal: &str) -> Error {
        match self.literal::<T>(sql_type, literal).await {
            Ok(_) => panic!("{sql_type} {literal} was read as {}", std::any::type_name::<T>()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Decode, "{error:?}");
                assert!(error.to_string().contains("column `v`"), "{error}");
                error
            }
        }
    }

    /// Binds `value` to a column of `sql_type`.
    async fn store(&self, sql_type: &str, value: impl IntoValue + Send) -> Result<()> {
        let create = format!("CREATE TEMPORARY TABLE types (v {sql_type})");
        setup(&self.conn, &["DROP TEMPORARY TABLE IF EXISTS types", &create]).await;
        let arg = Arg::new(value).value;
        execute(&self.conn, "INSERT INTO types VALUES (:v)", none().with("v", arg)).await.map(drop)
    }

    /// Binds `value` to a column of `sql_type` and reads it back as it was.
    async fn keeps<T>(&self, sql_type: &str, value: T)
    where
        T: IntoValue + FromValue + Clone + PartialEq + Send,
    {
        self.store(sql_type, value.clone()).await.unwrap_or_else(|error| panic!("{sql_type}: {error:?}"));
        let back = fetch_as::<T>(&self.conn, "SELECT v FROM types", none()).await;
        let back = back.unwrap_or_else(|error| panic!("{sql_type}: {error:?}"));
        assert!(back == value, "{sql_type} as {}", std::any::type_name::<T>());
    }

    /// The server's error for `value` in a column of `sql_type`; nothing is stored.
    async fn server_refuses(&self, sql_type: &str, value: impl IntoValue + Send) -> Error {
        let error = self.store(sql_type, value).await.expect_err(sql_type);
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Database, Effect::RolledBack), "{error:?}");
        assert_eq!(fetch_as::<i64>(&self.conn, "SELECT COUNT(*) FROM types", none()).await.unwrap(), 0, "{sql_type}");
        error
    }
}

#[tokio::test]
async fn integers_of_every_width_hold_their_ends_and_no_more() {
    for server in Server::all().await {
        for (sql_type, low, high) in [
            ("TINYINT", i64::from(i8::MIN), i64::from(i8::MAX)),
            ("SMALLINT", i64::from(i16::MIN), i64::from(i16::MAX)),
            ("MEDIUMINT", -(1 << 23), (1 << 23) - 1),
            ("INT", i64::from(i32::MIN), i64::from(i32::MAX)),
            ("BIGINT", i64::MIN, i64::MAX),
            ("TINYINT UNSIGNED", 0, i64::from(u8::MAX)),
            ("SMALLINT UNSIGNED", 0, i64::from(u16::MAX)),
            ("MEDIUMINT UNSIGNED", 0, (1 << 24) - 1),
            ("INT UNSIGNED", 0, i64::from(u32::MAX)),
        ] {
            for value in [low, high] {
                server.keeps(sql_type, value).await;
                server.reads(sql_type, &value.to_string(), decimal(&value.to_string())).await;
            }
            for beyond in [low.checked_sub(1), high.checked_add(1)].into_iter().flatten() {
                let error = server.server_refuses(sql_type, beyond).await;
                assert_eq!(error.code(), Some("1264"), "{error:?}");
                assert_eq!(error.columns(), ["v"], "{error:?}");
                assert!(!error.to_string().contains(&beyond.to_string()), "{error}");
            }
        }
        server.keeps("BIGINT UNSIGNED", u64::MAX).await;
        server.keeps("BIGINT UNSIGNED", 0_u64).await;
        server.server_refuses("BIGINT UNSIGNED", -1_i64).await;
        server.server_refuses("BIGINT", u64::MAX).await;
        server.refuses::<i64>("BIGINT UNSIGNED", "18446744073709551615").await;
        server.refuses::<i8>("SMALLINT", "128").await;
        server.refuses::<u64>("TINYINT", "-1").await;
        server.reads("INT(6) UNSIGNED ZEROFILL", "42", 42_u32).await;
        server.reads("YEAR", "1901", 1901_i16).await;
        server.reads("YEAR", "2155", 2155_u16).await;
        server.reads("YEAR", "0", 0_i64).await;
        server.server_refuses("YEAR", 1900).await;
    }
}

#[tokio::test]
async fn bools_and_bits_are_numbers_that_the_type_asked_for_reads() {
    for server in Server::all().await {
        server.keeps("BOOL", true).await;
        server.keeps("BOOL", false).await;
        server.refuses::<bool>("BOOL", "2").await;
        server.keeps("BIT(1)", true).await;
        server.reads("BIT", "b'1'", true).await;
        server.reads("BIT", "b'0'", 0_u16).await;
        server.keeps("BIT(64)", u64::MAX).await;
        server.reads("BIT(9)", "b'100000001'", 257_i32).await;
        server.refuses::<bool>("BIT(2)", "b'10'").await;
        server.refuses::<Vec<u8>>("BIT(9)", "b'100000001'").await;
        let row = fetch_rows(&server.conn, "SELECT v FROM types", none()).await.unwrap().remove(0);
        assert_eq!(row.get_raw("v").unwrap(), Some(&[1_u8, 1][..]));
        server.server_refuses("BIT(2)", 4_u64).await;
    }
}

#[tokio::test]
async fn floats_are_read_in_their_own_precision() {
    for server in Server::all().await {
        for value in [0.1_f32, -1.5, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 16_777_216.0, 1.234_567_9] {
            server.keeps("FLOAT", value).await;
            server.keeps("FLOAT", f64::from(value)).await;
        }
        for value in [0.1_f64, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 1.0 / 3.0, 123_456_789.123_456_78] {
            server.keeps("DOUBLE", value).await;
        }
        server.refuses::<f32>("DOUBLE", "0.1").await;
        server.reads("DOUBLE", "0.1", decimal("0.1")).await;
        server.reads("DOUBLE", "3", 3_i64).await;
        server.refuses::<i64>("DOUBLE", "3.5").await;
        server.refuses::<i64>("DOUBLE", "9007199254740992").await;
        server.server_refuses("FLOAT", f64::MAX).await;
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = server.store("DOUBLE", value).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Encode, Effect::NotSent));
            assert_eq!(error.to_string(), "parameter 1: MySQL has no NaN and no infinity");
        }
    }
}

#[tokio::test]
async fn decimals_are_exact_to_the_last_of_65_digits() {
    let nines = format!("{}.{}", "9".repeat(35), "9".repeat(30));
    for server in Server::all().await {
        for text in
            [nines.as_str(), &format!("-{nines}"), "0", "-0.000000000000000000000000000001", "12345678901234567890.5"]
        {
            server.keeps("DECIMAL(65,30)", decimal(text)).await;
        }
        assert_eq!(server.literal::<Decimal>("DECIMAL(10,2)", "12.5").await.unwrap().to_string(), "12.50");
        server.reads("DECIMAL(65,0)", &"9".repeat(65), decimal(&"9".repeat(65))).await;
        server.reads("DECIMAL(20,0)", "18446744073709551615", u64::MAX).await;
        server.reads("DECIMAL(10,2)", "7.00", 7_i64).await;
        server.refuses::<i64>("DECIMAL(10,2)", "7.50").await;
        server.refuses::<f64>("DECIMAL(30,20)", "0.12345678901234567890").await;
        server.server_refuses("DECIMAL(4,2)", decimal("100.00")).await;
    }
}

/// A decimal travels as text. MariaDB compares a DECIMAL with text in floating point, and both servers calculate so; the
/// cast that the documentation names is exact.
#[tokio::test]
async fn decimals_in_expressions_are_exact_with_a_cast() {
    for server in Server::all().await {
        let close = || none().with("v", decimal("12345678901234567890.4"));
        let equal = "SELECT CAST('12345678901234567890.5' AS DECIMAL(30,5)) = ";
        let bare: bool = fetch_as(&server.conn, &format!("{equal} :v"), close()).await.unwrap();
        assert_eq!(bare, server.is_mariadb);
        let cast: bool = fetch_as(&server.conn, &format!("{equal} CAST(:v AS DECIMAL(30,5))"), close()).await.unwrap();
        assert!(!cast);
        let sum = "SELECT CAST('12345678901234567890.5' AS DECIMAL(30,5)) + CAST(:v AS DECIMAL(30,5))";
        let sum: Decimal = fetch_as(&server.conn, sum, close()).await.unwrap();
        assert_eq!(sum, decimal("24691357802469135780.9"));
    }
}

#[tokio::test]
async fn text_of_every_width_and_character_set_is_text() {
    let clef = "it's 𝄞 ä \\ \" \0 end";
    for server in Server::all().await {
        for sql_type in ["CHAR(60)", "VARCHAR(60)", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"] {
            server.keeps(&format!("{sql_type} CHARACTER SET utf8mb4"), clef.to_owned()).await;
            server.keeps(&format!("{sql_type} CHARACTER SET utf8mb4"), String::new()).await;
        }
        // The server converts: the session speaks utf8mb4 whatever the column is in.
        for charset in ["latin1", "utf8mb3", "utf16", "cp1251", "sjis"] {
            let value = if matches!(charset, "cp1251" | "sjis") { "Ж" } else { "ä" };
            server.keeps(&format!("VARCHAR(9) CHARACTER SET {charset}"), value.to_owned()).await;
        }
        server.server_refuses("VARCHAR(9) CHARACTER SET latin1", "Ж").await;
        server.server_refuses("VARCHAR(9) CHARACTER SET utf8mb3", "𝄞").await;
        let error = server.server_refuses("VARCHAR(2)", "abc").await;
        assert_eq!(error.code(), Some("1406"));
        server.reads("VARCHAR(9)", "'42'", 42_u16).await;
        server.reads("VARCHAR(9)", "'-1.50'", decimal("-1.50")).await;
        server.reads("VARCHAR(9)", "'0.5'", 0.5_f64).await;
        server.reads("VARCHAR(19)", "'2024-02-29'", date("2024-02-29")).await;
        for text in ["'x'", "'4 2'", "''", "'1.0'"] {
            server.refuses::<i64>("VARCHAR(9)", text).await;
        }
        let error = server.refuses::<Date>("VARCHAR(19)", "'29.2.2024'").await;
        assert!(!error.to_string().contains("29"), "{error}");
    }
}

#[tokio::test]
async fn enums_and_sets_are_text() {
    for server in Server::all().await {
        for value in ["small", "groß"] {
            server.keeps("ENUM('small', 'groß')", value.to_owned()).await;
        }
        server.keeps("SET('a', 'b', 'c')", "a,c".to_owned()).await;
        server.keeps("SET('a', 'b', 'c')", String::new()).await;
        server.server_refuses("ENUM('small')", "other").await;
        server.server_refuses("SET('a')", "a,x").await;
        server.literal::<String>("ENUM('small')", "'small'").await.unwrap();
        let row = fetch_rows(&server.conn, "SELECT v FROM types", none()).await.unwrap().remove(0);
        assert_eq!(row.columns().get(0).unwrap().type_name(), "ENUM");
    }
}

#[tokio::test]
async fn bytes_are_bytes_whatever_they_spell() {
    let all: Vec<u8> = (0..=255).collect();
    for server in Server::all().await {
        for sql_type in ["VARBINARY(300)", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"] {
            let fits = if sql_type == "TINYBLOB" { &all[..255] } else { &all };
            server.keeps(sql_type, fits.to_vec()).await;
            server.keeps(sql_type, b"ascii".to_vec()).await;
        }
        server.reads("BINARY(4)", "'ab'", vec![b'a', b'b', 0, 0]).await;
        let error = server.refuses::<String>("BLOB", "x'ff00'").await;
        assert!(error.to_string().contains("not valid UTF-8"), "{error}");
        server.refuses::<String>("BLOB", "'ascii'").await;
        server.reads("VARCHAR(9)", "'text'", b"text".to_vec()).await;
        // A point: SRID, byte order, type and two doubles.
        let point: Vec<u8> = server.literal("GEOMETRY", "ST_GeomFromText('POINT(1 2)')").await.unwrap();
        assert_eq!((point.len(), &point[..9]), (25, &[0, 0, 0, 0, 1, 1, 0, 0, 0][..]));
    }
}

#[tokio::test]
async fn dates_run_from_year_1_to_9999() {
    for server in Server::all().await {
        for text in ["0001-01-01", "0999-12-31", "1000-01-01", "1582-10-10", "2024-02-29", "9999-12-31"] {
            server.keeps("DATE", date(text)).await;
        }
        for text in ["0001-01-01 00:00:00", "1969-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999"] {
            server.keeps("DATETIME(6)", datetime(text)).await;
            server.keeps("DATETIME(6)", datetime(text).assume_utc()).await;
        }
        for text in ["1970-01-01 00:00:01", "2024-02-29 12:00:00.000001", "2038-01-19 03:14:07.999999"] {
            server.keeps("TIMESTAMP(6) NULL", datetime(text).assume_utc()).await;
            server.keeps("TIMESTAMP(6) NULL", datetime(text)).await;
        }
        server.server_refuses("TIMESTAMP NULL", datetime("1969-12-31 23:59:59").assume_utc()).await;
        server.server_refuses("TIMESTAMP NULL", datetime("2106-02-07 06:28:16").assume_utc()).await;
        let far =
            [date("0001-12-31 BC"), date("0044-03-15 BC"), date("10000-01-01"), Date::INFINITY, Date::NEG_INFINITY];
        for value in far {
            let error = server.store("DATE", value).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Encode, Effect::NotSent));
            assert!(error.to_string().starts_with("parameter 1: MySQL has no "), "{error}");
            let at = DateTime::new(value, Time::MIDNIGHT).unwrap_or(DateTime::INFINITY);
            assert_eq!(server.store("DATETIME", at).await.unwrap_err().kind(), ErrorKind::Encode);
            assert_eq!(server.store("DATETIME", at.assume_utc()).await.unwrap_err().kind(), ErrorKind::Encode);
        }
        server.reads("DATETIME(3)", "'2024-01-02 03:04:05.678'", datetime("2024-01-02 03:04:05.678")).await;
        server.reads("DATE", "'2024-01-02'", Value::Date(date("2024-01-02"))).await;
        server.refuses::<Date>("DATETIME", "'2024-01-02 00:00:00'").await;
        server.refuses::<DateTime>("DATE", "'2024-01-02'").await;
        server.refuses::<i64>("DATE", "'2024-01-02'").await;
    }
}

#[tokio::test]
async fn times_within_a_day_are_times_and_all_are_spans() {
    for server in Server::all().await {
        for text in ["00:00:00", "00:00:00.000001", "23:59:59.999999", "24:00:00"] {
            let time: Time = text.parse().unwrap();
            server.keeps("TIME(6)", time).await;
            server.reads("TIME(6)", &format!("'{text}'"), span(time.micros())).await;
        }
        let mut spans = vec![0, 1, -1, 24 * HOUR, 24 * HOUR + 1, -24 * HOUR, LONGEST, -LONGEST, -HOUR / 2 - 5];
        if server.is_mariadb {
            spans.extend([LONGEST + 999_999, -LONGEST - 999_999]);
        }
        for micros in spans {
            server.keeps("TIME(6)", span(micros)).await;
        }
        for literal in ["'-00:00:01'", "'24:00:01'", "'838:59:59'", "'-838:59:59'"] {
            let error = server.refuses::<Time>("TIME", literal).await;
            assert!(error.hint().is_some_and(|hint| hint.contains("ask for Interval")), "{error:?}");
        }
        server.reads("TIME(6)", "'-838:59:59.000000'", span(-LONGEST)).await;
        let beyond = if server.is_mariadb { LONGEST + 1_000_000 } else { LONGEST + 1 };
        for (value, says) in [
            (span(beyond), "MySQL has no spans of time beyond 838:59:59"),
            (span(-beyond), "MySQL has no spans of time beyond 838:59:59"),
            (span(i64::MIN), "MySQL has no spans of time beyond 838:59:59"),
            (Interval::new(0, -1, 25 * HOUR), "MySQL has no spans of days, only TIME"),
            (Interval::new(0, i32::MAX, i64::MAX), "MySQL has no spans of days, only TIME"),
            (Interval::new(1, 0, 0), "MySQL has no spans of months, only TIME"),
            (Interval::INFINITY, "MySQL has no infinite spans of time"),
        ] {
            let error = server.store("TIME(6)", value).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Encode, Effect::NotSent));
            assert_eq!(error.to_string(), format!("parameter 1: {says}"));
            assert!(error.hint().is_some());
        }
    }
}

#[tokio::test]
async fn zero_dates_are_errors_or_null_as_the_url_says() {
    const SQL: &str = "SELECT d, p, dt, pdt, ts, good FROM zeros";
    for url in common::urls() {
        for (option, nulls) in [(None, false), (Some("error"), false), (Some("null"), true)] {
            let url = match option {
                Some(option) => url.clone().with_option("zero_dates", option).unwrap(),
                None => url.clone(),
            };
            let server = Server::at(&url).await;
            setup(
                &server.conn,
                &[
                    "SET SESSION sql_mode = ''",
                    "CREATE TEMPORARY TABLE zeros (d DATE, p DATE, dt DATETIME(6), pdt DATETIME, ts TIMESTAMP NULL, good DATE)",
                    "INSERT INTO zeros VALUES ('0000-00-00', '2024-00-10', '0000-00-00', '2024-01-00 01:02:03', \
                     '0000-00-00', '2024-01-02')",
                ],
            )
            .await;
            let row = fetch_rows(&server.conn, SQL, none()).await.unwrap().remove(0);
            for column in ["d", "p", "dt", "pdt", "ts"] {
                if nulls {
                    assert!(row.get::<Option<DateTime>>(column).unwrap().is_none(), "{column}");
                    assert_eq!(row.get::<Date>(column).unwrap_err().kind(), ErrorKind::Decode);
                    continue;
                }
                let error = row.get::<Option<Timestamp>>(column).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Decode);
                assert!(error.to_string().contains(column) && error.to_string().contains("zero date"), "{error}");
                assert!(error.hint().is_some_and(|hint| hint.contains("zero_dates=null")), "{error:?}");
            }
            // One such cell spoils no other, and its text is to be had.
            assert_eq!(row.get::<Date>("good").unwrap(), date("2024-01-02"));
            let text: String = fetch_as(&server.conn, "SELECT CAST(p AS CHAR) FROM zeros", none()).await.unwrap();
            assert_eq!(text, "2024-00-10");
        }
    }
}

#[tokio::test]
async fn json_null_is_a_value_and_sql_null_is_none() {
    for server in Server::all().await {
        for text in ["null", "true", "\"a\"", r#"{"a": [1, 2.5, "𝄞", null]}"#, "[]"] {
            server.keeps("JSON", JsonText::new(text)).await;
            server.keeps("JSON", Some(JsonText::new(text))).await;
        }
        server.keeps("JSON", None::<JsonText>).await;
        server.reads("JSON", "'[1]'", "[1]".to_owned()).await;
        let value = server.literal::<Value>("JSON", "'[1]'").await.unwrap();
        // MariaDB's JSON is LONGTEXT with a check.
        let want = if server.is_mariadb { Value::Text("[1]".into()) } else { Value::Json(JsonText::new("[1]")) };
        assert!(value == want);
        assert!(server.store("JSON", "{").await.is_err());
    }
}

#[tokio::test]
async fn uuids_are_text_and_are_read_from_16_bytes() {
    let uuid: Uuid = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().unwrap();
    for server in Server::all().await {
        server.keeps("CHAR(36)", uuid).await;
        server.store("BINARY(16)", uuid.as_bytes().to_vec()).await.unwrap();
        assert_eq!(fetch_as::<Uuid>(&server.conn, "SELECT v FROM types", none()).await.unwrap(), uuid);
        // Its text has 36 characters: refused, never cut.
        assert_eq!(server.server_refuses("BINARY(16)", uuid).await.code(), Some("1406"));
        server.refuses::<Uuid>("BINARY(15)", "'a'").await;
        if server.is_mariadb {
            server.keeps("UUID", uuid).await;
            server.reads("UUID", &format!("'{uuid}'"), uuid.to_string()).await;
            server.server_refuses("UUID", "not a uuid").await;
        } else {
            execute(&server.conn, "INSERT INTO types VALUES (UUID_TO_BIN(:v))", none().with("v", uuid))
                .await
                .unwrap_err();
            setup(&server.conn, &["DROP TEMPORARY TABLE types", "CREATE TEMPORARY TABLE types (v BINARY(16))"]).await;
            execute(&server.conn, "INSERT INTO types VALUES (UUID_TO_BIN(:v))", none().with("v", uuid)).await.unwrap();
            assert_eq!(fetch_as::<Uuid>(&server.conn, "SELECT v FROM types", none()).await.unwrap(), uuid);
        }
    }
}

#[tokio::test]
async fn addresses_of_mariadb_are_text_and_addresses() {
    for server in Server::all().await {
        let (v4, v6): (Ipv4Addr, Ipv6Addr) =
            ("192.0.2.255".parse().unwrap(), "2001:db8::ff00:42:8329".parse().unwrap());
        server.keeps("VARCHAR(45)", IpAddr::from(v6)).await;
        if !server.is_mariadb {
            continue;
        }
        server.keeps("INET4", v4).await;
        server.keeps("INET6", v6).await;
        server.keeps("INET6", IpAddr::from(v6)).await;
        server.reads("INET4", "'192.0.2.255'", "192.0.2.255".to_owned()).await;
        server.server_refuses("INET4", "192.0.2.256").await;
    }
}

#[tokio::test]
async fn nulls_of_every_type_are_none() {
    for server in Server::all().await {
        for sql_type in [
            "INT",
            "BIGINT UNSIGNED",
            "BIT(3)",
            "DOUBLE",
            "DECIMAL(5,2)",
            "TEXT",
            "BLOB",
            "DATE",
            "DATETIME",
            "TIMESTAMP NULL",
            "TIME",
            "YEAR",
            "ENUM('a')",
            "SET('a')",
            "JSON",
            "POINT",
        ] {
            assert!(server.literal::<Option<Value>>(sql_type, "NULL").await.unwrap().is_none(), "{sql_type}");
            let error = server.refuses::<String>(sql_type, "NULL").await;
            assert_eq!(error.hint(), Some("ask for Option<String>"));
        }
    }
}

#[tokio::test]
async fn what_the_server_has_no_type_for_is_refused_with_a_way_out() {
    let range: Range<i32> = (1..5).into();
    let record = Value::Array(Box::new(Array::record(vec![Value::Int(1)])));
    let map = std::collections::BTreeMap::from([("a".to_owned(), 1)]);
    for server in Server::all().await {
        // Where a list may stand is seen in the text, before a connection is asked for.
        for value in [vec![1, 2].into_value(), Vec::<String>::new().into_value()] {
            let error = server.store("JSON", value).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Parameters, Effect::NotSent), "{error:?}");
            assert!(error.to_string().starts_with("MySQL has no arrays: the value of parameter `v`"), "{error}");
            assert!(error.hint().is_some_and(|said| said.contains("list(..)") && said.contains("JSON")), "{error:?}");
        }
        for (value, what, hint) in [
            (range.into_value(), "ranges", "bounds"),
            (record.clone(), "records", "fields"),
            (map.clone().into_value(), "maps", "JSON"),
        ] {
            let error = server.store("JSON", value).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Encode, Effect::NotSent), "{error:?}");
            assert_eq!(error.to_string(), format!("parameter 1: MySQL has no {what}"));
            assert!(error.hint().is_some_and(|said| said.contains(hint)), "{error:?}");
        }
    }
}

/// Statements that cannot be prepared answer in text.
#[tokio::test]
async fn cells_of_the_text_protocol_read_like_others_but_for_float() {
    for server in Server::all().await {
        setup(
            &server.conn,
            &[
                "CREATE TEMPORARY TABLE texts (i INT, u BIGINT UNSIGNED, f FLOAT, d DOUBLE, n DECIMAL(65,30), b BIT(9), \
                 y YEAR, da DATE, dt DATETIME(6), ts TIMESTAMP(6) NULL, t TIME(6), s TEXT, x BLOB, missing INT)",
                "INSERT INTO texts VALUES (-7, 18446744073709551615, 16777215, 0.1, 12.5, b'100000001', 2024, \
                 '2024-02-29', '2024-02-29 01:02:03.000004', '2024-02-29 01:02:03.000004', '-838:59:59', 'ä', x'ff', NULL)",
                "PREPARE texts FROM 'SELECT * FROM texts'",
            ],
        )
        .await;
        let row = fetch_rows(&server.conn, "EXECUTE texts", none()).await.unwrap().remove(0);
        let same = fetch_rows(&server.conn, "SELECT * FROM texts", none()).await.unwrap().remove(0);
        for column in row.columns().iter().map(|column| column.name()).filter(|name| *name != "f") {
            assert!(row.get::<Value>(column).unwrap() == same.get::<Value>(column).unwrap(), "{column}");
        }
        assert_eq!(same.get::<f32>("f").unwrap(), 16_777_215.0);
        assert_eq!(row.get::<f32>("f").unwrap(), 16_777_200.0);
    }
}
