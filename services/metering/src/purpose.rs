//! What a request is for, by its method and path: only calls consume tokens.

use http::StatusCode;

use crate::dialect::{Dialect, Operation};
use crate::target::Target;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It asks for work: its dialect says which.
    Call,
    /// It reads, cancels or deletes what exists.
    Retrieval,
    /// A probe, a preflight, a redirect.
    Other,
}

impl Purpose {
    /// The purpose of a request with this head.
    pub(crate) fn of(
        method: &str,
        target: &Target<'_>,
        upgrade: Option<&[u8]>,
        dialect: Dialect,
    ) -> Self {
        // A WebSocket session begins with a GET, over HTTP/2 with a CONNECT.
        let session = upgrade.is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
        if session || method == "CONNECT" {
            Self::Call
        } else if method == "POST" {
            of_post(target, dialect)
        } else if matches!(method, "GET" | "DELETE")
            && (dialect != Dialect::Unknown || of_an_api(target))
        {
            Self::Retrieval
        } else {
            Self::Other
        }
    }

    /// The purpose once the status is known.
    pub(crate) fn answered(self, status: StatusCode) -> Self {
        if status == StatusCode::SWITCHING_PROTOCOLS {
            Self::Call
        } else if status.is_redirection() && self == Self::Call {
            Self::Other
        } else {
            self
        }
    }

    /// Its operation, given that of the call.
    pub(crate) fn operation(self, call: Operation) -> Operation {
        match self {
            Self::Call => call,
            Self::Retrieval => Operation::Retrieval,
            Self::Other => Operation::Other,
        }
    }
}

/// Parts of paths to which a POST makes what is only kept.
const KEPT: [&str; 10] = [
    "files",
    "uploads",
    "batches",
    "cachedContents",
    "fine_tuning",
    "vector_stores",
    "containers",
    "evals",
    "assistants",
    // Sessions and secrets; the session itself is a WebSocket's.
    "realtime",
];

/// Ends of paths at which a server works without a model: llama.cpp, vLLM, SGLang.
const TOOLS: [&str; 11] = [
    "tokenize",
    "detokenize",
    "apply-template",
    "props",
    "lora-adapters",
    "load_lora_adapter",
    "unload_lora_adapter",
    "reset_prefix_cache",
    "flush_cache",
    "sleep",
    "wake_up",
];

/// The same behind one part: Ollama; llama.cpp and LM Studio.
const TOOLS_OF: [(&str, &[&str]); 2] = [
    ("api", &["show", "pull", "push", "create", "copy", "delete"]),
    ("models", &["load", "unload", "download"]),
];

/// A POST calls, unless it changes what exists or what is only kept (a stored answer,
/// a file, a batch, a cached prompt), or asks for what takes no model.
fn of_post(target: &Target<'_>, dialect: Dialect) -> Purpose {
    if target.ends("/cancel") || target.ends(":cancel") {
        return Purpose::Retrieval;
    }
    if dialect != Dialect::Unknown {
        return Purpose::Call;
    }
    // The parts of a path are looked at from its end: a prefix may be any name.
    let mut segments = target.path().rsplit('/');
    let ending = [(); 3].map(|()| segments.next().unwrap_or(""));
    let [last, before, _] = ending;
    let tool = TOOLS.contains(&last)
        || TOOLS_OF.iter().any(|(of, tools)| before == *of && tools.contains(&last));
    if target.path().contains("/chat/completions/") {
        Purpose::Retrieval
    } else if tool || ending.iter().any(|segment| KEPT.contains(segment)) {
        Purpose::Other
    } else {
        Purpose::Call
    }
}

/// Whether a path belongs to a versioned API, such as `/v1/files` or `/api/tags`:
/// others are pages and probes.
fn of_an_api(target: &Target<'_>) -> bool {
    target.path().split('/').any(|segment| {
        let version = segment.strip_prefix('v').unwrap_or("");
        segment == "api" || version.starts_with(|first: char| first.is_ascii_digit())
    })
}
