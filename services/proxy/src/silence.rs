//! How long an upstream has been silent. Only the time counts in which modash
//! waited for it: a slow client is not the upstream's fault.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// How often it is looked whether a question is complete: a limit lasts at most that
/// much longer.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Measures one wait after the other.
pub(crate) struct Silence {
    limit: Duration,
    end: Pin<Box<Sleep>>,
    waiting: bool,
}

/// It lasted too long.
#[derive(Debug)]
pub(crate) struct TooLong;

impl Silence {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, end: Box::pin(tokio::time::sleep(limit)), waiting: false }
    }

    /// Something came.
    pub(crate) fn broken(&mut self) {
        self.waiting = false;
    }

    /// Nothing came. Ready when it was so for too long.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<TooLong> {
        if !self.waiting {
            self.waiting = true;
            self.end.as_mut().reset(Instant::now() + self.limit);
        }
        self.end.as_mut().poll(context).map(|()| TooLong)
    }
}

/// Waits for an answer, at most for the limit since `asked` said that the
/// question was complete.
pub(crate) async fn within<F: Future>(
    limit: Duration,
    asked: impl Fn() -> bool,
    answer: F,
) -> Result<F::Output, TooLong> {
    let mut answer = pin!(answer);
    // Nobody says when the question is complete, so it is looked at now and then.
    let mut silence = Silence::new(limit.min(LOOK_EVERY));
    let mut complete = false;
    poll_fn(|context| {
        if let Poll::Ready(answer) = answer.as_mut().poll(context) {
            return Poll::Ready(Ok(answer));
        }
        if !complete && asked() {
            complete = true;
            silence = Silence::new(limit);
        }
        loop {
            let too_long = ready!(silence.poll(context));
            if complete {
                return Poll::Ready(Err(too_long));
            }
            if asked() {
                complete = true;
                silence = Silence::new(limit);
            } else {
                silence.broken();
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use super::*;

    #[tokio::test]
    async fn the_time_counts_from_the_end_of_the_question() {
        tokio::time::pause();
        let limit = Duration::from_secs(10);
        let begun = Instant::now();
        let asked = || begun.elapsed() >= Duration::from_secs(25);
        assert!(within(limit, asked, pending::<()>()).await.is_err());
        // A timer of tokio may be some milliseconds late.
        assert_eq!(begun.elapsed().as_secs(), 35);
    }

    #[tokio::test]
    async fn an_answer_in_time_is_an_answer() {
        tokio::time::pause();
        let polled = Cell::new(0);
        let answer = async {
            polled.set(polled.get() + 1);
            tokio::time::sleep(Duration::from_secs(9)).await;
            7
        };
        let answer = within(Duration::from_secs(10), || true, answer).await;
        assert_eq!((answer.unwrap(), polled.get()), (7, 1));
    }
}
