//! The works: what one operation is, its SQL, and the tables it needs.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result, Server};

/// Rows of the table that is read at random and fetched whole.
pub const ITEMS: i64 = 1_000;
/// Rows of one bulk insert.
pub const INSERTED: usize = 10_000;
/// Rows of one COPY of the toolbench, and of one batch.
pub const COPIED: usize = 10_000;
/// Rows of one batch of the toolbench.
pub const BATCH: usize = 1_000;
/// The row that the toolbench copies and inserts, `(a, b, c, d, e, f, g)`.
pub const COPIED_ROW: (i32, i32, i32, &str, f64, i32, &str) =
    (10, 11, 10, "TESTTESTTEST", 10.333, 12_341_234, "123456789012");
/// A text of the length that services send, with literals, a cast and a comment.
pub const REWRITTEN: &str = "SELECT o.id, o.placed_at, o.total, c.name, c.email, count(l.id) AS lines /* the page of :orders */ \
     FROM orders AS o JOIN customers AS c ON c.id = o.customer_id LEFT JOIN order_lines AS l ON l.order_id = o.id \
     WHERE o.state = :state AND o.placed_at >= :since AND o.total BETWEEN :low AND :high AND c.country <> 'it''s :none' \
     GROUP BY o.id, c.id ORDER BY o.placed_at DESC LIMIT :limit OFFSET :offset";

/// What one operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Selects one row by its key.
    Point,
    /// [`Work::Point`] with a text that no connection has seen, by [`unseen`].
    First,
    /// Fetches all of a table of [`ITEMS`] rows.
    Fetch,
    /// Inserts one row, in a transaction of its own.
    Insert,
    /// Inserts [`INSERTED`] rows.
    Bulk,
    /// Reads a great table row by row.
    Stream,
    /// [`Work::Point`], of which one in a hundred is [`Work::Sleep`].
    Sleeps,
    /// [`Work::Point`], of which one in a hundred is [`Work::Locked`].
    Locks,
    /// [`Work::Point`], of which one in a hundred is [`Work::Alone`].
    Acquires,
    /// [`Work::Point`], of which one in a hundred is [`Work::Owner`].
    Owners,
    /// [`Work::Point`] on a connection that is taken for it alone.
    Alone,
    /// A transaction of one [`Work::Point`], whose owner waits for another beside it.
    Owner,
    /// A statement that sleeps for 50 ms at the server.
    Sleep,
    /// Updates the row that somebody holds locked most of the time.
    Locked,
    /// Locks that row for 50 ms.
    Lock,
    /// Finds the template of a text that was seen before, and binds its values.
    RewriteHit,
    /// Scans [`REWRITTEN`].
    RewriteMiss,
    /// Toolbench 1: rows of `pg_type`.
    PgType,
    /// Toolbench 2: 1,000 integers.
    Series,
    /// Toolbench 3: 100 times 1,000 bytes.
    Blobs,
    /// Toolbench 4: 100 arrays of 100 integers.
    Arrays,
    /// Toolbench 5: COPY of [`COPIED`] rows.
    CopyFrom,
    /// Toolbench 6: [`BATCH`] rows as one `executemany`.
    Batch,
    /// Toolbench 7.
    OnePlusOne,
}

const NAMES: [(Work, &str); 24] = [
    (Work::Point, "point"),
    (Work::First, "first"),
    (Work::Fetch, "fetch"),
    (Work::Insert, "insert"),
    (Work::Bulk, "bulk"),
    (Work::Stream, "stream"),
    (Work::Sleeps, "sleeps"),
    (Work::Locks, "locks"),
    (Work::Acquires, "acquires"),
    (Work::Owners, "owners"),
    (Work::Alone, "alone"),
    (Work::Owner, "owner"),
    (Work::Sleep, "sleep"),
    (Work::Locked, "locked"),
    (Work::Lock, "lock"),
    (Work::RewriteHit, "rewrite-hit"),
    (Work::RewriteMiss, "rewrite-miss"),
    (Work::PgType, "1-pg_type"),
    (Work::Series, "2-generate_series"),
    (Work::Blobs, "3-large_object"),
    (Work::Arrays, "4-arrays"),
    (Work::CopyFrom, "5-copyfrom"),
    (Work::Batch, "6-batch"),
    (Work::OnePlusOne, "7-oneplusone"),
];

impl FromStr for Work {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = NAMES.iter().find(|(_, name)| *name == text);
        found.map(|(work, _)| *work).ok_or_else(|| format!("no work is called {text:?}").into())
    }
}

impl Work {
    /// What it is called on command lines and in reports.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(work, _)| *work == self).map_or("?", |(_, name)| name)
    }

    /// What operation number `i` is: another one for works that are mixed.
    pub fn at(self, i: i64) -> Self {
        match (self, i % 100) {
            (Self::Sleeps, 50) => Self::Sleep,
            (Self::Locks, 50) => Self::Locked,
            (Self::Acquires, 50) => Self::Alone,
            (Self::Owners, 50) => Self::Owner,
            (Self::Sleeps | Self::Locks | Self::Acquires | Self::Owners, _) => Self::Point,
            (work, _) => work,
        }
    }

    /// The operations of a mixed work of which each time is kept, for percentiles.
    pub fn timed(self) -> Option<Self> {
        match self {
            Self::Sleeps | Self::Locks => Some(Self::Point),
            Self::Acquires => Some(Self::Alone),
            Self::Owners => Some(Self::Owner),
            _ => None,
        }
    }

    /// Whether it is one of the seven queries of the toolbench.
    pub fn is_toolbench(self) -> bool {
        self.name().starts_with(|c: char| c.is_ascii_digit())
    }

    /// Whether it fills the table of its side, which is emptied before each round.
    pub fn writes(self) -> bool {
        matches!(self, Self::Insert | Self::Bulk | Self::CopyFrom | Self::Batch)
    }

    /// The statement, with `:name` parameters. `table` is the table of the side.
    pub(crate) fn sql(self, table: &str) -> String {
        match self {
            Self::Point
            | Self::First
            | Self::Sleeps
            | Self::Locks
            | Self::Acquires
            | Self::Owners
            | Self::Alone
            | Self::Owner => "SELECT id, name, price, stock, active FROM bench_items WHERE id = :id".into(),
            Self::Fetch => "SELECT id, name, price, stock, active FROM bench_items".into(),
            Self::Insert | Self::Bulk => {
                format!("INSERT INTO {table} (name, number, price, active) VALUES (:name, :number, :price, :active)")
            }
            Self::Stream => "SELECT id, name FROM bench_many".into(),
            Self::Sleep => "SELECT 1 FROM pg_sleep(0.05)".into(),
            Self::Locked | Self::Lock => "UPDATE bench_locked SET number = number + 1 WHERE id = 1".into(),
            Self::RewriteHit | Self::RewriteMiss => REWRITTEN.into(),
            Self::PgType => {
                "SELECT typname, typnamespace, typowner, typlen, typbyval, typcategory, typispreferred, typisdefined, typdelim, \
                 typrelid, typelem, typarray FROM pg_type WHERE typtypmod = :typtypmod AND typisdefined = :typisdefined"
                    .into()
            }
            Self::Series => "SELECT i FROM generate_series(1, :n) AS i".into(),
            Self::Blobs => "SELECT * FROM bench_blobs".into(),
            Self::Arrays => "SELECT * FROM bench_arrays".into(),
            Self::CopyFrom => format!("COPY {table} (a, b, c, d, e, f, g) FROM STDIN (FORMAT binary)"),
            Self::Batch => format!("INSERT INTO {table} (a, b, c, d, e, f, g) VALUES (:a, :b, :c, :d, :e, :f, :g)"),
            Self::OnePlusOne => "SELECT 1+1".into(),
        }
    }
}

/// `sql` with a number in a comment that this process has not used before.
pub fn unseen(sql: &str) -> String {
    static TEXTS: AtomicU64 = AtomicU64::new(0);
    format!("{sql} /* {} */", TEXTS.fetch_add(1, Ordering::Relaxed))
}

/// The text of row `i`.
pub fn item_name(i: usize) -> String {
    format!("item number {i}")
}

/// A `SELECT` list's worth of numbers from 0 below 10 to the power of `places`, which every server understands.
pub fn digits(places: usize) -> String {
    let sum: Vec<String> = (0..places).map(|i| format!("{} * t{i}.d", 10_u64.pow(i as u32))).collect();
    let tables: Vec<String> = (0..places).map(|i| format!("bench_digits AS t{i}")).collect();
    format!("(SELECT {} AS i FROM {}) AS numbers", sum.join(" + "), tables.join(", "))
}

/// Statements that drop and make the table of one side.
pub(crate) fn own_table(server: Server, work: Work, table: &str) -> String {
    let columns = match (server, work) {
        (_, Work::CopyFrom | Work::Batch) => {
            "a INTEGER, b INTEGER, c INTEGER, d TEXT, e DOUBLE PRECISION, f INTEGER, g TEXT".into()
        }
        (server, _) => {
            let id = match server {
                Server::Postgres => "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
                Server::MySql => "BIGINT AUTO_INCREMENT PRIMARY KEY",
                Server::Sqlite => "INTEGER PRIMARY KEY",
            };
            format!(
                "id {id}, name VARCHAR(40) NOT NULL, number BIGINT NOT NULL, price DOUBLE PRECISION NOT NULL, active BOOLEAN NOT NULL"
            )
        }
    };
    format!("DROP TABLE IF EXISTS {table}; CREATE TABLE {table} ({columns})")
}

/// Statements that make the tables that all sides read; `places` is the power of ten of the great one's rows.
pub(crate) fn tables(server: Server, places: usize) -> String {
    let key = if server == Server::Sqlite { "INTEGER PRIMARY KEY" } else { "BIGINT PRIMARY KEY" };
    let mut sql = format!(
        "DROP TABLE IF EXISTS bench_digits; CREATE TABLE bench_digits (d INTEGER);
         INSERT INTO bench_digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
         DROP TABLE IF EXISTS bench_items; CREATE TABLE bench_items (id {key}, name VARCHAR(40) NOT NULL,
             price DOUBLE PRECISION NOT NULL, stock INTEGER NOT NULL, active BOOLEAN NOT NULL);
         INSERT INTO bench_items SELECT i, concat('item number ', i), i * 1.5, i % 90, i % 2 = 0 FROM {items};
         DROP TABLE IF EXISTS bench_locked; CREATE TABLE bench_locked (id INTEGER PRIMARY KEY, number INTEGER);
         INSERT INTO bench_locked VALUES (1, 0);
         DROP TABLE IF EXISTS bench_many; CREATE TABLE bench_many (id {key}, name VARCHAR(40) NOT NULL);
         INSERT INTO bench_many SELECT i, concat('item number ', i) FROM {many}",
        items = digits(3),
        many = digits(places),
    );
    if server == Server::Postgres {
        sql.push_str(
            ";
         DROP TABLE IF EXISTS bench_blobs; CREATE TABLE bench_blobs (b BYTEA);
         INSERT INTO bench_blobs SELECT decode(repeat('ab', 1000), 'hex') FROM generate_series(1, 100);
         DROP TABLE IF EXISTS bench_arrays; CREATE TABLE bench_arrays (a INTEGER[]);
         INSERT INTO bench_arrays SELECT array_agg(n) FROM generate_series(1, 100) AS i, generate_series(1, 100) AS n GROUP BY i;
         ANALYZE",
        );
    }
    sql
}
