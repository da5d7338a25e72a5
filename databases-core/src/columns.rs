//! The columns of a result.

use std::sync::OnceLock;

use crate::error::{Error, ErrorKind, Result};
use crate::row::ambiguous;
use crate::value::TypeName;

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
#[derive(Clone, Debug, Default)]
pub struct Columns {
    all: Box<[Column]>,
    /// Whether two of them have the same name, or there are too many to compare each with each.
    repeats: bool,
    /// Names that they were found to begin with: those of the first struct that they were read as.
    begin: OnceLock<&'static [&'static str]>,
}

impl PartialEq for Columns {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

impl Eq for Columns {}

impl Columns {
    /// Columns in the order of the result.
    #[must_use]
    pub fn new(columns: Vec<Column>) -> Self {
        const COMPARED: usize = 32;
        let is_there = |index: usize, column: &Column| columns[..index].iter().any(|other| other.name == column.name);
        let repeats =
            columns.len() > COMPARED || columns.iter().enumerate().any(|(index, column)| is_there(index, column));
        Self { all: columns.into(), repeats, begin: OnceLock::new() }
    }

    /// Whether the column at `index` is certainly the one named `name`.
    #[inline]
    pub(crate) fn is_at(&self, index: usize, name: &str) -> bool {
        !self.repeats && self.all.get(index).is_some_and(|column| *column.name == *name)
    }

    /// Whether the first columns are certainly those named `names`, in this order.
    // Names that were compared once are known by their address: columns are kept with their statement.
    #[inline]
    pub(crate) fn begin_with(&self, names: &'static [&'static str]) -> bool {
        self.begin.get().is_some_and(|known| std::ptr::eq(*known, names)) || self.are_first(names)
    }

    #[inline(never)]
    fn are_first(&self, names: &'static [&'static str]) -> bool {
        let are =
            names.len() <= self.all.len() && names.iter().enumerate().all(|(index, name)| self.is_at(index, name));
        if are {
            // For the first struct only; most results are always read as the same.
            let _ = self.begin.set(names);
        }
        are
    }

    /// How many there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The column at `index`, counted from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Column> {
        self.all.get(index)
    }

    /// The columns in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Column> {
        self.all.iter()
    }

    /// The index of the column named `name`: the exact name first, then without regard to ASCII case.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if there is no such column, or more than one.
    pub fn index_of(&self, name: &str) -> Result<usize> {
        if let Some(index) = self.unique(name, |column| column == name)? {
            return Ok(index);
        }
        if let Some(index) = self.unique(name, |column| column.eq_ignore_ascii_case(name))? {
            return Ok(index);
        }
        let names: Vec<_> = self.all.iter().map(|column| format!("`{}`", column.name.escape_debug())).collect();
        let message = format!("no column `{}`; there are {}", name.escape_debug(), names.join(", "));
        Err(Error::new(ErrorKind::Decode, message))
    }

    #[inline]
    fn unique(&self, name: &str, matches: impl Fn(&str) -> bool) -> Result<Option<usize>> {
        let Some(first) = self.all.iter().position(|column| matches(&column.name)) else { return Ok(None) };
        if self.all[first + 1..].iter().any(|column| matches(&column.name)) {
            return Err(ambiguous(name));
        }
        Ok(Some(first))
    }
}

impl<'a> IntoIterator for &'a Columns {
    type Item = &'a Column;
    type IntoIter = std::slice::Iter<'a, Column>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
