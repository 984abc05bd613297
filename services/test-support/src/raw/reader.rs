//! Reads messages from a connection, strictly: what is not as RFC 9112 says is an
//! error.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Field, Framing, RawMessage};

/// What is expected, which decides how the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// A request.
    Request,
    /// A response to anything but HEAD.
    Response,
    /// A response to HEAD, which has no body.
    ResponseToHead,
}

/// A reader of messages.
#[derive(Debug)]
pub struct RawReader<R> {
    io: R,
    buffer: BytesMut,
}

fn wrong(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

impl<R: AsyncRead + Unpin> RawReader<R> {
    /// From this connection.
    pub fn new(io: R) -> Self {
        Self { io, buffer: BytesMut::new() }
    }

    /// The connection.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.io
    }

    /// The next message; None if the connection ends before it begins.
    ///
    /// # Errors
    /// If the connection breaks off within it, or it is not well-formed.
    pub async fn message(&mut self, kind: MessageKind) -> io::Result<Option<RawMessage>> {
        let mut interim = Vec::new();
        loop {
            let Some(mut message) = self.head(kind).await? else { return Ok(None) };
            let status = message.start.strip_prefix(b"HTTP/1.1 1");
            if kind != MessageKind::Request && status.is_some_and(|rest| !rest.starts_with(b"01")) {
                interim.push(message.start);
                continue;
            }
            message.interim = interim;
            self.body(&mut message).await?;
            return Ok(Some(message));
        }
    }

    /// The next head, with the framing that it announces and no body.
    ///
    /// # Errors
    /// If the connection breaks off within it, or it is not well-formed.
    pub async fn head(&mut self, kind: MessageKind) -> io::Result<Option<RawMessage>> {
        while self.position(b"\r\n\r\n").is_none() {
            if !self.more().await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(wrong("half a head")) };
            }
        }
        let start = self.line().await?;
        let headers = self.fields().await?;
        let framing = framing(kind, &start, &headers)?;
        let (body, trailers, interim) = (Bytes::new(), Vec::new(), Vec::new());
        Ok(Some(RawMessage { start, headers, framing, body, trailers, interim }))
    }

    async fn body(&mut self, message: &mut RawMessage) -> io::Result<()> {
        match message.framing {
            Framing::None => {}
            Framing::Length => {
                let length = content_length(&message.headers)?.unwrap_or_default();
                message.body = self.exactly(length).await?;
            }
            Framing::Close => {
                while self.more().await? {}
                message.body = self.buffer.split().freeze();
            }
            Framing::Chunked => {
                let mut body = BytesMut::new();
                while let Some(chunk) = self.chunk().await? {
                    body.extend_from_slice(&chunk);
                }
                message.body = body.freeze();
                message.trailers = self.fields().await?;
            }
        }
        Ok(())
    }

    /// The next chunk of a chunked body; None at the last, which trailers follow.
    ///
    /// # Errors
    /// If the connection breaks off within it, or it is not well-formed.
    pub async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        let line = self.line().await?;
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let length = std::str::from_utf8(digits).ok();
        let length = length.and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let length = length.ok_or_else(|| wrong(format!("chunk {}", line.escape_ascii())))?;
        if length == 0 {
            return Ok(None);
        }
        let chunk = self.exactly(length).await?;
        if !self.line().await?.is_empty() {
            return Err(wrong("a chunk without its end"));
        }
        Ok(Some(chunk))
    }

    async fn fields(&mut self) -> io::Result<Vec<Field>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(fields);
            }
            let colon = line.iter().position(|byte| *byte == b':');
            let colon = colon.ok_or_else(|| wrong(format!("field {}", line.escape_ascii())))?;
            let value = line.slice_ref(line[colon + 1..].trim_ascii());
            fields.push(Field { name: line.slice(..colon), value });
        }
    }

    async fn line(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(end) = self.position(b"\r\n") {
                let line = self.buffer.split_to(end).freeze();
                self.buffer.advance(2);
                return Ok(line);
            }
            if !self.more().await? {
                return Err(wrong("the connection ended within a line"));
            }
        }
    }

    /// So many bytes.
    ///
    /// # Errors
    /// If the connection ends before.
    pub async fn exactly(&mut self, length: usize) -> io::Result<Bytes> {
        while self.buffer.len() < length {
            if !self.more().await? {
                let have = self.buffer.len();
                return Err(wrong(format!("{have} of {length} bytes, then the end")));
            }
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    fn position(&self, wanted: &[u8]) -> Option<usize> {
        self.buffer.windows(wanted.len()).position(|window| window == wanted)
    }

    async fn more(&mut self) -> io::Result<bool> {
        self.buffer.reserve(64 * 1024);
        Ok(self.io.read_buf(&mut self.buffer).await? > 0)
    }
}

fn content_length(headers: &[Field]) -> io::Result<Option<usize>> {
    let mut lengths = headers.iter().filter(|field| field.is("content-length"));
    let Some(length) = lengths.next() else { return Ok(None) };
    if lengths.next().is_some() {
        return Err(wrong("two lengths"));
    }
    let text = std::str::from_utf8(&length.value).ok();
    let length = text.and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| wrong("a length that is no number"))
}

fn framing(kind: MessageKind, start: &[u8], headers: &[Field]) -> io::Result<Framing> {
    let status = start.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let bodiless = match kind {
        MessageKind::Request => false,
        MessageKind::Response => status.starts_with(b"1") || matches!(status, b"204" | b"304"),
        MessageKind::ResponseToHead => true,
    };
    let chunked = headers.iter().any(|field| field.is("transfer-encoding"));
    let length = content_length(headers)?;
    Ok(match length {
        _ if bodiless => Framing::None,
        Some(_) if chunked => return Err(wrong("a length and chunks")),
        Some(_) => Framing::Length,
        None if chunked => Framing::Chunked,
        None if kind == MessageKind::Request => Framing::None,
        None => Framing::Close,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &str, kind: MessageKind) -> io::Result<Option<RawMessage>> {
        RawReader::new(bytes.as_bytes()).message(kind).await
    }

    #[tokio::test]
    async fn messages_are_read_as_they_were_sent() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Fine\r\nA: 1\r\na:2 \r\n\
                    Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nT: v\r\n\r\n";
        let message = read(text, MessageKind::Response).await.unwrap().unwrap();
        assert_eq!(message.start, "HTTP/1.1 200 Fine");
        assert_eq!(format!("{:?}", &message.headers[..2]), "[A: 1, a: 2]");
        assert_eq!((message.body.as_ref(), message.framing), (&b"abcd"[..], Framing::Chunked));
        assert_eq!(format!("{:?}", message.trailers), "[T: v]");
        assert_eq!(message.interim, ["HTTP/1.1 100 Continue"]);
    }

    #[tokio::test]
    async fn what_breaks_off_or_is_ambiguous_is_an_error() {
        for text in [
            "HTTP/1.1 200",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(read(text, MessageKind::Response).await.is_err(), "{text}");
        }
        assert!(read("", MessageKind::Response).await.unwrap().is_none());
    }
}
