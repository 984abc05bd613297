//! The apps that make the traffic: which API and model each uses, how long its
//! prompts and answers are, how fast its server is; and the requests they make.

use std::time::Duration;

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::mishap::Mishap;
use crate::wire::{Object, object};

/// The API of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    Chat,
    /// Chat of a llama.cpp server, which adds its timings.
    LlamaCpp,
    Responses,
    Embeddings,
    Anthropic,
    Ollama,
    Gemini,
}

/// An app and its habits. Ranges are drawn from so that small values are as
/// frequent as large ones by order of magnitude.
struct App {
    name: &'static str,
    user_agent: &'static str,
    key: &'static str,
    users: &'static [&'static str],
    api: Api,
    model: &'static str,
    /// Share of all requests, relative to the others.
    weight: f64,
    streamed: f64,
    /// Share of streams that ask for usage, where the API has to be asked.
    asks_usage: f64,
    prompt: (f64, f64),
    /// Share of the prompt that is read from a cache, at most.
    cached: f64,
    output: (f64, f64),
    /// Share of the output that is reasoning, at most.
    reasoning: f64,
    /// Prompt tokens per second of its server, without what is cached.
    prefill_rate: f64,
    /// Output tokens per second of one stream.
    decode_rate: f64,
}

const PEOPLE: &[&str] = &["amara", "björn", "chiara", "dmitri", "emeka", "fatima", "grace", "hiro"];

const APPS: [App; 8] = [
    App {
        name: "coding-agent",
        user_agent: "claude-cli/2.0.42 (external, cli)",
        key: "sk-ant-demo-1",
        users: PEOPLE,
        api: Api::Anthropic,
        model: "claude-sonnet-4-5",
        weight: 2.4,
        streamed: 0.95,
        asks_usage: 1.0,
        prompt: (6_000.0, 90_000.0),
        cached: 0.97,
        output: (40.0, 500.0),
        reasoning: 0.5,
        prefill_rate: 9_000.0,
        decode_rate: 75.0,
    },
    App {
        name: "support-bot",
        user_agent: "OpenAI/Python 2.8.0",
        key: "sk-demo-support",
        users: &["web", "mail", "phone"],
        api: Api::Chat,
        model: "gpt-4.1-mini",
        weight: 2.2,
        streamed: 0.7,
        asks_usage: 0.85,
        prompt: (300.0, 4_000.0),
        cached: 0.7,
        output: (30.0, 300.0),
        reasoning: 0.0,
        prefill_rate: 12_000.0,
        decode_rate: 110.0,
    },
    App {
        name: "chat-ui",
        user_agent: "open-webui/0.6.36",
        key: "sk-demo-webui",
        users: PEOPLE,
        api: Api::LlamaCpp,
        model: "qwen3-8b",
        weight: 1.8,
        streamed: 0.97,
        asks_usage: 0.3,
        prompt: (40.0, 3_000.0),
        cached: 0.8,
        output: (60.0, 450.0),
        reasoning: 0.4,
        prefill_rate: 1_100.0,
        decode_rate: 58.0,
    },
    App {
        name: "summaries",
        user_agent: "ollama-python/0.6.1",
        key: "sk-demo-nightly",
        users: &["scheduler"],
        api: Api::Ollama,
        model: "gpt-oss-20b",
        weight: 1.2,
        streamed: 0.35,
        asks_usage: 1.0,
        prompt: (800.0, 7_000.0),
        cached: 0.0,
        output: (60.0, 260.0),
        reasoning: 0.3,
        prefill_rate: 1_800.0,
        decode_rate: 44.0,
    },
    App {
        name: "agents",
        user_agent: "langchain-openai/1.0",
        key: "sk-demo-agents",
        users: &["planner", "critic", "writer"],
        api: Api::Chat,
        model: "llama-3.3-70b",
        weight: 1.4,
        streamed: 0.8,
        asks_usage: 0.5,
        prompt: (500.0, 12_000.0),
        cached: 0.5,
        output: (30.0, 350.0),
        reasoning: 0.0,
        prefill_rate: 4_000.0,
        decode_rate: 32.0,
    },
    App {
        name: "search-index",
        user_agent: "OpenAI/JS 6.9.1",
        key: "sk-demo-search",
        users: &["indexer"],
        api: Api::Embeddings,
        model: "nomic-embed-text",
        weight: 1.5,
        streamed: 0.0,
        asks_usage: 1.0,
        prompt: (60.0, 6_000.0),
        cached: 0.0,
        output: (1.0, 1.0),
        reasoning: 0.0,
        prefill_rate: 25_000.0,
        decode_rate: 100.0,
    },
    App {
        name: "review-bot",
        user_agent: "codex_cli_rs/0.63.0",
        key: "sk-demo-review",
        users: &["ci"],
        api: Api::Responses,
        model: "gpt-4.1-mini",
        weight: 0.9,
        streamed: 1.0,
        asks_usage: 1.0,
        prompt: (3_000.0, 40_000.0),
        cached: 0.9,
        output: (60.0, 400.0),
        reasoning: 0.6,
        prefill_rate: 12_000.0,
        decode_rate: 95.0,
    },
    App {
        name: "meeting-notes",
        user_agent: "google-genai-sdk/1.52.0",
        key: "demo-notes",
        users: &["notes"],
        api: Api::Gemini,
        model: "gemini-2.5-flash",
        weight: 0.7,
        streamed: 0.6,
        asks_usage: 1.0,
        prompt: (2_000.0, 30_000.0),
        cached: 0.3,
        output: (80.0, 400.0),
        reasoning: 0.5,
        prefill_rate: 20_000.0,
        decode_rate: 140.0,
    },
];

/// A request that is ready to be sent.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
    /// The client leaves this long after the head of the response.
    pub(super) leaves_after: Option<Duration>,
}

/// What is drawn for one request.
struct Draw {
    stream: bool,
    asks_usage: bool,
    prompt: u64,
    cached: u64,
    output: u64,
    reasoning: u64,
    interval: Duration,
}

impl Plan {
    /// A request of one of the apps.
    pub(super) fn draw(random: &mut StdRng) -> Self {
        let app = app(random);
        let draw = Draw {
            stream: random.random_bool(app.streamed),
            asks_usage: random.random_bool(app.asks_usage),
            ..numbers(app, app.output, random)
        };
        let mut plan = plan(app, &draw, random);
        Mishap::draw(app.api, draw.stream, random).apply(&mut plan, random);
        plan
    }

    /// A stream of 20 to 60 seconds.
    pub(super) fn long(random: &mut StdRng) -> Self {
        let streaming = |app: &&App| app.streamed > 0.0;
        let app = std::iter::repeat_with(|| app(random)).find(streaming).unwrap_or(&APPS[0]);
        let slow = random.random_range(14.0..24.0);
        let output = (slow * 20.0, slow * 60.0);
        let mut draw = numbers(app, output, random);
        draw.interval = Duration::from_secs_f64(1.0 / slow);
        plan(app, &draw, random)
    }
}

fn app(random: &mut StdRng) -> &'static App {
    APPS.choose_weighted(random, |app| app.weight).unwrap_or(&APPS[0])
}

fn numbers(app: &App, output: (f64, f64), random: &mut StdRng) -> Draw {
    let prompt = between(app.prompt, random);
    let output = between(output, random);
    // Every other request continues what the cache knows.
    let cached =
        if random.random_bool(0.6) { app.cached * random.random_range(0.5..1.0) } else { 0.0 };
    let reasoning =
        if random.random_bool(0.5) { app.reasoning * random.random_range(0.3..1.0) } else { 0.0 };
    let speed = app.decode_rate * random.random_range(0.7..1.2);
    Draw {
        stream: true,
        asks_usage: true,
        prompt,
        cached: (prompt as f64 * cached) as u64,
        output,
        reasoning: (output as f64 * reasoning) as u64,
        interval: Duration::from_secs_f64(1.0 / speed),
    }
}

fn between((low, high): (f64, f64), random: &mut StdRng) -> u64 {
    if low >= high {
        return low as u64;
    }
    random.random_range(low.ln()..high.ln()).exp() as u64
}

fn plan(app: &App, draw: &Draw, random: &mut StdRng) -> Plan {
    let user = app.users.choose(random).copied().unwrap_or("nobody");
    let fresh = (draw.prompt - draw.cached) as f64;
    let prefill = 0.03 + fresh / app.prefill_rate * random.random_range(0.8..1.4);
    let milliseconds = |seconds: f64| format!("{:.1}", seconds * 1e3);
    let mut headers = vec![
        ("user-agent", app.user_agent.to_owned()),
        ("x-modash-tag-app", app.name.to_owned()),
        ("x-simulate-prompt-tokens", draw.prompt.to_string()),
        ("x-simulate-cached-tokens", draw.cached.to_string()),
        ("x-simulate-output-tokens", draw.output.to_string()),
        ("x-simulate-reasoning-tokens", draw.reasoning.to_string()),
        ("x-simulate-delay-ms", milliseconds(random.random_range(0.005..0.06))),
        ("x-simulate-prefill-ms", milliseconds(prefill.min(6.0))),
        ("x-simulate-token-interval-ms", milliseconds(draw.interval.as_secs_f64())),
    ];
    headers.push(match app.api {
        Api::Anthropic => ("x-api-key", app.key.to_owned()),
        Api::Gemini => ("x-goog-api-key", app.key.to_owned()),
        _ => ("authorization", format!("Bearer {}", app.key)),
    });
    if let Some(name) = session_header(app) {
        // Two sessions of each person at a time, in turns.
        let place = app.users.iter().position(|name| *name == user).unwrap_or(0);
        headers.push((name, format!("{}-{place}-{}", app.name, random.random_range(1..3))));
    }
    match app.api {
        Api::Anthropic => headers.push(("anthropic-version", "2023-06-01".to_owned())),
        Api::LlamaCpp => headers.push(("x-simulate-timings", "true".to_owned())),
        _ => {}
    }
    let (path, body) = request(app, draw, user);
    Plan { path, headers, body: body.text(), leaves_after: None }
}

/// How the app names its sessions, if it is an agent.
fn session_header(app: &App) -> Option<&'static str> {
    match app.user_agent.split_once('/')?.0 {
        "claude-cli" => Some("x-claude-code-session-id"),
        "codex_cli_rs" => Some("session_id"),
        _ => None,
    }
}

const QUESTION: &str = "What moved since yesterday, and why?";

fn request(app: &App, draw: &Draw, user: &str) -> (String, Object) {
    let model = app.model;
    let messages = || [object! { "role": "user", "content": QUESTION }];
    let usage = (draw.stream && draw.asks_usage).then(|| object! { "include_usage": true });
    let (path, body) = match app.api {
        Api::Chat | Api::LlamaCpp => (
            "/v1/chat/completions",
            object! {
                "model": model, "messages": messages(), "stream": draw.stream, "user": user,
            }
            .maybe("stream_options", usage),
        ),
        Api::Responses => (
            "/v1/responses",
            object! { "model": model, "input": QUESTION, "stream": draw.stream, "user": user },
        ),
        Api::Embeddings => (
            "/v1/embeddings",
            object! { "model": model, "input": [QUESTION, QUESTION], "user": user },
        ),
        Api::Anthropic => (
            "/v1/messages",
            object! {
                "model": model, "max_tokens": 8192_u64, "messages": messages(),
                "stream": draw.stream, "metadata": object! { "user_id": user },
            },
        ),
        Api::Ollama => {
            ("/api/chat", object! { "model": model, "messages": messages(), "stream": draw.stream })
        }
        Api::Gemini => {
            let method =
                if draw.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            let part = object! { "text": QUESTION };
            let contents = [object! { "role": "user", "parts": [part] }];
            return (format!("/v1beta/models/{model}:{method}"), object! { "contents": contents });
        }
    };
    (path.to_owned(), body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dialect::Dialect, wishes::Wishes};
    use http::{HeaderMap, HeaderName, HeaderValue};
    use rand::SeedableRng;
    use std::collections::BTreeSet;

    #[test]
    fn plans_are_requests_that_the_simulator_understands_and_they_vary() {
        let mut random = StdRng::seed_from_u64(1);
        let (mut dialects, mut agents, mut bodies) =
            <(BTreeSet<_>, BTreeSet<_>, BTreeSet<_>)>::default();
        for _ in 0..500 {
            let plan = Plan::draw(&mut random);
            let path = plan.path.split('?').next().unwrap();
            dialects.insert(Dialect::of(path).unwrap().name());
            serde_json::from_str::<serde_json::Value>(&plan.body).unwrap();
            let headers: HeaderMap = plan
                .headers
                .iter()
                .map(|(name, value)| {
                    (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap())
                })
                .collect();
            Wishes::read(&headers).unwrap();
            agents.insert(headers["user-agent"].clone().to_str().unwrap().to_owned());
            bodies.insert(plan.body);
        }
        assert_eq!(dialects.len(), 6, "{dialects:?}");
        assert_eq!(agents.len(), APPS.len());
        assert!(bodies.len() > 20);
    }

    #[test]
    fn a_long_stream_takes_between_twenty_and_sixty_seconds() {
        let mut random = StdRng::seed_from_u64(2);
        for _ in 0..100 {
            let plan = Plan::long(&mut random);
            let header = |name: &str| -> f64 {
                let value = plan.headers.iter().find(|header| header.0 == name).unwrap();
                value.1.parse().unwrap()
            };
            let tokens = header("x-simulate-output-tokens");
            let seconds = tokens * header("x-simulate-token-interval-ms") / 1e3;
            assert!((19.0..61.0).contains(&seconds), "{seconds}");
        }
    }
}
