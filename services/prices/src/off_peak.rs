//! Hours of the week at which a provider is cheaper, in UTC.

use std::fmt;

use chrono::{DateTime, Datelike, Timelike, Utc};

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Days of the week in order, as a price list names them.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A time of day on some days of the week: `mon-fri 10:00-24:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    first_day: u8,
    last_day: u8,
    from: u16,
    to: u16,
}

impl Window {
    /// Reads `mon-fri 10:00-24:00`, `sun 00:00-06:30`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "is not of the form \"mon-fri 10:00-24:00\" (UTC)";
        let (days, hours) = text.split_once(' ').ok_or(FORM)?;
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let (from, to) = hours.split_once('-').ok_or(FORM)?;
        let window = Self {
            first_day: day(first).ok_or(FORM)?,
            last_day: day(last).ok_or(FORM)?,
            from: minute(from).ok_or(FORM)?,
            to: minute(to).ok_or(FORM)?,
        };
        if window.first_day > window.last_day || window.from >= window.to {
            return Err("ends before it begins; write two windows");
        }
        Ok(window)
    }

    /// Whether a moment is inside.
    pub(crate) fn contains(self, at: DateTime<Utc>) -> bool {
        let day = at.weekday().num_days_from_monday();
        let minute = at.hour() * 60 + at.minute();
        (u32::from(self.first_day)..=u32::from(self.last_day)).contains(&day)
            && (u32::from(self.from)..u32::from(self.to)).contains(&minute)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |index: u8| DAYS[usize::from(index)];
        f.write_str(day(self.first_day))?;
        if self.last_day != self.first_day {
            write!(f, "-{}", day(self.last_day))?;
        }
        let (from, to) = (self.from, self.to);
        write!(f, " {:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

fn day(name: &str) -> Option<u8> {
    let index = DAYS.iter().position(|known| *known == name)?;
    u8::try_from(index).ok()
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| -> Option<u16> {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse().ok())?
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= DAY).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_from_its_first_minute_to_before_its_last() {
        let window = Window::parse("mon-fri 10:00-24:00").unwrap();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert!(window.contains(at("2026-11-30T10:00:00Z")));
        assert!(window.contains(at("2026-12-04T23:59:59.999Z")));
        assert!(!window.contains(at("2026-11-30T09:59:59.999Z")));
        assert!(!window.contains(at("2026-11-29T12:00:00Z")), "a Sunday");
        assert_eq!(window.to_string(), "mon-fri 10:00-24:00");
        assert_eq!(Window::parse("sun 00:30-06:00").unwrap().to_string(), "sun 00:30-06:00");
    }

    #[test]
    fn another_form_is_refused() {
        for text in [
            "",
            "mon",
            "mon 10-12",
            "fri-mon 00:00-01:00",
            "mon 12:00-12:00",
            "mon 00:00-24:01",
            "mon 00:60-02:00",
        ] {
            assert!(Window::parse(text).is_err(), "{text}");
        }
    }
}
