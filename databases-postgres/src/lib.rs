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
//! | `sslmode` | `disable`, `allow`, `prefer` (the default), `require`, `verify-ca`, `verify-full`, with libpq's meanings: see [`databases_core::tls`] |
//! | `sslrootcert` | a file with the certificates of the trusted authorities, or `system` |
//! | `sslcert`, `sslkey` | files with the client's certificate and its key |
//! | `channel_binding` | whether a login by SCRAM is bound to the TLS session: `disable`, `prefer` (the default), `require` (which also refuses every other login) |
//! | `application_name` | shown in `pg_stat_activity` |
//! | `search_path` | the schemas that names without one are looked up in |
//! | `options` | settings of the session, as `-c name=value`; TimeZone and DateStyle are ours: UTC and ISO. PgBouncer refuses it, and `search_path` |
//! | `host` | the host or socket directory of a URL without one, as in `postgres:///app?host=/run/postgresql` |
//! | `allow_cleartext_password` | lets the server ask for the password in clear text; default false: only over TLS that `sslmode` insists on |
//! | `max_message_bytes` | the longest message taken from the server; default 1 GiB |
//!
//! # TLS
//!
//! With `prefer`, a session goes on without TLS where the server has none, where the handshake fails, and where the server
//! refuses the user over TLS; with `allow`, it gets TLS where the server refuses it without. The first time that a session to
//! another host is not encrypted although the mode is not `disable` is a warning by `tracing`.
//!
//! The password is never sent as it is, but where `sslmode` is `require` or above, or `allow_cleartext_password` is set:
//! under `prefer`, whoever is on the way could ask for it. Channel binding, which is used wherever TLS and the server's
//! certificate allow it (not with Ed25519 or RSA-PSS), is what tells the server from somebody on the way even where its
//! certificate is not checked. Cancel requests go over TLS as their session does.
//!
//! # Types
//!
//! | Type | Read as | Bound from |
//! |---|---|---|
//! | numbers, text, `bytea`, dates and times, `interval`, `uuid`, `json`, `jsonb` | the value of that name | the same, and text that parses; checked before anything is sent. Text in another form goes to the server for dates, times and `interval` |
//! | enums, `citext`, `xml`, `name`, `"char"` | text | text |
//! | domains | what they are a domain of | the same |
//! | arrays | `Vec`s in `Vec`s; lower bounds are in [`Array`](databases_core::Array) | the same |
//! | ranges, multiranges | [`Range`](databases_core::types::Range), a `Vec` of them; a multirange of a range type of the user's: text | the same |
//! | composites, `record` | tuples; a composite with a field that is known as text only: text; such a field in a `record`: an error | [`Array::record`](databases_core::Array::record) |
//! | `hstore` | maps of text to optional text | the same |
//! | types with a codec | what the codec says | the same |
//! | every other type: `inet`, `money`, `timetz`, `tsvector`, `point`, `aclitem`, `bit`, types of extensions, … | `String`, the server's text of it, and never a number or a date; `std::net` and ipnet from `inet` and `cidr`; arrays of it as `Vec`s of those | text |
//! | `regclass` and the like, `xid8` | text, and a number where it is digits | text or an integer, of 32 and 64 bits without a sign |
//! | `oidvector`, `int2vector` | `Vec`s | the same, in one dimension and without NULL |
//!
//! What is made of other values can be bound as the server's text of it too: `'[1,5)'`, `'{1,2}'`. A NULL does not say
//! what it is an array or a range of: where the server cannot tell either, it must be cast.
//!
//! Types of the user's are looked up once per connection, when a statement that has them is prepared and never while
//! rows are under way.

// Lengths and numbers are checked or converted by `From`; a cast that cannot go wrong says why.
#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss
    )
)]

mod backend;
mod batch;
mod cache;
mod casts;
mod connect;
mod connection;
mod copy;
mod encode;
mod error;
mod formats;
mod guard;
mod login;
mod many;
mod naming;
mod opening;
mod options;
mod pack;
mod preload;
mod prepare;
mod ready;
#[cfg(test)]
mod rows_as_they_are;
mod session;
mod stream;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod transaction;
mod types;
mod walker;
mod work;

pub use backend::Postgres;
pub use tokio_postgres;

/// For this crate's own tests of what bytes can do.
#[doc(hidden)]
pub mod __private {
    use databases_core::sql::Dialect;
    use databases_core::{Arg, Codecs, Result, Value, ValueRef};
    use tokio_postgres::types::Type;

    use crate::casts::names;
    use crate::encode::{Encoded, Param};
    use crate::types::{Changes, Codec};

    /// The names of types that are known in casts, and whether each is a keyword.
    pub fn cast_names() -> impl Iterator<Item = (&'static str, bool)> {
        names()
    }

    /// The types that a text gives its parameters.
    pub fn casts(sql: &str, count: usize) -> Option<Vec<Type>> {
        crate::casts::casts(sql, Dialect::POSTGRES, count)
    }

    /// Reads the bytes of a cell.
    pub fn decode(ty: &Type, bytes: &[u8]) -> Result<Value> {
        let (codec, name) = (Codec::of(ty, &Codecs::default()), ty.name().into());
        codec.decode(&name, bytes, &Changes::default()).map(ValueRef::to_value)
    }

    /// Writes a parameter.
    pub fn encode(ty: &Type, value: &Value) -> Result<Vec<u8>> {
        let arg = Arg { kind: value.kind(), value: value.clone() };
        Ok(Encoded::new(&[arg], &[Param::new(ty, &Codecs::default())])?.into_bytes())
    }
}
