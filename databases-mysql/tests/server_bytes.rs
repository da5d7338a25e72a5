//! Bytes of a server, damaged at random and on purpose, over loopback: no hang, no panic, and typed errors. The driver panics
//! on some of them, which costs their connection and no more.

mod common;
#[path = "../../tests/support/replay.rs"]
mod replay;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use common::hostile::hostile;
use common::{Conn, Rows, connect_to, request};
use databases_core::backend::{Status, TransactionCommand as Tx};
use databases_core::url::DatabaseUrl;
use databases_core::{
    Effect, ErrorKind, Executor, FromRow, Params, Pool, PoolConfig, Result, Row, TransactionOptions, params,
};
use databases_mysql::MySql;
use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use replay::{Random, Session, damage, record, say};
use tokio::net::TcpListener;

/// Packets of the client.
fn asked(sent: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while let Some([a, b, c, _]) = sent.get(at..at + 4) {
        at += 4 + u32::from_le_bytes([*a, *b, *c, 0]) as usize;
        if at > sent.len() {
            break;
        }
        count += 1;
    }
    count
}

/// Values of many types, a transaction, an error, a script, a stream.
async fn talk(conn: &Conn) -> Result<()> {
    let values = "SELECT 1, 'text', 1.5, NULL, NOW(6), CAST('10:00' AS TIME), x'00ff', CAST(1 AS UNSIGNED), 1e10";
    let mut rows = Rows::default();
    conn.run(request(conn, values, Params::new())?, &mut rows).await?;
    let _ = rows.values();
    conn.transaction(Tx::Begin(TransactionOptions::new())).await?;
    let _ = conn.run(request(conn, "SELECT :a FROM no_such_table", params! { a: 1 })?, &mut Rows::default()).await;
    conn.transaction(Tx::Rollback).await?;
    conn.run_script("SELECT 1; SELECT 2").await?;
    let mut stream = conn.open_stream(request(conn, "SELECT 1 UNION SELECT 2", Params::new())?).await?;
    let mut rows = Rows::default();
    while let Some(batch) = stream.next().await? {
        rows.0.push(batch);
    }
    let _ = rows.values();
    conn.ping().await
}

fn at(url: &DatabaseUrl, port: u16) -> DatabaseUrl {
    let url = url.with_host("127.0.0.1").unwrap().with_port(port).unwrap();
    url.without_option("ssl-mode").without_option("sslmode").with_option("sslmode", "disable").unwrap()
}

async fn recorded(url: &DatabaseUrl) -> Session {
    let server = format!("{}:{}", url.host().unwrap(), url.port().unwrap_or(3306));
    let (port, session) = record(server, asked).await;
    let conn = connect_to(&at(url, port)).await.unwrap();
    talk(&conn).await.unwrap();
    conn.close().await;
    let session = session.lock().unwrap();
    session.clone()
}

/// How many sessions run beside each other: most of one is waiting for bytes that do not come.
const LANES: u64 = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    refused: u64,
    broke: u64,
    worked: u64,
    unreadable: u64,
}

/// One session, damaged by `seed`; 0 leaves it whole.
async fn try_session(url: &DatabaseUrl, recorded: &Session, seed: u64, counts: &mut Counts) {
    let mut session = recorded.clone();
    if seed > 0 {
        damage(&mut session, &mut Random::new(seed));
    }
    // A listener of its own: the connection that would send KILL is not to be taken for the next client.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = at(url, listener.local_addr().unwrap().port());
    let client = async {
        let conn = match connect_to(&url).await {
            Ok(conn) => conn,
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::Internal, "seed {seed}: {error:?}");
                counts.refused += 1;
                return;
            }
        };
        match talk(&conn).await {
            Ok(()) => counts.worked += 1,
            Err(error) => {
                assert!(seed > 0, "the session as it was recorded: {error:?}");
                // A server that says that it did something else than it was told is nobody else's fault.
                let says_so = error.to_string().starts_with("the server reports");
                assert!(error.kind() != ErrorKind::Internal || says_so, "seed {seed}: {error:?}");
                counts.broke += 1;
                if error.to_string().contains(UNREADABLE) {
                    counts.unreadable += 1;
                    assert_eq!(conn.status(), Status::Broken, "seed {seed}: nobody gets what a panic has left");
                }
            }
        }
        conn.close().await;
    };
    let both = async { tokio::join!(client, say(&listener, &session, asked)) };
    tokio::time::timeout(Duration::from_secs(20), both).await.unwrap_or_else(|_| panic!("seed {seed} hangs"));
}

#[tokio::test]
async fn damaged_sessions_end_in_typed_errors_or_cost_their_connection() {
    let sessions = std::env::var("DAMAGED_SESSIONS").map_or(2_000, |n| n.parse().expect("a number of sessions"));
    let Some(url) = common::url() else { return };
    let recorded = recorded(&url).await;
    assert!(recorded.len() >= 8, "{} answers are few", recorded.len());
    let lanes = (0..LANES).map(async |lane| {
        let mut counts = Counts::default();
        for seed in (lane..=sessions).step_by(LANES as usize) {
            try_session(&url, &recorded, seed, &mut counts).await;
        }
        counts
    });
    let counts = futures_util::future::join_all(lanes).await;
    let sum = |of: fn(&Counts) -> u64| counts.iter().map(of).sum::<u64>();
    let (refused, broke, worked, unreadable) =
        (sum(|c| c.refused), sum(|c| c.broke), sum(|c| c.worked), sum(|c| c.unreadable));
    println!(
        "{sessions} sessions: {refused} refused, {broke} broke, {worked} worked; {unreadable} panics of the driver"
    );
    assert!(refused > 0 && broke > 0 && worked > 1, "the damage is of all sorts");
}

const UNREADABLE: &str = "the driver cannot read the server's answer";

async fn fails<T>(call: impl Future<Output = Result<T>>, kind: ErrorKind) {
    let outcome = tokio::time::timeout(Duration::from_secs(10), AssertUnwindSafe(call).catch_unwind()).await;
    let error = outcome.expect("no hang").expect("no panic").err().expect("an error");
    assert_eq!((error.kind(), error.effect()), (kind, Effect::Unknown), "{error:?}");
    assert!(error.to_string().contains(UNREADABLE), "{error}");
}

#[tokio::test]
async fn an_answer_that_the_driver_panics_at_costs_its_connection_and_no_more() {
    for url in common::urls() {
        let server = format!("{}:{}", url.host().unwrap(), url.port().unwrap_or(3306));
        let said = Arc::new(AtomicUsize::new(0));
        let db = |port| {
            let url = at(&url, port).with_option("max_connections", "1").unwrap();
            Pool::new(PoolConfig::from_url(&MySql, &url, |_| {}).unwrap()).unwrap()
        };
        let of_text = db(hostile(server.clone(), "'hostile'", said.clone()).await);
        let works = async |db: &Pool| {
            assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await.unwrap(), 1);
            assert_eq!(db.status().size, 1, "{:?}", db.status());
        };
        const SQL: &str = "SELECT 'hostile'";
        works(&of_text).await;
        fails(of_text.fetch_val::<String>(SQL, ()), ErrorKind::Disconnected).await;
        works(&of_text).await;
        let rows = [(); 1].map(|()| Params::new());
        fails(of_text.execute_many(SQL, rows), ErrorKind::Disconnected).await;
        works(&of_text).await;
        fails(of_text.execute_script("SELECT 'hostile'; SELECT 1"), ErrorKind::Disconnected).await;
        works(&of_text).await;
        let stream = async { of_text.iterate::<Row>(SQL, ()).next().await.expect("an item") };
        fails(stream, ErrorKind::Disconnected).await;
        works(&of_text).await;
        let tx = of_text.begin().await.unwrap();
        fails(tx.fetch_val::<String>(SQL, ()), ErrorKind::Disconnected).await;
        assert!(tx.commit().await.is_err());
        works(&of_text).await;
        assert_eq!(said.load(SeqCst), 5);
        // What becomes of a COMMIT whose answer cannot be read is not known.
        let of_commit = db(hostile(server.clone(), "COMMIT", said.clone()).await);
        let tx = of_commit.begin().await.unwrap();
        fails(tx.commit(), ErrorKind::CommitOutcomeUnknown).await;
        works(&of_commit).await;
        // Before there is a session at all.
        let of_login = db(hostile(server, "time_zone", said.clone()).await);
        let error = of_login.fetch_val::<i64>("SELECT 1", ()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Connect, Effect::NotSent), "{error:?}");
        assert!(error.to_string().contains("the driver cannot read the answer of the server at 127.0.0.1:"), "{error}");
        for db in [of_text, of_commit, of_login] {
            db.close().await.unwrap();
        }
    }
}

struct Panics;

impl FromRow for Panics {
    fn from_row(_: &Row) -> Result<Self> {
        panic!("of the caller")
    }
}

#[tokio::test]
async fn a_panic_of_the_callers_own_stays_one() {
    for url in common::urls() {
        let db = Pool::new(PoolConfig::from_url(&MySql, &url, |_| {}).unwrap()).unwrap();
        let panic = AssertUnwindSafe(db.fetch_all::<Panics>("SELECT 1", ())).catch_unwind().await;
        assert_eq!(panic.err().and_then(|panic| panic.downcast_ref::<&str>().copied()), Some("of the caller"));
        assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await.unwrap(), 1);
        db.close().await.unwrap();
    }
}
