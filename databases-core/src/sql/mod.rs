//! SQL text: the scanner, `:name` rewriting and statement classes.
//!
//! One text with `:name` parameters goes in; what a server understands comes out: `$1` on PostgreSQL, `?` on MySQL and
//! MariaDB, `?1` on SQLite, together with the order in which values are bound. The scanner follows the server's own idea of
//! literals, quoted identifiers and comments, session modes included, and copies them byte for byte.
//!
//! It looks at the names and shapes of values, never at the values: no value can reach the text or an error message.
//! It keeps no global state, needs no connection and knows nothing of the rest of the crate.
//!
//! ```
//! use databases_core::sql::{Dialect, RewriteOptions, Shape, ItemShape, Values, rewrite};
//!
//! /// Two values: a number and a list of three.
//! struct Two;
//! impl Values for Two {
//!     fn len(&self) -> usize { 2 }
//!     fn name(&self, index: usize) -> &str { ["age", "ids"][index] }
//!     fn shape(&self, index: usize) -> Shape {
//!         [Shape::Scalar, Shape::List { len: 3, tuples: false }][index]
//!     }
//!     fn item_shape(&self, _index: usize, _item: usize) -> ItemShape { ItemShape::Scalar }
//! }
//!
//! let sql = "SELECT name FROM users WHERE id IN (:ids) AND age > :age -- :not_this";
//! let options = RewriteOptions::default();
//! let native = |dialect| rewrite(sql, dialect, &Two, options).map(|bound| bound.sql.to_string());
//! assert_eq!(native(Dialect::POSTGRES)?, "SELECT name FROM users WHERE id = ANY ($1) AND age > $2 -- :not_this");
//! assert_eq!(native(Dialect::MYSQL)?, "SELECT name FROM users WHERE id IN (?, ?, ?) AND age > ? -- :not_this");
//! assert_eq!(native(Dialect::SQLITE)?, "SELECT name FROM users WHERE id IN (?1, ?2, ?3) AND age > ?4 -- :not_this");
//! # Ok::<(), databases_core::sql::SqlError>(())
//! ```

mod bind;
mod blocks;
mod cache;
mod class;
mod classify;
mod dialect;
mod effects;
mod error;
mod hint;
mod identifier;
mod insert;
mod keyword;
mod lexer;
mod locate;
mod pace;
mod script;
mod slots;
mod template;
mod values;

#[cfg(test)]
mod tests;

pub use bind::{RewriteOptions, rewrite};
pub(crate) use cache::LONGEST_TEXT_BYTES;
pub use cache::TemplateCache;
pub use class::{StatementClass, Verb};
pub use dialect::{Dialect, DialectKind};
pub use error::{SqlError, SqlErrorKind};
pub(crate) use identifier::find_loose_identifier;
pub use insert::{InsertItem, InsertRow};
pub(crate) use locate::place;
pub use script::{ScriptStatement, split_script};
pub use template::{Template, native_placeholders, scan};
pub use values::{ArgPath, ArgRef, Args, ArgsIter, Bound, ItemShape, Shape, Values};
