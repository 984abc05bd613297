//! Findings as text for people and as JSON for scripts.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    clients::Client,
    finding::{Finding, Level},
};
use crate::terminal::wrapped;

/// Lines are no longer than this, also on a wide terminal.
const WIDEST: usize = 100;

#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    /// Nothing is to be mended.
    well: bool,
    findings: &'a [Finding],
    clients: &'a [Client],
}

pub(crate) fn json(findings: &[Finding], clients: &[Client]) -> String {
    let well = findings.iter().all(|finding| finding.level != Level::Mend);
    let report = Report { version: env!("CARGO_PKG_VERSION"), well, findings, clients };
    serde_json::to_string_pretty(&report).unwrap_or_default() + "\n"
}

pub(crate) fn text(findings: &[Finding], clients: &[Client], columns: usize) -> String {
    let columns = columns.min(WIDEST);
    let mut text = String::new();
    let mut area = None;
    for finding in findings {
        if area != Some(finding.area) {
            area = Some(finding.area);
            let _ = writeln!(text, "{}", finding.area.heading());
        }
        let mark = match finding.level {
            Level::Ok => "  ok    ",
            Level::Note => "  note  ",
            Level::Mend => "  MEND  ",
        };
        text.push_str(&wrapped(mark, &finding.what, columns));
        if let Some(why) = &finding.why {
            text.push_str(&wrapped("        why: ", why, columns));
        }
        if let Some(action) = &finding.action {
            text.push_str(&wrapped("        do:  ", action, columns));
        }
    }
    if !clients.is_empty() {
        text.push_str("\nLines to paste\n");
    }
    for client in clients {
        text.push_str(&wrapped("  ", &format!("{}, {}:", client.name, client.place), columns));
        for line in &client.lines {
            // Never wrapped: it would not be what is to be pasted.
            let _ = writeln!(text, "    {line}");
        }
    }
    text.push_str(match findings.iter().any(|finding| finding.level == Level::Mend) {
        true => "\n",
        false => "\nall well\n",
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Area;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::ok(Area::Upstream, "upstream.reached", "http://127.0.0.1:8080 answers"),
            Finding::mend(
                Area::Ports,
                "ports.taken",
                "port 4005 (proxy) is taken by node (process 7)",
            )
            .why("modash does not start unless it gets all of its ports")
            .action("stop that program"),
        ]
    }

    fn clients() -> Vec<Client> {
        let lines = vec!["ANTHROPIC_BASE_URL=http://127.0.0.1:4005 claude".to_owned()];
        vec![Client { name: "Claude Code".to_owned(), place: "shell", lines }]
    }

    #[test]
    fn text_keeps_to_the_width_but_for_lines_to_paste() {
        for columns in [40, 80, 300] {
            let text = text(&findings(), &clients(), columns);
            let pasted = "    ANTHROPIC_BASE_URL=http://127.0.0.1:4005 claude";
            for line in text.lines().filter(|line| *line != pasted) {
                assert!(line.chars().count() <= columns, "{columns}: {line}");
            }
            assert!(text.contains(pasted), "{text}");
        }
        assert!(text(&findings()[..1], &[], 80).ends_with("\nall well\n"));
    }

    #[test]
    fn json_says_whether_all_is_well_and_what_to_do() {
        let report: serde_json::Value =
            serde_json::from_str(&json(&findings(), &clients())).unwrap();
        assert_eq!(report["well"], false);
        let finding = &report["findings"][1];
        assert_eq!(
            (finding["check"].as_str(), finding["level"].as_str()),
            (Some("ports.taken"), Some("mend"))
        );
        assert_eq!(finding["do"], "stop that program");
        assert_eq!(report["findings"][0].get("do"), None);
        assert_eq!(report["clients"][0]["lines"][0], clients()[0].lines[0]);
    }
}
