//! The server from start to stop, as everybody else sees it.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{
    Config, DATABASE, Error, Lifetime,
    account::Account,
    binaries::Binaries,
    cluster,
    directory::{DataDirectory, socket_directory},
    guard::Guard,
    log::{LogLimit, tail},
    wire::{Connection, Failure},
};

/// A server that recovers from a crash may read up to a gigabyte of its journal.
const START_LIMIT: Duration = Duration::from_secs(300);

/// SQLSTATE of a database that does not exist.
const UNKNOWN_DATABASE: &str = "3D000";

/// A running private PostgreSQL. Dropping it stops the server and waits for it,
/// some 50 ms; it stops as well when this process is killed.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    // In the order in which they end: the server before its directory's lock.
    guard: Guard,
    _log: LogLimit,
    directory: DataDirectory,
    binaries: Binaries,
}

impl EmbeddedPostgres {
    /// Starts the server, creating cluster and database on the first start.
    /// Ready when it returns: under a second for a new cluster.
    ///
    /// # Errors
    /// Every kind of [`Error`]; nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, Error> {
        match tokio::task::spawn_blocking(move || Self::start_blocking(&config)).await {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// [`EmbeddedPostgres::start`] for a thread that may block.
    ///
    /// # Errors
    /// As there.
    pub fn start_blocking(config: &Config) -> Result<Self, Error> {
        let root =
            std::path::absolute(&config.data_dir).map_err(Error::io("find", &config.data_dir))?;
        let account = Account::for_directory(&root)?;
        let directory = DataDirectory::open(&root, &account)?;
        let binaries = Binaries::find(config.binaries.as_deref(), &account, &directory.copies)?;
        cluster::prepare(&directory, &binaries, &account, config.lifetime)?;
        let log = LogLimit::watch(&directory.log);
        let command = server_command(&binaries, &directory, config.lifetime);
        let remove_afterwards = config.lifetime == Lifetime::Throwaway;
        let guard = Guard::start(&command, &account, &directory, remove_afterwards)?;
        let server = Self { guard, _log: log, directory, binaries };
        server.wait_until_ready()?;
        tracing::debug!(
            version = %server.binaries.version,
            binaries = %server.binaries.directory.display(),
            directory = %root.display(),
            "private database is ready"
        );
        Ok(server)
    }

    /// Where clients connect: a `postgresql://` URL whose host is the socket's
    /// directory, percent-encoded.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// [`EmbeddedPostgres::url`] of another database of this server.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        url(&self.directory.sockets, database)
    }

    /// The server's Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.socket()
    }

    /// Major version of the server, such as 18.
    #[must_use]
    pub fn major_version(&self) -> u32 {
        self.binaries.major_version
    }

    /// Version of the server, such as `18.4`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.binaries.version
    }

    /// The server's log file, at most 16 MiB with its predecessor.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.directory.log
    }

    /// Creates an empty database. Blocks for some 20 ms.
    ///
    /// # Errors
    /// When the name is no plain identifier or the server refuses.
    pub fn create_database(&self, name: &str) -> Result<(), Error> {
        self.execute(&format!("CREATE DATABASE {}", checked_name(name)?))
    }

    /// Drops a database and cuts whoever is connected to it. Blocks.
    ///
    /// # Errors
    /// When the name is no plain identifier or the server refuses.
    pub fn drop_database(&self, name: &str) -> Result<(), Error> {
        self.execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", checked_name(name)?))
    }

    /// Returns when the server has ended, which it does by itself only when it
    /// was killed or cannot go on. Borrows nothing.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended: watch::Receiver<bool> = self.guard.ended();
        async move {
            // An error means that the watching thread is gone: just as ended.
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }

    /// Stops the server: cuts its clients, writes everything, ends. Takes some
    /// 50 ms; a server that hangs is ended by force after 20 s.
    pub async fn stop(self) {
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    fn execute(&self, statement: &str) -> Result<(), Error> {
        let socket = self.directory.socket();
        let run = || Connection::open(&socket, "postgres")?.execute(statement);
        run().map_err(|failure| match failure {
            Failure::Refused { code, message } => Error::Refused { code, message },
            Failure::Io(source) => Error::io("talk to", &socket)(source),
        })
    }

    /// Asks the server itself, not the clock, and creates the database when it
    /// is the first time.
    fn wait_until_ready(&self) -> Result<(), Error> {
        let socket = self.directory.socket();
        let started = Instant::now();
        loop {
            match Connection::open(&socket, DATABASE) {
                Ok(_) => return Ok(()),
                Err(Failure::Refused { code, .. }) if code == UNKNOWN_DATABASE => {
                    return self.create_database(DATABASE);
                }
                // Not there yet, or "the database system is starting up".
                Err(_) => {}
            }
            if self.guard.has_ended() {
                let output = tail(&self.directory.log);
                return Err(Error::Program { program: "postgres", output });
            }
            if started.elapsed() > START_LIMIT {
                let output = tail(&self.directory.log);
                return Err(Error::NotReady { seconds: START_LIMIT.as_secs(), output });
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The URL of the server that another process of this user runs in a data
/// directory, as `Error::InUse` tells. It may be starting or stopping just now.
///
/// # Errors
/// If the directory cannot be found, or there is no account to run under.
pub fn url_of_running(data_dir: &Path) -> Result<String, Error> {
    let root = std::path::absolute(data_dir).map_err(Error::io("find", data_dir))?;
    let account = Account::for_directory(&root)?;
    Ok(url(&socket_directory(&root, &account), DATABASE))
}

fn url(sockets: &Path, database: &str) -> String {
    format!("postgresql://{DATABASE}@{}/{database}", percent_encoded(sockets))
}

/// The server with its settings, which thus come with the program and not from
/// the files of the day on which the cluster was made.
fn server_command(binaries: &Binaries, directory: &DataDirectory, lifetime: Lifetime) -> Command {
    let mut command = Command::new(binaries.directory.join("postgres"));
    command.arg("-D").arg(&directory.cluster).arg("-k").arg(&directory.sockets);
    let always = [
        "listen_addresses=",
        "port=5432",
        "unix_socket_permissions=0700",
        "cluster_name=modash",
        "timezone=UTC",
        "log_timezone=UTC",
        "logging_collector=off",
        "log_destination=stderr",
        "log_line_prefix=%m [%p] ",
        // Statements carry what users call their models and clients.
        "log_min_error_statement=panic",
        "log_checkpoints=off",
        // Compiling costs more than dashboard queries take.
        "jit=off",
    ];
    let page_memory = format!("shared_buffers={}MB", page_memory_mb());
    let by_lifetime: &[&str] = match lifetime {
        Lifetime::Kept => &["max_connections=60", &page_memory],
        // Many tests at a time, none of which looks for its data after a crash.
        Lifetime::Throwaway => &[
            "max_connections=200",
            "shared_buffers=128MB",
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
        ],
    };
    for setting in always.iter().chain(by_lifetime) {
        command.args(["-c", setting]);
    }
    command
}

/// Megabytes in which the server keeps pages: a sixteenth of the machine's memory,
/// from 128, which is PostgreSQL's own default, to 1,024. It takes no more of them
/// than there are pages to keep.
fn page_memory_mb() -> u64 {
    const LEAST: u64 = 128;
    const MOST: u64 = 1_024;
    (machine_memory_mb() / 16).clamp(LEAST, MOST)
}

#[cfg(target_os = "linux")]
#[allow(clippy::useless_conversion, reason = "the types differ by architecture")]
fn machine_memory_mb() -> u64 {
    let info = rustix::system::sysinfo();
    u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit)) >> 20
}

/// Unknown.
#[cfg(not(target_os = "linux"))]
fn machine_memory_mb() -> u64 {
    0
}

fn percent_encoded(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                text.push(char::from(*byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn checked_name(name: &str) -> Result<&str, Error> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if starts && name.len() <= 63 && name.chars().all(plain) {
        return Ok(name);
    }
    Err(Error::DatabaseName(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_the_host_of_a_url() {
        assert_eq!(percent_encoded(Path::new("/tmp/a b/ü")), "%2Ftmp%2Fa%20b%2F%C3%BC");
    }

    #[test]
    fn only_plain_names_reach_a_statement() {
        assert!(checked_name("test_1").is_ok());
        for name in ["", "1a", "a\"b", "a;b", "A", &"a".repeat(64)] {
            assert!(checked_name(name).is_err(), "{name}");
        }
    }
}
