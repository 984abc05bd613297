//! Power cuts: what is on the disk afterwards is what was synced, and of everything
//! written since any pages in any order, with or without the names of new files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    os::fd::AsRawFd as _,
    path::Path,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::*;

/// The unit in which a system writes files to the disk.
const PAGE: usize = 4_096;

/// Synced when a test says so.
const BY_HAND: Option<Duration> = Some(Duration::MAX);

/// A machine: the disk under the directory of a replica, as far as it is certain.
struct Machine {
    base: TempDir,
    boots: usize,
    /// What was synced, by name.
    contents: BTreeMap<String, Vec<u8>>,
    /// Names that were synced.
    names: BTreeSet<String>,
    draw: StdRng,
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

impl Machine {
    fn new(seed: u64) -> Self {
        Self {
            base: tempfile::tempdir().unwrap(),
            boots: 0,
            contents: BTreeMap::new(),
            names: BTreeSet::new(),
            draw: StdRng::seed_from_u64(seed),
        }
    }

    fn config(&self, fsync: Option<Duration>) -> LogConfig {
        let directory = self.base.path().join(self.boots.to_string());
        LogConfig { directory, bytes: 16 << 20, fsync }
    }

    /// What `sync_data` does.
    fn sync(&mut self, file: &File) {
        let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        if path.is_dir() {
            self.names = files(&path).into_keys().collect();
        } else if path.exists() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            self.contents.insert(name, fs::read(path).unwrap());
        }
    }

    /// The power goes, and comes back.
    fn cut(&mut self) {
        let cached = files(&self.config(None).directory);
        self.boots += 1;
        let directory = self.config(None).directory;
        fs::create_dir(&directory).unwrap();
        let names: BTreeSet<_> = cached.keys().chain(&self.names).cloned().collect();
        // Everything, nothing, or any mixture of what was not synced.
        let share = [0.0, 1.0, self.draw.random()][self.draw.random_range(0..3)];
        for name in names {
            let certain = self.names.contains(&name) && cached.contains_key(&name);
            if certain || self.draw.random_bool(share) {
                let synced = self.contents.remove(&name).unwrap_or_default();
                let cached = cached.get(&name).unwrap_or(&synced);
                let content = self.mixed(&synced, cached, share);
                fs::write(directory.join(name), content).unwrap();
            }
        }
        self.contents = files(&directory);
        self.names = self.contents.keys().cloned().collect();
    }

    /// Some pages of one and some of the other.
    fn mixed(&mut self, synced: &[u8], cached: &[u8], share: f64) -> Vec<u8> {
        let mut pick = || if self.draw.random_bool(share) { cached } else { synced };
        let mut content = vec![0; pick().len()];
        for (number, page) in content.chunks_mut(PAGE).enumerate() {
            let there = pick().get(number * PAGE..).unwrap_or_default();
            let length = there.len().min(page.len());
            page[..length].copy_from_slice(&there[..length]);
        }
        content
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Append(u64),
    Send(usize),
    Acknowledge(usize),
    /// To segment files, as when analytics takes too long.
    Move,
    Sync,
    /// The power goes before all files are synced.
    CutInSync(usize),
    Cut,
    Kill,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..50u64).prop_map(Step::Append),
        5 => (1..100usize).prop_map(Step::Send),
        4 => (1..100usize).prop_map(Step::Acknowledge),
        3 => Just(Step::Move),
        4 => Just(Step::Sync),
        2 => (0..4usize).prop_map(Step::CutInSync),
        2 => Just(Step::Cut),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
    ]
}

/// A proxy on a machine whose power goes now and then.
struct Run {
    machine: Machine,
    fsync: Option<Duration>,
    life: Option<Life>,
    appended: u64,
    /// Events before this number were in files that were synced since.
    synced: u64,
    /// Except for these: the power went before they were.
    unsynced: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
    /// What was sent and is not acknowledged.
    under_way: Vec<u64>,
}

impl Run {
    fn new(seed: u64, fsync: Option<Duration>) -> Self {
        let machine = Machine::new(seed);
        let life = Some(Life::with_journal(&machine.config(fsync), NEVER));
        Self {
            machine,
            fsync,
            life,
            appended: 0,
            synced: 0,
            unsynced: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            under_way: Vec::new(),
        }
    }

    fn life(&mut self) -> &mut Life {
        self.life.as_mut().unwrap()
    }

    /// Syncs so many files. What was added before is safe if these are all of them.
    fn sync(&mut self, most: usize) {
        let unsynced = self.life().keeper.log.as_ref().unwrap().unsynced();
        let Some(unsynced) = unsynced else { return };
        let (machine, mut left) = (&mut self.machine, most);
        let synced = unsynced.sync(|file| {
            left = left.checked_sub(1).ok_or(io::ErrorKind::Other)?;
            machine.sync(file);
            Ok(())
        });
        if synced.is_ok() {
            self.synced = self.appended;
            self.life().keeper.tend();
        }
    }

    fn restart(&mut self) {
        self.under_way.clear();
        self.life = Some(Life::with_journal(&self.machine.config(self.fsync), NEVER));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(count) => {
                let numbers = self.appended..self.appended + count;
                self.appended += count;
                self.life().append(numbers);
            }
            Step::Send(most) => {
                let sent = self.life().send(most);
                self.under_way.extend(sent);
                // A stream that began again has nothing under way.
                let gone = self.under_way.len() - self.life().under_way.len();
                self.under_way.drain(..gone);
            }
            Step::Acknowledge(count) => {
                self.life().acknowledge(count);
                let count = count.min(self.under_way.len());
                self.acknowledged.extend(self.under_way.drain(..count));
            }
            Step::Move => self.life().keeper.write_what_waits(),
            Step::Sync => self.sync(usize::MAX),
            Step::CutInSync(files) => {
                self.sync(files);
                self.cut();
            }
            Step::Cut => self.cut(),
            Step::Kill => {
                self.life.take().unwrap().kill();
                self.restart();
            }
            Step::Close => {
                self.life().keeper.write_what_waits();
                // Its thread does so in the end.
                self.sync(usize::MAX);
                self.life.take().unwrap().close();
                self.restart();
            }
        }
        self.life().keeper.tend();
        self.life().check_sum();
        if self.life().journal.as_ref().unwrap().journal.is_half_full() {
            // As it asks for.
            self.sync(usize::MAX);
        }
    }

    fn cut(&mut self) {
        self.machine.cut();
        self.unsynced.extend(self.synced..self.appended);
        self.life.take().unwrap().kill();
        self.restart();
    }

    /// What is sent in the end, with what was acknowledged.
    fn known(&mut self) -> BTreeSet<u64> {
        let mut known: BTreeSet<u64> = self.life().drain().into_iter().collect();
        self.life().check_sum();
        known.extend(&self.acknowledged);
        known
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_power_cut_loses_nothing_that_was_synced(
        steps in proptest::collection::vec(step(), 1..30),
        seed in any::<u64>(),
    ) {
        let mut run = Run::new(seed, BY_HAND);
        steps.into_iter().for_each(|step| run.step(step));
        run.cut();
        let known = run.known();
        let promised = (0..run.synced).filter(|number| !run.unsynced.contains(number));
        let lost: Vec<_> = promised.filter(|number| !known.contains(number)).collect();
        prop_assert!(lost.is_empty(), "of {} synced events are lost: {lost:?}", run.synced);
        prop_assert!(known.iter().all(|number| *number < run.appended));
    }

    #[test]
    fn without_syncing_a_power_cut_leaves_whole_events_or_none(
        steps in proptest::collection::vec(step(), 1..30),
        seed in any::<u64>(),
    ) {
        let mut run = Run::new(seed, None);
        steps.into_iter().for_each(|step| run.step(step));
        run.cut();
        let known = run.known();
        prop_assert!(known.iter().all(|number| *number < run.appended));
    }

    #[test]
    fn with_or_without_syncing_a_kill_loses_nothing(
        steps in proptest::collection::vec(step(), 1..30),
        syncs in any::<bool>(),
    ) {
        let mut run = Run::new(0, BY_HAND.filter(|_| syncs));
        for step in steps {
            if !matches!(step, Step::Cut | Step::CutInSync(_)) {
                run.step(step);
            }
        }
        run.step(Step::Kill);
        prop_assert_eq!(run.known(), (0..run.appended).collect());
    }
}
