//! The time over which a budget adds up requests.

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use modash_proto::{TimeRange, v1::CalendarPeriod};

use crate::query::midnight;

/// Longest window that moves by minutes: minutes of rollups are kept for days only.
const BY_MINUTES: TimeDelta = TimeDelta::days(2);

/// Part of a period, as 1/n, that has to pass before its end is projected: a few
/// requests of the first minutes say nothing about a month.
const LEAST_PART: i64 = 100;

/// A period of the calendar or a window that rolls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Period {
    Calendar(CalendarPeriod),
    Rolling(TimeDelta),
}

impl Period {
    /// The range of a moment, which is in it or at its end.
    pub(crate) fn at(self, now: DateTime<Utc>, zone: Tz) -> TimeRange {
        match self {
            Self::Calendar(period) => calendar(period, now, zone),
            Self::Rolling(length) => {
                let step = if length <= BY_MINUTES { 60 } else { 3_600 };
                let floor = |at: DateTime<Utc>| {
                    let seconds = at.timestamp();
                    let whole = seconds - seconds.rem_euclid(step);
                    DateTime::from_timestamp(whole, 0).unwrap_or(at)
                };
                // Requests of this minute or hour count.
                TimeRange { start: floor(now - length), end: floor(now) + TimeDelta::seconds(step) }
            }
        }
    }

    /// What will be used at the end of a range of which `spent` was used until now.
    pub(crate) fn projected(self, range: TimeRange, now: DateTime<Utc>, spent: i64) -> Option<i64> {
        if matches!(self, Self::Rolling(_)) {
            return None;
        }
        let micros = |length: TimeDelta| length.num_microseconds().unwrap_or(i64::MAX).max(1);
        let (passed, whole) = (micros(now - range.start), micros(range.length()));
        if passed < whole / LEAST_PART {
            return None;
        }
        let projected = i128::from(spent) * i128::from(whole.max(passed)) / i128::from(passed);
        Some(i64::try_from(projected).unwrap_or(i64::MAX))
    }
}

fn calendar(period: CalendarPeriod, now: DateTime<Utc>, zone: Tz) -> TimeRange {
    let today = now.with_timezone(&zone).date_naive();
    let mut first = match period {
        CalendarPeriod::Month => today.with_day(1).unwrap_or(today),
        CalendarPeriod::Week => today - Days::new(today.weekday().num_days_from_monday().into()),
        CalendarPeriod::Day | CalendarPeriod::Unspecified => today,
    };
    loop {
        let next = after(period, first);
        let range = TimeRange { start: midnight(first, zone), end: midnight(next, zone) };
        // Where clocks are put back over midnight, a day is over before its name is.
        if range.end > now {
            return range;
        }
        first = next;
    }
}

fn after(period: CalendarPeriod, first: NaiveDate) -> NaiveDate {
    match period {
        CalendarPeriod::Month => first + Months::new(1),
        CalendarPeriod::Week => first + Days::new(7),
        CalendarPeriod::Day | CalendarPeriod::Unspecified => first + Days::new(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check(period: CalendarPeriod, zone: &str, now: &str, start: &str, end: &str) {
        let found = Period::Calendar(period).at(at(now), zone.parse().unwrap());
        assert_eq!(found, TimeRange { start: at(start), end: at(end) }, "{now} in {zone}");
    }

    #[test]
    fn a_day_of_berlin_has_23_24_or_25_hours() {
        let day = |now, start, end| check(CalendarPeriod::Day, "Europe/Berlin", now, start, end);
        day("2026-03-29T00:30:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        day("2026-03-29T22:00:00Z", "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z");
        day("2026-10-25T22:59:59Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        day("2026-10-25T23:00:00Z", "2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z");
    }

    #[test]
    fn a_day_of_lord_howe_is_half_an_hour_longer_or_shorter() {
        let day =
            |now, start, end| check(CalendarPeriod::Day, "Australia/Lord_Howe", now, start, end);
        day("2026-04-04T16:00:00Z", "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z");
        day("2026-10-03T14:00:00Z", "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z");
    }

    #[test]
    fn weeks_begin_on_mondays_and_months_on_the_first() {
        let berlin = "Europe/Berlin";
        let (start, end) = ("2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z");
        check(CalendarPeriod::Week, berlin, "2026-10-25T22:59:59Z", start, end);
        check(CalendarPeriod::Week, berlin, "2026-10-18T22:00:00Z", start, end);
        let (start, end) = ("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z");
        check(CalendarPeriod::Month, berlin, "2026-03-31T21:59:59Z", start, end);
        let (start, end) = ("2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z");
        check(CalendarPeriod::Month, "UTC", "2028-02-29T23:59:59Z", start, end);
        let (start, end) = ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
        check(CalendarPeriod::Month, "UTC", "2026-12-31T00:00:00Z", start, end);
    }

    #[test]
    fn every_moment_is_in_its_period_and_periods_follow_each_other_in_every_zone() {
        for zone in chrono_tz::TZ_VARIANTS {
            for period in [CalendarPeriod::Day, CalendarPeriod::Week, CalendarPeriod::Month] {
                let period = Period::Calendar(period);
                for hours in (0..8_800).step_by(211) {
                    let now = at("2026-01-01T00:17:00Z") + TimeDelta::hours(hours);
                    let range = period.at(now, zone);
                    assert!(range.start <= now && now < range.end, "{now} {period:?} {zone}");
                    assert_eq!(period.at(range.end, zone).start, range.end, "{period:?} {zone}");
                }
            }
        }
    }

    #[test]
    fn a_window_rolls_by_minutes_or_if_it_is_long_by_hours() {
        let now = at("2026-11-23T10:20:30.5Z");
        let of = |length| Period::Rolling(length).at(now, Tz::UTC);
        let (start, end) = (at("2026-11-23T09:20:00Z"), at("2026-11-23T10:21:00Z"));
        assert_eq!(of(TimeDelta::hours(1)), TimeRange { start, end });
        let (start, end) = (at("2026-11-16T10:00:00Z"), at("2026-11-23T11:00:00Z"));
        assert_eq!(of(TimeDelta::days(7)), TimeRange { start, end });
    }

    #[test]
    fn the_end_is_projected_by_the_share_of_the_period_that_passed() {
        let day = Period::Calendar(CalendarPeriod::Day);
        let range = day.at(at("2026-10-25T12:00:00Z"), "Europe/Berlin".parse().unwrap());
        // 5 of 25 hours.
        let five_hours = range.start + TimeDelta::hours(5);
        assert_eq!(day.projected(range, five_hours, 7), Some(35));
        assert_eq!(day.projected(range, five_hours, i64::MAX), Some(i64::MAX));
        assert_eq!(day.projected(range, range.end, 7), Some(7));
        assert_eq!(day.projected(range, range.start + TimeDelta::minutes(14), 7), None);
        assert_eq!(day.projected(range, range.start + TimeDelta::minutes(15), 7), Some(700));
        let hour = Period::Rolling(TimeDelta::hours(1));
        assert_eq!(hour.projected(range, five_hours, 7), None);
    }
}
