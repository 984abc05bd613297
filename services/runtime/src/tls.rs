//! TLS 1.2 and 1.3 for all listeners and all connections between the services and to
//! upstreams. Certificates and keys come from PEM files, which are read again when
//! they change; sessions are resumed. An error names the setting that mends it.

mod advice;
mod client;
mod files;
mod grpc;
mod listener;
mod refused;

pub use advice::{TlsPeer, tls_advice};
pub use client::ClientTls;
pub use files::{ClientTlsFiles, ListenerTlsFiles, TlsFileError, TlsSettings};
pub use grpc::{GrpcTls, TlsDialer};
pub use listener::{AcceptError, ListenerTls};
pub use refused::{HANDSHAKE_TOO_SLOW, RefusedHandshakes, refused_handshakes};
