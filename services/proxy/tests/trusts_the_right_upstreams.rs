//! TLS to upstreams: whom modash trusts, what it shows of itself, and what a
//! user is told when that does not work.

// Tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use modash_proto::v1::Outcome;
use modash_proxy::{ClientTlsFiles, ProxyConfig};
use modash_test_support::eventually;
use support::{
    PATIENCE, TestProxy, post,
    tls::{Authority, TlsUpstream},
};

const HTTP1: &[&str] = &["http/1.1"];

fn towards(config: &mut ProxyConfig, url: &str, tls: ClientTlsFiles) {
    config.upstream = Some(url.parse().unwrap());
    config.upstream_config.tls = tls;
}

async fn status_and_body(proxy: &TestProxy) -> String {
    proxy.exchange(&post("/v1/chat/completions", "{}")).await
}

#[tokio::test]
async fn an_authority_from_a_file_is_trusted_and_sessions_are_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("test authority");
    let upstream = TlsUpstream::start(&authority.sign(&["localhost"]), HTTP1, None).await;
    let tls = ClientTlsFiles {
        authorities: Some(authority.write(directory.path())),
        ..Default::default()
    };
    let proxy = TestProxy::start_with(|config| {
        towards(config, &upstream.url("localhost"), tls);
        // Each request on a connection of its own.
        config.upstream_config.pool.keep_idle = Duration::ZERO;
        config.threads = 1;
    })
    .await;
    for _ in 0..2 {
        let response = status_and_body(&proxy).await;
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    }
    let handshakes = upstream.handshakes();
    assert_eq!(handshakes.len(), 2);
    assert_eq!(handshakes[0].server_name.as_deref(), Some("localhost"));
    assert_eq!(handshakes[0].protocol.as_deref(), Some("http/1.1"));
    assert!(handshakes[1].resumed && !handshakes[0].resumed, "{handshakes:?}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_a_replaced_one_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("test authority");
    let upstream =
        TlsUpstream::start(&authority.sign(&["localhost"]), HTTP1, Some(&authority)).await;
    let (first, second) = (authority.sign(&["first"]), authority.sign(&["second"]));
    let (certificate, key) = first.write(directory.path());
    let tls = ClientTlsFiles {
        authorities: Some(authority.write(directory.path())),
        certificate: Some(certificate),
        key: Some(key),
    };
    let proxy = TestProxy::start_with(|config| {
        towards(config, &upstream.url("localhost"), tls);
        config.upstream_config.pool.keep_idle = Duration::ZERO;
    })
    .await;
    let response = status_and_body(&proxy).await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert!(first.is(upstream.handshakes()[0].client_certificate.as_ref()));
    second.write(directory.path());
    eventually(PATIENCE, || async {
        let response = status_and_body(&proxy).await;
        let shown = upstream.handshakes().pop().and_then(|last| last.client_certificate);
        if second.is(shown.as_ref()) && response.starts_with("HTTP/1.1 200") {
            Ok(())
        } else {
            Err(response)
        }
    })
    .await;
}

#[tokio::test]
async fn a_missing_client_certificate_is_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("test authority");
    let upstream =
        TlsUpstream::start(&authority.sign(&["localhost"]), HTTP1, Some(&authority)).await;
    let tls = ClientTlsFiles {
        authorities: Some(authority.write(directory.path())),
        ..Default::default()
    };
    let proxy =
        TestProxy::start_with(|config| towards(config, &upstream.url("localhost"), tls)).await;
    let response = status_and_body(&proxy).await;
    assert!(response.starts_with("HTTP/1.1 502"), "{response}");
    assert!(response.contains("MODASH_PROXY_UPSTREAM_CERT_FILE"), "{response}");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_trusted_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let (known, unknown) = (Authority::new("known"), Authority::new("unknown"));
    let tls =
        ClientTlsFiles { authorities: Some(known.write(directory.path())), ..Default::default() };
    for (identity, advice) in [
        (known.sign_until(&["localhost"], 2001), "its certificate has expired"),
        (known.sign(&["elsewhere.test"]), "its certificate is for another host"),
        (unknown.sign(&["localhost"]), "MODASH_PROXY_UPSTREAM_CA_FILE"),
    ] {
        let upstream = TlsUpstream::start(&identity, HTTP1, None).await;
        let tls = tls.clone();
        let proxy =
            TestProxy::start_with(|config| towards(config, &upstream.url("localhost"), tls)).await;
        let response = status_and_body(&proxy).await;
        assert!(response.starts_with("HTTP/1.1 502"), "{response}");
        assert!(response.contains(advice), "{advice} is not in {response}");
        assert!(response.contains(&upstream.url("localhost")), "{response}");
        let event = proxy.analytics.event().await;
        assert_eq!(event.outcome(), Outcome::UpstreamUnreachable);
        assert_eq!(event.status, Some(502));
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_told_apart() {
    let upstream = modash_test_support::FakeUpstream::start().await;
    let url = format!("https://{}", upstream.address());
    let proxy =
        TestProxy::start_with(|config| towards(config, &url, ClientTlsFiles::default())).await;
    let response = status_and_body(&proxy).await;
    assert!(response.contains("should its URL begin with http://?"), "{response}");
}

#[tokio::test]
async fn a_file_that_is_no_good_is_refused_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("authority.pem");
    std::fs::write(&path, "nothing").unwrap();
    let mut config = support::config(([127, 0, 0, 1], 1).into());
    let tls = ClientTlsFiles { authorities: Some(path.clone()), ..Default::default() };
    towards(&mut config, "https://localhost", tls);
    let error = modash_proxy::Proxy::bind(config).await.err().unwrap().to_string();
    assert!(error.starts_with("MODASH_PROXY_UPSTREAM_CA_FILE"), "{error}");
    assert!(error.contains(path.to_str().unwrap()) && error.contains("no certificate"), "{error}");
}
