//! Rows on their way: 16 bytes per cell, and the bytes of all texts and blobs in one arena.

use std::sync::Arc;

use databases_core::{Columns, Error, ErrorKind, LiveRow, Result, RowBatch, ValueRef};
use rusqlite::types::ValueRef as Cell;

/// A cell; texts and blobs by offset and length in the arena.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Null,
    Integer(i64),
    Real(f64),
    Text(u32, u32),
    Blob(u32, u32),
}

const _: () = assert!(size_of::<Kept>() == 16);

/// Some rows of a result.
#[derive(Debug)]
pub(crate) struct Batch {
    columns: Arc<Columns>,
    rows: usize,
    cells: Vec<Kept>,
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
        // Most results have one row or many; a row's cells at once spare the smallest steps of growing.
        let cells = Vec::with_capacity(columns.len());
        Self { columns, rows: 0, cells, bytes: Vec::new() }
    }

    /// No rows yet, with room for as many as this one has.
    pub(crate) fn next(&self) -> Self {
        Self {
            columns: Arc::clone(&self.columns),
            rows: 0,
            cells: Vec::with_capacity(self.cells.len()),
            bytes: Vec::with_capacity(self.bytes.len()),
        }
    }

    /// Appends the row.
    pub(crate) fn push(&mut self, row: &rusqlite::Row<'_>) -> Result<()> {
        for index in 0..self.columns.len() {
            let cell = match row.get_ref(index).map_err(|_| missing_column())? {
                Cell::Null => Kept::Null,
                Cell::Integer(value) => Kept::Integer(value),
                Cell::Real(value) => Kept::Real(value),
                Cell::Text(text) => {
                    let (start, len) = self.keep(text)?;
                    Kept::Text(start, len)
                }
                Cell::Blob(blob) => {
                    let (start, len) = self.keep(blob)?;
                    Kept::Blob(start, len)
                }
            };
            self.cells.push(cell);
        }
        self.rows += 1;
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(u32, u32)> {
        let start = u32::try_from(self.bytes.len());
        let len = u32::try_from(bytes.len());
        let (Ok(start), Ok(len)) = (start, len) else {
            return Err(Error::new(ErrorKind::LimitExceeded, "a row of the result is larger than 4 GiB"));
        };
        self.bytes.extend_from_slice(bytes);
        Ok((start, len))
    }

    /// Whether it is time to hand the batch over.
    pub(crate) fn is_full(&self, limits: Limits) -> bool {
        self.rows >= limits.rows || self.bytes.len() + size_of_val(&*self.cells) >= limits.bytes
    }

    fn bytes_of(&self, start: u32, len: u32) -> &[u8] {
        &self.bytes[start as usize..][..len as usize]
    }
}

/// SQLite takes any bytes for text. As bytes they can be read; as String they are an error that says so.
fn text(bytes: &[u8]) -> ValueRef<'_> {
    std::str::from_utf8(bytes).map_or(ValueRef::Bytes(bytes), ValueRef::Text)
}

/// The row that a statement stands at.
pub(crate) struct Live<'a>(pub(crate) &'a rusqlite::Row<'a>);

impl LiveRow for Live<'_> {
    fn cell(&self, column: usize) -> Result<ValueRef<'_>> {
        Ok(match self.0.get_ref(column).map_err(|_| missing_column())? {
            Cell::Null => ValueRef::Null,
            Cell::Integer(value) => ValueRef::Int(value),
            Cell::Real(value) => ValueRef::Float(value),
            Cell::Text(bytes) => text(bytes),
            Cell::Blob(bytes) => ValueRef::Bytes(bytes),
        })
    }

    fn int(&self, column: usize) -> Option<i64> {
        match self.0.get_ref(column) {
            Ok(Cell::Integer(value)) => Some(value),
            _ => None,
        }
    }

    fn float(&self, column: usize) -> Option<f64> {
        match self.0.get_ref(column) {
            Ok(Cell::Real(value)) => Some(value),
            _ => None,
        }
    }

    fn text(&self, column: usize) -> Option<&str> {
        match self.0.get_ref(column) {
            Ok(Cell::Text(bytes)) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
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
        Ok(match self.cells[row * self.columns.len() + column] {
            Kept::Null => ValueRef::Null,
            Kept::Integer(value) => ValueRef::Int(value),
            Kept::Real(value) => ValueRef::Float(value),
            Kept::Blob(start, len) => ValueRef::Bytes(self.bytes_of(start, len)),
            Kept::Text(start, len) => text(self.bytes_of(start, len)),
        })
    }

    fn raw(&self, row: usize, column: usize) -> Option<&[u8]> {
        match self.cells[row * self.columns.len() + column] {
            Kept::Text(start, len) | Kept::Blob(start, len) => Some(self.bytes_of(start, len)),
            Kept::Null | Kept::Integer(_) | Kept::Real(_) => None,
        }
    }
}
