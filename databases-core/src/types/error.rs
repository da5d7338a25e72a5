//! The one error of this module's conversions. It never holds the value that was refused.

use std::{error, fmt};

/// A text, a wire form or a value of another type that is not a value of the type asked for.
///
/// Says which form was expected and never what was found: a value may be secret, and errors end up in logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParseTypeError {
    expected: &'static str,
}

impl ParseTypeError {
    pub(super) const fn new(expected: &'static str) -> Self {
        Self { expected }
    }

    /// Describes the form that was expected, for example `a date like 2024-12-31`.
    #[must_use]
    pub const fn expected(&self) -> &'static str {
        self.expected
    }
}

impl fmt::Display for ParseTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)
    }
}

impl error::Error for ParseTypeError {}
