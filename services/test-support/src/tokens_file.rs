//! A tokens file that a test adds to and revokes from.

#![allow(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::path::PathBuf;

use modash_access::{Access, Grant, Role, Scope, Token, Tokens};
use tempfile::TempDir;

/// A file in a directory of its own, which ends with it.
#[derive(Debug)]
pub struct TokensFile(TempDir);

impl Default for TokensFile {
    fn default() -> Self {
        Self::new()
    }
}

impl TokensFile {
    /// Without a token.
    #[must_use]
    pub fn new() -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        file.write("");
        file
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.path().join("tokens.toml")
    }

    /// What it lets in.
    #[must_use]
    pub fn access(&self) -> Access {
        Access::from_file(&self.path()).unwrap()
    }

    /// Adds a token.
    pub fn add(&self, name: &str, role: Role) -> Token {
        self.add_with(name, role, |_| {})
    }

    /// Adds a token that sees `only` these requests.
    pub fn add_scoped(&self, name: &str, only: &[&str]) -> Token {
        self.add_with(name, Role::Read, |grant| grant.scope = Scope::parse(only).unwrap())
    }

    /// Adds a token that ended long ago.
    pub fn add_expired(&self, name: &str, role: Role) -> Token {
        self.add_with(name, role, |grant| grant.expires = Some(Default::default()))
    }

    /// Adds a token with what `change` makes of it.
    pub fn add_with(&self, name: &str, role: Role, change: impl FnOnce(&mut Grant)) -> Token {
        let token = Token::generate();
        let (scope, replicas, hash) = (Scope::default(), Vec::new(), token.hash());
        let (name, replaces, expires) = (name.into(), None, None);
        let mut grant = Grant { name, role, scope, replicas, replaces, expires, hash };
        change(&mut grant);
        self.write(&Tokens::with(&self.text(), &grant).unwrap());
        token
    }

    /// Removes a token.
    pub fn revoke(&self, name: &str) {
        self.write(&Tokens::without(&self.text(), name).unwrap().unwrap());
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    /// Replaced as a whole, so that no reader sees half of it.
    fn write(&self, text: &str) {
        let new = self.0.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path()).unwrap();
    }
}
