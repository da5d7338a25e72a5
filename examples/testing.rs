//! Tests against a real database that leave no trace: with `force_rollback` nothing is ever committed.
//!
//! ```text
//! cargo run --example testing
//! cargo run --features postgres,mysql --example testing -- postgres://user:password@localhost/database
//! ```

use databases::{Database, Executor, params};

/// The code under test. It has no idea that it is tested: it begins and commits as ever.
async fn register(db: &Database, name: &str) -> databases::Result<i64> {
    db.transaction(async |tx| {
        tx.execute("INSERT INTO example_users(name) VALUES (:name)", params! { name }).await?;
        tx.fetch_val("SELECT count(*) FROM example_users", ()).await
    })
    .await
}

async fn users(db: &Database) -> databases::Result<i64> {
    db.fetch_val("SELECT count(*) FROM example_users", ()).await
}

/// What a test function would do first, each with a `Database` of its own.
async fn test_database(url: &str) -> databases::Result<Database> {
    Database::builder(url).force_rollback(true).connect().await
}

#[tokio::main]
async fn main() -> databases::Result<()> {
    // A file and not `sqlite::memory:`, whose content would be gone with its connection anyway.
    let file = std::env::temp_dir().join(format!("databases-example-testing-{}.db", std::process::id()));
    let url = match std::env::args().nth(1) {
        Some(url) if url != "sqlite::memory:" => url,
        _ => format!("sqlite:{}", file.display()),
    };

    // The schema is made once, by a database that keeps what it does (MySQL commits at every CREATE TABLE).
    let real = Database::connect(&url).await?;
    println!("schema: made the table example_users with one user in {}", real.url());
    real.execute("DROP TABLE IF EXISTS example_users", ()).await?;
    real.execute("CREATE TABLE example_users (name VARCHAR(50) PRIMARY KEY)", ()).await?;
    register(&real, "root").await?;

    println!("first test: registers two users, and one of them twice");
    let db = test_database(&url).await?;
    register(&db, "alice").await?;
    println!("  there are {} users", register(&db, "bob").await?);
    // An error undoes what its call did and no more, as it would without force_rollback.
    let error = register(&db, "bob").await.expect_err("the name is taken");
    println!("  bob again: {:?}, and there are {} users", error.kind(), users(&db).await?);
    db.close().await?;

    println!("second test: starts from the same point");
    let db = test_database(&url).await?;
    println!("  there is {} user", users(&db).await?);
    println!("  alice can be registered: there are {} users", register(&db, "alice").await?);
    // Forgetting close() is no matter: the last handle that is dropped rolls back too.
    drop(db);

    println!("afterwards: there is {} user", users(&real).await?);
    real.execute("DROP TABLE example_users", ()).await?;
    real.close().await?;
    let _ = std::fs::remove_file(file);
    Ok(())
}
