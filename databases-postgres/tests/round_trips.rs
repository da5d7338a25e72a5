//! What is written is read again: 100,000 values of each type, without a server.

use databases_core::types::{Date, DateTime, Decimal, Interval, JsonText, Sign, Time, Timestamp, Uuid};
use databases_core::{Array, Value, ValueKind};
use databases_postgres::__private::{decode, encode};
use databases_postgres::tokio_postgres::types::{Field, Kind, Type};

const CASES: u64 = 100_000;

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

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Of all magnitudes.
    fn int(&mut self) -> i64 {
        let shift = self.below(64);
        (self.next() as i64) >> shift
    }

    fn text(&mut self) -> String {
        const LETTERS: [char; 10] = ['a', 'ü', '🦀', '"', '\\', '{', '}', ',', ' ', 'N'];
        (0..self.below(8)).map(|_| LETTERS[self.below(10) as usize]).collect()
    }
}

fn scalar(random: &mut Random, ty: &Type) -> Value {
    match *ty {
        Type::BOOL => Value::Bool(random.below(2) == 0),
        Type::INT2 => Value::Int((random.int() as i16).into()),
        Type::INT4 => Value::Int((random.int() as i32).into()),
        Type::INT8 => Value::Int(random.int()),
        Type::OID => Value::Int((random.next() as u32).into()),
        // Not NaN, which is equal to nothing.
        Type::FLOAT4 => {
            Value::Float(Some(f32::from_bits(random.next() as u32)).filter(|f| !f.is_nan()).unwrap_or(0.5).into())
        }
        Type::FLOAT8 => Value::Float(Some(f64::from_bits(random.next())).filter(|f| !f.is_nan()).unwrap_or(0.5)),
        Type::NUMERIC => Value::Decimal(decimal(random)),
        Type::TEXT => Value::Text(random.text()),
        Type::INET => {
            let bytes = random.text().into_bytes();
            Value::Other(Box::new(databases_core::Other { type_name: "inet".into(), bytes, is_text: true }))
        }
        Type::BYTEA => Value::Bytes(random.text().into_bytes()),
        Type::DATE => Value::Date(match random.below(20) {
            0 => Date::INFINITY,
            1 => Date::NEG_INFINITY,
            _ => Date::from_days(random.int() as i32).unwrap_or(Date::MIN),
        }),
        Type::TIME => Value::Time(Time::from_micros(random.below(86_400_000_001) as i64).unwrap()),
        Type::TIMESTAMP => {
            Value::DateTime(DateTime::from_micros_since_2000(random.int() / 64).unwrap_or(DateTime::INFINITY))
        }
        Type::TIMESTAMPTZ => {
            Value::Timestamp(Timestamp::from_micros_since_2000(random.int() / 64).unwrap_or(Timestamp::NEG_INFINITY))
        }
        Type::INTERVAL => Value::Interval(Interval::new(random.int() as i32, random.int() as i32, random.int())),
        Type::UUID => {
            let (a, b) = (random.next().to_be_bytes(), random.next().to_be_bytes());
            Value::Uuid(Uuid::from_bytes([a, b].concat().try_into().unwrap()))
        }
        Type::JSON | Type::JSONB => Value::Json(JsonText::new(format!("[{}]", random.int()))),
        _ => panic!("{ty}"),
    }
}

fn decimal(random: &mut Random) -> Decimal {
    match random.below(20) {
        0 => return Decimal::nan(),
        1 => return Decimal::infinity(),
        2 => return Decimal::neg_infinity(),
        _ => {}
    }
    let digits: Vec<u16> = (0..random.below(6)).map(|_| random.below(10_000) as u16).collect();
    let weight = random.below(9) as i16 - 4;
    let behind = (digits.len() as i16 - 1 - weight).max(0) as u16 * 4;
    let sign = if random.below(2) == 0 { Sign::Positive } else { Sign::Negative };
    Decimal::from_base10000(digits, weight, sign, behind + random.below(3) as u16).unwrap()
}

const SCALARS: [(Type, ValueKind); 17] = [
    (Type::BOOL, ValueKind::Bool),
    (Type::INT2, ValueKind::Int16),
    (Type::INT4, ValueKind::Int32),
    (Type::INT8, ValueKind::Int),
    (Type::OID, ValueKind::Int),
    (Type::FLOAT4, ValueKind::Float32),
    (Type::FLOAT8, ValueKind::Float),
    (Type::NUMERIC, ValueKind::Decimal),
    (Type::TEXT, ValueKind::Text),
    (Type::BYTEA, ValueKind::Bytes),
    (Type::DATE, ValueKind::Date),
    (Type::TIME, ValueKind::Time),
    (Type::TIMESTAMP, ValueKind::DateTime),
    (Type::TIMESTAMPTZ, ValueKind::Timestamp),
    (Type::INTERVAL, ValueKind::Interval),
    (Type::UUID, ValueKind::Uuid),
    (Type::JSON, ValueKind::Json),
];

fn boxed(array: Array) -> Value {
    Value::Array(Box::new(array))
}

fn items(random: &mut Random, count: u64, element: &Type) -> Vec<Value> {
    (0..count).map(|_| if random.below(5) == 0 { Value::Null } else { scalar(random, element) }).collect()
}

/// Of one to three dimensions.
fn array(random: &mut Random, element: &Type, kind: ValueKind) -> Value {
    let lengths: Vec<u64> = (0..=random.below(3)).map(|_| 1 + random.below(3)).collect();
    fn dimension(random: &mut Random, lengths: &[u64], element: &Type, kind: ValueKind) -> Array {
        match lengths {
            [length] => Array::new(items(random, *length, element), kind),
            [length, rest @ ..] => {
                Array::new((0..*length).map(|_| boxed(dimension(random, rest, element, kind))).collect(), kind)
            }
            [] => Array::new(vec![], kind),
        }
    }
    if random.below(10) == 0 {
        return boxed(Array::new(vec![], kind));
    }
    let bounds: Vec<i32> = lengths.iter().map(|_| random.below(3) as i32 - 1).collect();
    boxed(dimension(random, &lengths, element, kind).with_lower_bounds(&bounds))
}

fn range(random: &mut Random, element: &Type, kind: ValueKind) -> Value {
    if random.below(8) == 0 {
        return boxed(Array::empty_range(kind));
    }
    let mut bound = || match random.below(4) {
        0 => (Value::Null, false),
        inclusive => (scalar(random, element), inclusive == 1),
    };
    boxed(Array::range(bound(), bound(), kind))
}

fn all(seed: u64, ty: &Type, mut make: impl FnMut(&mut Random) -> Value) {
    let mut random = Random(seed);
    for case in 0..CASES {
        let value = make(&mut random);
        let bytes = encode(ty, &value).unwrap_or_else(|error| panic!("{ty}, case {case}: {error}"));
        let found = decode(ty, &bytes).unwrap_or_else(|error| panic!("{ty}, case {case}: {error}"));
        assert!(found == value, "{ty}, case {case}: {bytes:?}");
        if let (Value::Decimal(found), Value::Decimal(given)) = (found, value) {
            assert_eq!(found.as_str(), given.as_str());
        }
    }
}

fn of_half(half: usize) {
    for (index, (ty, _)) in SCALARS.iter().enumerate().filter(|(index, _)| index % 2 == half) {
        all(index as u64, ty, |random| scalar(random, ty));
    }
}

#[test]
fn scalars_come_back() {
    of_half(0);
}

#[test]
fn more_scalars_come_back() {
    of_half(1);
    all(100, &Type::JSONB, |random| scalar(random, &Type::JSONB));
    all(101, &Type::INET, |random| scalar(random, &Type::INET));
}

#[test]
fn arrays_come_back() {
    for (seed, ty, element, kind) in [
        (200, Type::INT4_ARRAY, Type::INT4, ValueKind::Int32),
        (201, Type::TEXT_ARRAY, Type::TEXT, ValueKind::Text),
        // In text.
        (202, Type::INET_ARRAY, Type::INET, ValueKind::Other),
    ] {
        all(seed, &ty, |random| array(random, &element, kind));
    }
}

#[test]
fn ranges_come_back() {
    all(300, &Type::INT8_RANGE, |random| range(random, &Type::INT8, ValueKind::Int));
    all(301, &Type::NUM_RANGE, |random| range(random, &Type::NUMERIC, ValueKind::Decimal));
    all(302, &Type::TSTZMULTI_RANGE, |random| {
        let ranges = (0..random.below(4)).map(|_| range(random, &Type::TIMESTAMPTZ, ValueKind::Timestamp)).collect();
        boxed(Array::new(ranges, ValueKind::Array))
    });
}

#[test]
fn records_come_back() {
    let user = |name: &str, oid, kind| Type::new(name.into(), oid, kind, "public".into());
    let fields = SCALARS.iter().step_by(4).map(|(ty, _)| Field::new(ty.name().into(), ty.clone()));
    let fields = fields.chain([Field::new("a".into(), Type::INT4_ARRAY), Field::new("r".into(), Type::INT8_RANGE)]);
    let wide = user("wide", 99_990, Kind::Composite(fields.collect()));
    all(400, &wide, |random| {
        let mut fields: Vec<_> = SCALARS.iter().step_by(4).map(|(ty, _)| scalar(random, ty)).collect();
        fields.push(array(random, &Type::INT4, ValueKind::Int32));
        fields.push(if random.below(2) == 0 { Value::Null } else { range(random, &Type::INT8, ValueKind::Int) });
        boxed(Array::record(fields))
    });
    let hstore = user("hstore", 99_991, Kind::Simple);
    all(401, &hstore, |random| {
        let pairs = (0..random.below(5)).map(|_| {
            let value = if random.below(4) == 0 { Value::Null } else { Value::Text(random.text()) };
            (Value::Text(random.text()), value)
        });
        boxed(Array::map(pairs))
    });
}
