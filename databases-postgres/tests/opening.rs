//! BEGIN goes with the first statement: what that saves, and what must stay as it was.

mod support;

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use databases_core::conformance::proxy::{Direction, Mode, Protocol, Proxy, Traffic};
use databases_core::url::DatabaseUrl;
use databases_core::{
    Effect, ErrorKind, Executor, Isolation, Pool, PoolConfig, PoolOptions, RawExecutor, TransactionOptions, params, sql,
};
use databases_postgres::Postgres;
use futures_util::TryStreamExt as _;
use support::url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn pool(url: &DatabaseUrl, adjust: impl FnOnce(&mut PoolOptions)) -> Pool {
    let adjust = |options: &mut PoolOptions| {
        options.max_connections = Some(1);
        adjust(options);
    };
    Pool::new(PoolConfig::from_url(&Postgres, url, adjust).unwrap()).unwrap()
}

/// An empty table, and a pool that looks at it past the proxy.
async fn table(url: &DatabaseUrl, name: &str) -> Pool {
    let observer = pool(url, |_| {});
    observer.execute(format!("DROP TABLE IF EXISTS {name}"), ()).await.unwrap();
    observer.execute(format!("CREATE TABLE {name} (id bigint)"), ()).await.unwrap();
    observer
}

async fn count(db: &impl Executor, table: &str) -> i64 {
    db.fetch_val(format!("SELECT count(*) FROM {table}"), ()).await.unwrap()
}

/// A server, a proxy before it, and a pool of one connection through that.
async fn behind_proxy(adjust: impl FnOnce(&mut PoolOptions)) -> Option<(DatabaseUrl, Proxy, Pool)> {
    let url: DatabaseUrl = url()?.parse().unwrap();
    let proxy = Proxy::start(&url, Protocol::Postgres).await.unwrap();
    let db = pool(&proxy.url(&url).unwrap(), adjust);
    Some((url, proxy, db))
}

fn syncs(traffic: &Traffic) -> (usize, usize) {
    (traffic.round_trips, traffic.count(Direction::Up, b'S'))
}

#[tokio::test]
async fn a_warm_statement_is_one_round_trip_and_one_sync() {
    let Some((_, proxy, db)) = behind_proxy(|_| {}).await else { return };
    let query = async || db.fetch_val::<i64>("SELECT :n + 1", params! { n: 41_i64 }).await.unwrap();
    query().await;
    let _ = proxy.take_traffic();
    assert_eq!(query().await, 42);
    assert_eq!(syncs(&proxy.take_traffic()), (1, 1));
    let conn = db.acquire().await.unwrap();
    assert_eq!(conn.fetch_val::<i64>("SELECT :n + 1", params! { n: 41_i64 }).await.unwrap(), 42);
    drop(conn);
    query().await;
    assert_eq!(syncs(&proxy.take_traffic()), (2, 2), "taking a connection and giving it back costs nothing");
}

/// The tags of all messages that went that way.
fn tags(traffic: &Traffic, way: Direction) -> String {
    traffic.messages.iter().filter(|message| message.0 == way).map(|message| char::from(message.1)).collect()
}

#[tokio::test]
async fn a_warm_statement_is_bind_execute_and_sync_and_nothing_else() {
    let Some((url, proxy, db)) = behind_proxy(|_| {}).await else { return };
    let observer = table(&url, "pgo_exact").await;
    let (read, write) = ("SELECT n FROM generate_series(1, :n) AS n", "INSERT INTO pgo_exact VALUES (:n)");
    let none = "SELECT id FROM pgo_exact WHERE id = :n";
    let params = || params! { n: 2_i64 };
    let run = async |db: &dyn RawExecutor| {
        db.fetch_val::<i64>(read, params()).await.unwrap();
        assert_eq!(db.fetch_all::<(i64,)>(read, params()).await.unwrap(), [(1,), (2,)]);
        assert_eq!(db.fetch_optional::<(i64,)>(none, params! { n: -1_i64 }).await.unwrap(), None);
        assert_eq!(db.execute(write, params()).await.unwrap().rows_affected(), 1);
    };
    for _ in 0..2 {
        run(&db).await;
    }
    // BindComplete, the rows, CommandComplete, ReadyForQuery.
    let answers = "2DDCZ2DDCZ2CZ2CZ";
    let _ = proxy.take_traffic();
    run(&db).await;
    let traffic = proxy.take_traffic();
    assert_eq!(tags(&traffic, Direction::Up), "BES".repeat(4));
    assert_eq!(tags(&traffic, Direction::Down), answers);

    // To take a connection and to give it back adds no message, however often.
    for _ in 0..3 {
        let conn = db.acquire().await.unwrap();
        run(&conn).await;
    }
    drop(db.acquire().await.unwrap());
    run(&db).await;
    let traffic = proxy.take_traffic();
    assert_eq!(tags(&traffic, Direction::Up), "BES".repeat(16));
    assert_eq!(tags(&traffic, Direction::Down), answers.repeat(4));

    // A transaction adds BEGIN, which goes with the first, and COMMIT; a stream is one statement as well.
    let tx = db.begin().await.unwrap();
    run(&tx).await;
    tx.commit().await.unwrap();
    let traffic = proxy.take_traffic();
    assert_eq!(tags(&traffic, Direction::Up), format!("Q{}Q", "BES".repeat(4)));
    assert_eq!(tags(&traffic, Direction::Down), format!("CZ{answers}CZ"));
    let rows: Vec<(i64,)> = db.iterate::<(i64,)>(read, params()).try_collect().await.unwrap();
    assert_eq!(rows, [(1,), (2,)]);
    let traffic = proxy.take_traffic();
    assert_eq!((tags(&traffic, Direction::Up), tags(&traffic, Direction::Down)), ("BES".into(), "2DDCZ".into()));
    assert_eq!(count(&observer, "pgo_exact").await, 8);
}

#[tokio::test]
async fn a_first_statement_without_parameters_whose_rows_nobody_wants_is_one_round_trip() {
    let Some((url, proxy, db)) = behind_proxy(|_| {}).await else { return };
    let observer = table(&url, "pgo_first").await;
    db.connect().await.unwrap();
    let insert = "INSERT INTO pgo_first SELECT generate_series(1, 3)";
    let kept = async |most: usize| {
        let _ = proxy.take_traffic();
        assert_eq!(db.execute(insert, ()).await.unwrap().rows_affected(), 3);
        let traffic = proxy.take_traffic();
        let trips = syncs(&traffic);
        assert_eq!(trips, (most, most));
        traffic.count(Direction::Up, b'P')
    };
    assert_eq!(kept(1).await, 1);
    // A text that comes again is worth preparing.
    assert_eq!(kept(2).await, 1);
    assert_eq!(kept(1).await, 0);
    let _ = proxy.take_traffic();
    for _ in 0..3 {
        db.execute(sql(insert).prepared(false), ()).await.unwrap();
    }
    assert_eq!(syncs(&proxy.take_traffic()), (3, 3));
    // What has rows is prepared: some have no binary form.
    let returning = "INSERT INTO pgo_first VALUES (7), (8) RETURNING id, (SELECT relacl FROM pg_class LIMIT 1)";
    let _ = proxy.take_traffic();
    assert_eq!(db.execute(returning, ()).await.unwrap().rows_affected(), 2);
    assert!(proxy.take_traffic().round_trips >= 2);
    assert_eq!(count(&observer, "pgo_first").await, 3 * 6 + 2);
    // So is what has a parameter of the server's, which is found out without harm.
    let tx = db.begin().await.unwrap();
    let error = tx.execute("DELETE FROM pgo_first WHERE id = $1", ()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Parameters, Effect::NotSent), "{error:?}");
    tx.rollback().await.unwrap();

    // In a transaction BEGIN goes with it, and its error is one of the transaction.
    let _ = proxy.take_traffic();
    let tx = db.begin().await.unwrap();
    tx.execute("DELETE FROM pgo_first", ()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(proxy.take_traffic().count(Direction::Up, b'S'), 1);
    assert_eq!(count(&observer, "pgo_first").await, 0);
    let tx = db.begin().await.unwrap();
    let error = tx.execute("INSERT INTO pgo_first\nVALUES (1, 2)", ()).await.unwrap_err();
    assert_eq!((error.kind(), error.line_col()), (ErrorKind::Syntax, Some((2, 12))), "{error:?}");
    let error = tx.execute("DELETE FROM pgo_first", ()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::TransactionFailed, Effect::NotSent));
    assert_eq!(tx.commit().await.unwrap_err().kind(), ErrorKind::TransactionFailed);
    db.execute("DELETE FROM pgo_first", ()).await.unwrap();
}

#[tokio::test]
async fn a_transaction_of_one_statement_is_two_round_trips() {
    let Some((url, proxy, db)) = behind_proxy(|_| {}).await else { return };
    let observer = table(&url, "pgo_trips").await;
    let insert = "INSERT INTO pgo_trips VALUES (:id)";
    db.connect().await.unwrap();
    // An early answer to the first of what was sent together counts as a round trip too, so the least of some runs counts.
    let mut least = [usize::MAX; 2];
    for id in 1..=8_i64 {
        let _ = proxy.take_traffic();
        let tx = db.begin().await.unwrap();
        tx.execute(insert, params! { id }).await.unwrap();
        assert_eq!(count(&observer, "pgo_trips").await, id - 1);
        tx.commit().await.unwrap();
        let trips = proxy.take_traffic().round_trips;
        // The first time the text is prepared, before the transaction.
        let least = &mut least[usize::from(id > 1)];
        *least = trips.min(*least);
        assert_eq!(count(&observer, "pgo_trips").await, id);
    }
    assert_eq!(least[1], 2, "the first time {}", least[0]);
    let rows = (9..=11_i64).map(|id| params! { id });
    db.execute_many(insert, rows).await.unwrap();
    assert_eq!(count(&observer, "pgo_trips").await, 11);
}

#[tokio::test]
async fn a_transaction_without_a_statement_sends_nothing() {
    let Some((_, proxy, db)) = behind_proxy(|_| {}).await else { return };
    db.connect().await.unwrap();
    let _ = proxy.take_traffic();
    db.begin().await.unwrap().commit().await.unwrap();
    db.begin().await.unwrap().rollback().await.unwrap();
    drop(db.begin().await.unwrap());
    let conn = db.acquire().await.unwrap();
    drop(conn.begin().await.unwrap());
    conn.begin().await.unwrap().commit().await.unwrap();
    drop(conn);
    assert_eq!(proxy.take_traffic(), Traffic::default());
    assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await.unwrap(), 1);
    let options = TransactionOptions::new().deferrable(true);
    let error = db.begin_with(options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "what is never right is said at once");
}

#[tokio::test]
async fn options_apply_to_the_first_statement() {
    let Some((_, _proxy, db)) = behind_proxy(|_| {}).await else { return };
    let strict = TransactionOptions::new().isolation(Isolation::Serializable).read_only(true);
    let tx = db.begin_with(strict).await.unwrap();
    let found: (String, String) = tx
        .fetch_one("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')", ())
        .await
        .unwrap();
    assert_eq!(found, ("serializable".into(), "on".into()));
    tx.rollback().await.unwrap();
    let tx = db.begin_with(TransactionOptions::new().read_only(true)).await.unwrap();
    let error = tx.execute("CREATE TABLE pgo_never (id int)", ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
}

#[tokio::test]
async fn first_statements_that_run_together_are_both_in_the_transaction() {
    let Some((url, proxy, db)) = behind_proxy(|_| {}).await else { return };
    let observer = table(&url, "pgo_joined").await;
    let insert = "INSERT INTO pgo_joined VALUES (:id)";
    for prepared in [false, true] {
        let tx = db.begin().await.unwrap();
        let _ = proxy.take_traffic();
        let one = tx.execute(insert, params! { id: 1_i64 });
        let two = tx.execute(insert, params! { id: 2_i64 });
        let (one, two) = tokio::join!(one, two);
        assert_eq!((one.unwrap().rows_affected(), two.unwrap().rows_affected()), (1, 1));
        let begins = proxy.take_traffic().count(Direction::Up, b'Q');
        assert_eq!(begins, 1, "prepared before: {prepared}");
        tx.rollback().await.unwrap();
        assert_eq!(count(&observer, "pgo_joined").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn first_statements_of_two_threads_are_both_in_the_transaction() {
    let Some(url) = url() else { return };
    let url: DatabaseUrl = url.parse().unwrap();
    let observer = table(&url, "pgo_threads").await;
    let db = pool(&url, |_| {});
    let insert = "INSERT INTO pgo_threads VALUES (:id)";
    db.execute(insert, params! { id: 0_i64 }).await.unwrap();
    for _ in 0..2_000 {
        let tx = Arc::new(db.begin().await.unwrap());
        let meet = Arc::new(Barrier::new(2));
        let task = |id: i64| {
            let (tx, meet) = (tx.clone(), meet.clone());
            tokio::spawn(async move {
                meet.wait();
                tx.execute(insert, params! { id }).await.unwrap();
            })
        };
        let tasks = [task(1), task(2)];
        for task in tasks {
            task.await.unwrap();
        }
        Arc::into_inner(tx).unwrap().rollback().await.unwrap();
    }
    assert_eq!(count(&observer, "pgo_threads").await, 1);
}

#[tokio::test]
async fn a_first_statement_that_is_not_prepared_fails_its_transaction() {
    let Some((url, proxy, db)) = behind_proxy(|_| {}).await else { return };
    let observer = table(&url, "pgo_failed").await;
    let wrong = "INSERT INTO pgo_missing VALUES (:id)";
    let tx = db.begin().await.unwrap();
    let error = tx.execute(wrong, params! { id: 1 }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UndefinedTable);
    let _ = proxy.take_traffic();
    for _ in 0..2 {
        let error = tx.execute("INSERT INTO pgo_failed VALUES (1)", ()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TransactionFailed);
    }
    assert_eq!(tx.begin().await.unwrap_err().kind(), ErrorKind::TransactionFailed);
    assert_eq!(tx.commit().await.unwrap_err().kind(), ErrorKind::TransactionFailed);
    assert_eq!(proxy.take_traffic(), Traffic::default(), "the server never heard of the transaction");

    // Beside one that works.
    let right = "INSERT INTO pgo_failed VALUES (2)";
    db.execute(right, ()).await.unwrap();
    let tx = db.begin().await.unwrap();
    let (wrong, right) = tokio::join!(tx.execute(wrong, params! { id: 1 }), tx.execute(right, ()));
    assert_eq!(wrong.unwrap_err().kind(), ErrorKind::UndefinedTable);
    // It was sent before the other's answer came, or was refused.
    assert!(right.is_ok() || right.is_err_and(|error| error.kind() == ErrorKind::TransactionFailed));
    assert_eq!(tx.commit().await.unwrap_err().kind(), ErrorKind::TransactionFailed);
    assert_eq!(count(&observer, "pgo_failed").await, 1);
    let tx = db.begin().await.unwrap();
    tx.execute("INSERT INTO pgo_failed VALUES (2)", ()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&observer, "pgo_failed").await, 2, "the next transaction has not failed");
}

#[tokio::test]
async fn a_savepoint_or_a_stream_may_come_first() {
    let Some((url, proxy, db)) = behind_proxy(|_| {}).await else { return };
    let observer = table(&url, "pgo_nested").await;
    let tx = db.begin().await.unwrap();
    let _ = proxy.take_traffic();
    let nested = tx.begin().await.unwrap();
    assert_eq!(proxy.take_traffic().round_trips, 1, "BEGIN goes with SAVEPOINT");
    nested.execute("INSERT INTO pgo_nested VALUES (1)", ()).await.unwrap();
    nested.rollback().await.unwrap();
    tx.execute("INSERT INTO pgo_nested VALUES (2)", ()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&observer, "pgo_nested").await, 1);
    let tx = db.begin().await.unwrap();
    let rows: Vec<_> = tx.iterate::<(i64,)>("DELETE FROM pgo_nested RETURNING id", ()).try_collect().await.unwrap();
    assert_eq!(rows, [(2,)]);
    tx.rollback().await.unwrap();
    let tx = db.begin().await.unwrap();
    tx.execute_script("DELETE FROM pgo_nested; DELETE FROM pgo_nested").await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(count(&observer, "pgo_nested").await, 1);
}

#[tokio::test]
async fn a_first_statement_is_stopped_behind_its_begin_and_never_with_it() {
    let limits = |options: &mut PoolOptions| options.close_timeout = Duration::from_millis(400);
    let Some((url, proxy, db)) = behind_proxy(limits).await else { return };
    let observer = table(&url, "pgo_stopped").await;
    let slow = "WITH put AS (INSERT INTO pgo_stopped VALUES (1)) SELECT pg_sleep(:s)";
    for first in [true, false] {
        let tx = db.begin().await.unwrap();
        let started = Instant::now();
        let call = sql(slow).timeout(Duration::from_millis(100));
        let error = tx.execute(call, params! { s: 20.0 }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StatementTimeout, "{error:?}, for the first time: {first}");
        assert!(started.elapsed() < Duration::from_secs(5));
        assert!(tx.commit().await.is_err());
        assert_eq!(count(&observer, "pgo_stopped").await, 0);
    }

    // As long as BEGIN is not answered no cancel is sent: it could hit BEGIN, or what goes with it, prepared or not.
    let insert = "INSERT INTO pgo_stopped VALUES (:id)";
    db.execute(insert, params! { id: 2 }).await.unwrap();
    for (text, params) in [(insert, params! { id: 2 }), ("INSERT INTO pgo_stopped VALUES (3)", params! {})] {
        proxy.forget_closed();
        let tx = db.begin().await.unwrap();
        proxy.set(Mode::Hold);
        let error = tx.execute(sql(text).timeout(Duration::from_millis(100)), params).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StatementTimeout, "{text}");
        assert_eq!(proxy.ports().len(), 1, "a cancel of {text} would have come by a connection of its own");
        proxy.set(Mode::Pass);
        assert!(tx.commit().await.is_err());
        assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await.unwrap(), 1);
        assert_eq!(count(&observer, "pgo_stopped").await, 1, "{text}");
    }
}

/// A proxy that sends the server `other` in place of BEGIN.
async fn without_begin(url: &DatabaseUrl, other: &'static [u8; 5]) -> DatabaseUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = format!("{}:{}", url.host().unwrap(), url.port().unwrap_or(5432));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&target).await.unwrap();
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let mut bytes = vec![0; 65_536];
                while let Ok(n @ 1..) = from_client.read(&mut bytes).await {
                    if let Some(at) = bytes[..n].windows(5).position(|window| window == b"BEGIN") {
                        bytes[at..at + 5].copy_from_slice(other);
                    }
                    to_server.write_all(&bytes[..n]).await.unwrap();
                }
                back.abort();
            });
        }
    });
    url.with_host("127.0.0.1").unwrap().with_port(port).unwrap().with_option("sslmode", "disable").unwrap()
}

#[tokio::test]
async fn a_begin_that_does_not_begin_costs_the_connection_and_is_told() {
    let Some(url) = url() else { return };
    let url: DatabaseUrl = url.parse().unwrap();
    let observer = table(&url, "pgo_odd").await;
    let insert = "INSERT INTO pgo_odd VALUES (:id)";
    for (other, kind) in [(b"BEGIX", ErrorKind::Syntax), (b"ABORT", ErrorKind::Internal)] {
        let db = pool(&without_begin(&url, other).await, |_| {});
        db.execute(insert, params! { id: 1_i64 }).await.unwrap();
        let pid = "SELECT pg_backend_pid()";
        let before: i32 = db.fetch_val(pid, ()).await.unwrap();
        let tx = db.begin().await.unwrap();
        let error = tx.execute(insert, params! { id: 2_i64 }).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (kind, Effect::Unknown), "{error:?}");
        assert!(!error.is_retryable());
        assert_eq!(tx.execute(insert, params! { id: 3_i64 }).await.unwrap_err().kind(), ErrorKind::Disconnected);
        assert_eq!(tx.commit().await.unwrap_err().kind(), ErrorKind::Disconnected);
        assert_ne!(db.fetch_val::<i32>(pid, ()).await.unwrap(), before);
    }
    assert_eq!(observer.fetch_val::<i64>("SELECT count(*) FROM pgo_odd WHERE id = 3", ()).await.unwrap(), 0);
}
