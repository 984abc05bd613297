//! Names under which the proxy answers on loopback. A page in a browser reaches this
//! machine by a name of its own whose address it changed to 127.0.0.1; since the proxy
//! replaces `Host`, the upstream could not tell that any more.

use std::{convert::Infallible, str::FromStr};

/// Names beside those that only this machine has: `localhost`, addresses, and names
/// without a dot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// Whether a request with this `Host` is answered.
    #[must_use]
    pub fn allows(&self, host: &[u8]) -> bool {
        if host.starts_with(b"[") {
            return true;
        }
        let name = host.split(|byte| *byte == b':').next().unwrap_or_default();
        let name = name.strip_suffix(b".").unwrap_or(name);
        let is_address = || name.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        let is_local = || {
            let end = name.len().checked_sub(b".localhost".len());
            end.is_some_and(|end| name[end..].eq_ignore_ascii_case(b".localhost"))
        };
        let is_listed = || self.0.iter().any(|listed| listed.as_bytes().eq_ignore_ascii_case(name));
        !name.contains(&b'.') || is_address() || is_local() || is_listed()
    }
}

impl FromStr for AllowedHosts {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        Ok(Self(names.map(str::to_owned).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_stranger_can_own_is_refused_unless_it_is_listed() {
        let hosts: AllowedHosts = "llm.example.com, other.example".parse().unwrap();
        for host in [
            "",
            "localhost",
            "LOCALHOST:4005",
            "127.0.0.1:4005",
            "10.0.0.7",
            "[::1]:4005",
            "here",
            "llm.example.com:80",
            "LLM.example.com.",
            "a.localhost:1",
        ] {
            assert!(hosts.allows(host.as_bytes()), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:4005",
            "127.0.0.1.evil.example",
            "xlocalhost.a",
            "llm.example.com.evil.example",
        ] {
            assert!(!hosts.allows(host.as_bytes()), "{host}");
        }
    }
}
