//! TLS of a listener and towards one: who comes in, who is trusted, what an error says,
//! and what clients get that speak something else.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use modash_runtime::{
    BoundedListener, ClientTlsFiles, ConnectionCount, GrpcTls, ListenerLimits, ListenerTls,
    ListenerTlsFiles, Metrics, TlsPeer, TlsSettings, refused_handshakes,
};
use modash_test_support::{Authority, Identity, eventually};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::ServiceExt as _;

const PATIENCE: Duration = Duration::from_secs(30);
const GET: &str = "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";

const LISTENER: TlsSettings =
    TlsSettings { certificate: "TLS_CERT", key: "TLS_KEY", authorities: "TLS_CLIENT_CA" };
const PEER: TlsPeer = TlsPeer {
    files: TlsSettings { certificate: "PEER_CERT", key: "PEER_KEY", authorities: "PEER_CA" },
    url: "PEER_URL",
    http: "it should speak HTTP/2",
};

/// A listener that answers `/` with `ok` over TLS.
struct Listener {
    address: SocketAddr,
    metrics: Metrics,
    directory: TempDir,
    serving: JoinHandle<()>,
}

impl Listener {
    async fn start(identity: &Identity, clients: Option<&Authority>) -> Self {
        Self::with(identity, clients, ListenerLimits::default()).await
    }

    async fn with(
        identity: &Identity,
        clients: Option<&Authority>,
        limits: ListenerLimits,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = identity.write(directory.path());
        let client_authorities = clients.map(|authority| authority.write(directory.path()));
        let files = ListenerTlsFiles { certificate, key, client_authorities };
        let tls = ListenerTls::new("the certificates of the test", LISTENER, files).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = BoundedListener::new(listener, limits).unwrap().with_tls(Some(tls));
        let (address, metrics) = (listener.address(), Metrics::default());
        listener.count_refused_handshakes(&metrics, &refused_handshakes("refused"));
        let router = Router::new().route("/", get(|| async { "ok" }));
        let serving = listener.serve(router, ConnectionCount::default(), std::future::pending());
        Self { address, metrics, directory, serving: tokio::spawn(serving) }
    }

    async fn connect(
        &self,
        authority: &Authority,
        protocols: &[&str],
        identity: Option<&Identity>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::new(authority.client(protocols, identity));
        let tcp = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(config).connect(name, tcp).await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(stream: &mut TlsStream<TcpStream>) -> io::Result<String> {
    stream.write_all(GET.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// All that comes until the end, which has to come.
async fn until_the_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    let _ = read.expect("the connection stays");
    bytes
}

#[tokio::test]
async fn both_versions_of_http_are_offered_and_h2_is_preferred() {
    let ours = Authority::new("ours");
    let listener = Listener::start(&ours.sign(&["localhost"]), None).await;
    for (offered, chosen) in
        [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let mut stream = listener.connect(&ours, offered, None).await.unwrap();
        let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(protocol.as_deref(), chosen.map(str::as_bytes));
        if chosen != Some("h2") {
            let answer = answer(&mut stream).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
        }
    }
}

#[tokio::test]
async fn where_client_certificates_are_demanded_only_those_of_the_right_authority_come_in() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let listener = Listener::start(&ours.sign(&["localhost"]), Some(&ours)).await;
    for (identity, comes_in) in [
        (None, false),
        (Some(theirs.sign(&["client"])), false),
        (Some(ours.sign_until(&["client"], 2001)), false),
        (Some(ours.sign(&["client"])), true),
    ] {
        let answered = match listener.connect(&ours, &[], identity.as_ref()).await {
            Ok(mut stream) => answer(&mut stream).await,
            Err(error) => Err(error),
        };
        assert_eq!(answered.is_ok(), comes_in, "{answered:?}");
    }
}

#[tokio::test]
async fn a_replaced_certificate_is_shown_while_open_connections_go_on() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let listener = Listener::start(&old.sign(&["localhost"]), None).await;
    let mut before = listener.connect(&old, &[], None).await.unwrap();
    // Half of a replacement changes nothing.
    std::fs::write(listener.directory.path().join("client.key"), "no key").unwrap();
    listener.connect(&old, &[], None).await.unwrap();
    let _ = new.sign(&["localhost"]).write(listener.directory.path());
    eventually(PATIENCE, || async {
        listener.connect(&new, &[], None).await.map(|_| ()).map_err(|error| error.to_string())
    })
    .await;
    assert!(answer(&mut before).await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn plain_http_is_told_to_use_https_in_its_own_language() {
    let ours = Authority::new("ours");
    let listener = Listener::start(&ours.sign(&["localhost"]), None).await;
    let mut plain = TcpStream::connect(listener.address).await.unwrap();
    plain.write_all(GET.as_bytes()).await.unwrap();
    let bytes = until_the_end(plain).await;
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("HTTP/1.1 400") && text.contains("https"), "{text}");

    let mut http2 = TcpStream::connect(listener.address).await.unwrap();
    http2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let bytes = until_the_end(http2).await;
    assert_eq!(bytes[..9], [0, 0, 0, 4, 0, 0, 0, 0, 0], "SETTINGS");
    assert_eq!((bytes[12], bytes[25]), (7, 12), "GOAWAY, INADEQUATE_SECURITY");
    assert!(bytes.ends_with(b"this port speaks TLS: use https in the URL"));
}

/// A ClientHello of this version, as clients without TLS 1.3 send it. Older ones leave
/// out signature_algorithms, which would be a reason of its own to refuse them.
fn client_hello(version: [u8; 2]) -> Vec<u8> {
    let mut body = Vec::from(version);
    body.extend([7; 32]); // random
    body.push(0); // no session
    // TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA and _GCM_SHA256
    body.extend([0, 4, 0xc0, 0x09, 0xc0, 0x2b, 1, 0]);
    // supported_groups: secp256r1; ec_point_formats: uncompressed; signature_algorithms:
    // ecdsa_secp256r1_sha256; extended_master_secret
    body.extend([0, 26, 0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0]);
    body.extend([0, 13, 0, 4, 0, 2, 4, 3, 0, 23, 0, 0]);
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record
}

#[tokio::test]
async fn a_client_of_tls_1_1_or_older_is_refused_by_an_alert() {
    let ours = Authority::new("ours");
    let listener = Listener::start(&ours.sign(&["localhost"]), None).await;
    for version in [[3, 0], [3, 1], [3, 2]] {
        let mut old = TcpStream::connect(listener.address).await.unwrap();
        old.write_all(&client_hello(version)).await.unwrap();
        let bytes = until_the_end(old).await;
        assert_eq!(bytes.first(), Some(&21), "{version:?}: {bytes:?}");
        assert_eq!(bytes[bytes.len() - 2..], [2, 70], "fatal, protocol_version");
    }
    let mut client = TcpStream::connect(listener.address).await.unwrap();
    client.write_all(&client_hello([3, 3])).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), 22, "the same hello of TLS 1.2 is answered");
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_closed() {
    let ours = Authority::new("ours");
    let limits =
        ListenerLimits { header_timeout: Duration::from_millis(300), ..Default::default() };
    let listener = Listener::with(&ours.sign(&["localhost"]), None, limits).await;
    for begun in [&b""[..], &client_hello([3, 3])[..20]] {
        let mut slow = TcpStream::connect(listener.address).await.unwrap();
        slow.write_all(begun).await.unwrap();
        assert_eq!(until_the_end(slow).await, b"");
    }
}

#[tokio::test]
async fn connections_in_a_handshake_make_room_for_others() {
    let ours = Authority::new("ours");
    let limits = ListenerLimits { connections: Some(2), ..Default::default() };
    let listener = Listener::with(&ours.sign(&["localhost"]), None, limits).await;
    let mut silent = Vec::new();
    for _ in 0..30 {
        silent.push(TcpStream::connect(listener.address).await.unwrap());
    }
    let mut stream = eventually(PATIENCE, || async {
        listener.connect(&ours, &[], None).await.map_err(|error| error.to_string())
    })
    .await;
    assert!(answer(&mut stream).await.unwrap().ends_with("ok"));
}

#[test]
fn files_that_are_no_good_are_refused_by_the_name_of_their_setting() {
    let directory = tempfile::tempdir().unwrap();
    let ours = Authority::new("ours");
    let (certificate, key) = ours.sign(&["localhost"]).write(directory.path());
    let (empty, missing) = (directory.path().join("empty"), directory.path().join("missing"));
    std::fs::write(&empty, "").unwrap();
    let other = tempfile::tempdir().unwrap();
    let (_, other_key) = ours.sign(&["localhost"]).write(other.path());
    let files = |certificate: &PathBuf, key: &PathBuf, authorities: Option<&PathBuf>| {
        let client_authorities = authorities.cloned();
        ListenerTlsFiles { certificate: certificate.clone(), key: key.clone(), client_authorities }
    };
    for (files, expected) in [
        (files(&empty, &key, None), "TLS_CERT"),
        (files(&missing, &key, None), "TLS_CERT"),
        (files(&certificate, &empty, None), "TLS_KEY"),
        (files(&certificate, &other_key, None), "TLS_KEY"),
        (files(&certificate, &key, Some(&missing)), "TLS_CLIENT_CA"),
    ] {
        let error = ListenerTls::new("test", LISTENER, files).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

fn grpc_tls(files: ClientTlsFiles) -> GrpcTls {
    GrpcTls::new("the certificates of the test", &PEER, files).unwrap()
}

/// Connects and reads, as a channel of gRPC does; gives what is wrong afterwards.
async fn problem(tls: &GrpcTls, address: SocketAddr) -> Option<String> {
    let dialer = tls.dialer("localhost", address.port());
    if let Ok(stream) = dialer.oneshot("http://ignored".parse().unwrap()).await {
        let mut stream = stream.into_inner();
        let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
        let _ = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 9])).await.unwrap();
    }
    tls.problem()
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let trusting = || ClientTlsFiles {
        authorities: Some(ours.write(directory.path())),
        ..ClientTlsFiles::default()
    };
    for (identity, expected) in [
        (ours.sign_until(&["localhost"], 2001), "its certificate has expired"),
        (ours.sign(&["elsewhere.test"]), "use a name that the certificate has in PEER_URL"),
        (theirs.sign(&["localhost"]), "give that authority's certificate in PEER_CA"),
    ] {
        let listener = Listener::start(&identity, None).await;
        let tls = grpc_tls(trusting());
        let problem = problem(&tls, listener.address).await.unwrap();
        assert!(problem.contains(expected), "{problem}");
        assert!(!tls.advice().unwrap().contains("elsewhere"), "{:?}", tls.advice());
    }
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap();
    let answering = tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let problem = problem(&grpc_tls(trusting()), address).await.unwrap();
    assert!(problem.contains("should its URL begin with http://?"), "{problem}");
    answering.abort();
}

#[tokio::test]
async fn a_refused_client_certificate_is_named_and_one_that_is_taken_clears_it() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let listener = Listener::start(&ours.sign(&["localhost"]), Some(&ours)).await;
    let authorities = Some(ours.write(directory.path()));
    let without = ClientTlsFiles { authorities: authorities.clone(), ..Default::default() };
    let problem_without = problem(&grpc_tls(without), listener.address).await.unwrap();
    assert!(problem_without.contains("PEER_CERT and PEER_KEY"), "{problem_without}");

    let (certificate, key) = theirs.sign(&["client"]).write(directory.path());
    let files = ClientTlsFiles { authorities, certificate: Some(certificate), key: Some(key) };
    let tls = grpc_tls(files);
    let refused = problem(&tls, listener.address).await.unwrap();
    assert!(refused.contains("PEER_CERT and PEER_KEY"), "{refused}");
    let _ = ours.sign(&["client"]).write(directory.path());
    eventually(PATIENCE, || async {
        let problem = problem(&tls, listener.address).await;
        problem.map_or(Ok(()), Err)
    })
    .await;
}

#[tokio::test]
async fn a_handshake_that_fails_is_counted_by_what_was_wrong() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let limits =
        ListenerLimits { header_timeout: Duration::from_millis(300), ..ListenerLimits::default() };
    let listener = Listener::with(&ours.sign(&["localhost"]), Some(&ours), limits).await;
    let counted = async |reason: &str| {
        let line = format!("refused_total{{reason=\"{reason}\"}} 1\n");
        eventually(PATIENCE, || async {
            let text = listener.metrics.text();
            if text.contains(&line) { Ok(()) } else { Err(format!("no {line} in {text}")) }
        })
        .await;
    };
    // With TLS 1.3 a client is through before the server has seen its certificate.
    let say = async |identity: Option<&Identity>| {
        if let Ok(mut stream) = listener.connect(&ours, &[], identity).await {
            let _ = answer(&mut stream).await;
        }
    };
    say(None).await;
    counted("no_client_certificate").await;
    say(Some(&theirs.sign(&["client"]))).await;
    counted("client_certificate").await;
    assert!(listener.connect(&theirs, &[], Some(&ours.sign(&["client"]))).await.is_err());
    counted("refused_by_client").await;
    assert!(listener.connect(&ours, &["smtp"], Some(&ours.sign(&["client"]))).await.is_err());
    counted("nothing_in_common").await;
    for (said, reason) in [(GET, "plain_http"), ("\u{1}\u{2}\u{3}\u{4}\u{5}", "not_tls")] {
        let mut stream = TcpStream::connect(listener.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        until_the_end(stream).await;
        counted(reason).await;
    }
    drop(TcpStream::connect(listener.address).await.unwrap());
    counted("broken_off").await;
    // A client that begins and then says nothing.
    let mut stream = TcpStream::connect(listener.address).await.unwrap();
    stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    until_the_end(stream).await;
    counted("too_slow").await;
}
