//! The table: what is measured, beside what, and what must be reached.
//!
//! The first side of a row is ours, and the first whose name begins with `bare` is what the others are compared with in print.
//! sqlx's `Any` reads no booleans of SQLite and MySQL: there it selects the other four columns.

use harness::Work;

use super::figures::{Bound, Goal};

/// Where a row runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Postgres,
    MySql,
    /// A file in WAL with `synchronous=normal`, in memory where the system has such a folder.
    SqliteFile,
    /// A file on a disk with `synchronous=full`.
    SqliteFull,
    SqliteMemory,
    /// Without a database.
    Nowhere,
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) work: Work,
    pub(crate) tasks: usize,
    pub(crate) connections: usize,
    /// Client and server on one core, where a round trip does not depend on how soon a sleeping core wakes.
    pub(crate) pinned: bool,
    pub(crate) sides: &'static [&'static str],
    pub(crate) goals: Vec<Goal>,
}

use Place::{MySql, Nowhere, Postgres, SqliteFile, SqliteFull, SqliteMemory};

impl Row {
    fn new(name: &'static str, place: Place, work: Work, sides: &'static [&'static str]) -> Self {
        Self { name, place, work, tasks: 1, connections: 1, pinned: false, sides, goals: Vec::new() }
    }

    fn pinned(self) -> Self {
        Self { pinned: true, ..self }
    }

    fn tasks(self, tasks: usize, connections: usize) -> Self {
        Self { tasks, connections, ..self }
    }

    fn goal(mut self, of: &'static str, against: &'static [&'static str], bound: Bound) -> Self {
        self.goals.push(Goal { of, against, bound });
        self
    }

    /// The sides that a goal names, and ours.
    pub(crate) fn sides_of_goals(&self) -> Vec<&'static str> {
        let named = |side: &&str| self.goals.iter().any(|goal| goal.of == *side || goal.against.contains(side));
        self.sides.iter().copied().filter(|side| *side == "ours" || named(side)).collect()
    }
}

const MIB: u64 = 1024 * 1024;

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = postgres();
    rows.extend(toolbench());
    rows.extend(sqlite());
    rows.extend(mysql());
    rows.extend([
        Row::new("rewrite, cache hit", Nowhere, Work::RewriteHit, &["ours"])
            .goal("ours", &[], Bound::Nanos(100.0))
            .goal("ours", &[], Bound::Growth(0)),
        Row::new("rewrite, cache miss", Nowhere, Work::RewriteMiss, &["ours"]).goal(
            "ours",
            &[],
            Bound::GigabytesPerSecond(0.4),
        ),
    ]);
    rows
}

fn postgres() -> Vec<Row> {
    let shared: &[&str] = &["bare-1-shared", "bare-2-shared", "bare-8-shared"];
    vec![
        Row::new(
            "PostgreSQL point select, 1 task",
            Postgres,
            Work::Point,
            &["ours", "bare", "deadpool", "diesel", "sqlx", "sqlx-any", "sea-orm"],
        )
        .pinned()
        .goal("ours", &["bare"], Bound::Time(1.06))
        .goal("ours", &["bare"], Bound::Cpu(1.15)),
        Row::new(
            "PostgreSQL point select, a new text each time",
            Postgres,
            Work::First,
            &["ours", "ours-unprepared", "bare", "bare-typed", "bare-warm", "sqlx"],
        )
        .pinned(),
        Row::new(
            "PostgreSQL point select, 8 tasks",
            Postgres,
            Work::Point,
            &["ours", "bare", "bare-1-shared", "deadpool", "diesel", "sqlx", "sqlx-any", "sea-orm"],
        )
        .tasks(8, 8),
        Row::new(
            "PostgreSQL point select, 64 tasks",
            Postgres,
            Work::Point,
            &[
                "ours",
                "ours-lanes-off",
                "bare",
                "bare-1-shared",
                "bare-2-shared",
                "bare-8-shared",
                "deadpool",
                "diesel",
                "sqlx",
                "sqlx-any",
                "sea-orm",
            ],
        )
        .tasks(64, 8)
        .goal("ours", shared, Bound::Speed(0.9))
        .goal("ours", &["deadpool"], Bound::Speed(1.7)),
        Row::new(
            "PostgreSQL insert, 1 task",
            Postgres,
            Work::Insert,
            &["ours", "bare", "deadpool", "diesel", "sqlx", "sqlx-any", "sea-orm"],
        )
        .pinned(),
        Row::new(
            "PostgreSQL insert, 64 tasks",
            Postgres,
            Work::Insert,
            &["ours", "ours-lanes-off", "bare-8-shared", "deadpool", "diesel", "sqlx", "sqlx-any", "sea-orm"],
        )
        .tasks(64, 8)
        .goal("ours", &["bare-8-shared"], Bound::Speed(0.9))
        .goal("ours", &["deadpool"], Bound::Speed(1.4)),
        Row::new(
            "PostgreSQL 10,000-row insert",
            Postgres,
            Work::Bulk,
            &["ours", "ours-copy", "bare-unnest", "bare-copy", "deadpool", "diesel", "sqlx", "sqlx-any", "sea-orm"],
        )
        .goal("ours", &["bare-unnest"], Bound::Speed(0.9))
        .goal("ours-copy", &["bare-copy"], Bound::Speed(0.95)),
        Row::new(
            "PostgreSQL fetch 1,000 rows",
            Postgres,
            Work::Fetch,
            &["ours", "ours-row", "bare", "deadpool", "diesel", "sqlx", "sqlx-any", "sea-orm"],
        )
        .pinned()
        .goal("ours", &["bare"], Bound::Speed(0.97))
        .goal("ours-row", &["bare"], Bound::Speed(0.88)),
        Row::new(
            "PostgreSQL stream",
            Postgres,
            Work::Stream,
            &["ours", "bare", "deadpool", "diesel", "sqlx", "sqlx-any", "sea-orm"],
        )
        .goal("ours", &["bare"], Bound::Speed(1.0))
        .goal("ours", &[], Bound::Growth(2 * MIB)),
        Row::new(
            "PostgreSQL 64 tasks, 1 % sleep 50 ms",
            Postgres,
            Work::Sleeps,
            &["ours", "ours-lanes-off", "deadpool"],
        )
        .tasks(64, 8),
        Row::new(
            "PostgreSQL 64 tasks, 1 % wait for a lock",
            Postgres,
            Work::Locks,
            &["ours", "ours-lanes-off", "deadpool"],
        )
        .tasks(64, 8),
        Row::new(
            "PostgreSQL 64 tasks, 1 % acquire a connection, timed",
            Postgres,
            Work::Acquires,
            &["ours", "ours-lanes-off"],
        )
        .tasks(64, 8),
        Row::new(
            "PostgreSQL 64 tasks, 1 % a transaction that awaits another read, timed",
            Postgres,
            Work::Owners,
            &["ours", "ours-lanes-off"],
        )
        .tasks(64, 8),
    ]
}

fn toolbench() -> Vec<Row> {
    let works = [
        ("toolbench 1-pg_type", Work::PgType),
        ("toolbench 2-generate_series", Work::Series),
        ("toolbench 3-large_object", Work::Blobs),
        ("toolbench 4-arrays", Work::Arrays),
        ("toolbench 5-copyfrom", Work::CopyFrom),
        ("toolbench 6-batch", Work::Batch),
        ("toolbench 7-oneplusone", Work::OnePlusOne),
    ];
    let row = |(name, work)| {
        Row::new(name, Postgres, work, &["ours", "bare", "sqlx", "asyncpg"]).tasks(10, 10).goal(
            "ours",
            &["asyncpg"],
            Bound::Speed(1.0),
        )
    };
    works.into_iter().map(row).collect()
}

fn sqlite() -> Vec<Row> {
    vec![
        Row::new(
            "SQLite file point select, 1 task",
            SqliteFile,
            Work::Point,
            &["ours", "ours-inline-off", "bare", "tokio-rusqlite", "sqlx", "sqlx-any", "sea-orm"],
        )
        .pinned()
        .goal("ours", &["bare"], Bound::Time(1.3)),
        Row::new(
            "SQLite memory point select, 1 task",
            SqliteMemory,
            Work::Point,
            &["ours", "ours-inline-off", "bare", "tokio-rusqlite", "sqlx", "sqlx-any", "sea-orm"],
        )
        .pinned()
        .goal("ours", &["bare"], Bound::Time(2.0)),
        Row::new(
            "SQLite point select, 64 tasks",
            SqliteFile,
            Work::Point,
            &["ours", "ours-inline-off", "bare", "tokio-rusqlite", "sqlx", "sqlx-any", "sea-orm"],
        )
        .tasks(64, 8),
        Row::new(
            "SQLite fetch 1,000 rows",
            SqliteFile,
            Work::Fetch,
            &["ours", "ours-row", "ours-inline-off", "bare", "tokio-rusqlite", "sqlx", "sqlx-any", "sea-orm"],
        )
        .pinned()
        .goal("ours", &["bare"], Bound::Speed(0.9)),
        Row::new(
            "SQLite insert, 1 task, synchronous=normal",
            SqliteFile,
            Work::Insert,
            &["ours", "bare", "tokio-rusqlite", "sqlx", "sqlx-any", "sea-orm"],
        )
        .pinned(),
        Row::new(
            "SQLite insert, 64 tasks, synchronous=normal",
            SqliteFile,
            Work::Insert,
            &["ours", "ours-group-off", "bare", "tokio-rusqlite", "sqlx", "sqlx-any", "sea-orm"],
        )
        .tasks(64, 8)
        .goal("ours", &["bare"], Bound::Speed(3.0)),
        Row::new(
            "SQLite insert, 64 tasks, synchronous=full",
            SqliteFull,
            Work::Insert,
            &["ours", "ours-group-off", "bare", "tokio-rusqlite", "sqlx", "sqlx-any", "sea-orm"],
        )
        .tasks(64, 8),
        Row::new(
            "SQLite 10,000-row insert",
            SqliteFile,
            Work::Bulk,
            &["ours", "bare", "tokio-rusqlite", "sqlx", "sqlx-any", "sea-orm"],
        )
        .goal("ours", &["bare"], Bound::Speed(0.85)),
        Row::new(
            "SQLite stream",
            SqliteFile,
            Work::Stream,
            &["ours", "bare", "tokio-rusqlite", "sqlx", "sqlx-any", "sea-orm"],
        )
        .goal("ours", &["bare"], Bound::Speed(0.5))
        .goal("ours", &[], Bound::Growth(4 * MIB)),
    ]
}

fn mysql() -> Vec<Row> {
    vec![
        Row::new(
            "MySQL point select, 1 task",
            MySql,
            Work::Point,
            &["ours", "bare", "bare-pool", "diesel", "sqlx", "sqlx-any", "sea-orm"],
        )
        .pinned()
        .goal("ours", &["bare"], Bound::Time(1.10)),
        Row::new(
            "MySQL point select, 8 tasks",
            MySql,
            Work::Point,
            &["ours", "bare", "bare-pool", "diesel", "sqlx", "sqlx-any", "sea-orm"],
        )
        .tasks(8, 8),
        Row::new(
            "MySQL point select, 64 tasks",
            MySql,
            Work::Point,
            &["ours", "bare", "bare-pool", "diesel", "sqlx", "sqlx-any", "sea-orm"],
        )
        .tasks(64, 8)
        .goal("ours", &["bare"], Bound::Speed(0.95)),
        Row::new(
            "MySQL insert, 1 task",
            MySql,
            Work::Insert,
            &["ours", "bare", "bare-pool", "diesel", "sqlx", "sqlx-any", "sea-orm"],
        )
        .pinned(),
        Row::new(
            "MySQL insert, 64 tasks",
            MySql,
            Work::Insert,
            &["ours", "bare", "bare-pool", "diesel", "sqlx", "sqlx-any", "sea-orm"],
        )
        .tasks(64, 8),
        Row::new(
            "MySQL 10,000-row insert",
            MySql,
            Work::Bulk,
            &["ours", "bare", "bare-batch", "diesel", "sqlx", "sqlx-any", "sea-orm"],
        )
        .goal("ours", &["bare"], Bound::Speed(0.9)),
        Row::new(
            "MySQL fetch 1,000 rows",
            MySql,
            Work::Fetch,
            &["ours", "ours-row", "bare", "diesel", "sqlx", "sqlx-any", "sea-orm"],
        )
        .pinned()
        .goal("ours", &["bare"], Bound::Speed(0.97)),
        Row::new("MySQL stream", MySql, Work::Stream, &["ours", "bare", "diesel", "sqlx", "sqlx-any", "sea-orm"])
            .goal("ours", &["bare"], Bound::Speed(0.95))
            .goal("ours", &[], Bound::Growth(2 * MIB)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_about_sides_that_the_row_has() {
        for row in rows() {
            let known = |side: &&str| row.sides.contains(side);
            assert!(row.goals.iter().all(|goal| known(&goal.of) && goal.against.iter().all(known)), "{}", row.name);
        }
    }
}
