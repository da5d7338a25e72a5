//! What docs/faults.md promises and no other suite shows: servers that die, freeze, fill up or refuse, and conflicts
//! between transactions, each provoked at a real server.
//!
//! `servers` has servers of its own, one for each test; `conflicts` uses those of `TEST_DATABASE_URLS`.

mod conflicts;
#[path = "../support/server.rs"]
mod server;
mod servers;

use std::time::Duration;

use databases::{Database, DatabaseUrl, Error, ErrorKind};

/// Longer than anything may take.
const HANG: Duration = Duration::from_secs(60);

/// Runs a test on a runtime of its own; one that hangs fails.
fn run(test: impl Future<Output = databases::Result<()>>) {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = built.expect("a runtime can be started");
    let ended = runtime.block_on(async { tokio::time::timeout(HANG, test).await });
    ended.expect("it does not hang").unwrap_or_else(|error| panic!("{error:?}"));
}

/// The error of a call that must fail so.
#[track_caller]
fn fails<T>(outcome: databases::Result<T>, kind: ErrorKind) -> Error {
    let error = outcome.err().unwrap_or_else(|| panic!("it should have failed: {kind:?}"));
    assert_eq!(error.kind(), kind, "{error:?}");
    error
}

/// A server of `TEST_DATABASE_URLS`; `None` after a message if there is none.
fn shared(scheme: &str) -> Option<Database> {
    let urls = std::env::var("TEST_DATABASE_URLS").unwrap_or_default();
    let Some(url) = urls.split(',').map(str::trim).find(|url| url.starts_with(scheme)) else {
        let required = std::env::var("TEST_REQUIRE_BACKENDS").unwrap_or_default();
        assert!(!required.contains(scheme), "TEST_REQUIRE_BACKENDS wants {scheme}; TEST_DATABASE_URLS has none");
        eprintln!("left out: TEST_DATABASE_URLS names no {scheme}");
        return None;
    };
    Some(Database::builder(url).max_connections(4).connect_lazy().expect("TEST_DATABASE_URLS holds URLs"))
}

/// `url` with another port.
fn at_port(url: &str, port: u16) -> String {
    let url: DatabaseUrl = url.parse().expect("own-server prints a URL");
    url.with_port(port).expect("a port").expose()
}
