//! Client connections: one socket for each core where the system spreads
//! connections over them, else one acceptor that hands them out in turn.

mod client;
mod connection;
mod port;
mod wire;

use std::{future::Future, io, sync::Arc, time::Duration};

use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use modash_runtime::Shutdown;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::client::Client;
pub(crate) use self::port::Port;
use self::{
    client::ActiveBody,
    connection::{Patience, drive},
    wire::Wire,
};
use crate::{
    core::{Core, Counters},
    forward::forward,
    interim::{Interim, Outlet},
    settings::ClientConfig,
};

/// How long a port that others took over is still served: handshakes that began
/// here end within it.
const HAND_OVER: Duration = Duration::from_millis(500);

/// The last part of that, in which no handshake begins any more.
const LAST_HANDSHAKES: Duration = Duration::from_millis(100);

/// Most bytes of one connection that wait to be parsed or written.
const MAX_BUFFER: usize = 64 * 1024;

/// Where a core gets its connections from.
pub(crate) struct Intake {
    source: Source,
    /// Keeps the port open until the last core leaves it.
    port: Arc<Port>,
}

enum Source {
    /// A socket of its own.
    Socket(std::net::TcpListener),
    /// An acceptor on another core.
    #[cfg(not(target_os = "linux"))]
    Handed(tokio::sync::mpsc::Receiver<std::net::TcpStream>),
}

impl Intake {
    /// One for each core.
    #[cfg(target_os = "linux")]
    pub(crate) fn for_cores(port: Port, cores: usize) -> io::Result<Vec<Self>> {
        let port = Arc::new(port);
        let intake = |core| {
            Ok(Self { source: Source::Socket(port.socket(core % port.len())?), port: port.clone() })
        };
        (0..cores).map(intake).collect()
    }

    /// Here the system does not spread connections over sockets of one port: an
    /// acceptor does it.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn for_cores(port: Port, cores: usize) -> io::Result<Vec<Self>> {
        let port = Arc::new(port);
        let (senders, intakes): (Vec<_>, Vec<_>) = (0..cores)
            .map(|_| {
                let (sender, receiver) = tokio::sync::mpsc::channel(port::BACKLOG as usize);
                (sender, Self { source: Source::Handed(receiver), port: port.clone() })
            })
            .unzip();
        let socket = port.socket(0)?;
        socket.set_nonblocking(false)?;
        std::thread::Builder::new().name("modash-acceptor".into()).spawn(move || {
            for (stream, sender) in socket.incoming().zip(senders.iter().cycle()) {
                let Ok(stream) = stream else { continue };
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

    async fn accept(&mut self, socket: Option<&TcpListener>) -> io::Result<TcpStream> {
        match (&mut self.source, socket) {
            (Source::Socket(_), Some(socket)) => Ok(socket.accept().await?.0),
            #[cfg(not(target_os = "linux"))]
            (Source::Handed(streams), _) => match streams.recv().await {
                Some(stream) => TcpStream::from_std(stream),
                None => std::future::pending().await,
            },
            _ => std::future::pending().await,
        }
    }

    /// What is in the queue, without waiting for more.
    fn accept_waiting(&mut self) -> Option<TcpStream> {
        match &mut self.source {
            Source::Socket(socket) => {
                let (stream, _) = socket.accept().ok()?;
                stream.set_nonblocking(true).ok()?;
                TcpStream::from_std(stream).ok()
            }
            #[cfg(not(target_os = "linux"))]
            Source::Handed(streams) => TcpStream::from_std(streams.try_recv().ok()?).ok(),
        }
    }
}

/// Accepts and serves until a stop is asked for; then leaves the port, and lets
/// running requests end within the grace period.
pub(crate) async fn serve(
    core: Arc<Core>,
    mut intake: Intake,
    config: ClientConfig,
    shutdown: Shutdown,
) -> io::Result<()> {
    let socket = match &intake.source {
        Source::Socket(socket) => Some(TcpListener::from_std(socket.try_clone()?)?),
        #[cfg(not(target_os = "linux"))]
        Source::Handed(_) => None,
    };
    let drain_delay = config.drain_delay;
    let connections = Connections::new(core.clone(), &config);
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
    while let Some(stream) = intake.accept_waiting() {
        connections.serve(stream);
    }
    drop((socket, intake));
    connections.running.close();
    core.tunnels.close();
    let ended = async { tokio::join!(connections.running.wait(), core.tunnels.wait()) };
    if shutdown.finish("requests in flight", ended).await.is_none() {
        name_stragglers(&core);
    }
    Ok(())
}

/// The connections of one core.
struct Connections {
    core: Arc<Core>,
    server: auto::Builder<TokioExecutor>,
    patience: Patience,
    running: TaskTracker,
    closing: CancellationToken,
}

impl Connections {
    fn new(core: Arc<Core>, config: &ClientConfig) -> Self {
        Self {
            core,
            server: server(),
            patience: Patience { head: config.header_timeout, idle: config.idle_timeout },
            running: TaskTracker::new(),
            closing: CancellationToken::new(),
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
                    Ok(stream) => self.serve(stream),
                    Err(error) => {
                        // Out of file descriptors, most likely: others will close.
                        tracing::error!(%error, "cannot accept a connection");
                        sleep(Duration::from_millis(50)).await;
                    }
                },
                () = &mut stop => return,
            }
        }
    }

    fn serve(&self, stream: TcpStream) {
        Counters::add(&self.core.shared.counters.connections);
        let _ = stream.set_nodelay(true);
        let client = Arc::new(Client::new(self.core.clone()));
        let interim = Interim::default();
        let service = {
            let (client, interim) = (client.clone(), interim.clone());
            service_fn(move |mut request| {
                interim.attach(&mut request);
                let answer = answer(client.clone(), request);
                async move { Ok::<_, std::convert::Infallible>(answer.await) }
            })
        };
        let wire = Outlet::new(Wire::new(stream, client.clone()), interim);
        let connection =
            self.server.serve_connection_with_upgrades(TokioIo::new(wire), service).into_owned();
        let driven = drive(connection, client, self.patience, self.closing.clone());
        self.running.spawn(async move {
            if let Err(error) = driven.await {
                tracing::debug!(error, "client connection ended");
            }
        });
    }
}

fn answer(
    client: Arc<Client>,
    request: Request<Incoming>,
) -> impl Future<Output = Response<ActiveBody>> {
    let active = client.begin();
    async move {
        let response = forward(&client, request).await;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            active.forever();
        }
        response.map(|body| ActiveBody::new(body, active))
    }
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        // `connection::drive` does it, for the time between requests too.
        .header_read_timeout(None)
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
