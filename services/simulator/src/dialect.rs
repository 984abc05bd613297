//! The APIs that the simulator speaks: which path is which, what a plain answer,
//! a stream and an error look like in each.

mod anthropic;
mod embeddings;
mod gemini;
mod lists;
mod llamacpp;
mod ollama;
mod openai_chat;
mod openai_completions;
mod openai_error;
mod openai_responses;

use serde_json::Value;

pub(crate) use lists::list;

use crate::{
    transcript::{Transcript, Writer},
    turn::Turn,
    wire::Object,
    wishes::Wishes,
};

/// An API of an LLM server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Dialect {
    OpenAiChat,
    OpenAiCompletions,
    OpenAiResponses,
    OpenAiEmbeddings,
    AnthropicMessages,
    AnthropicCountTokens,
    OllamaChat,
    OllamaGenerate,
    OllamaEmbed,
    LlamaCppCompletion,
    GeminiGenerate,
}

impl Dialect {
    /// The dialect of a path (without query), by its end.
    pub(crate) fn of(path: &str) -> Option<Self> {
        const ENDS: [(&str, Dialect); 12] = [
            ("/chat/completions", Dialect::OpenAiChat),
            ("/responses", Dialect::OpenAiResponses),
            ("/messages/count_tokens", Dialect::AnthropicCountTokens),
            ("/messages", Dialect::AnthropicMessages),
            ("/api/chat", Dialect::OllamaChat),
            ("/api/generate", Dialect::OllamaGenerate),
            ("/api/embed", Dialect::OllamaEmbed),
            ("/embeddings", Dialect::OpenAiEmbeddings),
            ("/completion", Dialect::LlamaCppCompletion),
            ("/completions", Dialect::OpenAiCompletions),
            (":generateContent", Dialect::GeminiGenerate),
            (":streamGenerateContent", Dialect::GeminiGenerate),
        ];
        let path = path.trim_end_matches('/');
        ENDS.iter().find(|(end, _)| path.ends_with(end)).map(|(_, dialect)| *dialect)
    }

    /// The name that modash uses for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai-chat",
            Self::OpenAiCompletions => "openai-completions",
            Self::OpenAiResponses => "openai-responses",
            Self::OpenAiEmbeddings => "openai-embeddings",
            Self::AnthropicMessages => "anthropic-messages",
            Self::AnthropicCountTokens => "anthropic-count-tokens",
            Self::OllamaChat => "ollama-chat",
            Self::OllamaGenerate => "ollama-generate",
            Self::OllamaEmbed => "ollama-embed",
            Self::LlamaCppCompletion => "llamacpp-completion",
            Self::GeminiGenerate => "gemini-generate",
        }
    }

    /// Whether a request asks for a stream.
    pub(crate) fn wants_stream(self, path: &str, body: &Value) -> bool {
        let flag = body.get("stream").and_then(Value::as_bool);
        match self {
            Self::OllamaChat | Self::OllamaGenerate => flag != Some(false),
            Self::GeminiGenerate => path.trim_end_matches('/').ends_with(":streamGenerateContent"),
            Self::OpenAiEmbeddings | Self::OllamaEmbed | Self::AnthropicCountTokens => false,
            _ => flag == Some(true),
        }
    }

    /// The model that a request names; `None` if it has to and does not.
    pub(crate) fn model(self, path: &str, body: &Value) -> Option<String> {
        let named = body.get("model").and_then(Value::as_str).filter(|model| !model.is_empty());
        match self {
            Self::GeminiGenerate => {
                let last = path.rsplit('/').next().unwrap_or_default();
                last.split(':').next().map(str::to_owned)
            }
            Self::LlamaCppCompletion => Some(named.unwrap_or("simulated").to_owned()),
            _ => named.map(str::to_owned),
        }
    }

    /// The error body for a status.
    pub(crate) fn error(self, status: u16, message: &str) -> Object {
        match self {
            Self::AnthropicMessages | Self::AnthropicCountTokens => {
                anthropic::error(status, message)
            }
            Self::OllamaChat | Self::OllamaGenerate | Self::OllamaEmbed => ollama::error(message),
            Self::LlamaCppCompletion => llamacpp::error(status, message),
            Self::GeminiGenerate => gemini::error(status, message),
            _ => openai_error::error(status, message),
        }
    }

    /// The event that reports an error in a stream that began well.
    fn error_event(self, error: &Object, sse: bool) -> String {
        match self {
            Self::AnthropicMessages => format!("event: error\ndata: {}\n\n", error.text()),
            Self::OpenAiResponses => openai_responses::error_event(),
            Self::OllamaChat | Self::OllamaGenerate => format!("{}\n", error.text()),
            Self::GeminiGenerate if !sse => format!(",\r\n{}\n]", error.text()),
            Self::GeminiGenerate => format!("data: {}\r\n\r\n", error.text()),
            _ => format!("data: {}\n\n", error.text()),
        }
    }

    /// The status of its "not now" error: what is reported in mid-stream.
    fn busy_status(self) -> u16 {
        match self {
            Self::AnthropicMessages => 529,
            Self::GeminiGenerate => 503,
            _ => 500,
        }
    }

    /// Content type of a stream.
    pub(crate) fn stream_type(self, sse: bool) -> &'static str {
        match self {
            Self::OllamaChat | Self::OllamaGenerate => "application/x-ndjson",
            Self::GeminiGenerate if !sse => "application/json; charset=UTF-8",
            _ => "text/event-stream; charset=utf-8",
        }
    }
}

/// The answer to a turn, in the words of its dialect.
pub(crate) fn answer(turn: &Turn, wishes: &Wishes) -> Transcript {
    let error = turn.dialect.error(turn.dialect.busy_status(), "The simulated server failed.");
    if !turn.stream {
        let text = plain(turn).text();
        return Transcript::plain(text, wishes.fault, &error, wishes.body_bytes);
    }
    let mut writer = Writer::default();
    stream(turn, &mut writer);
    let last = writer.fault(wishes.fault, &turn.dialect.error_event(&error, turn.sse));
    writer.finish(last, wishes.body_bytes, turn.pace.burst)
}

fn plain(turn: &Turn) -> Object {
    match turn.dialect {
        Dialect::OpenAiChat => openai_chat::plain(turn),
        Dialect::OpenAiCompletions => openai_completions::plain(turn),
        Dialect::OpenAiResponses => openai_responses::plain(turn),
        Dialect::OpenAiEmbeddings => embeddings::openai(turn),
        Dialect::AnthropicMessages => anthropic::plain(turn),
        Dialect::AnthropicCountTokens => anthropic::count_tokens(turn),
        Dialect::OllamaChat | Dialect::OllamaGenerate => ollama::plain(turn),
        Dialect::OllamaEmbed => embeddings::ollama(turn),
        Dialect::LlamaCppCompletion => llamacpp::plain(turn),
        Dialect::GeminiGenerate => gemini::plain(turn),
    }
}

fn stream(turn: &Turn, writer: &mut Writer) {
    match turn.dialect {
        Dialect::OpenAiChat => openai_chat::stream(turn, writer),
        Dialect::OpenAiCompletions => openai_completions::stream(turn, writer),
        Dialect::OpenAiResponses => openai_responses::stream(turn, writer),
        Dialect::AnthropicMessages => anthropic::stream(turn, writer),
        Dialect::OllamaChat | Dialect::OllamaGenerate => ollama::stream(turn, writer),
        Dialect::LlamaCppCompletion => llamacpp::stream(turn, writer),
        Dialect::GeminiGenerate => gemini::stream(turn, writer),
        // These have no streams; `wants_stream` never says so.
        Dialect::OpenAiEmbeddings | Dialect::OllamaEmbed | Dialect::AnthropicCountTokens => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_is_known_by_the_end_of_the_path() {
        for (path, name) in [
            ("/v1/chat/completions", "openai-chat"),
            ("/openai/v1/chat/completions/", "openai-chat"),
            ("/v1/completions", "openai-completions"),
            ("/v1/responses", "openai-responses"),
            ("/v1/embeddings", "openai-embeddings"),
            ("/v1/messages", "anthropic-messages"),
            ("/v1/messages/count_tokens", "anthropic-count-tokens"),
            ("/api/chat", "ollama-chat"),
            ("/api/generate", "ollama-generate"),
            ("/api/embed", "ollama-embed"),
            ("/completion", "llamacpp-completion"),
            ("/v1beta/models/gemini-2.5-pro:generateContent", "gemini-generate"),
            ("/v1beta/models/gemini-2.5-pro:streamGenerateContent", "gemini-generate"),
        ] {
            assert_eq!(Dialect::of(path).map(Dialect::name), Some(name), "{path}");
        }
        assert_eq!(Dialect::of("/v1/files"), None);
    }
}
