//! The pool over real connections.

use std::time::{Duration, Instant};

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
