//! The system under test: proxy, analytics and gateway as processes, a database,
//! a simulated LLM server, and a line between proxy and analytics.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use http::HeaderName;
use modash_integration::{Process, Signal};
use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig, Stats};
use modash_test_support::Relay;

use crate::{
    clients::{Lives, NAME, Target},
    database::Database,
    disk::Disk,
};

/// Name of the proxy.
pub(crate) const REPLICA: &str = "proxy";

/// Room for a cluster, its journal and the rows of a round.
const DATABASE_DISK: u64 = 512 << 20;

/// Room for the spool: slots for each core, some segments.
const SPOOL_DISK: u64 = 64 << 20;

/// A program that is ended and started again at the same address.
pub(crate) struct Service {
    program: &'static str,
    purpose: &'static str,
    settings: Vec<(&'static str, String)>,
    process: Option<Process>,
    said: String,
}

impl Service {
    /// Starts it, and waits until it listens.
    pub(crate) async fn start(
        program: &'static str,
        purpose: &'static str,
        settings: Vec<(&'static str, String)>,
    ) -> Self {
        let mut service = Self { program, purpose, settings, process: None, said: String::new() };
        service.start_again().await;
        service
    }

    /// A setting of its next life.
    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.settings.push((name, value.to_owned()));
    }

    /// Starts it again if it does not run.
    pub(crate) async fn start_again(&mut self) {
        if self.process.is_none() {
            let process = Process::start(self.program, &self.settings, &[]);
            process.address(self.purpose).await;
            self.process = Some(process);
        }
    }

    /// Ends it by this signal.
    pub(crate) async fn end(&mut self, signal: Signal) {
        if let Some(mut process) = self.process.take() {
            process.signal(signal);
            let status = process.ended().await;
            self.said += &process.output();
            assert!(signal == Signal::KILL || status.success(), "{status}: {}", self.said);
        }
    }

    /// Its memory in MiB; 0 if that cannot be known.
    pub(crate) fn memory(&self) -> f64 {
        let id = self.process.as_ref().map(Process::id).unwrap_or_default();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kilobytes.unwrap_or(0.0) / 1024.0
    }

    /// What it said in all its lives.
    pub(crate) fn said(&self) -> String {
        let now = self.process.as_ref().map(Process::output);
        format!("{}{}", self.said, now.unwrap_or_default())
    }
}

/// All of it.
pub(crate) struct System {
    /// PostgreSQL.
    pub(crate) database: Database,
    /// `modash-analytics`.
    pub(crate) analytics: Service,
    /// `modash-gateway`.
    pub(crate) gateway: Service,
    /// `modash-proxy`.
    pub(crate) proxy: Service,
    /// When the proxy was killed.
    pub(crate) lives: Lives,
    /// From the proxy to analytics.
    pub(crate) line: Relay,
    /// The disk of the proxy's spool.
    pub(crate) spool: Disk,
    /// The proxy's clock.
    pub(crate) clock: Option<Clock>,
    /// `http://` and the gateway's address.
    pub(crate) gateway_url: String,
    /// Address of analytics, not by the line.
    pub(crate) analytics_address: SocketAddr,
    /// What the simulated LLM server counts.
    pub(crate) upstream: Stats,
    upstream_url: String,
    proxy_url: String,
}

impl System {
    /// Starts everything, with more settings for the proxy.
    pub(crate) async fn start(proxy: &[(&'static str, String)]) -> Self {
        Self::start_on(Database::start(DATABASE_DISK).await, Disk::new(SPOOL_DISK), proxy).await
    }

    /// The same with room for many events, which is taken as it is needed.
    pub(crate) async fn with_large_disks(proxy: &[(&'static str, String)]) -> Self {
        Self::start_on(Database::start(4 << 30).await, Disk::new(1 << 30), proxy).await
    }

    async fn start_on(database: Database, spool: Disk, proxy: &[(&'static str, String)]) -> Self {
        let config = SimulatorConfig {
            label: Some(HeaderName::from_static(NAME)),
            ..SimulatorConfig::default()
        };
        let simulator = Simulator::bind(config).await.unwrap();
        let (upstream_url, upstream) = (simulator.url(), simulator.stats());
        tokio::spawn(simulator.run(Shutdown::new(Duration::from_secs(1))));

        let analytics_address = address();
        let analytics = Service::start(
            "modash-analytics",
            "analytics",
            vec![
                ("MODASH_ANALYTICS_LISTEN", analytics_address.to_string()),
                ("MODASH_ANALYTICS_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
                ("DATABASE_URL", database.url().to_owned()),
            ],
        )
        .await;
        let gateway_address = address();
        let gateway = Service::start(
            "modash-gateway",
            "gateway",
            vec![
                ("MODASH_GATEWAY_LISTEN", gateway_address.to_string()),
                ("MODASH_GATEWAY_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
                ("MODASH_GATEWAY_ANALYTICS_URL", format!("http://{analytics_address}")),
            ],
        )
        .await;
        let line = Relay::start(analytics_address).await;
        let proxy_address = address();
        let mut settings = vec![
            ("PORT", proxy_address.port().to_string()),
            ("MODASH_PROXY_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("MODASH_PROXY_REPLICA_ID", REPLICA.to_owned()),
            ("MODASH_PROXY_SPOOL_DIRECTORY", spool.path().display().to_string()),
            ("MODASH_PROXY_ANALYTICS_URL", format!("http://{}", line.address())),
            ("UPSTREAM_URL", upstream_url.clone()),
        ];
        settings.extend_from_slice(proxy);
        let clock = Clock::find();
        settings.extend(clock.iter().flat_map(Clock::settings));
        Self {
            proxy: Service::start("modash-proxy", "proxy", settings).await,
            database,
            analytics,
            gateway,
            lives: Lives::default(),
            line,
            spool,
            clock,
            gateway_url: format!("http://{gateway_address}"),
            analytics_address,
            upstream,
            upstream_url,
            proxy_url: format!("http://{proxy_address}"),
        }
    }

    /// For clients of the proxy.
    pub(crate) fn proxied(&self) -> Target {
        Target {
            url: self.proxy_url.clone(),
            lives: self.lives.clone(),
            nameless: false,
            pause: Duration::from_millis(10),
            turn: None,
            reconnects: false,
            streams: true,
        }
    }

    /// For clients that go without it, for comparison.
    pub(crate) fn direct(&self) -> Target {
        let url = self.upstream_url.clone();
        Target { url, lives: Lives::default(), nameless: true, ..self.proxied() }
    }

    /// What everybody said.
    pub(crate) fn said(&self) -> String {
        let services = [&self.analytics, &self.gateway, &self.proxy];
        services.map(|service| format!("---- {}\n{}", service.program, service.said())).concat()
    }
}

/// A free address of one's own, outside of the range from which the system takes
/// ports for connections: it is to stay free while nobody listens there.
pub(crate) fn address() -> SocketAddr {
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], rand::random_range(10_000..30_000)));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// The proxy's clock, which jumps if `libfaketime` is installed.
pub(crate) struct Clock {
    library: PathBuf,
    file: tempfile::NamedTempFile,
}

impl Clock {
    fn find() -> Option<Self> {
        let places = std::fs::read_dir("/usr/lib").ok()?.flatten();
        let libraries = places.map(|place| place.path().join("faketime/libfaketime.so.1"));
        let library = libraries.into_iter().find(|library| library.is_file())?;
        let clock = Self { library, file: tempfile::NamedTempFile::new().unwrap() };
        clock.jump(0);
        Some(clock)
    }

    /// Lets the proxy believe that it is so many seconds later.
    pub(crate) fn jump(&self, seconds: i64) {
        std::fs::write(self.file.path(), format!("{seconds:+}\n")).unwrap();
    }

    fn settings(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.path().display().to_string()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            // Only the time of day jumps on real machines.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}
