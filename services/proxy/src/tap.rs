//! The taps: bodies that hand on every frame in the poll in which it arrived,
//! after a look at it.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::{
    asking::Filter,
    exchange::{Ending, Exchange, Running},
    silence::Silence,
    upstream::Checkout,
};

/// Most bytes that are read of a body that is not sent, and for how long. The same
/// as `inject` may hold.
const MOST_UNSENT: usize = 8 << 20;
const UNSENT_WITHIN: Duration = Duration::from_secs(2);

/// A request body on its way to the upstream: pieces that were held back and
/// observed before, then what the client still sends.
pub(crate) struct RequestTap {
    held: VecDeque<Bytes>,
    rest: Option<Incoming>,
    exchange: Option<Arc<Exchange>>,
}

impl RequestTap {
    /// Without an exchange the body only passes.
    pub(crate) fn new(body: Incoming, exchange: Option<Arc<Exchange>>) -> Self {
        let tap = Self { held: VecDeque::new(), rest: Some(body), exchange };
        if tap.is_end_stream() {
            tap.note_end();
        }
        tap
    }

    /// Pieces that were held back, and the rest.
    pub(crate) fn resumed(held: Vec<Bytes>, rest: Incoming, exchange: Arc<Exchange>) -> Self {
        Self { held: held.into(), rest: Some(rest), exchange: Some(exchange) }
    }

    /// A whole body that was held back.
    pub(crate) fn held(held: Vec<Bytes>) -> Self {
        Self { held: held.into(), rest: None, exchange: None }
    }

    /// Reads a body that is not sent, as far as metering needs it and not for long.
    pub(crate) async fn read_unsent(mut self) {
        if self.exchange.is_none() {
            return;
        }
        let reading = async {
            let mut left = MOST_UNSENT;
            while let Some(Ok(frame)) = self.frame().await {
                let length = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(length) {
                    Some(less) => left = less,
                    None => return,
                }
            }
        };
        let _ = tokio::time::timeout(UNSENT_WITHIN, reading).await;
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
        if let Some(piece) = self.held.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(rest).poll_frame(context));
        if let Some(exchange) = &self.exchange {
            match &frame {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        exchange.request_data(data);
                    }
                }
                Some(Err(_)) => exchange.progress.request_broken.store(true, Ordering::Relaxed),
                None => {}
            }
            if frame.is_none() || self.is_end_stream() {
                self.note_end();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let held: u64 = self.held.iter().map(|piece| piece.len() as u64).sum();
        let rest = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(held + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(held + upper);
        }
        hint
    }
}

/// A response body on its way to the client. Ends the exchange when the body
/// ends, or when it is dropped before.
pub(crate) struct ResponseTap {
    body: Incoming,
    running: Option<Running>,
    checkout: Option<Checkout>,
    filter: Option<Box<Filter>>,
    silence: Option<Box<Silence>>,
    broken: Option<BodyError>,
    /// The length that a response without a body tells all the same.
    told: Option<u64>,
}

/// Why a response breaks off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The upstream broke off.
    #[error(transparent)]
    Upstream(#[from] hyper::Error),
    /// The upstream was silent for longer than allowed.
    #[error("the upstream was silent for too long")]
    Silent,
    /// What has to be removed from it cannot be found.
    #[error("the response cannot be decoded")]
    Undecodable,
}

impl ResponseTap {
    /// Without an exchange the body only passes.
    pub(crate) fn new(body: Incoming, running: Option<Running>, checkout: Checkout) -> Self {
        let mut tap = Self {
            body,
            running,
            checkout: Some(checkout),
            filter: None,
            silence: None,
            broken: None,
            told: None,
        };
        if tap.body.is_end_stream() {
            tap.complete();
        }
        tap
    }

    /// Hides from the client what was asked for in its name.
    pub(crate) fn filtered(mut self, filter: Box<Filter>) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Cuts the response when the upstream is silent for this long.
    pub(crate) fn cut_after(mut self, limit: Option<Duration>) -> Self {
        self.silence = limit.map(|limit| Box::new(Silence::new(limit)));
        self
    }

    /// A length for the head; there is no body.
    pub(crate) fn telling(mut self, length: Option<u64>) -> Self {
        self.told = length;
        self
    }

    /// The next frame from the upstream.
    fn next_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.checkout {
            Some(checkout) => checkout.poll_frame(&mut self.body, context),
            None => Pin::new(&mut self.body).poll_frame(context),
        };
        if let Some(silence) = &mut self.silence {
            match frame {
                Poll::Ready(_) => silence.broken(),
                Poll::Pending => {
                    ready!(silence.poll(context));
                    return Poll::Ready(Some(Err(BodyError::Silent)));
                }
            }
        }
        frame.map_err(BodyError::Upstream)
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

    /// Shows a frame to the meter and gives what the client gets of it: `None`
    /// if that is nothing.
    fn observe(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        let exchange = self.running.as_ref().map(Running::exchange);
        if let Some(trailers) = frame.trailers_ref()
            && let Some(exchange) = exchange
        {
            exchange.response_trailers(trailers);
        }
        let Some(data) = frame.data_ref() else { return Some(frame) };
        if let Some(exchange) = exchange {
            exchange.response_data(data);
        }
        let frame = match &mut self.filter {
            None => frame,
            Some(filter) => {
                let mut left = Vec::with_capacity(data.len());
                filter.push(data, &mut left);
                if filter.is_broken() {
                    self.broken = Some(BodyError::Undecodable);
                }
                if left.is_empty() {
                    return None;
                }
                Frame::data(left.into())
            }
        };
        if let Some(exchange) = exchange {
            exchange.forwarded(frame.data_ref().map_or(0, Bytes::len));
        }
        Some(frame)
    }

    /// The upstream's body ended: what the filter still holds, then the end.
    fn finish(&mut self) -> Option<Frame<Bytes>> {
        let mut left = Vec::new();
        if let Some(mut ended) = self.filter.take() {
            ended.end(&mut left);
        }
        if let Some(running) = &self.running {
            running.exchange().forwarded(left.len());
        }
        self.complete();
        (!left.is_empty()).then(|| Frame::data(left.into()))
    }
}

impl Body for ResponseTap {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(error) = self.broken.take() {
            self.end(match error {
                BodyError::Upstream(_) | BodyError::Undecodable => Ending::UpstreamBroke,
                BodyError::Silent => Ending::UpstreamTimeout,
            });
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            match ready!(self.next_frame(context)) {
                Some(Ok(frame)) => {
                    let Some(frame) = self.observe(frame) else {
                        if self.broken.is_some() {
                            context.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        continue;
                    };
                    // With a known length the server does not poll for the end.
                    if self.filter.is_none() && self.body.is_end_stream() {
                        self.complete();
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Err(error)) => {
                    // When a body fails hyper drops what it has not written. One
                    // more turn lets it write what came before.
                    self.broken = Some(error);
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                None => return Poll::Ready(self.finish().map(Ok)),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.filter.is_none() && self.told.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match (self.told, &self.filter) {
            (Some(told), _) => SizeHint::with_exact(told),
            (None, None) => self.body.size_hint(),
            (None, Some(_)) => SizeHint::default(),
        }
    }
}
