//! The orderly stop: one request to stop, one grace period, and at its end the
//! names of what is still running.

use std::{future::Future, sync::Arc, sync::OnceLock, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Tells every part of a process when to stop, and by when. Clones share it.
#[derive(Debug, Clone)]
pub struct Shutdown {
    token: CancellationToken,
    grace: Duration,
    deadline: Arc<OnceLock<Instant>>,
}

impl Shutdown {
    /// A stop that was not asked for yet, with this much time to finish once it
    /// is.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self { token: CancellationToken::new(), grace, deadline: Arc::default() }
    }

    /// Asks all parts to stop. The grace period begins with the first call.
    pub fn request(&self) {
        self.deadline.get_or_init(|| Instant::now() + self.grace);
        self.token.cancel();
    }

    /// Waits until a stop was asked for.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The same as a token, for libraries that take one.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Time left of the grace period; all of it before a stop was asked for.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.deadline
            .get()
            .map_or(self.grace, |deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Runs the part `name` to its end, which once a stop was asked for has to
    /// come within the grace period. `None`, and a warning with the name, if it
    /// did not: the part was then dropped.
    pub async fn finish<F: Future>(&self, name: &str, part: F) -> Option<F::Output> {
        self.finish_within(1.0, name, part).await
    }

    /// The same with only a share of the grace period, from 0 to 1, from now on:
    /// parts that stop one after the other leave time for each other.
    pub async fn finish_within<F: Future>(
        &self,
        share: f64,
        name: &str,
        part: F,
    ) -> Option<F::Output> {
        let overdue = async {
            self.token.cancelled().await;
            let time = self.time_left().min(self.grace.mul_f64(share));
            tokio::time::sleep(time).await;
            time
        };
        tokio::select! {
            output = part => Some(output),
            time = overdue => {
                tracing::warn!(part = name, seconds = time.as_secs_f64(),
                    grace_seconds = self.grace.as_secs_f64(),
                    "did not stop within its part of the grace period");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_that_never_ends_is_dropped_at_the_end_of_the_grace_period() {
        let shutdown = Shutdown::new(Duration::from_secs(10));
        let start = Instant::now();
        shutdown.request();
        let output = shutdown.finish("stuck", std::future::pending::<()>()).await;
        assert_eq!(output, None);
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_never_ends_leaves_time_for_the_next_one() {
        let shutdown = Shutdown::new(Duration::from_secs(10));
        let start = Instant::now();
        shutdown.request();
        shutdown.finish_within(0.4, "stuck", std::future::pending::<()>()).await;
        assert_eq!((start.elapsed().as_secs(), shutdown.time_left().as_secs()), (4, 6));
        shutdown.finish_within(0.8, "stuck too", std::future::pending::<()>()).await;
        assert_eq!(start.elapsed().as_secs(), 10, "the grace period is the end of all");
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_request_does_not_extend_the_grace_period() {
        let shutdown = Shutdown::new(Duration::from_secs(10));
        shutdown.request();
        tokio::time::advance(Duration::from_secs(6)).await;
        shutdown.request();
        assert_eq!(shutdown.time_left(), Duration::from_secs(4));
    }

    #[tokio::test]
    async fn a_part_that_ends_gives_its_output() {
        let shutdown = Shutdown::new(Duration::from_secs(10));
        assert_eq!(shutdown.finish("quick", async { 7 }).await, Some(7));
        assert!(!shutdown.is_requested());
    }
}
