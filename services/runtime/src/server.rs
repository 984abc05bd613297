//! Serves HTTP/1.1 and HTTP/2 on a listener with bounds: a number of connections,
//! a share of the process's file descriptors, time for request heads and for idle
//! connections. The gateway, analytics and all admin ports are served by it.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    BindError, Description, FileShare, HANDSHAKE_TOO_SLOW, ListenerTls, Metrics, RefusedHandshakes,
    activity::{Activity, Noted, Watched},
    bind, raise_file_limit,
};

/// Most connections of a listener, unless a setting says otherwise.
const DEFAULT_CONNECTIONS: usize = 2_048;

/// Part of the limit of file descriptors that a listener takes at most by default.
const FILE_SHARE: u64 = 8;

/// Time that a connection has to end after it was asked to: an HTTP/2 client may
/// have sent requests before it learns of it.
const CLOSING: Duration = Duration::from_secs(1);

/// Pause after the system handed over no connection, for example because there
/// are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long sent bytes may wait for a client to take them (TCP_USER_TIMEOUT).
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(120);

/// The answer to a connection beyond the limit.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n\
    content-length: 48\r\nconnection: close\r\n\r\nconnection limit reached; please try again later";

/// The answer to a client that speaks plain HTTP where TLS is expected.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
    content-length: 47\r\nconnection: close\r\n\r\nthis port speaks TLS: begin the URL with https\n";

/// Bounds of a listener.
#[derive(Debug, Clone)]
pub struct ListenerLimits {
    /// Most connections at once. `None`: 2,048, or an eighth of the file descriptors
    /// that the process may have, if that is fewer.
    pub connections: Option<usize>,
    /// Time for a request head: from the connection's begin, or from the head's
    /// first byte.
    pub header_timeout: Duration,
    /// Time without an open request before a connection is closed.
    pub idle_timeout: Duration,
    /// Most open requests of one HTTP/2 connection.
    pub http2_streams: u32,
    /// Requests of one HTTP/2 connection that may be cancelled by the client
    /// before the server has looked at them. With more the connection is taken for
    /// an attack and closed (h2's `max_pending_accept_reset_streams`).
    pub http2_pending_resets: usize,
    /// After how long without a word an HTTP/2 client is asked whether it is still there,
    /// and how long it may take to say so.
    pub http2_ping: (Duration, Duration),
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections: None,
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(90),
            http2_streams: 200,
            http2_pending_resets: 20,
            http2_ping: (Duration::from_secs(20), Duration::from_secs(10)),
        }
    }
}

/// How many connections a listener has, and how many it refused. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ConnectionCount {
    open: Gauge,
    refused: Counter,
}

impl ConnectionCount {
    /// What is said of the two metrics of a listener, by their names.
    #[must_use]
    pub const fn descriptions(open: &'static str, refused: &'static str) -> [Description; 2] {
        [
            Description::gauge(open, "Open connections of clients"),
            Description::counter(refused, "Connections refused because the limit was reached"),
        ]
    }

    /// Adds both.
    #[must_use]
    pub fn register(metrics: &Metrics, [open, refused]: &[Description; 2]) -> Self {
        Self {
            open: metrics.add(open, Gauge::default()),
            refused: metrics.add(refused, Counter::default()),
        }
    }
}

/// A listener whose connections are bounded.
#[derive(Debug)]
pub struct BoundedListener {
    listener: TcpListener,
    address: SocketAddr,
    limits: ListenerLimits,
    connections: usize,
    tls: Option<Arc<ListenerTls>>,
    refused_handshakes: RefusedHandshakes,
    _files: FileShare,
}

impl BoundedListener {
    /// Binds a listener for `purpose` and reserves file descriptors for its
    /// connections; `setting` is the one that moves it.
    ///
    /// # Errors
    /// If the address is taken, not permitted or not of this machine.
    pub async fn bind(
        purpose: &'static str,
        setting: &'static str,
        address: SocketAddr,
        limits: ListenerLimits,
    ) -> Result<Self, BindError> {
        let listener = bind(purpose, setting, address).await?;
        Self::new(listener, limits)
            .map_err(|error| BindError::new(purpose, setting, address, &error))
    }

    /// The same for a socket that listens already.
    ///
    /// # Errors
    /// If the socket has no address.
    pub fn new(listener: TcpListener, limits: ListenerLimits) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let connections = most_connections(limits.connections, raise_file_limit());
        let files = FileShare::reserve(connections as u64);
        let refused_handshakes = RefusedHandshakes::default();
        Ok(Self {
            listener,
            address,
            limits,
            connections,
            tls: None,
            refused_handshakes,
            _files: files,
        })
    }

    /// The same with TLS, if there is any.
    #[must_use]
    pub fn with_tls(self, tls: Option<ListenerTls>) -> Self {
        Self { tls: tls.map(Arc::new), ..self }
    }

    /// Adds what counts the handshakes that fail.
    pub fn count_refused_handshakes(&self, metrics: &Metrics, about: &Description) {
        metrics.add(about, self.refused_handshakes.clone());
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then until the open requests have ended. Dropping the
    /// future closes all connections.
    pub async fn serve(
        self,
        router: Router,
        count: ConnectionCount,
        stop: impl Future<Output = ()>,
    ) {
        let Self { listener, limits, connections: most, address, tls, refused_handshakes, .. } =
            self;
        let stopping = CancellationToken::new();
        let driver = Driver {
            router: router.with_state(()),
            limits: Arc::new(limits),
            tls,
            refused_handshakes,
            stopping: stopping.clone(),
        };
        let mut connections = Connections::default();
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                () = connections.ended() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, client)) if connections.make_room(most) => {
                    prepare(&socket);
                    let activity = Activity::new();
                    let opened = Opened::new(&count.open);
                    let driving =
                        driver.clone().drive((socket, client.ip()), Arc::clone(&activity), opened);
                    connections.insert(activity, driving);
                }
                Ok((socket, _)) => {
                    if count.refused.inc() == 0 {
                        tracing::warn!(%address, connections = most,
                            "connection limit reached: further connections are refused");
                    }
                    // Only what fits into the socket at once: nobody waits for it.
                    let _ = socket.try_write(TOO_MANY);
                }
                // The client left before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::debug!(%error, %address, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        stopping.cancel();
        connections.all_ended().await;
    }
}

/// What is set, or what the limit of file descriptors allows.
fn most_connections(set: Option<usize>, files: Option<u64>) -> usize {
    let share =
        files.map_or(usize::MAX, |files| usize::try_from(files / FILE_SHARE).unwrap_or(usize::MAX));
    set.unwrap_or_else(|| DEFAULT_CONNECTIONS.min(share)).max(1)
}

/// Small messages must not wait for each other; a client that is gone without a
/// FIN must not keep its connection.
fn prepare(socket: &TcpStream) {
    let _ = socket.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(socket).set_tcp_user_timeout(Some(UNACKNOWLEDGED));
}

/// The open connections.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    activities: Vec<Arc<Activity>>,
}

impl Connections {
    /// Whether there is room for one more. The connection that has been idle
    /// longest is closed for it if need be.
    fn make_room(&mut self, most: usize) -> bool {
        while self.tasks.try_join_next().is_some() {}
        if self.tasks.len() < most {
            return true;
        }
        self.remove_ended();
        let idle =
            self.activities.iter().filter_map(|activity| Some((activity.idle_since()?, activity)));
        let Some((_, longest_idle)) = idle.min_by_key(|(since, _)| *since) else { return false };
        longest_idle.evict();
        // Those that are being closed are still there for a moment.
        self.tasks.len() < most + most / 8 + 8
    }

    fn insert(&mut self, activity: Arc<Activity>, task: impl Future<Output = ()> + Send + 'static) {
        if self.activities.len() > 2 * self.tasks.len() + 64 {
            self.remove_ended();
        }
        self.activities.push(activity);
        self.tasks.spawn(task);
    }

    /// Forgets connections whose task has ended: nobody else holds their activity.
    fn remove_ended(&mut self) {
        self.activities.retain(|activity| Arc::strong_count(activity) > 1);
    }

    /// Waits for the end of a connection; for ever if there is none.
    async fn ended(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    async fn all_ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Counts a connection for as long as it lives.
struct Opened(Gauge);

impl Opened {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Drives connections to their ends.
#[derive(Clone)]
struct Driver {
    router: Router,
    limits: Arc<ListenerLimits>,
    tls: Option<Arc<ListenerTls>>,
    refused_handshakes: RefusedHandshakes,
    stopping: CancellationToken,
}

impl Driver {
    async fn drive(
        self,
        (socket, address): (TcpStream, IpAddr),
        activity: Arc<Activity>,
        _opened: Opened,
    ) {
        let Some(tls) = self.tls.clone() else {
            return self.serve(socket, address, activity).await;
        };
        // The handshake is part of the time for the first request. Boxed: otherwise
        // the task reserves space for it as long as the connection lives.
        let accepting = Box::pin(tls.accept(socket, PLAIN_HTTP));
        let accepted = tokio::select! {
            accepted = accepting => accepted,
            () = self.stopping.cancelled() => return,
            () = activity.expired(&self.limits) => return self.refused(HANDSHAKE_TOO_SLOW),
        };
        match accepted {
            Ok(stream) => Box::pin(self.serve(stream, address, activity)).await,
            Err(error) => {
                self.refused(error.reason());
                tracing::debug!(%error, client = %address, "no TLS with a client");
            }
        }
    }

    fn refused(&self, reason: &'static str) {
        self.refused_handshakes.get_or_create(&[("reason", reason)]).inc();
    }

    async fn serve<S>(self, stream: S, address: IpAddr, activity: Arc<Activity>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { router, limits, stopping, .. } = self;
        let service = TowerToHyperService::new(Noted::new(router, Arc::clone(&activity), address));
        let builder = builder(&limits);
        let stream = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
        let mut connection = pin!(builder.serve_connection(stream, service));
        let expired = tokio::select! {
            result = connection.as_mut() => return log(result),
            () = stopping.cancelled() => false,
            () = activity.expired(&limits) => true,
        };
        connection.as_mut().graceful_shutdown();
        if expired {
            if let Ok(result) = tokio::time::timeout(CLOSING, connection).await {
                log(result);
            }
            return;
        }
        // Open requests may end; the stop has a deadline, which drops this task.
        let closing =
            ListenerLimits { idle_timeout: CLOSING, header_timeout: CLOSING, ..(*limits).clone() };
        tokio::select! {
            result = connection => log(result),
            () = activity.expired(&closing) => {}
        }
    }
}

fn builder(limits: &ListenerLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // hyper's own time-out for heads would also end idle connections.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        // A client that is gone without a FIN is noticed.
        .keep_alive_interval(limits.http2_ping.0)
        .keep_alive_timeout(limits.http2_ping.1)
        .max_concurrent_streams(limits.http2_streams)
        .max_pending_accept_reset_streams(limits.http2_pending_resets);
    builder
}

fn log(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_takes_an_eighth_of_the_file_descriptors_at_most() {
        for (set, files, expected) in [
            (None, Some(1_024), 128),
            (None, Some(1_000_000), DEFAULT_CONNECTIONS),
            (None, None, DEFAULT_CONNECTIONS),
            (None, Some(4), 1),
            (Some(2_000), Some(1_024), 2_000),
        ] {
            assert_eq!(most_connections(set, files), expected, "{set:?} of {files:?}");
        }
    }

    #[test]
    fn answers_outside_http_have_the_length_that_they_say() {
        for answer in [TOO_MANY, PLAIN_HTTP] {
            let text = std::str::from_utf8(answer).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{text}");
        }
    }

    #[tokio::test]
    async fn a_listener_gives_its_file_descriptors_back() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let limits = ListenerLimits { connections: Some(7_000_000), ..ListenerLimits::default() };
        let listener = BoundedListener::new(listener, limits).unwrap();
        assert!(crate::reserved_files() >= 7_000_000);
        drop(listener);
        assert!(crate::reserved_files() < 7_000_000);
    }
}
