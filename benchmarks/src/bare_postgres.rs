//! tokio-postgres: a connection for each task, or a few that tasks share and that pipeline.

use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use harness::{Client, INSERTED, ITEMS, Item, Plan, Result, Style, Work, item_name, unseen};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{NoTls, Row, Statement};

use crate::toolbench;

pub(crate) struct Bare {
    client: Arc<tokio_postgres::Client>,
    /// Prepared by the first operation, since the table may not be there before.
    statement: Option<Statement>,
    plan: Plan,
    /// What [`Work::First`] makes new texts of.
    sql: String,
}

/// `bare-2-shared` is two connections for all tasks.
fn connections(plan: &Plan) -> usize {
    let shared = plan.side.strip_prefix("bare-").and_then(|rest| rest.strip_suffix("-shared"));
    shared.and_then(|count| count.parse().ok()).unwrap_or(plan.tasks)
}

/// The text for this side's way of doing the work; none if it is a COPY, which is not prepared.
fn text(plan: &Plan) -> Option<String> {
    match (plan.work, plan.side.as_str()) {
        (Work::CopyFrom, _) | (Work::Bulk, "bare-copy") => None,
        (Work::Bulk, _) => Some(unnest_text(plan)),
        _ => Some(plan.sql(Style::Dollar)),
    }
}

pub(crate) fn unnest_text(plan: &Plan) -> String {
    format!(
        "INSERT INTO {} (name, number, price, active) \
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::float8[], $4::boolean[])",
        plan.own_table()
    )
}

impl Client for Bare {
    async fn open(plan: &Plan) -> Result<Vec<Self>> {
        let mut open = Vec::new();
        for _ in 0..connections(plan) {
            let (client, connection) = tokio_postgres::connect(&plan.url, NoTls).await?;
            tokio::spawn(connection);
            open.push(Arc::new(client));
        }
        let client = |task| Self {
            client: Arc::clone(&open[task % open.len()]),
            statement: None,
            plan: plan.clone(),
            sql: plan.sql(Style::Dollar),
        };
        Ok((0..plan.tasks).map(client).collect())
    }

    async fn script(&mut self, sql: &str) -> Result<()> {
        Ok(self.client.batch_execute(sql).await?)
    }

    async fn run(&mut self, work: Work, i: i64) -> Result<usize> {
        let client = &self.client;
        if matches!((work, self.plan.side.as_str()), (Work::Bulk, "bare-copy")) {
            return copy(client, &self.plan.own_table()).await;
        }
        if work == Work::CopyFrom {
            return toolbench::copy(client, &self.plan.sql(Style::Dollar)).await;
        }
        if work == Work::First && self.plan.side != "bare-warm" {
            return first(client, &unseen(&self.sql), i % ITEMS, self.plan.side == "bare-typed").await;
        }
        let statement = match &self.statement {
            Some(statement) => statement,
            None => {
                let text = text(&self.plan).unwrap_or_default();
                self.statement.insert(client.prepare(&text).await?)
            }
        };
        Ok(match work {
            Work::Point | Work::First => item(&client.query_one(statement, &[&(i % ITEMS)]).await?).weight(),
            Work::Fetch => client.query(statement, &[]).await?.iter().map(|row| item(row).weight()).sum(),
            Work::Insert => insert(client, statement, i).await?,
            Work::Bulk => unnest(client, statement).await?,
            Work::Stream => stream(client, statement).await?,
            work if work.is_toolbench() => toolbench::toolbench(client, statement, work).await?,
            _ => return self.plan.unknown(),
        })
    }
}

pub(crate) fn item(row: &Row) -> Item {
    Item { id: row.get(0), name: row.get(1), price: row.get(2), stock: row.get(3), active: row.get(4) }
}

pub(crate) async fn insert(client: &tokio_postgres::Client, statement: &Statement, i: i64) -> Result<usize> {
    let name = item_name(i as usize);
    Ok(client.execute(statement, &[&name, &i, &(i as f64 * 1.5), &(i % 2 == 0)]).await? as usize)
}

/// `typed` tells the parameter's type to the server, so that no answer is waited for before the values are sent.
async fn first(client: &tokio_postgres::Client, sql: &str, id: i64, typed: bool) -> Result<usize> {
    if typed {
        let rows = client.query_typed(sql, &[(&id, Type::INT8)]).await?;
        return Ok(item(rows.first().ok_or("no row")?).weight());
    }
    let statement = client.prepare(sql).await?;
    Ok(item(&client.query_one(&statement, &[&id]).await?).weight())
}

pub(crate) async fn stream(client: &tokio_postgres::Client, statement: &Statement) -> Result<usize> {
    let mut rows = pin!(client.query_raw(statement, None::<i32>).await?);
    let mut weight = 0;
    while let Some(row) = rows.try_next().await? {
        weight += row.get::<_, i64>(0) as usize + row.get::<_, String>(1).len();
    }
    Ok(weight)
}

pub(crate) async fn unnest(client: &tokio_postgres::Client, statement: &Statement) -> Result<usize> {
    let names: Vec<String> = (0..INSERTED).map(item_name).collect();
    let numbers: Vec<i64> = (0..INSERTED as i64).collect();
    let prices: Vec<f64> = (0..INSERTED).map(|i| i as f64 * 1.5).collect();
    let active: Vec<bool> = (0..INSERTED).map(|i| i.is_multiple_of(2)).collect();
    Ok(client.execute(statement, &[&names, &numbers, &prices, &active]).await? as usize)
}

async fn copy(client: &tokio_postgres::Client, table: &str) -> Result<usize> {
    let sink =
        client.copy_in(&format!("COPY {table} (name, number, price, active) FROM STDIN (FORMAT binary)")).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &[Type::TEXT, Type::INT8, Type::FLOAT8, Type::BOOL]));
    for i in 0..INSERTED {
        let row: [&(dyn ToSql + Sync); 4] = [&item_name(i), &(i as i64), &(i as f64 * 1.5), &i.is_multiple_of(2)];
        writer.as_mut().write(&row).await?;
    }
    Ok(writer.finish().await? as usize)
}
