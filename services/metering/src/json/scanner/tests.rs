//! The scanner against the specification and against serde_json.

use super::*;
use crate::json::{Row, Shape};
use crate::wire::value;
use proptest::prelude::*;

fn scan(json: &[u8], size: usize, rows: &[Row]) -> Option<Slots> {
    let shape = Shape::new(rows);
    let mut slots = Slots::new(shape.slots());
    let mut scanner = Scanner::new(&Limits::default());
    for piece in json.chunks(size) {
        let read = scanner.feed(piece, &shape, &mut slots).ok()?;
        if !piece[read..].iter().all(u8::is_ascii_whitespace) {
            return None;
        }
    }
    scanner.end(&shape, &mut slots).ok()?;
    Some(slots)
}

fn count(json: &str) -> Option<u64> {
    let rows = [value("usage.n")];
    let whole = scan(json.as_bytes(), usize::MAX, &rows).unwrap().count(0);
    for size in 1..4 {
        assert_eq!(scan(json.as_bytes(), size, &rows).unwrap().count(0), whole, "{json}");
    }
    whole
}

#[test]
fn numbers_are_read_as_the_specification_says() {
    let n = |number: &str| count(&format!(r#"{{"usage":{{"n":{number}}}}}"#));
    for (number, want) in [
        ("0", 0),
        ("7", 7),
        ("9223372036854775807", i64::MAX as u64),
        ("12.0", 12),
        ("4.6e1", 46),
        ("9007199254740992.0", 1 << 53),
        ("\"34\"", 34),
        ("\"007\"", 7),
        ("\"\\u0033\"", 3),
        ("1E2", 100),
        ("0e9", 0),
        ("\"9223372036854775807\"", i64::MAX as u64),
    ] {
        assert_eq!(n(number), Some(want), "{number}");
    }
    for number in [
        "-1",
        "1.5",
        "1e30",
        "9223372036854775808",
        "18446744073709551616",
        "9007199254740994.0",
        "\" 7\"",
        "\"7 \"",
        "\"+7\"",
        "\"-7\"",
        "\"\"",
        "\"1.0\"",
        "\"NaN\"",
        "true",
        "false",
        "null",
        "[1]",
        "{}",
        "\"9223372036854775808\"",
        "\"00000000000000000007\"",
    ] {
        assert_eq!(n(number), None, "{number}");
    }
}

#[test]
fn only_the_exact_path_counts_and_the_last_of_repeated_keys_wins() {
    for (json, want) in [
        (r#"{"usage":{"n":1},"usage":{"n":2}}"#, Some(2)),
        (r#"{"usage":{"n":1},"usage":{}}"#, None),
        (r#"{"usage":{"n":1},"usage":null}"#, None),
        (r#"{"usage":{"n":1,"n":null}}"#, None),
        (r#"{"us\u0061ge":{"\u006E":3}}"#, Some(3)),
        (r#"{"x":{"usage":{"n":1}}}"#, None),
        (r#"{"x":"{\"usage\":{\"n\":1}}"}"#, None),
        (r#"[{"usage":{"n":1}}]"#, None),
        (r#"{"usage":[{"n":1}]}"#, None),
        (r#"{"usage.n":1}"#, None),
        (r#"{"USAGE":{"n":1}}"#, None),
        (" { \"usage\" : { \"n\" : 5 } } ", Some(5)),
    ] {
        assert_eq!(count(json), want, "{json}");
    }
}

#[test]
fn nesting_beyond_the_limit_is_malformed() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(scan(nested(256).as_bytes(), 7, &[]).is_some());
    assert!(scan(nested(257).as_bytes(), 7, &[]).is_none());
}

#[test]
fn long_values_are_cut_at_a_character_and_long_keys_are_unknown() {
    let rows = [value("model")];
    let json = format!(r#"{{"model":"{}","{}model":1}}"#, "é".repeat(400), "k".repeat(500));
    for size in [1, 3, 5000] {
        let slots = scan(json.as_bytes(), size, &rows).unwrap();
        assert_eq!(slots.text(0), Some("é".repeat(256).as_bytes()));
    }
}

#[test]
fn escapes_are_decoded_across_cuts() {
    let rows = [value("model")];
    for (text, want) in [
        (r"a\n\t\\\/\b\f\r\u00e9", "a\n\t\\/\u{8}\u{c}\r\u{e9}"),
        (r"\ud83d\ude00!", "\u{1f600}!"),
        (r"\ud83dx\ude00", "\u{fffd}x\u{fffd}"),
        (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
    ] {
        let json = format!(r#"{{"model":"{text}"}}"#);
        for size in 1..9 {
            let slots = scan(json.as_bytes(), size, &rows).unwrap();
            assert_eq!(slots.text(0), Some(want.as_bytes()), "{text} by {size}");
        }
    }
}

proptest! {
    // Few of the inputs are JSON.
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn accepts_what_serde_json_accepts(
        tokens in proptest::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"", "\\", "\\u00", "1", "0", "-", ".5", "e",
            "E+", "true", "null", "fals", " ", "\n", "x", "\u{1}",
        ]), 0..24),
        size in 1_usize..6,
    ) {
        let json = tokens.concat();
        let rows = [value("a"), value("a.a")];
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok();
        prop_assert_eq!(scan(json.as_bytes(), size, &rows).is_some(), theirs, "{}", json);
        prop_assert_eq!(scan(json.as_bytes(), 1000, &rows).is_some(), theirs, "{}", json);
    }

    #[test]
    fn finds_what_serde_json_finds(
        members in proptest::collection::vec(("[ab]", prop::sample::select(vec![
            "1", "\"x\"", "{\"a\":2}", "{\"b\":3,\"a\":null}", "[4]", "null", "{\"a\":{\"a\":5}}", "-0.5",
        ])), 0..6),
        size in 1_usize..9,
    ) {
        let members: Vec<String> = members.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
        let json = format!("{{{}}}", members.join(","));
        let rows = [value("a"), value("a.a"), value("a.a.a"), value("b"), value("b.b")];
        let slots = scan(json.as_bytes(), size, &rows).unwrap();
        let theirs: serde_json::Value = serde_json::from_str(&json).unwrap();
        for (slot, path) in ["/a", "/a/a", "/a/a/a", "/b", "/b/b"].iter().enumerate() {
            let their = theirs.pointer(path);
            prop_assert_eq!(slots.get(slot).is_some(), their.is_some(), "{} {}", json, path);
            prop_assert_eq!(slots.count(slot), their.and_then(serde_json::Value::as_u64));
        }
    }
}
