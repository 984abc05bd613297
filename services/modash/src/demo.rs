//! The demo: a simulated LLM server behind the proxy, simulated people in front
//! of it, and a simulated day before.

mod day_before;

use std::time::{SystemTime, UNIX_EPOCH};

use modash_access::Token;
use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig, Traffic, TrafficConfig};
use tokio::task::JoinHandle;

use crate::Error;

/// What its models cost.
pub(crate) const PRICES: &str = include_str!("demo/prices.toml");

/// A simulated server that runs.
pub(crate) struct SimulatedServer {
    /// Its base URL.
    pub(crate) url: String,
    task: JoinHandle<()>,
}

/// Starts the simulated server on a free port.
pub(crate) async fn start_server(shutdown: Shutdown) -> Result<SimulatedServer, Error> {
    let config = SimulatorConfig { rate_limits: true, ..SimulatorConfig::default() };
    let simulator = Simulator::bind(config).await?;
    Ok(SimulatedServer { url: simulator.url(), task: tokio::spawn(simulator.run(shutdown)) })
}

/// What the demo shows to analytics, where that asks for tokens.
#[derive(Debug, Clone)]
pub(crate) struct DemoTokens {
    pub(crate) read: Option<Token>,
    pub(crate) ingest: Option<Token>,
}

/// Starts the simulated people, and at the first start records a day before.
pub(crate) fn start_traffic(
    proxy: &str,
    analytics: String,
    tokens: DemoTokens,
    shutdown: Shutdown,
) -> Result<(), Error> {
    // As busy as the day before, so that the charts of both fit together.
    let config = TrafficConfig { peak_requests_per_second: 0.7, ..TrafficConfig::to(proxy) };
    let traffic = Traffic::new(config)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    tokio::spawn(async move {
        if let Err(error) = day_before::record(analytics, tokens, now).await {
            tracing::warn!(%error, "the demo begins without a day before");
        }
        traffic.run(shutdown).await;
    });
    Ok(())
}

impl SimulatedServer {
    /// Waits until it has stopped.
    pub(crate) async fn stopped(self) {
        // It only ends by its shutdown; a panic was reported where it happened.
        let _ = self.task.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prices_of_the_demo_are_a_list() {
        use modash_analytics::Prices;
        Prices::default().or("the demo's prices", PRICES).unwrap();
        let error = Prices::default().or("the demo's prices", "[[price]]").unwrap_err();
        assert!(error.contains("the demo's prices"), "{error}");
    }
}
