//! Which Rust types are values, and which values they read.
//!
//! The rule is exactness: a conversion gives back what the server holds, or an error. What differs between servers
//! (SQLite has no dates, MySQL no booleans) is bridged here, once, by the Rust type that is asked for.

use std::borrow::Cow;
use std::num::{NonZero, NonZeroI8, NonZeroI16, NonZeroI32, NonZeroI64, NonZeroU16, NonZeroU32, NonZeroU64};
use std::rc::Rc;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::misfit::{mismatch, out_of_range, unparsable};
use crate::row::LiveRow;
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
    #[inline]
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        match value {
            ValueRef::Bool(v) => Ok(v),
            ValueRef::Int(v @ (0 | 1)) => Ok(v == 1),
            ValueRef::UInt(v @ (0 | 1)) => Ok(v == 1),
            ValueRef::Int(_) | ValueRef::UInt(_) => Err(out_of_range::<Self>(&value)),
            _ => Err(mismatch::<Self>(&value)),
        }
    }

    #[inline]
    fn from_live(row: &dyn LiveRow, column: usize) -> Result<Self> {
        match row.int(column) {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => from_rare(row, column),
        }
    }
}

/// A cell that is not what its type mostly reads: the way of all the others.
#[cold]
fn from_rare<T: FromValue>(row: &dyn LiveRow, column: usize) -> Result<T> {
    row.cell(column).and_then(T::from_value)
}

/// A number from what has another form.
trait FromOther: Sized {
    fn from_other(value: ValueRef<'_>) -> Result<Self>;
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl FromValue for $type {
            // What most columns are is read in the caller's own code.
            #[inline]
            fn from_value(value: ValueRef<'_>) -> Result<Self> {
                match value {
                    ValueRef::Int(v) => v.try_into().map_err(|_| out_of_range::<Self>(&ValueRef::Int(v))),
                    other => <$type as FromOther>::from_other(other),
                }
            }

            #[inline]
            fn from_live(row: &dyn LiveRow, column: usize) -> Result<Self> {
                match row.int(column).map(<$type>::try_from) {
                    Some(Ok(v)) => Ok(v),
                    _ => from_rare(row, column),
                }
            }
        }

        impl FromOther for $type {
            fn from_other(value: ValueRef<'_>) -> Result<Self> {
                match &value {
                    ValueRef::UInt(v) => (*v).try_into().map_err(|_| out_of_range::<Self>(&value)),
                    // `sum()` of integers is a decimal on PostgreSQL and MySQL.
                    ValueRef::Decimal(v) if v.is_integral() => {
                        let wide = match v.to_i64() {
                            Some(v) => v.try_into().ok(),
                            None => v.to_u64().and_then(|v| v.try_into().ok()),
                        };
                        wide.ok_or_else(|| out_of_range::<Self>(&value))
                    }
                    // What an integer becomes in a REAL column of SQLite.
                    ValueRef::Float(v) if v.fract() == 0.0 => {
                        let whole = only_integer(*v).ok_or_else(|| ambiguous_integer::<Self>(&value))?;
                        whole.try_into().map_err(|_| out_of_range::<Self>(&value))
                    }
                    ValueRef::Text(v) => v.parse().map_err(|_| unparsable::<Self>(&value)),
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
                    ValueRef::UInt(v) => Ok((*v).into()),
                    ValueRef::Decimal(v) if v.is_integral() => {
                        let digits = v.as_str().split('.').next().unwrap_or_default();
                        digits.parse().map_err(|_| out_of_range::<Self>(&value))
                    }
                    ValueRef::Decimal(_) => Err(mismatch::<Self>(&value)),
                    // No other value is wider than 64 bits.
                    _ => {
                        let narrow = i64::from_value(value.clone()).map_err(|_| mismatch::<Self>(&value))?;
                        narrow.try_into().map_err(|_| out_of_range::<Self>(&value))
                    }
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

/// The one integer that became this whole number; from 2^53 on there are several.
fn only_integer(v: f64) -> Option<i64> {
    #[expect(clippy::cast_precision_loss, reason = "a power of two is exact")]
    const SEVERAL: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    #[expect(clippy::cast_possible_truncation, reason = "whole, and used below 2^53 only")]
    let integer = v as i64;
    (v.abs() < SEVERAL).then_some(integer)
}

#[cold]
fn ambiguous_integer<T>(value: &ValueRef<'_>) -> Error {
    out_of_range::<T>(value)
        .with_hint("from 2^53 on one floating point number stands for several integers; ask for f64")
}

/// The double nearest to a number of at most 17 digits, which tell every double apart: SQLite writes that many into a
/// TEXT column, and the last one not always rounded well.
fn of_17_digits(number: &Decimal) -> Option<f64> {
    let digits = number.as_str().trim_start_matches(['-', '0', '.']).trim_end_matches(['0', '.']);
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    let float = number.to_f64();
    (count <= 17 && float.is_finite()).then_some(float)
}

impl FromValue for f64 {
    #[inline]
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        match value {
            ValueRef::Float(v) => Ok(v),
            other => <f64 as FromOther>::from_other(other),
        }
    }

    #[inline]
    fn from_live(row: &dyn LiveRow, column: usize) -> Result<Self> {
        match row.float(column) {
            Some(v) => Ok(v),
            None => from_rare(row, column),
        }
    }
}

impl FromOther for f64 {
    fn from_other(value: ValueRef<'_>) -> Result<Self> {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "what was lost shows in the cast back, which a float that came from 64 bits does not saturate"
        )]
        let exact = |wide: i128| {
            let float = wide as f64;
            if float as i128 == wide { Ok(float) } else { Err(out_of_range::<Self>(&value)) }
        };
        match &value {
            ValueRef::Int(v) => exact((*v).into()),
            ValueRef::UInt(v) => exact((*v).into()),
            ValueRef::Decimal(v) => v.to_f64_exact().ok_or_else(|| out_of_range::<Self>(&value)),
            ValueRef::Text(v) => {
                let number: Decimal = v.parse().map_err(|_| unparsable::<Self>(&value))?;
                number.to_f64_exact().or_else(|| of_17_digits(&number)).ok_or_else(|| out_of_range::<Self>(&value))
            }
            _ => Err(mismatch::<Self>(&value)),
        }
    }
}

impl FromValue for f32 {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        let wide = f64::from_value(value)?;
        #[expect(clippy::cast_possible_truncation, reason = "what was lost shows in the comparison")]
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
            #[inline]
            fn from_value(value: ValueRef<'_>) -> Result<Self> {
                match value {
                    ValueRef::Text(v) | ValueRef::Json(v) => Ok(v.to_owned().into()),
                    ValueRef::Other { is_text: true, .. } => {
                        value.other_text().map(|v| v.to_owned().into()).ok_or_else(not_utf8)
                    }
                    ValueRef::Bytes(v) if std::str::from_utf8(v).is_err() => Err(not_utf8()),
                    _ => Err(mismatch::<Self>(&value)),
                }
            }

            #[inline]
            fn from_live(row: &dyn LiveRow, column: usize) -> Result<Self> {
                match row.text(column) {
                    Some(v) => Ok(v.to_owned().into()),
                    None => from_rare(row, column),
                }
            }
        }
    )*};
}

texts!(String, Box<str>, Arc<str>, Cow<'_, str>);

#[cold]
fn not_utf8() -> Error {
    Error::new(ErrorKind::Decode, "bytes that are not valid UTF-8 cannot be read as String")
        .with_hint("ask for Vec<u8>")
}

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
    ($($type:ident $(: $hint:literal)? $(, $also:ident($v:ident) => $convert:expr)*;)*) => {$(
        impl FromValue for $type {
            fn from_value(value: ValueRef<'_>) -> Result<Self> {
                match &value {
                    ValueRef::$type(v) => Ok(*v),
                    $(ValueRef::$also($v) => Ok($convert),)*
                    ValueRef::Text(v) => {
                        v.parse().map_err(|error| unparsable::<Self>(&value).with_hint(format!("{error}")))
                    }
                    ValueRef::Int(_) | ValueRef::UInt(_) | ValueRef::Float(_) | ValueRef::Decimal(_) => {
                        Err(mismatch::<Self>(&value).with_hint(NUMBER))
                    }
                    $(ValueRef::Interval(_) => Err(mismatch::<Self>(&value).with_hint($hint)),)?
                    _ => Err(mismatch::<Self>(&value)),
                }
            }
        }
    )*};
}

/// What a number counts is not told: SQLite's `julianday` counts days, its `unixepoch` seconds, others milliseconds.
const NUMBER: &str = "only text like 2024-12-31 or 23:59:59 is read; turn the number into it in the statement: SQLite has \
                      datetime(…, 'unixepoch'), PostgreSQL to_timestamp(…), MySQL from_unixtime(…)";

// Every session of ours is in UTC, so a timestamp without zone and an instant hold the same reading.
parsed_from_text! {
    Date;
    Time: "a span beyond a day or before 00:00 is no time of day; ask for Interval";
    DateTime, Timestamp(v) => v.to_utc();
    Timestamp, DateTime(v) => v.assume_utc();
    Interval, Time(v) => Interval::new(0, 0, v.micros());
}

impl<T: FromValue> FromValue for Option<T> {
    #[inline]
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        if value.is_null() { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

impl FromValue for Value {
    #[inline]
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
    fn whole_floats_and_texts_of_digits_are_integers_where_that_is_exact() {
        for (value, read) in [(0.0, 0), (-0.0, 0), (-3.0, -3), (9_007_199_254_740_991.0, 9_007_199_254_740_991)] {
            assert_eq!(i64::from_value(ValueRef::Float(value)).unwrap(), read);
        }
        for value in [0.5, f64::NAN, f64::INFINITY, 9_007_199_254_740_992.0, -9_007_199_254_740_992.0, 1e300] {
            assert_eq!(i64::from_value(ValueRef::Float(value)).unwrap_err().kind(), ErrorKind::Decode, "{value}");
        }
        assert!(u64::from_value(ValueRef::Float(-1.0)).is_err() && i8::from_value(ValueRef::Float(128.0)).is_err());
        assert_eq!(u64::from_value(ValueRef::Text("18446744073709551615")).unwrap(), u64::MAX);
        assert_eq!(i64::from_value(ValueRef::Text("-7")).unwrap(), -7);
        for text in ["", " 7", "7.0", "1e2", "0x7", "٧", "18446744073709551616"] {
            assert!(u64::from_value(ValueRef::Text(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn floats_are_read_from_integers_and_texts_that_they_hold_exactly() {
        for value in [0, -1, 1 << 53, (1 << 53) + 2, 1_000_000_000_000_000_000, i64::MIN] {
            assert_eq!(f64::from_value(ValueRef::Int(value)).unwrap() as i128, value.into());
        }
        assert!(f64::from_value(ValueRef::Int((1 << 53) + 1)).is_err());
        assert!(f64::from_value(ValueRef::Int(i64::MAX)).is_err());
        assert!(f64::from_value(ValueRef::UInt(u64::MAX)).is_err());
        assert_eq!(f64::from_value(ValueRef::Text("0.1")).unwrap(), 0.1);
        assert_eq!(f64::from_value(ValueRef::Text("1e5")).unwrap(), 1e5);
        assert_eq!(f64::from_value(ValueRef::Text("-0.33333333333333331")).unwrap(), -1.0 / 3.0);
        for text in ["", "x", "nan", "0.12345678901234567890", "0.333333333333333333", "1e400"] {
            assert!(f64::from_value(ValueRef::Text(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_spans_and_spans_are_no_times() {
        let time = Time::from_hms_micro(1, 2, 3, 4).unwrap();
        assert_eq!(Interval::from_value(ValueRef::Time(time)).unwrap(), Interval::new(0, 0, 3_723_000_004));
        let error = Time::from_value(ValueRef::Interval(Interval::new(0, 0, -1))).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.ends_with("ask for Interval")), "{error:?}");
    }

    #[test]
    fn numbers_are_no_dates_and_the_form_that_is_read_is_named() {
        for value in [ValueRef::Int(1_704_067_200), ValueRef::Float(2_460_310.5)] {
            let error = DateTime::from_value(value).unwrap_err();
            assert!(error.hint().is_some_and(|hint| hint.contains("unixepoch")), "{error:?}");
        }
        let error = Date::from_value(ValueRef::Text("31.12.2024")).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.starts_with("expected a date like 2024-12-31")), "{error:?}");
    }

    #[test]
    fn bytes_that_are_not_utf8_say_so_as_a_string() {
        let error = String::from_value(ValueRef::Bytes(b"a\xff")).unwrap_err();
        assert_eq!(error.to_string(), "bytes that are not valid UTF-8 cannot be read as String");
        assert_eq!(Vec::<u8>::from_value(ValueRef::Bytes(b"a\xff")).unwrap(), b"a\xff");
        assert_eq!(
            String::from_value(ValueRef::Bytes(b"a")).unwrap_err().to_string(),
            "bytes cannot be read as String"
        );
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
