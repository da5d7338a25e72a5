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

#[tokio::test]
#[should_panic(expected = "still so")]
async fn an_answer_without_a_byte_is_an_error_of_the_driver() {
    let url = common::url().expect("still so, or left out");
    let server = format!("{}:{}", url.host().unwrap(), url.port().unwrap_or(3306));
    let port = common::hostile::hostile(server, "'hostile'", Arc::default()).await;
    let url = url.without_option("sslmode").with_host("127.0.0.1").unwrap().with_port(port).unwrap();
    let opts = OptsBuilder::from_opts(Opts::from_url(&url.expose()).unwrap()).prefer_socket(false);
    let mut conn = Conn::new(opts).await.unwrap();
    let outcome = AssertUnwindSafe(conn.query_drop("SELECT 'hostile'")).catch_unwind().await;
    assert!(outcome.is_ok_and(|outcome| outcome.is_err()), "still so: it panics");
}
