//! Where a turn sends its request: a connection to the upstream, or the bridge.

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    bridge::Bridge,
    upstream::{Lease, Sent},
};

/// A stream of bytes both ways.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// The other end of a turn.
pub(super) enum Upstream {
    /// A connection of HTTP/1.1.
    Direct(Box<Lease>),
    /// One request over hyper.
    Bridged(Bridge),
}

impl Upstream {
    /// Its bytes.
    pub(super) fn stream(&mut self) -> &mut dyn Duplex {
        self.parts().0
    }

    /// Its bytes, and where those of the request are noted, if it may go again.
    pub(super) fn parts(&mut self) -> (&mut dyn Duplex, Option<&mut Sent>) {
        match self {
            Self::Direct(lease) => (&mut lease.stream, Some(&mut lease.sent)),
            Self::Bridged(bridge) => (&mut bridge.stream, None),
        }
    }

    /// The connection, if it is one.
    pub(super) fn lease(&mut self) -> Option<&mut Lease> {
        match self {
            Self::Direct(lease) => Some(lease),
            Self::Bridged(_) => None,
        }
    }
}
