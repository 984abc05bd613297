//! Settings of the gateway and their checked form.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::Args;
use http::HeaderName;
use modash_access::{Access, TokenSource};
use modash_runtime::{
    Checked, ClientTlsFiles, Count, Hosts, ListenerLimits, ListenerTlsFiles, Mistakes, Origins,
    Seconds,
};
use url::Url;

use crate::{
    currency::Currency,
    page::{BrowserUrl, DashboardTransport},
    places,
    session::{self, TrustedUsers},
    tls::GatewayTlsSettings,
    trace_url::TraceUrl,
};

/// Settings of the gateway as they were given.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Gateway")]
pub struct GatewaySettings {
    /// Where the gateway listens
    #[arg(long, env = "MODASH_GATEWAY_LISTEN", default_value = "127.0.0.1:4006")]
    gateway_listen: Checked<SocketAddr>,

    /// Where /livez, /readyz and /metrics of the gateway are
    #[arg(long, env = "MODASH_GATEWAY_ADMIN_LISTEN", default_value = "127.0.0.1:4016")]
    gateway_admin_listen: Checked<SocketAddr>,

    /// Most connections of clients at once, 1 to 1000000; the one idle longest makes room
    /// for one beyond it, which gets 503 if none is idle [default: 2,048, or an eighth of the file descriptors if that is fewer]
    #[arg(long, env = "MODASH_GATEWAY_CONNECTIONS")]
    gateway_connections: Option<Checked<Count>>,

    /// Time for the first request of a connection, and for each request head
    #[arg(long, env = "MODASH_GATEWAY_HEADER_TIMEOUT_SECONDS", default_value = "30")]
    gateway_header_timeout_seconds: Checked<Seconds>,

    /// Time without a request after which a connection is closed
    #[arg(long, env = "MODASH_GATEWAY_IDLE_TIMEOUT_SECONDS", default_value = "90")]
    gateway_idle_timeout_seconds: Checked<Seconds>,

    /// Where analytics is
    #[arg(long, env = "MODASH_GATEWAY_ANALYTICS_URL", default_value = "http://127.0.0.1:4007")]
    gateway_analytics_url: Checked<AnalyticsUrl>,

    #[command(flatten)]
    tls: GatewayTlsSettings,

    /// Origins of other sites whose pages may use the gateway, separated by
    /// commas: `https://tools.example.com,http://localhost:5173`
    #[arg(long, env = "MODASH_GATEWAY_CORS_ORIGINS", default_value = "")]
    gateway_cors_origins: Checked<Origins>,

    /// Host names under which browsers reach the gateway, separated by commas.
    /// localhost and IP addresses need not be listed
    #[arg(long, env = "MODASH_GATEWAY_ALLOWED_HOSTS", default_value = "")]
    gateway_allowed_hosts: Checked<Hosts>,

    /// Secret under which the sessions of browsers are sealed, the same for all gateways
    /// of an installation: 32 bytes or more; set it in the environment [default: random
    /// at each start]
    #[arg(long, env = "MODASH_GATEWAY_SESSION_SECRET", hide_env_values = true)]
    gateway_session_secret: Option<String>,

    /// Header in which a proxy with single sign-on names the user, for example
    /// x-forwarded-user; needs the two settings below
    #[arg(long, env = "MODASH_GATEWAY_TRUSTED_USER_HEADER")]
    gateway_trusted_user_header: Option<Checked<HeaderName>>,

    /// Addresses of that proxy, separated by commas; from others the header says nothing
    #[arg(long, env = "MODASH_GATEWAY_TRUSTED_ADDRESSES", default_value = "")]
    gateway_trusted_addresses: Checked<Addresses>,

    /// File with the token that the users of that proxy have
    #[arg(long, env = "MODASH_GATEWAY_TRUSTED_USER_TOKEN_FILE")]
    gateway_trusted_user_token_file: Option<PathBuf>,

    /// Port of the proxy on the host under which browsers reach the dashboard; the
    /// page shows it until there is a first request
    #[arg(long, env = "MODASH_GATEWAY_PROXY_PORT", default_value = "4005")]
    gateway_proxy_port: Checked<u16>,

    /// Where a trace is shown, with {trace_id} and perhaps {span_id} in its place:
    /// `https://traces.example.com/trace/{trace_id}` [default: no link]
    #[arg(long, env = "MODASH_GATEWAY_TRACE_URL")]
    gateway_trace_url: Option<Checked<TraceUrl>>,

    /// How the dashboard asks unless `?via=` in its address says otherwise: rpc (/rpc and
    /// /events), grpc-web (through the gateway) or analytics (gRPC-Web straight to it)
    #[arg(long, env = "MODASH_GATEWAY_DASHBOARD_TRANSPORT", default_value = "rpc")]
    gateway_dashboard_transport: Checked<DashboardTransport>,

    /// Where browsers reach analytics itself: `https://analytics.example.com`; analytics
    /// must list the dashboard in MODASH_ANALYTICS_CORS_ORIGINS, and ask for no tokens:
    /// sessions are the gateway's [default: they do not]
    #[arg(long, env = "MODASH_GATEWAY_DASHBOARD_ANALYTICS_URL")]
    gateway_dashboard_analytics_url: Option<Checked<BrowserUrl>>,

    /// Another currency in which the dashboard shows costs, and how much of it one
    /// dollar is: `EUR 0.92` [default: dollars]
    #[arg(long, env = "MODASH_GATEWAY_DASHBOARD_CURRENCY")]
    gateway_dashboard_currency: Option<Checked<Currency>>,

    /// Folder of a built dashboard to serve instead of the one inside
    #[arg(long, env = "MODASH_GATEWAY_DASHBOARD_DIR")]
    gateway_dashboard_dir: Option<PathBuf>,
}

/// Checked settings of the gateway.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Address of the main listener.
    pub listen: SocketAddr,
    /// Address of the admin listener.
    pub admin_listen: SocketAddr,
    /// Who may do what.
    pub access: Access,
    /// Bounds of the connections.
    pub limits: ListenerLimits,
    /// TLS with clients; `None`: they use plain HTTP.
    pub tls: Option<ListenerTlsFiles>,
    /// Where analytics is.
    pub analytics_url: AnalyticsUrl,
    /// The files of TLS towards analytics behind https.
    pub analytics_tls: ClientTlsFiles,
    /// Sites whose pages may use the gateway. Empty: none but its own.
    pub cors_origins: Origins,
    /// Names of the gateway beside localhost and IP addresses.
    pub allowed_hosts: Hosts,
    /// Secret of the sessions of browsers; `None`: a random one.
    pub session_secret: Option<Vec<u8>>,
    /// How long such a session lasts.
    pub session_lifetime: Duration,
    /// Streams of live events at once; one caller may have half of them.
    pub streams: usize,
    /// A proxy with single sign-on in front.
    pub trusted_users: Option<TrustedUsers>,
    /// Port of the proxy, for the page that has nothing to show yet.
    pub proxy_port: u16,
    /// Where that proxy forwards to, for the same page; `None`: not known here.
    pub upstream: Option<String>,
    /// Where a trace is shown. `None`: the dashboard has no link to traces.
    pub trace_url: Option<TraceUrl>,
    /// How the dashboard asks.
    pub transport: DashboardTransport,
    /// Where browsers reach analytics. `None`: they do not.
    pub browser_url: Option<BrowserUrl>,
    /// What the dashboard shows costs in. `None`: dollars.
    pub currency: Option<Currency>,
    /// Folder of a built dashboard. `None`: the embedded one.
    pub dashboard_dir: Option<PathBuf>,
}

impl GatewayConfig {
    /// A gateway for this machine alone: no other origins, the embedded
    /// dashboard.
    #[must_use]
    pub fn new(listen: SocketAddr, admin_listen: SocketAddr, analytics_url: AnalyticsUrl) -> Self {
        Self {
            listen,
            admin_listen,
            access: Access::open(),
            limits: ListenerLimits::default(),
            tls: None,
            analytics_url,
            analytics_tls: ClientTlsFiles::default(),
            cors_origins: Origins::default(),
            allowed_hosts: Hosts::default(),
            session_secret: None,
            session_lifetime: session::LIFETIME,
            streams: places::MOST_STREAMS,
            trusted_users: None,
            proxy_port: 4005,
            upstream: None,
            trace_url: None,
            transport: DashboardTransport::default(),
            browser_url: None,
            currency: None,
            dashboard_dir: None,
        }
    }
}

impl GatewaySettings {
    /// Checks the settings and notes every mistake.
    pub fn check(self, mistakes: &mut Mistakes) -> Option<GatewayConfig> {
        let listen = self.gateway_listen.check("MODASH_GATEWAY_LISTEN", mistakes);
        let admin = self.gateway_admin_listen.check("MODASH_GATEWAY_ADMIN_LISTEN", mistakes);
        let connections = Checked::check_optional(
            self.gateway_connections,
            "MODASH_GATEWAY_CONNECTIONS",
            mistakes,
        );
        let header_timeout = self
            .gateway_header_timeout_seconds
            .check("MODASH_GATEWAY_HEADER_TIMEOUT_SECONDS", mistakes);
        let idle_timeout = self
            .gateway_idle_timeout_seconds
            .check("MODASH_GATEWAY_IDLE_TIMEOUT_SECONDS", mistakes);
        let analytics = self.gateway_analytics_url.check("MODASH_GATEWAY_ANALYTICS_URL", mistakes);
        let (tls, analytics_tls) = self.tls.check(mistakes);
        let origins = self.gateway_cors_origins.check("MODASH_GATEWAY_CORS_ORIGINS", mistakes);
        let hosts = self.gateway_allowed_hosts.check("MODASH_GATEWAY_ALLOWED_HOSTS", mistakes);
        let session_secret = self.gateway_session_secret;
        mistakes.require(
            session_secret.as_ref().is_none_or(|secret| secret.len() >= 32),
            "MODASH_GATEWAY_SESSION_SECRET",
            "must have 32 bytes or more (openssl rand -hex 32)",
        );
        let trusted_users = trusted_users(
            self.gateway_trusted_user_header,
            self.gateway_trusted_addresses,
            self.gateway_trusted_user_token_file,
            mistakes,
        );
        let proxy_port = self.gateway_proxy_port.check_as(
            "a port from 0 to 65535",
            "MODASH_GATEWAY_PROXY_PORT",
            mistakes,
        );
        let trace_url =
            Checked::check_optional(self.gateway_trace_url, "MODASH_GATEWAY_TRACE_URL", mistakes);
        let transport =
            self.gateway_dashboard_transport.check("MODASH_GATEWAY_DASHBOARD_TRANSPORT", mistakes);
        let browser_url = Checked::check_optional(
            self.gateway_dashboard_analytics_url,
            "MODASH_GATEWAY_DASHBOARD_ANALYTICS_URL",
            mistakes,
        );
        mistakes.require(
            transport != Some(DashboardTransport::Analytics) || browser_url != Some(None),
            "MODASH_GATEWAY_DASHBOARD_ANALYTICS_URL",
            "must say where browsers reach analytics, as MODASH_GATEWAY_DASHBOARD_TRANSPORT is \
             analytics",
        );
        let currency = Checked::check_optional(
            self.gateway_dashboard_currency,
            "MODASH_GATEWAY_DASHBOARD_CURRENCY",
            mistakes,
        );
        if let Some(folder) = &self.gateway_dashboard_dir {
            mistakes.require(
                folder.join("index.html").is_file(),
                "MODASH_GATEWAY_DASHBOARD_DIR",
                "must be a folder with an index.html: the web/dist of a built dashboard",
            );
        }
        Some(GatewayConfig {
            listen: listen?,
            admin_listen: admin?,
            access: Access::open(),
            limits: ListenerLimits {
                connections: connections?.map(|count| count.0),
                header_timeout: header_timeout?.0,
                idle_timeout: idle_timeout?.0,
                ..ListenerLimits::default()
            },
            tls,
            analytics_url: analytics?,
            analytics_tls,
            cors_origins: origins?,
            allowed_hosts: hosts?,
            session_secret: session_secret.map(String::into_bytes),
            session_lifetime: session::LIFETIME,
            streams: places::MOST_STREAMS,
            trusted_users: trusted_users?,
            proxy_port: proxy_port?,
            upstream: None,
            trace_url: trace_url?,
            transport: transport?,
            browser_url: browser_url?,
            currency: currency?,
            dashboard_dir: self.gateway_dashboard_dir,
        })
    }
}

fn trusted_users(
    header: Option<Checked<HeaderName>>,
    addresses: Checked<Addresses>,
    token_file: Option<PathBuf>,
    mistakes: &mut Mistakes,
) -> Option<Option<TrustedUsers>> {
    const HEADER: &str = "MODASH_GATEWAY_TRUSTED_USER_HEADER";
    let header = Checked::check_optional(header, HEADER, mistakes)?;
    let addresses = addresses.check("MODASH_GATEWAY_TRUSTED_ADDRESSES", mistakes)?.0;
    let Some(header) = header else { return Some(None) };
    let complete = !addresses.is_empty() && token_file.is_some();
    mistakes.require(
        complete,
        HEADER,
        "needs MODASH_GATEWAY_TRUSTED_ADDRESSES, which say who may set it, and \
         MODASH_GATEWAY_TRUSTED_USER_TOKEN_FILE, which says what its users may do",
    );
    let token = TokenSource::File(token_file?);
    complete.then_some(Some(TrustedUsers { header, addresses, token }))
}

/// Addresses, separated by commas.
#[derive(Debug, Clone)]
struct Addresses(Vec<IpAddr>);

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = |item: &str| {
            item.parse::<IpAddr>()
                .map(|address| address.to_canonical())
                .map_err(|_| format!("{item:?} is not an address such as 10.0.0.7"))
        };
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(address).collect::<Result<_, _>>().map(Self)
    }
}

/// Base URL of analytics: http or https, a host, nothing else but a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnalyticsUrl(Url);

impl AnalyticsUrl {
    /// The URL without the final slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Host, an address of IPv6 in brackets, and port.
    pub(crate) fn host_and_port(&self) -> (&str, u16) {
        let port = self.0.port_or_known_default().unwrap_or_default();
        (self.0.host_str().unwrap_or_default(), port)
    }
}

impl FromStr for AnalyticsUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "must be a URL such as http://127.0.0.1:4007, without path, \
                                credentials, query and fragment";
        let url = Url::parse(text).map_err(|_| EXPECTED)?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path() == "/"
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if plain { Ok(Self(url)) } else { Err(EXPECTED) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_analytics_has_host_and_port_only() {
        let url: AnalyticsUrl = "http://analytics:4007/".parse().unwrap();
        assert_eq!(url.as_str(), "http://analytics:4007");
        for wrong in ["analytics:4007", "ftp://a", "http://u:p@a", "http://a/base", "http://a?x"] {
            assert!(wrong.parse::<AnalyticsUrl>().is_err(), "{wrong}");
        }
    }
}
