//! A real generation of a few tokens: do streams report usage?

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, Uri, header};
use modash_metering::{BodyEnd, Limits, Meter, UsageSource};
use serde_json::{Value, json};

use super::{
    ServerKind, Unreached,
    exchange::{Answer, Caller},
};

/// How long a generation may take: a model may have to be loaded first.
const GENERATE_WITHIN: Duration = Duration::from_secs(120);

/// Most tokens that are generated, each time.
const TOKENS: u32 = 8;

/// What a generation showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Path that was asked.
    pub path: String,
    /// Whether a stream reports usage that nobody asked for.
    pub unasked: TrialUsage,
    /// The same for a stream that asks, as `MODASH_PROXY_STREAM_USAGE=inject` does.
    /// `None`: that was not tried.
    pub asked: Option<TrialUsage>,
}

/// Usage of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrialUsage {
    /// Reported: prompt and completion tokens.
    Reported(Option<u64>, Option<u64>),
    /// A stream without counts.
    Absent,
    /// The upstream answered with an error.
    Refused {
        /// Its status.
        status: u16,
        /// Its words.
        message: Option<String>,
    },
}

pub(super) async fn run(
    caller: &mut Caller,
    base_path: &str,
    kind: ServerKind,
    model: &str,
) -> Result<Trial, Unreached> {
    let anthropic = kind == ServerKind::Anthropic;
    let path = if anthropic { "/v1/messages" } else { "/v1/chat/completions" };
    let path = format!("{base_path}{path}");
    let mut body = json!({
        "model": model,
        "stream": true,
        "messages": [{ "role": "user", "content": "Say hi." }],
    });
    // OpenAI's own models know the older name no more.
    let limit = if kind == ServerKind::OpenAi { "max_completion_tokens" } else { "max_tokens" };
    body[limit] = TOKENS.into();
    let unasked = ask(caller, &path, &body).await?;
    let asked = if unasked == TrialUsage::Absent && !anthropic {
        body["stream_options"] = json!({ "include_usage": true });
        Some(ask(caller, &path, &body).await?)
    } else {
        None
    };
    Ok(Trial { path, unasked, asked })
}

async fn ask(caller: &mut Caller, path: &str, body: &Value) -> Result<TrialUsage, Unreached> {
    let body = body.to_string();
    let answer = caller.call("POST", path, body.clone(), GENERATE_WITHIN).await?;
    Ok(usage(path, &body, &answer))
}

/// As the proxy would have metered it.
fn usage(path: &str, body: &str, answer: &Answer) -> TrialUsage {
    if !answer.is_success() {
        return TrialUsage::Refused { status: answer.status, message: answer.message() };
    }
    let uri = path.parse::<Uri>().unwrap_or_default();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    let mut meter = Meter::new(&Method::POST, &uri, &headers, Limits::default());
    meter.request_data(body.as_bytes());
    meter.request_end();
    let status = StatusCode::from_u16(answer.status).unwrap_or_default();
    meter.response_head(status, &answer.headers);
    meter.response_data(&answer.body, Duration::from_millis(1));
    let reading = meter.finish(BodyEnd::Complete, Duration::from_millis(2));
    match reading.source {
        UsageSource::Upstream | UsageSource::UpstreamPartial => {
            TrialUsage::Reported(reading.tokens.prompt, reading.tokens.completion)
        }
        _ => TrialUsage::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"model":"m","stream":true,"messages":[]}"#;

    fn stream(status: u16, events: &str) -> TrialUsage {
        let mut headers = HeaderMap::new();
        let events_type = header::HeaderValue::from_static("text/event-stream");
        headers.insert(header::CONTENT_TYPE, events_type);
        let answer = Answer { status, headers, body: events.as_bytes().to_vec() };
        usage("/v1/chat/completions", BODY, &answer)
    }

    #[test]
    fn a_stream_with_usage_one_without_and_an_error_are_told_apart() {
        let content = r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#;
        let last = r#"data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#;
        let with = format!("{content}\n\n{last}\n\ndata: [DONE]\n\n");
        assert_eq!(stream(200, &with), TrialUsage::Reported(Some(7), Some(2)));
        let without = format!("{content}\n\ndata: [DONE]\n\n");
        assert_eq!(stream(200, &without), TrialUsage::Absent);
        let refused = stream(404, r#"{"error":{"message":"no such model"}}"#);
        let message = Some("no such model".to_owned());
        assert_eq!(refused, TrialUsage::Refused { status: 404, message });
    }
}
