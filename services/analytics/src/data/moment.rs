//! Moments as people type them.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

/// A moment from a day (`2026-11-27`, its beginning in UTC) or from RFC 3339
/// (`2026-11-27T12:00:00Z`).
///
/// # Errors
/// What would be right.
pub(super) fn moment(text: &str) -> Result<DateTime<Utc>, &'static str> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    DateTime::parse_from_rfc3339(text)
        .map(|moment| moment.to_utc())
        .map_err(|_| "must be a day such as 2026-11-27 or a moment such as 2026-11-27T12:00:00Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        assert_eq!(moment("2026-11-27"), moment("2026-11-27T00:00:00Z"));
        assert_eq!(moment("2026-11-27T02:00:00+02:00"), moment("2026-11-27"));
        for wrong in ["", "27.11.2026", "2026-13-01", "yesterday", "2026-11-27 12:00"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
