//! `X-Forwarded-*`: what the upstream is told of the client, if that is switched
//! on. Without it no header is added or removed.

use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue, Request, header};

use crate::{headers::retain, listener::Client};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What is said of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedHeaders {
    /// Nothing.
    #[default]
    Off,
    /// The address is added to those that came; protocol and host are said if
    /// nobody said them before.
    Add,
    /// What came is dropped: nobody before modash is trusted.
    Replace,
}

impl FromStr for ForwardedHeaders {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "add" => Ok(Self::Add),
            "replace" => Ok(Self::Replace),
            _ => Err("must be \"off\", \"add\" or \"replace\""),
        }
    }
}

impl ForwardedHeaders {
    /// Says it in this request.
    pub(crate) fn tell<B>(self, client: &Client, request: &mut Request<B>) {
        if self == Self::Off {
            return;
        }
        let host = request.headers().get(header::HOST).cloned().or_else(|| {
            let authority = request.uri().authority()?;
            HeaderValue::from_str(authority.as_str()).ok()
        });
        let headers = request.headers_mut();
        if self == Self::Replace {
            retain(headers, |name| ![FOR, PROTO, HOST, header::FORWARDED].contains(name));
        }
        add_address(headers, &client.address.to_canonical().to_string());
        let proto = HeaderValue::from_static(if client.secure { "https" } else { "http" });
        headers.entry(PROTO).or_insert(proto);
        if let Some(host) = host {
            headers.entry(HOST).or_insert(host);
        }
    }
}

/// One line with all addresses, the nearest one last.
fn add_address(headers: &mut HeaderMap, address: &str) {
    let before: Vec<_> = headers.get_all(FOR).iter().map(HeaderValue::as_bytes).collect();
    let mut all = before.join(&b", "[..]);
    if !all.is_empty() {
        all.extend_from_slice(b", ");
    }
    all.extend_from_slice(address.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&all) {
        headers.insert(FOR, value);
    }
}
