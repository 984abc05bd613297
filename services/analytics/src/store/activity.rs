//! Weights of narrow series, to choose candidates where a query has too many
//! groups to rank them all. Requests and tokens add to a weight when they are
//! folded into the rollups; the weight halves every week.

use std::collections::HashMap;

use super::{Error, pool::Transaction, rollups::minutes};
use crate::rollup::{Rollups, Sums, Token};

/// Half-life of weights in minutes. Part of the storage format.
const HALF_LIFE: f64 = 7.0 * 1_440.0;

/// Tokens that weigh as much as a request. Part of the storage format.
const TOKENS: f64 = 1_024.0;

/// Activity by series.
#[derive(Debug, Default)]
pub(super) struct Activity(HashMap<i64, Active>);

/// First and last bucket with requests, and the weight.
#[derive(Debug, Clone, Copy)]
struct Active {
    first: i32,
    last: i32,
    weight: f64,
}

/// Whether the same requests may have been recorded before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// No: weights add up.
    New,
    /// Yes, by a fold or an earlier rebuild: the greater weight stays.
    Again,
}

impl Activity {
    /// Adds narrow rollups of one level.
    pub(super) fn add(&mut self, rollups: &Rollups) {
        for (key, measures) in rollups {
            // A row may hold only busy time of requests that began before it.
            if measures.sums.requests > 0 {
                self.add_one(key.series_id, minutes(key.bucket), &measures.sums);
            }
        }
    }

    fn add_one(&mut self, series: i64, bucket: i32, sums: &Sums) {
        let size = sums.requests as f64 + sums.tokens(Token::Total).max(0) as f64 / TOKENS;
        let weight = size.log2() + f64::from(bucket) / HALF_LIFE;
        let new = Active { first: bucket, last: bucket, weight };
        let known = self.0.entry(series).or_insert(Active { weight: f64::NEG_INFINITY, ..new });
        known.first = known.first.min(bucket);
        known.last = known.last.max(bucket);
        known.weight = sum(known.weight, weight);
    }

    /// Adds the activity of another part of a rebuild.
    pub(super) fn merge(&mut self, other: Self) {
        for (series, new) in other.0 {
            let known = self.0.entry(series).or_insert(Active { weight: f64::NEG_INFINITY, ..new });
            known.first = known.first.min(new.first);
            known.last = known.last.max(new.last);
            known.weight = sum(known.weight, new.weight);
        }
    }

    /// Writes it. The caller holds the lock of the rollups.
    pub(super) async fn note(
        &self,
        connection: &mut Transaction,
        noted: Noted,
    ) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let active = || self.0.values();
        sqlx::query(include_str!("queries/note_activity.sql"))
            .bind(self.0.keys().copied().collect::<Vec<i64>>())
            .bind(active().map(|active| active.first).collect::<Vec<i32>>())
            .bind(active().map(|active| active.last).collect::<Vec<i32>>())
            .bind(active().map(|active| active.weight).collect::<Vec<f64>>())
            .bind(noted == Noted::New)
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// The logarithm of the sum of two numbers, from their logarithms.
fn sum(a: f64, b: f64) -> f64 {
    a.max(b) + (-(a - b).abs()).exp2().ln_1p() / std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_logarithms_of_sums_that_halve_in_a_week() {
        assert!((sum(3.0, 3.0) - 4.0).abs() < 1e-12);
        assert_eq!(sum(f64::NEG_INFINITY, 2.5), 2.5);
        let mut activity = Activity::default();
        let sums = |requests| {
            let mut sums = Sums::default();
            sums.requests = requests;
            sums
        };
        let week = HALF_LIFE as i32;
        activity.add_one(1, 2 * week, &sums(8));
        activity.add_one(2, 3 * week, &sums(4));
        assert_eq!(activity.0[&1].weight, activity.0[&2].weight);
        activity.add_one(2, 3 * week, &sums(1));
        assert!(activity.0[&2].weight > activity.0[&1].weight);
        assert_eq!((activity.0[&2].first, activity.0[&2].last), (3 * week, 3 * week));
    }
}
