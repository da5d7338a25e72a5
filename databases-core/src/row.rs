//! Rows: cells stay where the driver put them and are decoded when asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::columns::{Column, Columns};
use crate::error::{Error, ErrorKind, Result};
use crate::from_row::FromRow;
use crate::value::{FromValue, Value, ValueRef};

/// Some rows of one result, as a backend holds them.
///
/// A backend makes one for a whole result or for a part of a stream; [`Row`]s point into it.
pub trait RowBatch: Send + Sync + 'static {
    /// The columns of the result.
    fn columns(&self) -> &Arc<Columns>;

    /// How many rows the batch holds.
    fn len(&self) -> usize;

    /// Whether the batch holds no row.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Decodes a cell. `row` and `column` are within the batch.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if the bytes are not what their type says.
    fn cell(&self, row: usize, column: usize) -> Result<ValueRef<'_>>;

    /// The bytes of a cell as the server sent them, where the driver keeps them; `None` for NULL.
    fn raw(&self, row: usize, column: usize) -> Option<&[u8]>;

    /// The cell, if it is a [`ValueRef::Int`]; a backend may have a shorter way to it, as to the next ones.
    #[inline]
    fn int(&self, row: usize, column: usize) -> Option<i64> {
        match self.cell(row, column) {
            Ok(ValueRef::Int(value)) => Some(value),
            _ => None,
        }
    }

    /// The cell, if it is a [`ValueRef::Float`].
    #[inline]
    fn float(&self, row: usize, column: usize) -> Option<f64> {
        match self.cell(row, column) {
            Ok(ValueRef::Float(value)) => Some(value),
            _ => None,
        }
    }

    /// The cell, if it is a [`ValueRef::Text`].
    #[inline]
    fn text(&self, row: usize, column: usize) -> Option<&str> {
        match self.cell(row, column) {
            Ok(ValueRef::Text(value)) => Some(value),
            _ => None,
        }
    }
}

/// The row that a statement stands at, in the hands of the driver until the next step.
pub trait LiveRow {
    /// Decodes a cell. `column` is within the columns of the result.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if the bytes are not what their type says.
    fn cell(&self, column: usize) -> Result<ValueRef<'_>>;

    /// The cell, if it is a [`ValueRef::Int`]; a backend may have a shorter way to it, as to the next ones.
    fn int(&self, column: usize) -> Option<i64> {
        match self.cell(column) {
            Ok(ValueRef::Int(value)) => Some(value),
            _ => None,
        }
    }

    /// The cell, if it is a [`ValueRef::Float`].
    fn float(&self, column: usize) -> Option<f64> {
        match self.cell(column) {
            Ok(ValueRef::Float(value)) => Some(value),
            _ => None,
        }
    }

    /// The cell, if it is a [`ValueRef::Text`].
    fn text(&self, column: usize) -> Option<&str> {
        match self.cell(column) {
            Ok(ValueRef::Text(value)) => Some(value),
            _ => None,
        }
    }
}

/// A row of a batch, read as one that a statement stands at.
struct Kept<'a>(&'a Row);

impl LiveRow for Kept<'_> {
    #[inline]
    fn cell(&self, column: usize) -> Result<ValueRef<'_>> {
        self.0.batch.cell(self.0.index, column)
    }

    #[inline]
    fn int(&self, column: usize) -> Option<i64> {
        self.0.batch.int(self.0.index, column)
    }

    #[inline]
    fn float(&self, column: usize) -> Option<f64> {
        self.0.batch.float(self.0.index, column)
    }

    #[inline]
    fn text(&self, column: usize) -> Option<&str> {
        self.0.batch.text(self.0.index, column)
    }
}

/// A row that is read where it is: in a batch, or in the hands of the driver. What derives read.
#[derive(Clone, Copy)]
pub struct RowRef<'a> {
    columns: &'a Columns,
    source: Source<'a>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Kept(&'a Row),
    Live(&'a dyn LiveRow),
}

impl<'a> RowRef<'a> {
    /// The row that a statement stands at.
    #[must_use]
    pub fn live(columns: &'a Columns, row: &'a dyn LiveRow) -> Self {
        Self { columns, source: Source::Live(row) }
    }

    /// A row of a batch.
    #[inline]
    #[must_use]
    pub fn kept(row: &'a Row) -> Self {
        Self { columns: row.columns(), source: Source::Kept(row) }
    }

    /// The row, if it is one of a batch.
    pub(crate) fn row(&self) -> Option<&'a Row> {
        match self.source {
            Source::Kept(row) => Some(row),
            Source::Live(_) => None,
        }
    }

    /// The columns of the result.
    #[must_use]
    pub fn columns(&self) -> &'a Columns {
        self.columns
    }

    /// Reads the cell at position `index`, counted from 0.
    ///
    /// # Errors
    ///
    /// As [`Row::get`].
    #[inline]
    pub fn get_at<T: FromValue>(&self, index: usize) -> Result<T> {
        if index >= self.columns.len() {
            return Err(no_such_index(self.columns, index));
        }
        let value = match self.source {
            Source::Kept(row) => T::from_live(&Kept(row), index),
            Source::Live(row) => T::from_live(row, index),
        };
        value.map_err(|error| name_column(self.columns, index, error))
    }
}

impl fmt::Debug for RowRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RowRef").field(&self.columns.iter().map(Column::name).collect::<Vec<_>>()).finish()
    }
}

/// One row of a result. Cheap to clone.
#[derive(Clone)]
pub struct Row {
    batch: Arc<dyn RowBatch>,
    index: usize,
}

impl Row {
    /// The row at `index` of `batch`.
    ///
    /// # Panics
    ///
    /// If the batch has no such row.
    #[must_use]
    pub fn new(batch: Arc<dyn RowBatch>, index: usize) -> Self {
        assert!(index < batch.len(), "a row of the batch");
        Self { batch, index }
    }

    /// Becomes the next row of its batch, which has one.
    pub(crate) fn advance(&mut self) {
        self.index += 1;
    }

    /// Calls `f` with each of the first `count` rows of `batch` until it fails. One reference serves them all.
    pub(crate) fn for_first(
        batch: Arc<dyn RowBatch>,
        count: usize,
        mut f: impl FnMut(&Self) -> Result<()>,
    ) -> Result<()> {
        let mut row = Self { batch, index: 0 };
        while row.index < count {
            f(&row)?;
            row.advance();
        }
        Ok(())
    }

    /// Reads the cell at `index`: a position counted from 0, or a column's name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] naming the column and its type: no such column, an ambiguous name, or a value that does
    /// not fit `T` exactly.
    #[inline]
    pub fn get<T: FromValue>(&self, index: impl ColumnIndex) -> Result<T> {
        let columns = self.columns();
        let index = index.index(columns)?;
        let cell = self.batch.cell(self.index, index);
        cell.and_then(T::from_value).map_err(|error| name_column(columns, index, error))
    }

    /// Borrows the cell at `index`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`]: no such column, an ambiguous name, or bytes that are not what their type says.
    pub fn get_ref(&self, index: impl ColumnIndex) -> Result<ValueRef<'_>> {
        let index = index.index(self.columns())?;
        self.cell(index).map_err(|error| name_column(self.columns(), index, error))
    }

    /// The bytes of the cell at `index` as the server sent them; `None` for NULL.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`]: no such column, or an ambiguous name.
    pub fn get_raw(&self, index: impl ColumnIndex) -> Result<Option<&[u8]>> {
        let index = index.index(self.columns())?;
        Ok(self.batch.raw(self.index, index))
    }

    /// The columns of the result.
    #[inline]
    #[must_use]
    pub fn columns(&self) -> &Columns {
        self.batch.columns()
    }

    /// How many cells the row has.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns().len()
    }

    /// Whether the row has no cells.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cells in order, each with its column.
    ///
    /// A cell that cannot be decoded is an error of its own and leaves the others readable.
    ///
    /// # Examples
    ///
    /// ```
    /// # use databases_core::{Result, Row};
    /// fn nulls(row: &Row) -> Result<Vec<&str>> {
    ///     let mut names = Vec::new();
    ///     for (column, cell) in row {
    ///         if cell?.is_null() {
    ///             names.push(column.name());
    ///         }
    ///     }
    ///     Ok(names)
    /// }
    /// ```
    #[must_use]
    pub fn iter(&self) -> Cells<'_> {
        Cells { row: self, columns: self.columns().iter().enumerate() }
    }

    /// The cells as owned values by the names of their columns.
    ///
    /// `fetch_all::<HashMap<String, Value>>` reads whole results so; any other type of values works as well. With the
    /// feature `serde`, `serde_json::to_string(&rows)` is the shorter way to JSON.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if two columns have the same name, or a cell cannot be decoded.
    pub fn to_map(&self) -> Result<BTreeMap<String, Value>> {
        FromRow::from_row(self)
    }

    fn cell(&self, index: usize) -> Result<ValueRef<'_>> {
        if index >= self.len() {
            return Err(no_such_index(self.columns(), index));
        }
        self.batch.cell(self.index, index)
    }
}

#[cold]
fn name_column(columns: &Columns, index: usize, error: Error) -> Error {
    match columns.get(index) {
        Some(column) if column.type_name().is_empty() => {
            error.context(format_args!("column `{}`", column.name().escape_debug()))
        }
        Some(column) => {
            error.context(format_args!("column `{}` ({})", column.name().escape_debug(), column.type_name()))
        }
        None => error,
    }
}

/// The cells of a [`Row`] with their columns; made by [`Row::iter`].
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    row: &'a Row,
    columns: std::iter::Enumerate<std::slice::Iter<'a, Column>>,
}

impl<'a> Iterator for Cells<'a> {
    type Item = (&'a Column, Result<ValueRef<'a>>);

    fn next(&mut self) -> Option<Self::Item> {
        let (index, column) = self.columns.next()?;
        Some((column, self.row.cell(index).map_err(|error| name_column(self.row.columns(), index, error))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.columns.size_hint()
    }
}

impl ExactSizeIterator for Cells<'_> {}

impl<'a> IntoIterator for &'a Row {
    type Item = (&'a Column, Result<ValueRef<'a>>);
    type IntoIter = Cells<'a>;

    fn into_iter(self) -> Cells<'a> {
        self.iter()
    }
}

// The cells are data of users: a row prints its columns only.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Row").field(&self.columns().iter().map(Column::name).collect::<Vec<_>>()).finish()
    }
}

#[cold]
fn no_such_index(columns: &Columns, index: usize) -> Error {
    let len = columns.len();
    Error::new(ErrorKind::Decode, format!("no column at index {index}; the row has {len}, counted from 0"))
}

/// The error for a name that two columns have.
#[cold]
pub(crate) fn ambiguous(name: &str) -> Error {
    Error::new(ErrorKind::Decode, format!("the column name `{}` is ambiguous", name.escape_debug()))
        .with_hint("give the columns different names with AS, or read them by index")
}

/// A way to name a column: a position counted from 0, or a name.
pub trait ColumnIndex {
    /// The position in `columns`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if there is no such column, or the name is ambiguous.
    fn index(&self, columns: &Columns) -> Result<usize>;
}

impl ColumnIndex for usize {
    #[inline]
    fn index(&self, columns: &Columns) -> Result<usize> {
        if *self < columns.len() { Ok(*self) } else { Err(no_such_index(columns, *self)) }
    }
}

impl ColumnIndex for str {
    fn index(&self, columns: &Columns) -> Result<usize> {
        columns.index_of(self)
    }
}

impl ColumnIndex for String {
    fn index(&self, columns: &Columns) -> Result<usize> {
        columns.index_of(self)
    }
}

impl<T: ColumnIndex + ?Sized> ColumnIndex for &T {
    fn index(&self, columns: &Columns) -> Result<usize> {
        (**self).index(columns)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    struct Table(Arc<Columns>, Vec<Vec<Value>>);

    impl RowBatch for Table {
        fn columns(&self) -> &Arc<Columns> {
            &self.0
        }
        fn len(&self) -> usize {
            self.1.len()
        }
        fn cell(&self, row: usize, column: usize) -> Result<ValueRef<'_>> {
            Ok(self.1[row][column].as_ref())
        }
        fn raw(&self, _: usize, _: usize) -> Option<&[u8]> {
            None
        }
    }

    fn row(names: &[&str], cells: Vec<Value>) -> Row {
        let columns = names.iter().map(|name| Column::new(*name, "int4")).collect();
        Row::new(Arc::new(Table(Arc::new(Columns::new(columns)), vec![cells])), 0)
    }

    #[test]
    fn exact_names_come_before_other_case_and_ambiguous_ones_are_errors() {
        let row = row(&["id", "ID", "x", "x"], [1, 2, 3, 4].map(Value::Int).into());
        assert_eq!(row.get::<i64>("id").unwrap(), 1);
        assert_eq!(row.get::<i64>("ID").unwrap(), 2);
        assert_eq!(row.get::<i64>("Id").unwrap_err().to_string(), "the column name `Id` is ambiguous");
        assert_eq!(row.get::<i64>("x").unwrap_err().to_string(), "the column name `x` is ambiguous");
        assert_eq!(row.get::<i64>(3).unwrap(), 4);
        assert_eq!(row.get::<i64>("X").unwrap_err().kind(), ErrorKind::Decode);
    }

    #[test]
    fn cells_are_iterated_in_order_and_collected_by_name() {
        let row = row(&["b", "a"], vec![Value::Int(1), Value::Null]);
        let cells: Vec<_> = row.iter().map(|(column, cell)| (column.name(), cell.unwrap())).collect();
        assert_eq!(cells, [("b", ValueRef::Int(1)), ("a", ValueRef::Null)]);
        assert_eq!(row.into_iter().len(), 2);
        let map = row.to_map().unwrap();
        assert_eq!(map, BTreeMap::from([("a".to_owned(), Value::Null), ("b".to_owned(), Value::Int(1))]));
        let typed = HashMap::<String, Option<i16>>::from_row(&row).unwrap();
        assert_eq!(typed, HashMap::from([("a".to_owned(), None), ("b".to_owned(), Some(1))]));
        let error = BTreeMap::<String, i16>::from_row(&row).unwrap_err();
        assert_eq!(error.to_string(), "column `a` (int4): NULL cannot be read as i16");
    }

    #[test]
    fn a_map_has_no_place_for_two_columns_of_one_name() {
        let row = row(&["x", "y", "x"], [1, 2, 3].map(Value::Int).into());
        let error = row.to_map().unwrap_err();
        assert_eq!(error.to_string(), "the column name `x` is ambiguous");
        assert_eq!(error.hint(), Some("give the columns different names with AS, or read them by index"));
        assert!(HashMap::<String, Value>::from_row(&row).is_err());
    }

    #[test]
    fn errors_name_the_column_its_type_and_the_rust_type() {
        let row = row(&["n", "m"], vec![Value::Null, Value::Int(70_000)]);
        assert_eq!(row.get::<i64>("n").unwrap_err().to_string(), "column `n` (int4): NULL cannot be read as i64");
        assert_eq!(row.get::<i16>(1).unwrap_err().to_string(), "column `m` (int4): an integer is out of range for i16");
        assert_eq!(row.get::<i16>("k").unwrap_err().to_string(), "no column `k`; there are `n`, `m`");
        assert_eq!(
            <(i64, i64, i64)>::from_row(&row).unwrap_err().to_string(),
            "column `n` (int4): NULL cannot be read as i64"
        );
    }
}
