//! Upstreams. That of llama.cpp is real, in `tests/llama_cpp`; Ollama is a stand-in that
//! answers with its bytes (`openai.ToListCompletion` and `GET /api/version` of its server).

use std::net::TcpListener;

use modash_test_support::{Answer, Authority, FakeUpstream};
use tokio_rustls::TlsAcceptor;

use crate::run::{Report, data_directory, doctor};

const OLLAMA_MODELS: &str = r#"{"object":"list","data":[{"id":"qwen3:8b","object":"model","created":1764400000,"owned_by":"library"}]}"#;
const MODELS: &str = r#"{"object":"list","data":[{"id":"m","object":"model","owned_by":"me"}]}"#;
const NOT_FOUND: &str = "404 page not found";

async fn look(url: &str, arguments: &[&str]) -> Report {
    look_with(url, &[], arguments).await
}

async fn look_with(url: &str, more: &[(&str, String)], arguments: &[&str]) -> Report {
    let data = data_directory();
    let mut settings = vec![("UPSTREAM_URL", url.to_owned())];
    settings.extend_from_slice(more);
    let report = doctor(data.path(), &settings, arguments).await;
    let left = std::fs::read_dir(data.path()).unwrap().count();
    assert_eq!(left, 0, "the doctor changes nothing");
    report
}

/// What was asked, in order.
fn asked(upstream: &FakeUpstream) -> Vec<String> {
    let requests = upstream.requests();
    requests.iter().map(|request| format!("{} {}", request.method, request.target)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ollama_is_named_with_its_version_and_inject_is_recommended() {
    let ollama = FakeUpstream::start().await;
    ollama.answer(Answer::json(OLLAMA_MODELS));
    ollama.answer(Answer::json(r#"{"version":"0.12.6"}"#));
    let report = look(&ollama.url(), &[]).await;
    assert_eq!((report.code, report.levels("mend")), (0, vec![]), "{report:?}");
    assert!(report.finding("upstream.reached").contains("Ollama 0.12.6"), "{report:?}");
    assert!(report.finding("upstream.models").contains("qwen3:8b"), "{report:?}");
    assert!(report.finding("upstream.usage").contains("MODASH_PROXY_STREAM_USAGE=inject"));
    assert!(report.json["clients"].to_string().contains("OLLAMA_HOST"), "{report:?}");
    assert_eq!(asked(&ollama), ["GET /v1/models", "GET /api/version"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ollama_without_a_model_says_how_to_get_one() {
    let ollama = FakeUpstream::start().await;
    ollama.answer(Answer::json(r#"{"object":"list","data":null}"#));
    ollama.answer(Answer::json(r#"{"version":"0.12.6"}"#));
    let report = look(&ollama.url(), &[]).await;
    assert_eq!(report.levels("mend"), ["upstream.no_models"]);
    assert!(report.finding("upstream.no_models").contains("ollama pull"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_run_is_named_with_its_address() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let report = look(&format!("http://{address}"), &[]).await;
    assert_eq!(report.levels("mend"), ["upstream.unreachable"]);
    let finding = report.finding("upstream.unreachable");
    assert!(finding.contains(&format!("{address}: Connection refused")), "{finding}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_upstream_the_usual_ports_are_looked_at() {
    let data = data_directory();
    let report = doctor(data.path(), &[], &[]).await;
    let answers = |port: &u16| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok();
    let runs = [1234, 11434, 8080, 8000, 30000].iter().any(answers);
    assert_ne!(report.has("upstream.none"), runs, "{report:?}");
    assert_eq!(report.has("upstream.chosen"), runs, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn v1_twice_is_found_and_the_right_url_is_said() {
    let server = FakeUpstream::start().await;
    server.answer(Answer::new(404).chunk(NOT_FOUND));
    server.answer(Answer::json(MODELS));
    server.answer(Answer::new(404).chunk(NOT_FOUND));
    let report = look(&format!("{}/llm/v1/", server.url()), &[]).await;
    assert_eq!(report.levels("mend"), ["upstream.v1_twice"]);
    let action = format!("set UPSTREAM_URL to {}/llm\"", server.url());
    assert!(report.finding("upstream.v1_twice").contains(&action), "{report:?}");
    let expected = ["GET /llm/v1/v1/models", "GET /llm/v1/models", "GET /llm/api/version"];
    assert_eq!(asked(&server), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_llm_server_is_told_from_one_without_a_list() {
    let server = FakeUpstream::start().await;
    server.answer_always(Answer::new(404).chunk("<html>nothing here</html>"));
    let report = look(&server.url(), &[]).await;
    assert_eq!(report.levels("mend"), ["upstream.not_llm"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_refuses_is_judged_by_whether_it_was_shown_a_key() {
    let server = FakeUpstream::start().await;
    server.answer_always(Answer::new(401).chunk(r#"{"error":{"message":"no such key"}}"#));
    let report = look(&server.url(), &[]).await;
    assert_eq!(report.levels("mend"), [""; 0], "applications send their own keys");
    let key = [("MODASH_DOCTOR_API_KEY", "sk-secret".to_owned())];
    let report = look_with(&server.url(), &key, &[]).await;
    assert_eq!(report.levels("mend"), ["upstream.refuses"]);
    assert!(report.finding("upstream.refuses").contains("no such key"), "{report:?}");
    assert!(!report.json.to_string().contains("sk-secret"), "{report:?}");
    let last = server.requests().pop().unwrap();
    assert_eq!(last.headers["authorization"], "Bearer sk-secret");
    server.answer_always(Answer::new(500).chunk("out of order"));
    let report = look(&server.url(), &[]).await;
    assert_eq!(report.levels("mend"), ["upstream.failing"]);
    assert!(report.finding("upstream.failing").contains("out of order"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_to_no_upstream_where_there_are_several() {
    let (one, other) = (FakeUpstream::start().await, FakeUpstream::start().await);
    for server in [&one, &other] {
        server.answer_always(Answer::new(401).chunk("who are you?"));
    }
    let settings = [
        ("MODASH_DOCTOR_API_KEY", "sk-secret".to_owned()),
        ("MODASH_PROXY_UPSTREAMS", format!("other={}", other.url())),
    ];
    let report = look_with(&one.url(), &settings, &[]).await;
    assert!(report.finding("upstream.key").contains("shown to no upstream"), "{report:?}");
    assert_eq!(report.levels("mend"), [""; 0]);
    let mut seen = one.requests().into_iter().chain(other.requests()).peekable();
    assert!(seen.peek().is_some());
    assert!(seen.all(|request| !format!("{:?}", request.headers).contains("sk-secret")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_authority_says_which_setting_names_it() {
    let authority = Authority::new("a company's own");
    let identity = authority.sign(&["127.0.0.1"]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let mut config = identity.server();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(std::sync::Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                let mut stream = acceptor.accept(stream).await?;
                // One answer for each question.
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).await? > 0 {
                    let head =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", MODELS.len());
                    stream.write_all(format!("{head}{MODELS}").as_bytes()).await?;
                }
                Ok::<_, std::io::Error>(())
            });
        }
    });
    let report = look(&url, &[]).await;
    assert_eq!(report.levels("mend"), ["upstream.tls"]);
    assert!(report.finding("upstream.tls").contains("MODASH_PROXY_UPSTREAM_CA_FILE"), "{report:?}");
    // What it says helps.
    let directory = tempfile::tempdir().unwrap();
    let file = authority.write(directory.path()).display().to_string();
    let report = look_with(&url, &[("MODASH_PROXY_UPSTREAM_CA_FILE", file)], &[]).await;
    assert_eq!(report.levels("mend"), [""; 0], "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_is_asked_for_only_by_try() {
    let server = FakeUpstream::start().await;
    let content = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9}}\n\n";
    let stream =
        |last: &str| Answer::event_stream().chunk(format!("{content}{last}data: [DONE]\n\n"));
    server.answer(Answer::json(MODELS));
    server.answer(Answer::new(404).chunk(NOT_FOUND));
    let report = look(&server.url(), &[]).await;
    assert!(report.finding("upstream.usage").contains("--try MODEL"), "{report:?}");
    assert_eq!(asked(&server), ["GET /v1/models", "GET /api/version"]);

    server.answer(Answer::json(MODELS));
    server.answer(Answer::new(404).chunk(NOT_FOUND));
    server.answer(stream(""));
    server.answer(stream(usage));
    let report = look(&server.url(), &["--try", "m"]).await;
    assert_eq!(report.levels("mend"), [""; 0], "{report:?}");
    assert!(report.finding("upstream.tried").contains("7 prompt and 2 completion"), "{report:?}");
    assert!(report.finding("upstream.tried").contains("inject"), "{report:?}");
    let posts = ["POST /v1/chat/completions"; 2];
    assert_eq!(asked(&server)[4..], posts);
    let bodies: Vec<_> =
        server.requests()[4..].iter().map(modash_test_support::Received::body_so_far).collect();
    assert!(bodies[0].windows(12).all(|piece| piece != b"stream_optio"), "{bodies:?}");
}
