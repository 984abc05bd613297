//! What stands before every surface: panics become answers, strangers' pages
//! are refused, listed sites get their CORS headers, JSON is packed, requests
//! are counted.

use std::panic::AssertUnwindSafe;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
        AUTHORIZATION, CONTENT_TYPE, ORIGIN, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    },
};
use modash_access::{CallerId, Refusal, Role};
use modash_proto::ERROR_DOMAIN;
use modash_runtime::{Caller, ClientAddress, caller, may_be_rebound};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::Instrument as _;

use crate::{body, error, grpc_web, media_type::MediaType, state::App, trace::RequestTrace};

/// `traceparent` and `b3` because an Effect client sends both on every call.
const ALLOWED_HEADERS: &str = "content-type, x-grpc-web, x-user-agent, grpc-timeout, \
    connect-protocol-version, connect-timeout-ms, authorization, traceparent, tracestate, b3, \
    last-event-id, cache-control";
/// Without the first two a browser cannot see errors of grpc-web.
const EXPOSED_HEADERS: &str = "grpc-status, grpc-message, grpc-status-details-bin";

/// Which surface a path belongs to; files of the dashboard are none.
fn surface(path: &str) -> Option<&'static str> {
    match path {
        "/events" => Some("events"),
        "/rpc" | "/rpc/" => Some("rpc"),
        _ if path.starts_with("/rpc/") || path.starts_with("/modash.") => Some("calls"),
        _ => None,
    }
}

/// Goes around all handlers.
pub(crate) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let surface = surface(&path);
    let headers = request.headers().clone();
    let caller = caller(&headers, request.uri(), &app.origins, &app.hosts);
    sign_in(&app, &mut request, caller);
    let mut response = match surface {
        Some(_) if is_refused(&app, &request, caller) => refused(&path, &headers),
        Some(_) if caller == Caller::Listed && is_preflight(&request) => preflight(),
        Some(_) if let Err(refusal) = admit(&app, &mut request) => {
            not_admitted(&path, &headers, &refusal)
        }
        Some(_) => {
            let trace = RequestTrace::begin(&request, app.scheme);
            let response = run(&path, &headers, request, next).instrument(trace.span()).await;
            trace.answered(response.status());
            body::pack(&headers, response).await
        }
        None => run(&path, &headers, request, next).await,
    };
    if surface.is_some() && !app.origins.is_empty() {
        allow(&headers, caller, response.headers_mut());
    }
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    app.metrics.answered(surface.unwrap_or("dashboard"), response.status());
    response
}

async fn run(path: &str, headers: &HeaderMap, request: Request, next: Next) -> Response {
    AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(path, "a request handler panicked");
        error::panicked(path, headers)
    })
}

fn is_refused(app: &App, request: &Request, caller: Caller) -> bool {
    match caller {
        Caller::Stranger => true,
        Caller::Program => {
            may_be_rebound(request.headers(), request.uri(), &app.hosts)
            // A page cannot post without an `Origin`, but it can read.
            && matches!(*request.method(), Method::GET | Method::HEAD)
        }
        Caller::Own | Caller::Listed => false,
    }
}

fn refused(path: &str, headers: &HeaderMap) -> Response {
    let status = Status::permission_denied(
        "pages of other sites may not use this gateway; MODASH_GATEWAY_CORS_ORIGINS lists sites \
         that may, MODASH_GATEWAY_ALLOWED_HOSTS the gateway's own names",
    );
    error::refusal(path, headers, StatusCode::FORBIDDEN, &status)
}

/// Gives a request without `authorization` the one of its session. A page of another
/// site can neither send one with an `Origin` of the gateway, nor read what a form made.
fn sign_in(app: &App, request: &mut Request, caller: Caller) {
    if app.access.is_open() || request.headers().contains_key(AUTHORIZATION) {
        return;
    }
    let (headers, uri) = (request.headers(), request.uri());
    let own = match caller {
        Caller::Own => !is_form(headers),
        Caller::Program => {
            matches!(*request.method(), Method::GET | Method::HEAD)
                && !may_be_rebound(headers, uri, &app.hosts)
        }
        Caller::Listed | Caller::Stranger => false,
    };
    let address = request.extensions().get::<ClientAddress>().map(|address| address.0);
    if let Some(signed_in) = app.sessions.signed_in(headers, address, own) {
        request.headers_mut().insert(AUTHORIZATION, signed_in.authorization);
        if let Some(lease) = signed_in.lease {
            request.extensions_mut().insert(lease);
        }
        if let Some(user) = signed_in.user {
            request.extensions_mut().insert(CallerId::User(user));
        }
    }
}

/// Whether a form can have sent this.
fn is_form(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(MediaType::parse);
    media_type.is_some_and(|media_type| {
        matches!(
            media_type.essence.as_str(),
            "text/plain" | "multipart/form-data" | "application/x-www-form-urlencoded"
        )
    })
}

/// Asks for a token that may read, and notes who calls. Analytics decides anew by the
/// same header: here nobody is let in whom it would refuse.
fn admit(app: &App, request: &mut Request) -> Result<(), Refusal> {
    let header = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let pass = app.access.admit(header, Role::Read)?;
    let extensions = request.extensions_mut();
    if extensions.get::<CallerId>().is_none() {
        let address = extensions.get::<ClientAddress>().map(|address| address.0);
        extensions.insert(CallerId::new(Some(&pass), address));
    }
    extensions.insert(pass);
    Ok(())
}

fn not_admitted(path: &str, headers: &HeaderMap, refusal: &Refusal) -> Response {
    let (code, http) = if refusal.is_forbidden() {
        (Code::PermissionDenied, StatusCode::FORBIDDEN)
    } else {
        (Code::Unauthenticated, StatusCode::UNAUTHORIZED)
    };
    let details = ErrorDetails::with_error_info(refusal.reason(), ERROR_DOMAIN, []);
    let status = Status::with_error_details(code, refusal.to_string(), details);
    if grpc_web::is_grpc_web(headers) {
        return grpc_web::failure(headers.get(CONTENT_TYPE).cloned(), &status);
    }
    let mut response = error::refusal(path, headers, http, &status);
    if http == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let headers: [(HeaderName, HeaderValue); 3] = [
        (ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS")),
        (ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_HEADERS)),
        (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200")),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Lets a listed site read the answer, whatever it is.
fn allow(request: &HeaderMap, caller: Caller, headers: &mut HeaderMap) {
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let (Caller::Listed, Some(origin)) = (caller, request.get(ORIGIN)) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
    }
}
