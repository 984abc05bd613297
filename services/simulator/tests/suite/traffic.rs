//! The demo traffic reaches every model within seconds and keeps streams open.

use std::time::Duration;

use crate::common::Server;
use modash_runtime::Shutdown;
use modash_simulator::{Traffic, TrafficConfig};

#[tokio::test]
async fn traffic_is_alive_at_once_and_reaches_every_model() {
    let server = Server::start().await;
    let shutdown = Shutdown::new(Duration::from_secs(1));
    let config = TrafficConfig {
        peak_requests_per_second: 200.0,
        seed: Some(7),
        ..TrafficConfig::to(&server.url)
    };
    let running = tokio::spawn(Traffic::new(config).unwrap().run(shutdown.clone()));
    server.wait_for(|seen| seen.in_flight >= 2).await;
    let seen = server.wait_for(|seen| seen.models.len() >= 7 && seen.dialects.len() >= 6).await;
    assert!(seen.in_flight >= 2, "{seen:?}");
    shutdown.request();
    running.await.unwrap();
    server.wait_for(|seen| seen.in_flight == 0).await;
}
