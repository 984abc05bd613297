//! The dialects by name, and what their operations are.

/// Wire dialect of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI chat completions.
    OpenAiChat,
    /// OpenAI legacy completions.
    OpenAiCompletions,
    /// OpenAI Responses.
    OpenAiResponses,
    /// OpenAI embeddings.
    OpenAiEmbeddings,
    /// OpenAI transcriptions and translations.
    OpenAiAudioTranscription,
    /// OpenAI speech.
    OpenAiAudioSpeech,
    /// OpenAI images.
    OpenAiImages,
    /// OpenAI moderations.
    OpenAiModerations,
    /// OpenAI realtime over WebSocket.
    OpenAiRealtime,
    /// Anthropic messages.
    AnthropicMessages,
    /// Anthropic token counting.
    AnthropicCountTokens,
    /// Gemini and Vertex content generation.
    GeminiGenerate,
    /// Amazon Bedrock converse.
    BedrockConverse,
    /// Amazon Bedrock invoke.
    BedrockInvoke,
    /// Ollama chat.
    OllamaChat,
    /// Ollama generate.
    OllamaGenerate,
    /// Ollama embed.
    OllamaEmbed,
    /// LM Studio native chat.
    LmStudioChat,
    /// Cohere chat.
    CohereChat,
    /// Reranking of several vendors.
    Rerank,
    /// llama.cpp native completion.
    LlamaCppCompletion,
    /// Text Generation Inference.
    TgiGenerate,
    /// None of these.
    Unknown,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A conversation turn.
    Chat,
    /// Plain text completion.
    Completion,
    /// Embeddings.
    Embedding,
    /// Reranking of documents.
    Rerank,
    /// Moderation.
    Moderation,
    /// Speech to text.
    Transcription,
    /// Text to speech.
    Speech,
    /// Image generation or edit.
    Image,
    /// A realtime session.
    Realtime,
    /// Counting tokens, which consumes none.
    CountTokens,
    /// Anything else.
    Other,
}

impl Dialect {
    /// Stable id, as recorded: `openai-chat`, ..., `unknown`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai-chat",
            Self::OpenAiCompletions => "openai-completions",
            Self::OpenAiResponses => "openai-responses",
            Self::OpenAiEmbeddings => "openai-embeddings",
            Self::OpenAiAudioTranscription => "openai-audio-transcription",
            Self::OpenAiAudioSpeech => "openai-audio-speech",
            Self::OpenAiImages => "openai-images",
            Self::OpenAiModerations => "openai-moderations",
            Self::OpenAiRealtime => "openai-realtime",
            Self::AnthropicMessages => "anthropic-messages",
            Self::AnthropicCountTokens => "anthropic-count-tokens",
            Self::GeminiGenerate => "gemini-generate",
            Self::BedrockConverse => "bedrock-converse",
            Self::BedrockInvoke => "bedrock-invoke",
            Self::OllamaChat => "ollama-chat",
            Self::OllamaGenerate => "ollama-generate",
            Self::OllamaEmbed => "ollama-embed",
            Self::LmStudioChat => "lmstudio-chat",
            Self::CohereChat => "cohere-chat",
            Self::Rerank => "rerank",
            Self::LlamaCppCompletion => "llamacpp-completion",
            Self::TgiGenerate => "tgi-generate",
            Self::Unknown => "unknown",
        }
    }
}
