//! Rows of one integer.

use std::sync::Arc;

use super::databases_core;
use databases_core::{Column, Columns, Result, RowBatch, ValueRef};

pub(super) struct Numbers {
    columns: Arc<Columns>,
    rows: Vec<i64>,
}

impl Numbers {
    pub(super) fn new(rows: Vec<i64>) -> Self {
        Self { columns: Arc::new(Columns::new(vec![Column::new("n", "INTEGER")])), rows }
    }
}

impl RowBatch for Numbers {
    fn columns(&self) -> &Arc<Columns> {
        &self.columns
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn cell(&self, row: usize, _: usize) -> Result<ValueRef<'_>> {
        Ok(ValueRef::Int(self.rows[row]))
    }

    fn raw(&self, _: usize, _: usize) -> Option<&[u8]> {
        None
    }
}
