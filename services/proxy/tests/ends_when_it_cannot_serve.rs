//! A proxy that has lost a thread ends with an error, instead of going on with
//! connections that nobody serves or events that nobody keeps.

// Tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use modash_proxy::break_thread;
use modash_test_support::FakeUpstream;
use support::{PATIENCE, TestProxy};

#[tokio::test]
async fn the_death_of_a_thread_ends_the_process_and_is_said() {
    let upstream = FakeUpstream::start().await;
    for thread in ["modash-core-1", "modash-spool"] {
        break_thread(Some(thread));
        let proxy = TestProxy::start(&upstream).await;
        let ended = tokio::time::timeout(PATIENCE, proxy.running).await;
        break_thread(None);
        let error = ended.unwrap_or_else(|_| panic!("it runs on without {thread}"));
        let error = error.unwrap().expect_err("a dead thread is no success").to_string();
        assert!(error.contains(thread), "{error}");
    }
}
