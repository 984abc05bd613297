//! From a request head to where it goes: modash's own paths, the gateway, a
//! named upstream, or the default one.

use std::sync::Arc;

use http::{Method, Uri, Version, header::TRANSFER_ENCODING, request::Parts, uri::PathAndQuery};

use crate::{
    core::Shared,
    error::Refusal,
    upstream::{BaseUrl, Pool, Tls, UpstreamConfig},
};

/// Name of the upstream without a name.
const DEFAULT: &str = "default";

/// Where requests of one core go.
pub(crate) struct Router {
    default: Upstream,
    named: Vec<Upstream>,
    gateway: Option<Arc<Pool>>,
}

/// An LLM server.
pub(crate) struct Upstream {
    pub(crate) name: Arc<str>,
    pub(crate) pool: Arc<Pool>,
}

/// The way of one request.
pub(crate) enum Route<'a> {
    /// The proxy's own health.
    Healthz,
    /// To the gateway, unmetered, with this target.
    Gateway(&'a Arc<Pool>, Uri),
    /// To an LLM server, with this target.
    Upstream(&'a Upstream, Uri),
}

/// The way of one request in bytes.
pub(crate) enum Way<'a, 't> {
    /// The proxy's own health.
    Healthz,
    /// To the gateway, unmetered, with this target behind its base path.
    Gateway(&'a Arc<Pool>, &'t [u8]),
    /// To an LLM server. A target that does not begin with `/` gets one.
    Upstream(&'a Upstream, &'t [u8]),
}

impl Router {
    pub(crate) fn new(
        default: BaseUrl,
        named: &[(String, BaseUrl)],
        gateway: Option<BaseUrl>,
        tls: &Tls,
        config: &UpstreamConfig,
        cores: usize,
        shared: &Arc<Shared>,
    ) -> Self {
        let pool = |base| Arc::new(Pool::new(base, tls.clone(), config, cores, shared.clone()));
        // Dashboards stay connected; what is meant for LLM servers would cut them.
        let mut unlimited = config.clone();
        unlimited.pool.connections = None;
        let gateway_pool =
            |base| Arc::new(Pool::new(base, tls.clone(), &unlimited, cores, shared.clone()));
        Self {
            default: Upstream { name: DEFAULT.into(), pool: pool(default) },
            named: named
                .iter()
                .map(|(name, base)| Upstream {
                    name: name.as_str().into(),
                    pool: pool(base.clone()),
                })
                .collect(),
            gateway: gateway.map(gateway_pool),
        }
    }

    /// All pools, to close what is old in them.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        let upstreams = std::iter::once(&self.default).chain(&self.named);
        upstreams.map(|upstream| &upstream.pool).chain(&self.gateway)
    }

    /// Where a request with this target in origin form goes.
    pub(crate) fn way<'t>(&self, target: &'t [u8]) -> Way<'_, 't> {
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        if path == b"/healthz" {
            return Way::Healthz;
        }
        if let Some(pool) = &self.gateway
            && std::str::from_utf8(path).is_ok_and(is_for_gateway)
        {
            return Way::Gateway(pool, target);
        }
        for upstream in &self.named {
            let rest = target[1..].strip_prefix(upstream.name.as_bytes());
            if let Some(rest) = rest
                && matches!(rest.first(), None | Some(b'?' | b'/'))
            {
                return Way::Upstream(upstream, rest);
            }
        }
        Way::Upstream(&self.default, target)
    }

    /// Where a request goes.
    pub(crate) fn route(&self, head: &Parts) -> Result<Route<'_>, Refusal> {
        // A target with an authority is how clients speak to a forward proxy,
        // which modash is not. Over HTTP/2 every target has one.
        if head.method == Method::CONNECT
            || (head.version < Version::HTTP_2 && head.uri.authority().is_some())
        {
            return Err(Refusal::NotAForwardProxy);
        }
        // The header is of one hop and goes; what it says besides `chunked` would
        // then be said by nobody.
        let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
        if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
            return Err(Refusal::TransferCoding);
        }
        let root = PathAndQuery::from_static("/");
        let path_and_query = head.uri.path_and_query().unwrap_or(&root);
        let path = path_and_query.path();
        if path == "/healthz" {
            return Ok(Route::Healthz);
        }
        if let Some(pool) = &self.gateway
            && is_for_gateway(path)
        {
            let target = pool.base().target(path_and_query).ok_or(Refusal::BadTarget)?;
            return Ok(Route::Gateway(pool, target));
        }
        for upstream in &self.named {
            if let Some(rest) = without_name(path_and_query, &upstream.name) {
                let target = upstream.pool.base().target(&rest?).ok_or(Refusal::BadTarget)?;
                return Ok(Route::Upstream(upstream, target));
            }
        }
        let target = self.default.pool.base().target(path_and_query).ok_or(Refusal::BadTarget)?;
        Ok(Route::Upstream(&self.default, target))
    }
}

fn is_for_gateway(path: &str) -> bool {
    path == "/rpc"
        || path == "/events"
        || path.starts_with("/rpc/")
        || path.starts_with("/modash.v1.AnalyticsService/")
}

/// The target without the first segment, if that is `name`.
fn without_name(target: &PathAndQuery, name: &str) -> Option<Result<PathAndQuery, Refusal>> {
    let rest = target.as_str().strip_prefix('/')?.strip_prefix(name)?;
    let rest = match rest.as_bytes().first() {
        None | Some(b'?') => format!("/{rest}"),
        Some(b'/') => rest.to_owned(),
        Some(_) => return None,
    };
    Some(PathAndQuery::from_maybe_shared(bytes::Bytes::from(rest)).map_err(|_| Refusal::BadTarget))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::TlsFiles;

    fn router() -> Router {
        Router::new(
            "http://default/base".parse().unwrap(),
            &[("openai".to_owned(), "http://named".parse().unwrap())],
            Some("http://gateway".parse().unwrap()),
            &Tls::new(TlsFiles::default()).unwrap(),
            &UpstreamConfig::default(),
            1,
            &Shared::for_tests(),
        )
    }

    fn way(method: &str, uri: &str) -> String {
        let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
        match router().route(&request.into_parts().0) {
            Ok(Route::Healthz) => "healthz".into(),
            Ok(Route::Gateway(_, target)) => format!("gateway {target}"),
            Ok(Route::Upstream(upstream, target)) => format!("{} {target}", upstream.name),
            Err(refusal) => format!("{refusal:?}"),
        }
    }

    #[test]
    fn every_path_has_its_way() {
        for (uri, expected) in [
            ("/healthz", "healthz"),
            ("/rpc", "gateway /rpc"),
            ("/rpc/UsageSummary", "gateway /rpc/UsageSummary"),
            ("/events?lastEventId=1", "gateway /events?lastEventId=1"),
            (
                "/modash.v1.AnalyticsService/Subscribe",
                "gateway /modash.v1.AnalyticsService/Subscribe",
            ),
            ("/rpcx", "default /base/rpcx"),
            ("/v1/chat/completions?a=%2F", "default /base/v1/chat/completions?a=%2F"),
            ("/openai/v1/models", "openai /v1/models"),
            ("/openai?x=1", "openai /?x=1"),
            ("/openai", "openai /"),
            ("/openaix/v1", "default /base/openaix/v1"),
        ] {
            assert_eq!(way("GET", uri), expected);
        }
    }

    #[test]
    fn a_transfer_coding_besides_chunked_is_refused() {
        for (coding, refused) in [
            ("chunked", false),
            ("Chunked", false),
            ("gzip, chunked", true),
            ("chunked, identity", true),
        ] {
            let request = http::Request::post("/v1").header(TRANSFER_ENCODING, coding);
            let (head, ()) = request.body(()).unwrap().into_parts();
            let found = router().route(&head).err();
            assert_eq!(found, refused.then_some(Refusal::TransferCoding), "{coding}");
        }
    }

    #[test]
    fn it_is_no_forward_proxy() {
        assert_eq!(way("GET", "http://elsewhere/v1"), "NotAForwardProxy");
        assert_eq!(way("CONNECT", "elsewhere:443"), "NotAForwardProxy");
    }
}
