//! Which provider a host, a name and a dialect stand for.

use modash_prices::{PriceList, Scope, provider_of};

#[test]
fn a_host_names_its_provider_whatever_the_upstream_is_called() {
    for (host, provider) in [
        ("api.openai.com", Some("openai")),
        ("API.OpenAI.com:443", Some("openai")),
        ("api.openai.com.", Some("openai")),
        ("eu.api.openai.com", Some("openai-regional")),
        ("acme.openai.azure.com", Some("azure")),
        ("acme.services.ai.azure.com", Some("azure")),
        ("acme.cognitiveservices.azure.com", Some("azure")),
        ("api.anthropic.com", Some("anthropic")),
        ("bedrock-runtime.eu-west-1.amazonaws.com", Some("bedrock")),
        ("bedrock-runtime-fips.us-east-1.amazonaws.com", Some("bedrock")),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", Some("bedrock")),
        ("vpce-1a2b.bedrock-runtime.eu-west-1.vpce.amazonaws.com", Some("bedrock")),
        ("bedrock-mantle.us-east-1.api.aws", Some("bedrock-mantle")),
        ("aiplatform.googleapis.com", Some("vertex")),
        ("us-east5-aiplatform.googleapis.com", Some("vertex-regional")),
        ("aiplatform.eu.rep.googleapis.com", Some("vertex-regional")),
        ("generativelanguage.googleapis.com", Some("gemini")),
        ("openrouter.ai", Some("openrouter")),
        ("api.x.ai", Some("xai")),
        ("dashscope-intl.aliyuncs.com", Some("dashscope")),
    ] {
        assert_eq!(provider_of(Some(host), "groq", "openai-chat"), provider, "{host}");
    }
}

#[test]
fn a_host_of_ones_own_network_has_no_provider() {
    for host in [
        "127.0.0.1",
        "127.0.0.1:8080",
        "[::1]:11434",
        "::1",
        "localhost",
        "localhost:1234",
        "10.1.2.3",
        "172.16.0.9",
        "192.168.1.5:443",
        "169.254.1.1",
        "100.64.0.7",
        "0.0.0.0",
        "[fd00::1]",
        "[fe80::1]",
        "[::ffff:127.0.0.1]:80",
        "vllm",
        "vllm:8000",
        "gpu.local",
        "llm.internal",
        "a.lan",
        "api.openai.com.localhost",
    ] {
        assert_eq!(provider_of(Some(host), "openai", "bedrock-converse"), None, "{host}");
    }
}

#[test]
fn a_host_that_only_looks_like_a_providers_is_not_its() {
    for host in [
        "api.openai.com.evil.example",
        "openai.azure.com",
        "xopenai.azure.com",
        "evil-api.openai.com",
        "bedrock-runtime.evil.example",
        "s3.eu-west-1.amazonaws.com",
        "-aiplatform.googleapis.com",
        "bedrock-runtime-evil.amazonaws.com",
    ] {
        assert_eq!(provider_of(Some(host), "default", "bedrock-converse"), None, "{host}");
    }
}

#[test]
fn a_gateway_is_known_by_the_name_of_the_upstream() {
    let gateway = Some("llm-gateway.example.com");
    assert_eq!(provider_of(gateway, "openai", "openai-chat"), Some("openai"));
    assert_eq!(provider_of(gateway, "Anthropic", "openai-chat"), Some("anthropic"));
    assert_eq!(provider_of(gateway, "default", "cohere-chat"), None);
    assert_eq!(provider_of(Some("8.8.8.8"), "openai", "openai-chat"), Some("openai"));
}

#[test]
fn a_dialect_counts_only_where_one_provider_speaks_it() {
    assert_eq!(provider_of(None, "default", "bedrock-converse"), Some("bedrock"));
    assert_eq!(provider_of(None, "default", "bedrock-invoke"), Some("bedrock"));
    assert_eq!(provider_of(None, "default", "cohere-chat"), Some("cohere"));
    for dialect in
        ["openai-chat", "anthropic-messages", "gemini-generate", "ollama-chat", "unknown", ""]
    {
        assert_eq!(provider_of(None, "default", dialect), None, "{dialect}");
    }
    assert_eq!(provider_of(Some(""), "google", "openai-chat"), Some("gemini"));
    assert_eq!(provider_of(None, "ollama", "openai-chat"), None);
}

#[test]
fn every_provider_has_prices() {
    let list = PriceList::built_in();
    let with_prices = |provider: &str| {
        list.entries().any(|entry| *entry.scope() == Scope::Provider(provider.to_owned()))
    };
    for name in [
        "openai",
        "anthropic",
        "claude",
        "gemini",
        "google",
        "vertex",
        "azure",
        "bedrock",
        "openrouter",
        "mistral",
        "deepseek",
        "xai",
        "grok",
        "groq",
        "cohere",
        "together",
        "fireworks",
        "perplexity",
        "moonshot",
        "kimi",
        "zai",
        "dashscope",
        "alibaba",
        "cerebras",
        "sambanova",
        "voyage",
        "jina",
        "minimax",
        "deepinfra",
    ] {
        let provider = provider_of(None, name, "openai-chat");
        assert!(provider.is_some_and(with_prices), "{name}");
    }
    for provider in ["openai-regional", "vertex-regional", "bedrock-mantle"] {
        assert!(with_prices(provider), "{provider}");
    }
}
