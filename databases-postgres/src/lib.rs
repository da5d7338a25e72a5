//! PostgreSQL for the `databases` crate, on [`tokio_postgres`].
//!
//! Applications use the facade crate with its feature `postgres`; this crate is what that feature adds. It implements
//! [`databases_core::backend`] and has no API of its own beside [`Postgres`] and the re-exported driver, whose
//! [`tokio_postgres::Client`] is what `native()` lends.
//!
//! # The URL
//!
//! `postgres://user:password@host:port/database?option=value`, `postgresql://` as well. Without a host: `localhost`;
//! without a port: 5432; without a user: the user of this process (`USER`), as libpq does; without a database: the one
//! named like the user. A host that starts with `/` (percent-encoded) is the directory of a unix socket.
//!
//! | Option | Meaning |
//! |---|---|
//! | `sslmode` | `disable`, `allow`, `prefer` (the default): this build has no TLS, so the session is in plain text, with a warning where the host is not local and the mode is not `disable`. `require`, `verify-ca`, `verify-full`: an error |
//! | `application_name` | shown in `pg_stat_activity` |
//! | `search_path` | the schemas that names without one are looked up in |
//! | `options` | settings of the session, as `-c name=value`; TimeZone and DateStyle are ours: UTC and ISO |
//! | `host` | the host or socket directory of a URL without one, as in `postgres:///app?host=/run/postgresql` |
//! | `allow_cleartext_password` | lets the server ask for the password in clear text; default false |
//! | `max_message_bytes` | the longest message taken from the server; default 1 GiB |

mod backend;
mod batch;
mod cache;
mod connect;
mod connection;
mod encode;
mod error;
mod guard;
mod many;
mod options;
mod prepare;
mod session;
mod stream;
mod transaction;
mod types;

pub use backend::Postgres;
pub use tokio_postgres;
