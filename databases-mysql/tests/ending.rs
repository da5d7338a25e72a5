//! A transaction that ends while the rest of a dropped stream is read.

mod common;

use common::urls;
use databases_core::{Effect, ErrorKind, Executor, Pool, PoolConfig};
use databases_mysql::MySql;
use futures_util::TryStreamExt as _;

#[tokio::test]
async fn nothing_behind_a_dropped_stream_that_ends_the_transaction_is_applied() {
    for url in urls() {
        let db = Pool::new(PoolConfig::from_url(&MySql, &url, |_| {}).unwrap()).unwrap();
        db.execute("DROP TABLE IF EXISTS ending", ()).await.unwrap();
        db.execute("CREATE TABLE ending (id INT)", ()).await.unwrap();
        db.execute("DROP PROCEDURE IF EXISTS ending", ()).await.unwrap();
        // The rows are on their way before the transaction is over.
        let body = "SELECT a.id FROM information_schema.collations a, information_schema.collations b LIMIT 20000; DO SLEEP(0.02); COMMIT;";
        db.execute(format!("CREATE PROCEDURE ending() BEGIN {body} END"), ()).await.unwrap();
        let tx = db.begin().await.unwrap();
        tx.execute("INSERT INTO ending VALUES (1)", ()).await.unwrap();
        let mut rows = tx.iterate::<(Option<i64>,)>("CALL ending()", ());
        rows.try_next().await.unwrap().unwrap();
        drop(rows);
        let error = tx.execute("INSERT INTO ending VALUES (2)", ()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::TransactionEnded, Effect::NotSent), "{error:?}");
        drop(tx);
        let found: Vec<(i64,)> = db.fetch_all("SELECT id FROM ending", ()).await.unwrap();
        assert_eq!(found, [(1,)], "what the procedure has committed, and nothing behind it");
        db.execute("DROP PROCEDURE ending", ()).await.unwrap();
        db.execute("DROP TABLE ending", ()).await.unwrap();
    }
}
