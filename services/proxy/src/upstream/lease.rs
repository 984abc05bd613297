//! Connections that are used as streams of bytes: those of the relay. Idle ones are
//! kept apart from those that hyper speaks on; what is learned of the upstream's
//! closes is shared.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    time::Instant,
};

use tokio::{
    io::{AsyncRead as _, ReadBuf},
    sync::Semaphore,
    time::timeout,
};

use super::{
    ConnectError, HttpVersion, Pool,
    dial::Failures,
    habits::{After, Habits},
    pool::{Kept, MAX_IDLE, Permit},
    sent::{Ended, Sent},
    socket::{Link, Pending},
    wire::Watch,
};

/// A connection that one exchange uses; `give_back` makes it idle again.
pub(crate) struct Lease {
    /// The connection.
    pub(crate) stream: Link,
    /// It served a request before.
    pub(crate) reused: bool,
    /// The last answer before, and how long it was idle since then.
    before: Option<(After, std::time::Duration)>,
    /// What was written of the request.
    pub(crate) sent: Sent,
    watch: Arc<Watch>,
    opened: Instant,
    permit: Permit,
    pool: Arc<Pool>,
}

/// A connection without a request.
pub(super) struct IdleStream {
    stream: Link,
    watch: Arc<Watch>,
    opened: Instant,
    since: Instant,
    /// What its last answer was.
    after: After,
    /// Its rest has been counted.
    outlived: bool,
}

impl Pool {
    /// Whether a request of a client of HTTP/1.1 goes over HTTP/1.1; `upgrade`: it asks
    /// to leave HTTP, which HTTP/2 does not offer.
    pub(crate) fn relays(&self, upgrade: bool) -> bool {
        let offers = self.base().is_https() && self.config().http == HttpVersion::Http2;
        !self.base().is_http2_only() && (upgrade || !offers)
    }

    /// A connection that is idle, without waiting.
    pub(crate) fn lease_idle(self: &Arc<Self>) -> Option<Lease> {
        let permit = match self.permits.clone().map(Semaphore::try_acquire_owned) {
            None => None,
            Some(permit) => Some(permit.ok()?),
        };
        self.idle_lease(permit).ok()
    }

    /// A connection: an idle one if `fresh` is not set, else a new one. Waits for a
    /// while if there are as many as allowed.
    pub(crate) async fn lease(self: Arc<Self>, fresh: bool) -> Result<Lease, ConnectError> {
        let mut permit = self.permit().await?;
        if !fresh {
            match self.idle_lease(permit) {
                Ok(lease) => return Ok(lease),
                Err(unused) => permit = unused,
            }
        }
        let mut failures = Failures::default();
        let opened =
            timeout(self.config().connect_timeout, self.connect(false, &mut failures)).await;
        let stream = opened.unwrap_or_else(|_| Err(self.timed_out(failures)))?;
        Ok(Lease {
            stream,
            reused: false,
            before: None,
            sent: Sent::default(),
            watch: Arc::new(Watch::new()),
            opened: Instant::now(),
            permit,
            pool: self,
        })
    }

    /// The newest idle connection that can take a request.
    fn idle_lease(self: &Arc<Self>, permit: Permit) -> Result<Lease, Permit> {
        let now = Instant::now();
        let mut kept = self.kept();
        let Kept { streams, habits, .. } = &mut *kept;
        for place in (0..streams.len()).rev() {
            let candidate = &mut streams[place];
            if !self.keeps_stream(candidate, habits, now) {
                streams.remove(place);
                continue;
            }
            let unused = now.saturating_duration_since(candidate.since);
            if !habits.allow(candidate.after, unused) {
                continue;
            }
            // The event loop may not have seen its end yet.
            if candidate.stream.socket().pending() != Pending::Nothing && !candidate.rest() {
                habits.closed(candidate.after, unused);
                streams.remove(place);
                continue;
            }
            let IdleStream { stream, watch, opened, after, .. } = streams.remove(place);
            return Ok(Lease {
                stream,
                reused: true,
                before: Some((after, unused)),
                sent: Sent::default(),
                watch,
                opened,
                permit,
                pool: self.clone(),
            });
        }
        if self.permits.is_some() && !streams.is_empty() {
            // Makes room under the limit for the one that is opened now.
            streams.remove(0);
        }
        Err(permit)
    }

    /// Whether an idle connection is kept. Learns from what happened to it.
    fn keeps_stream(&self, idle: &mut IdleStream, habits: &mut Habits, now: Instant) -> bool {
        if let Some(woken) = idle.watch.woken()
            && !idle.rest()
        {
            habits.closed(idle.after, woken.saturating_duration_since(idle.since));
            return false;
        }
        let unused = now.saturating_duration_since(idle.since);
        if !idle.outlived && habits.open(idle.after, unused) {
            idle.outlived = true;
        }
        let pool = &self.config().pool;
        unused < pool.keep_idle && now.saturating_duration_since(idle.opened) < pool.max_age
    }

    /// Closes streams that were idle for too long, are too old, or that the upstream
    /// closed.
    pub(super) fn close_old_streams(&self, now: Instant) {
        let mut kept = self.kept();
        let Kept { streams, habits, .. } = &mut *kept;
        streams.retain_mut(|idle| self.keeps_stream(idle, habits, now));
    }
}

impl IdleStream {
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
    /// A request begins on it.
    pub(crate) fn begin(&mut self) {
        self.sent.begin(self.reused, self.stream.socket().written());
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
        let socket = self.stream.socket();
        let ended = Ended {
            in_order: in_order || socket.ended(),
            written: socket.written(),
            unacknowledged: socket.unacknowledged(),
        };
        self.sent.may_go_again(ended).then(|| self.sent.bytes().to_vec())
    }

    /// The answer said `Keep-Alive: timeout=` with this number.
    pub(crate) fn announced(&self, seconds: u64) {
        self.pool.kept().habits.announced_seconds(seconds);
    }

    /// Makes the connection idle; only after both bodies ended. `stream`: the length of
    /// the answer was not known when it began.
    pub(crate) fn give_back(self, stream: bool) {
        let mut idle = IdleStream {
            stream: self.stream,
            watch: self.watch,
            opened: self.opened,
            since: Instant::now(),
            after: if stream { After::Stream } else { After::Document },
            outlived: false,
        };
        let mut kept = self.pool.kept();
        let Kept { streams, habits, .. } = &mut *kept;
        if !idle.rest() {
            habits.closed(idle.after, std::time::Duration::ZERO);
        } else if streams.len() < MAX_IDLE {
            streams.push(idle);
        }
        drop(kept);
        // After the connection: what waited for it finds it.
        drop(self.permit);
    }
}
