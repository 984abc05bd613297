//! A price list as text that reads back as the same list.

use std::fmt;

use crate::entry::{Entry, Name, Scope, Step, Tariff};
use crate::list::PriceList;
use crate::rates::Rates;

/// The prices of a list as one file, with every tier written out.
impl fmt::Display for PriceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "version = {}", quoted(self.version()))?;
        self.entries().try_for_each(|entry| write!(f, "\n{entry}"))
    }
}

/// As a `[[price]]` of a price list.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[[price]]")?;
        match &self.scope {
            Scope::Provider(name) => writeln!(f, "provider = {}", quoted(name))?,
            Scope::Upstream(name) => writeln!(f, "upstream = {}", quoted(name))?,
        }
        writeln!(f, "model = {}", list(self.names.iter().map(Name::text)))?;
        if !self.aliases.is_empty() {
            writeln!(f, "aliases = {}", list(self.aliases.iter().map(String::as_str)))?;
        }
        for (key, day) in [("from", self.from()), ("until", self.until())] {
            if let Some(day) = day {
                writeln!(f, "{key} = {day}")?;
            }
        }
        for line in rates(&self.standard.base) {
            writeln!(f, "{line}")?;
        }
        if !self.standard.steps.is_empty() {
            writeln!(f, "above = {}", steps(&self.standard.steps))?;
        }
        for (name, tariff) in &self.tiers {
            writeln!(f, "tier.{} = {}", quoted(name), tier(tariff, &self.standard))?;
        }
        if !self.off_peak.is_empty() {
            let windows: Vec<String> = self.off_peak.iter().map(ToString::to_string).collect();
            writeln!(f, "off_peak = {}", list(windows.iter().map(String::as_str)))?;
        }
        if let Some(source) = &self.source {
            writeln!(f, "source = {}", quoted(source))?;
        }
        if let Some(date) = self.date {
            writeln!(f, "date = {date}")?;
        }
        if let Some(note) = &self.note {
            writeln!(f, "note = {}", quoted(note))?;
        }
        Ok(())
    }
}

fn rates(rates: &Rates) -> Vec<String> {
    rates
        .iter()
        .map(|(dimension, amount)| {
            format!("{} = {}", dimension.key(), amount.print(dimension.units()))
        })
        .collect()
}

fn steps(steps: &[Step]) -> String {
    let step = |step: &Step| {
        let rates = rates(&step.rates).join(", ");
        format!("{{ prompt_tokens = {}, {rates} }}", step.above)
    };
    format!("[{}]", steps.iter().map(step).collect::<Vec<_>>().join(", "))
}

fn tier(tariff: &Tariff, standard: &Tariff) -> String {
    let mut parts = rates(&tariff.base);
    if !(tariff.steps.is_empty() && standard.steps.is_empty()) {
        parts.push(format!("above = {}", steps(&tariff.steps)));
    }
    format!("{{ {} }}", parts.join(", "))
}

/// One string, or a list of them.
fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut quoted: Vec<String> = texts.map(quoted).collect();
    if quoted.len() == 1 { quoted.remove(0) } else { format!("[{}]", quoted.join(", ")) }
}

fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}
