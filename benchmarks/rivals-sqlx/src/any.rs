//! sqlx's `Any`, its pool with its own settings.

use futures_util::TryStreamExt as _;
use harness::{Client, INSERTED, ITEMS, Plan, Result, Server, Work, item_name};
use sqlx::pool::PoolOptions;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::native::{AT_ONCE, Item, place, style};

/// [`Item`] without what `Any` does not read on MySQL and SQLite.
#[derive(sqlx::FromRow)]
struct Four {
    id: i64,
    name: String,
    price: f64,
    stock: i32,
}

impl Four {
    fn weight(self) -> usize {
        let Self { id, name, price, stock } = self;
        harness::Item { id, name, price, stock, active: false }.weight()
    }
}

pub(crate) struct Any {
    pool: sqlx::AnyPool,
    plan: Plan,
    sql: &'static str,
    reads_booleans: bool,
}

/// `Any` does not number its placeholders, which PostgreSQL wants, so its `QueryBuilder` is of no use there.
fn insert(plan: &Plan, rows: usize) -> String {
    let row = |i: usize| match plan.server() {
        Server::Postgres => format!("(${}, ${}, ${}, ${})", 4 * i + 1, 4 * i + 2, 4 * i + 3, 4 * i + 4),
        Server::MySql | Server::Sqlite => "(?, ?, ?, ?)".into(),
    };
    let rows = (0..rows).map(row).collect::<Vec<_>>().join(", ");
    format!("INSERT INTO {} (name, number, price, active) VALUES {rows}", plan.own_table())
}

impl Client for Any {
    async fn open(plan: &Plan) -> Result<Vec<Self>> {
        sqlx::any::install_default_drivers();
        let (url, first) = place(plan);
        let first: &'static str = first.leak();
        let options = PoolOptions::<sqlx::Any>::new().max_connections(plan.connections as u32);
        let options = options
            .after_connect(move |connection, _| Box::pin(async move { connection.execute(first).await.map(|_| ()) }));
        let pool = options.connect(&url).await?;
        let reads_booleans = plan.server() == Server::Postgres;
        let sql = match plan.work {
            Work::Bulk => insert(plan, AT_ONCE),
            _ if reads_booleans => plan.sql(style(plan)),
            _ => plan.sql(style(plan)).replace(", active FROM", " FROM"),
        };
        let sql: &'static str = sql.leak();
        Ok((0..plan.tasks).map(|_| Self { pool: pool.clone(), plan: plan.clone(), sql, reads_booleans }).collect())
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
            Work::Point if self.reads_booleans => {
                sqlx::query_as::<_, Item>(sql).bind(i % ITEMS).fetch_one(pool).await?.weight()
            }
            Work::Point => sqlx::query_as::<_, Four>(sql).bind(i % ITEMS).fetch_one(pool).await?.weight(),
            Work::Fetch if self.reads_booleans => {
                let items = sqlx::query_as::<_, Item>(sql).fetch_all(pool).await?;
                items.into_iter().map(Item::weight).sum()
            }
            Work::Fetch => {
                let items = sqlx::query_as::<_, Four>(sql).fetch_all(pool).await?;
                items.into_iter().map(Four::weight).sum()
            }
            Work::Insert => {
                let query = sqlx::query(sql).bind(item_name(i as usize)).bind(i).bind(i as f64 * 1.5);
                query.bind(i % 2 == 0).execute(pool).await?.rows_affected() as usize
            }
            Work::Bulk => {
                let mut tx = pool.begin().await?;
                for first in (0..INSERTED).step_by(AT_ONCE) {
                    let mut query = sqlx::query(sql);
                    for i in first..first + AT_ONCE {
                        query = query.bind(item_name(i)).bind(i as i64);
                        query = query.bind(i as f64 * 1.5).bind(i.is_multiple_of(2));
                    }
                    query.execute(&mut *tx).await?;
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
