//! Signing in to the dashboard: a browser shows a token once and gets a cookie that
//! stands for it. The cookie holds the token, sealed with a key of the gateway, so every
//! request is decided by the token as it is then. Nothing is kept here but which sessions
//! ended before their time.

mod attempts;
mod cookie;
mod lease;
mod pages;

use std::{future::Future, net::IpAddr, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER, SET_COOKIE},
};
use modash_access::{Access, Role, Token, TokenSource};
use modash_runtime::{Caller, ClientAddress, HANDED_ON, caller};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{body, state::App};

use attempts::Attempts;
use cookie::Sealer;
pub(crate) use lease::Lease;
use lease::SignedOut;

/// How long a session lasts.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// A header that forms and links cannot send.
const INTENT: &str = "x-modash-request";

/// Sessions of browsers, and callers whom a proxy in front has signed in.
#[derive(Debug)]
pub(crate) struct Sessions {
    sealer: Sealer,
    lifetime: Duration,
    signed_out: SignedOut,
    attempts: Attempts,
    /// Who vouches for users, and by which header.
    trusted: Option<TrustedUsers>,
    /// Whether the gateway itself speaks TLS.
    over_tls: bool,
}

/// What a request without `authorization` stands for.
#[derive(Debug)]
pub(crate) struct SignedIn {
    /// The header that it is given.
    pub(crate) authorization: HeaderValue,
    /// Its session; `None`: a trusted proxy names the user.
    pub(crate) lease: Option<Lease>,
    /// The user whom a trusted proxy names.
    pub(crate) user: Option<String>,
}

/// A proxy with single sign-on in front of the gateway.
#[derive(Debug, Clone)]
pub struct TrustedUsers {
    /// The header that names the user, in lower case.
    pub header: http::HeaderName,
    /// Addresses that the proxy has.
    pub addresses: Vec<IpAddr>,
    /// The token of its users.
    pub token: TokenSource,
}

impl Sessions {
    /// With a secret that all gateways of an installation share; `None`: one of its
    /// own, and sessions end with the process.
    pub(crate) fn new(
        secret: Option<&[u8]>,
        lifetime: Duration,
        trusted: Option<TrustedUsers>,
        over_tls: bool,
    ) -> Self {
        Self {
            sealer: Sealer::new(secret),
            lifetime,
            signed_out: SignedOut::default(),
            attempts: Attempts::default(),
            trusted,
            over_tls,
        }
    }

    /// Whether the browser uses TLS: with the gateway itself, or, as the page's own
    /// origin says, with a reverse proxy in front.
    fn is_https(&self, headers: &HeaderMap) -> bool {
        let origin = headers.get(http::header::ORIGIN);
        self.over_tls || origin.is_some_and(|origin| origin.as_bytes().starts_with(b"https:"))
    }

    /// The `authorization` header that a request without one stands for: that of its
    /// session, or of the user whom a trusted proxy names. A cookie counts only where
    /// no page of another site can have sent it.
    pub(crate) fn signed_in(
        &self,
        headers: &HeaderMap,
        address: Option<IpAddr>,
        is_own_page: bool,
    ) -> Option<SignedIn> {
        let (value, lease, user) = match self.vouched(headers, address) {
            Some((trusted, user)) => {
                let value = trusted.token.authorization().inspect_err(|error| {
                    tracing::warn!(error, "users of the trusted proxy have no token");
                });
                (value.ok()?, None, Some(String::from_utf8_lossy(user.as_bytes()).into_owned()))
            }
            None if is_own_page => {
                let session = self.session(headers)?;
                (format!("Bearer {}", session.token.expose()), Some(session.lease), None)
            }
            None => return None,
        };
        let mut authorization = HeaderValue::try_from(value).ok()?;
        authorization.set_sensitive(true);
        Some(SignedIn { authorization, lease, user })
    }

    /// The session of a cookie, if it has not ended.
    fn session(&self, headers: &HeaderMap) -> Option<cookie::Session> {
        let session = self.sealer.open(headers)?;
        (!self.signed_out.contains(session.lease)).then_some(session)
    }

    /// Waits for the end of the session of a request; for ever if it has none.
    pub(crate) fn ended(&self, lease: Option<Lease>) -> impl Future<Output = ()> + Send + use<> {
        self.signed_out.ended(lease)
    }

    /// Ends the session of a cookie before its time.
    fn end(&self, headers: &HeaderMap) {
        if let Some(session) = self.session(headers) {
            self.signed_out.add(session.lease);
        }
    }

    /// The trusted proxy of a request, and the user whom it names.
    fn vouched<'a>(
        &self,
        headers: &'a HeaderMap,
        address: Option<IpAddr>,
    ) -> Option<(&TrustedUsers, &'a HeaderValue)> {
        // What came over the proxy's port came from anybody, whatever its address is here.
        let trusted = self.trusted.as_ref().filter(|_| !headers.contains_key(HANDED_ON))?;
        let address = address?.to_canonical();
        let user = headers.get(&trusted.header).filter(|user| !user.is_empty())?;
        trusted.addresses.contains(&address).then_some((trusted, user))
    }
}

/// The paths of sessions.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/session", get(who).post(sign_in).delete(sign_out))
        .route("/sign-in", get(pages::page))
        .route("/sign-in.js", get(pages::script))
        .route("/sign-in.css", get(pages::style))
}

/// Whether a browser that opens the dashboard has to sign in first.
pub(crate) fn must_sign_in(access: &Access, headers: &HeaderMap) -> bool {
    access.admit(headers.get(AUTHORIZATION).map(HeaderValue::as_bytes), Role::Read).is_err()
}

/// What stands for the token of a request towards its page: two pages with the same one
/// may share what they see. It tells nothing of the token. `None`: there is none.
pub(crate) fn viewer(access: &Access, headers: &HeaderMap) -> Option<String> {
    let authorization = headers.get(AUTHORIZATION).filter(|_| !access.is_open())?;
    let digest = Sha256::new().chain_update(b"modash viewer\0").chain_update(authorization);
    Some(digest.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Sends a browser to the page where it signs in, and from there back to `path`.
pub(crate) fn to_sign_in(path: &str) -> Response {
    let to: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
    let headers = [(http::header::LOCATION, format!("/sign-in?to={to}"))];
    (StatusCode::SEE_OTHER, headers, [(CACHE_CONTROL, "no-store")]).into_response()
}

fn said(status: StatusCode, value: &serde_json::Value) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(value)).into_response()
}

/// Who is signed in, by name, what they see, and whether they may write views and marks.
async fn who(State(app): State<App>, request: Request) -> Response {
    if app.access.is_open() {
        return said(StatusCode::OK, &json!({ "open": true }));
    }
    let header = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    match app.access.admit(header, Role::Read) {
        Ok(pass) => {
            let sees = pass.scope().map_or_else(|| "everything".to_owned(), ToString::to_string);
            let writes = app.access.admit(header, Role::Admin).is_ok();
            let who = json!({ "name": pass.name(), "sees": sees, "writes": writes });
            said(StatusCode::OK, &who)
        }
        Err(refusal) => said(StatusCode::UNAUTHORIZED, &json!({ "message": refusal.to_string() })),
    }
}

#[derive(serde::Deserialize)]
struct SignIn {
    token: String,
}

/// Takes a token and gives a cookie for it.
async fn sign_in(State(app): State<App>, request: Request) -> Response {
    if let Some(refused) = not_meant(&app, &request) {
        return refused;
    }
    let address = request.extensions().get::<ClientAddress>().map(|address| address.0);
    if let Some(wait) = app.sessions.attempts.wait(address) {
        return too_many(wait);
    }
    let (head, body) = request.into_parts();
    let message = match body::read(&head.headers, body).await {
        Ok(body) => serde_json::from_slice::<SignIn>(&body).ok(),
        Err(_) => None,
    };
    let Some(SignIn { token }) = message else {
        let message = "the body must be {\"token\": \"modash_…\"}";
        return said(StatusCode::BAD_REQUEST, &json!({ "message": message }));
    };
    let header = format!("Bearer {}", token.trim());
    let admitted = app.access.admit(Some(header.as_bytes()), Role::Read);
    match (admitted, Token::parse(token.trim())) {
        (Ok(_), Some(token)) => {
            let sessions = &app.sessions;
            sessions.attempts.succeeded(address);
            // A browser has one session at a time.
            sessions.end(&head.headers);
            let secure = sessions.is_https(&head.headers);
            let cookie = sessions.sealer.cookie(&token, sessions.lifetime, secure);
            (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response()
        }
        // Without tokens there is nothing to sign in to.
        (Ok(_), None) => StatusCode::NO_CONTENT.into_response(),
        (Err(refusal), _) => {
            app.sessions.attempts.failed(address);
            said(StatusCode::UNAUTHORIZED, &json!({ "message": refusal.to_string() }))
        }
    }
}

/// Takes the cookie away, and ends what was opened by it.
async fn sign_out(State(app): State<App>, request: Request) -> Response {
    if let Some(refused) = not_meant(&app, &request) {
        return refused;
    }
    app.sessions.end(request.headers());
    let cookie = app.sessions.sealer.no_cookie(app.sessions.is_https(request.headers()));
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response()
}

/// What changes something must come from a page of the gateway itself, with a header
/// that no form can send.
fn not_meant(app: &App, request: &Request) -> Option<Response> {
    let headers = request.headers();
    let own = caller(headers, request.uri(), &app.origins, &app.hosts) == Caller::Own;
    if own && headers.contains_key(INTENT) {
        return None;
    }
    let message = format!(
        "this is for pages of the gateway: the Origin must be its own, and the header {INTENT} must be there"
    );
    Some(said(StatusCode::FORBIDDEN, &json!({ "message": message })))
}

fn too_many(wait: Duration) -> Response {
    let seconds = wait.as_secs().max(1);
    let message = format!("too many failed attempts from this address; try again in {seconds} s");
    let mut response = said(StatusCode::TOO_MANY_REQUESTS, &json!({ "message": message }));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}
