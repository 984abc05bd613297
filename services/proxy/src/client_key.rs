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

    /// 16 hexadecimal digits.
    pub(crate) fn fingerprint(&self, credential: &[u8]) -> String {
        let digest = self.mac.clone().chain_update(credential).finalize().into_bytes();
        let digits = digest[..8].iter().flat_map(|byte| [byte >> 4, byte & 0xF]);
        digits.map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_fingerprint_for_each_secret() {
        let (one, other) = (Fingerprinter::new(Some(b"one")), Fingerprinter::new(Some(b"two")));
        let fingerprint = one.fingerprint(b"sk-1");
        assert_eq!(fingerprint.len(), 16);
        assert_eq!(one.fingerprint(b"sk-1"), fingerprint);
        assert_ne!(one.fingerprint(b"sk-2"), fingerprint);
        assert_ne!(other.fingerprint(b"sk-1"), fingerprint);
        assert_ne!(Fingerprinter::new(None).fingerprint(b"sk-1"), fingerprint);
    }
}
