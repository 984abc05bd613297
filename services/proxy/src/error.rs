//! What modash itself answers when a request cannot be forwarded, in the one
//! place where errors become responses.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use crate::{exchange::Ending, upstream::ConnectError};

/// A request that is not sent anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// An absolute target or CONNECT.
    NotAForwardProxy,
    /// The target and the upstream's base path make no valid target.
    BadTarget,
}

/// Why a 101 is no response.
pub(crate) const SWITCHED_UNASKED: &str = "it switched protocols unasked";

/// A request that the upstream did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamFailure {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The client's body is not valid.
    #[error("the request body broke off ({0})")]
    BadBody(modash_http1::Fault),
    /// The connection ended, or what came is no response.
    #[error("it closed the connection before it answered ({0})")]
    Closed(String),
    /// The head of the response did not come in time.
    #[error("it did not begin to answer within {} s", .0.as_secs_f64())]
    NoHead(Duration),
}

impl UpstreamFailure {
    /// How the exchange ends.
    pub(crate) fn ending(&self) -> Ending {
        match self {
            Self::Connect(ConnectError::TimedOut(..)) | Self::NoHead(_) => Ending::UpstreamTimeout,
            Self::Connect(ConnectError::Busy(_)) => Ending::UpstreamBusy,
            Self::BadBody(_) => Ending::ClientClosed,
            Self::Connect(_) | Self::Closed(_) => Ending::UpstreamUnreachable,
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
            Ending::ClientClosed => {
                let message = format!("{self}: it is not whole, or not valid HTTP");
                error_response(StatusCode::BAD_REQUEST, "invalid_request", &message)
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
        };
        error_response(StatusCode::BAD_REQUEST, "invalid_request", message)
    }
}

/// The answer to a request head that the relay refuses.
pub(crate) fn bad_head(fault: modash_http1::Fault) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::BAD_REQUEST);
    error_response(status, "invalid_request", &fault.to_string())
}

/// The answer to a request head that took too long.
pub(crate) fn late_head() -> Response<Full<Bytes>> {
    let message = "the request head did not arrive in time";
    error_response(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
}

/// The whole answer to a client that speaks plain HTTP where TLS is expected; the
/// connection ends with it.
pub(crate) fn plain_request_to_tls() -> Bytes {
    let message = "modash speaks TLS on this port: begin the base URL with https://";
    let body = error_body("invalid_request", message);
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into()
}

/// The answer to a client that has one of too many connections.
pub(crate) fn too_many_connections() -> Response<Full<Bytes>> {
    let message = "modash has as many connections as it may have: try again later; \
                   MODASH_PROXY_CONNECTIONS says how many there may be";
    let mut response =
        error_response(StatusCode::SERVICE_UNAVAILABLE, "too_many_connections", message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// `{"error":{"type":…,"message":…}}`, the form that OpenAI's and Anthropic's
/// clients show to their users.
fn error_response(status: StatusCode, kind: &str, message: &str) -> Response<Full<Bytes>> {
    json_response(status, error_body(kind, message))
}

fn error_body(kind: &str, message: &str) -> String {
    serde_json::json!({ "error": { "type": kind, "message": message } }).to_string()
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
