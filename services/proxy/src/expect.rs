//! `Expect: 100-continue` (RFC 9110 10.1.1): a client that holds its body back
//! until the upstream wants it. modash asks the client for the body when the
//! upstream says 100, and not before; an upstream that says nothing gets the body
//! after a while, as it would from the client itself.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use http::{Request, StatusCode, Version, header::EXPECT, request::Parts};
use tokio::time::Sleep;

use crate::interim::Interim;

/// How long an upstream may say nothing. As long as curl waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// Holds a request body back. hyper's server sends the client 100 when the body
/// is first asked for, so that must wait.
pub(crate) struct Gate {
    key: Key,
    patience: Pin<Box<Sleep>>,
}

/// Opens a gate. Goes with the request.
#[derive(Clone)]
struct Key(Arc<State>);

struct State {
    open: AtomicBool,
    waker: AtomicWaker,
}

impl Gate {
    /// For a request whose client waits for 100. Over HTTP/2 hyper cannot send
    /// one, so that there is nothing to wait for.
    pub(crate) fn of(head: &mut Parts) -> Option<Self> {
        let expect = head.headers.get(EXPECT)?;
        if head.version != Version::HTTP_11
            || !expect.as_bytes().eq_ignore_ascii_case(b"100-continue")
        {
            return None;
        }
        let state = State { open: AtomicBool::new(false), waker: AtomicWaker::new() };
        let key = Key(Arc::new(state));
        head.extensions.insert(key.clone());
        Some(Self { key, patience: Box::pin(tokio::time::sleep(PATIENCE)) })
    }

    /// Whether the client may be asked for the body.
    pub(crate) fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.key.0.waker.register(context.waker());
        if self.key.0.open.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.patience.as_mut().poll(context)
    }
}

impl Key {
    fn open(&self) {
        self.0.open.store(true, Ordering::Release);
        self.0.waker.wake();
    }
}

/// The client is asked for the body when the upstream says 100.
pub(crate) fn ask_upstream<B>(request: &mut Request<B>) {
    if let Some(key) = request.extensions_mut().remove::<Key>() {
        let interim = request.extensions_mut().remove::<Interim>().unwrap_or_default();
        hyper::ext::on_informational(request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                key.open();
            } else {
                interim.add(response.status(), response.headers());
            }
        });
    }
}

/// The client is asked for the body now.
pub(crate) fn ask_client<B>(request: &Request<B>) {
    if let Some(key) = request.extensions().get::<Key>() {
        key.open();
    }
}
