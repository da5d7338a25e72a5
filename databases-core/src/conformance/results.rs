//! What `execute` and the `fetch_*` methods give.

use super::{Fixture, fails};
use crate::error::{ErrorKind, Result};
use crate::executor::Executor;
use crate::params;
use crate::row::Row;
use crate::sql::DialectKind;

pub async fn rows_affected_counts_the_rows_of_insert_update_and_delete(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    for (sql, expected) in [
        ("INSERT INTO t (id, body) VALUES (1, 'a')", 1),
        ("INSERT INTO t (id, body) VALUES (2, 'b'), (3, 'b')", 2),
        ("UPDATE t SET body = 'c' WHERE body = 'b'", 2),
        ("UPDATE t SET body = 'x' WHERE id = 99", 0),
        ("DELETE FROM t WHERE id = 99", 0),
        ("DELETE FROM t WHERE body = 'c'", 2),
        ("DELETE FROM t", 1),
    ] {
        let sql = sql.replacen(" t", &format!(" {t}"), 1);
        assert_eq!(db.execute(&sql, ()).await?.rows_affected(), expected, "{sql}");
    }
    Ok(())
}

pub async fn rows_affected_counts_an_update_to_the_same_value(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, 'a')"), ()).await?;
    let updated = db.execute(format!("UPDATE {t} SET body = 'a' WHERE id = 1"), ()).await?;
    assert_eq!(updated.rows_affected(), 1);
    Ok(())
}

pub async fn rows_affected_is_0_for_select_and_create_table(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, 'a'), (2, 'b')"), ()).await?;
    assert_eq!(db.execute(format!("SELECT id FROM {t}"), ()).await?.rows_affected(), 0);
    let other = f.table("other");
    let created = db.execute(format!("CREATE TABLE {other} (id {})", f.types.i64), ()).await?;
    assert_eq!((created.rows_affected(), created.last_insert_id()), (0, None));
    Ok(())
}

pub async fn rows_affected_is_0_for_create_table_as(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, 'a'), (2, 'b')"), ()).await?;
    let copy = f.table("copy");
    assert_eq!(db.execute(format!("CREATE TABLE {copy} AS SELECT * FROM {t}"), ()).await?.rows_affected(), 0);
    assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {copy}"), ()).await?, 2);
    Ok(())
}

pub async fn rows_affected_of_an_upsert_is_1_and_on_mysql_2(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    let on_conflict = "ON CONFLICT (id) DO UPDATE SET n = :n";
    let upsert = f.pick(on_conflict, "ON DUPLICATE KEY UPDATE n = :n", on_conflict);
    let sql = format!("INSERT INTO {t} (id, n) VALUES (1, :n) {upsert}");
    assert_eq!(db.execute(&sql, params! { n: 1 }).await?.rows_affected(), 1);
    assert_eq!(db.execute(&sql, params! { n: 2 }).await?.rows_affected(), f.pick(1, 2, 1));
    assert_eq!(db.fetch_val::<i64>(format!("SELECT n FROM {t}"), ()).await?, 2);
    Ok(())
}

pub async fn rows_affected_of_replace_is_1_and_on_mysql_2(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    let sql = format!("REPLACE INTO {t} (id, n) VALUES (1, :n)");
    if f.kind() == DialectKind::Postgres {
        fails(db.execute(&sql, params! { n: 1 }).await, ErrorKind::Syntax);
        return Ok(());
    }
    assert_eq!(db.execute(&sql, params! { n: 1 }).await?.rows_affected(), 1);
    assert_eq!(db.execute(&sql, params! { n: 2 }).await?.rows_affected(), f.pick(0, 2, 1));
    Ok(())
}

/// Creates a table whose key counts up.
async fn counted(f: &Fixture, db: &impl Executor) -> Result<String> {
    let t = f.table("counted");
    db.execute(format!("CREATE TABLE {t} (id {}, n {})", f.types.key, f.types.i64), ()).await?;
    Ok(t)
}

pub async fn last_insert_id_is_the_id_that_was_generated(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = counted(f, &db).await?;
    let insert = format!("INSERT INTO {t} (n) VALUES (:n)");
    for n in 1..=3 {
        let expected = f.capabilities().last_insert_id.then_some(n);
        assert_eq!(db.execute(&insert, params! { n }).await?.last_insert_id(), expected);
    }
    Ok(())
}

pub async fn last_insert_id_is_the_id_that_was_given(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = counted(f, &db).await?;
    let given = |id: i64| params! { id };
    let insert = format!("INSERT INTO {t} (id, n) VALUES (:id, 0)");
    for id in [70, 7, 5_000_000_000] {
        let expected = f.capabilities().last_insert_id.then_some(id);
        assert_eq!(db.execute(&insert, given(id)).await?.last_insert_id(), expected);
    }
    Ok(())
}

pub async fn last_insert_id_is_none_for_several_rows_no_row_and_other_statements(f: &Fixture) -> Result<()> {
    // On one connection, which remembers the id of the first statement.
    let db = f.pool()?;
    let t = counted(f, &db).await?;
    let conn = db.acquire().await?;
    conn.execute(format!("INSERT INTO {t} (n) VALUES (1)"), ()).await?;
    for sql in [
        format!("INSERT INTO {t} (n) VALUES (2), (3)"),
        format!("INSERT INTO {t} (n) SELECT n FROM {t} WHERE n = 99"),
        format!("UPDATE {t} SET n = 4 WHERE n = 1"),
        format!("DELETE FROM {t} WHERE n = 4"),
        format!("DELETE FROM {t} WHERE n = 99"),
        format!("SELECT n FROM {t}"),
    ] {
        assert_eq!(conn.execute(&sql, ()).await?.last_insert_id(), None, "{sql}");
    }
    Ok(())
}

pub async fn last_insert_id_is_none_for_an_insert_that_was_ignored(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = counted(f, &db).await?;
    let conn = db.acquire().await?;
    conn.execute(format!("INSERT INTO {t} (id, n) VALUES (1, 1)"), ()).await?;
    let ignored = f.pick(
        format!("INSERT INTO {t} (id, n) VALUES (1, 2) ON CONFLICT DO NOTHING"),
        format!("INSERT IGNORE INTO {t} (id, n) VALUES (1, 2)"),
        format!("INSERT OR IGNORE INTO {t} (id, n) VALUES (1, 2)"),
    );
    let result = conn.execute(ignored, ()).await?;
    assert_eq!((result.rows_affected(), result.last_insert_id()), (0, None));
    Ok(())
}

pub async fn last_insert_id_is_none_without_a_counted_key(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let counted = counted(f, &db).await?;
    let t = f.table("plain");
    let without = f.pick("", "", "WITHOUT ROWID");
    let i64 = f.types.i64;
    db.execute(format!("CREATE TABLE {t} (id {i64} PRIMARY KEY, n {i64}) {without}"), ()).await?;
    let conn = db.acquire().await?;
    conn.execute(format!("INSERT INTO {counted} (n) VALUES (1)"), ()).await?;
    let inserted = conn.execute(format!("INSERT INTO {t} (id, n) VALUES (5, 1)"), ()).await?;
    assert_eq!((inserted.rows_affected(), inserted.last_insert_id()), (1, None));
    Ok(())
}

pub async fn returning_gives_the_new_row(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = counted(f, &db).await?;
    let insert = format!("INSERT INTO {t} (n) VALUES (:n) RETURNING id");
    if f.capabilities().returning || f.product(&db).await? == "MariaDB" {
        assert_eq!(db.fetch_val::<i64>(&insert, params! { n: 7 }).await?, 1);
        assert_eq!(db.execute(&insert, params! { n: 8 }).await?.rows_affected(), 1);
    } else {
        // Told before anything is sent: MySQL would call it a syntax error.
        fails(db.fetch_val::<i64>(&insert, params! { n: 7 }).await, ErrorKind::Unsupported);
    }
    Ok(())
}

pub async fn fetch_all_gives_every_row_in_order(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let sql = format!("SELECT id, body FROM {t} ORDER BY id");
    assert!(db.fetch_all::<Row>(&sql, ()).await?.is_empty());
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (2, 'b'), (1, 'a'), (3, NULL)"), ()).await?;
    let rows: Vec<(i64, Option<String>)> = db.fetch_all(&sql, ()).await?;
    assert_eq!(rows, [(1, Some("a".into())), (2, Some("b".into())), (3, None)]);
    Ok(())
}

pub async fn fetch_one_gives_the_first_row_and_no_rows_is_an_error(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let sql = format!("SELECT id, body FROM {t} ORDER BY id");
    fails(db.fetch_one::<Row>(&sql, ()).await, ErrorKind::NoRows);
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (2, 'b'), (1, 'a')"), ()).await?;
    assert_eq!(db.fetch_one::<(i64, String)>(&sql, ()).await?, (1, "a".into()));
    Ok(())
}

pub async fn fetch_optional_gives_the_first_row_or_none(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let sql = format!("SELECT id FROM {t} ORDER BY id");
    assert!(db.fetch_optional::<(i64,)>(&sql, ()).await?.is_none());
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (2, 'b'), (1, 'a')"), ()).await?;
    assert_eq!(db.fetch_optional::<(i64,)>(&sql, ()).await?, Some((1,)));
    Ok(())
}

pub async fn fetch_val_gives_the_first_column_of_the_first_row(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let sql = format!("SELECT body, id FROM {t} ORDER BY id");
    fails(db.fetch_val::<String>(&sql, ()).await, ErrorKind::NoRows);
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (2, 'b'), (1, 'a')"), ()).await?;
    assert_eq!(db.fetch_val::<String>(&sql, ()).await?, "a");
    assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await?, 2);
    Ok(())
}

pub async fn fetch_optional_val_is_none_only_without_a_row(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let sql = format!("SELECT body FROM {t}");
    assert_eq!(db.fetch_optional_val::<Option<String>>(&sql, ()).await?, None);
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, NULL)"), ()).await?;
    assert_eq!(db.fetch_optional_val::<Option<String>>(&sql, ()).await?, Some(None));
    fails(db.fetch_optional_val::<String>(&sql, ()).await, ErrorKind::Decode);
    Ok(())
}

pub async fn null_into_a_type_without_option_is_an_error_that_names_the_column(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, NULL)"), ()).await?;
    let error = fails(db.fetch_val::<String>(format!("SELECT body FROM {t}"), ()).await, ErrorKind::Decode);
    assert!(error.to_string().contains("`body`"), "{error}");
    let error = fails(db.fetch_all::<(i64, String)>(format!("SELECT id, body FROM {t}"), ()).await, ErrorKind::Decode);
    assert!(error.to_string().contains("`body`"), "{error}");
    assert_eq!(db.fetch_val::<Option<String>>(format!("SELECT body FROM {t}"), ()).await?, None);
    Ok(())
}

pub async fn execute_of_a_select_skips_its_rows(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    db.execute_many(format!("INSERT INTO {t} (id, body) VALUES (:id, 'x')"), (0..500).map(|id| params! { id })).await?;
    db.execute(format!("SELECT * FROM {t}"), ()).await?;
    assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await?, 500);
    Ok(())
}

pub async fn a_text_without_a_statement_is_an_error_or_nothing(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    for sql in ["", "  \n", "-- nothing\n", ";"] {
        // Either is sound; a hang or a broken connection is not.
        if let Ok(done) = db.execute(sql, ()).await {
            assert_eq!((done.rows_affected(), done.last_insert_id()), (0, None), "{sql:?}");
        }
        assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await?, 1, "after {sql:?}");
    }
    Ok(())
}
