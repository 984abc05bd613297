//! The journal of a process: for each core a ring of ended requests (`ring`) and the
//! slots of running ones (`slots`), in one mapped file. What is in it outlives a kill.
//!
//! The forwarding thread appends an event before the client has the last byte of the
//! answer. The delivery thread reads it, sends it, and frees its place when analytics
//! has it or a segment file does. What a killed process left is read at the next start
//! (`recovery`). Where no file can be mapped, the same memory is anonymous.

mod mapped;
mod recovery;
mod ring;
mod slots;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use uuid::Uuid;

use super::log::{
    create,
    header::{self, Kind},
};
use crate::exchange::Exchange;
use mapped::Mapped;
pub(super) use recovery::LeftBehind;
pub(crate) use ring::Ended;
use ring::{CONTROL, Ring};
pub(crate) use slots::Slot;
use slots::{SLOT, Slots};

/// Words before the first core: the header, and the numbers of `Layout`.
const PREFACE: usize = 64;

// Places of numbers there.
const LAYOUT: usize = header::LENGTH.div_ceil(8);
const NEXT: usize = LAYOUT + 3;
const ACKNOWLEDGED: usize = LAYOUT + 4;
const _: () = assert!(ACKNOWLEDGED < PREFACE);

/// Slots of each core; only those that were ever used at the same time take memory.
const SLOTS_PER_CORE: usize = 8_192;

/// Words of each core's ring: 8 MiB, some 15,000 events.
const RING: usize = 1 << 20;

/// Most events that wait outside a full ring, in memory only.
const MAX_OVERFLOW: usize = 65_536;

/// How the words of a journal are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    cores: usize,
    slots: usize,
    ring: usize,
}

impl Layout {
    const fn core_words(self) -> usize {
        CONTROL + self.ring + self.slots * SLOT
    }

    const fn words(self) -> usize {
        PREFACE + self.cores * self.core_words()
    }

    fn core_base(self, core: usize) -> usize {
        PREFACE + core * self.core_words()
    }
}

/// The journal of this process, made before it serves; its file is removed by an
/// orderly end.
#[derive(Debug)]
pub(crate) struct JournalFile {
    mapped: Arc<Mapped>,
    layout: Layout,
    /// `None`: in memory only.
    path: Option<PathBuf>,
}

/// The part of one core.
#[derive(Debug)]
pub(crate) struct Journal {
    ring: Ring,
    slots: Arc<Slots>,
    outlives_a_kill: bool,
    /// The buffer in which events are encoded, and the right to append.
    writer: Mutex<Vec<u8>>,
    /// Events that found the ring full, the oldest first.
    overflow: Mutex<Vec<Ended>>,
    overflowed: AtomicUsize,
}

/// An event found neither room in the ring nor outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dropped;

impl JournalFile {
    /// Makes the file of this process in the directory of its replica; without one, or
    /// where that cannot be, a journal in memory.
    pub(crate) fn create(directory: Option<&Path>, cores: usize) -> io::Result<Self> {
        let layout = Layout { cores: cores.max(1), slots: SLOTS_PER_CORE, ring: RING };
        let made = directory.map(|directory| Self::in_directory(directory, layout)).transpose();
        match made {
            Ok(Some(file)) => return Ok(file),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error,
                "a kill may lose the requests of the last moment: the journal is in memory only"),
        }
        Self::in_memory(layout)
    }

    /// One that is soon full.
    #[cfg(test)]
    pub(super) fn small(directory: &Path) -> Self {
        let layout = Layout { cores: 1, slots: 16, ring: 1 << 14 };
        Self::in_directory(directory, layout).expect("a file can be mapped")
    }

    fn in_directory(directory: &Path, layout: Layout) -> io::Result<Self> {
        super::log::make_directory(directory)?;
        let name = Uuid::now_v7();
        let (path, unfinished) =
            (directory.join(format!("{name}.journal")), directory.join(format!("{name}.new")));
        let made = Self::make(&unfinished, layout).and_then(|mapped| {
            // Locked and whole before anybody can find it.
            fs::rename(&unfinished, &path)?;
            Ok(Self { mapped: Arc::new(mapped), layout, path: Some(path) })
        });
        made.inspect_err(|_| drop(fs::remove_file(&unfinished)))
    }

    fn make(path: &Path, layout: Layout) -> io::Result<Mapped> {
        let file = create(path)?;
        file.try_lock()?;
        let mapped = Mapped::of_file(file, layout.words())?;
        let mut preface = Kind::Journal.header(layout.words() as u64).to_vec();
        preface.resize(LAYOUT * 8, 0);
        for number in [layout.cores, layout.slots, layout.ring] {
            preface.extend_from_slice(&(number as u64).to_ne_bytes());
        }
        let (numbers, _) = preface.as_chunks::<8>();
        for (number, bytes) in mapped.numbers().iter().zip(numbers) {
            number.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        Ok(mapped)
    }

    fn in_memory(layout: Layout) -> io::Result<Self> {
        Ok(Self { mapped: Arc::new(Mapped::anonymous(layout.words())?), layout, path: None })
    }

    /// The journal of a core, by its number.
    pub(crate) fn of_core(&self, core: usize) -> Journal {
        let base = self.layout.core_base(core.min(self.layout.cores - 1));
        let slots = base + CONTROL + self.layout.ring;
        Journal {
            ring: Ring::new(self.mapped.clone(), base, self.layout.ring),
            slots: Slots::new(self.mapped.clone(), slots, self.layout.slots),
            outlives_a_kill: self.path.is_some(),
            writer: Mutex::default(),
            overflow: Mutex::default(),
            overflowed: AtomicUsize::new(0),
        }
    }

    /// Remembers, across a kill, the sequence number of the next event and the highest
    /// that is acknowledged.
    pub(super) fn remember(&self, next: u64, acknowledged: u64) {
        let numbers = self.mapped.numbers();
        numbers[NEXT].store(next, Ordering::Relaxed);
        numbers[ACKNOWLEDGED].store(acknowledged, Ordering::Relaxed);
    }

    /// The file, to be synced to the disk; `None`: in memory only.
    pub(super) fn file(&self) -> Option<&Arc<File>> {
        self.mapped.file()
    }

    /// Everything in it is kept elsewhere.
    pub(super) fn remove(&self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

impl Journal {
    /// A small one in memory, for tests of what stands before delivery.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let layout = Layout { cores: 1, slots: 16, ring: 1 << 12 };
        JournalFile::in_memory(layout).expect("memory can be mapped").of_core(0)
    }

    /// All events in the ring.
    #[cfg(test)]
    pub(crate) fn events(&self) -> Vec<bytes::Bytes> {
        let (mut position, mut events) = (0, Vec::new());
        while let Some((ended, next)) = self.read(position) {
            events.push(ended.event);
            position = next;
        }
        events
    }

    /// A slot for a request that begins; `None` if all are taken.
    pub(crate) fn begin(&self, exchange: &Exchange) -> Option<Slot> {
        self.slots.take(exchange)
    }

    /// Adds the event of a request that ended, as `write` encodes it. Never waits.
    pub(crate) fn append(
        &self,
        told: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Dropped> {
        // Only the core's own thread writes, so the lock is free.
        let mut buffer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        buffer.clear();
        write(&mut buffer);
        // Behind events outside the ring others have to wait, to keep their order.
        if self.overflowed.load(Ordering::Acquire) == 0 && self.ring.append(&buffer, told).is_ok() {
            return Ok(());
        }
        let mut overflow = self.overflow.lock().unwrap_or_else(PoisonError::into_inner);
        if overflow.len() == MAX_OVERFLOW {
            return Err(Dropped);
        }
        overflow.push(Ended { event: buffer.as_slice().to_owned().into(), told });
        self.overflowed.store(overflow.len(), Ordering::Release);
        Ok(())
    }

    /// The first event at or behind a position, and the position behind it.
    pub(super) fn read(&self, position: u64) -> Option<(Ended, u64)> {
        self.ring.read(position)
    }

    /// Takes the events that found the ring full. Only when all of the ring was read.
    pub(super) fn take_overflow(&self) -> Vec<Ended> {
        if self.overflowed.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let mut overflow = self.overflow.lock().unwrap_or_else(PoisonError::into_inner);
        self.overflowed.store(0, Ordering::Release);
        std::mem::take(&mut *overflow)
    }

    /// Events before this position are kept elsewhere, or analytics has them.
    pub(super) fn free_to(&self, position: u64) {
        self.ring.free_to(position);
    }

    /// Whether room is getting scarce.
    pub(super) fn is_half_full(&self) -> bool {
        self.ring.is_half_full()
    }

    /// Whether hardly any is left.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.ring.is_nearly_full()
    }

    /// Bytes of events that were not freed.
    pub(crate) fn bytes(&self) -> usize {
        self.ring.used() * size_of::<u64>()
    }

    /// Whether what is in it outlives a kill of the process.
    pub(super) fn outlives_a_kill(&self) -> bool {
        self.outlives_a_kill
    }
}
