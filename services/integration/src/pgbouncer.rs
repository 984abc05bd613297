//! PgBouncer (Debian's package) before a PostgreSQL cluster.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

use modash_test_support::eventually;
use tempfile::TempDir;

use crate::{
    PATIENCE, Process,
    postgres::{self, Postgres},
};

/// A running pooler; killed when dropped.
pub struct PgBouncer {
    directory: TempDir,
    port: u16,
    process: Process,
}

impl PgBouncer {
    /// A pooler in transaction mode before a cluster. It has `servers` connections for each
    /// role and database and takes them in turn, so that each transaction of a client is on
    /// another one than the last, if there are several.
    ///
    /// # Panics
    /// If PgBouncer is not installed, or does not start.
    pub async fn start(cluster: &Postgres, servers: u32) -> Self {
        Self::start_with(cluster, &format!("default_pool_size = {servers}")).await
    }

    /// The same with further settings.
    ///
    /// # Panics
    /// If PgBouncer is not installed, or does not start.
    pub async fn start_with(cluster: &Postgres, settings: &str) -> Self {
        let directory = postgres::directory();
        let port = postgres::free_port();
        let users = directory.path().join("users.txt");
        fs::write(&users, "\"modash\" \"\"\n\"postgres\" \"\"\n").expect("a file can be written");
        let configuration = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n\
             pool_mode = transaction\nserver_round_robin = 1\nserver_login_retry = 1\n\
             admin_users = postgres\n{settings}\n",
            cluster.port(),
            users.display(),
        );
        fs::write(directory.path().join("pgbouncer.ini"), configuration)
            .expect("a file can be written");
        let process = pgbouncer(&directory);
        let pooler = Self { directory, port, process };
        pooler.ready().await;
        pooler
    }

    async fn ready(&self) {
        eventually(PATIENCE, || async {
            let connected = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await;
            connected.map(drop).map_err(|_| self.process.output())
        })
        .await;
    }

    /// Kills it at once, with all connections of its clients.
    pub async fn kill(&mut self) {
        self.process.signal(rustix::process::Signal::KILL);
        let _ = self.process.ended().await;
    }

    /// Starts it anew after its end, at the same port.
    pub async fn start_again(&mut self) {
        self.process = pgbouncer(&self.directory);
        self.ready().await;
    }

    /// Where `role` reaches a database through it.
    #[must_use]
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgresql://{role}@127.0.0.1:{}/{database}", self.port)
    }

    /// Everything that it wrote.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.output()
    }
}

fn pgbouncer(directory: &TempDir) -> Process {
    let mut command = Command::new("/usr/sbin/pgbouncer");
    assert!(
        Command::new("/usr/sbin/pgbouncer")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success()),
        "PgBouncer is not installed: apt-get install pgbouncer"
    );
    command.current_dir("/").arg(directory.path().join("pgbouncer.ini"));
    // It refuses root, as PostgreSQL does.
    if let Some((user, group)) = postgres::account() {
        command.uid(user).gid(group);
    }
    Process::spawn("pgbouncer", command)
}
