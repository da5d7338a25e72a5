//! What the tests against a server share.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod hostile;

use std::sync::Arc;

use databases_core::backend::{
    Backend, BackendConnection, ConnectContext, Connector, ExecResult, Flow, Request, Requests, RowSink, Status,
};
use databases_core::sql;
use databases_core::url::{DatabaseUrl, UrlOptions};
use databases_core::{Arg, FromValue, Params, PoolOptions, Result, Row, RowBatch, Value};
use databases_mysql::MySql;

pub(crate) type Conn = Arc<dyn BackendConnection>;

/// The URL of the first server, if there is one.
pub(crate) fn url() -> Option<DatabaseUrl> {
    urls().into_iter().next()
}

/// The URLs of all servers.
pub(crate) fn urls() -> Vec<DatabaseUrl> {
    let urls = std::env::var("TEST_DATABASE_URLS").unwrap_or_default();
    let ours = |url: &&str| url.starts_with("mysql") || url.starts_with("mariadb");
    let urls =
        urls.split(',').map(str::trim).filter(ours).map(|url| url.parse().expect("TEST_DATABASE_URLS holds URLs"));
    let urls: Vec<DatabaseUrl> = urls.collect();
    if !urls.is_empty() {
        return urls;
    }
    let required = std::env::var("TEST_REQUIRE_BACKENDS").unwrap_or_default();
    assert!(!required.split(',').any(|name| name.trim() == "mysql"), "TEST_DATABASE_URLS names no mysql server");
    eprintln!("mysql: left out, TEST_DATABASE_URLS names no server");
    urls
}

pub(crate) fn connector(url: &DatabaseUrl) -> Result<Arc<dyn Connector>> {
    let mut options = UrlOptions::new(url);
    let pool = PoolOptions::take(&mut options)?;
    let connector = MySql.connector(url, &mut options, &pool)?;
    options.finish(MySql.options())?;
    Ok(connector)
}

pub(crate) async fn connect_to(url: &DatabaseUrl) -> Result<Conn> {
    connector(url)?.connect(ConnectContext::default()).await
}

/// A connection; the test is left out where there is none.
pub(crate) async fn connect() -> Option<Conn> {
    Some(connect_to(&url()?).await.expect("the server takes a connection"))
}

pub(crate) fn request(conn: &Conn, text: &str, params: Params<'_>) -> Result<Request> {
    let template = Arc::new(sql::scan(text, conn.dialect())?);
    let (sql, args) = params.bind(&template, false)?;
    Ok(Request::new(sql, args, template))
}

/// A request whose text is not rewritten: `?` are placeholders already.
pub(crate) fn raw(conn: &Conn, text: &str, args: Vec<Arg>) -> Request {
    let template = Arc::new(sql::scan(text, conn.dialect()).expect("the text can be scanned"));
    Request::new(text.into(), args, template)
}

#[derive(Default)]
pub(crate) struct Rows(pub(crate) Vec<Arc<dyn RowBatch>>);

impl RowSink for Rows {
    fn batch(&mut self, batch: Arc<dyn RowBatch>) -> Result<Flow> {
        self.0.push(batch);
        Ok(Flow::Continue)
    }
}

impl Rows {
    pub(crate) fn values(&self) -> Result<Vec<Vec<Value>>> {
        let mut out = Vec::new();
        for batch in &self.0 {
            for row in 0..batch.len() {
                let cells = (0..batch.columns().len()).map(|column| Ok(batch.cell(row, column)?.to_value()));
                out.push(cells.collect::<Result<_>>()?);
            }
        }
        Ok(out)
    }

    pub(crate) fn types(&self) -> Vec<String> {
        self.0[0].columns().iter().map(|column| column.type_name().to_owned()).collect()
    }
}

pub(crate) async fn execute(conn: &Conn, text: &str, params: Params<'_>) -> Result<ExecResult> {
    let mut request = request(conn, text, params)?;
    request.wants_rows = false;
    conn.run(request, &mut Rows::default()).await
}

pub(crate) async fn fetch(conn: &Conn, text: &str, params: Params<'_>) -> Result<Vec<Vec<Value>>> {
    let mut rows = Rows::default();
    conn.run(request(conn, text, params)?, &mut rows).await?;
    rows.values()
}

/// The rows, whose cells are read one by one.
pub(crate) async fn fetch_rows(conn: &Conn, text: &str, params: Params<'_>) -> Result<Vec<Row>> {
    let mut rows = Rows::default();
    conn.run(request(conn, text, params)?, &mut rows).await?;
    let of_batch = |batch: &Arc<dyn RowBatch>| (0..batch.len()).map(|index| Row::new(batch.clone(), index)).collect();
    Ok(rows.0.iter().flat_map(|batch| -> Vec<Row> { of_batch(batch) }).collect())
}

/// The first cell as `T`.
pub(crate) async fn fetch_as<T: FromValue>(conn: &Conn, text: &str, params: Params<'_>) -> Result<T> {
    fetch_rows(conn, text, params).await?.remove(0).get(0)
}

pub(crate) async fn value(conn: &Conn, text: &str) -> Value {
    fetch(conn, text, Params::new()).await.unwrap().remove(0).remove(0)
}

/// Runs statements without values.
pub(crate) async fn setup(conn: &Conn, statements: &[&str]) {
    for statement in statements {
        execute(conn, statement, Params::new()).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
}

pub(crate) struct List(pub(crate) std::vec::IntoIter<Result<Request>>);

impl Requests for List {
    fn next(&mut self) -> Option<Result<Request>> {
        self.0.next()
    }
}

pub(crate) async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if check().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("{what}: not within 5 s");
}

pub(crate) fn is_idle(conn: &Conn) -> bool {
    conn.status() == Status::Idle
}
