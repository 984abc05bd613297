//! Streams whose client did not ask for usage. In `inject` mode the upstream is
//! asked all the same, and the client gets the bytes that it would have got; the
//! rules are in `modash_metering::inject`. In `observe` mode nothing is changed.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header, request::Parts};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use modash_metering::{
    Calibration,
    inject::{Held, Injection, Refusals, ResponseFilter, Sent, may_refuse},
};

use crate::{
    error::UpstreamFailure, exchange::Exchange, route::Upstream, send::send, settings::StreamUsage,
    tap::RequestTap, upstream::Checkout,
};

/// Request bodies of more bytes are not changed.
const MOST_HELD: usize = 8 << 20;

/// What helps with streams without usage; shared by all cores.
pub(crate) struct StreamUsageAid {
    mode: StreamUsage,
    refusals: Refusals,
    /// What estimates learn from.
    pub(crate) calibration: Arc<Calibration>,
}

/// A response whose request asked for more than the client did.
pub(crate) struct Asked {
    pub(crate) response: Response<Incoming>,
    pub(crate) checkout: Checkout,
    /// Hides the difference; `None` if there is none.
    pub(crate) filter: Option<ResponseFilter>,
}

impl StreamUsageAid {
    pub(crate) fn new(mode: StreamUsage) -> Self {
        Self { mode, refusals: Refusals::default(), calibration: Arc::default() }
    }

    /// Whether a request may be changed, as far as its head tells.
    pub(crate) fn injection(&self, head: &Parts, upstream: &Upstream) -> Option<Injection> {
        if self.mode == StreamUsage::Observe {
            return None;
        }
        let host = upstream.pool.base().host();
        let (method, uri, headers) = (&head.method, &head.uri, &head.headers);
        Injection::new(method, uri, headers, host, &upstream.name, &self.refusals, MOST_HELD)
    }

    /// Do not ask this upstream again: it refuses, or reports anyway.
    pub(crate) fn do_not_ask(&self, upstream: &str) {
        self.refusals.remember(upstream);
    }

    /// Sends a request that may be changed. One that is refused for the change is
    /// sent again as it was; the client does not see the refusal.
    pub(crate) async fn send(
        &self,
        injection: Injection,
        upstream: &Upstream,
        head: Parts,
        body: Incoming,
        exchange: &Arc<Exchange>,
    ) -> Result<Asked, UpstreamFailure> {
        let pool = &upstream.pool;
        let (body, original) = match hold(injection, body, exchange).await? {
            Body::Unchanged(body) => {
                let request = Request::from_parts(head, body);
                let (response, checkout) = send(pool, request, Some(exchange)).await?;
                return Ok(Asked { response, checkout, filter: None });
            }
            Body::Changed { body, original } => (body, original),
        };
        let changed = Request::from_parts(changed(head.clone(), &body), RequestTap::held(body));
        let (response, checkout) = send(pool, changed, Some(exchange)).await?;
        if !may_refuse(response.status()) {
            let filter = ResponseFilter::new(response.status(), response.headers());
            return Ok(Asked { response, checkout, filter });
        }
        drop((response, checkout));
        let request = Request::from_parts(head, RequestTap::held(original));
        let (response, checkout) = send(pool, request, Some(exchange)).await?;
        if !may_refuse(response.status()) {
            tracing::info!(upstream = %upstream.name,
                "the upstream refuses stream_options.include_usage and is not asked again");
            self.do_not_ask(&upstream.name);
        }
        Ok(Asked { response, checkout, filter: None })
    }
}

/// A request body that was looked at before it was sent.
enum Body {
    Unchanged(RequestTap),
    Changed { body: Vec<Bytes>, original: Vec<Bytes> },
}

/// Reads the body until it is clear whether it is changed.
async fn hold(
    mut injection: Injection,
    mut body: Incoming,
    exchange: &Arc<Exchange>,
) -> Result<Body, UpstreamFailure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(UpstreamFailure::ClientBody)?;
        let Ok(data) = frame.into_data() else {
            // Trailers end a body; JSON requests have none that would matter.
            continue;
        };
        exchange.request_data(&data);
        if let Held::Release(held) = injection.push(data) {
            return Ok(Body::Unchanged(RequestTap::resumed(held, body, exchange.clone())));
        }
    }
    exchange.request_end();
    Ok(match injection.end() {
        Sent::Unchanged(held) => Body::Unchanged(RequestTap::held(held)),
        Sent::Changed { body, original } => Body::Changed { body, original },
    })
}

/// The head for a changed body. The answer has to be plain text, so that the
/// added chunk can be taken out of it.
fn changed(mut head: Parts, body: &[Bytes]) -> Parts {
    let length: usize = body.iter().map(Bytes::len).sum();
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    head.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    head
}
