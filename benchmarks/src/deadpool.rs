//! deadpool-postgres: tokio-postgres in a pool that is nearly free.

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use harness::{Client, ITEMS, Plan, Result, Style, Work};
use tokio_postgres::NoTls;

use crate::bare_postgres::{insert, item, stream, unnest, unnest_text};

pub(crate) struct Pooled {
    pool: Pool,
    plan: Plan,
    sql: String,
    /// The other statement of a mixed work.
    other: String,
}

impl Client for Pooled {
    async fn open(plan: &Plan) -> Result<Vec<Self>> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_config(plan.url.parse()?, NoTls, recycling))
            .max_size(plan.connections)
            .build()?;
        let other = match plan.work {
            Work::Locks => Work::Locked,
            _ => Work::Sleep,
        };
        let client = |_| Self {
            pool: pool.clone(),
            plan: plan.clone(),
            sql: if plan.work == Work::Bulk { unnest_text(plan) } else { plan.sql(Style::Dollar) },
            other: plan.sql_of(other, Style::Dollar),
        };
        Ok((0..plan.tasks).map(client).collect())
    }

    async fn script(&mut self, sql: &str) -> Result<()> {
        Ok(self.pool.get().await?.batch_execute(sql).await?)
    }

    async fn run(&mut self, work: Work, i: i64) -> Result<usize> {
        let mut client = self.pool.get().await?;
        let statement = client
            .prepare_cached(if matches!(work, Work::Sleep | Work::Locked) { &self.other } else { &self.sql })
            .await?;
        Ok(match work {
            Work::Point => item(&client.query_one(&statement, &[&(i % ITEMS)]).await?).weight(),
            Work::Fetch => client.query(&statement, &[]).await?.iter().map(|row| item(row).weight()).sum(),
            Work::Bulk => unnest(&client, &statement).await?,
            Work::Stream => stream(&client, &statement).await?,
            Work::Insert => insert(&client, &statement, i).await?,
            Work::Sleep | Work::Locked => client.execute(&statement, &[]).await? as usize,
            Work::Lock => {
                let tx = client.transaction().await?;
                tx.execute(&statement, &[]).await?;
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                tx.commit().await?;
                1
            }
            _ => return self.plan.unknown(),
        })
    }
}
