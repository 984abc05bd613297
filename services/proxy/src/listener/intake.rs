//! Where a core gets its connections from: a socket of its own where the system
//! spreads connections over the sockets of a port, else an acceptor that hands
//! them out in turn.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::{TcpListener, TcpStream};

use super::port::Port;

/// Where a core gets its connections from.
pub(crate) struct Intake {
    source: Source,
    /// Keeps the port open until the last core leaves it.
    pub(super) port: Arc<Port>,
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
                let (sender, receiver) = tokio::sync::mpsc::channel(super::port::BACKLOG as usize);
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

    /// Its socket, if it has one, for `accept`.
    pub(super) fn listen(&self) -> io::Result<Option<TcpListener>> {
        match &self.source {
            Source::Socket(socket) => TcpListener::from_std(socket.try_clone()?).map(Some),
            #[cfg(not(target_os = "linux"))]
            Source::Handed(_) => Ok(None),
        }
    }

    pub(super) async fn accept(
        &mut self,
        socket: Option<&TcpListener>,
    ) -> io::Result<(TcpStream, SocketAddr)> {
        match (&mut self.source, socket) {
            (Source::Socket(_), Some(socket)) => socket.accept().await,
            #[cfg(not(target_os = "linux"))]
            (Source::Handed(streams), _) => match streams.recv().await {
                Some(stream) => {
                    let from = stream.peer_addr()?;
                    Ok((TcpStream::from_std(stream)?, from))
                }
                None => std::future::pending().await,
            },
            _ => std::future::pending().await,
        }
    }

    /// What is in the queue, without waiting for more.
    pub(super) fn accept_waiting(&mut self) -> Option<(TcpStream, SocketAddr)> {
        match &mut self.source {
            Source::Socket(socket) => {
                let (stream, from) = socket.accept().ok()?;
                stream.set_nonblocking(true).ok()?;
                Some((TcpStream::from_std(stream).ok()?, from))
            }
            #[cfg(not(target_os = "linux"))]
            Source::Handed(streams) => {
                let stream = streams.try_recv().ok()?;
                let from = stream.peer_addr().ok()?;
                Some((TcpStream::from_std(stream).ok()?, from))
            }
        }
    }
}
