//! Ranges of a server's values.

use std::ops::{self, Bound};

/// A range: PostgreSQL's `int4range`, `tstzrange` and their like.
///
/// The server writes ranges of integers and dates anew: `[1,5]` comes back as `[1,6)`.
/// <https://www.postgresql.org/docs/current/rangetypes.html>
///
/// # Examples
///
/// ```
/// use databases_core::types::Range;
/// let days: Range<i32> = (1..8).into();
/// assert!(days.contains(&7) && !days.contains(&8));
/// assert!(!Range::Empty.contains(&7));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Range<T> {
    /// Holds nothing.
    Empty,
    /// Holds what is between its lower and its upper bound.
    Between(Bound<T>, Bound<T>),
}

impl<T: PartialOrd> Range<T> {
    /// Whether `value` is in the range.
    #[must_use]
    pub fn contains(&self, value: &T) -> bool {
        match self {
            Self::Empty => false,
            Self::Between(lower, upper) => ops::RangeBounds::contains(&(lower.as_ref(), upper.as_ref()), value),
        }
    }
}

macro_rules! from {
    ($($range:ty, $value:pat => $lower:expr, $upper:expr;)*) => {$(
        impl<T> From<$range> for Range<T> {
            fn from($value: $range) -> Self {
                Self::Between($lower, $upper)
            }
        }
    )*};
}

from! {
    ops::Range<T>, range => Bound::Included(range.start), Bound::Excluded(range.end);
    ops::RangeFrom<T>, range => Bound::Included(range.start), Bound::Unbounded;
    ops::RangeTo<T>, range => Bound::Unbounded, Bound::Excluded(range.end);
    ops::RangeToInclusive<T>, range => Bound::Unbounded, Bound::Included(range.end);
    ops::RangeFull, _ => Bound::Unbounded, Bound::Unbounded;
}

impl<T> From<ops::RangeInclusive<T>> for Range<T> {
    fn from(range: ops::RangeInclusive<T>) -> Self {
        let (lower, upper) = range.into_inner();
        Self::Between(Bound::Included(lower), Bound::Included(upper))
    }
}
