//! Rows as they leave the worker: a tag and eight bytes per cell, and the bytes of all texts and blobs in one arena.

use std::sync::Arc;

use databases_core::{Columns, Error, ErrorKind, Result, RowBatch, ValueRef};
use rusqlite::types::ValueRef as Cell;

/// What a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Null,
    Integer,
    Real,
    Text,
    Blob,
}

/// Some rows of a result.
#[derive(Debug)]
pub(crate) struct Batch {
    columns: Arc<Columns>,
    rows: usize,
    tags: Vec<Tag>,
    /// The number, the bits of the double, or offset and length in `bytes`, 32 bits each.
    words: Vec<u64>,
    bytes: Vec<u8>,
}

/// How large a batch grows before it is handed over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Batch {
    /// No rows yet.
    pub(crate) fn new(columns: Arc<Columns>) -> Self {
        Self { columns, rows: 0, tags: Vec::new(), words: Vec::new(), bytes: Vec::new() }
    }

    /// No rows yet, with room for as many as this one has.
    pub(crate) fn next(&self) -> Self {
        Self {
            columns: Arc::clone(&self.columns),
            rows: 0,
            tags: Vec::with_capacity(self.tags.len()),
            words: Vec::with_capacity(self.words.len()),
            bytes: Vec::with_capacity(self.bytes.len()),
        }
    }

    /// Appends the row.
    pub(crate) fn push(&mut self, row: &rusqlite::Row<'_>) -> Result<()> {
        for index in 0..self.columns.len() {
            let (tag, word) = match row.get_ref(index).map_err(|_| missing_column())? {
                Cell::Null => (Tag::Null, 0),
                Cell::Integer(value) => (Tag::Integer, value.cast_unsigned()),
                Cell::Real(value) => (Tag::Real, value.to_bits()),
                Cell::Text(text) => (Tag::Text, self.keep(text)?),
                Cell::Blob(blob) => (Tag::Blob, self.keep(blob)?),
            };
            self.tags.push(tag);
            self.words.push(word);
        }
        self.rows += 1;
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<u64> {
        let start = u32::try_from(self.bytes.len());
        let len = u32::try_from(bytes.len());
        let (Ok(start), Ok(len)) = (start, len) else {
            return Err(Error::new(ErrorKind::LimitExceeded, "a row of the result is larger than 4 GiB"));
        };
        self.bytes.extend_from_slice(bytes);
        Ok(u64::from(start) << 32 | u64::from(len))
    }

    /// Whether it is time to hand the batch over.
    pub(crate) fn is_full(&self, limits: Limits) -> bool {
        self.rows >= limits.rows || self.bytes.len() + self.words.len() * 9 >= limits.bytes
    }

    fn bytes_of(&self, word: u64) -> &[u8] {
        let start = (word >> 32) as usize;
        let len = (word & u64::from(u32::MAX)) as usize;
        &self.bytes[start..start + len]
    }
}

#[cold]
fn missing_column() -> Error {
    Error::new(ErrorKind::Internal, "the result has fewer columns than it said")
}

impl RowBatch for Batch {
    fn columns(&self) -> &Arc<Columns> {
        &self.columns
    }

    fn len(&self) -> usize {
        self.rows
    }

    fn cell(&self, row: usize, column: usize) -> Result<ValueRef<'_>> {
        let index = row * self.columns.len() + column;
        let word = self.words[index];
        Ok(match self.tags[index] {
            Tag::Null => ValueRef::Null,
            Tag::Integer => ValueRef::Int(word.cast_signed()),
            Tag::Real => ValueRef::Float(f64::from_bits(word)),
            Tag::Blob => ValueRef::Bytes(self.bytes_of(word)),
            Tag::Text => {
                let bytes = self.bytes_of(word);
                // SQLite takes any bytes for text. As bytes they can be read; as String they are an error that says so.
                std::str::from_utf8(bytes).map_or(ValueRef::Bytes(bytes), ValueRef::Text)
            }
        })
    }

    fn raw(&self, row: usize, column: usize) -> Option<&[u8]> {
        let index = row * self.columns.len() + column;
        match self.tags[index] {
            Tag::Text | Tag::Blob => Some(self.bytes_of(self.words[index])),
            Tag::Null | Tag::Integer | Tag::Real => None,
        }
    }
}
