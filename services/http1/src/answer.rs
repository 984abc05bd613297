//! What a relay answers by itself, in the form that OpenAI's and Anthropic's
//! clients show to their users.

use std::fmt::Write as _;

use crate::request::line;

/// A response of JSON.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Status.
    pub status: u16,
    /// Body. It has to be JSON.
    pub body: &'a str,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// What the client is told of its connection: `close`, `keep-alive`, or nothing.
    pub connection: Option<&'a [u8]>,
    /// It answers a HEAD request, so that its body is not sent.
    pub to_head: bool,
}

impl Answer<'_> {
    /// Appends its bytes.
    pub fn write(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(b"HTTP/1.1 ");
        number(u64::from(self.status), output);
        output.push(b' ');
        output.extend_from_slice(reason(self.status).as_bytes());
        output.extend_from_slice(b"\r\n");
        if let Some(connection) = self.connection {
            line(b"connection", connection, output);
        }
        if let Some(seconds) = self.retry_after {
            output.extend_from_slice(b"retry-after: ");
            number(u64::from(seconds), output);
            output.extend_from_slice(b"\r\n");
        }
        output.extend_from_slice(b"content-type: application/json\r\ncontent-length: ");
        number(self.body.len() as u64, output);
        output.extend_from_slice(b"\r\n\r\n");
        if !self.to_head {
            output.extend_from_slice(self.body.as_bytes());
        }
    }
}

/// `{"error":{"type":…,"message":…}}`.
#[must_use]
pub fn error_body(kind: &str, message: &str) -> String {
    let mut body = String::with_capacity(48 + kind.len() + message.len());
    body.push_str(r#"{"error":{"message":"#);
    quoted(message, &mut body);
    body.push_str(r#","type":"#);
    quoted(kind, &mut body);
    body.push_str("}}");
    body
}

/// A string of JSON (RFC 8259 7).
fn quoted(text: &str, output: &mut String) {
    output.push('"');
    for character in text.chars() {
        match character {
            '"' => output.push_str("\\\""),
            '\\' => output.push_str("\\\\"),
            '\0'..='\u{1f}' => {
                // Writing to a string cannot fail.
                let _ = write!(output, "\\u{:04x}", u32::from(character));
            }
            _ => output.push(character),
        }
    }
    output.push('"');
}

/// Appends a decimal number.
fn number(number: u64, output: &mut Vec<u8>) {
    let start = output.len();
    let mut rest = number;
    loop {
        output.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    output[start..].reverse();
}

/// Usual reason phrase of a status that a relay answers with.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: &Answer<'_>) -> String {
        let mut output = Vec::new();
        answer.write(&mut output);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn an_answer_says_its_length_and_what_becomes_of_the_connection() {
        let body = error_body("upstream_busy", "try again later");
        let mut answer = Answer {
            status: 503,
            body: &body,
            retry_after: Some(10),
            connection: Some(b"close"),
            to_head: false,
        };
        let head = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 10\r\n\
                    content-type: application/json\r\ncontent-length: 62\r\n\r\n";
        assert_eq!(text(&answer), format!("{head}{body}"));
        answer.to_head = true;
        assert_eq!(text(&answer), head);
    }

    #[test]
    fn an_error_is_json_whatever_its_message_has() {
        for message in ["", "plain", "\"a\" \\ b", "\u{0}\n\u{1f}\u{7f}", "Grüße \u{1f600}"] {
            let body: serde_json::Value =
                serde_json::from_str(&error_body("kind", message)).unwrap();
            assert_eq!(body, serde_json::json!({"error": {"type": "kind", "message": message}}));
        }
    }

    #[test]
    fn numbers_are_decimal() {
        for value in [0, 7, 10, 200, u64::MAX] {
            let mut output = Vec::new();
            number(value, &mut output);
            assert_eq!(output, value.to_string().as_bytes());
        }
    }
}
