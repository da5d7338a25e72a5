//! The SQLite backend of the `databases` crate, on [rusqlite] with a bundled SQLite.
//!
//! Each connection is a `rusqlite::Connection` with a thread of its own; a statement goes there and back in one hop. A read
//! that was short before runs on the thread of its caller instead, within bounds that keep other tasks going
//! (`inline_reads=off` in the URL sends all to the thread). All writes of one `Database` take turns by one fair permit, so
//! they never see `SQLITE_BUSY` from each other; other processes are waited for by `busy_timeout`. Statements outside of
//! transactions that wait for the permit together are committed together, each with its own result and acknowledged behind
//! the commit (`group_commit=off` gives each its own commit). Nothing here needs a particular runtime, and no lock is held
//! across anything that can wait.
//!
//! # What is stored
//!
//! | Value | as | form |
//! |---|---|---|
//! | bool | INTEGER | 0 or 1 |
//! | integers | INTEGER | above `i64::MAX`: an error |
//! | floats | REAL | `f32` widened; infinities too; NaN, which SQLite stores as NULL: an error |
//! | decimal | INTEGER or REAL | exactly, or an error; with `decimal=text` TEXT |
//! | text, json, uuid, interval, addresses | TEXT | uuid with hyphens, interval in ISO 8601; json's `null` is text, not NULL |
//! | bytes | BLOB | |
//! | date | TEXT | `2024-01-02` |
//! | time | TEXT | `03:04:05` or `03:04:05.25` |
//! | date and time | TEXT | `2024-01-02 03:04:05` or `2024-01-02 03:04:05.25` |
//! | instant | TEXT | `2024-01-02 03:04:05+00:00` or `2024-01-02 03:04:05.25+00:00` |
//! | arrays, maps, ranges, records | | an error: bind JSON, or use `list(..)` behind IN |
//!
//! Texts of a date, a time, a date and time or an instant sort like the values: a fraction is written without trailing
//! zeros and not at all if it is zero, and `+` sorts before `.` and every digit. SQLite's date functions read them, and a
//! date and time of whole seconds equals what `CURRENT_TIMESTAMP` gives. Years outside 1 to 9999 and infinities have no
//! such form: an error.
//!
//! # What a declared type does
//!
//! A column's declared type is a hint: it is what `Column::type_name` says, and reading never looks at it. But SQLite
//! itself converts what goes into such a column, by its [affinity](https://www.sqlite.org/datatype3.html#type_affinity):
//!
//! | Declared as | What changes |
//! |---|---|
//! | REAL, FLOAT, DOUBLE | integers and integral decimals become REAL; above 2^53 SQLite rounds them, in a STRICT table too |
//! | INTEGER, BOOLEAN, NUMERIC, DECIMAL, DATE, TIMESTAMP | whole floats become INTEGER; text of a number becomes that number, `'007'` 7, and loses digits beyond 15, with `decimal=text` too: declare such decimals TEXT. The same for what SQLite does not know, as JSON: a document that is a number becomes one and is not read as `JsonText` |
//! | TEXT, VARCHAR | numbers become text, from which they are read back |
//! | BLOB, nothing | nothing |
//!
//! # What is read
//!
//! The cell and the Rust type asked for decide, exactly or with an error:
//!
//! | Rust type | Cells |
//! |---|---|
//! | integers | INTEGER in range; REAL without fraction and below 2^53; TEXT of digits |
//! | bool | INTEGER 0 or 1 |
//! | floats | REAL; INTEGER that the float holds exactly; TEXT of at most 17 digits |
//! | decimal | INTEGER; REAL, by its shortest form; TEXT |
//! | `String` | TEXT that is UTF-8, never a number |
//! | bytes | BLOB; TEXT, UTF-8 or not |
//! | uuid | TEXT; BLOB of 16 bytes |
//! | date, time, date and time, instant | TEXT in the form above or ISO 8601; an instant with any offset, without one as UTC. Never a number, which may count seconds, milliseconds or days: convert it in the statement, as `datetime(c, 'unixepoch')` does |
//! | json, interval, addresses | TEXT |

// Lengths and numbers are checked or converted by `From`; a cast that cannot go wrong says why.
#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss
    )
)]

mod backend;
mod batch;
mod bulk;
mod connection;
mod error;
mod group;
#[cfg(test)]
mod group_tests;
mod here;
#[cfg(test)]
mod here_tests;
mod inserts;
mod known;
mod options;
mod permit;
mod session;
mod statement;
#[cfg(test)]
mod type_properties;
mod types;
mod watch;
mod worker;

pub use backend::Sqlite;
pub use rusqlite;
