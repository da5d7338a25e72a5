//! What every backend of the `databases` crate shares: values, rows, errors, URLs, `:name` rewriting and the pool.
//!
//! Applications use the facade crate `databases`. This crate is for those who write a backend: implement
//! [`backend::Backend`], [`backend::Connector`] and [`backend::BackendConnection`], and run the `conformance` suite.

// Lengths and numbers are checked or converted by `From`; a cast that cannot go wrong says why.
#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss
    )
)]

mod array;
mod autocommit;
pub mod backend;
#[cfg(feature = "query-builder")]
mod builder;
mod checked;
mod codec;
mod columns;
mod compose;
#[cfg(feature = "conformance")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests, whose numbers are small and their own"
)]
pub mod conformance;
mod connection;
mod convert;
mod copy;
mod database;
mod error;
mod executor;
mod from_row;
mod interop;
mod limits;
mod many;
mod misfit;
mod now;
mod options;
mod params;
mod pool;
mod query;
mod row;
mod run;
mod sequence;
#[cfg(feature = "serde")]
mod serialize;
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
pub use columns::{Column, Columns};
pub use compose::{Ident, ident};
pub use connection::{Connection, Native};
pub use copy::CopyIn;
pub use database::Pool;
pub use error::{Effect, Error, ErrorKind, NativePosition, Result};
pub use executor::{Call, Executor, ParamRows, RawExecutor};
pub use from_row::{FromRow, Plan};
pub use interop::ConversionError;
#[cfg(feature = "json")]
pub use interop::Json;
pub use misfit::{mismatch, mismatch_as, out_of_range, unparsable};
pub use now::{Done, Rest};
pub use options::{Isolation, LockMode, PoolOptions, TransactionOptions};
pub use params::{Arg, IntoParams, Params};
pub use pool::{AfterConnect, PasswordProvider, PoolConfig, PoolStatus};
pub use query::{IntoQuery, Query, sql};
pub use row::{Cells, ColumnIndex, LiveRow, Row, RowBatch, RowRef};
#[cfg(feature = "query-builder")]
pub use sea_query;
pub use sequence::{FromSequenceItem, List, ListItem, SequenceItem, list};
pub use stream::{BatchStream, RowStream};
pub use transaction::Transaction;
pub use value::{FromValue, IntoValue, Other, Refused, TypeName, Value, ValueKind, ValueRef};

/// What the crate's macros expand to; not API.
#[doc(hidden)]
pub mod __private {
    pub use crate::from_row::Indices;
    pub use crate::params::Arg;
    pub use crate::sequence::{record, record_field, record_fields};

    /// `r#type` names the parameter `type`.
    #[must_use]
    pub const fn strip_raw(name: &'static str) -> &'static str {
        match name.as_bytes() {
            [b'r', b'#', ..] => name.split_at(2).1,
            _ => name,
        }
    }
}
