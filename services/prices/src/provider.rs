//! Which provider serves a request.

use std::net::{IpAddr, Ipv4Addr};

/// Hosts of one provider each.
const HOSTS: [(&str, &str); 38] = [
    ("api.openai.com", "openai"),
    ("eu.api.openai.com", "openai-regional"),
    ("us.api.openai.com", "openai-regional"),
    ("au.api.openai.com", "openai-regional"),
    ("ca.api.openai.com", "openai-regional"),
    ("in.api.openai.com", "openai-regional"),
    ("jp.api.openai.com", "openai-regional"),
    ("kr.api.openai.com", "openai-regional"),
    ("sg.api.openai.com", "openai-regional"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gemini"),
    ("aiplatform.googleapis.com", "vertex"),
    ("openrouter.ai", "openrouter"),
    ("api.mistral.ai", "mistral"),
    ("codestral.mistral.ai", "mistral"),
    ("api.deepseek.com", "deepseek"),
    ("api.x.ai", "xai"),
    ("api.groq.com", "groq"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.fireworks.ai", "fireworks"),
    ("api.perplexity.ai", "perplexity"),
    ("api.moonshot.ai", "moonshot"),
    ("api.moonshot.cn", "moonshot"),
    ("api.z.ai", "zai"),
    ("open.bigmodel.cn", "zai"),
    ("dashscope.aliyuncs.com", "dashscope"),
    ("dashscope-intl.aliyuncs.com", "dashscope"),
    ("dashscope-us.aliyuncs.com", "dashscope"),
    ("api.cerebras.ai", "cerebras"),
    ("api.sambanova.ai", "sambanova"),
    ("api.voyageai.com", "voyage"),
    ("api.jina.ai", "jina"),
    ("api.minimax.io", "minimax"),
    ("api.minimax.chat", "minimax"),
    ("api.deepinfra.com", "deepinfra"),
];

/// Names by which upstreams are called after providers.
const NAMES: [(&str, &str); 34] = [
    ("openai", "openai"),
    ("anthropic", "anthropic"),
    ("claude", "anthropic"),
    ("gemini", "gemini"),
    ("google", "gemini"),
    ("vertex", "vertex"),
    ("vertex-ai", "vertex"),
    ("vertexai", "vertex"),
    ("azure", "azure"),
    ("azure-openai", "azure"),
    ("bedrock", "bedrock"),
    ("openrouter", "openrouter"),
    ("mistral", "mistral"),
    ("deepseek", "deepseek"),
    ("xai", "xai"),
    ("grok", "xai"),
    ("groq", "groq"),
    ("cohere", "cohere"),
    ("together", "together"),
    ("together-ai", "together"),
    ("fireworks", "fireworks"),
    ("fireworks-ai", "fireworks"),
    ("perplexity", "perplexity"),
    ("moonshot", "moonshot"),
    ("kimi", "moonshot"),
    ("zai", "zai"),
    ("dashscope", "dashscope"),
    ("alibaba", "dashscope"),
    ("cerebras", "cerebras"),
    ("sambanova", "sambanova"),
    ("voyage", "voyage"),
    ("jina", "jina"),
    ("minimax", "minimax"),
    ("deepinfra", "deepinfra"),
];

/// The provider that serves a request: by the upstream's host, then by its configured name,
/// then by the dialect where one provider alone speaks it.
///
/// A host of the user's own network gives none, whatever the upstream is called and speaks:
/// a local server named `openai` is not OpenAI. Behind any other host that is no
/// provider's, the upstream's name says whose models a gateway serves. `host` may have a
/// port.
#[must_use]
pub fn provider_of(host: Option<&str>, upstream: &str, dialect: &str) -> Option<&'static str> {
    let host = host.map(str::trim).filter(|host| !host.is_empty()).map(str::to_ascii_lowercase);
    let host = host.as_deref().map(without_port);
    if let Some(provider) = host.and_then(by_host) {
        return Some(provider);
    }
    if host.is_some_and(is_private) {
        return None;
    }
    let name = upstream.to_ascii_lowercase();
    let by_name = NAMES.iter().find(|(known, _)| *known == name).map(|(_, provider)| *provider);
    by_name.or(match dialect {
        _ if host.is_some() => None,
        "bedrock-converse" | "bedrock-invoke" => Some("bedrock"),
        "cohere-chat" => Some("cohere"),
        _ => None,
    })
}

/// The name or address of a host, without its port and the dot at its end.
fn without_port(host: &str) -> &str {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        // More colons are those of an address.
        Some((name, port)) if is_port(port) && (!name.contains(':') || name.ends_with(']')) => name,
        _ => host,
    };
    name.trim_matches(['[', ']']).trim_end_matches('.')
}

/// Whether a host is one of the user's own network: an address that is not routed, or a
/// name that no public zone has.
fn is_private(name: &str) -> bool {
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => is_private_v4(address),
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => is_private_v4(address),
            None => {
                address.is_loopback()
                    || address.is_unspecified()
                    || address.is_unique_local()
                    || address.is_unicast_link_local()
            }
        },
        Err(_) => {
            let zones = ["localhost", "local", "internal", "lan", "home.arpa", "test"];
            let in_zone =
                |zone: &&str| name.strip_suffix(*zone).is_some_and(|rest| rest.ends_with('.'));
            !name.contains('.') || zones.iter().any(in_zone)
        }
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    // 100.64.0.0/10: overlay networks such as Tailscale's.
    let [first, second, ..] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_unspecified()
        || first == 100 && (64..128).contains(&second)
}

fn by_host(name: &str) -> Option<&'static str> {
    if let Some((_, provider)) = HOSTS.iter().find(|(known, _)| *known == name) {
        return Some(provider);
    }
    let within = |domain: &str| name.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
    if within("openai.azure.com").is_some()
        || within("services.ai.azure.com").is_some()
        || within("cognitiveservices.azure.com").is_some()
    {
        return Some("azure");
    }
    let amazon = within("amazonaws.com").or_else(|| within("amazonaws.com.cn"));
    if amazon.is_some_and(|rest| {
        rest.starts_with("bedrock-runtime.") || rest.starts_with("bedrock-runtime-fips.")
    }) || name.ends_with(".vpce.amazonaws.com") && name.contains(".bedrock-runtime.")
    {
        return Some("bedrock");
    }
    if within("api.aws").is_some_and(|rest| rest.starts_with("bedrock-mantle.")) {
        return Some("bedrock-mantle");
    }
    // us-east5-aiplatform.googleapis.com; `us` and `eu` are regional too.
    let region = name.strip_suffix("-aiplatform.googleapis.com");
    let multi_region = within("rep.googleapis.com").filter(|rest| rest.starts_with("aiplatform."));
    region.or(multi_region).filter(|region| !region.is_empty()).map(|_| "vertex-regional")
}
