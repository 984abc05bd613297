//! The way to analytics: calls by descriptor, with a deadline, the caller's
//! trace and its authorization; errors of the transport become texts for a
//! person.

use std::{error::Error as _, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION, uri::PathAndQuery};
use prost_reflect::{DynamicMessage, MethodDescriptor};
use tonic::{
    Code, Request, Status, TimeoutExpired,
    client::Grpc,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tracing::Instrument as _;

use modash_access::{APPLIES_SCOPES, Access, Role};
use modash_proto::Reason;
use modash_runtime::{ClientTlsFiles, GrpcTls};

use crate::{
    Error, codec::DynamicCodec, config::AnalyticsUrl, tls::ANALYTICS_PEER, trace::Question,
};

/// W3C trace context of the caller.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Vendors' part of the trace context.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// An answer beyond this is refused; the largest that analytics makes (1,500
/// buckets of 50 groups) is a third of it.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// Cancelled calls of one connection that are remembered for a second.
const MOST_RESET_STREAMS: usize = 4_096;

/// Connections to analytics. Opened when first used, and again after a loss.
#[derive(Debug, Clone)]
pub(crate) struct Analytics {
    /// For questions.
    calls: Channel,
    /// For the gateway's own subscription.
    events: Channel,
    /// For calls that are passed on: long streams of browsers must not use up
    /// the streams that one connection may have.
    passed_on: Channel,
    /// `None`: in plain.
    tls: Option<GrpcTls>,
    access: Access,
}

impl Analytics {
    /// Prepares the connections; opens none.
    pub(crate) fn new(
        url: &AnalyticsUrl,
        files: ClientTlsFiles,
        access: Access,
    ) -> Result<Self, Error> {
        let plain = url.as_str().strip_prefix("https").map(|rest| format!("http{rest}"));
        let endpoint = Endpoint::from_shared(plain.unwrap_or_else(|| url.as_str().to_owned()))?
            .connect_timeout(Duration::from_secs(2))
            // An analytics that hangs is noticed after six seconds at the latest.
            .http2_keep_alive_interval(Duration::from_secs(2))
            .keep_alive_timeout(Duration::from_secs(4))
            .keep_alive_while_idle(true)
            // Each client that leaves resets a stream of the shared connection, and
            // frames of its answer may still arrive. h2 remembers 50 such streams,
            // counts frames of all others as errors of the server, and ends the
            // connection, with the calls of all other clients, at the 1,024th.
            .http2_max_concurrent_reset_streams(MOST_RESET_STREAMS)
            .http2_max_local_error_reset_streams(None);
        let tls = url
            .is_https()
            .then(|| GrpcTls::new("the certificates for analytics", &ANALYTICS_PEER, files));
        let tls = tls.transpose()?;
        let connection = || {
            let Some(tls) = &tls else { return endpoint.connect_lazy() };
            let (host, port) = url.host_and_port();
            // tonic would ask for TLS of its own by the scheme of the endpoint.
            let origin = url.as_str().parse();
            let endpoint =
                origin.map_or_else(|_| endpoint.clone(), |origin| endpoint.clone().origin(origin));
            endpoint.connect_with_connector_lazy(tls.dialer(host, port))
        };
        Ok(Self { calls: connection(), events: connection(), passed_on: connection(), tls, access })
    }

    /// The connection for the gateway's own subscription.
    pub(crate) fn events(&self) -> Channel {
        self.events.clone()
    }

    /// The connection for calls that are passed on undecoded.
    pub(crate) fn passed_on(&self) -> Channel {
        self.passed_on.clone()
    }

    /// Calls a unary method. Dropping the future cancels the call.
    pub(crate) async fn call(
        &self,
        method: &MethodDescriptor,
        message: DynamicMessage,
        headers: &HeaderMap,
        deadline: Duration,
    ) -> Result<DynamicMessage, Status> {
        let name = format!("{}/{}", method.parent_service().full_name(), method.name());
        let path = PathAndQuery::try_from(format!("/{name}"))
            .map_err(|error| Status::internal(format!("method name: {error}")))?;
        let mut request = Request::new(message);
        *request.metadata_mut() = forwarded(headers);
        let question = Question::begin(name, request.metadata_mut().as_mut());
        request.set_timeout(deadline);
        let mut client = Grpc::new(self.calls.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        let codec = DynamicCodec::new(method.output());
        let answer = async {
            client.ready().await.map_err(|error| Status::from_error(error.into()))?;
            client.unary(request, path, codec).await
        };
        let answer = tokio::time::timeout(deadline, answer).instrument(question.span()).await;
        let answer = match answer {
            Ok(Ok(answer)) => match self.has_scope(headers) {
                true => scope_applied(answer.metadata().as_ref()).map(|()| answer.into_inner()),
                false => Ok(answer.into_inner()),
            },
            Ok(Err(status)) => Err(self.for_a_person(status)),
            Err(_) => Err(overdue()),
        };
        question.answered(answer.as_ref().map_or_else(Status::code, |_| Code::Ok));
        answer
    }

    /// Whether the token of a caller has a scope, which analytics is to apply.
    pub(crate) fn has_scope(&self, headers: &HeaderMap) -> bool {
        let header = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        self.access.admit(header, Role::Read).is_ok_and(|pass| pass.scope().is_some())
    }

    /// Replaces errors of the transport, which name hosts and libraries. Errors
    /// that analytics itself sent stay as they are.
    pub(crate) fn for_a_person(&self, status: Status) -> Status {
        let mut cause = status.source();
        if cause.is_none() {
            return status;
        }
        tracing::debug!(error = %status, "analytics could not be asked");
        while let Some(error) = cause {
            if error.is::<TimeoutExpired>() {
                return overdue();
            }
            cause = error.source();
        }
        match self.tls.as_ref().and_then(GrpcTls::advice) {
            Some(advice) => Reason::AnalyticsUnreachable.status(format!(
                "usage data is unavailable: TLS between gateway and analytics failed: {advice}"
            )),
            None => Reason::AnalyticsUnreachable.status(
                "usage data is unavailable: analytics cannot be reached; try again in a few seconds",
            ),
        }
    }
}

/// Whether analytics applied the scope of a caller.
///
/// # Errors
/// If it does not say so: its answer may be that to somebody who sees everything.
#[allow(clippy::result_large_err, reason = "the status is the answer")]
pub(crate) fn scope_applied(answer: &HeaderMap) -> Result<(), Status> {
    if answer.contains_key(APPLIES_SCOPES) {
        return Ok(());
    }
    Err(Status::permission_denied(
        "this token sees a part of the requests, and analytics, which asks for no tokens, would \
         show all: set MODASH_TOKENS_FILE there too",
    ))
}

/// Headers of the caller that analytics gets too.
fn forwarded(headers: &HeaderMap) -> MetadataMap {
    let pick =
        |name: HeaderName| headers.get(&name).map(|value: &HeaderValue| (name, value.clone()));
    let picked = [TRACEPARENT, TRACESTATE, AUTHORIZATION].into_iter().filter_map(pick);
    MetadataMap::from_headers(picked.collect())
}

fn overdue() -> Status {
    Reason::AnswerTooSlow.status("usage data took too long; try again, or ask for a shorter range")
}
