//! What every conversion here shares: the error, and the way through core's own types.

use std::{convert::Infallible, error, fmt};

use crate::error::{Error, ErrorKind};

/// A value of one type that another type has no room for.
///
/// Says which class of value it was (`an infinite timestamp`) and which type was asked for, never the value. As an
/// [`Error`] it is [`ErrorKind::Decode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConversionError {
    found: &'static str,
    wanted: &'static str,
}

impl ConversionError {
    pub(super) const fn new(found: &'static str, wanted: &'static str) -> Self {
        Self { found, wanted }
    }

    /// Describes the class of the value, for example `an infinite timestamp`.
    #[must_use]
    pub const fn found(&self) -> &'static str {
        self.found
    }

    /// Names the type that was asked for, for example `chrono::NaiveDate`.
    #[must_use]
    pub const fn wanted(&self) -> &'static str {
        self.wanted
    }
}

impl fmt::Display for ConversionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be read as {}", self.found, self.wanted)
    }
}

impl error::Error for ConversionError {}

impl From<Infallible> for ConversionError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<ConversionError> for Error {
    fn from(error: ConversionError) -> Self {
        Self::new(ErrorKind::Decode, error.to_string())
    }
}

#[cfg(any(
    feature = "bigdecimal",
    feature = "chrono",
    feature = "jiff",
    feature = "json",
    feature = "rust_decimal",
    feature = "time",
    feature = "uuid",
))]
mod refusal {
    use super::ConversionError;
    use crate::error::{Error, ErrorKind};
    use crate::value::{Refused, Value};

    /// A value that is refused when it is bound, for what core's types have no room for.
    pub(in crate::interop) fn refused(error: ConversionError) -> Value {
        Refused::new(error.found(), error.wanted()).into()
    }

    /// The error for a value of another sort.
    #[cold]
    pub(in crate::interop) fn unfit(class: &'static str, is_null: bool, wanted: &'static str) -> Error {
        let error = Error::new(ErrorKind::Decode, format!("{class} cannot be read as {wanted}"));
        if is_null { error.with_hint(format!("ask for Option<{wanted}>")) } else { error }
    }
}

#[cfg(any(
    feature = "bigdecimal",
    feature = "chrono",
    feature = "jiff",
    feature = "json",
    feature = "rust_decimal",
    feature = "time",
    feature = "uuid",
))]
pub(super) use refusal::{refused, unfit};

#[cfg(any(
    feature = "bigdecimal",
    feature = "chrono",
    feature = "jiff",
    feature = "rust_decimal",
    feature = "time",
    feature = "uuid",
))]
mod through {
    use super::{ConversionError, refused, unfit};
    use crate::error::{Error, ErrorKind, Result};
    use crate::misfit::short_type_name;
    use crate::value::{FromValue, Value, ValueRef};

    /// Binds `value` as core's own type `O`.
    pub(in crate::interop) fn bind<T, O>(value: T, make: fn(O) -> Value) -> Value
    where
        O: TryFrom<T, Error: Into<ConversionError>>,
    {
        O::try_from(value).map_or_else(|error| refused(error.into()), make)
    }

    /// Reads a value as core's own type `O`, then as `T`, which errors call `wanted`.
    pub(in crate::interop) fn read<O, T>(value: ValueRef<'_>, wanted: &'static str) -> Result<T>
    where
        O: FromValue,
        T: TryFrom<O, Error: Into<ConversionError>>,
    {
        let (class, is_text, is_null) = (value.describe(), matches!(value, ValueRef::Text(_)), value.is_null());
        let ours = O::from_value(value).map_err(|error| renamed(&error, class, is_text, is_null, wanted))?;
        T::try_from(ours).map_err(|error| {
            let hint = format!("ask for types::{}, which has room for it", short_type_name::<O>());
            Error::from(error.into()).with_hint(hint)
        })
    }

    /// The error of core's own type, in terms of the type that was asked for.
    #[cold]
    fn renamed(error: &Error, class: &'static str, is_text: bool, is_null: bool, wanted: &'static str) -> Error {
        let renamed = if is_text {
            Error::new(ErrorKind::Decode, format!("this {class} does not have the form of {wanted}"))
        } else {
            unfit(class, is_null, wanted)
        };
        match error.hint() {
            Some(hint) if !is_null => renamed.with_hint(hint),
            _ => renamed,
        }
    }

    /// Makes values of types that convert to and from one of core's own; errors call them by the name given.
    macro_rules! values {
        ($($theirs:ty => $ours:ident, $name:literal;)*) => {$(
            impl $crate::value::IntoValue for $theirs {
                const KIND: $crate::value::ValueKind = $crate::value::ValueKind::$ours;
                fn into_value(self) -> $crate::value::Value {
                    $crate::interop::convert::bind(self, $crate::value::Value::$ours)
                }
            }

            impl $crate::value::FromValue for $theirs {
                fn from_value(value: $crate::value::ValueRef<'_>) -> $crate::error::Result<Self> {
                    $crate::interop::convert::read::<$crate::types::$ours, _>(value, $name)
                }
            }
        )*};
    }

    pub(in crate::interop) use values;
}

#[cfg(any(
    feature = "bigdecimal",
    feature = "chrono",
    feature = "jiff",
    feature = "rust_decimal",
    feature = "time",
    feature = "uuid",
))]
pub(super) use through::{bind, read, values};

/// The helpers of the tests of this module's files.
#[cfg(test)]
#[allow(dead_code, reason = "not every feature needs every helper")]
pub(super) mod testing {
    use crate::error::ErrorKind;
    use crate::value::{FromValue, IntoValue, Value, ValueRef};

    /// `value`, bound and read again.
    pub(in crate::interop) fn back<T: IntoValue + FromValue>(value: T) -> T {
        let bound = value.into_value();
        assert!(bound.kind() == T::KIND, "bound as {:?}", bound.kind());
        T::from_value(bound.as_ref()).expect("what was bound reads back")
    }

    /// The message with which `value` is refused as a `T`.
    pub(in crate::interop) fn refusal<T: FromValue>(value: ValueRef<'_>) -> String {
        let error = T::from_value(value).map(drop).expect_err("this does not fit");
        assert_eq!(error.kind(), ErrorKind::Decode);
        error.to_string()
    }

    /// Asserts that `value` is bound as a value that is refused.
    pub(in crate::interop) fn assert_unbindable(value: impl IntoValue) {
        assert!(matches!(value.into_value(), Value::Refused(_)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_class_and_type() {
        let error = ConversionError::new("an infinite timestamp", "chrono::DateTime<Utc>");
        assert_eq!((error.found(), error.wanted()), ("an infinite timestamp", "chrono::DateTime<Utc>"));
        let error = Error::from(error);
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert_eq!(error.to_string(), "an infinite timestamp cannot be read as chrono::DateTime<Utc>");
    }
}
