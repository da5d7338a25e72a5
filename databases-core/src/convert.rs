//! Which Rust types are values, and which values they read.
//!
//! The rule is exactness: a conversion gives back what the server holds, or an error. What differs between servers
//! (SQLite has no dates, MySQL no booleans) is bridged here, once, by the Rust type that is asked for.

use crate::error::Result;
use crate::types::{Date, DateTime, Decimal, Interval, JsonText, Time, Timestamp, Uuid};
use crate::value::{FromValue, IntoValue, Value, ValueKind, ValueRef, mismatch, out_of_range, unparsable};

macro_rules! into_value {
    ($($type:ty, $kind:ident, $v:ident => $value:expr;)*) => {$(
        impl IntoValue for $type {
            const KIND: ValueKind = ValueKind::$kind;
            fn into_value(self) -> Value {
                let $v = self;
                $value
            }
        }
    )*};
}

into_value! {
    bool, Bool, v => Value::Bool(v);
    i8, Int16, v => Value::Int(v.into());
    i16, Int16, v => Value::Int(v.into());
    i32, Int32, v => Value::Int(v.into());
    i64, Int, v => Value::Int(v);
    u16, Int32, v => Value::Int(v.into());
    u32, Int, v => Value::Int(v.into());
    u64, UInt, v => Value::UInt(v);
    f32, Float32, v => Value::Float(v.into());
    f64, Float, v => Value::Float(v);
    Decimal, Decimal, v => Value::Decimal(v);
    String, Text, v => Value::Text(v);
    &str, Text, v => Value::Text(v.to_owned());
    Box<str>, Text, v => Value::Text(v.into());
    std::borrow::Cow<'_, str>, Text, v => Value::Text(v.into_owned());
    Date, Date, v => Value::Date(v);
    Time, Time, v => Value::Time(v);
    DateTime, DateTime, v => Value::DateTime(v);
    Timestamp, Timestamp, v => Value::Timestamp(v);
    Interval, Interval, v => Value::Interval(v);
    Uuid, Uuid, v => Value::Uuid(v);
    JsonText, Json, v => Value::Json(v);
    Value, Any, v => v;
    char, Text, v => Value::Text(v.to_string());
}

impl<T: IntoValue> IntoValue for Option<T> {
    const KIND: ValueKind = T::KIND;
    fn into_value(self) -> Value {
        self.map_or(Value::Null, T::into_value)
    }
}

impl<T: IntoValue + Clone> IntoValue for &T {
    const KIND: ValueKind = T::KIND;
    fn into_value(self) -> Value {
        self.clone().into_value()
    }
}

impl FromValue for bool {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        match value {
            ValueRef::Bool(v) => Ok(v),
            ValueRef::Int(v @ (0 | 1)) => Ok(v == 1),
            ValueRef::UInt(v @ (0 | 1)) => Ok(v == 1),
            ValueRef::Int(_) | ValueRef::UInt(_) => Err(out_of_range::<Self>(&value)),
            _ => Err(mismatch::<Self>(&value)),
        }
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl FromValue for $type {
            fn from_value(value: ValueRef<'_>) -> Result<Self> {
                match &value {
                    ValueRef::Int(v) => (*v).try_into().map_err(|_| out_of_range::<Self>(&value)),
                    ValueRef::UInt(v) => (*v).try_into().map_err(|_| out_of_range::<Self>(&value)),
                    // `sum()` of integers is a decimal on PostgreSQL and MySQL.
                    ValueRef::Decimal(v) if v.is_integral() => {
                        let wide = match v.to_i64() {
                            Some(v) => v.try_into().ok(),
                            None => v.to_u64().and_then(|v| v.try_into().ok()),
                        };
                        wide.ok_or_else(|| out_of_range::<Self>(&value))
                    }
                    _ => Err(mismatch::<Self>(&value)),
                }
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, u16, u32, u64);

impl FromValue for f64 {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
        match &value {
            ValueRef::Float(v) => Ok(*v),
            ValueRef::Int(v) if v.unsigned_abs() <= EXACT => Ok(*v as f64),
            ValueRef::UInt(v) if *v <= EXACT => Ok(*v as f64),
            ValueRef::Decimal(v) => v.to_f64_exact().ok_or_else(|| out_of_range::<Self>(&value)),
            ValueRef::Int(_) | ValueRef::UInt(_) => Err(out_of_range::<Self>(&value)),
            _ => Err(mismatch::<Self>(&value)),
        }
    }
}

impl FromValue for f32 {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        let wide = f64::from_value(value)?;
        let narrow = wide as f32;
        if f64::from(narrow) == wide || wide.is_nan() {
            Ok(narrow)
        } else {
            Err(out_of_range::<Self>(&ValueRef::Float(wide)).with_hint("ask for f64"))
        }
    }
}

impl FromValue for Decimal {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        match &value {
            ValueRef::Decimal(v) => Ok(v.clone()),
            ValueRef::Int(v) => Ok((*v).into()),
            ValueRef::UInt(v) => Ok((*v).into()),
            ValueRef::Float(v) => Ok(Decimal::from_f64_shortest(*v)),
            ValueRef::Text(v) => v.parse().map_err(|_| unparsable::<Self>(&value)),
            _ => Err(mismatch::<Self>(&value)),
        }
    }
}

impl FromValue for String {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        match value {
            ValueRef::Text(v) | ValueRef::Json(v) => Ok(v.to_owned()),
            _ => Err(mismatch::<Self>(&value)),
        }
    }
}

impl FromValue for Box<str> {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        String::from_value(value).map(Into::into)
    }
}

impl FromValue for JsonText {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        match value {
            ValueRef::Json(v) | ValueRef::Text(v) => Ok(JsonText::new(v)),
            _ => Err(mismatch::<Self>(&value)),
        }
    }
}

impl FromValue for Uuid {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        match &value {
            ValueRef::Uuid(v) => Ok(*v),
            ValueRef::Text(v) => v.parse().map_err(|_| unparsable::<Self>(&value)),
            ValueRef::Bytes(v) => {
                <[u8; 16]>::try_from(*v).map(Uuid::from_bytes).map_err(|_| unparsable::<Self>(&value))
            }
            _ => Err(mismatch::<Self>(&value)),
        }
    }
}

macro_rules! parsed_from_text {
    ($($type:ident $(, $also:ident($v:ident) => $convert:expr)*;)*) => {$(
        impl FromValue for $type {
            fn from_value(value: ValueRef<'_>) -> Result<Self> {
                match &value {
                    ValueRef::$type(v) => Ok(*v),
                    $(ValueRef::$also($v) => Ok($convert),)*
                    ValueRef::Text(v) => v.parse().map_err(|_| unparsable::<Self>(&value)),
                    _ => Err(mismatch::<Self>(&value)),
                }
            }
        }
    )*};
}

// Every session of ours is in UTC, so a timestamp without zone and an instant hold the same reading.
parsed_from_text! {
    Date;
    Time;
    DateTime, Timestamp(v) => v.to_utc();
    Timestamp, DateTime(v) => v.assume_utc();
    Interval;
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        if value.is_null() { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

impl FromValue for Value {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        Ok(value.to_value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn integers_are_range_checked() {
        assert_eq!(i16::from_value(ValueRef::Int(-5)).unwrap(), -5);
        assert_eq!(i16::from_value(ValueRef::Int(40_000)).unwrap_err().kind(), ErrorKind::Decode);
        assert_eq!(u64::from_value(ValueRef::Int(-1)).unwrap_err().kind(), ErrorKind::Decode);
        assert_eq!(i64::from_value(ValueRef::Decimal("5.00".parse().unwrap())).unwrap(), 5);
        assert!(i64::from_value(ValueRef::Decimal("5.5".parse().unwrap())).is_err());
    }

    #[test]
    fn null_needs_an_option() {
        assert_eq!(Option::<i64>::from_value(ValueRef::Null).unwrap(), None);
        let error = i64::from_value(ValueRef::Null).unwrap_err();
        assert_eq!(error.to_string(), "NULL cannot be read as i64");
        assert_eq!(error.hint(), Some("ask for Option<i64>"));
    }

    #[test]
    fn bytes_are_one_value_and_other_sequences_are_arrays() {
        assert_eq!(vec![1u8, 2].into_value(), Value::Bytes(vec![1, 2]));
        assert_eq!(<Vec<u8> as IntoValue>::KIND, ValueKind::Bytes);
        assert_eq!(vec![1i32].into_value().kind(), ValueKind::Array);
        assert_eq!(Option::<i16>::None.into_value(), Value::Null);
        assert_eq!(<Option<i16> as IntoValue>::KIND, ValueKind::Int16);
    }
}
