//! `iterate`.

use futures_util::StreamExt as _;

use super::{Fixture, fails};
use crate::database::Pool;
use crate::error::{ErrorKind, Result};
use crate::executor::Executor;
use crate::params;
use crate::row::Row;

/// A table of `n` rows with `id`s from 0.
async fn many(f: &Fixture, db: &Pool, n: i64) -> Result<String> {
    let t = f.notes(db).await?;
    let insert = format!("INSERT INTO {t} (id, body) VALUES (:id, :body)");
    db.execute_many(insert, (0..n).map(|id| params! { id, body: format!("row {id}") })).await?;
    Ok(t)
}

pub async fn iterate_gives_10_000_rows_in_order(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = many(f, &db, 10_000).await?;
    let sql = format!("SELECT id, body FROM {t} ORDER BY id");
    let mut rows = db.iterate::<(i64, String)>(&sql, ());
    let mut expected = 0;
    while let Some(row) = rows.next().await {
        assert_eq!(row?, (expected, format!("row {expected}")));
        expected += 1;
    }
    assert_eq!(expected, 10_000);
    assert!(rows.next().await.is_none(), "a stream that has ended stays at its end");
    Ok(())
}

pub async fn iterate_takes_parameters_and_may_be_empty(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = many(f, &db, 3).await?;
    let sql = format!("SELECT body FROM {t} WHERE id = :id");
    // Query and parameters are taken over before `iterate` returns.
    let mut rows = {
        let text = sql.clone();
        let id = 2;
        db.iterate::<(String,)>(&text, params! { id: &id })
    };
    assert_eq!(rows.next().await.expect("a row")?.0, "row 2");
    assert!(rows.next().await.is_none());
    assert!(db.iterate::<Row>(&sql, params! { id: 99 }).next().await.is_none());
    Ok(())
}

pub async fn iterate_reports_errors_as_an_item(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = many(f, &db, 3).await?;
    for (sql, kind) in [
        (format!("SELECT id FROM {t} WHERE id = :id"), ErrorKind::Parameters),
        (format!("SELECT id FROM {t}_missing"), ErrorKind::UndefinedTable),
    ] {
        let mut rows = db.iterate::<(i64,)>(&sql, ());
        fails(rows.next().await.expect("an error is an item"), kind);
        assert!(rows.next().await.is_none(), "nothing comes behind an error");
    }
    // A row that does not fit is an error of this row alone.
    let sql = format!("SELECT body FROM {t} ORDER BY id");
    let rows: Vec<Result<(i64,)>> = db.iterate::<(i64,)>(&sql, ()).collect().await;
    assert_eq!(rows.len(), 3);
    assert!(rows.into_iter().all(|row| fails(row, ErrorKind::Decode).to_string().contains("`body`")));
    Ok(())
}

pub async fn iterate_sends_nothing_before_the_first_poll(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    let insert = format!("INSERT INTO {t} (id, body) VALUES (1, 'a')");
    drop(db.iterate::<Row>(&insert, ()));
    assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await?, 0);
    Ok(())
}

pub async fn iterate_dropped_early_leaves_a_pool_of_one_usable(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = many(f, &db, 10_000).await?;
    for taken in [1, 5, 3_000] {
        let sql = format!("SELECT id FROM {t} ORDER BY id");
        let mut rows = db.iterate::<(i64,)>(&sql, ());
        for expected in 0..taken {
            assert_eq!(rows.next().await.expect("a row")?, (expected,));
        }
        drop(rows);
        assert_eq!(db.fetch_val::<i64>("SELECT :n", params! { n: taken }).await?, taken);
    }
    Ok(())
}

pub async fn iterate_dropped_early_leaves_the_transaction_usable(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = many(f, &db, 10_000).await?;
    let tx = db.begin().await?;
    tx.execute(format!("UPDATE {t} SET body = 'changed' WHERE id = 7"), ()).await?;
    let sql = format!("SELECT id FROM {t} ORDER BY id");
    let mut rows = tx.iterate::<(i64,)>(&sql, ());
    assert_eq!(rows.next().await.expect("a row")?, (0,));
    drop(rows);
    let body: String = tx.fetch_val(format!("SELECT body FROM {t} WHERE id = 7"), ()).await?;
    assert_eq!(body, "changed");
    tx.commit().await?;
    let body: String = db.fetch_val(format!("SELECT body FROM {t} WHERE id = 7"), ()).await?;
    assert_eq!(body, "changed");
    Ok(())
}

pub async fn an_open_stream_makes_its_handle_busy(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = many(f, &db, 2_000).await?;
    let conn = db.acquire().await?;
    let sql = format!("SELECT id FROM {t} ORDER BY id");
    let mut rows = conn.iterate::<(i64,)>(&sql, ());
    assert_eq!(rows.next().await.expect("a row")?, (0,));
    fails(conn.execute("SELECT 1", ()).await, ErrorKind::Busy);
    fails(conn.begin().await, ErrorKind::Busy);
    assert_eq!(rows.next().await.expect("a row")?, (1,), "the stream itself goes on");
    drop(rows);
    assert_eq!(conn.fetch_val::<i64>("SELECT 1", ()).await?, 1);
    Ok(())
}

pub async fn a_stream_on_a_pool_leaves_other_connections_to_others(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(2))?;
    let t = many(f, &db, 2_000).await?;
    let sql = format!("SELECT id FROM {t} ORDER BY id");
    let mut rows = db.iterate::<(i64,)>(&sql, ());
    rows.next().await.expect("a row")?;
    assert_eq!(db.fetch_val::<i64>("SELECT :n", params! { n: 5 }).await?, 5);
    assert_eq!(rows.count().await, 1_999);
    Ok(())
}
