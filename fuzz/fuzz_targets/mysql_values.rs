//! Any cell in a column of MySQL. The first two bytes choose type and form. `cargo +nightly fuzz run mysql_values`.

#![no_main]

#[path = "../../databases-mysql/tests/fuzz_bodies/values.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::values(data));
