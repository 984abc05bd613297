//! Has written files put on the disk at an interval, on a thread of its own:
//! a slow disk holds up nobody.

use std::{
    fs::File,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Ends, after a last sync, when it is dropped.
#[derive(Debug)]
pub(super) struct Syncer {
    dirty: Dirty,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

type Dirty = Arc<Mutex<Vec<Arc<File>>>>;

impl Syncer {
    pub(super) fn start(interval: Duration) -> io::Result<Self> {
        let dirty = Dirty::default();
        let (stop, stopped) = sync_channel(0);
        let files = dirty.clone();
        let thread = thread::Builder::new()
            .name("modash-spool-sync".to_owned())
            .spawn(move || sync_for_ever(&files, &stopped, interval))?;
        Ok(Self { dirty, stop: Some(stop), thread: Some(thread) })
    }

    /// This file was written.
    pub(super) fn written(&self, file: &Arc<File>) {
        let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        if !dirty.last().is_some_and(|last| Arc::ptr_eq(last, file)) {
            dirty.push(file.clone());
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn sync_for_ever(dirty: &Dirty, stopped: &Receiver<()>, interval: Duration) {
    let mut failing = false;
    loop {
        let stop = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
        let files = std::mem::take(&mut *dirty.lock().unwrap_or_else(PoisonError::into_inner));
        for file in files {
            match file.sync_data() {
                Ok(()) => failing = false,
                Err(error) if !std::mem::replace(&mut failing, true) => {
                    tracing::warn!(%error, "the spool cannot be synced to the disk; \
                        a power cut may now lose usage events");
                }
                Err(_) => {}
            }
        }
        if stop {
            return;
        }
    }
}
