//! Rows: columns by name and index, decoded when asked for.

use std::collections::{BTreeMap, HashMap};

use futures_util::TryStreamExt;

use super::{Fixture, fails};
use crate::error::{ErrorKind, Result};
use crate::executor::Executor;
use crate::from_row::FromRow;
use crate::params;
use crate::row::Row;
use crate::value::{Value, ValueRef};

pub async fn columns_are_found_by_exact_name_then_without_regard_to_case(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let (lower, upper) = (f.quoted(&db, "id"), f.quoted(&db, "ID"));
    let row: Row = db.fetch_one(format!("SELECT 1 AS {lower}, 2 AS {upper}, 3 AS word"), ()).await?;
    assert_eq!(row.get::<i64>("id")?, 1);
    assert_eq!(row.get::<i64>("ID")?, 2);
    assert_eq!(row.get::<i64>("WoRd")?, 3);
    fails(row.get::<i64>("Id"), ErrorKind::Decode);
    let error = fails(row.get::<i64>("missing"), ErrorKind::Decode);
    assert!(error.to_string().contains("`missing`"), "{error}");
    Ok(())
}

pub async fn an_ambiguous_name_is_an_error_and_the_index_works(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let row: Row = db.fetch_one("SELECT 1 AS x, 2 AS x, 3 AS y", ()).await?;
    let error = fails(row.get::<i64>("x"), ErrorKind::Decode);
    assert!(error.to_string().contains("ambiguous"), "{error}");
    assert_eq!((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<i64>("y")?), (1, 2, 3));
    fails(row.get::<i64>(3), ErrorKind::Decode);
    Ok(())
}

pub async fn a_row_lists_its_columns(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, 'secret')"), ()).await?;
    let row: Row = db.fetch_one(format!("SELECT * FROM {t}"), ()).await?;
    assert_eq!(row.columns().iter().map(crate::Column::name).collect::<Vec<_>>(), ["id", "body"]);
    assert_eq!(row.len(), 2);
    assert!(!format!("{row:?}").contains("secret"), "a row prints no cell");
    Ok(())
}

pub async fn a_join_keeps_both_columns_of_one_name(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let (a, b) = (f.notes(&db).await?, f.notes(&db).await?);
    db.execute(format!("INSERT INTO {a} (id, body) VALUES (1, 'left')"), ()).await?;
    db.execute(format!("INSERT INTO {b} (id, body) VALUES (1, 'right')"), ()).await?;
    let row: Row = db.fetch_one(format!("SELECT * FROM {a} AS x JOIN {b} AS y ON x.id = y.id"), ()).await?;
    assert_eq!((row.get::<String>(1)?, row.get::<String>(3)?), ("left".into(), "right".into()));
    fails(row.get::<String>("body"), ErrorKind::Decode);
    Ok(())
}

pub async fn a_column_that_does_not_fit_does_not_spoil_its_row(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (70000, 'text')"), ()).await?;
    let rows: Vec<Row> = db.fetch_all(format!("SELECT id, body FROM {t}"), ()).await?;
    fails(rows[0].get::<i16>("id"), ErrorKind::Decode);
    fails(rows[0].get::<i64>("body"), ErrorKind::Decode);
    assert_eq!((rows[0].get::<i64>("id")?, rows[0].get::<String>("body")?), (70_000, "text".into()));
    Ok(())
}

pub async fn a_column_of_a_type_without_a_value_of_its_own_leaves_the_others_readable(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let sql = f.pick(
        "SELECT 1 AS a, '10.0.0.1/8'::inet AS odd, point(1, 2) AS odder, 'z' AS b",
        "SELECT 1 AS a, ST_GeomFromText('POINT(1 2)') AS odd, b'101' AS odder, 'z' AS b",
        "SELECT 1 AS a, CAST(x'FF' AS TEXT) AS odd, x'FE' AS odder, 'z' AS b",
    );
    let row: Row = db.fetch_one(sql, ()).await?;
    assert_eq!((row.get::<i64>("a")?, row.get::<String>("b")?), (1, "z".into()));
    fails(row.get::<i64>("odd"), ErrorKind::Decode);
    assert!(row.get_raw("odd")?.is_some() || f.pick(false, true, false), "the bytes stay reachable");
    Ok(())
}

pub async fn cells_are_borrowed_and_taken_as_values(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, 'text'), (2, NULL)"), ()).await?;
    let rows: Vec<Row> = db.fetch_all(format!("SELECT id, body FROM {t} ORDER BY id"), ()).await?;
    assert_eq!(rows[0].get_ref("body")?, ValueRef::Text("text"));
    assert_eq!(rows[0].get::<Value>("id")?, Value::Int(1));
    assert_eq!(rows[1].get::<Value>("body")?, Value::Null);
    assert!(rows[1].get_raw("body")?.is_none());
    Ok(())
}

pub async fn rows_are_iterated_and_collected_by_name(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, 'text'), (2, NULL)"), ()).await?;
    let sql = format!("SELECT body, id FROM {t} ORDER BY id");
    let rows: Vec<Row> = db.fetch_all(&sql, ()).await?;
    let mut names = Vec::new();
    for (column, cell) in &rows[1] {
        names.push((column.name(), cell?.to_value()));
    }
    assert_eq!(names, [("body", Value::Null), ("id", Value::Int(2))]);
    let expected = BTreeMap::from([("body".to_owned(), Value::Text("text".into())), ("id".to_owned(), Value::Int(1))]);
    assert_eq!(rows[0].to_map()?, expected);
    let lists: Vec<Vec<Value>> = db.fetch_all(&sql, ()).await?;
    assert_eq!(lists, [[Value::Text("text".into()), Value::Int(1)], [Value::Null, Value::Int(2)]]);
    assert_eq!(Vec::<Option<String>>::from_row(&rows[0]).map_err(|error| error.kind()), Err(ErrorKind::Decode));
    let numbers: Vec<i64> = db.fetch_one("SELECT 1 AS x, 2 AS x, 3 AS y", ()).await?;
    assert_eq!(numbers, [1, 2, 3]);
    let maps: Vec<HashMap<String, Value>> = db.fetch_all(&sql, ()).await?;
    assert_eq!(maps[0], expected.into_iter().collect());
    let streamed: Vec<BTreeMap<String, Option<String>>> =
        db.iterate(format!("SELECT body FROM {t} ORDER BY id"), ()).try_collect().await?;
    assert_eq!(streamed[1], BTreeMap::from([("body".to_owned(), None)]));
    let twice = db.fetch_all::<HashMap<String, Value>>("SELECT 1 AS x, 2 AS x", ()).await;
    assert_eq!(fails(twice, ErrorKind::Decode).to_string(), "the column name `x` is ambiguous");
    Ok(())
}

pub async fn rows_outlive_their_connection(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, :body)"), params! { body: "x".repeat(100_000) }).await?;
    let row: Row = db.fetch_one(format!("SELECT * FROM {t}"), ()).await?;
    db.close().await?;
    let other = row.clone();
    assert_eq!(
        tokio::spawn(async move { row.get::<String>("body").map(|body| body.len()) }).await.expect("no panic")?,
        100_000
    );
    assert_eq!(other.get::<i64>(0)?, 1);
    Ok(())
}

pub async fn a_result_may_have_many_columns(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let columns: Vec<String> = (0..500).map(|n| format!("{n} AS c{n}")).collect();
    let row: Row = db.fetch_one(format!("SELECT {}", columns.join(", ")), ()).await?;
    assert_eq!((row.len(), row.get::<i64>("c499")?, row.get::<i64>(250)?), (500, 499, 250));
    Ok(())
}
