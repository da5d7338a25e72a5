//! Rows: cells stay where the driver put them and are decoded when asked for.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::value::{FromValue, TypeName, ValueRef};

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    name: Box<str>,
    type_name: TypeName,
}

impl Column {
    /// A column of the server's type `type_name`.
    #[must_use]
    pub fn new(name: impl Into<Box<str>>, type_name: impl Into<TypeName>) -> Self {
        Self { name: name.into(), type_name: type_name.into() }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server's name of the type; on SQLite the declared type, or empty where there is none.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// The same, for a [`ValueRef::Other`](crate::ValueRef::Other) of this column.
    #[must_use]
    pub fn type_name_ref(&self) -> &TypeName {
        &self.type_name
    }
}

/// The columns of a result, shared by its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns(Box<[Column]>);

impl Columns {
    /// Columns in the order of the result.
    #[must_use]
    pub fn new(columns: Vec<Column>) -> Self {
        Self(columns.into())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The column at `index`, counted from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Column> {
        self.0.get(index)
    }

    /// The columns in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Column> {
        self.0.iter()
    }

    /// The index of the column named `name`: the exact name first, then without regard to ASCII case.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if there is no such column, or more than one.
    pub fn index_of(&self, name: &str) -> Result<usize> {
        let unique = |matches: &dyn Fn(&str) -> bool| -> Result<Option<usize>> {
            let mut found = self.0.iter().enumerate().filter(|(_, column)| matches(&column.name));
            let first = found.next().map(|(index, _)| index);
            match (first, found.next()) {
                (Some(_), Some(_)) => Err(Error::new(
                    ErrorKind::Decode,
                    format!("the column name `{}` is ambiguous", name.escape_debug()),
                )
                .with_hint("give the columns different names with AS, or read them by index")),
                (first, _) => Ok(first),
            }
        };
        if let Some(index) = unique(&|column| column == name)? {
            return Ok(index);
        }
        if let Some(index) = unique(&|column| column.eq_ignore_ascii_case(name))? {
            return Ok(index);
        }
        let names: Vec<_> = self.0.iter().map(|column| format!("`{}`", column.name.escape_debug())).collect();
        let message = format!("no column `{}`; there are {}", name.escape_debug(), names.join(", "));
        Err(Error::new(ErrorKind::Decode, message))
    }
}

impl<'a> IntoIterator for &'a Columns {
    type Item = &'a Column;
    type IntoIter = std::slice::Iter<'a, Column>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

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

    /// Calls `f` with each of the first `count` rows of `batch` until it fails. One reference serves them all.
    pub(crate) fn for_first(
        batch: Arc<dyn RowBatch>,
        count: usize,
        mut f: impl FnMut(&Self) -> Result<()>,
    ) -> Result<()> {
        let mut row = Self { batch, index: 0 };
        while row.index < count {
            f(&row)?;
            row.index += 1;
        }
        Ok(())
    }

    /// Reads the cell at `index`: a position counted from 0, or a column's name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] naming the column and its type: no such column, an ambiguous name, or a value that does
    /// not fit `T` exactly.
    pub fn get<T: FromValue>(&self, index: impl ColumnIndex) -> Result<T> {
        let index = index.index(self.columns())?;
        self.get_at(index)
    }

    /// Reads the cell at position `index`; the form that derives use.
    #[doc(hidden)]
    pub fn get_at<T: FromValue>(&self, index: usize) -> Result<T> {
        self.cell(index).and_then(T::from_value).map_err(|error| self.name_column(index, error))
    }

    /// Borrows the cell at `index`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`]: no such column, an ambiguous name, or bytes that are not what their type says.
    pub fn get_ref(&self, index: impl ColumnIndex) -> Result<ValueRef<'_>> {
        let index = index.index(self.columns())?;
        self.cell(index).map_err(|error| self.name_column(index, error))
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
    #[must_use]
    pub fn columns(&self) -> &Columns {
        self.batch.columns()
    }

    /// How many cells the row has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns().len()
    }

    /// Whether the row has no cells.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn cell(&self, index: usize) -> Result<ValueRef<'_>> {
        if index >= self.len() {
            return Err(no_such_index(self.columns(), index));
        }
        self.batch.cell(self.index, index)
    }

    #[cold]
    fn name_column(&self, index: usize, error: Error) -> Error {
        match self.columns().get(index) {
            Some(column) if column.type_name.is_empty() => {
                error.context(format_args!("column `{}`", column.name.escape_debug()))
            }
            Some(column) => {
                error.context(format_args!("column `{}` ({})", column.name.escape_debug(), column.type_name.as_str()))
            }
            None => error,
        }
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

/// What a row is read as: [`Row`] itself, a tuple by position, or a struct with `#[derive(FromRow)]` by name.
pub trait FromRow: Sized + Send {
    /// Reads the row.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] naming the column that does not fit.
    fn from_row(row: &Row) -> Result<Self>;

    /// Reads the row; `plan` is empty for the first row of a result and handed on to the next ones.
    #[doc(hidden)]
    fn from_row_planned(row: &Row, plan: &mut Plan) -> Result<Self> {
        if plan.prefix.is_empty() {
            return Self::from_row(row);
        }
        let message = format!("{} cannot be read with the prefix `{}`", std::any::type_name::<Self>(), plan.prefix);
        Err(Error::new(ErrorKind::Decode, message).with_hint("a struct with derive(FromRow) and named fields can"))
    }
}

/// Where in a result a struct finds its fields; filled at the first row.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Plan {
    /// The position of each field's column; [`Plan::ABSENT`] where there is none and none is needed.
    pub indices: Vec<usize>,
    /// The plan of each field that is flattened.
    pub flattened: Vec<Plan>,
    /// What the names of the columns begin with.
    prefix: String,
}

impl Plan {
    /// The position of a column that is not there.
    pub const ABSENT: usize = usize::MAX;

    /// Whether the columns are still to be looked up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty() && self.flattened.is_empty()
    }

    /// The position of the column of the field `name`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if there is no such column, or more than one.
    pub fn index_of(&self, columns: &Columns, name: &str) -> Result<usize> {
        if self.prefix.is_empty() {
            return columns.index_of(name);
        }
        columns.index_of(&format!("{}{name}", self.prefix))
    }

    /// The same, or [`Plan::ABSENT`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if there is more than one such column.
    pub fn index_if_there(&self, columns: &Columns, name: &str) -> Result<usize> {
        let name = format!("{}{name}", self.prefix);
        let is_there = columns.iter().any(|column| column.name.eq_ignore_ascii_case(&name));
        if is_there { columns.index_of(&name) } else { Ok(Self::ABSENT) }
    }

    /// The empty plan of a field that is flattened, the names of whose columns begin with `prefix` beside this one's.
    #[must_use]
    pub fn flatten(&self, prefix: &str) -> Self {
        Self { prefix: format!("{}{prefix}", self.prefix), ..Self::default() }
    }
}

impl FromRow for Row {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(row.clone())
    }
}

macro_rules! tuples {
    ($(($($name:ident $index:tt),+);)*) => {$(
        impl<$($name: FromValue),+> FromRow for ($($name,)+) {
            fn from_row(row: &Row) -> Result<Self> {
                Ok(($(row.get_at::<$name>($index)?,)+))
            }
        }
    )*};
}

tuples! {
    (A 0);
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
    (A 0, B 1, C 2, D 3, E 4);
    (A 0, B 1, C 2, D 3, E 4, F 5);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14);
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

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
