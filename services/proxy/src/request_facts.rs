//! What a request head says about its sender, copied out of it so that the head
//! itself need not be kept.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, USER_AGENT},
    request::Parts,
};

/// Headers that carry a credential, in the order in which they are looked for.
const CREDENTIAL_HEADERS: [HeaderName; 4] = [
    AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

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
    pub(crate) path: Box<str>,
    pub(crate) user_agent_family: Option<Box<str>>,
    /// In memory until the event is made; only its fingerprint goes further.
    pub(crate) credential: Option<Box<[u8]>>,
    pub(crate) session: Option<Box<str>>,
    pub(crate) tags: Tags,
}

impl RequestFacts {
    pub(crate) fn read(head: &Parts) -> Self {
        let headers = &head.headers;
        let (session, tags) = marks(headers);
        Self {
            method: head.method.clone(),
            path: cut(head.uri.path(), MAX_PATH).into(),
            user_agent_family: text(headers, &USER_AGENT).and_then(family),
            credential: credential(headers, head.uri.query()),
            session,
            tags,
        }
    }
}

/// The credential without its scheme, so that one key has one fingerprint
/// wherever it is sent.
fn credential(headers: &HeaderMap, query: Option<&str>) -> Option<Box<[u8]>> {
    for name in CREDENTIAL_HEADERS {
        if let Some(value) = headers.get(&name) {
            let value = value.as_bytes();
            let key = match value.get(..7) {
                Some(scheme) if scheme.eq_ignore_ascii_case(b"bearer ") => &value[7..],
                _ => value,
            };
            if !key.trim_ascii().is_empty() {
                return Some(key.trim_ascii().into());
            }
        }
    }
    // Gemini's way.
    let query = query?;
    query.split('&').find_map(|pair| pair.strip_prefix("key=")).map(|key| key.as_bytes().into())
}

/// `openai-python` of `OpenAI-Python/1.2 (linux) x/3`: the first product, in
/// lower case. OpenAI's and Anthropic's clients write `OpenAI/Python 1.2`.
fn family(user_agent: &str) -> Option<Box<str>> {
    let mut parts = user_agent.split([' ', '/']);
    let product = parts.next().filter(|product| !product.is_empty())?;
    let language = parts.next().filter(|next| next.starts_with(|c: char| c.is_ascii_alphabetic()));
    let family = match language {
        Some(language) if user_agent[product.len()..].starts_with('/') => {
            format!("{product}-{language}")
        }
        _ => product.to_owned(),
    };
    Some(cut(&family.to_ascii_lowercase(), MAX_NAME).into())
}

/// Session and tags, in one look at each header: looking up every name would
/// cost more.
fn marks(headers: &HeaderMap) -> (Option<Box<str>>, Tags) {
    let mut session: Option<(u8, &HeaderValue)> = None;
    let mut tags = Tags::new();
    for (name, value) in headers {
        let name = name.as_str();
        if let Some(tag) = name.strip_prefix(TAG_PREFIX) {
            let known = tags.iter().any(|(known, _)| **known == *tag);
            if !known && (1..=MAX_NAME).contains(&tag.len()) && tags.len() < MAX_TAGS {
                tags.push((tag.into(), clean(value)));
            }
        } else if let Some(rank) = session_rank(name)
            && session.is_none_or(|(best, _)| rank < best)
            && !value.as_bytes().trim_ascii().is_empty()
        {
            session = Some((rank, value));
        }
    }
    (session.map(|(_, value)| clean(value)), tags)
}

/// A value as text: what is no UTF-8, and control characters, are replaced.
fn clean(value: &HeaderValue) -> Box<str> {
    let text = String::from_utf8_lossy(value.as_bytes().trim_ascii());
    if text.contains(char::is_control) {
        return cut(&text.replace(char::is_control, "\u{fffd}"), MAX_TEXT).into();
    }
    cut(&text, MAX_TEXT).into()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

/// The beginning of a text, cut between characters.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(uri: &str, headers: &[(&str, &str)]) -> RequestFacts {
        let mut request = http::Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        RequestFacts::read(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn one_key_gives_the_same_credential_in_every_header() {
        let places = [
            facts("/", &[("authorization", "Bearer sk-1")]),
            facts("/", &[("authorization", "bearer  sk-1 ")]),
            facts("/", &[("x-api-key", "sk-1")]),
            facts("/", &[("api-key", "sk-1")]),
            facts("/v1beta/models/m:generateContent?alt=sse&key=sk-1", &[]),
        ];
        for place in places {
            assert_eq!(place.credential.as_deref(), Some(&b"sk-1"[..]));
        }
        assert_eq!(facts("/?monkey=1", &[("authorization", "Bearer ")]).credential, None);
    }

    #[test]
    fn a_key_in_the_query_is_not_in_the_path() {
        assert_eq!(&*facts("/v1/x?key=secret", &[]).path, "/v1/x");
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
            let found = facts("/", &[("user-agent", agent)]).user_agent_family;
            assert_eq!(found.as_deref(), Some(expected));
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
            assert_eq!(facts("/", &[(name, " s-1 ")]).session.as_deref(), Some("s-1"), "{name}");
        }
        let both = facts("/", &[("thread-id", "t"), ("session-id", ""), ("session_id", "s")]);
        assert_eq!(both.session.as_deref(), Some("s"));
        assert_eq!(facts("/", &[("x-request-id", "r")]).session, None);
    }

    #[test]
    fn utf_8_is_kept_and_cut_between_characters() {
        let long = format!("a{}", "é".repeat(100));
        let read = facts("/", &[("x-modash-tag-team", "Köln 東京"), ("session-id", &long)]);
        assert_eq!(&*read.tags[0].1, "Köln 東京");
        assert_eq!(read.session.as_deref(), Some(&long[..127]));
        let mut request = http::Request::post("/");
        for (name, value) in [("x-modash-tag-a", &b"caf\xe9"[..]), ("session-id", b"a\tb")] {
            request = request.header(name, HeaderValue::from_bytes(value).unwrap());
        }
        let read = RequestFacts::read(&request.body(()).unwrap().into_parts().0);
        assert_eq!(&*read.tags[0].1, "caf\u{fffd}");
        assert_eq!(read.session.as_deref(), Some("a\u{fffd}b"));
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
