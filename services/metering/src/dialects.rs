//! One file for each family of dialects.

pub(crate) mod anthropic;
pub(crate) mod any;
pub(crate) mod bedrock;
pub(crate) mod cohere;
pub(crate) mod gemini;
pub(crate) mod gemini_interactions;
pub(crate) mod llamacpp;
pub(crate) mod lmstudio;
pub(crate) mod ollama;
pub(crate) mod openai;
pub(crate) mod openai_media;
pub(crate) mod openai_vectors;
pub(crate) mod responses;
pub(crate) mod tgi;
pub(crate) mod unknown;
