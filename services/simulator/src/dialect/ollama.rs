//! Ollama's own chat and generate: a line of JSON for each token, counts and
//! durations in the last one, and no zero ever written.

use super::Dialect;
use crate::{
    transcript::Writer,
    turn::{Finish, Turn},
    wire::{Object, object},
};

/// A plain answer.
pub(super) fn plain(turn: &Turn) -> Object {
    let text = if turn.tool.is_some() { String::new() } else { turn.text() };
    last(turn, said(turn, &text, turn.reasoning().as_deref(), tool_calls(turn)))
}

/// A stream of lines.
pub(super) fn stream(turn: &Turn, writer: &mut Writer) {
    for piece in turn.reasoning_pieces() {
        writer.line(&line(turn, said(turn, "", Some(&piece), None)), true);
    }
    match tool_calls(turn) {
        // A call comes whole, in one line.
        Some(calls) => writer.line(&line(turn, said(turn, "", None, Some(calls))), true),
        None => {
            for piece in turn.visible_pieces() {
                writer.line(&line(turn, said(turn, &piece, None, None)), true);
            }
        }
    }
    writer.line(&last(turn, said(turn, "", None, None)), false);
}

/// The error body, whatever the status.
pub(super) fn error(message: &str) -> Object {
    object! { "error": message }
}

/// What the model said, as chat or as generate has it.
fn said(
    turn: &Turn,
    content: &str,
    thinking: Option<&str>,
    tool_calls: Option<Vec<Object>>,
) -> Object {
    if turn.dialect == Dialect::OllamaChat {
        let message = object! { "role": "assistant", "content": content }
            .maybe("thinking", thinking)
            .maybe("tool_calls", tool_calls);
        object! { "message": message }
    } else {
        object! { "response": content }.maybe("thinking", thinking)
    }
}

fn tool_calls(turn: &Turn) -> Option<Vec<Object>> {
    let name = turn.tool.as_ref().filter(|_| turn.dialect == Dialect::OllamaChat)?;
    let function = object! { "name": name, "arguments": object! { "query": "tokens" } };
    Some(vec![object! { "function": function }])
}

fn head(turn: &Turn) -> Object {
    object! { "model": &turn.model, "created_at": timestamp(turn.created) }
}

fn line(turn: &Turn, said: Object) -> Object {
    head(turn).and(said).member("done", false)
}

fn last(turn: &Turn, said: Object) -> Object {
    let some = |count: u64| (count > 0).then_some(count);
    let nanoseconds = |duration: std::time::Duration| {
        some(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    };
    let decode = turn.generation_time().saturating_sub(turn.pace.prefill);
    let reason = if turn.finish == Finish::Length { "length" } else { "stop" };
    head(turn)
        .and(said)
        .member("done", true)
        .member("done_reason", reason)
        .maybe("total_duration", nanoseconds(turn.pace.delay + turn.generation_time()))
        .maybe("prompt_eval_count", some(turn.prompt_tokens))
        .maybe("prompt_eval_duration", nanoseconds(turn.pace.prefill))
        .maybe("eval_count", some(turn.output_tokens))
        .maybe("eval_duration", nanoseconds(decode))
}

/// Seconds since 1970 as RFC 3339.
fn timestamp(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to a civil date: the year begins in March, eras have 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::timestamp;

    #[test]
    fn seconds_become_a_timestamp() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(1_709_210_096), "2024-02-29T12:34:56Z");
        assert_eq!(timestamp(1_767_225_599), "2025-12-31T23:59:59Z");
    }
}
