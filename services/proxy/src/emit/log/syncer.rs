//! Has written files put on the disk at an interval, on a thread of its own: a slow disk
//! holds up nobody. Knows up to which event everything has got there, so that no event
//! leaves the journal, which was synced before, for a file that was not.

use std::{
    fs::File,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Ends, after a last sync, when it is dropped.
#[derive(Debug)]
pub(super) struct Syncer {
    unsynced: Arc<Unsynced>,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What was written and is not synced.
#[derive(Debug, Default)]
pub(in crate::emit) struct Unsynced {
    written: Mutex<Written>,
    synced_to: AtomicU64,
}

#[derive(Debug, Default)]
struct Written {
    files: Vec<Arc<File>>,
    /// Every event before this number is in one of the files, or was synced before.
    to: u64,
}

impl Syncer {
    /// Syncs at this interval; without a thread if it is endless.
    pub(super) fn start(interval: Duration) -> io::Result<Self> {
        let unsynced = Arc::new(Unsynced::default());
        if interval == Duration::MAX {
            return Ok(Self { unsynced, wake: None, thread: None });
        }
        let (wake, woken) = sync_channel(1);
        let shared = unsynced.clone();
        let thread = thread::Builder::new()
            .name("modash-spool-sync".to_owned())
            .spawn(move || sync_for_ever(&shared, &woken, interval))?;
        Ok(Self { unsynced, wake: Some(wake), thread: Some(thread) })
    }

    /// This file was written.
    pub(super) fn written(&self, file: &Arc<File>) {
        let mut written = self.unsynced.written();
        if !written.files.iter().any(|known| Arc::ptr_eq(known, file)) {
            written.files.push(file.clone());
        }
    }

    /// The files that were written have every event before this number.
    pub(super) fn written_to(&self, next: u64) {
        self.unsynced.written().to = next;
    }

    /// Every event before this number outlives a power cut.
    pub(super) fn synced_to(&self) -> u64 {
        self.unsynced.synced_to.load(Ordering::Acquire)
    }

    /// Syncs before the interval is over.
    pub(super) fn sync_soon(&self) {
        // One that is under way or asked for is enough, or comes soon again.
        if let Some(wake) = &self.wake {
            let _ = wake.try_send(());
        }
    }

    #[cfg(test)]
    pub(in crate::emit) fn unsynced(&self) -> Arc<Unsynced> {
        self.unsynced.clone()
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Unsynced {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs all files. Those that fail are tried again next time.
    pub(in crate::emit) fn sync(
        &self,
        mut sync: impl FnMut(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let (mut files, to) = {
            let mut written = self.written();
            (std::mem::take(&mut written.files), written.to)
        };
        let mut failure = None;
        files.retain(|file| sync(file).map_err(|error| failure = Some(error)).is_err());
        match failure {
            None => {
                self.synced_to.store(to, Ordering::Release);
                Ok(())
            }
            Some(error) => {
                self.written().files.append(&mut files);
                Err(error)
            }
        }
    }
}

fn sync_for_ever(unsynced: &Unsynced, woken: &Receiver<()>, interval: Duration) {
    let mut failing = false;
    loop {
        let stop = woken.recv_timeout(interval) == Err(RecvTimeoutError::Disconnected);
        match unsynced.sync(File::sync_data) {
            Ok(()) => failing = false,
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(%error, "the spool cannot be synced to the disk; \
                    a power cut may now lose usage events");
            }
            Err(_) => {}
        }
        if stop {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn until(what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_was_written_is_synced_at_the_interval_or_when_it_is_asked_for() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        for (interval, asks) in
            [(Duration::from_millis(5), false), (Duration::from_secs(900), true)]
        {
            let syncer = Syncer::start(interval).unwrap();
            assert_eq!(syncer.synced_to(), 0);
            syncer.written(&file);
            syncer.written_to(7);
            if asks {
                syncer.sync_soon();
            }
            until("it is never synced", || syncer.synced_to() == 7);
        }
    }

    #[test]
    fn a_sync_that_fails_promises_nothing_and_is_tried_again() {
        let (syncer, file) = (Syncer::start(Duration::MAX).unwrap(), tempfile::tempfile().unwrap());
        let unsynced = syncer.unsynced();
        syncer.written(&Arc::new(file));
        syncer.written_to(7);
        assert!(unsynced.sync(|_| Err(io::ErrorKind::Other.into())).is_err());
        assert_eq!(syncer.synced_to(), 0);
        let mut synced = 0;
        let sync = |_: &File| {
            synced += 1;
            Ok(())
        };
        unsynced.sync(sync).unwrap();
        assert_eq!((synced, syncer.synced_to()), (1, 7));
    }
}
