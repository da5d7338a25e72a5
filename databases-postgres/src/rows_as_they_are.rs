//! Rows that are not packed, as those of a statement whose name was not seen. In the unit tests none are (see `Prepared::new`),
//! so the conformance suite is run here once more.

databases_core::conformance!(|| databases_core::conformance::Source::from_env(crate::Postgres));
