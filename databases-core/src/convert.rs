//! Which Rust types are values, and which values they read.
//!
//! The rule is exactness: a conversion gives back what the server holds, or an error. What differs between servers
//! (SQLite has no dates, MySQL no booleans) is bridged here, once, by the Rust type that is asked for.

use std::borrow::Cow;
use std::num::{NonZero, NonZeroI8, NonZeroI16, NonZeroI32, NonZeroI64, NonZeroU16, NonZeroU32, NonZeroU64};
use std::rc::Rc;
use std::sync::Arc;

use crate::error::Result;
use crate::misfit::{mismatch, out_of_range, unparsable};
use crate::types::{Date, DateTime, Decimal, Interval, JsonText, Time, Timestamp, Uuid};
use crate::value::{FromValue, IntoValue, Value, ValueKind, ValueRef};

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
    isize, Int, v => Value::Int(v as i64);
    usize, UInt, v => Value::UInt(v as u64);
    i128, Decimal, v => Value::Decimal(v.into());
    u128, Decimal, v => Value::Decimal(v.into());
    f32, Float32, v => Value::Float(v.into());
    f64, Float, v => Value::Float(v);
    Decimal, Decimal, v => Value::Decimal(v);
    String, Text, v => Value::Text(v);
    &str, Text, v => Value::Text(v.to_owned());
    Box<str>, Text, v => Value::Text(v.into());
    Arc<str>, Text, v => Value::Text((*v).to_owned());
    Rc<str>, Text, v => Value::Text((*v).to_owned());
    Cow<'_, str>, Text, v => Value::Text(v.into_owned());
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

// No platform of Rust has wider ones: the casts of `isize` and `usize` above keep every value.
const _: () = assert!(size_of::<usize>() <= size_of::<u64>());

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

integers!(i8, i16, i32, i64, isize, u16, u32, u64, usize);

macro_rules! wide_integers {
    ($($type:ty),*) => {$(
        impl FromValue for $type {
            fn from_value(value: ValueRef<'_>) -> Result<Self> {
                match &value {
                    ValueRef::Int(v) => (*v).try_into().map_err(|_| out_of_range::<Self>(&value)),
                    ValueRef::UInt(v) => Ok((*v).into()),
                    ValueRef::Decimal(v) if v.is_integral() => {
                        let digits = v.as_str().split('.').next().unwrap_or_default();
                        digits.parse().map_err(|_| out_of_range::<Self>(&value))
                    }
                    _ => Err(mismatch::<Self>(&value)),
                }
            }
        }
    )*};
}

wide_integers!(i128, u128);

macro_rules! non_zero {
    ($($type:ty: $inner:ty),*) => {$(
        impl IntoValue for $type {
            const KIND: ValueKind = <$inner>::KIND;
            fn into_value(self) -> Value {
                self.get().into_value()
            }
        }

        impl FromValue for $type {
            fn from_value(value: ValueRef<'_>) -> Result<Self> {
                let number = <$inner>::from_value(value)?;
                NonZero::new(number).ok_or_else(|| out_of_range::<Self>(&ValueRef::Int(0)))
            }
        }
    )*};
}

non_zero!(
    NonZeroI8: i8, NonZeroI16: i16, NonZeroI32: i32, NonZeroI64: i64,
    NonZeroU16: u16, NonZeroU32: u32, NonZeroU64: u64
);

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
            Err(out_of_range::<Self>(&ValueRef::Float(wide)))
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

macro_rules! texts {
    ($($type:ty),*) => {$(
        impl FromValue for $type {
            fn from_value(value: ValueRef<'_>) -> Result<Self> {
                match value {
                    ValueRef::Text(v) | ValueRef::Json(v) => Ok(v.to_owned().into()),
                    _ => Err(mismatch::<Self>(&value)),
                }
            }
        }
    )*};
}

texts!(String, Box<str>, Arc<str>, Cow<'_, str>);

impl FromValue for char {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        match value {
            ValueRef::Text(v) => v.parse().map_err(|_| unparsable::<Self>(&value)),
            _ => Err(mismatch::<Self>(&value)),
        }
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

    fn back<T: IntoValue + FromValue>(value: T) -> T {
        T::from_value(value.into_value().as_ref()).expect("what was bound reads back")
    }

    #[test]
    fn integers_of_other_widths_come_back() {
        for number in [i128::MIN, i64::MIN.into(), -1, 0, u64::MAX.into(), i128::MAX] {
            assert_eq!(back(number), number);
        }
        assert_eq!(back(u128::MAX), u128::MAX);
        assert_eq!((back(usize::MAX), back(isize::MIN)), (usize::MAX, isize::MIN));
        assert_eq!(i128::from_value(ValueRef::Decimal("-7.00".parse().unwrap())).unwrap(), -7);
        assert_eq!(u128::from_value(ValueRef::UInt(7)).unwrap(), 7);
        assert!(u128::from_value(ValueRef::Int(-7)).is_err());
        assert!(i128::from_value(u128::MAX.into_value().as_ref()).is_err());
        assert_eq!(back(NonZeroU16::MAX), NonZeroU16::MAX);
        assert_eq!(NonZeroI32::KIND, i32::KIND);
        let zero = NonZeroI32::from_value(ValueRef::Int(0)).unwrap_err();
        assert_eq!(zero.to_string(), "an integer is out of range for NonZero<i32>");
    }

    #[test]
    fn texts_of_every_owner_come_back() {
        assert_eq!(&*back::<Arc<str>>("a".into()), "a");
        assert_eq!(back(Cow::Borrowed("a")), "a");
        assert_eq!(&*back::<Box<str>>("a".into()), "a");
        assert_eq!(Rc::<str>::from("a").into_value(), Value::Text("a".to_owned()));
        assert_eq!(back('\u{1f600}'), '\u{1f600}');
        for text in ["", "ab"] {
            assert_eq!(
                char::from_value(ValueRef::Text(text)).unwrap_err().to_string(),
                "this text does not have the form of char"
            );
        }
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
