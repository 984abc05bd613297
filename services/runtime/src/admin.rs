//! The admin server: is the process up, may it take traffic, what does it
//! count.

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use crate::{
    BoundedListener, Caller, ConnectionCount, Description, Hosts, ListenerLimits, Metrics, Origins,
    Readiness, Shutdown, caller, may_be_rebound, metrics,
};

/// Serves `/livez`, `/readyz` and `/metrics`.
#[derive(Debug, Clone)]
pub struct Admin {
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What `/readyz` waits for.
    pub readiness: Readiness,
    /// A stopping process is not ready.
    pub shutdown: Shutdown,
    /// Who may read `/metrics`.
    pub scrapers: Scrapers,
}

/// Who may read `/metrics`, decided by the `authorization` header of a request. By
/// default everybody.
#[derive(Clone, Default)]
pub struct Scrapers(Option<Arc<Admit>>);

type Admit = dyn Fn(Option<&[u8]>) -> Result<(), NotAdmitted> + Send + Sync;

/// Why somebody may not read `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAdmitted {
    /// Another token is needed: 401 with this text.
    Unknown(String),
    /// This token is known and does not allow it: 403 with this text.
    Forbidden(String),
}

impl Scrapers {
    /// Those whom `admit` lets in.
    pub fn new(
        admit: impl Fn(Option<&[u8]>) -> Result<(), NotAdmitted> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(admit)))
    }

    fn admit(&self, authorization: Option<&HeaderValue>) -> Result<(), NotAdmitted> {
        let admit = |admit: &Arc<Admit>| admit(authorization.map(HeaderValue::as_bytes));
        self.0.as_ref().map_or(Ok(()), admit)
    }
}

impl fmt::Debug for Scrapers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Scrapers(some)" } else { "Scrapers(all)" })
    }
}

impl Admin {
    /// Serves until the process ends; it answers while the process drains.
    pub async fn run(self, listener: TcpListener) {
        let listener = match BoundedListener::new(listener, limits()) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "the admin server has no address"),
        };
        let count = ConnectionCount::register(&self.metrics, &CONNECTIONS);
        let local = listener.address().ip().is_loopback();
        let router = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(scrape))
            .layer(middleware::from_fn_with_state(local, no_pages))
            .with_state(self);
        listener.serve(router, count, std::future::pending()).await;
    }
}

/// Connections to the admin port.
pub(crate) const CONNECTIONS: [Description; 2] =
    ConnectionCount::descriptions("modash_admin_connections", "modash_admin_connections_refused");

/// Probes and scrapers are few; these are included in what each process keeps for
/// its own files.
fn limits() -> ListenerLimits {
    ListenerLimits {
        connections: Some(32),
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        ..ListenerLimits::default()
    }
}

/// Refuses pages in browsers: those of other sites, and on loopback those whose name
/// was pointed here. Elsewhere names are those of the network, and scrapers use them.
async fn no_pages(State(local): State<bool>, request: Request, next: Next) -> Response {
    let (headers, uri) = (request.headers(), request.uri());
    let stranger = caller(headers, uri, &Origins::default(), &Hosts::default()) == Caller::Stranger;
    if stranger || local && may_be_rebound(headers, uri, &Hosts::default()) {
        let text = "pages of other sites may not use this port\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    next.run(request).await
}

/// Whether the process may take traffic, and in a second line which version it is.
async fn readyz(State(admin): State<Admin>) -> Response {
    let waiting_for = admin.readiness.waiting_for();
    let (status, state) = if admin.shutdown.is_requested() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping".to_owned())
    } else if waiting_for.is_empty() {
        (StatusCode::OK, "ready".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}", waiting_for.join(", ")))
    };
    (status, format!("{state}\nmodash {}\n", env!("CARGO_PKG_VERSION"))).into_response()
}

async fn scrape(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    match admin.scrapers.admit(headers.get(AUTHORIZATION)) {
        Ok(()) => metrics::page(&admin.metrics, &headers),
        Err(NotAdmitted::Unknown(text)) => (
            StatusCode::UNAUTHORIZED,
            [(WWW_AUTHENTICATE, "Bearer")],
            text + "
",
        )
            .into_response(),
        Err(NotAdmitted::Forbidden(text)) => (
            StatusCode::FORBIDDEN,
            text + "
",
        )
            .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin() -> Admin {
        Admin {
            metrics: Metrics::default(),
            readiness: Readiness::default(),
            shutdown: Shutdown::new(Duration::from_secs(1)),
            scrapers: Scrapers::default(),
        }
    }

    #[tokio::test]
    async fn readyz_names_what_is_waited_for_and_the_version_and_turns_false_when_stopping() {
        let admin = admin();
        let hold = admin.readiness.hold("database");
        let version = format!("modash {}", env!("CARGO_PKG_VERSION"));
        let expect = async |status: u16, state: &str| {
            let answer = readyz(State(admin.clone())).await;
            assert_eq!(answer.status(), status);
            let body = axum::body::to_bytes(answer.into_body(), 1_024).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&body), format!("{state}\n{version}\n"));
        };
        expect(503, "waiting for database").await;
        drop(hold);
        expect(200, "ready").await;
        admin.shutdown.request();
        expect(503, "stopping").await;
    }
}
