//! How the server's types are read: each cell from its bytes, lazily, and never more memory than the bytes justify.
//!
//! Binary forms: `*_send` in <https://github.com/postgres/postgres/tree/master/src/backend/utils/adt>.

use databases_core::types::{Date, DateTime, Decimal, Interval, Sign, Time, Timestamp, Uuid};
use databases_core::{Array, Error, ErrorKind, Result, TypeName, Value, ValueKind, ValueRef};
use tokio_postgres::types::{Kind, Type};

/// How values of one server type are written and read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Bool,
    Int2,
    Int4,
    Int8,
    /// `oid` and the types that are one: unsigned, 32 bits.
    Oid,
    Float4,
    Float8,
    Numeric,
    /// Everything whose binary form is its text: text, enums, citext, …
    Text,
    /// `"char"`: one byte.
    Char,
    Bytea,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    Void,
    /// An array of an element that has a codec, and the element's oid.
    Array(Box<Codec>, u32),
    /// A type that only the server understands.
    Other,
}

/// Days from 1970-01-01, from which [`Date`] counts, to 2000-01-01, from which PostgreSQL counts.
pub(crate) const DAYS_TO_2000: i32 = 10_957;
/// The version byte before the text of a `jsonb`.
pub(crate) const JSONB_VERSION: u8 = 1;

impl Codec {
    pub(crate) fn of(ty: &Type) -> Self {
        match *ty {
            Type::BOOL => Self::Bool,
            Type::INT2 => Self::Int2,
            Type::INT4 => Self::Int4,
            Type::INT8 => Self::Int8,
            Type::OID
            | Type::XID
            | Type::CID
            | Type::REGCLASS
            | Type::REGTYPE
            | Type::REGPROC
            | Type::REGPROCEDURE
            | Type::REGOPER
            | Type::REGOPERATOR
            | Type::REGROLE
            | Type::REGNAMESPACE
            | Type::REGCONFIG
            | Type::REGDICTIONARY
            | Type::REGCOLLATION => Self::Oid,
            Type::FLOAT4 => Self::Float4,
            Type::FLOAT8 => Self::Float8,
            Type::NUMERIC => Self::Numeric,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::XML | Type::UNKNOWN | Type::CSTRING => {
                Self::Text
            }
            Type::CHAR => Self::Char,
            Type::BYTEA => Self::Bytea,
            Type::DATE => Self::Date,
            Type::TIME => Self::Time,
            Type::TIMESTAMP => Self::Timestamp,
            Type::TIMESTAMPTZ => Self::Timestamptz,
            Type::INTERVAL => Self::Interval,
            Type::UUID => Self::Uuid,
            Type::JSON => Self::Json,
            Type::JSONB => Self::Jsonb,
            Type::VOID => Self::Void,
            _ => match ty.kind() {
                Kind::Enum(_) => Self::Text,
                Kind::Domain(base) => Self::of(base),
                Kind::Array(element) => match Self::of(element) {
                    // One dimension only: an array of a domain over an array is the server's business.
                    Self::Other | Self::Array(..) | Self::Void => Self::Other,
                    codec => Self::Array(Box::new(codec), element.oid()),
                },
                _ if ty.name() == "citext" => Self::Text,
                _ => Self::Other,
            },
        }
    }

    /// The kind of the values that cells of this type hold.
    fn kind(&self) -> ValueKind {
        match self {
            Self::Bool => ValueKind::Bool,
            Self::Int2 => ValueKind::Int16,
            Self::Int4 => ValueKind::Int32,
            Self::Int8 | Self::Oid => ValueKind::Int,
            Self::Float4 => ValueKind::Float32,
            Self::Float8 => ValueKind::Float,
            Self::Numeric => ValueKind::Decimal,
            Self::Text | Self::Char => ValueKind::Text,
            Self::Bytea => ValueKind::Bytes,
            Self::Date => ValueKind::Date,
            Self::Time => ValueKind::Time,
            Self::Timestamp => ValueKind::DateTime,
            Self::Timestamptz => ValueKind::Timestamp,
            Self::Interval => ValueKind::Interval,
            Self::Uuid => ValueKind::Uuid,
            Self::Json | Self::Jsonb => ValueKind::Json,
            Self::Array(..) => ValueKind::Array,
            Self::Void | Self::Other => ValueKind::Other,
        }
    }

    /// Reads a value that is not NULL.
    pub(crate) fn decode<'a>(&self, type_name: &'a TypeName, bytes: &'a [u8]) -> Result<ValueRef<'a>> {
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
            Self::Array(element, _) => match array(element, type_name, bytes)? {
                Some(array) => ValueRef::Array(Box::new(array)),
                None => ValueRef::Other { type_name, bytes },
            },
            Self::Other => ValueRef::Other { type_name, bytes },
        })
    }
}

#[cold]
fn malformed() -> Error {
    Error::new(ErrorKind::Decode, "the bytes are not what their type says")
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| malformed())
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::Decode, "the text is not UTF-8"))
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
        [_] => ValueRef::Other { type_name, bytes },
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

/// Bytes of which the front is taken off.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    fn slice(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len).ok_or_else(malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn end(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(malformed()) }
    }
}

/// Reads an array of one dimension; `None` for one of more.
fn array(element: &Codec, type_name: &TypeName, bytes: &[u8]) -> Result<Option<Array>> {
    let mut bytes = Reader(bytes);
    let dimensions = i32::from_be_bytes(bytes.take()?);
    let _has_null: [u8; 4] = bytes.take()?;
    let _element_oid: [u8; 4] = bytes.take()?;
    let count = match dimensions {
        0 => 0,
        1 => {
            let count = i32::from_be_bytes(bytes.take()?);
            let _lower_bound: [u8; 4] = bytes.take()?;
            usize::try_from(count).map_err(|_| malformed())?
        }
        2..=6 => return Ok(None),
        _ => return Err(malformed()),
    };
    // Each item has a length of four bytes: a count beyond that is a lie.
    if count > bytes.0.len() / 4 {
        return Err(malformed());
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        let len = i32::from_be_bytes(bytes.take()?);
        items.push(match usize::try_from(len) {
            Ok(len) => element.decode(type_name, bytes.slice(len)?)?.to_value(),
            Err(_) if len == -1 => Value::Null,
            Err(_) => return Err(malformed()),
        });
    }
    bytes.end()?;
    Ok(Some(Array::new(items, element.kind())))
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
