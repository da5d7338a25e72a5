//! COPY from the client: bytes in a format of the server's, and rows.

mod support;

use std::time::Duration;

use databases_core::conformance::proxy::{Direction, Mode, Protocol, Proxy};
use databases_core::url::DatabaseUrl;
use databases_core::{Effect, ErrorKind, Executor, Params, Pool, PoolConfig, PoolOptions, Value, params};
use databases_postgres::Postgres;

async fn pool(url: &str, table: &str, columns: &str) -> Pool {
    let url: DatabaseUrl = url.parse().unwrap();
    let config = PoolConfig::from_url(&Postgres, &url, |options| options.max_connections = Some(1)).unwrap();
    let db = Pool::new(config).unwrap();
    db.execute_script(&format!("DROP TABLE IF EXISTS {table}; CREATE TABLE {table} ({columns})")).await.unwrap();
    db
}

async fn count(db: &impl Executor, table: &str) -> i64 {
    db.fetch_val(format!("SELECT count(*) FROM {table}"), ()).await.unwrap()
}

#[tokio::test]
async fn bytes_are_copied_wherever_they_are_cut() {
    let url = server!();
    let db = pool(&url, "copy_bytes", "id int, body text").await;
    let mut copy = db.copy_in("COPY copy_bytes (id, body) FROM STDIN (FORMAT csv)").await.unwrap();
    for part in ["1,a\n2", ",\"b", "\"\n", ""] {
        copy.send(part).await.unwrap();
    }
    for id in 3..30_000 {
        copy.send(format!("{id},{}\n", "x".repeat(id % 50))).await.unwrap();
    }
    assert_eq!(copy.finish().await.unwrap(), 29_999);
    assert_eq!(count(&db, "copy_bytes").await, 29_999);
    assert_eq!(db.copy_in("COPY copy_bytes FROM STDIN").await.unwrap().finish().await.unwrap(), 0);
}

#[tokio::test]
async fn a_copy_that_is_dropped_or_refused_leaves_nothing() {
    let url = server!();
    let db = pool(&url, "copy_dropped", "id int").await;
    let conn = db.acquire().await.unwrap();
    let mut copy = conn.copy_in("COPY copy_dropped FROM STDIN").await.unwrap();
    copy.send("1\n").await.unwrap();
    assert_eq!(conn.execute("SELECT 1", ()).await.unwrap_err().kind(), ErrorKind::Busy);
    drop(copy);
    assert_eq!(count(&conn, "copy_dropped").await, 0);
    // The server tells before all was sent that the first line is no number.
    let mut copy = conn.copy_in("COPY copy_dropped FROM STDIN").await.unwrap();
    let mut sent = copy.send("one\n").await;
    for _ in 0..1_000 {
        if sent.is_err() {
            break;
        }
        sent = copy.send("2\n".repeat(10_000)).await;
        tokio::task::yield_now().await;
    }
    let error = sent.unwrap_err();
    assert_eq!(error.code(), Some("22P02"), "{error:?}");
    assert!(copy.send("3\n").await.is_err());
    assert!(copy.finish().await.is_err());
    let mut copy = conn.copy_in("COPY copy_dropped FROM STDIN").await.unwrap();
    copy.send("one\n").await.unwrap();
    assert_eq!(copy.finish().await.unwrap_err().code(), Some("22P02"));
    assert_eq!(count(&conn, "copy_dropped").await, 0);
    for wrong in ["SELECT 1", "COPY copy_dropped TO STDOUT", "INSERT INTO copy_dropped VALUES (1)"] {
        assert_eq!(conn.copy_in(wrong).await.unwrap_err().kind(), ErrorKind::Unsupported, "{wrong}");
    }
    assert_eq!(conn.execute("COPY copy_dropped FROM STDIN", ()).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(conn.copy_rows("copy_dropped", ["id"], [params! { id: 5 }]).await.unwrap(), 1);
    assert_eq!(count(&conn, "copy_dropped").await, 1);
    // The driver loses its place behind this one.
    assert_eq!(conn.copy_in("COPY nowhere FROM STDIN").await.unwrap_err().kind(), ErrorKind::UndefinedTable);
    assert_eq!(conn.execute("SELECT 1", ()).await.unwrap_err().kind(), ErrorKind::Disconnected);
    drop(conn);
    assert_eq!(count(&db, "copy_dropped").await, 1);
}

#[tokio::test]
async fn a_copy_that_is_dropped_is_told_to_the_server_as_one_that_failed() {
    let url = server!();
    let observer = pool(&url, "copy_failed", "id int").await;
    let url: DatabaseUrl = url.parse().unwrap();
    let proxy = Proxy::start(&url, Protocol::Postgres).await.unwrap();
    let behind = |options: &mut PoolOptions| options.max_connections = Some(1);
    let db = Pool::new(PoolConfig::from_url(&Postgres, &proxy.url(&url).unwrap(), behind).unwrap()).unwrap();
    let pid: i32 = db.fetch_val("SELECT pg_backend_pid()", ()).await.unwrap();
    let told = async |done: &str| {
        // It is behind the end of the copy, on the same connection.
        assert_eq!(db.fetch_val::<i32>("SELECT pg_backend_pid()", ()).await.unwrap(), pid, "{done}");
        let traffic = proxy.take_traffic();
        // CopyFail, CopyDone.
        (traffic.count(Direction::Up, b'f'), traffic.count(Direction::Up, b'c'))
    };
    let text = "COPY copy_failed FROM STDIN";
    let mut copy = db.copy_in(text).await.unwrap();
    copy.send("1\n").await.unwrap();
    assert_eq!(copy.finish().await.unwrap(), 1);
    assert_eq!(told("finished").await, (0, 1));
    for sent in ["", "2\n", "2\n3", &"4\n".repeat(100_000)] {
        let mut copy = db.copy_in(text).await.unwrap();
        copy.send(sent.to_owned()).await.unwrap();
        drop(copy);
        assert_eq!(told("dropped").await, (1, 0), "behind {} bytes", sent.len());
        let tx = db.begin().await.unwrap();
        let mut copy = tx.copy_in(text).await.unwrap();
        copy.send(sent.to_owned()).await.unwrap();
        drop(copy);
        drop(tx);
        assert_eq!(told("dropped in a transaction").await, (1, 0), "behind {} bytes", sent.len());
    }
    let rows = (0..10).map(|id| params! { id: if id < 9 { Value::Int(id) } else { Value::Text("x".into()) } });
    assert_eq!(db.copy_rows("copy_failed", ["id"], rows).await.unwrap_err().kind(), ErrorKind::Encode);
    assert_eq!(told("rows that do not fit").await, (1, 0));
    assert_eq!(count(&observer, "copy_failed").await, 1);
}

#[tokio::test]
async fn a_copy_is_part_of_its_transaction() {
    let url = server!();
    let db = pool(&url, "copy_tx", "id int PRIMARY KEY").await;
    let tx = db.begin().await.unwrap();
    let mut copy = tx.copy_in("COPY copy_tx FROM STDIN").await.unwrap();
    copy.send("1\n2\n").await.unwrap();
    assert_eq!(tx.execute("SELECT 1", ()).await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(copy.finish().await.unwrap(), 2);
    // Rows that are refused undo themselves and nothing else.
    let error = tx.copy_rows("copy_tx", ["id"], (2..500).map(|id| params! { id })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UniqueViolation);
    let error = tx.copy_rows("copy_tx", ["id"], [params! { id: 7 }, params! { id: "x" }]).await.unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::Encode, Some(1)), "{error:?}");
    assert_eq!(tx.copy_rows("copy_tx", ["id"], (3..500).map(|id| params! { id })).await.unwrap(), 497);
    assert_eq!(count(&tx, "copy_tx").await, 499);
    tx.commit().await.unwrap();
    let tx = db.begin().await.unwrap();
    let mut copy = tx.copy_in("COPY copy_tx FROM STDIN").await.unwrap();
    copy.send("1000\n").await.unwrap();
    drop(copy);
    assert_eq!(tx.execute("SELECT 1", ()).await.unwrap_err().kind(), ErrorKind::TransactionFailed);
    tx.rollback().await.unwrap();
    assert_eq!(count(&db, "copy_tx").await, 499);
}

#[tokio::test]
async fn rows_are_copied_in_the_types_of_their_columns() {
    let url = server!();
    let columns = "id bigint GENERATED ALWAYS AS IDENTITY, \"Odd name\" text, small smallint, amount numeric(9, 2), \
                   moment timestamptz, bytes bytea, tags text[], address inet, c int DEFAULT 9";
    let db = pool(&url, "copy_types", columns).await;
    let names = ["id", "small", "Odd name", "amount", "moment", "bytes", "tags"];
    let row = |id: i64| {
        let text = Some(format!("é\t\\.{id}")).filter(|_| id % 3 > 0);
        let amount: databases_core::types::Decimal = format!("{id}.25").parse().unwrap();
        // In another order than the columns.
        params! { id, small: id % 100, amount, moment: "2024-02-29T12:00:00Z", bytes: vec![id as u8, 0], tags: ["a", "b"] }
            .with("Odd name", text)
    };
    assert_eq!(db.copy_rows("copy_types", names, (1..=20_000).map(row)).await.unwrap(), 20_000);
    let found: (i64, Option<String>, String, i32, String) = db
        .fetch_one("SELECT small::bigint, \"Odd name\", amount::text, c, moment::text || tags::text FROM copy_types WHERE id = 19999", ())
        .await
        .unwrap();
    let text = Some("é\t\\.19999".to_owned());
    assert_eq!(found, (99, text, "19999.25".into(), 9, "2024-02-29 12:00:00+00{a,b}".into()));
    let refused = async |names: &[&str], row: Params<'static>| {
        let rows = [params! { id: 1 }, row].into_iter().skip(1);
        let error = db.copy_rows("copy_types", names.iter().copied(), rows).await.unwrap_err();
        (error.kind(), error.batch_index(), error.to_string())
    };
    let (kind, index, message) = refused(&["id", "small"], params! { id: 1, small: 70_000 }).await;
    assert_eq!((kind, index), (ErrorKind::Encode, Some(0)));
    assert!(message.starts_with("column `small`: ") && !message.contains("70000"), "{message}");
    let (kind, index, message) = refused(&["id", "small"], params! { id: 1 }).await;
    assert_eq!((kind, index), (ErrorKind::Parameters, Some(0)));
    assert_eq!(message, "the row has no value for the column `small`");
    let (kind, _, message) = refused(&["address"], params! { address: "10.0.0.1" }).await;
    assert_eq!(kind, ErrorKind::Encode);
    assert!(message.contains("column `address`"), "{message}");
    assert_eq!(refused(&["nothing"], params! { nothing: Value::Null }).await.0, ErrorKind::UndefinedColumn);
    assert_eq!(count(&db, "copy_types").await, 20_000);
    let none: [Params<'static>; 0] = [];
    assert_eq!(db.copy_rows("no_such_table", ["a"], none).await.unwrap(), 0);
}

#[tokio::test]
async fn copied_rows_are_pulled_as_they_are_sent_and_a_timeout_stops_them() {
    let url = server!();
    let db = pool(&url, "copy_endless", "id int").await;
    let rows = (0..).map(|id: i32| params! { id: id % 1_000 });
    let copying = db.copy_rows("copy_endless", ["id"], rows);
    assert!(tokio::time::timeout(Duration::from_millis(200), copying).await.is_err());
    assert_eq!(count(&db, "copy_endless").await, 0);
}

#[tokio::test]
async fn a_copy_that_fails_at_its_commit_is_told() {
    let url = server!();
    let db = pool(&url, "copy_deferred", "id int UNIQUE DEFERRABLE INITIALLY DEFERRED").await;
    let pid: i32 = db.fetch_val("SELECT pg_backend_pid()", ()).await.unwrap();
    let error = db.copy_rows("copy_deferred", ["id"], [1, 2, 1].map(|id| params! { id })).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::UniqueViolation, Effect::RolledBack), "{error:?}");
    let mut copy = db.copy_in("COPY copy_deferred FROM STDIN").await.unwrap();
    copy.send("3\n3\n").await.unwrap();
    assert_eq!(copy.finish().await.unwrap_err().kind(), ErrorKind::UniqueViolation);
    assert_eq!(count(&db, "copy_deferred").await, 0);
    assert_eq!(db.copy_rows("copy_deferred", ["id"], [params! { id: 4 }]).await.unwrap(), 1);
    assert_eq!(db.fetch_val::<i32>("SELECT pg_backend_pid()", ()).await.unwrap(), pid);
}

#[tokio::test]
async fn columns_that_got_another_type_are_copied_in_it() {
    let url = server!();
    let db = pool(&url, "copy_altered", "n int8").await;
    let other = pool(&url, "copy_altered_not", "n int8").await;
    let row = || [params! { n: 2 }];
    db.copy_rows("copy_altered", ["n"], row()).await.unwrap();
    // As many bytes, read as something else.
    other.execute("ALTER TABLE copy_altered ALTER n TYPE float8", ()).await.unwrap();
    db.copy_rows("copy_altered", ["n"], row()).await.unwrap();
    let found: Vec<(f64,)> = db.fetch_all("SELECT n FROM copy_altered", ()).await.unwrap();
    assert_eq!(found, [(2.0,), (2.0,)]);
    let conn = db.acquire().await.unwrap();
    conn.execute("CREATE TEMPORARY TABLE copy_altered (n timestamptz)", ()).await.unwrap();
    assert_eq!(conn.copy_rows("copy_altered", ["n"], row()).await.unwrap_err().kind(), ErrorKind::Encode);
}

#[tokio::test]
async fn a_copy_that_is_dropped_at_its_end_dooms_its_transaction() {
    let url = server!();
    let db = pool(&url, "copy_ending", "id int").await;
    let tx = db.begin().await.unwrap();
    let mut copy = tx.copy_in("COPY copy_ending FROM STDIN").await.unwrap();
    copy.send("1\n").await.unwrap();
    // One poll: enough to tell the server that this was all.
    tokio::select! {
        biased;
        copied = copy.finish() => panic!("without an answer of the server: {copied:?}"),
        () = std::future::ready(()) => {}
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(tx.execute("SELECT 1", ()).await.unwrap_err().kind(), ErrorKind::TransactionEnded);
    assert!(tx.commit().await.is_err());
    assert_eq!(count(&db, "copy_ending").await, 0);
}

#[tokio::test]
async fn a_copy_that_is_dropped_before_it_starts_costs_its_connection() {
    let url = server!();
    let other = pool(&url, "copy_locked", "id int").await;
    let parsed: DatabaseUrl = url.parse().unwrap();
    let proxy = Proxy::start(&parsed, Protocol::Postgres).await.unwrap();
    let db = pool(&proxy.url(&parsed).unwrap().expose(), "copy_locked_not", "id int").await;
    let wait = Duration::from_secs(1);
    let pid = "SELECT pg_backend_pid()";
    for acquired in [false, true] {
        let before: i32 = db.fetch_val(pid, ()).await.unwrap();
        // A ReadyForQuery at a time, so that the next statement is on its way before the last of them is there.
        proxy.set(Mode::Drip { bytes: 6, every: Duration::from_millis(5) });
        let lock = other.begin().await.unwrap();
        lock.execute("LOCK TABLE copy_locked", ()).await.unwrap();
        if acquired {
            let conn = db.acquire().await.unwrap();
            assert!(tokio::time::timeout(wait, conn.copy_in("COPY copy_locked FROM STDIN")).await.is_err());
            assert_eq!(conn.execute("SELECT 1", ()).await.unwrap_err().kind(), ErrorKind::Disconnected);
        } else {
            assert!(tokio::time::timeout(wait, db.copy_in("COPY copy_locked FROM STDIN")).await.is_err());
        }
        assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await.unwrap(), 1);
        proxy.set(Mode::Pass);
        for n in 0..20_i64 {
            assert_eq!(db.fetch_val::<i64>("SELECT :n + 0", params! { n }).await.unwrap(), n);
        }
        assert_ne!(db.fetch_val::<i32>(pid, ()).await.unwrap(), before);
        // What waited for the lock was cancelled.
        let gone = "SELECT count(*) FROM pg_stat_activity WHERE pid = :pid";
        let mut left = 1;
        for _ in 0..50 {
            left = db.fetch_val::<i64>(gone, params! { pid: before }).await.unwrap();
            if left == 0 {
                break;
            }
            tokio::time::sleep(wait).await;
        }
        assert_eq!(left, 0, "acquired: {acquired}");
        lock.rollback().await.unwrap();
    }
    assert_eq!(count(&other, "copy_locked").await, 0);
}
