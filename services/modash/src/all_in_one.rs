//! The services in one process. They start from the database outwards and stop
//! from the proxy inwards, so that no event meets a door that is closed.

use std::{future::Future, net::SocketAddr};

use modash_access::{Access, Role, TokenSource};
use modash_analytics::Analytics;
use modash_gateway::Gateway;
use modash_proxy::Proxy;
use modash_runtime::{BindError, ServiceContext, Shutdown};
use tokio::task::JoinHandle;

use crate::{
    Config, Error,
    banner::Banner,
    client_key_secret,
    database::Database,
    demo::{self, DemoTokens, SimulatedServer},
    local_server,
};

/// Runs everything until a stop is asked for or a part fails.
///
/// # Errors
/// The first part that could not start or go on.
pub async fn run(mut config: Config, context: ServiceContext) -> Result<(), Error> {
    check_ports(&config)?;
    let database = Database::start(&config.database, &mut config.analytics).await?;
    let result = tokio::select! {
        result = run_services(config, &database, context) => result,
        error = database.ended() => Err(error),
    };
    database.stop().await;
    result
}

/// All listeners: purpose, the setting that moves it, address.
pub(crate) fn listeners(config: &Config) -> [(&'static str, &'static str, SocketAddr); 6] {
    [
        ("proxy", "PORT", config.proxy.listen),
        ("proxy admin", "MODASH_PROXY_ADMIN_LISTEN", config.proxy.admin_listen),
        ("gateway", "MODASH_GATEWAY_LISTEN", config.gateway.listen),
        ("gateway admin", "MODASH_GATEWAY_ADMIN_LISTEN", config.gateway.admin_listen),
        ("analytics", "MODASH_ANALYTICS_LISTEN", config.analytics.listen),
        ("analytics admin", "MODASH_ANALYTICS_ADMIN_LISTEN", config.analytics.admin_listen),
    ]
}

/// Finds taken ports before the database takes its time.
fn check_ports(config: &Config) -> Result<(), BindError> {
    for (purpose, setting, address) in listeners(config) {
        std::net::TcpListener::bind(address)
            .map_err(|error| BindError::new(purpose, setting, address, &error))?;
    }
    Ok(())
}

/// The three services and, in the demo, what is around them.
async fn run_services(
    mut config: Config,
    database: &Database,
    context: ServiceContext,
) -> Result<(), Error> {
    let grace = context.shutdown.time_left();
    // Each service has its own signal to stop, its own readiness and metrics.
    let part = |share| ServiceContext::new(grace.mul_f64(share)).with_telemetry_of(&context);
    let (demo_stop, proxy_context) = (Shutdown::new(grace), part(0.7));
    let (gateway_context, analytics_context) = (part(0.1), part(0.2));

    let data_directory = config.database.data_directory;
    let mut access = config.access;
    let ingest = access.token_of_process("the proxy inside", Role::Ingest);
    let demo_tokens = DemoTokens {
        read: access.token_of_process("the demo", Role::Read),
        ingest: ingest.clone(),
    };
    config.proxy.analytics_token = ingest.map(TokenSource::Token);
    config.proxy.access = access.clone();
    config.gateway.access = access.clone();
    config.analytics.access = access;
    let analytics = Analytics::bind(config.analytics).await?;
    let analytics_address = analytics.address();
    let analytics_url = url(analytics_address);
    config.gateway.analytics_url = parsed(&analytics_url)?;
    let gateway_tls = config.gateway.tls.is_some();
    let mut gateway = Gateway::bind(config.gateway).await?;
    let dashboard = gateway.address();
    let simulated =
        if config.demo { Some(demo::start_server(demo_stop.clone()).await?) } else { None };
    let note = choose_upstream(&mut config.proxy, simulated.as_ref()).await?;
    let upstream = config.proxy.upstream.as_ref().map(ToString::to_string);
    config.proxy.analytics = vec![parsed(&analytics_url)?];
    if !gateway_tls {
        config.proxy.gateway = Some(parsed(&url(dashboard))?);
    }
    config.proxy.client_key_secret =
        config.proxy.client_key_secret.or_else(|| client_key_secret::load(&data_directory));
    config.proxy.spool_directory.get_or_insert_with(|| data_directory.join("spool"));
    if config.demo {
        // The demo's traffic speaks plain HTTP and has no token.
        config.proxy.clients.tls = None;
        config.proxy.clients.proxy_protocol = false;
        config.proxy.client_tokens = Access::open();
    }
    let scheme = |tls: bool| if tls { "https" } else { "http" };
    let proxy_scheme = scheme(config.proxy.clients.tls.is_some());
    let named = config.proxy.named_upstreams.iter();
    let named = named.map(|(name, url)| (name.clone(), url.to_string())).collect();
    let proxy = Proxy::bind(config.proxy).await?;
    let proxy_address = proxy.address();
    gateway.show_proxy(proxy_address.port(), upstream.clone());

    let ready = [
        analytics_context.readiness.clone(),
        gateway_context.readiness.clone(),
        proxy_context.readiness.clone(),
    ];
    let mut services = Services {
        analytics: Service::spawn(
            analytics_context.shutdown.clone(),
            analytics.run(analytics_context),
        ),
        gateway: Service::spawn(gateway_context.shutdown.clone(), gateway.run(gateway_context)),
        proxy: Service::spawn(proxy_context.shutdown.clone(), proxy.run(proxy_context)),
    };
    let announce = async {
        for readiness in &ready {
            readiness.ready().await;
        }
        Banner {
            dashboard,
            dashboard_scheme: scheme(gateway_tls),
            proxy: proxy_address,
            proxy_scheme,
            analytics: analytics_address,
            upstream: format!("{}{note}", upstream.unwrap_or_default()),
            named,
            database: database.to_string(),
            demo: config.demo,
        }
        .show();
        if config.demo {
            demo::start_traffic(
                &url(proxy_address),
                analytics_url,
                demo_tokens,
                demo_stop.clone(),
            )?;
        }
        std::future::pending().await
    };
    let early = tokio::select! {
        () = context.shutdown.requested() => Ok(()),
        result = services.first_end() => result,
        result = announce => result,
    };
    demo_stop.request();
    let stopped = services.stop(simulated).await;
    early.and(stopped)
}

/// Sets the upstream if none is configured, and says how it was chosen.
async fn choose_upstream(
    proxy: &mut modash_proxy::ProxyConfig,
    simulated: Option<&SimulatedServer>,
) -> Result<String, Error> {
    if let Some(simulated) = simulated {
        proxy.upstream = Some(parsed(&simulated.url)?);
        proxy.named_upstreams.clear();
        return Ok(" (simulated)".to_owned());
    }
    if proxy.upstream.is_none()
        && let Some(found) = local_server::find().await
    {
        proxy.upstream = Some(found.url);
        return Ok(format!(" ({})", found.note));
    }
    Ok(String::new())
}

/// The running services.
struct Services {
    analytics: Service,
    gateway: Service,
    proxy: Service,
}

impl Services {
    /// The end of the first one that ends before it was asked to.
    async fn first_end(&mut self) -> Result<(), Error> {
        tokio::select! {
            ended = self.analytics.ended() => ended,
            ended = self.gateway.ended() => ended,
            ended = self.proxy.ended() => ended,
        }
    }

    /// In the order of the data: its source first, its store last.
    async fn stop(mut self, simulated: Option<SimulatedServer>) -> Result<(), Error> {
        let proxy = self.proxy.stop().await;
        if let Some(simulated) = simulated {
            simulated.stopped().await;
        }
        let gateway = self.gateway.stop().await;
        let analytics = self.analytics.stop().await;
        proxy.and(gateway).and(analytics)
    }
}

/// A running service.
struct Service {
    shutdown: Shutdown,
    /// `None`: it has ended, and its result was handed out.
    task: Option<JoinHandle<Result<(), Error>>>,
}

impl Service {
    fn spawn<E>(
        shutdown: Shutdown,
        run: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Self
    where
        Error: From<E>,
    {
        let task = tokio::spawn(async { Ok(run.await?) });
        Self { shutdown, task: Some(task) }
    }

    async fn ended(&mut self) -> Result<(), Error> {
        let Some(task) = &mut self.task else {
            return Ok(());
        };
        let ended = task.await;
        self.task = None;
        ended.unwrap_or(Err(Error::Panicked))
    }

    async fn stop(&mut self) -> Result<(), Error> {
        self.shutdown.request();
        self.ended().await
    }
}

/// The URL under which a listener of this machine is reached.
pub(crate) fn url(address: SocketAddr) -> String {
    let reachable = if address.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    } else {
        address
    };
    format!("http://{reachable}")
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(url: &str) -> Result<T, Error> {
    url.parse().map_err(|error| Error::Address(format!("{url} {error}")))
}
