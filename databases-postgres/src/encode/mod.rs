//! How parameters are written: in the server's type, checked whole before the driver sees any of it.
//!
//! A value either becomes exactly what it is in the server's type, or is an error; an integer is never cut off and a
//! double never becomes a decimal. The one loss is the one the server itself makes: a double is rounded to the nearest
//! `real` where the column is one.

mod literal;
mod nested;
mod problem;
mod scalar;

use std::fmt;
use std::ops::Range;

use bytes::BytesMut;
use databases_core::{Arg, Array, ArrayShape, Codecs, Error, ErrorKind, Result, Value};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use problem::Problem;
use scalar::put_text;

use crate::types::Codec;

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
    pub(crate) fn new(ty: &Type, codecs: &Codecs) -> Self {
        Self { codec: Codec::of(ty, codecs), ty: ty.clone() }
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
            encoded.slots.push(match &arg.value {
                Value::Null => Slot { format: Format::Binary, range: None },
                value => {
                    let format = encode(&param.codec, &param.ty, value, &mut encoded.bytes)
                        .map_err(|problem| problem.of(index, &param.ty, value))?;
                    Slot { format, range: Some(start..encoded.bytes.len()) }
                }
            });
            if encoded.bytes.len() + args.len() * 8 > MAX_MESSAGE_BYTES {
                return Err(Error::new(
                    ErrorKind::LimitExceeded,
                    "the parameters take more than 1 GiB, the server's limit for a message",
                ));
            }
        }
        Ok(encoded)
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
        (_, Value::Other(other)) if other.type_name.as_str() == ty.name() => out.extend_from_slice(&other.bytes),
        // The server reads the text of what only it knows, and of what has items: `{1,2}`, `[1,5)`.
        (_, Value::Text(text)) if reads_text(codec) => {
            put_text(text, out)?;
            return Ok(Format::Text);
        }
        (Codec::Numbered, Value::Int(_) | Value::UInt(_)) => {
            literal::put_number(value, out)?;
            return Ok(Format::Text);
        }
        (Codec::Literal(delimiter), Value::Array(array)) => {
            literal::put_array(array, *delimiter, out)?;
            return Ok(Format::Text);
        }
        (Codec::Array(element), Value::Array(array)) if reads_text(&element.codec) && holds_text(array) => {
            literal::put_array(array, b',', out)?;
            return Ok(Format::Text);
        }
        _ => nested::put(codec, value, out)?,
    }
    Ok(Format::Binary)
}

/// Whether a text for this type is the server's text of the value.
fn reads_text(codec: &Codec) -> bool {
    codec.is_nested()
        || matches!(codec, Codec::Other | Codec::Numbered | Codec::Literal(_) | Codec::Custom(_) | Codec::Oid)
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
