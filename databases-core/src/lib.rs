//! What every backend of the `databases` crate shares: values, rows, errors, URLs, `:name` rewriting and the pool.
//!
//! Applications use the facade crate `databases`. This crate is for those who write a backend: implement
//! [`backend::Backend`], [`backend::Connector`] and [`backend::BackendConnection`], and run the `conformance` suite.

mod array;
pub mod backend;
#[cfg(feature = "query-builder")]
mod builder;
mod codec;
mod compose;
#[cfg(feature = "conformance")]
pub mod conformance;
mod connection;
mod convert;
mod database;
mod error;
mod executor;
mod interop;
mod options;
mod params;
mod pool;
mod query;
mod row;
mod run;
mod sequence;
mod session;
pub mod sql;
mod stream;
pub mod tls;
mod transaction;
pub mod types;
pub mod url;
mod value;

pub use array::{Array, ArrayShape};
pub use backend::{ExecResult, ServerInfo, Status};
pub use codec::{Codecs, TypeCodec, TypeOptions};
pub use compose::{Ident, ident};
pub use connection::{Connection, Native};
pub use database::Pool;
pub use error::{Effect, Error, ErrorKind, NativePosition, Result};
pub use executor::{Call, Executor, ParamRows, RawExecutor};
pub use interop::ConversionError;
#[cfg(feature = "json")]
pub use interop::Json;
pub use options::{Isolation, LockMode, PoolOptions, TransactionOptions};
pub use params::{Arg, IntoParams, Params};
pub use pool::{AfterConnect, PasswordProvider, PoolConfig, PoolStatus};
pub use query::{IntoQuery, Query, sql};
pub use row::{Column, ColumnIndex, Columns, FromRow, Plan, Row, RowBatch};
#[cfg(feature = "query-builder")]
pub use sea_query;
pub use sequence::{FromSequenceItem, List, ListItem, SequenceItem, list};
pub use stream::{BatchStream, RowStream};
pub use transaction::Transaction;
pub use value::{
    FromValue, IntoValue, Other, Refused, TypeName, Value, ValueKind, ValueRef, mismatch, out_of_range, unparsable,
};

/// What the crate's macros expand to; not API.
#[doc(hidden)]
pub mod __private {
    /// `r#type` names the parameter `type`.
    #[must_use]
    pub const fn strip_raw(name: &'static str) -> &'static str {
        match name.as_bytes() {
            [b'r', b'#', ..] => name.split_at(2).1,
            _ => name,
        }
    }
}
