//! The query builder's values as ours.

use sea_query::{ArrayType, OptionEnum, Value as Sea};

use crate::array::Array;
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::params::Arg;
use crate::value::{Value, ValueKind};

/// The value to bind; a NULL keeps its type, which the server may need.
pub(super) fn convert(value: Sea) -> Result<Arg> {
    Ok(match value {
        Sea::Bool(v) => Arg::new(v),
        Sea::TinyInt(v) => Arg::new(v),
        Sea::SmallInt(v) => Arg::new(v),
        Sea::Int(v) => Arg::new(v),
        Sea::BigInt(v) => Arg::new(v),
        // Eight bits without a sign have no type of their own here: they are bytes.
        Sea::TinyUnsigned(v) => Arg::new(v.map(i16::from)),
        Sea::SmallUnsigned(v) => Arg::new(v),
        Sea::Unsigned(v) => Arg::new(v),
        Sea::BigUnsigned(v) => Arg::new(v),
        Sea::Float(v) => Arg::new(v),
        Sea::Double(v) => Arg::new(v),
        Sea::String(v) => Arg::new(v),
        Sea::Char(v) => Arg::new(v),
        Sea::Bytes(v) => Arg::new(v),
        // PostgreSQL's writer casts the parameter to the enum's type itself.
        Sea::Enum(OptionEnum::Some(v)) => Arg::new(v.value),
        Sea::Enum(OptionEnum::None(_)) => Arg::new(None::<String>),
        #[cfg(feature = "json")]
        Sea::Json(v) => Arg::new(v.map(|v| *v)),
        #[cfg(feature = "chrono")]
        Sea::ChronoDate(v) => Arg::new(v),
        #[cfg(feature = "chrono")]
        Sea::ChronoTime(v) => Arg::new(v),
        #[cfg(feature = "chrono")]
        Sea::ChronoDateTime(v) => Arg::new(v),
        #[cfg(feature = "chrono")]
        Sea::ChronoDateTimeUtc(v) => Arg::new(v),
        #[cfg(feature = "chrono")]
        Sea::ChronoDateTimeLocal(v) => Arg::new(v),
        #[cfg(feature = "chrono")]
        Sea::ChronoDateTimeWithTimeZone(v) => Arg::new(v),
        #[cfg(feature = "time")]
        Sea::TimeDate(v) => Arg::new(v),
        #[cfg(feature = "time")]
        Sea::TimeTime(v) => Arg::new(v),
        #[cfg(feature = "time")]
        Sea::TimeDateTime(v) => Arg::new(v),
        #[cfg(feature = "time")]
        Sea::TimeDateTimeWithTimeZone(v) => Arg::new(v),
        #[cfg(feature = "jiff")]
        Sea::JiffDate(v) => Arg::new(v),
        #[cfg(feature = "jiff")]
        Sea::JiffTime(v) => Arg::new(v),
        #[cfg(feature = "jiff")]
        Sea::JiffDateTime(v) => Arg::new(v.map(|v| *v)),
        #[cfg(feature = "jiff")]
        Sea::JiffTimestamp(v) => Arg::new(v.map(|v| *v)),
        #[cfg(feature = "uuid")]
        Sea::Uuid(v) => Arg::new(v),
        #[cfg(feature = "rust_decimal")]
        Sea::Decimal(v) => Arg::new(v),
        #[cfg(feature = "bigdecimal")]
        Sea::BigDecimal(v) => Arg::new(v.map(|v| *v)),
        Sea::Array(element, items) => {
            let kind = element_kind(&element)?;
            let Some(items) = items else { return Ok(Arg { value: Value::Null, kind: ValueKind::Array }) };
            let items = items.into_iter().map(|item| Ok(convert(item)?.value)).collect::<Result<_>>()?;
            Arg::new(Value::Array(Box::new(Array::new(items, kind))))
        }
        // Other crates in the build may switch on more of sea-query's types.
        #[allow(unreachable_patterns)]
        other => return Err(refused(&format!("{other:?}"))),
    })
}

/// The kind of an array's items, known even if there are none.
fn element_kind(element: &ArrayType) -> Result<ValueKind> {
    Ok(match element {
        ArrayType::Bool => ValueKind::Bool,
        ArrayType::TinyInt | ArrayType::SmallInt | ArrayType::TinyUnsigned => ValueKind::Int16,
        ArrayType::Int | ArrayType::SmallUnsigned => ValueKind::Int32,
        ArrayType::BigInt | ArrayType::Unsigned => ValueKind::Int,
        ArrayType::BigUnsigned => ValueKind::UInt,
        ArrayType::Float => ValueKind::Float32,
        ArrayType::Double => ValueKind::Float,
        ArrayType::String | ArrayType::Char | ArrayType::Enum(_) => ValueKind::Text,
        ArrayType::Bytes => ValueKind::Bytes,
        #[cfg(feature = "json")]
        ArrayType::Json => ValueKind::Json,
        #[cfg(feature = "chrono")]
        ArrayType::ChronoDate => ValueKind::Date,
        #[cfg(feature = "chrono")]
        ArrayType::ChronoTime => ValueKind::Time,
        #[cfg(feature = "chrono")]
        ArrayType::ChronoDateTime => ValueKind::DateTime,
        #[cfg(feature = "chrono")]
        ArrayType::ChronoDateTimeUtc | ArrayType::ChronoDateTimeLocal | ArrayType::ChronoDateTimeWithTimeZone => {
            ValueKind::Timestamp
        }
        #[cfg(feature = "time")]
        ArrayType::TimeDate => ValueKind::Date,
        #[cfg(feature = "time")]
        ArrayType::TimeTime => ValueKind::Time,
        #[cfg(feature = "time")]
        ArrayType::TimeDateTime => ValueKind::DateTime,
        #[cfg(feature = "time")]
        ArrayType::TimeDateTimeWithTimeZone => ValueKind::Timestamp,
        #[cfg(feature = "jiff")]
        ArrayType::JiffDate => ValueKind::Date,
        #[cfg(feature = "jiff")]
        ArrayType::JiffTime => ValueKind::Time,
        #[cfg(feature = "jiff")]
        ArrayType::JiffDateTime => ValueKind::DateTime,
        #[cfg(feature = "jiff")]
        ArrayType::JiffTimestamp => ValueKind::Timestamp,
        #[cfg(feature = "uuid")]
        ArrayType::Uuid => ValueKind::Uuid,
        #[cfg(feature = "rust_decimal")]
        ArrayType::Decimal => ValueKind::Decimal,
        #[cfg(feature = "bigdecimal")]
        ArrayType::BigDecimal => ValueKind::Decimal,
        #[allow(unreachable_patterns)]
        other => return Err(refused(&format!("Array of {other:?}"))),
    })
}

/// `debug` begins with the name of the type; behind the bracket is the value, which is not shown.
fn refused(debug: &str) -> Error {
    let name = debug.split('(').next().unwrap_or_default();
    let message = format!("a built statement holds a value of sea-query's type {name}, which cannot be bound");
    Error::new(ErrorKind::Encode, message)
        .with_effect(Effect::NotSent)
        .with_hint("put `:name` into the statement with Expr::cust(\":name\") and pass the value as a parameter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_keeps_its_type() {
        for (value, kind) in [
            (Sea::Bool(None), ValueKind::Bool),
            (Sea::TinyInt(None), ValueKind::Int16),
            (Sea::SmallInt(None), ValueKind::Int16),
            (Sea::Int(None), ValueKind::Int32),
            (Sea::BigInt(None), ValueKind::Int),
            (Sea::TinyUnsigned(None), ValueKind::Int16),
            (Sea::SmallUnsigned(None), ValueKind::Int32),
            (Sea::Unsigned(None), ValueKind::Int),
            (Sea::BigUnsigned(None), ValueKind::UInt),
            (Sea::Float(None), ValueKind::Float32),
            (Sea::Double(None), ValueKind::Float),
            (Sea::String(None), ValueKind::Text),
            (Sea::Char(None), ValueKind::Text),
            (Sea::Bytes(None), ValueKind::Bytes),
            (Sea::Enum(OptionEnum::None("mood".into())), ValueKind::Text),
            (Sea::Array(ArrayType::Int, None), ValueKind::Array),
            #[cfg(feature = "json")]
            (Sea::Json(None), ValueKind::Json),
            #[cfg(feature = "chrono")]
            (Sea::ChronoDateTimeUtc(None), ValueKind::Timestamp),
            #[cfg(feature = "chrono")]
            (Sea::ChronoDateTimeLocal(None), ValueKind::Timestamp),
            #[cfg(feature = "time")]
            (Sea::TimeDateTime(None), ValueKind::DateTime),
            #[cfg(feature = "jiff")]
            (Sea::JiffTimestamp(None), ValueKind::Timestamp),
            #[cfg(feature = "uuid")]
            (Sea::Uuid(None), ValueKind::Uuid),
            #[cfg(feature = "rust_decimal")]
            (Sea::Decimal(None), ValueKind::Decimal),
            #[cfg(feature = "bigdecimal")]
            (Sea::BigDecimal(None), ValueKind::Decimal),
        ] {
            let arg = convert(value.clone()).unwrap();
            assert_eq!((arg.value, arg.kind), (Value::Null, kind), "{value:?}");
        }
    }

    #[test]
    fn arrays_keep_the_type_of_their_items() {
        let Value::Array(array) = convert(Vec::<i32>::new().into()).unwrap().value else { panic!("no array") };
        assert_eq!((array.items().len(), array.element_kind()), (0, ValueKind::Int32));
        let Value::Array(array) = convert(vec!["a".to_owned()].into()).unwrap().value else { panic!("no array") };
        assert_eq!((array.items(), array.element_kind()), (&[Value::Text("a".into())][..], ValueKind::Text));
    }

    #[test]
    fn what_cannot_be_bound_is_named_without_its_value() {
        let error = refused("Vector(Some([1.0, 2.0]))");
        assert_eq!(error.kind(), ErrorKind::Encode);
        assert_eq!(
            error.to_string(),
            "a built statement holds a value of sea-query's type Vector, which cannot be bound"
        );
    }
}
