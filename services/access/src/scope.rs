//! Which requests a token lets its bearer see: by tag, client key, upstream and
//! model. Several values of one kind are alternatives; kinds must all match.

use std::{collections::BTreeMap, fmt, str::FromStr};

/// Most values of one kind, as in a filter of a query.
const MAX_VALUES: usize = 100;

/// What a token narrows its bearer's view to. Empty: everything is seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// Models, as in the answer or else in the request.
    pub models: Vec<String>,
    /// Names of upstreams.
    pub upstreams: Vec<String>,
    /// Fingerprints of credentials.
    pub client_keys: Vec<String>,
    /// Tags, each with its one value.
    pub tags: BTreeMap<String, String>,
}

/// A scope that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// The text has no known form.
    #[error(
        "{0:?} is no scope; write tag:NAME=VALUE, client:FINGERPRINT, upstream:NAME or model:NAME"
    )]
    Form(String),
    /// Two values of one tag.
    #[error("the tag {0:?} has two values; a request has one, so make a token for each")]
    TagTwice(String),
    /// Too many.
    #[error("a scope has at most {MAX_VALUES} values of one kind")]
    TooMany,
}

impl Scope {
    /// Reads a list such as `tag:team=search`, `model:gpt-5`.
    ///
    /// # Errors
    /// Which one is wrong.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, ScopeError> {
        let mut scope = Self::default();
        for text in texts {
            scope.add(text.as_ref())?;
        }
        let lengths =
            [scope.models.len(), scope.upstreams.len(), scope.client_keys.len(), scope.tags.len()];
        if lengths.into_iter().any(|length| length > MAX_VALUES) {
            return Err(ScopeError::TooMany);
        }
        Ok(scope)
    }

    fn add(&mut self, text: &str) -> Result<(), ScopeError> {
        let wrong = || ScopeError::Form(text.to_owned());
        let (kind, value) = text.split_once(':').ok_or_else(wrong)?;
        // The database refuses NUL, and an empty value would let the unlabelled pass.
        if value.is_empty() || value.contains('\0') {
            return Err(wrong());
        }
        match kind {
            "model" => self.models.push(value.to_owned()),
            "upstream" => self.upstreams.push(value.to_owned()),
            "client" => self.client_keys.push(value.to_owned()),
            "tag" => {
                let (name, value) = value.split_once('=').ok_or_else(wrong)?;
                if name.is_empty() || value.is_empty() {
                    return Err(wrong());
                }
                let before = self.tags.insert(name.to_owned(), value.to_owned());
                if before.is_some_and(|before| before != value) {
                    return Err(ScopeError::TagTwice(name.to_owned()));
                }
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// Whether everything is seen.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// The texts that [`Scope::parse`] reads.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        let texts = |kind: &'static str, values: &[String]| {
            values.iter().map(move |value| format!("{kind}:{value}")).collect::<Vec<_>>()
        };
        let tags = self.tags.iter().map(|(name, value)| format!("tag:{name}={value}"));
        tags.chain(texts("client", &self.client_keys))
            .chain(texts("upstream", &self.upstreams))
            .chain(texts("model", &self.models))
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::parse([text])
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_everything() {
            return f.write_str("everything");
        }
        f.write_str(&self.texts().collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_from_its_own_texts() {
        let texts = ["tag:team=a=b", "client:key_1", "upstream:openai", "model:a:b", "model:c"];
        let scope = Scope::parse(texts).unwrap();
        assert_eq!(scope.tags["team"], "a=b");
        assert_eq!(scope.models, ["a:b", "c"]);
        assert_eq!(Scope::parse(scope.texts()), Ok(scope.clone()));
        assert_eq!(scope.to_string(), texts.join(" "));
        assert_eq!(Scope::default().to_string(), "everything");
    }

    #[test]
    fn what_would_let_more_pass_than_meant_is_refused() {
        for wrong in
            ["", "team=a", "tag:team", "tag:team=", "tag:=a", "model:", "user:x", "model:\0"]
        {
            assert!(matches!(Scope::parse([wrong]), Err(ScopeError::Form(_))), "{wrong:?}");
        }
        let twice = Scope::parse(["tag:team=a", "tag:team=b"]);
        assert_eq!(twice, Err(ScopeError::TagTwice("team".into())));
        let many = (0..=MAX_VALUES).map(|number| format!("model:{number}"));
        assert_eq!(Scope::parse(many), Err(ScopeError::TooMany));
    }
}
