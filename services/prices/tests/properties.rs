//! What holds for every price list, and every request.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::sync::LazyLock;
use std::time::Duration;

use modash_prices::{Dimension, Entry, PriceList, Request, Scope, Usage, import};
use proptest::prelude::*;
use proptest::sample::{Index, select};

static BUILT_IN: LazyLock<PriceList> = LazyLock::new(PriceList::built_in);

const TIERS: [Option<&str>; 6] =
    [None, Some("batch"), Some("flex"), Some("priority"), Some("fast"), Some("ultrafast")];

/// A request for a model of the built-in list, with counts that agree.
fn requests() -> impl Strategy<Value = (Index, Index, Option<&'static str>, Usage)> {
    let counts = prop::collection::vec(prop_oneof![3 => 0..3000_u64, 1 => 0..400_000_u64], 12);
    let usage = counts.prop_map(|counts| {
        let [
            text,
            cached,
            write,
            hour,
            audio,
            image,
            out,
            reasoning,
            audio_out,
            image_out,
            units,
            millis,
        ] = counts[..]
        else {
            unreachable!("twelve")
        };
        Usage {
            prompt_tokens: Some(text + cached + write + hour + audio + image),
            cached_prompt_tokens: Some(cached),
            cache_write_tokens: Some(write + hour),
            cache_write_1h_tokens: Some(hour),
            audio_prompt_tokens: Some(audio),
            cached_audio_prompt_tokens: Some(0),
            image_prompt_tokens: Some(image),
            cached_image_prompt_tokens: Some(0),
            completion_tokens: Some(out + reasoning + audio_out + image_out),
            reasoning_tokens: Some(reasoning),
            audio_completion_tokens: Some(audio_out),
            image_completion_tokens: Some(image_out),
            search_units: Some(f64::from(u32::try_from(units).unwrap())),
            billed_audio: Some(Duration::from_millis(millis)),
            characters: Some(text),
            images: Some(units),
            ..Usage::default()
        }
    });
    (any::<Index>(), any::<Index>(), prop_oneof![2 => Just(None), 1 => select(&TIERS[..])], usage)
}

/// Only the counts that an entry prices: others would make it unknown.
fn priced(entry: &Entry, mut usage: Usage) -> Usage {
    let text = entry.to_string();
    let has = |dimension: Dimension| text.contains(&format!("\n{} = ", dimension.key()));
    if !has(Dimension::Prompt) {
        usage = Usage { completion_tokens: usage.completion_tokens, ..unpriced_prompt(usage) };
    }
    if !has(Dimension::Completion) {
        usage.completion_tokens = None;
        usage.reasoning_tokens = None;
        usage.audio_completion_tokens = None;
        usage.image_completion_tokens = None;
    }
    let time = [Dimension::AudioSecond, Dimension::AudioMinute, Dimension::AudioHour];
    usage.billed_audio = usage.billed_audio.filter(|_| time.into_iter().any(has));
    usage.search_units = usage.search_units.filter(|_| has(Dimension::SearchUnit));
    usage.characters = usage.characters.filter(|_| has(Dimension::Character));
    usage.images = usage.images.filter(|_| has(Dimension::Image));
    usage
}

fn unpriced_prompt(usage: Usage) -> Usage {
    Usage {
        prompt_tokens: None,
        cached_prompt_tokens: None,
        cache_write_tokens: None,
        cache_write_1h_tokens: None,
        audio_prompt_tokens: None,
        image_prompt_tokens: None,
        ..usage
    }
}

/// A request for one of an entry's models; those of patterns get a name that matches.
fn request<'a>(
    entry: &'a Entry,
    model: &'a str,
    tier: Option<&'a str>,
    usage: Usage,
) -> Request<'a> {
    let mut request = Request::new("default", "2026-11-27T12:00:00Z".parse().unwrap());
    if let Scope::Provider(provider) = entry.scope() {
        request.provider = Some(provider);
    }
    request.model = Some(model);
    request.service_tier = tier;
    request.usage = usage;
    request
}

fn entry_and_model(entry: Index, model: Index) -> (&'static Entry, String) {
    let entries: Vec<&Entry> = BUILT_IN.entries().collect();
    let entry = *entry.get(&entries);
    let models: Vec<&str> = entry.models().collect();
    let name = model.get(&models).replace("{date}", "20260102").replace('*', "any");
    (entry, name)
}

fn nano(request: &Request<'_>) -> Option<u64> {
    BUILT_IN.cost(request).nano_usd
}

/// More of one thing, and of what it is a part of.
type More = fn(&mut Usage, u64);

const MORE: [(&str, More); 9] = [
    ("prompt", |usage, more| add(&mut usage.prompt_tokens, more)),
    ("cached", |usage, more| {
        add(&mut usage.prompt_tokens, more);
        add(&mut usage.cached_prompt_tokens, more);
    }),
    ("write", |usage, more| {
        add(&mut usage.prompt_tokens, more);
        add(&mut usage.cache_write_tokens, more);
    }),
    ("write for an hour", |usage, more| {
        add(&mut usage.prompt_tokens, more);
        add(&mut usage.cache_write_tokens, more);
        add(&mut usage.cache_write_1h_tokens, more);
    }),
    ("audio", |usage, more| {
        add(&mut usage.prompt_tokens, more);
        add(&mut usage.audio_prompt_tokens, more);
    }),
    ("completion", |usage, more| add(&mut usage.completion_tokens, more)),
    ("reasoning", |usage, more| {
        add(&mut usage.completion_tokens, more);
        add(&mut usage.reasoning_tokens, more);
    }),
    ("characters", |usage, more| add(&mut usage.characters, more)),
    ("images", |usage, more| add(&mut usage.images, more)),
];

fn add(count: &mut Option<u64>, more: u64) {
    *count = count.map(|count| count + more);
}

/// Prices of all dimensions of tokens, as a list of one model.
fn token_prices() -> impl Strategy<Value = Vec<(Dimension, u64)>> {
    let tokens: Vec<Dimension> = Dimension::ALL
        .into_iter()
        .filter(|dimension| {
            dimension.units() > 1
                && *dimension != Dimension::Character
                && *dimension != Dimension::ThinkingCompletion
        })
        .collect();
    prop::collection::vec(0..100_000_u64, tokens.len())
        .prop_map(move |prices| tokens.iter().copied().zip(prices).collect())
}

fn one_model(prices: &[(Dimension, u64)]) -> PriceList {
    // In thousandths of a dollar.
    let line = |(dimension, price): &(Dimension, u64)| {
        format!("{} = {}.{:03}\n", dimension.key(), price / 1000, price % 1000)
    };
    let lines: String = prices.iter().map(line).collect();
    PriceList::parse([("p", &*format!("[[price]]\nprovider = \"p\"\nmodel = \"m\"\n{lines}"))])
        .unwrap()
}

fn cost_of(list: &PriceList, usage: Usage) -> u64 {
    let mut request = Request::new("default", "2026-11-27T12:00:00Z".parse().unwrap());
    (request.provider, request.model, request.usage) = (Some("p"), Some("m"), usage);
    list.cost(&request).nano_usd.unwrap()
}

/// Text in which the words of price lists come up often.
fn almost_lists() -> impl Strategy<Value = String> {
    let words = select(vec![
        "[[price]]\n",
        "model = ",
        "provider = \"p\"\n",
        "upstream = 'u'\n",
        "\"gpt-{date}\"\n",
        "'a*'\n",
        "prompt = ",
        "1.5\n",
        "-1\n",
        "1e9\n",
        "1e-9\n",
        "above = [{ prompt_tokens = 5, prompt = 2 }]\n",
        "above = []\n",
        "tier.batch = ",
        "{ factor = 0.5 }\n",
        "{ prompt = 3, above = [] }\n",
        "off_peak = ['mon-fri 00:00-01:00']\n",
        "tier.off_peak = {}\n",
        "from = 2026-01-01\n",
        "until = 2026-02-30\n",
        "also_at = { q = 1.1 }\n",
        "aliases = ['x']\n",
        "date = 2026-01-01\n",
        "[price]\n",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'''",
        "=",
        ".",
        ",",
        "\n",
        "\u{0}",
        "ü",
        "completion = 0x1\n",
        "version = 'v'\n",
        "[tier]\n",
        "[price.tier.batch]\n",
        "[[price.above]]\n",
        "inf",
        "nan",
        "18446744073709551616\n",
        "per_hour = 2\n",
    ]);
    prop::collection::vec(words, 0..40).prop_map(|words| words.concat())
}

/// A price list that is whole.
fn lists() -> impl Strategy<Value = String> {
    let optional =
        |text: &'static str| any::<bool>().prop_map(move |given| if given { text } else { "" });
    let lines = (
        select(vec!["provider = \"p\"\n", "upstream = \"ü\\\"\"\n"]),
        select(vec!["\"m\"", "['m', 'm-{date}', 'x*']", "'*'"]),
        optional("aliases = ['a', \"b'\\\\\"]\n"),
        optional("from = 2026-01-01\n"),
        optional("until = 2026-02-03\n"),
        optional("note = 'n'\ndate = 2026-01-01\nsource = \"\\\"'\"\n"),
        select(vec![
            "",
            "above = [{ prompt_tokens = 9, prompt = 3 }]\n",
            "above = [{ prompt_tokens = 9, hour = 1 }, { prompt_tokens = 10, completion = 4 }]\n",
        ]),
        select(vec![
            "",
            "tier.batch = { factor = 0.5 }\n",
            "tier.\"x y\" = { factor = 2, request = 1, above = [{ prompt_tokens = 4, image = 7 }] }\n",
            "tier.flex = { above = [], prompt = 0 }\ntier.a = { factor = 0 }\n",
        ]),
        optional(
            "off_peak = ['mon 00:00-24:00', 'tue-sun 01:02-03:04']\ntier.off_peak = { factor = 0.25 }\n",
        ),
        optional("also_at = { q = 1.1, r = 0 }\n"),
    );
    (lines, prop::collection::btree_map(0..22_usize, 0..100_000_u32, 1..22)).prop_map(
        |(l, prices)| {
            let prices = prices.into_iter().map(|(dimension, price)| {
                format!("{} = {}\n", Dimension::ALL[dimension].key(), f64::from(price) / 1000.0)
            });
            let text =
                [l.0, "model = ", l.1, "\n", l.2, l.3, l.4, l.5, l.6, l.7, l.8, l.9].concat();
            format!("[[price]]\n{text}{}", prices.collect::<String>())
                .replace("hour = 1 }", "per_hour = 1 }")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn more_of_anything_never_costs_less((entry, model, tier, usage) in requests(), which in select(&MORE[..]), more in 1..50_000_u64) {
        let (entry, model) = entry_and_model(entry, model);
        let usage = priced(entry, usage);
        let mut larger = usage;
        which.1(&mut larger, more);
        let before = nano(&request(entry, &model, tier, usage));
        let after = nano(&request(entry, &model, tier, larger));
        prop_assert_eq!(before.is_some(), after.is_some(), "{} {}", which.0, entry);
        prop_assert!(before <= after, "{} {:?} {:?} {}", which.0, before, after, entry);
    }

    #[test]
    fn the_saving_is_what_the_prompt_would_have_cost_without_a_cache((entry, model, tier, usage) in requests()) {
        let (entry, model) = entry_and_model(entry, model);
        let usage = priced(entry, usage);
        let plain = Usage { cached_prompt_tokens: None, cache_write_tokens: None, cache_write_1h_tokens: None, ..usage };
        let with = BUILT_IN.cost(&request(entry, &model, tier, usage));
        let without = BUILT_IN.cost(&request(entry, &model, tier, plain));
        let (Some(with_nano), Some(without_nano)) = (with.nano_usd, without.nano_usd) else { return Ok(()) };
        let saved = i128::from(without_nano) - i128::from(with_nano);
        prop_assert!((saved - i128::from(with.cache_saving_nano_usd)).abs() <= 1, "{:?} {:?} {}", with, without, entry);
        prop_assert_eq!(without.cache_saving_nano_usd, 0);
    }

    #[test]
    fn a_cost_is_the_sum_of_its_parts_but_for_one_rounding(prices in token_prices(), counts in prop::collection::vec(0..100_000_u64, 9)) {
        let list = one_model(&prices);
        let [text, cached, write, hour, audio, image, out, reasoning, audio_out] = counts[..] else { unreachable!("nine") };
        let zero = Usage { prompt_tokens: Some(0), completion_tokens: Some(0), image_prompt_tokens: Some(0), image_completion_tokens: Some(0), ..Usage::default() };
        let whole = Usage {
            prompt_tokens: Some(text + cached + write + hour + audio + image), cached_prompt_tokens: Some(cached),
            cache_write_tokens: Some(write + hour), cache_write_1h_tokens: Some(hour), audio_prompt_tokens: Some(audio),
            image_prompt_tokens: Some(image), cached_audio_prompt_tokens: Some(0), cached_image_prompt_tokens: Some(0),
            completion_tokens: Some(out + reasoning + audio_out), reasoning_tokens: Some(reasoning), audio_completion_tokens: Some(audio_out),
            ..zero
        };
        let parts = [
            Usage { prompt_tokens: Some(text), ..zero },
            Usage { prompt_tokens: Some(cached), cached_prompt_tokens: Some(cached), ..zero },
            Usage { prompt_tokens: Some(write), cache_write_tokens: Some(write), ..zero },
            Usage { prompt_tokens: Some(hour), cache_write_1h_tokens: Some(hour), ..zero },
            Usage { prompt_tokens: Some(audio), audio_prompt_tokens: Some(audio), ..zero },
            Usage { prompt_tokens: Some(image), image_prompt_tokens: Some(image), ..zero },
            Usage { completion_tokens: Some(out), ..zero },
            Usage { completion_tokens: Some(reasoning), reasoning_tokens: Some(reasoning), ..zero },
            Usage { completion_tokens: Some(audio_out), audio_completion_tokens: Some(audio_out), ..zero },
        ];
        // Prices in thousandths of a dollar by the million are whole nano-dollars: no
        // part is rounded, so the sum is exact.
        let sum: u64 = parts.into_iter().map(|part| cost_of(&list, part)).sum();
        prop_assert_eq!(cost_of(&list, whole), sum);
        // By steps of a femto-dollar each part is off by half a nano-dollar at most.
        let fine: Vec<String> = prices.iter().map(|(dimension, price)| format!("{} = 0.00000{price:04}\n", dimension.key(), price = price % 10_000)).collect();
        let list = PriceList::parse([("p", &*format!("[[price]]\nprovider = \"p\"\nmodel = \"m\"\n{}", fine.concat()))]).unwrap();
        let sum: u64 = parts.into_iter().map(|part| cost_of(&list, part)).sum();
        prop_assert!(cost_of(&list, whole).abs_diff(sum) <= 5);
    }

    #[test]
    fn counts_of_any_size_and_kind_do_not_panic(
        (entry, model) in (any::<Index>(), any::<Index>()), tier in select(&TIERS[..]), counts in prop::collection::vec(prop::option::of(any::<u64>()), 19), units in prop::option::of(any::<f64>()), cost in prop::option::of(any::<f64>()), seconds in prop::option::of(any::<u32>()),
    ) {
        let (entry, model) = entry_and_model(entry, model);
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, _] = counts[..] else { unreachable!("nineteen") };
        let usage = Usage {
            prompt_tokens: a, cached_prompt_tokens: b, cache_write_tokens: c, cache_write_1h_tokens: d, cache_write_12h_tokens: e,
            completion_tokens: f, reasoning_tokens: g, audio_prompt_tokens: h, cached_audio_prompt_tokens: i, audio_completion_tokens: j,
            image_prompt_tokens: k, cached_image_prompt_tokens: l, image_completion_tokens: m, total_tokens: n, billed_prompt_tokens: o,
            billed_completion_tokens: p, images: q, billed_audio: seconds.map(|s| Duration::from_secs(s.into())), characters: r, search_units: units,
        };
        let mut request = request(entry, &model, tier, usage);
        request.upstream_cost_usd = cost;
        request.duration = Some(Duration::MAX);
        let _ = BUILT_IN.cost(&request);
    }

    #[test]
    fn a_printed_list_reads_back_as_the_same(text in lists()) {
        match PriceList::parse([("a", &*text)]) {
            Ok(list) => same_again(&list),
            // The pattern of all names shadows the aliases.
            Err(error) => prop_assert!(error.problem.contains("never matches"), "{}\n{}", error, text),
        }
    }

    #[test]
    fn almost_a_list_does_not_panic(text in almost_lists()) {
        if let Ok(list) = PriceList::parse([("a", &*text)]) {
            same_again(&list);
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = PriceList::parse([("a", &*text)]);
        let _ = import(&text);
    }

    #[test]
    fn no_damage_to_a_list_panics(file in any::<Index>(), at in any::<Index>(), length in 0..40_usize, with in almost_lists()) {
        let (_, text) = file.get(PriceList::built_in_files());
        let at = text.floor_char_boundary(at.index(text.len()));
        let start = text.floor_char_boundary(at.saturating_sub(400));
        let end = text.ceil_char_boundary((at + length).min(text.len()));
        let rest = text.floor_char_boundary((end + 400).min(text.len()));
        let damaged = [&text[start..at], &with, &text[end..rest]].concat();
        if let Ok(list) = PriceList::parse([("a", &*damaged)]) {
            same_again(&list);
        }
    }
}

fn same_again(list: &PriceList) {
    let printed = list.to_string();
    let again =
        PriceList::parse([("b", &*printed)]).unwrap_or_else(|error| panic!("{error}\n{printed}"));
    assert_eq!(list.version(), again.version());
    assert_eq!(list.entries().count(), again.entries().count());
    for (one, other) in list.entries().zip(again.entries()) {
        assert!(one.equals(other), "{one}\n{other}");
    }
}

#[test]
fn the_built_in_list_reads_back_as_the_same() {
    same_again(&BUILT_IN);
}
