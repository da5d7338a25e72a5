//! What the driver does wrong by itself: each test says what would be right, and is expected to fail. One that passes
//! tells that the driver has changed, and docs/drivers.md with it.

mod support;

use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, NoTls};

/// The driver alone, with the server of the tests.
async fn driver() -> Option<Client> {
    let url = support::url()?;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    Some(client)
}

/// What `should_panic` wants of a test that is left out, since there is no server.
const LEFT_OUT: &str = "still so, or left out";

/// The first poll puts it into the queue of what is sent.
async fn send_and_drop(future: impl Future) {
    let mut future = pin!(future);
    let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
    assert!(polled, "it waits for the server");
}

#[tokio::test]
#[should_panic(expected = "still so")]
async fn commit_of_a_failed_transaction_is_an_error_of_the_driver() {
    let mut client = driver().await.expect(LEFT_OUT);
    let tx = client.transaction().await.unwrap();
    tx.execute("SELECT 1 / 0", &[]).await.unwrap_err();
    assert!(tx.commit().await.is_err(), "still so: Ok, though the server has rolled back");
}

#[tokio::test]
#[should_panic(expected = "still so")]
async fn a_typed_query_of_the_driver_looks_types_up_beside_its_rows() {
    let client = driver().await.expect(LEFT_OUT);
    client.batch_execute("CREATE TYPE pg_temp.mood AS ENUM ('ok')").await.unwrap();
    let rows = "SELECT 'ok'::pg_temp.mood, repeat('x', 100) FROM generate_series(1, 20000)";
    let query = client.query_typed(rows, &[]);
    assert!(tokio::time::timeout(Duration::from_secs(2), query).await.is_ok(), "still so: it hangs");
}

#[tokio::test]
#[should_panic(expected = "still so")]
async fn a_dropped_prepare_of_the_driver_leaves_no_statement() {
    let client = driver().await.expect(LEFT_OUT);
    for n in 0..20 {
        let text = format!("SELECT {n}");
        send_and_drop(client.prepare(&text)).await;
    }
    let left: i64 = client.query_one("SELECT count(*) FROM pg_prepared_statements", &[]).await.unwrap().get(0);
    assert!(left < 20, "still so: {left} statements are left");
}

#[tokio::test]
#[should_panic(expected = "still so")]
async fn a_dropped_statement_of_the_driver_is_stopped() {
    let client = driver().await.expect(LEFT_OUT);
    client.batch_execute("CREATE TEMP TABLE t (n bigint)").await.unwrap();
    send_and_drop(client.batch_execute("INSERT INTO t SELECT 1 FROM pg_sleep(0.3)")).await;
    let written: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(written, 0, "still so: it runs on, and so does what it writes");
}

#[tokio::test]
#[should_panic(expected = "still so")]
async fn a_client_of_the_driver_that_is_dropped_ends_its_session() {
    let (client, observer) = (driver().await.expect(LEFT_OUT), driver().await.expect(LEFT_OUT));
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    send_and_drop(client.batch_execute("SELECT pg_sleep(3)")).await;
    drop(client);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ask = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active'";
    let left: i64 = observer.query_one(ask, &[&pid]).await.unwrap().get(0);
    assert_eq!(left, 0, "still so: its socket is open until the statement ends");
}

struct Captured;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl log::Log for Captured {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

#[tokio::test]
#[should_panic(expected = "still so")]
async fn the_log_of_the_driver_alone_holds_no_value() {
    let client = driver().await.expect(LEFT_OUT);
    log::set_logger(&Captured).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    client.query_one("SELECT $1::text", &[&"canary7f3"]).await.unwrap();
    let lines = LINES.lock().unwrap().join("\n");
    assert!(lines.contains("SELECT $1::text"), "nothing was logged: {lines}");
    assert!(!lines.contains("canary7f3"), "still so: values are logged");
}

#[tokio::test]
#[should_panic(expected = "still so")]
async fn a_copy_that_does_not_start_leaves_the_driver_in_step() {
    let client = driver().await.expect(LEFT_OUT);
    client.copy_in::<_, bytes::Bytes>("COPY pg_temp.nowhere FROM STDIN").await.map(drop).unwrap_err();
    let mut next = Ok(Vec::new());
    // The answer that is one too many may come behind the first.
    for _ in 0..3 {
        next = next.and(client.query("SELECT 1", &[]).await);
    }
    assert!(next.is_ok(), "still so: {:?}", next.map(|rows| rows.len()));
}

#[test]
#[ignore = "aborts the process: the driver reserves memory for as many items as 20 bytes claim to hold"]
fn an_array_of_the_driver_takes_no_more_memory_than_its_bytes_justify() {
    // One dimension, no NULL, int4, 2^31 - 1 items from 1 on.
    let bytes = [&1_i32.to_be_bytes()[..], &[0; 4], &23_i32.to_be_bytes(), &i32::MAX.to_be_bytes(), &[0, 0, 0, 1]];
    assert!(Vec::<Option<String>>::from_sql(&Type::TEXT_ARRAY, &bytes.concat()).is_err());
}
