//! The data plane of modash.
//!
//! Life of a request: `listener` accepts, `relay` hands the request on and the response
//! back (`bridge` where the client speaks HTTP/2), `route` decides where it goes,
//! `upstream` has the connections, `exchange` holds what is known of it and ends exactly
//! once, `usage_event` makes the event, and `emit` brings it to analytics.

mod activity;
mod asking;
mod bridge;
mod client_key;
mod core;
mod counters;
mod emit;
mod error;
mod exchange;
mod fault;
mod frames;
mod listener;
mod metrics;
pub mod probe;
mod relay;
mod request_facts;
mod route;
mod settings;
mod stream;
mod trace_context;
mod upstream;
mod usage_event;
mod vital;

use std::{collections::HashMap, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use modash_runtime::{
    Admin, BindError, Boxed, ClientTls, Description, GrpcTls, ListenerTls, ServiceContext,
    Shutdown, bind, warn_if_exposed,
};
use tokio::{net::TcpListener, sync::mpsc::Sender};

use crate::{
    asking::StreamUsageAid,
    client_key::Fingerprinter,
    core::Core,
    emit::{
        AccessLog, EmitConfig, Emitter, Followers, JournalFile, LogConfig, Shared, directory_of,
        otlp::{Otlp, Server},
    },
    fault::thread_begins,
    listener::{Admission, Intake, Port},
    route::Router,
    settings::{ANALYTICS_PEER, UPSTREAM_PEER},
    trace_context::Tracing,
    usage_event::EventMaker,
    vital::Vital,
};
#[cfg(debug_assertions)]
pub use fault::{break_metering_every, break_thread};
pub use modash_runtime::{ClientTlsFiles, ListenerTlsFiles, TlsFileError};
pub use settings::{
    AccessLogFormat, AllowedHosts, BaseUrl, ClientConfig, ForwardedHeaders, HttpVersion,
    PoolConfig, ProxyConfig, ProxySettings, Share, StreamUsage, TraceContextMode, UpstreamConfig,
};
pub use vital::Death;

/// What is said of every metric of the proxy, beside those of every process.
#[must_use]
pub fn metrics() -> Vec<Description> {
    metrics::descriptions()
}

/// Whether the files of TLS with clients can be used.
///
/// # Errors
/// Which one cannot, and why.
pub fn check_listener_tls(files: &ListenerTlsFiles) -> Result<(), TlsFileError> {
    ListenerTls::new("the certificates for clients", settings::LISTENER_TLS, files.clone())
        .map(|_| ())
}

/// How often old idle connections to upstreams are closed.
const CLOSE_OLD_EVERY: Duration = Duration::from_secs(1);

/// Why the proxy could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port is taken, or the like.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No upstream is configured.
    #[error("UPSTREAM_URL is not set: give the base URL of the LLM server")]
    NoUpstream,
    /// A file of certificates or keys is no good.
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    /// A thread that has to run has died.
    #[error(transparent)]
    Died(#[from] Death),
    /// The system refused memory.
    #[error("cannot map the memory of the journal: {0}")]
    Journal(#[source] io::Error),
    /// The system refused a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// A proxy whose listeners are bound.
pub struct Proxy {
    config: ProxyConfig,
    upstream: BaseUrl,
    tls: ClientTls,
    /// `None`: all analytics are plain.
    analytics_tls: Option<GrpcTls>,
    admission: Admission,
    port: Port,
    admin: TcpListener,
}

impl Proxy {
    /// Binds the listeners.
    ///
    /// # Errors
    /// If a port is taken, no upstream is configured, or TLS cannot be set up.
    pub fn bind(config: ProxyConfig) -> Boxed<'static, Result<Self, Error>> {
        Box::pin(async move {
            let upstream = config.upstream.clone().ok_or(Error::NoUpstream)?;
            let files = config.upstream_config.tls.clone();
            let tls = ClientTls::new("the certificates for upstreams", UPSTREAM_PEER.files, files)?;
            let over_tls = config.analytics.iter().any(|url| url.scheme() == "https");
            let files = over_tls.then(|| config.analytics_tls.clone());
            let analytics_tls = files
                .map(|files| GrpcTls::new("the certificates for analytics", &ANALYTICS_PEER, files))
                .transpose()?;
            let admission = Admission::new(&config.clients, config.threads)?;
            let share_port = config.clients.share_port;
            let admin = bind_admin(config.admin_listen, share_port).await?;
            // Last: with a shared port clients come from now on.
            let sockets = if cfg!(target_os = "linux") { config.threads } else { 1 };
            let port = Port::bind(config.listen, sockets, share_port)
                .map_err(|error| BindError::new("proxy", "PORT", config.listen, &error))?;
            tracing::info!(address = %port.address(), purpose = "proxy", %upstream,
                connections = admission.connections(), tls = admission.speaks_tls(), "listening");
            warn_if_exposed("proxy", port.address());
            Ok(Self { config, upstream, tls, analytics_tls, admission, port, admin })
        })
    }

    /// Where applications reach it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Where `/metrics` and the like are.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.local_addr().unwrap_or(self.config.admin_listen)
    }

    /// Serves until a stop is asked for. Stops in data order: no more
    /// connections, running requests end, events are handed over.
    ///
    /// # Errors
    /// If a thread cannot be started, or one of them dies. Then the others stop in
    /// the same order.
    pub fn run(self, context: ServiceContext) -> Boxed<'static, Result<(), Error>> {
        Box::pin(self.serve(context))
    }

    async fn serve(self, context: ServiceContext) -> Result<(), Error> {
        let config = self.config;
        let log = config.spool_directory.as_deref().map(|spools| LogConfig {
            directory: directory_of(spools, &config.replica_id),
            bytes: config.spool_bytes,
            fsync: config.spool_fsync,
        });
        let threads = config.threads;
        // Before the first request comes.
        let directory = log.as_ref().map(|log| log.directory.as_path());
        let journal = JournalFile::create(directory, threads).map_err(Error::Journal)?;
        let journal = Arc::new(journal);
        let fingerprinter = Fingerprinter::new(config.client_key_secret.as_deref());
        let maker = Arc::new(EventMaker::new(config.replica_id.clone(), fingerprinter));
        let cores: Vec<_> = (0..threads)
            .map(|core| Arc::new(Shared::new(journal.of_core(core), maker.clone())))
            .collect();
        let (format, share) = config.access_log;
        let access_log = AccessLog::start(format, share).map_err(Error::Thread)?.map(Arc::new);
        let telemetry = context.telemetry;
        let tracing = telemetry
            .as_ref()
            .and_then(|telemetry| Tracing::new(telemetry, config.trace_context))
            .map(Arc::new);
        let upstreams = servers(&self.upstream, &config.named_upstreams);
        let host = |(name, server): (&String, &Server)| (name.clone(), server.host.clone());
        let upstream_hosts = upstreams.iter().map(host).collect();
        let otlp = telemetry.clone().map(|telemetry| Arc::new(Otlp::new(telemetry, upstreams)));
        let followers = Followers { access_log, otlp, ..Followers::default() };
        let emitter = Arc::new(Emitter::new(
            EmitConfig {
                replica_id: config.replica_id.clone(),
                upstream_hosts,
                analytics: config.analytics.clone(),
                analytics_tls: self.analytics_tls,
                analytics_token: config.analytics_token.clone(),
                events_in_memory: config.spool_events,
                log,
                journal,
                followers,
            },
            cores.clone(),
            maker,
        ));
        let refused = self.admission.refused_handshakes();
        metrics::add(&context.metrics, refused, &cores, &emitter, telemetry.as_ref());
        let admin = Admin {
            metrics: context.metrics,
            readiness: context.readiness,
            shutdown: context.shutdown.clone(),
            scrapers: config.access.scrapers(),
        };
        tokio::spawn(serve_admin(admin, self.admin, config.clients.share_port));
        let intakes = Intake::for_cores(self.port, config.threads).map_err(Error::Thread)?;
        // Cores must not outlive this future, also when it is dropped.
        let _stop = StopOnDrop(context.shutdown.clone());
        let (running, mut ended) = tokio::sync::mpsc::channel(1);
        let (deaths, mut died) = tokio::sync::mpsc::channel(1);
        let hosts = config.listen.ip().is_loopback().then(|| config.allowed_hosts.clone());
        let aid = Arc::new(StreamUsageAid::new(config.stream_usage));
        for (number, (intake, shared)) in intakes.into_iter().zip(cores).enumerate() {
            let router = Router::new(
                self.upstream.clone(),
                &config.named_upstreams,
                config.gateway.clone(),
                &self.tls,
                &config.upstream_config,
                config.threads,
                &shared.counters,
            )
            .under(hosts.clone())
            .for_callers(config.client_tokens.clone(), config.gateway_access.clone());
            let core =
                Arc::new(Core { router, tracing: tracing.clone(), aid: aid.clone(), shared });
            let thread = CoreThread {
                core,
                intake,
                admission: self.admission.clone(),
                drain_delay: config.clients.drain_delay,
                shutdown: context.shutdown.clone(),
                running: running.clone(),
            };
            thread.start(number, &deaths).map_err(Error::Thread)?;
        }
        drop(running);
        let shutdown = context.shutdown.clone();
        let mut emitting = pin!(emitter.run(shutdown, ended.recv(), &deaths));
        let death = tokio::select! {
            emitted = &mut emitting => return emitted.map_err(Error::Thread),
            death = died.recv() => death,
        };
        context.shutdown.request();
        emitting.await.map_err(Error::Thread)?;
        death.map_or(Ok(()), |death| Err(death.into()))
    }
}

/// Hosts and ports of the upstreams by name, for spans and metrics.
fn servers(upstream: &BaseUrl, named: &[(String, BaseUrl)]) -> HashMap<String, Server> {
    let server = |base: &BaseUrl| Server { host: base.host().to_owned(), port: base.port() };
    let named = named.iter().map(|(name, base)| (name.clone(), server(base)));
    std::iter::once((route::DEFAULT.to_owned(), server(upstream))).chain(named).collect()
}

struct StopOnDrop(Shutdown);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.request();
    }
}

async fn bind_admin(address: SocketAddr, share_port: bool) -> Result<TcpListener, BindError> {
    const SETTING: &str = "MODASH_PROXY_ADMIN_LISTEN";
    if !share_port {
        return bind("proxy admin", SETTING, address).await;
    }
    let listener = Port::bind(address, 1, true).and_then(Port::into_listener);
    let listener =
        listener.map_err(|error| BindError::new("proxy admin", SETTING, address, &error))?;
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(%address, purpose = "proxy admin", "listening");
    Ok(listener)
}

/// On a shared port, one that stops leaves its admin port too: its successor
/// answers there.
async fn serve_admin(admin: Admin, listener: TcpListener, share_port: bool) {
    let shutdown = admin.shutdown.clone();
    tokio::select! {
        () = admin.run(listener) => {}
        () = shutdown.requested(), if share_port => {}
    }
}

/// What one forwarding thread gets.
struct CoreThread {
    core: Arc<Core>,
    intake: Intake,
    admission: Admission,
    drain_delay: Duration,
    shutdown: Shutdown,
    /// Closed when the last thread has ended.
    running: tokio::sync::mpsc::Sender<()>,
}

impl CoreThread {
    /// Starts it with a single-threaded runtime: a request never changes cores.
    fn start(self, number: usize, deaths: &Sender<Death>) -> io::Result<()> {
        let name = format!("modash-core-{number}");
        let vital = Vital::new(&name, deaths);
        std::thread::Builder::new().name(name).spawn(|| match self.run() {
            Ok(()) => vital.finished(),
            Err(error) => vital.failed(&error),
        })?;
        Ok(())
    }

    fn run(self) -> io::Result<()> {
        thread_begins();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = runtime.block_on(async {
            tokio::spawn(close_old_connections(self.core.clone()));
            listener::serve(self.core, self.intake, self.admission, self.drain_delay, self.shutdown)
                .await
        });
        drop(runtime);
        drop(self.running);
        served
    }
}

async fn close_old_connections(core: Arc<Core>) {
    let mut tick = tokio::time::interval(CLOSE_OLD_EVERY);
    loop {
        tick.tick().await;
        core.router.pools().for_each(|pool| pool.close_old());
    }
}
