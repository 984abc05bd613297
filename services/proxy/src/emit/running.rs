//! Remembers on disk which requests run, so that those which a killed proxy left
//! behind are known at its next start and become events of their own.
//!
//! Two files are written in turn, each by one write: whenever the process dies,
//! one of them is whole. A request that ended after the last write is found in
//! the spool, or analytics knows it: its event has the same id.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use modash_proto::{
    duration_from_micros, micros_from_timestamp,
    v1::{EventBatch, Outcome, UsageEvent, UsageSource},
};
use prost::Message as _;

use super::log::{
    create,
    header::{self, Kind},
    record,
};
use crate::{core::Shared, exchange::Exchange, usage_event::EventMaker};

/// How often they are written down, and the age from which a request is.
pub(super) const EVERY: Duration = Duration::from_millis(500);

/// Most requests that are written down; a bound of the file's size.
const MAX_REQUESTS: usize = 10_000;

/// The two files.
#[derive(Debug)]
pub(super) struct RunningFiles {
    files: [File; 2],
    generation: u64,
    empty: bool,
}

impl RunningFiles {
    /// Opens or makes the files, and gives what ran when they were written last.
    pub(super) fn open(directory: &Path) -> io::Result<(Self, Vec<UsageEvent>)> {
        let paths = ["running-0", "running-1"].map(|name| directory.join(name));
        let [first, second] = &paths;
        let files = [create(first)?, create(second)?];
        let mut newest: (u64, Vec<UsageEvent>) = Default::default();
        for path in &paths {
            let found = read(&fs::read(path)?);
            newest = found.filter(|found| found.0 > newest.0).unwrap_or(newest);
        }
        let (generation, events) = newest;
        Ok((Self { files, generation, empty: events.is_empty() }, events))
    }

    /// Writes down what runs now.
    pub(super) fn write(&mut self, events: Vec<UsageEvent>) -> io::Result<()> {
        let empty = events.is_empty();
        if empty && self.empty {
            return Ok(());
        }
        let generation = self.generation + 1;
        let mut bytes = Kind::Running.header(generation).to_vec();
        record::append(
            &mut bytes,
            generation,
            &EventBatch { first_sequence: 0, events }.encode_to_vec(),
        );
        self.files[usize::from(generation % 2 == 1)].write_all_at(&bytes, 0)?;
        (self.generation, self.empty) = (generation, empty);
        Ok(())
    }
}

fn read(file: &[u8]) -> Option<(u64, Vec<UsageEvent>)> {
    let generation = Kind::Running.read(file).ok()?;
    let record = record::at(file, header::LENGTH)?;
    let batch = EventBatch::decode(record.payload).ok()?;
    (record.sequence == generation).then_some((generation, batch.events))
}

/// The events that these running requests would be, were they interrupted now.
pub(super) fn snapshot(cores: &[Arc<Shared>], maker: &EventMaker) -> Vec<UsageEvent> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let old_enough = |exchange: &Arc<Exchange>| {
        i128::from(now - exchange.started_at) >= EVERY.as_micros().cast_signed()
    };
    let running = cores.iter().flat_map(|core| core.in_flight()).filter(old_enough);
    running.take(MAX_REQUESTS).filter_map(|exchange| interrupted(&exchange, maker, now)).collect()
}

fn interrupted(exchange: &Exchange, maker: &EventMaker, now: i64) -> Option<UsageEvent> {
    let live = maker.live(exchange)?;
    let facts = &exchange.facts;
    let first_token = live.first_token_at.as_ref().and_then(micros_from_timestamp);
    Some(UsageEvent {
        event_id: live.event_id,
        replica_id: live.replica_id,
        started_at: live.started_at,
        upstream: live.upstream,
        dialect: live.dialect,
        operation: live.operation,
        method: facts.method.as_str().chars().take(32).collect(),
        path: live.path,
        stream: live.stream,
        user_agent_family: facts.user_agent_family.as_deref().map(str::to_owned),
        client_key: live.client_key,
        user: live.user,
        session: facts.session.as_deref().map(str::to_owned),
        tags: facts
            .tags
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        model: live.model,
        outcome: Outcome::Interrupted.into(),
        usage_source: UsageSource::NotReported.into(),
        first_token: first_token.map(|at| duration_from_micros(at - exchange.started_at)),
        duration: Some(duration_from_micros(now - exchange.started_at)),
        content_events: live.content_events,
        request_bytes: exchange.progress.request_bytes.load(std::sync::atomic::Ordering::Relaxed),
        response_bytes: live.response_bytes,
        ..UsageEvent::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str) -> UsageEvent {
        UsageEvent { event_id: id.to_owned(), ..UsageEvent::default() }
    }

    #[test]
    fn what_ran_last_is_known_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let (mut files, ran) = RunningFiles::open(directory.path()).unwrap();
        assert_eq!(ran, []);
        files.write(vec![event("a"), event("b")]).unwrap();
        files.write(vec![event("b")]).unwrap();
        let (mut files, ran) = RunningFiles::open(directory.path()).unwrap();
        assert_eq!(ran, [event("b")]);
        files.write(Vec::new()).unwrap();
        assert_eq!(RunningFiles::open(directory.path()).unwrap().1, []);
    }

    #[test]
    fn a_death_in_the_middle_of_writing_leaves_what_was_written_before() {
        let directory = tempfile::tempdir().unwrap();
        let (mut files, _) = RunningFiles::open(directory.path()).unwrap();
        files.write(vec![event("a")]).unwrap();
        files.write(vec![event("b")]).unwrap();
        files.files[0].write_all_at(b"torn", 25).unwrap();
        assert_eq!(RunningFiles::open(directory.path()).unwrap().1, [event("a")]);
    }
}
