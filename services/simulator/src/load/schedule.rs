//! When requests are sent, and from when their latency counts.
//!
//! In an open loop a request has a time at which it is due. If every connection
//! is still waiting for the server then, the request is sent late, and its
//! latency counts from when it was due: else a server that stalls would hide
//! the requests that it kept from being sent ("coordinated omission"). If a
//! connection was free, it counts from the sending, so that the slack of our own
//! timer is not taken for the server's.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::meters::{Exchange, Failure, Meters, Progress};

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arrival {
    /// Closed loop: each connection sends as soon as it has its answer.
    Closed,
    /// Open loop: this many requests are due per second.
    Open {
        /// Requests per second over all connections.
        per_second: f64,
    },
}

impl Arrival {
    /// Whether the rate is one.
    pub(super) fn is_possible(self) -> bool {
        match self {
            Self::Closed => true,
            Self::Open { per_second } => per_second.is_finite() && per_second > 0.0,
        }
    }
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) duration: Duration,
    pub(super) requests: Option<u64>,
}

/// Something that sends one request at a time.
pub(super) trait Client {
    /// Sends the request and reads the whole answer.
    fn exchange(&mut self) -> impl Future<Output = Result<Exchange, Failure>> + Send;
}

/// Hands the requests out to the connections.
#[derive(Debug)]
pub(super) struct Schedule {
    arrival: Arrival,
    limit: Limit,
    start: Instant,
    next: AtomicU64,
}

impl Schedule {
    pub(super) fn new(arrival: Arrival, limit: Limit) -> Self {
        Self { arrival, limit, start: Instant::now(), next: AtomicU64::new(0) }
    }

    /// Sends requests one after the other until the schedule ends.
    pub(super) async fn work(&self, client: &mut impl Client, progress: &Progress) -> Meters {
        let mut meters = Meters::default();
        while let Some(due) = self.next().await {
            let sent = Instant::now();
            let result = client.exchange().await;
            let done = Instant::now();
            progress.count(result.is_ok());
            meters.record(done - due, done - sent, result);
        }
        meters
    }

    /// Waits for the next request; the time from which its latency counts.
    async fn next(&self) -> Option<Instant> {
        let number = self.next.fetch_add(1, Relaxed);
        if self.limit.requests.is_some_and(|requests| number >= requests) {
            return None;
        }
        let now = Instant::now();
        let Arrival::Open { per_second } = self.arrival else {
            return (now - self.start < self.limit.duration).then_some(now);
        };
        let after = Duration::from_secs_f64(number as f64 / per_second);
        if after >= self.limit.duration {
            return None;
        }
        let due = self.start + after;
        if due <= now {
            return Some(due);
        }
        sleep_until(due).await;
        Some(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::{task::JoinSet, time::sleep};

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn open(per_second: f64, seconds: u64) -> Schedule {
        let limit = Limit { duration: Duration::from_secs(seconds), requests: None };
        Schedule::new(Arrival::Open { per_second }, limit)
    }

    /// A server that answers in this time, but stalls for 2 s in request 101.
    struct Server {
        answers_in: Duration,
        stalls: bool,
        requests: u64,
    }

    impl Client for Server {
        async fn exchange(&mut self) -> Result<Exchange, Failure> {
            self.requests += 1;
            let stalls = self.stalls && self.requests == 101;
            sleep(if stalls { 2_000 * MILLISECOND } else { self.answers_in }).await;
            Ok(Exchange::default())
        }
    }

    async fn with_one_stall(schedule: &Schedule) -> Meters {
        let mut server = Server { answers_in: MILLISECOND, stalls: true, requests: 0 };
        schedule.work(&mut server, &Progress::default()).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_counts_for_every_request_that_was_due_in_it() {
        // 100 per second for 10 s; request 100 stalls for 2 s, so the 200 that
        // are due meanwhile wait 1.99 s, 1.98 s, ... and are then worked off.
        let meters = with_one_stall(&open(100.0, 10)).await;
        assert_eq!(meters.answered(), 1_000);
        let corrected = |share: f64| meters.latency.quantile_ms(share).unwrap();
        // Late ones: 200 of the stall and those that come while it is worked off,
        // 1 ms each every 10 ms: 222, evenly spread from 2 s down to nothing.
        assert!(corrected(0.70) < 1.5, "{}", corrected(0.70));
        let tenth = corrected(0.90);
        assert!((1_000.0..1_200.0).contains(&tenth), "{tenth}");
        assert!(corrected(0.99) > 1_850.0, "{}", corrected(0.99));
        // Uncorrected, one request of a thousand was slow.
        let naive = meters.service.quantile_ms(0.99).unwrap();
        assert!(naive < 1.5, "{naive}");
        assert_eq!(meters.service.max_ms(), 2_000.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_loop_does_not_see_the_requests_that_a_stall_held_back() {
        let limit = Limit { duration: Duration::from_secs(10), requests: Some(1_000) };
        let meters = with_one_stall(&Schedule::new(Arrival::Closed, limit)).await;
        assert_eq!(meters.answered(), 1_000);
        assert!(meters.latency.quantile_ms(0.99).unwrap() < 1.5);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_loop_sends_all_that_is_due_over_all_connections() {
        let schedule = Arc::new(open(50.0, 4));
        let mut workers = JoinSet::new();
        for _ in 0..8 {
            let schedule = schedule.clone();
            workers.spawn(async move {
                let mut server =
                    Server { answers_in: 100 * MILLISECOND, stalls: false, requests: 0 };
                schedule.work(&mut server, &Progress::default()).await
            });
        }
        let mut all = Meters::default();
        while let Some(meters) = workers.join_next().await {
            all.merge(&meters.unwrap());
        }
        assert_eq!(all.answered(), 200);
        // 8 connections are enough for 5 requests at a time: none is late.
        assert!(all.latency.max_ms() < 101.0, "{}", all.latency.max_ms());
    }
}
