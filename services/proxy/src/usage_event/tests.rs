//! The written event against the same event made as a message and encoded by `prost`.

use std::{sync::Arc, time::Duration};

use modash_metering::{Dialect, Head, Tokens};
use modash_proto::duration_from_micros;
use proptest::prelude::*;
use prost::Message as _;

use super::*;

fn wire(duration: Duration) -> prost_types::Duration {
    duration_from_micros(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

/// The event as a message.
fn message(exchange: &Exchange, finished: &Finished) -> UsageEvent {
    let facts = &exchange.facts;
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let mut event = UsageEvent {
        event_id: exchange.id.to_string(),
        replica_id: "replica".to_owned(),
        started_at: Some(timestamp_from_micros(exchange.started_at)),
        upstream: exchange.upstream.to_string(),
        dialect: Dialect::Unknown.id().to_owned(),
        method: facts.method.to_string(),
        path: facts.path().to_owned(),
        user_agent_family: owned(facts.user_agent_family()),
        client_key: exchange.client_key.map(|key| key.as_str().to_owned()),
        session: owned(facts.session()),
        tags: facts.tags.iter().cloned().map(|(name, value)| (name.into(), value.into())).collect(),
        trace_id: exchange.trace.map(|trace| format!("{:032x}", trace.trace_id)),
        span_id: exchange.trace.and_then(|trace| trace.span),
        parent_span_id: exchange.trace.and_then(|trace| trace.parent),
        status: finished.status.map(u32::from),
        outcome: outcome(finished).into(),
        usage_source: UsageSource::Unparseable.into(),
        connect: finished.connect.map(wire),
        upstream_head: finished.upstream_head.map(wire),
        upstream_sent: finished.sent_at.map(wire),
        duration: Some(wire(finished.duration)),
        request_bytes: exchange.progress.request_bytes.load(Ordering::Relaxed),
        response_bytes: exchange.progress.response_bytes.load(Ordering::Relaxed),
        ..UsageEvent::default()
    };
    if let Some(reading) = finished.reading.clone() {
        let tokens = reading.tokens;
        event.dialect = reading.dialect.id().to_owned();
        event.operation = operation(reading.operation).into();
        event.model_requested = reading.model_requested;
        event.model = reading.model;
        event.stream = reading.stream;
        event.user = reading.user;
        event.session = event.session.take().or(reading.session);
        event.response_id = reading.response_id;
        event.finish_reason = reading.finish_reason;
        event.service_tier = reading.service_tier;
        event.error_type = reading.error_type;
        event.book_once = reading.book_once;
        event.usage_source = usage_source(reading.source).into();
        event.previous_response_id = reading.previous_response_id;
        event.rate_limits = rate_limits::of(exchange, finished);
        event.prompt_tokens = tokens.prompt;
        event.cached_prompt_tokens = tokens.cached_prompt;
        event.cache_write_tokens = tokens.cache_write;
        event.cache_write_1h_tokens = tokens.cache_write_1h;
        event.completion_tokens = tokens.completion;
        event.reasoning_tokens = tokens.reasoning;
        event.audio_prompt_tokens = tokens.audio_prompt;
        event.audio_completion_tokens = tokens.audio_completion;
        event.cached_audio_prompt_tokens = tokens.cached_audio_prompt;
        event.image_prompt_tokens = tokens.image_prompt;
        event.cached_image_prompt_tokens = tokens.cached_image_prompt;
        event.image_completion_tokens = tokens.image_completion;
        event.images = tokens.images;
        event.characters = tokens.characters;
        event.total_tokens = tokens.total;
        event.billed_prompt_tokens = tokens.billed_prompt;
        event.billed_completion_tokens = tokens.billed_completion;
        event.search_units = tokens.search_units;
        event.billed_audio = tokens.billed_audio.map(wire);
        event.upstream_cost_usd = tokens.upstream_cost_usd;
        event.first_token = reading.first_content_at.map(wire);
        event.last_token = reading.last_content_at.map(wire);
        event.content_events = reading.content_events;
        event.token_gaps = histogram(&reading.gaps);
        event.prefill_tokens_per_second = reading.prefill_tokens_per_second;
        event.decode_tokens_per_second = reading.decode_tokens_per_second;
        event.speed_source = speed_source(reading.speed_source).into();
    }
    if let Some(failure) = failure(finished.ending) {
        event.error_type = Some(failure.to_owned());
        if event.upstream_head.is_none() {
            event.usage_source = UsageSource::NotReported.into();
        }
    }
    event.clean();
    event
}

fn texts() -> impl Strategy<Value = Vec<Option<String>>> {
    prop::collection::vec(prop::option::of(".{0,300}"), 9)
}

fn counts() -> impl Strategy<Value = Vec<Option<u64>>> {
    let count = prop_oneof![Just(0), 0..300_u64, any::<u64>().prop_map(|count| count >> 1)];
    prop::collection::vec(prop::option::of(count), 16)
}

fn reading(texts: Vec<Option<String>>, counts: &[Option<u64>], flag: bool) -> Reading {
    let mut text = texts.into_iter();
    let mut text = || text.next().flatten();
    let mut count = counts.iter().copied().cycle();
    let mut count = || count.next().flatten();
    let seconds = |count: Option<u64>| count.map(|count| Duration::from_micros(count >> 8));
    let number = |count: Option<u64>| count.map(|count| count as f64 / 7.0);
    let mut gaps = Histogram::default();
    counts.iter().flatten().filter(|_| flag).for_each(|count| gaps.record(*count as f64));
    Reading {
        dialect: Dialect::ALL[counts.len() % Dialect::ALL.len()],
        operation: metering::Operation::Embedding,
        model_requested: text(),
        model: text(),
        stream: flag,
        user: text(),
        session: text(),
        tokens: Tokens {
            prompt: count(),
            cached_prompt: count(),
            cache_write: count(),
            cache_write_1h: count(),
            completion: count(),
            reasoning: count(),
            audio_prompt: count(),
            audio_completion: count(),
            cached_audio_prompt: count(),
            image_prompt: count(),
            cached_image_prompt: count(),
            image_completion: count(),
            images: count(),
            characters: count(),
            total: count(),
            billed_prompt: count(),
            billed_completion: count(),
            search_units: number(count()),
            billed_audio: seconds(count()),
            upstream_cost_usd: number(count()),
        },
        source: metering::UsageSource::UpstreamPartial,
        finish_reason: text(),
        response_id: text(),
        service_tier: text(),
        error_type: text(),
        book_once: flag,
        outcome: metering::Outcome::Complete,
        first_content_at: seconds(count()),
        last_content_at: seconds(count()),
        first_visible_at: None,
        content_events: count().unwrap_or(0),
        gaps,
        prefill_tokens_per_second: number(count()),
        decode_tokens_per_second: number(count()),
        speed_source: flag.then_some(metering::SpeedSource::Measured),
        realtime: Vec::new(),
        first_token_offset: None,
        previous_response_id: text(),
        rate_limits: flag.then(|| metering::RateLimits {
            limits: counts[..3]
                .iter()
                .zip([
                    metering::RateLimitKind::Requests,
                    metering::RateLimitKind::Plan,
                    metering::RateLimitKind::Other,
                ])
                .map(|(count, kind)| metering::RateLimit {
                    kind,
                    window: "5h".to_owned(),
                    limit: Some(500),
                    remaining: count.map(|count| count % 500),
                    used: number(count.map(|count| count % 9)),
                    resets: Some(metering::When::After(Duration::from_millis(1_500))),
                })
                .collect(),
            retry_after: seconds(counts[3]).map(metering::When::At),
            at: seconds(counts[4]),
        }),
    }
}

proptest! {
    #[test]
    fn an_event_is_written_as_prost_encodes_it(
        texts in texts(),
        counts in counts(),
        status in prop::option::of(100..600_u16),
        ending in prop::sample::select(vec![
            Ending::Complete, Ending::UpstreamBusy, Ending::UpstreamTimeout, Ending::ClientClosed,
        ]),
        target in "/[a-z/%]{0,600}",
        headers in prop::collection::vec(("[a-z]{1,70}", "[ -~é]{0,150}"), 0..20),
        (flag, read) in (any::<bool>(), any::<bool>()),
        (trace, parent, span) in (1..=u128::MAX, 1..=u64::MAX, prop::option::of(any::<u64>())),
    ) {
        let mut request = http::Request::post(target).header("user-agent", "OpenAI/Python 1.2");
        for (name, value) in &headers {
            request = request.header(format!("x-modash-tag-{name}"), value);
        }
        if flag {
            request = request
                .header("session-id", "from a header")
                .header("TraceParent", format!("00-{trace:032x}-{parent:016x}-01"));
        }
        let head = request.body(()).unwrap().into_parts().0;
        let mut exchange = Exchange::begin(&Head::from(&head), "défaut\n".into(), Arc::default());
        let maker = EventMaker::new("replica".to_owned(), Fingerprinter::new(None));
        prop_assert_eq!(exchange.trace.map(|trace| trace.trace_id), flag.then_some(trace));
        exchange.trace.iter_mut().for_each(|trace| trace.span = span.filter(|span| *span != 0));
        exchange.client_key = flag.then(|| maker.fingerprinter.fingerprint(b"sk-1"));
        exchange.progress.request_bytes.store(counts[0].unwrap_or(0), Ordering::Relaxed);
        let finished = Finished {
            ending,
            duration: Duration::from_micros(counts[1].unwrap_or(0) >> 8),
            status,
            connect: counts[2].map(Duration::from_nanos),
            sent_at: counts[4].map(Duration::from_nanos),
            upstream_head: counts[3].map(Duration::from_nanos),
            reading: read.then(|| reading(texts, &counts, flag)),
        };
        let mut written = Vec::new();
        maker.write(&exchange, &finished, &mut written);
        let expected = message(&exchange, &finished);
        prop_assert_eq!(UsageEvent::decode(&*written).unwrap(), expected.clone());
        if expected.tags.len() < 2 {
            // The order of the entries of a map is open.
            prop_assert_eq!(written, expected.encode_to_vec());
        }
    }
}
