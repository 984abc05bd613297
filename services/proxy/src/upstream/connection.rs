//! One HTTP/1.1 connection to an upstream, driven by the task of the request
//! that uses it. A task of its own would cost a switch for each frame, and
//! frames that are in hand together would leave in a write each.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker, ready},
    time::Instant,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;

use super::{
    socket::Link,
    wire::{Line, Reopen, Watch, Wire},
};
use crate::tap::RequestTap;

/// Most bytes of one connection that are read before they are handed on, and so the
/// largest head of a response: as large as that of a request.
const MAX_BUFFER: usize = 80 * 1024;

/// An open connection. Nothing happens on it unless it is polled; dropping it
/// closes it.
pub(crate) struct Connection {
    sender: http1::SendRequest<RequestTap>,
    driver: Driver,
    line: Arc<Line>,
    /// Notes when something happens while it is idle.
    watch: Arc<Watch>,
}

/// Whether an idle connection can take a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It can.
    Ready,
    /// Not now: bytes have arrived that are not read yet.
    Later,
    /// The upstream has closed it.
    Closed,
}

impl Connection {
    /// Speaks HTTP/1.1 over an open connection. Sends nothing yet.
    pub(super) async fn open(link: Link, reopen: Reopen) -> hyper::Result<Self> {
        let line = Arc::new(Line::default());
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .max_buf_size(MAX_BUFFER)
            .handshake(TokioIo::new(Wire::new(link, line.clone(), reopen)))
            .await?;
        Ok(Self { sender, driver: Driver::new(connection), line, watch: Arc::new(Watch::new()) })
    }

    /// Sends a request and waits for the head of its response. The error has the
    /// request if none of it was sent. `reused`: the connection served others
    /// before, so that the request may be sent again as far as `sent` allows it.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestTap>,
        reused: bool,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestTap>>> {
        self.line.begin(reused);
        let mut response = pin!(self.sender.try_send_request(request));
        poll_fn(|context| {
            // Only the driver can complete it, so nothing else need wake us.
            let mut nobody = Context::from_waker(Waker::noop());
            let ended = self.driver.drive(context).is_ready();
            let answered = response.as_mut().poll(&mut nobody);
            if ended && answered.is_pending() {
                self.driver.close();
                return response.as_mut().poll(&mut nobody);
            }
            answered
        })
        .await
    }

    /// The next frame of the body of the response that `send` gave.
    pub(crate) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = self.driver.unwoken(|nobody| Pin::new(&mut *body).poll_frame(nobody));
        if frame.is_ready() {
            return frame;
        }
        if self.driver.drive(context).is_ready() {
            self.driver.close();
        }
        self.driver.unwoken(|nobody| Pin::new(body).poll_frame(nobody))
    }

    /// Whether a byte of the last answer came, and whether the request was sent
    /// again for that.
    pub(super) fn last_answer(&self) -> (bool, bool) {
        (self.line.answered(), self.line.went_again())
    }

    /// Whether it can take a request now, as far as is known without asking the
    /// system. What happens on it from now on is noted.
    pub(super) fn rest(&mut self) -> bool {
        self.watch.reset();
        let watch = Waker::from(self.watch.clone());
        self.driver.drive(&Context::from_waker(&watch)).is_pending()
            && self.sender.is_ready()
            && !self.line.is_deaf()
    }

    /// When something happened on it since it rests, mostly its end.
    pub(super) fn woken(&self) -> Option<Instant> {
        self.watch.woken()
    }

    /// Asks the system whether the upstream has closed it.
    pub(super) fn look(&mut self) -> Look {
        self.line.look();
        if !self.rest() {
            Look::Closed
        } else if self.line.found_bytes() {
            Look::Later
        } else {
            Look::Ready
        }
    }
}

/// The half of a connection that reads and writes.
struct Driver {
    /// `None` once it is closed.
    connection: Option<Box<http1::Connection<TokioIo<Wire>, RequestTap>>>,
    ended: bool,
    task: Arc<DrivingTask>,
    /// `task` in the form that a context takes.
    waker: Waker,
}

impl Driver {
    fn new(connection: http1::Connection<TokioIo<Wire>, RequestTap>) -> Self {
        let task = Arc::new(DrivingTask::default());
        let waker = task.clone().into();
        Self { connection: Some(Box::new(connection)), ended: false, task, waker }
    }

    /// Lets the connection go on, for the task of `context`. Ready when it has
    /// ended; its errors reach the request or the body that waits for it.
    fn drive(&mut self, context: &Context<'_>) -> Poll<()> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(()) };
        if self.ended {
            return Poll::Ready(());
        }
        self.task.waker.register(context.waker());
        // Without a shutdown, because the stream goes on after an upgrade.
        let polled = connection.poll_without_shutdown(&mut Context::from_waker(&self.waker));
        let ended = ready!(polled);
        self.ended = true;
        if let Err(error) = ended {
            tracing::debug!(%error, "upstream connection ended");
            self.close();
        }
        Poll::Ready(())
    }

    /// Closes the stream. Who waits for something from it is told.
    fn close(&mut self) {
        self.connection = None;
    }

    /// Polls something that this connection alone completes. The task that drives
    /// it is awake already; woken again, it would be polled twice for each frame.
    fn unwoken<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        self.task.awake.store(true, Ordering::Relaxed);
        let polled = poll(&mut Context::from_waker(Waker::noop()));
        self.task.awake.store(false, Ordering::Relaxed);
        polled
    }
}

/// The task that drives a connection now.
#[derive(Default)]
struct DrivingTask {
    waker: AtomicWaker,
    awake: AtomicBool,
}

impl Wake for DrivingTask {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.awake.load(Ordering::Relaxed) {
            self.waker.wake();
        }
    }
}
