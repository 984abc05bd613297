//! The prices that modash comes with.

use std::sync::LazyLock;

use crate::list::PriceList;

/// Version and digest of the files, see `prices/VERSION`.
const VERSION: &str = include_str!("../../../prices/VERSION");

macro_rules! files {
    ($($name:literal)*) => {
        /// The files of `prices`.
        const FILES: &[(&str, &str)] = &[$((
            concat!("prices/", $name, ".toml"),
            include_str!(concat!("../../../prices/", $name, ".toml")),
        )),*];
    };
}

files! { "anthropic" "azure" "bedrock-mantle" "bedrock" "cerebras" "cohere" "dashscope" "deepinfra" "deepseek" "fireworks" "google" "groq" "jina" "minimax" "mistral" "moonshot" "openai" "openrouter" "perplexity" "sambanova" "together" "vertex" "voyage" "xai" "zai" }

static BUILT_IN: LazyLock<PriceList> = LazyLock::new(|| {
    let version = VERSION.lines().next().unwrap_or_default();
    match PriceList::parse(FILES.iter().copied()) {
        Ok(list) => list.named(version),
        Err(error) => unreachable!("a test reads the built-in prices: {error}"),
    }
});

impl PriceList {
    /// The prices that modash comes with, read once.
    #[must_use]
    pub fn built_in() -> Self {
        BUILT_IN.clone()
    }

    /// Names and texts of the files that [`built_in`](Self::built_in) is made of.
    #[must_use]
    pub fn built_in_files() -> &'static [(&'static str, &'static str)] {
        FILES
    }
}
