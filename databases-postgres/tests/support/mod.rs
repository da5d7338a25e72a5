//! A connection to the server that `TEST_DATABASE_URLS` names, without the pool.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::sync::Arc;

use databases_core::backend::{
    Backend, BackendConnection, ConnectContext, Connector, ExecResult, Flow, Request, Requests, RowSink,
};
use databases_core::sql::scan;
use databases_core::url::{DatabaseUrl, UrlOptions};
use databases_core::{
    Arg, Array, IntoValue, Params, PoolOptions, Result, Row, RowBatch, TypeOptions, Value, ValueKind,
};
use databases_postgres::Postgres;

/// The URL of the PostgreSQL to test with; `None` after a message if there is none.
pub(crate) fn url() -> Option<String> {
    let urls = std::env::var("TEST_DATABASE_URLS").unwrap_or_default();
    let found = urls.split(',').map(str::trim).find(|url| url.starts_with("postgres"));
    if found.is_none() {
        let required = std::env::var("TEST_REQUIRE_BACKENDS").unwrap_or_default();
        assert!(!required.contains("postgres"), "TEST_REQUIRE_BACKENDS wants postgres; TEST_DATABASE_URLS has none");
        eprintln!("left out: TEST_DATABASE_URLS names no PostgreSQL");
    }
    found.map(str::to_owned)
}

pub(crate) fn connector(url: &str, pool: &PoolOptions) -> Result<Arc<dyn Connector>> {
    let url: DatabaseUrl = url.parse()?;
    let mut options = UrlOptions::new(&url);
    let connector = Postgres.connector(&url, &mut options, pool)?;
    options.finish(Postgres.options())?;
    Ok(connector)
}

pub(crate) async fn connect(url: &str) -> Arc<dyn BackendConnection> {
    connect_with(url, &PoolOptions::default()).await
}

pub(crate) async fn connect_with(url: &str, pool: &PoolOptions) -> Arc<dyn BackendConnection> {
    connector(url, pool).unwrap().connect(ConnectContext::default()).await.unwrap()
}

/// A connection that is told of types.
pub(crate) async fn connect_knowing(url: &str, types: TypeOptions) -> Result<Arc<dyn BackendConnection>> {
    let mut context = ConnectContext::default();
    context.types = types;
    connector(url, &PoolOptions::default())?.connect(context).await
}

/// Keeps all rows.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) rows: Vec<Row>,
    pub(crate) batches: usize,
    pub(crate) stop_after: Option<usize>,
}

impl RowSink for Rows {
    fn batch(&mut self, batch: Arc<dyn RowBatch>) -> Result<Flow> {
        self.batches += 1;
        self.rows.extend((0..batch.len()).map(|index| Row::new(batch.clone(), index)));
        Ok(if self.stop_after.is_some_and(|n| self.batches >= n) { Flow::Stop } else { Flow::Continue })
    }
}

pub(crate) fn request(connection: &dyn BackendConnection, sql: &str, params: Params<'_>) -> Request {
    let template = Arc::new(scan(sql, connection.dialect()).unwrap());
    let (sql, args) = params.bind(&template, false).unwrap();
    Request::new(sql, args, template)
}

pub(crate) async fn run(
    connection: &dyn BackendConnection,
    sql: &str,
    params: Params<'_>,
) -> Result<(ExecResult, Vec<Row>)> {
    let mut rows = Rows::default();
    let result = connection.run(request(connection, sql, params), &mut rows).await?;
    Ok((result, rows.rows))
}

pub(crate) async fn exec(connection: &dyn BackendConnection, sql: &str) -> ExecResult {
    run(connection, sql, Params::new()).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).0
}

/// The first cell of the first row.
pub(crate) async fn one<T: databases_core::FromValue>(
    connection: &dyn BackendConnection,
    sql: &str,
    params: Params<'_>,
) -> Result<T> {
    let (_, rows) = run(connection, sql, params).await?;
    rows[0].get(0)
}

/// Requests of one text.
pub(crate) struct Many<I> {
    pub(crate) requests: I,
}

impl<I: Iterator<Item = Result<Request>> + Send> Requests for Many<I> {
    fn next(&mut self) -> Option<Result<Request>> {
        self.requests.next()
    }
}

pub(crate) fn arg<T: IntoValue>(value: T) -> Arg {
    Arg::new(value)
}

/// Makes an array of items.
pub(crate) fn array(items: Vec<Value>, kind: ValueKind) -> Value {
    Value::Array(Box::new(Array::new(items, kind)))
}

/// Skips the rest of a test where there is no server.
#[macro_export]
macro_rules! server {
    () => {
        match support::url() {
            Some(url) => url,
            None => return,
        }
    };
}
