//! The prices that are in force, and what a request costs by them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use modash_prices::{Cost, Counts, PriceList, Request, Source, Usage, provider_of};
use modash_proto::{
    micros_from_duration, micros_from_timestamp,
    v1::{CostSource, Outcome, RequestCost, UsageEvent, UsageSource},
};
use modash_runtime::WatchedFiles;

/// Largest file of prices in bytes.
const MAX_FILE: u64 = 4 << 20;

/// The built-in prices, and above them those of a file, which is read again when it
/// changes. One that has become unreadable changes nothing.
#[derive(Debug, Clone)]
pub struct Prices {
    list: Arc<WatchedFiles<PriceList>>,
    from_file: bool,
}

impl Default for Prices {
    fn default() -> Self {
        Self::fixed(PriceList::built_in())
    }
}

impl Prices {
    /// With those of a file.
    ///
    /// # Errors
    /// If the file cannot be read, or has a mistake; says where.
    pub fn from_file(path: PathBuf) -> Result<Self, String> {
        let paths = vec![path.clone()];
        let watched = WatchedFiles::new("the prices", paths, move || read(&path))?;
        Ok(Self { list: Arc::new(watched), from_file: true })
    }

    fn fixed(list: PriceList) -> Self {
        let list = Arc::new(WatchedFiles::constant("the prices", list));
        Self { list, from_file: false }
    }

    /// Where no file says otherwise, those of a text of the same form above the built-in
    /// ones. `name`: where the text is.
    ///
    /// # Errors
    /// If the text has a mistake; says where.
    pub fn or(self, name: &str, text: &str) -> Result<Self, String> {
        if self.from_file {
            return Ok(self);
        }
        let own = PriceList::parse([(name, text)]).map_err(|error| error.to_string())?;
        Ok(Self::fixed(PriceList::built_in().overlaid_by(&own)))
    }

    /// Those of now.
    pub(crate) fn now(&self) -> PriceList {
        self.list.get()
    }
}

fn read(path: &PathBuf) -> Result<PriceList, String> {
    let shown = path.display();
    let problem = |error: std::io::Error| format!("{shown} cannot be read: {error}");
    let length = std::fs::metadata(path).map_err(problem)?.len();
    if length > MAX_FILE {
        return Err(format!("{shown} has {length} bytes; a file of prices has at most {MAX_FILE}"));
    }
    let text = std::fs::read_to_string(path).map_err(problem)?;
    let name = shown.to_string();
    let own =
        PriceList::parse([(name.as_str(), text.as_str())]).map_err(|error| error.to_string())?;
    Ok(PriceList::built_in().overlaid_by(&own))
}

/// Works out what a request cost, with the host of its upstream if that is known.
pub(crate) fn price(prices: &PriceList, event: &mut UsageEvent, host: Option<&str>) {
    let provider = provider_of(host, &event.upstream, &event.dialect);
    event.cost = Some(cost(prices, event, provider));
}

/// What a request cost whose provider is known, or is none.
pub(crate) fn cost(prices: &PriceList, event: &UsageEvent, provider: Option<&str>) -> RequestCost {
    let found = prices.cost(&request(event, provider));
    let not_due = counts(event, provider) == Counts::NotDue && found.source != Source::Upstream;
    let by_list = found.source != Source::Upstream && found.nano_usd.is_some();
    RequestCost {
        source: if not_due { CostSource::NotDue } else { source(found.source) }.into(),
        nano_usd: found.nano_usd.filter(|_| !not_due),
        cache_saving_nano_usd: saving(event, &found),
        provider: provider.map(str::to_owned),
        price_version: (by_list && !not_due).then(|| prices.version().to_owned()),
    }
}

fn request<'a>(event: &'a UsageEvent, provider: Option<&'a str>) -> Request<'a> {
    let started_at = event.started_at.as_ref().and_then(micros_from_timestamp);
    let started_at = started_at.and_then(DateTime::<Utc>::from_timestamp_micros);
    Request {
        provider,
        model: event.model.as_deref(),
        model_requested: event.model_requested.as_deref(),
        service_tier: event.service_tier.as_deref(),
        duration: duration(event.duration.as_ref()),
        counts: counts(event, provider),
        usage: Usage {
            prompt_tokens: event.prompt_tokens,
            cached_prompt_tokens: event.cached_prompt_tokens,
            cache_write_tokens: event.cache_write_tokens,
            cache_write_1h_tokens: event.cache_write_1h_tokens,
            completion_tokens: event.completion_tokens,
            reasoning_tokens: event.reasoning_tokens,
            audio_prompt_tokens: event.audio_prompt_tokens,
            audio_completion_tokens: event.audio_completion_tokens,
            cached_audio_prompt_tokens: event.cached_audio_prompt_tokens,
            image_prompt_tokens: event.image_prompt_tokens,
            cached_image_prompt_tokens: event.cached_image_prompt_tokens,
            image_completion_tokens: event.image_completion_tokens,
            images: event.images,
            characters: event.characters,
            total_tokens: event.total_tokens,
            billed_prompt_tokens: event.billed_prompt_tokens,
            billed_completion_tokens: event.billed_completion_tokens,
            billed_audio: duration(event.billed_audio.as_ref()),
            search_units: event.search_units,
            ..Usage::default()
        },
        upstream_cost_usd: event.upstream_cost_usd,
        ..Request::new(&event.upstream, started_at.unwrap_or_default())
    }
}

fn duration(value: Option<&prost_types::Duration>) -> Option<Duration> {
    let micros = micros_from_duration(value?)?;
    u64::try_from(micros).ok().map(Duration::from_micros)
}

fn counts(event: &UsageEvent, provider: Option<&str>) -> Counts {
    match event.usage_source() {
        UsageSource::Unspecified | UsageSource::NotReported if was_refused(event, provider) => {
            Counts::NotDue
        }
        UsageSource::Upstream => Counts::Reported,
        UsageSource::UpstreamPartial => Counts::LowerBound,
        UsageSource::Estimated => Counts::Estimated,
        UsageSource::NotDue => Counts::NotDue,
        UsageSource::Unspecified | UsageSource::NotReported | UsageSource::Unparseable => {
            Counts::NotReported
        }
    }
}

/// Statuses of requests that were refused before anything was done for them: for who asks,
/// what for, how often, or since there is no credit or no capacity.
const REFUSED: [u32; 9] = [401, 402, 403, 404, 405, 415, 429, 503, 529];

/// Further ones: the request itself is wrong. Azure bills some of them, those that a filter
/// refuses or that are too long ("HTTP Error response code and billing status" of its page
/// on managing costs).
const WRONG: [u32; 3] = [400, 413, 422];

/// Whether nothing was done for a request, so that nobody bills it.
fn was_refused(event: &UsageEvent, provider: Option<&str>) -> bool {
    let status = event.status.unwrap_or_default();
    event.known_outcome() == Outcome::HttpError
        && (REFUSED.contains(&status) || WRONG.contains(&status) && provider != Some("azure"))
}

fn source(source: Source) -> CostSource {
    match source {
        Source::Upstream => CostSource::Upstream,
        Source::Table => CostSource::Table,
        Source::Estimated => CostSource::Estimated,
        Source::Unknown => CostSource::Unknown,
    }
}

/// Absent where no cache was used, which spares the row eight bytes.
fn saving(event: &UsageEvent, cost: &Cost) -> Option<i64> {
    let used = |tokens: Option<u64>| tokens.is_some_and(|tokens| tokens > 0);
    let cached = used(event.cached_prompt_tokens) || used(event.cache_write_tokens);
    (cached && cost.cache_saving_nano_usd != 0).then_some(cost.cache_saving_nano_usd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source_of(status: u32, outcome: Outcome, upstream: &str) -> CostSource {
        let mut event = UsageEvent {
            status: Some(status),
            outcome: outcome.into(),
            upstream: upstream.to_owned(),
            model: Some("gpt-5".to_owned()),
            usage_source: UsageSource::NotReported.into(),
            started_at: Some(modash_proto::timestamp_from_micros(1_795_441_353_000_000)),
            ..UsageEvent::default()
        };
        price(&PriceList::built_in(), &mut event, None);
        event.cost.unwrap_or_default().source()
    }

    #[test]
    fn what_was_refused_before_anything_was_done_costs_nothing() {
        for status in [400, 401, 402, 403, 404, 422, 429, 503, 529] {
            let source = source_of(status, Outcome::HttpError, "openai");
            assert_eq!(source, CostSource::NotDue, "{status}");
        }
        for status in [408, 500, 502, 504] {
            let source = source_of(status, Outcome::HttpError, "openai");
            assert_eq!(source, CostSource::Unknown, "{status}");
        }
        assert_eq!(source_of(400, Outcome::HttpError, "azure"), CostSource::Unknown);
        assert_eq!(source_of(429, Outcome::HttpError, "azure"), CostSource::NotDue);
        assert_eq!(source_of(200, Outcome::Ok, "openai"), CostSource::Unknown);
    }
}
