//! The servers: the simulated LLM server, what stands in front of it, and behind
//! modash an analytics with a database. All are processes of their own, so that
//! each one's processor time can be read.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use modash_embedded_postgres::{Config, EmbeddedPostgres};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    Outcome,
    programs::{self, Build, UNBUFFERED},
};

/// How long a server may take to listen; under callgrind everything takes fifty
/// times as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long one may take to end.
const ENDING: Duration = Duration::from_secs(20);

/// Something to send requests to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Name in the table.
    pub(crate) name: &'static str,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The process whose use of the machine counts; none for the server itself.
    pub(crate) pid: Option<u32>,
}

/// All of them, ended with this value.
pub(crate) struct Targets {
    /// In the order in which they are asked.
    pub(crate) all: Vec<Target>,
    /// Where modash's counters are.
    pub(crate) metrics: SocketAddr,
    /// Where modash's events go.
    pub(crate) analytics: SocketAddr,
    // Ended in this order: whoever sends before whoever receives.
    processes: Vec<Running>,
    databases: Vec<EmbeddedPostgres>,
    directory: tempfile::TempDir,
}

/// A child process, ended when dropped.
pub(crate) struct Running(Child);

impl Running {
    /// Starts a program and waits until it listens.
    pub(crate) async fn start(mut command: Command, listen: SocketAddr) -> Outcome<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("MODASH_LOG", "error");
        let name = command.get_program().to_string_lossy().into_owned();
        let child =
            command.spawn().map_err(|error| format!("{name} cannot be started: {error}"))?;
        let mut running = Self(child);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(listen).is_err() {
            let ended = matches!(running.0.try_wait(), Ok(Some(_)));
            if ended || Instant::now() > deadline {
                return Err(format!("{name} does not listen on {listen}").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // nginx stops its worker only when it is asked.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + ENDING;
        while Instant::now() < deadline && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Targets {
    /// Starts everything that is there: nginx only if it is installed, and an
    /// earlier build of modash only if its folder is named.
    pub(crate) async fn start(before: Option<&Path>) -> Outcome<Self> {
        let directory = tempfile::Builder::new().prefix("modash-bench-").tempdir()?;
        open_to_all(directory.path())?;
        let [server, unbuffered, buffered, bare, earlier @ .., n0, n1, n2, n3] =
            free_ports::<12>()?;
        let now = [n0, n1, n2, n3];
        let mut targets = Self {
            all: vec![Target { name: "direct", address: server, pid: None }],
            metrics: now[3],
            analytics: now[1],
            processes: Vec::new(),
            databases: Vec::new(),
            directory,
        };
        let build = Build::own()?;
        targets.run(build.simulator(server)?, server).await?;
        if programs::has_nginx() {
            targets.nginx("nginx", unbuffered, UNBUFFERED).await?;
            targets.nginx("nginx, buffering", buffered, "").await?;
        } else {
            eprintln!("nginx is not installed and is left out");
        }
        let pid = targets.run(programs::bare(bare, server)?, bare).await?;
        targets.all.push(Target { name: "bare hyper", address: bare, pid: Some(pid) });
        if let Some(before) = before {
            let build = Build { name: "modash before", folder: before.to_owned() };
            targets.modash(&build, earlier).await?;
        }
        targets.modash(&build, now).await?;
        Ok(targets)
    }

    /// Where programs may have files.
    pub(crate) fn place(&self) -> &Path {
        self.directory.path()
    }

    async fn nginx(&mut self, name: &'static str, listen: SocketAddr, location: &str) -> Outcome {
        let place = self.place().join(format!("nginx-{}", listen.port()));
        fs::create_dir(&place)?;
        open_to_all(&place)?;
        let upstream = self.all[0].address;
        let command = programs::nginx(&place, listen, upstream, location, "daemon off;")?;
        let master = self.run(command, listen).await?;
        let pid = Some(child_of(master)?);
        self.all.push(Target { name, address: listen, pid });
        Ok(())
    }

    async fn modash(
        &mut self,
        build: &Build,
        [listen, analytics, analytics_admin, admin]: [SocketAddr; 4],
    ) -> Outcome {
        let place = self.place().join(build.name.replace(' ', "-"));
        fs::create_dir(&place)?;
        open_to_all(&place)?;
        let postgres = EmbeddedPostgres::start(Config::throwaway(place.join("postgres"))).await?;
        let command = build.analytics(analytics, analytics_admin, &postgres.url())?;
        self.databases.push(postgres);
        self.run(command, analytics).await?;
        let command = build.proxy(listen, admin, self.all[0].address, analytics, &place)?;
        let pid = Some(self.run(command, listen).await?);
        self.all.push(Target { name: build.name, address: listen, pid });
        Ok(())
    }

    async fn run(&mut self, command: Command, listen: SocketAddr) -> Outcome<u32> {
        let running = Running::start(command, listen).await?;
        let pid = running.0.id();
        // Before those that it sends to.
        self.processes.insert(0, running);
        Ok(pid)
    }

    /// Ends all of them, the database last.
    pub(crate) async fn stop(mut self) {
        self.processes.clear();
        for postgres in self.databases.drain(..) {
            postgres.stop().await;
        }
    }
}

/// Other accounts run the database and nginx's worker.
pub(crate) fn open_to_all(directory: &Path) -> Outcome {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(directory, fs::Permissions::from_mode(0o777))?)
}

/// Loopback addresses on which nobody listens.
pub(crate) fn free_ports<const COUNT: usize>() -> Outcome<[SocketAddr; COUNT]> {
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); COUNT];
    // All stay taken until each has its own.
    let listeners: Vec<_> = addresses.iter().map(TcpListener::bind).collect::<Result<_, _>>()?;
    for (address, listener) in addresses.iter_mut().zip(&listeners) {
        *address = listener.local_addr()?;
    }
    Ok(addresses)
}

/// The one child of a process.
fn child_of(parent: u32) -> Outcome<u32> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
        if let Some(child) = children.split_whitespace().next() {
            return Ok(child.parse()?);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("nginx has no worker".into())
}
