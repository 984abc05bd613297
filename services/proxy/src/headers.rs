//! Changing headers without changing the order of the others.

use http::{HeaderMap, HeaderName};

/// Keeps some headers. `HeaderMap::remove` would put the last header into the
/// gap; here the others keep their order.
pub(crate) fn retain(headers: &mut HeaderMap, keep: impl Fn(&HeaderName) -> bool) {
    if headers.keys().all(&keep) {
        return;
    }
    let mut last = None;
    let mut kept = HeaderMap::with_capacity(headers.capacity());
    for (name, value) in headers.drain() {
        // A further value of the header before comes without its name.
        last = name.or(last);
        if let Some(name) = last.as_ref().filter(|name| keep(name)) {
            kept.append(name, value);
        }
    }
    *headers = kept;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_keeps_its_order_and_its_values() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("a", "1"), ("b", "2"), ("c", "3"), ("b", "4"), ("d", "5")] {
            headers.append(name, value.parse().unwrap());
        }
        retain(&mut headers, |name| name != "a");
        let left: Vec<_> = headers.iter().map(|(_, value)| value.to_str().unwrap()).collect();
        assert_eq!(left, ["2", "4", "3", "5"]);
    }
}
