//! tokio-rusqlite: a thread for the connection, to which closures are sent.

use std::path::PathBuf;

use harness::{Client, INSERTED, ITEMS, Item, Plan, Result, Style, Work, item_name};
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

fn item(row: &rusqlite::Row<'_>) -> rusqlite::Result<Item> {
    Ok(Item { id: row.get(0)?, name: row.get(1)?, price: row.get(2)?, stock: row.get(3)?, active: row.get(4)? })
}

fn main() -> Result<()> {
    harness::serve::<Sent>(&Plan::from_args()?, None)
}
