//! Single sign-on: the gateway behind a reverse proxy that knows who its users are, as
//! oauth2-proxy does. docs/security.md has the same with the settings of that program.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use modash_access::Role;
use modash_integration::{PATIENCE, Reply, get_with, post_json};
use modash_test_support::TokensFile;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::system::System;

const USER: &str = "x-forwarded-user";

/// The address from which the reverse proxy comes: another one than that of the test.
const FRONT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

type Body = BoxBody<bytes::Bytes, hyper::Error>;

/// Whom a cookie of the front stands for. A real one asks an identity provider.
fn signed_in(request: &Request<Incoming>) -> Option<HeaderValue> {
    let cookie = request.headers().get("cookie")?.to_str().ok()?;
    let user = cookie.split("; ").find_map(|pair| pair.strip_prefix("front="))?;
    HeaderValue::from_str(user).ok()
}

async fn forward(
    gateway: String,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    // Whatever the client says of itself is removed.
    request.headers_mut().remove(USER);
    let Some(user) = signed_in(&request) else {
        let body = Empty::new().map_err(|never: Infallible| match never {}).boxed();
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::FOUND;
        response.headers_mut().insert("location", HeaderValue::from_static("/oauth2/start"));
        return Ok(response);
    };
    request.headers_mut().insert(USER, user);
    // `Host` stays that of the front, as with --pass-host-header.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = format!("{gateway}{path}").parse().unwrap();
    let mut connector = HttpConnector::new();
    connector.set_local_address(Some(FRONT));
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    Ok(client.request(request).await.unwrap().map(http_body_util::BodyExt::boxed))
}

/// Starts the reverse proxy and gives its address.
async fn front(gateway: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let gateway = gateway.clone();
            let service = service_fn(move |request| forward(gateway.clone(), request));
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move {
                let _ = serving.await;
            });
        }
    });
    address
}

fn json_of(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_a_single_sign_on_front_see_the_dashboard_and_nobody_else_can_pose_as_one() {
    let file = TokensFile::new();
    let token = file.add_scoped("single sign-on", &["tag:team=x"]);
    let other = file.add("other", Role::Read);
    let directory = tempfile::tempdir().unwrap();
    let shown = directory.path().join("token");
    std::fs::write(&shown, token.expose()).unwrap();
    let settings = [
        ("MODASH_GATEWAY_TRUSTED_USER_HEADER", USER.to_owned()),
        ("MODASH_GATEWAY_TRUSTED_ADDRESSES", FRONT.to_string()),
        ("MODASH_GATEWAY_TRUSTED_USER_TOKEN_FILE", shown.display().to_string()),
    ];
    let system = System::start(file, &settings).await;
    let gateway = &system.modash.gateway;
    let address = front(gateway.clone()).await;
    let url = format!("http://{address}");

    // Nobody is signed in at the front; saying so oneself is of no use.
    for headers in [vec![], vec![(USER, "mia")]] {
        let answer = get_with(&format!("{url}/session"), &headers).await.unwrap();
        assert_eq!(answer.status, 302, "{answer:?}");
    }
    let mia = ("cookie", "front=mia");
    let who = get_with(&format!("{url}/session"), &[mia, (USER, "root")]).await.unwrap();
    assert_eq!(json_of(&who), json!({ "name": "single sign-on", "sees": "tag:team=x" }));
    let page = get_with(&format!("{url}/requests"), &[mia, ("accept", "text/html")]).await.unwrap();
    assert_eq!(page.status, 200, "no page to sign in: {page:?}");
    let own = [mia, ("origin", url.as_str())];
    let answer = post_json(&format!("{url}/rpc/UsageSummary"), &own, &json!({})).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    // The token of the front decides: it has a scope.
    let answer = post_json(&format!("{url}/rpc/Completeness"), &own, &json!({})).await.unwrap();
    assert_eq!(answer.status, 403, "{answer:?}");
    // A page of another site makes the browser send the front's cookie too.
    let evil = [mia, ("origin", "https://evil.example")];
    let answer = post_json(&format!("{url}/rpc/UsageSummary"), &evil, &json!({})).await.unwrap();
    assert_eq!(answer.status, 403, "{answer:?}");
    let mut events = {
        let client: Client<HttpConnector, Empty<bytes::Bytes>> =
            Client::builder(TokioExecutor::new()).build_http();
        let request = Request::get(format!("{url}/events")).header(mia.0, mia.1);
        client.request(request.body(Empty::new()).unwrap()).await.unwrap()
    };
    assert_eq!(events.status(), 200);
    let first = tokio::time::timeout(PATIENCE, events.body_mut().frame()).await;
    assert!(first.unwrap().is_some_and(|frame| frame.is_ok()), "no event");

    // Past the front, from an address that is not its own, the header says nothing.
    let answer = get_with(&format!("{gateway}/session"), &[(USER, "mia")]).await.unwrap();
    assert_eq!(answer.status, 401, "{answer:?}");
    let bearer = format!("Bearer {}", other.expose());
    let headers = [(USER, "mia"), ("authorization", bearer.as_str())];
    let answer = get_with(&format!("{gateway}/session"), &headers).await.unwrap();
    assert_eq!(json_of(&answer)["name"], "other", "a token counts as ever");
}
