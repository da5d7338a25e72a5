//! Rows as the driver gives them, with what their columns are.

use std::sync::Arc;

use databases_core::{Column, Columns, Result, RowBatch, ValueRef};
use mysql_async::Value;
use mysql_async::consts::ColumnFlags;

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

/// Some rows of one result.
pub(crate) struct Rows {
    layout: Arc<Layout>,
    rows: Vec<mysql_async::Row>,
}

impl Rows {
    pub(crate) fn new(layout: Arc<Layout>, rows: Vec<mysql_async::Row>) -> Self {
        Self { layout, rows }
    }

    fn value(&self, row: usize, column: usize) -> Option<&Value> {
        self.rows.get(row)?.as_ref(column)
    }
}

impl RowBatch for Rows {
    fn columns(&self) -> &Arc<Columns> {
        &self.layout.columns
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn cell(&self, row: usize, column: usize) -> Result<ValueRef<'_>> {
        let Some(value) = self.value(row, column) else { return Ok(ValueRef::Null) };
        let (Some(kind), Some(named)) = (self.layout.cells.get(column), self.layout.columns.get(column)) else {
            return Ok(ValueRef::Null);
        };
        types::cell(value, *kind, named.type_name_ref(), self.layout.zero_dates)
    }

    fn raw(&self, row: usize, column: usize) -> Option<&[u8]> {
        match self.value(row, column)? {
            Value::Bytes(bytes) => Some(bytes),
            // The driver has decoded the others.
            _ => None,
        }
    }
}

/// About how many bytes of memory a row holds.
pub(crate) fn weight(row: &mysql_async::Row) -> usize {
    let of = |index| match row.as_ref(index) {
        Some(Value::Bytes(bytes)) => bytes.len() + size_of::<Option<Value>>(),
        _ => size_of::<Option<Value>>(),
    };
    (0..row.len()).map(of).sum()
}
