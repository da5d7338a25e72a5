//! Rows as the driver holds them, decoded cell by cell when asked for.

use std::sync::Arc;

use databases_core::{Codecs, Column, Columns, Error, ErrorKind, Result, RowBatch, ValueRef};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Row, Statement};

use crate::types::{Changes, Codec, sql_name};

/// The columns of a result and how each is read; made once per prepared statement.
#[derive(Debug)]
pub(crate) struct Plan {
    columns: Arc<Columns>,
    codecs: Box<[Codec]>,
    changes: Changes,
}

impl Plan {
    pub(crate) fn of(statement: &Statement, codecs: &Codecs, changes: Changes) -> Arc<Self> {
        let columns = statement.columns();
        let named = columns.iter().map(|column| Column::new(column.name(), sql_name(column.type_()).into_owned()));
        Arc::new(Self {
            columns: Arc::new(Columns::new(named.collect())),
            codecs: columns.iter().map(|column| Codec::of(column.type_(), codecs)).collect(),
            changes,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.codecs.is_empty()
    }

    /// Whether each column is asked for in text.
    pub(crate) fn in_text(&self) -> impl ExactSizeIterator<Item = bool> {
        self.codecs.iter().map(Codec::is_text)
    }
}

/// Some rows of one result.
pub(crate) struct PgBatch {
    plan: Arc<Plan>,
    rows: Vec<Row>,
}

impl PgBatch {
    pub(crate) fn new(plan: Arc<Plan>, rows: Vec<Row>) -> Arc<Self> {
        Arc::new(Self { plan, rows })
    }
}

/// The bytes of a cell, of whatever type.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_ty: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(bytes)))
    }

    fn from_sql_null(_ty: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_ty: &Type) -> bool {
        true
    }
}

impl RowBatch for PgBatch {
    fn columns(&self) -> &Arc<Columns> {
        &self.plan.columns
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn cell(&self, row: usize, column: usize) -> Result<ValueRef<'_>> {
        let outside = || Error::new(ErrorKind::Internal, "a cell outside of the batch");
        let cell: Raw<'_> = match self.rows.get(row) {
            Some(row) => row.try_get(column).map_err(|_| outside())?,
            None => return Err(outside()),
        };
        let Some(bytes) = cell.0 else { return Ok(ValueRef::Null) };
        // The driver checks that every row has as many cells as there are columns.
        let (Some(codec), Some(named)) = (self.plan.codecs.get(column), self.plan.columns.get(column)) else {
            return Err(outside());
        };
        codec.decode(named.type_name_ref(), bytes, &self.plan.changes)
    }

    fn raw(&self, row: usize, column: usize) -> Option<&[u8]> {
        self.rows.get(row)?.try_get::<_, Raw<'_>>(column).ok()?.0
    }
}
