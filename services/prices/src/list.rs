//! A price list, and how the price of a model is found in it.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::entry::{Entry, Name, Scope};
use crate::error::Error;
use crate::pattern::Pattern;
use crate::{check, parse, pattern};

/// Entries of all files of a list.
pub(crate) const MAX_ENTRIES: usize = 20_000;

/// Prices of models, and what a request costs by them.
///
/// Cheap to clone. Made of layers: the user's prices, if any, above the built-in ones.
#[derive(Debug, Clone)]
pub struct PriceList {
    version: Arc<str>,
    /// The first one wins.
    layers: Vec<Arc<Layer>>,
}

/// The files that were read together.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) entries: Vec<Entry>,
    providers: HashMap<String, Names>,
    upstreams: HashMap<String, Names>,
}

/// Indexes of the entries of a scope.
#[derive(Debug, Default)]
struct Names {
    exact: HashMap<String, Vec<u32>>,
    /// Patterns without `*`, by their text.
    dated: HashMap<String, Vec<u32>>,
    patterns: Vec<(Pattern, u32)>,
    aliases: HashMap<String, Vec<u32>>,
}

impl PriceList {
    /// Reads the files of a price list: their names, which errors show, and texts.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        let (mut entries, mut versions, mut digest) = (Vec::new(), Vec::new(), Sha256::new());
        for (name, text) in files {
            let file = parse::file(name, text)?;
            entries.extend(file.entries);
            versions.extend(file.version);
            digest.update(text.len().to_le_bytes());
            digest.update(text);
            if let Some(one_more) = entries.get(MAX_ENTRIES) {
                let problem = format!("there are more than {MAX_ENTRIES} prices; remove some");
                return Err(one_more.place.error(None, problem));
            }
        }
        check::no_two_match(&entries)?;
        let digest = digest.finalize();
        let digest =
            digest.iter().take(6).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let version = if versions.is_empty() { digest } else { versions.join("+") };
        Ok(Self { version: version.into(), layers: vec![Arc::new(Layer::new(entries))] })
    }

    /// This list below the user's, whose prices win.
    #[must_use]
    pub fn overlaid_by(&self, user: &Self) -> Self {
        let layers = user.layers.iter().chain(&self.layers).cloned().collect();
        Self { version: format!("{}+{}", self.version, user.version).into(), layers }
    }

    /// Which prices these are: the version of the built-in ones, then that of the user's
    /// behind a `+` (the one that the file names, else a digest of it).
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The same list under another version.
    pub(crate) fn named(self, version: &str) -> Self {
        Self { version: version.into(), ..self }
    }

    /// All prices; those that win come first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.layers.iter().flat_map(|layer| &layer.entries)
    }

    /// The prices that win over all others.
    pub(crate) fn first_layer(&self) -> &[Entry] {
        self.layers.first().map_or(&[], |layer| &layer.entries)
    }

    /// The price of a model at a moment: by upstream before by provider, an exact name
    /// before a pattern before an alias, the user's before the built-in ones.
    ///
    /// The model of the response is looked up first, then that of the request, except at
    /// Azure (a deployment's name says nothing about the model) and OpenRouter (a router may
    /// choose another model).
    #[must_use]
    pub fn find(&self, wanted: &Wanted<'_>) -> Option<&Entry> {
        self.layers.iter().find_map(|layer| layer.find(wanted))
    }
}

/// The model whose price is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Provider, see [`provider_of`](crate::provider_of).
    pub provider: Option<&'a str>,
    /// Configured name of the upstream.
    pub upstream: &'a str,
    /// Model that the response names.
    pub model: Option<&'a str>,
    /// Model that the request names.
    pub model_requested: Option<&'a str>,
    /// When the request began.
    pub started_at: DateTime<Utc>,
}

impl Layer {
    fn new(entries: Vec<Entry>) -> Self {
        let (mut providers, mut upstreams) = (HashMap::new(), HashMap::new());
        for (index, entry) in (0_u32..).zip(&entries) {
            let names: &mut Names = match &entry.scope {
                Scope::Provider(name) => providers.entry(name.clone()).or_default(),
                Scope::Upstream(name) => upstreams.entry(name.clone()).or_default(),
            };
            for name in &entry.names {
                match name {
                    Name::Exact(name) => names.exact.entry(name.clone()).or_default().push(index),
                    Name::Pattern(pattern) if pattern.is_only_dated() => {
                        names.dated.entry(pattern.text().to_owned()).or_default().push(index);
                    }
                    Name::Pattern(pattern) => names.patterns.push((pattern.clone(), index)),
                }
            }
            for alias in &entry.aliases {
                names.aliases.entry(alias.clone()).or_default().push(index);
            }
        }
        Self { entries, providers, upstreams }
    }

    fn find(&self, wanted: &Wanted<'_>) -> Option<&Entry> {
        let upstream = self.upstreams.get(wanted.upstream).map(|names| (names, None));
        let provider =
            wanted.provider.and_then(|name| Some((self.providers.get(name)?, Some(name))));
        upstream.into_iter().chain(provider).find_map(|(names, provider)| {
            let requested = wanted.model_requested.filter(|requested| {
                let free = provider.is_some_and(names_are_free);
                wanted.model != Some(*requested) && (wanted.model.is_none() || !free)
            });
            wanted.model.into_iter().chain(requested).find_map(|model| {
                let model = provider.map_or(model, |provider| canonical(provider, model));
                names.find(model, |index| {
                    let entry = &self.entries[index as usize];
                    entry.validity.holds(wanted.started_at).then_some(entry)
                })
            })
        })
    }
}

impl Names {
    fn find<'e>(&self, model: &str, valid: impl Fn(u32) -> Option<&'e Entry>) -> Option<&'e Entry> {
        let of = |names: &HashMap<String, Vec<u32>>, name: &str| {
            names.get(name)?.iter().find_map(|index| valid(*index))
        };
        let dated = || {
            if self.dated.is_empty() {
                None
            } else {
                pattern::dates(model, |name| of(&self.dated, name))
            }
        };
        let pattern = || {
            let matching = self.patterns.iter().filter(|(pattern, _)| pattern.matches(model));
            matching.into_iter().find_map(|(_, index)| valid(*index))
        };
        of(&self.exact, model).or_else(dated).or_else(pattern).or_else(|| of(&self.aliases, model))
    }
}

/// Whether the requested name says nothing about the model that served: a deployment's name
/// at Azure, a router's choice at OpenRouter.
fn names_are_free(provider: &str) -> bool {
    matches!(provider, "azure" | "openrouter")
}

/// A model's name without what a provider's paths put before it.
fn canonical<'a>(provider: &str, model: &'a str) -> &'a str {
    let model = match provider {
        // arn:aws:bedrock:us-east-1:1234:inference-profile/us.anthropic.claude-…
        "bedrock" if model.starts_with("arn:") => ["inference-profile/", "foundation-model/"]
            .iter()
            .find_map(|kind| Some(model.split_once(&format!(":{kind}"))?.1))
            .unwrap_or(model),
        "vertex" | "vertex-regional" => {
            let model = model.rsplit_once("/publishers/").map_or(model, |(_, rest)| rest);
            let model = model.strip_prefix("publishers/").unwrap_or(model);
            model
                .strip_prefix("google/")
                .or_else(|| model.strip_prefix("anthropic/"))
                .unwrap_or(model)
        }
        _ => model,
    };
    model.rsplit_once("models/").map_or(model, |(before, rest)| match before {
        "" | "google/" | "anthropic/" => rest,
        _ => model,
    })
}
