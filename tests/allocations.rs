//! How often a warm statement allocates on each backend, the driver's own allocations in Rust included, and that the
//! rewriting of `:name` never does. A test binary of its own, with one test: the allocator counts for the whole process.
#![cfg(all(feature = "sqlite", feature = "macros"))]

use std::alloc::System;

use databases::{Database, Executor, FromRow, Result, params};
use databases_core::sql::{Dialect, TemplateCache};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(FromRow)]
struct Note {
    id: i64,
    name: String,
}

/// The fewest allocations of a call of `run`, once it is warm: a read that was found to be long on a busy machine goes another
/// way for some time.
async fn fewest(mut run: impl AsyncFnMut() -> Result<()>) -> Result<usize> {
    let mut fewest = usize::MAX;
    for _ in 0..400 {
        let region = Region::new(ALLOCATOR);
        run().await?;
        let change = region.change();
        fewest = fewest.min(change.allocations + change.reallocations);
    }
    Ok(fewest)
}

/// What is counted, in this order.
const CALLS: [&str; 5] = ["fetch_val", "fetch_one, tuple", "fetch_one, struct", "execute", "begin, execute, commit"];

/// How many there may be. SQLite, a read: the parameters, the key of the driver's cache, the text of a row; what writes goes
/// to the worker and back. PostgreSQL, MariaDB: 5 to 11 more for a statement than the bare driver takes. MySQL describes the
/// columns of each result again.
fn bounds(product: &str) -> [usize; CALLS.len()] {
    match product {
        "SQLite" => [2, 3, 3, 14, 22],
        "PostgreSQL" => [19, 20, 20, 21, 44],
        "MariaDB" => [19, 21, 21, 19, 31],
        "MySQL" => [36, 46, 46, 21, 37],
        other => panic!("no bounds for {other}"),
    }
}

/// Counts each of [`CALLS`], and holds it to its bound. The driver's own task is part of it: all run on this thread.
async fn reads_and_writes(url: &str) -> Result<()> {
    let table = format!("allocations_{}", std::process::id());
    let db = Database::connect(url).await?;
    db.execute(format!("CREATE TABLE {table} (id BIGINT PRIMARY KEY, name VARCHAR(40) NOT NULL)"), ()).await?;
    let counted = counts(&db, &table).await;
    db.execute(format!("DROP TABLE {table}"), ()).await?;
    let (counted, server) = (counted?, db.server_info().await?);
    let (product, version, bounds) = (&server.product, &server.version, bounds(&server.product));
    println!("{product} {version}: {CALLS:?}: {counted:?}");
    for ((call, count), bound) in CALLS.iter().zip(counted).zip(bounds) {
        assert!(count <= bound, "{product} {version}: {count} allocations of `{call}`, at most {bound}");
    }
    db.close().await
}

async fn counts(db: &Database, table: &str) -> Result<[usize; CALLS.len()]> {
    db.execute(format!("INSERT INTO {table} (id, name) VALUES (1, 'a name')"), ()).await?;
    let [id, by_id, update] = [
        format!("SELECT id FROM {table} WHERE id = :id"),
        format!("SELECT id, name FROM {table} WHERE id = :id"),
        format!("UPDATE {table} SET name = :name WHERE id = :id"),
    ];
    let value = fewest(async || {
        let id: i64 = db.fetch_val(&*id, params! { id: 1 }).await?;
        assert_eq!(id, 1);
        Ok(())
    });
    let pair = fewest(async || {
        let (id, name): (i64, String) = db.fetch_one(&*by_id, params! { id: 1 }).await?;
        assert_eq!((id, &*name), (1, "a name"));
        Ok(())
    });
    let note = fewest(async || {
        let note: Note = db.fetch_one(&*by_id, params! { id: 1 }).await?;
        assert_eq!((note.id, &*note.name), (1, "a name"));
        Ok(())
    });
    let write = fewest(async || {
        db.execute(&*update, params! { id: 1, name: "a name" }).await?;
        Ok(())
    });
    let transaction = fewest(async || {
        let tx = db.begin().await?;
        tx.execute(&*update, params! { id: 1, name: "a name" }).await?;
        tx.commit().await
    });
    Ok([value.await?, pair.await?, note.await?, write.await?, transaction.await?])
}

/// The servers of `TEST_DATABASE_URLS` whose URLs begin with one of `schemes`.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn servers(schemes: &[&str]) -> Vec<String> {
    let urls = std::env::var("TEST_DATABASE_URLS").unwrap_or_default();
    let urls = urls.split(',').map(str::trim).filter(|url| schemes.iter().any(|scheme| url.starts_with(scheme)));
    let urls: Vec<String> = urls.map(str::to_owned).collect();
    if urls.is_empty() {
        let required = std::env::var("TEST_REQUIRE_BACKENDS").unwrap_or_default();
        let is_required = schemes.iter().any(|scheme| required.contains(scheme));
        assert!(!is_required, "TEST_REQUIRE_BACKENDS wants one of {schemes:?}; TEST_DATABASE_URLS has none");
        eprintln!("left out: TEST_DATABASE_URLS names none of {schemes:?}");
    }
    urls
}

#[test]
fn warm_statements_allocate_little_and_the_rewriting_nothing() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("databases-allocations-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ran: Result<()> = runtime.block_on(async {
        reads_and_writes("sqlite::memory:").await?;
        reads_and_writes(&format!("sqlite:///{}", folder.join("file.db").display())).await?;
        #[cfg(feature = "postgres")]
        for url in servers(&["postgres"]) {
            reads_and_writes(&url).await?;
        }
        #[cfg(feature = "mysql")]
        for url in servers(&["mysql", "mariadb"]) {
            reads_and_writes(&url).await?;
        }
        Ok(())
    });
    let _ = std::fs::remove_dir_all(&folder);
    ran?;

    let cache = TemplateCache::new();
    let (by_id, values) = ("SELECT id, name FROM notes WHERE id = :id", params! { id: 1 });
    cache.get_or_scan(by_id, Dialect::SQLITE)?.bind(&values, false)?;
    let region = Region::new(ALLOCATOR);
    for _ in 0..1000 {
        let bound = cache.get_or_scan(by_id, Dialect::SQLITE)?.bind(&values, false)?;
        assert_eq!(bound.args.len(), 1);
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
    Ok(())
}
