//! The declared types of SQLite, each with what its cells hold once stored.

use crate::judge::Family;
use crate::{Server, Type};

const INTEGERS: &[&str] = &["0", "1", "-1", "9007199254740993", "-9223372036854775808", "9223372036854775807"];
const REALS: &[&str] = &["0.0", "1.0", "0.1", "-1.5", "1e15", "1.7976931348623157e308", "5e-324", "9e999", "-9e999"];
const NUMBERS: &[&str] = &["0", "1", "-1.5", "0.1", "9223372036854775807", "1e300"];
/// One text of the form of each Rust type, and what text is in danger of.
const TEXTS: &[&str] = &[
    "''",
    "'a'",
    "'it''s'",
    "'🦀 naïve 漢字'",
    "' padded '",
    "'5'",
    "'1.50'",
    "'2024-02-29'",
    "'12:30:00'",
    "'2024-02-29 12:30:00'",
    "'2024-02-29 12:30:00+00:00'",
    "'P1Y2M3DT4H'",
    "'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'",
    "'{\"a\": [1, null]}'",
];
const BYTES: &[&str] = &["X''", "X'00'", "X'ff80'", "X'30313233343536373839616263646566'", "zeroblob(70000)"];
/// One of each storage class.
const EACH: &[&str] = &[
    "0",
    "1",
    "5",
    "1.5",
    "9223372036854775807",
    "9e999",
    "'a'",
    "'2024-02-29'",
    "'12:30:00'",
    "'2024-02-29 12:30:00'",
    "'P1Y2M3DT4H'",
    "'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'",
    "'{}'",
    "X'ff80'",
];

pub(crate) fn server() -> Server {
    let types = vec![
        Type::new("INTEGER", INTEGERS),
        Type::new("REAL", REALS),
        Type::text("TEXT", TEXTS),
        Type::bytes("BLOB", BYTES),
        Type::new("NUMERIC", NUMBERS),
        Type::new("BOOLEAN", &["FALSE", "TRUE"]),
        Type::text("DATE", &["'0001-01-01'", "'2024-02-29'", "'9999-12-31'"]),
        Type::text("TIME", &["'00:00:00'", "'12:30:00.5'", "'23:59:59.999999'"]),
        Type::text(
            "DATETIME",
            &["'0001-01-01 00:00:00'", "'2024-02-29 23:59:59.999999'", "'9999-12-31 23:59:59.999999'"],
        ),
        Type::new("DECIMAL", NUMBERS),
        Type::text("JSON", &["'{\"a\": [1, null]}'", "'[]'", "'null'", "'\"x\"'", "'5'", "'1.50'"]),
        Type::new("(no type)", EACH).column(""),
        Type { strict: true, ..Type::new("ANY (STRICT)", EACH).column("ANY") },
        Type { strict: true, ..Type::new("INTEGER (STRICT)", INTEGERS).column("INTEGER") },
        Type { strict: true, ..Type::new("REAL (STRICT)", REALS).column("REAL") },
        Type { strict: true, ..Type::text("TEXT (STRICT)", TEXTS).column("TEXT") },
        Type { strict: true, ..Type::bytes("BLOB (STRICT)", BYTES).column("BLOB") },
    ];
    Server { heading: "SQLite", family: Family::Sqlite, setup: &[], types }
}
