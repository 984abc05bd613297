//! Streams whose client did not ask for usage. In `inject` mode the upstream is
//! asked all the same, and the client gets the bytes that it would have got; the
//! rules are in `modash_metering::inject`. In `observe` mode nothing is changed.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header, request::Parts};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use modash_metering::{
    Calibration,
    inject::{Held, Injection, Model, Refusals, ResponseFilter, Sent, may_refuse, tells_timings},
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
    pub(crate) filter: Option<Box<Filter>>,
}

/// Hides from a client what was asked for in its name.
pub(crate) struct Filter {
    filter: ResponseFilter,
    aid: Arc<StreamUsageAid>,
    upstream: Arc<str>,
    model: Model,
    /// The upstream is not asked again.
    told: bool,
}

impl Filter {
    /// A piece of the response; what the client gets of it is appended to `output`.
    pub(crate) fn push(&mut self, bytes: &[u8], output: &mut Vec<u8>) {
        self.filter.push(bytes, output);
        self.learn();
    }

    /// The response has ended: appends what is held.
    pub(crate) fn end(&mut self, output: &mut Vec<u8>) {
        self.filter.end(output);
        self.learn();
    }

    /// The response cannot be decoded.
    pub(crate) fn is_broken(&self) -> bool {
        self.filter.is_broken()
    }

    /// At once, not only at the end: the response may never end.
    fn learn(&mut self) {
        if !self.told && self.filter.is_last() {
            self.told = true;
            self.aid.do_not_ask(&self.upstream, self.model, "reports usage in a form of its own");
        }
    }
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

    /// Whether a request may be changed, so that the bridge has to send it.
    pub(crate) fn injects(&self, head: &Parts, upstream: &Upstream) -> bool {
        self.injection(head, upstream).is_some()
    }

    /// Notes what the head of any answer tells about asking its upstream.
    pub(crate) fn note(&self, upstream: &str, headers: &HeaderMap) {
        if self.mode == StreamUsage::Inject && tells_timings(headers) {
            self.refusals.remember_all(upstream);
        }
    }

    /// Do not ask this upstream again for this model.
    fn do_not_ask(&self, upstream: &str, model: Model, because: &'static str) {
        if self.refusals.remember(upstream, model) {
            tracing::info!(upstream, because, "the upstream is not asked for usage again");
        }
    }

    /// Sends a request that may be changed. One that is refused for the change is
    /// sent again as it was; the client does not see the refusal.
    pub(crate) async fn send(
        self: &Arc<Self>,
        injection: Injection,
        upstream: &Upstream,
        head: Parts,
        body: Incoming,
        exchange: &Arc<Exchange>,
    ) -> Result<Asked, UpstreamFailure> {
        let pool = &upstream.pool;
        let (body, original, model) = match self.hold(injection, upstream, body, exchange).await? {
            Body::Unchanged(body) => {
                let request = Request::from_parts(head, body);
                let (response, checkout) = send(pool, request, Some(exchange)).await?;
                return Ok(Asked { response, checkout, filter: None });
            }
            Body::Changed { body, original, model } => (body, original, model),
        };
        let changed = Request::from_parts(changed(head.clone(), &body), RequestTap::held(body));
        let (response, checkout) = send(pool, changed, Some(exchange)).await?;
        if !may_refuse(response.status()) {
            let filter = self.filter(&response, upstream, model);
            return Ok(Asked { response, checkout, filter });
        }
        drop((response, checkout));
        let request = Request::from_parts(head, RequestTap::held(original));
        let (response, checkout) = send(pool, request, Some(exchange)).await?;
        if !may_refuse(response.status()) {
            self.do_not_ask(&upstream.name, model, "refuses stream_options.include_usage");
        }
        Ok(Asked { response, checkout, filter: None })
    }

    /// What hides from the client that the upstream was asked.
    fn filter(
        self: &Arc<Self>,
        response: &Response<Incoming>,
        upstream: &Upstream,
        model: Model,
    ) -> Option<Box<Filter>> {
        let filter = ResponseFilter::new(response.status(), response.headers());
        if filter.is_none() && response.headers().contains_key(header::CONTENT_ENCODING) {
            self.do_not_ask(&upstream.name, model, "answers in a coding that was not asked for");
        }
        let (aid, upstream) = (self.clone(), upstream.name.clone());
        filter.map(|filter| Box::new(Filter { filter, aid, upstream, model, told: false }))
    }

    /// Reads the body until it is clear whether it is changed.
    async fn hold(
        &self,
        mut injection: Injection,
        upstream: &Upstream,
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
        let model = injection.model();
        if self.refusals.contains(&upstream.name, model) {
            return Ok(Body::Unchanged(RequestTap::held(injection.into_original())));
        }
        Ok(match injection.end() {
            Sent::Unchanged(held) => Body::Unchanged(RequestTap::held(held)),
            Sent::Changed { body, original } => Body::Changed { body, original, model },
        })
    }
}

/// A request body that was looked at before it was sent.
enum Body {
    Unchanged(RequestTap),
    Changed { body: Vec<Bytes>, original: Vec<Bytes>, model: Model },
}

/// The head for a changed body. The answer has to be plain text, so that the
/// added chunk can be taken out of it.
fn changed(mut head: Parts, body: &[Bytes]) -> Parts {
    let length: usize = body.iter().map(Bytes::len).sum();
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    head.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    head
}
