//! Settings of how upstreams are reached: time, connections, TLS.

use std::path::PathBuf;

use clap::Args;
use modash_runtime::{Checked, Mistakes, Seconds};

use crate::upstream::{PoolConfig, TlsFiles, UpstreamConfig};

#[derive(Debug, Clone, Args)]
pub(super) struct UpstreamSettings {
    /// How long a connection to an upstream may take to open, name look-up and
    /// TLS included
    #[arg(long, env = "MODASH_PROXY_CONNECT_TIMEOUT_SECONDS", default_value = "10")]
    proxy_connect_timeout_seconds: Checked<Seconds>,

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
        let keep_idle = self
            .proxy_upstream_keep_idle_seconds
            .check("MODASH_PROXY_UPSTREAM_KEEP_IDLE_SECONDS", mistakes);
        let max_age = self
            .proxy_upstream_max_age_seconds
            .check("MODASH_PROXY_UPSTREAM_MAX_AGE_SECONDS", mistakes);
        mistakes.require(
            self.proxy_upstream_cert_file.is_some() == self.proxy_upstream_key_file.is_some(),
            "MODASH_PROXY_UPSTREAM_CERT_FILE",
            "needs MODASH_PROXY_UPSTREAM_KEY_FILE beside it, and the other way round",
        );
        Some(UpstreamConfig {
            connect_timeout: connect?.0,
            pool: PoolConfig { keep_idle: keep_idle?.0, max_age: max_age?.0 },
            tls: TlsFiles {
                authorities: self.proxy_upstream_ca_file,
                certificate: self.proxy_upstream_cert_file,
                key: self.proxy_upstream_key_file,
            },
        })
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
    fn every_mistake_is_named() {
        let mistakes = check(&[
            "--proxy-connect-timeout-seconds=0",
            "--proxy-upstream-max-age-seconds=-1",
            "--proxy-upstream-cert-file=/a",
        ])
        .unwrap_err();
        for name in ["CONNECT_TIMEOUT_SECONDS:", "MAX_AGE_SECONDS:", "CERT_FILE:"] {
            assert!(mistakes.contains(name), "{name} is not in {mistakes}");
        }
    }
}
