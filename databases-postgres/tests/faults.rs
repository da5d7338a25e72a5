//! What a broken connection, a hostile server and a wrong password do, partly with a server of our own making.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use databases_core::backend::{ConnectContext, Status, TransactionCommand as Tx};
use databases_core::url::DatabaseUrl;
use databases_core::{Effect, ErrorKind, Params, PoolOptions, TransactionOptions, params};
use support::{connect, connector, exec, one, run, url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A proxy that cuts both sides when a frontend's chunk holds `trigger`, before or after it is passed on.
async fn proxy(target: String, trigger: &'static [u8], pass: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&target).await.unwrap();
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let cut = Arc::new(AtomicBool::new(false));
                let holding = cut.clone();
                let back = tokio::spawn(async move {
                    let mut bytes = vec![0; 65_536];
                    while let Ok(n @ 1..) = from_server.read(&mut bytes).await {
                        if holding.load(SeqCst) || to_client.write_all(&bytes[..n]).await.is_err() {
                            break;
                        }
                    }
                });
                let mut bytes = vec![0; 65_536];
                while let Ok(n @ 1..) = from_client.read(&mut bytes).await {
                    let found = bytes[..n].windows(trigger.len()).any(|window| window == trigger);
                    cut.store(found, SeqCst);
                    if !found || pass {
                        _ = to_server.write_all(&bytes[..n]).await;
                    }
                    if found {
                        tokio::time::sleep(Duration::from_millis(30)).await;
                        break;
                    }
                }
                back.abort();
            });
        }
    });
    port
}

fn through(url: &str, port: u16) -> (String, String) {
    let url: DatabaseUrl = url.parse().unwrap();
    let target = format!("{}:{}", url.host().unwrap(), url.port().unwrap_or(5432));
    (url.with_host("127.0.0.1").unwrap().with_port(port).unwrap().expose(), target)
}

#[tokio::test]
async fn a_connection_lost_at_commit_has_an_unknown_outcome() {
    let Some(url) = url() else { return };
    let direct = connect(&url).await;
    exec(&*direct, "DROP TABLE IF EXISTS pgb_commits").await;
    exec(&*direct, "CREATE TABLE pgb_commits (n int)").await;
    for (n, pass) in [(1, true), (2, false)] {
        let (_, target) = through(&url, 1);
        let port = proxy(target, b"COMMIT", pass).await;
        let c = connect(&through(&url, port).0).await;
        c.transaction(Tx::Begin(TransactionOptions::new())).await.unwrap();
        run(&*c, "INSERT INTO pgb_commits VALUES (:n)", params! { n }).await.unwrap();
        let error = c.transaction(Tx::Commit).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::CommitOutcomeUnknown, Effect::Unknown), "{error:?}");
        assert!(!error.is_retryable());
        assert_eq!(c.status(), Status::Broken);
        let error = run(&*c, "SELECT 1", Params::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Disconnected, Effect::NotSent));
    }
    let mut landed: i64 = -1;
    for _ in 0..100 {
        landed = one(&*direct, "SELECT coalesce(sum(n), 0) FROM pgb_commits", Params::new()).await.unwrap();
        if landed == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(landed, 1, "the commit that was passed on has happened, the other has not");
    exec(&*direct, "DROP TABLE pgb_commits").await;
}

#[tokio::test]
async fn a_statement_that_the_connection_breaks_under_says_so() {
    let Some(url) = url() else { return };
    let (_, target) = through(&url, 1);
    let port = proxy(target, b"pg_sleep", true).await;
    let c = connect(&through(&url, port).0).await;
    // Only prepared so far, so nothing has run.
    let error = run(&*c, "SELECT pg_sleep(1)", Params::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Disconnected, Effect::NotSent));
    let c = connect(&through(&url, port).0).await;
    let error = c.run_script("SELECT pg_sleep(1)").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Disconnected, Effect::Unknown));
    tokio::time::timeout(Duration::from_secs(1), c.settle()).await.expect("nothing is left to settle");
    c.close().await;
}

#[tokio::test]
async fn passwords_are_needed_right_and_never_shown() {
    let Some(url) = url() else { return };
    let admin = connect(&url).await;
    exec(&*admin, "DROP ROLE IF EXISTS pgb_user").await;
    if run(&*admin, "CREATE ROLE pgb_user LOGIN PASSWORD 'hunter2'", Params::new()).await.is_err() {
        eprintln!("left out: the test user may not make roles");
        return;
    }
    let parsed: DatabaseUrl = url.parse().unwrap();
    let as_user = parsed.with_username("pgb_user").unwrap();
    let right = as_user.with_password("hunter2").unwrap().expose();
    let connector = connector(&right, &PoolOptions::default()).unwrap();
    assert!(!format!("{connector:?} {:?}", connector.target()).contains("hunter2"));
    connector.connect(ConnectContext::default()).await.unwrap();
    let mut context = ConnectContext::default();
    context.password = Some("wrong-pass".to_owned());
    match connector.connect(context).await {
        Ok(_) => eprintln!("left out: the server trusts everybody"),
        Err(error) => {
            assert_eq!((error.kind(), error.code()), (ErrorKind::Authentication, Some("28P01")));
            assert!(!format!("{error:?}").contains("wrong-pass"));
        }
    }
    exec(&*admin, "DROP ROLE pgb_user").await;
}

/// A server that reads the startup message, writes `answer`, a moment later `rest`, and keeps what comes then.
async fn fake(answer: &'static [u8], rest: &'static [u8]) -> (u16, tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, hears) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let heard = heard.clone();
            tokio::spawn(async move {
                let mut bytes = vec![0; 4096];
                _ = client.read(&mut bytes).await;
                _ = client.write_all(answer).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
                _ = client.write_all(rest).await;
                while let Ok(n @ 1..) = client.read(&mut bytes).await {
                    _ = heard.send(bytes[..n].to_vec());
                }
            });
        }
    });
    (port, hears)
}

const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

#[tokio::test]
async fn a_password_is_not_sent_in_clear_text() {
    let (port, mut heard) = fake(b"R\0\0\0\x08\0\0\0\x03", b"").await;
    let url = format!("postgres://u:hunter2@127.0.0.1:{port}/d");
    let error = connector(&url, &PoolOptions::default()).unwrap().connect(ConnectContext::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(error.hint().unwrap().contains("allow_cleartext_password"));
    assert!(!format!("{error:?}").contains("hunter2"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(heard.try_recv().is_err());

    let (port, mut heard) = fake(b"R\0\0\0\x08\0\0\0\x03", b"").await;
    let url = format!("postgres://u:hunter2@127.0.0.1:{port}/d?allow_cleartext_password=true");
    let connector = connector(&url, &PoolOptions::default()).unwrap();
    let connecting = tokio::spawn(async move { connector.connect(ConnectContext::default()).await.map(drop) });
    let sent = tokio::time::timeout(Duration::from_secs(5), heard.recv()).await.unwrap().unwrap();
    assert!(sent.windows(7).any(|window| window == b"hunter2"));
    connecting.abort();
}

#[tokio::test]
async fn a_server_that_says_nonsense_is_left_without_a_hang() {
    for (answer, kind) in [
        (&b""[..], None),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Some(ErrorKind::Connect)),
        (b"R\xff\xff\xff\xff", Some(ErrorKind::Connect)),
        (b"R\0\0\0\x00", Some(ErrorKind::Connect)),
    ] {
        let (port, _heard) = fake(answer, b"").await;
        let url = format!("postgres://u:hunter2@127.0.0.1:{port}/d");
        let connector = connector(&url, &PoolOptions::default()).unwrap();
        let connecting = connector.connect(ConnectContext::default());
        let result = tokio::time::timeout(Duration::from_millis(300), connecting).await;
        assert_eq!(result.ok().map(|result| result.map(drop).unwrap_err().kind()), kind);
    }
    // After the login: a message above the limit, an unasked ReadyForQuery, an unknown tag.
    for (rest, says) in
        [(&b"D\x7f\0\0\0"[..], "max_message_bytes"), (b"Z\0\0\0\x05T", "unexpected message"), (b"!\0\0\0\x04", "")]
    {
        let (port, _heard) = fake(OK, rest).await;
        let c = connect(&format!("postgres://u@127.0.0.1:{port}/d")).await;
        let running = run(&*c, "SELECT 1", Params::new());
        let error = tokio::time::timeout(Duration::from_secs(5), running).await.expect("ends").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected, "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(c.status(), Status::Broken);
    }
}

/// A server that asks for SCRAM, and then for as many `rounds` of it.
async fn scram(rounds: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = vec![0; 4096];
                _ = client.read(&mut bytes).await;
                _ = client.write_all(b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0").await;
                let n = client.read(&mut bytes).await.unwrap_or(0);
                let sent = String::from_utf8_lossy(&bytes[..n]).into_owned();
                let nonce = sent.rsplit("r=").next().unwrap_or_default();
                let challenge = format!("r={nonce}0123456789,s=bm90IGEgcmVhbCBzYWx0,i={rounds}");
                let len = u32::try_from(challenge.len() + 8).unwrap();
                let message = [b"R", &len.to_be_bytes()[..], &[0, 0, 0, 11], challenge.as_bytes()].concat();
                _ = client.write_all(&message).await;
                _ = client.read(&mut bytes).await;
                // An answer came: the login was computed. What follows is no proof of knowing the password.
                _ = client.write_all(b"R\0\0\0\x0c\0\0\0\x0cv=AA").await;
                _ = client.read(&mut bytes).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn a_login_is_given_up_before_it_takes_too_much_computing() {
    let long = "p".repeat(100_000);
    for (password, rounds, says) in [
        ("hunter2", "4096", "agree on no way"),
        ("hunter2", "2147483648", "too much computing"),
        ("hunter2", "999999999999999999999", "too much computing"),
        (&long, "4096", "too much computing"),
    ] {
        let port = scram(rounds).await;
        let url = format!("postgres://u:{password}@127.0.0.1:{port}/d?sslmode=disable");
        let connecting = Instant::now();
        let connector = connector(&url, &PoolOptions::default()).unwrap();
        let error = connector.connect(ConnectContext::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(!format!("{error:?}").contains(password));
        assert!(connecting.elapsed() < Duration::from_secs(5), "{rounds}");
    }
}
