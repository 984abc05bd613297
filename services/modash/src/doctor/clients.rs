//! The lines that point an application at this modash, ready to paste.

use std::net::SocketAddr;

use modash_proxy::probe::ServerKind;
use serde::Serialize;

use super::facts::{Listener, Upstream, Upstreams};

/// Lines for one application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Client {
    pub(crate) name: String,
    /// Where the lines belong.
    pub(crate) place: &'static str,
    pub(crate) lines: Vec<String>,
}

/// Lines for the usual applications. Each gets the upstream that speaks its API: the one
/// without a name if that does or is not known, else a named one that does.
pub(crate) fn lines(listeners: &[Listener], upstreams: &Upstreams) -> Vec<Client> {
    let Some(proxy) = listeners.iter().find(|listener| listener.setting == "PORT") else {
        return Vec::new();
    };
    let scheme = if proxy.is_https { "https" } else { "http" };
    let base = format!("{scheme}://{}", reachable(proxy.address));
    let mut clients = Vec::new();
    if let Some(base) = base_for("Anthropic Messages", &base, upstreams) {
        clients.push(client(
            "Claude Code",
            "shell",
            &[format!("ANTHROPIC_BASE_URL={base} claude")],
        ));
        clients.push(client(
            "Anthropic SDKs (Python, JavaScript)",
            "environment",
            &[format!("ANTHROPIC_BASE_URL={base}")],
        ));
    }
    if let Some(base) = base_for("OpenAI Responses", &base, upstreams) {
        clients.push(codex(&base));
    }
    if let Some(base) = base_for("OpenAI Chat", &base, upstreams) {
        clients.push(client(
            "OpenAI SDKs (Python, JavaScript)",
            "environment",
            &[format!("OPENAI_BASE_URL={base}/v1")],
        ));
    }
    let ollama = |upstream: &&Upstream| kind(upstream) == Some(ServerKind::Ollama);
    if let Some(upstream) = upstreams.configured.iter().find(ollama) {
        let base = with_name(&base, upstream);
        let line = format!("OLLAMA_HOST={base}");
        clients.push(client("Ollama's own clients", "environment", &[line]));
    }
    clients
}

fn client(name: &str, place: &'static str, lines: &[String]) -> Client {
    Client { name: name.to_owned(), place, lines: lines.to_vec() }
}

fn codex(base: &str) -> Client {
    let lines = [
        "model_provider = \"modash\"".to_owned(),
        "[model_providers.modash]".to_owned(),
        "name = \"OpenAI through modash\"".to_owned(),
        format!("base_url = \"{base}/v1\""),
        "env_key = \"OPENAI_API_KEY\"".to_owned(),
        "wire_api = \"responses\"".to_owned(),
        "supports_websockets = false".to_owned(),
    ];
    client("Codex", "~/.codex/config.toml", &lines)
}

/// The base URL for an API; `None`: no upstream speaks it.
fn base_for(api: &str, base: &str, upstreams: &Upstreams) -> Option<String> {
    let speaks =
        |upstream: &&Upstream| kind(upstream).is_some_and(|kind| kind.speaks().contains(&api));
    let may_speak =
        |upstream: &&Upstream| kind(upstream).is_none_or(|kind| kind.speaks().is_empty());
    let unnamed = upstreams.configured.iter().find(|upstream| upstream.name.is_none());
    let chosen = unnamed
        .filter(speaks)
        .or_else(|| upstreams.configured.iter().find(speaks))
        .or_else(|| unnamed.filter(may_speak));
    match chosen {
        Some(upstream) => Some(with_name(base, upstream)),
        None if upstreams.configured.is_empty() => Some(base.to_owned()),
        None => None,
    }
}

/// What it is; `None`: it was not reached.
fn kind(upstream: &Upstream) -> Option<ServerKind> {
    upstream.found.as_ref().ok().map(|server| server.kind)
}

fn with_name(base: &str, upstream: &Upstream) -> String {
    match &upstream.name {
        Some(name) => format!("{base}/{name}"),
        None => base.to_owned(),
    }
}

/// An address for programs of this machine.
fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("127.0.0.1:{}", address.port())
    } else {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use modash_proxy::probe::{Server, Unreached, UnreachedKind};

    use super::*;
    use crate::doctor::facts::{Chosen, PortState};

    fn upstream(name: Option<&str>, kind: ServerKind) -> Upstream {
        let server = Server {
            kind,
            version: None,
            models: None,
            status: 200,
            message: None,
            final_v1: None,
        };
        Upstream {
            name: name.map(str::to_owned),
            url: String::new(),
            is_https: false,
            with_key: false,
            found: Ok(server),
            trial: None,
        }
    }

    fn all_lines(configured: Vec<Upstream>, is_https: bool) -> String {
        let address = ([0, 0, 0, 0], 4005).into();
        let (purpose, setting, state) = ("proxy", "PORT", PortState::Free);
        let listener = Listener { purpose, setting, address, is_https, state };
        let upstreams = Upstreams { configured, chosen: Chosen::BySetting, key_withheld: false };
        let clients = lines(&[listener], &upstreams);
        clients.iter().flat_map(|client| &client.lines).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn each_application_gets_an_upstream_that_speaks_its_api() {
        let both = vec![
            upstream(None, ServerKind::OpenAi),
            upstream(Some("claude"), ServerKind::Anthropic),
        ];
        let text = all_lines(both, false);
        assert!(
            text.contains("ANTHROPIC_BASE_URL=http://127.0.0.1:4005/claude claude\n"),
            "{text}"
        );
        assert!(text.contains("OPENAI_BASE_URL=http://127.0.0.1:4005/v1\n"), "{text}");
        assert!(text.contains("base_url = \"http://127.0.0.1:4005/v1\"\n"), "{text}");
        let text = all_lines(vec![upstream(None, ServerKind::Anthropic)], true);
        assert!(text.contains("ANTHROPIC_BASE_URL=https://127.0.0.1:4005\n"), "{text}");
        assert!(!text.contains("OPENAI_BASE_URL"), "{text}");
        let text = all_lines(vec![upstream(None, ServerKind::Ollama)], false);
        assert!(text.contains("OLLAMA_HOST=http://127.0.0.1:4005\n"), "{text}");
    }

    #[test]
    fn before_the_upstream_runs_all_lines_are_there() {
        let why = "refused".to_owned();
        let found = Err(Unreached { kind: UnreachedKind::Connection, why });
        let away = Upstream { found, ..upstream(None, ServerKind::Unknown) };
        for configured in [vec![away], Vec::new(), vec![upstream(None, ServerKind::Unknown)]] {
            let text = all_lines(configured, false);
            assert!(
                text.contains("ANTHROPIC_BASE_URL") && text.contains("OPENAI_BASE_URL"),
                "{text}"
            );
        }
    }
}
