//! Which server answers like that? Only what it says is used, never a guess by port.

use serde_json::Value;

use super::exchange::Answer;

/// Most names of models that are kept.
const MOST_MODELS: usize = 200;

/// What an upstream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// `llama-server` of llama.cpp.
    LlamaCpp,
    /// Ollama.
    Ollama,
    /// LM Studio.
    LmStudio,
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// OpenAI itself.
    OpenAi,
    /// Anthropic itself.
    Anthropic,
    /// Anything else that lists models as OpenAI does.
    OpenAiCompatible,
    /// Nothing that could be told.
    Unknown,
}

/// When streams report usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamReports {
    /// In each stream.
    Always,
    /// In streams of OpenAI's chat API only if the request asks (`include_usage`).
    WhenAsked,
    /// That is not known of this server.
    Unknown,
}

impl ServerKind {
    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LlamaCpp => "llama.cpp",
            Self::Ollama => "Ollama",
            Self::LmStudio => "LM Studio",
            Self::Vllm => "vLLM",
            Self::Sglang => "SGLang",
            Self::OpenAi => "OpenAI",
            Self::Anthropic => "Anthropic",
            Self::OpenAiCompatible => "a server with OpenAI's API",
            Self::Unknown => "an unknown server",
        }
    }

    /// The APIs that it is known to speak; recent versions.
    #[must_use]
    pub fn speaks(self) -> &'static [&'static str] {
        match self {
            Self::LlamaCpp => {
                &["OpenAI Chat", "OpenAI Responses", "Anthropic Messages", "its own /completion"]
            }
            Self::Ollama => &[
                "its own /api/chat and /api/generate",
                "OpenAI Chat",
                "OpenAI Responses",
                "Anthropic Messages",
            ],
            Self::LmStudio => {
                &["OpenAI Chat", "OpenAI Responses", "Anthropic Messages", "its own /api/v1"]
            }
            Self::Vllm | Self::Sglang => &["OpenAI Chat", "OpenAI Responses", "Anthropic Messages"],
            Self::OpenAi => &["OpenAI Chat", "OpenAI Responses"],
            Self::Anthropic => &["Anthropic Messages"],
            Self::OpenAiCompatible => &["OpenAI Chat"],
            Self::Unknown => &[],
        }
    }

    /// When its streams report usage.
    #[must_use]
    pub fn stream_reports(self) -> StreamReports {
        match self {
            // llama.cpp adds its timings, with the counts, to the end of each stream.
            Self::LlamaCpp | Self::Anthropic => StreamReports::Always,
            Self::Ollama | Self::LmStudio | Self::Vllm | Self::Sglang | Self::OpenAi => {
                StreamReports::WhenAsked
            }
            Self::OpenAiCompatible | Self::Unknown => StreamReports::Unknown,
        }
    }

    /// By the host's name and the answer to the question for models.
    pub(super) fn of(host: &str, models: &Answer, listing: &Listing) -> Self {
        let is_host = |name: &str| host == name || host.ends_with(&format!(".{name}"));
        match listing.owner.as_deref() {
            _ if models.header("server") == "llama.cpp" => Self::LlamaCpp,
            _ if is_host("api.openai.com") => Self::OpenAi,
            _ if is_host("anthropic.com") => Self::Anthropic,
            Some("llamacpp") => Self::LlamaCpp,
            Some("vllm") => Self::Vllm,
            Some("sglang") => Self::Sglang,
            Some("organization_owner" | "organization-owner") => Self::LmStudio,
            Some("library") => Self::Ollama,
            _ if listing.is_anthropic => Self::Anthropic,
            _ if listing.names.is_some() => Self::OpenAiCompatible,
            _ => Self::Unknown,
        }
    }

    /// The path of a question whose answer says more. `None`: enough is known.
    pub(super) fn own_question(self, public: bool) -> Option<&'static str> {
        match self {
            _ if public => None,
            Self::LlamaCpp => Some("/props"),
            Self::Vllm => Some("/version"),
            // Ollama's models may have other owners, or there may be none yet.
            Self::Ollama | Self::OpenAiCompatible | Self::Unknown => Some("/api/version"),
            Self::LmStudio | Self::Sglang | Self::OpenAi | Self::Anthropic => None,
        }
    }

    /// What the answer to that question says.
    pub(super) fn told(self, answer: &Answer) -> (Self, Option<String>) {
        let json = answer.json().filter(|_| answer.is_success()).unwrap_or(Value::Null);
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        match self {
            Self::LlamaCpp if json["default_generation_settings"].is_object() => {
                (Self::LlamaCpp, text("build_info"))
            }
            // The server that was asked for nothing but this.
            Self::LlamaCpp if answer.header("server") != "llama.cpp" => (Self::Unknown, None),
            Self::Ollama | Self::OpenAiCompatible | Self::Unknown => match text("version") {
                Some(version) => (Self::Ollama, Some(version)),
                None => (self, None),
            },
            kind => (kind, text("version")),
        }
    }
}

/// What the answer to the question for models lists.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Names; `None`: it is no list of models.
    pub(super) names: Option<Vec<String>>,
    /// `owned_by` of the first one.
    pub(super) owner: Option<String>,
    is_anthropic: bool,
}

impl Listing {
    pub(super) fn of(answer: &Answer) -> Self {
        let Some(json) = answer.json().filter(|_| answer.is_success()) else {
            return Self::default();
        };
        let none = Vec::new();
        let models = match &json["data"] {
            Value::Array(models) => models,
            // Ollama without models.
            Value::Null if json["object"] == "list" => &none,
            _ => return Self::default(),
        };
        let name = |model: &Value| model["id"].as_str().map(str::to_owned);
        Self {
            names: Some(models.iter().filter_map(name).take(MOST_MODELS).collect()),
            owner: models.first().and_then(|model| model["owned_by"].as_str()).map(str::to_owned),
            is_anthropic: models.first().is_some_and(|model| model["type"] == "model"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, headers: http::HeaderMap::new(), body: body.as_bytes().to_vec() }
    }

    fn kind(host: &str, models: &Answer) -> ServerKind {
        ServerKind::of(host, models, &Listing::of(models))
    }

    #[test]
    fn a_server_is_known_by_the_owner_of_its_models() {
        for (owner, expected) in [
            ("llamacpp", ServerKind::LlamaCpp),
            ("vllm", ServerKind::Vllm),
            ("sglang", ServerKind::Sglang),
            ("organization_owner", ServerKind::LmStudio),
            ("library", ServerKind::Ollama),
            ("me", ServerKind::OpenAiCompatible),
        ] {
            let body = format!(r#"{{"object":"list","data":[{{"id":"m","owned_by":"{owner}"}}]}}"#);
            assert_eq!(kind("localhost", &answer(200, &body)), expected, "{owner}");
        }
    }

    #[test]
    fn providers_are_known_by_their_hosts_without_a_key() {
        let refused = answer(401, r#"{"error":{"message":"no key"}}"#);
        assert_eq!(kind("api.openai.com", &refused), ServerKind::OpenAi);
        assert_eq!(kind("api.anthropic.com", &refused), ServerKind::Anthropic);
        assert_eq!(kind("notanthropic.com", &refused), ServerKind::Unknown);
        assert_eq!(refused.message().as_deref(), Some("no key"));
    }

    #[test]
    fn ollama_is_known_without_a_model() {
        let empty = answer(200, r#"{"object":"list","data":null}"#);
        assert_eq!(Listing::of(&empty).names, Some(Vec::new()));
        assert_eq!(kind("localhost", &empty), ServerKind::OpenAiCompatible);
        assert_eq!(ServerKind::OpenAiCompatible.own_question(false), Some("/api/version"));
        let version = answer(200, r#"{"version":"0.12.3"}"#);
        let told = ServerKind::OpenAiCompatible.told(&version);
        assert_eq!(told, (ServerKind::Ollama, Some("0.12.3".to_owned())));
        let other = ServerKind::OpenAiCompatible.told(&answer(404, "404 page not found"));
        assert_eq!(other, (ServerKind::OpenAiCompatible, None));
    }

    #[test]
    fn what_is_no_list_of_models_names_no_server() {
        for body in ["<html>", "{}", r#"{"data":{}}"#, ""] {
            assert_eq!(kind("localhost", &answer(200, body)), ServerKind::Unknown, "{body}");
        }
        assert_eq!(answer(200, "<html>").message(), None);
        assert_eq!(
            answer(404, "404 page not found").message().as_deref(),
            Some("404 page not found")
        );
    }

    #[test]
    fn a_public_service_is_asked_for_its_models_only() {
        for kind in [ServerKind::Unknown, ServerKind::OpenAiCompatible, ServerKind::Ollama] {
            assert_eq!(kind.own_question(true), None);
        }
    }
}
