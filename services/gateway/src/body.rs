//! Bodies of JSON requests and answers: read whole within limits, unpacked and
//! packed with gzip.

use std::{
    io::{self, Read as _, Write as _},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use http::{
    HeaderMap, HeaderValue, Response,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::media_type::coding_quality;

/// Largest body of a JSON request, before and after unpacking.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Time a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Smaller answers do not get smaller by packing.
const MIN_PACKED_BYTES: usize = 1024;

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
