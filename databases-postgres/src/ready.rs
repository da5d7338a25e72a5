//! What the driver takes for TLS: a stream on which everything that there is to set up was set up before.

use std::convert::Infallible;
use std::future::{self, Ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{Config, SslMode, SslNegotiation};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// Gives the driver's stream back as it is, with what a login can be bound to.
pub(crate) struct AsItIs {
    pub(crate) end_point: Option<Vec<u8>>,
    /// Whether the driver's end of writing is left out: a pooler that is asked to cancel may take it for the end of the client, and
    /// then does not say when it has cancelled.
    pub(crate) stays_open: bool,
}

impl AsItIs {
    /// Has the driver hand its stream over at once, without a request to the server.
    pub(crate) fn configure(config: &mut Config) {
        config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsConnect<S> for AsItIs {
    type Stream = ReadyStream<S>;
    type Error = Infallible;
    type Future = Ready<Result<ReadyStream<S>, Infallible>>;

    fn connect(self, stream: S) -> Self::Future {
        future::ready(Ok(ReadyStream { stream, end_point: self.end_point, stays_open: self.stays_open }))
    }
}

/// A stream that is encrypted already, or meant not to be.
pub(crate) struct ReadyStream<S> {
    stream: S,
    end_point: Option<Vec<u8>>,
    stays_open: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for ReadyStream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.end_point {
            Some(end_point) => ChannelBinding::tls_server_end_point(end_point.clone()),
            None => ChannelBinding::none(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadyStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadyStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stays_open {
            return Pin::new(&mut self.stream).poll_flush(cx);
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
