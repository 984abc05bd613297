//! `docs/metrics.md` is made from the descriptions that the services register their
//! metrics by, and the names follow the conventions of Prometheus.

use std::{collections::BTreeSet, fs};

use modash_runtime::{Description, Kind, process_metrics};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");

/// Headings of the page and the metrics below them.
fn parts() -> [(&'static str, &'static str, Vec<Description>); 4] {
    [
        (
            "Proxy",
            "Admin port `MODASH_PROXY_ADMIN_LISTEN`, 4015 if not set.",
            modash_proxy::metrics(),
        ),
        (
            "Analytics",
            "Admin port `MODASH_ANALYTICS_ADMIN_LISTEN`, 4017 if not set.",
            modash_analytics::metrics(),
        ),
        (
            "Gateway",
            "Admin port `MODASH_GATEWAY_ADMIN_LISTEN`, 4016 if not set.",
            modash_gateway::metrics(),
        ),
        ("Every process", "On each of these ports.", process_metrics()),
    ]
}

const HEAD: &str = "\
# Metrics

Every service shows its metrics at `/metrics` of its admin port, in the OpenMetrics text format 1.0, which Prometheus
reads. `modash` shows those of each service on the port of that service. This page is made from the tables by which
the services register their metrics; a test compares it (`MODASH_TEST_WRITE=1 cargo test --workspace --test
metrics_page` writes it anew).

A histogram has samples that end in `_bucket`, `_sum` and `_count`. Counters begin at 0 with the process. A metric with
labels is shown from the first value on. At most 100 models and 500 label sets have labels of their own; what is
beyond is counted under `other`, as is a model that no upstream has answered for.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (heading, place, descriptions) in parts() {
        page.push_str(&format!(
            "\n## {heading}\n\n{place}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n"
        ));
        for about in descriptions {
            let name = match about.kind {
                Kind::Histogram => about.name.to_owned(),
                _ => about.samples().concat(),
            };
            let kind = format!("{:?}", about.kind).to_lowercase();
            let labels = about.labels.join(", ");
            page.push_str(&format!("| `{name}` | {kind} | {labels} | {} |\n", about.help));
        }
    }
    page
}

#[test]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
fn the_page_says_what_is_registered() {
    let page = page();
    if std::env::var_os("MODASH_TEST_WRITE").is_some() {
        fs::write(PAGE, &page).unwrap();
    }
    let found = fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        found == page,
        "docs/metrics.md is old; write it anew with \
         `MODASH_TEST_WRITE=1 cargo test --workspace --test metrics_page`"
    );
}

#[test]
fn names_and_helps_follow_the_conventions() {
    let mut names = BTreeSet::new();
    for about in parts().into_iter().flat_map(|(_, _, descriptions)| descriptions) {
        let name = about.name;
        assert!(names.insert(name), "{name} is there twice");
        assert!(name.starts_with("modash_") || name.starts_with("process_"), "{name}");
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(name.chars().all(plain), "{name} has other characters");
        for wrong in ["_total", "_count", "_sum", "_bucket", "_info", "_ms", "_millis", "_kb"] {
            assert!(
                !name.ends_with(wrong),
                "{name} ends in {wrong}, which the format adds or forbids"
            );
        }
        assert!(!about.help.is_empty() && !about.help.ends_with('.'), "{name}: {}", about.help);
        assert!(about.help.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit()));
        for label in about.labels {
            assert!(
                label.chars().all(plain) && !["le", "job", "instance"].contains(label),
                "{name}"
            );
        }
    }
}
