//! A bound statement on its way to the server, and its rows on theirs to the sink.

use databases_core::backend::{BackendConnection as _, Flow, Request, RowSink};
use databases_core::sql::{StatementClass, Verb};
use databases_core::{ExecResult, Result};
use futures_util::TryStreamExt;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, RowStream};

use crate::batch::{NO_ROWS, NoRows, PgBatch, each};
use crate::cache::{Entry, Prepared, encode};
use crate::casts::casts;
use crate::connection::{PgConnection, affected, check};
use crate::encode::{Encoded, Param};
use crate::prepare::suits;
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
    /// The types of the parameters of a statement of which nothing has to be asked and nothing is known yet: the text says them
    /// itself, it has none of the server's, and no rows, which may be of a type that only text can carry.
    pub(crate) fn runs_unprepared(&self, request: &Request) -> Option<Vec<Type>> {
        let has_no_rows = match request.template.verb() {
            Verb::Insert | Verb::Update | Verb::Delete | Verb::Merge => !request.template.has_returning(),
            _ => request.template.class() == StatementClass::Ddl && request.args.is_empty(),
        };
        let is_new = || !request.prepared || self.statements.get(&request.sql).is_none();
        if !has_no_rows || request.wants_rows || !is_new() {
            return None;
        }
        casts(&request.sql, self.dialect(), request.args.len())
    }

    /// Runs such a statement in one round trip. The next time it is prepared, unless that is not wanted. `None`: the server has
    /// to be asked after all, and nothing has happened.
    pub(crate) async fn run_unprepared(&self, request: &Request, types: Vec<Type>) -> Result<Option<ExecResult>> {
        check(request)?;
        let params: Box<[_]> = types.iter().map(|ty| Param::new(ty, &self.codecs)).collect();
        if !suits(&params, &request.args) {
            return Ok(None);
        }
        let encoded = encode(&request.args, &params, &self.session)?;
        let values: Vec<_> = encoded.iter().collect();
        let typed: Vec<(&(dyn ToSql + Sync), Type)> =
            values.iter().zip(types).map(|(value, ty)| (value as _, ty)).collect();
        let client = self.client().await?;
        let mut op = self.session.op();
        op.sending();
        let result = match self.in_transaction(&client, client.execute_typed(&request.sql, &typed)).await {
            Ok(Ok(rows)) => {
                // Somebody beside it on the connection may have prepared it.
                if request.prepared && self.statements.get(&request.sql).is_none() {
                    self.statements.insert(request.sql.clone(), Entry::Ran);
                }
                Ok(Some(ExecResult::new(affected(request.template.verb(), rows), None)))
            }
            Ok(Err(error)) => Err(self.fail(error, request).await),
            Err(error) => Err(error),
        };
        op.finish();
        result
    }
}
