//! Settings of the all-in-one process: those of all services, and where its
//! data is.

use std::path::PathBuf;

use clap::Args;
use modash_access::{Access, AccessSettings};
use modash_analytics::{AnalyticsConfig, AnalyticsSettings};
use modash_embedded_postgres::default_data_directory;
use modash_gateway::{GatewayConfig, GatewaySettings};
use modash_proxy::{ProxyConfig, ProxySettings};
use modash_runtime::{BindError, Mistakes};

use crate::demo;

/// Settings as given by flags and environment.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "All in one")]
pub struct Settings {
    /// Show modash with a simulated LLM server and traffic. Ignores UPSTREAM_URL,
    /// MODASH_PROXY_UPSTREAMS and DATABASE_URL, and keeps its data in `demo` below the
    /// data directory
    #[arg(long, global = true)]
    demo: bool,

    /// Directory of the private database, used when DATABASE_URL is not set, of events
    /// that wait, and of the secret of client keys [default: /var/lib/modash for root, else ~/.local/share/modash]
    #[arg(long, env = "MODASH_DATA_DIRECTORY", global = true)]
    data_directory: Option<PathBuf>,

    /// Directory with `postgres` and `initdb` for the private database [default: the npm
    /// package that `make` fetched, at or above the program and the working directory,
    /// else an installed PostgreSQL]
    #[arg(long, env = "MODASH_POSTGRES_BINARIES", global = true)]
    postgres_binaries: Option<PathBuf>,

    #[command(flatten)]
    proxy: ProxySettings,
    #[command(flatten)]
    gateway: GatewaySettings,
    #[command(flatten)]
    analytics: AnalyticsSettings,
    #[command(flatten)]
    access: AccessSettings,
}

/// Checked settings.
#[derive(Debug)]
pub struct Config {
    /// With a simulated server and traffic.
    pub demo: bool,
    /// The private database, if there is one.
    pub database: DatabaseConfig,
    /// The proxy.
    pub proxy: ProxyConfig,
    /// The gateway.
    pub gateway: GatewayConfig,
    /// Analytics.
    pub analytics: AnalyticsConfig,
    /// Who may do what.
    pub access: Access,
}

/// Where a private database is.
#[derive(Debug)]
pub struct DatabaseConfig {
    /// The directory of all data.
    pub data_directory: PathBuf,
    /// Where PostgreSQL's programs are; `None`: looked for.
    pub postgres_binaries: Option<PathBuf>,
}

impl DatabaseConfig {
    /// The directory of the private cluster.
    pub(crate) fn directory(&self) -> PathBuf {
        self.data_directory.join("postgres")
    }
}

/// Why modash could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port is taken, or the like.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The private database.
    #[error(transparent)]
    Postgres(#[from] modash_embedded_postgres::Error),
    /// The private database ended on its own.
    #[error("the private database ended unexpectedly; its log is {0}")]
    PostgresEnded(PathBuf),
    /// The proxy.
    #[error(transparent)]
    Proxy(#[from] modash_proxy::Error),
    /// Analytics.
    #[error(transparent)]
    Analytics(#[from] modash_analytics::Error),
    /// The gateway.
    #[error(transparent)]
    Gateway(#[from] modash_gateway::Error),
    /// The simulated server.
    #[error(transparent)]
    Simulator(#[from] modash_simulator::SimulatorError),
    /// The simulated traffic.
    #[error(transparent)]
    Traffic(#[from] modash_simulator::TrafficError),
    /// A command about the data.
    #[error(transparent)]
    Data(#[from] modash_analytics::data::DataError),
    /// `modash doctor` found something; it has said what.
    #[error("{}", to_mend(*.0))]
    ToMend(usize),
    /// Analytics cannot be asked: where it should be, and why not.
    #[error("cannot ask analytics at {0}: {1}")]
    Status(String, String),
    /// The terminal.
    #[error("the terminal cannot be used: {0}")]
    Terminal(#[source] std::io::Error),
    /// A service ended by a defect.
    #[error("a service ended by a defect; its message is above")]
    Panicked,
    /// An address of our own that is no URL.
    #[error("an address cannot be used: {0}")]
    Address(String),
}

fn to_mend(count: usize) -> String {
    match count {
        1 => "1 thing to mend".to_owned(),
        count => format!("{count} things to mend"),
    }
}

impl Settings {
    /// Checks the settings and notes every mistake.
    pub fn check(self, mistakes: &mut Mistakes) -> Option<Config> {
        let demo = self.demo;
        let (proxy, gateway) =
            (self.proxy.clone().check(mistakes), self.gateway.clone().check(mistakes));
        let access = self.access.clone();
        let (database, analytics) = self.check_data(mistakes)?;
        let (proxy, gateway) = (proxy?, gateway?);
        mistakes.require(
            analytics.tls.is_none(),
            "MODASH_ANALYTICS_TLS_CERT_FILE",
            "is for modash-analytics; in modash the proxy and the gateway reach analytics inside the \
             process, without TLS: leave it unset, and MODASH_ANALYTICS_LISTEN on loopback",
        );
        let listeners = [
            // The dashboard is there too.
            ("MODASH_PROXY_HOST", proxy.listen),
            ("MODASH_GATEWAY_LISTEN", gateway.listen),
            ("MODASH_ANALYTICS_LISTEN", analytics.listen),
        ];
        let access = access.check(&listeners, mistakes)?;
        Some(Config { demo, database, proxy, gateway, analytics, access })
    }

    /// Those of access.
    #[must_use]
    pub fn access(&self) -> &AccessSettings {
        &self.access
    }

    /// Checks those of the database and of analytics, which are all that a command
    /// about the data needs.
    pub fn check_data(self, mistakes: &mut Mistakes) -> Option<(DatabaseConfig, AnalyticsConfig)> {
        let analytics = self.analytics.check(mistakes);
        let data_directory = self.data_directory.or_else(default_data_directory);
        mistakes.require(
            data_directory.is_some(),
            "MODASH_DATA_DIRECTORY",
            "is not set and there is no home directory; name a directory for the database",
        );
        let mut analytics = analytics?;
        let mut data_directory = data_directory?;
        if self.demo {
            // No demo row may ever mix with real ones.
            analytics.database_url = None;
            analytics.listen_database_url = None;
            analytics.read_database_url = None;
            analytics.prices = analytics
                .prices
                .or("the demo's prices", demo::PRICES)
                .map_err(|error| mistakes.add("--demo", error))
                .ok()?;
            data_directory = data_directory.join("demo");
        }
        let database = DatabaseConfig { data_directory, postgres_binaries: self.postgres_binaries };
        Some((database, analytics))
    }
}
