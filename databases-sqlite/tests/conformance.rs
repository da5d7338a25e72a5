//! The conformance suite on SQLite: on a file, with several connections, and in memory, with one.

mod file {
    databases_core::conformance!(|| databases_core::conformance::Source::new_file(databases_sqlite::Sqlite, "sqlite"));
}

mod memory {
    databases_core::conformance!(|| databases_core::conformance::Source::url(
        databases_sqlite::Sqlite,
        "sqlite::memory:"
    ));
}
