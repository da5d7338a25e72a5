//! A file that goes away, and the calls that core makes, in short.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use databases_core::backend::{
    Backend, BackendConnection, ConnectContext, Connector, ExecResult, Flow, Request, Requests, RowSink,
    TransactionCommand,
};
use databases_core::sql::{Dialect, scan};
use databases_core::url::{DatabaseUrl, UrlOptions};
use databases_core::{Params, PoolOptions, Result, Row, RowBatch, TransactionOptions};
use databases_sqlite::Sqlite;

/// A directory of its own, removed when dropped.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// Where the build has its files, which is rarely in memory.
    pub(crate) fn on_disk() -> Self {
        Self::within(Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    fn within(folder: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("databases-sqlite-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn url(&self, options: &str) -> String {
        format!("sqlite:///{}{options}", self.file("test.db").display())
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn connector_with(url: &str, pool: &PoolOptions) -> Result<Arc<dyn Connector>> {
    let url: DatabaseUrl = url.parse()?;
    let mut options = UrlOptions::new(&url);
    let connector = Sqlite.connector(&url, &mut options, pool)?;
    options.finish(Sqlite.options())?;
    Ok(connector)
}

pub(crate) fn connector(url: &str) -> Arc<dyn Connector> {
    connector_with(url, &PoolOptions::default()).unwrap()
}

pub(crate) async fn connect(url: &str) -> Result<Connection> {
    connect_to(&*connector(url)).await
}

pub(crate) async fn connect_to(connector: &dyn Connector) -> Result<Connection> {
    Ok(Connection(connector.connect(ConnectContext::default()).await?))
}

pub(crate) fn request(sql: &str, params: Params<'_>) -> Request {
    let template = Arc::new(scan(sql, Dialect::SQLITE).unwrap());
    let (sql, args) = params.bind(&template, false).unwrap();
    Request::new(sql, args, template)
}

#[derive(Default)]
pub(crate) struct Collect {
    pub(crate) rows: Vec<Row>,
    pub(crate) batches: usize,
    pub(crate) stop_after: Option<usize>,
}

impl RowSink for Collect {
    fn batch(&mut self, batch: Arc<dyn RowBatch>) -> Result<Flow> {
        self.batches += 1;
        self.rows.extend((0..batch.len()).map(|index| Row::new(Arc::clone(&batch), index)));
        Ok(match self.stop_after {
            Some(limit) if self.rows.len() >= limit => Flow::Stop,
            _ => Flow::Continue,
        })
    }
}

pub(crate) struct FromIter<I>(pub(crate) I);

impl<I: Iterator<Item = Result<Request>> + Send> Requests for FromIter<I> {
    fn next(&mut self) -> Option<Result<Request>> {
        self.0.next()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Connection(pub(crate) Arc<dyn BackendConnection>);

impl std::ops::Deref for Connection {
    type Target = dyn BackendConnection;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Connection {
    pub(crate) async fn exec(&self, sql: &str) -> Result<ExecResult> {
        self.exec_with(sql, Params::new()).await
    }

    pub(crate) async fn exec_with(&self, sql: &str, params: Params<'_>) -> Result<ExecResult> {
        self.0.run(request(sql, params), &mut Collect::default()).await
    }

    pub(crate) async fn rows(&self, sql: &str) -> Result<Vec<Row>> {
        self.rows_with(sql, Params::new()).await
    }

    pub(crate) async fn rows_with(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
        let mut sink = Collect::default();
        self.0.run(request(sql, params), &mut sink).await?;
        Ok(sink.rows)
    }

    pub(crate) async fn int(&self, sql: &str) -> Result<i64> {
        self.rows(sql).await?[0].get(0)
    }

    pub(crate) async fn text(&self, sql: &str) -> Result<String> {
        self.rows(sql).await?[0].get(0)
    }

    pub(crate) async fn begin(&self) -> Result<()> {
        self.begin_with(TransactionOptions::new()).await
    }

    pub(crate) async fn begin_with(&self, options: TransactionOptions) -> Result<()> {
        self.0.transaction(TransactionCommand::Begin(options)).await
    }

    pub(crate) async fn commit(&self) -> Result<()> {
        self.0.transaction(TransactionCommand::Commit).await
    }

    pub(crate) async fn rollback(&self) -> Result<()> {
        self.0.transaction(TransactionCommand::Rollback).await
    }
}

/// Runs the test on a runtime of one thread and on one of several.
pub(crate) fn on_both<F: Future<Output = ()>>(test: impl Fn() -> F) {
    let mut builders = [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()];
    for builder in &mut builders {
        builder.enable_time().build().unwrap().block_on(test());
    }
}

/// Polls a future `polls` times, then drops it; gives its output if it was done before.
pub(crate) async fn drop_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    for _ in 0..polls {
        let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await;
        if let std::task::Poll::Ready(value) = poll {
            return Some(value);
        }
        tokio::time::sleep(std::time::Duration::from_micros(200)).await;
    }
    None
}
