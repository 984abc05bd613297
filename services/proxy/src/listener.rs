//! Listeners and connections: one listener for each core where the system
//! spreads connections over them, else one acceptor that hands them out in turn.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream},
    sync::Arc,
    time::Duration,
};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use modash_runtime::Shutdown;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    core::{Core, Counters},
    forward::forward,
    interim::{Interim, Outlet},
};

/// Connections that the system may hold before they are accepted.
const BACKLOG: i32 = 1024;

/// Most bytes of one connection that wait to be parsed or written.
const MAX_BUFFER: usize = 64 * 1024;

/// The same address, once for each core.
pub(crate) struct Listeners {
    pub(crate) address: SocketAddr,
    pub(crate) listeners: Vec<StdListener>,
}

impl Listeners {
    /// Binds `count` listeners to one address.
    pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Self> {
        // With SO_REUSEPORT a second modash would silently share the port; a
        // plain socket finds out whether it is free.
        let address = listen(address, false)?.local_addr()?;
        let listeners =
            (0..count).map(|_| listen(address, true)).collect::<io::Result<Vec<_>>>()?;
        Ok(Self { address, listeners })
    }
}

fn listen(address: SocketAddr, share_port: bool) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if share_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Where a core gets its connections from.
pub(crate) enum Intake {
    /// A listener of its own.
    Listener(StdListener),
    /// An acceptor on another core.
    #[cfg(not(target_os = "linux"))]
    Handed(tokio::sync::mpsc::Receiver<StdStream>),
}

impl Intake {
    async fn accept(&mut self, listener: Option<&TcpListener>) -> io::Result<TcpStream> {
        match (self, listener) {
            (Self::Listener(_), Some(listener)) => Ok(listener.accept().await?.0),
            #[cfg(not(target_os = "linux"))]
            (Self::Handed(streams), _) => match streams.recv().await {
                Some(stream) => TcpStream::from_std(stream),
                None => std::future::pending().await,
            },
            _ => std::future::pending().await,
        }
    }
}

/// Accepts and serves until a stop is asked for; then lets running requests end
/// within the grace period.
pub(crate) async fn serve(
    core: Arc<Core>,
    mut intake: Intake,
    header_timeout: Duration,
    shutdown: Shutdown,
) -> io::Result<()> {
    let listener = match &intake {
        Intake::Listener(listener) => Some(TcpListener::from_std(listener.try_clone()?)?),
        #[cfg(not(target_os = "linux"))]
        Intake::Handed(_) => None,
    };
    let server = server(header_timeout);
    let graceful = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            accepted = intake.accept(listener.as_ref()) => match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: others will close.
                    tracing::error!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = shutdown.requested() => break,
        };
        Counters::add(&core.shared.counters.connections);
        let _ = stream.set_nodelay(true);
        let interim = Interim::default();
        let service = {
            let (core, interim) = (core.clone(), interim.clone());
            service_fn(move |mut request: Request<Incoming>| {
                interim.attach(&mut request);
                let core = core.clone();
                async move { Ok::<_, std::convert::Infallible>(forward(core, request).await) }
            })
        };
        let stream = Outlet::new(stream, interim);
        let connection =
            server.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error, "client connection ended");
            }
        });
    }
    drop((listener, intake));
    core.tunnels.close();
    let ended = async { tokio::join!(graceful.shutdown(), core.tunnels.wait()) };
    if shutdown.finish("requests in flight", ended).await.is_none() {
        name_stragglers(&core);
    }
    Ok(())
}

fn server(header_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .preserve_header_case(true)
        // Events in hand are copied together and leave in one write: cheaper than
        // a list of three slices for each of them.
        .writev(false)
        .max_buf_size(MAX_BUFFER)
        // The upstream's `Date` is handed on, or none.
        .auto_date_header(false)
        .http2()
        .timer(TokioTimer::new())
        .auto_date_header(false);
    server
}

fn name_stragglers(core: &Core) {
    for exchange in core.shared.in_flight().iter().take(20) {
        tracing::warn!(event_id = %exchange.id, path = %exchange.facts.path,
            phase = exchange.progress.phase().as_str_name(), "request cut off by the stop");
    }
}

/// Accepts for all cores, for systems that do not spread connections over
/// listeners that share a port.
#[cfg(not(target_os = "linux"))]
pub(crate) fn hand_out(listener: StdListener, cores: usize) -> io::Result<Vec<Intake>> {
    let (senders, intakes): (Vec<_>, Vec<_>) = (0..cores)
        .map(|_| {
            let (sender, receiver) = tokio::sync::mpsc::channel(BACKLOG as usize);
            (sender, Intake::Handed(receiver))
        })
        .unzip();
    listener.set_nonblocking(false)?;
    std::thread::Builder::new().name("modash-acceptor".into()).spawn(move || {
        for (stream, sender) in listener.incoming().zip(senders.iter().cycle()) {
            let handed: Option<StdStream> = stream.ok();
            let Some(stream) = handed else { continue };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            // A core that has stopped takes no more.
            if sender.blocking_send(stream).is_err() {
                return;
            }
        }
    })?;
    Ok(intakes)
}

#[cfg(target_os = "linux")]
const _: fn(StdStream) = drop;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_listeners_share_the_port_and_a_second_proxy_is_refused() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = Listeners::bind(any, 3).unwrap();
        for listener in &first.listeners {
            assert_eq!(listener.local_addr().unwrap(), first.address);
        }
        let second = Listeners::bind(first.address, 3);
        assert_eq!(second.err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
    }
}
