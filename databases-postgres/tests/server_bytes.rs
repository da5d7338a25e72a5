//! Bytes of a server, damaged at random: no panic, no hang, typed errors, and a status that the server has really told.

#[path = "../../tests/support/replay.rs"]
mod replay;
mod support;

use std::time::Duration;

use databases_core::backend::{BackendConnection, ConnectContext, Status, TransactionCommand as Tx};
use databases_core::url::DatabaseUrl;
use databases_core::{ErrorKind, Params, PoolOptions, Result, TransactionOptions, Value, params};
use replay::{Random, Session, damage, record, say};
use support::{connector, run, url};
use tokio::net::TcpListener;

/// Messages of the client that ReadyForQuery answers, and the startup message.
fn asked(sent: &[u8]) -> usize {
    let length = |at: usize| sent.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize);
    let Some(mut at) = length(0).filter(|len| sent.len() >= *len) else { return 0 };
    let mut count = 1;
    while let Some(len) = length(at + 1) {
        if at + 1 + len > sent.len() {
            break;
        }
        count += usize::from(matches!(sent[at], b'S' | b'Q'));
        at += 1 + len;
    }
    count
}

/// The status bytes of all ReadyForQuery messages in `said`, as far as it can be taken apart.
fn told(said: &[u8]) -> Vec<u8> {
    let (mut at, mut told) = (0, Vec::new());
    while let Some([tag, a, b, c, d]) = said.get(at..at + 5) {
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if *tag == b'Z' {
            told.extend(said.get(at + 5));
        }
        at += 1 + len.max(4);
    }
    told
}

async fn open(port: u16) -> Result<std::sync::Arc<dyn BackendConnection>> {
    let url = format!("postgres://user@127.0.0.1:{port}/db?sslmode=disable");
    connector(&url, &PoolOptions::default())?.connect(ConnectContext::default()).await
}

/// What the session is made of: values of many types, a transaction, an error, a script, a stream.
async fn talk(c: &dyn BackendConnection) -> Result<()> {
    let values = "SELECT 1, 'text', 1.5::numeric, ARRAY[1, NULL], NULL, now(), '{}'::jsonb, decode('00ff', 'hex'), \
                  '1 day'::interval, int4range(1, 5), '127.0.0.1'::inet";
    let read = |rows: Vec<databases_core::Row>| {
        for row in rows {
            for column in 0..row.columns().len() {
                let _ = row.get::<Value>(column);
            }
        }
    };
    read(run(c, values, Params::new()).await?.1);
    c.transaction(Tx::Begin(TransactionOptions::new())).await?;
    let _ = run(c, "SELECT :a::int / 0", params! { a: 1 }).await;
    c.transaction(Tx::Rollback).await?;
    c.run_script("SELECT 1; SELECT 2").await?;
    let mut stream = c.open_stream(support::request(c, "SELECT generate_series(1, 300)", Params::new())).await?;
    while let Some(batch) = stream.next().await? {
        read((0..batch.len()).map(|index| databases_core::Row::new(batch.clone(), index)).collect());
    }
    c.ping().await
}

/// A session of a real server, from the answer that says that the login is done.
async fn recorded(url: &str) -> Session {
    let parsed: DatabaseUrl = url.parse().unwrap();
    let server = format!("{}:{}", parsed.host().unwrap(), parsed.port().unwrap_or(5432));
    let (port, session) = record(server, asked).await;
    let url = parsed.with_host("127.0.0.1").unwrap().with_port(port).unwrap();
    let url = url.without_option("sslmode").with_option("sslmode", "disable").unwrap().expose();
    let c = connector(&url, &PoolOptions::default()).unwrap().connect(ConnectContext::default()).await.unwrap();
    talk(&*c).await.unwrap();
    c.close().await;
    let mut session = session.lock().unwrap().clone();
    let done = session[1].windows(9).position(|w| w == b"R\0\0\0\x08\0\0\0\0").expect("the login is done");
    session[1].drain(..done);
    session
}

/// How many sessions run beside each other: most of one is waiting for bytes that do not come.
const LANES: u64 = 16;

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    refused: u64,
    broke: u64,
    worked: u64,
}

/// One session, damaged by `seed`; 0 leaves it whole.
async fn try_session(listener: &TcpListener, recorded: &Session, seed: u64, counts: &mut Counts) {
    let mut session = recorded.clone();
    if seed > 0 {
        damage(&mut session, &mut Random::new(seed));
    }
    let port = listener.local_addr().unwrap().port();
    let client = async {
        let c = match open(port).await {
            Ok(c) => c,
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::Internal, "seed {seed}: {error:?}");
                counts.refused += 1;
                return;
            }
        };
        match talk(&*c).await {
            Ok(()) => counts.worked += 1,
            Err(error) => {
                // Else the others would test less than they seem to.
                assert!(seed > 0, "the session as it was recorded: {error:?}");
                assert_ne!(error.kind(), ErrorKind::Internal, "seed {seed}: {error:?}");
                counts.broke += 1;
            }
        }
        let known = told(&session.concat());
        match c.status() {
            Status::Idle => assert!(known.contains(&b'I'), "seed {seed}"),
            Status::InTransaction => assert!(known.contains(&b'T'), "seed {seed}"),
            Status::Failed => assert!(known.contains(&b'E'), "seed {seed}"),
            Status::Busy | Status::Broken => {}
        }
        c.close().await;
    };
    let both = async { tokio::join!(client, say(listener, &session, asked)) };
    tokio::time::timeout(Duration::from_secs(20), both).await.unwrap_or_else(|_| panic!("seed {seed} hangs"));
}

#[tokio::test]
async fn damaged_sessions_end_in_typed_errors_and_a_true_status() {
    let sessions = std::env::var("DAMAGED_SESSIONS").map_or(20_000, |n| n.parse().expect("a number of sessions"));
    let Some(url) = url() else { return };
    let recorded = recorded(&url).await;
    assert!(recorded.len() >= 8, "{} answers are few", recorded.len());
    let lanes = (0..LANES).map(async |lane| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut counts = Counts::default();
        for seed in (lane..=sessions).step_by(LANES as usize) {
            try_session(&listener, &recorded, seed, &mut counts).await;
        }
        counts
    });
    let counts = futures_util::future::join_all(lanes).await;
    let sum = |of: fn(&Counts) -> u64| counts.iter().map(of).sum::<u64>();
    let (refused, broke, worked) = (sum(|c| c.refused), sum(|c| c.broke), sum(|c| c.worked));
    println!("{sessions} damaged sessions: {refused} refused, {broke} broke, {worked} worked");
    assert!(refused > 0 && broke > sessions / 10 && worked > 1, "the damage is of all sorts");
}
