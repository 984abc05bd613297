//! Patterns of model names: `*` is any run of characters, `{date}` a date in digits.

use std::collections::BTreeSet;

/// The written forms of `{date}`.
const DATES: [&str; 2] = ["########", "####-##-##"];

/// Bytes of a name whose date is written as `{date}`: longer ones match no pattern.
const MAX_DATED: usize = 264;

/// One place of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Byte(u8),
    Digit,
    Run,
}

/// A pattern of model names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: Box<str>,
    /// One sequence for each written form of the date.
    forms: Vec<Vec<Place>>,
}

impl Pattern {
    /// Whether a name in a price list is a pattern.
    pub(crate) fn is_pattern(name: &str) -> bool {
        name.contains('*') || name.contains("{date}")
    }

    /// Reads a pattern.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.matches("{date}").count() > 1 {
            return Err("has {date} more than once");
        }
        let by_digit = |(before, after): (&str, &str)| {
            before.ends_with(|c: char| c.is_ascii_digit())
                || after.starts_with(|c: char| c.is_ascii_digit())
        };
        if text.split_once("{date}").is_some_and(by_digit) {
            return Err("has a digit beside {date}");
        }
        if text.matches('*').count() > 3 {
            return Err("has more than three *");
        }
        let forms = match text.split_once("{date}") {
            None => vec![places(text)],
            Some((before, after)) => DATES
                .iter()
                .map(|date| {
                    let digits = date.bytes().map(|byte| match byte {
                        b'#' => Place::Digit,
                        other => Place::Byte(other),
                    });
                    places(before).into_iter().chain(digits).chain(places(after)).collect()
                })
                .collect(),
        };
        Ok(Self { text: text.into(), forms })
    }

    /// The pattern as written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the pattern matches just the names whose [`dates`] give its text.
    pub(crate) fn is_only_dated(&self) -> bool {
        !self.text.contains('*')
    }

    /// Whether a name matches.
    pub(crate) fn matches(&self, name: &str) -> bool {
        self.forms.iter().any(|form| matches(form, name.as_bytes()))
    }

    /// A name that both patterns match.
    pub(crate) fn common_name(&self, other: &Self) -> Option<String> {
        self.forms
            .iter()
            .flat_map(|left| other.forms.iter().map(move |right| (left, right)))
            .find_map(|(left, right)| common(left, right))
    }
}

fn places(text: &str) -> Vec<Place> {
    text.bytes().map(|byte| if byte == b'*' { Place::Run } else { Place::Byte(byte) }).collect()
}

fn fits(place: Place, byte: u8) -> bool {
    match place {
        Place::Byte(expected) => expected == byte,
        Place::Digit => byte.is_ascii_digit(),
        Place::Run => true,
    }
}

/// Greedy with one point to return to: linear but for the runs.
fn matches(form: &[Place], name: &[u8]) -> bool {
    let (mut at, mut read, mut retry) = (0, 0, None);
    while read < name.len() {
        match form.get(at) {
            Some(Place::Run) => {
                retry = Some((at + 1, read));
                at += 1;
            }
            Some(place) if fits(*place, name[read]) => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((after, from)) = retry else { return false };
                retry = Some((after, from + 1));
                at = after;
                read = from + 1;
            }
        }
    }
    form[at..].iter().all(|place| *place == Place::Run)
}

/// Walks both sequences together; states that led nowhere are not tried again.
fn common(left: &[Place], right: &[Place]) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut name = Vec::new();
    walk(left, right, &mut seen, &mut name).then(|| String::from_utf8_lossy(&name).into_owned())
}

fn walk(
    left: &[Place],
    right: &[Place],
    seen: &mut BTreeSet<(usize, usize)>,
    name: &mut Vec<u8>,
) -> bool {
    if !seen.insert((left.len(), right.len())) {
        return false;
    }
    let mut step = |left: &[Place], right: &[Place], byte: Option<u8>| {
        name.extend(byte);
        let found = walk(left, right, seen, name);
        if !found && byte.is_some() {
            name.pop();
        }
        found
    };
    match (left.split_first(), right.split_first()) {
        (None, None) => true,
        (Some((Place::Run, rest)), None) => step(rest, right, None),
        (None, Some((Place::Run, rest))) => step(left, rest, None),
        (None, Some(_)) | (Some(_), None) => false,
        (Some((Place::Run, after_left)), Some((Place::Run, after_right))) => {
            step(after_left, right, None) || step(left, after_right, None)
        }
        (Some((Place::Run, after)), Some((place, rest))) => {
            step(after, right, None) || step(left, rest, Some(example(*place)))
        }
        (Some((place, rest)), Some((Place::Run, after))) => {
            step(left, after, None) || step(rest, right, Some(example(*place)))
        }
        (Some((one, rest)), Some((other, other_rest))) => {
            let byte = match (one, other) {
                (Place::Byte(byte), other) if fits(*other, *byte) => *byte,
                (one, Place::Byte(byte)) if fits(*one, *byte) => *byte,
                (Place::Digit, Place::Digit) => b'0',
                _ => return false,
            };
            step(rest, other_rest, Some(byte))
        }
    }
}

fn example(place: Place) -> u8 {
    match place {
        Place::Byte(byte) => byte,
        Place::Digit | Place::Run => b'0',
    }
}

/// The name with each of its dates in turn written as `{date}`: what a pattern without `*`
/// that matches it is called. Calls `found` until that returns something.
pub(crate) fn dates<T>(name: &str, mut found: impl FnMut(&str) -> Option<T>) -> Option<T> {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let length =
            DATES.iter().map(|date| date.len()).find(|length| is_date(&bytes[at..], *length));
        if let Some(length) = length {
            let mut buffer = [0; MAX_DATED];
            let parts = [&bytes[..at], b"{date}", &bytes[at + length..]];
            if let Some(found) = joined(parts, &mut buffer).and_then(&mut found) {
                return Some(found);
            }
        }
        at += digits.max(1);
    }
    None
}

/// Whether bytes begin with a date of this length, and no digit follows.
fn is_date(bytes: &[u8], length: usize) -> bool {
    let form = DATES.iter().find(|date| date.len() == length);
    let (Some(form), Some(date)) = (form, bytes.get(..length)) else { return false };
    let fits =
        |(form, byte): (u8, &u8)| if form == b'#' { byte.is_ascii_digit() } else { form == *byte };
    form.bytes().zip(date).all(fits) && !bytes.get(length).is_some_and(u8::is_ascii_digit)
}

fn joined<'a>(parts: [&[u8]; 3], buffer: &'a mut [u8; MAX_DATED]) -> Option<&'a str> {
    let mut end = 0;
    for part in parts {
        buffer.get_mut(end..end + part.len())?.copy_from_slice(part);
        end += part.len();
    }
    std::str::from_utf8(&buffer[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn a_date_is_eight_digits_or_hyphenated() {
        let dated = pattern("gpt-4o-{date}");
        assert!(dated.matches("gpt-4o-2024-08-06") && dated.matches("gpt-4o-20240806"));
        for other in
            ["gpt-4o-", "gpt-4o-audio-2024-08-06", "gpt-4o-2024-08-06x", "gpt-4o-2024-0806"]
        {
            assert!(!dated.matches(other), "{other}");
        }
    }

    #[test]
    fn the_dates_of_a_name_are_found() {
        let all = |name: &str| {
            let mut found = Vec::new();
            dates(name, |name| -> Option<()> {
                found.push(name.to_owned());
                None
            });
            found
        };
        assert_eq!(all("gpt-4o-2024-08-06"), ["gpt-4o-{date}"]);
        assert_eq!(all("20240806-x@20250101:1"), ["{date}-x@20250101:1", "20240806-x@{date}:1"]);
        for none in ["", "gpt-4o", "x-202408061", "x-12024-08-06", "x-2024-08-061", "ü-2024-08"] {
            assert!(all(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn a_star_is_any_run() {
        assert!(pattern("*").matches("") && pattern("*").matches("a/b:c"));
        assert!(pattern("a*c*").matches("abcbcd") && pattern("a*c").matches("acbc"));
        assert!(!pattern("a*c").matches("acb") && !pattern("a*c").matches("xac"));
    }

    #[test]
    fn two_patterns_have_a_common_name_or_none() {
        for (left, right) in [
            ("*", "a"),
            ("a*", "*b"),
            ("gpt-{date}", "gpt-2*"),
            ("a*b*", "*x*"),
            ("{date}", "{date}"),
        ] {
            let (left, right) = (pattern(left), pattern(right));
            let name = left.common_name(&right).unwrap();
            assert!(left.matches(&name) && right.matches(&name), "{name}");
        }
        for (left, right) in
            [("a*", "b*"), ("gpt-{date}", "gpt-a*"), ("*a", "*b"), ("{date}", "{date}x")]
        {
            assert_eq!(pattern(left).common_name(&pattern(right)), None, "{left} {right}");
        }
    }

    #[test]
    fn a_pattern_that_is_more_than_needed_is_refused() {
        assert!(
            Pattern::parse("gpt-4{date}").is_err()
                && Pattern::parse("****").is_err()
                && Pattern::parse("{date}{date}").is_err()
        );
    }
}
