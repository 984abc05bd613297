//! Times of headers: Go durations (`6m0s`), seconds, seconds or milliseconds since 1970,
//! RFC 3339 and HTTP dates. What is beyond all reason is absent.

use std::time::Duration;

use super::{When, number};

/// Longest time until a reset.
const LONGEST: f64 = 400.0 * 86_400.0;
/// Numbers from here on are seconds since 1970: 2001.
const FIRST_EPOCH: f64 = 1e9;
/// Latest moment: 2100.
const LATEST: f64 = 4_102_444_800.0;

/// When a limit resets.
pub(super) fn reset(text: &str) -> Option<When> {
    match number(text) {
        Some(number) if number < FIRST_EPOCH => after(number),
        Some(number) if number <= LATEST => at(number),
        Some(number) => at(number / 1_000.0),
        None => duration(text).or_else(|| rfc3339(text)).or_else(|| http_date(text)),
    }
}

/// `Retry-After`: seconds or a date.
pub(super) fn retry_after(text: &str) -> Option<When> {
    seconds(text).or_else(|| http_date(text))
}

/// A number of seconds.
pub(super) fn seconds(text: &str) -> Option<When> {
    after(number(text)?)
}

/// A number of milliseconds.
pub(super) fn milliseconds(text: &str) -> Option<When> {
    after(number(text)? / 1_000.0)
}

/// Whether a word names the length of a window: `minute`, `1h`.
pub(super) fn is_period(word: &str) -> bool {
    let unit = word.trim_start_matches(|character: char| character.is_ascii_digit());
    let named = ["second", "minute", "hour", "day", "week", "month", "year"].contains(&word);
    named || (unit.len() < word.len() && ["s", "m", "h", "d", "w"].contains(&unit))
}

/// So many seconds later.
pub(super) fn after(seconds: f64) -> Option<When> {
    (seconds <= LONGEST).then(|| When::After(micros(seconds)))
}

/// So many seconds after 1970.
pub(super) fn at(seconds: f64) -> Option<When> {
    (FIRST_EPOCH..=LATEST).contains(&seconds).then(|| When::At(micros(seconds)))
}

/// To the microsecond, as events are.
fn micros(seconds: f64) -> Duration {
    Duration::from_micros((seconds * 1e6).round() as u64)
}

/// A duration as Go prints it: `1s`, `6m0s`, `20ms`, `2m59.56s`, `1h30m`; days too.
fn duration(text: &str) -> Option<When> {
    if text.is_empty() || text.len() > 32 {
        return None;
    }
    let (mut seconds, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (amount, tail) = rest.split_at(end);
        let end = tail.find(|character: char| character.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        seconds += number(amount)?
            * match unit {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = tail;
    }
    after(seconds)
}

/// `2025-08-21T12:40:59Z`, with a fraction or an offset.
fn rfc3339(text: &str) -> Option<When> {
    let (date, time) = (text.get(..10)?, text.get(11..19)?);
    matches!(text.as_bytes()[10], b'T' | b't' | b' ').then_some(())?;
    let mut date = date.splitn(3, '-');
    let (year, month, day) =
        (part(date.next()?, 4)?, part(date.next()?, 2)?, part(date.next()?, 2)?);
    let mut rest = text.get(19..)?;
    let mut fraction = 0.0;
    if rest.starts_with('.') {
        let end = rest[1..].find(|character: char| !character.is_ascii_digit())? + 1;
        fraction = number(&format!("0{}", &rest[..end]))?;
        rest = &rest[end..];
    }
    let offset = match rest.as_bytes() {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), zone @ ..] if zone.len() == 5 && zone[2] == b':' => {
            let zone = std::str::from_utf8(zone).ok()?;
            let minutes = part(zone.get(..2)?, 2)? * 60 + part(zone.get(3..)?, 2)?;
            if *sign == b'+' { minutes * 60 } else { -minutes * 60 }
        }
        _ => return None,
    };
    at((days(year, month, day)? * 86_400 + of_day(time)? - offset) as f64 + fraction)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<When> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split(' ');
    let day = part(words.next()?, 2)?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let year = part(words.next()?, 4)?;
    let time = of_day(words.next()?)?;
    (words.next() == Some("GMT") && words.next().is_none()).then_some(())?;
    at((days(year, month, day)? * 86_400 + time) as f64)
}

/// Seconds of `12:40:59`.
fn of_day(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute) = (part(parts.next()?, 2)?, part(parts.next()?, 2)?);
    let second = part(parts.next()?, 2)?;
    let fits = hour < 24 && minute < 60 && second <= 60 && parts.next().is_none();
    fits.then_some(hour * 3_600 + minute * 60 + second)
}

/// A number of this many digits.
fn part(text: &str, digits: usize) -> Option<i64> {
    let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| fits)
}

/// Days since 1970 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if leap { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = lengths.get(usize::try_from(month - 1).ok()?)?;
    if day < 1 || day > *length || year < 1970 {
        return None;
    }
    let before = year - 1;
    let years = before * 365 + before / 4 - before / 100 + before / 400 - 719_162;
    let months: i64 = lengths.iter().take(usize::try_from(month - 1).ok()?).sum();
    Some(years + months + day - 1)
}
