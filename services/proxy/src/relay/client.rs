//! The client's side of a relay: a connection of HTTP/1.1, or one request over HTTP/2
//! in the form of such a connection.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, response};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use modash_http1::HeadScan;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    frames::{Decoder, Encoder, request_head},
    stream::{Duplex, Stream},
};

/// What waits for a client of HTTP/2 which does not take it: bytes of memory.
const MAX_WAITING: usize = 32 * 1024;

/// What a frame takes beside its data, which may be a byte: itself, and what shares the
/// data.
const FRAME: usize = size_of::<Frame<Bytes>>() + 64;

/// Where requests come from.
pub(super) enum Client {
    Stream(Stream),
    Http2(Box<Http2Stream>),
    /// It was handed over.
    Gone,
}

impl Client {
    /// Its bytes.
    pub(super) fn stream(&mut self) -> io::Result<&mut dyn Duplex> {
        match self {
            Self::Stream(stream) => Ok(stream),
            Self::Http2(stream) => Ok(stream),
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Whether its requests came over HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// What the bytes of a request over HTTP/2 do not say, when they have ended.
    pub(super) fn poll_trailers(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<HeaderMap>>> {
        match self {
            Self::Http2(stream) => stream.poll_trailers(context),
            Self::Stream(_) | Self::Gone => Poll::Ready(Ok(None)),
        }
    }

    /// The response does not end with its bytes, but with `finish`, if it goes over
    /// HTTP/2.
    pub(super) fn expect_finish(&mut self) {
        if let Self::Http2(stream) = self {
            stream.unfinished = true;
        }
    }

    /// Ends the response.
    pub(super) fn finish(&mut self, trailers: Option<HeaderMap>) {
        if let Self::Http2(stream) = self {
            stream.finish(trailers);
        }
    }

    /// The client sees a reset when this is dropped. Over HTTP/2 it does if the response
    /// has not ended.
    pub(super) fn reset(&self) {
        if let Self::Stream(stream) = self {
            let _ = socket2::SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO));
        }
    }
}

/// One request over HTTP/2: its bytes come out, those of its response go in. What came
/// of the response is fetched by the task that drives the relay, so that nobody is woken.
pub(crate) struct Http2Stream {
    /// `None`: it has ended.
    body: Option<Incoming>,
    request: Encoder,
    /// Trailers of a body with a length: they have no place in the bytes.
    trailers: Option<HeaderMap>,
    to_head: bool,
    response: Receiving,
    /// The response ends with `finish`.
    unfinished: bool,
    head: Option<response::Parts>,
    frames: VecDeque<Frame<Bytes>>,
    /// Bytes that `frames` takes.
    waiting: usize,
}

/// How far the response is.
enum Receiving {
    Head(Vec<u8>, HeadScan),
    Body(Decoder),
    Ended,
}

impl Http2Stream {
    pub(super) fn new(request: Request<Incoming>) -> Self {
        let (head, body) = request.into_parts();
        let empty = body.is_end_stream();
        Self {
            request: request_head(&head, empty),
            body: (!empty).then_some(body),
            trailers: None,
            to_head: head.method == Method::HEAD,
            unfinished: false,
            response: Receiving::Head(Vec::new(), HeadScan::default()),
            head: None,
            frames: VecDeque::new(),
            waiting: 0,
        }
    }

    /// The head of the response, once.
    pub(crate) fn take_head(&mut self) -> Option<response::Parts> {
        self.head.take()
    }

    /// The next frame of the response.
    pub(crate) fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        let frame = self.frames.pop_front()?;
        self.waiting -= weight(&frame);
        Some(frame)
    }

    /// Whether all of the response came and was fetched.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.response, Receiving::Ended) && !self.unfinished && self.frames.is_empty()
    }

    /// More of the request, if it is in hand.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Its end would be that of a connection: a client that leaves drops the relay.
        let Some(body) = &mut self.body else { return Poll::Pending };
        match ready!(Pin::new(&mut *body).poll_frame(context)) {
            Some(Ok(frame)) => {
                self.trailers = self.request.frame(frame);
                if body.is_end_stream() {
                    self.end_body();
                }
            }
            Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            None => self.end_body(),
        }
        Poll::Ready(Ok(()))
    }

    /// The trailers that have no place in the bytes, when the request has ended.
    fn poll_trailers(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<HeaderMap>>> {
        while self.body.is_some() {
            ready!(self.poll_body(context))?;
        }
        Poll::Ready(Ok(self.trailers.take()))
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) {
        if let Some(trailers) = trailers.map(Frame::trailers) {
            self.waiting += weight(&trailers);
            self.frames.push_back(trailers);
        }
        self.unfinished = false;
    }

    fn end_body(&mut self) {
        self.request.end();
        self.body = None;
    }

    /// More of the response. Returns how many of `bytes` were taken.
    fn push(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.response {
            Receiving::Head(head, scan) => {
                let before = head.len();
                head.extend_from_slice(bytes);
                let Some(length) = scan.end(head).map_err(io::Error::other)? else {
                    return Ok(bytes.len());
                };
                let read = Decoder::of_response(&head[..length], self.to_head);
                self.response = match read.map_err(io::Error::other)? {
                    // hyper sends no interim responses over HTTP/2.
                    None => Receiving::Head(Vec::new(), HeadScan::default()),
                    Some((head, body)) => {
                        self.head = Some(head);
                        if body.has_ended() { Receiving::Ended } else { Receiving::Body(body) }
                    }
                };
                Ok(length - before)
            }
            Receiving::Body(body) => {
                let (frames, waiting) = (&mut self.frames, &mut self.waiting);
                let passed = body.pass(bytes, |frame| {
                    *waiting += weight(&frame);
                    frames.push_back(frame);
                });
                if body.has_ended() {
                    self.response = Receiving::Ended;
                }
                passed.map_err(io::Error::other)
            }
            Receiving::Ended => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

/// Bytes that a frame takes while it waits.
fn weight(frame: &Frame<Bytes>) -> usize {
    FRAME + frame.data_ref().map_or(0, Bytes::len)
}

impl AsyncRead for Http2Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.request.is_empty() {
            ready!(self.poll_body(context))?;
        }
        self.request.read(buffer);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Http2Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // The task that fetches frames polls again.
        if self.waiting >= MAX_WAITING {
            return Poll::Pending;
        }
        Poll::Ready(self.push(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(&self.response, Receiving::Body(body) if body.ends_with_connection()) {
            self.response = Receiving::Ended;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn tiny_frames_that_wait_are_bounded_as_large_ones_are() {
        let (head, ()) = Request::get("http://here/").body(()).unwrap().into_parts();
        let mut stream = Http2Stream {
            request: request_head(&head, true),
            body: None,
            trailers: None,
            to_head: false,
            unfinished: false,
            response: Receiving::Head(Vec::new(), HeadScan::default()),
            head: None,
            frames: VecDeque::new(),
            waiting: 0,
        };
        let mut context = Context::from_waker(Waker::noop());
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(Pin::new(&mut stream).poll_write(&mut context, head).is_ready());
        let chunk = b"1\r\nx\r\n";
        let mut written = 0;
        while Pin::new(&mut stream).poll_write(&mut context, chunk).is_ready() {
            written += 1;
            assert!(written < MAX_WAITING / size_of::<Frame<Bytes>>(), "nothing bounds them");
        }
        while stream.next_frame().is_some() {}
        assert!(Pin::new(&mut stream).poll_write(&mut context, &chunk.repeat(1000)).is_ready());
        assert_eq!(
            stream.next_frame().and_then(|frame| frame.into_data().ok()).unwrap().len(),
            1000
        );
    }
}
