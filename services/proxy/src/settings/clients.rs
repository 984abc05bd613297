//! Settings of the client side: who may connect, for how long, and how the
//! proxy leaves its port.

use std::{str::FromStr, time::Duration};

use clap::Args;
use modash_runtime::{Checked, Mistakes, Seconds, Switch};

/// Settings as given by flags and environment.
#[derive(Debug, Clone, Args)]
pub(super) struct ClientSettings {
    /// How long a client may take to send a request head
    #[arg(long, env = "MODASH_PROXY_HEADER_TIMEOUT_SECONDS", default_value = "30")]
    proxy_header_timeout_seconds: Checked<Seconds>,

    /// How long a connection may be open without a request
    #[arg(long, env = "MODASH_PROXY_IDLE_TIMEOUT_SECONDS", default_value = "90")]
    proxy_idle_timeout_seconds: Checked<Seconds>,

    /// Let another proxy listen on the same port, so that it can take over
    /// without a refused connection: true or false
    #[arg(long, env = "MODASH_PROXY_SHARE_PORT", default_value = "false")]
    proxy_share_port: Checked<Switch>,

    /// How long a stop goes on accepting connections while /readyz already says
    /// no, for load balancers to notice
    #[arg(long, env = "MODASH_PROXY_DRAIN_DELAY_SECONDS", default_value = "0")]
    proxy_drain_delay_seconds: Checked<Delay>,
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
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(90),
            share_port: false,
            drain_delay: Duration::ZERO,
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
        Some(ClientConfig {
            header_timeout: header?.0,
            idle_timeout: idle?.0,
            share_port: share_port?.0,
            drain_delay: delay?.0,
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
