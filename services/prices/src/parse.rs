//! From the text of a price list to its entries.

use std::sync::Arc;

use chrono::NaiveDate;
use toml_edit::{Document, Item, TableLike};

use crate::amount::{Amount, Factor};
use crate::entry::{Entry, Name, OFF_PEAK, Scope, Step, Tariff, Validity};
use crate::error::{Error, Place};
use crate::off_peak::Window;
use crate::pattern::Pattern;
use crate::rates::{Dimension, Rates};
use crate::tier::tier_name;

/// Bytes of a file.
const MAX_FILE: usize = 4 << 20;
/// Bytes of a name of a model, provider or upstream.
const MAX_NAME: usize = 256;
/// Bytes of a source or a note.
const MAX_TEXT: usize = 2048;
/// Elements of any list inside an entry.
const MAX_LIST: usize = 64;

/// What one file says.
#[derive(Debug)]
pub(crate) struct File {
    /// Version that the file names.
    pub(crate) version: Option<String>,
    /// Its entries; one written for several providers is several.
    pub(crate) entries: Vec<Entry>,
}

/// Reads one file.
pub(crate) fn file(name: &str, text: &str) -> Result<File, Error> {
    let file: Arc<str> = name.into();
    let lines: Vec<usize> =
        text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let reader = Reader { text, lines: &lines, file: &file, entry: None };
    if text.len() > MAX_FILE {
        return Err(reader.error(0, format!("the file is longer than {MAX_FILE} bytes; split it")));
    }
    let document = Document::parse(text).map_err(|error| {
        reader.error(error.span().map_or(0, |span| span.start), error.message().trim())
    })?;
    let (mut version, mut provider, mut entries) = (None, None, Vec::new());
    for (key, item) in document.iter() {
        match key {
            "version" => version = Some(reader.string(key, item, MAX_NAME)?),
            "provider" => provider = Some(reader.provider(key, item)?),
            "price" => {}
            _ => return Err(reader.unknown(key, item, "version, provider and [[price]]")),
        }
    }
    for table in document
        .get("price")
        .map(|item| reader.tables("price", item))
        .transpose()?
        .into_iter()
        .flatten()
    {
        reader.entry(table, provider.as_deref(), &mut entries)?;
    }
    Ok(File { version, entries })
}

/// What is being read, for errors.
#[derive(Clone)]
struct Reader<'a> {
    text: &'a str,
    /// Where its lines end.
    lines: &'a [usize],
    file: &'a Arc<str>,
    entry: Option<String>,
}

/// A table and where it begins.
type Found<'a> = (&'a dyn TableLike, usize);

impl Reader<'_> {
    fn place(&self, at: usize) -> Place {
        let line = self.lines.partition_point(|end| *end < at) + 1;
        Place { file: Arc::clone(self.file), line }
    }

    fn error(&self, at: usize, problem: impl Into<String>) -> Error {
        self.place(at).error(self.entry.as_deref(), problem)
    }

    fn wrong(&self, key: &str, item: &Item, problem: &str) -> Error {
        self.error(start(item), format!("{key} {problem}"))
    }

    fn unknown(&self, key: &str, item: &Item, known: &str) -> Error {
        self.wrong(key, item, &format!("is not a known key; there are {known}"))
    }

    fn string(&self, key: &str, item: &Item, longest: usize) -> Result<String, Error> {
        let text =
            item.as_str().ok_or_else(|| self.wrong(key, item, "must be a string in quotes"))?;
        if text.is_empty() || text.len() > longest {
            return Err(self.wrong(key, item, &format!("must have 1 to {longest} bytes")));
        }
        if text.chars().any(char::is_control) {
            return Err(self.wrong(key, item, "must not have control characters"));
        }
        Ok(text.to_owned())
    }

    fn provider(&self, key: &str, item: &Item) -> Result<String, Error> {
        let name = self.string(key, item, MAX_NAME)?;
        if name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte)
        }) {
            return Ok(name);
        }
        Err(self.wrong(key, item, "must be in lower case, for example \"openai\""))
    }

    /// A string, or a list of them.
    fn strings(&self, key: &str, item: &Item) -> Result<Vec<String>, Error> {
        let Some(array) = item.as_array() else {
            return Ok(vec![self.string(key, item, MAX_NAME)?]);
        };
        if array.is_empty() || array.len() > MAX_LIST {
            return Err(self.wrong(key, item, &format!("must have 1 to {MAX_LIST} elements")));
        }
        array.iter().map(|value| self.string(key, &Item::Value(value.clone()), MAX_NAME)).collect()
    }

    fn date(&self, key: &str, item: &Item) -> Result<NaiveDate, Error> {
        let date = item.as_datetime().filter(|at| at.time.is_none()).and_then(|at| at.date);
        let date = date.and_then(|date| {
            NaiveDate::from_ymd_opt(date.year.into(), date.month.into(), date.day.into())
        });
        date.ok_or_else(|| {
            self.wrong(key, item, "must be a date without quotes, for example 2026-11-29")
        })
    }

    /// The digits of a number, as written.
    fn decimal<'t>(&'t self, key: &str, item: &'t Item) -> Result<&'t str, Error> {
        if let Some(text) = item.as_str() {
            return Ok(text);
        }
        let number = item.is_integer() || item.is_float();
        let span = item.span().filter(|_| number);
        span.and_then(|span| self.text.get(span))
            .ok_or_else(|| self.wrong(key, item, "must be a number such as 0.30"))
    }

    fn amount(&self, dimension: Dimension, item: &Item) -> Result<Amount, Error> {
        let key = dimension.key();
        Amount::parse(self.decimal(key, item)?, dimension.units())
            .map_err(|problem| self.wrong(key, item, problem))
    }

    fn factor(&self, key: &str, item: &Item) -> Result<Factor, Error> {
        Factor::parse(self.decimal(key, item)?).map_err(|problem| self.wrong(key, item, problem))
    }

    /// The tables of a list, written inline or not.
    fn tables<'t>(&self, key: &str, item: &'t Item) -> Result<Vec<Found<'t>>, Error> {
        if let Some(tables) = item.as_array_of_tables() {
            let found = |table: &'t toml_edit::Table| -> Found<'t> {
                (table, table.span().map_or(0, |span| span.start))
            };
            return Ok(tables.iter().map(found).collect());
        }
        let wrong = || self.wrong(key, item, "must be a list of tables");
        let array = item.as_array().ok_or_else(wrong)?;
        let found = |value: &'t toml_edit::Value| -> Option<Found<'t>> {
            let table = value.as_inline_table()?;
            Some((table, value.span().map_or(0, |span| span.start)))
        };
        array.iter().map(|value| found(value).ok_or_else(wrong)).collect()
    }

    fn table<'t>(&self, key: &str, item: &'t Item) -> Result<&'t dyn TableLike, Error> {
        item.as_table_like().ok_or_else(|| self.wrong(key, item, "must be a table"))
    }

    /// Reads one `[[price]]`, and adds it for each provider that it is for.
    fn entry(
        &self,
        (table, at): Found<'_>,
        provider: Option<&str>,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Error> {
        let title = table.get("model").and_then(|item| {
            item.as_str().or_else(|| item.as_array()?.get(0)?.as_str()).map(str::to_owned)
        });
        let title = title.map(|title| title.chars().take(MAX_NAME).collect());
        let reader = Reader { entry: title, ..self.clone() };
        let place = reader.place(at);
        let names = table.get("model").map(|item| reader.names(item)).transpose()?;
        let names = names.ok_or_else(|| reader.error(at, "model is missing; name the model"))?;
        let scope = reader.scope(table, provider, at)?;
        let mut entry = Entry {
            scope,
            names,
            aliases: Vec::new(),
            validity: Validity::default(),
            standard: Tariff::default(),
            tiers: Vec::new(),
            off_peak: Vec::new(),
            source: None,
            date: None,
            note: None,
            place,
        };
        let (mut also_at, mut tiers) = (Vec::new(), None);
        for (key, item) in table.iter() {
            match key {
                "model" | "provider" | "upstream" | "above" => {}
                "aliases" => entry.aliases = reader.aliases(item)?,
                "from" => entry.validity.from = Some(reader.date(key, item)?),
                "until" => entry.validity.until = Some(reader.date(key, item)?),
                "source" => entry.source = Some(reader.string(key, item, MAX_TEXT)?),
                "date" => entry.date = Some(reader.date(key, item)?),
                "note" => entry.note = Some(reader.string(key, item, MAX_TEXT)?),
                "off_peak" => entry.off_peak = reader.windows(item)?,
                "tier" => tiers = Some(reader.table(key, item)?),
                "also_at" => also_at = reader.factors(item)?,
                _ => {
                    let dimension =
                        Dimension::of(key).ok_or_else(|| reader.unknown(key, item, KEYS))?;
                    entry.standard.base.set(dimension, reader.amount(dimension, item)?);
                }
            }
        }
        let above = table.get("above");
        entry.standard.steps = above
            .map(|item| reader.steps(item, &entry.standard.base))
            .transpose()?
            .unwrap_or_default();
        for (name, item) in tiers.into_iter().flat_map(TableLike::iter) {
            let tariff = reader.tier(name, item, &entry.standard)?;
            entry.tiers.push((name.to_owned(), tariff));
        }
        reader.check(&entry, at)?;
        for (provider, factor) in also_at {
            entries.push(reader.variant(&entry, provider, factor, at)?);
        }
        entries.push(entry);
        Ok(())
    }

    fn scope(
        &self,
        table: &dyn TableLike,
        provider: Option<&str>,
        at: usize,
    ) -> Result<Scope, Error> {
        let own = table.get("provider").map(|item| self.provider("provider", item)).transpose()?;
        let upstream = table
            .get("upstream")
            .map(|item| self.string("upstream", item, MAX_NAME))
            .transpose()?;
        match (own, upstream) {
            (Some(_), Some(_)) => {
                Err(self.error(at, "has both provider and upstream; leave one out"))
            }
            (None, Some(upstream)) => Ok(Scope::Upstream(upstream)),
            (own, None) => {
                own.or_else(|| provider.map(str::to_owned)).map(Scope::Provider).ok_or_else(|| {
                    self.error(at, "provider and upstream are missing; say whose models these are")
                })
            }
        }
    }

    fn names(&self, item: &Item) -> Result<Vec<Name>, Error> {
        let name = |name: String| {
            if !Pattern::is_pattern(&name) {
                return Ok(Name::Exact(name));
            }
            let pattern =
                Pattern::parse(&name).map_err(|problem| self.wrong("model", item, problem));
            pattern.map(Name::Pattern)
        };
        self.strings("model", item)?.into_iter().map(name).collect()
    }

    fn aliases(&self, item: &Item) -> Result<Vec<String>, Error> {
        let aliases = self.strings("aliases", item)?;
        if aliases.iter().any(|alias| Pattern::is_pattern(alias)) {
            return Err(self.wrong(
                "aliases",
                item,
                "must not have patterns; write those as model",
            ));
        }
        Ok(aliases)
    }

    fn windows(&self, item: &Item) -> Result<Vec<Window>, Error> {
        let windows = self.strings("off_peak", item)?.into_iter();
        windows
            .map(|text| {
                Window::parse(&text).map_err(|problem| self.wrong("off_peak", item, problem))
            })
            .collect()
    }

    fn factors(&self, item: &Item) -> Result<Vec<(String, Factor)>, Error> {
        let table = self.table("also_at", item)?;
        if table.len() > MAX_LIST {
            return Err(self.wrong(
                "also_at",
                item,
                &format!("must have at most {MAX_LIST} providers"),
            ));
        }
        let factor = |(name, item): (&str, &Item)| {
            let name = self.provider("also_at", &toml_edit::value(name))?;
            Ok((name, self.factor("also_at", item)?))
        };
        table.iter().map(factor).collect()
    }

    /// Steps by prompt length; what a step does not price is priced as below it.
    fn steps(&self, item: &Item, base: &Rates) -> Result<Vec<Step>, Error> {
        let mut steps: Vec<Step> = Vec::new();
        for (table, at) in self.tables("above", item)? {
            let limit = table.get("prompt_tokens").and_then(Item::as_integer);
            let above = limit.and_then(|limit| u64::try_from(limit).ok()).ok_or_else(|| {
                self.error(at, "above needs prompt_tokens, the longest prompt of the lower price")
            })?;
            let below = steps.last().map_or(base, |step| &step.rates);
            let rates = self.rates("above", table, &["prompt_tokens"])?.or(below);
            if steps.last().is_some_and(|last| last.above >= above) || steps.len() == MAX_LIST {
                return Err(self.error(at, "above must be in ascending order of prompt_tokens"));
            }
            steps.push(Step { above, rates });
        }
        Ok(steps)
    }

    fn rates(&self, of: &str, table: &dyn TableLike, others: &[&str]) -> Result<Rates, Error> {
        let mut rates = Rates::default();
        for (key, item) in table.iter().filter(|(key, _)| !others.contains(key)) {
            let dimension = Dimension::of(key);
            let dimension = dimension.ok_or_else(|| {
                self.unknown(
                    key,
                    item,
                    &format!("the prices of {of}, and {}", others.join(" and ")),
                )
            })?;
            rates.set(dimension, self.amount(dimension, item)?);
        }
        Ok(rates)
    }

    /// A tier: the standard prices times `factor`, and its own instead of them.
    fn tier(&self, name: &str, item: &Item, standard: &Tariff) -> Result<Tariff, Error> {
        let known = tier_name(name, &mut [0; 64]).is_some_and(|canonical| canonical == name);
        if !known {
            return Err(self.wrong("tier", item, &format!(
                "{name:?} must be the name that responses have, in lower case and with _: batch, flex, priority"
            )));
        }
        let table = self.table(name, item)?;
        let own = self.rates(name, table, &["factor", "above"])?;
        let factor = table.get("factor").map(|item| self.factor("factor", item)).transpose()?;
        let above = table.get("above");
        if factor.is_none() && above.is_none() && !standard.steps.is_empty() {
            return Err(self.wrong(
                name,
                item,
                "must say factor or above, since the price has above",
            ));
        }
        let scaled = standard.times(factor.unwrap_or(Factor::ONE));
        let mut tariff =
            scaled.map_err(|(dimension, problem)| self.wrong(dimension.key(), item, problem))?;
        tariff.base = own.or(&tariff.base);
        if let Some(above) = above {
            tariff.steps = self.steps(above, &tariff.base)?;
        }
        Ok(tariff)
    }

    fn check(&self, entry: &Entry, at: usize) -> Result<(), Error> {
        let problem = if entry.standard.base.is_empty() {
            "has no price; write at least one, or 0 if it costs nothing"
        } else if entry.tiers.len() > MAX_LIST {
            "has too many tiers"
        } else if matches!(entry.validity, Validity { from: Some(from), until: Some(until) } if from >= until)
        {
            "ends before it begins; until is the first day on which it no longer holds"
        } else if entry.off_peak.is_empty() == entry.tiers.iter().any(|(name, _)| name == OFF_PEAK)
        {
            "has off_peak without tier.off_peak, or the reverse; write both"
        } else {
            return Ok(());
        };
        Err(self.error(at, problem))
    }

    /// The same entry for another provider, at a factor.
    fn variant(
        &self,
        entry: &Entry,
        provider: String,
        factor: Factor,
        at: usize,
    ) -> Result<Entry, Error> {
        let scaled = |tariff: &Tariff| {
            tariff.times(factor).map_err(|(dimension, problem)| {
                self.error(at, format!("also_at: {} {problem}", dimension.key()))
            })
        };
        let tier = |(name, tariff): &(String, Tariff)| Ok((name.clone(), scaled(tariff)?));
        Ok(Entry {
            scope: Scope::Provider(provider),
            standard: scaled(&entry.standard)?,
            tiers: entry.tiers.iter().map(tier).collect::<Result<_, Error>>()?,
            ..entry.clone()
        })
    }
}

impl Tariff {
    fn times(&self, factor: Factor) -> Result<Self, (Dimension, &'static str)> {
        let step = |step: &Step| Ok(Step { above: step.above, rates: step.rates.times(factor)? });
        Ok(Self {
            base: self.base.times(factor)?,
            steps: self.steps.iter().map(step).collect::<Result<_, _>>()?,
        })
    }
}

fn start(item: &Item) -> usize {
    item.span().map_or(0, |span| span.start)
}

const KEYS: &str = "model, aliases, provider, upstream, from, until, above, tier, off_peak, also_at, source, date, note and the prices of docs/prices.md";
