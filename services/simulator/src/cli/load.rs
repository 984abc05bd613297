//! `modash-simulator load`: the plan from the command line, a line of progress,
//! the report.

use std::{
    fs,
    io::{IsTerminal as _, Write as _},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header::CONTENT_TYPE};
use modash_runtime::{Mistakes, Seconds, ServiceContext};

use crate::{
    dialect::Dialect,
    load::{Arrival, Check, LoadPlan, Progress},
    wire::{Object, object},
};

#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    /// URL to send to
    #[arg(long, default_value = "http://127.0.0.1:4005/v1/chat/completions")]
    url: Uri,

    /// Body to send, or @FILE; without it a small request of the API that the
    /// path belongs to
    #[arg(long)]
    body: Option<String>,

    /// Ask for a stream, in the small request
    #[arg(long)]
    stream: bool,

    /// Make the prompt of the small request this long
    #[arg(long, default_value = "0")]
    prompt_bytes: usize,

    /// Header to send, as "name: value"; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,

    /// Connections, each with one request at a time
    #[arg(long, short, default_value = "16")]
    connections: usize,

    /// Requests due per second over all connections (open loop); without it each
    /// connection sends when it has its answer (closed loop)
    #[arg(long)]
    rate: Option<f64>,

    /// Seconds to send for
    #[arg(long, default_value = "10")]
    seconds: String,

    /// Stop after this many requests
    #[arg(long)]
    requests: Option<u64>,

    /// Seconds of load before the measurement
    #[arg(long, default_value = "1")]
    warmup_seconds: f64,

    /// Seconds after which an answer is given up
    #[arg(long, default_value = "30")]
    timeout_seconds: String,

    /// Send HTTP/2 with prior knowledge
    #[arg(long)]
    http2: bool,

    /// Compare every body with the answer of this URL to the same request
    /// (the server has to run with --prebuilt)
    #[arg(long, value_name = "URL")]
    expect_from: Option<Uri>,

    /// Process whose processor time and memory are reported; may be repeated
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,

    /// Write the report as JSON
    #[arg(long)]
    json: bool,

    /// Write no line of progress
    #[arg(long, short)]
    quiet: bool,
}

impl LoadArgs {
    /// The plan; all mistakes are noted.
    pub(super) fn plan(&self, mistakes: &mut Mistakes) -> Option<LoadPlan> {
        let mut seconds = |name: &str, text: &str| {
            Seconds::from_str(text).map_err(|error| mistakes.add(name, error)).ok()
        };
        let duration = seconds("--seconds", &self.seconds);
        let timeout = seconds("--timeout-seconds", &self.timeout_seconds);
        let warmup = Duration::try_from_secs_f64(self.warmup_seconds)
            .map_err(|_| mistakes.add("--warmup-seconds", "must be 0 or more"))
            .ok();
        let headers = self.header_map(mistakes);
        let body = self.body(mistakes);
        Some(LoadPlan {
            url: self.url.clone(),
            method: Method::POST,
            headers: headers?,
            body: body?,
            http2: self.http2,
            connections: self.connections,
            arrival: match self.rate {
                Some(per_second) => Arrival::Open { per_second },
                None => Arrival::Closed,
            },
            duration: duration?.0,
            requests: self.requests,
            warmup: warmup?,
            timeout: timeout?.0,
            check: self.expect_from.clone().map_or(Check::Off, Check::AnswerOf),
            pids: self.pids.clone(),
        })
    }

    fn header_map(&self, mistakes: &mut Mistakes) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for text in &self.headers {
            let parsed = text.split_once(':').and_then(|(name, value)| {
                Some((
                    HeaderName::from_str(name.trim()).ok()?,
                    HeaderValue::from_str(value.trim()).ok()?,
                ))
            });
            match parsed {
                Some((name, value)) => {
                    headers.insert(name, value);
                }
                None => {
                    mistakes.add("--header", "must be like \"name: value\"");
                    return None;
                }
            }
        }
        Some(headers)
    }

    fn body(&self, mistakes: &mut Mistakes) -> Option<Bytes> {
        match self.body.as_deref().map(|body| body.strip_prefix('@').ok_or(body)) {
            Some(Ok(file)) => fs::read(file)
                .map(Bytes::from)
                .map_err(|error| mistakes.add("--body", format!("{file}: {error}")))
                .ok(),
            Some(Err(text)) => Some(Bytes::copy_from_slice(text.as_bytes())),
            None => {
                let small = small_request(self.url.path(), self.stream, self.prompt_bytes);
                if small.is_none() {
                    mistakes.add("--body", "is needed for this path");
                }
                small.map(|object| Bytes::from(object.text()))
            }
        }
    }

    /// Runs the plan and writes the report. An error if any request failed.
    pub(super) async fn run(self, plan: LoadPlan, context: ServiceContext) -> super::Outcome {
        let progress = Arc::new(Progress::default());
        let report = tokio::select! {
            report = plan.run(&progress) => report?,
            never = show(&progress, self.quiet) => match never {},
            () = context.shutdown.requested() => return Err("stopped before the end".into()),
        };
        let text = if self.json {
            let mut text = serde_json::to_string_pretty(&report)?;
            text.push('\n');
            text
        } else {
            report.to_string()
        };
        std::io::stdout().write_all(text.as_bytes())?;
        match report.failures.total {
            0 => Ok(()),
            failed => Err(format!("{failed} requests failed").into()),
        }
    }
}

/// Writes a line of progress each second, over the last one on a terminal.
async fn show(progress: &Progress, quiet: bool) -> std::convert::Infallible {
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (answered, failed) = (progress.answered(), progress.failed());
        if quiet {
            continue;
        }
        let mut stderr = std::io::stderr();
        let end = if stderr.is_terminal() { "   \r" } else { "\n" };
        let rate = answered - before;
        let line = format!("{answered} answered, {failed} failed, {rate}/s{end}");
        // A closed standard error is no reason to stop.
        let _ = stderr.write_all(line.as_bytes());
        before = answered;
    }
}

/// A small request of the API of a path.
fn small_request(path: &str, stream: bool, prompt_bytes: usize) -> Option<Object> {
    const PROMPT: &str = "Say something about tokens. ";
    let prompt: String = PROMPT.chars().cycle().take(prompt_bytes.max(PROMPT.len())).collect();
    let messages = [object! { "role": "user", "content": &prompt }];
    Some(match Dialect::of(path)? {
        Dialect::OpenAiChat => object! {
            "model": "qwen3-8b", "stream": stream, "messages": messages,
        }
        .maybe("stream_options", stream.then(|| object! { "include_usage": true })),
        Dialect::AnthropicMessages => object! {
            "model": "claude-sonnet-4-5", "max_tokens": 4096_u64, "stream": stream,
            "messages": messages,
        },
        Dialect::OllamaChat => object! {
            "model": "gpt-oss-20b", "stream": stream, "messages": messages,
        },
        Dialect::OpenAiResponses => object! {
            "model": "gpt-4.1-mini", "stream": stream, "input": prompt,
        },
        Dialect::OpenAiEmbeddings => object! {
            "model": "nomic-embed-text", "input": prompt,
        },
        _ => return None,
    })
}
