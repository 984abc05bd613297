//! An event that repeats an earlier one, with others between, counts again: the
//! last report wins, however the bytes are cut. Found by fuzzing.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use modash_metering::{BodyEnd, Limits, Meter, Reading};

fn read(body: &str, piece: usize) -> Reading {
    let uri = Uri::from_static("/v1beta/models/m:streamGenerateContent?alt=sse");
    let mut meter = Meter::new(&Method::POST, &uri, &HeaderMap::new(), Limits::default());
    meter.request_end();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
    meter.response_head(StatusCode::OK, &headers);
    for bytes in body.as_bytes().chunks(piece) {
        meter.response_data(bytes, Duration::from_millis(5));
    }
    meter.finish(BodyEnd::Complete, Duration::from_millis(9))
}

fn event(text: &str, tokens: u64) -> String {
    format!(
        "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}]}}}}],\
         \"usageMetadata\":{{\"promptTokenCount\":1,\"candidatesTokenCount\":{tokens}}}}}\n\n"
    )
}

#[test]
fn the_last_report_wins_also_if_it_was_made_before() {
    for others in 1..40 {
        let mut body = event("a", 1);
        (2..2 + others).for_each(|tokens| body.push_str(&event("b", tokens)));
        for again in [1, 2, others] {
            let body = format!("{body}{}", event("c", again));
            let whole = read(&body, usize::MAX);
            assert_eq!(whole.tokens.completion, Some(again), "after {others} others");
            for piece in [1, 7, 100, 1000] {
                assert_eq!(read(&body, piece), whole, "{others} others, pieces of {piece}");
            }
        }
    }
}
