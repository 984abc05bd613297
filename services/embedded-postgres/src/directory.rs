//! The data directory: what lies where, whose it is, and who has it. The lock
//! is the kernel's, so it ends with the process whichever way that ends.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Read as _, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
};

use crate::{Error, account::Account};

/// Longest path of a Unix socket in bytes that every system takes (macOS: 104
/// with the final zero, Linux: 108).
const LONGEST_SOCKET_PATH: usize = 103;

/// Name that PostgreSQL gives its socket on the port it is told.
pub(crate) const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// A data directory that this process holds.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    /// The directory as configured, made absolute.
    pub(crate) root: PathBuf,
    /// PostgreSQL's own directory.
    pub(crate) cluster: PathBuf,
    /// Holds the socket; only the account and root can enter it.
    pub(crate) sockets: PathBuf,
    /// What the server writes.
    pub(crate) log: PathBuf,
    /// Copies of programs that the account cannot reach where they are.
    pub(crate) copies: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Creates what is missing and takes the lock.
    pub(crate) fn open(root: &Path, account: &Account) -> Result<Self, Error> {
        let cluster = root.join("cluster");
        prepare(root, account)?;
        let lock = lock(root)?;
        Ok(Self {
            sockets: sockets(root, account)?,
            log: root.join("postgres.log"),
            copies: root.join("binaries"),
            root: root.to_owned(),
            cluster,
            _lock: lock,
        })
    }

    /// The server's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.sockets.join(SOCKET_NAME)
    }

    /// An empty log file that the account's programs may be handed.
    pub(crate) fn open_log(&self) -> Result<File, Error> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(Error::io("open", &self.log))
    }
}

fn prepare(root: &Path, account: &Account) -> Result<(), Error> {
    let mut entries = match fs::read_dir(root) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(Error::io("read", root)(source)),
    };
    // A directory of somebody's other files must not change its owner and mode.
    let used = entries.as_mut().is_some_and(|entries| entries.next().is_some());
    if used && !root.join("lock").exists() {
        return Err(Error::NotACluster { path: root.to_owned() });
    }
    fs::create_dir_all(root).map_err(Error::io("create", root))?;
    fs::set_permissions(root, Permissions::from_mode(0o700))
        .map_err(Error::io("set the mode of", root))?;
    account.own(root)?;
    if account.can_write(root) {
        return Ok(());
    }
    let above: Vec<_> = root.ancestors().collect();
    let closed = above.into_iter().rev().find(|directory| !account.can_enter(directory));
    Err(Error::Unreachable { account: account.name(), closed: closed.unwrap_or(root).to_owned() })
}

fn lock(root: &Path) -> Result<File, Error> {
    let path = root.join("lock");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            let _ = file.read_to_string(&mut process);
            let process = process.trim().to_owned();
            return Err(Error::InUse { path: root.to_owned(), process });
        }
        Err(TryLockError::Error(source)) => return Err(Error::io("lock", path)(source)),
    }
    let write = || {
        file.set_len(0)?;
        writeln!(&file, "{}", std::process::id())
    };
    write().map_err(Error::io("write", path))?;
    Ok(file)
}

/// The data directory itself, or, where that is too deep for a socket, a short
/// one that its path determines.
fn sockets(root: &Path, account: &Account) -> Result<PathBuf, Error> {
    let short = socket_directory(root, account);
    if short == root {
        return Ok(short);
    }
    match DirBuilder::new().mode(0o700).create(&short) {
        Ok(()) => account.own(&short)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(Error::io("create", short)(source)),
    }
    // Everybody may write to /tmp: what is there must be a directory of ours.
    let found = fs::symlink_metadata(&short).map_err(Error::io("look at", &short))?;
    if !found.is_dir() || found.uid() != account.uid() || found.mode() & 0o077 != 0 {
        return Err(Error::ForeignOwner { path: short, owner: found.uid() });
    }
    Ok(short)
}

/// Where the socket of a data directory is, or would be.
pub(crate) fn socket_directory(root: &Path, account: &Account) -> PathBuf {
    if root.join(SOCKET_NAME).as_os_str().len() <= LONGEST_SOCKET_PATH {
        return root.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    root.hash(&mut hasher);
    PathBuf::from(format!("/tmp/modash-{}-{:016x}", account.uid(), hasher.finish()))
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        // Goes only when it is a short one and the server has left it.
        if self.sockets != self.root {
            let _ = fs::remove_dir(&self.sockets);
        }
    }
}
