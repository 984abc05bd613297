//! Made-up requests as those of a company would be: few models and keys take
//! most of them (Zipf), afternoons of working days are busy, sizes and times are
//! log-normal, some requests fail. The same parameters give the same requests.
//!
//! `catalog` says who asks which model, `calendar` when, `request` makes one
//! event.

mod calendar;
mod catalog;
mod request;

use chrono::{DateTime, TimeDelta, Utc};
use modash_proto::v1::UsageEvent;
use rand::{SeedableRng as _, rngs::StdRng};

use calendar::Calendar;
use catalog::Catalog;

/// What to make up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkloadConfig {
    /// Number of requests.
    pub rows: u64,
    /// Number of days over which they are spread, each of 24 hours.
    pub days: u32,
    /// Number of models.
    pub models: u32,
    /// Number of models that are used equally often, each by a user of its own, in
    /// place of `models`. 0: none.
    pub uniform_models: u32,
    /// Number of client keys.
    pub keys: u32,
    /// What makes another workload of the same kind.
    pub seed: u64,
    /// The first moment after the last day.
    pub until: DateTime<Utc>,
}

impl WorkloadConfig {
    /// The first moment of the first day.
    #[must_use]
    pub fn from(&self) -> DateTime<Utc> {
        self.until - TimeDelta::days(self.days.into())
    }
}

/// Requests that can be made up, hour by hour, each hour on its own.
#[derive(Debug)]
pub struct Workload {
    config: WorkloadConfig,
    calendar: Calendar,
    catalog: Catalog,
}

impl Workload {
    /// Decides who asks what and when.
    #[must_use]
    pub fn new(config: WorkloadConfig) -> Self {
        Self { config, calendar: Calendar::new(&config), catalog: Catalog::new(&config) }
    }

    /// What it was made from.
    #[must_use]
    pub fn config(&self) -> &WorkloadConfig {
        &self.config
    }

    /// Number of hours.
    #[must_use]
    pub fn hours(&self) -> u32 {
        self.config.days * 24
    }

    /// The requests of one hour, in the order of their start; no two hours share
    /// anything but the catalog.
    pub fn hour(&self, hour: u32) -> impl Iterator<Item = UsageEvent> + Send + '_ {
        let seed = self.config.seed ^ u64::from(hour + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = StdRng::seed_from_u64(seed);
        let mood = self.catalog.mood(&mut random);
        let starts = self.calendar.starts(hour, &mut random);
        starts.map(move |at| request::make(&self.catalog, &mood, at, &mut random))
    }

    /// All requests, in the order of their start.
    pub fn requests(&self) -> impl Iterator<Item = UsageEvent> + Send + '_ {
        (0..self.hours()).flat_map(|hour| self.hour(hour))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use modash_proto::{micros_from_timestamp, v1::Outcome};

    use super::*;

    fn config() -> WorkloadConfig {
        WorkloadConfig {
            rows: 20_000,
            days: 7,
            models: 12,
            uniform_models: 0,
            keys: 30,
            seed: 1,
            until: "2026-11-27T00:00:00Z".parse().unwrap(),
        }
    }

    fn events(config: WorkloadConfig) -> Vec<UsageEvent> {
        Workload::new(config).requests().collect()
    }

    fn shares(of: impl Iterator<Item = String>) -> Vec<f64> {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        let mut total = 0;
        for key in of {
            *counts.entry(key).or_default() += 1;
            total += 1;
        }
        let mut shares: Vec<f64> =
            counts.into_values().map(|count| f64::from(count) / f64::from(total)).collect();
        shares.sort_by(|a, b| b.total_cmp(a));
        shares
    }

    #[test]
    fn there_are_exactly_as_many_requests_as_asked_for_and_each_can_be_stored() {
        let config = config();
        let events = events(config);
        assert_eq!(events.len() as u64, config.rows);
        let mut before = config.from().timestamp_micros();
        let mut ids = HashSet::new();
        for event in &events {
            assert_eq!(event.check(), Ok(()));
            let at = event.started_at.as_ref().and_then(micros_from_timestamp).unwrap();
            assert!(before <= at && at < config.until.timestamp_micros(), "{at}");
            before = at;
            assert!(ids.insert(event.event_id.clone()), "{} twice", event.event_id);
        }
    }

    #[test]
    fn a_seed_gives_the_same_requests_again_and_another_one_others() {
        let config = WorkloadConfig { rows: 500, ..config() };
        assert_eq!(events(config), events(config));
        assert_ne!(events(config)[0], events(WorkloadConfig { seed: 2, ..config })[0]);
    }

    #[test]
    fn few_models_and_keys_take_most_requests() {
        let events = events(config());
        let models = shares(events.iter().filter_map(|event| event.model_requested.clone()));
        assert!(models.len() > 6 && models[0] > 0.15 && models[0] > 4.0 * models[6], "{models:?}");
        let keys = shares(events.iter().filter_map(|event| event.client_key.clone()));
        assert!(keys.len() > 20 && keys[0] > 0.15 && keys[0] > 4.0 * keys[20], "{keys:?}");
    }

    #[test]
    fn uniform_models_are_used_equally_often_each_by_its_user() {
        let events = events(WorkloadConfig { uniform_models: 500, ..config() });
        let user = |event: &UsageEvent| (event.model.clone(), event.user.clone());
        let pairs: HashSet<_> = events.iter().map(user).collect();
        assert_eq!(pairs.len(), 500);
        let models = shares(events.into_iter().filter_map(|event| event.model));
        assert!(models[0] < 0.01, "{models:?}");
    }

    #[test]
    fn every_outcome_occurs_and_most_requests_are_fine() {
        let events = events(config());
        let outcomes: HashSet<i32> = events.iter().map(|event| event.outcome).collect();
        assert_eq!(outcomes.len(), 9, "{outcomes:?}");
        let fine = events.iter().filter(|event| event.known_outcome() == Outcome::Ok).count();
        assert!((0.88..0.97).contains(&(fine as f64 / events.len() as f64)), "{fine}");
    }

    #[test]
    fn afternoons_are_busier_than_nights_and_working_days_than_sundays() {
        let workload = Workload::new(config());
        let of = |hours: std::ops::Range<u32>| hours.map(|hour| workload.hour(hour).count()).sum();
        // It begins on a Friday; the third day is a Sunday.
        let (night, afternoon): (usize, usize) = (of(1..5), of(13..17));
        assert!(afternoon > 2 * night, "{afternoon} {night}");
        let (friday, sunday): (usize, usize) = (of(0..24), of(48..72));
        assert!(friday > 2 * sunday, "{friday} {sunday}");
    }

    #[test]
    fn streams_have_as_many_gaps_as_content_events_less_one() {
        let mut streams = 0;
        for event in events(WorkloadConfig { rows: 2_000, ..config() }) {
            let Some(gaps) = &event.token_gaps else { continue };
            streams += 1;
            assert_eq!(gaps.counts.iter().sum::<u64>(), event.content_events - 1);
        }
        assert!(streams > 800, "{streams}");
    }
}
