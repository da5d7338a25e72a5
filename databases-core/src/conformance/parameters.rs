//! `:name` parameters, and which statements may run where.

use std::collections::{BTreeMap, HashMap};

use super::{Fixture, fails};
use crate::error::{Effect, ErrorKind, Result};
use crate::executor::Executor;
use crate::params;
use crate::query::sql;
use crate::sequence::list;
use crate::value::Value;

pub async fn a_missing_parameter_is_an_error_before_anything_is_sent(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let error = fails(db.execute("SELECT :first, :second", params! { first: 1 }).await, ErrorKind::Parameters);
    assert!(error.to_string().contains("`second`"), "{error}");
    assert_eq!(error.effect(), Effect::NotSent);
    assert_eq!(db.status().size, 0, "a connection was made");
    Ok(())
}

pub async fn an_unused_parameter_is_an_error_unless_allowed(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let given = params! { used: 1, spare: 2 };
    let error = fails(db.fetch_val::<i64>("SELECT :used", &given).await, ErrorKind::Parameters);
    assert!(error.to_string().contains("`spare`"), "{error}");
    assert_eq!(db.status().size, 0, "a connection was made");
    assert_eq!(db.fetch_val::<i64>(sql("SELECT :used").allow_unused(), &given).await?, 1);
    Ok(())
}

pub async fn a_name_may_be_repeated(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (:n, 'a'), (2, :b), (:n, :b)"), params! { n: 1, b: "b" })
        .await?;
    let found: i64 =
        db.fetch_val(format!("SELECT count(*) FROM {t} WHERE id = :n AND body = :b"), params! { b: "b", n: 1 }).await?;
    assert_eq!(found, 1);
    Ok(())
}

pub async fn names_in_literals_identifiers_and_comments_are_text(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let quoted = f.quoted(&db, "odd:name");
    let sql = format!("SELECT ':a' AS x, :b AS y, 'it''s :c' AS z, 1 AS {quoted} -- :d\n /* :e '*/");
    let row: crate::Row = db.fetch_one(&sql, params! { b: "value" }).await?;
    assert_eq!(row.get::<String>("x")?, ":a");
    assert_eq!(row.get::<String>("y")?, "value");
    assert_eq!(row.get::<String>("z")?, "it's :c");
    assert_eq!(row.get::<i64>("odd:name")?, 1);
    Ok(())
}

pub async fn percent_and_question_marks_are_text(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (5, '10% off?')"), ()).await?;
    let sql = format!("SELECT id % 3 FROM {t} WHERE body LIKE '10%' AND body = :body");
    assert_eq!(db.fetch_val::<i64>(sql, params! { body: "10% off?" }).await?, 2);
    Ok(())
}

pub async fn values_never_become_sql_text(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let insert = format!("INSERT INTO {t} (id, body) VALUES (:id, :body)");
    let bodies = ["'; DROP TABLE x; --", "\\'", "a' OR '1'='1", ":id", "$1 ? ?1", "\"`$$", "%s", "-- /*", "\\\\\n\t"];
    for (id, body) in bodies.iter().enumerate() {
        db.execute(&insert, params! { id: id as i64, body: *body }).await?;
        let select = format!("SELECT body FROM {t} WHERE id = :id AND body = :body");
        let read: String = db.fetch_val(select, params! { id: id as i64, body: *body }).await?;
        assert_eq!(&read, body);
    }
    Ok(())
}

pub async fn parameters_come_from_maps_pairs_and_nothing(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let sql = "SELECT :n";
    assert_eq!(db.fetch_val::<i64>(sql, HashMap::from([("n", 1)])).await?, 1);
    assert_eq!(db.fetch_val::<i64>(sql, BTreeMap::from([("n".to_owned(), 2)])).await?, 2);
    assert_eq!(db.fetch_val::<i64>(sql, vec![("n", Value::Int(3))]).await?, 3);
    assert_eq!(db.fetch_val::<i64>(sql, [("n", 4)]).await?, 4);
    assert_eq!(db.fetch_val::<i64>("SELECT 5", ()).await?, 5);
    fails(db.fetch_val::<i64>(sql, ()).await, ErrorKind::Parameters);
    fails(db.fetch_val::<i64>(sql, [("n", 4), ("n", 5)]).await, ErrorKind::Parameters);
    Ok(())
}

pub async fn a_typed_null_works_where_the_server_must_know_its_type(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, 'a'), (2, 'b'), (3, NULL)"), ()).await?;
    let by_id = format!("SELECT count(*) FROM {t} WHERE (:id IS NULL OR id = :id)");
    assert_eq!(db.fetch_val::<i64>(&by_id, params! { id: None::<i64> }).await?, 3);
    assert_eq!(db.fetch_val::<i64>(&by_id, params! { id: Some(2) }).await?, 1);
    let by_body = format!("SELECT count(*) FROM {t} WHERE (:body IS NULL OR body = :body)");
    assert_eq!(db.fetch_val::<i64>(&by_body, params! { body: None::<String> }).await?, 3);
    assert_eq!(db.fetch_val::<i64>(&by_body, params! { body: Some("a") }).await?, 1);
    Ok(())
}

pub async fn too_many_parameters_are_an_error_before_anything_is_sent(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let sql = format!("SELECT count(*) FROM {t} WHERE id IN (0, :ids)");
    let error = fails(db.fetch_val::<i64>(sql, params! { ids: list(0..70_000) }).await, ErrorKind::LimitExceeded);
    assert_eq!(error.effect(), Effect::NotSent);
    // As many as there may be do work.
    let most: i64 = f.pick(65_535, 65_535, 32_766);
    let sql = format!("SELECT count(*) FROM {t} WHERE id IN (0, :ids)");
    assert_eq!(db.fetch_val::<i64>(sql, params! { ids: list(0..most) }).await?, 0);
    Ok(())
}

pub async fn several_statements_in_one_call_are_refused(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let conn = db.acquire().await?;
    let stacked = format!("INSERT INTO {t} (id, body) VALUES (1, 'a'); DELETE FROM {t}");
    fails(conn.execute(&stacked, ()).await, ErrorKind::Parameters);
    fails(
        conn.execute(format!("SELECT 1; INSERT INTO {t} (id, body) VALUES (2, 'b')"), ()).await,
        ErrorKind::Parameters,
    );
    fails(conn.execute(sql(&stacked).prepared(false), ()).await, ErrorKind::Parameters);
    assert_eq!(conn.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await?, 0);
    drop(conn);
    fails(db.execute(&stacked, ()).await, ErrorKind::Parameters);
    // One statement with a semicolon behind it is one statement.
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (3, 'c;d') ; -- done;"), ()).await?;
    assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await?, 1);
    Ok(())
}

pub async fn transaction_control_as_text_is_refused_on_pools_and_transactions(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    for text in ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "/* */ begin", "START TRANSACTION"] {
        if text.starts_with("START") && f.kind() == crate::sql::DialectKind::Sqlite {
            continue; // Not a statement of SQLite.
        }
        let error = fails(db.execute(text, ()).await, ErrorKind::Unsupported);
        assert!(error.to_string().contains("begin()"), "{error}");
    }
    let tx = db.begin().await?;
    for text in ["COMMIT", "ROLLBACK", "SAVEPOINT a"] {
        let error = fails(tx.execute(text, ()).await, ErrorKind::Unsupported);
        assert!(error.to_string().contains("commit()"), "{error}");
    }
    assert_eq!(tx.fetch_val::<i64>("SELECT 1", ()).await?, 1, "the transaction is unharmed");
    tx.commit().await
}

pub async fn transaction_control_as_text_on_a_connection_is_rolled_back_on_return(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    let insert = format!("INSERT INTO {t} (id, body) VALUES (1, 'a')");
    let count = format!("SELECT count(*) FROM {t}");
    let conn = db.acquire().await?;
    conn.execute("BEGIN", ()).await?;
    conn.execute(&insert, ()).await?;
    assert_eq!(conn.fetch_val::<i64>(&count, ()).await?, 1);
    drop(conn);
    assert_eq!(db.fetch_val::<i64>(&count, ()).await?, 0);
    let conn = db.acquire().await?;
    conn.execute("BEGIN", ()).await?;
    conn.execute(&insert, ()).await?;
    conn.execute("COMMIT", ()).await?;
    drop(conn);
    assert_eq!(db.fetch_val::<i64>(&count, ()).await?, 1);
    Ok(())
}

pub async fn a_function_takes_any_executor(f: &Fixture) -> Result<()> {
    async fn generic(db: &impl Executor, n: i64) -> Result<i64> {
        db.fetch_val("SELECT :n", params! { n }).await
    }
    async fn dynamic(db: &dyn crate::RawExecutor, n: i64) -> Result<i64> {
        db.fetch_val("SELECT :n", params! { n }).await
    }
    let db = f.pool()?;
    assert_eq!(generic(&db, 1).await? + dynamic(&db, 2).await?, 3);
    let conn = db.acquire().await?;
    assert_eq!(generic(&conn, 1).await? + dynamic(&conn, 2).await?, 3);
    let spawned =
        tokio::spawn(async move { Ok::<_, crate::Error>(generic(&conn, 4).await? + dynamic(&conn, 5).await?) });
    assert_eq!(spawned.await.expect("no panic")?, 9);
    Ok(())
}
