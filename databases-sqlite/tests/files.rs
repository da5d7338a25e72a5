//! Files: opening, the write permit, readers beside a writer, transactions, other processes.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::{TempDir, connect, connect_to, connector, connector_with, drop_after, on_both, request};
use databases_core::backend::{Status, TransactionCommand};
use databases_core::{
    Effect, ErrorKind, ExecResult, Executor, Isolation, Pool, PoolConfig, PoolOptions, Result, Transaction,
    TransactionOptions, params,
};
use databases_sqlite::{Sqlite, rusqlite};

fn patient(acquire_timeout: Duration) -> PoolOptions {
    let mut options = PoolOptions::default();
    options.acquire_timeout = acquire_timeout;
    options
}

#[tokio::test]
async fn a_session_is_set_up_as_promised() {
    let dir = TempDir::new();
    let db = connect(&dir.url("?cache_size=-4000")).await.unwrap();
    for (pragma, value) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("foreign_keys", "1"),
        ("trusted_schema", "0"),
        ("cache_size", "-4000"),
        ("query_only", "0"),
    ] {
        let row = &db.rows(&format!("PRAGMA {pragma}")).await.unwrap()[0];
        let got = row.get::<String>(0).or_else(|_| row.get::<i64>(0).map(|n| n.to_string())).unwrap();
        assert_eq!(got, value, "{pragma}");
    }
    // Extensions cannot be loaded, and the schema cannot be written.
    assert!(db.exec("SELECT load_extension('nothing')").await.is_err());
    let error = db.run_script("PRAGMA writable_schema = ON; CREATE TABLE t (a); DELETE FROM sqlite_schema").await;
    assert!(error.is_err());
    db.close().await;

    let other = TempDir::new();
    let options = "?journal_mode=truncate&synchronous=normal&foreign_keys=off";
    let db = connect(&other.url(options)).await.unwrap();
    assert_eq!(db.text("PRAGMA journal_mode").await.unwrap(), "truncate");
    assert_eq!(db.int("PRAGMA synchronous").await.unwrap(), 1);
    assert_eq!(db.int("PRAGMA foreign_keys").await.unwrap(), 0);
    let off = TempDir::new();
    assert_eq!(connect(&off.url("?journal_mode=off")).await.unwrap().text("PRAGMA journal_mode").await.unwrap(), "off");
}

#[tokio::test]
async fn modes_decide_what_is_created_and_written() {
    let dir = TempDir::new();
    for mode in ["?mode=ro", "?mode=rw"] {
        let error = connect(&dir.url(mode)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(error.hint().unwrap().contains("rwc"), "{error:?}");
        assert!(!dir.file("test.db").exists());
    }
    let db = connect(&dir.url("")).await.unwrap();
    db.exec("CREATE TABLE t (a)").await.unwrap();
    let ro = connect(&dir.url("?mode=ro")).await.unwrap();
    assert_eq!(ro.int("SELECT count(*) FROM t").await.unwrap(), 0);
    assert_eq!(ro.exec("INSERT INTO t VALUES (1)").await.unwrap_err().kind(), ErrorKind::ReadOnly);
    ro.begin().await.unwrap();
    assert_eq!(ro.exec("INSERT INTO t VALUES (1)").await.unwrap_err().kind(), ErrorKind::ReadOnly);
    ro.rollback().await.unwrap();
    db.exec("INSERT INTO t VALUES (1)").await.unwrap();
    assert_eq!(ro.int("SELECT count(*) FROM t").await.unwrap(), 1);
    assert_eq!(connect("sqlite:////nonexistent/x.db").await.unwrap_err().kind(), ErrorKind::Connect);
    assert_eq!(
        connect(&format!("sqlite:///{}", std::env::temp_dir().display())).await.unwrap_err().kind(),
        ErrorKind::Connect
    );
}

#[tokio::test]
async fn what_is_no_database_is_corrupt_and_is_not_touched() {
    let dir = TempDir::new();
    let bytes = b"this is no database, whatever its name says, and it is long enough to have a header".repeat(100);
    std::fs::write(dir.file("test.db"), &bytes).unwrap();
    for options in ["", "?mode=ro", "?journal_mode=delete"] {
        let error = connect(&dir.url(options)).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, Some("26")), "{error:?}");
    }
    assert_eq!(std::fs::read(dir.file("test.db")).unwrap(), bytes);
}

#[tokio::test]
async fn damage_found_later_breaks_the_connection() {
    let dir = TempDir::new();
    let url = dir.url("?journal_mode=delete");
    let db = connect(&url).await.unwrap();
    db.exec("CREATE TABLE t (a TEXT)").await.unwrap();
    for _ in 0..20 {
        db.exec_with("INSERT INTO t VALUES (:a)", params! { a: "x".repeat(3000) }).await.unwrap();
    }
    db.close().await;
    let mut bytes = std::fs::read(dir.file("test.db")).unwrap();
    bytes[4096..].iter_mut().for_each(|byte| *byte ^= 0xa5);
    std::fs::write(dir.file("test.db"), &bytes).unwrap();
    let db = connect(&url).await.unwrap();
    let error = db.rows("SELECT * FROM t").await.unwrap_err();
    assert_eq!((error.kind(), db.status()), (ErrorKind::Corrupt, Status::Broken));
}

/// Bytes of pages, changed at random: reads give rows or typed errors, and leave the file as it is.
#[tokio::test]
async fn damaged_pages_are_errors_and_reads_leave_them_alone() {
    let dir = TempDir::new();
    let db = connect(&dir.url("?journal_mode=delete")).await.unwrap();
    let schema = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT UNIQUE, c BLOB); CREATE INDEX i ON t (c); \
                  CREATE VIEW v AS SELECT a, b FROM t; CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END";
    db.run_script(schema).await.unwrap();
    for n in 0..300 {
        let row = params! { b: format!("row {n}"), c: vec![7_u8; n * 11 % 2500] };
        db.exec_with("INSERT INTO t (b, c) VALUES (:b, :c)", row).await.unwrap();
    }
    db.close().await;
    let good = std::fs::read(dir.file("test.db")).unwrap();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 16).unwrap() % n
    };
    let (mut worked, mut failed) = (0, 0);
    for round in 0..500 {
        let mut bytes = good.clone();
        match round % 3 {
            // One page says what another says.
            0 => {
                let (from, to) = (below(good.len() / 4096) * 4096, below(good.len() / 4096) * 4096);
                bytes.copy_within(from..from + 4096, to);
            }
            1 => (0..1 + below(40)).for_each(|_| bytes[below(good.len())] = u8::try_from(below(256)).unwrap()),
            // Headers of pages, where the structure is.
            _ => (0..4).for_each(|_| bytes[below(good.len() / 4096) * 4096 + below(40)] ^= 1 << below(8)),
        }
        std::fs::write(dir.file("test.db"), &bytes).unwrap();
        let read = async {
            let db = connect(&dir.url("?mode=ro")).await?;
            let mut outcome = Ok(());
            for sql in [
                "SELECT * FROM t",
                "SELECT count(*) FROM t WHERE b > 'row 2'",
                "SELECT * FROM v ORDER BY b DESC",
                "SELECT a FROM t WHERE c = x'0707'",
                "SELECT * FROM sqlite_schema",
                "PRAGMA integrity_check",
            ] {
                match db.rows(sql).await {
                    Ok(rows) => rows.iter().for_each(|row| {
                        (0..row.columns().len()).for_each(|index| drop(row.get::<databases_core::Value>(index)));
                    }),
                    Err(error) => outcome = Err(error),
                }
            }
            db.close().await;
            outcome
        };
        match tokio::time::timeout(Duration::from_secs(10), read).await.expect("reads end") {
            Ok(()) => worked += 1,
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::Internal, "round {round}: {error:?}");
                failed += 1;
            }
        }
        assert!(std::fs::read(dir.file("test.db")).unwrap() == bytes, "round {round}: the file was written to");
    }
    assert!(worked > 10 && failed > 100, "{worked} worked, {failed} failed");
}

#[test]
fn readers_go_on_while_a_transaction_writes() {
    on_both(|| async {
        let dir = TempDir::new();
        let connector = connector_with(&dir.url(""), &patient(Duration::from_millis(200))).unwrap();
        let writer = connect_to(&*connector).await.unwrap();
        let reader = connect_to(&*connector).await.unwrap();
        writer.exec("CREATE TABLE t (a)").await.unwrap();
        writer.begin().await.unwrap();
        writer.exec("INSERT INTO t VALUES (1)").await.unwrap();
        assert_eq!(reader.int("SELECT count(*) FROM t").await.unwrap(), 0);
        reader.begin_with(TransactionOptions::new().read_only(true)).await.unwrap();
        assert_eq!(reader.int("SELECT count(*) FROM t").await.unwrap(), 0);

        let error = connect_to(&*connector).await.unwrap().exec("INSERT INTO t VALUES (2)").await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::PoolTimeout, Effect::NotSent));
        let text = error.to_string();
        assert!(text.contains("write permit") && text.contains("held by a transaction"), "{text}");

        writer.commit().await.unwrap();
        // A snapshot stays what it was.
        assert_eq!(reader.int("SELECT count(*) FROM t").await.unwrap(), 0);
        reader.commit().await.unwrap();
        assert_eq!(reader.int("SELECT count(*) FROM t").await.unwrap(), 1);
        reader.exec("INSERT INTO t VALUES (2)").await.unwrap();
    });
}

#[test]
fn writers_take_turns_and_lose_nothing() {
    on_both(|| async {
        let dir = TempDir::new();
        let connector = connector(&dir.url("?synchronous=off"));
        let first = connect_to(&*connector).await.unwrap();
        first.exec("CREATE TABLE t (n INT)").await.unwrap();
        first.exec("INSERT INTO t VALUES (0)").await.unwrap();
        let mut tasks = Vec::new();
        for _ in 0..8 {
            let db = connect_to(&*connector).await.unwrap();
            tasks.push(tokio::spawn(async move {
                for _ in 0..20 {
                    db.begin().await.unwrap();
                    let n = db.int("SELECT n FROM t").await.unwrap();
                    db.exec_with("UPDATE t SET n = :n", params! { n: n + 1 }).await.unwrap();
                    db.commit().await.unwrap();
                    db.exec("UPDATE t SET n = n + 1").await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(first.int("SELECT n FROM t").await.unwrap(), 320);
    });
}

#[test]
fn a_deferred_transaction_takes_the_permit_at_its_first_write() {
    on_both(|| async {
        let dir = TempDir::new();
        let connector = connector_with(&dir.url("?synchronous=off"), &patient(Duration::from_millis(500))).unwrap();
        let a = connect_to(&*connector).await.unwrap();
        let b = connect_to(&*connector).await.unwrap();
        a.exec("CREATE TABLE t (a)").await.unwrap();
        let deferred = || TransactionOptions::new().deferred();
        a.begin_with(deferred()).await.unwrap();
        b.begin_with(deferred()).await.unwrap();
        assert_eq!(a.int("SELECT count(*) FROM t").await.unwrap(), 0);
        assert_eq!(b.int("SELECT count(*) FROM t").await.unwrap(), 0);
        // Two at once on one session share one permit.
        let (x, y) = futures_join(a.exec("INSERT INTO t VALUES (1)"), a.exec("INSERT INTO t VALUES (2)")).await;
        x.unwrap();
        y.unwrap();
        assert_eq!(b.exec("INSERT INTO t VALUES (3)").await.unwrap_err().kind(), ErrorKind::PoolTimeout);
        a.commit().await.unwrap();
        let error = b.exec("INSERT INTO t VALUES (3)").await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::SerializationFailure, true), "{error:?}");
        b.rollback().await.unwrap();
        b.exec("INSERT INTO t VALUES (3)").await.unwrap();
        assert_eq!(a.int("SELECT count(*) FROM t").await.unwrap(), 3);
        // Also where the transaction is begun by text.
        a.exec("BEGIN").await.unwrap();
        a.exec("INSERT INTO t VALUES (4)").await.unwrap();
        assert_eq!(b.exec("INSERT INTO t VALUES (5)").await.unwrap_err().kind(), ErrorKind::PoolTimeout);
        a.exec("COMMIT").await.unwrap();
        b.exec("INSERT INTO t VALUES (5)").await.unwrap();
        assert_eq!(a.exec("COMMIT").await.unwrap_err().to_string(), "cannot commit - no transaction is active");
        // A BEGIN beside a write on the same session waits for its own turn.
        for _ in 0..5 {
            let (begun, written) = futures_join(a.begin(), a.exec("INSERT INTO t VALUES (6)")).await;
            begun.unwrap();
            written.unwrap();
            let (written, begun) = futures_join(b.exec("INSERT INTO t VALUES (6)"), a.rollback()).await;
            written.unwrap();
            begun.unwrap();
            let (written, begun) = futures_join(a.exec("INSERT INTO t VALUES (6)"), a.begin()).await;
            written.unwrap();
            begun.unwrap();
            assert_eq!(b.exec("INSERT INTO t VALUES (5)").await.unwrap_err().kind(), ErrorKind::PoolTimeout);
            a.commit().await.unwrap();
        }
        // A pragma that writes is a write; one that does not is none.
        a.begin().await.unwrap();
        b.exec("PRAGMA cache_size = 100").await.unwrap();
        assert_eq!(b.exec("PRAGMA user_version = 7").await.unwrap_err().kind(), ErrorKind::PoolTimeout);
        a.rollback().await.unwrap();
        b.exec("PRAGMA user_version = 7").await.unwrap();
    });
}

/// Both futures, polled in turn.
async fn futures_join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut x, mut y) = (None, None);
    std::future::poll_fn(move |cx| {
        if x.is_none()
            && let std::task::Poll::Ready(value) = a.as_mut().poll(cx)
        {
            x = Some(value);
        }
        if y.is_none()
            && let std::task::Poll::Ready(value) = b.as_mut().poll(cx)
        {
            y = Some(value);
        }
        match (x.take(), y.take()) {
            (Some(a), Some(b)) => std::task::Poll::Ready((a, b)),
            (a, b) => {
                (x, y) = (a, b);
                std::task::Poll::Pending
            }
        }
    })
    .await
}

#[test]
fn read_only_transactions_refuse_writes_and_leave_no_trace() {
    on_both(|| async {
        for memory in [true, false] {
            let dir = TempDir::new();
            let url = if memory { "sqlite::memory:".to_owned() } else { dir.url("") };
            let db = connect(&url).await.unwrap();
            db.exec("CREATE TABLE t (a)").await.unwrap();
            let read_only = || TransactionOptions::new().read_only(true);
            db.begin_with(read_only()).await.unwrap();
            for sql in ["INSERT INTO t VALUES (1)", "CREATE TABLE u (a)", "DROP TABLE t"] {
                assert_eq!(db.exec(sql).await.unwrap_err().kind(), ErrorKind::ReadOnly, "{sql}");
            }
            assert_eq!(db.status(), Status::InTransaction);
            db.commit().await.unwrap();
            db.exec("INSERT INTO t VALUES (1)").await.unwrap();
            db.begin_with(read_only()).await.unwrap();
            db.rollback().await.unwrap();
            db.exec("INSERT INTO t VALUES (2)").await.unwrap();
            assert_eq!(db.int("PRAGMA query_only").await.unwrap(), 0);
        }
    });
}

#[tokio::test]
async fn options_that_sqlite_cannot_keep_are_errors_that_say_what_would_be_right() {
    let db = connect("sqlite::memory:").await.unwrap();
    let options = TransactionOptions::new;
    db.begin_with(options().isolation(Isolation::Serializable)).await.unwrap();
    db.rollback().await.unwrap();
    for wrong in [
        options().isolation(Isolation::ReadCommitted),
        options().isolation(Isolation::RepeatableRead),
        options().deferrable(true),
        options().read_only(true).immediate(),
    ] {
        let error = db.begin_with(wrong.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{wrong:?}");
        assert_eq!(db.status(), Status::Idle);
    }
}

#[tokio::test]
async fn a_commit_that_fails_leaves_the_transaction_open_and_savepoints_nest() {
    let db = connect("sqlite::memory:").await.unwrap();
    db.run_script(
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p INT REFERENCES p DEFERRABLE INITIALLY DEFERRED)",
    )
    .await
    .unwrap();
    db.begin().await.unwrap();
    db.exec("INSERT INTO c VALUES (1)").await.unwrap();
    let error = db.commit().await.unwrap_err();
    assert_eq!((error.kind(), db.status()), (ErrorKind::ForeignKeyViolation, Status::InTransaction));
    db.rollback().await.unwrap();
    db.rollback().await.unwrap();
    assert_eq!((db.status(), db.int("SELECT count(*) FROM c").await.unwrap()), (Status::Idle, 0));
    for command in [TransactionCommand::Commit, TransactionCommand::Savepoint(1), TransactionCommand::Release(1)] {
        assert_eq!(db.transaction(command).await.unwrap_err().kind(), ErrorKind::TransactionEnded);
        assert_eq!(db.status(), Status::Idle);
    }
    db.begin().await.unwrap();
    for (depth, keep) in [(1, true), (2, false)] {
        db.transaction(TransactionCommand::Savepoint(depth)).await.unwrap();
        db.exec_with("INSERT INTO p VALUES (:d)", params! { d: depth as i64 }).await.unwrap();
        let end = if keep { TransactionCommand::Release(depth) } else { TransactionCommand::RollbackTo(depth) };
        db.transaction(end).await.unwrap();
    }
    db.commit().await.unwrap();
    assert_eq!(db.int("SELECT sum(id) FROM p").await.unwrap(), 1);
}

#[test]
fn others_that_lock_the_file_are_waited_for_and_the_wait_can_be_dropped() {
    on_both(|| async {
        let dir = TempDir::new();
        let db = connect(&dir.url("?busy_timeout=100ms")).await.unwrap();
        db.exec("CREATE TABLE t (a)").await.unwrap();
        let other = rusqlite::Connection::open(dir.file("test.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = db.exec("INSERT INTO t VALUES (1)").await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::LockTimeout, true));
        assert_eq!(db.begin().await.unwrap_err().kind(), ErrorKind::LockTimeout);
        assert_eq!(db.status(), Status::Idle);

        let slow = connect(&dir.url("?busy_timeout=60s")).await.unwrap();
        let start = Instant::now();
        assert!(drop_after(20, slow.begin()).await.is_none());
        slow.settle().await;
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(slow.status(), Status::Idle);
        let begun = tokio::spawn({
            let slow = slow.clone();
            async move { slow.begin().await }
        });
        tokio::time::sleep(Duration::from_millis(30)).await;
        other.execute_batch("ROLLBACK").unwrap();
        begun.await.unwrap().unwrap();
        slow.exec("INSERT INTO t VALUES (1)").await.unwrap();
        slow.commit().await.unwrap();
    });
}

#[test]
fn connect_timeout_covers_the_wait_for_a_file_that_others_have_locked() {
    on_both(|| async {
        let dir = TempDir::new();
        connect(&dir.url("")).await.unwrap().exec("CREATE TABLE t (a)").await.unwrap();
        let other = rusqlite::Connection::open(dir.file("test.db")).unwrap();
        other.execute_batch("PRAGMA locking_mode = exclusive; BEGIN EXCLUSIVE").unwrap();
        let url = dir.url("?busy_timeout=60s&connect_timeout=300ms").parse().unwrap();
        let db = Pool::new(PoolConfig::from_url(&Sqlite, &url, |_| ()).unwrap()).unwrap();
        let start = Instant::now();
        let error = db.connect().await.unwrap_err();
        let file = dir.file("test.db");
        let says = format!("connecting to {} took longer than connect_timeout, 0.3 s", file.display());
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::ConnectTimeout, says));
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(db.status().size, 0);
        drop(other);
        assert_eq!(db.fetch_val::<i64>("SELECT count(*) FROM t", ()).await.unwrap(), 0);
    });
}

#[tokio::test]
async fn a_full_disk_ends_the_transaction_and_the_status_says_so() {
    let dir = TempDir::new();
    let db = connect(&dir.url("")).await.unwrap();
    db.exec("CREATE TABLE t (a)").await.unwrap();
    db.exec("PRAGMA max_page_count = 12").await.unwrap();
    db.begin().await.unwrap();
    let insert = || db.exec_with("INSERT INTO t VALUES (:a)", params! { a: vec![0u8; 20_000] });
    let error = loop {
        if let Err(error) = insert().await {
            break error;
        }
    };
    assert_eq!((error.kind(), db.status()), (ErrorKind::StorageFull, Status::Idle));
    assert_eq!(db.commit().await.unwrap_err().kind(), ErrorKind::TransactionEnded);
    assert_eq!(db.int("SELECT count(*) FROM t").await.unwrap(), 0);
    // The permit is free again.
    connect(&dir.url("")).await.unwrap().exec("INSERT INTO t VALUES (1)").await.unwrap();
}

#[tokio::test]
async fn a_full_disk_ends_the_transaction_of_a_handle_and_nothing_follows_it() {
    let dir = TempDir::new();
    let mut config = PoolConfig::from_url(&Sqlite, &dir.url("").parse().unwrap(), |_| ()).unwrap();
    config.after_connect =
        Some(Arc::new(|conn| Box::pin(async move { conn.execute("PRAGMA max_page_count = 12", ()).await.map(drop) })));
    let db = Pool::new(config).unwrap();
    db.execute("CREATE TABLE t (a)", ()).await.unwrap();
    let insert = |bytes: usize| ("INSERT INTO t VALUES (:a)", params! { a: vec![0u8; bytes] });
    let kind = |outcome: Result<ExecResult>| outcome.unwrap_err().kind();

    let tx = db.begin().await.unwrap();
    let (sql, small) = insert(1);
    tx.execute(sql, small).await.unwrap();
    let (sql, large) = insert(100_000);
    assert_eq!(kind(tx.execute(sql, large).await), ErrorKind::StorageFull);
    // It would fit, and be committed on its own.
    let (sql, small) = insert(1);
    assert_eq!(kind(tx.execute(sql, small).await), ErrorKind::TransactionEnded);
    assert_eq!(tx.commit().await.unwrap_err().kind(), ErrorKind::TransactionEnded);
    let count = async || db.fetch_val::<i64>("SELECT count(*) FROM t", ()).await.unwrap();
    assert_eq!(count().await, 0);

    let retried = TransactionOptions::new().retry(3);
    let runs = AtomicU32::new(0);
    let whole = async |tx: &Transaction| {
        runs.fetch_add(1, Ordering::Relaxed);
        let (sql, small) = insert(1);
        tx.execute(sql, small).await?;
        let (sql, large) = insert(100_000);
        tx.execute(sql, large).await
    };
    assert_eq!(kind(db.transaction_with(retried, whole).await), ErrorKind::StorageFull);
    assert_eq!((runs.into_inner(), count().await), (1, 0), "there is no more room the next time");
    let (sql, large) = insert(100_000);
    assert_eq!(kind(db.execute(sql, large).await), ErrorKind::StorageFull);
    let (sql, small) = insert(1);
    db.execute(sql, small).await.unwrap();
    assert_eq!(count().await, 1);
    db.close().await.unwrap();
}

#[test]
fn many_connections_can_open_a_new_file_at_once() {
    on_both(|| async {
        let dir = TempDir::new();
        let connectors = [connector(&dir.url("")), connector(&dir.url(""))];
        let mut tasks = Vec::new();
        for index in 0..12 {
            let connector = connectors[index % 2].clone();
            tasks.push(tokio::spawn(async move {
                let db = connect_to(&*connector).await?;
                db.exec("CREATE TABLE IF NOT EXISTS t (a)").await?;
                db.exec("INSERT INTO t VALUES (1)").await
            }));
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(connect(&dir.url("")).await.unwrap().int("SELECT count(*) FROM t").await.unwrap(), 12);
    });
}

#[tokio::test]
async fn a_read_that_turns_out_to_write_waits_for_its_turn() {
    let dir = TempDir::new();
    let connector = connector_with(&dir.url(""), &patient(Duration::from_millis(100))).unwrap();
    let a = connect_to(&*connector).await.unwrap();
    let b = connect_to(&*connector).await.unwrap();
    a.exec("CREATE TABLE t (a)").await.unwrap();
    a.begin().await.unwrap();
    // The template says that this reads; SQLite knows better.
    let mut lie = request("INSERT INTO t VALUES (1)", params! {});
    lie.template = request("SELECT 1", params! {}).template;
    let error = b.run(lie.clone(), &mut common::Collect::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PoolTimeout);
    a.commit().await.unwrap();
    let done = b.run(lie, &mut common::Collect::default()).await.unwrap();
    assert_eq!((done.rows_affected(), done.last_insert_id()), (0, None));
    assert_eq!(a.int("SELECT count(*) FROM t").await.unwrap(), 1);
}

/// What a process that is killed leaves behind; run by the test below in a process of its own.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Ok(url) = std::env::var("DATABASES_SQLITE_CHILD") else { return };
    on_both(|| async {
        let db = connect(&url).await.unwrap();
        for n in 0..i64::MAX {
            db.begin().await.unwrap();
            db.exec_with("INSERT INTO t VALUES (:n)", params! { n }).await.unwrap();
            db.exec_with("INSERT INTO t VALUES (-:n)", params! { n }).await.unwrap();
            db.commit().await.unwrap();
            println!("acknowledged {n}");
        }
    });
}

#[tokio::test]
async fn a_killed_process_leaves_whole_transactions_and_all_that_were_acknowledged() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    for round in 0..5u64 {
        let dir = TempDir::new();
        connect(&dir.url("")).await.unwrap().exec("CREATE TABLE t (n INT)").await.unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_writes_until_it_is_killed", "--nocapture"])
            .env("DATABASES_SQLITE_CHILD", dir.url(""))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let number = |line: &str| line.split_once("acknowledged ").and_then(|(_, n)| n.trim().parse::<i64>().ok());
        let mut last = -1;
        while last < 20 {
            last = number(&lines.next().unwrap().unwrap()).unwrap_or(last);
        }
        tokio::time::sleep(Duration::from_millis(round * 7)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        last = lines.map_while(Result::ok).filter_map(|line| number(&line)).last().unwrap_or(last);
        let db = connect(&dir.url("")).await.unwrap();
        assert_eq!(db.text("PRAGMA integrity_check").await.unwrap(), "ok");
        assert_eq!(db.int("SELECT count(*) % 2 + sum(n) FROM t").await.unwrap(), 0);
        assert!(db.int("SELECT max(n) FROM t").await.unwrap() >= last);
    }
}
