//! Statements, values, results and errors.

mod common;

use std::sync::Arc;

use common::{Collect, FromIter, TempDir, connect, connect_to, connector, connector_with, on_both, request};
use databases_core::backend::{Flow, RowSink, Status};
use databases_core::types::{Date, DateTime, Decimal, Time, Timestamp, Uuid};
use databases_core::{
    Effect, Error, ErrorKind, Executor, Pool, PoolConfig, PoolOptions, Result, RowBatch, TransactionOptions, ValueRef,
    params,
};
use databases_sqlite::Sqlite;

#[test]
fn a_table_that_was_made_anew_has_its_own_columns() {
    on_both(|| async {
        let dir = TempDir::new();
        let mut pool = PoolOptions::default();
        pool.statement_cache_size = 2;
        let open = async || connect_to(&*connector_with(&dir.url(""), &pool).unwrap()).await.unwrap();
        let (reader, other) = (open().await, open().await);
        other.exec("CREATE TABLE t (id INTEGER, a TEXT, b TEXT)").await.unwrap();
        other.exec("INSERT INTO t VALUES (1, 'a', 'b')").await.unwrap();
        assert_eq!(reader.rows("SELECT * FROM t").await.unwrap()[0].get::<String>("a").unwrap(), "a");
        other.exec("DROP TABLE t").await.unwrap();
        other.exec("CREATE TABLE t (id INTEGER, b TEXT, a TEXT)").await.unwrap();
        other.exec("INSERT INTO t VALUES (1, 'b', 'a')").await.unwrap();
        // The statement is forgotten, though not what was learnt of its text.
        for sql in ["DELETE FROM t WHERE id = 7", "DELETE FROM t WHERE id = 8"] {
            reader.run_many(&mut FromIter(std::iter::once(Ok(request(sql, params! {}))))).await.unwrap();
        }
        let rows = reader.rows("SELECT * FROM t").await.unwrap();
        assert_eq!(
            (rows[0].get::<String>("a").unwrap(), rows[0].get::<String>("b").unwrap()),
            ("a".into(), "b".into())
        );
    });
}

#[test]
fn an_error_far_behind_the_rows_that_were_bound_names_its_parameter() {
    on_both(|| async {
        let url = "sqlite::memory:".parse().unwrap();
        let db = Pool::new(PoolConfig::from_url(&Sqlite, &url, |_| ()).unwrap()).unwrap();
        db.execute("CREATE TABLE t (id INTEGER, n INTEGER)", ()).await.unwrap();
        // Each row has another text than the one before it, and more than the database takes is bound by then.
        let rows = (0..2_000u64).map(|row| {
            let ids: Vec<u64> = (0..=row % 7).collect();
            params! { ids, number: if row == 3 { u64::MAX } else { row } }
        });
        let error = db.execute_many("DELETE FROM t WHERE id IN (:ids) AND n = :number", rows).await.unwrap_err();
        assert_eq!((error.kind(), error.batch_index()), (ErrorKind::Encode, Some(3)), "{error:?}");
        assert!(error.to_string().starts_with("parameter `number`: "), "{error}");
    });
}

#[test]
fn values_come_back_as_they_went() {
    on_both(|| async {
        let db = connect("sqlite::memory:").await.unwrap();
        let uuid: Uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap();
        let date = Date::from_ymd(2024, 1, 2).unwrap();
        let time = Time::from_hms_micro(3, 4, 5, 250_000).unwrap();
        let at = DateTime::new(date, time).unwrap();
        let price: Decimal = "19.90".parse().unwrap();
        let rows = db
            .rows_with(
                "SELECT :b, :i, :f, :t, :y, :u, :d, :h, :dt, :ts, :dec, :n",
                params! {
                    b: true, i: i64::MIN, f: 0.1, t: "a\0ö", y: vec![0u8, 255], u: uuid, d: date, h: time, dt: at,
                    ts: at.assume_utc(), dec: price.clone(), n: Option::<i64>::None
                },
            )
            .await
            .unwrap();
        let row = &rows[0];
        assert!(row.get::<bool>(0).unwrap());
        assert_eq!(row.get::<i64>(1).unwrap(), i64::MIN);
        assert_eq!(row.get::<f64>(2).unwrap(), 0.1);
        assert_eq!(row.get::<String>(3).unwrap(), "a\0ö");
        assert_eq!(row.get::<Vec<u8>>(4).unwrap(), [0, 255]);
        assert_eq!(row.get_raw(4).unwrap(), Some(&[0, 255][..]));
        assert_eq!(row.get::<Uuid>(5).unwrap(), uuid);
        assert_eq!(row.get::<Date>(6).unwrap(), date);
        assert_eq!(row.get::<Time>(7).unwrap(), time);
        assert_eq!(row.get::<DateTime>(8).unwrap(), at);
        assert_eq!(row.get::<Timestamp>(9).unwrap(), at.assume_utc());
        assert_eq!(row.get::<Decimal>(10).unwrap(), price);
        assert_eq!(row.get::<Option<i64>>(11).unwrap(), None);
        // SQLite's own functions read these forms.
        let read = "SELECT julianday(:d), julianday(:h), julianday(:dt), julianday(:ts), datetime(:ts)";
        let params = params! { d: date, h: time, dt: at, ts: at.assume_utc() };
        let row = &db.rows_with(read, params).await.unwrap()[0];
        for index in 0..4 {
            assert!(row.get::<f64>(index).is_ok(), "{index}");
        }
        assert_eq!(row.get::<String>(4).unwrap(), "2024-01-02 03:04:05");
    });
}

#[test]
fn bad_text_is_an_error_as_text_only_and_columns_have_their_declared_types() {
    on_both(|| async {
        let db = connect("sqlite::memory:").await.unwrap();
        db.exec("CREATE TABLE t (a VARCHAR(10), b)").await.unwrap();
        db.exec("INSERT INTO t VALUES (CAST(x'ff61' AS TEXT), 1)").await.unwrap();
        let row = &db.rows("SELECT a, b, 1 + 1 AS c FROM t").await.unwrap()[0];
        let types: Vec<_> = row.columns().iter().map(|column| (column.name(), column.type_name())).collect();
        assert_eq!(types, [("a", "VARCHAR(10)"), ("b", ""), ("c", "")]);
        let error = row.get::<String>("a").unwrap_err();
        let says = "column `a` (VARCHAR(10)): bytes that are not valid UTF-8 cannot be read as String";
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Decode, says));
        assert_eq!(row.get_raw(0).unwrap(), Some(&[0xff, b'a'][..]));
        assert_eq!(row.get::<Vec<u8>>(0).unwrap(), [0xff, b'a']);
        assert!(matches!(row.get_ref(1).unwrap(), ValueRef::Int(1)));
        // The kept columns follow the schema.
        assert_eq!(db.rows("SELECT * FROM t").await.unwrap()[0].len(), 2);
        db.exec("ALTER TABLE t ADD COLUMN d TEXT").await.unwrap();
        db.exec("ALTER TABLE t RENAME COLUMN b TO bb").await.unwrap();
        let row = &db.rows("SELECT * FROM t").await.unwrap()[0];
        let names: Vec<_> = row.columns().iter().map(|column| column.name()).collect();
        assert_eq!(names, ["a", "bb", "d"]);
    });
}

#[tokio::test]
async fn an_empty_result_has_columns() {
    let db = connect("sqlite::memory:").await.unwrap();
    struct Names(Vec<String>);
    impl RowSink for Names {
        fn batch(&mut self, batch: Arc<dyn RowBatch>) -> Result<Flow> {
            self.0.extend(batch.columns().iter().map(|column| column.name().to_owned()));
            assert!(batch.is_empty());
            Ok(Flow::Continue)
        }
    }
    let mut names = Names(Vec::new());
    db.run(request("SELECT 1 AS one WHERE false", params! {}), &mut names).await.unwrap();
    assert_eq!(names.0, ["one"]);
    // A statement without columns gives no batch.
    let mut sink = Collect::default();
    db.run(request("CREATE TABLE t (a)", params! {}), &mut sink).await.unwrap();
    assert_eq!(sink.batches, 0);
}

#[tokio::test]
async fn last_insert_id_is_that_of_this_statement_or_none() {
    let db = connect("sqlite::memory:").await.unwrap();
    db.run_script(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE, n INT DEFAULT 0);
         CREATE TABLE wr (k TEXT PRIMARY KEY, n INT) WITHOUT ROWID;
         CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT);
         CREATE TABLE logged (id INTEGER PRIMARY KEY, a TEXT);
         CREATE TABLE wr_logged (k TEXT PRIMARY KEY) WITHOUT ROWID;
         CREATE TRIGGER l1 AFTER INSERT ON logged BEGIN INSERT INTO log(what) VALUES ('x'), ('y'); END;
         CREATE TRIGGER l2 AFTER INSERT ON wr_logged BEGIN INSERT INTO log(what) VALUES ('z'); END;
         CREATE VIEW v AS SELECT a FROM t;
         CREATE TRIGGER l3 INSTEAD OF INSERT ON v BEGIN INSERT INTO t(a) VALUES (new.a); END;
         CREATE TABLE \"odd\"\"name\" (id INTEGER PRIMARY KEY, a TEXT);",
    )
    .await
    .unwrap();
    for (sql, affected, id) in [
        ("INSERT INTO t(a) VALUES ('a')", 1, Some(1)),
        ("INSERT INTO t(id, a) VALUES (41, 'b')", 1, Some(41)),
        ("INSERT INTO t(a) VALUES ('c'), ('d')", 2, None),
        ("INSERT OR IGNORE INTO t(a) VALUES ('a')", 0, None),
        ("INSERT INTO t(a) SELECT 'x' WHERE false", 0, None),
        ("INSERT INTO t(a) VALUES ('a') ON CONFLICT (a) DO UPDATE SET n = n + 1", 1, None),
        ("INSERT INTO t(a) VALUES ('e') ON CONFLICT (a) DO UPDATE SET n = n + 1", 1, Some(44)),
        ("INSERT INTO t(a) VALUES ('a') ON CONFLICT DO NOTHING", 0, None),
        ("REPLACE INTO t(id, a) VALUES (1, 'a')", 1, Some(1)),
        ("INSERT OR REPLACE INTO t(id, a) VALUES (2, 'a')", 1, Some(2)),
        ("INSERT INTO wr VALUES ('k', 1)", 1, None),
        ("INSERT INTO logged(a) VALUES ('l')", 1, Some(1)),
        ("INSERT INTO wr_logged VALUES ('k')", 1, None),
        ("INSERT INTO v VALUES ('through a view')", 0, None),
        ("INSERT INTO main.t(a) VALUES ('q') RETURNING id", 1, Some(46)),
        ("WITH s(a) AS (SELECT 'w') INSERT INTO t(a) SELECT a FROM s", 1, Some(47)),
        ("INSERT INTO \"odd\"\"name\"(a) VALUES ('o')", 1, Some(1)),
        ("INSERT INTO [main] . [t] (a) VALUES ('b2')", 1, Some(48)),
        ("UPDATE t SET n = 1 WHERE id = 41", 1, None),
        ("UPDATE t SET n = 1 WHERE id = -1", 0, None),
        ("DELETE FROM t WHERE id = 41", 1, None),
        ("SELECT 1", 0, None),
        ("CREATE TABLE copied AS SELECT * FROM t", 0, None),
        ("DELETE FROM copied", 8, None),
        ("EXPLAIN INSERT INTO t(a) VALUES ('never')", 0, None),
        ("DROP TABLE copied", 0, None),
    ] {
        let done = db.exec(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert_eq!((done.rows_affected(), done.last_insert_id()), (affected, id), "{sql}");
    }
}

#[test]
fn errors_have_kinds_names_and_codes() {
    on_both(|| async {
        let db = connect("sqlite::memory:").await.unwrap();
        db.run_script(
            "CREATE TABLE p (id INTEGER PRIMARY KEY);
             CREATE TABLE t (a INT, b INT NOT NULL, p INT REFERENCES p, UNIQUE (a, b), CONSTRAINT small CHECK (b < 100));
             CREATE TABLE strict (n INTEGER) STRICT;
             INSERT INTO t VALUES (1, 1, NULL);",
        )
        .await
        .unwrap();
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (sql, kind, code, table, names, constraint) in [
            (
                "INSERT INTO t VALUES (1, 1, NULL)",
                ErrorKind::UniqueViolation,
                "2067",
                Some("t"),
                columns(&["a", "b"]),
                None,
            ),
            ("INSERT INTO t(a) VALUES (2)", ErrorKind::NotNullViolation, "1299", Some("t"), columns(&["b"]), None),
            (
                "INSERT INTO t VALUES (2, 100, 1)",
                ErrorKind::CheckViolation,
                "275",
                Some("t"),
                columns(&[]),
                Some("small"),
            ),
            ("INSERT INTO t VALUES (2, 2, 7)", ErrorKind::ForeignKeyViolation, "787", Some("t"), columns(&[]), None),
            ("INSERT INTO strict VALUES ('x')", ErrorKind::Database, "3091", Some("strict"), columns(&["n"]), None),
            ("SELECT * FROM nowhere", ErrorKind::UndefinedTable, "1", Some("nowhere"), columns(&[]), None),
            ("SELECT nix FROM t", ErrorKind::UndefinedColumn, "1", None, columns(&["nix"]), None),
            ("INSERT INTO t(x) VALUES (1)", ErrorKind::UndefinedColumn, "1", Some("t"), columns(&["x"]), None),
            ("SELECT nope(1)", ErrorKind::UndefinedFunction, "1", None, columns(&[]), None),
            ("SELEC 1", ErrorKind::Syntax, "1", None, columns(&[]), None),
            ("SELECT (1", ErrorKind::Syntax, "1", None, columns(&[]), None),
            // Double quotes are no string.
            ("SELECT \"text\" FROM t", ErrorKind::UndefinedColumn, "1", None, columns(&["text"]), None),
        ] {
            let error = db.exec(sql).await.unwrap_err();
            assert_eq!((error.kind(), error.code()), (kind, Some(code)), "{sql}: {error:?}");
            assert_eq!((error.table(), error.columns(), error.constraint()), (table, &*names, constraint), "{sql}");
            assert_eq!(db.status(), Status::Idle);
        }
        for sql in ["SELECT 1; SELECT 2", "SELECT 1; nonsense"] {
            let error = db.exec(sql).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Parameters);
            assert!(error.hint().unwrap().contains("execute_script"));
        }
        assert_eq!(db.exec("-- nothing").await.unwrap_err().kind(), ErrorKind::Syntax);
        assert_eq!(db.int("SELECT 1; -- one").await.unwrap(), 1);
        let secret = "INSERT INTO strict VALUES (:v)";
        let error = db.exec_with(secret, params! { v: "hunter2" }).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    });
}

#[tokio::test]
async fn execute_many_counts_rows_and_names_the_row_that_failed() {
    let db = connect("sqlite::memory:").await.unwrap();
    db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)").await.unwrap();
    let insert = |id: i64| request("INSERT INTO t VALUES (:id, :a)", params! { id, a: "x".repeat(100) });
    db.begin().await.unwrap();
    let total = db.run_many(&mut FromIter((0..5000).map(|id| Ok(insert(id))))).await.unwrap();
    assert_eq!((total, db.status()), (5000, Status::InTransaction));
    db.commit().await.unwrap();
    assert_eq!(db.int("SELECT count(*) FROM t").await.unwrap(), 5000);
    assert_eq!(db.run_many(&mut FromIter(std::iter::empty())).await.unwrap(), 0);

    db.begin().await.unwrap();
    let ids = (10_000..12_000).map(|id| if id == 11_234 { 17 } else { id });
    let error = db.run_many(&mut FromIter(ids.map(|id| Ok(insert(id))))).await.unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::UniqueViolation, Some(1234)));
    db.rollback().await.unwrap();

    db.begin().await.unwrap();
    let mut left = 3;
    let broken = std::iter::from_fn(|| {
        left -= 1;
        Some(if left >= 0 { Ok(insert(20_000 + left)) } else { Err(Error::new(ErrorKind::Encode, "stop")) })
    });
    let error = db.run_many(&mut FromIter(broken)).await.unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::Encode, Some(3)));
    db.rollback().await.unwrap();
    assert_eq!(db.int("SELECT count(*) FROM t").await.unwrap(), 5000);
}

#[test]
fn nothing_behind_a_row_that_ends_the_transaction_is_written() {
    on_both(|| async {
        let dir = TempDir::new();
        let url = dir.url("?synchronous=off").parse().unwrap();
        let db = Pool::new(PoolConfig::from_url(&Sqlite, &url, |_| ()).unwrap()).unwrap();
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)", ()).await.unwrap();
        db.execute("INSERT INTO t VALUES (1)", ()).await.unwrap();
        for failing in [0, 3, 700, 1100] {
            // What follows is on its way by then.
            let rows = (0..5_000).map(|row| params! { id: if row == failing { 1 } else { row + 10 } });
            let error = db.execute_many("INSERT OR ROLLBACK INTO t VALUES (:id)", rows).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UniqueViolation);
            assert_eq!(error.batch_index(), Some(failing as usize));
            assert_eq!(db.fetch_val::<i64>("SELECT count(*) FROM t", ()).await.unwrap(), 1, "row {failing}");
        }
    });
}

#[tokio::test]
async fn a_script_stops_at_the_first_error_and_says_which() {
    let dir = TempDir::new();
    let db = connect(&dir.url("")).await.unwrap();
    let error = db
        .run_script("CREATE TABLE t (a); -- first; still\n INSERT INTO t VALUES (';');; SELECT 1; INSERT INTO u VALUES (1); DROP TABLE t")
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::UndefinedTable, Some(3)));
    assert_eq!(db.int("SELECT count(*) FROM t").await.unwrap(), 1);
    db.run_script("SELECT 1; SELECT 2").await.unwrap();
    db.run_script("").await.unwrap();
    db.run_script("BEGIN; INSERT INTO t VALUES (1); COMMIT;").await.unwrap();
    assert_eq!(db.status(), Status::Idle);
    db.run_script("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    assert_eq!(db.status(), Status::InTransaction);
    db.rollback().await.unwrap();
    assert_eq!(db.int("SELECT count(*) FROM t").await.unwrap(), 2);
}

#[test]
fn a_large_result_comes_in_pieces_and_a_sink_can_stop_it() {
    on_both(|| async {
        let db = connect("sqlite::memory:").await.unwrap();
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
        let mut sink = Collect { stop_after: Some(1), ..Collect::default() };
        db.run(request(endless, params! {}), &mut sink).await.unwrap();
        assert_eq!((sink.batches, db.status()), (1, Status::Idle));
        let rows = db.rows(&format!("{endless} LIMIT 100000")).await.unwrap();
        assert!(rows.iter().enumerate().all(|(index, row)| row.get::<i64>(0).unwrap() == index as i64 + 1));
        assert_eq!(rows.len(), 100_000);
        // A sink's own error comes back, after the statement has ended.
        struct Refuse;
        impl RowSink for Refuse {
            fn batch(&mut self, _: Arc<dyn RowBatch>) -> Result<Flow> {
                Err(Error::new(ErrorKind::Decode, "no"))
            }
        }
        let error = db.run(request(endless, params! {}), &mut Refuse).await.unwrap_err();
        assert_eq!((error.kind(), db.status()), (ErrorKind::Decode, Status::Idle));
    });
}

#[tokio::test]
async fn native_lends_the_connection_and_takes_it_back() {
    let db = connect("sqlite::memory:").await.unwrap();
    db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY)").await.unwrap();
    {
        let mut native = db.native().await.unwrap();
        assert_eq!(db.status(), Status::Busy);
        let connection = native.as_any_mut().downcast_mut::<databases_sqlite::rusqlite::Connection>().unwrap();
        connection.execute_batch("INSERT INTO t VALUES (5); BEGIN").unwrap();
        connection.update_hook(None::<fn(_, &str, &str, i64)>).unwrap();
    }
    db.settle().await;
    assert_eq!(db.status(), Status::InTransaction);
    db.rollback().await.unwrap();
    assert_eq!(db.exec("INSERT INTO t VALUES (9)").await.unwrap().last_insert_id(), Some(9));
    assert_eq!(db.native_type(), "rusqlite::Connection");
    // A native() that is dropped while it waits loses nothing.
    for polls in 0..3 {
        drop(common::drop_after(polls, db.native()).await);
        db.settle().await;
        assert_eq!(db.int("SELECT count(*) FROM t").await.unwrap(), 2);
    }
}

#[tokio::test]
async fn the_connector_says_what_it_is() {
    let memory = connector("sqlite::memory:");
    assert!(memory.single_connection());
    let dir = TempDir::new();
    let file = connector(&dir.url(""));
    assert!(!file.single_connection());
    assert_eq!(file.target().system, "sqlite");
    let db = common::connect_to(&*file).await.unwrap();
    assert_eq!(db.dialect(), file.dialect());
    let info = db.server_info().await.unwrap();
    assert_eq!(info.product, "SQLite");
    assert!(info.version.starts_with("3."));
    db.ping().await.unwrap();
    assert!(!db.reset().await.unwrap());
    db.close().await;
    assert_eq!(db.status(), Status::Broken);
    assert_eq!(db.ping().await.unwrap_err().kind(), ErrorKind::Disconnected);
}

#[tokio::test]
async fn decimals_follow_the_option() {
    let dir = TempDir::new();
    let long: Decimal = "12345678901234567890.123456789".parse().unwrap();
    let db = connect(&dir.url("")).await.unwrap();
    let error = db.rows_with("SELECT :d", params! { d: long.clone() }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    assert!(!error.to_string().contains("1234"));
    let db = connect(&dir.url("?decimal=text")).await.unwrap();
    let row = &db.rows_with("SELECT :d", params! { d: long.clone() }).await.unwrap()[0];
    assert_eq!(row.get::<Decimal>(0).unwrap(), long);
}

#[tokio::test]
async fn a_full_text_query_is_a_value_and_its_column_names_are_not_told() {
    let db = connect("sqlite::memory:").await.unwrap();
    db.exec("CREATE VIRTUAL TABLE notes_fts USING fts5(body)").await.unwrap();
    db.exec("CREATE TABLE t (a)").await.unwrap();
    let text = "SELECT body FROM notes_fts WHERE notes_fts MATCH :v || ':x'";
    for value in ["s3cr3tval", "s3cr3tval.x", "\"s3cr3tval", "body : s3cr3tval"] {
        let error = db.rows_with(text, params! { v: value }).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Database, Some("1")));
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
        assert!(error.detail().is_some());
        assert!(error.columns().is_empty() && error.table().is_none());
    }
    // In a batch and in a script as well.
    let insert = "INSERT INTO t SELECT body FROM notes_fts WHERE notes_fts MATCH :v || ':x'";
    let request = request(insert, params! { v: "s3cr3tval" });
    let error = db.run_many(&mut FromIter(std::iter::once(Ok(request)))).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::Database, Some(0)));
    // A name in the text is told as before.
    let error = db.rows("SELECT body FROM notes_fts WHERE notes_fts MATCH 'nope:x'").await.unwrap_err();
    assert_eq!((error.kind(), error.columns()), (ErrorKind::UndefinedColumn, &["nope".to_owned()][..]));
}

#[tokio::test]
async fn begin_inside_of_a_transaction_is_busy_and_does_nothing() {
    let dir = TempDir::new();
    for url in ["sqlite::memory:".to_owned(), dir.url("")] {
        let db = connect(&url).await.unwrap();
        db.exec("CREATE TABLE t (a)").await.unwrap();
        db.exec("BEGIN").await.unwrap();
        db.exec("INSERT INTO t VALUES (1)").await.unwrap();
        for options in [TransactionOptions::new(), TransactionOptions::new().read_only(true)] {
            let error = db.begin_with(options).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Busy, Effect::NotSent));
            assert_eq!(db.status(), Status::InTransaction);
        }
        // One that is sent before the first is answered is told by the session.
        db.rollback().await.unwrap();
        let (first, second) = tokio::join!(db.begin(), db.begin());
        first.unwrap();
        assert_eq!(second.unwrap_err().kind(), ErrorKind::Busy);
        db.exec("INSERT INTO t VALUES (2)").await.unwrap();
        db.commit().await.unwrap();
        assert_eq!(db.int("SELECT sum(a) FROM t").await.unwrap(), 2);
        // Nothing is held back: the next transaction begins at once.
        db.begin().await.unwrap();
        db.rollback().await.unwrap();
    }
}
