//! When a token ends, as given on the command line.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

/// Longest life that can be asked for: ten years.
const LONGEST: TimeDelta = TimeDelta::days(3_650);

/// A duration such as `90d`, `12h` or `30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry(TimeDelta);

impl Expiry {
    /// The end of a token that is made now, in whole seconds.
    #[must_use]
    pub fn after(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let end = now + self.0;
        DateTime::from_timestamp(end.timestamp(), 0).unwrap_or(end)
    }
}

impl FromStr for Expiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "must be a duration such as 90d, 12h or 30m, of ten years at most";
        let unit = text.chars().last().ok_or(EXPECTED)?;
        let number: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| EXPECTED)?;
        let length = match unit {
            'd' => TimeDelta::try_days(number),
            'h' => TimeDelta::try_hours(number),
            'm' => TimeDelta::try_minutes(number),
            _ => None,
        };
        let right = |length: &TimeDelta| *length > TimeDelta::zero() && *length <= LONGEST;
        length.filter(right).map(Self).ok_or(EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        let now = DateTime::from_timestamp(1_000, 5).unwrap();
        let seconds = |text: &str| text.parse::<Expiry>().unwrap().after(now).timestamp() - 1_000;
        assert_eq!([seconds("1d"), seconds("2h"), seconds("3m")], [86_400, 7_200, 180]);
        for wrong in ["", "d", "90", "0d", "-1d", "1w", "9999d", "99999999999999999999d", "1ä"] {
            assert!(wrong.parse::<Expiry>().is_err(), "{wrong}");
        }
    }
}
