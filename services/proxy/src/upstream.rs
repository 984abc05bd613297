//! Where requests are sent: base URLs, and for each a pool of connections that
//! belongs to one core.

mod connect;
mod dial;
mod habits;
mod http2;
mod lease;
mod pool;
mod sent;
mod socket;
mod tls;

pub(crate) use connect::{ConnectError, connect};
pub(crate) use dial::{Dialler, Failures};
pub(crate) use lease::Lease;
pub(crate) use pool::Pool;
pub(crate) use tls::advice as tls_advice;
