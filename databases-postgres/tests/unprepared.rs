//! Writes that go in one round trip, because their text says the types of all their parameters.

mod support;

use std::time::Duration;

use databases_core::conformance::proxy::{Direction, Mode, Protocol, Proxy, Traffic};
use databases_core::types::{Date, Decimal, Interval, JsonText, Time, Timestamp, Uuid};
use databases_core::url::DatabaseUrl;
use databases_core::{
    Effect, ErrorKind, Executor, Pool, PoolConfig, RawExecutor, TransactionOptions, Value, params, sql,
};
use databases_postgres::__private::{cast_names, casts};
use databases_postgres::tokio_postgres::types::Type;
use databases_postgres::{Postgres, tokio_postgres};
use support::url;

fn pool(url: &DatabaseUrl) -> Pool {
    Pool::new(PoolConfig::from_url(&Postgres, url, |options| options.max_connections = Some(1)).unwrap()).unwrap()
}

/// A server, a proxy before it, and a pool of one connection through that, which is open.
async fn behind_proxy() -> Option<(DatabaseUrl, Proxy, Pool)> {
    let url: DatabaseUrl = url()?.parse().unwrap();
    let proxy = Proxy::start(&url, Protocol::Postgres).await.unwrap();
    let db = pool(&proxy.url(&url).unwrap());
    db.connect().await.unwrap();
    Some((url, proxy, db))
}

/// An empty table, and a pool that looks at it past the proxy.
async fn table(url: &DatabaseUrl, name: &str, columns: &str) -> Pool {
    let observer = pool(url);
    observer.execute_script(&format!("DROP TABLE IF EXISTS {name}; CREATE TABLE {name} ({columns})")).await.unwrap();
    observer
}

/// Round trips, and how many statements were parsed.
fn trips(proxy: &Proxy) -> (usize, usize) {
    let traffic = proxy.take_traffic();
    (traffic.count(Direction::Up, b'S') + traffic.count(Direction::Up, b'Q'), traffic.count(Direction::Up, b'P'))
}

/// Every form that a name can stand in.
fn casts_to(name: &str, keyword: bool) -> Vec<String> {
    let name = if keyword { name.to_owned() } else { format!("pg_catalog.{name}") };
    vec![
        format!("$1::{name}"),
        format!("$1 :: {}", name.to_uppercase()),
        format!("CAST($1 AS {name})"),
        format!("cast ( $1\nas {name} )"),
    ]
}

#[tokio::test]
async fn the_type_of_each_name_is_the_one_that_the_server_infers() {
    let Some(url) = url() else { return };
    let db = pool(&url.parse().unwrap());
    let mut conn = db.acquire().await.unwrap();
    let client = conn.native::<tokio_postgres::Client>().await.unwrap();
    let types_told = "SELECT parameter_types::text[]::text FROM pg_prepared_statements WHERE statement = $1 ORDER BY 1";
    for (name, keyword) in cast_names() {
        let mut texts = casts_to(name, keyword);
        if !matches!(name, "varchar" | "character varying" | "timetz" | "time with time zone" | "jsonb") {
            let name = if keyword { name.to_owned() } else { format!("pg_catalog.{name}") };
            texts.push(format!("$1::{name}[]"));
            texts.push(format!("CAST($1 AS {name} [ ])"));
        }
        for cast in texts {
            let text = format!("SELECT {cast} AS a, {cast} IS NULL");
            let types = casts(&text, 1).unwrap_or_else(|| panic!("{text} is not known"));
            let inferred = client.prepare(&text).await.unwrap();
            let declared = client.prepare_typed(&text, &types).await.unwrap();
            assert_eq!(inferred.params(), types, "{text}");
            assert_eq!(declared.params(), inferred.params(), "{text}");
            assert_eq!(declared.columns()[0].type_(), inferred.columns()[0].type_(), "{text}");
            let rows = client.query(types_told, &[&text]).await.unwrap();
            let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            assert!(rows.len() == 2 && rows[0] == rows[1], "{text}: {rows:?}");
        }
    }
}

#[test]
fn what_is_not_plainly_a_cast_to_one_type_is_not_taken() {
    for text in [
        "SELECT $1",
        "SELECT $1::varchar(3)",
        "SELECT $1::varchar (3)",
        "SELECT $1::numeric(5, 2)",
        "SELECT $1::timestamp(3)",
        "SELECT $1::int[3]",
        "SELECT $1::int[][]",
        "SELECT $1::int ARRAY",
        "SELECT $1::interval hour to minute",
        "SELECT $1::interval second(3)",
        "SELECT $1::timestamp /* */ with time zone",
        "SELECT $1::timestamp with /* */ time zone",
        "SELECT $1::int -- \n[]",
        "SELECT $1::double",
        "SELECT $1::character",
        "SELECT $1::character /* */ varying",
        "SELECT $1::varchar[]",
        "SELECT $1::intx",
        "SELECT $1::inté",
        "SELECT $1::int.x",
        "SELECT $1::public.int",
        "SELECT $1::\"int\"",
        "SELECT $1 /* */ ::int",
        "SELECT $1:::int",
        "SELECT $1[1]::int",
        "SELECT ($1)::int",
        "SELECT $1 COLLATE \"C\"::text",
        "SELECT $1::mood",
        "SELECT $1::int4",
        "SELECT $1::text",
        "SELECT cast($1 AS uuid)",
        "SELECT $1::int, $1",
        "SELECT $1::int, $1::bigint",
        "SELECT $1::int, $2::int",
        "SELECT $2::int",
        "SELECT $0::int",
        "SELECT $99999999999999999999::int",
        "SELECT cast($1 AS int[1])",
        "SELECT cast($1 AS varchar(3))",
        "SELECT cast($1 AS int COLLATE \"C\")",
        "SELECT precast($1 AS int)",
        "SELECT a.cast($1 AS int)",
        "SELECT (SELECT -- cast(\n $1 AS int)",
        "SELECT (SELECT -- cast\n ($1 AS int)",
        "SELECT ($1 AS int)",
    ] {
        assert_eq!(casts(text, 1), None, "{text}");
    }
    for (text, types) in [
        ("SELECT 1", vec![]),
        ("SELECT '$1', $$ $1 $$, a$1 -- $1", vec![]),
        (
            "SELECT -$2::smallint * $1::pg_catalog.date::text::uuid, '$3', $2::\tSMALLINT::int8",
            vec![Type::DATE, Type::INT2],
        ),
        ("SELECT CAST(CAST($1 AS int) AS text), ($2::bigint)", vec![Type::INT4, Type::INT8]),
        ("SELECT $1::int AS year, $2::timestamp AT TIME ZONE 'UTC'", vec![Type::INT4, Type::TIMESTAMP]),
        ("SELECT $1::int %2", vec![Type::INT4]),
        ("DELETE FROM t WHERE id = ANY ($1::bigint[]) AND b = $2::varchar", vec![Type::INT8_ARRAY, Type::VARCHAR]),
    ] {
        assert_eq!(casts(text, types.len()), Some(types), "{text}");
    }
}

#[tokio::test]
async fn a_write_whose_text_says_its_types_is_one_round_trip_the_first_time() {
    let Some((url, proxy, db)) = behind_proxy().await else { return };
    let observer = table(&url, "pgu_trips", "id bigint, name text, at timestamptz").await;
    let at: Timestamp = "2024-02-29 12:00:00.5Z".parse().unwrap();
    for (text, rows) in [
        ("INSERT INTO pgu_trips VALUES (:id::bigint, :name::pg_catalog.text, :at::timestamp with time zone)", 1),
        (
            "UPDATE pgu_trips SET name = name || :name::pg_catalog.text, at = CAST(:at AS timestamp with time zone) WHERE id = :id::bigint",
            1,
        ),
        (
            "INSERT INTO pgu_trips SELECT :id::bigint + 1, :name::varchar, :at::timestamp with time zone WHERE :id::bigint > 0",
            1,
        ),
        (
            "DELETE FROM pgu_trips WHERE id > :id::bigint AND name = :name::pg_catalog.text AND at = :at::timestamp with time zone",
            1,
        ),
        (
            "DELETE FROM pgu_trips WHERE id > :id::bigint AND name <> :name::pg_catalog.text AND at = :at::timestamp with time zone",
            0,
        ),
    ] {
        let params = || params! { id: 7_i64, name: "ü", at };
        let _ = proxy.take_traffic();
        assert_eq!(db.execute(text, params()).await.unwrap().rows_affected(), rows, "{text}");
        assert_eq!(trips(&proxy), (1, 1), "{text}: the first time");
    }
    let found: (i64, String, Timestamp) = observer.fetch_one("SELECT * FROM pgu_trips", ()).await.unwrap();
    assert_eq!(found, (7, "üü".into(), at));

    // A text that comes again is worth preparing.
    let text = "INSERT INTO pgu_trips (id, name) VALUES (:id::int, :name::pg_catalog.text)";
    for (time, expected) in [(1, (1, 1)), (2, (2, 1)), (3, (1, 0)), (4, (1, 0))] {
        let _ = proxy.take_traffic();
        db.execute(text, params! { id: 8, name: None::<String> }).await.unwrap();
        assert_eq!(trips(&proxy), expected, "time {time}");
    }
    let _ = proxy.take_traffic();
    for _ in 0..3 {
        db.execute(sql(text).prepared(false), params! { id: 8, name: "unkept" }).await.unwrap();
    }
    assert_eq!(trips(&proxy), (3, 3));
    assert_eq!(observer.fetch_val::<i64>("SELECT count(*) FROM pgu_trips WHERE id = 8", ()).await.unwrap(), 7);

    // What the server has to be asked about is prepared.
    for (text, value) in [
        ("INSERT INTO pgu_trips VALUES (:v)", Value::Int(9)),
        ("INSERT INTO pgu_trips VALUES (:v::bigint) RETURNING id", Value::Int(9)),
        ("UPDATE pgu_trips SET id = :v::bigint WHERE id = :v", Value::Int(9)),
        // A value that is no text is told by its own type.
        ("UPDATE pgu_trips SET name = :v::pg_catalog.text", Value::Int(9)),
    ] {
        let _ = proxy.take_traffic();
        db.execute(text, params! { v: value }).await.unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert!(trips(&proxy).0 >= 2, "{text}");
    }
    assert_eq!(observer.fetch_val::<i64>("SELECT count(*) FROM pgu_trips WHERE name = '9'", ()).await.unwrap(), 10);
}

#[tokio::test]
async fn values_of_every_type_arrive_as_prepared_ones_do() {
    let Some((url, proxy, db)) = behind_proxy().await else { return };
    let observer = table(&url, "pgu_values", "v text").await;
    let value = |ty: &Type| match *ty {
        Type::INT2 | Type::INT4 | Type::INT8 => Value::Int(-7),
        Type::FLOAT4 | Type::FLOAT8 => Value::Float(0.1),
        Type::NUMERIC => Value::Decimal("12.340".parse::<Decimal>().unwrap()),
        Type::BOOL => Value::Bool(true),
        Type::TEXT | Type::VARCHAR => Value::Text("ü'\\".into()),
        Type::BYTEA => Value::Bytes(vec![0, 255, 7]),
        Type::UUID => Value::Uuid("0123456789abcdef0123456789abcdef".parse::<Uuid>().unwrap()),
        Type::DATE => Value::Date("2024-02-29".parse::<Date>().unwrap()),
        Type::TIME => Value::Time("12:34:56.789".parse::<Time>().unwrap()),
        Type::TIMETZ => Value::Text("12:34:56+02".into()),
        Type::TIMESTAMP => Value::DateTime("2024-02-29 12:34:56.789".parse().unwrap()),
        Type::TIMESTAMPTZ => Value::Timestamp("2024-02-29 12:34:56.789Z".parse().unwrap()),
        Type::INTERVAL => Value::Interval(Interval::new(1, 2, 3_000_000)),
        Type::JSON | Type::JSONB => Value::Json(JsonText::new(r#"{"a": [1]}"#)),
        _ => panic!("{ty}"),
    };
    for (name, keyword) in cast_names() {
        for cast in casts_to(name, keyword) {
            let text = format!("INSERT INTO pgu_values SELECT ({})::text", cast.replace("$1", ":v"));
            let ty = &casts(&cast, 1).unwrap()[0];
            for value in [value(ty), Value::Null] {
                let params = || params! { v: value.clone() };
                let _ = proxy.take_traffic();
                db.execute(sql(&text).prepared(false), params()).await.unwrap_or_else(|e| panic!("{text}: {e:?}"));
                assert_eq!(trips(&proxy).0, 1, "{text}");
                for _ in 0..2 {
                    db.execute(&text, params()).await.unwrap();
                }
                let distinct = "SELECT count(*), count(DISTINCT v) FROM pgu_values";
                let (all, distinct): (i64, i64) = observer.fetch_one(distinct, ()).await.unwrap();
                assert_eq!((all, distinct), (3, i64::from(!value.is_null())), "{text}");
                observer.execute("TRUNCATE pgu_values", ()).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_refused_as_ever_and_nothing_is_sent() {
    let Some((url, proxy, db)) = behind_proxy().await else { return };
    let observer = table(&url, "pgu_wrong", "id bigint").await;
    for (name, value) in [
        ("int", Value::Int(1 << 40)),
        ("smallint", Value::Int(70_000)),
        ("int", Value::Text("seven".into())),
        ("boolean", Value::Int(1)),
        ("bigint", Value::Float(0.5)),
        ("pg_catalog.date", Value::Int(7)),
    ] {
        let cast = format!("INSERT INTO pgu_wrong SELECT 1 WHERE :v::{name} IS NOT NULL");
        // The same, asked about: the second place is no plain cast.
        let asked = format!("INSERT INTO pgu_wrong SELECT 1 WHERE :v::{name} IS NOT NULL OR (:v)::{name} IS NULL");
        let usual = db.execute(&asked, params! { v: value.clone() }).await.unwrap_err();
        assert_eq!((usual.kind(), usual.effect()), (ErrorKind::Encode, Effect::NotSent), "{usual:?}");
        let refused = async |place: &dyn RawExecutor| {
            for prepared in [true, false] {
                let _ = proxy.take_traffic();
                let query = sql(&cast).prepared(prepared);
                let error = place.execute(query, params! { v: value.clone() }).await.unwrap_err();
                assert_eq!((error.kind(), error.effect()), (usual.kind(), usual.effect()), "{name}");
                assert_eq!((error.to_string(), error.hint()), (usual.to_string(), usual.hint()), "{name}");
                assert_eq!(proxy.take_traffic(), Traffic::default(), "{name}");
            }
        };
        refused(&db).await;
        let tx = db.begin().await.unwrap();
        refused(&tx).await;
        // The transaction has not failed.
        tx.execute("INSERT INTO pgu_wrong VALUES (:id::bigint)", params! { id: 1_i64 }).await.unwrap();
        tx.rollback().await.unwrap();
    }
    assert_eq!(observer.fetch_val::<i64>("SELECT count(*) FROM pgu_wrong", ()).await.unwrap(), 0);
}

#[tokio::test]
async fn in_a_transaction_it_goes_with_begin_and_fails_as_ever() {
    let Some((url, proxy, db)) = behind_proxy().await else { return };
    let observer = table(&url, "pgu_begun", "id bigint PRIMARY KEY").await;
    let count = async || observer.fetch_val::<i64>("SELECT count(*) FROM pgu_begun", ()).await.unwrap();
    // An early answer to BEGIN counts as a round trip too, so messages are counted: BEGIN and COMMIT are the two queries.
    let sent = |traffic: &Traffic| {
        traffic
            .messages
            .iter()
            .filter(|(way, _)| *way == Direction::Up)
            .map(|(_, tag)| char::from(*tag))
            .collect::<String>()
    };
    let insert = "INSERT INTO pgu_begun VALUES (:id::bigint)";
    let _ = proxy.take_traffic();
    let tx = db.begin_with(TransactionOptions::new()).await.unwrap();
    tx.execute(insert, params! { id: 1_i64 }).await.unwrap();
    assert_eq!(count().await, 0);
    tx.commit().await.unwrap();
    assert_eq!(sent(&proxy.take_traffic()), "QPBDESQ");
    assert_eq!(count().await, 1);

    // The server's errors, with the place in the text as it was written.
    for (text, kind, place) in [
        ("INSERT INTO pgu_begun\nVALUES (:id::bigint, :id::bigint)", ErrorKind::Syntax, Some((2, 22))),
        ("INSERT INTO pgu_begun (id, nothing)\nVALUES (:id::bigint, 1)", ErrorKind::UndefinedColumn, Some((1, 28))),
        ("INSERT INTO pgu_begun VALUES (:id::bigint) -- again", ErrorKind::UniqueViolation, None),
    ] {
        let error = db.execute(text, params! { id: 1_i64 }).await.unwrap_err();
        assert_eq!((error.kind(), error.line_col()), (kind, place), "{error:?}");
        let tx = db.begin().await.unwrap();
        let error = tx.execute(text, params! { id: 1_i64 }).await.unwrap_err();
        assert_eq!((error.kind(), error.line_col()), (kind, place), "{error:?}");
        let error = tx.execute(insert, params! { id: 2_i64 }).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::TransactionFailed, Effect::NotSent));
        assert_eq!(tx.commit().await.unwrap_err().kind(), ErrorKind::TransactionFailed);
        let conn = db.acquire().await.unwrap();
        assert_eq!(conn.execute(text, params! { id: 1_i64 }).await.unwrap_err().kind(), kind, "the second time");
    }
    assert_eq!(count().await, 1);
}

#[tokio::test]
async fn a_name_that_stands_for_another_type_means_that_type() {
    let Some((url, proxy, db)) = behind_proxy().await else { return };
    let observer = table(&url, "pgu_shadowed", "v text").await;
    let conn = db.acquire().await.unwrap();
    conn.execute("CREATE DOMAIN pg_temp.int4 AS int8", ()).await.unwrap();
    conn.execute("CREATE TYPE pg_temp.date AS ENUM ('today', 'never')", ()).await.unwrap();
    conn.execute("CREATE TYPE pg_temp.uuid AS (a int)", ()).await.unwrap();
    for (name, value, expected) in [
        ("int4", Value::Int(1 << 40), "1099511627776"),
        ("date", Value::Text("never".into()), "never"),
        ("uuid", Value::Text("(7)".into()), "(7)"),
        ("int", Value::Int(7), "7"),
        ("pg_catalog.int4", Value::Int(7), "7"),
        ("pg_catalog.date", Value::Text("2024-02-29".into()), "2024-02-29"),
    ] {
        let text = format!("INSERT INTO pgu_shadowed SELECT (:v::{name})::text");
        for time in 0..2 {
            let error = conn.execute(&text, params! { v: Value::Bytes(vec![]) }).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Encode, Effect::NotSent), "{name}, time {time}");
            conn.execute(&text, params! { v: value.clone() }).await.unwrap_or_else(|e| panic!("{name}, {time}: {e:?}"));
        }
        let tx = conn.begin().await.unwrap();
        tx.execute(&format!("{text} -- in a transaction"), params! { v: value }).await.unwrap();
        tx.commit().await.unwrap();
        let found: (i64, String) = observer.fetch_one("SELECT count(*), min(v) FROM pgu_shadowed", ()).await.unwrap();
        assert_eq!(found, (3, expected.to_owned()), "{name}");
        observer.execute("TRUNCATE pgu_shadowed", ()).await.unwrap();
    }
    drop(conn);
    assert_eq!(proxy.ports().len(), 1);
}

#[tokio::test]
async fn one_that_is_dropped_or_stopped_leaves_a_connection_that_works() {
    let Some((url, proxy, db)) = behind_proxy().await else { return };
    let observer = table(&url, "pgu_dropped", "id bigint").await;
    let insert = |n: i64| format!("INSERT INTO pgu_dropped VALUES (:id::bigint) -- {n}");
    for n in 0..8_i64 {
        // Its answer never comes to who asked.
        proxy.set(Mode::Hold);
        let text = insert(n);
        let mut call = Box::pin(db.execute(&text, params! { id: n }));
        tokio::select! {
            done = &mut call => panic!("{done:?}"),
            () = proxy.holding() => {}
        }
        drop(call);
        proxy.set(Mode::Pass);
        assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await.unwrap(), 1);
        assert_eq!(db.execute(&text, params! { id: n }).await.unwrap().rows_affected(), 1);
        let tx = db.begin().await.unwrap();
        proxy.set(Mode::Hold);
        let text = format!("{} in a transaction", insert(n));
        let mut call = Box::pin(tx.execute(&text, params! { id: n }));
        tokio::select! {
            done = &mut call => panic!("{done:?}"),
            () = proxy.holding() => {}
        }
        drop(call);
        drop(tx);
        proxy.set(Mode::Pass);
        assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await.unwrap(), 1);
    }
    assert_eq!(observer.fetch_val::<i64>("SELECT count(*) FROM pgu_dropped", ()).await.unwrap(), 16);

    let slow = "INSERT INTO pgu_dropped SELECT :id::bigint FROM pg_sleep(30)";
    let call = db.execute(sql(slow).timeout(Duration::from_millis(100)), params! { id: 1_i64 });
    assert_eq!(call.await.unwrap_err().kind(), ErrorKind::StatementTimeout);
    let dropped = tokio::time::timeout(Duration::from_millis(100), db.execute(slow, params! { id: 1_i64 }));
    assert!(dropped.await.is_err());
    assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await.unwrap(), 1);
    let running =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'INSERT INTO pgu_dropped%'";
    assert_eq!(observer.fetch_val::<i64>(running, ()).await.unwrap(), 0);
    assert_eq!(observer.fetch_val::<i64>("SELECT count(*) FROM pgu_dropped", ()).await.unwrap(), 16);
}
