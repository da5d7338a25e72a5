//! Statements, values and errors against a real server.

mod common;

use std::sync::Arc;

use common::*;
use databases_core::backend::{ConnectContext, Status};
use databases_core::types::{Date, DateTime, Decimal, Interval, JsonText, Time, Timestamp, Uuid};
use databases_core::{Arg, Effect, ErrorKind, Params, Value, ValueKind};

fn none() -> Params<'static> {
    Params::new()
}

#[tokio::test]
async fn values_of_every_type_come_back_exactly() {
    let Some(conn) = connect().await else { return };
    setup(
        &conn,
        &["CREATE TEMPORARY TABLE v (b BOOLEAN, s SMALLINT, i INT, l BIGINT, u BIGINT UNSIGNED, f FLOAT, d DOUBLE, \
           m DECIMAL(30,10), t TEXT, y BLOB, da DATE, ti TIME(6), dt DATETIME(6), ts TIMESTAMP(6) NULL, id CHAR(36), \
           j JSON, bi BIT(10), yr YEAR) CHARACTER SET utf8mb4"],
    )
    .await;
    let date: Date = "2026-11-21".parse().unwrap();
    let time: Time = "23:59:59.000007".parse().unwrap();
    let datetime: DateTime = "9999-12-31 23:59:59.999999".parse().unwrap();
    let timestamp: Timestamp = "2026-11-21 04:05:06.123456Z".parse().unwrap();
    let uuid = Uuid::from_bytes([7; 16]);
    let decimal: Decimal = "-12345678901234567890.0123456789".parse().unwrap();
    let insert = "INSERT INTO v VALUES (:b, :s, :i, :l, :u, :f, :d, :m, :t, :y, :da, :ti, :dt, :ts, :id, :j, :bi, :yr)";
    let params = || {
        none()
            .with("b", true)
            .with("s", i16::MIN)
            .with("i", i32::MAX)
            .with("l", i64::MIN)
            .with("u", u64::MAX)
            .with("f", 0.1f32)
            .with("d", f64::MIN_POSITIVE)
            .with("m", decimal.clone())
            .with("t", "ü🦀\0'\\")
            .with("y", vec![0u8, 0xff, 0xfe, b'\''])
            .with("da", date)
            .with("ti", time)
            .with("dt", datetime)
            .with("ts", timestamp)
            .with("id", uuid)
            .with("j", JsonText::new(r#"{"a": [1, null]}"#))
            .with("bi", 513)
            .with("yr", 2026)
    };
    assert_eq!(execute(&conn, insert, params()).await.unwrap().rows_affected(), 1);
    let mut nulls = none();
    for name in params().names() {
        nulls.push(name.to_owned(), None::<i64>);
    }
    execute(&conn, insert, nulls).await.unwrap();
    let mut rows = Rows::default();
    conn.run(request(&conn, "SELECT * FROM v", none()).unwrap(), &mut rows).await.unwrap();
    let types = rows.types();
    let rows = rows.values().unwrap();
    let json = Value::Text(r#"{"a": [1, null]}"#.into());
    let expected = [
        Value::Int(1),
        Value::Int(i16::MIN.into()),
        Value::Int(i32::MAX.into()),
        Value::Int(i64::MIN),
        Value::UInt(u64::MAX),
        Value::Float(0.1f32.into()),
        Value::Float(f64::MIN_POSITIVE),
        Value::Decimal(decimal.clone()),
        Value::Text("ü🦀\0'\\".into()),
        Value::Bytes(vec![0, 0xff, 0xfe, b'\'']),
        Value::Date(date),
        Value::Time(time),
        Value::DateTime(datetime),
        Value::Timestamp(timestamp),
        Value::Text(uuid.to_string()),
        json,
        Value::UInt(513),
        Value::Int(2026),
    ];
    for (index, (got, want)) in rows[0].iter().zip(&expected).enumerate() {
        let same = got == want || matches!((got, want), (Value::Json(j), Value::Text(t)) if j.as_str() == t);
        assert!(same, "column {index} ({})", types[index]);
    }
    assert!(rows[1].iter().all(Value::is_null));
    assert_eq!(types[..6], ["TINYINT", "SMALLINT", "INT", "BIGINT", "BIGINT UNSIGNED", "FLOAT"]);
    // The same through the text protocol: the server cannot prepare EXECUTE (1295).
    setup(&conn, &["PREPARE p FROM 'SELECT * FROM v'"]).await;
    let text = fetch(&conn, "EXECUTE p", none()).await.unwrap();
    assert!(text == rows, "both protocols give the same values");
    let error = fetch(&conn, "EXECUTE p; SELECT 1", none()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Syntax), "{error:?}");
    let error = fetch(&conn, "EXECUTE p USING :x", none().with("x", 1)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Syntax), "{error:?}");
    let error = fetch(&conn, "EXECUTE nope", none()).await.unwrap_err();
    assert_eq!((error.code(), conn.status()), (Some("1243"), Status::Idle));
}

#[tokio::test]
async fn parameters_come_back_as_what_they_were() {
    use databases_core::{FromValue, IntoValue};
    async fn echo<T: IntoValue + FromValue + Clone + PartialEq>(conn: &Conn, value: T) {
        let mut rows = Rows::default();
        let params = none().with("v", value.clone());
        conn.run(request(conn, "SELECT :v", params).unwrap(), &mut rows).await.unwrap();
        let got = T::from_value(rows.0[0].cell(0, 0).unwrap());
        assert!(got.is_ok_and(|got| got == value), "{} {}", std::any::type_name::<T>(), rows.types()[0]);
    }
    let Some(conn) = connect().await else { return };
    echo(&conn, true).await;
    echo(&conn, -5i16).await;
    echo(&conn, i64::MIN).await;
    echo(&conn, u64::MAX).await;
    echo(&conn, 0.1f64).await;
    echo(&conn, 0.1f32).await;
    echo(&conn, "12345678901234567890.123456789".parse::<Decimal>().unwrap()).await;
    echo(&conn, "ü🦀".to_owned()).await;
    echo(&conn, "2026-11-21".parse::<Date>().unwrap()).await;
    echo(&conn, "23:59:59.000007".parse::<Time>().unwrap()).await;
    echo(&conn, "2026-11-21 04:05:06.000007".parse::<DateTime>().unwrap()).await;
    echo(&conn, "2026-11-21 04:05:06.000007Z".parse::<Timestamp>().unwrap()).await;
    echo(&conn, Uuid::from_bytes([7; 16])).await;
    echo(&conn, JsonText::new("[1]")).await;
    echo(&conn, None::<i64>).await;
}

#[tokio::test]
async fn a_kept_statement_takes_each_value_as_what_it_is() {
    let Some(conn) = connect().await else { return };
    let decimal = "12345678901234567890.123456789";
    let values = [
        Value::Null,
        Value::Float(1.5),
        Value::Decimal(decimal.parse().unwrap()),
        Value::Int(i64::MAX),
        Value::Text("abc".into()),
        Value::DateTime("2026-11-21 04:05:06".parse().unwrap()),
        Value::Null,
        Value::Text("def".into()),
        Value::UInt(u64::MAX),
        Value::Float(0.5),
        Value::Int(7),
    ];
    for given in values {
        let got = fetch(&conn, "SELECT :v", none().with("v", given.clone())).await.unwrap().remove(0).remove(0);
        let want = if given.kind() == ValueKind::Decimal { Value::Text(decimal.into()) } else { given };
        assert!(got == want, "{:?}", want.kind());
    }
}

#[tokio::test]
async fn long_times_are_intervals_and_zero_dates_are_errors() {
    let Some(conn) = connect().await else { return };
    let interval = Interval::new(0, 0, -(100 * 3600 + 61) * 1_000_000);
    assert_eq!(value(&conn, "SELECT CAST('-100:01:01' AS TIME)").await, Value::Interval(interval));
    setup(&conn, &["SET SESSION sql_mode = ''"]).await;
    setup(&conn, &["CREATE TEMPORARY TABLE z (d DATE)", "INSERT INTO z VALUES ('0000-00-00')"]).await;
    let error = fetch(&conn, "SELECT d FROM z", none()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.to_string().contains("zero date"), "{error}");
}

#[tokio::test]
async fn counts_and_ids_are_those_of_this_statement() {
    let Some(conn) = connect().await else { return };
    setup(
        &conn,
        &[
            "CREATE TEMPORARY TABLE a (id INT AUTO_INCREMENT PRIMARY KEY, k INT UNIQUE, v INT)",
            "CREATE TEMPORARY TABLE plain (v INT)",
        ],
    )
    .await;
    for (sql, rows, id) in [
        ("INSERT INTO a (k, v) VALUES (1, 1)", 1, Some(1)),
        ("INSERT INTO a (id, k, v) VALUES (40, 2, 1)", 1, Some(40)),
        ("INSERT INTO plain VALUES (1)", 1, None),
        ("INSERT INTO a (k, v) VALUES (3, 1), (4, 1)", 2, None),
        ("INSERT IGNORE INTO a (k, v) VALUES (3, 1)", 0, None),
        ("INSERT INTO a (k, v) VALUES (1, 1) ON DUPLICATE KEY UPDATE v = 1", 1, None),
        ("INSERT INTO a (k, v) VALUES (1, 1) ON DUPLICATE KEY UPDATE v = 9", 2, None),
        ("INSERT INTO a (id, k, v) VALUES (50, 6, 1) ON DUPLICATE KEY UPDATE v = 9", 1, Some(50)),
        ("INSERT INTO a (id, k, v) VALUES (-5, 7, 1)", 1, None),
        ("DELETE FROM a WHERE k IN (6, 7)", 2, None),
        ("REPLACE INTO a (k, v) VALUES (1, 5)", 2, None),
        ("UPDATE a SET v = v WHERE k = 1", 1, None),
        ("UPDATE a SET v = v", 4, None),
        ("SELECT * FROM a", 0, None),
        ("INSERT INTO a (k, v) SELECT 77, 1", 1, Some(-1)),
        ("INSERT INTO plain VALUES (LAST_INSERT_ID(7))", 1, None),
        ("DELETE FROM a", 5, None),
        ("CREATE TEMPORARY TABLE b AS SELECT * FROM plain", 0, None),
        ("DO 1", 0, None),
    ] {
        let done = execute(&conn, sql, none()).await.unwrap();
        assert_eq!(done.rows_affected(), rows, "{sql}");
        match id {
            Some(-1) => assert!(done.last_insert_id().is_some(), "{sql}"),
            id => assert_eq!(done.last_insert_id(), id, "{sql}"),
        }
    }
}

#[tokio::test]
async fn texts_that_the_driver_would_damage_arrive_whole() {
    let Some(conn) = connect().await else { return };
    let text = |s: &str| Value::Text(s.into());
    let arg = |n: i64| Arg { value: Value::Int(n), kind: ValueKind::Int };
    let one = async |sql: &str, args: Vec<Arg>| {
        let mut rows = Rows::default();
        conn.run(raw(&conn, sql, args), &mut rows).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        rows.values().unwrap().remove(0)
    };
    assert_eq!(one(r"SELECT 'a\\', ':b', ?", vec![arg(1)]).await, [text("a\\"), text(":b"), Value::Int(1)]);
    assert_eq!(one("SELECT ? --\u{1}:x", vec![arg(2)]).await, [Value::Int(2)]);
    assert_eq!(one("SELECT ? /*! + ':x' */", vec![arg(3)]).await.len(), 1);
    setup(&conn, &["SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')"]).await;
    assert_eq!(one(r"SELECT 'a\', ':x', ?", vec![arg(4)]).await, [text("a\\"), text(":x"), Value::Int(4)]);
    assert_eq!(one(r"SELECT '\', ':x\', ':y', ?", vec![arg(5)]).await.len(), 4);
    setup(&conn, &["SET SESSION sql_mode = ''"]).await;
    // A label: `lbl:begin`.
    let routine = "CREATE OR REPLACE PROCEDURE t_label() lbl:begin leave lbl; end";
    let made = conn.run(raw(&conn, routine, vec![]), &mut Rows::default()).await;
    if let Err(error) = &made {
        // MySQL has no OR REPLACE.
        assert_eq!(error.kind(), ErrorKind::Syntax, "{error:?}");
    } else {
        setup(&conn, &["CALL t_label()", "DROP PROCEDURE t_label"]).await;
    }
}

#[tokio::test]
async fn statements_cannot_be_stacked_and_placeholders_are_counted() {
    let Some(conn) = connect().await else { return };
    let error = fetch(&conn, "SELECT 1; SELECT 2", none()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Syntax);
    let arg = Arg { value: Value::Int(1), kind: ValueKind::Int };
    let error = conn.run(raw(&conn, "SELECT ?, ?", vec![arg]), &mut Rows::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Parameters);
    assert_eq!(value(&conn, "SELECT 1").await, Value::Int(1));
}

#[tokio::test]
async fn a_statement_cache_is_bounded_and_can_be_off() {
    let Some(url) = url() else { return };
    for (size, most) in [("3", 3), ("0", 0)] {
        let conn = connect_to(&url.with_option("statement_cache_size", size).unwrap()).await.unwrap();
        for n in 0..10 {
            for _ in 0..2 {
                assert_eq!(value(&conn, &format!("SELECT {n}")).await, Value::Int(n));
            }
        }
        let mut unprepared = request(&conn, "SELECT 5", none()).unwrap();
        unprepared.prepared = false;
        conn.run(unprepared, &mut Rows::default()).await.unwrap();
        let held = fetch(&conn, "SHOW SESSION STATUS LIKE 'Prepared_stmt_count'", none()).await.unwrap();
        if let Some(Value::Text(held)) = held.first().map(|row| row[1].clone()) {
            // Global on MySQL; others may run.
            let held: usize = held.parse().unwrap();
            assert!(held >= most.min(1), "{held}");
        }
    }
}

#[tokio::test]
async fn errors_have_kind_names_and_no_values() {
    let Some(conn) = connect().await else { return };
    setup(
        &conn,
        &[
            "DROP TABLE IF EXISTS e_child, e_parent",
            "CREATE TABLE e_parent (id INT PRIMARY KEY, email VARCHAR(40) NOT NULL, n INT CHECK (n > 0), \
             CONSTRAINT small CHECK (n < 100), UNIQUE KEY by_email (email)) ENGINE=InnoDB",
            "CREATE TABLE e_child (p INT, CONSTRAINT fk_p FOREIGN KEY (p) REFERENCES e_parent (id)) ENGINE=InnoDB",
            "INSERT INTO e_parent VALUES (1, 'secret@x', 1)",
            "INSERT INTO e_child VALUES (1)",
        ],
    )
    .await;
    use ErrorKind::*;
    for (sql, kind, constraint, table, column) in [
        (
            "INSERT INTO e_parent VALUES (2, 'secret@x', 1)",
            UniqueViolation,
            Some("by_email"),
            Some("e_parent"),
            Some("email"),
        ),
        ("INSERT INTO e_child VALUES (99)", ForeignKeyViolation, Some("fk_p"), Some("e_child"), Some("p")),
        ("DELETE FROM e_parent", ForeignKeyViolation, Some("fk_p"), Some("e_child"), Some("p")),
        ("INSERT INTO e_parent VALUES (3, NULL, 1)", NotNullViolation, None, Some("e_parent"), Some("email")),
        ("INSERT INTO e_parent (id) VALUES (3)", NotNullViolation, None, None, Some("email")),
        ("INSERT INTO e_parent VALUES (3, 'c', 1000)", CheckViolation, Some("small"), None, None),
        ("INSERT INTO e_parent VALUES ('secret', 'c', 1)", Database, None, None, Some("id")),
        ("INSERT INTO e_parent VALUES (99999999999, 'c', 1)", Database, None, None, Some("id")),
        ("SELEC 1", Syntax, None, None, None),
        ("SELECT * FROM nope", UndefinedTable, None, Some("nope"), None),
        ("SELECT nope FROM e_parent", UndefinedColumn, None, None, Some("nope")),
        ("SELECT nope(1)", UndefinedFunction, None, None, None),
    ] {
        let error = fetch(&conn, sql, none()).await.err().unwrap_or_else(|| panic!("{sql}"));
        assert_eq!(error.kind(), kind, "{sql}: {error:?} {:?}", error.detail());
        assert_eq!(error.constraint(), constraint, "{sql}: {:?}", error.detail());
        if table.is_some() {
            assert_eq!(error.table(), table, "{sql}");
        }
        assert_eq!(error.columns().first().map(String::as_str), column, "{sql}: {:?}", error.detail());
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        assert!(error.code().is_some_and(|code| code.parse::<u16>().is_ok()), "{error:?}");
        assert!(is_idle(&conn));
    }
    setup(&conn, &["DROP TABLE e_child, e_parent"]).await;
}

#[tokio::test]
async fn a_packet_that_the_server_would_not_take_is_not_sent() {
    let Some(conn) = connect().await else { return };
    let most = fetch(&conn, "SELECT CAST(@@max_allowed_packet AS SIGNED)", none()).await.unwrap();
    let Value::Int(most) = most[0][0] else { panic!() };
    let most = usize::try_from(most).unwrap();
    for size in [most - 1000, most, most + 1000] {
        let text = "x".repeat(size);
        match fetch(&conn, "SELECT LENGTH(:t)", none().with("t", text)).await {
            Ok(rows) => assert!(size < most && rows[0][0] == Value::Int(size.try_into().unwrap())),
            Err(error) => {
                assert_eq!((error.kind(), error.effect()), (ErrorKind::LimitExceeded, Effect::NotSent), "{error:?}");
                assert!(size >= most, "{error:?}");
            }
        }
        assert!(is_idle(&conn), "{size}");
    }
    assert_eq!(value(&conn, "SELECT 1").await, Value::Int(1));
}

#[tokio::test]
async fn values_without_a_form_are_refused_before_sending() {
    let Some(conn) = connect().await else { return };
    for value in [Value::Float(f64::NAN), Value::Decimal(Decimal::infinity()), Value::Interval(Interval::new(1, 0, 0))]
    {
        let error = fetch(&conn, "SELECT :v", none().with("v", value)).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Encode, Effect::NotSent));
    }
    assert!(is_idle(&conn));
}

#[tokio::test]
async fn session_defaults_are_set_at_connect_and_after_a_reset() {
    let Some(conn) = connect().await else { return };
    let check = async || {
        let row = fetch(
            &conn,
            "SELECT @@time_zone, @@character_set_connection, @@sql_mode, CAST(@@autocommit AS SIGNED), @leftover",
            none(),
        )
        .await
        .unwrap()
        .remove(0);
        let Value::Text(mode) = &row[2] else { panic!() };
        assert!(mode.contains("STRICT_TRANS_TABLES") && mode.contains("NO_ENGINE_SUBSTITUTION"), "{mode}");
        assert_eq!(row[0], Value::Text("+00:00".into()));
        assert_eq!(row[1], Value::Text("utf8mb4".into()));
        assert_eq!(row[3], Value::Int(1));
        assert!(row[4].is_null());
    };
    check().await;
    let before = conn.dialect();
    setup(&conn, &["SET time_zone = '+05:00', @leftover = 1", "SET NAMES latin1"]).await;
    setup(&conn, &["SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', autocommit = 0"]).await;
    assert_eq!(conn.dialect(), before.with_ansi_quotes(true).with_no_backslash_escapes(true));
    assert!(conn.reset().await.unwrap());
    assert_eq!(conn.dialect(), before);
    check().await;
}

#[tokio::test]
async fn what_the_server_is_and_who_may_come_in() {
    let Some(url) = url() else { return };
    let conn = connect_to(&url).await.unwrap();
    let info = conn.server_info().await.unwrap();
    assert!(["MariaDB", "MySQL"].contains(&info.product.as_str()) && info.version.contains('.'), "{info:?}");
    conn.ping().await.unwrap();
    assert_eq!(conn.native_type(), "mysql_async::Conn");
    conn.close().await;
    assert_eq!(conn.status(), Status::Broken);
    let error = fetch(&conn, "SELECT 1", none()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Disconnected, Effect::NotSent));

    let wrong = url.with_password("not the password").unwrap();
    let error = connect_to(&wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(!format!("{error:?}").contains("not the password"));
    let connector = connector(&wrong).unwrap();
    assert!(!format!("{connector:?}").contains("not the password"));
    // The password of one attempt comes before the URL's.
    let mut context = ConnectContext::default();
    context.password = Some(url.password().unwrap_or_default().to_owned());
    let conn = connector.connect(context).await.unwrap();
    assert!(!format!("{conn:?}").contains(url.password().filter(|p| !p.is_empty()).unwrap_or("\u{0}")));
    assert_eq!(connect_to(&url.with_database("no_such_db").unwrap()).await.unwrap_err().kind(), ErrorKind::Connect);
    if url.port().is_some() {
        let error = connect_to(&url.with_port(1).unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        let host = url.hosts()[0].name();
        assert_eq!(error.to_string(), format!("the server cannot be reached at {host}:1"));
    }
}

#[tokio::test]
async fn a_user_without_a_right_on_the_database_is_told_so() {
    let Some(url) = url() else { return };
    let conn = connect_to(&url).await.unwrap();
    let create = "CREATE USER 'no_rights'@'%' IDENTIFIED BY 'a password'";
    setup(&conn, &["DROP USER IF EXISTS 'no_rights'@'%'", create]).await;
    let theirs = url.with_username("no_rights").unwrap().with_password("a password").unwrap();
    let error = connect_to(&theirs).await.unwrap_err();
    setup(&conn, &["DROP USER 'no_rights'@'%'"]).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::PermissionDenied, Some("1044")), "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.starts_with("the login itself worked")), "{error:?}");
}

#[tokio::test]
async fn an_unused_batch_and_many_rows() {
    let Some(conn) = connect().await else { return };
    setup(&conn, &["CREATE TEMPORARY TABLE m (id INT PRIMARY KEY, t VARCHAR(10))"]).await;
    let insert = |n: i64| request(&conn, "INSERT INTO m VALUES (:n, 'x')", none().with("n", n));
    let all: Vec<_> = (0..3000).map(insert).collect();
    assert_eq!(conn.run_many(&mut List(all.into_iter())).await.unwrap(), 3000);
    let mut rows = Rows::default();
    conn.run(request(&conn, "SELECT * FROM m ORDER BY id", none()).unwrap(), &mut rows).await.unwrap();
    assert_eq!(rows.values().unwrap().len(), 3000);
    let mut rows = Rows::default();
    conn.run(request(&conn, "SELECT * FROM m WHERE id < 0", none()).unwrap(), &mut rows).await.unwrap();
    assert_eq!((rows.0.len(), rows.0[0].len(), rows.0[0].columns().len()), (1, 0, 2));
    let some: Vec<_> = [5000, 1, 5001].map(insert).into_iter().collect();
    let error = conn.run_many(&mut List(some.into_iter())).await.unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::UniqueViolation, Some(1)));
}

#[tokio::test]
async fn scripts_run_to_the_first_error() {
    let Some(conn) = connect().await else { return };
    let script = "CREATE TEMPORARY TABLE s (t VARCHAR(20)); INSERT INTO s VALUES (':x; lbl:begin'); \
                  SELECT * FROM s; INSERT INTO s VALUES ('b');";
    conn.run_script(script).await.unwrap();
    assert_eq!(value(&conn, "SELECT COUNT(*) FROM s").await, Value::Int(2));
    let error = conn.run_script("INSERT INTO s VALUES ('c'); SELECT 1; SELECT nope; INSERT INTO s VALUES ('d')").await;
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::UndefinedColumn, Some(2)));
    assert_eq!(value(&conn, "SELECT COUNT(*) FROM s").await, Value::Int(3));
    assert_eq!(conn.run_script("SELEC").await.unwrap_err().batch_index(), Some(0));
    conn.run_script("START TRANSACTION; INSERT INTO s VALUES ('e')").await.unwrap();
    assert_eq!(conn.status(), Status::InTransaction);
    assert!(conn.run_script("SELECT 1; COMMIT; SELECT nope").await.is_err());
    assert_eq!(conn.status(), Status::Idle);
}

#[tokio::test]
async fn a_script_blames_no_statement_behind_one_of_any_number_of_results() {
    let Some(conn) = connect().await else { return };
    let create = "CREATE PROCEDURE several_results() BEGIN SELECT 1; SELECT 2; END";
    setup(&conn, &["DROP PROCEDURE IF EXISTS several_results", create]).await;
    let prepare = "PREPARE p FROM 'CALL several_results()'; EXECUTE p";
    let mut scripts = vec![
        ("CALL several_results(); SELECT nope; SELECT 3".to_owned(), None),
        ("SELECT 1; SELECT nope; CALL several_results()".to_owned(), Some(1)),
        ("SELECT 1; CALL no_procedure(); SELECT 2".to_owned(), Some(1)),
        (format!("{prepare}; SELECT nope"), None),
    ];
    if conn.server_info().await.unwrap().product == "MariaDB" {
        scripts.extend([
            ("BEGIN NOT ATOMIC SELECT 1; SELECT 2; END; SELECT nope".to_owned(), None),
            ("IF 1 THEN SELECT 1; SELECT 2; END IF; SELECT nope".to_owned(), None),
            ("EXECUTE IMMEDIATE 'CALL several_results()'; SELECT nope".to_owned(), None),
        ]);
    }
    for (script, index) in scripts {
        let error = conn.run_script(&script).await.unwrap_err();
        assert_eq!(error.batch_index(), index, "{script}: {error:?}");
    }
    setup(&conn, &["DROP PROCEDURE several_results"]).await;
}

#[tokio::test]
async fn statements_started_together_run_in_order() {
    let Some(conn) = connect().await else { return };
    let many = (0..50i64).map(|n| {
        let conn: Conn = Arc::clone(&conn);
        async move { fetch(&conn, "SELECT :n", Params::new().with("n", n)).await.unwrap()[0][0].clone() }
    });
    let got = futures_util::future::join_all(many).await;
    assert!((0..50).map(Value::Int).eq(got));
}

#[tokio::test]
async fn procedures_give_their_first_result() {
    let Some(conn) = connect().await else { return };
    setup(&conn, &["DROP PROCEDURE IF EXISTS t_two"]).await;
    let routine = "CREATE PROCEDURE t_two() BEGIN SELECT 1; SELECT 2, 3; END";
    conn.run(raw(&conn, routine, vec![]), &mut Rows::default()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(fetch(&conn, "CALL t_two()", none()).await.unwrap(), [[Value::Int(1)]]);
    }
    assert_eq!(value(&conn, "SELECT 4").await, Value::Int(4));
    setup(&conn, &["DROP PROCEDURE t_two"]).await;
}

#[tokio::test]
async fn a_kept_statement_sees_a_table_that_has_changed() {
    let Some(conn) = connect().await else { return };
    let other = connect().await.unwrap();
    setup(&conn, &["DROP TABLE IF EXISTS t_alter", "CREATE TABLE t_alter (a INT)", "INSERT INTO t_alter VALUES (1)"])
        .await;
    let all = "SELECT * FROM t_alter WHERE a = :a";
    for _ in 0..2 {
        assert_eq!(fetch(&conn, all, none().with("a", 1)).await.unwrap(), [[Value::Int(1)]]);
    }
    setup(&other, &["ALTER TABLE t_alter ADD b VARCHAR(5) DEFAULT 'x', MODIFY a BIGINT UNSIGNED"]).await;
    for _ in 0..2 {
        let rows = fetch(&conn, all, none().with("a", 1)).await.unwrap();
        assert_eq!(rows, [[Value::UInt(1), Value::Text("x".into())]]);
    }
    setup(&other, &["DROP TABLE t_alter"]).await;
    assert_eq!(fetch(&conn, all, none().with("a", 1)).await.unwrap_err().kind(), ErrorKind::UndefinedTable);
}

#[tokio::test]
async fn returning_gives_rows_on_mariadb_and_says_what_is_missing_on_mysql() {
    let Some(conn) = connect().await else { return };
    setup(&conn, &["CREATE TEMPORARY TABLE r (id INT AUTO_INCREMENT PRIMARY KEY, n INT)"]).await;
    let insert = "INSERT INTO r (n) VALUES (5), (6) RETURNING id, n";
    let given = fetch(&conn, insert, none()).await;
    if conn.server_info().await.unwrap().product == "MySQL" {
        return assert_eq!(given.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert_eq!(given.unwrap(), [[Value::Int(1), Value::Int(5)], [Value::Int(2), Value::Int(6)]]);
    assert_eq!(execute(&conn, insert, none()).await.unwrap().rows_affected(), 2);
    assert_eq!(execute(&conn, "DELETE FROM r RETURNING id", none()).await.unwrap().rows_affected(), 4);
}

#[tokio::test]
async fn a_returned_row_tells_its_id() {
    let Some(conn) = connect().await else { return };
    if conn.server_info().await.unwrap().product == "MySQL" {
        return;
    }
    let table = "(id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, n INT UNIQUE)";
    setup(&conn, &["DROP TABLE IF EXISTS ret_id, ret_other"]).await;
    setup(&conn, &[&format!("CREATE TABLE ret_id {table}"), &format!("CREATE TABLE ret_other {table}")]).await;
    setup(&conn, &["INSERT INTO ret_other VALUES (77, 1)"]).await;
    for (sql, rows, id) in [
        ("INSERT INTO ret_id (n) VALUES (1) RETURNING id", 1, Some(1)),
        ("INSERT INTO ret_id (n) VALUES (2) RETURNING n, id AS x", 1, Some(2)),
        ("INSERT INTO `ret_id` (n) VALUES (3) RETURNING *", 1, Some(3)),
        ("INSERT INTO ret_id VALUES (20, 4) RETURNING id", 1, Some(20)),
        ("INSERT INTO ret_id (n) SELECT 5 RETURNING id", 1, Some(21)),
        ("INSERT INTO ret_id (n) VALUES (6), (7) RETURNING id", 2, None),
        ("REPLACE INTO ret_id VALUES (20, 4) RETURNING id", 1, Some(20)),
        // What was asked for has no id, or is another's.
        ("INSERT INTO ret_id (n) VALUES (8) RETURNING n", 1, None),
        ("INSERT INTO ret_id (n) VALUES (9) RETURNING (SELECT id FROM ret_other), n", 1, None),
        ("INSERT INTO ret_id (n) VALUES (10) RETURNING id + 100", 1, None),
        // No row was inserted.
        ("INSERT INTO ret_id (n) VALUES (1) ON DUPLICATE KEY UPDATE n = 1 RETURNING id", 1, None),
        ("DELETE FROM ret_id WHERE n = 1 RETURNING id", 1, None),
    ] {
        let done = execute(&conn, sql, none()).await.unwrap();
        assert_eq!((done.rows_affected(), done.last_insert_id()), (rows, id), "{sql}");
    }
    // The second time with the kept columns of the prepared statement.
    let again = "INSERT INTO ret_id VALUES (:id, :n) RETURNING id";
    for id in [101, 102] {
        let done = execute(&conn, again, none().with("id", id).with("n", id)).await.unwrap();
        assert_eq!(done.last_insert_id(), Some(id));
    }
    let ignored = "INSERT IGNORE INTO ret_id (n) VALUES (2) RETURNING id";
    let done = execute(&conn, ignored, none()).await.unwrap();
    assert_eq!(done.last_insert_id(), None, "{} rows", done.rows_affected());
    setup(&conn, &["DROP TABLE ret_id, ret_other"]).await;
}

#[tokio::test]
async fn a_name_without_an_address_is_told_with_its_port_and_no_password() {
    let url = "mysql://u:hunter2@nowhere.invalid:3307/d".parse().unwrap();
    let error = connect_to(&url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert_eq!(error.to_string(), "the server cannot be reached at nowhere.invalid:3307: the host name has no address");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_server_gets_no_file_of_this_machine() {
    let Some(conn) = connect().await else { return };
    setup(&conn, &["CREATE TEMPORARY TABLE f (line TEXT)"]).await;
    let error = execute(&conn, "LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE f", none()).await.unwrap_err();
    // The driver hangs up on a server that asks; MySQL does not ask unless it is told to.
    assert_eq!(error.kind() == ErrorKind::Unsupported, conn.status() == Status::Broken, "{error:?}");
}
