//! How the server's types are read: each cell from its bytes, lazily, and never more memory than the bytes justify.
//!
//! A type that has a codec is asked for in its binary form, every other one in the server's text of it: then any type can
//! be read, also one without a binary form (`aclitem`) or of an extension, and nothing about it must be looked up.
//!
//! Binary forms: `*_send` in <https://github.com/postgres/postgres/tree/master/src/backend/utils/adt>.

mod literal;
mod nested;
mod reader;
mod scalar;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use databases_core::{Codecs, Result, TypeCodec, TypeName, ValueKind, ValueRef};
use tokio_postgres::types::{Kind, Type};

pub(crate) use nested::{
    MAX_DIMENSIONS, RANGE_EMPTY, RANGE_LOWER_INCLUSIVE, RANGE_LOWER_INFINITE, RANGE_UPPER_INCLUSIVE,
    RANGE_UPPER_INFINITE,
};
pub(crate) use scalar::{DAYS_TO_2000, JSONB_VERSION};

use nested::Decoder;
use reader::{Room, utf8};

/// How deep types may be nested; what is deeper is read as text.
const MAX_DEPTH: usize = 32;
/// How many types a type may be made of; one that has more is read as text.
const MAX_PARTS: usize = 8192;

/// How values of one server type are written and read.
#[derive(Clone, Debug)]
pub(crate) enum Codec {
    Bool,
    Int2,
    Int4,
    Int8,
    /// Unsigned, 32 bits.
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
    Array(Arc<Element>),
    Range(Arc<Element>),
    Multirange(Arc<Element>),
    /// A composite type, by its fields.
    Composite(Arc<[Element]>),
    /// A record that only says itself what is in it.
    Record,
    Hstore,
    /// A type that a codec was registered for.
    Custom(Arc<dyn TypeCodec>),
    /// A type that only the server understands: its text, which is no text to anyone else.
    Other,
    /// The same of a type that is a number to some, up to this one: `regclass` and its like, `xid8`.
    Numbered(u64),
    /// An array of elements that only the server understands: its text.
    Literal(Arc<Items>),
}

/// The items of an array that is known in text only.
#[derive(Debug)]
pub(crate) struct Items {
    /// What separates them.
    pub(crate) delimiter: u8,
    pub(crate) codec: Codec,
    pub(crate) type_name: TypeName,
}

/// A type that another one is made of.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) codec: Codec,
    pub(crate) oid: u32,
}

/// Where reading a value shows that a composite type is no longer what it was when it was looked up.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// What a connection is told.
    told: Arc<AtomicBool>,
    /// Rows may be read again long after: it is told once.
    noted: AtomicBool,
}

impl Changes {
    pub(crate) fn telling(told: &Arc<AtomicBool>) -> Self {
        Self { told: told.clone(), noted: AtomicBool::new(false) }
    }

    #[cold]
    fn note(&self) {
        if !self.noted.swap(true, Relaxed) {
            self.told.store(true, Relaxed);
        }
    }
}

impl Codec {
    pub(crate) fn of(ty: &Type, codecs: &Codecs) -> Self {
        Builder { codecs, parts: 0 }.codec(ty, 0)
    }

    /// Whether cells of this type are asked for in text.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Other | Self::Numbered(_) | Self::Literal(_))
    }

    /// Whether values of this type are made of values, in their binary form.
    pub(crate) fn is_nested(&self) -> bool {
        matches!(
            self,
            Self::Array(_) | Self::Range(_) | Self::Multirange(_) | Self::Composite(_) | Self::Record | Self::Hstore
        )
    }

    /// The kind of the values that an array of this type holds.
    fn item_kind(&self) -> ValueKind {
        match self {
            Self::Bool => ValueKind::Bool,
            Self::Int2 => ValueKind::Int16,
            Self::Int4 => ValueKind::Int32,
            Self::Int8 | Self::Oid => ValueKind::Int,
            Self::Float4 => ValueKind::Float32,
            Self::Float8 => ValueKind::Float,
            Self::Numeric => ValueKind::Decimal,
            Self::Text | Self::Char | Self::Numbered(_) => ValueKind::Text,
            Self::Bytea => ValueKind::Bytes,
            Self::Date => ValueKind::Date,
            Self::Time => ValueKind::Time,
            Self::Timestamp => ValueKind::DateTime,
            Self::Timestamptz => ValueKind::Timestamp,
            Self::Interval => ValueKind::Interval,
            Self::Uuid => ValueKind::Uuid,
            Self::Json | Self::Jsonb => ValueKind::Json,
            Self::Array(_)
            | Self::Range(_)
            | Self::Multirange(_)
            | Self::Composite(_)
            | Self::Record
            | Self::Hstore
            | Self::Literal(_) => ValueKind::Array,
            Self::Custom(_) => ValueKind::Any,
            Self::Other | Self::Void => ValueKind::Other,
        }
    }

    /// Reads a value that is not NULL.
    #[inline]
    pub(crate) fn decode<'a>(
        &self,
        type_name: &'a TypeName,
        bytes: &'a [u8],
        changes: &Changes,
    ) -> Result<ValueRef<'a>> {
        match self {
            Self::Array(_)
            | Self::Range(_)
            | Self::Multirange(_)
            | Self::Composite(_)
            | Self::Record
            | Self::Hstore
            | Self::Literal(_) => self.made_of_values(type_name, bytes, changes),
            _ => self.scalar(type_name, bytes),
        }
    }

    fn made_of_values<'a>(&self, type_name: &TypeName, bytes: &[u8], changes: &Changes) -> Result<ValueRef<'a>> {
        let room = Room::of(bytes);
        let array = match self {
            Self::Literal(items) => literal::array(utf8(bytes)?, items, room)?,
            _ => Decoder { type_name, room, depth: 0, changes }.nested(self, bytes)?,
        };
        Ok(ValueRef::Array(Box::new(array)))
    }
}

/// Finds the codec of a type made of types.
struct Builder<'a> {
    codecs: &'a Codecs,
    /// How many types have been seen.
    parts: usize,
}

impl Builder<'_> {
    fn codec(&mut self, ty: &Type, depth: usize) -> Codec {
        self.parts += 1;
        if depth > MAX_DEPTH || self.parts > MAX_PARTS {
            return Codec::Other;
        }
        if let Some(codec) = self.codecs.get(ty.name()) {
            return Codec::Custom(codec.clone());
        }
        if let Some(codec) = built_in(ty) {
            return codec;
        }
        match ty.kind() {
            Kind::Enum(_) => Codec::Text,
            Kind::Domain(base) => self.codec(base, depth + 1),
            Kind::Array(element) => {
                let codec = self.codec(element, depth + 1);
                if codec.is_text() {
                    // The one built-in type whose items are not separated by commas.
                    let delimiter = if *element == Type::BOX { b';' } else { b',' };
                    return Codec::Literal(Items { delimiter, codec, type_name: base(element).name().into() }.into());
                }
                Codec::Array(Element { codec, oid: element.oid() }.into())
            }
            Kind::Range(element) => {
                self.element(element, depth).map_or(Codec::Other, |element| Codec::Range(element.into()))
            }
            Kind::Multirange(element) => {
                self.element(element, depth).map_or(Codec::Other, |element| Codec::Multirange(element.into()))
            }
            Kind::Composite(fields) => {
                let fields: Option<_> = fields.iter().map(|field| self.element(field.type_(), depth)).collect();
                fields.map_or(Codec::Other, Codec::Composite)
            }
            Kind::Simple if ty.name() == "citext" => Codec::Text,
            Kind::Simple if ty.name() == "hstore" => Codec::Hstore,
            _ => Codec::Other,
        }
    }

    /// A part of a type; `None` if it is known as text only, which has no place in a binary form.
    fn element(&mut self, ty: &Type, depth: usize) -> Option<Element> {
        let codec = self.codec(ty, depth + 1);
        (!codec.is_text()).then(|| Element { codec, oid: ty.oid() })
    }
}

/// A type's name as SQL writes it: `int4[]` for what the server calls `_int4` in its catalog.
pub(crate) fn sql_name(ty: &Type) -> Cow<'_, str> {
    match ty.kind() {
        Kind::Array(item) if ty.name().starts_with('_') => format!("{}[]", item.name()).into(),
        // The driver calls it a pseudo-type and not an array.
        _ if *ty == Type::RECORD_ARRAY => "record[]".into(),
        _ => ty.name().into(),
    }
}

/// The type that a domain is of, by which the server calls a column of it.
fn base(mut ty: &Type) -> &Type {
    while let Kind::Domain(inner) = ty.kind() {
        ty = inner;
    }
    ty
}

fn built_in(ty: &Type) -> Option<Codec> {
    Some(match *ty {
        Type::BOOL => Codec::Bool,
        Type::INT2 => Codec::Int2,
        Type::INT4 => Codec::Int4,
        Type::INT8 => Codec::Int8,
        Type::OID | Type::XID | Type::CID => Codec::Oid,
        Type::REGCLASS
        | Type::REGTYPE
        | Type::REGPROC
        | Type::REGPROCEDURE
        | Type::REGOPER
        | Type::REGOPERATOR
        | Type::REGROLE
        | Type::REGNAMESPACE
        | Type::REGCONFIG
        | Type::REGDICTIONARY
        | Type::REGCOLLATION => Codec::Numbered(u32::MAX.into()),
        Type::XID8 => Codec::Numbered(u64::MAX),
        Type::FLOAT4 => Codec::Float4,
        Type::FLOAT8 => Codec::Float8,
        Type::NUMERIC => Codec::Numeric,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::XML | Type::UNKNOWN | Type::CSTRING => {
            Codec::Text
        }
        Type::CHAR => Codec::Char,
        Type::BYTEA => Codec::Bytea,
        Type::DATE => Codec::Date,
        Type::TIME => Codec::Time,
        Type::TIMESTAMP => Codec::Timestamp,
        Type::TIMESTAMPTZ => Codec::Timestamptz,
        Type::INTERVAL => Codec::Interval,
        Type::UUID => Codec::Uuid,
        Type::JSON => Codec::Json,
        Type::JSONB => Codec::Jsonb,
        Type::VOID => Codec::Void,
        Type::RECORD => Codec::Record,
        // The driver calls it a pseudo-type and not an array.
        Type::RECORD_ARRAY => Codec::Array(Element { codec: Codec::Record, oid: Type::RECORD.oid() }.into()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
