//! `max_rows` and `max_bytes`: a result that is collected as a whole has a size.

use std::time::{Duration, Instant};

use super::transactions::{ids, insert};
use super::{Fixture, fails};
use crate::database::Pool;
use crate::error::{Effect, ErrorKind, Result};
use crate::executor::Executor;
use crate::params;
use crate::query::sql;
use crate::row::Row;

/// A table of `n` rows with `id`s from 0.
async fn filled(f: &Fixture, db: &Pool, n: i64) -> Result<String> {
    let t = f.notes(db).await?;
    for id in 0..n {
        insert(db, &t, id).await?;
    }
    Ok(t)
}

pub async fn a_result_of_more_rows_than_max_rows_is_an_error(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| (options.max_connections, options.max_rows) = (Some(1), Some(3)))?;
    let t = filled(f, &db, 4).await?;
    let all = format!("SELECT id, body FROM {t}");
    let error = fails(db.fetch_all::<Row>(&all, ()).await, ErrorKind::LimitExceeded);
    assert!(error.to_string().contains("max_rows, which is 3"), "{error}");
    assert_eq!(db.fetch_all::<Row>(format!("{all} WHERE id = :id"), params! { id: 2 }).await?.len(), 1);
    // Only what is kept as a whole has a limit.
    assert_eq!(db.fetch_val::<i64>(&all, ()).await?, 0);
    db.execute(&all, ()).await?;
    db.execute(format!("DELETE FROM {t} WHERE id = 0"), ()).await?;
    assert_eq!(db.fetch_all::<Row>(&all, ()).await?.len(), 3, "as many as the limit are no more than it");
    Ok(())
}

pub async fn a_result_of_more_bytes_than_max_bytes_is_an_error(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| (options.max_connections, options.max_bytes) = (Some(1), Some(10_000)))?;
    let t = f.notes(&db).await?;
    let add = format!("INSERT INTO {t} (id, body) VALUES (:id, :body)");
    for id in 0..9 {
        db.execute(&add, params! { id, body: "x".repeat(1000) }).await?;
    }
    let all = format!("SELECT id, body FROM {t}");
    assert_eq!(db.fetch_all::<Row>(&all, ()).await?.len(), 9);
    db.execute(&add, params! { id: 9, body: "x".repeat(1000) }).await?;
    let error = fails(db.fetch_all::<Row>(&all, ()).await, ErrorKind::LimitExceeded);
    assert!(error.to_string().contains("max_bytes, which is 10000"), "{error}");
    // NULL counts too, so that there is no result without a size.
    db.execute(format!("UPDATE {t} SET body = NULL"), ()).await?;
    let nulls = format!("SELECT body FROM {t}");
    assert_eq!(db.fetch_all::<Row>(sql(&nulls).max_bytes(80), ()).await?.len(), 10);
    fails(db.fetch_all::<Row>(sql(&nulls).max_bytes(79), ()).await, ErrorKind::LimitExceeded);
    Ok(())
}

pub async fn the_limits_of_a_query_go_before_those_of_the_pool(f: &Fixture) -> Result<()> {
    let db = f.pool_url(|url| Ok(url.with_option("max_rows", "2")?.with_option("max_bytes", "1000000")?))?;
    let t = filled(f, &db, 4).await?;
    let all = format!("SELECT id, body FROM {t}");
    fails(db.fetch_all::<Row>(&all, ()).await, ErrorKind::LimitExceeded);
    assert_eq!(db.fetch_all::<Row>(sql(&all).max_rows(4), ()).await?.len(), 4);
    assert_eq!(db.fetch_all::<Row>(sql(&all).max_rows(usize::MAX), ()).await?.len(), 4);
    fails(db.fetch_all::<Row>(sql(&all).max_rows(4).max_bytes(3), ()).await, ErrorKind::LimitExceeded);
    let none = sql(format!("SELECT id FROM {t} WHERE id = 9")).max_rows(0).max_bytes(0);
    assert!(db.fetch_all::<Row>(none, ()).await?.is_empty());
    Ok(())
}

pub async fn a_result_that_is_too_large_is_stopped_and_not_read_to_its_end(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = filled(f, &db, 32).await?;
    // A thousand million rows.
    let endless = format!("SELECT a.id FROM {t} a, {t} b, {t} c, {t} d, {t} e, {t} g");
    let started = Instant::now();
    let error = fails(db.fetch_all::<Row>(sql(&endless).max_rows(1000), ()).await, ErrorKind::LimitExceeded);
    assert_eq!(error.effect(), Effect::RolledBack);
    for n in 0..10 {
        assert_eq!(db.fetch_val::<i64>("SELECT :n", params! { n }).await?, n, "the next statements are unharmed");
    }
    let conn = db.acquire().await?;
    fails(conn.fetch_all::<Row>(sql(&endless).max_bytes(10_000), ()).await, ErrorKind::LimitExceeded);
    assert_eq!(conn.fetch_val::<i64>("SELECT 1", ()).await?, 1);
    drop(conn);
    if f.capabilities().transactions {
        let tx = db.begin().await?;
        fails(tx.fetch_all::<Row>(sql(&endless).max_rows(1000), ()).await, ErrorKind::LimitExceeded);
        tx.rollback().await?;
    }
    assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await?, 1);
    assert!(started.elapsed() < Duration::from_secs(30));
    Ok(())
}

pub async fn a_limit_in_a_transaction_leaves_it_to_be_rolled_back(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = filled(f, &db, 2).await?;
    let tx = db.begin().await?;
    insert(&tx, &t, 2).await?;
    let all = sql(format!("SELECT id, body FROM {t}"));
    fails(tx.fetch_all::<Row>(all.max_rows(1), ()).await, ErrorKind::LimitExceeded);
    tx.rollback().await?;
    assert_eq!(ids(&db, &t).await?, [0, 1]);
    Ok(())
}

pub async fn a_write_that_returns_too_much_is_done_and_says_so(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    if !f.capabilities().returning && f.product(&db).await? != "MariaDB" {
        f.not_claimed("RETURNING");
        return Ok(());
    }
    let t = f.notes(&db).await?;
    let add = sql(format!("INSERT INTO {t} (id, body) VALUES (0, 'x'), (1, 'y') RETURNING id")).max_rows(1);
    let error = fails(db.fetch_all::<Row>(add, ()).await, ErrorKind::LimitExceeded);
    assert_eq!(error.effect(), Effect::Applied);
    assert_eq!(ids(&db, &t).await?, [0, 1]);
    Ok(())
}
