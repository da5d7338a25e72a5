//! The conformance suite on the PostgreSQL servers of `TEST_DATABASE_URLS`.

mod postgres {
    databases_core::conformance!(|| databases_core::conformance::Source::from_env(databases_postgres::Postgres));
}
