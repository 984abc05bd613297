//! Analytics away for long: `MINUTES=10` is what `make test-outage` runs, at 500
//! requests a second. The proxy's memory stays flat, and afterwards everything
//! arrives within a minute while service goes on.

use std::time::{Duration, Instant};

use modash_integration::{PATIENCE, Signal};
use modash_test_support::eventually;

use crate::{
    account::{settle, slowest},
    clients::{Clients, Target},
    disk::with_own_mounts,
    setting,
    system::System,
};

/// Clients, each of which asks once in its turn: 500 requests a second in all.
const CLIENTS: u64 = 50;
const TURN: Duration = Duration::from_millis(100);

/// After that long the window in memory is full.
const WINDOW_FULL: Duration = Duration::from_secs(40);

/// Memory that may come after that, in MiB.
const FLAT: f64 = 8.0;

/// Longest time until everything has arrived.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn a_long_outage_of_analytics_costs_no_memory_and_everything_arrives_afterwards() {
    with_own_mounts(async {
        let minutes: f64 = setting("MINUTES").unwrap_or(0.2);
        let mut system = System::with_large_disks(&[]).await;
        let target = Target { turn: Some(TURN), streams: false, ..system.proxied() };
        let clients = Clients::start(&target, CLIENTS, 0);
        eventually(PATIENCE, || async { clients.done() > 500 }).await;

        system.analytics.end(Signal::KILL).await;
        let (begun, before) = (Instant::now(), clients.done());
        let length = Duration::from_secs_f64(minutes * 60.0);
        let (mut full, mut last) = (None, 0.0);
        while begun.elapsed() < length {
            tokio::time::sleep(length.saturating_sub(begun.elapsed()).min(Duration::from_secs(10)))
                .await;
            last = system.proxy.memory();
            let (seconds, requests) = (begun.elapsed().as_secs_f64(), clients.done() - before);
            println!(
                "{seconds:5.0} s away: {requests:7} requests, {:4.0} a second, proxy {last:5.1} MiB",
                requests as f64 / seconds
            );
            if begun.elapsed() >= WINDOW_FULL {
                full.get_or_insert(last);
            }
        }
        if let Some(full) = full {
            assert!(last - full < FLAT, "{full:.1} MiB grew to {last:.1} MiB");
        }

        let waiting = clients.done() as i64;
        let back = Instant::now();
        system.analytics.start_again().await;
        eventually(2 * ARRIVES_WITHIN, || async {
            let mut connection = system.database.connect().await?;
            let count = sqlx::query_scalar("SELECT count(*) FROM requests");
            let stored: i64 = count.fetch_one(&mut connection).await.map_err(|e| e.to_string())?;
            tokio::time::sleep(Duration::from_millis(200)).await;
            if stored >= waiting { Ok(()) } else { Err(format!("{stored} of {waiting}")) }
        })
        .await;
        let arrived = back.elapsed();
        println!(
            "{waiting} requests arrived within {:.1} s of the start of analytics, {:.0} a second, \
             while {} more were served; proxy {:.1} MiB",
            arrived.as_secs_f64(),
            waiting as f64 / arrived.as_secs_f64(),
            clients.done() as i64 - waiting,
            system.proxy.memory()
        );
        assert!(arrived < ARRIVES_WITHIN, "it took {arrived:?}");
        let asked = clients.finish().await;
        let account = settle(&system, &asked).await.unwrap();
        assert_eq!((account.rows, account.dropped), (asked.len(), 0));
        println!("slowest of {} answers: {:?}", asked.len(), slowest(&asked));
    });
}

#[test]
fn what_is_given_up_at_the_limit_is_counted_one_by_one() {
    with_own_mounts(async {
        // The least that may be set: some 4,000 events.
        let limit = [("MODASH_PROXY_SPOOL_BYTES", (1 << 20).to_string())];
        let mut system = System::start(&limit).await;
        system.analytics.end(Signal::KILL).await;
        let target =
            Target { turn: Some(Duration::from_millis(10)), streams: false, ..system.proxied() };
        let clients = Clients::start(&target, 16, 0);
        eventually(PATIENCE, || async { clients.done() > 7_000 }).await;
        system.analytics.start_again().await;
        let asked = clients.finish().await;
        // Each missing response is one that the proxy says it dropped.
        let account = settle(&system, &asked).await.unwrap();
        assert!(account.dropped > 0, "{account:?}");
        assert_eq!(account.rows as u64 + account.dropped, account.completed as u64);
    });
}
