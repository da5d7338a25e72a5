//! A backend that keeps its tables in memory: an example of how to write one, on `databases_core` alone.
//!
//! A backend is three types. [`MemoryBackend`] goes from a URL to a [`Connector`]; the connector opens
//! [`BackendConnection`]s; a connection runs one [`Request`] after the other and says in what state it is. The pool,
//! transactions as values, streams, timeouts and parameters are not its business: all of that is in core.
//!
//! What it can do it says in its [`Capabilities`], and the conformance suite holds it to that: `tests/third_party.rs`.
//! Its SQL is the little that the suite asks of every backend (see `databases_core::conformance`), in `sql.rs`.

mod sql;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use databases_core::backend::{
    Backend, BackendConnection, Capabilities, ConnectContext, Connector, ExecResult, NativeConnection, Request,
    Requests, RowBatches, RowSink, ServerInfo, Status, Target, TransactionCommand,
};
use databases_core::sql::{Dialect, scan, split_script};
use databases_core::url::{DatabaseUrl, UrlOptions};
use databases_core::{Columns, Error, ErrorKind, PoolOptions, Result, RowBatch, TransactionOptions, Value, ValueRef};

/// The backend: `demo://any/name`. It holds nothing itself.
#[derive(Debug)]
pub(crate) struct MemoryBackend;

impl Backend for MemoryBackend {
    fn name(&self) -> &'static str {
        "demo"
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["demo"]
    }

    fn drivers(&self) -> &'static [&'static str] {
        &[]
    }

    // Options are taken out of `options` here; what is left there is reported as unknown by the caller.
    fn connector(&self, url: &DatabaseUrl, options: &mut UrlOptions, _: &PoolOptions) -> Result<Arc<dyn Connector>> {
        let read_only = options.take_bool("read_only")?.unwrap_or(false);
        let namespace = url.database().unwrap_or_default().to_owned();
        Ok(Arc::new(MemoryConnector {
            tables: Arc::default(),
            read_only,
            target: Target { system: "demo", namespace, ..Target::default() },
        }))
    }

    fn options(&self) -> &'static [&'static str] {
        &["read_only"]
    }
}

/// All tables by name.
type Tables = BTreeMap<String, Table>;

#[derive(Clone, Debug, Default)]
struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

/// One database. It lives as long as its pool.
#[derive(Debug)]
struct MemoryConnector {
    tables: Arc<Mutex<Tables>>,
    read_only: bool,
    target: Target,
}

#[async_trait]
impl Connector for MemoryConnector {
    // Placeholders are `?1`, `?2`, … in this dialect.
    fn dialect(&self) -> Dialect {
        Dialect::SQLITE
    }

    // Transactions are copies of all tables, which is sound only because there is one connection.
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::NONE;
        capabilities.transactions = true;
        capabilities.savepoints = true;
        capabilities.transactional_ddl = true;
        capabilities
    }

    fn single_connection(&self) -> bool {
        true
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn connect(&self, _: ConnectContext) -> Result<Arc<dyn BackendConnection>> {
        let (tables, read_only) = (self.tables.clone(), self.read_only);
        Ok(Arc::new(MemoryConnection { tables, read_only, saved: Mutex::default() }))
    }
}

/// The connection. Each call is done before it returns, so it is never `Busy`, and no dropped future leaves anything
/// under way.
#[derive(Debug)]
struct MemoryConnection {
    tables: Arc<Mutex<Tables>>,
    read_only: bool,
    /// What the tables were at BEGIN, and at each savepoint with its depth.
    saved: Mutex<Vec<(u64, Tables)>>,
}

/// The number under which BEGIN is kept; savepoints have greater ones.
const OUTERMOST: u64 = 0;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryConnection {
    fn run_now(&self, request: &Request) -> Result<(Option<Rows>, ExecResult)> {
        let values: Vec<&Value> = request.args.iter().map(|arg| &arg.value).collect();
        let statement = sql::parse(&request.sql, &values)?;
        if self.read_only && !matches!(statement, sql::Statement::Select { .. }) {
            return Err(Error::new(ErrorKind::ReadOnly, "the database was opened with read_only"));
        }
        sql::execute(statement, &mut lock(&self.tables))
    }

    /// Goes back to what was saved as `number`, which stays, and forgets all that was saved later.
    fn restore(&self, number: u64) {
        let mut saved = lock(&self.saved);
        if let Some(at) = saved.iter().position(|(of, _)| *of == number) {
            lock(&self.tables).clone_from(&saved[at].1);
            saved.truncate(at + 1);
        }
    }

    fn save(&self, number: u64) {
        lock(&self.saved).push((number, lock(&self.tables).clone()));
    }
}

#[async_trait]
impl BackendConnection for MemoryConnection {
    fn status(&self) -> Status {
        if lock(&self.saved).is_empty() { Status::Idle } else { Status::InTransaction }
    }

    fn dialect(&self) -> Dialect {
        Dialect::SQLITE
    }

    async fn run(&self, request: Request, sink: &mut dyn RowSink) -> Result<ExecResult> {
        let (rows, result) = self.run_now(&request)?;
        if let Some(rows) = rows {
            sink.batch(Arc::new(rows))?;
        }
        Ok(result)
    }

    async fn run_many(&self, requests: &mut dyn Requests) -> Result<u64> {
        let (mut affected, mut index) = (0, 0);
        while let Some(request) = requests.next() {
            let (_, result) = self.run_now(&request?).map_err(|error| error.with_batch_index(index))?;
            affected += result.rows_affected();
            index += 1;
        }
        Ok(affected)
    }

    async fn run_script(&self, script: &str) -> Result<()> {
        for (index, statement) in split_script(script, Dialect::SQLITE)?.into_iter().enumerate() {
            let template = Arc::new(scan(statement.sql, Dialect::SQLITE)?);
            let request = Request::new(statement.sql.into(), Vec::new(), template);
            self.run_now(&request).map_err(|error| error.with_batch_index(index))?;
        }
        Ok(())
    }

    async fn open_stream(&self, request: Request) -> Result<Box<dyn RowBatches>> {
        let (rows, _) = self.run_now(&request)?;
        Ok(Box::new(Once(rows)))
    }

    async fn transaction(&self, command: TransactionCommand) -> Result<()> {
        match command {
            TransactionCommand::Begin(options) => {
                refuse(&options)?;
                self.save(OUTERMOST);
            }
            TransactionCommand::Commit => lock(&self.saved).clear(),
            TransactionCommand::Rollback => {
                self.restore(OUTERMOST);
                lock(&self.saved).clear();
            }
            TransactionCommand::Savepoint(number) => self.save(number),
            TransactionCommand::Release(number) => lock(&self.saved).retain(|(of, _)| *of < number),
            TransactionCommand::RollbackTo(number) => self.restore(number),
        }
        Ok(())
    }

    async fn settle(&self) {}

    // There is no session state, so there is nothing to undo.
    async fn reset(&self) -> Result<bool> {
        Ok(true)
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn server_info(&self) -> Result<ServerInfo> {
        Ok(ServerInfo::new("Memory", env!("CARGO_PKG_VERSION")))
    }

    async fn native(&self) -> Result<Box<dyn NativeConnection + '_>> {
        Err(Error::new(ErrorKind::Unsupported, "there is no driver below this backend"))
    }

    fn native_type(&self) -> &'static str {
        "()"
    }

    async fn close(&self) {}
}

/// An option that is not kept is an error, never ignored.
fn refuse(options: &TransactionOptions) -> Result<()> {
    let asked = options.get_isolation().is_some()
        || options.is_read_only()
        || options.is_deferrable()
        || options.get_lock_mode().is_some();
    if asked { Err(Error::new(ErrorKind::Unsupported, "transactions have no options here")) } else { Ok(()) }
}

/// Rows of a result. `Row`s point into it and decode a cell when it is asked for.
struct Rows {
    columns: Arc<Columns>,
    rows: Vec<Vec<Value>>,
}

impl RowBatch for Rows {
    fn columns(&self) -> &Arc<Columns> {
        &self.columns
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn cell(&self, row: usize, column: usize) -> Result<ValueRef<'_>> {
        Ok(self.rows[row][column].as_ref())
    }

    fn raw(&self, row: usize, column: usize) -> Option<&[u8]> {
        match &self.rows[row][column] {
            Value::Text(text) => Some(text.as_bytes()),
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// A stream of one batch.
struct Once(Option<Rows>);

#[async_trait]
impl RowBatches for Once {
    async fn next(&mut self) -> Result<Option<Arc<dyn RowBatch>>> {
        Ok(self.0.take().map(|rows| Arc::new(rows) as Arc<dyn RowBatch>))
    }
}
