//! The first five minutes: connect, make a table, write, read, and change things in a transaction.
//!
//! On SQLite, with nothing to install:
//!
//! ```text
//! cargo run --example quickstart
//! ```
//!
//! The same program on a server:
//!
//! ```text
//! cargo run --features postgres,mysql --example quickstart -- postgres://user:password@localhost/database
//! ```

use databases::sea_query::{ColumnDef, Table};
use databases::{Database, Executor, FromRow, params};

#[derive(FromRow)]
struct Note {
    id: i64,
    text: String,
    done: bool,
}

#[tokio::main]
async fn main() -> databases::Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "sqlite::memory:".to_owned());
    let db = Database::connect(url).await?;
    // A URL prints `***` for its password, so this is safe to log.
    println!("connected to {}", db.url());
    println!("backend {}, server {}", db.backend(), db.server_info().await?.version);

    // Every server spells "number the rows for me" differently; the query builder knows how.
    db.execute("DROP TABLE IF EXISTS example_quickstart", ()).await?;
    let table = Table::create()
        .table("example_quickstart")
        .col(ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key())
        .col(ColumnDef::new("text").text().not_null())
        .col(ColumnDef::new("done").boolean().not_null())
        .take();
    db.execute(table, ()).await?;
    println!("made the table example_quickstart");

    // One SQL text for all three: `:text` and `:done` are filled in by name.
    let insert = "INSERT INTO example_quickstart(text, done) VALUES (:text, :done)";
    let result = db.execute(insert, params! { text: "buy milk", done: false }).await?;
    println!("inserted {} row, last id {:?} (None on PostgreSQL)", result.rows_affected(), result.last_insert_id());
    let (text, done) = ("write a test", true);
    db.execute(insert, params! { text, done }).await?;

    // Rows as a struct, by the names of the columns.
    let notes: Vec<Note> = db.fetch_all("SELECT id, text, done FROM example_quickstart ORDER BY id", ()).await?;
    println!("all notes:");
    for note in &notes {
        println!("  {} [{}] {}", note.id, if note.done { 'x' } else { ' ' }, note.text);
    }

    // One value. What it is read as is the type that is asked for.
    let open: i64 =
        db.fetch_val("SELECT count(*) FROM example_quickstart WHERE done = :done", params! { done: false }).await?;
    println!("still to do: {open}");

    // All of this happens, or none of it: an error from the closure rolls back.
    let finished = db
        .transaction(async |tx| {
            let changed = tx
                .execute(
                    "UPDATE example_quickstart SET done = :done WHERE text = :text",
                    params! { done: true, text: "buy milk" },
                )
                .await?;
            tx.execute(insert, params! { text: "drink milk", done: false }).await?;
            Ok::<_, databases::Error>(changed.rows_affected())
        })
        .await?;
    println!("the transaction finished {finished} note and added another");

    let open: Vec<(i64, String)> =
        db.fetch_all("SELECT id, text FROM example_quickstart WHERE done = :done", params! { done: false }).await?;
    println!("still to do: {open:?}");

    db.execute("DROP TABLE example_quickstart", ()).await?;
    db.close().await?;
    println!("dropped the table and closed the database");
    Ok(())
}
