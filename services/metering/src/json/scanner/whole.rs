//! Tokens that lie in one piece: read at once.

use crate::json::scanner::digits::NUMBER;
use crate::json::slots::{self, Value};
use crate::json::text::plain;

/// Length of a string without escapes whose text begins here and that ends in this
/// piece, and where it has ended.
#[inline]
pub(super) fn whole_string(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = &bytes[at..];
    let length = plain(rest);
    (rest.get(length) == Some(&b'"')).then_some((length, at + length + 1))
}

/// Where a number has ended that begins here, if that is in this piece. `None` if it is
/// malformed, too.
#[inline]
pub(super) fn whole_number(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + usize::from(bytes[start] == b'-');
    if *bytes.get(at)? == b'0' {
        at += 1;
    } else {
        at = digits(bytes, at)?;
    }
    if *bytes.get(at)? == b'.' {
        at = digits(bytes, at + 1)?;
    }
    if matches!(bytes.get(at)?, b'e' | b'E') {
        at += 1;
        at += usize::from(matches!(bytes.get(at)?, b'+' | b'-'));
        at = digits(bytes, at)?;
    }
    (at < bytes.len()).then_some(at)
}

/// The end of a run of digits, of one at least.
#[inline]
fn digits(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while bytes.get(at)?.is_ascii_digit() {
        at += 1;
    }
    (at > start).then_some(at)
}

/// A whole number of at most 18 digits that ends in this piece, and where.
#[inline]
pub(super) fn whole_integer(bytes: &[u8], start: usize) -> Option<(Value, usize)> {
    let (mut at, mut number) = (start, 0);
    loop {
        match *bytes.get(at)? {
            digit @ b'0'..=b'9' => number = 10 * number + u64::from(digit - b'0'),
            b'.' | b'e' | b'E' => return None,
            _ => break,
        }
        at += 1;
        if at - start > 18 {
            return None;
        }
    }
    let padded = bytes[start] == b'0' && at - start > 1;
    (!padded).then_some((Value::Integer(number), at))
}

/// What is kept of a number.
pub(super) fn kept_number(text: &[u8]) -> Value {
    if text.len() <= NUMBER { slots::number(text) } else { Value::Float(f64::NAN) }
}
