//! Keeps events: onto the disk before anybody may send them, back from it when
//! their turn comes, off it when they are acknowledged. Runs on a thread of its
//! own, so that a slow disk holds up neither requests nor the stream.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use modash_proto::v1::UsageEvent;
use prost::Message as _;

use super::{
    log::{Lock, Log, LogConfig, OpenError, record},
    running::RunningFiles,
    slots::{LeftBehind, SlotFile},
    spool::{OnDisk, Spool},
};
use crate::{exchange::Exchange, usage_event::EncodedEvent};

/// Most events in one write, which bounds the buffer.
const WRITE: usize = 4_096;

/// How long after a failure the disk is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How often the position is written: what came after it is sent again after a
/// kill, without effect.
const REMEMBER_EVERY: Duration = Duration::from_secs(1);

/// What the disk does, for those who ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DiskState {
    /// Events are written to disk.
    pub(crate) durable: bool,
    /// Bytes of events.
    pub(crate) bytes: u64,
    /// Writes that failed.
    pub(crate) failures: u64,
}

/// Shared by the keeper, the stream and the metrics. The lock is never held
/// while a file is touched.
#[derive(Debug)]
pub(super) struct SharedSpool {
    spool: Mutex<Spool>,
    disk: Mutex<DiskState>,
}

impl SharedSpool {
    pub(super) fn new(spool: Spool) -> Self {
        Self { spool: Mutex::new(spool), disk: Mutex::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn disk(&self) -> DiskState {
        *self.disk_mut()
    }

    fn disk_mut(&self) -> MutexGuard<'_, DiskState> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one who touches files.
pub(super) struct Keeper {
    spool: Arc<SharedSpool>,
    /// `None`: memory only.
    config: Option<LogConfig>,
    log: Option<Log>,
    running: Option<RunningFiles>,
    replica_id: String,
    /// What other processes left, until it is written.
    left_behind: LeftBehind,
    /// Remembered in their slots until their events are written.
    held: Vec<Arc<Exchange>>,
    buffer: Vec<u8>,
    /// Something is wrong with the disk; tried again then.
    retry_at: Option<Instant>,
    remember_at: Instant,
    dropping: bool,
}

impl Keeper {
    pub(super) fn new(
        spool: Arc<SharedSpool>,
        config: Option<LogConfig>,
        replica_id: &str,
    ) -> Self {
        Self {
            spool,
            config,
            log: None,
            running: None,
            replica_id: replica_id.to_owned(),
            left_behind: LeftBehind::default(),
            held: Vec::new(),
            buffer: Vec::new(),
            retry_at: None,
            remember_at: Instant::now(),
            dropping: false,
        }
    }

    /// Opens the log and takes over what the process before left.
    pub(super) fn open(&mut self) {
        let Some(config) = self.config.clone() else { return };
        let path = config.directory.display().to_string();
        match self.try_open(config) {
            Ok(()) => self.note_success("usage events are kept on disk"),
            Err(error) => self.note_failure(&path, &error),
        }
    }

    fn try_open(&mut self, config: LogConfig) -> Result<(), OpenError> {
        let directory = config.directory.clone();
        let lock = Lock::take(&directory)?;
        let (running, ran) = RunningFiles::open(&directory)?;
        let (left_behind, remembered) = LeftBehind::find(&directory, &self.replica_id)?;
        // Of those in both, the snapshot knows more.
        let ran = remembered.into_iter().chain(ran);
        let mut ran: HashMap<[u8; ID_LENGTH], UsageEvent> =
            ran.filter_map(|event| Some((id_bytes(&event.event_id)?, event))).collect();
        let log = Log::open(config, lock, &mut |payload| {
            if let Some(id) = event_id(payload) {
                ran.remove(&id);
            }
        })?;
        let disk =
            OnDisk { acknowledged: log.acknowledged(), next: log.next(), pending: log.pending() };
        tracing::info!(directory = %directory.display(), bytes = log.bytes(),
            events = disk.pending, interrupted = ran.len(), "spool opened");
        (self.log, self.running) = (Some(log), Some(running));
        self.left_behind = left_behind;
        self.spool.lock().take_over(disk);
        let mut interrupted: Vec<UsageEvent> = ran.into_values().collect();
        interrupted.sort_by(|a, b| a.event_id.cmp(&b.event_id));
        let interrupted: Vec<EncodedEvent> =
            interrupted.iter().map(|event| event.encode_to_vec().into()).collect();
        self.spool.lock().append_interrupted(&interrupted);
        Ok(())
    }

    /// Takes events that are new.
    pub(super) fn store(&mut self, events: &[EncodedEvent]) {
        for events in events.chunks(WRITE) {
            let (first, in_order, loaded) = {
                let spool = self.spool.lock();
                (spool.next(), spool.unwritten_count() == 0, spool.is_loaded())
            };
            if loaded && let Some(log) = &mut self.log {
                log.skip_to_end();
            }
            // Behind events that the disk has not taken, others have to wait.
            if in_order && self.retry_at.is_none() && self.write(first, events) {
                self.spool.lock().append_written(events);
            } else {
                self.keep_in_memory(events);
            }
        }
    }

    /// Keeps finished exchanges, and thereby their slots, until the disk has taken
    /// their events.
    pub(super) fn hold_until_written(&mut self, mut exchanges: Vec<Arc<Exchange>>) {
        exchanges.retain(|exchange| exchange.slot.is_some());
        self.held.append(&mut exchanges);
        self.let_go();
    }

    fn let_go(&mut self) {
        if self.spool.lock().unwritten_count() == 0 {
            self.held.clear();
        }
    }

    fn keep_in_memory(&mut self, events: &[EncodedEvent]) {
        let mut spool = self.spool.lock();
        let before = spool.counts().dropped;
        spool.append_unwritten(events);
        let dropped = spool.counts().dropped > before;
        drop(spool);
        self.note_drops(dropped);
    }

    /// Writes consecutive events, the first of which has this number.
    fn write(&mut self, first: u64, events: &[EncodedEvent]) -> bool {
        if self.log.is_none() {
            return false;
        }
        self.buffer.clear();
        for (event, sequence) in events.iter().zip(first..) {
            record::append(&mut self.buffer, sequence, event);
        }
        self.make_room();
        let Some(log) = &mut self.log else { return false };
        let written = log.append(first, events.len() as u64, &self.buffer);
        self.buffer.shrink_to(1 << 20);
        match written {
            Ok(()) => true,
            Err(error) => {
                let path =
                    self.config.as_ref().map(|config| config.directory.display().to_string());
                self.note_failure(&path.unwrap_or_default(), &error);
                false
            }
        }
    }

    fn make_room(&mut self) {
        let mut dropped = false;
        while let Some(gone) = self.log.as_mut().and_then(|log| log.make_room(self.buffer.len())) {
            let mut spool = self.spool.lock();
            let before = spool.counts().dropped;
            spool.drop_written(&gone);
            dropped |= spool.counts().dropped > before;
        }
        if dropped {
            self.note_drops(true);
        }
    }

    /// Everything that is to be done now and then: brings events back for the
    /// stream, removes what is acknowledged, tries the disk again. True if there
    /// is more to send.
    pub(super) fn tend(&mut self) -> bool {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| now >= at) {
            self.retry_at = None;
            if self.log.is_none() {
                self.open();
            }
        }
        self.write_what_waits();
        self.let_go();
        self.trim();
        if now >= self.remember_at {
            self.remember();
        }
        let loaded = self.load();
        let bytes = self.log.as_ref().map_or(0, Log::bytes);
        let durable = self.log.is_some() && self.retry_at.is_none();
        let mut disk = self.spool.disk_mut();
        (disk.bytes, disk.durable) = (bytes, durable);
        loaded
    }

    /// Writes events that the disk has not taken so far.
    fn write_what_waits(&mut self) {
        if self.log.is_none() || self.retry_at.is_some() {
            return;
        }
        let mut wrote = false;
        loop {
            let waiting = self.spool.lock().unwritten(WRITE);
            let (Some(first), Some(last)) = (waiting.first(), waiting.last()) else { break };
            let events: Vec<_> = waiting.iter().map(|event| event.event.clone()).collect();
            if !self.write(first.sequence, &events) {
                return;
            }
            self.spool.lock().note_written(last.sequence);
            wrote = true;
        }
        if wrote {
            self.note_success("usage events are kept on disk again");
        }
        self.left_behind.remove();
    }

    fn trim(&mut self) {
        let acknowledged = self.spool.lock().acknowledged_to();
        if let Some(log) = &mut self.log {
            log.trim(acknowledged);
        }
        if self.dropping && self.spool.lock().pending() == 0 {
            self.dropping = false;
        }
    }

    fn remember(&mut self) {
        self.remember_at = Instant::now() + REMEMBER_EVERY;
        let acknowledged = self.spool.lock().acknowledged_to();
        if let Some(log) = &mut self.log
            && let Err(error) = log.remember_acknowledged(acknowledged)
        {
            tracing::debug!(%error, "the spool's position is not written");
        }
    }

    fn load(&mut self) -> bool {
        let to_load = self.spool.lock().to_load();
        let (Some((from, room)), Some(log)) = (to_load, &mut self.log) else {
            return self.spool.lock().load_unwritten();
        };
        let loaded = log.read(from, room);
        let some = !loaded.events.is_empty();
        if loaded.damaged > 0 {
            tracing::error!(
                events = loaded.damaged,
                "usage events are lost: their records in the spool are damaged"
            );
        }
        self.spool.lock().load(loaded.events, loaded.next, loaded.damaged);
        some
    }

    /// Writes down what runs, for the case that this process is killed.
    pub(super) fn remember_running(&mut self, running: impl FnOnce() -> Vec<UsageEvent>) {
        // On a full disk events come first, and an event that the disk has not
        // taken must not look as if its request had not run.
        if self.retry_at.is_none()
            && let Some(files) = &mut self.running
            && let Err(error) = files.write(running())
        {
            tracing::debug!(%error, "running requests are not written down");
        }
    }

    /// An orderly end: nothing runs any more.
    pub(super) fn close(&mut self, slots: Option<&SlotFile>) {
        self.tend();
        self.remember();
        if let Some(files) = &mut self.running {
            let _ = files.write(Vec::new());
        }
        // What is in memory only can still be told at the next start.
        if self.spool.lock().unwritten_count() == 0
            && let Some(slots) = slots
        {
            slots.remove();
        }
        self.log = None;
    }

    fn note_failure(&mut self, directory: &str, error: &dyn std::error::Error) {
        let mut disk = self.spool.disk_mut();
        disk.failures += 1;
        // One line for each outage, not for each attempt.
        let first = disk.durable || disk.failures == 1;
        disk.durable = false;
        drop(disk);
        if first {
            tracing::warn!(directory, %error,
                "usage events are kept in memory only: the spool cannot be written");
        }
        self.retry_at = Some(Instant::now() + RETRY);
    }

    fn note_success(&self, message: &str) {
        let mut disk = self.spool.disk_mut();
        if !std::mem::replace(&mut disk.durable, true) && disk.failures > 0 {
            drop(disk);
            tracing::info!("{message}");
        }
    }

    fn note_drops(&mut self, dropped: bool) {
        // Once per outage is enough to say.
        if dropped && !std::mem::replace(&mut self.dropping, true) {
            tracing::warn!("analytics is away for too long; the oldest usage events are given up");
        }
    }
}

/// A UUID in its text form.
const ID_LENGTH: usize = 36;

/// The id of an encoded event, without decoding the rest: it is the first field.
fn event_id(payload: &[u8]) -> Option<[u8; ID_LENGTH]> {
    const FIELD_1_TEXT: [u8; 2] = [0x0a, ID_LENGTH as u8];
    payload.strip_prefix(&FIELD_1_TEXT)?.first_chunk().copied()
}

fn id_bytes(id: &str) -> Option<[u8; ID_LENGTH]> {
    id.as_bytes().try_into().ok()
}
