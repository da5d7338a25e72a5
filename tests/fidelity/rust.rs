//! The Rust types of the table: values of each to bind, extremes included, and what the server's text of a value means to it.

use std::collections::HashMap;
use std::fmt::Debug;

use databases::types::{Date, DateTime, Decimal, Interval, JsonText, Range, Time, Timestamp, Uuid};
use databases::{FromValue, IntoValue, Value, ValueKind, ValueRef};
use databases_core::Array;

/// What values of a type are made of. Between two of these a value takes another form on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Text,
    Bytes,
    Other,
}

/// A column of the table.
pub(crate) trait RustType: FromValue + IntoValue + Clone + Debug + Send + Sync + 'static {
    const CLASS: Class = Class::Other;
    const NUMBER: bool = false;
    /// PostgreSQL's type of the same values, for literals.
    const POSTGRES: &str = "";

    /// Values to bind.
    fn samples() -> Vec<Self>;

    /// Whether two values are the same to their last digit.
    fn same(&self, other: &Self) -> bool;

    /// Whether this is the value that the server writes as `text`. Does not use what is tested to find out.
    fn agrees(&self, _text: &str) -> bool {
        false
    }

    /// The value that the server writes as `text` for a type of this class, so that the samples of the type are bound too.
    fn from_text(_text: &str, _class: Class) -> Option<Self> {
        None
    }

    /// The text of a literal; bytes are in hexadecimal digits.
    fn literal(&self) -> Option<Literal> {
        None
    }
}

/// A value as it can be written into SQL text.
pub(crate) enum Literal {
    Number(String),
    /// MySQL has no parameters of the type; they are text.
    Decimal(String),
    Quoted(String),
    /// A span of time, and as a clock if that can be.
    Span(String, Option<String>),
    /// With the keyword that MySQL has before it.
    Typed(&'static str, String),
    Bytes(Vec<u8>),
}

impl RustType for bool {
    const NUMBER: bool = true;
    const POSTGRES: &str = "bool";
    fn samples() -> Vec<Self> {
        vec![false, true]
    }
    fn same(&self, other: &Self) -> bool {
        self == other
    }
    fn agrees(&self, text: &str) -> bool {
        let texts = if *self { ["1", "t", "true"] } else { ["0", "f", "false"] };
        texts.contains(&text)
    }
    fn literal(&self) -> Option<Literal> {
        Some(Literal::Number(self.to_string()))
    }
}

macro_rules! integers {
    ($($type:ty, $postgres:literal, [$($sample:expr),*];)*) => {$(
        impl RustType for $type {
            const NUMBER: bool = true;
            const POSTGRES: &str = $postgres;
            fn samples() -> Vec<Self> {
                vec![$($sample),*]
            }
            fn same(&self, other: &Self) -> bool {
                self == other
            }
            fn agrees(&self, text: &str) -> bool {
                // A double is written in its shortest form, which for 2^63 is another number than the double is.
                let double = || text.parse::<f64>().is_ok_and(|value| value as i128 == i128::from(*self));
                text.parse::<Decimal>().is_ok_and(|value| value == Decimal::from(*self)) || text.contains('e') && double()
            }
            fn literal(&self) -> Option<Literal> {
                Some(Literal::Number(self.to_string()))
            }
        }
    )*};
}

integers! {
    i16, "int2", [0, 1, -1, 1999, i16::MIN, i16::MAX];
    i32, "int4", [0, 1, -1, 16_777_217, i32::MIN, i32::MAX];
    i64, "int8", [0, 1, -1, 16_777_217, (1 << 53) + 1, i64::MIN, i64::MAX];
    u64, "numeric", [0, 1, 16_777_217, (1 << 53) + 1, i64::MAX as u64 + 1, u64::MAX];
}

macro_rules! floats {
    ($($type:ty, $postgres:literal, [$($more:expr),*];)*) => {$(
        impl RustType for $type {
            const NUMBER: bool = true;
            const POSTGRES: &str = $postgres;
            fn samples() -> Vec<Self> {
                let mut samples = vec![
                    0.0, -0.0, 1.0, -1.5, 0.1, 1.0 / 3.0, <$type>::MAX, <$type>::MIN, <$type>::MIN_POSITIVE,
                    <$type>::NAN, <$type>::INFINITY, <$type>::NEG_INFINITY,
                ];
                samples.extend([$($more),*]);
                samples
            }
            // The sign of a zero is no part of the promise: MySQL and SQLite do not store it.
            fn same(&self, other: &Self) -> bool {
                self == other || self.is_nan() && other.is_nan()
            }
            // By the shortest digits of the double, its 17 or all of an integer: what is only near is another number.
            fn agrees(&self, text: &str) -> bool {
                let number = f64::from(*self);
                let mut digits = vec![number.to_string(), format!("{number:.16e}")];
                if number.fract() == 0.0 && number.abs() < 1e30 {
                    digits.push((number as i128).to_string());
                }
                text.parse::<Decimal>().is_ok_and(|value| digits.iter().any(|digits| digits.parse() == Ok(value.clone())))
            }
            fn literal(&self) -> Option<Literal> {
                Some(if self.is_finite() {
                    Literal::Number(format!("{:e}", f64::from(*self)))
                } else {
                    Literal::Quoted(self.to_string())
                })
            }
        }
    )*};
}

floats! {
    f32, "float4", [f32::from_bits(1), 123_456.79];
    f64, "float8", [5e-324, 123_456.789, 1e15, 9_007_199_254_740_993.0, f64::from(0.1_f32), 1e39];
}

fn parsed<T: std::str::FromStr<Err: Debug>>(texts: &[&str]) -> Vec<T> {
    texts.iter().map(|text| text.parse().expect(text)).collect()
}

impl RustType for Decimal {
    const NUMBER: bool = true;
    const POSTGRES: &str = "numeric";
    fn samples() -> Vec<Self> {
        parsed(&[
            "0",
            "1",
            "-1.5",
            "0.1",
            "1.50",
            "16777217",
            "9007199254740993",
            "99999999999999999999",
            "12345678901234567890.123456789",
            "0.123456789012345678901234567891",
            "-99999999999999999999999999999999999",
            "1e100",
            "1e-40",
            "NaN",
            "Infinity",
            "-Infinity",
        ])
    }
    fn same(&self, other: &Self) -> bool {
        self == other
    }
    fn agrees(&self, text: &str) -> bool {
        text.parse::<Self>().is_ok_and(|value| value == *self)
    }
    fn literal(&self) -> Option<Literal> {
        Some(if self.is_finite() { Literal::Decimal(self.to_string()) } else { Literal::Quoted(self.to_string()) })
    }
}

impl RustType for String {
    const CLASS: Class = Class::Text;
    const POSTGRES: &str = "text";
    fn samples() -> Vec<Self> {
        let texts = [
            "",
            "a",
            "it's",
            "🦀 naïve 漢字",
            " padded ",
            "5",
            "1.50",
            "true",
            "2024-02-29",
            "12:30:00",
            "2024-02-29 12:30:00",
            "P1Y2M3DT4H",
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "line\r\n\\ttab",
            "a\0b",
        ];
        texts.into_iter().map(str::to_owned).chain(["ä€🦀x".repeat(20_000)]).collect()
    }
    fn same(&self, other: &Self) -> bool {
        self == other
    }
    fn agrees(&self, text: &str) -> bool {
        self == text
    }
    fn from_text(text: &str, _class: Class) -> Option<Self> {
        Some(text.to_owned())
    }
    fn literal(&self) -> Option<Literal> {
        Some(Literal::Quoted(self.clone()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits, as servers write them.
pub(crate) fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.strip_prefix("\\x").unwrap_or(digits);
    let byte = |index| u8::from_str_radix(digits.get(index..index + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect()
}

impl RustType for Vec<u8> {
    const CLASS: Class = Class::Bytes;
    const POSTGRES: &str = "bytea";
    fn samples() -> Vec<Self> {
        let all: Vec<u8> = (0..=255).collect();
        vec![vec![], vec![0], b"5".to_vec(), b"0123456789abcdef".to_vec(), all.clone(), all.repeat(300)]
    }
    fn same(&self, other: &Self) -> bool {
        self == other
    }
    fn agrees(&self, text: &str) -> bool {
        self == text.as_bytes() || text.strip_prefix("\\x").unwrap_or(text).eq_ignore_ascii_case(&hex(self))
    }
    fn from_text(text: &str, class: Class) -> Option<Self> {
        if class == Class::Bytes { unhex(text) } else { None }
    }
    fn literal(&self) -> Option<Literal> {
        Some(Literal::Bytes(self.clone()))
    }
}

/// Without a zone, which is UTC in every session of ours, the `T` of ISO 8601 and the zeros at the end of a fraction.
fn plain(text: &str) -> String {
    let text = ["+00:00", "+00", "Z"].iter().find_map(|zone| text.strip_suffix(zone)).unwrap_or(text).replace('T', " ");
    match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{whole}.{fraction}").trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => text,
    }
}

macro_rules! dates {
    ($($type:ty, $postgres:literal, $keyword:literal, [$($constant:expr),*], [$($text:literal),*];)*) => {$(
        impl RustType for $type {
            const POSTGRES: &str = $postgres;
            fn samples() -> Vec<Self> {
                let mut samples = parsed(&[$($text),*]);
                samples.extend([$($constant),*]);
                samples
            }
            fn same(&self, other: &Self) -> bool {
                self == other
            }
            fn agrees(&self, text: &str) -> bool {
                plain(&self.to_string()) == plain(text)
            }
            fn literal(&self) -> Option<Literal> {
                Some(Literal::Typed($keyword, plain(&self.to_string())))
            }
        }
    )*};
}

dates! {
    Date, "date", "DATE", [Date::MIN, Date::MAX, Date::INFINITY, Date::NEG_INFINITY],
        ["1970-01-01", "2024-02-29", "0001-01-01", "1000-01-01", "9999-12-31", "10000-01-01"];
    Time, "time", "TIME", [Time::MAX], ["00:00:00", "12:30:00", "12:30:00.5", "23:59:59.999999"];
    DateTime, "timestamp", "TIMESTAMP",
        [DateTime::MIN, DateTime::MAX, DateTime::INFINITY, DateTime::NEG_INFINITY],
        ["1970-01-01 00:00:01", "2024-02-29 00:00:00", "2024-02-29 23:59:59.999999", "2038-01-19 03:14:08",
         "0001-01-01 00:00:00", "1815-06-18 11:35:00.000001", "9999-12-31 23:59:59.999999"];
    Timestamp, "timestamptz", "TIMESTAMP",
        [Timestamp::MIN, Timestamp::MAX, Timestamp::INFINITY, Timestamp::NEG_INFINITY],
        ["1970-01-01 00:00:01+00", "2024-02-29 00:00:00+00", "2024-02-29 23:59:59.999999+00", "2038-01-19 03:14:08+00",
         "0001-01-01 00:00:00+00", "1815-06-18 11:35:00.000001+00", "9999-12-31 23:59:59.999999+00"];
}

/// The microseconds of `[-]HHH:MM:SS[.ffffff]`.
fn clock(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (text, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let parts: Vec<i64> = text.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [hours, minutes, seconds] = parts[..] else { return None };
    let micros: i64 = format!("{fraction:0<6}").parse().ok()?;
    Some(sign * ((hours * 3600 + minutes * 60 + seconds) * 1_000_000 + micros))
}

impl RustType for Interval {
    const POSTGRES: &str = "interval";
    fn samples() -> Vec<Self> {
        vec![
            Self::new(0, 0, 0),
            Self::new(0, 0, 45_000_500_000),
            Self::new(0, 0, -1),
            Self::new(14, -3, 5_000_001),
            Self::new(i32::MAX - 1, i32::MIN + 1, i64::MAX - 1),
        ]
    }
    fn same(&self, other: &Self) -> bool {
        self == other
    }
    fn agrees(&self, text: &str) -> bool {
        self.to_string() == text || clock(text).is_some_and(|micros| *self == Self::new(0, 0, micros))
    }
    fn literal(&self) -> Option<Literal> {
        let clock = || {
            let (sign, micros) = (if self.micros < 0 { "-" } else { "" }, self.micros.unsigned_abs());
            let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
            let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
            format!("{sign}{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
        };
        Some(Literal::Span(self.to_string(), (self.months == 0 && self.days == 0).then(clock)))
    }
}

impl RustType for Uuid {
    const POSTGRES: &str = "uuid";
    fn samples() -> Vec<Self> {
        vec![
            Self::nil(),
            Self::from_bytes([0xff; 16]),
            Self::from_bytes(*b"0123456789abcdef"),
            Self::from_bytes([
                0xf8, 0x1d, 0x4f, 0xae, 0x7d, 0xec, 0x11, 0xd0, 0xa7, 0x65, 0, 0xa0, 0xc9, 0x1e, 0x6b, 0xf6,
            ]),
        ]
    }
    fn same(&self, other: &Self) -> bool {
        self == other
    }
    fn agrees(&self, text: &str) -> bool {
        let digits: String = text.strip_prefix("\\x").unwrap_or(text).chars().filter(|c| *c != '-').collect();
        digits.eq_ignore_ascii_case(&hex(self.as_bytes()))
    }
    fn literal(&self) -> Option<Literal> {
        Some(Literal::Quoted(self.to_string()))
    }
}

impl RustType for JsonText {
    const POSTGRES: &str = "json";
    fn samples() -> Vec<Self> {
        let texts = [
            "null",
            "5",
            "1.50",
            "12345678901234567890",
            "0.12345678901234567890",
            r#""🦀 it's""#,
            "[]",
            r#"{"a": [1, "two", null, true], "b": {"c": "\\ \"x\""}}"#,
            r#"{"b":1,"a":2}"#,
            "{not json",
            "",
        ];
        texts.into_iter().map(Self::new).collect()
    }
    fn same(&self, other: &Self) -> bool {
        self.agrees(other.as_str())
    }
    // The same document, to the last digit of each number: `jsonb` and MySQL write one anew.
    fn agrees(&self, text: &str) -> bool {
        let document = |text: &str| Some((serde_json::from_str::<serde_json::Value>(text).ok()?, numbers(text)));
        self.as_str() == text || document(text).is_some_and(|value| Some(value) == document(self.as_str()))
    }
    fn literal(&self) -> Option<Literal> {
        Some(Literal::Quoted(self.as_str().to_owned()))
    }
}

/// The numbers in a JSON document, which `serde_json` reads as doubles, each without zeros at its end, sorted.
fn numbers(text: &str) -> Vec<String> {
    let (mut rest, mut in_string) = (String::new(), false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => in_string = !in_string,
            '\\' if in_string => drop(chars.next()),
            _ if in_string => {}
            c => rest.push(c),
        }
    }
    let words = rest.split(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c));
    let shortest = |number: Decimal| match number.to_string() {
        text if text.contains('.') => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        text => text,
    };
    let mut numbers: Vec<String> = words.filter_map(|word| word.parse().ok().map(shortest)).collect();
    numbers.sort_unstable();
    numbers
}

macro_rules! made_of_others {
    ($($type:ty => $samples:expr;)*) => {$(
        impl RustType for $type {
            fn samples() -> Vec<Self> {
                $samples
            }
            fn same(&self, other: &Self) -> bool {
                self == other
            }
        }
    )*};
}

fn string(text: &str) -> String {
    text.to_owned()
}

fn utc(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

fn number(text: &str) -> Decimal {
    text.parse().expect("a number")
}

/// Only so that text columns, which take it as PostgreSQL writes it, can be told.
fn array_text(items: &[Option<i64>]) -> String {
    let items: Vec<String> = items.iter().map(|item| item.map_or("NULL".to_owned(), |item| item.to_string())).collect();
    format!("{{{}}}", items.join(","))
}

impl RustType for Vec<Option<i64>> {
    fn samples() -> Vec<Self> {
        vec![vec![], vec![Some(1), None, Some(i64::MAX)], vec![Some(i64::MIN)]]
    }
    fn same(&self, other: &Self) -> bool {
        self == other
    }
    fn agrees(&self, text: &str) -> bool {
        array_text(self) == text
    }
}

made_of_others! {
    Vec<Option<i32>> => vec![vec![], vec![Some(1), None, Some(i32::MAX)], vec![Some(i32::MIN)]];
    Vec<Vec<i32>> => vec![vec![], vec![vec![1, 2], vec![3, 4]], vec![vec![1], vec![2, 3]]];
    Vec<Option<String>> => vec![
        vec![],
        vec![Some(string("")), None, Some(string("NULL")), Some(string("a,\"b\" {\\} 🦀"))],
    ];
    Range<i32> => vec![Range::Empty, (1..5).into(), (..).into(), (5..).into(), (..5).into(), (i32::MIN..i32::MAX).into()];
    Range<Timestamp> => vec![
        Range::Empty,
        (..).into(),
        (utc("2024-02-29 12:30:00+00")..utc("2024-03-01 00:00:00.000001+00")).into(),
        (utc("2024-02-29 12:30:00+00")..=Timestamp::INFINITY).into(),
    ];
    Vec<Range<Decimal>> => vec![
        vec![],
        vec![(number("1.5")..number("2.50")).into(), (number("3")..=number("4")).into()],
        vec![(..).into()],
    ];
    Vec<Range<i32>> => vec![vec![], vec![(1..5).into(), (7..).into()], vec![(..).into()]];
    HashMap<String, Option<String>> => vec![
        HashMap::new(),
        HashMap::from([(string("a"), Some(string("1"))), (string("b"), None), (string(""), Some(string("\"=>, 🦀")))]),
    ];
}

/// A record. Tuples are read as one; to bind one it is put together by hand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pair(Option<i32>, Option<String>);

impl FromValue for Pair {
    fn from_value(value: ValueRef<'_>) -> databases::Result<Self> {
        <(Option<i32>, Option<String>)>::from_value(value).map(|(number, text)| Self(number, text))
    }
}

impl IntoValue for Pair {
    const KIND: ValueKind = ValueKind::Array;
    fn into_value(self) -> Value {
        Value::Array(Box::new(Array::record(vec![self.0.into_value(), self.1.into_value()])))
    }
}

made_of_others! {
    Pair => vec![
        Pair(Some(i32::MIN), Some(string("a, (\"b\") \\ 🦀"))),
        Pair(None, Some(string(""))),
        Pair(Some(1), None),
    ];
}

/// The items of `oidvector`, which the server writes with spaces between them.
impl RustType for Vec<i64> {
    fn samples() -> Vec<Self> {
        vec![vec![], vec![1, 2], vec![i64::from(u32::MAX)]]
    }
    fn same(&self, other: &Self) -> bool {
        self == other
    }
    fn agrees(&self, text: &str) -> bool {
        text.split_whitespace().map(str::parse).collect::<Result<Self, _>>().is_ok_and(|items| items == *self)
    }
}
