//! The question that every door asks: may this caller do that? The file of tokens is
//! read again when it changes.

use std::{path::Path, sync::Arc};

use chrono::{DateTime, Utc};
use modash_runtime::{NotAdmitted, Scrapers, WatchedFiles};

use crate::{FileError, Grant, Hash, Refusal, Role, Scope, Token, Tokens, file};

/// Who may do what. Clones share the file.
#[derive(Debug, Clone)]
pub struct Access {
    /// `None`: everybody may do everything.
    file: Option<Arc<WatchedFiles<Arc<Tokens>>>>,
    /// Tokens of this process, for the services inside it.
    own: Tokens,
}

/// A caller who may go on.
#[derive(Debug, Clone)]
pub struct Pass(Option<Arc<Grant>>);

impl Access {
    /// Without tokens: everybody may do everything.
    #[must_use]
    pub fn open() -> Self {
        Self { file: None, own: Tokens::default() }
    }

    /// With the tokens of a file, which is read again when it changes.
    ///
    /// # Errors
    /// If it cannot be read or is not usable.
    pub fn from_file(path: &Path) -> Result<Self, FileError> {
        let read = {
            let path = path.to_owned();
            move || file::read(&path).map(Arc::new)
        };
        let file = WatchedFiles::new("the tokens", vec![path.to_owned()], read)?;
        Ok(Self { file: Some(Arc::new(file)), own: Tokens::default() })
    }

    /// Whether everybody may do everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.file.is_none()
    }

    /// Makes a token that lives as long as this process, for a service inside it.
    /// `None` if none is needed.
    pub fn token_of_process(&mut self, name: &str, role: Role) -> Option<Token> {
        if self.is_open() {
            return None;
        }
        let token = Token::generate();
        self.own.push(Grant {
            name: name.to_owned(),
            role,
            scope: Scope::default(),
            replicas: Vec::new(),
            replaces: None,
            expires: None,
            hash: token.hash(),
        });
        Some(token)
    }

    /// Whether a caller with this `authorization` header may do what `needed` is
    /// needed for.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, authorization: Option<&[u8]>, needed: Role) -> Result<Pass, Refusal> {
        if self.is_open() {
            return Ok(Pass(None));
        }
        let token = bearer(authorization.ok_or(Refusal::Missing)?).ok_or(Refusal::Malformed)?;
        self.decide(&token, needed)
    }

    /// The same for a header that holds a token and nothing else.
    ///
    /// # Errors
    /// Why not.
    pub fn admit_token(&self, token: Option<&[u8]>, needed: Role) -> Result<Pass, Refusal> {
        if self.is_open() {
            return Ok(Pass(None));
        }
        let text = std::str::from_utf8(token.ok_or(Refusal::Missing)?).ok();
        let token = text.and_then(|text| Token::parse(text.trim())).ok_or(Refusal::Malformed)?;
        self.decide(&token, needed)
    }

    /// Who may read `/metrics`: readers of everything, since metrics count the requests
    /// of all.
    #[must_use]
    pub fn scrapers(&self) -> Scrapers {
        if self.is_open() {
            return Scrapers::default();
        }
        let access = self.clone();
        Scrapers::new(move |authorization| match access.admit(authorization, Role::Read) {
            Ok(pass) if pass.scope().is_some() => Err(NotAdmitted::Forbidden(
                "metrics count the requests of all, and this token has a scope".to_owned(),
            )),
            Ok(_) => Ok(()),
            Err(refusal) if refusal.is_forbidden() => {
                Err(NotAdmitted::Forbidden(refusal.to_string()))
            }
            Err(refusal) => Err(NotAdmitted::Unknown(refusal.to_string())),
        })
    }

    fn decide(&self, token: &Token, needed: Role) -> Result<Pass, Refusal> {
        let grant = self.valid(&token.hash(), Utc::now())?;
        if grant.role.covers(needed) {
            return Ok(Pass(Some(Arc::new(grant))));
        }
        Err(Refusal::Role { name: grant.name, role: grant.role, needed })
    }

    /// Whether a caller who was admitted would be so now, to the same: tokens end, are
    /// revoked, and get another role or scope.
    ///
    /// # Errors
    /// Why not.
    pub fn renew(&self, pass: &Pass) -> Result<(), Refusal> {
        let Some(grant) = &pass.0 else { return Ok(()) };
        let now = self.valid(&grant.hash, Utc::now())?;
        if now.allows_the_same(grant) { Ok(()) } else { Err(Refusal::Unknown) }
    }

    /// Whether a caller who may send events of a replica may do so in place of the token
    /// `owner`, which did until now: it is bound to the replica, was made to replace that
    /// token, or that token may not any more.
    #[must_use]
    pub fn may_replace(&self, pass: &Pass, owner: &str, replica_id: &str) -> bool {
        let Some(grant) = &pass.0 else { return true };
        let is_bound = !grant.replicas.is_empty() && grant.may_send_for(replica_id);
        let replaces = grant.replaces.as_deref() == Some(owner);
        is_bound || replaces || !self.may_still_send(owner, replica_id)
    }

    /// Whether there is a token of this name that may send events of a replica.
    fn may_still_send(&self, name: &str, replica_id: &str) -> bool {
        let now = Utc::now();
        let may = |grant: &Grant| {
            grant.name == name
                && grant.role.covers(Role::Ingest)
                && grant.expires.is_none_or(|at| at > now)
                && grant.may_send_for(replica_id)
        };
        let of_file = self.file.as_ref().map(|file| file.get());
        self.own.grants().iter().any(may)
            || of_file.is_some_and(|tokens| tokens.grants().iter().any(may))
    }

    fn valid(&self, hash: &Hash, now: DateTime<Utc>) -> Result<Grant, Refusal> {
        if let Ok(grant) = self.own.valid(hash, now) {
            return Ok(grant.clone());
        }
        match &self.file {
            Some(file) => file.get().valid(hash, now).cloned(),
            None => Err(Refusal::Unknown),
        }
    }
}

impl Pass {
    /// What the caller sees; `None`: everything.
    #[must_use]
    pub fn scope(&self) -> Option<&Scope> {
        self.0.as_ref().map(|grant| &grant.scope).filter(|scope| !scope.is_everything())
    }

    /// Whether the caller may send events of this replica.
    #[must_use]
    pub fn may_send_for(&self, replica_id: &str) -> bool {
        self.0.as_ref().is_none_or(|grant| grant.may_send_for(replica_id))
    }

    /// The name of the token; `None` where none is needed.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|grant| grant.name.as_str())
    }
}

/// The token of an `authorization` header.
fn bearer(header: &[u8]) -> Option<Token> {
    let (scheme, token) = std::str::from_utf8(header).ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Token::parse(token.trim()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(name: &str, role: Role, token: &Token) -> Grant {
        let (scope, replicas) = (Scope::default(), Vec::new());
        let (replaces, expires) = (None, None);
        Grant { name: name.into(), role, scope, replicas, replaces, expires, hash: token.hash() }
    }

    #[test]
    fn without_tokens_everybody_may_do_everything() {
        let access = Access::open();
        for header in [None, Some(&b"Basic x"[..])] {
            assert!(access.admit(header, Role::Admin).unwrap().scope().is_none());
        }
    }

    #[test]
    fn a_caller_is_admitted_by_token_and_role_and_refused_with_a_reason() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.toml");
        let token = Token::generate();
        file::write(&path, &Tokens::with("", &grant("a", Role::Read, &token)).unwrap()).unwrap();
        let mut access = Access::from_file(&path).unwrap();
        let own = access.token_of_process("proxy", Role::Ingest).unwrap();
        let admit = |header: &str, role| access.admit(Some(header.as_bytes()), role);

        let header = format!("bearer {}", token.expose());
        assert_eq!(admit(&header, Role::Read).unwrap().name(), Some("a"));
        assert_eq!(admit(&header, Role::Ingest).unwrap_err().reason(), "ROLE_MISSING");
        assert!(admit(&format!("Bearer {}", own.expose()), Role::Ingest).is_ok());
        assert_eq!(access.admit(None, Role::Read).unwrap_err(), Refusal::Missing);
        for wrong in ["", "Bearer", token.expose(), "Basic abc", "Bearer modash_x"] {
            assert_eq!(admit(wrong, Role::Read).unwrap_err(), Refusal::Malformed, "{wrong}");
        }
        let other = format!("Bearer {}", Token::generate().expose());
        assert_eq!(admit(&other, Role::Read).unwrap_err(), Refusal::Unknown);
    }

    #[test]
    fn a_pass_ends_when_its_token_is_revoked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.toml");
        let token = Token::generate();
        file::write(&path, &Tokens::with("", &grant("a", Role::Read, &token)).unwrap()).unwrap();
        let access = Access::from_file(&path).unwrap();
        let header = format!("Bearer {}", token.expose());
        let pass = access.admit(Some(header.as_bytes()), Role::Read).unwrap();
        assert_eq!(access.renew(&pass), Ok(()));
        file::write(&path, "").unwrap();
        let begun = std::time::Instant::now();
        while access.renew(&pass).is_ok() {
            assert!(begun.elapsed().as_secs() < 30, "the file was not read again");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert_eq!(access.renew(&pass), Err(Refusal::Unknown));
    }
}
