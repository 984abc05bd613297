//! What the parts of one client connection share: the socket, the requests on it
//! and the task that drives it. All of them run on one core; the atomics are for
//! the compiler, and nothing here is a read-modify-write.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::{core::Core, forward::ResponseBody};

/// One connection of a client.
pub(crate) struct Client {
    /// The core that serves it.
    pub(crate) core: Arc<Core>,
    /// Where it is, as far as modash or a load balancer that it trusts can tell.
    pub(crate) address: IpAddr,
    /// Whether it speaks TLS with modash.
    pub(crate) secure: bool,
    /// It is one too many: all that it gets is 503.
    pub(super) surplus: bool,
    /// Requests whose response is not handed over yet.
    active: AtomicUsize,
    /// Requests so far.
    requests: AtomicU64,
    /// Bytes of a head came that is not complete.
    in_head: AtomicBool,
    http2: AtomicBool,
    /// It may read no further: it took too long for a head.
    overdue: AtomicBool,
    /// It has left HTTP: an upstream answered 101.
    left_http: AtomicBool,
    opened: Instant,
    /// Since when it waits: for a head to begin, or for its end. Microseconds since
    /// `opened`.
    waiting_since: AtomicU64,
}

impl Client {
    pub(super) fn new(core: Arc<Core>, address: IpAddr, secure: bool, surplus: bool) -> Self {
        Self {
            core,
            address,
            secure,
            surplus,
            active: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            in_head: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            overdue: AtomicBool::new(false),
            left_http: AtomicBool::new(false),
            opened: Instant::now(),
            waiting_since: AtomicU64::new(0),
        }
    }

    /// A request came; it lasts until what this gives is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Active {
        self.in_head.store(false, Relaxed);
        self.requests.store(self.requests() + 1, Relaxed);
        self.active.store(self.active.load(Relaxed) + 1, Relaxed);
        Active(self.clone())
    }

    /// Whether a request is being answered. A connection that left HTTP always
    /// is.
    pub(super) fn is_active(&self) -> bool {
        self.active.load(Relaxed) > 0
    }

    /// Requests so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Whether a head has begun that is not complete. Over HTTP/2 that is not
    /// known.
    pub(super) fn is_in_head(&self) -> bool {
        self.in_head.load(Relaxed)
    }

    /// Bytes came while no request was active.
    pub(super) fn head_bytes(&self) {
        // The first head is part of the first wait.
        if !self.is_in_head() && self.requests() > 0 {
            self.note_waiting();
        }
        self.in_head.store(!self.is_http2(), Relaxed);
    }

    /// How long it has waited, with no request active.
    pub(super) fn waited(&self) -> Duration {
        let since = Duration::from_micros(self.waiting_since.load(Relaxed));
        self.opened.elapsed().saturating_sub(since)
    }

    fn note_waiting(&self) {
        let now = u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.waiting_since.store(now, Relaxed);
    }

    /// Whether it has left HTTP.
    pub(super) fn has_left_http(&self) -> bool {
        self.left_http.load(Relaxed)
    }

    pub(super) fn is_http2(&self) -> bool {
        self.http2.load(Relaxed)
    }

    pub(super) fn set_http2(&self) {
        self.http2.store(true, Relaxed);
        self.in_head.store(false, Relaxed);
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.overdue.load(Relaxed)
    }

    pub(super) fn set_overdue(&self) {
        self.overdue.store(true, Relaxed);
    }
}

/// A request that is being answered.
pub(super) struct Active(Arc<Client>);

impl Active {
    /// The connection leaves HTTP: it stays active.
    pub(super) fn forever(&self) {
        self.0.left_http.store(true, Relaxed);
        self.0.active.store(self.0.active.load(Relaxed) + 1, Relaxed);
    }
}

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
    body: ResponseBody,
    _active: Active,
}

impl ActiveBody {
    pub(super) fn new(body: ResponseBody, active: Active) -> Self {
        Self { body, _active: active }
    }
}

impl Body for ActiveBody {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

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
