//! Files that may be replaced while the process runs, certificates above all.
//! Whether they were is asked where they are used, at most once a second; there
//! is no thread and nothing to configure.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Some files, and how they looked when they were last read.
#[derive(Debug)]
pub(crate) struct WatchedFiles {
    paths: Vec<PathBuf>,
    stamps: Vec<Option<Stamp>>,
    looked_at: Instant,
}

/// When a file was changed, and its length. Links are followed, so that a
/// directory that is swapped as a whole (Kubernetes secrets) is noticed.
type Stamp = (SystemTime, u64);

impl WatchedFiles {
    /// Files that are about to be read.
    pub(crate) fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let paths: Vec<_> = paths.into_iter().map(Path::to_owned).collect();
        let stamps = stamps(&paths);
        Self { paths, stamps, looked_at: Instant::now() }
    }

    /// Whether one of them was changed since this was last asked. The answer may
    /// be a second old.
    pub(crate) fn changed(&mut self) -> bool {
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
        Some((data.modified().ok()?, data.len()))
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
        let mut files = WatchedFiles::new([path.as_path()]);
        let later = |files: &mut WatchedFiles| {
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
