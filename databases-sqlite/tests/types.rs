//! What is stored for each Rust type, what a column's declared type makes of it, and what is read back.

mod common;

use common::{Connection, connect};
use databases_core::types::{Date, DateTime, Decimal, Interval, JsonText, Range, Time, Timestamp, Uuid};
use databases_core::{Arg, Array, Error, ErrorKind, FromValue, IntoValue, Params, Result, Row, Value, params};

async fn memory() -> Connection {
    connect("sqlite::memory:").await.unwrap()
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

/// Stores `value` in a column declared as `declared`; gives its storage class, its text, and the row with its cell `v`.
async fn store(db: &Connection, declared: &str, value: impl IntoValue) -> Result<(String, String, Row)> {
    db.exec("DROP TABLE IF EXISTS t").await?;
    db.exec(&format!("CREATE TABLE t (v {declared})")).await?;
    db.exec_with("INSERT INTO t (v) VALUES (:v)", Params::new().with("v", Arg::new(value).value)).await?;
    let sql = "SELECT typeof(v), coalesce(quote(v), ''), v FROM t";
    let row = db.rows(sql).await?.remove(0);
    Ok((row.get(0)?, row.get(1)?, row))
}

/// The cell of a column declared as `declared` that holds `literal`.
async fn cell(db: &Connection, declared: &str, literal: &str) -> Row {
    db.exec("DROP TABLE IF EXISTS t").await.unwrap();
    db.exec(&format!("CREATE TABLE t (v {declared})")).await.unwrap();
    db.exec(&format!("INSERT INTO t (v) VALUES ({literal})")).await.unwrap();
    db.rows("SELECT v FROM t").await.unwrap().remove(0)
}

fn refuses<T: FromValue>(row: &Row) -> Error {
    let wanted = std::any::type_name::<T>();
    let Err(error) = row.get::<T>("v") else { panic!("read as {wanted}") };
    assert_eq!(error.kind(), ErrorKind::Decode, "{wanted}: {error:?}");
    assert!(error.to_string().starts_with("column `v`"), "{error}");
    error
}

/// The table "What is stored" of the crate's documentation, line by line, in a column without a type of its own.
#[tokio::test]
async fn every_type_is_stored_in_the_form_that_the_documentation_says() {
    async fn is<T>(db: &Connection, value: T, class: &str, form: &str)
    where
        T: IntoValue + FromValue + Clone + PartialEq,
    {
        let (stored_class, stored_form, row) = store(db, "", value.clone()).await.unwrap();
        assert_eq!((stored_class.as_str(), stored_form.as_str()), (class, form));
        let back: T = row.get("v").unwrap_or_else(|error| panic!("{form}: {error:?}"));
        assert!(back == value, "{form}");
    }
    let db = &memory().await;
    is(db, true, "integer", "1").await;
    is(db, false, "integer", "0").await;
    is(db, i64::MIN, "integer", "-9223372036854775808").await;
    is(db, i64::MAX, "integer", "9223372036854775807").await;
    is(db, i16::MIN, "integer", "-32768").await;
    is(db, i64::MAX as u64, "integer", "9223372036854775807").await;
    is(db, 0.5_f64, "real", "0.5").await;
    is(db, 0.1_f32, "real", "0.10000000149011612").await;
    is(db, 3.0_f64, "real", "3.0").await;
    is(db, f64::INFINITY, "real", "9.0e+999").await;
    is(db, decimal("5.00"), "integer", "5").await;
    is(db, decimal("19.90"), "real", "19.9").await;
    is(db, decimal("123456789012.345"), "real", "123456789012.345").await;
    is(db, "it's".to_owned(), "text", "'it''s'").await;
    is(db, JsonText::new("{\"a\": null}"), "text", "'{\"a\": null}'").await;
    is(db, JsonText::new("null"), "text", "'null'").await;
    is(db, None::<JsonText>, "null", "NULL").await;
    let uuid: Uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap();
    is(db, uuid, "text", "'67e55044-10b1-426f-9247-bb680e5fe0c8'").await;
    is(db, Interval::new(14, -3, 500_000), "text", "'P1Y2M-3DT0.5S'").await;
    is(db, vec![0_u8, 255], "blob", "X'00FF'").await;
    is(db, date("2024-01-02"), "text", "'2024-01-02'").await;
    is(db, date("0001-01-01"), "text", "'0001-01-01'").await;
    is(db, date("9999-12-31"), "text", "'9999-12-31'").await;
    is(db, Time::from_hms_micro(3, 4, 5, 0).unwrap(), "text", "'03:04:05'").await;
    is(db, Time::from_hms_micro(3, 4, 5, 250_000).unwrap(), "text", "'03:04:05.25'").await;
    is(db, Time::MAX, "text", "'24:00:00'").await;
    is(db, datetime("2024-01-02 03:04:05"), "text", "'2024-01-02 03:04:05'").await;
    is(db, datetime("2024-01-02 03:04:05.000001"), "text", "'2024-01-02 03:04:05.000001'").await;
    let at = datetime("2024-01-02 03:04:05.25").assume_utc();
    is(db, at, "text", "'2024-01-02 03:04:05.25+00:00'").await;
    is(db, std::net::IpAddr::from([192, 0, 2, 255]), "text", "'192.0.2.255'").await;
    let text = connect("sqlite::memory:?decimal=text").await.unwrap();
    is(&text, decimal("0.12345678901234567890"), "text", "'0.12345678901234567890'").await;
}

/// The table "What a declared type does". <https://www.sqlite.org/datatype3.html#type_affinity>
#[tokio::test]
async fn a_declared_type_may_change_the_class_and_what_is_read_stays_exact() {
    let db = &memory().await;
    async fn becomes<T>(db: &Connection, declared: &str, value: T, class: &str)
    where
        T: IntoValue + FromValue + Clone + PartialEq,
    {
        let (stored, form, row) = store(db, declared, value.clone()).await.unwrap();
        assert_eq!(stored, class, "{declared}");
        let back: T = row.get("v").unwrap_or_else(|error| panic!("{declared} {form}: {error:?}"));
        assert!(back == value, "{declared} {form}");
    }
    for declared in ["REAL", "DOUBLE PRECISION", "FLOAT"] {
        for value in [0_i64, -7, (1 << 53) - 1, -(1 << 53) + 1] {
            becomes(db, declared, value, "real").await;
        }
        becomes(db, declared, decimal("5.00"), "real").await;
    }
    for declared in ["INTEGER", "BIGINT", "NUMERIC", "DECIMAL(10,2)", "BOOLEAN"] {
        for value in [0.0, -3.0, 1e18, 9_007_199_254_740_992.0] {
            becomes(db, declared, value, "integer").await;
        }
        becomes(db, declared, 0.5, "real").await;
        becomes(db, declared, 1e19, "real").await;
        becomes(db, declared, decimal("12.50"), "real").await;
        becomes(db, declared, decimal("7"), "integer").await;
        becomes(db, declared, true, "integer").await;
        becomes(db, declared, vec![1_u8], "blob").await;
    }
    for declared in ["DATE", "DATETIME", "TIMESTAMP", "NUMERIC"] {
        becomes(db, declared, date("2024-01-02"), "text").await;
        becomes(db, declared, datetime("2024-01-02 03:04:05"), "text").await;
        becomes(db, declared, datetime("2024-01-02 03:04:05").assume_utc(), "text").await;
    }
    becomes(db, "TIME", Time::from_hms_micro(3, 4, 5, 6).unwrap(), "text").await;
    becomes(db, "UUID", Uuid::nil(), "text").await;
    for declared in ["TEXT", "VARCHAR(3)", "CLOB"] {
        becomes(db, declared, 42_i64, "text").await;
        becomes(db, declared, i64::MIN, "text").await;
        for value in [0.5, 0.1 + 0.2, 1e300, f64::MIN_POSITIVE, f64::MAX, -1.0 / 3.0] {
            becomes(db, declared, value, "text").await;
        }
        becomes(db, declared, decimal("12.5"), "text").await;
        becomes(db, declared, "longer than three".to_owned(), "text").await;
    }
    // Declared TEXT is where a decimal of any length stays what it is.
    let text = connect("sqlite::memory:?decimal=text").await.unwrap();
    becomes(&text, "TEXT", decimal("1234567890123456789.01234567890123456789"), "text").await;
    becomes(&text, "NUMERIC", decimal("12.5"), "real").await;
}

#[tokio::test]
async fn what_a_declared_type_takes_away_is_an_error_or_in_the_documentation() {
    let db = &memory().await;
    // Text of digits becomes a number, whose text is not asked of us again: a leading zero would be gone.
    let (class, _, row) = store(db, "INTEGER", "1").await.unwrap();
    assert_eq!((class.as_str(), row.get::<i64>("v").unwrap()), ("integer", 1));
    assert_eq!(refuses::<String>(&row).to_string(), "column `v` (INTEGER): an integer cannot be read as String");
    let (class, form, _) = store(db, "INTEGER", "007").await.unwrap();
    assert_eq!((class.as_str(), form.as_str()), ("integer", "7"));
    // Above 2^53 a REAL column rounds integers before we see them.
    for value in [(1_i64 << 53) + 1, 1 << 53, i64::MAX, i64::MIN] {
        let (class, _, row) = store(db, "REAL", value).await.unwrap();
        assert_eq!(class, "real");
        let error = refuses::<i64>(&row);
        assert!(error.hint().is_some_and(|hint| hint.contains("2^53")), "{error:?}");
        row.get::<f64>("v").unwrap();
    }
    let error = refuses::<i64>(&cell(db, "REAL", "1.5").await);
    assert_eq!(error.hint(), Some("ask for f64, or cast it in SQL"));
    refuses::<i64>(&cell(db, "REAL", "9e999").await);
    refuses::<f64>(&cell(db, "", "9007199254740993").await);
    refuses::<bool>(&cell(db, "REAL", "1").await);
    refuses::<bool>(&cell(db, "INTEGER", "2").await);
    refuses::<i16>(&cell(db, "SMALLINT", "70000").await);
    // Digits beyond those of a double are lost in a NUMERIC column, decimal=text or not.
    let text = connect("sqlite::memory:?decimal=text").await.unwrap();
    let (class, form, _) = store(&text, "DECIMAL(30,20)", decimal("0.12345678901234567890")).await.unwrap();
    assert_eq!(class, "real");
    assert!(form.len() < "0.12345678901234567890".len(), "{form}");
    // So are those of an integral decimal in a REAL column, which has rounded it before we see it.
    for db in [db, &text] {
        let (class, _, row) = store(db, "REAL", decimal("9007199254740993")).await.unwrap();
        assert_eq!((class.as_str(), row.get::<Decimal>("v").unwrap()), ("real", decimal("9007199254740992")));
    }
    // A number as JSON is a number in a column of NUMERIC affinity, as one declared JSON is, and is not read as JSON there.
    for (number, class) in [("5", "integer"), ("12345678901234567890", "real"), ("0.12345678901234567890", "real")] {
        let (stored, _, row) = store(db, "JSON", JsonText::new(number)).await.unwrap();
        assert_eq!(stored, class, "{number}");
        refuses::<JsonText>(&row);
        let (stored, _, row) = store(db, "TEXT", JsonText::new(number)).await.unwrap();
        assert_eq!((stored.as_str(), row.get::<JsonText>("v").unwrap().as_str()), ("text", number));
    }
}

#[tokio::test]
async fn dates_of_others_are_read_where_their_form_says_what_they_are() {
    let db = &memory().await;
    for (literal, at) in [
        ("'2024-01-02 03:04'", "2024-01-02 03:04:00"),
        ("'2024-01-02T03:04:05'", "2024-01-02 03:04:05"),
        ("'2024-01-02 03:04:05.123456789'", "2024-01-02 03:04:05.123456"),
        ("datetime('2024-01-02', 'start of day')", "2024-01-02 00:00:00"),
        ("strftime('%Y-%m-%d %H:%M:%f', '2024-01-02 03:04:05.678')", "2024-01-02 03:04:05.678"),
    ] {
        let row = cell(db, "DATETIME", literal).await;
        assert_eq!(row.get::<DateTime>("v").unwrap(), datetime(at), "{literal}");
        assert_eq!(row.get::<Timestamp>("v").unwrap(), datetime(at).assume_utc(), "{literal}");
    }
    let zoned = cell(db, "DATETIME", "'2024-01-02T03:04:05+05:30'").await;
    assert_eq!(zoned.get::<Timestamp>("v").unwrap(), datetime("2024-01-01 21:34:05").assume_utc());
    refuses::<DateTime>(&zoned);
    // Seconds, milliseconds, days: nobody can tell from the number.
    for (declared, literal) in [
        ("INTEGER", "1704164645"),
        ("INTEGER", "1704164645678"),
        ("DATETIME", "1704164645"),
        ("REAL", "2460311.627"),
        ("DATE", "julianday('2024-01-02')"),
        ("DATE", "unixepoch('2024-01-02')"),
        // Nothing but digits: DATE makes a number of it.
        ("DATE", "'20240102'"),
    ] {
        let row = cell(db, declared, literal).await;
        for error in
            [refuses::<DateTime>(&row), refuses::<Timestamp>(&row), refuses::<Date>(&row), refuses::<Time>(&row)]
        {
            assert!(error.to_string().contains("cannot be read as"), "{error}");
            let hint = error.hint().expect("a hint");
            assert!(hint.contains("2024-12-31") && hint.contains("unixepoch"), "{hint}");
        }
    }
    let converted = cell(db, "", "datetime(1704164645, 'unixepoch')").await;
    assert_eq!(converted.get::<DateTime>("v").unwrap(), datetime("2024-01-02 03:04:05"));
    for text in ["'02.01.2024'", "'2024-1-2'", "'now'", "''"] {
        let error = refuses::<Date>(&cell(db, "DATE", text).await);
        assert!(error.hint().is_some_and(|hint| hint.starts_with("expected a date like")), "{error:?}");
        assert!(!error.to_string().contains("02"), "{error}");
    }
    refuses::<Date>(&cell(db, "DATE", "'2024-01-02 00:00:00'").await);
    refuses::<DateTime>(&cell(db, "DATE", "'2024-01-02'").await);
}

#[tokio::test]
async fn the_date_functions_read_what_is_stored() {
    let db = &memory().await;
    let at = datetime("2024-01-02 03:04:05.25");
    for (value, sql, want) in [
        (Value::Date(at.date()), "SELECT date(:v, '+1 day')", "2024-01-03"),
        (Value::DateTime(at), "SELECT datetime(:v, '+1 day')", "2024-01-03 03:04:05"),
        (Value::Timestamp(at.assume_utc()), "SELECT strftime('%H:%M:%f', :v)", "03:04:05.250"),
        (Value::Time(at.time().unwrap()), "SELECT time(:v)", "03:04:05"),
        (Value::Date(date("0001-01-01")), "SELECT date(:v)", "0001-01-01"),
        (Value::DateTime(datetime("9999-12-31 23:59:59")), "SELECT datetime(:v)", "9999-12-31 23:59:59"),
    ] {
        let row = db.rows_with(sql, Params::new().with("v", value)).await.unwrap().remove(0);
        assert_eq!(row.get::<String>(0).unwrap(), want, "{sql}");
    }
    for far in ["0044-03-15 10:00:00 BC", "0001-12-31 23:59:59 BC", "10000-01-01 00:00:00"] {
        let at = datetime(far);
        for value in [Value::Date(at.date()), Value::DateTime(at), Value::Timestamp(at.assume_utc())] {
            let error = db.rows_with("SELECT :v", Params::new().with("v", value)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Encode);
            assert!(error.to_string().contains("1 to 9999"), "{error}");
        }
    }
}

#[tokio::test]
async fn uuids_are_read_from_text_and_from_16_bytes() {
    let db = &memory().await;
    let uuid: Uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap();
    for literal in [
        "x'67e5504410b1426f9247bb680e5fe0c8'",
        "'67E55044-10B1-426F-9247-BB680E5FE0C8'",
        "'67e5504410b1426f9247bb680e5fe0c8'",
    ] {
        assert_eq!(cell(db, "", literal).await.get::<Uuid>("v").unwrap(), uuid, "{literal}");
    }
    let (class, _, row) = store(db, "BLOB", uuid.as_bytes().to_vec()).await.unwrap();
    assert_eq!((class.as_str(), row.get::<Uuid>("v").unwrap()), ("blob", uuid));
    refuses::<Uuid>(&cell(db, "", "x'67e5'").await);
    refuses::<Uuid>(&cell(db, "", "'67e5'").await);
    refuses::<Uuid>(&cell(db, "", "1").await);
}

#[tokio::test]
async fn text_that_is_not_utf8_is_bytes() {
    let db = &memory().await;
    let row = cell(db, "TEXT", "CAST(x'66ff' AS TEXT)").await;
    assert_eq!(
        refuses::<String>(&row).to_string(),
        "column `v` (TEXT): bytes that are not valid UTF-8 cannot be read as String"
    );
    assert_eq!(row.get::<Vec<u8>>("v").unwrap(), [0x66, 0xff]);
    assert_eq!(row.get_raw("v").unwrap(), Some(&[0x66, 0xff][..]));
    assert!(row.get::<Value>("v").unwrap() == Value::Bytes(vec![0x66, 0xff]));
    refuses::<JsonText>(&row);
    refuses::<Date>(&row);
    // It stays TEXT in the file: only reading differs.
    assert_eq!(db.text("SELECT typeof(v) FROM t").await.unwrap(), "text");
}

#[tokio::test]
async fn values_without_a_form_are_refused_and_nothing_is_stored() {
    let db = &memory().await;
    db.exec("CREATE TABLE t (v)").await.unwrap();
    let range: Range<i32> = (1..5).into();
    let record = Value::Array(Box::new(Array::record(vec![Value::Int(1)])));
    for (value, says) in [
        (Value::Float(f64::NAN), "NaN has no form in SQLite, which stores it as NULL"),
        (Value::UInt(1 << 63), "the integer is above 9223372036854775807, the largest of SQLite"),
        (Value::Decimal(decimal("9223372036854775808")), "SQLite's numbers cannot hold this decimal exactly"),
        (Value::Decimal(decimal("0.1234567890123456789")), "SQLite's numbers cannot hold this decimal exactly"),
        (Value::Decimal(Decimal::nan()), "a decimal NaN has no form in SQLite, which has no NaN"),
        (Value::Date(Date::INFINITY), "an infinite date has no form in SQLite"),
        (Value::Interval(Interval::INFINITY), "an infinite interval has no form in SQLite"),
        (range.into_value(), "SQLite has no ranges"),
        (record, "SQLite has no records"),
    ] {
        let error = db.exec_with("INSERT INTO t VALUES (:v)", params! { v: value }).await.unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Encode, format!("parameter 1: {says}")));
        assert!(error.hint().is_some(), "{says}");
    }
    assert_eq!(db.int("SELECT count(*) FROM t").await.unwrap(), 0);
    // What is above i64::MAX goes as text, and is read as the number it was.
    let (class, _, row) = store(db, "TEXT", u64::MAX.to_string()).await.unwrap();
    assert_eq!((class.as_str(), row.get::<u64>("v").unwrap()), ("text", u64::MAX));
}
