//! Settings of how upstreams are reached: time, connections, TLS, HTTP version.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use modash_runtime::{Checked, ClientTlsFiles, Mistakes, Seconds, TlsPeer, TlsSettings};

/// Upstreams as servers of TLS.
pub(crate) const UPSTREAM_PEER: TlsPeer = TlsPeer {
    files: TlsSettings {
        certificate: "MODASH_PROXY_UPSTREAM_CERT_FILE",
        key: "MODASH_PROXY_UPSTREAM_KEY_FILE",
        authorities: "MODASH_PROXY_UPSTREAM_CA_FILE",
    },
    url: "the upstream's URL",
    http: "see MODASH_PROXY_UPSTREAM_HTTP",
};

/// How upstreams are reached.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// Longest time for name look-up, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Longest time from the end of a request to the head of its response;
    /// `None`: no limit.
    pub head_timeout: Option<Duration>,
    /// Longest silence within a response; `None`: no limit.
    pub stream_idle_timeout: Option<Duration>,
    /// HTTP version towards https upstreams.
    pub http: HttpVersion,
    /// What is kept of connections, and how many there may be.
    pub pool: PoolConfig,
    /// Certificates and keys.
    pub tls: ClientTlsFiles,
}

/// Connections to one upstream.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// Most connections to each upstream, of all cores together; `None`: no
    /// limit.
    pub connections: Option<usize>,
    /// How long a request waits for a connection when there are as many as
    /// allowed.
    pub wait: Duration,
    /// How long a connection is kept without a request.
    pub keep_idle: Duration,
    /// How old a connection may be when a request begins on it.
    pub max_age: Duration,
}

/// HTTP version towards https upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// The client's: HTTP/2 for clients that use it, where the upstream offers it.
    Same,
    /// HTTP/2 where the upstream offers it.
    Http2,
    /// HTTP/1.1.
    Http1,
}

impl Default for UpstreamConfig {
    /// What the settings say when none is given.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            head_timeout: None,
            stream_idle_timeout: None,
            http: HttpVersion::Same,
            pool: PoolConfig::default(),
            tls: ClientTlsFiles::default(),
        }
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            connections: None,
            wait: Duration::from_secs(5),
            // Shorter than what common servers allow, so that a request seldom
            // meets a connection that is just being closed.
            keep_idle: Duration::from_secs(45),
            max_age: Duration::from_secs(600),
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(super) struct UpstreamSettings {
    /// How long a connection to an upstream may take to open, name look-up and
    /// TLS included
    #[arg(long, env = "MODASH_PROXY_CONNECT_TIMEOUT_SECONDS", default_value = "10")]
    proxy_connect_timeout_seconds: Checked<Seconds>,

    /// How long an upstream may take from the end of a request to the head of
    /// its response; then the client gets 504 [default: no limit]
    #[arg(long, env = "MODASH_PROXY_UPSTREAM_HEAD_TIMEOUT_SECONDS")]
    proxy_upstream_head_timeout_seconds: Option<Checked<Seconds>>,

    /// How long an upstream may be silent within a response; then the response is cut
    /// [default: no limit]
    #[arg(long, env = "MODASH_PROXY_STREAM_IDLE_TIMEOUT_SECONDS")]
    proxy_stream_idle_timeout_seconds: Option<Checked<Seconds>>,

    /// HTTP version towards https upstreams: same (as the client's, HTTP/2 only
    /// where the upstream offers it), 2 (HTTP/2 for all clients, where the
    /// upstream offers it) or 1.1 (never HTTP/2). An upstream with a URL of h2c://
    /// gets HTTP/2 without TLS
    #[arg(long, env = "MODASH_PROXY_UPSTREAM_HTTP", default_value = "same")]
    proxy_upstream_http: Checked<HttpVersion>,

    /// Most connections to each upstream, 1 to 1000000, shared out evenly to the
    /// threads; a request beyond it waits for one [default: no limit]
    #[arg(long, env = "MODASH_PROXY_UPSTREAM_CONNECTIONS")]
    proxy_upstream_connections: Option<Checked<Connections>>,

    /// How long a request waits for a connection when there are as many as
    /// allowed, before it is answered with 503
    #[arg(long, env = "MODASH_PROXY_UPSTREAM_WAIT_SECONDS", default_value = "5")]
    proxy_upstream_wait_seconds: Checked<Seconds>,

    /// How long a connection to an upstream is kept without a request
    #[arg(long, env = "MODASH_PROXY_UPSTREAM_KEEP_IDLE_SECONDS", default_value = "45")]
    proxy_upstream_keep_idle_seconds: Checked<Seconds>,

    /// How old a connection to an upstream may be when a request begins on it;
    /// so a changed address is followed in the end
    #[arg(long, env = "MODASH_PROXY_UPSTREAM_MAX_AGE_SECONDS", default_value = "600")]
    proxy_upstream_max_age_seconds: Checked<Seconds>,

    /// File of further certificate authorities for upstreams (PEM), beside those
    /// of the system
    #[arg(long, env = "MODASH_PROXY_UPSTREAM_CA_FILE")]
    proxy_upstream_ca_file: Option<PathBuf>,

    /// File of the certificate, with its chain, that modash shows to upstreams
    /// (PEM). This file, its key and the authorities are read again when they
    /// change
    #[arg(long, env = "MODASH_PROXY_UPSTREAM_CERT_FILE")]
    proxy_upstream_cert_file: Option<PathBuf>,

    /// File of the private key of that certificate (PEM)
    #[arg(long, env = "MODASH_PROXY_UPSTREAM_KEY_FILE")]
    proxy_upstream_key_file: Option<PathBuf>,
}

impl UpstreamSettings {
    /// Checks the settings and notes every mistake.
    pub(super) fn check(self, mistakes: &mut Mistakes) -> Option<UpstreamConfig> {
        let connect = self
            .proxy_connect_timeout_seconds
            .check("MODASH_PROXY_CONNECT_TIMEOUT_SECONDS", mistakes);
        let head = Checked::check_optional(
            self.proxy_upstream_head_timeout_seconds,
            "MODASH_PROXY_UPSTREAM_HEAD_TIMEOUT_SECONDS",
            mistakes,
        );
        let stream_idle = Checked::check_optional(
            self.proxy_stream_idle_timeout_seconds,
            "MODASH_PROXY_STREAM_IDLE_TIMEOUT_SECONDS",
            mistakes,
        );
        let http = self.proxy_upstream_http.check("MODASH_PROXY_UPSTREAM_HTTP", mistakes);
        let connections = Checked::check_optional(
            self.proxy_upstream_connections,
            "MODASH_PROXY_UPSTREAM_CONNECTIONS",
            mistakes,
        );
        let wait =
            self.proxy_upstream_wait_seconds.check("MODASH_PROXY_UPSTREAM_WAIT_SECONDS", mistakes);
        let keep_idle = self
            .proxy_upstream_keep_idle_seconds
            .check("MODASH_PROXY_UPSTREAM_KEEP_IDLE_SECONDS", mistakes);
        let max_age = self
            .proxy_upstream_max_age_seconds
            .check("MODASH_PROXY_UPSTREAM_MAX_AGE_SECONDS", mistakes);
        let files = [
            self.proxy_upstream_cert_file,
            self.proxy_upstream_key_file,
            self.proxy_upstream_ca_file,
        ];
        let tls = ClientTlsFiles::check(&UPSTREAM_PEER.files, files, mistakes);
        Some(UpstreamConfig {
            connect_timeout: connect?.0,
            head_timeout: head?.map(|seconds| seconds.0),
            stream_idle_timeout: stream_idle?.map(|seconds| seconds.0),
            http: http?,
            pool: PoolConfig {
                connections: connections?.map(|connections| connections.0),
                wait: wait?.0,
                keep_idle: keep_idle?.0,
                max_age: max_age?.0,
            },
            tls,
        })
    }
}

impl FromStr for HttpVersion {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "same" => Ok(Self::Same),
            "2" => Ok(Self::Http2),
            "1.1" => Ok(Self::Http1),
            _ => Err("must be \"same\", \"2\" or \"1.1\""),
        }
    }
}

/// A number of connections from 1 to a million.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connections(pub(super) usize);

impl FromStr for Connections {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(count @ 1..=1_000_000) => Ok(Self(count)),
            _ => Err("must be a number from 1 to 1000000"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        settings: UpstreamSettings,
    }

    fn check(flags: &[&str]) -> Result<UpstreamConfig, String> {
        let program = Program::parse_from(std::iter::once(&"program").chain(flags));
        let mut mistakes = Mistakes::default();
        let config = program.settings.check(&mut mistakes);
        if mistakes.is_empty() { Ok(config.unwrap()) } else { Err(mistakes.to_string()) }
    }

    #[test]
    fn without_settings_there_is_no_limit_but_the_connect_timeout() {
        let config = check(&[]).unwrap();
        assert_eq!((config.head_timeout, config.stream_idle_timeout), (None, None));
        assert_eq!((config.pool.connections, config.http), (None, HttpVersion::Same));
    }

    #[test]
    fn every_mistake_is_named() {
        let mistakes = check(&[
            "--proxy-upstream-http=3",
            "--proxy-upstream-connections=0",
            "--proxy-stream-idle-timeout-seconds=-1",
            "--proxy-upstream-cert-file=/a",
        ])
        .unwrap_err();
        for name in ["HTTP:", "CONNECTIONS:", "STREAM_IDLE_TIMEOUT_SECONDS:", "CERT_FILE:"] {
            assert!(mistakes.contains(name), "{name} is not in {mistakes}");
        }
    }
}
