//! One file for each family of dialects.

pub(crate) mod anthropic;
pub(crate) mod openai;
pub(crate) mod unknown;
