//! What errors about constraints name, and what finding it out costs.

mod common;

use common::*;
use databases_core::backend::{Status, TransactionCommand};
use databases_core::{Error, ErrorKind, Params, TransactionOptions, Value};

fn none() -> Params<'static> {
    Params::new()
}

async fn fails(conn: &Conn, sql: &str) -> Error {
    execute(conn, sql, none()).await.err().unwrap_or_else(|| panic!("{sql} does not fail"))
}

#[track_caller]
fn names(error: &Error, constraint: Option<&str>, table: Option<&str>, columns: &[&str]) {
    assert_eq!(error.constraint(), constraint, "{error:?} {:?}", error.detail());
    assert_eq!(error.table(), table, "{error:?} {:?}", error.detail());
    assert_eq!(error.columns(), columns, "{error:?} {:?}", error.detail());
}

async fn is_mysql(conn: &Conn) -> bool {
    conn.server_info().await.unwrap().product == "MySQL"
}

/// How many statements this session has prepared.
async fn prepared(conn: &Conn) -> i64 {
    let row = fetch(conn, "SHOW SESSION STATUS LIKE 'Com_stmt_prepare'", none()).await.unwrap().remove(0);
    let Value::Text(count) = &row[1] else { panic!() };
    count.parse().unwrap()
}

async fn count(conn: &Conn, table: &str) -> Value {
    value(conn, &format!("SELECT COUNT(*) FROM {table}")).await
}

async fn begin(conn: &Conn) {
    conn.transaction(TransactionCommand::Begin(TransactionOptions::new())).await.unwrap();
}

/// Drops what a test made, also what an earlier run left.
async fn drop_all(conn: &Conn, tables: &str) {
    setup(conn, &[&format!("DROP TABLE IF EXISTS {tables}")]).await;
}

#[tokio::test]
async fn a_duplicate_names_table_key_and_columns() {
    let Some(conn) = connect().await else { return };
    drop_all(&conn, "k_one, `k two``s.t`").await;
    setup(
        &conn,
        &[
            "CREATE TABLE k_one (id INT PRIMARY KEY, word VARCHAR(20) UNIQUE, a INT, b INT, UNIQUE KEY both_ (b, a), \
             UNIQUE KEY `d.ot` (a, id, b)) ENGINE=InnoDB",
            "CREATE TABLE `k two``s.t` (`i d` INT PRIMARY KEY, `w``x` INT, UNIQUE KEY `k'e``y` (`w``x`, `i d`), \
             UNIQUE KEY short (`w``x`)) ENGINE=InnoDB",
            "INSERT INTO k_one VALUES (1, 'secret', 1, 1), (2, 'b', 2, 2)",
            "INSERT INTO `k two``s.t` VALUES (1, 1)",
        ],
    )
    .await;
    let Value::Text(schema) = value(&conn, "SELECT DATABASE()").await else { panic!() };
    let two = "k two`s.t";
    for (sql, constraint, table, columns) in [
        ("INSERT INTO k_one VALUES (3, 'secret', 3, 3)", "word", "k_one", &["word"][..]),
        ("INSERT INTO k_one VALUES (1, 'c', 3, 3)", "PRIMARY", "k_one", &["id"]),
        ("INSERT INTO k_one VALUES (3, 'c', 1, 1)", "both_", "k_one", &["b", "a"]),
        ("INSERT INTO k_one(id, word) SELECT 7, 'secret'", "word", "k_one", &["word"]),
        ("UPDATE k_one SET word = 'secret' WHERE id = 2", "word", "k_one", &["word"]),
        ("UPDATE k_one AS x SET x.id = 1 WHERE x.id = 2", "PRIMARY", "k_one", &["id"]),
        ("INSERT INTO {schema}.k_one VALUES (1, 'c', 3, 3)", "PRIMARY", "k_one", &["id"]),
        ("INSERT INTO `{schema}` . `k_one` VALUES (1, 'c', 3, 3)", "PRIMARY", "k_one", &["id"]),
        ("INSERT INTO `k two``s.t` VALUES (2, 1)", "short", two, &["w`x"]),
        ("INSERT INTO `k two``s.t` VALUES (1, 2)", "PRIMARY", two, &["i d"]),
    ] {
        let error = fails(&conn, &sql.replace("{schema}", &schema)).await;
        assert_eq!((error.kind(), error.code()), (ErrorKind::UniqueViolation, Some("1062")), "{sql}");
        names(&error, Some(constraint), Some(table), columns);
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        assert!(is_idle(&conn), "{sql}");
    }
    // Names with dots and quotes.
    setup(&conn, &["ALTER TABLE k_one DROP KEY both_", "ALTER TABLE `k two``s.t` DROP KEY short, DROP PRIMARY KEY"])
        .await;
    setup(&conn, &["ALTER TABLE k_one DROP PRIMARY KEY, DROP KEY word"]).await;
    names(
        &fails(&conn, "INSERT INTO k_one VALUES (1, 'c', 1, 1)").await,
        Some("d.ot"),
        Some("k_one"),
        &["a", "id", "b"],
    );
    let error = fails(&conn, "INSERT INTO `k two``s.t` VALUES (1, 1)").await;
    names(&error, Some("k'e`y"), Some(two), &["w`x", "i d"]);
    // ANSI quotes are quotes, and a session may limit its results.
    setup(&conn, &["SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES'), sql_select_limit = 1"]).await;
    let error = fails(&conn, r#"INSERT INTO "k two`s.t" VALUES (1, 1)"#).await;
    names(&error, Some("k'e`y"), Some(two), &["w`x", "i d"]);
    drop_all(&conn, "k_one, `k two``s.t`").await;
}

#[tokio::test]
async fn other_constraints_name_what_is_known() {
    let Some(conn) = connect().await else { return };
    drop_all(&conn, "k_child, k_rules").await;
    setup(
        &conn,
        &[
            "CREATE TABLE k_rules (id INT PRIMARY KEY, a INT NOT NULL, n INT CHECK (n > 0), CONSTRAINT small CHECK (n < 9)) \
             ENGINE=InnoDB",
            "CREATE TABLE k_child (p INT, CONSTRAINT k_fk FOREIGN KEY (p) REFERENCES k_rules (id)) ENGINE=InnoDB",
            "INSERT INTO k_rules VALUES (1, 1, 1)",
            "INSERT INTO k_child VALUES (1)",
        ],
    )
    .await;
    let t = Some("k_rules");
    names(&fails(&conn, "INSERT INTO `k_rules` VALUES (2, NULL, 1)").await, None, t, &["a"]);
    names(&fails(&conn, "UPDATE k_rules SET a = NULL").await, None, t, &["a"]);
    names(&fails(&conn, "INSERT INTO k_rules (id) VALUES (2)").await, None, t, &["a"]);
    names(&fails(&conn, "INSERT INTO k_rules VALUES (2, 1, 10)").await, Some("small"), t, &[]);
    names(&fails(&conn, "INSERT INTO k_child VALUES (2)").await, Some("k_fk"), Some("k_child"), &["p"]);
    names(&fails(&conn, "DELETE FROM k_rules").await, Some("k_fk"), Some("k_child"), &["p"]);
    let error = fails(&conn, "INSERT INTO k_rules VALUES (2, 1, 0)").await;
    assert_eq!((error.kind(), error.table()), (ErrorKind::CheckViolation, t));
    if !is_mysql(&conn).await {
        names(&error, Some("n"), t, &["n"]);
    }
    drop_all(&conn, "k_child, k_rules").await;
}

#[tokio::test]
async fn a_transaction_goes_on_behind_the_look_up() {
    let Some(conn) = connect().await else { return };
    let other = connect().await.unwrap();
    drop_all(&conn, "k_tx").await;
    setup(&conn, &["CREATE TABLE k_tx (id INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO k_tx VALUES (1)"]).await;
    begin(&conn).await;
    setup(&conn, &["INSERT INTO k_tx VALUES (2)"]).await;
    // The first is looked up, the second is known.
    for _ in 0..2 {
        names(&fails(&conn, "INSERT INTO k_tx VALUES (1)").await, Some("PRIMARY"), Some("k_tx"), &["id"]);
        assert_eq!(conn.status(), Status::InTransaction);
    }
    conn.transaction(TransactionCommand::Savepoint(1)).await.unwrap();
    setup(&conn, &["INSERT INTO k_tx VALUES (3)"]).await;
    names(&fails(&conn, "UPDATE k_tx SET id = 1 WHERE id = 3").await, Some("PRIMARY"), Some("k_tx"), &["id"]);
    conn.transaction(TransactionCommand::RollbackTo(1)).await.unwrap();
    setup(&conn, &["INSERT INTO k_tx VALUES (4)"]).await;
    assert_eq!(count(&other, "k_tx").await, Value::Int(1));
    conn.transaction(TransactionCommand::Commit).await.unwrap();
    assert_eq!((conn.status(), count(&other, "k_tx").await), (Status::Idle, Value::Int(3)));
    // Rolled back, nothing is left.
    begin(&conn).await;
    setup(&conn, &["INSERT INTO k_tx VALUES (5)"]).await;
    fails(&conn, "INSERT INTO k_tx VALUES (1)").await;
    conn.transaction(TransactionCommand::Rollback).await.unwrap();
    assert_eq!((conn.status(), count(&other, "k_tx").await), (Status::Idle, Value::Int(3)));
    drop_all(&conn, "k_tx").await;
}

#[tokio::test]
async fn the_look_up_fixes_a_snapshot_on_mysql_only() {
    let Some(conn) = connect().await else { return };
    let other = connect().await.unwrap();
    drop_all(&conn, "k_snap").await;
    setup(&conn, &["CREATE TABLE k_snap (id INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO k_snap VALUES (1)"]).await;
    for (seen, is_known) in [(2, false), (3, true)] {
        begin(&conn).await;
        names(&fails(&conn, "INSERT INTO k_snap VALUES (1)").await, Some("PRIMARY"), Some("k_snap"), &["id"]);
        setup(&other, &[&format!("INSERT INTO k_snap VALUES ({seen})")]).await;
        // The transaction has read nothing of its own yet, so its view of the data should begin here.
        let count = count(&conn, "k_snap").await;
        if is_known || !is_mysql(&conn).await {
            assert_eq!(count, Value::Int(seen));
        }
        conn.transaction(TransactionCommand::Rollback).await.unwrap();
    }
    drop_all(&conn, "k_snap").await;
}

#[tokio::test]
async fn without_autocommit_the_look_up_begins_no_transaction() {
    let Some(conn) = connect().await else { return };
    drop_all(&conn, "k_auto").await;
    setup(&conn, &["CREATE TABLE k_auto (id INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO k_auto VALUES (1)"]).await;
    setup(&conn, &["SET autocommit = 0"]).await;
    let error = fails(&conn, "INSERT INTO k_auto VALUES (1)").await;
    assert_eq!(error.kind(), ErrorKind::UniqueViolation);
    // The INSERT has begun one; whatever is told agrees with the server.
    let told = conn.status() == Status::InTransaction;
    assert_eq!(!error.columns().is_empty(), told);
    assert_eq!(conn.transaction(TransactionCommand::Commit).await.is_ok(), told);
    setup(&conn, &["SET autocommit = 1"]).await;
    drop_all(&conn, "k_auto").await;
}

#[tokio::test]
async fn execute_many_names_the_columns_too() {
    let Some(conn) = connect().await else { return };
    drop_all(&conn, "k_many").await;
    setup(&conn, &["CREATE TABLE k_many (a INT, b INT, UNIQUE KEY ab (a, b)) ENGINE=InnoDB"]).await;
    let insert =
        |(a, b): (i64, i64)| request(&conn, "INSERT INTO k_many VALUES (:a, :b)", none().with("a", a).with("b", b));
    begin(&conn).await;
    let all: Vec<_> = [(1, 1), (1, 2), (1, 1), (1, 3)].map(insert).into_iter().collect();
    let error = conn.run_many(&mut List(all.into_iter())).await.unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::UniqueViolation, Some(2)));
    names(&error, Some("ab"), Some("k_many"), &["a", "b"]);
    assert_eq!(conn.status(), Status::InTransaction);
    conn.transaction(TransactionCommand::Commit).await.unwrap();
    assert_eq!(count(&conn, "k_many").await, Value::Int(2));
    // As many rows once more are one statement, which is prepared then; after that nothing is, and no key is looked at.
    let mut last = None;
    for (first, prepares) in [(100, 0), (200, 1), (300, 0), (400, 0)] {
        let all: Vec<_> = (first..first + 50).map(|n| insert((n, n))).collect();
        assert_eq!(conn.run_many(&mut List(all.into_iter())).await.unwrap(), 50);
        let now = prepared(&conn).await;
        assert_eq!(now - last.replace(now).unwrap_or(now), prepares);
    }
    drop_all(&conn, "k_many").await;
}

#[tokio::test]
async fn a_key_is_looked_up_once_until_a_table_changes() {
    let Some(conn) = connect().await else { return };
    drop_all(&conn, "k_once").await;
    setup(
        &conn,
        &[
            "CREATE TABLE k_once (id INT PRIMARY KEY, a INT, b INT, UNIQUE KEY u (a)) ENGINE=InnoDB",
            "INSERT INTO k_once VALUES (1, 1, 1)",
        ],
    )
    .await;
    let by_id = "INSERT INTO k_once VALUES (1, 2, 2)";
    let by_u = "INSERT INTO k_once VALUES (2, 1, 1)";
    // Each text is prepared once and kept, and so is SHOW STATUS; what is more than that are look-ups.
    let mut last = prepared(&conn).await;
    let mut more = async || {
        let now = prepared(&conn).await;
        now - std::mem::replace(&mut last, now)
    };
    for expected in [2, 0, 0] {
        names(&fails(&conn, by_id).await, Some("PRIMARY"), Some("k_once"), &["id"]);
        assert_eq!(more().await, expected);
    }
    for expected in [2, 0] {
        names(&fails(&conn, by_u).await, Some("u"), Some("k_once"), &["a"]);
        assert_eq!(more().await, expected);
    }
    setup(&conn, &["ALTER TABLE k_once DROP KEY u, ADD UNIQUE KEY u (a, b)"]).await;
    more().await;
    names(&fails(&conn, by_u).await, Some("u"), Some("k_once"), &["a", "b"]);
    assert!(more().await >= 1);
    names(&fails(&conn, by_u).await, Some("u"), Some("k_once"), &["a", "b"]);
    assert_eq!(more().await, 0);
    conn.run_script("ALTER TABLE k_once DROP KEY u, ADD UNIQUE KEY u (b)").await.unwrap();
    names(&fails(&conn, by_u).await, Some("u"), Some("k_once"), &["b"]);
    drop_all(&conn, "k_once").await;
}

#[tokio::test]
async fn what_would_be_a_guess_is_left_out() {
    let Some(conn) = connect().await else { return };
    let is_mysql = is_mysql(&conn).await;
    drop_all(&conn, "k_hidden, k_log, k_users").await;
    setup(
        &conn,
        &[
            "CREATE TABLE k_hidden (id INT PRIMARY KEY)",
            "CREATE TABLE k_users (id INT PRIMARY KEY, name INT) ENGINE=InnoDB",
            "CREATE TABLE k_log (entry INT PRIMARY KEY) ENGINE=InnoDB",
            "INSERT INTO k_log VALUES (7)",
            "INSERT INTO k_users VALUES (1, 1)",
        ],
    )
    .await;
    // Two tables change.
    let both = fails(&conn, "UPDATE k_log JOIN k_users ON true SET k_users.name = 3, k_log.entry = NULL").await;
    assert_ne!(both.table(), Some("k_users"), "{both:?}");
    // A trigger makes the duplicate, in a table of its own.
    let trigger =
        "CREATE TRIGGER k_users_log BEFORE INSERT ON k_users FOR EACH ROW INSERT INTO k_log VALUES (NEW.name)";
    let made = conn.run(raw(&conn, trigger, vec![]), &mut Rows::default()).await;
    if let Err(error) = &made {
        // With a binary log MySQL wants a privilege for it (1419).
        assert_eq!(error.code(), Some("1419"), "{error:?} {:?}", error.detail());
    } else {
        let error = fails(&conn, "INSERT INTO k_users VALUES (2, 7)").await;
        let (table, columns) = if is_mysql { (Some("k_log"), &["entry"][..]) } else { (None, &[][..]) };
        names(&error, Some("PRIMARY"), table, columns);
    }
    // A temporary table stands in front of the one that information_schema knows.
    setup(&conn, &["CREATE TEMPORARY TABLE k_hidden (other INT PRIMARY KEY)", "INSERT INTO k_hidden VALUES (1)"]).await;
    let error = fails(&conn, "INSERT INTO k_hidden VALUES (1)").await;
    names(&error, Some("PRIMARY"), if is_mysql { Some("k_hidden") } else { None }, &[]);
    assert!(conn.reset().await.unwrap());
    setup(&conn, &["INSERT INTO k_hidden VALUES (1)"]).await;
    names(&fails(&conn, "INSERT INTO k_hidden VALUES (1)").await, Some("PRIMARY"), Some("k_hidden"), &["id"]);
    drop_all(&conn, "k_hidden, k_log, k_users").await;
}

#[tokio::test]
async fn a_look_up_that_fails_leaves_the_error_and_the_transaction_alone() {
    let Some(conn) = connect().await else { return };
    drop_all(&conn, "k_fail").await;
    setup(&conn, &["CREATE TABLE k_fail (id INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO k_fail VALUES (1)"]).await;
    begin(&conn).await;
    setup(&conn, &["INSERT INTO k_fail VALUES (2)"]).await;
    let table = is_mysql(&conn).await.then_some("k_fail");
    // The server takes no SELECT of more than one row, as it guesses.
    setup(&conn, &["SET SESSION max_join_size = 1, sql_big_selects = 0"]).await;
    for _ in 0..2 {
        names(&fails(&conn, "INSERT INTO k_fail VALUES (1)").await, Some("PRIMARY"), table, &[]);
        assert_eq!(conn.status(), Status::InTransaction);
    }
    conn.transaction(TransactionCommand::Commit).await.unwrap();
    let other = connect().await.unwrap();
    assert_eq!(count(&other, "k_fail").await, Value::Int(2));
    drop_all(&other, "k_fail").await;
}
