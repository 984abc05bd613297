//! The sockets of one port, one for each core, and how they leave it without
//! resetting anybody: the kernel resets what waits in the queue of a socket that
//! closes, so nothing may come to that queue any more when it is last emptied.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the system may hold before they are accepted.
pub(super) const BACKLOG: i32 = 1024;

/// Sockets that listen on one address. They close together, when it is dropped.
pub(crate) struct Port {
    address: SocketAddr,
    sockets: Vec<TcpListener>,
    shared: bool,
}

impl Port {
    /// Binds `count` sockets to one address. `shared`: other processes may listen
    /// on it too, which lets one take over from another; otherwise a second one is
    /// refused, so that two do not share a port without being asked to.
    pub(crate) fn bind(address: SocketAddr, count: usize, shared: bool) -> io::Result<Self> {
        // A plain socket finds out whether the port is free: with SO_REUSEPORT it
        // always seems to be.
        let address = if shared { address } else { listen(address, false)?.local_addr()? };
        let first = listen(address, true)?;
        let address = first.local_addr()?;
        let more = (1..count).map(|_| listen(address, true));
        let sockets = std::iter::once(Ok(first)).chain(more).collect::<io::Result<_>>()?;
        Ok(Self { address, sockets, shared })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The one socket of a port that has only one.
    pub(crate) fn into_listener(mut self) -> io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.sockets.swap_remove(0))
    }

    /// Number of sockets.
    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// The socket of one core.
    pub(super) fn socket(&self, core: usize) -> io::Result<TcpListener> {
        self.sockets[core].try_clone()
    }

    /// Sends new connections to the other processes that listen on this port.
    /// `false`: there are none, or it cannot be told.
    pub(super) fn send_elsewhere(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.shared && linux::send_elsewhere(&self.sockets, self.address).unwrap_or(false);
        #[cfg(not(target_os = "linux"))]
        return false;
    }

    /// Ignores whoever still asks for a connection here, so that he asks again,
    /// which brings him to another process. Handshakes that began go on.
    pub(super) fn ignore_new(&self) {
        #[cfg(target_os = "linux")]
        for socket in &self.sockets {
            if let Err(error) = linux::ignore_new(socket) {
                tracing::warn!(%error, "new connections cannot be kept away from a port that closes");
            }
        }
    }
}

fn listen(address: SocketAddr, share_port: bool) -> io::Result<TcpListener> {
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

/// Two classic BPF programs: one picks a socket of the group that shares a port
/// (socket(7), SO_ATTACH_REUSEPORT_CBPF), the other decides which segments reach
/// a socket (SO_ATTACH_FILTER).
#[cfg(target_os = "linux")]
mod linux {
    use std::{
        io,
        net::{IpAddr, SocketAddr, TcpListener},
    };

    use nix::{
        libc::{
            BPF_ABS, BPF_ADD, BPF_ALU, BPF_AND, BPF_B, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_MOD,
            BPF_RET, BPF_W, SKF_AD_OFF, SKF_AD_RANDOM, sock_filter, sock_fprog,
        },
        sys::socket::{setsockopt, sockopt::AttachReusePortCbpf},
    };
    use socket2::{SockFilter, SockRef};

    const BPF_A: u32 = 0x10;
    const TCP_FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;

    /// The kernel numbers the sockets of a group in the order in which they began
    /// to listen; a closed one gives its place to the last. So those of a process
    /// that ends come first, and the others behind them. A number that no socket
    /// has is ignored: the program does no harm when the sockets are gone.
    pub(super) fn send_elsewhere(ours: &[TcpListener], address: SocketAddr) -> io::Result<bool> {
        let listening = listening(address)?;
        let (ours_count, others) = (ours.len() as u32, listening.saturating_sub(ours.len()) as u32);
        let (Some(socket), 1..) = (ours.first(), others) else { return Ok(false) };
        let mut program = [
            step(BPF_LD | BPF_W | BPF_ABS, (SKF_AD_OFF + SKF_AD_RANDOM) as u32),
            step(BPF_ALU | BPF_MOD | BPF_K, others),
            step(BPF_ALU | BPF_ADD | BPF_K, ours_count),
            step(BPF_RET | BPF_A, 0),
        ];
        let program = sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        setsockopt(socket, AttachReusePortCbpf, &program)?;
        Ok(true)
    }

    /// Drops segments with SYN and without ACK.
    pub(super) fn ignore_new(socket: &TcpListener) -> io::Result<()> {
        let whole = u32::MAX;
        SockRef::from(socket).attach_filter(&[
            filter(BPF_LD | BPF_B | BPF_ABS, 0, 0, TCP_FLAGS),
            filter(BPF_ALU | BPF_AND | BPF_K, 0, 0, SYN | ACK),
            filter(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYN),
            filter(BPF_RET | BPF_K, 0, 0, 0),
            filter(BPF_RET | BPF_K, 0, 0, whole),
        ])
    }

    /// Sockets that listen on this address, by proc(5) `/proc/net/tcp`.
    fn listening(address: SocketAddr) -> io::Result<usize> {
        const LISTEN: &str = "0A";
        let word = |bytes: &[u8]| bytes.iter().rev().map(|byte| format!("{byte:02X}")).collect();
        let (table, ip) = match address.ip() {
            IpAddr::V4(ip) => ("/proc/net/tcp", word(&ip.octets())),
            IpAddr::V6(ip) => {
                ("/proc/net/tcp6", ip.octets().chunks(4).map(word).collect::<String>())
            }
        };
        let local = format!("{ip}:{:04X}", address.port());
        let lines = std::fs::read_to_string(table)?;
        let matches = |line: &&str| {
            let mut fields = line.split_whitespace();
            fields.nth(1) == Some(&local) && fields.nth(1) == Some(LISTEN)
        };
        Ok(lines.lines().filter(matches).count())
    }

    fn step(code: u32, k: u32) -> sock_filter {
        sock_filter { code: code as u16, jt: 0, jf: 0, k }
    }

    fn filter(code: u32, jt: u8, jf: u8, k: u32) -> SockFilter {
        SockFilter::new(code as u16, jt, jf, k)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_sockets_of_an_address_are_counted() {
            for any in ["127.0.0.1:0", "[::1]:0"] {
                let Ok(one) = TcpListener::bind(any) else { continue };
                assert_eq!(listening(one.local_addr().unwrap()).unwrap(), 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn all_sockets_share_the_port_and_a_second_proxy_is_refused() {
        let first = Port::bind(ANY, 3, false).unwrap();
        for core in 0..first.len() {
            assert_eq!(first.socket(core).unwrap().local_addr().unwrap(), first.address);
        }
        let second = Port::bind(first.address, 3, false);
        assert_eq!(second.err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn connections_go_to_the_process_that_takes_over() {
        let old = Port::bind(ANY, 2, true).unwrap();
        assert!(!old.send_elsewhere(), "there is nobody else yet");
        let new = Port::bind(old.address, 2, true).unwrap();
        assert!(old.send_elsewhere());
        let clients: Vec<_> =
            (0..100).map(|_| std::net::TcpStream::connect(old.address).unwrap()).collect();
        let accepted = |port: &Port| {
            let sockets = (0..port.len()).map(|core| port.socket(core).unwrap());
            sockets.map(|socket| std::iter::from_fn(|| socket.accept().ok()).count()).collect()
        };
        let (old, new): (Vec<usize>, Vec<usize>) = (accepted(&old), accepted(&new));
        assert_eq!(old, [0, 0]);
        assert_eq!(new.iter().sum::<usize>(), clients.len());
        assert!(new.iter().all(|count| *count > 10), "{new:?} is not spread");
    }
}
