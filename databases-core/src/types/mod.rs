//! Value types of the SQL servers that the standard library has no type for.
//!
//! Each type carries every value its servers can hold, unchanged: decimals of any precision, infinite dates, intervals
//! whose months, days and microseconds stay apart. Nothing here rounds, clamps or folds; what does not fit is an error
//! or `None`. The single exception is stated in DESIGN.md section 4: digits finer than a microsecond are cut off.
//!
//! These types never depend on a date, decimal or uuid crate: conversions to those are additive features, so that one
//! dependency's choice cannot change another's types.

mod calendar;
mod cursor;
mod date;
mod datetime;
mod decimal;
mod error;
mod interval;
mod json;
mod range;
mod time;
mod timestamp;
mod uuid;

pub use date::Date;
pub use datetime::DateTime;
pub use decimal::{Base10000, Decimal, Sign};
pub use error::ParseTypeError;
pub use interval::Interval;
pub use json::JsonText;
pub use range::Range;
pub use time::Time;
pub use timestamp::Timestamp;
pub use uuid::Uuid;

// A value and its tag must fit in 32 bytes (DESIGN.md section 6).
const _: () = assert!(size_of::<Option<Decimal>>() == 16);
const _: () = assert!(size_of::<Interval>() == 16 && size_of::<Uuid>() == 16);
const _: () = assert!(size_of::<Timestamp>() == 8 && size_of::<DateTime>() == 8 && size_of::<Time>() == 8);
const _: () = assert!(size_of::<Date>() == 4);
const _: () = assert!(size_of::<JsonText>() == 24);
