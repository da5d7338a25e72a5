//! How parameters are written: in the server's type, checked whole before the driver sees any of it.
//!
//! A value either becomes exactly what it is in the server's type, or is an error; an integer is never cut off and a
//! double never becomes a decimal. The one loss is the one the server itself makes: a double is rounded to the nearest
//! `real` where the column is one.

mod literal;
mod nested;
mod problem;
mod rows;
mod scalar;

use std::fmt;
use std::ops::Range;

use bytes::BytesMut;
use databases_core::types::{DateTime, Timestamp};
use databases_core::{Arg, Array, ArrayShape, Codecs, Error, ErrorKind, Result, Value, ValueKind};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use problem::Problem;
pub(crate) use rows::{Iter, Rows, put_row};
use scalar::put_text;

use crate::types::Codec;

/// The longest message that the server takes; `PQ_LARGE_MESSAGE_LIMIT` in its source.
pub(crate) const MAX_MESSAGE_BYTES: usize = 0x3fff_fffe;
/// The protocol counts parameters in 16 bits.
pub(crate) const MAX_PARAMETERS: usize = 65_535;

/// A parameter as the server types it.
#[derive(Clone, Debug)]
pub(crate) struct Param {
    pub(crate) codec: Codec,
    pub(crate) ty: Type,
}

impl Param {
    pub(crate) fn new(ty: &Type, codecs: &Codecs) -> Self {
        Self { codec: Codec::of(ty, codecs), ty: ty.clone() }
    }

    /// Whether the server was asked what this type is, which can change.
    pub(crate) fn is_looked_up(&self) -> bool {
        Type::from_oid(self.ty.oid()).is_none()
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
        Self::within(MAX_MESSAGE_BYTES, args, params)
    }

    fn within(most_bytes: usize, args: &[Arg], params: &[Param]) -> Result<Self> {
        if args.len() > MAX_PARAMETERS {
            let message = format!("{} parameters; the protocol has room for {MAX_PARAMETERS}", args.len());
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        let mut encoded = Self { bytes: Vec::with_capacity(args.len() * 8), slots: Vec::with_capacity(args.len()) };
        for (index, (arg, param)) in args.iter().zip(params).enumerate() {
            let start = encoded.bytes.len();
            encoded.slots.push(match &arg.value {
                Value::Null => Slot { format: Format::Binary, range: None },
                value => {
                    let format = encode(&param.codec, &param.ty, value, &mut encoded.bytes)
                        .map_err(|problem| problem.of(index, &param.ty, value))?;
                    Slot { format, range: Some(start..encoded.bytes.len()) }
                }
            });
            if encoded.bytes.len() + args.len() * 8 > most_bytes {
                return Err(too_large());
            }
        }
        Ok(encoded)
    }

    /// Whether the server is to read one of the values from its text.
    pub(crate) fn has_text(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot.format, Format::Text))
    }

    /// The bytes of all parameters.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The parameters for the driver.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Ready<'_>> {
        self.slots
            .iter()
            .map(|slot| Ready { format: slot.format, bytes: slot.range.clone().map(|range| &self.bytes[range]) })
    }
}

/// Refuses a text that a message of the server's has no room for.
pub(crate) fn check_length(what: &str, sql: &str, most_bytes: usize) -> Result<()> {
    if sql.len() > most_bytes {
        let message = format!("the {what} is longer than 1 GiB, the server's limit for a message");
        return Err(Error::new(ErrorKind::LimitExceeded, message));
    }
    Ok(())
}

#[cold]
fn too_large() -> Error {
    Error::new(ErrorKind::LimitExceeded, "the parameters take more than 1 GiB, the server's limit for a message")
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

/// Writes a value that is not NULL, in the format that is returned.
fn encode(codec: &Codec, ty: &Type, value: &Value, out: &mut Vec<u8>) -> Result<Format, Problem> {
    match (codec, value) {
        (_, Value::Other(other)) if other.is_text => {
            let text = other.text().filter(|_| reads_text(codec) || matches!(codec, Codec::Text));
            put_text(text.ok_or(Problem::Kind)?, out)?;
            return Ok(Format::Text);
        }
        (_, Value::Other(other)) if other.type_name.as_str() == ty.name() => out.extend_from_slice(&other.bytes),
        // The server reads the text of what only it knows, and of what has items: `{1,2}`, `[1,5)`.
        (_, Value::Text(text)) if reads_text(codec) => {
            put_text(text, out)?;
            return Ok(Format::Text);
        }
        (Codec::Numbered(max), Value::Int(_) | Value::UInt(_)) => {
            literal::put_number(value, *max, out)?;
            return Ok(Format::Text);
        }
        (Codec::Literal(items), Value::Array(array)) => {
            literal::put_array(array, &items.codec, items.delimiter, out)?;
            return Ok(Format::Text);
        }
        (Codec::Array(element), Value::Array(array)) if matches!(*ty, Type::OID_VECTOR | Type::INT2_VECTOR) => {
            literal::put_vector(&element.codec, array, out)?;
            return Ok(Format::Text);
        }
        (Codec::Array(element), Value::Array(array)) if reads_text(&element.codec) && holds_text(array) => {
            literal::put_array(array, &element.codec, b',', out)?;
            return Ok(Format::Text);
        }
        (_, Value::Text(text)) if is_time(codec) => {
            let start = out.len();
            match nested::put(codec, value, out) {
                Err(Problem::Form) if !would_be_cut(codec, text) => {
                    out.truncate(start);
                    put_text(text, out)?;
                    return Ok(Format::Text);
                }
                result => result?,
            }
        }
        _ => nested::put(codec, value, out)?,
    }
    Ok(Format::Binary)
}

/// Whether a text for this type is the server's text of the value.
fn reads_text(codec: &Codec) -> bool {
    codec.is_nested()
        || matches!(codec, Codec::Other | Codec::Numbered(_) | Codec::Literal(_) | Codec::Custom(_) | Codec::Oid)
}

/// Whether the server knows more forms of text for this type than are read here: `1 day 2 hours`, `now`, `Feb 29 2024`.
fn is_time(codec: &Codec) -> bool {
    matches!(codec, Codec::Date | Codec::Time | Codec::Timestamp | Codec::Timestamptz | Codec::Interval)
}

/// Whether the server would drop a part of this text without a word: a time of day, a date or a zone.
fn would_be_cut(codec: &Codec, text: &str) -> bool {
    let is_moment = |text: &str| text.parse::<DateTime>().is_ok() || text.parse::<Timestamp>().is_ok();
    match codec {
        Codec::Date | Codec::Timestamp => is_moment(text),
        Codec::Time => is_moment(text) || is_moment(&format!("2000-01-01 {text}")),
        _ => false,
    }
}

/// Refuses infinite intervals, which servers before version 17 take for the greatest finite one.
pub(crate) fn check_intervals(args: &[Arg], server_version: impl FnOnce() -> String) -> Result<()> {
    if !args.iter().any(|arg| matches!(arg.value, Value::Interval(_) | Value::Array(_))) {
        return Ok(());
    }
    let Some(index) = args.iter().position(|arg| holds_infinite_interval(&arg.value)) else { return Ok(()) };
    let version = server_version();
    let major: Option<u32> = version.split(|c: char| !c.is_ascii_digit()).next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major| major >= 17) {
        return Ok(());
    }
    let message = format!("parameter ${}: an infinite interval cannot be bound on PostgreSQL {version}", index + 1);
    Err(Error::new(ErrorKind::Encode, message).with_hint("PostgreSQL has infinite intervals from version 17 on"))
}

fn holds_infinite_interval(value: &Value) -> bool {
    match value {
        Value::Interval(interval) => !interval.is_finite(),
        Value::Array(array) => {
            matches!(array.element_kind(), ValueKind::Any | ValueKind::Array | ValueKind::Interval)
                && array.items().iter().any(holds_infinite_interval)
        }
        _ => false,
    }
}

/// Whether the first item that is neither NULL nor an array is text.
fn holds_text(array: &Array) -> bool {
    let first = array.items().iter().find(|item| !item.is_null());
    match first {
        Some(Value::Array(inner)) if inner.shape() == ArrayShape::Sequence => holds_text(inner),
        first => matches!(first, Some(Value::Text(_))),
    }
}

#[cfg(test)]
mod tests;
