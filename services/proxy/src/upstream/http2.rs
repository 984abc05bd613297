//! HTTP/2 to an upstream: connections that many requests share, each driven by a
//! task of its own. They belong to one core like everything else.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::{Notify, OwnedSemaphorePermit};

mod stream;
mod upload;

pub(super) use self::stream::Stream;
use self::upload::Upload;
use super::socket::Link;

/// Most requests that share a connection, also where the upstream allows more.
const MOST_STREAMS: usize = 100;

/// How much of a response may come before the client has taken what came before.
/// At 50 ms to the upstream this is 5 MB a second for each stream.
const STREAM_WINDOW: u32 = 256 * 1024;

/// Room for every stream at once: a client that does not read must not take the
/// room of the others. It is more than the windows of all streams, because h2
/// counts small frames that wait as at least 256 bytes, allows half of this
/// window for what that makes more, and ends the connection beyond it: 100 streams
/// of events of 12 bytes must fit.
const CONNECTION_WINDOW: u32 = 1 << 30;

/// Most bytes of a request body that wait for an upstream that does not read.
const MOST_UNSENT: usize = 256 * 1024;

/// Largest response head, as for HTTP/1.1 in common servers.
const MOST_HEADERS: u32 = 80 * 1024;

/// How often an upstream with requests under way is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(30);

/// How long it may take to say so.
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// Stands for a number of allowed streams that the upstream has not said yet.
const NOT_SAID: usize = MOST_STREAMS - 1;

/// How long an upstream may take to say it before it does not matter.
const SAY_WITHIN: Duration = Duration::from_secs(1);

/// The connections of one core to one upstream.
#[derive(Default)]
pub(super) struct Connections {
    open: Mutex<Vec<Connection>>,
    /// Held by the request that opens a connection. The others wait for it and
    /// share the connection, instead of opening one each.
    pub(super) opening: tokio::sync::Mutex<()>,
    /// Told when a stream or a connection ends.
    pub(super) freed: Arc<Notify>,
}

type Sender = http2::SendRequest<Upload>;
type Driver = http2::Connection<TokioIo<Link>, Upload, TokioExecutor>;

struct Connection {
    sender: Sender,
    load: Arc<Load>,
    opened: Instant,
}

struct Load {
    streams: AtomicUsize,
    allowed: AtomicUsize,
    idle_since: Mutex<Instant>,
    freed: Arc<Notify>,
}

/// The right to one stream; given back when dropped.
pub(super) struct Lease {
    sender: Sender,
    load: Arc<Load>,
}

impl Connections {
    /// A stream on a connection that has room for one and is not too old, the
    /// newest first.
    pub(super) fn lease(&self, max_age: Duration) -> Option<Lease> {
        let mut open = self.open();
        open.retain(|connection| !connection.sender.is_closed());
        open.iter().rev().find_map(|connection| {
            (connection.opened.elapsed() < max_age && connection.load.begin())
                .then(|| connection.lease())
        })
    }

    /// Speaks HTTP/2 over an open stream; gives the first lease.
    pub(super) async fn add(
        &self,
        stream: Link,
        permit: Option<OwnedSemaphorePermit>,
    ) -> hyper::Result<Lease> {
        let (sender, driver) = builder().handshake(TokioIo::new(stream)).await?;
        let driver = with_settings(driver).await;
        let load = Arc::new(Load {
            streams: AtomicUsize::new(1),
            allowed: AtomicUsize::new(driver.current_max_send_streams()),
            idle_since: Mutex::new(Instant::now()),
            freed: self.freed.clone(),
        });
        tokio::spawn(drive(driver, load.clone(), permit));
        let connection = Connection { sender, load, opened: Instant::now() };
        let lease = connection.lease();
        self.open().push(connection);
        Ok(lease)
    }

    /// Closes connections that had no request for too long, or are too old. What
    /// runs on an old one ends first.
    pub(super) fn close_old(&self, keep_idle: Duration, max_age: Duration) {
        self.open().retain(|connection| {
            let load = &connection.load;
            let idle = load.streams.load(Ordering::Relaxed) == 0;
            let since = *load.idle_since.lock().unwrap_or_else(PoisonError::into_inner);
            connection.opened.elapsed() < max_age && !(idle && since.elapsed() >= keep_idle)
        });
    }

    fn open(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn lease(&self) -> Lease {
        Lease { sender: self.sender.clone(), load: self.load.clone() }
    }
}

impl Load {
    /// Counts one more stream, if there is room for it.
    fn begin(&self) -> bool {
        let most = self.allowed.load(Ordering::Relaxed).min(MOST_STREAMS);
        let begun = self.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            (now < most).then_some(now + 1)
        });
        begun.is_ok()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.load.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            let mut since = self.load.idle_since.lock().unwrap_or_else(PoisonError::into_inner);
            *since = Instant::now();
        }
        self.load.freed.notify_one();
    }
}

fn builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(NOT_SAID)
        .max_send_buf_size(MOST_UNSENT)
        .max_header_list_size(MOST_HEADERS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN);
    builder
}

/// Waits until the upstream has said how many streams it allows, which is the
/// first thing that it sends. hyper tells nobody when it comes.
async fn with_settings(driver: Driver) -> Driver {
    let begun = Instant::now();
    while driver.current_max_send_streams() == NOT_SAID && begun.elapsed() < SAY_WITHIN {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    driver
}

async fn drive(mut driver: Driver, load: Arc<Load>, permit: Option<OwnedSemaphorePermit>) {
    let ended = poll_fn(|context| {
        let polled = Pin::new(&mut driver).poll(context);
        if polled.is_pending() {
            load.allowed.store(driver.current_max_send_streams(), Ordering::Relaxed);
        }
        polled
    });
    // The requests that use it report the error.
    if let Err(error) = ended.await {
        tracing::debug!(%error, "upstream connection ended");
    }
    drop(permit);
    load.freed.notify_one();
}
