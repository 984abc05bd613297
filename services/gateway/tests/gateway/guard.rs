//! Who may ask: CORS, Origin and Host.

use bytes::Bytes;
use http_body_util::Full;
use serde_json::json;

use crate::support::{Answer, TestGateway, with_headers};

const SURFACES: [(&str, &str); 5] = [
    ("POST", "/rpc"),
    ("POST", "/rpc/UsageSummary"),
    ("POST", "/modash.v1.AnalyticsService/UsageSummary"),
    ("POST", "/modash.v1.Nope/Nope"),
    ("GET", "/events"),
];

async fn send(gateway: &TestGateway, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = with_headers(gateway.request(method, path), headers);
    gateway.send(request.body(Full::<Bytes>::default()).unwrap()).await
}

/// The head only, because a stream of events does not end.
async fn head(
    gateway: &TestGateway,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> http::response::Parts {
    let request = with_headers(gateway.request(method, path), headers);
    gateway.open(request.body(Full::<Bytes>::default()).unwrap()).await.into_parts().0
}

#[tokio::test]
async fn pages_of_other_sites_are_refused_in_the_language_of_the_surface() {
    let gateway = TestGateway::start().await;
    for (method, path) in SURFACES {
        for origin in ["https://evil.example", "null", "http://localhost:1"] {
            let answer = send(&gateway, method, path, &[("origin", origin)]).await;
            assert_eq!(answer.status, 403, "{path} {origin}");
            assert_eq!(answer.header("access-control-allow-origin"), "");
            if path == "/rpc" {
                assert_eq!(answer.json()[0]["_tag"], "Defect");
            } else {
                assert_eq!(answer.json()["code"], "permission_denied");
            }
        }
    }
    assert_eq!(
        gateway.script.calls.lock().unwrap().iter().filter(|call| call.0 != "Subscribe").count(),
        0
    );
}

#[tokio::test]
async fn a_page_of_the_gateway_and_programs_are_let_in() {
    let gateway = TestGateway::start().await;
    let own = format!("http://{}", gateway.address);
    for (method, path) in SURFACES {
        for headers in [vec![("origin", own.as_str())], vec![]] {
            assert_ne!(head(&gateway, method, path, &headers).await.status, 403, "{path}");
        }
    }
    // As the development server passes it on: it keeps the host of the page.
    let dev = [("origin", "http://localhost:3000"), ("host", "localhost:3000")];
    assert_eq!(head(&gateway, "POST", "/rpc", &dev).await.status, 200);
}

#[tokio::test]
async fn a_rebound_name_is_refused_unless_it_is_ours() {
    let gateway = TestGateway::with(|config| {
        config.allowed_hosts = "modash.example.com".parse().unwrap();
    })
    .await;
    let rebound = [("host", "evil.example:4006"), ("origin", "http://evil.example:4006")];
    assert_eq!(send(&gateway, "POST", "/rpc", &rebound).await.status, 403);
    // A page reads from its own site without an origin.
    assert_eq!(send(&gateway, "GET", "/events", &rebound[..1]).await.status, 403);
    let ours = [("host", "modash.example.com"), ("origin", "https://modash.example.com")];
    assert_eq!(head(&gateway, "POST", "/rpc", &ours).await.status, 200);
    assert_eq!(head(&gateway, "GET", "/events", &ours[..1]).await.status, 200);
    assert_eq!(head(&gateway, "GET", "/events", &[("host", "gateway:4006")]).await.status, 200);
    assert_eq!(send(&gateway, "GET", "/healthz", &rebound).await.status, 200);
}

#[tokio::test]
async fn a_listed_site_sees_every_answer() {
    let gateway = TestGateway::with(|config| {
        config.cors_origins = "https://tools.example.com".parse().unwrap();
    })
    .await;
    let origin = ("origin", "https://tools.example.com");
    for (method, path) in SURFACES {
        let answer = head(&gateway, method, path, &[origin]).await;
        let header = |name: &str| answer.headers[name].to_str().unwrap();
        assert_eq!(header("access-control-allow-origin"), origin.1, "{path}");
        assert_eq!(
            header("access-control-expose-headers"),
            "grpc-status, grpc-message, grpc-status-details-bin"
        );
        let mut vary = answer.headers.get_all("vary").iter();
        assert!(vary.any(|value| value == "origin"), "{path}");
    }
    let answer = send(&gateway, "POST", "/rpc", &[("origin", "https://evil.example")]).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_preflight_of_a_listed_site_is_answered_by_the_gateway() {
    let gateway = TestGateway::with(|config| {
        config.cors_origins = "https://tools.example.com".parse().unwrap();
    })
    .await;
    for (_, path) in SURFACES {
        let headers = [
            ("origin", "https://tools.example.com"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,traceparent,b3"),
        ];
        let answer = send(&gateway, "OPTIONS", path, &headers).await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-methods"), "GET, POST, OPTIONS");
        assert_eq!(answer.header("access-control-max-age"), "7200");
        let allowed = answer.header("access-control-allow-headers");
        for name in ["content-type", "x-grpc-web", "traceparent", "b3", "last-event-id"] {
            assert!(allowed.split(", ").any(|header| header == name), "{name}");
        }
    }
}

#[tokio::test]
async fn without_configured_origins_there_is_no_cors() {
    let gateway = TestGateway::start().await;
    let own = format!("http://{}", gateway.address);
    let answer = send(&gateway, "POST", "/rpc", &[("origin", own.as_str())]).await;
    assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control")));
}

#[tokio::test]
async fn healthz_answers() {
    let gateway = TestGateway::start().await;
    let answer = gateway.get("/healthz", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"status": "ok"})));
    assert_eq!(answer.text(), r#"{"status":"ok"}"#);
}
