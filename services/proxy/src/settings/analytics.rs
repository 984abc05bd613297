//! Settings of TLS towards analytics.

use std::path::PathBuf;

use clap::Args;
use modash_runtime::{ClientTlsFiles, Mistakes, TlsPeer, TlsSettings};

/// Analytics as a server of TLS.
pub(crate) const ANALYTICS_PEER: TlsPeer = TlsPeer {
    files: TlsSettings {
        certificate: "MODASH_PROXY_ANALYTICS_CERT_FILE",
        key: "MODASH_PROXY_ANALYTICS_KEY_FILE",
        authorities: "MODASH_PROXY_ANALYTICS_CA_FILE",
    },
    url: "MODASH_PROXY_ANALYTICS_URL",
    http: "analytics speaks HTTP/2; is it the right port?",
};

/// Settings as given by flags and environment.
#[derive(Debug, Clone, Args)]
pub(super) struct AnalyticsTlsSettings {
    /// File of further certificate authorities for analytics behind https:// (PEM),
    /// beside those of the system
    #[arg(long, env = "MODASH_PROXY_ANALYTICS_CA_FILE")]
    proxy_analytics_ca_file: Option<PathBuf>,

    /// File of the certificate, with its chain, that the proxy shows to analytics
    /// (PEM). This file, its key and the authorities are read again when they change
    #[arg(long, env = "MODASH_PROXY_ANALYTICS_CERT_FILE")]
    proxy_analytics_cert_file: Option<PathBuf>,

    /// File of the private key of that certificate (PEM)
    #[arg(long, env = "MODASH_PROXY_ANALYTICS_KEY_FILE")]
    proxy_analytics_key_file: Option<PathBuf>,
}

impl AnalyticsTlsSettings {
    /// Checks the settings and notes every mistake.
    pub(super) fn check(self, mistakes: &mut Mistakes) -> ClientTlsFiles {
        let files = [
            self.proxy_analytics_cert_file,
            self.proxy_analytics_key_file,
            self.proxy_analytics_ca_file,
        ];
        ClientTlsFiles::check(&ANALYTICS_PEER.files, files, mistakes)
    }
}
