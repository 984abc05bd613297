//! Names of OpenTelemetry's semantic conventions that modash uses, all in this file. The
//! GenAI ones are experimental; a test compares each with the published registry.

/// The version of the conventions.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.42.0";

macro_rules! names {
    ($all:ident = $module:ident: $($name:ident = $text:literal;)+) => {
        $(
            #[doc = concat!("`", $text, "`")]
            pub const $name: &str = $text;
        )+

        #[doc = concat!("All names of this kind: ", stringify!($module), ".")]
        pub const $all: &[&str] = &[$($name),+];

        #[cfg(test)]
        mod $module {
            #[test]
            #[allow(deprecated, reason = "those of GenAI move to a registry of their own")]
            fn names_are_those_of_the_published_registry() {
                $(assert_eq!(super::$name, opentelemetry_semantic_conventions::$module::$name);)+
            }
        }
    };
}

names! { ATTRIBUTES = attribute:
    DB_COLLECTION_NAME = "db.collection.name";
    DB_NAMESPACE = "db.namespace";
    DB_OPERATION_BATCH_SIZE = "db.operation.batch.size";
    DB_OPERATION_NAME = "db.operation.name";
    DB_QUERY_SUMMARY = "db.query.summary";
    DB_SYSTEM_NAME = "db.system.name";
    ERROR_TYPE = "error.type";
    GEN_AI_CONVERSATION_ID = "gen_ai.conversation.id";
    GEN_AI_OPERATION_NAME = "gen_ai.operation.name";
    GEN_AI_PROVIDER_NAME = "gen_ai.provider.name";
    GEN_AI_REQUEST_MODEL = "gen_ai.request.model";
    GEN_AI_REQUEST_STREAM = "gen_ai.request.stream";
    GEN_AI_RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons";
    GEN_AI_RESPONSE_ID = "gen_ai.response.id";
    GEN_AI_RESPONSE_MODEL = "gen_ai.response.model";
    GEN_AI_TOKEN_TYPE = "gen_ai.token.type";
    GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS = "gen_ai.usage.cache_creation.input_tokens";
    GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS = "gen_ai.usage.cache_read.input_tokens";
    GEN_AI_USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens";
    GEN_AI_USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens";
    GEN_AI_USAGE_REASONING_OUTPUT_TOKENS = "gen_ai.usage.reasoning.output_tokens";
    HTTP_REQUEST_BODY_SIZE = "http.request.body.size";
    HTTP_REQUEST_METHOD = "http.request.method";
    HTTP_RESPONSE_BODY_SIZE = "http.response.body.size";
    HTTP_RESPONSE_STATUS_CODE = "http.response.status_code";
    HTTP_ROUTE = "http.route";
    MESSAGING_BATCH_MESSAGE_COUNT = "messaging.batch.message_count";
    RPC_METHOD = "rpc.method";
    RPC_RESPONSE_STATUS_CODE = "rpc.response.status_code";
    RPC_SYSTEM_NAME = "rpc.system.name";
    SERVER_ADDRESS = "server.address";
    SERVER_PORT = "server.port";
    SERVICE_VERSION = "service.version";
    URL_PATH = "url.path";
    URL_SCHEME = "url.scheme";
    USER_AGENT_NAME = "user_agent.name";
}

names! { METRICS = metric:
    DB_CLIENT_OPERATION_DURATION = "db.client.operation.duration";
    GEN_AI_CLIENT_OPERATION_DURATION = "gen_ai.client.operation.duration";
    GEN_AI_CLIENT_TOKEN_USAGE = "gen_ai.client.token.usage";
    GEN_AI_SERVER_TIME_PER_OUTPUT_TOKEN = "gen_ai.server.time_per_output_token";
    GEN_AI_SERVER_TIME_TO_FIRST_TOKEN = "gen_ai.server.time_to_first_token";
    HTTP_SERVER_REQUEST_DURATION = "http.server.request.duration";
    RPC_CLIENT_CALL_DURATION = "rpc.client.call.duration";
    RPC_SERVER_CALL_DURATION = "rpc.server.call.duration";
}

/// Upper bounds in seconds that the conventions prescribe for
/// `gen_ai.client.operation.duration`.
pub const DURATION_BUCKETS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// Those for `gen_ai.server.time_to_first_token`.
pub const FIRST_TOKEN_BUCKETS: [f64; 16] =
    [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Those for `gen_ai.server.time_per_output_token`.
pub const PER_TOKEN_BUCKETS: [f64; 13] =
    [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];

/// Those for `gen_ai.client.token.usage`, in tokens.
pub const TOKEN_BUCKETS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Those for `http.server.request.duration` and for the calls of `rpc`.
pub const CALL_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Those for `db.client.operation.duration`.
pub const STATEMENT_BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// The value of `rpc.response.status_code` for a status code of gRPC.
#[must_use]
pub fn grpc_status(code: i32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    usize::try_from(code).ok().and_then(|at| NAMES.get(at)).copied().unwrap_or("UNKNOWN")
}

/// The provider, as the conventions name it, by the server's host where it tells, else
/// by the dialect.
#[must_use]
pub fn provider(host: &str, dialect: &str) -> &'static str {
    const HOSTS: [(&str, &str); 12] = [
        ("openai.azure.com", "azure.ai.openai"),
        ("openai.com", "openai"),
        ("anthropic.com", "anthropic"),
        ("aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("amazonaws.com", "aws.bedrock"),
        ("mistral.ai", "mistral_ai"),
        ("cohere.com", "cohere"),
        ("deepseek.com", "deepseek"),
        ("groq.com", "groq"),
        ("perplexity.ai", "perplexity"),
        ("x.ai", "x_ai"),
    ];
    const DIALECTS: [(&str, &str); 5] = [
        ("anthropic", "anthropic"),
        ("gemini", "gcp.gemini"),
        ("bedrock", "aws.bedrock"),
        ("cohere", "cohere"),
        ("mistral", "mistral_ai"),
    ];
    let of_domain = |domain: &str| {
        host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let by_host = HOSTS.iter().find(|(domain, _)| of_domain(domain));
    let by_dialect = || DIALECTS.iter().find(|(prefix, _)| dialect.starts_with(prefix));
    by_host.or_else(by_dialect).map_or("openai", |(_, provider)| provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_registry() {
        assert_eq!(SCHEMA_URL, opentelemetry_semantic_conventions::SCHEMA_URL);
    }

    #[test]
    fn a_provider_is_known_by_its_host_and_else_by_its_dialect() {
        for (host, dialect, expected) in [
            ("api.openai.com", "openai-chat", "openai"),
            ("me.openai.azure.com", "openai-chat", "azure.ai.openai"),
            ("api.deepseek.com", "anthropic-messages", "deepseek"),
            ("127.0.0.1", "anthropic-messages", "anthropic"),
            ("netflix.ai", "openai-chat", "openai"),
        ] {
            assert_eq!(provider(host, dialect), expected, "{host} {dialect}");
        }
    }
}
