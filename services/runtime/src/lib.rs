//! Everything a process needs that is not business: settings that report all
//! mistakes at once, logs, metrics, readiness, signals, and an orderly stop.
//! Knows processes, not usage.
//!
//! The order of every process: settings are read and checked; listeners are
//! bound; the service runs until it is told to stop; it then drains, each part
//! within the grace period; the exit code says how it went.

mod activity;
mod admin;
mod boxed;
mod file_limit;
mod hosts;
mod listen;
mod log;
mod metrics;
mod process;
mod readiness;
mod server;
mod settings;
mod shares;
mod shutdown;
mod tls;
mod unread;
mod watched_files;

pub use activity::ClientAddress;
pub use admin::{Admin, NotAdmitted, Scrapers};
pub use boxed::Boxed;
pub use file_limit::{FileShare, raise_file_limit, reserved_files};
pub use hosts::{Caller, HANDED_ON, Hosts, Origins, SESSION_COOKIE, caller, may_be_rebound};
pub use listen::{BindError, bind, warn_if_exposed};
pub use log::LogFormat;
pub use metrics::{Description, Kind, Metrics, Row, process_metrics};
pub use process::{ProcessConfig, ProcessSettings, ServiceContext, run};
pub use readiness::{Hold, Readiness};
pub use server::{BoundedListener, ConnectionCount, ListenerLimits};
pub use settings::{
    Checked, Count, Mistakes, Seconds, Switch, USAGE_EXIT_CODE, parse, proxy_variables, redact,
};
pub use shares::{NoPlace, Place, Shares};
pub use shutdown::Shutdown;
pub use tls::{
    AcceptError, ClientTls, ClientTlsFiles, GrpcTls, HANDSHAKE_TOO_SLOW, ListenerTls,
    ListenerTlsFiles, RefusedHandshakes, TlsDialer, TlsFileError, TlsPeer, TlsSettings,
    refused_handshakes, tls_advice,
};
pub use watched_files::WatchedFiles;
