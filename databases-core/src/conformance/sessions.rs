//! Session state: nobody finds what another left behind.

use super::{Fixture, fails};
use crate::error::{ErrorKind, Result};
use crate::executor::Executor;
use crate::params;
use crate::sql::DialectKind;

pub async fn settings_on_an_acquired_connection_do_not_reach_the_next_borrower(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let (set, show) = f.pick(
        ("SET work_mem = '7MB'", "SELECT current_setting('work_mem') = '7MB'"),
        ("SET @probe = 7", "SELECT @probe IS NOT NULL"),
        ("PRAGMA cache_size = 777", "SELECT cache_size = 777 FROM pragma_cache_size"),
    );
    let conn = db.acquire().await?;
    assert!(!conn.fetch_val::<bool>(show, ()).await?);
    conn.execute(set, ()).await?;
    assert!(conn.fetch_val::<bool>(show, ()).await?, "on the connection itself it holds");
    drop(conn);
    // Exception: the only connection of an in-memory database is never reset.
    assert_eq!(db.fetch_val::<bool>(show, ()).await?, f.single_connection());
    Ok(())
}

pub async fn temporary_tables_do_not_reach_the_next_borrower(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.table("temp");
    let conn = db.acquire().await?;
    conn.execute(format!("CREATE TEMPORARY TABLE {t} (id {})", f.types.i64), ()).await?;
    conn.execute(format!("INSERT INTO {t} (id) VALUES (1)"), ()).await?;
    drop(conn);
    let found = db.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await;
    if f.single_connection() {
        assert_eq!(found?, 1);
    } else {
        fails(found, ErrorKind::UndefinedTable);
    }
    Ok(())
}

pub async fn settings_on_a_pool_are_reset_or_refused(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let (set, show) = f.pick(
        ("SET work_mem = '7MB'", "SELECT current_setting('work_mem') = '7MB'"),
        ("SET @probe = 7", "SELECT @probe IS NOT NULL"),
        ("PRAGMA cache_size = 777", "SELECT cache_size = 777 FROM pragma_cache_size"),
    );
    let outcome = db.execute(set, ()).await;
    if f.capabilities().session_statements_on_database {
        outcome?;
    } else {
        let error = fails(outcome, ErrorKind::Unsupported);
        assert!(error.to_string().contains("acquire()"), "{error}");
    }
    assert!(!db.fetch_val::<bool>(show, ()).await?);
    Ok(())
}

pub async fn session_defaults_hold_again_after_a_reset(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let (spoil, read) = f.pick(
        ("SET TimeZone = 'America/New_York'", "SELECT current_setting('TimeZone') = 'UTC'"),
        (
            "SET time_zone = '+05:00', sql_mode = ''",
            "SELECT @@time_zone = '+00:00' AND @@sql_mode LIKE '%STRICT_TRANS_TABLES%'",
        ),
        ("PRAGMA foreign_keys = OFF", "SELECT foreign_keys = 1 FROM pragma_foreign_keys"),
    );
    assert!(db.fetch_val::<bool>(read, ()).await?, "from the start");
    let conn = db.acquire().await?;
    conn.execute(spoil, ()).await?;
    drop(conn);
    assert_eq!(db.fetch_val::<bool>(read, ()).await?, !f.single_connection());
    Ok(())
}

pub async fn a_clean_connection_is_reused_as_it_is(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    for n in 0..20 {
        db.execute(format!("INSERT INTO {t} (id, body) VALUES (:n, 'x')"), params! { n }).await?;
        let conn = db.acquire().await?;
        conn.fetch_val::<i64>("SELECT 1", ()).await?;
    }
    assert_eq!((db.status().size, db.status().in_use), (1, 0));
    if f.kind() == DialectKind::Postgres {
        let same: i64 = db.fetch_val("SELECT pg_backend_pid()", ()).await?;
        drop(db.acquire().await?);
        assert_eq!(db.fetch_val::<i64>("SELECT pg_backend_pid()", ()).await?, same);
    } else if f.kind() == DialectKind::MySql {
        let same: i64 = db.fetch_val("SELECT CONNECTION_ID()", ()).await?;
        drop(db.acquire().await?);
        assert_eq!(db.fetch_val::<i64>("SELECT CONNECTION_ID()", ()).await?, same);
    }
    Ok(())
}

pub async fn native_of_the_wrong_type_names_the_right_one(f: &Fixture) -> Result<()> {
    #[derive(Debug)]
    struct Wrong;
    let db = f.pool()?;
    let mut conn = db.acquire().await?;
    let error = fails(conn.native::<Wrong>().await, ErrorKind::Unsupported);
    let right = f.pick("tokio_postgres", "mysql_async", "rusqlite");
    if f.capabilities().full_sql {
        assert!(error.to_string().contains(right), "{error}");
    }
    assert_eq!(conn.fetch_val::<i64>("SELECT 1", ()).await?, 1, "the connection is unharmed");
    Ok(())
}

pub async fn after_connect_runs_once_for_each_connection(f: &Fixture) -> Result<()> {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    let runs = Arc::new(AtomicU32::new(0));
    let db = f.pool_config(
        f.url(),
        |options| options.max_connections = Some(1),
        |config| {
            let runs = runs.clone();
            config.after_connect = Some(Arc::new(move |conn| {
                runs.fetch_add(1, Ordering::Relaxed);
                Box::pin(async move {
                    assert_eq!(conn.fetch_val::<i64>("SELECT 1", ()).await?, 1);
                    Ok(())
                })
            }));
        },
    )?;
    for _ in 0..3 {
        db.fetch_val::<i64>("SELECT 1", ()).await?;
    }
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    Ok(())
}

pub async fn search_path_of_the_url_holds_on_every_connection(f: &Fixture) -> Result<()> {
    if f.kind() != DialectKind::Postgres {
        f.not_claimed("the URL option `search_path`");
        return Ok(());
    }
    let admin = f.pool()?;
    let (schema, t) = (f.table("schema"), f.table("t"));
    admin
        .execute_script(&format!(
            "CREATE SCHEMA {schema}; CREATE TABLE {schema}.{t} (v BIGINT); INSERT INTO {schema}.{t} VALUES (1);
             CREATE TABLE public.{t} (v BIGINT); INSERT INTO public.{t} VALUES (2)"
        ))
        .await?;
    let db = f.pool_url(|url| Ok(url.with_option("search_path", format!("{schema},public"))?))?;
    let select = format!("SELECT v FROM {t}");
    let mut held = Vec::new();
    for _ in 0..3 {
        let conn = db.acquire().await?;
        assert_eq!(conn.fetch_val::<i64>(&select, ()).await?, 1);
        held.push(conn);
    }
    held[0].execute("SET search_path TO public", ()).await?;
    assert_eq!(held[0].fetch_val::<i64>(&select, ()).await?, 2);
    drop(held);
    for _ in 0..6 {
        assert_eq!(db.fetch_val::<i64>(&select, ()).await?, 1);
        assert_eq!(admin.fetch_val::<i64>(&select, ()).await?, 2, "two tenants on one server");
    }
    db.close().await?;
    admin.execute(format!("DROP SCHEMA {schema} CASCADE"), ()).await?;
    Ok(())
}

pub async fn pragmas_that_read_run_on_a_pool_and_those_that_change_do_not(f: &Fixture) -> Result<()> {
    if f.kind() != DialectKind::Sqlite {
        f.not_claimed("PRAGMA and ATTACH");
        return Ok(());
    }
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let rows: Vec<crate::Row> = db.fetch_all(format!("PRAGMA table_info({t})"), ()).await?;
    assert_eq!(rows.len(), 2);
    assert_eq!(db.fetch_val::<i64>("PRAGMA foreign_keys", ()).await?, 1);
    for sql in ["PRAGMA foreign_keys = OFF", "ATTACH ':memory:' AS other", "PRAGMA busy_timeout(5)"] {
        fails(db.execute(sql, ()).await, ErrorKind::Unsupported);
    }
    Ok(())
}

pub async fn the_password_provider_is_asked_for_each_connection(f: &Fixture) -> Result<()> {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    let Some(password) = f.url().password().map(str::to_owned) else {
        f.not_claimed("passwords");
        return Ok(());
    };
    let asked = Arc::new(AtomicU32::new(0));
    let db = f.pool_config(
        &f.url().without_password(),
        |_| {},
        |config| {
            let asked = asked.clone();
            config.password_provider = Some(Arc::new(move || {
                asked.fetch_add(1, Ordering::Relaxed);
                let password = password.clone();
                Box::pin(async move { Ok(password) })
            }));
        },
    )?;
    let (one, two) = (db.acquire().await?, db.acquire().await?);
    assert_eq!(one.fetch_val::<i64>("SELECT 1", ()).await? + two.fetch_val::<i64>("SELECT 1", ()).await?, 2);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    Ok(())
}
