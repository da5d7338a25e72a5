//! rusqlite, on the caller's thread.

use std::sync::{Arc, Mutex, PoisonError};

use harness::{Client, INSERTED, ITEMS, Item, Plan, Result, Style, Work, item_name};
use rusqlite::{Connection, Row};

/// The one connection. Its tasks take turns, each for one operation, which never waits for anything; no lock is taken by a task that
/// has it alone.
pub(crate) struct Bare {
    connection: Link,
    plan: Plan,
    sql: String,
}

enum Link {
    Own(Connection),
    Shared(Arc<Mutex<Connection>>),
}

impl Client for Bare {
    async fn open(plan: &Plan) -> Result<Vec<Self>> {
        let connection = match plan.sqlite_file() {
            None => Connection::open_in_memory()?,
            Some(file) => {
                let connection = Connection::open(file)?;
                connection.pragma_update(None, "journal_mode", "wal")?;
                connection.pragma_update(None, "synchronous", plan.synchronous())?;
                connection
            }
        };
        let new = |connection| Self { connection, plan: plan.clone(), sql: plan.sql(Style::Question) };
        if plan.tasks == 1 {
            return Ok(vec![new(Link::Own(connection))]);
        }
        let shared = Arc::new(Mutex::new(connection));
        Ok((0..plan.tasks).map(|_| new(Link::Shared(shared.clone()))).collect())
    }

    async fn script(&mut self, sql: &str) -> Result<()> {
        self.with(|connection, _, _| Ok(connection.execute_batch(sql)?))
    }

    async fn run(&mut self, work: Work, i: i64) -> Result<usize> {
        self.with(|connection, sql, plan| run(connection, sql, plan, work, i))
    }
}

impl Bare {
    fn with<T>(&mut self, f: impl FnOnce(&mut Connection, &str, &Plan) -> Result<T>) -> Result<T> {
        match &mut self.connection {
            Link::Own(connection) => f(connection, &self.sql, &self.plan),
            Link::Shared(shared) => {
                f(&mut shared.lock().unwrap_or_else(PoisonError::into_inner), &self.sql, &self.plan)
            }
        }
    }
}

fn run(connection: &Connection, sql: &str, plan: &Plan, work: Work, i: i64) -> Result<usize> {
    let mut statement = connection.prepare_cached(sql)?;
    Ok(match work {
        Work::Point => statement.query_row([i % ITEMS], item)?.weight(),
        Work::Fetch => {
            let items = statement.query_map([], item)?.collect::<rusqlite::Result<Vec<_>>>()?;
            items.iter().map(Item::weight).sum()
        }
        Work::Insert => statement.execute((item_name(i as usize), i, i as f64 * 1.5, i % 2 == 0))?,
        Work::Bulk => {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            for i in 0..INSERTED {
                statement.execute((item_name(i), i as i64, i as f64 * 1.5, i.is_multiple_of(2)))?;
            }
            connection.execute_batch("COMMIT")?;
            INSERTED
        }
        Work::Stream => {
            let mut rows = statement.query([])?;
            let mut weight = 0;
            while let Some(row) = rows.next()? {
                weight += row.get::<_, i64>(0)? as usize + row.get::<_, String>(1)?.len();
            }
            weight
        }
        _ => return plan.unknown(),
    })
}

fn item(row: &Row<'_>) -> rusqlite::Result<Item> {
    Ok(Item { id: row.get(0)?, name: row.get(1)?, price: row.get(2)?, stock: row.get(3)?, active: row.get(4)? })
}
