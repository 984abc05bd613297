//! From a request head to where it goes: modash's own paths, the gateway, a
//! named upstream, or the default one.

mod inside;

use std::sync::Arc;

use modash_access::{Access, Refusal, Role};
use modash_runtime::ClientTls;

use crate::{
    counters::Counters,
    settings::{AllowedHosts, BaseUrl, UpstreamConfig},
    upstream::Pool,
};

/// Name of the upstream without a name.
pub(crate) const DEFAULT: &str = "default";

/// Where requests of one core go.
pub(crate) struct Router {
    default: Upstream,
    named: Vec<Upstream>,
    gateway: Option<Arc<Pool>>,
    /// Which names are answered; `None`: all.
    hosts: Option<AllowedHosts>,
    /// Who may use the upstreams.
    clients: Access,
    /// Who may ask the gateway.
    readers: Access,
}

/// An LLM server.
pub(crate) struct Upstream {
    pub(crate) name: Arc<str>,
    pub(crate) pool: Arc<Pool>,
}

/// The way of one request.
pub(crate) enum Way<'a, 't> {
    /// The proxy's own health.
    Healthz,
    /// To the gateway, unmetered, with this target behind its base path.
    Gateway(&'a Arc<Pool>, &'t [u8]),
    /// Nowhere: `..` leads out of the base path of an upstream.
    Outside,
    /// To an LLM server. A target that does not begin with `/` gets one.
    Upstream(&'a Upstream, &'t [u8]),
}

impl Router {
    pub(crate) fn new(
        default: BaseUrl,
        named: &[(String, BaseUrl)],
        gateway: Option<BaseUrl>,
        tls: &ClientTls,
        config: &UpstreamConfig,
        cores: usize,
        counters: &Arc<Counters>,
    ) -> Self {
        let pool = |base| Arc::new(Pool::new(base, tls.clone(), config, cores, counters.clone()));
        // Dashboards stay connected; what is meant for LLM servers would cut them.
        let mut unlimited = config.clone();
        unlimited.pool.connections = None;
        let gateway_pool =
            |base| Arc::new(Pool::new(base, tls.clone(), &unlimited, cores, counters.clone()));
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
            hosts: None,
            clients: Access::open(),
            readers: Access::open(),
        }
    }

    /// Answers under these names only.
    pub(crate) fn under(self, hosts: Option<AllowedHosts>) -> Self {
        Self { hosts, ..self }
    }

    /// Lets only these clients use the upstreams, and only these readers ask the gateway.
    pub(crate) fn for_callers(self, clients: Access, readers: Access) -> Self {
        Self { clients, readers, ..self }
    }

    /// Whether clients have to show a token of modash.
    pub(crate) fn asks_for_tokens(&self) -> bool {
        !self.clients.is_open()
    }

    /// Whether a client with this token may use the upstreams.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admit(&self, token: Option<&[u8]>) -> Result<(), Refusal> {
        self.clients.admit_token(token, Role::Use).map(drop)
    }

    /// Whether a caller with this `authorization` may ask the gateway.
    pub(crate) fn admits_reader(&self, authorization: Option<&[u8]>) -> bool {
        self.readers.admit(authorization, Role::Read).is_ok()
    }

    /// Whether a request with this `Host` is answered.
    pub(crate) fn answers(&self, host: Option<&[u8]>) -> bool {
        self.hosts.as_ref().zip(host).is_none_or(|(hosts, host)| hosts.allows(host))
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
                return to(upstream, rest);
            }
        }
        to(&self.default, target)
    }
}

/// To an upstream, whose base path the rest of the target must not leave.
fn to<'a, 't>(upstream: &'a Upstream, rest: &'t [u8]) -> Way<'a, 't> {
    let path = rest.split(|byte| *byte == b'?').next().unwrap_or_default();
    if !upstream.pool.base().base_path().is_empty() && !inside::stays_inside(path) {
        return Way::Outside;
    }
    Way::Upstream(upstream, rest)
}

fn is_for_gateway(path: &str) -> bool {
    path == "/rpc"
        || path == "/events"
        || path.starts_with("/rpc/")
        || path.starts_with("/modash.v1.AnalyticsService/")
}

#[cfg(test)]
mod tests {
    use modash_runtime::ClientTlsFiles;

    use super::*;
    use crate::settings::UPSTREAM_PEER;

    fn router() -> Router {
        Router::new(
            "http://default/base".parse().unwrap(),
            &[("openai".to_owned(), "http://named".parse().unwrap())],
            Some("http://gateway".parse().unwrap()),
            &ClientTls::new("none", UPSTREAM_PEER.files, ClientTlsFiles::default()).unwrap(),
            &UpstreamConfig::default(),
            1,
            &Arc::default(),
        )
    }

    #[test]
    fn every_path_has_its_way() {
        let router = router();
        for (target, expected) in [
            ("/healthz", "healthz"),
            ("/healthz?a=b", "healthz"),
            ("/rpc", "gateway /rpc"),
            ("/rpc/UsageSummary", "gateway /rpc/UsageSummary"),
            ("/events?lastEventId=1", "gateway /events?lastEventId=1"),
            (
                "/modash.v1.AnalyticsService/Subscribe",
                "gateway /modash.v1.AnalyticsService/Subscribe",
            ),
            ("/rpcx", "default /rpcx"),
            ("/v1/chat/completions?a=%2F", "default /v1/chat/completions?a=%2F"),
            ("/openai/v1/models", "openai /v1/models"),
            ("/openai?x=1", "openai ?x=1"),
            ("/openai", "openai "),
            ("/openaix/v1", "default /openaix/v1"),
            ("/v1/../../x", "outside"),
            ("/v1/%2e%2E/..?a=b", "outside"),
            ("/v1?a=/../..", "default /v1?a=/../.."),
            // Without a base path there is nothing to leave.
            ("/openai/../x", "openai /../x"),
        ] {
            let text = |rest: &[u8]| String::from_utf8(rest.to_vec()).unwrap();
            let way = match router.way(target.as_bytes()) {
                Way::Healthz => "healthz".to_owned(),
                Way::Outside => "outside".to_owned(),
                Way::Gateway(_, rest) => format!("gateway {}", text(rest)),
                Way::Upstream(upstream, rest) => format!("{} {}", upstream.name, text(rest)),
            };
            assert_eq!(way, expected);
        }
    }
}
