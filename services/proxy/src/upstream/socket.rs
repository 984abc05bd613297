//! The TCP socket of a connection to an upstream: counts the bytes written, and
//! asks the system what the other side has acknowledged and whether it has closed.

#![cfg_attr(
    target_os = "linux",
    allow(unsafe_code, reason = "the one ioctl has no safe form; this file is all of it")
)]

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::stream::Stream;

/// A connection to an upstream, with or without TLS.
pub(crate) type Link = Stream<Socket>;

/// A TCP socket.
pub(crate) struct Socket {
    tcp: TcpStream,
    written: u64,
    ended: bool,
}

/// State of a socket that nothing is expected from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pending {
    /// Nothing has arrived.
    Nothing,
    /// Unread bytes have arrived.
    Bytes,
    /// The other side has closed or reset the connection.
    End,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp, written: 0, ended: false }
    }

    /// Bytes that the system has taken so far, below TLS.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Whether the other side has ended its sending direction (FIN) and all bytes
    /// before that were read.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// What has arrived, asked of the system: the event loop may not have seen it yet.
    pub(super) fn pending(&self) -> Pending {
        match SockRef::from(&self.tcp).peek(&mut [MaybeUninit::uninit(); 1]) {
            Ok(0) => Pending::End,
            Ok(_) => Pending::Bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Pending::Nothing,
            Err(_) => Pending::End,
        }
    }

    /// Bytes written that the other side's system has not acknowledged (tcp(7),
    /// SIOCOUTQ); `None` if the system cannot say. Still valid after a reset.
    #[cfg(target_os = "linux")]
    pub(super) fn unacknowledged(&self) -> Option<u64> {
        use std::os::fd::AsRawFd as _;

        use nix::libc;

        let mut bytes: libc::c_int = 0;
        // SAFETY: the descriptor is open as long as `tcp` lives, and this request
        // writes one int.
        let result = unsafe { libc::ioctl(self.tcp.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
        (result == 0).then(|| u64::try_from(bytes).ok()).flatten()
    }

    /// Elsewhere the system is not asked.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn unacknowledged(&self) -> Option<u64> {
        None
    }

    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.written += *bytes as u64;
        }
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.remaining();
        ready!(Pin::new(&mut self.tcp).poll_read(context, buffer))?;
        self.ended |= before > 0 && buffer.remaining() == before;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(context, slices);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
