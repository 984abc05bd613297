//! Signing in to the dashboard: the cookie, who can use it, and what is refused.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use modash_access::{Role, Token, TokenSource};
use modash_gateway::TrustedUsers;
use modash_test_support::TokensFile;
use serde_json::json;

use crate::support::{Answer, PATIENCE, TestGateway, with_headers};

const JSON: (&str, &str) = ("content-type", "application/json");
const INTENT: (&str, &str) = ("x-modash-request", "1");

async fn gateway(file: &TokensFile) -> TestGateway {
    let access = file.access();
    TestGateway::with(|config| config.access = access).await
}

async fn sign_in(gateway: &TestGateway, token: &Token) -> Answer {
    let origin = format!("http://{}", gateway.address);
    let body = json!({ "token": token.expose() }).to_string();
    gateway.post("/session", &[JSON, INTENT, ("origin", &origin)], body).await
}

/// The cookie as a browser sends it.
fn cookie(answer: &Answer) -> String {
    assert_eq!(answer.status, 204, "{answer:?}");
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_browser_signs_in_asks_and_signs_out() {
    let file = TokensFile::new();
    let token = file.add_scoped("search team", &["tag:team=search"]);
    let gateway = gateway(&file).await;
    let page = gateway.get("/requests?range=1h", &[("accept", "text/html")]).await;
    assert_eq!(
        (page.status.as_u16(), page.header("location")),
        (303, "/sign-in?to=%2Frequests%3Frange%3D1h")
    );
    assert!(gateway.get("/sign-in", &[]).await.text().contains("/sign-in.js"));
    let answer = sign_in(&gateway, &token).await;
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(answer.header("set-cookie").contains(attribute), "{answer:?}");
    }
    assert!(!answer.header("set-cookie").contains(token.expose()));
    let cookie = cookie(&answer);
    let signed_in = [("cookie", cookie.as_str())];
    let who = gateway.get("/session", &signed_in).await.json();
    assert_eq!(who, json!({ "name": "search team", "sees": "tag:team=search", "writes": false }));
    let page = gateway.get("/", &[("accept", "text/html"), signed_in[0]]).await;
    assert_eq!(page.status, 200);
    let origin = format!("http://{}", gateway.address);
    let own = [JSON, signed_in[0], ("origin", origin.as_str())];
    assert_eq!(gateway.post("/rpc/UsageSummary", &own, "{}").await.status, 200);
    let calls = gateway.script.calls.lock().unwrap().clone();
    let header = format!("Bearer {}", token.expose());
    assert_eq!(calls[0].1.get("authorization").unwrap(), &header);
    assert!(calls[0].1.get("cookie").is_none());
    let own = [INTENT, signed_in[0], ("origin", origin.as_str())];
    let request = crate::support::with_headers(gateway.request("DELETE", "/session"), &own);
    let out = gateway.send(request.body(Default::default()).unwrap()).await;
    assert!(out.header("set-cookie").starts_with("modash_session=; "), "{out:?}");
}

#[tokio::test]
async fn a_revoked_token_ends_its_sessions() {
    let file = TokensFile::new();
    let token = file.add("a", Role::Read);
    let gateway = gateway(&file).await;
    let cookie = cookie(&sign_in(&gateway, &token).await);
    assert_eq!(gateway.get("/session", &[("cookie", &cookie)]).await.status, 200);
    file.revoke("a");
    let begun = tokio::time::Instant::now();
    while gateway.get("/session", &[("cookie", &cookie)]).await.status == 200 {
        assert!(begun.elapsed() < crate::support::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_cookie_without_the_gateways_own_origin_or_with_a_forms_body_counts_for_nothing() {
    let file = TokensFile::new();
    let token = file.add("a", Role::Read);
    let gateway = gateway(&file).await;
    let cookie = cookie(&sign_in(&gateway, &token).await);
    let cookie = ("cookie", cookie.as_str());
    let origin = format!("http://{}", gateway.address);
    let own = ("origin", origin.as_str());
    let evil = ("origin", "https://evil.example");
    // A post without an origin, one of another site, and a form of the own one.
    assert_eq!(gateway.post("/rpc/UsageSummary", &[JSON, cookie], "{}").await.status, 401);
    assert_eq!(gateway.post("/rpc/UsageSummary", &[JSON, cookie, evil], "{}").await.status, 403);
    let form = ("content-type", "text/plain");
    assert_eq!(gateway.post("/rpc", &[form, cookie, own], "[]").await.status, 401);
    // A rebound name.
    let rebound = [cookie, ("host", "evil.example")];
    assert_eq!(gateway.get("/session", &rebound).await.status, 401);
}

#[tokio::test]
async fn signing_in_needs_the_own_origin_and_a_header_that_forms_cannot_send() {
    let file = TokensFile::new();
    let token = file.add("a", Role::Read);
    let gateway = gateway(&file).await;
    let origin = format!("http://{}", gateway.address);
    let own = ("origin", origin.as_str());
    let body = json!({ "token": token.expose() }).to_string();
    for headers in [
        vec![JSON, INTENT],
        vec![JSON, own],
        vec![JSON, INTENT, ("origin", "https://evil.example")],
        vec![JSON, INTENT, ("origin", "null")],
    ] {
        let answer = gateway.post("/session", &headers, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (403, ""), "{headers:?}");
    }
}

#[tokio::test]
async fn a_session_of_another_is_not_taken_over() {
    let file = TokensFile::new();
    let token = file.add("a", Role::Read);
    let gateway = gateway(&file).await;
    let before = cookie(&sign_in(&gateway, &token).await);
    // A cookie that was there before signing in is replaced, never kept.
    let after = cookie(&sign_in(&gateway, &token).await);
    assert_ne!(before, after);
    let made_up = [("cookie", "modash_session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")];
    assert_eq!(gateway.get("/session", &made_up).await.status, 401);
}

#[tokio::test]
async fn guesses_have_to_wait_and_the_answer_says_how_long() {
    let file = TokensFile::new();
    let gateway = gateway(&file).await;
    let mut failures = 0;
    let answer = loop {
        let answer = sign_in(&gateway, &Token::generate()).await;
        if answer.status != 401 {
            break answer;
        }
        failures += 1;
    };
    // On a slow machine the first waits may be over before the next attempt.
    assert!((5..20).contains(&failures), "{failures}");
    assert_eq!(answer.status, 429, "{answer:?}");
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert!(answer.json()["message"].as_str().unwrap().contains("try again in"), "{answer:?}");
}

#[tokio::test]
async fn users_of_a_trusted_proxy_have_its_token_and_others_cannot_name_themselves() {
    let file = TokensFile::new();
    let token = file.add("single sign-on", Role::Read);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, token.expose()).unwrap();
    for (address, expected) in [("127.0.0.1", 200), ("10.9.9.9", 401)] {
        let access = file.access();
        let gateway = TestGateway::with(|config| {
            config.access = access;
            config.trusted_users = Some(TrustedUsers {
                header: "x-forwarded-user".parse().unwrap(),
                addresses: vec![address.parse().unwrap()],
                token: TokenSource::File(path.clone()),
            });
        })
        .await;
        let user = [("x-forwarded-user", "mia")];
        assert_eq!(gateway.get("/session", &user).await.status, expected, "{address}");
        assert_eq!(gateway.get("/session", &[]).await.status, 401);
        let handed_on = [("x-forwarded-user", "mia"), ("x-modash-handed-on", "proxy")];
        assert_eq!(gateway.get("/session", &handed_on).await.status, 401, "anybody sent it");
    }
}

/// An open stream of `/events` with these headers.
async fn events(gateway: &TestGateway, headers: &[(&str, &str)]) -> Incoming {
    let request = with_headers(gateway.request("GET", "/events"), headers);
    let answer = gateway.open(request.body(Full::default()).unwrap()).await;
    assert_eq!(answer.status(), 200);
    answer.into_body()
}

/// An open `Subscribe` over grpc-web with these headers, and whose answer it is.
async fn subscription(gateway: &TestGateway, headers: &[(&str, &str)]) -> (Incoming, String) {
    let request = gateway.request("POST", "/modash.v1.AnalyticsService/Subscribe");
    let request = with_headers(request, headers);
    let request = request.header("content-type", "application/grpc-web+proto");
    let answer = gateway.open(request.body(Full::from(vec![0; 5])).unwrap()).await;
    assert_eq!(answer.status(), 200);
    let viewer = answer.headers()["modash-viewer"].to_str().unwrap().to_owned();
    let mut body = answer.into_body();
    body.frame().await.unwrap().unwrap();
    (body, viewer)
}

/// Waits for the end of a stream, whatever comes before.
async fn ends(mut stream: Incoming) {
    let end = async { while let Some(Ok(_)) = stream.frame().await {} };
    tokio::time::timeout(PATIENCE, end).await.expect("the stream ends");
}

async fn sign_out(gateway: &TestGateway, cookie: &str) {
    let origin = format!("http://{}", gateway.address);
    let headers = [("cookie", cookie), ("origin", origin.as_str()), INTENT];
    let request = with_headers(gateway.request("DELETE", "/session"), &headers);
    assert_eq!(gateway.send(request.body(Full::default()).unwrap()).await.status, 204);
}

#[tokio::test]
async fn streams_of_a_session_end_with_it_and_those_of_its_token_go_on() {
    let file = TokensFile::new();
    let token = file.add("a", Role::Read);
    let access = file.access();
    let gateway = TestGateway::with(|config| {
        config.access = access;
        config.session_lifetime = Duration::from_secs(3);
    })
    .await;
    let cookie = cookie(&sign_in(&gateway, &token).await);
    let origin = format!("http://{}", gateway.address);
    let session = [("cookie", cookie.as_str()), ("origin", origin.as_str())];
    let bearer = format!("Bearer {}", token.expose());
    let shown = [("authorization", bearer.as_str())];
    let of_session = [events(&gateway, &session).await, subscription(&gateway, &session).await.0];
    let of_token = [events(&gateway, &shown).await, subscription(&gateway, &shown).await.0];
    for stream in of_session {
        ends(stream).await;
    }
    let refused = gateway.get("/events", &session).await;
    assert_eq!(refused.status, 401, "and the page is told to sign in");
    for stream in of_token {
        let end = tokio::time::timeout(Duration::from_millis(500), ends(stream)).await;
        assert!(end.is_err(), "a stream of the token ended with the session");
    }
}

#[tokio::test]
async fn signing_out_ends_the_streams_of_that_session_and_its_cookie() {
    let file = TokensFile::new();
    let token = file.add("a", Role::Read);
    let gateway = gateway(&file).await;
    let mine = cookie(&sign_in(&gateway, &token).await);
    // Another browser with the same token.
    let other = cookie(&sign_in(&gateway, &token).await);
    let origin = ("origin", format!("http://{}", gateway.address));
    let mine = [("cookie", mine.as_str()), (origin.0, origin.1.as_str())];
    let other = [("cookie", other.as_str()), (origin.0, origin.1.as_str())];
    let of_mine = [events(&gateway, &mine).await, subscription(&gateway, &mine).await.0];
    let of_other = events(&gateway, &other).await;
    sign_out(&gateway, mine[0].1).await;
    for stream in of_mine {
        ends(stream).await;
    }
    assert_eq!(gateway.get("/session", &mine).await.status, 401, "a copy of it is worth nothing");
    assert_eq!(gateway.get("/session", &other).await.status, 200);
    assert!(tokio::time::timeout(Duration::from_millis(500), ends(of_other)).await.is_err());
}

#[tokio::test]
async fn a_browser_that_signs_in_anew_has_no_streams_of_its_session_before() {
    let file = TokensFile::new();
    let [one, two] = ["one", "two"].map(|name| file.add(name, Role::Read));
    let gateway = gateway(&file).await;
    let before = cookie(&sign_in(&gateway, &one).await);
    let stream = events(&gateway, &[("cookie", &before)]).await;
    let origin = format!("http://{}", gateway.address);
    let body = json!({ "token": two.expose() }).to_string();
    let headers = [JSON, INTENT, ("origin", origin.as_str()), ("cookie", before.as_str())];
    cookie(&gateway.post("/session", &headers, body).await);
    ends(stream).await;
}

#[tokio::test]
async fn a_page_and_its_streams_name_the_same_viewer_and_another_token_another_one() {
    let file = TokensFile::new();
    let gateway = gateway(&file).await;
    let mut viewers = Vec::new();
    for name in ["one", "two"] {
        let token = file.add(name, Role::Read);
        // The file is read again within a second.
        let begun = tokio::time::Instant::now();
        let signed_in = loop {
            let answer = sign_in(&gateway, &token).await;
            if answer.status == 204 {
                break answer;
            }
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(300)).await;
        };
        let cookie = cookie(&signed_in);
        let origin = format!("http://{}", gateway.address);
        let session = [("cookie", cookie.as_str()), ("origin", origin.as_str())];
        let page = gateway.get("/", &[("accept", "text/html"), session[0]]).await;
        let (_, viewer) = page.text().split_once("&quot;viewer&quot;:&quot;").unwrap();
        let viewer = viewer.split('&').next().unwrap().to_owned();
        assert_eq!(subscription(&gateway, &session).await.1, viewer);
        let mut stream = events(&gateway, &session).await;
        let mut text = String::new();
        while !text.contains("\"viewer\":") {
            let frame = tokio::time::timeout(PATIENCE, stream.frame()).await.unwrap();
            let data = frame.unwrap().unwrap().into_data().unwrap();
            text.push_str(std::str::from_utf8(&data).unwrap());
        }
        assert!(text.contains(&format!("\"viewer\":\"{viewer}\"")), "{text}");
        viewers.push(viewer);
    }
    assert_ne!(viewers[0], viewers[1]);
}
