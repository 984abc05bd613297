//! The demo: a simulated LLM server behind the proxy, and simulated people in
//! front of it.

use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig, Traffic, TrafficConfig};
use tokio::task::JoinHandle;

use crate::Error;

/// A simulated server that runs.
pub(crate) struct SimulatedServer {
    /// Its base URL.
    pub(crate) url: String,
    task: JoinHandle<()>,
}

/// Starts the simulated server on a free port.
pub(crate) async fn start_server(shutdown: Shutdown) -> Result<SimulatedServer, Error> {
    let simulator = Simulator::bind(SimulatorConfig::default()).await?;
    Ok(SimulatedServer { url: simulator.url(), task: tokio::spawn(simulator.run(shutdown)) })
}

/// Starts the simulated people.
pub(crate) fn start_traffic(proxy: &str, shutdown: Shutdown) -> Result<JoinHandle<()>, Error> {
    let traffic = Traffic::new(TrafficConfig::to(proxy))?;
    Ok(tokio::spawn(traffic.run(shutdown)))
}

impl SimulatedServer {
    /// Waits until it has stopped.
    pub(crate) async fn stopped(self) {
        // It only ends by its shutdown; a panic was reported where it happened.
        let _ = self.task.await;
    }
}
