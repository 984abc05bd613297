//! The tokens file as text: reading it, adding an entry, removing one. Comments and
//! order of what is already there stay.

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use serde::Deserialize;
use toml_edit::{Array, DocumentMut, Item, Table, value};

use crate::{Grant, Hash, Refusal, Role, Scope};

/// Most entries of a file: each request is compared with all of them.
const MAX_TOKENS: usize = 1_000;
/// Longest name of an entry.
const MAX_NAME: usize = 100;

/// Begins a new file.
const HEADER: &str = "# Tokens of modash: who may read, send usage events or change something.
# Only hashes are here. `modash token new`, `list` and `revoke` change this file;
# it is read again when it changes.
";

/// A tokens file that is no good. The text never holds what the file holds, since
/// that may be a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokensError {
    /// It is no TOML, or has other fields than those of a token.
    #[error("line {line}: {problem}")]
    Form {
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// An entry is wrong.
    #[error("token {name:?}: {problem}")]
    Entry {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// There are too many.
    #[error("more than {MAX_TOKENS} tokens; revoke those that nobody uses")]
    TooMany,
}

/// The entries of a file.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    grants: Vec<Grant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    #[serde(default)]
    token: Vec<EntryForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryForm {
    name: String,
    role: String,
    hash: String,
    #[serde(default)]
    only: Vec<String>,
    #[serde(default)]
    replicas: Vec<String>,
    replaces: Option<String>,
    expires: Option<toml_edit::Datetime>,
}

impl Tokens {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let form: FileForm = toml_edit::de::from_str(text).map_err(|error| {
            let before = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count() + 1;
            TokensError::Form { line, problem: error.message().to_owned() }
        })?;
        if form.token.len() > MAX_TOKENS {
            return Err(TokensError::TooMany);
        }
        let mut tokens = Self::default();
        for entry in form.token {
            let name = entry.name.clone();
            let grant = entry.check().and_then(|grant| tokens.check_new(grant));
            let grant = grant.map_err(|problem| TokensError::Entry { name, problem })?;
            tokens.grants.push(grant);
        }
        Ok(tokens)
    }

    fn check_new(&self, grant: Grant) -> Result<Grant, String> {
        let taken = self.grants.iter().any(|other| other.name == grant.name);
        if taken { Err("the name is taken by another token".to_owned()) } else { Ok(grant) }
    }

    /// The entries in the order of the file.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The entry of a token that has not ended. All entries are compared, whichever
    /// matches.
    ///
    /// # Errors
    /// That nobody knows it, or that it has ended.
    pub fn valid(&self, hash: &Hash, now: DateTime<Utc>) -> Result<&Grant, Refusal> {
        let mut found = None;
        for grant in &self.grants {
            if grant.hash.matches(hash) {
                found = Some(grant);
            }
        }
        let grant = found.ok_or(Refusal::Unknown)?;
        match grant.expires {
            Some(at) if at <= now => Err(Refusal::Expired { name: grant.name.clone(), at }),
            _ => Ok(grant),
        }
    }

    /// One more entry, which no file has.
    pub(crate) fn push(&mut self, grant: Grant) {
        self.grants.push(grant);
    }

    /// The text of a file with one more entry.
    ///
    /// # Errors
    /// What is wrong with the file or the entry.
    pub fn with(text: &str, grant: &Grant) -> Result<String, TokensError> {
        let mut table = Table::new();
        table["name"] = value(&grant.name);
        table["role"] = value(grant.role.name());
        table["hash"] = value(grant.hash.to_string());
        let list = |values: &mut dyn Iterator<Item = String>| value(values.collect::<Array>());
        if !grant.scope.is_everything() {
            table["only"] = list(&mut grant.scope.texts());
        }
        if !grant.replicas.is_empty() {
            table["replicas"] = list(&mut grant.replicas.iter().cloned());
        }
        if let Some(replaces) = &grant.replaces {
            table["replaces"] = value(replaces);
        }
        if let Some(expires) = grant.expires {
            let text = expires.to_rfc3339_opts(SecondsFormat::Secs, true);
            table["expires"] = text.parse::<toml_edit::Datetime>().map_or(Item::None, value);
        }
        let text = if text.trim().is_empty() { HEADER } else { text };
        // Appended as text: a document would attach comments at the end to the entry.
        let text = format!("{}\n\n[[token]]\n{table}", text.trim_end());
        Self::parse(&text).map(|_| text)
    }

    /// The text of a file without an entry; `None` if it has none of this name.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn without(text: &str, name: &str) -> Result<Option<String>, TokensError> {
        Self::parse(text)?;
        let form = |problem: String| TokensError::Form { line: 1, problem };
        let mut document: DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| form(error.message().to_owned()))?;
        let has_name = |table: &Table| table.get("name").and_then(Item::as_str) == Some(name);
        let mut removed = false;
        match document.get_mut("token") {
            Some(Item::ArrayOfTables(tables)) => tables.retain(|table| {
                let goes = has_name(table);
                removed |= goes;
                !goes
            }),
            Some(_) => {
                return Err(form("write each token as [[token]] so that it can be removed".into()));
            }
            None => {}
        }
        Ok(removed.then(|| document.to_string()))
    }
}

impl EntryForm {
    fn check(self) -> Result<Grant, String> {
        let readable = |text: &str| {
            !text.is_empty() && text.len() <= MAX_NAME && !text.contains(char::is_control)
        };
        if !readable(&self.name) {
            return Err(format!("name: must have 1 to {MAX_NAME} printable bytes"));
        }
        let role: Role = self.role.parse().map_err(|problem| format!("role: {problem}"))?;
        let hash = Hash::parse(&self.hash)
            .ok_or("hash: must be sha256: and 64 hexadecimal digits, never the token itself")?;
        let scope = Scope::parse(&self.only).map_err(|problem| format!("only: {problem}"))?;
        if role != Role::Read && !scope.is_everything() {
            return Err("only: narrows what a reader sees; the role must be read".to_owned());
        }
        if role != Role::Ingest && !self.replicas.is_empty() {
            return Err("replicas: bind a proxy's token; the role must be ingest".to_owned());
        }
        if role != Role::Ingest && self.replaces.is_some() {
            return Err("replaces: names a proxy's token; the role must be ingest".to_owned());
        }
        let expires = self.expires.map(moment).transpose()?;
        let (name, replicas, replaces) = (self.name, self.replicas, self.replaces);
        Ok(Grant { name, role, scope, replicas, replaces, expires, hash })
    }
}

/// A moment with its offset from UTC, or the beginning of a day in UTC.
fn moment(given: toml_edit::Datetime) -> Result<DateTime<Utc>, String> {
    let text = given.to_string();
    let day = || {
        let day = text.parse::<NaiveDate>().ok()?;
        Some(day.and_time(NaiveTime::MIN).and_utc())
    };
    let moment = DateTime::parse_from_rfc3339(&text).ok().map(|moment| moment.to_utc());
    moment.or_else(day).ok_or_else(|| {
        "expires: must be a day such as 2030-01-31, or a moment such as 2030-01-31T12:00:00Z"
            .to_owned()
    })
}

#[cfg(test)]
mod tests;
