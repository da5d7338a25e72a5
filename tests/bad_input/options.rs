//! Options, in the URL and of the builder: words that are none, numbers that are too large, and combinations.

use std::time::Duration;

use databases::backend::Backend as _;
use databases::{Database, DatabaseBuilder, ErrorKind, Executor};

use crate::{SECRET, Trial, backend_of, open, places};

const VALUES: &[&str] = &[
    "",
    " ",
    "-1",
    "+1",
    "0",
    "1.5",
    "1e3",
    "0x10",
    "99999999999999999999",
    "18446744073709551615",
    "on",
    "maybe",
    "TRUE",
    "5 s",
    "5sec",
    "-5s",
    "99999999h",
    "٣",
    "none",
    "null",
    "a,b",
    "'; DROP TABLE x; --",
    "\0",
    "\u{202e}",
    "../../etc/passwd",
];

/// The options of the pool, and then the backend's own.
fn keys(backend: &str) -> Vec<&'static str> {
    let pool = [
        "min_connections",
        "max_connections",
        "acquire_timeout",
        "connect_timeout",
        "idle_timeout",
        "max_lifetime",
        "close_timeout",
        "statement_timeout",
        "statement_cache_size",
        "max_rows",
        "max_bytes",
        "force_rollback",
    ];
    let own = match backend {
        #[cfg(feature = "postgres")]
        "postgres" => databases::postgres::Postgres.options(),
        #[cfg(feature = "mysql")]
        "mysql" => databases::mysql::MySql.options(),
        _ => databases::sqlite::Sqlite.options(),
    };
    pool.iter().chain(own).copied().collect()
}

/// Connects if that is asked for, and works if it has connected. What is asked for may be very little time.
async fn use_it(builder: DatabaseBuilder) -> databases::Result<()> {
    let shown = format!("{builder:?} {builder:#?}");
    assert!(!shown.contains(SECRET), "{shown}");
    let db = builder.connect().await?;
    let rows = db.fetch_all::<(i64,)>("SELECT 1", ()).await;
    let closed = db.close().await;
    rows?;
    closed
}

#[tokio::test]
async fn options_of_the_url_are_refused_or_kept() {
    let mut trial = Trial::new("options");
    for place in places() {
        let backend = backend_of(&place);
        let db = open(&place).await;
        for key in keys(backend) {
            for value in VALUES {
                // The database in memory has one connection; the others need more than none.
                let builder = Database::builder(&place).option(key, *value);
                let input = format!("{key}={value}");
                trial.on(&db, backend, &input, use_it(builder)).await;
            }
        }
        for (key, value) in [
            ("", "x"),
            ("no_such_option", "x"),
            ("max-connections", "1"),
            ("MAX_CONNECTIONS", "1"),
            ("max_connections ", "1"),
            ("max_connections\0", "1"),
            ("password", SECRET),
            ("passwd", SECRET),
            ("api_key", SECRET),
            ("sslpassword", SECRET),
            ("a&b=c", "x"),
            ("a=b", "x"),
            ("\u{1F511}", "x"),
        ] {
            let kind = trial.on(&db, backend, key, use_it(Database::builder(&place).option(key, value))).await;
            assert_eq!(kind, Some(ErrorKind::Url), "{key}");
        }
        db.close().await.unwrap();
    }
    trial.report(300);
}

#[tokio::test]
async fn options_of_the_builder_are_refused_or_kept() {
    let mut trial = Trial::new("options of the builder");
    type Change = fn(DatabaseBuilder) -> DatabaseBuilder;
    let changes: &[(&str, Change)] = &[
        ("max_connections(0)", |b| b.max_connections(0)),
        ("max_connections(MAX)", |b| b.max_connections(usize::MAX)),
        ("min_connections(MAX)", |b| b.min_connections(usize::MAX)),
        ("min above max", |b| b.min_connections(2).max_connections(1)),
        ("acquire_timeout(0)", |b| b.acquire_timeout(Duration::ZERO)),
        ("acquire_timeout(1 ns)", |b| b.acquire_timeout(Duration::from_nanos(1))),
        ("acquire_timeout(MAX)", |b| b.acquire_timeout(Duration::MAX)),
        ("connect_timeout(0)", |b| b.connect_timeout(Duration::ZERO)),
        ("connect_timeout(MAX)", |b| b.connect_timeout(Duration::MAX)),
        ("idle_timeout(0)", |b| b.idle_timeout(Duration::ZERO)),
        ("idle_timeout(1 ns)", |b| b.idle_timeout(Duration::from_nanos(1))),
        ("idle_timeout(MAX)", |b| b.idle_timeout(Duration::MAX)),
        ("max_lifetime(0)", |b| b.max_lifetime(Duration::ZERO)),
        ("max_lifetime(1 ns)", |b| b.max_lifetime(Duration::from_nanos(1))),
        ("max_lifetime(MAX)", |b| b.max_lifetime(Duration::MAX)),
        ("close_timeout(0)", |b| b.close_timeout(Duration::ZERO)),
        ("close_timeout(MAX)", |b| b.close_timeout(Duration::MAX)),
        ("statement_timeout(0)", |b| b.statement_timeout(Duration::ZERO)),
        ("statement_timeout(MAX)", |b| b.statement_timeout(Duration::MAX)),
        ("statement_cache_size(0)", |b| b.statement_cache_size(0)),
        ("statement_cache_size(MAX)", |b| b.statement_cache_size(usize::MAX)),
        ("max_rows(0)", |b| b.max_rows(0)),
        ("max_rows(MAX)", |b| b.max_rows(usize::MAX)),
        ("max_bytes(0)", |b| b.max_bytes(0)),
        ("max_bytes(MAX)", |b| b.max_bytes(usize::MAX)),
        ("force_rollback and two connections", |b| b.force_rollback(true).max_connections(2)),
        ("a username with a NUL", |b| b.username("a\0b")),
        ("a password with a NUL", |b| b.password(format!("{SECRET}\0"))),
        ("a password that is not theirs", |b| b.password(SECRET)),
        ("a provider that fails", |b| {
            b.password_provider(async || Err(databases::Error::new(ErrorKind::Authentication, "no password today")))
        }),
        ("a provider's password that is not theirs", |b| b.password_provider(async || Ok(SECRET.to_owned()))),
        ("a hook that fails", |b| {
            b.after_connect(|conn| Box::pin(async move { conn.execute("nonsense", ()).await.map(drop) }))
        }),
    ];
    for place in places() {
        let backend = backend_of(&place);
        let db = open(&place).await;
        for (name, change) in changes {
            let builder = change(Database::builder(&place));
            trial.on(&db, backend, name, use_it(builder)).await;
        }
        db.close().await.unwrap();
    }
    trial.report(changes.len());
}
