//! Values: owned on the way in, borrowed on the way out.
//!
//! Few variants, ours, so that no date or decimal crate decides what a server's value may be. A variant says what
//! the server said; what a caller gets is decided by the Rust type that is asked for (see [`FromValue`]).

use std::fmt;
use std::sync::Arc;

use crate::array::Array;
use crate::error::Result;
use crate::row::LiveRow;
use crate::types::{Date, DateTime, Decimal, Interval, JsonText, Time, Timestamp, Uuid};

/// An owned value: a parameter, or a cell taken out of its row.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed integer of any width.
    Int(i64),
    /// An unsigned integer above `i64::MAX`, or of an unsigned column.
    UInt(u64),
    /// A floating point number; single precision is widened.
    Float(f64),
    /// An exact decimal.
    Decimal(Decimal),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A calendar date.
    Date(Date),
    /// A time of day.
    Time(Time),
    /// A date and time without a zone.
    DateTime(DateTime),
    /// An instant, UTC.
    Timestamp(Timestamp),
    /// A span of months, days and microseconds.
    Interval(Interval),
    /// A UUID.
    Uuid(Uuid),
    /// JSON text.
    Json(JsonText),
    /// An array or a `list(..)`.
    Array(Box<Array>),
    /// A value of a type that has no variant here, as the server's bytes.
    Other(Box<Other>),
    /// What its Rust type could not write: an error for the statement that it is bound to.
    Refused(Box<Refused>),
}

const _: () = assert!(size_of::<Value>() <= 32);

// Values are never printed: a `Debug` of a struct that holds one must not leak it.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            _ => write!(f, "{:?}(..)", self.kind()),
        }
    }
}

/// The type of a value, known even where the value is NULL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ValueKind {
    /// Not known: whatever the server takes it for.
    #[default]
    Any,
    /// [`Value::Bool`].
    Bool,
    /// [`Value::Int`] of at most 16 bits.
    Int16,
    /// [`Value::Int`] of at most 32 bits.
    Int32,
    /// [`Value::Int`].
    Int,
    /// [`Value::UInt`].
    UInt,
    /// [`Value::Float`] of single precision.
    Float32,
    /// [`Value::Float`].
    Float,
    /// [`Value::Decimal`].
    Decimal,
    /// [`Value::Text`].
    Text,
    /// [`Value::Bytes`].
    Bytes,
    /// [`Value::Date`].
    Date,
    /// [`Value::Time`].
    Time,
    /// [`Value::DateTime`].
    DateTime,
    /// [`Value::Timestamp`].
    Timestamp,
    /// [`Value::Interval`].
    Interval,
    /// [`Value::Uuid`].
    Uuid,
    /// [`Value::Json`].
    Json,
    /// [`Value::Array`].
    Array,
    /// [`Value::Other`].
    Other,
}

impl Value {
    /// Whether this is SQL NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The kind of this value; `Any` for NULL.
    #[must_use]
    pub fn kind(&self) -> ValueKind {
        match self {
            Self::Null => ValueKind::Any,
            Self::Bool(_) => ValueKind::Bool,
            Self::Int(_) => ValueKind::Int,
            Self::UInt(_) => ValueKind::UInt,
            Self::Float(_) => ValueKind::Float,
            Self::Decimal(_) => ValueKind::Decimal,
            Self::Text(_) => ValueKind::Text,
            Self::Bytes(_) => ValueKind::Bytes,
            Self::Date(_) => ValueKind::Date,
            Self::Time(_) => ValueKind::Time,
            Self::DateTime(_) => ValueKind::DateTime,
            Self::Timestamp(_) => ValueKind::Timestamp,
            Self::Interval(_) => ValueKind::Interval,
            Self::Uuid(_) => ValueKind::Uuid,
            Self::Json(_) => ValueKind::Json,
            Self::Array(_) => ValueKind::Array,
            Self::Other(_) | Self::Refused(_) => ValueKind::Other,
        }
    }

    /// Why the value, or an item in it, cannot be bound.
    pub(crate) fn refusal(&self) -> Option<&Refused> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::Array(array) => array.items().iter().find_map(Self::refusal),
            _ => None,
        }
    }

    /// Borrows the value.
    #[must_use]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Bool(v) => ValueRef::Bool(*v),
            Self::Int(v) => ValueRef::Int(*v),
            Self::UInt(v) => ValueRef::UInt(*v),
            Self::Float(v) => ValueRef::Float(*v),
            Self::Decimal(v) => ValueRef::Decimal(v.clone()),
            Self::Text(v) => ValueRef::Text(v),
            Self::Bytes(v) => ValueRef::Bytes(v),
            Self::Date(v) => ValueRef::Date(*v),
            Self::Time(v) => ValueRef::Time(*v),
            Self::DateTime(v) => ValueRef::DateTime(*v),
            Self::Timestamp(v) => ValueRef::Timestamp(*v),
            Self::Interval(v) => ValueRef::Interval(*v),
            Self::Uuid(v) => ValueRef::Uuid(*v),
            Self::Json(v) => ValueRef::Json(v.as_str()),
            Self::Array(v) => ValueRef::Array(v.clone()),
            Self::Other(v) => ValueRef::Other { type_name: &v.type_name, bytes: &v.bytes, is_text: v.is_text },
            Self::Refused(v) => ValueRef::Other { type_name: &v.class, bytes: &[], is_text: false },
        }
    }
}

/// A server's name of a type, behind one pointer, which keeps [`ValueRef`] small.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TypeName(Arc<str>);

impl TypeName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for TypeName {
    fn from(name: T) -> Self {
        Self(name.into())
    }
}

impl std::ops::Deref for TypeName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A value of a type that [`Value`] has no variant for.
///
/// The server's text of it reads as `String`, and as no number or date: `10110011` of a `bit(8)` is neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Other {
    /// The server's name of the type.
    pub type_name: TypeName,
    /// The value as the server sent it.
    pub bytes: Vec<u8>,
    /// Whether the bytes are the server's text of the value, and not its binary form.
    pub is_text: bool,
}

impl Other {
    /// The server's text of the value, if that is what the server sent.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        text_of(&self.bytes, self.is_text)
    }
}

fn text_of(bytes: &[u8], is_text: bool) -> Option<&str> {
    is_text.then(|| std::str::from_utf8(bytes).ok()).flatten()
}

impl fmt::Debug for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Other({}, {} bytes)", self.type_name.as_str(), self.bytes.len())
    }
}

/// A value that cannot be written: the class of it (`an infinite timestamp`) and the type that has no room for it.
///
/// [`IntoValue`] cannot fail, and neither another value nor NULL may take the place of one that cannot be written. Every
/// statement with such a parameter is an error of kind `Encode` before anything is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    class: TypeName,
    wanted: &'static str,
}

impl Refused {
    /// A value of this `class`, which must not repeat the value, that cannot be written as `wanted`.
    #[must_use]
    pub fn new(class: impl Into<TypeName>, wanted: &'static str) -> Self {
        Self { class: class.into(), wanted }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be written as {}", self.class.as_str(), self.wanted)
    }
}

impl From<Refused> for Value {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

/// A borrowed value: a cell, still in the driver's buffer where that is possible.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// SQL NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed integer of any width.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A floating point number; single precision is widened.
    Float(f64),
    /// An exact decimal.
    Decimal(Decimal),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A calendar date.
    Date(Date),
    /// A time of day.
    Time(Time),
    /// A date and time without a zone.
    DateTime(DateTime),
    /// An instant, UTC.
    Timestamp(Timestamp),
    /// A span of months, days and microseconds.
    Interval(Interval),
    /// A UUID.
    Uuid(Uuid),
    /// JSON text.
    Json(&'a str),
    /// An array.
    Array(Box<Array>),
    /// A value of a type that has no variant here.
    Other {
        /// The server's name of the type.
        type_name: &'a TypeName,
        /// The value as the server sent it.
        bytes: &'a [u8],
        /// Whether the bytes are the server's text of the value, and not its binary form.
        is_text: bool,
    },
}

const _: () = assert!(size_of::<ValueRef<'_>>() <= 32);

impl<'a> ValueRef<'a> {
    /// The text of a [`ValueRef::Other`], if that is what the server sent.
    pub(crate) fn other_text(&self) -> Option<&'a str> {
        match self {
            Self::Other { bytes, is_text, .. } => text_of(bytes, *is_text),
            _ => None,
        }
    }

    /// Whether this is SQL NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The owned value.
    #[inline]
    #[must_use]
    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(v) => Value::Bool(v),
            Self::Int(v) => Value::Int(v),
            Self::UInt(v) => Value::UInt(v),
            Self::Float(v) => Value::Float(v),
            Self::Decimal(v) => Value::Decimal(v),
            Self::Text(v) => Value::Text(v.to_owned()),
            Self::Bytes(v) => Value::Bytes(v.to_vec()),
            Self::Date(v) => Value::Date(v),
            Self::Time(v) => Value::Time(v),
            Self::DateTime(v) => Value::DateTime(v),
            Self::Timestamp(v) => Value::Timestamp(v),
            Self::Interval(v) => Value::Interval(v),
            Self::Uuid(v) => Value::Uuid(v),
            Self::Json(v) => Value::Json(JsonText::new(v)),
            Self::Array(v) => Value::Array(v),
            Self::Other { type_name, bytes, is_text } => {
                Value::Other(Box::new(Other { type_name: type_name.clone(), bytes: bytes.to_vec(), is_text }))
            }
        }
    }

    /// What this is, for error messages: never the value itself.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::UInt(_) => "an integer",
            Self::Float(_) => "a floating point number",
            Self::Decimal(_) => "a decimal",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Date(_) => "a date",
            Self::Time(_) => "a time",
            Self::DateTime(_) => "a timestamp without zone",
            Self::Timestamp(_) => "a timestamp",
            Self::Interval(_) => "an interval",
            Self::Uuid(_) => "a uuid",
            Self::Json(_) => "json",
            Self::Array(array) => array.describe(),
            Self::Other { .. } => "a value of another type",
        }
    }
}

impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValueRef({})", self.describe())
    }
}

/// A Rust type that can be a parameter.
///
/// | Rust | Value |
/// |---|---|
/// | `bool`, `i8` to `i64`, `u16` to `u64`, `isize`, `usize`, `NonZero…`, `f32`, `f64` | themselves |
/// | `i128`, `u128`, [`types::Decimal`](crate::types::Decimal) | decimals |
/// | `String`, `&str`, `Box<str>`, `Arc<str>`, `Rc<str>`, `Cow<str>`, `char` | text |
/// | `Vec<u8>`, `&[u8]`, `[u8; N]`, `Box<[u8]>`, `Arc<[u8]>`, `Cow<[u8]>` | bytes |
/// | the same of every other type | an array, or a list after `IN` |
/// | [`list(..)`](crate::list) of anything that is iterated: sets, queues, iterators | a list |
/// | `HashMap`, `BTreeMap` | PostgreSQL's `hstore` |
/// | [`types`](crate::types), `std::net` addresses, types of other crates behind features | what they are |
/// | `Option<T>`, `&T` | what `T` is, NULL with its type |
///
/// `u8` alone is no value, since a `Vec` of values is an array and one of `u8` is bytes: pass `i16::from(byte)`, and read
/// an `i16`. Newtypes, enums and records have derives.
pub trait IntoValue {
    /// The kind of every value of this type; tells the server the type of a NULL.
    const KIND: ValueKind = ValueKind::Any;

    /// The value to bind.
    fn into_value(self) -> Value;
}

/// A Rust type that a cell can be read as: those of [`IntoValue`] that own what they hold, and tuples for records.
///
/// The value is exact or an error: integers are range-checked, `[u8; 16]` takes 16 bytes, a decimal is no `f64` unless
/// that holds the same number. The error's hint says what to ask for instead.
pub trait FromValue: Sized + Send {
    /// Reads the value.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if the value does not fit this type exactly.
    /// [`Row::get`](crate::Row::get) adds the column's name and type.
    fn from_value(value: ValueRef<'_>) -> Result<Self>;

    /// Reads the cell of a row that a statement stands at.
    #[doc(hidden)]
    #[inline]
    fn from_live(row: &dyn LiveRow, column: usize) -> Result<Self> {
        row.cell(column).and_then(Self::from_value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_prints_a_value() {
        let value = Value::Text("hunter2".to_owned());
        assert_eq!(format!("{value:?}"), "Text(..)");
        assert_eq!(format!("{:?}", value.as_ref()), "ValueRef(text)");
    }
}
