//! `execute_many` where a statement for many rows meets what a packet or a statement may hold.

mod common;
#[path = "../../tests/tls_servers/mod.rs"]
mod tls_servers;

use std::ops::Range;

use common::urls;
use databases_core::url::DatabaseUrl;
use databases_core::{Connection, ErrorKind, Executor, Params, Pool, PoolConfig, Value, params};
use databases_mysql::MySql;
use tls_servers::Server;

async fn connect(url: &DatabaseUrl) -> (Pool, Connection) {
    let pool = Pool::new(PoolConfig::from_url(&MySql, url, |_| {}).unwrap()).unwrap();
    let conn = pool.acquire().await.unwrap();
    (pool, conn)
}

/// How many prepared statements the session has run.
async fn executions(conn: &Connection) -> u64 {
    let row: (String, String) = conn.fetch_one("SHOW SESSION STATUS LIKE 'Com_stmt_execute'", ()).await.unwrap();
    row.1.parse().unwrap()
}

/// Inserts 1,000 rows of 100 columns, looks at each value, and gives how many statements they took.
async fn insert_100_columns(conn: &Connection) -> u64 {
    const COLUMNS: i64 = 100;
    let columns = |each: &dyn Fn(i64) -> String| (0..COLUMNS).map(each).collect::<Vec<_>>().join(", ");
    conn.execute("DROP TABLE IF EXISTS packets_columns", ()).await.unwrap();
    let create = format!("CREATE TABLE packets_columns ({})", columns(&|n| format!("c{n} INT")));
    conn.execute(create, ()).await.unwrap();
    let insert = format!("INSERT INTO packets_columns VALUES ({})", columns(&|n| format!(":c{n}")));
    let value = |row: i64, column: i64| {
        if (row + column) % 11 == 0 { Value::Null } else { Value::Int(row * COLUMNS + column) }
    };
    let params = |row| (0..COLUMNS).fold(Params::new(), |params, n| params.with(format!("c{n}"), value(row, n)));
    let before = executions(conn).await;
    assert_eq!(conn.execute_many(&insert, (0..1_000).map(params)).await.unwrap(), 1_000);
    let count = executions(conn).await - before;
    let select = "SELECT * FROM packets_columns ORDER BY COALESCE(c0, c1 - 1)";
    let found: Vec<Vec<Value>> = conn.fetch_all(select, ()).await.unwrap();
    assert_eq!(found.len(), 1_000);
    for (row, found) in (0..).zip(found) {
        assert_eq!(found, (0..COLUMNS).map(|column| value(row, column)).collect::<Vec<_>>(), "row {row}");
    }
    conn.execute("DROP TABLE packets_columns", ()).await.unwrap();
    count
}

#[tokio::test]
async fn rows_with_more_parameters_than_a_statement_may_have_go_in_several() {
    for url in urls() {
        let (_pool, conn) = connect(&url).await;
        // 65,535 parameters are those of 655 rows.
        let count = insert_100_columns(&conn).await;
        assert!((2..20).contains(&count), "{count}");
    }
}

/// What rows are like and how many there are, in how many statements they go, and the length of each.
type Case = (&'static str, usize, Range<u64>, fn(usize) -> usize);

#[tokio::test]
async fn rows_go_together_as_far_as_a_small_packet_holds_them() {
    let servers = urls().len();
    if servers == 0 {
        return;
    }
    const PACKET: usize = 64 * 1024;
    let mut options = vec!["--mysqld".to_owned(), format!("--max-allowed-packet={PACKET}")];
    if servers > 1 {
        options.push("--matrix".to_owned());
    }
    let own = Server::start("mariadb", &options);
    // The matrix has servers of other kinds too.
    for url in own.url.split(',').filter(|url| url.starts_with("mysql")) {
        let (_pool, conn) = connect(&url.parse().unwrap()).await;
        assert_eq!(conn.fetch_val::<i64>("SELECT CAST(@@max_allowed_packet AS SIGNED)", ()).await.unwrap(), 64 * 1024);
        // The text alone bounds them: 500 bytes for each row.
        let count = insert_100_columns(&conn).await;
        assert!((10..200).contains(&count), "{count}");

        conn.execute("DROP TABLE IF EXISTS packets_rows", ()).await.unwrap();
        conn.execute("CREATE TABLE packets_rows (id INT PRIMARY KEY, body LONGTEXT)", ()).await.unwrap();
        let insert = "INSERT INTO packets_rows VALUES (:id, :body)";
        let cases: [Case; 4] = [
            ("small ones", 3_000, 3..60, |_| 20),
            ("some rows fill a statement", 3_000, 150..1_500, |id| 3_000 + id % 7),
            // One by one then, as far as they were pulled together.
            ("a large one that does not fit behind those before it", 3_000, 40..300, |id| {
                if id == 40 { 60_000 } else { 700 }
            }),
            ("no two fit together", 30, 30..40, |_| 62_000),
        ];
        for (what, rows, statements, len) in cases {
            let body = |id: usize| char::from(b'a' + (id % 26) as u8).to_string().repeat(len(id));
            conn.execute("DELETE FROM packets_rows", ()).await.unwrap();
            let before = executions(&conn).await;
            let params = (0..rows).map(|id| params! { id: id as i64, body: body(id) });
            assert_eq!(conn.execute_many(insert, params).await.unwrap(), rows as u64, "{what}");
            let count = executions(&conn).await - before;
            assert!(statements.contains(&count), "{what}: {count}");
            let found: Vec<(i64, String)> =
                conn.fetch_all("SELECT id, body FROM packets_rows ORDER BY id", ()).await.unwrap();
            assert!(found.into_iter().eq((0..rows).map(|id| (id as i64, body(id)))), "{what}");
        }
        // One that no packet holds is told by its index, and nothing of the batch stays.
        conn.execute("DELETE FROM packets_rows", ()).await.unwrap();
        let rows = (0..100).map(|id| params! { id, body: "x".repeat(if id == 77 { PACKET } else { 10 }) });
        let error = conn.execute_many(insert, rows).await.unwrap_err();
        assert_eq!((error.kind(), error.batch_index()), (ErrorKind::LimitExceeded, Some(77)), "{error:?}");
        assert_eq!(conn.fetch_val::<i64>("SELECT COUNT(*) FROM packets_rows", ()).await.unwrap(), 0);
    }
}
