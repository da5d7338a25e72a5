//! Points to wait at where there is no server: before a connection is told something, and before its answer is given on.
//!
//! A job of an embedded database may be done before anybody could look. Its states are made to be seen here: not begun, and
//! done without its caller knowing.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;

use crate::backend::{
    BackendConnection, Capabilities, ConnectContext, Connector, ExecResult, NativeConnection, Request, Requests,
    RowBatches, RowSink, ServerInfo, Status, Target, TransactionCommand,
};
use crate::error::Result;
use crate::row::RowBatch;
use crate::sql::Dialect;

/// Is not ready at its first poll.
async fn stop() {
    let mut stopped = false;
    poll_fn(|cx| {
        if stopped {
            return Poll::Ready(());
        }
        stopped = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn around<T>(call: impl Future<Output = T>) -> T {
    stop().await;
    let answer = call.await;
    stop().await;
    answer
}

/// Opens connections that stop around every call.
#[derive(Debug)]
pub(super) struct Gated(pub(super) Arc<dyn Connector>);

#[async_trait]
impl Connector for Gated {
    fn dialect(&self) -> Dialect {
        self.0.dialect()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn single_connection(&self) -> bool {
        self.0.single_connection()
    }

    fn target(&self) -> &Target {
        self.0.target()
    }

    async fn connect(&self, context: ConnectContext) -> Result<Arc<dyn BackendConnection>> {
        let conn = around(self.0.connect(context)).await?;
        Ok(Arc::new(GatedConnection(conn)))
    }
}

#[derive(Debug)]
struct GatedConnection(Arc<dyn BackendConnection>);

#[async_trait]
impl BackendConnection for GatedConnection {
    fn status(&self) -> Status {
        self.0.status()
    }

    fn dialect(&self) -> Dialect {
        self.0.dialect()
    }

    async fn run(&self, request: Request, sink: &mut dyn RowSink) -> Result<ExecResult> {
        around(self.0.run(request, sink)).await
    }

    async fn run_many(&self, requests: &mut dyn Requests) -> Result<u64> {
        around(self.0.run_many(requests)).await
    }

    async fn run_script(&self, sql: &str) -> Result<()> {
        around(self.0.run_script(sql)).await
    }

    async fn open_stream(&self, request: Request) -> Result<Box<dyn RowBatches>> {
        let batches = around(self.0.open_stream(request)).await?;
        Ok(Box::new(GatedBatches(batches)))
    }

    async fn transaction(&self, command: TransactionCommand) -> Result<()> {
        around(self.0.transaction(command)).await
    }

    async fn settle(&self) {
        around(self.0.settle()).await;
    }

    async fn reset(&self) -> Result<bool> {
        around(self.0.reset()).await
    }

    async fn ping(&self) -> Result<()> {
        around(self.0.ping()).await
    }

    async fn server_info(&self) -> Result<ServerInfo> {
        around(self.0.server_info()).await
    }

    async fn native(&self) -> Result<Box<dyn NativeConnection + '_>> {
        around(self.0.native()).await
    }

    fn native_type(&self) -> &'static str {
        self.0.native_type()
    }

    async fn close(&self) {
        around(self.0.close()).await;
    }
}

struct GatedBatches(Box<dyn RowBatches>);

#[async_trait]
impl RowBatches for GatedBatches {
    async fn next(&mut self) -> Result<Option<Arc<dyn RowBatch>>> {
        around(self.0.next()).await
    }
}
