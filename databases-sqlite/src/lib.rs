//! The SQLite backend of the `databases` crate, on [rusqlite] with a bundled SQLite.
//!
//! Each connection is a `rusqlite::Connection` owned by one thread; a statement goes there and back in one hop. All
//! writes of one `Database` take turns by one fair permit, so they never see `SQLITE_BUSY` from each other; other
//! processes are waited for by `busy_timeout`. Nothing here needs a particular runtime, and no lock is held across
//! anything that can wait.
//!
//! # What is stored
//!
//! | Value | as | form |
//! |---|---|---|
//! | bool | INTEGER | 0 or 1 |
//! | integers | INTEGER | above `i64::MAX`: an error |
//! | floats | REAL | NaN, which SQLite stores as NULL: an error |
//! | decimal | INTEGER or REAL | exactly, or an error; with `decimal=text` TEXT |
//! | text, json, uuid, interval | TEXT | uuid with hyphens, interval in ISO 8601 |
//! | bytes | BLOB | |
//! | date | TEXT | `2024-01-02` |
//! | time | TEXT | `03:04:05` or `03:04:05.25` |
//! | date and time | TEXT | `2024-01-02 03:04:05` or `2024-01-02 03:04:05.25` |
//! | instant | TEXT | `2024-01-02 03:04:05+00:00` or `2024-01-02 03:04:05.25+00:00` |
//!
//! Texts of one of the last four sort like the values: a fraction is written without trailing zeros and not at all if it
//! is zero, and `+` sorts before `.` and every digit. SQLite's date functions read them, and a date and time of whole
//! seconds equals what `CURRENT_TIMESTAMP` gives. Years outside 1 to 9999 and infinities have no such form: an error.

mod backend;
mod batch;
mod connection;
mod error;
mod options;
mod permit;
mod session;
mod statement;
mod types;
mod worker;

pub use backend::Sqlite;
pub use rusqlite;
