//! Rows as the driver gives them, with what their columns are.

use std::sync::Arc;

use databases_core::{Column, Columns, LiveRow, Result, RowBatch, ValueRef};
use mysql_async::Value;
use mysql_async::consts::ColumnFlags;

use crate::kept::{self, Kept};
use crate::options::ZeroDates;
use crate::types::{self, CellType};

/// The columns of a result: planned once, kept with the prepared statement.
pub(crate) struct Layout {
    source: Arc<[mysql_async::Column]>,
    columns: Arc<Columns>,
    cells: Box<[CellType]>,
    zero_dates: ZeroDates,
}

impl Layout {
    pub(crate) fn new(source: Arc<[mysql_async::Column]>, zero_dates: ZeroDates) -> Self {
        let describe = |column: &mysql_async::Column| Column::new(column.name_str(), types::type_name(column));
        let columns = Arc::new(Columns::new(source.iter().map(describe).collect()));
        let cells = source.iter().map(CellType::of).collect();
        Self { source, columns, cells, zero_dates }
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// What `value` in this column is.
    fn cell<'a>(&'a self, value: kept::Cell<'a>, column: usize) -> Result<ValueRef<'a>> {
        let (Some(kind), Some(named)) = (self.cells.get(column), self.columns.get(column)) else {
            return Ok(ValueRef::Null);
        };
        let type_name = named.type_name_ref();
        match value {
            kept::Cell::Bytes(bytes) => types::bytes_cell(bytes, *kind, type_name, self.zero_dates),
            kept::Cell::Value(value) => types::cell(value, *kind, type_name, self.zero_dates),
        }
    }

    /// `value` in this column, if it is an integer as the driver has decoded it.
    fn int(&self, value: &Value, column: usize) -> Option<i64> {
        match value {
            Value::Int(value) if self.cells.get(column) != Some(&CellType::UInt) => Some(*value),
            _ => None,
        }
    }

    /// `bytes` in this column, if they are text.
    fn text<'a>(&self, bytes: &'a [u8], column: usize) -> Option<&'a str> {
        if self.cells.get(column) == Some(&CellType::Text) { std::str::from_utf8(bytes).ok() } else { None }
    }

    /// The place of the AUTO_INCREMENT column of `table`, and no other column's of that kind.
    pub(crate) fn counted(&self, table: &str) -> Option<usize> {
        self.source.iter().position(|column| {
            column.flags().contains(ColumnFlags::AUTO_INCREMENT_FLAG)
                && column.org_table_str().eq_ignore_ascii_case(table)
        })
    }

    /// Whether it is the layout of `columns`.
    pub(crate) fn fits(&self, columns: &Arc<[mysql_async::Column]>) -> bool {
        Arc::ptr_eq(&self.source, columns) || self.source == *columns
    }
}

/// Some rows of one result, the values of all in one piece.
pub(crate) struct Rows {
    layout: Arc<Layout>,
    len: usize,
    values: Kept,
}

impl Rows {
    pub(crate) fn new(layout: Arc<Layout>) -> Self {
        Self { layout, len: 0, values: Kept::default() }
    }

    /// No rows, with room for as many as there are here.
    pub(crate) fn another(&self) -> Self {
        Self { layout: self.layout.clone(), len: 0, values: Kept::with_capacity(self.values.len()) }
    }

    pub(crate) fn push(&mut self, row: mysql_async::Row) {
        self.len += 1;
        // A row that has lost a value to the driver's `take` would have none there.
        row.unwrap_raw().into_iter().for_each(|value| self.values.push(value.unwrap_or(Value::NULL)));
    }

    /// About how many bytes of memory they hold.
    pub(crate) fn bytes(&self) -> usize {
        self.values.bytes()
    }

    fn value(&self, row: usize, column: usize) -> Option<kept::Cell<'_>> {
        let width = self.layout.cells.len();
        if column < width { self.values.get(row * width + column) } else { None }
    }
}

impl RowBatch for Rows {
    fn columns(&self) -> &Arc<Columns> {
        &self.layout.columns
    }

    fn len(&self) -> usize {
        self.len
    }

    fn cell(&self, row: usize, column: usize) -> Result<ValueRef<'_>> {
        match self.value(row, column) {
            Some(value) => self.layout.cell(value, column),
            None => Ok(ValueRef::Null),
        }
    }

    fn raw(&self, row: usize, column: usize) -> Option<&[u8]> {
        match self.value(row, column)? {
            kept::Cell::Bytes(bytes) => Some(bytes),
            kept::Cell::Value(Value::Bytes(bytes)) => Some(bytes),
            // The driver has decoded the others.
            kept::Cell::Value(_) => None,
        }
    }

    fn int(&self, row: usize, column: usize) -> Option<i64> {
        match self.value(row, column)? {
            kept::Cell::Value(value) => self.layout.int(value, column),
            kept::Cell::Bytes(_) => None,
        }
    }

    fn float(&self, row: usize, column: usize) -> Option<f64> {
        match self.value(row, column)? {
            kept::Cell::Value(value) => float(value),
            kept::Cell::Bytes(_) => None,
        }
    }

    fn text(&self, row: usize, column: usize) -> Option<&str> {
        match self.value(row, column)? {
            kept::Cell::Bytes(bytes) => self.layout.text(bytes, column),
            kept::Cell::Value(Value::Bytes(bytes)) => self.layout.text(bytes, column),
            kept::Cell::Value(_) => None,
        }
    }
}

/// `value`, if it is a float as the driver has decoded it.
fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Double(value) => Some(*value),
        Value::Float(value) => Some((*value).into()),
        _ => None,
    }
}

/// The row that the driver has read last.
pub(crate) struct Live<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) row: &'a mysql_async::Row,
}

impl LiveRow for Live<'_> {
    fn cell(&self, column: usize) -> Result<ValueRef<'_>> {
        match self.row.as_ref(column) {
            Some(value) => self.layout.cell(kept::Cell::Value(value), column),
            None => Ok(ValueRef::Null),
        }
    }

    fn int(&self, column: usize) -> Option<i64> {
        self.layout.int(self.row.as_ref(column)?, column)
    }

    fn float(&self, column: usize) -> Option<f64> {
        float(self.row.as_ref(column)?)
    }

    fn text(&self, column: usize) -> Option<&str> {
        match self.row.as_ref(column)? {
            Value::Bytes(bytes) => self.layout.text(bytes, column),
            _ => None,
        }
    }
}
