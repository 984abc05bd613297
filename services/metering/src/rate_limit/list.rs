//! `RateLimit` and `RateLimit-Policy` of the IETF draft
//! (draft-ietf-httpapi-ratelimit-headers): a list of named policies with parameters; in
//! earlier drafts a list of `limit=100, remaining=50, reset=5`.

use super::{Found, Measure, RateLimitKind, count, is_window, time};

/// Items that are read of one line.
const MOST_ITEMS: usize = 16;

/// Takes what the items state.
pub(super) fn read(value: &str, found: &mut Option<Box<Found>>) {
    for item in split(value, ',').take(MOST_ITEMS) {
        let mut parts = split(item, ';').map(str::trim);
        let Some(head) = parts.next() else { continue };
        if let Some((key, value)) = head.split_once('=').filter(|_| !head.starts_with('"')) {
            let measure = match key.trim() {
                "limit" => count(value).map(Measure::Limit),
                "remaining" => count(value).map(Measure::Remaining),
                "reset" => time::seconds(value.trim()).map(Measure::Resets),
                _ => None,
            };
            note(found, RateLimitKind::Requests, "", measure);
            continue;
        }
        let name = head.trim_matches('"').to_ascii_lowercase();
        // Its unit may be anything, so the name of the policy is all that is sure.
        if !is_window(&name) {
            continue;
        }
        for parameter in parts {
            let Some((key, value)) = parameter.split_once('=') else { continue };
            let measure = match key.trim() {
                "q" => count(value.trim()).map(Measure::Limit),
                "r" => count(value.trim()).map(Measure::Remaining),
                "t" => time::seconds(value.trim()).map(Measure::Resets),
                _ => None,
            };
            note(found, RateLimitKind::Other, &name, measure);
        }
    }
}

fn note(
    found: &mut Option<Box<Found>>,
    kind: RateLimitKind,
    window: &str,
    measure: Option<Measure>,
) {
    if let Some(measure) = measure {
        found.get_or_insert_default().note(kind, window, measure);
    }
}

/// Parts between marks that are not within quotes.
fn split(text: &str, mark: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= character == '"';
        character == mark && !quoted
    })
}
