//! The taps: bodies that hand on every frame in the poll in which it arrived,
//! after a look at it.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::{
    exchange::{Ending, Exchange, Running},
    upstream::Checkout,
};

/// A request body on its way to the upstream.
pub(crate) struct RequestTap {
    body: Incoming,
    exchange: Option<Arc<Exchange>>,
}

impl RequestTap {
    /// Without an exchange the body only passes.
    pub(crate) fn new(body: Incoming, exchange: Option<Arc<Exchange>>) -> Self {
        let tap = Self { body, exchange };
        if tap.body.is_end_stream() {
            tap.note_end();
        }
        tap
    }

    fn note_end(&self) {
        if let Some(exchange) = &self.exchange {
            exchange.request_end();
        }
    }
}

impl Body for RequestTap {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(exchange) = &self.exchange {
            if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
                exchange.request_data(data);
            }
            if frame.is_none() || self.body.is_end_stream() {
                self.note_end();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response body on its way to the client. Ends the exchange when the body
/// ends, or when it is dropped before.
pub(crate) struct ResponseTap {
    body: Incoming,
    running: Option<Running>,
    checkout: Option<Checkout>,
}

impl ResponseTap {
    /// Without an exchange the body only passes.
    pub(crate) fn new(body: Incoming, running: Option<Running>, checkout: Checkout) -> Self {
        let mut tap = Self { body, running, checkout: Some(checkout) };
        if tap.body.is_end_stream() {
            tap.complete();
        }
        tap
    }

    /// The body ended as its framing said.
    fn complete(&mut self) {
        let request_ended = self.running.as_ref().is_none_or(|running| {
            running.exchange().progress.request_ended.load(Ordering::Acquire)
        });
        if let Some(checkout) = self.checkout.take()
            && request_ended
        {
            checkout.give_back();
        }
        self.end(Ending::Complete);
    }

    fn end(&mut self, ending: Ending) {
        if let Some(mut running) = self.running.take() {
            running.end(ending);
        }
    }
}

impl Body for ResponseTap {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(running) = &self.running {
                    if let Some(data) = frame.data_ref() {
                        running.exchange().response_data(data);
                    } else if let Some(trailers) = frame.trailers_ref() {
                        running.exchange().response_trailers(trailers);
                    }
                }
                // With a known length the server does not poll for the end.
                if self.body.is_end_stream() {
                    self.complete();
                }
            }
            Some(Err(_)) => self.end(Ending::UpstreamBroke),
            None => self.complete(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
