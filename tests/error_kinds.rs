//! Every [`ErrorKind`] on every backend: provoked here, shown by another test, or not to be had, and then why.
//!
//! What an error prints, in whatever form, holds no value of a parameter and no password, and no layer repeats another.

use std::time::Duration;

use databases::{
    Connection, Database, DatabaseUrl, Error, ErrorKind, Executor, FromValue, Result, Transaction, TransactionOptions,
    params, sql, types,
};

/// What must not be printed: a value, and a password.
const VALUE: &str = "canary 731337";
const PASSWORD: &str = "hunter2-731338";

/// Where an error of a kind is to be seen on a backend.
#[derive(Clone, Copy)]
enum Seen {
    /// In [`provoke`].
    Here,
    /// In a test of the name behind `::`, in the file before it.
    In(&'static str),
    /// Nowhere, for this reason.
    Never(&'static str),
}
use Seen::{Here, In, Never};

const RULES: Seen = Never("its rules or its settings know no such thing");
const NOT_A_SERVER: Seen = Never("there is no server and no network");
const OUR_FAULT: Seen = Never("a fault of this crate or its driver");
const DAMAGE: Seen = Never("it takes a damaged file of a server");

/// Each kind, on PostgreSQL, MySQL and SQLite.
const KINDS: &[(ErrorKind, Seen, Seen, Seen)] = &[
    (ErrorKind::UniqueViolation, Here, Here, Here),
    (ErrorKind::ForeignKeyViolation, Here, Here, Here),
    (ErrorKind::NotNullViolation, Here, Here, Here),
    (ErrorKind::CheckViolation, Here, Here, Here),
    (ErrorKind::ExclusionViolation, Here, RULES, RULES),
    (ErrorKind::Syntax, Here, Here, Here),
    (ErrorKind::UndefinedTable, Here, Here, Here),
    (ErrorKind::UndefinedColumn, Here, Here, Here),
    (ErrorKind::UndefinedFunction, Here, Here, Here),
    (ErrorKind::PermissionDenied, Here, Here, Never("no authorizer is ever installed")),
    (ErrorKind::Authentication, Here, Here, NOT_A_SERVER),
    (
        ErrorKind::SerializationFailure,
        In("tests/faults/conflicts.rs::a_serialization_failure_at_commit_runs_again_on_postgres"),
        Never("only with innodb_snapshot_isolation, which no server here has on"),
        In("tests/faults/conflicts.rs::an_overtaken_snapshot_runs_again_on_sqlite"),
    ),
    (
        ErrorKind::Deadlock,
        In("tests/faults/conflicts.rs::deadlock"),
        In("tests/faults/conflicts.rs::deadlock"),
        Never("writers take turns"),
    ),
    (ErrorKind::LockTimeout, In("tests/faults/conflicts.rs::locked"), In("tests/faults/conflicts.rs::locked"), {
        In("databases-sqlite/tests/files.rs::others_that_lock_the_file_are_waited_for_and_the_wait_can_be_dropped")
    }),
    (ErrorKind::StatementTimeout, Here, Here, Here),
    (ErrorKind::Cancelled, Here, Here, Here),
    (ErrorKind::Disconnected, Here, Here, NOT_A_SERVER),
    (ErrorKind::CommitOutcomeUnknown, LOST_AT_COMMIT, LOST_AT_COMMIT, NOT_A_SERVER),
    (ErrorKind::TransactionFailed, Here, RULES, RULES),
    (ErrorKind::TransactionEnded, Here, Here, Here),
    (ErrorKind::Busy, Here, Here, Here),
    (ErrorKind::ReadOnly, Here, Here, Here),
    (
        ErrorKind::StorageFull,
        In("tests/faults/servers.rs::a_full_disk_fails_the_transaction_on_postgres"),
        In("tests/faults/servers.rs::a_full_table_undoes_the_statement_on_mysql"),
        In("databases-sqlite/tests/files.rs::a_full_disk_ends_the_transaction_and_the_status_says_so"),
    ),
    (ErrorKind::Corrupt, DAMAGE, DAMAGE, Here),
    (ErrorKind::ConnectTimeout, Here, Here, NOT_A_SERVER),
    (ErrorKind::Connect, Here, Here, Here),
    (ErrorKind::Tls, Here, Here, NOT_A_SERVER),
    (ErrorKind::PoolTimeout, Here, Here, Here),
    (ErrorKind::PoolClosed, Here, Here, Here),
    (ErrorKind::NoRows, Here, Here, Here),
    (ErrorKind::Decode, Here, Here, Here),
    (ErrorKind::Encode, Here, Here, Here),
    (ErrorKind::Parameters, Here, Here, Here),
    (ErrorKind::Url, Here, Here, Here),
    (ErrorKind::Unsupported, Here, Here, Here),
    (ErrorKind::LimitExceeded, Here, Here, Here),
    (ErrorKind::Database, Here, Here, Here),
    (ErrorKind::Internal, OUR_FAULT, OUR_FAULT, OUR_FAULT),
];

const LOST_AT_COMMIT: Seen =
    In("databases-core/src/conformance/faults.rs::a_connection_lost_at_commit_has_an_unknown_outcome");

/// What is the same on every backend, and what is not.
struct Place {
    db: Database,
    url: DatabaseUrl,
    table: String,
    found: Vec<Error>,
}

impl Place {
    /// Notes the error of a call that must fail.
    #[track_caller]
    fn fails<T>(&mut self, outcome: Result<T>, kind: ErrorKind) {
        let error = outcome.err().unwrap_or_else(|| panic!("it should have failed: {kind:?}"));
        assert_eq!(error.kind(), kind, "{error:?}");
        self.found.push(error);
    }

    /// Opens the database with a changed URL, which must fail.
    async fn refuses(&mut self, url: DatabaseUrl, kind: ErrorKind) {
        let opened = Database::builder(url.expose()).connect_timeout(Duration::from_millis(700)).connect().await;
        self.fails(opened, kind);
    }
}

async fn cell<T: FromValue>(db: &impl Executor, text: &str) -> Result<T> {
    db.fetch_val(text, params! { v: VALUE }).await
}

/// Errors of tables, texts and values.
async fn statements(place: &mut Place) -> Result<()> {
    let (db, t) = (place.db.clone(), place.table.clone());
    db.execute(format!("CREATE TABLE {t}_p (id INTEGER PRIMARY KEY)"), ()).await?;
    let columns = "id INTEGER PRIMARY KEY, name VARCHAR(100) NOT NULL UNIQUE, n INTEGER CHECK (n < 10), p INTEGER";
    db.execute(format!("CREATE TABLE {t} ({columns}, FOREIGN KEY (p) REFERENCES {t}_p (id))"), ()).await?;
    let insert = format!("INSERT INTO {t} (id, name, n, p) VALUES (:id, :name, :n, :p)");
    let row = |id, name, n, p: Option<i32>| params! { id, name, n, p };
    db.execute(&insert, row(1, Some(VALUE), 1, None)).await?;
    place.fails(db.execute(&insert, row(2, Some(VALUE), 1, None)).await, ErrorKind::UniqueViolation);
    place.fails(db.execute(&insert, row(731_337, None, 1, None)).await, ErrorKind::NotNullViolation);
    place.fails(db.execute(&insert, row(2, Some("x"), 731_337, None)).await, ErrorKind::CheckViolation);
    place.fails(db.execute(&insert, row(2, Some("x"), 1, Some(731_337))).await, ErrorKind::ForeignKeyViolation);
    place.fails(cell::<String>(&db, "SELEC :v").await, ErrorKind::Syntax);
    place.fails(cell::<String>(&db, "SELECT a FROM no_such_table WHERE a = :v").await, ErrorKind::UndefinedTable);
    let text = format!("SELECT nope FROM {t} WHERE name = :v");
    place.fails(cell::<String>(&db, &text).await, ErrorKind::UndefinedColumn);
    place.fails(cell::<String>(&db, "SELECT no_such_function(:v)").await, ErrorKind::UndefinedFunction);
    place.fails(cell::<i64>(&db, &format!("SELECT name FROM {t} WHERE name = :v")).await, ErrorKind::Decode);
    let nothing = format!("SELECT id FROM {t} WHERE name = :v AND id = 5");
    place.fails(cell::<i64>(&db, &nothing).await, ErrorKind::NoRows);
    place.fails(cell::<i64>(&db, "SELECT :w").await, ErrorKind::Parameters);
    let range = params! { name: types::Range::from(1..731_337), id: 3 };
    let wrong = format!("UPDATE {t} SET n = :name WHERE id = :id");
    place.fails(db.execute(&wrong, range).await, ErrorKind::Encode);
    place.fails(cell::<i64>(&db, "COMMIT").await, ErrorKind::Unsupported);
    let all = format!("SELECT name FROM {t} UNION ALL SELECT name FROM {t}");
    place.fails(db.fetch_all::<(String,)>(sql(&*all).max_rows(1), ()).await, ErrorKind::LimitExceeded);
    Ok(())
}

/// Errors of the pool, of transactions and of URLs.
async fn sessions(place: &mut Place) -> Result<()> {
    let (url, t) = (place.url.clone(), place.table.clone());
    let one = Database::builder(url.expose()).max_connections(1).acquire_timeout(Duration::from_secs(1));
    let one = one.connect().await?;
    let conn = one.acquire().await?;
    place.fails(one.acquire().await, ErrorKind::PoolTimeout);
    let tx = conn.begin().await?;
    place.fails(conn.execute("SELECT 1", ()).await, ErrorKind::Busy);
    drop(tx);
    drop(conn);
    one.close().await?;
    place.fails(one.fetch_val::<i64>("SELECT 1", ()).await, ErrorKind::PoolClosed);
    let tx = place.db.begin().await?;
    let inner = tx.begin().await?;
    place.fails(tx.commit().await, ErrorKind::Busy);
    place.fails(cell::<i64>(&inner, "SELECT :v").await, ErrorKind::TransactionEnded);
    drop(inner);
    let reading = place.db.begin_with(TransactionOptions::new().read_only(true)).await;
    let write = |tx: Transaction| {
        let text = format!("UPDATE {t} SET name = :v");
        async move { tx.execute(text, params! { v: VALUE }).await }
    };
    match reading {
        Ok(tx) => place.fails(write(tx).await, ErrorKind::ReadOnly),
        Err(error) => return Err(error),
    }
    let wrong =
        format!("{}{}no_such_option={PASSWORD}", url.expose(), if url.expose().contains('?') { '&' } else { '?' });
    place.fails(Database::connect(wrong).await, ErrorKind::Url);
    Ok(())
}

/// A statement that goes on until somebody ends it.
async fn endless(place: &mut Place, text: &str) {
    let query = || sql(text.to_owned());
    let timed = place.db.fetch_val::<Option<i64>>(query().timeout(Duration::from_millis(200)), ()).await;
    place.fails(timed, ErrorKind::StatementTimeout);
}

/// What is said of a statement, and of a connection, that another session ends.
async fn ended(place: &mut Place, id: &str, slow: &str, stop: &str, kill: &str) -> Result<()> {
    for (end, kind) in [(stop, ErrorKind::Cancelled), (kill, ErrorKind::Disconnected)] {
        let conn: Connection = place.db.acquire().await?;
        let id: i64 = conn.fetch_val(id, ()).await?;
        let (outcome, ()) = tokio::join!(conn.fetch_val::<Option<i64>>(slow, ()), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let sql = end.replace("{id}", &id.to_string());
            place.db.execute(sql, ()).await.expect("the session is there");
        });
        place.fails(outcome, kind);
    }
    Ok(())
}

/// Servers that cannot be reached or let nobody in.
async fn servers(place: &mut Place) -> Result<()> {
    let url = place.url.clone();
    let ports = [std::net::TcpListener::bind("127.0.0.1:0"), std::net::TcpListener::bind("127.0.0.1:0")];
    let [silent, closed] = ports.map(|listener| listener.expect("a port is free"));
    let port = |listener: &std::net::TcpListener| listener.local_addr().expect("it is bound").port();
    let with_password = url.with_password(PASSWORD)?;
    place.refuses(with_password.clone(), ErrorKind::Authentication).await;
    place.refuses(with_password.with_port(port(&silent))?, ErrorKind::ConnectTimeout).await;
    let gone = with_password.with_port(port(&closed))?;
    drop(closed);
    place.refuses(gone, ErrorKind::Connect).await;
    let strict = url.with_option("sslmode", "verify-full")?;
    place.refuses(strict, ErrorKind::Tls).await;
    Ok(())
}

async fn postgres(place: &mut Place) -> Result<()> {
    let (db, t) = (place.db.clone(), place.table.clone());
    db.execute(format!("CREATE TABLE {t}_x (name text, EXCLUDE USING btree (name WITH =))"), ()).await?;
    let insert = format!("INSERT INTO {t}_x VALUES (:v), (:v)");
    place.fails(db.execute(insert, params! { v: VALUE }).await, ErrorKind::ExclusionViolation);
    place.fails(cell::<i32>(&db, "SELECT CAST(CAST(:v AS text) AS integer)").await, ErrorKind::Database);
    let conn = db.acquire().await?;
    conn.execute_script(&format!("DROP ROLE IF EXISTS {t}_nobody; CREATE ROLE {t}_nobody; SET ROLE {t}_nobody"))
        .await?;
    let denied = cell::<i64>(&conn, &format!("SELECT count(*) FROM {t} WHERE name = :v")).await;
    conn.execute_script(&format!("RESET ROLE; DROP ROLE {t}_nobody")).await?;
    drop(conn);
    place.fails(denied, ErrorKind::PermissionDenied);
    let tx = db.begin().await?;
    _ = cell::<i64>(&tx, "SELECT CAST(CAST(:v AS text) AS integer)").await;
    place.fails(cell::<i64>(&tx, "SELECT :v").await, ErrorKind::TransactionFailed);
    drop(tx);
    endless(place, "SELECT NULL::int8 FROM pg_sleep(30)").await;
    let (stop, kill) = ("SELECT pg_cancel_backend({id})", "SELECT pg_terminate_backend({id})");
    ended(place, "SELECT pg_backend_pid()::int8", "SELECT NULL::int8 FROM pg_sleep(30)", stop, kill).await?;
    servers(place).await?;
    db.execute(format!("DROP TABLE {t}_x"), ()).await.map(drop)
}

async fn mysql(place: &mut Place) -> Result<()> {
    let (db, t) = (place.db.clone(), place.table.clone());
    place.fails(db.execute(format!("UPDATE {t} SET n = :v"), params! { v: VALUE }).await, ErrorKind::Database);
    let conn = db.acquire().await?;
    for statement in [
        "DROP USER IF EXISTS k_nobody".to_owned(),
        format!("CREATE USER k_nobody IDENTIFIED BY '{PASSWORD}'"),
        format!("GRANT SELECT ON {t}_p TO k_nobody"),
    ] {
        conn.execute(statement, ()).await?;
    }
    let nobody = place.url.with_username("k_nobody")?.with_password(PASSWORD)?;
    let nobody = Database::connect(nobody.expose()).await?;
    let denied = cell::<i64>(&nobody, &format!("SELECT count(*) FROM {t} WHERE name = :v")).await;
    place.fails(denied, ErrorKind::PermissionDenied);
    nobody.close().await?;
    conn.execute("DROP USER k_nobody", ()).await?;
    drop(conn);
    // Not SLEEP, which a server may end without an error.
    let slow = "SELECT count(*) FROM information_schema.collations a, information_schema.collations b, \
                information_schema.collations c";
    endless(place, slow).await;
    ended(place, "SELECT CAST(CONNECTION_ID() AS SIGNED)", slow, "KILL QUERY {id}", "KILL {id}").await?;
    servers(place).await
}

async fn sqlite(place: &mut Place) -> Result<()> {
    let db = place.db.clone();
    place.fails(cell::<i64>(&db, "SELECT json(:v)").await, ErrorKind::Database);
    let forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    endless(place, forever).await;
    let mut conn = db.acquire().await?;
    let handle = conn.native::<databases::sqlite::rusqlite::Connection>().await?.get_interrupt_handle();
    let (outcome, ()) = tokio::join!(conn.fetch_val::<i64>(forever, ()), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        handle.interrupt();
    });
    place.fails(outcome, ErrorKind::Cancelled);
    let folder = std::env::temp_dir().join(format!("{}_corrupt", place.table));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("no.db");
    std::fs::write(&file, vec![b'x'; 4096]).expect("a file");
    let opened = async |path: &std::path::Path| Database::connect(format!("sqlite:///{}", path.display())).await;
    let outcome = match opened(&file).await {
        Ok(db) => db.fetch_val::<i64>("SELECT count(*) FROM sqlite_master", ()).await.map(drop),
        Err(error) => Err(error),
    };
    place.fails(outcome, ErrorKind::Corrupt);
    place.fails(opened(&folder.join("none/no.db")).await, ErrorKind::Connect);
    std::fs::remove_dir_all(&folder).expect("it is ours");
    Ok(())
}

/// Provokes the errors of one backend.
async fn provoke(url: &str) -> Result<Vec<Error>> {
    let table = format!("kinds_{}", std::process::id());
    let db = Database::connect(url).await?;
    let mut place = Place { url: url.parse()?, db, table, found: Vec::new() };
    statements(&mut place).await?;
    sessions(&mut place).await?;
    match place.db.backend() {
        "postgres" => postgres(&mut place).await?,
        "mysql" => mysql(&mut place).await?,
        _ => sqlite(&mut place).await?,
    }
    for table in [&place.table, &format!("{}_p", place.table)] {
        place.db.execute(format!("DROP TABLE {table}"), ()).await?;
    }
    place.db.close().await?;
    Ok(place.found)
}

/// Holds an error against what none may print.
fn inspect(error: &Error) {
    let mut layers: Vec<String> = vec![error.to_string()];
    let mut texts = vec![format!("{error}"), format!("{error:?}"), format!("{error:#?}")];
    let mut below = std::error::Error::source(error);
    while let Some(source) = below {
        layers.push(source.to_string());
        texts.extend([format!("{source}"), format!("{source:?}"), format!("{source:#?}")]);
        below = source.source();
    }
    texts.extend(error.hint().map(str::to_owned));
    for text in &texts {
        assert!(!text.contains("731337") && !text.contains("731338"), "prints a value: {text}");
    }
    for (index, layer) in layers.iter().enumerate() {
        let repeated = layers.iter().enumerate().any(|(at, other)| at != index && other.contains(&**layer));
        assert!(!layer.is_empty() && !repeated, "an empty layer, or one that repeats another: {layers:#?}");
    }
}

/// Compares what was found with the table.
fn compare(found: &[Error], backend: &str, seen: impl Fn(&(ErrorKind, Seen, Seen, Seen)) -> Seen) {
    for row in KINDS {
        let was_found = found.iter().any(|error| error.kind() == row.0);
        assert_eq!(was_found, matches!(seen(row), Here), "{:?} on {backend}", row.0);
    }
    found.iter().for_each(inspect);
}

/// The backends that were tested are named: what is left out is seen.
fn urls(scheme: &str) -> Vec<String> {
    let urls = std::env::var("TEST_DATABASE_URLS").unwrap_or_default();
    let found: Vec<_> =
        urls.split(',').map(str::trim).filter(|url| url.starts_with(scheme)).map(str::to_owned).collect();
    let required = std::env::var("TEST_REQUIRE_BACKENDS").unwrap_or_default();
    assert!(!found.is_empty() || !required.contains(scheme), "TEST_REQUIRE_BACKENDS wants {scheme}");
    if found.is_empty() {
        eprintln!("left out: TEST_DATABASE_URLS names no {scheme}");
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_that_postgres_has() -> Result<()> {
    for url in urls("postgres") {
        compare(&provoke(&url).await?, "PostgreSQL", |row| row.1);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_that_mysql_has() -> Result<()> {
    for url in urls("mysql") {
        compare(&provoke(&url).await?, "MySQL", |row| row.2);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_that_sqlite_has() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("databases-kinds-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let found = provoke(&format!("sqlite:///{}", folder.join("kinds.db").display())).await?;
    compare(&found, "SQLite", |row| row.3);
    std::fs::remove_dir_all(&folder).expect("it is ours");
    Ok(())
}

/// The table has every kind once, in the order of their declaration, and the tests that it names are there.
#[test]
fn no_kind_is_left_out() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(root.join("databases-core/src/error.rs")).expect("the crate's source");
    let (_, kinds) = source.split_once("pub enum ErrorKind {").expect("its declaration");
    let (kinds, _) = kinds.split_once("\n}").expect("its end");
    let declared: Vec<_> = kinds.lines().filter_map(|line| line.trim().strip_suffix(',')).collect();
    let listed: Vec<_> = KINDS.iter().map(|row| format!("{:?}", row.0)).collect();
    assert_eq!(listed, declared);
    for (kind, postgres, mysql, sqlite) in KINDS {
        for seen in [postgres, mysql, sqlite] {
            match seen {
                Here => {}
                Never(reason) => assert!(!reason.is_empty(), "{kind:?}"),
                In(test) => {
                    let (file, name) = test.split_once("::").expect("file::test");
                    let text = std::fs::read_to_string(root.join(file)).expect(file);
                    assert!(text.contains(&format!("fn {name}(")), "{test}");
                }
            }
        }
    }
}
