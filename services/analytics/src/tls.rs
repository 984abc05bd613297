//! Settings of TLS with clients and with webhooks.

use std::path::PathBuf;

use clap::Args;
use modash_runtime::{ListenerTlsFiles, Mistakes, TlsSettings};

/// Where the files behind TLS with clients are named.
pub(crate) const LISTENER_TLS: TlsSettings = TlsSettings {
    certificate: "MODASH_ANALYTICS_TLS_CERT_FILE",
    key: "MODASH_ANALYTICS_TLS_KEY_FILE",
    authorities: "MODASH_ANALYTICS_TLS_CLIENT_CA_FILE",
};

/// Only the authorities can be set.
pub(crate) const WEBHOOK_TLS: TlsSettings =
    TlsSettings { certificate: "", key: "", authorities: "MODASH_ANALYTICS_WEBHOOK_CA_FILE" };

/// Settings as given by flags and environment.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListenerTlsSettings {
    /// File of the certificate, with its chain, that analytics shows to clients
    /// (PEM); with it, clients have to use https. This file and the next two are
    /// read again when they change
    #[arg(long, env = "MODASH_ANALYTICS_TLS_CERT_FILE")]
    analytics_tls_cert_file: Option<PathBuf>,

    /// File of the private key of that certificate (PEM)
    #[arg(long, env = "MODASH_ANALYTICS_TLS_KEY_FILE")]
    analytics_tls_key_file: Option<PathBuf>,

    /// File of certificate authorities (PEM): clients have to show a certificate
    /// that one of them signed
    #[arg(long, env = "MODASH_ANALYTICS_TLS_CLIENT_CA_FILE")]
    analytics_tls_client_ca_file: Option<PathBuf>,
}

impl ListenerTlsSettings {
    /// Checks the settings and notes every mistake.
    pub(crate) fn check(self, mistakes: &mut Mistakes) -> Option<ListenerTlsFiles> {
        let files = [
            self.analytics_tls_cert_file,
            self.analytics_tls_key_file,
            self.analytics_tls_client_ca_file,
        ];
        ListenerTlsFiles::check(&LISTENER_TLS, files, mistakes)
    }
}
