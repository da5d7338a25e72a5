//! What every backend must do, as cases that are written once and run against each.
//!
//! A backend crate has one line per database it can reach; each case becomes a named test:
//!
//! ```text
//! mod postgres { databases_core::conformance!(|| Source::from_env(Postgres)); }
//! ```
//!
//! A case is written for all backends. What a backend cannot do it says in its
//! [`Capabilities`](crate::backend::Capabilities): a case that needs it then asserts the absence or says that nothing is
//! claimed. It is never left out in silence.
//!
//! `TEST_DATABASE_URLS` (separated by commas) says which servers there are. A backend without a URL prints that it is
//! left out and passes, unless `TEST_REQUIRE_BACKENDS` (separated by commas) names it.
//!
//! A backend without `full_sql` runs these forms, with parameters in place of values: `CREATE TABLE t (a type, b type)`,
//! `DROP TABLE [IF EXISTS] t`, `INSERT INTO t (a, b) VALUES (..), (..)`, `SELECT value [AS name]`, and, each with
//! `[WHERE a = value [AND b = value]]`, `SELECT a, b` or `*` or `count(*)` `FROM t` (also `[ORDER BY a]`),
//! `UPDATE t SET a = value, b = value`, `DELETE FROM t`.

mod fixture;
mod list;
pub mod proxy;

#[doc(hidden)]
pub mod bulk;
#[doc(hidden)]
pub mod cancel;
#[doc(hidden)]
pub mod composing;
#[doc(hidden)]
pub mod copying;
#[doc(hidden)]
pub mod errors;
#[doc(hidden)]
pub mod faults;
#[doc(hidden)]
pub mod force_rollback;
#[doc(hidden)]
pub mod isolation;
#[doc(hidden)]
pub mod limits;
#[doc(hidden)]
pub mod lists;
#[doc(hidden)]
pub mod many;
#[doc(hidden)]
pub mod nested;
#[doc(hidden)]
pub mod parameters;
#[doc(hidden)]
pub mod pool;
#[doc(hidden)]
pub mod prepared;
#[doc(hidden)]
pub mod query_builder;
#[doc(hidden)]
pub mod results;
#[doc(hidden)]
pub mod rows;
#[doc(hidden)]
pub mod sessions;
#[doc(hidden)]
pub mod statement_kinds;
#[doc(hidden)]
pub mod stopping;
#[doc(hidden)]
pub mod streams;
#[doc(hidden)]
pub mod transactions;
#[doc(hidden)]
pub mod types;
#[doc(hidden)]
pub mod values;

use std::pin::Pin;
use std::time::Duration;

pub use fixture::{Fixture, Source, Types};

use crate::error::{Error, ErrorKind, Result};

/// How long a case may take.
const BOUND: Duration = Duration::from_secs(60);
/// How long its clean-up may take on top, and a case that blocks its thread.
const GRACE: Duration = Duration::from_secs(30);

/// What a case cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// [`Capabilities::full_sql`](crate::backend::Capabilities::full_sql).
    FullSql,
    /// [`Capabilities::transactions`](crate::backend::Capabilities::transactions).
    Transactions,
    /// [`Capabilities::savepoints`](crate::backend::Capabilities::savepoints).
    Savepoints,
    /// [`Capabilities::copies`](crate::backend::Capabilities::copies).
    Copies,
    /// More than one connection to the same database at a time.
    TwoConnections,
    /// A runtime of one thread, on which nothing happens that the case does not wait for.
    OneThread,
}

/// A case: a claim, and what proves it.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The claim.
    pub name: &'static str,
    /// What it cannot do without.
    pub needs: &'static [Need],
    /// The proof. Panics or fails if the claim is wrong.
    pub run: for<'a> fn(&'a Fixture) -> CaseFuture<'a>,
}

/// A case under way.
pub type CaseFuture<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Runs `case` on every database of `source`.
///
/// # Panics
///
/// If the claim of the case is wrong, or it takes too long.
pub fn run(source: Source, case: Case) {
    let backend = source.backend_name();
    let urls = source.urls();
    if urls.is_empty() {
        let message = format!("left out: {backend} has no URL in TEST_DATABASE_URLS");
        assert!(!fixture::is_required(backend), "{message}, and TEST_REQUIRE_BACKENDS names it");
        fixture::say(&message);
    }
    for url in urls {
        // On a thread of its own, so that a case that blocks its thread cannot hang the suite either.
        let (done, finished) = std::sync::mpsc::channel();
        let source = source.clone();
        let thread = std::thread::spawn(move || {
            let outcome =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run_on(&source, url.as_deref(), case)));
            let _ = done.send(());
            outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        if finished.recv_timeout(BOUND + GRACE).is_err() && !thread.is_finished() {
            panic!("{} on {backend} blocks its thread", case.name);
        }
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

fn run_on(source: &Source, url: Option<&str>, case: Case) {
    let runtime = if case.needs.contains(&Need::OneThread) { runtime_of_one_thread() } else { runtime() };
    let fixture = match Fixture::new(source, url) {
        Ok(fixture) => fixture,
        Err(error) => panic!("no fixture for {}: {error:?}", source.backend_name()),
    };
    if let Some(missing) = case.needs.iter().find(|need| !fixture.has(**need)) {
        fixture.not_claimed(&format!("{missing:?}"));
        println!("{} needs {missing:?}", case.name);
        return;
    }
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async { tokio::time::timeout(BOUND, (case.run)(&fixture)).await })
    }));
    runtime.block_on(async { drop(tokio::time::timeout(GRACE / 2, fixture.clean_up()).await) });
    let place = fixture.describe();
    drop(fixture);
    // A blocked worker thread must not block the report.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match outcome {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => panic!("{} on {place}: {error}\n{error:#?}", case.name),
        Ok(Err(_)) => panic!("{} on {place}: not done after {BOUND:?}", case.name),
        Err(panic) => {
            eprintln!("{} on {place}: the claim does not hold", case.name);
            std::panic::resume_unwind(panic)
        }
    }
}

/// A runtime like that of an application.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.expect("a runtime can be started")
}

fn runtime_of_one_thread() -> tokio::runtime::Runtime {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.expect("a runtime can be started")
}

/// Asserts that `result` is an error of `kind`, and gives it.
#[track_caller]
pub(crate) fn fails<T>(result: Result<T>, kind: ErrorKind) -> Error {
    match result {
        Ok(_) => panic!("succeeded, but should fail as {kind:?}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{error:?}");
            error
        }
    }
}
