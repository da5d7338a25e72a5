//! `execute_many` by COPY: when it is taken, and that it cannot be told from one by one.

mod support;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use databases_core::conformance::proxy::{Action, At, Direction, End, Mode, Protocol, Proxy};
use databases_core::url::DatabaseUrl;
use databases_core::{Effect, ErrorKind, Executor, Other, Params, Pool, PoolConfig, Value, ValueKind, params, sql};
use databases_postgres::Postgres;

/// Enough rows of three values for a COPY, in one chunk and in two.
const ONE: i32 = 7_000;
const TWO: i32 = 18_000;

fn pool(url: &DatabaseUrl) -> Pool {
    Pool::new(PoolConfig::from_url(&Postgres, url, |options| options.max_connections = Some(1)).unwrap()).unwrap()
}

/// A pool of one connection behind a proxy, and a schema for the test.
async fn proxied(url: &str, schema: &str) -> (Proxy, Pool) {
    let url: DatabaseUrl = url.parse().unwrap();
    let proxy = Proxy::start(&url, Protocol::Postgres).await.unwrap();
    let db = pool(&proxy.url(&url).unwrap());
    db.execute_script(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")).await.unwrap();
    (proxy, db)
}

/// Whether data of a COPY was sent since this was last asked.
fn has_copied(proxy: &Proxy) -> bool {
    proxy.take_traffic().count(Direction::Up, b'd') > 0
}

async fn count(db: &impl Executor, table: &str) -> i64 {
    db.fetch_val(format!("SELECT count(*) FROM {table}"), ()).await.unwrap()
}

async fn pid(db: &impl Executor) -> i32 {
    db.fetch_val("SELECT pg_backend_pid()", ()).await.unwrap()
}

/// Waits for what was asked of the proxy, or a minute.
async fn fired(proxy: &Proxy) {
    let since = Instant::now();
    while !proxy.has_fired() && since.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn rows(count: i32) -> impl Iterator<Item = Params<'static>> + Send {
    (0..count).map(|id| params! { id, n: None::<i32>, body: "x" })
}

#[tokio::test]
async fn many_plain_rows_are_copied_and_others_are_not() {
    let url = server!();
    let (proxy, db) = proxied(&url, "mc_shape").await;
    let t = "mc_shape.t";
    let plain = "INSERT INTO mc_shape.t (id, n, body) VALUES (:id, :n, :body)";
    let returns = "LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'";
    let trigger = format!(
        "CREATE FUNCTION mc_shape.f() RETURNS trigger {returns}; \
         CREATE TRIGGER g BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION mc_shape.f()"
    );
    let cases: &[(&str, &str, &str, bool)] = &[
        ("plain", "", plain, true),
        ("all columns", "", "INSERT INTO mc_shape.t VALUES (:id, :n, :body)", true),
        (
            "an alias and spaces",
            "",
            "INSERT INTO mc_shape . \"t\" AS x (ID, \"n\", body) VALUES (:id, :n, :body) ;",
            true,
        ),
        ("another order", "", "INSERT INTO mc_shape.t (body, n, id) VALUES (:body, :n, :id)", true),
        ("defaults", "ALTER TABLE mc_shape.t ADD c serial, ADD d timestamptz DEFAULT now()", plain, true),
        ("an identity that is not named", "ALTER TABLE mc_shape.t ADD c int GENERATED ALWAYS AS IDENTITY", plain, true),
        ("a generated column", "ALTER TABLE mc_shape.t ADD c int GENERATED ALWAYS AS (id * 2) STORED", plain, true),
        ("a check and a key", "ALTER TABLE mc_shape.t ADD CHECK (id > -1), ADD UNIQUE (n)", plain, true),
        ("a dropped column", "ALTER TABLE mc_shape.t ADD c int; ALTER TABLE mc_shape.t DROP c", plain, true),
        (
            "fewer than all columns",
            "ALTER TABLE mc_shape.t ADD c int",
            "INSERT INTO mc_shape.t VALUES (:id, :n, :body)",
            false,
        ),
        ("a literal", "", "INSERT INTO mc_shape.t (id, n, body) VALUES (:id, 1, :body)", false),
        ("a default in the row", "", "INSERT INTO mc_shape.t (id, n, body) VALUES (:id, DEFAULT, :body)", false),
        ("a cast", "", "INSERT INTO mc_shape.t (id, n, body) VALUES (:id, :n::int, :body)", false),
        ("a value twice", "", "INSERT INTO mc_shape.t (id, n, body) VALUES (:id, :id, :body)", false),
        (
            "ON CONFLICT",
            "",
            "INSERT INTO mc_shape.t (id, n, body) VALUES (:id, :n, :body) ON CONFLICT DO NOTHING",
            false,
        ),
        ("RETURNING", "", "INSERT INTO mc_shape.t (id, n, body) VALUES (:id, :n, :body) RETURNING id", false),
        ("WITH", "", "WITH x AS (SELECT 1) INSERT INTO mc_shape.t (id, n, body) VALUES (:id, :n, :body)", false),
        (
            "an identity that is overridden",
            "ALTER TABLE mc_shape.t ALTER id SET NOT NULL, ALTER id ADD GENERATED ALWAYS AS IDENTITY",
            "INSERT INTO mc_shape.t (id, n, body) OVERRIDING SYSTEM VALUE VALUES (:id, :n, :body)",
            false,
        ),
        ("a trigger", &trigger, plain, false),
        ("a rule", "CREATE RULE r AS ON INSERT TO mc_shape.t DO ALSO NOTIFY x", plain, false),
        ("row security", "ALTER TABLE mc_shape.t ENABLE ROW LEVEL SECURITY", plain, false),
        ("a type without a binary form", "ALTER TABLE mc_shape.t ADD c aclitem", plain, false),
        (
            "another type than that of the parameter",
            "ALTER TABLE mc_shape.t ALTER id TYPE text",
            "INSERT INTO mc_shape.t (id, n, body) VALUES (:id, :n, :body)",
            false,
        ),
        (
            "a view",
            "CREATE VIEW mc_shape.v AS TABLE mc_shape.t",
            "INSERT INTO mc_shape.v (id, n, body) VALUES (:id, :n, :body)",
            false,
        ),
        (
            "partitions",
            "CREATE TABLE mc_shape.p (id int, n int, body text) PARTITION BY RANGE (id); \
             CREATE TABLE mc_shape.q PARTITION OF mc_shape.p DEFAULT",
            "INSERT INTO mc_shape.p (id, n, body) VALUES (:id, :n, :body)",
            false,
        ),
    ];
    for (what, change, insert, wanted) in cases {
        db.execute_script(&format!(
            "DROP SCHEMA mc_shape CASCADE; CREATE SCHEMA mc_shape; CREATE TABLE {t} (id int, n int, body text); {change}"
        ))
        .await
        .unwrap();
        // The second time everything is known.
        let rounds = if *wanted { 2 } else { 1 };
        for round in 1..=rounds {
            _ = has_copied(&proxy);
            assert_eq!(db.execute_many(sql(*insert).allow_unused(), rows(ONE)).await.unwrap(), 7_000, "{what}");
            assert_eq!(has_copied(&proxy), *wanted, "{what}, round {round}");
        }
        let table = if *what == "partitions" { "mc_shape.p" } else { t };
        assert_eq!(count(&db, table).await, rounds * 7_000, "{what}");
    }
    // Too few to be worth it.
    db.execute_script(&format!("TRUNCATE {t}; DROP TABLE mc_shape.p CASCADE")).await.unwrap();
    db.execute_many(plain, rows(1_000)).await.unwrap();
    assert!(!has_copied(&proxy));
    // Not kept prepared.
    assert_eq!(db.execute_many(sql(plain).prepared(false), rows(TWO)).await.unwrap(), 18_000);
    assert!(has_copied(&proxy));
    assert_eq!(count(&db, t).await, 19_000);
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

fn decimal(text: impl AsRef<str>) -> Value {
    Value::Decimal(text.as_ref().parse().unwrap())
}

fn other(name: &str, bytes: impl Into<Vec<u8>>) -> Value {
    Value::Other(Box::new(Other { type_name: name.into(), bytes: bytes.into(), is_text: false }))
}

/// So many bits, in the server's binary form.
fn bits(name: &str, len: u32, bits: u8) -> Value {
    other(name, [&len.to_be_bytes()[..], &[bits]].concat())
}

fn one_of<const N: usize>(values: [&str; N], id: usize) -> &str {
    values[id % N]
}

/// The columns of a table, with a value for each row.
#[expect(clippy::type_complexity, reason = "said once")]
fn columns() -> Vec<(&'static str, fn(usize) -> Value)> {
    vec![
        ("bool", |id| Value::Bool(id % 2 == 0)),
        ("int2", |id| Value::Int(id as i64 - 300)),
        ("int4", |id| Value::Int(id as i64 * 1_000_003)),
        ("int8", |id| Value::Int(i64::MIN + id as i64)),
        ("float4", |id| Value::Float(id as f64 / 3.0)),
        ("float8", |id| Value::Float([0.1, f64::NAN, f64::INFINITY, -0.0, f64::MIN_POSITIVE][id % 5])),
        ("numeric", |id| decimal(one_of(["NaN", "0.000", "-123456789.5000", "1e100", "0.1"], id))),
        ("numeric(6, 2)", |id| decimal(one_of(["1.005", "-2.345", "9999.994", "NaN", "0.004999", "7"], id))),
        ("text", |id| text(one_of(["", " ", "\\N", "é\t\n\"", "NULL"], id))),
        ("varchar", |id| text(format!("v {id}  "))),
        ("varchar(3)", |id| text(one_of(["", "abc", "abc   ", "ab ", "ééé  ", "   "], id))),
        ("char(4)", |id| text(one_of(["", "ab", "abcd", "abcd     ", "éé", "      "], id))),
        ("char", |id| text(one_of(["", "a", "b    "], id))),
        ("name", |id| text(format!("n{id}"))),
        ("bytea", |id| Value::Bytes(vec![0, 255, id as u8][..id % 4 % 3].to_vec())),
        ("date", |id| text(one_of(["2024-02-29", "infinity", "0001-01-01"], id))),
        ("time(1)", |id| Value::Time(one_of(["12:34:56.789", "23:59:59.96", "00:00:00.05"], id).parse().unwrap())),
        ("timestamp", |id| Value::DateTime(one_of(["2024-02-29 12:00:00.123456", "infinity"], id).parse().unwrap())),
        ("timestamp(1)", |id| {
            Value::DateTime(
                one_of(["2024-02-29 23:59:59.95", "2024-02-29 12:00:00.25", "-infinity"], id).parse().unwrap(),
            )
        }),
        ("timestamptz(0)", |id| {
            Value::Timestamp(
                one_of(["2024-12-31T23:59:59.5Z", "1999-12-31T23:59:58.5Z", "infinity"], id).parse().unwrap(),
            )
        }),
        ("timestamptz", |_| Value::Timestamp("2024-12-31T23:59:59.999999Z".parse().unwrap())),
        ("interval(1)", |id| {
            Value::Interval(databases_core::types::Interval::new(1, -2, 1_250_000 + id as i64 * 50_000))
        }),
        ("interval day to hour", |_| Value::Interval(databases_core::types::Interval::new(1, 2, 7_384_123_456))),
        ("interval year", |_| Value::Interval(databases_core::types::Interval::new(31, 2, 1))),
        ("uuid", |id| text(format!("00000000-0000-4000-8000-{id:012}"))),
        ("json", |id| text(format!("{{\"b\":  {id}, \"a\": []}}"))),
        ("jsonb", |id| text(format!("{{\"b\":  {id}, \"a\": []}}"))),
        ("bit(3)", |id| bits("bit", 3, (id % 8) as u8 * 32)),
        ("varbit(5)", |id| bits("varbit", (id % 5) as u32 + 1, 0b1010_1000 << (4 - id % 5))),
        ("mc_types.\"Mood\"", |id| text(one_of(["sad", "O K"], id))),
        ("mc_types.short", |id| text(one_of(["", "abc", "abc   "], id))),
        ("mc_types.money", |id| decimal(one_of(["1.05", "-2.345", "99.94"], id))),
        ("mc_types.pair", |id| {
            Value::Array(Box::new(databases_core::Array::record(vec![decimal(format!("{id}.345")), text("abc  ")])))
        }),
        ("int4[]", |id| {
            support::array((0..id % 3).map(|n| Value::Int(n as i64)).chain([Value::Null]).collect(), ValueKind::Int32)
        }),
        ("int4[][]", |id| {
            let row = |n| support::array(vec![Value::Int(n), Value::Null], ValueKind::Int32);
            support::array(vec![row(id as i64), row(2)], ValueKind::Array)
        }),
        ("text[]", |id| support::array(vec![text(""), text(format!("{{{id}\"")), Value::Null], ValueKind::Text)),
        ("varchar(3)[]", |_| support::array(vec![text("abc   "), Value::Null, text("")], ValueKind::Text)),
        ("char(3)[]", |_| support::array(vec![text("a"), text("abc    ")], ValueKind::Text)),
        ("numeric(4, 1)[]", |id| {
            support::array(vec![decimal("1.25"), decimal(format!("{}.35", id % 900))], ValueKind::Decimal)
        }),
        ("timestamp(0)[]", |_| {
            let moment = Value::DateTime("2024-02-29 23:59:59.5".parse().unwrap());
            support::array(vec![moment], ValueKind::DateTime)
        }),
        ("int4range", |id| range(Value::Int(id as i64), Value::Int(id as i64 + 3), ValueKind::Int32)),
        ("numrange", |_| range(decimal("1.50"), Value::Null, ValueKind::Decimal)),
        ("oid", |id| Value::Int(id as i64 + 3_000_000_000)),
    ]
}

fn range(from: Value, to: Value, kind: ValueKind) -> Value {
    Value::Array(Box::new(databases_core::Array::range((from, true), (to, true), kind)))
}

#[tokio::test]
async fn copied_values_of_every_type_are_those_of_single_rows() {
    let url = server!();
    let (proxy, db) = proxied(&url, "mc_types").await;
    db.execute_script(
        "CREATE TYPE mc_types.\"Mood\" AS ENUM ('sad', 'O K'); CREATE DOMAIN mc_types.short AS varchar(3) CHECK (VALUE <> 'x'); \
         CREATE DOMAIN mc_types.money AS numeric(5, 1); CREATE TYPE mc_types.pair AS (n numeric(5, 1), s varchar(3))",
    )
    .await
    .unwrap();
    let all = columns();
    let mut created = "id int".to_owned();
    let (mut names, mut places) = ("id".to_owned(), ":id".to_owned());
    for (at, (ty, _)) in all.iter().enumerate() {
        _ = write!(created, ", c{at} {ty}");
        _ = write!(names, ", c{at}");
        _ = write!(places, ", :c{at}");
    }
    // Every seventh value is NULL, of the kind of the others.
    let kept: Vec<String> = (0..all.len()).map(|at| format!("c{at}")).collect();
    let rows = (0..500).map(|id: usize| {
        let values = all.iter().enumerate();
        let value =
            |at: usize, make: fn(usize) -> Value| if (id + at).is_multiple_of(7) { Value::Null } else { make(id) };
        values.fold(Params::new().with("id", id as i32), |row, (at, (_, make))| {
            row.with(kept[at].clone(), value(at, *make))
        })
    });
    let mut found = Vec::new();
    for many in [false, true] {
        let table = if many { "mc_types.many" } else { "mc_types.one" };
        db.execute(format!("CREATE TABLE {table} ({created})"), ()).await.unwrap();
        let insert = format!("INSERT INTO {table} ({names}) VALUES ({places})");
        _ = has_copied(&proxy);
        if many {
            assert_eq!(db.execute_many(&insert, rows.clone()).await.unwrap(), 500);
        } else {
            for row in rows.clone() {
                db.execute(&insert, row).await.unwrap();
            }
        }
        assert_eq!(has_copied(&proxy), many);
        let all: Vec<(String,)> =
            db.fetch_all(format!("SELECT t::text FROM {table} AS t ORDER BY id"), ()).await.unwrap();
        found.push(all);
    }
    for (one, copied) in found[0].iter().zip(&found[1]) {
        assert_eq!(one, copied);
    }
    assert_eq!(found[0].len(), found[1].len());
}

#[tokio::test]
async fn an_error_of_a_copied_row_is_that_of_its_row_and_leaves_nothing() {
    let url = server!();
    let (proxy, db) = proxied(&url, "mc_error").await;
    let t = "mc_error.t";
    db.execute(format!("CREATE TABLE {t} (id int PRIMARY KEY, n numeric(4, 1) CHECK (n <> 5), body varchar(3))"), ())
        .await
        .unwrap();
    let insert = format!("INSERT INTO {t} (id, n, body) VALUES (:id, :n, :body)");
    let bad = |at: i32, what: usize| {
        (0..TWO).map(move |id| {
            let bad = if id == at { what } else { 4 };
            let n = decimal(one_of(["5", "1000", "1", "1", "1.05"], bad));
            params! { id: if bad == 3 { -1 } else { id }, n, body: if bad == 2 { "long" } else { "abc  " } }
        })
    };
    let before = pid(&db).await;
    db.execute(&insert, params! { id: -1, n: decimal("1"), body: "kept" }).await.unwrap_err();
    db.execute(&insert, params! { id: -1, n: decimal("1"), body: "kep" }).await.unwrap();
    let tx = db.begin().await.unwrap();
    let kinds = [("23514", 0), ("22003", 1), ("22001", 2), ("23505", 3)];
    for (at, (code, what)) in [0, 1, 6_999, 9_999, 10_000, 17_999].into_iter().zip(kinds.iter().cycle()) {
        _ = has_copied(&proxy);
        let error = tx.execute_many(&insert, bad(at, *what)).await.unwrap_err();
        assert_eq!((error.code(), error.batch_index()), (Some(*code), Some(at as usize)), "{error:?}");
        // A first row is refused before anything is copied.
        assert_eq!(has_copied(&proxy), at > 0, "row {at}");
        assert_eq!(count(&tx, t).await, 1);
    }
    let nested = tx.begin().await.unwrap();
    let error = nested.execute_many(&insert, bad(12_345, 2)).await.unwrap_err();
    assert_eq!(error.batch_index(), Some(12_345), "{error:?}");
    assert_eq!(nested.execute_many(&insert, bad(-1, 0)).await.unwrap(), 18_000);
    nested.rollback().await.unwrap();
    assert_eq!(count(&tx, t).await, 1);
    let nested = tx.begin().await.unwrap();
    assert_eq!(nested.execute_many(&insert, bad(-1, 0)).await.unwrap(), 18_000);
    nested.commit().await.unwrap();
    tx.commit().await.unwrap();
    // A value that cannot be written is told behind the rows before it.
    let rows = (0..TWO).map(|id| params! { id: id + TWO, n: decimal("1"), body: if id == 17_000 { Value::Bytes(vec![1]) } else { text("x") } });
    let error = db.execute_many(&insert, rows).await.unwrap_err();
    assert_eq!(error.batch_index(), Some(17_000), "{error:?}");
    assert_eq!(count(&db, t).await, 18_001);
    assert_eq!(pid(&db).await, before);
}

#[tokio::test]
async fn a_table_that_is_altered_between_two_batches_is_asked_about_again() {
    let url = server!();
    let (proxy, db) = proxied(&url, "mc_altered").await;
    let other = pool(&url.parse().unwrap());
    let t = "mc_altered.t";
    db.execute(format!("CREATE TABLE {t} (id int8, n int4, body text)"), ()).await.unwrap();
    let named = format!("INSERT INTO {t} (id, n, body) VALUES (:id, :n, :body)");
    let unnamed = format!("INSERT INTO {t} VALUES (:id, :n, :body)");
    let rows = || (0..ONE).map(|id| params! { id: i64::from(id) + 1, n: id % 10, body: "12" });
    for insert in [&named, &unnamed] {
        db.execute_many(insert, rows()).await.unwrap();
        assert!(has_copied(&proxy));
    }
    let steps = [
        // As many bytes, read as something else.
        "ALTER TABLE mc_altered.t ALTER id TYPE float8",
        "ALTER TABLE mc_altered.t ALTER n TYPE float4",
        "ALTER TABLE mc_altered.t ALTER id TYPE timestamptz USING to_timestamp(id)",
        "ALTER TABLE mc_altered.t DROP body, ADD body bytea",
        "ALTER TABLE mc_altered.t DROP body, ADD body varchar(2)",
        "DROP TABLE mc_altered.t; CREATE TABLE mc_altered.t (id int8, body int4, n text)",
        "DROP TABLE mc_altered.t; CREATE TABLE mc_altered.t (id int8, n int4, body text, more int DEFAULT 5)",
        "ALTER TABLE mc_altered.t DROP more; ALTER TABLE mc_altered.t ALTER n SET NOT NULL; \
         ALTER TABLE mc_altered.t ALTER n ADD GENERATED ALWAYS AS IDENTITY",
    ];
    for step in steps {
        other.execute_script(step).await.unwrap();
        for insert in [&named, &unnamed] {
            other.execute(format!("TRUNCATE {t}"), ()).await.unwrap();
            // What a connection that knows nothing says and leaves, without a COPY.
            let fresh = pool(&url.parse().unwrap());
            let wanted = fresh.execute_many(format!("{insert} ON CONFLICT DO NOTHING"), rows()).await;
            let all = format!("SELECT t::text FROM {t} AS t ORDER BY 1");
            let left: Vec<(String,)> = fresh.fetch_all(&all, ()).await.unwrap();
            other.execute(format!("TRUNCATE {t}"), ()).await.unwrap();
            let many = db.execute_many(insert, rows()).await;
            match wanted {
                Ok(wanted) => {
                    assert_eq!((many.unwrap(), wanted), (7_000, 7_000), "{step}");
                    let found: Vec<(String,)> = db.fetch_all(&all, ()).await.unwrap();
                    assert!(found == left, "{step}: {:?} and not {:?}", found[0], left[0]);
                }
                Err(error) => {
                    let many = many.unwrap_err();
                    assert_eq!(many.batch_index(), Some(0), "{step}: {error:?}, {many:?}");
                    assert_eq!(count(&db, t).await, 0, "{step}");
                }
            }
        }
    }
}

/// The first of two chunks is undone, and with it goes the lock that kept the table as it was.
#[tokio::test]
async fn a_table_that_is_altered_behind_a_chunk_that_failed_is_asked_about_again() {
    let url = server!();
    let (proxy, db) = proxied(&url, "mc_unlocked").await;
    let other = pool(&url.parse().unwrap());
    let t = "mc_unlocked.t";
    db.execute(format!("CREATE TABLE {t} (id int8, n int8, body text)"), ()).await.unwrap();
    let insert = format!("INSERT INTO {t} (id, n, body) VALUES (:id, :n, :body)");
    let rows = |count| (0..count).map(|id: i64| params! { id, n: 2 * id, body: "x" });
    let conn = db.acquire().await.unwrap();
    // The INSERT is prepared, so that to parse it takes no lock.
    conn.execute_many(&insert, rows(i64::from(ONE))).await.unwrap();
    assert!(has_copied(&proxy));
    conn.execute(format!("TRUNCATE {t}"), ()).await.unwrap();
    conn.execute("SET statement_timeout = 1000", ()).await.unwrap();
    proxy.when(At::before(|message| message.tag == b'c'), Action::Switch(Mode::Stall));
    let alters = async {
        fired(&proxy).await;
        let passes = async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            proxy.set(Mode::Pass);
        };
        let alter = format!("ALTER TABLE {t} ALTER n TYPE float8");
        tokio::join!(other.execute(alter, ()), passes).0.unwrap();
    };
    let (done, ()) = tokio::join!(conn.execute_many(&insert, rows(20_000)), alters);
    assert_eq!(done.unwrap(), 20_000);
    let wrong = format!("SELECT count(*) FROM {t} WHERE n <> 2 * id");
    assert_eq!((count(&conn, t).await, conn.fetch_val::<i64>(&wrong, ()).await.unwrap()), (20_000, 0));
    let ty = format!("SELECT pg_typeof(n)::text FROM {t} LIMIT 1");
    assert_eq!(conn.fetch_val::<String>(&ty, ()).await.unwrap(), "double precision");
}

/// A table of the same name that comes to stand before it in `search_path`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_copied_to_where_the_first_one_went() {
    let url = server!();
    let (proxy, db) = proxied(&url, "mc_path").await;
    let other = pool(&url.parse().unwrap());
    let script =
        "DROP SCHEMA IF EXISTS mc_before CASCADE; CREATE SCHEMA mc_before; CREATE TABLE mc_path.\"T t\" (id int8)";
    other.execute_script(script).await.unwrap();
    let conn = db.acquire().await.unwrap();
    conn.execute("SET search_path = mc_before, mc_path", ()).await.unwrap();
    let rows = (0..60_000_i64).inspect(|id| {
        if *id == 25_000 {
            let create = other.execute("CREATE TABLE mc_before.\"T t\" (id float8)", ());
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(create)).unwrap();
        }
    });
    let rows = rows.map(|id| params! { id, again: id });
    other.execute("ALTER TABLE mc_path.\"T t\" ADD again int8", ()).await.unwrap();
    let insert = "INSERT INTO \"T t\" (id, again) VALUES (:id, :again)";
    assert_eq!(conn.execute_many(insert, rows).await.unwrap(), 60_000);
    assert!(has_copied(&proxy));
    let found = "SELECT (SELECT count(*) FROM mc_path.\"T t\"), (SELECT count(*) FROM mc_before.\"T t\")";
    assert_eq!(conn.fetch_one::<(i64, i64)>(found, ()).await.unwrap(), (60_000, 0));
    drop(conn);
    other.execute("DROP SCHEMA mc_before CASCADE", ()).await.unwrap();
}

#[tokio::test]
async fn rights_on_columns_are_enough_for_a_copy_and_none_are_no_lost_connection() {
    let url = server!();
    let (proxy, db) = proxied(&url, "mc_rights").await;
    let t = "mc_rights.t";
    db.execute_script(&format!(
        "CREATE TABLE {t} (id int, n int, body text, more int); \
         DO 'BEGIN CREATE ROLE mc_rights; EXCEPTION WHEN duplicate_object THEN NULL; END'; \
         GRANT USAGE ON SCHEMA mc_rights TO mc_rights; GRANT INSERT (id, n, body) ON {t} TO mc_rights"
    ))
    .await
    .unwrap();
    let insert = format!("INSERT INTO {t} (id, n, body) VALUES (:id, :n, :body)");
    let conn = db.acquire().await.unwrap();
    conn.execute("SET ROLE mc_rights", ()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(conn.execute_many(&insert, rows(ONE)).await.unwrap(), 7_000);
        assert!(has_copied(&proxy));
    }
    let other = pool(&url.parse().unwrap());
    other.execute(format!("REVOKE INSERT (n) ON {t} FROM mc_rights"), ()).await.unwrap();
    let error = conn.execute_many(&insert, rows(ONE)).await.unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::PermissionDenied, Some(0)), "{error:?}");
    conn.execute("RESET ROLE", ()).await.unwrap();
    assert_eq!(count(&conn, t).await, 14_000);
    drop(conn);
    other.execute_script("DROP OWNED BY mc_rights; DROP ROLE mc_rights").await.unwrap();
}

/// Where a COPY is: before it is known that the server has begun it, in its data, at its end.
const POINTS: [(&str, Direction, u8); 3] =
    [("its beginning", Direction::Down, b'G'), ("its data", Direction::Up, b'd'), ("its end", Direction::Up, b'c')];

#[tokio::test]
async fn a_copy_that_is_dropped_leaves_nothing_and_its_connection() {
    let url = server!();
    let (proxy, db) = proxied(&url, "mc_drop").await;
    let t = "mc_drop.t";
    db.execute(format!("CREATE TABLE {t} (id int, n int, body text)"), ()).await.unwrap();
    let insert = format!("INSERT INTO {t} (id, n, body) VALUES (:id, :n, :body)");
    db.execute_many(&insert, rows(ONE)).await.unwrap();
    for (what, direction, tag) in POINTS {
        for in_transaction in [false, true] {
            let before = pid(&db).await;
            let tx = if in_transaction { Some(db.begin().await.unwrap()) } else { None };
            proxy.when(
                At::before(move |message| message.direction == direction && message.tag == tag),
                Action::Switch(Mode::Stall),
            );
            let many = async {
                match &tx {
                    Some(tx) => tx.execute_many(&insert, rows(TWO)).await,
                    None => db.execute_many(&insert, rows(TWO)).await,
                }
            };
            let stalled = async {
                fired(&proxy).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            tokio::select! {
                done = many => panic!("{what}: {done:?}"),
                () = stalled => {}
            }
            assert!(proxy.has_fired(), "{what}");
            proxy.set(Mode::Pass);
            if let Some(tx) = tx {
                tx.rollback().await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            }
            assert_eq!(count(&db, t).await, 7_000, "{what}");
            assert_eq!(pid(&db).await, before, "{what}");
        }
    }
}

#[tokio::test]
async fn a_copy_stops_wherever_its_future_is_dropped() {
    let url = server!();
    let (_proxy, db) = proxied(&url, "mc_polls").await;
    let t = "mc_polls.t";
    db.execute(format!("CREATE TABLE {t} (id int, n int, body text)"), ()).await.unwrap();
    let insert = format!("INSERT INTO {t} (id, n, body) VALUES (:id, :n, :body)");
    let (mut polls, mut kept) = (1, 0);
    loop {
        let mut many = Box::pin(db.execute_many(&insert, rows(TWO)));
        let mut left = polls;
        let done = std::future::poll_fn(|cx| {
            left -= 1;
            match many.as_mut().poll(cx) {
                std::task::Poll::Pending if left > 0 => std::task::Poll::Pending,
                std::task::Poll::Pending => std::task::Poll::Ready(None),
                std::task::Poll::Ready(result) => std::task::Poll::Ready(Some(result)),
            }
        })
        .await;
        drop(many);
        let found = count(&db, t).await - kept;
        match &done {
            Some(result) => assert_eq!((*result.as_ref().unwrap(), found), (18_000, 18_000)),
            // It may have been dropped when its COMMIT was on its way.
            None => assert!([0, 18_000].contains(&found), "{found} rows after {polls} polls"),
        }
        kept += found;
        if done.is_some() {
            break;
        }
        polls += 1;
    }
    assert!(polls > 10, "{polls}");
}

#[tokio::test]
async fn a_copy_stops_at_its_timeout() {
    let url = server!();
    let (proxy, db) = proxied(&url, "mc_timeout").await;
    let t = "mc_timeout.t";
    db.execute(format!("CREATE TABLE {t} (id int, n int, body text)"), ()).await.unwrap();
    let insert = format!("INSERT INTO {t} (id, n, body) VALUES (:id, :n, :body)");
    db.execute_many(&insert, rows(ONE)).await.unwrap();
    db.execute(format!("TRUNCATE {t}"), ()).await.unwrap();
    for round in 0..2 {
        _ = has_copied(&proxy);
        let query = sql(&insert).timeout(Duration::from_millis(2000 + round * 7));
        let error = db.execute_many(query, rows(i32::MAX)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StatementTimeout, "{error:?}");
        assert!(has_copied(&proxy));
        assert_eq!(count(&db, t).await, 0);
    }
    // One of the server's is for each statement: rows that are too slow together go one by one.
    let conn = db.acquire().await.unwrap();
    conn.execute("SET statement_timeout = 1000", ()).await.unwrap();
    proxy.when(At::before(|message| message.tag == b'c'), Action::Switch(Mode::Stall));
    let goes_on = async {
        fired(&proxy).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        proxy.set(Mode::Pass);
    };
    let (done, ()) = tokio::join!(conn.execute_many(&insert, rows(ONE)), goes_on);
    assert_eq!(done.unwrap(), 7_000);
    assert_eq!(count(&conn, t).await, 7_000);
    let statements = format!("SELECT count(DISTINCT cmin::text) FROM {t}");
    assert_eq!(conn.fetch_val::<i64>(&statements, ()).await.unwrap(), 7_000);
    drop(conn);
}

#[tokio::test]
async fn a_connection_that_breaks_in_a_copy_is_told_as_in_any_batch() {
    let url = server!();
    let (proxy, db) = proxied(&url, "mc_broken").await;
    let t = "mc_broken.t";
    db.execute(format!("CREATE TABLE {t} (id int, n int, body text)"), ()).await.unwrap();
    let insert = format!("INSERT INTO {t} (id, n, body) VALUES (:id, :n, :body)");
    db.execute_many(&insert, rows(ONE)).await.unwrap();
    let mut told = Vec::new();
    // The last is a batch that is not copied.
    for (what, direction, tag) in POINTS.into_iter().chain([("no COPY", Direction::Up, b'B')]) {
        for how in [End::Fin, End::Rst] {
            let count_of = if tag == b'B' { 100 } else { TWO };
            proxy.when(
                At::before(move |message| message.direction == direction && message.tag == tag),
                Action::End(how),
            );
            let error = db.execute_many(&insert, rows(count_of)).await.unwrap_err();
            assert!(proxy.has_fired(), "{what}");
            assert_eq!((error.kind(), error.is_disconnected()), (ErrorKind::Disconnected, true), "{what}: {error:?}");
            told.push((what, error.effect()));
            assert_eq!(count(&db, t).await, 7_000, "{what}");
        }
    }
    let (_, wanted) = told[told.len() - 1];
    assert!(told.iter().all(|(_, effect)| *effect == wanted && wanted != Effect::NotSent), "{told:?}");
}
