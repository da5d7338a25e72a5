//! The rows of `execute_many`, in chunks for the worker: their values in one piece, which is used again.

use std::sync::Arc;

use databases_core::backend::{Request, Requests};
use databases_core::sql::Template;
use databases_core::{Arg, Error, Value};

/// How many rows go to the worker at once: one hop for each chunk, so that no more than a few are in memory and the next
/// one is bound while one runs.
const CHUNK_ROWS: usize = 512;
/// And how many bytes of texts and blobs.
const CHUNK_BYTES: usize = 256 << 10;

/// Some rows for one job.
pub(crate) struct Bulk {
    pub(crate) template: Arc<Template>,
    pub(crate) prepared: bool,
    pub(crate) runs: Vec<Run>,
    /// The values of all rows, one behind the other.
    pub(crate) args: Vec<Arg>,
}

/// Rows of the same text. The rows of a call differ in their texts where a list is expanded.
pub(crate) struct Run {
    pub(crate) sql: Arc<str>,
    /// How many values a row has.
    pub(crate) width: usize,
    pub(crate) rows: usize,
}

/// Takes requests and makes chunks of them.
pub(crate) struct Chunks<'a> {
    requests: &'a mut dyn Requests,
    /// The last row that was taken, whose buffer the next one takes over.
    row: Option<Request>,
    /// A chunk that is done with.
    spare: Option<Bulk>,
    /// How many rows were taken.
    pub(crate) taken: usize,
}

impl<'a> Chunks<'a> {
    pub(crate) fn new(requests: &'a mut dyn Requests) -> Self {
        Self { requests, row: None, spare: None, taken: 0 }
    }

    /// Gives a chunk back.
    pub(crate) fn recycle(&mut self, mut bulk: Bulk) {
        bulk.runs.clear();
        bulk.args.clear();
        self.spare = Some(bulk);
    }

    /// Takes requests until the chunk is large enough, they end or one is an error.
    pub(crate) fn next(&mut self) -> (Option<Bulk>, Option<Error>) {
        let mut bulk = self.spare.take();
        let (mut rows, mut bytes) = (0, 0);
        let mut failed = None;
        while rows < CHUNK_ROWS && bytes < CHUNK_BYTES {
            let row = match self.take() {
                Some(Ok(row)) => row,
                Some(Err(error)) => {
                    failed = Some(error);
                    break;
                }
                None => break,
            };
            bytes += size(&row.args);
            bulk.get_or_insert_with(|| Bulk::new(row)).push(row);
            rows += 1;
        }
        self.taken += rows;
        (bulk.filter(|_| rows > 0), failed)
    }

    fn take(&mut self) -> Option<Result<&mut Request, Error>> {
        let taken = match &mut self.row {
            Some(row) => self.requests.next_into(row)?,
            None => self.requests.next()?.map(|first| self.row = Some(first)),
        };
        Some(taken.map(|()| self.row.as_mut().expect("a row was put here")))
    }
}

impl Bulk {
    fn new(first: &Request) -> Self {
        let args = Vec::with_capacity(first.args.len() * CHUNK_ROWS);
        Self { template: Arc::clone(&first.template), prepared: first.prepared, runs: Vec::new(), args }
    }

    fn push(&mut self, row: &mut Request) {
        let (sql, width) = (&row.sql, row.args.len());
        match self.runs.last_mut() {
            Some(run) if Arc::ptr_eq(&run.sql, sql) || (*run.sql == **sql && run.width == width) => run.rows += 1,
            _ => self.runs.push(Run { sql: Arc::clone(sql), width, rows: 1 }),
        }
        self.args.append(&mut row.args);
    }
}

fn size(args: &[Arg]) -> usize {
    let size = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Json(json) => json.as_str().len(),
        _ => 8,
    };
    args.iter().map(|arg| size(&arg.value)).sum()
}

#[cfg(test)]
mod tests {
    use databases_core::backend::BackendConnection;
    use databases_core::sql::{Dialect, scan};
    use databases_core::url::{DatabaseUrl, UrlOptions};
    use databases_core::{PoolOptions, Result, params};

    use super::*;
    use crate::connection::SqliteConnection;
    use crate::options::Config;

    struct Rows<I>(I);

    impl<I: Iterator<Item = Request> + Send> Requests for Rows<I> {
        fn next(&mut self) -> Option<Result<Request>> {
            self.0.next().map(Ok)
        }
    }

    #[tokio::test]
    async fn a_bulk_call_is_one_job_for_512_rows_or_256_kib() {
        let url: DatabaseUrl = "sqlite::memory:".parse().unwrap();
        let config = Config::take(&url, &mut UrlOptions::new(&url), &PoolOptions::default()).unwrap();
        let db = SqliteConnection::open(Arc::new(config), None, None).await.unwrap();
        db.run_script("CREATE TABLE t (name TEXT)").await.unwrap();
        let insert = Arc::new(scan("INSERT INTO t VALUES (:name)", Dialect::SQLITE).unwrap());
        let (short, long) = ("x".to_owned(), "x".repeat(100_000));
        for (rows, name, jobs) in [
            (1, &short, 1),
            (512, &short, 1),
            (513, &short, 2),
            (1024, &short, 2),
            (10_000, &short, 20),
            (3, &long, 1),
            (7, &long, 3),
        ] {
            let before = db.worker.jobs();
            let request = |_| {
                let (sql, args) = params! { name }.bind(&insert, false).unwrap();
                Request::new(sql, args, Arc::clone(&insert))
            };
            assert_eq!(db.run_many(&mut Rows((0..rows).map(request))).await.unwrap(), rows);
            assert_eq!(db.worker.jobs() - before, jobs, "{rows} rows of {} bytes", name.len());
        }
    }
}
