//! Values in the server's types, and the server's values in ours, with a real server.

mod support;

use databases_core::backend::{BackendConnection, Status, TransactionCommand as Tx};
use databases_core::types::{Date, DateTime, Decimal, Interval, JsonText, Time, Timestamp, Uuid};
use databases_core::{
    Arg, Array, ErrorKind, IntoValue, Params, PoolOptions, TransactionOptions, Value, ValueKind, ValueRef, params,
};
use support::{Rows, connect, connect_with, exec, one, request, run, url};

macro_rules! server {
    () => {
        match url() {
            Some(url) => url,
            None => return,
        }
    };
}

/// Runs with a value and a kind that no Rust type need have.
async fn echo(c: &dyn BackendConnection, sql: &str, value: Value, kind: ValueKind) -> databases_core::Result<Value> {
    let mut request = request(c, sql, Params::new().with("v", 1));
    for arg in &mut request.args {
        *arg = Arg { value: value.clone(), kind };
    }
    let mut rows = Rows::default();
    c.run(request, &mut rows).await?;
    let cell = rows.rows[0].get_ref(0)?.to_value();
    Ok(cell)
}

fn array(items: Vec<Value>, kind: ValueKind) -> Value {
    Value::Array(Box::new(Array::new(items, kind)))
}

/// A value of each kind, and the type that `SELECT :v` has.
fn values() -> Vec<(Value, ValueKind, &'static str)> {
    let moment: DateTime = "2024-02-29 01:02:03.000004".parse().unwrap();
    vec![
        (Value::Bool(true), ValueKind::Bool, "boolean"),
        (Value::Int(-5), ValueKind::Int16, "smallint"),
        (Value::Int(70_000), ValueKind::Int32, "integer"),
        (Value::Int(i64::MIN), ValueKind::Int, "bigint"),
        (Value::UInt(7), ValueKind::UInt, "bigint"),
        (Value::Float(0.5), ValueKind::Float32, "real"),
        (Value::Float(0.1), ValueKind::Float, "double precision"),
        (Value::Decimal("1.50".parse().unwrap()), ValueKind::Decimal, "numeric"),
        (Value::Text("a'b\\ü".into()), ValueKind::Text, "text"),
        (Value::Bytes(vec![0, 255, 1]), ValueKind::Bytes, "bytea"),
        (Value::Date(Date::MIN), ValueKind::Date, "date"),
        (Value::Time(Time::MAX), ValueKind::Time, "time without time zone"),
        (Value::DateTime(moment), ValueKind::DateTime, "timestamp without time zone"),
        (Value::Timestamp(moment.assume_utc()), ValueKind::Timestamp, "timestamp with time zone"),
        (Value::Interval(Interval::new(14, -3, 5)), ValueKind::Interval, "interval"),
        (Value::Uuid(Uuid::nil()), ValueKind::Uuid, "uuid"),
        (Value::Json(JsonText::new("{ \"b\": 1,\"a\":1.50 }")), ValueKind::Json, "json"),
        (array(vec![Value::Int(1), Value::Null], ValueKind::Int32), ValueKind::Array, "integer[]"),
        (array(vec![], ValueKind::Text), ValueKind::Array, "text[]"),
    ]
}

#[tokio::test]
async fn a_value_comes_back_as_itself() {
    let url = server!();
    let mut uncached = PoolOptions::default();
    uncached.statement_cache_size = 0;
    for (c, in_transaction) in
        [(connect(&url).await, false), (connect(&url).await, true), (connect_with(&url, &uncached).await, true)]
    {
        if in_transaction {
            c.transaction(Tx::Begin(TransactionOptions::new())).await.unwrap();
        }
        // Twice: prepared now, and from the cache.
        for _ in 0..2 {
            for (value, kind, ty) in values() {
                let found = echo(&*c, "SELECT :v", value.clone(), kind).await.unwrap();
                let expected = match value {
                    Value::UInt(7) => Value::Int(7),
                    value => value,
                };
                assert!(found == expected, "{ty}: {found:?}");
                let found = echo(&*c, "SELECT pg_typeof(:v)::text", expected, kind).await.unwrap();
                assert!(found == Value::Text(ty.into()), "{ty}");
                let found = echo(&*c, "SELECT :v IS NULL", Value::Null, kind).await.unwrap();
                assert!(found == Value::Bool(true), "{ty}");
                if kind != ValueKind::Array {
                    let found = echo(&*c, "SELECT pg_typeof(:v)::text", Value::Null, kind).await.unwrap();
                    assert!(found == Value::Text(ty.into()), "NULL {ty}");
                }
            }
        }
        let big = echo(&*c, "SELECT :v", Value::UInt(u64::MAX), ValueKind::UInt).await.unwrap();
        assert!(big == Value::Decimal(u64::MAX.into()));
        assert!(echo(&*c, "SELECT :v", Value::Null, ValueKind::Any).await.unwrap() == Value::Null);
        let state = if in_transaction { Status::InTransaction } else { Status::Idle };
        assert_eq!(c.status(), state);
    }
}

#[tokio::test]
async fn a_parameter_that_may_be_null_needs_no_cast() {
    let url = server!();
    let c = connect(&url).await;
    exec(&*c, "CREATE TEMP TABLE t (a int, b text, d date, j jsonb)").await;
    exec(&*c, "INSERT INTO t VALUES (1, 'x', '2024-01-01', '{}'), (2, 'y', '2024-01-02', '[]')").await;
    c.transaction(Tx::Begin(TransactionOptions::new())).await.unwrap();
    for _ in 0..2 {
        for (column, value, kind) in [
            ("a", Value::Int(1), ValueKind::Int),
            ("a", Value::Int(1), ValueKind::Int16),
            ("b", Value::Text("x".into()), ValueKind::Text),
            ("d", Value::Date("2024-01-01".parse().unwrap()), ValueKind::Date),
        ] {
            let sql = format!("SELECT count(*) FROM t WHERE (:v IS NULL OR {column} = :v)");
            assert!(echo(&*c, &sql, value, kind).await.unwrap() == Value::Int(1), "{sql}");
            assert!(echo(&*c, &sql, Value::Null, kind).await.unwrap() == Value::Int(2), "{sql}");
        }
    }
    // What the value alone does not tell is learned from where else it stands, in a transaction too.
    exec(&*c, "CREATE TYPE pg_temp.feeling AS ENUM ('sad', 'ok')").await;
    exec(&*c, "CREATE TEMP TABLE u (m pg_temp.feeling, i inet, j jsonb, u uuid, d date, a int[])").await;
    let row = "('sad', '10.0.0.1', '{\"k\": 1}', '00000000-0000-0000-0000-000000000001', '2024-01-01', '{1,2}')";
    exec(&*c, &format!("INSERT INTO u VALUES {row}, (NULL, NULL, NULL, NULL, NULL, NULL)")).await;
    for round in 0..2 {
        for (column, value) in [
            ("m", "sad".into_value()),
            ("i", "10.0.0.1".into_value()),
            ("j", JsonText::new(r#"{"k": 1}"#).into_value()),
            ("u", "00000000-0000-0000-0000-000000000001".into_value()),
            ("d", "2024-01-01".into_value()),
            ("a", vec![1_i64, 2].into_value()),
        ] {
            let kind = value.kind();
            let sql = format!("SELECT count(*) FROM u WHERE (:v IS NULL OR {column} = :v) AND {round} = {round}");
            assert!(echo(&*c, &sql, Value::Null, kind).await.unwrap() == Value::Int(2), "{sql}");
            assert!(echo(&*c, &sql, value.clone(), kind).await.unwrap() == Value::Int(1), "{sql}");
            let sql =
                format!("SELECT count(*) FROM u WHERE (:v IS NULL OR NULL IS NOT DISTINCT FROM :v OR :v = {column})");
            assert!(echo(&*c, &sql, value, kind).await.unwrap() == Value::Int(1), "{sql}");
        }
    }
    let sum: i64 = one(&*c, "SELECT :a + :b", params! { a: 1_i64, b: 2_i64 }).await.unwrap();
    assert_eq!(sum, 3);
    let rows: i64 =
        one(&*c, "SELECT count(*) FROM unnest(:list) AS x", params! { list: vec![1_i64, 2] }).await.unwrap();
    assert_eq!(rows, 2);
    let text: String = one(&*c, "SELECT :n::text", params! { n: 42 }).await.unwrap();
    assert_eq!(text, "42");
    assert_eq!(c.status(), Status::InTransaction);
    c.transaction(Tx::Commit).await.unwrap();
}

#[tokio::test]
async fn a_mistake_of_types_beside_another_statement_is_told_as_it_is() {
    let url = server!();
    let c = connect(&url).await;
    exec(&*c, "CREATE TEMP TABLE t (a int)").await;
    c.transaction(Tx::Begin(TransactionOptions::new())).await.unwrap();
    // While another statement is under way no savepoint protects the attempts.
    let slow = one::<i64>(&*c, "SELECT 1::bigint FROM pg_sleep(0.3)", Params::new());
    let wrong = one::<i64>(&*c, "SELECT count(*) FROM t WHERE a = :v OR :v", params! { v: true });
    let (_, wrong) = futures_util::future::join(slow, wrong).await;
    let error = wrong.unwrap_err();
    assert!(matches!(error.code(), Some("42804" | "42883" | "42P08")), "{error:?}");
    assert_eq!(c.status(), Status::Failed);
    c.transaction(Tx::Rollback).await.unwrap();
}

#[tokio::test]
async fn a_statement_that_cannot_be_prepared_fails_its_transaction() {
    let url = server!();
    let c = connect(&url).await;
    exec(&*c, "CREATE TEMP TABLE t (a int)").await;
    for (sql, code) in [
        ("SELECT * FROM nowhere WHERE a = :v", "42P01"),
        ("SELECT no_such_function(:v)", "42883"),
        ("SELECT * FROM t WHERE a = :v AND", "42601"),
        ("SELECT a FROM t WHERE a LIKE :v", "42883"),
    ] {
        c.transaction(Tx::Begin(TransactionOptions::new())).await.unwrap();
        exec(&*c, "INSERT INTO t VALUES (1)").await;
        c.transaction(Tx::Savepoint(1)).await.unwrap();
        let error = run(&*c, sql, params! { v: 1 }).await.unwrap_err();
        assert_eq!((error.code(), c.status()), (Some(code), Status::Failed), "{sql}");
        c.transaction(Tx::RollbackTo(1)).await.unwrap();
        assert_eq!(c.status(), Status::InTransaction);
        assert_eq!(one::<i64>(&*c, "SELECT count(*) FROM t", Params::new()).await.unwrap(), 1);
        c.transaction(Tx::Rollback).await.unwrap();
    }
}

#[tokio::test]
async fn values_go_into_columns_of_their_type() {
    let url = server!();
    let c = connect(&url).await;
    exec(&*c, "DROP TYPE IF EXISTS pgb_mood CASCADE").await;
    exec(&*c, "CREATE TYPE pgb_mood AS ENUM ('sad', 'ok')").await;
    exec(&*c, "DROP DOMAIN IF EXISTS pgb_small CASCADE").await;
    exec(&*c, "CREATE DOMAIN pgb_small AS int CHECK (VALUE < 100)").await;
    exec(
        &*c,
        "CREATE TEMP TABLE t (i2 int2, i4 int4, r real, n numeric(20, 3), v varchar(9), c char(4), b bytea, \
         ts timestamp, tz timestamptz, jb jsonb, js json, m pgb_mood, s pgb_small, ip inet, ms pgb_mood[], ids int[], \
         tx text)",
    )
    .await;
    let json = JsonText::new("{\"a\":1}");
    let moment: DateTime = "2024-02-29 01:02:03".parse().unwrap();
    let sql = "INSERT INTO t VALUES (:i, :i, :r, :n, :v, :c, :b, :ts, :ts, :j, :j, :m, :s, :ip, :ms, :ids, :j)";
    let p = || {
        params! {
            i: 7_i64, r: 0.1_f64, n: "1.5".parse::<Decimal>().unwrap(), v: "vv", c: "cc", b: vec![1_u8, 2],
            ts: moment.assume_utc(), j: json.clone(), m: "ok", s: 9_i64, ip: "10.0.0.1", ms: vec!["ok", "sad"],
            ids: vec![1_i64, 2],
        }
    };
    // `i` is int2 by its first use, and int4 by its second: the server refuses that by itself.
    let error = run(&*c, sql, p()).await.unwrap_err();
    assert!(matches!(error.code(), Some("42P08" | "42804")), "{error:?}");
    let sql = sql.replacen(":i, :i", ":i, 7", 1).replacen(":ts, :ts", ":ts, NULL", 1).replacen(":j, :j", "NULL, :j", 1);
    let sql = sql.replacen(":ids, :j)", ":ids, NULL)", 1);
    run(&*c, &sql, p()).await.unwrap();
    run(&*c, "INSERT INTO t (tz, jb) VALUES (:ts, :j)", params! { ts: moment, j: json.clone() }).await.unwrap();
    for transaction in [true, false] {
        if transaction {
            c.transaction(Tx::Begin(TransactionOptions::new())).await.unwrap();
        }
        // Any value into a text column goes as its text, as the server writes it.
        for (column, expected) in [("tx", "9"), ("v", "9"), ("c", "9   ")] {
            let sql = format!("INSERT INTO t ({column}) VALUES (:n) RETURNING {column}");
            let text: String = one(&*c, &sql, params! { n: 9 }).await.unwrap();
            assert_eq!(text, expected);
            exec(&*c, &format!("DELETE FROM t WHERE {column} = '9'")).await;
        }
        run(&*c, "INSERT INTO t (tx) VALUES (:j)", params! { j: json.clone() }).await.unwrap();
        if transaction {
            c.transaction(Tx::Rollback).await.unwrap();
        }
    }
    let (_, rows) = run(&*c, "SELECT * FROM t", Params::new()).await.unwrap();
    let row = &rows[0];
    let types: Vec<_> = row.columns().iter().map(|column| column.type_name().to_owned()).collect();
    assert_eq!(types[11..16], ["pgb_mood", "int4", "inet", "pgb_mood[]", "int4[]"]);
    assert_eq!(row.get::<i16>("i2").unwrap(), 7);
    assert_eq!(row.get::<f32>("r").unwrap(), 0.1);
    assert_eq!(row.get::<Decimal>("n").unwrap().as_str(), "1.500");
    assert_eq!(row.get::<String>("c").unwrap(), "cc  ");
    assert_eq!(row.get::<String>("m").unwrap(), "ok");
    assert_eq!(row.get::<i32>("s").unwrap(), 9);
    assert_eq!(row.get::<std::net::IpAddr>("ip").unwrap().to_string(), "10.0.0.1");
    assert_eq!(row.get_raw("i2").unwrap(), Some(&[0, 7][..]));
    let ValueRef::Array(moods) = row.get_ref("ms").unwrap() else { panic!("an array") };
    assert!(moods.items() == [Value::Text("ok".into()), Value::Text("sad".into())]);
    assert_eq!(rows[1].get::<Timestamp>("tz").unwrap(), moment.assume_utc());
    assert_eq!(rows[2].get::<String>("tx").unwrap(), json.as_str());
    // What is in the server's binary form goes to it as such.
    let other =
        databases_core::Other { type_name: "inet".into(), bytes: vec![2, 32, 0, 4, 10, 0, 0, 1], is_text: false };
    let ip = Value::Other(Box::new(other));
    let found = echo(&*c, "SELECT count(*) FROM t WHERE ip = :v", ip, ValueKind::Other).await.unwrap();
    assert!(found == Value::Int(1));
    let missing: Option<i64> = one(&*c, "SELECT i4::bigint FROM t WHERE i4 IS NULL", Params::new()).await.unwrap();
    assert_eq!(missing, None);

    for (sql, p, kind) in [
        ("INSERT INTO t (i2) VALUES (:v)", params! { v: 40_000 }, ErrorKind::Encode),
        ("INSERT INTO t (n) VALUES (:v)", params! { v: 0.1 }, ErrorKind::Encode),
        ("INSERT INTO t (i4) VALUES (:v)", params! { v: true }, ErrorKind::Encode),
        ("INSERT INTO t (b) VALUES (:v)", params! { v: "hunter2" }, ErrorKind::Encode),
        ("SELECT count(*) FROM t WHERE tx = :v", params! { v: 5 }, ErrorKind::UndefinedFunction),
        ("INSERT INTO t (s) VALUES (:v)", params! { v: 100 }, ErrorKind::CheckViolation),
        ("INSERT INTO t (m) VALUES (:v)", params! { v: "hunter2" }, ErrorKind::Database),
        ("INSERT INTO t (ip) VALUES (:v)", params! { v: "hunter2" }, ErrorKind::Database),
        ("SELECT :v::text::int", params! { v: "hunter2" }, ErrorKind::Database),
        ("SELECT count(*) FROM t WHERE i4 = ANY(:v)", params! { v: vec!["hunter2"] }, ErrorKind::Encode),
    ] {
        let error = run(&*c, sql, p).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{sql}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        assert_eq!(c.status(), Status::Idle);
    }
}

#[tokio::test]
async fn errors_name_what_they_are_about_and_no_values() {
    let url = server!();
    let c = connect(&url).await;
    exec(&*c, "CREATE TEMP TABLE p (id int PRIMARY KEY)").await;
    exec(
        &*c,
        "CREATE TEMP TABLE t (a int, \"b C\" text NOT NULL, p int REFERENCES p, CONSTRAINT ab UNIQUE (a, \"b C\"), \
         CONSTRAINT positive CHECK (a > 0))",
    )
    .await;
    exec(&*c, "INSERT INTO t VALUES (1, 'hunter2', NULL)").await;
    for (sql, kind, constraint, columns) in [
        ("INSERT INTO t VALUES (1, 'hunter2')", ErrorKind::UniqueViolation, Some("ab"), &["a", "b C"] as &[&str]),
        ("INSERT INTO t VALUES (2, 'hunter2', 7)", ErrorKind::ForeignKeyViolation, Some("t_p_fkey"), &["p"]),
        ("INSERT INTO t VALUES (2, NULL)", ErrorKind::NotNullViolation, None, &["b C"]),
        ("INSERT INTO t VALUES (-1, 'hunter2')", ErrorKind::CheckViolation, Some("positive"), &[]),
    ] {
        let error = run(&*c, sql, Params::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.constraint(), error.table()), (kind, constraint, Some("t")), "{sql}");
        assert_eq!(error.columns(), columns, "{sql}");
        assert!(error.detail().is_some());
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    for (sql, kind) in [
        ("SELEC 1", ErrorKind::Syntax),
        ("SELECT * FROM nowhere", ErrorKind::UndefinedTable),
        ("SELECT nothing FROM t", ErrorKind::UndefinedColumn),
        ("SELECT no_such_function()", ErrorKind::UndefinedFunction),
        ("SELECT 'abc'::int", ErrorKind::Database),
    ] {
        assert_eq!(run(&*c, sql, Params::new()).await.unwrap_err().kind(), kind, "{sql}");
    }
    exec(&*c, "SET statement_timeout = 20").await;
    let error = run(&*c, "SELECT pg_sleep(5)", Params::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::StatementTimeout, databases_core::Effect::RolledBack));
    exec(&*c, "RESET statement_timeout").await;
    let error = run(&*c, "SELECT 'hunter2'::date", Params::new()).await.unwrap_err();
    assert!(!error.to_string().contains("hunter2"));
    assert!(error.detail().unwrap().contains("hunter2"));
}

/// What no error may print.
const SECRET: &str = "s3cr3tval";

#[track_caller]
fn prints_no_secret(error: &databases_core::Error, sql: &str) {
    assert!(!format!("{error} {error:?}").contains(SECRET), "{sql}: {error:?}");
    assert!(std::error::Error::source(error).is_none());
}

#[tokio::test]
async fn values_that_are_names_are_not_printed() {
    let url = server!();
    let c = connect(&url).await;
    let in_detail = [
        "SELECT CAST(:v AS text)::regclass",
        "SELECT CAST(:v AS regclass)",
        "SELECT CAST(:v AS text)::regrole",
        "SELECT CAST(:v AS text)::regtype",
        "SELECT CAST(:v AS text)::regproc",
        "SELECT CAST(:v AS text)::regoper",
        "SELECT CAST(:v || '.a.b.c' AS text)::regclass",
        "SELECT CAST(:v || '.a.b' AS text)::regclass",
        "SELECT CAST(:v || '.a.b' AS text)::regtype",
        "SELECT has_table_privilege(CAST('select\" ' || :v || ' \"' AS name), 'pg_class', 'select')",
        "SELECT to_tsquery('\"x\" & (' || :v)",
        "SELECT nextval(CAST(:v AS text))",
        "SELECT currval(:v)",
        "SELECT has_table_privilege(:v, 'select')",
        "SELECT has_table_privilege(CAST(:v AS name), 'pg_class', 'select')",
        "SELECT has_table_privilege('pg_class', :v)",
        "SELECT current_setting(:v)",
        "SELECT set_config(:v, 'x', false)",
        "SELECT set_config('work_mem', :v, false)",
        "SELECT pg_read_file(:v)",
        "SELECT to_tsquery(:v || ' & (')",
        "SELECT to_tsvector(CAST(:v AS text)::regconfig, 'x')",
        "SELECT query_to_xml('SELECT ' || CAST(:v AS text), true, true, '')",
        "SELECT now() AT TIME ZONE CAST(:v AS text)",
    ];
    for sql in in_detail {
        let error = run(&*c, sql, params! { v: SECRET }).await.unwrap_err();
        prints_no_secret(&error, sql);
        assert!(error.detail().is_some_and(|detail| detail.contains(SECRET)), "{sql}: {error:?}");
        // In a stream, and in a batch.
        let error = match c.open_stream(request(&*c, sql, params! { v: SECRET })).await {
            Ok(mut rows) => loop {
                match rows.next().await {
                    Ok(batch) => assert!(batch.is_some(), "{sql}"),
                    Err(error) => break error,
                }
            },
            Err(error) => error,
        };
        prints_no_secret(&error, sql);
        let requests = std::iter::once(Ok(request(&*c, sql, params! { v: SECRET })));
        prints_no_secret(&c.run_many(&mut support::Many { requests }).await.unwrap_err(), sql);
    }
    let error = run(&*c, in_detail[0], params! { v: SECRET }).await.unwrap_err();
    assert_eq!((&*error.to_string(), error.table()), ("relation \"…\" does not exist", None));
}

#[tokio::test]
async fn the_words_of_functions_are_not_printed() {
    let url = server!();
    let c = connect(&url).await;
    c.run_script(
        "CREATE TEMP TABLE t (id int PRIMARY KEY, x text CONSTRAINT short CHECK (length(x) < 5));
         CREATE FUNCTION pg_temp.raise(v text) RETURNS void LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'bad value %', v USING HINT = 'not ' || v; END $$;
         CREATE FUNCTION pg_temp.pretend(v text) RETURNS void LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'bad value %', v USING ERRCODE = '23514', CONSTRAINT = 'short'; END $$;
         CREATE FUNCTION pg_temp.data(v text) RETURNS void LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'bad value %', v USING ERRCODE = '22023'; END $$;
         CREATE FUNCTION pg_temp.dynamic(v text) RETURNS void LANGUAGE plpgsql AS
            $$ BEGIN EXECUTE 'SELECT * FROM ' || v; END $$;
         CREATE FUNCTION pg_temp.columns(v text) RETURNS void LANGUAGE plpgsql AS
            $$ BEGIN EXECUTE 'SELECT t.' || v || ' FROM t'; END $$;
         CREATE FUNCTION pg_temp.asserts(v text) RETURNS void LANGUAGE plpgsql AS
            $$ BEGIN ASSERT false, v; END $$;
         CREATE FUNCTION pg_temp.puts(v text) RETURNS void LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO t VALUES (1, v); END $$;",
    )
    .await
    .unwrap();
    const OURS: &str = "an error raised by a function of the database";
    for (function, kind) in [
        ("raise", ErrorKind::Database),
        ("pretend", ErrorKind::CheckViolation),
        ("data", ErrorKind::Database),
        ("dynamic", ErrorKind::UndefinedTable),
        ("columns", ErrorKind::UndefinedColumn),
        ("asserts", ErrorKind::Database),
    ] {
        let error = run(&*c, &format!("SELECT pg_temp.{function}(:v)"), params! { v: SECRET }).await.unwrap_err();
        prints_no_secret(&error, function);
        assert_eq!((error.kind(), &*error.to_string(), error.hint()), (kind, OURS, None));
        assert!(error.detail().is_some_and(|detail| detail.contains(SECRET)), "{error:?}");
    }
    // What a constraint says is known wherever it is broken.
    let error = run(&*c, "SELECT pg_temp.puts(:v)", params! { v: SECRET }).await.unwrap_err();
    prints_no_secret(&error, "puts");
    assert_eq!((error.constraint(), error.table()), (Some("short"), Some("t")));
    assert_eq!(error.to_string(), "new row for relation \"t\" violates check constraint \"short\"");
    // A mistake in the text of a function has a place in it.
    let wrong = "CREATE FUNCTION pg_temp.w() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SELEC 1; END $$";
    let error = c.run_script(wrong).await.unwrap_err();
    assert_eq!(error.to_string(), "syntax error at or near \"SELEC\"");
    let error = c.run_script("DO $$ BEGIN RAISE EXCEPTION 'no %', 's3cr3tval'; END $$").await.unwrap_err();
    prints_no_secret(&error, "DO");
}

#[tokio::test]
async fn undefined_names_and_sides_of_foreign_keys_are_told() {
    let url = server!();
    let c = connect(&url).await;
    c.run_script(
        "CREATE TEMP TABLE p (id int PRIMARY KEY);
         CREATE TEMP TABLE t (name text, p int REFERENCES p, own int UNIQUE, up int REFERENCES t (own));
         INSERT INTO p VALUES (7); INSERT INTO t VALUES ('x', 7, 1, 1), ('y', 7, 2, 1)",
    )
    .await
    .unwrap();
    for (sql, table, columns) in [
        ("SELECT * FROM NoWhere", Some("nowhere"), &[] as &[&str]),
        ("SELECT * FROM public.nowhere", Some("nowhere"), &[]),
        ("DROP TABLE nowhere", Some("nowhere"), &[]),
        ("SELECT nothing FROM t", None, &["nothing"]),
        ("SELECT t.nothing FROM t", None, &["nothing"]),
        ("SELECT t.\"No Thing\" FROM t", None, &["No Thing"]),
        ("INSERT INTO t (nothing) VALUES (1)", Some("t"), &["nothing"]),
        ("UPDATE t SET nothing = 1", Some("t"), &["nothing"]),
        ("INSERT INTO t VALUES ('z', 8)", Some("t"), &["p"]),
        ("INSERT INTO t VALUES ('z', 7, 3, 9)", Some("t"), &["up"]),
        ("DELETE FROM p", Some("t"), &[]),
        ("UPDATE p SET id = 9", Some("t"), &[]),
        ("DELETE FROM t WHERE own = 1", Some("t"), &[]),
    ] {
        let error = run(&*c, sql, Params::new()).await.unwrap_err();
        assert_eq!(
            (error.table(), error.columns()),
            (table, &*columns.iter().map(|&c| c.into()).collect::<Vec<_>>()),
            "{sql}"
        );
    }
    let error = run(&*c, "SELECT nam FROM t", Params::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "column \"nam\" does not exist");
    assert!(error.hint().is_some_and(|hint| hint.contains("t.name")), "{error:?}");
}

#[tokio::test]
async fn many_rows_of_changing_kinds_keep_their_values() {
    let url = server!();
    let c = connect(&url).await;
    exec(&*c, "CREATE TEMP TABLE t (n int, x text)").await;
    let rows = (0..300).map(|n| {
        let mut row = Params::new().with("n", n);
        match n % 3 {
            0 => row.push("x", Value::Null),
            1 => row.push("x", "text"),
            _ => row.push("x", JsonText::new("{}")),
        }
        Ok(request(&*c, "INSERT INTO t VALUES (:n, :x)", row))
    });
    c.transaction(Tx::Begin(TransactionOptions::new())).await.unwrap();
    assert_eq!(c.run_many(&mut support::Many { requests: rows }).await.unwrap(), 300);
    c.transaction(Tx::Commit).await.unwrap();
    let (_, rows) = run(&*c, "SELECT count(*) FROM t GROUP BY x ORDER BY x", Params::new()).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get::<i64>(0).unwrap()).collect::<Vec<_>>(), [100, 100, 100]);
}
