//! TLS with a server of this file's own, whose certificates are made at run time: every mode, client certificates, channel
//! binding, cancels, and somebody on the way.
#![cfg(feature = "tls")]

mod support;
#[path = "../../tests/tls_servers/mod.rs"]
mod tls_servers;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use databases_core::backend::{BackendConnection, ConnectContext};
use databases_core::tls::provider;
use databases_core::tls::rustls::crypto::CryptoProvider;
use databases_core::tls::rustls::pki_types::pem::PemObject;
use databases_core::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use databases_core::tls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use databases_core::url::DatabaseUrl;
use databases_core::{Error, ErrorKind, Executor, Params, Pool, PoolConfig, PoolOptions, Result, params, sql};
use databases_postgres::Postgres;
use futures_util::TryStreamExt;
use support::{connect, connector, exec, one};
use tls_servers::way::{Captured, another_host, cutter, passing_on, told, with};
use tls_servers::{Authority, Identity, Server, Table, in_a_process_of_its_own, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OnceCell;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Who may log in how. The administrator of the tests needs no TLS, so that it can be turned off and on.
const HBA: &str = "\
hostssl   all tls_only       all scram-sha-256
hostnossl all plain_only     all scram-sha-256
hostssl   all by_certificate all cert
hostssl   all with_both      all scram-sha-256 clientcert=verify-full
host      all in_clear       all password
host      all databases      all scram-sha-256
local     all tls_only           scram-sha-256";

const USERS: [&str; 5] = ["tls_only", "plain_only", "by_certificate", "with_both", "in_clear"];

/// A PostgreSQL with TLS.
struct Postgresql {
    url: DatabaseUrl,
    authority: Authority,
    /// The file with the authority's certificate.
    root: String,
    server: Server,
}

/// The server of all tests that leave it as it is; it ends with this process. `None` after a message where there is no
/// PostgreSQL to test with.
async fn shared() -> Option<&'static Postgresql> {
    static SERVER: OnceCell<Option<Postgresql>> = OnceCell::const_new();
    SERVER.get_or_init(start).await.as_ref()
}

async fn start() -> Option<Postgresql> {
    support::url()?;
    let server = Server::start("postgres", &[]);
    let url: DatabaseUrl = server.url.parse().unwrap();
    let url = url.with_option("sslmode", "disable").unwrap();
    let authority = Authority::new("authority");
    let root = write(&server.folder, "root.pem", &authority.certificate);
    let postgresql = Postgresql { url, authority, root, server };
    let admin = postgresql.admin().await;
    for user in USERS {
        exec(&*admin, &format!("CREATE ROLE {user} LOGIN PASSWORD 'secret'")).await;
    }
    postgresql.write("pg_hba.conf", HBA).await;
    postgresql.write("root.crt", &postgresql.authority.certificate).await;
    let identity = postgresql.authority.sign("server", &["localhost", "127.0.0.1"]);
    exec(&*admin, "ALTER SYSTEM SET ssl_ca_file = 'root.crt'").await;
    postgresql.turn_on(&identity).await;
    Some(postgresql)
}

impl Postgresql {
    async fn admin(&self) -> Arc<dyn BackendConnection> {
        connect(&self.url.expose()).await
    }

    /// Writes a file of the test.
    fn file(&self, name: &str, text: &str) -> String {
        write(&self.server.folder, name, text)
    }

    /// Writes a file of the server, as the server.
    async fn write(&self, file: &str, text: &str) {
        let lines: Vec<String> = text.lines().map(|line| format!("('{line}')")).collect();
        let sql = format!("COPY (VALUES {}) TO PROGRAM 'umask 077 && cat > {file}'", lines.join(","));
        exec(&*self.admin().await, &sql).await;
    }

    /// Has the server use the certificate for new sessions.
    async fn turn_on(&self, identity: &Identity) {
        self.write("server.crt", &identity.certificate).await;
        self.write("server.key", &identity.key).await;
        exec(&*self.admin().await, "ALTER SYSTEM SET ssl = on").await;
        self.reload().await;
    }

    async fn turn_off(&self) {
        exec(&*self.admin().await, "ALTER SYSTEM SET ssl = off").await;
        self.reload().await;
    }

    async fn reload(&self) {
        let loaded = "SELECT pg_conf_load_time()::text";
        let before: String = one(&*self.admin().await, loaded, Params::new()).await.unwrap();
        exec(&*self.admin().await, "SELECT pg_reload_conf()").await;
        for _ in 0..500 {
            if one::<String>(&*self.admin().await, loaded, Params::new()).await.unwrap() != before {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server did not load its settings again");
    }

    /// The URL of a user, with further options behind it.
    fn url(&self, user: &str, options: &str) -> String {
        self.url_at(user, "localhost", self.url.port().unwrap(), options)
    }

    fn url_at(&self, user: &str, host: &str, port: u16, options: &str) -> String {
        let password = match user {
            "databases" => self.url.password().unwrap(),
            _ => "secret",
        };
        let database = self.url.database().unwrap();
        format!("postgres://{user}:{password}@{host}:{port}/{database}?{options}")
    }

    fn target(&self) -> String {
        format!("127.0.0.1:{}", self.url.port().unwrap())
    }
}

async fn try_connect(url: &str) -> Result<Arc<dyn BackendConnection>> {
    let connecting = connector(url, &PoolOptions::default())?;
    tokio::time::timeout(Duration::from_secs(10), connecting.connect(ConnectContext::default())).await.expect("ends")
}

async fn refused(url: &str) -> Error {
    match try_connect(url).await {
        Ok(_) => panic!("{url} connects"),
        Err(error) => error,
    }
}

async fn uses_tls(connection: &dyn BackendConnection) -> bool {
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    one(connection, sql, Params::new()).await.unwrap()
}

/// `tls`, `plain`, or what is wrong.
async fn outcome(url: &str) -> String {
    let error = match try_connect(url).await {
        Ok(connection) if uses_tls(&*connection).await => return "tls".to_owned(),
        Ok(_) => return "plain".to_owned(),
        Err(error) => error,
    };
    told(&error).unwrap_or_else(|| panic!("{url}: {error:?}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mode_does_what_libpq_does() {
    let Some(server) = start().await else { return };
    let root = format!("&sslrootcert={}", server.root);
    let modes: Vec<(&str, String)> = vec![
        ("disable", "sslmode=disable".to_owned()),
        ("allow", "sslmode=allow".to_owned()),
        ("prefer", "sslmode=prefer".to_owned()),
        ("prefer, sslrootcert", format!("sslmode=prefer{root}")),
        ("(none)", String::new()),
        ("require", "sslmode=require".to_owned()),
        ("require, sslrootcert", format!("sslmode=require{root}")),
        ("verify-ca", format!("sslmode=verify-ca{root}")),
        ("verify-full", format!("sslmode=verify-full{root}")),
        ("verify-full by address", format!("sslmode=verify-full{root}")),
    ];
    let stranger = Authority::new("stranger");
    let here = ["localhost", "127.0.0.1"];
    // `None` where the server has no TLS; what is expected stands in the order of the modes.
    let weak = ["plain", "plain", "tls", "tls", "tls", "tls"];
    let cases: [(&'static str, &str, Option<Identity>, [&str; 10]); 8] = [
        ("good", "databases", Some(server.authority.sign("s", &here)), with(weak, ["tls", "tls", "tls", "tls"])),
        (
            "wrong name",
            "databases",
            Some(server.authority.sign("localhost", &["db.example"])),
            with(weak, ["tls", "tls", "wrong name", "wrong name"]),
        ),
        (
            "no name",
            "databases",
            Some(server.authority.sign("localhost", &[])),
            with(weak, ["tls", "tls", "no name", "no name"]),
        ),
        (
            "wrong authority",
            "databases",
            Some(stranger.sign("s", &here)),
            with(weak, ["unknown", "unknown", "unknown", "unknown"]),
        ),
        (
            "expired",
            "databases",
            Some(server.authority.sign_expired("s", &here)),
            with(weak, ["expired", "expired", "expired", "expired"]),
        ),
        ("no TLS", "databases", None, with(["plain", "plain", "plain", "plain", "plain", "no TLS"], ["no TLS"; 4])),
        (
            "hostssl",
            "tls_only",
            Some(server.authority.sign("s", &here)),
            with(["refused", "tls", "tls", "tls", "tls", "tls"], ["tls"; 4]),
        ),
        (
            "hostnossl",
            "plain_only",
            Some(server.authority.sign("s", &here)),
            with(["plain", "plain", "plain", "plain", "plain", "refused"], ["refused"; 4]),
        ),
    ];
    let names: Vec<&str> = modes.iter().map(|(name, _)| *name).collect();
    let mut table = Table::new(&names);
    for (name, user, identity, expected) in cases {
        match identity {
            Some(identity) => server.turn_on(&identity).await,
            None => server.turn_off().await,
        }
        table.server(name);
        for (row, ((mode, options), expected)) in modes.iter().zip(expected).enumerate() {
            let host = if mode.ends_with("address") { "127.0.0.1" } else { "localhost" };
            let url = server.url_at(user, host, server.url.port().unwrap(), options);
            let found = outcome(&url.replace("?&", "?")).await;
            table.note(row, &found, expected);
        }
    }
    table.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_is_a_login() {
    let Some(server) = shared().await else { return };
    let identity = server.authority.sign("by_certificate", &[]);
    let stranger = Authority::new("stranger").sign("by_certificate", &[]);
    let certificate = server.file("client.pem", &identity.certificate);
    let key = server.file("client.key", &identity.key);
    let options = format!("sslmode=verify-full&sslrootcert={}", server.root);
    let with =
        |user, certificate: &str, key: &str| server.url(user, &format!("{options}&sslcert={certificate}&sslkey={key}"));

    let connection = connect(&with("by_certificate", &certificate, &key)).await;
    let name: String =
        one(&*connection, "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()", Params::new())
            .await
            .unwrap();
    assert!(name.contains("by_certificate"), "{name}");
    // The certificate is another user's.
    assert_eq!(refused(&with("with_both", &certificate, &key)).await.kind(), ErrorKind::Authentication);
    assert_eq!(refused(&server.url("by_certificate", &options)).await.kind(), ErrorKind::Authentication);

    // The server says what it thinks of a certificate once the handshake is over here; it may be gone before that is read.
    let (bad, bad_key) = (server.file("bad.pem", &stranger.certificate), server.file("bad.key", &stranger.key));
    let error = refused(&with("by_certificate", &bad, &bad_key)).await;
    assert!(matches!(error.kind(), ErrorKind::Tls | ErrorKind::Connect), "{error:?}");

    // Renewed files are taken up.
    let pool = pool(&with("by_certificate", &certificate, &key));
    let held = pool.acquire().await.unwrap();
    server.file("client.pem", &stranger.certificate);
    server.file("client.key", &stranger.key);
    pool.acquire().await.unwrap_err();
    server.file("client.pem", &identity.certificate);
    server.file("client.key", &identity.key);
    pool.acquire().await.unwrap();
    drop(held);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let Some(server) = shared().await else { return };
    let identity = server.authority.sign("tls_only", &[]);
    let other = server.authority.sign("tls_only", &[]);
    let certificate = server.file("some.pem", &identity.certificate);
    let key = server.file("some.key", &identity.key);
    let other_key = server.file("other.key", &other.key);
    let empty = server.file("empty.pem", "nothing\n");
    for (options, expected) in [
        ("sslmode=verify-full&sslrootcert=/nowhere/ca.pem".to_owned(), "sslrootcert: the file /nowhere/ca.pem"),
        (format!("sslmode=verify-ca&sslrootcert={empty}"), "sslrootcert: the file holds no certificate"),
        (format!("sslmode=prefer&sslcert=/nowhere/a.pem&sslkey={key}"), "sslcert: the file /nowhere/a.pem"),
        (format!("sslmode=prefer&sslcert={empty}&sslkey={key}"), "sslcert: the file holds no certificate"),
        (format!("sslmode=allow&sslcert={certificate}&sslkey={empty}"), "sslkey: the file holds no private key"),
        (format!("sslmode=require&sslcert={certificate}&sslkey={other_key}"), "is not the one of the certificate"),
    ] {
        let error = refused(&server.url("tls_only", &options)).await;
        assert_eq!(error.kind(), ErrorKind::Tls, "{options}");
        assert!(error.to_string().contains(expected), "{options}: {error}");
    }
}

#[tokio::test]
async fn the_systems_authorities_are_the_default_of_verify() {
    let Some(server) = shared().await else { return };
    for options in ["sslmode=verify-ca", "sslmode=verify-full", "sslrootcert=system"] {
        let error = refused(&server.url("tls_only", options)).await;
        // Either none of them has signed the server's certificate, or there are none here.
        assert_eq!(error.kind(), ErrorKind::Tls, "{options}: {error:?}");
    }
}

#[tokio::test]
async fn an_authority_of_the_systems_is_trusted_and_no_provider_is_installed() {
    let Some(server) = shared().await else { return };
    let another = server.file("another.pem", &Authority::new("another").certificate);
    for (file, expected) in [(&server.root, "tls"), (&another, "unknown")] {
        let url = server.url("tls_only", "");
        let environment = [("SSL_CERT_FILE", &**file), ("URL", &*url), ("EXPECTED", expected)];
        in_a_process_of_its_own("with_authorities_of_the_system", &environment);
    }
}

#[tokio::test]
#[ignore = "in a process of its own, whose authorities are its environment's"]
async fn with_authorities_of_the_system() {
    let [url, expected] = ["URL", "EXPECTED"].map(|name| std::env::var(name).expect("the other test gives it"));
    for options in ["sslmode=verify-ca", "sslmode=verify-full", "sslrootcert=system"] {
        assert_eq!(outcome(&format!("{url}{options}")).await, expected, "{options}");
    }
    // That is the program's own to choose, and PostgreSQL's driver asks for none.
    assert!(CryptoProvider::get_default().is_none());
}

#[tokio::test]
async fn unix_sockets_never_use_tls() {
    let Some(server) = shared().await else { return };
    let directories: String =
        one(&*server.admin().await, "SELECT current_setting('unix_socket_directories')", Params::new()).await.unwrap();
    let directory = directories.split(',').next().unwrap().replace('/', "%2F");
    let port = server.url.port().unwrap();
    let connection = connect(&server.url_at("tls_only", &directory, port, "sslmode=verify-full")).await;
    assert!(!uses_tls(&*connection).await);
}

fn pool(url: &str) -> Pool {
    Pool::new(PoolConfig::from_url(&Postgres, &url.parse().unwrap(), |_| {}).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_streams_and_large_values_go_over_tls() -> Result<()> {
    let Some(server) = shared().await else { return Ok(()) };
    let pool = pool(&server.url("databases", &format!("sslmode=verify-full&sslrootcert={}", server.root)));
    let ssl: bool = pool.fetch_val("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", ()).await?;
    assert!(ssl);
    pool.execute("CREATE TABLE kept (n int, text text)", ()).await?;
    let tx = pool.begin().await?;
    tx.execute("INSERT INTO kept VALUES (1, 'a')", ()).await?;
    tx.rollback().await?;
    let tx = pool.begin().await?;
    let large = "x".repeat(3_000_000);
    tx.execute("INSERT INTO kept VALUES (2, :large)", params! { large: &large }).await?;
    tx.commit().await?;
    let kept: Vec<(i32, String)> = pool.fetch_all("SELECT n, text FROM kept", ()).await?;
    assert!(kept == [(2, large)]);

    let mut rows = pool.iterate::<(i64,)>("SELECT n FROM generate_series(1, 200000) AS n", ());
    let mut sum = 0;
    while let Some((n,)) = rows.try_next().await? {
        sum += n;
    }
    assert_eq!(sum, 200_000 * 200_001 / 2);
    Ok(())
}

/// Passes everything on to `target`, and keeps the first bytes of each connection.
async fn recorder(target: String) -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let record = recorded.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (target, record) = (target.clone(), record.clone());
            tokio::spawn(async move {
                let mut server = TcpStream::connect(&target).await?;
                let mut first = [0; 8];
                client.read_exact(&mut first).await?;
                record.lock().unwrap().push(first.to_vec());
                server.write_all(&first).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    (port, recorded)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancels_go_over_tls() -> Result<()> {
    let Some(server) = shared().await else { return Ok(()) };
    let (port, recorded) = recorder(server.target()).await;
    let options = format!("sslmode=verify-full&sslrootcert={}&max_connections=1", server.root);
    let pool = pool(&server.url_at("databases", "localhost", port, &options));
    let pid: i32 = pool.fetch_val("SELECT pg_backend_pid()", ()).await?;
    let sleep = sql("SELECT pg_sleep(30)").timeout(Duration::from_millis(200));
    let error = tokio::time::timeout(Duration::from_secs(5), pool.execute(sleep, ())).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StatementTimeout, "{error:?}");
    // The same session goes on, so its statement was cancelled.
    assert_eq!(pool.fetch_val::<i32>("SELECT pg_backend_pid()", ()).await?, pid);

    // So is one whose future is dropped.
    _ = tokio::time::timeout(Duration::from_millis(200), pool.execute("SELECT pg_sleep(30)", ())).await;
    let again = tokio::time::timeout(Duration::from_secs(5), pool.fetch_val::<i32>("SELECT pg_backend_pid()", ()));
    assert_eq!(again.await.expect("the statement was cancelled")?, pid);

    let recorded = recorded.lock().unwrap();
    assert!(recorded.len() >= 3, "one session and two cancels: {recorded:?}");
    assert!(recorded.iter().all(|first| *first == SSL_REQUEST), "{recorded:?}");
    Ok(())
}

/// Without TLS's word that it is the end, it is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_cut_within_tls_is_an_error_and_never_a_short_one() -> Result<()> {
    let Some(server) = shared().await else { return Ok(()) };
    let options = format!("sslmode=verify-full&sslrootcert={}&max_connections=1", server.root);
    for bytes in (20_000..120_000).step_by(19_919) {
        let port = cutter(server.target(), bytes).await;
        let pool = pool(&server.url_at("databases", "localhost", port, &options));
        let rows = "SELECT n FROM generate_series(1, 100000) AS n";
        let error = if bytes % 2 == 0 {
            pool.fetch_all::<(i32,)>(rows, ()).await.map(drop)
        } else {
            let mut rows = pool.iterate::<(i32,)>(rows, ());
            loop {
                match rows.try_next().await {
                    Ok(Some(_)) => {}
                    ended => break ended.map(drop),
                }
            }
        };
        assert_eq!(error.expect_err("the result was cut").kind(), ErrorKind::Disconnected, "after {bytes} bytes");
    }
    Ok(())
}

#[tokio::test]
async fn channel_binding_can_be_insisted_on() {
    let Some(server) = shared().await else { return };
    for (options, works) in [
        ("sslmode=require&channel_binding=require", true),
        ("sslmode=prefer&channel_binding=require", true),
        ("sslmode=require&channel_binding=prefer", true),
        ("sslmode=require&channel_binding=disable", true),
        // In plain text first, where there is nothing to bind to.
        ("sslmode=allow&channel_binding=require", false),
    ] {
        let outcome = try_connect(&server.url("databases", options)).await;
        assert_eq!(outcome.is_ok(), works, "{options}: {:?}", outcome.err());
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::Authentication);
            assert!(error.to_string().contains("channel_binding=require"), "{error}");
        }
    }
    // A login that is not bound is refused, even one by a certificate or in clear text.
    let identity = server.authority.sign("by_certificate", &[]);
    let (certificate, key) = (server.file("bound.pem", &identity.certificate), server.file("bound.key", &identity.key));
    for (user, options) in
        [("in_clear", String::new()), ("by_certificate", format!("&sslcert={certificate}&sslkey={key}"))]
    {
        let error = refused(&server.url(user, &format!("sslmode=require&channel_binding=require{options}"))).await;
        assert_eq!(error.kind(), ErrorKind::Authentication, "{user}: {error:?}");
        assert!(error.to_string().contains("channel_binding=require"), "{error}");
    }
}

fn acceptor(identity: &Identity) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Somebody on the way with a certificate of their own, who uses TLS on both sides and reads along.
async fn man_in_the_middle(server: &Postgresql) -> u16 {
    let acceptor = acceptor(&Authority::new("somebody").sign("somebody", &["localhost"]));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server.authority.certificate.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let target = server.target();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&target).await?;
            let mut request = [0; 8];
            client.read_exact(&mut request).await?;
            client.write_all(b"S").await?;
            server.write_all(&request).await?;
            server.read_u8().await?;
            let mut client = acceptor.accept(client).await?;
            let mut server = connector.connect(ServerName::try_from("localhost").unwrap(), server).await?;
            _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
        io::Result::Ok(())
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channel_binding_finds_out_who_is_on_the_way() {
    let Some(server) = shared().await else { return };
    let port = man_in_the_middle(server).await;
    let unbound = server.url_at("tls_only", "localhost", port, "sslmode=require&channel_binding=disable");
    assert!(uses_tls(&*connect(&unbound).await).await);
    let bound = server.url_at("tls_only", "localhost", port, "sslmode=require");
    let error = refused(&bound).await;
    assert!(matches!(error.kind(), ErrorKind::Authentication | ErrorKind::Connect), "{error:?}");
    let verified = format!("sslmode=verify-ca&sslrootcert={}&channel_binding=disable", server.root);
    assert_eq!(refused(&server.url_at("tls_only", "localhost", port, &verified)).await.kind(), ErrorKind::Tls);
}

#[tokio::test]
async fn the_password_is_sent_as_it_is_only_over_tls_that_was_insisted_on() {
    let Some(server) = shared().await else { return };
    for (options, works) in [
        ("sslmode=disable", false),
        ("sslmode=prefer", false),
        ("sslmode=require", true),
        ("sslmode=disable&allow_cleartext_password=true", true),
    ] {
        match try_connect(&server.url("in_clear", options)).await {
            Ok(_) => assert!(works, "{options}"),
            Err(error) => {
                assert!(!works, "{options}: {error:?}");
                assert_eq!(error.kind(), ErrorKind::Authentication);
                assert!(!format!("{error:?}").contains("secret"), "{error:?}");
            }
        }
    }
}

/// Answers the first message of every client with `answer` and gives what comes after that.
async fn answering(answer: &'static [u8]) -> (u16, tokio::task::JoinHandle<(Vec<u8>, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut first = vec![0; 8];
        client.read_exact(&mut first).await.unwrap();
        client.write_all(answer).await.unwrap();
        let mut rest = Vec::new();
        _ = tokio::time::timeout(Duration::from_secs(2), client.read_to_end(&mut rest)).await;
        (first, rest)
    });
    (port, heard)
}

#[tokio::test]
async fn nothing_is_sent_before_the_handshake_has_ended() {
    let authentication_ok = b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
    let answers: [&'static [u8]; 4] = [b"N", b"Efatal\0", b"H", authentication_ok];
    for answer in answers {
        let (port, heard) = answering(answer).await;
        let error = refused(&format!("postgres://some_user:secret@127.0.0.1:{port}/d?sslmode=require")).await;
        assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        let (first, rest) = heard.await.unwrap();
        assert_eq!(first, SSL_REQUEST);
        // Only a handshake and, at what was put behind the answer, an alert: bytes of TLS, never a message of ours.
        assert!(rest.is_empty() || matches!(rest[..], [0x16, 3, ..]), "{rest:?}");
        assert_eq!(rest.is_empty(), answer.first() != Some(&b'S'), "{answer:?}");
        assert!(!rest.windows(9).any(|window| window == b"some_user"), "{rest:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_ends_with_connect_timeout() {
    for answer in [&b""[..], b"S"] {
        let (port, _heard) = answering(answer).await;
        let pool = pool(&format!("postgres://u:p@127.0.0.1:{port}/d?sslmode=require&connect_timeout=300ms"));
        let error = tokio::time::timeout(Duration::from_secs(3), pool.connect()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout, "{error:?}");
    }
}

#[tokio::test]
async fn plain_text_to_another_host_is_a_warning() {
    let Some(server) = shared().await else { return };
    let Some(host) = another_host() else { return };
    let other: DatabaseUrl = support::url().unwrap().parse().unwrap();
    let has_none = outcome(&other.with_option("sslmode", "prefer").unwrap().expose()).await == "plain";
    for (url, mode, warns) in [
        (&server.url, None, false),
        (&server.url, Some("prefer"), false),
        (&server.url, Some("disable"), false),
        (&server.url, Some("allow"), true),
        (&other, None, has_none),
        (&other, Some("prefer"), has_none),
        (&other, Some("disable"), false),
    ] {
        let port = passing_on(&host, format!("{}:{}", url.host().unwrap(), url.port().unwrap_or(5432))).await;
        let (captured, _guard) = Captured::begin();
        let url = url.without_option("sslmode").with_host(&host).unwrap().with_port(port).unwrap();
        let url = mode.map_or_else(|| url.clone(), |mode| url.with_option("sslmode", mode).unwrap());
        let connector = connector(&url.expose(), &PoolOptions::default()).unwrap();
        connector.connect(ConnectContext::default()).await.unwrap();
        connector.connect(ConnectContext::default()).await.unwrap();
        let text = captured.text();
        assert_eq!(text.matches("the session is not encrypted").count(), usize::from(warns), "{url}: {text}");
    }
}
