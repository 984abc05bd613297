//! Headers of one hop (RFC 9110 7.6.1): what they say, and which lines fall out
//! because of them.

use crate::{
    Fault, Field, Lines, Version,
    lines::{Fate, elements},
};

/// Connection options of one head that name headers.
const MAX_NAMED: usize = 32;

/// What the headers of one hop say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HopLines {
    /// `Connection: close`.
    pub close: bool,
    /// `Connection: keep-alive`.
    pub keep_alive: bool,
    /// An upgrade that is handed on: `Connection` and `Upgrade` both say so. One to
    /// HTTP/2 is not handed on (RFC 9113 3.1 has given it up): behind it a relay
    /// would see no requests.
    pub upgrade: bool,
    /// `TE: trailers`.
    pub trailers: bool,
    /// `timeout` of `Keep-Alive`, in seconds: how long an idle connection stays open.
    pub timeout: Option<u64>,
}

impl HopLines {
    /// Reads them, and decides for each line of one hop whether it goes on.
    ///
    /// In a request `Connection` must not name headers that frame or route it. Some
    /// servers name `Transfer-Encoding` in responses, where it changes nothing.
    pub(crate) fn read(
        head: &[u8],
        lines: &mut Lines,
        version: Version,
        request: bool,
    ) -> Result<Self, Fault> {
        let mut hop = Self::default();
        let mut upgrade_option = false;
        let mut any = false;
        for line in lines.iter() {
            let value = line.value.of(head);
            match line.field {
                Field::Connection => {
                    for option in elements(value) {
                        hop.close |= option.eq_ignore_ascii_case(b"close");
                        hop.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                        upgrade_option |= option.eq_ignore_ascii_case(b"upgrade");
                    }
                }
                Field::KeepAlive => hop.timeout = hop.timeout.or(timeout(value)),
                Field::Te => hop.trailers |= elements(value).any(is_trailers),
                Field::Upgrade | Field::ProxyConnection => {}
                _ => continue,
            }
            any = true;
        }
        if !any {
            return Ok(hop);
        }
        let mut protocols = lines.of_field(Field::Upgrade).map(|line| line.value.of(head));
        // HTTP/1.0 has no upgrades (RFC 9110 7.8).
        hop.upgrade = upgrade_option
            && version == Version::Http11
            && protocols.next().is_some_and(|first| !first.eq_ignore_ascii_case(b"h2c"))
            && protocols.next().is_none();
        drop(protocols);
        drop_named(head, lines, request)?;
        for line in lines.iter_mut() {
            match line.field {
                Field::KeepAlive | Field::ProxyConnection => line.fate = Fate::Dropped,
                Field::Connection | Field::Te => line.fate = Fate::Dropped,
                Field::Upgrade if !hop.upgrade => line.fate = Fate::Dropped,
                Field::Upgrade => line.fate = Fate::Kept,
                _ => {}
            }
        }
        keep_options(head, lines, hop);
        Ok(hop)
    }

    /// What `Connection` tells the next hop.
    pub(crate) fn options(self) -> &'static [u8] {
        match (self.upgrade, self.trailers) {
            (true, true) => b"Upgrade, TE",
            (true, false) => b"Upgrade",
            (false, true) => b"TE",
            (false, false) => b"",
        }
    }
}

/// The first `Connection` line carries the options of the next hop, the first `TE`
/// line `trailers`; a line that says no more than that stays as it was spelled.
fn keep_options(head: &[u8], lines: &mut Lines, hop: HopLines) {
    let options = hop.options();
    let first = |field| (!options.is_empty()).then_some(field);
    for (field, said) in
        [(first(Field::Connection), options), (hop.trailers.then_some(Field::Te), &b"trailers"[..])]
    {
        let Some(field) = field else { continue };
        if let Some(line) = lines.of_field_mut(field).next() {
            let same = line.value.of(head).eq_ignore_ascii_case(said);
            line.fate = if same { Fate::Kept } else { Fate::Replaced };
        }
    }
}

/// Lets the lines fall out that `Connection` names.
fn drop_named(head: &[u8], lines: &mut Lines, request: bool) -> Result<(), Fault> {
    let mut named = [crate::Span::default(); MAX_NAMED];
    let mut count = 0;
    for line in lines.of_field(Field::Connection) {
        for option in elements(line.value.of(head)) {
            if [&b"close"[..], b"keep-alive", b"upgrade", b"te"]
                .iter()
                .any(|known| option.eq_ignore_ascii_case(known))
            {
                continue;
            }
            if request && is_of_the_message(option) {
                return Err(Fault::HiddenHeader);
            }
            *named.get_mut(count).ok_or(Fault::TooLarge)? = crate::Span::within(head, option);
            count += 1;
        }
    }
    for option in &named[..count] {
        let option = option.of(head);
        for line in lines.iter_mut().filter(|line| line.field == Field::Other) {
            if line.name.of(head).eq_ignore_ascii_case(option) {
                line.fate = Fate::Dropped;
            }
        }
    }
    Ok(())
}

/// Headers that frame or route the message: without them it would mean another one.
fn is_of_the_message(name: &[u8]) -> bool {
    [&b"host"[..], b"content-length", b"transfer-encoding", b"expect", b"connection"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

fn is_trailers(coding: &[u8]) -> bool {
    let name = coding.split(|byte| *byte == b';').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(b"trailers")
}

/// `timeout=5` among the parameters of `Keep-Alive`.
fn timeout(value: &[u8]) -> Option<u64> {
    elements(value).find_map(|parameter| {
        let (name, seconds) = std::str::from_utf8(parameter).ok()?.split_once('=')?;
        let timeout = name.trim().eq_ignore_ascii_case("timeout");
        timeout.then(|| seconds.trim().trim_matches('"').parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announced_time_is_a_number() {
        for (value, expected) in [
            ("timeout=5, max=100", Some(5)),
            ("max=100, Timeout=\"5\"", Some(5)),
            ("max=5", None),
            ("timeout=soon", None),
            ("timeout=18446744073709551616", None),
        ] {
            assert_eq!(timeout(value.as_bytes()), expected, "{value}");
        }
    }
}
