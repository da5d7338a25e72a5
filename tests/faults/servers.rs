//! Servers that are killed, stopped, frozen, full or read-only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use databases::{Database, DatabaseBuilder, DatabaseUrl, ErrorKind, Executor as _, params, sql};
use tokio::net::{TcpListener, TcpStream};

use crate::server::Server;
use crate::{at_port, fails, run};

/// Ten times what the design asks for, which is a second.
const SOON: Duration = Duration::from_secs(10);

fn start(kind: &str, arguments: &[&str]) -> Option<Server> {
    let backend = if kind == "mariadb" { "mysql" } else { kind };
    Server::is_wanted(backend).then(|| Server::start(kind, arguments))
}

fn builder(server: &Server) -> DatabaseBuilder {
    Database::builder(server.url())
}

/// Does what blocks beside the runtime's work.
async fn beside<T: Send + 'static>(
    server: &mut Option<Server>,
    f: impl FnOnce(&mut Server) -> T + Send + 'static,
) -> T {
    let mut taken = server.take().expect("it was given back");
    let (taken, done) = tokio::task::spawn_blocking(move || {
        let done = f(&mut taken);
        (taken, done)
    })
    .await
    .expect("own-server answers");
    *server = Some(taken);
    done
}

/// A way to the server on which attempts to connect are counted.
struct Counter {
    port: u16,
    attempts: Arc<AtomicUsize>,
}

impl Counter {
    async fn before(server: &Server) -> Self {
        let url: DatabaseUrl = server.url().parse().expect("own-server prints a URL");
        let target = ("127.0.0.1", url.port().expect("it has a port"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let attempts = Arc::new(AtomicUsize::new(0));
        let count = attempts.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                count.fetch_add(1, Relaxed);
                tokio::spawn(async move {
                    // Where nobody listens the client is hung up on.
                    let mut server = TcpStream::connect(target).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self { port, attempts }
    }

    fn take(&self) -> usize {
        self.attempts.swap(0, Relaxed)
    }
}

/// While the server is away many wait, few knock, and nobody fails; when it is back all are served.
fn restarts(kind: &str) {
    let Some(server) = start(kind, &[]) else { return };
    run(async {
        let counter = Counter::before(&server).await;
        let url = at_port(server.url(), counter.port);
        let db = Database::builder(url).max_connections(8).option("sslmode", "disable").connect().await?;
        let mut server = Some(server);
        for kill in [false, true, true] {
            let mut held = Vec::new();
            for _ in 0..8 {
                let conn = db.acquire().await?;
                conn.fetch_val::<i64>("SELECT 1", ()).await?;
                held.push(conn);
            }
            drop(held);
            beside(&mut server, move |server| if kill { server.kill() } else { server.stop() }).await;
            // A driver that does not look at idle connections asks those that were idle for a second.
            tokio::time::sleep(Duration::from_millis(1100)).await;
            counter.take();
            let first = Arc::new(AtomicBool::new(false));
            let callers: Vec<_> = (0..100_i64)
                .map(|n| {
                    let (db, first) = (db.clone(), first.clone());
                    tokio::spawn(async move {
                        let echo: i64 = db.fetch_val("SELECT :n", params! { n }).await?;
                        assert_eq!(echo, n);
                        first.store(true, Relaxed);
                        Ok::<(), databases::Error>(())
                    })
                })
                .collect();
            let away = Instant::now();
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (attempts, seconds) = (counter.take(), away.elapsed().as_secs_f64());
            assert!((1.0..=1.0 + 5.0 * seconds).contains(&(attempts as f64)), "{attempts} attempts in {seconds} s");
            beside(&mut server, Server::start_again).await;
            let back = Instant::now();
            while !first.load(Relaxed) {
                assert!(back.elapsed() < SOON, "nobody was served");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            println!("{kind}: served {:?} after it was back; {attempts} attempts in {seconds:.1} s", back.elapsed());
            for caller in callers {
                caller.await.expect("it does not panic")?;
            }
        }
        db.close().await
    });
}

#[test]
fn callers_wait_while_postgres_restarts() {
    restarts("postgres");
}

#[test]
fn callers_wait_while_mariadb_restarts() {
    restarts("mariadb");
}

/// Nothing of a transaction whose server was killed is there afterwards.
fn killed(kind: &str, slow: &'static str) {
    let Some(server) = start(kind, &[]) else { return };
    run(async {
        let db = builder(&server).max_connections(2).connect().await?;
        db.execute("CREATE TABLE kept (id INTEGER PRIMARY KEY)", ()).await?;
        db.execute("INSERT INTO kept VALUES (1)", ()).await?;
        let tx = db.begin().await?;
        tx.execute("INSERT INTO kept VALUES (2)", ()).await?;
        let mut server = Some(server);
        let write = db.execute(slow, ());
        let kill = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            beside(&mut server, Server::kill).await;
        };
        let (write, ()) = tokio::join!(write, kill);
        // It was under way, so nobody can say.
        let error = fails(write, ErrorKind::Disconnected);
        assert_eq!(error.effect(), databases::Effect::Unknown, "{error:?}");
        fails(tx.execute("INSERT INTO kept VALUES (3)", ()).await, ErrorKind::Disconnected);
        fails(tx.commit().await, ErrorKind::Disconnected);
        beside(&mut server, Server::start_again).await;
        let kept: Vec<(i64,)> = db.fetch_all("SELECT id FROM kept", ()).await?;
        assert_eq!(kept, [(1,)]);
        db.close().await
    });
}

#[test]
fn a_transaction_on_a_killed_postgres_is_gone() {
    killed("postgres", "INSERT INTO kept SELECT 10 FROM pg_sleep(30)");
}

#[test]
fn a_transaction_on_a_killed_mariadb_is_gone() {
    killed("mariadb", "INSERT INTO kept SELECT 10 + SLEEP(30)");
}

/// A server with no room for more sessions: those that are open work, and others wait for as long as they may.
fn full(kind: &str, arguments: &[&str], says: &str) {
    let Some(server) = start(kind, arguments) else { return };
    run(async {
        let crowd = builder(&server).max_connections(20).acquire_timeout(Duration::from_secs(1)).connect().await?;
        let mut held = Vec::new();
        let error = loop {
            match crowd.acquire().await {
                Ok(conn) => held.push(conn),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::PoolTimeout, "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
        assert!((3..20).contains(&held.len()), "{} sessions", held.len());
        for conn in &held {
            assert_eq!(conn.fetch_val::<i64>("SELECT 1", ()).await?, 1);
        }
        // A database that never had a connection waits as well.
        let late = builder(&server).max_connections(1).acquire_timeout(Duration::from_millis(700)).connect_lazy()?;
        let asked = Instant::now();
        let error = fails(late.fetch_val::<i64>("SELECT 1", ()).await, ErrorKind::PoolTimeout);
        assert!(asked.elapsed() >= Duration::from_millis(700) && error.to_string().contains(says), "{error}");
        let patient = builder(&server).max_connections(1).connect_lazy()?;
        let (served, ()) = tokio::join!(patient.fetch_val::<i64>("SELECT 1", ()), async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            held.clear();
            crowd.close().await.expect("nothing is in use");
        });
        assert_eq!(served?, 1);
        patient.close().await
    });
}

#[test]
fn callers_wait_while_postgres_is_full() {
    let arguments = ["-c", "max_connections=5", "-c", "superuser_reserved_connections=0"];
    full("postgres", &arguments, "too many clients");
}

#[test]
fn callers_wait_while_mariadb_is_full() {
    full("mariadb", &["--max-connections=10"], "too many connections");
}

#[test]
fn a_frozen_session_of_postgres_costs_a_statement_its_timeout() {
    let Some(server) = start("postgres", &[]) else { return };
    run(async {
        let (db, observer) = (builder(&server).max_connections(1).connect().await?, builder(&server).connect().await?);
        let pid: i64 = db.fetch_val("SELECT pg_backend_pid()::bigint", ()).await?;
        let mut server = Some(server);
        assert!(beside(&mut server, move |server| server.signal("STOP", Some(pid))).await);
        let asked = Instant::now();
        let call = sql("SELECT 1").timeout(Duration::from_millis(300));
        let error = fails(db.fetch_val::<i64>(call, ()).await, ErrorKind::StatementTimeout);
        assert!(error.to_string().contains("0.3 s"), "{error}");
        // The place comes back though the old session never answers.
        let other: i64 = db.fetch_val("SELECT pg_backend_pid()::bigint", ()).await?;
        assert!(other != pid && asked.elapsed() < 2 * SOON, "{:?}", asked.elapsed());
        beside(&mut server, move |server| server.signal("CONT", Some(pid))).await;
        let thawed = Instant::now();
        let left = "SELECT count(*) FROM pg_stat_activity WHERE pid = :pid";
        while observer.fetch_val::<i64>(left, params! { pid }).await? != 0 {
            assert!(thawed.elapsed() < SOON, "the session is left behind");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        db.close().await?;
        observer.close().await
    });
}

#[test]
fn a_frozen_mariadb_costs_a_statement_its_timeout() {
    let Some(server) = start("mariadb", &[]) else { return };
    run(async {
        let db = builder(&server).max_connections(1).connect().await?;
        let mut server = Some(server);
        assert!(beside(&mut server, |server| server.signal("STOP", None)).await);
        // A signal takes a moment to reach all threads.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let asked = Instant::now();
        let call = sql("SELECT 1").timeout(Duration::from_millis(300));
        fails(db.fetch_val::<i64>(call, ()).await, ErrorKind::StatementTimeout);
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
        beside(&mut server, |server| server.signal("CONT", None)).await;
        assert_eq!(db.fetch_val::<i64>("SELECT 2", ()).await?, 2);
        db.close().await
    });
}

#[test]
fn a_read_only_mariadb_says_so() {
    let Some(server) = start("mariadb", &[]) else { return };
    run(async {
        let admin = builder(&server).connect().await?;
        for statement in [
            "CREATE TABLE kept (id INTEGER PRIMARY KEY)",
            "CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'secret'",
            "GRANT SELECT, INSERT ON databases_test.* TO reader@'127.0.0.1'",
            "SET GLOBAL read_only = 1",
        ] {
            admin.acquire().await?.execute(statement, ()).await?;
        }
        let url: DatabaseUrl = server.url().parse()?;
        let url = url.with_username("reader")?.with_password("secret")?;
        let db = Database::connect(url.expose()).await?;
        let error = fails(db.execute("INSERT INTO kept VALUES (1)", ()).await, ErrorKind::ReadOnly);
        assert_eq!((error.code(), error.effect()), (Some("1290"), databases::Effect::RolledBack));
        assert_eq!(db.fetch_val::<i64>("SELECT count(*) FROM kept", ()).await?, 0);
        db.close().await?;
        admin.close().await
    });
}

#[test]
fn a_read_only_postgres_says_so() {
    let Some(server) = start("postgres", &["-c", "default_transaction_read_only=on"]) else { return };
    run(async {
        let db = builder(&server).connect().await?;
        let error = fails(db.execute("CREATE TABLE kept (id INTEGER)", ()).await, ErrorKind::ReadOnly);
        assert_eq!((error.code(), error.effect()), (Some("25006"), databases::Effect::RolledBack));
        assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await?, 1);
        db.close().await
    });
}

/// A small file system of its own, where this process may mount one.
struct Volume(std::path::PathBuf);

impl Volume {
    fn mount() -> Option<Self> {
        let path = std::env::temp_dir().join(format!("faults_volume_{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary folder can be written");
        // The server runs as the first of these users that there is.
        let mount = "mount -t tmpfs -o size=2m,mode=700,uid=$(id -u postgres || id -u nobody) none \"$0\"";
        let done = std::process::Command::new("sh").args(["-c", mount]).arg(&path).output();
        let volume = Self(path);
        if done.is_ok_and(|done| done.status.success()) { Some(volume) } else { None }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).output();
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_full_disk_fails_the_transaction_on_postgres() {
    let Some(server) = start("postgres", &[]) else { return };
    let Some(volume) = Volume::mount() else {
        eprintln!("left out: only root can mount a small file system for a disk that is full");
        return;
    };
    run(async {
        let db = builder(&server).max_connections(1).connect().await?;
        db.execute(format!("CREATE TABLESPACE small LOCATION '{}'", volume.0.display()), ()).await?;
        db.execute("CREATE TABLE filled (body TEXT) TABLESPACE small", ()).await?;
        let fill = "INSERT INTO filled SELECT repeat('x', 1000) FROM generate_series(1, 10000)";
        let error = fails(db.execute(fill, ()).await, ErrorKind::StorageFull);
        assert_eq!((error.code(), error.effect()), (Some("53100"), databases::Effect::RolledBack));
        let tx = db.begin().await?;
        fails(tx.execute(fill, ()).await, ErrorKind::StorageFull);
        fails(tx.execute("SELECT 1", ()).await, ErrorKind::TransactionFailed);
        tx.rollback().await?;
        assert_eq!(db.fetch_val::<i64>("SELECT count(*) FROM filled", ()).await?, 0);
        db.close().await
    });
    drop(server);
}

#[test]
fn a_full_table_undoes_the_statement_on_mysql() {
    let Some(db) = crate::shared("mysql") else { return };
    run(async {
        let conn = db.acquire().await?;
        conn.execute("SET SESSION max_heap_table_size = 16384", ()).await?;
        conn.execute("CREATE TEMPORARY TABLE filled (body CHAR(250)) ENGINE=MEMORY", ()).await?;
        let error = loop {
            let insert = "INSERT INTO filled VALUES (:body)";
            if let Err(error) = conn.execute(insert, params! { body: "x".repeat(250) }).await {
                break error;
            }
        };
        assert_eq!((error.kind(), error.code()), (ErrorKind::StorageFull, Some("1114")), "{error:?}");
        assert!(conn.fetch_val::<i64>("SELECT count(*) FROM filled", ()).await? > 0);
        Ok(())
    });
}
