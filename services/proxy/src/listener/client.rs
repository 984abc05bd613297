//! What the parts of one HTTP/2 connection of a client share: the requests on it and
//! the task that drives it. All of them run on one core; the atomics are for
//! the compiler, and nothing here is a read-modify-write.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::{activity::Activity, bridge::BridgedBody};

/// One connection of a client.
pub(super) struct Client {
    /// For those who look for room.
    pub(super) activity: Arc<Activity>,
    /// Requests whose response is not handed over yet.
    active: AtomicUsize,
    /// Requests so far.
    requests: AtomicU64,
    opened: Instant,
    /// Since when it has no request. Microseconds since `opened`.
    waiting_since: AtomicU64,
}

impl Client {
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        Self {
            activity,
            active: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            opened: Instant::now(),
            waiting_since: AtomicU64::new(0),
        }
    }

    /// A request came; it lasts until what this gives is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Active {
        self.requests.store(self.requests() + 1, Relaxed);
        self.active.store(self.active.load(Relaxed) + 1, Relaxed);
        self.activity.begins();
        Active(self.clone())
    }

    /// Whether a request is being answered.
    pub(super) fn is_active(&self) -> bool {
        self.active.load(Relaxed) > 0
    }

    /// Requests so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// How long it has waited, with no request active.
    pub(super) fn waited(&self) -> Duration {
        let since = Duration::from_micros(self.waiting_since.load(Relaxed));
        self.opened.elapsed().saturating_sub(since)
    }

    fn note_waiting(&self) {
        self.activity.waits();
        let now = u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.waiting_since.store(now, Relaxed);
    }
}

/// A request that is being answered.
pub(super) struct Active(Arc<Client>);

impl Drop for Active {
    fn drop(&mut self) {
        let left = self.0.active.load(Relaxed) - 1;
        self.0.active.store(left, Relaxed);
        if left == 0 {
            self.0.note_waiting();
        }
    }
}

/// The body of a response; its request is active as long as it lasts.
pub(super) struct ActiveBody {
    body: BridgedBody,
    _active: Active,
}

impl ActiveBody {
    pub(super) fn new(body: BridgedBody, active: Active) -> Self {
        Self { body, _active: active }
    }
}

impl Body for ActiveBody {
    type Data = Bytes;
    type Error = <BridgedBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
