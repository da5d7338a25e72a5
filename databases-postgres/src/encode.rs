//! How parameters are written: in the server's type, checked whole before the driver sees any of it.
//!
//! A value either becomes exactly what it is in the server's type, or is an error; an integer is never cut off and a
//! double never becomes a decimal. The one loss is the one the server itself makes: a double is rounded to the nearest
//! `real` where the column is one.

use std::fmt;
use std::ops::Range;

use bytes::BytesMut;
use databases_core::types::Decimal;
use databases_core::{Arg, Array, Error, ErrorKind, Result, Value};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use crate::types::{Codec, DAYS_TO_2000, JSONB_VERSION};

/// The longest message that the server takes; `PQ_LARGE_MESSAGE_LIMIT` in its source.
pub(crate) const MAX_MESSAGE_BYTES: usize = 0x3fff_fffe;
/// The protocol counts parameters in 16 bits.
const MAX_PARAMETERS: usize = 65_535;

/// A parameter as the server types it.
#[derive(Clone, Debug)]
pub(crate) struct Param {
    pub(crate) codec: Codec,
    pub(crate) ty: Type,
}

impl Param {
    pub(crate) fn new(ty: &Type) -> Self {
        Self { codec: Codec::of(ty), ty: ty.clone() }
    }

    /// Whether this is text: what the server also says of a parameter that it knows nothing of, and what it casts
    /// values of every type to in an assignment.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.ty, Type::TEXT | Type::VARCHAR | Type::BPCHAR)
    }
}

/// The bytes of all parameters of a statement.
#[derive(Default)]
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

struct Slot {
    format: Format,
    /// `None` for NULL.
    range: Option<Range<usize>>,
}

impl Encoded {
    /// Writes `args`, of which there are as many as `params`.
    ///
    /// # Errors
    ///
    /// `Encode` naming the parameter, the server's type and the value's kind; `LimitExceeded`. Nothing is sent then.
    pub(crate) fn new(args: &[Arg], params: &[Param]) -> Result<Self> {
        if args.len() > MAX_PARAMETERS {
            let message = format!("{} parameters; the protocol has room for {MAX_PARAMETERS}", args.len());
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        let mut encoded = Self { bytes: Vec::with_capacity(args.len() * 8), slots: Vec::with_capacity(args.len()) };
        for (index, (arg, param)) in args.iter().zip(params).enumerate() {
            let start = encoded.bytes.len();
            let mut format = Format::Binary;
            let range = match &arg.value {
                Value::Null => None,
                value => {
                    encode(&param.codec, &param.ty, value, &mut encoded.bytes, &mut format)
                        .map_err(|problem| problem.of(index, &param.ty, value))?;
                    Some(start..encoded.bytes.len())
                }
            };
            encoded.slots.push(Slot { format, range });
            if encoded.bytes.len() + args.len() * 8 > MAX_MESSAGE_BYTES {
                return Err(Error::new(
                    ErrorKind::LimitExceeded,
                    "the parameters take more than 1 GiB, the server's limit for a message",
                ));
            }
        }
        Ok(encoded)
    }

    /// The parameters for the driver.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Ready<'_>> {
        self.slots
            .iter()
            .map(|slot| Ready { format: slot.format, bytes: slot.range.clone().map(|range| &self.bytes[range]) })
    }
}

/// An encoded parameter. Copying it into the driver's buffer cannot fail.
pub(crate) struct Ready<'a> {
    format: Format,
    bytes: Option<&'a [u8]>,
}

// The driver logs its parameters at level debug.
impl fmt::Debug for Ready<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

impl ToSql for Ready<'_> {
    fn to_sql(&self, _ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match self.bytes {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    fn accepts(_ty: &Type) -> bool {
        true
    }

    fn encode_format(&self, _ty: &Type) -> Format {
        self.format
    }

    to_sql_checked!();
}

/// Why a value does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    /// No rule takes this kind of value to this type.
    Kind,
    /// The value is out of the type's range or would lose digits.
    Inexact,
    /// The text does not have the type's form.
    Form,
    /// The text holds a NUL, which PostgreSQL has no text for.
    Nul,
    /// An item of the array.
    Item(usize, &'static str),
    /// A double where a decimal is wanted.
    Double,
}

impl Problem {
    #[cold]
    fn of(self, index: usize, ty: &Type, value: &Value) -> Error {
        let (ty, what) = (ty.name(), value.as_ref().describe());
        let why = match self {
            Self::Kind => format!("{what} cannot be bound as {ty}"),
            Self::Inexact => format!("{what} does not fit {ty} exactly"),
            Self::Form => format!("this {what} does not have the form of {ty}"),
            Self::Nul => format!("{what} with a NUL cannot be bound as {ty}"),
            Self::Item(item, why) => format!("item {item} of {what} {why} {ty}"),
            Self::Double => format!("{what} cannot be bound as {ty}: its digits are not exact"),
        };
        let error = Error::new(ErrorKind::Encode, format!("parameter ${}: {why}", index + 1));
        match self {
            Self::Double => error.with_hint("bind a Decimal, or cast in SQL: CAST(:name AS double precision)"),
            _ => error,
        }
    }

    fn of_item(self, item: usize) -> Self {
        Self::Item(
            item,
            match self {
                Self::Inexact => "does not fit exactly in",
                Self::Form => "does not have the form of an item of",
                Self::Nul => "holds a NUL, which cannot be bound as",
                Self::Kind | Self::Item(..) | Self::Double => "cannot be bound in",
            },
        )
    }
}

fn encode(codec: &Codec, ty: &Type, value: &Value, out: &mut Vec<u8>, format: &mut Format) -> Result<(), Problem> {
    match (codec, value) {
        (Codec::Array(element, oid), Value::Array(array)) => encode_array(element, *oid, array, out),
        // The server reads the text of what only it knows: an inet, a range, an array literal.
        (Codec::Other | Codec::Array(..) | Codec::Oid, Value::Text(text)) => {
            *format = Format::Text;
            put_text(text, out)
        }
        (_, Value::Other(other)) if other.type_name.as_str() == ty.name() => {
            out.extend_from_slice(&other.bytes);
            Ok(())
        }
        _ => encode_scalar(codec, value, out),
    }
}

fn encode_scalar(codec: &Codec, value: &Value, out: &mut Vec<u8>) -> Result<(), Problem> {
    match codec {
        Codec::Bool => match value {
            Value::Bool(value) => out.push(u8::from(*value)),
            _ => return Err(Problem::Kind),
        },
        Codec::Int2 => put(out, i16::try_from(integer(value)?).map_err(inexact)?.to_be_bytes()),
        Codec::Int4 => put(out, i32::try_from(integer(value)?).map_err(inexact)?.to_be_bytes()),
        Codec::Int8 => put(out, integer(value)?.to_be_bytes()),
        Codec::Oid => put(out, u32::try_from(integer(value)?).map_err(inexact)?.to_be_bytes()),
        Codec::Float4 => put(out, single(double(value)?)?.to_be_bytes()),
        Codec::Float8 => put(out, double(value)?.to_be_bytes()),
        Codec::Numeric => put_numeric(&decimal(value)?, out),
        Codec::Text => match value {
            Value::Text(text) => put_text(text, out)?,
            Value::Json(json) => put_text(json.as_str(), out)?,
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
            Value::Uuid(uuid) => put(out, *uuid.as_bytes()),
            Value::Text(text) => {
                let uuid: databases_core::types::Uuid = parse(text)?;
                put(out, *uuid.as_bytes());
            }
            _ => return Err(Problem::Kind),
        },
        Codec::Date | Codec::Time | Codec::Timestamp | Codec::Timestamptz | Codec::Interval => {
            return encode_time(codec, value, out);
        }
        Codec::Void | Codec::Array(..) | Codec::Other => return Err(Problem::Kind),
    }
    Ok(())
}

fn encode_time(codec: &Codec, value: &Value, out: &mut Vec<u8>) -> Result<(), Problem> {
    use databases_core::types::{Date, DateTime, Interval, Time, Timestamp};
    match (codec, value) {
        (Codec::Date, Value::Date(date)) => put_date(*date, out),
        (Codec::Date, Value::Text(text)) => put_date(parse::<Date>(text)?, out),
        (Codec::Time, Value::Time(time)) => put(out, time.micros().to_be_bytes()),
        (Codec::Time, Value::Text(text)) => put(out, parse::<Time>(text)?.micros().to_be_bytes()),
        // The session is UTC, so both are the same count.
        (Codec::Timestamp | Codec::Timestamptz, Value::DateTime(value)) => {
            put(out, value.micros_since_2000().to_be_bytes());
        }
        (Codec::Timestamp | Codec::Timestamptz, Value::Timestamp(value)) => {
            put(out, value.micros_since_2000().to_be_bytes());
        }
        (Codec::Timestamp, Value::Text(text)) => {
            put(out, parse::<DateTime>(text)?.micros_since_2000().to_be_bytes());
        }
        (Codec::Timestamptz, Value::Text(text)) => {
            put(out, parse::<Timestamp>(text)?.micros_since_2000().to_be_bytes());
        }
        (Codec::Interval, Value::Interval(interval)) => put_interval(*interval, out),
        (Codec::Interval, Value::Text(text)) => put_interval(parse::<Interval>(text)?, out),
        _ => return Err(Problem::Kind),
    }
    Ok(())
}

fn put<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) {
    out.extend_from_slice(&bytes);
}

fn inexact<E>(_: E) -> Problem {
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
        Value::Int(value) => exact_double(*value as f64, i128::from(*value)),
        Value::UInt(value) => exact_double(*value as f64, i128::from(*value)),
        Value::Decimal(value) if value.is_nan() => Ok(f64::NAN),
        Value::Decimal(value) => value.to_f64_exact().ok_or(Problem::Inexact),
        Value::Text(text) => parse(text),
        _ => Err(Problem::Kind),
    }
}

fn exact_double(double: f64, integer: i128) -> Result<f64, Problem> {
    if double as i128 == integer { Ok(double) } else { Err(Problem::Inexact) }
}

/// The nearest single; as in the server's own cast, a finite value must stay finite and not become zero.
fn single(value: f64) -> Result<f32, Problem> {
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

fn put_text(text: &str, out: &mut Vec<u8>) -> Result<(), Problem> {
    if text.as_bytes().contains(&0) {
        return Err(Problem::Nul);
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn put_numeric(value: &Decimal, out: &mut Vec<u8>) {
    let parts = value.to_base10000();
    // At most 36,864 groups by the type's own limits.
    put(out, (parts.digits.len() as u16).to_be_bytes());
    put(out, parts.weight.to_be_bytes());
    put(out, parts.sign.code().to_be_bytes());
    put(out, parts.dscale.to_be_bytes());
    for digit in parts.digits {
        put(out, digit.to_be_bytes());
    }
}

fn put_date(date: databases_core::types::Date, out: &mut Vec<u8>) {
    let days = match date.days() {
        Some(days) => days - DAYS_TO_2000,
        None if date == databases_core::types::Date::INFINITY => i32::MAX,
        None => i32::MIN,
    };
    put(out, days.to_be_bytes());
}

fn put_interval(interval: databases_core::types::Interval, out: &mut Vec<u8>) {
    put(out, interval.micros.to_be_bytes());
    put(out, interval.days.to_be_bytes());
    put(out, interval.months.to_be_bytes());
}

fn encode_array(element: &Codec, oid: u32, array: &Array, out: &mut Vec<u8>) -> Result<(), Problem> {
    let items = array.items();
    let has_null = items.iter().any(Value::is_null);
    put(out, i32::from(!items.is_empty()).to_be_bytes());
    put(out, i32::from(has_null).to_be_bytes());
    put(out, oid.to_be_bytes());
    if items.is_empty() {
        return Ok(());
    }
    put(out, i32::try_from(items.len()).map_err(inexact)?.to_be_bytes());
    put(out, 1_i32.to_be_bytes());
    for (index, item) in items.iter().enumerate() {
        if item.is_null() {
            put(out, (-1_i32).to_be_bytes());
            continue;
        }
        let start = out.len();
        put(out, [0; 4]);
        encode_scalar(element, item, out).map_err(|problem| problem.of_item(index))?;
        let len = i32::try_from(out.len() - start - 4).map_err(inexact)?;
        out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    }
    Ok(())
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
