//! What the types are: Send, Sync, cheap to clone, silent about values and secrets; and how a database ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use databases::sqlite::rusqlite;
use databases::{
    Connection, Database, DatabaseBuilder, Error, ErrorKind, Executor, Native, Params, Query, RawExecutor, Result, Row,
    RowStream, Transaction, TransactionOptions, Value, ValueRef, list, params,
};

use crate::{count, notes};

const fn shared<T: Send + Sync + 'static>() {}
const fn cloneable<T: Clone>() {}
const fn sendable<T: Send>() {}
const fn movable<T: Send + Unpin>() {}

const _: () = {
    shared::<Database>();
    cloneable::<Database>();
    shared::<Connection>();
    shared::<Transaction>();
    shared::<Row>();
    shared::<Error>();
    shared::<Value>();
    shared::<Params<'static>>();
    shared::<TransactionOptions>();
    cloneable::<TransactionOptions>();
    sendable::<DatabaseBuilder>();
    sendable::<Query<'_>>();
    sendable::<Native<'_, rusqlite::Connection>>();
    movable::<RowStream<'_, Row>>();
    movable::<RowStream<'_, (i64, Option<String>)>>();
    assert!(size_of::<Error>() == size_of::<usize>());
    assert!(size_of::<Value>() <= 32);
};
const _: Option<&dyn RawExecutor> = None;

fn is_send<F: Future + Send>(future: F) -> F {
    future
}

/// Every future of every executor is Send, for a type parameter as well as for a trait object.
#[allow(dead_code, reason = "what is shown is that it compiles")]
fn every_future_is_send<E: Executor>(generic: &E, dynamic: &dyn RawExecutor, text: &str) {
    fn each<E: Executor + ?Sized>(db: &E, text: &str) {
        drop(is_send(db.execute(text, params! { text })));
        drop(is_send(db.execute_many("SELECT :text", [text].iter().map(|text| params! { text: *text }))));
        drop(is_send(db.execute_script(text)));
        drop(is_send(db.fetch_all::<Row>(text, ())));
        drop(is_send(db.fetch_one::<(i64, String)>(text, [("a", text)])));
        drop(is_send(db.fetch_optional::<(i64,)>(text, params! { text })));
        drop(is_send(db.fetch_val::<i64>(text, ())));
        drop(is_send(db.fetch_optional_val::<Option<String>>(text, ())));
        sendable_value(&db.iterate::<Row>(text, params! { text }));
    }
    fn sendable_value<T: Send + Unpin>(_: &T) {}
    each(generic, text);
    each(dynamic, text);
}

#[allow(dead_code, reason = "what is shown is that it compiles")]
fn every_future_of_the_handles_is_send(db: &Database, conn: &mut Connection, tx: &Transaction) {
    drop(is_send(Database::connect("sqlite::memory:")));
    drop(is_send(db.acquire()));
    drop(is_send(db.begin()));
    drop(is_send(db.begin_with(TransactionOptions::new())));
    drop(is_send(db.transaction(async |tx| tx.fetch_val::<i64>("SELECT 1", ()).await)));
    drop(is_send(db.transaction_with(TransactionOptions::new(), async |tx| tx.execute("SELECT 1", ()).await)));
    drop(is_send(db.server_info()));
    drop(is_send(db.close()));
    drop(is_send(db.close_now()));
    drop(is_send(tx.begin()));
    drop(is_send(tx.transaction(async |tx| tx.fetch_val::<i64>("SELECT 1", ()).await)));
    drop(is_send(conn.begin()));
    drop(is_send(conn.transaction(async |tx| tx.fetch_val::<i64>("SELECT 1", ()).await)));
    drop(is_send(conn.native::<rusqlite::Connection>()));
}

#[tokio::test]
async fn debug_prints_no_values_and_no_password() -> Result<()> {
    let db = notes().await?;
    db.execute("INSERT INTO notes(text) VALUES ('s3cret')", ()).await?;
    let row: Row = db.fetch_one("SELECT * FROM notes", ()).await?;
    let params = params! { password: "s3cret", numbers: list(["s3cret"]), bytes: b"s3cret".to_vec() };
    let value = Value::Text("s3cret".into());
    let builder = Database::builder("postgres://app:s3cret@localhost/notes?sslpassword=s3cret").password("s3cret");
    let texts = [
        format!("{row:?} {row:#?}"),
        format!("{params:?} {params:#?}"),
        format!("{value:?} {:?} {:?}", ValueRef::Text("s3cret"), ValueRef::Bytes(b"s3cret")),
        format!("{:?}", row.get_ref("text")?),
        format!("{builder:?} {builder:#?}"),
        format!("{:?} {:#?}", db, db),
        format!("{:?}", db.acquire().await?),
        format!("{:?}", db.begin().await?),
        format!("{:?}", databases::sql("SELECT :a")),
    ];
    for text in texts {
        assert!(!text.contains("s3cret") && !text.contains("115, 51"), "{text}");
        assert!(!text.is_empty());
    }
    assert!(format!("{row:?}").contains("text") && format!("{params:?}").contains("password"));
    assert!(format!("{builder:?}").contains("app:***@localhost"), "{builder:?}");
    Ok(())
}

#[tokio::test]
async fn a_database_tells_where_and_what_it_is() -> Result<()> {
    let db = Database::connect("sqlite::memory:?acquire_timeout=500ms").await?;
    assert_eq!(db.url().to_string(), "sqlite::memory:?acquire_timeout=500ms");
    assert_eq!(db.url().scheme(), "sqlite");
    assert_eq!(db.backend(), "sqlite");
    let server = db.server_info().await?;
    assert_eq!(server.product, "SQLite");
    assert_eq!(server.version, rusqlite::version());
    let status = db.pool_status();
    assert_eq!((status.size, status.idle, status.in_use, status.max_connections), (1, 1, 0, 1));
    let conn = db.acquire().await?;
    let status = db.pool_status();
    assert_eq!((status.size, status.idle, status.in_use), (1, 0, 1));
    let error = db.fetch_val::<i64>("SELECT 1", ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PoolTimeout);
    assert!(error.to_string().contains("an acquired connection"), "the holder is named: {error}");
    drop(conn);
    assert_eq!(db.clone().fetch_val::<i64>("SELECT 1", ()).await?, 1);
    Ok(())
}

#[tokio::test]
async fn after_close_everything_is_pool_closed() -> Result<()> {
    let closed = Database::connect("sqlite::memory:").await?;
    closed.close().await?;
    let now = Database::connect("sqlite::memory:").await?;
    now.close_now().await;
    for db in [closed, now] {
        assert!(db.is_closed());
        let errors = [
            db.execute("SELECT 1", ()).await.unwrap_err(),
            db.execute_many("SELECT :a", [params! { a: 1 }]).await.unwrap_err(),
            db.execute_many("SELECT :a", Vec::<Params<'_>>::new()).await.unwrap_err(),
            db.execute_script("SELECT 1").await.unwrap_err(),
            db.fetch_all::<Row>("SELECT 1", ()).await.unwrap_err(),
            db.fetch_val::<i64>("SELECT 1", ()).await.unwrap_err(),
            futures_util::TryStreamExt::try_next(&mut db.iterate::<Row>("SELECT 1", ())).await.unwrap_err(),
            db.acquire().await.unwrap_err(),
            db.begin().await.unwrap_err(),
            db.transaction(async |tx| tx.execute("SELECT 1", ()).await).await.unwrap_err(),
            db.server_info().await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::PoolClosed, "{error}");
        }
        db.close().await?;
        db.close_now().await;
        assert_eq!(db.pool_status().size, 0);
    }
    Ok(())
}

#[tokio::test]
async fn close_waits_for_those_at_work_and_then_names_them() -> Result<()> {
    let db = Database::builder("sqlite::memory:").close_timeout(Duration::from_millis(500)).connect().await?;
    let tx = db.begin().await?;
    let error = db.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PoolTimeout);
    assert!(error.to_string().contains("a transaction"), "{error}");
    // Who is at work may finish.
    assert_eq!(tx.fetch_val::<i64>("SELECT 1", ()).await?, 1);
    tx.commit().await?;
    db.close().await?;
    Ok(())
}

#[tokio::test]
async fn native_lends_the_drivers_connection_of_the_right_type_only() -> Result<()> {
    let db = notes().await?;
    let mut conn = db.acquire().await?;
    {
        let mut native = conn.native::<rusqlite::Connection>().await?;
        let tx = native.transaction().expect("no transaction is open");
        tx.execute("INSERT INTO notes(text) VALUES (?1)", ["native"]).expect("the table is there");
        tx.commit().expect("nobody else writes");
        tokio::task::yield_now().await;
        assert!(native.is_autocommit());
    }
    assert_eq!(count(&conn).await?, 1);
    let error = conn.native::<String>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("rusqlite::Connection"), "{error}");
    drop(conn);
    assert_eq!(count(&db).await?, 1);
    // A guard may move to another thread.
    tokio::spawn(async move {
        let mut conn = db.acquire().await?;
        let native = conn.native::<rusqlite::Connection>().await?;
        tokio::task::yield_now().await;
        native.execute("DELETE FROM notes", []).expect("the table is there");
        Ok::<_, Error>(())
    })
    .await
    .expect("the task does not panic")
}

#[tokio::test]
async fn the_builder_takes_every_option_and_reports_bad_ones_when_it_connects() -> Result<()> {
    let connects = Arc::new(AtomicU32::new(0));
    let counted = connects.clone();
    let time = Duration::from_secs(20);
    let builder = Database::builder(String::from("sqlite::memory:"))
        .min_connections(0)
        .max_connections(1)
        .acquire_timeout(time)
        .connect_timeout(time)
        .idle_timeout(time)
        .max_lifetime(time)
        .close_timeout(time)
        .statement_timeout(time)
        .statement_cache_size(3)
        .max_rows(1000)
        .max_bytes(1_000_000)
        .force_rollback(false)
        .option("foreign_keys", "off")
        .password_provider(async || Ok("s3cret".to_owned()))
        .after_connect(move |conn| {
            let connects = counted.clone();
            Box::pin(async move {
                connects.fetch_add(1, Ordering::Relaxed);
                conn.execute("CREATE TABLE made (id INTEGER)", ()).await?;
                Ok(())
            })
        });
    let lazy = builder.connect_lazy()?;
    assert_eq!((connects.load(Ordering::Relaxed), lazy.pool_status().size), (0, 0));
    assert_eq!(lazy.fetch_val::<i64>("SELECT count(*) FROM made", ()).await?, 0);
    assert_eq!(connects.load(Ordering::Relaxed), 1);
    assert!(!lazy.fetch_val::<bool>("PRAGMA foreign_keys", ()).await?);

    let wrong = || Database::builder("sqlite::memory:").max_connections(2);
    assert_eq!(wrong().connect_lazy().unwrap_err().kind(), ErrorKind::Url);
    assert_eq!(wrong().connect().await.unwrap_err().kind(), ErrorKind::Url);
    let failing = Database::builder("sqlite::memory:")
        .after_connect(|conn| Box::pin(async move { conn.execute("no sql", ()).await.map(drop) }));
    assert_eq!(failing.connect().await.unwrap_err().kind(), ErrorKind::Syntax);
    Ok(())
}

#[tokio::test]
async fn with_force_rollback_nothing_stays() -> Result<()> {
    let path = std::env::temp_dir().join(format!("databases-api-{}.db", std::process::id()));
    let url = format!("sqlite:{}", path.display());
    let real = Database::connect(&url).await?;
    real.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, done BOOLEAN)", ()).await?;
    let test = Database::builder(&url).force_rollback(true).connect().await?;
    test.execute("INSERT INTO notes(id) VALUES (1)", ()).await?;
    test.transaction(async |tx| tx.execute("INSERT INTO notes(id) VALUES (2)", ()).await).await?;
    let again = test.execute("INSERT INTO notes(id) VALUES (1)", ()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::UniqueViolation);
    assert_eq!(count(&test).await?, 2);
    for sql in ["COMMIT", "BEGIN"] {
        assert_eq!(test.execute(sql, ()).await.unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(test.acquire().await?.execute(sql, ()).await.unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(test.execute_script(sql).await.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    test.close().await?;
    assert_eq!(count(&real).await?, 0);
    real.close().await?;
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
    Ok(())
}
