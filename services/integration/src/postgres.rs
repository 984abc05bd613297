//! PostgreSQL as teams have it: clusters of their own, made by the programs of an
//! installed PostgreSQL (Debian's package) and not by ours.

use std::{
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use modash_test_support::eventually;
use tempfile::TempDir;

use crate::{PATIENCE, Process};

/// A running cluster; killed, and removed, when dropped.
pub struct Postgres {
    directory: TempDir,
    port: u16,
    process: Process,
}

/// Settings of all clusters: quick to start, and nothing has to survive a power cut.
const SETTINGS: [&str; 5] = [
    "listen_addresses=127.0.0.1",
    "fsync=off",
    "wal_level=replica",
    "wal_sender_timeout=5s",
    "shared_buffers=32MB",
];

impl Postgres {
    /// An empty cluster whose superuser is `postgres`, and who comes by this machine needs
    /// no password.
    ///
    /// # Panics
    /// If PostgreSQL is not installed, or does not start.
    pub async fn start(settings: &[&str]) -> Self {
        let directory = directory();
        run("initdb", &["-D", &data(&directory), "-U", "postgres", "-A", "trust", "-N"]).await;
        Self::run_in(directory, settings).await
    }

    /// A copy of this one by `pg_basebackup`, which goes its own way.
    pub async fn copy(&self) -> Self {
        let directory = self.base_backup(&[]).await;
        Self::run_in(directory, &[]).await
    }

    /// A standby of this one, which follows it by streaming replication.
    pub async fn standby(&self) -> Self {
        let directory = self.base_backup(&["-R"]).await;
        Self::run_in(directory, &["hot_standby=on"]).await
    }

    async fn base_backup(&self, more: &[&str]) -> TempDir {
        let directory = directory();
        let (data, port) = (data(&directory), self.port.to_string());
        let from = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-c", "fast", "-D", &data];
        run("pg_basebackup", &[&from, more].concat()).await;
        directory
    }

    async fn run_in(directory: TempDir, settings: &[&str]) -> Self {
        let port = free_port();
        let process = postgres(&directory, port, settings);
        let cluster = Self { directory, port, process };
        cluster.ready().await;
        cluster
    }

    /// Waits until it answers.
    pub async fn ready(&self) {
        eventually(PATIENCE, || async {
            let port = self.port.to_string();
            let asked = command("pg_isready", &["-h", "127.0.0.1", "-p", &port]).status();
            match asked {
                Ok(status) if status.success() => Ok(()),
                _ => Err(self.process.output()),
            }
        })
        .await;
    }

    /// Kills it at once, as the end of its machine would.
    pub async fn kill(&mut self) {
        self.process.signal(rustix::process::Signal::KILL);
        let _ = self.process.ended().await;
    }

    /// Starts it anew after its end, at the same port.
    ///
    /// # Panics
    /// If it does not start in time.
    pub async fn start_again(&mut self) {
        let begun = Instant::now();
        loop {
            self.process = postgres(&self.directory, self.port, &[]);
            if self.accepts().await {
                return;
            }
            // Those that it has left behind hold its memory for a moment.
            assert!(begun.elapsed() < PATIENCE, "{}", self.process.output());
        }
    }

    /// Whether it begins to accept connections; if not, it has ended.
    async fn accepts(&mut self) -> bool {
        loop {
            let output = self.process.output();
            if output.contains("ready to accept") || output.contains("FATAL") {
                return !output.contains("FATAL");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where `role` reaches a database of it.
    #[must_use]
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgresql://{role}@127.0.0.1:{}/{database}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its directory of data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        data(&self.directory).into()
    }

    /// Runs statements as the superuser, by `psql`; gives what they answer, without heads.
    ///
    /// # Panics
    /// If one fails.
    pub async fn run(&self, statements: &str) -> String {
        self.psql(&self.url("postgres", "postgres"), statements).await
    }

    /// The same with this URL.
    ///
    /// # Panics
    /// If one fails.
    pub async fn psql(&self, url: &str, statements: &str) -> String {
        run("psql", &["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statements])
            .await
            .trim()
            .to_owned()
    }

    /// A role without any right, and a database that it owns, both called `modash`.
    pub async fn with_database(self) -> Self {
        self.run("CREATE ROLE modash LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION")
            .await;
        self.run("CREATE DATABASE modash OWNER modash").await;
        self
    }
}

fn postgres(directory: &TempDir, port: u16, settings: &[&str]) -> Process {
    let socket = directory.path().display().to_string();
    let (data, port) = (data(directory), port.to_string());
    let mut arguments = vec!["-D", &data, "-p", &port, "-k", &socket];
    for setting in SETTINGS.iter().chain(settings) {
        arguments.extend(["-c", setting]);
    }
    Process::spawn("postgres", command("postgres", &arguments))
}

/// Runs a program of PostgreSQL to its end and gives what it says.
///
/// # Panics
/// If it fails.
pub async fn run(program: &str, arguments: &[&str]) -> String {
    Process::spawn(program, command(program, arguments)).succeeds().await
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(programs().join(program));
    command.current_dir("/").args(arguments).env("LC_ALL", "C.UTF-8").env("HOME", "/");
    if let Some((user, group)) = account() {
        command.uid(user).gid(group);
    }
    command
}

/// The newest installed PostgreSQL.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .max();
    let (_, path) =
        newest.expect("PostgreSQL is not installed: apt-get install postgresql postgresql-client");
    path.join("bin")
}

/// PostgreSQL refuses root: then it runs as the account of its package.
pub(crate) fn account() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = accounts.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2).map(|field| field.parse().ok());
    Some((fields.next()??, fields.next()??))
}

/// Gives a file to the account of PostgreSQL.
///
/// # Panics
/// If it is not there.
pub fn give(path: &Path) {
    if let Some((user, group)) = account() {
        chown(path, Some(user), Some(group)).expect("a file can be given away by root");
    }
}

pub(crate) fn directory() -> TempDir {
    let directory = tempfile::Builder::new().prefix("modash-postgres-").tempdir();
    let directory = directory.expect("there is a temporary directory");
    give(directory.path());
    directory
}

fn data(directory: &TempDir) -> String {
    directory.path().join("data").display().to_string()
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.expect("a port is free").port()
}
