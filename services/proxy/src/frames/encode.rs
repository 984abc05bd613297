//! A message of HTTP/2 as bytes of HTTP/1.1.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, Method, StatusCode, Version,
    header::{CONTENT_LENGTH, COOKIE, HOST, TE},
    request, response,
};
use http_body::Frame;
use tokio::io::ReadBuf;

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// There is none, or its length is in the head.
    Plain,
    Chunked,
}

/// Gives the bytes of one message piece by piece.
pub(crate) struct Encoder {
    pieces: VecDeque<Bytes>,
    coding: Coding,
    ended: bool,
}

impl Encoder {
    fn new(head: Vec<u8>, coding: Coding) -> Self {
        Self { pieces: VecDeque::from([head.into()]), coding, ended: false }
    }

    /// A frame of the body. Trailers end it; without chunks they have no place and come
    /// back.
    pub(crate) fn frame(&mut self, frame: Frame<Bytes>) -> Option<HeaderMap> {
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) if self.coding == Coding::Plain => self.pieces.push_back(data),
            Ok(data) => {
                self.pieces.push_back(format!("{:x}\r\n", data.len()).into());
                self.pieces.push_back(data);
                self.pieces.push_back(Bytes::from_static(b"\r\n"));
            }
            Err(frame) => {
                let trailers = frame.into_trailers().ok()?;
                if self.coding == Coding::Plain {
                    return Some(trailers);
                }
                self.end_with(&trailers);
            }
        }
        None
    }

    /// The body has ended.
    pub(crate) fn end(&mut self) {
        self.end_with(&HeaderMap::new());
    }

    fn end_with(&mut self, trailers: &HeaderMap) {
        if std::mem::replace(&mut self.ended, true) || self.coding == Coding::Plain {
            return;
        }
        let mut end = b"0\r\n".to_vec();
        for (name, value) in trailers {
            line(name, value.as_bytes(), &mut end);
        }
        end.extend_from_slice(b"\r\n");
        self.pieces.push_back(end.into());
    }

    /// Whether all that came was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Hands on what came, as far as there is room for it.
    pub(crate) fn read(&mut self, buffer: &mut ReadBuf<'_>) {
        while let Some(piece) = self.pieces.front_mut()
            && buffer.remaining() > 0
        {
            let length = piece.len().min(buffer.remaining());
            buffer.put_slice(&piece.split_to(length));
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}

/// The beginning of a request; `empty`: it has no body.
pub(crate) fn request_head(head: &request::Parts, empty: bool) -> Encoder {
    let mut bytes = Vec::with_capacity(1024);
    bytes.extend_from_slice(head.method.as_str().as_bytes());
    bytes.push(b' ');
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    let target = match head.uri.path_and_query() {
        Some(target) if head.method != Method::CONNECT => target.as_str(),
        _ => authority.unwrap_or("/"),
    };
    bytes.extend_from_slice(target.as_bytes());
    bytes.extend_from_slice(b" HTTP/1.1\r\n");
    let host = head.headers.get(HOST).map(http::HeaderValue::as_bytes);
    let host = host.or(authority.map(str::as_bytes)).unwrap_or_default();
    line(&HOST, host, &mut bytes);
    for (name, value) in &head.headers {
        match *name {
            HOST | COOKIE => {}
            TE => bytes.extend_from_slice(b"te: trailers\r\nconnection: te\r\n"),
            _ => line(name, value.as_bytes(), &mut bytes),
        }
    }
    // One line, as HTTP/1.1 has it (RFC 9113 8.2.3).
    let cookies: Vec<_> =
        head.headers.get_all(COOKIE).iter().map(http::HeaderValue::as_bytes).collect();
    if !cookies.is_empty() {
        line(&COOKIE, &cookies.join(&b"; "[..]), &mut bytes);
    }
    let mut coding = Coding::Plain;
    if !empty && !head.headers.contains_key(CONTENT_LENGTH) {
        coding = Coding::Chunked;
        bytes.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    Encoder::new(bytes, coding)
}

/// The beginning of a response; `to_head`: it answers HEAD.
pub(crate) fn response_head(head: &response::Parts, to_head: bool) -> Encoder {
    let mut bytes = Vec::with_capacity(1024);
    bytes.extend_from_slice(b"HTTP/1.1 ");
    bytes.extend_from_slice(head.status.as_str().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
    bytes.extend_from_slice(b"\r\n");
    debug_assert_eq!(head.version, Version::HTTP_2);
    for (name, value) in &head.headers {
        line(name, value.as_bytes(), &mut bytes);
    }
    let bodiless =
        to_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut coding = Coding::Plain;
    if !bodiless && !head.headers.contains_key(CONTENT_LENGTH) {
        coding = Coding::Chunked;
        bytes.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    Encoder::new(bytes, coding)
}

fn line(name: &HeaderName, value: &[u8], bytes: &mut Vec<u8>) {
    for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        bytes.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;

    fn all(mut encoder: Encoder) -> String {
        let mut text = String::new();
        while !encoder.is_empty() {
            let mut space = [0; 7];
            let mut buffer = ReadBuf::new(&mut space);
            encoder.read(&mut buffer);
            text.push_str(std::str::from_utf8(buffer.filled()).unwrap());
        }
        text
    }

    #[test]
    fn a_request_gets_its_host_one_line_of_cookies_and_chunks() {
        let request = Request::post("https://h:1/v1/x?a=b")
            .version(Version::HTTP_2)
            .header(COOKIE, "a=1")
            .header(TE, "trailers")
            .header(COOKIE, "b=2")
            .body(())
            .unwrap();
        let mut encoder = request_head(&request.into_parts().0, false);
        encoder.frame(Frame::data(Bytes::from_static(b"0123456789")));
        encoder.frame(Frame::data(Bytes::new()));
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        encoder.frame(Frame::trailers(trailers));
        encoder.end();
        assert_eq!(
            all(encoder),
            "POST /v1/x?a=b HTTP/1.1\r\nhost: h:1\r\nte: trailers\r\nconnection: te\r\n\
             cookie: a=1; b=2\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\
             x-sum: 1\r\n\r\n"
        );
    }

    #[test]
    fn a_response_has_chunks_unless_it_has_a_length_or_no_body() {
        let head = |status: u16, length: Option<&str>| {
            let mut response = Response::builder().status(status).version(Version::HTTP_2);
            if let Some(length) = length {
                response = response.header(CONTENT_LENGTH, length);
            }
            response.body(()).unwrap().into_parts().0
        };
        let text = |encoder: Encoder| {
            let mut encoder = encoder;
            encoder.end();
            all(encoder)
        };
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(text(response_head(&head(200, None), false)), chunked);
        let plain = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(text(response_head(&head(200, Some("5")), false)), plain);
        assert_eq!(text(response_head(&head(200, None), true)), "HTTP/1.1 200 OK\r\n\r\n");
        let none = "HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(text(response_head(&head(204, None), false)), none);
    }
}
