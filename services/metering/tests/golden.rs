//! Every recorded exchange gives every expected field, however it is cut.

mod support;

use modash_metering::{BodyEnd, Reading};
use support::{Fixture, Random, fixtures};

fn assert_all(name: &str, cut: impl Fn(&Fixture, usize) -> Option<Reading>, ways: usize) {
    let mut failures = Vec::new();
    for fixture in fixtures() {
        for way in 0..ways {
            let Some(reading) = cut(&fixture, way) else { continue };
            let differences = fixture.differences(&reading);
            if !differences.is_empty() {
                failures.push(format!("{}: {}", fixture.name, differences.join("; ")));
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{name}: {} failures\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn as_it_was_recorded() {
    assert_eq!(fixtures().len(), 77);
    let cut = |fixture: &Fixture, _| Some(fixture.read(&[], &fixture.chunking, BodyEnd::Complete));
    assert_all("own chunking", cut, 1);
}

#[test]
fn in_one_piece() {
    assert_all("one piece", |fixture, _| Some(fixture.read(&[], &[], BodyEnd::Complete)), 1);
}

#[test]
fn byte_by_byte() {
    let every = |length: usize| (1..=length).collect::<Vec<_>>();
    let cut = |fixture: &Fixture, _| {
        let request = every(fixture.request_body.len());
        let response = every(fixture.response_body.len());
        Some(fixture.read(&request, &response, BodyEnd::Complete))
    };
    assert_all("byte by byte", cut, 1);
}

#[test]
fn at_random_places() {
    let cut = |fixture: &Fixture, way: usize| {
        let seed = 0x9e37_79b9_7f4a_7c15 ^ (way as u64 + 1) << 20 ^ fixture.name.len() as u64;
        let mut random = Random(seed);
        let request = random.ends(fixture.request_body.len());
        let response = random.ends(fixture.response_body.len());
        Some(fixture.read(&request, &response, BodyEnd::Complete))
    };
    assert_all("random chunking", cut, 200);
}

#[test]
fn a_wrong_expectation_is_noticed() {
    for mut fixture in fixtures().into_iter().take(10) {
        let reading = fixture.read(&[], &[], BodyEnd::Complete);
        for (key, value) in fixture.expect.clone().as_object().unwrap() {
            let wrong = if value.is_null() { 1.into() } else { serde_json::Value::Null };
            fixture.expect[key] = wrong;
            assert_eq!(fixture.differences(&reading).len(), 1, "{}: {key}", fixture.name);
            fixture.expect[key] = value.clone();
        }
    }
}
