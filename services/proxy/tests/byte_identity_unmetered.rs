//! With metering broken on purpose every byte passes as before. A test of its
//! own program, because the fault is one for the whole process.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]
#![cfg(debug_assertions)]

mod support;

use std::panic;

use modash_test_support::raw::{Coding, seeded_random};
use support::identity::{comparison, equal, every_recording, random_exchange};

#[tokio::test]
async fn a_defect_in_metering_changes_no_byte() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let on_purpose = panic.payload_as_str() == Some("metering is broken on purpose");
        if !on_purpose {
            tell(panic);
        }
    }));
    let mut random = seeded_random();
    let (mut comparison, proxy) = comparison().await;
    let mut exchanges = 0;
    for nth in [1, 7] {
        modash_proxy::break_metering_every(nth);
        let codings = [Coding::Identity, Coding::Gzip];
        exchanges += every_recording(&mut comparison, &codings, &mut random).await;
        for number in 0..50 {
            equal(&mut comparison, &random_exchange(number, &mut random)).await;
            exchanges += 1;
        }
    }
    modash_proxy::break_metering_every(0);
    let failures = proxy.counter("metering_failures").await;
    println!("metering failed in {failures} of {exchanges} exchanges");
    assert!(failures as usize > exchanges / 2, "{failures} of {exchanges}");
    // And each of them is recorded, though without a reading.
    proxy.analytics.events(exchanges).await;
}
