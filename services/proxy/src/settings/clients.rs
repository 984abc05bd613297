//! Settings of the client side: who may connect, for how long, and how the
//! proxy leaves its port.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use modash_runtime::{Checked, ListenerTlsFiles, Mistakes, Seconds, Switch, TlsSettings};

use super::{ForwardedHeaders, upstream::Connections};

/// Where the files behind TLS with clients are named.
pub(crate) const LISTENER_TLS: TlsSettings = TlsSettings {
    certificate: "MODASH_PROXY_TLS_CERT_FILE",
    key: "MODASH_PROXY_TLS_KEY_FILE",
    authorities: "MODASH_PROXY_TLS_CLIENT_CA_FILE",
};

/// Settings as given by flags and environment.
#[derive(Debug, Clone, Args)]
pub(super) struct ClientSettings {
    /// How long a client may take to send a request head
    #[arg(long, env = "MODASH_PROXY_HEADER_TIMEOUT_SECONDS", default_value = "30")]
    proxy_header_timeout_seconds: Checked<Seconds>,

    /// How long a client's connection may be open without a request
    #[arg(long, env = "MODASH_PROXY_IDLE_TIMEOUT_SECONDS", default_value = "90")]
    proxy_idle_timeout_seconds: Checked<Seconds>,

    /// Let another proxy listen on the same port and the same admin port, so that it
    /// can take over without a refused connection: true or false
    #[arg(long, env = "MODASH_PROXY_SHARE_PORT", default_value = "false")]
    proxy_share_port: Checked<Switch>,

    /// How long a stop goes on accepting connections while /readyz already says
    /// no, for load balancers to notice; part of the grace period
    #[arg(long, env = "MODASH_PROXY_DRAIN_DELAY_SECONDS", default_value = "0")]
    proxy_drain_delay_seconds: Checked<Delay>,

    /// Most connections of clients at once, 1 to 1000000, shared out evenly to the
    /// threads; the one idle longest makes room for one beyond it, which gets 503 if
    /// none is idle [default: half of the file descriptors that other listeners of the
    /// process leave]
    #[arg(long, env = "MODASH_PROXY_CONNECTIONS")]
    proxy_connections: Option<Checked<Connections>>,

    /// File of the certificate, with its chain, that modash shows to clients
    /// (PEM); with it, clients have to use https. This file and the next two are
    /// read again when they change
    #[arg(long, env = "MODASH_PROXY_TLS_CERT_FILE")]
    proxy_tls_cert_file: Option<PathBuf>,

    /// File of the private key of that certificate (PEM)
    #[arg(long, env = "MODASH_PROXY_TLS_KEY_FILE")]
    proxy_tls_key_file: Option<PathBuf>,

    /// File of certificate authorities (PEM): clients have to show a certificate
    /// that one of them signed
    #[arg(long, env = "MODASH_PROXY_TLS_CLIENT_CA_FILE")]
    proxy_tls_client_ca_file: Option<PathBuf>,

    /// Whether each connection begins with a PROXY header (version 1 or 2), by
    /// which a load balancer says who the client is: true or false
    #[arg(long, env = "MODASH_PROXY_PROXY_PROTOCOL", default_value = "false")]
    proxy_proxy_protocol: Checked<Switch>,

    /// What upstreams are told of clients by X-Forwarded-For, -Proto and -Host:
    /// off, add (to what the client sent) or replace (what the client sent)
    #[arg(long, env = "MODASH_PROXY_FORWARDED_HEADERS", default_value = "off")]
    proxy_forwarded_headers: Checked<ForwardedHeaders>,
}

/// Checked settings.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// How long a client may take to send a request head.
    pub header_timeout: Duration,
    /// How long a connection may be open without a request.
    pub idle_timeout: Duration,
    /// Whether other processes may listen on the port.
    pub share_port: bool,
    /// How long connections are still accepted after a stop was asked for.
    pub drain_delay: Duration,
    /// Most connections at once; `None`: as many as file descriptors allow.
    pub connections: Option<usize>,
    /// TLS with clients; `None`: they use plain HTTP.
    pub tls: Option<ListenerTlsFiles>,
    /// Whether each connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// What upstreams are told of clients.
    pub forwarded: ForwardedHeaders,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(90),
            share_port: false,
            drain_delay: Duration::ZERO,
            connections: None,
            tls: None,
            proxy_protocol: false,
            forwarded: ForwardedHeaders::Off,
        }
    }
}

impl ClientSettings {
    pub(super) fn check(self, mistakes: &mut Mistakes) -> Option<ClientConfig> {
        let header = self
            .proxy_header_timeout_seconds
            .check("MODASH_PROXY_HEADER_TIMEOUT_SECONDS", mistakes);
        let idle =
            self.proxy_idle_timeout_seconds.check("MODASH_PROXY_IDLE_TIMEOUT_SECONDS", mistakes);
        let share_port = self.proxy_share_port.check("MODASH_PROXY_SHARE_PORT", mistakes);
        let delay =
            self.proxy_drain_delay_seconds.check("MODASH_PROXY_DRAIN_DELAY_SECONDS", mistakes);
        let connections =
            Checked::check_optional(self.proxy_connections, "MODASH_PROXY_CONNECTIONS", mistakes);
        let proxy_protocol =
            self.proxy_proxy_protocol.check("MODASH_PROXY_PROXY_PROTOCOL", mistakes);
        let forwarded =
            self.proxy_forwarded_headers.check("MODASH_PROXY_FORWARDED_HEADERS", mistakes);
        let files =
            [self.proxy_tls_cert_file, self.proxy_tls_key_file, self.proxy_tls_client_ca_file];
        let tls = ListenerTlsFiles::check(&LISTENER_TLS, files, mistakes);
        Some(ClientConfig {
            header_timeout: header?.0,
            idle_timeout: idle?.0,
            share_port: share_port?.0,
            drain_delay: delay?.0,
            connections: connections?.map(|connections| connections.0),
            tls,
            proxy_protocol: proxy_protocol?.0,
            forwarded: forwarded?,
        })
    }
}

/// A time in seconds that may be 0, at most an hour.
#[derive(Debug, Clone, Copy)]
struct Delay(Duration);

impl FromStr for Delay {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<f64>() {
            Ok(seconds) if (0.0..=3600.0).contains(&seconds) => {
                Ok(Self(Duration::from_secs_f64(seconds)))
            }
            _ => Err("must be a number of seconds from 0 to 3600"),
        }
    }
}
