//! What requests cost: from the price list at ingest to every answer.

use std::{collections::HashMap, path::PathBuf};

use modash_analytics::Prices;
use modash_proto::v1::{
    Cost, CostSource, Hello, RecentRequestsRequest, RequestCost, UsageEvent, UsageSource,
    UsageSummaryRequest, stream_usage_request::Message as Up,
};
use modash_test_support::{TestDatabase, event, eventually};
use sqlx::Row as _;

use crate::harness::{PATIENCE, TestAnalytics, TestProxy, event_at};

/// A file of prices, gone with the value.
pub(crate) struct PricesFile {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl PricesFile {
    pub(crate) fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("prices.toml");
        std::fs::write(&path, text).unwrap();
        Self { path, _directory: directory }
    }

    pub(crate) fn read(&self) -> Prices {
        Prices::from_file(self.path.clone()).unwrap()
    }
}

/// The costs of stored requests by their ids.
pub(crate) async fn of_rows(analytics: &TestAnalytics) -> HashMap<String, RequestCost> {
    let rows = sqlx::query(
        "SELECT event_id::text, cost_source, cost_nano_usd, cache_saving_nano_usd,
                coalesce(r.provider, k.provider) AS provider,
                coalesce(r.price_version, k.price_version) AS price_version
         FROM requests r LEFT JOIN kinds k USING (kind_id)",
    )
    .fetch_all(&mut analytics.connection().await)
    .await
    .unwrap();
    let cost = |row: &sqlx::postgres::PgRow| {
        let cost = RequestCost {
            source: row.get::<i16, _>(1).into(),
            nano_usd: row.get::<Option<i64>, _>(2).map(i64::cast_unsigned),
            cache_saving_nano_usd: row.get(3),
            provider: row.get(4),
            price_version: row.get(5),
        };
        (row.get(0), cost)
    };
    rows.iter().map(cost).collect()
}

/// A proxy whose upstream `default` is Anthropic, `openai` OpenAI and `local` neither.
async fn proxy(analytics: &TestAnalytics) -> TestProxy {
    let proxy = TestProxy::connect_silent(analytics).await;
    let hosts =
        [("default", "api.anthropic.com"), ("local", "127.0.0.1"), ("openai", "api.openai.com")];
    let hello = Hello {
        replica_id: "priced".into(),
        next_sequence: 1,
        upstream_hosts: hosts.map(|(name, host)| (name.to_owned(), host.to_owned())).into(),
        ..Hello::default()
    };
    proxy.say(Up::Hello(hello)).await;
    proxy
}

/// 1,000 prompt tokens, of which 600 came from a cache, and 200 completion tokens.
fn asked(model: &str, upstream: &str) -> UsageEvent {
    UsageEvent {
        replica_id: "priced".into(),
        upstream: upstream.into(),
        dialect: "anthropic-messages".into(),
        model_requested: Some(model.into()),
        model: Some(model.into()),
        usage_source: UsageSource::Upstream.into(),
        prompt_tokens: Some(1_000),
        cached_prompt_tokens: Some(600),
        completion_tokens: Some(200),
        total_tokens: Some(1_200),
        ..event()
    }
}

/// The same without its counts.
fn uncounted(usage_source: UsageSource) -> UsageEvent {
    UsageEvent {
        usage_source: usage_source.into(),
        prompt_tokens: None,
        cached_prompt_tokens: None,
        completion_tokens: None,
        total_tokens: None,
        ..asked("claude-sonnet-4-5", "default")
    }
}

async fn store(analytics: &TestAnalytics, events: Vec<UsageEvent>) {
    let mut proxy = proxy(analytics).await;
    let last = proxy.send(events).await;
    assert_eq!(proxy.acknowledged(last).await, []);
}

/// What costs another price than text, or is no token.
#[tokio::test]
async fn images_audio_of_a_cache_and_characters_are_priced_or_unknown() {
    let analytics = TestAnalytics::start().await;
    let drawn = |image_prompt, image_completion| UsageEvent {
        cached_prompt_tokens: None,
        prompt_tokens: Some(450),
        image_prompt_tokens: image_prompt,
        completion_tokens: Some(1_200),
        image_completion_tokens: image_completion,
        total_tokens: Some(1_650),
        images: Some(1),
        ..asked("gpt-image-1.5", "openai")
    };
    let spoken = |characters| UsageEvent {
        model_requested: Some("tts-1".into()),
        model: Some("tts-1".into()),
        upstream: "openai".into(),
        characters,
        ..uncounted(UsageSource::NotReported)
    };
    let heard = |cached_audio| UsageEvent {
        prompt_tokens: Some(300),
        audio_prompt_tokens: Some(200),
        image_prompt_tokens: Some(0),
        cached_prompt_tokens: Some(128),
        cached_audio_prompt_tokens: cached_audio,
        cached_image_prompt_tokens: Some(0),
        completion_tokens: Some(400),
        audio_completion_tokens: Some(350),
        image_completion_tokens: Some(0),
        total_tokens: Some(700),
        ..asked("gpt-realtime", "openai")
    };
    let events = vec![
        // 50 * 5 + 400 * 8 + 200 * 10 + 1000 * 32 dollars for a million.
        drawn(Some(400), Some(1_000)),
        // 450 * 5 + 1200 * 10.
        drawn(Some(0), Some(0)),
        drawn(Some(400), None),
        drawn(None, Some(1_000)),
        // 1200 * 15.
        spoken(Some(1_200)),
        spoken(None),
        // 72 * 4 + 28 * 0.40 + 100 * 32 + 100 * 0.40 + 50 * 16 + 350 * 64.
        heard(Some(100)),
        heard(None),
    ];
    store(&analytics, events.clone()).await;
    let costs = of_rows(&analytics).await;
    let found: Vec<_> = events.iter().map(|event| costs[&event.event_id].nano_usd).collect();
    let (drawn, text, spoken, heard) = (37_450_000, 14_250_000, 18_000_000, 26_739_200);
    let known = [Some(drawn), Some(text), None, None, Some(spoken), None, Some(heard), None];
    assert_eq!(found, known);
}

#[tokio::test]
async fn each_request_has_its_cost_and_says_where_it_comes_from() {
    let analytics = TestAnalytics::start().await;
    let broke_off = UsageSource::UpstreamPartial.into();
    let events = vec![
        // 400 * 3 + 600 * 0.3 + 200 * 15 dollars for a million; 600 * 2.7 saved.
        asked("claude-sonnet-4-5", "default"),
        UsageEvent { upstream_cost_usd: Some(0.25), ..asked("claude-sonnet-4-5", "default") },
        UsageEvent { usage_source: broke_off, ..asked("claude-sonnet-4-5", "default") },
        asked("claude-of-the-future", "default"),
        asked("claude-sonnet-4-5", "local"),
        // 700 * 3 + 100 * 3.75 + 200 * 6 + 200 * 15; writing cost 75 and 600 more.
        UsageEvent {
            cached_prompt_tokens: None,
            cache_write_tokens: Some(300),
            cache_write_1h_tokens: Some(200),
            ..asked("claude-sonnet-4-5", "default")
        },
        uncounted(UsageSource::NotDue),
        uncounted(UsageSource::NotReported),
    ];
    store(&analytics, events.clone()).await;
    let costs = of_rows(&analytics).await;
    let found = |at: usize| {
        let cost = &costs[&events[at].event_id];
        (cost.source(), cost.nano_usd, cost.cache_saving_nano_usd)
    };
    assert_eq!(found(0), (CostSource::Table, Some(4_380_000), Some(1_620_000)));
    assert_eq!(found(1), (CostSource::Upstream, Some(250_000_000), Some(1_620_000)));
    assert_eq!(found(2), (CostSource::Estimated, Some(4_380_000), Some(1_620_000)));
    assert_eq!(found(3), (CostSource::Unknown, None, None), "a model without a price");
    assert_eq!(found(4), (CostSource::Unknown, None, None), "a server of one's own");
    assert_eq!(found(5), (CostSource::Table, Some(6_675_000), Some(-675_000)));
    assert_eq!(found(6), (CostSource::NotDue, None, None));
    assert_eq!(found(7), (CostSource::Unknown, None, None), "no counts");
    let cost = &costs[&events[0].event_id];
    assert_eq!(cost.provider.as_deref(), Some("anthropic"));
    assert_eq!(cost.price_version.as_deref(), Some(modash_prices::PriceList::built_in().version()));
    assert_eq!(costs[&events[1].event_id].price_version, None, "no price was applied");

    let mut client = analytics.client().await;
    let answer = client.usage_summary(UsageSummaryRequest::default()).await.unwrap().into_inner();
    let expected = Cost {
        nano_usd: 265_435_000,
        cache_saving_nano_usd: 3 * 1_620_000 - 675_000,
        known_requests: 4,
        unknown_requests: 3,
        estimated_requests: 1,
    };
    assert_eq!(answer.cost, Some(expected));
    let request = RecentRequestsRequest { page: 1, page_size: 10, ..Default::default() };
    let rows = client.recent_requests(request).await.unwrap().into_inner().rows;
    for row in &rows {
        assert_eq!(row.cost.as_ref(), costs.get(&row.event_id));
    }
}

#[tokio::test]
async fn a_proxy_with_very_many_upstreams_is_let_in() {
    let analytics = TestAnalytics::start().await;
    let mut proxy = TestProxy::connect_silent(&analytics).await;
    let hosts = (0..1_500).map(|at| (format!("u{at}"), "api.anthropic.com".to_owned()));
    let hello = Hello {
        replica_id: "priced".into(),
        next_sequence: 1,
        upstream_hosts: hosts.collect(),
        ..Hello::default()
    };
    proxy.say(Up::Hello(hello)).await;
    let last = proxy.send(vec![asked("claude-sonnet-4-5", "u7")]).await;
    assert_eq!(proxy.acknowledged(last).await, []);
}

#[tokio::test]
async fn what_a_proxy_says_of_a_cost_does_not_count() {
    let analytics = TestAnalytics::start().await;
    let lie = RequestCost { source: 2, nano_usd: Some(1), ..Default::default() };
    let event = UsageEvent { cost: Some(lie), ..asked("claude-of-the-future", "default") };
    store(&analytics, vec![event.clone()]).await;
    assert_eq!(of_rows(&analytics).await[&event.event_id].source(), CostSource::Unknown);
}

#[tokio::test]
async fn a_changed_file_of_prices_holds_for_the_next_requests_and_a_broken_one_changes_nothing() {
    let price = |dollars: u32| {
        format!(
            "[[price]]\nupstream = \"local\"\nmodel = \"mine\"\nprompt = {dollars}\n\
             cached_prompt = {dollars}\ncompletion = {dollars}\n"
        )
    };
    let file = PricesFile::new(&price(1));
    let analytics = TestAnalytics::start_with(|config| config.prices = file.read()).await;
    let next = async || {
        let event = asked("mine", "local");
        store(&analytics, vec![event.clone()]).await;
        of_rows(&analytics).await[&event.event_id].clone()
    };
    let first = next().await;
    assert_eq!(first.nano_usd, Some(1_200_000));
    std::fs::write(&file.path, "[[price]]\nmodel = 7").unwrap();
    assert_eq!(next().await.nano_usd, Some(1_200_000));
    std::fs::write(&file.path, price(20)).unwrap();
    let second = eventually(PATIENCE, async || {
        let cost = next().await;
        (cost.nano_usd == Some(24_000_000)).then_some(cost)
    })
    .await;
    assert_ne!(first.price_version, second.price_version);
}

#[tokio::test]
async fn a_price_that_ends_at_midnight_ends_with_the_request_that_began_before_it() {
    let file = PricesFile::new(
        "[[price]]\nupstream = \"local\"\nmodel = \"mine\"\nprompt = 1\ncached_prompt = 1\n\
         completion = 1\nuntil = 2026-03-01\n\
         [[price]]\nupstream = \"local\"\nmodel = \"mine\"\nprompt = 2\ncached_prompt = 2\n\
         completion = 2\nfrom = 2026-03-01\n",
    );
    let analytics = TestAnalytics::start_with(|config| config.prices = file.read()).await;
    let at = |moment: &str| {
        let UsageEvent { event_id, started_at, .. } = event_at(moment);
        UsageEvent { event_id, started_at, ..asked("mine", "local") }
    };
    let events = [at("2026-02-28T23:59:59.999999Z"), at("2026-03-01T00:00:00Z")];
    store(&analytics, events.to_vec()).await;
    let costs = of_rows(&analytics).await;
    let found = events.map(|event| costs[&event.event_id].nano_usd);
    assert_eq!(found, [Some(1_200_000), Some(2_400_000)]);
}

#[tokio::test]
async fn replicas_with_other_prices_price_their_own_requests_and_say_by_which() {
    let price = |version: &str, dollars: u32| {
        PricesFile::new(&format!(
            "version = \"{version}\"\n[[price]]\nupstream = \"local\"\nmodel = \"mine\"\n\
             prompt = {dollars}\ncached_prompt = {dollars}\ncompletion = {dollars}\n"
        ))
    };
    let (old, new) = (price("may", 1), price("june", 2));
    let first = TestAnalytics::start_with(|config| config.prices = old.read()).await;
    let url = first.database.url();
    let second = TestAnalytics::start_on(TestDatabase::create().await, &url, |config| {
        config.prices = new.read();
    })
    .await;
    second.ready().await;
    let (one, other) = (asked("mine", "local"), asked("mine", "local"));
    store(&first, vec![one.clone()]).await;
    store(&second, vec![other.clone()]).await;
    let costs = of_rows(&first).await;
    let found = |event: &UsageEvent| {
        let cost = &costs[&event.event_id];
        let version = cost.price_version.as_deref().unwrap().split_once('+').unwrap().1.to_owned();
        (cost.nano_usd, version)
    };
    assert_eq!(found(&one), (Some(1_200_000), "may".to_owned()));
    assert_eq!(found(&other), (Some(2_400_000), "june".to_owned()));
    let summary = first.client().await.usage_summary(UsageSummaryRequest::default()).await;
    assert_eq!(summary.unwrap().into_inner().cost.unwrap().nano_usd, 3_600_000);
}
