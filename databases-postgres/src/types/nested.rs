//! Values made of values: arrays, ranges, records and `hstore`, in their binary forms.
//!
//! `array_send`, `range_send`, `multirange_send`, `record_send` and `hstore_send` in the server's source.

use databases_core::{Array, Codecs, Error, ErrorKind, Result, TypeName, Value, ValueKind};
use tokio_postgres::types::Type;

use super::reader::{Reader, Room, fixed, malformed, utf8};
use super::{Changes, Codec, Element, MAX_DEPTH};

/// The server's own limit.
pub(crate) const MAX_DIMENSIONS: usize = 6;

/// Flags of a range; `RANGE_*` in `rangetypes.h`.
pub(crate) const RANGE_EMPTY: u8 = 0x01;
pub(crate) const RANGE_LOWER_INCLUSIVE: u8 = 0x02;
pub(crate) const RANGE_UPPER_INCLUSIVE: u8 = 0x04;
pub(crate) const RANGE_LOWER_INFINITE: u8 = 0x08;
pub(crate) const RANGE_UPPER_INFINITE: u8 = 0x10;

/// What the parts of one cell share.
pub(super) struct Decoder<'a> {
    /// The type of the column.
    pub(super) type_name: &'a TypeName,
    pub(super) room: Room,
    /// How deep the value is nested so far: a record says itself what is in it.
    pub(super) depth: usize,
    pub(super) changes: &'a Changes,
}

impl Decoder<'_> {
    /// Reads a value made of values.
    pub(super) fn nested(&mut self, codec: &Codec, bytes: &[u8]) -> Result<Array> {
        if self.depth == MAX_DEPTH {
            return Err(Error::new(ErrorKind::Decode, format!("the value is nested more than {MAX_DEPTH} times")));
        }
        self.depth += 1;
        let array = match codec {
            Codec::Array(element) => self.array(&element.codec, bytes),
            Codec::Range(element) => self.range(&element.codec, bytes),
            Codec::Multirange(element) => self.multirange(&element.codec, bytes),
            Codec::Composite(fields) => self.record(Some(fields), bytes),
            Codec::Record => self.record(None, bytes),
            Codec::Hstore => self.hstore(bytes),
            _ => Err(malformed()),
        };
        self.depth -= 1;
        array
    }

    /// Reads an item, a field or a bound.
    fn value(&mut self, codec: &Codec, bytes: &[u8]) -> Result<Value> {
        if codec.is_nested() {
            return Ok(Value::Array(Box::new(self.nested(codec, bytes)?)));
        }
        if let Codec::Numeric = codec {
            self.room.take(digits(bytes)?)?;
        }
        let value = codec.scalar(self.type_name, bytes)?.to_value();
        if let Value::Other(_) = value {
            self.room.take(size_of::<databases_core::Other>())?;
        }
        Ok(value)
    }

    fn item(&mut self, codec: &Codec, bytes: Option<&[u8]>) -> Result<Value> {
        bytes.map_or(Ok(Value::Null), |bytes| self.value(codec, bytes))
    }

    fn array(&mut self, element: &Codec, bytes: &[u8]) -> Result<Array> {
        let mut bytes = Reader(bytes);
        let dimensions = usize::try_from(i32::from_be_bytes(bytes.take()?)).map_err(|_| malformed())?;
        let _has_null: [u8; 4] = bytes.take()?;
        let _element_oid: [u8; 4] = bytes.take()?;
        if dimensions > MAX_DIMENSIONS {
            return Err(malformed());
        }
        let (mut lengths, mut bounds) = ([0; MAX_DIMENSIONS], [0; MAX_DIMENSIONS]);
        let (lengths, bounds) = (&mut lengths[..dimensions], &mut bounds[..dimensions]);
        for (length, bound) in lengths.iter_mut().zip(&mut *bounds) {
            *length = usize::try_from(i32::from_be_bytes(bytes.take()?)).map_err(|_| malformed())?;
            *bound = i32::from_be_bytes(bytes.take()?);
        }
        let total = lengths.iter().try_fold(1_usize, |total, length| total.checked_mul(*length));
        // Each item has a length of four bytes: more items than that is a lie.
        if total.is_none_or(|total| dimensions > 0 && total > bytes.0.len() / 4) {
            return Err(malformed());
        }
        let array = if dimensions == 0 || total == Some(0) {
            Array::new(Vec::new(), element.item_kind())
        } else {
            self.dimension(element, lengths, &mut bytes)?.with_lower_bounds(bounds)
        };
        bytes.end()?;
        Ok(array)
    }

    fn dimension(&mut self, element: &Codec, lengths: &[usize], bytes: &mut Reader<'_>) -> Result<Array> {
        let (length, inner) = lengths.split_first().ok_or_else(malformed)?;
        self.room.take_items(*length)?;
        let items = if inner.is_empty() {
            self.items(element, *length, bytes)?
        } else {
            let mut items = Vec::with_capacity(*length);
            for _ in 0..*length {
                items.push(Value::Array(Box::new(self.dimension(element, inner, bytes)?)));
            }
            items
        };
        Ok(Array::new(items, element.item_kind()))
    }

    fn items(&mut self, element: &Codec, count: usize, bytes: &mut Reader<'_>) -> Result<Vec<Value>> {
        // What most arrays are of is read without asking for each item what it is.
        let alike = match element {
            Codec::Int4 => {
                read_alike::<8>(count, bytes, 4, |&[_, _, _, _, n @ ..]| Value::Int(i32::from_be_bytes(n).into()))
            }
            Codec::Int8 => read_alike::<12>(count, bytes, 8, |&[_, _, _, _, n @ ..]| Value::Int(i64::from_be_bytes(n))),
            Codec::Float8 => {
                read_alike::<12>(count, bytes, 8, |&[_, _, _, _, n @ ..]| Value::Float(f64::from_be_bytes(n)))
            }
            _ => None,
        };
        if let Some(items) = alike {
            return Ok(items);
        }
        match element {
            Codec::Int2 => read_items(count, bytes, |item| Ok(Value::Int(i16::from_be_bytes(fixed(item)?).into()))),
            Codec::Int4 => read_items(count, bytes, |item| Ok(Value::Int(i32::from_be_bytes(fixed(item)?).into()))),
            Codec::Int8 => read_items(count, bytes, |item| Ok(Value::Int(i64::from_be_bytes(fixed(item)?)))),
            Codec::Float8 => read_items(count, bytes, |item| Ok(Value::Float(f64::from_be_bytes(fixed(item)?)))),
            Codec::Text => read_items(count, bytes, |item| Ok(Value::Text(utf8(item)?.to_owned()))),
            _ => read_items(count, bytes, |item| self.value(element, item)),
        }
    }

    fn range(&mut self, element: &Codec, bytes: &[u8]) -> Result<Array> {
        let mut bytes = Reader(bytes);
        let [flags] = bytes.take()?;
        let kind = element.item_kind();
        if flags & RANGE_EMPTY != 0 {
            bytes.end()?;
            return Ok(Array::empty_range(kind));
        }
        self.room.take_items(2)?;
        let mut bound = |infinite: u8, inclusive: u8| -> Result<(Value, bool)> {
            if flags & infinite != 0 {
                return Ok((Value::Null, false));
            }
            let value = bytes.item()?.ok_or_else(malformed)?;
            Ok((self.value(element, value)?, flags & inclusive != 0))
        };
        let lower = bound(RANGE_LOWER_INFINITE, RANGE_LOWER_INCLUSIVE)?;
        let upper = bound(RANGE_UPPER_INFINITE, RANGE_UPPER_INCLUSIVE)?;
        bytes.end()?;
        Ok(Array::range(lower, upper, kind))
    }

    fn multirange(&mut self, element: &Codec, bytes: &[u8]) -> Result<Array> {
        let mut bytes = Reader(bytes);
        // A length and the flags.
        let count = bytes.count(5)?;
        self.room.take_items(count)?;
        let mut ranges = Vec::with_capacity(count);
        for _ in 0..count {
            let range = bytes.item()?.ok_or_else(malformed)?;
            self.room.take_items(0)?;
            ranges.push(Value::Array(Box::new(self.range(element, range)?)));
        }
        bytes.end()?;
        Ok(Array::new(ranges, ValueKind::Array))
    }

    /// Reads a record whose fields are declared, as far as what it says of itself agrees with that: a composite type may
    /// have been changed since it was looked up.
    fn record(&mut self, declared: Option<&[Element]>, bytes: &[u8]) -> Result<Array> {
        let mut bytes = Reader(bytes);
        // A type and a length.
        let count = bytes.count(8)?;
        self.room.take_items(count)?;
        if declared.is_some_and(|declared| declared.len() != count) {
            self.changes.note();
        }
        let mut fields = Vec::with_capacity(count);
        for index in 0..count {
            let oid = u32::from_be_bytes(bytes.take()?);
            let field = bytes.item()?;
            let value = match declared.and_then(|declared| declared.get(index)) {
                Some(element) if element.oid == oid => self.item(&element.codec, field)?,
                _ => {
                    if declared.is_some() {
                        self.changes.note();
                    }
                    self.item(&built_in(index, oid, declared.is_some())?, field)?
                }
            };
            fields.push(value);
        }
        bytes.end()?;
        Ok(Array::record(fields))
    }

    fn hstore(&mut self, bytes: &[u8]) -> Result<Array> {
        let mut bytes = Reader(bytes);
        // The lengths of a key and a value.
        let count = bytes.count(8)?;
        self.room.take_items(count)?;
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            let key = utf8(bytes.item()?.ok_or_else(malformed)?)?;
            let value = bytes.item()?.map(utf8).transpose()?;
            self.room.take_items(2)?;
            let text = |text: &str| Value::Text(text.to_owned());
            pairs.push((text(key), value.map_or(Value::Null, text)));
        }
        bytes.end()?;
        Ok(Array::map(pairs))
    }
}

/// Reads items that all have this length, in one go: with their lengths they take `N` bytes each. `None` if one is NULL or of
/// another length.
fn read_alike<const N: usize>(
    count: usize,
    bytes: &mut Reader<'_>,
    len: u32,
    read: impl Fn(&[u8; N]) -> Value,
) -> Option<Vec<Value>> {
    let (items, rest) = bytes.0.split_at_checked(count.checked_mul(N)?)?;
    let (items, _) = items.as_chunks::<N>();
    let len = len.to_be_bytes();
    if !items.iter().all(|item| item.starts_with(&len)) {
        return None;
    }
    bytes.0 = rest;
    Some(items.iter().map(read).collect())
}

/// Reads items, of which there is a length each.
fn read_items(
    count: usize,
    bytes: &mut Reader<'_>,
    mut read: impl FnMut(&[u8]) -> Result<Value>,
) -> Result<Vec<Value>> {
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(match bytes.item()? {
            Some(item) => read(item)?,
            None => Value::Null,
        });
    }
    Ok(items)
}

/// The codec of a field that nobody has declared, of a record without a type or a composite type that has been changed.
fn built_in(index: usize, oid: u32, changed: bool) -> Result<Codec> {
    let ty = Type::from_oid(oid);
    if let Some(ty) = &ty {
        let codec = Codec::of(ty, &Codecs::default());
        if !codec.is_text() {
            return Ok(codec);
        }
    }
    let name = ty.map_or_else(|| format!("the type with the oid {oid}"), |ty| ty.name().to_owned());
    if changed {
        let message = format!("field {index} of a composite type that was changed since it was looked up is of {name}");
        return Err(Error::new(ErrorKind::Decode, message).with_hint("the next statement looks it up again"));
    }
    let message = format!("field {index} of a record without a type is of {name}, which cannot be read in there");
    Err(Error::new(ErrorKind::Decode, message).with_hint("cast the field or the record to text in SQL"))
}

/// How much memory the digits of a `numeric` take: they are written twice.
fn digits(bytes: &[u8]) -> Result<usize> {
    let mut bytes = Reader(bytes);
    let _count: [u8; 2] = bytes.take()?;
    let weight = i16::from_be_bytes(bytes.take()?);
    let _sign: [u8; 2] = bytes.take()?;
    let scale = u16::from_be_bytes(bytes.take()?);
    let before = usize::try_from(weight).map_or(0, |weight| weight * 4);
    Ok(2 * (before + usize::from(scale) + 8))
}
