//! A simulated day before the demo began, so that there is something to look
//! back on. It goes the way of all events: by gRPC into analytics.

use std::collections::HashMap;

use modash_access::Token;
use modash_histogram::Histogram;
use modash_proto::{
    MAX_EVENTS_PER_BATCH, duration_from_micros, event_id, timestamp_from_micros,
    v1::{
        EventBatch, Hello, LogHistogram, Operation, Outcome, SpeedSource, StreamUsageRequest,
        UsageEvent, UsageSource, UsageSummaryRequest,
        analytics_service_client::AnalyticsServiceClient,
        ingest_service_client::IngestServiceClient, stream_usage_request::Message,
    },
};
use rand::{Rng, SeedableRng as _, rngs::StdRng};
use tonic::{Request, Status, transport::Channel};

use super::DemoTokens;

const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

/// Mean time between two requests in the busiest hour.
const BUSY_PAUSE_MICROS: f64 = 3_000_000.0;

/// One kind of use.
struct Habit {
    model: &'static str,
    dialect: &'static str,
    path: &'static str,
    operation: Operation,
    stream: bool,
    /// How often, in relation to the others.
    weight: f64,
    /// Typical prompt and output tokens.
    tokens: (f64, f64),
    /// Prefill and decode tokens per second.
    speed: (f64, f64),
    /// Share of the prompt that comes from a cache.
    cached: f64,
    client: &'static str,
    app: &'static str,
    /// An agent, whose requests belong to sessions and send all that went before.
    agent: bool,
}

const HABITS: [Habit; 6] = [
    habit("qwen3-8b", true, 30.0, (900.0, 260.0), (4_000.0, 62.0), 0.3, "support-bot"),
    habit("gpt-oss-20b", true, 18.0, (2_400.0, 420.0), (2_600.0, 48.0), 0.5, "code-review"),
    habit("gpt-4.1-mini", true, 22.0, (1_300.0, 180.0), (9_000.0, 110.0), 0.4, "search"),
    habit("llama-3.3-70b", false, 8.0, (1_800.0, 350.0), (1_500.0, 21.0), 0.0, "reports"),
    Habit {
        dialect: "anthropic-messages",
        path: "/v1/messages",
        client: "claude-cli",
        agent: true,
        ..habit("claude-sonnet-4-5", true, 16.0, (14_000.0, 520.0), (12_000.0, 74.0), 0.8, "coding")
    },
    Habit {
        dialect: "openai-embeddings",
        path: "/v1/embeddings",
        operation: Operation::Embedding,
        ..habit("nomic-embed-text", false, 12.0, (600.0, 0.0), (20_000.0, 0.0), 0.0, "search")
    },
];

const fn habit(
    model: &'static str,
    stream: bool,
    weight: f64,
    tokens: (f64, f64),
    speed: (f64, f64),
    cached: f64,
    app: &'static str,
) -> Habit {
    Habit {
        model,
        dialect: "openai-chat",
        path: "/v1/chat/completions",
        operation: Operation::Chat,
        stream,
        weight,
        tokens,
        speed,
        cached,
        client: "openai-python",
        app,
        agent: false,
    }
}

/// A call that shows a token, if one is needed.
#[allow(clippy::result_large_err, reason = "the status is the error of the caller")]
fn with_token<T>(message: T, token: Option<&Token>) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value = format!("Bearer {}", token.expose()).parse();
        let value = value.map_err(|_| Status::internal("the token is no header value"))?;
        request.metadata_mut().insert("authorization", value);
    }
    Ok(request)
}

/// Records the day before `now` (microseconds since 1970), unless something is
/// recorded already.
pub(super) async fn record(analytics: String, tokens: DemoTokens, now: i64) -> Result<(), Status> {
    let connect = Channel::from_shared(analytics)
        .map_err(|error| Status::internal(error.to_string()))?
        .connect()
        .await;
    let channel = connect.map_err(|error| Status::unavailable(error.to_string()))?;
    let summary = AnalyticsServiceClient::new(channel.clone())
        .usage_summary(with_token(UsageSummaryRequest::default(), tokens.read.as_ref())?)
        .await?
        .into_inner();
    if summary.requests > 0 {
        return Ok(());
    }
    let events = day(now);
    let count = events.len() as u64;
    let hello = Hello {
        replica_id: "demo-day-before".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        next_sequence: 1,
        ..Hello::default()
    };
    let mut messages = vec![Message::Hello(hello)];
    let mut first_sequence = 1;
    for events in events.chunks(MAX_EVENTS_PER_BATCH / 5) {
        messages.push(Message::Batch(EventBatch {
            first_sequence,
            events: events.to_vec(),
            ..Default::default()
        }));
        first_sequence += events.len() as u64;
    }
    let messages =
        messages.into_iter().map(|message| StreamUsageRequest { message: Some(message) });
    // The stream stays open until everything is committed.
    let messages = tokio_stream::StreamExt::chain(
        tokio_stream::iter(messages.collect::<Vec<_>>()),
        tokio_stream::pending(),
    );
    let mut answers = IngestServiceClient::new(channel)
        .stream_usage(with_token(messages, tokens.ingest.as_ref())?)
        .await?
        .into_inner();
    while let Some(answer) = answers.message().await? {
        if let Some(modash_proto::v1::stream_usage_response::Message::Ack(ack)) = answer.message
            && ack.sequence >= count
        {
            break;
        }
    }
    Ok(())
}

/// The events of the day before `now`, the same ones for the same `now`.
fn day(now: i64) -> Vec<UsageEvent> {
    let mut random = StdRng::seed_from_u64(now.unsigned_abs());
    let mut events = Vec::new();
    let mut turns = HashMap::new();
    let mut at = now - DAY_MICROS;
    loop {
        let pause = -BUSY_PAUSE_MICROS * random.random_range(f64::EPSILON..1.0).ln();
        at += (pause / busyness(at)) as i64;
        // The traffic itself takes over from here.
        if at >= now - 60_000_000 {
            return events;
        }
        events.push(event(&mut random, &mut turns, at));
    }
}

/// How busy it is: 1 in the afternoon (UTC), a quarter in the night.
fn busyness(at: i64) -> f64 {
    let hour = (at.rem_euclid(DAY_MICROS)) as f64 / 3.6e9;
    0.625 - 0.375 * ((hour - 2.5) / 24.0 * std::f64::consts::TAU).cos()
}

/// `turns`: how many requests each session has had.
fn event(random: &mut StdRng, turns: &mut HashMap<String, f64>, at: i64) -> UsageEvent {
    let habit = choose(random);
    let user = ["ana", "ben", "chris", "dana", "eli"][random.random_range(0..5)];
    // People begin a new one every hour.
    let session = habit.agent.then(|| format!("{user}-{}", at / 3_600_000_000));
    let mut vary = |typical: f64| typical * random.random_range(-0.7_f64..0.7).exp();
    let (mut prompt, completion) = (vary(habit.tokens.0).round(), vary(habit.tokens.1).round());
    if let Some(session) = &session {
        let turn = turns.entry(session.clone()).or_default();
        *turn += 1.0;
        prompt = (habit.tokens.0 + *turn * vary(1_500.0)).round();
    }
    let cached = (prompt * habit.cached * vary(0.6).min(1.0)).round();
    let (prefill, decode) = (vary(habit.speed.0), vary(habit.speed.1).max(1.0));
    let first = (prompt - cached) / prefill + 0.05;
    let last = first + (completion - 1.0).max(0.0) / decode;
    let failed = random.random_bool(0.02);
    let left = habit.stream && random.random_bool(0.015);
    let outcome = match (failed, left) {
        (true, _) => Outcome::HttpError,
        (_, true) => Outcome::ClientClosed,
        _ => Outcome::Ok,
    };
    let mut event = UsageEvent {
        event_id: id(random, at),
        replica_id: "demo-day-before".to_owned(),
        started_at: Some(timestamp_from_micros(at)),
        upstream: "default".to_owned(),
        dialect: habit.dialect.to_owned(),
        operation: habit.operation.into(),
        method: "POST".to_owned(),
        path: habit.path.to_owned(),
        model_requested: Some(habit.model.to_owned()),
        model: Some(habit.model.to_owned()),
        stream: habit.stream,
        user_agent_family: Some(habit.client.to_owned()),
        user: Some(user.to_owned()),
        session,
        tags: [("app".to_owned(), habit.app.to_owned())].into(),
        status: Some(if failed { 429 } else { 200 }),
        outcome: outcome.into(),
        error_type: failed.then(|| "rate_limit_exceeded".to_owned()),
        usage_source: UsageSource::NotReported.into(),
        upstream_head: Some(seconds(0.04)),
        duration: Some(seconds(if failed { 0.06 } else { last })),
        request_bytes: (prompt * 4.2) as u64,
        response_bytes: if failed { 160 } else { (completion * 180.0) as u64 + 400 },
        ..UsageEvent::default()
    };
    if !failed && !left {
        event.finish_reason = Some("stop".to_owned());
        event.usage_source = UsageSource::Upstream.into();
        event.prompt_tokens = Some(prompt as u64);
        event.cached_prompt_tokens = Some(cached as u64);
        event.completion_tokens = Some(completion as u64);
        event.total_tokens = Some((prompt + completion) as u64);
    }
    if !failed && habit.stream {
        add_stream(&mut event, first, last, completion as u64);
        if !left {
            event.decode_tokens_per_second = Some(decode);
            event.prefill_tokens_per_second = Some((prompt - cached) / first);
            event.speed_source = SpeedSource::Measured.into();
        }
    }
    event
}

fn add_stream(event: &mut UsageEvent, first: f64, last: f64, events: u64) {
    event.first_token = Some(seconds(first));
    event.last_token = Some(seconds(last));
    event.content_events = events;
    if events < 2 {
        return;
    }
    let gap = (last - first) / (events - 1) as f64 * 1e6;
    let mut gaps = Histogram::default();
    for (share, stretch) in [(0.6, 1.0), (0.3, 0.9), (0.1, 1.6)] {
        let bucket = modash_histogram::bucket_of(gap * stretch);
        gaps.add(bucket, ((events - 1) as f64 * share) as u64);
    }
    let (indexes, counts) = gaps.buckets().iter().copied().unzip();
    event.token_gaps = Some(LogHistogram { indexes, counts });
}

fn choose(random: &mut StdRng) -> &'static Habit {
    let total: f64 = HABITS.iter().map(|habit| habit.weight).sum();
    let mut at = random.random_range(0.0..total);
    let chosen = HABITS.iter().find(|habit| {
        at -= habit.weight;
        at < 0.0
    });
    chosen.unwrap_or(&HABITS[0])
}

/// The id of an event in the past.
fn id(random: &mut StdRng, at: i64) -> String {
    let micros = u64::try_from(at).unwrap_or_default();
    uuid::Uuid::from_u128(event_id(micros, random.random())).to_string()
}

fn seconds(seconds: f64) -> prost_types::Duration {
    duration_from_micros((seconds * 1e6) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    use uuid::Uuid;

    const NOW: i64 = 1_795_459_334_000_000;

    #[test]
    fn every_event_of_the_day_can_be_stored_and_lies_in_it() {
        let events = day(NOW);
        assert!(events.len() > 2_000, "{}", events.len());
        for event in &events {
            assert_eq!(event.check(), Ok(()));
            let at = event.started_at.as_ref().and_then(modash_proto::micros_from_timestamp);
            assert!(at.is_some_and(|at| (NOW - DAY_MICROS..NOW).contains(&at)));
            assert!(Uuid::try_parse(&event.event_id).is_ok_and(|id| id.get_version_num() == 7));
        }
    }

    #[test]
    fn the_same_day_is_the_same_again() {
        assert_eq!(day(NOW), day(NOW));
    }
}
