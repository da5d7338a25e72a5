//! States, transactions, cancellation and reuse of one session with a real server.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use databases_core::backend::{BackendConnection, ConnectContext, RowBatches, Status, TransactionCommand as Tx};
use databases_core::{Effect, Error, ErrorKind, Isolation, Params, PoolOptions, TransactionOptions, params};
use support::{Many, Rows, connect, connect_with, connector, exec, one, request, run, url};

macro_rules! server {
    () => {
        match url() {
            Some(url) => url,
            None => return,
        }
    };
}

fn begin() -> Tx {
    Tx::Begin(TransactionOptions::new())
}

#[tokio::test]
async fn statements_run_and_count() {
    let url = server!();
    let c = connect(&url).await;
    assert_eq!(c.status(), Status::Idle);
    exec(&*c, "CREATE TEMP TABLE t (id int PRIMARY KEY, text text)").await;
    let insert = "INSERT INTO t VALUES (:id, :text)";
    let (result, _) = run(&*c, insert, params! { id: 1, text: "a" }).await.unwrap();
    assert_eq!((result.rows_affected(), result.last_insert_id()), (1, None));
    let (result, rows) = run(&*c, "SELECT id, text FROM t", Params::new()).await.unwrap();
    assert_eq!((result.rows_affected(), rows.len()), (0, 1));
    assert_eq!((rows[0].get::<i32>("id").unwrap(), rows[0].get::<String>(1).unwrap()), (1, "a".into()));
    let (result, rows) = run(&*c, "UPDATE t SET text = 'b' RETURNING id", Params::new()).await.unwrap();
    assert_eq!((result.rows_affected(), rows.len()), (1, 1));
    assert_eq!(exec(&*c, "CREATE TEMP TABLE u AS SELECT generate_series(1, 5)").await.rows_affected(), 0);
    let mut rows = Rows::default();
    c.run(request(&*c, "SELECT id FROM t WHERE id > 5", Params::new()), &mut rows).await.unwrap();
    assert_eq!((rows.batches, rows.rows.len()), (1, 0));
    assert_eq!(c.status(), Status::Idle);
    c.ping().await.unwrap();
    let info = c.server_info().await.unwrap();
    assert_eq!(info.product, "PostgreSQL");
    assert!(info.version.starts_with(|c: char| c.is_ascii_digit()), "{}", info.version);
    let zone: String = one(&*c, "SHOW TimeZone", Params::new()).await.unwrap();
    assert_eq!(zone, "UTC");
    c.close().await;
    assert_eq!(c.status(), Status::Broken);
    let error = run(&*c, "SELECT 1", Params::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Disconnected, Effect::NotSent));
}

#[tokio::test]
async fn large_results_come_in_batches_and_may_be_stopped() {
    let url = server!();
    let c = connect(&url).await;
    for stop_after in [None, Some(2)] {
        let mut rows = Rows { stop_after, ..Rows::default() };
        c.run(request(&*c, "SELECT generate_series(1, 30000)", Params::new()), &mut rows).await.unwrap();
        assert_eq!(rows.rows.len() == 30_000, stop_after.is_none());
        assert!(stop_after.map_or(rows.batches > 4, |batches| rows.batches == batches), "{} batches", rows.batches);
        assert_eq!(c.status(), Status::Idle);
    }
}

#[tokio::test]
async fn commit_of_a_failed_transaction_is_an_error() {
    let url = server!();
    let c = connect(&url).await;
    c.transaction(begin()).await.unwrap();
    assert_eq!(c.status(), Status::InTransaction);
    let error = run(&*c, "SELECT 1 / 0", Params::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.code(), error.effect()), (ErrorKind::Database, Some("22012"), Effect::RolledBack));
    assert_eq!(c.status(), Status::Failed);
    let error = run(&*c, "SELECT 1", Params::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionFailed);
    let error = c.transaction(Tx::Commit).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::TransactionFailed, Effect::RolledBack));
    assert_eq!(c.status(), Status::Idle);
    assert_eq!(c.transaction(Tx::Commit).await.unwrap_err().kind(), ErrorKind::TransactionEnded);
    c.transaction(Tx::Rollback).await.unwrap();
}

#[tokio::test]
async fn savepoints_nest() {
    let url = server!();
    let c = connect(&url).await;
    exec(&*c, "CREATE TEMP TABLE t (n int)").await;
    c.transaction(begin()).await.unwrap();
    exec(&*c, "INSERT INTO t VALUES (1)").await;
    c.transaction(Tx::Savepoint(1)).await.unwrap();
    exec(&*c, "INSERT INTO t VALUES (2)").await;
    run(&*c, "SELECT nonsense", Params::new()).await.unwrap_err();
    assert_eq!(c.status(), Status::Failed);
    c.transaction(Tx::RollbackTo(1)).await.unwrap();
    assert_eq!(c.status(), Status::InTransaction);
    c.transaction(Tx::Savepoint(1)).await.unwrap();
    exec(&*c, "INSERT INTO t VALUES (3)").await;
    c.transaction(Tx::Release(1)).await.unwrap();
    c.transaction(Tx::Commit).await.unwrap();
    let sum: i64 = one(&*c, "SELECT sum(n) FROM t", Params::new()).await.unwrap();
    assert_eq!(sum, 4);
}

#[tokio::test]
async fn transaction_options_reach_the_server() {
    let url = server!();
    let c = connect(&url).await;
    let options = TransactionOptions::new().isolation(Isolation::Serializable).read_only(true).deferrable(true);
    c.transaction(Tx::Begin(options)).await.unwrap();
    for (name, value) in
        [("transaction_isolation", "serializable"), ("transaction_read_only", "on"), ("transaction_deferrable", "on")]
    {
        let shown: String = one(&*c, &format!("SHOW {name}"), Params::new()).await.unwrap();
        assert_eq!(shown, value, "{name}");
    }
    let error = run(&*c, "CREATE TABLE never (n int)", Params::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
    c.transaction(Tx::Rollback).await.unwrap();
}

#[tokio::test]
async fn a_deferred_constraint_fails_the_commit_and_says_so() {
    let url = server!();
    let c = connect(&url).await;
    exec(&*c, "CREATE TEMP TABLE t (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)").await;
    c.transaction(begin()).await.unwrap();
    exec(&*c, "INSERT INTO t VALUES (1), (1)").await;
    let error = c.transaction(Tx::Commit).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::UniqueViolation, Effect::RolledBack));
    assert_eq!(error.columns(), ["n"]);
    assert_eq!(c.status(), Status::Idle);
}

/// Polls `future` `polls` times, giving the driver time in between, and drops it. Tells whether it was ready.
async fn dropped_after<F: Future>(polls: usize, future: F) -> bool {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        let ready = std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if ready {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    false
}

#[tokio::test]
async fn a_dropped_statement_is_cancelled_and_hits_nobody_else() {
    let url = server!();
    let c = connect(&url).await;
    let mut busy = 0;
    for round in 0..20 {
        let started = Instant::now();
        let sql = format!("SELECT pg_sleep(20), {}", round % 3);
        dropped_after(1 + round % 3, run(&*c, &sql, Params::new())).await;
        // Dropped while it was prepared, it was never started.
        busy += usize::from(c.status() == Status::Busy);
        c.settle().await;
        assert_eq!(c.status(), Status::Idle);
        for n in 0..20 {
            let echo: i32 = one(&*c, "SELECT :n", params! { n }).await.unwrap();
            assert_eq!(echo, n);
        }
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    assert!(busy >= 10, "{busy} of 20 were running");
}

#[tokio::test]
async fn a_prepare_that_waits_for_a_lock_is_cancelled_too() {
    let url = server!();
    let (c, other) = (connect(&url).await, connect(&url).await);
    exec(&*other, "DROP TABLE IF EXISTS pgb_locked").await;
    exec(&*other, "CREATE TABLE pgb_locked (n int)").await;
    other.transaction(begin()).await.unwrap();
    exec(&*other, "LOCK TABLE pgb_locked IN ACCESS EXCLUSIVE MODE").await;
    for in_transaction in [false, true] {
        if in_transaction {
            c.transaction(begin()).await.unwrap();
            exec(&*c, "SELECT 1").await;
        }
        dropped_after(4, run(&*c, "SELECT * FROM pgb_locked WHERE n = :n", params! { n: 1 })).await;
        assert_eq!(c.status(), Status::Busy);
        tokio::time::timeout(Duration::from_secs(5), c.settle()).await.expect("settles");
        assert_eq!(c.status(), if in_transaction { Status::Failed } else { Status::Idle });
    }
    c.transaction(Tx::Rollback).await.unwrap();
    assert_eq!(one::<i32>(&*c, "SELECT 1", Params::new()).await.unwrap(), 1);
    other.transaction(Tx::Rollback).await.unwrap();
    exec(&*other, "DROP TABLE pgb_locked").await;
}

#[tokio::test]
async fn every_dropped_call_leaves_a_known_state() {
    let url = server!();
    let c = connect(&url).await;
    for polls in 1..12 {
        for call in 0..4 {
            let future: std::pin::Pin<Box<dyn Future<Output = Result<(), Error>> + Send + '_>> = match call {
                0 => Box::pin(c.transaction(begin())),
                1 => Box::pin(async { run(&*c, "SELECT :a::int + 1", params! { a: 1 }).await.map(drop) }),
                2 => Box::pin(async { c.reset().await.map(drop) }),
                _ => Box::pin(c.ping()),
            };
            dropped_after(polls, future).await;
            if c.status() == Status::Busy {
                tokio::time::timeout(Duration::from_secs(5), c.settle()).await.expect("settles");
            }
            if c.status() != Status::Idle {
                assert_eq!((call, c.status()), (0, Status::InTransaction));
                c.transaction(Tx::Rollback).await.unwrap();
            }
            assert_eq!(c.status(), Status::Idle);
        }
    }
    let left: i64 = one(&*c, "SELECT count(*) FROM pg_prepared_statements", Params::new()).await.unwrap();
    assert!(left <= 3, "{left} prepared statements");
}

#[tokio::test]
async fn a_stream_is_read_in_batches_and_may_be_dropped() {
    let url = server!();
    let c = connect(&url).await;
    let mut stream = c.open_stream(request(&*c, "SELECT generate_series(1, 60000)", Params::new())).await.unwrap();
    let (mut rows, mut batches) = (0, 0);
    while let Some(batch) = stream.next().await.unwrap() {
        // 64 KiB at most, of rows of three times four bytes.
        assert!((1..=(64 << 10) / 12).contains(&batch.len()), "{} rows", batch.len());
        rows += batch.len();
        batches += 1;
    }
    assert_eq!(rows, 60_000);
    assert!(batches >= 11);
    assert!(stream.next().await.unwrap().is_none());
    drop(stream);
    assert_eq!(c.status(), Status::Idle);

    c.transaction(begin()).await.unwrap();
    let sql = "SELECT generate_series(1, 100000000)";
    let mut stream = c.open_stream(request(&*c, sql, Params::new())).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert_eq!(c.status(), Status::Busy);
    tokio::time::timeout(Duration::from_secs(10), c.settle()).await.expect("settles");
    assert_eq!(c.status(), Status::Failed);
    c.transaction(Tx::Rollback).await.unwrap();

    let sql = "SELECT 1 / (3000 - n) FROM generate_series(1, 5000) n";
    let mut stream = c.open_stream(request(&*c, sql, Params::new())).await.unwrap();
    let mut rows = 0;
    let error = loop {
        match stream.next().await {
            Ok(Some(batch)) => rows += batch.len(),
            Ok(None) => panic!("an error was due"),
            Err(error) => break error,
        }
    };
    assert_eq!((rows, error.code()), (2999, Some("22012")));
    assert!(stream.next().await.unwrap().is_none());
    drop(stream);
    assert_eq!(c.status(), Status::Idle);
}

#[tokio::test]
async fn statements_of_one_connection_are_in_flight_together() {
    let url = server!();
    let c = connect(&url).await;
    c.transaction(begin()).await.unwrap();
    let a = async { one::<i32>(&*c, "SELECT :a::int", params! { a: 1 }).await };
    let b = async { one::<i32>(&*c, "SELECT :b::int + 1", params! { b: 1 }).await };
    let (a, b) = tokio::join!(a, b);
    assert_eq!((a.unwrap(), b.unwrap()), (1, 2));
    assert_eq!(c.status(), Status::InTransaction);
    // One fails, the other is told so by the server.
    let a = run(&*c, "SELECT 1 / 0", Params::new());
    let b = run(&*c, "SELECT 7", Params::new());
    let (a, b) = tokio::join!(a, b);
    assert!(a.is_err() || b.is_err());
    assert_eq!(c.status(), Status::Failed);
    c.transaction(Tx::Rollback).await.unwrap();
}

#[tokio::test]
async fn many_rows_are_pipelined_and_the_first_error_names_its_row() {
    let url = server!();
    let c = connect(&url).await;
    exec(&*c, "CREATE TEMP TABLE t (id int PRIMARY KEY, text text)").await;
    let insert =
        |id: i64, text: Option<&str>| Ok(request(&*c, "INSERT INTO t VALUES (:id, :text)", params! { id, text }));
    let mut rows = Many { requests: (0..2000).map(|id| insert(id, (id % 3 > 0).then_some("x"))) };
    c.transaction(begin()).await.unwrap();
    assert_eq!(c.run_many(&mut rows).await.unwrap(), 2000);
    c.transaction(Tx::Commit).await.unwrap();
    let mut none = Many { requests: std::iter::empty() };
    assert_eq!(c.run_many(&mut none).await.unwrap(), 0);

    for (bad, kind) in [(0, ErrorKind::UniqueViolation), (299, ErrorKind::UniqueViolation), (1, ErrorKind::Encode)] {
        c.transaction(begin()).await.unwrap();
        let value = if kind == ErrorKind::Encode { i64::MAX } else { 5 };
        let rows = (0..600).map(|n| insert(if n == bad { value } else { 10_000 + n }, None));
        let error = c.run_many(&mut Many { requests: rows }).await.unwrap_err();
        assert_eq!((error.kind(), error.batch_index()), (kind, Some(usize::try_from(bad).unwrap())));
        assert_eq!(error.to_string().starts_with("parameter $1: "), kind == ErrorKind::Encode, "{error}");
        let state = if kind == ErrorKind::Encode { Status::InTransaction } else { Status::Failed };
        assert_eq!(c.status(), state);
        c.transaction(Tx::Rollback).await.unwrap();
    }
    let pulled =
        (0..10).map(|n| if n == 4 { Err(Error::new(ErrorKind::Parameters, "no")) } else { insert(20_000 + n, None) });
    let error = c.run_many(&mut Many { requests: pulled }).await.unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::Parameters, Some(4)));
    assert_eq!(c.status(), Status::Idle);

    // Texts that alternate, and kinds that do.
    let mixed = (0..50).map(|n| {
        Ok(if n % 2 == 0 {
            request(&*c, "DELETE FROM t WHERE id = :id", params! { id: n })
        } else {
            request(&*c, "DELETE FROM t WHERE id IN (:id, :id + 1000)", params! { id: n })
        })
    });
    assert_eq!(c.run_many(&mut Many { requests: mixed }).await.unwrap(), 75);
}

#[tokio::test]
async fn a_script_is_all_or_nothing() {
    let url = server!();
    let c = connect(&url).await;
    c.run_script("CREATE TEMP TABLE t (n int); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)").await.unwrap();
    c.run_script("INSERT INTO t VALUES (3); SELECT nonsense").await.unwrap_err();
    let sum: i64 = one(&*c, "SELECT sum(n) FROM t", Params::new()).await.unwrap();
    assert_eq!(sum, 3);
    assert_eq!(c.run_script("SELECT '\0'").await.unwrap_err().kind(), ErrorKind::Parameters);
    assert_eq!(c.status(), Status::Idle);
}

#[tokio::test]
async fn reset_undoes_the_session_and_lookups_still_work() {
    let url = server!();
    let c = connect(&url).await;
    let lookup = async || {
        exec(&*c, "CREATE TYPE pg_temp.mood AS ENUM ('ok')").await;
        one::<String>(&*c, "SELECT 'ok'::pg_temp.mood", Params::new()).await
    };
    // The driver prepares statements of its own for this.
    assert_eq!(lookup().await.unwrap(), "ok");
    for sql in [
        "SET application_name = 'changed'",
        "CREATE TEMP TABLE t (n int)",
        "PREPARE \"odd \"\"name\" AS SELECT 1",
        "SELECT pg_advisory_lock(42)",
        "LISTEN x",
    ] {
        exec(&*c, sql).await;
    }
    assert!(c.reset().await.unwrap());
    let name: String = one(&*c, "SHOW application_name", Params::new()).await.unwrap();
    assert_ne!(name, "changed");
    assert_eq!(run(&*c, "SELECT * FROM t", Params::new()).await.unwrap_err().kind(), ErrorKind::UndefinedTable);
    let prepared: i64 =
        one(&*c, "SELECT count(*) FROM pg_prepared_statements WHERE from_sql", Params::new()).await.unwrap();
    assert_eq!(prepared, 0);
    let locks: i64 =
        one(&*c, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()", Params::new())
            .await
            .unwrap();
    assert_eq!(locks, 0);
    let zone: String = one(&*c, "SHOW TimeZone", Params::new()).await.unwrap();
    assert_eq!(zone, "UTC");
    assert_eq!(lookup().await.unwrap(), "ok");
    exec(&*c, "DISCARD ALL").await;
    assert!(!c.reset().await.unwrap(), "the driver's own statements are gone, so the connection must go");
    let error = lookup().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Disconnected, Effect::NotSent));
    assert_eq!(c.status(), Status::Broken);
}

#[tokio::test]
async fn a_stale_plan_is_prepared_again_outside_of_a_transaction() {
    let url = server!();
    let c = connect(&url).await;
    exec(&*c, "CREATE TEMP TABLE t (n int)").await;
    exec(&*c, "INSERT INTO t VALUES (1)").await;
    let select = "SELECT * FROM t";
    assert_eq!(run(&*c, select, Params::new()).await.unwrap().1[0].len(), 1);
    exec(&*c, "ALTER TABLE t ADD COLUMN m text").await;
    assert_eq!(run(&*c, select, Params::new()).await.unwrap().1[0].len(), 2);
    exec(&*c, "ALTER TABLE t ALTER COLUMN n TYPE text").await;
    let mut stream = c.open_stream(request(&*c, select, Params::new())).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().len(), 1);
    drop(stream);
    c.settle().await;
    exec(&*c, "DEALLOCATE ALL").await;
    assert_eq!(run(&*c, select, Params::new()).await.unwrap().1[0].len(), 2);
    c.transaction(begin()).await.unwrap();
    exec(&*c, "ALTER TABLE t DROP COLUMN m").await;
    let error = run(&*c, select, Params::new()).await.unwrap_err();
    assert_eq!(error.code(), Some("0A000"));
    c.transaction(Tx::Rollback).await.unwrap();
    assert_eq!(run(&*c, select, Params::new()).await.unwrap().1[0].len(), 2);
}

/// Its error may be of the kind that is cured by running again, but what it has committed would be done twice.
#[tokio::test]
async fn what_commits_inside_is_not_run_again() {
    let url = server!();
    let c = connect(&url).await;
    exec(&*c, "DROP TABLE IF EXISTS commits_inside").await;
    exec(&*c, "CREATE TABLE commits_inside (n int)").await;
    let body = "BEGIN INSERT INTO commits_inside VALUES (1); COMMIT; PERFORM no_such_function(); END";
    exec(&*c, &format!("CREATE OR REPLACE PROCEDURE commits_inside() LANGUAGE plpgsql AS $${body}$$")).await;
    for (done, call) in [(1, "CALL commits_inside()".to_owned()), (2, format!("DO $${body}$$"))] {
        let error = run(&*c, &call, Params::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::UndefinedFunction, Effect::Unknown), "{call}");
        assert_eq!(
            one::<i64>(&*c, "SELECT count(*) FROM commits_inside", Params::new()).await.unwrap(),
            done,
            "{call}"
        );
    }
    exec(&*c, "DROP PROCEDURE commits_inside").await;
    exec(&*c, "DROP TABLE commits_inside").await;
}

#[tokio::test]
async fn parameters_follow_a_column_that_has_changed_its_type() {
    let url = server!();
    let c = connect(&url).await;
    let insert = "INSERT INTO t VALUES (:v)";
    let bool_or_int = |n: i32| {
        if n % 2 == 0 {
            params! { v: true }
        } else {
            params! { v: 5 }
        }
    };
    for n in 0..4 {
        exec(&*c, &format!("CREATE TEMP TABLE t (v {})", if n % 2 == 0 { "bool" } else { "int" })).await;
        if n == 2 {
            let rows = (0..3).map(|_| Ok(request(&*c, insert, bool_or_int(n))));
            assert_eq!(c.run_many(&mut Many { requests: rows }).await.unwrap(), 3);
        }
        run(&*c, insert, bool_or_int(n)).await.unwrap();
        let error = run(&*c, insert, bool_or_int(n + 1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode);
        exec(&*c, "DROP TABLE t").await;
    }
    // Here only the server can see it: text was fine for the column that was text.
    exec(&*c, "CREATE TEMP TABLE t (v text)").await;
    run(&*c, insert, params! { v: "7" }).await.unwrap();
    exec(&*c, "ALTER TABLE t ALTER v TYPE int USING v::int").await;
    run(&*c, insert, params! { v: "7" }).await.unwrap();
    assert_eq!(one::<i64>(&*c, "SELECT sum(v) FROM t", Params::new()).await.unwrap(), 14);
}

#[tokio::test]
async fn prepared_statements_are_bounded_and_can_be_left_out() {
    let url = server!();
    let count = "SELECT count(*) FROM pg_prepared_statements";
    let mut options = PoolOptions::default();
    for size in [8, 1, 0] {
        options.statement_cache_size = size;
        let c = connect_with(&url, &options).await;
        for n in 0..40 {
            let found: i32 = one(&*c, &format!("SELECT {n} + :a::int"), params! { a: 1 }).await.unwrap();
            assert_eq!(found, n + 1);
            let found: i64 = one(&*c, &format!("SELECT :a, {n}"), params! { a: 1_i64 }).await.unwrap();
            assert_eq!(found, 1);
        }
        let mut found: i64 = one(&*c, count, Params::new()).await.unwrap();
        // This one itself is there while it runs.
        found -= i64::from(size == 0);
        assert!(found <= i64::try_from(size).unwrap(), "{found} of {size}");
        c.close().await;
    }
    let c = connect(&url).await;
    let mut request = request(&*c, "SELECT 1", Params::new());
    request.prepared = false;
    for _ in 0..3 {
        c.run(request.clone(), &mut Rows::default()).await.unwrap();
    }
    assert_eq!(one::<i64>(&*c, count, Params::new()).await.unwrap(), 1);
}

#[tokio::test]
async fn copy_with_the_client_is_refused_before_it_is_sent() {
    let url = server!();
    let c = connect(&url).await;
    for sql in ["COPY pg_class TO STDOUT", "COPY t FROM STDIN"] {
        let error = run(&*c, sql, Params::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::NotSent));
    }
    exec(&*c, "CREATE TEMP TABLE t (n int)").await;
    // In a script nobody looks at the text: the connection is given up, and nothing hangs.
    let copy = c.run_script("COPY t FROM STDIN");
    let error = tokio::time::timeout(Duration::from_secs(5), copy).await.expect("ends").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(c.status(), Status::Broken);
}

#[tokio::test]
async fn the_drivers_client_is_lent_and_given_back() {
    let url = server!();
    let c = connect(&url).await;
    assert_eq!(c.native_type(), "tokio_postgres::Client");
    exec(&*c, "CREATE TEMP TABLE t (n int)").await;
    {
        use futures_util::SinkExt;
        let mut native = c.native().await.unwrap();
        let client = native.as_any_mut().downcast_mut::<databases_postgres::tokio_postgres::Client>().unwrap();
        let mut sink = Box::pin(client.copy_in::<_, bytes::Bytes>("COPY t FROM STDIN").await.unwrap());
        sink.send(bytes::Bytes::from_static(b"1\n2\n")).await.unwrap();
        assert_eq!(sink.as_mut().finish().await.unwrap(), 2);
        let tx = client.transaction().await.unwrap();
        tx.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
        tx.commit().await.unwrap();
        // Left unfinished.
        let mut sink = Box::pin(client.copy_in::<_, bytes::Bytes>("COPY t FROM STDIN").await.unwrap());
        sink.send(bytes::Bytes::from_static(b"9\n")).await.unwrap();
    }
    assert_eq!(c.status(), Status::Busy);
    tokio::time::timeout(Duration::from_secs(5), c.settle()).await.expect("settles");
    assert_eq!(c.status(), Status::Idle);
    let sum: i64 = one(&*c, "SELECT sum(n) FROM t", Params::new()).await.unwrap();
    assert_eq!(sum, 6);
}

#[tokio::test]
async fn a_terminated_connection_says_why() {
    let url = server!();
    let (c, other) = (connect(&url).await, connect(&url).await);
    let pid: i32 = one(&*c, "SELECT pg_backend_pid()", Params::new()).await.unwrap();
    let terminate = "SELECT pg_terminate_backend(:pid)";
    assert!(one::<bool>(&*other, terminate, params! { pid }).await.unwrap());
    while c.status() != Status::Broken {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let error = run(&*c, "SELECT 1", Params::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.code(), error.effect()), (ErrorKind::Disconnected, Some("57P01"), Effect::NotSent));
    assert!(error.to_string().contains("terminating connection"), "{error}");

    let c = connect(&url).await;
    let pid: i32 = one(&*c, "SELECT pg_backend_pid()", Params::new()).await.unwrap();
    let sleeping = run(&*c, "SELECT pg_sleep(20)", Params::new());
    let ending = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        one::<bool>(&*other, terminate, params! { pid }).await.unwrap()
    };
    let (error, _) = tokio::join!(sleeping, ending);
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.code(), error.effect()), (ErrorKind::Disconnected, Some("57P01"), Effect::Unknown));
    assert_eq!(c.status(), Status::Broken);
}

#[tokio::test]
async fn a_thrown_away_connection_stops_its_statement() {
    let url = server!();
    let (c, other) = (connect(&url).await, connect(&url).await);
    let pid: i32 = one(&*c, "SELECT pg_backend_pid()", Params::new()).await.unwrap();
    dropped_after(4, run(&*c, "SELECT pg_sleep(30)", Params::new())).await;
    drop(c);
    let started = Instant::now();
    let alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = :pid";
    while one::<i64>(&*other, alive, params! { pid }).await.unwrap() > 0 {
        assert!(started.elapsed() < Duration::from_secs(10), "the server still runs it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_cannot_be_connected_to_says_why() {
    let url = server!();
    let parsed: databases_core::url::DatabaseUrl = url.parse().unwrap();
    let no_database = parsed.with_database("there_is_no_such_database").unwrap().expose();
    for (url, kind, code) in [
        (no_database, ErrorKind::Connect, Some("3D000")),
        ("postgres://u@127.0.0.1:1/d".to_owned(), ErrorKind::Connect, None),
        ("postgres://u@no-such-host.invalid/d".to_owned(), ErrorKind::Connect, None),
        ("postgres://u@%2Fno%2Fsuch%2Fdir/d".to_owned(), ErrorKind::Connect, None),
    ] {
        let connector = connector(&url, &PoolOptions::default()).unwrap();
        let error = connector.connect(ConnectContext::default()).await.unwrap_err();
        assert_eq!((error.kind(), error.code(), error.effect()), (kind, code, Effect::NotSent), "{error:?}");
    }
}

#[tokio::test]
async fn the_session_mode_of_strings_is_followed() {
    let url = server!();
    let c = connect(&url).await;
    assert_eq!(c.dialect(), databases_core::sql::Dialect::POSTGRES);
    exec(&*c, "SET standard_conforming_strings = off").await;
    assert_ne!(c.dialect(), databases_core::sql::Dialect::POSTGRES);
    assert!(c.reset().await.unwrap());
    assert_eq!(c.dialect(), databases_core::sql::Dialect::POSTGRES);
}

#[tokio::test]
async fn options_of_the_url_reach_the_server() {
    let url = server!();
    let joint = if url.contains('?') { '&' } else { '?' };
    let options = "application_name=my%20app&search_path=%22odd%20one%22,pg_catalog&options=-c%20work_mem%3D8MB%20-c%20TimeZone%3DAsia/Tokyo";
    let c = connect(&format!("{url}{joint}{options}")).await;
    for (name, value) in [
        ("application_name", "my app"),
        ("search_path", "\"odd one\",pg_catalog"),
        ("work_mem", "8MB"),
        ("TimeZone", "UTC"),
        ("client_encoding", "UTF8"),
    ] {
        let shown: String = one(&*c, &format!("SHOW {name}"), Params::new()).await.unwrap();
        assert_eq!(shown, value, "{name}");
    }
    let directory: String = one(&*c, "SHOW unix_socket_directories", Params::new()).await.unwrap();
    let directory = directory.split(',').next().unwrap_or_default().trim();
    let parsed: databases_core::url::DatabaseUrl = url.parse().unwrap();
    let port = parsed.port().unwrap_or(5432);
    if !std::path::Path::new(directory).join(format!(".s.PGSQL.{port}")).exists() {
        eprintln!("left out: the server has no unix socket here");
        return;
    }
    let url = parsed.with_host(directory).unwrap().with_port(port).unwrap().expose();
    let c = connect(&url).await;
    dropped_after(4, run(&*c, "SELECT pg_sleep(20)", Params::new())).await;
    tokio::time::timeout(Duration::from_secs(5), c.settle()).await.expect("settles");
    assert_eq!(one::<i32>(&*c, "SELECT 1", Params::new()).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_dropped_at_random_never_shift_an_answer() {
    let url = server!();
    let mut options = PoolOptions::default();
    options.statement_cache_size = 4;
    let c = connect_with(&url, &options).await;
    exec(&*c, "CREATE TEMP TABLE t (id int PRIMARY KEY)").await;
    let mut seed = 12_345_u64;
    let mut random = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let mut was_busy = 0;
    for round in 0..300_i64 {
        let call = random(6);
        let wait = Duration::from_micros(random(3000));
        if random(2) == 0 {
            c.transaction(begin()).await.unwrap();
        }
        let work = async {
            match call {
                0 => drop(run(&*c, &format!("SELECT :a::int, {}", round % 9), params! { a: 1 }).await),
                1 => drop(run(&*c, "SELECT pg_sleep(0.002)", Params::new()).await),
                2 => {
                    let rows = (0..500).map(|n| {
                        Ok(request(&*c, "INSERT INTO t VALUES (:n) ON CONFLICT DO NOTHING", params! { n: n }))
                    });
                    drop(c.run_many(&mut Many { requests: rows }).await);
                }
                3 => {
                    let sql = request(&*c, "SELECT generate_series(1, 20000)", Params::new());
                    if let Ok(mut stream) = c.open_stream(sql).await {
                        while let Ok(Some(_)) = stream.next().await {}
                    }
                }
                4 => drop(run(&*c, "SELECT 1 / (:a - 1)", params! { a: 1 }).await),
                _ => {
                    let (a, b) =
                        (run(&*c, "SELECT 1", Params::new()), run(&*c, "SELECT pg_sleep(0.001)", Params::new()));
                    drop(tokio::join!(a, b));
                }
            }
        };
        _ = tokio::time::timeout(wait, work).await;
        if c.status() == Status::Busy {
            was_busy += 1;
            tokio::time::timeout(Duration::from_secs(10), c.settle()).await.expect("settles");
        }
        match c.status() {
            Status::Idle => {}
            Status::InTransaction | Status::Failed => c.transaction(Tx::Rollback).await.unwrap(),
            status => panic!("{status:?} in round {round}"),
        }
        let echo: i64 = one(&*c, "SELECT :round", params! { round }).await.unwrap();
        assert_eq!(echo, round);
        assert_eq!(c.status(), Status::Idle);
    }
    assert!(was_busy > 20, "{was_busy} of 300 were dropped in the middle");
    let prepared: i64 = one(&*c, "SELECT count(*) FROM pg_prepared_statements", Params::new()).await.unwrap();
    assert!(prepared <= 4, "{prepared}");
}

const fn is_send<T: Send + ?Sized>() {}
const _: () = is_send::<Arc<dyn BackendConnection>>();
const _: () = is_send::<Box<dyn RowBatches>>();
