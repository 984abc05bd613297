//! The picture: for each load of which processor time is measured a bar for each
//! target, as a multiple of nginx.

use std::fmt::Write as _;

use crate::{report::rounded, scenario::Measure, verdict::Verdict};

const WIDTH: f64 = 720.0;
const LABEL: f64 = 250.0;
const BAR: f64 = 14.0;
const GAP: f64 = 22.0;

/// Colours that can be told apart on light and dark ground.
const COLOURS: [(&str, &str); 5] = [
    ("nginx", "#8a8f98"),
    ("nginx, buffering", "#b9bec6"),
    ("bare hyper", "#d08a2e"),
    ("modash before", "#8fb8ee"),
    ("modash", "#2f7de1"),
];

/// An SVG, or none if there is nothing to compare with.
pub(crate) fn bars(verdicts: &[Verdict<'_>]) -> Option<String> {
    let groups: Vec<_> = verdicts
        .iter()
        .filter(|verdict| {
            matches!(verdict.scenario.measure, Measure::CpuPerRequest | Measure::CpuPerEvent(_))
        })
        .filter_map(|verdict| {
            let nginx = verdict.medians.iter().find(|(name, _)| *name == "nginx")?.1;
            let bars: Vec<_> = COLOURS
                .iter()
                .filter_map(|(name, colour)| {
                    let figure = verdict.medians.iter().find(|(target, _)| target == name)?.1;
                    Some((*name, *colour, figure / nginx))
                })
                .collect();
            Some((verdict.scenario.title, bars))
        })
        .collect();
    if groups.is_empty() {
        return None;
    }
    let most =
        groups.iter().flat_map(|(_, bars)| bars).map(|(.., ratio)| *ratio).fold(1.2, f64::max);
    let scale = (WIDTH - LABEL - 60.0) / most;
    let mut body = String::new();
    let mut y = 20.0;
    for (title, bars) in &groups {
        let _ = writeln!(body, r#"<text class="title" x="0" y="{y}">{title}</text>"#);
        y += 8.0;
        for (name, colour, ratio) in bars {
            let (middle, width) = (y + BAR - 3.0, ratio * scale);
            let _ = writeln!(
                body,
                r#"<text x="{:.0}" y="{middle:.0}" text-anchor="end">{name}</text><rect x="{LABEL}" y="{y}" width="{width:.1}" height="{BAR}" rx="2" fill="{colour}"/><text x="{:.1}" y="{middle:.0}">{}</text>"#,
                LABEL - 8.0,
                LABEL + width + 6.0,
                rounded(*ratio)
            );
            y += BAR + 4.0;
        }
        y += GAP;
    }
    let (line, height) = (LABEL + scale, y - GAP + 4.0);
    Some(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="Processor time as a multiple of nginx; less is better">
<style>text{{font:12px system-ui,sans-serif;fill:#24292f}}.title{{font-weight:600}}line{{stroke:#8a8f98;stroke-dasharray:3 3}}@media(prefers-color-scheme:dark){{text{{fill:#d7dce2}}}}</style>
{body}<line x1="{line:.1}" x2="{line:.1}" y1="8" y2="{height:.0}"/>
</svg>
"#
    ))
}
