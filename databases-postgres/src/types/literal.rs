//! Arrays as the server writes them in text: `{a,NULL,"b c"}`, `[0:1]={{…},{…}}`.
//!
//! <https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO>

use databases_core::{Array, Other, Result, Value, ValueKind};

use super::nested::MAX_DIMENSIONS;
use super::reader::{Room, malformed};
use super::{Codec, Items};

/// Reads the items of an array, each as its text.
pub(super) fn array(text: &str, items: &Items, room: Room) -> Result<Array> {
    let (bounds, body) = bounds(text)?;
    let mut parser = Parser { text: body, at: 0, items, room };
    let array = parser.dimension(0)?;
    if parser.at == body.len() { Ok(array.with_lower_bounds(&bounds)) } else { Err(malformed()) }
}

/// The lower bounds before the items, which are there if one is not 1, and the items.
fn bounds(text: &str) -> Result<(Vec<i32>, &str)> {
    let (mut bounds, mut rest) = (Vec::new(), text);
    while let Some(bound) = rest.strip_prefix('[') {
        let (bound, behind) = bound.split_once(']').ok_or_else(malformed)?;
        let (lower, _upper) = bound.split_once(':').ok_or_else(malformed)?;
        if bounds.len() == MAX_DIMENSIONS {
            return Err(malformed());
        }
        bounds.push(lower.parse().map_err(|_| malformed())?);
        rest = behind;
    }
    if bounds.is_empty() {
        return Ok((bounds, rest));
    }
    Ok((bounds, rest.strip_prefix('=').ok_or_else(malformed)?))
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    items: &'a Items,
    room: Room,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn kind(&self) -> ValueKind {
        self.items.codec.item_kind()
    }

    fn item(&mut self, text: String) -> Result<Value> {
        if let Codec::Numbered(_) = self.items.codec {
            return Ok(Value::Text(text));
        }
        self.room.take(size_of::<Other>())?;
        let other = Other { type_name: self.items.type_name.clone(), bytes: text.into_bytes(), is_text: true };
        Ok(Value::Other(Box::new(other)))
    }

    /// Reads from one brace to the other.
    fn dimension(&mut self, depth: usize) -> Result<Array> {
        if self.peek() != Some(b'{') || depth == MAX_DIMENSIONS {
            return Err(malformed());
        }
        self.at += 1;
        self.room.take_items(1)?;
        let mut items = Vec::with_capacity(1);
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Array::new(Vec::new(), self.kind()));
        }
        loop {
            let item = match self.peek() {
                Some(b'{') => Value::Array(Box::new(self.dimension(depth + 1)?)),
                Some(b'"') => {
                    let text = self.quoted()?;
                    self.item(text)?
                }
                _ => self.plain()?,
            };
            items.push(item);
            let next = self.peek();
            self.at += 1;
            match next {
                Some(b'}') => return Ok(Array::new(items, self.kind())),
                Some(byte) if byte == self.items.delimiter => self.room.take(size_of::<Value>())?,
                _ => return Err(malformed()),
            }
        }
    }

    fn quoted(&mut self) -> Result<String> {
        let start = self.at + 1;
        let mut escapes = 0;
        let mut bytes = self.text.as_bytes()[start..].iter().enumerate();
        let len = loop {
            match bytes.next() {
                Some((index, b'"')) => break index,
                Some((_, b'\\')) => {
                    escapes += 1;
                    bytes.next();
                }
                Some(_) => {}
                None => return Err(malformed()),
            }
        };
        self.at = start + len + 1;
        let quoted = &self.text[start..start + len];
        if escapes == 0 {
            return Ok(quoted.to_owned());
        }
        let mut text = String::with_capacity(len - escapes);
        let mut letters = quoted.chars();
        while let Some(letter) = letters.next() {
            text.extend(if letter == '\\' { letters.next() } else { Some(letter) });
        }
        Ok(text)
    }

    /// Reads an item without quotes: such a NULL is no text.
    fn plain(&mut self) -> Result<Value> {
        let rest = &self.text[self.at..];
        let end = |byte: u8| byte == self.items.delimiter || matches!(byte, b'{' | b'}' | b'"' | b'\\');
        let len = rest.bytes().position(end).unwrap_or(rest.len());
        self.at += len;
        match &rest[..len] {
            "" => Err(malformed()),
            text if text.eq_ignore_ascii_case("NULL") => Ok(Value::Null),
            text => self.item(text.to_owned()),
        }
    }
}
