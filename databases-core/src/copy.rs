//! COPY: bytes or rows into a table, as fast as a server takes them.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::backend::{CopyRows, CopySink, CopyTarget, no_copy};
use crate::compose::{Ident, ident};
use crate::connection::Connection;
use crate::database::breathe;
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::executor::{Call, ParamRows};
use crate::options::TransactionOptions;
use crate::params::{Arg, IntoParams, Params};
use crate::pool::Inner;
use crate::query::{IntoQuery, Query, sql};
use crate::run::{Bounds, settle_savepoint, stopped};
use crate::session::Handle;
use crate::sql::{Dialect, scan};
use crate::transaction::Transaction;

/// A `COPY … FROM STDIN` under way: takes its data, and counts the rows at the end.
///
/// While it is open every other call on the handle it was opened on is [`ErrorKind::Busy`]. Dropped before
/// [`finish`](CopyIn::finish) it copies nothing: the server is told that it failed, which fails the transaction around
/// it, if there is one.
pub struct CopyIn {
    // Dropped first: the backend ends the COPY before the connection goes back.
    sink: Option<Box<dyn CopySink>>,
    handle: Handle,
    /// The savepoint that an autocommit COPY runs in under force_rollback.
    keep: Option<Transaction>,
    /// How long each step may take.
    timeout: Option<Duration>,
    /// The server may have been told that this was all, and has not answered: whether rows were copied is not known.
    finishing: bool,
}

impl CopyIn {
    /// Sends data, cut wherever one likes. What the server makes of it is told by [`finish`](CopyIn::finish) at the latest.
    ///
    /// # Errors
    ///
    /// What the server reports; [`ErrorKind::StatementTimeout`] if it does not take the data within the timeout. The
    /// COPY is over then.
    ///
    /// # Cancel safety
    ///
    /// It is not known whether the data of a dropped future was sent: drop the whole COPY.
    pub async fn send(&mut self, data: impl Into<Bytes> + Send) -> Result<()> {
        let Some(mut sink) = self.sink.take() else { return Err(over()) };
        let sent = self.in_time(sink.send(data.into())).await;
        if matches!(sent, Some(Ok(()))) {
            self.sink = Some(sink);
        } else {
            drop(sink);
        }
        self.told(sent).await
    }

    /// Tells the server that this was all, and returns how many rows were copied.
    ///
    /// # Errors
    ///
    /// What the server reports, for instance of a row that is not one of the table; nothing was copied then.
    /// [`ErrorKind::StatementTimeout`] if it does not answer within the timeout, when all rows were copied or none; a
    /// transaction can then only be rolled back.
    ///
    /// # Cancel safety
    ///
    /// After a dropped future all rows were copied or none; in a transaction, which then can only be rolled back, none.
    pub async fn finish(mut self) -> Result<u64> {
        let Some(sink) = self.sink.take() else { return Err(over()) };
        self.finishing = true;
        let copied = self.in_time(sink.finish()).await;
        let unanswered = copied.is_none();
        let copied = self.told(copied).await;
        self.finishing = unanswered;
        self.handle.set_streaming(false);
        match (self.keep.take(), copied) {
            (Some(keep), copied) => settle_savepoint(keep, copied).await,
            (None, copied) => copied,
        }
    }

    /// `None` if it took too long.
    async fn in_time<T>(&self, step: impl Future<Output = Result<T>>) -> Option<Result<T>> {
        match self.timeout {
            None => Some(step.await),
            Some(limit) => tokio::time::timeout(limit, step).await.ok(),
        }
    }

    async fn told<T>(&self, step: Option<Result<T>>) -> Result<T> {
        let session = &self.handle.session;
        let error = match step {
            Some(Ok(done)) => return Ok(done),
            Some(Err(error)) => error,
            None => stopped(&session.inner, &*session.conn, self.timeout.unwrap_or_default()).await,
        };
        self.handle.note(&error);
        Err(error)
    }
}

impl Drop for CopyIn {
    fn drop(&mut self) {
        self.sink = None;
        if self.finishing {
            self.handle.doom();
        }
        self.handle.set_streaming(false);
    }
}

impl fmt::Debug for CopyIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyIn").field("open", &self.sink.is_some()).finish_non_exhaustive()
    }
}

fn over() -> Error {
    Error::new(ErrorKind::TransactionEnded, "this COPY is over").with_effect(Effect::NotSent)
}

/// Where rows are to be copied, checked and quoted before a connection is waited for.
pub(crate) struct Target {
    quoted: CopyTarget,
    names: Vec<String>,
}

impl Target {
    pub(crate) fn new(
        dialect: Dialect,
        table: impl Into<Ident>,
        columns: impl IntoIterator<Item: Into<String>>,
    ) -> Result<Self> {
        let names: Vec<String> = columns.into_iter().map(Into::into).collect();
        if names.is_empty() {
            return Err(Error::new(ErrorKind::Parameters, "rows are copied into columns, and none was named"));
        }
        if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            return Err(Error::new(
                ErrorKind::Parameters,
                format!("the column `{}` is named twice", twice.1.escape_debug()),
            ));
        }
        let text = |query: Query<'_>| query.into_query(dialect).map(|query| query.text.into_owned());
        let table = text(sql("").push(ident(table)))?;
        let columns = text(sql("").push_joined(", ", names.iter().map(ident)))?;
        Ok(Self { quoted: CopyTarget { table, columns }, names })
    }
}

/// Puts the values of rows into the order of the columns, as the backend asks for them.
struct InOrder<'a> {
    names: &'a [String],
    rows: &'a mut ParamRows<'a>,
    first: Option<Params<'static>>,
    index: usize,
}

impl CopyRows for InOrder<'_> {
    fn next(&mut self) -> Option<Result<Vec<Arg>>> {
        let row = self.first.take().or_else(|| self.rows.next())?;
        let index = self.index;
        self.index += 1;
        Some(row.into_columns(self.names).map_err(|error| error.with_batch_index(index)))
    }
}

impl Inner {
    /// Before anything is waited for or sent.
    pub(crate) fn can_copy(&self) -> Result<()> {
        if self.config.connector.capabilities().copies { Ok(()) } else { Err(no_copy()) }
    }
}

impl Handle {
    pub(crate) async fn copy_in(&self, query: Query<'_>) -> Result<CopyIn> {
        breathe().await;
        if !self.in_transaction() && self.session.force_rollback() {
            let keep = Transaction::new(self.begin(&TransactionOptions::new()).await?);
            let mut copy = Box::pin(keep.handle.copy_in(query)).await?;
            copy.keep = Some(keep);
            return Ok(copy);
        }
        let call = Call::new(self.session.conn.dialect(), query, ())?;
        let (in_flight, request, timeout) = self.prepare(call).await?;
        self.set_streaming(true);
        let mut copy = CopyIn { sink: None, handle: self.clone(), keep: None, timeout, finishing: false };
        let session = &self.session;
        let (template, native) = (request.template.clone(), request.sql.clone());
        let bounds = Bounds::of(self, &template, timeout);
        let sink = bounds.run(session.conn.copy_in(request)).await;
        let sink = self.leave(in_flight, template.class(), sink);
        copy.sink = Some(sink.map_err(|error| error.located(&template, &native))?);
        Ok(copy)
    }

    /// All rows or none: in a transaction, inside a savepoint of its own.
    pub(crate) async fn copy_rows(&self, target: &Target, rows: &mut ParamRows<'_>) -> Result<u64> {
        let Some(first) = rows.next() else { return Ok(0) };
        if !self.in_transaction() && !self.session.force_rollback() {
            return self.copy_here(target, first, rows).await;
        }
        let savepoint = Transaction::new(self.begin(&TransactionOptions::new()).await?);
        let copied = savepoint.handle.copy_here(target, first, rows).await;
        settle_savepoint(savepoint, copied).await
    }

    async fn copy_here(&self, target: &Target, first: Params<'static>, rows: &mut ParamRows<'_>) -> Result<u64> {
        let session = &self.session;
        let CopyTarget { table, columns } = &target.quoted;
        let template = scan(&format!("COPY {table} ({columns}) FROM STDIN"), session.conn.dialect())?;
        let in_flight = self.enter().await?;
        let timeout = session.inner.options().statement_timeout;
        let bounds = Bounds::of(self, &template, timeout);
        let mut rows = InOrder { names: &target.names, rows, first: Some(first), index: 0 };
        let copied = bounds.run(session.conn.copy_rows(&target.quoted, &mut rows)).await;
        let copied = self.leave(in_flight, template.class(), copied);
        copied.map_err(|error| error.of_column(&target.names))
    }
}

macro_rules! copy_by_handle {
    ($type:ty) => {
        impl $type {
            /// Starts a `COPY … FROM STDIN` and returns what takes its data, in the format that the text names. PostgreSQL only.
            ///
            /// Until that is finished or dropped, every other call on this handle is [`ErrorKind::Busy`].
            ///
            /// # Errors
            ///
            /// What the server reports; [`ErrorKind::Unsupported`] for another statement, and on other backends.
            ///
            /// # Cancel safety
            ///
            /// A dropped future copies nothing, and leaves the handle as a dropped [`CopyIn`] does.
            ///
            /// # Examples
            ///
            /// ```no_run
            #[doc = concat!("# async fn example(on: &databases_core::", stringify!($type), ") -> databases_core::Result<()> {")]
            /// let mut copy = on.copy_in("COPY notes (text, done) FROM STDIN (FORMAT csv)").await?;
            /// copy.send("water the plants,false\n").await?;
            /// copy.send("feed the cat,true\n").await?;
            /// assert_eq!(copy.finish().await?, 2);
            /// # Ok(()) }
            /// ```
            pub async fn copy_in(&self, query: impl IntoQuery) -> Result<CopyIn> {
                self.handle.session.inner.can_copy()?;
                let dialect = self.handle.session.conn.dialect();
                self.handle.copy_in(query.into_query(dialect)?).await
            }

            /// Copies rows into `columns` of `table`, all or none, and returns how many. PostgreSQL only, by a binary COPY.
            ///
            /// Rows are pulled as they are sent. Each has a value for every column, by the column's name, and no other.
            /// Values are written in the column's type as parameters are. Triggers and constraints hold; rules are passed by,
            /// and a row that is there already is an error.
            ///
            /// # Errors
            ///
            /// What the server reports; [`ErrorKind::Parameters`] and [`ErrorKind::Encode`], with the
            /// [index](crate::Error::batch_index) of the row; [`ErrorKind::Unsupported`] on other backends, which
            /// [`execute_many`](crate::Executor::execute_many) is for.
            ///
            /// # Cancel safety
            ///
            /// After a dropped future all rows were copied or none; in a transaction none.
            ///
            /// # Examples
            ///
            /// ```no_run
            /// # use databases_core::params;
            #[doc = concat!("# async fn example(on: &databases_core::", stringify!($type), ") -> databases_core::Result<()> {")]
            /// let notes = ["water the plants", "feed the cat"].map(|text| params! { text, done: false });
            /// assert_eq!(on.copy_rows("notes", ["text", "done"], notes).await?, 2);
            /// # Ok(()) }
            /// ```
            pub async fn copy_rows<R>(
                &self,
                table: impl Into<Ident>,
                columns: impl IntoIterator<Item: Into<String>>,
                rows: R,
            ) -> Result<u64>
            where
                R: IntoIterator<Item: IntoParams, IntoIter: Send> + Send,
            {
                self.handle.session.inner.can_copy()?;
                let target = Target::new(self.handle.session.conn.dialect(), table, columns)?;
                let mut rows = rows.into_iter().map(|row| row.into_params().into_owned());
                self.handle.copy_rows(&target, &mut rows).await
            }
        }
    };
}

copy_by_handle!(Connection);
copy_by_handle!(Transaction);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params;

    #[test]
    fn values_are_put_into_the_order_of_the_columns() {
        let names = ["a".to_owned(), "b".to_owned()];
        let row = |params: Params<'static>| params.into_columns(&names).map_err(|error| error.to_string());
        let values = |params| row(params).unwrap().into_iter().map(|arg| arg.value).collect::<Vec<_>>();
        assert_eq!(values(params! { a: 1, b: 2 }), values(params! { b: 2, a: 1 }));
        assert_eq!(row(params! { a: 1 }).unwrap_err(), "the row has no value for the column `b`");
        assert_eq!(row(params! { a: 1, b: 2, c: 3 }).unwrap_err(), "`c` is none of the columns");
        assert_eq!(row(params! { a: 1, a: 2 }).unwrap_err(), "the parameter `a` is given twice");
    }

    #[test]
    fn columns_are_named_once_each() {
        let target = |columns: &[&str]| Target::new(Dialect::POSTGRES, ["s", "t"], columns.iter().copied());
        let found = target(&["a", "odd \"name"]).unwrap().quoted;
        assert_eq!((&*found.table, &*found.columns), (r#""s"."t""#, r#""a", "odd ""name""#));
        for columns in [&[][..], &["a", "b", "a"], &[""]] {
            assert!(target(columns).is_err(), "{columns:?}");
        }
    }
}
