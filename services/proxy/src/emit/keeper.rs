//! Delivers events: reads them from the cores' journals, gives them to the stream,
//! moves to segment files what analytics does not take soon, reads that back when its
//! turn comes, and frees what is acknowledged. Runs on a thread of its own, so that a
//! slow disk holds up neither requests nor the stream.

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
    Shared,
    followers::Followers,
    journal::{JournalFile, LeftBehind},
    log::{Lock, Log, LogConfig, OpenError, record},
    spool::{Numbered, OnDisk, Origin, Spool},
};
use crate::usage_event::EncodedEvent;

/// Most events in one write, which bounds the buffer.
const WRITE: usize = 4_096;

/// The usual `settle`: several times what a commit takes.
const SETTLE: Duration = Duration::from_millis(1_500);

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
    cores: Vec<Arc<Shared>>,
    /// For each core the position in its journal up to which it was read.
    read_to: Vec<u64>,
    /// The file of those journals.
    journal: Arc<JournalFile>,
    followers: Followers,
    /// `None`: memory only.
    config: Option<LogConfig>,
    log: Option<Log>,
    replica_id: String,
    /// Journals of other processes, until their events are elsewhere.
    left_behind: LeftBehind,
    /// Events before this number were in segment files when those journals were found.
    left_behind_until: u64,
    buffer: Vec<u8>,
    /// How long analytics has to take events before they are moved to a segment file.
    settle: Duration,
    /// Something is wrong with the disk; tried again then.
    retry_at: Option<Instant>,
    remember_at: Instant,
    dropping: bool,
}

/// What a turn of reading the journals brought.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// How many events.
    pub(super) events: usize,
    /// Those of requests of which analytics was told that they ran.
    pub(super) told: Vec<EncodedEvent>,
}

impl Keeper {
    pub(super) fn new(
        spool: Arc<SharedSpool>,
        config: Option<LogConfig>,
        replica_id: &str,
        cores: Vec<Arc<Shared>>,
        journal: Arc<JournalFile>,
    ) -> Self {
        Self {
            spool,
            read_to: vec![0; cores.len()],
            cores,
            journal,
            followers: Followers::default(),
            config,
            log: None,
            replica_id: replica_id.to_owned(),
            left_behind: LeftBehind::default(),
            left_behind_until: 0,
            buffer: Vec::new(),
            settle: SETTLE,
            retry_at: None,
            remember_at: Instant::now(),
            dropping: false,
        }
    }

    /// Shows each event to others too.
    pub(super) fn show_to(&mut self, followers: Followers) {
        self.followers = followers;
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
        let (left_behind, left) = LeftBehind::find(&directory, &self.replica_id)?;
        let mut running: HashMap<EventId, UsageEvent> = left
            .running
            .into_iter()
            .filter_map(|event| Some((event.event_id.as_bytes().try_into().ok()?, event)))
            .collect();
        let mut ended: HashMap<EventId, EncodedEvent> = HashMap::new();
        let mut order = Vec::new();
        for event in left.ended {
            if let Some(id) = event_id(&event.event) {
                running.remove(&id);
                order.push(id);
                ended.insert(id, event.event);
            }
        }
        let log = Log::open(config, lock, &mut |payload| {
            if let Some(id) = event_id(payload) {
                running.remove(&id);
                ended.remove(&id);
            }
        })?;
        let acknowledged = log.acknowledged().max(left.acknowledged.min(left.next));
        let disk = OnDisk {
            acknowledged,
            end: log.next(),
            next: log.next().max(left.next).max(acknowledged + 1),
            pending: log.pending(acknowledged),
        };
        let ended: Vec<_> = order.iter().filter_map(|id| ended.remove(id)).collect();
        let mut running: Vec<UsageEvent> = running.into_values().collect();
        running.sort_by(|a, b| a.event_id.cmp(&b.event_id));
        tracing::info!(directory = %directory.display(), bytes = log.bytes(),
            events = disk.pending + ended.len() as u64, interrupted = running.len(),
            "spool opened");
        if left.damaged > 0 {
            tracing::error!(
                places = left.damaged,
                "usage events are lost: a journal that was left behind is damaged"
            );
        }
        (self.log, self.left_behind) = (Some(log), left_behind);
        self.left_behind_until = disk.end;
        let running = running.iter().map(|event| event.encode_to_vec().into()).collect();
        let mut spool = self.spool.lock();
        spool.take_over(disk, left.damaged);
        spool.append_left_behind(ended, running);
        Ok(())
    }

    /// Reads what the cores have added to their journals.
    pub(super) fn collect(&mut self) -> Collected {
        let (mut collected, mut events) = (Collected::default(), Vec::new());
        for (core, shared) in self.cores.iter().enumerate() {
            let journal = &shared.journal;
            let outlives_a_kill = journal.outlives_a_kill();
            let position = &mut self.read_to[core];
            while let Some((ended, end)) = journal.read(*position) {
                *position = end;
                if ended.told {
                    collected.told.push(ended.event.clone());
                }
                let origin =
                    if outlives_a_kill { Origin::Journal { core, end } } else { Origin::Memory };
                events.push((ended.event, origin));
            }
            if !outlives_a_kill {
                journal.free_to(*position);
            }
            for ended in journal.take_overflow() {
                if ended.told {
                    collected.told.push(ended.event.clone());
                }
                events.push((ended.event, Origin::Memory));
            }
        }
        collected.events = events.len();
        self.followers.see(events.iter().map(|(event, _)| event));
        self.store(events);
        collected
    }

    /// Takes events that are new.
    fn store(&mut self, events: Vec<(EncodedEvent, Origin)>) {
        if events.is_empty() {
            return;
        }
        if let (Some(log), Some(journal)) = (&self.log, self.journal.file()) {
            log.sync(journal);
        }
        let mut spool = self.spool.lock();
        let before = spool.counts().dropped;
        spool.append(events);
        let dropped = spool.counts().dropped > before;
        drop(spool);
        self.note_drops(dropped);
    }

    /// Writes consecutive events, the first of which has this number.
    fn write(&mut self, first: u64, events: &[Numbered]) -> bool {
        if self.log.is_none() {
            return false;
        }
        self.buffer.clear();
        for numbered in events {
            record::append(&mut self.buffer, numbered.sequence, &numbered.event);
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

    /// Periodic maintenance: moves events that wait to segment files, loads events for
    /// the stream, frees what is acknowledged, retries the disk. True if there is more
    /// to send.
    pub(super) fn tend(&mut self) -> bool {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| now >= at) {
            self.retry_at = None;
            if self.log.is_none() {
                self.open();
            }
        }
        if self.is_due(now) {
            self.write_what_waits();
        }
        if let Some(log) = &self.log {
            self.spool.lock().note_safe(log.safe_to());
        }
        self.free_journals();
        if self.log.is_some() {
            let spool = self.spool.lock();
            self.journal.remember(spool.next(), spool.acknowledged_to());
        }
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

    /// Whether events have to be moved to a segment file.
    fn is_due(&self, now: Instant) -> bool {
        let settled = now.checked_sub(self.settle);
        settled.is_some_and(|since| self.spool.lock().is_due(since))
            || self.cores.iter().any(|core| core.journal.is_half_full())
    }

    /// Moves all events to segment files that are in none.
    fn write_what_waits(&mut self) {
        if self.log.is_none() || self.retry_at.is_some() {
            return;
        }
        let mut wrote = false;
        loop {
            let (waiting, loaded) = {
                let spool = self.spool.lock();
                (spool.unwritten(WRITE), spool.is_loaded())
            };
            let (Some(first), Some(last)) = (waiting.first(), waiting.last()) else { break };
            if loaded && let Some(log) = &mut self.log {
                log.skip_to_end();
            }
            if !self.write(first.sequence, &waiting) {
                return;
            }
            self.spool.lock().note_written(last.sequence);
            wrote = true;
        }
        if wrote {
            self.note_success("usage events are kept on disk again");
        }
    }

    /// Frees the places of events that are elsewhere, in our journals and in those of
    /// other processes.
    fn free_journals(&mut self) {
        let mut needs_room = false;
        for (core, shared) in self.cores.iter().enumerate() {
            let journal = &shared.journal;
            journal.free_to(self.spool.lock().freed(core));
            needs_room |= journal.is_half_full();
            // No segment file takes them in time, and the requests need the room.
            if journal.is_nearly_full() && journal.outlives_a_kill() {
                let mut spool = self.spool.lock();
                spool.detach(core, self.read_to[core]);
                journal.free_to(spool.freed(core));
            }
        }
        let Some(log) = &self.log else { return };
        let (left_behind, waits) = {
            let spool = self.spool.lock();
            (spool.left_behind() > 0, spool.waits_for_sync())
        };
        let unsynced = log.safe_to() < self.left_behind_until;
        if unsynced || (waits && (needs_room || left_behind)) {
            log.sync_soon();
        }
        if !unsynced && !left_behind {
            self.left_behind.remove();
        }
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

    /// An orderly end: nothing runs any more. Removes the journal if all events are in
    /// segment files or acknowledged.
    pub(super) fn close(&mut self) {
        self.retry_at = None;
        self.write_what_waits();
        self.tend();
        self.remember();
        // Synced with its end.
        self.log = None;
        let mut spool = self.spool.lock();
        spool.note_safe(u64::MAX);
        if spool.left_behind() == 0 {
            self.left_behind.remove();
        }
        if spool.unwritten_count() == 0 {
            self.journal.remove();
        }
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
pub(super) type EventId = [u8; ID_LENGTH];

/// The id of an encoded event, without decoding the rest: it is the first field.
pub(super) fn event_id(payload: &[u8]) -> Option<EventId> {
    const FIELD_1_TEXT: [u8; 2] = [0x0a, ID_LENGTH as u8];
    payload.strip_prefix(&FIELD_1_TEXT)?.first_chunk().copied()
}
