//! The errors for values that do not fit the Rust type asked for, and what their hints advise. They never hold a value.

use crate::array::ArrayShape;
use crate::error::{Error, ErrorKind};
use crate::value::ValueRef;

/// An error for a value of another sort: says both sides, never the value.
#[must_use]
pub fn mismatch<T>(value: &ValueRef<'_>) -> Error {
    mismatch_as(value, &short_type_name::<T>())
}

/// The same for a type that calls itself `wanted`; the form that derives use.
#[doc(hidden)]
#[must_use]
pub fn mismatch_as(value: &ValueRef<'_>, wanted: &str) -> Error {
    let error = Error::new(ErrorKind::Decode, format!("{} cannot be read as {wanted}", value.describe()));
    match natural(value) {
        Some(natural) => error.with_hint(format!("ask for {natural}, or cast it in SQL")),
        None if value.is_null() => error.with_hint(format!("ask for Option<{wanted}>")),
        None => error.with_hint("cast it in SQL to a type such as text, or read its bytes with `Row::get_raw`"),
    }
}

/// An error for a value of the right sort that is out of the type's range.
#[must_use]
pub fn out_of_range<T>(value: &ValueRef<'_>) -> Error {
    let wanted = short_type_name::<T>();
    let error = Error::new(ErrorKind::Decode, format!("{} is out of range for {wanted}", value.describe()));
    match natural(value) {
        Some(natural) => error.with_hint(format!("ask for {natural}")),
        None => error,
    }
}

/// An error for text or bytes that are not of the form of the type asked for.
#[must_use]
pub fn unparsable<T>(value: &ValueRef<'_>) -> Error {
    let wanted = short_type_name::<T>();
    let have = if matches!(value, ValueRef::Bytes(_)) { "these bytes do not have" } else { "this text does not have" };
    let error = Error::new(ErrorKind::Decode, format!("{have} the form of {wanted}"));
    match natural(value) {
        Some(natural) => error.with_hint(format!("ask for {natural} to read it as it is")),
        None => error,
    }
}

/// The type that reads every value of this sort; none for NULL and for what has no type here.
fn natural(value: &ValueRef<'_>) -> Option<&'static str> {
    Some(match value {
        ValueRef::Null | ValueRef::Other { is_text: false, .. } => return None,
        ValueRef::Other { is_text: true, .. } => "String",
        ValueRef::Bool(_) => "bool",
        ValueRef::Int(_) => "i64",
        ValueRef::UInt(_) => "u64",
        ValueRef::Float(_) => "f64",
        ValueRef::Decimal(_) => "types::Decimal",
        ValueRef::Text(_) => "String",
        ValueRef::Bytes(_) => "Vec<u8>",
        ValueRef::Date(_) => "types::Date",
        ValueRef::Time(_) => "types::Time",
        ValueRef::DateTime(_) => "types::DateTime",
        ValueRef::Timestamp(_) => "types::Timestamp",
        ValueRef::Interval(_) => "types::Interval",
        ValueRef::Uuid(_) => "types::Uuid",
        ValueRef::Json(_) => "types::JsonText or Json<T>",
        ValueRef::Array(array) => match array.shape() {
            ArrayShape::Record | ArrayShape::Tuple => "a tuple or a composite struct",
            ArrayShape::Map => "HashMap<K, V>",
            ArrayShape::Range { .. } | ArrayShape::EmptyRange => "types::Range<T>",
            ArrayShape::Sequence | ArrayShape::List | ArrayShape::Tuples => "Vec<T>",
        },
    })
}

/// The type's name without the paths of modules: `alloc::string::String` reads `String`.
pub(crate) fn short_type_name<T>() -> String {
    let full = std::any::type_name::<T>();
    let mut out = String::with_capacity(full.len());
    let mut word_start = 0;
    for (index, c) in full.char_indices() {
        if c == ':' {
            word_start = index + 1;
        } else if !(c.is_alphanumeric() || c == '_') {
            out.push_str(&full[word_start..index + c.len_utf8()]);
            word_start = index + c.len_utf8();
        }
    }
    out.push_str(&full[word_start..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Date, Decimal, Range, Uuid};
    use crate::value::{FromValue, IntoValue, Value};

    /// The message and the hint with which `value` is refused as a `T`.
    fn refusal<T: FromValue>(value: impl IntoValue) -> (String, String) {
        let error = T::from_value(value.into_value().as_ref()).map(drop).expect_err("it does not fit");
        assert_eq!(error.kind(), ErrorKind::Decode);
        (error.to_string(), error.hint().expect("every misfit has a hint").to_owned())
    }

    #[test]
    fn every_sort_of_value_has_its_hint() {
        let parsed = |text: &str| text.parse::<Decimal>().unwrap();
        let record = || Value::Array(Box::new(crate::Array::record(vec![Value::Int(1)])));
        let at: crate::types::DateTime = "2024-02-29 01:02:03".parse().unwrap();
        let other =
            |is_text| Value::Other(Box::new(crate::Other { type_name: "bit".into(), bytes: b"101".to_vec(), is_text }));
        for ((said, hint), (message, advice)) in [
            (refusal::<i64>(None::<i64>), ("NULL cannot be read as i64", "ask for Option<i64>")),
            (refusal::<String>(5), ("an integer cannot be read as String", "ask for i64, or cast it in SQL")),
            (refusal::<String>(u64::MAX), ("an integer cannot be read as String", "ask for u64, or cast it in SQL")),
            (refusal::<i64>("5.0"), ("this text does not have the form of i64", "ask for String to read it as it is")),
            (refusal::<i64>(0.5), ("a floating point number cannot be read as i64", "ask for f64, or cast it in SQL")),
            (
                refusal::<i64>(parsed("0.5")),
                ("a decimal cannot be read as i64", "ask for types::Decimal, or cast it in SQL"),
            ),
            (
                refusal::<f64>(parsed("0.1234567890123456789")),
                ("a decimal is out of range for f64", "ask for types::Decimal"),
            ),
            (refusal::<f32>(0.1), ("a floating point number is out of range for f32", "ask for f64")),
            (refusal::<i16>(70_000), ("an integer is out of range for i16", "ask for i64")),
            (refusal::<i64>(u64::MAX), ("an integer is out of range for i64", "ask for u64")),
            (refusal::<f64>(i64::MAX), ("an integer is out of range for f64", "ask for i64")),
            (refusal::<bool>(2), ("an integer is out of range for bool", "ask for i64")),
            (refusal::<Decimal>(true), ("a boolean cannot be read as Decimal", "ask for bool, or cast it in SQL")),
            (refusal::<String>(vec![1_u8]), ("bytes cannot be read as String", "ask for Vec<u8>, or cast it in SQL")),
            (refusal::<Vec<u8>>(5), ("an integer cannot be read as Vec<u8>", "ask for i64, or cast it in SQL")),
            (
                refusal::<Date>("2024-02-30"),
                (
                    "this text does not have the form of Date",
                    "expected a date like 2024-12-31, 0044-03-15 BC or infinity, from 4714-11-24 BC to 5874897-12-31",
                ),
            ),
            (
                refusal::<Uuid>(vec![1_u8]),
                ("these bytes do not have the form of Uuid", "ask for Vec<u8> to read it as it is"),
            ),
            (
                refusal::<Date>(at),
                ("a timestamp without zone cannot be read as Date", "ask for types::DateTime, or cast it in SQL"),
            ),
            (
                refusal::<Date>(at.assume_utc()),
                ("a timestamp cannot be read as Date", "ask for types::Timestamp, or cast it in SQL"),
            ),
            (
                refusal::<String>(at.date()),
                ("a date cannot be read as String", "ask for types::Date, or cast it in SQL"),
            ),
            (refusal::<i64>(at.time()), ("a time cannot be read as i64", "ask for types::Time, or cast it in SQL")),
            (
                refusal::<String>(Uuid::nil()),
                ("a uuid cannot be read as String", "ask for types::Uuid, or cast it in SQL"),
            ),
            (
                refusal::<i64>(crate::types::JsonText::new("5")),
                ("json cannot be read as i64", "ask for types::JsonText or Json<T>, or cast it in SQL"),
            ),
            (
                refusal::<i64>(crate::types::Interval::default()),
                ("an interval cannot be read as i64", "ask for types::Interval, or cast it in SQL"),
            ),
            (refusal::<i64>(vec![5]), ("an array cannot be read as i64", "ask for Vec<T>, or cast it in SQL")),
            (
                refusal::<Vec<i64>>(record()),
                ("a record cannot be read as Vec<i64>", "ask for a tuple or a composite struct, or cast it in SQL"),
            ),
            (
                refusal::<i64>(Range::from(1..5)),
                ("a range cannot be read as i64", "ask for types::Range<T>, or cast it in SQL"),
            ),
            (
                refusal::<i64>(other(true)),
                ("a value of another type cannot be read as i64", "ask for String, or cast it in SQL"),
            ),
            (
                refusal::<String>(other(false)),
                (
                    "a value of another type cannot be read as String",
                    "cast it in SQL to a type such as text, or read its bytes with `Row::get_raw`",
                ),
            ),
            (
                refusal::<i64>(other(false)),
                (
                    "a value of another type cannot be read as i64",
                    "cast it in SQL to a type such as text, or read its bytes with `Row::get_raw`",
                ),
            ),
        ] {
            assert_eq!((&*said, &*hint), (message, advice));
        }
    }

    #[test]
    fn type_names_are_short() {
        assert_eq!(short_type_name::<String>(), "String");
        assert_eq!(short_type_name::<Option<Vec<u8>>>(), "Option<Vec<u8>>");
    }
}
