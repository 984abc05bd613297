//! nginx and Node.js read what is taken here in the same way, and what they read in
//! two ways is refused here.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod support;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use support::{
    read,
    shapes::{Shape, Verdict, shapes},
};

/// Longer than the servers wait for more bytes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Method, target and body of each request that a server answered.
type Reading = Vec<(String, String, String)>;

/// Both servers, nginx in front of Node.js, until the end of the test.
struct Servers {
    folder: PathBuf,
    children: Vec<Child>,
}

impl Servers {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("modash-http1-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut servers = Self { folder, children: Vec::new() };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/echo.mjs");
        let mut node = Command::new("node");
        node.arg(script).arg(servers.socket("node")).stdout(Stdio::piped());
        let node = servers.spawn(node);
        let mut ready = String::new();
        BufReader::new(node.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let configuration = servers.folder.join("nginx.conf");
        std::fs::write(&configuration, servers.nginx_configuration()).unwrap();
        let mut nginx = Command::new("nginx");
        nginx
            .arg("-p")
            .arg(&servers.folder)
            .arg("-e")
            .arg("/dev/null")
            .arg("-c")
            .arg(configuration);
        servers.spawn(nginx);
        let start = Instant::now();
        while UnixStream::connect(servers.socket("nginx")).is_err() {
            assert!(start.elapsed() < PATIENCE, "nginx does not start");
            thread::sleep(Duration::from_millis(10));
        }
        servers
    }

    fn spawn(&mut self, mut command: Command) -> &mut Child {
        let program = command.get_program().to_string_lossy().into_owned();
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{program}: {error}; install it"));
        self.children.push(child);
        self.children.last_mut().unwrap()
    }

    fn socket(&self, server: &str) -> PathBuf {
        self.folder.join(server)
    }

    fn nginx_configuration(&self) -> String {
        let folder = self.folder.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};"))
            .join(" ");
        format!(
            "daemon off; master_process off; pid {folder}/pid;
             events {{ worker_connections 1024; }}
             http {{
               access_log off; {temporary}
               client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 1s;
               server {{
                 listen unix:{folder}/nginx;
                 merge_slashes off;
                 location / {{ proxy_pass http://unix:{folder}/node; }}
               }}
             }}"
        )
    }

    /// What a server makes of these bytes.
    fn reading(&self, server: &str, bytes: &[u8]) -> Reading {
        let mut connection = UnixStream::connect(self.socket(server)).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may be refused before all of it is written, and be cut off then.
        let _ = connection.write_all(bytes);
        let mut answers = Vec::new();
        let mut space = [0; 4096];
        while let Ok(length @ 1..) = connection.read(&mut space) {
            answers.extend_from_slice(&space[..length]);
        }
        let answers = String::from_utf8_lossy(&answers);
        let read = answers.lines().filter_map(|line| line.strip_prefix("x-read: "));
        read.map(|read| serde_json::from_str(read).unwrap()).collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What this crate makes of them.
fn ours(shape: &Shape) -> Reading {
    let requests = read(&shape.bytes, usize::MAX).requests.into_iter();
    let read = requests.map(|request| {
        let body = request.body.unwrap_or_default();
        (request.method, request.target, body.iter().map(|byte| char::from(*byte)).collect())
    });
    read.collect()
}

#[test]
fn nginx_and_node_read_alike_what_is_taken_and_what_they_read_differently_is_refused() {
    let servers = Servers::start();
    let shapes = shapes();
    let readings: Vec<[Reading; 2]> = thread::scope(|scope| {
        let both = shapes.iter().map(|shape| {
            ["nginx", "node"].map(|server| scope.spawn(|| servers.reading(server, &shape.bytes)))
        });
        let both: Vec<_> = both.collect();
        both.into_iter().map(|both| both.map(|reading| reading.join().unwrap())).collect()
    });
    let mut faults = Vec::new();
    let mut different = 0;
    for (shape, [nginx, node]) in shapes.iter().zip(&readings) {
        let Shape { name, verdict, .. } = shape;
        different += usize::from(nginx != node);
        let ours = ours(shape);
        if matches!(verdict, Verdict::Requests(_)) && (&ours != nginx || &ours != node) {
            faults.push(format!("{name}: nginx {nginx:?}, Node.js {node:?}, here {ours:?}"));
        }
    }
    assert!(faults.is_empty(), "taken, but not read alike:\n{}", faults.join("\n"));
    assert!(different > 10, "only {different} shapes are read in two ways: do the servers work?");
}
