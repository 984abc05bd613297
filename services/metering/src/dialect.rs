//! The table of dialects. Its order is that of spec section 4: the first row
//! whose route matches a request is its dialect.

use crate::dialects::{
    anthropic, bedrock, cohere, gemini, gemini_interactions, llamacpp, lmstudio, ollama, openai,
    openai_media, openai_vectors, responses, tgi, unknown,
};
use crate::target::{Route, Target};
use crate::wire::Wire;

macro_rules! dialects {
    ($($(#[$doc:meta])* $name:ident = $wire:path;)*) => {
        /// Wire dialect of an exchange.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Dialect { $($(#[$doc])* $name),* }

        impl Dialect {
            /// All dialects, in the order in which they are tried.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What the dialect is made of.
            pub(crate) fn wire(self) -> &'static Wire {
                match self { $(Self::$name => &$wire),* }
            }
        }
    };
}

dialects! {
    /// OpenAI chat completions, and every server that copies them.
    OpenAiChat = openai::CHAT;
    /// OpenAI Responses.
    OpenAiResponses = responses::RESPONSES;
    /// Anthropic token counting.
    AnthropicCountTokens = anthropic::COUNT_TOKENS;
    /// Anthropic messages.
    AnthropicMessages = anthropic::MESSAGES;
    /// Gemini and Vertex content generation.
    GeminiGenerate = gemini::GENERATE;
    /// Gemini embeddings, of one content or a batch.
    GeminiEmbed = gemini::EMBED;
    /// Gemini Interactions.
    GeminiInteractions = gemini_interactions::INTERACTIONS;
    /// Amazon Bedrock Converse.
    BedrockConverse = bedrock::CONVERSE;
    /// Amazon Bedrock Invoke.
    BedrockInvoke = bedrock::INVOKE;
    /// Ollama chat.
    OllamaChat = ollama::CHAT;
    /// Ollama generate.
    OllamaGenerate = ollama::GENERATE;
    /// Ollama embed.
    OllamaEmbed = ollama::EMBED;
    /// LM Studio native chat.
    LmStudioChat = lmstudio::CHAT;
    /// Cohere chat.
    CohereChat = cohere::CHAT;
    /// OpenAI transcriptions and translations.
    OpenAiAudioTranscription = openai_media::TRANSCRIPTION;
    /// OpenAI speech.
    OpenAiAudioSpeech = openai_media::SPEECH;
    /// OpenAI images.
    OpenAiImages = openai_media::IMAGES;
    /// OpenAI moderations.
    OpenAiModerations = openai_vectors::MODERATIONS;
    /// OpenAI embeddings.
    OpenAiEmbeddings = openai_vectors::EMBEDDINGS;
    /// Reranking of several vendors.
    Rerank = openai_vectors::RERANK;
    /// OpenAI realtime over WebSocket.
    OpenAiRealtime = responses::REALTIME;
    /// llama.cpp native completion.
    LlamaCppCompletion = llamacpp::COMPLETION;
    /// OpenAI legacy completions.
    OpenAiCompletions = openai::COMPLETIONS;
    /// Text Generation Inference.
    TgiGenerate = tgi::GENERATE;
    /// None of these.
    Unknown = unknown::UNKNOWN;
}

impl Dialect {
    /// Stable id, as recorded: `openai-chat`, ..., `unknown`.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.wire().id
    }

    /// The dialect of a request by its target.
    pub(crate) fn of(target: &Target<'_>) -> (Self, Route) {
        Self::ALL
            .iter()
            .find_map(|dialect| Some((*dialect, (dialect.wire().route)(target)?)))
            .unwrap_or((Self::Unknown, Route::default()))
    }
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
    /// Anything else: probes, preflights, redirects, calls of no known dialect.
    Other,
    /// Reading, cancelling or deleting what exists, which consumes nothing.
    Retrieval,
}
