//! The table, on the terminal and in a page of the documentation.

use std::{fmt::Write as _, fs, path::Path};

use crate::{Outcome, scenario::Scenario, verdict::Verdict};

const BEGIN: &str = "<!-- data plane: written by `make bench` -->";
const END: &str = "<!-- data plane: end -->";

/// The table as Markdown.
pub(crate) fn table(verdicts: &[Verdict<'_>], targets: &[&str]) -> String {
    let mut text = String::from("| load | unit |");
    for target in targets {
        let _ = write!(text, " {target} |");
    }
    text.push_str(" wanted | found |\n|---|---|");
    text.push_str(&"---:|".repeat(targets.len()));
    text.push_str("---|---|\n");
    for verdict in verdicts {
        let Scenario { title, measure, .. } = verdict.scenario;
        let _ = write!(text, "| {title} | {} |", measure.unit());
        for target in targets {
            match verdict.medians.iter().find(|(name, _)| name == target) {
                Some((_, figure)) => {
                    let _ = write!(text, " {} |", rounded(*figure));
                }
                None => text.push_str(" |"),
            }
        }
        let wanted: Vec<&str> = verdict.goals.iter().map(|goal| goal.wanted.as_str()).collect();
        let found: Vec<String> = verdict
            .goals
            .iter()
            .map(|goal| match (goal.found, goal.met) {
                (Some((middle, lowest, highest)), Some(met)) => {
                    let range = if lowest < highest {
                        format!(" ({} to {})", rounded(lowest), rounded(highest))
                    } else {
                        String::new()
                    };
                    format!("{}{range} {}", rounded(middle), if met { "✓" } else { "✗" })
                }
                _ => "not measured".to_owned(),
            })
            .collect();
        let _ = writeln!(text, " {} | {} |", wanted.join("<br>"), found.join("<br>"));
    }
    text
}

/// Three digits that count.
pub(crate) fn rounded(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// Replaces the marked part of a page.
pub(crate) fn write(page: &Path, part: &str) -> Outcome {
    let text = fs::read_to_string(page)?;
    let places = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) =
        places.ok_or_else(|| format!("{} has no part {BEGIN} … {END}", page.display()))?;
    Ok(fs::write(page, format!("{before}{BEGIN}\n{part}{END}{after}"))?)
}
