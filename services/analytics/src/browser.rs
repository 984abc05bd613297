//! Pages in browsers, before grpc-web is unwrapped: those of other sites are refused,
//! listed ones get their CORS headers, and usage events are not taken from any.

use std::sync::Arc;

use modash_proto::v1::ingest_service_server;
use modash_runtime::{Caller, Hosts, Origins, caller};
use tonic::{
    Status,
    body::Body,
    codegen::http::{
        self, HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
            ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, ORIGIN, VARY,
        },
    },
};

use crate::around::Look;

const ALLOWED_HEADERS: &str = "content-type, x-grpc-web, x-user-agent, grpc-timeout, \
    authorization, traceparent, tracestate";
/// Without the first two a browser cannot see errors of grpc-web.
const EXPOSED_HEADERS: &str = "grpc-status, grpc-message, grpc-status-details-bin";

/// Decides which pages may call.
#[derive(Debug, Clone)]
pub(crate) struct Browsers(Arc<(Origins, Hosts)>);

impl Browsers {
    /// Pages of these sites, and those that were loaded under these names.
    pub(crate) fn new(origins: Origins, hosts: Hosts) -> Self {
        Self(Arc::new((origins, hosts)))
    }
}

impl Look for Browsers {
    /// The listed site whose page calls.
    type Seen = Option<HeaderValue>;

    fn call<A>(&self, request: &mut http::Request<A>) -> Result<Self::Seen, http::Response<Body>> {
        let (origins, hosts) = &*self.0;
        let caller = caller(request.headers(), request.uri(), origins, hosts);
        let answer = match caller {
            Caller::Stranger => Some(refused()),
            Caller::Listed if is_preflight(request) => Some(preflight()),
            _ if is_grpc_web(request.headers()) && is_ingest(request.uri().path()) => {
                Some(not_for_pages())
            }
            _ => None,
        };
        let origin = request.headers().get(ORIGIN).filter(|_| caller == Caller::Listed).cloned();
        match answer {
            Some(answer) => Err(self.answer(origin, answer)),
            None => Ok(origin),
        }
    }

    fn answer(&self, listed: Self::Seen, response: http::Response<Body>) -> http::Response<Body> {
        let mut response = response;
        allow(listed, response.headers_mut());
        response
    }
}

fn is_preflight<A>(request: &http::Request<A>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn is_grpc_web(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    value.to_ascii_lowercase().starts_with(b"application/grpc-web")
}

fn is_ingest(path: &str) -> bool {
    let service = path.strip_prefix('/').and_then(|path| path.split('/').next());
    service == Some(ingest_service_server::SERVICE_NAME)
}

fn refused() -> http::Response<Body> {
    let text = "pages of other sites may not use analytics; MODASH_ANALYTICS_CORS_ORIGINS lists \
                sites that may, MODASH_ANALYTICS_ALLOWED_HOSTS its own names\n";
    let mut response = http::Response::new(Body::new(text.to_owned()));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// The refusal in the form of grpc-web: status and message are headers.
fn not_for_pages() -> http::Response<Body> {
    let text = "usage events are taken over gRPC, not over grpc-web";
    let mut response = Status::unimplemented(text).into_http();
    let content_type = HeaderValue::from_static("application/grpc-web+proto");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn preflight() -> http::Response<Body> {
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
        (ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
        (ACCESS_CONTROL_MAX_AGE, "7200"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Lets a listed site read the answer, whatever it is.
fn allow(listed: Option<HeaderValue>, headers: &mut HeaderMap) {
    if let Some(origin) = listed {
        headers.append(VARY, HeaderValue::from_static("origin"));
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
    }
}
