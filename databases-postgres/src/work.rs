//! A bound statement on its way to the server, and its rows on theirs to the sink.

use databases_core::backend::{Flow, Request, RowSink};
use databases_core::sql::{StatementClass, Verb};
use databases_core::{ExecResult, Result};
use futures_util::TryStreamExt;
use tokio_postgres::{Client, RowStream};

use crate::batch::{NO_ROWS, NoRows, PgBatch, each};
use crate::cache::{Entry, Prepared};
use crate::connection::{PgConnection, affected, check};
use crate::encode::Encoded;
use crate::session::Session;

/// A statement with all that it takes to run it.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    pub(crate) client: &'a Client,
    pub(crate) prepared: &'a Prepared,
    pub(crate) session: &'a Session,
    pub(crate) encoded: &'a Encoded,
    pub(crate) wants_rows: bool,
}

impl Work<'_> {
    /// The rows that were affected, and what the sink said; `given` tells whether it has had rows.
    pub(crate) async fn run(
        self,
        sink: &mut dyn RowSink,
        given: &mut bool,
    ) -> Result<(u64, Result<()>), tokio_postgres::Error> {
        if self.wants_rows {
            let rows = self.client.query_raw(&self.prepared.statement, self.encoded.iter()).await?;
            return pour(rows, self.prepared, self.session, sink, given).await;
        }
        let affected = self.client.execute_raw(&self.prepared.statement, self.encoded.iter()).await?;
        Ok((affected, Ok(())))
    }
}

/// Hands the rows to the sink as they come; the statement is read to its end even if the sink has enough.
async fn pour(
    rows: RowStream,
    prepared: &Prepared,
    session: &Session,
    sink: &mut dyn RowSink,
    given: &mut bool,
) -> Result<(u64, Result<()>), tokio_postgres::Error> {
    let mut rows = std::pin::pin!(rows);
    let mut outcome = Ok(Flow::Continue);
    while let Some(row) = rows.try_next().await? {
        if !matches!(outcome, Ok(Flow::Continue)) {
            continue;
        }
        let rows = match sink.live().filter(|_| prepared.plan.packs()) {
            Some(sink) => each(&prepared.plan, &row, sink),
            None => PgBatch::of(&prepared.plan, row).map(|batch| sink.batch(batch)),
        };
        outcome = match rows {
            Ok(outcome) => outcome,
            Err(NoRows) => return Ok((0, Err(session.give_up(NO_ROWS)))),
        };
        *given = true;
    }
    if !*given && !prepared.plan.is_empty() {
        outcome = sink.batch(PgBatch::blank(&prepared.plan, 0));
    }
    Ok((rows.rows_affected().unwrap_or(0), outcome.map(drop)))
}

impl PgConnection {
    /// Whether nothing has to be asked about a statement and nothing is known of it yet: it has no parameters, none of the server's
    /// either, and no rows, which may be of a type that only text can carry.
    pub(crate) fn runs_unprepared(&self, request: &Request) -> bool {
        let has_no_rows = match request.template.verb() {
            Verb::Insert | Verb::Update | Verb::Delete | Verb::Merge => !request.template.has_returning(),
            _ => request.template.class() == StatementClass::Ddl,
        };
        let is_new = || !request.prepared || self.statements.get(&request.sql).is_none();
        has_no_rows && !request.wants_rows && request.args.is_empty() && !request.sql.contains('$') && is_new()
    }

    /// Runs such a statement in one round trip. The next time it is prepared, unless that is not wanted.
    pub(crate) async fn run_unprepared(&self, request: &Request) -> Result<ExecResult> {
        check(request)?;
        let client = self.client().await?;
        let mut op = self.session.op();
        op.sending();
        let result = match self.in_transaction(&client, client.execute_typed(&request.sql, &[])).await {
            Ok(Ok(rows)) => {
                // Somebody beside it on the connection may have prepared it.
                if request.prepared && self.statements.get(&request.sql).is_none() {
                    self.statements.insert(request.sql.clone(), Entry::Ran);
                }
                Ok(ExecResult::new(affected(request.template.verb(), rows), None))
            }
            Ok(Err(error)) => Err(self.fail(error, request).await),
            Err(error) => Err(error),
        };
        op.finish();
        result
    }
}
