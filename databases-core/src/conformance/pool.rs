//! The pool over real connections.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::cancel::{at_server, eventually};
use super::transactions::{ids, insert};
use super::{Fixture, fails, runtime};
use crate::database::Pool;
use crate::error::{ErrorKind, Result};
use crate::executor::Executor;
use crate::params;

/// Waits until every connection is idle again and nobody waits.
pub(super) async fn settles(db: &Pool) {
    let started = Instant::now();
    loop {
        let status = db.status();
        if status.idle == status.size && status.waiting == 0 && status.in_use == 0 {
            assert!(status.size <= status.max_connections, "{status:?}");
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{status:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// `n` as seen by a statement that takes `seconds`.
async fn slowly(f: &Fixture, db: &Pool, n: i64, seconds: f64) -> Result<i64> {
    let expression = f.pick("CAST(:n AS BIGINT)", "CAST(:n AS SIGNED)", ":n");
    db.fetch_val(f.slow(expression, seconds), params! { n }).await
}

pub async fn tasks_run_beside_each_other_on_connections_of_their_own(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(3))?;
    let read = tokio::join!(slowly(f, &db, 1, 0.3), slowly(f, &db, 2, 0.3), slowly(f, &db, 3, 0.3));
    assert_eq!((read.0?, read.1?, read.2?), (1, 2, 3));
    assert_eq!(db.status().size, 3);
    Ok(())
}

pub async fn more_tasks_than_connections_wait_and_are_all_served(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(3))?;
    let started = Instant::now();
    let tasks = (0..7).map(|n| slowly(f, &db, n, 0.2));
    let watched = async {
        loop {
            assert!(db.status().size <= 3, "{:?}", db.status());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let all = futures_util::future::join_all(tasks);
    let read = tokio::select! { read = all => read, () = watched => unreachable!("it watches for ever") };
    assert_eq!(read.into_iter().collect::<Result<Vec<_>>>()?, (0..7).collect::<Vec<_>>());
    if f.kind() != crate::sql::DialectKind::Sqlite {
        assert!(started.elapsed() >= Duration::from_millis(600), "seven on three take three turns");
    }
    settles(&db).await;
    Ok(())
}

pub async fn waiting_too_long_is_an_error_that_says_for_what(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| {
        options.max_connections = Some(1);
        options.acquire_timeout = Duration::from_secs(2);
    })?;
    let held = db.acquire().await?;
    let error = fails(db.fetch_val::<i64>("SELECT 1", ()).await, ErrorKind::PoolTimeout);
    assert!(error.to_string().contains("within 2 s"), "{error}");
    assert_eq!(error.effect(), crate::Effect::NotSent);
    drop(held);
    assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await?, 1);
    Ok(())
}

pub async fn a_stream_that_holds_the_only_connection_is_named(f: &Fixture) -> Result<()> {
    use futures_util::StreamExt as _;
    let db = f.pool_with(|options| {
        options.max_connections = Some(1);
        options.acquire_timeout = Duration::from_secs(2);
    })?;
    let t = f.notes(&db).await?;
    let insert = format!("INSERT INTO {t} (id, body) VALUES (:id, 'x')");
    db.execute_many(insert, (0..3_000).map(|id| params! { id })).await?;
    let sql = format!("SELECT id FROM {t}");
    let mut rows = db.iterate::<(i64,)>(&sql, ());
    rows.next().await.expect("a row")?;
    let error = fails(db.fetch_val::<i64>("SELECT 1", ()).await, ErrorKind::PoolTimeout);
    assert!(error.to_string().contains("stream"), "{error}");
    drop(rows);
    assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await?, 1);
    Ok(())
}

pub async fn cancelled_waiters_pass_their_turn_on(f: &Fixture) -> Result<()> {
    let max = if f.single_connection() { 1 } else { 3 };
    let db = f.pool_with(|options| options.max_connections = Some(max))?;
    let mut held = Vec::new();
    for _ in 0..max {
        held.push(db.acquire().await?);
    }
    let waiters: Vec<_> = (0..9)
        .map(|_| {
            tokio::spawn({
                let db = db.clone();
                async move { db.acquire().await.map(drop) }
            })
        })
        .collect();
    while db.status().waiting < 9 {
        tokio::task::yield_now().await;
    }
    for waiter in waiters.iter().step_by(2) {
        waiter.abort();
    }
    drop(held);
    for waiter in waiters {
        match waiter.await {
            Ok(acquired) => acquired?,
            Err(aborted) => assert!(aborted.is_cancelled()),
        }
    }
    settles(&db).await;
    Ok(())
}

pub async fn a_closed_pool_refuses_and_waits_for_what_is_in_use(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let conn = db.acquire().await?;
    let closing = tokio::spawn({
        let db = db.clone();
        async move { db.close().await }
    });
    while !db.is_closed() {
        tokio::task::yield_now().await;
    }
    fails(db.fetch_val::<i64>("SELECT 1", ()).await, ErrorKind::PoolClosed);
    assert_eq!(conn.fetch_val::<i64>("SELECT 1", ()).await?, 1, "what is in use works on");
    drop(conn);
    closing.await.expect("no panic")?;
    assert_eq!(db.status().size, 0);
    db.close().await?;
    fails(db.begin().await, ErrorKind::PoolClosed);
    Ok(())
}

pub async fn close_gives_up_after_its_timeout_and_says_so(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.close_timeout = Duration::from_millis(200))?;
    let conn = db.acquire().await?;
    let error = fails(db.close().await, ErrorKind::PoolTimeout);
    assert!(error.to_string().contains("0.2 s"), "{error}");
    drop(conn);
    let started = Instant::now();
    while db.status().size > 0 {
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", db.status());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

pub async fn one_pool_serves_several_runtimes_one_after_another(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    for n in 0..3 {
        let (db, t) = (db.clone(), t.clone());
        let on_another_runtime = std::thread::spawn(move || {
            runtime().block_on(async {
                db.execute(format!("INSERT INTO {t} (id, body) VALUES (:n, 'x')"), params! { n }).await?;
                db.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await
            })
        });
        let joined = tokio::task::spawn_blocking(|| on_another_runtime.join().expect("no panic"));
        assert_eq!(joined.await.expect("no panic")?, n + 1);
    }
    assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await?, 3);
    Ok(())
}

/// A runtime is shut down with an open transaction, a running statement, a caller who waits, and a connection that
/// somebody elsewhere holds.
pub async fn a_runtime_that_is_shut_down_at_work_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    let observer = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&observer).await?;
    for in_background in [false, true] {
        shut_down_at_work(f, &observer, &t, in_background).await?;
    }
    Ok(())
}

async fn shut_down_at_work(f: &Fixture, observer: &Pool, t: &str, in_background: bool) -> Result<()> {
    let proxy = f.proxy().await?;
    let url = proxy.as_ref().map_or_else(|| Ok(f.url().clone()), |proxy| proxy.url(f.url()))?;
    let db = f.pool_config(&url, |options| options.max_connections = Some(3), |_| {})?;
    let (started, start) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = tokio::task::spawn_blocking(move || {
        let other = runtime();
        let _ = started.send(other.handle().clone());
        let _ = other.block_on(stopped);
        let began = Instant::now();
        if in_background {
            other.shutdown_background()
        } else {
            drop(other)
        }
        began.elapsed()
    });
    let other = start.await.expect("the thread runs");

    let (begun, is_begun) = oneshot::channel();
    let (db2, t2) = (db.clone(), t.to_owned());
    let transaction = other.spawn(async move {
        let tx = db2.begin().await?;
        insert(&tx, &t2, 1).await?;
        let _ = begun.send(());
        std::future::pending::<()>().await;
        tx.commit().await
    });
    is_begun.await.expect("the transaction writes");
    let db2 = db.clone();
    let held = other.spawn(async move { db2.acquire().await }).await.expect("no panic")?;
    let (db2, slow) = (db.clone(), f.slow("1", 3.0));
    let statement = other.spawn(async move { db2.fetch_val::<i64>(slow, ()).await });
    eventually("the statement is under way", async || {
        let status = db.status();
        Ok(if status.in_use == 3 { Ok(()) } else { Err(format!("{status:?}")) })
    })
    .await?;
    let (db2, db3) = (db.clone(), db.clone());
    let waiter = other.spawn(async move { db2.acquire().await.map(drop) });
    let waiter_here = tokio::spawn(async move { db3.fetch_val::<i64>("SELECT 5", ()).await });
    eventually("all is under way", async || {
        let status = db.status();
        Ok(if (status.in_use, status.waiting) == (3, 2) { Ok(()) } else { Err(format!("{status:?}")) })
    })
    .await?;

    stop.send(()).expect("the thread waits for it");
    let took = thread.await.expect("no panic");
    assert!(took < Duration::from_secs(10), "{took:?} to shut down, in the background: {in_background}");
    for gone in [transaction.await.err(), statement.await.err(), waiter.await.err()] {
        assert!(gone.is_some_and(|gone| gone.is_cancelled()), "it went with its runtime");
    }
    let limit = Duration::from_secs(10);
    let served = tokio::time::timeout(limit, waiter_here).await.expect("who waits elsewhere is served");
    assert_eq!(served.expect("no panic")?, 5);
    let outcome = tokio::time::timeout(limit, held.fetch_val::<i64>("SELECT 6", ())).await.expect("no hang");
    if f.capabilities().runtime_bound {
        fails(outcome, ErrorKind::Disconnected);
    } else {
        assert_eq!(outcome?, 6);
    }
    drop(held);
    let (one, two, three) = (db.acquire().await?, db.acquire().await?, db.acquire().await?);
    for conn in [one, two, three] {
        insert(&conn, t, 2).await?;
    }
    assert_eq!(ids(observer, t).await?, [2, 2, 2]);
    observer.execute(format!("DELETE FROM {t}"), ()).await?;
    db.close().await?;
    let Some(proxy) = proxy else { return Ok(()) };
    eventually("no session is left at the server", async || {
        let (busy, open) = at_server(f.kind(), observer, &proxy.ports()).await?;
        let sockets = proxy.connections();
        let found = format!("{busy} at work, {open} sessions, {sockets} sockets");
        Ok(if (busy, open, sockets) == (0, 0, 0) { Ok(()) } else { Err(found) })
    })
    .await
}

pub async fn min_connections_are_opened_in_the_background(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| {
        options.min_connections = 2;
        options.max_connections = Some(4);
    })?;
    db.connect().await?;
    let started = Instant::now();
    while db.status().size < 2 {
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", db.status());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

pub async fn limits_that_contradict_each_other_are_errors(f: &Fixture) -> Result<()> {
    fails(f.pool_with(|options| options.max_connections = Some(0)), ErrorKind::Url);
    fails(f.pool_with(|options| (options.min_connections, options.max_connections) = (5, Some(4))), ErrorKind::Url);
    if f.single_connection() {
        fails(f.pool_with(|options| options.max_connections = Some(2)), ErrorKind::Url);
    }
    Ok(())
}

pub async fn the_server_says_what_it_is(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let info = db.server_info().await?;
    assert!(!info.product.is_empty() && !info.version.is_empty(), "{info:?}");
    assert_eq!(db.backend(), f.backend_name());
    println!("{} {}", info.product, info.version);
    Ok(())
}

pub async fn writers_in_parallel_lose_nothing(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, n) VALUES (1, 0)"), ()).await?;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (db, t) = (db.clone(), t.clone());
            tokio::spawn(async move {
                for _ in 0..10 {
                    db.execute(format!("UPDATE {t} SET n = n + 1 WHERE id = 1"), ()).await?;
                }
                Ok::<_, crate::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic")?;
    }
    assert_eq!(db.fetch_val::<i64>(format!("SELECT n FROM {t}"), ()).await?, 80);
    Ok(())
}
