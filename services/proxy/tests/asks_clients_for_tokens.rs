//! With `MODASH_PROXY_CLIENT_TOKENS` an application shows a token of modash, which the
//! upstream never sees.

// Tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use modash_access::{Role, Token};
use modash_test_support::{Answer, FakeUpstream, TokensFile, eventually};
use support::{PATIENCE, TestProxy};

/// An upstream that answers everything with `{}`, and a proxy that asks for tokens.
async fn asking(file: &TokensFile) -> (FakeUpstream, TestProxy) {
    let upstream = FakeUpstream::start().await;
    upstream.answer_always(Answer::json("{}"));
    let (url, access) = (upstream.url().parse().unwrap(), file.access());
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(url);
        config.client_tokens = access;
    })
    .await;
    (upstream, proxy)
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{headers}\r\n")
}

fn showing(token: &str) -> String {
    format!("X-Modash-Token: {token}\r\n")
}

#[tokio::test]
async fn only_a_valid_token_of_the_role_use_reaches_the_upstream_and_it_stays_behind() {
    let file = TokensFile::new();
    let token = file.add("app", Role::Use);
    let expired = file.add_expired("old", Role::Use);
    let others = [file.add("a", Role::Read), file.add("b", Role::Ingest)];
    let (upstream, proxy) = asking(&file).await;
    let missing = proxy.exchange(&get("/v1/models", "")).await;
    assert!(missing.starts_with("HTTP/1.1 401"), "{missing}");
    assert!(missing.contains(r#""type":"authentication_error""#), "{missing}");
    assert!(missing.contains("x-modash-token"), "{missing}");
    let unknown = Token::generate();
    for wrong in [&expired, &others[0], &others[1], &unknown].map(Token::expose) {
        let answer = proxy.exchange(&get("/v1/models", &showing(wrong))).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert!(!answer.contains(wrong), "{answer}");
    }
    for malformed in ["", "x", "Bearer modash_x", &token.expose()[..20]] {
        let answer = proxy.exchange(&get("/v1/models", &showing(malformed))).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{malformed:?}: {answer}");
    }
    assert_eq!(upstream.requests().len(), 0, "nothing of that reached the upstream");

    let more = format!("{}{}Authorization: own\r\n", showing(token.expose()), showing("second"));
    let answer = proxy.exchange(&get("/v1/models", &more)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let received = upstream.next_request().await;
    assert_eq!(received.headers.get("x-modash-token"), None);
    assert_eq!(received.headers["authorization"], "own");
    // Probes have no token.
    let health = proxy.exchange(&get("/healthz", "")).await;
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");

    file.revoke("app");
    eventually(PATIENCE, || async {
        let answer = proxy.exchange(&get("/v1/models", &showing(token.expose()))).await;
        answer.starts_with("HTTP/1.1 401")
    })
    .await;
}

#[tokio::test]
async fn without_the_setting_the_header_is_the_upstreams_own() {
    let upstream = FakeUpstream::start().await;
    upstream.answer_always(Answer::json("{}"));
    let proxy = TestProxy::start(&upstream).await;
    let answer = proxy.exchange(&get("/v1/models", &showing("theirs"))).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(upstream.next_request().await.headers["x-modash-token"], "theirs");
}

#[tokio::test]
async fn a_proxy_with_tokens_lets_readers_alone_through_to_the_gateway() {
    let file = TokensFile::new();
    let (reader, app) = (file.add("reader", Role::Read), file.add("app", Role::Use));
    let gateway = FakeUpstream::start().await;
    gateway.answer_always(Answer::json("{}"));
    let (url, access) = (gateway.url(), file.access());
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(url.parse().unwrap());
        config.gateway = Some(url.parse().unwrap());
        config.client_tokens = access.clone();
        config.gateway_access = access;
    })
    .await;
    let bearer = |token: &Token| format!("Authorization: Bearer {}\r\n", token.expose());
    for path in ["/rpc", "/events", "/modash.v1.AnalyticsService/UsageSummary"] {
        for headers in
            [String::new(), bearer(&app), showing(app.expose()), showing(reader.expose())]
        {
            let answer = proxy.exchange(&get(path, &headers)).await;
            assert!(answer.starts_with("HTTP/1.1 401"), "{path} {headers}: {answer}");
        }
    }
    assert_eq!(gateway.requests().len(), 0, "nothing of that reached the gateway");
    let answer = proxy.exchange(&get("/rpc", &bearer(&reader))).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let received = gateway.next_request().await;
    assert!(received.headers.contains_key("authorization"), "the gateway decides anew");
    assert_eq!(received.headers["x-modash-handed-on"], "proxy", "the sender is not the proxy");
}

#[tokio::test]
async fn behind_a_server_that_asks_for_no_key_holders_of_tokens_are_told_apart() {
    let file = TokensFile::new();
    let [one, two] = ["one", "two"].map(|name| file.add(name, Role::Use));
    let (_upstream, proxy) = asking(&file).await;
    let own = format!("{}Authorization: Bearer sk-own\r\n", showing(one.expose()));
    let requests = [
        showing(one.expose()),
        showing(two.expose()),
        format!("X-Modash-Token:   {}  \r\n", one.expose()),
        own,
        format!("{}Authorization: Bearer sk-own\r\n", showing(two.expose())),
    ];
    let mut keys = Vec::new();
    for (count, headers) in requests.iter().enumerate() {
        let answer = proxy.exchange(&get("/v1/models", headers)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let events = proxy.analytics.events(count + 1).await;
        keys.push(events.last().unwrap().client_key.clone().unwrap());
    }
    assert_ne!(keys[0], keys[1], "each holder is a client");
    assert_eq!(keys[0], keys[2]);
    assert!(!keys[..2].contains(&keys[3]), "a credential for the upstream comes first");
    assert_eq!(keys[3], keys[4]);
    assert!(keys.iter().all(|key| key.len() == 16), "{keys:?}");
}
