//! Prepared statements: kept, bounded, and made anew after the table has changed.

use super::Fixture;
use super::faults::behind_proxy;
use crate::error::Result;
use crate::executor::Executor;
use crate::params;
use crate::query::sql;
use crate::row::Row;
use crate::sql::DialectKind;
use crate::types::Decimal;

pub async fn one_text_runs_many_times(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    for n in 0..200 {
        db.execute(format!("INSERT INTO {t} (id, body) VALUES (:n, :b)"), params! { n, b: "x" }).await?;
        let found: i64 = db.fetch_val(format!("SELECT count(*) FROM {t} WHERE id = :n"), params! { n }).await?;
        assert_eq!(found, 1);
    }
    Ok(())
}

pub async fn more_texts_than_the_cache_holds_work(f: &Fixture) -> Result<()> {
    for size in [0, 1, 8] {
        let db = f.pool_with(|options| {
            options.max_connections = Some(1);
            options.statement_cache_size = size;
        })?;
        for round in 0..2 {
            for n in 0..300 {
                let read: i64 = db.fetch_val(format!("SELECT :n AS column_{n}"), params! { n }).await?;
                assert_eq!(read, n, "round {round}, cache of {size}");
            }
        }
        if f.kind() == DialectKind::Postgres {
            let kept: i64 = db.fetch_val("SELECT count(*) FROM pg_prepared_statements", ()).await?;
            assert!(kept <= i64::try_from(size).expect("small") + 1, "{kept} statements are prepared");
        }
    }
    Ok(())
}

pub async fn a_statement_may_be_left_unprepared(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    for n in 0..5 {
        let insert = sql(format!("INSERT INTO {t} (id, body) VALUES (:n, :b)")).prepared(false);
        assert_eq!(db.execute(insert, params! { n, b: "it's" }).await?.rows_affected(), 1);
    }
    let select = format!("SELECT id, body FROM {t} WHERE id = :n");
    let read: (i64, String) = db.fetch_one(sql(&select).prepared(false), params! { n: 3 }).await?;
    assert_eq!(read, (3, "it's".into()));
    Ok(())
}

pub async fn a_long_text_is_not_kept(f: &Fixture) -> Result<()> {
    const LONGEST: usize = 64 << 10;
    let Some((proxy, db)) = behind_proxy(f, |options| options.max_connections = Some(1)).await? else { return Ok(()) };
    let select = "SELECT :n AS n";
    for (length, kept) in [(LONGEST - 32, true), (LONGEST + 32, false)] {
        let text = format!("{select}{}", " ".repeat(length - select.len()));
        let mut trips = 0;
        for n in 0..3 {
            let _ = proxy.take_traffic();
            assert_eq!(db.fetch_val::<i64>(&text, params! { n }).await?, n);
            trips = proxy.take_traffic().round_trips;
        }
        assert_eq!(trips == 1, kept, "{trips} round trips for the third run of {length} bytes");
    }
    Ok(())
}

pub async fn a_query_works_after_its_table_has_changed(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, 'a')"), ()).await?;
    let select = format!("SELECT * FROM {t} WHERE id = :id");
    for _ in 0..3 {
        assert_eq!(db.fetch_one::<Row>(&select, params! { id: 1 }).await?.len(), 2);
    }
    // On PostgreSQL: "cached plan must not change result type".
    db.execute(format!("ALTER TABLE {t} ADD COLUMN more {}", f.types.i64), ()).await?;
    assert_eq!(db.fetch_one::<Row>(&select, params! { id: 1 }).await?.len(), 3);
    db.execute(format!("DROP TABLE {t}"), ()).await?;
    let (i64, text) = (f.types.i64, f.types.short_text);
    db.execute(format!("CREATE TABLE {t} (body {text}, id {i64})"), ()).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, 'b')"), ()).await?;
    let row: Row = db.fetch_one(&select, params! { id: 1 }).await?;
    assert_eq!((row.get::<String>(0)?, row.get::<i64>(1)?), ("b".into(), 1));
    Ok(())
}

pub async fn a_query_works_after_a_change_on_another_connection(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, 'a')"), ()).await?;
    let select = format!("SELECT * FROM {t}");
    let conn = db.acquire().await?;
    for _ in 0..3 {
        assert_eq!(conn.fetch_one::<Row>(&select, ()).await?.len(), 2);
    }
    db.execute(format!("ALTER TABLE {t} ADD COLUMN more {}", f.types.i64), ()).await?;
    assert_eq!(conn.fetch_one::<Row>(&select, ()).await?.len(), 3);
    Ok(())
}

pub async fn an_error_while_preparing_leaves_nothing_behind(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.table("late");
    let select = format!("SELECT count(*) FROM {t}");
    for _ in 0..3 {
        assert!(db.fetch_val::<i64>(&select, ()).await.is_err());
    }
    db.execute(format!("CREATE TABLE {t} (id {})", f.types.i64), ()).await?;
    assert_eq!(db.fetch_val::<i64>(&select, ()).await?, 0, "the same text, once the table is there");
    Ok(())
}

pub async fn a_value_is_taken_alike_whatever_came_before_it(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.table("alike");
    db.execute(format!("CREATE TABLE {t} (n {})", f.types.decimal), ()).await?;
    let number: Decimal = "9007199254740993".parse().expect("a decimal");
    let insert = format!("INSERT INTO {t} (n) VALUES (:n)");
    // On MySQL the first made a double of the parameter, also where it is too large, and of every later number.
    for before in ["1e100", "0.12345678901234567890123456789012345678901234567890123456789012345678901234567890123"] {
        let before: Decimal = before.parse().expect("a decimal");
        // Refused where the server has no such numbers.
        let _ = db.execute(&insert, params! { n: before }).await;
        db.execute(format!("DELETE FROM {t}"), ()).await?;
        db.execute(&insert, params! { n: number.clone() }).await?;
        assert_eq!(db.fetch_val::<Decimal>(format!("SELECT n FROM {t}"), ()).await?, number);
        db.execute(format!("DELETE FROM {t}"), ()).await?;
    }
    Ok(())
}
