//! Reading of `Content-Type`, `Accept` and `Accept-Encoding`, as far as the
//! gateway needs it.

use http::{HeaderMap, HeaderName, HeaderValue};

/// A content type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaType {
    /// Type and subtype in lower case, without parameters.
    pub(crate) essence: String,
    /// The charset in lower case.
    pub(crate) charset: Option<String>,
}

impl MediaType {
    /// `None` if the header is not text.
    pub(crate) fn parse(header: &HeaderValue) -> Option<Self> {
        let mut parts = header.to_str().ok()?.split(';').map(str::trim);
        let essence = parts.next()?.to_ascii_lowercase();
        let charset = parts.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let is_charset = name.trim().eq_ignore_ascii_case("charset");
            is_charset.then(|| value.trim().trim_matches('"').to_ascii_lowercase())
        });
        Some(Self { essence, charset })
    }
}

/// How much a client wants `option`, from 0 (not at all) to 1000, by a header
/// with q-values; `matches` says whether an item of it covers the option and
/// how specifically, the most specific one counts. `None`: not mentioned.
fn quality(
    headers: &HeaderMap,
    name: &HeaderName,
    matches: impl Fn(&str) -> Option<u8>,
) -> Option<u16> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let items = values.flat_map(|value| value.split(',')).filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let rank = matches(&parts.next()?.to_ascii_lowercase())?;
        let q = parts.find_map(|parameter| parameter.strip_prefix("q=")).map(str::parse::<f32>);
        let q = q.map_or(1.0, |q| q.unwrap_or(0.0)).clamp(0.0, 1.0);
        Some((rank, (q * 1000.0) as u16))
    });
    items.max_by_key(|(rank, _)| *rank).map(|(_, quality)| quality)
}

/// How much a client wants a content coding; 0 if it is not mentioned.
pub(crate) fn coding_quality(headers: &HeaderMap, coding: &str) -> u16 {
    quality(headers, &http::header::ACCEPT_ENCODING, |item| match item {
        "*" => Some(0),
        item => (item == coding).then_some(1),
    })
    .unwrap_or(0)
}

/// Whether `Accept` lets this media type pass; an absent header lets all pass.
pub(crate) fn accepts(headers: &HeaderMap, essence: &str) -> bool {
    if !headers.contains_key(http::header::ACCEPT) {
        return true;
    }
    let group = essence.split('/').next().unwrap_or_default();
    let quality = quality(headers, &http::header::ACCEPT, |item| match item {
        "*/*" => Some(0),
        item if item == essence => Some(2),
        item => (item.strip_suffix("/*") == Some(group)).then_some(1),
    });
    quality.is_some_and(|quality| quality > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCEPT, ACCEPT_ENCODING};

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        [(name, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn a_charset_is_found_among_parameters() {
        let parsed =
            MediaType::parse(&HeaderValue::from_static("Application/JSON; a=b; Charset=\"UTF-8\""));
        let parsed = parsed.unwrap();
        assert_eq!(parsed.essence, "application/json");
        assert_eq!(parsed.charset.as_deref(), Some("utf-8"));
    }

    #[test]
    fn codings_are_chosen_by_their_q_values() {
        let wanted = headers(ACCEPT_ENCODING, "gzip;q=0.5, br, zstd;q=0, *;q=0.1");
        assert_eq!(coding_quality(&wanted, "br"), 1000);
        assert_eq!(coding_quality(&wanted, "gzip"), 500);
        assert_eq!(coding_quality(&wanted, "zstd"), 0);
        assert_eq!(coding_quality(&wanted, "deflate"), 100);
        assert_eq!(coding_quality(&HeaderMap::new(), "gzip"), 0);
    }

    #[test]
    fn accept_excludes_what_it_does_not_cover() {
        assert!(accepts(&HeaderMap::new(), "text/event-stream"));
        for fine in ["text/event-stream", "*/*", "text/*;q=0.5", "application/json, */*;q=0.1"] {
            assert!(accepts(&headers(ACCEPT, fine), "text/event-stream"), "{fine}");
        }
        for excluded in ["application/json", "text/html", "text/event-stream;q=0, */*"] {
            assert!(!accepts(&headers(ACCEPT, excluded), "text/event-stream"), "{excluded}");
        }
    }
}
