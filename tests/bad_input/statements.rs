//! Statements: cut off, stacked, nested without end, of another server, or of a sort that would open a door.

use databases::{Database, Error, Executor, Params, Row, Transaction, params, sql};

use crate::{SECRET, SOON, Trial, backend_of, open, places, scratch, table};

const TEXTS: &[&str] = &[
    "",
    " ",
    ";",
    ";;;",
    "--",
    "-- only a comment",
    "/* only a comment */",
    "/* that does not end",
    "/* nested /* once */",
    "#",
    "'",
    "\"",
    "`",
    "[",
    "SELECT '",
    "SELECT 'a''",
    "SELECT 'a\\'",
    "SELECT \"a",
    "SELECT `a",
    "SELECT $$a",
    "SELECT $a$ a $b$",
    "SELECT E'\\",
    "SELECT U&'\\00'",
    "SELECT X'0",
    "SELECT B'2'",
    "SELECT N'a",
    "SELECT 1e",
    "SELECT 1_000_",
    "SELECT 99999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999",
    "SELECT 0xZZ",
    "SELECT",
    "SELECT *",
    "SELECT 1 FROM",
    "SELECT 1,",
    "SELECT (1",
    "SELECT 1)",
    "SELECT 1 1 1",
    "SELECT :",
    "SELECT ::",
    "SELECT :1",
    "SELECT ?",
    "SELECT ?1",
    "SELECT $1",
    "SELECT $0",
    "SELECT $99999",
    "SELECT @a",
    "SELECT @@nothing",
    "SELECT %s",
    "SELECT %(a)s",
    "SELECT {a}",
    "SELECT \\:a",
    "SELECT \0",
    "SELECT 1\0; DROP TABLE {t}",
    "SELECT '\0'",
    "\u{feff}SELECT 1",
    "\u{a0}SELECT 1",
    "SELECT\u{2003}1",
    "SELECT \u{2018}a\u{2019}",
    "ＳＥＬＥＣＴ 1",
    "\u{202e}SELECT 1",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE {t}",
    "SELECT 1;; DROP TABLE {t}",
    "SELECT 1 -- ; \n; DROP TABLE {t}",
    "SELECT 1 /*! ; DROP TABLE {t} */",
    "SELECT 1 /*!99999 + */ 1",
    "SELECT 1; -- the end",
    "DELIMITER //",
    "nonsense",
    "DROP TABLE no_such_table",
    "SELECT * FROM no_such_table",
    "SELECT no_such_column FROM {t}",
    "SELECT no_such_function()",
    "INSERT INTO {t} VALUES",
    "INSERT INTO {t} (id, id) VALUES (1, 1)",
    "INSERT INTO {t} VALUES (1, 2, 3, 4, 5)",
    "UPDATE {t} SET",
    "DELETE FROM",
    "CREATE TABLE {t} (id INTEGER)",
    "CREATE TABLE",
    "ALTER TABLE {t} DROP COLUMN nothing",
    "SELECT 1 / 0",
    "SELECT 1 UNION SELECT 1, 2",
    "SELECT 1 ORDER BY 99",
    "SELECT * FROM {t} a, {t} a",
    "WITH x AS (SELECT 1) SELECT * FROM y",
    "WITH RECURSIVE x(n) AS (SELECT n FROM x) SELECT * FROM x",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT a",
    "ROLLBACK TO nothing",
    "RELEASE nothing",
    "START TRANSACTION",
    "END",
    "PREPARE TRANSACTION 'x'",
    "XA START 'x'",
    "SET",
    "SET no_such_setting = 1",
    "SET SESSION no_such_setting = 1",
    "RESET no_such_setting",
    "USE no_such_database",
    "PREPARE s FROM 'SELECT'",
    "PREPARE s AS SELECT",
    "EXECUTE no_such_statement",
    "DEALLOCATE no_such_statement",
    "DECLARE c CURSOR FOR SELECT 1",
    "FETCH ALL FROM no_such_cursor",
    "LISTEN",
    "UNLISTEN *",
    "COPY {t} FROM STDIN",
    "COPY {t} TO STDOUT",
    "COPY {t} FROM '/no/such/file'",
    "COPY {t} FROM PROGRAM 'false'",
    "LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE {t}",
    "LOAD DATA INFILE '/no/such/file' INTO TABLE {t}",
    "SELECT LOAD_FILE('/no/such/file')",
    "SELECT 1 INTO OUTFILE '/no/such/folder/x'",
    "SELECT pg_read_file('/no/such/file')",
    "SELECT lo_import('/no/such/file')",
    "DO $$ BEGIN RAISE EXCEPTION 'no'; END $$",
    "DO $$ BEGIN COMMIT; END $$",
    "CALL no_such_procedure()",
    "HANDLER {t} OPEN",
    "LOCK TABLES no_such_table READ",
    "KILL 0",
    "SHUTDOWN now please",
    "EXPLAIN",
    "EXPLAIN nonsense",
    "ANALYZE no_such_table",
    "VACUUM no_such_table",
    "PRAGMA no_such_pragma",
    "PRAGMA writable_schema = ON",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA trusted_schema = ON",
    "PRAGMA temp_store_directory = '/no/such/folder'",
    "ATTACH '/no/such/folder/x.db' AS other",
    "ATTACH ':memory:' AS other",
    "DETACH main",
    "SELECT load_extension('/no/such/extension')",
    "SELECT writefile('/no/such/folder/x', 'x')",
    "SELECT readfile('/no/such/file')",
    "SELECT fts3_tokenizer('x', x'00')",
    "UPDATE sqlite_master SET sql = 'x'",
    "DELETE FROM sqlite_master",
    "CREATE VIRTUAL TABLE v USING no_such_module",
    "REINDEX no_such_index",
    "SELECT zeroblob(2147483647)",
    "SELECT randomblob(-1)",
    "SELECT printf('%.*c', 2147483647, 'x')",
    "SELECT repeat('x', 2000000000)",
    "SELECT hex(zeroblob(1000000000))",
    "SELECT like('%%%%%%%%%%%%%%%%%%%%%%%%x', '{s}')",
];

/// Texts that are long or deep.
fn large() -> Vec<String> {
    let deep =
        |open: &str, inner: &str, close: &str, n: usize| format!("SELECT {}{inner}{}", open.repeat(n), close.repeat(n));
    vec![
        deep("(", "1", ")", 100_000),
        deep("(SELECT ", "1", ")", 5_000),
        deep("NOT ", "1", "", 100_000),
        deep("-", "1", "", 100_001),
        deep("- ", "1", "", 100_000),
        deep("abs(", "1", ")", 20_000),
        deep("CASE WHEN 1 = 1 THEN ", "1", " END", 5_000),
        deep("/* ", "1", "*/", 100_000),
        format!("SELECT {}", vec!["1"; 100_000].join(" + ")),
        format!("SELECT {}", vec!["1"; 5_000].join(", ")),
        format!("SELECT 1 WHERE 1 IN ({})", vec!["1"; 200_000].join(", ")),
        format!("SELECT {}", vec!["1"; 2_000].join(" UNION ALL SELECT ")),
        format!("SELECT '{}'", "x".repeat(5 << 20)),
        format!("SELECT 1{}", " ".repeat(5 << 20)),
        format!("SELECT 1 --{}", "x".repeat(5 << 20)),
        format!("SELECT {}", "x".repeat(1 << 20)),
        "SELECT 1;".repeat(50_000),
        "'".repeat(1 << 20),
        "$".repeat(1 << 20),
        "\0".repeat(1 << 20),
        ":a ".repeat(1 << 18),
        "\u{1F511}".repeat(1 << 18),
    ]
}

#[tokio::test]
async fn statements_are_run_or_refused_and_leave_nothing_behind() {
    let mut trial = Trial::new("statements");
    for place in places() {
        let backend = backend_of(&place);
        let db = open(&place).await;
        let t = table("texts");
        db.execute(format!("CREATE TABLE {t} (id INTEGER)"), ()).await.unwrap();
        let fill = |text: &&str| text.replace("{t}", &t).replace("{s}", &"x".repeat(200));
        for text in TEXTS.iter().map(fill) {
            trial.on(&db, backend, &text, db.fetch_all::<Row>(sql(&*text).max_bytes(1 << 20), ())).await;
            trial.on(&db, backend, &text, db.execute(sql(&*text).prepared(false), ())).await;
            trial.on(&db, backend, &text, db.execute(&text, params! { a: SECRET })).await;
            let rows = (0..2).map(|_| params! { a: SECRET });
            trial.on(&db, backend, &text, db.execute_many(&text, rows)).await;
            trial
                .on(&db, backend, &text, async {
                    let conn = db.acquire().await?;
                    conn.execute(&text, ()).await
                })
                .await;
            let in_transaction = async {
                let tx: Transaction = db.begin().await?;
                let outcome = tx.fetch_all::<Row>(sql(&*text).max_bytes(1 << 20), ()).await;
                let _ = tx.rollback().await;
                outcome
            };
            trial.on(&db, backend, &text, in_transaction).await;
            // As a script it may have several statements; one that leaves its table alone is tried.
            if !text.contains("DROP TABLE") {
                trial.on(&db, backend, &text, db.execute_script(&text)).await;
            }
        }
        for text in large() {
            trial.on(&db, backend, &text, db.fetch_all::<Row>(&text, ())).await;
        }
        db.execute(format!("DROP TABLE {t}"), ()).await.unwrap();
        db.close().await.unwrap();
    }
    trial.report(800);
}

#[tokio::test]
async fn texts_without_end_do_not_fill_a_cache() {
    let mut trial = Trial::new("texts that are made up");
    for place in places() {
        let backend = backend_of(&place);
        let db = open(&place).await;
        for n in 0..3000_i64 {
            let text = format!("SELECT {n} AS column_{n}");
            let outcome = trial.outcome(backend, &text, db.fetch_val::<i64>(&text, ())).await;
            assert_eq!(outcome, None);
        }
        if backend == "postgres" {
            let kept: i64 = db.fetch_val("SELECT count(*) FROM pg_prepared_statements", ()).await.unwrap();
            assert!(kept <= 257, "{kept} statements are kept prepared");
        }
        db.close().await.unwrap();
    }
    trial.report(3000);
}

/// A file of the database is a file: no text or URL makes SQLite read its name as a URI, and no statement loads code.
#[tokio::test]
async fn sqlite_opens_no_uri_and_loads_no_extension() {
    let db = open("sqlite::memory:").await;
    let refused = async |text: &str| -> Error {
        let conn = db.acquire().await.unwrap();
        conn.execute(text, ()).await.err().unwrap_or_else(|| panic!("{text} was accepted"))
    };
    for text in [
        "SELECT load_extension('x')".to_owned(),
        "UPDATE sqlite_schema SET sql = 'x'".to_owned(),
        "SELECT \"a text in the wrong quotes\"".to_owned(),
    ] {
        refused(&text).await;
    }
    for text in ["PRAGMA writable_schema = ON", "ATTACH ':memory:' AS other"] {
        let refused = db.execute(text, ()).await.unwrap_err();
        assert_eq!(refused.kind(), databases::ErrorKind::Unsupported, "{text} on a Database");
    }
    // What would be options of a URI is a part of the path.
    let file = scratch("plain.db");
    let path = format!("file:{}?mode=memory", file.display());
    assert!(Database::connect(&format!("sqlite:{}", path.replace('?', "%3F"))).await.is_err(), "{path}");
    let uri = Database::connect(&format!("sqlite:///{}%3Fmode=memory", file.display())).await.unwrap();
    uri.execute("CREATE TABLE t (a)", ()).await.unwrap();
    uri.close().await.unwrap();
    assert!(file.with_file_name("plain.db?mode=memory").exists());
    // On a connection of one's own a database may be attached.
    let conn = db.acquire().await.unwrap();
    conn.execute("ATTACH ':memory:' AS other", ()).await.unwrap();
    conn.execute("CREATE TABLE other.t (a)", ()).await.unwrap();
    // A schema that somebody else wrote calls no function that could do harm.
    conn.execute("CREATE TABLE t (a)", ()).await.unwrap();
    conn.execute("CREATE VIEW v AS SELECT load_extension('x')", ()).await.unwrap();
    assert!(conn.fetch_all::<Row>("SELECT * FROM v", ()).await.is_err());
    drop(conn);
    tokio::time::timeout(SOON, db.close()).await.unwrap().unwrap();
}

/// The server may ask for a file of the client, in answer to any statement; none is ever sent.
#[tokio::test]
async fn no_file_of_this_machine_is_sent() {
    let mut trial = Trial::new("files");
    let file = scratch("secret.txt");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    for place in places().into_iter().filter(|place| backend_of(place) == "mysql") {
        let db = open(&place).await;
        let t = table("infile");
        db.execute(format!("CREATE TABLE {t} (a VARCHAR(100))"), ()).await.unwrap();
        let load = format!("LOAD DATA LOCAL INFILE '{}' INTO TABLE {t}", file.display());
        assert!(trial.on(&db, "mysql", &load, db.execute(&load, Params::new())).await.is_some());
        assert!(trial.on(&db, "mysql", &load, db.execute_script(&load)).await.is_some());
        assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await.unwrap(), 0);
        db.execute(format!("DROP TABLE {t}"), ()).await.unwrap();
        db.close().await.unwrap();
    }
    trial.report(2);
}
