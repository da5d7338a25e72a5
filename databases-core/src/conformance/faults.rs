//! What networks and servers do to connections, and what callers are told about it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;

use super::proxy::{Action, At, Direction, End, Message, Mode, Proxy};
use super::transactions::{ids, insert};
use super::{Fixture, fails};
use crate::database::Pool;
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::options::{PoolOptions, TransactionOptions};
use crate::params;
use crate::query::sql;
use crate::transaction::Transaction;

/// Long enough for a loaded machine, and far from the length of what would never end.
const SOON: Duration = Duration::from_secs(10);

/// A pool of one connection through a proxy.
pub(super) async fn behind_proxy(f: &Fixture, adjust: impl FnOnce(&mut PoolOptions)) -> Result<Option<(Proxy, Pool)>> {
    let Some(proxy) = f.proxy().await? else {
        f.not_claimed("what networks do to connections");
        return Ok(None);
    };
    let options = |options: &mut PoolOptions| {
        options.max_connections = Some(1);
        adjust(options);
    };
    let db = f.pool_config(&proxy.url(f.url())?, options, |_| {})?;
    Ok(Some((proxy, db)))
}

fn is_commit(message: &Message<'_>) -> bool {
    message.direction == Direction::Up && message.holds("COMMIT")
}

/// A statement whose connection broke was not run, or may have been; it says which.
#[track_caller]
fn lost(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error:?}");
    assert!(!error.is_retryable(), "{error:?}");
}

/// Runs a statement, or finds out first that the connection has been lost.
async fn recovers(db: &Pool) -> Result<()> {
    if let Err(error) = db.fetch_val::<i64>("SELECT 0", ()).await {
        lost(&error);
    }
    for n in 0..3 {
        assert_eq!(db.fetch_val::<i64>("SELECT :n", params! { n }).await?, n);
    }
    Ok(())
}

pub async fn a_result_cut_at_any_byte_is_an_error_and_never_a_short_one(f: &Fixture) -> Result<()> {
    let Some((proxy, db)) = behind_proxy(f, |_| {}).await? else { return Ok(()) };
    let rows = "SELECT 'some text' AS a UNION ALL SELECT 'more text' UNION ALL SELECT 'the last of it'";
    let read = async |stream: bool| -> Result<usize> {
        if !stream {
            return Ok(db.fetch_all::<(String,)>(rows, ()).await?.len());
        }
        let mut stream = db.iterate::<(String,)>(rows, ());
        let mut count = 0;
        while let Some(row) = stream.next().await {
            row?;
            count += 1;
        }
        Ok(count)
    };
    read(false).await?;
    let _ = proxy.take_traffic();
    read(false).await?;
    let length = proxy.take_traffic().bytes_down;
    assert!((50..500).contains(&length), "{length}");
    for cut in 0..length {
        let (how, stream) = ([End::Fin, End::Rst][cut % 2], cut % 3 == 0);
        // The statement is prepared already.
        assert_eq!(read(false).await?, 3);
        proxy.when(At::bytes(Direction::Down, cut.max(1)), Action::End(how));
        match read(stream).await {
            // Only what ends the exchange was cut off.
            Ok(count) => assert_eq!(count, 3, "cut at {cut} of {length}"),
            Err(error) => lost(&error),
        }
        recovers(&db).await?;
        assert!(proxy.has_fired());
    }
    Ok(())
}

pub async fn a_write_cut_at_any_byte_tells_whether_it_may_have_been_done(f: &Fixture) -> Result<()> {
    let Some((proxy, db)) = behind_proxy(f, |_| {}).await? else { return Ok(()) };
    let observer = f.pool()?;
    let t = f.notes(&observer).await?;
    insert(&db, &t, -2).await?;
    let _ = proxy.take_traffic();
    insert(&db, &t, -1).await?;
    let traffic = proxy.take_traffic();
    let mut outcomes = Vec::new();
    for (direction, length) in [(Direction::Up, traffic.bytes_up), (Direction::Down, traffic.bytes_down)] {
        for cut in 1..length {
            let id = outcomes.len() as i64;
            insert(&db, &t, -3).await?;
            proxy.when(At::bytes(direction, cut), Action::End([End::Fin, End::Rst][cut % 2]));
            let outcome = insert(&db, &t, id).await;
            if let Err(error) = &outcome {
                lost(error);
            }
            outcomes.push((outcome.map_err(|error| error.effect()), direction, cut));
            recovers(&db).await?;
        }
    }
    // Whatever still ran at the server is done by now, or soon.
    db.close().await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let found = ids(&observer, &t).await?;
    for (id, (outcome, direction, cut)) in outcomes.iter().enumerate() {
        let landed = found.iter().filter(|found| **found == id as i64).count();
        let place = format!("{direction:?}, cut at {cut}: {outcome:?}");
        match outcome {
            Ok(()) => assert_eq!(landed, 1, "{place}"),
            Err(Effect::NotSent | Effect::RolledBack) => assert_eq!(landed, 0, "{place}"),
            Err(_) => assert!(landed <= 1, "{place}"),
        }
    }
    Ok(())
}

pub async fn a_connection_lost_at_commit_has_an_unknown_outcome(f: &Fixture) -> Result<()> {
    let Some((proxy, db)) = behind_proxy(f, |_| {}).await? else { return Ok(()) };
    let observer = f.pool()?;
    let t = f.notes(&observer).await?;
    for (id, how, landed) in [(1, End::Fin, true), (2, End::Rst, true), (3, End::Fin, false), (4, End::Rst, false)] {
        let at = if landed { At::after(is_commit) } else { At::before(is_commit) };
        proxy.when(at, Action::End(how));
        let runs = AtomicU32::new(0);
        let outcome = db.transaction_with(TransactionOptions::new().retry(3), async |tx: &Transaction| {
            runs.fetch_add(1, Ordering::Relaxed);
            insert(tx, &t, id).await
        });
        let error = fails(outcome.await, ErrorKind::CommitOutcomeUnknown);
        assert_eq!((error.effect(), error.is_retryable()), (Effect::Unknown, false), "{error:?}");
        assert_eq!(runs.into_inner(), 1, "it is never run again");
        recovers(&db).await?;
        let started = Instant::now();
        while ids(&observer, &t).await?.contains(&id) != landed {
            assert!(started.elapsed() < SOON, "{id}: a COMMIT that was passed on is done, and no other");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}

pub async fn a_commit_that_is_not_answered_has_an_unknown_outcome(f: &Fixture) -> Result<()> {
    let limits = |options: &mut PoolOptions| {
        options.statement_timeout = Some(Duration::from_millis(300));
        options.close_timeout = Duration::from_millis(500);
    };
    let Some((proxy, db)) = behind_proxy(f, limits).await? else { return Ok(()) };
    let observer = f.pool()?;
    let t = f.notes(&observer).await?;
    let tx = db.begin().await?;
    insert(&tx, &t, 1).await?;
    proxy.when(At::after(is_commit), Action::Switch(Mode::Hold));
    let started = Instant::now();
    let error = fails(tx.commit().await, ErrorKind::CommitOutcomeUnknown);
    let says = "COMMIT was not answered within statement_timeout, 0.3 s: it may have been done";
    assert_eq!(error.to_string(), says);
    assert!(started.elapsed() < SOON);
    proxy.set(Mode::Pass);
    recovers(&db).await?;
    assert_eq!(ids(&observer, &t).await?, [1], "it was done");

    let tx = db.begin().await?;
    insert(&tx, &t, 2).await?;
    proxy.set(Mode::Hold);
    let error = fails(tx.rollback().await, ErrorKind::Disconnected);
    let says = "ROLLBACK was not answered within close_timeout, 0.5 s: the connection is given up";
    assert_eq!(error.to_string(), says);
    proxy.set(Mode::Pass);
    recovers(&db).await?;
    assert_eq!(ids(&observer, &t).await?, [1], "it was undone");
    Ok(())
}

pub async fn a_connection_lost_in_a_transaction_ends_it(f: &Fixture) -> Result<()> {
    let Some((proxy, db)) = behind_proxy(f, |_| {}).await? else { return Ok(()) };
    let observer = f.pool()?;
    let t = f.notes(&observer).await?;
    for how in [End::Fin, End::Rst, End::HalfClose] {
        let tx = db.begin().await?;
        insert(&tx, &t, 1).await?;
        let nested = tx.begin().await?;
        insert(&nested, &t, 2).await?;
        proxy.end(how);
        // It takes a moment to get about.
        let mut next = 3..;
        let error = loop {
            if let Err(error) = insert(&nested, &t, next.next().unwrap_or_default()).await {
                break error;
            }
        };
        lost(&error);
        fails(nested.commit().await, ErrorKind::Disconnected);
        let error = fails(tx.commit().await, ErrorKind::Disconnected);
        assert_eq!(error.effect(), Effect::NotSent, "{error:?}");
        recovers(&db).await?;
        assert_eq!(ids(&db, &t).await?, [0_i64; 0]);
    }
    Ok(())
}

pub async fn a_stalled_network_costs_a_statement_its_timeout_and_no_more(f: &Fixture) -> Result<()> {
    let limits = |options: &mut PoolOptions| {
        (options.close_timeout, options.connect_timeout) = (Duration::from_millis(300), Duration::from_millis(500));
        options.acquire_timeout = SOON;
    };
    let Some((proxy, db)) = behind_proxy(f, limits).await? else { return Ok(()) };
    for mode in [Mode::Stall, Mode::Blackhole] {
        db.fetch_val::<i64>("SELECT 1", ()).await?;
        proxy.set(mode);
        let started = Instant::now();
        let call = sql("SELECT 1").timeout(Duration::from_millis(200));
        fails(db.fetch_val::<i64>(call, ()).await, ErrorKind::StatementTimeout);
        assert!(started.elapsed() < SOON / 3, "{mode:?}: {:?}", started.elapsed());
        while db.status().in_use > 0 || db.status().size > 0 {
            assert!(started.elapsed() < SOON / 2, "{mode:?}: the place comes back: {:?}", db.status());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // What a blackhole has swallowed does not come again.
        proxy.end(End::Rst);
        proxy.set(Mode::Pass);
        assert_eq!(db.fetch_val::<i64>("SELECT 2", ()).await?, 2, "{mode:?}");
    }
    Ok(())
}

pub async fn a_server_that_takes_connections_and_says_nothing_is_not_waited_for(f: &Fixture) -> Result<()> {
    let limit = Duration::from_millis(300);
    let Some((proxy, db)) = behind_proxy(f, |options| options.connect_timeout = limit).await? else { return Ok(()) };
    // The whole handshake has one limit, however often something comes.
    let drip = Mode::Drip { bytes: 1, every: Duration::from_millis(30) };
    for mode in [Mode::Stall, Mode::Blackhole, drip] {
        proxy.set(mode);
        let started = Instant::now();
        let error = fails(db.connect().await, ErrorKind::ConnectTimeout);
        assert_eq!(error.to_string(), "connecting to 127.0.0.1 took longer than connect_timeout, 0.3 s");
        assert!((limit..SOON / 3).contains(&started.elapsed()), "{mode:?}: {:?}", started.elapsed());
        assert_eq!(db.status().size, 0);
    }
    proxy.set(Mode::Pass);
    db.connect().await
}

pub async fn a_slow_network_changes_nothing(f: &Fixture) -> Result<()> {
    let Some((proxy, db)) = behind_proxy(f, |_| {}).await? else { return Ok(()) };
    let piece = Mode::Drip { bytes: 7, every: Duration::from_millis(1) };
    for mode in [Mode::SLICE, piece, Mode::Delay(Duration::from_millis(2))] {
        proxy.end(End::Fin);
        proxy.set(mode);
        recovers(&db).await?;
        let t = f.notes(&db).await?;
        let rows = (0..20).map(|id| params! { id, body: "x".repeat(50) });
        db.execute_many(format!("INSERT INTO {t} (id, body) VALUES (:id, :body)"), rows).await?;
        assert_eq!(ids(&db, &t).await?, (0..20).collect::<Vec<_>>());
        let query = format!("SELECT id, body FROM {t} ORDER BY id");
        let read: Vec<Result<(i64, String)>> = db.iterate(&query, ()).collect().await;
        assert_eq!(read.len(), 20);
        let tx = db.begin().await?;
        fails(tx.execute(format!("INSERT INTO {t}_missing VALUES (1)"), ()).await, ErrorKind::UndefinedTable);
        tx.rollback().await?;
    }
    Ok(())
}

pub async fn a_result_that_drips_is_not_waited_for_beyond_the_statement_timeout(f: &Fixture) -> Result<()> {
    let limits = |options: &mut PoolOptions| {
        (options.close_timeout, options.connect_timeout) = (Duration::from_millis(300), Duration::from_millis(500));
        options.acquire_timeout = SOON;
    };
    let Some((proxy, db)) = behind_proxy(f, limits).await? else { return Ok(()) };
    let limit = Duration::from_millis(300);
    let rows = || sql("SELECT 'some text' AS a UNION ALL SELECT 'more text'").timeout(limit);
    let read = async || db.fetch_all::<(String,)>(rows(), ()).await;
    assert_eq!(read().await?.len(), 2, "it is prepared, so what drips is its result");
    let drip = Mode::Drip { bytes: 1, every: Duration::from_millis(100) };
    proxy.when(At::before(|message| message.direction == Direction::Down), Action::Switch(drip));
    let started = Instant::now();
    fails(read().await, ErrorKind::StatementTimeout);
    // Something came all the time, and put nothing off.
    assert!((limit..SOON / 3).contains(&started.elapsed()), "{:?}", started.elapsed());
    assert!(proxy.has_fired());
    while db.status().in_use > 0 || db.status().size > 0 {
        assert!(started.elapsed() < SOON / 2, "the place comes back: {:?}", db.status());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    proxy.set(Mode::Pass);
    assert_eq!(read().await?.len(), 2);
    recovers(&db).await
}

/// Behind whatever ended or failed it: the handle knows, and the server is not asked.
pub async fn a_transaction_that_is_over_sends_nothing_more(f: &Fixture) -> Result<()> {
    let two = |options: &mut PoolOptions| options.max_connections = Some(2);
    let Some((proxy, db)) = behind_proxy(f, two).await? else { return Ok(()) };
    let t = f.keyed(&db).await?;
    let sends_nothing = async |tx: &Transaction, kind: ErrorKind| {
        // What has no answer, as the end of a prepared statement, may still be on its way.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let _ = proxy.take_traffic();
        let (sql, rows) = (format!("INSERT INTO {t} (id, n) VALUES (:id, 0)"), [params! { id: 8 }, params! { id: 9 }]);
        let error = fails(tx.execute(&sql, params! { id: 7 }).await, kind);
        assert_eq!(error.effect(), Effect::NotSent, "{error:?}");
        fails(tx.fetch_val::<i64>("SELECT 1", ()).await, kind);
        fails(tx.execute_many(&sql, rows).await, kind);
        fails(tx.begin().await, kind);
        assert_eq!(proxy.take_traffic().bytes_up, 0, "{kind:?}: the server is not asked");
    };

    let tx = db.begin().await?;
    let ended = if f.capabilities().error_fails_transaction {
        fails(
            tx.execute(format!("INSERT INTO {t} (id, n) VALUES (1, 0), (1, 0)"), ()).await,
            ErrorKind::UniqueViolation,
        );
        ErrorKind::TransactionFailed
    } else {
        let made = f.table("made");
        let created = tx.execute(format!("CREATE TABLE {made} (id {})", f.types.i64), ()).await;
        fails(created, ErrorKind::TransactionEnded);
        ErrorKind::TransactionEnded
    };
    sends_nothing(&tx, ended).await;
    fails(tx.commit().await, ended);

    db.execute(format!("INSERT INTO {t} (id, n) VALUES (1, 0), (2, 0)"), ()).await?;
    let update = async |tx: &Transaction, id: i64| {
        tx.execute(format!("UPDATE {t} SET n = n + 1 WHERE id = :id"), params! { id }).await
    };
    let (a, b) = (db.begin().await?, db.begin().await?);
    update(&a, 1).await?;
    update(&b, 2).await?;
    // Whoever is ended lets the other go on.
    let (of_a, of_b) = tokio::join!(update(&a, 2), update(&b, 1));
    let (lost, won, error) = match (of_a, of_b) {
        (Err(error), Ok(_)) => (a, b, error),
        (Ok(_), Err(error)) => (b, a, error),
        both => panic!("one of two gives way: {both:?}"),
    };
    assert_eq!(error.kind(), ErrorKind::Deadlock, "{error:?}");
    sends_nothing(&lost, ended).await;
    fails(lost.commit().await, ended);
    won.commit().await?;
    let rows: Vec<(i64, i64)> = db.fetch_all(format!("SELECT id, n FROM {t} ORDER BY id"), ()).await?;
    assert_eq!(rows, [(1, 1), (2, 1)]);
    Ok(())
}

pub async fn rows_that_have_come_are_not_held_back(f: &Fixture) -> Result<()> {
    let Some((proxy, db)) = behind_proxy(f, |_| {}).await? else { return Ok(()) };
    let query = "SELECT 'first' AS a UNION ALL SELECT 'second' UNION ALL SELECT 'third' UNION ALL SELECT 'last'";
    for first_run in [true, false] {
        // Nothing more comes behind the second row until both are read.
        let second = |message: &Message<'_>| message.direction == Direction::Down && message.holds("second");
        proxy.when(At::after(second), Action::Switch(Mode::Stall));
        let mut rows = db.iterate::<(String,)>(sql(query).timeout(SOON), ());
        for text in ["first", "second"] {
            assert_eq!(rows.next().await.expect("a row")?.0, text, "first run: {first_run}");
        }
        proxy.set(Mode::Pass);
        for text in ["third", "last"] {
            assert_eq!(rows.next().await.expect("a row")?.0, text);
        }
        assert!(rows.next().await.is_none());
    }
    Ok(())
}

pub async fn a_connection_that_was_closed_while_idle_is_replaced_unseen(f: &Fixture) -> Result<()> {
    let three = |options: &mut PoolOptions| options.max_connections = Some(3);
    let Some((proxy, db)) = behind_proxy(f, three).await? else { return Ok(()) };
    for how in [End::Fin, End::Rst] {
        let held = (db.acquire().await?, db.acquire().await?, db.acquire().await?);
        for conn in [&held.0, &held.1, &held.2] {
            conn.fetch_val::<i64>("SELECT 1", ()).await?;
        }
        drop(held);
        proxy.end(how);
        // Where the driver does not look at an idle connection, it is asked once it was idle for a second.
        let idle = if f.capabilities().notices_close { 50 } else { 1100 };
        tokio::time::sleep(Duration::from_millis(idle)).await;
        let (one, two, three) = (db.acquire().await?, db.acquire().await?, db.acquire().await?);
        for conn in [one, two, three] {
            assert_eq!(conn.fetch_val::<i64>("SELECT :n", params! { n: 5 }).await?, 5, "{how:?}");
        }
    }
    Ok(())
}

pub async fn a_prepared_statement_costs_one_round_trip(f: &Fixture) -> Result<()> {
    let Some((proxy, db)) = behind_proxy(f, |_| {}).await? else { return Ok(()) };
    let t = f.notes(&db).await?;
    for round in 0..2 {
        let _ = proxy.take_traffic();
        db.fetch_val::<i64>("SELECT :n", params! { n: 5 }).await?;
        insert(&db, &t, 1).await?;
        drop(db.acquire().await?);
        let trips = proxy.take_traffic().round_trips;
        assert!(round == 0 || trips == 2, "{trips} round trips for two statements");
    }
    Ok(())
}
