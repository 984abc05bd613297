//! The bridge: requests of HTTP/1.1 clients that cannot be relayed as bytes, because
//! their upstream speaks HTTP/2 or because `inject` may change them.
//!
//! To the relay it is a connection to one more server of HTTP/1.1. That server is
//! hyper's, in this process, and hands requests to `forward` like those of HTTP/2
//! clients. What the relay promises to clients (verdicts on heads, time-outs, order,
//! lingering) needs no second place this way.

use std::{convert::Infallible, sync::Arc};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use modash_http1::MAX_HEAD;
use tokio::{
    io::{DuplexStream, duplex},
    task::AbortHandle,
};

use crate::{core::Core, forward::forward};

/// Bytes that wait in each direction.
const CAPACITY: usize = 32 * 1024;

/// Header lines: those that a head may have, and those that the relay adds.
const MAX_LINES: usize = modash_http1::MAX_LINES + 8;

/// The relay's end, for one request. Dropping it ends the request.
pub(crate) struct Bridge {
    /// Requests go in, responses come out.
    pub(crate) stream: DuplexStream,
    server: AbortHandle,
}

impl Bridge {
    /// A server that waits for a request.
    pub(crate) fn open(core: Arc<Core>) -> Self {
        let (stream, server_end) = duplex(CAPACITY);
        let service = service_fn(move |request| {
            let core = core.clone();
            async move { Ok::<_, Infallible>(forward(&core, request).await) }
        });
        let connection = http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(MAX_LINES)
            // `X-Forwarded-*` may be added to the largest head.
            .max_buf_size(MAX_HEAD + 4096)
            // The upstream's `Date` is handed on, or none.
            .auto_date_header(false)
            .serve_connection(TokioIo::new(server_end), service);
        let server = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a bridged request ended early");
            }
        });
        Self { stream, server: server.abort_handle() }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.server.abort();
    }
}
