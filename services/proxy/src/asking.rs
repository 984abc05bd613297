//! Streams whose client did not ask for usage. In `inject` mode the upstream is
//! asked all the same, and the client gets the bytes that it would have got; the
//! rules are in `modash_metering::inject`. In `observe` mode nothing is changed.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header, request::Parts};
use modash_metering::{
    Calibration, Headers,
    inject::{Injection, Model, Refusals, ResponseFilter, tells_timings},
};

use crate::{route::Upstream, settings::StreamUsage};

/// Request bodies of more bytes are not changed.
pub(crate) const MAX_HELD: usize = 8 << 20;

/// What helps with streams without usage; shared by all cores.
pub(crate) struct StreamUsageAid {
    mode: StreamUsage,
    refusals: Refusals,
    /// What estimates learn from.
    pub(crate) calibration: Arc<Calibration>,
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
    pub(crate) fn injection(
        &self,
        head: impl FnOnce() -> Parts,
        upstream: &Upstream,
    ) -> Option<Injection> {
        if self.mode == StreamUsage::Observe {
            return None;
        }
        let host = upstream.pool.base().host();
        let head = head();
        let (method, uri, headers) = (&head.method, &head.uri, &head.headers);
        Injection::new(method, uri, headers, host, &upstream.name, &self.refusals, MAX_HELD)
    }

    /// Notes what the head of any answer tells about asking its upstream.
    pub(crate) fn note(&self, upstream: &str, headers: &impl Headers) {
        if self.mode == StreamUsage::Inject && tells_timings(headers) {
            self.refusals.remember_all(upstream);
        }
    }

    /// Whether this upstream is asked for this model.
    pub(crate) fn may_ask(&self, upstream: &str, model: Model) -> bool {
        !self.refusals.contains(upstream, model)
    }

    /// Do not ask this upstream again for this model.
    pub(crate) fn do_not_ask(&self, upstream: &str, model: Model, because: &'static str) {
        if self.refusals.remember(upstream, model) {
            tracing::info!(upstream, because, "the upstream is not asked for usage again");
        }
    }

    /// What hides from the client that the upstream was asked, for the answer with this
    /// head.
    pub(crate) fn filter(
        self: &Arc<Self>,
        status: StatusCode,
        headers: &HeaderMap,
        upstream: &Arc<str>,
        model: Model,
    ) -> Option<Box<Filter>> {
        let filter = ResponseFilter::new(status, headers);
        if filter.is_none() && headers.contains_key(header::CONTENT_ENCODING) {
            self.do_not_ask(upstream, model, "answers in a coding that was not asked for");
        }
        let (aid, upstream) = (self.clone(), upstream.clone());
        filter.map(|filter| Box::new(Filter { filter, aid, upstream, model, told: false }))
    }
}
