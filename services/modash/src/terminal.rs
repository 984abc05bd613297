//! The terminal: how wide it is, and text that fits.

/// Columns of the terminal of standard output; `None`: it is no terminal.
pub(crate) fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Text in lines of at most so many columns. The first begins with `mark`, the others with
/// as many spaces. A word that is longer has a line of its own.
pub(crate) fn wrapped(mark: &str, text: &str, columns: usize) -> String {
    let indent = " ".repeat(mark.chars().count());
    let room = columns.saturating_sub(indent.len()).max(16);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let length = line.chars().count();
            if length > 0 && length + 1 + word.chars().count() > room {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    let mut whole = String::new();
    for (number, line) in lines.iter().enumerate() {
        whole.push_str(if number == 0 { mark } else { &indent });
        whole.push_str(line);
        whole.push('\n');
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_at_words_and_indented() {
        let text = wrapped("- ", "one two three four five six\nnext", 18);
        assert_eq!(text, "- one two three\n  four five six\n  next\n");
        let long = "x".repeat(30);
        assert_eq!(wrapped("", &format!("a {long} b"), 20), format!("a\n{long}\nb\n"));
    }
}
