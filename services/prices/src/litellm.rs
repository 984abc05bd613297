//! From LiteLLM's `model_prices_and_context_window.json` to a price list.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::amount::Amount;
use crate::entry::{Entry, Name, Scope, Step, Tariff, Validity};
use crate::error::Place;
use crate::pattern::Pattern;
use crate::rates::{Dimension, Rates};

use Dimension::{
    AudioCompletion, AudioPrompt, AudioSecond, CacheWrite, CacheWrite1h, CacheWrite12h,
    CachedAudioPrompt, CachedImagePrompt, CachedPrompt, Character, Completion, Image,
    ImageCompletion, ImagePrompt, Prompt, Reasoning, SearchUnit,
};

/// Bytes of a file.
const MAX_FILE: usize = 16 << 20;
/// Bytes of a model's name.
const MAX_NAME: usize = 256;

/// What was made of LiteLLM's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The prices, as the text of a price list.
    pub toml: String,
    /// How many prices it has.
    pub prices: usize,
    /// What could not be carried over.
    pub left_out: Vec<LeftOut>,
}

/// Something of LiteLLM's data that has no place in a price list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Key of the model in the data.
    pub model: String,
    /// What was left out, and why.
    pub reason: String,
}

/// LiteLLM's data cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not LiteLLM's price data: {0}")]
pub struct ImportError(String);

/// The keys of prices for a token, and what they price.
const TOKENS: [(&str, Dimension); 11] = [
    ("input_cost_per_token", Prompt),
    ("cache_read_input_token_cost", CachedPrompt),
    ("cache_creation_input_token_cost", CacheWrite),
    ("output_cost_per_token", Completion),
    ("output_cost_per_reasoning_token", Reasoning),
    ("input_cost_per_audio_token", AudioPrompt),
    ("cache_read_input_audio_token_cost", CachedAudioPrompt),
    ("output_cost_per_audio_token", AudioCompletion),
    ("input_cost_per_image_token", ImagePrompt),
    ("cache_read_input_image_token_cost", CachedImagePrompt),
    ("output_cost_per_image_token", ImageCompletion),
];

/// Keys of long cache writes: the price above a prompt length has the length behind them.
const LONG_WRITES: [(&str, Dimension); 2] = [
    ("cache_creation_input_token_cost_above_1hr", CacheWrite1h),
    ("cache_creation_input_token_cost_above_12hr", CacheWrite12h),
];

/// Service tiers, and how their keys end.
const TIERS: [(&str, &str); 4] = [
    ("batch", "_batches"),
    ("flex", "_flex"),
    ("priority", "_priority"),
    ("ultrafast", "_ultrafast"),
];

/// Modes of models whose usage modash reads.
const PRICED_MODES: [&str; 12] = [
    "chat",
    "responses",
    "completion",
    "embedding",
    "rerank",
    "moderation",
    "realtime",
    "audio_transcription",
    "audio_speech",
    "image_generation",
    "image_edit",
    "",
];

/// LiteLLM's names of the providers that modash knows, and its own.
const PROVIDERS: [(&str, &str); 27] = [
    ("openai", "openai"),
    ("text-completion-openai", "openai"),
    ("anthropic", "anthropic"),
    ("gemini", "gemini"),
    ("azure", "azure"),
    ("azure_ai", "azure"),
    ("bedrock", "bedrock"),
    ("bedrock_converse", "bedrock"),
    ("bedrock_mantle", "bedrock-mantle"),
    ("mistral", "mistral"),
    ("codestral", "mistral"),
    ("deepseek", "deepseek"),
    ("xai", "xai"),
    ("groq", "groq"),
    ("cohere", "cohere"),
    ("cohere_chat", "cohere"),
    ("together_ai", "together"),
    ("fireworks_ai", "fireworks"),
    ("fireworks_ai-embedding-models", "fireworks"),
    ("perplexity", "perplexity"),
    ("openrouter", "openrouter"),
    ("moonshot", "moonshot"),
    ("zai", "zai"),
    ("dashscope", "dashscope"),
    ("cerebras", "cerebras"),
    ("voyage", "voyage"),
    ("jina_ai", "jina"),
];

/// Reads LiteLLM's price data, and writes what a price list can say of it.
///
/// Models of providers that modash does not know are bound to an upstream of LiteLLM's name
/// for the provider.
///
/// # Errors
/// The text is no JSON object of models.
pub fn import(json: &str) -> Result<Imported, ImportError> {
    if json.len() > MAX_FILE {
        return Err(ImportError(format!("the file is longer than {MAX_FILE} bytes")));
    }
    let data: BTreeMap<String, Value> =
        serde_json::from_str(json).map_err(|error| ImportError(error.to_string()))?;
    let mut import = Import::default();
    for (key, value) in data.iter().filter(|(key, _)| *key != "sample_spec") {
        let Value::Object(model) = value else {
            import.leave(key, "is no object");
            continue;
        };
        if let Err(reason) = import.model(key, model) {
            import.leave(key, reason);
        }
    }
    let head =
        "# Prices from LiteLLM's data. Check them: some are wrong, and new models come late.\n";
    let entries = import.entries.iter().map(ToString::to_string);
    let toml = std::iter::once(head.to_owned()).chain(entries).collect::<Vec<_>>().join("\n");
    Ok(Imported { toml, prices: import.entries.len(), left_out: import.left_out })
}

#[derive(Default)]
struct Import {
    entries: Vec<Entry>,
    left_out: Vec<LeftOut>,
    /// Which entry has a name.
    names: HashMap<(Scope, String), usize>,
}

impl Import {
    fn leave(&mut self, model: &str, reason: impl Into<String>) {
        self.left_out.push(LeftOut { model: model.to_owned(), reason: reason.into() });
    }

    fn model(&mut self, key: &str, model: &Map<String, Value>) -> Result<(), String> {
        let text = |name: &str| model.get(name).and_then(Value::as_str).unwrap_or_default();
        let (litellm, mode) = (text("litellm_provider"), text("mode"));
        if litellm.is_empty() {
            return Err("names no provider".to_owned());
        }
        if !PRICED_MODES.contains(&mode) {
            return Err(format!("the mode {mode:?} is not metered"));
        }
        let scope = scope(litellm)
            .ok_or("the provider's name has characters that a price list cannot have")?;
        let name = model_name(key, litellm);
        if is_regional(key, litellm) {
            return Err("is the price of a region, which a request does not show".to_owned());
        }
        if name.is_empty()
            || name.len() > MAX_NAME
            || Pattern::is_pattern(name)
            || name.chars().any(char::is_control)
        {
            return Err("the name cannot be that of a model".to_owned());
        }
        let mut read = Read { model, used: HashSet::new(), problems: Vec::new() };
        let standard = read.standard(mode);
        if standard.base.is_empty() {
            return Err("has no price that a price list can have".to_owned());
        }
        if standard.base.iter().all(|(_, amount)| amount == Amount::ZERO) {
            return Err(
                "costs 0, which may mean unknown; write it yourself if it is free".to_owned()
            );
        }
        let tiers = read.tiers(&standard);
        let entry = Entry {
            scope: scope.clone(),
            names: vec![Name::Exact(name.to_owned())],
            aliases: Vec::new(),
            validity: Validity::default(),
            standard,
            tiers,
            off_peak: Vec::new(),
            source: Some(format!("litellm: {}", key.chars().take(256).collect::<String>())),
            date: None,
            note: None,
            place: Place { file: Arc::from("litellm"), line: 0 },
        };
        let rest = read.rest();
        let problems = read.problems;
        if let Some(first) = self.names.get(&(scope.clone(), name.to_owned())) {
            let first = &self.entries[*first];
            let same = first.standard == entry.standard && first.tiers == entry.tiers;
            return if same {
                Ok(())
            } else {
                Err(format!("differs from {}", first.source.as_deref().unwrap_or_default()))
            };
        }
        self.names.insert((scope, name.to_owned()), self.entries.len());
        self.entries.push(entry);
        for problem in problems {
            self.leave(key, problem);
        }
        if !rest.is_empty() {
            self.leave(key, format!("has no place in a price list: {}", rest.join(", ")));
        }
        Ok(())
    }
}

/// One model, and which of its keys were carried over.
struct Read<'a> {
    model: &'a Map<String, Value>,
    used: HashSet<String>,
    problems: Vec<String>,
}

impl Read<'_> {
    /// Dollars for one unit, rounded to femto-dollars.
    fn amount(&mut self, key: &str) -> Option<Amount> {
        let number = self.model.get(key)?.as_f64()?;
        self.used.insert(key.to_owned());
        match Amount::parse(&format!("{number:.15}"), 1) {
            Ok(amount) => Some(amount),
            Err(problem) => {
                self.problems.push(format!("{key} {problem}"));
                None
            }
        }
    }

    fn rates(&mut self, step: &str, tier: &str) -> Rates {
        let mut rates = Rates::default();
        for (key, dimension) in TOKENS.into_iter().chain(LONG_WRITES) {
            if let Some(amount) = self.amount(&format!("{key}{step}{tier}")) {
                rates.set(dimension, amount);
            }
        }
        rates
    }

    fn standard(&mut self, mode: &str) -> Tariff {
        let mut base = self.rates("", "");
        if !base.has(Prompt) && !base.has(Completion)
            || base.iter().all(|(_, amount)| amount == Amount::ZERO)
        {
            let keys: &[(&str, Dimension)] = match mode {
                "audio_transcription" => &[("input_cost_per_second", AudioSecond)],
                "audio_speech" => &[("input_cost_per_character", Character)],
                "rerank" => &[("input_cost_per_query", SearchUnit)],
                "image_generation" | "image_edit" => {
                    &[("output_cost_per_image", Image), ("input_cost_per_image", Image)]
                }
                _ => &[],
            };
            let found = keys.iter().find_map(|(key, dimension)| {
                let amount = self.amount(key)?;
                (amount != Amount::ZERO).then_some((*dimension, amount))
            });
            if let Some((dimension, amount)) = found {
                base.set(dimension, amount);
            }
        }
        // All that these make is images, or audio: their completion has no text.
        let made = match mode {
            "image_generation" | "image_edit" if !base.has(Completion) => Some(ImageCompletion),
            "audio_speech" => Some(AudioCompletion),
            _ => None,
        };
        if let Some(amount) = made.and_then(|made| base.take(made)) {
            base.set(Completion, amount);
        }
        if let Some(amount) = self.amount("input_cost_per_request") {
            base.set(Dimension::Request, amount);
        }
        let mut tariff = Tariff { base, steps: Vec::new() };
        tariff.steps = self.steps(&base, "");
        tariff
    }

    /// `input_cost_per_token_above_200k_tokens` and the like.
    fn steps(&mut self, base: &Rates, tier: &str) -> Vec<Step> {
        let length = |key: &String| -> Option<u64> {
            let middle = key.strip_prefix("input_cost_per_token_above_")?.strip_suffix(tier)?;
            middle.strip_suffix("k_tokens")?.parse().ok().filter(|thousands| *thousands < 1_000_000)
        };
        let lengths: BTreeSet<u64> = self.model.keys().filter_map(length).collect();
        let (mut below, mut steps) = (*base, Vec::new());
        for thousands in lengths {
            let rates = self.rates(&format!("_above_{thousands}k_tokens"), tier).or(&below);
            steps.push(Step { above: thousands * 1000, rates });
            below = rates;
        }
        steps
    }

    /// Tiers with a price for a prompt token. What a tier leaves out changes like the prompt.
    fn tiers(&mut self, standard: &Tariff) -> Vec<(String, Tariff)> {
        let mut tiers = Vec::new();
        for (name, suffix) in TIERS {
            let own = self.rates("", suffix);
            let Some(prompt) = own.given(Prompt) else { continue };
            let like_prompt = standard.base.scaled_like(Prompt, prompt);
            let Some(scaled) = like_prompt else {
                self.problems.push(format!("the tier {name} has no price for everything"));
                continue;
            };
            let base = own.or(&scaled);
            let mut steps = self.steps(&base, suffix);
            if steps.is_empty() {
                let step = |step: &Step| {
                    let prompt =
                        step.rates.given(Prompt)?.ratio_of(standard.base.given(Prompt)?, prompt)?;
                    Some(Step { above: step.above, rates: step.rates.scaled_like(Prompt, prompt)? })
                };
                let Some(scaled) = standard.steps.iter().map(step).collect() else {
                    self.problems.push(format!("the tier {name} has no price for long prompts"));
                    continue;
                };
                steps = scaled;
            }
            tiers.push((name.to_owned(), Tariff { base, steps }));
        }
        tiers
    }

    /// Keys with prices that were not carried over.
    fn rest(&self) -> Vec<String> {
        let is_price = |key: &str| {
            key.contains("cost_per")
                || key.contains("_cost")
                || key.contains("pricing")
                || key.contains("multiplier")
        };
        let is_nothing = |value: &Value| value.as_f64() == Some(0.0) || value.is_null();
        let rest = self.model.iter().filter(|(key, value)| {
            is_price(key) && !self.used.contains(*key) && !is_nothing(value)
        });
        rest.map(|(key, _)| key.clone()).collect()
    }
}

fn scope(litellm: &str) -> Option<Scope> {
    if litellm.starts_with("vertex_ai") {
        return Some(Scope::Provider("vertex".to_owned()));
    }
    let known = PROVIDERS.iter().find(|(name, _)| *name == litellm);
    if let Some((_, provider)) = known {
        return Some(Scope::Provider((*provider).to_owned()));
    }
    let fits = litellm.len() <= MAX_NAME && !litellm.chars().any(char::is_control);
    fits.then(|| Scope::Upstream(litellm.to_owned()))
}

/// The name of a model without LiteLLM's name for its provider before it.
fn model_name<'a>(key: &'a str, litellm: &str) -> &'a str {
    let provider = if litellm.starts_with("vertex_ai") { "vertex_ai" } else { litellm };
    let prefixes = [provider, "fireworks_ai", "text-completion-codestral", "cohere"];
    let stripped = prefixes.iter().find_map(|prefix| key.strip_prefix(prefix)?.strip_prefix('/'));
    stripped.unwrap_or(key)
}

/// Keys such as `azure/eu/gpt-4o` and `bedrock/us-east-1/…`.
fn is_regional(key: &str, litellm: &str) -> bool {
    matches!(litellm, "azure" | "bedrock" | "bedrock_converse" | "bedrock_mantle")
        && model_name(key, litellm).contains('/')
}
