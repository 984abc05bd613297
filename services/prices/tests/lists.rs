//! What a price list may say, and what is refused with where it is and what to do.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use modash_prices::{Cost, Counts, Dimension, PriceList, Reason, Request, Source, Usage, Wanted};

fn parse(text: &str) -> Result<PriceList, String> {
    PriceList::parse([("own.toml", text)]).map_err(|error| error.to_string())
}

/// A price of `m` at `p`, and more lines.
fn price(more: &str) -> String {
    format!("[[price]]\nprovider = \"p\"\nmodel = \"m\"\nprompt = 1\n{more}")
}

fn request<'a>(provider: &'a str, model: &'a str) -> Request<'a> {
    let mut request = Request::new("default", "2026-11-29T12:00:00Z".parse().unwrap());
    request.provider = Some(provider);
    request.model = Some(model);
    request.usage.prompt_tokens = Some(1_000_000);
    request.usage.completion_tokens = Some(0);
    request
}

/// Dollars.
fn cost(list: &PriceList, model: &str) -> Option<u64> {
    list.cost(&request("p", model)).nano_usd.map(|nano| nano / 1_000_000_000)
}

#[test]
fn what_is_wrong_is_refused_with_its_place() {
    let one = |lines: &str| price(lines);
    for (text, expected) in [
        ("x", "own.toml:1: "),
        ("[[price]]\nmodel = 'm'", "own.toml:1: price of \"m\": provider and upstream are missing"),
        ("[[price]]\nprovider = 'p'", "own.toml:1: model is missing"),
        ("[[price]]\nprovider = 'p'\nmodel = 'm'", "has no price; write at least one, or 0"),
        (
            "[[price]]\nprovider = 'P'\nmodel = 'm'\nprompt = 1",
            "own.toml:2: price of \"m\": provider must be in lower case",
        ),
        ("prices = 1", "own.toml:1: prices is not a known key"),
        ("price = 1", "price must be a list of tables"),
        (&one("promt = 2"), "own.toml:5: price of \"m\": promt is not a known key; there are "),
        (&one("completion = -2"), "own.toml:5: price of \"m\": completion is negative"),
        (&one("completion = '2 dollars'"), "completion is not a decimal number"),
        (&one("completion = true"), "completion must be a number"),
        (&one("completion = inf"), "completion is not a decimal number"),
        (&one("completion = 1e12"), "completion is too high"),
        (&one("completion = 0.0000000001"), "completion has more digits than fit"),
        (&one("completion = 0x10"), "completion is not a decimal number"),
        (&one("from = 2026-01-02\nuntil = 2026-01-02"), "ends before it begins"),
        (&one("from = 2026-01-02T00:00:00Z"), "from must be a date"),
        (&one("from = '2026-01-02'"), "from must be a date without quotes"),
        (&one("upstream = 'u'"), "has both provider and upstream"),
        (&one("aliases = 'x*'"), "aliases must not have patterns"),
        (&one("aliases = []"), "aliases must have 1 to 64 elements"),
        (&one("above = [{ prompt = 2 }]"), "above needs prompt_tokens"),
        (&one("above = [{ prompt_tokens = 2, x = 2 }]"), "x is not a known key"),
        (&one("above = [{ prompt_tokens = 2 }, { prompt_tokens = 2 }]"), "ascending order"),
        (&one("tier.default = { factor = 1 }"), "must be the name that responses have"),
        (&one("tier.Batch = { factor = 0.5 }"), "must be the name that responses have"),
        (&one("tier.batch = { factor = 1001 }"), "factor is too high"),
        (&one("tier.batch = { factor = 0.0000001 }"), "factor has more digits than fit"),
        (&one("tier.batch = 3"), "batch must be a table"),
        (
            &one("above = [{ prompt_tokens = 2, prompt = 2 }]\ntier.batch = { prompt = 1 }"),
            "must say factor or above",
        ),
        (
            &one("completion = 0.000000001\ntier.batch = { factor = 0.5 }"),
            "completion times the factor has more digits",
        ),
        (&one("off_peak = 'mon 00:00-01:00'"), "has off_peak without tier.off_peak"),
        (
            &one("tier.off_peak = { factor = 0.5 }"),
            "has off_peak without tier.off_peak, or the reverse",
        ),
        (
            &one("off_peak = 'monday'\ntier.off_peak = { factor = 0.5 }"),
            "off_peak is not of the form",
        ),
        (&one("also_at = { Q = 1 }"), "also_at must be in lower case"),
        (&one("source = ''"), "source must have 1 to 2048 bytes"),
        (&one("note = \"a\\u0007\""), "note must not have control characters"),
        ("[[price]]\nprovider = 'p'\nmodel = ['a', 1]\nprompt = 1", "model must be a string"),
        ("[[price]]\nprovider = 'p'\nmodel = 'a****'\nprompt = 1", "model has more than three *"),
        (
            "[[price]]\nprovider = 'p'\nmodel = 'a{date}{date}'\nprompt = 1",
            "model has {date} more than once",
        ),
    ] {
        let problem = parse(text).map(|list| list.to_string()).unwrap_err();
        assert!(problem.contains(expected), "{text}\ngave {problem}\nnot  {expected}");
    }
}

#[test]
fn limits_are_kept() {
    let long = "m".repeat(257);
    let problem =
        parse(&format!("[[price]]\nprovider = 'p'\nmodel = '{long}'\nprompt = 1")).unwrap_err();
    assert!(problem.contains("model must have 1 to 256 bytes"), "{problem}");
    let many: String =
        (0..20_001).map(|i| format!("[[price]]\nmodel = '{i}'\nprompt = 1\n")).collect();
    let problem = parse(&format!("provider = 'p'\n{many}")).unwrap_err();
    assert!(problem.contains("more than 20000 prices"), "{problem}");
    let problem = parse(&"#".repeat((4 << 20) + 1)).unwrap_err();
    assert!(problem.contains("longer than"), "{problem}");
    let many: String =
        (0..1_001).map(|i| format!("[[price]]\nmodel = 'm{i:04}x*'\nprompt = 1\n")).collect();
    let problem = parse(&format!("provider = 'p'\n{many}")).unwrap_err();
    assert!(problem.contains("more than 1000 patterns"), "{problem}");
}

#[test]
fn a_name_has_one_price_on_a_day() {
    let two = |first: &str, second: &str| {
        let one = |more: &str| format!("[[price]]\nprovider = 'p'\nprompt = 1\n{more}\n");
        parse(&(one(first) + &one(second))).map(drop)
    };
    let same = two("model = 'm'", "model = 'm'").unwrap_err();
    assert!(
        same.contains("own.toml:5: price of \"m\": \"m\" has a price at own.toml:1 too"),
        "{same}"
    );
    assert!(two("model = 'm'\nuntil = 2026-01-01", "model = 'm'\nfrom = 2026-01-01").is_ok());
    assert!(two("model = 'm'\nuntil = 2026-01-02", "model = 'm'\nfrom = 2026-01-01").is_err());
    assert!(two("model = 'm'", "model = 'm'\nfrom = 2026-01-01").is_err());
    assert!(two("model = 'a'\naliases = 'm'", "model = 'm'").is_err());
    assert!(two("model = 'a'\naliases = 'm'", "model = 'b'\naliases = 'm'").is_err());
    let both = two("model = 'gpt-*'", "model = '*-mini'").unwrap_err();
    assert!(both.contains("both match \"gpt-mini\""), "{both}");
    assert!(two("model = 'gpt-*'", "model = 'o*'").is_ok());
    assert!(two("model = 'gpt-*'\nuntil = 2026-01-01", "model = '*'\nfrom = 2026-01-01").is_ok());
    assert!(two("model = 'gpt-{date}'", "model = 'gpt-2025-*'").is_err());
    let alias = two("model = 'x'\naliases = 'gpt-4'", "model = 'gpt-*'").unwrap_err();
    assert!(alias.contains("never matches"), "{alias}");
    assert!(two("model = ['m', 'm']", "model = 'n'").is_err());
}

#[test]
fn prices_of_another_file_count_too() {
    let (one, other) = (price(""), price(""));
    let problem =
        PriceList::parse([("a.toml", &*one), ("b.toml", &*other)]).unwrap_err().to_string();
    assert!(problem.starts_with("b.toml:1: ") && problem.contains("at a.toml:1"), "{problem}");
}

#[test]
fn an_exact_name_wins_over_a_pattern_and_a_pattern_over_an_alias() {
    let list = parse(
        "provider = 'p'\n[[price]]\nmodel = 'gpt-*'\nprompt = 2\n\
         [[price]]\nmodel = 'gpt-5'\nprompt = 1\n\
         [[price]]\nmodel = 'x-1'\naliases = 'x'\nprompt = 3\n\
         [[price]]\nmodel = 'd-{date}'\nprompt = 4",
    )
    .unwrap();
    assert_eq!(cost(&list, "gpt-5"), Some(1));
    assert_eq!(cost(&list, "gpt-5-mini"), Some(2));
    assert_eq!(cost(&list, "x"), Some(3));
    assert_eq!(cost(&list, "d-2026-01-02"), Some(4));
    assert_eq!(cost(&list, "d-20260102"), Some(4));
    assert_eq!(cost(&list, "d-2026"), None);
    assert_eq!(cost(&list, "xx"), None);
}

#[test]
fn an_exact_name_that_holds_no_longer_leaves_its_pattern() {
    let list = parse(
        "provider = 'p'\n[[price]]\nmodel = 'm-*'\nprompt = 2\n[[price]]\nmodel = 'm-1'\nprompt = 1\nuntil = 2026-11-29",
    )
    .unwrap();
    assert_eq!(cost(&list, "m-1"), Some(2));
}

#[test]
fn a_price_for_an_upstream_wins_over_one_for_its_provider() {
    let list =
        parse(&(price("") + "[[price]]\nupstream = 'default'\nmodel = 'm'\nprompt = 7")).unwrap();
    assert_eq!(cost(&list, "m"), Some(7));
}

#[test]
fn the_requested_model_counts_where_the_response_s_has_no_price() {
    let list = parse(&price("also_at = { azure = 1, openrouter = 1 }")).unwrap();
    for (provider, expected) in [("p", Some(1_000_000_000)), ("azure", None), ("openrouter", None)]
    {
        let mut request = request(provider, "other");
        request.model_requested = Some("m");
        assert_eq!(list.cost(&request).nano_usd, expected, "{provider}");
    }
}

#[test]
fn a_users_prices_win_whichever_name_they_have() {
    let mine = parse("version = 'mine'\n[[price]]\nprovider = 'openai'\nmodel = 'gpt-4o'\nprompt = 9\ncompletion = 9").unwrap();
    let list = PriceList::built_in().overlaid_by(&mine);
    assert_eq!(list.version(), format!("{}+mine", PriceList::built_in().version()));
    let mut request = request("openai", "gpt-4o-2024-08-06");
    assert_eq!(list.cost(&request).nano_usd, Some(2_500_000_000));
    request.model_requested = Some("gpt-4o");
    assert_eq!(list.cost(&request).nano_usd, Some(9_000_000_000));
}

#[test]
fn the_version_of_a_list_without_one_is_a_digest_of_it() {
    let version = |more: &str| parse(&price(more)).unwrap().version().to_owned();
    assert_eq!(version("").len(), 12);
    assert_eq!(version(""), version(""));
    assert_ne!(version(""), version("completion = 1"));
    // Where one file ends is part of it.
    let split =
        |a: &str, b: &str| PriceList::parse([("a", a), ("b", b)]).unwrap().version().to_owned();
    assert_ne!(split("# a", ""), split("", "# a"));
}

#[test]
fn a_step_and_a_tier_keep_what_they_do_not_change() {
    let list = parse(&price(
        "completion = 2\nabove = [{ prompt_tokens = 10, prompt = 5 }]\n\
         tier.batch = { factor = 0.5, completion = 7 }\ntier.flex = { prompt = 3, above = [] }",
    ))
    .unwrap();
    let nano = |tier: Option<&str>, prompt: u64| {
        let mut request = request("p", "m");
        request.service_tier = tier;
        request.usage.prompt_tokens = Some(prompt);
        request.usage.completion_tokens = Some(1);
        list.cost(&request).nano_usd
    };
    assert_eq!(nano(None, 10), Some(10_000 + 2_000));
    assert_eq!(nano(None, 11), Some(55_000 + 2_000));
    assert_eq!(nano(Some("batch"), 10), Some(5_000 + 7_000));
    assert_eq!(nano(Some("batch"), 11), Some(27_500 + 1_000));
    assert_eq!(nano(Some("flex"), 11), Some(33_000 + 2_000));
    assert_eq!(nano(Some("priority"), 11), None);
}

#[test]
fn what_is_reported_wins_and_a_report_that_is_no_cost_does_not() {
    let list = parse(&price("")).unwrap();
    let mut request = request("p", "m");
    for (reported, nano, source) in [
        (0.25, 250_000_000, Source::Upstream),
        (-1.0, 1_000_000_000, Source::Table),
        (f64::NAN, 1_000_000_000, Source::Table),
        (f64::INFINITY, 1_000_000_000, Source::Table),
    ] {
        request.upstream_cost_usd = Some(reported);
        let Cost { nano_usd, source: found, .. } = list.cost(&request);
        assert_eq!((nano_usd, found), (Some(nano), source), "{reported}");
    }
    request.counts = Counts::NotDue;
    assert_eq!(list.cost(&request).nano_usd, Some(0));
}

#[test]
fn a_review_says_what_has_no_price_and_what_matches_nothing() {
    let own = parse("[[price]]\nupstream = 'gpu'\nmodel = 'a'\nprompt = 0\n[[price]]\nupstream = 'gpu'\nmodel = 'b'\nprompt = 0").unwrap();
    let list = PriceList::built_in().overlaid_by(&own);
    let seen = [("gpu", None, "a"), ("gpu", None, "c"), ("default", Some("openai"), "gpt-4o")];
    let started_at = "2026-11-29T12:00:00Z".parse().unwrap();
    let review = list.review(seen.map(|(upstream, provider, model)| Wanted {
        provider,
        upstream,
        model: Some(model),
        model_requested: None,
        started_at,
    }));
    assert_eq!(review.without_price, [1]);
    let unmatched: Vec<_> = review.unmatched.iter().flat_map(|entry| entry.models()).collect();
    assert_eq!(unmatched, ["b"]);
    assert_eq!((review.unmatched[0].file(), review.unmatched[0].line()), ("own.toml", 5));
}

#[test]
fn an_estimate_says_what_it_leaves_out() {
    let list = parse(&price("completion = 2")).unwrap();
    let mut request = request("p", "m");
    (request.counts, request.usage.prompt_tokens) = (Counts::Estimated, None);
    request.usage.completion_tokens = Some(5);
    let cost = list.cost(&request);
    assert_eq!((cost.nano_usd, cost.source), (Some(10_000), Source::Estimated));
    assert_eq!(cost.reason, Some(Reason::NoCount(Dimension::Prompt)));
    request.counts = Counts::Reported;
    let cost = list.cost(&request);
    assert_eq!((cost.nano_usd, cost.reason), (None, Some(Reason::NoCount(Dimension::Prompt))));
}

#[test]
fn a_cost_that_is_too_high_is_unknown_and_not_cut() {
    let list = parse("[[price]]\nprovider = 'p'\nmodel = 'm'\nrequest = 18446").unwrap();
    let mut request = request("p", "m");
    request.usage = Usage::default();
    assert_eq!(list.cost(&request).nano_usd, Some(18_446_000_000_000));
    let list = parse("[[price]]\nprovider = 'p'\nmodel = 'm'\nimage = 18446\nrequest = 0").unwrap();
    request.usage.images = Some(1_000_000);
    assert_eq!(list.cost(&request).nano_usd, Some(18_446_000_000_000_000_000));
    for images in [1_000_041, u64::MAX] {
        request.usage.images = Some(images);
        assert_eq!(list.cost(&request).reason, Some(Reason::TooHigh), "{images}");
    }
}
