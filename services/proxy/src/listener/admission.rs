//! Who is served: how many connections there may be at once, what has to come
//! first on them, and what upstreams are told of clients.

use std::{sync::Arc, time::Duration};

use modash_runtime::{
    ListenerTls, RefusedHandshakes, TlsFileError, raise_file_limit, reserved_files,
};

use super::{connection::Patience, entrance::Entrance};
use crate::settings::{ClientConfig, ForwardedHeaders, LISTENER_TLS};

/// File descriptors for everything but connections of clients and to upstreams:
/// listeners, admin connections, the spool, the stream to analytics, and, in one
/// process with all services, the connections between them and to the database.
const OTHER_FILES: u64 = 256;

/// Most connections that are told that they are too many, of each core. What
/// comes beyond is closed at once.
pub(super) const MOST_SURPLUS: usize = 100;

/// How long a surplus connection may take for its request, and then for its end.
const SURPLUS_PATIENCE: Patience =
    Patience { head: Duration::from_secs(5), idle: Duration::from_secs(1) };

/// The rules, the same for all cores.
#[derive(Clone)]
pub(crate) struct Admission {
    pub(super) entrance: Entrance,
    pub(super) forwarded: ForwardedHeaders,
    /// Most connections of one core.
    pub(super) share: usize,
    patience: Patience,
    connections: usize,
}

impl Admission {
    /// By the settings, and by what the system allows.
    pub(crate) fn new(config: &ClientConfig, cores: usize) -> Result<Self, TlsFileError> {
        let tls = config.tls.clone();
        let tls = tls
            .map(|files| ListenerTls::new("the certificates for clients", LISTENER_TLS, files))
            .transpose()?;
        // In one process with other services, their listeners have their share.
        let files = raise_file_limit().map(|files| files.saturating_sub(reserved_files()));
        let connections = most_connections(config.connections, files);
        Ok(Self {
            entrance: Entrance {
                proxy_protocol: config.proxy_protocol,
                tls: tls.map(Arc::new),
                time: config.header_timeout,
                refused: RefusedHandshakes::default(),
            },
            forwarded: config.forwarded,
            share: connections.div_ceil(cores),
            patience: Patience { head: config.header_timeout, idle: config.idle_timeout },
            connections,
        })
    }

    /// Most connections of clients.
    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    /// Counts the handshakes of TLS that fail.
    pub(crate) fn refused_handshakes(&self) -> RefusedHandshakes {
        self.entrance.refused.clone()
    }

    /// Whether clients have to use TLS.
    pub(crate) fn speaks_tls(&self) -> bool {
        self.entrance.tls.is_some()
    }

    pub(super) fn patience(&self, surplus: bool) -> Patience {
        if surplus { SURPLUS_PATIENCE } else { self.patience }
    }
}

/// What is set, or what the limit of file descriptors leaves: each client may
/// need a second connection to an upstream.
fn most_connections(set: Option<usize>, files: Option<u64>) -> usize {
    let possible = files.map(|files| files.saturating_sub(OTHER_FILES).max(2) / 2);
    let possible =
        possible.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    match set {
        Some(set) if set > possible => {
            tracing::warn!(
                connections = set,
                files,
                "MODASH_PROXY_CONNECTIONS needs twice as many file descriptors, and {OTHER_FILES} \
                 more: raise the limit (ulimit -n), or connections fail before it is reached"
            );
            set
        }
        Some(set) => set,
        None => possible,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_file_descriptors_are_kept_for_each_client() {
        for (set, files, expected) in [
            (None, Some(20_256), 10_000),
            (None, Some(100), 1),
            (None, None, usize::MAX),
            (Some(10), Some(20_256), 10),
            (Some(50_000), Some(20_256), 50_000),
        ] {
            assert_eq!(most_connections(set, files), expected, "{set:?} of {files:?}");
        }
    }
}
