//! Bad input of every kind, on every backend: each gives a typed error, or works, soon; the pool is healthy afterwards; and no
//! secret is in what is printed, traced or logged.
//!
//! Each family is a file with tables of inputs. A test prints, for each backend, how many inputs it has tried.

mod identifiers;
mod names;
mod options;
mod server_bytes;
mod statements;
mod urls;
mod values;
mod watch;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use databases::{Database, Error, ErrorKind, Executor, Result};

/// Stands in every password and value that is tried, and must stand nowhere else.
const SECRET: &str = "canary-5c07";

/// How long an input may take. A second is meant; this is ten times as long, for machines that are busy.
const SOON: Duration = Duration::from_secs(10);

/// Where databases are: SQLite in memory and in a file, and the servers of `TEST_DATABASE_URLS`.
fn places() -> Vec<String> {
    let mut places = vec!["sqlite::memory:".to_owned(), format!("sqlite:///{}", scratch("places.db").display())];
    let servers = std::env::var("TEST_DATABASE_URLS").unwrap_or_default();
    // A build without a backend leaves its server out; `left_out` says so where the whole backend is missing.
    let compiled_in = [("postgres", cfg!(feature = "postgres")), ("mysql", cfg!(feature = "mysql"))];
    let compiled_in = |url: &&str| compiled_in.contains(&(backend_of(url), true));
    places.extend(servers.split(',').map(str::trim).filter(compiled_in).map(str::to_owned));
    places
}

/// A path in a folder of this process.
fn scratch(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("databases_bad_input_{}_{count}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    folder.join(name)
}

/// The backend's name, for the report and for what differs.
fn backend_of(url: &str) -> &'static str {
    match url.split(':').next().unwrap_or_default() {
        "postgres" | "postgresql" => "postgres",
        "mysql" | "mariadb" => "mysql",
        _ => "sqlite",
    }
}

/// A family of inputs under way.
struct Trial {
    family: &'static str,
    counts: BTreeMap<&'static str, (usize, usize)>,
}

impl Trial {
    fn new(family: &'static str) -> Self {
        watch::start();
        Self { family, counts: BTreeMap::new() }
    }

    /// Waits for what `input` leads to and checks it; gives the kind of the error, if it is one.
    async fn outcome<T>(
        &mut self,
        backend: &'static str,
        input: &str,
        outcome: impl Future<Output = Result<T>>,
    ) -> Option<ErrorKind> {
        let shown: String = input.chars().take(120).flat_map(char::escape_debug).collect();
        let started = Instant::now();
        let result = tokio::time::timeout(SOON, outcome).await;
        let result = result.unwrap_or_else(|_| panic!("{} on {backend}: no answer in time: {shown}", self.family));
        assert!(started.elapsed() < SOON, "{} on {backend}: {:?}: {shown}", self.family, started.elapsed());
        let (tried, failed) = self.counts.entry(backend).or_default();
        *tried += 1;
        let error = result.err()?;
        *failed += 1;
        assert_ne!(error.kind(), ErrorKind::Internal, "{} on {backend}: {error:?}: {shown}", self.family);
        assert_no_secret(&error, &shown);
        Some(error.kind())
    }

    /// As [`outcome`](Self::outcome), and then `db` must work.
    async fn on<T>(
        &mut self,
        db: &Database,
        backend: &'static str,
        input: &str,
        outcome: impl Future<Output = Result<T>>,
    ) -> Option<ErrorKind> {
        let kind = self.outcome(backend, input, outcome).await;
        assert_healthy(db, input).await;
        kind
    }

    /// Says what was tried, past the capture of test output.
    fn report(self, least: usize) {
        watch::assert_no_secret();
        for (backend, (tried, failed)) in self.counts {
            assert!(tried >= least, "{} on {backend}: only {tried} inputs were tried", self.family);
            let line = format!("bad input: {}: {backend}: {tried} tried, {failed} refused\n", self.family);
            std::io::stderr().write_all(line.as_bytes()).expect("standard error can be written");
        }
    }
}

/// Whether `db` runs a statement, outside of any transaction, and nothing is left in use.
async fn assert_healthy(db: &Database, after: &str) {
    let shown: String = after.chars().take(120).flat_map(char::escape_debug).collect();
    let found = tokio::time::timeout(SOON, db.fetch_val::<i64>("SELECT 1", ())).await;
    match found {
        Ok(Ok(found)) => assert_eq!(found, 1, "after {shown}"),
        Ok(Err(error)) => panic!("the pool is not healthy after {shown}: {error:?}"),
        Err(_) => panic!("the pool hangs after {shown}"),
    }
}

/// Looks for the secret in everything that an error prints.
fn assert_no_secret(error: &Error, input: &str) {
    let mut printed = format!("{error:?} {error:#?} {:?}", error.hint());
    let mut layer: Option<&dyn std::error::Error> = Some(error);
    while let Some(this) = layer {
        printed.push_str(&format!(" {this} {this:?} {this:#?}"));
        layer = this.source();
    }
    assert!(!printed.contains(SECRET), "an error shows a secret after {input}: {printed}");
}

/// A database of one connection at `url`: what a bad input leaves behind is met by the next call.
async fn open(url: &str) -> Database {
    Database::builder(url).max_connections(1).connect().await.unwrap_or_else(|error| panic!("{error:?}"))
}

/// A name for a table that no other test has.
fn table(label: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("bad_{label}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
