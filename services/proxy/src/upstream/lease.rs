//! Connections as the relay uses them: streams of bytes of HTTP/1.1, each for one
//! exchange at a time. Idle ones are kept, the newest is used first, so that those not
//! needed grow old and are closed. A request over HTTP/2 has the same form.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use http::HeaderMap;
use tokio::{
    io::{AsyncRead as _, ReadBuf},
    sync::Semaphore,
};

use super::{
    ConnectError, Pool,
    habits::{After, Habits},
    http2,
    pool::{Kept, Permit},
    sent::{Ended, Sent},
    socket::{Link, Pending},
};
use crate::stream::Duplex;

/// Idle connections that are kept.
const MAX_IDLE: usize = 512;

/// A connection, or a share of one, that one exchange uses; `give_back` makes it idle
/// again.
pub(crate) struct Lease {
    carrier: Carrier,
    /// It served a request before.
    pub(crate) reused: bool,
    /// The last answer before, and how long it was idle since then.
    before: Option<(After, Duration)>,
    /// What was written of the request.
    sent: Sent,
    permit: Permit,
    pool: Arc<Pool>,
}

/// What carries the bytes.
enum Carrier {
    Http1(Connection),
    Http2(Box<http2::Stream>),
}

/// A connection of HTTP/1.1.
struct Connection {
    stream: Link,
    watch: Arc<Watch>,
    opened: Instant,
}

/// A connection without a request.
pub(super) struct Idle {
    connection: Connection,
    since: Instant,
    /// What its last answer was.
    after: After,
    /// Its rest has been counted.
    outlived: bool,
}

impl Pool {
    /// A connection that is open and free, without waiting.
    pub(crate) fn lease_idle(self: &Arc<Self>, http2: bool) -> Option<Lease> {
        if http2 {
            return self.share_open();
        }
        let permit = match self.permits.clone().map(Semaphore::try_acquire_owned) {
            None => None,
            Some(permit) => Some(permit.ok()?),
        };
        self.idle_lease(permit).ok()
    }

    /// A connection: one that is open and free if `fresh` is not set, else a new one, or
    /// a share of one of HTTP/2. Waits for a while if there are as many as allowed.
    pub(crate) async fn lease(
        self: Arc<Self>,
        http2: bool,
        fresh: bool,
    ) -> Result<Lease, ConnectError> {
        if http2 && let Some(lease) = self.share().await? {
            return Ok(lease);
        }
        let mut permit = self.permit().await?;
        if !fresh {
            match self.idle_lease(permit) {
                Ok(lease) => return Ok(lease),
                Err(unused) => permit = unused,
            }
        }
        let stream = self.open(false).await?;
        Ok(self.lease_of(stream, permit))
    }

    /// For a connection that was just opened.
    pub(super) fn lease_of(self: &Arc<Self>, stream: Link, permit: Permit) -> Lease {
        let watch = Arc::new(Watch::new());
        let carrier = Carrier::Http1(Connection { stream, watch, opened: Instant::now() });
        self.lend(carrier, false, None, permit)
    }

    /// For a share of a connection of HTTP/2.
    pub(super) fn lease_share(self: &Arc<Self>, share: http2::Lease, reused: bool) -> Lease {
        let stream = Box::new(http2::Stream::new(share, self.base()));
        self.lend(Carrier::Http2(stream), reused, None, None)
    }

    fn lend(
        self: &Arc<Self>,
        carrier: Carrier,
        reused: bool,
        before: Option<(After, Duration)>,
        permit: Permit,
    ) -> Lease {
        Lease { carrier, reused, before, sent: Sent::default(), permit, pool: self.clone() }
    }

    /// The newest idle connection that can take a request.
    fn idle_lease(self: &Arc<Self>, permit: Permit) -> Result<Lease, Permit> {
        let now = Instant::now();
        let mut kept = self.kept();
        let Kept { idle, habits } = &mut *kept;
        for place in (0..idle.len()).rev() {
            let candidate = &mut idle[place];
            if !self.keeps(candidate, habits, now) {
                idle.remove(place);
                continue;
            }
            let unused = now.saturating_duration_since(candidate.since);
            if !habits.allow(candidate.after, unused) {
                continue;
            }
            // The event loop may not have seen its end yet.
            if candidate.connection.stream.socket().pending() != Pending::Nothing
                && !candidate.connection.rest()
            {
                habits.closed(candidate.after, unused);
                idle.remove(place);
                continue;
            }
            let Idle { connection, after, .. } = idle.remove(place);
            let carrier = Carrier::Http1(connection);
            return Ok(self.lend(carrier, true, Some((after, unused)), permit));
        }
        if self.permits.is_some() && !idle.is_empty() {
            // Makes room under the limit for the one that is opened now.
            idle.remove(0);
        }
        Err(permit)
    }

    /// Whether an idle connection is kept. Learns from what happened to it.
    fn keeps(&self, idle: &mut Idle, habits: &mut Habits, now: Instant) -> bool {
        if let Some(woken) = idle.connection.watch.woken()
            && !idle.connection.rest()
        {
            habits.closed(idle.after, woken.saturating_duration_since(idle.since));
            return false;
        }
        let unused = now.saturating_duration_since(idle.since);
        if !idle.outlived && habits.open(idle.after, unused) {
            idle.outlived = true;
        }
        let pool = &self.config().pool;
        let age = now.saturating_duration_since(idle.connection.opened);
        unused < pool.keep_idle && age < pool.max_age
    }

    /// Closes idle connections that were unused for too long, are too old, or that the
    /// upstream closed.
    pub(super) fn close_old_idle(&self) {
        let now = Instant::now();
        let mut kept = self.kept();
        let Kept { idle, habits } = &mut *kept;
        idle.retain_mut(|idle| self.keeps(idle, habits, now));
    }
}

impl Connection {
    /// Whether nothing is to be read: neither the upstream's end nor what nobody asked
    /// for. What happens from now on is noted.
    fn rest(&mut self) -> bool {
        self.watch.reset();
        let watch = Waker::from(self.watch.clone());
        let mut space = [0; 1];
        let mut context = Context::from_waker(&watch);
        let stream = Pin::new(&mut self.stream);
        stream.poll_read(&mut context, &mut ReadBuf::new(&mut space)).is_pending()
    }
}

impl Lease {
    /// Its bytes.
    pub(crate) fn stream(&mut self) -> &mut dyn Duplex {
        self.parts().0
    }

    /// Its bytes, and where those of the request are noted.
    pub(crate) fn parts(&mut self) -> (&mut dyn Duplex, &mut Sent) {
        let stream: &mut dyn Duplex = match &mut self.carrier {
            Carrier::Http1(connection) => &mut connection.stream,
            Carrier::Http2(stream) => stream,
        };
        (stream, &mut self.sent)
    }

    /// Whether it is a share of a connection of HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.carrier, Carrier::Http2(_))
    }

    /// Ends a request with what its bytes do not say: the trailers of a body with a
    /// length, which only HTTP/2 has.
    pub(crate) fn poll_finish(
        &mut self,
        trailers: Option<&HeaderMap>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Http1(_) => Poll::Ready(Ok(())),
            Carrier::Http2(stream) => stream.poll_finish(trailers, context),
        }
    }

    /// The same of the response.
    pub(crate) fn poll_trailers(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<HeaderMap>>> {
        match &mut self.carrier {
            Carrier::Http1(_) => Poll::Ready(Ok(None)),
            Carrier::Http2(stream) => stream.poll_trailers(context),
        }
    }

    /// A request begins on it; `of_http2`: it ends with `poll_finish`.
    pub(crate) fn begin(&mut self, of_http2: bool) {
        let written = match &mut self.carrier {
            Carrier::Http1(connection) => connection.stream.socket().written(),
            Carrier::Http2(stream) => {
                if of_http2 {
                    stream.expect_finish();
                }
                0
            }
        };
        self.sent.begin(self.reused, written);
    }

    /// Bytes of the answer came.
    pub(crate) fn answered(&mut self) {
        self.sent.forget();
    }

    /// It ended without a byte of an answer; `in_order`: not by an error. Gives what was
    /// written of the request if none of it can have arrived.
    pub(crate) fn unsent(&mut self, in_order: bool) -> Option<Vec<u8>> {
        if let Some((after, idle)) = self.before {
            self.pool.kept().habits.closed(after, idle);
        }
        let unsent = match &self.carrier {
            Carrier::Http2(stream) => stream.unsent() && self.sent.is_whole(),
            Carrier::Http1(connection) => {
                let socket = connection.stream.socket();
                self.sent.may_go_again(Ended {
                    in_order: in_order || socket.ended(),
                    written: socket.written(),
                    unacknowledged: socket.unacknowledged(),
                })
            }
        };
        unsent.then(|| self.sent.bytes().to_vec())
    }

    /// The answer said `Keep-Alive: timeout=` with this number.
    pub(crate) fn announced(&self, seconds: u64) {
        self.pool.kept().habits.announced(Duration::from_secs(seconds));
    }

    /// Makes the connection idle; only after both bodies ended. `stream`: the length of
    /// the answer was not known when it began.
    pub(crate) fn give_back(self, stream: bool) {
        let Carrier::Http1(mut connection) = self.carrier else { return };
        let after = if stream { After::Stream } else { After::Document };
        let open = connection.rest();
        let mut kept = self.pool.kept();
        if !open {
            kept.habits.closed(after, Duration::ZERO);
        } else if kept.idle.len() < MAX_IDLE {
            let since = Instant::now();
            kept.idle.push(Idle { connection, since, after, outlived: false });
        }
        drop(kept);
        // After the connection: what waited for it finds it.
        drop(self.permit);
    }
}

/// Notes when something first happens on an idle connection.
struct Watch {
    begun: Instant,
    /// Microseconds since then, at least 1; 0: nothing has happened.
    woken: AtomicU64,
}

impl Watch {
    fn new() -> Self {
        Self { begun: Instant::now(), woken: AtomicU64::new(0) }
    }

    /// Nothing has happened so far.
    fn reset(&self) {
        self.woken.store(0, Relaxed);
    }

    /// When it happened, if it did.
    fn woken(&self) -> Option<Instant> {
        match self.woken.load(Relaxed) {
            0 => None,
            micros => Some(self.begun + Duration::from_micros(micros)),
        }
    }
}

impl Wake for Watch {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let micros = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
        let _ = self.woken.compare_exchange(0, micros, Relaxed, Relaxed);
    }
}
