//! sqlx's pool with its own settings, on each of its databases.

use futures_util::TryStreamExt as _;
use harness::{Client, INSERTED, ITEMS, Plan, Result, Server, Style, Work, item_name, unseen};
use sqlx::pool::PoolOptions;
use sqlx::{AssertSqlSafe, Executor as _, QueryBuilder};

/// As [`harness::Item`], with the derive of sqlx.
#[derive(sqlx::FromRow)]
pub(crate) struct Item {
    id: i64,
    name: String,
    price: f64,
    stock: i32,
    active: bool,
}

impl Item {
    pub(crate) fn weight(self) -> usize {
        let Self { id, name, price, stock, active } = self;
        harness::Item { id, name, price, stock, active }.weight()
    }
}

/// Rows of one `INSERT`: SQLite takes 32,766 parameters.
pub(crate) const AT_ONCE: usize = 5_000;

/// The URL as sqlx writes it, and what each new connection runs.
pub(crate) fn place(plan: &Plan) -> (String, String) {
    if plan.server() != Server::Sqlite {
        return (plan.url.clone(), "SELECT 1".into());
    }
    let pragmas = format!("PRAGMA journal_mode = wal; PRAGMA synchronous = {}", plan.synchronous());
    let url =
        plan.sqlite_file().map_or("sqlite::memory:".into(), |file| format!("sqlite://{}?mode=rwc", file.display()));
    (url, pragmas)
}

/// Parameters as the server wants them.
pub(crate) fn style(plan: &Plan) -> Style {
    if plan.server() == Server::Postgres { Style::Dollar } else { Style::Question }
}

/// The same for each: the bounds of a generic one would be longer than the code.
macro_rules! client {
    ($name:ident, $database:ty) => {
        pub(crate) struct $name {
            pool: sqlx::Pool<$database>,
            plan: Plan,
            sql: &'static str,
        }

        impl Client for $name {
            async fn open(plan: &Plan) -> Result<Vec<Self>> {
                let (url, first) = place(plan);
                let first: &'static str = first.leak();
                let options = PoolOptions::<$database>::new().max_connections(plan.connections as u32);
                let options = options.after_connect(move |connection, _| {
                    Box::pin(async move { connection.execute(first).await.map(|_| ()) })
                });
                let pool = options.connect(&url).await?;
                // sqlx knows a text again by its content, and takes one that lives as long as the program without a copy.
                let sql: &'static str = plan.sql(style(plan)).leak();
                Ok((0..plan.tasks).map(|_| Self { pool: pool.clone(), plan: plan.clone(), sql }).collect())
            }

            async fn script(&mut self, sql: &str) -> Result<()> {
                for statement in sql.split(';') {
                    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&self.pool).await?;
                }
                Ok(())
            }

            async fn run(&mut self, work: Work, i: i64) -> Result<usize> {
                let (pool, sql) = (&self.pool, self.sql);
                Ok(match work {
                    Work::Point => sqlx::query_as::<_, Item>(sql).bind(i % ITEMS).fetch_one(pool).await?.weight(),
                    Work::First => {
                        let query = sqlx::query_as::<_, Item>(AssertSqlSafe(unseen(sql)));
                        query.bind(i % ITEMS).fetch_one(pool).await?.weight()
                    }
                    Work::Fetch => {
                        let items = sqlx::query_as::<_, Item>(sql).fetch_all(pool).await?;
                        items.into_iter().map(Item::weight).sum()
                    }
                    Work::Insert => {
                        let query = sqlx::query(sql).bind(item_name(i as usize)).bind(i).bind(i as f64 * 1.5);
                        query.bind(i % 2 == 0).execute(pool).await?.rows_affected() as usize
                    }
                    Work::Bulk => {
                        let mut tx = pool.begin().await?;
                        for first in (0..INSERTED).step_by(AT_ONCE) {
                            let table = self.plan.own_table();
                            let start = format!("INSERT INTO {table} (name, number, price, active) ");
                            let mut insert = QueryBuilder::<$database>::new(start);
                            insert.push_values(first..first + AT_ONCE, |mut row, i| {
                                row.push_bind(item_name(i)).push_bind(i as i64);
                                row.push_bind(i as f64 * 1.5).push_bind(i.is_multiple_of(2));
                            });
                            insert.build().execute(&mut *tx).await?;
                        }
                        tx.commit().await?;
                        INSERTED
                    }
                    Work::Stream => {
                        let mut rows = sqlx::query_as::<_, (i64, String)>(sql).fetch(pool);
                        let mut weight = 0;
                        while let Some((id, name)) = rows.try_next().await? {
                            weight += id as usize + name.len();
                        }
                        weight
                    }
                    _ => return self.plan.unknown(),
                })
            }
        }
    };
}

client!(Postgres, sqlx::Postgres);
client!(MySql, sqlx::MySql);
client!(Sqlite, sqlx::Sqlite);
