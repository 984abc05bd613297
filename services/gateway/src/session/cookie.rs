//! The cookie of a session: a token and the end of the session, encrypted and
//! authenticated (AES-256-GCM), so that neither can be read or changed without the
//! gateway's key.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header::COOKIE};
use modash_access::Token;
use modash_runtime::SESSION_COOKIE;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};

use super::lease::Lease;

/// Names what is sealed, so that nothing else under the same key is taken for it.
const CONTEXT: &[u8] = b"modash session 1";

/// What tells a session from all others: the nonce of its cookie.
pub(super) type Id = [u8; NONCE_LEN];

/// What a cookie stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// The token that was shown.
    pub(super) token: Token,
    /// Which session it is, and until when.
    pub(super) lease: Lease,
}

/// Seals and opens cookies.
pub(crate) struct Sealer(LessSafeKey);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(***)")
    }
}

impl Sealer {
    /// With the key that a secret gives, or a random one.
    pub(crate) fn new(secret: Option<&[u8]>) -> Self {
        let key: [u8; 32] =
            secret.map_or_else(rand::random, |secret| Sha256::digest(secret).into());
        let key = UnboundKey::new(&AES_256_GCM, &key);
        Self(LessSafeKey::new(key.unwrap_or_else(|_| unreachable!("the key has 32 bytes"))))
    }

    /// The value of `Set-Cookie` for a session.
    pub(crate) fn cookie(&self, token: &Token, lifetime: Duration, secure: bool) -> String {
        let end = now() + lifetime.as_secs();
        let value = self.seal(end, token);
        cookie(&value, lifetime.as_secs(), secure)
    }

    /// The value of `Set-Cookie` that ends one.
    pub(crate) fn no_cookie(&self, secure: bool) -> String {
        cookie("", 0, secure)
    }

    /// The session that a request shows, if its time has not ended.
    pub(crate) fn open(&self, headers: &HeaderMap) -> Option<Session> {
        let values =
            headers.get_all(COOKIE).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
        let mut cookies = values.flat_map(|value| value.split(';')).filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == SESSION_COOKIE).then_some(value)
        });
        cookies.find_map(|value| self.unseal(value))
    }

    fn seal(&self, end: u64, token: &Token) -> String {
        let nonce: Id = rand::random();
        let mut sealed = [&end.to_be_bytes()[..], token.expose().as_bytes()].concat();
        let done = self.0.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(CONTEXT),
            &mut sealed,
        );
        // The only error is a text of 64 GiB.
        done.unwrap_or_else(|_| unreachable!("a token is short"));
        URL_SAFE_NO_PAD.encode([&nonce[..], &sealed[..]].concat())
    }

    fn unseal(&self, value: &str) -> Option<Session> {
        let mut bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let id = *nonce;
        let nonce = Nonce::assume_unique_for_key(id);
        let opened = self.0.open_in_place(nonce, Aad::from(CONTEXT), sealed).ok()?;
        let (end, token) = opened.split_first_chunk::<8>()?;
        let end = u64::from_be_bytes(*end);
        (end > now()).then_some(())?;
        let token = Token::parse(std::str::from_utf8(token).ok()?)?;
        Some(Session { token, lease: Lease { id, end } })
    }
}

fn cookie(value: &str, seconds: u64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!(
        "{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}"
    )
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(cookie: &str) -> HeaderMap {
        let pair = cookie.split(';').next().unwrap();
        [(COOKIE, format!("other=1; {pair}").parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn a_session_gives_its_token_back_until_it_ends() {
        let (sealer, token) = (Sealer::new(None), Token::generate());
        let cookie = sealer.cookie(&token, Duration::from_secs(60), false);
        assert_eq!(sealer.open(&shown(&cookie)).map(|session| session.token), Some(token.clone()));
        assert!(!cookie.contains(token.expose()), "{cookie}");
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        assert!(!cookie.contains("Secure"));
        assert!(sealer.cookie(&token, Duration::from_secs(60), true).ends_with("; Secure"));
        let over = sealer.cookie(&token, Duration::ZERO, false);
        assert_eq!(sealer.open(&shown(&over)), None);
        assert_eq!(sealer.open(&shown(&sealer.no_cookie(false))), None);
    }

    #[test]
    fn a_changed_cookie_and_one_of_another_key_are_nothing() {
        let (sealer, token) = (Sealer::new(Some(b"secret")), Token::generate());
        let cookie = sealer.cookie(&token, Duration::from_secs(60), false);
        let opened = Sealer::new(Some(b"secret")).open(&shown(&cookie));
        assert_eq!(opened.map(|session| session.token), Some(token));
        assert_eq!(Sealer::new(Some(b"other")).open(&shown(&cookie)), None);
        let value = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
        for place in 0..value.len() {
            let mut changed = value.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'Q' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(sealer.unseal(&changed), None, "position {place}");
        }
        for wrong in ["", "A", "====", &value[..10]] {
            assert_eq!(sealer.unseal(wrong), None);
        }
    }
}
