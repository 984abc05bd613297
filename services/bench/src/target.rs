//! The servers: the simulated LLM server, what stands in front of it, and behind
//! modash an analytics with a database. All are processes of their own, so that
//! each one's processor time can be read.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use modash_embedded_postgres::{Config, EmbeddedPostgres};
use rustix::process::{Pid, Signal, kill_process};

use crate::Outcome;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

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
    // Ended in this order: whoever sends before whoever receives.
    processes: Vec<Running>,
    databases: Vec<EmbeddedPostgres>,
    _directory: tempfile::TempDir,
}

/// A child process, killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // nginx stops its worker only when it is asked.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
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
        let ports = free_ports(12)?;
        let at = |number: usize| SocketAddr::from(([127, 0, 0, 1], ports[number]));
        let mut targets = Self {
            all: vec![Target { name: "direct", address: at(0), pid: None }],
            metrics: at(7),
            processes: Vec::new(),
            databases: Vec::new(),
            _directory: directory,
        };
        let place = targets._directory.path().to_owned();
        let build = Build { name: "modash", folder: std::env::current_exe()?.with_file_name("") };
        targets.simulator(&build, at(0)).await?;
        targets.nginx(at(0), at(1), at(2), &place).await?;
        targets.bare(at(0), at(3)).await?;
        if let Some(before) = before {
            let earlier = Build { name: "modash before", folder: before.to_owned() };
            targets.modash(&earlier, at(0), [at(8), at(9), at(10), at(11)], &place).await?;
        }
        targets.modash(&build, at(0), [at(4), at(5), at(6), at(7)], &place).await?;
        Ok(targets)
    }

    async fn simulator(&mut self, build: &Build, listen: SocketAddr) -> Outcome {
        let mut command = Command::new(build.program("modash-simulator")?);
        command.args(["serve", "--prebuilt", "--listen", &listen.to_string()]);
        self.run(command, listen).await?;
        Ok(())
    }

    /// Twice: as one sets it up for streams, and with its own buffering.
    async fn nginx(
        &mut self,
        upstream: SocketAddr,
        unbuffered: SocketAddr,
        buffered: SocketAddr,
        place: &Path,
    ) -> Outcome {
        if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
            eprintln!("nginx is not installed and is left out");
            return Ok(());
        }
        for (name, listen, extra) in [
            ("nginx", unbuffered, "proxy_buffering off; proxy_request_buffering off;"),
            ("nginx, buffering", buffered, ""),
        ] {
            let place = place.join(format!("nginx-{}", listen.port()));
            fs::create_dir(&place)?;
            open_to_all(&place)?;
            let file = place.join("nginx.conf");
            fs::write(
                &file,
                nginx_configuration(&place.display().to_string(), upstream, listen, extra),
            )?;
            let mut command = Command::new("nginx");
            command.arg("-p").arg(&place).arg("-c").arg(&file).args(["-g", "daemon off;"]);
            let master = self.run(command, listen).await?;
            let pid = Some(child_of(master)?);
            self.all.push(Target { name, address: listen, pid });
        }
        Ok(())
    }

    async fn bare(&mut self, upstream: SocketAddr, listen: SocketAddr) -> Outcome {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare", "--listen", &listen.to_string()]);
        command.args(["--upstream", &upstream.to_string()]);
        let pid = Some(self.run(command, listen).await?);
        self.all.push(Target { name: "bare hyper", address: listen, pid });
        Ok(())
    }

    async fn modash(
        &mut self,
        build: &Build,
        upstream: SocketAddr,
        [proxy, analytics, analytics_admin, admin]: [SocketAddr; 4],
        place: &Path,
    ) -> Outcome {
        let place = place.join(build.name.replace(' ', "-"));
        fs::create_dir(&place)?;
        open_to_all(&place)?;
        let postgres = EmbeddedPostgres::start(Config::throwaway(place.join("postgres"))).await?;
        let mut command = Command::new(build.program("modash-analytics")?);
        command
            .env("DATABASE_URL", postgres.url())
            .env("MODASH_ANALYTICS_LISTEN", analytics.to_string())
            .env("MODASH_ANALYTICS_ADMIN_LISTEN", analytics_admin.to_string());
        self.databases.push(postgres);
        self.run(command, analytics).await?;
        let mut command = Command::new(build.program("modash-proxy")?);
        command
            .env("PORT", proxy.port().to_string())
            .env("UPSTREAM_URL", format!("http://{upstream}"))
            .env("MODASH_PROXY_ADMIN_LISTEN", admin.to_string())
            .env("MODASH_PROXY_ANALYTICS_URL", format!("http://{analytics}"))
            .env("MODASH_PROXY_SPOOL_DIRECTORY", place.join("spool"))
            .env("MODASH_PROXY_REPLICA_ID", "bench");
        let pid = Some(self.run(command, proxy).await?);
        self.all.push(Target { name: build.name, address: proxy, pid });
        Ok(())
    }

    /// Starts a process and waits until it listens.
    async fn run(&mut self, mut command: Command, listen: SocketAddr) -> Outcome<u32> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("MODASH_LOG", "error");
        let name = command.get_program().to_string_lossy().into_owned();
        let child =
            command.spawn().map_err(|error| format!("{name} cannot be started: {error}"))?;
        let pid = child.id();
        // Before those that it sends to.
        self.processes.insert(0, Running(child));
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(listen).is_err() {
            let ended = matches!(self.processes[0].0.try_wait(), Ok(Some(_)));
            if ended || Instant::now() > deadline {
                return Err(format!("{name} does not listen on {listen}").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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

fn nginx_configuration(
    place: &str,
    upstream: SocketAddr,
    listen: SocketAddr,
    extra: &str,
) -> String {
    format!(
        "worker_processes 1; pid {place}/nginx.pid; error_log {place}/error.log;\n\
         worker_rlimit_nofile 65535;\n\
         events {{ worker_connections 20000; }}\n\
         http {{\n\
           access_log {place}/access.log; client_max_body_size 0;\n\
           client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;\n\
           fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi;\n\
           scgi_temp_path {place}/scgi; keepalive_requests 1000000000;\n\
           upstream server {{ server {upstream}; keepalive 1024; keepalive_requests 1000000000; }}\n\
           server {{\n\
             listen {listen} backlog=4096;\n\
             location / {{\n\
               proxy_pass http://server; proxy_http_version 1.1;\n\
               proxy_set_header Connection \"\"; {extra}\n\
             }}\n\
           }}\n\
         }}\n"
    )
}

/// One build of modash.
struct Build {
    /// Its name in the table.
    name: &'static str,
    /// Where its programs are.
    folder: PathBuf,
}

impl Build {
    fn program(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.folder.join(name);
        if path.is_file() {
            Ok(path)
        } else {
            Err(format!("{} is missing: use `make bench`, which builds it", path.display()).into())
        }
    }
}

/// Other accounts run the database and nginx's worker.
fn open_to_all(directory: &Path) -> Outcome {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(directory, fs::Permissions::from_mode(0o777))?)
}

/// Ports that nobody listens on.
fn free_ports(count: usize) -> Outcome<Vec<u16>> {
    let listeners: Vec<_> =
        (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<_, _>>()?;
    Ok(listeners
        .iter()
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect::<Result<_, _>>()?)
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
