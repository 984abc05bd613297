//! The keeper with real files: restarts, damage, limits, and a model of it all.

mod power_cuts;

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{
    client_key::Fingerprinter,
    emit::{
        Running,
        journal::JournalFile,
        spool::{Counts, Place},
    },
    exchange::{Ending, Exchange},
    usage_event::EventMaker,
};

/// So that little is in memory, and most is read back.
const SMALL_WINDOW: usize = 50;

/// One life of a replica's keeper, and the stream that it feeds.
struct Life {
    keeper: Keeper,
    spool: Arc<SharedSpool>,
    place: Place,
    /// Sequence numbers that were sent and not acknowledged.
    under_way: Vec<u64>,
    appended: u64,
    /// Where new events go first; `None`: straight to the keeper.
    journal: Option<Arc<Shared>>,
}

impl Life {
    fn begin(config: &LogConfig) -> Self {
        Self::begin_with(config, 1_000_000)
    }

    /// With a journal, from which events are moved to a segment file after this time.
    fn with_journal(config: &LogConfig, settle: Duration) -> Self {
        let file = Arc::new(JournalFile::small(&config.directory));
        let maker = EventMaker::new("replica".to_owned(), Fingerprinter::new(Some(b"secret")));
        let shared = Arc::new(Shared::new(file.of_core(0), Arc::new(maker)));
        let mut life = Self::begin_for(config, 1_000_000, vec![shared.clone()], file);
        life.keeper.settle = settle;
        life.journal = Some(shared);
        life
    }

    fn begin_with(config: &LogConfig, most_in_memory: usize) -> Self {
        let journal = Arc::new(JournalFile::create(None, 1).unwrap());
        Self::begin_for(config, most_in_memory, Vec::new(), journal)
    }

    fn begin_for(
        config: &LogConfig,
        most_in_memory: usize,
        cores: Vec<Arc<Shared>>,
        journal: Arc<JournalFile>,
    ) -> Self {
        let spool = Arc::new(SharedSpool::new(Spool::new(SMALL_WINDOW, most_in_memory)));
        let mut keeper =
            Keeper::new(spool.clone(), Some(config.clone()), "replica", cores, journal);
        keeper.open();
        keeper.tend();
        let place = spool.lock().rewind();
        Self { keeper, spool, place, under_way: Vec::new(), appended: 0, journal: None }
    }

    fn append(&mut self, numbers: std::ops::Range<u64>) {
        self.appended += numbers.end - numbers.start;
        if let Some(shared) = &self.journal {
            numbers.for_each(|number| {
                let write = |buffer: &mut Vec<u8>| usage_event(number).encode_raw(buffer);
                shared.journal.append(false, write).unwrap();
            });
            self.keeper.collect();
        } else {
            self.keeper.store(numbers.map(|number| (event(number), Origin::Memory)).collect());
        }
        self.keeper.tend();
        self.check_sum();
    }

    /// Every event is somewhere.
    fn check_sum(&self) {
        let counts = self.counts();
        let pending = self.pending();
        assert_eq!(
            self.appended + counts.interrupted + counts.recovered,
            pending + counts.acknowledged + counts.dropped + counts.damaged,
            "{counts:?}, {pending} pending"
        );
    }

    /// What a stream sends next.
    fn send(&mut self, most: usize) -> Vec<u64> {
        self.keeper.tend();
        let batch = self.spool.lock().next_batch(self.place, most, usize::MAX, usize::MAX);
        let Ok((first, events)) = batch else {
            self.new_stream();
            return Vec::new();
        };
        self.under_way.extend(first..first + events.len() as u64);
        events.iter().map(|event| decoded(event).response_bytes).collect()
    }

    /// Analytics has committed the oldest of what was sent.
    fn acknowledge(&mut self, count: usize) {
        let count = count.min(self.under_way.len());
        if let Some(last) = self.under_way.drain(..count).next_back() {
            self.spool.lock().acknowledge(self.place, last);
        }
        self.keeper.tend();
        self.check_sum();
    }

    fn new_stream(&mut self) {
        self.place = self.spool.lock().rewind();
        self.under_way.clear();
    }

    fn pending(&self) -> u64 {
        self.spool.lock().pending()
    }

    fn next(&self) -> u64 {
        self.spool.lock().next()
    }

    fn counts(&self) -> Counts {
        self.spool.lock().counts()
    }

    /// Sends and acknowledges until there is nothing left.
    fn drain(&mut self) -> Vec<u64> {
        let (mut all, mut idle) = (Vec::new(), 0);
        self.new_stream();
        while self.pending() > 0 {
            let sent = self.send(1_000);
            idle = if sent.is_empty() { idle + 1 } else { 0 };
            assert!(idle < 3, "{} pending and nothing to send", self.pending());
            self.acknowledge(sent.len());
            all.extend(sent);
        }
        all
    }

    fn try_the_disk_again(&mut self) {
        self.keeper.retry_at = Some(Instant::now());
        self.keeper.tend();
    }

    /// As after kill -9: nothing is written any more.
    fn kill(self) {}

    fn close(mut self) {
        self.keeper.close();
    }
}

/// Half a kilobyte, and a number to know it by.
fn usage_event(number: u64) -> UsageEvent {
    UsageEvent {
        event_id: uuid::Uuid::from_u128(number.into()).to_string(),
        path: "p".repeat(500),
        response_bytes: number,
        ..UsageEvent::default()
    }
}

fn event(number: u64) -> EncodedEvent {
    usage_event(number).encode_to_vec().into()
}

fn decoded(event: &EncodedEvent) -> UsageEvent {
    UsageEvent::decode(event.as_ref()).unwrap()
}

fn config(directory: &TempDir, bytes: u64) -> LogConfig {
    LogConfig { directory: directory.path().join("replica"), bytes, fsync: None }
}

fn spool_in(directory: &TempDir) -> LogConfig {
    config(directory, 16 << 20)
}

fn segments(config: &LogConfig) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(&config.directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "events"))
        .collect();
    files.sort();
    files
}

fn flip(path: &PathBuf, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn events_survive_a_kill_and_numbers_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let config = spool_in(&directory);
    let mut life = Life::begin(&config);
    life.append(0..700);
    assert_eq!(life.send(30), (0..30).collect::<Vec<_>>());
    life.kill();
    let mut life = Life::begin(&config);
    assert_eq!((life.pending(), life.next()), (700, 701));
    life.append(700..710);
    assert_eq!(life.drain(), (0..710).collect::<Vec<_>>());
    life.close();
    let life = Life::begin(&config);
    assert_eq!((life.pending(), life.place.next_sequence), (0, 711));
}

#[test]
fn after_an_outage_events_are_read_back_in_order_while_new_ones_come() {
    let directory = tempfile::tempdir().unwrap();
    let mut life = Life::begin(&spool_in(&directory));
    life.append(0..5_000);
    let mut expected = 0;
    for round in 0..200 {
        life.append(5_000 + round * 10..5_010 + round * 10);
        let sent = life.send(40);
        assert!(sent.len() <= SMALL_WINDOW);
        assert_eq!(sent, (expected..expected + sent.len() as u64).collect::<Vec<_>>());
        expected += sent.len() as u64;
        life.acknowledge(sent.len());
    }
    assert!(expected > 5_000, "{expected}");
    assert_eq!(life.drain(), (expected..7_000).collect::<Vec<_>>());
    // All but the one that is written is gone.
    assert_eq!(segments(&spool_in(&directory)).len(), 1);
}

#[test]
fn a_torn_tail_is_cut_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let config = spool_in(&directory);
    let mut life = Life::begin(&config);
    life.append(0..10);
    life.kill();
    let [segment] = segments(&config).try_into().unwrap();
    let whole = fs::metadata(&segment).unwrap().len();
    let mut record = Vec::new();
    record::append(&mut record, 11, &event(10));
    for torn in [1, 16, record.len() - 1] {
        let mut file = fs::OpenOptions::new().append(true).open(&segment).unwrap();
        file.write_all(&record[..torn]).unwrap();
        let life = Life::begin(&config);
        assert_eq!(life.pending(), 10);
        assert_eq!(fs::metadata(&segment).unwrap().len(), whole);
    }
    assert_eq!(Life::begin(&config).drain(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_damaged_record_is_skipped_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let config = spool_in(&directory);
    let mut life = Life::begin(&config);
    for round in 0..8 {
        life.append(round * 50..(round + 1) * 50);
    }
    life.kill();
    let segments = segments(&config);
    assert!(segments.len() > 2);
    let last_record = usize::try_from(fs::metadata(&segments[0]).unwrap().len()).unwrap() - 1;
    for at in [3_000, last_record] {
        flip(&segments[0], at);
    }
    let mut life = Life::begin(&config);
    let read = life.drain();
    assert_eq!((read.len(), life.counts().damaged), (398, 2));
    life.check_sum();
}

#[test]
fn at_the_cap_the_oldest_go_and_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory, 1 << 20);
    let mut life = Life::begin(&config);
    for round in 0..100 {
        life.append(round * 100..(round + 1) * 100);
    }
    let kept: u64 = segments(&config).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!((900 << 10..=1 << 20).contains(&kept), "{kept}");
    let dropped = life.counts().dropped;
    assert!(dropped > 7_000, "{dropped}");
    life.check_sum();
    assert_eq!(life.drain(), (dropped..10_000).collect::<Vec<_>>());
}

#[test]
fn a_second_process_stays_in_memory_until_the_first_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let config = spool_in(&directory);
    let mut first = Life::begin(&config);
    first.append(0..200);
    let mut second = Life::begin(&config);
    assert!(first.spool.disk().durable && !second.spool.disk().durable);
    second.append(200..300);
    assert_eq!(second.send(20), (200..220).collect::<Vec<_>>());
    first.kill();
    second.try_the_disk_again();
    assert!(second.spool.disk().durable);
    second.check_sum();
    assert!(second.send(20).is_empty(), "the stream has to begin again");
    assert_eq!(second.drain(), (0..300).collect::<Vec<_>>());
}

#[test]
fn a_directory_is_closed_to_others_and_those_above_it_stay_open() {
    let above = tempfile::tempdir().unwrap();
    let directory = above.path().join("modash/spool/one");
    super::super::log::make_directory(&directory).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let plain = above.path().join("plain");
    fs::create_dir(&plain).unwrap();
    for above in [above.path().join("modash"), above.path().join("modash/spool")] {
        assert_eq!(mode(&above), mode(&plain), "{}", above.display());
    }
}

#[test]
fn a_directory_that_vanishes_for_a_while_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = spool_in(&directory);
    let mut life = Life::begin(&config);
    life.append(0..100);
    let elsewhere = directory.path().join("elsewhere");
    fs::rename(&config.directory, &elsewhere).unwrap();
    life.append(100..200);
    life.append(200..400);
    assert!(!life.spool.disk().durable);
    fs::rename(&elsewhere, &config.directory).unwrap();
    life.try_the_disk_again();
    assert!(life.spool.disk().durable);
    life.append(400..500);
    life.kill();
    assert_eq!(Life::begin(&config).drain(), (0..500).collect::<Vec<_>>());
}

/// A file system of one megabyte, unmounted at the end.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` without the right to mount.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(directory.path());
        mount.output().ok()?.status.success().then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_survived_and_used_again_when_there_is_space() {
    let Some(disk) = SmallDisk::mount() else {
        return eprintln!("left out: no right to mount a small file system");
    };
    let config = spool_in(&disk.0);
    let rest = disk.0.path().join("rest");
    let mut life = Life::begin_with(&config, 500);
    life.append(0..100);
    fs::write(&rest, vec![1; 700 << 10]).unwrap();
    let mut next = 100;
    while life.spool.disk().durable {
        life.append(next..next + 50);
        next += 50;
        assert!(next < 2_000, "the disk must become full");
    }
    let on_disk = next - life.spool.lock().unwritten_count() as u64;
    // More than memory takes: the oldest that are not on disk go.
    life.append(next..next + 600);
    next += 600;
    let dropped = life.counts().dropped;
    assert!((100..=650).contains(&dropped), "{dropped}");
    fs::remove_file(&rest).unwrap();
    life.try_the_disk_again();
    assert!(life.spool.disk().durable);
    life.append(next..next + 10);
    next += 10;
    life.kill();
    let expected: Vec<_> = (0..on_disk).chain(on_disk + dropped..next).collect();
    assert_eq!(Life::begin(&config).drain(), expected);
}

/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3_600);

fn bytes_of_segments(config: &LogConfig) -> u64 {
    segments(config).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

fn journals(config: &LogConfig) -> usize {
    let files = fs::read_dir(&config.directory).unwrap();
    files
        .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "journal"))
        .count()
}

#[test]
fn what_analytics_takes_soon_is_written_to_no_segment() {
    let directory = tempfile::tempdir().unwrap();
    let config = spool_in(&directory);
    let mut life = Life::with_journal(&config, NEVER);
    let empty = bytes_of_segments(&config);
    for round in 0..100 {
        life.append(round * 40..(round + 1) * 40);
        assert_eq!(life.send(40).len(), 40);
        life.acknowledge(40);
    }
    assert_eq!((bytes_of_segments(&config), life.pending()), (empty, 0));
    life.close();
    assert_eq!(journals(&config), 0);
}

#[test]
fn what_analytics_does_not_take_is_moved_to_segments_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let config = spool_in(&directory);
    let mut life = Life::with_journal(&config, Duration::ZERO);
    life.append(0..40);
    assert_eq!(life.spool.lock().unwritten_count(), 0);
    life.keeper.settle = NEVER;
    life.append(40..60);
    assert_eq!(life.spool.lock().unwritten_count(), 20);
    // Before the journal is full, too.
    let mut next = 60;
    while life.spool.lock().unwritten_count() > 0 {
        life.append(next..next + 10);
        next += 10;
        assert!(next < 1_000);
    }
    assert_eq!(life.drain(), (0..next).collect::<Vec<_>>());
}

#[test]
fn what_is_in_the_journal_only_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let config = spool_in(&directory);
    let mut life = Life::with_journal(&config, Duration::ZERO);
    life.append(0..10);
    life.keeper.settle = NEVER;
    life.append(10..30);
    assert_eq!(life.send(5).len(), 5);
    life.kill();
    for _ in 0..3 {
        // The journal stays until its events are elsewhere.
        let life = Life::with_journal(&config, NEVER);
        assert_eq!((life.pending(), life.counts().recovered), (30, 30));
        life.check_sum();
        life.kill();
    }
    let mut life = Life::with_journal(&config, NEVER);
    life.append(30..40);
    assert_eq!(life.drain(), (0..40).collect::<Vec<_>>());
    assert_eq!(journals(&config), 1, "its own");
}

#[test]
fn the_journals_of_a_process_that_is_killed_again_and_again_do_not_pile_up() {
    let directory = tempfile::tempdir().unwrap();
    let config = spool_in(&directory);
    for number in 0..10 {
        // It has no time for more, and analytics takes nothing.
        let mut life = Life::with_journal(&config, NEVER);
        assert_eq!((life.pending(), journals(&config)), (number, 1));
        life.append(number..number + 1);
        life.kill();
    }
    assert_eq!(Life::with_journal(&config, NEVER).drain(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_request_that_a_killed_process_was_serving_becomes_an_event() {
    let directory = tempfile::tempdir().unwrap();
    let config = spool_in(&directory);
    let mut life = Life::with_journal(&config, NEVER);
    let shared = life.journal.clone().unwrap();
    let begin = |path: &str| {
        let head = http::Request::post(path).body(()).unwrap().into_parts().0;
        Running::begin(
            Exchange::begin(&modash_metering::Head::from(&head), "default".into(), Arc::default()),
            shared.clone(),
        )
    };
    let (running, mut ended) = (begin("/a"), begin("/b"));
    ended.end(Ending::Complete);
    life.appended += 1;
    life.keeper.collect();
    // As a kill does: nothing is dropped.
    std::mem::forget((running, ended));
    drop(shared);
    let copy = directory.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(&config.directory).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let config = LogConfig { directory: copy, ..config };
    let mut life = Life::with_journal(&config, NEVER);
    assert_eq!((life.counts().interrupted, life.counts().recovered), (1, 1));
    life.check_sum();
    life.drain();
    life.kill();
    assert_eq!(Life::with_journal(&config, NEVER).counts().interrupted, 0);
}

#[test]
fn a_process_that_cannot_write_segments_goes_on_in_memory_when_its_journal_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let config = spool_in(&directory);
    let first = Life::begin(&config);
    let mut second = Life::with_journal(&config, NEVER);
    for round in 0..50 {
        second.append(round * 20..(round + 1) * 20);
    }
    assert!(second.spool.lock().memory_only() > 500);
    assert_eq!(second.counts().dropped, 0);
    first.kill();
    second.try_the_disk_again();
    assert_eq!(second.spool.lock().unwritten_count(), 0);
    assert_eq!(second.drain(), (0..1_000).collect::<Vec<_>>());
}

#[test]
fn a_newer_format_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let config = spool_in(&directory);
    Life::begin(&config).close();
    let [segment] = segments(&config).try_into().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[4] = 9;
    let checksum = crc32fast::hash(&bytes[..16]);
    bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&segment, &bytes).unwrap();
    let mut life = Life::begin(&config);
    life.append(0..10);
    assert!(!life.spool.disk().durable);
    assert_eq!(fs::read(&segment).unwrap(), bytes);
    assert_eq!(life.drain(), (0..10).collect::<Vec<_>>());
}

#[derive(Debug, Clone)]
enum Step {
    Append(u64),
    Send(usize),
    Acknowledge(usize),
    NewStream,
    RememberPosition,
    Close,
    Kill,
    /// A record that was not written to its end, before a kill.
    Tear(usize),
    /// A changed bit, found after a kill.
    Damage(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..300u64).prop_map(Step::Append),
        8 => (1..400usize).prop_map(Step::Send),
        6 => (1..400usize).prop_map(Step::Acknowledge),
        2 => Just(Step::NewStream),
        2 => Just(Step::RememberPosition),
        1 => Just(Step::Close),
        2 => Just(Step::Kill),
        1 => (1..500usize).prop_map(Step::Tear),
        1 => (0..1000usize, 0..usize::MAX).prop_map(|(file, at)| Step::Damage(file, at)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Whatever happens, each event is sent, in order, unless its own record was
    /// damaged; and the counts add up.
    #[test]
    fn nothing_is_lost_but_what_was_damaged(
        steps in proptest::collection::vec(step(), 1..40),
        journal in any::<bool>(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let config = spool_in(&directory);
        // Often enough both: in the journal only, and in segments.
        let begin = |config: &LogConfig| match journal {
            true => Life::with_journal(config, Duration::from_millis(2)),
            false => Life::begin(config),
        };
        let mut life = begin(&config);
        let (mut appended, mut damaged) = (0, 0);
        let mut sent = BTreeSet::new();
        for step in steps {
            match step {
                Step::Append(count) => {
                    life.append(appended..appended + count);
                    appended += count;
                }
                Step::Send(most) => {
                    let events = life.send(most);
                    prop_assert!(events.is_sorted(), "{events:?}");
                    sent.extend(events);
                }
                Step::Acknowledge(count) => life.acknowledge(count),
                Step::NewStream => life.new_stream(),
                Step::RememberPosition => life.keeper.remember(),
                Step::Close => {
                    life.close();
                    life = begin(&config);
                }
                Step::Kill => {
                    life.kill();
                    life = begin(&config);
                }
                Step::Tear(bytes) => {
                    let next = life.next();
                    life.kill();
                    let mut record = Vec::new();
                    record::append(&mut record, next, &event(appended));
                    let last = segments(&config).pop().unwrap();
                    let mut file = fs::OpenOptions::new().append(true).open(last).unwrap();
                    file.write_all(&record[..bytes]).unwrap();
                    life = begin(&config);
                }
                Step::Damage(file, at) => {
                    life.kill();
                    let files = segments(&config);
                    let file = &files[file % files.len()];
                    flip(file, at % usize::try_from(fs::metadata(file).unwrap().len()).unwrap());
                    damaged += 1;
                    life = begin(&config);
                }
            }
            life.check_sum();
        }
        sent.extend(life.drain());
        let missing = (0..appended).filter(|number| !sent.contains(number)).count();
        prop_assert!(missing <= damaged, "{missing} missing, {damaged} damaged");
    }
}
