//! Short statements of several callers on one connection: each gets its own answer, and what goes wrong with one.

mod support;

use std::time::{Duration, Instant};

use databases_core::conformance::proxy::{Direction, End, Mode, Protocol, Proxy};
use databases_core::url::DatabaseUrl;
use databases_core::{Effect, ErrorKind, Executor, Pool, PoolConfig, PoolOptions, Query, params, sql};
use databases_postgres::Postgres;
use futures_util::TryStreamExt as _;
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

/// How many calls were sent, and how many waited for the connection, while all answers were held back. `first` is called first.
async fn sent_beside<A, B>(
    proxy: &Proxy,
    db: &Pool,
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> (usize, usize) {
    let _ = proxy.take_traffic();
    proxy.set(Mode::Hold);
    let look = async {
        proxy.holding().await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        let traffic = proxy.take_traffic();
        // Execute of what is prepared, Parse of what is not.
        let sent = traffic.count(Direction::Up, b'E') + traffic.count(Direction::Up, b'P');
        let waiting = db.status().waiting;
        proxy.set(Mode::Pass);
        (sent, waiting)
    };
    tokio::join!(first, second, look).2
}

#[tokio::test]
async fn what_is_streamed_limited_or_left_unprepared_has_its_connection_alone() {
    let Some((proxy, db)) = behind_proxy(|_| {}).await else { return };
    let started = Instant::now();
    let call =
        async |query: Query<'static>| assert_eq!(db.fetch_val::<i64>(query, params! { n: 7_i64 }).await.unwrap(), 7);
    let collect = async |query: Query<'static>| {
        assert_eq!(db.fetch_all::<(i64,)>(query, params! { n: 7_i64 }).await.unwrap(), [(7,)]);
    };
    let special = async |how: &str, text: &str| {
        let query = sql(text.to_owned());
        match how {
            "prepared(false)" => call(query.prepared(false)).await,
            // Limits are those of rows that are kept.
            "max_rows" => collect(query.max_rows(1000)).await,
            "max_bytes" => collect(query.max_bytes(1 << 20)).await,
            _ => {
                let rows = db.iterate::<(i64,)>(text, params! { n: 7_i64 });
                assert_eq!(rows.try_collect::<Vec<_>>().await.unwrap(), [(7,)]);
            }
        }
    };
    let cases = ["prepared(false)", "max_rows", "max_bytes", "streamed"].map(|how| [(how, true), (how, false)]);
    for (how, comes_first) in cases.into_iter().flatten() {
        let mut attempt = 0;
        let text = loop {
            let text = format!("{ECHO} -- {how}, first: {comes_first}, {attempt}");
            call(sql(text.clone())).await;
            // Two plain calls share, unless the first run was slow on a busy machine.
            if sent_beside(&proxy, &db, call(sql(text.clone())), call(sql(text.clone()))).await == (2, 0) {
                break text;
            }
            assert!(started.elapsed() < SOON, "never in flight together");
            attempt += 1;
        };
        // The answers that were held back have made it slow.
        for _ in 0..300 {
            call(sql(text.clone())).await;
        }
        let (plain, special) = (call(sql(text.clone())), special(how, &text));
        let found = if comes_first {
            sent_beside(&proxy, &db, special, plain).await
        } else {
            sent_beside(&proxy, &db, plain, special).await
        };
        assert_eq!(found, (1, 1), "{how}, first: {comes_first}");
    }
}

#[tokio::test]
async fn a_stream_takes_a_connection_of_its_own() {
    let Some(url) = url() else { return };
    let db = pool(&url.parse().unwrap(), 2, |_| {});
    let pid = "SELECT pg_backend_pid()";
    for _ in 0..3 {
        db.fetch_val::<i32>(pid, ()).await.unwrap();
    }
    let mut rows = db.iterate::<(i32,)>("SELECT pg_backend_pid() FROM generate_series(1, 100000)", ());
    let mut read = 0;
    for _ in 0..20 {
        let Some((own,)) = rows.try_next().await.unwrap() else { panic!("{read} rows") };
        read += 1;
        let others = join_all((0..32).map(|_| db.fetch_val::<i32>(pid, ()))).await;
        let others: Vec<i32> = others.into_iter().map(Result::unwrap).collect();
        assert!(others.iter().all(|other| *other != own && *other == others[0]), "{own}: {others:?}");
    }
    while rows.try_next().await.unwrap().is_some() {
        read += 1;
    }
    assert_eq!(read, 100_000);
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

/// docs/performance.md says so: what a function of the user's does is not known.
#[tokio::test]
async fn a_function_of_the_users_is_not_known_to_change_the_session() {
    let Some((proxy, db)) = behind_proxy(|_| {}).await else { return };
    db.execute_script(
        "CREATE OR REPLACE FUNCTION pgl_enter(n bigint) RETURNS bigint LANGUAGE sql AS \
            $$ SELECT pg_advisory_lock(n), set_config('pgl.entered', n::text, false); SELECT n $$",
    )
    .await
    .unwrap();
    let left = "SELECT current_setting('pgl.entered', true) = '1', \
        EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())";
    let left = async || db.fetch_one::<(Option<bool>, bool)>(left, ()).await.unwrap();
    let started = Instant::now();
    for attempt in 0.. {
        let text = format!("SELECT pgl_enter(:n) -- {attempt}");
        let enter = async |prepared: bool| {
            let query = sql(&text).prepared(prepared);
            assert_eq!(db.fetch_val::<i64>(query, params! { n: 1_i64 }).await.unwrap(), 1);
        };
        enter(true).await;
        let beside_unprepared = sent_beside(&proxy, &db, enter(true), enter(false)).await;
        assert_eq!(beside_unprepared, (1, 1), "what is left unprepared does not share");
        let text = format!("{text}, again");
        let enter = async || db.fetch_val::<i64>(&text, params! { n: 1_i64 }).await.unwrap();
        enter().await;
        if sent_beside(&proxy, &db, enter(), enter()).await == (2, 0) {
            break;
        }
        assert!(started.elapsed() < SOON, "never in flight together");
    }
    assert_eq!(left().await, (Some(true), true), "the next caller finds the lock and the setting");
    // A statement that is known to change the session makes all of it be reset.
    let conn = db.acquire().await.unwrap();
    conn.fetch_val::<i64>("SELECT pgl_enter(:n)", params! { n: 1_i64 }).await.unwrap();
    conn.execute("RESET ALL", ()).await.unwrap();
    drop(conn);
    let (setting, lock) = left().await;
    assert!(setting != Some(true) && !lock, "{setting:?}, {lock}");
}
