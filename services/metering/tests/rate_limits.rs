//! What response heads state about rate limits: header sets of every provider, written
//! down from its documentation or from responses that people published, and what is read.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use modash_metering::{BodyEnd, Limits, Meter, RateLimit, RateLimitKind, RateLimits, When};
use proptest::prelude::*;

fn read(headers: &[(&str, &str)]) -> Option<RateLimits> {
    let mut lines = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        lines.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let uri = "/v1/chat/completions".parse().unwrap();
    let mut meter = Meter::new(&Method::POST, &uri, &HeaderMap::new(), Limits::default());
    meter.response_head(StatusCode::OK, &lines);
    meter.finish(BodyEnd::Complete, Duration::ZERO).rate_limits
}

/// A limit as one line: kind, window, remaining of limit or used share, reset.
fn line(limit: &RateLimit) -> String {
    let count = |count: Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
    let amount = match limit.used {
        Some(used) => format!("used {used}"),
        None => format!("{}/{}", count(limit.remaining), count(limit.limit)),
    };
    let kind = format!("{:?}", limit.kind);
    [kind, limit.window.clone(), amount, limit.resets.map(when).unwrap_or_default()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn when(when: When) -> String {
    match when {
        When::After(time) => format!("+{}", time.as_secs_f64()),
        When::At(time) => format!("@{}", time.as_secs_f64()),
    }
}

fn lines(headers: &[(&str, &str)]) -> Vec<String> {
    read(headers).map_or_else(Vec::new, |found| {
        let retry = found.retry_after.map(|moment| format!("retry {}", when(moment)));
        found.limits.iter().map(line).chain(retry).collect()
    })
}

/// A provider with its source, its headers, and what is read.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const PROVIDERS: &[Case] = &[
    (
        "OpenAI: platform.openai.com/docs/guides/rate-limits, with a limit of the project",
        &[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-reset-tokens", "6m0s"),
            ("x-ratelimit-limit-project-tokens", "1000000"),
            ("x-ratelimit-remaining-project-tokens", "990000"),
            ("x-ratelimit-reset-project-tokens", "250ms"),
            ("x-request-id", "req_1"),
        ],
        &["Requests 59/60 +1", "Tokens 149984/150000 +360", "Tokens project 990000/1000000 +0.25"],
    ),
    (
        "OpenAI, a refusal: openai-python reads retry-after-ms before retry-after",
        &[
            ("x-ratelimit-limit-requests", "500"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "120ms"),
            ("retry-after", "1"),
            ("retry-after-ms", "120"),
        ],
        &["Requests 0/500 +0.12", "retry +0.12"],
    ),
    (
        "Anthropic, a key: docs.anthropic.com/en/api/rate-limits; values of a response in the tests of tidyllm",
        &[
            ("anthropic-ratelimit-input-tokens-limit", "80000"),
            ("anthropic-ratelimit-input-tokens-remaining", "79000"),
            ("anthropic-ratelimit-input-tokens-reset", "2025-08-21T12:40:59Z"),
            ("anthropic-ratelimit-output-tokens-limit", "16000"),
            ("anthropic-ratelimit-output-tokens-remaining", "16000"),
            ("anthropic-ratelimit-output-tokens-reset", "2025-08-21T12:41:00Z"),
            ("anthropic-ratelimit-requests-limit", "1000"),
            ("anthropic-ratelimit-requests-remaining", "999"),
            ("anthropic-ratelimit-requests-reset", "2025-08-21T12:40:59Z"),
            ("anthropic-ratelimit-tokens-limit", "96000"),
            ("anthropic-ratelimit-tokens-remaining", "95000"),
            ("anthropic-ratelimit-tokens-reset", "2025-08-21T12:40:59Z"),
            ("anthropic-organization-id", "36562039"),
        ],
        &[
            "InputTokens 79000/80000 @1755780059",
            "OutputTokens 16000/16000 @1755780060",
            "Requests 999/1000 @1755780059",
            "Tokens 95000/96000 @1755780059",
        ],
    ),
    (
        "Anthropic, Priority Tier and fast mode: docs.anthropic.com/en/api/service-tiers",
        &[
            ("anthropic-priority-input-tokens-limit", "10000"),
            ("anthropic-priority-input-tokens-remaining", "9618"),
            ("anthropic-priority-input-tokens-reset", "2025-01-12T23:11:59Z"),
            ("anthropic-priority-output-tokens-limit", "10000"),
            ("anthropic-priority-output-tokens-remaining", "6000"),
            ("anthropic-priority-output-tokens-reset", "2025-01-12T23:12:21Z"),
            ("anthropic-fast-input-tokens-limit", "50000"),
            ("anthropic-fast-input-tokens-remaining", "49000"),
        ],
        &[
            "InputTokens priority 9618/10000 @1736723519",
            "OutputTokens priority 6000/10000 @1736723541",
            "InputTokens fast 49000/50000",
        ],
    ),
    (
        "Anthropic, a Claude subscription: router-for-me/CLIProxyAPI#3169, anthropics/claude-code#42108",
        &[
            ("anthropic-ratelimit-unified-status", "allowed_warning"),
            ("anthropic-ratelimit-unified-reset", "1777167600"),
            ("anthropic-ratelimit-unified-5h-status", "allowed"),
            ("anthropic-ratelimit-unified-5h-utilization", "0.35"),
            ("anthropic-ratelimit-unified-5h-reset", "1776649200"),
            ("anthropic-ratelimit-unified-7d-status", "allowed_warning"),
            ("anthropic-ratelimit-unified-7d-utilization", "0.85"),
            ("anthropic-ratelimit-unified-7d-reset", "1777167600"),
            ("anthropic-ratelimit-unified-7d-surpassed-threshold", "0.75"),
            ("anthropic-ratelimit-unified-7d_sonnet-utilization", "1.02"),
            ("anthropic-ratelimit-unified-representative-claim", "seven_day"),
            ("anthropic-ratelimit-unified-fallback-percentage", "0.5"),
            ("anthropic-ratelimit-unified-overage-status", "rejected"),
            ("anthropic-ratelimit-unified-overage-disabled-reason", "org_level_disabled"),
            ("anthropic-ratelimit-unified-overage-reset", "1777593600"),
        ],
        &[
            "Plan 5h used 0.35 @1776649200",
            "Plan 7d used 0.85 @1777167600",
            "Plan 7d_sonnet used 1.02",
        ],
    ),
    (
        "OpenAI, Codex with a ChatGPT subscription: router-for-me/CLIProxyAPI#4833",
        &[
            ("X-Codex-Active-Limit", "codex"),
            ("X-Codex-Plan-Type", "plus"),
            ("X-Codex-Primary-Over-Secondary-Limit-Percent", "0"),
            ("X-Codex-Primary-Reset-After-Seconds", "603723"),
            ("X-Codex-Primary-Reset-At", "1786501305"),
            ("X-Codex-Primary-Used-Percent", "4"),
            ("X-Codex-Primary-Window-Minutes", "10080"),
            ("X-Codex-Secondary-Reset-After-Seconds", "0"),
            ("X-Codex-Secondary-Reset-At", ""),
            ("X-Codex-Secondary-Used-Percent", "0"),
            ("X-Codex-Secondary-Window-Minutes", "0"),
            ("X-Codex-Bengalfox-Primary-Used-Percent", "42.5"),
            ("X-Codex-Bengalfox-Primary-Window-Minutes", "300"),
        ],
        &["Plan 7d used 0.04 +603723", "Plan 5h_bengalfox used 0.425"],
    ),
    (
        "Azure OpenAI: EvolvingPrograms/oaib#11; resets are whole seconds (openai-dotnet#838)",
        &[
            ("x-ratelimit-remaining-requests", "79"),
            ("x-ratelimit-remaining-tokens", "61353"),
            ("x-ratelimit-reset-tokens", "55"),
        ],
        &["Requests 79/?", "Tokens 61353/? +55"],
    ),
    (
        "Azure OpenAI without a limit: openai/openai-dotnet#838",
        &[
            ("x-ratelimit-limit-tokens", "-1"),
            ("x-ratelimit-remaining-tokens", "-1"),
            ("x-ratelimit-reset-tokens", "0"),
        ],
        &[],
    ),
    (
        "Groq: console.groq.com/docs/rate-limits",
        &[
            ("retry-after", "2"),
            ("x-ratelimit-limit-requests", "14400"),
            ("x-ratelimit-limit-tokens", "18000"),
            ("x-ratelimit-remaining-requests", "14370"),
            ("x-ratelimit-remaining-tokens", "17997"),
            ("x-ratelimit-reset-requests", "2m59.56s"),
            ("x-ratelimit-reset-tokens", "7.66s"),
        ],
        &["Requests 14370/14400 +179.56", "Tokens 17997/18000 +7.66", "retry +2"],
    ),
    (
        "Mistral: mistralai/client-ts#169",
        &[
            ("x-ratelimit-limit-tokens-minute", "5000000"),
            ("x-ratelimit-remaining-tokens-minute", "4999911"),
            ("x-ratelimit-tokens-query-cost", "52"),
            ("x-ratelimit-limit-req-minute", "720"),
            ("x-ratelimit-remaining-req-minute", "717"),
        ],
        &["Tokens minute 4999911/5000000", "Requests minute 717/720"],
    ),
    (
        "Mistral before: headers as the drivers of mistral in prism and langrocks read them",
        &[
            ("ratelimitbysize-limit", "500000"),
            ("ratelimitbysize-remaining", "499000"),
            ("ratelimitbysize-reset", "12"),
            ("ratelimitbysize-query-cost", "1000"),
            ("x-ratelimitbysize-limit-month", "1000000000"),
            ("x-ratelimitbysize-remaining-month", "999000000"),
            ("x-ratelimitbysize-remaining-minute", "0"),
        ],
        &["Tokens 499000/500000 +12", "Tokens month 999000000/1000000000", "Tokens minute 0/?"],
    ),
    (
        "OpenRouter: openrouter.ai/docs/api-reference/limits; the reset is in milliseconds since 1970",
        &[
            ("X-RateLimit-Limit", "50"),
            ("X-RateLimit-Remaining", "0"),
            ("X-RateLimit-Reset", "1745971200000"),
        ],
        &["Requests 0/50 @1745971200"],
    ),
    (
        "Cerebras: inference-docs.cerebras.ai/support/rate-limits",
        &[
            ("x-ratelimit-limit-requests-day", "1000000000"),
            ("x-ratelimit-limit-tokens-minute", "1000000000"),
            ("x-ratelimit-remaining-requests-day", "999997455"),
            ("x-ratelimit-remaining-tokens-minute", "999998298"),
            ("x-ratelimit-reset-requests-day", "33011.382867097855"),
            ("x-ratelimit-reset-tokens-minute", "11.382867097854614"),
        ],
        &[
            "Requests day 999997455/1000000000 +33011.382867",
            "Tokens minute 999998298/1000000000 +11.382867",
        ],
    ),
    (
        "Fireworks: docs.fireworks.ai/guides/quotas_usage/rate-limits",
        &[
            ("x-ratelimit-limit-requests", "6000"),
            ("x-ratelimit-remaining-requests", "5999"),
            ("x-ratelimit-limit-tokens-prompt", "60000"),
            ("x-ratelimit-remaining-tokens-prompt", "59000"),
            ("x-ratelimit-limit-tokens-generated", "12000"),
            ("x-ratelimit-remaining-tokens-generated", "11900"),
            ("x-ratelimit-limit-tokens-cache-adjusted-prompt", "5400000"),
            ("x-ratelimit-over-limit", "no"),
        ],
        &[
            "Requests 5999/6000",
            "InputTokens 59000/60000",
            "OutputTokens 11900/12000",
            "InputTokens cache-adjusted ?/5400000",
        ],
    ),
    (
        "Together: docs.together.ai/docs/rate-limits",
        &[
            ("x-ratelimit-limit", "10"),
            ("x-ratelimit-remaining", "9"),
            ("x-ratelimit-reset", "1"),
            ("x-tokenlimit-limit", "20000"),
            ("x-tokenlimit-remaining", "19500"),
            ("x-ratelimit-limit-dynamic", "12"),
        ],
        &["Requests 9/10 +1", "Tokens 19500/20000", "Other dynamic ?/12"],
    ),
    (
        "xAI: the form of OpenAI without resets (docs.x.ai/docs/key-information/consumption-and-rate-limits)",
        &[
            ("x-ratelimit-limit-requests", "480"),
            ("x-ratelimit-remaining-requests", "479"),
            ("x-ratelimit-limit-tokens", "2000000"),
            ("x-ratelimit-remaining-tokens", "1999990"),
        ],
        &["Requests 479/480", "Tokens 1999990/2000000"],
    ),
    (
        "Nous Portal: two windows of each kind (NousResearch/hermes-agent#6541)",
        &[
            ("x-ratelimit-limit-requests-1h", "1000"),
            ("x-ratelimit-remaining-requests-1h", "990"),
            ("x-ratelimit-reset-requests-1h", "3600"),
            ("x-ratelimit-remaining-tokens-1h", "100"),
        ],
        &["Requests 1h 990/1000 +3600", "Tokens 1h 100/?"],
    ),
    (
        "Kong: a window without a unit counts requests",
        &[("X-RateLimit-Limit-Minute", "20"), ("X-RateLimit-Remaining-Minute", "19")],
        &["Requests minute 19/20"],
    ),
    (
        "IETF draft 03: draft-ietf-httpapi-ratelimit-headers-03",
        &[
            ("RateLimit-Limit", "10, 10;w=1, 50;w=60"),
            ("RateLimit-Remaining", "9"),
            ("RateLimit-Reset", "50"),
        ],
        &["Requests 9/10 +50"],
    ),
    (
        "IETF draft 07: one field",
        &[("RateLimit", "limit=100, remaining=50, reset=5"), ("RateLimit-Policy", "100;w=60")],
        &["Requests 50/100 +5"],
    ),
    (
        "IETF draft 10: named policies",
        &[
            (
                "RateLimit-Policy",
                "\"burst\";q=100;w=60, \"daily, all\";q=1;w=2, \"daily\";q=1000;w=86400",
            ),
            ("RateLimit", "\"burst\";r=50;t=30"),
            ("RateLimit", "\"daily\";r=600"),
        ],
        &["Other burst 50/100 +30", "Other daily 600/1000"],
    ),
    (
        "Retry-After as a date: RFC 9110, 10.2.3",
        &[("Retry-After", "Fri, 31 Dec 2027 23:59:59 GMT")],
        &["retry @1830297599"],
    ),
];

#[test]
fn the_headers_of_every_provider_are_read() {
    for (provider, headers, expected) in PROVIDERS {
        assert_eq!(lines(headers), *expected, "{provider}");
    }
}

#[test]
fn names_are_read_in_any_case_and_values_with_blanks() {
    for (provider, headers, expected) in PROVIDERS {
        let upper: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| (name.to_ascii_uppercase(), format!(" {value}\t")))
            .collect();
        let found = lines(&upper.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect::<Vec<_>>());
        assert_eq!(found, *expected, "{provider}");
    }
}

#[test]
fn what_cannot_be_read_is_absent() {
    for (name, value) in [
        ("x-ratelimit-remaining-tokens", "many"),
        ("x-ratelimit-remaining-tokens", "1e9"),
        ("x-ratelimit-remaining-tokens", "+5"),
        ("x-ratelimit-remaining-tokens", ""),
        ("x-ratelimit-remaining-tokens", "30,000"),
        ("x-ratelimit-remaining-tokens", "99999999999999999999"),
        ("x-ratelimit-remaining-widgets and more", "1"),
        ("x-ratelimit-reset-tokens", "1s"),
        ("x-ratelimit-used", "5"),
        ("x-ratelimit-resource", "core"),
        ("anthropic-ratelimit-unified-5h-utilization", "much"),
        ("anthropic-ratelimit-unified-5h-utilization", "-1"),
        ("anthropic-organization-id", "1"),
        ("x-codex-tertiary-used-percent", "1"),
        ("retry-after", "-1"),
        ("retry-after", "soon"),
        ("retry-after", "Fri, 32 Dec 2027 23:59:59 GMT"),
        ("retry-after", "99999999999"),
        ("ratelimit", "\"\";r=5"),
        ("ratelimit", "\"unclosed;r=5"),
    ] {
        if HeaderName::from_bytes(name.as_bytes()).is_ok() {
            assert_eq!(read(&[(name, value)]), None, "{name}: {value}");
        }
    }
    let reset = |value: &str| {
        let found = read(&[("ratelimit-remaining", "1"), ("ratelimit-reset", value)]);
        found.unwrap().limits[0].resets.map(when)
    };
    for value in ["1x", "s", "1.2.3s", "5m-3s", "2025-13-01T00:00:00Z", "2025-02-29T00:00:00Z"] {
        assert_eq!(reset(value), None, "{value}");
    }
    for value in ["9e9", "99999999", "999999h", "2025-02-28T00:00:00", "2025-02-28T24:00:00Z"] {
        assert_eq!(reset(value), None, "{value}");
    }
    assert_eq!(reset("2024-02-29T00:00:00.5+01:00").as_deref(), Some("@1709161200.5"));
    assert_eq!(reset("1h2m3.5s").as_deref(), Some("+3723.5"));
    assert_eq!(reset("1d").as_deref(), Some("+86400"));
    assert_eq!(reset("500µs"), None, "header values are ASCII");
}

#[test]
fn very_many_limits_are_cut_off() {
    let names: Vec<String> =
        (0..100).map(|at| format!("x-ratelimit-remaining-requests-w{at}")).collect();
    let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(read(&headers).unwrap().limits.len(), 16);
    let long = format!("x-ratelimit-remaining-requests-{}", "w".repeat(33));
    assert_eq!(read(&[(&long, "1")]), None);
}

/// A name of the words of such headers.
fn name() -> impl Strategy<Value = String> {
    let start = prop::sample::select(vec![
        "x-ratelimit",
        "ratelimit",
        "anthropic-ratelimit-unified",
        "anthropic-ratelimit",
        "x-codex",
        "x-tokenlimit",
        "retry-after",
        "ratelimit-policy",
    ]);
    let word = prop::sample::select(vec![
        "limit",
        "remaining",
        "reset",
        "requests",
        "tokens",
        "input",
        "minute",
        "5h",
        "utilization",
        "primary",
        "used-percent",
        "window-minutes",
        "reset-at",
        "ms",
        "é",
        "_",
    ]);
    (start, prop::collection::vec(word, 0..4))
        .prop_map(|(start, words)| [vec![start], words].concat().join("-"))
}

fn value() -> impl Strategy<Value = String> {
    let near = "[-0-9.smhdu;=,\"rtqw: TZ+]{0,24}";
    prop_oneof![
        any::<String>(),
        near.prop_map(String::from),
        any::<i64>().prop_map(|n| n.to_string())
    ]
}

proptest! {
    #[test]
    fn any_headers_give_bounded_limits(headers in prop::collection::vec((name(), value()), 0..40)) {
        let fits = |(name, value): &&(String, String)| {
            HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok()
        };
        let headers: Vec<(&str, &str)> = headers
            .iter().filter(fits).map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let Some(found) = read(&headers) else { return Ok(()) };
        prop_assert!(found.limits.len() <= 16);
        for limit in &found.limits {
            prop_assert!(limit.window.len() <= 32);
            prop_assert!(limit.window.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')));
            prop_assert!(limit.limit != Some(0));
            prop_assert!(limit.limit.max(limit.remaining).is_none_or(|count| count <= 1_000_000_000_000_000));
            prop_assert!(limit.used.is_none_or(|used| (0.0..=10_000.0).contains(&used)));
            prop_assert!(limit.limit.is_some() || limit.remaining.is_some() || limit.used.is_some());
            match limit.resets {
                Some(When::After(time)) => prop_assert!(time <= Duration::from_secs(400 * 86_400)),
                Some(When::At(time)) => prop_assert!(time.as_secs() <= 4_102_444_800),
                None => {}
            }
            let same = found.limits.iter().filter(|other| {
                (other.kind, &other.window) == (limit.kind, &limit.window)
            });
            prop_assert_eq!(same.count(), 1);
        }
    }

    #[test]
    fn a_count_and_a_duration_are_read_as_they_were_written(
        (limit, remaining) in (1..1_000_000_000_u64, 0..1_000_000_000_u64),
        (hours, minutes, millis) in (0..24_u64, 0..60_u64, 0..60_000_u64),
    ) {
        let reset = format!("{hours}h{minutes}m{}s", millis as f64 / 1_000.0);
        let found = read(&[
            ("x-ratelimit-limit-tokens", &limit.to_string()),
            ("x-ratelimit-remaining-tokens", &remaining.to_string()),
            ("x-ratelimit-reset-tokens", &reset),
        ]);
        let time = Duration::from_millis(hours * 3_600_000 + minutes * 60_000 + millis);
        let expected = RateLimit {
            kind: RateLimitKind::Tokens,
            window: String::new(),
            limit: Some(limit),
            remaining: Some(remaining),
            used: None,
            resets: Some(When::After(time)),
        };
        prop_assert_eq!(found.unwrap().limits, vec![expected]);
    }
}
