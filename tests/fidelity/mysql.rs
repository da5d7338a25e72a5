//! The types of MariaDB and MySQL.

use crate::judge::Family;
use crate::rust::Class;
use crate::{Server, Type};

/// One text of the form of each Rust type, and what text is in danger of. At most 100 characters.
const TEXTS: &[&str] = &[
    "''",
    "'a'",
    "'it''s'",
    "'🦀 naïve 漢字'",
    "' padded'",
    "'5'",
    "'1.50'",
    "'2024-02-29'",
    "'12:30:00'",
    "'2024-02-29 12:30:00'",
    "'2024-02-29 12:30:00+00'",
    "'P1Y2M3DT4H'",
    "'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'",
    "'{\"a\": [1, null]}'",
];
const BYTES: &[&str] = &["X''", "X'00'", "X'ff80'", "'0123456789abcdef'", "'5'"];
const TWO_POINTS: &[&str] = &["ST_GeomFromText('POINT(0 0)')", "ST_GeomFromText('LINESTRING(-1.5 1e300, 2 2)')"];

fn types() -> Vec<Type> {
    let double = "CAST({} + 0e0 AS CHAR)";
    let number = "CAST({} + 0 AS CHAR)";
    vec![
        Type::new("TINYINT", &["0", "1", "-1", "-128", "127"]),
        Type::new("TINYINT UNSIGNED", &["0", "1", "255"]),
        Type::new("BOOL", &["FALSE", "TRUE", "-128", "127"]),
        Type::new("SMALLINT", &["0", "1", "-32768", "32767"]),
        Type::new("SMALLINT UNSIGNED", &["0", "1", "65535"]),
        Type::new("MEDIUMINT", &["0", "1", "-8388608", "8388607"]),
        Type::new("MEDIUMINT UNSIGNED", &["0", "1", "16777215"]),
        Type::new("INT", &["0", "1", "16777217", "-2147483648", "2147483647"]),
        Type::new("INT UNSIGNED", &["0", "1", "4294967295"]),
        Type::new("BIGINT", &["0", "1", "9007199254740993", "-9223372036854775808", "9223372036854775807"]),
        Type::new("BIGINT UNSIGNED", &["0", "1", "9223372036854775808", "18446744073709551615"]),
        Type::new("BIT(1)", &["0", "1"]).shown_by(number),
        Type::new("BIT(64)", &["0", "1", "9223372036854775808", "18446744073709551615"]).shown_by(number),
        Type::new("FLOAT", &["0", "1", "0.1", "-1.5", "3.40282346e38", "1.17549435e-38"]).shown_by(double),
        Type::new("DOUBLE", &["0", "1", "0.1", "1e15", "1.7976931348623157e308", "2.2250738585072014e-308"])
            .shown_by(double),
        Type::new(
            "DECIMAL(65,30)",
            &[
                "0",
                "1",
                "-1.50",
                "0.1",
                "18446744073709551615",
                "99999999999999999999999999999999999.999999999999999999999999999999",
                "-99999999999999999999999999999999999.999999999999999999999999999999",
                "0.000000000000000000000000000001",
            ],
        ),
        Type::text("CHAR(100)", TEXTS),
        Type::text("VARCHAR(100)", TEXTS),
        Type::text("TEXT", TEXTS),
        Type::text("LONGTEXT", TEXTS).and(&["' padded '", "REPEAT('ä€🦀x', 20000)"]),
        Type::bytes(
            "BINARY(16)",
            &["X'00000000000000000000000000000000'", "'0123456789abcdef'", "X'ffffffffffffffffffffffffffffff80'"],
        )
        .shown_by("HEX({})"),
        Type::bytes("VARBINARY(100)", BYTES).shown_by("HEX({})"),
        Type::bytes("BLOB", BYTES).shown_by("HEX({})"),
        Type::bytes("LONGBLOB", &["X''", "X'00'", "X'ff80'", "'0123456789abcdef'", "REPEAT(X'00ff', 70000)"])
            .shown_by("HEX({})"),
        Type::new("DATE", &["'1000-01-01'", "'1970-01-01'", "'2024-02-29'", "'9999-12-31'"]),
        Type::new(
            "TIME(6)",
            &["'00:00:00'", "'12:30:00.5'", "'23:59:59.999999'", "'-838:59:59'", "'838:59:59'", "'-00:00:00.000001'"],
        ),
        Type::new(
            "DATETIME(6)",
            &["'1000-01-01'", "'1970-01-01'", "'2024-02-29 23:59:59.999999'", "'9999-12-31 23:59:59.999999'"],
        ),
        Type::new(
            "TIMESTAMP(6)",
            &["'1970-01-01 00:00:01'", "'2024-02-29 23:59:59.999999'", "'2038-01-19 03:14:07.499999'"],
        ),
        Type::new("YEAR", &["1901", "1999", "2024", "2155", "0"]),
        Type::text("ENUM", &["'sad'", "'it''s 🦀'"]).column("ENUM('sad', 'it''s 🦀')"),
        Type::text("SET", &["''", "'sad'", "'sad,it''s 🦀'"]).column("SET('sad', 'it''s 🦀')"),
        Type::new("JSON", &["'null'", "'{\"a\": 1.5, \"b\": [true]}'", "'\"🦀\"'", "'5'", "'[]'"]),
        Type::bytes("GEOMETRY", TWO_POINTS).shown_by("HEX({})"),
    ]
}

pub(crate) fn mariadb() -> Server {
    let mut types = types();
    types.extend([
        Type::new("UUID", &["'00000000-0000-0000-0000-000000000000'", "'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'"]),
        Type::new("INET4", &["'0.0.0.0'", "'192.168.1.5'", "'255.255.255.255'"]),
        Type::new("INET6", &["'::'", "'::1'", "'2001:db8::5'", "'::ffff:192.168.1.5'"]),
    ]);
    Server { heading: "MariaDB", family: Family::MySql, setup: &[], types }
}

pub(crate) fn mysql() -> Server {
    let mut types = types();
    for ty in &mut types {
        // What MySQL 9.7 does to parameters and not to literals: it takes the microseconds of a DATETIME away where it becomes
        // text, and takes an unsigned number for a signed one where it becomes a time.
        ty.own_way = match ty.name {
            "TIME(6)" => &["u64"],
            _ if ty.class != Class::Other => &["DateTime", "Timestamp"],
            _ => &[],
        };
    }
    Server { heading: "MySQL", family: Family::MySql, setup: &[], types }
}
