//! Where a trace is shown: the address of the team's tracing tool, with places
//! for ids, from which the dashboard makes links.

use std::{fmt, str::FromStr};

use url::Url;

/// Longest template, in bytes.
const LONGEST: usize = 2_048;

/// Ids that a template may have places for.
const PLACES: [&str; 2] = ["{trace_id}", "{span_id}"];

/// Absolute http or https URL with `{trace_id}`, perhaps `{span_id}`, behind its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceUrl(String);

impl TraceUrl {
    /// The template as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TraceUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for TraceUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "must be an absolute http or https URL without credentials, with \
                                {trace_id} and perhaps {span_id} in its path, query or fragment, \
                                such as https://traces.example.com/trace/{trace_id}";
        let filled = PLACES.iter().fold(text.to_owned(), |text, place| text.replace(place, "0"));
        let url = Url::parse(&filled).map_err(|_| EXPECTED)?;
        let host = url.host_str().unwrap_or_default();
        let behind_host = Url::parse(text).is_ok_and(|url| url.host_str() == Some(host));
        let fits = matches!(url.scheme(), "http" | "https")
            && behind_host
            && url.username().is_empty()
            && url.password().is_none()
            && text.contains(PLACES[0])
            && !filled.contains(['{', '}'])
            && text.len() <= LONGEST;
        if fits { Ok(Self(text.to_owned())) } else { Err(EXPECTED) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_an_absolute_url_with_a_place_for_the_trace() {
        for right in [
            "https://traces.example.com/trace/{trace_id}",
            "http://localhost:16686/trace/{trace_id}?uiFind={span_id}",
            "https://grafana.example.com/explore?left={trace_id}#{span_id}",
        ] {
            assert_eq!(right.parse::<TraceUrl>().unwrap().as_str(), right);
        }
        for wrong in [
            "",
            "/trace/{trace_id}",
            "traces.example.com/{trace_id}",
            "javascript:alert({trace_id})",
            "https://traces.example.com/",
            "https://{trace_id}.example.com/{trace_id}",
            "https://{trace_id}/",
            "https://name:word@traces.example.com/{trace_id}",
            "https://traces.example.com/{trace_id}/{traceId}",
            &format!("https://traces.example.com/{{trace_id}}/{}", "a".repeat(2_048)),
        ] {
            assert!(wrong.parse::<TraceUrl>().is_err(), "{wrong}");
        }
    }
}
