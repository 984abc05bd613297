//! The system around the process: files of TLS, the limit of open files, and variables
//! that send applications past modash.

use crate::doctor::{
    facts::{Listener, TlsFiles},
    finding::{Area, Finding},
};
use modash_runtime::redact;

/// Fewer open files than this are soon used up: a stream takes two, the database twenty.
const FEW_FILES: u64 = 4_096;

pub(super) fn tls(files: &TlsFiles) -> Vec<Finding> {
    let problems = files.problems.iter().map(|problem| {
        Finding::mend(Area::Tls, "tls.files", problem.clone())
            .why("modash does not start with it")
            .action("correct the file, or the setting that names it")
    });
    let mut findings: Vec<Finding> = problems.collect();
    if findings.is_empty() && files.listeners > 0 {
        findings.push(Finding::ok(
            Area::Tls,
            "tls.files",
            "certificates and keys for clients can be used",
        ));
    }
    findings
}

pub(super) fn file_limit(limit: Option<u64>) -> Finding {
    const CHECK: &str = "system.files";
    match limit {
        Some(limit) if limit < FEW_FILES => {
            Finding::mend(Area::System, CHECK, format!("a process may have {limit} files open"))
                .why("each stream takes two connections, so more than a few hundred at once would be refused")
                .action("raise the limit: ulimit -Hn 65536 in the shell, LimitNOFILE=65536 with systemd, or ulimits in compose")
        }
        Some(limit) => Finding::ok(Area::System, CHECK, format!("a process may have {limit} files open")),
        None => Finding::ok(Area::System, CHECK, "a process may have any number of files open"),
    }
}

pub(super) fn proxy_variables(
    variables: &[(&str, String)],
    listeners: &[Listener],
) -> Vec<Finding> {
    const CHECK: &str = "system.proxy";
    let is_exception = |name: &str| name.eq_ignore_ascii_case("no_proxy");
    let proxies: Vec<_> = variables.iter().filter(|(name, _)| !is_exception(name)).collect();
    let names = || proxies.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    if proxies.is_empty() {
        return vec![Finding::ok(
            Area::System,
            CHECK,
            "no variable names a forward proxy (HTTP_PROXY and the like)",
        )];
    }
    let own = proxies
        .iter()
        .find(|(_, value)| listeners.iter().any(|listener| names_it(value, listener)));
    if let Some((name, value)) = own {
        return vec![
            Finding::mend(
                Area::System,
                CHECK,
                format!("{name} is {}, which is modash", shown(value)),
            )
            .why("modash is no forward proxy: it answers such requests with 400")
            .action(format!(
                "unset {name}, and give applications modash's address as their base URL"
            )),
        ];
    }
    let excepted = variables
        .iter()
        .filter(|(name, _)| is_exception(name))
        .flat_map(|(_, hosts)| hosts.split(','))
        .map(str::trim)
        .any(|host| matches!(host, "*" | "127.0.0.1" | "localhost" | "127.0.0.0/8"));
    if excepted {
        return vec![
            Finding::note(
                Area::System,
                CHECK,
                format!("{} is set, with an exception for this machine", names()),
            )
            .why("modash itself reaches upstreams directly, never through a forward proxy"),
        ];
    }
    vec![
        Finding::mend(Area::System, CHECK, format!("{} is set, and NO_PROXY has no exception for this machine", names()))
            .why("applications that obey it send requests for 127.0.0.1 to that proxy, past modash; modash itself reaches upstreams directly")
            .action("set NO_PROXY=127.0.0.1,localhost where the applications run"),
    ]
}

/// The lines to paste are not enough.
pub(super) fn client_tokens() -> Finding {
    Finding::note(
        Area::System,
        "system.client_tokens",
        "applications have to show a token (MODASH_PROXY_CLIENT_TOKENS)",
    )
    .why("requests without the header x-modash-token are answered with 401")
    .action(
        "Claude Code: ANTHROPIC_CUSTOM_HEADERS=\"x-modash-token: TOKEN\"; Codex: \
         http_headers = { \"x-modash-token\" = \"TOKEN\" }; SDKs: default_headers",
    )
}

/// Whether a variable's URL is this listener.
fn names_it(value: &str, listener: &Listener) -> bool {
    let place = value.split_once("://").map_or(value, |(_, place)| place);
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place).trim_end_matches('/');
    let Some((host, port)) = place.rsplit_once(':') else { return false };
    let here =
        host == "localhost" || host.trim_matches(['[', ']']) == listener.address.ip().to_string();
    here && port.parse() == Ok(listener.address.port())
}

/// A URL without credentials.
fn shown(value: &str) -> String {
    if value.contains("://") { redact(value) } else { "an address".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{facts::PortState, finding::Level};

    fn level(variables: &[(&'static str, &str)]) -> Level {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let address = ([127, 0, 0, 1], 4005).into();
        let listener = Listener {
            purpose: "proxy",
            setting: "PORT",
            address,
            is_https: false,
            state: PortState::Free,
        };
        let findings = proxy_variables(&variables, &[listener]);
        assert_eq!(findings.len(), 1);
        assert!(!format!("{findings:?}").contains("secret"), "{findings:?}");
        findings[0].level
    }

    #[test]
    fn a_forward_proxy_is_named_if_applications_would_miss_modash() {
        assert_eq!(level(&[]), Level::Ok);
        assert_eq!(level(&[("NO_PROXY", "example.com")]), Level::Ok);
        assert_eq!(level(&[("HTTPS_PROXY", "http://user:secret@proxy:3128")]), Level::Mend);
        let with =
            |exceptions| level(&[("http_proxy", "http://proxy:3128"), ("no_proxy", exceptions)]);
        assert_eq!(with("example.com, 127.0.0.1"), Level::Note);
        assert_eq!(with("*"), Level::Note);
        assert_eq!(with("example.com"), Level::Mend);
    }

    #[test]
    fn modash_as_forward_proxy_is_a_mistake_whatever_is_excepted() {
        for value in ["http://127.0.0.1:4005", "localhost:4005", "http://u:secret@127.0.0.1:4005/"]
        {
            assert_eq!(level(&[("HTTP_PROXY", value), ("NO_PROXY", "*")]), Level::Mend, "{value}");
        }
    }

    #[test]
    fn few_open_files_are_to_be_mended() {
        assert_eq!(file_limit(Some(1_024)).level, Level::Mend);
        assert_eq!(file_limit(Some(1 << 20)).level, Level::Ok);
        assert_eq!(file_limit(None).level, Level::Ok);
    }

    #[test]
    fn files_of_tls_are_mentioned_only_where_they_are_used() {
        assert_eq!(tls(&TlsFiles::default()), []);
        assert_eq!(tls(&TlsFiles { listeners: 1, problems: Vec::new() })[0].level, Level::Ok);
        let problems = vec!["MODASH_PROXY_TLS_KEY_FILE: no key".to_owned()];
        assert_eq!(tls(&TlsFiles { listeners: 1, problems })[0].level, Level::Mend);
    }
}
