//! Arguments that several queries share, checked together, so that a caller
//! learns all mistakes at once.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use modash_proto::{
    TimeRange, Violations,
    v1::{self, Dimension, group_by::By},
};

use super::grid::Grid;
use crate::{filter::Filter, store::Grouping};

/// What all queries have.
#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) range: Option<TimeRange>,
    pub(super) zone: Option<Tz>,
    pub(super) filter: Filter,
    pub(super) violations: Violations,
}

impl Arguments {
    /// Checks what all queries have.
    pub(super) fn new(
        range: Option<&v1::TimeRange>,
        filter: Option<v1::Filter>,
        time_zone: &str,
        now: DateTime<Utc>,
    ) -> Self {
        let mut violations = Violations::default();
        let range = TimeRange::from_wire(range, now)
            .map_err(|(field, problem)| violations.add(field, problem))
            .ok();
        let zone = match time_zone {
            "" => Some(Tz::UTC),
            name => violations.check(
                "time_zone",
                name.parse::<Tz>().map_err(|_| "must be an IANA name such as Europe/Berlin"),
            ),
        };
        let filter = Filter::from_wire(filter, &mut violations);
        Self { range, zone, filter, violations }
    }

    /// The number `given`, or `default` for 0, if it is at most `most`.
    pub(super) fn limit(&mut self, field: &str, given: u32, default: u32, most: u32) -> u32 {
        if given > most {
            self.violations.add(field, format!("must be from 1 to {most}, or 0 for {default}"));
        }
        if given == 0 { default } else { given }
    }

    /// The buckets of the range, if range and zone are right.
    pub(super) fn grid(&mut self, bucket_seconds: u32) -> Option<Grid> {
        let grid = Grid::new(self.range?, self.zone?, bucket_seconds);
        self.violations.check("bucket_seconds", grid)
    }

    /// What a time series is split by.
    pub(super) fn grouping(&mut self, wire: Option<v1::GroupBy>) -> Grouping {
        match wire.and_then(|group_by| group_by.by) {
            None => Grouping::None,
            Some(By::Dimension(number)) => match Dimension::try_from(number) {
                Ok(Dimension::Unspecified) => Grouping::None,
                Ok(dimension) => Grouping::Dimension(dimension),
                Err(_) => {
                    self.violations.add("group_by.dimension", "is not known to this version");
                    Grouping::None
                }
            },
            Some(By::Tag(tag)) => {
                if tag.is_empty() || tag.len() > 64 || tag.contains('\0') {
                    self.violations
                        .add("group_by.tag", "must have 1 to 64 bytes, none of them NUL");
                }
                Grouping::Tag(tag)
            }
        }
    }
}
