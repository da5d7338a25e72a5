//! What the driver does wrong by itself: each test says what would be right, and is expected to fail. One that passes
//! tells that the driver has changed, and docs/drivers.md with it.

mod common;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts};

#[test]
#[should_panic(expected = "still so")]
fn options_of_the_driver_do_not_print_the_password() {
    let options = OptsBuilder::default().user(Some("u")).pass(Some("hunter2"));
    assert!(!format!("{:?}", Opts::from(options)).contains("hunter2"), "still so: it is printed");
}

#[test]
#[should_panic(expected = "still so")]
fn a_socket_of_this_machine_is_not_preferred_for_another_host() {
    let options = Opts::from(OptsBuilder::default().ip_or_hostname("db.example"));
    assert!(!options.prefer_socket(), "still so: after the login it goes to a path on this machine");
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

#[tokio::test]
#[should_panic(expected = "still so")]
async fn a_waiter_of_the_drivers_pool_that_is_dropped_passes_its_turn_on() {
    let url = common::url().expect("still so, or left out");
    let opts = Opts::from_url(&url.without_option("sslmode").expose()).unwrap();
    let one = PoolOpts::default().with_constraints(PoolConstraints::new(0, 1).unwrap());
    let pool = Pool::new(OptsBuilder::from_opts(opts).prefer_socket(false).pool_opts(one));
    let held = pool.get_conn().await.unwrap();
    let (mut a, mut b) = (Box::pin(pool.get_conn()), Box::pin(pool.get_conn()));
    assert!(poll_once(&mut a).await.is_pending() && poll_once(&mut b).await.is_pending());
    drop(held);
    // The connection comes back, and A is woken; it goes away without having looked.
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(a);
    assert!(
        tokio::time::timeout(Duration::from_secs(2), b).await.is_ok(),
        "still so: B sleeps beside an idle connection"
    );
}

/// The driver alone, with the server of the tests or at another port of this machine.
async fn driver(port: Option<u16>) -> Conn {
    let mut url = common::url().expect("still so, or left out").without_option("sslmode");
    if let Some(port) = port {
        url = url.with_host("127.0.0.1").unwrap().with_port(port).unwrap();
    }
    let opts = OptsBuilder::from_opts(Opts::from_url(&url.expose()).unwrap()).prefer_socket(false);
    Conn::new(opts).await.unwrap()
}

/// The driver with a server that gives `answer` to a text with `'hostile'`.
async fn driver_of(answer: &'static [u8]) -> Conn {
    let url = common::url().expect("still so, or left out");
    let server = format!("{}:{}", url.host().unwrap(), url.port().unwrap_or(3306));
    let port = common::hostile::hostile_with(server, "'hostile'", answer, Arc::default()).await;
    driver(Some(port)).await
}

#[tokio::test]
#[should_panic(expected = "still so")]
async fn a_dropped_call_of_the_driver_is_stopped_at_the_server() {
    let (mut conn, mut observer) = (driver(None).await, driver(None).await);
    let table = format!("upstream_{}", std::process::id());
    observer.query_drop(format!("CREATE TABLE {table} (n BIGINT)")).await.unwrap();
    let insert = conn.query_drop(format!("INSERT INTO {table} SELECT SLEEP(0.5)"));
    assert!(tokio::time::timeout(Duration::from_millis(200), insert).await.is_err(), "it was still running");
    drop(conn);
    let mut written = Some(0_u64);
    for _ in 0..100 {
        written = observer.query_first(format!("SELECT COUNT(*) FROM {table}")).await.unwrap();
        if written != Some(0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    observer.query_drop(format!("DROP TABLE {table}")).await.unwrap();
    assert_eq!(written, Some(0), "still so: it runs on, and so does what it writes");
}

#[tokio::test]
#[should_panic(expected = "still so")]
async fn an_answer_without_a_byte_is_an_error_of_the_driver() {
    let mut conn = driver_of(common::hostile::HOSTILE).await;
    let outcome = AssertUnwindSafe(conn.query_drop("SELECT 'hostile'")).catch_unwind().await;
    assert!(outcome.is_ok_and(|outcome| outcome.is_err()), "still so: it panics");
}

#[tokio::test]
#[ignore = "aborts the process: the driver reserves memory for as many columns as nine bytes claim to follow"]
async fn a_result_of_the_driver_takes_no_more_memory_than_its_bytes_justify() {
    let mut conn = driver_of(b"\x09\0\0\x01\xfe\0\0\0\0\0\x01\0\0").await;
    let outcome = tokio::time::timeout(Duration::from_secs(2), conn.query_drop("SELECT 'hostile'")).await;
    assert!(!outcome.is_ok_and(|outcome| outcome.is_ok()), "there are no columns");
}

#[tokio::test]
#[should_panic(expected = "still so")]
async fn a_key_that_a_server_sends_in_clear_is_not_used_for_the_password() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(listener.local_addr().unwrap().port())
        .user(Some("u"))
        .pass(Some("hunter2"))
        .prefer_socket(false);
    let server = async {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut greeting = b"\x0a8.0.40\0\x01\0\0\0abcdefgh\0\x8d\xa6\x2d\x02\0\x3f\0\x15".to_vec();
        greeting.extend([0; 10]);
        greeting.extend(b"ijklmnopqrst\0caching_sha2_password\0");
        let length = u8::try_from(greeting.len()).unwrap();
        client.write_all(&[&[length, 0, 0, 0], &greeting[..]].concat()).await.unwrap();
        let mut bytes = [0; 4096];
        let login = client.read(&mut bytes).await.unwrap();
        assert!(login > 36, "the login");
        // "I do not know this password's hash yet: send it."
        client.write_all(b"\x02\0\0\x02\x01\x04").await.unwrap();
        let answer = client.read(&mut bytes).await.unwrap_or(0);
        bytes[..answer].to_vec()
    };
    let connecting = mysql_async::Conn::new(options);
    let answer = tokio::select! { answer = server => answer, _ = connecting => Vec::new() };
    assert_ne!(answer, b"\x01\0\0\x03\x02", "still so: it asks whoever is there for a key");
}
