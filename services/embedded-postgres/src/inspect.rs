//! A look at a data directory without changing it: what would a start find?

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
};

use crate::{
    Config, Error,
    account::Account,
    binaries::Binaries,
    cluster::{self, Present},
};

/// What a start would find.
#[derive(Debug)]
pub struct Inspection {
    /// The cluster.
    pub state: State,
    /// Version of PostgreSQL's programs, such as `18.4`, or why there are none.
    pub programs: Result<String, Error>,
}

/// A data directory.
#[derive(Debug)]
pub enum State {
    /// There is none yet: the first start makes it.
    Absent,
    /// A cluster that can be started.
    Ready,
    /// A running modash has it: the number of its process.
    InUse(String),
    /// A start would refuse it, or could not read it; the error says what to do.
    Refused(Error),
}

/// Looks at the data directory and at PostgreSQL's programs; changes nothing.
#[must_use]
pub fn inspect(config: &Config) -> Inspection {
    // As this process itself: for another account programs may have to be copied.
    let copies = config.data_dir.join("binaries");
    let programs = Binaries::find(config.binaries.as_deref(), &Account::Own, &copies);
    let state = state(&config.data_dir, programs.as_ref().ok()).unwrap_or_else(State::Refused);
    Inspection { state, programs: programs.map(|binaries| binaries.version) }
}

fn state(data_dir: &Path, programs: Option<&Binaries>) -> Result<State, Error> {
    let root = std::path::absolute(data_dir).map_err(Error::io("find", data_dir))?;
    Account::for_directory(&root)?;
    match fs::read_dir(&root).map(|mut entries| entries.next().is_none()) {
        Ok(true) => return Ok(State::Absent),
        Ok(false) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Absent),
        Err(source) => return Err(Error::io("read", root)(source)),
    }
    let lock = root.join("lock");
    match File::open(&lock) {
        // Shared and at once given back.
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let process = fs::read_to_string(&lock).unwrap_or_default();
                return Ok(State::InUse(process.trim().to_owned()));
            }
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", lock)(source)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NotACluster { path: root });
        }
        Err(source) => return Err(Error::io("read", lock)(source)),
    }
    Ok(match cluster::find(&root.join("cluster"), programs)? {
        Present::Yes => State::Ready,
        Present::No => State::Absent,
    })
}
