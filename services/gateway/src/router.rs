//! The whole URL table.

use axum::{
    Router,
    extract::{Path, Request, State},
    middleware,
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tonic::Status;

use crate::{
    assets, connect, contract::SERVICE, events, grpc_web, guard::guard, rpc, session, state::App,
};

/// All paths with what serves them.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/openapi.json", get(openapi))
        .route("/rpc", any(rpc::serve))
        .route("/rpc/", any(rpc::serve))
        .route("/rpc/{method}", any(short_call))
        .route(&format!("/{SERVICE}/{{method}}"), any(call))
        .route("/events", any(events::serve))
        .merge(session::routes())
        .fallback(other)
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

async fn healthz() -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (headers, r#"{"status":"ok"}"#).into_response()
}

/// The description of the plain JSON form, made from the contract.
const OPENAPI: &str = include_str!("../../../docs/openapi.json");

async fn openapi() -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")];
    (headers, OPENAPI).into_response()
}

/// A call in the notation that its content type says.
async fn call(State(app): State<App>, Path(method): Path<String>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if grpc_web::is_grpc_web(&head.headers) {
        grpc_web::serve(&app, head, body).await
    } else {
        connect::serve(&app, &method, &head, body).await
    }
}

/// A JSON call under a path that is quicker to type.
async fn short_call(
    State(app): State<App>,
    Path(method): Path<String>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    connect::serve(&app, &method, &head, body).await
}

/// Other services do not exist here; the rest is the dashboard.
async fn other(State(app): State<App>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let path = head.uri.path();
    if !path.starts_with("/modash.") {
        let signs_in = !app.access.is_open()
            && assets::is_page(path, &head.headers)
            && session::must_sign_in(&app.access, &head.headers);
        if signs_in {
            let whole = head.uri.path_and_query().map_or(path, http::uri::PathAndQuery::as_str);
            return session::to_sign_in(whole);
        }
        let viewer = session::viewer(&app.access, &head.headers);
        return assets::serve(&app.assets, &app.page, viewer.as_deref(), &head).await;
    }
    let name = path.trim_start_matches('/').replace('/', ".");
    if grpc_web::is_grpc_web(&head.headers) {
        let status = Status::unimplemented(format!("{name} does not exist"));
        return grpc_web::failure(head.headers.get(CONTENT_TYPE).cloned(), &status);
    }
    connect::unknown(&name)
}
