//! A process of ours: started with nothing but the settings of the test, its
//! output kept, ended with the test.

use std::{
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use modash_test_support::eventually;
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use crate::PATIENCE;

/// A running process. Killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts a program of this workspace with these settings and no others, in
    /// an empty directory. Its standard error is no terminal, so its log is JSON.
    ///
    /// # Panics
    /// If it was not built.
    #[must_use]
    pub fn start(name: &str, settings: &[(&str, String)], arguments: &[&str]) -> Self {
        Self::start_in(&std::env::temp_dir(), name, settings, arguments)
    }

    /// The same in a directory of the test's own.
    ///
    /// # Panics
    /// If it was not built.
    #[must_use]
    pub fn start_in(
        directory: &Path,
        name: &str,
        settings: &[(&str, String)],
        arguments: &[&str],
    ) -> Self {
        let mut command = Command::new(program(name));
        command.current_dir(directory).env_clear().args(arguments);
        for kept in ["PATH", "HOME", "TMPDIR", "LANG"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        command.envs(settings.iter().map(|(name, value)| (*name, value)));
        Self::spawn(name, command)
    }

    /// Runs any other command.
    ///
    /// # Panics
    /// If there is no such program.
    #[must_use]
    pub fn spawn(name: &str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let output = Arc::new(Mutex::new(String::new()));
        let readers = [
            child.stdout.take().map(|stdout| collect(stdout, output.clone())),
            child.stderr.take().map(|stderr| collect(stderr, output.clone())),
        ];
        let readers = readers.into_iter().flatten().collect();
        Self { name: name.to_owned(), child, output, readers }
    }

    /// Everything that it wrote so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lock().map(|output| output.clone()).unwrap_or_default()
    }

    /// Where it listens for a purpose ("proxy", "gateway", "analytics", …), as
    /// its log says.
    pub async fn address(&self, purpose: &str) -> SocketAddr {
        eventually(PATIENCE, || async {
            let output = self.output();
            let address = output
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .find(|line| {
                    line["body"] == "listening" && line["attributes"]["purpose"] == purpose
                })
                .and_then(|line| line["attributes"]["address"].as_str()?.parse().ok());
            address.ok_or_else(|| format!("{} says: {output}", self.name))
        })
        .await
    }

    /// Waits until its output contains a text.
    pub async fn says(&self, text: &str) {
        eventually(PATIENCE, || async {
            let output = self.output();
            if output.contains(text) {
                Ok(())
            } else {
                Err(format!("{} says: {output}", self.name))
            }
        })
        .await;
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If it does not run any more.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process has an id"), signal)
            .unwrap_or_else(|error| panic!("{} does not run: {error}", self.name));
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not come in time.
    pub async fn ended(&mut self) -> ExitStatus {
        self.ended_within(PATIENCE).await
    }

    async fn ended_within(&mut self, patience: Duration) -> ExitStatus {
        let start = std::time::Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status,
                Ok(None) => {}
                Err(error) => panic!("{}: {error}", self.name),
            }
            assert!(start.elapsed() < patience, "{} does not end: {}", self.name, self.output());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until all that it wrote before its end was read.
    pub async fn says_no_more(&self) {
        eventually(PATIENCE, || async { self.readers.iter().all(JoinHandle::is_finished) }).await;
    }

    /// Waits for an end with exit code 0 and gives the output. What has much to do, as the
    /// tests in a browser, has five times as long.
    ///
    /// # Panics
    /// If it ends otherwise.
    pub async fn succeeds(self) -> String {
        self.succeeds_within(5 * PATIENCE).await
    }

    /// The same for what takes longer.
    pub async fn succeeds_within(mut self, limit: Duration) -> String {
        let status = self.ended_within(limit).await;
        self.says_no_more().await;
        assert!(status.success(), "{} ended with {status}: {}", self.name, self.output());
        self.output()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("---- {} said:\n{}", self.name, self.output());
        }
    }
}

fn collect(stream: impl Read + Send + 'static, output: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Ok(mut output) = output.lock() {
                output.push_str(&line);
                output.push('\n');
            }
        }
    })
}

/// A program of this workspace. It is beside the test's own: `target/<profile>/deps/test`
/// → `target/<profile>`.
///
/// # Panics
/// If it was not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its program");
    let path = test.ancestors().nth(2).map(|profile| profile.join(name)).unwrap_or_default();
    assert!(path.is_file(), "{} is missing: `cargo build --workspace --bins`", path.display());
    path
}
