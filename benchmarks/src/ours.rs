//! This crate.

use databases::{Connection, Database, Executor, FromRow, Params, Row, TransactionOptions, Value, params};
use futures_util::TryStreamExt as _;
use harness::{
    BATCH, COPIED, COPIED_ROW, Client, INSERTED, ITEMS, Plan, Result, Server, Style, Work, item_name, unseen,
};
use tokio::sync::Semaphore;

/// As [`harness::Item`], with the derive of this crate.
#[derive(FromRow)]
struct Item {
    id: i64,
    name: String,
    price: f64,
    stock: i32,
    active: bool,
}

impl Item {
    fn weight(self) -> usize {
        let Self { id, name, price, stock, active } = self;
        harness::Item { id, name, price, stock, active }.weight()
    }
}

/// How many transactions at a time await a read beside them.
static OWNERS: Semaphore = Semaphore::const_new(4);

pub(crate) struct Ours {
    db: Database,
    plan: Plan,
    sql: String,
    /// The other statement of a mixed work.
    other: String,
    /// What the toolbench calls its own connection.
    connection: Option<Connection>,
}

/// Makes the tables that all sides read.
pub(crate) fn make_tables(plan: &Plan) -> Result<()> {
    let sql = plan.tables()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let db = Database::connect(&plan.url).await?;
        db.execute_script(&sql).await?;
        db.close().await?;
        println!("ready");
        Ok(())
    })
}

/// With the option that a side is named after; on MySQL, which offers TLS by itself, without it, as all others.
fn url(plan: &Plan) -> String {
    let option = match plan.side.as_str() {
        "ours-lanes-off" => "lanes=off",
        "ours-inline-off" => "inline_reads=off",
        "ours-group-off" => "group_commit=off",
        _ if plan.server() == Server::MySql => "sslmode=disable",
        _ => return plan.url.clone(),
    };
    let separator = if plan.url.contains('?') { '&' } else { '?' };
    format!("{}{separator}{option}", plan.url)
}

impl Client for Ours {
    async fn open(plan: &Plan) -> Result<Vec<Self>> {
        let mut builder = Database::builder(url(plan));
        if !plan.url.contains(":memory:") {
            builder = builder.max_connections(plan.connections);
        }
        let db = builder.connect().await?;
        let other = match plan.work {
            Work::Locks => Work::Locked,
            _ => Work::Sleep,
        };
        let mut clients = Vec::new();
        for _ in 0..plan.tasks {
            clients.push(Self {
                db: db.clone(),
                plan: plan.clone(),
                sql: plan.sql(Style::Named),
                other: plan.sql_of(other, Style::Named),
                connection: if plan.work.is_toolbench() { Some(db.acquire().await?) } else { None },
            });
        }
        Ok(clients)
    }

    async fn script(&mut self, sql: &str) -> Result<()> {
        match &self.connection {
            Some(connection) => connection.execute_script(sql).await?,
            None => self.db.execute_script(sql).await?,
        }
        Ok(())
    }

    async fn run(&mut self, work: Work, i: i64) -> Result<usize> {
        let (db, sql) = (&self.db, &self.sql);
        if let Some(connection) = &self.connection {
            return toolbench(connection, work, sql, &self.plan.own_table()).await;
        }
        Ok(match work {
            Work::Point => db.fetch_one::<Item>(sql, params! { id: i % ITEMS }).await?.weight(),
            Work::First => {
                let query = databases::sql(unseen(sql)).prepared(self.plan.side != "ours-unprepared");
                db.fetch_one::<Item>(query, params! { id: i % ITEMS }).await?.weight()
            }
            Work::Fetch if self.plan.side == "ours-row" => {
                let rows: Vec<Row> = db.fetch_all(sql, ()).await?;
                rows.iter().map(weight_of_row).sum::<databases::Result<usize>>()?
            }
            Work::Fetch => db.fetch_all::<Item>(sql, ()).await?.into_iter().map(Item::weight).sum(),
            Work::Insert => db.execute(sql, inserted(i as usize)).await?.rows_affected() as usize,
            Work::Bulk if self.plan.side == "ours-copy" => {
                let columns = ["name", "number", "price", "active"];
                db.copy_rows(self.plan.own_table(), columns, (0..INSERTED).map(inserted)).await? as usize
            }
            Work::Bulk => db.execute_many(sql, (0..INSERTED).map(inserted)).await? as usize,
            Work::Stream => {
                let mut rows = db.iterate::<(i64, String)>(sql, ());
                let mut weight = 0;
                while let Some((id, name)) = rows.try_next().await? {
                    weight += id as usize + name.len();
                }
                weight
            }
            Work::Alone => {
                let alone = db.acquire().await?;
                alone.fetch_one::<Item>(sql, params! { id: i % ITEMS }).await?.weight()
            }
            Work::Owner => {
                // If all connections were owners', none would be left for what they await.
                let _few = OWNERS.acquire().await?;
                let tx = db.begin().await?;
                let inside: Item = tx.fetch_one(sql, params! { id: i % ITEMS }).await?;
                let beside: Item = db.fetch_one(sql, params! { id: (i + 1) % ITEMS }).await?;
                tx.commit().await?;
                inside.weight() + beside.weight()
            }
            Work::Sleep | Work::Locked => db.execute(&self.other, ()).await?.rows_affected() as usize,
            Work::Lock => {
                let tx = db.begin_with(TransactionOptions::default()).await?;
                tx.execute(sql, ()).await?;
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                tx.commit().await?;
                1
            }
            _ => return self.plan.unknown(),
        })
    }
}

fn inserted(i: usize) -> Params<'static> {
    params! { name: item_name(i), number: i as i64, price: i as f64 * 1.5, active: i.is_multiple_of(2) }
}

fn weight_of_row(row: &Row) -> databases::Result<usize> {
    let (id, name, price, stock, active) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
    Ok(harness::Item { id, name, price, stock, active }.weight())
}

async fn toolbench(connection: &Connection, work: Work, sql: &str, table: &str) -> Result<usize> {
    let (a, b, c, d, e, f, g) = COPIED_ROW;
    let rows = |count| (0..count).map(move |_| params! { a, b, c, d, e, f, g });
    let rows: Vec<Row> = match work {
        Work::PgType => connection.fetch_all(sql, params! { typtypmod: -1, typisdefined: true }).await?,
        Work::Series => connection.fetch_all(sql, params! { n: 1000 }).await?,
        Work::Batch => return Ok(connection.execute_many(sql, rows(BATCH)).await? as usize),
        Work::CopyFrom => {
            let columns = ["a", "b", "c", "d", "e", "f", "g"];
            return Ok(connection.copy_rows(table, columns, rows(COPIED)).await? as usize);
        }
        _ => connection.fetch_all(sql, ()).await?,
    };
    let mut weight = 0;
    for row in &rows {
        weight += std::hint::black_box(Vec::<Value>::from_row(row)?).len();
    }
    Ok(weight)
}
