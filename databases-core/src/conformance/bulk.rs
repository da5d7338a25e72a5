//! `execute_many` and `execute_script`.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Fixture, fails};
use crate::error::{ErrorKind, Result};
use crate::executor::Executor;
use crate::params;
use crate::params::Params;
use crate::sql::DialectKind;

async fn count(db: &impl Executor, t: &str) -> Result<i64> {
    db.fetch_val(format!("SELECT count(*) FROM {t}"), ()).await
}

pub async fn execute_many_runs_every_row_and_adds_up(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let insert = format!("INSERT INTO {t} (id, body) VALUES (:id, :body)");
    let rows = (0..1_500).map(|id| params! { id, body: format!("row {id}") });
    assert_eq!(db.execute_many(&insert, rows).await?, 1_500);
    assert_eq!(count(&db, &t).await?, 1_500);
    let body: String = db.fetch_val(format!("SELECT body FROM {t} WHERE id = 1234"), ()).await?;
    assert_eq!(body, "row 1234");
    let update = format!("UPDATE {t} SET body = :body WHERE id = :id");
    let rows = [0, 1, 1_000_000].map(|id| params! { id, body: "new" });
    assert_eq!(db.execute_many(update, rows).await?, 2);
    Ok(())
}

pub async fn execute_many_keeps_the_order_of_the_rows(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, 'a')"), ()).await?;
    let update = format!("UPDATE {t} SET body = :new WHERE body = :old");
    let steps = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")].map(|(old, new)| params! { old, new });
    assert_eq!(db.execute_many(update, steps).await?, 4);
    assert_eq!(db.fetch_val::<String>(format!("SELECT body FROM {t}"), ()).await?, "e");
    Ok(())
}

pub async fn execute_many_of_no_rows_is_0_and_sends_nothing(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let none: [Params<'static>; 0] = [];
    // There is no such table, which nobody finds out.
    let missing = format!("INSERT INTO cf_missing_{} (a) VALUES (:a)", std::process::id());
    assert_eq!(db.execute_many(&missing, none.clone()).await?, 0);
    assert_eq!(db.status().size, 0, "a connection was made");
    let conn = db.acquire().await?;
    assert_eq!(conn.execute_many(&missing, none).await?, 0);
    Ok(())
}

pub async fn execute_many_pulls_rows_as_they_are_sent(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let pulled = AtomicUsize::new(0);
    let rows = (0..).map(|id: i64| {
        pulled.fetch_add(1, Ordering::Relaxed);
        // The row that ends an endless iterator: its parameters do not match.
        if id < 20_000 {
            params! { id, body: "x" }
        } else {
            params! { id, wrong: "x" }
        }
    });
    let insert = format!("INSERT INTO {t} (id, body) VALUES (:id, :body)");
    fails(db.execute_many(insert, rows).await, ErrorKind::Parameters);
    let pulled = pulled.into_inner();
    assert!((20_001..25_000).contains(&pulled), "{pulled} rows were pulled");
    Ok(())
}

pub async fn execute_many_is_all_or_none_and_names_the_row(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    let insert = format!("INSERT INTO {t} (id, n) VALUES (:id, 0)");
    let ids = [1, 2, 3, 2, 4];
    let error = fails(db.execute_many(&insert, ids.map(|id| params! { id })).await, ErrorKind::UniqueViolation);
    assert_eq!(error.batch_index(), Some(3), "{error:?}");
    assert_eq!(count(&db, &t).await?, 0);
    // A long batch too, where a backend may have sent rows in groups.
    let ids = (0..3_000).chain([77]).chain(5_000..5_500);
    let error = fails(db.execute_many(&insert, ids.map(|id| params! { id })).await, ErrorKind::UniqueViolation);
    assert_eq!(error.batch_index(), Some(3_000), "{error:?}");
    assert_eq!(count(&db, &t).await?, 0);
    assert_eq!(db.execute_many(insert, [1, 2].map(|id| params! { id })).await?, 2);
    Ok(())
}

pub async fn execute_many_undoes_rows_before_one_with_wrong_parameters(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let rows = [params! { id: 1, body: "a" }, params! { id: 2 }];
    let insert = format!("INSERT INTO {t} (id, body) VALUES (:id, :body)");
    fails(db.execute_many(insert, rows).await, ErrorKind::Parameters);
    assert_eq!(count(&db, &t).await?, 0);
    Ok(())
}

pub async fn execute_many_in_a_transaction_undoes_only_itself(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    let tx = db.begin().await?;
    let insert = format!("INSERT INTO {t} (id, n) VALUES (:id, 0)");
    tx.execute(&insert, params! { id: 1 }).await?;
    let ids = [2, 3, 1, 4];
    let error = fails(tx.execute_many(&insert, ids.map(|id| params! { id })).await, ErrorKind::UniqueViolation);
    assert_eq!(error.batch_index(), Some(2));
    assert_eq!(count(&tx, &t).await?, 1);
    assert_eq!(tx.execute_many(&insert, [5, 6].map(|id| params! { id })).await?, 2);
    tx.commit().await?;
    assert_eq!(count(&db, &t).await?, 3);
    Ok(())
}

pub async fn execute_many_gives_types_that_change_from_row_to_row(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let insert = format!("INSERT INTO {t} (id, body) VALUES (:id, :body)");
    let bodies = [None, Some("a"), None, Some(""), Some("b")];
    let next = Cell::new(0);
    let rows: Vec<_> = bodies
        .iter()
        .map(|body| {
            next.set(next.get() + 1);
            params! { id: next.get(), body: *body }
        })
        .collect();
    assert_eq!(db.execute_many(insert, rows).await?, 5);
    let read: Vec<(Option<String>,)> = db.fetch_all(format!("SELECT body FROM {t} ORDER BY id"), ()).await?;
    assert_eq!(read.iter().map(|(body,)| body.as_deref()).collect::<Vec<_>>(), bodies);
    Ok(())
}

pub async fn execute_script_runs_several_statements(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.table("script");
    let i64 = f.types.i64;
    db.execute_script(&format!(
        "-- a comment; with a semicolon\nCREATE TABLE {t} (id {i64}, body {});\n\
         INSERT INTO {t} (id, body) VALUES (1, 'a;b');\n\
         INSERT INTO {t} (id, body) VALUES (2, 'it''s');\n/* ; */ UPDATE {t} SET id = 3 WHERE id = 2;\n",
        f.types.text
    ))
    .await?;
    let rows: Vec<(i64, String)> = db.fetch_all(format!("SELECT id, body FROM {t} ORDER BY id"), ()).await?;
    assert_eq!(rows, [(1, "a;b".into()), (3, "it's".into())]);
    Ok(())
}

pub async fn execute_script_of_nothing_does_nothing(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    for script in ["", " \n", "-- nothing\n", ";;", "SELECT 1; ; SELECT 2;; -- done"] {
        if let Err(error) = db.execute_script(script).await {
            panic!("{script:?}: {error:?}");
        }
        assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await?, 1);
    }
    Ok(())
}

pub async fn execute_script_stops_at_the_first_error(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    let insert = |id| format!("INSERT INTO {t} (id, n) VALUES ({id}, 0);");
    let script = [insert(1), insert(2), insert(1), insert(3)].concat();
    let error = fails(db.execute_script(&script).await, ErrorKind::UniqueViolation);
    if f.kind() == DialectKind::Postgres {
        assert_eq!(count(&db, &t).await?, 0, "a script without BEGIN is all or nothing on PostgreSQL");
    } else {
        assert_eq!(count(&db, &t).await?, 2);
    }
    assert_eq!(error.batch_index(), Some(2), "{error:?}");
    assert_eq!(db.fetch_val::<i64>("SELECT 1", ()).await?, 1);
    Ok(())
}

pub async fn execute_script_says_which_statement_failed_and_where(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    let on_mysql = f.kind() == DialectKind::MySql;
    // What goes wrong, and where: at the mistake, or at the statement where the server does not say.
    for (wrong, place) in [
        ("SELEC 'é' AS n", Some("SELEC ")),
        ("SELECT 'é' AS n FROM FROM", Some("FROM ;")),
        (&format!("SELECT 'é', no_such_column FROM {t}"), Some("no_such_column").filter(|_| !on_mysql)),
        ("SELECT 'é' FROM no_such_table", Some("no_such_table").filter(|_| f.kind() == DialectKind::Postgres)),
        (&format!("INSERT INTO {t} (n, id) VALUES (0, 1)"), None),
    ] {
        let script = format!(
            "-- é; a comment\nDELETE FROM {t};\n\n  INSERT INTO {t} (id, n) VALUES (1, 0); /* ;é */ {wrong} ;\n\
             SELECT ';' AS {t}"
        );
        let error = db.execute_script(&script).await.unwrap_err();
        let shown = place.is_some();
        let at = script.find(place.unwrap_or(wrong)).unwrap();
        let column = script[..at].rsplit('\n').next().unwrap().chars().count() + 1;
        assert_eq!((error.batch_index(), error.line_col()), (Some(2), Some((4, column))), "{error:?}");
        let text = error.to_string();
        assert_eq!(text.contains(wrong), shown, "{text}");
        assert_eq!(text.contains(&format!("in the statement at 4:{column} of the script")), !shown, "{text}");
    }
    Ok(())
}

pub async fn execute_script_in_a_transaction_is_part_of_it(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    let tx = db.begin().await?;
    tx.execute_script(&format!("INSERT INTO {t} (id, n) VALUES (1, 0); INSERT INTO {t} (id, n) VALUES (2, 0)")).await?;
    assert_eq!(count(&tx, &t).await?, 2);
    tx.rollback().await?;
    assert_eq!(count(&db, &t).await?, 0);
    Ok(())
}

pub async fn execute_script_with_its_own_commit_is_refused_in_a_transaction(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    let tx = db.begin().await?;
    tx.execute(format!("INSERT INTO {t} (id, n) VALUES (1, 0)"), ()).await?;
    let error = fails(tx.execute_script("SELECT 1; COMMIT; SELECT 2").await, ErrorKind::Unsupported);
    assert!(error.to_string().contains("commit()"), "{error}");
    tx.rollback().await?;
    assert_eq!(count(&db, &t).await?, 0);
    Ok(())
}

pub async fn execute_script_left_in_a_transaction_is_rolled_back(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.keyed(&db).await?;
    // Nobody could commit it any more, so the caller is told.
    fails(
        db.execute_script(&format!("BEGIN; INSERT INTO {t} (id, n) VALUES (1, 0)")).await,
        ErrorKind::TransactionEnded,
    );
    assert_eq!(count(&db, &t).await?, 0);
    db.execute_script(&format!("BEGIN; INSERT INTO {t} (id, n) VALUES (1, 0); COMMIT")).await?;
    assert_eq!(count(&db, &t).await?, 1);
    Ok(())
}
