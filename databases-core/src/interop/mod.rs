//! Types of other crates as parameters and cells: one file per cargo feature, and `std::net`, which needs none.
//!
//! Each type goes through one of core's own, so no feature changes what another type is or does, in whatever
//! combination they are switched on. What a type cannot hold is an error that names the value's class, never the value;
//! nothing is rounded, clamped or folded. Digits finer than a microsecond are cut off, towards the past in an instant
//! and towards zero in a span.

#[cfg(feature = "bigdecimal")]
mod bigdecimal;
#[cfg(feature = "chrono")]
mod chrono;
mod convert;
#[cfg(feature = "ipnet")]
mod ipnet;
#[cfg(feature = "jiff")]
mod jiff;
#[cfg(feature = "json")]
mod json;
mod net;
#[cfg(feature = "rust_decimal")]
mod rust_decimal;
#[cfg(feature = "time")]
mod time;
#[cfg(feature = "uuid")]
mod uuid;

pub use convert::ConversionError;
#[cfg(feature = "json")]
pub use json::Json;
