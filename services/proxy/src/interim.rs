//! Interim responses (1xx, RFC 9110 15.2) of upstreams on their way to clients of
//! HTTP/1.1. hyper's server has no way to send them, so they are written below it,
//! between its messages. 100 is hyper's own, see `expect`.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use http::{
    HeaderMap, Request, StatusCode, Version,
    header::{CONNECTION, EXPECT, TRANSFER_ENCODING, UPGRADE},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes of interim responses that wait; what comes beyond is left out.
const MOST_WAITING: usize = 64 * 1024;

/// The interim responses of one client connection that are not written yet.
#[derive(Clone, Default)]
pub(crate) struct Interim(Arc<State>);

#[derive(Default)]
struct State {
    any: AtomicBool,
    waiting: Mutex<Vec<u8>>,
}

impl Interim {
    /// What comes before the response to this request is for the client. One of
    /// HTTP/1.0 does not know such responses (RFC 9110 15.2), and for one of
    /// HTTP/2 hyper has no room for them.
    pub(crate) fn attach<B>(&self, request: &mut Request<B>) {
        if request.version() != Version::HTTP_11 {
            return;
        }
        if request.headers().contains_key(EXPECT) {
            request.extensions_mut().insert(self.clone());
        }
        let interim = self.clone();
        hyper::ext::on_informational(request, move |response| {
            interim.add(response.status(), response.headers());
        });
    }

    /// An interim response came.
    pub(crate) fn add(&self, status: StatusCode, headers: &HeaderMap) {
        if status == StatusCode::CONTINUE {
            return;
        }
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = waiting.len();
        let reason = status.canonical_reason().unwrap_or_default();
        waiting.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).as_bytes());
        for (name, value) in headers {
            if [CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(name) {
                continue;
            }
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                waiting.extend_from_slice(part);
            }
        }
        waiting.extend_from_slice(b"\r\n");
        if waiting.len() > MOST_WAITING {
            waiting.truncate(before);
        }
        self.0.any.store(true, Ordering::Relaxed);
    }

    fn any(&self) -> bool {
        self.0.any.load(Ordering::Relaxed)
    }

    fn take(&self) -> Bytes {
        self.0.any.store(false, Ordering::Relaxed);
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting).into()
    }
}

/// A client's stream, with room for interim responses between the messages that
/// hyper writes.
///
/// hyper flushes only when all of its bytes are written, and it answers one
/// request after the other. So at a flush, and before the first write after one,
/// nothing of an earlier response is left. Where a client that pipelines does not
/// read, a response may begin in the middle of a write; an interim response that
/// would have to go there is left out.
pub(crate) struct Outlet<S> {
    stream: S,
    interim: Interim,
    /// The rest of what is being written.
    writing: Bytes,
    /// hyper has written nothing since its last flush.
    settled: bool,
}

impl<S> Outlet<S> {
    pub(crate) fn new(stream: S, interim: Interim) -> Self {
        Self { stream, interim, writing: Bytes::new(), settled: true }
    }
}

impl<S: AsyncWrite + Unpin> Outlet<S> {
    fn poll_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.writing.is_empty() && self.interim.any() {
            self.writing = self.interim.take();
        }
        while !self.writing.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.writing))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.writing.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Before hyper writes.
    fn poll_before_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.writing.is_empty() || (self.settled && self.interim.any()) {
            ready!(self.poll_interim(context))?;
        } else if self.interim.any() {
            self.interim.take();
        }
        // Also if the stream takes nothing now: hyper's bytes are next.
        self.settled = false;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Outlet<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Outlet<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_before_write(context))?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_before_write(context))?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interim(context))?;
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.settled = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";

    fn add_hints(interim: &Interim) {
        let mut headers = HeaderMap::new();
        headers.insert("link", "</a>".parse().unwrap());
        interim.add(StatusCode::EARLY_HINTS, &headers);
    }

    /// Takes this many bytes at a time, and nothing every other time.
    struct Narrow(Vec<u8>, usize, bool);

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.2 = !self.2;
            if self.2 {
                return Poll::Pending;
            }
            let length = bytes.len().min(self.1);
            self.0.extend_from_slice(&bytes[..length]);
            Poll::Ready(Ok(length))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    struct Case {
        outlet: Outlet<Narrow>,
        interim: Interim,
    }

    impl Case {
        fn new() -> Self {
            let interim = Interim::default();
            Self { outlet: Outlet::new(Narrow(Vec::new(), 7, false), interim.clone()), interim }
        }

        fn write_once(&mut self, bytes: &[u8]) -> usize {
            let mut context = Context::from_waker(Waker::noop());
            match Pin::new(&mut self.outlet).poll_write(&mut context, bytes) {
                Poll::Ready(written) => written.unwrap(),
                Poll::Pending => 0,
            }
        }

        fn write(&mut self, mut bytes: &[u8]) {
            while !bytes.is_empty() {
                bytes = &bytes[self.write_once(bytes)..];
            }
        }

        fn flush(&mut self) {
            let mut context = Context::from_waker(Waker::noop());
            while Pin::new(&mut self.outlet).poll_flush(&mut context).is_pending() {}
        }

        fn written(&self) -> String {
            String::from_utf8(self.outlet.stream.0.clone()).unwrap()
        }
    }

    #[test]
    fn an_interim_response_goes_out_with_the_next_flush() {
        let mut case = Case::new();
        case.write(b"first response");
        case.flush();
        add_hints(&case.interim);
        case.flush();
        let hints = String::from_utf8_lossy(HINTS);
        assert_eq!(case.written(), format!("first response{hints}"));
    }

    #[test]
    fn it_goes_before_a_response_that_came_with_it() {
        let mut case = Case::new();
        add_hints(&case.interim);
        case.write(b"response");
        let hints = String::from_utf8_lossy(HINTS);
        assert_eq!(case.written(), format!("{hints}response"));
    }

    #[test]
    fn it_never_goes_into_the_middle_of_a_response() {
        let mut case = Case::new();
        // The stream takes nothing; the rest of the first response is still due.
        assert_eq!(case.write_once(b"first response"), 0);
        add_hints(&case.interim);
        case.write(b"first responsesecond response");
        case.flush();
        assert_eq!(case.written(), "first responsesecond response");
    }

    #[test]
    fn what_waits_is_bounded() {
        let interim = Interim::default();
        for _ in 0..10_000 {
            add_hints(&interim);
        }
        let waiting = interim.take();
        assert!(waiting.len() <= MOST_WAITING && waiting.ends_with(b"\r\n\r\n"));
        assert!(!interim.any());
    }
}
