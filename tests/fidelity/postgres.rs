//! The types of PostgreSQL.

use std::collections::HashMap;

use databases::types::{Decimal, Range, Timestamp};

use crate::judge::Family;
use crate::rust::Pair;
use crate::{Server, Type};

/// One text of the form of each Rust type, and what text is in danger of.
const TEXTS: &[&str] = &[
    "''",
    "'a'",
    "'it''s'",
    "'🦀 naïve 漢字'",
    "' padded '",
    "'5'",
    "'1.50'",
    "'t'",
    "'2024-02-29'",
    "'12:30:00'",
    "'2024-02-29 12:30:00'",
    "'2024-02-29 12:30:00+00'",
    "'P1Y2M3DT4H'",
    "'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'",
    "'{\"a\": [1, null]}'",
    "repeat('ä€🦀x', 20000)",
];

/// What the type's output function writes, where a cast to text does more.
const OUTPUT: &str = "CASE WHEN {} IS NOT NULL THEN concat({}) END";

pub(crate) fn server() -> Server {
    let types = vec![
        Type::new("bool", &["false", "true"]),
        Type::new("int2", &["0", "1", "-1", "-32768", "32767"]),
        Type::new("int4", &["0", "1", "16777217", "-2147483648", "2147483647"]),
        Type::new("int8", &["0", "1", "9007199254740993", "-9223372036854775808", "9223372036854775807"]),
        Type::new("oid", &["0", "1", "2147483648", "4294967295"]),
        Type {
            converts: true,
            ..Type::new(
                "float4",
                &["0", "'-0'", "1", "0.1", "3.4028235e38", "1e-45", "'NaN'", "'Infinity'", "'-Infinity'"],
            )
        },
        Type::new(
            "float8",
            &[
                "0",
                "'-0'",
                "1",
                "0.1",
                "1e15",
                "1.7976931348623157e308",
                "5e-324",
                "'NaN'",
                "'Infinity'",
                "'-Infinity'",
            ],
        ),
        Type::new(
            "numeric",
            &[
                "0",
                "1",
                "-1.50",
                "0.1",
                "9223372036854775808",
                "18446744073709551615",
                "12345678901234567890.12345678901234567890",
                "'1e131071'",
                "'-1e-16383'",
                "'NaN'",
                "'Infinity'",
                "'-Infinity'",
            ],
        ),
        Type::new("money", &["0", "-1", "'0.01'", "'-92233720368547758.08'", "'92233720368547758.07'"]),
        Type::text("text", TEXTS),
        Type::text("varchar", TEXTS),
        // The cast to text takes blanks away at the end.
        Type::text("bpchar", TEXTS).shown_by(OUTPUT),
        Type::text("name", &["''", "'a'", "'it''s'", "'5'", "'2024-02-29'", "'12:30:00'", "repeat('x', 63)"]),
        Type::text("\"char\"", &["''", "'a'", "'5'", "'\\377'"]),
        Type::text("citext", TEXTS).optional(),
        Type::bytes(
            "bytea",
            &[
                "''",
                "'\\x00'",
                "'\\x30313233343536373839616263646566'",
                "'\\xff80'",
                "decode(repeat('00ff', 70000), 'hex')",
            ],
        ),
        Type::new(
            "date",
            &[
                "'1970-01-01'",
                "'2024-02-29'",
                "'4714-11-24 BC'",
                "'0044-03-15 BC'",
                "'5874897-12-31'",
                "'infinity'",
                "'-infinity'",
            ],
        ),
        Type::new("time", &["'00:00'", "'12:30:00.5'", "'23:59:59.999999'", "'24:00'"]),
        Type::new("timetz", &["'00:00+00'", "'12:30:00.5-03:30'", "'24:00:00-15:59:59'", "'00:00+15:59:59'"]),
        Type::new(
            "timestamp",
            &[
                "'1970-01-01'",
                "'2024-02-29 23:59:59.999999'",
                "'4714-11-24 00:00 BC'",
                "'294276-12-31 23:59:59.999999'",
                "'infinity'",
                "'-infinity'",
            ],
        ),
        Type::new(
            "timestamptz",
            &[
                "'1970-01-01'",
                "'2024-02-29 23:59:59.999999+02'",
                "'4714-11-24 00:00 BC'",
                "'294276-12-31 23:59:59.999999'",
                "'infinity'",
                "'-infinity'",
            ],
        ),
        Type::new(
            "interval",
            &[
                "'0'",
                "'1 mon -1 day'",
                "'14 mons -3 days 4:05:06.5'",
                "'-0.000001 s'",
                "'178956970 years 7 mons 2147483646 days 2562047788:00:54.775806'",
            ],
        ),
        Type::new(
            "uuid",
            &[
                "'00000000-0000-0000-0000-000000000000'",
                "'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'",
                "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
            ],
        ),
        Type::new("json", &["'null'", "' {\"a\":1.50, \"a\": [true] } '", "'\"🦀\"'", "'5'", "'[]'"]),
        Type::new("jsonb", &["'null'", "'{\"a\":1.50, \"b\": [true]}'", "'\"🦀\"'", "'5'", "'[]'"]),
        Type::text("enum", &["'sad'", "'it''s 🦀'"]).column("@.mood"),
        Type::new("domain over int4", &["0", "-2147483648", "2147483647"]).column("@.small"),
        Type::text("domain over text", TEXTS).column("@.words"),
        Type::new("int4[]", &["'{}'", "'{1,NULL,2147483647}'", "'{-2147483648}'"])
            .composite::<Vec<Option<i32>>>("Vec<Option<i32>>"),
        Type::new("int4[][]", &["'{}'", "'{{1,2},{3,4}}'"]).composite::<Vec<Vec<i32>>>("Vec<Vec<i32>>"),
        Type::new("text[]", &["'{}'", "'{\"\",NULL,\"NULL\",\"a,\\\"b\\\" {\\\\} 🦀\"}'"])
            .composite::<Vec<Option<String>>>("Vec<Option<String>>"),
        Type::new("int4range", &["'empty'", "'[1,5)'", "'(,)'", "'[5,)'", "'[-2147483648,2147483647)'"])
            .composite::<Range<i32>>("Range<i32>"),
        Type::new(
            "tstzrange",
            &["'empty'", "'(,)'", "'[2024-02-29 12:30,2024-03-01 00:00:00.000001)'", "'[2024-02-29,infinity]'"],
        )
        .composite::<Range<Timestamp>>("Range<Timestamp>"),
        Type::new("int4multirange", &["'{}'", "'{[1,5),[7,)}'", "'{(,)}'"])
            .composite::<Vec<Range<i32>>>("Vec<Range<i32>>"),
        Type::new("nummultirange", &["'{}'", "'{[1.5,2.50),[3,4]}'", "'{(,)}'"])
            .composite::<Vec<Range<Decimal>>>("Vec<Range<Decimal>>"),
        Type::new("composite", &["'(1,a)'", "'(,\"\")'", "'(-2147483648,\"a, (\"\"b\"\") \\\\ 🦀\")'", "'(,)'"])
            .column("@.pair")
            .composite::<Pair>("(Option<i32>, Option<String>)"),
        Type::new("hstore", &["''", "'a=>1, b=>NULL, \"\"=>\"\\\"=>, 🦀\"'"])
            .optional()
            .composite::<HashMap<String, Option<String>>>("HashMap<String, Option<String>>"),
        // The cast to text adds /32 and /128.
        Type::new("inet", &["'0.0.0.0/0'", "'192.168.1.5'", "'192.168.1.5/24'", "'::1'", "'2001:db8::5/64'"])
            .shown_by(OUTPUT),
        Type::new("cidr", &["'0.0.0.0/0'", "'192.168.1.0/24'", "'::/0'", "'2001:db8::/32'"]),
        Type::new("macaddr", &["'00:00:00:00:00:00'", "'08:00:2b:01:02:03'", "'ff:ff:ff:ff:ff:ff'"]),
        Type::new("macaddr8", &["'00:00:00:00:00:00:00:00'", "'08:00:2b:01:02:03:04:05'"]),
        // Their digits are not those of a decimal number.
        Type::new("bit(8)", &["'00000000'", "'10110011'", "'11111111'"]).numbered_by("{}::int4::text"),
        Type::new("varbit", &["''", "'1'", "'101100111'"])
            .numbered_by("(('0' || {}::text)::bit(64)::int8 >> (63 - length({})))::text"),
        Type::new("pg_lsn", &["'0/0'", "'16/B374D848'", "'FFFFFFFF/FFFFFFFF'"]),
        Type::new("xid8", &["'0'", "'9223372036854775808'", "'18446744073709551615'"]),
        Type::new("regclass", &["'pg_class'", "'0'", "'4294967295'"]).numbered_by("{}::oid::text"),
        Type::new("regtype", &["'int4'", "'timestamp with time zone'", "'0'", "'4294967295'"])
            .numbered_by("{}::oid::text"),
        Type::new("oidvector", &["''", "'1 2 4294967295'"]).composite::<Vec<i64>>("Vec<i64>"),
        Type::new("aclitem[]", &["'{}'", "'{=r/databases}'"]).composite::<Vec<Option<String>>>("Vec<Option<String>>"),
        Type::new("tsvector", &["''", "'a:1A fat cat'"]),
        Type::new("tsquery", &["''", "'fat & !(cat | a:*B)'"]),
        Type::new("point", &["'(0,0)'", "'(-1.5,1e300)'", "'(Infinity,NaN)'"]),
        Type::text("xml", &["'<a>🦀</a>'", "''", "'text'", "'5'"]).optional(),
        Type::new("jsonpath", &["'$'", "'$.a[*] ? (@ > 1)'"]),
        Type::new("pg_snapshot", &["'1:1:'", "'10:20:10,14,15'"]),
        Type::new("tid", &["'(0,0)'", "'(4294967295,65535)'"]),
    ];
    let setup: &[&str] = &[
        "CREATE EXTENSION IF NOT EXISTS citext",
        "CREATE EXTENSION IF NOT EXISTS hstore",
        "CREATE TYPE @.mood AS ENUM ('sad', 'it''s 🦀')",
        "CREATE DOMAIN @.small AS int4",
        "CREATE DOMAIN @.words AS text",
        "CREATE TYPE @.pair AS (number int4, words text)",
    ];
    Server { heading: "PostgreSQL", family: Family::Postgres, setup, types }
}
