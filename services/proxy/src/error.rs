//! What modash itself answers when a request cannot be forwarded, in the one
//! place where errors become responses.

use std::error::Error as _;

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
            Self::Connect(ConnectError::TimedOut(..)) => Ending::UpstreamTimeout,
            Self::ClientBody(_) => Ending::ClientClosed,
            Self::Connect(_) | Self::NoResponse(_) => Ending::UpstreamUnreachable,
        }
    }

    /// The status that the client sees.
    pub(crate) fn status(&self) -> StatusCode {
        match self.ending() {
            Ending::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// The answer to the client. `url` has no credentials: a base URL cannot.
    pub(crate) fn response(&self, name: &str, url: &str) -> Response<Full<Bytes>> {
        let kind = match self.ending() {
            Ending::UpstreamTimeout => "upstream_timeout",
            _ => "upstream_unreachable",
        };
        let message = format!(
            "modash cannot reach the upstream \"{name}\" at {url}: {self}. \
             Check that it runs and that modash has its right address."
        );
        error_response(self.status(), kind, &message)
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
