//! The bytes of one client connection on their way to and from hyper: a request
//! that is not taken is answered in words, where hyper has a bare status or none.
//!
//! What hyper must not see, or sees too late, is replaced by a byte that no head
//! may contain. hyper then answers 400 when its turn has come, behind the
//! responses to earlier requests; that answer is exchanged for modash's own.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{client::Client, guard::Guard};
use crate::{core::Counters, error::BadHead};

/// No head has it: it is what makes hyper refuse one.
const NUL: u8 = 0;

/// What follows it: hyper looks at a head again only when its end has come.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// How the answers end that hyper gives by itself.
const BARE_ANSWER: &[u8] = b"connection: close\r\ncontent-length: 0\r\n\r\n";

/// Most bytes that are still taken from a client that was refused, so that it
/// can read why: what is left unread when a socket closes takes the answer with
/// it (RFC 9112 9.6).
const MOST_IGNORED: usize = 1024 * 1024;

/// The same for the rest of a body that the upstream answered without having it
/// all; as much as clients of LLMs may mean seriously.
const MOST_UNWANTED: usize = 64 * 1024 * 1024;

/// A client's stream.
pub(super) struct Wire<S> {
    stream: S,
    client: Arc<Client>,
    guard: Guard,
    /// Why the request is refused that hyper will answer next.
    bad: Option<BadHead>,
    /// What hyper has yet to see of it.
    rest_of_head: &'static [u8],
    /// The rest of modash's own answer.
    answer: Bytes,
    /// Bytes that may come after it.
    ignorable: usize,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, client: Arc<Client>) -> Self {
        let ignorable = if client.surplus { MOST_IGNORED } else { 0 };
        let guard = Guard::default();
        Self {
            stream,
            client,
            guard,
            bad: None,
            rest_of_head: &[],
            answer: Bytes::new(),
            ignorable,
        }
    }

    /// Lets hyper see no more than the beginning of a bad request.
    fn refuse(&mut self, bad: BadHead) {
        self.bad = Some(bad);
        self.rest_of_head = END_OF_HEAD;
        self.client.head_bytes();
    }

    fn look_at(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        if self.client.has_left_http() {
            return self.guard.leave_http();
        }
        let bytes = &mut buffer.filled_mut()[before..];
        let checked = self.guard.check(bytes);
        if !self.client.is_active() {
            if self.guard.is_http2() {
                self.client.set_http2();
            } else if !bytes.is_empty() {
                self.client.head_bytes();
            }
        }
        if let Err((place, bad)) = checked {
            bytes[place] = NUL;
            buffer.set_filled(before + place + 1);
            self.refuse(bad);
        }
    }

    /// The place of an answer that hyper gives by itself to a request that it
    /// did not take, and what modash says instead.
    fn bare_answer(&self, bytes: &[u8]) -> Option<(usize, BadHead)> {
        if self.guard.is_http2() || self.guard.requests() <= self.client.requests() {
            return None;
        }
        let end = bytes.len().checked_sub(BARE_ANSWER.len())?;
        if !bytes[end..].eq_ignore_ascii_case(BARE_ANSWER) {
            return None;
        }
        let place = memchr::memmem::rfind(&bytes[..end], b"HTTP/1.")?;
        let status_line = &bytes[place..end];
        // An upstream's answer has other headers too.
        if memchr::memchr(b'\n', status_line) != Some(status_line.len() - 1) {
            return None;
        }
        let bad = match status_line.get(b"HTTP/1.1 ".len()..)?.get(..3)? {
            b"400" => BadHead::Malformed,
            b"414" => BadHead::LongTarget,
            b"431" => BadHead::TooLarge,
            _ => return None,
        };
        Some((place, self.bad.unwrap_or(bad)))
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.answer.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.answer))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.answer.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Takes what still comes, until the client ends too.
    fn poll_ignore(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 4096];
        while self.ignorable > 0 && !self.client.is_overdue() {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.ignorable = self.ignorable.saturating_sub(buffer.filled().len());
                }
                _ => break,
            }
        }
        self.ignorable = 0;
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bad.is_some() {
            if self.rest_of_head.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            let (now, later) =
                self.rest_of_head.split_at(self.rest_of_head.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.rest_of_head = later;
            return Poll::Ready(Ok(()));
        }
        if self.client.is_overdue() {
            if !self.client.is_in_head() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            buffer.put_slice(&[NUL]);
            self.refuse(BadHead::Late);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.look_at(buffer, before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.ignorable == 0
            && let Some((place, bad)) = self.bare_answer(bytes)
        {
            if place > 0 {
                return Pin::new(&mut self.stream).poll_write(context, &bytes[..place]);
            }
            Counters::add(&self.client.core.shared.counters.refused);
            self.answer = bad.answer();
            self.ignorable = MOST_IGNORED;
        }
        if !self.answer.is_empty() {
            ready!(self.poll_answer(context))?;
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        if self.ignorable == 0 && self.guard.is_in_body() {
            self.ignorable = MOST_UNWANTED;
        }
        self.poll_ignore(context).map(Ok)
    }

    /// Only HTTP/2 uses it, see `listener::server`.
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
