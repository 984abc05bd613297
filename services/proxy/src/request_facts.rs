//! What a request head says about its sender, copied out of it so that the head
//! itself need not be kept.

use std::borrow::Cow;

use modash_metering::{Head, Headers};
use modash_telemetry::TraceContext;

/// Headers that carry a credential, in the order in which they are looked for.
const CREDENTIAL_HEADERS: [&[u8]; 4] =
    [b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"];

/// Place of a header among those that name a session or conversation: modash's
/// own, those of agents, those that several share, those of gateways.
fn session_rank(name: &str) -> Option<u8> {
    Some(match name {
        "x-modash-session" => 0,
        "x-claude-code-session-id" => 1,
        // Codex, formerly with an underscore.
        "session-id" => 2,
        "session_id" => 3,
        "x-opencode-session" => 4,
        "x-qwen-code-session-id" => 5,
        // Copilot.
        "x-client-session-id" => 6,
        "x-kilocode-taskid" => 7,
        "x-kilo-session" => 8,
        "x-roo-task-id" => 9,
        // Cline.
        "x-task-id" => 10,
        "x-session-id" => 11,
        "x-session-affinity" => 12,
        "x-conversation-id" => 13,
        "conversation-id" => 14,
        "conversation_id" => 15,
        "thread-id" => 16,
        "thread_id" => 17,
        "x-litellm-session-id" => 18,
        "helicone-session-id" => 19,
        "x-openwebui-chat-id" => 20,
        "x-grok-conv-id" => 21,
        _ => return None,
    })
}

/// Headers that carry a tag: this and the tag's name.
const TAG_PREFIX: &str = "x-modash-tag-";

const MAX_PATH: usize = 512;
const MAX_TEXT: usize = 128;
const MAX_NAME: usize = 64;
const MAX_TAGS: usize = 16;

/// Tags with their values.
type Tags = Vec<(Box<str>, Box<str>)>;

/// Facts of one request head; sizes are those of the usage event's contract.
#[derive(Debug)]
pub(crate) struct RequestFacts {
    pub(crate) method: http::Method,
    /// Path, family of the user agent, session: one behind the other.
    texts: String,
    /// Where the first two of them end.
    ends: [u16; 2],
    pub(crate) tags: Tags,
    /// The client's span.
    pub(crate) client_span: Option<TraceContext>,
}

impl RequestFacts {
    pub(crate) fn read(head: &Head<'_, impl Headers>) -> Self {
        let mut marks = Marks::default();
        head.headers.lines().for_each(|(name, value)| marks.take(name, value));
        let path = cut(head.path, MAX_PATH);
        let session = marks.session.map(|(_, value)| clean(value)).unwrap_or_default();
        let agent = marks.user_agent.and_then(printable).unwrap_or_default();
        let mut texts = String::with_capacity(path.len() + session.len() + MAX_NAME);
        let mut ends = [0; 2];
        texts.push_str(path);
        ends[0] = texts.len() as u16;
        push_family(agent, &mut texts);
        ends[1] = texts.len() as u16;
        texts.push_str(&session);
        Self {
            method: http::Method::from_bytes(head.method.as_bytes()).unwrap_or_default(),
            texts,
            ends,
            tags: marks.tags,
            client_span: marks.traceparent.and_then(TraceContext::from_traceparent),
        }
    }

    /// Path without its query.
    pub(crate) fn path(&self) -> &str {
        &self.texts[..usize::from(self.ends[0])]
    }

    /// Product of the user agent.
    pub(crate) fn user_agent_family(&self) -> Option<&str> {
        let family = &self.texts[usize::from(self.ends[0])..usize::from(self.ends[1])];
        (!family.is_empty()).then_some(family)
    }

    /// Session or conversation that a header names.
    pub(crate) fn session(&self) -> Option<&str> {
        let session = &self.texts[usize::from(self.ends[1])..];
        (!session.is_empty()).then_some(session)
    }
}

/// The credential of a request without its scheme, so that one key has one fingerprint
/// wherever it is sent.
pub(crate) fn credential<'a>(head: &Head<'a, impl Headers>) -> Option<&'a [u8]> {
    let mut found: [Option<&[u8]>; CREDENTIAL_HEADERS.len()] = [None; _];
    for (name, value) in head.headers.lines() {
        let named = |header: &&[u8]| name.eq_ignore_ascii_case(header);
        if let Some(at) = CREDENTIAL_HEADERS.iter().position(named) {
            found[at].get_or_insert(value);
        }
    }
    let mut keys = found.into_iter().flatten().map(|value| match value.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case(b"bearer ") => value[7..].trim_ascii(),
        _ => value.trim_ascii(),
    });
    keys.find(|key| !key.is_empty()).or_else(|| {
        // Gemini's way.
        let mut pairs = head.query?.split('&');
        pairs.find_map(|pair| pair.strip_prefix("key=")).map(str::as_bytes)
    })
}

/// Appends `openai-python` of `OpenAI-Python/1.2 (linux) x/3`: the first product, in
/// lower case. OpenAI's and Anthropic's clients write `OpenAI/Python 1.2`.
fn push_family(user_agent: &str, texts: &mut String) {
    let product = user_agent.split([' ', '/']).next().unwrap_or_default();
    if product.is_empty() {
        return;
    }
    let start = texts.len();
    texts.push_str(cut(product, MAX_NAME));
    if let Some(rest) = user_agent[product.len()..].strip_prefix('/')
        && rest.starts_with(|first: char| first.is_ascii_alphabetic())
        && product.len() < MAX_NAME
    {
        let language = rest.split([' ', '/']).next().unwrap_or_default();
        texts.push('-');
        texts.push_str(cut(language, MAX_NAME - product.len() - 1));
    }
    texts[start..].make_ascii_lowercase();
}

/// What the lines say, each looked at once.
#[derive(Default)]
struct Marks<'a> {
    user_agent: Option<&'a [u8]>,
    session: Option<(u8, &'a [u8])>,
    tags: Tags,
    traceparent: Option<&'a [u8]>,
}

impl<'a> Marks<'a> {
    fn take(&mut self, name: &'a [u8], value: &'a [u8]) {
        // Most names are none of interest, as their first letters tell.
        let first = name.first().map_or(0, u8::to_ascii_lowercase);
        if !matches!(first, b'c' | b'h' | b's' | b't' | b'u' | b'x') {
            return;
        }
        let mut lower = [0; TAG_PREFIX.len() + MAX_NAME];
        let Some(lower) = lower.get_mut(..name.len()) else { return };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let Ok(name) = std::str::from_utf8(lower) else { return };
        if name == "user-agent" {
            self.user_agent.get_or_insert(value);
        } else if name == "traceparent" {
            self.traceparent.get_or_insert(value);
        } else if let Some(tag) = name.strip_prefix(TAG_PREFIX) {
            let known = self.tags.iter().any(|(known, _)| **known == *tag);
            if !known && !tag.is_empty() && self.tags.len() < MAX_TAGS {
                self.tags.push((tag.into(), clean(value).into()));
            }
        } else if let Some(rank) = session_rank(name)
            && self.session.is_none_or(|(best, _)| rank < best)
            && !value.trim_ascii().is_empty()
        {
            self.session = Some((rank, value));
        }
    }
}

/// A value as text: what is no UTF-8, and control characters, are replaced.
fn clean(value: &[u8]) -> Cow<'_, str> {
    let mut text = String::from_utf8_lossy(value.trim_ascii());
    if text.contains(char::is_control) {
        text = text.replace(char::is_control, "\u{fffd}").into();
    }
    match text {
        Cow::Borrowed(text) => cut(text, MAX_TEXT).into(),
        Cow::Owned(text) => cut(&text, MAX_TEXT).to_owned().into(),
    }
}

/// A value that is printable ASCII.
fn printable(value: &[u8]) -> Option<&str> {
    let printable = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    std::str::from_utf8(value).ok().filter(|_| printable).map(str::trim)
}

/// The beginning of a text, cut between characters.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> http::request::Parts {
        let mut request = http::Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn facts(uri: &str, headers: &[(&str, &str)]) -> RequestFacts {
        RequestFacts::read(&Head::from(&parts(uri, headers)))
    }

    #[test]
    fn one_key_gives_the_same_credential_in_every_header() {
        let found = |uri: &str, headers: &[(&str, &str)]| {
            credential(&Head::from(&parts(uri, headers))).map(<[u8]>::to_vec)
        };
        for headers in [
            &[("authorization", "Bearer sk-1")],
            &[("authorization", "bearer  sk-1 ")],
            &[("x-api-key", "sk-1")],
            &[("api-key", "sk-1")],
        ] {
            assert_eq!(found("/", headers).as_deref(), Some(&b"sk-1"[..]), "{headers:?}");
        }
        let both = [("x-api-key", "sk-2"), ("Authorization", "Bearer sk-1")];
        assert_eq!(found("/", &both).as_deref(), Some(&b"sk-1"[..]));
        let target = "/v1beta/models/m:generateContent?alt=sse&key=sk-1";
        assert_eq!(found(target, &[]).as_deref(), Some(&b"sk-1"[..]));
        assert_eq!(found("/?monkey=1", &[("authorization", "Bearer ")]), None);
    }

    #[test]
    fn a_key_in_the_query_is_not_in_the_path() {
        assert_eq!(facts("/v1/x?key=secret", &[]).path(), "/v1/x");
    }

    #[test]
    fn the_user_agent_is_reduced_to_its_family() {
        for (agent, expected) in [
            ("OpenAI/Python 3.54.0", "openai-python"),
            ("Anthropic/JS 1.0", "anthropic-js"),
            ("claude-cli/2.0.1 (external, cli)", "claude-cli"),
            ("curl/8.5.0", "curl"),
            ("Mozilla/5.0 (X11)", "mozilla"),
        ] {
            let found = facts("/", &[("user-agent", agent)]);
            assert_eq!(found.user_agent_family(), Some(expected));
        }
    }

    #[test]
    fn agents_name_their_sessions() {
        for name in [
            "x-claude-code-session-id",
            "session-id",
            "session_id",
            "thread-id",
            "conversation_id",
            "x-opencode-session",
            "x-session-affinity",
            "X-KiloCode-TaskId",
            "X-Task-ID",
        ] {
            assert_eq!(facts("/", &[(name, " s-1 ")]).session(), Some("s-1"), "{name}");
        }
        let both = facts("/", &[("thread-id", "t"), ("session-id", ""), ("session_id", "s")]);
        assert_eq!(both.session(), Some("s"));
        assert_eq!(facts("/", &[("x-request-id", "r")]).session(), None);
    }

    #[test]
    fn utf_8_is_kept_and_cut_between_characters() {
        let long = format!("a{}", "é".repeat(100));
        let read = facts("/", &[("x-modash-tag-team", "Köln 東京"), ("session-id", &long)]);
        assert_eq!(&*read.tags[0].1, "Köln 東京");
        assert_eq!(read.session(), Some(&long[..127]));
        let mut request = http::Request::post("/");
        for (name, value) in [("x-modash-tag-a", &b"caf\xe9"[..]), ("session-id", b"a\tb")] {
            request = request.header(name, http::HeaderValue::from_bytes(value).unwrap());
        }
        let read = RequestFacts::read(&Head::from(&request.body(()).unwrap().into_parts().0));
        assert_eq!(&*read.tags[0].1, "caf\u{fffd}");
        assert_eq!(read.session(), Some("a\u{fffd}b"));
    }

    #[test]
    fn tags_are_capped_in_number_and_length() {
        let headers: Vec<(String, String)> =
            (0..20).map(|n| (format!("x-modash-tag-t{n}"), "v".repeat(200))).collect();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let tags = facts("/", &headers).tags;
        assert_eq!(tags.len(), MAX_TAGS);
        assert!(tags.iter().all(|(_, value)| value.len() == MAX_TEXT));
    }
}
