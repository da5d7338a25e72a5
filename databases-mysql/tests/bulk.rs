//! `execute_many`: which INSERTs are sent for many rows at once, and that it cannot be told from one by one.

mod common;

use common::urls;
use databases_core::types::DateTime;
use databases_core::url::DatabaseUrl;
use databases_core::{Connection, ErrorKind, Executor, Params, Pool, PoolConfig, Value, params};
use databases_mysql::MySql;

async fn connect(url: &DatabaseUrl) -> (Pool, Connection) {
    let pool = Pool::new(PoolConfig::from_url(&MySql, url, |_| {}).unwrap()).unwrap();
    let conn = pool.acquire().await.unwrap();
    (pool, conn)
}

/// How many prepared statements the session has run.
async fn executions(conn: &Connection) -> i64 {
    let row: (String, String) = conn.fetch_one("SHOW SESSION STATUS LIKE 'Com_stmt_execute'", ()).await.unwrap();
    row.1.parse().unwrap()
}

#[tokio::test]
async fn rows_go_together_into_tables_of_innodb() {
    for url in urls() {
        let (_pool, conn) = connect(&url).await;
        for (engine, mode, together) in
            [("InnoDB", None, true), ("MyISAM", None, false), ("InnoDB", Some("SET sql_mode = ''"), false)]
        {
            conn.execute("DROP TABLE IF EXISTS bulk_engine", ()).await.unwrap();
            let create = format!("CREATE TABLE bulk_engine (id INT, body VARCHAR(3) NOT NULL) ENGINE = {engine}");
            conn.execute(create, ()).await.unwrap();
            if let Some(mode) = mode {
                conn.execute(mode, ()).await.unwrap();
            }
            let insert = "INSERT INTO bulk_engine VALUES (:id, :body)";
            let rows = || (0..1_000).map(|id| params! { id, body: "abc" });
            conn.execute_many(insert, rows()).await.unwrap();
            let before = executions(&conn).await;
            assert_eq!(conn.execute_many(insert, rows()).await.unwrap(), 1_000);
            let count = executions(&conn).await - before;
            assert_eq!(count < 20, together, "{engine} {mode:?}: {count}");
            // What many rows in one statement would bend to fit.
            let rows = (0..100).map(|id| params! { id, body: if id == 50 { None } else { Some("abc") } });
            let error = conn.execute_many(insert, rows).await.unwrap_err();
            assert_eq!((error.kind(), error.batch_index()), (ErrorKind::NotNullViolation, Some(50)), "{error:?}");
            if mode.is_none() {
                let rows = (0..100).map(|id| params! { id, body: if id == 51 { "abcd" } else { "abc" } });
                let error = conn.execute_many(insert, rows).await.unwrap_err();
                assert_eq!((error.code(), error.batch_index()), (Some("1406"), Some(51)), "{error:?}");
            }
        }
        conn.execute("DROP TABLE bulk_engine", ()).await.unwrap();
    }
}

#[tokio::test]
async fn ids_are_those_of_one_by_one() {
    for url in urls() {
        let (_pool, conn) = connect(&url).await;
        let columns = ["(id, n)", "(`ID`, n)", ""];
        let patterns: [fn(i64) -> Value; 4] = [
            |n| if n % 3 == 0 { Value::Int(n * 7 + 1_000) } else { Value::Null },
            |n| if n == 60 { Value::Int(5_000) } else { Value::Null },
            |n| if n < 60 { Value::Int(n + 1) } else { Value::Int(0) },
            |_| Value::Null,
        ];
        for (columns, id) in columns.iter().flat_map(|columns| patterns.map(|pattern| (columns, pattern))) {
            let mut found = Vec::new();
            for many in [true, false] {
                conn.execute("DROP TABLE IF EXISTS bulk_ids", ()).await.unwrap();
                let create = "CREATE TABLE bulk_ids (id BIGINT AUTO_INCREMENT PRIMARY KEY, n BIGINT)";
                conn.execute(create, ()).await.unwrap();
                let insert = format!("INSERT INTO bulk_ids {columns} VALUES (:id, :n)");
                let rows = (0..120).map(|n| Params::new().with("id", id(n)).with("n", n));
                if many {
                    assert_eq!(conn.execute_many(&insert, rows).await.unwrap(), 120);
                } else {
                    for row in rows {
                        conn.execute(&insert, row).await.unwrap();
                    }
                }
                conn.execute("INSERT INTO bulk_ids (n) VALUES (-1)", ()).await.unwrap();
                let rows: Vec<(i64, i64)> = conn.fetch_all("SELECT n, id FROM bulk_ids ORDER BY n", ()).await.unwrap();
                found.push(rows);
            }
            assert_eq!(found[0], found[1], "{columns}");
        }
        conn.execute("DROP TABLE bulk_ids", ()).await.unwrap();
    }
}

/// The id that the server tells in SQL afterwards, where several rows in one statement would leave the first of theirs.
#[tokio::test]
async fn last_insert_id_is_that_of_the_last_row_that_got_one() {
    for url in urls() {
        let (_pool, conn) = connect(&url).await;
        let given: [fn(i64) -> Option<i64>; 3] = [
            |_| None,
            |n| (n == 19).then_some(50_000),
            // From the middle of a statement of as many rows as there can be on.
            |n| (n >= 1_000).then_some(n + 50_000),
        ];
        let insert = "INSERT INTO bulk_last (id, n) VALUES (:id, :n)";
        let by_itself = "INSERT INTO bulk_last (n) VALUES (:n)";
        let cases = given.map(|given| (insert, given)).into_iter().chain([(by_itself, given[0])]);
        for ((insert, given), count) in cases.flat_map(|case| [9, 20, 1_030].map(|count| (case, count))) {
            conn.execute("DROP TABLE IF EXISTS bulk_last", ()).await.unwrap();
            let create = "CREATE TABLE bulk_last (id BIGINT AUTO_INCREMENT PRIMARY KEY, n BIGINT)";
            conn.execute(create, ()).await.unwrap();
            let rows = (0..count).map(|n| {
                let params = Params::new().with("n", n);
                if insert == by_itself { params } else { params.with("id", given(n)) }
            });
            assert_eq!(conn.execute_many(insert, rows).await.unwrap(), u64::try_from(count).unwrap());
            let told: i64 = conn.fetch_val("SELECT LAST_INSERT_ID()", ()).await.unwrap();
            let last = (0..count).rev().find(|n| given(*n).is_none()).unwrap();
            let sql = "SELECT id FROM bulk_last WHERE n = :last";
            let id: i64 = conn.fetch_val(sql, params! { last }).await.unwrap();
            assert_eq!(told, id, "{insert}, {count} rows");
        }
        conn.execute("DROP TABLE bulk_last", ()).await.unwrap();
    }
}

/// One by one it is the id of the last row that was not there.
#[tokio::test]
async fn last_insert_id_behind_an_upsert_of_a_row_that_was_there_is_that_of_another_row() {
    for url in urls() {
        let (_pool, conn) = connect(&url).await;
        conn.execute("DROP TABLE IF EXISTS bulk_there", ()).await.unwrap();
        let create = "CREATE TABLE bulk_there (id BIGINT AUTO_INCREMENT PRIMARY KEY, n BIGINT UNIQUE, times INT)";
        conn.execute(create, ()).await.unwrap();
        let upsert = "INSERT INTO bulk_there (n, times) VALUES (:n, 1) ON DUPLICATE KEY UPDATE times = times + 1";
        conn.execute_many(upsert, (0..19).map(|n| params! { n: n % 18 })).await.unwrap();
        let told: i64 = conn.fetch_val("SELECT LAST_INSERT_ID()", ()).await.unwrap();
        let ids: Vec<(i64,)> = conn.fetch_all("SELECT id FROM bulk_there ORDER BY n", ()).await.unwrap();
        assert!(ids.contains(&(told,)) && ids.last() != Some(&(told,)), "{told} of {ids:?}");
        conn.execute("DROP TABLE bulk_there", ()).await.unwrap();
    }
}

#[tokio::test]
async fn a_temporary_table_is_not_taken_for_the_one_it_hides() {
    for url in urls() {
        let (_pool, conn) = connect(&url).await;
        conn.execute("DROP TABLE IF EXISTS bulk_hidden", ()).await.unwrap();
        conn.execute("CREATE TABLE bulk_hidden (id INT, body VARCHAR(3))", ()).await.unwrap();
        let insert = "INSERT INTO bulk_hidden VALUES (:id, :body)";
        let rows = |bad: i32| (0..60).map(move |id| params! { id, body: if id == bad { "abcd" } else { "abc" } });
        conn.execute_many(insert, rows(-1)).await.unwrap();
        let hide = "CREATE TEMPORARY TABLE bulk_hidden (id INT, body VARCHAR(3)) ENGINE = MyISAM";
        conn.execute(hide, ()).await.unwrap();
        let error = conn.execute_many(insert, rows(40)).await.unwrap_err();
        assert_eq!((error.code(), error.batch_index()), (Some("1406"), Some(40)), "{error:?}");
        conn.execute("DROP TEMPORARY TABLE bulk_hidden", ()).await.unwrap();
        assert_eq!(conn.fetch_val::<i64>("SELECT COUNT(*) FROM bulk_hidden", ()).await.unwrap(), 60);
        conn.execute("DROP TABLE bulk_hidden", ()).await.unwrap();
    }
}

#[tokio::test]
async fn upserts_count_and_change_rows_as_one_by_one() {
    for url in urls() {
        let (_pool, conn) = connect(&url).await;
        let texts = [
            "INSERT INTO bulk_upsert (id, n) VALUES (:id, :n) ON DUPLICATE KEY UPDATE n = bulk_upsert.n + VALUES(n)",
            "REPLACE INTO bulk_upsert (id, n) VALUES (:id, :n)",
        ];
        for text in texts {
            let mut found = Vec::new();
            for many in [true, false] {
                conn.execute("DROP TABLE IF EXISTS bulk_upsert", ()).await.unwrap();
                let create = "CREATE TABLE bulk_upsert (id INT PRIMARY KEY, n INT, at INT AUTO_INCREMENT UNIQUE)";
                conn.execute(create, ()).await.unwrap();
                let rows = (0..200).map(|n| params! { id: n * 13 % 70, n: n % 3 });
                let mut affected = 0;
                if many {
                    affected = conn.execute_many(text, rows).await.unwrap();
                } else {
                    for row in rows {
                        affected += conn.execute(text, row).await.unwrap().rows_affected();
                    }
                }
                let rows: Vec<(i32, i32, i32)> =
                    conn.fetch_all("SELECT * FROM bulk_upsert ORDER BY id", ()).await.unwrap();
                found.push((affected, rows));
            }
            assert_eq!(found[0], found[1], "{text}");
        }
        conn.execute("DROP TABLE bulk_upsert", ()).await.unwrap();
    }
}

/// The driver does not give back the values of a statement that failed, and rows are pulled while another is under way.
#[tokio::test]
async fn rows_of_a_failed_statement_run_again_as_they_were() {
    for url in urls() {
        let (_pool, conn) = connect(&url).await;
        conn.execute("DROP TABLE IF EXISTS bulk_again", ()).await.unwrap();
        let create =
            "CREATE TABLE bulk_again (id BIGINT PRIMARY KEY, body VARCHAR(4000), at DATETIME(6), ratio DOUBLE)";
        conn.execute(create, ()).await.unwrap();
        // Fails once, in the second statement, and counts on: one by one the rows are fine.
        let trigger = "CREATE TRIGGER bulk_again BEFORE INSERT ON bulk_again FOR EACH ROW \
                       SET NEW.body = IF((@calls := @calls + 1) = 1500, REPEAT('x', 5000), NEW.body)";
        conn.execute(trigger, ()).await.unwrap();
        let body = |id: i64| match id % 7 {
            0 => None,
            1 => Some("l".repeat(2_000 + id as usize % 50)),
            2 => Some(String::new()),
            _ => Some(format!("row {id}")),
        };
        let at = |id: i64| (id % 3 == 0).then(|| DateTime::from_micros_since_2000(id * 1_000_001).unwrap());
        let ratio = |id: i64| id as f64 / 3.0;
        let row = |id: i64| params! { id, body: body(id), at: at(id), ratio: ratio(id) };
        let insert = "INSERT INTO bulk_again VALUES (:id, :body, :at, :ratio)";
        conn.execute("SET @calls := 0", ()).await.unwrap();
        assert_eq!(conn.execute_many(insert, (0..3_300).map(row)).await.unwrap(), 3_300);
        let found: Vec<(i64, Option<String>, Option<DateTime>, f64)> =
            conn.fetch_all("SELECT id, body, at, ratio FROM bulk_again ORDER BY id", ()).await.unwrap();
        assert_eq!(found, (0..3_300).map(|id| (id, body(id), at(id), ratio(id))).collect::<Vec<_>>());
        let calls: i64 = conn.fetch_val("SELECT CAST(@calls AS SIGNED)", ()).await.unwrap();
        assert!(calls > 3_300, "{calls}");
        // Of two that fail the first is told, also where the second was pulled before the first was known to fail.
        let twice = |id: i64| match id {
            1_400 => params! { id: 1_399, body: "", at: None::<DateTime>, ratio: 0.5 },
            1_450 => params! { id, body: "", at: None::<DateTime>, ratio: f64::NAN },
            _ => row(id),
        };
        conn.execute("DELETE FROM bulk_again", ()).await.unwrap();
        let error = conn.execute_many(insert, (0..3_000).map(twice)).await.unwrap_err();
        assert_eq!((error.kind(), error.batch_index()), (ErrorKind::UniqueViolation, Some(1_400)), "{error:?}");
        let fine = |id: i64| if id == 1_400 { row(id) } else { twice(id) };
        let error = conn.execute_many(insert, (0..3_000).map(fine)).await.unwrap_err();
        assert_eq!((error.kind(), error.batch_index()), (ErrorKind::Encode, Some(1_450)), "{error:?}");
        assert_eq!(conn.fetch_val::<i64>("SELECT COUNT(*) FROM bulk_again", ()).await.unwrap(), 0);
        conn.execute("DROP TABLE bulk_again", ()).await.unwrap();
    }
}
