//! Many rows at once: `execute_many` from an iterator, all or none; and lists in a query.
//!
//! ```text
//! cargo run --example bulk_insert
//! cargo run --features postgres,mysql --example bulk_insert -- mysql://user:password@localhost/database
//! ```

use std::time::Instant;

use databases::{Database, Executor, Params, list, params};

/// Parameters as a struct: each field is the `:name` of its name.
#[derive(Params)]
struct Word {
    id: i64,
    word: String,
}

#[tokio::main]
async fn main() -> databases::Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "sqlite::memory:".to_owned());
    let db = Database::connect(url).await?;
    db.execute("DROP TABLE IF EXISTS example_words", ()).await?;
    db.execute("CREATE TABLE example_words (id BIGINT PRIMARY KEY, word VARCHAR(50) NOT NULL UNIQUE)", ()).await?;
    let insert = "INSERT INTO example_words(id, word) VALUES (:id, :word)";

    // Rows are pulled from the iterator as they are sent: it may read a file, and nothing collects it first.
    let started = Instant::now();
    let words = (1..=5_000).map(|id| Word { id, word: format!("word {id}") });
    let written = db.execute_many(insert, words).await?;
    println!("wrote {written} rows in {} ms", started.elapsed().as_millis());

    // All or none: the third row repeats a word, so the first two are not there either.
    let rows = [(6_001i64, "new"), (6_002, "newer"), (6_003, "word 7")];
    let error = db
        .execute_many(insert, rows.map(|(id, word)| params! { id, word }))
        .await
        .expect_err("one of the words is there already");
    println!("a batch with a duplicate: {:?}, {error}", error.kind());
    println!("  constraint {:?}, columns {:?}", error.constraint(), error.columns());
    let count: i64 = db.fetch_val("SELECT count(*) FROM example_words", ()).await?;
    println!("still {count} rows");

    // In a transaction the batch is undone by itself, and the transaction goes on.
    let tx = db.begin().await?;
    tx.execute_many(insert, rows[..2].iter().map(|&(id, word)| params! { id, word })).await?;
    let again = tx.execute_many(insert, rows.map(|(id, word)| params! { id, word })).await;
    println!("the whole batch again, in a transaction: {:?}", again.map_err(|error| error.kind()));
    tx.commit().await?;
    let count: i64 = db.fetch_val("SELECT count(*) FROM example_words", ()).await?;
    println!("now {count} rows: what was before the failed batch was committed");

    // A list becomes as many placeholders as it has items.
    let found: Vec<(i64, String)> = db
        .fetch_all(
            "SELECT id, word FROM example_words WHERE id IN (:ids) ORDER BY id",
            params! { ids: list([3, 1_000, 999_999]) },
        )
        .await?;
    println!("found by id: {found:?}");
    // An empty one finds nothing, and is no syntax error.
    let none: Vec<(i64,)> = db
        .fetch_all("SELECT id FROM example_words WHERE id IN (:ids)", params! { ids: list(Vec::<i64>::new()) })
        .await?;
    println!("found by an empty list: {none:?}");
    // And of tuples.
    let pairs: i64 = db
        .fetch_val(
            "SELECT count(*) FROM example_words WHERE (id, word) IN (:pairs)",
            params! { pairs: list([(1i64, "word 1"), (2, "word 2"), (3, "word 4")]) },
        )
        .await?;
    println!("found {pairs} of three pairs");

    db.execute("DROP TABLE example_words", ()).await?;
    db.close().await
}
