//! What is learnt of a text by running it: its columns, how long it takes, and whether it may run on the thread of its caller.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use databases_core::{Column, Columns};
use rusqlite::{Connection, Statement, StatementStatus};

use crate::here::SHORT;

/// What takes longer runs on a worker anyway.
const WORTH_ASKING: Duration = Duration::from_millis(1);

/// How long a run counts that was stopped because it took too long. The worker, where it runs again, finds out how long it is.
pub(crate) const STOPPED: Duration = Duration::from_millis(2);

/// Behind so many runs in a row that took no longer than usual, one that did says nothing of the text: the machine was busy,
/// or a page was cold. Twice is no accident.
const FORGIVING: u8 = 64;
/// So long no accident takes, and who commits together with such a run has waited for it.
const FORGIVEN: Duration = Duration::from_millis(10);

/// What is known of a text that is kept prepared.
#[derive(Debug)]
pub(crate) struct Known {
    columns: Arc<Columns>,
    run: Run,
    /// How long it takes: the longest time, which fades while it takes less.
    pace: Duration,
    /// How many of the last runs took no longer than usual, up to [`FORGIVING`].
    quick: u8,
    /// How many rows the last two runs gave.
    rows: [usize; 2],
    looks_often: Looks,
}

/// Whether SQLite looks often enough whether to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    NotAsked,
    Yes,
    No,
}

/// Which run of a prepared statement it is, and how often the schema changed for it. SQLite counts both, from 0 when the
/// statement is prepared: so the run behind the last one is known to be of the same statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Run {
    number: i32,
    prepared_again: i32,
}

impl Run {
    fn of(statement: &Statement<'_>) -> Self {
        Self {
            number: statement.get_status(StatementStatus::Run),
            prepared_again: statement.get_status(StatementStatus::RePrepare),
        }
    }

    fn follows(self, last: Self) -> bool {
        self == Self { number: last.number.wrapping_add(1), ..last }
    }
}

impl Known {
    /// What the first run of a text tells, once the statement was stepped.
    pub(crate) fn new(statement: &Statement<'_>) -> Self {
        Self {
            columns: columns_of(statement),
            run: Run::of(statement),
            pace: Duration::ZERO,
            quick: 0,
            rows: [0; 2],
            looks_often: Looks::NotAsked,
        }
    }

    /// Compares with the statement, which was stepped for another run.
    ///
    /// A first run proves nothing: the statement may be a new one of a text that ran only once before.
    pub(crate) fn see(&mut self, statement: &Statement<'_>) {
        let run = Run::of(statement);
        let is_first = run.number == 1;
        if is_first || !run.follows(self.run) {
            // Prepared again, perhaps for another schema.
            if !are_of(&self.columns, statement) {
                self.columns = columns_of(statement);
            }
            self.looks_often = Looks::NotAsked;
        }
        self.run = run;
    }

    pub(crate) fn columns(&self) -> &Arc<Columns> {
        &self.columns
    }

    /// A run was over before anybody looked at the clock.
    pub(crate) fn was_quick(&mut self) {
        self.quick = FORGIVING.min(self.quick + 1);
    }

    /// Remembers how long a run took.
    pub(crate) fn took(&mut self, time: Duration) {
        if time <= SHORT.max(self.pace * 2) {
            self.was_quick();
        } else if mem::take(&mut self.quick) == FORGIVING && time <= FORGIVEN {
            return;
        }
        self.pace = time.max(self.pace - self.pace / 8);
    }

    /// Remembers how many rows a run gave.
    pub(crate) fn gave(&mut self, rows: usize) {
        self.rows = [rows, self.rows[0]];
    }

    /// How many rows the next run will give, as it seems.
    pub(crate) fn rows(&self) -> usize {
        self.rows[0].min(self.rows[1])
    }

    /// How long a run takes at the most, as far as is known.
    pub(crate) fn pace(&self) -> Duration {
        self.pace
    }

    /// Whether a run may be on the thread of its caller, who has no more time than `within`.
    pub(crate) fn is_short(&self, within: Duration) -> bool {
        self.looks_often == Looks::Yes && self.pace <= within
    }

    /// Asks, after a run of a text that reads, whether the next one may be on the thread of its caller.
    pub(crate) fn ask(&mut self, connection: &Connection, sql: &str) {
        if self.looks_often == Looks::NotAsked && self.pace <= WORTH_ASKING {
            self.looks_often = if looks_often(connection, sql).unwrap_or(false) { Looks::Yes } else { Looks::No };
        }
    }
}

/// The columns of a statement that has been stepped.
pub(crate) fn columns_of(statement: &Statement<'_>) -> Arc<Columns> {
    let columns = statement.columns().map(|column| Column::new(column.name(), declared(&column).to_owned()));
    Arc::new(Columns::new(columns.collect()))
}

fn are_of(columns: &Columns, statement: &Statement<'_>) -> bool {
    columns.len() == statement.column_count()
        && statement
            .columns()
            .zip(columns)
            .all(|(column, kept)| column.name() == kept.name() && declared(&column) == kept.type_name())
}

fn declared<'a>(column: &'a rusqlite::Column<'_>) -> &'a str {
    column.decl_type().unwrap_or_default()
}

/// Functions whose time is not bounded by the size of their arguments alone: a pattern, or a text in a text.
const SLOW_FUNCTIONS: [&str; 9] = ["like", "glob", "regexp", "match", "instr", "replace", "trim", "ltrim", "rtrim"];

/// Whether each instruction of the statement's program is short, given that no value is large: between two of them
/// SQLite looks whether to stop, and inside of one it does not. A count of a whole table is one instruction, and so is
/// each step of a virtual table.
fn looks_often(connection: &Connection, sql: &str) -> rusqlite::Result<bool> {
    let mut program = connection.prepare(&format!("EXPLAIN {sql}"))?;
    let mut program = program.raw_query();
    while let Some(instruction) = program.next()? {
        let opcode = instruction.get_ref("opcode")?;
        let argument = instruction.get_ref("p4")?;
        let is_long = match opcode.as_str()? {
            "Count" | "VOpen" => true,
            "Function" | "PureFunc" | "AggStep" | "AggFinal" => {
                let name = argument.as_str()?.split('(').next().unwrap_or_default();
                SLOW_FUNCTIONS.contains(&name)
            }
            _ => false,
        };
        if is_long {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_run_behind_64_usual_ones_is_forgiven_and_two_in_a_row_are_not() {
        let connection = Connection::open_in_memory().unwrap();
        let new = || Known::new(&connection.prepare("SELECT 1").unwrap());
        let slow = Duration::from_millis(2);
        for usual in [9, 300].map(Duration::from_micros) {
            let mut known = new();
            for _ in 0..63 {
                known.took(usual);
            }
            known.took(slow);
            assert_eq!(known.pace(), slow, "63 are not enough");
            // It fades, and is forgotten.
            for _ in 0..64 {
                known.took(usual);
            }
            assert_eq!(known.pace(), usual);
            known.took(slow);
            assert_eq!(known.pace(), usual);
            known.took(slow);
            assert_eq!(known.pace(), slow);
        }
        // Runs that nobody timed count, and what is forgiven once is not forgiven again soon.
        let mut known = new();
        for _ in 0..1000 {
            known.was_quick();
        }
        known.took(slow);
        assert_eq!(known.pace(), Duration::ZERO);
        for _ in 0..1000 {
            known.was_quick();
        }
        known.took(FORGIVEN * 2);
        assert_eq!(known.pace(), FORGIVEN * 2, "a long run is not forgiven");
        let mut known = Known::new(&connection.prepare("SELECT 1").unwrap());
        for _ in 0..1000 {
            known.was_quick();
        }
        known.took(slow);
        for _ in 0..63 {
            known.was_quick();
        }
        known.took(slow);
        assert_eq!(known.pace(), slow);
    }
}
