//! A page of the dashboard in a browser while parts of modash hang, are killed and come
//! back, on both transports.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{path::Path, process::Command, time::Duration};

use modash_integration::{PATIENCE, Process, Services, Signal};
use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig};
use modash_test_support::{Relay, TestDatabase};

async fn outlast(transport: &str) {
    let simulator = Simulator::bind(SimulatorConfig::default()).await.unwrap();
    let upstream = simulator.url();
    tokio::spawn(simulator.run(Shutdown::new(Duration::from_secs(1))));
    let database = TestDatabase::create().await;
    let line = Relay::start(database.socket()).await;
    let url = database.url_through(line.address());
    let common = [("MODASH_GATEWAY_DASHBOARD_TRANSPORT", transport.to_owned())];
    let mut services = Services::start_with(&url, &upstream, &common).await;

    let mut command = Command::new("node");
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web");
    command
        .current_dir(web)
        .arg("e2e/outages.mjs")
        .args([&services.gateway_url, &services.proxy_url]);
    let browser = Process::spawn("browser test", command);
    browser.says("now: analytics hangs").await;
    services.analytics.signal(Signal::STOP);
    browser.says("now: analytics goes on").await;
    services.analytics.signal(Signal::CONT);
    browser.says("now: analytics is killed").await;
    services.analytics.signal(Signal::KILL);
    services.analytics.ended().await;
    browser.says("now: analytics starts").await;
    let listen = services.analytics_address.to_string();
    services.analytics = Services::start_analytics(&url, &listen);
    browser.says("now: the database is away").await;
    line.cut();
    browser.says("now: the database is back").await;
    line.restore();
    browser.says("now: the gateway stops").await;
    services.gateway.signal(Signal::TERM);
    services.gateway.ended().await;
    browser.says("now: the gateway starts").await;
    let mut settings = common.to_vec();
    settings.extend([
        ("MODASH_GATEWAY_LISTEN", services.gateway_url.replace("http://", "")),
        ("MODASH_GATEWAY_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ("MODASH_GATEWAY_ANALYTICS_URL", format!("http://{listen}")),
    ]);
    services.gateway = Process::start("modash-gateway", &settings, &[]);
    browser.succeeds_within(3 * PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_what_is_away_and_finds_its_way_back() {
    outlast("rpc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_over_grpc_web_does_the_same() {
    outlast("grpc-web").await;
}
