//! HTTP/1.1 from client to upstream as bytes: one task for each client connection, a
//! state machine over readiness.
//!
//! ```text
//!            ┌──────────── answer sent, connection kept ─────────────┐
//!            ▼                                                       │
//!   Phase::Head ─► Phase::Connecting ─► Phase::Relaying ─────────────┤
//!        │ own answer      │ failure        │ 101 ─► Phase::Tunnel   │
//!        ▼                 ▼                ▼                        ▼
//!   Phase::Last ─► Phase::Lingering ─► end                      Phase::Head
//! ```
//!
//! A connection owns its two streams, two inputs and two outputs. An input borrows a
//! buffer of the core while bytes are in it ([`buffer`]). Heads are judged and
//! rewritten into an output; bodies pass from the input as they came. What is said of
//! one request with its response is a [`Turn`]; its [`Running`] ends exactly once.
//! HTTP/2 on either side has the form of such a stream ([`client`], `upstream::http2`).

mod alarm;
mod answer;
mod begin;
mod buffer;
mod client;
mod facts;
mod hold;
mod relaying;
mod request;
mod response;
mod tunnel;
mod turn;

use std::{
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Request;
use hyper::body::Incoming;
use modash_http1::{Fault, HeadScan, Preface, preface};
use tokio_util::sync::WaitForCancellationFutureOwned;

use self::{
    alarm::Alarm,
    buffer::{Input, Output, poll_send},
    client::{Client, Http2Stream},
    turn::Turn,
};
use crate::{
    activity::Activity,
    client_key::LastKey,
    core::Core,
    counters::Counters,
    error::UpstreamFailure,
    settings::ForwardedHeaders,
    stream::Stream,
    upstream::{ConnectError, Lease},
};

/// What a stop leaves a connection without a request, so that one that has arrived
/// already is read.
const LAST_CHANCE: Duration = Duration::from_millis(20);

/// The same for a connection that never had one: its first may be on its way.
const FIRST_CHANCE: Duration = Duration::from_secs(1);

/// Bytes that are still taken from a client that was refused, so that it can read
/// why: what is left unread when a socket closes takes the answer with it
/// (RFC 9112 9.6).
const MAX_IGNORED: u64 = 1024 * 1024;

/// The same for the rest of a body that the upstream answered without having it all.
const MAX_UNWANTED: u64 = 64 * 1024 * 1024;

/// Bytes that are read of a request that is not sent, and for how long. The same as
/// `inject` holds.
const MAX_UNSENT: usize = 8 << 20;
const UNSENT_WITHIN: Duration = Duration::from_secs(2);

/// A client as the listener knows it.
#[derive(Clone)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: IpAddr,
    /// It speaks TLS with modash.
    pub(crate) secure: bool,
    /// It is one too many: all that it gets is 503.
    pub(crate) surplus: bool,
    /// What upstreams are told of it.
    pub(crate) forwarded: ForwardedHeaders,
    /// Longest time for a head.
    pub(crate) head_timeout: Duration,
    /// Longest time between two requests.
    pub(crate) idle_timeout: Duration,
    /// For those who look for room, and whether the connection is to end.
    pub(crate) activity: Arc<Activity>,
}

/// How a connection ended.
pub(crate) enum Ended {
    /// It is closed.
    Closed,
    /// The client speaks HTTP/2, and these are its first bytes.
    Http2(Stream, Vec<u8>),
}

type Connecting = Pin<Box<dyn Future<Output = Result<Lease, ConnectError>> + Send>>;

/// What the connection does now.
enum Phase {
    /// Waits for a request head, or for the rest of one.
    Head,
    /// Holds the body of a request that may be changed.
    Holding(Box<hold::Holding>),
    /// Waits for a connection to the upstream.
    Connecting(Connecting),
    /// Reads a request that cannot be sent, for its row; then says why.
    Unsent { failure: Box<UpstreamFailure>, left: usize },
    /// Relays a request and its response.
    Relaying,
    /// Relays bytes after a 101.
    Tunnel(tunnel::Tunnel),
    /// Writes the last bytes; then takes as many as this from the client.
    Last { ignore: u64 },
    /// Has closed its side and takes what still comes.
    Lingering { ignore: u64 },
    /// Writes what came of a response that broke off; then the connection is reset
    /// if nothing else shows that it is not whole.
    Cutting { reset: bool },
    /// Hands the connection over to HTTP/2.
    Http2,
    /// Nothing is left to do.
    Closed,
}

/// Why a phase ends before its time.
enum Stop {
    /// The client left, or does not read.
    Gone,
    /// The request is refused.
    Refused(Fault),
    /// The head did not come in time.
    Late,
    /// There is no response from the upstream.
    Failed(UpstreamFailure),
    /// The response broke off in the middle.
    Broken(crate::exchange::Ending),
}

/// One connection of a client of HTTP/1.1.
pub(crate) struct Relay {
    core: Arc<Core>,
    peer: Peer,
    client: Client,
    upstream: Option<Lease>,
    from_client: Input,
    to_upstream: Output,
    from_upstream: Input,
    to_client: Output,
    phase: Phase,
    scan: HeadScan,
    turn: Option<Box<Turn>>,
    last_key: LastKey,
    alarm: Alarm,
    /// Requests so far.
    requests: u64,
    /// What the alarm is set for, apart from a turn.
    waiting: Waiting,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// What a client is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Nothing,
    Request,
    Head,
    LastRequest,
    /// The client is to read the last bytes.
    Reading,
}

impl Relay {
    /// A client that has just come in.
    pub(crate) fn new(core: Arc<Core>, peer: Peer, client: Stream) -> Self {
        Self::with(core, peer, Client::Stream(client))
    }

    /// For one request over HTTP/2.
    pub(crate) fn of_http2(core: Arc<Core>, peer: Peer, request: Request<Incoming>) -> Self {
        Self::with(core, peer, Client::Http2(Box::new(Http2Stream::new(request))))
    }

    fn with(core: Arc<Core>, peer: Peer, client: Client) -> Self {
        let closed = Box::pin(peer.activity.closing.clone().cancelled_owned());
        Self {
            core,
            peer,
            client,
            upstream: None,
            from_client: Input::default(),
            to_upstream: Output::default(),
            from_upstream: Input::default(),
            to_client: Output::default(),
            phase: Phase::Head,
            scan: HeadScan::default(),
            turn: None,
            last_key: LastKey::default(),
            alarm: Alarm::default(),
            requests: 0,
            waiting: Waiting::Nothing,
            closed,
        }
    }

    /// The request over HTTP/2, if it is one.
    pub(crate) fn http2(&mut self) -> Option<&mut Http2Stream> {
        match &mut self.client {
            Client::Http2(stream) => Some(stream),
            Client::Stream(_) | Client::Gone => None,
        }
    }

    /// Reads from the client. 0: it has ended.
    fn poll_client(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.from_client.poll_fill(self.client.stream()?, context)
    }

    /// Writes what waits for the client.
    fn poll_to_client(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        let client = self.client.stream().map_err(|_| Stop::Gone)?;
        let sent =
            poll_send(client, &mut self.to_client, &mut self.from_upstream, context, |_, _| ());
        ready!(sent).map_err(|_| Stop::Gone)?;
        self.to_client.release();
        self.from_upstream.release();
        Poll::Ready(Ok(()))
    }

    /// Waits for a head and begins its request.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        loop {
            if !self.to_client.is_empty() && self.poll_to_client(context)?.is_pending() {
                // A client that does not read has no more time than one that does not
                // write.
                return self.poll_patience(context);
            }
            if self.requests == 0 {
                match preface(self.from_client.unjudged()) {
                    Preface::Http2 => {
                        self.phase = Phase::Http2;
                        return Poll::Ready(Ok(()));
                    }
                    Preface::Unsure => {}
                    Preface::Other => self.scan_head()?,
                }
            } else {
                self.scan_head()?;
            }
            if !matches!(self.phase, Phase::Head) {
                return Poll::Ready(Ok(()));
            }
            if !self.to_client.is_empty() {
                // modash has answered by itself.
                continue;
            }
            match self.poll_client(context) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(Err(Stop::Gone)),
                Poll::Pending => return self.poll_patience(context),
            }
        }
    }

    fn scan_head(&mut self) -> Result<(), Stop> {
        match self.scan.end(self.from_client.unjudged()).map_err(Stop::Refused)? {
            Some(length) => self.begin(length),
            None => Ok(()),
        }
    }

    /// How long the client may take for its next request.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        let begun = self.from_client.unjudged().iter().any(|byte| !byte.is_ascii_whitespace());
        let stops = self.closed.as_mut().poll(context).is_ready();
        let evicted = stops && self.peer.activity.is_evicted();
        if evicted && begun {
            return Poll::Ready(Err(Stop::Gone));
        }
        let waiting = match (begun, stops) {
            (true, _) => Waiting::Head,
            (false, true) => Waiting::LastRequest,
            (false, false) => Waiting::Request,
        };
        if self.waiting != waiting {
            self.waiting = waiting;
            self.peer.activity.waits();
            self.alarm.set(Some(match waiting {
                Waiting::LastRequest if self.requests > 0 || evicted => LAST_CHANCE,
                Waiting::LastRequest => self.peer.head_timeout.min(FIRST_CHANCE),
                Waiting::Request if self.requests > 0 => self.peer.idle_timeout,
                _ => self.peer.head_timeout,
            }));
        }
        ready!(self.alarm.poll(context));
        Poll::Ready(Err(if begun { Stop::Late } else { Stop::Gone }))
    }

    /// Takes a connection to the upstream, or waits for one.
    fn connect(&mut self, turn: &mut Turn) {
        match turn.pool.lease_idle(turn.http2) {
            Some(lease) => self.use_lease(turn, lease),
            None => self.wait_for_lease(turn, false),
        }
    }

    /// Asks a client for its body that waits for that.
    fn ask_for_body(&mut self, turn: &mut Turn) {
        if turn.request.expects_continue && !std::mem::replace(&mut turn.body_wanted, true) {
            self.to_client.bytes().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// Waits for a connection; `fresh`: for one that nothing was sent on.
    fn wait_for_lease(&mut self, turn: &Turn, fresh: bool) {
        let lease = turn.pool.clone().lease(turn.http2, fresh);
        self.phase = Phase::Connecting(Box::pin(lease));
    }

    /// Waits for a connection to the upstream, and for the client to leave.
    fn poll_connecting(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        let Phase::Connecting(connecting) = &mut self.phase else {
            return Poll::Ready(Ok(()));
        };
        match connecting.as_mut().poll(context) {
            Poll::Ready(Ok(lease)) => {
                if let Some(mut turn) = self.turn.take() {
                    self.use_lease(&mut turn, lease);
                    self.turn = Some(turn);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => {
                self.alarm.set(Some(UNSENT_WITHIN));
                self.phase = Phase::Unsent { failure: Box::new(error.into()), left: MAX_UNSENT };
                Poll::Ready(Ok(()))
            }
            Poll::Pending => self.poll_left(context),
        }
    }

    fn use_lease(&mut self, turn: &mut Turn, mut lease: Lease) {
        lease.begin(self.client.is_http2());
        turn.connected(!lease.reused);
        if lease.is_http2() {
            // hyper shows no interim responses, so the upstream cannot ask.
            self.ask_for_body(turn);
        }
        self.upstream = Some(lease);
        self.phase = Phase::Relaying;
    }

    /// Ready when the client has left. What it sends before is kept.
    fn poll_left(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        while self.from_client.has_room() {
            match ready!(self.poll_client(context)) {
                Ok(1..) => {}
                _ => return Poll::Ready(Err(Stop::Gone)),
            }
        }
        Poll::Pending
    }

    /// Writes the last bytes and closes this side.
    fn poll_last(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        ready!(self.poll_last_bytes(context))?;
        let Phase::Last { ignore } = self.phase else { return Poll::Ready(Ok(())) };
        let client = self.client.stream().map_err(|_| Stop::Gone)?;
        ready!(Pin::new(client).poll_shutdown(context)).map_err(|_| Stop::Gone)?;
        self.alarm.set(Some(self.peer.head_timeout));
        self.phase = if ignore > 0 { Phase::Lingering { ignore } } else { Phase::Closed };
        Poll::Ready(Ok(()))
    }

    /// Takes what still comes, until the client ends too.
    fn poll_lingering(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        let mut left = match self.phase {
            Phase::Lingering { ignore } => ignore,
            _ => 0,
        };
        while left > 0 {
            let unjudged = self.from_client.unjudged().len();
            self.from_client.skip(unjudged);
            match self.poll_client(context) {
                Poll::Ready(Ok(length @ 1..)) => left = left.saturating_sub(length as u64),
                Poll::Ready(_) => break,
                Poll::Pending => {
                    self.phase = Phase::Lingering { ignore: left };
                    ready!(self.alarm.poll(context));
                    break;
                }
            }
        }
        Poll::Ready(Err(Stop::Gone))
    }

    /// Writes what the client has not read, as long as it has for a head.
    fn poll_last_bytes(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        if self.poll_to_client(context)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if self.waiting != Waiting::Reading {
            self.waiting = Waiting::Reading;
            self.alarm.set(Some(self.peer.head_timeout));
        }
        ready!(self.alarm.poll(context));
        Poll::Ready(Err(Stop::Gone))
    }

    fn poll_cutting(&mut self, reset: bool, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        ready!(self.poll_last_bytes(context))?;
        if reset {
            self.client.reset();
        }
        Poll::Ready(Err(Stop::Gone))
    }

    /// Goes on behind a phase that ended before its time.
    fn stop(&mut self, stop: Stop) {
        self.upstream = None;
        match stop {
            Stop::Gone => {
                // The exchange ends as left by the client, unless it has ended.
                self.turn = None;
                self.phase = Phase::Closed;
            }
            Stop::Refused(fault) => {
                Counters::add(&self.core.shared.counters.refused);
                self.answer_fault(fault);
            }
            Stop::Late => {
                Counters::add(&self.core.shared.counters.refused);
                self.answer_late();
            }
            Stop::Failed(failure) => self.answer_failure(&failure),
            Stop::Broken(ending) => self.cut(ending),
        }
    }

    fn poll_phase(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        match self.phase {
            Phase::Head => self.poll_head(context),
            Phase::Holding(_) => self.poll_holding(context),
            Phase::Connecting(_) => self.poll_connecting(context),
            Phase::Unsent { .. } => self.poll_unsent(context),
            Phase::Relaying => self.poll_relaying(context),
            Phase::Tunnel(_) => self.poll_tunnel(context),
            Phase::Last { .. } => self.poll_last(context),
            Phase::Lingering { .. } => self.poll_lingering(context),
            Phase::Cutting { reset } => self.poll_cutting(reset, context),
            Phase::Http2 | Phase::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl Future for Relay {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let relay = &mut *self;
        loop {
            match relay.phase {
                Phase::Closed => return Poll::Ready(Ended::Closed),
                Phase::Http2 => {
                    let bytes = relay.from_client.take_unjudged();
                    return Poll::Ready(match std::mem::replace(&mut relay.client, Client::Gone) {
                        Client::Stream(client) => Ended::Http2(client, bytes),
                        Client::Http2(_) | Client::Gone => Ended::Closed,
                    });
                }
                _ => {}
            }
            if let Err(stop) = ready!(relay.poll_phase(context)) {
                relay.stop(stop);
            }
        }
    }
}
