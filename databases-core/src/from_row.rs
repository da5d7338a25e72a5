//! What a row may be read as: itself, a tuple, a map, or a struct with the derive.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use crate::error::{Error, ErrorKind, Result};
use crate::row::{Columns, Row, RowRef, ambiguous};
use crate::value::FromValue;

/// What a row is read as: [`Row`] itself, a tuple by position, a map or a struct with `#[derive(FromRow)]` by name.
pub trait FromRow: Sized + Send {
    /// Reads the row.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] naming the column that does not fit.
    fn from_row(row: &Row) -> Result<Self>;

    /// Whether [`FromRow::from_row_planned`] reads any row; without, only one of a batch.
    #[doc(hidden)]
    const READS_LIVE: bool = false;

    /// Reads the row; `plan` is empty for the first row of a result and handed on to the next ones.
    #[doc(hidden)]
    fn from_row_planned(row: RowRef<'_>, plan: &mut Plan) -> Result<Self> {
        plan.no_prefix::<Self>()?;
        Self::from_row(row.row().expect("whoever has live rows asks READS_LIVE"))
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
        let is_there = columns.iter().any(|column| column.name().eq_ignore_ascii_case(&name));
        if is_there { columns.index_of(&name) } else { Ok(Self::ABSENT) }
    }

    /// Refuses a type that is read by position, or as a whole, where only some of the columns are meant.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if there is a prefix.
    pub fn no_prefix<T>(&self) -> Result<()> {
        if self.prefix.is_empty() {
            return Ok(());
        }
        let message = format!("{} cannot be read with the prefix `{}`", std::any::type_name::<T>(), self.prefix);
        Err(Error::new(ErrorKind::Decode, message).with_hint("a struct with derive(FromRow) and named fields can"))
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

macro_rules! maps {
    ($([$($generics:tt)*] $map:ty;)*) => {$(
        /// By the names of the columns; two of the same name are an error.
        impl<$($generics)*> FromRow for $map {
            fn from_row(row: &Row) -> Result<Self> {
                let row = RowRef::kept(row);
                let mut map = Self::default();
                for (index, column) in row.columns().iter().enumerate() {
                    if map.insert(column.name().to_owned(), row.get_at::<V>(index)?).is_some() {
                        return Err(ambiguous(column.name()));
                    }
                }
                Ok(map)
            }
        }
    )*};
}

maps! {
    [V: FromValue] BTreeMap<String, V>;
    [V: FromValue, S: BuildHasher + Default + Send] HashMap<String, V, S>;
}

macro_rules! tuples {
    ($(($($name:ident $index:tt),+);)*) => {$(
        impl<$($name: FromValue),+> FromRow for ($($name,)+) {
            const READS_LIVE: bool = true;

            fn from_row(row: &Row) -> Result<Self> {
                Self::from_row_planned(RowRef::kept(row), &mut Plan::default())
            }

            fn from_row_planned(row: RowRef<'_>, plan: &mut Plan) -> Result<Self> {
                plan.no_prefix::<Self>()?;
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
