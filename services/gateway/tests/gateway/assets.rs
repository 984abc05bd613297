//! The dashboard's files: caching, packing, and which paths are pages.

use std::fs;

use bytes::Bytes;
use http_body_util::Full;
use tempfile::TempDir;

use crate::support::{Answer, TestGateway, with_headers};

const PAGE: [(&str, &str); 1] = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];

async fn with_dashboard() -> (TestGateway, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content).unwrap();
    fs::create_dir(folder.path().join("assets")).unwrap();
    write("index.html", "<title>modash</title>");
    write("theme.js", "theme()");
    write("assets/app-1a2b.js", "app()");
    write("assets/app-1a2b.js.br", "brotli");
    write("assets/app-1a2b.js.gz", "gzip");
    let path = folder.path().to_owned();
    (TestGateway::with(|config| config.dashboard_dir = Some(path)).await, folder)
}

#[tokio::test]
async fn hashed_names_are_kept_for_ever_and_packed_as_the_client_wishes() {
    let (gateway, _folder) = with_dashboard().await;
    for (wish, coding, body) in [
        ("br, gzip", "br", "brotli"),
        ("gzip", "gzip", "gzip"),
        ("br;q=0, gzip;q=0.1", "gzip", "gzip"),
        ("identity", "", "app()"),
    ] {
        let answer = gateway.get("/assets/app-1a2b.js", &[("accept-encoding", wish)]).await;
        assert_eq!((answer.header("content-encoding"), answer.text()), (coding, body), "{wish}");
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(answer.header("content-type"), "text/javascript; charset=utf-8");
        assert_eq!(answer.header("vary"), "accept-encoding");
    }
    for missing in ["/assets/old-3c4d.js", "/assets/", "/assets/app-1a2b.js.br", "/assets/none"] {
        assert_eq!(gateway.get(missing, &PAGE).await.status, 404, "{missing}");
    }
}

#[tokio::test]
async fn the_page_is_asked_for_anew_by_its_etag() {
    let (gateway, folder) = with_dashboard().await;
    let first = gateway.get("/", &PAGE).await;
    assert_eq!((first.status.as_u16(), first.text()), (200, "<title>modash</title>"));
    assert_eq!(first.header("cache-control"), "no-cache");
    let etag = first.header("etag").to_owned();
    assert!(etag.starts_with('"'));
    let known = [("if-none-match", etag.as_str())];
    let second = gateway.get("/", &known).await;
    assert_eq!((second.status.as_u16(), second.body.len()), (304, 0));
    assert_eq!(second.header("etag"), etag);
    fs::write(folder.path().join("index.html"), "new").unwrap();
    assert_eq!(gateway.get("/", &known).await.text(), "new");
}

#[tokio::test]
async fn every_file_has_the_security_headers() {
    let (gateway, _folder) = with_dashboard().await;
    for path in ["/", "/theme.js"] {
        let answer = gateway.get(path, &PAGE).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
    }
}

#[tokio::test]
async fn pages_of_the_dashboards_router_are_the_page_and_nothing_else_is() {
    let (gateway, _folder) = with_dashboard().await;
    for path in ["/requests", "/models/qwen3-8b", "/throughput?from=-24h"] {
        let answer = gateway.get(path, &PAGE).await;
        assert_eq!(answer.text(), "<title>modash</title>", "{path}");
        assert_eq!(gateway.get(path, &[("accept", "application/json")]).await.status, 404);
        assert_eq!(gateway.get(path, &[]).await.status, 404, "{path}");
    }
    for path in
        ["/none.js", "/v1/chat/completions", "/metrics", "/rpcx/a", "/events/x", "/healthz/x"]
    {
        assert_eq!(gateway.get(path, &PAGE).await.status, 404, "{path}");
    }
    assert_eq!(gateway.get("/modash.v1.Nope/Nope", &PAGE).await.json()["code"], "unimplemented");
    assert_eq!(gateway.get("/../secret", &PAGE).await.text(), "<title>modash</title>");
}

#[tokio::test]
async fn files_are_only_read() {
    let (gateway, _folder) = with_dashboard().await;
    let answer = gateway.post("/", &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET, HEAD"));
    let request = with_headers(gateway.request("HEAD", "/theme.js"), &[]);
    let answer: Answer = gateway.send(request.body(Full::<Bytes>::default()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-length")), (200, "7"));
    assert!(answer.body.is_empty());
}

#[tokio::test]
async fn the_executable_has_a_page_inside_even_if_no_dashboard_was_built() {
    let gateway = TestGateway::start().await;
    let answer = gateway.get("/", &PAGE).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert!(answer.text().contains("modash"));
}
