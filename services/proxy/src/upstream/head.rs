//! Request heads as the version of HTTP wants them that is spoken to the
//! upstream. They come in the form of the client's version.

use http::{
    HeaderValue, Method, Request, Uri, Version,
    header::{CONNECTION, COOKIE, HOST, TRANSFER_ENCODING, UPGRADE},
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body;

use super::BaseUrl;
use crate::headers::retain;

/// As HTTP/1.1 has it: the path in the target, the host in a header, one header
/// of cookies (RFC 9113 8.2.3).
pub(super) fn for_http1<B>(request: &mut Request<B>) {
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(authority.as_str());
        if let (Ok(host), false) = (host, request.headers().contains_key(HOST)) {
            request.headers_mut().insert(HOST, host);
        }
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    if request.version() == Version::HTTP_2 {
        join_cookies(request);
    }
    *request.version_mut() = Version::HTTP_11;
}

/// Says that there is a body with a method that seldom has one: hyper does not
/// send it otherwise.
pub(super) fn announce_body<B: Body>(request: &mut Request<B>) {
    let body = request.body();
    if matches!(*request.method(), Method::GET | Method::HEAD)
        && !body.is_end_stream()
        && body.size_hint().exact().is_none()
    {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
}

/// As HTTP/2 has it (RFC 9113 8.3.1): scheme and host in the target, no header
/// of one connection. `TE: trailers` stays.
pub(super) fn for_http2<B>(request: &mut Request<B>, base: &BaseUrl) {
    let headers = request.headers_mut();
    let host = headers.get(HOST).cloned();
    retain(headers, |name| ![CONNECTION, UPGRADE, HOST].contains(name));
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    target.scheme = Some(if base.is_https() { Scheme::HTTPS } else { Scheme::HTTP });
    target.authority = authority.or(target.authority).or_else(|| Some(base.authority().clone()));
    target.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    // All three parts are there, which is all that it asks for.
    *request.uri_mut() = Uri::from_parts(target).unwrap_or_default();
    *request.version_mut() = Version::HTTP_2;
}

fn join_cookies<B>(request: &mut Request<B>) {
    let cookies: Vec<&[u8]> =
        request.headers().get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_bytes(&cookies.join(b"; ".as_slice())) {
        request.headers_mut().insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http2_has_the_host_in_the_target_and_http1_in_a_header() {
        let base: BaseUrl = "https://llm.test:8443/base".parse().unwrap();
        let mut request = Request::get("/base/v1/models?a=b")
            .header(HOST, "llm.test:8443")
            .header(CONNECTION, "te")
            .header("te", "trailers")
            .body(())
            .unwrap();
        for_http2(&mut request, &base);
        assert_eq!(request.uri(), "https://llm.test:8443/base/v1/models?a=b");
        let names: Vec<_> = request.headers().keys().map(http::HeaderName::as_str).collect();
        assert_eq!(names, ["te"]);
        for_http1(&mut request);
        assert_eq!(request.uri(), "/base/v1/models?a=b");
        assert_eq!(request.headers()[HOST], "llm.test:8443");
        assert_eq!(request.version(), Version::HTTP_11);
    }

    #[test]
    fn cookies_that_http2_took_apart_are_one_header_again() {
        let mut request = Request::get("/").version(Version::HTTP_2);
        for cookie in ["a=1", "b=2"] {
            request = request.header(COOKIE, cookie);
        }
        let mut request = request.body(()).unwrap();
        for_http1(&mut request);
        let cookies: Vec<_> = request.headers().get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2"]);
    }
}
