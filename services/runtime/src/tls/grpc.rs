//! TLS for the gRPC between services: a connector, and what is wrong at present.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use axum::http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use tower::Service;

use super::{
    ClientTls, ClientTlsFiles, TlsFileError, TlsPeer,
    advice::{tls_advice, tls_error, todo},
};

/// TLS towards one service. Clones share the certificates and what is known of the
/// last connection.
#[derive(Debug, Clone)]
pub struct GrpcTls {
    tls: ClientTls,
    peer: &'static TlsPeer,
    problem: Arc<Mutex<Option<Problem>>>,
}

/// Why the last connection is not usable.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    /// For the log.
    whole: String,
    /// For callers: without names of hosts.
    todo: String,
}

impl GrpcTls {
    /// With the system's certificate authorities, and what the files say.
    ///
    /// # Errors
    /// If a file cannot be read or used.
    pub fn new(
        name: &'static str,
        peer: &'static TlsPeer,
        files: ClientTlsFiles,
    ) -> Result<Self, TlsFileError> {
        let tls = ClientTls::new(name, peer.files, files)?;
        Ok(Self { tls, peer, problem: Arc::default() })
    }

    /// Opens connections to this host (an address of IPv6 may be in brackets) and
    /// port.
    #[must_use]
    pub fn dialer(&self, host: &str, port: u16) -> TlsDialer {
        let host = host.trim_start_matches('[').trim_end_matches(']').into();
        TlsDialer { tls: self.clone(), host, port }
    }

    /// What is wrong with TLS, as the last connection showed, and what to do about it,
    /// in full. `None`: it worked, or did not come as far.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.noted().as_ref().map(|problem| problem.whole.clone())
    }

    /// The same without names of hosts.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        self.noted().as_ref().map(|problem| problem.todo.clone())
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Option<Problem>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, error: &io::Error) {
        let Some(whole) = tls_advice(error, self.peer) else { return };
        let todo = tls_error(error).and_then(|error| todo(error, self.peer));
        let todo = todo.unwrap_or_else(|| "the log of this process says why".to_owned());
        let problem = Some(Problem { whole, todo });
        let mut noted = self.noted();
        if *noted != problem {
            tracing::warn!(
                error = problem.as_ref().map(|problem| &*problem.whole),
                url = self.peer.url,
                "a connection over TLS failed"
            );
            *noted = problem;
        }
    }
}

/// Opens connections over TLS and HTTP/2 to one address.
#[derive(Clone)]
pub struct TlsDialer {
    tls: GrpcTls,
    host: Arc<str>,
    port: u16,
}

impl fmt::Debug for TlsDialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsDialer")
    }
}

impl TlsDialer {
    async fn dial(self) -> io::Result<TokioIo<Dialed>> {
        let connected = TcpStream::connect((&*self.host, self.port)).await;
        let tcp = connected.inspect_err(|_| *self.tls.noted() = None)?;
        tcp.set_nodelay(true)?;
        let connected = self.tls.tls.connect(&self.host, tcp, true).await;
        let stream = connected.inspect_err(|error| self.tls.note(error))?;
        Ok(TokioIo::new(Dialed { stream, tls: self.tls, works: false }))
    }
}

impl Service<Uri> for TlsDialer {
    type Response = TokioIo<Dialed>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().dial())
    }
}

/// An open connection. In TLS 1.3 a server judges the client's certificate after the
/// client has finished its handshake, so the first bytes tell.
#[derive(Debug)]
pub struct Dialed {
    stream: TlsStream<TcpStream>,
    tls: GrpcTls,
    works: bool,
}

impl AsyncRead for Dialed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        match &read {
            Err(error) => self.tls.note(error),
            Ok(()) if !self.works && !buffer.filled().is_empty() => {
                self.works = true;
                *self.tls.noted() = None;
            }
            Ok(()) => {}
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Dialed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
