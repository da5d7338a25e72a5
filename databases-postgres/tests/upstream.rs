//! What the driver does wrong by itself: each test says what would be right, and is expected to fail. One that passes
//! tells that the driver has changed, and docs/drivers.md with it.

mod support;

use std::future::Future;
use std::pin::pin;
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
        let mut preparing = pin!(client.prepare(&text));
        // Sent, and then dropped.
        let polled = std::future::poll_fn(|cx| Poll::Ready(preparing.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
    }
    let left: i64 = client.query_one("SELECT count(*) FROM pg_prepared_statements", &[]).await.unwrap().get(0);
    assert!(left < 20, "still so: {left} statements are left");
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
