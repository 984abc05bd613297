//! How the counts of several events become one set.

use crate::reading::Tokens;
use crate::usage::{COUNTS, Count, PARTED, Usage, sum, sum_parts};

impl Usage {
    /// Takes a later set of the same response. Per count, a later number replaces
    /// an earlier one, but 0 nothing positive (spec 1.4); the prompt and the parts
    /// of it that a cache took are one statement.
    pub(crate) fn merge(&mut self, later: &Self) {
        if self.is_empty() {
            *self = *later;
            return;
        }
        let prompt = self.get(Count::Prompt);
        let cache = self.known(Count::Cached) + self.known(Count::CacheWrite);
        let later_cache = later.known(Count::Cached) + later.known(Count::CacheWrite);
        match later.get(Count::Prompt) {
            // Servers that first name the whole prompt as input, and at the end the
            // part that came from a cache (DashScope).
            None if later_cache > 0 && prompt.is_some() && cache == 0 => self.cache_apart = false,
            None if prompt.is_none() => self.cache_apart |= later.cache_apart,
            None => {}
            // All of it came from a cache, or the count was left out.
            Some(0) if later_cache > 0 && later.whole() >= self.whole() => self.take_input(later),
            Some(0) => {}
            // A prompt without a word about caches changes no earlier word about them.
            Some(_) if later_cache > 0 || !self.cache_apart => self.take_input(later),
            Some(_) => {}
        }
        if self.known & PARTED != 0 {
            self.forget_parts(later);
        }
        let mut bits = later.known;
        while bits != 0 {
            let bit = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            let is_new = self.known >> bit & 1 == 0;
            match bit.checked_sub(COUNTS) {
                None if is_new || later.counts[bit] > 0 => self.counts[bit] = later.counts[bit],
                Some(bit) if is_new || later.amounts[bit] > 0.0 => {
                    self.amounts[bit] = later.amounts[bit];
                }
                _ => {}
            }
        }
        self.known |= later.known;
        self.reasoning_apart |= later.reasoning_apart;
    }

    /// Forgets the parts of wholes that a later set states anew, and without them.
    fn forget_parts(&mut self, later: &Self) {
        for (part, whole) in Count::PARTS {
            let anew = later.known(whole) > 0 && later.get(whole) != self.get(whole);
            if anew && later.get(part).is_none() {
                self.set(part, None);
            }
        }
    }

    /// All of the prompt, wherever it came from.
    fn whole(&self) -> u64 {
        let cache = self.known(Count::Cached) + self.known(Count::CacheWrite);
        self.known(Count::Prompt) + if self.cache_apart { cache } else { 0 }
    }

    /// The prompt with its parts, as another set has them.
    fn take_input(&mut self, other: &Self) {
        for kind in [Count::Prompt, Count::Cached, Count::CacheWrite] {
            if other.get(kind).is_some() {
                self.set(kind, other.get(kind));
            }
        }
        self.cache_apart = other.cache_apart;
    }

    /// Joins the counts of another answer to the same prompt.
    pub(crate) fn join(&mut self, other: &Self) {
        let parts = [Count::Completion, Count::Reasoning, Count::AudioCompletion];
        let sums = parts.map(|kind| sum(self.get(kind), other.get(kind)));
        let images = self.sum_parts(other, Count::ImageCompletion, Count::Completion);
        self.merge(other);
        for (kind, sum) in parts.into_iter().zip(sums) {
            self.set(kind, sum);
        }
        self.set(Count::ImageCompletion, images);
    }

    fn sum_parts(&self, other: &Self, part: Count, whole: Count) -> Option<u64> {
        let of = |usage: &Self| (usage.get(part), usage.get(whole));
        sum_parts(of(self), of(other))
    }

    /// Adds a set of counts of another answer.
    pub(crate) fn add(&mut self, other: &Self) {
        let parts = Count::PARTS.map(|(part, whole)| (part, self.sum_parts(other, part, whole)));
        for kind in Count::ALL {
            self.set(kind, sum(self.get(kind), other.get(kind)));
        }
        for (part, sum) in parts {
            self.set(part, sum);
        }
        self.cache_apart |= other.cache_apart;
        self.reasoning_apart |= other.reasoning_apart;
    }

    /// Takes the counts of a sum, and leaves the rest.
    pub(crate) fn replace_counts(&mut self, sum: &Self) {
        for kind in Count::ALL {
            self.set(kind, sum.get(kind));
        }
        self.cache_apart = sum.cache_apart;
        self.reasoning_apart = sum.reasoning_apart;
    }
}

impl Tokens {
    /// Adds the counts of another answer.
    pub(crate) fn add(&mut self, other: &Self) {
        // Before their wholes are added up.
        let cached = (self.cached_prompt, other.cached_prompt);
        let prompt = (self.prompt, other.prompt);
        let completion = (self.completion, other.completion);
        for (old, new, (whole, new_whole)) in [
            (&mut self.cached_audio_prompt, other.cached_audio_prompt, cached),
            (&mut self.image_prompt, other.image_prompt, prompt),
            (&mut self.cached_image_prompt, other.cached_image_prompt, cached),
            (&mut self.image_completion, other.image_completion, completion),
        ] {
            *old = sum_parts((*old, whole), (new, new_whole));
        }
        for (old, new) in [
            (&mut self.prompt, other.prompt),
            (&mut self.cached_prompt, other.cached_prompt),
            (&mut self.cache_write, other.cache_write),
            (&mut self.cache_write_1h, other.cache_write_1h),
            (&mut self.completion, other.completion),
            (&mut self.reasoning, other.reasoning),
            (&mut self.audio_prompt, other.audio_prompt),
            (&mut self.audio_completion, other.audio_completion),
            (&mut self.total, other.total),
            (&mut self.billed_prompt, other.billed_prompt),
            (&mut self.billed_completion, other.billed_completion),
        ] {
            *old = sum(*old, new);
        }
        if let Some(part) = other.billed_audio {
            self.billed_audio = Some(self.billed_audio.unwrap_or_default().saturating_add(part));
        }
        for (old, new) in [
            (&mut self.search_units, other.search_units),
            (&mut self.upstream_cost_usd, other.upstream_cost_usd),
        ] {
            if let Some(new) = new {
                *old = Some(old.unwrap_or(0.0) + new);
            }
        }
    }
}
