//! Patience for what happens soon, but not at once.

use std::{
    fmt::Debug,
    panic::Location,
    time::{Duration, Instant},
};

/// Most time of one try. A client of HTTP can wait for ever once in some ten thousand
/// requests that a server refuses while they are sent: the next try is answered.
const ONE_TRY: Duration = Duration::from_secs(20);

/// What a try can answer: a `bool`, an `Option` or a `Result`.
pub trait Verdict {
    /// What success carries.
    type Success;

    /// The success, or why it is not there yet.
    ///
    /// # Errors
    /// In words for the failed test's message.
    fn verdict(self) -> Result<Self::Success, String>;
}

impl Verdict for bool {
    type Success = ();

    fn verdict(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("false".to_owned()) }
    }
}

impl<T> Verdict for Option<T> {
    type Success = T;

    fn verdict(self) -> Result<T, String> {
        self.ok_or_else(|| "None".to_owned())
    }
}

impl<T, E: Debug> Verdict for Result<T, E> {
    type Success = T;

    fn verdict(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:?}"))
    }
}

/// Tries until it succeeds and returns what it found:
/// `eventually(seconds, || async { store.count().await == 3 }).await`. A try that
/// takes longer than 20 seconds counts as a failure and is dropped.
///
/// # Panics
/// After `timeout`, with the place of the call and the last try's failure.
#[track_caller]
pub fn eventually<F, V>(
    timeout: Duration,
    mut attempt: impl FnMut() -> F,
) -> impl Future<Output = V::Success>
where
    F: Future<Output = V>,
    V: Verdict,
{
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + timeout;
        let mut last = String::new();
        let mut wait = Duration::from_millis(1);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left.min(ONE_TRY), attempt()).await.map(Verdict::verdict) {
                Ok(Ok(success)) => return success,
                Ok(Err(failure)) => last = failure,
                Err(_) => last = format!("had not ended; the one before: {last}"),
            }
            assert!(
                Instant::now() + wait < deadline,
                "not so after {timeout:?} ({caller}); the last try: {last}"
            );
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_millis(50));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_late_success_is_returned() {
        let mut tries = 0;
        let found = eventually(Duration::from_secs(10), || {
            tries += 1;
            let found = (tries == 3).then_some("here");
            async move { found }
        });
        assert_eq!(found.await, "here");
    }

    #[tokio::test]
    #[should_panic(expected = "the last try: \"2 of 3\"")]
    async fn the_last_failure_is_told() {
        let attempt = || async { Err::<(), _>("2 of 3") };
        eventually(Duration::from_millis(20), attempt).await;
    }

    #[tokio::test]
    #[should_panic(expected = "the last try: had not ended")]
    async fn a_try_that_hangs_is_a_failure() {
        eventually(Duration::from_millis(20), std::future::pending::<bool>).await;
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_try_that_hangs_comes_another() {
        let mut tries = 0;
        let attempt = || {
            tries += 1;
            let hangs = tries == 1;
            async move { if hangs { std::future::pending().await } else { Some(tries) } }
        };
        assert_eq!(eventually(2 * ONE_TRY, attempt).await, 2);
    }
}
