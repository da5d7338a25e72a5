//! `execute_many`: which INSERTs are sent for many rows at once, and that it cannot be told from one by one.

mod support;

use std::time::Duration;

use databases_core::url::DatabaseUrl;
use databases_core::{Array, ErrorKind, Executor, Params, Pool, PoolConfig, Value, ValueKind, params};
use databases_postgres::Postgres;

fn pool(url: &str) -> Pool {
    let url: DatabaseUrl = url.parse().unwrap();
    Pool::new(PoolConfig::from_url(&Postgres, &url, |options| options.max_connections = Some(1)).unwrap()).unwrap()
}

/// A pool of one connection whose unqualified names are in a schema of its own.
async fn schema(url: &str, name: &str) -> Pool {
    let db = pool(url);
    db.execute_script(&format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")).await.unwrap();
    db
}

/// How many statements have inserted the rows of a table.
async fn statements(db: &Pool, table: &str) -> i64 {
    db.fetch_val(format!("SELECT count(DISTINCT (xmin::text, cmin::text)) FROM {table}"), ()).await.unwrap()
}

#[tokio::test]
async fn rows_go_together_unless_the_table_could_tell() {
    let url = server!();
    let db = schema(&url, "bulk_shape").await;
    let t = "bulk_shape.t";
    let function =
        |body: &str| format!("CREATE FUNCTION bulk_shape.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {body} END';");
    let trigger =
        |when: &str| format!("{} CREATE TRIGGER g {when} EXECUTE FUNCTION bulk_shape.f();", function("RETURN NEW;"));
    let cases: &[(&str, String, i64)] = &[
        ("plain", String::new(), 1),
        (
            "a default of the server's",
            format!("ALTER TABLE {t} ADD c uuid DEFAULT gen_random_uuid(), ADD d timestamptz DEFAULT now();"),
            1,
        ),
        (
            "a foreign key to another",
            format!(
                "CREATE TABLE bulk_shape.u (id int PRIMARY KEY); ALTER TABLE {t} ADD c int REFERENCES bulk_shape.u;"
            ),
            1,
        ),
        ("a foreign key from another", "CREATE TABLE bulk_shape.u (id int REFERENCES bulk_shape.t);".into(), 1),
        ("a check", format!("ALTER TABLE {t} ADD CHECK (n IS NULL OR n > -5);"), 1),
        ("a row trigger", trigger("BEFORE INSERT ON bulk_shape.t FOR EACH ROW"), 40),
        ("a statement trigger", trigger("AFTER INSERT ON bulk_shape.t FOR EACH STATEMENT"), 40),
        ("a trigger on something else", trigger("BEFORE DELETE ON bulk_shape.t FOR EACH ROW"), 40),
        ("a rule", "CREATE RULE r AS ON INSERT TO bulk_shape.t DO ALSO NOTIFY x;".into(), 40),
        ("row security", format!("ALTER TABLE {t} ENABLE ROW LEVEL SECURITY;"), 40),
        ("a foreign key to itself", format!("ALTER TABLE {t} ADD FOREIGN KEY (n) REFERENCES {t};"), 40),
        ("a key that can wait", format!("ALTER TABLE {t} ADD UNIQUE (n) DEFERRABLE;"), 40),
        (
            "changes that cascade",
            "CREATE TABLE bulk_shape.u (id int REFERENCES bulk_shape.t ON UPDATE CASCADE);".into(),
            40,
        ),
        (
            "a default of the user's",
            format!(
                "CREATE FUNCTION bulk_shape.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER TABLE {t} ADD c int DEFAULT bulk_shape.f();"
            ),
            40,
        ),
        (
            "a check of the user's",
            format!(
                "CREATE FUNCTION bulk_shape.f(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END'; ALTER TABLE {t} ADD CHECK (bulk_shape.f(n));"
            ),
            40,
        ),
        (
            "a domain with one",
            format!(
                "CREATE FUNCTION bulk_shape.f(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END'; CREATE DOMAIN bulk_shape.d AS int CHECK (bulk_shape.f(VALUE)); ALTER TABLE {t} ADD c bulk_shape.d;"
            ),
            40,
        ),
        (
            "an index of the user's",
            format!(
                "CREATE FUNCTION bulk_shape.f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1; END'; CREATE INDEX ON {t} (bulk_shape.f(n));"
            ),
            40,
        ),
        ("the statement's time", format!("ALTER TABLE {t} ADD c timestamptz DEFAULT statement_timestamp();"), 40),
    ];
    for (what, change, wanted) in cases {
        db.execute_script(&format!(
            "DROP SCHEMA bulk_shape CASCADE; CREATE SCHEMA bulk_shape; \
             CREATE TABLE {t} (id int PRIMARY KEY, n int, body text); {change}"
        ))
        .await
        .unwrap();
        let rows = (1..=40).map(|id| params! { id, n: None::<i32>, body: "x" });
        let insert = format!("INSERT INTO {t} (id, n, body) VALUES (:id, :n, :body)");
        assert_eq!(db.execute_many(&insert, rows).await.unwrap(), 40, "{what}");
        assert_eq!(statements(&db, t).await, *wanted, "{what}");
    }
}

#[tokio::test]
async fn partitions_count_as_their_table() {
    let url = server!();
    let db = schema(&url, "bulk_parts").await;
    db.execute_script(
        "CREATE TABLE bulk_parts.t (id int, n int) PARTITION BY LIST (n); \
         CREATE TABLE bulk_parts.a PARTITION OF bulk_parts.t FOR VALUES IN (0); \
         CREATE TABLE bulk_parts.b PARTITION OF bulk_parts.t FOR VALUES IN (1)",
    )
    .await
    .unwrap();
    let insert = "INSERT INTO bulk_parts.t VALUES (:id, :n)";
    let rows = || (0..50).map(|id| params! { id, n: id % 2 });
    assert_eq!(db.execute_many(insert, rows()).await.unwrap(), 50);
    assert_eq!(statements(&db, "bulk_parts.t").await, 1);
    db.execute_script(
        "TRUNCATE bulk_parts.t; CREATE FUNCTION bulk_parts.f() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN SELECT count(*) INTO NEW.id FROM bulk_parts.t; RETURN NEW; END'; \
         CREATE TRIGGER g BEFORE INSERT ON bulk_parts.b FOR EACH ROW EXECUTE FUNCTION bulk_parts.f()",
    )
    .await
    .unwrap();
    assert_eq!(db.execute_many(insert, rows()).await.unwrap(), 50);
    let ids: Vec<(i32,)> = db.fetch_all("SELECT id FROM bulk_parts.b ORDER BY id", ()).await.unwrap();
    assert!(ids.into_iter().map(|(id,)| id).eq((1..50).step_by(2)));
}

#[tokio::test]
async fn a_table_that_changes_between_two_batches_is_looked_at_again() {
    let url = server!();
    let db = schema(&url, "bulk_change").await;
    db.execute("CREATE TABLE bulk_change.t (id int, n int)", ()).await.unwrap();
    let insert = "INSERT INTO bulk_change.t VALUES (:id, :n)";
    let rows = || (0..30).map(|id| params! { id, n: -1 });
    db.execute_many(insert, rows()).await.unwrap();
    assert_eq!(statements(&db, "bulk_change.t").await, 1);
    let other = pool(&url);
    other
        .execute_script(
            "TRUNCATE bulk_change.t; CREATE FUNCTION bulk_change.f() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN SELECT count(*) INTO NEW.n FROM bulk_change.t; RETURN NEW; END'; \
             CREATE TRIGGER g BEFORE INSERT ON bulk_change.t FOR EACH ROW EXECUTE FUNCTION bulk_change.f()",
        )
        .await
        .unwrap();
    for start in [0, 30] {
        assert_eq!(db.execute_many(insert, rows()).await.unwrap(), 30);
        let found: Vec<(i32,)> = db.fetch_all("SELECT n FROM bulk_change.t ORDER BY n", ()).await.unwrap();
        assert!(found.into_iter().map(|(n,)| n).eq(0..start + 30));
    }
}

#[tokio::test]
async fn a_table_that_has_changed_is_not_sent_later_chunks_of_a_batch() {
    let url = server!();
    let db = schema(&url, "bulk_chunks").await;
    db.execute("CREATE TABLE bulk_chunks.t (id int)", ()).await.unwrap();
    let insert = "INSERT INTO bulk_chunks.t VALUES (:id)";
    let rows = |count: i32| (0..count).map(|id| params! { id });
    db.execute_many(insert, rows(30)).await.unwrap();
    pool(&url)
        .execute_script(
            "TRUNCATE bulk_chunks.t; CREATE FUNCTION bulk_chunks.f() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN RETURN NEW; END'; \
             CREATE TRIGGER g BEFORE INSERT ON bulk_chunks.t FOR EACH ROW EXECUTE FUNCTION bulk_chunks.f()",
        )
        .await
        .unwrap();
    // More than one chunk.
    assert_eq!(db.execute_many(insert, rows(10_100)).await.unwrap(), 10_100);
    assert_eq!(statements(&db, "bulk_chunks.t").await, 10_100);
}

#[tokio::test]
async fn the_search_path_says_which_table_is_looked_at() {
    let url = server!();
    let db = schema(&url, "bulk_path").await;
    db.execute_script("CREATE TABLE bulk_path.paths (id int, n int); CREATE TEMPORARY TABLE paths (id int, n int)")
        .await
        .unwrap();
    let conn = pool(&url).acquire().await.unwrap();
    conn.execute("SET search_path = bulk_path", ()).await.unwrap();
    let insert = "INSERT INTO paths VALUES (:id, :n)";
    let rows = || (0..30).map(|id| params! { id, n: -1 });
    assert_eq!(conn.execute_many(insert, rows()).await.unwrap(), 30);
    conn.execute_script(
        "CREATE TEMPORARY TABLE paths (id int, n int); CREATE FUNCTION pg_temp.f() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN SELECT count(*) INTO NEW.n FROM pg_temp.paths; RETURN NEW; END'; \
         CREATE TRIGGER g BEFORE INSERT ON paths FOR EACH ROW EXECUTE FUNCTION pg_temp.f()",
    )
    .await
    .unwrap();
    assert_eq!(conn.execute_many(insert, rows()).await.unwrap(), 30);
    assert_eq!(conn.fetch_val::<i32>("SELECT max(n) FROM pg_temp.paths", ()).await.unwrap(), 29);
}

/// A row of many types; every fourth value is NULL.
fn row(id: i32) -> Params<'static> {
    let null = |column: i32, value: Value| if (id + column) % 4 == 0 { Value::Null } else { value };
    let text = |value: String| Value::Text(value);
    let array = |items: Vec<Value>, kind| Value::Array(Box::new(Array::new(items, kind)));
    Params::new()
        .with("id", id)
        .with("a", null(1, array(vec![Value::Int(id.into()), Value::Null], ValueKind::Int32)))
        .with("b", null(2, text(format!("é\\\"{{{id}'"))))
        .with("c", null(3, text(["sad", "ok"][id as usize % 2].into())))
        .with("d", null(0, Value::Decimal(format!("{id}.50").parse().unwrap())))
        .with("e", null(1, text(format!("10.0.0.{}", id % 250))))
        .with("f", null(2, text(format!("{{\"k\": {id}}}"))))
        .with("g", null(3, Value::Int(i64::from(id) + 10)))
        .with("h", null(0, Value::Bytes(vec![0, id as u8, 255])))
        .with("i", null(1, text(if id % 3 == 0 { "yesterday".into() } else { format!("2024-02-{:02}", id % 28 + 1) })))
        .with("j", null(2, Value::Array(Box::new(Array::record(vec![Value::Int(id.into()), text("x".into())])))))
        .with("k", null(3, text(format!("[{id},{})", id + 2))))
        .with("l", null(0, Value::Int(id.into())))
}

const NAMES: [&str; 13] = ["id", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

#[tokio::test]
async fn values_of_every_type_arrive_as_they_do_one_by_one() {
    let url = server!();
    let db = schema(&url, "bulk_types").await;
    db.execute_script(
        "CREATE TYPE bulk_types.\"Mood\" AS ENUM ('sad', 'ok'); CREATE DOMAIN bulk_types.big AS int CHECK (VALUE > 9); \
         CREATE TYPE bulk_types.pair AS (n int, s text)",
    )
    .await
    .unwrap();
    let columns = "id int, a int[], b varchar(30), c bulk_types.\"Mood\", d numeric(9, 3), e inet, f jsonb, g bulk_types.big, \
                   h bytea, i date, j bulk_types.pair, k int4range, l text";
    // All at once and each by itself, which may go as an array where its neighbour may not.
    let sets = std::iter::once(NAMES.to_vec()).chain(NAMES[1..].iter().map(|name| vec!["id", name]));
    for names in sets {
        let mut found = Vec::new();
        let list = names.join(", ");
        for (table, many) in [("bulk_types.many", true), ("bulk_types.one", false)] {
            db.execute_script(&format!("DROP TABLE IF EXISTS {table}; CREATE TABLE {table} ({columns})"))
                .await
                .unwrap();
            let insert = format!("INSERT INTO {table} ({list}) VALUES (:{})", names.join(", :"));
            let rows = (0..70).map(row);
            let query = databases_core::sql(&insert).allow_unused();
            if many {
                assert_eq!(db.execute_many(query, rows).await.unwrap(), 70, "{insert}");
            } else {
                for row in rows {
                    db.execute(databases_core::sql(&insert).allow_unused(), row).await.unwrap();
                }
            }
            let all: Vec<(String,)> =
                db.fetch_all(format!("SELECT t::text FROM {table} AS t ORDER BY id"), ()).await.unwrap();
            found.push(all);
        }
        assert_eq!(found[0], found[1], "{list}");
        assert!(statements(&db, "bulk_types.many").await <= 5, "{list}");
    }
}

#[tokio::test]
async fn an_upsert_that_meets_its_own_rows_goes_one_by_one() {
    let url = server!();
    let db = schema(&url, "bulk_own").await;
    db.execute("CREATE TABLE bulk_own.t (id int PRIMARY KEY, n int)", ()).await.unwrap();
    let insert = "INSERT INTO bulk_own.t VALUES (:id, 1) ON CONFLICT (id) DO UPDATE SET n = t.n + EXCLUDED.n";
    let rows = |count: i32, keys: i32| (0..count).map(move |id| params! { id: id % keys });
    assert_eq!(db.execute_many(insert, rows(100, 100)).await.unwrap(), 100);
    // VALUES, for the literal, in powers of two.
    assert_eq!(statements(&db, "bulk_own.t").await, 3);
    assert_eq!(db.execute_many(insert, rows(100, 10)).await.unwrap(), 100);
    let sum: i64 = db.fetch_val("SELECT sum(n) FROM bulk_own.t WHERE id < 10", ()).await.unwrap();
    assert_eq!(sum, 110);
}

#[tokio::test]
async fn an_error_is_that_of_the_one_row() {
    let url = server!();
    let db = schema(&url, "bulk_error").await;
    db.execute("CREATE TABLE bulk_error.t (id int PRIMARY KEY, body varchar(3))", ()).await.unwrap();
    let insert = "INSERT INTO bulk_error.t (id, body)\nVALUES (:id, :body)";
    let rows = |bad: i32| (0..200).map(move |id| params! { id, body: if id == bad { "long text" } else { "abc" } });
    let error = db.execute_many(insert, rows(123)).await.unwrap_err();
    assert_eq!((error.code(), error.batch_index()), (Some("22001"), Some(123)), "{error:?}");
    let rows =
        (0..200).map(|id| params! { id, body: if id == 99 { Value::Bytes(vec![1]) } else { Value::Text("a".into()) } });
    let error = db.execute_many(insert, rows).await.unwrap_err();
    assert_eq!(error.batch_index(), Some(99), "{error:?}");
    let missing = "INSERT INTO bulk_error.t (id, nothing) VALUES (:id, :body)";
    let error = db.execute_many(missing, (0..20).map(|id| params! { id, body: "x" })).await.unwrap_err();
    assert_eq!((error.kind(), error.line_col()), (ErrorKind::UndefinedColumn, Some((1, 31))), "{error:?}");
    assert_eq!(db.fetch_val::<i64>("SELECT count(*) FROM bulk_error.t", ()).await.unwrap(), 0);
}

#[tokio::test]
async fn an_identity_of_the_servers_own_is_given_only_where_it_is_overridden() {
    let url = server!();
    let db = schema(&url, "bulk_identity").await;
    let t = "bulk_identity.t";
    let create = format!("CREATE TABLE {t} (id int GENERATED ALWAYS AS IDENTITY, n int)");
    let insert = |overriding: &str| format!("INSERT INTO {t} (id, n) {overriding} VALUES (:id, :n)");
    // The last are enough for a COPY, which would take them.
    for count in [3, 100, 15_000] {
        db.execute_script(&format!("DROP TABLE IF EXISTS {t}; {create}")).await.unwrap();
        let rows = || (0..count).map(|n| params! { id: 1_000_000 + n, n });
        for _ in 0..2 {
            let error = db.execute_many(insert(""), rows()).await.unwrap_err();
            assert_eq!((error.code(), error.batch_index()), (Some("428C9"), Some(0)), "{error:?}");
        }
        assert_eq!(db.execute_many(insert("OVERRIDING SYSTEM VALUE"), rows()).await.unwrap(), count as u64);
        let same = format!("SELECT count(*) FROM {t} WHERE id = 1000000 + n");
        assert_eq!(db.fetch_val::<i64>(&same, ()).await.unwrap(), i64::from(count));
        db.execute(format!("DELETE FROM {t}"), ()).await.unwrap();
        assert_eq!(db.execute_many(insert("OVERRIDING USER VALUE"), rows()).await.unwrap(), count as u64);
        let in_turn = format!("SELECT count(*) FROM {t} WHERE id = 1 + n");
        assert_eq!(db.fetch_val::<i64>(&in_turn, ()).await.unwrap(), i64::from(count));
    }
}

#[tokio::test]
async fn statements_that_are_not_kept_go_together_too() {
    let url = server!();
    let db = schema(&url, "bulk_unkept").await;
    db.execute("CREATE TABLE bulk_unkept.t (id int)", ()).await.unwrap();
    let insert = databases_core::sql("INSERT INTO bulk_unkept.t VALUES (:id)").prepared(false);
    assert_eq!(db.execute_many(insert, (0..500).map(|id| params! { id })).await.unwrap(), 500);
    assert_eq!(statements(&db, "bulk_unkept.t").await, 1);
}

// The thread that never yields must not be the one that waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_go_in_after_a_column_of_their_table_has_another_type() {
    let url = server!();
    let db = schema(&url, "bulk_anew").await;
    let insert = "INSERT INTO bulk_anew.t (a, b) VALUES (:a, :b)";
    db.execute("CREATE TABLE bulk_anew.t (a text, b int)", ()).await.unwrap();
    db.execute(insert, params! { a: "x", b: 0 }).await.unwrap();
    db.execute("ALTER TABLE bulk_anew.t ALTER b TYPE text", ()).await.unwrap();
    // By what is kept only `a` is text, so only its type is told; prepared so, `b` is text as well.
    let rows = (1..=20).map(|a| params! { a, b: None::<i64> });
    let many = tokio::time::timeout(Duration::from_secs(20), async {
        tokio::task::spawn(async move { db.execute_many(insert, rows).await.map(|rows| (rows, db)) }).await.unwrap()
    });
    let (rows, db) = many.await.expect("it never ends").unwrap();
    assert_eq!(rows, 20);
    let sum: i64 = db.fetch_val("SELECT sum(a::int) FROM bulk_anew.t WHERE b IS NULL AND a <> 'x'", ()).await.unwrap();
    assert_eq!(sum, 210);
}
