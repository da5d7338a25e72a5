//! What works with PgBouncer between us and the server: the table of docs/poolers.md.
//!
//! `scripts/servers --matrix` starts one and names its URLs in `TEST_POOLER_URLS`: their databases are called `session` or
//! `transaction`, after the way of pooling.

use std::time::Duration;

use databases_core::url::DatabaseUrl;
use databases_core::{ErrorKind, Executor as _, Pool, PoolConfig, TransactionOptions, Value, params, sql};
use databases_postgres::Postgres;
use futures_util::TryStreamExt as _;

const WAYS: [&str; 2] = ["session", "transaction"];

/// A pool of a few connections through each PgBouncer that pools in one of these ways.
fn pools(ways: &[&str], options: &str) -> Vec<Pool> {
    let urls = std::env::var("TEST_POOLER_URLS").unwrap_or_default();
    let is_wanted = |url: &&str| ways.iter().any(|way| url.ends_with(&format!("/{way}")));
    let pool = |url| {
        let url: DatabaseUrl = format!("{url}?max_connections=4{options}").parse().unwrap();
        Pool::new(PoolConfig::from_url(&Postgres, &url, |_| {}).unwrap()).unwrap()
    };
    let pools: Vec<_> = urls.split(',').map(str::trim).filter(is_wanted).map(pool).collect();
    if pools.is_empty() {
        eprintln!(
            "left out: TEST_POOLER_URLS names no PgBouncer that pools by {ways:?} (scripts/servers --matrix does)"
        );
    }
    pools
}

#[tokio::test]
async fn statements_run_through_a_pooler() {
    for db in pools(&WAYS, "") {
        // More texts than connections of ours, in an order in which the pooler's server connections meet texts anew.
        for round in 0..20_i64 {
            let values = (0..4_i64).map(|n| db.fetch_val::<i64>("SELECT :n + 1", params! { n: n + round }));
            let values = futures_util::future::try_join_all(values).await.unwrap();
            assert_eq!(values, (round + 1..round + 5).collect::<Vec<_>>());
            let text = format!("SELECT 'text {round}' || :what");
            let found: String = db.fetch_val(&text, params! { what: "!" }).await.unwrap();
            assert_eq!(found, format!("text {round}!"));
        }
        let unkept = sql("SELECT 7 + :n").prepared(false);
        assert_eq!(db.fetch_val::<i64>(unkept, params! { n: 1_i64 }).await.unwrap(), 8);
        let rows = db.iterate::<(i32,)>("SELECT generate_series(1, 5000)", ());
        assert_eq!(rows.try_fold(0, |n, (row,)| async move { Ok(n + i64::from(row)) }).await.unwrap(), 12_502_500);
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn times_are_in_utc_through_a_pooler_whoever_had_its_connection() {
    for db in pools(&WAYS, "&application_name=through%20a%20pooler") {
        let name: String = db.fetch_val("SHOW application_name", ()).await.unwrap();
        assert_eq!(name, "through a pooler");
        // Each statement may be on another connection of the pooler, and each connection has been had before.
        for _ in 0..20 {
            let shown = "SELECT current_setting('TimeZone'), split_part(current_setting('DateStyle'), ',', 1)";
            let found: (String, String) = db.fetch_one(shown, ()).await.unwrap();
            assert_eq!(found, ("UTC".into(), "ISO".into()));
            // A session that changed them is reset.
            db.execute("SET TimeZone = 'Asia/Tokyo'", ()).await.unwrap();
        }
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn transactions_and_many_rows_go_through_a_pooler() {
    for (number, db) in pools(&WAYS, "").into_iter().enumerate() {
        let table = format!("pooled_{}_{number}", std::process::id());
        db.execute_script(&format!(
            "DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (id int PRIMARY KEY, name text)"
        ))
        .await
        .unwrap();
        let insert = format!("INSERT INTO {table} VALUES (:id, :name)");
        let rows = (0..2000).map(|id| params! { id, name: format!("row {id}") });
        assert_eq!(db.execute_many(&insert, rows).await.unwrap(), 2000);
        let tx = db.begin_with(TransactionOptions::new()).await.unwrap();
        let inner = tx.begin().await.unwrap();
        inner.execute(&insert, params! { id: 5000, name: "undone" }).await.unwrap();
        inner.rollback().await.unwrap();
        tx.execute(&insert, params! { id: 5001, name: "kept" }).await.unwrap();
        tx.commit().await.unwrap();
        drop(db.begin().await.unwrap());
        let tx = db.begin().await.unwrap();
        let error = tx.execute(&insert, params! { id: 5001, name: "twice" }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UniqueViolation);
        assert_eq!(tx.execute("SELECT 1", ()).await.unwrap_err().kind(), ErrorKind::TransactionFailed);
        assert_eq!(tx.commit().await.unwrap_err().kind(), ErrorKind::TransactionFailed);
        // All or none, also where a row in the middle fails.
        let rows = (4000..4100).map(|id| params! { id: if id == 4050 { 0 } else { id }, name: "x" });
        assert_eq!(db.execute_many(&insert, rows).await.unwrap_err().kind(), ErrorKind::UniqueViolation);
        let count: i64 = db.fetch_val(format!("SELECT count(*) FROM {table}"), ()).await.unwrap();
        assert_eq!(count, 2001);
        // Enough for a COPY, also one that fails.
        let rows = (10_000..40_000).map(|id| params! { id: if id == 25_000 { 0 } else { id }, name: "x" });
        let error = db.execute_many(&insert, rows).await.unwrap_err();
        assert_eq!((error.kind(), error.batch_index()), (ErrorKind::UniqueViolation, Some(15_000)));
        for (from, prepared) in [(10_000, true), (40_000, false)] {
            let rows = (from..from + 30_000).map(|id| params! { id, name: "x" });
            let insert = sql(&insert).prepared(prepared);
            assert_eq!(db.execute_many(insert, rows).await.unwrap(), 30_000);
        }
        let count: i64 = db.fetch_val(format!("SELECT count(*) FROM {table}"), ()).await.unwrap();
        assert_eq!(count, 62_001);
        db.execute(format!("DROP TABLE {table}"), ()).await.unwrap();
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_write_whose_text_says_its_types_goes_through_a_pooler() {
    for (number, db) in pools(&WAYS, "").into_iter().enumerate() {
        let table = format!("pooled_casts_{}_{number}", std::process::id());
        db.execute_script(&format!("DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (id int, name text)"))
            .await
            .unwrap();
        let insert = format!("INSERT INTO {table} VALUES (:id::int, :name::pg_catalog.text)");
        for round in 0..10 {
            // The first time unprepared, later prepared, and one that never is.
            let texts = [sql(&insert), sql(&insert).prepared(false)];
            let calls = texts.map(|text| (0..4).map(move |id| (text.clone(), id))).into_iter().flatten();
            let calls = calls.map(|(text, id)| db.execute(text, params! { id, name: format!("{round}") }));
            for done in futures_util::future::try_join_all(calls).await.unwrap() {
                assert_eq!(done.rows_affected(), 1);
            }
            let tx = db.begin().await.unwrap();
            tx.execute(sql(&insert).prepared(false), params! { id: 9, name: "kept" }).await.unwrap();
            tx.commit().await.unwrap();
        }
        let found: (i64, i64) = db.fetch_one(format!("SELECT count(*), sum(id) FROM {table}"), ()).await.unwrap();
        assert_eq!(found, (90, 10 * (2 * 6 + 9)));
        db.execute(format!("DROP TABLE {table}"), ()).await.unwrap();
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn statements_are_cancelled_through_a_pooler_and_nobody_else_is_hit() {
    for db in pools(&WAYS, "") {
        for round in 0..10 {
            let slow = sql("SELECT pg_sleep(30)").timeout(Duration::from_millis(50));
            assert_eq!(db.execute(slow, ()).await.unwrap_err().kind(), ErrorKind::StatementTimeout);
            let dropped = tokio::time::timeout(Duration::from_millis(30), db.execute("SELECT pg_sleep(29)", ()));
            assert!(dropped.await.is_err());
            let others = (0..8_i64).map(|n| db.fetch_val::<i64>("SELECT :n FROM pg_sleep(0.01)", params! { n }));
            let others = futures_util::future::try_join_all(others).await.unwrap();
            assert_eq!(others, (0..8).collect::<Vec<_>>(), "round {round}");
        }
        let count = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query IN \
            ('SELECT pg_sleep(30)', 'SELECT pg_sleep(29)')";
        let mut left = i64::MAX;
        for _ in 0..50 {
            left = db.fetch_val(count, ()).await.unwrap();
            if left == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(left, 0);
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_bare_parameter_may_be_of_another_type_each_time_through_a_pooler() {
    for db in pools(&WAYS, "") {
        for value in [Value::Bool(true), Value::Int(7), Value::Text("x".into()), Value::Float(0.5), Value::Int(8)] {
            let found: Value = db.fetch_val("SELECT :v", params! { v: value.clone() }).await.unwrap();
            assert_eq!(found, value);
        }
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_pooler_that_refuses_says_why() {
    for db in pools(&WAYS, "&search_path=pg_catalog") {
        let error = db.connect().await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Connect, Some("08P01")), "{error:?}");
        assert!(error.to_string().contains("unsupported startup parameter"), "{error}");
        assert!(error.hint().unwrap().contains("ALTER ROLE"), "{error:?}");
    }
    let urls = std::env::var("TEST_POOLER_URLS").unwrap_or_default();
    for url in urls.split(',').filter(|url| !url.is_empty()) {
        let url: DatabaseUrl = url.parse().unwrap();
        let url = url.with_password("not-the-password").unwrap();
        let db = Pool::new(PoolConfig::from_url(&Postgres, &url, |_| {}).unwrap()).unwrap();
        let error = db.connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{error:?}");
    }
}
