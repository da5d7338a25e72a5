//! Queries put together at run time.

use super::{Fixture, fails};
use crate::error::{Effect, ErrorKind, Result};
use crate::executor::{Executor, RawExecutor as _};
use crate::query::sql;
use crate::row::Row;
use crate::sql::DialectKind;
use crate::{ident, list, params};

pub async fn filters_orders_and_limits_are_pushed_as_they_are_asked_for(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let rows = [(1, "a"), (2, "b"), (3, "b"), (4, "c")];
    db.execute_many(
        sql("INSERT INTO ").push(ident(&t)).push(" (id, body) VALUES (:id, :body)"),
        rows.map(|(id, body)| params! { id, body }),
    )
    .await?;
    let find = async |body: Option<&str>, ids: Option<&[i64]>, descending: bool| {
        let mut query = sql("SELECT id FROM ").push(ident(&t)).push(" WHERE id < :below");
        if let Some(body) = body {
            query = query.push(" AND body = :body").bind("body", body);
        }
        if let Some(ids) = ids {
            query = query.push(" AND ").push(ident("id")).push(" IN (:ids)").bind("ids", list(ids.to_vec()));
        }
        query = query.push(" ORDER BY ").push(ident("id")).push(if descending { " DESC" } else { "" });
        let found: Vec<(i64,)> = db.fetch_all(&query.push(" LIMIT :n").bind("n", 3), params! { below: 9 }).await?;
        Ok::<_, crate::error::Error>(found.into_iter().map(|(id,)| id).collect::<Vec<_>>())
    };
    assert_eq!(find(None, None, false).await?, [1, 2, 3]);
    assert_eq!(find(Some("b"), None, true).await?, [3, 2]);
    assert_eq!(find(Some("b"), Some(&[3, 4]), true).await?, [3]);
    assert_eq!(find(None, Some(&[1, 4]), true).await?, [4, 1]);
    assert_eq!(find(None, Some(&[]), true).await?, [0_i64; 0]);
    Ok(())
}

pub async fn odd_names_are_quoted_and_come_back(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = format!("{} \"x`y':z.w", f.table("odd"));
    let names = ["a\"b", "c`d", ":e", "f.g", "h'; --", "Größe 名", "select", "back\\slash"];
    let columns = names.map(|name| sql("").push(ident(name)).push(" INTEGER"));
    let create = sql("CREATE TABLE ").push(ident(&t)).push(" (").push_joined(", ", columns).push(")");
    db.execute(&create, ()).await?;
    let insert = sql("INSERT INTO ")
        .push(ident(&t))
        .push(" (")
        .push_joined(", ", names.map(ident))
        .push(") VALUES (")
        .push_joined(", ", (0..names.len()).map(|n| sql(format!(":n{n}")).bind(format!("n{n}"), n as i64)))
        .push(")");
    assert_eq!(db.execute(insert, ()).await?.rows_affected(), 1);
    let row: Row = db.fetch_one(sql("SELECT * FROM ").push(ident(&t)), ()).await?;
    for (index, name) in names.into_iter().enumerate() {
        assert_eq!(row.get::<i64>(name)?, index as i64, "{name}");
    }
    let path = sql("SELECT ").push(ident([t.as_str(), "f.g"])).push(" FROM ").push(ident(&t));
    assert_eq!(db.fetch_val::<i64>(path, ()).await?, 3);
    db.execute(sql("DROP TABLE ").push(ident(&t)), ()).await?;
    Ok(())
}

pub async fn an_identifier_that_is_no_name_is_an_error_before_anything_is_sent(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let long = "x".repeat(65);
    let refused = async |query| {
        let error = fails(db.fetch_all::<Row>(query, ()).await, ErrorKind::Parameters);
        assert_eq!(error.effect(), Effect::NotSent, "{error:?}");
    };
    for name in ["", "a\0b"] {
        refused(sql("SELECT 1 AS ").push(ident(name))).await;
    }
    refused(sql("SELECT 'it is ").push(ident("x' OR 1 = 1 --")).push("'")).await;
    let longest = match f.kind() {
        DialectKind::Postgres => 63,
        DialectKind::MySql => 64,
        DialectKind::Sqlite => 65,
    };
    let name = &long[..longest];
    let row: Row = db.fetch_one(sql("SELECT 1 AS ").push(ident(name)), ()).await?;
    assert_eq!(row.get::<i64>(name)?, 1);
    if longest < long.len() {
        refused(sql("SELECT 1 AS ").push(ident(&long))).await;
    }
    Ok(())
}

pub async fn bound_values_stand_beside_those_of_the_call(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let insert =
        sql("INSERT INTO ").push(&t).push(" (id, body) VALUES (:id, :body)").bind_all(params! { body: "same" });
    assert_eq!(db.execute_many(&insert, (0..3_i64).map(|id| params! { id })).await?, 3);
    let twice = fails(db.execute(&insert, params! { id: 1, body: "other" }).await, ErrorKind::Parameters);
    assert_eq!(twice.to_string(), "the parameter `body` is given twice");
    fails(db.execute_many(&insert, [params! { id: 1, body: "other" }]).await, ErrorKind::Parameters);
    fails(db.execute(sql("SELECT 1").bind("spare", 1), ()).await, ErrorKind::Parameters);
    let rows = sql("INSERT INTO ").push(&t).push(" (id, body) VALUES :rows").bind("rows", list([(7, "x"), (8, "y")]));
    assert_eq!(db.execute(rows, ()).await?.rows_affected(), 2);
    let count = sql("SELECT count(*) FROM ").push(&t).push(" WHERE body = :body").bind("body", "same");
    assert_eq!(db.fetch_val::<i64>(count, ()).await?, 3);
    Ok(())
}

pub async fn a_mistake_is_shown_in_the_text_as_it_was_put_together(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let query =
        sql("SELECT *\nFROM ").push(ident(&t)).push("\nWHERE id = :first\n  AND body = :second").bind("first", 1);
    let error = fails(db.fetch_all::<Row>(&query, ()).await, ErrorKind::Parameters);
    assert_eq!(error.line_col(), Some((4, 14)), "{error}");
    // Positions of the server are told by PostgreSQL alone.
    if db.dialect().kind() == DialectKind::Postgres {
        let query = query.push("\n  AND ").push(ident("gone")).push(" = 1").bind("second", "x");
        let error = fails(db.fetch_all::<Row>(&query, ()).await, ErrorKind::UndefinedColumn);
        assert_eq!(error.line_col(), Some((5, 7)), "{error}");
    }
    Ok(())
}
