//! COPY from the client.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use databases_core::backend::{CopyRows, CopySink, CopyTarget, Request};
use databases_core::sql::Verb;
use databases_core::{Arg, Error, ErrorKind, Result};
use futures_util::SinkExt;
use futures_util::future::join;
use tokio::sync::OwnedRwLockReadGuard;
use tokio_postgres::{Client, CopyInSink, Statement};

use crate::connection::PgConnection;
use crate::encode::{Param, put_row};
use crate::error::is_io;
use crate::session::{Op, Session};

/// How much is sent at once.
pub(crate) const BUFFER_BYTES: usize = 64 << 10;

/// The start of the binary format: a signature, no flags, no extension.
/// <https://www.postgresql.org/docs/current/sql-copy.html>
pub(crate) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Its end, in place of a row's number of columns.
pub(crate) const TRAILER: &[u8] = &(-1_i16).to_be_bytes();

/// Which way the data of a COPY goes that has the client at its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

/// `FROM` or `TO` before `STDIN` or `STDOUT`, outside of quotes; the server takes either word with either.
pub(crate) fn direction(sql: &str) -> Option<Direction> {
    let mut quote = None;
    let unquoted: String = sql
        .chars()
        .map(|letter| match quote {
            Some(open) => {
                if letter == open {
                    quote = None;
                }
                'q'
            }
            None if matches!(letter, '\'' | '"') => {
                quote = Some(letter);
                'q'
            }
            None => letter.to_ascii_uppercase(),
        })
        .collect();
    let words = unquoted.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.windows(2).find_map(|pair| match pair {
        ["FROM", "STDIN" | "STDOUT"] => Some(Direction::In),
        ["TO", "STDIN" | "STDOUT"] => Some(Direction::Out),
        _ => None,
    })
}

/// Starts the COPY of `request`.
pub(crate) async fn copy_in(connection: &PgConnection, request: Request) -> Result<Box<dyn CopySink>> {
    if request.template.verb() != Verb::Copy || direction(&request.sql) != Some(Direction::In) {
        return Err(Error::new(ErrorKind::Unsupported, "copy_in takes COPY … FROM STDIN, and this is none"));
    }
    let prepared = connection.prepare(&request.sql, &request.args, false).await?;
    let client = connection.client_owned().await?;
    Ok(Box::new(Copy::start(client, &connection.session, &prepared.statement, request.sql, None).await?))
}

/// Copies `rows` in the binary format.
pub(crate) async fn copy_rows(
    connection: &PgConnection,
    CopyTarget { table, columns, .. }: &CopyTarget,
    rows: &mut dyn CopyRows,
) -> Result<u64> {
    // Only prepared, for the types of its columns: that asks for no right to read them. Not kept, since a column may get another
    // type and a name mean another table, and the server would read the bytes as something else.
    let types = connection.prepare(&format!("SELECT {columns} FROM {table}").into(), &[], false).await?;
    let codecs = &connection.codecs;
    let params: Vec<Param> =
        types.statement.columns().iter().map(|column| Param::new(column.type_(), codecs)).collect();
    let sql: Arc<str> = format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary)").into();
    let prepared = connection.prepare(&sql, &[], true).await?;
    let client = connection.client_owned().await?;
    let mut copy = Copy::start(client, &connection.session, &prepared.statement, sql, None).await?;
    match send(&mut copy, &params, rows).await {
        Ok(()) => Box::new(copy).finish().await,
        Err(error) => {
            // Whatever the server makes of that is over before the caller goes on.
            drop(copy);
            connection.fence().await;
            Err(error)
        }
    }
}

async fn send(copy: &mut Copy, params: &[Param], rows: &mut dyn CopyRows) -> Result<()> {
    let mut buffer = HEADER.to_vec();
    let mut index = 0;
    while let Some(row) = rows.next() {
        let row = row?;
        let put = copy.put(&row, params, &mut buffer);
        put.map_err(|error| error.with_batch_index(index))?;
        index += 1;
        if buffer.len() >= BUFFER_BYTES {
            let full = std::mem::replace(&mut buffer, Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 8));
            copy.send(full.into()).await?;
            // The driver takes them as long as the server keeps up, and others of this thread would not have their turn.
            tokio::task::yield_now().await;
        }
    }
    buffer.extend_from_slice(TRAILER);
    copy.send(buffer.into()).await
}

/// A COPY under way. Dropped early, the driver tells the server that it failed; the session is busy until it is settled.
pub(crate) struct Copy {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    op: Option<Op>,
    /// Keeps `native()` and `close()` waiting.
    _client: OwnedRwLockReadGuard<Option<Client>, Client>,
    /// Not to be closed before the end.
    _statement: Statement,
    session: Arc<Session>,
    sql: Arc<str>,
}

impl Copy {
    /// Begins the COPY behind `mark`, if there is one. It counts as under way from this call on.
    pub(crate) fn start(
        client: OwnedRwLockReadGuard<Option<Client>, Client>,
        session: &Arc<Session>,
        statement: &Statement,
        sql: Arc<str>,
        mark: Option<&'static str>,
    ) -> impl Future<Output = Result<Self>> + Send + use<> {
        let mut op = session.op();
        op.sending();
        let mut starting = Starting { session: session.clone(), op: Some(op) };
        let (session, statement) = (session.clone(), statement.clone());
        async move {
            let marked = async {
                match mark {
                    Some(mark) => client.batch_execute(mark).await,
                    None => Ok(()),
                }
            };
            // Both are sent before the first answer: `join` polls in order.
            let error = match join(marked, client.copy_in(&statement)).await {
                (Ok(()), Ok(sink)) => {
                    let (sink, op) = (Box::pin(sink), starting.op.take());
                    return Ok(Self { sink, op, _client: client, _statement: statement, session, sql });
                }
                (Err(error), _) | (_, Err(error)) => error,
            };
            let error = session.fail(error, Some(&sql)).await;
            session.lose_step("a COPY that the server refuses to start ends its connection");
            session.kill();
            if let Some(op) = starting.op.take() {
                op.finish();
            }
            Err(error)
        }
    }

    fn put(&self, row: &[Arg], params: &[Param], buffer: &mut Vec<u8>) -> Result<()> {
        put_row(row, params, || self.session.guard.server_version(), buffer)
    }

    /// Ends the COPY and gives what the server says of it.
    pub(crate) async fn end(&mut self) -> Result<u64> {
        let mut ended = self.sink.as_mut().finish().await;
        if ended.is_ok() {
            // The sink ends at CommandComplete, and a COPY by itself is committed behind that: asked again, it tells the error of
            // the commit, or that ReadyForQuery is not what it expects.
            ended = match self.sink.as_mut().finish().await {
                Err(error) if error.as_db_error().is_some() || error.is_closed() || is_io(&error) => Err(error),
                _ => ended,
            };
        }
        let ended = match ended {
            Ok(rows) => Ok(rows),
            Err(error) => Err(self.session.fail(error, Some(&self.sql)).await),
        };
        if let Some(op) = self.op.take() {
            op.finish();
        }
        ended
    }

    /// Sends a part of the data.
    pub(crate) async fn feed(&mut self, data: Bytes) -> Result<()> {
        if self.op.is_none() || !self.session.guard.is_copying_in() {
            // The server has refused a row, and reads the rest only to throw it away.
            self.end().await?;
            return Err(Error::new(ErrorKind::Internal, "the server has ended the COPY before its data"));
        }
        match self.sink.feed(data).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.session.fail(error, Some(&self.sql)).await),
        }
    }
}

/// A COPY that the server has not begun. Where it refuses to, the driver sends it a CopyFail all the same and takes the answer
/// for that of the next statement (tokio-postgres 0.7.18), so one that nobody waits for any more costs the connection.
struct Starting {
    session: Arc<Session>,
    /// None once the answer is known.
    op: Option<Op>,
}

impl Drop for Starting {
    fn drop(&mut self) {
        if self.op.is_some() {
            self.session.lose_step("a COPY that is dropped before the server begins it ends its connection");
        }
    }
}

#[async_trait]
impl CopySink for Copy {
    async fn send(&mut self, data: Bytes) -> Result<()> {
        self.feed(data).await
    }

    async fn finish(mut self: Box<Self>) -> Result<u64> {
        self.end().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_with_the_client_is_told_apart() {
        for sql in ["COPY t FROM STDIN", "copy t (a, b) from\n stdin with csv"] {
            assert_eq!(direction(sql), Some(Direction::In), "{sql}");
        }
        for sql in ["COPY (SELECT 1) TO STDOUT", "COPY t TO stdout;"] {
            assert_eq!(direction(sql), Some(Direction::Out), "{sql}");
        }
        for sql in ["COPY t FROM '/tmp/x'", "COPY t FROM 'from stdin'", "COPY \"to stdout\" TO PROGRAM 'cat'"] {
            assert_eq!(direction(sql), None, "{sql}");
        }
    }
}
