//! One request with its response on its way through the relay.

use std::sync::Arc;

use http::HeaderMap;
use modash_http1::{Body, HeadScan, RequestHead};
use tokio::time::Instant;

use super::{Stop, buffer::Input, hold::Asked};
use crate::{
    asking::Filter,
    emit::Running,
    error::UpstreamFailure,
    exchange::{Ending, Exchange},
    upstream::Pool,
};

/// How far the request is on its way to the upstream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// Some of it is to be read or written.
    Open,
    /// All of it was written.
    Done,
    /// The upstream takes no more of it. A response may have come before.
    Refused,
}

/// How far the response is.
pub(super) enum Answering {
    /// Its head has not come.
    Head(HeadScan),
    /// Its head went on.
    Body(Body),
    /// All of it was read.
    Ended,
}

/// One request and its response.
pub(super) struct Turn {
    pub(super) request: RequestHead,
    pub(super) is_head: bool,
    /// Safe and without a body: it may be sent again.
    pub(super) repeatable: bool,
    /// `None`: it is not metered, or has ended.
    pub(super) running: Option<Running>,
    /// Name of the upstream.
    pub(super) name: Arc<str>,
    pub(super) pool: Arc<Pool>,
    /// HTTP/2 is tried.
    pub(super) http2: bool,
    pub(super) body: Body,
    /// Trailers of a body over HTTP/2 with a length.
    pub(super) request_trailers: Option<HeaderMap>,
    pub(super) sending: Sending,
    /// What was written of it, if none of that can have arrived.
    pub(super) unsent: Option<Vec<u8>>,
    /// It was sent again.
    pub(super) retried: bool,
    /// Bytes of the body came from the client, or it was asked for them.
    pub(super) body_wanted: bool,
    pub(super) answering: Answering,
    /// More is asked for than the client did.
    pub(super) asked: Option<Asked>,
    /// Hides from the client that more was asked for. What it leaves is chunked, unless
    /// the response is `unchunked`.
    pub(super) filter: Option<Box<Filter>>,
    /// Trailer section of a filtered response.
    pub(super) trailers: Vec<u8>,
    /// The client gets no chunks.
    pub(super) unchunked: bool,
    /// The client's connection ends behind the response.
    pub(super) closes: bool,
    /// The upstream's connection can be used again.
    pub(super) keeps_upstream: bool,
    /// The length of the response was not known when it began.
    pub(super) streams: bool,
    /// Since when the upstream is waited for.
    pub(super) waits_since: Option<Instant>,
}

impl Turn {
    /// The exchange, if it is metered.
    pub(super) fn exchange(&self) -> Option<&Exchange> {
        self.running.as_ref().map(Running::exchange)
    }

    /// Judges what came of the request's body, and shows it to `data` too.
    pub(super) fn pass(
        &mut self,
        input: &mut Input,
        mut data: impl FnMut(&[u8]),
    ) -> Result<(), Stop> {
        if self.body.has_ended() {
            return Ok(());
        }
        let unjudged = input.unjudged();
        let exchange = self.running.as_ref().map(Running::exchange);
        let passed = self.body.pass(unjudged, |range| {
            let piece = &unjudged[range];
            if let Some(exchange) = exchange {
                exchange.request_data(piece);
            }
            data(piece);
        });
        let passed = passed.map_err(|fault| Stop::Failed(UpstreamFailure::BadBody(fault)))?;
        if let (true, Some(exchange)) = (self.body.has_ended(), exchange) {
            exchange.request_end();
        }
        input.pass(passed);
        Ok(())
    }

    /// A connection is there; `new`: it was opened for this request.
    pub(super) fn connected(&self, new: bool) {
        let Some(exchange) = self.exchange() else { return };
        if new {
            exchange.connected();
        }
        exchange.sending();
    }

    /// Ends the exchange. Later calls change nothing.
    pub(super) fn end(&mut self, ending: Ending) {
        if let Some(mut running) = self.running.take() {
            running.end(ending);
        }
    }
}
