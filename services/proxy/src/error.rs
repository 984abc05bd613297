//! What modash itself answers when a request cannot be forwarded, in the one
//! place where errors become responses.

use std::{error::Error as _, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use crate::{
    exchange::Ending,
    upstream::{ConnectError, tls_advice},
};

/// A request that is not sent anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// An absolute target or CONNECT.
    NotAForwardProxy,
    /// The target and the upstream's base path make no valid target.
    BadTarget,
    /// The body has a transfer coding besides `chunked` (RFC 9112 6.1).
    TransferCoding,
}

/// A request that the upstream did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamFailure {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The client's body broke off before the request was sent.
    #[error("the request body broke off ({0})")]
    ClientBody(hyper::Error),
    /// The head of the response did not come in time.
    #[error("it did not begin to answer within {} s", .0.as_secs_f64())]
    NoHead(Duration),
    /// The connection ended before there was a response.
    #[error("{}", no_response(.0))]
    NoResponse(hyper::Error),
}

/// hyper's own text leaves out the cause, which is what helps.
fn no_response(error: &hyper::Error) -> String {
    if let Some(advice) = tls_advice(error) {
        return advice;
    }
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("it closed the connection before it answered ({error}{cause})")
}

impl UpstreamFailure {
    /// How the exchange ends.
    pub(crate) fn ending(&self) -> Ending {
        match self {
            Self::Connect(ConnectError::TimedOut(..)) | Self::NoHead(_) => Ending::UpstreamTimeout,
            Self::Connect(ConnectError::Busy(_)) => Ending::UpstreamBusy,
            Self::ClientBody(_) => Ending::ClientClosed,
            Self::Connect(_) | Self::NoResponse(_) => Ending::UpstreamUnreachable,
        }
    }

    /// The answer to the client. `url` has no credentials: a base URL cannot.
    pub(crate) fn response(&self, name: &str, url: &str) -> Response<Full<Bytes>> {
        let upstream = format!("the upstream \"{name}\" at {url}");
        match self.ending() {
            Ending::UpstreamBusy => {
                let message = format!(
                    "modash has no connection left to {upstream}: {self}. Try again later; \
                     MODASH_PROXY_UPSTREAM_CONNECTIONS says how many there may be."
                );
                let status = StatusCode::SERVICE_UNAVAILABLE;
                let mut response = error_response(status, "upstream_busy", &message);
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
            Ending::UpstreamTimeout => {
                let message = format!("modash waited in vain for {upstream}: {self}.");
                error_response(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", &message)
            }
            _ => {
                let message = format!(
                    "modash cannot reach {upstream}: {self}. \
                     Check that it runs and that modash has its right address."
                );
                error_response(StatusCode::BAD_GATEWAY, "upstream_unreachable", &message)
            }
        }
    }
}

impl Refusal {
    /// The answer to the client.
    pub(crate) fn response(self) -> Response<Full<Bytes>> {
        let message = match self {
            Self::NotAForwardProxy => {
                "modash is not a forward proxy: use its address as the base URL, \
                 not as an HTTP proxy"
            }
            Self::BadTarget => "the request target is not valid behind the upstream's base path",
            Self::TransferCoding => {
                return error_response(
                    StatusCode::NOT_IMPLEMENTED,
                    "invalid_request",
                    "modash forwards no transfer coding besides chunked: \
                     compress with content-encoding instead",
                );
            }
        };
        error_response(StatusCode::BAD_REQUEST, "invalid_request", message)
    }
}

/// `{"error":{"type":…,"message":…}}`, the form that OpenAI's and Anthropic's
/// clients show to their users.
fn error_response(status: StatusCode, kind: &str, message: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "error": { "type": kind, "message": message } }).to_string();
    json_response(status, body)
}

/// A response of modash's own.
pub(crate) fn json_response(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
