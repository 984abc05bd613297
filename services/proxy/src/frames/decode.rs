//! A message in bytes of HTTP/1.1 as HTTP/2 has it.

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header::HOST,
    request, response, uri::Authority,
};
use http_body::Frame;
use modash_http1::{Body, Fault, Framing, Lines, Part, RequestHead, ResponseHead};

use super::OF_ONE_HOP;

/// Takes one body out of its framing.
pub(crate) struct Decoder {
    body: Body,
    trailers: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new(framing: Framing, of_request: bool) -> Self {
        Self { body: Body::new(framing, of_request), trailers: Vec::new() }
    }

    /// Walks over the next bytes. Returns how many of them belong to the body. Their data is
    /// one frame, however small its chunks are.
    ///
    /// # Errors
    /// What is wrong with the framing.
    pub(crate) fn pass(
        &mut self,
        bytes: &[u8],
        mut frame: impl FnMut(Frame<Bytes>),
    ) -> Result<usize, Fault> {
        let trailers = &mut self.trailers;
        let mut data = BytesMut::new();
        let passed = self.body.pass_parts(bytes, |part| match part {
            Part::Data(range) => {
                if data.is_empty() {
                    data.reserve(bytes.len() - range.start);
                }
                data.extend_from_slice(&bytes[range]);
            }
            Part::Trailers(range) => trailers.extend_from_slice(&bytes[range]),
        })?;
        if !data.is_empty() {
            frame(Frame::data(data.freeze()));
        }
        if self.body.has_ended() && trailers.len() > b"\r\n".len() {
            frame(Frame::trailers(section(&std::mem::take(trailers))));
        }
        Ok(passed)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.body.has_ended()
    }

    /// The body has no other end than that of its connection.
    pub(crate) fn ends_with_connection(&self) -> bool {
        self.body.ends_with_connection()
    }
}

/// A trailer section that was judged.
fn section(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        if let (Some(name), Some(value)) = (halves.next(), halves.next())
            && let Ok(name) = HeaderName::from_bytes(name)
            && let Ok(value) = HeaderValue::from_bytes(value.trim_ascii())
        {
            headers.append(name, value);
        }
    }
    headers
}

impl Decoder {
    /// A request head that the relay wrote, for a connection to this scheme and
    /// authority; and the body behind it.
    ///
    /// # Errors
    /// It is no request that HTTP/2 has.
    pub(crate) fn of_request(
        head: &[u8],
        scheme: &'static str,
        authority: &Authority,
    ) -> Result<(request::Parts, Self), Fault> {
        let mut lines = Lines::default();
        let read = RequestHead::read(head, &mut lines)?;
        let host = lines.value(head, "host").filter(|host| !host.is_empty());
        let host = host.and_then(|host| Authority::try_from(host).ok());
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = Method::from_bytes(read.method.of(head)).map_err(|_| Fault::Malformed)?;
        parts.uri = Uri::builder()
            .scheme(scheme)
            .authority(host.unwrap_or_else(|| authority.clone()))
            .path_and_query(read.target.of(head))
            .build()
            .map_err(|_| Fault::BadTarget)?;
        parts.version = http::Version::HTTP_2;
        parts.headers = headers(head, &lines, |name| *name != HOST && !OF_ONE_HOP.contains(name));
        Ok((parts, Self::new(read.framing, true)))
    }

    /// A response head that the relay wrote, and the body behind it; `None` if it is that
    /// of an interim response.
    ///
    /// # Errors
    /// It is no response.
    pub(crate) fn of_response(
        head: &[u8],
        to_head: bool,
    ) -> Result<Option<(response::Parts, Self)>, Fault> {
        let mut lines = Lines::default();
        let read = ResponseHead::read(head, &mut lines, to_head)?;
        if read.is_informational() {
            return Ok(None);
        }
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.status = StatusCode::from_u16(read.status).map_err(|_| Fault::Malformed)?;
        parts.headers = headers(head, &lines, |name| !OF_ONE_HOP.contains(name));
        Ok(Some((parts, Self::new(read.framing, false))))
    }
}

/// Those header lines that are kept, in the form in which libraries know them.
pub(crate) fn headers(head: &[u8], lines: &Lines, keep: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    for line in lines.iter() {
        let name = HeaderName::from_bytes(line.name.of(head));
        let value = HeaderValue::from_bytes(line.value.of(head));
        if let (Ok(name), Ok(value)) = (name, value)
            && keep(&name)
        {
            headers.append(name, value);
        }
    }
    headers
}
