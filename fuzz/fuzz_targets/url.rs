//! Any text as a URL. `cargo +nightly fuzz run url`.

#![no_main]

#[path = "../../databases-core/tests/fuzz_bodies/url.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::url(data));
