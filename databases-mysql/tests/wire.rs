//! What statements are on the wire, message by message.

mod common;

use std::time::{Duration, Instant};

use common::urls;
use databases_core::conformance::proxy::{Direction, Protocol, Proxy};
use databases_core::{Executor, Pool, PoolConfig, Result, params};
use databases_mysql::MySql;

/// COM_QUERY.
const QUERY: u8 = 0x03;
/// COM_STMT_EXECUTE.
const EXECUTE: u8 = 0x17;

/// Idle for so long, a connection is asked whether it is still there: 1 s.
const IDLE: Duration = Duration::from_millis(900);

/// What the client sends in `round`: the first byte of each message.
async fn sent(proxy: &Proxy, round: impl AsyncFn() -> Result<()>) -> Vec<u8> {
    // On a loaded machine a connection may have been idle for long; a round that was quick has none.
    for _ in 0..60 {
        let start = Instant::now();
        let before = round().await;
        let _ = proxy.take_traffic();
        let after = round().await;
        let messages = proxy.take_traffic().messages;
        before.and(after).unwrap();
        if start.elapsed() < IDLE {
            return messages.into_iter().filter(|(to, _)| *to == Direction::Up).map(|(_, tag)| tag).collect();
        }
    }
    panic!("no round of a few statements took less than {IDLE:?}");
}

#[tokio::test]
async fn a_warm_statement_is_its_execute_and_nothing_else_also_on_other_checkouts() {
    for url in urls() {
        let proxy = Proxy::start(&url, Protocol::MySql).await.unwrap();
        let options = |options: &mut databases_core::PoolOptions| options.max_connections = Some(2);
        let pool = Pool::new(PoolConfig::from_url(&MySql, &proxy.url(&url).unwrap(), options).unwrap()).unwrap();
        pool.execute("DROP TABLE IF EXISTS wire_warm", ()).await.unwrap();
        pool.execute("CREATE TABLE wire_warm (id INT, body VARCHAR(100))", ()).await.unwrap();
        let (select, insert) = ("SELECT :n + 1", "INSERT INTO wire_warm VALUES (:id, :body)");

        // Each call takes a connection out of the pool and gives it back.
        let calls = async || {
            for n in 0..5 {
                assert_eq!(pool.fetch_val::<i64>(select, params! { n }).await?, n + 1);
                assert_eq!(pool.execute(insert, params! { id: n, body: "a" }).await?.rows_affected(), 1);
                drop(pool.acquire().await?);
                let conn = pool.acquire().await?;
                assert_eq!(conn.fetch_val::<i64>(select, params! { n }).await?, n + 1);
            }
            Ok(())
        };
        assert_eq!(sent(&proxy, calls).await, [EXECUTE; 15]);

        // Also where two connections go around, each with its own statements.
        let both = async || {
            for n in 0..3 {
                let (one, other) = (pool.acquire().await?, pool.acquire().await?);
                for conn in [&one, &other] {
                    assert_eq!(conn.fetch_val::<i64>(select, params! { n }).await?, n + 1);
                }
            }
            Ok(())
        };
        assert_eq!(sent(&proxy, both).await, [EXECUTE; 6]);

        let transactions = async || {
            for n in 0..3 {
                let tx = pool.begin().await?;
                assert_eq!(tx.execute(insert, params! { id: n, body: "b" }).await?.rows_affected(), 1);
                tx.commit().await?;
            }
            Ok(())
        };
        assert_eq!(sent(&proxy, transactions).await, [QUERY, EXECUTE, QUERY].repeat(3));

        // Batches of one size are one statement each from the third on, in the transaction of their call.
        let batches = async || {
            for count in [100, 100, 100] {
                let rows = (0..count).map(|id| params! { id, body: "c" });
                assert_eq!(pool.execute_many(insert, rows).await?, count as u64);
            }
            Ok(())
        };
        assert_eq!(sent(&proxy, batches).await, [QUERY, EXECUTE, QUERY].repeat(3));
        pool.execute("DROP TABLE wire_warm", ()).await.unwrap();
    }
}
