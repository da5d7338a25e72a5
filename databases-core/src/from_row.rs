//! What a row may be read as: itself, a tuple, a list, a map, or a struct with the derive.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::ops::Deref;

use crate::columns::Columns;
use crate::error::{Error, ErrorKind, Result};
use crate::row::{Row, RowRef, ambiguous};
use crate::value::FromValue;

/// What a row is read as: [`Row`] itself, a tuple or a `Vec` by position, a map or a struct with `#[derive(FromRow)]` by name.
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
    pub indices: Indices,
    /// The plan of each field that is flattened.
    pub flattened: Vec<Plan>,
    /// What the names of the columns begin with.
    prefix: String,
}

/// Positions, of which a few need no memory of their own: most plans are made for one row.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Indices {
    few: [usize; Self::FEW],
    count: usize,
    /// All of them, where they are more.
    many: Vec<usize>,
}

impl Indices {
    const FEW: usize = 8;

    /// The first positions.
    fn first<const N: usize>() -> Self {
        const FIRST: [usize; Indices::FEW] = [0, 1, 2, 3, 4, 5, 6, 7];
        if N <= Self::FEW {
            return Self { few: FIRST, count: N, many: Vec::new() };
        }
        Self { few: FIRST, count: 0, many: (0..N).collect() }
    }

    /// These positions.
    #[must_use]
    pub fn of<const N: usize>(indices: [usize; N]) -> Self {
        let mut few = [0; Self::FEW];
        match few.get_mut(..N) {
            Some(few) => few.copy_from_slice(&indices),
            None => return Self { few, count: 0, many: indices.into() },
        }
        Self { few, count: N, many: Vec::new() }
    }
}

impl Deref for Indices {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        if self.many.is_empty() { &self.few[..self.count] } else { &self.many }
    }
}

impl Plan {
    /// The position of a column that is not there.
    pub const ABSENT: usize = usize::MAX;

    /// Whether the columns are still to be looked up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty() && self.flattened.is_empty()
    }

    /// The positions of the columns of fields that are all needed, `names`, which often stand where they stand.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if there is no such column, or more than one.
    #[inline]
    pub fn positions<const N: usize>(&self, columns: &Columns, names: &'static [&'static str; N]) -> Result<Indices> {
        if self.prefix.is_empty() && columns.begin_with(names) {
            return Ok(Indices::first::<N>());
        }
        let mut found = [0; N];
        for (ordinal, (index, name)) in found.iter_mut().zip(names).enumerate() {
            *index = self.index_of(columns, ordinal, name)?;
        }
        Ok(Indices::of(found))
    }

    /// The position of the column of the field `name`, the `ordinal`th one, which is often where it stands.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if there is no such column, or more than one.
    #[inline]
    pub fn index_of(&self, columns: &Columns, ordinal: usize, name: &str) -> Result<usize> {
        if self.prefix.is_empty() {
            return if columns.is_at(ordinal, name) { Ok(ordinal) } else { columns.index_of(name) };
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

/// By position: all cells, of one type, which may be [`Value`](crate::Value).
impl<V: FromValue> FromRow for Vec<V> {
    const READS_LIVE: bool = true;

    fn from_row(row: &Row) -> Result<Self> {
        Self::from_row_planned(RowRef::kept(row), &mut Plan::default())
    }

    fn from_row_planned(row: RowRef<'_>, plan: &mut Plan) -> Result<Self> {
        plan.no_prefix::<Self>()?;
        let columns = row.columns().len();
        // Collecting results would not tell how many there are.
        let mut cells = Self::with_capacity(columns);
        for index in 0..columns {
            cells.push(row.get_at(index)?);
        }
        Ok(cells)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Column;

    fn columns(names: &[&str]) -> Columns {
        Columns::new(names.iter().map(|name| Column::new(*name, "")).collect())
    }

    #[test]
    fn a_field_is_found_wherever_its_column_stands_and_never_in_one_of_two() {
        let plan = Plan::default();
        for ordinal in 0..4 {
            let abc = columns(&["a", "b", "C"]);
            assert_eq!(plan.index_of(&abc, ordinal, "b").unwrap(), 1);
            assert_eq!(plan.index_of(&abc, ordinal, "c").unwrap(), 2);
            assert!(plan.index_of(&abc, ordinal, "d").is_err());
            assert!(plan.index_of(&columns(&["a", "b", "a"]), ordinal, "a").is_err());
            assert_eq!(plan.flatten("x_").index_of(&columns(&["a", "x_a"]), ordinal, "a").unwrap(), 1);
        }
        // More than are compared with each other.
        let many: Vec<String> = (0..100).map(|index| format!("c{}", index % 99)).collect();
        let many = columns(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(plan.index_of(&many, 0, "c0").is_err());
        assert_eq!(plan.index_of(&many, 7, "c7").unwrap(), 7);
    }

    #[test]
    fn positions_are_kept_however_many_they_are() {
        assert!(Indices::of([]).is_empty());
        assert_eq!(*Indices::of([3, 1]), [3, 1]);
        assert_eq!(*Indices::of([9; 8]), [9; 8]);
        assert_eq!(*Indices::of([5; 9]), [5; 9]);
        assert_eq!(*Indices::first::<3>(), [0, 1, 2]);
        assert_eq!(*Indices::first::<9>(), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn names_that_were_found_once_are_found_in_these_columns_only() {
        const AB: &[&str; 2] = &["a", "b"];
        const BA: &[&str; 2] = &["b", "a"];
        let plan = Plan::default();
        let positions = |columns: &Columns, names| plan.positions(columns, names).map(|found| found.to_vec());
        let (abc, cba, aab) = (columns(&["a", "b", "c"]), columns(&["c", "b", "a"]), columns(&["a", "b", "a"]));
        for _ in 0..3 {
            assert_eq!(positions(&abc, AB).unwrap(), [0, 1]);
            assert_eq!(positions(&abc, BA).unwrap(), [1, 0]);
            assert_eq!(positions(&cba, AB).unwrap(), [2, 1]);
            assert!(positions(&aab, AB).is_err() && positions(&columns(&["a"]), AB).is_err());
        }
        assert!(plan.flatten("x_").positions(&abc, AB).is_err());
    }
}
