//! What a value is bound as. Exactly, or an error: SQLite never gets a value that it would change.

use databases_core::types::{Date, Decimal};
use databases_core::{Array, ArrayShape, Error, ErrorKind, Result, Value};
use rusqlite::types::{ToSqlOutput, Value as Owned, ValueRef as Cell};

use crate::options::Decimals;

/// The storage class and the form of `value`, the parameter `ordinal` (counted from 1).
pub(crate) fn to_sqlite(value: &Value, decimals: Decimals, ordinal: usize) -> Result<ToSqlOutput<'_>> {
    encode(value, decimals).map_err(|reason| {
        Error::new(ErrorKind::Encode, format!("parameter {ordinal}: {}", reason.message)).with_hint(reason.hint)
    })
}

/// Why a value cannot be bound.
#[derive(Debug)]
struct Reason {
    message: &'static str,
    hint: &'static str,
}

fn because<T>(message: &'static str, hint: &'static str) -> Result<T, Reason> {
    Err(Reason { message, hint })
}

fn encode(value: &Value, decimals: Decimals) -> Result<ToSqlOutput<'_>, Reason> {
    Ok(match value {
        Value::Null => ToSqlOutput::Borrowed(Cell::Null),
        Value::Bool(v) => integer((*v).into()),
        Value::Int(v) => integer(*v),
        Value::UInt(v) => match i64::try_from(*v) {
            Ok(v) => integer(v),
            Err(_) => {
                return because("the integer is above 9223372036854775807, the largest of SQLite", "bind it as text");
            }
        },
        Value::Float(v) if v.is_nan() => {
            return because("NaN has no form in SQLite, which stores it as NULL", "bind NULL or text");
        }
        Value::Float(v) => ToSqlOutput::Borrowed(Cell::Real(*v)),
        Value::Decimal(v) if v.is_nan() && decimals == Decimals::Number => {
            return because("a decimal NaN has no form in SQLite, which has no NaN", "bind NULL or text");
        }
        Value::Decimal(v) => decimal(v, decimals)?,
        Value::Text(v) => text(v),
        Value::Json(v) => text(v.as_str()),
        Value::Bytes(v) => ToSqlOutput::Borrowed(Cell::Blob(v)),
        Value::Date(v) => written(has_year_of_four_digits(*v)?),
        Value::Time(v) => written(v),
        Value::DateTime(v) => {
            has_year_of_four_digits(v.date())?;
            written(v)
        }
        Value::Timestamp(v) => {
            has_year_of_four_digits(v.date())?;
            written(v)
        }
        Value::Interval(v) if v.is_finite() => written(v),
        Value::Interval(_) => return because("an infinite interval has no form in SQLite", "bind text"),
        Value::Uuid(v) => written(v),
        Value::Array(v) => return no_arrays(v),
        _ => return because("a value of another server's type cannot be bound on SQLite", "bind text or bytes"),
    })
}

fn no_arrays<T>(array: &Array) -> Result<T, Reason> {
    match array.shape() {
        ArrayShape::Range { .. } | ArrayShape::EmptyRange => {
            because("SQLite has no ranges", "bind the bounds one by one")
        }
        ArrayShape::Record | ArrayShape::Tuple => {
            because("SQLite has no records", "bind the fields one by one, or JSON")
        }
        ArrayShape::Map => because("SQLite has no maps", "bind JSON"),
        _ => because("SQLite has no arrays", "use list(..) where a list is meant, as in IN (:ids), or bind JSON"),
    }
}

fn integer<'a>(value: i64) -> ToSqlOutput<'a> {
    ToSqlOutput::Borrowed(Cell::Integer(value))
}

fn text(value: &str) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(Cell::Text(value.as_bytes()))
}

fn written<'a>(value: impl std::fmt::Display) -> ToSqlOutput<'a> {
    ToSqlOutput::Owned(Owned::Text(value.to_string()))
}

/// A decimal whose number SQLite keeps: through INTEGER, or through the double whose shortest form it is.
fn decimal(value: &Decimal, decimals: Decimals) -> Result<ToSqlOutput<'_>, Reason> {
    if decimals == Decimals::Text {
        return Ok(text(value.as_str()));
    }
    if let Some(value) = value.to_i64() {
        return Ok(integer(value));
    }
    match value.to_f64_exact() {
        Some(value) => Ok(ToSqlOutput::Borrowed(Cell::Real(value))),
        None => because(
            "SQLite's numbers cannot hold this decimal exactly",
            "at most 15 significant digits fit; for more, declare the column TEXT and set decimal=text in the URL",
        ),
    }
}

/// Only such years sort as text and are known to SQLite's date functions.
fn has_year_of_four_digits(date: Date) -> Result<Date, Reason> {
    match date.ymd() {
        Some((1..=9999, _, _)) => Ok(date),
        Some(_) => because("the year is not within 1 to 9999, the range of SQLite's dates", "bind text"),
        None => because("an infinite date has no form in SQLite", "bind NULL or text"),
    }
}

#[cfg(test)]
mod tests {
    use databases_core::types::{DateTime, Interval, Time, Timestamp};

    use super::*;

    fn shown(value: Value, decimals: Decimals) -> String {
        match to_sqlite(&value, decimals, 1) {
            Ok(ToSqlOutput::Borrowed(Cell::Text(v))) => format!("text {}", std::str::from_utf8(v).unwrap()),
            Ok(ToSqlOutput::Owned(Owned::Text(v))) => format!("text {v}"),
            Ok(ToSqlOutput::Borrowed(Cell::Integer(v))) => format!("integer {v}"),
            Ok(ToSqlOutput::Borrowed(Cell::Real(v))) => format!("real {v}"),
            Ok(other) => format!("{other:?}"),
            Err(error) => format!("{:?}", error.kind()),
        }
    }

    #[test]
    fn decimals_are_bound_exactly_or_not_at_all() {
        for (value, number, as_text) in [
            ("5", "integer 5", "text 5"),
            ("5.00", "integer 5", "text 5.00"),
            ("-9223372036854775808", "integer -9223372036854775808", "text -9223372036854775808"),
            ("9223372036854775808", "Encode", "text 9223372036854775808"),
            ("1.50", "real 1.5", "text 1.50"),
            ("0.1", "real 0.1", "text 0.1"),
            ("123456789012.345", "real 123456789012.345", "text 123456789012.345"),
            ("0.12345678901234567890", "Encode", "text 0.12345678901234567890"),
            ("1e20", "real 100000000000000000000", "text 100000000000000000000"),
            ("NaN", "Encode", "text NaN"),
        ] {
            let value = Value::Decimal(value.parse().unwrap());
            assert_eq!(shown(value.clone(), Decimals::Number), number);
            assert_eq!(shown(value, Decimals::Text), as_text);
        }
    }

    #[test]
    fn values_without_an_exact_form_are_errors_that_do_not_show_them() {
        for value in [
            Value::UInt(9_223_372_036_854_775_808),
            Value::Float(f64::NAN),
            Value::Date(Date::INFINITY),
            Value::Date(Date::from_ymd(12_345, 1, 1).unwrap()),
            Value::Date(Date::from_ymd(0, 1, 1).unwrap()),
            Value::DateTime(DateTime::NEG_INFINITY),
            Value::Timestamp(Timestamp::from_utc(DateTime::MAX)),
            Value::Interval(Interval::INFINITY),
            Value::Array(Box::new(databases_core::Array::new(Vec::new(), databases_core::ValueKind::Int))),
        ] {
            let error = to_sqlite(&value, Decimals::Number, 3).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Encode, "{value:?}");
            assert!(error.to_string().starts_with("parameter 3: "), "{error}");
            assert!(!error.to_string().contains("12345"), "{error}");
        }
        assert_eq!(shown(Value::Float(f64::INFINITY), Decimals::Number), "real inf");
    }

    #[test]
    fn dates_and_times_sort_as_text() {
        let date = Date::from_ymd(2024, 1, 2).unwrap();
        let at = |micros| DateTime::new(date, Time::from_micros(micros).unwrap()).unwrap();
        let micros = [0, 1, 10, 500_000, 550_000, 999_999, 1_000_000, 1_000_001, 59_999_999, 86_399_999_999];
        let kinds: [fn(DateTime) -> Value; 3] =
            [Value::DateTime, |value| Value::Timestamp(value.assume_utc()), |value| Value::Time(value.time().unwrap())];
        for kind in kinds {
            let texts: Vec<String> = micros.iter().map(|m| shown(kind(at(*m)), Decimals::Number)).collect();
            assert!(texts.is_sorted(), "{texts:?}");
        }
        assert_eq!(shown(Value::Date(date), Decimals::Number), "text 2024-01-02");
        assert_eq!(shown(Value::DateTime(at(11_045_000_000)), Decimals::Number), "text 2024-01-02 03:04:05");
        assert_eq!(
            shown(Value::Timestamp(at(11_045_250_000).assume_utc()), Decimals::Number),
            "text 2024-01-02 03:04:05.25+00:00"
        );
    }
}
