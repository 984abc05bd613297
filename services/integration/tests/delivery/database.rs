//! A PostgreSQL of the test's own, durable as in production, that can be killed,
//! restarted, made read-only, filled up and locked.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use modash_embedded_postgres::{Config, EmbeddedPostgres};
use modash_integration::{PATIENCE, Signal};
use modash_test_support::eventually;
use rustix::process::{Pid, kill_process};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::task::JoinHandle;

use crate::disk::Disk;

/// The server and what is wrong with it.
pub(crate) struct Database {
    server: Option<EmbeddedPostgres>,
    url: String,
    disk: Disk,
    standby: bool,
    session: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Database {
    /// Makes a cluster on a disk of this size and starts it.
    pub(crate) async fn start(bytes: u64) -> Self {
        let disk = Disk::new(bytes);
        let config = Config::new(disk.path());
        let server = EmbeddedPostgres::start(config).await.unwrap();
        let url = server.url();
        Self { server: Some(server), url, disk, standby: false, session: None }
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether its disk can be filled.
    pub(crate) fn can_be_full(&self) -> bool {
        self.disk.is_small()
    }

    /// A connection of the test.
    pub(crate) async fn connect(&self) -> Result<PgConnection, String> {
        PgConnection::connect(&self.url).await.map_err(|error| error.to_string())
    }

    /// Kills the server: its processes notice and end.
    pub(crate) async fn kill(&mut self) {
        let pid = fs::read_to_string(self.cluster().join("postmaster.pid")).ok();
        let pid = pid.and_then(|text| text.lines().next()?.parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::KILL);
        }
        self.stop().await;
        let cluster = self.cluster();
        eventually(PATIENCE, || async { processes_in(&cluster) == 0 }).await;
    }

    /// Kills one of its processes, after which it cuts all others and recovers.
    pub(crate) async fn kill_a_connection(&self) {
        let Ok(mut connection) = self.connect().await else { return };
        let others = "SELECT pid FROM pg_stat_activity
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1";
        let other: Option<i32> =
            sqlx::query_scalar(others).fetch_optional(&mut connection).await.ok().flatten();
        if let Some(pid) = other.and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Stops it in order.
    pub(crate) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// Starts it again.
    pub(crate) async fn start_again(&mut self) {
        let begun = Instant::now();
        while self.server.is_none() {
            let config = Config::new(self.disk.path());
            match EmbeddedPostgres::start(config).await {
                Ok(server) => self.server = Some(server),
                Err(error) => {
                    assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not start: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Starts it as a standby, which only reads, as after a failover.
    pub(crate) async fn become_standby(&mut self) {
        self.stop().await;
        fs::write(self.cluster().join("standby.signal"), "").unwrap();
        self.standby = true;
        self.start_again().await;
    }

    /// Takes all the space that is left on its disk.
    pub(crate) async fn fill_disk(&self) {
        let Ok(mut connection) = self.connect().await else { return };
        // The journal's spare segments would last for long.
        let _ = connection.execute("CHECKPOINT").await;
        self.disk.fill();
    }

    /// Holds what every commit needs, by a session that does nothing.
    pub(crate) fn lock(&mut self) {
        // In the order of commits: it waits for them, and they for it.
        self.hold("LOCK TABLE rollup_changes, replica_runs IN EXCLUSIVE MODE", None);
    }

    /// Locks in the order opposite to that of commits, again and again, so that
    /// each meets the other.
    pub(crate) fn deadlock(&mut self) {
        self.hold(
            "LOCK TABLE replica_runs IN EXCLUSIVE MODE",
            Some("LOCK TABLE requests IN EXCLUSIVE MODE"),
        );
    }

    fn hold(&mut self, first: &'static str, then: Option<&'static str>) {
        let (url, stop) = (self.url.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let session = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let holding = async {
                    let mut connection = PgConnection::connect(&url).await?;
                    let mut transaction = connection.begin().await?;
                    transaction.execute(first).await?;
                    tokio::time::sleep(Duration::from_millis(60)).await;
                    match then {
                        Some(then) => {
                            transaction.execute(then).await?;
                        }
                        None => {
                            while !stopped.load(Ordering::Relaxed) {
                                tokio::time::sleep(Duration::from_millis(10)).await;
                            }
                        }
                    }
                    transaction.rollback().await
                };
                // The victim may be this one.
                let _ = holding.await;
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
        });
        self.session = Some((stop, session));
    }

    /// Ends whatever is wrong with it.
    pub(crate) async fn heal(&mut self) {
        if let Some((stop, session)) = self.session.take() {
            stop.store(true, Ordering::Relaxed);
            let _ = tokio::time::timeout(Duration::from_secs(5), session).await;
        }
        self.disk.free();
        // Without space for its journal it ends, and a supervisor starts it again.
        let ended = self.server.as_ref().map(EmbeddedPostgres::ended);
        if let Some(ended) = ended
            && tokio::time::timeout(Duration::from_millis(50), ended).await.is_ok()
        {
            self.stop().await;
        }
        self.start_again().await;
        if std::mem::take(&mut self.standby) {
            let mut connection = self.connect().await.unwrap();
            connection.execute("SELECT pg_promote(true, 30)").await.unwrap();
        }
    }

    fn cluster(&self) -> PathBuf {
        self.disk.path().join("cluster")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Before its disk goes.
        drop(self.server.take());
    }
}

/// Processes that work in a directory; those of others cannot be seen.
fn processes_in(directory: &std::path::Path) -> usize {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|entry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == directory))
        .count()
}
