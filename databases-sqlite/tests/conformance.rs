//! The conformance suite on SQLite: on a file, with several connections, and in memory, with one.

mod sqlite {
    use databases_core::conformance::Source;
    use databases_sqlite::Sqlite;

    mod file {
        databases_core::conformance!(|| super::Source::new_file(super::Sqlite, "sqlite"));
    }

    mod memory {
        databases_core::conformance!(|| super::Source::url(super::Sqlite, "sqlite::memory:"));
    }
}
