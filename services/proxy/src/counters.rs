//! What a core counts. Other threads only read.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one core, on cache lines of their own.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    /// Connections accepted.
    pub(crate) connections: AtomicU64,
    /// Connections that were too many.
    pub(crate) connections_refused: AtomicU64,
    /// Connections that ended before HTTP: no TLS, or no PROXY header.
    pub(crate) handshake_failures: AtomicU64,
    /// Connections that the system did not hand over.
    pub(crate) accept_errors: AtomicU64,
    /// Metered requests whose head arrived.
    pub(crate) started: AtomicU64,
    /// Metered requests that ended.
    pub(crate) finished: AtomicU64,
    /// Finished requests whose events found no room.
    pub(crate) dropped: AtomicU64,
    /// Requests whose metering failed by a defect; they were forwarded all the
    /// same.
    pub(crate) metering_failures: AtomicU64,
    /// Requests that modash itself answered with an error.
    pub(crate) refused: AtomicU64,
    /// Connections to upstreams that were opened.
    pub(crate) upstream_connections: AtomicU64,
    /// Requests that waited because there were as many connections as allowed.
    pub(crate) upstream_waits: AtomicU64,
    /// Requests that waited in vain.
    pub(crate) upstream_busy: AtomicU64,
    /// Requests that were sent again because the first connection had ended.
    pub(crate) upstream_retries: AtomicU64,
}

impl Counters {
    /// Adds one. Mostly only one core writes, so that the cache line stays with it.
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
