//! One price: whom it holds for, when, and the rates of each service tier.

use chrono::{DateTime, NaiveDate, Utc};

use crate::error::Place;
use crate::off_peak::Window;
use crate::pattern::Pattern;
use crate::rates::Rates;
use crate::tier::tier_name;

/// Name of the tier that `off_peak` hours select.
pub(crate) const OFF_PEAK: &str = "off_peak";

/// Whose models a price is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Those of a provider, for example `openai`.
    Provider(String),
    /// Those behind an upstream, by its configured name.
    Upstream(String),
}

/// The price of a model: one `[[price]]` of a price list.
#[derive(Debug, Clone)]
pub struct Entry {
    pub(crate) scope: Scope,
    pub(crate) names: Vec<Name>,
    pub(crate) aliases: Vec<String>,
    pub(crate) validity: Validity,
    pub(crate) standard: Tariff,
    pub(crate) tiers: Vec<(String, Tariff)>,
    pub(crate) off_peak: Vec<Window>,
    pub(crate) source: Option<String>,
    pub(crate) date: Option<NaiveDate>,
    pub(crate) note: Option<String>,
    pub(crate) place: Place,
}

/// A name of a model, or a pattern of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    Exact(String),
    Pattern(Pattern),
}

/// The days on which a price holds, in UTC: `until` is the first day on which it no
/// longer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Validity {
    pub(crate) from: Option<NaiveDate>,
    pub(crate) until: Option<NaiveDate>,
}

/// Rates, and those that replace them above prompt lengths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tariff {
    pub(crate) base: Rates,
    /// By ascending length.
    pub(crate) steps: Vec<Step>,
}

/// The rates of requests whose prompt is longer than a number of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) above: u64,
    pub(crate) rates: Rates,
}

impl Entry {
    /// Whose models the price is for.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Names and patterns of the models, aliases last.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(Name::text).chain(self.aliases.iter().map(String::as_str))
    }

    /// First day on which the price holds, in UTC.
    #[must_use]
    pub fn from(&self) -> Option<NaiveDate> {
        self.validity.from
    }

    /// First day on which the price no longer holds, in UTC.
    #[must_use]
    pub fn until(&self) -> Option<NaiveDate> {
        self.validity.until
    }

    /// Where the price was read by whoever wrote it down.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// When it was read there.
    #[must_use]
    pub fn date(&self) -> Option<NaiveDate> {
        self.date
    }

    /// What else there is to know about it.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Name of the file that the price is in.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.place.file
    }

    /// Line of the file at which the price begins.
    #[must_use]
    pub fn line(&self) -> usize {
        self.place.line
    }

    /// The name that errors and lists show.
    pub(crate) fn title(&self) -> &str {
        self.models().next().unwrap_or_default()
    }

    /// The rates of a service tier at a moment, if it has a price. A price for an upstream
    /// of the user's holds for every tier if it names none.
    pub(crate) fn tariff(&self, service_tier: Option<&str>, at: DateTime<Utc>) -> Option<&Tariff> {
        let mut buffer = [0; 64];
        let off_peak =
            || self.off_peak.iter().any(|window| window.contains(at)).then_some(OFF_PEAK);
        let tier = service_tier.and_then(|tier| tier_name(tier, &mut buffer)).or_else(off_peak);
        let Some(tier) = tier else { return Some(&self.standard) };
        if self.tiers.is_empty() && matches!(self.scope, Scope::Upstream(_)) {
            return Some(&self.standard);
        }
        self.tiers.iter().find(|(name, _)| name == tier).map(|(_, tariff)| tariff)
    }

    /// Whether the price is the same but for where it was read.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        self.scope == other.scope
            && self.names == other.names
            && self.aliases == other.aliases
            && self.validity == other.validity
            && self.standard == other.standard
            && self.tiers == other.tiers
            && self.off_peak == other.off_peak
            && (&self.source, self.date, &self.note) == (&other.source, other.date, &other.note)
    }
}

impl Name {
    /// As written.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Exact(name) => name,
            Self::Pattern(pattern) => pattern.text(),
        }
    }
}

impl Validity {
    /// Whether the price holds for a request that began at this moment.
    pub(crate) fn holds(self, started_at: DateTime<Utc>) -> bool {
        if self == Self::default() {
            return true;
        }
        let day = started_at.date_naive();
        self.from.is_none_or(|from| day >= from) && self.until.is_none_or(|until| day < until)
    }

    /// Whether there is a day on which both hold.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        let before = |one: Self, two: Self| matches!((one.until, two.from), (Some(until), Some(from)) if until <= from);
        !before(self, other) && !before(other, self)
    }
}

impl Tariff {
    /// The rates of a prompt of this length.
    pub(crate) fn rates(&self, prompt_tokens: u64) -> &Rates {
        let step = self.steps.iter().rev().find(|step| prompt_tokens > step.above);
        step.map_or(&self.base, |step| &step.rates)
    }
}
