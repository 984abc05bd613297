//! The durable part of the spool: an append-only log of events in segment files,
//! written by one thread, trimmed from its oldest end. The format is described in
//! `docs/delivery.md`.

pub(super) mod header;
mod position;
pub(super) mod record;
mod segment;
pub(super) mod syncer;

use std::{
    collections::VecDeque,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    ops::Range,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use modash_proto::v1::UsageEvent;
use prost::Message as _;

use super::spool::Numbered;
use header::{HeaderError, Kind};
use position::Position;
use segment::{Read, Reader, Segment};
use syncer::Syncer;

/// Where the log is and how much of it there may be.
#[derive(Debug, Clone)]
pub(crate) struct LogConfig {
    /// Directory of this replica alone.
    pub(crate) directory: PathBuf,
    /// Most bytes of events.
    pub(crate) bytes: u64,
    /// How often written events are synced to the disk; `None`: when the system
    /// likes.
    pub(crate) fsync: Option<Duration>,
}

impl LogConfig {
    /// Size from which a segment is closed: small enough to give disk space and
    /// memory back soon, large enough for files to be few.
    fn segment_bytes(&self) -> u64 {
        (self.bytes / 256).clamp(64 << 10, 4 << 20)
    }
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("another process uses it; give each proxy a MODASH_PROXY_REPLICA_ID of its own")]
    Locked,
    #[error("{0}")]
    Header(#[from] HeaderError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The right to use a directory, as long as it is held.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Lock {
    /// Makes the directory if need be, and takes it.
    pub(super) fn take(directory: &Path) -> Result<Self, OpenError> {
        make_directory(directory)?;
        let lock = create(&directory.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self(lock)),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

/// The events on disk.
#[derive(Debug)]
pub(super) struct Log {
    config: LogConfig,
    /// By sequence number, never empty; the last one is written.
    segments: VecDeque<Segment>,
    active: Arc<File>,
    reader: Reader,
    position: Position,
    syncer: Option<Syncer>,
    _lock: Lock,
}

/// Events that were read back.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) events: Vec<Numbered>,
    /// Every event on disk before this one was read.
    pub(super) next: u64,
    /// Events that are damaged.
    pub(super) damaged: u64,
}

impl Log {
    /// Opens or makes a log, cuts what was not written to its end, and shows the
    /// payload of every record.
    pub(super) fn open(
        config: LogConfig,
        lock: Lock,
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<Self, OpenError> {
        let directory = &config.directory;
        let position = Position::open(directory)??;
        let mut segments = scan(directory, see)?;
        let active = match segments.back() {
            Some(last) => {
                let file = OpenOptions::new().write(true).open(&last.path)?;
                file.set_len(last.bytes)?;
                file
            }
            None => {
                let (segment, file) = new_segment(directory, position.get() + 1)?;
                segments.push_back(segment);
                file
            }
        };
        let syncer = config.fsync.map(Syncer::start).transpose()?;
        let (active, reader) = (Arc::new(active), Reader::default());
        let log = Self { config, segments, active, reader, position, syncer, _lock: lock };
        log.sync_what_was_left()?;
        Ok(log)
    }

    /// Has all files synced, and their names: a killed process may have written them in
    /// its last second.
    fn sync_what_was_left(&self) -> io::Result<()> {
        let Some(syncer) = &self.syncer else { return Ok(()) };
        for segment in &self.segments {
            syncer.written(&Arc::new(File::open(&segment.path)?));
        }
        syncer.written(&Arc::new(File::open(&self.config.directory)?));
        syncer.written_to(self.next());
        syncer.sync_soon();
        Ok(())
    }

    /// The highest sequence number that needs no sending any more.
    pub(super) fn acknowledged(&self) -> u64 {
        self.position.get()
    }

    /// The sequence number after the last one that was used.
    pub(super) fn next(&self) -> u64 {
        self.last().next.max(self.acknowledged() + 1)
    }

    /// Number of events behind this sequence number.
    pub(super) fn pending(&self, acknowledged: u64) -> u64 {
        let from = acknowledged + 1;
        self.segments
            .iter()
            .map(|segment| segment.next.saturating_sub(segment.first.max(from)))
            .sum()
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Adds `count` encoded events, the first of which has the number `first`,
    /// by one write. After an error nothing was added.
    pub(super) fn append(&mut self, first: u64, count: u64, records: &[u8]) -> io::Result<()> {
        let last = self.last();
        // Within a segment numbers have no gap, so that damage can be counted.
        if first != last.next || last.bytes >= self.config.segment_bytes() {
            self.begin_segment(first)?;
        }
        let end = self.last().bytes;
        if let Err(error) = self.active.write_all_at(records, end) {
            // What was written in part is overwritten by the next attempt, and
            // is no record to a reader; cutting it gives the space back.
            let _ = self.active.set_len(end);
            return Err(error);
        }
        if let Some(last) = self.segments.back_mut() {
            last.next += count;
            last.bytes += records.len() as u64;
        }
        if let Some(syncer) = &self.syncer {
            syncer.written(&self.active);
            syncer.written_to(first + count);
        }
        Ok(())
    }

    fn begin_segment(&mut self, first: u64) -> io::Result<()> {
        let (segment, file) = new_segment(&self.config.directory, first)?;
        if self.last().first == self.last().next {
            self.remove_last(&segment);
        }
        self.segments.push_back(segment);
        self.active = Arc::new(file);
        if let (Some(syncer), Ok(directory)) = (&self.syncer, File::open(&self.config.directory)) {
            // The name, too, has to reach the disk.
            syncer.written(&Arc::new(directory));
        }
        Ok(())
    }

    /// Forgets an empty segment.
    fn remove_last(&mut self, successor: &Segment) {
        if let Some(empty) = self.segments.pop_back()
            && empty.path != successor.path
        {
            remove(&empty);
        }
    }

    /// Removes the oldest segment if `more` bytes would not fit, and gives the
    /// sequence numbers that it held.
    pub(super) fn make_room(&mut self, more: usize) -> Option<Range<u64>> {
        if self.segments.len() < 2 || self.bytes() + more as u64 <= self.config.bytes {
            return None;
        }
        self.remove_first()
    }

    /// Removes what is acknowledged.
    pub(super) fn trim(&mut self, acknowledged: u64) {
        while self.segments.len() > 1 && self.segments[0].next <= acknowledged + 1 {
            self.remove_first();
        }
    }

    fn remove_first(&mut self) -> Option<Range<u64>> {
        let segment = self.segments.pop_front()?;
        remove(&segment);
        Some(segment.first..segment.next)
    }

    /// Remembers for the next start what is acknowledged.
    pub(super) fn remember_acknowledged(&mut self, sequence: u64) -> io::Result<()> {
        self.position.set(sequence)
    }

    /// Has another file synced with those of the log.
    pub(super) fn sync(&self, file: &Arc<File>) {
        if let Some(syncer) = &self.syncer {
            syncer.written(file);
        }
    }

    /// Every event before this number that is in the log outlives what the policy says:
    /// a power cut, or, without syncing, a kill.
    pub(super) fn safe_to(&self) -> u64 {
        self.syncer.as_ref().map_or(u64::MAX, Syncer::synced_to)
    }

    /// Makes that number grow before the interval is over.
    pub(super) fn sync_soon(&self) {
        self.syncer.iter().for_each(Syncer::sync_soon);
    }

    #[cfg(test)]
    pub(super) fn unsynced(&self) -> Option<Arc<syncer::Unsynced>> {
        self.syncer.as_ref().map(Syncer::unsynced)
    }

    /// Everything up to now needs no reading.
    pub(super) fn skip_to_end(&mut self) {
        if let Some(last) = self.segments.back() {
            self.reader.skip_to_end(last);
        }
    }

    /// Reads at most `most` events, beginning with the number `from`.
    pub(super) fn read(&mut self, from: u64, most: usize) -> Loaded {
        let mut loaded = Loaded { next: from, ..Loaded::default() };
        while loaded.events.len() < most {
            let next = loaded.next;
            let Some(segment) = self.segments.iter().find(|segment| segment.next > next) else {
                break;
            };
            match self.reader.read(segment, next) {
                Ok(Read::Event { sequence, payload, damaged }) => {
                    loaded.damaged += damaged;
                    loaded.next = sequence + 1;
                    // One that cannot be read would break every stream.
                    if UsageEvent::decode(payload).is_ok() {
                        let event = Bytes::copy_from_slice(payload);
                        loaded.events.push(Numbered { sequence, event });
                    } else {
                        loaded.damaged += 1;
                    }
                }
                Ok(Read::Damaged(events)) => {
                    loaded.damaged += events;
                    loaded.next = next.max(segment.first) + events;
                }
                Ok(Read::End) => break,
                Err(error) => {
                    tracing::error!(%error, file = %segment.path.display(),
                        "a file of the spool cannot be read; its usage events are lost");
                    loaded.damaged += segment.next - next.max(segment.first);
                    loaded.next = segment.next;
                }
            }
        }
        self.reader.release();
        loaded
    }

    fn last(&self) -> &Segment {
        &self.segments[self.segments.len() - 1]
    }
}

/// All segments of a directory, without what is torn at the end of the last.
fn scan(directory: &Path, see: &mut dyn FnMut(&[u8])) -> Result<VecDeque<Segment>, OpenError> {
    let mut segments: VecDeque<Segment> = VecDeque::new();
    let mut torn_before = false;
    for (first, path) in Segment::list(directory)? {
        let scanned = Segment::scan(first, path, see)??;
        if let Some(before) = segments.back_mut() {
            if torn_before {
                // Whatever was there is missing.
                before.next = before.next.max(first);
            }
            if before.next == before.first {
                segments.pop_back().iter().for_each(remove);
            }
        }
        torn_before = scanned.torn;
        segments.push_back(scanned.segment);
    }
    if let Some(last) = segments.pop_back_if(|last| last.bytes <= header::LENGTH as u64) {
        // It may not even have its header.
        if segments.is_empty() && last.bytes == header::LENGTH as u64 {
            segments.push_back(last);
        } else {
            remove(&last);
        }
    }
    Ok(segments)
}

fn new_segment(directory: &Path, first: u64) -> io::Result<(Segment, File)> {
    let path = Segment::path(directory, first);
    let file = create(&path)?;
    let header = Kind::Segment.header(first);
    if let Err(error) = file.set_len(0).and_then(|()| file.write_all_at(&header, 0)) {
        let _ = fs::remove_file(&path);
        return Err(error);
    }
    let bytes = header.len() as u64;
    Ok((Segment { path, first, next: first, bytes }, file))
}

/// Makes a directory for its owner only, unless it is there. Those above it that are
/// missing get the usual mode: they may be to hold what others need, as
/// `/var/lib/modash` holds the data directory of the account that runs PostgreSQL.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file for reading and writing as it is, or makes it for its owner only.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn remove(segment: &Segment) {
    if let Err(error) = fs::remove_file(&segment.path) {
        // It is looked through and removed again at the next start.
        tracing::warn!(%error, file = %segment.path.display(), "a file of the spool stays");
    }
}
