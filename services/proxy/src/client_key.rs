//! Fingerprints of credentials: an HMAC under a secret of the installation, cut
//! to 8 bytes, so that a key can be told from another and never be recovered.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Makes fingerprints.
#[derive(Clone)]
pub(crate) struct Fingerprinter {
    mac: Hmac<Sha256>,
}

impl Fingerprinter {
    /// Under a secret; a random one is used if there is none.
    pub(crate) fn new(secret: Option<&[u8]>) -> Self {
        let mut random = [0; 64];
        rand::fill(&mut random[..]);
        // HMAC takes keys of any length (RFC 2104, section 2).
        let mac = Hmac::new_from_slice(secret.unwrap_or(&random))
            .unwrap_or_else(|_| Hmac::new(&random.into()));
        Self { mac }
    }

    /// The fingerprint of a credential.
    pub(crate) fn fingerprint(&self, credential: &[u8]) -> ClientKey {
        let digest = self.mac.clone().chain_update(credential).finalize().into_bytes();
        let digit = |at: usize| {
            b"0123456789abcdef"[usize::from(digest[at / 2] >> (4 * (1 - at % 2)) & 0xF)]
        };
        ClientKey(std::array::from_fn(digit))
    }
}

/// A fingerprint: 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientKey([u8; 16]);

impl ClientKey {
    /// The digits.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The last credential of a client's connection with its fingerprint: most clients send
/// one key with every request.
#[derive(Default)]
pub(crate) struct LastKey(Option<(Box<[u8]>, ClientKey)>);

impl LastKey {
    /// The fingerprint of a credential, made if it is another one than the last.
    pub(crate) fn of(&mut self, credential: &[u8], fingerprinter: &Fingerprinter) -> ClientKey {
        if let Some((last, key)) = &self.0
            && **last == *credential
        {
            return *key;
        }
        let key = fingerprinter.fingerprint(credential);
        self.0 = Some((credential.into(), key));
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_fingerprint_for_each_secret() {
        let (one, other) = (Fingerprinter::new(Some(b"one")), Fingerprinter::new(Some(b"two")));
        let fingerprint = one.fingerprint(b"sk-1");
        assert!(fingerprint.as_str().bytes().all(|digit| b"0123456789abcdef".contains(&digit)));
        assert_eq!(fingerprint.as_str().len(), 16);
        assert_eq!(one.fingerprint(b"sk-1"), fingerprint);
        assert_ne!(one.fingerprint(b"sk-2"), fingerprint);
        assert_ne!(other.fingerprint(b"sk-1"), fingerprint);
        assert_ne!(Fingerprinter::new(None).fingerprint(b"sk-1"), fingerprint);
    }

    #[test]
    fn a_connection_that_changes_its_key_has_the_fingerprint_of_each() {
        let (fingerprinter, mut last) = (Fingerprinter::new(Some(b"one")), LastKey::default());
        for credential in [&b"sk-1"[..], b"sk-1", b"sk-2", b"sk-", b"sk-1", b""] {
            assert_eq!(last.of(credential, &fingerprinter), fingerprinter.fingerprint(credential));
        }
    }
}
