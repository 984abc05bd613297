//! Client connections: one socket for each core where the system spreads
//! connections over them, else one acceptor that hands them out in turn.

mod admission;
mod client;
mod connection;
mod entrance;
mod intake;
mod port;

use std::{
    cell::Cell,
    future::Future,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use modash_runtime::Shutdown;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::{admission::Admission, intake::Intake, port::Port};
use self::{
    admission::MOST_SURPLUS,
    client::{ActiveBody, Client},
    connection::drive,
};
use crate::{
    activity::Activities,
    bridge::bridge,
    core::Core,
    counters::Counters,
    relay::{Ended, Peer, Relay},
    stream::Stream,
};

/// How long a port that others took over is still served: handshakes that began
/// here end within it.
const HAND_OVER: Duration = Duration::from_millis(500);

/// The last part of that, in which no handshake begins any more.
const LAST_HANDSHAKES: Duration = Duration::from_millis(100);

/// HTTP/2: most bytes of one connection that wait to be written, and the largest
/// list of headers: one of 64 KiB, which common servers take, and the others.
const MAX_BUFFER: usize = 80 * 1024;

/// HTTP/2: most requests of one client at once, and how far each upload may run
/// ahead of the upstream.
const MOST_STREAMS: u32 = 256;
const STREAM_WINDOW: u32 = 256 * 1024;

/// Room for all uploads of a connection at once: one whose upstream does not read
/// must not take the room of the others. And h2 counts small frames that wait as
/// larger ones, against half of this window.
const CONNECTION_WINDOW: u32 = MOST_STREAMS * STREAM_WINDOW;

/// HTTP/2: a client that has requests and is silent is asked that often whether
/// it still lives, and has as long to answer.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Share of the grace period for running requests; the rest is for their events.
const REQUESTS_SHARE: f64 = 0.8;

/// How often the log says the same of connections that are refused.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Accepts and serves until a stop is asked for; then leaves the port, and lets
/// running requests end within their part of the grace period.
pub(crate) async fn serve(
    core: Arc<Core>,
    mut intake: Intake,
    admission: Admission,
    drain_delay: Duration,
    shutdown: Shutdown,
) -> io::Result<()> {
    let socket = intake.listen()?;
    let connections = Connections::new(core.clone(), admission);
    connections.accept_until(&mut intake, socket.as_ref(), shutdown.requested()).await;
    if !drain_delay.is_zero() {
        connections.accept_until(&mut intake, socket.as_ref(), sleep(drain_delay)).await;
    }
    let others_take_over = intake.port.send_elsewhere();
    connections.closing.cancel();
    if others_take_over {
        let most = HAND_OVER - LAST_HANDSHAKES;
        connections.accept_until(&mut intake, socket.as_ref(), sleep(most)).await;
        intake.port.ignore_new();
        connections.accept_until(&mut intake, socket.as_ref(), sleep(LAST_HANDSHAKES)).await;
    }
    while let Some((stream, from)) = intake.accept_waiting() {
        connections.serve(stream, from);
    }
    drop((socket, intake));
    connections.running.close();
    connections.surplus.close();
    let ended = async {
        connections.running.wait().await;
        connections.surplus.wait().await;
    };
    let ended = shutdown.finish_within(REQUESTS_SHARE, "requests in flight", ended);
    if ended.await.is_none() {
        name_stragglers(&core);
    }
    Ok(())
}

/// The connections of one core.
struct Connections {
    core: Arc<Core>,
    server: http2::Builder<TokioExecutor>,
    admission: Arc<Admission>,
    running: TaskTracker,
    /// Those that are told that they are too many.
    surplus: TaskTracker,
    activities: Activities,
    closing: CancellationToken,
    /// When the log last spoke of refused connections.
    said: Cell<Option<Instant>>,
}

impl Connections {
    fn new(core: Arc<Core>, admission: Admission) -> Self {
        Self {
            core,
            server: server(),
            admission: Arc::new(admission),
            running: TaskTracker::new(),
            surplus: TaskTracker::new(),
            activities: Activities::default(),
            closing: CancellationToken::new(),
            said: Cell::new(None),
        }
    }

    async fn accept_until(
        &self,
        intake: &mut Intake,
        socket: Option<&TcpListener>,
        stop: impl Future<Output = ()>,
    ) {
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                accepted = intake.accept(socket) => match accepted {
                    Ok((stream, from)) => self.serve(stream, from),
                    Err(error) => {
                        Counters::add(&self.core.shared.counters.accept_errors);
                        if self.may_say() {
                            tracing::error!(%error, "cannot accept connections; if files ran \
                                out, raise their limit (ulimit -n) or lower MODASH_PROXY_CONNECTIONS");
                        }
                        // Others will close.
                        sleep(Duration::from_millis(50)).await;
                    }
                },
                () = &mut stop => return,
            }
        }
    }

    fn serve(&self, stream: TcpStream, from: SocketAddr) {
        Counters::add(&self.core.shared.counters.connections);
        let open = self.running.len();
        let surplus = !self.activities.make_room(open, self.admission.share);
        if surplus {
            Counters::add(&self.core.shared.counters.connections_refused);
            if self.may_say() {
                tracing::warn!(
                    connections = self.admission.connections(),
                    "as many clients are connected as may be, each with a request; others \
                     get 503: raise MODASH_PROXY_CONNECTIONS or run more proxies"
                );
            }
            if self.surplus.len() >= MOST_SURPLUS {
                return;
            }
        }
        let _ = stream.set_nodelay(true);
        let (core, server) = (self.core.clone(), self.server.clone());
        let (admission, closing) = (self.admission.clone(), self.closing.child_token());
        let activity = match surplus {
            false => self.activities.add(closing, open),
            true => self.activities.apart(closing),
        };
        let tracker = if surplus { &self.surplus } else { &self.running };
        tracker.spawn(async move {
            let opened = tokio::select! {
                opened = admission.entrance.open(stream, from) => opened,
                () = activity.evicted() => return,
            };
            let (stream, address) = match opened {
                Ok(opened) => opened,
                Err(error) => {
                    Counters::add(&core.shared.counters.handshake_failures);
                    return tracing::debug!(%error, %from, "a client did not come in");
                }
            };
            let secure = matches!(stream, Stream::Tls(_));
            let patience = admission.patience(surplus);
            let peer = Peer {
                address: address.ip(),
                secure,
                surplus,
                forwarded: admission.forwarded,
                head_timeout: patience.head,
                idle_timeout: patience.idle,
                activity: activity.clone(),
            };
            // Boxed: otherwise the task reserves space for this future twice.
            let relay = Box::pin(Relay::new(core.clone(), peer.clone(), stream));
            let Ended::Http2(stream, first) = relay.await else { return };
            let (rest, writer) = tokio::io::split(stream);
            let stream = tokio::io::join(io::Cursor::new(first).chain(rest), writer);
            let client = Arc::new(Client::new(activity));
            let service = {
                let client = client.clone();
                service_fn(move |request| {
                    let active = client.begin();
                    // The connection waits or is active, not its requests.
                    let activity = client.activity.of_request();
                    let peer = Peer { activity, ..peer.clone() };
                    // Boxed: it ends with the head of the response, but hyper keeps the
                    // space of this future while the body streams.
                    let bridged = Box::pin(bridge(core.clone(), peer, request));
                    async move {
                        let response = bridged.await?;
                        Ok::<_, io::Error>(response.map(|body| ActiveBody::new(body, active)))
                    }
                })
            };
            let connection = server.serve_connection(TokioIo::new(stream), service);
            let driven = Box::pin(drive(connection, client, patience));
            if let Err(error) = driven.await {
                tracing::debug!(%error, "client connection ended");
            }
        });
    }

    fn may_say(&self) -> bool {
        let may = self.said.get().is_none_or(|said| said.elapsed() >= SAY_EVERY);
        if may {
            self.said.set(Some(Instant::now()));
        }
        may
    }
}

fn server() -> http2::Builder<TokioExecutor> {
    let mut server = http2::Builder::new(TokioExecutor::new());
    server
        .timer(TokioTimer::new())
        // The upstream's `Date` is handed on, or none.
        .auto_date_header(false)
        .max_concurrent_streams(MOST_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_BUFFER)
        .max_header_list_size(MAX_BUFFER as u32)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    server
}

fn name_stragglers(core: &Core) {
    for exchange in core.shared.in_flight().iter().take(20) {
        tracing::warn!(event_id = %exchange.id, path = exchange.facts.path(),
            phase = exchange.progress.phase().as_str_name(), "request cut off by the stop");
    }
}
