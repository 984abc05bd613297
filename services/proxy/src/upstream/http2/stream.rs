//! One request over HTTP/2 in the form of a connection of HTTP/1.1: the bytes of a
//! request go in, those of its response come out.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, uri::Authority};
use http_body::{Body as _, Frame};
use hyper::{body::Incoming, client::conn::TrySendError};
use modash_http1::HeadScan;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::PollSender;

use super::{
    Lease,
    upload::{Piece, Upload},
};
use crate::{
    frames::{Decoder, Encoder, response_head},
    settings::BaseUrl,
    upstream::tls,
};

type Answer = Result<Response<Incoming>, TrySendError<Request<Upload>>>;

/// One request and its response.
pub(in crate::upstream) struct Stream {
    lease: Lease,
    scheme: &'static str,
    authority: Authority,
    to_head: bool,
    request: Sending,
    response: Receiving,
    /// Nothing of the request was sent.
    unsent: bool,
    /// What comes behind the bytes that are in hand.
    failure: Option<io::Error>,
    /// The request ends with `poll_finish`.
    unfinished: bool,
    /// Trailers of a body with a length: they have no place in the bytes.
    trailers: Option<HeaderMap>,
}

/// How far the request is.
enum Sending {
    /// Its head has not come.
    Head(Vec<u8>, HeadScan),
    Body(Decoder, PollSender<Piece>),
    Done,
}

/// How far the response is.
enum Receiving {
    Nothing,
    Waiting(BoxFuture<'static, Answer>),
    Body(Incoming, Encoder),
    /// What is left of it.
    Rest(Encoder),
}

impl Stream {
    /// For a request that goes over this lease.
    pub(in crate::upstream) fn new(lease: Lease, base: &BaseUrl) -> Self {
        Self {
            lease,
            scheme: if base.is_https() { "https" } else { "http" },
            authority: base.authority().clone(),
            to_head: false,
            request: Sending::Head(Vec::new(), HeadScan::default()),
            response: Receiving::Nothing,
            unsent: false,
            failure: None,
            unfinished: false,
            trailers: None,
        }
    }

    /// Whether it failed and nothing of the request was sent.
    pub(in crate::upstream) fn unsent(&self) -> bool {
        self.unsent
    }

    /// The request does not end with its bytes, but with `poll_finish`.
    pub(in crate::upstream) fn expect_finish(&mut self) {
        self.unfinished = true;
    }

    /// Ends the request.
    pub(in crate::upstream) fn poll_finish(
        &mut self,
        trailers: Option<&HeaderMap>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Sending::Body(_, pieces) = &mut self.request else { return Poll::Ready(Ok(())) };
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        ready!(pieces.poll_reserve(context)).map_err(|_| gone())?;
        let piece = Piece { trailers: trailers.cloned(), last: true, ..Piece::default() };
        let sent = pieces.send_item(piece).map_err(|_| gone());
        self.request = Sending::Done;
        Poll::Ready(sent)
    }

    /// What the bytes of the response do not say, when they have ended.
    pub(in crate::upstream) fn poll_trailers(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<HeaderMap>>> {
        while matches!(self.response, Receiving::Body(..)) {
            ready!(self.poll_response(context))?;
        }
        Poll::Ready(Ok(self.trailers.take()))
    }

    /// Sends the head at the beginning of these bytes once it is complete. Returns how
    /// many of `bytes` belong to it.
    fn head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Sending::Head(head, scan) = &mut self.request else { return Ok(0) };
        let before = head.len();
        head.extend_from_slice(bytes);
        let Some(length) = scan.end(head).map_err(io::Error::other)? else {
            return Ok(bytes.len());
        };
        let read = Decoder::of_request(&head[..length], self.scheme, &self.authority);
        let (parts, body) = read.map_err(io::Error::other)?;
        self.to_head = parts.method == Method::HEAD;
        let upload = if body.has_ended() {
            self.request = Sending::Done;
            Upload::empty()
        } else {
            let (sender, upload) = Upload::new();
            self.request = Sending::Body(body, sender);
            upload
        };
        let request = Request::from_parts(parts, upload);
        self.response = Receiving::Waiting(Box::pin(self.lease.sender.try_send_request(request)));
        Ok(length - before)
    }

    /// The next bytes of the response, if they are in hand.
    fn poll_response(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.response {
            Receiving::Nothing | Receiving::Rest(_) => Poll::Pending,
            Receiving::Waiting(answer) => match ready!(answer.as_mut().poll(context)) {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let encoder = response_head(&head, self.to_head);
                    self.go_on(body, encoder);
                    Poll::Ready(Ok(()))
                }
                Err(mut error) => {
                    self.unsent = error.take_message().is_some();
                    Poll::Ready(Err(failure(&error.into_error())))
                }
            },
            Receiving::Body(body, _) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                self.frame(frame.transpose().map_err(|error| failure(&error))?);
                Poll::Ready(Ok(()))
            }
        }
    }

    fn frame(&mut self, frame: Option<Frame<Bytes>>) {
        let Receiving::Body(body, mut encoder) =
            std::mem::replace(&mut self.response, Receiving::Nothing)
        else {
            return;
        };
        match frame {
            Some(frame) => {
                self.trailers = encoder.frame(frame);
                self.go_on(body, encoder);
            }
            None => {
                encoder.end();
                self.response = Receiving::Rest(encoder);
            }
        }
    }

    /// The end goes on with the last bytes.
    fn go_on(&mut self, body: Incoming, mut encoder: Encoder) {
        self.response = if body.is_end_stream() {
            encoder.end();
            Receiving::Rest(encoder)
        } else {
            Receiving::Body(body, encoder)
        };
    }

    fn read(&mut self, buffer: &mut ReadBuf<'_>) {
        if let Receiving::Body(_, encoder) | Receiving::Rest(encoder) = &mut self.response {
            encoder.read(buffer);
        }
    }
}

/// hyper's own text leaves out the cause, which is what helps.
fn failure(error: &hyper::Error) -> io::Error {
    if let Some(advice) = tls::advice(error) {
        return io::Error::other(advice);
    }
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    io::Error::other(format!("{error}{}", cause.unwrap_or_default()))
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            self.read(buffer);
            let some = buffer.filled().len() > before;
            if buffer.remaining() == 0 || matches!(self.response, Receiving::Rest(_)) {
                return Poll::Ready(Ok(()));
            }
            let more = match self.failure.take() {
                Some(failure) => Poll::Ready(Err(failure)),
                None => self.poll_response(context),
            };
            match more {
                Poll::Ready(Ok(())) => {}
                // First what came before it.
                Poll::Ready(Err(failure)) if some => {
                    self.failure = Some(failure);
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending if some => return Poll::Ready(Ok(())),
                other => return other,
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let unfinished = self.unfinished;
        match &mut self.request {
            Sending::Head(..) => Poll::Ready(self.head(bytes)),
            Sending::Done => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Sending::Body(body, pieces) => {
                let gone = ready!(pieces.poll_reserve(context)).is_err();
                let mut piece = Piece::default();
                let passed = body.pass(bytes, |frame| match frame.into_data() {
                    Ok(data) => piece.data = Some(data),
                    Err(frame) => piece.trailers = frame.into_trailers().ok(),
                });
                let passed = passed.map_err(io::Error::other)?;
                piece.last = body.has_ended() && !unfinished;
                let last = piece.last;
                if gone || pieces.send_item(piece).is_err() {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                if last {
                    self.request = Sending::Done;
                }
                Poll::Ready(Ok(passed))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
