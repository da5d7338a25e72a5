//! Values that are not made of values.

use databases_core::types::{Date, DateTime, Decimal, Interval, Sign, Time, Timestamp, Uuid};
use databases_core::{Result, TypeName, ValueRef};

use super::Codec;
use super::reader::{Reader, fixed, malformed, utf8};

/// Days from 1970-01-01, from which [`Date`] counts, to 2000-01-01, from which PostgreSQL counts.
pub(crate) const DAYS_TO_2000: i32 = 10_957;
/// The version byte before the text of a `jsonb`.
pub(crate) const JSONB_VERSION: u8 = 1;

impl Codec {
    /// Reads a value that is not made of values and not NULL.
    #[inline]
    pub(super) fn scalar<'a>(&self, type_name: &'a TypeName, bytes: &'a [u8]) -> Result<ValueRef<'a>> {
        Ok(match self {
            Self::Bool => ValueRef::Bool(fixed::<1>(bytes)? != [0]),
            Self::Int2 => ValueRef::Int(i16::from_be_bytes(fixed(bytes)?).into()),
            Self::Int4 => ValueRef::Int(i32::from_be_bytes(fixed(bytes)?).into()),
            Self::Int8 => ValueRef::Int(i64::from_be_bytes(fixed(bytes)?)),
            Self::Oid => ValueRef::Int(u32::from_be_bytes(fixed(bytes)?).into()),
            Self::Float4 => ValueRef::Float(f32::from_be_bytes(fixed(bytes)?).into()),
            Self::Float8 => ValueRef::Float(f64::from_be_bytes(fixed(bytes)?)),
            Self::Numeric => ValueRef::Decimal(numeric(bytes)?),
            Self::Text => ValueRef::Text(utf8(bytes)?),
            Self::Char => char(type_name, bytes)?,
            Self::Bytea => ValueRef::Bytes(bytes),
            Self::Date => ValueRef::Date(date(i32::from_be_bytes(fixed(bytes)?))?),
            Self::Time => {
                let micros = i64::from_be_bytes(fixed(bytes)?);
                ValueRef::Time(Time::from_micros(micros).ok_or_else(malformed)?)
            }
            Self::Timestamp => {
                let micros = i64::from_be_bytes(fixed(bytes)?);
                let value = DateTime::from_micros_since_2000(micros);
                ValueRef::DateTime(value.ok_or_else(malformed)?)
            }
            Self::Timestamptz => {
                let micros = i64::from_be_bytes(fixed(bytes)?);
                let value = Timestamp::from_micros_since_2000(micros);
                ValueRef::Timestamp(value.ok_or_else(malformed)?)
            }
            Self::Interval => {
                let mut bytes = Reader(bytes);
                let micros = i64::from_be_bytes(bytes.take()?);
                let days = i32::from_be_bytes(bytes.take()?);
                let months = i32::from_be_bytes(bytes.take()?);
                bytes.end()?;
                ValueRef::Interval(Interval::new(months, days, micros))
            }
            Self::Uuid => ValueRef::Uuid(Uuid::from_bytes(fixed(bytes)?)),
            Self::Json => ValueRef::Json(utf8(bytes)?),
            Self::Jsonb => match bytes.split_first() {
                Some((&JSONB_VERSION, text)) => ValueRef::Json(utf8(text)?),
                _ => return Err(malformed()),
            },
            Self::Void => ValueRef::Null,
            Self::Custom(codec) => codec.decode(bytes)?,
            // Digits only where the server has a number and no name for it.
            Self::Numbered(_) => ValueRef::Text(utf8(bytes)?),
            Self::Other => {
                utf8(bytes)?;
                ValueRef::Other { type_name, bytes, is_text: true }
            }
            Self::Array(_)
            | Self::Range(_)
            | Self::Multirange(_)
            | Self::Composite(_)
            | Self::Record
            | Self::Hstore
            | Self::Literal(_) => return Err(malformed()),
        })
    }
}

fn date(days: i32) -> Result<Date> {
    match days {
        i32::MAX => Ok(Date::INFINITY),
        i32::MIN => Ok(Date::NEG_INFINITY),
        _ => days.checked_add(DAYS_TO_2000).and_then(Date::from_days).ok_or_else(malformed),
    }
}

/// `"char"` is a byte; one that is no text by itself stays a byte.
fn char<'a>(type_name: &'a TypeName, bytes: &'a [u8]) -> Result<ValueRef<'a>> {
    Ok(match bytes {
        [] | [0] => ValueRef::Text(""),
        [byte] if byte.is_ascii() => ValueRef::Text(utf8(bytes)?),
        [_] => ValueRef::Other { type_name, bytes, is_text: false },
        _ => return Err(malformed()),
    })
}

fn numeric(bytes: &[u8]) -> Result<Decimal> {
    let mut bytes = Reader(bytes);
    let count = u16::from_be_bytes(bytes.take()?);
    let weight = i16::from_be_bytes(bytes.take()?);
    let sign = Sign::from_code(u16::from_be_bytes(bytes.take()?)).ok_or_else(malformed)?;
    let dscale = u16::from_be_bytes(bytes.take()?);
    if bytes.0.len() != usize::from(count) * 2 {
        return Err(malformed());
    }
    // No digits is zero whatever the weight says, which must not ask for memory then.
    let weight = if count == 0 { 0 } else { weight };
    let digits = bytes.0.chunks_exact(2).map(|digit| u16::from_be_bytes([digit[0], digit[1]]));
    Decimal::from_base10000(digits, weight, sign, dscale).map_err(|_| malformed())
}
