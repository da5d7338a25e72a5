//! Values made of values: arrays, lists, records and ranges.

use std::fmt;

use crate::value::{Value, ValueKind};

/// A value made of values: an array, a `list(..)` that expands where the rules of `:name` allow it, a record or a range.
#[derive(Clone, PartialEq)]
pub struct Array {
    pub(crate) items: Vec<Value>,
    pub(crate) shape: ArrayShape,
    pub(crate) element: ValueKind,
    lower_bounds: Box<[i32]>,
}

/// What the items of an [`Array`] are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArrayShape {
    /// A sequence; one of sequences is an array of more dimensions.
    Sequence,
    /// `list(..)` of scalars.
    List,
    /// `list(..)` of tuples; each item is an `Array` of shape `Tuple`.
    Tuples,
    /// One item of a list of tuples.
    Tuple,
    /// The fields of a record, in order.
    Record,
    /// Pairs of a key and a value, each an `Array` of shape `Record`.
    Map,
    /// A range that is not empty: two items, its lower and its upper bound, NULL where it has none.
    Range {
        /// Whether the lower bound is in the range.
        lower_inclusive: bool,
        /// Whether the upper bound is in the range.
        upper_inclusive: bool,
    },
    /// The range that holds nothing: no items.
    EmptyRange,
}

impl Array {
    /// A plain sequence of items of one kind.
    #[must_use]
    pub fn new(items: Vec<Value>, element: ValueKind) -> Self {
        Self::shaped(ArrayShape::Sequence, items, element)
    }

    /// A record of these fields.
    #[must_use]
    pub fn record(fields: Vec<Value>) -> Self {
        Self::shaped(ArrayShape::Record, fields, ValueKind::Any)
    }

    /// A map of these keys and values (PostgreSQL's `hstore`).
    #[must_use]
    pub fn map(pairs: impl IntoIterator<Item = (Value, Value)>) -> Self {
        let record = |(key, value)| Value::Array(Box::new(Self::record(vec![key, value])));
        Self::shaped(ArrayShape::Map, pairs.into_iter().map(record).collect(), ValueKind::Array)
    }

    /// A range from `lower` to `upper`, each with whether it is in the range; NULL stands for no bound.
    #[must_use]
    pub fn range(lower: (Value, bool), upper: (Value, bool), element: ValueKind) -> Self {
        let shape = ArrayShape::Range { lower_inclusive: lower.1, upper_inclusive: upper.1 };
        Self::shaped(shape, vec![lower.0, upper.0], element)
    }

    /// The range that holds nothing.
    #[must_use]
    pub fn empty_range(element: ValueKind) -> Self {
        Self::shaped(ArrayShape::EmptyRange, Vec::new(), element)
    }

    pub(crate) fn shaped(shape: ArrayShape, items: Vec<Value>, element: ValueKind) -> Self {
        Self { items, shape, element, lower_bounds: Box::default() }
    }

    /// The same array with the index of the first item of each dimension, where one is not 1 (PostgreSQL).
    #[must_use]
    pub fn with_lower_bounds(mut self, bounds: &[i32]) -> Self {
        self.lower_bounds = if bounds.iter().all(|bound| *bound == 1) { Box::default() } else { bounds.into() };
        self
    }

    /// The index of the first item of each dimension; empty if it is 1 in all of them.
    ///
    /// A `Vec` has no place for it, so it is lost where the array is read as one.
    #[must_use]
    pub fn lower_bounds(&self) -> &[i32] {
        &self.lower_bounds
    }

    /// What the items are to each other.
    #[must_use]
    pub fn shape(&self) -> ArrayShape {
        self.shape
    }

    /// The items.
    #[must_use]
    pub fn items(&self) -> &[Value] {
        &self.items
    }

    /// The kind of the items, known even for an empty array; of an array of more dimensions, of the innermost items.
    #[must_use]
    pub fn element_kind(&self) -> ValueKind {
        self.element
    }

    /// Takes the items out.
    #[must_use]
    pub fn into_items(self) -> Vec<Value> {
        self.items
    }

    /// Whether SQL takes this for one value: a record, a map or a range.
    pub(crate) fn is_scalar(&self) -> bool {
        use ArrayShape::*;
        matches!(self.shape, Record | Map | Range { .. } | EmptyRange)
    }

    pub(crate) fn describe(&self) -> &'static str {
        match self.shape {
            ArrayShape::Sequence => "an array",
            ArrayShape::List | ArrayShape::Tuples => "a list",
            ArrayShape::Tuple | ArrayShape::Record => "a record",
            ArrayShape::Map => "a map",
            ArrayShape::Range { .. } | ArrayShape::EmptyRange => "a range",
        }
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array({:?}, len {}, {:?})", self.shape, self.items.len(), self.element)
    }
}
