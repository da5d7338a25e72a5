//! The API as its users write it, on SQLite in memory: what compiles, what it means, and what it never prints.
//!
//! What the servers do is the matter of the conformance suite; here it is names, shapes, and where they may be used.

#[path = "api/dispatch.rs"]
mod dispatch;
#[path = "api/parameters.rs"]
mod parameters;
#[path = "api/rows.rs"]
mod rows;
#[path = "api/shapes.rs"]
mod shapes;
#[path = "api/transactions.rs"]
mod transactions;

use databases::{Database, Executor, FromRow, Row, params};

/// A database in memory with the table of most tests.
async fn notes() -> databases::Result<Database> {
    let db = Database::connect("sqlite::memory:").await?;
    db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, done BOOLEAN)", ()).await?;
    Ok(db)
}

async fn count(db: &impl Executor) -> databases::Result<i64> {
    db.fetch_val("SELECT count(*) FROM notes", ()).await
}

// Word for word from the design, where it stands as the contract; only the assertions between the lines are added.
#[tokio::test]
async fn the_code_of_the_design_compiles_and_runs() -> databases::Result<()> {
    let texts = ["x".to_owned(), "y".to_owned()];

    let db = Database::connect("sqlite::memory:").await?; // or postgres://…, mysql://…
    db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, done BOOLEAN)", ()).await?;
    let r =
        db.execute("INSERT INTO notes(text, done) VALUES (:text, :done)", params! { text: "a", done: true }).await?;
    assert_eq!((r.rows_affected(), r.last_insert_id()), (1, Some(1))); // None on PostgreSQL

    #[derive(FromRow)]
    struct Note {
        id: i64,
        text: String,
        done: bool,
    }
    let notes: Vec<Note> = db.fetch_all("SELECT * FROM notes WHERE done = :done", params! { done: true }).await?;
    assert_eq!((notes.len(), notes[0].id, &*notes[0].text, notes[0].done), (1, 1, "a", true));
    let rows: Vec<Row> = db.fetch_all("SELECT * FROM notes", ()).await?;
    assert_eq!(rows[0].get::<String>("text")?, "a");
    let pair: (i64, String) = db.fetch_one("SELECT id, text FROM notes", ()).await?;
    assert_eq!(pair, (1, "a".to_owned()));
    let n: i64 = db.fetch_val("SELECT count(*) FROM notes", ()).await?;
    assert_eq!(n, 1);

    let tx = db.begin().await?; // dropped without commit: rolled back before anyone reuses the connection
    tx.execute_many("INSERT INTO notes(text) VALUES (:text)", texts.iter().map(|t| params! { text: t })).await?;
    let inner = tx.begin().await?; // savepoint
    inner.rollback().await?;
    tx.commit().await?;
    let id = db.transaction(async |tx| tx.fetch_val::<i64>("SELECT 1", ()).await).await?;
    assert_eq!(id, 1);
    // With braces, as the design has it: rustfmt would take them away.
    #[rustfmt::skip]
    let id = db.transaction(async |tx| { tx.fetch_val::<i64>("SELECT 1", ()).await }).await?;
    assert_eq!(id, 1);

    assert_eq!(count(&db).await?, 3);
    drop(db.begin().await?);
    assert_eq!(count(&db).await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_rolled_back() -> databases::Result<()> {
    let db = notes().await?;
    let tx = db.begin().await?;
    tx.execute("INSERT INTO notes(text) VALUES ('a')", ()).await?;
    assert_eq!(count(&tx).await?, 1);
    drop(tx);
    assert_eq!(count(&db).await?, 0);
    Ok(())
}
