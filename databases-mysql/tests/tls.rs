//! TLS with servers of this file's own, whose certificates are made at run time: every mode, client certificates, logins, and
//! somebody on the way.
#![cfg(feature = "tls")]

mod common;
#[path = "../../tests/tls_servers/mod.rs"]
mod tls_servers;

use std::time::Duration;

use common::{Conn, connect_to, connector, setup, url, value};
use databases_core::backend::ConnectContext;
use databases_core::tls::provider;
use databases_core::tls::rustls::SupportedCipherSuite;
use databases_core::tls::rustls::crypto::CryptoProvider;
use databases_core::url::DatabaseUrl;
use databases_core::{Error, ErrorKind, Executor, Pool, PoolConfig, Result, Value, params, sql};
use databases_mysql::MySql;
use futures_util::TryStreamExt;
use tls_servers::way::{Captured, another_host, cutter, passing_on, told, with};
use tls_servers::{Authority, Folder, Identity, Server, Table, in_a_process_of_its_own};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

/// A MariaDB with TLS.
struct MariaDb {
    url: DatabaseUrl,
    authority: Authority,
    /// Where the server reads its certificate from.
    files: Folder,
    root: String,
    _server: Server,
}

/// `None` after a message where there is no server to test with.
async fn start() -> Option<MariaDb> {
    url()?;
    let (authority, files) = (Authority::new("authority"), Folder::new());
    let root = files.write("root.pem", &authority.certificate);
    let identity = authority.sign("server", &HERE);
    let certificate = files.write("server.pem", &identity.certificate);
    let key = files.write("server.key", &identity.key);
    let options = [("ca", &root), ("cert", &certificate), ("key", &key)]
        .map(|(name, file)| ["--mysqld".to_owned(), format!("--ssl-{name}={file}")]);
    let server = Server::start("mariadb", &options.concat());
    let url: DatabaseUrl = server.url.parse().unwrap();
    let server = MariaDb { url, authority, files, root, _server: server };
    let admin = server.admin().await;
    for (user, needs) in [("tls_only", "SSL"), ("by_certificate", "X509"), ("by_subject", "SUBJECT '/CN=by_subject'")] {
        let sql = format!("CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'secret' REQUIRE {needs}");
        setup(&admin, &[&sql, &format!("GRANT ALL ON databases_test.* TO {user}@'127.0.0.1'")]).await;
    }
    Some(server)
}

impl MariaDb {
    async fn admin(&self) -> Conn {
        connect_to(&self.url.with_option("sslmode", "disable").unwrap()).await.unwrap()
    }

    /// Has the server use the certificate for new sessions.
    async fn use_certificate(&self, identity: &Identity) {
        self.files.write("server.pem", &identity.certificate);
        self.files.write("server.key", &identity.key);
        setup(&self.admin().await, &["FLUSH SSL"]).await;
    }

    fn url(&self, user: &str, options: &str) -> DatabaseUrl {
        of(&self.url, user, "localhost", self.url.port().unwrap(), options)
    }

    fn target(&self) -> String {
        format!("127.0.0.1:{}", self.url.port().unwrap())
    }
}

fn of(url: &DatabaseUrl, user: &str, host: &str, port: u16, options: &str) -> DatabaseUrl {
    let password = if user == "databases" { url.password().unwrap() } else { "secret" };
    let text = format!("mysql://{user}:{password}@{host}:{port}/{}?{options}", url.database().unwrap());
    text.replace("?&", "?").parse().unwrap()
}

async fn try_connect(url: &DatabaseUrl) -> Result<Conn> {
    tokio::time::timeout(Duration::from_secs(10), connect_to(url)).await.expect("ends")
}

async fn refused(url: &DatabaseUrl) -> Error {
    match try_connect(url).await {
        Ok(_) => panic!("{url} connects"),
        Err(error) => error,
    }
}

async fn cipher(conn: &Conn) -> String {
    let sql = "SHOW SESSION STATUS LIKE 'Ssl_cipher'";
    let rows = common::fetch(conn, sql, databases_core::Params::new()).await.unwrap();
    match &rows[0][1] {
        Value::Text(cipher) => cipher.to_string(),
        other => panic!("{other:?}"),
    }
}

/// `tls`, `plain`, or what is wrong.
async fn outcome(url: &DatabaseUrl) -> String {
    let error = match try_connect(url).await {
        Ok(conn) => return if cipher(&conn).await.is_empty() { "plain" } else { "tls" }.to_owned(),
        Err(error) => error,
    };
    told(&error).unwrap_or_else(|| panic!("{url}: {error:?}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mode_does_what_libpq_does() {
    let Some(server) = start().await else { return };
    let without_tls = Server::start("mariadb", &["--mysqld".to_owned(), "--skip-ssl".to_owned()]);
    let without: DatabaseUrl = without_tls.url.parse().unwrap();
    let root = format!("&sslrootcert={}", server.root);
    let modes: Vec<(&str, String)> = vec![
        ("disable", "sslmode=disable".to_owned()),
        ("allow", "sslmode=allow".to_owned()),
        ("prefer", "sslmode=prefer".to_owned()),
        ("prefer, sslrootcert", format!("sslmode=prefer{root}")),
        ("(none)", String::new()),
        ("require", "ssl-mode=REQUIRED".to_owned()),
        ("require, sslrootcert", format!("sslmode=require{root}")),
        ("verify-ca", format!("sslmode=verify-ca{root}")),
        ("verify-full", format!("sslmode=verify-full{root}")),
        ("verify-full by address", format!("sslmode=verify-full{root}")),
    ];
    let weak = ["plain", "plain", "tls", "tls", "tls", "tls"];
    let stranger = Authority::new("stranger");
    let cases: [(&'static str, &str, Option<Identity>, [&str; 10]); 7] = [
        ("good", "databases", Some(server.authority.sign("s", &HERE)), with(weak, ["tls"; 4])),
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
        ("wrong authority", "databases", Some(stranger.sign("s", &HERE)), with(weak, ["unknown"; 4])),
        ("expired", "databases", Some(server.authority.sign_expired("s", &["db.example"])), with(weak, ["expired"; 4])),
        ("no TLS", "databases", None, with(["plain", "plain", "plain", "plain", "plain", "no TLS"], ["no TLS"; 4])),
        (
            "REQUIRE SSL",
            "tls_only",
            Some(server.authority.sign("s", &HERE)),
            with(["refused", "tls", "tls", "tls", "tls", "tls"], ["tls"; 4]),
        ),
    ];
    let names: Vec<&str> = modes.iter().map(|(name, _)| *name).collect();
    let mut table = Table::new(&names);
    for (name, user, identity, expected) in cases {
        let url = match &identity {
            Some(identity) => {
                server.use_certificate(identity).await;
                &server.url
            }
            None => &without,
        };
        table.server(name);
        for (row, ((mode, options), expected)) in modes.iter().zip(expected).enumerate() {
            let host = if mode.ends_with("address") { "127.0.0.1" } else { "localhost" };
            let found = outcome(&of(url, user, host, url.port().unwrap(), options)).await;
            table.note(row, &found, expected);
        }
    }
    table.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_is_part_of_a_login() {
    let Some(server) = start().await else { return };
    let identity = server.authority.sign("by_subject", &[]);
    let certificate = server.files.write("client.pem", &identity.certificate);
    let key = server.files.write("client.key", &identity.key);
    let options = format!("sslmode=verify-full&sslrootcert={}", server.root);
    let with = format!("{options}&sslcert={certificate}&sslkey={key}");
    for user in ["by_certificate", "by_subject"] {
        assert!(!cipher(&connect_to(&server.url(user, &with)).await.unwrap()).await.is_empty());
        assert_eq!(refused(&server.url(user, &options)).await.kind(), ErrorKind::Authentication);
    }
    let stranger = Authority::new("stranger").sign("by_subject", &[]);
    let bad = server.files.write("bad.pem", &stranger.certificate);
    let bad_key = server.files.write("bad.key", &stranger.key);
    // The server says what it thinks of a certificate once the handshake is over here; it may be gone before that is read.
    let error = refused(&server.url("by_subject", &format!("{options}&sslcert={bad}&sslkey={bad_key}"))).await;
    assert!(matches!(error.kind(), ErrorKind::Tls | ErrorKind::Connect | ErrorKind::Authentication), "{error:?}");

    let error = refused(&server.url("by_subject", &format!("{options}&sslcert={certificate}&sslkey={bad_key}"))).await;
    assert_eq!(error.kind(), ErrorKind::Tls);
    assert!(error.to_string().contains("is not the one of the certificate"), "{error}");
}

#[tokio::test]
async fn the_systems_authorities_are_the_default_of_verify() {
    let Some(server) = start().await else { return };
    for options in ["sslmode=verify-ca", "sslmode=verify-full", "sslrootcert=system"] {
        let error = refused(&server.url("tls_only", options)).await;
        assert_eq!(error.kind(), ErrorKind::Tls, "{options}: {error:?}");
    }
}

#[tokio::test]
async fn an_authority_of_the_systems_is_trusted_and_a_provider_of_the_programs_stays() {
    let Some(server) = start().await else { return };
    let another = server.files.write("another.pem", &Authority::new("another").certificate);
    for (file, expected) in [(&server.root, "tls"), (&another, "unknown")] {
        let url = server.url("tls_only", "").expose();
        let environment = [("SSL_CERT_FILE", &**file), ("URL", &*url), ("EXPECTED", expected)];
        in_a_process_of_its_own("with_authorities_of_the_system_and_a_provider_of_ones_own", &environment);
    }
}

#[tokio::test]
#[ignore = "in a process of its own, whose authorities are its environment's"]
async fn with_authorities_of_the_system_and_a_provider_of_ones_own() {
    const SUITE: &str = "TLS_CHACHA20_POLY1305_SHA256";
    let is_it = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite()).ends_with("CHACHA20_POLY1305_SHA256");
    let mut own = provider();
    own.cipher_suites.retain(|suite| suite.tls13().is_some() && is_it(suite));
    own.install_default().unwrap();
    let [url, expected] = ["URL", "EXPECTED"].map(|name| std::env::var(name).expect("the other test gives it"));
    let url: DatabaseUrl = url.parse().unwrap();
    for (key, value) in [("sslmode", "verify-ca"), ("sslmode", "verify-full"), ("sslrootcert", "system")] {
        let url = url.with_option(key, value).unwrap();
        assert_eq!(outcome(&url).await, expected, "{key}={value}");
        if expected == "tls" {
            assert_eq!(cipher(&try_connect(&url).await.unwrap()).await, SUITE, "the driver goes by the program's");
        }
    }
    assert_eq!(CryptoProvider::get_default().unwrap().cipher_suites.len(), 1);
}

fn pool(url: &DatabaseUrl) -> Pool {
    Pool::new(PoolConfig::from_url(&MySql, url, |_| {}).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_streams_and_cancels_go_over_tls() -> Result<()> {
    let Some(server) = start().await else { return Ok(()) };
    // An account that takes no side connection without TLS either.
    let pool = pool(&server.url("tls_only", &format!("sslmode=verify-full&sslrootcert={}", server.root)));
    pool.execute("CREATE TABLE kept (n int, text longtext)", ()).await?;
    let tx = pool.begin().await?;
    tx.execute("INSERT INTO kept VALUES (1, 'a')", ()).await?;
    tx.rollback().await?;
    let tx = pool.begin().await?;
    let large = "x".repeat(3_000_000);
    tx.execute("INSERT INTO kept VALUES (2, :large)", params! { large: &large }).await?;
    tx.commit().await?;
    let kept: Vec<(i32, String)> = pool.fetch_all("SELECT n, text FROM kept", ()).await?;
    assert!(kept == [(2, large)]);

    let mut rows = pool.iterate::<(i64,)>("SELECT seq FROM seq_1_to_200000", ());
    let mut sum = 0;
    while let Some((n,)) = rows.try_next().await? {
        sum += n;
    }
    assert_eq!(sum, 200_000 * 200_001 / 2);
    drop(rows);

    let sleep = sql("SELECT SLEEP(30)").timeout(Duration::from_millis(200));
    let error = tokio::time::timeout(Duration::from_secs(5), pool.execute(sleep, ())).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StatementTimeout, "{error:?}");
    let admin = server.admin().await;
    common::eventually("the statement is stopped at the server", async || {
        let sql = "SELECT count(*) FROM information_schema.processlist WHERE info = 'SELECT SLEEP(30)'";
        matches!(value(&admin, sql).await, Value::Int(0))
    })
    .await;
    Ok(())
}

/// Without TLS's word that it is the end, it is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_cut_within_tls_is_an_error_and_never_a_short_one() -> Result<()> {
    let Some(server) = start().await else { return Ok(()) };
    let options = format!("sslmode=verify-full&sslrootcert={}&max_connections=1", server.root);
    for bytes in (20_000..120_000).step_by(19_919) {
        let port = cutter(server.target(), bytes).await;
        let pool = pool(&server.url("databases", &options).with_port(port)?);
        let rows = "SELECT seq FROM seq_1_to_100000";
        let error = if bytes % 2 == 0 {
            pool.fetch_all::<(i64,)>(rows, ()).await.map(drop)
        } else {
            let mut rows = pool.iterate::<(i64,)>(rows, ());
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
async fn a_provider_is_there_for_the_driver() {
    let Some(server) = start().await else { return };
    connect_to(&server.url("tls_only", "sslmode=require")).await.unwrap();
    assert!(CryptoProvider::get_default().is_some());
}

/// The servers of the tests that are MySQL's own, with the certificates that they made for themselves.
async fn mysql_servers() -> Vec<(DatabaseUrl, Conn)> {
    let mut found = Vec::new();
    for url in std::env::var("TEST_DATABASE_URLS").unwrap_or_default().split(',').map(str::trim) {
        if url.starts_with("mysql") {
            let url: DatabaseUrl = url.parse().unwrap();
            let conn = connect_to(&url).await.unwrap();
            if conn.server_info().await.unwrap().product == "MySQL" {
                found.push((url, conn));
            }
        }
    }
    if found.is_empty() {
        eprintln!("left out: TEST_DATABASE_URLS names no MySQL (scripts/servers --matrix has one)");
    }
    found
}

#[tokio::test]
async fn caching_sha2_password_sends_a_password_over_tls() {
    for (url, admin) in mysql_servers().await {
        assert!(!cipher(&admin).await.is_empty(), "the default mode uses TLS where there is some");
        // The first login of an account is the one that sends the whole password.
        for (user, options, encrypted) in [
            ("sha2_plain", "sslmode=disable", false),
            ("sha2_prefer", "sslmode=prefer", true),
            ("sha2_require", "sslmode=require", true),
        ] {
            let create = format!("CREATE USER {user} IDENTIFIED WITH caching_sha2_password BY 'secret'");
            let grant = format!("GRANT ALL ON {}.* TO {user}", url.database().unwrap());
            setup(&admin, &[&format!("DROP USER IF EXISTS {user}"), &create, &grant]).await;
            let url = of(&url, user, "127.0.0.1", url.port().unwrap(), options);
            for _ in 0..2 {
                assert_eq!(!cipher(&connect_to(&url).await.unwrap()).await.is_empty(), encrypted, "{options}");
            }
            let wrong = url.with_password("wrong").unwrap();
            assert_eq!(refused(&wrong).await.kind(), ErrorKind::Authentication, "{options}");
        }
    }
}

#[tokio::test]
async fn the_certificate_that_mysql_makes_for_itself_passes_as_far_as_it_goes() {
    for (url, admin) in mysql_servers().await {
        let Value::Bytes(pem) = value(&admin, "SELECT LOAD_FILE(CONCAT(@@datadir, 'ca.pem'))").await else { panic!() };
        let files = Folder::new();
        let root = files.write("ca.pem", std::str::from_utf8(&pem).unwrap());
        let with = |mode: &str| {
            let options = format!("sslmode={mode}&sslrootcert={root}");
            of(&url, "databases", "127.0.0.1", url.port().unwrap(), &options)
        };
        assert_eq!(outcome(&with("require")).await, "tls");
        assert_eq!(outcome(&with("verify-ca")).await, "tls");
        // It names no host.
        assert_eq!(outcome(&with("verify-full")).await, "no name");
    }
}

/// A server that greets with `capabilities`, answers the first message with `answer`, and keeps what it is sent.
async fn greeting(capabilities: u32, answer: &'static [u8]) -> (u16, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let [a, b, c, d] = capabilities.to_le_bytes();
        let mut packet = b"\x0a8.0.40\0\x01\0\0\0abcdefgh\0".to_vec();
        packet.extend([a, b, 45, 2, 0, c, d, 21]);
        packet.extend([0; 10]);
        packet.extend(b"ijklmnopqrst\0mysql_native_password\0");
        let length = u32::try_from(packet.len()).unwrap().to_le_bytes();
        client.write_all(&[length[0], length[1], length[2], 0]).await.unwrap();
        client.write_all(&packet).await.unwrap();
        let mut heard = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(Ok(n @ 1..)) = tokio::time::timeout(Duration::from_secs(2), client.read(&mut bytes)).await {
            heard.extend(&bytes[..n]);
            _ = client.write_all(answer).await;
        }
        heard
    });
    (port, heard)
}

#[tokio::test]
async fn nothing_is_sent_before_the_handshake_has_ended() {
    const WITHOUT_TLS: u32 = 0x003f_a68d;
    const WITH_TLS: u32 = WITHOUT_TLS | 0x0800;
    for (capabilities, answer) in
        [(WITHOUT_TLS, &b""[..]), (WITH_TLS, b"\x07\0\0\x02\0\0\0\x02\0\0\0"), (WITH_TLS, b"")]
    {
        for mode in ["require", "verify-ca", "verify-full"] {
            let (port, heard) = greeting(capabilities, answer).await;
            let url =
                format!("mysql://some_user:secret@127.0.0.1:{port}/some_database?sslmode={mode}&connect_timeout=1s");
            let pool = pool(&url.parse().unwrap());
            let error = pool.connect().await.unwrap_err();
            let never_answers = capabilities == WITH_TLS && answer.is_empty();
            // Without certificates of the system, verify-* ends before that.
            let expected = if never_answers { ErrorKind::ConnectTimeout } else { ErrorKind::Tls };
            assert!([expected, ErrorKind::Tls].contains(&error.kind()), "{mode}: {error:?}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
            drop(pool);
            let heard = heard.await.unwrap();
            for secret in [&b"some_user"[..], b"some_database", b"secret"] {
                assert!(!heard.windows(secret.len()).any(|window| window == secret), "{mode}: {heard:?}");
            }
            if capabilities == WITHOUT_TLS {
                assert!(heard.is_empty(), "{mode}: {heard:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_password_is_sent_as_it_is_only_over_tls_that_was_insisted_on() {
    /// Asks for mysql_clear_password at once.
    const SWITCH: &[u8] = b"\x16\0\0\x02\xfemysql_clear_password\0";
    const WITHOUT_TLS: u32 = 0x003f_a68d | 0x0008_0000;
    for (option, sent) in [("", false), ("&allow_cleartext_password=true", true)] {
        let (port, heard) = greeting(WITHOUT_TLS, SWITCH).await;
        let url = format!("mysql://some_user:secret@127.0.0.1:{port}/d?sslmode=disable{option}");
        let error = refused(&url.parse().unwrap()).await;
        if !sent {
            assert_eq!(error.kind(), ErrorKind::Authentication, "{error:?}");
        }
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        let heard = heard.await.unwrap();
        assert_eq!(heard.windows(6).any(|window| window == b"secret"), sent, "{option}: {heard:?}");
    }
}

#[tokio::test]
async fn plain_text_to_another_host_is_a_warning() {
    let Some(server) = start().await else { return };
    let Some(host) = another_host() else { return };
    let other = common::url().unwrap().without_option("sslmode");
    let has_none = outcome(&other).await == "plain";
    for (url, options, warns) in [
        (&server.url, "", false),
        (&server.url, "sslmode=prefer", false),
        (&server.url, "sslmode=disable", false),
        (&server.url, "sslmode=allow", true),
        (&other, "", has_none),
        (&other, "sslmode=prefer", has_none),
        (&other, "sslmode=disable", false),
    ] {
        let port = passing_on(&host, format!("{}:{}", url.host().unwrap(), url.port().unwrap_or(3306))).await;
        let (captured, _guard) = Captured::begin();
        let connector = connector(&of(url, "databases", &host, port, options)).unwrap();
        connector.connect(ConnectContext::default()).await.unwrap();
        connector.connect(ConnectContext::default()).await.unwrap();
        let text = captured.text();
        assert_eq!(
            text.matches("the session is not encrypted").count(),
            usize::from(warns),
            "{url}, {options}: {text}"
        );
    }
}
