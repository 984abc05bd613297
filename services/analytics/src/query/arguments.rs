//! Arguments that several queries share, checked together, so that a caller
//! learns all mistakes at once.

use chrono::Utc;
use chrono_tz::Tz;
use modash_access::Scope;
use modash_proto::{
    TimeRange, Violations,
    v1::{self, Dimension, group_by::By},
};
use tonic::Status;

use super::grid::Grid;
use crate::{error::Failure, filter::Filter, store::Grouping};

/// What all queries have.
#[derive(Debug)]
pub(super) struct Arguments {
    range: Option<TimeRange>,
    zone: Option<Tz>,
    filter: Filter,
    pub(super) violations: Violations,
}

/// How a time series is split.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) grid: Grid,
    pub(super) grouping: Grouping,
    /// Groups that have a series of their own.
    pub(super) top: u32,
}

impl Arguments {
    /// Checks what all queries have, and narrows them to what the caller sees.
    pub(super) fn new(
        range: Option<&v1::TimeRange>,
        filter: Option<v1::Filter>,
        time_zone: &str,
        scope: &Scope,
    ) -> Self {
        let mut violations = Violations::default();
        let range = TimeRange::from_wire(range, Utc::now())
            .map_err(|(field, problem)| violations.add(field, problem))
            .ok();
        let zone = match time_zone {
            "" => Some(Tz::UTC),
            name => violations.check(
                "time_zone",
                name.parse::<Tz>().map_err(|_| "must be an IANA name such as Europe/Berlin"),
            ),
        };
        let filter = Filter::from_wire(filter, scope, &mut violations);
        Self { range, zone, filter, violations }
    }

    /// Range and filter with `more` that a query has.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with all that is wrong.
    pub(super) fn finish<T>(self, more: Option<T>) -> Result<(TimeRange, Filter, T), Failure> {
        self.violations.into_result()?;
        match (self.range, more) {
            (Some(range), Some(more)) => Ok((range, self.filter, more)),
            // What is missing was noted as wrong.
            _ => Err(Status::internal("an argument is missing").into()),
        }
    }

    /// Notes a filter by what sums of sessions do not tell apart.
    pub(super) fn refuse_single_requests(&mut self) {
        if let Some(field) = self.filter.field_of_single_requests() {
            self.violations.add(field, "is not possible here; ask RecentRequests for single ones");
        }
    }

    /// The range, as far as it is right.
    pub(super) fn range(&self) -> Option<TimeRange> {
        self.range
    }

    /// How a time series is split, if all of that is right.
    pub(super) fn split(
        &mut self,
        bucket_seconds: u32,
        group_by: Option<v1::GroupBy>,
        top: u32,
    ) -> Option<Split> {
        let grouping = self.grouping(group_by);
        let top = self.limit("top", top, 5, 50);
        let grid = Grid::new(self.range?, self.zone?, bucket_seconds);
        let grid = self.violations.check("bucket_seconds", grid)?;
        Some(Split { grid, grouping, top })
    }

    /// The number `given`, or `default` for 0, if it is at most `most`.
    pub(super) fn limit(&mut self, field: &str, given: u32, default: u32, most: u32) -> u32 {
        if given > most {
            self.violations.add(field, format!("must be from 1 to {most}, or 0 for {default}"));
        }
        if given == 0 { default } else { given }
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
