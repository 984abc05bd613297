//! The gateway: the only owner of JSON, server-sent events and static files.
//! Keeps nothing; everything it says it asks analytics, by gRPC.
//!
//! Life of a request: `guard` (who asks) → `router` (what for) → `rpc`,
//! `connect`, `grpc_web`, `events` or `assets` → `analytics`.

mod analytics;
mod assets;
mod body;
mod codec;
mod config;
mod connect;
mod contract;
mod currency;
mod error;
mod events;
mod grpc_web;
mod guard;
mod media_type;
mod metrics;
mod names;
mod page;
mod payload;
mod places;
mod router;
mod rpc;
mod session;
mod state;
mod tls;
mod trace;
mod trace_url;
mod view;

use std::{net::SocketAddr, sync::Arc};

use modash_runtime::{
    Admin, BoundedListener, Boxed, ConnectionCount, Description, ListenerTls, ServiceContext, bind,
    warn_if_exposed,
};
use tokio::{net::TcpListener, task::JoinSet};

pub use config::{AnalyticsUrl, GatewayConfig, GatewaySettings};
pub use contract::ContractError;
pub use currency::Currency;
pub use error::Error;
pub use modash_runtime::{ClientTlsFiles, Hosts, ListenerTlsFiles, Origins};
pub use page::{BrowserUrl, DashboardTransport};
pub use session::TrustedUsers;
pub use trace_url::TraceUrl;

/// Whether the files of TLS with clients can be used.
///
/// # Errors
/// Which one cannot, and why.
pub fn check_listener_tls(files: &ListenerTlsFiles) -> Result<(), modash_runtime::TlsFileError> {
    ListenerTls::new("the certificates of the gateway", tls::LISTENER_TLS, files.clone())
        .map(|_| ())
}

/// A gateway that listens and does not answer yet.
#[derive(Debug)]
pub struct Gateway {
    config: GatewayConfig,
    listener: BoundedListener,
    admin_listener: TcpListener,
    address: SocketAddr,
    admin_address: SocketAddr,
}

impl Gateway {
    /// Binds both listeners.
    ///
    /// # Errors
    /// If an address is taken, not permitted or not of this machine, or a file of TLS is
    /// no good.
    pub fn bind(config: GatewayConfig) -> Boxed<'static, Result<Self, Error>> {
        Box::pin(async move {
            let limits = config.limits.clone();
            let tls = config.tls.clone();
            let tls = tls
                .map(|files| {
                    ListenerTls::new("the certificates of the gateway", tls::LISTENER_TLS, files)
                })
                .transpose()?;
            let listener =
                BoundedListener::bind("gateway", "MODASH_GATEWAY_LISTEN", config.listen, limits)
                    .await?
                    .with_tls(tls);
            let admin_listener =
                bind("gateway admin", "MODASH_GATEWAY_ADMIN_LISTEN", config.admin_listen).await?;
            let (address, admin_address) = (listener.address(), admin_listener.local_addr()?);
            Ok(Self { config, listener, admin_listener, address, admin_address })
        })
    }

    /// The page names this port of a proxy, and where that forwards to: in one process both
    /// are known only after the gateway has its own address.
    pub fn show_proxy(&mut self, port: u16, upstream: Option<String>) {
        (self.config.proxy_port, self.config.upstream) = (port, upstream);
    }

    /// Where the gateway listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `/livez`, `/readyz` and `/metrics` are.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until a stop is asked for and the open requests have ended.
    /// Analytics may be away: the page is served and calls say what is missing.
    ///
    /// # Errors
    /// If the connection to analytics cannot be prepared.
    pub fn run(self, context: ServiceContext) -> Boxed<'static, Result<(), Error>> {
        Box::pin(self.serve(context))
    }

    async fn serve(self, context: ServiceContext) -> Result<(), Error> {
        let ServiceContext { shutdown, readiness, metrics, telemetry } = context;
        let ready = readiness.hold("gateway");
        if self.config.access.is_open() {
            warn_if_exposed("gateway", self.address);
        }
        metrics.add_process("gateway", telemetry.as_ref());
        let app = app(&self.config, &metrics, &shutdown)?;

        let count = ConnectionCount::register(&metrics, &metrics::CONNECTIONS);
        self.listener.count_refused_handshakes(&metrics, &metrics::REFUSED_HANDSHAKES);
        let mut parts = JoinSet::new();
        let admin = Admin {
            metrics,
            readiness,
            shutdown: shutdown.clone(),
            scrapers: self.config.access.scrapers(),
        };
        parts.spawn(admin.run(self.admin_listener));
        if app.access.is_open() {
            parts.spawn(app.hubs.follow_shared());
        } else {
            parts.spawn(app.hubs.close_unread());
        }

        drop(ready);
        let stop = shutdown.token().cancelled_owned();
        let serving = self.listener.serve(router::router(app), count, stop);
        shutdown.finish("requests to the gateway", serving).await;
        Ok(())
    }
}

/// What is said of every metric of the gateway, beside those of every process.
#[must_use]
pub fn metrics() -> Vec<Description> {
    metrics::descriptions()
}

fn app(
    config: &GatewayConfig,
    metrics: &modash_runtime::Metrics,
    shutdown: &modash_runtime::Shutdown,
) -> Result<state::App, Error> {
    let contract = contract::Contract::new()?;
    let gateway_metrics = metrics::GatewayMetrics::register(metrics);
    let settings = page::PageSettings {
        proxy_port: config.proxy_port,
        trace_url: config.trace_url.as_ref().map(ToString::to_string),
    };
    let page = page::Page::new(
        settings.clone(),
        config.transport,
        config.browser_url.clone(),
        config.upstream.clone(),
        config.currency.clone(),
    );
    let hub = events::Hub::new(contract.live_request(), settings, gateway_metrics.clone());
    metrics::add_waiting(metrics, hub.waiting_bytes());
    let assets = match &config.dashboard_dir {
        Some(folder) => assets::Assets::Folder(folder.clone()),
        None => assets::Assets::embedded(),
    };
    let analytics = analytics::Analytics::new(
        &config.analytics_url,
        config.analytics_tls.clone(),
        config.access.clone(),
    )?;
    let hubs = events::Hubs::new(hub, analytics.events(), config.access.clone());
    Ok(state::App {
        contract,
        analytics,
        access: config.access.clone(),
        hubs,
        sessions: Arc::new(session::Sessions::new(
            config.session_secret.as_deref(),
            config.session_lifetime,
            config.trusted_users.clone(),
            config.tls.is_some(),
        )),
        assets: Arc::new(assets),
        scheme: if config.tls.is_some() { "https" } else { "http" },
        page: Arc::new(page),
        origins: Arc::new(config.cors_origins.clone()),
        hosts: Arc::new(config.allowed_hosts.clone()),
        places: places::Places::new(config.streams, gateway_metrics.clone()),
        metrics: gateway_metrics,
        shutdown: shutdown.clone(),
    })
}
