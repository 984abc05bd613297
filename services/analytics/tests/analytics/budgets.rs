//! Budgets: what is used of them, notices of shares that are reached, and webhooks that
//! get them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use modash_access::Role;
use modash_proto::{
    micros_from_timestamp,
    v1::{
        Budget, BudgetNotice, CalendarPeriod, DeleteBudgetRequest, Exclusion, Filter,
        ListBudgetsRequest, NoticeDelivery, SaveBudgetRequest, TimeRange, UsageEvent, UsageSource,
        UsageSummaryRequest,
        analytics_service_client::AnalyticsServiceClient,
        save_budget_request::{Amount, Period},
    },
};
use modash_runtime::ClientTlsFiles;
use modash_test_support::{
    Answer, Authority, FakeUpstream, Gate, Received, TestDatabase, TokensFile, another, event,
    event_at, eventually,
};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    access::{guarded, reader},
    data::{fails, succeeds},
    harness::{PATIENCE, TestAnalytics, violated},
};

type Client = AnalyticsServiceClient<Channel>;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Analytics that computes budgets all the time.
async fn start() -> TestAnalytics {
    TestAnalytics::start_with(|config| config.budget_interval = Duration::from_millis(20)).await
}

/// A budget of tokens in a day, UTC.
fn daily(name: &str, tokens: u64) -> SaveBudgetRequest {
    SaveBudgetRequest {
        name: name.into(),
        period: Some(Period::Calendar(CalendarPeriod::Day.into())),
        amount: Some(Amount::Tokens(tokens)),
        ..Default::default()
    }
}

/// The last hour.
fn hourly(name: &str, tokens: u64) -> SaveBudgetRequest {
    let hour = prost_types::Duration { seconds: 3_600, nanos: 0 };
    SaveBudgetRequest { period: Some(Period::Rolling(hour)), ..daily(name, tokens) }
}

fn sent_to(url: String, budget: SaveBudgetRequest) -> SaveBudgetRequest {
    SaveBudgetRequest { webhook_url: Some(url), webhook_secret: SECRET.into(), ..budget }
}

async fn save(client: &mut Client, budget: SaveBudgetRequest) -> Result<Budget, Status> {
    Ok(client.save_budget(budget).await?.into_inner().budget.unwrap())
}

async fn budgets(client: &mut Client) -> Vec<Budget> {
    client.list_budgets(ListBudgetsRequest {}).await.unwrap().into_inner().budgets
}

/// The notices of the only budget, oldest first.
async fn notices(client: &mut Client) -> Vec<BudgetNotice> {
    let mut notices = budgets(client).await.remove(0).notices;
    notices.reverse();
    notices
}

/// Waits until the notices of the only budget came to this.
async fn delivered(client: &Client, expected: &[(u32, NoticeDelivery)]) -> Vec<BudgetNotice> {
    eventually(PATIENCE, || {
        let mut client = client.clone();
        async move {
            let notices = notices(&mut client).await;
            let found: Vec<_> = notices.iter().map(|it| (it.share, it.delivery())).collect();
            if found == expected { Ok(notices) } else { Err(format!("{notices:?}")) }
        }
    })
    .await
}

/// Waits until the only budget was computed after this moment.
async fn computed_after(client: &Client, moment: DateTime<Utc>) -> Budget {
    eventually(PATIENCE, || {
        let mut client = client.clone();
        async move {
            let budget = budgets(&mut client).await.remove(0);
            let at = budget.state.as_ref().and_then(|state| state.computed_at.as_ref());
            let at = at.and_then(micros_from_timestamp).unwrap_or_default();
            (at > moment.timestamp_micros()).then_some(budget)
        }
    })
    .await
}

/// As if the pauses between attempts had passed.
async fn hurry(analytics: &TestAnalytics) {
    let statement = "UPDATE budget_notices SET next_attempt_at = clock_timestamp()
                     WHERE next_attempt_at IS NOT NULL AND last_error <> ''";
    sqlx::query(statement).execute(&mut analytics.connection().await).await.unwrap();
}

/// An event of now with these total tokens.
fn used(tokens: u64) -> UsageEvent {
    UsageEvent { total_tokens: Some(tokens), ..event() }
}

#[track_caller]
fn verify(received: &Received, body: &[u8]) -> Value {
    let header = |name: &str| received.headers[name].to_str().unwrap().to_owned();
    let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
    let secret = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
    mac.update(format!("{id}.{at}.").as_bytes());
    mac.update(body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), expected);
    assert!((at.parse::<i64>().unwrap() - Utc::now().timestamp()).abs() < 60);
    let json: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(json["id"], id.as_str());
    json
}

/// What the receiver got so far, verified.
async fn bodies(receiver: &FakeUpstream) -> Vec<Value> {
    let mut bodies = Vec::new();
    for received in receiver.requests() {
        if let Some(body) = received.body().await {
            bodies.push(verify(&received, &body));
        }
    }
    bodies
}

#[tokio::test]
async fn a_budget_is_saved_changed_and_deleted() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    assert_eq!(budgets(&mut client).await, []);
    let filter = Filter { models: vec!["m".into()], ..Filter::default() };
    let request = SaveBudgetRequest {
        filter: Some(filter.clone()),
        time_zone: "Europe/Berlin".into(),
        shares: vec![100, 80, 80],
        ..daily("team", 1_000)
    };
    let saved = save(&mut client, request.clone()).await.unwrap();
    assert_eq!((saved.name.as_str(), saved.time_zone.as_str()), ("team", "Europe/Berlin"));
    assert_eq!((&saved.filter, &saved.shares[..]), (&Some(filter), &[80, 100][..]));
    assert_eq!(saved.webhook_origin, "");
    assert!(saved.state.is_some(), "a budget has its state at once");
    let other = save(&mut client, hourly("all", 5)).await.unwrap();
    assert_eq!((other.time_zone.as_str(), &other.shares[..]), ("UTC", &[50, 80, 100][..]));
    assert_eq!(budgets(&mut client).await, [other.clone(), saved.clone()]);
    // Who gets no answer can save again.
    let again = save(&mut client, request.clone()).await.unwrap();
    assert_eq!(again.budget_id, saved.budget_id);
    let id = saved.budget_id.clone();
    let changed = SaveBudgetRequest { budget_id: id.clone(), name: "a".into(), ..request };
    let changed = save(&mut client, changed).await.unwrap();
    assert_eq!((&changed.budget_id, changed.name.as_str()), (&id, "a"));
    assert_eq!(budgets(&mut client).await, [changed, other.clone()]);
    for _ in 0..2 {
        client.delete_budget(DeleteBudgetRequest { budget_id: id.clone() }).await.unwrap();
        assert_eq!(budgets(&mut client).await, std::slice::from_ref(&other));
    }
}

#[tokio::test]
async fn what_is_no_budget_is_refused() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    let seconds = |seconds, nanos| Some(Period::Rolling(prost_types::Duration { seconds, nanos }));
    let good = || daily("team", 1_000);
    let long = "x".repeat(101);
    let many = Filter { models: vec!["m".into(); 101], ..Filter::default() };
    let wide = Filter { models: vec!["m".repeat(70_000)], ..Filter::default() };
    let cases = [
        (SaveBudgetRequest { name: String::new(), ..good() }, "name"),
        (SaveBudgetRequest { name: long, ..good() }, "name"),
        (SaveBudgetRequest { budget_id: "x".into(), ..good() }, "budget_id"),
        (SaveBudgetRequest { filter: Some(many), ..good() }, "filter.models"),
        (SaveBudgetRequest { filter: Some(wide), ..good() }, "filter"),
        (SaveBudgetRequest { period: None, ..good() }, "calendar"),
        (SaveBudgetRequest { period: Some(Period::Calendar(0)), ..good() }, "calendar"),
        (SaveBudgetRequest { period: Some(Period::Calendar(9)), ..good() }, "calendar"),
        (SaveBudgetRequest { period: seconds(3_599, 0), ..good() }, "rolling"),
        (SaveBudgetRequest { period: seconds(3_600, 1), ..good() }, "rolling"),
        (SaveBudgetRequest { period: seconds(366 * 86_400 + 1, 0), ..good() }, "rolling"),
        (SaveBudgetRequest { time_zone: "Mars/Olympus".into(), ..good() }, "time_zone"),
        (SaveBudgetRequest { amount: None, ..good() }, "tokens"),
        (SaveBudgetRequest { amount: Some(Amount::Tokens(0)), ..good() }, "tokens"),
        (SaveBudgetRequest { amount: Some(Amount::NanoUsd(u64::MAX)), ..good() }, "nano_usd"),
        (SaveBudgetRequest { shares: vec![0], ..good() }, "shares"),
        (SaveBudgetRequest { shares: vec![1_001], ..good() }, "shares"),
        (SaveBudgetRequest { shares: (1..12).collect(), ..good() }, "shares"),
        (sent_to("ftp://a.example/".into(), good()), "webhook_url"),
        (SaveBudgetRequest { webhook_secret: "secret".into(), ..good() }, "webhook_secret"),
        (
            SaveBudgetRequest { webhook_url: Some("https://a.example/".into()), ..good() },
            "webhook_secret",
        ),
        (SaveBudgetRequest { budget_id: uuid::Uuid::now_v7().to_string(), ..good() }, "budget_id"),
    ];
    for (request, field) in cases {
        let status = save(&mut client, request.clone()).await.unwrap_err();
        assert_eq!(violated(&status), [field], "{request:?}");
        assert!(!format!("{status:?}").contains("MfKQ9r8"), "{status:?}");
    }
    assert_eq!(budgets(&mut client).await, []);
    save(&mut client, good()).await.unwrap();
    let other = save(&mut client, daily("budget 1", 1)).await.unwrap();
    let renamed = SaveBudgetRequest { budget_id: other.budget_id, ..good() };
    assert_eq!(violated(&save(&mut client, renamed).await.unwrap_err()), ["name"]);
    let refused = client.delete_budget(DeleteBudgetRequest { budget_id: "x".into() }).await;
    assert_eq!(violated(&refused.unwrap_err()), ["budget_id"]);
    for number in 2..100 {
        save(&mut client, daily(&format!("budget {number}"), 1)).await.unwrap();
    }
    let status = save(&mut client, daily("one more", 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.get_details_error_info().unwrap().reason, "TOO_MANY_KEPT");
}

#[tokio::test]
async fn a_webhook_is_kept_and_neither_its_path_nor_its_secret_is_told() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    let url = "https://hooks.example.com:8443/T0KEN/x?key=T0KEN";
    let saved = save(&mut client, sent_to(url.into(), daily("a", 9))).await.unwrap();
    assert_eq!(saved.webhook_origin, "https://hooks.example.com:8443");
    let again = |webhook_url| SaveBudgetRequest {
        budget_id: saved.budget_id.clone(),
        webhook_url,
        ..daily("a", 10)
    };
    let kept = save(&mut client, again(None)).await.unwrap();
    assert_eq!(kept.webhook_origin, saved.webhook_origin);
    let moved = save(&mut client, again(Some("http://b.example/T0KEN".into()))).await.unwrap();
    assert_eq!(moved.webhook_origin, "http://b.example", "the secret is as before");
    for told in [&saved, &kept, &moved] {
        let told = format!("{told:?}");
        assert!(!told.contains("T0KEN") && !told.contains("MfKQ9r8"), "{told}");
    }
    let none = save(&mut client, again(Some(String::new()))).await.unwrap();
    assert_eq!(none.webhook_origin, "");
    let without = save(&mut client, again(Some(url.into()))).await.unwrap_err();
    assert_eq!(violated(&without), ["webhook_secret"], "it is forgotten with its webhook");
}

#[tokio::test]
async fn what_is_spent_is_what_the_summary_of_the_period_says() {
    let analytics = start().await;
    let mut client = analytics.client().await;
    let now = Utc::now();
    let ago = |hours: i64, like: UsageEvent| {
        let at = event_at((now - TimeDelta::hours(hours)).timestamp_micros());
        UsageEvent { event_id: at.event_id, started_at: at.started_at, ..like }
    };
    let uncounted = UsageEvent {
        usage_source: UsageSource::NotReported.into(),
        prompt_tokens: None,
        completion_tokens: None,
        total_tokens: None,
        ..event()
    };
    let priced = UsageEvent { upstream_cost_usd: Some(0.25), ..used(40) };
    let estimated = UsageEvent { usage_source: UsageSource::Estimated.into(), ..used(7) };
    let events =
        [&priced, &uncounted, &estimated, &UsageEvent { user: Some("u".into()), ..used(9) }]
            .into_iter()
            .flat_map(|like| [0, 1, 5, 25, 29, 700].map(|hours| ago(hours, like.clone())))
            .collect();
    analytics.store(events).await;
    let filters = [
        Filter::default(),
        Filter { users: vec!["u".into()], ..Filter::default() },
        Filter {
            models: vec!["qwen3-8b".into()],
            exclude: Some(Exclusion { users: vec!["u".into()], ..Exclusion::default() }),
            ..Filter::default()
        },
        Filter { max_prompt_tokens: Some(1_000), ..Filter::default() },
    ];
    let rolling =
        |hours: i64| Period::Rolling(prost_types::Duration { seconds: hours * 3_600, nanos: 0 });
    let periods = [
        Period::Calendar(CalendarPeriod::Day.into()),
        Period::Calendar(CalendarPeriod::Week.into()),
        Period::Calendar(CalendarPeriod::Month.into()),
        rolling(1),
        rolling(28),
        rolling(720),
    ];
    for (number, filter) in filters.into_iter().enumerate() {
        for (at, period) in periods.iter().enumerate() {
            for amount in [Amount::Tokens(100), Amount::NanoUsd(1_000_000_000)] {
                let request = SaveBudgetRequest {
                    name: format!("{number} {at} {amount:?}"),
                    filter: Some(filter.clone()),
                    period: Some(*period),
                    amount: Some(amount),
                    time_zone: "Australia/Lord_Howe".into(),
                    ..Default::default()
                };
                let saved = save(&mut client, request).await.unwrap();
                let state = saved.state.unwrap();
                let asked = UsageSummaryRequest {
                    range: state.period,
                    filter: Some(filter.clone()),
                    ..Default::default()
                };
                let summary = client.usage_summary(asked).await.unwrap().into_inner();
                let cost = summary.cost.unwrap();
                let expected = match amount {
                    Amount::Tokens(_) => (
                        summary.total_tokens,
                        summary.requests_without_usage,
                        summary.requests_with_estimated_usage,
                    ),
                    Amount::NanoUsd(_) => {
                        (cost.nano_usd, cost.unknown_requests, cost.estimated_requests)
                    }
                };
                let found = (state.spent, state.unknown_requests, state.estimated_requests);
                assert_eq!(found, expected, "{}", saved.name);
                assert_eq!(state.problem, "");
                let rolls = matches!(period, Period::Rolling(_));
                assert!(!rolls || state.projected.is_none(), "{}", saved.name);
                assert!(state.projected.is_none_or(|projected| projected >= state.spent));
            }
        }
    }
}

#[tokio::test]
async fn unknown_costs_are_counted_and_never_taken_for_nothing() {
    let analytics = start().await;
    let mut client = analytics.client().await;
    let priced = UsageEvent { upstream_cost_usd: Some(0.5), ..event() };
    analytics.store(vec![priced, event(), event()]).await;
    let amount = Some(Amount::NanoUsd(1_000_000_000));
    let request = SaveBudgetRequest { amount, ..hourly("money", 0) };
    let state = save(&mut client, request).await.unwrap().state.unwrap();
    assert_eq!((state.spent, state.unknown_requests), (500_000_000, 2));
    assert!((state.spent_ratio - 0.5).abs() < 1e-9);
    let metric =
        |name: &str| analytics.metric(&format!("{name}{{budget=\"money\",unit=\"nano_usd\"}}"));
    eventually(PATIENCE, || async {
        analytics.context.metrics.text().contains("modash_budget_spent_ratio{")
    })
    .await;
    let shown = ["modash_budget_spent_ratio", "modash_budget_spent", "modash_budget_amount"];
    assert_eq!(shown.map(metric), [0.5, 5e8, 1e9]);
    assert_eq!(metric("modash_budget_unknown_requests"), 2.0);
    let budget_id = budgets(&mut client).await.remove(0).budget_id;
    client.delete_budget(DeleteBudgetRequest { budget_id }).await.unwrap();
    eventually(PATIENCE, || async { !analytics.context.metrics.text().contains("\"money\"") })
        .await;
}

#[tokio::test]
async fn each_share_makes_one_notice_in_a_period_and_without_a_webhook_it_is_kept() {
    let analytics = start().await;
    let mut client = analytics.client().await;
    save(&mut client, daily("all", 100)).await.unwrap();
    assert_eq!(notices(&mut client).await, []);
    analytics.store(vec![used(49)]).await;
    let budget = computed_after(&client, Utc::now()).await;
    assert_eq!((budget.state.unwrap().spent, budget.notices.len()), (49, 0));
    analytics.store(vec![used(1)]).await;
    let none = NoticeDelivery::None;
    let first = delivered(&client, &[(50, none)]).await.remove(0);
    assert_eq!((first.spent, first.attempts, first.next_attempt_at), (50, 0, None));
    analytics.store(vec![used(50)]).await;
    delivered(&client, &[(50, none), (80, none), (100, none)]).await;
    analytics.store(vec![used(1_000)]).await;
    let after = computed_after(&client, Utc::now()).await;
    assert_eq!((after.state.unwrap().spent, after.notices.len()), (1_100, 3));
    assert_eq!(analytics.metric("modash_budget_notices_total{result=\"made\"}"), 3.0);
}

#[tokio::test]
async fn a_share_is_told_again_after_the_window_has_rolled_and_not_before() {
    let analytics = start().await;
    let mut client = analytics.client().await;
    let minutes_ago = |minutes: i64, tokens| {
        let at = (Utc::now() - TimeDelta::minutes(minutes)).timestamp_micros();
        UsageEvent { total_tokens: Some(tokens), ..event_at(at) }
    };
    analytics.store(vec![minutes_ago(20, 50)]).await;
    let saved = save(&mut client, SaveBudgetRequest { shares: vec![50], ..hourly("a", 100) }).await;
    let id = saved.unwrap().budget_id;
    let none = NoticeDelivery::None;
    delivered(&client, &[(50, none)]).await;
    let with_amount = |tokens| SaveBudgetRequest {
        budget_id: id.clone(),
        shares: vec![50],
        ..hourly("a", tokens)
    };
    // Little less than the share, then the share again.
    for tokens in [110, 100] {
        save(&mut client, with_amount(tokens)).await.unwrap();
        computed_after(&client, Utc::now()).await;
    }
    assert_eq!(notices(&mut client).await.len(), 1);
    // Much less, then the share again.
    for tokens in [112, 100] {
        save(&mut client, with_amount(tokens)).await.unwrap();
        computed_after(&client, Utc::now()).await;
    }
    let told = notices(&mut client).await;
    assert_eq!(told.len(), 2);
    assert_ne!(told[0].notice_id, told[1].notice_id);
}

#[tokio::test]
async fn a_new_period_makes_notices_of_its_own() {
    let analytics = start().await;
    let mut client = analytics.client().await;
    analytics.store(vec![used(100)]).await;
    save(&mut client, SaveBudgetRequest { shares: vec![100], ..daily("all", 100) }).await.unwrap();
    assert_eq!(notices(&mut client).await.len(), 1);
    // As if it had been made in the period before.
    sqlx::query("UPDATE budget_notices SET period_start = period_start - interval '1 day'")
        .execute(&mut analytics.connection().await)
        .await
        .unwrap();
    let none = NoticeDelivery::None;
    delivered(&client, &[(100, none), (100, none)]).await;
}

#[tokio::test]
async fn a_webhook_gets_a_signed_notice_once() {
    let receiver = FakeUpstream::start().await;
    let analytics = start().await;
    let mut client = analytics.client().await;
    let url = format!("{}/hook?a=b", receiver.url());
    let saved = save(&mut client, sent_to(url, daily("Team \"search\"", 100))).await.unwrap();
    analytics.store(vec![used(81)]).await;
    let both = [(50, NoticeDelivery::Delivered), (80, NoticeDelivery::Delivered)];
    let told = delivered(&client, &both).await;
    let received = receiver.requests();
    assert_eq!(received.len(), 2);
    assert!(received.iter().all(|it| it.target == "/hook?a=b" && it.method == "POST"));
    let mut bodies = bodies(&receiver).await;
    bodies.sort_by_key(|body| body["share"].as_u64());
    for (body, notice) in bodies.iter().zip(&told) {
        assert_eq!((notice.attempts, notice.last_error.as_str()), (1, ""));
        assert!(notice.delivered_at.is_some() && notice.next_attempt_at.is_none());
        assert_eq!(body["id"], notice.notice_id.as_str());
        assert_eq!(body["share"], notice.share);
        assert_eq!(body["type"], "budget.share_reached");
        assert_eq!(body["budget"], saved.budget_id.as_str());
        assert_eq!((&body["name"], &body["unit"]), (&"Team \"search\"".into(), &"tokens".into()));
        assert_eq!((&body["spent"], &body["amount"]), (&81.into(), &100.into()));
        let moment = |text: &Value| text.as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
        let TimeRange { start, end } = notice.period.unwrap();
        for (field, expected) in [("start", start), ("end", end)] {
            let found = moment(&body["period"][field]).timestamp_micros();
            assert_eq!(Some(found), micros_from_timestamp(&expected.unwrap()));
        }
        moment(&body["timestamp"]);
    }
    let count =
        |result| analytics.metric(&format!("modash_budget_notices_total{{result=\"{result}\"}}"));
    assert_eq!((count("made"), count("delivered")), (2.0, 2.0));
}

#[tokio::test]
async fn a_webhook_that_was_down_gets_the_notice_under_the_same_id() {
    let receiver = FakeUpstream::start().await;
    let elsewhere = format!("{}/elsewhere", receiver.url());
    receiver.answer(Answer::new(500));
    receiver.answer(Answer::hang_up());
    receiver.answer(Answer::new(302).header("location", &elsewhere));
    receiver.answer(Answer::new(429).header("retry-after", "7000"));
    let analytics = start().await;
    let mut client = analytics.client().await;
    analytics.store(vec![used(100)]).await;
    let budget = SaveBudgetRequest { shares: vec![100], ..daily("all", 100) };
    save(&mut client, sent_to(receiver.url(), budget)).await.unwrap();
    for (attempt, problem) in
        [(1, "status 500"), (2, "cannot be reached"), (3, "status 302"), (4, "status 429")]
    {
        let notice = eventually(PATIENCE, || {
            let mut client = client.clone();
            async move {
                let notice = notices(&mut client).await.remove(0);
                let failed = notice.attempts == attempt && notice.last_error.contains(problem);
                if failed { Ok(notice) } else { Err(format!("{notice:?}")) }
            }
        })
        .await;
        assert_eq!(notice.delivery(), NoticeDelivery::Pending);
        let next = micros_from_timestamp(&notice.next_attempt_at.unwrap()).unwrap();
        let pause = (next - Utc::now().timestamp_micros()) / 1_000_000;
        assert!(if attempt == 4 { pause > 6_000 } else { pause <= 40 }, "{pause} {attempt}");
        hurry(&analytics).await;
    }
    let notice = delivered(&client, &[(100, NoticeDelivery::Delivered)]).await.remove(0);
    assert_eq!((notice.attempts, notice.last_error.as_str()), (5, ""));
    let received = receiver.requests();
    assert!(received.iter().all(|it| it.target == "/"), "a redirect was followed");
    let bodies = bodies(&receiver).await;
    assert_eq!((received.len(), bodies.len()), (5, 5));
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    let times: BTreeSet<_> = received.iter().map(|it| &it.headers["webhook-timestamp"]).collect();
    assert!(!times.is_empty());
}

#[tokio::test]
async fn a_webhook_that_does_not_listen_is_tried_until_it_is_given_up() {
    let gone = FakeUpstream::start().await;
    let url = gone.url();
    drop(gone);
    let analytics = start().await;
    let mut client = analytics.client().await;
    analytics.store(vec![used(100)]).await;
    let budget = SaveBudgetRequest { shares: vec![100], ..daily("all", 100) };
    save(&mut client, sent_to(url, budget)).await.unwrap();
    eventually(PATIENCE, || {
        let mut client = client.clone();
        async move { !notices(&mut client).await.remove(0).last_error.is_empty() }
    })
    .await;
    // As if all but the last attempt had been made.
    sqlx::query("UPDATE budget_notices SET attempts = 19, next_attempt_at = clock_timestamp()")
        .execute(&mut analytics.connection().await)
        .await
        .unwrap();
    let notice = delivered(&client, &[(100, NoticeDelivery::GivenUp)]).await.remove(0);
    assert_eq!((notice.attempts, notice.next_attempt_at), (20, None));
    assert!(notice.last_error.starts_with("cannot be reached: "), "{}", notice.last_error);
    assert_eq!(analytics.metric("modash_budget_notices_total{result=\"given_up\"}"), 1.0);
    assert_eq!(analytics.metric("modash_budget_notices_total{result=\"failed\"}"), 2.0);
}

#[tokio::test]
async fn a_webhook_that_says_gone_is_not_asked_again() {
    let receiver = FakeUpstream::start().await;
    receiver.answer(Answer::new(410));
    let analytics = start().await;
    let mut client = analytics.client().await;
    analytics.store(vec![used(100)]).await;
    let budget = SaveBudgetRequest { shares: vec![100], ..daily("all", 100) };
    save(&mut client, sent_to(receiver.url(), budget)).await.unwrap();
    let notice = delivered(&client, &[(100, NoticeDelivery::GivenUp)]).await.remove(0);
    assert_eq!((notice.attempts, notice.last_error.as_str()), (1, "status 410"));
}

#[tokio::test]
async fn a_slow_webhook_holds_up_neither_the_others_nor_the_end() {
    let (slow, quick) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let gate = Gate::new();
    slow.answer_always(Answer::json("{}").hold_head(&gate));
    let analytics = start().await;
    let mut client = analytics.client().await;
    analytics.store(vec![used(100)]).await;
    save(&mut client, sent_to(slow.url(), daily("slow", 100))).await.unwrap();
    slow.next_request().await;
    save(&mut client, sent_to(quick.url(), daily("quick", 100))).await.unwrap();
    eventually(PATIENCE, || {
        let mut client = client.clone();
        async move {
            let quick = budgets(&mut client).await.remove(0);
            quick.notices.len() == 3
                && quick.notices.iter().all(|it| it.delivery() == NoticeDelivery::Delivered)
        }
    })
    .await;
    // Each attempt has an end.
    let timed_out = eventually(PATIENCE, || {
        let mut client = client.clone();
        async move {
            let notice = budgets(&mut client).await.remove(1).notices.remove(0);
            (!notice.last_error.is_empty()).then_some(notice)
        }
    })
    .await;
    assert_eq!(timed_out.last_error, "no answer within 10 s");
    assert_eq!(timed_out.delivery(), NoticeDelivery::Pending);
    hurry(&analytics).await;
    slow.next_request().await;
    analytics.stop().await;
}

#[tokio::test]
async fn a_notice_of_a_replica_that_was_killed_while_it_sent_is_sent_by_another() {
    let receiver = FakeUpstream::start().await;
    receiver.answer(Answer::json("{}").hold_head(&Gate::new()));
    let first = start().await;
    let mut client = first.client().await;
    first.store(vec![used(100)]).await;
    let budget = SaveBudgetRequest { shares: vec![100], ..daily("all", 100) };
    save(&mut client, sent_to(receiver.url(), budget)).await.unwrap();
    receiver.next_request().await;
    first.task.abort();
    let second = second(&first).await;
    // The lease of the attempt would run out a little later.
    sqlx::query("UPDATE budget_notices SET next_attempt_at = clock_timestamp()")
        .execute(&mut first.connection().await)
        .await
        .unwrap();
    let mut client = second.client().await;
    let notice = delivered(&client, &[(100, NoticeDelivery::Delivered)]).await.remove(0);
    assert_eq!(notice.attempts, 2);
    let ids: Vec<_> =
        receiver.requests().iter().map(|it| it.headers["webhook-id"].clone()).collect();
    assert_eq!(ids, [notice.notice_id.as_str(), notice.notice_id.as_str()]);
    assert_eq!(notices(&mut client).await.len(), 1);
}

/// Another replica on the database of the first.
async fn second(first: &TestAnalytics) -> TestAnalytics {
    let unused = TestDatabase::create().await;
    let quick = |config: &mut modash_analytics::AnalyticsConfig| {
        config.budget_interval = Duration::from_millis(20);
    };
    let second = TestAnalytics::start_on(unused, &first.database.url(), quick).await;
    second.ready().await;
    second
}

#[tokio::test]
async fn several_replicas_make_one_notice_of_each_share_and_deliver_it_once() {
    let receiver = FakeUpstream::start().await;
    let first = start().await;
    let others = [second(&first).await, second(&first).await];
    let mut client = first.client().await;
    for number in 0..5 {
        let budget = sent_to(receiver.url(), daily(&format!("budget {number}"), 100));
        save(&mut client, budget).await.unwrap();
    }
    for analytics in others.iter().chain([&first]).cycle().take(10) {
        analytics.store(vec![another(used(10))]).await;
    }
    eventually(PATIENCE, || {
        let mut client = client.clone();
        async move {
            let budgets = budgets(&mut client).await;
            let all = budgets.iter().flat_map(|budget| &budget.notices);
            all.filter(|it| it.delivery() == NoticeDelivery::Delivered).count() == 15
        }
    })
    .await;
    computed_after(&client, Utc::now()).await;
    let bodies = bodies(&receiver).await;
    let key = |body: &Value| (body["name"].to_string(), body["share"].as_u64());
    let told: BTreeSet<_> = bodies.iter().map(key).collect();
    assert_eq!((bodies.len(), told.len()), (15, 15), "{bodies:?}");
    // Each replica shows what any of them computed.
    for analytics in others.iter().chain([&first]) {
        eventually(PATIENCE, || async {
            let text = analytics.context.metrics.text();
            let line = "modash_budget_spent{budget=\"budget 4\",unit=\"tokens\"} 100.0";
            text.contains(line).then_some(()).ok_or(text)
        })
        .await;
    }
}

#[tokio::test]
async fn a_budget_that_cannot_be_computed_says_why_and_spoils_no_other() {
    let analytics = TestAnalytics::start_with(|config| {
        config.budget_interval = Duration::from_millis(20);
        config.query_rows = 1_000;
    })
    .await;
    let mut client = analytics.client().await;
    let events = (0..1_100).map(|_| another(used(1))).collect();
    analytics.store(events).await;
    let single = Filter { max_prompt_tokens: Some(1_000), ..Filter::default() };
    let request = SaveBudgetRequest { filter: Some(single), ..daily("single", 100) };
    let state = save(&mut client, request).await.unwrap().state.unwrap();
    assert!(state.problem.contains("too many rows"), "{state:?}");
    assert_eq!((state.computed_at, state.period), (None, None));
    let state = save(&mut client, daily("all", 10_000)).await.unwrap().state.unwrap();
    assert_eq!((state.spent, state.problem.as_str()), (1_100, ""));
    assert!(budgets(&mut client).await.iter().all(|budget| budget.notices.is_empty()));
}

/// A line with TLS to a receiver without; gives its address.
async fn with_tls(receiver: &FakeUpstream, authority: &Authority) -> String {
    let acceptor = TlsAcceptor::from(Arc::new(authority.sign(&["localhost"]).server()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let address = receiver.address();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut plain = TcpStream::connect(address).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut plain).await;
            }
        }
    });
    url
}

#[tokio::test]
async fn a_webhook_with_tls_needs_a_certificate_of_a_known_authority() {
    let authority = Authority::new("webhooks");
    let directory = tempfile::tempdir().unwrap();
    let file = authority.write(directory.path());
    let receiver = FakeUpstream::start().await;
    let url = with_tls(&receiver, &authority).await;
    for (authorities, expected) in
        [(Some(file), NoticeDelivery::Delivered), (None, NoticeDelivery::Pending)]
    {
        let known = authorities.is_some();
        let analytics = TestAnalytics::start_with(|config| {
            config.webhook_tls = ClientTlsFiles { authorities, ..Default::default() };
        })
        .await;
        let mut client = analytics.client().await;
        analytics.store(vec![used(100)]).await;
        let budget = SaveBudgetRequest { shares: vec![100], ..daily("all", 100) };
        save(&mut client, sent_to(url.clone(), budget)).await.unwrap();
        let notice = eventually(PATIENCE, || {
            let mut client = client.clone();
            async move {
                let notice = notices(&mut client).await.remove(0);
                let over = !notice.last_error.is_empty() || notice.delivered_at.is_some();
                over.then_some(notice)
            }
        })
        .await;
        assert_eq!(notice.delivery(), expected, "{notice:?}");
        assert!(known || notice.last_error.contains("certificate"), "{notice:?}");
    }
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn pending_notices_end_with_their_webhook_and_with_their_budget() {
    let receiver = FakeUpstream::start().await;
    receiver.answer_always(Answer::new(500));
    let analytics = start().await;
    let mut client = analytics.client().await;
    analytics.store(vec![used(100)]).await;
    let budget = SaveBudgetRequest { shares: vec![100], ..daily("all", 100) };
    let saved = save(&mut client, sent_to(receiver.url(), budget.clone())).await.unwrap();
    receiver.next_request().await;
    let budget_id = saved.budget_id;
    let without = SaveBudgetRequest {
        budget_id: budget_id.clone(),
        webhook_url: Some(String::new()),
        ..budget
    };
    let notice = save(&mut client, without).await.unwrap().notices.remove(0);
    assert_eq!(notice.delivery(), NoticeDelivery::GivenUp);
    assert!(notice.last_error.contains("no webhook"), "{notice:?}");
    client.delete_budget(DeleteBudgetRequest { budget_id }).await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM budget_notices")
        .fetch_one(&mut analytics.connection().await)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn budgets_are_saved_by_the_command_too() {
    let database = TestDatabase::create().await;
    assert!(fails(&database, 1, &["budgets", "list"]).await.contains("no tables"));
    succeeds(&database, &["migrate"]).await;
    assert!(succeeds(&database, &["budgets", "list"]).await.starts_with("There is no budget"));
    let set = ["budgets", "set", "Search", "--usd=12.50", "--per=month", "--zone=Europe/Berlin"];
    succeeds(&database, &[&set[..], &["--tag=team=search", "--shares=90,100"]].concat()).await;
    succeeds(&database, &["budgets", "set", "all", "--tokens=1000", "--rolling-hours=24"]).await;
    let listed = succeeds(&database, &["budgets", "list"]).await;
    for part in ["Search", "month, Europe/Berlin", "$12.50", "last 24 h", "1,000", "0 %", "...."] {
        assert!(listed.contains(part), "{part} is missing in {listed}");
    }
    succeeds(&database, &["budgets", "set", "all", "--tokens=2000", "--per=day"]).await;
    let listed = succeeds(&database, &["budgets", "list"]).await;
    assert!(listed.contains("2,000") && !listed.contains("last 24 h"), "{listed}");
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let webhook = ["--webhook=https://a.example/", "--per=day", "--tokens=1"];
    let hooked = [&["budgets", "set", "hooked"][..], &webhook].concat();
    let refused = fails(&database, 1, &hooked).await;
    assert!(refused.contains("webhook_secret: must be given"), "{refused}");
    let file = format!("--webhook-secret-file={}", secret.display());
    succeeds(&database, &[&hooked[..], &[&file]].concat()).await;
    succeeds(&database, &["budgets", "delete", "all"]).await;
    assert!(fails(&database, 1, &["budgets", "delete", "all"]).await.contains("no budget \"all\""));
    let refused = fails(&database, 1, &["budgets", "set", "a", "--usd=0", "--per=day"]).await;
    assert!(refused.contains("nano_usd: must be from 1"), "{refused}");
}

#[tokio::test]
async fn readers_list_budgets_admins_save_them_and_scopes_see_none() {
    let file = TokensFile::new();
    let (read, admin) = (file.add("read", Role::Read), file.add("admin", Role::Admin));
    let scoped = file.add_scoped("scoped", &["model:m"]);
    let open = TestAnalytics::start().await;
    let guarded = guarded(&open, file.access()).await;
    reader(&guarded, Some(&admin)).await.save_budget(daily("all", 1)).await.unwrap();
    for (token, listed) in [(&read, 1), (&admin, 1), (&scoped, 0)] {
        let mut client = reader(&guarded, Some(token)).await;
        let found = client.list_budgets(ListBudgetsRequest {}).await.unwrap().into_inner().budgets;
        assert_eq!(found.len(), listed, "a budget may name what a scope hides");
    }
    for token in [&read, &scoped] {
        let mut client = reader(&guarded, Some(token)).await;
        let denied = client.save_budget(daily("b", 1)).await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);
        let request = DeleteBudgetRequest { budget_id: uuid::Uuid::now_v7().to_string() };
        let denied = client.delete_budget(request).await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);
    }
}
