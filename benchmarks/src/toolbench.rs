//! The queries of the toolbench on tokio-postgres, every row decoded to owned values.

use std::hint::black_box;
use std::pin::pin;

use futures_util::future::try_join_all;
use harness::{BATCH, COPIED, COPIED_ROW, Result, Work};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

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

fn value(row: &Row, i: usize) -> Result<Value> {
    let null = || Value::Null;
    Ok(match *row.columns()[i].type_() {
        Type::BOOL => row.try_get::<_, Option<bool>>(i)?.map_or_else(null, Value::Bool),
        Type::CHAR => row.try_get::<_, Option<i8>>(i)?.map_or_else(null, |n| Value::Int(n.into())),
        Type::INT2 => row.try_get::<_, Option<i16>>(i)?.map_or_else(null, |n| Value::Int(n.into())),
        Type::INT4 => row.try_get::<_, Option<i32>>(i)?.map_or_else(null, |n| Value::Int(n.into())),
        Type::OID => row.try_get::<_, Option<u32>>(i)?.map_or_else(null, |n| Value::Int(n.into())),
        Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(i)?.map_or_else(null, Value::Bytes),
        Type::INT4_ARRAY => row.try_get::<_, Option<Vec<Option<i32>>>>(i)?.map_or_else(null, Value::Array),
        _ => row.try_get::<_, Option<String>>(i)?.map_or_else(null, Value::Text),
    })
}

pub(crate) async fn toolbench(client: &Client, statement: &Statement, work: Work) -> Result<usize> {
    let rows = match work {
        Work::PgType => client.query(statement, &[&-1, &true]).await?,
        Work::Series => client.query(statement, &[&1000]).await?,
        Work::Batch => return batch(client, statement).await,
        _ => client.query(statement, &[]).await?,
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

/// The driver has no batch: the rows are sent one behind the other in a transaction, and their answers awaited together.
async fn batch(client: &Client, statement: &Statement) -> Result<usize> {
    let (a, b, c, d, e, f, g) = COPIED_ROW;
    let row: [&(dyn ToSql + Sync); 7] = [&a, &b, &c, &d, &e, &f, &g];
    client.batch_execute("BEGIN").await?;
    let counts = try_join_all((0..BATCH).map(|_| client.execute(statement, &row))).await?;
    client.batch_execute("COMMIT").await?;
    Ok(counts.len())
}

pub(crate) async fn copy(client: &Client, sql: &str) -> Result<usize> {
    let (a, b, c, d, e, f, g) = COPIED_ROW;
    let row: [&(dyn ToSql + Sync); 7] = [&a, &b, &c, &d, &e, &f, &g];
    let types = [Type::INT4, Type::INT4, Type::INT4, Type::TEXT, Type::FLOAT8, Type::INT4, Type::TEXT];
    let mut writer = pin!(BinaryCopyInWriter::new(client.copy_in(sql).await?, &types));
    for _ in 0..COPIED {
        writer.as_mut().write(&row).await?;
    }
    Ok(writer.finish().await? as usize)
}
