//! What a server says of its bytes is not believed: decoding takes no more memory than the bytes justify.
//!
//! One test, since the allocator counts for the whole process.

use std::alloc::System;

use databases_core::{Array, Value, ValueKind};
use databases_postgres::__private::{decode, encode};
use databases_postgres::tokio_postgres::types::{Field, Kind, Type};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CASES: usize = 100_000;
const PER_BYTE: usize = 64;
/// A decimal may have 147,455 digits, whatever its bytes.
const ALWAYS: usize = 512 << 10;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

fn user(name: &str, oid: u32, kind: Kind) -> Type {
    Type::new(name.into(), oid, kind, "public".into())
}

fn array(items: Vec<Value>) -> Value {
    Value::Array(Box::new(Array::new(items, ValueKind::Any)))
}

fn record(fields: Vec<Value>) -> Value {
    Value::Array(Box::new(Array::record(fields)))
}

/// A type and the bytes of a value of it.
fn samples() -> Vec<(Type, Vec<u8>)> {
    let text = |text: &str| Value::Text(text.into());
    let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
    let range = |lower: Value, upper: Value| {
        Value::Array(Box::new(Array::range((lower, true), (upper, false), ValueKind::Any)))
    };
    let fields = vec![Field::new("a".into(), Type::NUMERIC), Field::new("b".into(), Type::TEXT_ARRAY)];
    let pair = user("pair", 99_990, Kind::Composite(fields));
    let hstore = user("hstore", 99_992, Kind::Simple);
    let pair_value = || record(vec![decimal("-12.50"), array(vec![text("x"), Value::Null])]);
    let map = || array(vec![record(vec![text("k"), text("v")]), record(vec![text("n"), Value::Null])]);
    let samples = vec![
        (Type::BOOL, Value::Bool(true)),
        (Type::INT2, Value::Int(1)),
        (Type::INT4, Value::Int(1)),
        (Type::INT8, Value::Int(1)),
        (Type::FLOAT4, Value::Float(1.0)),
        (Type::FLOAT8, Value::Float(1.0)),
        (Type::NUMERIC, decimal("12345678.90123")),
        (Type::TEXT, text("some text")),
        (Type::CHAR, text("c")),
        (Type::BYTEA, Value::Bytes(vec![1; 20])),
        (Type::DATE, text("2024-02-29")),
        (Type::TIME, text("01:02:03")),
        (Type::TIMESTAMP, text("2024-02-29 01:02:03")),
        (Type::TIMESTAMPTZ, text("2024-02-29 01:02:03Z")),
        (Type::INTERVAL, text("P1M")),
        (Type::UUID, text("f81d4fae-7dec-11d0-a765-00a0c91e6bf6")),
        (Type::JSON, text("{}")),
        (Type::JSONB, text("{\"a\": 1}")),
        (Type::INET, text("10.0.0.1/8")),
        (Type::REGCLASS, text("pg_class")),
        (Type::INT4_ARRAY, array((0..20).map(Value::Int).collect())),
        (Type::CHAR_ARRAY, array(vec![text("a"); 20])),
        (Type::NUMERIC_ARRAY, array(vec![decimal("1e20"), Value::Null, decimal("-0.00001")])),
        (Type::TEXT_ARRAY, array(vec![array(vec![text("a"), text("b")]), array(vec![text("c"), Value::Null])])),
        (Type::INET_ARRAY, array(vec![array(vec![text("a b"), Value::Null]), array(vec![text("\""), text("c")])])),
        (Type::BOX_ARRAY, array(vec![text("(1,1),(0,0)"), Value::Null])),
        (Type::INT8_RANGE, range(Value::Int(1), Value::Null)),
        (Type::NUM_RANGE, range(decimal("1.5"), decimal("1e10"))),
        (Type::INT4_RANGE_ARRAY, array(vec![range(Value::Int(1), Value::Int(5)), range(Value::Null, Value::Null)])),
        (Type::NUMMULTI_RANGE, array(vec![range(decimal("1"), decimal("2")), range(decimal("3"), Value::Null)])),
        (user("_pair", 99_991, Kind::Array(pair.clone())), array(vec![pair_value(), Value::Null, pair_value()])),
        (pair, pair_value()),
        (user("_hstore", 99_993, Kind::Array(hstore.clone())), array(vec![map(), map()])),
        (hstore, map()),
    ];
    let mut samples: Vec<_> =
        samples.into_iter().map(|(ty, value)| (ty.clone(), encode(&ty, &value).unwrap())).collect();
    // record_send(ROW(1, ROW(2, '{3}'::int4[])))
    let array = [1_i32, 0, 23, 1, 1, 4, 3].map(i32::to_be_bytes).concat();
    let inner = [[2_i32, 23, 4, 2, 1007, 28].map(i32::to_be_bytes).concat(), array].concat();
    let outer = [2_i32, 23, 4, 1, 2249, i32::try_from(inner.len()).unwrap()].map(i32::to_be_bytes).concat();
    samples.push((Type::RECORD, [outer, inner].concat()));
    samples
}

/// Large values that become as much as they can.
fn bombs() -> Vec<(Type, Vec<u8>)> {
    let head = |words: &[i32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
    let behind = |words: &[i32], item: &[u8], count: usize| [head(words), item.repeat(count)].concat();
    let hstore = user("hstore", 99_992, Kind::Simple);
    vec![
        // NULLs, each in five arrays of its own.
        (Type::INT4_ARRAY, behind(&[6, 1, 23, 50_000, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], &[0xff; 4], 50_000)),
        (Type::INT4_ARRAY, behind(&[1, 1, 23, 50_000, 1], &[0xff; 4], 50_000)),
        // Numbers of 131,072 digits, of ten bytes.
        (Type::NUMERIC_ARRAY, behind(&[1, 0, 1700, 5_000, 1], b"\0\0\0\x0a\0\x01\x7f\xff\0\0\0\0\0\x01", 5_000)),
        // Zeros with 16,383 digits after the point.
        (Type::NUMERIC_ARRAY, behind(&[1, 0, 1700, 5_000, 1], b"\0\0\0\x08\0\0\0\0\0\0\x3f\xff", 5_000)),
        (Type::INT4MULTI_RANGE, behind(&[50_000], b"\0\0\0\x01\x18", 50_000)),
        (Type::INT4_RANGE_ARRAY, behind(&[1, 0, 3904, 50_000, 1], b"\0\0\0\x01\x18", 50_000)),
        (Type::RECORD, behind(&[50_000], b"\0\0\0\x17\xff\xff\xff\xff", 50_000)),
        (Type::RECORD_ARRAY, behind(&[1, 0, 2249, 50_000, 1], b"\0\0\0\x04\0\0\0\0", 50_000)),
        (hstore, behind(&[50_000], b"\0\0\0\0\xff\xff\xff\xff", 50_000)),
        (Type::CHAR_ARRAY, behind(&[1, 0, 18, 50_000, 1], b"\0\0\0\x01\xff", 50_000)),
        (Type::INET_ARRAY, format!("{{{}a}}", "a,".repeat(50_000)).into_bytes()),
        (Type::INET_ARRAY, format!("{{{}a}}", "{{{{{a}}}}},".repeat(50_000)).into_bytes()),
        (Type::INET_ARRAY, format!("{{{}a}}", "{},".repeat(50_000)).into_bytes()),
    ]
}

fn check(ty: &Type, bytes: &[u8]) {
    let region = Region::new(ALLOCATOR);
    let _ = decode(ty, bytes);
    // All that was ever allocated, which is at least what was held at once.
    let allocated = region.change().bytes_allocated;
    assert!(allocated <= PER_BYTE * bytes.len() + ALWAYS, "{ty}: {allocated} bytes for {} bytes", bytes.len());
}

#[test]
fn decoding_takes_no_more_memory_than_the_bytes_justify() {
    let mut read = 0;
    for (ty, bytes) in bombs() {
        check(&ty, &bytes);
        read += usize::from(decode(&ty, &bytes).is_ok());
    }
    // Those that take too much are refused; most are only large.
    assert!(read >= 8, "{read}");
    let samples = samples();
    for (ty, bytes) in &samples {
        decode(ty, bytes).unwrap_or_else(|error| panic!("{ty}: {error}"));
    }
    let mut random = Random(0x5eed);
    for _ in 0..CASES {
        let (ty, bytes) = &samples[random.below(samples.len())];
        let mut bytes = bytes.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len().max(1));
            match random.below(5) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), random.next() as u8),
                2 => bytes.extend((0..random.below(40)).map(|n| n as u8)),
                // Bytes that make large or negative numbers.
                3 => bytes.iter_mut().skip(at).take(2).for_each(|byte| *byte = [0x7f, 0xff, 0x80][at % 3]),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.next() as u8),
            }
        }
        check(ty, &bytes);
    }
}
