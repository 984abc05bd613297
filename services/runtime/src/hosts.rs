//! Who may ask: decides by `Origin` and `Host` whether a request comes from the
//! service's own pages, a listed site, a program, or a page that should not
//! reach this machine at all (other sites, rebound DNS names).

use std::{collections::BTreeSet, net::IpAddr, str::FromStr};

use axum::http::{HeaderMap, Uri, header};
use url::{Host, Url};

/// Header of requests that the proxy hands on to the gateway: whatever another header says
/// of who sent them, the proxy's address is not that of the sender.
pub const HANDED_ON: &str = "x-modash-handed-on";

/// Name of the cookie of the gateway's sessions. Browsers send cookies to all ports of a
/// host, so that it reaches the proxy's port too.
pub const SESSION_COOKIE: &str = "modash_session";

/// Sites that may use a service from a browser, each as `scheme://host[:port]`.
#[derive(Debug, Clone, Default)]
pub struct Origins(BTreeSet<String>);

/// Host names of a service, in lower case and without port.
#[derive(Debug, Clone, Default)]
pub struct Hosts(BTreeSet<String>);

impl Origins {
    /// Whether none is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn contains(&self, origin: &str) -> bool {
        self.0.contains(origin)
    }
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let origin = |item: &str| match Url::parse(item) {
            Ok(url) if url.origin().is_tuple() && matches!(url.path(), "/" | "") => {
                Ok(url.origin().ascii_serialization())
            }
            _ => Err(format!("{item:?} is not an origin such as https://tools.example.com")),
        };
        list(text).map(origin).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Hosts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host = |item: &str| match Host::parse(item) {
            Ok(host) => Ok(host.to_string()),
            Err(_) => {
                Err(format!("{item:?} is not a host name (write it without scheme and port)"))
            }
        };
        list(text).map(host).collect::<Result<_, _>>().map(Self)
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Where a request comes from, as far as its head tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// No `Origin`: a program, or a page of the gateway that reads.
    Program,
    /// A page of the service.
    Own,
    /// A page of a listed site.
    Listed,
    /// A page of another site.
    Stranger,
}

/// Decides who calls. `uri` matters for HTTP/2, where it carries the host.
#[must_use]
pub fn caller(headers: &HeaderMap, uri: &Uri, origins: &Origins, hosts: &Hosts) -> Caller {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Caller::Program;
    };
    let Ok(origin) = origin.to_str() else {
        return Caller::Stranger;
    };
    if origins.contains(origin) {
        return Caller::Listed;
    }
    let own =
        Url::parse(origin).ok().zip(host_header(headers, uri)).is_some_and(|(origin, host)| {
            // Both sides lose the default port of the origin's scheme.
            let host = Url::parse(&format!("{}://{host}", origin.scheme()));
            host.is_ok_and(|host| {
                host.origin() == origin.origin()
                    && host.host().is_some_and(|host| hosts.is_ours(&host))
            })
        });
    if own { Caller::Own } else { Caller::Stranger }
}

/// Whether the name under which a service was reached can be one that a
/// stranger's DNS points here. Browsers leave `Origin` out where a page reads
/// from what it takes for its own site, so for reads the host alone tells. A
/// name without a dot cannot be a stranger's.
#[must_use]
pub fn may_be_rebound(headers: &HeaderMap, uri: &Uri, hosts: &Hosts) -> bool {
    let Some(host) = host_header(headers, uri) else {
        return false;
    };
    match Url::parse(&format!("http://{host}")) {
        Ok(url) => url.host().is_some_and(|host| {
            !hosts.is_ours(&host) && host.to_string().trim_end_matches('.').contains('.')
        }),
        Err(_) => true,
    }
}

impl Hosts {
    fn is_ours(&self, host: &Host<&str>) -> bool {
        match host {
            Host::Ipv4(address) => !IpAddr::V4(*address).is_unspecified(),
            Host::Ipv6(address) => !IpAddr::V6(*address).is_unspecified(),
            Host::Domain(name) => {
                *name == "localhost" || name.ends_with(".localhost") || self.0.contains(*name)
            }
        }
    }
}

fn host_header<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let header = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    header.or_else(|| uri.authority().map(axum::http::uri::Authority::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(origin: &str, host: &str) -> Caller {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        headers.insert(header::HOST, host.parse().unwrap());
        let origins = "https://tools.example.com, http://localhost:5173/".parse().unwrap();
        let hosts = "modash.example.com".parse().unwrap();
        caller(&headers, &Uri::from_static("/rpc"), &origins, &hosts)
    }

    #[test]
    fn a_page_of_the_gateway_is_known_by_equal_host_and_port() {
        assert_eq!(who("http://localhost:4006", "localhost:4006"), Caller::Own);
        assert_eq!(who("http://127.0.0.1:4006", "127.0.0.1:4006"), Caller::Own);
        assert_eq!(who("http://[::1]:4006", "[::1]:4006"), Caller::Own);
        assert_eq!(who("https://modash.example.com", "modash.example.com"), Caller::Own);
        assert_eq!(who("https://modash.example.com", "modash.example.com:443"), Caller::Own);
    }

    #[test]
    fn another_port_site_or_a_rebound_name_is_a_stranger() {
        assert_eq!(who("http://localhost:3000", "localhost:4006"), Caller::Stranger);
        assert_eq!(who("http://evil.example", "localhost:4006"), Caller::Stranger);
        assert_eq!(who("http://evil.example:4006", "evil.example:4006"), Caller::Stranger);
        assert_eq!(who("null", "localhost:4006"), Caller::Stranger);
    }

    #[test]
    fn a_listed_site_is_let_in() {
        assert_eq!(who("https://tools.example.com", "localhost:4006"), Caller::Listed);
        assert_eq!(who("http://localhost:5173", "localhost:4006"), Caller::Listed);
        assert_eq!(who("http://tools.example.com", "localhost:4006"), Caller::Stranger);
    }

    #[test]
    fn only_names_that_dns_can_point_anywhere_may_be_rebound() {
        let hosts = "modash.example.com".parse().unwrap();
        let rebound = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            may_be_rebound(&headers, &Uri::from_static("/events"), &hosts)
        };
        assert!(rebound("evil.example:4006"));
        for fine in
            ["localhost:4006", "127.0.0.1", "[::1]:4006", "gateway:4006", "modash.example.com"]
        {
            assert!(!rebound(fine), "{fine}");
        }
    }

    #[test]
    fn lists_with_mistakes_are_refused() {
        assert!("*".parse::<Origins>().is_err());
        assert!("https://a.example/path".parse::<Origins>().is_err());
        assert!("http://a.example".parse::<Hosts>().is_err());
    }
}
