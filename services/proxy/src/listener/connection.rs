//! Drives one client connection: gives up on clients that send nothing or too
//! slowly, and ends it in order when the proxy stops.

use std::{pin::pin, sync::Arc, task::Poll, time::Duration};

use hyper_util::server::graceful::GracefulConnection;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::client::Client;

/// What a stop leaves a connection without a request, so that one that has
/// arrived already is read.
const LAST_CHANCE: Duration = Duration::from_millis(20);

/// The same for a connection that never had one: its first may be on its way.
const FIRST_CHANCE: Duration = Duration::from_secs(1);

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the head of a request, and for the first bytes of a connection.
    pub(super) head: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
}

impl Patience {
    /// A wait that begins now ends no earlier than after this.
    fn shortest(self) -> Duration {
        self.head.min(self.idle)
    }

    /// What is left of the wait in which a connection is.
    ///
    /// # Errors
    /// What the client has not sent in time.
    fn left(self, waits: Waits, waited: Duration) -> Result<Duration, Overdue> {
        let (limit, overdue) = match waits {
            Waits::Upstream => return Ok(self.shortest()),
            Waits::Head => (self.head, Overdue::Head),
            Waits::Request => (self.idle, Overdue::Request),
        };
        match limit.checked_sub(waited) {
            // The client may begin another wait before this one is over.
            Some(left) if !left.is_zero() => Ok(left.min(self.shortest())),
            _ => Err(overdue),
        }
    }
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// A request is being answered.
    Upstream,
    /// The first bytes of the connection, or the rest of a head.
    Head,
    /// The next request.
    Request,
}

impl Waits {
    fn of(client: &Client) -> Self {
        let first = client.requests() == 0 && !client.is_http2();
        if client.is_active() {
            Self::Upstream
        } else if client.is_in_head() || first {
            Self::Head
        } else {
            Self::Request
        }
    }
}

/// Runs the connection to its end. `closing`: the proxy stops.
pub(super) async fn drive<C: GracefulConnection>(
    connection: C,
    client: Arc<Client>,
    patience: Patience,
    closing: CancellationToken,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    let mut closing = pin!(closing.cancelled());
    let mut stage = Stage::Open;
    let mut look = pin!(sleep_until(Instant::now() + patience.shortest()));
    std::future::poll_fn(|context| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            let next = match stage {
                Stage::Open if closing.as_mut().poll(context).is_ready() => {
                    let first = client.requests() == 0;
                    let last = if first { patience.head.min(FIRST_CHANCE) } else { LAST_CHANCE };
                    stage = Stage::LastRequest { before: client.requests() };
                    Some(last)
                }
                Stage::Open => {
                    if look.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    match patience.left(Waits::of(&client), client.waited()) {
                        Ok(left) => Some(left),
                        Err(Overdue::Head) if !client.is_http2() => {
                            client.set_overdue();
                            stage = Stage::Ending;
                            Some(patience.head)
                        }
                        Err(_) => {
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
                    Some(patience.head)
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

/// What a client has not sent in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overdue {
    /// The rest of a head.
    Head,
    /// A request.
    Request,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A connection is looked at again after what `left` says, and not before.
    #[test]
    fn a_wait_ends_when_its_time_is_over_and_not_later() {
        let patience = Patience { head: seconds(30), idle: seconds(90) };
        for (waits, limit, overdue) in
            [(Waits::Request, 90, Overdue::Request), (Waits::Head, 30, Overdue::Head)]
        {
            // The wait begins at any moment between two looks.
            for looked_before in [0, 1, 7, 29, 30] {
                let mut waited = seconds(30 - looked_before);
                let ended = loop {
                    match patience.left(waits, waited) {
                        Ok(left) => waited += left,
                        Err(overdue) => break overdue,
                    }
                };
                assert_eq!((waited, ended), (seconds(limit), overdue), "{waits:?} {looked_before}");
            }
        }
    }

    #[test]
    fn a_wait_that_begins_between_two_looks_is_not_missed() {
        let patience = Patience { head: seconds(5), idle: seconds(90) };
        assert_eq!(patience.left(Waits::Request, seconds(1)), Ok(seconds(5)));
        assert_eq!(patience.left(Waits::Upstream, seconds(100)), Ok(seconds(5)));
    }
}
