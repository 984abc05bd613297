//! A client that writes the bytes it is given, in the pieces it is given.

use std::{io, net::SocketAddr};

use bytes::Bytes;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{Framing, MessageKind, RawAnswer, RawMessage, RawReader};

/// A request and its answer, by the byte.
#[derive(Debug, Clone)]
pub struct RawExchange {
    /// Says which it is when a test fails.
    pub name: String,
    /// The request in pieces that are written one by one.
    pub request: Vec<Bytes>,
    /// The answer.
    pub answer: RawAnswer,
}

/// A client that keeps its connection as long as the server lets it.
#[derive(Debug)]
pub struct RawClient {
    address: SocketAddr,
    connection: Option<RawReader<TcpStream>>,
}

impl RawClient {
    /// Of this server; nothing is connected yet.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Sends a request and reads its response.
    ///
    /// # Errors
    /// If no whole response comes.
    pub async fn exchange(&mut self, request: &[Bytes]) -> io::Result<RawMessage> {
        let mut reader = match self.connection.take() {
            Some(reader) => reader,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                RawReader::new(stream)
            }
        };
        let head = request.first().is_some_and(|piece| piece.starts_with(b"HEAD "));
        let kind = if head { MessageKind::ResponseToHead } else { MessageKind::Response };
        write_pieces(reader.get_mut(), request).await?;
        let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "no response");
        let response = reader.message(kind).await?.ok_or_else(ended)?;
        let closes = response.framing == Framing::Close
            || response.start.starts_with(b"HTTP/1.0")
            || response.values("connection").iter().any(|value| value.contains("close"));
        self.connection = (!closes).then_some(reader);
        Ok(response)
    }
}

/// Each piece in a write of its own, as far as the system has it so.
pub(super) async fn write_pieces(stream: &mut TcpStream, pieces: &[Bytes]) -> io::Result<()> {
    for piece in pieces {
        stream.write_all(piece).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
