//! What modash itself answers when a request cannot be forwarded, in the one
//! place where errors become responses.

use std::time::Duration;

use modash_http1::{Fault, error_body};

use crate::{exchange::Ending, upstream::ConnectError};

/// Seconds after which a client may try again, where modash has no room.
const RETRY_AFTER: u32 = 1;

/// A response of modash's own, apart from its connection.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// JSON.
    pub(crate) body: String,
    /// In seconds.
    pub(crate) retry_after: Option<u32>,
}

impl Answer {
    /// Everything is well.
    pub(crate) fn ok() -> Self {
        Self { status: 200, body: r#"{"status":"ok"}"#.to_owned(), retry_after: None }
    }

    /// `{"error":{"message":…,"type":…}}`, the form that OpenAI's and Anthropic's
    /// clients show to their users.
    fn error(status: u16, kind: &str, message: &str) -> Self {
        let retry_after = (status == 503).then_some(RETRY_AFTER);
        Self { status, body: error_body(kind, message), retry_after }
    }
}

/// A request that is not sent anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// An absolute target or CONNECT.
    NotAForwardProxy,
    /// The target and the upstream's base path make no valid target.
    BadTarget,
    /// A name that may be a stranger's, on a port of this machine alone.
    ForeignHost,
    /// `..` leads out of the upstream's base path.
    OutsideBasePath,
    /// The client shows no token of modash, and has to.
    NoToken,
    /// Its token does not let it in.
    BadToken,
    /// The gateway is asked without a token that may read.
    NotAReader,
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
    pub(crate) fn answer(&self, name: &str, url: &str) -> Answer {
        let upstream = format!("the upstream \"{name}\" at {url}");
        let (status, kind, message) = match self.ending() {
            Ending::UpstreamBusy => (
                503,
                "upstream_busy",
                format!(
                    "modash has no connection left to {upstream}: {self}. Try again later; \
                     MODASH_PROXY_UPSTREAM_CONNECTIONS says how many there may be."
                ),
            ),
            Ending::UpstreamTimeout => {
                let message = format!("modash waited in vain for {upstream}: {self}.");
                (504, "upstream_timeout", message)
            }
            Ending::ClientClosed => {
                let message = format!("{self}: it is not whole, or not valid HTTP");
                (400, "invalid_request", message)
            }
            _ => (
                502,
                "upstream_unreachable",
                format!(
                    "modash cannot reach {upstream}: {self}. \
                     Check that it runs and that modash has its right address."
                ),
            ),
        };
        Answer::error(status, kind, &message)
    }
}

impl Refusal {
    /// Of a client whose token does not let it in.
    pub(crate) fn of_token(refusal: &modash_access::Refusal) -> Self {
        if *refusal == modash_access::Refusal::Missing { Self::NoToken } else { Self::BadToken }
    }

    /// The answer to the client.
    pub(crate) fn answer(self) -> Answer {
        let message = match self {
            Self::NotAForwardProxy => {
                "modash is not a forward proxy: use its address as the base URL, \
                 not as an HTTP proxy"
            }
            Self::ForeignHost => {
                "this proxy answers its own machine only, by localhost or an address; list other \
                 names of it in MODASH_PROXY_ALLOWED_HOSTS"
            }
            Self::OutsideBasePath => {
                "\"..\" in the request target leads out of the upstream's base path; send the path \
                 without it"
            }
            Self::NoToken => {
                "this proxy asks for a token of modash: send the header \"x-modash-token: modash_…\"; \
                 `modash token new --role use` makes one"
            }
            Self::BadToken => {
                "the token in x-modash-token is not valid here: it is unknown, expired, revoked or \
                 of another role than use; ask for a new one"
            }
            Self::NotAReader => {
                "a valid token with the role read is needed: send the header \
                 `authorization: Bearer modash_…`; `modash token new --role read` makes one"
            }
            Self::BadTarget => "the request target is not valid behind the upstream's base path",
        };
        let (status, kind) = match self {
            Self::ForeignHost => (421, "invalid_request"),
            Self::NoToken | Self::BadToken | Self::NotAReader => (401, "authentication_error"),
            _ => (400, "invalid_request"),
        };
        Answer::error(status, kind, message)
    }
}

/// The answer to a request head that the relay refuses.
pub(crate) fn bad_head(fault: Fault) -> Answer {
    Answer::error(fault.status(), "invalid_request", &fault.to_string())
}

/// The answer to a request head that took too long.
pub(crate) fn late_head() -> Answer {
    Answer::error(408, "request_timeout", "the request head did not arrive in time")
}

/// The whole answer to a client that speaks plain HTTP where TLS is expected; the
/// connection ends with it.
pub(crate) fn plain_request_to_tls() -> Vec<u8> {
    let message = "modash speaks TLS on this port: begin the base URL with https://";
    let body = error_body("invalid_request", message);
    let answer = modash_http1::Answer {
        status: 400,
        body: &body,
        retry_after: None,
        connection: Some(b"close"),
        to_head: false,
    };
    let mut bytes = Vec::new();
    answer.write(&mut bytes);
    bytes
}

/// The answer to a client that has one of too many connections.
pub(crate) fn too_many_connections() -> Answer {
    let message = "modash has as many connections as it may have: try again later; \
                   MODASH_PROXY_CONNECTIONS says how many there may be";
    Answer::error(503, "too_many_connections", message)
}
