//! Servers that say what none should: a proxy damages what a real one sends, and files are no databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use databases::{Database, DatabaseUrl, Executor, Row};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{SECRET, Trial, assert_healthy, backend_of, open, places, scratch};

/// What happens to the byte at a place of what the server sends.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip(u8),
    Set(u8),
    Cut,
    Insert(&'static [u8]),
    Drop(usize),
}

const DAMAGES: &[Damage] = &[
    Damage::Flip(0x01),
    Damage::Flip(0x80),
    Damage::Set(0x00),
    Damage::Set(0xff),
    Damage::Cut,
    Damage::Insert(&[0xff; 4]),
    Damage::Insert(&[0; 7]),
    Damage::Insert(b"Z\0\0\0\x05I"),
    Damage::Drop(1),
    Damage::Drop(5),
];

/// Passes on what a server sends, but for one place in the answers to the first connection.
async fn damaging_proxy(target: String, at: usize, damage: Damage) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let number = connections.fetch_add(1, Ordering::Relaxed);
            let Ok(server) = TcpStream::connect(&target).await else { continue };
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let up = tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
                });
                let (mut passed, mut bytes) = (0, vec![0; 65_536]);
                while let Ok(n @ 1..) = from_server.read(&mut bytes).await {
                    let chunk = &mut bytes[..n];
                    let here = at.checked_sub(passed).filter(|here| number == 0 && *here < n);
                    passed += n;
                    let damaged = match (here, damage) {
                        (None, _) => chunk.to_vec(),
                        (Some(here), Damage::Flip(bits)) => {
                            chunk[here] ^= bits;
                            chunk.to_vec()
                        }
                        (Some(here), Damage::Set(byte)) => {
                            chunk[here] = byte;
                            chunk.to_vec()
                        }
                        (Some(here), Damage::Cut) => {
                            let _ = to_client.write_all(&chunk[..here]).await;
                            break;
                        }
                        (Some(here), Damage::Insert(more)) => [&chunk[..here], more, &chunk[here..]].concat(),
                        (Some(here), Damage::Drop(count)) => [&chunk[..here], &chunk[(here + count).min(n)..]].concat(),
                    };
                    if to_client.write_all(&damaged).await.is_err() {
                        break;
                    }
                }
                up.abort();
            });
        }
    });
    port
}

#[tokio::test]
async fn damaged_answers_are_errors_or_answers_and_the_pool_recovers() {
    let mut trial = Trial::new("server bytes");
    for place in places() {
        let backend = backend_of(&place);
        let url: DatabaseUrl = place.parse().unwrap();
        let Some(host) = url.host() else { continue };
        let target = format!("{host}:{}", url.port().unwrap_or(if backend == "postgres" { 5432 } else { 3306 }));
        // Each byte of the handshake's beginning, and then fewer and fewer.
        let places = (0..24).chain((24..400).step_by(13)).chain((400..3000).step_by(97));
        for (number, at) in places.enumerate() {
            let damage = DAMAGES[number % DAMAGES.len()];
            let port = damaging_proxy(target.clone(), at, damage).await;
            let through = url.with_host("127.0.0.1").unwrap().with_port(port).unwrap();
            let builder = Database::builder(through.expose()).max_connections(1);
            // A length that was damaged is waited for in vain: that must have an end.
            let soon = Duration::from_secs(1);
            let db = builder.connect_timeout(soon).statement_timeout(soon).close_timeout(soon).connect_lazy().unwrap();
            let input = format!("{damage:?} at {at}");
            trial
                .outcome(backend, &input, async {
                    let rows: Vec<Row> = db.fetch_all("SELECT 1 AS a, 'text' AS b, NULL AS c", ()).await?;
                    for row in rows {
                        let _ = (row.get::<i64>(0), row.get::<String>(1), row.get::<Option<i64>>(2));
                    }
                    Ok(())
                })
                .await;
            // What was damaged may be a state that is found out about later; a second try is honest.
            let _ = tokio::time::timeout(crate::SOON, db.fetch_val::<i64>("SELECT 1", ())).await.unwrap();
            assert_healthy(&db, &input).await;
            db.close_now().await;
        }
    }
    trial.report(70);
}

#[tokio::test]
async fn files_that_are_no_database_are_errors_and_stay_as_they_are() {
    let mut trial = Trial::new("file bytes");
    let header = b"SQLite format 3\0";
    let well = open("sqlite::memory:").await;
    let contents: Vec<Vec<u8>> = vec![
        b"x".to_vec(),
        b"not a database, but a text that is longer than a header is, by quite a few letters and some more of them"
            .to_vec(),
        SECRET.repeat(1000).into_bytes(),
        header.to_vec(),
        [&header[..], &[0; 84]].concat(),
        [&header[..], &[0xff; 84]].concat(),
        [&header[..], &[0x10, 0, 1, 1, 0, 64, 32, 32], &[0; 5000][..]].concat(),
        [&header[..], &[0x10, 0, 9, 9, 0, 64, 32, 32], &[0; 5000][..]].concat(),
        vec![0; 100],
        vec![0; 8192],
        vec![0xff; 8192],
        (0..=255_u8).cycle().take(10_000).collect(),
    ];
    for (number, content) in contents.into_iter().enumerate() {
        let file = scratch("some.db");
        std::fs::write(&file, &content).unwrap();
        let url = format!("sqlite:///{}?mode=ro", file.display());
        trial
            .on(&well, "sqlite", &format!("file {number}"), async {
                let db = Database::connect(&url).await?;
                let read = db.fetch_all::<Row>("SELECT * FROM sqlite_schema", ()).await;
                db.close().await?;
                read
            })
            .await;
        assert_eq!(std::fs::read(&file).unwrap(), content, "file {number} was written to");
    }
    let folder = scratch("folder.db");
    std::fs::create_dir(&folder).unwrap();
    let url = format!("sqlite:///{}", folder.display());
    assert!(trial.on(&well, "sqlite", "a folder", Database::connect(&url)).await.is_some());
    trial.report(12);
}
