//! Analytics behind PgBouncer in transaction mode (Debian's, which keeps no prepared
//! statements): each transaction of a connection is on another one of the server.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modash_integration::{PATIENCE, Process, Services, pgbouncer::PgBouncer, postgres::Postgres};
use modash_proto::{
    timestamp_from_micros,
    v1::{
        self, EventBatch, Hello, Outcome, RateLimit, RateLimits, StreamUsageRequest, UsageEvent,
        analytics_service_client::AnalyticsServiceClient,
        group_by::By,
        ingest_service_client::IngestServiceClient,
        save_budget_request::{Amount, Period},
        stream_usage_request::Message as Up,
        stream_usage_response::Message as Down,
        subscribe_response::Message as News,
    },
};
use modash_test_support::{event_at, eventually};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

/// Events of a stream, and of each batch.
const EVENTS: usize = 2_500;
const BATCH: usize = 125;

/// The setting with the way past the pooler.
const DIRECT: &str = "MODASH_ANALYTICS_LISTEN_DATABASE_URL";

const MINUTE: i64 = 60_000_000;

/// A cluster with a pooler that has three connections to it.
async fn pooled() -> (Postgres, PgBouncer) {
    let cluster = Postgres::start(&[]).await.with_database().await;
    let pooler = PgBouncer::start(&cluster, 3).await;
    (cluster, pooler)
}

fn settings(cluster: &Postgres) -> [(&'static str, String); 1] {
    [(DIRECT, cluster.url("modash", "modash"))]
}

/// Analytics that answers.
struct Analytics {
    process: Process,
    url: String,
}

impl Analytics {
    async fn start(database_url: &str, settings: &[(&'static str, String)]) -> Self {
        let process = Services::start_analytics_with(database_url, "127.0.0.1:0", settings);
        let url = format!("http://{}", process.address("analytics").await);
        let analytics = Self { process, url };
        eventually(PATIENCE, || async {
            let mut client = analytics.client().await;
            let asked = client.list_names(v1::ListNamesRequest {}).await;
            asked.map(drop).map_err(|status| format!("{status} {}", analytics.process.output()))
        })
        .await;
        analytics
    }

    async fn client(&self) -> AnalyticsServiceClient<Channel> {
        let channel = Channel::from_shared(self.url.clone()).unwrap().connect().await.unwrap();
        AnalyticsServiceClient::new(channel).max_decoding_message_size(64 << 20)
    }

    /// Sends events on a stream of their own, in batches, and waits until all are stored.
    async fn store(&self, replica_id: &str, events: &[UsageEvent]) {
        let (up, requests) = tokio::sync::mpsc::channel(4);
        let mut client = IngestServiceClient::connect(self.url.clone()).await.unwrap();
        let replica_id = replica_id.to_owned();
        let hello = Hello { replica_id, next_sequence: 1, ..Hello::default() };
        let say = async |message| {
            up.send(StreamUsageRequest { message: Some(message) }).await.unwrap();
        };
        say(Up::Hello(hello)).await;
        let mut answers = client.stream_usage(ReceiverStream::new(requests)).await.unwrap();
        let sending = async {
            for (at, events) in events.chunks(BATCH).enumerate() {
                let first_sequence = (at * BATCH) as u64 + 1;
                let events = events.to_vec();
                say(Up::Batch(EventBatch { first_sequence, events, ..Default::default() })).await;
            }
        };
        let stored = async {
            loop {
                match answers.get_mut().message().await.unwrap().unwrap().message.unwrap() {
                    Down::Ack(ack) if ack.sequence == events.len() as u64 => break,
                    Down::Reject(reject) => panic!("{reject:?}"),
                    _ => {}
                }
            }
        };
        let both = async { tokio::join!(sending, stored) };
        tokio::time::timeout(3 * PATIENCE, both).await.unwrap();
    }
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_micros()).unwrap()
}

/// Events of the last five hours, with what is summed up apart from requests.
fn events(replica_id: &str, until: i64) -> Vec<UsageEvent> {
    let event = |at: usize| {
        let micros = i64::try_from(at).unwrap();
        let resets_at = Some(timestamp_from_micros(until));
        let limit = RateLimit {
            kind: v1::RateLimitKind::Requests.into(),
            limit: Some(100),
            remaining: Some(at as u64 % 100),
            resets_at,
            ..RateLimit::default()
        };
        let failed = at.is_multiple_of(17);
        UsageEvent {
            replica_id: replica_id.to_owned(),
            model: Some(format!("model-{}", at % 7)),
            client_key: Some(format!("key-{}", at % 11)),
            user: Some(format!("user-{}", at % 5)),
            session: at.is_multiple_of(3).then(|| format!("session-{}", at % 30)),
            tags: [("team".to_owned(), format!("team-{}", at % 4))].into(),
            prompt_tokens: Some(at as u64 + 100),
            total_tokens: Some(at as u64 + 150),
            outcome: if failed { Outcome::StreamError } else { Outcome::Ok }.into(),
            error_type: failed.then(|| "overloaded".to_owned()),
            rate_limits: at.is_multiple_of(50).then(|| RateLimits {
                limits: vec![limit],
                observed_at: resets_at,
                ..RateLimits::default()
            }),
            ..event_at(until - 5 * 60 * MINUTE + micros * 7 * MINUTE / 60)
        }
    };
    (0..EVENTS).map(event).collect()
}

/// Every question of a range; what depends on the moment is left out.
async fn ask(
    client: &mut AnalyticsServiceClient<Channel>,
    start: i64,
    end: i64,
) -> Result<Vec<String>, tonic::Status> {
    let range = Some(v1::TimeRange {
        start: Some(timestamp_from_micros(start)),
        end: Some(timestamp_from_micros(end)),
    });
    let by =
        |dimension: v1::Dimension| Some(v1::GroupBy { by: Some(By::Dimension(dimension.into())) });
    let filter = Some(v1::Filter { models: vec!["model-1".into()], ..v1::Filter::default() });
    let mut answers = Vec::new();
    macro_rules! ask {
        ($method:ident, $request:ident { $($field:ident $(: $value:expr)?),* $(,)? }) => {
            ask!($method, v1::$request { $($field $(: $value)?,)* ..Default::default() });
        };
        ($method:ident, $request:expr) => {
            answers.push(format!("{:?}", client.$method($request).await?.into_inner()));
        };
    }
    ask!(usage_summary, UsageSummaryRequest { range, compare_previous: true });
    ask!(usage_summary, UsageSummaryRequest { range, filter: filter.clone() });
    ask!(
        usage_timeseries,
        UsageTimeseriesRequest {
            range,
            bucket_seconds: 300,
            group_by: by(v1::Dimension::User),
            top: 3
        }
    );
    ask!(
        throughput_timeseries,
        ThroughputTimeseriesRequest { range, bucket_seconds: 60, filter: filter.clone() }
    );
    ask!(model_breakdown, ModelBreakdownRequest { range });
    ask!(breakdown, BreakdownRequest { range, group_by: by(v1::Dimension::ClientKey) });
    ask!(breakdown, BreakdownRequest { range, group_by: by(v1::Dimension::Session) });
    ask!(recent_requests, RecentRequestsRequest { range, page: 2, page_size: 50 });
    ask!(error_breakdown, ErrorBreakdownRequest { range });
    ask!(rate_limits, RateLimitsRequest { range });
    ask!(sessions, SessionsRequest { range });
    ask!(session, SessionRequest { session: "session-3".into() });
    ask!(list_views, v1::ListViewsRequest {});
    ask!(list_names, v1::ListNamesRequest {});
    ask!(list_marks, v1::ListMarksRequest { range });
    Ok(answers)
}

async fn requests(client: &mut AnalyticsServiceClient<Channel>, start: i64, end: i64) -> u64 {
    let range = Some(v1::TimeRange {
        start: Some(timestamp_from_micros(start)),
        end: Some(timestamp_from_micros(end)),
    });
    let summary = v1::UsageSummaryRequest { range, ..Default::default() };
    client.usage_summary(summary).await.unwrap().into_inner().requests
}

/// Waits until all changes are in the rollups.
async fn folded(cluster: &Postgres) {
    eventually(PATIENCE, || async {
        let waiting = "SELECT count(*) FROM rollup_changes";
        let waiting = cluster.psql(&cluster.url("modash", "modash"), waiting).await;
        if waiting == "0" { Ok(()) } else { Err(waiting) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_a_direct_connection() {
    let (cluster, pooler) = pooled().await;
    let (pooled, direct) = (pooler.url("modash", "modash"), cluster.url("modash", "modash"));
    // The first one makes the tables.
    let first = Analytics::start(&pooled, &settings(&cluster)).await;
    let second = Analytics::start(&pooled, &settings(&cluster)).await;
    let mut client = first.client().await;
    let mut other = second.client().await;

    // What one saves, the other reads.
    let view = v1::SaveViewRequest { name: "mine".into(), path: "/models".into() };
    client.save_view(view).await.unwrap();
    let kind = v1::NamedKind::User.into();
    let name = v1::SetNameRequest { kind, id: "user-1".into(), name: "Ada".into() };
    client.set_name(name).await.unwrap();
    client.add_mark(v1::AddMarkRequest { text: "v2".into(), ..Default::default() }).await.unwrap();
    let budget = v1::SaveBudgetRequest {
        name: "all".into(),
        period: Some(Period::Calendar(v1::CalendarPeriod::Month.into())),
        amount: Some(Amount::Tokens(1_000)),
        shares: vec![50, 100],
        ..Default::default()
    };
    client.save_budget(budget).await.unwrap();
    let budgets = other.list_budgets(v1::ListBudgetsRequest {}).await.unwrap().into_inner();
    assert_eq!(budgets.budgets.len(), 1, "{budgets:?}");
    assert_eq!(
        other.list_views(v1::ListViewsRequest {}).await.unwrap().into_inner().views.len(),
        1
    );

    // Two streams, and questions of all kinds meanwhile.
    let end = (now() / MINUTE + 2) * MINUTE;
    let start = end - 6 * 60 * MINUTE;
    let mut news = other.subscribe(v1::SubscribeRequest::default()).await.unwrap().into_inner();
    let (ours, theirs) = (events("replica-1", now()), events("replica-2", now()));
    let asking = async |analytics: &Analytics| {
        let mut client = analytics.client().await;
        loop {
            ask(&mut client, start, end).await.unwrap_or_else(|status| {
                panic!("{status}: {}{}", analytics.process.output(), pooler.output())
            });
        }
    };
    let storing = async {
        tokio::join!(first.store("replica-1", &ours), second.store("replica-2", &theirs));
    };
    tokio::select! {
        () = storing => {}
        () = asking(&first) => {}
        () = asking(&first) => {}
        () = asking(&second) => {}
    }
    // What comes a second time goes through a temporary table.
    tokio::join!(
        first.store("replica-1", &ours[..4 * BATCH]),
        second.store("replica-1", &ours[..4 * BATCH]),
    );

    // A reader of the second one heard of the commits of the first one too.
    let told = async {
        let mut told = 0;
        while told < 2 * EVENTS as u64 {
            let answer = news.message().await.unwrap().unwrap();
            if let Some(News::UsageUpdated(update)) = answer.message {
                told += update.requests;
            }
        }
    };
    let heard = tokio::time::timeout(PATIENCE, told).await;
    heard.unwrap_or_else(|_| panic!("{}", second.process.output()));

    folded(&cluster).await;
    let reference = Analytics::start(&direct, &[]).await;
    let mut reference = reference.client().await;
    let expected = ask(&mut reference, start, end).await.unwrap();
    for client in [&mut client, &mut other] {
        assert_eq!(requests(client, start, end).await, 2 * EVENTS as u64);
        let found = ask(client, start, end).await.unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected);
        }
    }

    // Upkeep ran, and nothing was left on the connections of the pooler.
    let vacuumed = "SELECT sum(vacuum_count) > 0 FROM pg_stat_user_tables \
                    WHERE relname = 'rollup_changes'";
    eventually(PATIENCE, || async { cluster.psql(&direct, vacuumed).await == "t" }).await;
    let ahead = "SELECT count(*) > 2 FROM pg_inherits WHERE inhparent = 'requests'::regclass";
    assert_eq!(cluster.psql(&direct, ahead).await, "t");
    for left in [
        "SELECT count(*) FROM pg_prepared_statements",
        "SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()",
        "SELECT count(*) FROM pg_settings WHERE name = 'jit' AND setting = 'off'",
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    ] {
        // Each of them on another one.
        for _ in 0..3 {
            assert_eq!(cluster.psql(&pooled, left).await, "0", "{left}");
        }
    }
    for analytics in [&first, &second] {
        let output = analytics.process.output();
        assert!(!output.contains("\"WARN\"") && !output.contains("\"ERROR\""), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_pooler_is_killed_and_started_again() {
    let (cluster, mut pooler) = pooled().await;
    let analytics = Analytics::start(&pooler.url("modash", "modash"), &settings(&cluster)).await;
    let end = (now() / MINUTE + 2) * MINUTE;
    let events = events("replica-1", now());
    let faults = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            pooler.kill().await;
            tokio::time::sleep(Duration::from_millis(400)).await;
            pooler.start_again().await;
        }
    };
    // Events come until the last fault is over.
    let storing = async {
        let faults = tokio::spawn(tokio::time::sleep(Duration::from_secs(3)));
        let mut rounds = 0;
        while rounds == 0 || !faults.is_finished() {
            let of_round: Vec<UsageEvent> =
                events.iter().map(|event| modash_test_support::another(event.clone())).collect();
            analytics.store("replica-1", &of_round).await;
            rounds += 1;
        }
        rounds
    };
    let (rounds, ()) = tokio::join!(storing, faults);
    let mut client = analytics.client().await;
    let expected = rounds * EVENTS as u64;
    let start = end - 6 * 60 * MINUTE;
    eventually(PATIENCE, || async {
        let range = Some(v1::TimeRange {
            start: Some(timestamp_from_micros(start)),
            end: Some(timestamp_from_micros(end)),
        });
        let summary = v1::UsageSummaryRequest { range, ..Default::default() };
        let answer = client.clone().usage_summary(summary).await;
        answer.map(drop).map_err(|status| status.to_string())
    })
    .await;
    assert_eq!(requests(&mut client, start, end).await, expected);
    folded(&cluster).await;
    assert_eq!(requests(&mut client, start, end).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_without_a_way_past_it_is_refused_with_what_to_do() {
    let (cluster, pooler) = pooled().await;
    cluster.run("CREATE DATABASE other OWNER modash").await;
    let url = pooler.url("modash", "modash");
    let wait = ("MODASH_ANALYTICS_DATABASE_WAIT_SECONDS", "2".to_owned());
    for (direct, says) in [
        (None, "set MODASH_ANALYTICS_LISTEN_DATABASE_URL to a URL of PostgreSQL itself"),
        (Some(url.clone()), "it must lead to PostgreSQL itself"),
        (Some(cluster.url("modash", "other")), "lead to different databases or servers"),
    ] {
        let mut settings = vec![wait.clone()];
        settings.extend(direct.map(|direct| (DIRECT, direct)));
        let mut analytics = Services::start_analytics_with(&url, "127.0.0.1:0", &settings);
        assert!(!analytics.ended().await.success());
        analytics.says(says).await;
    }
    // No lock of a migration was left behind.
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(cluster.run(locks).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_session_mode_needs_nothing_else() {
    let cluster = Postgres::start(&[]).await.with_database().await;
    let pooler =
        PgBouncer::start_with(&cluster, "pool_mode = session\ndefault_pool_size = 40").await;
    let analytics = Analytics::start(&pooler.url("modash", "modash"), &[]).await;
    analytics.store("replica-1", &events("replica-1", now())).await;
    folded(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_the_doctor_know_the_way_past_the_pooler() {
    let (cluster, pooler) = pooled().await;
    let directory = tempfile::tempdir().unwrap();
    let data = ("MODASH_DATA_DIRECTORY", directory.path().display().to_string());
    let url = ("DATABASE_URL", pooler.url("modash", "modash"));
    let direct = (DIRECT, cluster.url("modash", "modash"));
    let with = vec![data.clone(), url.clone(), direct];
    Process::start("modash-analytics", &with, &["migrate"]).succeeds().await;
    for more in [["--method=ingest", "--seed=7"], ["--method=bulk", "--seed=8"]] {
        let generate = ["data", "generate", "--rows=2000", "--days=3", "--add"];
        Process::start("modash", &with, &[&generate[..], &more].concat()).succeeds().await;
    }
    let size = Process::start("modash", &with, &["data", "size", "--json"]).succeeds().await;
    assert!(size.contains("4000"), "{size}");
    Process::start(
        "modash",
        &with,
        &["rollups", "rebuild", "--from=2020-01-01T00:00:00Z", "--to=2100-01-01T00:00:00Z"],
    )
    .succeeds()
    .await;

    let doctor = async |settings: &[(&'static str, String)]| {
        let mut doctor = Process::start("modash", settings, &["doctor"]);
        let _ = doctor.ended().await;
        doctor.says_no_more().await;
        doctor.output()
    };
    let (asked, advice) = (doctor(&with).await, "leads to a connection pooler in transaction mode");
    assert!(!asked.contains(advice), "{asked}");
    let asked = doctor(&[data, url]).await;
    assert!(asked.contains(advice) && asked.contains(DIRECT), "{asked}");
}
