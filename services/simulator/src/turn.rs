//! One request as the simulator understands it: what was asked, and how many
//! tokens of which kind the answer will have. Everything is decided here, before
//! a dialect puts it into its own words.

use std::time::Duration;

use serde_json::Value;

use crate::{
    dialect::Dialect,
    tokens,
    wishes::{MAX_OUTPUT_TOKENS, Wishes},
};

/// How fast a server answers when the request does not wish otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    /// Time before the response head.
    pub delay: Duration,
    /// Time from the response head to the first token of a stream.
    pub prefill: Duration,
    /// Time from one token to the next; a plain answer takes as long as all of
    /// its tokens together.
    pub token_interval: Duration,
    /// Write as many events at once as fit; otherwise each event is a write of
    /// its own.
    pub burst: bool,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
    Tool,
}

/// A request that is refused, in the status of its dialect's own error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: String,
}

/// One request and the plan of its answer.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) dialect: Dialect,
    /// Number that makes the response id.
    pub(crate) number: u64,
    /// Seconds since 1970 at which the answer was made.
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) stream: bool,
    /// The stream is framed as server-sent events (Gemini also knows an array).
    pub(crate) sse: bool,
    /// OpenAI: a usage chunk was asked for.
    pub(crate) include_usage: bool,
    pub(crate) obfuscation: bool,
    /// All input tokens, cached ones included.
    pub(crate) prompt_tokens: u64,
    pub(crate) cached_tokens: u64,
    pub(crate) cache_write_tokens: u64,
    /// All output tokens, reasoning included.
    pub(crate) output_tokens: u64,
    pub(crate) reasoning_tokens: u64,
    pub(crate) finish: Finish,
    /// Name of the function that is called instead of answering in words.
    pub(crate) tool: Option<String>,
    /// llama.cpp: add `timings`.
    pub(crate) timings: bool,
    pub(crate) pace: Pace,
    /// The first piece of text carries the mark where filler goes.
    pub(crate) filled: bool,
    /// The whole request body.
    pub(crate) body: Value,
}

/// Stands in a text where filler will be put: a private-use character that no
/// answer has.
pub(crate) const FILLER_MARK: char = '\u{e000}';

/// What the server adds to what the request says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given {
    pub(crate) pace: Pace,
    pub(crate) output_tokens: u64,
    pub(crate) number: u64,
    pub(crate) created: u64,
}

impl Turn {
    /// Reads a request. `path` and `query` as on the wire.
    pub(crate) fn read(
        dialect: Dialect,
        path: &str,
        query: &str,
        wishes: &Wishes,
        body: &[u8],
        given: Given,
    ) -> Result<Self, Refusal> {
        let refuse = |message: &str| Refusal { status: 400, message: message.to_owned() };
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| refuse(&format!("the body is not JSON: {error}")))?;
        let stream = dialect.wants_stream(path, &body);
        if body.get("stream_options").is_some_and(|options| !options.is_null()) && !stream {
            return Err(refuse("stream_options is only allowed when stream is enabled"));
        }
        let asked_model = dialect
            .model(path, &body)
            .ok_or_else(|| refuse("you must provide a model parameter"))?;
        let stream_option =
            |name: &str| body.pointer(&format!("/stream_options/{name}")).and_then(Value::as_bool);
        let tool = wishes.tool_call.clone().or_else(|| forced_tool(&body));
        let prompt_tokens = wishes.prompt_tokens.unwrap_or_else(|| tokens::in_prompt(&body));
        let cached_tokens = wishes.cached_tokens.unwrap_or(0).min(prompt_tokens);
        let cache_write_tokens =
            wishes.cache_write_tokens.unwrap_or(0).min(prompt_tokens - cached_tokens);
        let (output_tokens, finish) = output(wishes, &body, given.output_tokens);
        let reasoning_tokens = wishes
            .reasoning_tokens
            .unwrap_or_else(|| if asks_for_thinking(&body) { output_tokens / 4 } else { 0 })
            .min(output_tokens);
        Ok(Self {
            dialect,
            number: given.number,
            created: given.created,
            model: wishes.model.clone().unwrap_or(asked_model),
            stream,
            sse: !path.contains(":streamGenerateContent") || query.contains("alt=sse"),
            include_usage: stream_option("include_usage").unwrap_or(false),
            obfuscation: stream_option("include_obfuscation").unwrap_or(true),
            prompt_tokens,
            cached_tokens,
            cache_write_tokens,
            output_tokens,
            reasoning_tokens,
            finish: if tool.is_some() && finish == Finish::Stop { Finish::Tool } else { finish },
            tool,
            timings: wishes.timings.unwrap_or(body.get("timings_per_token").is_some()),
            pace: Pace {
                delay: wishes.delay.unwrap_or(given.pace.delay),
                prefill: wishes.prefill.unwrap_or(given.pace.prefill),
                token_interval: wishes.token_interval.unwrap_or(given.pace.token_interval),
                burst: wishes.burst.unwrap_or(given.pace.burst),
            },
            filled: wishes.body_bytes.is_some(),
            body,
        })
    }

    /// The response id with the dialect's prefix.
    pub(crate) fn id(&self, prefix: &str) -> String {
        format!("{prefix}sim{:012x}", self.number)
    }

    /// Input tokens that came from no cache and went into none.
    pub(crate) fn fresh_tokens(&self) -> u64 {
        self.prompt_tokens - self.cached_tokens - self.cache_write_tokens
    }

    /// Output tokens that the client sees as answer or tool call.
    pub(crate) fn visible_tokens(&self) -> u64 {
        self.output_tokens - self.reasoning_tokens
    }

    /// Texts of the reasoning tokens, in order.
    pub(crate) fn reasoning_pieces(&self) -> impl Iterator<Item = String> {
        (0..self.reasoning_tokens).map(tokens::piece)
    }

    /// Texts of the visible tokens, in order; the arguments of the call if a
    /// tool is called, which together are one JSON object.
    pub(crate) fn visible_pieces(&self) -> impl Iterator<Item = String> {
        let count = self.visible_tokens();
        let (is_tool, filled) = (self.tool.is_some(), self.filled);
        (0..count).map(move |index| {
            let mut piece = tokens::piece(index);
            if index == 0 && filled {
                piece.push(FILLER_MARK);
            }
            if is_tool {
                let begin = if index == 0 { "{\"query\":\"" } else { "" };
                let end = if index + 1 == count { "\"}" } else { "" };
                piece = format!("{begin}{}{end}", piece.replace('"', "\\\""));
            }
            piece
        })
    }

    /// The whole visible text.
    pub(crate) fn text(&self) -> String {
        if self.tool.is_some() && self.visible_tokens() == 0 {
            return "{}".to_owned();
        }
        self.visible_pieces().collect()
    }

    /// The whole reasoning text, if there is any.
    pub(crate) fn reasoning(&self) -> Option<String> {
        (self.reasoning_tokens > 0).then(|| self.reasoning_pieces().collect())
    }

    /// Whether the answer tells its counts.
    pub(crate) fn announces_usage(&self) -> bool {
        match self.dialect {
            Dialect::OpenAiChat => !self.stream || self.include_usage || self.timings,
            Dialect::OpenAiCompletions => !self.stream || self.include_usage,
            _ => true,
        }
    }

    /// Tokens that the answer reports as produced; embeddings produce none.
    pub(crate) fn reported_output_tokens(&self) -> u64 {
        match self.dialect {
            Dialect::OpenAiEmbeddings | Dialect::OllamaEmbed | Dialect::AnthropicCountTokens => 0,
            _ => self.output_tokens,
        }
    }

    /// Time that the whole answer takes after the delay.
    pub(crate) fn generation_time(&self) -> Duration {
        let tokens = u32::try_from(self.output_tokens).unwrap_or(u32::MAX);
        self.pace.prefill + self.pace.token_interval.saturating_mul(tokens)
    }
}

fn output(wishes: &Wishes, body: &Value, natural: u64) -> (u64, Finish) {
    if let Some(wished) = wishes.output_tokens {
        return (wished, Finish::Stop);
    }
    const LIMITS: [&str; 7] = [
        "/max_completion_tokens",
        "/max_tokens",
        "/max_output_tokens",
        "/max_tokens_to_sample",
        "/n_predict",
        "/options/num_predict",
        "/generationConfig/maxOutputTokens",
    ];
    let limit = LIMITS.iter().find_map(|path| body.pointer(path)?.as_u64());
    match limit {
        Some(limit) if limit < natural => (limit.min(MAX_OUTPUT_TOKENS), Finish::Length),
        _ => (natural, Finish::Stop),
    }
}

fn asks_for_thinking(body: &Value) -> bool {
    let text = |path: &str| body.pointer(path).and_then(Value::as_str);
    let flag = |path: &str| body.pointer(path).and_then(Value::as_bool).unwrap_or(false);
    matches!(text("/thinking/type"), Some("enabled" | "adaptive"))
        || text("/reasoning_effort").is_some_and(|effort| effort != "none")
        || text("/reasoning/effort").is_some_and(|effort| effort != "none")
        || text("/think").is_some()
        || flag("/think")
        || flag("/generationConfig/thinkingConfig/includeThoughts")
}

/// The name of the first tool if the request demands that one is called.
fn forced_tool(body: &Value) -> Option<String> {
    let choice = body.get("tool_choice")?;
    let kind = choice.as_str().or_else(|| choice.get("type")?.as_str())?;
    if !matches!(kind, "required" | "any" | "tool" | "function") {
        return None;
    }
    let tool = body.get("tools")?.get(0)?;
    tool.pointer("/function/name").or_else(|| tool.get("name"))?.as_str().map(str::to_owned)
}
