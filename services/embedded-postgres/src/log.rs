//! Keeps the server's log small: beyond its limit it moves to a second file,
//! whose last content goes.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

/// Size in bytes from which the log moves; two files of it are the most there is.
const LIMIT: u64 = 8 * 1024 * 1024;

const CHECK_EVERY: Duration = Duration::from_secs(30);

/// Watches the log until it is dropped.
#[derive(Debug)]
pub(crate) struct LogLimit {
    _until_dropped: SyncSender<()>,
}

impl LogLimit {
    /// Checks now and regularly.
    pub(crate) fn watch(log: &Path) -> Self {
        let (sender, dropped) = sync_channel(0);
        let log = log.to_owned();
        move_when_large(&log, LIMIT);
        thread::spawn(move || {
            while dropped.recv_timeout(CHECK_EVERY) == Err(RecvTimeoutError::Timeout) {
                move_when_large(&log, LIMIT);
            }
        });
        Self { _until_dropped: sender }
    }
}

/// The server keeps the file open for appending, so its content is copied and
/// cut, not renamed.
fn move_when_large(log: &Path, limit: u64) {
    let result = || {
        if fs::metadata(log)?.len() > limit {
            fs::copy(log, previous(log))?;
            OpenOptions::new().write(true).open(log)?.set_len(0)?;
        }
        io::Result::Ok(())
    };
    match result() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, log = %log.display(), "the database's log cannot be cut");
        }
        _ => {}
    }
}

fn previous(log: &Path) -> PathBuf {
    log.with_extension("log.1")
}

/// The last lines of the log, for an error.
pub(crate) fn tail(log: &Path) -> String {
    let read = || {
        let mut file = fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(2000)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(6)..].join("\n");
    format!("{last}\n(log: {})", log.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_never_exceeds_two_files_of_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("postgres.log");
        move_when_large(&log, 10);
        fs::write(&log, "0123456789").unwrap();
        move_when_large(&log, 10);
        assert_eq!(fs::read(&log).unwrap().len(), 10);
        fs::write(&log, "0123456789a").unwrap();
        move_when_large(&log, 10);
        assert_eq!(fs::read(&log).unwrap().len(), 0);
        assert_eq!(fs::read(previous(&log)).unwrap().len(), 11);
    }
}
