//! A small notes service.
fn main() {}
