//! Short statements of several callers on one connection: each gets its own answer, and what goes wrong with one.

mod support;

use std::time::{Duration, Instant};

use databases_core::conformance::proxy::{Direction, End, Mode, Protocol, Proxy};
use databases_core::url::DatabaseUrl;
use databases_core::{Effect, ErrorKind, Executor, Pool, PoolConfig, PoolOptions, params, sql};
use databases_postgres::Postgres;
use futures_util::future::join_all;
use support::url;

const SOON: Duration = Duration::from_secs(40);
const ECHO: &str = "SELECT :n::bigint";
const DIVIDE: &str = "SELECT 12 / :n::bigint";

fn pool(url: &DatabaseUrl, size: usize, adjust: impl FnOnce(&mut PoolOptions)) -> Pool {
    let adjust = |options: &mut PoolOptions| {
        options.max_connections = Some(size);
        adjust(options);
    };
    Pool::new(PoolConfig::from_url(&Postgres, url, adjust).unwrap()).unwrap()
}

async fn echo(db: &Pool, n: i64) -> databases_core::Result<i64> {
    db.fetch_val(ECHO, params! { n }).await
}

/// A proxy, and a pool of one connection behind it.
async fn behind_proxy(adjust: impl FnOnce(&mut PoolOptions)) -> Option<(Proxy, Pool)> {
    let url: DatabaseUrl = url()?.parse().unwrap();
    let proxy = Proxy::start(&url, Protocol::Postgres).await.unwrap();
    let db = pool(&proxy.url(&url).unwrap(), 1, adjust);
    Some((proxy, db))
}

/// Runs the texts, so that they are known to be quick.
async fn warm(db: &Pool) {
    for n in 1..3 {
        assert_eq!(echo(db, n).await.unwrap(), n);
        assert_eq!(db.fetch_val::<i64>(DIVIDE, params! { n }).await.unwrap(), 12 / n);
    }
}

/// Runs `calls` of a text with all answers held back, and `then` once all `count` of them are sent; again with another text
/// if they were not, because its first run was slow on a busy machine.
async fn together<T>(
    proxy: &Proxy,
    db: &Pool,
    count: usize,
    calls: impl AsyncFn(&str) -> T,
    then: impl AsyncFn(),
) -> T {
    let started = Instant::now();
    for attempt in 0.. {
        let text = format!("{ECHO} -- {attempt}");
        db.fetch_val::<i64>(&text, params! { n: 0_i64 }).await.unwrap();
        let _ = proxy.take_traffic();
        proxy.forget_closed();
        proxy.set(Mode::Hold);
        let look = async {
            proxy.holding().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let all = proxy.take_traffic().count(Direction::Up, b'E') == count;
            if all {
                then().await;
            }
            proxy.set(Mode::Pass);
            all
        };
        let (done, all) = tokio::join!(calls(&text), look);
        if all {
            return done;
        }
        assert!(started.elapsed() < SOON, "never in flight together");
    }
    unreachable!("attempts end by their time")
}

async fn echoes(db: &Pool, text: &str, count: i64) -> Vec<databases_core::Result<i64>> {
    join_all((0..count).map(|n| db.fetch_val(text, params! { n }))).await
}

#[tokio::test]
async fn statements_of_several_callers_are_in_flight_together() {
    let Some((proxy, db)) = behind_proxy(|_| {}).await else { return };
    let calls = async |text: &str| echoes(&db, text, 8).await;
    let answers = together(&proxy, &db, 8, calls, async || {}).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers, (0..8).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_lanes_each_has_its_connection_alone() {
    let Some((proxy, db)) = behind_proxy(|options| options.lanes = false).await else { return };
    let calls = async |text: &str| echoes(&db, text, 8).await;
    for _ in 0..3 {
        let answers = together(&proxy, &db, 1, calls, async || {}).await;
        assert!(answers.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn an_error_is_its_own_callers() {
    let Some(url) = url() else { return };
    let db = pool(&url.parse().unwrap(), 2, |_| {});
    warm(&db).await;
    let started = Instant::now();
    for _ in 0..20 {
        let calls = (0..40_i64).map(|n| {
            let db = &db;
            async move { (n, db.fetch_val::<i64>(DIVIDE, params! { n: n % 5 }).await) }
        });
        for (n, answer) in join_all(calls).await {
            match (n % 5, answer) {
                (0, Err(error)) => assert_eq!(error.code(), Some("22012"), "{error:?}"),
                (n, Ok(answer)) => assert_eq!(answer, 12 / n),
                (n, answer) => panic!("{n}: {answer:?}"),
            }
        }
    }
    assert!(started.elapsed() < SOON);
    assert!(db.status().size <= 2);
}

#[tokio::test]
async fn a_timeout_costs_the_neighbours_nothing() {
    let Some((proxy, db)) = behind_proxy(|_| {}).await else { return };
    let calls = async |text: &str| {
        let short = sql(text).timeout(Duration::from_millis(100));
        tokio::join!(db.fetch_val::<i64>(short, params! { n: 9_i64 }), echoes(&db, text, 4))
    };
    let then = async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(proxy.ports().len(), 1, "a cancel comes by a connection of its own, and would have hit another");
    };
    let (short, answers) = together(&proxy, &db, 5, calls, then).await;
    let error = short.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::StatementTimeout, Effect::Unknown), "{error:?}");
    assert_eq!(answers.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(echo(&db, 5).await.unwrap(), 5);
}

#[tokio::test]
async fn who_waits_too_long_behind_another_is_told_what_is_known() {
    let limits = |options: &mut PoolOptions| options.acquire_timeout = Duration::from_secs(1);
    let Some((proxy, db)) = behind_proxy(limits).await else { return };
    let call = async |text: &str, n: i64| db.fetch_val::<i64>(text, params! { n }).await;
    let calls = async |text: &str| tokio::join!(call(text, 1), call(text, 2));
    let then = async || tokio::time::sleep(Duration::from_millis(1500)).await;
    let (first, second) = together(&proxy, &db, 2, calls, then).await;
    assert_eq!(first.unwrap(), 1, "the first does not wait for others, so nothing bounds it");
    let error = second.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::PoolTimeout, Effect::Unknown), "{error:?}");
    assert_eq!(echo(&db, 3).await.unwrap(), 3);
}

#[tokio::test]
async fn a_connection_that_is_lost_is_lost_to_all_on_it() {
    let Some((proxy, db)) = behind_proxy(|_| {}).await else { return };
    for how in [End::Rst, End::Fin] {
        let calls = async |text: &str| echoes(&db, text, 6).await;
        let cut = async || {
            proxy.end(how);
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        for answer in together(&proxy, &db, 6, calls, cut).await {
            let error = answer.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Disconnected, Effect::Unknown), "{error:?}");
        }
        assert_eq!(echo(&db, 7).await.unwrap(), 7);
        assert_eq!(db.status().size, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_futures_leave_their_neighbours_their_own_answers() {
    let Some(url) = url() else { return };
    let db = pool(&url.parse().unwrap(), 2, |_| {});
    warm(&db).await;
    let tasks: Vec<_> = (0..32_i64)
        .map(|task| {
            let db = db.clone();
            tokio::spawn(async move {
                for turn in 0..60 {
                    let n = task * 1000 + turn;
                    if (task + turn) % 3 == 0 {
                        let pause = Duration::from_micros((n % 7) as u64 * 60);
                        let _ = tokio::time::timeout(pause, echo(&db, n)).await;
                    } else {
                        assert_eq!(echo(&db, n).await.unwrap(), n);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(SOON, task).await.unwrap().unwrap();
    }
    for n in 0..10 {
        assert_eq!(echo(&db, n).await.unwrap(), n);
    }
    assert_eq!(db.status().in_use, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exclusive_caller_is_served_under_load() {
    let Some(url) = url() else { return };
    let db = pool(&url.parse().unwrap(), 2, |_| {});
    warm(&db).await;
    let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let tasks: Vec<_> = (0..32_i64)
        .map(|task| {
            let (db, over) = (db.clone(), over.clone());
            tokio::spawn(async move {
                let mut count = 0_u64;
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    assert_eq!(echo(&db, task).await.unwrap(), task);
                    count += 1;
                }
                count
            })
        })
        .collect();
    let started = Instant::now();
    for n in 0..100 {
        let tx = db.begin().await.unwrap();
        assert_eq!(tx.fetch_val::<i64>(ECHO, params! { n }).await.unwrap(), n);
        tx.commit().await.unwrap();
    }
    assert!(started.elapsed() < SOON);
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    for task in tasks {
        assert!(task.await.unwrap() > 0, "and nobody starves");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_share_are_done_once_each() {
    let Some(url) = url() else { return };
    let db = pool(&url.parse().unwrap(), 3, |_| {});
    db.execute("DROP TABLE IF EXISTS pgl_writes", ()).await.unwrap();
    db.execute("CREATE TABLE pgl_writes (id bigint PRIMARY KEY)", ()).await.unwrap();
    let insert = "INSERT INTO pgl_writes VALUES (:id)";
    db.execute(insert, params! { id: -1_i64 }).await.unwrap();
    let tasks: Vec<_> = (0..30_i64)
        .map(|task| {
            let db = db.clone();
            tokio::spawn(async move {
                for turn in 0..40 {
                    let id = task * 40 + turn;
                    assert_eq!(db.execute(insert, params! { id }).await.unwrap().rows_affected(), 1);
                    let error = db.execute(insert, params! { id }).await.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::UniqueViolation);
                }
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(SOON, task).await.unwrap().unwrap();
    }
    let count: i64 = db.fetch_val("SELECT count(*) FROM pgl_writes", ()).await.unwrap();
    assert_eq!(count, 30 * 40 + 1);
}

#[tokio::test]
async fn who_holds_the_only_connection_and_asks_for_another_is_told_in_time() {
    let limits = |options: &mut PoolOptions| options.acquire_timeout = Duration::from_secs(1);
    let Some((_proxy, db)) = behind_proxy(limits).await else { return };
    let tx = db.begin().await.unwrap();
    assert_eq!(tx.fetch_val::<i64>(ECHO, params! { n: 1_i64 }).await.unwrap(), 1);
    assert_eq!(echo(&db, 2).await.unwrap_err().kind(), ErrorKind::PoolTimeout);
    tx.commit().await.unwrap();
    assert_eq!(echo(&db, 3).await.unwrap(), 3);
}
