//! Files that may be replaced while the process runs, certificates above all.
//! Whether they were is asked where they are used, at most once a second; there
//! is no thread and nothing to configure.

use std::{
    fmt::{self, Display},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

type Read<T> = dyn Fn() -> Result<T, String> + Send + Sync;

/// What some files say. Files that have become unreadable change nothing: what
/// they last said stays.
pub struct WatchedFiles<T> {
    /// For the log: `the certificates`.
    name: &'static str,
    read: Box<Read<T>>,
    state: Mutex<(Stamps, T)>,
}

impl<T> fmt::Debug for WatchedFiles<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedFiles").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<T: Clone> WatchedFiles<T> {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// What `read` says of files that are not usable.
    pub fn new<E: Display>(
        name: &'static str,
        paths: Vec<PathBuf>,
        read: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let files = Stamps::new(paths);
        let state = Mutex::new((files, read()?));
        let read = Box::new(move || read().map_err(|error| error.to_string()));
        Ok(Self { name, read, state })
    }

    /// What no file says, and so never changes.
    pub fn constant(name: &'static str, value: T) -> Self {
        let state = Mutex::new((Stamps::new(Vec::new()), value));
        Self { name, read: Box::new(|| Err("there is no file".to_owned())), state }
    }

    /// What they say now.
    pub fn get(&self) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (files, value) = &mut *state;
        if files.changed() {
            match (self.read)() {
                Ok(new) => {
                    tracing::info!("{} were read again", self.name);
                    *value = new;
                }
                Err(error) => tracing::warn!(
                    error,
                    "a changed file is not usable; {} stay as they are",
                    self.name
                ),
            }
        }
        value.clone()
    }
}

/// Some files, and how they looked when they were last read.
#[derive(Debug)]
struct Stamps {
    paths: Vec<PathBuf>,
    stamps: Vec<Option<Stamp>>,
    looked_at: Instant,
}

/// When a file was changed, its length, and its number in the file system, which a
/// replaced file changes. Links are followed, so that a directory that is swapped as
/// a whole (Kubernetes secrets) is noticed.
type Stamp = (SystemTime, u64, u64);

impl Stamps {
    /// Files that are about to be read.
    fn new(paths: Vec<PathBuf>) -> Self {
        let stamps = stamps(&paths);
        Self { paths, stamps, looked_at: Instant::now() }
    }

    /// Whether one of them was changed since this was last asked. The answer may
    /// be a second old.
    fn changed(&mut self) -> bool {
        if self.paths.is_empty() || self.looked_at.elapsed() < LOOK_EVERY {
            return false;
        }
        self.looked_at = Instant::now();
        let now = stamps(&self.paths);
        now != std::mem::replace(&mut self.stamps, now.clone())
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let data = std::fs::metadata(path).ok()?;
        Some((data.modified().ok()?, data.len(), data.ino()))
    };
    paths.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_noticed_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "old").unwrap();
        let mut files = Stamps::new(vec![path.clone()]);
        let later = |files: &mut Stamps| {
            files.looked_at = Instant::now().checked_sub(LOOK_EVERY).unwrap();
            files.changed()
        };
        assert!(!later(&mut files));
        std::fs::write(&path, "newer").unwrap();
        assert!(later(&mut files));
        assert!(!later(&mut files));
        std::fs::remove_file(&path).unwrap();
        assert!(later(&mut files));
    }
}
