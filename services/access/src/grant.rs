//! What a token allows, and why a caller is refused.

use std::{fmt, str::FromStr};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::{Hash, Scope};

/// What a bearer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Ask: queries, subscriptions, the dashboard, health, reflection, `/metrics`.
    Read,
    /// Send usage events, as proxies do. Reads nothing.
    Ingest,
    /// Send requests through the proxy to LLM servers. Reads nothing of modash.
    Use,
    /// Change something, and ask.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Ingest, Self::Use, Self::Admin];

    /// Its name in the file and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Ingest => "ingest",
            Self::Use => "use",
            Self::Admin => "admin",
        }
    }

    /// Whether a bearer with this role may do what `needed` is needed for.
    #[must_use]
    pub fn covers(self, needed: Self) -> bool {
        self == needed || (self, needed) == (Self::Admin, Self::Read)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let role = Self::ALL.into_iter().find(|role| role.name() == text);
        role.ok_or("must be read, ingest, use or admin")
    }
}

/// One entry of the file.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Its name, for people.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// What its bearer sees.
    pub scope: Scope,
    /// Names of replicas for which events may be sent; empty: all.
    pub replicas: Vec<String>,
    /// Name of the token whose replicas this one may speak for too, when it takes over
    /// from it.
    pub replaces: Option<String>,
    /// When it ends; `None`: never.
    pub expires: Option<DateTime<Utc>>,
    /// The hash of the token.
    pub hash: Hash,
}

impl Grant {
    /// Whether events of this replica may be sent.
    #[must_use]
    pub fn may_send_for(&self, replica_id: &str) -> bool {
        self.replicas.is_empty() || self.replicas.iter().any(|replica| replica == replica_id)
    }

    /// Whether another version of the entry allows what this one does.
    pub(crate) fn allows_the_same(&self, other: &Self) -> bool {
        (self.role, &self.scope, &self.replicas) == (other.role, &other.scope, &other.replicas)
    }
}

/// Why a caller is refused. Its text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no token.
    #[error(
        "a token is needed: send the header `authorization: Bearer <token>`; `modash token new` \
         makes one"
    )]
    Missing,
    /// The header is not that of a token.
    #[error(
        "this is no token of modash, which begins with `modash_`: give it unchanged, programs in \
         the header `authorization: Bearer modash_…`"
    )]
    Malformed,
    /// Nobody knows it.
    #[error("the token is not known: it was revoked or replaced; ask for a new one")]
    Unknown,
    /// It has ended.
    #[error("the token {name} expired at {}; ask for a new one", .at.to_rfc3339_opts(SecondsFormat::Secs, true))]
    Expired {
        /// Its name.
        name: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// It does not allow this.
    #[error("the token {name} has the role {role}, and this needs the role {needed}")]
    Role {
        /// Its name.
        name: String,
        /// What it allows.
        role: Role,
        /// What would be needed.
        needed: Role,
    },
}

impl Refusal {
    /// A stable word for programs (`google.rpc.ErrorInfo.reason`).
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "TOKEN_MISSING",
            Self::Malformed => "TOKEN_MALFORMED",
            Self::Unknown => "TOKEN_UNKNOWN",
            Self::Expired { .. } => "TOKEN_EXPIRED",
            Self::Role { .. } => "ROLE_MISSING",
        }
    }

    /// Whether another token may help: who calls is known, and may not do this.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Role { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admins_ask_and_nobody_else_does_what_another_role_is_for() {
        for (role, needed) in
            Role::ALL.into_iter().flat_map(|role| Role::ALL.map(|other| (role, other)))
        {
            let expected = role == needed || (role == Role::Admin && needed == Role::Read);
            assert_eq!(role.covers(needed), expected, "{role} for {needed}");
            assert_eq!(role.name().parse::<Role>(), Ok(role));
        }
    }
}
