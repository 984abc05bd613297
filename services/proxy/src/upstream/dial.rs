//! From a host name to an open TCP connection: the name is looked up anew for
//! each connection, and all of its addresses are tried with a head start for the
//! first ("happy eyeballs", RFC 8305), so that a dead address or a broken IPv6
//! costs a quarter of a second instead of the connect timeout.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, sync::Mutex};

/// Head start of an address over the next one (RFC 8305 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How long the addresses of a name are good for. Only connections that are
/// opened together share them: a burst must not become a burst of look-ups.
const LOOK_UP_EVERY: Duration = Duration::from_secs(1);

/// Silence after which the system asks whether the other side still lives. A
/// model may think for many minutes without a byte; address translators forget
/// such connections, and a dead host would never be noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Gives the addresses of a host name, best first.
pub(super) type Resolve =
    Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Opens connections to one host.
pub(crate) struct Dialler {
    host: String,
    port: u16,
    resolve: Resolve,
    addresses: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
}

/// What was tried, and why it did not work.
#[derive(Debug, Default)]
pub(crate) struct Failures(Vec<(String, io::Error)>);

impl Dialler {
    /// With the system's name look-up.
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self::with(host, port, Arc::new(|host, port| system(host, port).boxed()))
    }

    pub(super) fn with(host: &str, port: u16, resolve: Resolve) -> Self {
        Self { host: host.to_owned(), port, resolve, addresses: Mutex::default() }
    }

    /// An open connection; `None` if no address takes one. What fails on the way
    /// is noted at once, so that it can be told should the caller give up first.
    pub(super) async fn dial(&self, failures: &mut Failures) -> Option<TcpStream> {
        let addresses = match self.addresses().await {
            Ok(addresses) => addresses,
            Err(error) => {
                failures.0.push((format!("look-up of {}", self.host), error));
                return None;
            }
        };
        let stream = first_to_connect(&addresses, failures).await?;
        // A request is one write; waiting for more would only delay it.
        let _ = stream.set_nodelay(true);
        let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE / 4);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keep_alive);
        Some(stream)
    }

    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        // Held over the look-up: those who come meanwhile share its result.
        let mut known = self.addresses.lock().await;
        if let Some((since, addresses)) = &*known
            && since.elapsed() < LOOK_UP_EVERY
        {
            return Ok(addresses.clone());
        }
        let found = (self.resolve)(self.host.clone(), self.port).await?;
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        let addresses = interleaved(found);
        *known = Some((Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

async fn system(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

/// The two families in turn, beginning with that of the first address, each in
/// its own order (RFC 8305 4).
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_ipv6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut result = Vec::with_capacity(first.len() + second.len());
    while first.len() + second.len() > 0 {
        result.extend(first.next());
        result.extend(second.next());
    }
    result
}

/// The connection that is open first. The next address is tried when the one
/// before has failed or has had its head start.
async fn first_to_connect(addresses: &[SocketAddr], failures: &mut Failures) -> Option<TcpStream> {
    let mut waiting = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    loop {
        if let Some(&address) = waiting.next() {
            attempts.push(async move { (address, TcpStream::connect(address).await) });
        }
        let more = waiting.len() > 0;
        tokio::select! {
            ended = attempts.next() => match ended? {
                (_, Ok(stream)) => return Some(stream),
                (address, Err(error)) => failures.0.push((address.to_string(), error)),
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if more => {}
        }
    }
}

impl Failures {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (what, error)) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{what}: {error}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, TcpListener as StdListener},
        sync::Mutex as StdMutex,
    };

    use modash_test_support::eventually;
    use socket2::{Domain, Socket, Type};
    use tokio::net::TcpListener;

    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    /// A name whose addresses the test changes.
    fn dialler(book: &Arc<StdMutex<Vec<SocketAddr>>>) -> Dialler {
        let book = book.clone();
        let resolve: Resolve = Arc::new(move |_, _| {
            let addresses = book.lock().unwrap().clone();
            async move { Ok(addresses) }.boxed()
        });
        Dialler::with("somewhere.test", 80, resolve)
    }

    fn closed() -> SocketAddr {
        StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    /// An address that answers nothing: its queue of connections is full.
    fn silent() -> (SocketAddr, Vec<Socket>) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut held = vec![listener];
        for _ in 0..3 {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address);
            held.push(socket);
        }
        (address.as_socket().unwrap(), held)
    }

    #[test]
    fn the_families_take_turns_and_keep_their_order() {
        let found = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let tried = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(interleaved(found), tried);
        let one = addresses(&["1.1.1.1:1", "2.2.2.2:1"]);
        assert_eq!(interleaved(one.clone()), one);
    }

    #[tokio::test]
    async fn an_address_that_answers_nothing_does_not_hold_up_the_next_one() {
        let (silent, _held) = silent();
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let book = Arc::new(StdMutex::new(vec![silent, alive.local_addr().unwrap()]));
        let mut failures = Failures::default();
        let stream = dialler(&book).dial(&mut failures).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive.local_addr().unwrap());
        assert!(failures.is_empty(), "{failures}");
    }

    #[tokio::test]
    async fn the_error_names_every_address_that_was_tried() {
        let (first, second) = (closed(), closed());
        let book = Arc::new(StdMutex::new(vec![first, second]));
        let mut failures = Failures::default();
        assert!(dialler(&book).dial(&mut failures).await.is_none());
        let text = failures.to_string();
        for address in [first, second] {
            assert!(text.contains(&format!("{address}: Connection refused")), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_an_error_that_names_it() {
        let book = Arc::new(StdMutex::new(Vec::new()));
        let mut failures = Failures::default();
        assert!(dialler(&book).dial(&mut failures).await.is_none());
        assert!(failures.to_string().contains("look-up of somewhere.test"), "{failures}");
    }

    #[tokio::test]
    async fn a_new_connection_follows_a_changed_address() {
        let old = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let new = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let book = Arc::new(StdMutex::new(vec![old.local_addr().unwrap()]));
        let dialler = dialler(&book);
        let peer = || async {
            let stream = dialler.dial(&mut Failures::default()).await.unwrap();
            stream.peer_addr().unwrap()
        };
        assert_eq!(peer().await, old.local_addr().unwrap());
        *book.lock().unwrap() = vec![new.local_addr().unwrap()];
        eventually(Duration::from_secs(20), || async {
            let now = peer().await;
            if now == new.local_addr().unwrap() { Ok(()) } else { Err(format!("still {now}")) }
        })
        .await;
    }

    #[tokio::test]
    async fn connections_that_are_opened_together_share_a_look_up() {
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = alive.local_addr().unwrap();
        let asked = Arc::new(StdMutex::new(0));
        let count = asked.clone();
        let resolve: Resolve = Arc::new(move |_, _| {
            *count.lock().unwrap() += 1;
            async move { Ok(vec![address]) }.boxed()
        });
        let dialler = Dialler::with("somewhere.test", 80, resolve);
        let dials = (0..20).map(|_| async {
            assert!(dialler.dial(&mut Failures::default()).await.is_some());
        });
        futures_util::future::join_all(dials).await;
        assert_eq!(*asked.lock().unwrap(), 1);
    }
}
