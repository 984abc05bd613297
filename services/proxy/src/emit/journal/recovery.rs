//! What killed processes left in their journals.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use modash_proto::v1::UsageEvent;

use super::{
    super::log::header::{self, Kind},
    ACKNOWLEDGED, CONTROL, LAYOUT, Layout, NEXT, PREFACE,
    ring::{self, Ended},
    slots::{self, SLOT},
};

/// Words that are read at once.
const WINDOW: usize = 4_096;

/// Journals of processes that are gone.
#[derive(Debug, Default)]
pub(in crate::emit) struct LeftBehind {
    /// Locked as long as they are held, so that nobody else reads them.
    files: Vec<(PathBuf, File)>,
}

/// What was in them.
#[derive(Debug, Default)]
pub(in crate::emit) struct Left {
    /// Events of requests that had ended.
    pub(in crate::emit) ended: Vec<Ended>,
    /// Events of requests that ran; some of them may have ended, too.
    pub(in crate::emit) running: Vec<UsageEvent>,
    /// The sequence number after the last that was given to an event.
    pub(in crate::emit) next: u64,
    /// The highest sequence number that was acknowledged.
    pub(in crate::emit) acknowledged: u64,
    /// Places where events are damaged.
    pub(in crate::emit) damaged: u64,
}

impl LeftBehind {
    /// Finds and reads them.
    pub(in crate::emit) fn find(directory: &Path, replica_id: &str) -> io::Result<(Self, Left)> {
        let (mut found, mut left) = (Self::default(), Left::default());
        for path in journals(directory)? {
            let file = File::open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let mut words = Words::of(&file);
            match Kind::Journal.read(&words.header()) {
                Ok(_) => read(&mut words, replica_id, &mut left),
                Err(error @ header::HeaderError::Version(_)) => {
                    tracing::warn!(file = %path.display(), %error, "a journal is left alone");
                    continue;
                }
                // Its process died before it served.
                Err(header::HeaderError::Damaged) => {}
            }
            words.failure.map_or(Ok(()), Err)?;
            found.files.push((path, file));
        }
        Ok((found, left))
    }

    /// The events are elsewhere now.
    pub(in crate::emit) fn remove(&mut self) {
        for (path, file) in self.files.drain(..) {
            let _ = fs::remove_file(path);
            drop(file);
        }
    }
}

/// The journals of a directory, the oldest first: their names are UUIDv7.
fn journals(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let mut paths = paths.collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "journal" || kind == "new"));
    paths.sort_unstable();
    Ok(paths)
}

/// The words of a file, read where they are asked for: most of a journal was never
/// used, and a process that is killed again and again has to be done soon.
struct Words<'a> {
    file: &'a File,
    /// Some of them, from this one on.
    window: Vec<u64>,
    first: usize,
    /// Why words could not be read; they are 0 then.
    failure: Option<io::Error>,
}

impl<'a> Words<'a> {
    fn of(file: &'a File) -> Self {
        Self { file, window: Vec::new(), first: 0, failure: None }
    }

    /// One of them; 0 behind the end of the file.
    fn at(&mut self, at: usize) -> u64 {
        if !(self.first..self.first + self.window.len()).contains(&at) {
            self.fill(at);
        }
        self.window.get(at - self.first).copied().unwrap_or_default()
    }

    fn fill(&mut self, at: usize) {
        self.first = at - at % WINDOW;
        let mut bytes = vec![0; WINDOW * size_of::<u64>()];
        let mut length = 0;
        while length < bytes.len() {
            let offset = (self.first * size_of::<u64>() + length) as u64;
            match self.file.read_at(&mut bytes[length..], offset) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failure = Some(error);
                    break;
                }
            }
        }
        let (words, _) = bytes.as_chunks::<8>();
        self.window = words.iter().map(|bytes| u64::from_ne_bytes(*bytes)).collect();
    }

    fn header(&mut self) -> Vec<u8> {
        let words = (0..LAYOUT).flat_map(|at| self.at(at).to_ne_bytes());
        words.take(header::LENGTH).collect()
    }

    /// How many there are.
    fn count(&self) -> io::Result<usize> {
        Ok(usize::try_from(self.file.metadata()?.len()).unwrap_or(usize::MAX) / size_of::<u64>())
    }
}

fn read(words: &mut Words<'_>, replica_id: &str, left: &mut Left) {
    let Some(layout) = layout(words) else { return left.damaged += 1 };
    left.next = left.next.max(words.at(NEXT));
    left.acknowledged = left.acknowledged.max(words.at(ACKNOWLEDGED));
    for core in 0..layout.cores {
        let ring = layout.core_base(core);
        let (ended, damaged) = ring::left_in(layout.ring, |at| words.at(ring + at));
        left.ended.extend(ended);
        left.damaged += damaged;
        let slots = ring + CONTROL + layout.ring;
        let running = slots::left_in(layout.slots, replica_id, |at| words.at(slots + at));
        left.running.extend(running);
    }
}

/// How the file is shared out, if it can be.
fn layout(words: &mut Words<'_>) -> Option<Layout> {
    let count = words.count().ok()?;
    let mut number = |at: usize| usize::try_from(words.at(LAYOUT + at)).ok();
    let layout = Layout { cores: number(0)?, slots: number(1)?, ring: number(2)? };
    let core = layout.slots.checked_mul(SLOT)?.checked_add(layout.ring)?.checked_add(CONTROL)?;
    let all = layout.cores.checked_mul(core)?.checked_add(PREFACE)?;
    (layout.ring > 0 && all == count).then_some(layout)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prost::Message as _;

    use super::{
        super::{Journal, JournalFile},
        *,
    };
    use crate::exchange::Exchange;

    fn exchange(path: &str) -> Exchange {
        let request = http::Request::post(path).body(()).unwrap();
        Exchange::begin(
            &modash_metering::Head::from(&request.into_parts().0),
            "default".into(),
            Arc::default(),
        )
    }

    fn event(id: &str) -> UsageEvent {
        UsageEvent { event_id: id.to_owned(), ..UsageEvent::default() }
    }

    fn ended(left: &Left) -> Vec<UsageEvent> {
        let decode = |ended: &Ended| prost::Message::decode(ended.event.as_ref()).unwrap();
        left.ended.iter().map(decode).collect()
    }

    /// A copy, as nobody holds it.
    fn copy(file: &JournalFile, directory: &Path) -> PathBuf {
        let copy = directory.join("copy.journal");
        fs::copy(file.path.as_ref().unwrap(), &copy).unwrap();
        copy
    }

    #[test]
    fn what_ran_and_what_had_ended_is_known_when_the_process_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let file = JournalFile::create(Some(directory.path()), 2).unwrap();
        let (one, other): (Journal, Journal) = (file.of_core(0), file.of_core(1));
        assert!(one.outlives_a_kill());
        let running = exchange("/a");
        let _slot = one.begin(&running).unwrap();
        for id in ["1", "2", "3"] {
            other.append(false, |buffer| event(id).encode_raw(buffer)).unwrap();
        }
        let (_, behind_first) = other.read(0).unwrap();
        other.free_to(behind_first);
        let (behind, left) = LeftBehind::find(directory.path(), "replica").unwrap();
        assert!(behind.files.is_empty() && left.running.is_empty(), "it is alive: {left:?}");

        let copy = copy(&file, directory.path());
        let (mut behind, left) = LeftBehind::find(directory.path(), "replica").unwrap();
        assert_eq!(ended(&left), [event("2"), event("3")]);
        assert_eq!((left.running.len(), left.damaged), (1, 0));
        assert_eq!(left.running[0].event_id, running.id.to_string());
        assert!(copy.exists(), "until it is said that they are elsewhere");
        behind.remove();
        assert!(!copy.exists() && file.path.as_ref().unwrap().exists());
    }

    #[test]
    fn a_file_that_is_cut_off_or_newer_loses_nothing_of_others() {
        let directory = tempfile::tempdir().unwrap();
        let file = JournalFile::create(Some(directory.path()), 1).unwrap();
        file.of_core(0).append(false, |buffer| event("1").encode_raw(buffer)).unwrap();
        let copy = copy(&file, directory.path());
        fs::write(directory.path().join("torn.journal"), &fs::read(&copy).unwrap()[..5_000])
            .unwrap();
        fs::write(directory.path().join("empty.new"), b"").unwrap();
        let mut newer = Kind::Journal.header(1);
        newer[4] = 9;
        let checksum = crc32fast::hash(&newer[..16]);
        newer[16..].copy_from_slice(&checksum.to_le_bytes());
        fs::write(directory.path().join("newer.journal"), newer).unwrap();
        let (mut behind, left) = LeftBehind::find(directory.path(), "replica").unwrap();
        assert_eq!((ended(&left), left.damaged), (vec![event("1")], 1));
        behind.remove();
        assert!(directory.path().join("newer.journal").exists());
    }
}
