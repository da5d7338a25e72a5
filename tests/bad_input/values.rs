//! Values: the first and the last of each type, those that no server has, texts that would be SQL if they were pasted, and
//! many or large ones.

use std::collections::BTreeMap;
use std::ops::Bound;

use databases::types::{Date, DateTime, Decimal, Interval, JsonText, Range, Time, Timestamp, Uuid};
use databases::{Database, Executor, IntoValue, Params, Row, Value, list, params, sql};

use crate::{SECRET, Trial, backend_of, open, places, table};

/// Texts that a quoting of one's own gets wrong, and texts that are hard on servers.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        "'",
        "''",
        "\"",
        "`",
        "\\",
        "\\'",
        "\\\\'",
        "' OR '1'='1",
        "'; DROP TABLE {t}; --",
        "'); DROP TABLE {t}; --",
        "\\'; DROP TABLE {t}; --",
        "\u{2019}; DROP TABLE {t}",
        "\u{02bc} OR 1=1",
        "${jndi:ldap://x}",
        "$$; DROP TABLE {t}; $$",
        "$1",
        "?",
        ":a",
        "%s%n",
        "-1",
        "--",
        "/*",
        "*/",
        "/*!50000 DROP TABLE {t} */",
        "#",
        "NULL",
        "\0",
        "a\0b",
        "\u{1a}",
        "\n\r\t\u{8}\u{b}\u{c}",
        "\u{7f}\u{80}\u{9f}",
        "\u{feff}",
        "\u{fffd}\u{fffe}\u{ffff}",
        "\u{10ffff}",
        "\u{202e}\u{2066}",
        "\u{0301}\u{0301}\u{0301}",
        "\u{bf}\u{27}",
        "縗",
        "\u{1F511}\u{1F469}\u{200d}\u{1F4BB}",
        "1e999",
        "infinity",
        "NaN",
        "0000-00-00",
        "2024-02-30",
        "99999-12-31",
        "24:00:01",
        "{\"a\":",
        "[[[[[[",
        "{1,2",
        "\\x",
        "\\xZZ",
        "not-a-uuid",
    ]
    .map(|text| format!("{text}{SECRET}"))
    .into();
    texts.push("x".repeat(1 << 20) + SECRET);
    texts.push("'".repeat(1 << 20) + SECRET);
    texts.push("[".repeat(200_000) + SECRET);
    texts
}

fn value(value: impl IntoValue) -> Value {
    value.into_value()
}

/// Values at and beyond the ends of their types.
fn extremes() -> Vec<Value> {
    let decimal = |text: &str| text.parse::<Decimal>().map_or(Value::Null, value);
    let mut values = vec![
        Value::Null,
        value(true),
        value(i64::MIN),
        value(i64::MAX),
        value(u64::MAX),
        value(i16::MIN),
        value(u32::MAX),
        value(f64::NAN),
        value(-f64::NAN),
        value(f64::INFINITY),
        value(f64::NEG_INFINITY),
        value(f64::MAX),
        value(f64::MIN_POSITIVE / 2.0),
        value(-0.0),
        value(f32::MAX),
        value(f32::NAN),
        decimal("0"),
        decimal("-0.000"),
        decimal("NaN"),
        decimal("Infinity"),
        decimal("1e1000"),
        decimal("1e-1000"),
        decimal(&"9".repeat(1000)),
        decimal(&format!("0.{}", "9".repeat(1000))),
        decimal(&"9".repeat(130_000)),
        decimal("1e131071"),
        decimal("1e-16383"),
        value(Date::MIN),
        value(Date::MAX),
        value(Date::INFINITY),
        value(Date::NEG_INFINITY),
        value(Time::MIDNIGHT),
        value(Time::MAX),
        value(DateTime::MIN),
        value(DateTime::MAX),
        value(DateTime::INFINITY),
        value(DateTime::NEG_INFINITY),
        value(Timestamp::MIN),
        value(Timestamp::MAX),
        value(Timestamp::INFINITY),
        value(Timestamp::NEG_INFINITY),
        value(Interval::INFINITY),
        value(Interval::NEG_INFINITY),
        value(Interval::new(i32::MIN + 1, i32::MAX, i64::MIN + 1)),
        value(Interval::new(i32::MAX, i32::MIN, i64::MAX)),
        value(JsonText::new("")),
        value(JsonText::new(format!("{{{SECRET}"))),
        value(JsonText::new("null\0")),
        value(JsonText::new("[".repeat(100_000))),
        value(JsonText::new(format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)))),
        value(JsonText::new("1e999999")),
        value(JsonText::new("\"\\u0000\"")),
        value(JsonText::new("\"\\ud800\"")),
        value(SECRET.as_bytes().to_vec()),
        value(vec![0_u8; 1 << 20]),
        value((0..=255_u8).collect::<Vec<_>>()),
        value(Vec::<u8>::new()),
        value(Vec::<i64>::new()),
        value(vec![SECRET; 3]),
        value(vec![Some(SECRET), None]),
        value(vec![vec![1_i64, 2], vec![3]]),
        value(vec![vec![Vec::<String>::new()]]),
        value(vec![f64::NAN; 3]),
        value(vec![7_i64; 100_000]),
        value(BTreeMap::from([(SECRET.to_owned(), SECRET.to_owned())])),
        value(Range::Between(Bound::Included(5), Bound::Excluded(1))),
        value(Range::<i64>::Empty),
        value(list([1, 2, 3])),
        value(list(Vec::<i64>::new())),
        value(list([(1, SECRET), (2, "b")])),
        "00000000-0000-0000-0000-000000000000".parse::<Uuid>().map_or(Value::Null, value),
    ];
    // Far deeper than any server's arrays.
    let mut nested = value(vec![1_i64]);
    for _ in 0..200 {
        nested = value(vec![nested]);
    }
    values.push(nested);
    values
}

/// Reads each cell as several types; gives the last error. None may panic or show what it read.
fn read(row: &Row) -> databases::Result<()> {
    let mut outcome = Ok(());
    for column in 0..row.columns().len() {
        let tried = [
            row.get::<Value>(column).map(drop),
            row.get::<i16>(column).map(drop),
            row.get::<Option<Decimal>>(column).map(drop),
            row.get::<Timestamp>(column).map(drop),
            row.get::<Uuid>(column).map(drop),
            row.get::<Vec<Option<i32>>>(column).map(drop),
        ];
        for error in tried.into_iter().filter_map(Result::err) {
            crate::assert_no_secret(&error, "a stored value");
            outcome = Err(error);
        }
    }
    outcome
}

/// A table with a column of every sort, in the words of the backend.
async fn everything(db: &Database, backend: &str) -> String {
    let name = table("values");
    let columns = match backend {
        "postgres" => {
            "a smallint, b bigint, c real, d numeric(10, 2), e text, f varchar(3), g bytea, h date, i time, j timestamp, \
             k timestamptz, l uuid, m jsonb, n boolean, o integer[], p inet, q interval, r char(2), s int4range, t numeric"
        }
        "mysql" => {
            "a SMALLINT, b BIGINT, c FLOAT, d DECIMAL(10, 2), e LONGTEXT, f VARCHAR(3), g LONGBLOB, h DATE, i TIME(6), \
             j DATETIME(6), k TIMESTAMP(6) NULL, l CHAR(36), m JSON, n BOOLEAN, o BIT(8), p ENUM('a', 'b'), q YEAR, \
             r BINARY(2), s BIGINT UNSIGNED, t DECIMAL(65, 30)"
        }
        _ => {
            "a INTEGER, b TEXT, c REAL, d BLOB, e NUMERIC, f DATE, g BOOLEAN CHECK (g IN (0, 1)), \
             h TEXT CHECK (length(h) < 10), i TEXT CHECK (json_valid(i))"
        }
    };
    db.execute(format!("CREATE TABLE {name} ({columns})"), ()).await.unwrap();
    name
}

fn columns(backend: &str) -> &'static str {
    if backend == "sqlite" { "abcdefghi" } else { "abcdefghijklmnopqrst" }
}

#[tokio::test]
async fn values_are_stored_as_they_are_or_refused() {
    let mut trial = Trial::new("values");
    for place in places() {
        let backend = backend_of(&place);
        let db = open(&place).await;
        let t = everything(&db, backend).await;
        for (number, text) in texts().into_iter().enumerate() {
            let text = text.replace("{t}", &t);
            let given = || Params::new().with("v", text.as_str());
            let input = format!("text {number}");
            trial.on(&db, backend, &input, db.fetch_all::<Row>("SELECT :v", given())).await;
            trial.on(&db, backend, &input, db.fetch_all::<Row>("SELECT 1 WHERE :v = 'x'", given())).await;
            for column in columns(backend).chars() {
                let input = format!("text {number} into {column}");
                let insert = format!("INSERT INTO {t} ({column}) VALUES (:v)");
                trial.on(&db, backend, &input, db.execute(insert, given())).await;
            }
        }
        for (number, value) in extremes().into_iter().enumerate() {
            let given = || params! { v: value.clone() };
            let input = format!("value {number}, a {:?}", value.kind());
            trial.on(&db, backend, &input, db.fetch_all::<Row>("SELECT :v", given())).await;
            trial.on(&db, backend, &input, db.fetch_all::<Row>("SELECT 1 WHERE 1 IN (:v)", given())).await;
            for column in columns(backend).chars() {
                let input = format!("{input} into {column}");
                let insert = format!("INSERT INTO {t} ({column}) VALUES (:v)");
                trial.on(&db, backend, &input, db.execute(insert, given())).await;
            }
        }
        // Whatever was stored can be read, or says why not; also as types that it is not. The large ones are one row each.
        let rows: Vec<Row> = db.fetch_all(sql(format!("SELECT * FROM {t}")), ()).await.unwrap();
        for row in rows {
            trial.outcome(backend, "what was stored", async { read(&row) }).await;
        }
        db.execute(format!("DROP TABLE {t}"), ()).await.unwrap();
        db.close().await.unwrap();
    }
    trial.report(1000);
}

#[tokio::test]
async fn values_that_break_a_constraint_stay_out_of_its_error() {
    let mut trial = Trial::new("values that violate");
    for place in places() {
        let backend = backend_of(&place);
        let db = open(&place).await;
        let (t, child) = (table("parent"), table("child"));
        let key = "VARCHAR(80)";
        let parent = format!(
            "CREATE TABLE {t} (k {key} PRIMARY KEY, n {key} NOT NULL, c {key} CHECK (c <> '{SECRET_MARK}'), u {key} UNIQUE)"
        );
        db.execute(parent, ()).await.unwrap();
        db.execute(format!("CREATE TABLE {child} (k {key}, FOREIGN KEY (k) REFERENCES {t} (k))"), ()).await.unwrap();
        let insert = format!("INSERT INTO {t} (k, n, c, u) VALUES (:k, :n, :c, :u)");
        let row = |k: &str, u: &str| params! { k: k.to_owned(), n: SECRET, c: SECRET, u: u.to_owned() };
        db.execute(&insert, row(SECRET, SECRET)).await.unwrap();
        for (input, given) in [
            ("the same key", row(SECRET, "x")),
            ("the same unique value", row("x", SECRET)),
            ("NULL", params! { k: "y", n: None::<String>, c: SECRET, u: SECRET.repeat(2) }),
            ("what CHECK forbids", params! { k: "y", n: SECRET, c: SECRET_MARK, u: SECRET.repeat(2) }),
        ] {
            let kind = trial.on(&db, backend, input, db.execute(&insert, given)).await;
            assert!(kind.is_some(), "{input}");
        }
        let orphan = db.execute(format!("INSERT INTO {child} (k) VALUES (:k)"), params! { k: SECRET.repeat(3) });
        assert!(trial.on(&db, backend, "an orphan", orphan).await.is_some());
        let many = (0..3).map(|_| row(SECRET, SECRET));
        assert!(trial.on(&db, backend, "many of the same key", db.execute_many(&insert, many)).await.is_some());
        let text = "x".to_owned() + SECRET;
        for cast in ["CAST(:v AS DECIMAL)", "CAST(:v AS DATE)", "abs(:v)", ":v + 1", "json_extract(:v, '$')"] {
            let select = format!("SELECT {cast}");
            trial.on(&db, backend, &select, db.fetch_all::<Row>(&select, params! { v: text.as_str() })).await;
        }
        for name in [&child, &t] {
            db.execute(format!("DROP TABLE {name}"), ()).await.unwrap();
        }
        db.close().await.unwrap();
    }
    trial.report(11);
}

/// Stands in a constraint's text, so it is not the secret itself.
const SECRET_MARK: &str = "forbidden";
