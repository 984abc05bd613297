//! Tokens at the gateway: who is let in, how a refusal looks on each surface, and
//! that analytics gets the caller's own token.

use http_body_util::{BodyExt as _, Full};
use modash_access::{Role, Token};
use modash_test_support::TokensFile;
use serde_json::json;

use crate::fake::Fake;
use crate::support::{PATIENCE, TestGateway, until, with_headers};

const SURFACES: [(&str, &str); 4] = [
    ("POST", "/rpc"),
    ("POST", "/rpc/UsageSummary"),
    ("POST", "/modash.v1.AnalyticsService/UsageSummary"),
    ("GET", "/events"),
];

async fn gateway(file: &TokensFile) -> TestGateway {
    let access = file.access();
    TestGateway::with(|config| config.access = access).await
}

fn header(token: &Token) -> String {
    format!("Bearer {}", token.expose())
}

async fn status(
    gateway: &TestGateway,
    (method, path): (&str, &str),
    token: Option<&str>,
) -> http::Response<hyper::body::Incoming> {
    let headers: Vec<_> =
        [Some(("content-type", "application/json")), token.map(|token| ("authorization", token))]
            .into_iter()
            .flatten()
            .collect();
    let request = with_headers(gateway.request(method, path), &headers);
    gateway.open(request.body(Full::from("{}")).unwrap()).await
}

#[tokio::test]
async fn each_surface_asks_for_a_token_that_may_read() {
    let file = TokensFile::new();
    let (read, admin) = (file.add("a", Role::Read), file.add("b", Role::Admin));
    let ingest = file.add("c", Role::Ingest);
    let expired = file.add_expired("d", Role::Read);
    let gateway = gateway(&file).await;
    for surface in SURFACES {
        for (token, expected) in [
            (None, 401),
            (Some("Bearer x".to_owned()), 401),
            (Some(header(&Token::generate())), 401),
            (Some(header(&expired)), 401),
            (Some(header(&ingest)), 403),
            (Some(header(&read)), 200),
            (Some(header(&admin)), 200),
        ] {
            let answer = status(&gateway, surface, token.as_deref()).await;
            assert_eq!(answer.status(), expected, "{surface:?} {token:?}");
            let asks = answer.headers().get("www-authenticate").is_some();
            assert_eq!(asks, expected == 401, "{surface:?} {token:?}");
        }
    }
    // What anybody may have.
    for path in ["/healthz", "/"] {
        assert_eq!(status(&gateway, ("GET", path), None).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn a_refusal_speaks_the_language_of_its_surface() {
    let file = TokensFile::new();
    let gateway = gateway(&file).await;
    let answer = gateway.rpc("[]").await;
    assert_eq!(answer.json()[0]["_tag"], "Defect");
    let answer = gateway.post("/rpc/UsageSummary", &[("content-type", "application/json")], "{}");
    let answer = answer.await.json();
    assert_eq!(answer["code"], "unauthenticated");
    assert!(answer["message"].as_str().unwrap().contains("modash token new"), "{answer}");
    assert_eq!(answer["details"][0]["type"], "google.rpc.ErrorInfo", "{answer}");
    let content_type = ("content-type", "application/grpc-web+proto");
    let path = "/modash.v1.AnalyticsService/UsageSummary";
    let answer = gateway.post(path, &[content_type], vec![0; 5]).await;
    assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, "16"));
    assert_eq!(gateway.script.calls.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn analytics_gets_the_token_of_the_caller_and_no_cookie() {
    let file = TokensFile::new();
    let token = header(&file.add("a", Role::Read));
    let gateway = gateway(&file).await;
    let authorization = ("authorization", token.as_str());
    let json = [("content-type", "application/json"), authorization, ("cookie", "a=b")];
    gateway.post("/rpc/UsageSummary", &json, "{}").await;
    let frame = json!({"_tag": "Request", "id": "1", "tag": "Completeness", "payload": null,
                       "headers": [["authorization", "Bearer another"]]});
    gateway.post("/rpc", &json, frame.to_string()).await;
    let web = [("content-type", "application/grpc-web+proto"), authorization, ("cookie", "a=b")];
    gateway.post("/modash.v1.AnalyticsService/UsageSummary", &web, vec![0; 5]).await;
    let _events = status(&gateway, ("GET", "/events"), Some(&token)).await;
    let calls = gateway.script.calls.lock().unwrap();
    assert_eq!(calls.len(), 4, "{calls:?}");
    for (method, metadata) in calls.iter() {
        assert_eq!(metadata.get("authorization").unwrap(), &token, "{method}");
        assert!(metadata.get("cookie").is_none(), "{method}");
    }
}

#[tokio::test]
async fn streams_of_one_scope_share_a_subscription_and_other_scopes_have_their_own() {
    let file = TokensFile::new();
    let one = header(&file.add("a", Role::Read));
    let same = header(&file.add("b", Role::Admin));
    let other = header(&file.add_scoped("c", &["model:m"]));
    let gateway = gateway(&file).await;
    let mut open = Vec::new();
    for token in [&one, &one, &same, &other, &other] {
        open.push(status(&gateway, ("GET", "/events"), Some(token)).await);
    }
    let subscribed = || {
        let calls = gateway.script.calls.lock().unwrap();
        calls
            .iter()
            .map(|(_, metadata)| {
                metadata.get("authorization").unwrap().to_str().unwrap().to_owned()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(subscribed(), [one, other]);
    assert_eq!(gateway.script.running(), 2);
}

#[tokio::test]
async fn a_subscription_goes_on_with_the_token_of_another_reader_of_its_scope() {
    let file = TokensFile::new();
    let (one, other) = (header(&file.add("a", Role::Read)), header(&file.add("b", Role::Read)));
    let mut gateway = gateway(&file).await;
    let _first = status(&gateway, ("GET", "/events"), Some(&one)).await;
    let _second = status(&gateway, ("GET", "/events"), Some(&other)).await;
    *gateway.script.refused.lock().unwrap() = Some(one);
    let address = gateway.kill_analytics();
    gateway.fake = Some(Fake::start(gateway.script.clone(), address).await);
    until("the other token is shown", || {
        let calls = gateway.script.calls.lock().unwrap();
        calls.iter().any(|(_, metadata)| {
            metadata.get("authorization").is_some_and(|shown| shown.to_str().unwrap() == other)
        })
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked() {
    let file = TokensFile::new();
    let token = header(&file.add("a", Role::Read));
    let gateway = gateway(&file).await;
    let mut body = status(&gateway, ("GET", "/events"), Some(&token)).await.into_body();
    assert!(body.frame().await.is_some());
    file.revoke("a");
    let ended = async { while body.frame().await.is_some_and(|frame| frame.is_ok()) {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("the stream goes on");
    until("the stream is counted as ended", || {
        gateway.context.metrics.text().contains("modash_gateway_event_streams 0")
    })
    .await;
}

#[tokio::test]
async fn a_token_with_a_scope_sees_nothing_before_an_analytics_that_applies_none() {
    let file = TokensFile::new();
    let scoped = file.add_scoped("search", &["tag:team=search"]);
    let whole = file.add("all", Role::Read);
    let access = file.access();
    let gateway = TestGateway::with(|config| config.access = access).await;
    gateway.script.applies_no_scopes.store(true, std::sync::atomic::Ordering::SeqCst);
    let (scoped, whole) =
        (format!("Bearer {}", scoped.expose()), format!("Bearer {}", whole.expose()));
    for (bearer, sees) in [(&whole, true), (&scoped, false)] {
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        let answer = gateway.post("/rpc/UsageSummary", &headers, "{}").await;
        assert_eq!(answer.status, if sees { 200 } else { 403 }, "{answer:?}");
        let frame = r#"{"_tag":"Request","id":"1","tag":"UsageSummary","payload":{}}"#;
        let answer = gateway.post("/rpc", &headers, frame).await;
        assert_eq!(answer.text().contains("Success"), sees, "{answer:?}");
        let headers =
            [("content-type", "application/grpc-web+proto"), ("authorization", bearer.as_str())];
        let path = "/modash.v1.AnalyticsService/UsageSummary";
        let answer = gateway.post(path, &headers, vec![0; 5]).await;
        let status = answer.header("grpc-status");
        assert_eq!(status, if sees { "" } else { "7" }, "{answer:?}");
        let text = answer.header("grpc-message");
        assert!(sees || text.contains("MODASH_TOKENS_FILE"), "{answer:?}");
        let headers = [("authorization", bearer.as_str())];
        let request = with_headers(gateway.request("GET", "/events"), &headers);
        let mut events = gateway.open(request.body(Default::default()).unwrap()).await;
        let mut told = String::new();
        while !told.contains("\"live\":") {
            let frame = events.body_mut().frame().await.unwrap().unwrap();
            told.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
        assert!(told.contains(&format!("\"live\":{sees}")), "{told}");
    }
}
