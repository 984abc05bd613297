//! Remembers every request from its begin until its event is on disk, in memory
//! that outlives a kill of the process: what a killed proxy had begun, and what it
//! had answered but not written down, is known at its next start.
//!
//! Each process has a file of its own, in which each request has a slot. A request
//! that finds none is not remembered here: the snapshots of `running` see it if it
//! takes long enough.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{Ordering, compiler_fence},
    },
    time::Duration,
};

use modash_proto::{
    duration_from_micros, timestamp_from_micros,
    v1::{Outcome, UsageEvent, UsageSource},
};
use uuid::Uuid;

use super::{
    log::{
        create,
        header::{self, Kind},
    },
    mapped::Mapped,
};
use crate::{exchange::Exchange, request_facts::cut};

/// Numbers in a slot; 512 bytes.
const SLOT: usize = 64;

/// Slots of each core; only those that were ever used at the same time take
/// memory.
const SLOTS_PER_CORE: u32 = 8_192;

// Places of numbers in a slot.
const STATE: usize = 0;
const ID: usize = 1;
const STARTED_AT: usize = 3;
const DURATION: usize = 4;
const RESPONSE_BYTES: usize = 5;
const STATUS: usize = 6;
const LENGTHS: usize = 7;
const TEXT: usize = 8;

// States.
const FREE: u64 = 0;
const RUNNING: u64 = 1;
const ENDED: u64 = 2;

/// Longest texts: method, upstream, path, session. Together they fit.
const MAX_TEXT: [usize; 4] = [16, 64, 216, 128];
const TEXT_BYTES: usize = (SLOT - TEXT) * size_of::<u64>();
const _: () = assert!(MAX_TEXT[0] + MAX_TEXT[1] + MAX_TEXT[2] + MAX_TEXT[3] <= TEXT_BYTES);

/// The file of this process, made before it serves, and removed by an orderly end.
#[derive(Debug)]
pub(crate) struct SlotFile {
    path: PathBuf,
    mapped: Arc<Mapped>,
    cores: u32,
}

/// The slots of one core.
#[derive(Debug)]
pub(crate) struct Slots {
    mapped: Arc<Mapped>,
    /// Free ones. The last to come is the first to go, so that few are in use.
    free: Mutex<Vec<u32>>,
}

/// The slot of one request; free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    number: u32,
}

impl SlotFile {
    /// Makes the file of this process in the directory of its replica.
    pub(crate) fn create(directory: &Path, cores: usize) -> io::Result<Self> {
        super::log::make_directory(directory)?;
        let name = Uuid::now_v7();
        let (path, unfinished) =
            (directory.join(format!("{name}.slots")), directory.join(format!("{name}.new")));
        let cores = u32::try_from(cores).unwrap_or(1);
        let made = Self::make(&unfinished, cores).and_then(|mapped| {
            // Locked and whole before anybody can find it.
            fs::rename(&unfinished, &path)?;
            Ok(Self { path, mapped: Arc::new(mapped), cores })
        });
        made.inspect_err(|_| drop(fs::remove_file(&unfinished)))
    }

    fn make(path: &Path, cores: u32) -> io::Result<Mapped> {
        let file = create(path)?;
        file.try_lock()?;
        let numbers = (1 + cores as usize * SLOTS_PER_CORE as usize) * SLOT;
        let header = Kind::Slots.header(numbers as u64);
        let mapped = Mapped::new(file, numbers)?;
        for (number, bytes) in mapped.numbers().iter().zip(header.chunks(8)) {
            number.store(pack(bytes), Ordering::Relaxed);
        }
        Ok(mapped)
    }

    /// The slots of a core, by its number.
    pub(crate) fn of_core(&self, core: usize) -> Arc<Slots> {
        let core = u32::try_from(core).unwrap_or(0).min(self.cores - 1);
        let first = 1 + core * SLOTS_PER_CORE;
        let free = (first..first + SLOTS_PER_CORE).rev().collect();
        Arc::new(Slots { mapped: self.mapped.clone(), free: Mutex::new(free) })
    }

    /// Nothing is remembered in it any more.
    pub(super) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Slots {
    /// A slot for a request that begins; `None` if all are taken.
    pub(crate) fn take(self: &Arc<Self>, exchange: &Exchange) -> Option<Slot> {
        let number = self.free().pop()?;
        let slot = Slot { slots: self.clone(), number };
        slot.begin(exchange);
        Some(slot)
    }

    fn free(&self) -> MutexGuard<'_, Vec<u32>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn begin(&self, exchange: &Exchange) {
        let facts = &exchange.facts;
        let texts = [
            facts.method.as_str(),
            &exchange.upstream,
            &facts.path,
            facts.session.as_deref().unwrap_or_default(),
        ];
        let (mut bytes, mut lengths, mut end) = ([0; TEXT_BYTES], 0, 0);
        for (at, (text, limit)) in texts.into_iter().zip(MAX_TEXT).enumerate() {
            let text = cut(text, limit);
            bytes[end..end + text.len()].copy_from_slice(text.as_bytes());
            lengths |= (text.len() as u64) << (16 * at);
            end += text.len();
        }
        let (high, low) = exchange.id.as_u64_pair();
        self.set(ID, high);
        self.set(ID + 1, low);
        self.set(STARTED_AT, exchange.started_at.cast_unsigned());
        self.set(LENGTHS, lengths);
        for (place, bytes) in bytes[..end].chunks(8).enumerate() {
            self.set(TEXT + place, pack(bytes));
        }
        self.set_state(RUNNING);
    }

    /// The request ended like this.
    pub(crate) fn end(&self, duration: Duration, status: Option<u16>, response_bytes: u64) {
        self.set(DURATION, u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
        self.set(STATUS, status.unwrap_or_default().into());
        self.set(RESPONSE_BYTES, response_bytes);
        self.set_state(ENDED);
    }

    /// Says what the slot holds, after everything else was stored. A kill keeps
    /// all stores up to some point in the order of the program, so the order in
    /// which the compiler leaves them is enough.
    fn set_state(&self, state: u64) {
        compiler_fence(Ordering::Release);
        self.set(STATE, state);
    }

    fn set(&self, place: usize, number: u64) {
        let at = self.number as usize * SLOT + place;
        self.slots.mapped.numbers()[at].store(number.to_le(), Ordering::Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.set_state(FREE);
        self.slots.free().push(self.number);
    }
}

fn pack(bytes: &[u8]) -> u64 {
    let mut number = [0; 8];
    number[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(number)
}

/// Files that processes left which are gone.
#[derive(Debug, Default)]
pub(super) struct LeftBehind {
    /// Locked as long as they are held, so that nobody else reads them.
    files: Vec<(PathBuf, File)>,
}

impl LeftBehind {
    /// Finds and reads them: the events of the requests that they remember.
    pub(super) fn find(directory: &Path, replica_id: &str) -> io::Result<(Self, Vec<UsageEvent>)> {
        let (mut found, mut events) = (Self::default(), Vec::new());
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if !path.extension().is_some_and(|kind| kind == "slots" || kind == "new") {
                continue;
            }
            let file = File::open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let bytes = fs::read(&path)?;
            if Kind::Slots.read(&bytes).is_ok() {
                let (slots, _) = bytes.as_chunks::<{ SLOT * size_of::<u64>() }>();
                events.extend(slots[1..].iter().filter_map(|slot| event(slot, replica_id)));
            }
            found.files.push((path, file));
        }
        Ok((found, events))
    }

    /// The events are elsewhere now.
    pub(super) fn remove(&mut self) {
        for (path, file) in self.files.drain(..) {
            let _ = fs::remove_file(path);
            drop(file);
        }
    }
}

/// The event of the request in a slot.
fn event(slot: &[u8; SLOT * size_of::<u64>()], replica_id: &str) -> Option<UsageEvent> {
    let (numbers, _) = slot.as_chunks::<8>();
    let number = |place: usize| u64::from_le_bytes(numbers[place]);
    let has_ended = match number(STATE) {
        RUNNING => false,
        ENDED => true,
        _ => return None,
    };
    let mut rest = &slot[TEXT * size_of::<u64>()..];
    let mut text = |at: usize| {
        let length = usize::from((number(LENGTHS) >> (16 * at)) as u16);
        let (text, behind) = rest.split_at_checked(length)?;
        rest = behind;
        Some(str::from_utf8(text).ok()?.to_owned())
    };
    let (method, upstream, path, session) = (text(0)?, text(1)?, text(2)?, text(3)?);
    let micros = |place| i64::try_from(number(place)).ok();
    let ended = |place| has_ended.then(|| number(place));
    Some(UsageEvent {
        event_id: Uuid::from_u64_pair(number(ID), number(ID + 1)).to_string(),
        replica_id: replica_id.to_owned(),
        started_at: Some(timestamp_from_micros(micros(STARTED_AT)?)),
        upstream,
        dialect: modash_metering::Dialect::Unknown.id().to_owned(),
        method,
        path,
        session: Some(session).filter(|session| !session.is_empty()),
        status: ended(STATUS).and_then(|status| u32::try_from(status).ok()).filter(|s| *s > 0),
        duration: has_ended.then(|| micros(DURATION).map(duration_from_micros)).flatten(),
        response_bytes: ended(RESPONSE_BYTES).unwrap_or_default(),
        outcome: Outcome::Interrupted.into(),
        usage_source: UsageSource::NotReported.into(),
        ..UsageEvent::default()
    })
}

const _: () = assert!(header::LENGTH <= SLOT * size_of::<u64>());

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(path: &str) -> Exchange {
        let request = http::Request::post(path).header("x-session-id", "s-1").body(()).unwrap();
        Exchange::begin(&request.into_parts().0, "default".into(), Arc::default())
    }

    fn left_in(directory: &Path) -> Vec<UsageEvent> {
        let (_, mut events) = LeftBehind::find(directory, "replica").unwrap();
        events.sort_by(|a, b| a.path.cmp(&b.path));
        events
    }

    #[test]
    fn what_had_begun_and_what_had_ended_is_known_when_the_process_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let file = SlotFile::create(directory.path(), 2).unwrap();
        let (one, other) = (file.of_core(0), file.of_core(1));
        let (running, ended, written) = (exchange("/a"), exchange("/b"), exchange("/c"));
        let _running = one.take(&running).unwrap();
        let slot = other.take(&ended).unwrap();
        slot.end(Duration::from_millis(7), Some(200), 99);
        drop(one.take(&written).unwrap());
        assert_eq!(left_in(directory.path()), [], "it is alive");

        // A copy, as nobody holds it.
        let copy = directory.path().join("copy");
        fs::create_dir(&copy).unwrap();
        fs::copy(&file.path, copy.join("x.slots")).unwrap();
        let events = left_in(&copy);
        assert_eq!(events.len(), 2, "{events:?}");
        for (event, exchange) in events.iter().zip([&running, &ended]) {
            assert_eq!(event.check(), Ok(()));
            assert_eq!(event.event_id, exchange.id.to_string());
            assert_eq!(event.started_at, Some(timestamp_from_micros(exchange.started_at)));
            assert_eq!((event.method.as_str(), event.upstream.as_str()), ("POST", "default"));
            assert_eq!(event.session.as_deref(), Some("s-1"));
        }
        assert_eq!((events[0].status, events[0].duration), (None, None));
        assert_eq!(events[1].status, Some(200));
        assert_eq!(
            (events[1].duration, events[1].response_bytes),
            (Some(duration_from_micros(7_000)), 99)
        );
    }

    #[test]
    fn what_is_read_is_removed_only_when_told_so() {
        let directory = tempfile::tempdir().unwrap();
        let file = SlotFile::create(directory.path(), 1).unwrap();
        let slots = file.of_core(0);
        std::mem::forget(slots.take(&exchange("/a")).unwrap());
        let left = directory.path().join("left.slots");
        fs::copy(&file.path, &left).unwrap();
        assert_eq!(left_in(directory.path()).len(), 1);
        let (mut behind, events) = LeftBehind::find(directory.path(), "replica").unwrap();
        assert_eq!(events.len(), 1);
        behind.remove();
        assert!(!left.exists() && file.path.exists());
    }

    #[test]
    fn when_all_slots_are_taken_requests_go_on_without() {
        let directory = tempfile::tempdir().unwrap();
        let slots = SlotFile::create(directory.path(), 1).unwrap().of_core(0);
        let exchange = exchange("/a");
        let mut taken: Vec<_> = (0..SLOTS_PER_CORE).map_while(|_| slots.take(&exchange)).collect();
        assert_eq!(taken.len(), SLOTS_PER_CORE as usize);
        assert!(slots.take(&exchange).is_none());
        taken.pop();
        assert!(slots.take(&exchange).is_some());
    }

    #[test]
    fn texts_of_any_length_fit() {
        let directory = tempfile::tempdir().unwrap();
        let file = SlotFile::create(directory.path(), 1).unwrap();
        let slots = file.of_core(0);
        let request = http::Request::builder()
            .method("M".repeat(50).as_str())
            .uri(format!("/{}", "p".repeat(600)))
            .header("x-session-id", "s".repeat(200));
        let head = request.body(()).unwrap().into_parts().0;
        let long = Exchange::begin(&head, "u".repeat(200).into(), Arc::default());
        std::mem::forget(slots.take(&long));
        fs::copy(&file.path, directory.path().join("x.slots")).unwrap();
        let events = left_in(directory.path());
        assert_eq!(events[0].check(), Ok(()));
        assert_eq!((events[0].method.len(), events[0].path.len()), (16, 216));
    }
}
