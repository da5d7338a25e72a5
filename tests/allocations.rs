//! How often a warm statement allocates on SQLite, the driver's own allocations in Rust included, and that the rewriting of
//! `:name` never does. A test binary of its own, with one test: the allocator counts for the whole process.
#![cfg(all(feature = "sqlite", feature = "macros"))]

use std::alloc::System;

use databases::{Database, Executor, FromRow, Result, params};
use databases_core::sql::{Dialect, TemplateCache};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const BY_ID: &str = "SELECT id, name FROM notes WHERE id = :id";

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

async fn reads_and_writes(url: &str) -> Result<()> {
    let db = Database::connect(url).await?;
    db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, name TEXT NOT NULL)", ()).await?;
    db.execute("INSERT INTO notes (id, name) VALUES (1, 'a name')", ()).await?;
    let value = fewest(async || {
        let id: i64 = db.fetch_val("SELECT id FROM notes WHERE id = :id", params! { id: 1 }).await?;
        assert_eq!(id, 1);
        Ok(())
    });
    let pair = fewest(async || {
        let (id, name): (i64, String) = db.fetch_one(BY_ID, params! { id: 1 }).await?;
        assert_eq!((id, &*name), (1, "a name"));
        Ok(())
    });
    let note = fewest(async || {
        let note: Note = db.fetch_one(BY_ID, params! { id: 1 }).await?;
        assert_eq!((note.id, &*note.name), (1, "a name"));
        Ok(())
    });
    let update = fewest(async || {
        let done = db.execute("UPDATE notes SET name = name WHERE id = :id", params! { id: 1 }).await?;
        assert_eq!(done.rows_affected(), 1);
        Ok(())
    });
    let counted = [value.await?, pair.await?, note.await?, update.await?];
    // The parameters, the arguments, and the key of the driver's cache; the text of a row; the places of a struct's
    // columns. A write goes to the worker and back.
    let bounds = [3, 4, 5, 14];
    println!("{url}: value, pair, struct, update: {counted:?}");
    assert!(counted.iter().zip(bounds).all(|(count, bound)| *count <= bound), "{url}: {counted:?}, not {bounds:?}");
    db.close().await
}

#[test]
fn warm_statements_allocate_little_and_the_rewriting_nothing() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("databases-allocations-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ran = runtime.block_on(async {
        reads_and_writes("sqlite::memory:").await?;
        reads_and_writes(&format!("sqlite:///{}", folder.join("file.db").display())).await
    });
    let _ = std::fs::remove_dir_all(&folder);
    ran?;

    let cache = TemplateCache::new();
    let values = params! { id: 1 };
    cache.get_or_scan(BY_ID, Dialect::SQLITE)?.bind(&values, false)?;
    let region = Region::new(ALLOCATOR);
    for _ in 0..1000 {
        let bound = cache.get_or_scan(BY_ID, Dialect::SQLITE)?.bind(&values, false)?;
        assert_eq!(bound.args.len(), 1);
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
    Ok(())
}
