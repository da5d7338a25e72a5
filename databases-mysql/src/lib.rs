//! The MySQL and MariaDB backend of the `databases` crate, on the driver `mysql_async`.
//!
//! Applications use the facade crate `databases` with its feature `mysql`. This crate has one public type, [`MySql`],
//! and re-exports the driver, whose `Conn` is what `Connection::native` lends.
//!
//! # URL
//!
//! `mysql://user:password@host:3306/database` or `mariadb://…`; without a host 127.0.0.1. Names are resolved by this
//! crate, never by the driver, which would block the thread.
//!
//! | Option | Meaning |
//! |---|---|
//! | `socket` | the path of the server's unix socket, or its directory; a directory may also be the host |
//! | `sslmode`, `ssl-mode` | `disable`, `allow`, `prefer` (the default); `require` and above fail, since this build has no TLS |
//! | `charset` | `utf8mb4`, which is what a session always has |
//!
//! # What a value becomes
//!
//! | Server | Value |
//! |---|---|
//! | TINYINT … BIGINT, YEAR | integer, unsigned where the column is; BOOLEAN is TINYINT |
//! | BIT | unsigned integer |
//! | FLOAT, DOUBLE; DECIMAL | floating point; decimal |
//! | CHAR, VARCHAR, TEXT, ENUM, SET | text (bytes where they are not UTF-8, as an echoed parameter may be) |
//! | BINARY, VARBINARY, BLOB, GEOMETRY, VECTOR | bytes |
//! | JSON | json on MySQL; MariaDB has no such type and sends text |
//! | DATE, DATETIME, TIMESTAMP | date, timestamp without zone, instant (the session's time zone is UTC) |
//! | TIME | a time of day from 00:00:00 to 24:00:00; an interval of microseconds outside of that |
//!
//! A date with a zero month or day is a decode error that says so.

#![warn(missing_docs)]

mod backend;
mod batch;
mod cache;
mod connection;
mod error;
mod options;
mod session;
mod stream;
mod types;

pub use backend::MySql;
pub use mysql_async;
