//! One caller does not take all streams and calls from the others.

use http_body_util::Full;
use hyper::body::Incoming;
use modash_access::{Role, Token, TokenSource};
use modash_gateway::TrustedUsers;
use modash_test_support::TokensFile;

use crate::support::{Answer, TestGateway, until, with_headers};

const EVENTS: (&str, &str) = ("GET", "/events");
const SUBSCRIBE: (&str, &str) = ("POST", "/modash.v1.AnalyticsService/Subscribe");

async fn open(
    gateway: &TestGateway,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
) -> http::Response<Incoming> {
    let request = with_headers(gateway.request(method, path), headers);
    let (kind, body) = match method {
        "GET" => ("text/plain", Full::default()),
        // With a deadline it is passed on.
        _ => ("application/grpc-web+proto", Full::from(vec![0; 5])),
    };
    let request = request.header("grpc-timeout", "60S").header("content-type", kind);
    gateway.open(request.body(body).unwrap()).await
}

/// Takes what one caller may have.
async fn take(
    gateway: &TestGateway,
    what: (&str, &str),
    share: usize,
    headers: &[(&str, &str)],
) -> Vec<http::Response<Incoming>> {
    let mut taken = Vec::new();
    for _ in 0..share {
        let answer = open(gateway, what, headers).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.headers().get("grpc-status").is_none(), "{:?}", answer.headers());
        taken.push(answer);
    }
    taken
}

fn bearer(token: &Token) -> String {
    format!("Bearer {}", token.expose())
}

fn says_when_to_try_again(refused: &Answer, share: &str) {
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(refused.header("retry-after"), "5");
    assert!(refused.text().contains(share), "{refused:?}");
}

#[tokio::test]
async fn the_bearer_of_a_token_has_a_share_of_the_streams_and_others_find_room() {
    let file = TokensFile::new();
    let [greedy, other] = ["greedy", "other"].map(|name| bearer(&file.add(name, Role::Read)));
    let access = file.access();
    let gateway = TestGateway::with(|config| {
        (config.access, config.streams) = (access, 256);
    })
    .await;
    let greedy = [("authorization", greedy.as_str())];
    let mut streams = take(&gateway, EVENTS, 128, &greedy).await;
    let refused = gateway.get("/events", &greedy).await;
    says_when_to_try_again(&refused, "128 streams of live events open, which is its share");
    let text = gateway.context.metrics.text();
    let line = "modash_gateway_places_refused_total{surface=\"events\",bound=\"caller\"} 1";
    assert!(text.contains(line), "{text}");

    let other = [("authorization", other.as_str())];
    let others = take(&gateway, EVENTS, 128, &other).await;
    let refused = gateway.get("/events", &other).await;
    says_when_to_try_again(&refused, "share");
    streams.pop();
    until("a place is free", || {
        gateway.context.metrics.text().contains("modash_gateway_event_streams 255\n")
    })
    .await;
    streams.extend(take(&gateway, EVENTS, 1, &greedy).await);
    drop((streams, others));
}

#[tokio::test]
async fn the_bearer_of_a_token_has_a_share_of_the_calls_and_others_find_room() {
    let file = TokensFile::new();
    let [greedy, other] = ["greedy", "other"].map(|name| bearer(&file.add(name, Role::Read)));
    let access = file.access();
    let gateway = TestGateway::with(|config| config.access = access).await;
    let greedy = [("authorization", greedy.as_str())];
    let calls = take(&gateway, SUBSCRIBE, 50, &greedy).await;
    let refused = open(&gateway, SUBSCRIBE, &greedy).await;
    assert_eq!(refused.headers()["grpc-status"], "8");
    let message = refused.headers()["grpc-message"].to_str().unwrap();
    assert!(message.contains("50%20calls%20of%20this%20caller"), "{message}");
    drop(take(&gateway, SUBSCRIBE, 1, &[("authorization", other.as_str())]).await);
    drop(calls);
}

#[tokio::test]
async fn each_user_of_single_sign_on_has_a_share_though_all_have_one_token() {
    let file = TokensFile::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, file.add("single sign-on", Role::Read).expose()).unwrap();
    let access = file.access();
    let gateway = TestGateway::with(|config| {
        (config.access, config.streams) = (access, 256);
        config.trusted_users = Some(TrustedUsers {
            header: "x-forwarded-user".parse().unwrap(),
            addresses: vec!["127.0.0.1".parse().unwrap()],
            token: TokenSource::File(path.clone()),
        });
    })
    .await;
    let mia = [("x-forwarded-user", "mia")];
    let streams = take(&gateway, EVENTS, 128, &mia).await;
    says_when_to_try_again(&gateway.get("/events", &mia).await, "share");
    drop(take(&gateway, EVENTS, 1, &[("x-forwarded-user", "tom")]).await);
    drop(streams);
}
