//! A range of start times with its defaults filled in.

use chrono::{DateTime, Duration, Utc};

use crate::{micros_from_timestamp, timestamp_from_micros, v1};

/// Half-open range `[start, end)` of at least one microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// First moment of the range.
    pub start: DateTime<Utc>,
    /// First moment after the range.
    pub end: DateTime<Utc>,
}

impl TimeRange {
    /// Checks a range from the wire. A missing end is `now`; a missing start is
    /// 24 hours before the end.
    ///
    /// # Errors
    /// What is wrong with which field: `range.start` or `range.end`.
    pub fn from_wire(
        wire: Option<&v1::TimeRange>,
        now: DateTime<Utc>,
    ) -> Result<Self, (&'static str, &'static str)> {
        let moment = |timestamp: Option<&prost_types::Timestamp>, field| match timestamp {
            None => Ok(None),
            Some(timestamp) => micros_from_timestamp(timestamp)
                .and_then(DateTime::from_timestamp_micros)
                .map(Some)
                .ok_or((field, "must be a time from year 1 to 9999")),
        };
        let end = moment(wire.and_then(|range| range.end.as_ref()), "range.end")?.unwrap_or(now);
        let start = moment(wire.and_then(|range| range.start.as_ref()), "range.start")?
            .unwrap_or(end - Duration::hours(24));
        if start >= end {
            return Err(("range.end", "must be after range.start"));
        }
        Ok(Self { start, end })
    }

    /// The range of equal length just before this one.
    #[must_use]
    pub fn previous(self) -> Self {
        Self { start: self.start - self.length(), end: self.start }
    }

    /// Time between start and end.
    #[must_use]
    pub fn length(self) -> Duration {
        self.end - self.start
    }
}

impl From<TimeRange> for v1::TimeRange {
    fn from(range: TimeRange) -> Self {
        Self {
            start: Some(timestamp_from_micros(range.start.timestamp_micros())),
            end: Some(timestamp_from_micros(range.end.timestamp_micros())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> prost_types::Timestamp {
        prost_types::Timestamp { seconds, nanos: 0 }
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000, 0).unwrap()
    }

    #[test]
    fn an_absent_range_is_the_last_day() {
        let range = TimeRange::from_wire(None, now()).unwrap();
        assert_eq!(range.end, now());
        assert_eq!(range.length(), Duration::hours(24));
    }

    #[test]
    fn an_inverted_or_empty_range_is_refused() {
        for (start, end) in [(10, 5), (5, 5)] {
            let wire = v1::TimeRange { start: Some(at(start)), end: Some(at(end)) };
            let (field, _) = TimeRange::from_wire(Some(&wire), now()).unwrap_err();
            assert_eq!(field, "range.end");
        }
    }

    #[test]
    fn a_time_out_of_range_is_refused() {
        let wire = v1::TimeRange { start: Some(at(i64::MAX)), end: None };
        let (field, _) = TimeRange::from_wire(Some(&wire), now()).unwrap_err();
        assert_eq!(field, "range.start");
    }

    #[test]
    fn the_previous_range_ends_where_this_one_starts() {
        let range = TimeRange::from_wire(None, now()).unwrap();
        assert_eq!(range.previous().end, range.start);
        assert_eq!(range.previous().length(), range.length());
    }
}
