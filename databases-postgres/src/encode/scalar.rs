//! Values that are not made of values.

use databases_core::types::Decimal;
use databases_core::{Result, Value};

use super::problem::Problem;
use crate::types::{Codec, DAYS_TO_2000, JSONB_VERSION};

pub(super) fn put_scalar(codec: &Codec, value: &Value, out: &mut Vec<u8>) -> Result<(), Problem> {
    match codec {
        Codec::Bool => match value {
            Value::Bool(value) => out.push(u8::from(*value)),
            _ => return Err(Problem::Kind),
        },
        Codec::Int2 => put_bytes(out, i16::try_from(integer(value)?).map_err(inexact)?.to_be_bytes()),
        Codec::Int4 => put_bytes(out, i32::try_from(integer(value)?).map_err(inexact)?.to_be_bytes()),
        Codec::Int8 => put_bytes(out, integer(value)?.to_be_bytes()),
        Codec::Oid => put_bytes(out, u32::try_from(integer(value)?).map_err(inexact)?.to_be_bytes()),
        Codec::Float4 => put_bytes(out, single(double(value)?)?.to_be_bytes()),
        Codec::Float8 => put_bytes(out, double(value)?.to_be_bytes()),
        Codec::Numeric => put_numeric(&decimal(value)?, out)?,
        Codec::Text => match value {
            Value::Text(text) => put_text(text, out)?,
            Value::Json(json) => put_text(json.as_str(), out)?,
            Value::Other(other) => put_text(other.text().ok_or(Problem::Kind)?, out)?,
            _ => return Err(Problem::Kind),
        },
        Codec::Char => match value {
            Value::Text(text) if text.is_empty() => out.push(0),
            Value::Text(text) if text.len() == 1 => put_text(text, out)?,
            Value::Text(_) => return Err(Problem::Form),
            _ => return Err(Problem::Kind),
        },
        Codec::Bytea => match value {
            Value::Bytes(bytes) => out.extend_from_slice(bytes),
            _ => return Err(Problem::Kind),
        },
        Codec::Json => put_text(json(value)?, out)?,
        Codec::Jsonb => {
            out.push(JSONB_VERSION);
            put_text(json(value)?, out)?;
        }
        Codec::Uuid => match value {
            Value::Uuid(uuid) => put_bytes(out, *uuid.as_bytes()),
            Value::Text(text) => {
                let uuid: databases_core::types::Uuid = parse(text)?;
                put_bytes(out, *uuid.as_bytes());
            }
            _ => return Err(Problem::Kind),
        },
        Codec::Date | Codec::Time | Codec::Timestamp | Codec::Timestamptz | Codec::Interval => {
            return encode_time(codec, value, out);
        }
        // The server's text of the value has no place among binary ones.
        Codec::Custom(_) if matches!(value, Value::Text(_)) => return Err(Problem::Kind),
        Codec::Custom(codec) => {
            let bytes = codec.encode(value).map_err(|error| Problem::Codec(Box::new(error)))?;
            out.extend_from_slice(&bytes);
        }
        Codec::Void
        | Codec::Array(_)
        | Codec::Range(_)
        | Codec::Multirange(_)
        | Codec::Composite(_)
        | Codec::Record
        | Codec::Hstore
        | Codec::Other
        | Codec::Numbered(_)
        | Codec::Literal(_) => return Err(Problem::Kind),
    }
    Ok(())
}

fn encode_time(codec: &Codec, value: &Value, out: &mut Vec<u8>) -> Result<(), Problem> {
    use databases_core::types::{Date, DateTime, Interval, Time, Timestamp};
    match (codec, value) {
        (Codec::Date, Value::Date(date)) => put_date(*date, out),
        (Codec::Date, Value::Text(text)) => put_date(parse::<Date>(text)?, out),
        (Codec::Time, Value::Time(time)) => put_bytes(out, time.micros().to_be_bytes()),
        (Codec::Time, Value::Text(text)) => put_bytes(out, parse::<Time>(text)?.micros().to_be_bytes()),
        // The session is UTC, so both are the same count.
        (Codec::Timestamp | Codec::Timestamptz, Value::DateTime(value)) => {
            put_bytes(out, value.micros_since_2000().to_be_bytes());
        }
        (Codec::Timestamp | Codec::Timestamptz, Value::Timestamp(value)) => {
            put_bytes(out, value.micros_since_2000().to_be_bytes());
        }
        (Codec::Timestamp, Value::Text(text)) => {
            put_bytes(out, parse::<DateTime>(text)?.micros_since_2000().to_be_bytes());
        }
        (Codec::Timestamptz, Value::Text(text)) => {
            put_bytes(out, parse::<Timestamp>(text)?.micros_since_2000().to_be_bytes());
        }
        (Codec::Interval, Value::Interval(interval)) => put_interval(*interval, out),
        // Not every server has infinite ones; it says so itself where it reads them.
        (Codec::Interval, Value::Text(text)) => match parse::<Interval>(text)? {
            interval if interval.is_finite() => put_interval(interval, out),
            _ => return Err(Problem::Form),
        },
        _ => return Err(Problem::Kind),
    }
    Ok(())
}

pub(super) fn put_bytes<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) {
    out.extend_from_slice(&bytes);
}

pub(super) fn inexact<E>(_: E) -> Problem {
    Problem::Inexact
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::Form)
}

fn integer(value: &Value) -> Result<i64, Problem> {
    match value {
        Value::Int(value) => Ok(*value),
        Value::UInt(value) => i64::try_from(*value).map_err(inexact),
        Value::Decimal(value) => value.to_i64().ok_or(Problem::Inexact),
        Value::Text(text) => parse(text),
        _ => Err(Problem::Kind),
    }
}

fn double(value: &Value) -> Result<f64, Problem> {
    match value {
        Value::Float(value) => Ok(*value),
        Value::Int(value) => exact_double((*value).into()),
        Value::UInt(value) => exact_double((*value).into()),
        Value::Decimal(value) if value.is_nan() => Ok(f64::NAN),
        Value::Decimal(value) => value.to_f64_exact().ok_or(Problem::Inexact),
        Value::Text(text) => {
            let double: f64 = parse(text)?;
            // Digits that stand for a number out of range.
            let is_number = text.bytes().any(|byte| byte.is_ascii_digit());
            if double.is_infinite() && is_number { Err(Problem::Inexact) } else { Ok(double) }
        }
        _ => Err(Problem::Kind),
    }
}

/// An integer of 64 bits.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "what was lost shows in the cast back, which a double that came from 64 bits does not saturate"
)]
fn exact_double(integer: i128) -> Result<f64, Problem> {
    let double = integer as f64;
    if double as i128 == integer { Ok(double) } else { Err(Problem::Inexact) }
}

/// The nearest single; as in the server's own cast, a finite value must stay finite and not become zero.
fn single(value: f64) -> Result<f32, Problem> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the nearest is wanted; too large and too small are looked for"
    )]
    let single = value as f32;
    if (value.is_finite() && !single.is_finite()) || (value != 0.0 && single == 0.0) {
        return Err(Problem::Inexact);
    }
    Ok(single)
}

fn decimal(value: &Value) -> Result<Decimal, Problem> {
    match value {
        Value::Decimal(value) => Ok(value.clone()),
        Value::Int(value) => Ok(Decimal::from(*value)),
        Value::UInt(value) => Ok(Decimal::from(*value)),
        Value::Text(text) => parse(text),
        Value::Float(_) => Err(Problem::Double),
        _ => Err(Problem::Kind),
    }
}

fn json(value: &Value) -> Result<&str, Problem> {
    match value {
        Value::Json(json) => Ok(json.as_str()),
        Value::Text(text) => Ok(text),
        _ => Err(Problem::Kind),
    }
}

pub(super) fn put_text(text: &str, out: &mut Vec<u8>) -> Result<(), Problem> {
    if text.as_bytes().contains(&0) {
        return Err(Problem::Nul);
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn put_numeric(value: &Decimal, out: &mut Vec<u8>) -> Result<(), Problem> {
    let parts = value.to_base10000();
    put_bytes(out, u16::try_from(parts.digits.len()).map_err(inexact)?.to_be_bytes());
    put_bytes(out, parts.weight.to_be_bytes());
    put_bytes(out, parts.sign.code().to_be_bytes());
    put_bytes(out, parts.dscale.to_be_bytes());
    for digit in parts.digits {
        put_bytes(out, digit.to_be_bytes());
    }
    Ok(())
}

fn put_date(date: databases_core::types::Date, out: &mut Vec<u8>) {
    let days = match date.days() {
        Some(days) => days - DAYS_TO_2000,
        None if date == databases_core::types::Date::INFINITY => i32::MAX,
        None => i32::MIN,
    };
    put_bytes(out, days.to_be_bytes());
}

fn put_interval(interval: databases_core::types::Interval, out: &mut Vec<u8>) {
    put_bytes(out, interval.micros.to_be_bytes());
    put_bytes(out, interval.days.to_be_bytes());
    put_bytes(out, interval.months.to_be_bytes());
}
