//! The queries of the toolbench on a connection of sqlx, every row decoded to owned values.

use std::hint::black_box;

use harness::{BATCH, COPIED, COPIED_ROW, Client, Plan, Result, Style, Work};
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column as _, Connection as _, Row as _, TypeInfo as _};

pub(crate) struct Own {
    connection: PgConnection,
    plan: Plan,
    sql: &'static str,
}

/// An owned value of whatever type the server says.
#[expect(dead_code, reason = "the values are only made, which is what is measured")]
enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
    Array(Vec<Option<i32>>),
}

fn value(row: &PgRow, i: usize) -> Result<Value> {
    let null = || Value::Null;
    Ok(match row.column(i).type_info().name() {
        "BOOL" => row.try_get::<Option<bool>, _>(i)?.map_or_else(null, Value::Bool),
        "\"CHAR\"" => row.try_get::<Option<i8>, _>(i)?.map_or_else(null, |n| Value::Int(n.into())),
        "INT2" => row.try_get::<Option<i16>, _>(i)?.map_or_else(null, |n| Value::Int(n.into())),
        "INT4" => row.try_get::<Option<i32>, _>(i)?.map_or_else(null, |n| Value::Int(n.into())),
        "OID" => row.try_get::<Option<Oid>, _>(i)?.map_or_else(null, |n| Value::Int(n.0.into())),
        "BYTEA" => row.try_get::<Option<Vec<u8>>, _>(i)?.map_or_else(null, Value::Bytes),
        "INT4[]" => row.try_get::<Option<Vec<Option<i32>>>, _>(i)?.map_or_else(null, Value::Array),
        _ => row.try_get::<Option<String>, _>(i)?.map_or_else(null, Value::Text),
    })
}

impl Client for Own {
    async fn open(plan: &Plan) -> Result<Vec<Self>> {
        let sql: &'static str = plan.sql(Style::Dollar).replace(" (FORMAT binary)", "").leak();
        let mut clients = Vec::new();
        for _ in 0..plan.tasks {
            clients.push(Self { connection: PgConnection::connect(&plan.url).await?, plan: plan.clone(), sql });
        }
        Ok(clients)
    }

    async fn script(&mut self, sql: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await?;
        Ok(())
    }

    async fn run(&mut self, work: Work, _: i64) -> Result<usize> {
        let connection = &mut self.connection;
        let rows = match work {
            Work::PgType => sqlx::query(self.sql).bind(-1).bind(true).fetch_all(connection).await?,
            Work::Series => sqlx::query(self.sql).bind(1000).fetch_all(connection).await?,
            Work::Blobs | Work::Arrays | Work::OnePlusOne => sqlx::query(self.sql).fetch_all(connection).await?,
            Work::Batch => return batch(connection, self.sql).await,
            Work::CopyFrom => return copy(connection, self.sql).await,
            _ => return self.plan.unknown(),
        };
        let mut weight = 0;
        for row in &rows {
            // Collecting results would not tell how many there are.
            let mut values = Vec::with_capacity(row.len());
            for i in 0..row.len() {
                values.push(value(row, i)?);
            }
            weight += black_box(values).len();
        }
        Ok(weight)
    }
}

/// sqlx has no batch and no pipeline.
async fn batch(connection: &mut PgConnection, sql: &'static str) -> Result<usize> {
    let (a, b, c, d, e, f, g) = COPIED_ROW;
    let mut tx = connection.begin().await?;
    for _ in 0..BATCH {
        let query = sqlx::query(sql).bind(a).bind(b).bind(c).bind(d).bind(e).bind(f).bind(g);
        query.execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(BATCH)
}

/// sqlx writes no binary COPY by itself.
async fn copy(connection: &mut PgConnection, sql: &'static str) -> Result<usize> {
    let (a, b, c, d, e, f, g) = COPIED_ROW;
    let mut sink = connection.copy_in_raw(sql).await?;
    let mut text = String::new();
    for _ in 0..COPIED {
        text.push_str(&format!("{a}\t{b}\t{c}\t{d}\t{e}\t{f}\t{g}\n"));
    }
    sink.send(text.into_bytes()).await?;
    Ok(sink.finish().await? as usize)
}
