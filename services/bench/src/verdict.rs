//! From figures to medians, ratios and whether they are what is wanted.

use crate::{
    rounds::Figures,
    scenario::{Goal, Scenario},
};

/// What was measured, and what came of it.
pub(crate) struct Verdict<'a> {
    /// The load.
    pub(crate) scenario: &'a Scenario,
    /// Median of each target.
    pub(crate) medians: Vec<(&'static str, f64)>,
    /// Each goal with what was reached.
    pub(crate) goals: Vec<Reached>,
}

/// A goal and what was reached.
pub(crate) struct Reached {
    /// In words.
    pub(crate) wanted: String,
    /// The figure, and the lowest and highest of the rounds.
    pub(crate) found: Option<(f64, f64, f64)>,
    /// Whether it is within the limit; `None` without a figure.
    pub(crate) met: Option<bool>,
}

impl<'a> Verdict<'a> {
    /// Judges a scenario by its figures.
    pub(crate) fn new(scenario: &'a Scenario, figures: &Figures) -> Self {
        Self {
            scenario,
            medians: figures.iter().map(|(name, all)| (*name, median(all))).collect(),
            goals: scenario.goals.iter().map(|goal| Reached::new(*goal, figures)).collect(),
        }
    }
}

impl Reached {
    fn new(goal: Goal, figures: &Figures) -> Self {
        let (wanted, limit, other, relate): (_, _, _, fn(f64, f64) -> f64) = match goal {
            Goal::Ratio(other, limit) => {
                (format!("≤ {limit} × {other}"), limit, Some(other), |ours, theirs| {
                    ours / theirs
                })
            }
            Goal::AtMost(limit) => (format!("≤ {limit}"), limit, None, |ours, _| ours),
        };
        let found = figures.get("modash").and_then(|ours| {
            // Round by round: both had the same machine then.
            let theirs = other.map_or(Some(ours), |other| figures.get(other))?;
            let each: Vec<f64> =
                ours.iter().zip(theirs).map(|(ours, theirs)| relate(*ours, *theirs)).collect();
            let lowest = each.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = each.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            Some((median(&each), lowest, highest))
        });
        Self { wanted, met: found.map(|(middle, ..)| middle <= limit), found }
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        sorted
            .get(middle)
            .zip(sorted.get(middle.wrapping_sub(1)))
            .map_or(0.0, |(a, b)| (a + b) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_made_round_by_round() {
        let figures =
            Figures::from([("modash", vec![10.0, 40.0, 9.0]), ("nginx", vec![10.0, 20.0, 10.0])]);
        let reached = Reached::new(Goal::Ratio("nginx", 1.0), &figures);
        assert_eq!(reached.found, Some((1.0, 0.9, 2.0)));
        assert_eq!(reached.met, Some(true));
        assert_eq!(Reached::new(Goal::Ratio("absent", 1.0), &figures).met, None);
        assert_eq!(Reached::new(Goal::AtMost(9.0), &figures).met, Some(false));
    }
}
