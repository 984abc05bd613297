//! The text format 0.0.4 of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>), made of OpenMetrics:
//! for whoever does not ask for OpenMetrics by name, such as `curl` and older agents.

/// The content type of this format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The same values without what only OpenMetrics has: exemplars, units, the end mark, and
/// names of families that differ from those of their samples.
pub(super) fn from_open_metrics(text: &str) -> String {
    let mut classic = String::with_capacity(text.len());
    // The family whose HELP was read, and that line: TYPE, which says the suffix, follows.
    let mut help: Option<(&str, &str)> = None;
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next()) {
            (Some("#"), Some("HELP")) => {
                help = words.next().zip(words.next());
            }
            (Some("#"), Some("TYPE")) => {
                let (Some(family), Some(kind)) = (words.next(), words.next()) else { continue };
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    kind => ("", kind),
                };
                if let Some((_, text)) = help.take().filter(|(of, _)| *of == family) {
                    classic.extend(["# HELP ", family, suffix, " ", text, "\n"]);
                }
                classic.extend(["# TYPE ", family, suffix, " ", kind, "\n"]);
            }
            (Some("#"), _) => {}
            _ => classic.extend([without_exemplar(line), "\n"]),
        }
    }
    classic
}

/// A sample up to its value: an exemplar follows as ` # {…}`, which may also stand in the
/// value of a label.
fn without_exemplar(line: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'#' if !quoted => return line[..at].trim_end(),
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_open_metrics_has_is_left_out() {
        let text = "\
            # HELP modash_meals Meals # served.\n\
            # TYPE modash_meals counter\n\
            modash_meals_total{cook=\"# \\\" {x}\"} 3 # {trace_id=\"a\"} 1.0 1.5\n\
            # HELP modash_oven_seconds Age.\n\
            # TYPE modash_oven_seconds gauge\n\
            # UNIT modash_oven_seconds seconds\n\
            modash_oven_seconds 7\n\
            # HELP modash_build Of the program.\n\
            # TYPE modash_build info\n\
            modash_build_info{version=\"1\"} 1\n\
            # HELP modash_wait_seconds Waits.\n\
            # TYPE modash_wait_seconds histogram\n\
            # UNIT modash_wait_seconds seconds\n\
            modash_wait_seconds_sum 0.5\n\
            modash_wait_seconds_count 1\n\
            modash_wait_seconds_bucket{le=\"+Inf\"} 1 # {trace_id=\"b\"} 0.5\n\
            # EOF\n";
        assert_eq!(
            from_open_metrics(text),
            "# HELP modash_meals_total Meals # served.\n\
             # TYPE modash_meals_total counter\n\
             modash_meals_total{cook=\"# \\\" {x}\"} 3\n\
             # HELP modash_oven_seconds Age.\n\
             # TYPE modash_oven_seconds gauge\n\
             modash_oven_seconds 7\n\
             # HELP modash_build_info Of the program.\n\
             # TYPE modash_build_info gauge\n\
             modash_build_info{version=\"1\"} 1\n\
             # HELP modash_wait_seconds Waits.\n\
             # TYPE modash_wait_seconds histogram\n\
             modash_wait_seconds_sum 0.5\n\
             modash_wait_seconds_count 1\n\
             modash_wait_seconds_bucket{le=\"+Inf\"} 1\n"
        );
    }
}
