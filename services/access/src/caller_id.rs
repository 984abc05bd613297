//! Who calls, as far as callers share what there is: queries, streams, calls that are
//! passed on.

use std::net::{IpAddr, Ipv4Addr};

use crate::Pass;

/// A caller: by the name of its token, or where there are no tokens by its address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CallerId {
    /// A user whom a proxy with single sign-on names; all have one token.
    User(String),
    /// The bearer of a token.
    Token(String),
    /// An address; a network of IPv6 is one, since those are given out by /64.
    Address(IpAddr),
}

impl CallerId {
    /// The caller with this pass at this address.
    #[must_use]
    pub fn new(pass: Option<&Pass>, address: Option<IpAddr>) -> Self {
        match pass.and_then(Pass::name) {
            Some(name) => Self::Token(name.to_owned()),
            None => Self::Address(match address.map(|address| address.to_canonical()) {
                Some(IpAddr::V6(address)) => {
                    IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into())
                }
                Some(address @ IpAddr::V4(_)) => address,
                None => Ipv4Addr::UNSPECIFIED.into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_caller_and_each_address_of_ipv4_another() {
        let of = |text: &str| CallerId::new(None, Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
