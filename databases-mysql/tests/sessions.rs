//! Transactions, dropped calls, streams and the state of a session against a real server.

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use common::*;
use databases_core::backend::{Status, TransactionCommand};
use databases_core::url::DatabaseUrl;
use databases_core::{Effect, ErrorKind, Isolation, Params, TransactionOptions, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Long enough for a loaded machine, and far from the length of what is stopped.
const SOON: Duration = Duration::from_secs(50);

fn none() -> Params<'static> {
    Params::new()
}

async fn begin(conn: &Conn) {
    conn.transaction(TransactionCommand::Begin(TransactionOptions::new())).await.unwrap();
    assert_eq!(conn.status(), Status::InTransaction);
}

async fn table(conn: &Conn, name: &str) {
    setup(
        conn,
        &[
            &format!("DROP TABLE IF EXISTS {name}"),
            &format!("CREATE TABLE {name} (id INT PRIMARY KEY, n INT) ENGINE=InnoDB"),
        ],
    )
    .await;
}

async fn count(conn: &Conn, name: &str) -> i64 {
    match value(conn, &format!("SELECT COUNT(*) FROM {name}")).await {
        Value::Int(n) => n,
        _ => panic!(),
    }
}

/// Polls `future` up to `polls` times, giving the server time in between, and drops it.
async fn drop_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    None
}

/// How many statements like `text` the server runs, seen from another connection.
async fn running(conn: &Conn, text: &str) -> i64 {
    let sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE :t AND id <> CONNECTION_ID()";
    match fetch(conn, sql, none().with("t", text)).await.unwrap()[0][0] {
        Value::Int(n) => n,
        _ => panic!(),
    }
}

#[tokio::test]
async fn transactions_commit_roll_back_and_nest() {
    let Some(conn) = connect().await else { return };
    let other = connect().await.unwrap();
    table(&conn, "tx_a").await;
    begin(&conn).await;
    setup(&conn, &["INSERT INTO tx_a VALUES (1, 1)"]).await;
    assert_eq!(count(&conn, "tx_a").await, 1);
    assert_eq!(conn.status(), Status::InTransaction, "a SELECT does not confuse the state");
    assert_eq!(count(&other, "tx_a").await, 0);
    for (undo, id) in [(true, 2), (false, 3)] {
        conn.transaction(TransactionCommand::Savepoint(1)).await.unwrap();
        setup(&conn, &[&format!("INSERT INTO tx_a VALUES ({id}, 1)")]).await;
        let end = if undo { TransactionCommand::RollbackTo(1) } else { TransactionCommand::Release(1) };
        conn.transaction(end).await.unwrap();
    }
    // A failed statement does not end the transaction.
    assert!(execute(&conn, "INSERT INTO tx_a VALUES (1, 1)", none()).await.is_err());
    assert_eq!(conn.status(), Status::InTransaction);
    conn.transaction(TransactionCommand::Commit).await.unwrap();
    assert_eq!((conn.status(), count(&other, "tx_a").await), (Status::Idle, 2));
    begin(&conn).await;
    setup(&conn, &["DELETE FROM tx_a"]).await;
    conn.transaction(TransactionCommand::Rollback).await.unwrap();
    conn.transaction(TransactionCommand::Rollback).await.unwrap();
    assert_eq!((conn.status(), count(&other, "tx_a").await), (Status::Idle, 2));
    let error = conn.transaction(TransactionCommand::Commit).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionEnded);
    setup(&conn, &["DROP TABLE tx_a"]).await;
}

#[tokio::test]
async fn options_are_kept_or_refused() {
    let Some(conn) = connect().await else { return };
    table(&conn, "tx_o").await;
    let begin = |options| conn.transaction(TransactionCommand::Begin(options));
    let new = TransactionOptions::new;
    for options in [new().deferrable(true), new().immediate(), new().deferred()] {
        assert_eq!(begin(options).await.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    begin(new().read_only(true)).await.unwrap();
    let error = execute(&conn, "INSERT INTO tx_o VALUES (1, 1)", none()).await.unwrap_err();
    assert_eq!((error.kind(), conn.status()), (ErrorKind::ReadOnly, Status::InTransaction));
    conn.transaction(TransactionCommand::Rollback).await.unwrap();
    for isolation in
        [Isolation::ReadUncommitted, Isolation::ReadCommitted, Isolation::RepeatableRead, Isolation::Serializable]
    {
        begin(new().isolation(isolation)).await.unwrap();
        conn.transaction(TransactionCommand::Commit).await.unwrap();
    }
    // Read committed sees what another one commits meanwhile.
    begin(new().isolation(Isolation::ReadCommitted)).await.unwrap();
    assert_eq!(count(&conn, "tx_o").await, 0);
    let other = connect().await.unwrap();
    setup(&other, &["INSERT INTO tx_o VALUES (1, 1)"]).await;
    assert_eq!(count(&conn, "tx_o").await, 1);
    // A second BEGIN would commit the first.
    assert_eq!(begin(new()).await.unwrap_err().kind(), ErrorKind::Busy);
    conn.transaction(TransactionCommand::Rollback).await.unwrap();
    setup(&conn, &["SET completion_type = 'CHAIN'"]).await;
    begin(new()).await.unwrap();
    conn.transaction(TransactionCommand::Commit).await.unwrap();
    assert_eq!(conn.status(), Status::Idle);
    setup(&conn, &["DROP TABLE tx_o"]).await;
}

#[tokio::test]
async fn what_ends_a_transaction_behind_our_back_is_seen() {
    let Some(conn) = connect().await else { return };
    let other = connect().await.unwrap();
    table(&conn, "tx_d").await;
    setup(&conn, &["INSERT INTO tx_d VALUES (1, 0), (2, 0)"]).await;
    // DDL commits.
    begin(&conn).await;
    setup(&conn, &["CREATE TABLE IF NOT EXISTS tx_d2 (a INT)"]).await;
    assert_eq!(conn.status(), Status::Idle);
    begin(&conn).await;
    assert!(execute(&conn, "CREATE TABLE tx_d2 (a INT)", none()).await.is_err());
    assert_eq!(conn.status(), Status::Idle, "also where it fails");
    // A deadlock rolls one of the two back.
    begin(&conn).await;
    begin(&other).await;
    setup(&conn, &["UPDATE tx_d SET n = n + 1 WHERE id = 1"]).await;
    setup(&other, &["UPDATE tx_d SET n = n + 1 WHERE id = 2"]).await;
    let (one, two) = tokio::join!(
        execute(&conn, "UPDATE tx_d SET n = n + 1 WHERE id = 2", none()),
        execute(&other, "UPDATE tx_d SET n = n + 1 WHERE id = 1", none())
    );
    let (loser, winner, error) = match (one, two) {
        (Err(error), Ok(_)) => (&conn, &other, error),
        (Ok(_), Err(error)) => (&other, &conn, error),
        _ => panic!("one of the two is to lose"),
    };
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Deadlock, true));
    assert_eq!((loser.status(), winner.status()), (Status::Idle, Status::InTransaction));
    let error = loser.transaction(TransactionCommand::Commit).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionEnded);
    // A lock that is waited for too long undoes the statement only.
    setup(loser, &["SET SESSION innodb_lock_wait_timeout = 1"]).await;
    begin(loser).await;
    let error = execute(loser, "UPDATE tx_d SET n = 9 WHERE id = 1", none()).await.unwrap_err();
    assert_eq!((error.kind(), loser.status()), (ErrorKind::LockTimeout, Status::InTransaction));
    loser.transaction(TransactionCommand::Rollback).await.unwrap();
    winner.transaction(TransactionCommand::Rollback).await.unwrap();
    setup(&conn, &["DROP TABLE tx_d, tx_d2"]).await;
}

#[tokio::test]
async fn a_dropped_statement_is_stopped_at_the_server_and_takes_its_connection_with_it() {
    let Some(conn) = connect().await else { return };
    let other = connect().await.unwrap();
    table(&conn, "tx_k").await;
    begin(&conn).await;
    setup(&conn, &["INSERT INTO tx_k VALUES (1, 1)"]).await;
    let long = "SELECT SLEEP(300) /* tx_k */";
    assert!(tokio::time::timeout(Duration::from_millis(200), fetch(&conn, long, none())).await.is_err());
    assert_eq!(conn.status(), Status::Broken);
    let start = Instant::now();
    conn.settle().await;
    assert!(start.elapsed() < SOON);
    assert_eq!(conn.status(), Status::Broken);
    eventually("the statement ends", async || running(&other, "SELECT SLEEP(300) /* tx_k%").await == 0).await;
    eventually("its transaction is rolled back", async || {
        execute(&other, "INSERT INTO tx_k VALUES (1, 2)", none()).await.is_ok()
    })
    .await;
    assert_eq!(fetch(&conn, "SELECT 1", none()).await.unwrap_err().kind(), ErrorKind::Disconnected);
    setup(&other, &["DROP TABLE tx_k"]).await;
}

#[tokio::test]
async fn every_call_can_be_dropped_at_every_await() {
    let Some(url) = url() else { return };
    let observer = connect_to(&url).await.unwrap();
    table(&observer, "tx_p").await;
    for case in 0..6 {
        for polls in 0..12 {
            let conn = connect_to(&url).await.unwrap();
            begin(&conn).await;
            let insert = "INSERT INTO tx_p VALUES (1, 1)";
            match case {
                0 => drop(drop_after(polls, execute(&conn, insert, none())).await),
                1 => drop(drop_after(polls, conn.run_script(insert)).await),
                2 => drop(drop_after(polls, conn.transaction(TransactionCommand::Savepoint(1))).await),
                3 => drop(drop_after(polls, conn.open_stream(request(&conn, "SELECT 1", none()).unwrap())).await),
                4 => drop(drop_after(polls, conn.native()).await.map(drop)),
                _ => drop(drop_after(polls, conn.transaction(TransactionCommand::Rollback)).await),
            }
            tokio::time::timeout(SOON, conn.settle()).await.expect("settles");
            match conn.status() {
                Status::Broken => {}
                Status::Idle | Status::InTransaction => {
                    assert_eq!(value(&conn, "SELECT 7").await, Value::Int(7), "case {case}, {polls} polls");
                }
                other => panic!("case {case}, {polls} polls: {other:?}"),
            }
            conn.close().await;
        }
    }
    eventually("nothing is left", async || count(&observer, "tx_p").await == 0).await;
    setup(&observer, &["DROP TABLE tx_p"]).await;
    // Connecting leaves nothing behind either.
    for polls in 0..12 {
        drop_after(polls, connect_to(&url)).await.map(|conn| conn.map(drop));
    }
}

#[tokio::test]
async fn streams_give_all_rows_in_bounded_batches() {
    let Some(conn) = connect().await else { return };
    let sql = "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1000) SELECT n FROM s";
    let mut stream = conn.open_stream(request(&conn, sql, none()).unwrap()).await.unwrap();
    assert!(matches!(conn.status(), Status::Busy));
    let mut seen = 0;
    while let Some(batch) = stream.next().await.unwrap() {
        assert!(batch.len() <= 512);
        seen += batch.len();
    }
    assert_eq!(seen, 1000);
    assert!(stream.next().await.unwrap().is_none());
    eventually("idle", async || is_idle(&conn)).await;
    // Errors before the first row come at once.
    let error = conn.open_stream(request(&conn, "SELECT nope", none()).unwrap()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::UndefinedColumn);
    conn.settle().await;
    assert!(is_idle(&conn));
    // A statement without rows is an empty stream.
    let mut stream = conn.open_stream(request(&conn, "DO 1", none()).unwrap()).await.unwrap();
    assert!(stream.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_stream_that_is_dropped_early_leaves_its_transaction_usable() {
    let Some(conn) = connect().await else { return };
    let other = connect().await.unwrap();
    table(&conn, "tx_s").await;
    let endless = "SELECT a.x FROM (SELECT 1 AS x UNION ALL SELECT 2) a, information_schema.collations b, \
                   information_schema.collations c, information_schema.collations d /* tx_s */";
    let slow = "SELECT SLEEP(300) /* tx_s */";
    for (sql, batches) in [("SELECT 1", 0), (endless, 0), (endless, 2), (slow, 0)] {
        begin(&conn).await;
        execute(&conn, "INSERT INTO tx_s VALUES (1, 1)", none()).await.unwrap();
        let request = request(&conn, sql, none()).unwrap();
        if sql == slow {
            assert!(tokio::time::timeout(Duration::from_millis(100), conn.open_stream(request)).await.is_err());
        } else {
            let mut stream = conn.open_stream(request).await.unwrap();
            for _ in 0..batches {
                stream.next().await.unwrap().unwrap();
            }
        }
        let start = Instant::now();
        conn.settle().await;
        assert!(start.elapsed() < SOON, "{sql}");
        assert_eq!(conn.status(), Status::InTransaction, "{sql}");
        assert_eq!(running(&other, "SELECT % /* tx_s%").await, 0);
        assert_eq!(count(&conn, "tx_s").await, 1);
        conn.transaction(TransactionCommand::Commit).await.unwrap();
        setup(&conn, &["DELETE FROM tx_s"]).await;
    }
    setup(&conn, &["DROP TABLE tx_s"]).await;
}

#[tokio::test]
async fn a_connection_that_the_server_ends_is_broken_and_a_commit_then_unknown() {
    let Some(conn) = connect().await else { return };
    let other = connect().await.unwrap();
    for commit in [false, true] {
        let conn = if commit { connect().await.unwrap() } else { Arc::clone(&conn) };
        let id = value(&conn, "SELECT CONNECTION_ID()").await;
        begin(&conn).await;
        let (Value::Int(_) | Value::UInt(_)) = id else { panic!() };
        let id = match id {
            Value::Int(id) => id.unsigned_abs(),
            Value::UInt(id) => id,
            _ => panic!(),
        };
        other.run_script(&format!("KILL {id}")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let error = if commit {
            conn.transaction(TransactionCommand::Commit).await.unwrap_err()
        } else {
            execute(&conn, "DO 1", none()).await.unwrap_err()
        };
        let expected = if commit { ErrorKind::CommitOutcomeUnknown } else { ErrorKind::Disconnected };
        assert_eq!((error.kind(), conn.status()), (expected, Status::Broken), "{error:?}");
    }
}

#[tokio::test]
async fn the_driver_is_lent_and_the_state_read_again() {
    use databases_mysql::mysql_async::{self, prelude::Queryable};
    let Some(conn) = connect().await else { return };
    assert_eq!(value(&conn, "SELECT 1").await, Value::Int(1));
    {
        let mut native = conn.native().await.unwrap();
        assert_eq!(conn.status(), Status::Busy);
        assert!(native.as_any().is::<mysql_async::Conn>());
        let driver = native.as_any_mut().downcast_mut::<mysql_async::Conn>().unwrap();
        driver.query_drop("START TRANSACTION").await.unwrap();
        driver.query_drop("SET SESSION sql_mode = 'ANSI_QUOTES'").await.unwrap();
        // Left half-read.
        let result = driver.query_iter("SELECT 1 UNION ALL SELECT 2").await.unwrap();
        drop(result);
    }
    assert_eq!(conn.status(), Status::Busy);
    conn.settle().await;
    assert_eq!(conn.status(), Status::InTransaction);
    assert_eq!(conn.dialect(), databases_core::sql::Dialect::MYSQL.with_ansi_quotes(true));
    assert!(conn.reset().await.unwrap());
    assert_eq!(conn.status(), Status::Idle);
    assert_eq!(value(&conn, "SELECT 1").await, Value::Int(1));
}

#[test]
fn a_connection_whose_runtime_has_gone_says_so() {
    let Some(url) = url() else { return };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let conn = first.block_on(connect_to(&url)).unwrap();
    assert_eq!(conn.status(), Status::Idle);
    drop(first);
    assert_eq!(conn.status(), Status::Broken);
    let second = runtime();
    let error = second.block_on(fetch(&conn, "SELECT 1", none())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    second.block_on(async {
        tokio::time::timeout(Duration::from_secs(2), conn.settle()).await.unwrap();
        tokio::time::timeout(Duration::from_secs(2), conn.close()).await.unwrap();
    });
    // Dropping outside of a runtime does not panic.
    drop(second);
    drop(conn);
    let mut cx = Context::from_waker(Waker::noop());
    let _ = pin!(std::future::ready(())).poll(&mut cx);
}

#[tokio::test]
async fn autocommit_that_is_off_is_seen() {
    let Some(conn) = connect().await else { return };
    table(&conn, "tx_c").await;
    setup(&conn, &["SET autocommit = 0"]).await;
    assert_eq!(conn.status(), Status::Idle);
    setup(&conn, &["INSERT INTO tx_c VALUES (1, 1)"]).await;
    assert_eq!(conn.status(), Status::InTransaction);
    assert!(conn.reset().await.unwrap());
    assert_eq!(conn.status(), Status::Idle);
    assert_eq!(count(&conn, "tx_c").await, 0);
    setup(&conn, &["DROP TABLE tx_c"]).await;
}

/// Passes everything on to the server, and once makes COM_STMT_EXECUTE name a statement that nobody has prepared.
async fn forget_once(client: TcpStream, server: TcpStream, forgot: Arc<AtomicBool>) -> std::io::Result<()> {
    const EXECUTE: u8 = 0x17;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    loop {
        // Three bytes of length, a number; then the command and, of this one, the statement.
        let mut packet = vec![0; 4];
        from_client.read_exact(&mut packet).await?;
        let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
        packet.resize(4 + length, 0);
        from_client.read_exact(&mut packet[4..]).await?;
        if packet[3] == 0 && packet[4] == EXECUTE && !forgot.swap(true, SeqCst) {
            packet[7] = 0x7f;
        }
        to_server.write_all(&packet).await?;
    }
}

/// The server of `url` behind [`forget_once`].
async fn forgetful(url: &DatabaseUrl, forgot: Arc<AtomicBool>) -> DatabaseUrl {
    let target = format!("{}:{}", url.host().unwrap(), url.port().unwrap_or(3306));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await?;
        forget_once(client, TcpStream::connect(&target).await?, forgot).await
    });
    let url = url.without_option("sslmode").with_host("127.0.0.1").unwrap().with_port(port).unwrap();
    url.with_option("sslmode", "disable").unwrap()
}

#[tokio::test]
async fn a_statement_that_the_server_has_forgotten_is_prepared_again() {
    let Some(url) = url() else { return };
    for in_transaction in [false, true] {
        let forgot = Arc::new(AtomicBool::new(true));
        let conn = connect_to(&forgetful(&url, forgot.clone()).await).await.unwrap();
        table(&conn, "tx_f").await;
        if in_transaction {
            begin(&conn).await;
        }
        forgot.store(false, SeqCst);
        execute(&conn, "INSERT INTO tx_f VALUES (:id, 0)", none().with("id", 1)).await.unwrap();
        assert!(forgot.load(SeqCst));
        assert_eq!(count(&conn, "tx_f").await, 1);
        if in_transaction {
            conn.transaction(TransactionCommand::Rollback).await.unwrap();
            assert_eq!(count(&conn, "tx_f").await, 0, "it is still the same transaction");
        }
        setup(&conn, &["DROP TABLE tx_f"]).await;
    }
}

#[tokio::test]
async fn what_was_not_told_to_run_on_a_lost_connection_was_not_sent() {
    let Some(other) = connect().await else { return };
    for step in ["prepare", "kept", "begin"] {
        let conn = connect().await.unwrap();
        let kept = "SELECT 1 + 1";
        fetch(&conn, kept, none()).await.unwrap();
        let Value::Int(id) = value(&conn, "SELECT CAST(CONNECTION_ID() AS SIGNED)").await else { panic!() };
        other.run_script(&format!("KILL {id}")).await.unwrap();
        eventually("the connection is gone", async || {
            let sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE id = :id";
            fetch(&other, sql, none().with("id", id)).await.unwrap()[0][0] == Value::Int(0)
        })
        .await;
        let error = match step {
            "prepare" => execute(&conn, "DO 5", none()).await.unwrap_err(),
            "kept" => fetch(&conn, kept, none()).await.unwrap_err(),
            _ => {
                let begin = TransactionCommand::Begin(TransactionOptions::new());
                conn.transaction(begin).await.unwrap_err()
            }
        };
        assert_eq!((error.kind(), conn.status()), (ErrorKind::Disconnected, Status::Broken), "{step}: {error:?}");
        // Of the others it depends on whether the socket still took the bytes.
        if step == "prepare" {
            assert_eq!(error.effect(), Effect::NotSent, "{error:?}");
        }
    }
}
