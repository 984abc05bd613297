//! The base URL of an upstream: scheme, authority and base path, nothing else.

use std::{fmt, str::FromStr};

use http::{HeaderValue, uri::Authority};
use url::Url;

const H2C: &str = "h2c://";

/// An http, https or h2c URL without credentials, query and fragment.
#[derive(Clone)]
pub struct BaseUrl {
    url: Url,
    host_header: HeaderValue,
    authority: Authority,
    http2_only: bool,
    /// Base path without a trailing slash; empty for the root.
    base_path: String,
}

impl BaseUrl {
    /// The URL; of `h2c://` its `http://` form.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Value of the `Host` header for requests to it.
    #[must_use]
    pub fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    /// Host and port as in the URL.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Whether it is spoken to in HTTP/2 without TLS ("prior knowledge", RFC 9113
    /// 3.3): its URL begins with `h2c://`.
    #[must_use]
    pub fn is_http2_only(&self) -> bool {
        self.http2_only
    }

    /// The path that comes before that of a request; empty for the root.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// Whether it is reached over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Host name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// Port, the scheme's own by default.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(80)
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let http2_only = text.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(H2C));
        let url = if http2_only { &format!("http://{}", &text[6..]) } else { text };
        let url = Url::parse(url)
            .map_err(|_| "must be a URL such as https://api.openai.com".to_owned())?;
        let problem = if !matches!(url.scheme(), "http" | "https") {
            Some("must begin with http://, https:// or h2c://")
        } else if !url.username().is_empty() || url.password().is_some() {
            Some("must not hold credentials; clients send their own")
        } else if url.query().is_some() {
            Some("must not have a query (the part from ?)")
        } else if url.fragment().is_some() {
            Some("must not have a fragment (the part from #)")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(problem.to_owned());
        }
        let host_header = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let (Ok(host_header), Ok(authority)) =
            (HeaderValue::from_str(host_header), host_header.parse())
        else {
            return Err("has a host that cannot be a header value".to_owned());
        };
        let base_path = url.path().trim_end_matches('/').to_owned();
        Ok(Self { url, host_header, authority, http2_only, base_path })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.as_str().trim_end_matches('/');
        match url.strip_prefix("http://") {
            Some(rest) if self.http2_only => write!(f, "{H2C}{rest}"),
            _ => f.write_str(url),
        }
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads `name=url,name=url`.
pub(crate) fn named_upstreams(text: &str) -> Result<Vec<(String, BaseUrl)>, String> {
    let mut upstreams: Vec<(String, BaseUrl)> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, url) = part
            .split_once('=')
            .ok_or_else(|| format!("\"{}\" must have the form name=url", short(part)))?;
        let name = name.trim();
        let valid = (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !valid {
            return Err(format!(
                "\"{}\" must be a name of letters, digits, \"-\", \"_\" and \".\"",
                short(name)
            ));
        }
        if matches!(name, "default" | "rpc" | "events" | "healthz" | "v1") {
            return Err(format!("\"{name}\" is reserved; choose another name"));
        }
        if upstreams.iter().any(|(known, _)| known == name) {
            return Err(format!("\"{name}\" is there twice"));
        }
        let url = url.trim().parse().map_err(|error| format!("the URL of \"{name}\" {error}"))?;
        upstreams.push((name.to_owned(), url));
    }
    Ok(upstreams)
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_header_leaves_out_the_default_port() {
        let host = |url: &str| url.parse::<BaseUrl>().unwrap().host_header().clone();
        assert_eq!(host("https://api.openai.com"), "api.openai.com");
        assert_eq!(host("https://api.openai.com:443"), "api.openai.com");
        assert_eq!(host("http://[::1]:8080/x"), "[::1]:8080");
    }

    #[test]
    fn h2c_is_http2_without_tls() {
        let base: BaseUrl = "h2c://llm.test:50051/base".parse().unwrap();
        assert!(base.is_http2_only() && !base.is_https());
        assert_eq!((base.host(), base.port()), ("llm.test", 50051));
        assert_eq!(base.authority(), "llm.test:50051");
        assert_eq!(base.to_string(), "h2c://llm.test:50051/base");
    }

    #[test]
    fn what_is_no_base_is_refused_without_repeating_secrets() {
        for url in ["ftp://h", "http://u:secret@h", "http://h?key=secret", "http://h#x", "h:80", ""]
        {
            let error = url.parse::<BaseUrl>().unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn named_upstreams_are_read_and_mistakes_named() {
        let upstreams = named_upstreams("a=http://x, b=https://y/z,").unwrap();
        assert_eq!(upstreams[1].0, "b");
        for (text, part) in [
            ("a", "name=url"),
            ("a=http://x,a=http://y", "twice"),
            ("a/b=http://x", "name of letters"),
            ("rpc=http://x", "reserved"),
            ("a=nothing", "the URL of \"a\""),
        ] {
            let error = named_upstreams(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
