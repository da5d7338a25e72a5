//! Types that another session changes while a connection has them in use.

mod support;

use std::sync::Arc;

use databases_core::backend::{BackendConnection, TransactionCommand as Tx};
use databases_core::{Array, ErrorKind, Params, Result, TransactionOptions, Value, params};
use support::{Many, connect, exec, one, request, run};

fn record(items: Vec<Value>) -> Value {
    Value::Array(Box::new(Array::record(items)))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

async fn script(c: &dyn BackendConnection, sql: &str) {
    c.run_script(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn many(c: &dyn BackendConnection, sql: &str, rows: Vec<Value>) -> Result<u64> {
    let requests = rows.into_iter().map(|r| Ok(request(c, sql, params! { r })));
    c.run_many(&mut Many { requests }).await
}

/// A connection that uses the types, and another that changes them.
async fn two(url: &str, name: &str) -> (Arc<dyn BackendConnection>, Arc<dyn BackendConnection>) {
    let (c, other) = (connect(url).await, connect(url).await);
    script(
        &*other,
        &format!(
            "DROP TABLE IF EXISTS {name}_t; DROP TYPE IF EXISTS {name}, {name}_e CASCADE;
             CREATE TYPE {name}_e AS ENUM ('sad', 'ok'); CREATE TYPE {name} AS (a int, b text);
             CREATE TABLE {name}_t (r {name})"
        ),
    )
    .await;
    (c, other)
}

/// What each of the ways to run a statement gives as its first cell.
async fn read(c: &dyn BackendConnection, sql: &str, way: &str) -> Result<Value> {
    let mut request = request(c, sql, Params::new());
    request.prepared = way != "unprepared";
    if way == "stream" {
        let mut stream = c.open_stream(request).await?;
        let batch = stream.next().await?.unwrap();
        while stream.next().await?.is_some() {}
        return databases_core::Row::new(batch, 0).get(0);
    }
    let mut rows = support::Rows::default();
    c.run(request, &mut rows).await?;
    rows.rows[0].get(0)
}

#[tokio::test]
async fn a_composite_type_with_a_new_field_is_read_by_the_next_statement() {
    let url = server!();
    let (c, other) = two(&url, "pgb_grown").await;
    exec(&*other, "INSERT INTO pgb_grown_t VALUES (ROW(1, 'x'))").await;
    for (n, way) in ["prepared", "unprepared", "stream"].into_iter().enumerate() {
        let sql = "SELECT r FROM pgb_grown_t";
        read(&*c, sql, way).await.unwrap();
        exec(&*other, &format!("ALTER TYPE pgb_grown ADD ATTRIBUTE e{n} pgb_grown_e")).await;
        exec(&*other, &format!("UPDATE pgb_grown_t SET r.e{n} = 'ok'")).await;
        // What is in it is of a type that this connection has never been told of.
        let error = read(&*c, sql, way).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Decode);
        let message = error.to_string();
        let says = "of a composite type that was changed since it was looked up is of the type with the oid";
        assert!(message.contains(&format!("field {} {says}", n + 2)) && message.contains("column `r`"), "{message}");
        for _ in 0..2 {
            let mut fields = vec![Value::Int(1), text("x")];
            fields.extend((0..=n).map(|_| text("ok")));
            assert!(read(&*c, sql, way).await.unwrap() == record(fields), "{way}");
        }
    }
}

#[tokio::test]
async fn rows_from_before_do_not_make_statements_be_prepared_again_and_again() {
    let url = server!();
    let (c, other) = two(&url, "pgb_before").await;
    exec(&*other, "INSERT INTO pgb_before_t VALUES (ROW(1, 'x'))").await;
    let sql = "SELECT r FROM pgb_before_t";
    run(&*c, sql, Params::new()).await.unwrap();
    exec(&*other, "ALTER TYPE pgb_before ADD ATTRIBUTE more bool").await;
    let (_, old) = run(&*c, sql, Params::new()).await.unwrap();
    let prepared = "SELECT max(prepare_time)::text FROM pg_prepared_statements WHERE statement = :sql";
    let mut times = Vec::new();
    for _ in 0..3 {
        assert!(old[0].get::<Value>(0).unwrap() == record(vec![Value::Int(1), text("x"), Value::Null]));
        run(&*c, sql, Params::new()).await.unwrap();
        times.push(one::<String>(&*c, prepared, params! { sql }).await.unwrap());
    }
    assert_eq!((&times[0], &times[1]), (&times[1], &times[2]));
}

#[tokio::test]
async fn a_composite_type_is_written_as_it_is_now() {
    let url = server!();
    let (c, other) = two(&url, "pgb_written").await;
    // A column of the type would keep its fields from changing theirs.
    exec(&*other, "DROP TABLE pgb_written_t").await;
    exec(&*c, "CREATE TEMP TABLE t (b text)").await;
    let sql = "INSERT INTO t VALUES ((:r::pgb_written).b)";
    let write = async |items: Vec<Value>| run(&*c, sql, params! { r: record(items) }).await.map(drop);
    let refused = |result: Result<()>, given, wanted| {
        let error = result.unwrap_err();
        let says = format!("a record of {given} fields cannot be bound as pgb_written, which has {wanted}");
        assert!(error.kind() == ErrorKind::Encode && error.to_string().contains(&says), "{error}");
    };
    let (a, b, ok) = (|| Value::Int(1), || text("x"), || text("ok"));
    // The type is known from a statement that has never run, too.
    run(&*c, "SELECT NULL::pgb_written", Params::new()).await.unwrap();
    exec(&*other, "ALTER TYPE pgb_written ADD ATTRIBUTE e pgb_written_e").await;
    write(vec![a(), b(), ok()]).await.unwrap();
    refused(write(vec![a(), b()]).await, 2, 3);
    exec(&*other, "ALTER TYPE pgb_written ADD ATTRIBUTE f int").await;
    // It has the fields of before: the server sees it first.
    refused(write(vec![a(), b(), ok()]).await, 3, 4);
    write(vec![a(), b(), ok(), a()]).await.unwrap();
    exec(&*other, "ALTER TYPE pgb_written ALTER ATTRIBUTE a TYPE int8").await;
    write(vec![Value::Int(1 << 40), b(), ok(), a()]).await.unwrap();
    exec(&*other, "ALTER TYPE pgb_written DROP ATTRIBUTE f").await;
    write(vec![a(), b(), ok()]).await.unwrap();
    exec(&*other, "ALTER TYPE pgb_written ALTER ATTRIBUTE a TYPE numeric").await;
    write(vec![a(), b(), ok()]).await.unwrap();

    // Many rows: a first one that has no fields, then one that has more than before.
    let rows = || vec![Value::Null, record(vec![a(), b(), ok(), a()])];
    exec(&*other, "ALTER TYPE pgb_written ADD ATTRIBUTE f int").await;
    assert_eq!(many(&*c, sql, rows()).await.unwrap(), 2);
    exec(&*other, "ALTER TYPE pgb_written ALTER ATTRIBUTE f TYPE int8").await;
    // Rows that are gone cannot be sent again; the next batch can.
    let error = many(&*c, sql, rows()).await.unwrap_err();
    assert_eq!((error.code(), error.batch_index()), (Some("42804"), Some(1)));
    assert_eq!(many(&*c, sql, rows()).await.unwrap(), 2);

    // In a transaction the server's error ends it, and is true.
    exec(&*other, "ALTER TYPE pgb_written DROP ATTRIBUTE f").await;
    c.transaction(Tx::Begin(TransactionOptions::new())).await.unwrap();
    let error = write(vec![a(), b(), ok(), a()]).await.unwrap_err();
    assert_eq!((error.code(), &*error.to_string()), (Some("42804"), "wrong number of columns: 4, expected 3"));
    assert!(error.hint().is_some_and(|hint| hint.contains("was changed since")), "{:?}", error.hint());
    c.transaction(Tx::Rollback).await.unwrap();
    write(vec![a(), b(), ok()]).await.unwrap();
}

#[tokio::test]
async fn labels_that_are_added_to_an_enum_are_there_at_once() {
    let url = server!();
    let (c, other) = two(&url, "pgb_label").await;
    let sql = "SELECT :m::pgb_label_e";
    assert_eq!(one::<String>(&*c, sql, params! { m: "ok" }).await.unwrap(), "ok");
    let error = one::<String>(&*c, sql, params! { m: "merry" }).await.unwrap_err();
    assert_eq!(error.code(), Some("22P02"));
    exec(&*other, "ALTER TYPE pgb_label_e ADD VALUE 'merry'").await;
    assert_eq!(one::<String>(&*c, sql, params! { m: "merry" }).await.unwrap(), "merry");
    exec(&*other, "ALTER TYPE pgb_label_e RENAME VALUE 'merry' TO 'glad'").await;
    assert_eq!(one::<String>(&*c, sql, params! { m: "glad" }).await.unwrap(), "glad");
}

#[tokio::test]
async fn a_type_that_was_dropped_and_made_again_is_found() {
    let url = server!();
    let (c, other) = two(&url, "pgb_again").await;
    let sql = "SELECT :m::pgb_again_e";
    let again = "DROP TYPE pgb_again_e CASCADE; CREATE TYPE pgb_again_e AS ENUM ('ok')";
    let ask = async || one::<String>(&*c, sql, params! { m: "ok" }).await;
    assert_eq!(ask().await.unwrap(), "ok");
    script(&*other, again).await;
    assert_eq!(ask().await.unwrap(), "ok");
    script(&*other, again).await;
    c.transaction(Tx::Begin(TransactionOptions::new())).await.unwrap();
    assert_eq!(ask().await.unwrap_err().code(), Some("XX000"));
    c.transaction(Tx::Rollback).await.unwrap();
    assert_eq!(ask().await.unwrap(), "ok");
}

#[tokio::test]
async fn a_text_follows_a_column_that_has_changed_its_type() {
    let url = server!();
    let (c, other) = (connect(&url).await, connect(&url).await);
    for (n, (from, to, value, sql)) in [
        ("date", "text", "2024-01-02", "INSERT INTO {t} VALUES (:v)"),
        ("date", "text", "2024-01-02", "SELECT v FROM {t} WHERE v = :v"),
        ("date", "text", "2024-01-02", "UPDATE {t} SET v = :v WHERE v = :v"),
        ("date", "int", "7", "INSERT INTO {t} VALUES (:v)"),
        ("date", "int", "7", "UPDATE {t} SET v = :v"),
        ("int", "date", "2024-01-02", "INSERT INTO {t} VALUES (:v)"),
        ("int", "inet", "10.0.0.1", "INSERT INTO {t} VALUES (:v)"),
        ("inet", "date", "2024-01-02", "SELECT v FROM {t} WHERE v = :v"),
        ("inet", "point", "(1,2)", "INSERT INTO {t} VALUES (:v)"),
        ("text", "timestamptz", "2024-01-02", "SELECT v FROM {t} WHERE v >= :v"),
    ]
    .into_iter()
    .enumerate()
    {
        let table = format!("pgb_column{n}");
        let sql = &sql.replace("{t}", &table);
        script(&*other, &format!("DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (v {from})")).await;
        let before = match from {
            "int" => "1",
            "inet" => "10.0.0.1",
            _ => "2024-01-01",
        };
        run(&*c, sql, params! { v: before }).await.unwrap();
        let using = if to == "text" { "v::text" } else { &format!("NULL::{to}") };
        exec(&*other, &format!("ALTER TABLE {table} ALTER v TYPE {to} USING {using}")).await;
        run(&*c, sql, params! { v: value }).await.unwrap_or_else(|error| panic!("{from} {to} {sql}: {error}"));
        exec(&*other, &format!("DROP TABLE {table}")).await;
    }
}

#[tokio::test]
async fn rows_that_were_given_are_not_given_again() {
    let url = server!();
    let c = connect(&url).await;
    script(
        &*c,
        "CREATE SEQUENCE pg_temp.runs;
         CREATE FUNCTION pg_temp.later(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
             IF n = 2500 THEN EXECUTE 'SELECT no_such_function()'; END IF;
             RETURN n;
         END $$",
    )
    .await;
    let mut rows = support::Rows::default();
    let sql = "SELECT pg_temp.later(n) FROM generate_series(1, 3000) n";
    let error = c.run(request(&*c, sql, Params::new()), &mut rows).await.unwrap_err();
    assert_eq!((error.code(), rows.rows.len()), (Some("42883"), 2499));
}
