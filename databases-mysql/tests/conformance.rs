//! The conformance suite on the MySQL and MariaDB servers of `TEST_DATABASE_URLS`.

mod mysql {
    databases_core::conformance!(|| databases_core::conformance::Source::from_env(databases_mysql::MySql));
}
