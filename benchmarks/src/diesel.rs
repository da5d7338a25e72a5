//! diesel-async, its pool as it comes with the check of each connection left out.

use diesel::{Insertable, QueryDsl as _, Queryable};
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncMysqlConnection, AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use futures_util::TryStreamExt as _;
use harness::{Client, INSERTED, ITEMS, Plan, Result, Server, Work, item_name};

diesel::table! {
    bench_items (id) {
        id -> BigInt,
        name -> Text,
        price -> Double,
        stock -> Integer,
        active -> Bool,
    }
}

diesel::table! {
    bench_many (id) {
        id -> BigInt,
        name -> Text,
    }
}

diesel::table! {
    bench_own_diesel (id) {
        id -> BigInt,
        name -> Text,
        number -> BigInt,
        price -> Double,
        active -> Bool,
    }
}

#[derive(Queryable)]
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

#[derive(Insertable)]
// With None for a default a statement is not kept prepared.
#[diesel(table_name = bench_own_diesel, treat_none_as_default_value = false)]
struct New {
    name: String,
    number: i64,
    price: f64,
    active: bool,
}

impl From<usize> for New {
    fn from(i: usize) -> Self {
        Self { name: item_name(i), number: i as i64, price: i as f64 * 1.5, active: i.is_multiple_of(2) }
    }
}

/// By TCP, as all others.
fn url(plan: &Plan) -> String {
    let mark = if plan.url.contains('?') { '&' } else { '?' };
    match plan.server() {
        Server::MySql => format!("{}{mark}prefer_socket=false", plan.url),
        _ => plan.url.clone(),
    }
}

/// The same for both servers: a bound that says "any backend with these tables" would be longer than the code.
macro_rules! client {
    ($name:ident, $connection:ty) => {
        pub(crate) struct $name {
            pool: Pool<$connection>,
            plan: Plan,
        }

        impl Client for $name {
            async fn open(plan: &Plan) -> Result<Vec<Self>> {
                let mut config = ManagerConfig::<$connection>::default();
                config.recycling_method = RecyclingMethod::Fast;
                let manager = AsyncDieselConnectionManager::new_with_config(url(plan), config);
                let pool = Pool::builder(manager).max_size(plan.connections).build()?;
                Ok((0..plan.tasks).map(|_| Self { pool: pool.clone(), plan: plan.clone() }).collect())
            }

            async fn script(&mut self, sql: &str) -> Result<()> {
                let mut connection = self.pool.get().await?;
                for statement in sql.split(';') {
                    connection.batch_execute(statement).await?;
                }
                Ok(())
            }

            async fn run(&mut self, work: Work, i: i64) -> Result<usize> {
                let connection = &mut self.pool.get().await?;
                Ok(match work {
                    Work::Point => bench_items::table.find(i % ITEMS).first::<Item>(connection).await?.weight(),
                    Work::Fetch => {
                        bench_items::table.load::<Item>(connection).await?.into_iter().map(Item::weight).sum()
                    }
                    Work::Insert => {
                        let new = New::from(i as usize);
                        diesel::insert_into(bench_own_diesel::table).values(new).execute(connection).await?
                    }
                    Work::Bulk => {
                        let new: Vec<New> = (0..INSERTED).map(New::from).collect();
                        diesel::insert_into(bench_own_diesel::table).values(new).execute(connection).await?
                    }
                    Work::Stream => {
                        let rows = bench_many::table.load_stream::<(i64, String)>(connection).await?;
                        let weigh = |sum, (id, name): (i64, String)| async move { Ok(sum + id as usize + name.len()) };
                        rows.try_fold(0, weigh).await?
                    }
                    _ => return self.plan.unknown(),
                })
            }
        }
    };
}

client!(Postgres, AsyncPgConnection);
client!(MySql, AsyncMysqlConnection);
