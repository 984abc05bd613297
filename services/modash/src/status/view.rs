//! The table as lines of text, as wide as the terminal. Nothing here asks anybody.

use chrono::{DateTime, Local, Utc};
use modash_analytics::data::grouped;

use super::now::{Now, Running, state_name};

/// What stands for a value that is not known.
const UNKNOWN: &str = "–";

/// Below this width the upstream is left out.
const WIDE: usize = 64;

/// Below this width the rate is left out too.
const MIDDLE: usize = 48;

/// The whole table: at most so many columns and lines.
pub(crate) fn lines(now: &Now, columns: usize, rows: usize) -> Vec<String> {
    lines_at(now, columns, rows, Utc::now())
}

fn lines_at(now: &Now, columns: usize, rows: usize, local: DateTime<Utc>) -> Vec<String> {
    let running = now.running(local);
    let mut lines = head(now, &running, columns, local);
    lines.push(String::new());
    if running.is_empty() {
        lines.push("nothing runs".to_owned());
    } else {
        lines.extend(table(&running, columns, rows.saturating_sub(lines.len())));
    }
    lines.truncate(rows);
    lines.iter().map(|line| cut(line, columns)).collect()
}

fn head(now: &Now, running: &[Running], columns: usize, local: DateTime<Utc>) -> Vec<String> {
    let time = local.with_timezone(&Local).format("%H:%M:%S").to_string();
    let mut lines = fitted(&["modash", &now.from, &time].map(str::to_owned), columns);
    if let Some(problem) = &now.problem {
        lines.extend(fitted(std::slice::from_ref(problem), columns));
    }
    let mut today = vec!["today".to_owned()];
    match &now.today {
        None => today.push(UNKNOWN.to_owned()),
        Some(summary) => {
            today.push(counted(summary.requests, "request", "requests"));
            today.push(format!("{} tokens", short(summary.total_tokens)));
            today.push(cost(summary.cost.as_ref()));
            let share = match summary.requests {
                0 => String::new(),
                all => format!(" ({:.1} %)", 100.0 * summary.failed_requests as f64 / all as f64),
            };
            today.push(counted(summary.failed_requests, "error", "errors") + &share);
        }
    }
    lines.extend(fitted(&today, columns));
    // A sum of no numbers is -0.
    let rate = running.iter().filter_map(|request| request.events_per_second).sum::<f64>() + 0.0;
    let more = if now.truncated { " and more" } else { "" };
    let state = now.delivery().map_or(UNKNOWN, state_name);
    let present = [
        "now".to_owned(),
        format!("{}{more} running", running.len()),
        format!("{rate:.1} tokens/s"),
        format!("delivery {state}"),
    ];
    lines.extend(fitted(&present, columns));
    lines
}

/// Parts side by side, in as many lines as they need.
fn fitted(parts: &[String], columns: usize) -> Vec<String> {
    const GAP: &str = "   ";
    let mut lines = vec![String::new()];
    for part in parts {
        let line = lines.last_mut().map_or(0, |line| line.chars().count());
        if line > 0 && line + GAP.len() + part.chars().count() > columns {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push_str(GAP);
            }
            line.push_str(part);
        }
    }
    lines
}

fn table(running: &[Running], columns: usize, rows: usize) -> Vec<String> {
    let (with_upstream, with_rate) = (columns >= WIDE, columns >= MIDDLE);
    // Phase, age and tokens are always there, each after two spaces.
    let mut others = 12 + 10 + 9;
    let upstream_width = if with_upstream { (columns / 6).clamp(10, 24) } else { 0 };
    others += if with_upstream { upstream_width + 2 } else { 0 };
    others += if with_rate { 10 } else { 0 };
    let longest = running.iter().map(|request| model(request).chars().count()).max().unwrap_or(0);
    let model_width = columns.saturating_sub(others).max(5).min(longest.max(5));
    let line = |model: &str, upstream: &str, phase: &str, age: &str, tokens: &str, rate: &str| {
        let mut line = format!("{:<model_width$}", cut(model, model_width));
        if with_upstream {
            line.push_str(&format!("  {:<upstream_width$}", cut(upstream, upstream_width)));
        }
        line.push_str(&format!("  {phase:<10}  {age:>8}  {tokens:>7}"));
        if with_rate {
            line.push_str(&format!("  {rate:>8}"));
        }
        line
    };
    let mut lines = vec![line("MODEL", "UPSTREAM", "PHASE", "AGE", "TOKENS", "TOKENS/S")];
    let room = rows.saturating_sub(1);
    // The last line says how many have none.
    let shown = if running.len() > room { room.saturating_sub(1) } else { running.len() };
    for request in &running[..shown] {
        let tokens = match request.content_events {
            0 => UNKNOWN.to_owned(),
            events => short(events),
        };
        let rate =
            request.events_per_second.map_or(UNKNOWN.to_owned(), |rate| format!("{rate:.1}"));
        let age = age(request.age_ms);
        lines.push(line(model(request), &request.upstream, request.phase, &age, &tokens, &rate));
    }
    if shown < running.len() {
        lines.push(format!("and {} more", running.len() - shown));
    }
    lines
}

fn model(request: &Running) -> &str {
    request.model.as_deref().unwrap_or(UNKNOWN)
}

/// Cut to so many letters, the last of which then says so. Names come from requests:
/// control characters in them would steer the terminal.
fn cut(text: &str, columns: usize) -> String {
    let plain = |letter: char| if letter.is_control() { '?' } else { letter };
    if text.chars().count() <= columns {
        return text.chars().map(plain).collect();
    }
    let mut kept: String = text.chars().take(columns.saturating_sub(1)).map(plain).collect();
    kept.push('…');
    kept
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// 1,234 · 12.3k · 1.23M.
fn short(count: u64) -> String {
    if count < 10_000 {
        return grouped(count);
    }
    let value = count as f64;
    for (unit, name) in [(1e12, "T"), (1e9, "B"), (1e6, "M")] {
        if value >= unit {
            return format!("{:.2}{name}", value / unit);
        }
    }
    format!("{:.1}k", value / 1e3)
}

fn cost(cost: Option<&modash_proto::v1::Cost>) -> String {
    match cost {
        Some(cost) if cost.known_requests > 0 => {
            // What is unknown is not in the sum.
            let least = if cost.unknown_requests > 0 { "≥ " } else { "" };
            let dollars = cost.nano_usd as f64 / 1e9;
            let digits = if dollars < 1.0 { 4 } else { 2 };
            format!("{least}${dollars:.digits$}")
        }
        _ => format!("cost {UNKNOWN}"),
    }
}

/// 12.4 s · 2 m 05 s · 1 h 02 m.
fn age(milliseconds: i64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        ..60 => format!("{:.1} s", milliseconds as f64 / 1000.0),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use modash_proto::v1::{Cost, RequestPhase, UsageSummaryResponse};

    use super::*;
    use crate::status::now::tests::{at, connected, request};

    fn now(count: usize) -> Now {
        let mut now = Now::of("http://127.0.0.1:4007");
        let mut requests: Vec<_> = (0..count)
            .map(|number| request(&format!("{number:04}"), RequestPhase::Streaming, 340))
            .collect();
        if let Some(first) = requests.first_mut() {
            first.model =
                Some("a-model-with-a-name-that-is-\u{1b}[31mlonger-than-a-line-of-80".to_owned());
        }
        now.take(connected(requests, 12), at(12));
        let cost = Cost {
            nano_usd: 12_340_000_000,
            known_requests: 9,
            unknown_requests: 1,
            ..Cost::default()
        };
        now.today = Some(UsageSummaryResponse {
            requests: 1_234,
            failed_requests: 12,
            total_tokens: 56_700_000,
            cost: Some(cost),
            ..UsageSummaryResponse::default()
        });
        now
    }

    #[test]
    fn lines_fit_the_terminal_at_every_size() {
        for columns in [20, 40, 60, 80, 200] {
            for rows in [1, 5, 10, 24] {
                let lines = lines_at(&now(50), columns, rows, at(12));
                assert!(lines.len() <= rows, "{columns} x {rows}: {lines:#?}");
                for line in &lines {
                    assert!(line.chars().count() <= columns, "{columns}: {line}");
                    assert!(!line.contains('\u{1b}'), "{line:?}");
                }
            }
        }
    }

    #[test]
    fn a_wide_terminal_shows_everything() {
        let text = lines_at(&now(2), 100, 24, at(12)).join("\n");
        for part in [
            "today   1,234 requests   56.70M tokens   ≥ $12.34   12 errors (1.0 %)",
            "now   2 running   67.8 tokens/s   delivery –",
            "MODEL",
            "UPSTREAM",
            "TOKENS/S",
            "qwen3-8b",
            "default",
            "streaming",
            "12.0 s",
            "340",
            "33.9",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let lines = lines_at(&now(50), 80, 10, at(12));
        assert_eq!(lines.last().map(String::as_str), Some("and 46 more"), "{lines:#?}");
        assert!(lines_at(&now(0), 80, 10, at(12)).contains(&"nothing runs".to_owned()));
    }

    #[test]
    fn unknown_is_a_dash_and_never_zero() {
        assert_eq!(cost(None), "cost –");
        assert_eq!(cost(Some(&Cost::default())), "cost –");
        let text = lines_at(&Now::of("here"), 80, 10, at(0)).join("\n");
        assert!(text.contains("today   –"), "{text}");
    }

    #[test]
    fn ages_and_counts_are_short() {
        assert_eq!([900, 125_000, 3_720_000].map(age), ["0.9 s", "2 m 05 s", "1 h 02 m"]);
        assert_eq!([9_999, 12_345, 1_234_567].map(short), ["9,999", "12.3k", "1.23M"]);
    }
}
