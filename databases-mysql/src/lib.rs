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
//! | `sslmode`, `ssl-mode` | `disable`, `allow`, `prefer` (the default), `require`, `verify-ca`, `verify-full`, with libpq's meanings: see [`databases_core::tls`]; also as MySQL spells them (`DISABLED`, `PREFERRED`, `REQUIRED`, `VERIFY_CA`, `VERIFY_IDENTITY`) |
//! | `sslrootcert` | a file with the certificates of the trusted authorities, or `system` |
//! | `sslcert`, `sslkey` | files with the client's certificate and its key |
//! | `allow_cleartext_password` | lets the server ask for the password in clear text; default false: only over TLS that `sslmode` insists on |
//! | `charset` | `utf8mb4`, which is what a session always has |
//! | `zero_dates` | `error` (the default) or `null`: what a date with a zero month or day, like `0000-00-00`, is read as |
//!
//! # TLS
//!
//! With `prefer`, a session goes on without TLS where the server has none or the handshake fails; that takes a connection more,
//! which the server may log as aborted, and is tried again after a minute. With `allow`, a login that is refused is tried again
//! with TLS. The first time that a session to another host is not encrypted although the mode is not `disable` is a
//! warning by `tracing`.
//!
//! The driver takes the crypto provider of rustls that is the default of the process. If there is none, this crate makes its own
//! (ring) the default at the first connection with TLS; an application that wants another installs it before. With
//! `verify-ca` the server is told the name `notvalidforname.invalid` (SNI) instead of its own, which servers of
//! MySQL and MariaDB do not look at.
//!
//! `caching_sha2_password`, whose first login sends the whole password, does so as it is over TLS and over unix sockets; without
//! TLS it encrypts it with a key that it asks the server for, and **whoever is on the way can give a key of their
//! own**: over a network that is not trusted use `verify-full`.
//!
//! # What a cell becomes
//!
//! | Server | Value |
//! |---|---|
//! | TINYINT … BIGINT, YEAR | integer, unsigned where the column is; BOOLEAN is TINYINT, read as `bool` where it is 0 or 1 |
//! | BIT | unsigned integer, read as `bool` where it is 0 or 1; `get_raw` has its bytes |
//! | FLOAT, DOUBLE | floating point, FLOAT in its own precision (in six digits out of `EXECUTE`, which answers in text) |
//! | DECIMAL | decimal with the scale of the column |
//! | CHAR, VARCHAR, TEXT, ENUM, SET; UUID, INET4, INET6 of MariaDB | text, in UTF-8 whatever the column is in (bytes where they are not UTF-8, as an echoed parameter may be) |
//! | BINARY, VARBINARY, BLOB, GEOMETRY, VECTOR | bytes; 16 of them are read as `Uuid` too |
//! | JSON | json on MySQL; MariaDB has no such type and sends text |
//! | DATE, DATETIME, TIMESTAMP | date, timestamp without zone, instant (the session's time zone is UTC) |
//! | TIME | a time of day from 00:00:00 to 24:00:00; an interval of microseconds outside of that. As `Interval` all are read |
//!
//! Text is read as a number, date, uuid or address where it has that form. A date with a zero month or day is a decode
//! error that says so, or NULL with `zero_dates=null`; `CAST(… AS CHAR)` gives its text.
//!
//! # What a value is bound as
//!
//! The driver sends integers, floating point numbers, times, dates with times, and text; all others go as text or bytes:
//!
//! | Value | Bound as |
//! |---|---|
//! | decimal, date, uuid, json | text, which the column reads |
//! | interval | TIME; with days or months, which it does not have, or beyond 838:59:59: an error |
//! | NaN, infinities, years before 1 and after 9999 | an error |
//! | arrays, maps, ranges, records | an error: bind JSON, or use `list(..)` behind IN |
//!
//! A `Uuid` is 36 characters of text, for UUID and CHAR(36). In BINARY(16) it is refused by the server: bind
//! `uuid.as_bytes().to_vec()`, or write `UUID_TO_BIN(:id)` on MySQL.
//!
//! A decimal that is stored is exact. In an expression the server calculates with text in floating point, and MariaDB also
//! compares it so: beyond 15 digits write `amount + CAST(:v AS DECIMAL(30,5))`, `amount = CAST(:v AS DECIMAL(30,5))`.
//!
//! # The id of an inserted row
//!
//! `last_insert_id` comes with the answer and costs nothing. Behind the rows of `INSERT … RETURNING` (MariaDB) the server
//! says neither a count nor an id: then the id is the one in the returned row, so there is one if the AUTO_INCREMENT
//! column is among those returned, and none with ON DUPLICATE KEY UPDATE, whose row may have been there before.
//!
//! # A connection that the server closed
//!
//! The driver looks at its socket only when it sends or reads. So a connection that was closed while nobody used it (KILL,
//! `wait_timeout`, a restart) breaks at the next statement, unless the pool asks first. That error has the effect
//! `NotSent` where the statement was still being prepared or written, and `Unknown` where all of it was handed to the
//! socket.
//!
//! # What an error names
//!
//! | Error | `constraint` | `table` | `columns` |
//! |---|---|---|---|
//! | duplicate (1062) | the key; `PRIMARY` is the primary key | as the server says it; MariaDB does not, see below | looked up |
//! | foreign key (1451, 1452) | the key | the one that refers | those that refer |
//! | no value (1048, 1364) | | as the statement names it | the column |
//! | check (3819, 4025) | the check | as the server says it; MySQL does not: as the statement names it | of a check that stands behind a column, on MariaDB |
//!
//! The server names no columns of a key. After a duplicate they are looked up in `information_schema`: **two round trips
//! more, once per key, connection and minute**; no statement that succeeds pays anything. The server gives up after
//! 200 ms; then, or where the account may not see the table, the error has no columns. For up to a minute the columns may
//! be those from before an ALTER TABLE on another connection; one on this connection is seen.
//!
//! The look-up is a plain read on the same connection, inside the transaction that is open. It clears `SHOW WARNINGS` and
//! `ROW_COUNT()`. On MySQL, whose `information_schema` is made of InnoDB tables, it fixes the snapshot of a REPEATABLE
//! READ transaction that has read nothing before; MariaDB's does not.
//!
//! On MariaDB, and on MySQL before 8.0.19, where the server does not say the table either, table and columns are left out
//! if the statement changes several tables or its table has triggers. Scripts, `CALL` and temporary tables are not
//! looked up.

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
mod cache;
mod connect;
mod connection;
mod error;
mod kept;
mod keys;
mod options;
mod packet;
mod session;
mod shared;
mod stream;
mod tables;
mod text;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
#[cfg(test)]
mod type_properties;
mod types;

pub use backend::MySql;
pub use mysql_async;

/// For this crate's own tests of what bytes can do, and the fuzz targets.
#[doc(hidden)]
pub mod __private {
    use databases_core::{Result, Value, ValueRef};

    use crate::options::ZeroDates;
    use crate::types::{CellType, cell};

    const KINDS: [CellType; 15] = {
        use CellType::*;
        [Int, UInt, Float, Double, Decimal, Text, Bytes, Json, Date, DateTime, Timestamp, Time, Bit, Null, Other]
    };

    /// Reads a cell of the `kind`th sort of column.
    pub fn decode(kind: u8, value: &mysql_async::Value) -> Result<Value> {
        let kind = KINDS[usize::from(kind) % KINDS.len()];
        let zero_dates = if kind == CellType::Date { ZeroDates::Null } else { ZeroDates::Error };
        cell(value, kind, &"".into(), zero_dates).map(ValueRef::to_value)
    }
}
