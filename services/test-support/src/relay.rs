//! A line between two parts of a test that can be cut, stalled and slowed:
//! a TCP listener in front of a TCP address or a Unix socket.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::AbortHandle,
};

/// Where a relay leads to.
#[derive(Debug, Clone)]
pub enum Target {
    /// Host and port.
    Tcp(SocketAddr),
    /// A Unix socket, such as PostgreSQL's.
    Unix(PathBuf),
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<PathBuf> for Target {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

/// What the line does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    Slow(Duration),
    StalledBehind(&'static [u8]),
    Stalled,
    Cut,
}

/// A running relay; it ends, connections included, when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    flow: watch::Sender<Flow>,
    accepted: Arc<AtomicUsize>,
    acceptor: AbortHandle,
}

impl Relay {
    /// Listens on a free port of the loopback address and leads to `target`,
    /// which need not be there yet.
    ///
    /// # Panics
    /// Without a free port.
    pub async fn start(target: impl Into<Target>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("no free port");
        let address = listener.local_addr().expect("a listener has an address");
        let flow = watch::Sender::new(Flow::Open);
        let accepted = Arc::new(AtomicUsize::new(0));
        let accept = accept(listener, target.into(), flow.clone(), accepted.clone());
        let acceptor = tokio::spawn(accept).abort_handle();
        Self { address, flow, accepted, acceptor }
    }

    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far, those that were cut at once included.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Breaks every connection, and each new one as soon as it is made.
    pub fn cut(&self) {
        self.flow.send_replace(Flow::Cut);
    }

    /// Lets nothing through while connections stay: what a lost route looks like.
    pub fn stall(&self) {
        self.flow.send_replace(Flow::Stalled);
    }

    /// Stalls as soon as a read of at most 16 KiB with `text` in it has passed, so that
    /// the other side acts on it and its answer does not come.
    pub fn stall_behind(&self, text: &'static [u8]) {
        self.flow.send_replace(Flow::StalledBehind(text));
    }

    /// Waits until the line is stalled.
    ///
    /// # Panics
    /// Never: the line is there as long as this is.
    pub async fn stalled(&self) {
        let mut flow = self.flow.subscribe();
        flow.wait_for(|flow| *flow == Flow::Stalled).await.expect("the line is there");
    }

    /// Holds up every read of at most 16 KiB by `delay`.
    pub fn slow(&self, delay: Duration) {
        self.flow.send_replace(Flow::Slow(delay));
    }

    /// Everything passes again; connections that were cut stay so.
    pub fn restore(&self) {
        self.flow.send_replace(Flow::Open);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.flow.send_replace(Flow::Cut);
        self.acceptor.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: Target,
    flow: watch::Sender<Flow>,
    accepted: Arc<AtomicUsize>,
) {
    while let Ok((client, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::SeqCst);
        let flow = flow.clone();
        if *flow.borrow() == Flow::Cut {
            continue;
        }
        let target = target.clone();
        // A target that is not there ends the connection, as a cut does.
        tokio::spawn(async move {
            let _ = client.set_nodelay(true);
            match target {
                Target::Tcp(address) => {
                    let server = TcpStream::connect(address).await?;
                    server.set_nodelay(true)?;
                    join(client, server, flow).await;
                }
                Target::Unix(path) => join(client, UnixStream::connect(path).await?, flow).await,
            }
            io::Result::Ok(())
        });
    }
}

/// Copies both ways until both ends are done, one fails, or the line is cut.
async fn join<S>(client: TcpStream, server: S, flow: watch::Sender<Flow>)
where
    S: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = tokio::io::split(server);
    let both = async {
        tokio::try_join!(pump(from_client, to_server, &flow), pump(from_server, to_client, &flow),)
    };
    let mut changes = flow.subscribe();
    tokio::select! {
        _ = both => {}
        _ = changes.wait_for(|flow| *flow == Flow::Cut) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    flow: &watch::Sender<Flow>,
) -> io::Result<()> {
    let mut changes = flow.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        // Fails only when the relay is gone.
        let now =
            *changes.wait_for(|flow| *flow != Flow::Stalled).await.map_err(io::Error::other)?;
        if let Flow::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if length == 0 {
            return to.shutdown().await;
        }
        if let Flow::StalledBehind(text) = now
            && buffer[..length].windows(text.len()).any(|window| window == text)
        {
            flow.send_replace(Flow::Stalled);
        }
        to.write_all(&buffer[..length]).await?;
    }
}
