//! The bytes of one client connection on their way to and from hyper: notes when
//! a request head begins, and ends one that takes too long with 408.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::client::Client;

/// Beginning of a connection that speaks HTTP/2 (RFC 9113 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

const REQUEST_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 90\r\n\r\n\
    {\"error\":{\"type\":\"request_timeout\",\"message\":\"the request head did not arrive in time\"}}\r\n";

/// A client's stream.
pub(super) struct Wire<S> {
    stream: S,
    client: Arc<Client>,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, client: Arc<Client>) -> Self {
        Self { stream, client }
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Nothing else is being written: no request is active.
    fn time_out(&mut self, context: &mut Context<'_>) -> io::Error {
        if self.client.is_in_head() {
            let _ = Pin::new(&mut self.stream).poll_write(context, REQUEST_TIMEOUT);
        }
        io::ErrorKind::TimedOut.into()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.client.is_overdue() {
            return Poll::Ready(Err(self.time_out(context)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if !self.client.is_active() {
            let bytes = &buffer.filled()[before..];
            if self.client.requests() == 0 && bytes.starts_with(HTTP2_PREFACE) {
                self.client.set_http2();
            } else if !bytes.is_empty() {
                self.client.head_bytes();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
