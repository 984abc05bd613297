//! What a request head says about its sender, copied out of it so that the head
//! itself need not be kept.

use http::{
    HeaderMap, HeaderName,
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

/// Headers that name a session or conversation, in that order.
const SESSION_HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("x-modash-session"),
    HeaderName::from_static("x-session-id"),
    HeaderName::from_static("session_id"),
    HeaderName::from_static("x-claude-code-session-id"),
];

/// Headers that carry a tag: this and the tag's name.
const TAG_PREFIX: &str = "x-modash-tag-";

const MAX_PATH: usize = 512;
const MAX_TEXT: usize = 128;
const MAX_NAME: usize = 64;
const MAX_TAGS: usize = 16;

/// Facts of one request head; sizes are those of the usage event's contract.
#[derive(Debug)]
pub(crate) struct RequestFacts {
    pub(crate) method: http::Method,
    pub(crate) path: Box<str>,
    pub(crate) user_agent_family: Option<Box<str>>,
    /// In memory until the event is made; only its fingerprint goes further.
    pub(crate) credential: Option<Box<[u8]>>,
    pub(crate) session: Option<Box<str>>,
    pub(crate) tags: Vec<(Box<str>, Box<str>)>,
}

impl RequestFacts {
    pub(crate) fn read(head: &Parts) -> Self {
        let headers = &head.headers;
        Self {
            method: head.method.clone(),
            path: cut(head.uri.path(), MAX_PATH).into(),
            user_agent_family: text(headers, &USER_AGENT).and_then(family),
            credential: credential(headers, head.uri.query()),
            session: SESSION_HEADERS
                .iter()
                .find_map(|name| text(headers, name))
                .map(|session| cut(session, MAX_TEXT).into()),
            tags: tags(headers),
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

fn tags(headers: &HeaderMap) -> Vec<(Box<str>, Box<str>)> {
    let mut tags: Vec<(Box<str>, Box<str>)> = Vec::new();
    for (name, value) in headers {
        let Some(tag) = name.as_str().strip_prefix(TAG_PREFIX) else {
            continue;
        };
        let known = tags.iter().any(|(known, _)| **known == *tag);
        if let Ok(value) = value.to_str()
            && !known
            && (1..=MAX_NAME).contains(&tag.len())
            && tags.len() < MAX_TAGS
        {
            tags.push((tag.into(), cut(value, MAX_TEXT).into()));
        }
    }
    tags
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
