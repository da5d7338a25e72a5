//! The geometric mean of the seven queries.

use std::collections::BTreeMap;

use harness::{Round, Work};

use super::figures::{Bound, Goal, Measured};
use super::report::RowReport;
use super::{Place, Row};

/// Rounds of the toolbench, by server.
#[derive(Default)]
pub(crate) struct Mean(BTreeMap<String, Vec<Vec<Measured>>>);

const QUERIES: usize = 7;

impl Mean {
    /// Keeps what was measured, if it belongs to the toolbench.
    pub(crate) fn add(&mut self, work: Work, server: &str, measured: Vec<Measured>) {
        if work.is_toolbench() {
            self.0.entry(server.into()).or_default().push(measured);
        }
    }

    /// One row for each server on which all seven ran. Sides that could not do all are left out of it.
    pub(crate) fn reports(&self) -> Vec<RowReport> {
        let row = Row {
            name: "toolbench, geometric mean",
            place: Place::Postgres,
            work: Work::PgType,
            tasks: 10,
            connections: 10,
            pinned: false,
            sides: &["ours", "bare", "sqlx", "asyncpg"],
            goals: vec![Goal { of: "ours", against: &["asyncpg"], bound: Bound::Speed(1.5) }],
        };
        let complete = self.0.iter().filter(|(_, queries)| queries.len() == QUERIES);
        complete
            .map(|(server, queries)| {
                let sides = row.sides.iter().filter_map(|side| mean(side, queries)).collect::<Vec<_>>();
                RowReport::new(&row, server, &sides)
            })
            .collect()
    }
}

/// Round by round, as if it were one operation.
fn mean(side: &'static str, queries: &[Vec<Measured>]) -> Option<Measured> {
    let of_side = |query: &'_ Vec<Measured>| query.iter().position(|measured| measured.side == side);
    let found: Vec<&Measured> = queries.iter().filter_map(|query| of_side(query).map(|at| &query[at])).collect();
    let count = found.iter().map(|measured| measured.rounds.len()).min().filter(|_| found.len() == QUERIES)?;
    let round = |i: usize| {
        let geometric = |figure: fn(&Round) -> u64| {
            let logs = found.iter().map(|measured| {
                let round = &measured.rounds[i];
                (figure(round) as f64 / round.operations as f64).ln()
            });
            (logs.sum::<f64>() / QUERIES as f64).exp() as u64
        };
        let (nanos, cpu_nanos) = (geometric(|round| round.nanos), geometric(|round| round.cpu_nanos));
        Round { operations: 1, nanos, cpu_nanos, ..Round::default() }
    };
    Some(Measured { side, rounds: (0..count).map(round).collect(), growth: None })
}
