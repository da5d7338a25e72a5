//! Values of the driver in one piece: short texts and bytes lie one behind the other, where the driver has an allocation
//! for each.

use mysql_async::Value;

/// Texts and bytes up to this length are copied; longer ones are moved.
const SHORT_BYTES: usize = 1024;

/// Values in the order in which they came.
#[derive(Default)]
pub(crate) struct Kept {
    values: Vec<Item>,
    bytes: Vec<u8>,
    /// The bytes that are not in `bytes`.
    long_bytes: usize,
}

enum Item {
    Value(Value),
    /// Where it is in the bytes.
    Short {
        start: usize,
        len: usize,
    },
}

/// A value that is kept.
#[derive(Clone, Copy)]
pub(crate) enum Cell<'a> {
    /// No text and no bytes, or long ones.
    Value(&'a Value),
    Bytes(&'a [u8]),
}

impl Kept {
    pub(crate) fn with_capacity(values: usize) -> Self {
        Self { values: Vec::with_capacity(values), ..Self::default() }
    }

    /// A copy of each.
    pub(crate) fn copy_of(values: &[Value]) -> Self {
        let mut kept = Self::with_capacity(values.len());
        for value in values {
            match value {
                Value::Bytes(bytes) => kept.push_bytes(bytes),
                value => kept.values.push(Item::Value(value.clone())),
            }
        }
        kept
    }

    /// Takes a value over.
    #[inline]
    pub(crate) fn push(&mut self, value: Value) {
        match value {
            Value::Bytes(bytes) if bytes.len() > SHORT_BYTES => self.push_long(bytes),
            Value::Bytes(bytes) => self.push_bytes(&bytes),
            value => self.values.push(Item::Value(value)),
        }
    }

    /// Copies text or bytes.
    #[inline]
    fn push_bytes(&mut self, bytes: &[u8]) {
        if bytes.len() > SHORT_BYTES {
            return self.push_long(bytes.to_vec());
        }
        self.values.push(Item::Short { start: self.bytes.len(), len: bytes.len() });
        self.bytes.extend_from_slice(bytes);
    }

    fn push_long(&mut self, bytes: Vec<u8>) {
        self.long_bytes += bytes.len();
        self.values.push(Item::Value(Value::Bytes(bytes)));
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// About how many bytes of memory they take.
    pub(crate) fn bytes(&self) -> usize {
        self.values.len() * size_of::<Item>() + self.bytes.len() + self.long_bytes
    }

    /// The value of this index.
    pub(crate) fn get(&self, index: usize) -> Option<Cell<'_>> {
        Some(match self.values.get(index)? {
            Item::Value(value) => Cell::Value(value),
            Item::Short { start, len } => Cell::Bytes(&self.bytes[*start..*start + *len]),
        })
    }

    /// Copies of the values from this index on.
    pub(crate) fn copies(&self, start: usize) -> impl Iterator<Item = Value> {
        (start..self.len()).map_while(|index| self.get(index)).map(|cell| match cell {
            Cell::Value(value) => value.clone(),
            Cell::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were() {
        let text = |len: usize| Value::Bytes(vec![b'x'; len]);
        let values = [
            Value::NULL,
            text(0),
            Value::Int(-1),
            text(SHORT_BYTES),
            Value::Double(0.5),
            text(SHORT_BYTES + 1),
            text(3),
        ];
        let mut kept = Kept::copy_of(&values);
        values.iter().cloned().for_each(|value| kept.push(value));
        assert!(kept.bytes() > 4 * SHORT_BYTES);
        for (index, value) in values.iter().chain(&values).enumerate() {
            let bytes = match kept.get(index).unwrap() {
                Cell::Value(Value::Bytes(bytes)) => Some(&**bytes),
                Cell::Bytes(bytes) => Some(bytes),
                Cell::Value(kept) => {
                    assert_eq!(kept, value);
                    None
                }
            };
            assert!(bytes.is_none_or(|bytes| *value == Value::Bytes(bytes.to_vec())));
        }
        assert!(kept.get(2 * values.len()).is_none());
        assert!(kept.copies(1).eq(values.iter().chain(&values).skip(1).cloned()));
    }
}
