//! `execute_many`: rows of parameters to requests, pulled as the backend sends them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::backend::{Request, Requests};
use crate::error::Result;
use crate::executor::ParamRows;
use crate::options::TransactionOptions;
use crate::params::{Arg, Params};
use crate::query::Query;
use crate::run::{Bounds, settle_savepoint};
use crate::session::Handle;
use crate::sql::Template;
use crate::transaction::Transaction;

/// Binds rows of parameters one by one, as the backend asks for them.
struct BoundRows<'a> {
    texts: Texts,
    query: &'a Query<'a>,
    template: Arc<Template>,
    /// The names that the last rows had, where those are in the order of the text.
    known: &'static [&'static str],
    first: Option<Params<'static>>,
    rows: &'a mut ParamRows<'a>,
}

/// The native texts of the rows of a batch, by the index from which on each was bound: an error is about the text of
/// its row, behind which others may have been bound already.
#[derive(Default)]
struct Texts {
    rows: usize,
    changes: VecDeque<(usize, Arc<str>)>,
}

impl Texts {
    /// More than a backend binds ahead of the row that it is told of: SQLite three chunks of 512 rows, each of which may
    /// have a text of its own.
    const KEPT: usize = 2048;

    fn push(&mut self, text: &Arc<str>) {
        if self.changes.back().is_none_or(|(_, last)| !Arc::ptr_eq(last, text)) {
            if self.changes.len() == Self::KEPT {
                self.changes.pop_front();
            }
            self.changes.push_back((self.rows, text.clone()));
        }
        self.rows += 1;
    }

    /// The text of the row of this index; of no row, that of the first.
    fn of(&self, index: Option<usize>) -> &str {
        let index = index.unwrap_or(0);
        self.changes.iter().rev().find(|(first, _)| *first <= index).map_or("", |(_, text)| text)
    }
}

impl BoundRows<'_> {
    /// Puts text and values of the next row into the place of those that are there.
    fn bind_next(&mut self, sql: &mut Arc<str>, args: &mut Vec<Arg>) -> Option<Result<()>> {
        let mut params = match &mut self.first {
            None => self.rows.next()?,
            first => first.take()?,
        };
        if let Some(more) = &self.query.more
            && !more.built.is_empty()
        {
            params.extend(more.built.clone());
        }
        let bound = params.bind_row(&self.template, self.query.allow_unused, &mut self.known, (sql, args));
        if bound.is_ok() {
            self.texts.push(sql);
        }
        Some(bound)
    }
}

impl Requests for BoundRows<'_> {
    fn next(&mut self) -> Option<Result<Request>> {
        let (mut text, mut args) = Default::default();
        let bound = self.bind_next(&mut text, &mut args)?;
        Some(bound.map(|()| {
            let mut request = Request::new(text, args, self.template.clone());
            request.prepared = self.query.keeps(&request.sql);
            request.wants_rows = false;
            request
        }))
    }

    // Rows of one query: only text and values differ.
    fn next_into(&mut self, request: &mut Request) -> Option<Result<()>> {
        let bound = self.bind_next(&mut request.sql, &mut request.args);
        request.prepared = self.query.keeps(&request.sql);
        bound
    }
}

impl Handle {
    /// All rows or none: inside a transaction or savepoint of its own.
    pub(crate) async fn run_many(&self, query: Query<'_>, rows: &mut ParamRows<'_>) -> Result<u64> {
        let inner = &self.session.inner;
        let conn = &*self.session.conn;
        inner.template(&query, conn.dialect(), self.place())?;
        // Nothing is sent for no rows, not even BEGIN.
        let Some(first) = rows.next() else { return Ok(0) };
        let own = Transaction::new(self.begin(&TransactionOptions::new()).await?);
        let result = async {
            let handle = &own.handle;
            // Again, in the dialect after what was undone on the way.
            let template = inner.template(&query, conn.dialect(), self.place())?;
            let in_flight = handle.enter().await?;
            handle.mark(template.class());
            let mut bound = BoundRows {
                texts: Texts::default(),
                query: &query,
                template: template.clone(),
                known: &[],
                first: Some(first),
                rows,
            };
            let bounds = Bounds::of(handle, &template, inner.timeout_of(&query));
            let result = bounds.run(conn.run_many(&mut bound)).await;
            let texts = &bound.texts;
            handle.leave(in_flight, template.class(), result).map_err(|error| {
                let text = texts.of(error.batch_index());
                error.located(&template, text)
            })
        }
        .await;
        settle_savepoint(own, result).await
    }
}
