//! sea-orm: entities instead of SQL.

use futures_util::TryStreamExt as _;
use harness::{Client, INSERTED, ITEMS, Plan, Result, Work, item_name};
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ActiveValue, ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, EntityTrait as _,
    TransactionTrait as _,
};

use crate::native::{AT_ONCE, place};

mod items {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "bench_items")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub name: String,
        pub price: f64,
        pub stock: i32,
        pub active: bool,
    }

    #[derive(Clone, Copy, Debug, DeriveRelation, EnumIter)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod own {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "bench_own_sea_orm")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub name: String,
        pub number: i64,
        pub price: f64,
        pub active: bool,
    }

    #[derive(Clone, Copy, Debug, DeriveRelation, EnumIter)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod many {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "bench_many")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub name: String,
    }

    #[derive(Clone, Copy, Debug, DeriveRelation, EnumIter)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) struct Orm {
    db: DatabaseConnection,
    plan: Plan,
}

fn weight(items::Model { id, name, price, stock, active }: items::Model) -> usize {
    harness::Item { id, name, price, stock, active }.weight()
}

fn inserted(i: usize) -> own::ActiveModel {
    own::ActiveModel {
        id: ActiveValue::NotSet,
        name: ActiveValue::Set(item_name(i)),
        number: ActiveValue::Set(i as i64),
        price: ActiveValue::Set(i as f64 * 1.5),
        active: ActiveValue::Set(i.is_multiple_of(2)),
    }
}

impl Client for Orm {
    async fn open(plan: &Plan) -> Result<Vec<Self>> {
        let (url, _) = place(plan);
        let mut options = ConnectOptions::new(url);
        options.max_connections(plan.connections as u32).sqlx_logging(false);
        let synchronous =
            if plan.synchronous() == "full" { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
        options
            .map_sqlx_sqlite_opts(move |options| options.journal_mode(SqliteJournalMode::Wal).synchronous(synchronous));
        let db = Database::connect(options).await?;
        Ok((0..plan.tasks).map(|_| Self { db: db.clone(), plan: plan.clone() }).collect())
    }

    async fn script(&mut self, sql: &str) -> Result<()> {
        for statement in sql.split(';') {
            self.db.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn run(&mut self, work: Work, i: i64) -> Result<usize> {
        Ok(match work {
            Work::Point => weight(items::Entity::find_by_id(i % ITEMS).one(&self.db).await?.ok_or("no row")?),
            Work::Fetch => items::Entity::find().all(&self.db).await?.into_iter().map(weight).sum(),
            Work::Insert => {
                let insert = own::Entity::insert(inserted(i as usize));
                insert.exec_without_returning(&self.db).await? as usize
            }
            Work::Stream => {
                let mut rows = many::Entity::find().stream(&self.db).await?;
                let mut weight = 0;
                while let Some(many::Model { id, name }) = rows.try_next().await? {
                    weight += id as usize + name.len();
                }
                weight
            }
            Work::Bulk => {
                let tx = self.db.begin().await?;
                for first in (0..INSERTED).step_by(AT_ONCE) {
                    let rows = (first..first + AT_ONCE).map(inserted);
                    own::Entity::insert_many(rows).exec_without_returning(&tx).await?;
                }
                tx.commit().await?;
                INSERTED
            }
            _ => return self.plan.unknown(),
        })
    }
}
