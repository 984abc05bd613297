//! Drives one HTTP/2 connection of a client: ends it when it is idle for too long, and
//! in order when the proxy stops.

use std::{pin::pin, sync::Arc, task::Poll, time::Duration};

use hyper_util::server::graceful::GracefulConnection;
use tokio::time::{Instant, sleep_until};

use super::client::Client;

/// What a stop leaves a connection without a request, so that one that has
/// arrived already is read.
const LAST_CHANCE: Duration = Duration::from_millis(20);

/// The same for a connection that never had one: its first may be on its way.
const FIRST_CHANCE: Duration = Duration::from_secs(1);

/// How long a client that makes room for others may take to confirm its end.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the head of a request, and for the first bytes of a connection.
    pub(super) head: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
}

impl Patience {
    /// What is left of the idle time of a connection that has been without a request for
    /// this long; `None`: it is over.
    fn left(self, active: bool, waited: Duration) -> Option<Duration> {
        let waited = if active { Duration::ZERO } else { waited };
        self.idle.checked_sub(waited).filter(|left| !left.is_zero())
    }
}

/// Runs the connection to its end.
pub(super) async fn drive<C: GracefulConnection>(
    connection: C,
    client: Arc<Client>,
    patience: Patience,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    let activity = client.activity.clone();
    let mut closing = pin!(activity.closing.cancelled());
    let mut stage = Stage::Open;
    let mut look = pin!(sleep_until(Instant::now() + patience.idle));
    std::future::poll_fn(|context| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            let next = match stage {
                Stage::Open if closing.as_mut().poll(context).is_ready() => {
                    let first = client.requests() == 0 && !activity.is_evicted();
                    let last = if first { patience.head.min(FIRST_CHANCE) } else { LAST_CHANCE };
                    stage = Stage::LastRequest { before: client.requests() };
                    Some(last)
                }
                Stage::Open => {
                    if look.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    match patience.left(client.is_active(), client.waited()) {
                        Some(left) => Some(left),
                        None => {
                            connection.as_mut().graceful_shutdown();
                            stage = Stage::Ending;
                            Some(patience.head)
                        }
                    }
                }
                Stage::LastRequest { before } => {
                    let came = client.is_active() || client.requests() > before;
                    if !came && look.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    connection.as_mut().graceful_shutdown();
                    stage = Stage::Ending;
                    Some(if activity.is_evicted() { GOODBYE } else { patience.head })
                }
                Stage::Ending => {
                    if look.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    if !client.is_active() {
                        // Over HTTP/2 it waits for the client's word.
                        return Poll::Ready(Ok(()));
                    }
                    Some(patience.head)
                }
            };
            if let Some(next) = next {
                look.as_mut().reset(Instant::now() + next);
            }
        }
    })
    .await
}

/// How far a connection is.
#[derive(Clone, Copy)]
enum Stage {
    Open,
    /// The proxy stops: it ends with the request that runs or has arrived.
    LastRequest {
        before: u64,
    },
    /// It takes no more requests.
    Ending,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection is looked at again after what `left` says, and not before.
    #[test]
    fn a_wait_ends_when_its_time_is_over_and_not_later() {
        let seconds = Duration::from_secs;
        let patience = Patience { head: seconds(30), idle: seconds(90) };
        // The wait begins at any moment between two looks.
        for looked_before in [0, 1, 7, 89] {
            let mut waited = seconds(90 - looked_before);
            while let Some(left) = patience.left(false, waited) {
                waited += left;
            }
            assert_eq!(waited, seconds(90), "{looked_before}");
        }
        assert_eq!(patience.left(true, seconds(1000)), Some(seconds(90)));
    }
}
