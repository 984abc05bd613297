//! The programs of `examples/` against the real system: each shows the tokens of
//! yesterday by model and then requests as they happen, with a token where one is
//! needed.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use modash_access::{Role, Token};
use modash_integration::{AllInOne, PATIENCE, Process, ServicesOverTls, post_json};
use modash_proto::v1::{
    EventBatch, Hello, StreamUsageRequest, UsageEvent, ingest_service_client::IngestServiceClient,
    stream_usage_request::Message,
};
use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig};
use modash_test_support::{TokensFile, event_at, eventually};
use serde_json::json;
use tempfile::TempDir;
use tonic::{
    Request,
    metadata::AsciiMetadataValue,
    transport::{Certificate, Channel, ClientTlsConfig},
};

/// Model of the requests of yesterday, and their tokens.
const YESTERDAY: (&str, u64) = ("model-of-yesterday", 300);

/// Model of the requests that happen.
const NOW: &str = "model-of-now";

/// Long enough to be seen: a proxy looks four times a second at what runs.
const RUNS_FOR: (&str, &str) = ("x-simulate-delay-ms", "700");

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The system in front of a simulated LLM server.
async fn modash(directory: &TempDir, settings: &[(&str, String)]) -> AllInOne {
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory.path(), open).unwrap();
    let simulator = Simulator::bind(SimulatorConfig::default()).await.unwrap();
    let mut settings = settings.to_vec();
    settings.push(("UPSTREAM_URL", simulator.url()));
    tokio::spawn(simulator.run(Shutdown::new(Duration::from_secs(1))));
    AllInOne::start(directory.path(), &settings, &[]).await
}

/// Where the services are, and the authority behind `https`.
struct Urls {
    analytics: String,
    gateway: String,
    proxy: String,
    authority: Option<PathBuf>,
}

impl From<&AllInOne> for Urls {
    fn from(modash: &AllInOne) -> Self {
        Self {
            analytics: format!("http://{}", modash.analytics),
            gateway: modash.gateway.clone(),
            proxy: modash.proxy.clone(),
            authority: None,
        }
    }
}

impl From<&ServicesOverTls> for Urls {
    fn from(services: &ServicesOverTls) -> Self {
        Self {
            analytics: services.analytics.clone(),
            gateway: services.gateway.clone(),
            proxy: services.proxy.clone(),
            authority: Some(services.authority.clone()),
        }
    }
}

/// Sends two requests of yesterday noon, as a proxy does.
async fn fill_yesterday(urls: &Urls, token: Option<&Token>) {
    let days = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400;
    let noon = i64::try_from(days * 86_400 - 43_200).unwrap() * 1_000_000;
    let model = || Some(YESTERDAY.0.to_owned());
    let event = || UsageEvent { model: model(), model_requested: model(), ..event_at(noon) };
    let events = vec![event(), event()];
    let hello = Hello {
        replica_id: events[0].replica_id.clone(),
        version: "1.0.0".to_owned(),
        next_sequence: 1,
        ..Default::default()
    };
    let batch = EventBatch { first_sequence: 1, events, ..Default::default() };
    let messages = [Message::Hello(hello), Message::Batch(batch)]
        .map(|message| StreamUsageRequest { message: Some(message) });
    let mut request = Request::new(tokio_stream::iter(messages));
    if let Some(token) = token {
        let value: AsciiMetadataValue = format!("Bearer {}", token.expose()).parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    let mut endpoint = Channel::from_shared(urls.analytics.clone()).unwrap();
    if let Some(authority) = &urls.authority {
        let authority = Certificate::from_pem(fs::read(authority).unwrap());
        endpoint = endpoint.tls_config(ClientTlsConfig::new().ca_certificate(authority)).unwrap();
    }
    let mut client = IngestServiceClient::new(endpoint.connect().await.unwrap());
    let mut answers = client.stream_usage(request).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    assert!(format!("{answer:?}").contains("sequence: 2"), "{answer:?}");
}

/// A program and which service it asks.
struct Example {
    name: &'static str,
    asks: Asks,
    /// The variable that names an authority to it.
    reads: &'static str,
    program: PathBuf,
    script: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq)]
enum Asks {
    Analytics,
    Gateway,
}

/// All examples; those in TypeScript and Go are compiled in `folder`.
async fn examples(folder: &Path) -> Vec<Example> {
    use Asks::{Analytics, Gateway};
    let sources = repository().join("examples");
    let rust = modash_integration::program("modash-example");
    let [openssl, grpcio, requests, node, curl] = AUTHORITIES;
    let shell = sources.join("curl.sh");
    let mut all = vec![
        Example { name: "rust", asks: Analytics, reads: openssl, program: rust, script: None },
        Example { name: "curl", asks: Gateway, reads: curl, program: shell, script: None },
    ];
    for (name, asks, reads) in
        [("tokens_grpc.py", Analytics, grpcio), ("tokens_json.py", Gateway, requests)]
    {
        let script = Some(sources.join("python").join(name));
        all.push(Example { name, asks, reads, program: modash_integration::python(), script });
    }
    let typescript = typescript(folder).await;
    for (name, asks) in [("connect.js", Analytics), ("effect.js", Gateway)] {
        let script = Some(typescript.join(name));
        all.push(Example { name, asks, reads: node, program: "node".into(), script });
    }
    let go = go(folder).await.map(|program| Example {
        name: "go",
        asks: Gateway,
        reads: openssl,
        program,
        script: None,
    });
    all.extend(go);
    all
}

/// Generates the types, checks them and the examples, and makes JavaScript of both:
/// Node.js before 22.18 does not run TypeScript.
async fn typescript(folder: &Path) -> PathBuf {
    let (repository, folder) = (repository(), folder.join("typescript"));
    fs::create_dir(&folder).unwrap();
    let mut sources = Vec::new();
    for entry in fs::read_dir(repository.join("examples/typescript")).unwrap() {
        let entry = entry.unwrap();
        // What somebody installed or generated there.
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
            sources.push(entry.file_name());
        }
    }
    sources.retain(|name| name.to_string_lossy().ends_with(".ts"));
    let clients = repository.join("services/gateway/tests/clients/node_modules");
    std::os::unix::fs::symlink(clients, folder.join("node_modules")).unwrap();
    let tools = repository.join("web/node_modules");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = format!("{}:{}", tools.join(".bin").display(), path.to_string_lossy());
    let mut generate = Command::new(tools.join(".bin/buf"));
    generate.current_dir(&folder).env("PATH", &path).arg("generate").arg(repository.join("proto"));
    Process::spawn("buf", generate).succeeds().await;
    let mut compile = Command::new(tools.join(".bin/tsc"));
    compile
        .current_dir(&folder)
        .args(["--strict", "--target", "es2023", "--module", "nodenext", "--skipLibCheck"])
        .args(["--rewriteRelativeImportExtensions", "--outDir", "."])
        .args(["--types", "node", "--typeRoots"])
        .arg(tools.join("@types"))
        .args(sources);
    Process::spawn("tsc", compile).succeeds().await;
    folder
}

/// Compiles the example in Go, where Go is installed.
async fn go(folder: &Path) -> Option<PathBuf> {
    let found = Command::new("go").arg("version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        println!("go is not installed: its example is neither compiled nor run");
        return None;
    }
    let program = folder.join("go-example");
    for arguments in [vec!["vet", "."], vec!["build", "-o", program.to_str().unwrap(), "."]] {
        let mut command = Command::new("go");
        command.current_dir(repository().join("examples/go")).args(arguments);
        command.env("GOCACHE", folder.join("go-cache")).env("GOFLAGS", "-buildvcs=false");
        Process::spawn("go", command).succeeds().await;
    }
    Some(program)
}

/// Variables that name an authority, of which examples/README.md says which library reads
/// which.
const AUTHORITIES: [&str; 5] = [
    "SSL_CERT_FILE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "CURL_CA_BUNDLE",
];

fn start(example: &Example, urls: &Urls, token: Option<&Path>) -> Process {
    let url = match example.asks {
        Asks::Analytics => &urls.analytics,
        Asks::Gateway => &urls.gateway,
    };
    let mut command = Command::new(&example.program);
    command.args(&example.script);
    command.env("MODASH_URL", url).env_remove("MODASH_TOKEN").env_remove("MODASH_TOKEN_FILE");
    // The server under test is reached directly, whatever the environment says.
    command.env("NO_PROXY", "*").env("no_grpc_proxy", "*");
    if let Some(token) = token {
        command.env("MODASH_TOKEN_FILE", token);
    }
    for variable in AUTHORITIES {
        command.env_remove(variable);
        if let Some(authority) = urls.authority.as_ref().filter(|_| example.reads == variable) {
            command.env(variable, authority);
        }
    }
    Process::spawn(example.name, command)
}

/// Each example shows what it is meant to.
async fn all_show_both(urls: &Urls, examples: &[Example], token: Option<&Path>) {
    let running: Vec<Process> =
        examples.iter().map(|example| start(example, urls, token)).collect();
    let tokens = YESTERDAY.1.to_string();
    for process in &running {
        process.says("requests as they happen").await;
        let output = process.output();
        let table = output.split("requests as they happen").next().unwrap();
        let row = table.lines().find(|line| line.contains(YESTERDAY.0));
        assert!(row.is_some_and(|row| row.contains(&tokens)), "{output}");
    }
    let url = format!("{}/v1/chat/completions", urls.proxy);
    let request = json!({ "model": NOW, "messages": [{ "role": "user", "content": "hi" }] });
    eventually(PATIENCE, || async {
        post_json(&url, &[RUNS_FOR], &request).await?;
        let behind = running.iter().find(|process| !process.output().contains(NOW));
        behind.map_or(Ok(()), |process| Err(process.output()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_shows_yesterday_and_what_happens() {
    let directory = TempDir::new().unwrap();
    let modash = modash(&directory, &[]).await;
    let urls = Urls::from(&modash);
    fill_yesterday(&urls, None).await;
    let folder = TempDir::new().unwrap();
    all_show_both(&urls, &examples(folder.path()).await, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_takes_a_token_and_ends_without_one() {
    let file = TokensFile::new();
    let (read, ingest) = (file.add("reader", Role::Read), file.add("sender", Role::Ingest));
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, format!("{}\n", read.expose())).unwrap();
    let directory = TempDir::new().unwrap();
    let settings = [("MODASH_TOKENS_FILE", file.path().display().to_string())];
    let modash = modash(&directory, &settings).await;
    let programs = examples(folder.path()).await;
    takes_a_token(&Urls::from(&modash), &ingest, &programs, &token).await;
}

/// With the token of a file everything is shown, and nothing without.
async fn takes_a_token(urls: &Urls, ingest: &Token, programs: &[Example], token: &Path) {
    fill_yesterday(urls, Some(ingest)).await;
    for example in programs {
        let mut process = start(example, urls, None);
        let status = process.ended().await;
        assert!(!status.success(), "{} ended well: {}", example.name, process.output());
    }
    all_show_both(urls, programs, Some(token)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_takes_a_token_over_tls_and_checks_the_certificate() {
    let file = TokensFile::new();
    let (read, ingest) = (file.add("reader", Role::Read), file.add("sender", Role::Ingest));
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, read.expose()).unwrap();
    let simulator = Simulator::bind(SimulatorConfig::default()).await.unwrap();
    let upstream = simulator.url();
    tokio::spawn(simulator.run(Shutdown::new(Duration::from_secs(1))));
    let services = ServicesOverTls::start(&upstream, Some(&file), None).await;
    let urls = Urls::from(&services);
    let programs = examples(folder.path()).await;
    takes_a_token(&urls, &ingest, &programs, &token).await;

    let of_strangers = Urls { authority: None, ..urls };
    for example in &programs {
        let mut process = start(example, &of_strangers, Some(&token));
        let status = process.ended().await;
        assert!(!status.success(), "{} trusts anybody: {}", example.name, process.output());
    }
}
