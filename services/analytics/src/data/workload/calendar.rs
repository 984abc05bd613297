//! When requests begin: so many in each hour, in the form of days and weeks.

use chrono::{DateTime, Datelike as _, TimeDelta, Timelike as _, Utc, Weekday};
use rand::{Rng as _, RngCore, SeedableRng as _, rngs::StdRng};
use rand_distr::{Distribution as _, LogNormal};

use super::WorkloadConfig;

const HOUR_MICROS: f64 = 3.6e9;

/// How busy each hour of a day is (UTC), as a share of the busiest.
const DAY: [f64; 24] = [
    0.20, 0.17, 0.15, 0.14, 0.15, 0.18, 0.27, 0.42, 0.62, 0.82, 0.93, 0.95, 0.86, 0.92, 1.00, 0.99,
    0.93, 0.80, 0.64, 0.52, 0.44, 0.37, 0.30, 0.24,
];

/// Requests by hour.
#[derive(Debug)]
pub(super) struct Calendar {
    from: DateTime<Utc>,
    /// Number of requests before each hour, and at last all of them.
    before: Vec<u64>,
}

impl Calendar {
    pub(super) fn new(config: &WorkloadConfig) -> Self {
        let mut random = StdRng::seed_from_u64(config.seed);
        let from = config.from();
        let hours = config.days * 24;
        let weights: Vec<f64> = (0..hours)
            .map(|hour| {
                let at = from + TimeDelta::hours(hour.into());
                // Use grows by half from the first day to the last.
                let growth = 1.0 + 0.5 * f64::from(hour) / f64::from(hours);
                busyness(at) * growth * noise(&mut random)
            })
            .collect();
        let total: f64 = weights.iter().sum();
        let mut before = vec![0];
        let mut sum = 0.0;
        for weight in weights {
            sum += weight;
            before.push((config.rows as f64 * sum / total).round() as u64);
        }
        if let Some(all) = before.last_mut() {
            *all = config.rows;
        }
        Self { from, before }
    }

    /// The starts of an hour's requests in microseconds since 1970, ascending.
    /// Each next one is the least of those that are left, which are spread evenly
    /// over what is left of the hour.
    pub(super) fn starts(
        &self,
        hour: u32,
        random: &mut StdRng,
    ) -> impl Iterator<Item = i64> + Send + use<> {
        let at = hour as usize;
        let count = self.before[at + 1] - self.before[at];
        let begin = (self.from + TimeDelta::hours(hour.into())).timestamp_micros();
        let mut random = StdRng::seed_from_u64(random.next_u64());
        let mut passed = 0.0_f64;
        (1..=count).rev().map(move |left| {
            let least = 1.0 - random.random::<f64>().powf(1.0 / left as f64);
            passed += (1.0 - passed) * least;
            begin + (passed * HOUR_MICROS).clamp(0.0, HOUR_MICROS - 1.0) as i64
        })
    }
}

fn busyness(at: DateTime<Utc>) -> f64 {
    let week = match at.weekday() {
        Weekday::Sat => 0.35,
        Weekday::Sun => 0.28,
        _ => 1.0,
    };
    week * DAY[at.hour() as usize % DAY.len()]
}

/// No hour is quite like the same hour of another day.
fn noise(random: &mut StdRng) -> f64 {
    LogNormal::new(0.0, 0.12).map_or(1.0, |noise| noise.sample(random))
}
