//! What `/metrics` answers: OpenMetrics 1.0 for whoever asks for it, as Prometheus does,
//! and else the text format that every agent reads.

use axum::{
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};

use super::{Metrics, classic};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics in the format that the header `Accept` prefers.
pub(crate) fn page(metrics: &Metrics, headers: &HeaderMap) -> Response {
    let text = metrics.text();
    let (content_type, text) = if wants_open_metrics(headers) {
        (OPEN_METRICS, text)
    } else {
        (classic::CONTENT_TYPE, classic::from_open_metrics(&text))
    };
    ([(header::CONTENT_TYPE, content_type), (header::VARY, "accept")], text).into_response()
}

fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let wanted = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => &mut open,
            "text/plain" => &mut plain,
            _ => continue,
        };
        // RFC 9110, section 12.4.2: without a weight, 1.
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        *wanted = wanted.max(weight);
    }
    open > 0.0 && open >= plain
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn open_metrics_is_for_whoever_prefers_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, open) in [
            (prometheus, true),
            ("application/openmetrics-text", true),
            ("Application/OpenMetrics-Text; q=0.2, text/plain; q=0.1", true),
            ("application/openmetrics-text;q=0.1, text/plain", false),
            ("application/openmetrics-text;q=0", false),
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", false),
            ("*/*", false),
        ] {
            let value = HeaderValue::from_static(accept);
            let headers = HeaderMap::from_iter([(header::ACCEPT, value)]);
            assert_eq!(wants_open_metrics(&headers), open, "{accept}");
        }
        assert!(!wants_open_metrics(&HeaderMap::new()));
    }
}
