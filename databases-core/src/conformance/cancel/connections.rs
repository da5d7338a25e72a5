//! What opens, asks, resets, lends and closes connections.

use std::sync::Arc;

use tokio::time::timeout;

use super::checks::{SOON, eventually};
use super::{Bench, EXCHANGE, Fixture};
use crate::backend::{BackendConnection, ConnectContext, Status};
use crate::conformance::fails;
use crate::conformance::proxy::End;
use crate::error::{ErrorKind, Result};
use crate::executor::Executor;
use crate::params;
use crate::sql::DialectKind;

/// The points of a farewell that nobody answers: before it, and while it is on its way.
const FAREWELL: usize = 1;

/// A bench whose own connection is closed, so that there is none but those of the operations.
async fn without_connection(f: &Fixture) -> Result<Bench<'_>> {
    let bench = Bench::new(f).await?;
    bench.db.close().await?;
    Ok(bench)
}

pub async fn a_dropped_connect_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    let bench = without_connection(f).await?;
    // The backend alone: whatever is half-way through the handshake is dropped.
    let connector = bench.db.config().connector.clone();
    bench
        .points("connect of the backend", EXCHANGE, async |place| {
            if let Some(conn) = bench.step(connector.connect(ConnectContext::default())).await {
                let conn = conn?;
                assert_eq!(conn.status(), Status::Idle, "{place}");
                conn.close().await;
            }
            bench.check_outside(place).await
        })
        .await?;
    // With the pool: a connection that was being opened goes to the next caller.
    bench
        .points("connect", EXCHANGE, async |place| {
            let db = bench.pool(|_| {})?;
            bench.step(db.connect()).await.unwrap_or(Ok(()))?;
            bench.check(&db, place).await?;
            db.close().await
        })
        .await?;
    bench
        .points("acquire of the first connection", EXCHANGE, async |place| {
            let db = bench.pool(|_| {})?;
            if let Some(conn) = bench.step(db.acquire()).await {
                conn?.fetch_val::<i64>("SELECT 1", ()).await?;
            }
            bench.check(&db, place).await?;
            db.close().await
        })
        .await
}

pub async fn a_dropped_acquire_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    let bench = Bench::new(f).await?;
    let db = &bench.db;
    let set = f.pick("SET work_mem = '7MB'", "SET @probe = 7", "PRAGMA cache_size = 777");
    if !f.single_connection() {
        bench
            .walk("acquire of a connection to be reset", &[&[]], async || {
                let conn = db.acquire().await?;
                conn.execute(set, ()).await?;
                // The waiter is handed it as it is and lets it be reset.
                let next = async {
                    let turn = db.acquire();
                    let give_back = async { drop(conn) };
                    tokio::join!(biased; turn, give_back).0
                };
                if let Some(conn) = bench.step(next).await {
                    conn?.fetch_val::<i64>("SELECT 1", ()).await?;
                }
                Ok(())
            })
            .await?;
    }
    if let Some(proxy) = &bench.proxy {
        let what = "acquire of a connection in place of a lost one";
        bench
            .walk(what, &[&[]], async || {
                let lost = db.acquire().await?.handle.session.conn.clone();
                proxy.end(End::Rst);
                if f.kind() == DialectKind::MySql {
                    // The driver does not look at an idle connection, so whoever uses it first finds out.
                    let conn = db.acquire().await?;
                    fails(conn.fetch_val::<i64>("SELECT 1", ()).await, ErrorKind::Disconnected);
                }
                eventually(&format!("{what}: it is noticed"), async || {
                    let status = lost.status();
                    Ok(if status == Status::Broken { Ok(()) } else { Err(format!("{status:?}")) })
                })
                .await?;
                drop(lost);
                if let Some(read) = bench.step(db.fetch_val::<i64>("SELECT 2", ())).await {
                    assert_eq!(read?, 2);
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}

pub async fn a_dropped_after_connect_hook_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    let bench = without_connection(f).await?;
    bench
        .points("connect with an after_connect hook", EXCHANGE, async |place| {
            let db = bench.pool(|config| {
                config.after_connect = Some(Arc::new(|conn| {
                    Box::pin(async move {
                        let tx = conn.begin().await?;
                        assert_eq!(tx.fetch_val::<i64>("SELECT :n", params! { n: 7 }).await?, 7);
                        tx.commit().await
                    })
                }));
            })?;
            bench.step(db.connect()).await.unwrap_or(Ok(()))?;
            bench.check(&db, place).await?;
            db.close().await
        })
        .await
}

/// Drops a call of the backend's own connection; what is left of the connection settles, and works or says that it is broken.
async fn on_a_backend_connection(
    bench: &Bench<'_>,
    what: &str,
    fewest: usize,
    call: impl AsyncFn(&dyn BackendConnection) -> Result<()>,
) -> Result<()> {
    let connector = bench.db.config().connector.clone();
    bench
        .points(what, fewest, async |place| {
            let conn = connector.connect(ConnectContext::default()).await?;
            bench.step(call(&*conn)).await.unwrap_or(Ok(()))?;
            timeout(SOON, conn.settle()).await.unwrap_or_else(|_| panic!("{place}: does not settle"));
            match conn.status() {
                Status::Idle => conn.ping().await?,
                status => assert_eq!(status, Status::Broken, "{place}"),
            }
            timeout(SOON, conn.close()).await.unwrap_or_else(|_| panic!("{place}: does not close"));
            drop(conn);
            bench.check_outside(place).await
        })
        .await
}

pub async fn a_dropped_ping_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    let bench = without_connection(f).await?;
    on_a_backend_connection(&bench, "ping", EXCHANGE, async |conn| conn.ping().await).await
}

pub async fn a_dropped_reset_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    let bench = without_connection(f).await?;
    if bench.proxy.is_none() {
        f.not_claimed("a reset that the server is asked for");
        return Ok(());
    }
    on_a_backend_connection(&bench, "reset", EXCHANGE, async |conn| conn.reset().await.map(drop)).await
}

pub async fn a_dropped_native_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    let bench = without_connection(f).await?;
    on_a_backend_connection(&bench, "native", EXCHANGE, async |conn| {
        drop(conn.native().await?);
        // What was done to it is unknown until the server has answered.
        conn.settle().await;
        Ok(())
    })
    .await
}

pub async fn a_dropped_close_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    let bench = without_connection(f).await?;
    on_a_backend_connection(&bench, "close of the backend", FAREWELL, async |conn| {
        conn.close().await;
        Ok(())
    })
    .await?;
    bench
        .points("close", FAREWELL, async |place| {
            let db = bench.pool(|_| {})?;
            let conn = db.acquire().await?;
            conn.fetch_val::<i64>("SELECT 1", ()).await?;
            let close = async {
                let give_back = async { drop(conn) };
                tokio::join!(biased; db.close(), give_back).0
            };
            if bench.step(close).await.unwrap_or(Ok(())).is_err() || bench.point.get() == 0 {
                assert_eq!(bench.point.get(), 0, "{place}: closes within its time");
                return db.close().await;
            }
            let refused = db.acquire().await.map(drop).map_err(|error| error.kind());
            assert_eq!(refused, Err(ErrorKind::PoolClosed), "{place}");
            eventually(&format!("{place}: nothing is open"), async || {
                let status = db.status();
                Ok(if status.size == 0 { Ok(()) } else { Err(format!("{status:?}")) })
            })
            .await?;
            bench.check_outside(place).await
        })
        .await
}
