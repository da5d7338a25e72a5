//! In the place of `tls` where the feature of that name is off: nobody makes a [`Client`].

use std::io;

use databases_core::tls::TlsOptions;
use databases_core::{Error, ErrorKind, Result};
use mysql_async::OptsBuilder;

pub(crate) struct Client(());

impl Client {
    pub(crate) async fn load(_: &TlsOptions, _: &str) -> Result<Self> {
        Err(Error::new(ErrorKind::Unsupported, "the feature `tls` is off"))
    }

    pub(crate) fn apply(self, builder: OptsBuilder) -> OptsBuilder {
        builder
    }
}

pub(crate) fn tls_error(error: io::Error) -> Result<Error, io::Error> {
    Err(error)
}
