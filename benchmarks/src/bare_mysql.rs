//! mysql_async: one connection, or a pool of the driver's own for several tasks.

use futures_util::TryStreamExt as _;
use harness::{Client, INSERTED, ITEMS, Item, Plan, Result, Style, Work, item_name};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder, Params, Pool, PoolConstraints, PoolOpts, Statement, Value};

pub(crate) struct Bare {
    link: Link,
    plan: Plan,
    sql: String,
}

enum Link {
    /// With its statement, once it is prepared.
    Own(Conn, Option<Statement>),
    Pool(Pool),
}

/// How many rows one statement of the bulk insert holds.
const AT_ONCE: usize = 1_000;

impl Client for Bare {
    async fn open(plan: &Plan) -> Result<Vec<Self>> {
        let limits = PoolConstraints::new(plan.connections, plan.connections).ok_or("no connections")?;
        // `bare-pool` is the driver's pool as it comes; it resets each connection that is given back, which forgets its statements.
        let pool = PoolOpts::new().with_constraints(limits).with_reset_connection(plan.side == "bare-pool");
        let options = OptsBuilder::from_opts(Opts::from_url(&plan.url)?).prefer_socket(false).pool_opts(pool);
        let pool = Pool::new(options.clone());
        let mut clients = Vec::new();
        for _ in 0..plan.tasks {
            let link = if plan.tasks == 1 && plan.side != "bare-pool" {
                Link::Own(Conn::new(options.clone()).await?, None)
            } else {
                Link::Pool(pool.clone())
            };
            let sql = match (plan.work, plan.side.as_str()) {
                (Work::Bulk, "bare") => {
                    let sql = plan.sql(Style::Question);
                    format!("{sql}{}", ", (?, ?, ?, ?)".repeat(AT_ONCE - 1))
                }
                _ => plan.sql(Style::Question),
            };
            clients.push(Self { link, plan: plan.clone(), sql });
        }
        Ok(clients)
    }

    async fn script(&mut self, sql: &str) -> Result<()> {
        let conn = match &mut self.link {
            Link::Own(conn, _) => conn,
            Link::Pool(pool) => &mut pool.get_conn().await?,
        };
        for statement in sql.split(';') {
            conn.query_drop(statement).await?;
        }
        Ok(())
    }

    async fn run(&mut self, work: Work, i: i64) -> Result<usize> {
        let mut lent;
        let (conn, statement) = match &mut self.link {
            Link::Own(conn, Some(statement)) => (conn, statement.clone()),
            Link::Own(conn, statement) => {
                let prepared = conn.prep(&self.sql).await?;
                (conn, statement.insert(prepared).clone())
            }
            Link::Pool(pool) => {
                lent = pool.get_conn().await?;
                // The driver finds the statement in the connection's cache.
                let statement = lent.prep(&self.sql).await?;
                (&mut lent, statement)
            }
        };
        Ok(match work {
            Work::Point => item(conn.exec_first(&statement, (i % ITEMS,)).await?.ok_or("no row")?).weight(),
            Work::Fetch => {
                let rows: Vec<Columns> = conn.exec(&statement, ()).await?;
                rows.into_iter().map(|row| item(row).weight()).sum()
            }
            Work::Insert => {
                conn.exec_drop(&statement, inserted(i as usize)).await?;
                conn.affected_rows() as usize
            }
            Work::Bulk => {
                conn.query_drop("BEGIN").await?;
                if self.plan.side == "bare-batch" {
                    conn.exec_batch(&statement, (0..INSERTED).map(inserted)).await?;
                } else {
                    for first in (0..INSERTED).step_by(AT_ONCE) {
                        let values: Vec<Value> = (first..first + AT_ONCE).flat_map(inserted).collect();
                        conn.exec_drop(&statement, Params::Positional(values)).await?;
                    }
                }
                conn.query_drop("COMMIT").await?;
                INSERTED
            }
            Work::Stream => {
                let mut rows = conn.exec_stream::<(i64, String), _, _>(&statement, ()).await?;
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

type Columns = (i64, String, f64, i32, bool);

fn item((id, name, price, stock, active): Columns) -> Item {
    Item { id, name, price, stock, active }
}

fn inserted(i: usize) -> Vec<Value> {
    vec![item_name(i).into(), (i as i64).into(), (i as f64 * 1.5).into(), i.is_multiple_of(2).into()]
}
