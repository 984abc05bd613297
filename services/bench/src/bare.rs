//! The pass-through to compare with: hyper's own client and server, one thread
//! with a listener of its own for each core, nothing looked at, nothing kept.

use std::{convert::Infallible, net::SocketAddr, thread};

use http::{Request, Uri, header::HOST, uri::Authority};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::Outcome;

/// Forwards everything to `upstream`, until the process ends.
pub(crate) fn serve(listen: SocketAddr, upstream: &Authority, threads: usize) -> Outcome {
    let cores: Vec<_> = (0..threads)
        .map(|_| {
            let listener = listener(listen)?;
            let upstream = upstream.clone();
            Ok(thread::spawn(move || core(listener, &upstream)))
        })
        .collect::<std::io::Result<_>>()?;
    for core in cores {
        core.join().map_err(|_| "a core panicked")??;
    }
    Ok(())
}

fn listener(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn core(listener: std::net::TcpListener, upstream: &Authority) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client: Client<_, Incoming> =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(512).build(connector);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (client, upstream) = (client.clone(), upstream.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let sent = client.request(outgoing(request, &upstream));
                async move {
                    // A benchmark wants to see a broken answer as one.
                    Ok::<_, Infallible>(sent.await.unwrap_or_else(|error| panic!("{error}")))
                }
            });
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // A client that leaves is no news.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

fn outgoing(mut request: Request<Incoming>, upstream: &Authority) -> Request<Incoming> {
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    parts.authority = Some(upstream.clone());
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request.headers_mut().remove(HOST);
    request
}
