//! Lists in SQL text.

use super::{Fixture, fails};
use crate::database::Pool;
use crate::error::{ErrorKind, Result};
use crate::executor::Executor;
use crate::params;
use crate::params::Params;
use crate::sequence::list;

async fn rows(f: &Fixture, db: &Pool) -> Result<String> {
    let t = f.notes(db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, 'a'), (2, 'b'), (3, 'c'), (NULL, 'd')"), ()).await?;
    Ok(t)
}

async fn bodies(db: &Pool, t: &str, condition: &str, params: Params<'_>) -> Result<String> {
    let sql = format!("SELECT body FROM {t} WHERE {condition} ORDER BY body");
    let rows: Vec<(String,)> = db.fetch_all(sql, params).await?;
    Ok(rows.into_iter().map(|(body,)| body).collect())
}

pub async fn a_list_stands_behind_in(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = rows(f, &db).await?;
    for (condition, expected) in
        [("id IN (:ids)", "ac"), ("id IN :ids", "ac"), ("id NOT IN (:ids)", "b"), ("id in ( :ids )", "ac")]
    {
        assert_eq!(bodies(&db, &t, condition, params! { ids: list([1, 3, 7]) }).await?, expected, "{condition}");
        assert_eq!(bodies(&db, &t, condition, params! { ids: vec![1, 3, 7] }).await?, expected, "{condition}");
    }
    assert_eq!(bodies(&db, &t, "body IN (:of)", params! { of: list(["a", "it's", "d"]) }).await?, "ad");
    assert_eq!(bodies(&db, &t, "id IN (2, :ids)", params! { ids: list([1, 3]) }).await?, "abc");
    assert_eq!(bodies(&db, &t, "id IN (:ids)", params! { ids: list([2]) }).await?, "b");
    Ok(())
}

pub async fn an_empty_list_matches_nothing_and_not_in_everything(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = rows(f, &db).await?;
    let none = || params! { ids: list(Vec::<i64>::new()) };
    assert_eq!(bodies(&db, &t, "id IN (:ids)", none()).await?, "");
    // Also where the left side is NULL, as in row `d`.
    assert_eq!(bodies(&db, &t, "id NOT IN (:ids)", none()).await?, "abcd");
    assert_eq!(bodies(&db, &t, "NOT (id IN (:ids))", none()).await?, "abcd");
    Ok(())
}

pub async fn null_in_a_list_compares_as_sql_says(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = rows(f, &db).await?;
    let ids = || params! { ids: list([Some(1), None]) };
    assert_eq!(bodies(&db, &t, "id IN (:ids)", ids()).await?, "a");
    assert_eq!(bodies(&db, &t, "id NOT IN (:ids)", ids()).await?, "");
    Ok(())
}

pub async fn lists_of_many_lengths_work_one_after_the_other(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = rows(f, &db).await?;
    for len in [1, 2, 5, 100, 2_000, 3, 0, 1] {
        let found = bodies(&db, &t, "id IN (:ids)", params! { ids: list(1..=len) }).await?;
        assert_eq!(found.len() as i64, len.min(3), "{len}");
    }
    Ok(())
}

pub async fn a_list_of_pairs_stands_behind_in(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = rows(f, &db).await?;
    let sql = "(id, body) IN (:pairs)";
    // SQLite takes a list of row values only as VALUES.
    let pairs = || params! { pairs: list([(1, "a"), (2, "x"), (3, "c")]) };
    assert_eq!(bodies(&db, &t, sql, pairs()).await?, "ac");
    Ok(())
}

pub async fn a_list_of_tuples_stands_behind_values(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let insert = format!("INSERT INTO {t} (id, body) VALUES :rows");
    let rows = list([(1, Some("a")), (2, None), (3, Some("c"))]);
    assert_eq!(db.execute(&insert, params! { rows }).await?.rows_affected(), 3);
    let read: Vec<(i64, Option<String>)> = db.fetch_all(format!("SELECT id, body FROM {t} ORDER BY id"), ()).await?;
    assert_eq!(read, [(1, Some("a".into())), (2, None), (3, Some("c".into()))]);
    fails(db.execute(&insert, params! { rows: list(Vec::<(i64, &str)>::new()) }).await, ErrorKind::Parameters);
    Ok(())
}

pub async fn a_list_in_another_place_is_an_error(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = rows(f, &db).await?;
    let sql = format!("SELECT body FROM {t} WHERE id = :ids");
    fails(db.fetch_all::<(String,)>(&sql, params! { ids: list([1, 2]) }).await, ErrorKind::Parameters);
    let ragged = params! { rows: list([vec![1, 2], vec![3]]) };
    let result = db.execute(format!("INSERT INTO {t} (id, body) VALUES :rows"), ragged).await;
    fails(result, ErrorKind::Parameters);
    Ok(())
}

pub async fn a_vec_is_an_array_where_the_server_has_arrays(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = rows(f, &db).await?;
    let sql = "id = ANY(:ids)";
    let ids = params! { ids: vec![1, 3] };
    if f.capabilities().arrays {
        assert_eq!(bodies(&db, &t, sql, ids).await?, "ac");
        assert_eq!(bodies(&db, &t, sql, params! { ids: Vec::<i64>::new() }).await?, "");
        let texts: crate::Value = db.fetch_val("SELECT :v", params! { v: vec!["a", "b"] }).await?;
        assert_eq!(texts.kind(), crate::ValueKind::Array);
    } else {
        fails(bodies(&db, &t, sql, ids).await, ErrorKind::Parameters);
    }
    Ok(())
}
