//! All doors give the same numbers at the same moment, to each reader its own.

use modash_access::{Role, Token};
use modash_integration::PATIENCE;
use modash_proto::{
    timestamp_from_micros,
    v1::{
        self, EventBatch, Hello, StreamUsageRequest, UsageEvent,
        ingest_service_client::IngestServiceClient, stream_usage_request::Message as Up,
        stream_usage_response::Message as Down,
    },
};
use modash_test_support::{TokensFile, event_at};
use prost::Message as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    doors::{Answer, Door, Question, ask},
    system::System,
};

const ROUNDS: usize = 200;
const EVENTS: usize = 400;
const HOUR: i64 = 3_600_000_000;

/// Stores events of the last day.
async fn store(system: &System, token: &Token, random: &mut StdRng) {
    let now = chrono_now();
    let events: Vec<_> = (0..EVENTS)
        .map(|_| {
            let team = ["x", "y"][random.random_range(0..2)];
            UsageEvent {
                model: Some(["a", "b", "c"][random.random_range(0..3)].to_owned()),
                prompt_tokens: Some(random.random_range(20..5_000)),
                completion_tokens: random.random_bool(0.8).then(|| random.random_range(0..900)),
                total_tokens: random.random_bool(0.8).then(|| random.random_range(0..9_000)),
                outcome: random.random_range(1..7),
                tags: [("team".to_owned(), team.to_owned())].into(),
                ..event_at(now - random.random_range(0..24 * HOUR))
            }
        })
        .collect();
    let (up, requests) = tokio::sync::mpsc::channel(4);
    let hello = Hello { replica_id: "replica-1".into(), next_sequence: 1, ..Hello::default() };
    let batch = EventBatch { first_sequence: 1, events, ..Default::default() };
    for message in [Up::Hello(hello), Up::Batch(batch)] {
        up.send(StreamUsageRequest { message: Some(message) }).await.unwrap();
    }
    let mut request = tonic::Request::new(ReceiverStream::new(requests));
    let bearer = format!("Bearer {}", token.expose()).parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let url = format!("http://{}", system.modash.analytics);
    let mut client = IngestServiceClient::connect(url).await.unwrap();
    let mut answers = client.stream_usage(request).await.unwrap().into_inner();
    let stored = async {
        loop {
            match answers.message().await.unwrap().unwrap().message.unwrap() {
                Down::Ack(ack) if ack.sequence == EVENTS as u64 => break,
                Down::Reject(reject) => panic!("{reject:?}"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, stored).await.unwrap();
}

fn chrono_now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_micros()).unwrap()
}

/// A question whose range has ended, so that its answer does not change.
fn question(random: &mut StdRng) -> Question {
    let end = chrono_now() / HOUR * HOUR - random.random_range(0..4) * HOUR / 2;
    let start = end - random.random_range(1..40) * HOUR / 2;
    let range = Some(v1::TimeRange {
        start: Some(timestamp_from_micros(start)),
        end: Some(timestamp_from_micros(end)),
    });
    let filter = v1::Filter {
        models: if random.random_bool(0.4) { vec!["a".into()] } else { Vec::new() },
        tags: if random.random_bool(0.3) {
            [("team".to_owned(), "x".to_owned())].into()
        } else {
            Default::default()
        },
        ..v1::Filter::default()
    };
    let (models, tags) = (filter.models.clone(), filter.tags.clone());
    let filter = Some(filter);
    let (method, message) = match random.random_range(0..4) {
        0 => {
            let question = v1::UsageSummaryRequest { range, filter, ..Default::default() };
            ("UsageSummary", question.encode_to_vec())
        }
        1 => {
            let question = v1::UsageTimeseriesRequest {
                range,
                filter,
                bucket_seconds: 3_600,
                ..Default::default()
            };
            ("UsageTimeseries", question.encode_to_vec())
        }
        2 => {
            let question = v1::ModelBreakdownRequest { range, filter, ..Default::default() };
            ("ModelBreakdown", question.encode_to_vec())
        }
        _ => {
            let question = v1::RecentRequestsRequest {
                range,
                filter,
                page: 1,
                page_size: 10,
                ..Default::default()
            };
            ("RecentRequests", question.encode_to_vec())
        }
    };
    // Both forms of JSON know RFC 3339.
    let wire = |micros: i64| {
        let seconds = u64::try_from(micros / 1_000_000).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        prost_types::Timestamp::from(time).to_string()
    };
    let mut json = json!({
        "range": { "start": wire(start), "end": wire(end) },
        "filter": { "models": models, "tags": tags },
    });
    if method == "UsageTimeseries" {
        json["bucketSeconds"] = json!(3_600);
    }
    if method == "RecentRequests" {
        json["page"] = json!(1);
        json["pageSize"] = json!(10);
    }
    Question {
        method: method.to_owned(),
        service: "modash.v1.AnalyticsService".to_owned(),
        message,
        json,
    }
}

/// A count in any of the forms of JSON; absent is 0.
fn count(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    value.as_u64().or(text).unwrap_or_default()
}

/// What an answer says, whatever its form.
fn numbers(method: &str, answer: Answer) -> Vec<(String, Vec<u64>)> {
    let counts = |name: &str, counts: &[u64]| (name.to_owned(), counts.to_vec());
    match answer {
        Answer::Message(bytes) => match method {
            "UsageSummary" => {
                let said = v1::UsageSummaryResponse::decode(bytes).unwrap();
                let prompt = said.prompt_tokens;
                vec![counts("", &[said.requests, prompt, said.total_tokens])]
            }
            "UsageTimeseries" => {
                let said = v1::UsageTimeseriesResponse::decode(bytes).unwrap();
                let series = said.series.iter();
                series
                    .map(|series| {
                        counts(&series.key, &[&series.requests[..], &series.total_tokens].concat())
                    })
                    .collect()
            }
            "ModelBreakdown" => {
                let said = v1::ModelBreakdownResponse::decode(bytes).unwrap();
                let rows = said.rows.iter();
                rows.map(|row| counts(&row.model, &[row.requests, row.total_tokens])).collect()
            }
            _ => {
                let said = v1::RecentRequestsResponse::decode(bytes).unwrap();
                let rows = said
                    .rows
                    .iter()
                    .map(|row| counts(&row.event_id, &[row.prompt_tokens.unwrap_or_default()]));
                rows.chain([counts("total", &[said.total])]).collect()
            }
        },
        Answer::Value(value) => {
            let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
            let key = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let of = |value: &Value, names: &[&str]| -> Vec<u64> {
                names.iter().map(|name| count(&value[*name])).collect()
            };
            match method {
                "UsageSummary" => {
                    vec![(String::new(), of(&value, &["requests", "promptTokens", "totalTokens"]))]
                }
                "UsageTimeseries" => list(&value["series"])
                    .iter()
                    .map(|series| {
                        let all =
                            [list(&series["requests"]), list(&series["totalTokens"])].concat();
                        (key(&series["key"]), all.iter().map(count).collect())
                    })
                    .collect(),
                "ModelBreakdown" => list(&value["rows"])
                    .iter()
                    .map(|row| (key(&row["model"]), of(row, &["requests", "totalTokens"])))
                    .collect(),
                _ => {
                    let rows = list(&value["rows"]);
                    let rows =
                        rows.iter().map(|row| (key(&row["eventId"]), of(row, &["promptTokens"])));
                    rows.chain([("total".to_owned(), of(&value, &["total"]))]).collect()
                }
            }
        }
        other => panic!("{method}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_doors_give_the_same_numbers_at_the_same_moment() {
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let file = TokensFile::new();
    let ingest = file.add("proxy", Role::Ingest);
    let readers = [file.add("all", Role::Read), file.add_scoped("team x", &["tag:team=x"])];
    let system = System::start(file, &[]).await;
    store(&system, &ingest, &mut random).await;
    let mut told = [0, 0];
    for round in 0..ROUNDS {
        let question = question(&mut random);
        let reader = random.random_range(0..2);
        let asked = Door::ALL.into_iter().filter(|door| *door != Door::Events).map(|door| {
            let (system, question, token) = (&system, &question, &readers[reader]);
            async move { (door, ask(system, door, question, Some(token)).await) }
        });
        let answers = futures_util::future::join_all(asked).await;
        let mut answers =
            answers.into_iter().map(|(door, answer)| (door, numbers(&question.method, answer)));
        let (_, first) = answers.next().unwrap();
        for (door, other) in answers {
            assert_eq!(other, first, "seed {seed}, round {round}, {door:?}, {question:?}");
        }
        told[reader] += first.iter().flat_map(|(_, counts)| counts).sum::<u64>();
    }
    assert!(told.iter().all(|sum| *sum > 0), "seed {seed}: nothing was compared: {told:?}");
}
