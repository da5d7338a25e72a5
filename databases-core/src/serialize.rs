//! Feature `serde`: rows and values written by serde, which makes JSON of a whole result in one call.
//!
//! | Value | Form |
//! |---|---|
//! | NULL, booleans, integers, text | what serde calls them |
//! | floating point numbers | numbers; `"NaN"`, `"Infinity"` and `"-Infinity"`, which JSON has no numbers for, as text |
//! | decimals | text, `"12.50"`: readers of JSON make doubles of numbers |
//! | bytes | text, base64 with padding |
//! | dates, times | text, `"2024-02-29"`, `"23:59:59.5"` |
//! | timestamps | text of RFC 3339, `"2024-02-29T23:59:59.5+00:00"`; without zone, without offset; or `"infinity"` |
//! | intervals | text of ISO 8601, `"P1Y2M3DT4H"` |
//! | UUIDs | text with hyphens |
//! | JSON | the document itself; an error if it holds a number that serde_json would round |
//! | arrays, records | sequences |
//! | maps | maps |
//! | ranges | `{"lower": 1, "upper": 5, "bounds": "[)"}`, null for no bound; `"empty"` |
//! | [`Value::Other`] | the server's text of it; an error where that is not known: cast it in SQL |
//!
//! The value's own type decides, as the server says it. SQLite knows no dates, booleans, decimals or JSON, and MySQL no
//! booleans: what it stores instead is what is written. Errors name the column and never hold a value.

use std::collections::HashSet;
use std::ops::Bound;

use serde_core::de::{self, Deserialize, DeserializeOwned, Deserializer};
use serde_core::ser::{Error as _, Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::array::{Array, ArrayShape};
use crate::error::{Error, ErrorKind};
use crate::interop::Json;
use crate::row::{Row, ambiguous};
use crate::types::{Date, DateTime, Decimal, Interval, JsonText, Range, Time, Timestamp, Uuid};
use crate::value::{FromValue, Value, ValueRef};

/// A map from the names of the columns to the cells, in the order of the result. Feature `serde`.
///
/// Fails for two columns of one name, and for cells that cannot be decoded or have no form, naming the column.
impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut names = HashSet::with_capacity(self.len());
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (column, cell) in self {
            if !names.insert(column.name()) {
                return Err(S::Error::custom(ambiguous(column.name())));
            }
            let cell = cell.map_err(S::Error::custom)?;
            let in_column =
                |error| S::Error::custom(format_args!("column `{}`: {error}", column.name().escape_debug()));
            if matches!(cell, ValueRef::Json(_)) {
                // Parsed here, and not when it is written, for an error that names the column.
                let document = serde_json::Value::from_value(cell).map_err(in_column)?;
                map.serialize_entry(column.name(), &document)?;
            } else {
                check(&cell).map_err(in_column)?;
                map.serialize_entry(column.name(), &cell)?;
            }
        }
        map.end()
    }
}

/// Tells before a cell is written whether it has a form, for an error that names the column.
fn check(cell: &ValueRef<'_>) -> Result<(), Error> {
    match cell {
        ValueRef::Json(_) => serde_json::Value::from_value(cell.clone()).map(drop),
        ValueRef::Other { type_name, .. } if cell.other_text().is_none() => Err(formless(type_name)),
        ValueRef::Array(array) => array.items().iter().try_for_each(|item| check(&item.as_ref())),
        _ => Ok(()),
    }
}

fn formless(type_name: &str) -> Error {
    let message = format!("a value of the type `{}` has no form; cast it in SQL", type_name.escape_debug());
    Error::new(ErrorKind::Decode, message)
}

/// As [`ValueRef`] is. Feature `serde`.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Refused(refused) => Err(S::Error::custom(refused)),
            value => value.as_ref().serialize(serializer),
        }
    }
}

/// In the form that its sort has: decimals and times as text, JSON as itself. Feature `serde`.
impl Serialize for ValueRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(v) => serializer.serialize_bool(*v),
            Self::Int(v) => serializer.serialize_i64(*v),
            Self::UInt(v) => serializer.serialize_u64(*v),
            Self::Float(v) if v.is_finite() => serializer.serialize_f64(*v),
            Self::Float(v) if v.is_nan() => serializer.serialize_str("NaN"),
            Self::Float(v) => serializer.serialize_str(if *v > 0.0 { "Infinity" } else { "-Infinity" }),
            Self::Decimal(v) => v.serialize(serializer),
            Self::Text(v) => serializer.serialize_str(v),
            Self::Bytes(v) => serializer.serialize_str(&base64(v)),
            Self::Date(v) => v.serialize(serializer),
            Self::Time(v) => v.serialize(serializer),
            Self::DateTime(v) => v.serialize(serializer),
            Self::Timestamp(v) => v.serialize(serializer),
            Self::Interval(v) => v.serialize(serializer),
            Self::Uuid(v) => v.serialize(serializer),
            Self::Json(_) => match serde_json::Value::from_value(self.clone()) {
                Ok(document) => document.serialize(serializer),
                Err(error) => Err(S::Error::custom(error)),
            },
            Self::Array(array) => array.serialize(serializer),
            Self::Other { type_name, .. } => match self.other_text() {
                Some(text) => serializer.serialize_str(text),
                None => Err(S::Error::custom(formless(type_name))),
            },
        }
    }
}

/// A sequence, a map, or in the form of a range. Feature `serde`.
impl Serialize for Array {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.shape(), self.items()) {
            (ArrayShape::EmptyRange, _) => serializer.serialize_str("empty"),
            (ArrayShape::Range { lower_inclusive, upper_inclusive }, [lower, upper]) => {
                write_range(serializer, lower, upper, lower_inclusive, upper_inclusive)
            }
            (ArrayShape::Map, items) => {
                let mut map = serializer.serialize_map(Some(items.len()))?;
                for item in items {
                    if let Value::Array(pair) = item
                        && let [key, value] = pair.items()
                    {
                        map.serialize_entry(key, value)?;
                    }
                }
                map.end()
            }
            (_, items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    sequence.serialize_element(item)?;
                }
                sequence.end()
            }
        }
    }
}

/// `{"lower": 1, "upper": 5, "bounds": "[)"}` or `"empty"`. Feature `serde`.
impl<T: Serialize> Serialize for Range<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self::Between(lower, upper) = self else { return serializer.serialize_str("empty") };
        let value = |bound| match bound {
            Bound::Included(value) | Bound::Excluded(value) => Some(value),
            Bound::Unbounded => None,
        };
        let inclusive = |bound: &Bound<T>| matches!(bound, Bound::Included(_));
        write_range(serializer, &value(lower.as_ref()), &value(upper.as_ref()), inclusive(lower), inclusive(upper))
    }
}

fn write_range<S: Serializer>(
    serializer: S,
    lower: &impl Serialize,
    upper: &impl Serialize,
    lower_inclusive: bool,
    upper_inclusive: bool,
) -> Result<S::Ok, S::Error> {
    let bounds = match (lower_inclusive, upper_inclusive) {
        (true, true) => "[]",
        (true, false) => "[)",
        (false, true) => "(]",
        (false, false) => "()",
    };
    let mut map = serializer.serialize_map(Some(3))?;
    map.serialize_entry("lower", lower)?;
    map.serialize_entry("upper", upper)?;
    map.serialize_entry("bounds", bounds)?;
    map.end()
}

/// The document itself. Feature `serde`.
impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ValueRef::Json(self.as_str()).serialize(serializer)
    }
}

/// As what is in it. Feature `serde`.
impl<T: Serialize> Serialize for Json<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// As what is in it. Feature `serde`.
impl<'de, T: DeserializeOwned> Deserialize<'de> for Json<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

macro_rules! as_text {
    ($($type:ident, $format:literal $(, $integer:ident as $from:ty)*;)*) => {$(
        /// As text. Feature `serde`.
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&format_args!($format, self))
            }
        }

        /// From text. Feature `serde`.
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("text of the form of types::", stringify!($type)))
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        // The error of a type here says what was expected and never what was found.
                        text.parse().map_err(E::custom)
                    }
                    $(
                        fn $integer<E: de::Error>(self, number: $from) -> Result<$type, E> {
                            Ok(number.into())
                        }
                    )*
                }

                deserializer.deserialize_any(Visitor)
            }
        }
    )*};
}

as_text! {
    Decimal, "{}", visit_i64 as i64, visit_u64 as u64;
    Date, "{}";
    Time, "{}";
    DateTime, "{:#}";
    Timestamp, "{:#}";
    Interval, "{}";
    Uuid, "{}";
}

/// Base64 with the standard alphabet and padding: <https://www.rfc-editor.org/rfc/rfc4648#section-4>.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde_json::{from_str, json, to_string, to_value};

    use super::*;
    use crate::columns::{Column, Columns};
    use crate::row::RowBatch;
    use crate::value::{IntoValue, Other, Refused};

    struct Table(Arc<Columns>, Vec<Value>);

    impl RowBatch for Table {
        fn columns(&self) -> &Arc<Columns> {
            &self.0
        }
        fn len(&self) -> usize {
            1
        }
        fn cell(&self, _: usize, column: usize) -> crate::Result<ValueRef<'_>> {
            Ok(self.1[column].as_ref())
        }
        fn raw(&self, _: usize, _: usize) -> Option<&[u8]> {
            None
        }
    }

    fn row<const N: usize>(cells: [(&str, Value); N]) -> Row {
        let columns = cells.iter().map(|(name, _)| Column::new(*name, "")).collect();
        let cells = cells.into_iter().map(|(_, value)| value).collect();
        Row::new(Arc::new(Table(Arc::new(Columns::new(columns)), cells)), 0)
    }

    fn other() -> Value {
        Value::Other(Box::new(Other { type_name: "point".into(), bytes: b"hunter2".to_vec(), is_text: false }))
    }

    #[test]
    fn every_sort_of_value_has_its_form() {
        let at: DateTime = "2024-02-29 01:02:03.5".parse().unwrap();
        let record = Value::Array(Box::new(Array::record(vec![1_i64.into_value(), "a".into_value()])));
        for (value, form) in [
            (Value::Null, json!(null)),
            (true.into_value(), json!(true)),
            (i64::MIN.into_value(), json!(i64::MIN)),
            (u64::MAX.into_value(), json!(u64::MAX)),
            (0.1.into_value(), json!(0.1)),
            (f64::NAN.into_value(), json!("NaN")),
            (f64::INFINITY.into_value(), json!("Infinity")),
            (f64::NEG_INFINITY.into_value(), json!("-Infinity")),
            ("12.50".parse::<Decimal>().unwrap().into_value(), json!("12.50")),
            (Decimal::nan().into_value(), json!("NaN")),
            ("\u{1f600}".into_value(), json!("\u{1f600}")),
            (vec![0xfb_u8, 0xff].into_value(), json!("+/8=")),
            (at.date().into_value(), json!("2024-02-29")),
            (Date::INFINITY.into_value(), json!("infinity")),
            (at.time().into_value(), json!("01:02:03.5")),
            (at.into_value(), json!("2024-02-29T01:02:03.5")),
            (at.assume_utc().into_value(), json!("2024-02-29T01:02:03.5+00:00")),
            (Timestamp::NEG_INFINITY.into_value(), json!("-infinity")),
            (Interval::new(14, 3, 1).into_value(), json!("P1Y2M3DT0.000001S")),
            (Uuid::nil().into_value(), json!("00000000-0000-0000-0000-000000000000")),
            (JsonText::new(r#"{"a": [1.5, null]}"#).into_value(), json!({ "a": [1.5, null] })),
            (vec![Some(1), None].into_value(), json!([1, null])),
            (vec![vec![1], vec![2]].into_value(), json!([[1], [2]])),
            (record, json!([1, "a"])),
            (BTreeMap::from([("a", Some(1)), ("b", None)]).into_value(), json!({ "a": 1, "b": null })),
            (Range::from(1..5).into_value(), json!({ "lower": 1, "upper": 5, "bounds": "[)" })),
            (Range::<i32>::from(..).into_value(), json!({ "lower": null, "upper": null, "bounds": "()" })),
            (Range::<i32>::Empty.into_value(), json!("empty")),
        ] {
            assert_eq!(to_value(&value).unwrap(), form);
            let row = row([("value", value)]);
            assert_eq!(to_value([row]).unwrap(), json!([{ "value": form }]));
        }
        assert_eq!(to_value(Range::from(1..=5)).unwrap(), json!({ "lower": 1, "upper": 5, "bounds": "[]" }));
        assert_eq!(to_value(Range::<i32>::Empty).unwrap(), json!("empty"));
    }

    #[test]
    fn the_columns_keep_their_order() {
        let row = row([("b", 1.into_value()), ("a", Value::Null)]);
        assert_eq!(to_string(&[&row, &row]).unwrap(), r#"[{"b":1,"a":null},{"b":1,"a":null}]"#);
    }

    #[test]
    fn what_has_no_form_is_an_error_that_names_the_column_and_no_value() {
        let long = JsonText::new("[0.1234567890123456789]").into_value();
        let array = Value::Array(Box::new(Array::new(vec![other()], crate::ValueKind::Other)));
        for (row, message) in [
            (row([("x", Value::Null), ("x", Value::Null)]), "the column name `x` is ambiguous"),
            (row([("x", other())]), "column `x`: a value of the type `point` has no form; cast it in SQL"),
            (row([("x", array)]), "column `x`: a value of the type `point` has no form; cast it in SQL"),
            (
                row([("x", long)]),
                "column `x`: json with a number that is rounded as a double cannot be read as serde_json::Value",
            ),
            (
                row([("x", JsonText::new("hunter2").into_value())]),
                "column `x`: text that is not json, or not within serde_json's limits, cannot be read as serde_json::Value",
            ),
        ] {
            assert_eq!(to_string(&row).unwrap_err().to_string(), message);
        }
        assert!(to_string(&other()).is_err());
        assert!(to_string(&Value::from(Refused::new("a leap second", "types::Time"))).is_err());
    }

    #[test]
    fn types_come_back_from_their_text() {
        fn back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: T) {
            assert_eq!(from_str::<T>(&to_string(&value).unwrap()).unwrap(), value);
        }
        let at: DateTime = "2024-02-29 01:02:03.5".parse().unwrap();
        back("-12.50".parse::<Decimal>().unwrap());
        for at in [at, DateTime::MIN, DateTime::MAX, DateTime::INFINITY] {
            back(at.date());
            back(at);
            back(at.assume_utc());
        }
        back(at.time());
        for interval in [Interval::default(), Interval::new(-14, 3, -1), Interval::INFINITY] {
            back(interval);
        }
        back(Uuid::from_bytes([7; 16]));
        back(Json(vec![1, 2]));
        assert_eq!(from_str::<Decimal>("-5").unwrap(), (-5).into());
        // A number with a fraction has been a double already.
        assert!(from_str::<Decimal>("1.10").is_err());
        let error = from_str::<Date>("\"hunter2\"").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
