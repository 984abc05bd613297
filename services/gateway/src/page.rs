//! The page of the dashboard: its settings in a `meta` element, so that it knows them before
//! it asks anything, and the policy under which browsers run it.

use std::str::FromStr;

use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;
use url::Url;

use crate::{assets::File, currency::Currency};

/// How the dashboard asks unless its address says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DashboardTransport {
    /// `/rpc` and `/events`.
    #[default]
    Rpc,
    /// gRPC-Web through the gateway.
    GrpcWeb,
    /// gRPC-Web straight to analytics.
    Analytics,
}

impl FromStr for DashboardTransport {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "rpc" => Ok(Self::Rpc),
            "grpc-web" => Ok(Self::GrpcWeb),
            "analytics" => Ok(Self::Analytics),
            _ => Err("must be rpc, grpc-web or analytics"),
        }
    }
}

/// Where browsers reach analytics: an origin such as `https://analytics.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserUrl(String);

impl FromStr for BrowserUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "must be an http or https URL with nothing behind its host and port, \
                                such as https://analytics.example.com";
        let url = Url::parse(text).map_err(|_| EXPECTED)?;
        let bare = matches!(url.scheme(), "http" | "https")
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if bare { Ok(Self(url.origin().ascii_serialization())) } else { Err(EXPECTED) }
    }
}

/// Settings that the dashboard needs; every stream of `/events` begins with them too.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageSettings {
    /// Port of the proxy, on the host under which the page is reached.
    pub(crate) proxy_port: u16,
    /// Template of links to traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace_url: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AllSettings<'s> {
    #[serde(flatten)]
    page: &'s PageSettings,
    transport: DashboardTransport,
    #[serde(skip_serializing_if = "Option::is_none")]
    analytics_url: Option<&'s str>,
    /// Where the proxy forwards to, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'s str>,
    /// What costs are shown in, if not in dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'s Currency>,
    /// Who opened it; pages of the same viewer share a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    viewer: Option<&'s str>,
}

/// What is served around the dashboard's own files.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    settings: PageSettings,
    transport: DashboardTransport,
    analytics_url: Option<BrowserUrl>,
    upstream: Option<String>,
    currency: Option<Currency>,
    policy: HeaderValue,
}

impl Page {
    /// With settings, the transport, where browsers reach analytics if they do, where
    /// the proxy forwards to if that is known, and the currency if it is not the dollar.
    pub(crate) fn new(
        settings: PageSettings,
        transport: DashboardTransport,
        analytics_url: Option<BrowserUrl>,
        upstream: Option<String>,
        currency: Option<Currency>,
    ) -> Self {
        let connect = analytics_url.as_ref().map(|url| format!(" {}", url.0)).unwrap_or_default();
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
             connect-src 'self'{connect}; font-src 'self'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        Self {
            settings,
            transport,
            analytics_url,
            upstream,
            currency,
            policy: policy
                .parse()
                .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'")),
        }
    }

    /// The value of `Content-Security-Policy`.
    pub(crate) fn policy(&self) -> HeaderValue {
        self.policy.clone()
    }

    /// The page for a viewer, with its settings at the end of its head.
    pub(crate) fn fill(&self, page: &File, viewer: Option<&str>) -> File {
        let analytics_url = self.analytics_url.as_ref().map(|url| url.0.as_str());
        let (page_settings, transport) = (&self.settings, self.transport);
        let upstream = self.upstream.as_deref();
        let currency = self.currency.as_ref();
        let settings = AllSettings {
            page: page_settings,
            transport,
            analytics_url,
            upstream,
            currency,
            viewer,
        };
        let json = serde_json::to_string(&settings).unwrap_or_default();
        let escaped = json.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        let element = format!("<meta name=\"modash-settings\" content=\"{escaped}\" />");
        let text = String::from_utf8_lossy(page.content());
        let filled = text.replacen("</head>", &format!("{element}</head>"), 1);
        File::new("index.html", Bytes::from(filled), None, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_analytics_is_an_origin() {
        let parsed = |text: &str| text.parse::<BrowserUrl>().map(|url| url.0);
        assert_eq!(parsed("http://127.0.0.1:4007/"), Ok("http://127.0.0.1:4007".to_owned()));
        for wrong in ["analytics:4007", "ftp://a", "http://a/b", "http://u@a", "http://a/?b", ""] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn settings_stand_in_the_head_and_cannot_leave_their_attribute() {
        let settings = PageSettings {
            proxy_port: 4005,
            trace_url: Some("https://t/{trace_id}?a=\"><script>&b".to_owned()),
        };
        let analytics = "https://analytics.example.com".parse().ok();
        let currency = "EUR 0.92".parse().ok();
        let page = Page::new(settings, DashboardTransport::GrpcWeb, analytics, None, currency);
        let html = Bytes::from_static(b"<head><title>t</title></head>");
        let filled = page.fill(&File::new("index.html", html, None, None), Some("0a1b"));
        assert_eq!(
            String::from_utf8_lossy(filled.content()),
            "<head><title>t</title><meta name=\"modash-settings\" content=\"{&quot;proxyPort&quot;:4005,\
             &quot;traceUrl&quot;:&quot;https://t/{trace_id}?a=\\&quot;>&lt;script>&amp;b&quot;,\
             &quot;transport&quot;:&quot;grpc-web&quot;,\
             &quot;analyticsUrl&quot;:&quot;https://analytics.example.com&quot;,\
             &quot;currency&quot;:{&quot;code&quot;:&quot;EUR&quot;,&quot;rate&quot;:0.92},\
             &quot;viewer&quot;:&quot;0a1b&quot;}\" /></head>"
        );
        let policy = page.policy();
        let policy = policy.to_str().unwrap();
        assert!(policy.contains("connect-src 'self' https://analytics.example.com;"), "{policy}");
    }
}
