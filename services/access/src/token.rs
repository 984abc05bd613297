//! A token and its hash. A token is `modash_`, 40 random letters and digits (238
//! bits), and 6 letters and digits of a CRC-32 over those 40: secret scanners find it
//! by `modash_[0-9A-Za-z]{46}` and verify it without asking anybody.

use std::fmt;

use rand::{Rng as _, distr::Alphanumeric};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

const PREFIX: &str = "modash_";
const RANDOM: usize = 40;
const CHECKSUM: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A token as its bearer has it. Its debug form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one, from the generator of the system.
    #[must_use]
    pub fn generate() -> Self {
        let random: String =
            rand::rng().sample_iter(Alphanumeric).take(RANDOM).map(char::from).collect();
        let checksum = checksum(&random);
        Self(format!("{PREFIX}{random}{checksum}"))
    }

    /// A text that has the form of a token and the right checksum.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let right = rest.len() == RANDOM + CHECKSUM
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && checksum(&rest[..RANDOM]) == rest[RANDOM..];
        right.then(|| Self(text.to_owned()))
    }

    /// The text itself, for the one who gets it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// The CRC-32 of a text in base 62.
fn checksum(random: &str) -> String {
    let mut value = crc32fast::hash(random.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(value % 62) as usize];
        value /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

/// The SHA-256 of a token. A slow hash protects passwords, which can be guessed from
/// a dictionary; 238 random bits cannot be guessed from anything, and each request
/// would pay for the slowness.
#[derive(Clone, Copy)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Whether both are of the same token, in a time that does not depend on where
    /// they differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Reads `sha256:` and 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:")?;
        let right = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut hash = [0; 32];
        if !right {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_is_read_back_and_no_two_are_alike() {
        let (one, other) = (Token::generate(), Token::generate());
        assert_eq!(one.expose().len(), PREFIX.len() + RANDOM + CHECKSUM);
        assert_eq!(Token::parse(one.expose()), Some(one.clone()));
        assert!(one != other && !one.hash().matches(&other.hash()));
    }

    #[test]
    fn a_token_with_one_wrong_letter_has_a_wrong_checksum() {
        let token = Token::generate();
        for place in PREFIX.len()..token.expose().len() {
            let mut bytes = token.expose().as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'x' { b'y' } else { b'x' };
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(Token::parse(&text), None, "position {place}");
        }
        for text in
            ["", "modash_", "modash_ä", &token.expose()[1..], &format!("{}0", token.expose())]
        {
            assert_eq!(Token::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_hash_survives_its_text_form() {
        let hash = Token::generate().hash();
        let text = hash.to_string();
        assert!(Hash::parse(&text).is_some_and(|read| read.matches(&hash)), "{text}");
        for wrong in [&text[1..], &text[..70], &text.replace("sha256", "md5"), &format!("{text}0")]
        {
            assert!(Hash::parse(wrong).is_none(), "{wrong}");
        }
        assert!(Hash::parse(&format!("sha256:{}", "+1".repeat(32))).is_none());
    }

    #[test]
    fn debug_forms_hold_no_secret() {
        let token = Token::generate();
        let shown = format!("{token:?} {:?}", token.hash());
        assert!(!shown.contains(&token.expose()[7..]), "{shown}");
        assert!(!shown.contains(&token.hash().to_string()[7..]), "{shown}");
    }
}
