//! A rolling restart of everything under load: three proxies, each replaced by
//! one that takes over its port, and two replicas of analytics.

use std::{net::SocketAddr, time::Duration};

use modash_integration::{PATIENCE, Process, Signal};
use modash_test_support::eventually;

use crate::{
    account::settle,
    clients::{Clients, Target},
    disk::with_own_mounts,
    system::{Service, System, address},
};

/// Clients of each proxy.
const CLIENTS: u64 = 4;

/// A proxy at an address that its successors take over.
struct Replica {
    address: SocketAddr,
    name: String,
    process: Process,
}

impl Replica {
    async fn start(system: &System, number: usize, analytics: &str) -> Self {
        let (address, name) = (address(), format!("replica-{number}"));
        let process = process(system, address, &name, analytics).await;
        Self { address, name, process }
    }

    /// Starts the next one beside this one, and lets this one leave.
    async fn replace(&mut self, system: &System, analytics: &str) {
        let next = process(system, self.address, &self.name, analytics).await;
        let mut last = std::mem::replace(&mut self.process, next);
        last.signal(Signal::TERM);
        let status = last.ended().await;
        assert!(status.success(), "{status}: {}", last.output());
    }
}

/// A proxy that listens.
async fn process(system: &System, address: SocketAddr, name: &str, analytics: &str) -> Process {
    let settings = [
        ("PORT", address.port().to_string()),
        ("MODASH_PROXY_SHARE_PORT", "true".to_owned()),
        ("MODASH_PROXY_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ("MODASH_PROXY_REPLICA_ID", name.to_owned()),
        ("MODASH_PROXY_SPOOL_DIRECTORY", system.spool.path().display().to_string()),
        ("MODASH_PROXY_ANALYTICS_URL", analytics.to_owned()),
        ("UPSTREAM_URL", system.direct().url),
    ];
    let process = Process::start("modash-proxy", &settings, &[]);
    process.address("proxy").await;
    process
}

#[cfg(target_os = "linux")]
#[test]
fn a_rolling_restart_of_everything_loses_nothing_and_fails_no_request() {
    with_own_mounts(async {
        let mut system = System::start(&[]).await;
        let second = address();
        let mut analytics = Service::start(
            "modash-analytics",
            "analytics",
            vec![
                ("MODASH_ANALYTICS_LISTEN", second.to_string()),
                ("MODASH_ANALYTICS_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
                ("DATABASE_URL", system.database.url().to_owned()),
            ],
        )
        .await;
        // Of each replica some proxies' first choice.
        let both = [
            format!("http://{},http://{second}", system.analytics_address),
            format!("http://{second},http://{}", system.analytics_address),
        ];
        let mut proxies = Vec::new();
        for number in 0..3 {
            proxies.push(Replica::start(&system, number, &both[number % 2]).await);
        }
        let clients: Vec<_> = proxies
            .iter()
            .zip(0..)
            .map(|(proxy, seed)| {
                let url = format!("http://{}", proxy.address);
                // Each request by a connection of its own: one that is idle when a
                // proxy stops is closed, which a client cannot tell from its death.
                let target = Target { url, reconnects: true, ..system.proxied() };
                Clients::start(&target, CLIENTS, seed)
            })
            .collect();
        let more = async |clients: &[Clients]| {
            for clients in clients {
                let done = clients.done();
                eventually(PATIENCE, || async { clients.done() > done + 30 }).await;
            }
        };
        more(&clients).await;
        for (number, proxy) in proxies.iter_mut().enumerate() {
            proxy.replace(&system, &both[number % 2]).await;
            more(&clients).await;
            let replica = if number == 1 { &mut analytics } else { &mut system.analytics };
            replica.end(Signal::TERM).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            replica.start_again().await;
            more(&clients).await;
        }
        let mut asked = Vec::new();
        for clients in clients {
            asked.append(&mut clients.finish().await);
        }
        let account = settle(&system, &asked).await.unwrap();
        assert_eq!(
            (account.killed, account.interrupted, account.dropped),
            (0, 0, 0),
            "{account:?}"
        );
        assert_eq!((account.completed, account.rows), (asked.len(), asked.len()));
        println!("{account:?}");
    });
}
