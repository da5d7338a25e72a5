//! Streams: rows one by one in bounded memory, as many as there are, and stopping early.
//!
//! ```text
//! cargo run --example streaming
//! cargo run --features postgres,mysql --example streaming -- postgres://user:password@localhost/database
//! ```

use databases::{Database, Executor, FromRow, Row, params};
use futures_util::TryStreamExt;

const ROWS: i64 = 10_000;

#[derive(FromRow)]
struct Reading {
    id: i64,
    sensor: String,
    celsius: f64,
}

#[tokio::main]
async fn main() -> databases::Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "sqlite::memory:".to_owned());
    let db = Database::connect(url).await?;
    db.execute("DROP TABLE IF EXISTS example_readings", ()).await?;
    db.execute(
        "CREATE TABLE example_readings (id BIGINT PRIMARY KEY, sensor VARCHAR(20), celsius DOUBLE PRECISION)",
        (),
    )
    .await?;
    let readings = (0..ROWS).map(|id| {
        let sensor = if id % 3 == 0 { "roof" } else { "cellar" };
        params! { id, sensor, celsius: 10.0 + 0.25 * (id % 40) as f64 }
    });
    let written = db
        .execute_many("INSERT INTO example_readings(id, sensor, celsius) VALUES (:id, :sensor, :celsius)", readings)
        .await?;
    println!("wrote {written} readings");

    // Nothing is sent before the first row is asked for. After that the stream stays a little ahead of this loop, and
    // never holds the whole result: a hundred times as many rows would take as much memory.
    let mut rows = db.iterate::<Reading>(
        "SELECT id, sensor, celsius FROM example_readings WHERE sensor = :sensor ORDER BY id",
        params! { sensor: "roof" },
    );
    let (mut count, mut sum, mut last) = (0u32, 0.0, 0);
    while let Some(reading) = rows.try_next().await? {
        debug_assert_eq!(reading.sensor, "roof");
        count += 1;
        sum += reading.celsius;
        last = reading.id;
    }
    println!(
        "read {count} rows one by one, the last with id {last}; on the roof it is {:.2} °C",
        sum / f64::from(count)
    );

    // Stopping early: drop the stream. The statement is stopped, and its connection is free again.
    let mut rows = db.iterate::<(i64, f64)>("SELECT id, celsius FROM example_readings ORDER BY id", ());
    let mut seen = 0;
    let found = loop {
        match rows.try_next().await? {
            Some((id, celsius)) if celsius >= 19.0 => break Some(id),
            Some(_) => seen += 1,
            None => break None,
        }
    };
    drop(rows);
    println!("the first reading of 19 °C or more is {found:?}; looked at {seen} rows before it and at none behind it");

    // In a transaction a stream has the handle to itself until it ends or is dropped; then the transaction goes on.
    let tx = db.begin().await?;
    {
        let mut rows = tx.iterate::<Row>("SELECT * FROM example_readings ORDER BY id DESC", ());
        if let Some(row) = rows.try_next().await? {
            println!("the newest row has the id {}", row.get::<i64>("id")?);
        }
        let busy = tx.execute("DELETE FROM example_readings", ()).await.expect_err("the stream is open");
        println!("a second statement meanwhile: {:?}", busy.kind());
    }
    let deleted = tx.execute("DELETE FROM example_readings WHERE id < :id", params! { id: 100 }).await?;
    println!("after the stream: deleted {} rows", deleted.rows_affected());
    tx.commit().await?;

    db.execute("DROP TABLE example_readings", ()).await?;
    db.close().await
}
