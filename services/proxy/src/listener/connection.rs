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

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the head of a request, and for the first bytes of a connection.
    pub(super) head: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
}

impl Patience {
    /// How often it is looked at. A wait is noticed at the next look, so it may
    /// last that much longer; in exchange requests read no clock.
    fn look_every(self) -> Duration {
        self.head.min(self.idle) / 4
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
    let mut wait = Wait::begin();
    let mut look = pin!(sleep_until(Instant::now() + patience.look_every()));
    std::future::poll_fn(|context| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            let next = match stage {
                Stage::Open if closing.as_mut().poll(context).is_ready() => {
                    let last = if client.requests() == 0 { patience.head } else { LAST_CHANCE };
                    stage = Stage::LastRequest { before: client.requests() };
                    Some(last)
                }
                Stage::Open => {
                    if look.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    match wait.look(&client, patience) {
                        None => Some(patience.look_every()),
                        Some(Overdue::Head) if !client.is_http2() => {
                            client.set_overdue();
                            stage = Stage::Ending;
                            Some(patience.head)
                        }
                        Some(_) => {
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

enum Overdue {
    Head,
    Request,
}

/// Since when a client is in the state in which it is.
struct Wait {
    since: Instant,
    state: (u64, bool),
}

impl Wait {
    fn begin() -> Self {
        Self { since: Instant::now(), state: (0, false) }
    }

    fn look(&mut self, client: &Client, patience: Patience) -> Option<Overdue> {
        let now = Instant::now();
        let state = (client.requests(), client.is_in_head());
        // The first head is part of the first wait.
        if client.is_active() || (state != self.state && state.0 > 0) {
            *self = Self { since: now, state };
            return None;
        }
        let first = client.requests() == 0;
        let (limit, overdue) = match client.is_in_head() || (first && !client.is_http2()) {
            true => (patience.head, Overdue::Head),
            false => (patience.idle, Overdue::Request),
        };
        (now - self.since >= limit).then_some(overdue)
    }
}
