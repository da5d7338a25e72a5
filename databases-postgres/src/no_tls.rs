//! In the place of `tls` where the feature of that name is off: nobody makes a [`Client`], and nobody has TLS.

use std::io;
use std::net::IpAddr;

use databases_core::tls::TlsOptions;
use databases_core::{Error, ErrorKind, Result};

use crate::connect::Socket;

pub(crate) enum Answer {
    #[expect(dead_code, reason = "there is no TLS to set up")]
    Secured(Box<dyn Socket>, Option<Vec<u8>>),
    Refused(Box<dyn Socket>),
}

#[derive(Clone)]
pub(crate) struct Client(());

impl Client {
    pub(crate) async fn load(_: &TlsOptions, _: &str) -> Result<Self> {
        Err(Error::new(ErrorKind::Unsupported, "the feature `tls` is off"))
    }

    pub(crate) async fn secure(&self, socket: Box<dyn Socket>, _: IpAddr) -> Result<Answer> {
        Ok(Answer::Refused(socket))
    }
}

pub(crate) fn tls_error(error: io::Error) -> Result<Error, io::Error> {
    Err(error)
}

pub(crate) fn is_end(_: &io::Error) -> bool {
    false
}
