//! Every recorded exchange gives every expected field, however it is cut.

mod support;

use modash_metering::Reading;
use support::{Fixture, Random, fixtures};

/// Differences of an exchange cut in one way; `None` if there are no more ways.
type Check = fn(&Fixture, usize) -> Option<Vec<String>>;

fn first_difference(fixture: &Fixture, check: Check) -> Option<String> {
    let ways = (0..).map_while(|way| check(fixture, way));
    ways.map(|differences| differences.join("; ")).find(|differences| !differences.is_empty())
}

fn assert_all(name: &str, check: Check) {
    let failures: Vec<String> = fixtures()
        .iter()
        .filter_map(|fixture| {
            first_difference(fixture, check)
                .map(|difference| format!("{}: {difference}", fixture.name))
        })
        .collect();
    assert!(failures.is_empty(), "{name}: {} failures\n{}", failures.len(), failures.join("\n"));
}

fn recorded(fixture: &Fixture, way: usize) -> Option<Vec<String>> {
    let read = || fixture.read(&[], &fixture.chunking, fixture.end);
    (way == 0).then(|| fixture.differences_in_time(&read()))
}

fn one_piece(fixture: &Fixture, way: usize) -> Option<Vec<String>> {
    (way == 0).then(|| fixture.differences(&fixture.read(&[], &[], fixture.end)))
}

fn byte_by_byte(fixture: &Fixture, way: usize) -> Option<Vec<String>> {
    let every = |length: usize| (1..=length).collect::<Vec<_>>();
    let read = || {
        let request = every(fixture.request_body.len());
        fixture.read(&request, &every(fixture.response_body.len()), fixture.end)
    };
    (way == 0).then(|| fixture.differences_in_time(&read()))
}

fn random(fixture: &Fixture, way: usize) -> Option<Vec<String>> {
    let read = || {
        let seed = 0x9e37_79b9_7f4a_7c15 ^ (way as u64 + 1) << 20 ^ fixture.name.len() as u64;
        let mut random = Random(seed);
        let request = random.ends(fixture.request_body.len());
        let response = random.ends(fixture.response_body.len());
        fixture.read(&request, &response, fixture.end)
    };
    (way < 200).then(|| fixture.differences(&read()))
}

#[test]
fn as_it_was_recorded() {
    assert_eq!(fixtures().len(), 153);
    assert_all("own chunking", recorded);
}

#[test]
fn in_one_piece() {
    assert_all("one piece", one_piece);
}

#[test]
fn cut_byte_by_byte() {
    assert_all("byte by byte", byte_by_byte);
}

#[test]
fn at_random_places() {
    assert_all("random chunking", random);
}

#[test]
fn a_wrong_expectation_is_noticed() {
    for mut fixture in fixtures().into_iter().take(10) {
        let reading: Reading = fixture.read(&[], &[], fixture.end);
        for (key, value) in fixture.expect.clone().as_object().unwrap() {
            let wrong = if value.is_null() { 1.into() } else { serde_json::Value::Null };
            fixture.expect[key] = wrong;
            assert_eq!(fixture.differences(&reading).len(), 1, "{}: {key}", fixture.name);
            fixture.expect[key] = value.clone();
        }
    }
}
