//! Rows as they came, decoded cell by cell when asked for.

use std::sync::Arc;

use databases_core::backend::{Flow, LiveSink};
use databases_core::{
    Codecs, Column, Columns, Error, ErrorKind, LiveRow, Result, RowBatch, RowRef, TypeName, ValueRef,
};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Row, Statement};

use crate::pack::{Cell, unpack};
use crate::types::{Changes, Codec, sql_name};

/// The columns of a result and how each is read; made once per prepared statement.
#[derive(Debug)]
pub(crate) struct Plan {
    columns: Arc<Columns>,
    readers: Box<[Reader]>,
    changes: Changes,
    /// Whether the guard packs the rows.
    packs: bool,
}

#[derive(Debug)]
struct Reader {
    codec: Codec,
    type_name: TypeName,
}

impl Reader {
    #[inline]
    fn read<'a>(&'a self, bytes: Option<&'a [u8]>, changes: &Changes) -> Result<ValueRef<'a>> {
        bytes.map_or(Ok(ValueRef::Null), |bytes| self.codec.decode(&self.type_name, bytes, changes))
    }
}

impl Plan {
    pub(crate) fn of(statement: &Statement, codecs: &Codecs, changes: Changes, packs: bool) -> Arc<Self> {
        let columns = statement.columns();
        let named = columns.iter().map(|column| Column::new(column.name(), sql_name(column.type_()).into_owned()));
        let named = Columns::new(named.collect());
        let reader = |(column, named): (&tokio_postgres::Column, &Column)| Reader {
            codec: Codec::of(column.type_(), codecs),
            type_name: named.type_name_ref().clone(),
        };
        let readers = columns.iter().zip(&named).map(reader).collect();
        Arc::new(Self { columns: Arc::new(named), readers, changes, packs })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }

    /// Whether the guard packs the rows.
    pub(crate) fn packs(&self) -> bool {
        self.packs
    }

    /// Whether each column is asked for in text.
    pub(crate) fn in_text(&self) -> impl ExactSizeIterator<Item = bool> {
        self.readers.iter().map(|reader| reader.codec.is_text())
    }
}

/// Some rows of one result.
pub(crate) struct PgBatch {
    plan: Arc<Plan>,
    bytes: Bytes,
    /// Row by row.
    cells: Vec<Cell>,
    rows: usize,
}

/// Where rows are kept.
enum Bytes {
    /// Out of the driver's buffer, which it can use again then.
    Copied(Box<[u8]>),
    /// In the driver's row, where copying would take long.
    Held(Row),
}

/// More is not copied.
const MOST_COPIED: usize = 64 << 10;

impl PgBatch {
    /// So many rows without a cell.
    pub(crate) fn blank(plan: &Arc<Plan>, rows: usize) -> Arc<Self> {
        Arc::new(Self { plan: plan.clone(), bytes: Bytes::Copied(Box::default()), cells: Vec::new(), rows })
    }

    /// The rows that the guard has packed into what the driver takes for one, or that one if it packs none.
    ///
    /// # Errors
    ///
    /// If the bytes are no rows.
    pub(crate) fn of(plan: &Arc<Plan>, row: Row) -> Result<Arc<Self>, NoRows> {
        let columns = plan.readers.len();
        if columns == 0 {
            return Ok(Self::blank(plan, 1));
        }
        if !plan.packs {
            let (bytes, cells) = as_it_is(&row).ok_or(NoRows)?;
            return Ok(Arc::new(Self { plan: plan.clone(), bytes: Bytes::Copied(bytes), cells, rows: 1 }));
        }
        let (packed, cells) = unpacked(&row, columns)?;
        let rows = cells.len() / columns;
        let bytes = if packed.len() <= MOST_COPIED { Bytes::Copied(packed.into()) } else { Bytes::Held(row) };
        Ok(Arc::new(Self { plan: plan.clone(), bytes, cells, rows }))
    }

    /// The bytes of a cell.
    #[inline]
    fn bytes(&self, row: usize, column: usize) -> Result<Option<&[u8]>> {
        let outside = || Error::new(ErrorKind::Internal, "a cell outside of the batch");
        let cell = self.cells.get(row * self.plan.readers.len() + column).ok_or_else(outside)?;
        Ok(cell.of(match &self.bytes {
            Bytes::Copied(bytes) => bytes,
            Bytes::Held(row) => packed(row),
        }))
    }
}

/// Why a connection is given up: the driver would not take such rows one by one either.
pub(crate) const NO_ROWS: &str = "the server sent rows of another form than that of the statement's columns";

/// The server has sent something else than rows of the statement's columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoRows;

/// Gives the rows that the guard has packed to a sink where they are, up to the first that it does not want or cannot read.
///
/// # Errors
///
/// If the bytes are no rows.
pub(crate) fn each(plan: &Plan, row: &Row, sink: &mut dyn LiveSink) -> Result<Result<Flow>, NoRows> {
    let columns = plan.readers.len();
    let (bytes, cells) = unpacked(row, columns)?;
    for cells in cells.chunks_exact(columns) {
        match sink.row(RowRef::live(&plan.columns, &Live { plan, bytes, cells })) {
            Ok(Flow::Continue) => {}
            end => return Ok(end),
        }
    }
    Ok(Ok(Flow::Continue))
}

/// A row in the driver's buffer.
struct Live<'a> {
    plan: &'a Plan,
    bytes: &'a [u8],
    cells: &'a [Cell],
}

impl LiveRow for Live<'_> {
    #[inline]
    fn cell(&self, column: usize) -> Result<ValueRef<'_>> {
        match (self.plan.readers.get(column), self.cells.get(column)) {
            (Some(reader), Some(cell)) => reader.read(cell.of(self.bytes), &self.plan.changes),
            _ => Err(Error::new(ErrorKind::Internal, "a cell outside of the row")),
        }
    }
}

/// What the guard has packed, and where the cells are in it.
fn unpacked(row: &Row, columns: usize) -> Result<(&[u8], Vec<Cell>), NoRows> {
    let packed = packed(row);
    // Behind them are the NULLs of the other columns; most of the time the size alone tells.
    let is_null = |column| matches!(row.try_get(column), Ok(None::<Raw<'_>>));
    if row.raw_size_bytes() != packed.len() + 4 * columns && !(1..columns).all(is_null) {
        return Err(NoRows);
    }
    Ok((packed, unpack(packed, columns).ok_or(NoRows)?))
}

/// What the guard has put into the first column.
fn packed(row: &Row) -> &[u8] {
    row.try_get::<_, Raw<'_>>(0).map_or(&[], |raw| raw.0)
}

/// The cells of a row that is not packed; `None` if they are too long.
fn as_it_is(row: &Row) -> Option<(Box<[u8]>, Vec<Cell>)> {
    let mut bytes = Vec::with_capacity(row.raw_size_bytes());
    let cell = |column| match row.try_get::<_, Option<Raw<'_>>>(column).ok()? {
        Some(Raw(cell)) => Cell::push(cell, &mut bytes),
        None => Some(Cell::NULL),
    };
    let cells = (0..row.len()).map(cell).collect::<Option<_>>()?;
    Some((bytes.into(), cells))
}

/// Whether what came is one row whose first column is a boolean, which is true.
pub(crate) fn is_true(plan: &Arc<Plan>, row: Row) -> bool {
    PgBatch::of(plan, row).is_ok_and(|batch| batch.rows == 1 && matches!(batch.bytes(0, 0), Ok(Some([1]))))
}

/// The text in the first column of the one row that came, if it is no NULL.
pub(crate) fn text_of(plan: &Arc<Plan>, row: Row) -> Option<String> {
    let batch = PgBatch::of(plan, row).ok().filter(|batch| batch.rows == 1)?;
    let bytes = batch.bytes(0, 0).ok()??;
    String::from_utf8(bytes.to_vec()).ok()
}

/// The bytes of a cell, of whatever type; none for NULL.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_ty: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(bytes))
    }

    fn from_sql_null(_ty: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(&[]))
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
        self.rows
    }

    fn cell(&self, row: usize, column: usize) -> Result<ValueRef<'_>> {
        let Some(reader) = self.plan.readers.get(column) else {
            return Err(Error::new(ErrorKind::Internal, "a cell outside of the batch"));
        };
        reader.read(self.bytes(row, column)?, &self.plan.changes)
    }

    fn raw(&self, row: usize, column: usize) -> Option<&[u8]> {
        if column < self.plan.readers.len() { self.bytes(row, column).ok()? } else { None }
    }
}
