//! The cases of `golden.txt`: the arithmetic of each is evaluated, and both the cost that
//! is written there and the one that the price list gives must be its result.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::BTreeSet;
use std::time::Duration;

use modash_prices::{Cost, Counts, PriceList, Request, Source};

const CASES: &str = include_str!("golden.txt");

/// A user's own prices, for the cases of local servers.
const OWN: &str = include_str!("golden_own.toml");

/// Cases that the file must have at least.
const LEAST: usize = 120;

struct Case<'a> {
    line: usize,
    request: Request<'a>,
    sum: &'a str,
    nano_usd: Option<u64>,
    source: Source,
    saving: Option<i64>,
}

fn cases() -> Vec<Case<'static>> {
    let lines =
        (1..).zip(CASES.lines()).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(line, text)| case(line, text)).collect()
}

fn case(line: usize, text: &'static str) -> Case<'static> {
    let columns: Vec<&str> = text.split('|').map(str::trim).collect();
    let [provider, model, facts, sum, result] = columns[..] else { panic!("line {line}: {text}") };
    let mut request = Request::new("default", "2026-11-29T12:00:00Z".parse().unwrap());
    request.provider = (provider != "-").then_some(provider);
    request.model = (model != "-").then_some(model);
    let mut saving = None;
    for fact in facts.split_whitespace() {
        let (key, value) = fact.split_once('=').unwrap();
        let count = || Some(value.replace('_', "").parse().unwrap());
        let usage = &mut request.usage;
        match key {
            "in" => usage.prompt_tokens = count(),
            "cached" => usage.cached_prompt_tokens = count(),
            "write" => usage.cache_write_tokens = count(),
            "write_1h" => usage.cache_write_1h_tokens = count(),
            "write_12h" => usage.cache_write_12h_tokens = count(),
            "out" => usage.completion_tokens = count(),
            "reasoning" => usage.reasoning_tokens = count(),
            "audio_in" => usage.audio_prompt_tokens = count(),
            "audio_cached" => usage.cached_audio_prompt_tokens = count(),
            "audio_out" => usage.audio_completion_tokens = count(),
            "image_in" => usage.image_prompt_tokens = count(),
            "image_cached" => usage.cached_image_prompt_tokens = count(),
            "image_out" => usage.image_completion_tokens = count(),
            "total" => usage.total_tokens = count(),
            "billed_in" => usage.billed_prompt_tokens = count(),
            "billed_out" => usage.billed_completion_tokens = count(),
            "images" => usage.images = count(),
            "characters" => usage.characters = count(),
            "units" => usage.search_units = Some(value.parse().unwrap()),
            "audio_s" => usage.billed_audio = Some(Duration::from_secs_f64(value.parse().unwrap())),
            "took_s" => request.duration = Some(Duration::from_secs_f64(value.parse().unwrap())),
            "tier" => request.service_tier = Some(value),
            "requested" => request.model_requested = Some(value),
            "upstream" => request.upstream = value,
            "at" => request.started_at = value.parse().unwrap(),
            "reported" => request.upstream_cost_usd = Some(value.parse().unwrap()),
            "saving" => saving = Some(value.replace('_', "").parse().unwrap()),
            "counts" => {
                request.counts = match value {
                    "lower_bound" => Counts::LowerBound,
                    "estimated" => Counts::Estimated,
                    "not_reported" => Counts::NotReported,
                    "not_due" => Counts::NotDue,
                    _ => panic!("line {line}: {value}"),
                }
            }
            _ => panic!("line {line}: {key}"),
        }
    }
    let (nano_usd, source) = match result.split_once(' ') {
        None if result == "unknown" => (None, Source::Unknown),
        None => (Some(result), Source::Table),
        Some((nano, "reported")) => (Some(nano), Source::Upstream),
        Some((nano, "estimated")) => (Some(nano), Source::Estimated),
        _ => panic!("line {line}: {result}"),
    };
    let nano_usd = nano_usd.map(|nano| nano.replace('_', "").parse().unwrap());
    Case { line, request, sum, nano_usd, source, saving }
}

fn cost(case: &Case<'_>) -> Cost {
    let own = PriceList::parse([("golden_own.toml", OWN)]).unwrap();
    PriceList::built_in().overlaid_by(&own).cost(&case.request)
}

#[test]
fn every_case_costs_what_its_arithmetic_says() {
    let mut wrong = Vec::new();
    for case in cases() {
        let cost = cost(&case);
        let expected =
            (case.nano_usd, case.source, case.saving.unwrap_or(cost.cache_saving_nano_usd));
        if (cost.nano_usd, cost.source, cost.cache_saving_nano_usd) != expected {
            wrong.push(format!("line {}: expected {expected:?}, got {cost:?}", case.line));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_arithmetic_of_every_case_comes_to_its_cost() {
    for case in cases() {
        match case.nano_usd {
            None => assert_eq!(case.sum, "-", "line {}", case.line),
            Some(nano) => {
                // Microdollars: dollars per million tokens times tokens.
                let Ratio(over, under) = evaluate(case.sum)
                    .unwrap_or_else(|| panic!("line {}: {}", case.line, case.sum));
                let rounded = (over * 2000 + under) / (under * 2);
                assert_eq!(rounded, u128::from(nano), "line {}: {}", case.line, case.sum);
            }
        }
    }
}

#[test]
fn there_are_enough_cases_and_none_twice() {
    let cases = cases();
    assert!(cases.len() >= LEAST, "{}", cases.len());
    let lines: Vec<&str> =
        CASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len());
}

/// Over and under the line; not negative.
#[derive(Clone, Copy)]
struct Ratio(u128, u128);

/// Sums of products of decimals.
fn evaluate(sum: &str) -> Option<Ratio> {
    sum.split('+').try_fold(Ratio(0, 1), |total, product| {
        let product = product.split('*').try_fold(Ratio(1, 1), |product, number| {
            let number = decimal(number.trim())?;
            Some(Ratio(product.0 * number.0, product.1 * number.1))
        })?;
        Some(Ratio(total.0 * product.1 + product.0 * total.1, total.1 * product.1))
    })
}

/// `1_000`, `0.30`, `7/3600`.
fn decimal(text: &str) -> Option<Ratio> {
    if let Some((over, under)) = text.split_once('/') {
        let (over, under) = (decimal(over.trim())?, decimal(under.trim())?);
        return Some(Ratio(over.0 * under.1, over.1 * under.0));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}").replace('_', "");
    Some(Ratio(digits.parse().ok()?, 10_u128.pow(u32::try_from(fraction.len()).ok()?)))
}
