//! Any bytes as a cell of PostgreSQL. The first byte chooses the type. `cargo +nightly fuzz run postgres_values`.

#![no_main]

#[path = "../../databases-postgres/tests/fuzz_bodies/values.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::values(data));
