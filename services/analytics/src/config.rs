//! Settings of analytics: where it listens, which database it uses, how long it
//! keeps requests. Checked before any socket is opened.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use modash_access::Access;
use modash_runtime::{
    Checked, ClientTlsFiles, Count, Hosts, ListenerLimits, ListenerTlsFiles, Mistakes, Origins,
    Seconds, redact,
};
use sqlx::postgres::PgConnectOptions;

use crate::{
    pricing::Prices,
    rollup::{Level, Sets},
    tls::ListenerTlsSettings,
};

/// The setting with the way past a pooler.
pub(crate) const LISTEN_DATABASE_URL: &str = "MODASH_ANALYTICS_LISTEN_DATABASE_URL";

/// Settings of analytics, as given.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Analytics")]
pub struct AnalyticsSettings {
    /// Address of gRPC and grpc-web
    #[arg(long, env = "MODASH_ANALYTICS_LISTEN", default_value = "127.0.0.1:4007")]
    analytics_listen: Checked<SocketAddr>,

    /// Address of /livez, /readyz and /metrics of analytics
    #[arg(long, env = "MODASH_ANALYTICS_ADMIN_LISTEN", default_value = "127.0.0.1:4017")]
    analytics_admin_listen: Checked<SocketAddr>,

    /// Origins of sites whose pages may ask analytics by grpc-web, separated by commas:
    /// https://tools.example.com
    #[arg(long, env = "MODASH_ANALYTICS_CORS_ORIGINS", default_value = "")]
    analytics_cors_origins: Checked<Origins>,

    /// Host names of analytics for pages that are loaded under them, separated by commas
    #[arg(long, env = "MODASH_ANALYTICS_ALLOWED_HOSTS", default_value = "")]
    analytics_allowed_hosts: Checked<Hosts>,

    /// Most connections of clients at once, 1 to 1000000; the one idle longest makes room
    /// for one beyond it, which gets 503 if none is idle [default: 2,048, or an eighth of the file descriptors if that is fewer]
    #[arg(long, env = "MODASH_ANALYTICS_CONNECTIONS")]
    analytics_connections: Option<Checked<Count>>,

    /// Time for the first request of a connection, and for each request head
    #[arg(long, env = "MODASH_ANALYTICS_HEADER_TIMEOUT_SECONDS", default_value = "30")]
    analytics_header_timeout_seconds: Checked<Seconds>,

    /// Time without a request after which a connection is closed
    #[arg(long, env = "MODASH_ANALYTICS_IDLE_TIMEOUT_SECONDS", default_value = "90")]
    analytics_idle_timeout_seconds: Checked<Seconds>,

    #[command(flatten)]
    tls: ListenerTlsSettings,

    /// PostgreSQL 15 or later, for example
    /// postgresql://modash:modash@localhost:5433/modash. If it is not set, `modash`
    /// starts a private one
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    database_url: Option<Checked<DatabaseUrl>>,

    /// URL of PostgreSQL itself for LISTEN, migrations and upkeep where DATABASE_URL leads
    /// to a connection pooler in transaction mode, such as PgBouncer
    /// (docs/storage.md#connection-poolers)
    #[arg(
        long,
        env = "MODASH_ANALYTICS_LISTEN_DATABASE_URL",
        hide_env_values = true,
        global = true
    )]
    analytics_listen_database_url: Option<Checked<DatabaseUrl>>,

    /// Read replica that answers queries; without it, and while it is away or too far
    /// behind, DATABASE_URL does
    #[arg(long, env = "MODASH_ANALYTICS_READ_DATABASE_URL", hide_env_values = true)]
    analytics_read_database_url: Option<Checked<DatabaseUrl>>,

    /// How long to wait for the database at start
    #[arg(long, env = "MODASH_ANALYTICS_DATABASE_WAIT_SECONDS", default_value = "60")]
    analytics_database_wait_seconds: Checked<Seconds>,

    /// Days for which single requests are kept: 1 to 3650
    #[arg(long, env = "MODASH_ANALYTICS_RETENTION_DAYS", default_value = "30", global = true)]
    analytics_retention_days: Checked<u32>,

    /// Days for which sums by minute are kept: 1 to 3650; by all dimensions at once at
    /// most 3
    #[arg(long, env = "MODASH_ANALYTICS_MINUTE_ROLLUP_DAYS", default_value = "8")]
    analytics_minute_rollup_days: Checked<u32>,

    /// Days for which sums by quarter of an hour are kept of every combination of
    /// dimensions: 1 to 3650. Queries that filter by several dimensions need them
    /// in zones of half hours; all others have theirs as long as sums by hours
    #[arg(long, env = "MODASH_ANALYTICS_QUARTER_HOUR_ROLLUP_DAYS", default_value = "30")]
    analytics_quarter_hour_rollup_days: Checked<u32>,

    /// Days for which sums by hours and days are kept: 1 to 3650
    #[arg(long, env = "MODASH_ANALYTICS_ROLLUP_DAYS", default_value = "400")]
    analytics_rollup_days: Checked<u32>,

    /// Most combinations of model, upstream, client key, user, tags and the like
    /// that are told apart: 100 to 10000000
    #[arg(long, env = "MODASH_ANALYTICS_SERIES_LIMIT", default_value = "100000")]
    analytics_series_limit: Checked<u32>,

    /// How far the read replica may be behind
    #[arg(long, env = "MODASH_ANALYTICS_READ_MAX_LAG_SECONDS", default_value = "10")]
    analytics_read_max_lag_seconds: Checked<Seconds>,

    /// How long one query may take
    #[arg(long, env = "MODASH_ANALYTICS_QUERY_TIMEOUT_SECONDS", default_value = "10")]
    analytics_query_timeout_seconds: Checked<Seconds>,

    /// Most rows that one query may read: 1000 to 1000000000
    #[arg(long, env = "MODASH_ANALYTICS_QUERY_ROWS", default_value = "3000000")]
    analytics_query_rows: Checked<u32>,

    /// How often each budget is computed (docs/budgets.md)
    #[arg(long, env = "MODASH_ANALYTICS_BUDGET_INTERVAL_SECONDS", default_value = "10")]
    analytics_budget_interval_seconds: Checked<Seconds>,

    /// File of certificate authorities (PEM) that webhooks of budgets may use, beside
    /// those of the system; read again when it changes
    #[arg(long, env = "MODASH_ANALYTICS_WEBHOOK_CA_FILE")]
    analytics_webhook_ca_file: Option<PathBuf>,

    /// Prices of your own in TOML, above the built-in ones; read again when the file
    /// changes (docs/prices.md)
    #[arg(long, env = "MODASH_PRICES_FILE", global = true)]
    prices_file: Option<PathBuf>,

    /// Most database connections for queries: 1 to 1000
    #[arg(long, env = "MODASH_ANALYTICS_QUERY_CONNECTIONS", default_value = "8")]
    analytics_query_connections: Checked<u32>,

    /// Most queries of one caller (by token, else by address) that run at once, 1 to
    /// 1000000; up to 64 of a token and 1000 of an address wait for their turn, more are
    /// refused [default: all database connections for queries, and with tokens half of them]
    #[arg(long, env = "MODASH_ANALYTICS_QUERIES_PER_CALLER")]
    analytics_queries_per_caller: Option<Checked<Count>>,
}

/// Bounds of the listener: gateways and proxies send the calls of many clients on
/// one connection, and clients may leave at any time.
#[must_use]
pub fn default_limits() -> ListenerLimits {
    ListenerLimits {
        http2_streams: 2_048,
        http2_pending_resets: 10_000,
        ..ListenerLimits::default()
    }
}

/// Checked settings of analytics.
#[derive(Debug, Clone)]
pub struct AnalyticsConfig {
    /// Address of gRPC and grpc-web.
    pub listen: SocketAddr,
    /// Address of the admin server.
    pub admin_listen: SocketAddr,
    /// Sites whose pages may ask by grpc-web.
    pub cors_origins: Origins,
    /// Names of its own.
    pub allowed_hosts: Hosts,
    /// Who may do what.
    pub access: Access,
    /// What requests cost.
    pub prices: Prices,
    /// Bounds of the connections of gRPC and grpc-web.
    pub limits: ListenerLimits,
    /// TLS with clients; `None`: they use plain HTTP.
    pub tls: Option<ListenerTlsFiles>,
    /// The database. `None` until somebody provides one; needed to bind.
    pub database_url: Option<DatabaseUrl>,
    /// The way past a pooler in transaction mode, which the other URLs lead to; `None`:
    /// there is no such pooler.
    pub listen_database_url: Option<DatabaseUrl>,
    /// Where queries go; `None`: to the database.
    pub read_database_url: Option<DatabaseUrl>,
    /// How far the read replica may be behind.
    pub read_max_lag: Duration,
    /// How long to wait for the database at start.
    pub database_wait: Duration,
    /// Days for which single requests are kept.
    pub retention_days: u32,
    /// Days for which rollups are kept.
    pub rollup_days: RollupDays,
    /// Dimension sets that are told apart.
    pub series_limit: u32,
    /// How long one query may take.
    pub query_timeout: Duration,
    /// Most rows that one query may read.
    pub query_rows: u32,
    /// Most database connections for queries.
    pub query_connections: u32,
    /// Most queries of one caller that run at once. `None`: as many as there are
    /// connections, and with tokens half of them.
    pub queries_per_caller: Option<usize>,
    /// How often each budget is computed.
    pub budget_interval: Duration,
    /// Whom webhooks of budgets have their certificates from, beside the system's.
    pub webhook_tls: ClientTlsFiles,
}

impl AnalyticsConfig {
    /// Most queries of one caller that run at once.
    pub(crate) fn queries_of_caller(&self) -> usize {
        let all = self.query_connections as usize;
        let default = if self.access.is_open() { all } else { all.div_ceil(2) };
        self.queries_per_caller.unwrap_or(default)
    }
}

/// Most days of minutes of full dimension sets: nearly each request has a row of
/// its own there.
const MOST_FULL_MINUTE_DAYS: u32 = 3;

/// Days for which rollups are kept, by the width of their buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollupDays {
    /// Minutes of full dimension sets.
    pub full_minute: u32,
    /// Minutes of narrow sets.
    pub minute: u32,
    /// Quarters of an hour of full dimension sets.
    pub quarter_hour: u32,
    /// Quarters of an hour of narrow sets; hours, quarters of a day, days.
    pub hours: u32,
}

impl RollupDays {
    /// Days of a level.
    pub(crate) fn of(&self, level: Level, sets: Sets) -> u32 {
        match (level.width, sets) {
            (60, Sets::Full) => self.full_minute,
            (60, Sets::Narrow) => self.minute,
            (900, Sets::Full) => self.quarter_hour,
            _ => self.hours,
        }
    }
}

impl AnalyticsSettings {
    /// Whether a database is named, well or badly.
    #[must_use]
    pub fn names_a_database(&self) -> bool {
        self.database_url.is_some()
    }

    /// Checks the settings and notes every mistake. A missing `DATABASE_URL` is
    /// none: whoever has no database of their own notes it.
    pub fn check(self, mistakes: &mut Mistakes) -> Option<AnalyticsConfig> {
        let listen = self.analytics_listen.check("MODASH_ANALYTICS_LISTEN", mistakes);
        let admin_listen =
            self.analytics_admin_listen.check("MODASH_ANALYTICS_ADMIN_LISTEN", mistakes);
        let cors_origins =
            self.analytics_cors_origins.check("MODASH_ANALYTICS_CORS_ORIGINS", mistakes);
        let allowed_hosts =
            self.analytics_allowed_hosts.check("MODASH_ANALYTICS_ALLOWED_HOSTS", mistakes);
        let connections = Checked::check_optional(
            self.analytics_connections,
            "MODASH_ANALYTICS_CONNECTIONS",
            mistakes,
        );
        let header_timeout = self
            .analytics_header_timeout_seconds
            .check("MODASH_ANALYTICS_HEADER_TIMEOUT_SECONDS", mistakes);
        let idle_timeout = self
            .analytics_idle_timeout_seconds
            .check("MODASH_ANALYTICS_IDLE_TIMEOUT_SECONDS", mistakes);
        let tls = self.tls.check(mistakes);
        let database_url = Checked::check_optional(self.database_url, "DATABASE_URL", mistakes);
        let listen_database_url = Checked::check_optional(
            self.analytics_listen_database_url,
            LISTEN_DATABASE_URL,
            mistakes,
        );
        mistakes.require(
            !matches!((&listen_database_url, &database_url), (Some(Some(_)), Some(None))),
            LISTEN_DATABASE_URL,
            "needs DATABASE_URL, with the URL of the pooler",
        );
        let read_database_url = Checked::check_optional(
            self.analytics_read_database_url,
            "MODASH_ANALYTICS_READ_DATABASE_URL",
            mistakes,
        );
        let read_max_lag = self
            .analytics_read_max_lag_seconds
            .check("MODASH_ANALYTICS_READ_MAX_LAG_SECONDS", mistakes);
        let database_wait = self
            .analytics_database_wait_seconds
            .check("MODASH_ANALYTICS_DATABASE_WAIT_SECONDS", mistakes);
        let retention_days =
            self.analytics_retention_days.check("MODASH_ANALYTICS_RETENTION_DAYS", mistakes);
        mistakes.require(
            retention_days.is_none_or(|days| (1..=3650).contains(&days)),
            "MODASH_ANALYTICS_RETENTION_DAYS",
            "must be from 1 to 3650",
        );
        let mut days = |given: Checked<u32>, name: &'static str| {
            let days = given.check(name, mistakes);
            let right = days.is_none_or(|days| (1..=3650).contains(&days));
            mistakes.require(right, name, "must be from 1 to 3650");
            days
        };
        let minute = days(self.analytics_minute_rollup_days, "MODASH_ANALYTICS_MINUTE_ROLLUP_DAYS");
        let quarter_hour = days(
            self.analytics_quarter_hour_rollup_days,
            "MODASH_ANALYTICS_QUARTER_HOUR_ROLLUP_DAYS",
        );
        let hours = days(self.analytics_rollup_days, "MODASH_ANALYTICS_ROLLUP_DAYS");
        let series_limit =
            self.analytics_series_limit.check("MODASH_ANALYTICS_SERIES_LIMIT", mistakes);
        mistakes.require(
            series_limit.is_none_or(|count| (100..=10_000_000).contains(&count)),
            "MODASH_ANALYTICS_SERIES_LIMIT",
            "must be from 100 to 10000000",
        );
        let query_timeout = self
            .analytics_query_timeout_seconds
            .check("MODASH_ANALYTICS_QUERY_TIMEOUT_SECONDS", mistakes);
        let query_rows = self.analytics_query_rows.check("MODASH_ANALYTICS_QUERY_ROWS", mistakes);
        mistakes.require(
            query_rows.is_none_or(|rows| (1_000..=1_000_000_000).contains(&rows)),
            "MODASH_ANALYTICS_QUERY_ROWS",
            "must be from 1000 to 1000000000",
        );
        let query_connections =
            self.analytics_query_connections.check("MODASH_ANALYTICS_QUERY_CONNECTIONS", mistakes);
        mistakes.require(
            query_connections.is_none_or(|count| (1..=1000).contains(&count)),
            "MODASH_ANALYTICS_QUERY_CONNECTIONS",
            "must be from 1 to 1000",
        );
        let queries_per_caller = Checked::check_optional(
            self.analytics_queries_per_caller,
            "MODASH_ANALYTICS_QUERIES_PER_CALLER",
            mistakes,
        );
        let budget_interval = self
            .analytics_budget_interval_seconds
            .check("MODASH_ANALYTICS_BUDGET_INTERVAL_SECONDS", mistakes);
        let prices = match self.prices_file {
            Some(path) => Prices::from_file(path)
                .map_err(|error| mistakes.add("MODASH_PRICES_FILE", error))
                .ok(),
            None => Some(Prices::default()),
        };
        Some(AnalyticsConfig {
            listen: listen?,
            admin_listen: admin_listen?,
            cors_origins: cors_origins?,
            allowed_hosts: allowed_hosts?,
            access: Access::open(),
            prices: prices?,
            limits: ListenerLimits {
                connections: connections?.map(|count| count.0),
                header_timeout: header_timeout?.0,
                idle_timeout: idle_timeout?.0,
                ..default_limits()
            },
            tls,
            database_url: database_url?,
            listen_database_url: listen_database_url?,
            read_database_url: read_database_url?,
            read_max_lag: read_max_lag?.0,
            database_wait: database_wait?.0,
            retention_days: retention_days?,
            rollup_days: RollupDays {
                full_minute: minute?.min(MOST_FULL_MINUTE_DAYS),
                minute: minute?,
                quarter_hour: quarter_hour?,
                hours: hours?,
            },
            series_limit: series_limit?,
            query_timeout: query_timeout?.0,
            query_rows: query_rows?,
            query_connections: query_connections?,
            queries_per_caller: queries_per_caller?.map(|count| count.0),
            budget_interval: budget_interval?.0,
            webhook_tls: ClientTlsFiles {
                authorities: self.analytics_webhook_ca_file,
                ..ClientTlsFiles::default()
            },
        })
    }
}

/// URL of a PostgreSQL database; its debug and display forms have no secrets.
#[derive(Clone)]
pub struct DatabaseUrl {
    options: PgConnectOptions,
    shown: String,
}

impl DatabaseUrl {
    /// How to connect. Without the driver's `extra_float_digits`, a start-up parameter
    /// that poolers refuse: numbers are read in their binary form.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.options.clone().extra_float_digits(None)
    }
}

impl FromStr for DatabaseUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ADVICE: &str = "must be a URL such as postgresql://user:password@host:5432/database";
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(ADVICE);
        }
        // The driver's own error may repeat the URL with its password.
        let options = text.parse().map_err(|_| ADVICE)?;
        Ok(Self { options, shown: redact(text) })
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        analytics: AnalyticsSettings,
    }

    fn check(arguments: &[&str]) -> (Option<AnalyticsConfig>, String) {
        let mut mistakes = Mistakes::default();
        let arguments = [&["program"], arguments].concat();
        let config = Program::parse_from(arguments).analytics.check(&mut mistakes);
        (config, mistakes.to_string())
    }

    #[test]
    fn all_mistakes_are_noted_at_once_and_none_repeats_a_password() {
        let (config, mistakes) = check(&[
            "--analytics-listen=nowhere",
            "--database-url=mysql://user:secret@host/db",
            "--analytics-retention-days=0",
            "--analytics-query-connections=many",
        ]);
        assert!(config.is_none());
        for name in ["LISTEN", "DATABASE_URL", "RETENTION_DAYS", "QUERY_CONNECTIONS"] {
            assert!(mistakes.contains(name), "{name} is missing in {mistakes}");
        }
        assert!(!mistakes.contains("secret"), "{mistakes}");
    }

    #[test]
    fn a_database_url_is_shown_without_its_password() {
        let url: DatabaseUrl = "postgresql://modash:secret@db:5433/modash".parse().unwrap();
        assert_eq!(format!("{url} {url:?}").matches("secret").count(), 0);
        assert_eq!(url.to_string(), "postgresql://db:5433/modash");
    }
}
