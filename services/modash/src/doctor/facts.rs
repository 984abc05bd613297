//! Everything that findings are made of.

use std::{net::SocketAddr, path::PathBuf};

use modash_analytics::Inspected;
use modash_embedded_postgres::Inspection;
use modash_proxy::{
    StreamUsage,
    probe::{Server, Trial, Unreached},
};

/// What was found.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) upstreams: Upstreams,
    pub(crate) stream_usage: StreamUsage,
    pub(crate) database: Database,
    /// The way past a pooler, shown and looked at.
    pub(crate) listen_database: Option<(String, Inspected)>,
    /// The replica for queries: its URL without secrets, and how it is.
    pub(crate) read_database: Option<(String, Inspected)>,
    pub(crate) disks: Vec<Disk>,
    pub(crate) listeners: Vec<Listener>,
    /// Files of TLS that cannot be used, in words.
    pub(crate) tls: TlsFiles,
    /// Most open files; `None`: no limit.
    pub(crate) file_limit: Option<u64>,
    pub(crate) proxy_variables: Vec<(&'static str, String)>,
    /// Applications have to show a token.
    pub(crate) client_tokens: bool,
}

/// The upstreams that are configured.
#[derive(Debug)]
pub(crate) struct Upstreams {
    /// The one without a name first.
    pub(crate) configured: Vec<Upstream>,
    /// None is configured: the server that answers on a usual port.
    pub(crate) chosen: Chosen,
    /// There is a key, and it was shown to none of them: they are of several hosts.
    pub(crate) key_withheld: bool,
}

/// How the upstream without a name was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// By `UPSTREAM_URL`.
    BySetting,
    /// Its port answers.
    ByPort,
    /// Nothing answers on any of the usual ports.
    ByNothing,
    /// It is simulated, by `--demo`.
    Simulated,
}

/// One upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Its name; `None`: the one for all other paths.
    pub(crate) name: Option<String>,
    pub(crate) url: String,
    pub(crate) is_https: bool,
    pub(crate) with_key: bool,
    pub(crate) found: Result<Server, Unreached>,
    /// What `--try` gave.
    pub(crate) trial: Option<Result<Trial, Unreached>>,
}

/// The database.
#[derive(Debug)]
pub(crate) enum Database {
    /// That of `DATABASE_URL`: its URL without secrets.
    External { url: String, inspected: Inspected },
    /// The private one.
    Private {
        directory: PathBuf,
        inspection: Inspection,
        /// What is inside, if it runs or could be started; else why not.
        inside: Option<Result<Inspected, String>>,
    },
}

/// A place on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) purpose: Purpose,
    pub(crate) path: PathBuf,
    /// Bytes that can still be written, or why that is not known.
    pub(crate) free: Result<u64, String>,
    /// Whether this user may write there.
    pub(crate) writable: bool,
    /// Most bytes that modash will write there; `None`: as many as there are requests.
    pub(crate) most: Option<u64>,
}

/// What a place is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Data,
    Spool,
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) purpose: &'static str,
    pub(crate) setting: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) is_https: bool,
    pub(crate) state: PortState,
}

/// How a port is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PortState {
    Free,
    /// A running modash has it.
    Modash,
    /// Another program has it: its name and number, where that can be told.
    Taken(Option<String>),
    /// It cannot be bound; says why and what to do.
    Unusable(String),
}

/// Files of TLS with clients.
#[derive(Debug, Default)]
pub(crate) struct TlsFiles {
    /// How many listeners speak TLS.
    pub(crate) listeners: usize,
    pub(crate) problems: Vec<String>,
}
