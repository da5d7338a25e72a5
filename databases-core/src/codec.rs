//! Types of extensions: read and written by codecs that are registered by the type's name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::value::{Value, ValueRef};

/// Reads and writes the values of one type that this crate does not know, in the server's binary form.
///
/// Arrays of such values are read and bound too; what is bound has one dimension, since the values may be arrays themselves.
/// Without a codec such a value is read and bound as the server's text of it. Only PostgreSQL has such types.
///
/// # Examples
///
/// A codec that keeps the binary form as bytes:
///
/// ```
/// use databases_core::{Result, TypeCodec, Value, ValueRef, Error, ErrorKind};
///
/// #[derive(Debug)]
/// struct Raw;
///
/// impl TypeCodec for Raw {
///     fn decode<'a>(&self, bytes: &'a [u8]) -> Result<ValueRef<'a>> {
///         Ok(ValueRef::Bytes(bytes))
///     }
///     fn encode(&self, value: &Value) -> Result<Vec<u8>> {
///         match value {
///             Value::Bytes(bytes) => Ok(bytes.clone()),
///             _ => Err(Error::new(ErrorKind::Encode, "only bytes can be bound")),
///         }
///     }
/// }
/// ```
pub trait TypeCodec: fmt::Debug + Send + Sync + 'static {
    /// Reads a value that is not NULL.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if the bytes are not what the type says. The column is added.
    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<ValueRef<'a>>;

    /// Writes a value that is neither NULL nor text; text goes to the server as it is, which reads it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Encode`](crate::ErrorKind::Encode) for a value that the type has no room for, without the value.
    /// The parameter is added.
    fn encode(&self, value: &Value) -> Result<Vec<u8>>;
}

/// Codecs by the name of their type, as the server's catalogue has it, without a schema.
#[derive(Clone, Default)]
pub struct Codecs(Arc<BTreeMap<String, Arc<dyn TypeCodec>>>);

impl Codecs {
    /// Adds `codec` for the type `name`; a later one takes the place of an earlier.
    pub fn insert(&mut self, name: impl Into<String>, codec: impl TypeCodec) {
        Arc::make_mut(&mut self.0).insert(name.into(), Arc::new(codec));
    }

    /// The codec of the type `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn TypeCodec>> {
        self.0.get(name)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Codecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What connections are told of types beyond those that the backend knows.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TypeOptions {
    /// Codecs of types of extensions.
    pub codecs: Codecs,
    /// Types that are looked up when a connection is opened, and not when a statement first needs them: names as in SQL,
    /// `mood` or `app.mood`.
    pub preload: Vec<String>,
}
