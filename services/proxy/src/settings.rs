//! Settings of the proxy, and their checked form.

mod access_log;
mod allowed_hosts;
mod analytics;
mod base_url;
mod clients;
mod forwarded;
mod trace_context;
mod upstream;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::Args;
use modash_access::{Access, TokenSource};
use modash_runtime::{Checked, ClientTlsFiles, Mistakes};
use url::Url;

pub use access_log::{AccessLogFormat, Share};
pub use allowed_hosts::AllowedHosts;
pub(crate) use analytics::ANALYTICS_PEER;
use analytics::AnalyticsTlsSettings;
pub use base_url::BaseUrl;
use base_url::named_upstreams;
pub use clients::ClientConfig;
use clients::ClientSettings;
pub(crate) use clients::LISTENER_TLS;
pub use forwarded::ForwardedHeaders;
pub use trace_context::TraceContextMode;
pub(crate) use upstream::UPSTREAM_PEER;
use upstream::UpstreamSettings;
pub use upstream::{HttpVersion, PoolConfig, UpstreamConfig};

/// Settings as given by flags and environment.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Proxy")]
pub struct ProxySettings {
    /// Port on which applications reach the proxy
    #[arg(long, env = "PORT", default_value = "4005")]
    port: Checked<u16>,

    /// Address on which the proxy listens; 0.0.0.0 or :: lets other machines in, for
    /// which `modash` needs tokens, since the dashboard's data is on this port too
    #[arg(long, env = "MODASH_PROXY_HOST", default_value = "127.0.0.1")]
    proxy_host: Checked<IpAddr>,

    /// Host names under which applications of this machine reach the proxy, separated
    /// by commas. localhost, addresses and names without a dot need not be listed
    #[arg(long, env = "MODASH_PROXY_ALLOWED_HOSTS", default_value = "")]
    proxy_allowed_hosts: Checked<AllowedHosts>,

    /// Tokens file that applications have to be in: each request for an LLM server must
    /// have the header x-modash-token, with a token of the role use. For servers that ask
    /// for no key; the header is not handed on
    #[arg(long, env = "MODASH_PROXY_CLIENT_TOKENS")]
    proxy_client_tokens: Option<PathBuf>,

    /// LLM server that gets all requests not meant for a named upstream, with a
    /// base path if it has one: https://api.openai.com or
    /// http://127.0.0.1:8080/llm; h2c:// is HTTP/2 without TLS. Without credentials
    /// and query. If it is not set, `modash` looks for a server on this machine
    #[arg(long, env = "UPSTREAM_URL")]
    upstream_url: Option<Checked<BaseUrl>>,

    /// More LLM servers by name, reached by the first path segment:
    /// openai=https://api.openai.com,claude=https://api.anthropic.com
    #[arg(long, env = "MODASH_PROXY_UPSTREAMS", default_value = "")]
    proxy_upstreams: String,

    /// Gateway that answers /rpc and /events on this port too, for example
    /// http://127.0.0.1:4006
    #[arg(long, env = "GATEWAY_URL")]
    gateway_url: Option<Checked<BaseUrl>>,

    /// Analytics services that take the usage events, separated by commas; the
    /// next one is tried when one cannot be reached
    #[arg(long, env = "MODASH_PROXY_ANALYTICS_URL", default_value = "http://127.0.0.1:4007")]
    proxy_analytics_url: Checked<AnalyticsUrls>,

    #[command(flatten)]
    analytics_tls: AnalyticsTlsSettings,

    /// File with the token of the role ingest that analytics asks for; read at each
    /// new connection
    #[arg(long, env = "MODASH_PROXY_ANALYTICS_TOKEN_FILE")]
    proxy_analytics_token_file: Option<PathBuf>,

    /// The same token itself; set it in the environment, since flags are seen in the
    /// list of processes
    #[arg(long, env = "MODASH_PROXY_ANALYTICS_TOKEN", hide_env_values = true)]
    proxy_analytics_token: Option<String>,

    /// Address of /livez, /readyz and /metrics
    #[arg(long, env = "MODASH_PROXY_ADMIN_LISTEN", default_value = "127.0.0.1:4015")]
    proxy_admin_listen: Checked<SocketAddr>,

    /// Threads that forward, each with a listener and upstream connections of
    /// its own, at most 1024; 0: one for each core
    #[arg(long, env = "MODASH_PROXY_THREADS", default_value = "0")]
    proxy_threads: Checked<Threads>,

    /// Stable name of this replica, 1 to 128 bytes; made from host name and port if
    /// not set
    #[arg(long, env = "MODASH_PROXY_REPLICA_ID")]
    proxy_replica_id: Option<String>,

    #[command(flatten)]
    clients: ClientSettings,

    /// How upstreams are reached
    #[command(flatten)]
    upstreams: UpstreamSettings,

    /// Secret behind the fingerprints of credentials; proxies that share it give
    /// one credential the same fingerprint [default: `modash` keeps one in its data
    /// directory; else random at each start]
    #[arg(long, env = "MODASH_PROXY_CLIENT_KEY_SECRET", hide_env_values = true)]
    proxy_client_key_secret: Option<String>,

    /// Streams whose client did not ask for usage: observe changes nothing and
    /// estimates; inject asks the upstream for it and hides that from the client
    #[arg(long, env = "MODASH_PROXY_STREAM_USAGE", default_value = "observe")]
    proxy_stream_usage: Checked<StreamUsage>,

    /// Directory in which usage events wait on disk for analytics, in a directory
    /// of their own for each replica [default: `modash`: in its data directory; else
    /// /var/lib/modash/spool for root, ~/.local/state/modash/spool for others; with
    /// PORT=0, which is no lasting identity, events wait in memory]
    #[arg(long, env = "MODASH_PROXY_SPOOL_DIRECTORY")]
    proxy_spool_directory: Option<PathBuf>,

    /// Most bytes of usage events on disk, at least 1 MiB; beyond it the oldest are
    /// given up and counted
    #[arg(long, env = "MODASH_PROXY_SPOOL_BYTES", default_value = "1073741824")]
    proxy_spool_bytes: Checked<SpoolBytes>,

    /// How often usage events are synced to the disk, which is what a power cut
    /// can cost; a kill of the process costs none. 0: whenever the system does it
    #[arg(long, env = "MODASH_PROXY_SPOOL_FSYNC_SECONDS", default_value = "1")]
    proxy_spool_fsync_seconds: Checked<FsyncInterval>,

    /// Most usage events held in memory while the disk does not take them, 1000 to
    /// 10000000; beyond it the oldest are given up and counted
    #[arg(long, env = "MODASH_PROXY_SPOOL_EVENTS", default_value = "100000")]
    proxy_spool_events: Checked<SpoolEvents>,

    /// A line on standard output for each request that ended: off, text or json.
    /// Metadata only, never bodies
    #[arg(long, env = "MODASH_PROXY_ACCESS_LOG", default_value = "off")]
    proxy_access_log: Checked<AccessLogFormat>,

    /// Share of the requests that the access log shows, for example 0.01
    #[arg(long, env = "MODASH_PROXY_ACCESS_LOG_SHARE", default_value = "1")]
    proxy_access_log_share: Checked<Share>,

    /// What upstreams get of a trace where traces are exported (OTEL_* variables): pass
    /// hands on what the client sent; child makes modash's span the parent of theirs
    #[arg(long, env = "MODASH_PROXY_TRACE_CONTEXT", default_value = "pass")]
    proxy_trace_context: Checked<TraceContextMode>,
}

/// Checked settings.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Where applications reach the proxy.
    pub listen: SocketAddr,
    /// Where `/metrics` and the like are.
    pub admin_listen: SocketAddr,
    /// Names under which it answers, where it listens on loopback.
    pub allowed_hosts: AllowedHosts,
    /// Which applications may use the upstreams, by `x-modash-token`; open: all.
    pub client_tokens: Access,
    /// Who may read `/metrics`.
    pub access: Access,
    /// Who may ask the gateway through the proxy's port; open: the gateway decides.
    pub gateway_access: Access,
    /// Upstream of all paths without the name of another one. Must be set before
    /// the proxy can be bound.
    pub upstream: Option<BaseUrl>,
    /// Upstreams by first path segment.
    pub named_upstreams: Vec<(String, BaseUrl)>,
    /// Answers `/rpc` and `/events`.
    pub gateway: Option<BaseUrl>,
    /// Base URLs of analytics, tried in turn; at least one.
    pub analytics: Vec<Url>,
    /// The files of TLS towards analytics behind https.
    pub analytics_tls: ClientTlsFiles,
    /// The token that is shown to analytics.
    pub analytics_token: Option<TokenSource>,
    /// Forwarding threads; at least 1.
    pub threads: usize,
    /// Name of the replica; 1 to 128 bytes.
    pub replica_id: String,
    /// How upstreams are reached.
    pub upstream_config: UpstreamConfig,
    /// How clients are served.
    pub clients: ClientConfig,
    /// Key of the credentials' fingerprints; `None`: random at each start.
    pub client_key_secret: Option<Vec<u8>>,
    /// What to do about streams whose client did not ask for usage.
    pub stream_usage: StreamUsage,
    /// Where events wait on disk, in a directory for each replica; `None`: in
    /// memory.
    pub spool_directory: Option<PathBuf>,
    /// Most bytes of events on disk.
    pub spool_bytes: u64,
    /// How often events are synced to the disk; `None`: when the system does it.
    pub spool_fsync: Option<Duration>,
    /// Most events that are in memory only.
    pub spool_events: usize,
    /// Form of the access log, and the share of requests that it shows.
    pub access_log: (AccessLogFormat, Share),
    /// What upstreams get of a trace.
    pub trace_context: TraceContextMode,
}

impl ProxyConfig {
    /// With the usual directory for the spool, if none is set and the port, on
    /// which the replica's identity rests, is a lasting one.
    #[must_use]
    pub fn with_default_spool(mut self) -> Self {
        if self.spool_directory.is_none() && self.listen.port() != 0 {
            self.spool_directory = default_directory();
        }
        self
    }
}

impl ProxySettings {
    /// Checks the settings and notes every mistake. A missing upstream is left to
    /// the caller.
    pub fn check(self, mistakes: &mut Mistakes) -> Option<ProxyConfig> {
        let port = self.port.check_as("a port from 0 (any free one) to 65535", "PORT", mistakes);
        let host = self.proxy_host.check_as(
            "an IP address such as 127.0.0.1 or ::",
            "MODASH_PROXY_HOST",
            mistakes,
        );
        let allowed_hosts = self.proxy_allowed_hosts.check("MODASH_PROXY_ALLOWED_HOSTS", mistakes);
        let client_tokens = match &self.proxy_client_tokens {
            Some(path) => Access::from_file(path)
                .map_err(|error| mistakes.add("MODASH_PROXY_CLIENT_TOKENS", error))
                .ok(),
            None => Some(Access::open()),
        };
        let upstream = Checked::check_optional(self.upstream_url, "UPSTREAM_URL", mistakes);
        let named = mistakes_of("MODASH_PROXY_UPSTREAMS", mistakes, || {
            named_upstreams(&self.proxy_upstreams)
        });
        let gateway = Checked::check_optional(self.gateway_url, "GATEWAY_URL", mistakes);
        let analytics = self.proxy_analytics_url.check("MODASH_PROXY_ANALYTICS_URL", mistakes);
        let analytics_tls = self.analytics_tls.check(mistakes);
        let analytics_token = TokenSource::from_settings(
            self.proxy_analytics_token.as_deref(),
            self.proxy_analytics_token_file.as_deref(),
        )
        .map_err(|error| mistakes.add("MODASH_PROXY_ANALYTICS_TOKEN", error))
        .ok();
        let admin = self.proxy_admin_listen.check("MODASH_PROXY_ADMIN_LISTEN", mistakes);
        let threads = self.proxy_threads.check("MODASH_PROXY_THREADS", mistakes);
        let upstream_config = self.upstreams.check(mistakes);
        let clients = self.clients.check(mistakes);
        let stream_usage = self.proxy_stream_usage.check("MODASH_PROXY_STREAM_USAGE", mistakes);
        let spool_bytes = self.proxy_spool_bytes.check("MODASH_PROXY_SPOOL_BYTES", mistakes);
        let fsync =
            self.proxy_spool_fsync_seconds.check("MODASH_PROXY_SPOOL_FSYNC_SECONDS", mistakes);
        let spool = self.proxy_spool_events.check("MODASH_PROXY_SPOOL_EVENTS", mistakes);
        let access_log = self.proxy_access_log.check("MODASH_PROXY_ACCESS_LOG", mistakes);
        let share = self.proxy_access_log_share.check("MODASH_PROXY_ACCESS_LOG_SHARE", mistakes);
        let trace_context = self.proxy_trace_context.check("MODASH_PROXY_TRACE_CONTEXT", mistakes);
        let replica_id = self.proxy_replica_id.unwrap_or_else(|| default_replica_id(port));
        mistakes.require(
            (1..=128).contains(&replica_id.len()),
            "MODASH_PROXY_REPLICA_ID",
            "must have 1 to 128 bytes",
        );
        Some(ProxyConfig {
            listen: SocketAddr::new(host?, port?),
            admin_listen: admin?,
            allowed_hosts: allowed_hosts?,
            client_tokens: client_tokens?,
            access: Access::open(),
            gateway_access: Access::open(),
            upstream: upstream?,
            named_upstreams: named?,
            gateway: gateway?,
            analytics: analytics?.0,
            analytics_tls,
            analytics_token: analytics_token?,
            threads: threads?.0,
            replica_id,
            upstream_config: upstream_config?,
            clients: clients?,
            client_key_secret: self.proxy_client_key_secret.map(String::into_bytes),
            stream_usage: stream_usage?,
            spool_directory: self.proxy_spool_directory,
            spool_bytes: spool_bytes?.0,
            spool_fsync: fsync?.0,
            spool_events: spool?.0,
            access_log: (access_log?, share?),
            trace_context: trace_context?,
        })
    }
}

fn mistakes_of<T>(
    name: &str,
    mistakes: &mut Mistakes,
    read: impl FnOnce() -> Result<T, String>,
) -> Option<T> {
    read().map_err(|error| mistakes.add(name, error)).ok()
}

fn default_replica_id(port: Option<u16>) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host: String = host.chars().take(64).collect();
    format!("{}-{}", if host.is_empty() { "proxy" } else { &host }, port.unwrap_or(0))
}

/// What to do about streams whose client did not ask for usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamUsage {
    /// Change nothing; estimate, and say so.
    Observe,
    /// Ask the upstream, and hide from the client what it did not ask for.
    Inject,
}

impl FromStr for StreamUsage {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "observe" => Ok(Self::Observe),
            "inject" => Ok(Self::Inject),
            _ => Err("must be \"observe\" or \"inject\""),
        }
    }
}

/// A number of threads; 0 stands for the number of cores.
#[derive(Debug, Clone, Copy)]
struct Threads(usize);

impl FromStr for Threads {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(0) => Ok(Self(std::thread::available_parallelism().map_or(1, usize::from))),
            Ok(count @ 1..=1024) => Ok(Self(count)),
            _ => Err("must be a number from 0 (one for each core) to 1024"),
        }
    }
}

/// A number of bytes of at least 1 MiB.
#[derive(Debug, Clone, Copy)]
struct SpoolBytes(u64);

impl FromStr for SpoolBytes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(bytes) if bytes >= 1 << 20 => Ok(Self(bytes)),
            _ => Err("must be a number of bytes, at least 1048576"),
        }
    }
}

/// A time between two syncs; 0 stands for none.
#[derive(Debug, Clone, Copy)]
struct FsyncInterval(Option<Duration>);

impl FromStr for FsyncInterval {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<f64>() {
            Ok(0.0) => Ok(Self(None)),
            Ok(seconds) if (0.001..=3600.0).contains(&seconds) => {
                Ok(Self(Some(Duration::from_secs_f64(seconds))))
            }
            _ => Err("must be 0 (never) or a number of seconds from 0.001 to 3600"),
        }
    }
}

/// A number of events from 1,000 to 10 million.
#[derive(Debug, Clone, Copy)]
struct SpoolEvents(usize);

impl FromStr for SpoolEvents {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(count @ 1_000..=10_000_000) => Ok(Self(count)),
            _ => Err("must be a number from 1000 to 10000000"),
        }
    }
}

/// Base URLs of analytics services.
#[derive(Debug, Clone)]
struct AnalyticsUrls(Vec<Url>);

impl FromStr for AnalyticsUrls {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let urls: Result<Vec<_>, _> = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| part.parse::<BaseUrl>().map(|base| base.url().clone()))
            .collect();
        let urls = urls?;
        if urls.is_empty() {
            return Err("must name at least one service, such as http://127.0.0.1:4007".into());
        }
        Ok(Self(urls))
    }
}
/// The directory of all spools of this user if nobody names one: beside the data of other
/// services for root, else in the user's own directory of state; `None` without a home.
fn default_directory() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some("/var/lib/modash/spool".into());
    }
    // Not a setting of modash, but the way of the desktop.
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    state
        .filter(|state| state.is_absolute())
        .or_else(|| Some(std::env::home_dir()?.join(".local/state")))
        .map(|state| state.join("modash/spool"))
}
