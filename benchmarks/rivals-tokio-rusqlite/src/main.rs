//! tokio-rusqlite: a thread for the connection, to which closures are sent.

use std::mem;
use std::path::PathBuf;

use harness::{Client, INSERTED, ITEMS, Item, Plan, Result, Style, Work, item_name};
use tokio::sync::mpsc;
use tokio_rusqlite::{Connection, rusqlite};

struct Sent {
    connection: Connection,
    plan: Plan,
    sql: &'static str,
}

impl Client for Sent {
    async fn open(plan: &Plan) -> Result<Vec<Self>> {
        let connection = match plan.sqlite_file().map(PathBuf::from) {
            None => Connection::open_in_memory().await?,
            Some(file) => Connection::open(file).await?,
        };
        let pragmas = format!("PRAGMA journal_mode = wal; PRAGMA synchronous = {}", plan.synchronous());
        connection.call(move |connection| connection.execute_batch(&pragmas)).await?;
        let sql: &'static str = plan.sql(Style::Question).leak();
        Ok((0..plan.tasks).map(|_| Self { connection: connection.clone(), plan: plan.clone(), sql }).collect())
    }

    async fn script(&mut self, sql: &str) -> Result<()> {
        let sql = sql.to_owned();
        Ok(self.connection.call(move |connection| connection.execute_batch(&sql)).await?)
    }

    async fn run(&mut self, work: Work, i: i64) -> Result<usize> {
        let sql = self.sql;
        if work == Work::Stream {
            return stream(&self.connection, sql).await;
        }
        if !matches!(work, Work::Point | Work::Fetch | Work::Insert | Work::Bulk) {
            return self.plan.unknown();
        }
        Ok(self.connection.call(move |connection| run(connection, sql, work, i)).await?)
    }
}

fn run(connection: &mut rusqlite::Connection, sql: &str, work: Work, i: i64) -> rusqlite::Result<usize> {
    if work == Work::Bulk {
        let tx = connection.transaction()?;
        let mut statement = tx.prepare_cached(sql)?;
        for i in 0..INSERTED {
            statement.execute((item_name(i), i as i64, i as f64 * 1.5, i.is_multiple_of(2)))?;
        }
        drop(statement);
        tx.commit()?;
        return Ok(INSERTED);
    }
    let mut statement = connection.prepare_cached(sql)?;
    match work {
        Work::Point => Ok(statement.query_row([i % ITEMS], item)?.weight()),
        Work::Fetch => {
            let items = statement.query_map([], item)?.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(items.iter().map(Item::weight).sum())
        }
        _ => statement.execute((item_name(i as usize), i, i as f64 * 1.5, i % 2 == 0)),
    }
}

type Many = (i64, String);

/// Rows of a stream that are sent at a time.
const BATCH: usize = 512;

/// The crate itself has no streams: its closure returns all rows, which a great table does not allow. So the closure sends batches.
async fn stream(connection: &Connection, sql: &'static str) -> Result<usize> {
    let (sender, mut batches) = mpsc::channel(2);
    let reader = connection.call(move |connection| send(connection, sql, &sender));
    let consumer = async {
        let mut weight = 0;
        while let Some(batch) = batches.recv().await {
            weight += batch.iter().map(|(id, name): &Many| *id as usize + name.len()).sum::<usize>();
        }
        weight
    };
    let (sent, weight) = tokio::join!(reader, consumer);
    sent?;
    Ok(weight)
}

fn send(connection: &rusqlite::Connection, sql: &str, batches: &mpsc::Sender<Vec<Many>>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(row) = rows.next()? {
        batch.push((row.get(0)?, row.get(1)?));
        if batch.len() == BATCH && batches.blocking_send(mem::replace(&mut batch, Vec::with_capacity(BATCH))).is_err() {
            return Ok(()); // Nobody reads any more.
        }
    }
    let _ = batches.blocking_send(batch);
    Ok(())
}

fn item(row: &rusqlite::Row<'_>) -> rusqlite::Result<Item> {
    Ok(Item { id: row.get(0)?, name: row.get(1)?, price: row.get(2)?, stock: row.get(3)?, active: row.get(4)? })
}

fn main() -> Result<()> {
    harness::serve::<Sent>(&Plan::from_args()?, None)
}
