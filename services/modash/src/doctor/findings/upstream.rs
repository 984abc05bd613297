//! Upstreams: reachable? what do they speak? do streams report usage?

use modash_proxy::{
    StreamUsage,
    probe::{Server, ServerKind, StreamReports, Trial, TrialUsage, Unreached, UnreachedKind},
};

use crate::doctor::{
    facts::{Chosen, Upstream, Upstreams},
    finding::{Area, Finding},
};

/// Most names of models that are shown.
const SHOWN_MODELS: usize = 5;

pub(super) fn findings(upstreams: &Upstreams, stream_usage: StreamUsage) -> Vec<Finding> {
    let mut findings = Vec::new();
    match upstreams.chosen {
        Chosen::Simulated => {
            findings.push(ok("upstream.simulated", "the demo brings a simulated LLM server"));
        }
        Chosen::ByNothing => findings.push(
            mend("upstream.none", "no upstream: UPSTREAM_URL is not set, and no LLM server answers on a usual port of this machine (1234, 11434, 8080, 8000, 30000)")
                .why("each request of an application would be answered with 502")
                .action("start LM Studio, Ollama, llama.cpp or vLLM, or set UPSTREAM_URL to your provider, for example UPSTREAM_URL=https://api.openai.com"),
        ),
        Chosen::ByPort => findings.push(note(
            "upstream.chosen",
            "UPSTREAM_URL is not set: the first server found on a usual port of this machine is used",
        )),
        Chosen::BySetting => {}
    }
    if upstreams.key_withheld {
        findings.push(
            note(
                "upstream.key",
                "the key in MODASH_DOCTOR_API_KEY was shown to no upstream: there are several",
            )
            .why("a provider must not see the key of another one")
            .action("look at one at a time: --upstream-url with its address, and no named ones"),
        );
    }
    for upstream in &upstreams.configured {
        findings.extend(of_one(upstream, stream_usage));
    }
    findings
}

fn ok(check: &'static str, what: impl Into<String>) -> Finding {
    Finding::ok(Area::Upstream, check, what)
}

fn note(check: &'static str, what: impl Into<String>) -> Finding {
    Finding::note(Area::Upstream, check, what)
}

fn mend(check: &'static str, what: impl Into<String>) -> Finding {
    Finding::mend(Area::Upstream, check, what)
}

/// The setting that names it.
fn setting(upstream: &Upstream) -> String {
    match &upstream.name {
        None => "UPSTREAM_URL".to_owned(),
        Some(name) => format!("the URL of \"{name}\" in MODASH_PROXY_UPSTREAMS"),
    }
}

fn of_one(upstream: &Upstream, stream_usage: StreamUsage) -> Vec<Finding> {
    let server = match &upstream.found {
        Ok(server) => server,
        Err(unreached) => return vec![not_reached(upstream, unreached)],
    };
    let mut findings = vec![answer(upstream, server)];
    let is_wrong = server.final_v1.as_ref().is_some_and(|found| found.is_wrong);
    if !is_wrong && server.status != 404 {
        findings.extend(final_v1(upstream, server));
        findings.extend(models(server));
        findings.extend(usage(upstream, server, stream_usage));
    }
    findings
}

fn not_reached(upstream: &Upstream, Unreached { kind, why }: &Unreached) -> Finding {
    let (url, setting) = (&upstream.url, setting(upstream));
    match kind {
        UnreachedKind::Connection => mend("upstream.unreachable", format!("{url} cannot be reached: {why}"))
            .why("each request of an application is answered with 502")
            .action(format!(
                "start the server, or correct {setting}; in a container 127.0.0.1 is the container, and the machine is host.docker.internal"
            )),
        UnreachedKind::Tls => mend("upstream.tls", format!("{url} cannot be reached: {why}"))
            .why("modash sends nothing over a connection that it cannot trust; each request is answered with 502")
            .action(if why.contains("MODASH_PROXY_UPSTREAM_CA_FILE") {
                "if the server is yours, put the certificate of the authority that signed its certificate (PEM) into a file and set MODASH_PROXY_UPSTREAM_CA_FILE to it; else the connection is intercepted".to_owned()
            } else {
                format!("do what the message says, or correct {setting}")
            }),
        UnreachedKind::Time => mend("upstream.slow", format!("{url} does not answer: {why}"))
            .why("requests would wait as long, and then be answered with 504")
            .action(format!(
                "look at the server and at firewalls between, or correct {setting}{}",
                // A server without TLS may wait for more of what it takes for HTTP.
                if upstream.is_https { "; a server without TLS needs http://" } else { "" }
            )),
        UnreachedKind::Http => mend("upstream.not_http", format!("{url} answers, but not in HTTP: {why}"))
            .why("each request of an application is answered with 502")
            .action(format!(
                "correct {setting}: another port, https:// in place of http://, or h2c:// for HTTP/2 without TLS"
            )),
    }
}

fn answer(upstream: &Upstream, server: &Server) -> Finding {
    let url = &upstream.url;
    let said = server.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    if server.final_v1.as_ref().is_some_and(|found| found.is_wrong)
        && let Some(finding) = final_v1(upstream, server)
    {
        return finding;
    }
    let named = name(server);
    match server.status {
        200..=299 => ok("upstream.reached", format!("{url} answers: {named}{}", speaks(server.kind))),
        401 if !upstream.with_key => ok(
            "upstream.reached",
            format!("{url} answers: {named}{}; it asks for a key, which applications send", speaks(server.kind)),
        ),
        403 if !upstream.with_key => note(
            "upstream.refuses",
            format!("{url} answers, and refuses a request without a key (403{said})"),
        )
        .why("with the key of an application it may answer, or it refuses this machine or its network")
        .action("look again with a key in MODASH_DOCTOR_API_KEY"),
        status @ (401 | 403) => mend("upstream.refuses", format!("{url} refuses the key in MODASH_DOCTOR_API_KEY ({status}{said})"))
            .why("an application with this key is refused too")
            .action("use a key of this provider, and one that is still valid"),
        429 => note("upstream.busy", format!("{url} answers: {named}; it has too many requests just now (429{said})")),
        503 if server.kind == ServerKind::LlamaCpp => note("upstream.loading", format!("{url} answers: {named}; it is not ready (503{said})"))
            .why("until its model is loaded, applications get this answer"),
        status @ 500.. => mend("upstream.failing", format!("{url} answers GET /v1/models with an error ({status}{said})"))
            .why("modash passes errors of the server on as they are")
            .action("look into the log of the server, or of the gateway in front of it"),
        404 if server.kind == ServerKind::Unknown && !upstream.is_https => mend("upstream.not_llm", format!("{url} has no /v1/models (404{said}): it does not look like an LLM server"))
            .why("an application would get its 404, passed on by modash")
            .action(format!("correct {}: another program may use that port, or the base path is wrong", setting(upstream))),
        status => note("upstream.unlisted", format!("{url} answers: {named}; it lists no models ({status} for GET /v1/models{said})"))
            .why("some APIs have no such list; then requests work all the same"),
    }
}

/// A URL with a final `/v1`: wrong, or wrong for some applications.
fn final_v1(upstream: &Upstream, server: &Server) -> Option<Finding> {
    let (url, found) = (&upstream.url, server.final_v1.as_ref()?);
    let setting = setting(upstream);
    let without = &found.without;
    if found.is_wrong {
        let what = format!("{url} ends in /v1, and applications send /v1 too");
        return Some(
            mend("upstream.v1_twice", what)
                .why("modash joins the paths: /v1/chat/completions would become /v1/v1/chat/completions, which the server answers with 404")
                .action(format!("set {setting} to {without}")),
        );
    }
    let what =
        format!("{url} ends in /v1; the server does not say without a key whether that is right");
    Some(
        note("upstream.v1", what)
            .why("modash joins the paths: an application whose base URL ends in /v1 too reaches /v1/v1")
            .action(format!("set {setting} to {without}, unless applications leave out /v1")),
    )
}

fn name(server: &Server) -> String {
    match &server.version {
        Some(version) => format!("{} {version}", server.kind.name()),
        None => server.kind.name().to_owned(),
    }
}

fn speaks(kind: ServerKind) -> String {
    match kind.speaks() {
        [] => String::new(),
        apis => format!(", which speaks {}", apis.join(", ")),
    }
}

fn models(server: &Server) -> Option<Finding> {
    let names = server.models.as_ref()?;
    if names.is_empty() {
        let action = match server.kind {
            ServerKind::Ollama => "get one: ollama pull qwen3:8b",
            _ => "load one in the server",
        };
        return Some(
            mend("upstream.no_models", "the server has no model")
                .why("whatever an application asks for is answered with an error")
                .action(action),
        );
    }
    let more = names.len().saturating_sub(SHOWN_MODELS);
    let mut shown = names.iter().take(SHOWN_MODELS).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        shown = format!("{shown} and {more} more");
    }
    Some(ok("upstream.models", format!("models: {shown}")))
}

/// Whether streams report usage, and whether `inject` would help.
fn usage(upstream: &Upstream, server: &Server, mode: StreamUsage) -> Option<Finding> {
    match &upstream.trial {
        Some(Ok(trial)) => return Some(tried(trial, mode)),
        Some(Err(Unreached { why, .. })) => {
            return Some(
                mend("upstream.tried", format!("the generation of --try failed: {why}"))
                    .why("applications would wait as long, or get the same error")
                    .action("look into the log of the server; a model may take long to load"),
            );
        }
        None => {}
    }
    let inject = mode == StreamUsage::Inject;
    match server.kind.stream_reports() {
        StreamReports::Always => {
            let what = format!("streams of {} report usage unasked", server.kind.name());
            Some(ok("upstream.usage", what))
        }
        StreamReports::WhenAsked if inject => Some(ok(
            "upstream.usage",
            "streams of OpenAI's chat API report usage only if asked, and modash asks (MODASH_PROXY_STREAM_USAGE=inject)",
        )),
        StreamReports::WhenAsked => Some(
            note("upstream.usage", "streams of OpenAI's chat API report usage only if the application asks (stream_options.include_usage)")
                .why("of streams that do not ask, output tokens are estimates and prompt tokens are unknown")
                .action("set MODASH_PROXY_STREAM_USAGE=inject: modash asks, and hides what the application did not ask for"),
        ),
        StreamReports::Unknown if server.kind == ServerKind::Unknown => None,
        StreamReports::Unknown => Some(
            note("upstream.usage", "whether its streams report usage is not known")
                .why("of streams without usage, output tokens are estimates and prompt tokens are unknown")
                .action("modash doctor --try MODEL finds out; it has a few tokens generated, which may cost money"),
        ),
    }
}

fn tried(trial: &Trial, mode: StreamUsage) -> Finding {
    let counts = |prompt: &Option<u64>, completion: &Option<u64>| {
        let count = |count: &Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
        format!("{} prompt and {} completion tokens", count(prompt), count(completion))
    };
    match (&trial.unasked, &trial.asked) {
        (TrialUsage::Reported(prompt, completion), _) => ok(
            "upstream.tried",
            format!("a stream of {} reported usage unasked: {}", trial.path, counts(prompt, completion)),
        ),
        (TrialUsage::Refused { status, message }, _) => {
            let said = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
            mend("upstream.tried", format!("POST {} was answered with {status}{said}", trial.path))
                .why("an application that asks like this gets the same answer")
                .action("give --try a model that the server has, and a key in MODASH_DOCTOR_API_KEY if it asks for one")
        }
        (_, Some(TrialUsage::Reported(prompt, completion))) if mode == StreamUsage::Inject => ok(
            "upstream.tried",
            format!("a stream of {} reports usage if asked, and modash asks: {}", trial.path, counts(prompt, completion)),
        ),
        (_, Some(TrialUsage::Reported(prompt, completion))) => note(
            "upstream.tried",
            format!("a stream of {} reports usage only if asked: {}", trial.path, counts(prompt, completion)),
        )
        .why("of streams that do not ask, output tokens are estimates and prompt tokens are unknown")
        .action("set MODASH_PROXY_STREAM_USAGE=inject: modash asks, and hides what the application did not ask for"),
        _ => note("upstream.tried", format!("a stream of {} reports no usage, even if asked", trial.path))
            .why("output tokens of streams are estimates and prompt tokens are unknown; inject would not help"),
    }
}

#[cfg(test)]
mod tests {
    use modash_proxy::probe::FinalV1;

    use super::*;
    use crate::doctor::finding::Level;

    fn server(kind: ServerKind, status: u16) -> Server {
        let models = (status == 200).then(|| vec!["m".to_owned()]);
        Server { kind, version: None, models, status, message: None, final_v1: None }
    }

    fn upstream(found: Result<Server, Unreached>) -> Upstream {
        let url = "http://127.0.0.1:8080".to_owned();
        Upstream { name: None, url, is_https: false, with_key: false, found, trial: None }
    }

    fn judged(upstream: Upstream, mode: StreamUsage) -> Vec<(&'static str, Level)> {
        let upstreams = Upstreams {
            configured: vec![upstream],
            chosen: Chosen::BySetting,
            key_withheld: false,
        };
        let findings = findings(&upstreams, mode);
        for finding in &findings {
            let complete =
                finding.level != Level::Mend || (finding.why.is_some() && finding.action.is_some());
            assert!(complete, "{finding:?} says neither why nor what to do");
        }
        findings.iter().map(|finding| (finding.check, finding.level)).collect()
    }

    #[test]
    fn whether_inject_would_help_depends_on_the_server_and_the_setting() {
        let usage = |kind, mode| {
            let judged = judged(upstream(Ok(server(kind, 200))), mode);
            judged.into_iter().find(|(check, _)| *check == "upstream.usage").map(|(_, level)| level)
        };
        use StreamUsage::{Inject, Observe};
        assert_eq!(usage(ServerKind::LlamaCpp, Observe), Some(Level::Ok));
        assert_eq!(usage(ServerKind::Ollama, Observe), Some(Level::Note));
        assert_eq!(usage(ServerKind::Ollama, Inject), Some(Level::Ok));
        assert_eq!(usage(ServerKind::OpenAiCompatible, Observe), Some(Level::Note));
        assert_eq!(usage(ServerKind::Unknown, Observe), None);
    }

    #[test]
    fn an_answer_is_judged_by_its_status() {
        let first =
            |kind, status| judged(upstream(Ok(server(kind, status))), StreamUsage::Observe)[0];
        assert_eq!(first(ServerKind::Vllm, 200), ("upstream.reached", Level::Ok));
        assert_eq!(first(ServerKind::OpenAi, 401), ("upstream.reached", Level::Ok));
        assert_eq!(first(ServerKind::Unknown, 403), ("upstream.refuses", Level::Note));
        assert_eq!(first(ServerKind::Unknown, 404), ("upstream.not_llm", Level::Mend));
        assert_eq!(first(ServerKind::Ollama, 404), ("upstream.unlisted", Level::Note));
        assert_eq!(first(ServerKind::LlamaCpp, 503), ("upstream.loading", Level::Note));
        assert_eq!(first(ServerKind::Vllm, 503), ("upstream.failing", Level::Mend));
        let with_key = Upstream { with_key: true, ..upstream(Ok(server(ServerKind::OpenAi, 401))) };
        let judged = judged(with_key, StreamUsage::Observe);
        assert_eq!(judged[0], ("upstream.refuses", Level::Mend));
    }

    #[test]
    fn a_final_v1_is_wrong_or_doubtful() {
        let with = |status, is_wrong| {
            let final_v1 = Some(FinalV1 { without: "https://api.openai.com".to_owned(), is_wrong });
            let server = Server { final_v1, ..server(ServerKind::OpenAi, status) };
            judged(upstream(Ok(server)), StreamUsage::Observe)
        };
        assert_eq!(with(404, true), [("upstream.v1_twice", Level::Mend)]);
        assert_eq!(with(401, false)[1], ("upstream.v1", Level::Note));
    }

    #[test]
    fn a_public_api_without_a_list_of_models_is_not_called_wrong() {
        let public = Upstream { is_https: true, ..upstream(Ok(server(ServerKind::Unknown, 404))) };
        assert_eq!(judged(public, StreamUsage::Observe), [("upstream.unlisted", Level::Note)]);
    }

    #[test]
    fn what_cannot_be_reached_says_which_way() {
        use UnreachedKind::{Connection, Http, Time, Tls};
        for (kind, check) in [
            (Connection, "upstream.unreachable"),
            (Tls, "upstream.tls"),
            (Time, "upstream.slow"),
            (Http, "upstream.not_http"),
        ] {
            let found = Err(Unreached { kind, why: "because".to_owned() });
            assert_eq!(judged(upstream(found), StreamUsage::Observe), [(check, Level::Mend)]);
        }
    }

    #[test]
    fn a_trial_says_more_than_what_is_known_of_the_server() {
        let tried = |unasked, asked, mode| {
            let trial = Trial { path: "/v1/chat/completions".into(), unasked, asked };
            let found = Ok(server(ServerKind::OpenAiCompatible, 200));
            let upstream = Upstream { trial: Some(Ok(trial)), ..upstream(found) };
            *judged(upstream, mode).last().unwrap()
        };
        let reported = TrialUsage::Reported(Some(1), Some(2));
        let refused = TrialUsage::Refused { status: 404, message: None };
        use StreamUsage::{Inject, Observe};
        for (unasked, asked, mode, level) in [
            (reported.clone(), None, Observe, Level::Ok),
            (TrialUsage::Absent, Some(reported.clone()), Observe, Level::Note),
            (TrialUsage::Absent, Some(reported), Inject, Level::Ok),
            (TrialUsage::Absent, Some(TrialUsage::Absent), Inject, Level::Note),
            (refused, None, Observe, Level::Mend),
        ] {
            assert_eq!(tried(unasked, asked, mode), ("upstream.tried", level));
        }
    }
}
