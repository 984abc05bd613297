//! How many files and connections the process may have open.

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files to the most that the system lets this process
/// have (setrlimit(2), `RLIMIT_NOFILE`); many systems begin with 1024 for programs
/// that use select(2), which none here does. Gives the limit; `None`: there is
/// none.
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, limit = limit.current, "the limit of open files stays");
            limit.current
        }
    }
}

/// File descriptors that listeners of this process have reserved.
static RESERVED: AtomicU64 = AtomicU64::new(0);

/// File descriptors reserved for the connections of one listener, so that the
/// listeners of one process do not starve each other. Given back when dropped.
#[derive(Debug)]
pub struct FileShare(u64);

impl FileShare {
    /// Reserves file descriptors; others see it in [`reserved_files`].
    #[must_use]
    pub fn reserve(files: u64) -> Self {
        RESERVED.fetch_add(files, Ordering::Relaxed);
        Self(files)
    }
}

impl Drop for FileShare {
    fn drop(&mut self) {
        RESERVED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// File descriptors that the listeners of this process have reserved.
#[must_use]
pub fn reserved_files() -> u64 {
    RESERVED.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_most_allowed() {
        let most = raise_file_limit();
        assert_eq!(getrlimit(Resource::Nofile).current, most);
    }
}
