//! Bodies of JSON requests and answers: read whole within limits, unpacked and
//! packed with gzip.

use std::{
    io::{self, Read as _, Write as _},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use http::{
    HeaderMap, HeaderValue, Response,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY},
};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::media_type::coding_quality;

/// Largest body of a JSON request, before and after unpacking.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Time a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Smaller answers do not get smaller by packing.
const MIN_PACKED_BYTES: usize = 1024;

/// What is read and thrown away of a body that nobody wanted.
const MAX_UNWANTED_BYTES: usize = 16 * 1024 * 1024;
/// How long that may take.
const UNWANTED_TIMEOUT: Duration = Duration::from_secs(2);

/// A body that could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// More than 1 MiB.
    #[error("the body is larger than 1 MiB")]
    TooLarge,
    /// Neither identity nor gzip.
    #[error("the body must be sent as it is, or with gzip")]
    Encoding,
    /// Not gzip, though it says so.
    #[error("the body is not valid gzip")]
    Compression,
    /// Not all there in time.
    #[error("the body did not arrive within 10 s")]
    TooSlow,
    /// The client broke off.
    #[error("the body broke off")]
    Broken,
}

/// Reads a whole body and unpacks it.
pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, BodyError> {
    let packed = match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity" | b"") => false,
        Some(b"gzip" | b"x-gzip") => true,
        Some(_) => return Err(BodyError::Encoding),
    };
    let whole = Limited::new(body, MAX_BODY_BYTES).collect();
    let body = match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(BodyError::TooLarge),
        Ok(Err(_)) => return Err(BodyError::Broken),
        Err(_) => return Err(BodyError::TooSlow),
    };
    if packed { unpack(&body) } else { Ok(body) }
}

fn unpack(body: &[u8]) -> Result<Bytes, BodyError> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(body)
        .take(MAX_BODY_BYTES as u64 + 1)
        .read_to_end(&mut unpacked)
        .map_err(|_| BodyError::Compression)?;
    if unpacked.len() > MAX_BODY_BYTES { Err(BodyError::TooLarge) } else { Ok(unpacked.into()) }
}

/// Packs a whole JSON answer if the client asks for it and it is worth it.
pub(crate) async fn pack(headers: &HeaderMap, response: Response<Body>) -> Response<Body> {
    let json = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes)
        == Some(b"application/json");
    if !json {
        return response;
    }
    let (mut head, body) = response.into_parts();
    head.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    // JSON answers are made whole, so this waits for nothing.
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return Response::from_parts(head, Body::empty());
    };
    if body.len() < MIN_PACKED_BYTES || coding_quality(headers, "gzip") == 0 {
        return Response::from_parts(head, Body::from(body));
    }
    match gzip(&body) {
        Ok(packed) => {
            head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            head.headers.remove(CONTENT_LENGTH);
            Response::from_parts(head, Body::from(packed))
        }
        Err(_) => Response::from_parts(head, Body::from(body)),
    }
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    packer.write_all(body)?;
    packer.finish()
}

/// A request body that is read to its end even if the answer was given before:
/// else the connection would close under a client that still writes, and the
/// client would report that instead of the answer.
#[derive(Debug)]
pub(crate) struct ReadToTheEnd(Option<Body>);

impl ReadToTheEnd {
    /// Wraps the body of a request.
    pub(crate) fn wrap(body: Body) -> Body {
        if body.is_end_stream() { body } else { Body::new(Self(Some(body))) }
    }
}

impl http_body::Body for ReadToTheEnd {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for ReadToTheEnd {
    fn drop(&mut self) {
        let unread = self.0.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Ok(runtime)) = (unread, tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(UNWANTED_TIMEOUT, discard(body)));
        }
    }
}

async fn discard(mut body: Body) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > MAX_UNWANTED_BYTES {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_unpacks_to_more_than_the_limit_is_refused() {
        let bomb = gzip(&vec![b' '; 20 * MAX_BODY_BYTES]).unwrap();
        assert!(bomb.len() < MAX_BODY_BYTES);
        assert!(matches!(unpack(&bomb), Err(BodyError::TooLarge)));
        assert_eq!(unpack(&gzip(b"{}").unwrap()).unwrap(), "{}");
        assert!(matches!(unpack(b"{}"), Err(BodyError::Compression)));
    }
}
