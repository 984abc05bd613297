//! Settings of TLS with clients and towards analytics.

use std::path::PathBuf;

use clap::Args;
use modash_runtime::{ClientTlsFiles, ListenerTlsFiles, Mistakes, TlsPeer, TlsSettings};

/// Where the files behind TLS with clients are named.
pub(crate) const LISTENER_TLS: TlsSettings = TlsSettings {
    certificate: "MODASH_GATEWAY_TLS_CERT_FILE",
    key: "MODASH_GATEWAY_TLS_KEY_FILE",
    authorities: "MODASH_GATEWAY_TLS_CLIENT_CA_FILE",
};

/// Analytics as a server of TLS.
pub(crate) const ANALYTICS_PEER: TlsPeer = TlsPeer {
    files: TlsSettings {
        certificate: "MODASH_GATEWAY_ANALYTICS_CERT_FILE",
        key: "MODASH_GATEWAY_ANALYTICS_KEY_FILE",
        authorities: "MODASH_GATEWAY_ANALYTICS_CA_FILE",
    },
    url: "MODASH_GATEWAY_ANALYTICS_URL",
    http: "analytics speaks HTTP/2; is it the right port?",
};

/// Settings as given by flags and environment.
#[derive(Debug, Clone, Args)]
pub(crate) struct GatewayTlsSettings {
    /// File of the certificate, with its chain, that the gateway shows to clients
    /// (PEM); with it, clients have to use https. This file and the next two are
    /// read again when they change
    #[arg(long, env = "MODASH_GATEWAY_TLS_CERT_FILE")]
    gateway_tls_cert_file: Option<PathBuf>,

    /// File of the private key of that certificate (PEM)
    #[arg(long, env = "MODASH_GATEWAY_TLS_KEY_FILE")]
    gateway_tls_key_file: Option<PathBuf>,

    /// File of certificate authorities (PEM): clients have to show a certificate
    /// that one of them signed
    #[arg(long, env = "MODASH_GATEWAY_TLS_CLIENT_CA_FILE")]
    gateway_tls_client_ca_file: Option<PathBuf>,

    /// File of further certificate authorities for analytics behind https:// (PEM),
    /// beside those of the system
    #[arg(long, env = "MODASH_GATEWAY_ANALYTICS_CA_FILE")]
    gateway_analytics_ca_file: Option<PathBuf>,

    /// File of the certificate, with its chain, that the gateway shows to analytics
    /// (PEM). This file, its key and the authorities are read again when they change
    #[arg(long, env = "MODASH_GATEWAY_ANALYTICS_CERT_FILE")]
    gateway_analytics_cert_file: Option<PathBuf>,

    /// File of the private key of that certificate (PEM)
    #[arg(long, env = "MODASH_GATEWAY_ANALYTICS_KEY_FILE")]
    gateway_analytics_key_file: Option<PathBuf>,
}

impl GatewayTlsSettings {
    /// Checks the settings and notes every mistake: with clients, and to analytics.
    pub(crate) fn check(
        self,
        mistakes: &mut Mistakes,
    ) -> (Option<ListenerTlsFiles>, ClientTlsFiles) {
        let listener = [
            self.gateway_tls_cert_file,
            self.gateway_tls_key_file,
            self.gateway_tls_client_ca_file,
        ];
        let analytics = [
            self.gateway_analytics_cert_file,
            self.gateway_analytics_key_file,
            self.gateway_analytics_ca_file,
        ];
        (
            ListenerTlsFiles::check(&LISTENER_TLS, listener, mistakes),
            ClientTlsFiles::check(&ANALYTICS_PEER.files, analytics, mistakes),
        )
    }
}
