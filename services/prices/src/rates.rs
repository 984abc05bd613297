//! What is priced: the dimensions that providers bill, and a price for each.

use crate::amount::{Amount, Factor};

macro_rules! dimensions {
    ($($(#[$doc:meta])* $name:ident = $key:literal per $units:literal;)*) => {
        /// Something that a provider bills.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Dimension { $($(#[$doc])* $name),* }

        impl Dimension {
            /// All dimensions, in the order in which a price list shows them.
            pub const ALL: [Self; COUNT] = [$(Self::$name),*];

            /// Its key in a price list.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self { $(Self::$name => $key),* }
            }

            /// How many units the number in a price list is for: 1,000,000 for tokens.
            #[must_use]
            pub const fn units(self) -> u64 {
                match self { $(Self::$name => $units),* }
            }
        }

        const COUNT: usize = [$($key),*].len();
    };
}

dimensions! {
    /// Tokens of the prompt that no other dimension prices.
    Prompt = "prompt" per 1_000_000;
    /// Prompt tokens read from a cache. Without a price: as `prompt`.
    CachedPrompt = "cached_prompt" per 1_000_000;
    /// Prompt tokens written to a cache. Without a price: as `prompt`.
    CacheWrite = "cache_write" per 1_000_000;
    /// Prompt tokens written to a cache for one hour. Without a price: as `cache_write`.
    CacheWrite1h = "cache_write_1h" per 1_000_000;
    /// Prompt tokens written to a cache for twelve hours. Without a price: as `cache_write`.
    CacheWrite12h = "cache_write_12h" per 1_000_000;
    /// Tokens of the completion that no other dimension prices.
    Completion = "completion" per 1_000_000;
    /// All tokens of a completion that has reasoning in it. Without a price: as `completion`.
    ThinkingCompletion = "thinking_completion" per 1_000_000;
    /// Reasoning part of the completion. Without a price: as the rest of it.
    Reasoning = "reasoning" per 1_000_000;
    /// Audio part of the prompt. Without a price: as `prompt`.
    AudioPrompt = "audio_prompt" per 1_000_000;
    /// Audio part of the prompt read from a cache. Without a price: as `audio_prompt`.
    CachedAudioPrompt = "cached_audio_prompt" per 1_000_000;
    /// Audio part of the completion. Without a price: as `completion`.
    AudioCompletion = "audio_completion" per 1_000_000;
    /// Image part of the prompt. Without a price: as `prompt`.
    ImagePrompt = "image_prompt" per 1_000_000;
    /// Image part of the prompt read from a cache. Without a price: as `image_prompt`.
    CachedImagePrompt = "cached_image_prompt" per 1_000_000;
    /// Image part of the completion. Without a price: as `completion`.
    ImageCompletion = "image_completion" per 1_000_000;
    /// A request.
    Request = "request" per 1;
    /// An image that was made.
    Image = "image" per 1;
    /// A second of audio.
    AudioSecond = "audio_second" per 1;
    /// A minute of audio.
    AudioMinute = "audio_minute" per 1;
    /// An hour of audio.
    AudioHour = "audio_hour" per 1;
    /// A character of text that was spoken.
    Character = "character" per 1_000_000;
    /// A search unit (rerank).
    SearchUnit = "search_unit" per 1;
    /// An hour of the machine, by the duration of the request.
    Hour = "per_hour" per 1;
}

impl Dimension {
    /// The dimension of a key.
    #[must_use]
    pub fn of(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dimension| dimension.key() == key)
    }
}

/// A price for each dimension, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rates([Option<Amount>; COUNT]);

impl Rates {
    /// The price of a dimension as the list has it.
    pub(crate) fn given(&self, dimension: Dimension) -> Option<Amount> {
        self.0[dimension as usize]
    }

    /// Whether a dimension has a price of its own.
    pub(crate) fn has(&self, dimension: Dimension) -> bool {
        self.given(dimension).is_some()
    }

    /// The first of some dimensions that has a price.
    pub(crate) fn first(&self, dimensions: &[Dimension]) -> Option<Amount> {
        dimensions.iter().find_map(|dimension| self.given(*dimension))
    }

    /// Sets the price of a dimension.
    pub(crate) fn set(&mut self, dimension: Dimension, amount: Amount) {
        self.0[dimension as usize] = Some(amount);
    }

    /// Removes the price of a dimension.
    pub(crate) fn take(&mut self, dimension: Dimension) -> Option<Amount> {
        self.0[dimension as usize].take()
    }

    /// The dimensions that have a price, with it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Dimension, Amount)> + '_ {
        Dimension::ALL.into_iter().filter_map(|dimension| Some((dimension, self.given(dimension)?)))
    }

    /// Whether no dimension has a price.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// These prices, and those of `base` where there is none.
    pub(crate) fn or(&self, base: &Self) -> Self {
        let mut rates = *base;
        for (dimension, amount) in self.iter() {
            rates.set(dimension, amount);
        }
        rates
    }

    /// Every price times a factor.
    pub(crate) fn times(&self, factor: Factor) -> Result<Self, (Dimension, &'static str)> {
        let mut rates = Self::default();
        for (dimension, amount) in self.iter() {
            rates.set(dimension, amount.times(factor).map_err(|problem| (dimension, problem))?);
        }
        Ok(rates)
    }

    /// Every price changed as that of `dimension` changes to `amount`, if all of them have
    /// an exact form.
    pub(crate) fn scaled_like(&self, dimension: Dimension, amount: Amount) -> Option<Self> {
        let base = self.given(dimension)?;
        let mut rates = Self::default();
        for (dimension, price) in self.iter() {
            rates.set(dimension, price.ratio_of(base, amount)?);
        }
        Some(rates)
    }
}
