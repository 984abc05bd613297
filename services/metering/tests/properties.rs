//! Any bytes, cut anywhere, give one reading and no panic.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use modash_metering::BodyEnd;
use support::{Fixture, Random, fixtures};

/// Damages a body in one of the ways in which bodies get damaged.
fn damage(body: &mut Vec<u8>, random: &mut Random, other: &[u8]) {
    if body.is_empty() {
        body.extend_from_slice(other);
        return;
    }
    let at = random.below(body.len());
    let length = random.below(1 + body.len() - at).min(200);
    match random.below(7) {
        0 => body[at] ^= 1 << random.below(8),
        1 => body.truncate(at),
        2 => drop(body.drain(at..at + length)),
        3 => {
            let copy = body[at..at + length].to_vec();
            body.splice(at..at, copy);
        }
        4 => {
            let start = random.below(other.len().max(1)).min(other.len());
            let end = (start + 200).min(other.len());
            body.splice(at..at, other[start..end].iter().copied());
        }
        5 => {
            let bytes = b"\"\\{}[],: \n\r0-.eE\xff\x00\x1f";
            body[at] = bytes[random.below(bytes.len())];
        }
        _ => {
            let numbers = ["-1", "1e30", "\"34\"", "null", "9223372036854775808", "4.6e1", "{}"];
            let number = numbers[random.below(numbers.len())].bytes();
            body.splice(at..at, number);
        }
    }
}

#[test]
fn damaged_exchanges_read_the_same_however_they_are_cut() {
    let fixtures: Vec<Fixture> =
        fixtures().into_iter().filter(|fixture| fixture.response_body.len() < 10_000).collect();
    for way in 0..150 {
        for at in 0..fixtures.len() {
            let mut random = Random(0xdead_beef_0000 + (way << 16) + at as u64);
            let other = &fixtures[random.below(fixtures.len())];
            let fixture = &fixtures[at];
            let mut damaged = Fixture { ..copy(fixture) };
            for _ in 0..=random.below(4) {
                damage(&mut damaged.response_body, &mut random, &other.response_body);
                damage(&mut damaged.request_body, &mut random, &other.request_body);
            }
            if random.below(3) == 0 {
                damaged.response_headers = other.response_headers.clone();
            }
            let end = if random.below(2) == 0 { BodyEnd::Complete } else { BodyEnd::Broken };
            let whole = timeless(damaged.read(&[], &[], end));
            for _ in 0..3 {
                let request = random.ends(damaged.request_body.len());
                let response = random.ends(damaged.response_body.len());
                let cut = timeless(damaged.read(&request, &response, end));
                assert_eq!(whole, cut, "{} way {way}", damaged.name);
            }
        }
    }
}

fn copy(fixture: &Fixture) -> Fixture {
    Fixture {
        name: fixture.name.clone(),
        method: fixture.method.clone(),
        uri: fixture.uri.clone(),
        request_headers: fixture.request_headers.clone(),
        request_body: fixture.request_body.clone(),
        status: fixture.status,
        response_headers: fixture.response_headers.clone(),
        response_body: fixture.response_body.clone(),
        chunking: Vec::new(),
        delays: Vec::new(),
        end: fixture.end,
        expect: serde_json::Value::Null,
        expect_more: serde_json::Value::Null,
        expect_records: None,
    }
}

/// Without what depends on when pieces come.
fn timeless(mut reading: modash_metering::Reading) -> modash_metering::Reading {
    reading.first_content_at = None;
    reading.last_content_at = None;
    reading.first_visible_at = None;
    reading.gaps = modash_histogram::Histogram::default();
    if reading.speed_source == Some(modash_metering::SpeedSource::Measured) {
        reading.speed_source = None;
        reading.prefill_tokens_per_second = None;
        reading.decode_tokens_per_second = None;
    }
    if reading.speed_source.is_none() {
        reading.prefill_tokens_per_second = None;
        reading.decode_tokens_per_second = None;
    }
    reading
}
