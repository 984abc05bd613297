//! Counts times rates, exactly, with one rounding.

use crate::amount::Amount;
use crate::cost::{Counts, Reason, Request, Usage};
use crate::rates::{Dimension, Rates};

use Dimension::{
    AudioCompletion, AudioHour, AudioMinute, AudioPrompt, AudioSecond, CacheWrite, CacheWrite1h,
    CacheWrite12h, CachedAudioPrompt, CachedImagePrompt, CachedPrompt, Character, Completion, Hour,
    Image, ImageCompletion, ImagePrompt, Prompt, Reasoning, SearchUnit, ThinkingCompletion,
};

/// Nanoseconds of an hour: what every product is a multiple of, so that times, tokens and
/// parts of a search unit add up without a rounding between.
const UNIT: u128 = 3_600_000_000_000;

/// One nano-dollar in the units of a sum: femto-dollars times [`UNIT`].
const NANO: u128 = 1_000_000 * UNIT;

/// What a list says of a request.
pub(crate) struct Total {
    /// Cost in nano-dollars.
    pub(crate) nano_usd: u64,
    /// Cache saving in nano-dollars.
    pub(crate) cache_saving_nano_usd: i64,
    /// A count that is unknown, and whose cost is left out of an estimate.
    pub(crate) left_out: Option<Dimension>,
}

/// Cost and cache saving of a request.
pub(crate) fn total(rates: &Rates, request: &Request<'_>) -> Result<Total, Reason> {
    let mut sum = Sum { rates, total: 0, saving: 0, left_out: None };
    let usage = match request.counts {
        // These are seen in the request and the answer, not reported.
        Counts::NotReported => Usage {
            images: request.usage.images,
            characters: request.usage.characters,
            ..Usage::default()
        },
        _ => request.usage,
    };
    let partial = matches!(request.counts, Counts::Estimated | Counts::LowerBound);
    let tokens = sum.tokens(&usage, partial).and_then(|()| sum.others(&usage, request));
    tokens.map_err(|reason| match (request.counts, reason) {
        (Counts::NotReported, Reason::NoCount(_)) => Reason::NotReported,
        (_, reason) => reason,
    })?;
    let nano_usd = u64::try_from(half_up(sum.total)).map_err(|_| Reason::TooHigh)?;
    let half = NANO.cast_signed() / 2;
    let saving =
        sum.saving.checked_add(half).ok_or(Reason::TooHigh)?.div_euclid(NANO.cast_signed());
    let cache_saving_nano_usd = i64::try_from(saving).map_err(|_| Reason::TooHigh)?;
    Ok(Total { nano_usd, cache_saving_nano_usd, left_out: sum.left_out })
}

fn half_up(total: u128) -> u128 {
    total / NANO + u128::from(total % NANO >= NANO / 2)
}

struct Sum<'a> {
    rates: &'a Rates,
    total: u128,
    saving: i128,
    left_out: Option<Dimension>,
}

impl Sum<'_> {
    /// Adds `count` times a rate; `count` is in [`UNIT`]s of what is priced.
    fn add(
        &mut self,
        dimension: Dimension,
        rate: Option<Amount>,
        count: u128,
    ) -> Result<(), Reason> {
        if count == 0 {
            return Ok(());
        }
        // The price of a machine covers all that has no price of its own.
        let covered = self.rates.has(Hour).then_some(Amount::ZERO);
        let rate = rate.or(covered).ok_or(Reason::NotPriced(dimension))?;
        let product = rate.femto().checked_mul(count);
        let total = product.and_then(|product| self.total.checked_add(product));
        self.total = total.ok_or(Reason::TooHigh)?;
        Ok(())
    }

    fn add_tokens(
        &mut self,
        dimension: Dimension,
        rate: Option<Amount>,
        tokens: u64,
    ) -> Result<(), Reason> {
        self.add(dimension, rate, u128::from(tokens) * UNIT)
    }

    /// Adds tokens read from or written to a cache, and what that saved against `plain`.
    fn add_cache(
        &mut self,
        plain: Dimension,
        priced_as: &[Dimension],
        tokens: u64,
    ) -> Result<(), Reason> {
        let (rate, plain_rate) = (self.rates.first(priced_as), self.rates.given(plain));
        self.add_tokens(plain, rate, tokens)?;
        let (Some(rate), Some(plain_rate)) = (rate, plain_rate) else { return Ok(()) };
        let difference = plain_rate.femto().cast_signed() - rate.femto().cast_signed();
        let units = (u128::from(tokens) * UNIT).cast_signed();
        let saving =
            difference.checked_mul(units).and_then(|saving| self.saving.checked_add(saving));
        self.saving = saving.ok_or(Reason::TooHigh)?;
        Ok(())
    }

    /// Whether anything of some dimensions costs money.
    fn costs(&self, dimensions: &[Dimension]) -> bool {
        let rates = dimensions.iter().filter_map(|dimension| self.rates.given(*dimension));
        rates.into_iter().any(|rate| rate != Amount::ZERO)
    }

    /// A part that has a price of its own, if it has.
    fn part(&self, dimension: Dimension, tokens: Option<u64>) -> u64 {
        if self.rates.has(dimension) { tokens.unwrap_or(0) } else { 0 }
    }

    /// An image part: unknown is not none, since not every upstream's is recorded.
    fn image_part(
        &self,
        dimension: Dimension,
        plain: Dimension,
        tokens: Option<u64>,
        of: u64,
    ) -> Result<u64, Reason> {
        let apart =
            self.rates.has(dimension) && self.rates.given(dimension) != self.rates.given(plain);
        match tokens {
            None if apart && of > 0 => Err(Reason::NoCount(dimension)),
            tokens => Ok(self.part(dimension, tokens)),
        }
    }

    fn tokens(&mut self, usage: &Usage, partial: bool) -> Result<(), Reason> {
        const IN: [Dimension; 3] = [Prompt, AudioPrompt, ImagePrompt];
        const OUT: [Dimension; 5] =
            [Completion, ThinkingCompletion, Reasoning, AudioCompletion, ImageCompletion];
        let billed = usage.billed_prompt_tokens.or(usage.billed_completion_tokens).is_some();
        let prompt = usage.billed_prompt_tokens.or(usage.prompt_tokens);
        let completion = usage.billed_completion_tokens.or(usage.completion_tokens);
        // A blocked answer has no completion, and a total that is the prompt.
        let nothing = completion.is_none() && prompt.is_some() && prompt == usage.total_tokens;
        let completion = completion.or(nothing.then_some(0));
        // Embeddings and rerank: the total is the prompt.
        let total = usage.total_tokens.filter(|_| completion.is_none() && !self.costs(&OUT));
        let prompt = prompt.or(total);
        let nothing_known = prompt.is_none() && completion.is_none();
        let prompt = self.known(Prompt, prompt, &IN, partial && !nothing_known)?;
        let completion = self.known(Completion, completion, &OUT, partial && !nothing_known)?;
        if billed {
            // What is billed has no parts.
            self.add_tokens(Prompt, self.rates.given(Prompt), prompt)?;
            return self.add_tokens(Completion, self.rates.given(Completion), completion);
        }
        self.prompt(usage, prompt)?;
        self.completion(usage, completion)
    }

    /// A count that is known, or costs nothing, or is left out of an estimate.
    fn known(
        &mut self,
        dimension: Dimension,
        count: Option<u64>,
        priced: &[Dimension],
        partial: bool,
    ) -> Result<u64, Reason> {
        if count.is_none() && self.costs(priced) {
            if !partial {
                return Err(Reason::NoCount(dimension));
            }
            self.left_out = self.left_out.or(Some(dimension));
        }
        Ok(count.unwrap_or(0))
    }

    fn prompt(&mut self, usage: &Usage, prompt: u64) -> Result<(), Reason> {
        let long = [usage.cache_write_1h_tokens, usage.cache_write_12h_tokens];
        let [hour, half_day] = long.map(Option::unwrap_or_default);
        let long = minus(u64::MAX, &[hour, half_day]).map(|rest| u64::MAX - rest)?;
        let written = usage.cache_write_tokens.unwrap_or(long);
        let cached = usage.cached_prompt_tokens.unwrap_or(0);
        let audio = self.part(AudioPrompt, usage.audio_prompt_tokens);
        let image = self.image_part(ImagePrompt, Prompt, usage.image_prompt_tokens, prompt)?;
        let read = minus(prompt, &[written])?;
        let cached_audio = self.cached_part(
            [AudioPrompt, CachedAudioPrompt],
            [audio, cached, read],
            usage.cached_audio_prompt_tokens,
        )?;
        let cached_image = self.cached_part(
            [ImagePrompt, CachedImagePrompt],
            [image, cached, read],
            usage.cached_image_prompt_tokens,
        )?;
        let cached_text = minus(cached, &[cached_audio, cached_image])?;
        let text = minus(read, &[audio, image, cached_text])?;
        self.add_tokens(Prompt, self.rates.given(Prompt), text)?;
        self.add_tokens(
            AudioPrompt,
            self.rates.given(AudioPrompt),
            minus(audio, &[cached_audio])?,
        )?;
        self.add_tokens(
            ImagePrompt,
            self.rates.given(ImagePrompt),
            minus(image, &[cached_image])?,
        )?;
        self.add_cache(Prompt, &[CachedPrompt, Prompt], cached_text)?;
        self.add_cache(AudioPrompt, &[CachedAudioPrompt, AudioPrompt], cached_audio)?;
        self.add_cache(ImagePrompt, &[CachedImagePrompt, ImagePrompt], cached_image)?;
        self.add_cache(Prompt, &[CacheWrite, Prompt], minus(written, &[hour, half_day])?)?;
        self.add_cache(Prompt, &[CacheWrite1h, CacheWrite, Prompt], hour)?;
        self.add_cache(Prompt, &[CacheWrite12h, CacheWrite, Prompt], half_day)
    }

    /// How many tokens of a part were read from the cache: as reported, or where it can be
    /// nothing else, or where it makes no difference.
    fn cached_part(
        &self,
        [plain, cached_plain]: [Dimension; 2],
        [part, cached, read]: [u64; 3],
        reported: Option<u64>,
    ) -> Result<u64, Reason> {
        if part == 0 || cached == 0 {
            return Ok(0);
        }
        if let Some(reported) = reported {
            return Ok(reported);
        }
        let least = cached.saturating_sub(minus(read, &[part])?);
        let saved = |plain: Option<Amount>, cached: Option<Amount>| {
            plain
                .zip(cached)
                .map(|(plain, cached)| plain.femto().cast_signed() - cached.femto().cast_signed())
        };
        let of_part = saved(self.rates.given(plain), self.rates.first(&[cached_plain, plain]));
        let of_text = saved(self.rates.given(Prompt), self.rates.first(&[CachedPrompt, Prompt]));
        if least == part.min(cached) || of_part == of_text {
            return Ok(least);
        }
        Err(Reason::NoCount(cached_plain))
    }

    fn completion(&mut self, usage: &Usage, completion: u64) -> Result<(), Reason> {
        let thinks = usage.reasoning_tokens.is_some_and(|tokens| tokens > 0);
        let plain: &[Dimension] =
            if thinks { &[ThinkingCompletion, Completion] } else { &[Completion] };
        let reasoning = self.part(Reasoning, usage.reasoning_tokens);
        let audio = self.part(AudioCompletion, usage.audio_completion_tokens);
        let image = self.image_part(
            ImageCompletion,
            Completion,
            usage.image_completion_tokens,
            completion,
        )?;
        self.add_tokens(
            Completion,
            self.rates.first(plain),
            minus(completion, &[reasoning, audio, image])?,
        )?;
        self.add_tokens(Reasoning, self.rates.given(Reasoning), reasoning)?;
        self.add_tokens(AudioCompletion, self.rates.given(AudioCompletion), audio)?;
        self.add_tokens(ImageCompletion, self.rates.given(ImageCompletion), image)
    }

    /// What is not counted in tokens.
    fn others(&mut self, usage: &Usage, request: &Request<'_>) -> Result<(), Reason> {
        self.add(
            Dimension::Request,
            self.rates.given(Dimension::Request).or(Some(Amount::ZERO)),
            UNIT,
        )?;
        // Counted whether or not they are what is billed: most models that draw or speak
        // are billed by tokens.
        for (dimension, count) in [(Image, usage.images), (Character, usage.characters)] {
            let count = count.filter(|_| self.rates.has(dimension));
            self.counted(dimension, count.map(|count| u128::from(count) * UNIT))?;
        }
        let units = usage.search_units.map(millionths).transpose()?;
        self.counted(SearchUnit, units.map(|millionths| millionths * (UNIT / 1_000_000)))?;
        self.counted(
            Hour,
            request.duration.map(|time| time.as_nanos()).filter(|_| self.rates.has(Hour)),
        )?;
        let audio = usage.billed_audio.map(|time| time.as_nanos());
        let by_time = [(AudioSecond, 3600), (AudioMinute, 60), (AudioHour, 1)];
        let priced = by_time.into_iter().find(|(dimension, _)| self.rates.has(*dimension));
        let (dimension, parts) = priced.unwrap_or(by_time[0]);
        self.counted(dimension, audio.map(|nanoseconds| nanoseconds * parts))
    }

    fn counted(&mut self, dimension: Dimension, count: Option<u128>) -> Result<(), Reason> {
        match count {
            None if self.costs(&[dimension]) => Err(Reason::NoCount(dimension)),
            count => self.add(dimension, self.rates.given(dimension), count.unwrap_or(0)),
        }
    }
}

/// What is left of a count without its parts.
fn minus(whole: u64, parts: &[u64]) -> Result<u64, Reason> {
    let left = parts.iter().try_fold(whole, |left, part| left.checked_sub(*part));
    left.ok_or(Reason::Inconsistent)
}

/// Millionths of a number that upstreams write in decimal.
fn millionths(units: f64) -> Result<u128, Reason> {
    crate::amount::scaled(&format!("{units}"), 6).map_err(|_| Reason::Inconsistent)
}
