//! The bytes of one HTTP/1.1 connection to an upstream on their way to and from
//! hyper. Two things are decided below hyper, which cannot:
//!
//! - A write that fails does not end the exchange: the upstream may have answered
//!   already, and an answer that can be read wins.
//! - A request that met a closing connection goes again on a new one, if `sent`
//!   says that it may; hyper does not notice.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, ready},
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    sent::{Ended, Sent},
    socket::{Link, Pending},
};

/// Opens another connection to the same upstream, within the connect timeout.
pub(super) type Reopen = Box<dyn Fn() -> BoxFuture<'static, io::Result<Link>> + Send + Sync>;

/// What a wire shares with the connection that it is part of. Both are used by one
/// task at a time; the atomics are for the compiler.
#[derive(Default)]
pub(super) struct Line {
    /// The next bytes written begin a request.
    begins: AtomicBool,
    /// That request may go again.
    repeatable: AtomicBool,
    /// A byte of its answer has come.
    answered: AtomicBool,
    /// It was sent again.
    again: AtomicBool,
    /// The system is to be asked whether something has arrived.
    look: AtomicBool,
    /// Bytes arrived that nobody has read.
    unread: AtomicBool,
    /// A write has failed: nothing more is written, only read.
    deaf: AtomicBool,
}

impl Line {
    /// A request is about to be written.
    pub(super) fn begin(&self, repeatable: bool) {
        self.begins.store(true, Relaxed);
        self.repeatable.store(repeatable, Relaxed);
        self.answered.store(false, Relaxed);
        self.again.store(false, Relaxed);
    }

    /// Whether a byte of the answer has come.
    pub(super) fn answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    /// Whether the request was sent again on a new connection.
    pub(super) fn went_again(&self) -> bool {
        self.again.load(Relaxed)
    }

    /// Whether writing has failed, so that it can carry no other request.
    pub(super) fn is_deaf(&self) -> bool {
        self.deaf.load(Relaxed)
    }

    /// The next read asks the system what has arrived.
    pub(super) fn look(&self) {
        self.look.store(true, Relaxed);
        self.unread.store(false, Relaxed);
    }

    /// Whether that found bytes which were not read.
    pub(super) fn found_bytes(&self) -> bool {
        self.unread.load(Relaxed)
    }
}

/// Notes when something first happens on an idle connection.
pub(super) struct Watch {
    begun: Instant,
    /// Microseconds since then, at least 1; 0: nothing has happened.
    woken: AtomicU64,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), woken: AtomicU64::new(0) }
    }

    /// Nothing has happened so far.
    pub(super) fn reset(&self) {
        self.woken.store(0, Relaxed);
    }

    /// When it happened, if it did.
    pub(super) fn woken(&self) -> Option<Instant> {
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

/// A connection to an upstream.
pub(super) struct Wire {
    link: Link,
    line: Arc<Line>,
    reopen: Reopen,
    sent: Sent,
    again: Again,
}

/// How far the second try is.
enum Again {
    No,
    Opening(BoxFuture<'static, io::Result<Link>>),
    /// This many bytes of the request were written.
    Writing(usize),
    Failed(io::Error),
}

impl Wire {
    pub(super) fn new(link: Link, line: Arc<Line>, reopen: Reopen) -> Self {
        let (sent, again) = (Sent::default(), Again::No);
        Self { link, line, reopen, sent, again }
    }

    /// Goes on with the second try, if there is one.
    fn poll_again(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.again {
                Again::No | Again::Failed(_) => return Poll::Ready(()),
                Again::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                    Ok(link) => {
                        self.link = link;
                        self.line.deaf.store(false, Relaxed);
                        self.again = Again::Writing(0);
                    }
                    Err(error) => self.again = Again::Failed(error),
                },
                Again::Writing(written) => {
                    let rest = &self.sent.bytes()[*written..];
                    let link = Pin::new(&mut self.link);
                    if rest.is_empty() {
                        let deaf = ready!(link.poll_flush(context)).is_err();
                        self.line.deaf.store(deaf, Relaxed);
                        self.finish_again();
                    } else {
                        match ready!(link.poll_write(context, rest)) {
                            Ok(bytes) if bytes > 0 => *written += bytes,
                            _ => {
                                self.line.deaf.store(true, Relaxed);
                                self.finish_again();
                            }
                        }
                    }
                }
            }
        }
    }

    /// Once is enough.
    fn finish_again(&mut self) {
        self.sent.forget();
        self.again = Again::No;
    }

    /// Before bytes of a request are written.
    fn note_begin(&mut self) {
        if self.line.begins.swap(false, Relaxed) {
            let repeatable = self.line.repeatable.load(Relaxed);
            self.sent.begin(repeatable, self.link.socket().written());
        }
    }

    /// The connection ended before an answer. `in_order`: not by an error.
    fn may_go_again(&self, in_order: bool) -> bool {
        let socket = self.link.socket();
        // Most ends are those of idle connections; they need no system call.
        !self.sent.bytes().is_empty()
            && self.sent.may_go_again(Ended {
                in_order: in_order || socket.ended(),
                written: socket.written(),
                unacknowledged: socket.unacknowledged(),
            })
    }

    /// Whether the other side was found to have closed, if that is asked.
    fn is_closed(&self) -> bool {
        if !self.line.look.swap(false, Relaxed) {
            return false;
        }
        match self.link.socket().pending() {
            Pending::Nothing => false,
            Pending::Bytes => {
                self.line.unread.store(true, Relaxed);
                false
            }
            Pending::End => true,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            ready!(this.poll_again(context));
            if let Again::Failed(error) = std::mem::replace(&mut this.again, Again::No) {
                this.sent.forget();
                return Poll::Ready(Err(error));
            }
            if this.is_closed() {
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            let read = ready!(Pin::new(&mut this.link).poll_read(context, buffer));
            if buffer.filled().len() > before {
                this.line.answered.store(true, Relaxed);
                this.sent.forget();
                return Poll::Ready(Ok(()));
            }
            if !this.may_go_again(read.is_ok()) {
                return Poll::Ready(read);
            }
            this.line.again.store(true, Relaxed);
            this.again = Again::Opening((this.reopen)());
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored_from(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored_from(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.link.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_again(context));
        if !self.line.is_deaf() && ready!(Pin::new(&mut self.link).poll_flush(context)).is_err() {
            self.turn_deaf(context);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_shutdown(context)
    }
}

impl Wire {
    fn poll_write_vectored_from(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_again(context));
        self.note_begin();
        let all = || slices.iter().map(|slice| slice.len()).sum();
        let written = if self.line.is_deaf() {
            all()
        } else {
            match ready!(self.poll_write_link(context, slices)) {
                Ok(written) => written,
                Err(_) => {
                    self.turn_deaf(context);
                    all()
                }
            }
        };
        self.sent.add_slices(slices, written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_link(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let link = Pin::new(&mut self.link);
        match slices {
            [one] => link.poll_write(context, one),
            _ => link.poll_write_vectored(context, slices),
        }
    }

    /// A write failed. What the upstream sent before is read next.
    fn turn_deaf(&mut self, context: &mut Context<'_>) {
        self.line.deaf.store(true, Relaxed);
        context.waker().wake_by_ref();
    }
}
