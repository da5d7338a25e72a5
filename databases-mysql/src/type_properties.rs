//! Every value that is bound comes back from the form that the server would answer in, in both protocols.

use databases_core::types::{Date, DateTime, Decimal, Interval, JsonText, Time, Uuid};
use databases_core::{Arg, FromValue, IntoValue, Result, ValueRef};
use mysql_async::Value;
use proptest::prelude::*;

use crate::options::ZeroDates;
use crate::types::{CellType, bind, cell};

const CASES: u32 = 100_000;
const KINDS: [CellType; 15] = {
    use CellType::*;
    [Int, UInt, Float, Double, Decimal, Text, Bytes, Json, Date, DateTime, Timestamp, Time, Bit, Null, Other]
};
const LAST_MICRO: i64 = 839 * 3_600_000_000 - 1;

fn wire(value: impl IntoValue) -> Result<Value> {
    bind(vec![Arg::new(value)], false).map(|mut values| values.remove(0))
}

fn read<T: FromValue>(value: &Value, kind: CellType) -> Result<T> {
    cell(value, kind, &"".into(), ZeroDates::Error).and_then(T::from_value)
}

/// What the text protocol has for a value of the binary one.
fn as_text(value: &Value, kind: CellType) -> Value {
    let text = match value {
        Value::Int(v) => v.to_string(),
        Value::UInt(v) => v.to_string(),
        Value::Float(v) => v.to_string(),
        Value::Double(v) => v.to_string(),
        Value::Date(y, m, d, ..) if kind == CellType::Date => format!("{y:04}-{m:02}-{d:02}"),
        Value::Date(y, m, d, h, min, s, us) => format!("{y:04}-{m:02}-{d:02} {h:02}:{min:02}:{s:02}.{us:06}"),
        Value::Time(negative, d, h, m, s, us) => {
            let (sign, hours) = (if *negative { "-" } else { "" }, u64::from(*d) * 24 + u64::from(*h));
            format!("{sign}{hours:02}:{m:02}:{s:02}.{us:06}")
        }
        other => return other.clone(),
    };
    Value::Bytes(text.into_bytes())
}

fn comes_back<T: IntoValue + FromValue + Clone + PartialEq>(value: &T, kind: CellType) -> bool {
    let Ok(bound) = wire(value.clone()) else { return false };
    [as_text(&bound, kind), bound].iter().all(|answer| read::<T>(answer, kind).is_ok_and(|back| back == *value))
}

fn days() -> impl Strategy<Value = Date> {
    let [first, last] = [(1, 1, 1), (9999, 12, 31)].map(|(y, m, d)| Date::from_ymd(y, m, d).unwrap().days().unwrap());
    (first..=last).prop_map(|days| Date::from_days(days).unwrap())
}

fn times() -> impl Strategy<Value = Time> {
    (0..86_400_000_000_i64).prop_map(|micros| Time::from_micros(micros).unwrap())
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn numbers_come_back(int: i64, uint: u64, double: f64, single: f32, truth: bool) {
        prop_assert!(comes_back(&int, CellType::Int) && comes_back(&uint, CellType::UInt));
        prop_assert!(comes_back(&truth, CellType::Int));
        prop_assert!(!double.is_finite() || comes_back(&double, CellType::Double));
        // A single travels as a double; the column rounds it to itself.
        prop_assert!(!single.is_finite() || comes_back(&single, CellType::Double));
        prop_assert!(!single.is_finite() || read::<f32>(&Value::Float(single), CellType::Float).unwrap() == single);
        prop_assert_eq!(double.is_finite(), wire(double).is_ok());
    }

    #[test]
    fn decimals_come_back(digits: i128, scale in 0..=30_u8) {
        let decimal: Decimal = format!("{digits}e-{scale}").parse().unwrap();
        prop_assert!(comes_back(&decimal, CellType::Decimal));
    }

    #[test]
    fn bits_come_back(number: u64, width in 1..=8_usize) {
        let bytes = &number.to_be_bytes()[8 - width..];
        let masked = if width == 8 { number } else { number & ((1 << (8 * width)) - 1) };
        prop_assert_eq!(read::<u64>(&Value::Bytes(bytes.to_vec()), CellType::Bit).unwrap(), masked);
    }

    #[test]
    fn texts_and_bytes_come_back(random: u128, len in 0..=16_usize) {
        let uuid = random.to_be_bytes();
        let bytes = uuid[..len].to_vec();
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        prop_assert!(comes_back(&text, CellType::Text) && comes_back(&bytes, CellType::Bytes));
        prop_assert!(comes_back(&JsonText::new(text), CellType::Json));
        let uuid = Uuid::from_bytes(uuid);
        prop_assert!(comes_back(&uuid, CellType::Text));
        prop_assert_eq!(read::<Uuid>(&Value::Bytes(uuid.as_bytes().to_vec()), CellType::Bytes).unwrap(), uuid);
    }

    #[test]
    fn dates_and_instants_come_back(date in days(), time in times()) {
        prop_assert!(comes_back(&date, CellType::Date));
        let both = DateTime::new(date, time).unwrap();
        prop_assert!(comes_back(&both, CellType::DateTime) && comes_back(&both, CellType::Timestamp));
        prop_assert!(comes_back(&both.assume_utc(), CellType::DateTime));
        prop_assert!(comes_back(&both.assume_utc(), CellType::Timestamp));
    }

    #[test]
    fn dates_outside_of_the_years_are_refused(days in -2_440_588_i32..=4_000_000) {
        let date = Date::from_days(days).unwrap();
        let inside = date.ymd().is_some_and(|(year, ..)| (1..=9999).contains(&year));
        prop_assert_eq!(wire(date).is_ok(), inside);
    }

    #[test]
    fn times_and_spans_come_back(time in times(), micros in -LAST_MICRO..=LAST_MICRO, any: i64, days: i32) {
        prop_assert!(comes_back(&time, CellType::Time));
        prop_assert!(comes_back(&Interval::new(0, 0, micros), CellType::Time));
        let near = any % (4 * LAST_MICRO);
        prop_assert_eq!(wire(Interval::new(0, 0, near)).is_ok(), near.abs() <= LAST_MICRO);
        // Days and months are never folded into hours.
        for (months, days) in [(0, days), (days, 0), (days, days)] {
            prop_assert_eq!(wire(Interval::new(months, days, micros)).is_ok(), (months, days) == (0, 0));
        }
        let _ = wire(Interval::new(0, 0, any));
    }

    #[test]
    fn no_answer_panics(
        bytes in bytes(),
        near: u128,
        d: (u16, u8, u8, u8, u8, u8, u32),
        t: (bool, u32, u8, u8, u8, u32),
        kind in 0..KINDS.len(),
        zero_dates in prop_oneof![Just(ZeroDates::Error), Just(ZeroDates::Null)],
    ) {
        let near = near.to_be_bytes().map(|byte| b"0123456789-:. +e"[usize::from(byte % 16)]).to_vec();
        let answers = [
            Value::Bytes(bytes),
            Value::Bytes(near),
            Value::Date(d.0, d.1, d.2, d.3, d.4, d.5, d.6),
            Value::Time(t.0, t.1, t.2, t.3, t.4, t.5),
        ];
        for answer in &answers {
            let _ = cell(answer, KINDS[kind], &"".into(), zero_dates).map(ValueRef::to_value);
        }
    }
}
