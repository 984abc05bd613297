//! A server that answers with the bytes it is given and keeps what it receives.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

use super::{MessageKind, RawMessage, RawReader, client::write_pieces};

/// An answer in pieces that are written one by one.
#[derive(Debug, Clone, Default)]
pub struct RawAnswer {
    /// Status line, headers and body.
    pub pieces: Vec<Bytes>,
    /// Close the connection afterwards.
    pub close: bool,
}

impl RawAnswer {
    /// In one piece; the connection stays.
    #[must_use]
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { pieces: vec![bytes.into()], close: false }
    }
}

/// A running server; it ends, connections included, when dropped.
#[derive(Debug)]
pub struct RawUpstream {
    address: SocketAddr,
    answers: Arc<Mutex<VecDeque<RawAnswer>>>,
    requests: mpsc::Receiver<RawMessage>,
    acceptor: AbortHandle,
}

impl RawUpstream {
    /// Listens on a free port of the loopback address.
    ///
    /// # Panics
    /// Without a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("no free port");
        let address = listener.local_addr().expect("a listener has an address");
        let answers = Arc::<Mutex<VecDeque<RawAnswer>>>::default();
        let (sender, requests) = mpsc::channel(1_000);
        let script = answers.clone();
        let accept = async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                connections.spawn(serve(stream, script.clone(), sender.clone()));
            }
        };
        let acceptor = tokio::spawn(accept).abort_handle();
        Self { address, answers, requests, acceptor }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and the address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request gets this, as soon as it is there in full. Without an
    /// answer of its own its connection is closed.
    pub fn answer(&self, answer: RawAnswer) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push_back(answer);
    }

    /// The next request that this has not returned before.
    ///
    /// # Panics
    /// Never, as long as the server runs.
    pub async fn next_request(&mut self) -> RawMessage {
        self.requests.recv().await.expect("the server runs as long as this lives")
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn serve(
    stream: TcpStream,
    answers: Arc<Mutex<VecDeque<RawAnswer>>>,
    requests: mpsc::Sender<RawMessage>,
) -> io::Result<()> {
    let mut reader = RawReader::new(stream);
    while let Some(request) = reader.message(MessageKind::Request).await? {
        let _ = requests.send(request).await;
        let answer = answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(answer) = answer else { return Ok(()) };
        write_pieces(reader.get_mut(), &answer.pieces).await?;
        if answer.close {
            return Ok(());
        }
    }
    Ok(())
}
