//! The cluster before its server runs: created on the first start, refused when
//! another major version made it, and freed of what a crash left behind.

use std::{
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, test_kill_process};

use crate::{
    DATABASE, Error, Lifetime, account::Account, binaries::Binaries, directory::DataDirectory,
};

/// How long the server of a killed modash gets to finish its shutdown: its guard
/// ends it by force before.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(30);

/// How long such a server gets to begin with it.
const GUARD_LIMIT: Duration = Duration::from_secs(5);

/// Makes sure that there is a cluster of the programs' version and that no
/// server runs on it.
pub(crate) fn prepare(
    directory: &DataDirectory,
    binaries: &Binaries,
    account: &Account,
    lifetime: Lifetime,
) -> Result<(), Error> {
    match find(&directory.cluster, Some(binaries))? {
        Present::Yes => clear_stale(directory),
        Present::No => create(directory, binaries, account, lifetime),
    }
}

/// Whether there is a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Present {
    Yes,
    No,
}

/// Looks for a cluster, which has to be of the programs' version.
pub(crate) fn find(cluster: &Path, binaries: Option<&Binaries>) -> Result<Present, Error> {
    match fs::read_to_string(cluster.join("PG_VERSION")) {
        Ok(found) => match binaries {
            Some(binaries) if found.trim() != binaries.major_version.to_string() => {
                Err(Error::OtherVersion {
                    path: cluster.to_owned(),
                    found: found.trim().to_owned(),
                    available: binaries.major_version,
                    binaries: binaries.directory.clone(),
                })
            }
            _ => Ok(Present::Yes),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound && !cluster.exists() => {
            Ok(Present::No)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::NotACluster { path: cluster.to_owned() })
        }
        Err(source) => Err(Error::io("read", cluster.join("PG_VERSION"))(source)),
    }
}

/// Runs initdb beside the final place, so that an interrupted one leaves no half
/// cluster.
fn create(
    directory: &DataDirectory,
    binaries: &Binaries,
    account: &Account,
    lifetime: Lifetime,
) -> Result<(), Error> {
    const UNFINISHED: &str = "cluster.unfinished-";
    for entry in fs::read_dir(&directory.root).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            // The initdb of a killed modash may still be writing to it: then the
            // start after this one removes it.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let unfinished = directory.root.join(format!("{UNFINISHED}{}", std::process::id()));
    let mut command = account.command(&binaries.directory.join("initdb"));
    command.arg("--pgdata").arg(&unfinished);
    // Trust is for whoever can enter the socket's directory: the account, root.
    command.args(["--username", DATABASE, "--auth-local=trust", "--auth-host=reject"]);
    command.args(["--encoding=UTF8", "--locale=C", "--no-instructions"]);
    // The same order of strings and the same letters on every system; older
    // versions have no locale of their own, and C orders strings the same way.
    if binaries.major_version >= 17 {
        command.args(["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]);
    }
    if lifetime == Lifetime::Throwaway {
        command.arg("--no-sync");
    }
    let output = command.output().map_err(Error::io("run", binaries.directory.join("initdb")))?;
    if !output.status.success() {
        let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Program { program: "initdb", output });
    }
    fs::rename(&unfinished, &directory.cluster).map_err(Error::io("create", &directory.cluster))
}

/// Waits until no server runs on the cluster and removes the locks that a killed
/// one left. Their number may since belong to any other process, which PostgreSQL
/// would take for a running server.
fn clear_stale(directory: &DataDirectory) -> Result<(), Error> {
    let lock = directory.cluster.join("postmaster.pid");
    let waiting_since = Instant::now();
    while let Some((process, stopping)) = running_server(&directory.cluster, &lock)? {
        let limit = if stopping { SHUTDOWN_LIMIT } else { GUARD_LIMIT };
        if waiting_since.elapsed() > limit {
            return Err(Error::ServerRunning { path: directory.cluster.clone(), process });
        }
        thread::sleep(Duration::from_millis(10));
    }
    // The lock on the data directory is ours, so these are nobody's.
    let socket = directory.socket();
    for file in [lock, socket.with_added_extension("lock"), socket] {
        match fs::remove_file(&file) {
            Ok(()) => tracing::info!(file = %file.display(), "removed what a killed server left"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::io("remove", file)(source)),
        }
    }
    Ok(())
}

/// The process that the lock names, if it is a server on this cluster, and
/// whether it is stopping.
fn running_server(cluster: &Path, lock: &Path) -> Result<Option<(u32, bool)>, Error> {
    let text = match fs::read_to_string(lock) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::io("read", lock)(source)),
    };
    let process = text.lines().next().and_then(|line| line.trim().parse().ok());
    // The last line is the server's state.
    let stopping = text.lines().last().is_some_and(|line| line.trim() == "stopping");
    Ok(process.filter(|process| is_server(*process, cluster)).map(|process| (process, stopping)))
}

fn is_server(process: u32, cluster: &Path) -> bool {
    let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) else { return false };
    if test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    // A server works in the directory of its cluster.
    if let Ok(working) = fs::read_link(format!("/proc/{process}/cwd")) {
        return fs::canonicalize(cluster).is_ok_and(|cluster| cluster == working);
    }
    // Not told, by macOS never: then its name has to do.
    let command = fs::read_to_string(format!("/proc/{process}/cmdline")).or_else(|_| {
        let mut ps = std::process::Command::new("ps");
        let output = ps.args(["-o", "command=", "-p", &process.to_string()]).output()?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&output.stdout).into_owned())
    });
    command.is_ok_and(|command| command.contains("postgres"))
}
