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
mod error;
mod events;
mod grpc_web;
mod guard;
mod hosts;
mod media_type;
mod metrics;
mod payload;
mod router;
mod rpc;
mod state;
mod view;

use std::{net::SocketAddr, sync::Arc};

use axum::serve::ListenerExt as _;
use modash_runtime::{Admin, ServiceContext, bind, warn_if_exposed};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

pub use config::{AnalyticsUrl, GatewayConfig, GatewaySettings};
pub use contract::ContractError;
pub use error::Error;
pub use hosts::{Hosts, Origins};

/// grpc-web calls at the same time; fewer than the streams that one HTTP/2
/// connection may usually have.
const MOST_PASSED_ON: usize = 100;

/// A gateway that listens and does not answer yet.
#[derive(Debug)]
pub struct Gateway {
    config: GatewayConfig,
    listener: TcpListener,
    admin_listener: TcpListener,
    address: SocketAddr,
    admin_address: SocketAddr,
}

/// How long sent bytes may wait for a reader to take them.
#[cfg(target_os = "linux")]
const GONE_AFTER: std::time::Duration = std::time::Duration::from_secs(120);

impl Gateway {
    /// Binds both listeners.
    ///
    /// # Errors
    /// If an address is taken, not permitted or not of this machine.
    pub async fn bind(config: GatewayConfig) -> Result<Self, Error> {
        let listener = bind("gateway", "MODASH_GATEWAY_LISTEN", config.listen).await?;
        let admin_listener =
            bind("gateway admin", "MODASH_GATEWAY_ADMIN_LISTEN", config.admin_listen).await?;
        let (address, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);
        Ok(Self { config, listener, admin_listener, address, admin_address })
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
    /// If the connection to analytics cannot be prepared or the listener fails.
    pub async fn run(self, context: ServiceContext) -> Result<(), Error> {
        let ServiceContext { shutdown, readiness, metrics } = context;
        let ready = readiness.hold("gateway");
        warn_if_exposed("gateway", self.address);
        let app = app(&self.config, &metrics, &shutdown)?;

        let mut parts = JoinSet::new();
        let admin = Admin { metrics, readiness, shutdown: shutdown.clone() };
        parts.spawn(admin.run(self.admin_listener));
        parts.spawn(events::follow(app.hub.clone(), app.analytics.events()));

        let listener = self.listener.tap_io(|connection| {
            // Events are small and must not wait for each other.
            let _ = connection.set_nodelay(true);
            // Else a reader that is gone without a word keeps its connection.
            #[cfg(target_os = "linux")]
            let _ = socket2::SockRef::from(&*connection).set_tcp_user_timeout(Some(GONE_AFTER));
        });
        drop(ready);
        let stop = shutdown.clone();
        let server = axum::serve(listener, router::router(app))
            .with_graceful_shutdown(async move { stop.requested().await })
            .into_future();
        match shutdown.finish("requests to the gateway", server).await {
            Some(result) => Ok(result?),
            None => Ok(()),
        }
    }
}

fn app(
    config: &GatewayConfig,
    metrics: &modash_runtime::Metrics,
    shutdown: &modash_runtime::Shutdown,
) -> Result<state::App, Error> {
    let contract = contract::Contract::new()?;
    let gateway_metrics = metrics::GatewayMetrics::default();
    gateway_metrics.register(metrics);
    let hub = events::Hub::new(contract.live_request(), config.proxy_port, gateway_metrics.clone());
    let assets = match &config.dashboard_dir {
        Some(folder) => assets::Assets::Folder(folder.clone()),
        None => assets::Assets::embedded(),
    };
    Ok(state::App {
        contract,
        analytics: analytics::Analytics::new(&config.analytics_url)?,
        hub,
        assets: Arc::new(assets),
        origins: Arc::new(config.cors_origins.clone()),
        hosts: Arc::new(config.allowed_hosts.clone()),
        passed_on: Arc::new(Semaphore::new(MOST_PASSED_ON)),
        metrics: gateway_metrics,
        shutdown: shutdown.clone(),
    })
}
