//! Why a value cannot be written, and where in it.

use databases_core::{Error, ErrorKind, Value};
use tokio_postgres::types::Type;

use crate::types::sql_name;

/// Why a value does not fit.
#[derive(Debug)]
pub(super) enum Problem {
    /// No rule takes this kind of value to this type.
    Kind,
    /// The value is out of the type's range or would lose digits.
    Inexact,
    /// The text does not have the type's form.
    Form,
    /// The text holds a NUL, which PostgreSQL has no text for.
    Nul,
    /// A double where a decimal is wanted.
    Double,
    /// The arrays of an array are not of one length.
    Ragged,
    /// An array of empty arrays.
    EmptyInner,
    /// More dimensions than an array may have.
    Dimensions,
    /// As many fields as the first where the type has as many as the second.
    Fields(usize, usize),
    /// A codec of a type of an extension refuses it.
    Codec(Box<Error>),
    /// A part of the value does not fit.
    Part(String, Box<Problem>),
}

impl Problem {
    /// The problem of a part, seen from the whole.
    #[cold]
    pub(super) fn of_part(self, part: impl Into<String>) -> Self {
        let part = part.into();
        match self {
            Self::Part(inner, problem) => Self::Part(format!("{part}, {inner}"), problem),
            problem => Self::Part(part, Box::new(problem)),
        }
    }

    /// The error of parameter `index`, which the server says is of type `ty`.
    #[cold]
    pub(super) fn of(self, index: usize, ty: &Type, value: &Value) -> Error {
        let (ty, what) = (&*sql_name(ty), value.as_ref().describe());
        let (place, problem) = match self {
            Self::Part(part, problem) => (format!("parameter ${}: {part} of {what}", index + 1), *problem),
            problem => (format!("parameter ${}", index + 1), problem),
        };
        let whole = !place.contains(" of ");
        let why = match problem {
            Self::Codec(error) => return error.with_kind(ErrorKind::Encode).context(place),
            Self::Kind if whole => format!(": {what} cannot be bound as {ty}"),
            Self::Kind | Self::Part(..) => format!(" cannot be bound in {ty}"),
            Self::Inexact if whole => format!(": {what} does not fit {ty} exactly"),
            Self::Inexact => format!(" does not fit exactly in {ty}"),
            Self::Form if whole => format!(": this {what} does not have the form of {ty}"),
            Self::Form => format!(" does not have the form of an item of {ty}"),
            Self::Nul if whole => format!(": {what} with a NUL cannot be bound as {ty}"),
            Self::Nul => format!(" holds a NUL, which cannot be bound as {ty}"),
            Self::Double if whole => format!(": {what} cannot be bound as {ty}: its digits are not exact"),
            Self::Double => format!(" cannot be bound in {ty}: its digits are not exact"),
            Self::Ragged => format!(": the arrays in an array bound as {ty} must be of one length"),
            Self::EmptyInner => {
                format!(": an array of empty arrays cannot be bound as {ty}, which has only one that is empty")
            }
            Self::Dimensions => format!(": an array bound as {ty} can have 6 dimensions at most"),
            Self::Fields(given, wanted) => {
                format!(": a record of {given} fields cannot be bound as {ty}, which has {wanted}")
            }
        };
        let error = Error::new(ErrorKind::Encode, place + &why);
        match problem {
            Self::Double => error.with_hint("bind a Decimal, or cast in SQL: CAST(:name AS double precision)"),
            Self::Kind if matches!(ty, "record" | "record[]") => {
                error.with_hint("the server takes no record without a type: CAST(:name AS its type)")
            }
            Self::Kind if ty == "text" && matches!(value, Value::Array(_)) => {
                error.with_hint("the server takes it for text where nothing else says a type: CAST(:name AS its type)")
            }
            Self::EmptyInner => error.with_hint("bind an empty Vec, and read one back"),
            _ => error,
        }
    }
}
