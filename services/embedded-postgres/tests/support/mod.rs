//! Places that PostgreSQL's account can reach, and a child process with a
//! database of its own that a test may kill.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    fs::{self, Permissions},
    io::{BufRead as _, BufReader},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use modash_embedded_postgres::{Config, EmbeddedPostgres, Lifetime};
use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

/// Says to the child process what to start.
const DIRECTORY: &str = "MODASH_TEST_DATA_DIRECTORY";
const THROWAWAY: &str = "MODASH_TEST_THROWAWAY";

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A directory such as /tmp: every account can make and remove its own there.
pub(crate) fn place() -> TempDir {
    let place = tempfile::Builder::new().prefix("modash-postgres-").tempdir().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o1777)).unwrap();
    place
}

pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not so after 30 s");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Number of the server's process.
pub(crate) fn server_process(data_dir: &Path) -> i32 {
    let text = fs::read_to_string(data_dir.join("cluster/postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

pub(crate) fn is_alive(process: i32) -> bool {
    // A zombie is gone for all that matters.
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    test_kill_process(Pid::from_raw(process).unwrap()).is_ok() && !stat.contains(") Z ")
}

/// A process like modash.
pub(crate) struct Owner {
    pub(crate) child: Child,
    pub(crate) url: String,
}

impl Owner {
    /// Starts this test program again to run only `run_as_owner`, optionally
    /// under another account, and waits for its database.
    pub(crate) fn start(data_dir: &Path, lifetime: Lifetime, account: Option<(u32, u32)>) -> Self {
        let mut command = Command::new(program_for_all(data_dir));
        command.args(["--exact", "owner", "--ignored", "--nocapture"]);
        command.env(DIRECTORY, data_dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        if lifetime == Lifetime::Throwaway {
            command.env(THROWAWAY, "yes");
        }
        if let Some((uid, gid)) = account {
            command.uid(uid).gid(gid).current_dir("/");
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .map_while(Result::ok)
            .find_map(|line| line.split_once("ready: ").map(|(_, url)| url.to_owned()));
        Self { url: url.expect("the child has no database"), child }
    }

    /// As the system does when memory runs out.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The test program where another account can run it. Copied by another process:
/// a program that this one had open for writing could not be run while a thread
/// starts a child.
fn program_for_all(data_dir: &Path) -> PathBuf {
    let program = data_dir.parent().unwrap().join("owner");
    let mut copy = Command::new("cp");
    copy.arg(std::env::current_exe().unwrap()).arg(&program);
    assert!(copy.status().unwrap().success());
    program
}

/// Body of the ignored test `owner` in each file that starts an [`Owner`].
pub(crate) fn run_as_owner() {
    let Some(data_dir) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let throwaway = std::env::var_os(THROWAWAY).is_some();
    let config = if throwaway { Config::throwaway(data_dir) } else { Config::new(data_dir) };
    let server = EmbeddedPostgres::start_blocking(&config).unwrap();
    println!("ready: {}", server.url());
    // Until the test closes the pipe or kills this process.
    let _ = std::io::stdin().lines().next();
}
